"""Periods found from the data: what repeats from cycle to cycle more than chance would have it."""

from __future__ import annotations

__all__ = ["FINDING", "find_periods", "given_periods", "period_name", "period_table", "search"]

import numbers
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.decomposition.grid import on_grid, profile_of, series_of
from stability.decomposition.hints import around, hinted_periods
from stability.schema import ContractError, nearest, validate

# Periods that people and schedulers make, in s: an estimate that cannot be told from one of these is that one.
CLOCK = (60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200, 86400, 604800)
EXPECTED = (3600, 86400, 604800)  # always tried: cron jobs, days and weeks of people
BINS = 48  # a cycle is compared in so many parts at most: half hours of a day, averaged over their noise
SHORTEST = 4  # steps: below it a cycle has no shape
SHIFTS = 999  # random shifts behind a p-value, which is then at least 0.001
CYCLES = 50  # cycles compared by shifting at most; more do not change the verdict, only the time
SHORTER = 0.7  # a shorter period comes first when its cycles agree this well beside the best one's
UNITS = ((604800, "w"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
FINDING = {  # the defaults of find_periods
    "shortest": None,
    "longest": None,
    "min_cycles": 3,
    "alpha": 0.01,
    "min_agreement": 0.1,
    "max_periods": 3,
    "seed": 0,
}


class Found(NamedTuple):
    """One period in steps, the cycles seen, their agreement and how often chance agrees as well."""

    period: float
    cycles: int
    agreement: float
    p_value: float


def find_periods(
    series: pd.Series,
    *,
    shortest: float | None = None,
    longest: float | None = None,
    min_cycles: int = 3,
    alpha: float = 0.01,
    min_agreement: float = 0.1,
    max_periods: int = 3,
    seed: int = 0,
) -> list[float]:
    """Find the periods of a series: a season is what one cycle tells about the others.

    1. Hints: peaks of the periodogram above the spectrum around them, and the first high hill of the autocorrelation;
       each is refined on the autocorrelation (gaps left out pair by pair) at ever higher multiples. A hint within the
       resolution of a clock period (an hour, a day, ...) is that one; hour, day and week are tried without a hint.
    2. Proof: the series without its running mean of that period is cut into cycles. Their agreement is the mean
       correlation of pairs of cycles; it must reach `min_agreement`, and exceed what the same cycles reach when each is
       shifted by a random amount. Shifting keeps everything about the noise but the phase, so a random walk, which has
       peaks and hills galore, has none. By chance some do: up to 4 in 100 random walks and AR(1) series
       (14 to 365 days, 5 minutes and an hour, 200 of each), and up to 3 in 100 of white noise.
    3. The profile of the best one is taken out and the search begins again.

    Outliers are clipped, gaps stay gaps. A day's profile holds whatever divides the day: an hour is named beside it
    only where it is the stronger one.

    Parameters
    ----------
    series : Series of float64
        Index timestamp, or (entity, timestamp) of one entity; NaN where missing.
    shortest, longest : float, optional
        Bounds of the period in s; default 4 steps, and the length of the series divided by `min_cycles`.
    min_cycles : int
        Cycles that must have been seen; twice as many for a period that is not on the clock, which needs more proof.
    alpha : float
        Level of the shift test; for periods other than hour, day and week divided by the number of candidates.
    min_agreement : float
        Mean correlation of cycles that is worth calling a season, in [0, 1].
    max_periods : int
        Periods at most.
    seed : int
        Of the random shifts.

    Returns
    -------
    list of float
        Periods in s, shortest first; empty where there is no evidence for any.

    Raises
    ------
    ContractError
        For more than one entity, a time without a zone, an infinite value.

    References
    ----------
    Periodogram hints proved on the autocorrelation: Vlachos, Yu and Castelli (2005), On periodicity detection and
    structural similarity, SIAM SDM, doi 10.1137/1.9781611972757.40. The proof by shifted cycles takes the
    place of its white-noise threshold, which red noise passes.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=24 * 14, freq="1h", tz="UTC", name="timestamp")
    >>> noise = np.random.default_rng(0).normal(size=len(hours))
    >>> find_periods(pd.Series(3 * np.sin(2 * np.pi * hours.hour / 24) + noise, index=hours))
    [86400.0]
    >>> find_periods(pd.Series(np.cumsum(noise), index=hours))
    []
    """
    if not isinstance(series, pd.Series):
        raise ContractError(expected="a pandas Series", got=type(series).__name__, remedy="panel['metric']")
    panel = validate(series.rename("value"), "telemetry")
    entities = panel.index.unique("entity")
    if len(entities) > 1:
        raise ContractError(
            expected="the series of one entity",
            got=f"{len(entities)} entities",
            remedy="period_table(panel) takes many",
        )
    settings = _settings(
        shortest=shortest,
        longest=longest,
        min_cycles=min_cycles,
        alpha=alpha,
        min_agreement=min_agreement,
        max_periods=max_periods,
        seed=seed,
    )
    for _entity, times, rows in series_of(panel):
        step, values, _cells = on_grid(times, rows.iloc[:, 0].to_numpy())
        return sorted(float(one.period * step) for one in search(values, step, **settings))
    return []


def period_table(panel: pd.DataFrame, **settings) -> pd.DataFrame:
    """Find the periods of every series of a panel.

    Parameters
    ----------
    panel : DataFrame
        Telemetry: index (entity, timestamp), float64 metrics.
    **settings
        As in `find_periods`.

    Returns
    -------
    DataFrame
        A row per period found: entity, metric, period (s), name, cycles (seen), agreement (mean correlation of pairs of
        cycles), p_value (of the shift test); ordered by entity, metric, period.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=24 * 14, freq="1h", tz="UTC", name="timestamp")
    >>> panel = pd.DataFrame({"load": np.sin(2 * np.pi * hours.hour / 24)}, index=hours)
    >>> period_table(panel).round(2)
        entity metric   period name  cycles  agreement  p_value
    0  default   load  86400.0   1d      14        1.0      0.0
    """
    filled = _settings(**settings)
    rows = []
    for entity, times, block in series_of(validate(panel, "telemetry")):
        for metric in block:
            step, values, _cells = on_grid(times, block[metric].to_numpy())
            for one in sorted(search(values, step, **filled)):
                period = float(one.period * step)
                rows.append((entity, metric, period, period_name(period), one.cycles, one.agreement, one.p_value))
    names = ["entity", "metric", "period", "name", "cycles", "agreement", "p_value"]
    kinds = dict(zip(names, ["str", "str", "float64", "str", "int64", "float64", "float64"], strict=True))
    return pd.DataFrame(rows, columns=names).astype(kinds)


def period_name(seconds: float) -> str:
    """Write a period in the largest unit that it is a whole number of.

    Examples
    --------
    >>> [period_name(seconds) for seconds in (86400, 604800, 5400, 5820.25)]
    ['1d', '1w', '90min', '5820.25s']
    """
    for unit, name in UNITS:
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g}{name}"
    return f"{seconds:.6g}s"


def given_periods(periods, metric: str, metrics) -> tuple[float, ...] | None:
    """Take what a caller gave as periods (None, a sequence, a sequence by metric) apart for one metric.

    Returns
    -------
    tuple of float or None
        In s, shortest first; None where they are to be found.
    """
    if isinstance(periods, Mapping):
        unknown = [name for name in periods if name not in metrics]
        if unknown:
            raise ContractError(
                column="periods", expected="names of metrics", got=unknown[0], remedy=nearest(unknown[0], metrics)
            )
        periods = periods.get(metric)
    if periods is None:
        return None
    given = list(periods) if np.iterable(periods) else [None]
    if not all(isinstance(period, numbers.Real) and 0 < period < np.inf for period in given):
        remedy = "periods=[86400] for a day"
        raise ContractError(column="periods", expected="a list of seconds above 0", got=periods, remedy=remedy)
    return tuple(sorted({float(period) for period in given}))


def _settings(**given) -> dict:
    for name in given:
        if name not in FINDING:
            raise ContractError(column=name, expected="a setting of find_periods", remedy=nearest(name, FINDING))
    settings = {**FINDING, **given}
    if settings["min_cycles"] < 2:
        raise ContractError(column="min_cycles", expected="at least 2, to compare", got=settings["min_cycles"])
    if not 0 < settings["alpha"] < 1:
        raise ContractError(column="alpha", expected="a share between 0 and 1", got=settings["alpha"])
    for name in ("shortest", "longest"):
        if isinstance(settings[name], str) or not 0 < (settings[name] or 1) < np.inf:
            raise ContractError(column=name, expected="seconds above 0", got=settings[name])
    if not -1 <= settings["min_agreement"] <= 1:
        raise ContractError(column="min_agreement", expected="a correlation", got=settings["min_agreement"])
    if settings["max_periods"] < 0:
        raise ContractError(column="max_periods", expected="a number from 0 up", got=settings["max_periods"])
    return settings


def search(values, step, *, shortest, longest, min_cycles, alpha, min_agreement, max_periods, seed) -> list[Found]:
    """As `find_periods` on a regular grid; periods in steps, strongest first."""
    n = len(values)
    low = max(SHORTEST, (shortest or 0) / step)
    high = min(n / min_cycles, (longest or np.inf) / step)
    known = np.isfinite(values)
    if known.sum() < SHORTEST * min_cycles or high < low:
        return []
    first_spread = values[known].std()
    rng = np.random.default_rng(seed)
    found: list[Found] = []
    for _ in range(max_periods):
        if not values[known].std() > 1e-6 * first_spread:
            break  # nothing is left but rounding
        proved = []
        levels = {
            period: level
            for period, level in _candidates(values, step, low, high, alpha).items()
            # What is not on the clock needs twice the cycles: a wave without a name, seen thrice, is no season.
            if low <= period <= high * (1 + 1e-9) / (1 if _on_clock(period * step) else 2)
            and all(abs(period / one.period - 1) > 0.05 for one in found)
        }
        for period, level in levels.items():
            cycles = _cycles(around(values, period), period, max(1.0, period / BINS))
            agreed = _agreement(cycles)
            if len(cycles) >= min_cycles and agreed >= min_agreement:
                chance = _chance(cycles, rng)
                if chance <= level * (1 + 1e-9):
                    proved.append(Found(period, len(cycles), agreed, chance))
        if not proved:
            break
        found.append(_best(values, proved))
        values = values - profile_of(values, found[-1].period)
    return found


def _on_clock(seconds: float) -> bool:
    return any(abs(seconds / clock - 1) < 1e-9 for clock in CLOCK)


def _best(values: np.ndarray, proved: list[Found]) -> Found:
    """The shortest period whose cycles agree nearly as well as any: compared in parts of the same length."""
    width = max(1.0, min(one.period for one in proved) / BINS)
    agreed = [_agreement(_cycles(around(values, one.period), one.period, width)) for one in proved]
    good = [one for one, value in zip(proved, agreed, strict=True) if value >= SHORTER * max(agreed)]
    return min(good, key=lambda one: one.period)


def _candidates(values, step, low, high, alpha) -> dict[float, float]:
    """Periods worth a proof, in steps, each with the level at which to prove it."""
    periods = set()
    for period in hinted_periods(values, low, high):
        near = [clock / step for clock in CLOCK if abs(step / clock - 1 / period) <= 0.5 / len(values)]
        periods.add(near[0] if near else period)
    expected = {clock / step for clock in EXPECTED}
    every = sorted(periods | expected)
    return {period: alpha if period in expected else alpha / len(every) for period in every}


def _cycles(values: np.ndarray, period: float, width: float) -> np.ndarray:
    """Whole cycles as rows of means over parts of `width` steps; cycles with most parts missing are left out."""
    whole = int(len(values) / period + 1e-9)
    parts = max(2, round(period / width))
    at = np.arange(len(values))
    cycle = (at / period + 1e-9).astype(np.int64)
    part = np.minimum(((at - cycle * period) * parts / period + 1e-9).astype(np.int64), parts - 1)
    kept = np.isfinite(values) & (cycle < whole)
    cell = (cycle * parts + part)[kept]
    counts = np.bincount(cell, minlength=whole * parts).reshape(whole, parts)
    sums = np.bincount(cell, values[kept], whole * parts).reshape(whole, parts)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), 0.0)
    return means[(counts > 0).mean(axis=1) >= 0.5]


def _agreement(cycles: np.ndarray) -> float:
    """Mean product of pairs of cycles, over the mean square of one: 1 when all are equal, 0 by chance."""
    own = (cycles**2).sum()
    if len(cycles) < 2 or own == 0:
        return 0.0
    return float(((cycles.sum(axis=0) ** 2).sum() - own) / ((len(cycles) - 1) * own))


def _chance(cycles: np.ndarray, rng: np.random.Generator) -> float:
    """Share of random shifts of each cycle, round its own circle, at which the sum of all is as strong."""
    if len(cycles) > CYCLES:
        cycles = cycles[np.linspace(0, len(cycles) - 1, CYCLES).astype(int)]
    parts = cycles.shape[1]
    waves = np.fft.rfft(cycles, axis=1)
    weight = np.full(waves.shape[1], 2.0)  # by Parseval; the constant and the fastest wave count once
    weight[0] = 1.0
    if parts % 2 == 0:
        weight[-1] = 1.0
    turns = np.exp(2j * np.pi * np.arange(parts) / parts)
    shifts = rng.integers(0, parts, (SHIFTS, len(cycles)))
    shifted = np.zeros(SHIFTS)
    for wave in range(len(weight)):
        shifted += weight[wave] * np.abs(turns[shifts * wave % parts] @ waves[:, wave]) ** 2
    here = (weight * np.abs(waves.sum(axis=0)) ** 2).sum()
    return float((1 + np.sum(shifted >= here * (1 - 1e-9))) / (SHIFTS + 1))
