"""Expressions at one moment, over all entities: what `stability.rules.evaluate` gives there, at a fraction of its cost.

Which series meet which depends on labels alone, and labels change only when an entity comes. So each operator keeps
whom it matched with whom, as places in arrays, until its operands' labels are others; a step is arithmetic on arrays.
"""

from __future__ import annotations

__all__ = ["Instant", "reach_of"]

from collections.abc import Callable, Mapping

import numpy as np
import promql_parser as promql

from stability.monitor import matching
from stability.monitor.ranges import newest, over_window
from stability.monitor.ring import Ring
from stability.rules.evaluation import labels_asked_for, offset_of, unwrapped
from stability.rules.expressions import children_of, operator_of, parse, selector_key, written
from stability.rules.history import History, Series, labels_by_entity
from stability.rules.operators import arithmetic, is_comparison
from stability.rules.vectors import NAME, Labels, Vector
from stability.schema import ContractError
from stability.telemetry.grid import micros

_SETS = frozenset({"and", "or", "unless"})
_NONE = np.empty(0, dtype=np.int64)
Found = Vector | float


class Instant:
    """Evaluates expressions at the newest moment of a ring.

    Parameters
    ----------
    ring : Ring
    labels : str, mapping or None
        As for `stability.rules.evaluate`.
    lookback : int
        Microseconds for which a value serves when none follows.
    """

    def __init__(
        self, ring: Ring, labels: str | Mapping[str, Mapping[str, str]] | None = None, lookback: int = 300_000_000
    ):
        self.ring, self.labels, self.lookback = ring, labels, lookback
        self.entities: dict[str, Labels] = {}
        self._known = -1
        self._compiled: dict[str, Callable[[], Found]] = {}
        self._leaves: dict[tuple, Vector] = {}
        self._at = 0

    def begin(self, moment: int) -> None:
        """Begin a step: what was known of the one before is forgotten, and new entities get their labels."""
        self._at, self._leaves = moment, {}
        if self.ring.edition == self._known:
            return
        self.entities = labels_by_entity(self.ring.entities, self.labels)
        self._known = self.ring.edition
        owners = [(own, e) for e, own in enumerate(self.entities.values())]
        places: dict[Labels, tuple[int, int]] = {}
        for m, metric in enumerate(self.ring.metrics):
            for own, e in owners:
                places[tuple(sorted([*own, (NAME, metric)]))] = (m, e)
        series = [Series(labels, _NONE, _NONE, _NONE) for labels in places]
        self._history, self._places = History(series, self.lookback, self.entities), places
        self._selected: dict[tuple, tuple[list[Labels], list[tuple[int, np.ndarray, np.ndarray]]]] = {}

    def vector(self, expr: str) -> Vector:
        """Evaluate an expression; arrays have shape (series, 1).

        Raises
        ------
        ContractError
            As `stability.rules.evaluate`.
        """
        if expr not in self._compiled:
            self._compiled[expr] = self._compile(parse(expr))
        found = self._compiled[expr]()
        if isinstance(found, Vector):
            return found
        return Vector([()], np.full((1, 1), found), np.ones((1, 1), dtype=bool))

    # ---- an expression becomes a function that needs no look at it any more ----------------------------------------
    def _compile(self, node: promql.Expr) -> Callable[[], Found]:
        if isinstance(node, promql.NumberLiteral):
            number = float(node.val)
            return lambda: number
        if isinstance(node, promql.ParenExpr):
            return self._compile(node.expr)
        if isinstance(node, promql.UnaryExpr):
            return _negated(self._compile(node.expr), matching.Renaming(written(node)))
        if isinstance(node, promql.BinaryExpr):
            return self._binary(node)
        if isinstance(node, promql.AggregateExpr):
            inner, grouping = self._compile(node.expr), matching.Grouping(node)
            argument = None if node.param is None else self._compile(node.param)
            return lambda: grouping(inner(), None if argument is None else _number(argument(), node))
        if isinstance(node, promql.VectorSelector):
            offset = offset_of(node)
            return lambda: self._newest(node, offset)
        if isinstance(node, promql.Call):
            return self._call(node)
        raise ContractError(expected="an instant vector or a number", got=f"the range {written(node)!r}")

    def _binary(self, node: promql.BinaryExpr) -> Callable[[], Found]:
        operator, left, right = operator_of(node), self._compile(node.lhs), self._compile(node.rhs)
        both = matching.Joining(node) if operator in _SETS else matching.Pairing(node)
        renamed = matching.Renaming(written(node))
        filters = is_comparison(operator) and not (node.modifier is not None and node.modifier.return_bool)

        def value() -> Found:
            a, b = left(), right()
            if isinstance(a, Vector) and isinstance(b, Vector):
                return both(a, b)
            if not isinstance(a, Vector) and not isinstance(b, Vector):
                return float(arithmetic(operator, np.float64(a), np.float64(b)))
            vector = a if isinstance(a, Vector) else b
            found = arithmetic(operator, *((a.values, b) if vector is a else (a, b.values)))
            if filters:
                return Vector(vector.labels, vector.values, vector.present & found)
            return renamed(vector, found.astype(np.float64))

        return value

    def _call(self, node: promql.Call) -> Callable[[], Found]:
        name, args = node.func.name, list(node.args)
        if name in ("absent", "absent_over_time"):
            labels = [labels_asked_for(args[0])]
            counted = (
                self._ranged("count_over_time", args[0], None, node) if name != "absent" else self._compile(args[0])
            )

            def nobody() -> Vector:
                return Vector(labels, np.ones((1, 1)), ~counted().present.any(axis=0)[None])

            return nobody
        (range_,) = (arg for arg in args if isinstance(unwrapped(arg), promql.MatrixSelector))
        numbers = [self._compile(arg) for arg in args if arg is not range_]
        return self._ranged(name, range_, numbers[0] if numbers else None, node)

    def _ranged(self, name: str, node: promql.Expr, argument, call: promql.Call) -> Callable[[], Vector]:
        matrix = unwrapped(node)
        selector, length = matrix.vector_selector, micros(matrix.range, "range")
        offset, renamed = offset_of(selector), matching.Renaming(written(call))
        base = (name, length, offset, selector_key(selector))

        def value() -> Vector:
            number = 0.0 if argument is None else _number(argument(), call)
            key = (*base, number)
            if key not in self._leaves:
                times = self.ring.times

                def ask(metric: int, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                    return over_window(name, times, self.ring.values[metric], self._at, length, offset, number)

                found = self._gathered(selector, ask)
                self._leaves[key] = renamed(found, found.values)
            return self._leaves[key]

        return value

    def _newest(self, node: promql.VectorSelector, offset: int) -> Vector:
        key = ("", offset, selector_key(node))
        if key not in self._leaves:

            def ask(metric: int, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                return newest(self.ring.times, self.ring.values[metric], there, self._at - offset, self.lookback)

            self._leaves[key] = self._gathered(node, ask)
        return self._leaves[key]

    def _gathered(self, node: promql.VectorSelector, ask) -> Vector:
        """Values of the series that a selector selects."""
        key = selector_key(node)
        if key not in self._selected:
            labels = [one.labels for one in self._history.select(node)]
            found = np.array([self._places[one] for one in labels], dtype=np.int64).reshape(-1, 2)
            by_metric = [(int(m), np.flatnonzero(found[:, 0] == m)) for m in np.unique(found[:, 0])]
            self._selected[key] = (labels, [(m, rows, found[rows, 1]) for m, rows in by_metric])
        labels, parts = self._selected[key]
        values, present = np.zeros((len(labels), 1)), np.zeros((len(labels), 1), dtype=bool)
        for metric, rows, entities in parts:
            value, seen = ask(metric, self.ring.there)
            values[rows, 0], present[rows, 0] = value[entities], seen[entities]
        return Vector(labels, values, present)


def reach_of(expr: str) -> int:
    """How far an expression looks back, in microseconds: the longest of its ranges and offsets, both together.

    Examples
    --------
    >>> reach_of("rate(errors_total[5m] offset 1h) > 0.1") // 1_000_000
    3900
    """

    def reach(node: promql.Expr) -> int:
        own = 0
        if isinstance(node, promql.MatrixSelector):
            own = micros(node.range, "range")
        elif isinstance(node, promql.VectorSelector):
            own = offset_of(node)
        return own + max(map(reach, children_of(node)), default=0)

    return reach(parse(expr))


def _negated(inner: Callable[[], Found], renamed: matching.Renaming) -> Callable[[], Found]:
    def value() -> Found:
        found = inner()
        return renamed(found, -found.values) if isinstance(found, Vector) else -found

    return value


def _number(found: Found, node: promql.Expr) -> float:
    if isinstance(found, Vector):
        raise ContractError(expected="a number", got=repr(written(node)))
    return found
