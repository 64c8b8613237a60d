"""Thresholds of rules, set so that they cry for nothing no more often than a budget allows."""

from __future__ import annotations

__all__ = ["literal_of", "tune", "with_literal"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import promql_parser as promql

from stability.rules.alerts import firings
from stability.rules.counting import backtest
from stability.rules.evaluation import evaluate
from stability.rules.expressions import operator_of, parse, written
from stability.rules.files import Rule
from stability.schema import ContractError

CANDIDATES = 16
SHARE = 0.02  # half an hour a day
DIGITS = 4  # significant digits of a threshold that people are to read
_ORDERED = (">", ">=", "<", "<=")


def literal_of(expr: str) -> float | None:
    """Give the number that the first comparison of an expression compares with; None where there is none.

    Parameters
    ----------
    expr : str
        PromQL of the subset. A product such as `14.4 * 0.001` is a number too. A comparison with 0 asks for a sign, not
        for a threshold, and is passed over.

    Examples
    --------
    >>> literal_of("rate(errors_total[5m]) > 14.4 * 0.25 and up == 1")
    3.6
    >>> literal_of("up == 0") is None
    True
    """
    found = _compared(parse(expr))
    return None if found is None else _number(found.rhs)


def with_literal(rule: Rule, value: float) -> Rule:
    """Put another number into the first comparison of a rule.

    Parameters
    ----------
    rule : Rule
    value : float

    Raises
    ------
    ContractError
        If the expression compares nothing with a number.

    Examples
    --------
    >>> with_literal(Rule("g", "a", "queue > 5 and up == 1"), 7.5).expr
    'queue > 7.5 and up == 1'
    """
    tree = parse(rule.expr)
    found = _compared(tree)
    if found is None:
        raise ContractError(
            file=rule.file or None,
            row=rule.line or None,
            expected="a comparison with a number on its right, by > >= < <=",
            got=repr(rule.expr),
            remedy="rules without a threshold cannot be tuned",
        )
    old = written(found)
    new = f"{written(found.lhs)} {operator_of(found)} {value:.{DIGITS}g}"
    return replace(rule, expr=written(tree).replace(old, new, 1))


def tune(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    faults: pd.DataFrame,
    *,
    budget: float,
    share: float = SHARE,
    candidates: int = CANDIDATES,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    late: str | pd.Timedelta = "0s",
) -> tuple[list[Rule], pd.DataFrame]:
    """Set the threshold of each rule on history: the most faults found at no more false episodes than the budget.

    Parameters
    ----------
    rules : sequence of Rule
        Those without a threshold (`literal_of`) stay as they are.
    telemetry, faults, step, labels, late
        As for `score`; the part of history to choose on. Judge on a later one.
    budget : float
        False episodes a day that a rule may have.
    share : float
        Share of the time without a fault in which it may fire.
    candidates : int
        How many thresholds are tried beside the rule's own: quantiles of the values that it compares.

    Returns
    -------
    list of Rule
        As given, with their new thresholds.
    DataFrame, index rule
        `before`, `after`: thresholds; `recall_before`, `recall_after` (of the rule's own mode where there are faults of
        it, else of any), `false_before`, `false_after` (episodes a day), all on this history: what was chosen looks
        better here than later. `within`: whether any threshold keeps the budget; where none does, that with the fewest
        false episodes is taken.

    Notes
    -----
    Of thresholds with equal recall within the budget, the more precise one is taken, then the one with fewer false
    episodes, then that nearest to the rule's own: a rule is not moved without a reason. One long false episode costs
    no more than a short one, so a threshold may not fire in more than `share` of the time without a fault either.
    """
    tried = {}
    for rule in rules:
        own = literal_of(rule.expr)
        if own is not None:
            values = [own, *_quantiles(rule, telemetry, candidates, step, labels)]
            tried[rule.alert] = [(value, replace(with_literal(rule, value), alert=f"{rule.alert}\n{place}"))
                                 for place, value in enumerate(values)]  # fmt: skip
    variants = [variant for found in tried.values() for _, variant in found]
    fired = firings(variants, telemetry, step=step, labels=labels)
    judged = backtest(fired, faults, telemetry, late=late)
    judged = judged.reindex([variant.alert for variant in variants]).fillna(0.0)
    rows, chosen = {}, {}
    for name, found in tried.items():
        table = judged.loc[[variant.alert for _, variant in found]].assign(value=[value for value, _ in found])
        best = table.loc[_best(table, budget, share)]
        first = table.iloc[0]
        chosen[name] = first["value"] if best.name == first.name else float(f"{best['value']:.{DIGITS}g}")
        rows[name] = {
            "before": first["value"],
            "after": chosen[name],
            "recall_before": first["recall"],
            "recall_after": best["recall"],
            "false_before": first["false_per_day"],
            "false_after": best["false_per_day"],
            "within": bool(best["false_per_day"] <= budget),
        }
    moved = [name for name, row in rows.items() if row["after"] != row["before"]]
    tuned = [with_literal(rule, chosen[rule.alert]) if rule.alert in moved else rule for rule in rules]
    columns = ["before", "after", "recall_before", "recall_after", "false_before", "false_after", "within"]
    return tuned, pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("rule")


def _best(table: pd.DataFrame, budget: float, share: float) -> str:
    own = table["value"].iloc[0]
    ranked = table.assign(
        over=(table["false_per_day"] - budget).clip(lower=0)
        + (table["firing_share"] > share).map({True: math.inf, False: 0.0}),
        recall=-table["recall"],
        precision=-table["precision"],
        moved=(table["value"] - own).abs(),
    )
    return ranked.sort_values(["over", "recall", "precision", "false_per_day", "moved"], kind="stable").index[0]


def _quantiles(rule: Rule, telemetry: pd.DataFrame, candidates: int, step, labels) -> list[float]:
    """Thresholds to try: most of them at the end of the values that the rule looks for."""
    found = _compared(parse(rule.expr))
    values = evaluate(written(found.lhs), telemetry, step=step, labels=labels).to_numpy().ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return []
    tail = np.geomspace(0.3, max(1 / len(values), 1e-5), candidates)  # share of values beyond the threshold
    shares = 1 - tail if operator_of(found) in (">", ">=") else tail
    return list(dict.fromkeys(float(f"{value:.{DIGITS}g}") for value in np.quantile(values, shares)))


def _compared(node: promql.Expr) -> promql.BinaryExpr | None:
    """The first comparison whose right side is a number other than 0, from the left."""
    if isinstance(node, promql.BinaryExpr):
        if operator_of(node) in _ORDERED and _number(node.rhs) not in (None, 0.0):
            return node
        found = _compared(node.lhs)
        # What stands behind `unless` takes alerts away: its numbers are no threshold of the rule.
        return found if found is not None or operator_of(node) == "unless" else _compared(node.rhs)
    inner = getattr(node, "expr", None)
    return None if inner is None else _compared(inner)


def _number(node: promql.Expr) -> float | None:
    if isinstance(node, promql.NumberLiteral):
        return float(node.val)
    if isinstance(node, promql.ParenExpr):
        return _number(node.expr)
    if isinstance(node, promql.UnaryExpr):
        inner = _number(node.expr)
        return None if inner is None else -inner
    if isinstance(node, promql.BinaryExpr) and operator_of(node) in ("*", "/"):
        left, right = _number(node.lhs), _number(node.rhs)
        if left is None or right is None:
            return None
        return left * right if operator_of(node) == "*" else (left / right if right else math.nan)
    return None
