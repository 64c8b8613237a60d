"""Hints at periods: peaks of the spectrum and hills of the autocorrelation, of which some are only noise."""

from __future__ import annotations

__all__ = ["around", "autocorrelation", "hinted_periods"]

import numpy as np
import pandas as pd

from stability.decomposition.grid import running_mean

CLIP = 5.0  # robust standard deviations beyond which a value is an outlier: it may count, it may not decide
HINTS = 8  # peaks of the periodogram followed up
PEAK = np.log(8.0)  # log ratio to the spectrum around it that makes a peak: 1 in 250 of pure noise
BIN = 0.35  # log width of the bins of the background: 1.4 times the frequency; noise of any colour is smooth on it


def hinted_periods(values: np.ndarray, low: float, high: float) -> list[float]:
    """Collect periods worth a proof, refined on the autocorrelation.

    Parameters
    ----------
    values : array of float64, shape (n,)
        On a regular grid; NaN where missing.
    low, high : float
        Bounds of the period, in steps.

    Returns
    -------
    list of float
        In steps; not sorted, and the same one more than once perhaps.

    Examples
    --------
    >>> wave = np.sin(2 * np.pi * np.arange(480) / 24)
    >>> sorted(set(hinted_periods(wave, 4, 160)))
    [24.0]
    """
    hills = autocorrelation(around(values, high))
    hints = [*_peaks(values, low, high), *_first_hill(hills, low, high)]
    refined = [_refined(hills, hint, len(values)) for hint in hints]
    return [period for period in refined if period is not None]


def around(values: np.ndarray, period: float) -> np.ndarray:
    """Take the slow part out of a series (see `running_mean`) and clip its outliers."""
    return _clipped(values - running_mean(values, period))


def _clipped(values: np.ndarray) -> np.ndarray:
    centre = np.nanmedian(values)
    scale = 1.4826 * np.nanmedian(np.abs(values - centre)) or np.nanstd(values)
    return np.clip(values, centre - CLIP * scale, centre + CLIP * scale)


def autocorrelation(values: np.ndarray) -> np.ndarray:
    """Mean product of pairs at each lag, over the pairs that exist, by FFT; 1 at lag 0.

    Parameters
    ----------
    values : array of float64, shape (n,)
        NaN where missing.

    Returns
    -------
    array of float64, shape (n,)
        0 at a lag of which there is no pair.

    Examples
    --------
    >>> autocorrelation(np.array([1.0, -1.0, np.nan, -1.0])).round(3).tolist()
    [1.0, -1.0, 0.5, -1.0]
    """
    n = len(values)
    known = np.isfinite(values)
    size = 1 << (2 * n - 1).bit_length()
    centred = np.where(known, values - values[known].mean(), 0.0)
    products = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2, size)[:n]
    pairs = np.rint(np.fft.irfft(np.abs(np.fft.rfft(known.astype(float), size)) ** 2, size)[:n])
    means = np.where(pairs > 0, products / np.maximum(pairs, 1), 0.0)
    return means / means[0] if means[0] > 0 else means


def _peaks(values: np.ndarray, low: float, high: float) -> list[float]:
    """Periods of the peaks of the periodogram that stand out most from the spectrum around them."""
    n = len(values)
    known = np.isfinite(values)
    at = np.arange(n)
    clipped = _clipped(values[known])
    tapered = np.zeros(n)
    tapered[known] = clipped - np.polyval(np.polyfit(at[known], clipped, 1), at[known])
    power = np.log(np.abs(np.fft.rfft(tapered * np.hanning(n)))[1:] ** 2 + 1e-300)
    if len(power) < 3:
        return []
    frequency = np.log(np.arange(1, len(power) + 1))
    bins = (frequency / BIN).astype(np.int64)
    centres, medians = (
        pd.Series(column).groupby(bins).agg(how).to_numpy() for column, how in ((frequency, "mean"), (power, "median"))
    )
    inner = [np.median(medians[i - 1 : i + 2]) for i in range(1, len(medians) - 1)]
    background = np.interp(frequency, centres, [medians[0], *inner, medians[-1]])
    above = power - background
    periods = n / np.arange(1, len(power) + 1)
    is_peak = np.r_[False, (power[1:-1] >= power[:-2]) & (power[1:-1] >= power[2:]), False]
    places = np.flatnonzero(is_peak & (above > PEAK) & (periods >= low) & (periods <= 1.3 * high))
    return periods[places[np.argsort(-above[places], kind="stable")][:HINTS]].tolist()


def _first_hill(hills: np.ndarray, low: float, high: float) -> list[float]:
    """The first hill of the autocorrelation that is nearly as high as the highest: spikes have no strong sine."""
    lags = np.arange(max(1, int(np.ceil(low))), min(len(hills) - 1, int(high) + 1))
    tops = lags[(hills[lags] >= hills[lags - 1]) & (hills[lags] >= hills[lags + 1]) & (hills[lags] > 0)]
    return [float(tops[hills[tops] >= 0.9 * hills[tops].max()][0])] if len(tops) else []


def _refined(hills: np.ndarray, period: float, n: int) -> float | None:
    """Follow a hill of the autocorrelation to its multiples: at m periods, the error of one is 1/m of a step."""
    top = _top(hills, period, max(1.0, 0.75 * period**2 / n))
    if top is None or hills[top] <= 0:
        return None
    refined, multiple = float(top), 1
    while 2 * multiple * refined < 0.6 * n:
        top = _top(hills, 2 * multiple * refined, max(1.0, refined / 4))
        if top is None:
            break
        multiple *= 2
        refined = top / multiple
    return refined


def _top(hills: np.ndarray, lag: float, reach: float) -> int | None:
    first, last = max(2, int(np.floor(lag - reach))), min(len(hills) - 2, int(np.ceil(lag + reach)))
    if last < first:
        return None
    top = first + int(np.argmax(hills[first : last + 1]))
    return top if hills[top - 1] <= hills[top] >= hills[top + 1] else None
