"""Demand ahead, as it could have been foretold: season of past cycles, level of now, quantiles of past misses."""

from __future__ import annotations

__all__ = ["forecast", "pinball", "regular_values"]

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from stability.schema import ContractError

QUANTILES = (0.5, 0.9, 0.99)
CYCLES = 5  # of the past: their median, so that one campaign among them leaves no print
LEVEL = 60.0  # s over which demand is compared with what the season says of the same time
SMOOTH = 30.0  # s around a moment of a past cycle: one cycle's seconds alone are noise
MEMORY = 6000.0  # s of past misses whose quantiles count: ten days of the testbed's users, with some 50 of their bursts
FEWEST = 60  # misses before there is a quantile of them


def forecast(
    demand: pd.Series,
    ahead: float,
    *,
    period: float | None = None,
    quantiles: Sequence[float] = QUANTILES,
    cycles: int = CYCLES,
    level: float = LEVEL,
    smooth: float = SMOOTH,
    memory: float = MEMORY,
) -> pd.DataFrame:
    """Foretell demand some time ahead, at each moment with what was known then.

    What is expected is the season (median over past cycles of the demand around the same phase) times how much larger
    demand was lately than the season says of that time; without a season, or before a cycle has passed, what it was
    lately. A quantile is what is expected times that quantile of demand / expectation over the last `memory` seconds,
    at the same distance ahead, and as soon as there is a season of those with one.

    Parameters
    ----------
    demand : Series of float64, index timestamp
        At regular steps, from 0 up; NaN where nobody knows.
    ahead : float
        s from the last known moment to the one that is foretold, at least a step.
    period : float, optional
        Of the season, s; see `stability.decomposition.find_periods`.
    quantiles : sequence of float in (0, 1)
    cycles : int
        Past ones that count at most.
    level, smooth, memory : float
        s; see above. `ahead` and half of `smooth` have to fit into a period, or the future would be needed.

    Returns
    -------
    DataFrame, index timestamp
        Row t foretells the demand at t + `ahead`: `expected`, and a column a quantile; NaN where too little is known.
        Rows depend on earlier rows and their own alone.

    Raises
    ------
    ContractError
        For irregular steps, negative demand, lengths that do not fit.

    Notes
    -----
    A decomposition that filters forward (`decomposition.CausalDecomposition`) foretells the next value; a plan needs
    one that is some time ahead, and how wrong it may be there.

    References
    ----------
    Hyndman, Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., sections 5.2 (seasonal naive) and 5.5
    (bootstrapped residuals).

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=480, freq="h", tz="UTC")
    >>> demand = pd.Series(50 + 20 * np.sin(2 * np.pi * np.arange(480) / 24), index=stamps)
    >>> hours = {"period": 86_400, "level": 21_600, "smooth": 3_600, "memory": 864_000}
    >>> told = forecast(demand, 6 * 3_600, **hours)
    >>> bool(np.isclose(told["expected"].iloc[-7], demand.iloc[-1]))
    True
    """
    step, values = regular_values(demand)
    _check(ahead, period, quantiles, cycles, step, {"level": level, "smooth": smooth, "memory": memory})
    n, h = len(values), round(ahead / step)
    lately, width = max(1, round(level / step)), max(1, round(smooth / step))
    sums = np.concatenate([[0.0], np.nancumsum(values)])
    counts = np.concatenate([[0], np.cumsum(np.isfinite(values))])
    now = np.arange(n)
    recent = _mean(sums, counts, np.maximum(now + 1 - lately, 0), now + 1)
    expected, seasonal = recent, np.zeros(n, dtype=bool)
    if period is not None:
        season, usual = _season(sums, counts, now, round(period / step), cycles, h, lately, width)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = season * recent / usual
        seasonal = np.isfinite(scaled)
        expected = np.where(seasonal, scaled, recent)
    with np.errstate(divide="ignore", invalid="ignore"):
        misses = values[h:] / expected[: max(n - h, 0)]
    misses = np.concatenate([np.full(n - len(misses), np.nan), np.where(np.isfinite(misses), misses, np.nan)])
    learnt = np.concatenate([np.zeros(n - len(seasonal[: max(n - h, 0)]), bool), seasonal[: max(n - h, 0)]])
    told = {"expected": expected}
    for quantile in quantiles:
        wrong = _past(misses, memory / step, quantile)
        if period is not None:  # how wrong one was without a season says nothing of how wrong one is with it
            known = _past(np.where(learnt, misses, np.nan), memory / step, quantile)
            wrong = np.where(seasonal & np.isfinite(known), known, wrong)
        told[quantile] = expected * wrong
    return pd.DataFrame(told, index=demand.index)


def pinball(demand: np.ndarray, told: np.ndarray, quantile: float) -> float:
    """Mean loss of a quantile that was foretold: smallest, in expectation, for the true one.

    Parameters
    ----------
    demand, told : array of float64, shape (n,)
        What came, and what was foretold of it; pairs with a NaN are left out.
    quantile : float in (0, 1)

    Returns
    -------
    float
        In the unit of demand; NaN without a pair.

    References
    ----------
    Koenker, Bassett (1978), doi 10.2307/1913643.

    Examples
    --------
    >>> round(pinball(np.array([10.0, 20.0]), np.array([12.0, 18.0]), 0.9), 6)
    1.0
    """
    miss = np.asarray(demand, float) - np.asarray(told, float)
    miss = miss[np.isfinite(miss)]
    return float(np.mean(np.maximum(quantile * miss, (quantile - 1) * miss))) if len(miss) else math.nan


def _past(misses: np.ndarray, memory: float, quantile: float) -> np.ndarray:
    rolling = pd.Series(misses).rolling(max(FEWEST, round(memory)), min_periods=FEWEST)
    return rolling.quantile(quantile).to_numpy()


def _season(sums, counts, now, cycle, cycles, h, lately, width) -> tuple[np.ndarray, np.ndarray]:
    """Demand of past cycles around the phase that is foretold, and at the time that is now: medians over cycles."""
    then, same = [], []
    for back in range(cycle, cycle * cycles + 1, cycle):
        begin = now + h - back - width // 2
        then.append(_mean(sums, counts, begin, begin + width))
        same.append(_mean(sums, counts, now + 1 - lately - back, now + 1 - back))
    return _median(then), _median(same)


def _mean(sums: np.ndarray, counts: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Mean of the known values of [begin, end); NaN where it begins before the record or nothing is known."""
    inside = (begin >= 0) & (end < len(sums))
    begin, end = np.where(inside, begin, 0), np.where(inside, end, 0)
    known = counts[end] - counts[begin]
    return np.where(known > 0, (sums[end] - sums[begin]) / np.maximum(known, 1), np.nan)


def _median(rows: list[np.ndarray]) -> np.ndarray:
    table = np.sort(np.array(rows), axis=0)  # NaN last
    known = np.isfinite(table).sum(axis=0)
    low, high = np.maximum((known - 1) // 2, 0), known // 2
    place = np.arange(table.shape[1])
    return np.where(known > 0, (table[low, place] + table[np.minimum(high, len(table) - 1), place]) / 2, np.nan)


def regular_values(demand: pd.Series) -> tuple[float, np.ndarray]:
    """Step in s and values of a series at regular steps."""
    index = demand.index
    if not isinstance(index, pd.DatetimeIndex) or len(index) < 2:
        got = f"{len(index)} rows with {type(index).__name__}"
        raise ContractError(column="demand", expected="at least two moments of time", got=got)
    steps = np.diff(index.asi8)
    if steps[0] <= 0 or (steps != steps[0]).any():
        place = int(np.flatnonzero((steps <= 0) | (steps != steps[0]))[0])
        raise ContractError(
            column="demand",
            expected="regular steps",
            got=f"{index[place]}, then {index[place + 1]}",
            remedy="put it on a grid with stability.telemetry.resample; NaN where nobody knows",
        )
    values = demand.to_numpy(dtype=float)
    wrong = np.isinf(values) | (values < 0)
    if wrong.any():
        raise ContractError(column="demand", expected="from 0 up", got=f"{values[wrong][0]:g} at {index[wrong][0]}")
    return (index[1] - index[0]).total_seconds(), values


def _check(ahead, period, quantiles, cycles, step, lengths) -> None:
    for name, length in lengths.items():
        if not 0 < length < math.inf:
            raise ContractError(column=name, expected="seconds above 0", got=length)
    if not step <= ahead < math.inf:
        raise ContractError(column="ahead", expected=f"at least a step, {step:g} s", got=ahead)
    if period is not None and not ahead + lengths["smooth"] / 2 + step <= period < math.inf:
        expected = f"ahead, half of smooth and a step: {ahead + lengths['smooth'] / 2 + step:g} s or more"
        raise ContractError(column="period", expected=expected, got=period)
    if isinstance(cycles, bool) or not isinstance(cycles, int) or cycles < 1:
        raise ContractError(column="cycles", expected="a whole number from 1 up", got=cycles)
    wrong = next((q for q in quantiles if not 0 < q < 1), None)
    if wrong is not None:
        raise ContractError(column="quantiles", expected="shares between 0 and 1, both excluded", got=wrong)
