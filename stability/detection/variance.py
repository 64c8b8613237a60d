"""Variance analysis: whether the last values spread otherwise than those before them."""

from __future__ import annotations

__all__ = ["VarianceTest"]

import numba
import numpy as np
from scipy import stats

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.settings import whole
from stability.schema import ContractError

TESTS = ("f", "levene")
MOST = 300.0  # largest score: probabilities below 1e-300 are not told apart


class VarianceTest(Detector):
    r"""Score the last `window` values by the evidence that their variance is another one than that of those before.

    The score is :math:`-\log_{10} p` of a test of equal variances between the last `window` values and the
    `reference` values before them.

    ``f``: the ratio of the two variances against Fisher's F, two-sided. Exact for independent Gaussian values,
    and easily misled by others.
    ``levene``: analysis of variance of the distances from each sample's mean, which heavy tails mislead much less.

    Parameters
    ----------
    test : {"f", "levene"}
        Which.
    window, reference : int
        Values of the two samples.

    Notes
    -----
    Values of a series depend on each other, so p is no probability; the threshold is chosen from history, as for any
    other score. Where both samples stand still the score is 0; where only one does, as far as numbers go.

    References
    ----------
    Snedecor and Cochran (1989), Statistical Methods, section 6.12 (F); Levene (1960), Robust tests for equality of
    variances, in: Contributions to Probability and Statistics.
    """

    def __init__(self, *, test: str = "levene", window: int = 30, reference: int = 300):
        if test not in TESTS:
            raise ContractError(column="test", expected="'f' or 'levene'", got=repr(test))
        whole(window=window, reference=reference)
        if not 3 <= window <= reference:
            raise ContractError(column="window", expected="from 3 up to reference", got=f"{window} with {reference}")
        self.test, self.window, self.reference = test, window, reference

    @property
    def name(self) -> str:
        """Its column in `scores`."""
        return f"variance_{self.test}"

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {
            "past": np.zeros((entities, metrics, self.window + self.reference)),
            "count": np.zeros((entities, metrics), dtype="int64"),
        }

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        statistic = _statistics(rows.values, rows.starts, self.window, self.test == "levene", *state.values())
        a, b = self.window, self.reference
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.test == "levene":
                p = stats.f.sf(statistic, 1, a + b - 2)
            else:
                p = 2 * np.minimum(stats.f.sf(statistic, a - 1, b - 1), stats.f.cdf(statistic, a - 1, b - 1))
            p = np.where(statistic < 0, 1.0, np.minimum(p, 1.0))
            return np.where(np.isnan(statistic), np.nan, np.clip(-np.log10(p), 0.0, MOST))


@numba.njit(cache=True)
def _statistics(values, starts, window, levene, past, count):
    """The test's statistic at each value, NaN before both samples are full, -1 where both stand still."""
    found = np.full(values.shape, np.nan)
    size = past.shape[2]
    reference = size - window
    for e in range(starts.size - 1):
        for m in range(values.shape[1]):
            held = past[e, m]
            for i in range(starts[e], starts[e + 1]):
                x = values[i, m]
                if np.isnan(x):
                    continue
                n = count[e, m]
                held[n % size] = x
                count[e, m] = n + 1
                if n + 1 < size:
                    continue
                # Means from the newest value, so that a constant has no rounding.
                mean_new, mean_old = 0.0, 0.0
                for k in range(size):
                    gap = held[(n - k) % size] - x
                    if k < window:
                        mean_new += gap
                    else:
                        mean_old += gap
                mean_new, mean_old = mean_new / window, mean_old / reference
                new, old, new2, old2 = 0.0, 0.0, 0.0, 0.0  # sums of distances, and of their squares
                for k in range(size):
                    gap = held[(n - k) % size] - x
                    if k < window:
                        new += abs(gap - mean_new)
                        new2 += (gap - mean_new) ** 2
                    else:
                        old += abs(gap - mean_old)
                        old2 += (gap - mean_old) ** 2
                if not levene:
                    a, b = new2 / (window - 1), old2 / (reference - 1)
                    found[i, m] = a / b if b > 0 else (-1.0 if a == 0 else np.inf)
                    continue
                grand = (new + old) / size
                between = window * (new / window - grand) ** 2 + reference * (old / reference - grand) ** 2
                within = max(new2 - new * new / window, 0.0) + max(old2 - old * old / reference, 0.0)
                if within > 0:
                    found[i, m] = between * (size - 2) / within
                else:
                    found[i, m] = 0.0 if between == 0 else np.inf
    return found
