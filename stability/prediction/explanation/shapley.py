r"""Shapley values of decision trees, exactly: what each feature adds to a prediction, averaged over all orders.

What a tree says when only some features are known is the mean of its leaves, with the branches of unknown features
weighed by how many training rows took them (path-dependent, as in TreeSHAP). For one leaf with value :math:`v` that is
a product over the features on its path, and with each feature known with chance :math:`t`

.. math:: v \prod_j (t\, o_j + (1 - t)\, z_j), \qquad
          \phi_i = \int_0^1 v\, (o_i - z_i) \prod_{j \ne i} (t\, o_j + (1 - t)\, z_j)\, dt

where :math:`o_j` is 1 if the row's own value leads to the leaf, else 0, and :math:`z_j` the share of rows that go
there. The integrand is a polynomial, so a Gauss-Legendre sum with as many points as half the features on the longest
path is no approximation. Sums over all leaves below a branch are shared, so that a row costs leaves x points; and all
factors are above 0, so that nothing cancels.
"""

from __future__ import annotations

__all__ = ["Trees", "shapley_values", "trees_of"]

import json
from collections.abc import Iterator
from functools import singledispatch
from typing import NamedTuple

import numba
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

LEAST = 1e-12  # share of rows below which a branch counts as taken by so many: no factor is 0


class Trees(NamedTuple):
    """Trees one after the other, each with its root first and parents before children.

    Parameters
    ----------
    starts : array of int, shape (trees + 1,)
        First node of each tree.
    parent, left, right, feature : arrays of int, shape (nodes,)
        Places from the tree's first node on; -1 where there is none.
    threshold : array of float64, shape (nodes,)
        Values up to it go left.
    missing_left : array of bool, shape (nodes,)
    share : array of float64, shape (nodes,)
        Of the parent's training rows.
    above : array of int, shape (nodes,)
        The nearest node upwards whose branch was chosen by the same feature as this one's; -1 without.
    value : array of float64, shape (nodes,)
        Of leaves; 0 elsewhere.
    base : float
        What the trees say of a row of which nothing is known.
    longest : int
        Distinct features on a path, at most.
    single : bool
        Whether a row's values are rounded to float32 before they are compared.
    """

    starts: np.ndarray
    parent: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    share: np.ndarray
    above: np.ndarray
    value: np.ndarray
    base: float
    longest: int
    single: bool


def shapley_values(trees: Trees, values: np.ndarray) -> np.ndarray:
    """Split what the trees say of each row into what each feature adds.

    Parameters
    ----------
    trees : Trees
    values : array of float64, shape (n, features)
        NaN where missing.

    Returns
    -------
    array of float64, shape (n, features)
        Each row's sum and `trees.base` make what the trees say of it.

    References
    ----------
    Lundberg et al. (2020), doi 10.1038/s42256-019-0138-9 (what is computed); Owen (1972), doi 10.1287/mnsc.18.5.64
    (the integral); Yu et al. (2022), arXiv 2209.08192 (sums shared between leaves).
    """
    values = np.ascontiguousarray(values.astype("float32") if trees.single else values, dtype="float64")
    points, weights = np.polynomial.legendre.leggauss(max((trees.longest + 1) // 2, 1))
    return _shapley(values, trees[:-3], (points + 1) / 2, weights / 2)


@numba.njit(parallel=True, cache=True)
def _shapley(values, trees, points, weights):
    starts, parent, left, _, feature, threshold, missing_left, share, above, value = trees
    out = np.zeros(values.shape)
    most, size = np.max(np.diff(starts)), len(points)
    for row in numba.prange(len(values)):
        x = values[row]
        follows, left_out = np.empty(most), np.empty(most)  # 1 or 0, and z, of the feature above a node
        factor, below = np.empty((most, size)), np.empty((most, size))
        for k in range(len(starts) - 1):
            a, nodes = starts[k], starts[k + 1] - starts[k]
            for n in range(nodes):
                p = parent[a + n]
                if p < 0:
                    for q in range(size):
                        below[n, q] = 1.0
                    continue
                got = x[feature[a + p]]
                goes_left = missing_left[a + p] if np.isnan(got) else got <= threshold[a + p]
                own = 1.0 if (left[a + p] == n) == goes_left else 0.0
                up = above[a + n]
                follows[n] = own * follows[up] if up >= 0 else own
                left_out[n] = share[a + n] * left_out[up] if up >= 0 else share[a + n]
                for q in range(size):
                    factor[n, q] = points[q] * follows[n] + (1 - points[q]) * left_out[n]
                    below[n, q] = below[p, q] * factor[n, q]
                    if up >= 0:
                        below[n, q] /= factor[up, q]
            for n in range(nodes):  # from products along the path to sums over the leaves below
                for q in range(size):
                    below[n, q] *= value[a + n]
            for n in range(nodes - 1, 0, -1):
                p, up = parent[a + n], above[a + n]
                total = 0.0
                for q in range(size):
                    gain = (follows[n] - left_out[n]) / factor[n, q]
                    if up >= 0:
                        gain -= (follows[up] - left_out[up]) / factor[up, q]
                    total += weights[q] * below[n, q] * gain
                    below[p, q] += below[n, q]
                out[row, feature[a + p]] += total
    return out


# ---- trees of models -------------------------------------------------------------------------------------------------
class _Tree(NamedTuple):
    """One tree as its library keeps it; `left` is -1 at leaves, `weight` counts training rows."""

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    weight: np.ndarray
    value: np.ndarray


@singledispatch
def trees_of(model, pinned: tuple[int, float] | None = None) -> Trees:
    """Read the trees of a model: a forest or boosted trees of scikit-learn, or a booster of XGBoost.

    Parameters
    ----------
    model : RandomForestClassifier, HistGradientBoostingClassifier or xgboost.Booster
    pinned : (int, float), optional
        Place and value of a feature that is no unknown: its splits are taken as this value takes them.

    Returns
    -------
    Trees
        Which add up to a probability (forest) or to log odds (boosted trees).
    """
    return _of_booster(model, pinned)  # XGBoost is not imported for those who have none


@trees_of.register
def _(model: RandomForestClassifier, pinned=None) -> Trees:
    def read() -> Iterator[_Tree]:
        for one in model.estimators_:
            own = one.tree_
            value = own.value[:, 0, 1] / own.value[:, 0].sum(axis=1) / len(model.estimators_)
            yield _Tree(own.children_left, own.children_right, own.feature, own.threshold,
                        own.missing_go_to_left.astype(bool), own.weighted_n_node_samples, value)  # fmt: skip

    return _joined(read(), 0.0, pinned, single=True)


@trees_of.register
def _(model: HistGradientBoostingClassifier, pinned=None) -> Trees:
    def read() -> Iterator[_Tree]:
        for (one,) in model._predictors:
            own, leaf = one.nodes, one.nodes["is_leaf"].astype(bool)
            left, right = (np.where(leaf, -1, own[side].astype("int64")) for side in ("left", "right"))
            yield _Tree(left, right, own["feature_idx"], own["num_threshold"],
                        own["missing_go_to_left"].astype(bool), own["count"], own["value"])  # fmt: skip

    return _joined(read(), float(np.ravel(model._baseline_prediction)[0]), pinned, single=False)


def _of_booster(booster, pinned: tuple[int, float] | None) -> Trees:
    learner = json.loads(booster.save_raw("json"))["learner"]
    (start,) = np.atleast_1d(json.loads(learner["learner_model_param"]["base_score"]))

    def read() -> Iterator[_Tree]:
        for own in learner["gradient_booster"]["model"]["trees"]:
            left, limit = np.array(own["left_children"]), np.array(own["split_conditions"], dtype="float32")
            below = np.nextafter(limit, np.float32(-np.inf))  # its branch is "less than", in float32
            yield _Tree(left, np.array(own["right_children"]), np.array(own["split_indices"]), below.astype("float64"),
                        np.array(own["default_left"], dtype=bool), np.array(own["sum_hessian"]),
                        limit.astype("float64"))  # fmt: skip

    return _joined(read(), float(np.log(start / (1 - start))), pinned, single=True)


def _joined(read: Iterator[_Tree], base: float, pinned: tuple[int, float] | None, *, single: bool) -> Trees:
    parts, longest = [], 0
    for one in read:
        rows, own, distinct = _walk(one, pinned)
        parts.append(rows)
        base, longest = base + own, max(longest, distinct)
    starts = np.cumsum([0, *(len(rows[0]) for rows in parts)])
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Trees(starts, *columns, base, longest, single)


def _walk(tree: _Tree, pinned: tuple[int, float] | None) -> tuple[list[np.ndarray], float, int]:
    """Nodes of a tree in their order, parents first; what it says of an unknown row; distinct features on a path."""
    left, right, feature, threshold, missing_left, weight, value = (column.tolist() for column in tree)
    rows, mean, longest = [], 0.0, 0
    # node of the library, its parent here, side, share of the parent, share of all, last branch of each feature
    stack = [(0, -1, 0, 1.0, 1.0, {})]
    while stack:
        node, parent, side, share, of_all, last = stack.pop()
        while pinned and left[node] >= 0 and feature[node] == pinned[0]:
            node = left[node] if pinned[1] <= threshold[node] else right[node]
        here, up = len(rows), -1
        if parent >= 0:
            rows[parent][1 + side], by = here, rows[parent][3]
            up, last = last.get(by, -1), {**last, by: here}
        leaf = left[node] < 0
        rows.append([parent, -1, -1, -1 if leaf else feature[node], threshold[node], missing_left[node], share, up,
                     value[node] if leaf else 0.0])  # fmt: skip
        if leaf:
            mean, longest = mean + of_all * value[node], max(longest, len(last))
            continue
        both = [max(weight[child] / weight[node], LEAST) for child in (left[node], right[node])]
        for k, child in enumerate((left[node], right[node])):
            part = both[k] / sum(both)
            stack.append((child, here, k, part, of_all * part, last))
    kinds = ("int64", "int64", "int64", "int64", "float64", "bool", "float64", "int64", "float64")
    return (
        [np.array(column, dtype=kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)],
        mean,
        longest,
    )
