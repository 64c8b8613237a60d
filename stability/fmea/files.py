"""Worksheets on disk: YAML and CSV to write in, Excel and HTML to hand out; each comes back as it went."""

from __future__ import annotations

__all__ = ["default_worksheet", "read_worksheet", "write_worksheet"]

import contextlib
import csv
import html
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
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
LAST = 1 << 20  # the last row that Excel knows
SHEET, EVIDENCE = "worksheet", "evidence"  # names of sheets, ids of tables
FORMULA = re.compile(r"^'*[=+\-@\t\r]")  # a spreadsheet computes a CSV cell that begins so
MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref=["\']([A-Z]+)(\d+):([A-Z]+)(\d+)["\']')  # in the XML of a sheet
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
        `.yaml`, `.csv` (separated by comma, semicolon or tab), `.xlsx` or `.html`; a sheet or table called
        `worksheet`. Without, the one that ships.

    Returns
    -------
    DataFrame, index failure_mode
        Columns `COLUMNS`; see `stability.fmea.worksheet.checked`.

    Raises
    ------
    ContractError
        For a file that is missing, too large, of another form or damaged, and for what is wrong in its rows, which are
        counted from the first one below the header on, empty ones too.
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

    Raises
    ------
    ContractError
        For what is wrong in its rows, for evidence without room, and for a place that cannot be written to.
    """
    file, form = Path(path), _form(Path(path))
    table = checked(worksheet, "worksheet")
    if rated is not None and form not in (".xlsx", ".html"):
        raise ContractError(file=file, expected=".xlsx or .html, which have room for evidence", got=form)
    made = {".csv": _csv, ".xlsx": _excel, ".html": _html}.get(form, _yaml)(table, rated)
    try:
        with written_whole(file) as temporary:
            temporary.write(made)
    except OSError as error:
        said = "a file, no folder" if isinstance(error, FileExistsError) else (error.strerror or str(error)).lower()
        got = f"{error.filename2 or error.filename or file}: {said}"
        remedy = "check path, rights and space"
        raise ContractError(file=file, expected="a file that can be written", got=got, remedy=remedy) from error
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
    from stability.telemetry.framing import frame_of  # a large room, of which only these two functions need a corner
    from stability.telemetry.options import Options

    content = _decoded(file, "a CSV in UTF-8 with a header").encode()
    frame = frame_of([content], str(file), Options())
    below = io.StringIO(b"".join(frame.rows).decode(), newline="")
    rows = list(csv.reader(below, delimiter=frame.delimiter))
    _refuse_ragged(rows, len(frame.names), file, f"put a text that holds {frame.delimiter!r} into quotes")
    return _framed(frame.names, [[_unquoted(cell) for cell in row] for row in rows], file)


def _decoded(file: Path, expected: str) -> str:
    from stability.telemetry.signatures import foreign

    try:
        content = file.read_bytes()
        told = foreign(content)
        if told is None:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        remedy = "save it as UTF-8 (in Excel 'CSV UTF-8'), or convert it: iconv -f LATIN1 -t UTF-8"
        told = f"a byte that UTF-8 does not have, at position {error.start}", remedy
    except OSError as error:
        told = (error.strerror or str(error)).lower(), "check path and rights"
    raise ContractError(file=file, expected=expected, got=told[0], remedy=told[1])


def _refuse_ragged(rows: list[list], width: int, file: Path, remedy: str) -> None:
    for number, row in enumerate(rows, 1):
        if row and len(row) != width:
            last = number == len(rows)
            if last and len(row) < width and any("\n" in cell for cell in row):
                remedy = "close the quote that opens in this row and is never closed"
            elif len(row) < width:
                remedy = "fill the row up, with empty cells where nothing is said"
            expected = f"{width} cells as in the header"
            raise ContractError(file=file, row=number, expected=expected, got=f"{len(row)}", remedy=remedy)


def _framed(head: Sequence, rows: Iterable[Sequence], file: Path, above: int = 1) -> pd.DataFrame:
    """Put rows under their header, which ends `above` rows of a sheet; a column without a name has to be empty."""
    from openpyxl.utils import get_column_letter

    names = ["" if name is None else str(name).strip() for name in head]
    named = [place for place, name in enumerate(names) if name]
    table = []
    for number, row in enumerate(rows, 1):
        for place, cell in enumerate(row):
            if (place >= len(names) or not names[place]) and cell is not None and str(cell).strip():
                letter = get_column_letter(place + 1)
                got = f"{str(cell)!r} in cell {letter}{number + above}, below none"
                remedy = f"name column {letter} in the header, or empty its cells"
                expected = "a name in the header for each column with cells"
                raise ContractError(file=file, row=number, column=letter, expected=expected, got=got, remedy=remedy)
        table.append([row[place] if place < len(row) else None for place in named])
    return pd.DataFrame(table, columns=[names[place] for place in named], dtype=object)


def _unquoted(cell: object) -> object:
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell) else cell


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
            parts = packed.infolist()
            if sum(part.file_size for part in parts) > LARGEST:
                raise ContractError(file=file, expected=f"at most {LARGEST >> 20} MiB unpacked", got="more")
            if not any("worksheets/" in part.filename for part in parts):
                got, remedy = "charts or other things alone", "save the sheet with the cells as .xlsx"
                raise ContractError(file=file, expected="a workbook with a sheet of cells", got=got, remedy=remedy)
            with (
                contextlib.closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as computed,
                contextlib.closing(openpyxl.load_workbook(file, read_only=True)) as written,
            ):
                rows = _sheet_rows(_sheet(computed), _sheet(written), file)
                merged = MERGED.search(packed.read(_sheet(written)._worksheet_path))
    except ContractError:
        raise
    except Exception as error:  # a damaged file breaks it in a dozen ways
        got, remedy = str(error) or type(error).__name__, "open it in a spreadsheet, and save that sheet alone as .xlsx"
        raise ContractError(file=file, expected="an Excel workbook (.xlsx)", got=got, remedy=remedy) from error
    first = next((number for number, row in enumerate(rows) if any(cell is not None for cell in row)), None)
    if first is None:
        raise ContractError(file=file, expected="a header and rows", got="an empty sheet")
    if merged:
        _refuse_merged(rows[first], merged, file)
    return _framed(rows[first], rows[first + 1 :], file, above=first + 1)


def _sheet(book):
    sheet = next((one for one in book.worksheets if one.title == SHEET), book.worksheets[0])
    sheet.reset_dimensions()  # which some programs write too small
    return sheet


def _sheet_rows(computed, written, file: Path) -> list[list]:
    """The values of a sheet's cells; a formula has to have one that the spreadsheet computed."""
    rows = []
    for values, sources in zip(computed.iter_rows(max_row=LAST), written.iter_rows(max_row=LAST), strict=True):
        for value, source in zip(values, sources, strict=True):
            # A formula that gave an empty text has the type of a text.
            if source.data_type == "f" and value.value is None and value.data_type != "str":
                got = f"a formula that was never computed, in cell {source.coordinate}"
                remedy = "open and save the file in Excel, or paste values"
                raise ContractError(file=file, expected="values", got=got, remedy=remedy)
        rows.append([value.value for value in values])
    return rows


def _refuse_merged(head: list, merged: re.Match, file: Path) -> None:
    from openpyxl.utils import column_index_from_string

    left, top, right, bottom = (part.decode() for part in merged.groups())
    place = column_index_from_string(left) - 1
    column = str(head[place]) if place < len(head) and head[place] is not None else left
    got = f"rows {top} to {bottom} of the sheet merged ({left}{top}:{right}{bottom})"
    remedy = "unmerge them and fill each"
    raise ContractError(file=file, column=column, expected="a cell a row", got=got, remedy=remedy)


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
    reader.feed(_decoded(file, "an HTML page in UTF-8"))
    if len(rows := reader.rows) < 2:
        expected = f'a table with id="{SHEET}", a header and rows'
        raise ContractError(file=file, expected=expected, got=f"{len(rows)} rows")
    _refuse_ragged(rows[1:], len(rows[0]), file, "take the cell away, or name its column in the header")
    return _framed(rows[0], rows[1:], file)
