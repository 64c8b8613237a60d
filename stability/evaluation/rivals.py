r"""Rivals: models that rank the same rows, the difference of their PR-AUC, and which one of several to take.

PR-AUC is no mean over units, so `pairs` cannot compare it from sums. The two answers are the same ones:

* an interval, by drawing units again for both models at once, and taking each one's area anew; expanded for few units;
* a p-value, by exchanging the two models' ranks in randomly chosen units. Ranks, not probabilities: one model's .3 may
  be another's .6, and both are the same place in their order.

A missing probability is an abstention and ranks below all others, as in `average_precision`. Squared errors are means
over units: ``compare({name: (p - y) ** 2, ...}, baseline, higher_is_better=False)`` compares Brier scores.
"""

from __future__ import annotations

__all__ = ["Recommendation", "compare_rankings", "every_pair", "pr_auc_difference", "recommend"]

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation.comparison import VERDICTS, require_baseline, require_same_rows, verdict_table
from stability.evaluation.intervals import NotEnoughEvidence, percentile_estimate
from stability.evaluation.pairs import EXACT, Difference, expanded, holm
from stability.evaluation.ranking import areas_of, rankable, ranked, same_index
from stability.evaluation.resampling import (
    CELLS,
    generator,
    require_count,
    require_units,
    resample_counts,
    resampling_units,
)
from stability.schema import ContractError, nearest


class Recommendation(NamedTuple):
    """Which of several models to take.

    Parameters
    ----------
    name : str
        The simplest that is not distinguishable from the chosen one.
    chosen : str
        The one that was chosen before the test.
    sentence : str
        Why, with the numbers.
    """

    name: str
    chosen: str
    sentence: str


def pr_auc_difference(
    one: pd.Series,
    other: pd.Series,
    labels: pd.Series,
    *,
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 2000,
    permutations: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two models by the area under the precision-recall curve on the same rows.

    Parameters
    ----------
    one, other : Series of float64, index (entity, timestamp)
        Probabilities or scores, of the same rows; NaN is an abstention.
    labels : Series of bool, the same index
        What came true.
    unit, block
        What is drawn and exchanged together, as in `resampling_units`: a block longer than the horizon, since the rows
        before one impact share it.
    resamples, permutations, confidence, seed
        As in `paired_difference`.

    Returns
    -------
    Difference
        Area of one minus that of the other.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units, or a single class.
    ContractError
        When the indexes differ, or a label is neither True nor False.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=480, freq="h", tz="UTC", unit="us")
    >>> labels = pd.Series(stamps.hour == 7, index=stamps)
    >>> sharp, blunt = labels.astype(float), pd.Series((stamps.hour % 12 == 7) * 1.0, index=stamps)
    >>> found = pr_auc_difference(sharp, blunt, labels)
    >>> [round(x, 3) for x in found.estimate], round(found.p, 4)
    ([0.5, 0.5, 0.5], 0.0005)
    """
    scores = {"one": one, "other": other}
    require_same_rows(scores)
    require_count(permutations, "permutations")
    rankings = _Rankings(scores, labels, unit, block, resamples, seed)
    return rankings.difference("one", "other", permutations, confidence, seed)


def compare_rankings(
    probabilities: Mapping[str, pd.Series],
    labels: pd.Series,
    baseline: str,
    *,
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 2000,
    permutations: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every model's PR-AUC with a baseline's on the same rows.

    Parameters
    ----------
    probabilities : mapping of model to Series of float64, index (entity, timestamp)
        All of the same rows.
    labels : Series of bool, the same index
        What came true.
    baseline : str
        One of the models.
    unit, block, resamples, permutations, confidence, seed
        As in `pr_auc_difference`.

    Returns
    -------
    DataFrame
        As `compare`; `cases` are the rows, of which none is left out: silence ranks below every probability.

    Raises
    ------
    ContractError
        As `pr_auc_difference`, for an unknown baseline, and for fewer than two models.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=480, freq="h", tz="UTC", unit="us")
    >>> labels = pd.Series(stamps.hour == 7, index=stamps)
    >>> said = {"rate": pd.Series(0.1, index=stamps), "clock": pd.Series((stamps.hour < 8) / 8, index=stamps)}
    >>> compare_rankings(said, labels, "rate")[["value", "baseline", "difference", "verdict"]].round(3)
           value  baseline  difference verdict
    clock  0.125     0.042       0.083  better
    """
    if not isinstance(probabilities, Mapping):
        got = type(probabilities).__name__
        raise ContractError(column="probabilities", expected="a Series for each model", got=got)
    require_same_rows(probabilities)
    require_baseline(baseline, list(probabilities))
    require_count(permutations, "permutations")
    same_index(probabilities[baseline], labels)
    units = len(np.unique(resampling_units(labels.index, unit, block)))
    nothing = dict.fromkeys(("value", "baseline", "difference", "lo", "hi", "p"), math.nan)
    rows = {name: nothing | {"units": units, "cases": len(labels), "left_out": 0} for name in probabilities}
    del rows[baseline]
    try:
        rankings = _Rankings(probabilities, labels, unit, block, resamples, seed)
    except NotEnoughEvidence:
        return verdict_table(rows, True, confidence)
    for name, row in rows.items():
        row |= {"value": rankings.area[name], "baseline": rankings.area[baseline]}
        with contextlib.suppress(NotEnoughEvidence):
            found, p = rankings.difference(name, baseline, permutations, confidence, seed)
            row |= {"difference": found.value, "lo": found.lo, "hi": found.hi, "p": p}
    return verdict_table(rows, True, confidence)


def every_pair(
    comparison: Callable[..., pd.DataFrame], scores: pd.DataFrame | Mapping[str, Any], **settings
) -> pd.DataFrame:
    """Compare every pair of methods, corrected for how many pairs there are.

    The best of several by its value has been chosen by the same rows that then are to show that it is better. A table
    against one baseline does not correct for that choice; the one of all pairs does.

    Parameters
    ----------
    comparison : callable
        `compare`, `compare_rankings` or `compare_events`.
    scores : DataFrame or mapping of method to what the comparison takes
        In order from the simplest.
    **settings
        Of the comparison, by name, but for the baseline.

    Returns
    -------
    DataFrame, index (one, other)
        As the comparison's, `value` being that of `one` and `baseline` that of `other`, which comes earlier in the
        order; `p_holm` and `verdict` after Holm over all pairs.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> old = rng.normal(size=12)
    >>> scores = pd.DataFrame({"old": old, "new": old + 0.3 + 0.1 * rng.normal(size=12), "same": rng.permutation(old)})
    >>> from stability.evaluation import compare
    >>> every_pair(compare, scores).reset_index()[["one", "other", "difference", "p_holm", "verdict"]].round(3)
        one other  difference  p_holm              verdict
    0   new   old       0.275   0.001               better
    1  same   old       0.000   1.000  not distinguishable
    2  same   new      -0.275   0.885  not distinguishable
    """
    names = list(scores)
    tables = []
    for place, other in enumerate(names[:-1]):
        part = {name: scores[name] for name in names[place:]}
        table = comparison(part, baseline=other, **settings)
        table.index = pd.MultiIndex.from_product([table.index, [other]], names=["one", "other"])
        tables.append(table)
    if not tables:
        raise ContractError(column="scores", expected="two or more methods", got=", ".join(map(str, names)))
    table = pd.concat(tables)
    ordered = [(one, other) for place, one in enumerate(names) for other in names[:place]]
    table = table.loc[ordered]
    table["p_holm"] = holm(table["p"].to_numpy(dtype=float))
    # Correction for more comparisons only takes verdicts away.
    lost = table["verdict"].isin(VERDICTS[:2]) & (table["p_holm"] > 1 - settings.get("confidence", 0.95) + 1e-12)
    table["verdict"] = table["verdict"].mask(lost, VERDICTS[2])
    return table


def recommend(
    comparison: pd.DataFrame, order: Sequence[str], *, measure: str = "PR-AUC", higher_is_better: bool = True
) -> Recommendation:
    """Take the model that was chosen beforehand, or the simplest one that is not distinguishable from it.

    Which model all are compared with is to be chosen before the rows of the table were looked at: then the correction
    is for as many comparisons as there are other models, and not for every pair of them.

    Parameters
    ----------
    comparison : DataFrame, index: every model but the chosen one
        From `compare_rankings` or `compare`, with the chosen model as the baseline.
    order : sequence of str
        All models, from the simplest; the chosen one is the one that the table has no row of.
    measure : str
        As it should be called.
    higher_is_better : bool
        False for errors.

    Returns
    -------
    Recommendation

    Raises
    ------
    ContractError
        When the order does not name the models of the table and one more.
    NotEnoughEvidence
        When the chosen model has no value.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=480, freq="h", tz="UTC", unit="us")
    >>> labels = pd.Series(stamps.hour == 7, index=stamps)
    >>> said = {"rate": pd.Series(0.1, index=stamps), "clock": pd.Series((stamps.hour < 8) / 8, index=stamps)}
    >>> recommend(compare_rankings(said, labels, "clock"), list(said)).sentence
    'clock is recommended: chosen before the test, its PR-AUC of 0.125 is better than that of every simpler model; \
nearest comes rate with 0.0417, difference +0.0833 (+0.0833 to +0.0833), p = 0.0005 after Holm over 1 comparison, 20 \
units.'
    """
    known, missing = set(comparison.index), [name for name in order if name not in comparison.index]
    if len(missing) != 1 or not known <= set(order) or len(set(order)) < len(order):
        strange = next(iter(sorted(known - set(order))), None)
        expected = f"{', '.join(map(str, comparison.index))} and the chosen model"
        remedy = nearest(strange, order) if strange else None
        raise ContractError(column="order", expected=expected, got=", ".join(order), remedy=remedy)
    chosen, sign = missing[0], 1 if higher_is_better else -1
    values = comparison["value"].dropna().to_dict()
    own = comparison["baseline"].dropna()
    if own.empty:
        raise NotEnoughEvidence(f"{chosen} has no {measure}: there is nothing to recommend by.")
    simpler = [name for name in order[: order.index(chosen)] if name in values]
    alike = [name for name in simpler if comparison.loc[name, "verdict"] != VERDICTS[1]]
    many = f"{len(comparison)} comparison" + "s" * (len(comparison) > 1)
    ahead = [name for name in values if comparison.loc[name, "verdict"] == VERDICTS[0]]
    ahead = max(ahead, key=lambda name: sign * values[name], default=None)
    if alike:
        name, row = alike[0], comparison.loc[alike[0]]
        told = f"{name} is recommended: it is the simplest that is not worse than {chosen}, which was chosen before "
        told += f"the test: {measure} {values[name]:.3g} and {own.iloc[0]:.3g}, {_evidence(row, many, 1)}."
    elif not simpler:
        name, told = chosen, f"{chosen} is recommended: it was chosen before the test, and it is the simplest of all."
    else:
        name, nearby = chosen, max(simpler, key=lambda name: sign * values[name])
        told = f"{chosen} is recommended: chosen before the test, its {measure} of {own.iloc[0]:.3g} is better than "
        told += f"that of every simpler model; nearest comes {nearby} with {values[nearby]:.3g}, "
        told += f"{_evidence(comparison.loc[nearby], many, -1)}."
    if ahead not in (None, name):
        told += f" On the test {ahead} did better still ({values[ahead]:.3g}), which a new test would have to confirm."
    return Recommendation(name, chosen, told)


def _evidence(row: pd.Series, many: str, sign: int) -> str:
    """Tell a row's difference; with -1 that of the baseline to the row's model."""
    if row["verdict"] == VERDICTS[3]:
        return f"not enough evidence to compare them ({row['units']} units)"
    lo, hi = sorted((sign * row["lo"], sign * row["hi"]))
    spread = f"{sign * row['difference']:+.3g} ({lo:+.3g} to {hi:+.3g})"
    return f"difference {spread}, p = {row['p_holm']:.2g} after Holm over {many}, {row['units']} units"


class _Rankings:
    """Several models' order of the same rows, and the area of each on the same redrawn units."""

    def __init__(self, scores: Mapping[str, pd.Series], labels: pd.Series, unit, block, resamples: int, seed: int):
        first = next(iter(scores.values()))
        same_index(first, labels)
        self.labels = labels.to_numpy()
        self.number = resampling_units(first.index, unit, block)
        self.units = int(self.number.max(initial=-1)) + 1
        require_units(self.units, "units")
        self.score = {name: rankable(part.to_numpy(), self.labels)[0] for name, part in scores.items()}
        order = {name: ranked(part, self.labels) for name, part in self.score.items()}
        once = np.ones((1, self.units), dtype=np.int64)
        self.area = {name: float(self._areas(one, once)[0]) for name, one in order.items()}
        self.drawn = {name: self._areas_of_draws(one, resamples, seed) for name, one in order.items()}

    def _areas_of_draws(self, one, resamples: int, seed: int) -> np.ndarray:
        """Give the area of each resample; an equal seed draws the same units for every model."""
        return np.concatenate([self._areas(one, counts) for counts in resample_counts(self.units, resamples, seed)])

    def _areas(self, one, counts: np.ndarray) -> np.ndarray:
        order, positive, last = one
        return areas_of(self.number[order], positive, last, counts)

    def difference(self, one: str, other: str, permutations: int, confidence: float, seed: int) -> Difference:
        value = self.area[one] - self.area[other]
        drawn = self.drawn[one] - self.drawn[other]
        estimate = percentile_estimate(value, drawn, expanded(confidence, self.units))
        return Difference(estimate, self._exchange(one, other, permutations, seed))

    def _exchange(self, one: str, other: str, permutations: int, seed: int) -> float:
        """Share of exchanges of the two models' ranks, unit by unit, after which they differ at least as much.

        Both orders are merged once; an exchange only says, for each unit, which of its two entries a row counts by.
        """
        ranks = np.concatenate([stats.rankdata(-self.score[name]) for name in (one, other)])
        merged = np.argsort(ranks, kind="stable")
        falling, rows = ranks[merged], len(self.labels)
        last = np.append(falling[1:] != falling[:-1], True)
        entry = 2 * self.number[merged % rows] + merged // rows
        positive = self.labels[merged % rows]
        if exact := self.units <= EXACT:
            swaps = [(np.arange(2**self.units)[:, None] >> np.arange(self.units)) & 1]
        else:
            rng, size = generator(seed), max(1, CELLS // (2 * self.units))
            parts = [min(size, permutations - done) for done in range(0, permutations, size)]
            swaps = (rng.integers(0, 2, size=(part, self.units)) for part in parts)
        least = abs(self.area[one] - self.area[other]) - 1e-12
        extreme = total = 0
        for swap in swaps:
            counts = np.stack([1 - swap, swap], axis=-1).reshape(len(swap), -1)
            gap = areas_of(entry, positive, last, counts) - areas_of(entry, positive, last, 1 - counts)
            extreme, total = extreme + int(np.count_nonzero(~(np.abs(gap) < least))), total + len(swap)
        return extreme / total if exact else (extreme + 1) / (total + 1)
