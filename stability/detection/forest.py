"""Isolation forest: rows that few random cuts set apart."""

from __future__ import annotations

__all__ = ["Forest"]

import itertools

import numba
import numpy as np
from sklearn.ensemble import IsolationForest

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.settings import above_zero, whole
from stability.detection.subspace import standard
from stability.schema import ContractError

KEYS = ("roots", "feature", "threshold", "left", "right", "expected", "usual")


class Forest(Detector):
    r"""Score a row by how few random cuts isolate it: :math:`2^{-E[h(x)] / c(\psi)}`.

    Each entity's values become z by its own history, cut at `clip`, and all entities share one forest, so that it knows
    what is usual in the fleet. The trees are grown by scikit-learn and then kept as plain arrays, of which a compiled
    loop walks. A metric's part of the score is what the cuts along it took from the expected length of the path.

    Parameters
    ----------
    trees : int
        How many.
    rows : int
        Rows that each tree is grown on.
    clip : float
        Largest |z|.
    floor : float
        The smallest deviation, as a share of the history's range.
    seed : int
        Of the cuts.

    Notes
    -----
    A missing value counts as the mean. A row without any value is not judged. What lies outside of history falls into
    the leaf of its extremes, and a metric that stood still in history is never cut: the forest is blind to how far away
    a value is, and to what began to move.

    References
    ----------
    Liu, Ting and Zhou (2008), doi 10.1109/ICDM.2008.17.
    """

    name = "isolation_forest"
    of_the_fleet = True

    def __init__(self, *, trees: int = 100, rows: int = 256, clip: float = 20.0, floor: float = 0.01, seed: int = 0):
        whole(trees=trees, rows=rows)
        whole(0, seed=seed)
        above_zero(clip=clip, floor=floor)
        self.trees, self.rows, self.clip, self.floor, self.seed = trees, rows, clip, floor, seed

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        shape = (len(rows.entities), rows.values.shape[1])
        mean, scale = np.zeros(shape), np.ones(shape)
        for e, (a, b) in enumerate(itertools.pairwise(rows.starts)):
            mean[e], scale[e] = standard(rows.values[a:b], self.floor)
        z = self._z(rows, {"mean": mean, "scale": scale})
        z = z[~np.isnan(rows.values).all(axis=1)]
        if not len(z):
            raise ContractError(file="history", expected="a row with a value", got="none")
        forest = IsolationForest(
            n_estimators=self.trees, max_samples=min(self.rows, len(z)), random_state=self.seed
        ).fit(z)
        self.common_ = _flat(forest)
        return {"mean": mean, "scale": scale}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        missing = np.isnan(rows.values)
        parts = _parts(self._z(rows, learnt), missing, *(self.common_[key] for key in KEYS))
        parts[missing] = np.nan
        return parts

    def _z(self, rows: Rows, learnt) -> np.ndarray:
        mean, scale = (np.repeat(learnt[key], np.diff(rows.starts), axis=0) for key in ("mean", "scale"))
        return np.nan_to_num(np.clip((rows.values - mean) / scale, -self.clip, self.clip)).astype("float32")

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(parts).all(axis=1), np.nan, np.nansum(parts, axis=1))


def _flat(forest: IsolationForest) -> dict[str, np.ndarray]:
    """The trees of a forest behind each other, as arrays over their nodes."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])
    size = np.concatenate([tree.n_node_samples for tree in trees])
    return {
        "roots": roots,
        "feature": np.concatenate([tree.feature for tree in trees]),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "left": np.concatenate([tree.children_left + root for tree, root in zip(trees, roots[:-1], strict=True)]),
        "right": np.concatenate([tree.children_right + root for tree, root in zip(trees, roots[:-1], strict=True)]),
        "expected": path_length(size),
        "usual": path_length(np.array([forest.max_samples_])),
    }


def path_length(size: np.ndarray) -> np.ndarray:
    """Mean length of the path to a leaf in a random binary tree of so many rows: c(n) of Liu et al., equation 1.

    Examples
    --------
    >>> path_length(np.array([1, 2, 256])).round(2).tolist()
    [0.0, 1.0, 10.24]
    """
    size = np.asarray(size, dtype="float64")
    more = np.maximum(size, 3.0)
    long = 2 * (np.log(more - 1) + np.euler_gamma) - 2 * (more - 1) / more
    return np.where(size > 2, long, np.where(size == 2, 1.0, 0.0))


@numba.njit(cache=True)
def _parts(z, missing, roots, feature, threshold, left, right, expected, usual):
    """What each metric adds to each row's score."""
    parts = np.zeros(z.shape)
    trees = roots.size - 1
    for i in range(z.shape[0]):
        length = 0.0
        for t in range(trees):
            node = roots[t]
            depth = 0.0
            while feature[node] >= 0:
                m = feature[node]
                child = left[node] if z[i, m] <= threshold[node] else right[node]
                taken = expected[node] - expected[child] - 1.0  # of the path that was still to be expected
                if taken > 0:
                    parts[i, m] += taken
                depth += 1.0
                node = child
            length += depth + expected[node]
        score = 2.0 ** (-length / trees / usual[0]) if usual[0] > 0 else 0.5
        total, there = 0.0, 0
        for m in range(z.shape[1]):
            if missing[i, m]:
                parts[i, m] = 0.0
            else:
                total += parts[i, m]
                there += 1
        for m in range(z.shape[1]):
            if not missing[i, m]:
                parts[i, m] = score * parts[i, m] / total if total > 0 else score / there
    return parts
