"""The newest rows of all entities, as long as rules and diagnoses look back: one block, of which nothing is copied."""

from __future__ import annotations

__all__ = ["Ring", "Rows", "moments_after"]

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stability.schema import ContractError, validate

SLACK = 0.25  # of the length: how much room there is behind it before everything moves to the front once
GROWTH = 1.25  # by how much room for entities grows, so that a fleet that grows one by one is not copied one by one


def moments_after(after: int, until: int, step: int) -> range:
    """Moments of the grid, which are the multiples of the step since 1970: those after one, up to another.

    Parameters
    ----------
    after, until, step : int
        Microseconds; `after` may lie between two moments, as the last one of another step does.

    Examples
    --------
    >>> list(moments_after(25, 60, 10))
    [30, 40, 50, 60]
    """
    return range((after // step + 1) * step, until + 1, step)


@dataclass(frozen=True)
class Rows:
    """What all entities said at one moment.

    Parameters
    ----------
    moment : int
        Microseconds since 1970.
    entities : tuple of str, length n
        Who said something, each once; an entity that is not among them said nothing, not even that it has no value.
    values : array of float64, shape (n, metrics)
        NaN where a metric is missing.
    """

    moment: int
    entities: tuple[str, ...]
    values: np.ndarray


class Ring:
    """A panel of fixed length in time, filled row by row.

    Parameters
    ----------
    metrics : sequence of str
    length : int
        Moments that are held.

    Attributes
    ----------
    entities : list of str
        In the order in which they came.
    times : array of int64, shape (moments,)
        Microseconds since 1970.
    edition : int
        Another one as soon as the entities are others.

    Examples
    --------
    >>> ring = Ring(["load"], 2)
    >>> for k in range(3):
    ...     ring.add(Rows(k * 1_000_000, ("a",), np.array([[float(k)]])))
    >>> ring.panel()["load"].tolist()
    [1.0, 2.0]
    """

    def __init__(self, metrics: Sequence[str], length: int):
        if length < 1:
            raise ContractError(column="length", expected="at least one moment", got=length)
        self.metrics, self.length = list(metrics), int(length)
        self.entities: list[str] = []
        self._room = self.length + max(int(self.length * SLACK), 1)
        self._times = np.zeros(self._room, dtype=np.int64)
        self._values = np.full((len(self.metrics), 0, self._room), np.nan)
        self._there = np.zeros((0, self._room), dtype=bool)
        self._slots: dict[str, int] = {}
        self._last: tuple[tuple[str, ...], np.ndarray] = ((), np.empty(0, dtype=np.int64))
        self._begin = self._end = self.edition = 0

    @property
    def times(self) -> np.ndarray:
        """Moments that are held, rising."""
        return self._times[self._begin : self._end]

    @property
    def values(self) -> np.ndarray:
        """Shape (metrics, entities, moments); NaN where missing."""
        return self._values[:, : len(self.entities), self._begin : self._end]

    @property
    def there(self) -> np.ndarray:
        """Which entities had a row at all, shape (entities, moments)."""
        return self._there[: len(self.entities), self._begin : self._end]

    def add(self, rows: Rows) -> None:
        """Take the rows of a moment that comes after all others; the oldest one goes when there is no room."""
        if self._end > self._begin and rows.moment <= self._times[self._end - 1]:
            last = pd.Timestamp(int(self._times[self._end - 1]), unit="us", tz="UTC")
            got = pd.Timestamp(rows.moment, unit="us", tz="UTC")
            raise ContractError(file="rows", expected=f"a moment after {last}", got=str(got))
        places = self.slots(rows.entities)
        if self._end == self._room:
            kept = slice(self._begin, self._end)
            size = self._end - self._begin
            for block in (*self._values, self._there, self._times):  # a metric at a time: a move takes room for a copy
                block[..., :size] = block[..., kept]
            self._begin, self._end = 0, size
        at = self._end
        self._values[:, :, at] = np.nan
        self._there[:, at] = False
        self._values[:, places, at] = rows.values.T
        self._there[places, at] = True
        self._times[at] = rows.moment
        self._end += 1
        self._begin = max(self._begin, self._end - self.length)

    def slots(self, entities: tuple[str, ...]) -> np.ndarray:
        """Places of entities; a new one gets one."""
        if entities == self._last[0]:
            return self._last[1]
        if len(set(entities)) != len(entities):
            raise ContractError(file="rows", expected="one row an entity", got="two of one")
        for name in entities:
            if name not in self._slots:
                self._slots[name] = len(self.entities)
                self.entities.append(name)
                self.edition += 1
        if len(self.entities) > len(self._there):
            more = max(int(len(self._there) * GROWTH), len(self.entities))
            values = np.full((len(self.metrics), more, self._room), np.nan)
            there = np.zeros((more, self._room), dtype=bool)
            values[:, : len(self._there)], there[: len(self._there)] = self._values, self._there
            self._values, self._there = values, there
        places = np.array([self._slots[name] for name in entities], dtype=np.int64)
        self._last = (entities, places)
        return places

    def drop(self, entities: Collection[str]) -> None:
        """Forget entities; those behind them move up, and the room stays for others."""
        dropped = set(entities)
        kept = np.array([k for k, name in enumerate(self.entities) if name not in dropped], dtype=np.int64)
        if len(kept) == len(self.entities):
            return
        for block in self._values:  # a metric at a time, as above
            block[: len(kept)], block[len(kept) :] = block[kept], np.nan
        self._there[: len(kept)], self._there[len(kept) :] = self._there[kept], False
        self.entities = [self.entities[k] for k in kept]
        self._slots = {name: k for k, name in enumerate(self.entities)}
        self._last = ((), np.empty(0, dtype=np.int64))
        self.edition += 1

    def panel(self, since: int | None = None, entities: Sequence[str] | None = None) -> pd.DataFrame:
        """What is held, as a panel of the contract.

        Parameters
        ----------
        since : int, optional
            Microseconds since 1970; nothing before it.
        entities : sequence of str, optional
            Of these alone; one that has never been is left out.
        """
        first = 0 if since is None else int(np.searchsorted(self.times, since))
        chosen = self.entities if entities is None else [name for name in entities if name in self._slots]
        places = [self._slots[name] for name in chosen]
        there = self.there[places, first:]
        who, when = np.nonzero(there)
        stamps = pd.DatetimeIndex(self.times[first:][when].view("datetime64[us]"), tz="UTC")
        names = pd.Index(chosen, dtype="str").take(who)
        index = pd.MultiIndex.from_arrays([names, stamps], names=["entity", "timestamp"])
        values = self.values[:, places, first:][:, who, when].T
        return validate(pd.DataFrame(values, index, self.metrics), "telemetry", source="ring")
