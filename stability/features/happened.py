"""When events happened, kept as far back as windows look: for features that are asked for row by row."""

from __future__ import annotations

__all__ = ["Happened"]

from array import array
from bisect import bisect_right

import numpy as np

SPARE = 4096  # moments that may be held beyond those that are needed, before it is tidied up


class Happened:
    """Moments of events by kind, of each entity and of all.

    Of what is older than asked for, the newest moment is kept, so that the time since it is known.

    Parameters
    ----------
    kinds : int
    lengths : sequence of int
        Windows, microseconds.
    most : int
        Microseconds since the last event that are told apart.
    late : int
        Microseconds that a row may be older than the newest moment.

    Examples
    --------
    >>> happened = Happened(1, [10], most=100, late=0)
    >>> happened.add(np.array([0, 0]), ["a", "b"], np.array([5, 12]))
    >>> happened.row("a", 14)
    [1.0, 2.0, 9.0]
    """

    def __init__(self, kinds: int, lengths: list[int], *, most: int, late: int) -> None:
        self.kinds, self.lengths, self.most = kinds, [int(length) for length in lengths], int(most)
        self._back = max(self.lengths, default=0) + int(late)
        self._of: dict[tuple[int, str | None], array] = {}  # None: of all
        self._size, self._least = 0, 0
        self._asked: tuple[int, list[list[float]]] | None = None  # counts of all at the moment asked for last

    def __len__(self) -> int:
        return self._size

    def add(self, kinds: np.ndarray, entities: list[str], moments: np.ndarray) -> None:
        """Take in events: numbers of their kinds, whose they are, microseconds since 1970; in any order."""
        self._asked = None
        for kind, entity, moment in zip(kinds.tolist(), entities, moments.tolist(), strict=True):
            for key in ((kind, entity), (kind, None)):
                held = self._of.setdefault(key, array("q"))
                if held and moment < held[-1]:
                    held.insert(bisect_right(held, moment), moment)
                else:
                    held.append(moment)
        self._size += 2 * len(moments)

    def tidy(self, newest: int) -> None:
        """Forget what no window reaches any more once rows have come as far as `newest`."""
        if self._size < 2 * self._least + SPARE:
            return
        before = newest - self._back
        for held in self._of.values():
            if (gone := bisect_right(held, before) - 1) > 0:
                del held[:gone]
        self._size = self._least = sum(map(len, self._of.values()))

    def row(self, entity: str, moment: int) -> list[float]:
        """Features of a row: for each kind and window the count of the entity's and of all; then microseconds since."""
        if self._asked is None or self._asked[0] != moment:
            self._asked = (moment, [self._counts((kind, None), moment)[0] for kind in range(self.kinds)])
        found, since = [], []
        for kind, all_ in enumerate(self._asked[1]):
            own, last = self._counts((kind, entity), moment)
            found += [count for pair in zip(own, all_, strict=True) for count in pair]
            since.append(float(min(moment - last, self.most)) if last is not None else float(self.most))
        return found + since

    def _counts(self, key: tuple[int, str | None], moment: int) -> tuple[list[float], int | None]:
        held = self._of.get(key)
        if not held:
            return [0.0] * len(self.lengths), None
        until = bisect_right(held, moment)
        counts = [float(until - bisect_right(held, moment - length, 0, until)) for length in self.lengths]
        return counts, held[until - 1] if until else None
