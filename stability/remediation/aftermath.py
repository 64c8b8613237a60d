"""What is known of a repair's effect up to a moment: the repaired thing, its users, its neighbours, its detectors."""

from __future__ import annotations

__all__ = ["Aftermath"]

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stability.schema import ContractError

KEY = ["entity", "timestamp"]


@dataclass(frozen=True)
class Aftermath:
    """All that is known of a repair's effect up to `now`; what bears a later stamp is never looked at.

    Parameters
    ----------
    entity : str
        The repaired thing itself.
    acted_at : Timestamp
        When the action ended (UTC).
    impact_start : Timestamp or NaT
        When users began to feel the fault (UTC); NaT where nobody felt it, or where that is unknown.
    now : Timestamp
        The moment at which is judged (UTC).
    telemetry : DataFrame, index (entity, timestamp)
        The panel, its history before the impact included; NaN or no row = not measured.
    service : DataFrame, index (entity, timestamp)
        Columns `good` and `total`: requests of that step as users see them, by the entity that was asked; NaN or no
        row = unknown, which is not the same as a total of 0.
    scores : DataFrame, index (entity, timestamp)
        A column a detector; higher is more anomalous.
    thresholds : mapping of str to float
        By detector: above it, a score is an anomaly. Columns of `scores` that are not named here are not looked at.
    neighbours : sequence of str
        Entities that the repair may hurt.
    step : float
        Seconds between two samples.

    Raises
    ------
    ContractError
        For a moment without time zone, a frame without that index, with a row twice, with more good requests than
        requests, or a threshold that is no number.

    Examples
    --------
    >>> at = pd.Timestamp("2026-03-01 12:00", tz="UTC")
    >>> rows = pd.MultiIndex.from_product([["gateway"], pd.date_range(at, periods=3, freq="s")],
    ...                                   names=["entity", "timestamp"])
    >>> asked = pd.DataFrame({"good": 59.0, "total": 60.0}, index=rows)
    >>> nothing = pd.DataFrame(index=rows[:0])
    >>> known = Aftermath("model-a", at, at, at + pd.Timedelta("2s"), nothing, asked, nothing, {"season": 3.0})
    >>> len(known.service), len(known.until(at).service)
    (3, 1)
    """

    entity: str
    acted_at: pd.Timestamp
    impact_start: pd.Timestamp
    now: pd.Timestamp
    telemetry: pd.DataFrame
    service: pd.DataFrame
    scores: pd.DataFrame
    thresholds: Mapping[str, float]
    neighbours: Sequence[str] = ()
    step: float = 1.0

    def __post_init__(self) -> None:
        for name in ("acted_at", "impact_start", "now"):
            object.__setattr__(self, name, _moment(getattr(self, name), name))
        for name in ("telemetry", "service", "scores"):
            object.__setattr__(self, name, _known(getattr(self, name), name, self.entity))
        if not (isinstance(self.step, (int, float)) and 0 < self.step < math.inf):
            raise ContractError(column="step", expected="seconds above 0", got=self.step)
        for detector, threshold in self.thresholds.items():
            if not (isinstance(threshold, (int, float, np.floating)) and math.isfinite(threshold)):
                raise ContractError(column=f"threshold of {detector}", expected="a number", got=threshold)
        if isinstance(self.neighbours, str):
            raise ContractError(column="neighbours", expected="a list of entities", got=self.neighbours)
        _counts(self.service)

    def until(self, now: pd.Timestamp) -> Aftermath:
        """Give what was known at an earlier moment: the rows up to it."""
        now = _moment(now, "now")
        cut = {
            name: frame[frame.index.get_level_values(1) <= now]
            for name, frame in (("telemetry", self.telemetry), ("service", self.service), ("scores", self.scores))
        }
        return dataclasses.replace(self, now=now, **cut)


def _moment(value: object, name: str) -> pd.Timestamp:
    try:
        moment = pd.Timestamp(value)
    except (TypeError, ValueError):
        raise ContractError(column=name, expected="a moment in UTC", got=value) from None
    if moment is pd.NaT:
        if name == "impact_start":
            return pd.NaT
        raise ContractError(column=name, expected="a moment in UTC", got="NaT")
    if moment.tzinfo is None:
        raise ContractError(column=name, expected="a moment in UTC", got=str(moment), remedy="tz_localize('UTC')")
    return moment.tz_convert("UTC")


def _known(frame: pd.DataFrame, name: str, entity: str) -> pd.DataFrame:
    """Sort a frame by its key; one without an entity is the repaired thing's, one without rows is allowed."""
    if not isinstance(frame, pd.DataFrame):
        raise ContractError(column=name, expected="a DataFrame", got=type(frame).__name__)
    if frame.index.nlevels == 1 and isinstance(frame.index, pd.DatetimeIndex):
        frame = pd.concat({entity: frame}, names=KEY)
    if frame.empty and not isinstance(frame.index, pd.MultiIndex):
        stamps = pd.DatetimeIndex([], dtype="datetime64[us, UTC]")
        return frame.set_axis(pd.MultiIndex.from_arrays([pd.Index([], dtype="str"), stamps], names=KEY))
    if list(frame.index.names) != KEY or not isinstance(frame.index.levels[1], pd.DatetimeIndex):
        raise ContractError(file=name, expected="an index (entity, timestamp)", got=list(frame.index.names))
    if frame.index.levels[1].tz is None:
        raise ContractError(file=name, column="timestamp", expected="moments in UTC", got="moments without time zone")
    if not frame.index.is_monotonic_increasing:
        frame = frame.sort_index()
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()][0]
        raise ContractError(file=name, expected="one row for an entity and a moment", got=f"two for {twice}")
    return frame


def _counts(service: pd.DataFrame) -> None:
    if service.empty and not {"good", "total"} <= set(service.columns):
        return
    missing = {"good", "total"} - set(service.columns)
    if missing:
        raise ContractError(file="service", expected="columns good and total", got=list(service.columns))
    wrong = (service["good"] > service["total"]) | (service["good"] < 0) | np.isinf(service["total"])
    if wrong.any():
        at = service.index[wrong][0]
        row = service[wrong].iloc[0]
        got = f"{row['good']:g} of {row['total']:g} at {at}"
        raise ContractError(file="service", expected="0 <= good <= total", got=got)
