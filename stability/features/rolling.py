"""Statistics of each metric over the last minutes, hours or days, in batch and live."""

from __future__ import annotations

__all__ = ["STATISTICS", "Rolling", "length_of"]

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from stability.detection.rows import moments_of, runs
from stability.features import kernels
from stability.features.ring import Ring
from stability.schema import ContractError, nearest, validate

QUANTILE = re.compile(r"q(\d\d)")
STATISTICS = (*kernels.MOMENTS, "slope", "ewma")  # and qNN
MEMORY = 256 * 2**20  # bytes of the features of one part


class Rolling:
    """Statistics of each metric over windows (t - length, t], of what was known at t.

    A feature is named ``<metric>__<statistic>__<window>``. Missing values are left out; a window without any, or with
    too few for a statistic, gives NaN, and ``count`` says how many there were.

    Parameters
    ----------
    windows : sequence of str
        Lengths such as ``"5min"``, ``"1h"``, ``"7D"``; for ``ewma`` the half-life.
    statistics : sequence of str
        ``count``, ``mean``, ``std`` (of the sample), ``min``, ``max``, ``slope`` (least squares, per second), ``ewma``
        (weights halve with each half-life), and quantiles such as ``q05`` or ``q50``, linear between values.

    Raises
    ------
    ContractError
        For an unknown statistic, and a window that is no length of time.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", name="timestamp").as_unit("us")
    >>> index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"load": [1.0, 3.0, np.nan, 7.0]}, index)
    >>> Rolling(["2min"], ["mean", "max"]).transform(panel).to_numpy().tolist()
    [[1.0, 1.0], [2.0, 3.0], [3.0, 3.0], [7.0, 7.0]]
    """

    def __init__(self, windows: Sequence[str], statistics: Sequence[str] = ("mean", "std", "min", "max")) -> None:
        self.windows, self.statistics = list(windows), list(statistics)
        if not self.windows or not self.statistics:
            raise ContractError(column="windows", expected="a window and a statistic", got="none")
        self._lengths = np.array([length_of(window) for window in self.windows], dtype="int64")
        for name in self.statistics:
            if name not in STATISTICS and not QUANTILE.fullmatch(name):
                remedy = nearest(name, STATISTICS)
                raise ContractError(column=name, expected="a statistic, or a quantile such as q05", remedy=remedy)
        self._levels = np.array([int(name[1:]) / 100 for name in self.statistics if QUANTILE.fullmatch(name)])

    def names(self, metrics: Sequence[str]) -> list[str]:
        """Names of the features of these metrics, in their order."""
        return [f"{m}__{s}__{w}" for m in metrics for w in self.windows for s in self.statistics]

    # ---- a panel -------------------------------------------------------------------------------------------------
    def transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of each row.

        Parameters
        ----------
        panel : DataFrame of float64, (entity, timestamp) x metrics

        Returns
        -------
        DataFrame of float64
            The panel's rows, columns as of `names`.

        Raises
        ------
        ContractError
            When it is no panel.
        """
        return self._transform(validate(panel, "telemetry"))

    def transform_parts(self, panel: pd.DataFrame, *, memory: int = MEMORY) -> Iterator[pd.DataFrame]:
        """As `transform`, some entities at a time, so that no more than so many bytes of features are held at once.

        Parameters
        ----------
        panel
            As of `transform`.
        memory : int
            Bytes; a single entity may take more.

        Yields
        ------
        DataFrame
        """
        panel = validate(panel, "telemetry")
        _, starts = runs(panel.index)
        for first, last in entities_in_parts(starts, memory // (8 * len(self.names(panel.columns)) or 1)):
            yield self._transform(panel.iloc[starts[first] : starts[last]])

    def _transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        _, starts = runs(panel.index)
        times = panel.index.get_level_values("timestamp").as_unit("us").asi8
        values = _columns(panel)
        out = np.empty((len(self.names(panel.columns)), len(panel)))
        places = self._places(len(panel.columns))
        if (places["moments"] >= 0).any():
            kernels.moments(values, times, starts, self._lengths, places["moments"], out)
        if (places["slope"] >= 0).any():
            kernels.slopes(values, times, starts, self._lengths, places["slope"], out)
        if len(self._levels):
            kernels.quantiles(values, times, starts, self._lengths, self._levels, places["quantiles"], out)
        if (places["ewma"] >= 0).any():
            kernels.averages(values, times, starts, self._lengths, places["ewma"], out)
        return pd.DataFrame(out.T, index=panel.index, columns=self.names(panel.columns), copy=False)

    def _places(self, metrics: int) -> dict[str, np.ndarray]:
        """Where each statistic of each metric and window goes; -1 where it is not wanted."""
        size = len(self.statistics)
        base = (np.arange(metrics)[:, None] * len(self.windows) + np.arange(len(self.windows))) * size
        place = {name: base + k for k, name in enumerate(self.statistics)}
        none = np.full_like(base, -1)
        found = {"slope": place.get("slope", none), "ewma": place.get("ewma", none)}
        found["moments"] = np.stack([place.get(name, none) for name in kernels.MOMENTS], axis=-1)
        wanted = [place[name] for name in self.statistics if QUANTILE.fullmatch(name)]
        found["quantiles"] = np.stack(wanted or [none], axis=-1)
        return found

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, history: pd.DataFrame) -> Rolling:
        """Remember of a history what the windows still need.

        Parameters
        ----------
        history : DataFrame of float64, (entity, timestamp) x metrics
            Its columns are the metrics of `update`; its rows may be none.

        Returns
        -------
        Rolling
            Itself.
        """
        history = validate(history, "telemetry")
        self.metrics_ = list(history.columns)
        self._ring = Ring(history, int(self._lengths.max()))
        self._kept = np.zeros((0, len(self.metrics_), len(self.windows), 2))
        if "ewma" in self.statistics and len(history):
            _, starts = runs(history.index)
            times = history.index.get_level_values("timestamp").as_unit("us").asi8
            values = _columns(history)
            nowhere = np.full((len(self.metrics_), len(self.windows)), -1)
            self._kept = kernels.averages(values, times, starts, self._lengths, nowhere, np.empty((0, 0)))
        return self

    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
        """Compute the features of one new row of each of some entities, and remember it.

        Parameters
        ----------
        values : array of float64, shape (n, metrics)
            In the order of `metrics_`; NaN where missing.
        times : DatetimeIndex, or array of datetime64 or of int64 (microseconds since 1970), shape (n,)
            Later than the entity's row before.
        entities : Index of str, shape (n,)
            Whose rows they are, none twice; a new one starts anew.

        Returns
        -------
        array of float64, shape (n, features)
            As `transform` gives them, in the order of `names(metrics_)`.

        Raises
        ------
        ContractError
            For shapes that do not fit, an infinite value, an entity twice, a row that does not come after the one
            before, or without `begin`.
        """
        if not hasattr(self, "_ring"):
            raise ContractError("Rolling has no history yet", remedy="call begin(history) first")
        ring = self._ring
        slots = ring.push(values, moments_of(times), entities)
        missing = len(ring.entities) - len(self._kept)
        if missing:
            self._kept = np.concatenate([self._kept, np.zeros((missing, *self._kept.shape[1:]))])
        out = np.empty((len(slots), len(self.names(self.metrics_))))
        places, held = self._places(len(self.metrics_)), (ring.values, ring.times, ring.ends, ring.counts, slots)
        if (places["moments"] >= 0).any():
            kernels.live_moments(*held, self._lengths, places["moments"], out)
        if (places["slope"] >= 0).any():
            kernels.live_slopes(*held, self._lengths, places["slope"], out)
        if len(self._levels):
            kernels.live_quantiles(*held, self._lengths, self._levels, places["quantiles"], out)
        if (places["ewma"] >= 0).any():
            kernels.live_averages(*held, self._lengths, places["ewma"], out, self._kept)
        return out


def entities_in_parts(starts: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Numbers of the first entity and behind the last of each part with at most so many rows, or a single entity.

    Examples
    --------
    >>> list(entities_in_parts(np.array([0, 3, 5, 9]), 5))
    [(0, 2), (2, 3)]
    """
    first = 0
    while first < len(starts) - 1:
        last = max(int(np.searchsorted(starts, starts[first] + max(most, 1), side="right")) - 1, first + 1)
        yield first, last
        first = last


def _columns(panel: pd.DataFrame) -> np.ndarray:
    """Values of a panel, a row each metric; read only as pandas' own may be, so that a kernel compiles once."""
    values = np.ascontiguousarray(panel.to_numpy(dtype="float64").T).view()
    values.flags.writeable = False
    return values


def length_of(window: str) -> int:
    """Microseconds of a length of time."""
    try:
        length = pd.Timedelta(window)
    except (ValueError, TypeError):
        length = pd.Timedelta(0)
    if not re.fullmatch(r"\d+[a-zA-Z]+", str(window)) or not length >= pd.Timedelta("1us"):
        raise ContractError(column="windows", expected="a length of time such as 5min, 1h or 7D", got=window)
    return int(length / pd.Timedelta("1us"))
