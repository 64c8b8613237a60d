"""PCA: a row is anomalous by what the principal components of the history cannot rebuild of it."""

from __future__ import annotations

__all__ = ["Pca"]

import itertools

import numba
import numpy as np

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.settings import above_zero, whole
from stability.schema import ContractError

NOTHING = 1e-9  # share of the variance below which a direction is rounding


class Pca(Detector):
    r"""Score a row by the length of what remains of it outside of the history's principal components.

    Values become z by mean and deviation of the history alone, cut at `clip`. How many components there are to be is
    left open: the mean over all of the numbers of components that explain between `explained[0]` and `explained[1]` of
    the variance is taken, so that a direction counts by the share of them that leave it out,

    .. math:: r = \sum_j \sqrt{w_j}\, v_j v_j^\top z, \quad
        w_j = \min(1, \max(0, (c_{j-1} - e_0) / (e_1 - e_0)))

    with the principal directions :math:`v_j` and the share :math:`c_{j-1}` that those before explain.
    The score is the mean of :math:`\lVert r \rVert` over the last `smooth` rows. Each entity has its own model. A
    metric's part of the score is its share of :math:`\lVert r \rVert^2`. Where one metric alone moved in history,
    nothing of it can be rebuilt, and r is z.

    Parameters
    ----------
    explained : (float, float)
        Shares of the variance between which the number of components is not chosen.
    smooth : int
        Rows over which the score is averaged, the row itself being the last; 1 averages nothing.
    clip : float
        Largest |z|.
    floor : float
        The smallest deviation, as a share of the history's range.

    Notes
    -----
    A missing value counts as the mean, so that it neither adds to the score nor hides the rest; with `smooth`, what its
    metric added in the rows before is left out while it is missing. A row without any value is not judged.

    References
    ----------
    Jackson and Mudholkar (1979), doi 10.1080/00401706.1979.10489779 (residuals of principal components, Q); Shyu et
    al. (2003) for the use on anomalies.
    """

    name = "pca"

    def __init__(
        self,
        *,
        explained: tuple[float, float] = (0.25, 1.0),
        smooth: int = 1,
        clip: float = 20.0,
        floor: float = 0.01,
    ):
        above_zero(clip=clip, floor=floor)
        whole(smooth=smooth)
        if not isinstance(explained, list | tuple) or len(explained) != 2 or not 0 <= explained[0] < explained[1] <= 1:
            raise ContractError(
                column="explained", expected="two shares from 0 to 1, the lower first", got=str(explained)
            )
        self.explained, self.smooth, self.clip, self.floor = explained, smooth, clip, floor

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        shape = (len(rows.entities), rows.values.shape[1])
        mean, scale = np.zeros(shape), np.ones(shape)
        rebuilt = np.zeros((*shape, shape[1]))
        for e, (a, b) in enumerate(itertools.pairwise(rows.starts)):
            mean[e], scale[e] = standard(rows.values[a:b], self.floor)
            z = self._z(rows.values[a:b], mean[e], scale[e])
            variances, vectors = np.linalg.eigh(z.T @ z / max(len(z), 1))
            falling = np.argsort(-variances)
            share = np.cumsum(variances[falling]) / max(variances.sum(), np.finfo(float).tiny)
            low, high = self.explained
            before = np.append(0.0, share[:-1])
            left = np.clip((before - low) / (high - low), 0.0, 1.0)
            turned = vectors[:, falling]
            if (variances > NOTHING * variances.sum()).sum() > 1:  # one metric cannot be rebuilt from the others
                rebuilt[e] = np.eye(shape[1]) - (turned * np.sqrt(left)) @ turned.T
        return {"mean": mean, "scale": scale, "rebuilt": rebuilt}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {"lately": np.full((entities, self.smooth, metrics), np.nan), "count": np.zeros(entities, dtype="int64")}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        parts, missing = np.empty(rows.values.shape), np.isnan(rows.values)
        if (np.diff(rows.starts) == 1).all():  # live: a row each
            z = self._z(rows.values, learnt["mean"], learnt["scale"])
            parts[:] = z - np.einsum("emk,ek->em", learnt["rebuilt"], z)
        else:
            for e, (a, b) in enumerate(itertools.pairwise(rows.starts)):
                z = self._z(rows.values[a:b], learnt["mean"][e], learnt["scale"][e])
                parts[a:b] = z - z @ learnt["rebuilt"][e]
        parts = _shares(np.where(missing, 0.0, parts))
        parts[missing.all(axis=1)] = np.nan
        _smooth(parts, rows.starts, state["lately"], state["count"])
        parts[missing] = np.nan
        return parts

    def _z(self, values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.nan_to_num(np.clip((values - mean) / scale, -self.clip, self.clip))

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(parts).all(axis=1), np.nan, np.nansum(parts, axis=1))


def standard(values: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column; the deviation at least a share of the range, or of the level, or 1.

    Parameters
    ----------
    values : array of float64, shape (n, metrics)
        NaN where missing.
    floor : float
        The share.

    Returns
    -------
    mean, deviation : arrays of float64, shape (metrics,)
        0 and 1 where there is no value.
    """
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.where(there, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    reach = np.where(there, np.abs(values - mean), 0.0).max(axis=0, initial=0.0)
    reach = np.where(reach > 1e-9 * np.abs(mean), reach, np.abs(mean))
    return mean, np.maximum(deviation, floor * np.where(reach > 0, reach, 1 / floor))


def _shares(residual: np.ndarray) -> np.ndarray:
    """Length of each row's residual, as the sum of what its metrics add to it."""
    squares = residual**2
    length = np.sqrt(squares.sum(axis=1, keepdims=True))
    return squares / np.where(length > 0, length, 1.0)


@numba.njit(cache=True)
def _smooth(parts, starts, lately, count):
    """Means over the last rows, in place; rows that are not judged neither count nor get one."""
    for e in range(starts.size - 1):
        for i in range(starts[e], starts[e + 1]):
            if np.isnan(parts[i, 0]):
                continue
            lately[e, count[e] % lately.shape[1]] = parts[i]
            count[e] += 1
            held = min(count[e], lately.shape[1])
            for m in range(parts.shape[1]):
                total = 0.0
                for j in range(held):
                    total += lately[e, j, m]
                parts[i, m] = total / held
