r"""Affiliation precision and recall: how near alarms are to events and events to alarms, against chance in local zones.

Each event J gets a zone E: the time that is nearer to it than to any other event of its entity, from the entity's first
observed moment to its last. With the alarms P inside of the zone and X drawn uniformly from it,

.. math:: \mathrm{precision}_J = \frac{1}{|P|}\int_P \Pr\{\mathrm{dist}(X, J) \ge \mathrm{dist}(x, J)\}\,dx, \qquad
    \mathrm{recall}_J = \frac{1}{|J|}\int_J \Pr\{|X - y| \ge \mathrm{dist}(y, P)\}\,dy

so that 1 is perfect and an alarm that lies anywhere gets about 1/2 (not 0: read both beside chance). Recall is 0 and
precision undefined in a zone without alarms. The means over events are the scores: an event that is crowded with false
alarms costs no more than its own share, and an alarm at an entity without any event has no zone and is not judged here,
so false alarms per day belong beside these numbers. Integrals are exact, over continuous time.

Source: Huet, Navarro, Rossi (2022), doi 10.1145/3534678.3539339.
"""

from __future__ import annotations

__all__ = ["affiliated_events", "affiliation_estimates"]

import numpy as np
import pandas as pd

from stability.evaluation.exposure import observed_time
from stability.evaluation.intervals import Estimate
from stability.evaluation.matching import raised_alarms
from stability.evaluation.ranges import share_estimates
from stability.evaluation.resampling import number_units
from stability.evaluation.spans import Spans, interval_frame, overlaps, span_arrays


def affiliated_events(alarms: pd.DataFrame, windows: pd.DataFrame, observed: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """Measure affiliation precision and recall of each event: one row an event.

    Parameters
    ----------
    alarms, windows : DataFrame
        Columns entity, start, end (inclusive; a missing end is open); suppressed alarms are left out. The last row of
        an interval stands for one usual step of its entity, so that a single row has a length.
    observed : DataFrame or Series
        The judged telemetry (index entity, timestamp), or spans with columns entity, start, end (exclusive). A zone
        reaches over gaps. Events and alarms that overlap no observed time are not judged.

    Returns
    -------
    DataFrame
        entity, start, end (exclusive; events that overlap or touch are one), `precision` (NaN without an alarm in the
        event's zone) and `recall`, both in [0, 1], and `alarmed` (s of alarms in the zone).

    Raises
    ------
    ContractError
        When a column is missing, an interval ends before it starts, or an entity was not observed.

    Examples
    --------
    >>> def minutes(*pairs):
    ...     start, end = (pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(part, "min") for part in zip(*pairs))
    ...     return pd.DataFrame({"entity": "web-1", "start": start, "end": end})
    >>> events = affiliated_events(minutes((5, 6), (40, 60), (115, 130)), minutes((0, 10), (50, 70), (170, 175)),
    ...                            minutes((0, 180)))
    >>> events[["precision", "recall"]].round(3)
       precision  recall
    0      1.000   0.884
    1      0.672   0.944
    2      0.083   0.167
    """
    events, _ = _affiliate(alarms, windows, observed)
    return events.drop(columns="code")


def affiliation_estimates(
    alarms: pd.DataFrame,
    windows: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    *,
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Average affiliation precision and recall over events, with intervals.

    Parameters
    ----------
    alarms, windows, observed
        As in `affiliated_events`.
    unit, block
        What is drawn again, as in `resampling_units`; an event belongs to the unit in which it starts.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    dict of Estimate
        `recall` (mean over events), `precision` (mean over the events with alarms in their zone) and `f1`, their
        harmonic mean; NaN throughout where undefined. Intervals as in `range_estimates`.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units that hold events.
    ContractError
        As `affiliated_events`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=240, freq="h", tz="UTC", unit="us")
    >>> windows = pd.DataFrame({"entity": "default", "start": stamps[10::24], "end": stamps[13::24]})
    >>> late = windows.assign(start=windows["start"] + pd.Timedelta("2h"), end=windows["end"] + pd.Timedelta("2h"))
    >>> estimates = affiliation_estimates(late, windows, pd.Series(0.0, index=stamps))
    >>> [round(x, 2) for x in estimates["precision"]]
    [0.88, 0.57, 0.97]
    """
    events, entities = _affiliate(alarms, windows, observed)
    starts = pd.DatetimeIndex(events["start"]).as_unit("us").asi8
    units = number_units(events["code"].to_numpy(), starts, entities, unit, block)
    units = np.unique(units, return_inverse=True)[1]
    near = events["precision"].notna().to_numpy()
    columns = (events["recall"], np.ones(len(events)), events["precision"].fillna(0.0), near)
    sums = np.column_stack([np.bincount(units, weights=part) for part in columns])
    return share_estimates(sums, resamples, confidence, seed)


def _affiliate(alarms, windows, observed) -> tuple[pd.DataFrame, int]:
    seen, entities, steps = observed_time(observed)
    first, last = np.full(len(entities), np.iinfo(np.int64).max), np.full(len(entities), np.iinfo(np.int64).min)
    np.minimum.at(first, seen.code, seen.start)
    np.maximum.at(last, seen.code, seen.end)
    parts = []
    for frame, name in ((windows, "windows"), (raised_alarms(alarms), "alarms")):
        spans = span_arrays(frame, name, entities)
        spans = Spans(*(part[overlaps(spans, seen._replace(end=seen.end - 1))] for part in spans))
        # The last row of an interval stands for one step of its entity; a moment has the length of a microsecond.
        end = np.maximum(spans.end + steps[spans.code], spans.start + 1)
        start = np.maximum(spans.start, first[spans.code])
        parts.append(_joined(Spans(spans.code, start, np.minimum(end, last[spans.code]))))
    events = parts[0]
    rows = []
    for code in np.unique(events.code):
        s, e, p, q = ((part[own.code == code] - first[code]) / 1e6 for own in parts for part in (own.start, own.end))
        middles = (e[:-1] + s[1:]) / 2
        zones = zip(s, e, np.append(0.0, middles), np.append(middles, (last[code] - first[code]) / 1e6), strict=True)
        rows += [_judge(p, q, *zone) for zone in zones]
    judged = pd.DataFrame(rows, columns=["precision", "recall", "alarmed"], dtype=float)
    frame = interval_frame(np.asarray(entities)[events.code], events.start, events.end)
    return pd.concat([frame, judged], axis=1).assign(code=events.code), len(entities)


def _joined(spans: Spans) -> Spans:
    """Join intervals of one entity that overlap or touch; sorted by entity and time."""
    order = np.lexsort((spans.start, spans.code))
    code, start, end = (part[order] for part in spans)
    reach = pd.Series(end).groupby(code).cummax().to_numpy()
    begins = np.ones(len(code), dtype=bool)
    begins[1:] = (code[1:] != code[:-1]) | (start[1:] > reach[:-1])
    closes = np.append(begins[1:], True)[: len(code)]
    return Spans(code[begins], start[begins], reach[closes])


def _judge(p, q, s, e, a, b) -> tuple[float, float, float]:
    """Precision, recall and alarmed seconds of the event [s, e] with the zone [a, b]; alarms [p, q] are disjoint."""
    near = slice(np.searchsorted(q, a, side="right"), np.searchsorted(p, b, side="left"))
    p, q = np.maximum(p[near], a), np.minimum(q[near], b)
    if not len(p):
        return np.nan, 0.0, 0.0
    zone, alarmed = b - a, float((q - p).sum())
    inside = np.maximum(np.minimum(q, e) - np.maximum(p, s), 0).sum()
    # Alarms before and behind the event, by their distance from it; beyond the room at the other side, no point of
    # the zone lies that far away there.
    before = _integral(
        np.maximum(s - q, 0), np.maximum(s - p, 0), b - e, lambda d: 1 - (e - s + d + np.minimum(d, b - e)) / zone
    )
    behind = _integral(
        np.maximum(p - e, 0), np.maximum(q - e, 0), s - a, lambda d: 1 - (e - s + d + np.minimum(d, s - a)) / zone
    )
    # The event's moments without alarm, each nearer to the end of the alarm before or to the start of the next one.
    left, right = np.append(-np.inf, q), np.append(p, np.inf)
    middle = np.append(np.append(-np.inf, (q[:-1] + p[1:]) / 2), np.inf)
    starts, ends = np.maximum(left, s), np.minimum(right, e)
    behind_alarm = _toward(starts, np.minimum(ends, middle), left, b, zone)
    before_alarm = _toward(-ends, -np.maximum(starts, middle), -right, -a, zone)
    return float(before + behind + inside) / alarmed, float(inside + behind_alarm + before_alarm) / (e - s), alarmed


def _toward(start, end, alarm, border, zone) -> float:
    """Integrate the chance over start..end, where the nearest alarm is before, and the zone's border behind."""
    some = (end > start) & np.isfinite(alarm)
    start, end, alarm = start[some], end[some], alarm[some]
    return _integral(
        start, end, (alarm + border) / 2, lambda y: 1 - (y - alarm + np.minimum(y - alarm, border - y)) / zone
    )


def _integral(start, end, bend, curve) -> float:
    """Integrate over all of the intervals a curve that is straight but for one bend: the trapezoids are exact."""
    bend = np.clip(bend, start, end)
    return ((curve(start) + curve(bend)) * (bend - start) + (curve(bend) + curve(end)) * (end - bend)).sum() / 2
