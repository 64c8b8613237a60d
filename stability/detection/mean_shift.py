"""Mean shift: a value is anomalous when it leaves the mean of its own past by more than k deviations."""

from __future__ import annotations

__all__ = ["VARIANTS", "MeanShift"]

import numbers

import numba
import numpy as np
import pandas as pd

from stability.detection.manner import check_panel, fitted_on, runs
from stability.schema import ContractError, nearest, validate

VARIANTS = ("global", "windowed", "recursive")
ROUNDING = 1e-9  # a deviation below this share of the mean is what rounding leaves of a constant
LARGEST = np.finfo(
    "float64"
).max  # a score is never inf: tables refuse it, and a maximum over metrics would drown in it


class MeanShift:
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
        for name, value in {"window": window, "forgetting": forgetting, "warmup": warmup, "floor": floor}.items():
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                raise ContractError(column=name, expected="a number", got=value, remedy="leave it out for the default")
        if not 0 < forgetting <= 1:
            raise ContractError(column="forgetting", expected="a factor above 0 and at most 1", got=forgetting)
        if warmup < 2 or (variant == "windowed" and warmup > window):
            expected = "a whole number from 2 up, and not above window"
            raise ContractError(column="warmup", expected=expected, got=f"{warmup} with window {window}")
        if not floor > 0:
            raise ContractError(column="floor", expected="a share above 0", got=floor, remedy="keep the default, 0.01")
        self.variant, self.window, self.forgetting = variant, window, forgetting
        self.warmup, self.floor = warmup, floor

    def fit(self, history: pd.DataFrame) -> MeanShift:
        """Learn each entity's and metric's mean, deviation and, for the moving variants, where its history ended.

        Parameters
        ----------
        history : DataFrame of float64, (entity, timestamp) x metrics
            Telemetry from before the rows that are to be judged.

        Returns
        -------
        MeanShift
            Itself.

        Raises
        ------
        ContractError
            When `history` is no panel, has no rows, or not a single entity has `warmup` values of any metric.
        """
        history = validate(history, "telemetry")
        fitted = fitted_on(history)
        groups = history.groupby(level="entity", sort=False)
        count = groups.count()
        if not (count >= self.warmup).to_numpy().any():
            raise ContractError(
                file="history",
                expected=f"at least {self.warmup} values of one metric of one entity",
                got=f"at most {0 if count.empty else int(count.to_numpy().max(initial=0))}",
                remedy="give a longer history or a smaller warmup",
            )
        enough = count >= self.warmup
        self.metrics_ = list(history.columns)
        self.mean_ = groups.mean().where(enough)
        deviation = groups.std(ddof=0).where(enough)
        self.deviation_ = deviation.where(deviation.isna() | (deviation > ROUNDING * self.mean_.abs()), 0.0)
        scale = self.deviation_.where(self.deviation_ != 0, self.mean_.abs()).where(lambda s: s != 0, 1.0)
        self._smallest = self.floor * scale
        entities, starts = runs(history.index)
        last = history.index.get_level_values("timestamp")[starts[1:] - 1]
        self._last = pd.Series(last, index=entities)
        if self.variant != "global":
            start = self._empty_state(len(entities), len(self.metrics_))
            self._state = self._walk(_values(history), starts, start)[2]
        self.fitted_on_ = fitted
        return self

    def score(self, panel: pd.DataFrame) -> pd.Series:
        """Score each row by its most deviating metric.

        Parameters
        ----------
        panel : DataFrame of float64, (entity, timestamp) x metrics
            Telemetry with columns known to `fit`; a fitted column that is missing here counts as absent.

        Returns
        -------
        Series of float64 over the panel's index, in deviations
            Higher is more anomalous. NaN where no metric can be judged: the value is missing, fewer than `warmup`
            values lie before it, or (``global``) the entity has no history.

        Raises
        ------
        ContractError
            When `panel` is no panel or has a column that the history did not have, or `fit` was not called.
        """
        return self.score_metrics(panel).max(axis=1).rename(f"mean_shift_{self.variant}")

    def score_metrics(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Score each value; as `score`, with a column for each metric."""
        panel = check_panel(self, panel)
        mean, deviation = self._expected(panel)
        with np.errstate(over="ignore"):
            return ((panel - mean).abs() / deviation).clip(upper=LARGEST)

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
        return self._expected(check_panel(self, panel))

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

    def _expected(self, panel: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        columns = list(panel.columns)
        entities, starts = runs(panel.index)
        sizes = np.diff(starts)
        if self.variant == "global":
            mean, deviation = (
                np.repeat(part.reindex(index=entities, columns=columns).to_numpy(), sizes, axis=0)
                for part in (self.mean_, self.deviation_)
            )
        else:
            mean, deviation, _ = self._walk(_values(panel), starts, self._state_before(panel, entities, starts))
        # An entity without history has no scale of its own: the middle one of its fleet serves as the floor.
        smallest = self._smallest.reindex(entities).fillna(self._smallest.median())[columns]
        deviation = np.maximum(deviation, np.repeat(smallest.to_numpy(), sizes, axis=0))
        mean, deviation = (pd.DataFrame(part, panel.index, panel.columns) for part in (mean, deviation))
        return mean, deviation

    def _state_before(self, panel: pd.DataFrame, entities: pd.Index, starts: np.ndarray) -> np.ndarray:
        """The state at the end of the history for the entities that go on from there, an empty one for the others."""
        state = self._empty_state(len(entities), panel.shape[1])
        first = panel.index.get_level_values("timestamp")[starts[:-1]]
        goes_on = np.asarray(self._last.reindex(entities) < pd.Series(first, index=entities))
        places = [self.metrics_.index(name) for name in panel.columns]
        state[:, goes_on] = self._state[:, self._last.index.get_indexer(entities[goes_on])][:, :, places]
        return state

    def _empty_state(self, entities: int, metrics: int) -> np.ndarray:
        """The last `window` rows, oldest first; or the count of values, their weight, their mean and variance."""
        if self.variant == "windowed":
            return np.full((self.window, entities, metrics), np.nan)
        return np.zeros((4, entities, metrics))

    def _walk(self, values: np.ndarray, starts: np.ndarray, state: np.ndarray):
        if self.variant == "windowed":
            return _walk_windowed(values, starts, state, self.warmup)
        return _walk_recursive(values, starts, state, self.warmup, self.forgetting)


def _values(panel: pd.DataFrame) -> np.ndarray:
    """A row-major, writable copy: one kind of array, so that numba compiles each kernel once."""
    return np.array(panel, dtype="float64", order="C")


@numba.njit(cache=True)
def _walk_recursive(values, starts, state, warmup, forgetting):
    """Mean and deviation just before each row, and the state after the last row of each entity."""
    mean = np.full(values.shape, np.nan)
    deviation = np.full(values.shape, np.nan)
    state = state.copy()
    for e in range(starts.size - 1):
        for i in range(starts[e], starts[e + 1]):
            for m in range(values.shape[1]):
                if state[0, e, m] >= warmup:
                    mean[i, m] = state[2, e, m]
                    deviation[i, m] = np.sqrt(state[3, e, m])
                if np.isnan(values[i, m]):  # absence tells nothing and ages nothing
                    continue
                state[0, e, m] += 1
                state[1, e, m] = forgetting * state[1, e, m] + 1
                gain = 1 / state[1, e, m]
                error = values[i, m] - state[2, e, m]
                state[2, e, m] += gain * error
                state[3, e, m] = (1 - gain) * (state[3, e, m] + gain * error * error)
    return mean, deviation, state


@numba.njit(cache=True)
def _walk_windowed(values, starts, state, warmup):
    """As `_walk_recursive` for a sliding window: constant work a row, and nothing is ever subtracted.

    The rows are cut into blocks of the window's length. A window is then the end of one block and the beginning of the
    next: the ends are summed up backwards when a block is full, the beginning as it grows, and the two are merged.
    Running sums would keep the rounding of a huge value long after it has left the window.
    """
    mean = np.full(values.shape, np.nan)
    deviation = np.full(values.shape, np.nan)
    window = state.shape[0]
    after = np.empty_like(state)
    ends = np.empty((window, 3))
    for e in range(starts.size - 1):
        begin, size = starts[e], starts[e + 1] - starts[e]
        for m in range(values.shape[1]):
            head = (0.0, 0.0, 0.0)  # count, mean, sum of squared distances from the mean
            for i in range(size):
                if i % window == 0:
                    head = (0.0, 0.0, 0.0)
                    for j in range(window - 1, -1, -1):
                        x = state[j, e, m] if i == 0 else values[begin + i - window + j, m]
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
                after[j, e, m] = values[begin + row, m] if row >= 0 else state[window + row, e, m]
    return mean, deviation, after


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
