"""What users of the testbed write: some of those who were hurt, soon after, and a few others about anything else."""

from __future__ import annotations

__all__ = ["FILE", "Users"]

import heapq
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from stability.simulate.phrases import message
from stability.simulate.writing import QUIET, WEIGHT, Trouble, messages
from stability.testbed.arrivals import DAY
from stability.testbed.tally import Counts

FILE = "feedback.jsonl"
CHINESE = 0.3  # share of the users
OF_HURT = 0.0035  # share of those who could not be served who write: a dozen of a minute at 60 requests/s
OF_QUIET = 1 / 9_000  # messages a request when nothing is wrong: four in a day at 60 requests/s
MEMORY = 8.0  # s over which a user remembers whether a replica answered well
PACE = DAY / 86_400  # of these users' minutes
NOWHERE = "gateway"  # what users name when they do not know who should have answered


class Users:
    """Those who write: told what happened in each second, they have messages ready when it is time.

    Parameters
    ----------
    seed : int
        Of everything they do.
    begun : int
        Second since 1970 at which they begin: part of the messages' names, so that they differ between two starts.

    Examples
    --------
    >>> users = Users(seed=1, begun=1000)
    >>> for second in range(1000, 1060):
    ...     users.lived(second, {"model-a": Counts(failed=60)})
    >>> 3 <= len(users.sent(1200.0)) <= 25
    True
    """

    def __init__(self, seed: int, begun: int) -> None:
        self.seed, self.begun, self.number = seed, begun, 0
        self.rng = np.random.default_rng([seed, 7])
        self.wrong: dict[str, float] = {}
        self.ready: list[tuple[float, int, dict]] = []
        for language in ("en", "zh"):  # the grammars are read now: later, requests would wait for it
            message("praise", language, np.random.default_rng(0))

    def lived(self, second: int, replicas: Mapping[str, Counts]) -> None:
        """Let users live through what was concluded in a second.

        Parameters
        ----------
        second : int
            Since 1970.
        replicas : mapping
            Counts by replica; "" where none is known.

        Notes
        -----
        A single wrong answer is forgiven; who writes has had the two before it wrong too, from the same replica. So
        the wrong ones count times the square of their recent share: little on a good day, much of a bad version.
        """
        for replica, counts in replicas.items():
            hurt = {"failed": counts.failed * WEIGHT["failed"], "slow": counts.slow * WEIGHT["slow"]}
            hurt["wrong_answer"] = counts.wrong * self._share(replica, counts) ** 2
            for kind, number in hurt.items():
                self._write(replica, second, kind, number * OF_HURT, hurt=True)
            for kind, part in QUIET.items():
                self._write(replica, second, kind, part * OF_QUIET * (counts.answered + counts.failed), hurt=False)

    def sent(self, now: float) -> list[str]:
        """Lines of the messages that are due by `now`, s since 1970, by time; each is handed out once."""
        due = []
        while self.ready and self.ready[0][0] <= now:
            due.append(json.dumps(heapq.heappop(self.ready)[2], ensure_ascii=False) + "\n")
        return due

    def _share(self, replica: str, counts: Counts) -> float:
        if counts.answered:
            now = counts.wrong / counts.answered
            before = self.wrong.setdefault(replica, now)
            self.wrong[replica] = before + (now - before) / MEMORY
        return self.wrong.get(replica, 0.0)

    def _write(self, replica: str, second: int, kind: str, expected: float, *, hurt: bool) -> None:
        for _ in range(self.rng.poisson(expected) if expected else 0):
            trouble = Trouble(replica or NOWHERE, float(second), kind, hurt)
            for row in messages(trouble, self.rng, seed=self.seed, chinese=CHINESE, pace=PACE):
                self.number += 1
                sent = row.pop("seconds")
                moment = datetime.fromtimestamp(sent, UTC).isoformat(timespec="milliseconds")
                rating = None if math.isnan(row["rating"]) else row["rating"]
                name = {"feedback_id": f"m{self.begun}-{self.number:04d}", "timestamp": moment}
                heapq.heappush(self.ready, (sent, self.number, name | row | {"rating": rating}))
