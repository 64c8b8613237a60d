"""Snapshots: what a source that moves said at one moment, named by its content, so that any night can be repeated."""

from __future__ import annotations

__all__ = ["ERASED", "SNAPSHOT", "Snapshot", "erasures", "noted", "root", "take", "told"]

import contextlib
import datetime as dt
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stability.datasets.period import Period
from stability.datasets.sources import Dataset, checksum
from stability.records.privacy.stored import ERASED
from stability.schema import TABLES, ContractError, home, nearest, read_table, write_table

CARD = "snapshot.json"
PART = ".part-"
STALE = 86_400  # s after which the unfinished folder of a process that was killed is removed


@dataclass(frozen=True)
class Snapshot:
    """What was taken: its name, its period, its rows a table."""

    sha256: str
    within: Period
    rows: dict[str, int]


def root() -> Path:
    """The folder that holds every snapshot of this workbench."""
    return home() / "runs" / ".snapshots"


def take(tables: Mapping[str, pd.DataFrame], source: Mapping[str, Any], within: Period) -> Snapshot:
    """Write tables as a snapshot, whole or not at all; equal tables are one snapshot, whoever takes them when.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Tables of the contract.
    source : mapping
        Where they come from, without secrets, JSON types; goes into the snapshot's card.
    within : Period
        The stretch of time that was read.

    Returns
    -------
    Snapshot

    Raises
    ------
    ContractError
        When a table breaks its contract, or something in it was erased here before and is still in the source.
    """
    root().mkdir(parents=True, exist_ok=True)
    _sweep()
    part = root() / f"{PART}{secrets.token_hex(8)}"
    part.mkdir()
    try:
        files = {}
        for name, frame in tables.items():
            plain = frame.copy(deep=False)
            plain.attrs = {}  # pandas keeps them in the file: notes of the reader's, not content
            path = write_table(plain, part / f"{name}.parquet", name if name in TABLES else "other")
            files[path.name] = checksum(path)
        rows = {name: len(frame) for name, frame in tables.items()}
        card = {
            "source": dict(source),
            "start": _iso(within.start),
            "end": _iso(within.end),
            "taken": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "rows": rows,
            "files": files,
        }
        (part / CARD).write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        name = _name(files)
        _settle(part, name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Snapshot(name, within, rows)


def load(sha256: str, erased: bool = False) -> dict[str, pd.DataFrame]:
    """Load a snapshot of the workbench's, after a look at every byte of it.

    Parameters
    ----------
    sha256 : str
        Its name, as a run's tag `data.sha256` has it.
    erased : bool
        Take it as it is after an erasure, with the tombstones; without it such a snapshot is refused.

    Returns
    -------
    dict
        The tables of the contract that were taken.

    Raises
    ------
    ContractError
        When there is no such snapshot, a file of it is missing or altered, or something was erased from it.
    """
    folder, files = _intact(sha256, erased)
    names = [Path(file).stem for file in files]
    return {name: read_table(folder / f"{name}.parquet", name if name in TABLES else None) for name in names}


def erasures(sha256: str) -> list[dict[str, Any]]:
    """What was erased from a snapshot, and when: a list of moment, pseudonym, tables and rows; empty where nothing.

    Raises
    ------
    ContractError
        When the note of the erasure cannot be read.
    """
    return noted(root() / sha256)


def noted(folder: Path) -> list[dict[str, Any]]:
    """The same of any folder with tables."""
    note = folder / ERASED
    if not note.is_file():
        return []
    try:
        entries = json.loads(note.read_text(encoding="utf-8"))
        return [dict(entry) for entry in (entries if isinstance(entries, list) else [entries])]
    except (ValueError, TypeError) as error:
        raise ContractError(file=note, expected="a list of erasures in JSON", got=str(error)) from error


def told(entries: list[dict[str, Any]]) -> str:
    """Say what was erased, in half a sentence."""
    said = []
    for entry in entries:
        what = entry.get("pseudonym") or "rows that were too old"
        said.append(f"{what} in {', '.join(_tables(entry)) or 'unknown tables'}, {entry.get('moment', 'once')}")
    return "; ".join(said)


def _tables(entry: Mapping[str, Any]) -> list[str]:
    return [str(name).removesuffix(".parquet") for name in entry.get("tables") or []]


def _settle(part: Path, name: str) -> None:
    """Give a finished folder its name; who comes second with the same content finds it there."""
    target = root() / name
    for _ in range(3):
        with contextlib.suppress(OSError):
            part.rename(target)
            return
        if erasures(name):
            raise ContractError(
                file=target,
                expected="a source without what was erased from its snapshot",
                got=f"the same data again: {told(erasures(name))}",
                remedy="erase it at the source, too, or use a pseudonym",
            )
        try:
            _verified(target, set())
            return
        except ContractError:
            # Somebody damaged it, and here is the same content whole.
            aside = root() / f"{PART}{secrets.token_hex(8)}"
            with contextlib.suppress(OSError):
                target.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
    raise ContractError(file=target, expected="a folder that can be written", got="one that cannot")


def _sweep() -> None:
    for left in root().glob(f"{PART}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)


def _found(sha256: str) -> Path:
    folder = root() / str(sha256)
    if not str(sha256).isalnum() or not folder.is_dir():
        there = [p.name for p in root().glob("[0-9a-f]*")]
        raise ContractError(
            file=root(), expected="a snapshot by its sha256", got=str(sha256), remedy=nearest(str(sha256), there)
        )
    return folder


def _verified(folder: Path, altered: set[str]) -> dict[str, str]:
    """Checksums of a snapshot's files, after comparing their bytes with its name; those in `altered` are let pass."""
    remedy = "run the experiment again, which takes a new snapshot"
    try:
        files = json.loads((folder / CARD).read_text(encoding="utf-8"))["files"]
        whole = _name(files) == folder.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(file=folder / CARD, expected="a snapshot's card", got=str(error), remedy=remedy) from error
    if not whole:
        raise ContractError(
            file=folder / CARD, expected=f"checksums whose sha256 is {folder.name}", got=_name(files), remedy=remedy
        )
    for name, digest in files.items():
        if name in altered:
            continue
        got = checksum(folder / name) if (folder / name).is_file() else "no file"
        if got != digest:
            raise ContractError(file=folder / name, expected=f"sha256 {digest}", got=got, remedy=remedy)
    return files


def _name(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def _iso(moment: pd.Timestamp | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _intact(name: str, erased: bool) -> tuple[Path, dict[str, str]]:
    """A snapshot's folder and the checksums of its files, after a look at their bytes."""
    folder, gone = _found(name), erasures(name)
    if gone and not erased:
        raise ContractError(
            file=folder,
            expected="the snapshot as it was taken",
            got=f"one from which something was erased: {told(gone)}",
            remedy="load it with erased=True to have it as it is now",
        )
    return folder, _verified(folder, {f"{table}.parquet" for entry in gone for table in _tables(entry)})


def _fetch() -> Path:
    raise ContractError("a snapshot is taken by `stability run`: there is nothing to fetch")


SNAPSHOT = Dataset(
    name="snapshot",
    description="what a run has read from files, a Prometheus or a database: options {sha256: ...} of its page",
    licence="as its source",
    citation="",
    labels="as its source",
    origin="runs/.snapshots",
    load=load,
    files=None,
    digests=lambda sha256, erased=False: _intact(sha256, erased)[1],
    fetch=_fetch,
)
