"""Keyed pseudonyms: a name that only this workbench can find again, and nobody once its key is destroyed.

Each subject (a person, a host) has a random key of its own. The pseudonym is an HMAC of the subject's name under that
key; the key lies in a small store under an HMAC of the name with the workbench's master key. So the store alone tells
no names, the master key alone tells no pseudonyms, and destroying one subject's key makes one pseudonym unlinkable for
good: not even the master key and the name together lead to it any more. A subject that comes back gets a new key, and
a pseudonym that has nothing to do with the old one.
"""

from __future__ import annotations

__all__ = ["KeyStore", "folder", "is_pseudonym", "leads_to"]

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from stability.schema import ContractError, home

VARIABLE = "STABILITY_PSEUDONYM_KEY"
SHORTEST = 16  # characters of a master key: 128 bits of a random one in hexadecimal are 32
LENGTH = 20  # hexadecimal digits of a pseudonym: among a million subjects two alike once in 10^12 stores
_PSEUDONYM = re.compile(rf"p-[0-9a-f]{{{LENGTH}}}\Z")
_SCHEMA = """
create table if not exists subjects (tag text primary key, key blob not null, pseudonym text unique not null);
create table if not exists erasures (moment text not null, pseudonym text not null, tables integer not null,
                                     rows integer not null);
create table if not exists facts (name text primary key, value text not null);
"""


def folder() -> Path:
    """Give the folder of what must stay secret, ``private/`` in the workbench's folder; made where it is not.

    Only its owner may enter it, and git is told to look away.
    """
    path = home() / "private"
    path.mkdir(mode=0o700, exist_ok=True)
    ignore = path / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return path


def is_pseudonym(value: object) -> bool:
    """Whether a value has the form of a pseudonym.

    Examples
    --------
    >>> is_pseudonym("p-0123456789abcdef0123"), is_pseudonym("anna")
    (True, False)
    """
    return isinstance(value, str) and _PSEUDONYM.match(value) is not None


def normal(value: str) -> str:
    """Write a name in one way, so that Anna@Example.org and anna@example.org are one subject.

    Examples
    --------
    >>> normal("  Anna@Example.org")
    'anna@example.org'
    """
    return unicodedata.normalize("NFKC", str(value)).strip().casefold()


def leads_to(key: bytes, pseudonym: str, name: str) -> bool:
    """Whether a subject's key makes its pseudonym of a name: so a name that stands somewhere is known as the subject's.

    Examples
    --------
    >>> leads_to(b"key", "p-0123456789abcdef0123", "anna")
    False
    """
    return f"p-{_mac(key, b'pseudonym', normal(name)).hex()[:LENGTH]}" == pseudonym


class KeyStore:
    """The keys of all subjects, in one SQLite file that only its owner may read.

    Parameters
    ----------
    path : path, optional
        The file; default ``private/pseudonyms.sqlite`` in the workbench's folder.

    Notes
    -----
    The master key comes from the environment (``STABILITY_PSEUDONYM_KEY``), else from ``private/pseudonym.key``, which
    is made at the first use. SQLite overwrites what is deleted (``secure_delete``); its journal lies on the disk while
    a change is made, so that a killed process leaves the store as it was, and is emptied with the change. A backup of
    ``private/`` holds the keys of that day: an erasure is complete when such backups have expired too.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        self.path = Path(path) if path is not None else folder() / "pseudonyms.sqlite"

    def pseudonyms(self, values: Iterable[str]) -> dict[str, str]:
        """Give the pseudonym of each value, and a key to each subject that has none.

        Parameters
        ----------
        values : iterable of str
            Names; pseudonyms among them stay as they are.

        Returns
        -------
        dict of str to str

        Raises
        ------
        ContractError
            Without a usable master key, or with another one than that of the store.
        """
        found: dict[str, str] = {}
        with self._open() as (store, master):
            for value in values:
                if is_pseudonym(value) or value in found:
                    found[value] = value if is_pseudonym(value) else found[value]
                    continue
                tag = _mac(master, b"tag", normal(value)).hex()
                row = store.execute("select pseudonym from subjects where tag = ?", (tag,)).fetchone()
                if row is None:
                    key = secrets.token_bytes(32)
                    row = (f"p-{_mac(key, b'pseudonym', normal(value)).hex()[:LENGTH]}",)
                    store.execute("insert into subjects values (?, ?, ?)", (tag, key, row[0]))
                found[value] = row[0]
        return found

    def find(self, who: str) -> str | None:
        """Give the pseudonym of a name that has one, or of a pseudonym whose key is there; None otherwise."""
        if not self.path.exists():
            return None
        with self._open() as (store, master):
            tag = _mac(master, b"tag", normal(who)).hex()
            row = store.execute("select pseudonym from subjects where tag = ? or pseudonym = ?", (tag, who)).fetchone()
        return None if row is None else row[0]

    def destroy(self, pseudonym: str) -> bool:
        """Destroy a subject's key for good; whether there was one."""
        with self._open() as (store, _):
            done = store.execute("delete from subjects where pseudonym = ?", (pseudonym,)).rowcount
        return bool(done)

    def digest(self, text: str) -> str:
        """Name a text so that nobody without the master key can tell, or find by trying, what it says.

        Parameters
        ----------
        text : str
            Any text, lone surrogates too.

        Returns
        -------
        str
            Twenty hexadecimal digits: an HMAC under the master key.
        """
        return _mac(_master_key(), b"digest", text).hex()[:LENGTH]

    def record(self, moment: str, pseudonym: str, tables: int, rows: int) -> None:
        """Write an erasure and its moment (ISO 8601) into the log of erasures, without the subject's name."""
        with self._open() as (store, _):
            store.execute("insert into erasures values (?, ?, ?, ?)", (moment, pseudonym, tables, rows))

    def erasures(self) -> list[dict]:
        """List the erasures, the first one first: moment (ISO 8601), pseudonym, tables and rows that were changed."""
        if not self.path.exists():
            return []
        with self._open() as (store, _):
            rows = store.execute("select moment, pseudonym, tables, rows from erasures order by rowid").fetchall()
        return [dict(zip(("moment", "pseudonym", "tables", "rows"), row, strict=True)) for row in rows]

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[sqlite3.Connection, bytes]]:
        """Open the store in one transaction, which other processes wait for."""
        master = _master_key()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # opened and closed, it would lose the locks of this process
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _refuse_open_to_others(self.path)
        store = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            store.executescript("pragma journal_mode = truncate; pragma synchronous = full; pragma secure_delete = on;")
            store.execute("begin immediate")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                store.execute(statement)
            self._refuse_other_key(store, master)
            yield store, master
            store.execute("commit")
        except sqlite3.DatabaseError as error:
            raise ContractError(file=self.path, expected="the store of pseudonyms' keys", got=str(error)) from error
        finally:
            store.close()

    def _refuse_other_key(self, store: sqlite3.Connection, master: bytes) -> None:
        check = _mac(master, b"check", "").hex()
        known = store.execute("select value from facts where name = 'check'").fetchone()
        if known is None:
            store.execute("insert into facts values ('check', ?)", (check,))
        elif not hmac.compare_digest(known[0], check):
            raise ContractError(
                file=self.path,
                expected="the master key that the store was begun with",
                got="another one",
                remedy=f"set {VARIABLE} as it was, or bring back pseudonym.key; a new key would give every subject a "
                "second pseudonym",
            )


def _mac(key: bytes, purpose: bytes, text: str) -> bytes:
    return hmac.new(key, purpose + b"\0" + text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _master_key() -> bytes:
    """The workbench's master key: from the environment, else from the file, which is made at the first use."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        if len(given.strip()) < SHORTEST:
            expected = f"a key of at least {SHORTEST} characters"
            remedy = "python -c 'import secrets; print(secrets.token_hex(32))' makes one"
            raise ContractError(column=VARIABLE, expected=expected, got="a shorter one", remedy=remedy)
        return given.strip().encode()
    path = folder() / "pseudonym.key"
    try:
        # Made under another name and linked: of two processes one wins, and neither reads half a key.
        part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        if not path.exists():
            handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())
            try:
                with contextlib.suppress(FileExistsError):
                    os.link(part, path)
            finally:
                part.unlink()
        _refuse_open_to_others(path)
        return path.read_text().strip().encode()
    except OSError as error:
        remedy = f"set {VARIABLE}, or make the folder writable"
        raise ContractError(file=path, expected="a file for the key", got=str(error), remedy=remedy) from error


def _refuse_open_to_others(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        got = f"one of mode {mode:03o}"
        raise ContractError(
            file=path, expected="a file that its owner alone may read", got=got, remedy=f"chmod 600 {path}"
        )
