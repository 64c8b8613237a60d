"""A case: one alarm with everything that was known at its moment, and who could be the cause."""

from __future__ import annotations

__all__ = ["Case", "cases", "preceded"]

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from stability.schema import ContractError, nearest, validate

DATED = {"states": "timestamp", "logs": "timestamp", "feedback": "timestamp", "firings": "start"}
PANELS = ("telemetry", "scores")
KINDS = ("telemetry", "topology", "states", "logs", "scores", "predictions", "firings", "contributions", "feedback")


@dataclass(frozen=True)
class Case:
    """One alarm, and what was known at its moment; a table that is missing was not known.

    Parameters
    ----------
    alarm_id : str
        Name of the alarm.
    entity : str
        Entity whose alarm it is.
    metrics : tuple of str
        Metrics that the alarm names, the most responsible first; empty where it names none.
    at : Timestamp
        Nothing in the case is later.
    candidates : MultiIndex of (entity, metric)
        Who could be the cause; metric '' means the entity as a whole.
    tables : mapping of str to DataFrame
        Of `telemetry` (the history before `at`), `topology`, `states`, `logs`, `scores`, `predictions`, `firings`
        (episodes of rules, as `rules.firings` gives them), `contributions`,
        `feedback`.
    reference : DataFrame or None
        Telemetry of a time known to be normal, for cases that have little history of their own.
    """

    alarm_id: str
    entity: str
    metrics: tuple[str, ...]
    at: pd.Timestamp
    candidates: pd.MultiIndex
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    reference: pd.DataFrame | None = None

    def get(self, kind: str) -> pd.DataFrame | None:
        """Give a table of the case; None where it was not known or holds no row."""
        table = self.tables.get(kind)
        return None if table is None or not len(table) else table

    def seeing(self, telemetry: pd.DataFrame) -> Case:
        """The same case with another panel, for a method that is to see less of it, or more."""
        return replace(self, tables={**self.tables, "telemetry": telemetry})

    @property
    def telemetry(self) -> pd.DataFrame:
        """The panel up to the moment of the alarm; without rows where there is none."""
        table = self.tables.get("telemetry")
        return validate(pd.DataFrame(columns=["entity", "timestamp"]), "telemetry") if table is None else table

    @property
    def topology(self) -> pd.DataFrame | None:
        """Who depends on whom, as (source, target) index and kind; None where that is not known."""
        return self.get("topology")


def cases(
    tables: Mapping[str, pd.DataFrame],
    alarms: pd.DataFrame,
    *,
    history: str | pd.Timedelta = "1h",
    known_until: pd.Series | None = None,
    candidates: pd.MultiIndex | Mapping[str, pd.MultiIndex] | None = None,
    among: Mapping[str, list[str]] | None = None,
    reference: pd.DataFrame | None = None,
) -> list[Case]:
    """Cut, for each alarm, what was known at its moment.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Any of `telemetry`, `topology`, `states`, `logs`, `scores`, `predictions`, `firings`, `contributions`,
        `feedback`, in contract form; others are left out. A table may be missing.
    alarms : DataFrame
        The alarms of the contract.
    history : str or Timedelta
        How far before the moment the case reaches.
    known_until : Series of datetime, index alarm_id, optional
        The moment of each case where that is not the alarm's start: a benchmark that starts from a later one.
    candidates : MultiIndex of (entity, metric), or mapping of alarm_id to one, optional
        Who could be the cause; without it every entity that has telemetry in the case, each as a whole.
    among : mapping of alarm_id to list of str, optional
        The entities of a case, where a table holds others that have nothing to do with it.
    reference : DataFrame, optional
        A panel of normal time, which all cases share.

    Returns
    -------
    list of Case
        In the order of the alarms.

    Raises
    ------
    ContractError
        Where an alarm has no moment in `known_until`, or `candidates` is no index of entity and metric.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=9, freq="60s", tz="UTC", name="timestamp")
    >>> panel = validate(pd.DataFrame({"up": 1.0, "entity": "api"}, index=stamps).reset_index(), "telemetry")
    >>> alarm = {"alarm_id": ["a"], "entity": ["api"], "start": [stamps[5]], "detector": ["rule"], "metrics": ["up"]}
    >>> [case] = cases({"telemetry": panel}, validate(pd.DataFrame(alarm), "alarms"), history="4min")
    >>> case.at, len(case.telemetry), case.candidates.tolist()
    (Timestamp('2026-01-01 00:05:00+0000', tz='UTC'), 4, [('api', '')])
    """
    alarms = validate(alarms, "alarms")
    until = alarms["start"] if known_until is None else known_until.reindex(alarms.index)
    if until.isna().any():
        raise ContractError(
            column="known_until",
            expected="a moment for each alarm",
            got=f"none for {until.index[until.isna()][0]}",
            remedy=nearest(str(until.index[until.isna()][0]), known_until.index),
        )
    made = []
    for name, alarm in alarms.iterrows():
        own = among.get(name) if among is not None else None
        known = {k: _known(tables[k], k, until[name], pd.Timedelta(history), own, name) for k in KINDS if k in tables}
        who = candidates.get(name) if isinstance(candidates, Mapping) else candidates
        if who is None:
            there = known["telemetry"].index.unique("entity") if "telemetry" in known else [alarm["entity"]]
            who = pd.MultiIndex.from_product([there, [""]], names=["entity", "metric"])
        if not isinstance(who, pd.MultiIndex) or who.nlevels != 2:
            raise ContractError(column="candidates", expected="an index of (entity, metric)", got=type(who).__name__)
        metrics = tuple(m.strip() for m in str(alarm["metrics"]).split(",")) if pd.notna(alarm["metrics"]) else ()
        made.append(
            Case(name, alarm["entity"], metrics, until[name], who.set_names(["entity", "metric"]), known, reference)
        )
    return made


def preceded(case: Case, normal: pd.DataFrame) -> Case:
    """Put normal time before a case that has no history, for methods that compare with what was before.

    Parameters
    ----------
    case : Case
    normal : DataFrame
        Panel; its rows are moved so that the last one lies a step before the case's first. Entities that the case does
        not have are left out.

    Returns
    -------
    Case
        With both panels as its telemetry.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=3, freq="60s", tz="UTC", name="timestamp")
    >>> panel = validate(pd.DataFrame({"up": 1.0, "entity": "api"}, index=stamps).reset_index(), "telemetry")
    >>> who = pd.MultiIndex.from_tuples([("api", "")])
    >>> case = Case("a", "api", (), stamps[2], who, {"telemetry": panel})
    >>> longer = preceded(case, panel).telemetry.index.get_level_values("timestamp")
    >>> len(longer), longer[0]
    (6, Timestamp('2025-12-31 23:57:00+0000', tz='UTC'))
    """
    stamps = case.telemetry.index.get_level_values("timestamp").unique().sort_values()
    own = normal[normal.index.isin(case.telemetry.index.unique("entity"), "entity")]
    moments = own.index.get_level_values("timestamp")
    step = stamps[1] - stamps[0]
    moved = moments - moments.max() + stamps[0] - step
    index = pd.MultiIndex.from_arrays([own.index.get_level_values("entity"), moved], names=own.index.names)
    return case.seeing(pd.concat([own.set_axis(index), case.telemetry]).sort_index())


def _known(
    table: pd.DataFrame, kind: str, at: pd.Timestamp, history: pd.Timedelta, own: list[str] | None, alarm: str
) -> pd.DataFrame:
    """The rows of a table that were known at a moment, and belong to the case."""
    if kind == "topology":
        return table if own is None else table[table.index.isin(own, "source") & table.index.isin(own, "target")]
    if kind == "contributions":
        return table[table.index.get_level_values("alarm_id") == alarm]
    if kind in DATED:
        moment = table[DATED[kind]]
        kept = table[(moment > at - history) & (moment <= at)]
        if "end" in kept:  # an episode that is over later was still open at the moment
            kept = kept.assign(end=kept["end"].where(kept["end"] <= at))
        return kept if own is None else kept[kept["entity"].isin(own)]
    kept = _between(table, at - history, at)
    return kept if own is None else kept[kept.index.isin(own, "entity")]


def _between(table: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    stamps = table.index.get_level_values("timestamp")
    return table[(stamps > start) & (stamps <= end)]
