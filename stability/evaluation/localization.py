r"""How well causes are located: first ranks, silence where nothing is wrong, and probabilities against a prior.

A case whose answer is silence has no rank: where there was a fault, an abstention is a miss. Ties are broken at random:
a cause among candidates with the same score has the chance that a draw would give it. Shares have Wilson intervals;
means of ranks and log scores are bootstrapped over cases.

Sources: Wilson (1927), doi 10.1080/01621459.1927.10502953; Pham, Ha, Zhang (2024), arXiv 2407.10436 (Avg@5).
"""

from __future__ import annotations

__all__ = [
    "LocalizationScores",
    "chance_top",
    "expected_hits",
    "localization_scores",
    "log_score_gain",
    "specificity",
    "top_difference",
    "true_ranks",
]

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, wilson_interval
from stability.evaluation.pairs import Difference, paired_difference
from stability.evaluation.probabilities import CLIP
from stability.evaluation.resampling import bootstrap_interval
from stability.schema import ContractError

FIRST = 5  # of avg5: the mean of top-1 to top-5


class LocalizationScores(NamedTuple):
    """Shares and means over cases, each with its interval.

    Parameters
    ----------
    top1, top3 : Estimate
        Share of cases whose cause is first, or among the first three (Wilson).
    mrr, avg5 : Estimate
        Mean of 1 / rank, and of top-1 to top-5 (bootstrap over cases).
    chance1, chance3 : float
        What a random order of the candidates gets.
    lift : float
        top1 / chance1.
    cases : int
    """

    top1: Estimate
    top3: Estimate
    mrr: Estimate
    avg5: Estimate
    chance1: float
    chance3: float
    lift: float
    cases: int


def true_ranks(causes: pd.DataFrame, truth: pd.DataFrame, *, by: str = "entity") -> pd.Series:
    """Find the rank of the true cause of each case.

    Parameters
    ----------
    causes : DataFrame
        The table of the contract. Where rank 1 has no entity the answer is silence.
    truth : DataFrame, index alarm_id
        `entity`; `metric` (comma-separated alternatives) and `failure_mode` where `by` asks for them.
    by : {'entity', 'metric', 'mode'}
        What has to be right: the entity, or also its metric, or also the failure mode.

    Returns
    -------
    Series of float64, index alarm_id in the order of `truth`
        1 is first; infinite where the cause is not among the ranks, or the answer is silence.

    Examples
    --------
    >>> rows = {"alarm_id": ["a", "a", "b"], "rank": [1, 2, 1], "entity": ["x", "y", None]}
    >>> causes = pd.DataFrame(rows).set_index(["alarm_id", "rank"])
    >>> true_ranks(causes, pd.DataFrame({"entity": ["y", "z"]}, index=["a", "b"])).tolist()
    [2.0, inf]
    """
    if by not in ("entity", "metric", "mode"):
        raise ContractError(column="by", expected="entity, metric or mode", got=by)
    own = {alarm: rows.sort_index() for alarm, rows in causes.groupby(level="alarm_id")}
    return pd.Series(
        [_rank(own.get(name), told, by) for name, told in truth.iterrows()], index=truth.index, dtype="float64"
    )


def _rank(rows: pd.DataFrame | None, told: pd.Series, by: str) -> float:
    if rows is None or pd.isna(rows["entity"].iloc[0]):
        return np.inf
    right = np.array(rows["entity"] == told["entity"], dtype=bool)  # its own: pandas gives views that are read-only
    if by == "metric" and isinstance(told.get("metric"), str):
        right &= rows["metric"].isin([name.strip() for name in told["metric"].split(",")]).to_numpy(dtype=bool)
    if by == "mode" and isinstance(told.get("failure_mode"), str):
        right &= (rows["failure_mode"] == told["failure_mode"]).to_numpy(dtype=bool, na_value=False)
    return float(np.argmax(right) + 1) if right.any() else np.inf


def expected_hits(scores: pd.Series, true: int, first: int) -> float:
    """Chance that a candidate is among the first, ties broken at random.

    Parameters
    ----------
    scores : Series of float64
        Higher is more suspect; NaN is last.
    true : int
        Row of the true cause.
    first : int
        How many.

    Returns
    -------
    float in [0, 1]

    Examples
    --------
    >>> expected_hits(pd.Series([1.0, 1.0, 0.0]), 0, 1), expected_hits(pd.Series([2.0, 1.0, 1.0, 1.0]), 2, 2)
    (0.5, 0.3333333333333333)
    """
    own = scores.fillna(-np.inf).to_numpy(dtype=float)
    above, same = int((own > own[true]).sum()), int((own == own[true]).sum())
    return float(np.clip((first - above) / same, 0.0, 1.0))


def chance_top(candidates: np.ndarray, first: int) -> float:
    """Mean share of a random order's hits among the first, over cases with so many candidates.

    Examples
    --------
    >>> chance_top(np.array([4, 8]), 2)
    0.375
    """
    counts = np.asarray(candidates, dtype=float)
    return float(np.mean(np.minimum(first / counts, 1.0)))


def localization_scores(
    ranks: pd.Series, candidates: np.ndarray, *, seed: int = 0, resamples: int = 5000
) -> LocalizationScores:
    """Judge ranks of true causes.

    Parameters
    ----------
    ranks : Series of float64
        As from `true_ranks`, or hits in [0, 1] of other methods turned into them.
    candidates : array of int, shape (cases,)
        How many candidates each case has, for chance.
    seed, resamples : int
        Of the bootstrap over cases.

    Returns
    -------
    LocalizationScores

    Raises
    ------
    NotEnoughEvidence
        Without a case, or with fewer than a bootstrap needs.

    Examples
    --------
    >>> scores = localization_scores(pd.Series([1.0, 1.0, 2.0, np.inf, 1.0, 1.0]), np.full(6, 10))
    >>> [round(x, 3) for x in scores.top1], round(scores.lift, 1)
    ([0.667, 0.3, 0.903], 6.7)
    """
    r = ranks.to_numpy(dtype=float)
    drawn = {"seed": seed, "resamples": resamples}
    avg5 = np.mean([r <= k for k in range(1, FIRST + 1)], axis=0)
    chance1, chance3 = chance_top(candidates, 1), chance_top(candidates, 3)
    top1 = wilson_interval(int((r <= 1).sum()), len(r))
    return LocalizationScores(
        top1,
        wilson_interval(int((r <= 3).sum()), len(r)),
        bootstrap_interval(np.mean, 1.0 / r, **drawn),
        bootstrap_interval(np.mean, avg5, **drawn),
        chance1,
        chance3,
        top1.value / chance1,
        len(r),
    )


def specificity(causes: pd.DataFrame, quiet: pd.Index) -> Estimate:
    """Share of normal windows in which no cause is named, with Wilson's interval.

    Parameters
    ----------
    causes : DataFrame
        The table of the contract.
    quiet : Index of str
        Alarms of windows in which nothing was wrong; one without a row counts as silent.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> causes = pd.DataFrame({"alarm_id": ["a", "b"], "rank": 1, "entity": ["x", None]})
    >>> causes = causes.set_index(["alarm_id", "rank"])
    >>> round(specificity(causes, pd.Index(["a", "b", "c", "d"])).value, 2)
    0.75
    """
    first = causes[causes.index.get_level_values("rank") == 1].droplevel("rank")["entity"].reindex(quiet)
    return wilson_interval(int(first.isna().sum()), len(quiet))


def log_score_gain(
    probabilities: Mapping[str, float] | pd.Series,
    prior: Mapping[str, float] | pd.Series,
    *,
    seed: int = 0,
    resamples: int = 5000,
    clip: float = CLIP,
) -> Estimate:
    """Mean gain in nats of the probability given to the true cause over a prior's.

    Parameters
    ----------
    probabilities, prior : Series of float64, index alarm_id
        What each gave to the true cause of each case.
    seed, resamples : int
        Of the bootstrap over cases.
    clip : float
        Least probability: a cause that was called impossible costs ln(1 / clip).

    Returns
    -------
    Estimate
        Above 0 where the probabilities say more than the prior does.

    Examples
    --------
    >>> names = list("abcdef")
    >>> round(log_score_gain(pd.Series(0.5, names), pd.Series(0.25, names)).value, 4)  # ln 2
    0.6931
    """
    ours, theirs = pd.Series(probabilities, dtype="float64"), pd.Series(prior, dtype="float64")
    gains = np.log(ours.clip(lower=clip)) - np.log(theirs.reindex(ours.index).clip(lower=clip))
    return bootstrap_interval(np.mean, gains.to_numpy(), seed=seed, resamples=resamples)


def top_difference(ours: np.ndarray, theirs: np.ndarray, *, seed: int = 0) -> Difference:
    """Difference of two methods' shares of hits on the same cases, paired.

    Parameters
    ----------
    ours, theirs : arrays of float in [0, 1], shape (cases,)
        Whether each had the cause first, or the chance of it with ties.
    seed : int
        Of bootstrap and exchanges.

    Returns
    -------
    Difference

    Examples
    --------
    >>> round(top_difference(np.ones(8), np.array([1, 0, 0, 1, 0, 1, 1, 0.0])).estimate.value, 2)
    0.5
    """
    one, other = (np.column_stack([hits, np.ones(len(hits))]) for hits in (ours, theirs))
    return paired_difference(one, other, lambda sums: sums[..., 0] / sums[..., 1], seed=seed)
