"""Operators between vectors and over series: which series meet, and what comes of it."""

from __future__ import annotations

__all__ = [
    "aggregate",
    "aggregated",
    "apply_scalar",
    "arithmetic",
    "combine",
    "group_of",
    "is_comparison",
    "matched_labels",
    "set_operation",
    "signature_of",
]

from collections.abc import Callable

import numpy as np
import promql_parser as promql

from stability.rules.expressions import operator_of, written
from stability.rules.vectors import Labels, Vector, dropped, kept, merged, nameless
from stability.schema import ContractError

_ARITHMETIC: dict[str, Callable] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
}
_COMPARISONS: dict[str, Callable] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


def is_comparison(operator: str) -> bool:
    """Tell comparisons from arithmetic."""
    return operator in _COMPARISONS


def arithmetic(operator: str, left, right):
    """Apply an operator to numbers or arrays; a comparison gives truth values."""
    with np.errstate(all="ignore"):
        return (_ARITHMETIC | _COMPARISONS)[operator](left, right)


def apply_scalar(node: promql.BinaryExpr, vector: Vector, scalar: float, scalar_left: bool) -> Vector:
    """Apply an operator between a vector and a number.

    Parameters
    ----------
    node : promql_parser.BinaryExpr
    vector : Vector
    scalar : float
    scalar_left : bool
        The number stands on the left.
    """
    operator = operator_of(node)
    found = arithmetic(operator, *((scalar, vector.values) if scalar_left else (vector.values, scalar)))
    if not is_comparison(operator):
        return _renamed(vector, found, vector.present, node)
    if node.modifier is not None and node.modifier.return_bool:
        return _renamed(vector, found.astype(np.float64), vector.present, node)
    return Vector(vector.labels, vector.values, vector.present & found)


def combine(node: promql.BinaryExpr, left: Vector, right: Vector, length: int) -> Vector:
    """Apply an arithmetic operator or a comparison between two vectors, series by series that match.

    Parameters
    ----------
    node : promql_parser.BinaryExpr
    left, right : Vector
    length : int
        Number of times.

    Raises
    ------
    ContractError
        If at one time several series match where one may, or the result has a label set twice.
    """
    operator, modifier = operator_of(node), node.modifier
    card = promql.VectorMatchCardinality.OneToOne if modifier is None else modifier.card
    keeps_bool = modifier is not None and modifier.return_bool
    swapped = card == promql.VectorMatchCardinality.OneToMany
    many, one = (right, left) if swapped else (left, right)
    signature = signature_of(node)
    by_group: dict[Labels, list[int]] = {}
    for k, labels in enumerate(one.labels):
        by_group.setdefault(signature(labels), []).append(k)
    anything = many.present.any(axis=0)
    for group, places in by_group.items():
        if len(places) > 1 and ((one.present[places].sum(axis=0) > 1) & anything).any():
            raise _ambiguous(node, group, "left" if swapped else "right")
    results: list[tuple[Labels, np.ndarray, np.ndarray]] = []
    for i, labels in enumerate(many.labels):
        for j in by_group.get(signature(labels), ()):
            both = many.present[i] & one.present[j]
            if not both.any():
                continue
            a, b = (one.values[j], many.values[i]) if swapped else (many.values[i], one.values[j])
            found = arithmetic(operator, a, b)
            values = a if is_comparison(operator) and not keeps_bool else found.astype(np.float64)
            there = both & found if is_comparison(operator) and not keeps_bool else both
            name_goes = keeps_bool or not is_comparison(operator)
            results.append((matched_labels(node, labels, one.labels[j], card, name_goes), values, there))
    return merged(*(zip(*results, strict=True) if results else ((), (), ())), length, written(node))


def set_operation(node: promql.BinaryExpr, left: Vector, right: Vector, length: int) -> Vector:
    """Intersect, join or subtract two vectors: `and`, `or`, `unless`.

    Parameters
    ----------
    node : promql_parser.BinaryExpr
    left, right : Vector
    length : int
        Number of times.
    """
    operator, signature = operator_of(node), signature_of(node)
    here, there = (left, right) if operator != "or" else (right, left)
    seen: dict[Labels, np.ndarray] = {}  # group -> where the other side has a series of it
    for labels, present in zip(there.labels, there.present, strict=True):
        group = signature(labels)
        seen[group] = seen[group] | present if group in seen else present
    nowhere = np.zeros(length, dtype=bool)
    matched = [seen.get(signature(labels), nowhere) for labels in here.labels]
    rows = np.vstack(matched) if matched else np.empty((0, length), dtype=bool)
    if operator == "and":
        return Vector(here.labels, here.values, here.present & rows)
    if operator == "unless":
        return Vector(here.labels, here.values, here.present & ~rows)
    return merged(
        [*left.labels, *right.labels],
        [*left.values, *right.values],
        [*left.present, *(right.present & ~rows)],
        length,
        written(node),
    )


def aggregate(node: promql.AggregateExpr, vector: Vector, argument: float | None, length: int) -> Vector:
    """Aggregate the series of a vector that have the same labels of `by`, or the same ones but those of `without`.

    Parameters
    ----------
    node : promql_parser.AggregateExpr
    vector : Vector
    argument : float or None
        The quantile.
    length : int
        Number of times.
    """
    groups: dict[Labels, list[int]] = {}
    for k, labels in enumerate(vector.labels):
        groups.setdefault(group_of(node, labels), []).append(k)
    values, present = np.empty((len(groups), length)), np.empty((len(groups), length), dtype=bool)
    with np.errstate(all="ignore"):
        for row, places in enumerate(groups.values()):
            there = vector.present[places]
            present[row] = there.any(axis=0)
            values[row] = aggregated(operator_of(node), vector.values[places], there, argument)
    return Vector(list(groups), values, present)


def aggregated(operator: str, values: np.ndarray, there: np.ndarray, argument: float | None) -> np.ndarray:
    """Aggregate the series of one group; values and there have shape (series, times), the result (times,)."""
    count = there.sum(axis=0)
    if operator == "count":
        return count.astype(np.float64)
    if operator in ("max", "min"):
        away = -np.inf if operator == "max" else np.inf
        real = there & ~np.isnan(values)
        best = getattr(np.where(real, values, away), operator)(axis=0)
        return np.where(real.any(axis=0), best, np.nan)
    if operator == "quantile":
        return _quantile(values, there, count, argument)
    total = np.where(there, values, 0.0).sum(axis=0)
    if operator == "sum":
        return total
    mean = total / count
    # Series that are all equal have that mean, to the last bit, and no deviation.
    first = np.take_along_axis(values, there.argmax(axis=0)[None], axis=0)[0]
    mean = np.where((~there | (values == first)).all(axis=0), first, mean)
    if operator == "avg":
        return mean
    return np.sqrt(np.where(there, (values - mean) ** 2, 0.0).sum(axis=0) / count)


def _quantile(values: np.ndarray, there: np.ndarray, count: np.ndarray, q: float) -> np.ndarray:
    if not 0 <= q <= 1:
        return np.full(values.shape[1], np.nan if np.isnan(q) else -np.inf if q < 0 else np.inf)
    # NaN counts as less than anything; whoever is not there comes last.
    order = np.lexsort((np.where(np.isnan(values), -np.inf, values), ~np.isnan(values), ~there), axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    rank = q * (count - 1.0)
    lower = np.maximum(np.floor(rank), 0).astype(np.int64)
    upper = np.maximum(np.minimum(lower + 1, count - 1), 0)
    weight = rank - np.floor(rank)
    low, high = (np.take_along_axis(ordered, place[None], axis=0)[0] for place in (lower, upper))
    return low * (1 - weight) + high * weight


def _renamed(vector: Vector, values: np.ndarray, present: np.ndarray, node: promql.Expr) -> Vector:
    labels = [nameless(one) for one in vector.labels]
    return merged(labels, values, present, values.shape[1], written(node))


def signature_of(node: promql.BinaryExpr) -> Callable[[Labels], Labels]:
    """Give what tells the labels by which an operator matches series of both its sides."""
    matching = None if node.modifier is None else node.modifier.matching
    if matching is None:
        return nameless
    names = frozenset(matching.labels)
    if matching.type == promql.LabelModifierType.Include:
        return lambda labels: kept(labels, names)
    return lambda labels: dropped(labels, names)


def group_of(node: promql.AggregateExpr, labels: Labels) -> Labels:
    """Give the labels of the group into which an aggregation puts a series."""
    if node.modifier is None:
        return ()
    if node.modifier.type == promql.AggModifierType.By:
        return kept(labels, node.modifier.labels)
    return dropped(labels, node.modifier.labels)


def matched_labels(
    node: promql.BinaryExpr, many: Labels, one: Labels, card: promql.VectorMatchCardinality, name_goes: bool
) -> Labels:
    """Labels of a result: the side's that may have several, less what one to one matching ignores."""
    labels = dict(nameless(many) if name_goes else many)
    modifier = node.modifier
    if card == promql.VectorMatchCardinality.OneToOne:
        if modifier is not None and modifier.matching is not None:
            names = set(modifier.matching.labels)
            only = modifier.matching.type == promql.LabelModifierType.Include
            labels = {name: text for name, text in labels.items() if (name in names) == only}
    else:
        own = dict(one)
        for name in modifier.group_labels or ():
            labels.pop(name, None)
            if own.get(name):
                labels[name] = own[name]
    return tuple(sorted(labels.items()))


def _ambiguous(node: promql.BinaryExpr, group: Labels, side: str) -> ContractError:
    told = ", ".join(f'{name}="{text}"' for name, text in group) or "no label"
    return ContractError(
        expected=f"one series on the {side} of {operator_of(node)!r} for each that it meets",
        got=f"several with {{{told}}} in {written(node)!r}",
        remedy="match on more labels, aggregate that side, or say group_left() or group_right()",
    )
