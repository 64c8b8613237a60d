"""Where messages wait and where they stay: a spool of one file a message, and one SQLite table."""

from __future__ import annotations

__all__ = ["FeedbackStore", "printable", "private_store"]

import contextlib
import json
import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from stability.schema import ContractError, home, written_whole

LOG = logging.getLogger(__name__)

TEXTS = (
    "feedback_id", "timestamp", "channel", "user", "entity", "text", "language", "category", "urgency", "thread",
    "group_id", "alarm_id", "routed_at", "escalated_at", "answered_at", "answer", "received_at", "verdict",
)  # fmt: skip
NUMBERS = ("rating", "probability", "sure", "alarm_probability")
COLUMNS = (*TEXTS, *NUMBERS)
TIMES = ("timestamp", "received_at", "routed_at", "escalated_at", "answered_at")
FLUSHED = 16  # files that wait for the disk side by side: it flushes many in about the time of one
WAIT = 2.0  # seconds for a locked store before a message is left to wait in the spool
SELECTIONS = {
    "all": "1",
    "unrouted": "routed_at is null",
    "waiting": "answered_at is null and escalated_at is null",
}
_ID = re.compile(r"[0-9a-z_-]{1,64}\Z")


def printable(text: object) -> str:
    """Write what somebody else wrote in one line that moves no cursor and turns no reading direction.

    Examples
    --------
    >>> printable("slow\\n\\x1b[2Jagain\\u202e!")
    'slow \ufffd[2Jagain\ufffd!'
    """
    told = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in str(text))
    return " ".join(told.split())


@contextlib.contextmanager
def private_store(path: Path, *schema: str, wait: float = 60.0) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file that its owner alone may read, for one transaction; what is deleted is overwritten.

    Parameters
    ----------
    path : Path
        Made where it is not there.
    *schema : str
        Statements that make what is not there.
    wait : float
        Seconds for somebody else's transaction.
    """
    with contextlib.suppress(FileExistsError):  # opened and closed, it would lose the locks that this process has on it
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    store = sqlite3.connect(path, timeout=wait)
    try:
        store.executescript("pragma synchronous = full; pragma secure_delete = on;")
        for statement in schema:
            store.execute(statement)
        with store:
            yield store
    finally:
        store.close()


class FeedbackStore:
    """Scrubbed messages, each taken once.

    Parameters
    ----------
    folder : path, optional
        Default ``runs/feedback`` of the workbench; only its owner may enter it.

    Notes
    -----
    `put` writes a file under the message's name, flushed to the disk before it returns: from then on the message is
    safe, whatever happens to this process or to the store. `drain` moves what is in the spool into the store and
    removes a file only after its row is committed: killed in between, the next one finds the row and drops the file.
    What cannot be taken at all is kept as it came in `quarantine`, which its owner alone may enter; an erasure and a
    retention reach it.
    """

    def __init__(self, folder: str | os.PathLike | None = None):
        self.folder = Path(folder) if folder is not None else home() / "runs" / "feedback"
        self.spool = self.folder / "spool"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.spool.mkdir(mode=0o700, exist_ok=True)
        self.path = self.folder / "feedback.sqlite"
        self.quarantine = self.folder / "quarantine"
        self.aside: list[tuple[str, str]] = []  # place and reason of what this object has set aside

    def put(self, message: Mapping[str, object]) -> bool:
        """Keep a message; whether it was new to the spool and, as far as it could be asked, to the store.

        Raises
        ------
        ContractError
            For columns that there are not, and a name that is no name.
        """
        return self.put_all([message])[0]

    def put_all(self, messages: Sequence[Mapping[str, object]]) -> list[bool]:
        """Keep messages, each as `put`; the store is asked once for all of them.

        Raises
        ------
        ContractError
            As `put`, before anything is kept.
        """
        written = []
        for message in messages:
            unknown, name = set(message) - set(COLUMNS), str(message.get("feedback_id", ""))
            if unknown or not _ID.match(name):
                raise ContractError(column="feedback_id", expected=f"a name and columns of {', '.join(COLUMNS)}",
                                    got=f"{name!r}, {sorted(unknown)}")  # fmt: skip
            text = json.dumps(dict(message), ensure_ascii=False, allow_nan=False)
            written.append((name, text.encode("utf-8", "replace")))
        stored, new, fresh = self.known([name for name, _ in written]), [], {}
        for name, content in written:
            new.append(name not in stored and name not in fresh)
            if new[-1]:
                fresh[name] = content
        with ThreadPoolExecutor(FLUSHED) as pool:
            list(pool.map(self._write, fresh, fresh.values()))
        return new

    def _write(self, name: str, content: bytes) -> None:
        with written_whole(self.spool / f"{name}.json") as file:
            file.write(content)

    def known(self, names: Sequence[str]) -> set[str]:
        """Give those of the names that are in the spool or, as far as it could be asked, in the store."""
        there = {name for name in names if (self.spool / f"{name}.json").exists()}
        try:
            with self._open() as store:
                ask = "select 1 from feedback where feedback_id = ?"
                return there | {name for name in names if store.execute(ask, [name]).fetchone()}
        except sqlite3.OperationalError:
            return there  # nobody knows while it is locked; `drain` will

    def set_aside(self, place: str, reason: str, raw: bytes) -> None:
        """Keep what cannot be taken, as it came, and remember where it stood and what is wrong with it."""
        self.quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.quarantine / secrets.token_hex(10)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(f"{printable(place)}: {printable(reason)}\n".encode("utf-8", "replace") + raw)
            file.flush()
            os.fsync(file.fileno())
        self.aside.append((place, reason))
        LOG.warning("%s: %s; it is kept in %s", printable(place), printable(reason), path)

    def waiting(self) -> int:
        """How many messages wait in the spool."""
        return sum(1 for path in self.spool.glob("*.json") if not path.name.startswith("."))

    def drain(self) -> int:
        """Move what waits into the store; how many moved. A locked store leaves them waiting, and raises nothing."""
        paths = [path for path in sorted(self.spool.glob("*.json")) if not path.name.startswith(".")]
        if not paths:
            return 0
        moved, places = [], ", ".join("?" * len(COLUMNS))
        try:
            with self._open() as store:
                store.execute("begin immediate")  # an erasure that goes on rewrites files: it comes before or after
                for path in paths:
                    try:
                        message = json.loads(path.read_text(encoding="utf-8"))
                        row = [message.get(name) for name in COLUMNS]
                        store.execute(f"insert or ignore into feedback values ({places})", row)  # noqa: S608 - only question marks
                    except FileNotFoundError:  # another process may drain, too
                        continue
                    except (
                        ValueError,
                        AttributeError,
                        OverflowError,
                        sqlite3.InterfaceError,
                        sqlite3.ProgrammingError,
                    ):
                        self._put_aside(path)
                    else:
                        moved.append(path)
        except sqlite3.OperationalError:
            return 0
        for path in moved:
            path.unlink(missing_ok=True)
        return len(moved)

    def _put_aside(self, path: Path) -> None:
        """Keep a damaged message where it keeps no other one waiting."""
        LOG.warning("the message %s cannot be stored; it is kept in %s", path.name, self.spool / "bad")
        (self.spool / "bad").mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.rename(self.spool / "bad" / path.name)

    def frame(self, which: str = "all", most: int = -1) -> pd.DataFrame:
        """Give messages of the store, the oldest first; moments are datetimes in UTC.

        Parameters
        ----------
        which : {"all", "unrouted", "waiting"}
            `unrouted`: nobody was told of; `waiting`: not answered, and not escalated.
        most : int
            So many of the oldest; all below 0.
        """
        return self._frame(f"{SELECTIONS[which]} order by timestamp, feedback_id limit ?", most)

    def leaders(self, since: str, most: int) -> pd.DataFrame:
        """Give the newest messages after which a group is named, at most so many, sent since a moment (ISO 8601)."""
        return self._frame("group_id = feedback_id and timestamp >= ? order by timestamp desc limit ?", since, most)

    def one(self, name: str) -> dict[str, object] | None:
        """Give one message as it is stored, or as it waits in the spool; None without one."""
        if not _ID.match(name):
            return None
        with contextlib.suppress(sqlite3.OperationalError), self._open() as store:
            row = store.execute("select * from feedback where feedback_id = ?", [name]).fetchone()
            if row is not None:
                return dict(zip(COLUMNS, row, strict=True))
        with contextlib.suppress(OSError, ValueError):
            return dict.fromkeys(COLUMNS) | json.loads((self.spool / f"{name}.json").read_text(encoding="utf-8"))
        return None

    def _frame(self, where: str, *values: object) -> pd.DataFrame:
        with self._open() as store:
            rows = store.execute(f"select * from feedback where {where}", values)  # noqa: S608 - words of ours
            frame = pd.DataFrame(rows.fetchall(), columns=list(COLUMNS))
        for name in TIMES:
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
        frame["sure"] = frame["sure"].fillna(0).astype(bool)
        return frame.astype({name: "float64" for name in NUMBERS if name != "sure"})

    def update(self, name: str, **values: object) -> bool:
        """Change columns of a message; whether it is there.

        Raises
        ------
        ContractError
            For columns that there are not.
        """
        return self.update_all({name: values}) == 1

    def update_all(self, changes: Mapping[str, Mapping[str, object]]) -> int:
        """Change columns of many messages, all or none of them; how many there are.

        Raises
        ------
        ContractError
            For columns that there are not.
        """
        unknown = {column for values in changes.values() for column in values} - set(COLUMNS)
        if unknown or not all(changes.values()):
            raise ContractError(
                column=", ".join(sorted(unknown)), expected=f"columns of {', '.join(COLUMNS)}", got="others"
            )
        done = 0
        with self._open() as store:
            for name, values in changes.items():
                sets = ", ".join(f"{_quoted(column)} = ?" for column in values)
                said = store.execute(f"update feedback set {sets} where feedback_id = ?", [*values.values(), name])  # noqa: S608 - names of ours
                done += said.rowcount
        return done

    def _open(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        columns = ", ".join(f"{_quoted(name)} {'real' if name in NUMBERS else 'text'}" for name in COLUMNS)
        table = f"create table if not exists feedback ({columns}, primary key (feedback_id))"
        index = "create index if not exists {} on feedback (timestamp) where {}"
        indices = [index.format("leaders", "group_id = feedback_id"), index.format("unrouted", "routed_at is null")]
        return private_store(self.path, table, *indices, wait=WAIT)


def _quoted(name: str) -> str:
    return f'"{name}"'
