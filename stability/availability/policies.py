"""How many replicas to order, and when: ahead of demand by its forecast, or after it as Kubernetes does."""

from __future__ import annotations

__all__ = ["cover", "plan", "react"]

import math

import numpy as np
import pandas as pd

from stability.availability.capacity import Replica, require_positive
from stability.availability.forecasting import forecast, regular_values
from stability.schema import ContractError

EVERY = 5.0  # s between decisions
QUANTILE = 0.9  # of demand; farther out it rests on a handful of past misses, and headroom does better
TOLERANCE = 0.1  # of the utilization around its target, within which Kubernetes leaves things as they are
MOST = 1000  # replicas


def cover(
    demand: pd.Series, replica: Replica, *, quantile: float = QUANTILE, every: float = EVERY, **season
) -> pd.Series:
    """Tell at each moment which demand has to be covered by what is ordered now.

    That is the highest, over the time until the replicas of the next decision could be ready (`start` + `every`
    seconds), of a quantile of demand. Dropping a replica that is needed again before it could be back is no saving.

    Parameters
    ----------
    demand : Series of float64, index timestamp
        Requests/s, at regular steps.
    replica : Replica
    quantile : float in (0, 1)
        Of the mean demand over the replica's `window`, the time over which users judge.
    every : float
        s between decisions.
    **season
        As in `forecast`.

    Returns
    -------
    Series of float64, index timestamp
        Requests/s, known at the end of the row; NaN as long as there is no forecast.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=300, freq="s", tz="UTC")
    >>> float(cover(pd.Series(250.0, index=stamps), Replica(rate=100.0, start=5.0)).iloc[-1])
    250.0
    """
    step, _ = regular_values(demand)
    require_positive(every=every)
    reach = max(step, replica.start + every)
    # half a decision apart: demand between two such moments lies between theirs
    ahead = np.append(np.arange(step, reach, max(step, every / 2)), reach)
    smoothed = demand.rolling(max(1, round(replica.window / step)), min_periods=1).mean()
    told = [forecast(smoothed, float(at), quantiles=[quantile], **season)[quantile].to_numpy() for at in ahead]
    return pd.Series(np.fmax.reduce(told), index=demand.index, name="cover")


def plan(
    covers: pd.Series, replica: Replica, *, headroom: float = 1.0, every: float = EVERY, least: int = 1
) -> pd.Series:
    """Order as many replicas as answer in time what has to be covered, and some headroom.

    Parameters
    ----------
    covers : Series of float64, index timestamp
        From `cover`.
    replica : Replica
    headroom : float
        What is covered, as a multiple: for bursts that no forecast knows.
    every : float
        s between decisions.
    least : int
        Replicas that are always there; also as long as there is no forecast.

    Returns
    -------
    Series of int64, index timestamp
        Replicas ordered from the row's moment on, decided with rows before it.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=300, freq="s", tz="UTC")
    >>> replica = Replica(rate=100.0, start=5.0)
    >>> int(plan(cover(pd.Series(250.0, index=stamps), replica), replica).iloc[-1])
    3
    """
    require_positive(headroom=headroom, every=every)
    _require_least(least)
    step, values = regular_values(covers)
    return _ordered(covers.index, np.ceil(values * headroom / replica.usable - 1e-9), step, every, least)


def react(
    demand: pd.Series,
    replica: Replica,
    *,
    target: float = 0.7,
    every: float = EVERY,
    window: float = 15.0,
    stabilization: float = 300.0,
    tolerance: float = TOLERANCE,
    spare: int = 0,
    least: int = 1,
) -> pd.Series:
    """Order replicas as Kubernetes' horizontal autoscaler does: after the utilization that was measured.

    Parameters
    ----------
    demand : Series of float64, index timestamp
        Requests/s, at regular steps.
    replica : Replica
    target : float in (0, 1]
        Utilization of a replica that is aimed at: its requests/s over its rate.
    every : float
        s between decisions; Kubernetes takes 15.
    window : float
        s over which utilization is measured.
    stabilization : float
        s: fewer replicas only after so long, the largest number recommended meanwhile; Kubernetes takes 300.
    tolerance : float
        Departure from the target that changes nothing.
    spare : int
        Replicas beyond, always: "one more".
    least : int

    Returns
    -------
    Series of int64, index timestamp
        As of `plan`.

    References
    ----------
    Kubernetes documentation, Horizontal Pod Autoscaling, "Algorithm details" (a replica that is not ready yet counts
    as idle when more are considered, so that orders under way are not given again) and "Stabilization window".

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=120, freq="s", tz="UTC")
    >>> burst = pd.Series(np.where(np.arange(120) < 60, 60.0, 200.0), index=stamps)
    >>> react(burst, Replica(rate=100.0, start=5.0)).iloc[[0, 59, 119]].tolist()
    [1, 1, 3]
    """
    step = regular_values(demand)[0]
    require_positive(every=every, window=window, target=target)
    _require_least(least)
    if not 0 <= stabilization < math.inf or not 0 <= tolerance < 1:
        got = f"{stabilization:g} and {tolerance:g}"
        raise ContractError(column="stabilization", expected="seconds from 0 up, a tolerance below 1", got=got)
    values = pd.Series(demand.to_numpy(dtype=float))
    measured = values.rolling(max(1, round(window / step)), min_periods=1).mean().to_numpy()
    hold, stride = max(0, round(stabilization / every)), max(1, round(every / step))
    needed = np.full(len(values), np.nan)
    now, recommended = least, []
    for row in range(stride - 1, len(values), stride):
        use = measured[row] / (now * replica.rate) / target
        wish = now if math.isnan(use) or abs(use - 1) <= tolerance else max(math.ceil(now * use - 1e-9), least)
        recommended = [*recommended, wish][-(hold + 1) :]
        now = max(wish, min(now, max(recommended)))
        needed[row] = now + spare
    return _ordered(demand.index, needed, step, every, least + spare)


def _require_least(least: int) -> None:
    if isinstance(least, bool) or not isinstance(least, int | np.integer) or not 1 <= least <= MOST:
        raise ContractError(column="least", expected=f"replicas, 1 to {MOST}", got=least)


def _ordered(index: pd.Index, needed: np.ndarray, step: float, every: float, least: int) -> pd.Series:
    """What is decided at the end of a row holds from the next one until the next decision."""
    stride = max(1, round(every / step))
    decided = np.full(len(needed), np.nan)
    decided[stride - 1 :: stride] = needed[stride - 1 :: stride]
    told = pd.Series(decided).shift(1).ffill().fillna(least).clip(least, MOST)
    return pd.Series(told.astype("int64").to_numpy(), index=index, name="ordered")
