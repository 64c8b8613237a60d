r"""Pairs: two methods on the same units, by how much they differ, and whether that could be chance.

The difference is taken on units (entities, incidents, blocks of time) that both were judged on, so what makes a unit
hard for both cancels. Two answers stand beside each other:

* an interval, by drawing units again. It is the percentile bootstrap, expanded for few units (Hesterberg): percentiles
  are taken at :math:`\Phi(-\sqrt{n/(n-1)}\;t_{n-1})` for n units instead of at 2.5 %, since plain percentiles, and BCa
  too, are far too narrow for ten units, and few units are what there mostly is;
* a p-value, by exchanging the two methods' results in randomly chosen units (the sign-flip test, where the measure is a
  mean): if the methods were alike, every exchange would be as likely as what was seen. With up to 2**13 exchanges all
  of them are tried; five units cannot give less than 2/32.

Sources: Hesterberg (2015), doi 10.1080/00031305.2015.1089789; Ernst (2004), doi 10.1214/088342304000000396 (exchange);
Phipson and Smyth (2010), doi 10.2202/1544-6115.1585 (never zero); Holm (1979), jstor 4615733.
"""

from __future__ import annotations

__all__ = ["Difference", "holm", "paired_difference"]

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation.intervals import Estimate, percentile_estimate, require_share
from stability.evaluation.resampling import CELLS, require_count, require_units, resample_counts
from stability.schema import ContractError

EXACT = 13  # units, up to which all exchanges are tried: 8,192


class Difference(NamedTuple):
    """By how much one method differs from another.

    Parameters
    ----------
    estimate : Estimate
        One minus the other, with its interval.
    p : float
        Chance of a difference at least as large, either way, if the two were alike.
    """

    estimate: Estimate
    p: float


def holm(p: np.ndarray | pd.Series) -> np.ndarray:
    r"""Correct p-values of several comparisons by Holm's step-down.

    The i-th smallest of m is multiplied by m - i + 1, and none may be smaller than one before it, nor above 1.

    Parameters
    ----------
    p : array of float, shape (m,)
        In [0, 1]; NaN is a comparison that could not be made, and is not counted.

    Returns
    -------
    array of float64, shape (m,)
        Adjusted, in the order given: those up to 0.05 may all be called real, at a 5 % risk that any of them is not.

    Raises
    ------
    ContractError
        When a p-value lies outside of [0, 1].

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03, np.nan]))
    array([0.03, 0.06, 0.06,  nan])
    """
    try:
        p = np.asarray(p, dtype=float)
    except (TypeError, ValueError):
        raise ContractError(column="p", expected="p-values between 0 and 1", got=repr(p)) from None
    if (bad := p[(p < 0) | (p > 1)]).size:
        raise ContractError(column="p", expected="p-values between 0 and 1", got=bad[0])
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def paired_difference(
    one: np.ndarray,
    other: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    resamples: int = 5000,
    permutations: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two methods by a measure that is computed from sums over units.

    Parameters
    ----------
    one, other : arrays of float, shape (units, sums)
        What each method got in each unit, such as (sum of scores, number of cases), or (found, events).
    statistic : callable
        From sums along the last axis to the measure, for any shape before; NaN where undefined.
    resamples, permutations : int
        Of the bootstrap and of the exchanges.
    confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Difference

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units, or when the measure is undefined on them or on half of the resamples.
    ContractError
        When the two differ in shape.

    Examples
    --------
    >>> found, events = np.array([1, 1, 0, 1, 1, 0, 1, 1]), np.ones(8)
    >>> one, other = np.column_stack([found, events]), np.column_stack([0 * found, events])
    >>> paired_difference(one, other, lambda sums: sums[..., 0] / sums[..., 1])
    Difference(estimate=Estimate(value=0.75, lo=0.375, hi=1.0), p=0.03125)
    """
    for name, count in (("resamples", resamples), ("permutations", permutations)):
        require_count(count, name)
    shapes = np.shape(one), np.shape(other)
    if shapes[0] != shapes[1] or len(shapes[0]) != 2:
        raise ContractError(column="other", expected=f"shape (units, sums) of one, {shapes[0]}", got=shapes[1])
    sums = np.stack([np.asarray(one, dtype=float), np.asarray(other, dtype=float)])
    n = sums.shape[1]
    require_units(n, "units")
    value = float(np.subtract(*_quiet(statistic, sums.sum(axis=1))))
    drawn = [
        np.subtract(*(_quiet(statistic, counts @ part) for part in sums))
        for counts in resample_counts(n, resamples, seed)
    ]
    estimate = percentile_estimate(value, np.concatenate(drawn), expanded(confidence, n))
    return Difference(estimate, _exchange(sums, statistic, permutations, seed))


def expanded(confidence: float, units: int) -> float:
    """Share of the resamples that an interval must hold, so that with few units it is no narrower than Student's t.

    Examples
    --------
    >>> round(expanded(0.95, 10), 3), round(expanded(0.95, 1000), 3)
    (0.983, 0.95)
    """
    reach = math.sqrt(units / (units - 1)) * stats.t.ppf(0.5 + require_share(confidence) / 2, units - 1)
    return float(1 - 2 * stats.norm.cdf(-reach))


def _exchange(sums: np.ndarray, statistic: Callable, permutations: int, seed: int) -> float:
    """Share of exchanges of the two methods, unit by unit, after which they differ at least as much."""
    n = sums.shape[1]
    gap, total = sums[1] - sums[0], sums.sum(axis=1)
    if exact := n <= EXACT:
        moved = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) @ gap
    else:
        rng, rows = np.random.default_rng(seed), max(1, CELLS // n)
        parts = [min(rows, permutations - done) for done in range(0, permutations, rows)]
        moved = np.concatenate([rng.integers(0, 2, size=(part, n)) @ gap for part in parts])
    differences = np.abs(_quiet(statistic, total[0] + moved) - _quiet(statistic, total[1] - moved))
    seen = _quiet(statistic, total)
    # What is equal but for rounding counts as equal, or the exchange of nothing would not be among the extreme ones.
    least = abs(seen[0] - seen[1]) - 1e-9 * np.abs(seen).sum()
    # An exchange that leaves the measure undefined is no evidence of a difference.
    extreme = int(np.count_nonzero(~(differences < least)))
    return extreme / len(moved) if exact else (extreme + 1) / (len(moved) + 1)


def _quiet(statistic: Callable, sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return statistic(sums)
