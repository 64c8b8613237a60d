"""Warnings: probabilities of one horizon as what a person on duty gets, and which impacts they said in time.

Semantics, said once. A row (entity, t) with a probability of at least the threshold raises a warning, unless one of the
same entity is still open. The warning says "an impact within (t, t + horizon]", the interval of the labels, and stays
open for the cool-down: over [t, t + cooldown), by default as long as its interval, so that it is said once. A missing
probability is an abstention and raises nothing.

* A warning is right when an impact of its entity lies in its interval. One without, whose interval reaches beyond the
  end of the observation, is neither right nor false: it is not judged, and counted apart. Near the end only right ones
  are certain, so give rows whose horizon lies within the record wherever the record ends at a date.
* An impact is warned of when a warning's interval holds it. Its lead is the time from the start of the earliest such
  warning to the impact. An impact that no row could have warned of early enough is not judged, and counted apart.
* Several faults of an entity at one moment are one impact, and what begins while its outage lasts is part of that one.
"""

from __future__ import annotations

__all__ = ["warned_events", "warnings_at"]

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd

from stability.evaluation.spans import Line, index_arrays, interval_frame, microseconds, require_order
from stability.schema import ContractError, coerce_column, nearest

RECOVERY = "1h"  # an outage of which the end is unknown, as in the labels
SECOND = 1_000_000  # us


class Rows(NamedTuple):
    """Probabilities as arrays: entity number, time in us and value of each row, and the entities by number."""

    code: np.ndarray
    time: np.ndarray
    value: np.ndarray
    entities: pd.Index


class Impacts(NamedTuple):
    """Known impacts in order: entity number, moment (us), time since the cause (s, NaN unknown), of a wanted mode."""

    code: np.ndarray
    start: np.ndarray
    since_cause: np.ndarray
    counts: np.ndarray


def warnings_at(
    probabilities: pd.Series,
    threshold: float,
    *,
    horizon: str | int | pd.Timedelta,
    cooldown: str | int | pd.Timedelta | None = None,
) -> pd.DataFrame:
    """Raise the warnings of one threshold.

    Parameters
    ----------
    probabilities : Series of float64 in [0, 1], index (entity, timestamp)
        Of an impact within the horizon, rows of an entity in time's order; a plain DatetimeIndex is one entity,
        'default'. NaN raises nothing.
    threshold : float
        From which probability on to warn; infinity never warns.
    horizon : text, Timedelta or whole seconds
        What the probabilities are about.
    cooldown : text, Timedelta or whole seconds, optional
        How long a warning stays open, and no other of its entity is raised; by default the horizon. 0: each row warns.

    Returns
    -------
    DataFrame
        Columns entity, start, end (UTC: start + horizon), probability; in the rows' order.

    Raises
    ------
    ContractError
        When a probability lies outside of [0, 1], rows are out of order or double, or a length is no length.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=5, freq="h", tz="UTC", unit="us")
    >>> warnings_at(pd.Series([0.1, 0.7, 0.9, 0.8, 0.2], index=hours), 0.6, horizon="2h")
        entity                     start                       end  probability
    0  default 2026-01-01 01:00:00+00:00 2026-01-01 03:00:00+00:00          0.7
    1  default 2026-01-01 03:00:00+00:00 2026-01-01 05:00:00+00:00          0.8
    """
    rows = read_rows(probabilities)
    reach, open_for = read_horizon(horizon, cooldown)
    there = raised_rows(rows.code, rows.time, rows.value, read_threshold(threshold), open_for)
    start = rows.time[there]
    frame = interval_frame(np.asarray(rows.entities)[rows.code[there]], start, start + reach)
    return frame.assign(probability=rows.value[there])


def warned_events(
    probabilities: pd.Series,
    faults: pd.DataFrame,
    *,
    threshold: float,
    horizon: str | int | pd.Timedelta,
    cooldown: str | int | pd.Timedelta | None = None,
    least_lead: str | int | pd.Timedelta = "0s",
    observed_until: object = None,
    recovery: str | int | pd.Timedelta = RECOVERY,
    modes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Say of each impact how long before it a warning stood.

    Parameters
    ----------
    probabilities, threshold, horizon, cooldown
        As in `warnings_at`.
    faults : DataFrame
        Columns entity and impact_start; recovered_at, cause_start and failure_mode where known. Left out are faults
        without an impact, of other entities, after the end of the observation; and impacts of another part of the
        record: up to an entity's first row, and later than the horizon after its last one.
    least_lead : text, Timedelta or whole seconds
        An impact is warned of when the lead is longer than this: "24h" where the last day is too late or too easy.
    observed_until : time, or mapping of entity to time, optional
        The last moment at which an impact would have been recorded; by default each entity's last row.
    recovery : text, Timedelta or whole seconds
        How long an outage lasts whose `recovered_at` is unknown.
    modes : sequence of str, optional
        Failure modes to judge; by default all. An impact has the modes of the faults that begin it.

    Returns
    -------
    DataFrame
        A row an impact, by entity (in the rows' order) and time: `entity`, `impact_start`; `possible` (s, the longest
        lead that a row could have given; NaN without such a row, as after a hole); `judged` (bool, `possible` >
        `least_lead`); `lead` (s, NaN when missed or not judged); `since_cause` (s from the cause to the impact, NaN
        where unknown).

    Raises
    ------
    ContractError
        As `warnings_at`; when a column is missing or a mode unknown; when an entity has no end of observation.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=5, freq="h", tz="UTC", unit="us")
    >>> faults = pd.DataFrame({"entity": "default", "impact_start": hours[[1, 3]]})
    >>> said = pd.Series([0.1, 0.7, 0.9, 0.8, 0.2], index=hours)
    >>> warned_events(said, faults, threshold=0.6, horizon="2h")[["impact_start", "possible", "judged", "lead"]]
                   impact_start  possible  judged    lead
    0 2026-01-01 01:00:00+00:00    3600.0    True     NaN
    1 2026-01-01 03:00:00+00:00    7200.0    True  7200.0
    """
    rows = read_rows(probabilities)
    reach, open_for = read_horizon(horizon, cooldown)
    impacts = read_impacts(faults, rows, read_until(observed_until, rows), recovery, modes)
    there = raised_rows(rows.code, rows.time, rows.value, read_threshold(threshold), open_for)
    return event_table(rows, impacts, there, reach, read_length(least_lead, "least_lead")).drop(columns="code")


def event_table(rows: Rows, impacts: Impacts, raised: np.ndarray, reach: int, least: int) -> pd.DataFrame:
    """As `warned_events`, of the impacts that count, for lengths in us; with the entity's number in `code`."""
    first, last = read_ends(rows)
    here = impacts.counts & (impacts.start > first[impacts.code]) & (impacts.start <= last[impacts.code] + reach)
    kept = Impacts(*(part[here] for part in impacts))
    possible, lead = first_leads(rows, kept, reach), first_leads(rows, kept, reach, raised)
    start = pd.DatetimeIndex(kept.start.astype("datetime64[us]")).tz_localize("UTC")
    judged = possible > least / SECOND
    columns = {
        "entity": pd.Series(np.asarray(rows.entities)[kept.code], dtype="str"),
        "impact_start": start,
        "possible": possible,
        "judged": judged,
        "lead": np.where(judged & (lead > least / SECOND), lead, np.nan),
        "since_cause": kept.since_cause,
        "code": kept.code,
    }
    return pd.DataFrame(columns)


@numba.njit(cache=True)
def raised_rows(code, time, value, threshold, cooldown):
    """Mark the rows at which a warning is raised; rows sorted by entity and time, cool-down in us."""
    raised = np.zeros(len(code), dtype=np.bool_)
    closes = 0
    for i in range(len(code)):
        if i == 0 or code[i] != code[i - 1]:
            closes = time[i]
        if value[i] >= threshold and time[i] >= closes:  # a comparison with NaN is never true
            raised[i] = True
            closes = time[i] + cooldown
    return raised


def first_leads(rows: Rows, impacts: Impacts, reach: int, raised: np.ndarray | None = None) -> np.ndarray:
    """Longest lead (s) of each impact over the rows (or those raised) whose interval holds it; NaN without one."""
    code, time = (rows.code, rows.time) if raised is None else (rows.code[raised], rows.time[raised])
    line = Line(time, impacts.start, impacts.start - reach)
    keys = np.append(line.key(code, time), np.iinfo(np.int64).max)
    first = keys[np.searchsorted(keys, line.key(impacts.code, impacts.start - reach), side="left")]
    found = first < line.key(impacts.code, impacts.start)
    lead = np.full(len(first), np.nan)
    lead[found] = (impacts.start[found] - line.time(first[found])) / SECOND
    return lead


def row_truth(rows: Rows, impacts: Impacts, reach: int, until: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Say of each row whether a warning there would be right, and whether it can be judged; `until` by entity."""
    line = Line(rows.time, rows.time + reach, impacts.start)
    keys = np.append(line.key(impacts.code, impacts.start), np.iinfo(np.int64).max)
    after = keys[np.searchsorted(keys, line.key(rows.code, rows.time), side="right")]
    right = after <= line.key(rows.code, rows.time + reach)
    return right, right | (rows.time + reach <= until[rows.code])


def read_rows(probabilities: pd.Series) -> Rows:
    """Take probabilities apart, and refuse what are none."""
    if not isinstance(probabilities, pd.Series):
        got = type(probabilities).__name__
        raise ContractError(column="probabilities", expected="a Series over (entity, timestamp)", got=got)
    code, time, entities = index_arrays(probabilities.index)
    require_order(code, time, "probabilities")
    if ((code[1:] == code[:-1]) & (time[1:] == time[:-1])).any():
        remedy = "select one horizon, and one model"
        raise ContractError(file="probabilities", expected="each row once", got="double rows", remedy=remedy)
    value = probabilities.to_numpy(dtype=float, na_value=np.nan)
    bad = np.flatnonzero((value < 0) | (value > 1))
    if len(bad):
        expected, got = "probabilities between 0 and 1, or NaN", value[bad[0]]
        raise ContractError(column="probabilities", row=int(bad[0]) + 1, expected=expected, got=got)
    return Rows(code, time, value, entities)


def read_impacts(faults: pd.DataFrame, rows: Rows, until: np.ndarray, recovery, modes) -> Impacts:
    """Join faults into the outages that they are, as the labels do, and give the beginnings."""
    for column in ("entity", "impact_start", *(() if modes is None else ("failure_mode",))):
        if column not in faults.columns:
            got = f"the columns {', '.join(map(str, faults.columns)) or '(none)'}"
            raise ContractError(file="faults", column=column, expected=f"a column {column}", got=got)
    wanted = [modes] if isinstance(modes, str) else modes
    for mode in wanted or ():
        if mode not in set(faults["failure_mode"].dropna()):
            remedy = nearest(mode, faults["failure_mode"].dropna().unique())
            raise ContractError(file="faults", column="failure_mode", expected=f"the mode {mode!r}", remedy=remedy)
    code = rows.entities.get_indexer(faults["entity"].astype(str))
    felt = (faults["impact_start"].notna() & (code >= 0)).to_numpy()
    start, end, cause = (_moments(faults[felt], name) for name in ("impact_start", "recovered_at", "cause_start"))
    end = np.where(end == MISSING, start + read_length(recovery, "recovery"), end)
    since = np.where(cause == MISSING, np.nan, (start - cause) / SECOND)
    counts = np.ones(felt.sum(), dtype=bool) if wanted is None else faults["failure_mode"][felt].isin(wanted).to_numpy()
    parts = {"code": code[felt], "start": start, "end": end, "since": since, "counts": counts}
    frame = pd.DataFrame(parts)[start <= until[code[felt]]]
    # Of faults that begin an outage together, the earliest cause is when it could have been known.
    frame = frame.groupby(["code", "start"], as_index=False).agg({"end": "max", "since": "max", "counts": "any"})
    before = frame.groupby("code")["end"].cummax().groupby(frame["code"]).shift(fill_value=MISSING)
    frame = frame[frame["start"] >= before]
    return Impacts(*(frame[name].to_numpy() for name in ("code", "start", "since", "counts")))


MISSING = np.iinfo(np.int64).min  # NaT as a number


def _moments(faults: pd.DataFrame, name: str) -> np.ndarray:
    if name not in faults.columns:
        return np.full(len(faults), MISSING)
    return microseconds_of(faults[name])


def microseconds_of(times: pd.Series) -> np.ndarray:
    """Give times as whole us since 1970, `MISSING` where there is none."""
    return pd.DatetimeIndex(pd.to_datetime(times, utc=True)).as_unit("us").asi8


def read_ends(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Give each entity's first and last row, in us."""
    first, last = np.full(len(rows.entities), np.iinfo(np.int64).max), np.full(len(rows.entities), MISSING)
    np.minimum.at(first, rows.code, rows.time)
    np.maximum.at(last, rows.code, rows.time)
    return first, last


def read_until(until: object, rows: Rows) -> np.ndarray:
    """Give each entity's end of observation, in us: its last row where nothing is said."""
    if until is None:
        return read_ends(rows)[1]
    ends = pd.Series(until) if isinstance(until, Mapping | pd.Series) else pd.Series(until, index=rows.entities)
    ends.index = ends.index.astype(str)
    lacking = rows.entities.difference(ends.index)
    if len(lacking):
        got = f"none for {lacking[0]}" + f" and {len(lacking) - 1} more" * (len(lacking) > 1)
        remedy = nearest(lacking[0], ends.index)
        raise ContractError(column="observed_until", expected="a time for each entity", got=got, remedy=remedy)
    own = ends.loc[rows.entities].rename("observed_until")
    read = coerce_column(own.reset_index(drop=True), "datetime64[us, UTC]", source="parameters", nullable=False)
    return pd.DatetimeIndex(read).as_unit("us").asi8


def read_horizon(horizon, cooldown) -> tuple[int, int]:
    """Read the horizon and the cool-down (by default the horizon), in us."""
    reach = read_length(horizon, "horizon")
    if not reach:
        raise ContractError(column="horizon", expected="a length of time above 0, such as '48h'", got=str(horizon))
    return reach, reach if cooldown is None else read_length(cooldown, "cooldown")


def read_length(length, name: str) -> int:
    """Read a length of time from 0 up in us; whole numbers are seconds, as in the contract."""
    whole = isinstance(length, int | np.integer) and not isinstance(length, bool)
    read = int(length) * SECOND if whole else microseconds(length, name)
    if read < 0:
        raise ContractError(column=name, expected="a length of time from 0 up", got=str(length))
    return read


def read_threshold(threshold: float) -> float:
    if not threshold >= 0:
        raise ContractError(column="threshold", expected="a probability, or infinity", got=threshold)
    return float(threshold)
