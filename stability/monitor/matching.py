"""Whom an operator matches with whom, kept until labels change: renaming, pairing, joining and grouping of series.

Each does at one moment what its namesake in `stability.rules.operators` does at all times at once. Where it is not
sure that labels stay apart, it leaves the work to that one.
"""

from __future__ import annotations

__all__ = ["Grouping", "Joining", "Pairing", "Renaming"]

import numpy as np
import promql_parser as promql

from stability.rules import operators
from stability.rules.expressions import operator_of
from stability.rules.vectors import Labels, Vector, merged, nameless


class Renaming:
    """Series without the metric's name.

    Parameters
    ----------
    what : str
        The expression, for the error.
    """

    def __init__(self, what: str):
        self.what = what
        self._of: list[Labels] | None = None

    def __call__(self, vector: Vector, values: np.ndarray) -> Vector:
        """Series of a vector with other values; refused where two have the same labels at the moment."""
        if self._of is not vector.labels:
            self._of, self._labels = vector.labels, [nameless(one) for one in vector.labels]
            self._apart = len(set(self._labels)) == len(self._labels)
        if self._apart:
            return Vector(self._labels, values, vector.present)
        return merged(self._labels, values, vector.present, 1, self.what)


class Pairing:
    """Arithmetic and comparisons between two vectors.

    Parameters
    ----------
    node : promql_parser.BinaryExpr
    """

    def __init__(self, node: promql.BinaryExpr):
        self.node, self.operator = node, operator_of(node)
        modifier = node.modifier
        card = promql.VectorMatchCardinality.OneToOne if modifier is None else modifier.card
        keeps_bool = modifier is not None and modifier.return_bool
        self.swapped = card == promql.VectorMatchCardinality.OneToMany
        self.filters = operators.is_comparison(self.operator) and not keeps_bool
        self.card, self.name_goes = card, not self.filters
        self._of: tuple | None = None

    def __call__(self, left: Vector, right: Vector) -> Vector:
        """As `operators.combine`, at one moment."""
        many, one = (right, left) if self.swapped else (left, right)
        if self._of is None or self._of[0] is not many.labels or self._of[1] is not one.labels:
            self._match(many.labels, one.labels)
        if self._slow:
            return operators.combine(self.node, left, right, 1)
        a, b = many.values[self._many], one.values[self._one]
        both = many.present[self._many] & one.present[self._one]
        found = operators.arithmetic(self.operator, *((b, a) if self.swapped else (a, b)))
        if self.filters:
            return Vector(self._labels, b if self.swapped else a, both & found)
        return Vector(self._labels, found.astype(np.float64), both)

    def _match(self, many: list[Labels], one: list[Labels]) -> None:
        signature = operators.signature_of(self.node)
        groups: dict[Labels, int] = {}
        self._of, self._slow = (many, one), False
        for j, labels in enumerate(one):
            self._slow |= groups.setdefault(signature(labels), j) != j
        found = [(i, groups[key]) for i, key in enumerate(map(signature, many)) if key in groups]
        self._many, self._one = (np.array([pair[k] for pair in found], dtype=np.int64) for k in (0, 1))
        named = (many, one, self.card, self.name_goes)
        self._labels = [operators.matched_labels(self.node, named[0][i], named[1][j], *named[2:]) for i, j in found]
        self._slow |= len(set(self._labels)) < len(self._labels)


class Joining:
    """Intersection, union and difference of two vectors: `and`, `or`, `unless`.

    Parameters
    ----------
    node : promql_parser.BinaryExpr
    """

    def __init__(self, node: promql.BinaryExpr):
        self.node, self.operator = node, operator_of(node)
        self._of: tuple | None = None

    def __call__(self, left: Vector, right: Vector) -> Vector:
        """As `operators.set_operation`, at one moment."""
        if self._of is None or self._of[0] is not left.labels or self._of[1] is not right.labels:
            self._match(left.labels, right.labels)
        here, there = (left, right) if self.operator != "or" else (right, left)
        seen = np.zeros((self._groups + 1, 1), dtype=bool)
        seen[self._there[there.present[:, 0]]] = True
        matched = seen[self._here]
        if self.operator == "and":
            return Vector(here.labels, here.values, here.present & matched)
        if self.operator == "unless":
            return Vector(here.labels, here.values, here.present & ~matched)
        more = right.present & ~matched
        values = np.concatenate([left.values, right.values[self._new]])
        present = np.concatenate([left.present, more[self._new]])
        if len(self._same):  # labels of both sides: the right one's where the left has none; then it is not matched
            takes = more[self._same]
            values[self._place] = np.where(takes, right.values[self._same], values[self._place])
            present[self._place] |= takes
        return Vector(self._labels, values, present)

    def _match(self, left: list[Labels], right: list[Labels]) -> None:
        signature = operators.signature_of(self.node)
        self._of = (left, right)
        here, there = (left, right) if self.operator != "or" else (right, left)
        groups: dict[Labels, int] = {}
        self._there = np.array([groups.setdefault(signature(one), len(groups)) for one in there], dtype=np.int64)
        self._groups = len(groups)
        self._here = np.array([groups.get(signature(one), len(groups)) for one in here], dtype=np.int64)
        places = {one: k for k, one in enumerate(left)}
        same = [k for k, one in enumerate(right) if one in places]
        self._same = np.array(same, dtype=np.int64)
        self._place = np.array([places[right[k]] for k in same], dtype=np.int64)
        self._new = np.array([k for k, one in enumerate(right) if one not in places], dtype=np.int64)
        self._labels = [*left, *(right[k] for k in self._new)]


class Grouping:
    """Aggregation over series.

    Parameters
    ----------
    node : promql_parser.AggregateExpr
    """

    def __init__(self, node: promql.AggregateExpr):
        self.node, self.operator = node, operator_of(node)
        self._of: list[Labels] | None = None

    def __call__(self, vector: Vector, argument: float | None) -> Vector:
        """As `operators.aggregate`, at one moment."""
        if self._of is not vector.labels:
            self._match(vector.labels)
        there, size = vector.present[:, 0], len(self._labels)
        codes = self._codes[there]
        counts = np.bincount(codes, minlength=size).astype(np.float64)
        present = (counts > 0)[:, None]
        if self.operator == "count":
            return Vector(self._labels, counts[:, None], present)
        if self.operator == "sum":
            total = np.bincount(codes, weights=vector.values[there, 0], minlength=size)
            return Vector(self._labels, total[:, None], present)
        values = np.empty((size, 1))
        with np.errstate(all="ignore"):
            if self.operator in ("max", "min"):
                find = np.fmax if self.operator == "max" else np.fmin
                values[:] = np.nan
                find.at(values[:, 0], codes, vector.values[there, 0])
            else:
                for row, places in enumerate(self._places):
                    part = vector.present[places]
                    values[row] = operators.aggregated(self.operator, vector.values[places], part, argument)
        return Vector(self._labels, values, present)

    def _match(self, labels: list[Labels]) -> None:
        self._of = labels
        groups: dict[Labels, list[int]] = {}
        for k, one in enumerate(labels):
            groups.setdefault(operators.group_of(self.node, one), []).append(k)
        self._labels, self._places = list(groups), [np.array(places) for places in groups.values()]
        self._codes = np.empty(len(labels), dtype=np.int64)
        for row, places in enumerate(self._places):
            self._codes[places] = row
