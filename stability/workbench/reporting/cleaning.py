"""What a notebook wrote, made safe for a page: HTML through an allow-list, markdown with its formulas, terminal text.

Nothing that passes here can run, load, cover the page, or leave its place: tags, attributes and CSS properties are
those listed below, and a picture is shown only when its data are inside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import tinycss2
from bleach.css_sanitizer import CSSSanitizer
from bleach.sanitizer import Cleaner
from bs4 import BeautifulSoup
from bs4.element import Tag
from markupsafe import Markup, escape
from nbconvert.filters.ansi import ansi2html
from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath

from stability.workbench.reporting.formulas import formula

__all__ = ["clean_html", "markdown_html", "terminal_html", "terminal_text"]

# ruff: noqa: SIM905 - as lists, one name a line, these three would fill a page
TAGS = frozenset(
    """
    a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5
    h6 hr i img ins kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead
    tr u ul var
    """.split()
)
# Their content is not text for a reader: the tag goes with all that it holds.
BURIED = """
    applet area audio base button canvas datalist embed form frame frameset iframe input link map math meta
    noscript object option portal script select source style svg template textarea title track video
    """.split()
ATTRIBUTES = {
    "*": {"class", "style", "title"},
    "a": {"href"},
    "col": {"span"},
    "colgroup": {"span"},
    "details": {"open"},
    "div": {"aria-label", "role", "tabindex"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
# None of these takes an address, moves an element out of the flow, or hides it.
PROPERTIES = frozenset(
    """
    background-color border border-bottom border-collapse border-color border-left border-right border-spacing
    border-style border-top border-width color font-family font-size font-style font-variant-numeric font-weight
    height line-height max-width min-width padding padding-bottom padding-left padding-right padding-top
    text-align text-decoration vertical-align white-space width
    """.split()
)
PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|svg\+xml);base64,[A-Za-z0-9+/=\s]*\Z")
PROGRESS_BAR = re.compile(r"\d+%\|.*\|\s*[\d.]+\w*/[\d.]+\w*\s*\[")


@lru_cache(maxsize=128)  # a page that is drawn again, because it was too large, asks for the same again
def clean_html(html: str) -> Markup:
    """Let through what the allow-list names, and make tables readable for everyone.

    Parameters
    ----------
    html : str
        Anything.

    Returns
    -------
    Markup
        Balanced HTML: header cells have a scope, wide tables scroll by themselves, colours of a pandas Styler are kept.

    Examples
    --------
    >>> clean_html('<b onclick="x()">1</b><script>alert(1)</script><img src="https://example.org/a.png" alt="plot">')
    Markup('<b>1</b><span class="left-out">[picture left out: plot]</span>')
    """
    soup = BeautifulSoup(html, "html.parser")
    _keep_styler_colours(soup)
    for tag in soup.find_all(BURIED):
        tag.decompose()
    for heading in soup.find_all("h1"):
        heading.name = "h2"  # the page has its own first heading
    for image in soup.find_all("img"):
        if not PICTURE.match(image.get("src", "")):
            note = soup.new_tag("span", attrs={"class": "left-out"})
            note.string = f"[picture left out: {image.get('alt') or 'it lies outside this page'}]"
            image.replace_with(note)
        elif not image.get("alt"):
            image["alt"] = "picture without a description"
    for table in soup.find_all("table"):
        _label_table(soup, table)
    cleaner = Cleaner(
        tags=TAGS,
        attributes=_allowed,
        protocols={"http", "https", "mailto", "data"},
        strip=True,
        css_sanitizer=CSSSanitizer(allowed_css_properties=PROPERTIES, allowed_svg_properties=()),
    )
    return Markup(cleaner.clean(str(soup)))  # noqa: S704 - the one place where foreign HTML becomes trusted


def _allowed(tag: str, name: str, value: str) -> bool:
    if name not in ATTRIBUTES["*"] | ATTRIBUTES.get(tag, set()):
        return False
    if name == "src":
        return bool(PICTURE.match(value))
    if name == "href":
        return not value.strip().lower().startswith("data:")
    return True


def _keep_styler_colours(soup: BeautifulSoup) -> None:
    """Write the rules that pandas' Styler addresses to single cells by their id into the cells themselves."""
    for sheet in soup.find_all("style"):
        for rule in tinycss2.parse_stylesheet(sheet.get_text(), skip_comments=True, skip_whitespace=True):
            if rule.type != "qualified-rule":
                continue
            declarations = tinycss2.serialize(rule.content).strip()
            for selector in tinycss2.serialize(rule.prelude).split(","):
                if match := re.fullmatch(r"\s*#(T_\w+_row\w+)\s*", selector):
                    for cell in soup.find_all(id=match[1]):
                        cell["style"] = f"{cell.get('style', '')};{declarations}".strip(";")


def _join_index_names(table: Tag) -> None:
    """Move pandas' row of index names into the empty cells of the row above, as a reader expects."""
    rows = [row.find_all(["th", "td"], recursive=False) for row in table.select("thead > tr")]
    if len(rows) != 2 or len(rows[0]) != len(rows[1]):
        return
    pairs = list(zip(*rows, strict=True))
    if all(bool(a.get_text(strip=True)) != bool(b.get_text(strip=True)) for a, b in pairs):
        for above, below in pairs:
            above.string = above.get_text(strip=True) or below.get_text(strip=True)
            if below.get_text(strip=True):
                above["class"] = "index-name"
        rows[1][0].find_parent("tr").decompose()


def _label_table(soup: BeautifulSoup, table: Tag) -> None:
    _join_index_names(table)
    for head in table.find_all("th"):
        if not head.get_text(strip=True):
            head.name = "td"  # an empty header cell says nothing, least of all to a screen reader
        else:
            head["scope"] = "col" if head.find_parent("thead") else "row"
    caption = table.find("caption")
    label = caption.get_text(" ", strip=True) if caption else "table"
    table.wrap(soup.new_tag("div", attrs={"class": "scroll", "role": "region", "tabindex": "0", "aria-label": label}))


class _Renderer(IPythonRenderer):
    """Markdown of a notebook with formulas as pictures, and with headings below those of the page."""

    def __init__(self, demote: int, attachments: Mapping[str, Any]):
        super().__init__(escape=False, exclude_anchor_links=True, attachments=attachments)
        self.demote = demote

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        return super().heading(text, min(6, level + self.demote))

    def inline_math(self, body: str) -> str:
        return str(formula(body))

    def block_math(self, body: str) -> str:
        return str(formula(body, display=True))

    def latex_environment(self, name: str, body: str) -> str:
        return str(formula(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True))

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre>{escape(code)}</pre>"


def markdown_html(source: str, *, demote: int = 0, attachments: Mapping[str, Any] | None = None) -> Markup:
    """Turn a notebook's markdown into clean HTML.

    Parameters
    ----------
    source : str
        Markdown with TeX between dollars.
    demote : int
        Levels by which headings are lowered.
    attachments : mapping, optional
        Pictures pasted into the cell: name to mime type to base64.

    Returns
    -------
    Markup
        Clean HTML.

    Examples
    --------
    >>> markdown_html("# Delay\\nmedian *12 s*", demote=2)
    Markup('<h3>Delay</h3>\\n<p>median <em>12 s</em></p>\\n')
    """
    try:
        html = MarkdownWithMath(renderer=_Renderer(demote, attachments or {})).render(source)
    except InvalidNotebook:  # it refers to a pasted picture that is not there
        html = f"<pre>{escape(source)}</pre>"
    return clean_html(html)


def terminal_text(text: str) -> str:
    """Show what a terminal would: the last state of each overwritten line, and no progress bars.

    Examples
    --------
    >>> terminal_text("10%\\r20%\\rdone\\n 50%|#####     | 5/10 [00:01<00:01, 4.9it/s]\\nend")
    'done\\nend'
    """
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join(line for line in lines if not PROGRESS_BAR.search(line))


def terminal_html(text: str) -> Markup:
    """Turn terminal colours into classes of the page, everything else escaped.

    Examples
    --------
    >>> terminal_html("\\x1b[31mError\\x1b[0m <b>")
    Markup('<span class="ansi-red-fg">Error</span> &lt;b&gt;')
    """
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]", "", text)
    return Markup(ansi2html(text))  # noqa: S704 - the filter escapes first and adds only its own spans
