"""Which rules fire together, and which cannot fire at all for want of a metric."""

from __future__ import annotations

__all__ = ["REPEATS", "lacking_metrics", "redundancy", "repeated"]

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import promql_parser as promql

from stability.rules.expressions import metric_of, operator_of
from stability.rules.files import Rule

REPEATS = 0.8  # Jaccard index from which on two rules are taken to say the same


def redundancy(rules: Sequence[Rule], fired: pd.DataFrame, telemetry: pd.DataFrame) -> pd.DataFrame:
    """Measure how much of their firing time rules share: the Jaccard index over rows of the panel.

    Parameters
    ----------
    rules : sequence of Rule
    fired : DataFrame
        From `firings`.
    telemetry : DataFrame
        The panel. A rule fires in a row when it fires for that entity at that moment; an alert that names no entity
        has rows of its own.

    Returns
    -------
    DataFrame of shape (rules, rules)
        From 0 to 1; NaN in the rows and columns of rules that never fire.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", unit="us")
    >>> index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"up": 1.0}, index=index)
    >>> fired = pd.DataFrame({"rule": ["x", "y"], "entity": "a", "start": stamps[[0, 1]], "end": stamps[[2, 3]]})
    >>> redundancy([Rule("g", "x", "up"), Rule("g", "y", "up")], fired, panel).round(2).to_numpy().tolist()
    [[1.0, 0.33], [0.33, 1.0]]
    """
    names = [rule.alert for rule in rules]
    place = {name: number for number, name in enumerate(names)}
    stamps = telemetry.index.get_level_values("timestamp")
    moments = {entity: stamps[rows] for entity, rows in telemetry.groupby(level="entity").indices.items()}
    moments[""] = stamps.unique().sort_values()
    begins = dict(zip(moments, np.cumsum([0, *map(len, moments.values())]), strict=False))
    on = np.zeros((len(names), sum(map(len, moments.values()))), dtype=np.float32)
    for row in fired[fired["rule"].isin(place)].itertuples():
        here = moments[row.entity]
        lo = here.searchsorted(row.start)
        hi = len(here) if pd.isna(row.end) else here.searchsorted(row.end)
        on[place[row.rule], begins[row.entity] + lo : begins[row.entity] + max(hi, lo + 1)] = 1
    both = on @ on.T
    size = both.diagonal()
    either = size[:, None] + size[None, :] - both
    with np.errstate(invalid="ignore"):
        index = np.where((size[:, None] > 0) & (size[None, :] > 0), both / either, np.nan)
    return pd.DataFrame(index.astype("float64"), index=pd.Index(names, name="rule"), columns=names)


def repeated(alike: pd.DataFrame, worth: pd.Series, least: float = REPEATS) -> pd.DataFrame:
    """Name for each rule the one that it is most like, and whether it only repeats a rule that is worth more.

    Parameters
    ----------
    alike : DataFrame
        From `redundancy`.
    worth : Series, index rule
        Of two that say the same the one with more stays; of equals the first.
    least : float
        Jaccard index from which on two say the same.

    Returns
    -------
    DataFrame, index rule
        `nearest`, `jaccard` ("" and NaN where nothing else fires), `repeats` ("" where the rule stays).
    """
    names, worth = list(alike.index), worth.reindex(alike.index).fillna(-np.inf)
    rows = []
    for number, name in enumerate(names):
        others = alike.loc[name].drop(name).dropna()
        if others.empty:
            rows.append(("", np.nan, ""))
            continue
        same = [other for other in others.index[others >= least] if _before(worth, names, other, number)]
        rows.append((others.idxmax(), others.max(), max(same, key=others.get) if same else ""))
    return pd.DataFrame(rows, index=alike.index, columns=["nearest", "jaccard", "repeats"])


def _before(worth: pd.Series, names: list[str], other: str, number: int) -> bool:
    mine, theirs = worth.iloc[number], worth[other]
    return theirs > mine or (theirs == mine and names.index(other) < number)


def lacking_metrics(node: promql.Expr, present: Collection[str]) -> tuple[str, ...]:
    """Name the metrics for want of which an expression can never give anything; none where it can.

    Of alternatives joined by `or` one is enough, what stands behind `unless` is not needed, and absent() needs nothing:
    where what it asks for is missing it is that which it reports, and the metric is named too.

    Parameters
    ----------
    node : promql_parser.Expr
        From `stability.rules.expressions.parse` or `tree_of`.
    present : collection of str
        The metrics that there are.

    Examples
    --------
    >>> from stability.rules.expressions import parse
    >>> lacking_metrics(parse("(a or b) / c > 1 unless d"), {"b"})
    ('c',)
    >>> lacking_metrics(parse("absent(a or b) or absent(c)"), {"b"})
    ('c',)
    """
    if isinstance(node, promql.VectorSelector):
        name = metric_of(node)
        return (name,) if name is not None and name not in present else ()
    if isinstance(node, promql.MatrixSelector):
        return lacking_metrics(node.vector_selector, present)
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.AggregateExpr | promql.SubqueryExpr):
        return lacking_metrics(node.expr, present)
    if isinstance(node, promql.Call):
        return _union(*(lacking_metrics(arg, present) for arg in node.args))
    if isinstance(node, promql.BinaryExpr):
        left, right = lacking_metrics(node.lhs, present), lacking_metrics(node.rhs, present)
        if operator_of(node) == "unless":
            return left
        if operator_of(node) == "or" and not _guards(node):
            return _union(left, right) if left and right else ()
        return _union(left, right)
    return ()


def _guards(node: promql.Expr) -> bool:
    """Whether an expression is absent() of something, or such ones joined by `or`."""
    if isinstance(node, promql.BinaryExpr):
        return operator_of(node) == "or" and _guards(node.lhs) and _guards(node.rhs)
    return isinstance(node, promql.Call) and node.func.name.startswith("absent")


def _union(*parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in parts for name in part))
