"""Mean shift: a value is anomalous when it leaves the mean of its own past by more than k deviations."""

from __future__ import annotations

__all__ = ["VARIANTS", "MeanShift"]


import numba
import numpy as np
import pandas as pd

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.settings import above_zero, whole
from stability.schema import ContractError, nearest

VARIANTS = ("global", "windowed", "recursive")
ROUNDING = 1e-9  # a deviation below this share of the mean is what rounding leaves of a constant


class MeanShift(Detector):
    r"""Score each value by its distance from the mean of its past, in deviations of that past.

    .. math:: s_{t+1} = |x_{t+1} - \mu_t| / \sigma_t

    so that the threshold on the score is the k of "mean ± k sigma", and the seed method's
    :math:`d_t = |x_{t+1} - \mu_t| - k \sigma_t = (s_{t+1} - k) \sigma_t` is positive exactly when the score exceeds k.
    Every entity and metric has its own mean and deviation. All deviations are those of a population (divisor n).

    Parameters
    ----------
    variant : {"recursive", "windowed", "global"}
        Where mean and deviation come from.

        ``global``: from the history given to `fit`, and never again.
        ``windowed``: from the `window` rows before the one that is judged.
        ``recursive``: from all rows before it, older ones counting less. With forgetting factor :math:`\lambda`,
        :math:`n_t = \lambda n_{t-1} + 1`, :math:`g_t = 1 / n_t`, :math:`e_t = x_t - \mu_{t-1}`:
        :math:`\mu_t = \mu_{t-1} + g_t e_t` and
        :math:`\sigma_t^2 = (1 - g_t)(\sigma_{t-1}^2 + g_t e_t^2)`; from :math:`n = \mu = \sigma = 0` this is the
        exact weighted mean and variance. :math:`\lambda = 1` is Welford's recursion.
    window : int
        Rows of the past that ``windowed`` looks at.
    forgetting : float in (0, 1]
        :math:`\lambda` of ``recursive``; its memory is :math:`1 / (1 - \lambda)` rows, 100 by default.
    warmup : int
        Present values that a mean and deviation need before they may judge. The relative error of a Gaussian
        deviation from n values is about :math:`1 / \sqrt{2 n}`: 13 % at the default of 30.
    floor : float
        The smallest deviation, as a share of the history's: a sensor that rests for a while would otherwise make its
        next tick infinitely surprising. Where the history is constant it tells no scale, and the floor is this share
        of the level instead, or of one unit of the metric when the level is 0 too.

    Attributes
    ----------
    metrics_ : list of str
        Columns of the history.
    mean_, deviation_ : DataFrame of float64, (entities, metrics), in the metric's unit
        Of the history; NaN with fewer than `warmup` values.
    fitted_on_ : dict
        ``{"entities": [...], "until": ISO time}``: what shaped the detector.

    Notes
    -----
    Causal: the score of a row depends on `fit` and on earlier rows only. A panel whose rows of an entity all come
    after that entity's history goes on from where the history ended; otherwise the entity starts anew (and its first
    `warmup` rows are NaN), because the history would hold the future of some of the rows.
    Values are taken up to a magnitude of 1e150, where squares overflow.

    References
    ----------
    Welford (1962), doi 10.1080/00401706.1962.10490022; West (1979), doi 10.1145/359146.359153 (weights);
    Chan, Golub, LeVeque (1983), doi 10.1080/00031305.1983.10483115 (merging of two samples).

    Examples
    --------
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=6, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"queue_length": [1.0, 3.0, 1.0, 3.0, 8.0, 2.0]}, index=index)
    >>> detector = MeanShift(variant="global", warmup=4).fit(panel.iloc[:4])
    >>> detector.score(panel.iloc[4:]).tolist()
    [6.0, 0.0]
    """

    own = ("mean", "deviation")

    def __init__(
        self,
        *,
        variant: str = "recursive",
        window: int = 100,
        forgetting: float = 0.99,
        warmup: int = 30,
        floor: float = 0.01,
    ):
        if variant not in VARIANTS:
            raise ContractError(column="variant", expected="a variant", got=variant, remedy=nearest(variant, VARIANTS))
        whole(window=window, warmup=warmup)
        above_zero(forgetting=forgetting, floor=floor)
        if forgetting > 1:
            raise ContractError(column="forgetting", expected="a factor above 0 and at most 1", got=forgetting)
        if warmup < 2 or (variant == "windowed" and warmup > window):
            expected = "a whole number from 2 up, and not above window"
            raise ContractError(column="warmup", expected=expected, got=f"{warmup} with window {window}")
        self.variant, self.window, self.forgetting = variant, window, forgetting
        self.warmup, self.floor = warmup, floor

    @property
    def name(self) -> str:
        """Its column in `scores`."""
        return f"mean_shift_{self.variant}"

    @property
    def mean_(self) -> pd.DataFrame:
        """Means of the history."""
        return pd.DataFrame(self.learnt_["mean"], self.entities_, self.metrics_)

    @property
    def deviation_(self) -> pd.DataFrame:
        """Deviations of the history."""
        return pd.DataFrame(self.learnt_["deviation"], self.entities_, self.metrics_)

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        count, mean, deviation = _moments(rows.values, rows.starts)
        if not (count >= self.warmup).any():
            raise ContractError(
                file="history",
                expected=f"at least {self.warmup} values of one metric of one entity",
                got=f"at most {int(count.max(initial=0))}",
                remedy="give a longer history or a smaller warmup",
            )
        mean, deviation = (np.where(count >= self.warmup, part, np.nan) for part in (mean, deviation))
        deviation = np.where(deviation <= ROUNDING * np.abs(mean), 0.0, deviation)
        scale = np.where(deviation != 0, deviation, np.abs(mean))
        return {"mean": mean, "deviation": deviation, "smallest": self.floor * np.where(scale != 0, scale, 1.0)}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        if self.variant == "global":
            return {}
        if self.variant == "windowed":  # the last rows, oldest first
            return {"window": np.full((entities, self.window, metrics), np.nan)}
        return {"moments": np.zeros((entities, 4, metrics))}  # count of values, their weight, mean and variance

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        mean, deviation = self._expected(rows, learnt, state)
        with np.errstate(over="ignore"):
            return np.abs(rows.values - mean) / deviation

    def _expected(self, rows: Rows, learnt, state) -> tuple[np.ndarray, np.ndarray]:
        sizes = np.diff(rows.starts)
        if self.variant == "global":
            mean, deviation = (np.repeat(learnt[part], sizes, axis=0) for part in ("mean", "deviation"))
        elif self.variant == "windowed":
            mean, deviation = _walk_windowed(rows.values, rows.starts, state["window"], self.warmup)
        else:
            mean, deviation = _walk_recursive(rows.values, rows.starts, state["moments"], self.warmup, self.forgetting)
        return mean, np.maximum(deviation, np.repeat(learnt["smallest"], sizes, axis=0))

    def expected(self, panel: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Say what each value was expected to be, just before it came.

        Parameters
        ----------
        panel : DataFrame of float64, (entity, timestamp) x metrics
            As in `score`.

        Returns
        -------
        mean, deviation : DataFrames of float64, shaped like `panel`, in the metric's unit
            The row t + 1 holds mu and sigma of t (sigma never below the floor); NaN where unknown.
        """
        panel, rows, learnt, state = self._before(panel)
        places = [self.metrics_.index(name) for name in panel.columns]
        mean, deviation = (
            pd.DataFrame(part[:, places], panel.index, panel.columns) for part in self._expected(rows, learnt, state)
        )
        return mean, deviation

    def excess(self, panel: pd.DataFrame, k: float) -> pd.DataFrame:
        """Compute the seed method's d: by how much, in the metric's own unit, a value leaves mean ± k deviations.

        Parameters
        ----------
        panel : DataFrame of float64, (entity, timestamp) x metrics
            As in `score`.
        k : float
            The threshold, in deviations.

        Returns
        -------
        DataFrame of float64, shaped like `panel`, in the metric's unit
            The row t + 1 holds d of t: positive exactly where the metric's score exceeds `k`.
        """
        return (self.score_metrics(panel) - k) * self.expected(panel)[1]


def _moments(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and deviation of each entity's values; two passes, so that nothing cancels."""
    there, at = ~np.isnan(values), starts[:-1]
    count = np.add.reduceat(there, at, axis=0, dtype="int64")
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.add.reduceat(np.where(there, values, 0.0), at, axis=0) / count
        gaps = np.where(there, values - np.repeat(mean, np.diff(starts), axis=0), 0.0)
        return count, mean, np.sqrt(np.add.reduceat(gaps**2, at, axis=0) / count)


@numba.njit(cache=True)
def _walk_recursive(values, starts, state, warmup, forgetting):
    """Mean and deviation just before each row; `state` becomes that after the last row of each entity."""
    mean = np.full(values.shape, np.nan)
    deviation = np.full(values.shape, np.nan)
    for e in range(starts.size - 1):
        for i in range(starts[e], starts[e + 1]):
            for m in range(values.shape[1]):
                if state[e, 0, m] >= warmup:
                    mean[i, m] = state[e, 2, m]
                    deviation[i, m] = np.sqrt(state[e, 3, m])
                if np.isnan(values[i, m]):  # absence tells nothing and ages nothing
                    continue
                state[e, 0, m] += 1
                state[e, 1, m] = forgetting * state[e, 1, m] + 1
                gain = 1 / state[e, 1, m]
                error = values[i, m] - state[e, 2, m]
                state[e, 2, m] += gain * error
                state[e, 3, m] = (1 - gain) * (state[e, 3, m] + gain * error * error)
    return mean, deviation


@numba.njit(cache=True)
def _walk_windowed(values, starts, state, warmup):
    """As `_walk_recursive` for a sliding window: constant work a row, and nothing is ever subtracted.

    The rows are cut into blocks of the window's length. A window is then the end of one block and the beginning of the
    next: the ends are summed up backwards when a block is full, the beginning as it grows, and the two are merged.
    Running sums would keep the rounding of a huge value long after it has left the window.
    """
    mean = np.full(values.shape, np.nan)
    deviation = np.full(values.shape, np.nan)
    window = state.shape[1]
    after = np.empty_like(state[0])
    ends = np.empty((window, 3))
    for e in range(starts.size - 1):
        begin, size = starts[e], starts[e + 1] - starts[e]
        for m in range(values.shape[1]):
            head = (0.0, 0.0, 0.0)  # count, mean, sum of squared distances from the mean
            for i in range(size):
                if i % window == 0:
                    head = (0.0, 0.0, 0.0)
                    for j in range(window - 1, -1, -1):
                        x = state[e, j, m] if i == 0 else values[begin + i - window + j, m]
                        head = _merged(head, (0.0 if np.isnan(x) else 1.0, x, 0.0))
                        ends[j, 0], ends[j, 1], ends[j, 2] = head
                    head = (0.0, 0.0, 0.0)
                end = ends[i % window]
                both = _merged((end[0], end[1], end[2]), head)
                if both[0] >= warmup:
                    mean[begin + i, m] = both[1]
                    deviation[begin + i, m] = np.sqrt(both[2] / both[0])
                x = values[begin + i, m]
                head = _merged(head, (0.0 if np.isnan(x) else 1.0, x, 0.0))
            for j in range(window):
                row = size - window + j
                after[j, m] = values[begin + row, m] if row >= 0 else state[e, window + row, m]
        state[e] = after
    return mean, deviation


@numba.njit(cache=True)
def _merged(one, other):
    """Count, mean and sum of squares of two samples together (Chan, Golub, LeVeque 1983)."""
    if one[0] == 0:
        return other if other[0] > 0 else (0.0, 0.0, 0.0)
    if other[0] == 0:
        return one
    count = one[0] + other[0]
    gap = other[1] - one[1]
    return count, one[1] + gap * (other[0] / count), one[2] + other[2] + gap * gap * (one[0] * other[0] / count)
