"""The tables that a workbench has stored, and how one of them is changed: whole, in place, under each of its names."""

from __future__ import annotations

__all__ = ["ERASED", "note", "rewrite", "stored_files", "stored_pages"]

import datetime as dt
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stability.schema import ContractError, home

ERASED = "ERASED.json"
PAGES = {".ipynb", ".html", ".json", ".log", ".txt", ".md", ".diff"}
LARGEST_PAGE = 64 << 20  # bytes of a page that is searched


def stored_files() -> Iterator[Path]:
    """Give every stored table: of snapshots, of runs' steps, of MLflow's artifacts in the workbench's folder."""
    runs, artifacts = home() / "runs", home() / "mlartifacts"
    for pattern in (".snapshots/*/*.parquet", "*/*/steps/*/*.parquet"):
        for path in sorted(runs.glob(pattern)):
            if not any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(runs)):
                yield path
    yield from sorted(artifacts.glob("**/tables/*.parquet"))


def stored_pages() -> Iterator[Path]:
    """Give every stored notebook, page and text of runs."""
    for root in (home() / "runs", home() / "mlartifacts"):
        for folder, _, names in os.walk(root):
            for name in sorted(names):
                path = Path(folder) / name
                if path.suffix in PAGES and name != ERASED and not path.is_symlink():
                    yield path


def rewrite(
    paths: Iterable[Path], change: Callable[[pd.DataFrame, str], tuple[pd.DataFrame, int]], *, dry_run: bool = False
) -> list[tuple[Path, int]]:
    """Change tables in place; a file under several names (hard links) is changed once and keeps them all.

    Parameters
    ----------
    paths : iterable of path
        Parquet files; those that are none are left alone.
    change : callable
        (columns of text, as objects, and of time in a frame; name of the contract or of the file) -> (the frame, with
        fewer rows or with other texts, and how many rows were changed). Index: the row's place.
    dry_run : bool
        Only count.

    Returns
    -------
    list of (path, int)
        What was changed, each name of a file, with the number of rows.
    """
    done: dict[tuple[int, int], tuple[Path, int]] = {}
    changed = []
    for path in paths:
        stat = path.stat()
        same = (stat.st_dev, stat.st_ino)
        if same in done:
            first, rows = done[same]
            if rows and not dry_run:
                _replace(path, lambda part, first=first: os.link(first, part))
        else:
            rows = _rewrite_one(path, change, dry_run)
            done[same] = (path, rows)
        if rows:
            changed.append((path, rows))
    return changed


def _rewrite_one(path: Path, change, dry_run: bool) -> int:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError, ValueError):
        return 0
    notes = json.loads((table.schema.metadata or {}).get(b"stability", b"{}") or b"{}")
    name = notes.get("table") if notes.get("table") not in (None, "other") else path.stem
    wanted = [f.name for f in table.schema if _is_text(f.type) or pa.types.is_timestamp(f.type)]
    frame = pd.DataFrame({n: table.column(n).to_pandas() for n in wanted})
    for name_of_text in (f.name for f in table.schema if _is_text(f.type)):
        frame[name_of_text] = frame[name_of_text].astype(object)
    after, rows = change(frame.copy(), name)
    if not rows or dry_run:
        return rows
    if len(after) < len(table):
        table = table.take(pa.array(after.index))
    for place, field in enumerate(table.schema):
        if _is_text(field.type):
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            cells = [value if isinstance(value, str) else None for value in after[field.name]]
            column = pa.array(cells, type=kind)
            if kind != field.type:
                column = column.dictionary_encode().cast(field.type)
            table = table.set_column(place, field, column)
    _replace(path, lambda part: _write(table, part))
    return rows


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _write(table: pa.Table, part: Path) -> None:
    with part.open("xb") as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        make(part)
        part.replace(path)
    except OSError as error:
        raise ContractError(file=path, expected="a table that can be replaced", got=str(error)) from error
    finally:
        part.unlink(missing_ok=True)


def note(changed: Iterable[tuple[Path, int]], entry: dict) -> str:
    """Leave in each folder what was taken out of its tables: `ERASED.json`, a list, the newest entry last.

    Parameters
    ----------
    changed : iterable of (path, int)
        As `rewrite` gives it.
    entry : dict
        ``pseudonym`` (None for a retention); ``moment``, ``tables`` and ``rows`` are added.

    Returns
    -------
    str
        The moment, ISO 8601.
    """
    entry = {"moment": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), **entry}
    folders: dict[Path, dict[str, int]] = {}
    for path, rows in changed:
        folders.setdefault(path.parent, {})[path.name] = rows
    for folder, tables in folders.items():
        file = folder / ERASED
        known = json.loads(file.read_text()) if file.exists() else []
        text = json.dumps([*known, {**entry, "tables": sorted(tables), "rows": sum(tables.values())}], indent=2)
        _replace(file, lambda part, text=text: part.write_text(text + "\n"))
    return entry["moment"]
