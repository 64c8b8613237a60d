"""From a file's bytes to a raw table: CSV and Parquet, with the columns typed by the roles that they play."""

from __future__ import annotations

__all__ = ["read_bytes", "read_cells", "used_columns"]

import csv
import io
import re
from collections import Counter

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stability.schema import ContractError
from stability.telemetry.cells import NULLS
from stability.telemetry.layout import Options, Roles, find_roles
from stability.telemetry.signatures import refuse_documents
from stability.telemetry.sources import MARK, PARQUET

DELIMITERS = ",;\t|"
csv.field_size_limit(1 << 30)  # a cell of megabytes is told by its row, not by the limit of Python's reader
MOST = (1 << 31) - 1  # bytes of a block that Arrow can have
_UNNAMED = re.compile(r"^__index_level_0__$")  # what pandas calls a nameless index in Parquet
# Arrow compares exactly, so each spelling is listed as people write it; others go the slow way and are found there.
_SPELLINGS = sorted({form for null in NULLS for form in (null, null.upper(), null.capitalize())} | {"NaN", "N/a"})


def read_bytes(content: bytes, label: str, options: Options) -> tuple[pd.DataFrame, Roles]:
    """Read a table and find out which column is what.

    Parameters
    ----------
    content : bytes
        A CSV file in UTF-8 (separated by comma, semicolon, tab or bar, whichever its header has most of) or a Parquet
        file.
    label : str
        The file's name in errors.
    options : Options

    Returns
    -------
    frame : DataFrame
        The columns that play a role; index 0 is the first data row. Metrics are float64 where every cell is a number,
        else as they came.
    roles : Roles

    Raises
    ------
    ContractError
        The file is not what it says, a row has too few or too many cells, or there is no row.

    Examples
    --------
    >>> frame, roles = read_bytes(b"time;cpu\\n2026-01-01T00:00:00Z;0,5\\n", "cpu.csv", Options(decimal=","))
    >>> frame["cpu"].tolist(), roles.timestamp
    ([0.5], 'time')
    """
    if content.startswith(PARQUET):
        frame, roles = _read_parquet(content, label, options)
    else:
        frame, roles = _read_csv(content, label, options)
    if frame.empty:
        raise ContractError(
            file=label,
            expected="at least one row below the header",
            got="a header alone",
            remedy="export the file again, or leave it out",
        )
    return frame, roles


def read_cells(content: bytes, label: str) -> pd.DataFrame:
    """Read a CSV as the text of its cells: for tables whose columns mean what their contract says.

    Parameters
    ----------
    content : bytes
        As in `read_bytes`.
    label : str
        The file's name in errors.

    Returns
    -------
    DataFrame of str
        All columns; an empty cell is missing.

    Raises
    ------
    ContractError
        A column twice, or a row with too few or too many cells.

    Examples
    --------
    >>> read_cells(b"source;target\\na;b\\n", "topology.csv").to_dict("records")
    [{'source': 'a', 'target': 'b'}]
    """
    content, _, delimiter, header = _head(content, label)
    _refuse_ragged(content, delimiter, len(header), label)
    frame = pd.read_csv(io.BytesIO(content), sep=delimiter, dtype=str, keep_default_na=False, na_values=[""])
    frame.columns = [name.strip() for name in frame.columns]
    return frame


def _read_parquet(content: bytes, label: str, options: Options) -> tuple[pd.DataFrame, Roles]:
    try:
        # Without pandas' metadata an index comes back as the columns that it was stored in.
        frame = pa.parquet.read_table(pa.BufferReader(content)).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        expected, got = "a whole Parquet file", f"a file cut short or damaged ({str(error).splitlines()[0]})"
        raise ContractError(file=label, expected=expected, got=got, remedy="write or fetch it again") from error
    frame.columns = [_UNNAMED.sub("index", str(name).strip()) for name in frame.columns]
    _refuse_twice(list(frame.columns), label)
    roles = find_roles(frame.columns, options, file=label)
    return frame[used_columns(roles)], roles


def _read_csv(content: bytes, label: str, options: Options) -> tuple[pd.DataFrame, Roles]:
    content, first, delimiter, header = _head(content, label)
    names = [name.strip() for name in header]
    roles = find_roles(names, options, file=label)
    text = {header[names.index(name)] for name in (roles.timestamp, roles.entity, roles.metric) if name is not None}
    numbers = {header[names.index(name)] for name in used_columns(roles)} - text
    if not content[len(first.encode()) :].strip():
        return pd.DataFrame(columns=used_columns(roles)), roles
    types = dict.fromkeys(text, pa.string()) | dict.fromkeys(numbers, pa.float64())
    try:
        table = _parse(content, delimiter, types, options)
    except pa.ArrowInvalid as error:
        _refuse_ragged(content, delimiter, len(names), label)
        try:
            # Some cell is no plain number: as text it can be looked at, mended or named.
            table = _parse(content, delimiter, dict.fromkeys(types, pa.string()), options, block=len(content) + 1)
        except pa.ArrowInvalid:
            expected, got = f"CSV separated by {delimiter!r}", str(error).splitlines()[0]
            raise ContractError(file=label, expected=expected, got=got, remedy="export the file again") from error
    frame = table.to_pandas()
    frame.columns = [name.strip() for name in frame.columns]
    return frame[used_columns(roles)], roles


def _head(content: bytes, label: str) -> tuple[bytes, str, str, list[str]]:
    """Find a CSV's first line, separator and header; the content comes back without what stands before them."""
    content = content.removeprefix(MARK).lstrip(b"\r\n")
    refuse_documents(content, label)
    first = re.split(rb"\r\n|\r|\n", content, maxsplit=1)[0].decode("utf-8", errors="replace")
    delimiter = max(DELIMITERS, key=first.count)
    header = next(csv.reader([first], delimiter=delimiter))
    _refuse_twice([name.strip() for name in header], label)
    return content, first, delimiter, header


def _parse(
    content: bytes, delimiter: str, types: dict[str, pa.DataType], options: Options, *, block: int | None = None
) -> pa.Table:
    return pa.csv.read_csv(
        pa.BufferReader(content),
        read_options=pa.csv.ReadOptions(block_size=block and min(block, MOST)),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter),
        convert_options=pa.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=_SPELLINGS,
            strings_can_be_null=False,
            decimal_point=options.decimal,
        ),
    )


def used_columns(roles: Roles) -> list[str]:
    """Names of the columns that play a role, in the order of the roles."""
    named = (roles.timestamp, roles.entity, roles.metric, roles.value)
    return [name for name in named if name is not None] + list(roles.metrics)


def _refuse_twice(names: list[str], label: str) -> None:
    """Raise for the first column that a header has more than once, if there is one."""
    for name, times in Counter(names).items():
        if times > 1:
            remedy = "rename one in the file"
            raise ContractError(
                file=label, column=name, expected="each column once", got=f"{times} of it", remedy=remedy
            )


def _refuse_ragged(content: bytes, delimiter: str, width: int, label: str) -> None:
    """Raise for the first row that has another number of cells than the header, if there is one."""
    rows = csv.reader(io.StringIO(content.decode("utf-8", errors="replace"), newline=""), delimiter=delimiter)
    filled = (row for row in rows if row)
    next(filled)
    for number, row in enumerate(filled, start=1):
        if len(row) != width:
            last = next(filled, None) is None
            cut = last and len(row) < width
            remedy = "the file ends in the middle of a row: fetch or export it again" if cut else "mend the row"
            if cut and any("\n" in cell for cell in row):
                remedy = "a quote that opens in this row is never closed: close it, or export the file again"
            if len(row) > width:
                remedy += f"; a text that holds {delimiter!r} belongs in quotes"
            raise ContractError(
                file=label, row=number, expected=f"{width} cells as in the header", got=f"{len(row)}", remedy=remedy
            )
