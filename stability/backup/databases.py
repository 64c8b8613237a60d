"""SQLite databases: copied while others write to them, counted, checked."""

from __future__ import annotations

__all__ = ["copy_online", "counts", "integrity", "is_sqlite"]

import contextlib
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from stability.schema import ContractError

MAGIC = b"SQLite format 3\0"
PATIENCE = 60.0  # seconds that a writer may hold the database before the backup gives up
AGAIN = 0.002  # s; between two commits of a busy writer there is little time
NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_FSYNC")  # a write
LISTED = 20  # problems that one check lists


def is_sqlite(path: Path) -> bool:
    """Whether a file is a database of SQLite, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, timeout=PATIENCE)


def copy_online(source: Path, target: Path, *, patience: float = PATIENCE) -> None:
    """Copy a database as it is at one moment, by SQLite's own backup; writers wait as long as the copy takes.

    Parameters
    ----------
    source : path
        A database that other processes may be writing to.
    target : path
        A file that is not there yet.
    patience : float
        Seconds to wait for a writer that holds it.

    Raises
    ------
    ContractError
        When it is no database, damaged, or held for longer, and without room for the copy.
    """
    begun = time.monotonic()

    def waited(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() - begun > patience:
            message = f"a writer has held it for {patience:g} s"
            raise sqlite3.OperationalError(message)

    try:
        # Not read-only: what a killed writer has left half done is rolled back by whoever opens the database next.
        with (
            contextlib.closing(_open(source, "rw")) as original,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            original.execute("pragma busy_timeout = 0")  # asked again by the backup itself, more often
            original.backup(copy, pages=-1, progress=waited, sleep=AGAIN)  # one step: all pages are of one moment
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        if getattr(error, "sqlite_errorname", "").startswith(NO_ROOM):  # the original is only read
            raise ContractError(
                file=target.parent, expected=f"room for a copy of {source}", got=str(error), remedy="make room there"
            ) from error
        raise ContractError(
            file=source,
            expected="a database of SQLite that can be read",
            got=str(error),
            remedy="end the process that holds it; if it is damaged, restore the last backup (stability backup list)",
        ) from error


def counts(path: Path) -> dict[str, int]:
    """Count the rows of each table.

    Raises
    ------
    ContractError
        When the file is no whole database.
    """
    try:
        with contextlib.closing(_open(path, "ro")) as store:
            names = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
            found = {}
            for name in sorted(name for name in names if not name.startswith("sqlite_")):
                table = '"' + name.replace('"', '""') + '"'
                (found[name],) = store.execute(f"select count(*) from {table}").fetchone()  # noqa: S608  quoted
            return found
    except sqlite3.Error as error:
        raise ContractError(file=path, expected="a whole database of SQLite", got=str(error)) from error


def integrity(path: Path) -> list[str]:
    """Let SQLite check every page and index; give what it finds, in sentences."""
    try:
        with contextlib.closing(_open(path, "ro")) as store:
            found = [text for (text,) in store.execute(f"pragma integrity_check({LISTED})")]
    except sqlite3.Error as error:
        return [f"{path.name}: {error}"]
    return [] if found == ["ok"] else [f"{path.name}: {' '.join(text.split())}" for text in found]
