r"""Volumes under the precision-recall and the ROC surface: a ranking measure that forgives a little in time.

Definition, as computed by TSB-AD's evaluation (n rows, P of them anomalous in segments, largest window W):

1. Thresholds are 250 order statistics of the score, at the positions linspace(0, n - 1, 250) cut to whole numbers in
   falling order; a row is predicted where its score is at least the threshold.
2. For each whole number w from 0 to W the labels are softened: 1 inside a segment; at d = 1 .. floor(w/2) rows from it,
   on either side, each segment adds :math:`\sqrt{1 - d/w}`; what exceeds 1 is cut to 1.
3. TP is the sum of the softened labels over the predicted rows; N = P + the part of TP that lies outside of segments;
   P' = (P + N)/2; recall = min(TP/P', 1); existence is the share of the widened segments (floor(w/2) rows either side;
   those that share a row are one) in which a row is predicted; TPR = recall x existence; precision = TP/rows predicted;
   FPR = (rows predicted - TP)/(n - P').
4. AP(w) sums precision times the growth of TPR over the falling thresholds, from TPR 0; AUC(w) joins the points
   (FPR, TPR), from (0, 0) to (1, 1), by straight lines. VUS-PR and VUS-ROC are their means over w = 0 .. W.

A missing score is an abstention and ranks below every score, as in `ranking`. Scores are judged entity by entity: a
ramp never reaches into another entity, and each entity has thresholds of its own.

Source: Paparrizos et al. (2022), doi 10.14778/3551793.3551830; github.com/TheDatumOrg/TSB-AD,
evaluation/basic_metrics.py at 8763009, version 'opt'.
"""

from __future__ import annotations

__all__ = ["find_length", "vus_difference", "vus_interval", "vus_pr", "vus_roc", "vus_scores"]

from collections.abc import Mapping

import numba
import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, NotEnoughEvidence, percentile_estimate
from stability.evaluation.ranking import rankable, require_labels, same_index
from stability.evaluation.resampling import generator, require_count, require_units
from stability.evaluation.spans import index_arrays, require_order
from stability.schema import ContractError, nearest

THRESHOLDS = 250
LONGEST = 20_000  # rows that the autocorrelation is taken from
LAGS = 400
SKIPPED = 3  # lags at which every smooth series resembles itself
DEFAULT = 125  # rows, where the series has no period to tell


def find_length(values: np.ndarray | pd.Series) -> int:
    """Choose the largest window from the period of a series: the lag at which it resembles itself most.

    The autocorrelation of the first 20,000 values up to lag 400, without its first three lags, is searched for its
    highest local maximum; at index i behind the third lag the window is i + 3, and 125 where there is none or i is
    below 3 or above 300.

    Parameters
    ----------
    values : array or Series of float, shape (n,)
        One metric of one entity in time's order; TSB-AD takes the first metric. Missing values (NaN) are passed over.

    Returns
    -------
    int
        In rows.

    References
    ----------
    github.com/TheDatumOrg/TSB-AD, utils/slidingWindows.py, `find_length_rank`.

    Examples
    --------
    >>> find_length(np.sin(2 * np.pi * np.arange(2000) / 48))
    48
    >>> find_length(np.ones(2000))  # no period
    125
    """
    try:
        values = np.asarray(values, dtype=float)[:LONGEST]
    except (TypeError, ValueError):
        raise ContractError(column="values", expected="numbers", got=np.asarray(values).dtype) from None
    present = np.isfinite(values)
    if not present.any():
        return DEFAULT
    centred = np.where(present, values - values[present].mean(), 0.0)
    lags = range(SKIPPED, min(LAGS, len(centred) - 1) + 1)
    curve = np.array([centred[: len(centred) - lag] @ centred[lag:] for lag in lags])
    inner = np.flatnonzero((curve[1:-1] > curve[:-2]) & (curve[1:-1] > curve[2:])) + 1
    # A constant of 0.1 is centred to dust of 1e-17, in which maxima mean nothing.
    if not len(inner) or centred @ centred <= len(centred) * (1e-12 * np.abs(values[present]).max()) ** 2:
        return DEFAULT
    best = int(inner[np.argmax(curve[inner])])
    return best + SKIPPED if 3 <= best <= 300 else DEFAULT


def vus_pr(scores: np.ndarray, labels: np.ndarray, window: int) -> float:
    """Average the area under the precision-recall curve over softened labels of every width.

    Parameters
    ----------
    scores : array of float, shape (n,)
        One series in time's order; higher is more anomalous.
    labels : array of bool, shape (n,)
        True where anomalous.
    window : int
        W, the largest width of the softening in rows, both sides together; 0 softens nothing. `find_length` is
        TSB-AD's rule for it.

    Returns
    -------
    float
        In [0, 1]. A constant score gets what flagging every row gets: about the base rate.

    Raises
    ------
    NotEnoughEvidence
        When the labels are all True or all False.
    ContractError
        When the lengths differ, a label is neither True nor False, or the window is no whole number from 0 up.

    Examples
    --------
    >>> labels = np.isin(np.arange(200), range(80, 100))
    >>> round(vus_pr(labels.astype(float), labels, 0), 6), round(vus_pr(np.ones(200), labels, 0), 6)
    (1.0, 0.1)
    >>> early = np.roll(labels, -5).astype(float)  # five rows too soon: 15 of 20 hit
    >>> [round(vus_pr(early, labels, window), 3) for window in (0, 20, 40)]
    [0.588, 0.784, 0.839]
    """
    return _volumes(scores, labels, window)[0]


def vus_roc(scores: np.ndarray, labels: np.ndarray, window: int) -> float:
    """Average the area under the ROC curve over softened labels of every width.

    Where anomalies are rare, precision says more: see `vus_pr`, which also describes the parameters.

    Examples
    --------
    >>> labels = np.isin(np.arange(200), range(80, 100))
    >>> round(vus_roc(np.ones(200), labels, 0), 3)
    0.5
    """
    return _volumes(scores, labels, window)[1]


def vus_scores(scores: pd.Series, labels: pd.Series, window: int | Mapping[str, int] | pd.Series) -> pd.DataFrame:
    """Measure VUS-PR and VUS-ROC of each entity: one row an entity, ready to be averaged or compared in pairs.

    Parameters
    ----------
    scores : Series of float64, index (entity, timestamp)
        Higher is more anomalous; rows of an entity in time's order. NaN is an abstention.
    labels : Series of bool, the same index
        True where anomalous, as from `label_rows`.
    window : int, or mapping of entity to int
        The largest width in rows, such as ``panel[metric].groupby("entity").agg(find_length)``.

    Returns
    -------
    DataFrame, index entity
        `vus_pr`, `vus_roc`, `base_rate` (share of anomalous rows), `window`, `rows`. The two volumes are NaN for an
        entity of which all rows, or none, are anomalous: nothing can be ranked there.

    Raises
    ------
    ContractError
        For indexes that differ, rows out of order, an entity without a window; and as `vus_pr`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=200, freq="min", tz="UTC", unit="us")
    >>> labels = pd.Series(np.isin(np.arange(200), range(80, 100)), index=stamps)
    >>> vus_scores(labels.astype(float), labels, 10)
             vus_pr  vus_roc  base_rate  window  rows
    entity
    default     1.0      1.0        0.1      10   200
    """
    same_index(scores, labels)
    codes, times, entities = index_arrays(scores.index)
    require_order(codes, times, "scores")
    values, marked = scores.to_numpy(dtype=float), require_labels(scores.to_numpy(), labels.to_numpy())
    widths = _widths(window, entities)
    borders = np.append(np.flatnonzero(np.append(True, codes[1:] != codes[:-1])), len(codes)) if len(codes) else [0]
    rows = []
    for width, first, after in zip(widths, borders[:-1], borders[1:], strict=True):
        own = slice(first, after)
        try:
            volumes = _volumes(values[own], marked[own], width)
        except NotEnoughEvidence:
            volumes = (np.nan, np.nan)
        rows.append((*volumes, marked[own].mean(), width, after - first))
    columns = {"vus_pr": float, "vus_roc": float, "base_rate": float, "window": "int64", "rows": "int64"}
    return pd.DataFrame(rows, index=entities.rename("entity"), columns=list(columns)).astype(columns)


def vus_interval(
    scores: pd.Series,
    labels: pd.Series,
    window: int | Mapping[str, int] | pd.Series,
    *,
    block: int,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Give the mean VUS-PR over entities, with an interval for few of them: blocks of each one's rows drawn again.

    With many entities draw these (`vus_scores`, `bootstrap_interval`); what a few would say cannot be drawn from them,
    so the interval is for these entities, over time.

    Parameters
    ----------
    scores, labels, window
        As in `vus_scores`.
    block : int
        Rows that are drawn together: longer than an anomaly and its aftermath.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Estimate
        Entities of which all rows, or none, are anomalous are left out, in a drawing too.

    Raises
    ------
    NotEnoughEvidence
        With no entity that can be judged, or one with fewer than `MIN_UNITS` blocks.
    ContractError
        As `vus_scores`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=400, freq="min", tz="UTC", unit="us")
    >>> labels = pd.Series(np.arange(400) % 80 < 9, index=stamps)
    >>> noise = np.random.default_rng(0).normal(size=400)
    >>> [round(x, 2) for x in vus_interval(labels + noise, labels, 10, block=40, resamples=200)]
    [0.41, 0.21, 0.56]
    """
    whole, drawn = _redrawn(scores, labels, window, block, resamples, seed)
    return percentile_estimate(whole, drawn, confidence)


def vus_difference(
    scores: pd.Series,
    other: pd.Series,
    labels: pd.Series,
    window: int | Mapping[str, int] | pd.Series,
    *,
    block: int,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Give by how much the mean VUS-PR of one score is above that of another, in the same drawings of the same rows.

    Parameters
    ----------
    scores, other : Series of float64, one index
        As in `vus_scores`.
    labels, window, block, resamples, confidence, seed
        As in `vus_interval`.

    Returns
    -------
    Estimate
        Of the first minus the other.

    Raises
    ------
    NotEnoughEvidence, ContractError
        As `vus_interval`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=400, freq="min", tz="UTC", unit="us")
    >>> labels = pd.Series(np.arange(400) % 80 < 9, index=stamps)
    >>> noise = np.random.default_rng(0).normal(size=400)
    >>> good, poor = labels + noise, labels + 3 * noise
    >>> vus_difference(good, poor, labels, 10, block=40, resamples=200).lo > 0
    True
    """
    same_index(scores, other)
    pair = [_redrawn(one, labels, window, block, resamples, seed) for one in (scores, other)]
    return percentile_estimate(pair[0][0] - pair[1][0], pair[0][1] - pair[1][1], confidence)


def _redrawn(scores, labels, window, block, resamples, seed) -> tuple[float, np.ndarray]:
    """Mean VUS-PR over entities, and that of each drawing of blocks of their rows; equal seeds draw equal rows."""
    require_count(block, "block")
    whole = vus_scores(scores, labels, window)
    judged = whole.index[whole["vus_pr"].notna()]
    if judged.empty:
        raise NotEnoughEvidence("No entity has both anomalous rows and others: nothing can be ranked.")
    codes, _, entities = index_arrays(scores.index)
    values, marked = scores.to_numpy(dtype=float), labels.to_numpy(dtype=bool)
    rng, drawn = generator(seed), np.full((resamples, len(judged)), np.nan)
    for place, entity in enumerate(judged):
        rows = np.flatnonzero(codes == entities.get_loc(entity))
        require_units(len(rows) // block, "blocks")
        for i in range(resamples):
            starts = rng.integers(0, len(rows) - block + 1, size=-(-len(rows) // block))
            own = rows[(starts[:, None] + np.arange(block)).ravel()[: len(rows)]]
            if 0 < marked[own].sum() < len(own):
                drawn[i, place] = _volumes(values[own], marked[own], int(whole.loc[entity, "window"]))[0]
    known = ~np.isnan(drawn).all(axis=1)
    return float(whole.loc[judged, "vus_pr"].mean()), np.nanmean(drawn[known], axis=1)


def _widths(window, entities: pd.Index) -> list:
    if not isinstance(window, Mapping | pd.Series):
        return [window] * len(entities)
    known = dict(window.items())
    missing = [name for name in entities if name not in known]
    if missing:
        hint = nearest(missing[0], list(map(str, known)))
        got = f"none for {missing[0]}"
        raise ContractError(column="window", expected="a window for every entity", got=got, remedy=hint)
    return [known[name] for name in entities]


def _volumes(scores, labels, window) -> tuple[float, float]:
    if not isinstance(window, int | np.integer) or isinstance(window, bool) or window < 0:
        raise ContractError(column="window", expected="a whole number of rows from 0 up", got=window)
    ranks, labels = rankable(scores, labels)
    labels = np.array(labels)  # its own: pandas gives views that are read-only, and the kernel compiles twice
    rising = np.sort(ranks)
    places = np.linspace(0, len(ranks) - 1, THRESHOLDS).astype(np.int64)
    thresholds = rising[len(ranks) - 1 - places]
    # The first threshold that predicts a row: thresholds fall, so those above the row's score come before it.
    entry = np.searchsorted(-thresholds, -ranks, side="left")
    edges = np.diff(np.concatenate([[0], labels.astype(np.int8), [0]]))
    pr, roc = _surface(entry, labels, np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, int(window))
    return float(pr), float(roc)


@numba.njit(cache=True)
def _surface(entry, labels, starts, ends, window):
    """Both volumes, from the number of the first threshold that predicts each row.

    A row's softened label enters the sums of its threshold and of all later ones, so one pass over the ramps for each
    width, and one cumulated sum over the thresholds, replace a pass over all rows for each width and threshold.
    """
    n, positives = len(entry), 0
    predicted, inside = np.zeros(THRESHOLDS), np.zeros(THRESHOLDS)
    for i in range(n):
        predicted[entry[i]] += 1.0
        if labels[i]:
            inside[entry[i]] += 1.0
            positives += 1
    predicted, inside = np.cumsum(predicted), np.cumsum(inside)
    soft, weights = np.zeros(n), np.zeros(window // 2 + 1)
    pr, roc = 0.0, 0.0
    for width in range(window + 1):
        half = width // 2
        for d in range(1, half + 1):
            weights[d] = np.sqrt(1.0 - d / width)
        for s in range(len(starts)):
            for d in range(1, min(half, starts[s]) + 1):
                soft[starts[s] - d] += weights[d]
            for d in range(1, min(half, n - 1 - ends[s]) + 1):
                soft[ends[s] + d] += weights[d]
        outside, found, segments = np.zeros(THRESHOLDS), np.zeros(THRESHOLDS), 0
        s = 0
        while s < len(starts):
            first = max(starts[s] - half, 0)
            while s + 1 < len(starts) and ends[s] + half >= starts[s + 1] - half:
                s += 1
            last = min(ends[s] + half, n - 1)
            earliest = THRESHOLDS
            for i in range(first, last + 1):
                earliest = min(earliest, entry[i])
                if not labels[i]:
                    outside[entry[i]] += min(soft[i], 1.0)
                soft[i] = 0.0
            found[earliest] += 1.0
            segments += 1
            s += 1
        ramp, seen = 0.0, 0.0
        tpr_before, fpr_before = 0.0, 0.0
        for k in range(THRESHOLDS):
            ramp += outside[k]
            seen += found[k]
            hits = inside[k] + ramp
            effective = positives + ramp / 2
            tpr = min(hits / effective, 1.0) * seen / segments
            fpr = (predicted[k] - hits) / (n - effective)
            pr += (tpr - tpr_before) * hits / predicted[k]
            roc += (fpr - fpr_before) * (tpr + tpr_before) / 2
            tpr_before, fpr_before = tpr, fpr
        roc += (1.0 - fpr_before) * (1.0 + tpr_before) / 2
    return pr / (window + 1), roc / (window + 1)
