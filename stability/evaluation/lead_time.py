"""Lead time: how long before users are hurt a warning stands, event by event and as the share warned in time.

The clock runs to `impact_start`, the first moment at which the service level is broken. An alarm counts for an impact
when it is raised or still on between the earliest moment that counts and the impact; its lead is the time from its
start to the impact. The earliest moment that counts is the latest of

* `longest` before the impact: what was raised and over before that was about something else;
* the entity's first observed moment;
* the end of its latest outage before: an alarm within an outage is about that one.

Where an alarm is on already at that moment, its true lead is longer than can be told: it is taken from that moment on,
and marked `censored`, a lower bound. An impact with less time before it than a lead asks for is not judged at that
lead, and one in the middle of another outage not at all. No alarm is a miss, and so is an abstention: a missing
probability raises nothing (`predicted_alarms`). An alarm that is always on warns of everything with the longest lead,
so the share of time in alarm, the false alarms and the precision of the same alarms stand beside: one operating point.
"""

from __future__ import annotations

__all__ = ["LeadTimes", "lead_estimates", "lead_times"]

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.events import event_estimates, quantile_estimates
from stability.evaluation.exposure import observed_time
from stability.evaluation.intervals import Estimate, estimate_or_nan, wider, wilson_interval
from stability.evaluation.matching import match_spans, raised_alarms
from stability.evaluation.resampling import number_units, resample_counts
from stability.evaluation.spans import Spans, microseconds, overlaps, span_arrays
from stability.schema import ContractError

LEADS = ("0s", "5min", "15min", "1h")
QUANTILES = {"lead_p10": 0.1, "lead_p50": 0.5}


class LeadTimes(NamedTuple):
    """How early warnings come at one operating point.

    Parameters
    ----------
    recall : DataFrame, index lead (Timedelta)
        `value`, `lo`, `hi`: share of the impacts that were warned of at least so long before; `events`: those that
        could have been.
    lead_p10, lead_p50 : Estimate
        Quantiles of the lead in s over the impacts that were warned of: nine in ten have at least `lead_p10`. Kind to a
        detector that warns of the slow ones only: read them beside the recall.
    precision, false_alarms_per_day, alarmed_share : Estimate
        Of the same alarms, as in `event_scores`, an event reaching from `longest` before the impact to the recovery.
    events, warned, censored, unjudged : int
        Impacts judged, warned of at all, of these with a lead that is a lower bound; and impacts that were not judged:
        outside of the observed time, or within another outage.
    """

    recall: pd.DataFrame
    lead_p10: Estimate
    lead_p50: Estimate
    precision: Estimate
    false_alarms_per_day: Estimate
    alarmed_share: Estimate
    events: int
    warned: int
    censored: int
    unjudged: int


def lead_times(
    alarms: pd.DataFrame,
    faults: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    *,
    longest: str | pd.Timedelta = "1D",
    match: str = "overlap",
) -> pd.DataFrame:
    """Measure the lead of the first warning before each impact.

    Parameters
    ----------
    alarms : DataFrame
        Columns entity, start, end (inclusive; a missing end is open); suppressed alarms are left out.
    faults : DataFrame
        Columns entity and impact_start; recovered_at and cause_end where known. Rows without an impact hurt nobody and
        are left out. An outage whose end is unknown is taken to be a moment.
    observed : DataFrame or Series
        The judged telemetry (index entity, timestamp), or spans with columns entity, start, end (exclusive).
    longest : Timedelta or text
        The longest lead that counts; fixed beforehand, such as the prediction's horizon.
    match : {"overlap", "start"}
        Whether an alarm that is still on counts, or only one that is raised in the time that counts.

    Returns
    -------
    DataFrame, index as in `faults`
        entity, impact_start, `possible` (s, the longest lead that could be seen; NaN: not judged), `lead` (s; NaN:
        missed or not judged), `censored` (bool, the lead is a lower bound).

    Raises
    ------
    ContractError
        When a column is missing, an entity was not observed, an interval ends before it starts, or `longest` is not
        above 0.

    Examples
    --------
    >>> day = pd.Timestamp("2026-01-01", tz="UTC")
    >>> hour = lambda *hours: [day + pd.Timedelta(h, "h") for h in hours]
    >>> faults = pd.DataFrame({"entity": "web-1", "impact_start": hour(4, 12, 20), "recovered_at": hour(5, 13, 21)})
    >>> alarms = pd.DataFrame({"entity": "web-1", "start": hour(3.5, 4.5), "end": hour(4.2, 13.5)})
    >>> spans = pd.DataFrame({"entity": "web-1", "start": hour(1), "end": hour(24)})
    >>> lead_times(alarms, faults, spans, longest="6h")[["possible", "lead", "censored"]]
       possible     lead  censored
    0   10800.0   1800.0     False
    1   21600.0  21600.0      True
    2   21600.0      NaN     False
    """
    return _leads(alarms, faults, observed, longest, match)[0].drop(columns="code")


def lead_estimates(
    alarms: pd.DataFrame,
    faults: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    *,
    leads: Sequence[str | pd.Timedelta] | None = None,
    longest: str | pd.Timedelta = "1D",
    match: str = "overlap",
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> LeadTimes:
    """Estimate the share of impacts that were warned of in time, and what the same alarms cost.

    Parameters
    ----------
    alarms, faults, observed, longest, match
        As in `lead_times`.
    leads : sequence of Timedelta or text, optional
        Lead times that are asked for, from 0 to `longest`: what a repair, a restart, a person needs. By default 0,
        5 min, 15 min and 1 h, as far as `longest` reaches.
    unit, block
        What is drawn again, as in `resampling_units`; an impact belongs to the unit in which it starts.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    LeadTimes
        Recall never with narrower limits than Wilson's. NaN throughout where undefined, and for quantiles of fewer than
        `MIN_UNITS` warned impacts: not enough evidence.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units.
    ContractError
        As `lead_times`, and for a lead below 0 or above `longest`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=480, freq="h", tz="UTC", unit="us")
    >>> faults = pd.DataFrame({"entity": "default", "impact_start": stamps[20::24], "recovered_at": stamps[21::24]})
    >>> early = pd.DataFrame({"entity": "default", "start": stamps[18::48], "end": stamps[19::48]})
    >>> found = lead_estimates(early, faults, pd.Series(0.0, index=stamps), leads=["1h", "3h"], longest="6h")
    >>> found.recall.round(2)
                     value   lo    hi  events
    lead
    0 days 01:00:00    0.5  0.3  0.70      20
    0 days 03:00:00    0.0  0.0  0.16      20
    >>> found.lead_p50.value, found.precision.value
    (7200.0, 1.0)
    """
    events, entities = _leads(alarms, faults, observed, longest, match)
    if leads is None:
        leads = [lead for lead in LEADS if microseconds(lead, "leads") <= microseconds(longest, "longest")]
    asked = pd.to_timedelta([microseconds(lead, "leads") for lead in leads], unit="us").rename("lead")
    seconds = asked.total_seconds().to_numpy()
    if (seconds < 0).any() or (seconds > microseconds(longest, "longest") / 1e6).any():
        raise ContractError(column="leads", expected=f"leads from 0 to {longest}", got=", ".join(map(str, leads)))
    judged = events[events["possible"].notna()].sort_values("lead")
    impacts = pd.DatetimeIndex(judged["impact_start"]).as_unit("us").asi8
    units = np.unique(number_units(judged["code"].to_numpy(), impacts, entities, unit, block), return_inverse=True)[1]
    possible = judged["possible"].to_numpy()[:, None] >= seconds
    reached = possible & (judged["lead"].to_numpy()[:, None] >= seconds)
    total = int(units.max(initial=-1)) + 1
    sums = np.zeros((2, total, len(seconds)))
    for part, rows in zip(sums, (reached, possible), strict=True):
        np.add.at(part, units, rows)
    warned = judged["lead"].dropna().to_numpy()  # ascending, and first among the judged
    with np.errstate(invalid="ignore"):
        shares = [(counts @ sums[0]) / (counts @ sums[1]) for counts in resample_counts(total, resamples, seed)]
    rows = [
        _recall(float(hits), float(size), drawn, confidence)
        for hits, size, drawn in zip(*sums.sum(axis=1), np.concatenate(shares).T, strict=True)
    ]
    recall = pd.DataFrame(rows, index=asked, columns=["value", "lo", "hi"]).assign(events=possible.sum(axis=0))
    settings = {"resamples": resamples, "confidence": confidence, "seed": seed}
    quantiles = quantile_estimates(warned, units[: len(warned)], total, QUANTILES, **settings)
    settings |= {"early": longest, "match": match, "unit": unit, "block": block}
    cost = event_estimates(alarms, _outages(faults), observed, **settings)
    return LeadTimes(
        recall,
        **quantiles,
        **{name: cost[name] for name in ("precision", "false_alarms_per_day", "alarmed_share")},
        events=len(judged),
        warned=len(warned),
        censored=int(judged["censored"].sum()),
        unjudged=len(events) - len(judged),
    )


def _outages(faults: pd.DataFrame) -> pd.DataFrame:
    """Impacts as intervals from the impact to the recovery."""
    for column in ("entity", "impact_start"):
        if column not in faults.columns:
            got = f"the columns {', '.join(map(str, faults.columns)) or '(none)'}"
            raise ContractError(file="faults", column=column, expected="the columns entity and impact_start", got=got)
    felt = faults[faults["impact_start"].notna()]
    end = pd.Series(pd.NaT, index=felt.index, dtype="datetime64[us, UTC]")
    for column in ("recovered_at", "cause_end", "impact_start"):
        if column in felt.columns:
            end = end.fillna(pd.to_datetime(felt[column], utc=True))
    start = pd.to_datetime(felt["impact_start"], utc=True)
    # A cause may be gone before anybody feels it.
    return pd.DataFrame({"entity": felt["entity"], "start": start, "end": end.where(end >= start, start)})


def _leads(alarms, faults, observed, longest, match) -> tuple[pd.DataFrame, int]:
    reach = microseconds(longest, "longest")
    if reach <= 0:
        raise ContractError(column="longest", expected="a length of time above 0, such as '1D'", got=str(longest))
    seen, entities, _ = observed_time(observed)
    outages = _outages(faults)
    impacts = span_arrays(outages, "faults", entities)
    raised = span_arrays(raised_alarms(alarms), "alarms", entities)
    first = np.full(len(entities), np.iinfo(np.int64).max)
    np.minimum.at(first, seen.code, seen.start)
    begin = np.maximum(impacts.start - reach, np.maximum(first[impacts.code], _recoveries(impacts)))
    judged = begin <= impacts.start
    begin = np.where(judged, begin, impacts.start)
    counting = Spans(impacts.code, begin, impacts.start)
    judged &= overlaps(counting, seen._replace(end=seen.end - 1)) & (first[impacts.code] <= impacts.start)
    delay, _ = match_spans(raised, counting, begin, match)
    possible = np.where(judged, (impacts.start - begin) / 1e6, np.nan)
    lead = possible - delay
    frame = outages[["entity"]].assign(impact_start=outages["start"], possible=possible, lead=lead)
    return frame.assign(censored=(delay == 0) & judged, code=impacts.code), len(entities)


def _recoveries(impacts: Spans) -> np.ndarray:
    """End of the last outage of the same entity that began before each impact, in us; far past without one."""
    order = np.lexsort((impacts.start, impacts.code))
    code, start, end = (part[order] for part in impacts)
    frame = pd.DataFrame({"code": code, "start": start, "end": end})
    ends = frame.groupby(["code", "start"], sort=True)["end"].max()
    before = ends.groupby(level="code").cummax().groupby(level="code").shift(fill_value=np.iinfo(np.int64).min)
    recovered = np.empty(len(code), dtype=np.int64)
    recovered[order] = before.loc[list(zip(code, start, strict=True))].to_numpy()
    return recovered


def _recall(hits: float, events: float, drawn: np.ndarray, confidence: float) -> Estimate:
    if not events:
        return Estimate(math.nan, math.nan, math.nan)
    return wider(estimate_or_nan(hits / events, drawn, confidence), wilson_interval(hits, events, confidence))
