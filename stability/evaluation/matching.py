"""Matching of alarms with labelled events.

Semantics, said once. An event is a labelled interval [start, end], both moments included. It is found when an alarm
overlaps it; an alarm is true when it overlaps an event, else false. One alarm may find several events, and several
alarms in one event find it once but are each true. No row is ever counted as found because another row of its event
was (no point adjustment: random scores win under it, Kim et al. 2022, doi 10.1609/aaai.v36i7.20680).
"""

from __future__ import annotations

__all__ = ["Matches", "match_events", "predicted_alarms"]

from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.spans import Line, Spans, flags_to_intervals, microseconds, overlaps, span_arrays
from stability.schema import ContractError


class Matches(NamedTuple):
    """Who found whom.

    Parameters
    ----------
    events : DataFrame
        The windows' entity, start, end, with `found` (bool) and `delay` (s, from the event's start to the start of
        the first alarm that finds it, 0 where that alarm was earlier; NaN where missed).
    alarms : DataFrame
        The alarms' entity, start, end, with `true` (bool).
    """

    events: pd.DataFrame
    alarms: pd.DataFrame


def match_events(
    alarms: pd.DataFrame,
    windows: pd.DataFrame,
    *,
    early: str | pd.Timedelta = "0s",
    late: str | pd.Timedelta = "0s",
    match: str = "overlap",
) -> Matches:
    """Match alarms with labelled events of the same entity.

    Parameters
    ----------
    alarms, windows : DataFrame
        Columns entity, start, end (inclusive; a missing end is open). Alarms whose `suppressed_by` names another one
        (table `alarms` of the contract) were never raised and are left out.
    early, late : Timedelta or text
        Tolerances: the event is taken to reach from `early` before its start to `late` after its end.
    match : {"overlap", "start"}
        Whether any overlap counts, or only an alarm whose start lies within the (widened) event.

    Returns
    -------
    Matches
        Rows and index as in `windows` and in `alarms` as far as they were raised.

    Raises
    ------
    ContractError
        When a column is missing, an interval ends before it starts, or a tolerance is negative.

    Examples
    --------
    >>> day = pd.Timestamp("2026-01-01", tz="UTC")
    >>> def minutes(*pairs):
    ...     rows = [("web-1", day + pd.Timedelta(a, "min"), day + pd.Timedelta(b, "min")) for a, b in pairs]
    ...     return pd.DataFrame(rows, columns=["entity", "start", "end"])
    >>> events, alarms = match_events(minutes((2, 3), (12, 15), (40, 41)), minutes((10, 20), (30, 35)))
    >>> events[["found", "delay"]]
       found  delay
    0   True  120.0
    1  False    NaN
    >>> alarms["true"].tolist()
    [False, True, False]
    """
    alarms = raised_alarms(alarms)
    entities = all_entities(alarms, windows)
    events, raised = span_arrays(windows, "windows", entities), span_arrays(alarms, "alarms", entities)
    delays, true = match_spans(raised, widen(events, early, late), events.start, match)
    frames = [frame[["entity", "start", "end"]].copy() for frame in (windows, alarms)]
    return Matches(frames[0].assign(found=~np.isnan(delays), delay=delays), frames[1].assign(true=true))


def predicted_alarms(
    predictions: pd.DataFrame, threshold: float, *, max_gap: str | pd.Timedelta | None = None
) -> pd.DataFrame:
    """Turn probabilities into alarms: neighbouring rows of an entity with at least the threshold are one.

    Parameters
    ----------
    predictions : DataFrame, index (entity, timestamp) or (entity, timestamp, horizon)
        Column `probability`, of one model and one horizon; NaN is an abstention and raises nothing.
    threshold : float in [0, 1]
        Chosen on data from before.
    max_gap : Timedelta or text, optional
        As in `flags_to_intervals`.

    Returns
    -------
    DataFrame
        Columns entity, start, end.

    Raises
    ------
    ContractError
        With predictions of several horizons or models, or an entity's rows out of order.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", unit="us")
    >>> predicted_alarms(pd.DataFrame({"probability": [0.1, 0.7, 0.9, np.nan]}, index=stamps), 0.5)
        entity                     start                       end
    0  default 2026-01-01 00:01:00+00:00 2026-01-01 00:02:00+00:00
    """
    kinds = {"horizon": predictions.index.unique("horizon")} if "horizon" in predictions.index.names else {}
    kinds |= {name: predictions[name].dropna().unique() for name in ("model", "version") if name in predictions}
    for name, kind in kinds.items():
        if len(kind) > 1:
            got, remedy = ", ".join(map(str, kind[:3])), f"select one {name} first"
            raise ContractError(file="predictions", column=name, expected=f"one {name}", got=got, remedy=remedy)
    if "probability" not in predictions:
        got = f"the columns {', '.join(map(str, predictions.columns)) or '(none)'}"
        raise ContractError(file="predictions", column="probability", expected="a column of probabilities", got=got)
    return flags_to_intervals(predictions["probability"] >= threshold, max_gap=max_gap)


def match_spans(alarms: Spans, events: Spans, starts: np.ndarray, match: str) -> tuple[np.ndarray, np.ndarray]:
    """Delay of each event in s (NaN: missed), and whether each alarm is true; `events` widened, `starts` not."""
    if match not in ("overlap", "start"):
        raise ContractError(column="match", expected="'overlap' or 'start'", got=match)
    if match == "start":
        alarms = alarms._replace(end=alarms.start)
    line = Line(events.start, events.end, alarms.start, alarms.end)
    order = np.argsort(line.key(alarms.code, alarms.end), kind="stable")
    begins = line.key(alarms.code, alarms.start)[order]
    # Of the alarms that have not ended when an event starts, the one that began first; an alarm of a later entity
    # has a key beyond every moment of this one, so it can never pass for an alarm of this entity.
    earliest = np.append(np.minimum.accumulate(begins[::-1])[::-1], np.iinfo(np.int64).max)
    place = np.searchsorted(line.key(alarms.code, alarms.end)[order], line.key(events.code, events.start), side="left")
    first = earliest[place]
    found = first <= line.key(events.code, events.end)
    delays = np.full(len(first), np.nan)
    delays[found] = np.maximum(line.time(first[found]) - starts[found], 0) / 1e6
    return delays, overlaps(alarms, events)


def widen(events: Spans, early, late) -> Spans:
    """Let the events reach from `early` before their start to `late` after their end."""
    before, after = microseconds(early, "early"), microseconds(late, "late")
    for name, length in (("early", before), ("late", after)):
        if length < 0:
            raise ContractError(column=name, expected="a tolerance of at least 0", got=f"{length / 1e6} s")
    return events._replace(start=events.start - before, end=events.end + after)


def raised_alarms(alarms: pd.DataFrame) -> pd.DataFrame:
    """The alarms that nothing silenced."""
    if not isinstance(alarms, pd.DataFrame):
        raise ContractError(file="alarms", expected="a pandas DataFrame", got=type(alarms).__name__)
    if "suppressed_by" not in alarms.columns:
        return alarms
    return alarms[(alarms["suppressed_by"].isna() | (alarms["suppressed_by"] == "")).to_numpy(dtype=bool)]


def all_entities(*frames: pd.DataFrame) -> pd.Index:
    """The entities of all frames; a frame without the column is refused later, with its name."""
    parts = [frame["entity"].astype(str).to_numpy(dtype=object) for frame in frames if "entity" in frame.columns]
    return pd.Index(pd.unique(np.concatenate([*parts, np.empty(0, dtype=object)])))
