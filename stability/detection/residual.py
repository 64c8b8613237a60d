"""What a causal forecast leaves: the residual of the decomposition, and the difference to the same time before."""

from __future__ import annotations

__all__ = ["Residual", "SeasonalDifference"]

import itertools
from collections.abc import Sequence

import numba
import numpy as np

from stability.decomposition.filtering import STATE
from stability.decomposition.profile import Learnt, learn
from stability.decomposition.state import run, stack
from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.season import enter, nearest, remember, slots_of
from stability.detection.settings import above_zero, whole

TO_SIGMA = 1.4826  # standard deviation over median absolute deviation of a Gaussian
MIN_DIFFERENCES = 8  # of a season, from which a scale is taken


class Residual(Detector):
    r"""Score a value by its distance from what level and seasons predicted, in deviations of such distances.

    .. math:: s_t = |x_t - (\ell_{t-1} + \sum_j c_{j,t})| / \max(\sigma_{t-1}, \text{floor})

    with the causal decomposition's level, seasons and robust deviation (`stability.decomposition`), all as they were
    known before the value came.

    Parameters
    ----------
    periods : sequence of float, optional
        In s; found in the history of each series by default.
    level_time : float, optional
        Memory of the level, in s; see `CausalDecomposition`.
    season_cycles : float
        Memory of the seasons, in cycles.
    clip : float
        Deviations of a residual that are learnt at most.
    resolution : int
        Points of a season at most.
    floor : float
        The smallest deviation, as a share of the history's range.

    References
    ----------
    Gelper, Fried and Croux (2010), doi 10.1002/for.1125.
    """

    name = "residual"
    signed = False  # whether what lies below its prediction has a part below 0: for features, never for alarms

    def __init__(
        self,
        *,
        periods: Sequence[float] | None = None,
        level_time: float | None = None,
        season_cycles: float = 10.0,
        clip: float = 3.0,
        resolution: int = 288,
        floor: float = 0.001,
    ):
        above_zero(season_cycles=season_cycles, clip=clip, floor=floor)
        self.periods, self.level_time, self.season_cycles = periods, level_time, season_cycles
        self.clip, self.resolution, self.floor = clip, resolution, floor

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        entities, metrics = len(rows.entities), rows.values.shape[1]
        span = (rows.times.max() - rows.times.min()) / 1e6
        cold = Learnt.cold(self.level_time, span)
        series = [
            learn(self, self.periods, rows.times[a:b], rows.values[a:b, m], cold)
            for a, b in itertools.pairwise(rows.starts)
            for m in range(metrics)
        ]
        learnt = {key: kept.reshape(entities, metrics, *kept.shape[1:]) for key, kept in stack(series).items()}
        return learnt | {"smallest": self.floor * _range(rows), "cold": np.full(entities, cold.memory)}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        state = stack([Learnt.cold(float(self.learnt_["cold"][0]), 0.0)] * (entities * metrics))
        shaped = {}
        for key, kept in state.items():
            wide = np.zeros((entities, metrics, *self.learnt_[key].shape[2:]), dtype=kept.dtype)
            if kept.ndim == 1:
                wide[...] = kept.reshape(entities, metrics)
            shaped[key] = wide
        return shaped

    def _after(self, rows: Rows, learnt) -> dict[str, np.ndarray]:
        state = {key: learnt[key].copy() for key in STATE}
        held = state | {"rates": np.zeros_like(state["rates"])}  # the seasons have seen the history already
        self._walk(rows, learnt, held)
        return state

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        metrics = rows.values.shape[1]
        series = len(rows.entities) * metrics
        flat = {key: kept.reshape(series, *kept.shape[2:]) for key, kept in state.items()}
        parts = np.empty(rows.values.shape)
        live = bool((np.diff(rows.starts) == 1).all()) and len(set(rows.times.tolist())) <= 1
        for a, b in [(0, len(rows.times))] if live and len(rows.times) else itertools.pairwise(rows.starts):
            first = a if live else np.searchsorted(rows.starts, a, side="right") - 1
            which = np.arange(first * metrics, (b if live else first + 1) * metrics)
            values = rows.values[a:b].reshape(1 if live else b - a, -1)
            trend, seasons, spread = run(
                flat, which, rows.times[a : a + 1] if live else rows.times[a:b], values, self.clip
            )
            gaps = values - trend - np.nansum(seasons, axis=2)
            gaps = gaps if self.signed else np.abs(gaps)
            parts[a:b] = (gaps / np.maximum(spread, learnt["smallest"].reshape(series)[which])).reshape(b - a, metrics)
        return parts


class SeasonalDifference(Detector):
    """Score a value by its distance from the nearest of the values one, two, ... seasons ago, at the same place.

    Days by default, and eight of them: a Sunday is compared with a Sunday, and a holiday with the Sunday that it is
    like. In robust deviations of such distances in the history.

    Parameters
    ----------
    season : float
        Seconds after which values are expected to repeat.
    seasons : int
        Past seasons that are looked at.
    floor : float
        The smallest deviation, as a share of the history's range.
    """

    name = "seasonal_difference"

    def __init__(self, *, season: float = 86_400.0, seasons: int = 8, floor: float = 0.01):
        above_zero(season=season, floor=floor)
        whole(seasons=seasons)
        self.season, self.seasons, self.floor = season, seasons, floor

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        slot = slots_of(rows, self.season)
        least = self.floor * _range(rows)
        state, ones = self._begin(len(rows.entities), rows.values.shape[1]), np.ones_like(least)
        gaps = _gaps(rows.values, rows.times, rows.starts, slot, self.season * 1e6, ones, *state.values())
        scale = least.copy()
        for e, (a, b) in enumerate(itertools.pairwise(rows.starts)):
            known = np.sum(~np.isnan(gaps[a:b]), axis=0) >= MIN_DIFFERENCES
            scale[e, known] = np.maximum(TO_SIGMA * np.nanmedian(gaps[a:b][:, known], axis=0), least[e, known])
        return {"slot": slot, "scale": scale}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return remember(entities, metrics, self.seasons)

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        slot, season = np.nan_to_num(learnt["slot"]), self.season * 1e6
        return _gaps(rows.values, rows.times, rows.starts, slot, season, learnt["scale"], *state.values())


def _range(rows: Rows) -> np.ndarray:
    """Largest minus smallest value of each series; its level where it stood still, 1 unit where that is 0 too."""
    reach = np.empty((len(rows.entities), rows.values.shape[1]))
    for e, (a, b) in enumerate(itertools.pairwise(rows.starts)):
        part = rows.values[a:b]
        high, low = np.nanmax(part, axis=0, initial=-np.inf), np.nanmin(part, axis=0, initial=np.inf)
        there = high >= low
        reach[e] = np.where(there, np.where(high > low, high - low, np.abs(high)), 1.0)
    return np.where(reach > 0, reach, 1.0)


@numba.njit(cache=True)
def _gaps(values, times, starts, slot, season, scale, seasonal, seasonal_at):
    """Distance of each value from the nearest of those some seasons ago, in units of `scale`; the state goes on."""
    gaps = np.full(values.shape, np.nan)
    for e in range(starts.size - 1):
        for i in range(starts[e], starts[e + 1]):
            place, known = enter(times[i], slot[e], season, seasonal_at[e], seasonal[e])
            if place < 0:
                continue
            for m in range(values.shape[1]):
                if np.isnan(values[i, m]):
                    continue
                gaps[i, m] = abs(nearest(values[i, m], seasonal[e, m, place], known)) / scale[e, m]
    return gaps
