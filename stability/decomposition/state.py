"""The state of many series as arrays of equal shape: built, run forward, and written as plain lists."""

from __future__ import annotations

__all__ = ["from_plain", "run", "season_columns", "stack", "to_plain"]

from collections.abc import Mapping, Sequence

import numpy as np

from stability.decomposition.filtering import STATE, compiled
from stability.decomposition.profile import Learnt
from stability.decomposition.table import season_column


def stack(learnt: Sequence[Learnt]) -> dict[str, np.ndarray]:
    """Lay what was learnt of each series into the arrays that `advance` takes, padded to the longest season."""
    seasons = max((len(one.periods) for one in learnt), default=0)
    points = max((len(knots) for one in learnt for knots in one.knots), default=0)
    count = len(learnt)
    state = {
        "level": np.array([one.level for one in learnt], dtype=float),
        "scale": np.array([one.scale for one in learnt], dtype=float),
        "last": np.array([one.last for one in learnt], dtype=np.int64),
        "origin": np.array([one.origin for one in learnt], dtype=np.int64),
        "memory": np.array([one.memory for one in learnt], dtype=float),
        "knots": np.zeros((count, seasons, points)),
        "offset": np.zeros((count, seasons)),
        "periods": np.zeros((count, seasons), dtype=np.int64),
        "points": np.zeros((count, seasons), dtype=np.int64),
        "rates": np.zeros((count, seasons)),
    }
    for row, one in enumerate(learnt):
        for place, (period, knots, rate) in enumerate(zip(one.periods, one.knots, one.rates, strict=True)):
            state["knots"][row, place, : len(knots)] = knots
            state["periods"][row, place] = round(period * 1e6)
            state["points"][row, place] = len(knots)
            state["rates"][row, place] = rate
    return state


def run(
    state: Mapping[str, np.ndarray], which: np.ndarray, times: np.ndarray, values: np.ndarray, clip: float
) -> tuple:
    """Filter values (n, m) of the series `which` (m,); the state moves on.

    Returns
    -------
    trend : array of float64, shape (n, m)
    seasons : array of float64, shape (n, m, J)
        NaN without value or prediction, and where a series has no such season.
    spread : array of float64, shape (n, m)
        Robust deviation of the residual, as it was known before the value.
    """
    trend, spread = np.empty(values.shape), np.empty(values.shape)
    seasons = np.empty((*values.shape, state["periods"].shape[1]))
    arrays = [state[name] for name in STATE]
    advance = compiled()
    advance(np.ascontiguousarray(times), np.array(values, order="C"), which, *arrays, clip, trend, seasons, spread)
    return trend, seasons, spread


def season_columns(seasons: np.ndarray, periods: Sequence[tuple[float, ...]]) -> dict[str, np.ndarray]:
    """Seasons (n, m, J) by column: the same place may hold different periods in different series."""
    named: dict[str, np.ndarray] = {}
    for period in sorted({period for own in periods for period in own}):
        column = named.setdefault(season_column(period), np.full(seasons.shape[:2], np.nan))
        for series, own in enumerate(periods):
            if period in own:
                column[:, series] = seasons[:, series, own.index(period)]
    return named


def to_plain(state: Mapping[str, np.ndarray]) -> dict[str, list]:
    """Write the arrays as lists of numbers, with None for NaN, as JSON knows none."""
    return {
        name: (np.where(np.isnan(array), None, array.astype(object)) if array.dtype.kind == "f" else array).tolist()
        for name, array in state.items()
    }


def from_plain(lists: Mapping[str, list]) -> dict[str, np.ndarray]:
    """Read what `to_plain` wrote.

    Examples
    --------
    >>> state = stack([Learnt.cold(60.0, 0.0)])
    >>> again = from_plain(to_plain(state))
    >>> all(np.array_equal(state[name], again[name], equal_nan=state[name].dtype.kind == "f") for name in STATE)
    True
    """
    shapes = {"knots": 3, "offset": 2, "periods": 2, "points": 2, "rates": 2}
    state = {}
    for name, dtype in STATE.items():
        array = np.array(lists[name], dtype=object).astype(dtype)
        # Lists forget the length of empty axes.
        state[name] = np.ascontiguousarray(array.reshape(array.shape + (0,) * (shapes.get(name, 1) - array.ndim)))
    return state
