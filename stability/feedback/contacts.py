"""Where answers go: kept apart from the messages, readable by the owner alone, and gone with the subject's key."""

from __future__ import annotations

__all__ = ["Contacts"]

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from stability.feedback.store import private_store
from stability.records.privacy import KeyStore
from stability.records.privacy.pseudonyms import folder

_SCHEMA = """create table if not exists contacts
    (feedback_id text primary key, user text, channel text not null, address text not null)"""


class Contacts:
    """Addresses for answers, in one SQLite file in the workbench's private folder.

    Parameters
    ----------
    path : path, optional
        The file; default ``private/contacts.sqlite``.
    keys : KeyStore, optional
        An address whose subject's key was destroyed (`stability data erase`) is deleted when it is asked for, and by
        `forget_erased`.
    """

    def __init__(self, path: str | os.PathLike | None = None, *, keys: KeyStore | None = None):
        self.path = Path(path) if path is not None else folder() / "contacts.sqlite"
        self.keys = keys or KeyStore()

    def remember(self, feedback_id: str, user: str | None, channel: str, address: str) -> None:
        """Keep where the answer to a message goes."""
        self.remember_all([(feedback_id, user, channel, address)])

    def remember_all(self, rows: Iterable[tuple[str, str | None, str, str]]) -> None:
        """Keep where answers go, in one transaction: message, user (a pseudonym), channel and address of each."""
        if rows := list(rows):
            with self._open() as store:
                store.executemany("insert or ignore into contacts values (?, ?, ?, ?)", rows)

    def find(self, feedback_id: str) -> tuple[str, str] | None:
        """Give channel and address of a message's sender; None without one, and after an erasure."""
        self.forget_erased(feedback_id)
        with self._open() as store:
            row = store.execute(
                "select channel, address from contacts where feedback_id = ?", (feedback_id,)
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def forget_erased(self, feedback_id: str | None = None) -> int:
        """Delete addresses of subjects whose key is gone; how many."""
        with self._open() as store:
            rows = store.execute(
                "select feedback_id, user from contacts where user is not null and ? in ('', feedback_id)",
                (feedback_id or "",),
            ).fetchall()
        gone = [name for name, user in rows if self.keys.find(user) is None]
        with self._open() as store:
            store.executemany("delete from contacts where feedback_id = ?", [(name,) for name in gone])
        return len(gone)

    def _open(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return private_store(self.path, _SCHEMA)
