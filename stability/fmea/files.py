"""Worksheets on disk: YAML and CSV to write in, Excel and HTML to hand out; each comes back as it went."""

from __future__ import annotations

__all__ = ["default_worksheet", "read_worksheet", "write_worksheet"]

import html
import io
import re
import zipfile
from html.parser import HTMLParser
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from stability.fmea.worksheet import NUMBERS, checked, from_declaration, to_declaration
from stability.schema import ContractError, home
from stability.schema.declarations import load_yaml
from stability.schema.store import written_whole

FORMS = (".yaml", ".yml", ".csv", ".xlsx", ".html")
LARGEST = 1 << 24  # bytes of a file, also once unpacked: a worksheet has some hundred rows
ROWS = 10_000  # at most
SHEET, EVIDENCE = "worksheet", "evidence"  # names of sheets, ids of tables
FORMULA = re.compile(r"^'*[=+\-@\t\r]")  # a spreadsheet computes a CSV cell that begins so
WIDE = {"effect": 40, "cause": 40, "prevention": 36, "detection_control": 36, "failure_mode": 26}
STYLE = """body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}
th,td{border:1px solid #ccc;padding:.3em .5em;vertical-align:top;text-align:left}th{background:#eee}
td.H{background:#f7c6b0}td.M{background:#fbe7b0}"""


def default_worksheet() -> Path:
    """The worksheet of AI serving that ships."""
    return home() / "data" / "fmea" / "ai-serving.yaml"


def read_worksheet(path: str | PathLike | None = None) -> pd.DataFrame:
    """Read a worksheet.

    Parameters
    ----------
    path : str or path, optional
        `.yaml`, `.csv`, `.xlsx` or `.html`; a sheet or table called `worksheet`. Without, the one that ships.

    Returns
    -------
    DataFrame, index failure_mode
        Columns `COLUMNS`; see `stability.fmea.worksheet.checked`.

    Raises
    ------
    ContractError
        For a file that is missing, too large, of another form or damaged, and for what is wrong in its rows.
    """
    file = default_worksheet() if path is None else Path(path)
    if _form(file) in (".yaml", ".yml"):
        return from_declaration(load_yaml(file), file)
    if not file.is_file() or file.stat().st_size > LARGEST:
        got = "a larger one" if file.is_file() else "no file"
        raise ContractError(file=file, expected=f"a worksheet of at most {LARGEST >> 20} MiB", got=got)
    reader = {".csv": _from_csv, ".xlsx": _from_excel, ".html": _from_html}[_form(file)]
    return checked(reader(file), file)


def write_worksheet(worksheet: pd.DataFrame, path: str | PathLike, *, rated: pd.DataFrame | None = None) -> Path:
    """Write a worksheet, whole or not at all.

    Parameters
    ----------
    worksheet : DataFrame
        As `read_worksheet` gives it.
    path : str or path
        Its ending chooses the form, as there.
    rated : DataFrame, optional
        From `confront`: goes into a second sheet or table, `evidence`; only Excel and HTML have room for it.

    Returns
    -------
    pathlib.Path
    """
    file, form = Path(path), _form(Path(path))
    table = checked(worksheet, "worksheet")
    if rated is not None and form not in (".xlsx", ".html"):
        raise ContractError(file=file, expected=".xlsx or .html, which have room for evidence", got=form)
    made = {".csv": _csv, ".xlsx": _excel, ".html": _html}.get(form, _yaml)(table, rated)
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as temporary:
        temporary.write(made)
    return file


def _form(file: Path) -> str:
    if file.suffix.lower() not in FORMS:
        raise ContractError(file=file, expected=f"a name that ends in one of {', '.join(FORMS)}", got=file.name)
    return file.suffix.lower()


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """Texts and whole numbers, None where nothing is said."""
    flat = table.reset_index()
    return pd.DataFrame({name: pd.Series([_cell(value) for value in flat[name]], dtype=object) for name in flat})


def _cell(value: object) -> object:
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else int(value) if value == round(value) else round(float(value), 3)
    return None if value is None or value == "" else value


def _yaml(table: pd.DataFrame, _rated) -> bytes:
    return yaml.safe_dump(to_declaration(table), sort_keys=False, allow_unicode=True, width=118).encode()


def _csv(table: pd.DataFrame, _rated) -> bytes:
    flat = _cells(table)
    for name in flat.columns.difference(NUMBERS):
        flat[name] = [f"'{cell}" if cell is not None and FORMULA.match(cell) else cell for cell in flat[name]]
    return flat.to_csv(index=False, lineterminator="\n").encode()


def _from_csv(file: Path) -> pd.DataFrame:
    try:
        # the header is a row like any other: pandas would give a name that stands twice another one
        read = pd.read_csv(file, header=None, dtype="str", keep_default_na=False, encoding="utf-8-sig", nrows=ROWS + 2)
    except (ValueError, OSError) as error:
        raise ContractError(file=file, expected="a CSV in UTF-8 with a header", got=str(error)) from error
    rows = read.iloc[1:].set_axis(read.iloc[0].tolist(), axis="columns").reset_index(drop=True)
    return _few(rows.map(_unquoted), file)


def _unquoted(cell: object) -> object:
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell) else cell


def _few(read: pd.DataFrame, file: Path) -> pd.DataFrame:
    if len(read) > ROWS or read.empty:
        raise ContractError(file=file, expected=f"1 to {ROWS:,} rows", got=f"{len(read):,}")
    return read


def _excel(table: pd.DataFrame, rated: pd.DataFrame | None) -> bytes:
    import openpyxl  # takes a moment, and only those who hand out a sheet need it

    book = openpyxl.Workbook()
    _fill(book.active, SHEET, _cells(table))
    if rated is not None:
        _fill(book.create_sheet(), EVIDENCE, _cells(rated))
    held = io.BytesIO()
    book.save(held)
    return held.getvalue()


def _fill(sheet, title: str, flat: pd.DataFrame) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    sheet.title, sheet.freeze_panes = title, "B2"
    tints = {"H": PatternFill("solid", fgColor="F7C6B0"), "M": PatternFill("solid", fgColor="FBE7B0")}
    for place, name in enumerate(flat, 1):
        sheet.cell(1, place, name).font = Font(bold=True)
        sheet.column_dimensions[get_column_letter(place)].width = WIDE.get(name, 18)
        for row, value in enumerate(flat[name], 2):
            cell = sheet.cell(row, place)
            cell.value = value
            if isinstance(value, str):  # never a formula, whatever it begins with
                cell.data_type, cell.quotePrefix = "s", bool(FORMULA.match(value))
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            if name.startswith("action_priority") and value in tints:
                cell.fill = tints[value]
    sheet.auto_filter.ref = sheet.dimensions


def _from_excel(file: Path) -> pd.DataFrame:
    import openpyxl

    try:
        with zipfile.ZipFile(file) as packed:
            if sum(part.file_size for part in packed.infolist()) > LARGEST:
                raise ContractError(file=file, expected=f"at most {LARGEST >> 20} MiB unpacked", got="more")
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        try:
            sheet = book[SHEET] if SHEET in book.sheetnames else book.worksheets[0]
            rows = list(sheet.iter_rows(values_only=True, max_row=ROWS + 2, max_col=100))
        finally:
            book.close()
    except ContractError:
        raise
    except Exception as error:  # a damaged file breaks it in a dozen ways
        raise ContractError(
            file=file, expected="an Excel workbook (.xlsx)", got=str(error) or type(error).__name__
        ) from error
    rows = [row for row in rows if any(cell is not None for cell in row)]
    if not rows:
        raise ContractError(file=file, expected="a header and rows", got="an empty sheet")
    wide = [place for place, name in enumerate(rows[0]) if name is not None]
    read = pd.DataFrame(
        [[row[p] for p in wide] for row in rows[1:]], columns=[str(rows[0][p]) for p in wide], dtype=object
    )
    return _few(read, file)


def _html(table: pd.DataFrame, rated: pd.DataFrame | None) -> bytes:
    parts = [_html_table(SHEET, _cells(table))]
    parts += (
        [] if rated is None else ["<h2>Ratings and what the record shows</h2>", _html_table(EVIDENCE, _cells(rated))]
    )
    body = "\n".join(parts)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>FMEA</title><style>{STYLE}</style></head>'
    )
    return f"{page}\n<body><h1>Failure modes and effects</h1>\n{body}\n</body></html>\n".encode()


def _html_table(name: str, flat: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in flat)
    rows = ("".join(_html_cell(cell) for cell in row) for row in flat.itertuples(index=False))
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<table id="{name}">\n<tr>{head}</tr>\n{lines}\n</table>'


def _html_cell(cell: object) -> str:
    mark = f' class="{cell}"' if cell in ("H", "M") else ""
    return f"<td{mark}>{'' if cell is None else html.escape(str(cell))}</td>"


class _Reader(HTMLParser):
    """Takes the cells of the table with the id `worksheet`; whatever else the page has is passed over."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.within = self.cell = False

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "table":
            self.within = ("id", SHEET) in attrs
        elif self.within and tag == "tr":
            self.rows.append([])
        elif self.within and tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.within = self.cell = False
        elif tag in ("td", "th"):
            self.cell = False

    def handle_data(self, data: str) -> None:
        if self.within and self.cell:
            self.rows[-1][-1] += data


def _from_html(file: Path) -> pd.DataFrame:
    reader = _Reader()
    try:
        reader.feed(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(file=file, expected="an HTML page in UTF-8", got=str(error)) from error
    rows = reader.rows
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        expected = f'a table with id="{SHEET}", a header, and rows as wide as it'
        raise ContractError(file=file, expected=expected, got=f"{len(rows)} rows, of other widths or too few")
    return _few(pd.DataFrame(rows[1:], columns=rows[0]), file)
