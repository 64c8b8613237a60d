"""Expressions over panels, at all times at once: the listed subset of PromQL as Prometheus 2.42 evaluates it."""

from __future__ import annotations

__all__ = ["Evaluator", "evaluate", "labels_asked_for", "offset_of", "unwrapped"]

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pandas as pd
import promql_parser as promql

from stability.rules.expressions import operator_of, parse, selector_key, written
from stability.rules.functions import over_range
from stability.rules.history import History, Series, grid_of, history_of
from stability.rules.operators import aggregate, apply_scalar, arithmetic, combine, set_operation
from stability.rules.vectors import NAME, Labels, Vector, merged, nameless
from stability.schema import ContractError
from stability.telemetry.grid import micros

KEPT = 256_000_000  # bytes of ranges that are kept, because another rule may want the same
_SETS = frozenset({"and", "or", "unless"})


def evaluate(
    expr: str,
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
) -> pd.DataFrame:
    """Evaluate an expression at every step; what it gives at a time is made of nothing after that time.

    Parameters
    ----------
    expr : str
        PromQL of the subset that `stability.rules.expressions` lists.
    telemetry : DataFrame
        A panel: index (entity, timestamp), a column a metric. Each entity is one series of each metric that it has a
        value of, labelled `entity`, or as `labels` says. NaN is the staleness marker of a scrape: from there on the
        series is absent until its next value, and no range holds it.
    step : str, float or timedelta, optional
        Distance of the evaluations from the first timestamp on; the panel's usual distance of rows without it. A number
        is in seconds.
    labels : str or mapping, optional
        Template of the entity's name in labels, such as '{job}/{instance}', or entity -> its labels.
    lookback : str, float or timedelta
        How long a value serves when none follows.

    Returns
    -------
    DataFrame of shape (times, series)
        Index `timestamp`; columns: a MultiIndex with a level for each label (`__name__` among them where the metric's
        name is kept), "" where a series lacks it. NaN where the expression gives nothing, or gives NaN.

    Raises
    ------
    ContractError
        If the expression is outside of the subset, matches several series where one may, or gives a label set twice.

    Notes
    -----
    As in Prometheus 2.42: a range is closed at both ends; rate, increase and delta stretch what they saw to the range's
    ends and make good the restarts of counters; a value serves for the lookback, its first moment included. Sums of a
    range are rounded once, where Prometheus rounds at every sample: results agree to some 1e-12, and only a comparison
    that turns on the last digit can differ.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product([["a", "b"], pd.date_range("2026-01-01", periods=3, freq="15s", tz="UTC")],
    ...                                    names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"queue_depth": [1.0, 9, 9, 0, 0, 7]}, index=index)
    >>> evaluate("queue_depth > 5", panel).to_numpy()
    array([[nan, nan],
           [ 9., nan],
           [ 9.,  7.]])
    >>> evaluate("sum(queue_depth)", panel).to_numpy().ravel()
    array([ 1.,  9., 16.])
    """
    tree = parse(expr)
    times = grid_of(telemetry, step)
    history = history_of(telemetry, labels, lookback)
    return Evaluator(history, times).vector(tree).frame(times)


class Evaluator:
    """Evaluates expressions over one history at the same times; ranges that several share are computed once.

    Parameters
    ----------
    history : History
        The samples.
    times : array of int64, shape (times,)
        Microseconds since 1970, rising.
    """

    def __init__(self, history: History, times: np.ndarray):
        self.history = history
        self.times = np.asarray(times, dtype=np.int64)
        self._known: dict[tuple, Vector] = {}
        self._room = KEPT

    def vector(self, tree: promql.Expr | str) -> Vector:
        """Evaluate an expression; a number becomes one series without labels.

        Parameters
        ----------
        tree : promql_parser.Expr or str
            Of the subset: as `stability.rules.expressions.parse` gives it, or its text.
        """
        found = self._value(parse(tree) if isinstance(tree, str) else tree)
        if isinstance(found, Vector):
            return found
        shape = (1, len(self.times))
        return Vector([()], np.full(shape, found), np.ones(shape, dtype=bool))

    def _value(self, node: promql.Expr) -> Vector | float:
        if isinstance(node, promql.NumberLiteral):
            return float(node.val)
        if isinstance(node, promql.ParenExpr):
            return self._value(node.expr)
        if isinstance(node, promql.UnaryExpr):
            found = self._value(node.expr)
            if not isinstance(found, Vector):
                return -found
            return self._merged([nameless(one) for one in found.labels], -found.values, found.present, node)
        if isinstance(node, promql.BinaryExpr):
            return self._binary(node)
        if isinstance(node, promql.AggregateExpr):
            argument = None if node.param is None else self._number(node.param)
            return aggregate(node, self._value(node.expr), argument, len(self.times))
        if isinstance(node, promql.VectorSelector):
            return self._instant(node)
        if isinstance(node, promql.Call):
            return self._call(node)
        raise ContractError(expected="an instant vector or a number", got=f"the range {written(node)!r}")

    def _binary(self, node: promql.BinaryExpr) -> Vector | float:
        operator, left, right = operator_of(node), self._value(node.lhs), self._value(node.rhs)
        if isinstance(left, Vector) and isinstance(right, Vector):
            how = set_operation if operator in _SETS else combine
            return how(node, left, right, len(self.times))
        if isinstance(left, Vector):
            return apply_scalar(node, left, right, scalar_left=False)
        if isinstance(right, Vector):
            return apply_scalar(node, right, left, scalar_left=True)
        found = arithmetic(operator, np.float64(left), np.float64(right))
        return float(found)

    def _number(self, node: promql.Expr) -> float:
        found = self._value(node)
        if isinstance(found, Vector):
            raise ContractError(expected="a number", got=repr(written(node)))
        return found

    def _instant(self, node: promql.VectorSelector) -> Vector:
        return self.newest(node, offset_of(node))

    def newest(self, node: promql.VectorSelector, offset: int = 0) -> Vector:
        """Find the newest value of each series that a selector selects.

        Parameters
        ----------
        node : promql_parser.VectorSelector
        offset : int
            Microseconds; the selector's own is not looked at.
        """
        end = self.times - offset
        labels, values, present = [], [], []
        for one in self.history.select(node):
            value, there = _newest(one, end, self.history.lookback)
            labels.append(one.labels)
            values.append(value)
            present.append(there)
        return self._merged(labels, values, present, node)

    def _call(self, node: promql.Call) -> Vector:
        name, args = node.func.name, list(node.args)
        if name == "absent":
            return self._absent(args[0], self._value(args[0]).present)
        if name == "absent_over_time":
            counted = self._ranged("count_over_time", args[0], 0.0, node)
            return self._absent(args[0], counted.present)
        (range_,) = (arg for arg in args if isinstance(unwrapped(arg), promql.MatrixSelector))
        numbers = [self._number(arg) for arg in args if arg is not range_]
        return self._ranged(name, range_, numbers[0] if numbers else 0.0, node)

    def _ranged(self, name: str, node: promql.Expr, argument: float, call: promql.Call) -> Vector:
        matrix = unwrapped(node)
        selector = matrix.vector_selector
        length, offset = micros(matrix.range, "range"), offset_of(selector)
        key = (name, argument, length, offset, selector_key(selector))
        if key in self._known:
            return self._known[key]
        labels, values, present = [], [], []
        for one in self.history.select(selector):
            value, there = over_range(name, one, self.times, length, offset, argument)
            labels.append(nameless(one.labels))
            values.append(value)
            present.append(there)
        found = self._merged(labels, values, present, call)
        self._room -= found.values.nbytes + found.present.nbytes
        if self._room > 0:
            self._known[key] = found
        return found

    def _absent(self, node: promql.Expr, present: np.ndarray) -> Vector:
        nobody = ~present.any(axis=0)
        return Vector([labels_asked_for(node)], np.ones((1, len(self.times))), nobody[None])

    def _merged(self, labels: list[Labels], values, present, node: promql.Expr) -> Vector:
        return merged(labels, values, present, len(self.times), written(node))


def _newest(one: Series, end: np.ndarray, lookback: int) -> tuple[np.ndarray, np.ndarray]:
    """The newest sample at or before each moment, where it is young enough and no marker."""
    places = np.searchsorted(one.times, end, "right") - 1
    held = np.maximum(places, 0)
    there = (places >= 0) & (one.times[held] >= end - lookback) & ~one.stale[held]
    return one.values[held], there


def labels_asked_for(node: promql.Expr) -> Labels:
    """What is known about a series that is not there: the labels that its selector demands, each by one matcher."""
    node = unwrapped(node)
    selector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
    if not isinstance(selector, promql.VectorSelector):
        return ()
    labels: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in selector.matchers.matchers:
        if matcher.op == promql.MatchOp.Equal and matcher.name not in seen:
            labels[matcher.name] = matcher.value
        else:
            labels.pop(matcher.name, None)
        seen.add(matcher.name)
    return tuple(sorted((name, text) for name, text in labels.items() if text and name != NAME))


def unwrapped(node: promql.Expr) -> promql.Expr:
    """Give what stands within parentheses."""
    while isinstance(node, promql.ParenExpr):
        node = node.expr
    return node


def offset_of(node: promql.VectorSelector) -> int:
    """Give how far back a selector looks, in microseconds."""
    return 0 if not node.offset else micros(node.offset, "offset")
