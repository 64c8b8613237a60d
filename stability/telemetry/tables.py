"""From a file to a raw table: CSV, Parquet and JSON, with the columns typed by the roles that they play."""

from __future__ import annotations

__all__ = ["SPELLINGS", "read_cells", "read_table"]

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stability.schema import ContractError
from stability.telemetry.cells import NULLS
from stability.telemetry.framing import Frame, frame_of
from stability.telemetry.layout import Roles, find_roles
from stability.telemetry.objects import is_json, rows_of
from stability.telemetry.options import Options
from stability.telemetry.signatures import refuse_documents
from stability.telemetry.sources import CHUNK, MARK, PARQUET, Source
from stability.telemetry.streams import Pipe, Tap, beginning, empty, text_of, unpacked, without_comments

csv.field_size_limit(1 << 30)  # a cell of megabytes is told by its row, not by the limit of Python's reader
MOST = (1 << 31) - 1  # bytes of a block that Arrow can have
_UNNAMED = re.compile(r"^__index_level_0__$")  # what pandas calls a nameless index in Parquet
# Arrow compares exactly, so each spelling is listed as people write it; others go the slow way and are found there.
SPELLINGS = sorted({form for null in NULLS for form in (null, null.upper(), null.capitalize())} | {"NaN", "N/a"})


def read_table(
    source: Source, options: Options, advance: Callable[[int], object] | None = None
) -> tuple[pd.DataFrame, Roles, dict]:
    """Read a table and find out which column is what.

    Parameters
    ----------
    source : Source
        A CSV file (separated by comma, semicolon, tab or bar, whichever its header has most of, or as the options
        say), a JSON file of rows or series, plain or gzip, or a Parquet file. Its content says which, not its name.
    options : Options
    advance : callable, optional
        Told the number of bytes read since it was told last.

    Returns
    -------
    frame : DataFrame
        The columns that play a role; index 0 is the first data row. Metrics are float64 where every cell is a number,
        else as they came.
    roles : Roles
    facts : dict
        Of the bytes as stored: sha256, bytes.

    Raises
    ------
    ContractError
        The file is not what it says, a row has too few or too many cells, or there is no row.

    Notes
    -----
    CSV is parsed a piece at a time, so that its text is never in memory as a whole, only the numbers that it holds;
    where some cell is no number, the columns are kept as text to be looked at.
    """
    tap, label = Tap(source, advance), source.label
    opened = unpacked(tap, label)
    first = next(opened, b"")
    waiting = [itertools.chain([first], opened)]  # the first look at the file goes on where this one ended

    def content() -> Iterator[bytes]:
        return waiting.pop() if waiting else unpacked(tap, label)

    def lines() -> Iterator[bytes]:
        text = text_of(content(), label, options.encoding)
        return without_comments(text, options.comment) if options.comment else text

    if not first:
        raise empty(label)
    if first.startswith(PARQUET):
        frame, roles = _read_parquet(b"".join(content()), label, options)
    elif is_json(beginning(first, options.encoding)):
        frame, roles = _read_json(b"".join(lines()), label, options)
    else:
        frame, roles = _read_csv(lines, label, options)
    if frame.empty:
        raise ContractError(
            file=label,
            expected="at least one row below the header",
            got="a header alone",
            remedy="export the file again, or leave it out",
        )
    if not tap.sha256:  # the parser stopped before the end
        for _ in tap:
            pass
    return frame, roles, {"sha256": tap.sha256, "bytes": tap.size}


def read_cells(content: bytes, label: str) -> pd.DataFrame:
    """Read a CSV as the text of its cells: for tables whose columns mean what their contract says.

    Parameters
    ----------
    content : bytes
        The file, unpacked, in UTF-8.
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
    content = content.removeprefix(MARK)
    refuse_documents(content, label)
    frame = frame_of([content], label, Options())
    _refuse_twice(list(frame.names), label)
    rows = b"".join(frame.rows)
    _refuse_ragged(replace(frame, rows=iter([rows])), len(frame.names), label)
    settings = {"header": None, "names": list(frame.names), "dtype": str, "keep_default_na": False, "na_values": [""]}
    if not rows.strip():
        return pd.DataFrame(columns=list(frame.names), dtype="str")
    return pd.read_csv(io.BytesIO(rows), sep=frame.delimiter, index_col=False, **settings)


def _read_parquet(content: bytes, label: str, options: Options) -> tuple[pd.DataFrame, Roles]:
    try:
        file = pa.parquet.ParquetFile(pa.BufferReader(content))
        stored = list(file.schema_arrow.names)
        names = [_UNNAMED.sub("index", str(name).strip()) for name in stored]
        _refuse_twice(names, label)
        roles = find_roles(names, options, file=label)
        used = [stored[names.index(name)] for name in roles.used]
        # Without pandas' metadata an index comes back as the columns that it was stored in.
        frame = file.read(columns=used).select(used).to_pandas(ignore_metadata=True)
    except ContractError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        expected, got = "a whole Parquet file", f"a file cut short or damaged ({str(error).splitlines()[0]})"
        raise ContractError(file=label, expected=expected, got=got, remedy="write or fetch it again") from error
    return frame.set_axis(roles.used, axis=1), roles


def _read_json(content: bytes, label: str, options: Options) -> tuple[pd.DataFrame, Roles]:
    frame = rows_of(content, label)
    _refuse_twice(list(frame.columns), label)
    roles = find_roles(frame.columns, options, file=label)
    return frame[roles.used], roles


def _read_csv(lines: Callable[[], Iterator[bytes]], label: str, options: Options) -> tuple[pd.DataFrame, Roles]:
    frame = frame_of(_documents_refused(lines(), label), label, options)
    names = list(frame.names)
    last = len(names) - next((at for at, name in enumerate(reversed(names)) if name), len(names))
    unnamed = {f"\0{at}": at for at in range(last, len(names))}  # separators at the end of rows make columns of nothing
    _refuse_twice(names[:last], label)
    roles = find_roles(names[:last], options, file=label)
    texts = {*roles.stamps, roles.entity, roles.metric, *roles.labels} - {None}
    types = {name: pa.string() if name in texts else pa.float64() for name in roles.used}
    types |= dict.fromkeys(unnamed, pa.string())
    all_names = [*names[:last], *unnamed]
    try:
        table = _parse(frame, all_names, types, options)
    except pa.ArrowInvalid as error:
        size = _refuse_ragged(frame_of(lines(), label, options), len(names), label)
        try:
            # Some cell is no plain number: as text it can be looked at, mended or named. One block holds any cell.
            texts = dict.fromkeys(types, pa.string())
            table = _parse(frame_of(lines(), label, options), all_names, texts, options, block=size + CHUNK)
        except pa.ArrowInvalid:
            expected, got = f"CSV separated by {frame.delimiter!r}", str(error).splitlines()[0]
            raise ContractError(file=label, expected=expected, got=got, remedy="export the file again") from error
    for name, at in unnamed.items():
        filled = [row for row, cell in enumerate(table[name].to_pylist()) if cell and cell.strip()][:1]
        if filled:
            row, got = filled[0] + 1, f"a cell in column {at + 1}, which has none"
            raise ContractError(file=label, row=row, expected="a name in the header for each column", got=got)
    table = table.select(roles.used)  # the only one that holds the columns, so that each is let go once it is converted
    return table.to_pandas(split_blocks=True, self_destruct=True), roles


def _documents_refused(chunks: Iterator[bytes], label: str) -> Iterator[bytes]:
    first = next(chunks, b"")
    refuse_documents(first, label)
    return itertools.chain([first], chunks)


def _parse(
    frame: Frame, names: list[str], types: dict[str, pa.DataType], options: Options, *, block: int = CHUNK
) -> pa.Table:
    first = next(frame.rows, b"")
    while not first.strip():
        more = next(frame.rows, None)
        if more is None:
            return pa.table({name: pa.array([], kind) for name, kind in types.items()})
        first += more
    reader = pa.csv.open_csv(
        io.BufferedReader(Pipe(itertools.chain([first], frame.rows)), CHUNK),  # gives as many bytes as are asked for
        read_options=pa.csv.ReadOptions(column_names=names, block_size=min(block, MOST)),
        parse_options=pa.csv.ParseOptions(delimiter=frame.delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=SPELLINGS,
            strings_can_be_null=False,
            decimal_point=options.decimal,
        ),
    )
    return reader.read_all()


def _refuse_twice(names: list[str], label: str) -> None:
    """Raise for the first column that a header has more than once, if there is one."""
    for name, times in Counter(names).items():
        if times > 1:
            got, remedy = f"{times} of it", "rename one in the file"
            raise ContractError(file=label, column=name, expected="each column once", got=got, remedy=remedy)


def _refuse_ragged(frame: Frame, width: int, label: str) -> int:
    """Raise for the first row that has another number of cells than the header; else tell the longest row's length."""
    text = io.TextIOWrapper(io.BufferedReader(Pipe(frame.rows)), encoding="utf-8", newline="")
    rows = csv.reader(text, delimiter=frame.delimiter)
    filled, longest = (row for row in rows if row), 0
    for number, row in enumerate(filled, start=1):
        longest = max(longest, sum(map(len, row)) * 4 + 4 * len(row))  # bytes: no character has more than four
        if len(row) != width:
            last = next(filled, None) is None
            cut = last and len(row) < width
            remedy = "the file ends in the middle of a row: fetch or export it again" if cut else "mend the row"
            if cut and any("\n" in cell for cell in row):
                remedy = "a quote that opens in this row is never closed: close it, or export the file again"
            if len(row) > width:
                remedy += f"; a text that holds {frame.delimiter!r} belongs in quotes"
            expected = f"{width} cells as in the header"
            raise ContractError(file=label, row=number, expected=expected, got=f"{len(row)}", remedy=remedy)
    return longest
