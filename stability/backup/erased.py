"""Who was erased, as far as anybody knows, is erased again in every backup that is restored."""

from __future__ import annotations

__all__ = ["all_erasures", "erase_again", "known_erasures", "write_down"]

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from stability.backup.contents import PRIVATE, RAW
from stability.backup.manifest import Told
from stability.feedback.store import private_store
from stability.records.privacy import is_pseudonym, tombstone
from stability.records.privacy.pseudonyms import leads_to
from stability.schema import ContractError

KEYS = "pseudonyms.sqlite"
LOG = """create table if not exists erasures
    (moment text not null, pseudonym text not null, tables integer not null, rows integer not null)"""
# What may be a name in a message as it came: a text in quotes, a mail address, a word.
NAMES = re.compile(r'"((?:[^"\\]|\\.)+)"|([^\s<>"(),;:]+)')


def known_erasures(root: Path) -> list[dict[str, str]]:
    """Read the log of erasures of a workbench: moment and pseudonym; no key is needed for that.

    Parameters
    ----------
    root : path
        A workbench's folder.

    Returns
    -------
    list of dict
        Empty where nothing was ever erased.

    Raises
    ------
    ContractError
        When the log cannot be read.
    """
    path = root / PRIVATE / KEYS
    if not path.is_file():
        return []
    with _opened(path) as keys:
        if not keys.execute("select 1 from sqlite_master where name = 'erasures'").fetchone():
            return []
        found = keys.execute("select moment, pseudonym from erasures order by rowid").fetchall()
    return [{"moment": moment, "pseudonym": pseudonym} for moment, pseudonym in found]


def all_erasures(known: Iterable[dict[str, str]], told: Iterable[Told | None]) -> list[dict[str, str]]:
    """Add up what workbenches and backups know of erasures, each pseudonym once, the oldest first.

    Parameters
    ----------
    known : iterable of dict
        As `known_erasures` gives them.
    told : iterable of Told or None
        What backups say.

    Examples
    --------
    >>> who, when = "p-0123456789abcdef0123", "2026-11-01T00:00:00+00:00"
    >>> all_erasures([], [Told("/a", [{"moment": when, "pseudonym": who}]), Told("/b", [])])
    [{'moment': '2026-11-01T00:00:00+00:00', 'pseudonym': 'p-0123456789abcdef0123'}]
    """
    found: dict[str, str] = {}
    for entry in (*known, *(entry for said in told if said for entry in said.erasures)):
        if is_pseudonym(entry["pseudonym"]):
            found.setdefault(entry["pseudonym"], entry["moment"])
    return [{"moment": moment, "pseudonym": who} for who, moment in sorted(found.items(), key=lambda item: item[::-1])]


def erase_again(folder: Path, erasures: Iterable[dict[str, str]]) -> list[str]:
    """Take everything of erased people out of a restored folder: texts, waiting messages, addresses, keys.

    All that are known are looked for, whenever it was: who was erased gets another pseudonym when coming back, and no
    clock is asked.

    Parameters
    ----------
    folder : path
        What was restored, and verified before.
    erasures : iterable of dict
        `moment` (ISO 8601) and `pseudonym`.

    Returns
    -------
    list of str
        Pseudonyms of which something was there.
    """
    wanted = {entry["pseudonym"] for entry in erasures}
    keys = folder / PRIVATE / KEYS
    mine: dict[str, bytes] = {}
    if keys.is_file():
        with _opened(keys) as store:
            if store.execute("select 1 from sqlite_master where name = 'subjects'").fetchone():
                rows = store.execute("select pseudonym, key from subjects").fetchall()
                mine = {pseudonym: key for pseudonym, key in rows if pseudonym in wanted}
    names = _names(folder, mine)
    again = set(tombstone(folder, {who: names.get(who, ()) for who in sorted(wanted)})) | mine.keys()
    if mine:  # the keys go last, as there: cut off before, all of it is done again
        with _opened(keys) as store:
            store.executemany("delete from subjects where pseudonym = ?", [(who,) for who in mine])
    return sorted(again)


def write_down(root: Path, erasures: Iterable[dict[str, str]]) -> None:
    """Write erasures into the log of a workbench that does not know them: its next backup tells them on.

    Parameters
    ----------
    root : path
        A workbench's folder.
    erasures : iterable of dict
    """
    known = {entry["pseudonym"] for entry in known_erasures(root)}
    new = [(entry["moment"], entry["pseudonym"], 0, 0) for entry in erasures if entry["pseudonym"] not in known]
    if new:
        path = root / PRIVATE / KEYS
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not (path.parent / ".gitignore").exists():
            (path.parent / ".gitignore").write_text("*\n")
        with _opened(path, LOG) as keys:
            keys.executemany("insert into erasures values (?, ?, ?, ?)", new)


def _names(folder: Path, keys: dict[str, bytes]) -> dict[str, set[str]]:
    """Names of subjects in messages that were set aside as they came: those of which a key makes the pseudonym."""
    found: dict[str, set[str]] = {}
    for path in (path for raw in sorted(RAW) for path in sorted((folder / raw).glob("*"))) if keys else ():
        text = path.read_bytes().decode("utf-8", "replace")
        for name in {quoted or word for quoted, word in NAMES.findall(text)}:
            for pseudonym, key in keys.items():
                if leads_to(key, pseudonym, name):
                    found.setdefault(pseudonym, set()).add(name)
    return found


@contextlib.contextmanager
def _opened(path: Path, *schema: str) -> Iterator[sqlite3.Connection]:
    try:
        with private_store(path, *schema) as store:
            yield store
    except sqlite3.Error as error:
        raise ContractError(file=path, expected="the store of pseudonyms' keys", got=str(error)) from error
