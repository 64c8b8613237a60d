"""Intervals: how far a number from few cases may lie from the one that more of the same cases would give."""

from __future__ import annotations

__all__ = [
    "Estimate",
    "NotEnoughEvidence",
    "estimate_or_nan",
    "exact_interval",
    "percentile_estimate",
    "poisson_interval",
    "wider",
    "wilson_interval",
]

import math
import numbers
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from stability.schema import ContractError

DIGITS = 12  # of an exact end: of one of one it is a twentieth, whoever has that as a bound


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
    share, z = _share(successes, trials), _z(confidence)
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    # At the ends of the scale one limit is the proportion itself, up to rounding.
    return Estimate(share, min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share))


def exact_interval(successes: float, trials: float, confidence: float = 0.9) -> Estimate:
    r"""Bound a proportion of independent trials by Clopper's and Pearson's interval.

    .. math:: B^{-1}_{(1-c)/2}(x, n - x + 1), \quad B^{-1}_{(1+c)/2}(x + 1, n - x)

    Each end holds as often as it says, for whoever decides by one end alone. Wilson's ends do so only on average: of
    one success of one its lower end of 95 % is .27, which a share of .2 passes in 20 of 100 cases.

    Parameters
    ----------
    successes, trials : float
        Counts; 0 <= successes <= trials. A success in part counts as a fraction.
    confidence : float in (0, 1)
        Of the two-sided interval; at .9 each end is a one-sided bound of 95 % or more.

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
    Clopper and Pearson (1934), doi 10.1093/biomet/26.4.404.

    Examples
    --------
    >>> [round(x, 3) for x in exact_interval(1, 1)], [round(x, 3) for x in exact_interval(3, 3)]
    ([1.0, 0.05, 1.0], [1.0, 0.368, 1.0])
    """
    tail = (1 - require_share(confidence)) / 2
    share, missed = _share(successes, trials), trials - successes
    lo = round(float(special.betaincinv(successes, missed + 1, tail)), DIGITS) if successes else 0.0
    hi = round(float(special.betaincinv(successes + 1, missed, 1 - tail)), DIGITS) if missed else 1.0
    return Estimate(share, min(lo, share), max(hi, share))


def _share(successes: float, trials: float) -> float:
    if not 0 <= successes <= trials:
        raise ContractError(column="successes", expected="between 0 and the trials", got=f"{successes} of {trials}")
    if trials == 0:
        raise NotEnoughEvidence("A proportion needs at least one trial; there was none.")
    return successes / trials


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
    tail = (1 - require_share(confidence)) / 2
    if not count >= 0:
        raise ContractError(column="count", expected="a number of events from 0 up", got=count)
    if not 0 <= exposure < math.inf:
        raise ContractError(column="exposure", expected="a length of time from 0 up", got=exposure)
    if not exposure > 0:
        raise NotEnoughEvidence("A rate needs time in which the events could be seen; there was none.")
    lo = stats.chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    hi = stats.chi2.ppf(1 - tail, 2 * count + 2) / 2
    return Estimate(count / exposure, float(lo / exposure), float(hi / exposure))


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
    tail = (1 - require_share(confidence)) / 2
    resampled = np.asarray(resampled, dtype=float)
    known = resampled[~np.isnan(resampled)]
    if math.isnan(value) or 2 * len(known) <= len(resampled):
        raise NotEnoughEvidence(
            f"The statistic is {value} on the cases at hand and undefined on {len(resampled) - len(known)} of "
            f"{len(resampled)} resamples: there are too few cases of one kind."
        )
    lo, hi = np.quantile(known, [tail, 1 - tail])
    return Estimate(value, min(float(lo), value), max(float(hi), value))


def estimate_or_nan(value: float, resampled: np.ndarray, confidence: float = 0.95) -> Estimate:
    """As `percentile_estimate`, with NaN throughout where there is not enough evidence.

    Examples
    --------
    >>> estimate_or_nan(1.0, np.array([1.0, np.nan]))
    Estimate(value=nan, lo=nan, hi=nan)
    """
    try:
        return percentile_estimate(value, resampled, confidence)
    except NotEnoughEvidence:
        return Estimate(math.nan, math.nan, math.nan)


def wider(resampled: Estimate, classical: Estimate) -> Estimate:
    """Take on either side the farther limit of two: of dependent cases (bootstrap) and of independent ones.

    A bootstrap shrinks to a point where all resamples agree; where it is undefined, the classical one stands alone.

    Examples
    --------
    >>> wider(Estimate(1.0, 1.0, 1.0), Estimate(1.0, 0.6, 1.0))
    Estimate(value=1.0, lo=0.6, hi=1.0)
    """
    if math.isnan(resampled.value):
        return classical
    return Estimate(resampled.value, min(resampled.lo, classical.lo), max(resampled.hi, classical.hi))


def require_share(confidence: float) -> float:
    if not isinstance(confidence, numbers.Real) or not 0 < confidence < 1:
        raise ContractError(column="confidence", expected="a share between 0 and 1", got=confidence)
    return confidence


def _z(confidence: float) -> float:
    return float(stats.norm.ppf(0.5 + require_share(confidence) / 2))
