"""What each kind of evidence adds: the same cases without it, paired; and shares of groups as one number."""

from __future__ import annotations

__all__ = ["ablate", "mean_share"]

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, NotEnoughEvidence, wilson_interval
from stability.evaluation.pairs import holm, paired_difference
from stability.schema import ContractError

COLUMNS = ["value", "without", "added", "lo", "hi", "p", "p_holm", "verdict"]


def ablate(
    judge: Callable[[tuple[str, ...]], pd.Series],
    kinds: Sequence[str],
    *,
    units: pd.Series | None = None,
    weights: pd.Series | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Leave out one kind of evidence at a time.

    Parameters
    ----------
    judge : callable
        From kinds that are left out to what each case got (Series of float, index case): 1 for a hit, a log score, ...
        It fits anew, without them, whatever is fitted.
    kinds : sequence of str
        What is left out, one at a time.
    units : Series of labels, index case, optional
        Cases that are not independent of each other, such as the runs of one scenario, are drawn together.
    weights : Series of float, index case, optional
        Of the cases in the mean.
    confidence : float
        Of all intervals together (Bonferroni).
    seed : int

    Returns
    -------
    DataFrame
        Index kind: `value` (mean with everything), `without` (this kind), `added` (their difference) with `lo`, `hi`;
        `p` of the exchange test and `p_holm` of all tests together; `verdict`: adds, harms or not distinguishable. NaN
        and not distinguishable where there are too few units.

    Raises
    ------
    ContractError
        Where the judge gives other cases without a kind than with it.

    Examples
    --------
    >>> hits = pd.Series(1.0, range(10))
    >>> table = ablate(lambda out: 0 * hits if "graph" in out else hits, ["graph", "logs"])
    >>> table[["value", "without", "verdict"]].to_numpy().tolist()
    [[1.0, 0.0, 'adds'], [1.0, 1.0, 'not distinguishable']]
    """
    full = judge(()).astype(float)
    unit = pd.Series(range(len(full)), full.index) if units is None else units.reindex(full.index)
    weight = pd.Series(1.0, full.index) if weights is None else weights.reindex(full.index)
    rows = {}
    for kind in kinds:
        less = judge((kind,)).astype(float)
        if not less.index.sort_values().equals(full.index.sort_values()):
            raise ContractError(
                column=kind, expected="the same cases without a kind as with it", got=f"{len(less)} cases"
            )
        less = less.reindex(full.index)
        row = {"value": np.average(full, weights=weight), "without": np.average(less, weights=weight)}
        row |= {"added": row["value"] - row["without"]}
        try:
            found = paired_difference(
                _sums(full, weight, unit), _sums(less, weight, unit), lambda sums: sums[..., 0] / sums[..., 1],
                confidence=1 - (1 - confidence) / len(kinds), seed=seed,
            )  # fmt: skip
            row |= {"lo": found.estimate.lo, "hi": found.estimate.hi, "p": found.p}
        except NotEnoughEvidence:
            row |= {"lo": np.nan, "hi": np.nan, "p": np.nan}
        rows[kind] = row
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS[:6]).rename_axis("kind")
    table["p_holm"] = holm(table["p"])
    table["verdict"] = np.select([table["lo"] > 0, table["hi"] < 0], ["adds", "harms"], "not distinguishable")
    return table


def _sums(values: pd.Series, weights: pd.Series, units: pd.Series) -> np.ndarray:
    return pd.DataFrame({"sum": values * weights, "weight": weights}).groupby(units).sum().to_numpy()


def mean_share(groups: Sequence[tuple[float, float]], confidence: float = 0.95) -> Estimate:
    """Mean of the shares of several groups, each counting the same, with an interval that does not end at a full hit.

    Parameters
    ----------
    groups : sequence of (successes, trials)
        Of each group; successes may be a fraction where trials are clusters.
    confidence : float

    Returns
    -------
    Estimate

    Notes
    -----
    The groups' Wilson intervals are put together by their variances on either side (MOVER): Zou, Donner (2008),
    Construction of confidence limits about effect measures, doi 10.1002/sim.3095. A bootstrap would say 1 to 1 where
    every case was a hit.

    Examples
    --------
    >>> estimate = mean_share([(25, 25), (41, 41)])
    >>> [round(number, 3) for number in estimate]
    [1.0, 0.921, 1.0]
    """
    if not len(groups):
        raise ContractError("a mean of shares", expected="at least one group", got="none")
    each = np.array([wilson_interval(hits, trials, confidence) for hits, trials in groups])
    value, lo, hi = each.T
    low, high = np.sqrt(((value - lo) ** 2).sum()) / len(each), np.sqrt(((hi - value) ** 2).sum()) / len(each)
    mean = float(value.mean())
    return Estimate(mean, max(0.0, mean - float(low)), min(1.0, mean + float(high)))
