"""From records of faults, harmless events and quiet time to alarms whose answer is known: to learn from, judge by."""

from __future__ import annotations

__all__ = ["alarms_at", "fault_alarms", "quiet_alarms"]

import pandas as pd

from stability.schema import ContractError, validate

CAUSE = ["root_entity", "failure_mode", "cause_start"]  # what the records of one fault share


def alarms_at(moments: pd.Series, entity: str, detector: str) -> pd.DataFrame:
    """Make alarms of an entity at given moments.

    Parameters
    ----------
    moments : Series of datetime64[us, UTC], index alarm_id
    entity : str
        Who raises them: the service that users feel.
    detector : str

    Returns
    -------
    DataFrame
        `alarms` of the contract.
    """
    return validate(
        pd.DataFrame(
            {"alarm_id": moments.index, "entity": entity, "start": moments.to_numpy(), "detector": detector}
        ).assign(start=lambda own: pd.to_datetime(own["start"], utc=True)),
        "alarms",
    )


def fault_alarms(faults: pd.DataFrame, entity: str, *, wait: str = "5s") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make one alarm of each fault that somebody felt, at the moment at which it was first detected.

    Records with the same root, mode and begin of the cause are one fault, whoever felt it.

    Parameters
    ----------
    faults : DataFrame
        By contract.
    entity : str
        Whose alarms they are: the service as its users see it, never the entity that the record names.
    wait : str
        After the first impact, where no record knows when it was detected.

    Returns
    -------
    alarms, truth : DataFrame, index alarm_id
        `alarms` of the contract; `entity`, `failure_mode`, `cause_start`, `impact_start` and `root_metrics` of the
        fault.

    Raises
    ------
    ContractError
        Where no fault was felt.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-01-01 00:00", "2026-01-01 00:05", "2026-01-01 00:07"], utc=True)
    >>> faults = pd.DataFrame({"fault_id": ["f", "f.gate"], "entity": ["db", "gate"], "cause_start": t[0],
    ...                        "impact_start": t[1:], "failure_mode": "disk", "root_entity": "db"})
    >>> alarms, truth = fault_alarms(faults, "users")
    >>> alarms["start"].tolist(), truth["entity"].tolist()
    ([Timestamp('2026-01-01 00:05:05+0000', tz='UTC')], ['db'])
    """
    known = validate(faults, "faults").reset_index().dropna(subset=["impact_start", *CAUSE])
    if not len(known):
        raise ContractError(column="faults", expected="a fault with a known cause that was felt", got="none")
    known = known.sort_values(["cause_start", "fault_id"], kind="stable")
    groups = known.groupby(CAUSE, sort=False)
    first = groups.agg(
        alarm_id=("fault_id", "first"),
        impact_start=("impact_start", "min"),
        detected_at=("detected_at", "min"),
        root_metrics=("root_metrics", "first"),
    ).reset_index()
    moments = first["detected_at"].fillna(first["impact_start"] + pd.Timedelta(wait))
    truth = first.rename(columns={"root_entity": "entity"}).set_index("alarm_id")
    return alarms_at(moments.set_axis(truth.index), entity, "service level"), truth.drop(columns="detected_at")


def quiet_alarms(
    start: pd.Timestamp,
    end: pd.Timestamp,
    busy: pd.DataFrame,
    entity: str,
    *,
    before: str = "100s",
    every: str = "30s",
) -> pd.DataFrame:
    """Make alarms at moments at which, and for a while before which, nothing was going on.

    Parameters
    ----------
    start, end : Timestamp
        Between which.
    busy : DataFrame
        `start` and `end` of everything that was going on: faults, their traces, harmless events.
    entity : str
    before : str
        How long nothing may have been going on.
    every : str
        Shortest time between two of them.

    Returns
    -------
    DataFrame
        `alarms` of the contract.

    Examples
    --------
    >>> at = pd.to_datetime(["2026-01-01 00:00", "2026-01-01 00:10"], utc=True)
    >>> busy = pd.DataFrame({"start": [at[0]], "end": [at[0] + pd.Timedelta("5min")]})
    >>> quiet_alarms(*at, busy, "users", before="1min", every="2min")["start"].dt.minute.tolist()
    [6, 8, 10]
    """
    clear = busy["end"] + pd.Timedelta(before)
    moments, at = [], start + pd.Timedelta(before)
    while at <= end:
        hit = clear[(busy["start"] <= at) & (clear > at)]
        if len(hit):
            at = hit.max()
        else:
            moments.append(at)
            at += pd.Timedelta(every)
    names = [f"quiet {at:%Y-%m-%d %H:%M:%S}" for at in moments]
    return alarms_at(pd.Series(moments, index=names, dtype="datetime64[us, UTC]"), entity, "quiet")
