"""What can be wrong with the samples of a metric: gaps, stuck values, bounds, resets, units, clocks."""

from __future__ import annotations

__all__ = ["Samples", "bounds", "clocks", "gaps", "intervals", "resets", "stuck", "units"]

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stability.schema import metric
from stability.telemetry.grid import SECOND, is_counter

GAP = 1.5  # intervals without a sample from which on one is missing: halfway to the next on a grid with jitter
STUCK_SAMPLES = 10  # shortest run of equal values that may count as stuck
STUCK_CHANCE = 1e-3  # expected number of so long a run in the whole series, below which it does not come by chance
RESTLESS = 0.5  # share of samples that differ from the one before; a metric that rests by nature has less
ROUNDING = 1e-9  # share of a bound by which float arithmetic may miss it
FLEET = 5  # entities from which on they can be compared with each other
AGREED = 0.8  # share of a fleet that must agree before one that differs is suspected
LATENCY = r"duration|latency|time_to|response_time|_p\d+$"  # metrics in seconds that are no uptime and no age
UNIT_FACTORS = (100.0, 1e3, 1024.0, 1e6, 1024.0**2, 1e9, 1024.0**3)
UNIT_TOLERANCE = 0.1  # relative distance to a factor
UNIT_SPREAD = 0.15  # median absolute deviation of log10 medians in a fleet that agrees on its level


@dataclass(frozen=True)
class Samples:
    """The known samples of one metric, entity by entity.

    Parameters
    ----------
    name : str
        The metric.
    entity : ndarray of int, shape (n,)
        Position of the sample's entity, not decreasing.
    stamps : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC, increasing within an entity.
    values : ndarray of float64, shape (n,)
        In the metric's unit; without NaN and inf.
    begin, end : ndarray of int64, shape (m,)
        First and last row of each of the m entities, in microseconds, whether or not it holds this metric.
    width : ndarray of float64, shape (m,)
        Expected interval between samples in microseconds; NaN where nothing tells it.
    """

    name: str
    entity: np.ndarray
    stamps: np.ndarray
    values: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    width: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """Number of samples of each entity."""
        return np.bincount(self.entity, minlength=len(self.begin))


def intervals(stamps: np.ndarray, entity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure the time between consecutive samples of the same entity.

    Parameters
    ----------
    stamps : ndarray of int64, shape (n,)
        Microseconds, increasing within an entity.
    entity : ndarray of int, shape (n,)
        Not decreasing.

    Returns
    -------
    lengths, entities : ndarray
        Microseconds, and the entity of each interval.

    Examples
    --------
    >>> intervals(np.array([0, 60, 180, 0, 30]), np.array([0, 0, 0, 1, 1]))
    (array([ 60, 120,  30]), array([0, 0, 1]))
    """
    same = entity[1:] == entity[:-1]
    return np.diff(stamps)[same], entity[1:][same]


def gaps(samples: Samples) -> pd.DataFrame:
    """Find the stretches without a sample, those before an entity's first and behind its last one included.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    DataFrame
        entity (position), start and end (microseconds: of the samples around the gap, or where they would have been),
        samples (float64: how many are missing).
    """
    entity, stamps = samples.entity, samples.stamps
    heads = np.flatnonzero(np.r_[True, np.diff(entity) != 0][: len(entity)])
    tails = np.r_[heads[1:], len(entity)] - 1 if len(heads) else heads
    inner = np.flatnonzero(entity[1:] == entity[:-1])
    present = entity[heads]
    outer = np.nan_to_num(samples.width[present]).astype("int64")
    owner = np.r_[present, entity[inner], present]
    start = np.r_[samples.begin[present] - outer, stamps[inner], stamps[tails]]
    end = np.r_[stamps[heads], stamps[inner + 1], samples.end[present] + outer]
    width = samples.width[owner]
    found = end - start > GAP * width
    missing = np.round((end - start)[found] / width[found]) - 1
    return _events(owner[found], start[found], end[found], np.maximum(missing, 1))


def stuck(samples: Samples) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find runs of one value that are too long for how often the metric changes elsewhere.

    A gauge that usually changes from sample to sample (`RESTLESS`) is stuck in a run of at least `STUCK_SAMPLES` equal
    values whose like is expected fewer than `STUCK_CHANCE` times in a series of that length, if changes came by chance.
    Counters may rest, and so may a gauge at zero or at a bound.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    events : DataFrame
        As from `gaps`, with the number of samples in the run.
    longest : DataFrame
        A row per entity: constant_share (of all samples, in the longest run), longest_constant_seconds,
        constant (value, where it never changes; else NaN).
    """
    size, entity, values = len(samples.begin), samples.entity, samples.values
    new = np.r_[True, (np.diff(entity) != 0) | (np.diff(values) != 0)] if len(values) else np.zeros(0, dtype=bool)
    heads = np.flatnonzero(new)
    tails = np.r_[heads[1:], len(values)] - 1 if len(heads) else heads
    lengths, owner = tails - heads + 1, entity[heads]
    seconds = (samples.stamps[tails] - samples.stamps[heads]) / SECOND
    count, runs = samples.count, np.bincount(owner, minlength=size)
    longest, held = _largest(lengths, owner, size), _largest(seconds, owner, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        restless = np.clip((runs - 1) / (count - longest), 0, 1 - 1e-12)
        expected = np.log(count[owner]) + (lengths - 1) * np.log1p(-restless[owner])
    at_rest = _at_rest(samples.name, values[heads])
    often = restless[owner] >= RESTLESS
    found = often & (lengths >= STUCK_SAMPLES) & (expected < np.log(STUCK_CHANCE)) & ~at_rest
    if is_counter(samples.name):
        found[:] = False
    constant = np.full(size, np.nan)
    whole = (runs[owner] == 1) & (lengths >= STUCK_SAMPLES)
    constant[owner[whole]] = values[heads[whole]]
    table = pd.DataFrame(
        {
            "constant_share": np.divide(longest, count, out=np.full(size, np.nan), where=count > 0),
            "longest_constant_seconds": np.where(count > 0, held, np.nan),
            "constant": constant,
        }
    )
    events = _events(owner[found], samples.stamps[heads[found]], samples.stamps[tails[found]], lengths[found])
    return events, table


def bounds(samples: Samples) -> pd.DataFrame:
    """Find samples outside the bounds that the metric registry gives; neighbours make one event.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    DataFrame
        As from `gaps`, with the number of samples outside.
    """
    known = metric(samples.name)
    low = -np.inf if known.lower is None else known.lower - ROUNDING * abs(known.lower)
    high = np.inf if known.upper is None else known.upper + ROUNDING * abs(known.upper)
    return _runs_of((samples.values < low) | (samples.values > high), samples)


def resets(samples: Samples) -> pd.DataFrame:
    """Find the samples at which a counter is lower than before: restarts.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    DataFrame
        As from `gaps`; start is the last sample before the restart, end the first one behind it.
    """
    lower = (samples.entity[1:] == samples.entity[:-1]) & (np.diff(samples.values) < 0)
    found = np.flatnonzero(lower if is_counter(samples.name) else np.zeros(0, dtype=bool))
    ends = samples.stamps[found + 1]
    return _events(samples.entity[found], samples.stamps[found], ends, np.ones(len(found)))


def units(samples: Samples) -> list[str]:
    """Suspect that values are not in the metric's base unit; empty text where nothing speaks for it.

    The rules are few and would rather miss than accuse: a ratio that goes on to 100, a latency that is a minute in the
    median, memory below a mebibyte, a clock below 100 kHz, a temperature like kelvin, and an entity whose
    level is that of an agreeing fleet times a factor between units.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    list of str
        One text per entity.
    """
    known, size = metric(samples.name), len(samples.begin)
    grouped = pd.Series(samples.values).groupby(samples.entity)
    middle = grouped.median().reindex(range(size)).to_numpy()
    largest = grouped.max().reindex(range(size)).to_numpy()
    above_one = pd.Series(samples.values > 1).groupby(samples.entity).mean().reindex(range(size)).to_numpy()
    said = np.full(size, "", dtype=object)
    if is_counter(samples.name):
        return said.tolist()
    if known.unit == "1" and known.upper == 1:
        # A hundredth above 1 is a fault in the data; a twentieth of all samples is another unit.
        said[(largest > 1.5) & (largest <= 100.5) & (above_one > 0.05)] = "percent for ratio?"
    elif known.unit == "s" and re.search(LATENCY, samples.name):
        said[middle > 60] = "milliseconds for seconds?"
    elif known.unit == "By" and "memory" in samples.name:
        said[(largest > 0) & (largest < 1024.0**2)] = "kibibytes or megabytes for bytes?"
    elif known.unit == "Hz" and re.search("clock|frequency", samples.name):
        said[(largest > 0) & (largest < 1e5)] = "megahertz for hertz?"
    elif known.unit == "Cel":
        said[(middle > 250) & (middle < 400)] = "kelvin for degrees Celsius?"
    levels = np.log10(np.where(middle > 0, middle, np.nan))
    if np.isfinite(levels).sum() >= FLEET:
        apart = levels - np.nanmedian(levels)
        if np.nanmedian(np.abs(apart)) < UNIT_SPREAD:
            for factor in UNIT_FACTORS:
                for sign, text in ((1, f"{factor:,.0f} times"), (-1, f"1/{factor:,.0f} of")):
                    near = np.abs(apart - sign * np.log10(factor)) < np.log10(1 + UNIT_TOLERANCE)
                    said[near & (said == "")] = f"about {text} the fleet's level?"
    return said.tolist()


def clocks(samples: Samples) -> pd.DataFrame:
    """Compare where each entity's stamps lie within the interval, and where they end, with the rest of the fleet.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    DataFrame
        A row per entity: phase_seconds (circular mean of the stamps modulo the interval, above -interval/2 and at most
        interval/2; NaN where stamps have no common phase), end_offset_seconds (last sample minus the fleet's median
        last one), out_of_phase and out_of_step (bool: differs where at least `AGREED` of at least `FLEET` agree).
    """
    size, count = len(samples.begin), samples.count
    width = samples.width[samples.entity]
    turns = np.exp(2j * np.pi * np.nan_to_num((samples.stamps % np.nan_to_num(width, nan=1)) / width))
    total = np.bincount(samples.entity, turns.real, size) + 1j * np.bincount(samples.entity, turns.imag, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
    steady = (count > 1) & (np.abs(mean) > 0.5) & ~np.isnan(samples.width)
    angle = np.where(steady, np.angle(mean), np.nan)
    last = np.full(size, np.nan)
    last[samples.entity] = samples.stamps  # the last one of an entity stays
    offset = (last - np.nanmedian(last)) / SECOND if len(samples.stamps) else last
    turn = np.exp(1j * angle)
    away = np.abs(np.angle(turn * np.conj(np.nansum(turn)))) / (2 * np.pi)
    late = np.abs(offset) * SECOND / samples.width
    return pd.DataFrame(
        {
            "phase_seconds": angle / (2 * np.pi) * samples.width / SECOND,
            "end_offset_seconds": offset,
            "out_of_phase": _differs(away, agreed=0.05, apart=0.1),
            "out_of_step": _differs(late, agreed=GAP, apart=GAP),
        }
    )


def _differs(distance: np.ndarray, *, agreed: float, apart: float) -> np.ndarray:
    """Tell who is further than `apart` from a fleet that agrees within `agreed`."""
    known = np.isfinite(distance)
    if known.sum() < FLEET or (distance[known] <= agreed).mean() < AGREED:
        return np.zeros(len(distance), dtype=bool)
    return known & (distance > apart)


def _largest(values: np.ndarray, owner: np.ndarray, size: int) -> np.ndarray:
    """Find the largest value of each owner; owners do not decrease, one without a value gets 0."""
    heads = np.flatnonzero(np.r_[True, np.diff(owner) != 0][: len(owner)])
    largest = np.zeros(size)
    if len(heads):
        largest[owner[heads]] = np.maximum.reduceat(values, heads)
    return largest


def _at_rest(name: str, values: np.ndarray) -> np.ndarray:
    known = metric(name)
    return np.isin(values, [bound for bound in (0.0, known.lower, known.upper) if bound is not None])


def _runs_of(bad: np.ndarray, samples: Samples) -> pd.DataFrame:
    """Merge neighbouring marked samples of an entity into events."""
    found = np.flatnonzero(bad)
    new = np.r_[True, (np.diff(found) != 1) | (np.diff(samples.entity[found]) != 0)][: len(found)]
    heads = np.flatnonzero(new)
    tails = np.r_[heads[1:], len(found)] - 1 if len(heads) else heads
    stamps = samples.stamps[found]
    return _events(samples.entity[found][heads], stamps[heads], stamps[tails], tails - heads + 1)


def _events(entity, start, end, samples) -> pd.DataFrame:
    return pd.DataFrame({"entity": entity, "start": start, "end": end, "samples": np.asarray(samples, dtype="float64")})
