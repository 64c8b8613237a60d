"""A user's own files as a dataset: telemetry through the reader, the other tables straight into their contracts."""

from __future__ import annotations

__all__ = ["FILES"]

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from stability.datasets.sources import Dataset
from stability.schema import ContractError, home, read_table, validate
from stability.telemetry import read
from stability.telemetry.sources import locate

CHUNK = 1 << 20  # bytes read at a time while a file is hashed


def load(
    path: str | Iterable[str] = (),
    faults: str | None = None,
    windows: str | None = None,
    topology: str | None = None,
    logs: str | None = None,
    states: str | None = None,
    reader: Mapping | None = None,
) -> dict[str, pd.DataFrame]:
    """Load a user's own files.

    Parameters
    ----------
    path : str or list of str
        Telemetry: files, globs or URLs, relative to the workbench's folder.
    faults, windows, topology, logs, states : str, optional
        CSV or Parquet with the columns of the contract; stamps carry an offset (`2026-01-01T00:00:00Z`).
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
    try:
        panel = read(_telemetry(path), **(reader or {}))
    except TypeError as error:
        message = f"dataset 'files', option 'reader': {error}"
        raise ContractError(message, remedy="see `help(stability.telemetry.read)`") from None
    return {"telemetry": panel} | {name: _table(_near(file), name) for name, file in others.items() if file}


def _telemetry(path: str | Iterable[str]) -> list[str]:
    paths = [path] if isinstance(path, str) else list(path)
    if not paths:
        raise ContractError(
            "dataset 'files'",
            column="path",
            expected="the files to read",
            got="none",
            remedy="options: {path: my/*.csv}",
        )
    return [_near(p) for p in paths]


def _near(path: str) -> str:
    """A relative path starts at the workbench's folder: a notebook and a night must mean the same file."""
    return path if "://" in path or Path(path).expanduser().is_absolute() else str(home() / path)


def _table(path: str, name: str) -> pd.DataFrame:
    if path.endswith((".parquet", ".pq")):
        return read_table(path, name)
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise ContractError(file=path, expected=f"a CSV of table '{name}'", got=str(error)) from error
    return validate(frame, name, source=path)


def digests(**options) -> dict[str, str]:
    """Sha256 of every file that `load` would read."""
    files = [source for path in _telemetry(options.get("path", ())) for source in locate(path)]
    others = [v for k, v in options.items() if k not in ("path", "reader") and v]
    files += [source for path in others for source in locate(_near(path))]
    return {file.label: _sha256(file) for file in files}


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
