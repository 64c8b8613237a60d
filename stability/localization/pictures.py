"""What an entity looks like at the moment of an alarm: a level for each symptom, few enough that few cases teach them.

A symptom is a metric that moved, the same of its neighbours, a kind of log line, a state that changed, a kind of
message of users, a rule that fires, a detector's score or a predicted probability that moved. Its name is
`<kind>.<what>`, its level one of `LEVELS`.
"""

from __future__ import annotations

__all__ = ["LEVELS", "Album", "Moves", "album_of", "harm", "log_odds", "loudness", "picture", "usual_moves"]

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.onset import Grid, grid_of
from stability.records.templates import MASKS
from stability.schema import one_of

LEVELS = ("not there", "gone", "lower", "usual", "higher", "much higher")
ABSENT, GONE, LOWER, USUAL, HIGHER, MUCH = range(len(LEVELS))
NOW = 5  # values that say what is now, the last ones
STILL = 30.0  # s: for so long the last values of an entity that gives none any more say what is now
SHORTLY = 30.0  # s: within it log lines, messages and rules belong to the alarm
LATELY = 75.0  # s: within it a change of state may be the cause
BEFORE = (100.0, 60.0)  # s before the alarm: what was before it; a fault of less than 60 s has not begun there
QUANTILE = 0.98  # of the moves of quiet time: the unit of a metric's moves
CLEAR, LARGE = 1.25, 4.0  # units from which a move is seen, and is large
CERTAIN = 1e-3  # probabilities are held within [CERTAIN, 1 - CERTAIN]
FLOOR = 0.02  # of the level: less than that is no move
SHARED = (  # metrics that are looked at in neighbours
    "http_server_request_duration_seconds_p99",
    "http_server_errors_per_second",
    "http_server_active_requests",
    "process_cpu_seconds_per_second",
    "model_prediction_quality_ratio",
    "up",
)
FELT = {  # symptoms of what users feel, and the levels that hurt
    ("change.service_latency_seconds", "change.http_server_errors"): (HIGHER, MUCH),
    ("change.service_availability_ratio", "change.model_prediction_quality_ratio"): (LOWER,),
}


@dataclass(frozen=True)
class Moves:
    """What quiet time taught: the level of each metric of each entity, and how far it moves when nothing is wrong.

    Parameters
    ----------
    level, unit : DataFrame, index entity, columns metrics
        NaN where an entity has no such metric.
    beside : mapping of {'detector', 'prediction'} to Moves
        The same of detectors' scores, and of predicted probabilities as log odds, where these are evidence.
    """

    level: pd.DataFrame
    unit: pd.DataFrame
    beside: Mapping[str, Moves] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Plain numbers and names, for JSON; what an entity does not have is null."""
        tables = {"level": self.level, "unit": self.unit}
        said = {
            name: table.astype(object).where(table.notna(), None).to_numpy().tolist() for name, table in tables.items()
        }
        said |= {"entities": list(self.level.index), "metrics": list(self.level.columns)}
        return said | {"beside": {kind: own.to_dict() for kind, own in self.beside.items()}}

    @classmethod
    def from_dict(cls, said: Mapping) -> Moves:
        """The moves that `to_dict` wrote."""
        frame = {"index": pd.Index(said["entities"], name="entity"), "columns": pd.Index(said["metrics"])}
        tables = (pd.DataFrame(said[name], **frame, dtype="float64") for name in ("level", "unit"))
        return cls(*tables, {kind: cls.from_dict(own) for kind, own in said["beside"].items()})


def _seconds(grid: Grid, at: pd.Timestamp) -> np.ndarray:
    """Seconds before the moment, of each row."""
    return ((at - grid.stamps) / pd.Timedelta("1s")).to_numpy()


def _moved(grid: Grid, at: pd.Timestamp, level: np.ndarray, alarmed: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
    """What is now, and by how much that differs from what was before and is usual: shape (entities, metrics)."""
    ago, before_alarm = _seconds(grid, at), _seconds(grid, alarmed)
    with np.errstate(all="ignore"):
        now = _last(grid.values[(ago >= 0) & (ago < STILL)])
        before = grid.values[(before_alarm <= BEFORE[0]) & (before_alarm > BEFORE[1])]
        recent = now - (_median(before) if len(before) else level)
        usual = now - level
    # What was before may have been a fault, too, and the usual level does not know the hour: it differs from both.
    both = np.where(np.abs(recent) < np.abs(usual), recent, usual)
    return now, np.where(np.isnan(recent), usual, np.where(np.isnan(usual), recent, both))


def _last(values: np.ndarray) -> np.ndarray:
    """Mean of the last values that are known."""
    known = np.isfinite(values)
    known &= np.cumsum(known[::-1], axis=0)[::-1] <= NOW
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _median(values: np.ndarray) -> np.ndarray:
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, values), axis=0))


def log_odds(predictions: pd.DataFrame) -> pd.DataFrame:
    """Turn predicted probabilities into a panel: a column a horizon, in log odds.

    Parameters
    ----------
    predictions : DataFrame
        Of the contract: index (entity, timestamp, horizon), column `probability`.

    Returns
    -------
    DataFrame of float64, index (entity, timestamp)

    Examples
    --------
    >>> at = pd.Timestamp("2026-01-01", tz="UTC")
    >>> index = pd.MultiIndex.from_tuples([("a", at, 30)], names=["entity", "timestamp", "horizon"])
    >>> log_odds(pd.DataFrame({"probability": [0.9]}, index=index)).round(3).to_dict("list")
    {'impact_within_30s': [2.197]}
    """
    p = predictions["probability"].clip(CERTAIN, 1 - CERTAIN)
    return np.log(p / (1 - p)).unstack("horizon").rename(columns=lambda horizon: f"impact_within_{horizon}s")  # noqa: PD010


PANELS = {  # kind of evidence beside the metrics -> table of the case, and the panel that is made of it
    "detector": ("scores", lambda scores: scores),
    "prediction": ("predictions", log_odds),
}


def usual_moves(
    telemetry: pd.DataFrame, moments: Iterable[pd.Timestamp], beside: Mapping[str, pd.DataFrame] | None = None
) -> Moves:
    """Learn how far metrics move when nothing is wrong.

    Parameters
    ----------
    telemetry : DataFrame
        Panel with rates in the place of counters, as `telemetry.rate` gives it.
    moments : iterable of Timestamp
        At which nothing was wrong.
    beside : mapping of {'detector', 'prediction'} to DataFrame, optional
        Tables `scores` and `predictions` of the same time: they become evidence.

    Returns
    -------
    Moves
    """
    moments = list(moments)
    also = {one_of(k, PANELS, "kind of evidence"): PANELS[k][1](table) for k, table in (beside or {}).items()}
    grid = grid_of(telemetry)
    windows, level = [], np.full(grid.values.shape[1:], np.nan)
    for at in moments:
        a, b = grid.stamps.searchsorted([at - pd.Timedelta(seconds=BEFORE[0]), at], side="right")
        windows.append((Grid(grid.values[a:b], grid.stamps[a:b], grid.entities, grid.metrics), at))
    if windows:
        level = _median(np.array([_moved(*window, level, window[1])[0] for window in windows]))
    frame = {"index": pd.Index(grid.entities, name="entity"), "columns": grid.metrics}
    with np.errstate(all="ignore"):
        size = np.abs(np.array([_moved(*window, level, window[1])[1] for window in windows] or [level]))
        empty = np.isnan(size).all(axis=0)
        unit = np.where(empty, np.nan, np.nanquantile(np.where(empty, 0.0, size), QUANTILE, axis=0))
    unit = np.fmax(unit, np.maximum(FLOOR * np.abs(level), 1e-9))
    tables = pd.DataFrame(level, **frame), pd.DataFrame(np.where(np.isnan(level), np.nan, unit), **frame)
    return Moves(*tables, {kind: usual_moves(panel, moments) for kind, panel in also.items()})


def picture(case: Case, usual: Moves, alarmed: pd.Timestamp | None = None) -> pd.DataFrame:
    """Look at every candidate entity of a case.

    Parameters
    ----------
    case : Case
        Its telemetry has rates in the place of counters.
    usual : Moves
    alarmed : Timestamp, optional
        When the alarm was raised, where the case was cut later: what was before is before the alarm.

    Returns
    -------
    DataFrame of int8, index entity, columns symptoms
        Places in `LEVELS`. A symptom that nobody in the case shows may be missing: `USUAL` for those who could.
    """
    entities = case.candidates.unique("entity")
    alarmed = case.at if alarmed is None else alarmed
    own = _metrics(case, usual, entities, alarmed)
    parts = [own.add_prefix("change."), _neighbours(case, own)]
    parts += [look(case, entities, alarmed) for look in (_logs, _states, _said, _rules)]
    parts += [_beside(case, kind, own, entities, alarmed) for kind, own in usual.beside.items()]
    return pd.concat([part for part in parts if part is not None], axis=1).astype("int8")


class Album(NamedTuple):
    """Pictures of several cases as one block.

    Parameters
    ----------
    levels : array of int8, shape (rows, symptoms)
    case : array of int, shape (rows,)
        Place in `cases`; a case's rows stand together.
    entity : array of str, shape (rows,)
    symptoms : array of str, shape (symptoms,)
    cases : list of str
    """

    levels: np.ndarray
    case: np.ndarray
    entity: np.ndarray
    symptoms: np.ndarray
    cases: list[str]


def album_of(pictures: Mapping[str, pd.DataFrame]) -> Album:
    """Lay pictures out as one block; a symptom that a picture lacks is usual there.

    Examples
    --------
    >>> one = pd.DataFrame({"change.up": [LOWER, USUAL]}, index=["a", "b"])
    >>> album = album_of({"x": one, "y": one.rename(columns={"change.up": "rule.Down"})})
    >>> album.levels.tolist(), album.case.tolist()
    ([[2, 3], [3, 3], [3, 2], [3, 3]], [0, 0, 1, 1])
    """
    symptoms = np.array(sorted({name for one in pictures.values() for name in one.columns}), dtype=object)
    place = {name: k for k, name in enumerate(symptoms)}
    levels = np.full((sum(map(len, pictures.values())), len(symptoms)), USUAL, dtype=np.int8)
    begin = 0
    for one in pictures.values():
        levels[begin : begin + len(one), [place[name] for name in one.columns]] = one.to_numpy()
        begin += len(one)
    case = np.repeat(np.arange(len(pictures)), [len(one) for one in pictures.values()])
    entity = np.array([name for one in pictures.values() for name in one.index], dtype=object)
    return Album(levels, case, entity, symptoms, list(pictures))


def loudness(one: pd.DataFrame) -> int:
    """Count the symptoms that a picture shows, over all entities."""
    return int(((one != USUAL) & (one != ABSENT)).to_numpy().sum())


def harm(one: pd.DataFrame) -> int:
    """Count what users feel: answers that are slower, that fail, that are wrong; of any entity that shows it.

    Examples
    --------
    >>> harm(pd.DataFrame({"change.service_availability_ratio": [USUAL, LOWER], "change.process_threads": [MUCH] * 2}))
    1
    """
    total = 0
    for names, worse in FELT.items():
        seen = one[[name for name in one if name.startswith(names)]]
        total += int(seen.isin(worse).to_numpy().sum())
    return total


def _metrics(case: Case, usual: Moves, entities: pd.Index, alarmed: pd.Timestamp) -> pd.DataFrame:
    columns = usual.level.columns
    found = pd.DataFrame(ABSENT, index=entities, columns=columns, dtype="int8")
    stamps = case.telemetry.index.get_level_values("timestamp")
    late = case.telemetry[stamps > alarmed - pd.Timedelta(seconds=BEFORE[0])]
    if not len(late):
        return found
    grid = grid_of(late.reindex(columns=columns))
    level = usual.level.reindex(grid.entities).to_numpy()
    unit = usual.unit.reindex(grid.entities).to_numpy()
    now, moved = _moved(grid, case.at, level, alarmed)
    with np.errstate(invalid="ignore"):
        z = moved / unit
        levels = np.select([z <= -CLEAR, z >= LARGE, z >= CLEAR], [LOWER, MUCH, HIGHER], USUAL)
    levels = np.where(np.isnan(level), ABSENT, np.where(np.isnan(now), GONE, levels))
    each = pd.DataFrame(levels, index=grid.entities, columns=columns)
    return each.reindex(entities, fill_value=ABSENT)


def _beside(case: Case, kind: str, usual: Moves, entities: pd.Index, alarmed: pd.Timestamp) -> pd.DataFrame | None:
    """How detectors' scores, or predicted probabilities, differ from what was before and is usual."""
    name, panel = PANELS[kind]
    table = case.get(name)
    return (
        None if table is None else _metrics(case.seeing(panel(table)), usual, entities, alarmed).add_prefix(f"{kind}.")
    )


def _neighbours(case: Case, own: pd.DataFrame) -> pd.DataFrame | None:
    """The clearest of those who call an entity, whom it calls, and who are called by the same."""
    if case.topology is None:
        return None
    calls = case.topology.index[case.topology["kind"] == "calls"]
    below: dict[str, set[str]] = {e: set() for e in own.index}
    above: dict[str, set[str]] = {e: set() for e in own.index}
    for source, target in calls:
        below.setdefault(source, set()).add(target)
        above.setdefault(target, set()).add(source)
    names = [name for name in SHARED if name in own]
    rank = np.array([0, 4, 2, 1, 3, 5])[own[names].to_numpy(dtype=int)]  # the clearer a level is, the higher
    back = np.array([ABSENT, USUAL, LOWER, HIGHER, GONE, MUCH])
    place = {entity: i for i, entity in enumerate(own.index)}
    made = {}
    for role, of in (
        ("callers", above.get),
        ("called", below.get),
        ("peers", lambda e: {x for a in above[e] for x in below[a]} - {e}),
    ):
        rows = [[place[n] for n in of(e) if n in place] for e in own.index]
        best = np.array([rank[own_rows].max(axis=0) if own_rows else np.zeros(len(names), int) for own_rows in rows])
        made |= {f"topology.{role}:{name}": back[best[:, j]] for j, name in enumerate(names)}
    return pd.DataFrame(made, index=own.index)


def _within(table: pd.DataFrame, at: pd.Timestamp, seconds: float) -> pd.DataFrame:
    return table[table["timestamp"] > at - pd.Timedelta(seconds=seconds)]


def _flags(rows: Iterable[tuple[str, str]], entities: pd.Index) -> pd.DataFrame:
    """Of (entity, symptom) that are there: HIGHER, and USUAL for all others."""
    kept = sorted({(e, s) for e, s in rows if e in entities})
    found = pd.DataFrame(USUAL, index=entities, columns=sorted({s for _, s in kept}), dtype="int8")
    for entity, symptom in kept:
        found.loc[entity, symptom] = HIGHER
    return found


def _logs(case: Case, entities: pd.Index, alarmed: pd.Timestamp) -> pd.DataFrame | None:
    table = case.get("logs")
    if table is None:
        return None
    late = _within(table, alarmed, SHORTLY)
    lines = late["message"].fillna("").astype(str)
    names = re.compile("|".join(sorted(map(re.escape, entities), key=len, reverse=True)))
    rows = []
    for writer, line in zip(late["entity"], lines, strict=True):
        named = [n for n in dict.fromkeys(names.findall(line)) if n != writer]
        text = names.sub("<entity>", line)
        for mask, word in MASKS:
            text = mask.sub(word, text)
        rows.append((writer, f"logs.writes: {text}"))
        if len(named) == 1:  # a line that names one entity speaks of it
            rows.append((named[0], f"logs.about it: {text}"))
    return _flags(rows, entities)


def _states(case: Case, entities: pd.Index, alarmed: pd.Timestamp) -> pd.DataFrame | None:
    table = case.get("states")
    if table is None:
        return None
    ordered = table.sort_values("timestamp", kind="stable")
    before = ordered.groupby(["entity", "name"])["value"].shift()
    changed = ordered[before.notna() & (before != ordered["value"])]
    late = _within(changed, alarmed, LATELY)
    return _flags(zip(late["entity"], "state." + late["name"].astype(str), strict=True), entities)


def _said(case: Case, entities: pd.Index, alarmed: pd.Timestamp) -> pd.DataFrame | None:
    table = case.get("feedback")
    if table is None:
        return None
    late = _within(table, alarmed, SHORTLY).dropna(subset=["entity", "category"])
    return _flags(zip(late["entity"], "feedback." + late["category"].astype(str), strict=True), entities)


def _rules(case: Case, entities: pd.Index, alarmed: pd.Timestamp) -> pd.DataFrame | None:
    table = case.get("firings")
    if table is None:
        return None
    open_ = table["end"].isna() | (table["end"] > alarmed - pd.Timedelta(seconds=SHORTLY))
    late = table[open_]
    return _flags(zip(late["entity"], "rule." + late["rule"].astype(str), strict=True), entities)
