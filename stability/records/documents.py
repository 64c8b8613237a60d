"""Tables and documents of any tool as rows of text: CSV, JSON, JSON lines, Parquet; nested keys joined by dots."""

from __future__ import annotations

__all__ = ["find_records", "read_frame", "read_rows"]

import csv
import io
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from stability.records.forms import flatten
from stability.schema import ContractError, coerce_column, nearest
from stability.telemetry.sources import PARQUET, locate
from stability.telemetry.streams import fetch

DELIMITERS = ",;\t|"
#: Where tools put the list of records in a document, looked for in this order.
LISTS = (
    "issues", "incidents", "tickets", "alerts", "result", "results", "records", "items", "hits.hits", "hits", "events",
    "logs", "faults", "feedback", "edges", "links", "data", "rows", "value", "values",
)  # fmt: skip
LARGEST_CELL = 1 << 24  # characters of a CSV cell: a ticket's description may be long


def read_frame(source: str, *, form: str = "auto", records: str | None = None, storage: dict | None = None):
    """Read the files of a table as they are.

    Parameters
    ----------
    source : str, path, or iterable of them
        Paths, globs, URLs; plain or gzip.
    form : {"auto", "csv", "json", "parquet"}
        What the files are; ``"auto"`` tells by their first bytes.
    records : str, optional
        Where in a JSON document the list lies, by dots: ``"data.items"``.
    storage : dict, optional
        Options of fsspec's file system.

    Returns
    -------
    frame : DataFrame of str
        A row a record, missing where it has no such field; index from 0 over all files.
    label : str
        Name for messages: the file, or the first of several.

    Raises
    ------
    ContractError
        With file and row.
    """
    known = ("auto", "csv", "json", "parquet")
    if form not in known:
        raise ContractError(column="form", expected="a form of a table", got=repr(form), remedy=nearest(form, known))
    sources = locate(source, **(storage or {}))
    frames = []
    for file in sources:
        content = fetch(file)
        start = content[:200].removeprefix(b"\xef\xbb\xbf").lstrip()
        kind = form if form != "auto" else "json" if start[:1] in (b"{", b"[") else "table"
        if kind == "json":
            rows = [flatten(document) for document in find_records(content, file.label, records)]
        else:
            rows = read_rows(content, file.label)
        frames.append(pd.DataFrame(rows, dtype="str"))
    frame = pd.concat(frames, ignore_index=True)
    label = sources[0].label + (f" and {len(sources) - 1} more" if len(sources) > 1 else "")
    if frame.empty:
        raise ContractError(file=label, expected="at least one record", got="none", remedy="export it again")
    return frame.astype("str").where(lambda cells: cells.apply(lambda column: column.str.strip()) != ""), label


def find_records(content: bytes, label: str = "", records: str | None = None) -> list[dict]:
    """Find the list of records in a JSON document, or one record a line.

    Parameters
    ----------
    content : bytes
        JSON in UTF-8.
    label : str
        The file's name in errors.
    records : str, optional
        Where the list lies, by dots. Without it: the document itself, a usual name, or its only list.

    Returns
    -------
    list of dict

    Raises
    ------
    ContractError
        For text that is no JSON, and where there is no list or several.

    Examples
    --------
    >>> find_records(b'{"total": 1, "issues": [{"key": "A-1"}]}')
    [{'key': 'A-1'}]
    >>> find_records(b'{"a": 1}\\n{"a": 2}\\n')
    [{'a': 1}, {'a': 2}]
    """
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _json_lines(text, label, error)
    found = document
    if records is not None:
        for name in records.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, list):
            raise ContractError(
                file=label, column="records", expected="the place of a list", got=repr(records), remedy=_lists(document)
            )
    elif isinstance(document, dict):
        found = _list_in(document, label)
    if not isinstance(found, list):
        raise ContractError(file=label, expected="a list of records", got=f"{type(found).__name__} alone")
    for row, record in enumerate(found, start=1):
        if not isinstance(record, dict):
            expected, got = "an object with named fields", repr(record)[:120]
            raise ContractError(file=label, row=row, expected=expected, got=got)
    return found


def _json_lines(text: str, label: str, whole: Exception) -> list[dict]:
    """Read one object a line; if even the first is none, it was a document, and its error is told."""
    found = []
    for row, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not found:
                remedy = "export it again; it may have been cut short"
                raise ContractError(
                    file=label, expected="JSON", got=f"text that is not ({whole})", remedy=remedy
                ) from whole
            remedy = "the file was cut short, or is no JSON lines"
            raise ContractError(
                file=label, row=row, expected="an object a line", got=f"{line[:120]!r} ({error})", remedy=remedy
            ) from error
        if not isinstance(record, dict):
            raise ContractError(file=label, row=row, expected="an object a line", got=repr(line[:120]))
        found.append(record)
    return found


def _list_in(document: dict, label: str):
    for place in LISTS:
        found = document
        for name in place.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, list) and (not found or isinstance(found[0], dict)):
            return found
    lists = [
        name for name, value in document.items() if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    if len(lists) == 1:
        return document[lists[0]]
    if not lists:
        return [document]  # a record alone
    expected, got = "a document with one list of records", f"the lists {', '.join(lists)}"
    raise ContractError(file=label, expected=expected, got=got, remedy=f"records={lists[0]!r}")


def _lists(document) -> str:
    if not isinstance(document, dict):
        return "leave `records` out: the document is a list"
    return nearest("", [name for name, value in document.items() if isinstance(value, list | dict)])


def read_rows(content: bytes, label: str = "") -> list[dict[str, str]]:
    """Read a CSV or Parquet file as rows of text; what is empty is left out.

    Parameters
    ----------
    content : bytes
        CSV in UTF-8, separated by whichever of comma, semicolon, tab and bar its header has most of, or Parquet. The
        cells of a column that stands several times (Jira's labels) are joined by commas.
    label : str
        The file's name in errors.

    Returns
    -------
    list of dict of str to str

    Raises
    ------
    ContractError
        With the row.

    Examples
    --------
    >>> read_rows(b"Issue key;Labels;Labels\\nA-1;x;y\\n")
    [{'Issue key': 'A-1', 'Labels': 'x,y'}]
    """
    if content.startswith(PARQUET):
        return _parquet_rows(content, label)
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    limit = csv.field_size_limit(LARGEST_CELL)
    try:
        cells = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        remedy = "a text that holds quotes has them doubled; a file that ends inside of quotes was cut short"
        raise ContractError(
            file=label, expected=f"CSV separated by {delimiter!r}", got=str(error), remedy=remedy
        ) from error
    finally:
        csv.field_size_limit(limit)
    header = [name.strip() for name in cells[0]]
    if len(cells) == 1:
        expected = "at least one row below the header"
        raise ContractError(
            file=label, expected=expected, got="a header alone", remedy="export it again, or leave it out"
        )
    rows = []
    for number, row in enumerate(cells[1:], start=1):
        if len(row) != len(header):
            cut = number == len(cells) - 1 and len(row) < len(header)
            remedy = (
                "the file ends in the middle of a row: export it again"
                if cut
                else f"mend the row; a text that holds {delimiter!r} belongs in quotes"
            )
            raise ContractError(
                file=label,
                row=number,
                expected=f"{len(header)} cells as in the header",
                got=f"{len(row)}",
                remedy=remedy,
            )
        found: dict[str, str] = {}
        for name, cell in zip(header, row, strict=True):
            if cell.strip():
                found[name] = f"{found[name]},{cell}" if name in found else cell
        rows.append(dict.fromkeys(header) | found)
    return rows


def _parquet_rows(content: bytes, label: str) -> list[dict[str, str]]:
    try:
        frame = pa.parquet.read_table(pa.BufferReader(content)).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        got = f"a file cut short or damaged ({str(error).splitlines()[0]})"
        raise ContractError(
            file=label, expected="a whole Parquet file", got=got, remedy="write or fetch it again"
        ) from error
    return as_text(frame, label).to_dict("records")


def as_text(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """Turn the cells of any frame into text as a CSV file would hold them; datetimes into ISO 8601."""
    done = {}
    for name in frame.columns:
        column = frame[name]
        dates = pd.api.types.is_datetime64_any_dtype(column.dtype)
        nested = column.dtype == object and column.map(lambda value: isinstance(value, dict | list)).any()
        if nested:
            column = column.map(json.dumps)
        elif column.dtype == object:
            column = column.map(
                lambda value: value if isinstance(value, str | int | float) or value is None else str(value)
            )
        done[str(name)] = column.astype("str") if dates else coerce_column(column, "str", source=label)
    return pd.DataFrame(done).astype("object").where(lambda cells: cells.notna(), None)
