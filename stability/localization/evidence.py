"""What speaks for each candidate of a case: a row of numbers by kind; a kind that is not known says 0, and is named.

Columns are `<kind>.<name>`. All are 0 where nothing speaks for the candidate, so that a sum over them is additive
evidence and a missing kind drops out of it. Which kinds were known is in `frame.attrs["known"]`.
"""

from __future__ import annotations

__all__ = ["KINDS", "NOBODY", "Usual", "evidence", "usual_of"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.flows import FLOWS, Excess, excess, usual_flows
from stability.localization.onset import CHANGED, GAUSS, Grid, Moved, grid_of, moved_of, rank_share
from stability.localization.surroundings import topology_features, views_of
from stability.records.templates import MASKS
from stability.schema import ContractError

KINDS = ("change", "topology", "detector", "prediction", "state", "logs", "feedback", "rule", "none")
NOBODY = ("", "")  # the candidate that stands for: there is no fault
NOBODY_INDEX = pd.MultiIndex.from_tuples([NOBODY], names=["entity", "metric"])
EPOCH = pd.Timestamp("2000-01-01", tz="UTC")
CERTAIN = 1e-3  # probabilities are held within [CERTAIN, 1 - CERTAIN]


@dataclass(frozen=True)
class Usual:
    """What normal time taught: noise of metrics and of flows, and the log lines that belong to it.

    Parameters
    ----------
    level, scale : DataFrame, index entity, columns metrics
        Of each series' rows.
    flows : DataFrame, index entity
        As `flows.usual_flows` makes it.
    lines : frozenset of str
        Log lines without their numbers.
    """

    level: pd.DataFrame
    scale: pd.DataFrame
    flows: pd.DataFrame
    lines: frozenset[str] = frozenset()

    @property
    def metrics(self) -> pd.DataFrame:
        """The same as `onset.changes` takes it: index (entity, metric), columns `level` and `scale`."""
        both = {"level": self.level.T.unstack(), "scale": self.scale.T.unstack()}  # noqa: PD010
        return pd.DataFrame(both).rename_axis(["entity", "metric"])

    def block(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Level and scale of the series of a grid, shape (entities, metrics); NaN where not known."""
        own = [frame.reindex(index=grid.entities, columns=grid.metrics) for frame in (self.level, self.scale)]
        return own[0].to_numpy(dtype="float64"), own[1].to_numpy(dtype="float64")


def usual_of(normal: pd.DataFrame | None = None, logs: pd.DataFrame | None = None) -> Usual:
    """Learn what is usual from a time that was normal.

    Parameters
    ----------
    normal : DataFrame, optional
        Panel; without one the cases' own history has to do.
    logs : DataFrame, optional
        Log lines of that time.

    Returns
    -------
    Usual
    """
    nothing = pd.DataFrame(index=pd.Index([], name="entity"), dtype="float64")
    level, scale = nothing, nothing
    flows = nothing.reindex(columns=["requests", "used", *_flow_columns()])
    if normal is not None and len(normal):
        own = normal.groupby(level="entity", sort=False)
        level = own.median()
        low, high = own.quantile(0.05), own.quantile(0.95)
        spread = GAUSS * (normal - level.reindex(normal.index.get_level_values("entity")).to_numpy()).abs()
        # A ratio that is mostly 1 has a median deviation of 0 and moves all the same.
        scale = np.maximum(spread.groupby(level="entity", sort=False).median(), (high - low) / 3.29)
        flows = usual_flows(normal)
    return Usual(level, scale, flows, frozenset() if logs is None else frozenset(_masked(logs["message"])))


def _flow_columns() -> list[str]:
    return [f"{flow}{end}" for flow in FLOWS.values() for end in ("", "_scale")]


def evidence(case: Case, usual: Usual, views: str | None = None) -> pd.DataFrame:
    """Collect the evidence for each candidate of a case, and for nobody.

    Parameters
    ----------
    case : Case
    usual : Usual
        From `usual_of`.
    views : str, optional
        Regular expression with one group: entities in which it captures the same text are views of one thing, and the
        view that others depend on stands for it.

    Returns
    -------
    DataFrame
        Index (entity, metric), the candidates and `NOBODY` last; float64 columns `<kind>.<name>`, none missing.
        `attrs["known"]`: tuple of the kinds that the case knew something of.
    """
    if not len(case.candidates):
        raise ContractError(column="candidates", expected="a candidate or more", got=f"none for {case.alarm_id}")
    index = case.candidates
    seen = _seen(case, usual)
    main, other = _flows(case, usual, seen)
    onset = _alarm_onset(case, seen, main)
    z = np.zeros(len(index)) if seen is None else seen.largest
    parts = {
        "change": None if seen is None else _change(seen),
        "topology": topology_features(case, z, main, other, views_of(index, case.topology, views)),
        "detector": _detector(case, index),
        "prediction": _prediction(case, index),
        "state": _state(case, index, onset),
        "logs": _logs(case, index, onset, usual.lines),
        "feedback": _feedback(case, index),
        "rule": _rules(case, index),
    }
    columns = {f"{kind}.{name}": own for kind, part in parts.items() if part for name, own in part.items()}
    columns |= {"none.always": np.zeros(len(index)), "none.calm": np.zeros(len(index))}
    columns["none.still"] = np.zeros(len(index))
    values = np.zeros((len(index) + 1, len(columns)))
    values[:-1] = np.nan_to_num(np.column_stack(list(columns.values())))
    values[-1, -3:] = 1.0, -_loudness(case, seen, main), -np.log1p(0.0 if main is None else main.clearest)
    frame = pd.DataFrame(values, index=index.append(NOBODY_INDEX), columns=list(columns))
    frame.attrs["known"] = tuple(kind for kind, part in parts.items() if part)
    return frame


class _Seen(NamedTuple):
    """What moved: the grid, its changes, and each candidate's place in them (-1: it is not there, or is a whole)."""

    grid: Grid
    moved: Moved
    entity: np.ndarray
    metric: np.ndarray
    largest: np.ndarray


def _seen(case: Case, usual: Usual) -> _Seen | None:
    if not len(case.telemetry):
        return None
    grid = grid_of(case.telemetry)
    moved = moved_of(grid, *usual.block(grid))
    entity = grid.entities.get_indexer(case.candidates.get_level_values("entity"))
    place = grid.metrics.get_indexer(case.candidates.get_level_values("metric"))
    known = np.nan_to_num(np.maximum(moved.z, 0.0))
    return _Seen(grid, moved, entity, place, _placed(known, known.max(axis=1), entity, place, case.candidates))


def _placed(
    each: np.ndarray, whole: np.ndarray, entity: np.ndarray, place: np.ndarray, index: pd.MultiIndex
) -> np.ndarray:
    """Values of each candidate, its metric's or its entity's; 0 where there is no telemetry of it."""
    own = np.where(_whole(index), whole[entity], np.where(place >= 0, each[entity, place], 0.0))
    return np.where(entity >= 0, own, 0.0)


def _whole(index: pd.MultiIndex) -> np.ndarray:
    """Which candidates are entities as a whole."""
    return index.get_level_values("metric") == ""


def _of_entity(values: pd.Series, index: pd.MultiIndex) -> np.ndarray:
    """Values by entity for each candidate, as floats; NaN where there is none."""
    return values.reindex(index.get_level_values("entity")).to_numpy(dtype="float64", na_value=np.nan)


def _seconds(moments: pd.Series) -> pd.Series:
    """Moments as numbers, so that they can be compared and missing."""
    return pd.Series((moments - EPOCH) / pd.Timedelta("1s"), index=moments.index, dtype="float64")


def _change(seen: _Seen) -> Mapping[str, np.ndarray]:
    z = np.where(np.isnan(seen.moved.z), -np.inf, seen.moved.z)
    late = len(seen.grid.stamps) + 1
    first = np.where(z >= CHANGED, seen.moved.first, late)
    own = np.where(seen.metric >= 0, first[seen.entity, seen.metric], first.min(axis=1)[seen.entity])
    own = np.where(seen.entity >= 0, own, late)
    order = pd.Series(own).rank(method="min").to_numpy()
    return {
        "z": np.log1p(seen.largest),
        "rank": rank_share(seen.largest),
        "first": np.where(own < late, 1.0 / order, 0.0),
    }


def _flows(case: Case, usual: Usual, seen: _Seen | None) -> tuple[Excess | None, Excess | None]:
    """The excess of the flow that the alarm names, and of the other one in the same stretch."""
    named = [FLOWS[name] for name in case.metrics if name in FLOWS]
    if not named or seen is None:
        return None, None
    main = excess(seen.grid, named[0], case.entity, case.topology, usual.flows)
    if main is None:
        return None, None
    rest = next(flow for flow in FLOWS.values() if flow != named[0])
    return main, excess(seen.grid, rest, case.entity, case.topology, usual.flows, stretch=main.stretch)


def _alarmed(case: Case, seen: _Seen) -> tuple[float, int] | None:
    """Largest change of the alarm's own metric, and its first row; of any metric where the alarm names none."""
    if case.entity not in seen.grid.entities:
        return None
    i = seen.grid.entities.get_loc(case.entity)
    named = [seen.grid.metrics.get_loc(name) for name in case.metrics if name in seen.grid.metrics]
    own = np.where(np.isnan(seen.moved.z[i]), -np.inf, seen.moved.z[i])
    j = max(named, key=lambda k: own[k]) if named and np.isfinite(own[named]).any() else int(own.argmax())
    return (float(own[j]), int(seen.moved.first[i, j])) if np.isfinite(own[j]) else None


def _alarm_onset(case: Case, seen: _Seen | None, main: Excess | None) -> pd.Timestamp:
    """When the alarm's own metric changed; the moment of the alarm where that is not known."""
    if main is not None:
        return seen.grid.stamps[main.stretch[0]]
    found = None if seen is None else _alarmed(case, seen)
    return case.at if found is None else seen.grid.stamps[found[1]]


def _loudness(case: Case, seen: _Seen | None, main: Excess | None) -> float:
    """How far the alarm's own metric is from calm, as log of standard errors."""
    if main is not None and case.entity in main.entities:
        i = main.entities.get_loc(case.entity)
        return float(np.log1p(max(main.total[i] / main.noise[i], 0.0)))
    found = None if seen is None else _alarmed(case, seen)
    return 0.0 if found is None else float(np.log1p(max(found[0], 0.0)))


def _detector(case: Case, index: pd.MultiIndex) -> Mapping[str, np.ndarray] | None:
    shares, scores = case.get("contributions"), case.get("scores")
    found = {}
    if shares is not None:
        own = shares["share"].groupby(level="metric").max()
        each = index.get_level_values("metric").map(own).to_numpy(dtype=float)
        here = index.get_level_values("entity") == case.entity
        found["share"] = np.where(here, np.where(_whole(index), 1.0, np.nan_to_num(each)), 0.0)
    if scores is not None:
        own = scores.max(axis=1).groupby(level="entity")
        middle, top = own.median(), own.max()
        spread = (scores.max(axis=1) - middle.reindex(scores.index.get_level_values("entity")).to_numpy()).abs()
        scale = np.maximum(GAUSS * spread.groupby(level="entity").median(), 1e-9)
        z = ((top - middle) / scale).clip(0.0, 100.0)
        found["score"] = np.log1p(np.nan_to_num(_of_entity(z, index)))
    return found or None


def _prediction(case: Case, index: pd.MultiIndex) -> Mapping[str, np.ndarray] | None:
    table = case.get("predictions")
    if table is None:
        return None
    p = table["probability"].groupby(level="entity").max().clip(CERTAIN, 1 - CERTAIN)
    each = _of_entity(np.log(p / (1 - p)), index)
    return {"logit": np.nan_to_num(each - np.nanmean(each)) if np.isfinite(each).any() else np.zeros(len(index))}


def _counted(table: pd.DataFrame, index: pd.MultiIndex, name: str | None = None) -> np.ndarray:
    """Rows of each candidate: of its entity, and of its metric where the table has a column for that."""
    counts = _of_entity(table.groupby("entity").size(), index)
    if name is not None:
        counts = np.where(_whole(index), counts, table.groupby(["entity", name]).size().reindex(index))
    return np.nan_to_num(counts)


def _state(case: Case, index: pd.MultiIndex, onset: pd.Timestamp) -> Mapping[str, np.ndarray] | None:
    table = case.get("states")
    if table is None:
        return None
    before = table[table["timestamp"] <= onset].assign(second=lambda own: _seconds(own["timestamp"]))
    last = before.groupby("entity")["second"].max()
    each = before.groupby(["entity", "name"])["second"].max().reindex(index)
    order = pd.Series(np.where(_whole(index), _of_entity(last, index), each)).rank(ascending=False, method="min")
    return {"changes": np.log1p(_counted(table, index, "name")), "recent": np.nan_to_num(1.0 / order.to_numpy())}


def _logs(case: Case, index: pd.MultiIndex, onset: pd.Timestamp, usual: frozenset[str]) -> Mapping | None:
    table = case.get("logs")
    if table is None:
        return None
    masked = _masked(table["message"])
    late = table["timestamp"] >= onset
    new = late & ~masked.isin(usual | set(masked[~late]))
    return {"new": np.log1p(_counted(table[new], index))}


def _masked(lines: pd.Series) -> pd.Series:
    text = lines.fillna("").astype(str)
    for pattern, word in MASKS:
        text = text.str.replace(pattern, word, regex=True)
    return text


def _feedback(case: Case, index: pd.MultiIndex) -> Mapping[str, np.ndarray] | None:
    table = case.get("feedback")
    return None if table is None else {"messages": np.log1p(_counted(table.dropna(subset=["entity"]), index))}


def _rules(case: Case, index: pd.MultiIndex) -> Mapping[str, np.ndarray] | None:
    table = case.get("firings")
    if table is None:
        return None
    entities = index.get_level_values("entity")
    return {str(rule): entities.isin(own["entity"]).astype(float) for rule, own in table.groupby("rule")}
