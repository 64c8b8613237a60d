"""Functions of a range: rate, deriv, avg_over_time and the others, each series by one pass."""

from __future__ import annotations

__all__ = ["over_range"]

import numpy as np

from stability.rules import windows
from stability.rules.history import Series

_RATES = {"rate": (True, True), "increase": (True, False), "delta": (False, False)}  # of a counter; per second
_TRENDS = {"stddev_over_time": 0, "deriv": 1, "predict_linear": 2}


def over_range(
    name: str, series: Series, times: np.ndarray, length: int, offset: int, argument: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a function to a range of one series, at every time of evaluation.

    Parameters
    ----------
    name : str
        One of PromQL's functions of a range that `stability.rules.expressions` lists.
    series : Series
    times : array of int64, shape (times,)
        Times of evaluation, microseconds, rising.
    length : int
        Of the range, microseconds: samples of [t - offset - length, t - offset], both ends included.
    offset : int
        Microseconds.
    argument : float
        The quantile of quantile_over_time, the seconds of predict_linear.

    Returns
    -------
    values : array of float64, shape (times,)
    present : array of bool, shape (times,)
        Where the range holds enough samples.

    References
    ----------
    Prometheus 2.42, `promql/functions.go`.
    """
    stamps, values = series.samples()
    end = times - offset
    start = end - length
    lo, hi = np.searchsorted(stamps, start, "left"), np.searchsorted(stamps, end, "right")
    count = hi - lo
    out = np.zeros(len(times))
    if name in _RATES:
        counter, per_second = _RATES[name]
        windows.rates(stamps, values, lo, hi, start, end, counter, per_second, out)
        return out, count >= 2
    if name in _TRENDS:
        # The line is taken at the time of evaluation, whatever the offset.
        windows.trends(stamps, values, lo, hi, times, _TRENDS[name], float(argument), out)
        return out, count >= (1 if name == "stddev_over_time" else 2)
    if name in ("sum_over_time", "avg_over_time"):
        windows.totals(values, lo, hi, name == "avg_over_time", out)
    elif name in ("min_over_time", "max_over_time"):
        windows.extremes(values, lo, hi, 1.0 if name == "min_over_time" else -1.0, out)
    elif name == "quantile_over_time":
        windows.quantiles(values, lo, hi, float(argument), out)
    else:  # count_over_time
        out = count.astype(np.float64)
    return out, count >= 1
