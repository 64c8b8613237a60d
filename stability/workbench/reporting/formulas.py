"""TeX to a small inline picture, because a page without script has nobody to typeset it when it is opened."""

from __future__ import annotations

import base64
import re
import threading
from functools import lru_cache

from markupsafe import Markup

__all__ = ["formula"]

INK = "#1b2733"  # the page's text colour
EM = 100  # drawing units per em: whole numbers are then fine enough, and short
SCALE = 1.16  # STIX letters are smaller than those of the system fonts around them
LONGEST = 2000  # characters; beyond it is not a formula, and the parser's time grows
# Common TeX that mathtext spells otherwise, or can do without.
SPELLINGS = {
    "le": r"\leq",
    "ge": r"\geq",
    "tfrac": r"\frac",
    "lvert": "|",
    "rvert": "|",
    "lVert": r"\|",
    "rVert": r"\|",
    "colon": ":",
    "implies": r"\Rightarrow",
    "iff": r"\Leftrightarrow",
    "argmax": r"\operatorname{argmax}",
    "argmin": r"\operatorname{argmin}",
    **dict.fromkeys(("big", "Big", "bigl", "bigr", "Bigl", "Bigr", "nonumber", "notag", "limits"), ""),
}
# What only arranges lines; each line becomes a picture of its own.
LAYOUT = re.compile(r"\\(?:begin|end)\{(?:align|aligned|equation|gather|gathered|split)\*?\}|(?<!\\)&")
# Matplotlib's parser is one shared object.
_PARSER = threading.Lock()


@lru_cache(maxsize=512)
def formula(tex: str, display: bool = False) -> Markup:
    r"""Typeset a formula as an SVG picture whose alternative text is its TeX source.

    Matplotlib's mathtext knows most of TeX's mathematics; of its environments only those that arrange lines are
    followed. What it cannot set is shown as source.

    Parameters
    ----------
    tex : str
        TeX without its dollars.
    display : bool
        Whether it stands on a line of its own.

    Returns
    -------
    Markup
        An `img` with the drawing inside, on the text's baseline; or `code` with the source.

    Examples
    --------
    >>> str(formula(r"\sigma"))[:23]
    '<img class="tex" alt="\\'
    >>> print(formula(r"\nosuchmacro{x}"))
    <code class="tex">\nosuchmacro{x}</code>
    """
    lines = re.split(r"\\\\", LAYOUT.sub("", tex))
    drawn = [_picture(" ".join(line.split())) for line in lines if line.strip()]
    if not drawn or None in drawn:
        drawn = [Markup('<code class="tex">{}</code>').format(" ".join(tex.split()))]
    if not display:
        return Markup(" ").join(drawn)
    return Markup("").join(Markup('<span class="formula">{}</span>').format(line) for line in drawn)


def _picture(tex: str) -> Markup | None:
    drawn = _draw(tex) if len(tex) <= LONGEST else None
    if drawn is None:
        return None
    return Markup(
        '<img class="tex" alt="{}" src="data:image/svg+xml;base64,{}" '
        'style="height: {:.3f}em; vertical-align: {:.3f}em">'
    ).format(tex, *drawn)


def _draw(tex: str) -> tuple[str, float, float] | None:
    """Return the SVG as base64, and its height and the depth below the baseline in em; None when it cannot be set."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    try:
        with _PARSER:
            path = TextPath((0, 0), f"${_spell(tex)}$", size=EM, prop=FontProperties(math_fontfamily="stix"))
    except (ValueError, RecursionError, RuntimeError):
        return None
    if not len(path.vertices):
        return None
    box = path.get_extents()
    letters = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
    drawing = "".join(
        letters[int(code)] + ("" if code == 79 else " ".join(f"{v:.0f}" for v in _down(points)))
        for points, code in path.iter_segments(simplify=False, curves=True)
    )
    left, bottom, width, height = box.x0 - 2, box.y0 - 2, box.width + 4, box.height + 4
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} {-bottom - height:.0f} {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" height="{height:.0f}"><path fill="{INK}" d="{drawing}"/></svg>'
    )
    return base64.b64encode(svg.encode()).decode(), SCALE * height / EM, SCALE * bottom / EM


def _spell(tex: str) -> str:
    return re.sub(r"\\([A-Za-z]+)", lambda m: f"{SPELLINGS[m[1]]} " if m[1] in SPELLINGS else m[0], tex)


def _down(points) -> list[float]:
    """Turn y upside down: SVG counts it from the top."""
    return [value if i % 2 == 0 else -value for i, value in enumerate(points)]
