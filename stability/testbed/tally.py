"""What became of the users' requests, second by second: one line a replica, one for all, in `load.jsonl`."""

from __future__ import annotations

__all__ = ["ALL", "FILE", "SLOW", "Counts", "Tally", "quantile"]

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

FILE = "load.jsonl"
ALL = "all"  # the line of all requests; the others bear a replica's name, or "" where no replica is known
SLOW = 0.25  # s after which an answer counts as slow
LATELY = 10  # s over which the exported gauges look back


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the sorted ones do not exceed; None of nothing.

    Examples
    --------
    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5), quantile([1.0, 2.0, 3.0, 4.0], 0.95), quantile([], 0.5)
    (2.0, 4.0, None)
    """
    if not ordered:
        return None
    return ordered[max(-int(-share * len(ordered) // 1), 1) - 1]


@dataclass
class Counts:
    """Requests that were concluded in a second: `slow` and `wrong` are among the `answered`; `waited` in s, of each."""

    answered: int = 0
    failed: int = 0
    slow: int = 0
    wrong: int = 0
    waited: list[float] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Take in what another one counted."""
        self.answered += other.answered
        self.failed += other.failed
        self.slow += other.slow
        self.wrong += other.wrong
        self.waited += other.waited

    def line(self, second: int, replica: str) -> dict:
        """As the log has it."""
        ordered = sorted(self.waited)
        shown = {"second": second, "replica": replica, "answered": self.answered, "failed": self.failed}
        shown |= {"slow": self.slow, "wrong": self.wrong}
        times = {"p50": quantile(ordered, 0.5), "p95": quantile(ordered, 0.95), "max": quantile(ordered, 1.0)}
        return shown | {name: None if value is None else round(value, 4) for name, value in times.items()}


class Tally:
    """Counts of the second that is open, and of the last ten that are closed.

    Parameters
    ----------
    second : int
        The first second, since 1970.
    close : callable
        Is given each second that closes, its counts by replica and its lines of text, one string to be written at once.

    Notes
    -----
    A request counts where it was concluded: a clock that is set back finds the open second, so that none comes twice.
    """

    def __init__(self, second: int, close: Callable[[int, dict[str, Counts], str], None]) -> None:
        self.second, self._close = second, close
        self.replicas: dict[str, Counts] = {}
        self.sent, self.over, self.outstanding = 0, 0, 0
        self.lags: list[float] = []
        self.lately: deque[tuple[int, Counts]] = deque(maxlen=LATELY)

    def upto(self, now: float) -> None:
        """Close every second before `now`, s since 1970; one in which nothing happened is closed like any other."""
        while self.second < int(now):
            self.close()

    def close(self) -> None:
        """Close the open second."""
        total = Counts()
        for counts in self.replicas.values():
            total.add(counts)
        own = {"sent": self.sent, "over": self.over, "outstanding": self.outstanding}
        lag = quantile(sorted(self.lags), 0.99)
        own["lag"] = None if lag is None else round(lag, 4)
        lines = [total.line(self.second, ALL) | own]
        lines += [counts.line(self.second, name) for name, counts in sorted(self.replicas.items())]
        self.lately.append((self.sent, total))
        second, replicas = self.second, self.replicas
        self.second, self.replicas, self.sent, self.over, self.lags = second + 1, {}, 0, 0, []
        self._close(second, replicas, "".join(json.dumps(line) + "\n" for line in lines))

    def arrived(self, now: float, lag: float) -> None:
        """Count a request that is sent `lag` s after its time."""
        self.upto(now)
        self.sent += 1
        self.outstanding += 1
        self.lags.append(lag)

    def answered(self, now: float, replica: str, waited: float, wrong: bool) -> None:
        """Count an answer."""
        counts = self._open(now, replica)
        counts.answered += 1
        counts.slow += waited > SLOW
        counts.wrong += wrong
        counts.waited.append(waited)

    def failed(self, now: float, replica: str, waited: float) -> None:
        """Count a request without an answer: an error, or the user's patience came to an end."""
        counts = self._open(now, replica)
        counts.failed += 1
        counts.waited.append(waited)

    def _open(self, now: float, replica: str) -> Counts:
        self.upto(now)
        self.outstanding -= 1
        return self.replicas.setdefault(replica, Counts())
