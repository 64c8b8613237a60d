"""FMECA criticality: how much of an item's failures a mode is, how surely that hurts, over the time it runs."""

from __future__ import annotations

__all__ = ["criticality", "item_criticality", "mode_criticality"]

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stability.schema import ContractError


def criticality(rate: ArrayLike, share: ArrayLike, hurts: ArrayLike, time: ArrayLike) -> np.ndarray:
    """Multiply a mode's criticality number: Cm = lambda_p x alpha x beta x t.

    Parameters
    ----------
    rate : array-like of float
        Failures of the item per unit of time, from 0 up.
    share : array-like of float in [0, 1]
        Of these, those by this mode; the shares of an item add up to 1.
    hurts : array-like of float in [0, 1]
        Probability that the mode has its effect.
    time : array-like of float
        Operating time, in the rate's unit.

    Returns
    -------
    array of float64
        Failures with this effect that are to be expected.

    Raises
    ------
    ContractError
        For a number outside of its range, or none.

    References
    ----------
    MIL-STD-1629A (1980), task 102; IEC 60812:2018.

    Examples
    --------
    >>> criticality(2e-3, [0.5, 0.25], [1.0, 0.1], 1000.0).tolist()
    [1.0, 0.05]
    """
    given = {"rate": rate, "share": share, "hurts": hurts, "time": time}
    numbers = {name: np.asarray(one, dtype="float64") for name, one in given.items()}
    for name, one in numbers.items():
        top = 1.0 if name in ("share", "hurts") else np.inf
        wrong = ~((one >= 0) & (one <= top))  # what is not known is no number either
        if wrong.any():
            expected = "a number from 0 to 1" if top == 1 else "a number from 0 up"
            raise ContractError(column=name, expected=expected, got=str(one[wrong].ravel()[0]))
    return numbers["rate"] * numbers["share"] * numbers["hurts"] * numbers["time"]


def mode_criticality(
    incidents: pd.DataFrame, days: float, *, ahead: float = 30.0, felt: pd.Series | None = None
) -> pd.DataFrame:
    """Take the four factors from a record.

    Parameters
    ----------
    incidents : DataFrame
        From `incidents_of`.
    days : float
        Service-days of the record.
    ahead : float
        Service-days that are asked about.
    felt : Series of bool, index incident, optional
        Whether somebody felt it; without, whether the record has an impact. A record that never knows one needs this.
        It has to say something of each incident.

    Returns
    -------
    DataFrame, index (entity, failure_mode)
        `rate` (failures of the entity per service-day), `share`, `hurts` (share with an impact that somebody felt),
        `criticality` (impacts by this mode to be expected in the days ahead).
    """
    if not days > 0 or not ahead > 0:
        raise ContractError(column="days", expected="service-days above 0", got=f"{days}, {ahead}")
    felt = incidents["impact_start"].notna() if felt is None else felt.reindex(incidents.index)
    if felt.isna().any():
        got = f"nothing of {felt.index[felt.isna()][0]}"
        raise ContractError(column="felt", expected="of each incident whether somebody felt it", got=got)
    felt = felt.astype(bool)
    table = incidents.assign(felt=felt).groupby(["entity", "failure_mode"])["felt"].agg(["size", "mean"])
    of_item = table["size"].groupby(level="entity").transform("sum")
    made = pd.DataFrame({"rate": of_item / days, "share": table["size"] / of_item, "hurts": table["mean"]})
    return made.assign(criticality=criticality(made["rate"], made["share"], made["hurts"], ahead))


def item_criticality(modes: pd.DataFrame, severity: pd.Series) -> pd.DataFrame:
    """Add the criticality of an item's modes up, for each severity: Cr.

    Parameters
    ----------
    modes : DataFrame, index (entity, failure_mode)
        From `mode_criticality`.
    severity : Series of float, index failure_mode
        Rating of each mode; modes without one are left out.

    Returns
    -------
    DataFrame of float64, index entity, columns severity (rising)
    """
    rating = severity.reindex(modes.index.get_level_values("failure_mode")).to_numpy()
    known = modes.assign(severity=rating).dropna(subset="severity")
    keys = [known.index.get_level_values("entity"), "severity"]
    return known.groupby(keys)["criticality"].sum().unstack(fill_value=0.0).rename_axis("entity")  # noqa: PD010
