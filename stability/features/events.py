"""What happened lately, how often and how long ago: of log templates, state changes and past faults."""

from __future__ import annotations

__all__ = ["Events", "events_of"]

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from stability.detection.rows import moments_of
from stability.features.happened import Happened
from stability.features.rolling import length_of
from stability.records import LogTemplates
from stability.records.privacy import scrub
from stability.schema import ContractError

CODE = r"[\w.\-]{1,40}"
OTHER = "other"  # what was too rare in the history to have a column of its own


def events_of(tables: Mapping[str, pd.DataFrame], templates: LogTemplates | None = None) -> pd.DataFrame:
    """Bring log lines, state changes and past faults into one table.

    Parameters
    ----------
    tables : mapping of DataFrame
        By contract, of which `logs`, `states` and `faults` are read where they are there.
    templates : LogTemplates, optional
        Fitted; gives each log line its template. Without, lines are told apart by their level.

    Returns
    -------
    DataFrame
        Columns entity, timestamp and name, in time's order: ``log_<template or level>``; ``code_<message>`` for a line
        of a single word, such as an error code; ``state_<name>`` and ``state_<name>_<value>`` for a value that was set;
        ``fault`` when a fault was felt, ``fault_<mode>`` then or when it was diagnosed, ``recovered`` when it was over.

    Examples
    --------
    >>> moment = pd.Timestamp("2026-01-01", tz="UTC")
    >>> states = pd.DataFrame({"timestamp": [moment], "entity": "web-1", "name": "version", "value": "1.2"})
    >>> events_of({"states": states})["name"].tolist()
    ['state_version', 'state_version_1_2']
    """
    parts = []
    if "logs" in tables:
        logs = tables["logs"]
        logs = logs.reset_index(drop=True)  # as that of the templates is
        kinds = templates.assign(logs) if templates is not None else logs["level"].fillna("unknown").str.lower()
        parts.append(_named(logs["entity"], logs["timestamp"], "log_" + kinds.astype("str")))
        codes = logs[logs["message"].str.fullmatch(CODE).fillna(False).astype(bool)]
        secret = [text for text in codes["message"].unique() if scrub(text) != text]  # names of features are kept
        codes = codes[~codes["message"].isin(secret)]
        parts.append(_named(codes["entity"], codes["timestamp"], "code_" + codes["message"].astype("str")))
    if "states" in tables:
        states = tables["states"]
        parts.append(_named(states["entity"], states["timestamp"], "state_" + states["name"].astype("str")))
        values = "state_" + states["name"].astype("str") + "_" + states["value"].astype("str")
        parts.append(_named(states["entity"], states["timestamp"], values))
    if "faults" in tables:
        parts.append(faults_as_events(tables["faults"]))
    none = pd.DataFrame({"entity": [], "timestamp": pd.to_datetime([], utc=True), "name": []})
    found = pd.concat(parts) if parts else none
    return found.sort_values("timestamp", kind="stable", ignore_index=True)


def faults_as_events(faults: pd.DataFrame) -> pd.DataFrame:
    """Say of each fault when it was felt, what it was once that was known, and when it was over.

    Parameters
    ----------
    faults : DataFrame
        By contract. A record that comes again with more in it (diagnosed, recovered) gives what it gave, and more.

    Returns
    -------
    DataFrame
        As of `events_of`; the index is that of the records.
    """
    if "fault_id" in faults:
        faults = faults.set_index("fault_id")
    felt = faults[faults["impact_start"].notna()]
    known = felt[felt["failure_mode"].notna()]
    when = known["impact_start"]
    if "diagnosed_at" in known:  # what it was is not known before someone has found out, where that is recorded
        when = known["diagnosed_at"].where(known["diagnosed_at"] > when, when)
    over = felt[felt["recovered_at"].notna()]  # what nobody felt ended for whoever planned it alone
    parts = [_named(felt["entity"], felt["impact_start"], "fault")]
    parts.append(_named(known["entity"], when, "fault_" + known["failure_mode"].astype("str")))
    parts.append(_named(over["entity"], over["recovered_at"], "recovered"))
    return pd.concat(parts)


def _named(entity: pd.Series, stamps: pd.Series, name: pd.Series | str) -> pd.DataFrame:
    table = pd.DataFrame({"entity": entity.astype("str"), "timestamp": stamps.dt.as_unit("us"), "name": name})
    return table.assign(name=table["name"].astype("str").str.replace(r"\W", "_", regex=True))


class Events:
    """Counts of events in windows (t - length, t], of an entity and of all, and the time since the last.

    Parameters
    ----------
    windows : sequence of str
        Lengths such as ``"1h"``; none where times since the last are wanted alone.
    since : str
        Longest time that is told apart: who had no event for so long, or never, has this many seconds.
    least : int
        A kind of event with fewer than so many in the history is counted with all others of the kind, as ``other``.
    kinds : sequence of str
        Patterns of kinds, such as ``"code_*"``; what fits none is no event here. All kinds without it.

    Attributes
    ----------
    kinds_ : list of str
        Kinds that have features, in their order.

    Examples
    --------
    >>> start = pd.Timestamp("2026-01-01", tz="UTC")
    >>> stamps = pd.DatetimeIndex([start, start + pd.Timedelta("10min"), start + pd.Timedelta("2h")], name="timestamp")
    >>> index = pd.MultiIndex.from_product([["a"], stamps.as_unit("us")], names=["entity", "timestamp"])
    >>> happened = pd.DataFrame({"entity": "a", "timestamp": [start + pd.Timedelta("5min")], "name": "error"})
    >>> events = Events(["1h"], since="1D", least=1).fit(happened)
    >>> events.transform(happened, index)[["error__count__1h", "error__since__1D"]].to_numpy().tolist()
    [[0.0, 86400.0], [1.0, 300.0], [0.0, 6900.0]]
    """

    def __init__(
        self, windows: Sequence[str], *, since: str = "30D", least: int = 5, kinds: Sequence[str] = ()
    ) -> None:
        self.windows, self.since, self.least, self.kinds = list(windows), since, least, list(kinds)
        if least < 1:
            raise ContractError(column="least", expected="a number from 1 up", got=least)
        self.lengths = [length_of(window) for window in self.windows]  # microseconds
        self._most = length_of(since)

    def fit(self, events: pd.DataFrame, *, wanted: Sequence[str] = ()) -> Events:
        """Learn which kinds of events there are.

        Parameters
        ----------
        events : DataFrame
            Columns entity, timestamp, name; of the training part alone.
        wanted : sequence of str
            Kinds that have features however rare they are.

        Returns
        -------
        Events
            Itself.
        """
        counts = self._own(events)["name"].value_counts().sort_index()
        self.kinds_ = [*sorted({*counts.index[counts >= self.least], *wanted} - {OTHER}), OTHER]
        return self

    def names(self) -> list[str]:
        """Names of the features, in their order."""
        if not hasattr(self, "kinds_"):
            raise ContractError("Events has seen no history yet", remedy="call fit(events) first")
        own = [[f"{k}__count__{w}", f"{k}__count_of_all__{w}"] for k in self.kinds_ for w in self.windows]
        return [name for pair in own for name in pair] + [f"{k}__since__{self.since}" for k in self.kinds_]

    def transform(self, events: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
        """Compute the features of rows.

        Parameters
        ----------
        events : DataFrame
            Columns entity, timestamp, name; everything that happened before the rows, as far back as `windows` and
            `since` reach. What is later than a row does not change it.
        index : MultiIndex (entity, timestamp)

        Returns
        -------
        DataFrame of float64
            Over the index, columns as of `names`.
        """
        names, columns = self.names(), []
        events = self._own(events)
        kinds = events["name"].where(events["name"].isin(self.kinds_), OTHER)
        happened, whose = moments_of(events["timestamp"]), events["entity"].astype("str").to_numpy()
        moments = moments_of(index.get_level_values("timestamp"))
        entities = index.get_level_values("entity")
        rows_of = entities.to_frame(index=False).groupby("entity", sort=False).indices
        since = np.full((len(self.kinds_), len(index)), float(self._most))
        for k, kind in enumerate(self.kinds_):
            own = (kinds == kind).to_numpy()
            all_ = np.sort(happened[own])
            counts = np.zeros((len(self.windows), len(index)))
            for entity, rows in rows_of.items():
                here, now = np.sort(happened[own & (whose == str(entity))]), moments[rows]
                after = np.searchsorted(here, now, side="right")
                for w, length in enumerate(self.lengths):
                    counts[w, rows] = after - np.searchsorted(here, now - length, side="right")
                if len(here):
                    last = np.where(after > 0, now - here[np.maximum(after - 1, 0)], self._most)
                    since[k, rows] = np.minimum(last, self._most)
            for w, length in enumerate(self.lengths):
                until, before = (np.searchsorted(all_, moments - back, side="right") for back in (0, length))
                columns += [counts[w], (until - before).astype("float64")]
        return pd.DataFrame(np.column_stack([*columns, *(since / 1e6)]), index, names, dtype="float64")

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, events: pd.DataFrame, *, late: int = 0) -> Events:
        """Remember what happened, as of `transform`; gives itself.

        Parameters
        ----------
        events : DataFrame
            Columns entity, timestamp, name.
        late : int
            Microseconds that a row may be older than the newest row.
        """
        self.names()
        self._happened = Happened(len(self.kinds_), self.lengths, most=self._most, late=late)
        self.add(events)
        return self

    def add(self, events: pd.DataFrame) -> None:
        """Take in what happened since: columns entity, timestamp, name; each event once, in any order."""
        if not hasattr(self, "_happened"):
            raise ContractError("Events has no history yet", remedy="call begin(events) first")
        places = {kind: k for k, kind in enumerate(self.kinds_)}
        events = self._own(events)
        kinds = events["name"].map(lambda name: places.get(name, places[OTHER])).to_numpy(dtype="int64")
        self._happened.add(kinds, events["entity"].astype("str").tolist(), moments_of(events["timestamp"]))

    def update(self, times: pd.DatetimeIndex | np.ndarray, entities: pd.Index) -> np.ndarray:
        """Features of rows from what has happened so far, shape (n, features); times and entities of shape (n,)."""
        if not hasattr(self, "_happened"):
            raise ContractError("Events has no history yet", remedy="call begin(events) first")
        moments, names = moments_of(times).tolist(), map(str, entities)
        found = [self._happened.row(name, moment) for name, moment in zip(names, moments, strict=True)]
        found = np.array(found, dtype="float64").reshape(len(moments), len(self.names()))
        found[:, -len(self.kinds_) :] /= 1e6
        return found

    def tidy(self, newest: int) -> None:
        """Forget what no window reaches any more once rows have come as far as `newest`, microseconds since 1970."""
        self._happened.tidy(newest)

    # ---- kept ----------------------------------------------------------------------------------------------------
    def learnt(self) -> dict[str, Any]:
        """What `fit` learnt, as plain values by name; `restore` takes it."""
        return {"kinds": self.kinds_}

    def restore(self, learnt: dict[str, Any]) -> Events:
        """Take what `learnt` gave; gives itself."""
        self.kinds_ = list(learnt["kinds"])
        return self

    def _own(self, events: pd.DataFrame) -> pd.DataFrame:
        """Events of the kinds that are wanted."""
        for name in ("entity", "timestamp", "name"):
            if name not in events:
                raise ContractError(file="events", column=name, expected="a column", got=f"{list(events)}")
        if not self.kinds:
            return events
        names = [name for name in events["name"].unique() if any(fnmatchcase(name, kind) for kind in self.kinds)]
        return events[events["name"].isin(names)]
