"""The right to be forgotten, by one command: the key destroyed, the texts tombstoned, the erasure recorded."""

from __future__ import annotations

__all__ = ["Erasure", "Expiry", "erase", "erasures", "expire", "tombstone"]

import contextlib
import datetime as dt
import os
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stability.records.privacy.heard import rewrite_heard
from stability.records.privacy.policy import AGES, TEXTS, length_of_time
from stability.records.privacy.pseudonyms import LENGTH, KeyStore, is_pseudonym, normal
from stability.records.privacy.stored import LARGEST_PAGE, note, rewrite, stored_files, stored_pages
from stability.schema import ContractError, home, nearest

TOMBSTONE = "[erased]"
KEPT_BY_US = ("feedback", "alarm_labels")  # in stores of their own, not only in tables of runs
SHORTEST = 3  # characters of a name: a shorter one stands in every text
TELLING = 16  # characters of an erased text by which a page that shows it is found
SEARCHED = 500  # such texts that are looked for


@dataclass(frozen=True)
class Erasure:
    """What an erasure did, or would do.

    Parameters
    ----------
    pseudonym : str
        Of the subject.
    moment : str or None
        When (ISO 8601); None where nothing was done.
    key_destroyed : bool
        Whether there was a key.
    changed : list of (str, int)
        Tables, stores and files, relative to the workbench's folder, and their rows without texts now.
    pages : list of str
        Notebooks, pages and logs that still show the name or an erased text.
    unreachable : list of str
        What this workbench cannot change, in words.
    """

    pseudonym: str
    moment: str | None
    key_destroyed: bool
    changed: list[tuple[str, int]]
    pages: list[str]
    unreachable: list[str]


@dataclass(frozen=True)
class Expiry:
    """What a retention did, or would do: the moment before which rows went, and tables with their rows that went."""

    before: pd.Timestamp
    changed: list[tuple[str, int]]


def erasures() -> list[dict]:
    """List all erasures of this workbench, the first one first.

    Returns
    -------
    list of dict
        moment (ISO 8601, UTC), pseudonym, tables and rows that were changed. Never the subject's name.
    """
    if not (home() / "private" / "pseudonyms.sqlite").exists():
        return []
    return KeyStore().erasures()


def erase(who: str, *, dry_run: bool = False, store: KeyStore | None = None) -> Erasure:
    """Erase a subject: destroy its key, take its texts out of all stored tables, record that this was done.

    Parameters
    ----------
    who : str
        The subject's pseudonym, or its name as it came.
    dry_run : bool
        Only say what would be done.
    store : KeyStore, optional
        Default: the workbench's own.

    Returns
    -------
    Erasure

    Raises
    ------
    ContractError
        When neither a key nor a table knows the subject.

    Notes
    -----
    Texts (`message`, `text`, `answer`, `reason`) of rows that belong to the subject become ``[erased]``; its name,
    where a table holds it in clear, becomes its pseudonym, and ``[erased]`` within other texts. The pseudonym itself
    stays, so that numbers stay numbers of the same subjects: without its key it leads to nobody. Messages of users are
    reached where they wait and where they stay, with the addresses for their answers and what was set aside, as are
    labels of alarms and the reasons of accepted policies. The key goes last, so that an erasure that was cut off can be
    repeated.
    """
    if len(who.strip()) < SHORTEST:
        raise ContractError(expected=f"a pseudonym, or a name of at least {SHORTEST} characters", got=repr(who))
    store = store or KeyStore()
    pseudonym = store.find(who)
    known = pseudonym is not None
    earlier = {entry["pseudonym"] for entry in store.erasures()}
    if pseudonym is None:
        pseudonym = who if is_pseudonym(who) else f"p-{secrets.token_hex(LENGTH // 2)}"
    name = None if is_pseudonym(who) else who.strip()
    texts: set[str] = set()
    change = _Tombstones(pseudonym, name, texts)
    changed = rewrite(stored_files(), change, dry_run=dry_run)
    who = (pseudonym,) if name is None else (pseudonym, name)
    heard = rewrite_heard(change, who=who, dry_run=dry_run)
    if not (known or changed or heard or pseudonym in earlier):
        raise ContractError(
            expected="a subject that a key or a stored table knows",
            got="one that none does",
            remedy="give the name as it came, such as the address, or the pseudonym as a table shows it",
        )
    pages = [_short(path) for path in _pages(name, texts)]
    moment = None
    if not dry_run:
        moment = note(changed, {"pseudonym": pseudonym})
        store.record(moment, pseudonym, len(changed) + len(heard), sum(rows for _, rows in [*changed, *heard]))
        store.destroy(pseudonym)
    told = [(_short(path), rows) for path, rows in [*changed, *heard]]
    return Erasure(pseudonym, moment, known, told, pages, _unreachable())


def tombstone(folder: str | os.PathLike, subjects: Mapping[str, Collection[str]]) -> dict[str, list[Path]]:
    """Take the texts of subjects out of another workbench's folder, such as a restored one, as `erase` does here.

    Parameters
    ----------
    folder : path
        With Parquet files, in folders below too, of which `ERASED.json` then stands beside those that were changed;
        with messages, their spool, quarantine and addresses, and labels of alarms where a workbench has them.
    subjects : mapping of str to collection of str
        Pseudonym to names of the same subject that are known, such as the mail address.

    Returns
    -------
    dict of str to list of pathlib.Path
        Of each pseudonym of which something was there, the files that were changed or deleted.
    """
    tables, there, changed = sorted(Path(folder).rglob("*.parquet")), set(), {}

    def look(frame: pd.DataFrame, table: str) -> tuple[pd.DataFrame, int]:
        for column in (c for c in frame if c not in TEXTS and frame[c].dtype == object):
            there.update(cell for cell in frame[column].unique() if isinstance(cell, str) and cell in subjects)
        return frame, 0

    rewrite(tables, look, dry_run=True)  # once, however many have been erased
    for pseudonym, names in subjects.items():
        change = _Tombstones(pseudonym, None, set())
        done = rewrite(tables, change) if pseudonym in there else []
        note(done, {"pseudonym": pseudonym})
        done += rewrite_heard(change, who=(pseudonym, *names), root=Path(folder))
        if done:
            changed[pseudonym] = [path for path, _ in done]
    return changed


def expire(retain: str, *, tables: Iterable[str] = ("logs", "feedback"), dry_run: bool = False) -> Expiry:
    """Delete the rows of stored tables that are older than a length of time.

    Parameters
    ----------
    retain : str
        How long rows are kept: ``"90d"``.
    tables : iterable of str
        Which tables, by their contract.
    dry_run : bool
        Only count.

    Returns
    -------
    Expiry

    Raises
    ------
    ContractError
        For a length of time that is none, and a table without moments.
    """
    before = pd.Timestamp(dt.datetime.now(dt.UTC)) - length_of_time(retain)
    wanted = set(tables)
    for name in wanted - set(AGES):
        raise ContractError(expected="a table with moments", got=repr(name), remedy=nearest(name, AGES))

    def old_rows(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, int]:
        ages = [column for column in AGES.get(name, ()) if column in frame] if name in wanted else []
        if not ages or frame.empty:
            return frame, 0
        moments = pd.DataFrame({column: pd.to_datetime(frame[column], utc=True, format="ISO8601") for column in ages})
        old = (moments.max(axis="columns") < before).fillna(False)
        return frame[~old], int(old.sum())

    changed = rewrite(stored_files(), old_rows, dry_run=dry_run)
    aside = before if "feedback" in wanted else None
    heard = rewrite_heard(old_rows, before=aside, dry_run=dry_run) if wanted & set(KEPT_BY_US) else []
    if not dry_run:
        note(changed, {"pseudonym": None, "older_than": before.isoformat()})
    return Expiry(before, [(_short(path), rows) for path, rows in [*changed, *heard]])


class _Tombstones:
    """Changes one table: texts of the subject's rows, and its name wherever it stands."""

    def __init__(self, pseudonym: str, name: str | None, texts: set[str]):
        self.pseudonym, self.texts = pseudonym, texts
        self.name = None if name is None else normal(name)
        self.word = None if name is None else re.compile(rf"(?i)(?<![\w@]){re.escape(name)}(?![\w@])")

    def __call__(self, frame: pd.DataFrame, table: str) -> tuple[pd.DataFrame, int]:
        texts = [column for column in frame if frame[column].dtype == object]
        words = frame[texts].map(lambda cell: isinstance(cell, str)).astype(bool)
        changed = pd.Series(False, index=frame.index)
        mine = pd.Series(False, index=frame.index)
        for column in texts:
            if column in TEXTS or not words[column].any():
                continue
            cells = frame[column]
            if self.name is not None:
                named = words[column] & cells.map(lambda cell: isinstance(cell, str) and normal(cell) == self.name)
                frame.loc[named, column] = self.pseudonym
                changed |= named
            mine |= frame[column] == self.pseudonym
        for column in (c for c in TEXTS if c in texts):
            gone = mine & words[column] & (frame[column] != TOMBSTONE)
            self.texts.update(frame.loc[gone, column])
            frame.loc[gone, column] = TOMBSTONE
            changed |= gone
            if self.word is not None:
                said = words[column] & frame[column].map(
                    lambda cell: bool(isinstance(cell, str) and self.word.search(cell))
                )
                frame.loc[said, column] = frame.loc[said, column].map(lambda cell: self.word.sub(TOMBSTONE, cell))
                changed |= said
        return frame, int(changed.sum())


def _pages(name: str | None, texts: Iterable[str]) -> list[Path]:
    """Find the pages that show a name or an erased text; what is cut or escaped in them may be missed."""
    telling = sorted(text.split("\n")[0][:60].strip() for text in texts if len(text.strip()) >= TELLING)[:SEARCHED]
    wanted = [text.encode() for text in {*telling, *([name] if name else [])} if text]
    found = []
    for path in stored_pages() if wanted else ():
        with contextlib.suppress(OSError):
            if path.stat().st_size <= LARGEST_PAGE:
                content = path.read_bytes()
                if any(text in content for text in wanted):
                    found.append(path)
    return found


def _unreachable() -> list[str]:
    told = ["the files and databases that the data came from", "backups and exports that were made before"]
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if address and not address.startswith(("sqlite:", "postgresql", "mysql", "file:")) and "://" in address:
        told.append("the artifacts of the MLflow server that MLFLOW_TRACKING_URI names")
    return told


def _short(path: Path) -> str:
    return str(path.relative_to(home())) if path.is_relative_to(home()) else str(path)
