"""The last rows of each entity, for what looks back a while and is asked for row by row."""

from __future__ import annotations

__all__ = ["Ring"]

import itertools

import numpy as np
import pandas as pd

from stability.detection.rows import runs
from stability.schema import ContractError

LEAST = 16  # rows that are held at first


class Ring:
    """The rows of the last `span` microseconds of each entity; grows where more come in that time.

    Each row is kept twice, `capacity` apart, so that the last rows of an entity always lie in one piece, before `ends`.

    Parameters
    ----------
    history : DataFrame of float64, (entity, timestamp) x metrics
        In contract form.
    span : int
        Microseconds before an entity's newest row.

    Attributes
    ----------
    values : array of float64, shape (entities, metrics, 2 * capacity)
    times : array of int64, shape (entities, 2 * capacity)
    ends : array of int64, shape (entities,)
        Position behind the newest row.
    counts : array of int64, shape (entities,)
        Rows that are held.
    entities : Index of str
    """

    def __init__(self, history: pd.DataFrame, span: int) -> None:
        self.span = span
        self.entities, starts = runs(history.index)
        moments = history.index.get_level_values("timestamp").as_unit("us").asi8
        values = history.to_numpy(dtype="float64")
        firsts = [
            max(min(int(np.searchsorted(moments[a:b], moments[b - 1] - span, side="right")) + a, b - 2), a)
            for a, b in itertools.pairwise(starts)
        ]
        held = starts[1:] - np.array(firsts, dtype="int64")
        self.capacity = int(2 ** np.ceil(np.log2(max(held.max(initial=0) + 1, LEAST))))
        self._make(len(self.entities), history.shape[1])
        for e, (first, end) in enumerate(zip(firsts, starts[1:], strict=True)):
            self._fill(e, moments[first:end], values[first:end].T)

    def _make(self, entities: int, metrics: int) -> None:
        self.values = np.full((entities, metrics, 2 * self.capacity), np.nan)
        self.times = np.zeros((entities, 2 * self.capacity), dtype="int64")
        self.ends = np.full(entities, self.capacity, dtype="int64")
        self.counts = np.zeros(entities, dtype="int64")

    def _fill(self, e: int, moments: np.ndarray, values: np.ndarray) -> None:
        size = len(moments)
        for at in (0, self.capacity):
            self.times[e, at : at + size] = moments
            self.values[e, :, at : at + size] = values
        self.ends[e], self.counts[e] = self.capacity + size, size

    def push(self, values: np.ndarray, moments: np.ndarray, entities: pd.Index) -> np.ndarray:
        """Take in a row of each of some entities; where each is held.

        Raises
        ------
        ContractError
            For shapes that do not fit, an infinite value, an entity twice, or a row that does not come after the one
            before.
        """
        values, names = np.asarray(values, dtype="float64"), pd.Index(entities)
        if values.shape != (len(names), self.values.shape[1]) or moments.shape != (len(names),):
            expected = f"values ({len(names)}, {self.values.shape[1]}) and times ({len(names)},)"
            raise ContractError(file="rows", expected=expected, got=f"{values.shape} and {moments.shape}")
        if np.isinf(values).any():
            raise ContractError(file="rows", expected="finite values, or NaN", got="an infinite one")
        if not names.is_unique:
            raise ContractError(file="rows", expected="one row an entity", got=f"two of {names[names.duplicated()][0]}")
        new = self.entities.get_indexer(names) < 0
        if new.any():
            self._extend(names[new])
        slots = self.entities.get_indexer(names)
        last = self.times[slots, self.ends[slots] - 1]
        if (late := (self.counts[slots] > 0) & (moments <= last)).any():
            got = f"one of {names[late][0]} that is not"
            raise ContractError(file="rows", expected="a row after the one before", got=got)
        oldest = self.times[slots, self.ends[slots] - self.counts[slots]]
        while ((self.counts[slots] == self.capacity) & (oldest > moments - self.span)).any():
            self._grow()
            oldest = self.times[slots, self.ends[slots] - self.counts[slots]]
        at = self.ends[slots] % self.capacity
        for place in (at, at + self.capacity):
            self.times[slots, place] = moments
            self.values[slots, :, place] = values
        self.ends[slots] = at + self.capacity + 1
        self.counts[slots] = np.minimum(self.counts[slots] + 1, self.capacity)
        return slots

    def _extend(self, names: pd.Index) -> None:
        old = (self.values, self.times, self.ends, self.counts)
        self.entities = self.entities.append(names)
        self._make(len(names), self.values.shape[1])
        new = (self.values, self.times, self.ends, self.counts)
        self.values, self.times, self.ends, self.counts = map(np.concatenate, zip(old, new, strict=True))

    def _grow(self) -> None:
        values, times, ends, counts = self.values, self.times, self.ends, self.counts
        self.capacity *= 2
        self._make(len(counts), values.shape[1])
        for e in range(len(counts)):
            held = slice(ends[e] - counts[e], ends[e])
            self._fill(e, times[e, held], values[e, :, held])
