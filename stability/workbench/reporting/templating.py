"""The templates of this package: everything escaped unless a filter below has cleaned it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from nbconvert.filters.highlight import Highlight2HTML
from pygments.formatters import HtmlFormatter

from stability.workbench.reporting import formats
from stability.workbench.reporting.cleaning import clean_html, markdown_html, terminal_html
from stability.workbench.reporting.formulas import formula

__all__ = ["CODE_STYLE", "render"]

# Among the styles of Pygments one whose every colour is legible on the page's pale ground; a test computes it.
CODE_STYLE = "xcode"


def render(template: str, **values: Any) -> str:
    """Fill a template of `stability/workbench/templates`.

    Parameters
    ----------
    template : str
        The file's name.
    **values
        What it names; a name that it lacks is an error.

    Returns
    -------
    str
        The filled template.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stability.workbench", "templates"),
        autoescape=lambda name: not (name or "").endswith(".md.j2"),  # noqa: S701 - the note escapes as markdown asks
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    highlight = Highlight2HTML(pygments_lexer="ipython3")
    environment.filters |= {
        "breakable": _breakable,
        "clean": clean_html,
        "code": lambda source: Markup(highlight(source)),  # noqa: S704 - Pygments escapes the source
        "duration": formats.duration,
        "formula": lambda tex: formula(tex, display=True),
        "inert": formats.inert_markdown,
        "markdown": markdown_html,
        "md": formats.markdown_text,
        "moment": formats.moment,
        "terminal": terminal_html,
        "when": formats.when,
    }
    environment.globals["code_style"] = Markup(HtmlFormatter(style=CODE_STYLE).get_style_defs(".highlight"))  # noqa: S704
    return environment


def _breakable(key: str) -> Markup:
    """Let a step's long key break where its parts meet."""
    return Markup("").join(escape(part) + Markup("<wbr>") for part in re.split(r"(?<=[\[,=._-])", key))
