"""Who was erased after a backup was made is erased again when it is restored."""

from __future__ import annotations

__all__ = ["erase_again", "known_erasures"]

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from stability.backup.contents import PRIVATE
from stability.backup.manifest import Manifest
from stability.records.privacy import is_pseudonym, tombstone

KEYS = "pseudonyms.sqlite"


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
    later = {}
    for entry in erasures:
        moment = dt.datetime.fromisoformat(entry["moment"])
        # Moments of erasures are whole seconds; to erase twice does no harm.
        if moment.timestamp() >= int(manifest.moment) and is_pseudonym(entry["pseudonym"]):
            later[entry["pseudonym"]] = entry["moment"]
    keys = folder / PRIVATE / KEYS
    for pseudonym, moment in later.items():
        changed = tombstone(folder, pseudonym)
        if keys.is_file():
            with contextlib.closing(sqlite3.connect(keys, timeout=30)) as store, store:
                store.execute("pragma secure_delete = on")
                store.execute("delete from subjects where pseudonym = ?", (pseudonym,))
                store.execute("insert into erasures values (?, ?, ?, ?)", (moment, pseudonym, len(changed), 0))
    return sorted(later)
