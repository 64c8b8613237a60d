"""Left matrix profile: how far the shape of the last rows lies from the nearest shape that came before."""

from __future__ import annotations

__all__ = ["LeftProfile"]

import itertools

import numba
import numpy as np

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.settings import above_zero, whole
from stability.detection.subspace import standard
from stability.schema import ContractError


class LeftProfile(Detector):
    r"""Score the last `window` values by their distance from the nearest earlier stretch of the same length.

    .. math:: s_t = \min_{j \le t - w} \sqrt{\tfrac{1}{2w} \sum_{i < w} (x_{t-i} - x_{j-i})^2} \,/\, \sigma

    with the deviation of the history as the unit, so that white noise scores a little below 1. Only what came before
    is looked at, which makes it the *left* profile, and amplitudes are kept: a shape twice as high is another one.

    Parameters
    ----------
    window : int
        w, values.
    memory : int
        Values of the past that are compared.
    floor : float
        The smallest deviation, as a share of the history's range.

    Notes
    -----
    The distance to each lag is a running sum, which is made anew every `window` values, so that rounding cannot gather
    and a huge value leaves no trace when it has left the window. Work a row is proportional to `memory`. Missing
    values are left out, as if they had been no rows.

    References
    ----------
    Yeh et al. (2016), doi 10.1109/ICDM.2016.0179 (matrix profile); Zhu, Imamura, Nikovski and Keogh (2019),
    doi 10.1007/s10115-017-1138-x (left profile); the distance without normalisation: Akbarinia and Cloez (2019),
    arXiv 1901.05708.
    """

    name = "left_profile"

    def __init__(self, *, window: int = 32, memory: int = 2000, floor: float = 0.01):
        whole(2, window=window, memory=memory)
        above_zero(floor=floor)
        if memory < 2 * window:
            expected = "a window of 2 or more, and a memory of at least two windows"
            raise ContractError(column="window", expected=expected, got=f"{window} with memory {memory}")
        self.window, self.memory, self.floor = window, memory, floor

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        spans = itertools.pairwise(rows.starts)
        return {"scale": np.array([standard(rows.values[a:b], self.floor)[1] for a, b in spans])}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {
            "past": np.zeros((entities, metrics, self.memory + self.window + 1)),
            "sums": np.zeros((entities, metrics, self.memory)),
            "count": np.zeros((entities, metrics), dtype="int64"),
        }

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        scores = np.full(rows.values.shape, np.nan)
        _walk(rows.values, rows.starts, learnt["scale"], self.window, *state.values(), scores)
        return scores


@numba.njit(cache=True)
def _walk(values, starts, scale, window, past, sums, count, scores):
    size, lags = past.shape[2], sums.shape[2]
    for e in range(starts.size - 1):
        for m in range(values.shape[1]):
            held, sum_ = past[e, m], sums[e, m]
            n = count[e, m]
            for i in range(starts[e], starts[e + 1]):
                x = values[i, m]
                if np.isnan(x):
                    continue
                place = n % size
                held[place] = x
                reach = min(lags, n)  # the largest lag at which there is a value
                least = np.inf
                anew = n % window == 0
                for lag in range(window, reach + 1):
                    j = place - lag
                    if j < 0:
                        j += size
                    if anew:
                        total = 0.0
                        for k in range(min(window, n - lag + 1)):
                            a, b = place - k, j - k
                            if a < 0:
                                a += size
                            if b < 0:
                                b += size
                            total += (held[a] - held[b]) ** 2
                    else:
                        total = sum_[lag - 1] + (x - held[j]) ** 2
                        if n - lag >= window:
                            a, b = place - window, j - window
                            if a < 0:
                                a += size
                            if b < 0:
                                b += size
                            total -= (held[a] - held[b]) ** 2
                    sum_[lag - 1] = total
                    if n - lag >= window - 1 and total < least:
                        least = total
                if least < np.inf:
                    scores[i, m] = np.sqrt(max(least, 0.0) / (2 * window)) / scale[e, m]
                n += 1
            count[e, m] = n
