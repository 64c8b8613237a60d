"""Intervals: how far a number from few cases may lie from the one that more of the same cases would give."""

from __future__ import annotations

__all__ = [
    "ENOUGH_ENTITIES",
    "MIN_UNITS",
    "Estimate",
    "NotEnoughEvidence",
    "bootstrap_interval",
    "percentile_estimate",
    "poisson_interval",
    "resample_counts",
    "resampling_units",
    "wilson_interval",
]

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation.spans import index_arrays, microseconds
from stability.schema import ContractError

# n units have C(2n - 1, n) distinct resamples: 35 of four, 126 of five. The tails of a 95 % interval hold a fortieth
# each, so below five units there is not even one resample to mark them.
MIN_UNITS = 5
ENOUGH_ENTITIES = 10  # from here on entities are drawn whole; fewer would leave only a handful of distinct resamples
CELLS = 2_000_000  # of a matrix of resamples held at once: 16 MB


class NotEnoughEvidence(ContractError):  # noqa: N818 - an answer rather than a mistake: the cases cannot tell
    """There are too few cases for the number that was asked for; a zero in its place would be a lie."""


class Estimate(NamedTuple):
    """A number with the ends of its interval.

    Parameters
    ----------
    value : float
        Of the cases at hand.
    lo, hi : float
        Ends of the interval, in the value's unit; always lo <= value <= hi, or all three NaN: not enough evidence.

    Examples
    --------
    >>> Estimate(0.5, 0.25, 0.75)
    Estimate(value=0.5, lo=0.25, hi=0.75)
    """

    value: float
    lo: float
    hi: float


def wilson_interval(successes: float, trials: float, confidence: float = 0.95) -> Estimate:
    r"""Bound a proportion of independent trials by Wilson's score interval.

    .. math:: \frac{\hat p + z^2/2n \pm z\sqrt{\hat p (1 - \hat p)/n + z^2/4n^2}}{1 + z^2/n}

    It stays within [0, 1] and does not shrink to a point when all or none of a few trials succeed.

    Parameters
    ----------
    successes, trials : float
        Counts; 0 <= successes <= trials.
    confidence : float in (0, 1)
        Share of such intervals that hold the true proportion.

    Returns
    -------
    Estimate
        The proportion and its interval, without unit.

    Raises
    ------
    NotEnoughEvidence
        Without trials.
    ContractError
        When the counts are no counts of successes among trials.

    References
    ----------
    Wilson (1927), doi 10.1080/01621459.1927.10502953; Brown, Cai, DasGupta (2001), doi 10.1214/ss/1009213286.

    Examples
    --------
    >>> [round(x, 3) for x in wilson_interval(9, 10)]
    [0.9, 0.596, 0.982]
    >>> [round(x, 3) for x in wilson_interval(10, 10)]
    [1.0, 0.722, 1.0]
    """
    if not 0 <= successes <= trials:
        raise ContractError(column="successes", expected="between 0 and the trials", got=f"{successes} of {trials}")
    z = _z(confidence)
    if trials == 0:
        raise NotEnoughEvidence("A proportion needs at least one trial; there was none.")
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    # At the ends of the scale one limit is the proportion itself, up to rounding.
    return Estimate(share, min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share))


def poisson_interval(count: int, exposure: float, confidence: float = 0.95) -> Estimate:
    """Bound a rate of independent events by Garwood's exact interval for a Poisson count.

    Parameters
    ----------
    count : int
        Events seen.
    exposure : float
        Time (or whatever the rate is per) in which they could be seen.
    confidence : float in (0, 1)
        Smallest share of such intervals that hold the true rate.

    Returns
    -------
    Estimate
        The rate and its interval, per unit of exposure.

    Raises
    ------
    NotEnoughEvidence
        Without exposure.

    References
    ----------
    Garwood (1936), doi 10.2307/2333958.

    Examples
    --------
    >>> [round(x, 3) for x in poisson_interval(0, 10)]  # about three over the exposure: the "rule of three", two-sided
    [0.0, 0.0, 0.369]
    """
    tail = (1 - _confidence(confidence)) / 2
    if not exposure > 0:
        raise NotEnoughEvidence("A rate needs time in which the events could be seen; there was none.")
    lo = stats.chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    hi = stats.chi2.ppf(1 - tail, 2 * count + 2) / 2
    return Estimate(count / exposure, float(lo / exposure), float(hi / exposure))


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    block: int = 1,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Bound any statistic by the percentiles of its values on resampled units or moving blocks of time.

    Parameters
    ----------
    statistic : callable
        Takes one array for each of `samples` and gives a number; NaN where it is undefined (such resamples are left
        out of the percentiles).
    *samples : arrays, shape (n, ...)
        Units along the first axis, in time's order where `block` > 1; resampled together, so that pairs stay pairs.
    block : int
        1 draws units independently (Efron). More draws runs of that many neighbours from anywhere in the sequence
        (Künsch's moving blocks) and keeps the dependence within a block: choose it longer than the dependence lasts.
    confidence : float in (0, 1)
        The interval reaches from the (1 - confidence)/2 to the (1 + confidence)/2 percentile, widened to hold the
        statistic itself where it lies outside.
    resamples : int
        How many.
    seed : int
        Equal seed, equal interval.

    Returns
    -------
    Estimate
        The statistic of the samples as they are, and its interval.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units (or blocks that fit side by side), or when the statistic is undefined on
        the samples or on half of the resamples.
    ContractError
        When the samples differ in length or the block is no positive whole number.

    References
    ----------
    Efron (1979), doi 10.1214/aos/1176344552; Künsch (1989), doi 10.1214/aos/1176347265; percentile method: Efron and
    Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.

    Examples
    --------
    >>> [round(x, 2) for x in bootstrap_interval(np.mean, np.arange(10.0), seed=1)]
    [4.5, 2.7, 6.3]
    """
    arrays = [np.asarray(sample) for sample in samples]
    sizes = {len(array) for array in arrays}
    if len(sizes) != 1:
        raise ContractError(column="samples", expected="samples of one length", got=f"lengths {sorted(sizes)}")
    n = sizes.pop()
    if block < 1:
        raise ContractError(column="block", expected="a whole number of units from 1 up", got=block)
    _enough(n // block, "blocks" if block > 1 else "units")
    rng = np.random.default_rng(seed)
    offsets = np.arange(block)
    values = np.empty(resamples)
    for i in range(resamples):
        starts = rng.integers(0, n - block + 1, size=-(-n // block))
        drawn = (starts[:, None] + offsets).ravel()[:n]
        values[i] = statistic(*(array[drawn] for array in arrays))
    return percentile_estimate(float(statistic(*arrays)), values, confidence)


def percentile_estimate(value: float, resampled: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Put a statistic between the percentiles of its resampled values.

    Parameters
    ----------
    value : float
        The statistic of the cases at hand.
    resampled : array of float64, shape (resamples,)
        Its values on the resamples; NaN where undefined.
    confidence : float in (0, 1)
        As in `bootstrap_interval`.

    Returns
    -------
    Estimate
        Widened to hold `value` where that lies outside of the percentiles.

    Raises
    ------
    NotEnoughEvidence
        When the value, or half of the resampled values, are undefined.

    Examples
    --------
    >>> percentile_estimate(3.0, np.arange(1.0, 102.0), confidence=0.9)
    Estimate(value=3.0, lo=3.0, hi=96.0)
    """
    tail = (1 - _confidence(confidence)) / 2
    resampled = np.asarray(resampled, dtype=float)
    known = resampled[~np.isnan(resampled)]
    if math.isnan(value) or 2 * len(known) <= len(resampled):
        raise NotEnoughEvidence(
            f"The statistic is {value} on the cases at hand and undefined on {len(resampled) - len(known)} of "
            f"{len(resampled)} resamples: there are too few cases of one kind."
        )
    lo, hi = np.quantile(known, [tail, 1 - tail])
    return Estimate(value, min(float(lo), value), max(float(hi), value))


def resample_counts(units: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw, for each resample, how often each unit is in it: the whole bootstrap as weights.

    A statistic that is a function of sums over units needs these weights only, never the resampled rows.

    Parameters
    ----------
    units : int
        Number of units.
    resamples, seed : int
        As in `bootstrap_interval`.

    Yields
    ------
    array of int64, shape (some, units)
        Each row sums to `units`; all together `resamples` rows, in parts that bound the memory.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units.

    Examples
    --------
    >>> np.concatenate(list(resample_counts(5, 2, seed=0))).tolist()
    [[1, 0, 0, 0, 4], [2, 2, 0, 1, 0]]
    """
    _enough(units, "units")
    rng = np.random.default_rng(seed)
    rows = max(1, CELLS // units)
    for done in range(0, resamples, rows):
        yield rng.multinomial(units, np.full(units, 1 / units), size=min(rows, resamples - done))


def resampling_units(index: pd.Index, unit: str = "auto", block: str | pd.Timedelta = "1D") -> np.ndarray:
    """Say which rows are drawn together: those of an entity, or those of an entity within a block of time.

    Rows of one entity depend on each other, so drawing single rows would make every interval far too narrow.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
        Of scores or labels; a plain DatetimeIndex is one entity.
    unit : {"auto", "entity", "block"}
        "auto" takes entities where there are at least `ENOUGH_ENTITIES`, else blocks.
    block : Timedelta or text
        Length of a block, counted from 1970-01-01 UTC; it should be longer than events and their aftermath last.

    Returns
    -------
    array of int64, shape (rows,)
        Number of each row's unit, from 0.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="12h", tz="UTC", unit="us")
    >>> resampling_units(stamps).tolist()
    [0, 0, 1, 1]
    """
    codes, times, entities = index_arrays(index)
    return number_units(codes, times, len(entities), unit, block)


def number_units(codes, times, entities: int, unit: str, block) -> np.ndarray:
    """As `resampling_units`, for entity numbers and times in microseconds."""
    if unit not in ("auto", "entity", "block"):
        raise ContractError(column="unit", expected="'auto', 'entity' or 'block'", got=unit)
    if unit == "entity" or (unit == "auto" and entities >= ENOUGH_ENTITIES):
        return np.asarray(codes, dtype=np.int64)
    numbers = times // block_length(block)
    span = numbers.max(initial=0) - numbers.min(initial=0) + 1
    return np.unique(codes * span + (numbers - numbers.min(initial=0)), return_inverse=True)[1].astype(np.int64)


def block_length(block) -> int:
    """Read the length of a block of time, in microseconds."""
    length = microseconds(block, "block")
    if length <= 0:
        raise ContractError(column="block", expected="a length of time above 0, such as '1D'", got=str(block))
    return length


def _enough(units: int, kind: str) -> None:
    if units < MIN_UNITS:
        raise NotEnoughEvidence(
            f"A bootstrap interval needs at least {MIN_UNITS} {kind}, there are {units}. Give more entities, a longer "
            "record or a shorter block."
        )


def _confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ContractError(column="confidence", expected="a share between 0 and 1", got=confidence)
    return confidence


def _z(confidence: float) -> float:
    return float(stats.norm.ppf(0.5 + _confidence(confidence) / 2))
