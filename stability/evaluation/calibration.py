"""Calibration: whether probabilities mean what they say, and how good they are, with intervals.

The scores and what they are made of are those of `probabilities`; here stand their intervals, percentiles over units
(entities, or blocks of their time) that are drawn again, and the calibration error with what chance makes of it.
"""

from __future__ import annotations

__all__ = ["Calibration", "calibration_estimates", "reliability_curve"]

from typing import NamedTuple

import numba
import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, estimate_or_nan, percentile_estimate, wider, wilson_interval
from stability.evaluation.probabilities import CLIP, forecasts, isotonic, surprise
from stability.evaluation.ranking import same_index
from stability.evaluation.resampling import resample_counts, resampling_units
from stability.schema import ContractError

BINS = 10  # of the expected calibration error, equally wide
SIMULATIONS = 200  # of outcomes that the forecasts fit perfectly
CURVE_POINTS = 101


class Calibration(NamedTuple):
    """How good probabilities are, each number with its interval; NaN throughout is "not enough evidence".

    Parameters
    ----------
    brier : Estimate
        Mean squared difference of probability and outcome; 0 is best.
    brier_skill : Estimate
        1 - brier / that of the base rate: 1 is perfect, 0 is what the base rate gets, below 0 is harmful.
    miscalibration, discrimination, uncertainty : Estimate
        As in `BrierParts`.
    log_score : Estimate
        Mean of -ln(probability of what happened), nats; 0 is best.
    log_skill : Estimate
        1 - log_score / that of the base rate.
    ece : Estimate
        Expected calibration error: mean distance of forecast and frequency over ten equally wide bins. Few cases make
        it large: read it beside `ece_if_calibrated`, and judge by the proper scores.
    ece_if_calibrated : Estimate
        Mean, and interval, of the error that these forecasts would show with so many independent
        outcomes if each probability were exactly true; with rows that depend on each other it is larger still.
    base_rate : Estimate
        Share of cases that came true.
    cases, positives, abstained, clipped : int
        All cases, those that came true, those without a forecast, and those whose forecast of what happened was below
        the log score's clip.
    """

    brier: Estimate
    brier_skill: Estimate
    miscalibration: Estimate
    discrimination: Estimate
    uncertainty: Estimate
    log_score: Estimate
    log_skill: Estimate
    ece: Estimate
    ece_if_calibrated: Estimate
    base_rate: Estimate
    cases: int
    positives: int
    abstained: int
    clipped: int


def calibration_estimates(
    probabilities: pd.Series,
    outcomes: pd.Series,
    *,
    base_rate: float | None = None,
    clip: float = CLIP,
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Calibration:
    """Judge probabilities: proper scores, skill against the base rate, the parts of the Brier score, calibration error.

    Parameters
    ----------
    probabilities : Series of float, index (entity, timestamp) or (entity, timestamp, horizon)
        `predictions["probability"]` of one model and one horizon; NaN is an abstention and counts as 0.
    outcomes : Series of bool, the same index
        `labels["impact_within"]`, without the rows that are censored.
    base_rate : float in (0, 1), optional
        The forecast that skill is measured against, known before: that of the training part. By default that of the
        cases themselves, which only hindsight knows and which is the harder rival.
    clip : float
        As in `log_score`.
    unit, block
        What is drawn again, as in `resampling_units`.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Calibration

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units, or without cases.
    ContractError
        When the two have different indexes; and as `brier_score`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=480, freq="h", tz="UTC", unit="us")
    >>> busy = pd.Series(stamps.hour >= 18, index=stamps)
    >>> came = busy & (stamps.hour % 3 > 0)  # two of three busy hours
    >>> result = calibration_estimates(busy * 0.75, came)
    >>> [round(x.value, 3) for x in (result.brier, result.brier_skill, result.miscalibration, result.log_score)]
    [0.057, 0.588, 0.002, 0.163]
    """
    same_index(probabilities, outcomes)
    p, y = forecasts(probabilities.to_numpy(), outcomes.to_numpy())
    if base_rate is not None and not 0 < base_rate < 1:
        raise ContractError(column="base_rate", expected="a share between 0 and 1", got=base_rate)
    units = resampling_units(probabilities.index, unit, block)
    group, positive = np.unique(p, return_inverse=True)[1], y > 0
    groups = int(group.max()) + 1
    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    size = int(units.max()) + 1
    per_case = (np.ones(len(p)), y, (p - y) ** 2, surprise(p, y, clip))
    sums = np.column_stack([np.bincount(units, weights=part, minlength=size) for part in per_case])
    gaps = np.bincount(units * BINS + bins, weights=p - y, minlength=size * BINS).reshape(size, BINS)

    def judge(counts: np.ndarray) -> np.ndarray:
        n, came, squares, surprise = (counts @ sums).T
        rate = came / n
        rival = rate if base_rate is None else np.full(len(rate), base_rate)
        uncertainty = rate * (1 - rate)
        fitted = np.array([_discrimination(row, units, group, positive, groups) for row in counts])
        brier, nats = squares / n, surprise / n
        error = np.abs(counts @ gaps).sum(axis=1) / n
        with np.errstate(divide="ignore", invalid="ignore"):
            clipped = np.clip(rival, clip, 1 - clip)
            skill = 1 - brier / (uncertainty + (rate - rival) ** 2)
            log_skill = 1 - nats / -(rate * np.log(clipped) + (1 - rate) * np.log(1 - clipped))
        both = (rate > 0) & (rate < 1)
        skills = [np.where(both, part, np.nan) for part in (skill, log_skill)]
        lack = np.maximum(brier - uncertainty + fitted, 0)
        return np.stack([brier, skills[0], lack, fitted, uncertainty, nats, skills[1], error, rate])

    values = judge(np.ones((1, size), dtype=np.int64))[:, 0]
    drawn = np.concatenate([judge(counts) for counts in resample_counts(size, resamples, seed)], axis=1)
    found = [estimate_or_nan(float(value), part, confidence) for value, part in zip(values, drawn, strict=True)]
    return Calibration(
        *found[:8],
        _error_if_calibrated(p, bins, confidence, seed),
        found[8],
        len(p),
        int(y.sum()),
        int(np.isnan(probabilities.to_numpy(dtype=float)).sum()),
        int((np.where(y, p, 1 - p) < clip).sum()),
    )


def reliability_curve(
    probabilities: pd.Series,
    outcomes: pd.Series,
    *,
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how often it came true where so much was forecast: isotonic regression with a band.

    Parameters
    ----------
    probabilities, outcomes, unit, block, resamples, confidence, seed
        As in `calibration_estimates`, which also says what is raised.

    Returns
    -------
    DataFrame
        `forecast` (distinct forecasts, or a hundred quantiles of them where there are more), `rate` (how often it came
        true there), `lo` and `hi` (its interval at that forecast, not for the whole curve at once; never narrower than
        Wilson's for the cases that were pooled), and `cases` (from behind the forecast before up to this one).

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=480, freq="h", tz="UTC", unit="us")
    >>> busy = pd.Series(stamps.hour >= 18, index=stamps)
    >>> reliability_curve(busy * 0.5, busy & (stamps.hour % 3 > 0)).round(3)
       forecast   rate     lo     hi  cases
    0       0.0  0.000  0.000  0.011    360
    1       0.5  0.667  0.578  0.745    120
    """
    same_index(probabilities, outcomes)
    p, y = forecasts(probabilities.to_numpy(), outcomes.to_numpy())
    units = resampling_units(probabilities.index, unit, block)
    distinct, group = np.unique(p, return_inverse=True)
    at = np.arange(len(distinct))
    if len(distinct) > CURVE_POINTS:
        at = np.unique(np.quantile(group, np.linspace(0, 1, CURVE_POINTS), method="inverted_cdf")).astype(np.int64)

    def curve(weights: np.ndarray) -> np.ndarray:
        total = np.bincount(group, weights=weights, minlength=len(distinct))
        fitted = isotonic(total, np.bincount(group, weights=weights * y, minlength=len(distinct)))
        return np.interp(distinct, distinct[total > 0], fitted[total > 0])

    drawn = [
        curve(row[units])[at]
        for counts in resample_counts(int(units.max()) + 1, resamples, seed)
        for row in counts.astype(float)
    ]
    rates = curve(np.ones(len(p)))
    # Forecasts of one fitted rate were pooled: the rate is theirs together, and so is the number of its cases.
    pooled = np.unique(rates, return_inverse=True)[1]
    size, came = np.bincount(pooled[group]), np.bincount(pooled[group], weights=y)
    found = [
        wider(percentile_estimate(float(rates[i]), d, confidence), wilson_interval(came[b], size[b], confidence))
        for i, b, d in zip(at, pooled[at], np.transpose(drawn), strict=True)
    ]
    cases = np.diff(np.cumsum(np.bincount(group))[at], prepend=0)
    curve_of = {"forecast": distinct[at], **dict(zip(["rate", "lo", "hi"], np.transpose(found), strict=True))}
    return pd.DataFrame(curve_of).assign(cases=cases)


@numba.njit(cache=True)
def _discrimination(counts, units, group, positive, groups):
    """Discrimination of cases that were drawn so often as their unit: blocks of equal rate are pooled as they come."""
    total, came = np.zeros(groups), np.zeros(groups)
    for i in range(len(units)):
        weight = counts[units[i]]
        total[group[i]] += weight
        if positive[i]:
            came[group[i]] += weight
    size, hits, blocks = np.empty(groups), np.empty(groups), 0
    for g in range(groups):
        if total[g] == 0.0:
            continue
        size[blocks], hits[blocks] = total[g], came[g]
        blocks += 1
        while blocks > 1 and hits[blocks - 2] * size[blocks - 1] >= hits[blocks - 1] * size[blocks - 2]:
            blocks -= 1
            size[blocks - 1] += size[blocks]
            hits[blocks - 1] += hits[blocks]
    size, hits = size[:blocks], hits[:blocks]
    # A regression's values have the outcomes' mean, and leave residuals that are uncorrelated with them.
    return np.sum(size * (hits / size - hits.sum() / size.sum()) ** 2) / size.sum()


def _error_if_calibrated(p: np.ndarray, bins: np.ndarray, confidence: float, seed: int) -> Estimate:
    rng = np.random.default_rng(seed)
    errors = np.empty(SIMULATIONS)
    for i in range(SIMULATIONS):
        gaps = np.bincount(bins, weights=p - (rng.random(len(p)) < p), minlength=BINS)
        errors[i] = np.abs(gaps).sum() / len(p)
    return percentile_estimate(float(errors.mean()), errors, confidence)
