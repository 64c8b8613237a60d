"""Entities that stand or fall together, judged as one: a single warning, and each fault once.

Several services feel the same fault one after another. Who is on duty for all of them wants one warning before the
first is felt, and counts one false alarm where three services cry.
"""

from __future__ import annotations

__all__ = ["faults_of_whole", "highest"]

import numpy as np
import pandas as pd

from stability.schema import ContractError, validate

CAUSE = ["root_entity", "failure_mode", "cause_start"]  # what the records of one fault share


def highest(probabilities: pd.Series, name: str) -> pd.Series:
    """Give the highest probability of all entities at each moment.

    Parameters
    ----------
    probabilities : Series of float64, index (entity, timestamp)
        NaN where unknown.
    name : str
        What the whole is called.

    Returns
    -------
    Series of float64, index (entity, timestamp)
        Of the one entity `name`; its moments are those at which any entity has a row.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=2, tz="UTC", unit="us")
    >>> index = pd.MultiIndex.from_product([["a", "b"], days], names=["entity", "timestamp"])
    >>> highest(pd.Series([0.1, 0.2, 0.4, 0.1], index), "site").tolist()
    [0.4, 0.2]
    """
    if probabilities.index.names != ["entity", "timestamp"]:
        expected, got = "levels entity and timestamp", f"{list(probabilities.index.names)}"
        raise ContractError(column="index", expected=expected, got=got)
    most = probabilities.groupby(level="timestamp").max()
    index = pd.MultiIndex.from_product([[name], most.index], names=["entity", "timestamp"])
    return pd.Series(most.to_numpy(), index, name=probabilities.name)


def faults_of_whole(faults: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give each fault once, as the whole feels it.

    Records with the same root, mode and begin of the cause are one fault; a record without a known cause is its own.

    Parameters
    ----------
    faults : DataFrame
        By contract.
    name : str
        What the whole is called.

    Returns
    -------
    DataFrame
        By contract, in the order of the first impact: `entity` is `name`; `impact_start` is the first impact,
        `recovered_at` the last recovery (unknown where one of those felt is), `severity` the highest.

    Raises
    ------
    ContractError
        When it is no table of faults.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-01-01 00:00", "2026-01-01 00:05", "2026-01-01 00:07", "2026-01-01 01:00"], utc=True)
    >>> faults = pd.DataFrame({"fault_id": ["f", "f.gate"], "entity": ["db", "gate"], "cause_start": t[0],
    ...                        "impact_start": t[1:3], "recovered_at": t[3], "failure_mode": "disk",
    ...                        "root_entity": "db"})
    >>> faults_of_whole(faults, "site")[["entity", "impact_start"]].to_numpy().tolist()
    [['site', Timestamp('2026-01-01 00:05:00+0000', tz='UTC')]]
    """
    known = validate(faults, "faults").reset_index()
    alone = known[CAUSE].isna().any(axis=1)
    known["cause"] = known.groupby(CAUSE, dropna=False).ngroup().mask(alone, -1 - np.arange(len(known)))
    known = known.sort_values(["impact_start", "fault_id"], kind="stable", ignore_index=True)
    felt_open = known["impact_start"].notna() & known["recovered_at"].isna()
    groups = known.groupby("cause", sort=False)
    whole = groups.first()  # of each column the first that is known
    whole["recovered_at"] = groups["recovered_at"].max().mask(felt_open.groupby(known["cause"], sort=False).any())
    whole["severity"] = groups["severity"].max()
    return validate(whole.reset_index(drop=True).assign(entity=name), "faults")
