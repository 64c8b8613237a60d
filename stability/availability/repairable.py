"""Failures and repairs of one thing: mean time between failures, mean time to repair, availability, with intervals.

A history that is looked at for a fixed time says more than its finished outages: the time since the last failure
counts, and so does an outage that is not over. Leaving such cut pieces out makes repairs look short and failures
frequent.
"""

from __future__ import annotations

__all__ = ["Reliability", "availability_draws", "reliability"]

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from stability.evaluation import Estimate, NotEnoughEvidence
from stability.evaluation.intervals import require_share
from stability.schema import ContractError

LAWS = ("either", "exponential", "lognormal")
DRAWS = 4_000  # of the generalized intervals: their ends then move by less than a fiftieth of their width
LARGEST = 600.0  # logarithm of a mean repair time; squares of larger ones overflow
FEWEST = 3  # finished repairs for a law with two parameters
ALIKE = 0.05  # least deviation of the logarithm: repairs that look more alike than that were rounded, to minutes mostly


class Lognormal(NamedTuple):
    """What speaks for lognormal repairs, and which.

    Parameters
    ----------
    weight : float in [0, 1]
        0 where repairs are taken to be exponential, 1 where lognormal, between where nothing tells.
    mu, sigma : float
        Mean and deviation of the logarithm of a repair time in s.
    repairs : int
        Finished ones that were seen from their beginning.
    """

    weight: float
    mu: float
    sigma: float
    repairs: int


class Reliability(NamedTuple):
    """What a history of outages says.

    Parameters
    ----------
    failures : int
        That began while the thing was looked at.
    repairs : int
        Outages that ended.
    up, down : float
        s.
    mtbf : Estimate
        Mean up time between failures, s; infinite without a failure, with a finite lower bound.
    mttr : Estimate
        Mean time to repair, s.
    availability : Estimate
        Long-run share of the time in which the thing is up: mtbf / (mtbf + mttr).
    observed : float
        Share of the time that was looked at in which it was up, which is no estimate of anything else.
    lognormal : Lognormal
        How repairs were taken to last.
    """

    failures: int
    repairs: int
    up: float
    down: float
    mtbf: Estimate
    mttr: Estimate
    availability: Estimate
    observed: float
    lognormal: Lognormal = Lognormal(0.0, math.nan, math.nan, 0)


def reliability(
    outages: pd.DataFrame,
    begin: pd.Timestamp,
    end: pd.Timestamp,
    *,
    entities: int = 1,
    law: str = "either",
    confidence: float = 0.95,
    seed: int = 0,
) -> Reliability:
    r"""Estimate failures and repairs of a thing, or of several of a kind together.

    Failures are taken to come at a constant rate while the thing is up. With r failures in an up time T the interval of
    the mean time between them is that of a time-truncated test, :math:`2T/\chi^2_{2r+2}` to :math:`2T/\chi^2_{2r}`.

    Parameters
    ----------
    outages : DataFrame
        From `availability.outages`, of the entities that are pooled: one entity's do not overlap.
    begin, end : Timestamp
        When they were looked at. What an outage lasted before is not known: from there on it counts as downtime, and
        as a repair where repairs are exponential, which have no memory; of lognormal ones it tells nothing.
    entities : int
        How many; each was looked at for all of this time. One that never failed counts, too: it has no row here.
    law : {'either', 'exponential', 'lognormal'}
        Of the repair times. Repairs by people are rather lognormal: most short, a few very long; an exponential
        interval of such ones is far too narrow, and one of repairs that all take about as long far too wide. `either`
        lets the repairs tell, each law with its Akaike weight; fewer than three cannot, and count as exponential.
    confidence : float in (0, 1)
    seed : int
        Of the draws of the lognormal intervals.

    Returns
    -------
    Reliability

    Raises
    ------
    NotEnoughEvidence
        With outages of which fewer than three were seen from beginning to end, where `law` is lognormal. Without any
        outage, or with an exponential law and none that has ended, there is no repair time: mttr and availability are
        NaN.
    ContractError
        For an unknown law, no entity or time, outages outside of that time, or more downtime than time.

    References
    ----------
    MIL-HDBK-781A, section 5.9 (time-truncated tests); Krishnamoorthy, Mathew (2003), doi 10.1016/S0378-3758(02)00153-2
    (the mean of a lognormal law, by its generalized pivot); exponential repairs: chi-square, and for the ratio of both
    means Snedecor's F with 2r + 1 (Jeffreys) and 2n degrees of freedom. Buckland, Burnham, Augustin (1997), doi
    10.2307/2533961 (inference over several laws).

    Examples
    --------
    >>> day = lambda d: pd.Timestamp("2026-03-01", tz="UTC") + pd.Timedelta(days=d)
    >>> down = pd.DataFrame({"entity": "web", "start": [day(9), day(19.5)], "end": [day(10), day(20)],
    ...                      "cut": False, "open": False})
    >>> found = reliability(down, day(0), day(30))
    >>> found.failures, found.mtbf.value / 86_400, found.mttr.value / 3600, round(found.availability.value, 4)
    (2, 14.25, 18.0, 0.95)
    >>> [round(x / 86_400, 1) for x in found.mtbf]
    [14.2, 3.9, 117.7]
    """
    if law not in LAWS:
        raise ContractError(column="law", expected=" or ".join(LAWS), got=law)
    if not begin < end or entities < 1:
        got = f"{begin} to {end}, {entities} entities"
        raise ContractError(column="end", expected="time in which at least one entity was looked at", got=got)
    beyond = (outages["start"] < begin) | (outages["end"] > end) | (outages["end"] < outages["start"])
    if beyond.any():
        one = outages[beyond].iloc[0]
        raise ContractError(
            column="outages", expected=f"within {begin} to {end}", got=f"one from {one['start']} to {one['end']}"
        )
    require_share(confidence)
    watched = (end - begin).total_seconds() * entities
    lasted = (outages["end"] - outages["start"]).dt.total_seconds().to_numpy(dtype=float)
    down = float(lasted.sum())
    if down > watched * (1 + 1e-9):
        raise ContractError(column="outages", expected=f"at most {watched:g} s of downtime", got=f"{down:g} s")
    up = max(watched - down, 0.0)
    failures = int((~outages["cut"].to_numpy(dtype=bool)).sum())
    whole = ~outages["open"].to_numpy(dtype=bool)
    mtbf = _between(failures, up, confidence)
    missing = Estimate(math.nan, math.nan, math.nan)
    if not len(lasted):
        return Reliability(failures, 0, up, down, mtbf, missing, missing, up / watched)
    lognormal = _lognormal(lasted, whole, outages["cut"].to_numpy(dtype=bool), law)
    if lognormal.weight:
        mttr, share = _drawn(lognormal, int(whole.sum()), down, failures, up, confidence, seed)
    else:
        mttr, share = _exponential(int(whole.sum()), down, failures, up, confidence)
    return Reliability(failures, int(whole.sum()), up, down, mtbf, mttr, share, up / watched, lognormal)


def availability_draws(found: Reliability, count: int = DRAWS, *, seed: int = 0) -> np.ndarray:
    """Draw availabilities that a history leaves possible, to carry its uncertainty into a whole of several parts.

    Parameters
    ----------
    found : Reliability
        From `reliability`: failures and repairs are drawn as its interval has them.
    count : int
    seed : int
        Another one for each part, or parts are drawn alike.

    Returns
    -------
    array of float64, shape (count,)

    Raises
    ------
    NotEnoughEvidence
        Without a repair or up time.

    Examples
    --------
    >>> day = lambda d: pd.Timestamp("2026-03-01", tz="UTC") + pd.Timedelta(days=d)
    >>> down = pd.DataFrame({"start": [day(9), day(19.5)], "end": [day(10), day(20)], "cut": False, "open": False})
    >>> found = reliability(down, day(0), day(30))
    >>> lo, hi = np.quantile(availability_draws(found), [0.025, 0.975])
    >>> bool(abs(lo - found.availability.lo) < 0.02), bool(abs(hi - found.availability.hi) < 0.02)
    (True, True)
    """
    if not found.repairs or not found.up:
        raise NotEnoughEvidence("An availability needs up time and a finished repair; one of them is missing.")
    rng = np.random.default_rng(seed)
    means = _means(found.lognormal, found.repairs, found.down, rng, count)
    return 1 / (1 + rng.gamma(found.failures + 0.5, 1.0, count) / found.up * means)


def _between(failures: int, up: float, confidence: float) -> Estimate:
    tail = (1 - confidence) / 2
    lo = 2 * up / stats.chi2.ppf(1 - tail, 2 * failures + 2)
    if not failures:
        return Estimate(math.inf, float(lo), math.inf)
    return Estimate(up / failures, float(lo), float(2 * up / stats.chi2.ppf(tail, 2 * failures)))


def _exponential(repairs: int, down: float, failures: int, up: float, confidence: float) -> tuple[Estimate, Estimate]:
    """Mean repair time, and availability through the ratio of both rates; open outages add time and no repair."""
    missing = Estimate(math.nan, math.nan, math.nan)
    if not repairs:
        return missing, missing
    tail = (1 - confidence) / 2
    ends = [2 * down / stats.chi2.ppf(p, 2 * repairs) for p in (1 - tail, tail)]
    mttr = Estimate(down / repairs, float(ends[0]), float(ends[1]))
    ratio = np.array([stats.f.ppf(p, 2 * failures + 1, 2 * repairs) for p in (1 - tail, tail)])
    ratio = ratio * (failures + 0.5) / up * down / repairs if up else np.array([math.inf, math.inf])
    value = (up / failures) / (up / failures + mttr.value) if failures and up else (1.0 if up else 0.0)
    lo, hi = (float(1 / (1 + r)) for r in ratio)
    return mttr, Estimate(value, min(lo, value), max(hi, value))


def _means(lognormal: Lognormal, repairs: int, down: float, rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw mean repair times, by each law as often as its weight says; the lognormal ones by the generalized pivot."""
    means = down / rng.gamma(repairs, 1.0, count)
    weight, mu, sigma, n = lognormal
    if weight:
        spread = sigma**2 * (n - 1) / rng.chisquare(n - 1, count)
        # of three repairs that differ widely the mean has no bound above: what no number can hold is the largest that
        # can
        heavy = np.exp(np.minimum(mu - rng.standard_normal(count) * np.sqrt(spread / n) + spread / 2, LARGEST))
        means = np.where(rng.random(count) < weight, heavy, means)
    return means


def _drawn(
    lognormal: Lognormal, repairs: int, down: float, failures: int, up: float, confidence: float, seed: int
) -> tuple[Estimate, Estimate]:
    """Mean repair time and availability from draws."""
    rng, tail = np.random.default_rng(seed), (1 - confidence) / 2
    means = _means(lognormal, repairs, down, rng, DRAWS)
    mean = math.exp(min(lognormal.mu + lognormal.sigma**2 / 2, LARGEST))
    value = lognormal.weight * mean + (1 - lognormal.weight) * down / repairs
    lo, hi = np.quantile(means, [tail, 1 - tail])
    mttr = Estimate(value, min(float(lo), value), max(float(hi), value))
    rate = rng.gamma(failures + 0.5, 1.0, DRAWS) / up if up else np.full(DRAWS, math.inf)
    share = 1 / (1 + failures / up * value) if up else 0.0
    lo, hi = np.quantile(1 / (1 + rate * means), [tail, 1 - tail])
    return mttr, Estimate(share, min(float(lo), share), max(float(hi), share))


def _lognormal(lasted: np.ndarray, whole: np.ndarray, cut: np.ndarray, law: str) -> Lognormal:
    """Fit lognormal repairs to outages that were seen from their beginning, and weigh them against exponential ones."""
    lasted, whole = lasted[~cut], whole[~cut]
    n = int(whole.sum())
    if law == "lognormal" and n < FEWEST:
        raise NotEnoughEvidence(f"A lognormal law needs {FEWEST} finished repairs; there are {n}.")
    if law == "exponential" or n < FEWEST:
        return Lognormal(0.0, math.nan, math.nan, n)
    mu, sigma = _fitted(lasted, whole)
    if law == "lognormal":
        return Lognormal(1.0, mu, sigma, n)
    known, rest = np.log(np.maximum(lasted[whole], 1e-9)), np.log(np.maximum(lasted[~whole], 1e-9))
    likeliest = max(sigma * math.sqrt((n - 1) / n), ALIKE)
    log_two = (stats.norm.logpdf(known, mu, likeliest) - known).sum() + stats.norm.logsf(rest, mu, likeliest).sum()
    log_one = -n * (math.log(max(lasted.sum(), 1e-9) / n) + 1)
    return Lognormal(float(special.expit(log_two - 1 - log_one)), mu, sigma, n)  # the second parameter costs one


def _fitted(lasted: np.ndarray, whole: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the logarithm (unbiased where nothing is cut), by likelihood where outages are open."""
    known = np.log(np.maximum(lasted[whole], 1e-9))
    mu, sigma = float(known.mean()), max(float(known.std(ddof=1)), ALIKE)
    if whole.all():
        return mu, sigma
    cut = np.log(np.maximum(lasted[~whole], 1e-9))

    def minus(at: np.ndarray) -> float:
        deviation = math.exp(at[1])
        return -stats.norm.logpdf(known, at[0], deviation).sum() - stats.norm.logsf(cut, at[0], deviation).sum()

    found = optimize.minimize(minus, [mu, math.log(sigma)], method="Nelder-Mead")
    n = len(known)
    return float(found.x[0]), math.exp(found.x[1]) * math.sqrt(n / (n - 1))
