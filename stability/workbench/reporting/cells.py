"""An executed notebook as cells of pieces, each of one kind, so that pages can show, shorten or leave out each."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from stability.schema import ContractError
from stability.workbench.reporting.cleaning import markdown_html, terminal_text
from stability.workbench.reporting.formats import plain
from stability.workbench.reporting.templating import render

__all__ = ["Cell", "Piece", "cut", "plain_answer", "read_cells", "render_cell", "report_cells"]

REPORT_TAG = "report"
MARKER_TAG = "papermill-error-cell-tag"  # papermill's red words about a failure; the page says it in its own way
PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif")
WIDGET = "application/vnd.jupyter.widget-view+json"
LONGEST_TEXT = 60_000  # characters of one text output, about 700 lines; a flood of logs hides what it says
LONGEST_HTML = 200_000  # characters of one HTML output, some 2,000 table rows; cleaning takes seconds per megabyte
LONGEST_ANSWER = 1_500  # characters of an answer on top of the run's page; a longer text is part of the evidence
# What a plotting call returns is printed beside its picture and tells a reader nothing.
RETURNED_PLOT = re.compile(r"\[?<(?:Axes|Figure|matplotlib\.)|array\(\[+<Axes")


@dataclass
class Piece:
    """One thing to show: a source, a text, a picture.

    Parameters
    ----------
    kind : {"code", "markdown", "html", "latex", "text", "stderr", "error", "picture", "note"}
        How to show it.
    content : str
        Source, text, or a picture's bytes as base64.
    mime : str
        Of a picture.
    alt, caption, heading : str
        Of a picture: what it shows for those who cannot see it and for all, and what it stands under.
    number : int
        Of a picture, counted through the notebook.
    attachments : dict
        Pictures pasted into a markdown cell.
    """

    kind: str
    content: str
    mime: str = ""
    alt: str = ""
    caption: str = ""
    heading: str = ""
    number: int = 0
    attachments: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Characters that it brings to a page, about."""
        return len(self.content) + sum(len(data) for kinds in self.attachments.values() for data in kinds.values())


@dataclass
class Cell:
    """A notebook's cell: where it stands, what it holds.

    Parameters
    ----------
    anchor : str
        Its name within the page.
    pieces : list of Piece
        A markdown cell's text, or a code cell's source and outputs.
    count : int or None
        Execution count of a code cell.
    seconds : float
        How long it ran.
    tags : list of str
        Its tags in the notebook.
    """

    anchor: str
    pieces: list[Piece]
    count: int | None = None
    seconds: float = 0.0
    tags: list[str] = field(default_factory=list)

    @property
    def code(self) -> Piece | None:
        """The source of a code cell."""
        return next((piece for piece in self.pieces if piece.kind == "code"), None)

    @property
    def outputs(self) -> list[Piece]:
        """What is shown without being asked for."""
        return [piece for piece in self.pieces if piece.kind != "code"]

    @property
    def failed(self) -> bool:
        """Whether it raised."""
        return any(piece.kind == "error" for piece in self.pieces)

    @property
    def reported(self) -> bool:
        """Whether its outputs belong on the run's page."""
        return REPORT_TAG in self.tags


def read_cells(path: str | Path) -> list[Cell]:
    """Read an executed notebook into cells.

    A picture without a description of its own (the output's or the cell's metadata `alt` and `caption`) is described by
    the heading that it stands under.

    Parameters
    ----------
    path : str or Path
        An `.ipynb` file.

    Returns
    -------
    list of Cell
        In order, without raw cells and papermill's marks.

    Raises
    ------
    ContractError
        If the file is missing or is not a notebook.
    """
    try:
        notebook = nbformat.reads(Path(path).read_text(encoding="utf-8"), as_version=4)
        return list(_cells(notebook.cells))
    except Exception as error:  # nbformat raises a dozen types for as many sorts of broken files
        raise ContractError(
            file=str(path),
            expected="an executed notebook (.ipynb)",
            got=plain(f"{type(error).__name__}: {error}")[:300],
        ) from error


def _cells(nodes: list[Any]) -> Iterator[Cell]:
    heading, figures = "", 0
    for i, node in enumerate(nodes):
        tags = list(node.metadata.get("tags", []))
        if MARKER_TAG in tags or node.cell_type not in ("markdown", "code"):
            continue
        anchor = f"cell-{i + 1}"
        if node.cell_type == "markdown":
            heading = _heading(node.source) or heading
            attachments = {name: dict(kinds) for name, kinds in node.get("attachments", {}).items()}
            yield Cell(anchor, [Piece("markdown", node.source, attachments=attachments)], tags=tags)
            continue
        pieces = [Piece("code", node.source)] if node.source.strip() else []
        for output in _merge_streams(node.outputs):
            for piece in _pieces(output):
                if piece.kind == "picture":
                    figures += 1
                    said = {**node.metadata, **output.get("metadata", {})}
                    piece.number, piece.caption = figures, str(said.get("caption", ""))
                    piece.alt = str(said.get("alt") or piece.caption or f"Figure {figures}: {heading or 'untitled'}")
                    piece.heading = heading
                elif piece.kind == "markdown":
                    heading = _heading(piece.content) or heading
                pieces.append(piece)
        seconds = node.metadata.get("papermill", {}).get("duration") or 0.0
        yield Cell(anchor, pieces, node.get("execution_count"), float(seconds), tags)


def _heading(markdown: str) -> str:
    found = re.findall(r"^#{1,6}\s+(.+?)\s*#*$", markdown, flags=re.MULTILINE)
    return re.sub(r"[*_`$]", "", found[-1]) if found else ""


def _merge_streams(outputs: list[Any]) -> list[dict[str, Any]]:
    merged: list[dict[str, Any]] = []
    for output in outputs:
        before = merged[-1] if merged else {}
        if output.output_type == "stream" and before.get("output_type") == "stream" and before["name"] == output.name:
            before["text"] += output.text
        else:
            merged.append(dict(output))
    return merged


def _pieces(output: dict[str, Any]) -> Iterator[Piece]:
    if output["output_type"] == "stream":
        text = terminal_text(output["text"])
        if text.strip():
            yield Piece("stderr" if output["name"] == "stderr" else "text", cut(text))
    elif output["output_type"] == "error":
        yield Piece("error", cut("\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"))
    else:
        yield from _displayed(output["data"])


def _displayed(data: dict[str, Any]) -> Iterator[Piece]:
    text = data.get("text/plain", "")
    picture = next((mime for mime in PICTURES if mime in data), None)
    if WIDGET in data:
        if terminal_text(text).strip():
            yield Piece("note", "An interactive widget is left out here.")
    elif picture:
        content = base64.b64encode(data[picture].encode()).decode() if picture == "image/svg+xml" else data[picture]
        yield Piece("picture", "".join(content.split()), mime=picture)
    elif "text/html" in data and len(data["text/html"]) <= LONGEST_HTML:
        yield Piece("html", data["text/html"])
    elif "text/html" in data:
        yield Piece("note", "A table or text too long for a page; its short form:")
        yield Piece("text", cut(text))
    elif "text/markdown" in data:
        yield Piece("markdown", data["text/markdown"])
    elif "text/latex" in data:
        yield Piece("latex", data["text/latex"].strip().strip("$"))
    elif (shown := terminal_text(text)).strip() and not RETURNED_PLOT.match(shown):
        yield Piece("text", cut(shown))


def cut(text: str, limit: int = LONGEST_TEXT) -> str:
    """Keep the beginning and the end of a long text, and say how much is missing.

    Examples
    --------
    >>> cut("a" * 50 + "b" * 50, limit=20)
    'aaaaaaaaaa\\n[... 80 characters left out ...]\\nbbbbbbbbbb'
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def render_cell(cell: Cell, *, demote: int = 0, code: bool = False) -> str:
    """Show a cell as HTML.

    Parameters
    ----------
    cell : Cell
        What to show.
    demote : int
        Levels by which the headings in its markdown are lowered.
    code : bool
        Whether its source is shown (folded, except where it failed) and its pictures are numbered.

    Returns
    -------
    str
        A clean fragment.
    """
    return render("cell.html.j2", cell=cell, demote=demote, with_code=code)


def report_cells(executed_notebook_path: str | Path) -> list[str]:
    """Render what a notebook says to the run's page: the outputs of its cells tagged `report`, in order.

    Parameters
    ----------
    executed_notebook_path : str or Path
        An executed `.ipynb` file.

    Returns
    -------
    list of str
        One clean HTML fragment a cell; headings begin at level 3.

    Raises
    ------
    ContractError
        If the file is missing or is not a notebook.
    """
    return [
        render_cell(cell, demote=2) for cell in read_cells(executed_notebook_path) if cell.reported and cell.outputs
    ]


def plain_answer(cell: Cell) -> str | None:
    """Return a reported cell's markdown if it is a paragraph or two and nothing else, as an answer is; else None.

    Of a longer one, as of many cases, the bold sentences that its paragraphs begin with are the answer.
    """
    if not cell.outputs or any(piece.kind != "markdown" for piece in cell.outputs):
        return None
    text = "\n\n".join(piece.content.strip() for piece in cell.outputs)
    if len(text) > LONGEST_ANSWER:
        text = "\n\n".join(re.findall(r"^\*\*[^*\n]+\*\*", text, flags=re.M)) or text
    pictures = [tag for tag in re.findall(r"<img[^>]*>", markdown_html(text)) if 'class="tex"' not in tag]
    return None if len(text) > LONGEST_ANSWER or pictures or "<table" in markdown_html(text) else text
