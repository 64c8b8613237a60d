"""An entity's values, and how far it is from itself: from its first rows, and from what its condition usually gives."""

from __future__ import annotations

__all__ = ["Baseline", "Regimes", "Values"]

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from stability.detection.rows import fitted_on, moments_of, runs
from stability.features import kernels
from stability.features.rolling import length_of
from stability.schema import ContractError, nearest, validate

FOREVER = 2**61  # microseconds: a window that nothing ever leaves
LEAST = 1e-9  # deviations below this share of the level are rounding


class Values:
    """The metrics themselves: feature ``<metric>__last__now``."""

    def names(self, metrics: Sequence[str]) -> list[str]:
        """Names of the features of these metrics, in their order."""
        return [f"{m}__last__now" for m in metrics]

    def transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Features of each row of a panel."""
        return panel.set_axis(self.names(panel.columns), axis=1)

    def begin(self, history: pd.DataFrame) -> Values:
        """Nothing is remembered; gives itself."""
        return self

    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
        """As `Rolling.update`: the values."""
        return np.asarray(values, dtype="float64")


class Baseline:
    """Distance of each value from the mean of the entity's first rows, as far as they are known.

    ``<metric>__off__<span>`` is the difference, ``<metric>__z__<span>`` the difference in deviations of those rows.
    Within the first `span` the mean is that of the rows so far, so that nothing looks ahead.

    Parameters
    ----------
    span : str
        Length of the beginning of an entity's life that is its baseline.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="h", tz="UTC", name="timestamp").as_unit("us")
    >>> index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    >>> Baseline("2h").transform(pd.DataFrame({"load": [1.0, 3.0, 9.0, 4.0]}, index))["load__off__2h"].tolist()
    [0.0, 1.0, 7.0, 2.0]
    """

    def __init__(self, span: str) -> None:
        self.span, self._length = span, length_of(span)

    def names(self, metrics: Sequence[str]) -> list[str]:
        """Names of the features of these metrics, in their order."""
        return [f"{m}__{s}__{self.span}" for m in metrics for s in ("off", "z")]

    def transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of each row: a DataFrame of float64 over the panel's index, columns as of `names`."""
        panel = validate(panel, "telemetry")
        values, mean, std, _ = self._walk(panel)
        return pd.DataFrame(_apart(values, mean, std), panel.index, self.names(panel.columns))

    def _walk(self, panel: pd.DataFrame) -> tuple[np.ndarray, ...]:
        _, starts = runs(panel.index)
        times = moments_of(panel.index.get_level_values("timestamp"))
        values = panel.to_numpy(dtype="float64")
        early = times < np.repeat(times[starts[:-1]] + self._length, np.diff(starts))
        first = np.ascontiguousarray(np.where(early[:, None], values, np.nan).T)
        first.flags.writeable = False  # as `Rolling` gives it: the kernel compiles once
        metrics = values.shape[1]
        places = np.arange(3)[None, None, :] * metrics + np.arange(metrics)[:, None, None]
        places = np.concatenate([places, np.full((metrics, 1, 2), -1)], axis=2)
        out = np.empty((3 * metrics, len(values)))
        kernels.moments(first, times, starts, np.array([FOREVER]), places, out)
        count, mean, std = (part.T for part in out.reshape(3, metrics, len(values)))
        return values, mean, std, count

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, history: pd.DataFrame) -> Baseline:
        """Remember of a history (a panel, whose rows may be none) what `update` needs; gives itself."""
        history = validate(history, "telemetry")
        self.metrics_ = list(history.columns)
        self._entities, starts = runs(history.index)
        times = moments_of(history.index.get_level_values("timestamp"))
        self._first = times[starts[:-1]]
        if len(history):
            _, mean, std, count = (part[starts[1:] - 1] for part in self._walk(history))
            squares = np.where(count > 1, std**2 * (count - 1), 0.0)
            self._kept = np.stack([count, np.nan_to_num(mean), squares], axis=1)
        else:
            self._kept = np.zeros((0, 3, len(self.metrics_)))
        return self

    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
        """As `Rolling.update`: features of one new row of each of some entities, shape (n, features)."""
        if not hasattr(self, "metrics_"):
            raise ContractError("Baseline has no history yet", remedy="call begin(history) first")
        values, moments = np.asarray(values, dtype="float64"), moments_of(times)
        names = pd.Index(entities)
        new = self._entities.get_indexer(names) < 0
        if new.any():
            self._entities = self._entities.append(names[new])
            self._first = np.append(self._first, moments[new])
            self._kept = np.concatenate([self._kept, np.zeros((int(new.sum()), 3, values.shape[1]))])
        slots = self._entities.get_indexer(names)
        count, mean, squares = (self._kept[slots, k] for k in range(3))
        taken = ~np.isnan(values) & (moments < self._first[slots] + self._length)[:, None]
        count = count + taken
        step = np.where(taken, values - mean, 0.0)
        mean = mean + step / np.maximum(count, 1)
        squares = squares + step * np.where(taken, values - mean, 0.0)
        self._kept[slots] = np.stack([count, mean, squares], axis=1)
        std = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
        return _apart(values, np.where(count > 0, mean, np.nan), std)


def _apart(values: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Differences and differences in deviations, in turn; NaN where there is no deviation to speak of."""
    off = values - mean
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(std > LEAST * np.abs(mean), off / std, np.nan)
    return np.stack([off, z], axis=2).reshape(len(values), 2 * values.shape[1])


class Regimes:
    """Distance of each value from what is usual in the operating condition that the row is in.

    Conditions are the groups in which the settings lie (k-means on settings in their own deviations; each combination
    of values by itself where there are no more than `most`). What is usual in a condition, a mean and a deviation, is
    that of the history. Feature ``<metric>__z__regime``.

    Parameters
    ----------
    settings : sequence of str
        Metrics that say in which condition an entity works, such as load or altitude.
    most : int
        Conditions at most.
    seed : int

    Attributes
    ----------
    centres_ : array of float64, shape (conditions, settings)
        In the settings' units.

    References
    ----------
    Regime-wise normalization as is usual for the C-MAPSS sets FD002 and FD004; k-means: Lloyd (1982),
    doi 10.1109/TIT.1982.1056489.
    """

    def __init__(self, settings: Sequence[str], *, most: int = 8, seed: int = 0) -> None:
        if not settings or most < 1:
            expected, got = "one or more settings and conditions", f"{settings}, {most}"
            raise ContractError(column="settings", expected=expected, got=got)
        self.settings, self.most, self.seed = list(settings), most, seed

    def fit(self, history: pd.DataFrame) -> Regimes:
        """Learn conditions and what is usual in each.

        Parameters
        ----------
        history : DataFrame of float64, (entity, timestamp) x metrics
            The training part.

        Returns
        -------
        Regimes
            Itself.

        Raises
        ------
        ContractError
            When a setting is no metric, or no row has all settings.
        """
        history = validate(history, "telemetry")
        for name in self.settings:
            if name not in history:
                remedy = nearest(name, list(history.columns))
                raise ContractError(file="history", column=name, expected="a metric", remedy=remedy)
        self.fitted_on_ = fitted_on(history)
        known = history[self.settings].dropna().to_numpy()
        if not len(known):
            raise ContractError(file="history", expected="rows with all settings", got="none")
        spread = known.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        several = np.unique(known, axis=0)
        if len(several) > self.most:
            found = KMeans(self.most, n_init=4, random_state=self.seed).fit(known / self._spread)
            several = found.cluster_centers_ * self._spread
        self.centres_, self.metrics_ = several, [name for name in history if name not in self.settings]
        rest = history[self.metrics_].groupby(self._regime(history[self.settings].to_numpy()))
        every = pd.RangeIndex(len(several))
        self._mean, self._std = (getattr(rest, s)().reindex(every).to_numpy() for s in ("mean", "std"))
        return self

    def _regime(self, settings: np.ndarray) -> np.ndarray:
        """Number of each row's condition, of settings (n, settings); -1 where one is missing."""
        own = settings / self._spread
        away = ((own[:, None] - self.centres_ / self._spread) ** 2).sum(axis=2)
        return np.where(np.isnan(away).any(axis=1), -1, np.nan_to_num(away).argmin(axis=1))

    def names(self) -> list[str]:
        """Names of the features, in their order."""
        return [f"{m}__z__regime" for m in self.metrics_]

    def transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of each row: a DataFrame of float64 over the panel's index, columns as of `names`."""
        if not hasattr(self, "fitted_on_"):
            raise ContractError("Regimes has no history yet", remedy="call fit(history) first")
        panel = validate(panel, "telemetry")
        settings, rest = (panel[names].to_numpy() for names in (self.settings, self.metrics_))
        return pd.DataFrame(self._apart(settings, rest), panel.index, self.names())

    def _apart(self, settings: np.ndarray, rest: np.ndarray) -> np.ndarray:
        regime = self._regime(settings)
        mean, std = self._mean[regime], self._std[regime]
        with np.errstate(invalid="ignore", divide="ignore"):
            known = (std > LEAST * np.abs(mean)) & (regime >= 0)[:, None]
            return np.where(known, (rest - mean) / std, np.nan)

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, history: pd.DataFrame) -> Regimes:
        """Take the metrics' order from a history (a panel), of which nothing else is needed; gives itself."""
        order = list(history.columns)
        self._places = [[order.index(name) for name in names] for names in (self.settings, self.metrics_)]
        return self

    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
        """As `Rolling.update`: features of one new row of each of some entities, shape (n, features)."""
        if not hasattr(self, "_places"):
            raise ContractError("Regimes has no history yet", remedy="call begin(history) first")
        return self._apart(*(np.asarray(values, dtype="float64")[:, places] for places in self._places))

    # ---- kept ----------------------------------------------------------------------------------------------------
    def learnt(self) -> dict[str, Any]:
        """What `fit` learnt, as arrays and plain values by name; `restore` takes it."""
        arrays = {"centres": self.centres_, "spread": self._spread, "mean": self._mean, "std": self._std}
        return arrays | {"metrics": self.metrics_, "fitted_on": self.fitted_on_}

    def restore(self, learnt: dict[str, Any]) -> Regimes:
        """Take what `learnt` gave; gives itself."""
        self.centres_, self._spread, self._mean, self._std = (learnt[k] for k in ("centres", "spread", "mean", "std"))
        self.metrics_, self.fitted_on_ = list(learnt["metrics"]), learnt["fitted_on"]
        return self
