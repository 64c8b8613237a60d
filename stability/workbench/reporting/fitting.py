"""Keep a page below its limit: first smaller pictures, then fewer parts, the largest first, and say so."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable

from PIL import Image

from stability.workbench.reporting.cells import Cell, Piece, cut

__all__ = ["PAGE_LIMIT", "fit"]

PAGE_LIMIT = 2_000_000  # bytes: what opens at once from a mail or on a phone
COLOURS = 128  # enough for lines, bands and their smooth edges
WIDEST = 1800  # pixels: twice the width at which a page shows a picture
SHORTENED = 2_000  # characters that a long text keeps


def fit(cells: Iterable[Cell], draw: Callable[[list[str]], str], limit: int = PAGE_LIMIT) -> str:
    """Draw a page, and as long as it is too large change its largest parts and draw it again.

    Parameters
    ----------
    cells : iterable of Cell
        What the page shows; changed in place.
    draw : callable
        Gives the page, with a list of sentences about what was changed.
    limit : int
        Largest size in bytes.

    Returns
    -------
    str
        The page; above the limit only if nothing is left to leave out.
    """
    cells = list(cells)
    done: dict[str, set[int]] = {"recoded": set(), "shortened": set(), "left out": set()}
    page = draw([])
    for change, name in ((_recode, "recoded"), (_shorten, "shortened"), (_leave_out, "left out")):
        while (excess := len(page.encode()) - limit) > 0:
            fresh = [piece for piece in _pieces(cells) if id(piece) not in done[name]]
            for piece in sorted(fresh, key=lambda piece: piece.size, reverse=True):
                excess -= (gain := change(piece))
                if gain:
                    done[name].add(id(piece))
                if excess < 0:
                    break
            if all(id(piece) not in done[name] for piece in fresh):
                break
            page = draw(_sentences(done, limit))
    return page


def _pieces(cells: list[Cell]) -> list[Piece]:
    return [piece for cell in cells for piece in cell.pieces if piece.kind != "note"]


def _sentences(done: dict[str, set[int]], limit: int) -> list[str]:
    said = {
        "recoded": f"{{}} with {COLOURS} colours and at most {WIDEST} pixels wide",
        "shortened": "{} shortened",
        "left out": "{} left out",
    }
    what = {"recoded": "picture", "shortened": "text", "left out": "part"}
    parts = [
        said[name].format(f"{len(pieces)} {what[name]}{'s' * (len(pieces) > 1)}")
        for name, pieces in done.items()
        if pieces
    ]
    return [f"To keep this page below {limit / 1e6:g} MB it shows {', '.join(parts)}. The notebook itself is whole."]


def _recode(piece: Piece) -> int:
    """Draw a picture with fewer colours and pixels; return the characters saved."""
    if piece.kind != "picture" or piece.mime not in ("image/png", "image/jpeg"):
        return 0
    try:
        with Image.open(io.BytesIO(base64.b64decode(piece.content, validate=True))) as opened:
            picture = opened.convert("RGBA")
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError):
        return 0
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    file = io.BytesIO()
    if piece.mime == "image/png":
        ground.convert("RGB").quantize(COLOURS).save(file, "PNG", optimize=True)
    else:
        ground.convert("RGB").save(file, "JPEG", quality=70, optimize=True)
    content = base64.b64encode(file.getvalue()).decode()
    gain = len(piece.content) - len(content)
    if gain > 0:
        piece.content = content
    return max(0, gain)


def _shorten(piece: Piece) -> int:
    """Keep the beginning and the end of a long text; return the characters saved."""
    if piece.kind not in ("text", "stderr", "error"):
        return 0
    before = len(piece.content)
    piece.content = cut(piece.content, SHORTENED) if before > 2 * SHORTENED else piece.content
    return before - len(piece.content)


def _leave_out(piece: Piece) -> int:
    """Put a sentence in a part's place; return the characters saved."""
    before = piece.size
    named = {"picture": "picture", "code": "source", "html": "table"}.get(piece.kind, "text")
    about = f": {piece.alt}" if piece.alt else ""
    note = f"A {named} of {before / 1e6:.2f} MB is left out here{cut(about, 200)}"
    if piece.kind == "error" or before <= len(note):  # what went wrong stays, short as it is by now
        return 0
    piece.kind, piece.content, piece.attachments, piece.mime = "note", note, {}, ""
    return before - len(note)
