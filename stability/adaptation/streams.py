"""Streams whose changes are known, and what a detector of drift does on them: false alarms, found, how late."""

from __future__ import annotations

__all__ = ["KINDS", "judge_streams", "stream"]

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from stability.evaluation import NotEnoughEvidence, bootstrap_interval, poisson_interval, wilson_interval
from stability.evaluation.intervals import Estimate
from stability.evaluation.resampling import MIN_UNITS
from stability.schema import one_of

# Memory of the noise, level that is added, factor of the spread, seasonal, share of what is left over which it comes.
KINDS = {
    "stable": (0.0, 0.0, 1.0, False, 0.0),
    "autocorrelated": (0.9, 0.0, 1.0, False, 0.0),
    "seasonal": (0.5, 0.0, 1.0, True, 0.0),
    "abrupt": (0.5, 1.0, 1.0, False, 0.0),
    "gradual": (0.5, 1.5, 1.0, False, 0.5),
    "variance": (0.5, 0.0, 2.0, False, 0.0),
    "seasonal abrupt": (0.5, 1.0, 1.0, True, 0.0),
}
SEASON = 600.0  # s; rows are one second apart
SWING = 2.0  # of a season, in deviations of the noise
NOISE_RUN_IN = 500


class Stream(NamedTuple):
    """A stream and its truth.

    Parameters
    ----------
    reference, later : Series of float64, index timestamp
    change : Timestamp or None
        When it begins to change; None where it does not.
    """

    reference: pd.Series
    later: pd.Series
    change: pd.Timestamp | None


def stream(kind: str, *, reference: int = 6000, later: int = 6000, seed: int = 0) -> Stream:
    """Draw a stream; where it changes, it does so in the middle of its later half.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    reference, later : int
        Rows, a second apart.
    seed : int

    Returns
    -------
    Stream

    Examples
    --------
    >>> drawn = stream("abrupt", reference=500, later=1000)
    >>> len(drawn.later), drawn.later.index.get_loc(drawn.change)
    (1000, 500)
    >>> stream("seasonal").change is None
    True
    """
    memory, level, spread, seasonal, ramp = KINDS[one_of(kind, KINDS, "kind")]
    rng = np.random.default_rng(seed)
    rows = reference + later
    noise = lfilter([np.sqrt(1 - memory**2)], [1, -memory], rng.normal(size=rows + NOISE_RUN_IN))[NOISE_RUN_IN:]
    start = reference + later // 2
    share = np.zeros(rows)
    long = int(ramp * (rows - start))
    share[start:] = np.minimum((np.arange(rows - start) + 1) / max(long, 1), 1.0)
    values = noise * (1 + (spread - 1) * share) + level * share
    if seasonal:
        values += SWING * np.sin(2 * np.pi * np.arange(rows) / SEASON)
    stamps = pd.date_range("2026-01-01", periods=rows, freq="s", tz="UTC", unit="us", name="timestamp")
    series = pd.Series(values, index=stamps)
    changed = level != 0 or spread != 1
    return Stream(series[:reference], series[reference:], stamps[start] if changed else None)


def judge_streams(
    detectors: Mapping[str, Callable[[Stream], pd.DatetimeIndex]],
    *,
    kinds: Mapping | tuple = tuple(KINDS),
    draws: int = 20,
    seed: int = 0,
    **lengths: int,
) -> pd.DataFrame:
    """Measure detectors on streams of each kind.

    An alarm before the change, or on a stream without one, is false; a change is found by the first alarm after it.

    Parameters
    ----------
    detectors : mapping of str to callable
        From a stream to the moments of alarms.
    kinds : sequence of str
    draws, seed : int
        Streams of each kind, and where their seeds begin.
    **lengths
        Of `stream`.

    Returns
    -------
    DataFrame, index (detector, stream)
        `unable`: streams on which it had not enough evidence and said nothing at all, which are left out;
        `false`, `false_lo`, `false_hi`: false alarms in 10,000 rows without drift (exact Poisson interval);
        `found`, `found_lo`, `found_hi`: share of changes (Wilson); `delay`, `delay_lo`, `delay_hi`: median, in rows,
        of those that were found (bootstrap over streams); NaN where there is no change.
    """
    rows = []
    for kind in kinds:
        drawn = [stream(kind, seed=seed + k, **lengths) for k in range(draws)]
        for name, detect in detectors.items():
            able = [(one, alarms) for one in drawn if (alarms := _asked(detect, one)) is not None]
            rows.append({"detector": name, "stream": kind, "unable": draws - len(able)} | _judged(able, seed))
    return pd.DataFrame(rows).set_index(["detector", "stream"])


def _asked(detect: Callable[[Stream], pd.DatetimeIndex], one: Stream) -> pd.DatetimeIndex | None:
    try:
        return detect(one)
    except NotEnoughEvidence:
        return None


def _judged(asked: list[tuple[Stream, pd.DatetimeIndex]], seed: int) -> dict[str, float]:
    false, calm, delays = 0, 0, []
    for one, moments in asked:
        end = one.change if one.change is not None else one.later.index[-1] + pd.Timedelta(seconds=1)
        false += int((moments < end).sum())
        calm += int((one.later.index < end).sum())
        if one.change is not None:
            after = moments[moments >= one.change]
            delays.append((after[0] - one.change).total_seconds() if len(after) else np.nan)
    nothing = Estimate(*[np.nan] * 3)
    own = _named("false", poisson_interval(false, calm / 10_000) if calm else nothing)
    known = np.array([x for x in delays if x == x])
    found = wilson_interval(len(known), len(delays)) if delays else nothing
    late = bootstrap_interval(np.median, known, seed=seed) if len(known) >= MIN_UNITS else nothing
    return own | _named("found", found) | _named("delay", late)


def _named(name: str, estimate: Estimate) -> dict[str, float]:
    return dict(zip((name, f"{name}_lo", f"{name}_hi"), estimate, strict=True))
