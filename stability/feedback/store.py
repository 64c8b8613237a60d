"""Where messages wait and where they stay: a spool of one file a message, and one SQLite table."""

from __future__ import annotations

__all__ = ["FeedbackStore"]

import contextlib
import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
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
WAIT = 2.0  # seconds for a locked store before a message is left to wait in the spool
_ID = re.compile(r"[0-9a-z_-]{1,64}\Z")


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
    """

    def __init__(self, folder: str | os.PathLike | None = None):
        self.folder = Path(folder) if folder is not None else home() / "runs" / "feedback"
        self.spool = self.folder / "spool"
        self.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = self.folder / "feedback.sqlite"

    def put(self, message: Mapping[str, object]) -> bool:
        """Keep a message; whether it was new to the spool and, as far as it could be asked, to the store.

        Raises
        ------
        ContractError
            For columns that there are not, and a name that is no name.
        """
        unknown, name = set(message) - set(COLUMNS), str(message.get("feedback_id", ""))
        if unknown or not _ID.match(name):
            raise ContractError(column="feedback_id", expected=f"a name and columns of {', '.join(COLUMNS)}",
                                got=f"{name!r}, {sorted(unknown)}")  # fmt: skip
        path = self.spool / f"{name}.json"
        if path.exists() or self._stored(name):
            return False
        with written_whole(path) as file:
            file.write(json.dumps(dict(message), ensure_ascii=False, allow_nan=False).encode())
        return True

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

    def frame(self) -> pd.DataFrame:
        """Give all messages of the store, the oldest first; moments are datetimes in UTC."""
        with self._open() as store:
            rows = store.execute("select * from feedback order by timestamp, feedback_id")
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
        unknown = set(values) - set(COLUMNS)
        if unknown or not values:
            raise ContractError(
                column=", ".join(sorted(unknown)), expected=f"columns of {', '.join(COLUMNS)}", got="others"
            )
        with self._open() as store:
            sets = ", ".join(f"{_quoted(column)} = ?" for column in values)
            done = store.execute(f"update feedback set {sets} where feedback_id = ?", [*values.values(), name])  # noqa: S608 - names of ours
            return bool(done.rowcount)

    def _stored(self, name: str) -> bool:
        try:
            with self._open() as store:
                return store.execute("select 1 from feedback where feedback_id = ?", [name]).fetchone() is not None
        except sqlite3.OperationalError:
            return False  # nobody knows while it is locked; `drain` will

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        handle = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        os.close(handle)
        store = sqlite3.connect(self.path, timeout=WAIT)
        try:
            store.execute("pragma synchronous = full")
            columns = ", ".join(f"{_quoted(name)} {'real' if name in NUMBERS else 'text'}" for name in COLUMNS)
            store.execute(f"create table if not exists feedback ({columns}, primary key (feedback_id))")
            with store:
                yield store
        finally:
            store.close()


def _quoted(name: str) -> str:
    return f'"{name}"'
