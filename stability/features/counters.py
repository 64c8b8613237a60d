"""Rates of counters row by row, as `stability.telemetry.rate` gives them of a panel."""

from __future__ import annotations

__all__ = ["Rates"]

import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from stability.detection.rows import moments_of, runs
from stability.telemetry import is_counter

SECOND = 1_000_000  # microseconds


class Rates:
    """Increase per second of each counter since its value before; gauges pass unchanged.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=3, freq="10s", tz="UTC", name="timestamp").as_unit("us")
    >>> index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"requests_total": [10.0, 40.0, 5.0]}, index)
    >>> live = Rates().begin(panel.iloc[:1])
    >>> [float(live.update(panel.to_numpy()[[k]], stamps[[k]], ["a"])[0, 0]) for k in (1, 2)]
    [3.0, 0.5]
    """

    def begin(self, history: pd.DataFrame) -> Rates:
        """Remember the last value of each counter of a panel, whose rows may be none; gives itself."""
        self._places = [k for k, name in enumerate(history.columns) if is_counter(name)]
        self._entities, starts = runs(history.index)
        times = moments_of(history.index.get_level_values("timestamp"))
        values = history.to_numpy(dtype="float64")[:, self._places]
        shape = (len(self._entities), len(self._places))
        self._last, self._when = np.full(shape, np.nan), np.zeros(shape, dtype="int64")
        for e, (a, b) in enumerate(itertools.pairwise(starts)):
            for c in range(shape[1]):
                if len(known := np.flatnonzero(~np.isnan(values[a:b, c]))):
                    self._last[e, c], self._when[e, c] = values[a + known[-1], c], times[a + known[-1]]
        return self

    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
        """As `Rolling.update`: one new row of each of some entities, with rates in the counters' places."""
        moments, names = moments_of(times), pd.Index(entities)
        new = self._entities.get_indexer(names) < 0
        if new.any():
            more = (int(new.sum()), len(self._places))
            self._entities = self._entities.append(names[new])
            self._last = np.concatenate([self._last, np.full(more, np.nan)])
            self._when = np.concatenate([self._when, np.zeros(more, dtype="int64")])
        slots, found = self._entities.get_indexer(names), np.array(values, dtype="float64")
        now, before, when = found[:, self._places], self._last[slots], self._when[slots]
        increase = np.where(now < before, now, now - before)  # below: it began again at zero
        with np.errstate(divide="ignore", invalid="ignore"):
            found[:, self._places] = increase / ((moments[:, None] - when) / SECOND)
        known = ~np.isnan(now)
        self._last[slots] = np.where(known, now, before)
        self._when[slots] = np.where(known, moments[:, None], when)
        return found

    def forget(self, entities: Iterable[str]) -> None:
        """Forget entities; one that comes back has no value before its first."""
        kept = ~self._entities.isin(list(entities))
        self._entities, self._last, self._when = self._entities[kept], self._last[kept], self._when[kept]

    def state(self) -> dict[str, np.ndarray]:
        """Give what it remembers, by name, with the entities along the first axis; not copies. `resume` takes it."""
        return {"entities": np.array(list(self._entities), dtype="U"), "last": self._last, "when": self._when}

    def resume(self, kept: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` gave, after `begin` with a panel of the same columns."""
        self._entities = pd.Index([str(name) for name in kept["entities"]], dtype="str")
        self._last, self._when = kept["last"], kept["when"]
