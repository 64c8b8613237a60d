r"""Range-based precision and recall: how much of each event was flagged, where in it, and in how many pieces.

A range is a run of neighbouring rows of one entity that lie in events (a real range) or in alarms (a predicted one).
For a real range R of n rows and the predicted ranges P,

.. math:: \mathrm{recall}(R) = \alpha\,[R \text{ is touched}] + (1 - \alpha)\,\gamma\,\frac{\sum_{i \in R \cap P}
    \delta(i)}{\sum_{i \in R} \delta(i)}

with the position's weight :math:`\delta(i)` for i = 1 .. n: 1 (flat), n - i + 1 (front), i (back), or the distance from
the nearer end (middle); and the cardinality :math:`\gamma`: 1 while one predicted range touches R, else 1/x for x of
them (reciprocal) or 1 (one). Precision is the same of each predicted range against the real ones, always flat and with
:math:`\alpha = 0`: a prediction is not good for merely touching. Recall and precision are the means over ranges, so
that a long event counts as much as a short one.

Source: Tatbul, Lee, Zdonik, Alam, Gottschlich (2018), Precision and Recall for Time Series, NeurIPS, arXiv 1803.03639.
"""

from __future__ import annotations

__all__ = ["range_estimates", "range_scores"]

import math

import numpy as np
import pandas as pd

from stability.evaluation.events import harmonic_mean
from stability.evaluation.intervals import Estimate, estimate_or_nan, wider, wilson_interval
from stability.evaluation.matching import raised_alarms
from stability.evaluation.resampling import resample_counts, resampling_units
from stability.evaluation.spans import Spans, index_arrays, overlaps, require_order, span_arrays
from stability.schema import ContractError, nearest

BIASES = ("flat", "front", "back", "middle")
CARDINALITIES = ("reciprocal", "one")
MEASURES = ("recall", "precision", "f1")


def range_scores(
    alarms: pd.DataFrame,
    windows: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    *,
    alpha: float = 0.0,
    bias: str = "flat",
    cardinality: str = "reciprocal",
) -> dict[str, float]:
    """Judge alarms by range-based precision and recall.

    Parameters
    ----------
    alarms, windows : DataFrame
        Columns entity, start, end (inclusive; a missing end is open); suppressed alarms are left out.
    observed : DataFrame or Series, index (entity, timestamp)
        The judged rows: telemetry or scores, rows of an entity in time's order. Events and alarms without a row among
        them are not judged; those that overlap or follow each other without a row between are one range.
    alpha : float in [0, 1]
        Weight of having touched an event at all, in its recall.
    bias : {"flat", "front", "back", "middle"}
        Which rows of an event count more in its recall; early ones: "front". Precision is always flat.
    cardinality : {"reciprocal", "one"}
        Whether an event that is found in x pieces is worth 1/x of the overlap, and an alarm across x events likewise.

    Returns
    -------
    dict
        `recall`, `precision`, `f1` in [0, 1], and the numbers of ranges `events` and `alarms`. What is undefined is
        NaN: recall and F1 without events, precision without alarms. F1 of no alarms is 0.

    Raises
    ------
    ContractError
        For an unknown bias or cardinality, alpha outside of [0, 1], a missing column, an interval that ends before it
        starts, an entity that was not observed, or rows out of order.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=12, freq="min", tz="UTC", unit="us")
    >>> windows = pd.DataFrame({"entity": "default", "start": stamps[[2, 8]], "end": stamps[[6, 10]]})
    >>> alarms = pd.DataFrame({"entity": "default", "start": stamps[[1, 5]], "end": stamps[[3, 7]]})
    >>> range_scores(alarms, windows, pd.Series(0.0, index=stamps))  # four of five rows in two pieces, and a miss
    {'recall': 0.2, 'precision': 0.6666666666666666, 'f1': 0.30769230769230765, 'events': 2, 'alarms': 2}
    """
    sums = _sums(alarms, windows, observed, alpha, bias, cardinality, "entity", "1D").sum(axis=0)
    values = dict(zip(MEASURES, map(float, share_means(sums)), strict=True))
    return values | {"events": int(sums[1]), "alarms": int(sums[3])}


def range_estimates(
    alarms: pd.DataFrame,
    windows: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    *,
    alpha: float = 0.0,
    bias: str = "flat",
    cardinality: str = "reciprocal",
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Put intervals around the scores of `range_scores`, by drawing entities (or blocks of their time) again.

    A range belongs to the unit in which it starts. Where all resamples agree, the limits are Wilson's for as many
    independent ranges: the variance of a mean of shares is at most that of a proportion.

    Parameters
    ----------
    alarms, windows, observed, alpha, bias, cardinality
        As in `range_scores`.
    unit, block
        What is drawn, as in `resampling_units`.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    dict of Estimate
        `recall`, `precision`, `f1`; NaN throughout where undefined.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units.
    ContractError
        As `range_scores`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=240, freq="h", tz="UTC", unit="us")
    >>> windows = pd.DataFrame({"entity": "default", "start": stamps[10::24], "end": stamps[13::24]})
    >>> alarms = pd.DataFrame({"entity": "default", "start": stamps[11::48], "end": stamps[12::48]})
    >>> estimates = range_estimates(alarms, windows, pd.Series(0.0, index=stamps))
    >>> [round(x, 2) for x in estimates["recall"]], [round(x, 2) for x in estimates["precision"]]
    ([0.25, 0.1, 0.4], [1.0, 0.57, 1.0])
    """
    sums = _sums(alarms, windows, observed, alpha, bias, cardinality, unit, block)
    return share_estimates(sums, resamples, confidence, seed)


def share_means(sums: np.ndarray) -> np.ndarray:
    """Recall, precision and F1 from sums (of recalls, events, of precisions, alarms) along the last axis."""
    recalled, events, right, alarms = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = recalled / events, right / alarms
    return np.stack([recall, precision, harmonic_mean(recall, precision)])


def share_estimates(sums: np.ndarray, resamples: int, confidence: float, seed: int) -> dict[str, Estimate]:
    """Intervals of means of shares, from a row of sums for each unit (columns as in `share_means`)."""
    total = sums.sum(axis=0)
    drawn = [share_means(counts @ sums) for counts in resample_counts(len(sums), resamples, seed)]
    result = {}
    for name, value, resampled in zip(MEASURES, share_means(total), np.concatenate(drawn, axis=1), strict=True):
        result[name] = estimate_or_nan(float(value), resampled, confidence)
    alone = {
        name: wilson_interval(float(min(part, size)), float(size), confidence) if size else Estimate(math.nan, 0.0, 1.0)
        for name, part, size in (("recall", *total[:2]), ("precision", *total[2:]))
    }
    alone["f1"] = Estimate(math.nan, *harmonic_mean(alone["recall"][1:], alone["precision"][1:]).tolist())
    for name, estimate in result.items():
        if estimate.lo == estimate.hi:
            result[name] = wider(estimate, alone[name])
    return result


def _sums(alarms, windows, observed, alpha, bias, cardinality, unit, block) -> np.ndarray:
    for name, value, known in (("bias", bias, BIASES), ("cardinality", cardinality, CARDINALITIES)):
        if value not in known:
            expected = "one of " + ", ".join(known)
            raise ContractError(column=name, expected=expected, got=repr(value), remedy=nearest(str(value), known))
    if not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise ContractError(column="alpha", expected="a weight from 0 to 1", got=alpha)
    codes, times, entities = index_arrays(observed.index)
    require_order(codes, times, "observed")
    rows = Spans(codes, times, times)
    real, predicted = (
        _runs(codes, overlaps(rows, span_arrays(frame, name, entities)))
        for frame, name in ((windows, "windows"), (raised_alarms(alarms), "alarms"))
    )
    units = resampling_units(observed.index, unit, block)
    size = int(units.max(initial=-1)) + 1
    columns = []
    for own, other, weight, shape in ((real, predicted, alpha, bias), (predicted, real, 0.0, "flat")):
        first = np.unique(own[own >= 0], return_index=True)[1]
        where, rewards = units[own >= 0][first], _rewards(own, other, weight, shape, cardinality)
        columns += [np.bincount(where, weights=part, minlength=size) for part in (rewards, np.ones(len(rewards)))]
    return np.column_stack(columns)


def _runs(codes: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Number of the run of flagged rows that each row belongs to, -1 for none."""
    begins = flags.copy()
    begins[1:] &= ~(flags[:-1] & (codes[1:] == codes[:-1]))
    return np.where(flags, np.cumsum(begins) - 1, -1)


def _rewards(own: np.ndarray, other: np.ndarray, alpha: float, bias: str, cardinality: str) -> np.ndarray:
    """Reward of each run of `own`, for how the runs of `other` overlap it."""
    inside = own >= 0
    mine, theirs = own[inside], other[inside]
    length = np.bincount(mine)
    place = np.arange(len(mine)) - (np.cumsum(length) - length)[mine] + 1
    n = length[mine]
    weight = {"flat": 1.0, "front": n - place + 1.0, "back": 1.0 * place, "middle": np.minimum(place, n - place + 1.0)}
    weight = np.broadcast_to(weight[bias], mine.shape)
    share = np.bincount(mine, weights=weight * (theirs >= 0)) / np.bincount(mine, weights=weight)
    touching = np.unique(np.column_stack([mine, theirs])[theirs >= 0], axis=0)
    pieces = np.bincount(touching[:, 0], minlength=len(length))
    gamma = 1 / np.maximum(pieces, 1) if cardinality == "reciprocal" else 1.0
    return alpha * (pieces > 0) + (1 - alpha) * gamma * share
