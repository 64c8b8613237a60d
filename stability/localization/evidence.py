"""What speaks for each candidate of a case: a row of numbers by kind; a kind that is not known says 0, and is named.

Columns are `<kind>.<name>`. All are 0 where nothing speaks for the candidate, so that a sum over them is additive
evidence and a missing kind drops out of it. Which kinds were known is in `frame.attrs["known"]`.
"""

from __future__ import annotations

__all__ = ["KINDS", "NOBODY", "Usual", "evidence", "usual_of"]

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.flows import FLOWS, Excess, excess, usual_flows
from stability.localization.onset import CHANGED, GAUSS, changes, rank_share
from stability.localization.surroundings import topology_features, views_of
from stability.records.templates import MASKS
from stability.schema import ContractError

KINDS = ("change", "topology", "detector", "prediction", "state", "logs", "feedback", "rule", "none")
NOBODY = ("", "")  # the candidate that stands for: there is no fault
EPOCH = pd.Timestamp("2000-01-01", tz="UTC")
CERTAIN = 1e-3  # probabilities are held within [CERTAIN, 1 - CERTAIN]


@dataclass(frozen=True)
class Usual:
    """What normal time taught: noise of metrics and of flows, and the log lines that belong to it.

    Parameters
    ----------
    metrics : DataFrame, index (entity, metric)
        `level`, `scale`.
    flows : DataFrame, index entity
        As `flows.usual_flows` makes it.
    lines : frozenset of str
        Log lines without their numbers.
    """

    metrics: pd.DataFrame
    flows: pd.DataFrame
    lines: frozenset[str] = frozenset()


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
    index = pd.MultiIndex.from_arrays([[], []], names=["entity", "metric"])
    metrics, flows = (
        pd.DataFrame(columns=["level", "scale"], index=index, dtype="float64"),
        pd.DataFrame(dtype="float64"),
    )
    if normal is not None and len(normal):
        own = normal.groupby(level="entity", sort=False)
        level = own.median()
        low, high = own.quantile(0.05), own.quantile(0.95)
        spread = GAUSS * (normal - level.reindex(normal.index.get_level_values("entity")).to_numpy()).abs()
        # A ratio that is mostly 1 has a median deviation of 0 and moves all the same.
        scale = np.maximum(spread.groupby(level="entity", sort=False).median(), (high - low) / 3.29)
        both = {"level": level.T.unstack(), "scale": scale.T.unstack()}  # noqa: PD010
        metrics = pd.DataFrame(both).rename_axis(["entity", "metric"])
        flows = usual_flows(normal)
    if not len(flows):
        flows = pd.DataFrame(columns=["requests", "used", *_flow_columns()], dtype="float64").rename_axis("entity")
    return Usual(metrics, flows, frozenset() if logs is None else frozenset(_masked(logs["message"])))


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
    found = changes(case.telemetry, usual.metrics) if len(case.telemetry) else None
    z = _by_candidate(found, index)
    main, other = _flows(case, usual)
    onset = _alarm_onset(case, found, main)
    parts = {
        "change": None if found is None else _change(z, found, index),
        "topology": topology_features(case, z, main, other, views_of(index, case.topology, views)),
        "detector": _detector(case, index),
        "prediction": _prediction(case, index),
        "state": _state(case, index, onset),
        "logs": _logs(case, index, onset, usual.lines),
        "feedback": _feedback(case, index),
        "rule": _rules(case, index),
    }
    columns = {f"{kind}.{name}": own for kind, part in parts.items() if part for name, own in part.items()}
    frame = pd.DataFrame(columns, index=index, dtype="float64").fillna(0.0)
    nobody = pd.DataFrame(0.0, index=pd.MultiIndex.from_tuples([NOBODY], names=index.names), columns=frame.columns)
    frame = pd.concat([frame, nobody])
    frame["none.always"], frame["none.calm"] = 0.0, 0.0
    frame.loc[NOBODY, ["none.always", "none.calm"]] = 1.0, -_loudness(case, found, main)
    frame.attrs["known"] = tuple(kind for kind, part in parts.items() if part)
    return frame


def _by_candidate(found: pd.DataFrame | None, index: pd.MultiIndex) -> np.ndarray:
    """Largest change of each candidate, in standard errors; 0 where none is known."""
    if found is None:
        return np.zeros(len(index))
    whole = found["z"].groupby(level="entity").max()
    each = found["z"].reindex(index)
    return np.maximum(np.nan_to_num(np.where(_whole(index), _of_entity(whole, index), each)), 0.0)


def _whole(index: pd.MultiIndex) -> np.ndarray:
    """Which candidates are entities as a whole."""
    return index.get_level_values("metric") == ""


def _of_entity(values: pd.Series, index: pd.MultiIndex) -> np.ndarray:
    """Values by entity for each candidate, as floats; NaN where there is none."""
    return values.reindex(index.get_level_values("entity")).to_numpy(dtype="float64", na_value=np.nan)


def _seconds(moments: pd.Series) -> pd.Series:
    """Moments as numbers, so that they can be compared and missing."""
    return pd.Series((moments - EPOCH) / pd.Timedelta("1s"), index=moments.index, dtype="float64")


def _change(z: np.ndarray, found: pd.DataFrame, index: pd.MultiIndex) -> Mapping[str, np.ndarray]:
    onset = _seconds(found.loc[found["z"] >= CHANGED, "onset"])
    moments = np.where(_whole(index), _of_entity(onset.groupby(level="entity").min(), index), onset.reindex(index))
    order = pd.Series(moments).rank(method="min").to_numpy()
    return {"z": np.log1p(z), "rank": rank_share(z), "first": np.nan_to_num(1.0 / order)}


def _flows(case: Case, usual: Usual) -> tuple[Excess | None, Excess | None]:
    """The excess of the flow that the alarm names, and of the other one in the same stretch."""
    named = [FLOWS[name] for name in case.metrics if name in FLOWS]
    if not named:
        return None, None
    main = excess(case.telemetry, named[0], case.entity, case.topology, usual.flows)
    rest = [flow for flow in FLOWS.values() if flow != named[0]]
    if main is None:
        return None, None
    other = excess(case.telemetry, rest[0], case.entity, case.topology, usual.flows, stretch=main.stretch)
    return main, other


def _alarm_onset(case: Case, found: pd.DataFrame | None, main: Excess | None) -> pd.Timestamp:
    """When the alarm's own metric changed, or the whole history where that is not known."""
    stamps = case.telemetry.index.get_level_values("timestamp")
    if main is not None:
        return stamps.unique().sort_values()[main.stretch[0]]
    own = found[found.index.isin([case.entity], "entity")] if found is not None else None
    if own is None or own["z"].isna().all():
        return case.at
    named = own[own.index.isin(case.metrics, "metric")]
    return (named if named["z"].notna().any() else own)["onset"].loc[lambda s: s.notna()].min()


def _loudness(case: Case, found: pd.DataFrame | None, main: Excess | None) -> float:
    """How far the alarm's own metric is from calm, as log of standard errors."""
    if main is not None and case.entity in main.entities:
        i = main.entities.get_loc(case.entity)
        return float(np.log1p(max(main.total[i] / main.noise[i], 0.0)))
    if found is None:
        return 0.0
    own = found[found.index.isin([case.entity], "entity")]
    named = own[own.index.isin(case.metrics, "metric")]
    z = (named if len(named) else own)["z"].max()
    return float(np.log1p(max(z, 0.0))) if np.isfinite(z) else 0.0


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
