"""A replica plan carried out on the testbed: how many are wanted now, and having them."""

from __future__ import annotations

__all__ = ["Scaled", "demand_of", "scale", "wanted"]

import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stability.availability import Replica, cover, plan
from stability.schema import ContractError
from stability.testbed import control
from stability.testbed.service_level import read_load
from stability.testbed.supervisor import MOST
from stability.testbed.tally import ALL


class Scaled(NamedTuple):
    """What came of an order.

    Parameters
    ----------
    ordered : int
        Replicas that were asked for.
    replicas : int
        That there are: the testbed has room for `MOST`.
    seconds : float
        s until all of them answered that they are ready.
    """

    ordered: int
    replicas: int
    seconds: float


def demand_of(log: Path) -> pd.Series:
    """Read what users asked for from the load log.

    Parameters
    ----------
    log : Path
        `load.jsonl`.

    Returns
    -------
    Series of float64, index timestamp
        Requests sent in each second, from the first to the last but one: the last may not be over. A second that the
        log lacks is NaN.

    Raises
    ------
    ContractError
        With fewer than three seconds.
    """
    told = read_load(log)
    sent = told[told["replica"] == ALL].groupby("second")["sent"].sum().iloc[:-1].astype(float)
    if len(sent) < 2:
        raise ContractError(file=log, expected="three seconds of load at least", got=f"{len(sent)} that are over")
    seconds = range(int(sent.index[0]), int(sent.index[-1]) + 1)
    stamps = pd.to_datetime(list(seconds), unit="s", utc=True).as_unit("us")
    return pd.Series(sent.reindex(seconds).to_numpy(), index=stamps.rename("timestamp"), name="demand")


def wanted(demand: pd.Series, replica: Replica, *, headroom: float = 1.0, least: int = 2, **season) -> int:
    """Tell how many replicas the plan orders now.

    Parameters
    ----------
    demand : Series of float64, index timestamp
        Requests/s until now, such as from `demand_of`.
    replica : Replica
    headroom : float
        As in `availability.plan`.
    least : int
        Replicas that are always there, also as long as there is no forecast.
    **season
        As in `availability.cover`.

    Returns
    -------
    int

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=300, freq="s", tz="UTC")
    >>> wanted(pd.Series(250.0, index=stamps), Replica(rate=100.0, start=5.0))
    3
    """
    covers = cover(demand, replica, **season)
    step = demand.index[1] - demand.index[0]
    # one row on, for what is decided at the end of a row is ordered from the next one
    later = pd.concat([covers, pd.Series([float("nan")], index=[covers.index[-1] + step])])
    return int(plan(later, replica, headroom=headroom, every=step.total_seconds(), least=least).iloc[-1])


def scale(folder: Path, ordered: int) -> Scaled:
    """Have so many replicas of the model server, as far as the testbed has room, and wait until they are ready.

    Parameters
    ----------
    folder : Path
        The testbed's files.
    ordered : int
        From 1 up.

    Returns
    -------
    Scaled

    Raises
    ------
    ContractError
        For no number of replicas; where nothing runs, or a replica does not come up, in the supervisor's words.
    """
    if isinstance(ordered, bool) or not isinstance(ordered, int) or ordered < 1:
        raise ContractError(column="ordered", expected="replicas from 1 up", got=ordered)
    begun = time.monotonic()
    done = control.ask(folder, f"/scale/{min(ordered, MOST)}")
    return Scaled(ordered, int(done["replicas"]), time.monotonic() - begun)
