"""Less noise without a look ahead: what a value is worth in the light of those before it, at any spacing of samples."""

from __future__ import annotations

__all__ = ["METHODS", "denoise"]

from datetime import timedelta

import numba
import numpy as np
import pandas as pd

from stability.schema import ContractError, nearest, validate
from stability.telemetry.grid import is_counter, micros, stamps_of

METHODS = ("hampel", "median", "mean")
FEWEST = 3  # samples below which a median of deviations says nothing
MAD = 1.4826  # median absolute deviation of a normal distribution -> its standard deviation


def denoise(
    panel: pd.DataFrame, method: str = "hampel", *, width: str | float | timedelta, deviations: float = 3.0
) -> pd.DataFrame:
    """Filter the noise of gauges causally: the value at t is made of samples at or before t alone.

    For pictures that show what was known, and before a detector that single spikes would fool. It delays: a step
    arrives after half the window (hampel, median) or over about two time constants (mean).

    Parameters
    ----------
    panel : DataFrame
        Telemetry; a gap is NaN or no row. Samples need not be regular.
    method : {"hampel", "median", "mean"}
        ``"hampel"`` replaces a sample that lies further than `deviations` from the median of the window by that median
        and leaves all others as they are; ``"median"`` replaces every sample by that median; ``"mean"`` by the mean of
        all samples so far, weighted by exp(-age / width).
    width : str, float or timedelta
        Length of the window ``(t - width, t]``, or the time constant of ``"mean"``. A number is in seconds.
    deviations : float
        Of ``"hampel"``: how far is too far, in standard deviations, that is 1.4826 times the median absolute deviation
        of the window. Where more than half of a window is one value that deviation is 0, and any other value goes.

    Returns
    -------
    DataFrame
        Same index and columns. Missing stays missing; counters stay as they are, their rates can be filtered. Hampel
        leaves a sample alone whose window holds fewer than 3.

    Raises
    ------
    ContractError
        Unknown method, or a width or a number of deviations that is not positive.

    References
    ----------
    Pearson, Neuvo, Astola, Gabbouj (2016), "Generalized Hampel filters", EURASIP J. Adv. Signal Process. 87,
    https://doi.org/10.1186/s13634-016-0383-6, here with a window that ends at the sample. The weights of "mean" are
    those of pandas' `ewm` with `times`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=6, freq="1min", tz="UTC")
    >>> panel = pd.DataFrame({"load": [1.0, 1.1, 0.9, 9.0, 1.0, 1.2]}, index=stamps)
    >>> denoise(panel, width="5min")["load"].tolist()
    [1.0, 1.1, 0.9, 1.05, 1.0, 1.2]
    """
    panel = validate(panel, "telemetry")
    if method not in METHODS:
        expected = f"one of {', '.join(METHODS)}"
        raise ContractError(column="method", expected=expected, got=repr(method), remedy=nearest(str(method), METHODS))
    span = micros(width, "width")
    number = isinstance(deviations, int | float) and not isinstance(deviations, bool)
    if not number or not 0 < deviations < np.inf:
        raise ContractError(column="deviations", expected="a positive number", got=repr(deviations), remedy="such as 3")
    stamps = np.ascontiguousarray(stamps_of(panel))
    owners = np.ascontiguousarray(panel.index.codes[0].astype("int64"))
    filtered = {}
    for name, cells in panel.items():
        values = np.array(cells, dtype="float64")  # its own: a view's kind is any, and kernels compile for each
        if is_counter(name):
            filtered[name] = values
        elif method == "mean":
            filtered[name] = _weighted_mean(owners, stamps, values, float(span))
        else:
            filtered[name] = _windowed(owners, stamps, values, span, float(deviations), method == "hampel")
    return pd.DataFrame(filtered, index=panel.index, columns=panel.columns)


@numba.njit(cache=True)
def _weighted_mean(owners: np.ndarray, stamps: np.ndarray, values: np.ndarray, span: float) -> np.ndarray:
    """Mean of an entity's samples so far, weighted by exp(-age / span); all lengths of time in us."""
    result = np.full(len(values), np.nan)
    total = weight = 0.0
    last = 0
    for at in range(len(values)):
        if at == 0 or owners[at] != owners[at - 1]:
            total = weight = 0.0
        if np.isnan(values[at]):
            continue
        kept = np.exp(-(stamps[at] - last) / span) if weight else 0.0
        total, weight, last = total * kept + values[at], weight * kept + 1.0, stamps[at]
        result[at] = total / weight
    return result


@numba.njit(cache=True)
def _windowed(
    owners: np.ndarray, stamps: np.ndarray, values: np.ndarray, span: int, deviations: float, only_far: bool
) -> np.ndarray:
    """Median of the window that ends at each sample, everywhere or only where the sample is far from it."""
    result = values.copy()
    begin = 0
    for at in range(len(values)):
        while owners[begin] != owners[at] or stamps[begin] <= stamps[at] - span:
            begin += 1
        if np.isnan(values[at]):
            continue
        window = values[begin : at + 1]
        window = window[~np.isnan(window)]
        middle = np.median(window)
        if not only_far:
            result[at] = middle
        elif len(window) >= FEWEST:
            spread = MAD * np.median(np.abs(window - middle))
            if np.abs(values[at] - middle) > deviations * spread:
                result[at] = middle
    return result
