"""Remaining life: how far what was said lies from what came, with intervals over the units that ran to failure."""

from __future__ import annotations

__all__ = ["nasa_score", "remaining_difference", "remaining_estimates"]

import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, percentile_estimate
from stability.evaluation.pairs import Difference, expanded, paired_difference
from stability.evaluation.resampling import require_units, resample_counts
from stability.schema import ContractError, nearest

EARLY, LATE = 13.0, 10.0  # cycles after which the score of an early and of a late answer has grown by e
MEASURES = ("rmse_capped", "rmse_uncapped", "nasa_score", "nasa_score_uncapped")


def nasa_score(predicted: np.ndarray, actual: np.ndarray) -> float:
    r"""Sum over units of a penalty that grows exponentially, and faster where more life was promised than there was.

    .. math:: \sum_i \exp(-d_i / 13) - 1 \;\text{if}\; d_i < 0, \quad \exp(d_i / 10) - 1 \;\text{else}, \qquad
              d_i = \text{predicted}_i - \text{actual}_i

    Parameters
    ----------
    predicted, actual : arrays of float64, shape (units,)
        Remaining life in cycles, the unit that the score's constants are in.

    Returns
    -------
    float
        0 is perfect; there is no upper bound, and a single unit may make most of it.

    References
    ----------
    Saxena, Goebel, Simon, Eklund (2008), PHM '08, equation 11, doi 10.1109/PHM.2008.4711414.

    Examples
    --------
    >>> round(nasa_score(np.array([50.0, 40.0, 60.0]), np.array([50.0, 50.0, 50.0])), 3)
    2.876
    """
    return float(_penalty(np.asarray(predicted, dtype=float) - np.asarray(actual, dtype=float)).sum())


def remaining_estimates(
    predicted: pd.Series,
    actual: pd.Series,
    *,
    cap: float = 125.0,
    resamples: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Judge predictions of remaining life, each entity being one unit that is drawn again.

    Parameters
    ----------
    predicted, actual : Series of float64, cycles
        Over one index with a level `entity`. Of the benchmark there is one row an entity, the last of its record. Where
        there are more, an entity counts with the mean over its rows: the error that is expected when its record ends
        at any of them.
    cap : float
        Cycles above which life is taken for unlimited: predictions are cut there in any case, and what was is cut where
        the measure says `capped`. Whether it is moves the error by a factor of two, so both conventions are given.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    dict of Estimate
        `rmse_capped` and `rmse_uncapped` (cycles); `nasa_score` (of capped life) and `nasa_score_uncapped` (sums over
        the entities).

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` entities.
    ContractError
        When the two differ in their rows, or a value is missing.

    Examples
    --------
    >>> actual = pd.Series([20.0, 60.0, 90.0, 130.0, 10.0], pd.Index(list("abcde"), name="entity"))
    >>> found = remaining_estimates(actual + [3, -4, 3, -4, 0], actual)
    >>> [round(x, 2) for x in found["rmse_uncapped"]]
    [3.44, 1.34, 4.82]
    """
    sums = _sums(predicted, actual, cap)
    require_units(len(sums), "entities")
    drawn = np.concatenate([counts @ sums for counts in resample_counts(len(sums), resamples, seed)])
    reach = expanded(confidence, len(sums))
    return {
        name: percentile_estimate(float(_measure(name)(sums.sum(axis=0))), _measure(name)(drawn), reach)
        for name in MEASURES
    }


def remaining_difference(
    one: pd.Series,
    other: pd.Series,
    actual: pd.Series,
    *,
    measure: str = "rmse_capped",
    cap: float = 125.0,
    resamples: int = 5000,
    permutations: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two predictions of the same entities: one's measure minus the other's, so below 0 one is better.

    Parameters
    ----------
    one, other, actual : Series of float64, cycles
        As of `remaining_estimates`.
    measure : str
        One of those that `remaining_estimates` gives.
    cap, resamples, permutations, confidence, seed
        As in `remaining_estimates` and `paired_difference`.

    Returns
    -------
    Difference

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` entities.
    ContractError
        For an unknown measure, rows that differ, or a missing value.

    Examples
    --------
    >>> actual = pd.Series(np.arange(10.0, 90.0, 10.0), pd.Index(list("abcdefgh"), name="entity"))
    >>> remaining_difference(actual + 1, actual + 4, actual).estimate.value
    -3.0
    """
    if measure not in MEASURES:
        expected, remedy = f"one of {', '.join(MEASURES)}", nearest(measure, MEASURES)
        raise ContractError(column="measure", expected=expected, got=measure, remedy=remedy)
    settings = {"resamples": resamples, "permutations": permutations, "confidence": confidence, "seed": seed}
    pair = _sums(one, actual, cap), _sums(other, actual, cap)
    return paired_difference(*pair, _measure(measure), **settings)


def _penalty(late: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.where(late < 0, np.expm1(-late / EARLY), np.expm1(late / LATE))


def _measure(name: str):
    """From the sums over entities, along the last axis, to the measure."""
    place = MEASURES.index(name)
    if name.startswith("rmse"):
        return lambda sums: np.sqrt(sums[..., place] / sums[..., -1])
    return lambda sums: sums[..., place]


def _sums(predicted: pd.Series, actual: pd.Series, cap: float) -> np.ndarray:
    """Of each entity its mean of what each measure adds up, and 1: shape (entities, measures + 1)."""
    if not predicted.index.equals(actual.index):
        raise ContractError(file="predicted", expected=f"the {len(actual)} rows of what was", got=f"{len(predicted)}")
    if "entity" not in actual.index.names:
        raise ContractError(file="actual", column="entity", expected="a level of the index", got=actual.index.names)
    if (missing := predicted.isna() | actual.isna()).any():
        at = int(missing.to_numpy().argmax())
        raise ContractError(file="predicted", row=at + 1, expected="a life for every row", got=actual.index[at])
    said, was = np.minimum(predicted.to_numpy(), cap), actual.to_numpy()
    capped, full = said - np.minimum(was, cap), said - was
    parts = pd.DataFrame({"a": capped**2, "b": full**2, "c": _penalty(capped), "d": _penalty(full), "n": 1.0})
    return parts.groupby(actual.index.get_level_values("entity").to_numpy()).mean().to_numpy()
