"""The record: one line for whatever was decided, done and seen, appended, on disk before anything else happens."""

from __future__ import annotations

__all__ = ["Entry", "Record"]

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stability.remediation.decisions import moment
from stability.schema import ContractError
from stability.schema.store import written_whole

FIRST = "0" * 64  # what stands for the line before the first one
TORN = "torn"  # the kind of a line that tells of a piece of a line before it, left by a crash
# Why no lock can be had for reading: no folder, not ours to write, or a copy that nobody can append to.
NO_LOCK = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)
CHANGED = "somebody changed it: keep the file as it is, find out who, and begin another record"


@dataclass(frozen=True)
class Entry:
    """One line.

    Parameters
    ----------
    number : int
        0 is the first.
    at : Timestamp
        When, as its writer said (UTC).
    kind : str
        What it tells of.
    facts : dict
        JSON types.
    """

    number: int
    at: pd.Timestamp
    kind: str
    facts: dict


class Record:
    """An append-only file of JSON lines, each of which holds the hash of the one before it.

    A line is whole and on disk (fsync) when `append` returns. A piece of a line that a crash left behind is kept,
    and the next line tells of it. A line that was changed or removed, also at the end, is an error when the file is
    read: the hashes no longer follow each other, or do not end where the file beside it (`<name>.head`) says. This
    shows accidents and careless hands, not somebody who may write both files and computes all hashes anew: whoever
    must exclude that keeps copies of the head elsewhere, such as MLflow's artifacts.

    Several processes may hold the same record: `locked` lets one of them read, check and append with nobody between.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made by the first line.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._read: list[Entry] = []
        self._hashes = [FIRST]
        self._bytes, self._depth, self._thread = 0, 0, threading.RLock()

    @property
    def head(self) -> Path:
        """The file that says how many lines there are and the last one's hash."""
        return self.path.with_name(f"{self.path.name}.head")

    @property
    def _lock(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes, and other records on the same file, from appending; it ends with the process."""
        with self._thread:
            if self._depth:  # whoever holds it may append
                yield
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock.open("a") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                self._depth = 1
                try:
                    yield
                finally:
                    self._depth = 0

    @contextlib.contextmanager
    def _still(self) -> Iterator[None]:
        """Keep others from appending while it is read; whoever may only read needs no more than that."""
        with self._thread, contextlib.ExitStack() as stack:
            if not self._depth:
                try:
                    handle = os.open(self._lock, os.O_RDONLY | os.O_CREAT, 0o666)
                except OSError as error:
                    if error.errno not in NO_LOCK:
                        raise
                else:
                    stack.callback(os.close, handle)
                    fcntl.flock(handle, fcntl.LOCK_SH)
            yield

    def entries(self, *, ended: bool = False) -> list[Entry]:
        """Read all lines, in their order; only what is new since the last time is read from disk.

        Parameters
        ----------
        ended : bool
            Whether it must end with the line that the head knows. A crash while a line is written leaves a piece of
            it, or a line more; so does a careless hand, and until the next line is appended nobody can tell which.

        Raises
        ------
        ContractError
            A line was changed, removed or added by somebody else, with its number.
        """
        with self._still():
            found = list(self._follow())
            if ended:
                self._check_end()
            return found

    def append(self, kind: str, now: pd.Timestamp, /, **facts: object) -> Entry:
        """Write a line, and come back when it is on disk.

        Parameters
        ----------
        kind : str
            What it tells of.
        now : Timestamp
            When.
        **facts
            JSON types.

        Raises
        ------
        ContractError
            The facts are not JSON, or the record was tampered with.
        """
        with self.locked():
            self._follow()
            piece = self._rest()
            if self._parsed(piece.rpartition(b"\n")[2]):  # whole but for the end of its line
                self._write(b"\n")
            elif piece:  # its line is ended, so that the next one begins on its own; nothing is cut off
                torn = {"bytes": len(piece), "sha256": hashlib.sha256(piece).hexdigest()}
                self._write(b"\n" + self._line(TORN, now, torn))
            self._write(self._line(kind, now, facts))
            return self._read[-1]

    def _line(self, kind: str, now: pd.Timestamp, facts: dict) -> bytes:
        entry = {"number": len(self._read), "at": moment(now).isoformat(), "kind": kind, "facts": facts}
        entry["before"] = self._hashes[-1]
        try:
            return json.dumps(entry, allow_nan=False, sort_keys=True).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise ContractError(expected="facts of JSON types", got=str(error)) from None

    def _write(self, text: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._follow(ends=False)
        if len(self._read) == 1:
            _sync_folder(self.path.parent)  # the name of a new file survives a power cut, too
        with written_whole(self.head) as file:
            file.write(json.dumps({"lines": len(self._read), "hash": self._hashes[-1]}).encode())

    def _rest(self) -> bytes:
        """What stands after the last whole line."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._bytes)
                return file.read()
        except FileNotFoundError:
            return b""

    def _follow(self, ends: bool = True) -> list[Entry]:
        """Read what is new, and check that it follows what was there; what a crash left is passed over."""
        if self._bytes and (not self.path.exists() or self.path.stat().st_size < self._bytes):
            self._tampered(len(self._read) - 1, "the lines that were there", "a shorter file")
        left: list[bytes] = []  # lines that are none, until a line tells of them
        for line in self._rest().split(b"\n")[:-1]:
            entry = self._parsed(line)
            if entry is None:
                left.append(line)
                continue
            if left or entry["kind"] == TORN:
                told = entry["facts"].get("sha256") if entry["kind"] == TORN else None
                if told != hashlib.sha256(b"\n".join(left)).hexdigest():
                    self._tampered(len(self._read), "a line of JSON", repr(b"".join(left)[:60]))
            if entry["before"] != self._hashes[-1] or entry["number"] != len(self._read):
                expected = f"line {len(self._read)} with the hash of the one before it"
                self._tampered(len(self._read), expected, f"line {entry['number']} with another")
            try:
                at = moment(entry["at"])
            except (ContractError, OverflowError):
                self._tampered(len(self._read), "at as a moment with its zone", repr(entry["at"]))
            self._read.append(Entry(entry["number"], at, entry["kind"], entry["facts"]))
            self._hashes.append(hashlib.sha256(line).hexdigest())
            self._bytes += sum(len(piece) + 1 for piece in [*left, line])
            left = []
        if ends:
            self._check_head()
        return self._read

    def _check_end(self) -> None:
        remedy = "a crash left it, and whoever appends next goes on from there; or somebody added it: compare a copy"
        expected = f"nothing after the line that {self.head.name} knows as the last one"
        got = ""
        if rest := len(self._rest()):
            got = f"{rest:,} bytes after the last line that are none of its lines"
        elif self._check_head() < len(self._read):
            got = "one line more"
        if got:
            raise ContractError(file=self.path, row=len(self._read) or None, expected=expected, got=got, remedy=remedy)

    def _check_head(self) -> int:
        """Compare with what was last said of the end; a crash between a line and its head leaves one line more."""
        try:
            told = json.loads(self.head.read_bytes())
            lines, hashed = int(told["lines"]), str(told["hash"])
        except FileNotFoundError:
            lines, hashed = 0, FIRST
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self._tampered(len(self._read) - 1, f"{self.head.name} with lines and hash", "something else")
        if lines > len(self._read):
            self._tampered(lines - 1, f"{lines} lines", f"{len(self._read)}: the last ones were removed")
        if lines < len(self._read) - 1 or hashed != self._hashes[lines]:
            self._tampered(lines, f"the line that {self.head.name} tells of as the last one", "another one")
        return lines

    @staticmethod
    def _parsed(line: bytes) -> dict | None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return None
        whole = isinstance(entry, dict) and {"number", "at", "kind", "facts", "before"} == set(entry)
        return entry if whole and isinstance(entry["facts"], dict) else None

    def _tampered(self, number: int, expected: str, got: object) -> None:
        raise ContractError(file=self.path, row=number + 1, expected=expected, got=got, remedy=CHANGED)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
