"""What rules are judged against: one row a cause of fault records, and the time in which anything was observed."""

from __future__ import annotations

__all__ = ["ALL_SYSTEM", "causes_of", "observed_spans_of"]

import pandas as pd

from stability.evaluation.exposure import observed_time
from stability.schema import ContractError

ALL_SYSTEM = "system"  # the one entity that all share where only time counts


def causes_of(faults: pd.DataFrame) -> pd.DataFrame:
    """Make one row a cause of fault records, in which a fault stands once for each entity that it reached.

    Parameters
    ----------
    faults : DataFrame
        Table `faults` of the contract.

    Returns
    -------
    DataFrame
        `entity` (where it comes from), `start` (of the cause; of the impact where nothing else is known), `end` (the
        last of the end of the cause and the recoveries of all entities), `failure_mode`, `impact_start` (the first, of
        any entity; NaT = nobody felt it).

    Raises
    ------
    ContractError
        If no fault has a time.
    """
    root = faults["root_entity"].fillna("").replace("", pd.NA)
    table = faults.assign(entity=root.fillna(faults["entity"]))
    table["start"] = table["cause_start"].fillna(table["impact_start"])
    table["failure_mode"] = table["failure_mode"].fillna("")
    table["end"] = table[["cause_end", "recovered_at", "impact_start", "start"]].max(axis=1)
    table = table[table["start"].notna()]
    if table.empty:
        raise ContractError(
            file="faults", column="cause_start", expected="a fault with a time to judge rules against", got="none"
        )
    keys = ["entity", "start", "failure_mode"]
    found = table.groupby(keys, sort=False).agg(end=("end", "max"), impact_start=("impact_start", "min")).reset_index()
    return found.sort_values(["start", "entity"], ignore_index=True)


def observed_spans_of(telemetry: pd.DataFrame) -> pd.DataFrame:
    """Find the spans in which anything was observed, of the system as one entity: `entity`, `start`, `end` (exclusive).

    Parameters
    ----------
    telemetry : DataFrame
        A panel.
    """
    stamps = telemetry.index.get_level_values("timestamp").unique().sort_values()
    seen, _, _ = observed_time(pd.Series(1.0, index=stamps))
    times = {"start": seen.start, "end": seen.end}
    frame = {name: pd.DatetimeIndex(one.view("datetime64[us]"), tz="UTC") for name, one in times.items()}
    return pd.DataFrame({"entity": ALL_SYSTEM} | frame)
