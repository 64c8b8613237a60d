"""Ranking: how well a score puts anomalous rows above normal ones, over all thresholds at once."""

from __future__ import annotations

__all__ = ["PrAuc", "average_precision", "pr_auc", "precision_recall"]

from typing import NamedTuple

import numba
import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, NotEnoughEvidence, percentile_estimate
from stability.evaluation.resampling import resample_counts, resampling_units
from stability.schema import ContractError


class PrAuc(NamedTuple):
    """The area under a precision-recall curve, and what chance would get.

    Parameters
    ----------
    average_precision : Estimate
        In [0, 1].
    base_rate : Estimate
        Share of positive rows: the expected area of a score that knows nothing.
    positives, rows : int
        Counts.
    """

    average_precision: Estimate
    base_rate: Estimate
    positives: int
    rows: int


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    r"""Average the precision over the thresholds, each weighted by the recall that it adds.

    .. math:: AP = \sum_k (R_k - R_{k-1}) P_k

    over the distinct scores, the highest first; rows of equal score enter together. This is scikit-learn's
    `average_precision_score`: no interpolation, which would be optimistic. A missing score is an abstention and ranks
    below every score (all missing ones together), so keeping silent on hard rows cannot raise the area.

    Parameters
    ----------
    scores : array of float, shape (n,)
        Higher is more anomalous.
    labels : array of bool, shape (n,)
        True where anomalous.

    Returns
    -------
    float
        In (0, 1]; the share of positives for a constant score.

    Raises
    ------
    NotEnoughEvidence
        When the labels are all True or all False.
    ContractError
        When the lengths differ, or a label is neither True nor False.

    References
    ----------
    Davis and Goadrich (2006), doi 10.1145/1143844.1143874; Boyd, Eng, Page (2013), doi 10.1007/978-3-642-40994-3_29.

    Examples
    --------
    >>> average_precision(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False]))
    0.8333333333333333
    >>> average_precision(np.array([1.0, 1.0, 1.0, 1.0]), np.array([True, False, True, False]))
    0.5
    """
    order, positive, last = ranked(scores, labels)
    return float(areas_of(np.zeros(len(order), dtype=np.int64), positive, last, np.ones((1, 1), dtype=np.int64))[0])


def pr_auc(
    scores: pd.Series,
    labels: pd.Series,
    *,
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PrAuc:
    """Measure the area under the precision-recall curve with its interval and the base rate beside it.

    Parameters
    ----------
    scores : Series of float64, index (entity, timestamp)
        Higher is more anomalous; NaN as in `average_precision`.
    labels : Series of bool, the same index
        True where anomalous, as from `label_rows`.
    unit, block
        What is drawn again for the interval, as in `resampling_units`.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    PrAuc
        Area and base rate with their intervals (percentiles over the same resamples), and the counts.

    Raises
    ------
    NotEnoughEvidence
        When there is a single class, or fewer than `MIN_UNITS` units, or a single class in half of the resamples.
    ContractError
        When the two have different indexes, or a label is neither True nor False.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=240, freq="h", tz="UTC", unit="us")
    >>> labels = pd.Series(stamps.hour == 7, index=stamps)
    >>> result = pr_auc(labels.astype(float), labels)
    >>> result.average_precision, round(result.base_rate.value, 3), result.positives
    (Estimate(value=1.0, lo=1.0, hi=1.0), 0.042, 10)
    """
    same_index(scores, labels)
    order, positive, last = ranked(scores.to_numpy(), labels.to_numpy())
    numbers = resampling_units(scores.index, unit, block)
    units = int(numbers.max()) + 1
    rows, marked = np.bincount(numbers), np.bincount(numbers[order], weights=positive, minlength=units)
    areas, rates = [], []
    for counts in resample_counts(units, resamples, seed):
        areas.append(areas_of(numbers[order], positive, last, counts))
        rates.append(counts @ marked / (counts @ rows))
    area = float(areas_of(numbers[order], positive, last, np.ones((1, units), dtype=np.int64))[0])
    return PrAuc(
        percentile_estimate(area, np.concatenate(areas), confidence),
        percentile_estimate(float(positive.mean()), np.concatenate(rates), confidence),
        int(positive.sum()),
        len(positive),
    )


def precision_recall(scores: pd.Series | np.ndarray, labels: pd.Series | np.ndarray) -> pd.DataFrame:
    """Say recall and precision at each threshold: the curve whose area `average_precision` is.

    Parameters
    ----------
    scores : Series or array of float, shape (n,)
        Higher is more anomalous; NaN ranks below every score.
    labels : Series or array of bool, shape (n,)
        True where anomalous.

    Returns
    -------
    DataFrame, index threshold, falling over the distinct scores (-inf for the missing ones)
        `recall` and `precision` of the rows that score at least as much.

    Raises
    ------
    NotEnoughEvidence, ContractError
        As `average_precision`.

    Examples
    --------
    >>> precision_recall(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, False, True, False]))
               recall  precision
    threshold
    0.9           0.5   1.000000
    0.8           1.0   0.666667
    0.1           1.0   0.500000
    """
    ranks, _ = rankable(scores, labels)
    order, positive, last = ranked(scores, labels)
    hits, seen = np.cumsum(positive)[last], (np.arange(len(order)) + 1)[last]
    index = pd.Index(ranks[order][last], name="threshold")
    return pd.DataFrame({"recall": hits / hits[-1], "precision": hits / seen}, index=index)


def same_index(scores: pd.Series, labels: pd.Series) -> None:
    """Refuse labels of other rows than the scores'."""
    if not scores.index.equals(labels.index):
        got = f"{len(scores)} scores and {len(labels)} labels"
        remedy = "labels = label_rows(scores.index, windows)"
        raise ContractError(column="labels", expected="the index of the scores", got=got, remedy=remedy)


def require_labels(scores, labels) -> np.ndarray:
    """Give the labels as an array of True and False, one for each score; anything else is refused."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise ContractError(column="labels", expected="one for each score", got=f"{labels.shape} for {scores.shape}")
    if not pd.api.types.is_numeric_dtype(scores.dtype):
        raise ContractError(column="scores", expected="numbers", got=f"dtype {scores.dtype}")
    if labels.dtype != bool:
        raise ContractError(column="labels", expected="True or False in every row", got=f"dtype {labels.dtype}")
    return labels


def rankable(scores, labels) -> tuple[np.ndarray, np.ndarray]:
    """Scores with abstentions below all others, and labels, of both classes."""
    labels = require_labels(scores, labels)
    if labels.all() or not labels.any():
        raise NotEnoughEvidence(
            f"Of {len(labels)} rows {int(labels.sum())} are anomalous: a ranking needs rows of both classes."
        )
    scores = np.asarray(scores, dtype=float)
    return np.where(np.isnan(scores), -np.inf, scores), labels


def ranked(scores, labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order by falling score, the labels in that order, and whether a row is the last one of its score."""
    ranks, labels = rankable(scores, labels)
    order = np.argsort(-ranks, kind="stable")
    falling = ranks[order]
    return order, labels[order], np.append(falling[1:] != falling[:-1], True)


@numba.njit(cache=True)
def areas_of(units, positive, last, counts):
    """Average precision of ranked rows for each row of `counts`, which says how often each unit was drawn.

    All resamples advance together through the rows, so that the inner loops run over neighbours in memory.
    """
    size = len(counts)
    drawn = np.ascontiguousarray(counts.T).astype(np.float64)
    hits, seen, before, areas = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    fresh = False  # whether a positive row has entered at this score
    for i in range(len(units)):
        weight = drawn[units[i]]
        for b in range(size):
            seen[b] += weight[b]
        if positive[i]:
            fresh = True
            for b in range(size):
                hits[b] += weight[b]
        if last[i] and fresh:
            fresh = False
            for b in range(size):
                if hits[b] > before[b]:
                    areas[b] += (hits[b] - before[b]) * (hits[b] / seen[b])
                    before[b] = hits[b]
    for b in range(size):
        areas[b] = areas[b] / hits[b] if 0 < hits[b] < seen[b] else np.nan
    return areas
