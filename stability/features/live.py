"""Features of rows as they come, from what the parts remember of those before."""

from __future__ import annotations

__all__ = ["Live"]

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stability.detection.rows import moments_of, no_rows, runs
from stability.features.counters import Rates
from stability.features.events import faults_as_events
from stability.schema import ContractError, empty, validate

if TYPE_CHECKING:
    from stability.features.assembly import Features


class Live:
    """What features of rows to come need of what has been.

    Parameters
    ----------
    features : Features
        Fitted; its parts are set going.
    tables : mapping of DataFrame
        As of `Features.begin`.
    late : int
        Microseconds that a row may be older than the newest row.
    """

    def __init__(self, features: Features, tables: Mapping[str, pd.DataFrame], late: int) -> None:
        self.features, self.late = features, late
        found = features.transform(tables)
        self.names = list(found.columns)
        told = validate(tables["telemetry"], "telemetry").reindex(columns=features.told_)
        panel = features.panel({"telemetry": told})
        self._rates = Rates().begin(told)
        for metrics, part in features.parts:
            part.begin(panel if metrics is None else panel[list(metrics)])
        entities, starts = runs(panel.index)
        moments = moments_of(panel.index.get_level_values("timestamp"))
        self._last = dict(zip(map(str, entities), moments[starts[1:] - 1].tolist(), strict=True))
        self._newest = int(moments.max(initial=0))
        self._faults: dict[tuple, int] = {}  # what has been told of which fault, as far back as windows reach
        self._back = late + max(features.events.lengths, default=0) if features.events is not None else 0
        # Of its own: what is asked of whole tables meanwhile changes nothing here.
        self._new_lines = copy.copy(features.new_lines).begin() if features.new_lines is not None else None
        if features.events is not None:
            rest = {name: table for name, table in tables.items() if name != "faults"}
            features.events.begin(features.happened(rest, self._new_lines), late=late)
        if features.states is not None:
            features.states.begin(tables["states"], late=late)
        if features.near is not None:
            features.near.begin(found, late=late)
        self._take({name: table for name, table in tables.items() if name == "faults"})

    def update(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """As `Features.update`."""
        features = self.features
        told = validate(tables["telemetry"], "telemetry") if "telemetry" in tables else empty("telemetry")
        told = told.reindex(columns=features.told_)
        entities, moments = told.index.get_level_values("entity"), moments_of(told.index.get_level_values("timestamp"))
        newest = self._checked(entities, moments)
        self._take(tables)
        if told.empty:
            return self._framed(np.empty((0, len(self.names))), no_rows())
        parts = [self._of_metrics(told, moments, entities)]
        if features.events is not None:
            parts.append(features.events.update(moments, entities))
            features.events.tidy(newest)
        if features.due is not None:
            parts.append(features.due.transform(pd.DataFrame(parts[-1], columns=features.events.names())).to_numpy())
        if features.states is not None:
            parts.append(features.states.update(moments, entities))
            features.states.tidy(newest)
        if features.calendar is not None:
            parts.append(features.calendar.update(moments))
        found = np.column_stack(parts)
        if features.near is not None:
            places = [self.names.index(name) for name in features.near.features]
            found = np.column_stack([found, features.near.update(found[:, places], moments, entities)])
        self._newest = newest
        self._last |= dict(zip(map(str, entities), moments.tolist(), strict=True))
        self._faults = {key: when for key, when in self._faults.items() if when > newest - self._back}
        return self._framed(found, told.index)

    def _framed(self, found: np.ndarray, index: pd.MultiIndex) -> pd.DataFrame:
        framed = pd.DataFrame(found, index, self.names)
        framed.attrs["fitted_on"] = self.features.fitted_on_
        return framed

    def _checked(self, entities: pd.Index, moments: np.ndarray) -> int:
        """Refuse rows that come too late, before anything is taken in; the newest moment."""
        oldest = self._newest - self.late
        for entity, moment in zip(map(str, entities), moments.tolist(), strict=True):
            if moment <= self._last.get(entity, -1):
                got = f"one of {entity} at {pd.Timestamp(moment, unit='us')} that is not"
                raise ContractError(file="telemetry", expected="a row after the one before", got=got)
            if moment < oldest:
                expected = f"rows that are not late, from {pd.Timestamp(oldest, unit='us')} on"
                got = f"one of {entity} at {pd.Timestamp(moment, unit='us')}"
                remedy = "leave the row out, or begin again: begin(tables, late=...)"
                raise ContractError(file="telemetry", expected=expected, got=got, remedy=remedy)
        return max(self._newest, int(moments.max(initial=0)))

    def _take(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Take in what has happened."""
        features = self.features
        if features.events is not None:
            rest = {name: tables[name] for name in ("logs", "states") if name in tables}
            if rest:
                features.events.add(features.happened(rest, self._new_lines))
            if "faults" in tables:
                features.events.add(self._untold(faults_as_events(tables["faults"])))
        if features.states is not None and "states" in tables:
            features.states.add(tables["states"])

    def _untold(self, events: pd.DataFrame) -> pd.DataFrame:
        """Events of faults that have not come before."""
        keys = list(zip(events.index, events["name"], strict=True))
        new = np.array([key not in self._faults for key in keys], dtype=bool)
        self._faults |= dict(zip(keys, moments_of(events["timestamp"]).tolist(), strict=True))
        return events[new]

    def _of_metrics(self, told: pd.DataFrame, moments: np.ndarray, entities: pd.Index) -> np.ndarray:
        """Features of the metrics alone, of rows that are sorted by entity and time."""
        every, rows_of = slice(None), told.to_numpy(dtype="float64")
        places = [
            every if own is None else [self.features.metrics_.index(name) for name in own]
            for own, _ in self.features.parts
        ]
        found = np.empty((len(told), 0))
        for rows in _in_turn(told.index):
            when, whose = moments[rows], entities[rows]
            values = self._rates.update(rows_of[rows], when, whose)
            pairs = zip(places, self.features.parts, strict=True)
            parts = [part.update(values[:, own], when, whose) for own, (_, part) in pairs]
            own = np.column_stack([np.empty((len(rows), 0)), *parts])
            found = found if found.shape[1] else np.full((len(told), own.shape[1]), np.nan)
            found[rows] = own
        return found


def _in_turn(index: pd.MultiIndex) -> Iterator[np.ndarray]:
    """Places of each entity's first row, of each one's second, and so on."""
    _, starts = runs(index)
    sizes = np.diff(starts)
    for k in range(int(sizes.max(initial=0))):
        yield starts[:-1][sizes > k] + k
