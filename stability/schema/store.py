"""Tables on disk: Parquet, written whole or not at all, with what shaped them in the file itself."""

from __future__ import annotations

__all__ = [
    "FittedOn",
    "folder_written_whole",
    "read_json_lines",
    "read_metadata",
    "read_table",
    "refuse_overlap",
    "write_table",
    "written_whole",
]

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stability.schema.coercion import coerce_column
from stability.schema.errors import ContractError, nearest
from stability.schema.validation import OTHER, SINGLE, validate

KEY = b"stability"
RESERVED = ("table", "fitted_on")


class FittedOn(TypedDict, total=False):
    """Whose data shaped a table: templates, periods, thresholds, detectors.

    Either `entities` (list of str) and `until` (ISO 8601 time with zone, the last moment seen), or `fold` (str, the
    cross-validation fold whose training part was seen), or all three.
    """

    entities: list[str]
    until: str
    fold: str


def write_table(
    frame: pd.DataFrame,
    path: str | os.PathLike,
    table: str,
    *,
    metadata: Mapping | None = None,
    fitted_on: Mapping | None = None,
) -> Path:
    """Validate a table and write it as Parquet: readers see the old file or the whole new one, never a part.

    Equal tables with equal metadata give equal bytes (under one version of pyarrow and pandas).

    Parameters
    ----------
    frame : DataFrame
        The table; validated as by `validate`.
    path : str or path
        Where to; folders are made.
    table : str
        Name of the contract, or 'other'.
    metadata : mapping, optional
        Provenance; JSON types, any keys but 'table' and 'fitted_on'.
    fitted_on : mapping, optional
        See `FittedOn`.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ContractError
        If the frame breaks its contract or the metadata are not JSON.
    """
    path = Path(path)
    frame = validate(frame, table, source=path)
    notes = {"table": table, **_checked_metadata(metadata or {}, path), "fitted_on": _checked_fitted_on(fitted_on)}
    try:
        arrow = pa.Table.from_pandas(frame)
    except (pa.ArrowException, ValueError) as error:
        raise ContractError(
            file=path, expected="a frame that Parquet can hold", got=str(error), remedy="one name and one type a column"
        ) from error
    text = json.dumps(notes, sort_keys=True, allow_nan=False).encode()
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), KEY: text})
    with written_whole(path) as file:
        pq.write_table(arrow, file, compression="zstd", write_page_checksum=True)
    return path


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written: readers see the old one or the whole new one, also after a crash; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A hidden name in the same folder: a rename is atomic only within one file system.
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextlib.contextmanager
def folder_written_whole(folder: Path) -> Iterator[Path]:
    """Give a draft to write files into, which becomes the folder at the end: whole or not at all.

    Raises
    ------
    ContractError
        When the folder is there already.
    """
    if folder.exists():
        raise ContractError(file=folder, expected="a folder that is not there yet", got="one that is")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield draft
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _sync_folder(folder.parent)


def read_table(path: str | os.PathLike, table: str | None = None) -> pd.DataFrame:
    """Read a table that `write_table` wrote, or any Parquet file that holds one, and validate it.

    Parameters
    ----------
    path : str or path
        The file.
    table : str, optional
        Name of the contract; without it the name stored in the file.

    Raises
    ------
    ContractError
        If the file is missing, empty, truncated or not Parquet, holds another table, or breaks the contract.
    """
    frame, notes = _open(path, _read_all)
    stored = notes.get("table")
    if table is None and stored is None:
        raise ContractError(
            file=path,
            expected="a table written by the workbench",
            got="a Parquet file without the name of its table",
            remedy='say which it holds: read_table(path, "telemetry")',
        )
    if table is not None and stored not in (None, table, OTHER):
        raise ContractError(file=path, expected=f"a table of {table}", got=f"one of {stored}")
    return validate(frame, table or stored, source=path)


def read_json_lines(path: str | os.PathLike) -> Iterator[dict[str, Any]]:
    """Read the objects of a file of JSON lines; a line that was cut at the end, or is being written, is left out.

    Raises
    ------
    ContractError
        For a line within the file that is no JSON, with its row.
    """
    with Path(path).open("rb") as file:
        for row, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                told = json.loads(line)
            except ValueError as error:
                raise ContractError(file=path, row=row, expected="a line of JSON", got=str(error)) from None
            if isinstance(told, dict):
                yield told


def read_metadata(path: str | os.PathLike) -> dict:
    """Read what a table's file says about itself, without its rows.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    dict
        `table`, `fitted_on` (None where nothing was fitted), and the keys given to `write_table`; empty for a file
        that the workbench did not write.

    Raises
    ------
    ContractError
        If the file is missing or not Parquet.
    """
    return _open(path, lambda file: _notes(pq.read_schema(file)))


def refuse_overlap(fitted_on: Mapping | None, test_frame: pd.DataFrame, *, fold: str | None = None) -> None:
    """Refuse test rows that lie in the data which shaped what is being tested.

    Parameters
    ----------
    fitted_on : mapping or None
        See `FittedOn`; None means that nothing was fitted, and everything may be tested.
    test_frame : DataFrame
        Rows with `entity` and `timestamp` (or `start`), in the index or as columns.
    fold : str, optional
        The fold whose test part this is; what was fitted in one fold is judged in the same only.

    Raises
    ------
    ContractError
        With the first row that overlaps and how many do.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-02", periods=3, freq="1D", tz="UTC", name="timestamp")
    >>> test = pd.DataFrame({"up": 1.0}, index=stamps).assign(entity="a").set_index("entity", append=True)
    >>> refuse_overlap({"entities": ["a"], "until": "2026-01-01T23:59:00Z"}, test)
    >>> refuse_overlap({"entities": ["a"], "until": "2026-01-02T00:00:00Z"}, test)
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: row 1: expected test rows after 2026-01-02 00:00:00+00:00...
    """
    seen = _checked_fitted_on(fitted_on)
    if seen is None:
        return
    if "fold" in seen and (fold is not None or "until" not in seen) and seen["fold"] != str(fold):
        raise ContractError(
            expected=f"the test part of fold {seen['fold']!r}, in which the table was fitted",
            got="no fold" if fold is None else f"fold {fold!r}, whose test rows may have been seen",
            remedy="judge it in its own fold: refuse_overlap(..., fold=...)",
        )
    if "until" not in seen:
        return
    single = isinstance(test_frame.index, pd.DatetimeIndex)
    rows = (test_frame.rename_axis("timestamp") if single else test_frame).reset_index()
    if "entity" not in rows:
        rows.insert(0, "entity", test_frame.attrs.get("entity", SINGLE))
    moment = "timestamp" if "timestamp" in rows else "start"
    if moment not in rows:
        there = ", ".join(map(str, rows.columns))
        raise ContractError(expected="a test table with timestamp or start", got=f"only {there}")
    until = pd.Timestamp(seen["until"]).tz_convert("UTC")
    inside = coerce_column(rows["entity"], "str").isin(seen["entities"])
    inside &= coerce_column(rows[moment], "datetime64[us, UTC]") <= until
    if inside.any():
        first = int(inside.to_numpy().argmax())
        raise ContractError(
            row=first + 1,
            expected=f"test rows after {until}, the last moment that shaped the table",
            got=f"{rows['entity'].iloc[first]} at {rows[moment].iloc[first]} ({int(inside.sum()):,} such rows)",
            remedy="test on later rows or other entities, or fit on less",
        )


def _checked_metadata(metadata: Mapping, path: Path) -> dict:
    taken = [name for name in RESERVED if name in metadata]
    if taken:
        raise ContractError(
            file=path, expected="other metadata keys", got=f"{taken[0]!r}, which the workbench writes itself"
        )
    try:
        return json.loads(json.dumps(dict(metadata), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ContractError(
            file=path,
            expected="metadata of JSON types",
            got=str(error),
            remedy="times as ISO text, numbers as int or float",
        ) from error


def _checked_fitted_on(fitted_on: Mapping | None) -> dict | None:
    if fitted_on is None:
        return None
    seen = dict(fitted_on)
    unknown = set(seen) - {"entities", "until", "fold"}
    if unknown:
        raise ContractError(
            expected="fitted_on of entities, until, fold",
            got=repr(min(unknown)),
            remedy=nearest(min(unknown), FittedOn.__annotations__),
        )
    if ("entities" in seen) != ("until" in seen) or not seen:
        raise ContractError(
            expected="fitted_on with entities and until, or with fold", got=f"{', '.join(seen) or 'nothing'}"
        )
    if "until" in seen:
        if isinstance(seen["entities"], str):
            raise ContractError(expected="fitted_on['entities'] as a list", got=repr(seen["entities"]))
        until = pd.to_datetime(seen["until"], errors="coerce")
        if until is pd.NaT or until.tzinfo is None:
            raise ContractError(expected="fitted_on['until'] as a time with its zone", got=repr(seen["until"]))
        seen["entities"] = sorted({str(entity) for entity in seen["entities"]})
        seen["until"] = until.tz_convert("UTC").isoformat()
    if "fold" in seen:
        seen["fold"] = str(seen["fold"])
    return seen


def _open(path: str | os.PathLike, reader):
    path = Path(path)
    if not path.is_file():
        there = [file.name for file in path.parent.glob("*.parquet")] if path.parent.is_dir() else []
        raise ContractError(
            file=path,
            expected="a Parquet file",
            got="a folder" if path.is_dir() else "no file",
            remedy=f"{nearest(path.name, there)} in {path.parent}",
        )
    try:
        return reader(path)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        # The last three come from a damaged footer, whose text pyarrow and pandas trust.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ContractError(
            file=path,
            expected="a whole Parquet file",
            got=f"{path.stat().st_size:,} bytes that are not one ({reason})",
            remedy="write it again; a table is only ever written by write_table, whole or not at all",
        ) from error


def _read_all(path: Path) -> tuple[pd.DataFrame, dict]:
    # Not pq.read_table: it takes `=` in a folder's name (a step's matrix) for a Hive partition and adds columns.
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read().to_pandas(), _notes(file.schema_arrow)


def _notes(schema: pa.Schema) -> dict:
    text = (schema.metadata or {}).get(KEY)
    return json.loads(text) if text else {}


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the system can open folders (Windows cannot)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
