"""Who was erased after a backup was made is erased again when it is restored."""

from __future__ import annotations

__all__ = ["erase_again", "known_erasures"]

import contextlib
import datetime as dt
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from stability.backup.contents import PRIVATE
from stability.backup.manifest import Manifest
from stability.records.privacy import is_pseudonym, tombstone
from stability.schema import written_whole

KEYS = "pseudonyms.sqlite"
TEXTS = ("text", "answer")  # of a message that waits
SAID = {"feedback": ("user", TEXTS), "alarm_labels": ("labelled_by", ("reason",))}
"""Tables in SQLite of what people said: who said it, and the texts."""
TOMBSTONE = "[erased]"  # as `stability data erase` writes it


def known_erasures(root: Path) -> list[dict[str, str]]:
    """Read the log of erasures of a workbench: moment and pseudonym; no key is needed for that.

    Parameters
    ----------
    root : path
        A workbench's folder.

    Returns
    -------
    list of dict
        Empty where nothing was erased, or the log cannot be read.
    """
    path = root / PRIVATE / KEYS
    if not path.is_file():
        return []
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as keys:
        try:
            found = keys.execute("select moment, pseudonym from erasures order by rowid").fetchall()
        except sqlite3.Error:
            return []
    return [{"moment": moment, "pseudonym": pseudonym} for moment, pseudonym in found]


def erase_again(folder: Path, manifest: Manifest, erasures: Iterable[dict[str, str]]) -> list[str]:
    """Take the texts of erased people out of restored tables, and destroy their keys.

    Parameters
    ----------
    folder : path
        What was restored, and verified before.
    manifest : Manifest
        Of the backup.
    erasures : iterable of dict
        All that are known, `moment` (ISO 8601) and `pseudonym`.

    Returns
    -------
    list of str
        Pseudonyms that were erased after the backup was made.
    """
    later: dict[str, str] = {}
    for entry in erasures:
        moment = dt.datetime.fromisoformat(entry["moment"])
        # Moments of erasures are whole seconds; to erase twice does no harm.
        if moment.timestamp() >= int(manifest.moment) and is_pseudonym(entry["pseudonym"]):
            later[entry["pseudonym"]] = entry["moment"]
    keys = folder / PRIVATE / KEYS
    for pseudonym, moment in later.items():
        changed = [*tombstone(folder, pseudonym), *_in_databases(folder, manifest, pseudonym)]
        changed += _in_spools(folder, pseudonym)
        if keys.is_file():
            with contextlib.closing(sqlite3.connect(keys, timeout=30)) as store, store:
                store.execute("pragma secure_delete = on")
                store.execute("delete from subjects where pseudonym = ?", (pseudonym,))
                store.execute("insert into erasures values (?, ?, ?, ?)", (moment, pseudonym, len(changed), 0))
    return sorted(later)


def _in_databases(folder: Path, manifest: Manifest, pseudonym: str) -> list[str]:
    """Take a subject's texts out of the tables in SQLite of what people said."""
    changed = []
    for name, tables in manifest.rows.items():
        for table in set(SAID) & set(tables) if not name.endswith(".dump") else ():
            who, texts = SAID[table]
            with contextlib.closing(sqlite3.connect(folder / name, timeout=30)) as store, store:
                store.execute("pragma secure_delete = on")
                known = {row[1] for row in store.execute(f"pragma table_info({table})")}
                for column in texts if who in known else ():
                    if column in known:
                        query = f'update {table} set "{column}" = ? where "{who}" = ? and "{column}" is not null'  # noqa: S608
                        if store.execute(query, (TOMBSTONE, pseudonym)).rowcount:
                            changed.append(name)
    return changed


def _in_spools(folder: Path, pseudonym: str) -> list[str]:
    """Take a subject's texts out of messages that wait to be stored."""
    changed = []
    for path in sorted(folder.glob("*/**/spool/*.json")):
        with contextlib.suppress(ValueError):  # what is no message has no text of anybody
            message = json.loads(path.read_bytes())
            if isinstance(message, dict) and message.get("user") == pseudonym:
                told = {column: TOMBSTONE for column in TEXTS if message.get(column)}
                with written_whole(path) as file:
                    file.write(json.dumps({**message, **told}, ensure_ascii=False).encode())
                changed.append(path.name)
    return changed
