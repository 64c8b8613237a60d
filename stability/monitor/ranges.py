"""Functions of a range at one moment, for all entities in one pass: the kernels of the rules' batch, run side by side.

Each kernel takes the values of one metric, shape (entities, moments), and the places of the window, which is the same
for all of them, because all entities share the moments of the ring.
"""

from __future__ import annotations

__all__ = ["newest", "over_window"]

import numba
import numpy as np

from stability.rules import windows

COUNTS, RATES, TRENDS, TOTALS, EXTREMES, QUANTILE = range(6)
_HOW = {  # name -> kind, and two numbers that its kernel takes; the least samples that it needs
    "count_over_time": (COUNTS, 0, 0, 1),
    "rate": (RATES, 1, 1, 2),
    "increase": (RATES, 1, 0, 2),
    "delta": (RATES, 0, 0, 2),
    "stddev_over_time": (TRENDS, 0, 0, 1),
    "deriv": (TRENDS, 1, 0, 2),
    "predict_linear": (TRENDS, 2, 0, 2),
    "sum_over_time": (TOTALS, 0, 0, 1),
    "avg_over_time": (TOTALS, 1, 0, 1),
    "min_over_time": (EXTREMES, 1, 0, 1),
    "max_over_time": (EXTREMES, -1, 0, 1),
    "quantile_over_time": (QUANTILE, 0, 0, 1),
}


def over_window(
    name: str, times: np.ndarray, values: np.ndarray, at: int, length: int, offset: int, argument: float
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a function to the range that ends at a moment, of each entity.

    Parameters
    ----------
    name : str
        As for `stability.rules.functions.over_range`, whose numbers these are.
    times : array of int64, shape (moments,)
        Microseconds since 1970, rising.
    values : array of float64, shape (entities, moments)
        NaN where there is no sample.
    at, length, offset : int
        Microseconds: samples of [at - offset - length, at - offset].
    argument : float
        The quantile of quantile_over_time, the seconds of predict_linear.

    Returns
    -------
    values : array of float64, shape (entities,)
    present : array of bool, shape (entities,)
        Where the range holds enough samples.
    """
    kind, first, second, least = _HOW[name]
    end = at - offset
    start = end - length
    lo, hi = int(np.searchsorted(times, start, "left")), int(np.searchsorted(times, end, "right"))
    out, count = np.zeros(len(values)), np.zeros(len(values), dtype=np.int64)
    _each(kind, first, second, times, values, lo, hi, start, end, at, float(argument), out, count)
    return out, count >= least


@numba.njit(cache=True, nogil=True)
def _each(kind, first, second, times, values, lo, hi, start, end, at, argument, out, count):
    stamps, kept = np.empty(max(hi - lo, 0), np.int64), np.empty(max(hi - lo, 0))
    one_lo, one_hi = np.zeros(1, np.int64), np.zeros(1, np.int64)
    starts, ends, moments, found = np.array([start]), np.array([end]), np.array([at]), np.zeros(1)
    for e in range(len(values)):
        n = 0
        for k in range(lo, hi):
            if not np.isnan(values[e, k]):
                stamps[n], kept[n] = times[k], values[e, k]
                n += 1
        count[e] = n
        if n == 0:
            continue
        one_hi[0], found[0] = n, 0.0
        if kind == COUNTS:
            found[0] = n
        elif kind == RATES:
            windows.rates(stamps[:n], kept[:n], one_lo, one_hi, starts, ends, first == 1, second == 1, found)
        elif kind == TRENDS:
            windows.trends(stamps[:n], kept[:n], one_lo, one_hi, moments, first, argument, found)
        elif kind == TOTALS:
            windows.totals(kept[:n], one_lo, one_hi, first == 1, found)
        elif kind == EXTREMES:
            windows.extremes(kept[:n], one_lo, one_hi, float(first), found)
        else:
            windows.quantiles(kept[:n], one_lo, one_hi, argument, found)
        out[e] = found[0]


@numba.njit(cache=True, nogil=True)
def newest(times, values, there, end, lookback):
    """Newest sample of each entity up to a moment, and whether it serves: young enough, and no marker of absence.

    Parameters
    ----------
    times : array of int64, shape (moments,)
    values : array of float64, shape (entities, moments)
    there : array of bool, shape (entities, moments)
        Whether the entity had a row: one without a value is the marker.
    end, lookback : int
        Microseconds.
    """
    out, present = np.zeros(len(values)), np.zeros(len(values), np.bool_)
    last = np.searchsorted(times, end, "right") - 1
    for e in range(len(values)):
        k = last
        while k >= 0 and times[k] >= end - lookback:
            if there[e, k]:
                if not np.isnan(values[e, k]):
                    out[e], present[e] = values[e, k], True
                break
            k -= 1
    return out, present
