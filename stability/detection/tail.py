"""Tails of scores: how rare what was hardly seen is."""

from __future__ import annotations

__all__ = ["Tail", "fit_tail"]

import math
from typing import NamedTuple

import numpy as np

from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError


class Tail(NamedTuple):
    """A generalised Pareto tail above a level: P(excess > y) = (1 + shape y / scale)^(-1 / shape)."""

    shape: float
    scale: float

    def exceeded_with(self, probability: float) -> float:
        """Excess over the level that is exceeded with this probability, in the score's unit."""
        if abs(self.shape) < 1e-9:  # the limit: an exponential tail
            return -self.scale * math.log(probability)
        return self.scale / self.shape * (probability**-self.shape - 1)


def fit_tail(excesses: np.ndarray) -> Tail:
    """Fit a generalised Pareto tail to excesses over a level, in closed form.

    Parameters
    ----------
    excesses : array of float64, shape (n,)
        Above 0, in the score's unit.

    Returns
    -------
    Tail

    Raises
    ------
    NotEnoughEvidence
        Without any excess.
    ContractError
        For an excess that is not above 0.

    References
    ----------
    Zhang and Stephens (2009), doi 10.1198/tech.2009.08017: the likelihood averaged over a grid, which always answers
    and needs no iteration (maximum likelihood, as in Siffert et al., may have no maximum).

    Examples
    --------
    >>> fit_tail(np.random.default_rng(0).exponential(2.0, size=5_000)).shape < 0.05
    True
    """
    x = np.sort(np.asarray(excesses, dtype="float64"))
    if not len(x):
        raise NotEnoughEvidence("A tail needs excesses over its level; there was none.")
    if not 0 < x[0] <= x[-1] < np.inf:
        said = "lowest and highest are " + " and ".join(f"{end:g}" for end in (x[0], x[-1]))
        raise ContractError(column="excesses", expected="finite numbers above 0", got=said, remedy="peaks - level")
    points = 20 + math.isqrt(len(x))
    quartile = x[max(round(len(x) / 4) - 1, 0)]
    grid = 1 / x[-1] + (1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (3 * quartile)
    slopes = -np.log1p(-np.outer(grid, x)).mean(axis=1)
    likelihood = len(x) * (np.log(grid / slopes) + slopes - 1)
    weights = np.exp(likelihood - likelihood.max())
    theta = float(np.average(grid, weights=weights))
    shape = float(np.log1p(-theta * x).mean())
    return Tail(shape, -shape / theta)
