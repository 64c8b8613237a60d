"""Trend, season and residual of each value as they were known before it came: what a detector may use."""

from __future__ import annotations

__all__ = ["CausalDecomposition", "decompose_causal"]

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stability.decomposition.grid import PROFILE_POINTS, series_of
from stability.decomposition.periods import given_periods
from stability.decomposition.profile import Learnt, learn
from stability.decomposition.state import from_plain, run, season_columns, stack, to_plain
from stability.decomposition.table import Block, components_table
from stability.schema import ContractError, nearest, validate

VERSION = 1  # of the form of to_dict


class CausalDecomposition:
    """Level, seasonal profile and residual by filtering forward: each residual is a value minus its prediction.

    Additive exponential smoothing with one or more seasons, in the robust form. The prediction is level + seasons.
    What exceeds `clip` standard deviations is reported in full and learnt in part: a fault neither drags the level
    with it nor leaves its print in tomorrow's season, while a level that stays elsewhere is followed in the end (the
    standard deviation grows, by a bounded factor per time, until it no longer clips). Gains follow the time that has
    passed, so gaps and irregular steps need no grid. A season is a closed line through at most `resolution` points,
    fitted to the history with Huber weights and learnt on.

    Parameters
    ----------
    periods : sequence of float, or mapping of metric to one, optional
        Periods in s; default: found in the history of each series by `find_periods`. A period of which the history
        holds less than two cycles is left out.
    level_time : float, optional
        Memory (time constant) of the level and of the residual's standard deviation, in s; default the longest period,
        at most a tenth of the history, which is also what a series without a season takes.
    season_cycles : float
        Memory of the seasons, in cycles.
    clip : float
        Standard deviations of a residual that are learnt at most.
    resolution : int
        Points of a season at most, 288: 5 minutes of a day, 35 minutes of a week.

    Attributes
    ----------
    series_ : list of (str, str)
        Entity and metric of each series, in the order of the columns of `update`.
    metrics_ : list of str
        Columns of the history, sorted.
    periods_ : dict of (str, str) to tuple of float
        Periods of each series, in s.
    fitted_on_ : dict
        Entities and the last moment of the history.

    References
    ----------
    Gelper, Fried and Croux (2010), Robust forecasting with exponential and Holt-Winters smoothing, Journal of
    Forecasting 29, 285-300, doi 10.1002/for.1125. Several seasons: Taylor (2003), doi 10.1057/palgrave.jors.2601589.
    Departures: no slope, gains by elapsed time, seasons as lines between points, all seasons learn from one residual.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=24 * 21, freq="1h", tz="UTC", name="timestamp")
    >>> load = pd.DataFrame({"load": 5 + np.sin(2 * np.pi * hours.hour / 24)}, index=hours)
    >>> load.iloc[-1] += 2
    >>> causal = CausalDecomposition(periods=[86400]).fit(load[: 24 * 14])
    >>> causal.transform(load[24 * 14 :])["resid"].iloc[-3:].abs().round(2).tolist()
    [0.0, 0.0, 2.0]
    """

    def __init__(
        self,
        *,
        periods: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
        level_time: float | None = None,
        season_cycles: float = 10.0,
        clip: float = 3.0,
        resolution: int = PROFILE_POINTS,
    ):
        for name, value in {"season_cycles": season_cycles, "clip": clip}.items():
            if not 0 < value < math.inf:
                raise ContractError(column=name, expected="a number above 0", got=value)
        if level_time is not None and not 0 < level_time < math.inf:
            raise ContractError(column="level_time", expected="seconds above 0", got=level_time)
        if resolution < 4:
            raise ContractError(column="resolution", expected="at least 4 points a cycle", got=resolution)
        self.periods, self.level_time, self.resolution = periods, level_time, resolution
        self.season_cycles, self.clip = season_cycles, clip

    def fit(self, history: pd.DataFrame) -> CausalDecomposition:
        """Find the periods, fit the profiles and run the level to the end of the history.

        Parameters
        ----------
        history : DataFrame
            Telemetry: index (entity, timestamp), float64 metrics. A series with fewer than 8 values starts cold.

        Returns
        -------
        CausalDecomposition
            Itself.

        Raises
        ------
        ContractError
            For an empty history, an unknown metric in `periods`, a period below two steps.
        """
        history = validate(history, "telemetry").sort_index(axis="columns")
        if history.empty:
            raise ContractError(expected="a history to fit on", got="no rows", remedy="give telemetry of the past")
        entities = list(series_of(history))
        start, end = min(times[0] for _e, times, _r in entities), max(times[-1] for _e, times, _r in entities)
        self.metrics_ = list(history.columns)
        given = {metric: given_periods(self.periods, metric, history.columns) for metric in history}
        self._cold = Learnt.cold(self.level_time, (end - start) / 1e6)
        learnt = {
            (entity, metric): learn(self, given[metric], times, rows[metric].to_numpy(), self._cold)
            for entity, times, rows in entities
            for metric in rows
        }
        self._moments = {entity: int(times[-1]) for entity, times, _rows in entities}
        until = pd.Timestamp(end, unit="us", tz="UTC").as_unit("us").isoformat()
        self.fitted_on_ = {"entities": sorted(self._moments), "until": until}
        self._adopt(list(learnt), [one.periods for one in learnt.values()], stack(list(learnt.values())))
        # The level and the scale of the end of history, with the seasons held: they have seen it already.
        held = {**self._state, "rates": np.zeros_like(self._state["rates"])}
        for entity, times, rows in entities:
            run(held, self._which(entity), times, rows.to_numpy(), self.clip)
        return self

    def transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Filter rows that come after what is known, and forget them again: the same panel gives the same answer.

        Parameters
        ----------
        panel : DataFrame
            Telemetry after the history; any of its metrics. An entity that the history did not hold starts cold: its
            first value has no prediction, and it has no season.

        Returns
        -------
        DataFrame
            Components: index (entity, timestamp, metric), columns observed, trend (the level before the value was
            seen), seasonal, resid (observed minus what was predicted) and one column a period, in the metric's unit;
            missing where the value is, or its prediction. Rows depend on earlier rows only.

        Raises
        ------
        ContractError
            For a metric that the history did not hold, or a row that is not after what is known of its entity.
        """
        self._fitted()
        panel = validate(panel, "telemetry").sort_index(axis="columns")
        unknown = panel.columns.difference(self.metrics_)
        if len(unknown):
            raise ContractError(
                column=unknown[0], expected="a metric of the history", remedy=nearest(unknown[0], self.metrics_)
            )
        places = [self.metrics_.index(metric) for metric in panel]
        blocks = []
        for entity, times, rows in series_of(panel):
            values = np.ascontiguousarray(rows.to_numpy())
            if entity in self._moments:
                self._refuse_past(entity, times[0])
                which = self._which(entity)[places]
                state = {name: array[which] for name, array in self._state.items()}
                periods = [self.periods_[self.series_[series]] for series in which]
            else:
                state, periods = stack([self._cold] * len(places)), [()] * len(places)
            trend, seasons, _ = run(state, np.arange(len(places)), times, values, self.clip)
            blocks.append(Block(entity, times, values, trend, season_columns(seasons, periods)))
        return components_table(list(panel.columns), blocks)

    def update(self, times, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Filter the next moments of all series, and keep what they teach: for live use, without frames.

        Parameters
        ----------
        times : array of int64 or datetime64, shape (n,)
            Microseconds since 1970 UTC, increasing, after what is known.
        values : array of float64, shape (n, series)
            A column for each of `series_`; NaN where there is no value.

        Returns
        -------
        trend, seasonal, resid : array of float64, shape (n, series)
            As in `transform`, of which the same rows give the same numbers.

        Raises
        ------
        ContractError
            For another shape, or a time that is not after what is known.
        """
        self._fitted()
        times = np.atleast_1d(np.asarray(times))
        times = times.astype("datetime64[us]").astype(np.int64) if times.dtype.kind == "M" else times.astype(np.int64)
        values = np.ascontiguousarray(np.atleast_2d(np.asarray(values, dtype=float)))
        if values.shape != (len(times), len(self.series_)):
            expected = f"values of the shape ({len(times)}, {len(self.series_)}), a column a series"
            raise ContractError(column="values", expected=expected, got=str(values.shape))
        if np.any(np.diff(times) <= 0):
            raise ContractError(column="times", expected="increasing times", got="one that is not later than the last")
        present = np.isfinite(values)
        for place in np.flatnonzero(present.any(axis=0)):
            self._refuse_past(self.series_[place][0], times[present[:, place].argmax()])
        trend, seasons, _ = run(self._state, np.arange(len(self.series_)), times, values, self.clip)
        for place in np.flatnonzero(present.any(axis=0)):
            entity = self.series_[place][0]
            self._moments[entity] = max(self._moments[entity], int(times[present[:, place]][-1]))
        seasonal = np.where(np.isnan(trend), np.nan, np.nansum(seasons, axis=2))
        return trend, seasonal, values - trend - seasonal

    @property
    def scale_(self) -> pd.Series:
        """Robust standard deviation of each series' residual now, in the metric's unit; NaN before it is known."""
        self._fitted()
        index = pd.MultiIndex.from_tuples(self.series_, names=["entity", "metric"])
        return pd.Series(self._state["scale"].copy(), index=index, name="scale")

    def to_dict(self) -> dict[str, Any]:
        """Give settings and state as numbers, text, lists and None: what JSON holds, so that nothing is unpickled."""
        self._fitted()
        given = self.periods
        by_metric = isinstance(given, Mapping)
        settings = {
            "periods": {name: list(own) for name, own in given.items()} if by_metric else given and list(given),
            "level_time": self.level_time,
            "season_cycles": self.season_cycles,
            "clip": self.clip,
            "resolution": self.resolution,
        }
        return {
            "version": VERSION,
            "settings": settings,
            "metrics": self.metrics_,
            "series": [list(key) for key in self.series_],
            "periods": [list(self.periods_[key]) for key in self.series_],
            "cold_memory": self._cold.memory,
            "moments": dict(self._moments),
            "fitted_on": self.fitted_on_,
            "state": to_plain(self._state),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> CausalDecomposition:
        """Make the decomposition that `to_dict` described; it goes on where that one was.

        Raises
        ------
        ContractError
            For a dict of another version.
        """
        if stored.get("version") != VERSION:
            raise ContractError(column="version", expected=f"a state of version {VERSION}", got=stored.get("version"))
        causal = cls(**stored["settings"])
        causal.metrics_ = list(stored["metrics"])
        causal.fitted_on_ = dict(stored["fitted_on"])
        causal._cold = Learnt.cold(stored["cold_memory"], 0.0)
        causal._moments = {entity: int(moment) for entity, moment in stored["moments"].items()}
        series, periods = ([tuple(own) for own in stored[name]] for name in ("series", "periods"))
        causal._adopt(series, periods, from_plain(stored["state"]))
        return causal

    def _adopt(self, series: list[tuple[str, str]], periods: list[tuple[float, ...]], state: dict) -> None:
        self.series_, self._state = series, state
        self.periods_ = dict(zip(series, periods, strict=True))
        self._rows = {key: place for place, key in enumerate(series)}

    def _which(self, entity: str) -> np.ndarray:
        return np.array([self._rows[entity, metric] for metric in self.metrics_], dtype=np.int64)

    def _fitted(self) -> None:
        if not hasattr(self, "series_"):
            raise ContractError("This decomposition has no history yet", remedy="call fit(history) first")

    def _refuse_past(self, entity: str, first: int) -> None:
        known = self._moments[entity]
        if first <= known:
            last, came = (pd.Timestamp(moment, unit="us", tz="UTC").isoformat() for moment in (known, int(first)))
            raise ContractError(
                expected=f"rows of {entity} after {last}, the last that is known",
                got=came,
                remedy="leave those rows out, or fit on a history that ends before them",
            )


def decompose_causal(panel: pd.DataFrame, *, history: float | str | pd.Timestamp, **settings) -> pd.DataFrame:
    """Fit on the first part of a panel and filter the rest forward.

    Parameters
    ----------
    panel : DataFrame
        Telemetry: index (entity, timestamp), float64 metrics.
    history : float, Timestamp or ISO text
        Share of each entity's time span, in (0, 1), or the last moment of the history, with its zone.
    **settings
        As in `CausalDecomposition`.

    Returns
    -------
    DataFrame
        Components of the rows after the history; `attrs["fitted_on"]` says on what they were fitted.

    Raises
    ------
    ContractError
        Where `CausalDecomposition` does; for a share out of range, a moment without a zone.
    """
    panel = validate(panel, "telemetry")
    stamps = panel.index.get_level_values("timestamp")
    if isinstance(history, str | pd.Timestamp):
        last = pd.Timestamp(history)
        if last.tzinfo is None:
            raise ContractError(column="history", expected="a moment with its zone", got=str(history), remedy="add Z")
        past = np.asarray(stamps <= last)
    else:
        if not 0 < history < 1:
            raise ContractError(column="history", expected="a share between 0 and 1", got=history)
        moments = pd.Series(stamps, index=panel.index).groupby(level="entity")
        first = moments.transform("min")
        past = (stamps <= first + (moments.transform("max") - first) * history).to_numpy()
    causal = CausalDecomposition(**settings).fit(panel[past])
    components = causal.transform(panel[~past])
    components.attrs["fitted_on"] = causal.fitted_on_
    return components
