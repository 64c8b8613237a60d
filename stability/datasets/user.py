"""A user's own files as a dataset: telemetry through the reader, the other tables straight into their contracts."""

from __future__ import annotations

__all__ = ["FILES"]

import dataclasses
import hashlib
import inspect
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException

from stability.datasets.sources import Dataset
from stability.schema import TABLES, ContractError, home, nearest, validate
from stability.telemetry import read
from stability.telemetry.cells import to_utc
from stability.telemetry.layout import Options
from stability.telemetry.sources import PARQUET, fetch, locate
from stability.telemetry.tables import read_cells

CHUNK = 1 << 20  # bytes read at a time while a file is hashed


def load(
    path: str | Iterable[str] = (),
    faults: str | None = None,
    windows: str | None = None,
    topology: str | None = None,
    logs: str | None = None,
    states: str | None = None,
    feedback: str | None = None,
    reader: Mapping | None = None,
) -> dict[str, pd.DataFrame]:
    """Load a user's own files.

    Parameters
    ----------
    path : str or list of str
        Telemetry: files, globs or URLs, relative to the workbench's folder.
    faults, windows, topology, logs, states, feedback : str, optional
        CSV or Parquet with the columns of the contract. Stamps without an offset are in the reader's `timezone`, and
        refused where it has none.
    reader : mapping, optional
        Options of `telemetry.read`: layout, entity, timestamp, columns, scale, timezone, ...

    Returns
    -------
    dict
        `telemetry`, and each other table that was given.

    Raises
    ------
    ContractError
        As `telemetry.read` and `schema.validate`.
    """
    others = {"faults": faults, "windows": windows, "topology": topology, "logs": logs, "states": states}
    options = _reader(reader or {})
    tables = {"telemetry": read(_telemetry(path), **options)}
    for name, place in {**others, "feedback": feedback}.items():
        if place:
            tables[name] = _table(_near(place, name), name, options.get("timezone"))
    return tables


def _reader(options: Mapping) -> dict:
    known = [name for name in inspect.signature(read).parameters if name != "source"]
    if not isinstance(options, Mapping):
        remedy = "reader: {timestamp: time, timezone: UTC}"
        raise ContractError(column="reader", expected="options by name", got=repr(options), remedy=remedy)
    for name in options:
        if name not in known:
            expected = "an option of telemetry.read in 'reader'"
            raise ContractError(expected=expected, got=repr(name), remedy=nearest(str(name), known))
    read_as = {field.name for field in dataclasses.fields(Options)}
    Options(**{name: value for name, value in options.items() if name in read_as})
    return dict(options)


def _telemetry(path: str | Iterable[str]) -> list[str]:
    paths = list(path) if isinstance(path, list | tuple) else [path]
    if not paths:
        raise ContractError(
            "dataset 'files'",
            column="path",
            expected="the files to read",
            got="none",
            remedy="options: {path: my/*.csv}",
        )
    return [_near(p, "path") for p in paths]


def _near(path: str, option: str) -> str:
    """A relative path starts at the workbench's folder: a notebook and a night must mean the same file."""
    if not isinstance(path, str) or not path:
        raise ContractError(column=option, expected="a path or URL", got=repr(path), remedy=f"{option}: my/file.csv")
    return path if "://" in path or Path(path).expanduser().is_absolute() else str(home() / path)


def _table(path: str, name: str, timezone: str | None) -> pd.DataFrame:
    """Read one file of a table, near or far, CSV or Parquet, into its contract."""
    sources = locate(path)
    if len(sources) > 1:
        raise ContractError(file=path, expected=f"one file with the table '{name}'", got=f"{len(sources)} of them")
    content = fetch(sources[0])[1]
    try:
        if content.startswith(PARQUET):
            return validate(pd.read_parquet(io.BytesIO(content)), name, source=path)
        frame = read_cells(content, path)
    except (ArrowException, OSError, pd.errors.ParserError) as error:
        expected, got = f"a whole table of '{name}'", str(error).splitlines()[0]
        raise ContractError(file=path, expected=expected, got=got, remedy="write or fetch it again") from error
    for column, declared in TABLES[name].columns.items():
        if column in frame and isinstance(declared.dtype.type, pd.DatetimeTZDtype) and frame[column].notna().any():
            known = frame[column].dropna()
            moments, _, _ = to_utc(known, file=path, column=column, timezone=timezone)
            frame[column] = pd.Series(moments, index=known.index).reindex(frame.index)
    return validate(frame, name, source=path)


def digests(**options) -> dict[str, str]:
    """Sha256 of every file that `load` would read."""
    _reader(options.get("reader") or {})
    files = [source for path in _telemetry(options.get("path", ())) for source in locate(path)]
    others = {name: path for name, path in options.items() if name not in ("path", "reader") and path}
    files += [source for name, path in others.items() for source in locate(_near(path, name))]
    root = f"{home()}/"  # the same files in another checkout are the same data
    return {file.path.removeprefix(root): _sha256(file) for file in files}


def _sha256(file) -> str:
    digest = hashlib.sha256()
    with file.system.open(file.path, "rb") as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _fetch() -> Path:
    raise ContractError(
        "dataset 'files' is a user's own: there is nothing to fetch", remedy="name your files in a spec"
    )


FILES = Dataset(
    name="files",
    description="your own CSV or Parquet, near or far: options {path: ..., faults: ..., reader: {...}}",
    licence="yours",
    citation="",
    labels="what you give",
    origin="you",
    load=load,
    files=None,
    digests=digests,
    fetch=_fetch,
)
