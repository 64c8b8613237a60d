"""Incidents as evidence: fault records with one row a cause, when each was noticed, and what it cost its users."""

from __future__ import annotations

__all__ = ["answered_by", "first_alarms", "impacts_of", "incidents_of", "times_of"]

import numpy as np
import pandas as pd

from stability.schema import ContractError, validate
from stability.slo import Objective, allowed_badness, slices

TIMES = {  # column -> which of the records of one cause speaks
    "impact_start": "min", "detected_at": "min", "diagnosed_at": "min", "cause_end": "max", "recovered_at": "max",
}  # fmt: skip


def incidents_of(faults: pd.DataFrame) -> pd.DataFrame:
    """Make one row a cause of fault records, in which a fault stands once for each entity that felt it.

    Parameters
    ----------
    faults : DataFrame
        Table `faults` of the contract. Records without a mode or without a time are left out.

    Returns
    -------
    DataFrame, index incident (name of the cause's first record)
        `failure_mode`, `entity` (where it comes from), `start` (of the cause; of the impact or detection where nothing
        else is known), the first `impact_start`, `detected_at`, `diagnosed_at`, the last `cause_end`, `recovered_at`
        of any entity, `end` (the last moment that is known of it), `entities` (how many felt it). In time's order. As
        long as an entity that was hurt has not recovered, the incident has not.
    """
    table = validate(faults, "faults").reset_index()
    table["root"] = table["root_entity"].fillna(table["entity"])
    table["start"] = table["cause_start"].fillna(table["impact_start"]).fillna(table["detected_at"])
    table = table[table["start"].notna() & table["failure_mode"].notna()].sort_values("start", kind="stable")
    told = {name: (name, which) for name, which in TIMES.items()}
    table["hurt"] = table["impact_start"].notna() & table["recovered_at"].isna()
    grouped = table.groupby(["root", "start", "failure_mode"], sort=False)
    told |= {"incident": ("fault_id", "first"), "entities": ("entity", "nunique"), "hurt": ("hurt", "any")}
    found = grouped.agg(**told).reset_index()
    found["end"] = found[["start", *TIMES]].max(axis=1)
    found["recovered_at"] = found["recovered_at"].mask(found["hurt"].astype(bool))
    columns = ["failure_mode", "entity", "start", *TIMES, "end", "entities"]
    return found.rename(columns={"root": "entity"}).set_index("incident")[columns]


def first_alarms(
    incidents: pd.DataFrame,
    alarms: pd.DataFrame,
    *,
    late: str | pd.Timedelta = "0s",
    named: bool = False,
) -> pd.Series:
    """Find the first alarm that begins within each incident.

    Parameters
    ----------
    incidents : DataFrame
        From `incidents_of`.
    alarms : DataFrame
        With `start`, and `entity` or `failure_mode` where there are: table `alarms` of the contract, or firings of
        rules. Those with a `suppressed_by` are left out.
    late : Timedelta or text
        How long after an incident's end an alarm still belongs to it.
    named : bool
        Whether only alarms count that name the incident's `failure_mode`, and its entity or none.

    Returns
    -------
    Series of datetime, index incident
        NaT where there is none. An alarm that was on before the cause began tells nothing.
    """
    needed = {"start"} | ({"failure_mode"} if named else set())
    if missing := needed - set(alarms.columns):
        raise ContractError("alarms", column=missing.pop(), expected="a column of that name", got="none")
    if "suppressed_by" in alarms:
        alarms = alarms[alarms["suppressed_by"].isna()]
    until = incidents["end"] + pd.Timedelta(late)
    found = pd.Series(pd.NaT, index=incidents.index, dtype=incidents["start"].dtype, name="found_at")
    groups = incidents.groupby("failure_mode").groups if named else {None: incidents.index}
    for mode, names in groups.items():
        own = alarms if mode is None else alarms[alarms["failure_mode"] == mode]
        own = own.sort_values("start")
        for name in names:  # few incidents, each with a search among many alarms
            here = own
            if named and "entity" in own:
                here = own[own["entity"].fillna("").isin(["", incidents.loc[name, "entity"]])]
            place = here["start"].searchsorted(incidents.loc[name, "start"])
            if place < len(here) and here["start"].iloc[place] <= until[name]:
                found[name] = here["start"].iloc[place]
    return found


def times_of(incidents: pd.DataFrame, found_at: pd.Series) -> pd.Series:
    """Put the moments at which incidents were found in their order, or name one of which nothing is said."""
    if missing := list(incidents.index.difference(found_at.index)):
        raise ContractError("found_at", expected="a moment, or NaT, for each incident", got=f"none for {missing[0]}")
    return found_at.reindex(incidents.index)


def answered_by(
    incidents: pd.DataFrame,
    actions: pd.DataFrame,
    *,
    within: str | pd.Timedelta,
    found_at: pd.Series | None = None,
) -> pd.Series:
    """Tell of each incident whether a repair ended it in time, by the verdicts of actions.

    Parameters
    ----------
    incidents : DataFrame
        From `incidents_of`.
    actions : DataFrame
        Table `actions` of the contract; dry runs are none.
    within : Timedelta or text
        From the moment that it was found until the action has ended.
    found_at : Series of datetime, index incident, optional
        When each was found, NaT = never; as `detectability` takes it. Without, it counts from the cause's begin.

    Returns
    -------
    Series of object, index incident
        True: an action on the incident's entity that began during it, ended in time, with the verdict `verified`.
        Missing: one whose effect is not known (`inconclusive`, or no verdict yet) and none that was verified, or nobody
        found the incident. False: nobody acted, or to no avail, or too late.

    Raises
    ------
    ContractError
        For incidents of which `found_at` says nothing.
    """
    table = validate(actions, "actions")
    table, limit = table[table["mode"] != "dry-run"], pd.Timedelta(within)
    since = incidents["start"] if found_at is None else times_of(incidents, found_at)
    told = pd.Series(False, index=incidents.index, dtype="object", name="answered")
    for name, one in incidents.iterrows():
        own = table[(table["entity"] == one["entity"]) & table["start"].between(one["start"], one["end"])]
        verified = (own["verdict"] == "verified") & (own["end"] <= since[name] + limit)
        unclear = own["verdict"].isna() | (own["verdict"] == "inconclusive")
        told[name] = True if verified.any() else None if unclear.any() or pd.isna(since[name]) else False
    return told


def impacts_of(
    incidents: pd.DataFrame,
    service: pd.DataFrame | None = None,
    *,
    objective: float = 0.99,
    period: str | pd.Timedelta = "30d",
    complaints: pd.Series | None = None,
) -> pd.DataFrame:
    """Add up what each incident cost: share of a period's error budget, share of users hit meanwhile, complaints.

    Parameters
    ----------
    incidents : DataFrame
        From `incidents_of`.
    service : DataFrame, index timestamp or (entity, timestamp), optional
        `good` and `total` requests of each step, as users see them; see `stability.slo`. Without it an incident is an
        outage, from its impact (where that is unknown, from its detection) until it recovered, and how many it hit is
        not known.
    objective : float in (0, 1)
        Share of the requests that is promised to be good.
    period : Timedelta or text
        Over which the budget is given; its requests are those of the record at its mean rate.
    complaints : Series of datetime, optional
        When users complained.

    Returns
    -------
    DataFrame, index incident
        `budget` and `users` (shares), `requests` (within the impact), `bad` (of them, beyond those of quiet times),
        `complaints` (count; NaN where nobody could), `seconds` of impact. An incident that nobody felt has zeros. One
        of which nobody says when it recovered ends with its cause; where that is not known either, it counts to the end
        of the service's record, and without a service nobody knows for how long it was felt, nor what it cost: NaN.

    Raises
    ------
    ContractError
        For an objective outside of (0, 1), counts that are none, and a service without requests.

    Examples
    --------
    >>> at = pd.date_range("2026-01-01", periods=100, freq="1s", tz="UTC")
    >>> service = pd.DataFrame({"good": [10.0] * 90 + [5.0] * 10, "total": 10.0}, at.rename("timestamp"))
    >>> times = {"start": at[:1], "impact_start": at[90:91], "detected_at": at[91:92], "end": at[99:]}
    >>> one = pd.DataFrame({**times, "recovered_at": at[99:]}, index=["f1"])
    >>> impacts_of(one, service, period="100s").iloc[0][["budget", "users"]].round(2).tolist()
    [5.0, 0.5]
    """
    if not 0 < objective < 1:
        raise ContractError(column="objective", expected="a share between 0 and 1", got=objective)
    promise = Objective("", "", target=objective, window=pd.Timedelta(period).total_seconds())
    first = incidents["impact_start"]
    if service is None:
        first = first.fillna(incidents["detected_at"])
        last = _over(incidents, first)
        seconds = (last - first).dt.total_seconds().clip(lower=0).where(first.notna(), 0.0)
        unknown = dict.fromkeys(("users", "requests", "bad", "complaints"), np.nan)
        return pd.DataFrame({"budget": seconds / allowed_badness(promise), **unknown, "seconds": seconds})
    total, bad, stamps = _by_time(service, promise)
    last = _over(incidents, first).fillna(stamps[-1])
    seconds = (last - first).dt.total_seconds().clip(lower=0).fillna(0.0)
    begins, ends = (_ticks(times.fillna(stamps[0])) for times in (first, last))
    felt, at = first.notna().to_numpy(), _ticks(pd.Series(stamps))
    a, b = np.searchsorted(at, begins), np.maximum(np.searchsorted(at, ends, side="right"), np.searchsorted(at, begins))
    all_of, bad_of = (np.concatenate([[0.0], np.cumsum(one)]) for one in (total, bad))
    quiet = np.ones(len(at), dtype=bool)
    until = incidents["end"].where(~felt, np.maximum(incidents["end"], last))
    for begin, end in zip(_ticks(incidents["start"]), _ticks(until), strict=True):
        quiet[np.searchsorted(at, begin) : np.searchsorted(at, end, side="right")] = False
    usual = bad[quiet].sum() / total[quiet].sum() if total[quiet].sum() else 0.0
    asked = np.where(felt, all_of[b] - all_of[a], 0.0)
    lost = np.maximum(np.where(felt, bad_of[b] - bad_of[a], 0.0) - usual * asked, 0.0)
    span = (stamps[-1] - stamps[0]).total_seconds() + _step(at)
    budget = lost / allowed_badness(promise, total.sum() * promise.window / span)
    made = {"budget": budget, "users": np.divide(lost, asked, out=np.zeros_like(lost), where=asked > 0)}
    made |= {"requests": asked, "bad": lost, "complaints": _within(complaints, begins, ends, felt)}
    return pd.DataFrame(made | {"seconds": seconds.where(felt, 0.0)}, index=incidents.index)


def _over(incidents: pd.DataFrame, first: pd.Series) -> pd.Series:
    """When users were well again: recovered, or else the last that is known of a cause that ended; NaT = unknown."""
    if "cause_end" not in incidents:
        return incidents["recovered_at"]
    return incidents["recovered_at"].fillna(incidents["end"].where(incidents["cause_end"] > first))


def _by_time(service: pd.DataFrame, promise: Objective) -> tuple[np.ndarray, np.ndarray, pd.DatetimeIndex]:
    whole = slices(service, promise).groupby(level="timestamp").sum()
    if not whole["total"].sum() > 0 or len(whole) < 2:
        got = f"{whole['total'].sum():g} at {len(whole)} moments"
        raise ContractError("service", column="total", expected="requests of two moments or more", got=got)
    return whole["total"].to_numpy(), (whole["total"] - whole["good"]).to_numpy(), whole.index


def _ticks(times: pd.Series) -> np.ndarray:
    return pd.DatetimeIndex(times).as_unit("us").asi8


def _step(at: np.ndarray) -> float:
    return float(np.median(np.diff(at))) / 1e6


def _within(complaints: pd.Series | None, begins: np.ndarray, ends: np.ndarray, felt: np.ndarray) -> np.ndarray:
    if complaints is None:
        return np.full(len(begins), np.nan)
    when = np.sort(_ticks(complaints))
    count = np.searchsorted(when, ends, side="right") - np.searchsorted(when, begins)
    return np.where(felt, count, 0).astype("float64")
