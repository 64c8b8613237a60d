"""Remaining useful life of what runs to failure: how much is left, and health indices that tell of wear."""

from __future__ import annotations

__all__ = ["HealthIndices", "LifeFeatures", "remaining_life"]

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

from stability.detection.rows import fitted_on
from stability.evaluation.spans import index_arrays
from stability.features import Baseline, Regimes, Rolling
from stability.features.rolling import length_of
from stability.schema import ContractError, one_of, validate

SECOND = 1_000_000  # microseconds
WHOLE = "100000D"  # a window that nothing leaves
STILL = 1e-9  # deviation of a sensor, in its own deviations, below which it tells nothing
STATISTICS = ("mean", "slope", "std", "ewma")
# Chosen on training engines of C-MAPSS; wear is slow, so that long windows over the indices tell the most.
SENSORS = MappingProxyType(
    {
        "mean": ("5D", "15D", "30D", "60D"),
        "slope": ("30D", "60D"),
        "std": ("30D",),
        "ewma": (("10D", "15D"),),
    }
)
INDICES = MappingProxyType(
    {
        "mean": ("5D", "15D", "30D", "60D", "100D", "150D"),
        "slope": ("15D", "30D", "60D", "100D", "150D"),
        "std": ("30D", "60D"),
        "ewma": (("5D", "30D"), ("10D", "15D"), ("20D", "50D"), ("40D", "30D")),
    }
)


def remaining_life(index: pd.MultiIndex, faults: pd.DataFrame) -> pd.Series:
    """How long each row's entity lives on until users feel its next fault.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
    faults : DataFrame
        By contract; `entity` and `impact_start` are read. A moment of impact itself has 0 left.

    Returns
    -------
    Series of float64, seconds
        NaN where no fault is known from then on.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=3, freq="D", tz="UTC", unit="us")
    >>> index = pd.MultiIndex.from_product([["a"], days], names=["entity", "timestamp"])
    >>> faults = pd.DataFrame({"entity": ["a"], "impact_start": [days[1]]}, pd.Index(["f1"], name="fault_id"))
    >>> (remaining_life(index, faults) / 86400).tolist()
    [1.0, 0.0, nan]
    """
    codes, times, entities = index_arrays(index)
    found = np.full(len(codes), np.nan)
    known = faults.loc[faults["impact_start"].notna(), ["entity", "impact_start"]]
    moments = known["impact_start"].dt.as_unit("us").astype("int64").to_numpy()
    for number, name in enumerate(entities):
        own = np.sort(moments[(known["entity"] == name).to_numpy()])
        rows = np.flatnonzero(codes == number)
        place = np.searchsorted(own, times[rows])
        ahead = place < len(own)
        found[rows[ahead]] = (own[place[ahead]] - times[rows[ahead]]) / SECOND
    return pd.Series(found, index, name="remaining_life")


class HealthIndices:
    """How worn an entity looks in a single row: one number for each way of saying what wear is.

    Each index is a linear combination of the row's metrics (ridge regression), learnt for each operating condition by
    itself, since a sensor tells more in one than in another. It is fitted to what life was left: to the life itself,
    cut at `cap` and counted down from it (`wear`), and to exp(-life / decay), which looks at the end alone, for each
    decay (`wear_15D`). What is linear in noisy sensors is still noisy; windows over it are for `LifeFeatures`.

    Parameters
    ----------
    regimes : Regimes
        Fitted; the conditions, and the metrics in their deviations.
    cap : str
        Life above which no wear is to be seen.
    decays : sequence of str
    ridge : float
        Penalty of large weights.

    References
    ----------
    Health index by regression on run-to-failure data: Wang, Yu, Siegel, Lee (2008), PHM '08,
    doi 10.1109/PHM.2008.4711421; ridge regression: Hoerl and Kennard (1970), doi 10.1080/00401706.1970.10488634.
    """

    def __init__(
        self, regimes: Regimes, *, cap: str = "125D", decays: Sequence[str] = ("40D", "15D"), ridge: float = 10.0
    ) -> None:
        self.regimes, self.cap, self.decays, self.ridge = regimes, cap, tuple(decays), ridge

    def fit(self, panel: pd.DataFrame, remaining: pd.Series) -> HealthIndices:
        """Learn from a panel and from what life was left, seconds over its rows; gives itself."""
        z, condition = self._z(panel, None), self._condition(panel)
        known = ~np.isnan(remaining.to_numpy())
        spread = np.nan_to_num(z[known].std(axis=0))
        self.used_ = spread > STILL
        wear = self._wear(remaining.to_numpy())
        conditions = len(self.regimes.centres_)
        self.weights_ = np.zeros((conditions, int(self.used_.sum()), wear.shape[1]))
        self.offsets_ = np.full((conditions, wear.shape[1]), np.nan)
        for number in np.unique(condition[known & (condition >= 0)]):
            rows = known & (condition == number)
            found = Ridge(self.ridge).fit(z[rows][:, self.used_], wear[rows])
            self.weights_[number], self.offsets_[number] = found.coef_.T, found.intercept_
        return self

    def names(self) -> list[str]:
        """Names of the indices."""
        return ["wear", *(f"wear_{decay}" for decay in self.decays)]

    def transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Compute the indices of each row: float64 in 0-1 or thereabouts, NaN in a condition never seen."""
        z, condition = self._z(panel, self.used_), self._condition(panel)
        found = np.einsum("nm,nmk->nk", z, self.weights_[condition]) + self.offsets_[condition]
        found[condition < 0] = np.nan
        return pd.DataFrame(found, panel.index, self.names())

    def _wear(self, seconds: np.ndarray) -> np.ndarray:
        cap, *decays = (length_of(length) / SECOND for length in (self.cap, *self.decays))
        return np.stack([1 - np.minimum(seconds, cap) / cap, *(np.exp(-seconds / decay) for decay in decays)], axis=1)

    def _z(self, panel: pd.DataFrame, used: np.ndarray | None) -> np.ndarray:
        """Metrics in the deviations of their condition; what is unknown is usual."""
        z = np.nan_to_num(self.regimes.transform(panel).to_numpy())
        return z if used is None else z[:, used]

    def _condition(self, panel: pd.DataFrame) -> np.ndarray:
        own, centres = panel[self.regimes.settings].to_numpy(), self.regimes.centres_
        spread = centres.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        away = (((own[:, None] - centres) / spread) ** 2).sum(axis=2)
        return np.where(np.isnan(away).any(axis=1), -1, np.nan_to_num(away).argmin(axis=1))


class LifeFeatures:
    """What was known of an entity's wear at each moment of its life: of sensors, of health indices, of its age.

    Sensors are taken in the deviations of their operating condition (`Regimes`). Of each of them and of each health
    index (`HealthIndices`): means, slopes and deviations over windows, averages that forget, and how far these are from
    the entity's own beginning. Nothing looks ahead: the features of a row stay the same whatever follows it.

    Parameters
    ----------
    settings : sequence of str
        Metrics that say in which condition an entity works.
    conditions : int
        Conditions at most.
    sensors, indices : mapping
        ``mean``, ``slope``, ``std``: windows; ``ewma``: pairs of a half-life and the length of the beginning that the
        average is compared with. An empty mapping leaves them out.
    cap, decays, ridge
        As of `HealthIndices`.

    Attributes
    ----------
    fitted_on_ : dict
    """

    def __init__(
        self,
        settings: Sequence[str],
        *,
        conditions: int = 6,
        sensors: Mapping[str, Sequence] = SENSORS,
        indices: Mapping[str, Sequence] = INDICES,
        cap: str = "125D",
        decays: Sequence[str] = ("40D", "15D"),
        ridge: float = 10.0,
    ) -> None:
        for which in (sensors, indices):
            for name in which:
                one_of(name, STATISTICS, "statistic")
        self.settings, self.conditions, self.sensors, self.indices = list(settings), conditions, sensors, indices
        self.cap, self.decays, self.ridge = cap, tuple(decays), ridge

    def fit(self, panel: pd.DataFrame, remaining: pd.Series) -> LifeFeatures:
        """Learn conditions, deviations and health indices.

        Parameters
        ----------
        panel : DataFrame of float64, (entity, timestamp) x metrics
            The training part.
        remaining : Series of float64, seconds
            As of `remaining_life`, over the panel's rows; NaN where no failure is known.

        Returns
        -------
        LifeFeatures
            Itself.

        Raises
        ------
        ContractError
            When a setting is no metric, the two differ in their rows, or no life is known.
        """
        panel = validate(panel, "telemetry")
        if not remaining.index.equals(panel.index):
            raise ContractError(file="remaining", expected=f"the {len(panel)} rows of the panel", got=len(remaining))
        if not remaining.notna().any():
            raise ContractError(file="remaining", expected="rows of which the failure is known", got="none")
        self.fitted_on_ = fitted_on(panel)
        self._regimes = Regimes(self.settings, most=self.conditions).fit(panel)
        z = self._regimes.transform(panel)
        self._telling = [name for name in z if z[name].std() > STILL]
        self._indices = HealthIndices(self._regimes, cap=self.cap, decays=self.decays, ridge=self.ridge)
        self._indices.fit(panel, remaining)
        return self

    def health(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Give the health indices of each row, before any window, as of `HealthIndices.transform`."""
        if not hasattr(self, "fitted_on_"):
            raise ContractError("LifeFeatures has learnt nothing yet", remedy="call fit(panel, remaining)")
        return self._indices.transform(validate(panel, "telemetry"))

    def transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of each row.

        Parameters
        ----------
        panel : DataFrame of float64, (entity, timestamp) x metrics
            From each entity's beginning on: its age and its own baseline are counted from its first row.

        Returns
        -------
        DataFrame of float64, (entity, timestamp) x features
            `<series>__<statistic>__<window>`, where a series is `<metric>__z__regime` or an index, and
            `age__last__now` in seconds. Its ``attrs["fitted_on"]`` says what shaped it.
        """
        health = self.health(panel)
        # A sensor that stands still in one condition tells nothing there: that is its usual, and not unknown.
        sensors = self._regimes.transform(panel)[self._telling].fillna(0.0)
        parts = [*_windows(sensors, self.sensors), *_windows(health, self.indices)]
        if self.indices:
            parts.append(Rolling([WHOLE], ["min", "max"]).transform(health))
        _, times, _ = index_arrays(panel.index)
        first = pd.Series(times).groupby(panel.index.get_level_values("entity").to_numpy()).transform("min").to_numpy()
        found = pd.concat([*parts, pd.DataFrame({"age__last__now": (times - first) / SECOND}, panel.index)], axis=1)
        found.attrs["fitted_on"] = self.fitted_on_
        return found


def _windows(series: pd.DataFrame, wanted: Mapping[str, Sequence]) -> Iterator[pd.DataFrame]:
    for statistic, windows in wanted.items():
        if statistic != "ewma":
            yield Rolling(windows, [statistic]).transform(series)
            continue
        for half, beginning in windows:
            smooth = Rolling([half], ["ewma"]).transform(series)
            yield smooth
            yield Baseline(beginning).transform(smooth).filter(regex=f"__off__{beginning}$")
