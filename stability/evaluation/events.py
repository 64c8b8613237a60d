"""Event-based judgement: which labelled events were found, how late, and how many alarms were for nothing.

What matches what is said in `matching`. An alarm that never ends overlaps everything, so two safeguards stand beside
precision: `alarmed_share`, the share of unlabelled time spent in alarm, and ``match="start"``, under which only an
alarm that begins during the event counts.
"""

from __future__ import annotations

__all__ = ["event_estimates", "event_scores", "event_sums"]

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.exposure import cut_blocks, exposure, observed_time
from stability.evaluation.intervals import Estimate, estimate_or_nan, poisson_interval, wider, wilson_interval
from stability.evaluation.matching import match_spans, raised_alarms, widen
from stability.evaluation.resampling import MIN_UNITS, block_length, number_units, resample_counts
from stability.evaluation.spans import Spans, overlaps, span_arrays

DAY = 86_400.0  # s
DELAYS = {"delay_p50": 0.5, "delay_p90": 0.9}
SUMS = ["events", "found", "alarms", "true_alarms", "free", "alarmed", "observed"]  # counts, and s
RATES = ("recall", "precision", "f1", "false_alarms_per_day", "alarmed_share")


def event_scores(
    alarms: pd.DataFrame,
    windows: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    *,
    early: str | pd.Timedelta = "0s",
    late: str | pd.Timedelta = "0s",
    match: str = "overlap",
) -> dict[str, float]:
    r"""Judge alarms against labelled events: recall, precision, F1, delay, false alarms per entity-day.

    .. math:: R = \frac{\text{events found}}{\text{events}}, \quad P = \frac{\text{true alarms}}{\text{alarms}}, \quad
        F_1 = \frac{2 P R}{P + R}

    Parameters
    ----------
    alarms, windows, early, late, match
        As in `match_events`.
    observed : DataFrame or Series
        The judged telemetry (index entity, timestamp), or spans with columns entity, start, end (exclusive) as
        `observed_spans` gives them. Events and alarms that overlap no observed time are not judged: to judge a test
        part, give its panel.

    Returns
    -------
    dict
        Whole numbers: `events`, `found`, `alarms`, `true_alarms`, `false_alarms`, and `unobserved_events` that were
        not judged. Floats: `recall`, `precision`, `f1`; `false_alarms_per_day`: false alarms over the days (summed
        over entities) that are observed and outside of the widened events, the only time in which an alarm can be
        false; `alarmed_share` of that time spent in alarm; `observed_days`, all of it; `delay_p50` and `delay_p90`:
        quantiles (inverse of the distribution function) of the delay in s over the events that were found, which is
        kind to a detector that finds only the loud ones: read them beside the recall.
        What is undefined is NaN: precision without alarms, recall and F1 without events. F1 of no alarms is 0.

    Raises
    ------
    ContractError
        As `match_events`, and when an entity of alarms or windows was not observed.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=1440, freq="min", tz="UTC", unit="us")
    >>> panel = pd.DataFrame({"up": 1.0}, index=stamps)
    >>> windows = pd.DataFrame({"entity": "default", "start": stamps[[600]], "end": stamps[[719]]})
    >>> alarms = pd.DataFrame({"entity": "default", "start": stamps[[60, 603]], "end": stamps[[61, 605]]})
    >>> scores = event_scores(alarms, windows, panel)
    >>> [scores[name] for name in ("recall", "precision", "delay_p50")]
    [1.0, 0.5, 180.0]
    >>> round(scores["false_alarms_per_day"], 4)  # one in 22 hours
    1.0909
    """
    judged = _judge(alarms, windows, observed, early, late, match, "entity", "1D")
    sums = judged.sums.sum(axis=0)
    events, found, raised, true = (int(count) for count in sums[:4])
    counts = {"events": events, "found": found, "alarms": raised, "true_alarms": true, "false_alarms": raised - true}
    rates = dict(zip(RATES, map(float, event_rates(sums)), strict=True))
    delays = {name: quantile(judged.delays, share) for name, share in DELAYS.items()}
    days = {"observed_days": float(sums[6]) / DAY}
    return counts | {"unobserved_events": judged.unobserved} | rates | delays | days


def event_estimates(
    alarms: pd.DataFrame,
    windows: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    *,
    early: str | pd.Timedelta = "0s",
    late: str | pd.Timedelta = "0s",
    match: str = "overlap",
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Put intervals around the scores of `event_scores`, by drawing entities (or blocks of their time) again.

    Events and alarms belong to the unit in which they start. Percentile bootstrap; since it shrinks to a point where
    all resamples agree, each side of an interval is the wider one of the bootstrap's (dependent cases) and of the
    classical one for independent cases: Wilson's for recall and precision, Garwood's for the false-alarm rate. F1 has
    no classical one: where its resamples all agree, its limits are those of the harmonic mean at Wilson's limits.

    Parameters
    ----------
    alarms, windows, observed, early, late, match
        As in `event_scores`.
    unit, block
        What is drawn, as in `resampling_units`.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    dict of Estimate
        `recall`, `precision`, `f1`, `false_alarms_per_day`, `alarmed_share`, `delay_p50` and `delay_p90` (s).
        NaN throughout where the score is undefined, and for delays of fewer than `MIN_UNITS` found events: not
        enough evidence.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units.
    ContractError
        As `event_scores`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=240, freq="h", tz="UTC", unit="us")
    >>> panel = pd.DataFrame({"up": 1.0}, index=stamps)
    >>> windows = pd.DataFrame({"entity": "default", "start": stamps[10::48], "end": stamps[14::48]})
    >>> alarms = pd.DataFrame({"entity": "default", "start": stamps[11:200:48], "end": stamps[12:200:48]})
    >>> estimates = event_estimates(alarms, windows, panel)
    >>> [round(x, 2) for x in estimates["recall"]]
    [0.8, 0.33, 1.0]
    """
    judged = _judge(alarms, windows, observed, early, late, match, unit, block)
    sums = judged.sums.sum(axis=0)
    parts = [event_rates(counts @ judged.sums) for counts in resample_counts(len(judged.sums), resamples, seed)]
    result = {}
    for name, value, drawn in zip(RATES, event_rates(sums), np.concatenate(parts, axis=1), strict=True):
        result[name] = estimate_or_nan(float(value), drawn, confidence)
    settings = {"resamples": resamples, "confidence": confidence, "seed": seed}
    result |= quantile_estimates(judged.delays, judged.units, len(judged.sums), DELAYS, **settings)
    return result | _widened(result, sums, confidence)


def event_sums(
    alarms: pd.DataFrame,
    windows: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    *,
    early: str | pd.Timedelta = "0s",
    late: str | pd.Timedelta = "0s",
    match: str = "overlap",
    block: str | pd.Timedelta = "1D",
) -> pd.DataFrame:
    """Count what the scores of `event_scores` are made of, for each entity and block of its time.

    Parameters
    ----------
    alarms, windows, observed, early, late, match
        As in `event_scores`.
    block : Timedelta or text
        Length of a block, counted from 1970-01-01 UTC.

    Returns
    -------
    DataFrame, index (entity, timestamp): the block's start
        `events`, `found`, `alarms`, `true_alarms`; and seconds: `free` (observed, outside of the widened events),
        `alarmed` (of these, in alarm), `observed`. Events and alarms stand in the block in which they start.

    Raises
    ------
    ContractError
        As `event_scores`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=48, freq="h", tz="UTC", unit="us")
    >>> windows = pd.DataFrame({"entity": "default", "start": stamps[[30]], "end": stamps[[31]]})
    >>> event_sums(windows, windows, pd.Series(0.0, index=stamps)).iloc[:, :5]
                                       events  found  alarms  true_alarms     free
    entity  timestamp
    default 2026-01-01 00:00:00+00:00     0.0    0.0     0.0          0.0  86400.0
            2026-01-02 00:00:00+00:00     1.0    1.0     1.0          1.0  79200.0
    """
    judged = _judge(alarms, windows, observed, early, late, match, "block", block)
    return pd.DataFrame(judged.sums, index=judged.blocks, columns=SUMS).sort_index()


class _Judged(NamedTuple):
    sums: np.ndarray  # (units, 7), columns SUMS
    blocks: pd.MultiIndex  # entity and block in which each unit begins
    delays: np.ndarray  # s, of the events that were found, ascending
    units: np.ndarray  # of those events
    unobserved: int


def _judge(alarms, windows, observed, early, late, match, unit, block) -> _Judged:
    seen, entities, steps = observed_time(observed)
    inclusive = seen._replace(end=seen.end - 1)
    events, raised = span_arrays(windows, "windows", entities), span_arrays(raised_alarms(alarms), "alarms", entities)
    unobserved = ~overlaps(events, inclusive)
    events = Spans(*(part[~unobserved] for part in events))
    raised = Spans(*(part[overlaps(raised, inclusive)] for part in raised))
    widened = widen(events, early, late)
    delays, true = match_spans(raised, widened, events.start, match)
    found = ~np.isnan(delays)
    # The last row of an event or an alarm stands for one step of its entity, as it does in the observed time.
    closed = [part._replace(end=part.end + steps[part.code]) for part in (widened, raised)]
    codes, times, seconds, free, alarmed = exposure(cut_blocks(seen, block_length(block)), *closed)
    whose, when = np.concatenate([codes, events.code, raised.code]), np.concatenate([times, events.start, raised.start])
    units = number_units(whose, when, len(entities), unit, block)
    first, length = np.unique(units, return_index=True)[1], block_length(block)
    begins = pd.DatetimeIndex((when[first] // length * length).astype("datetime64[us]")).tz_localize("UTC")
    blocks = pd.MultiIndex.from_arrays([entities[whose[first]], begins], names=["entity", "timestamp"])
    of_time, of_events, of_alarms = np.split(units, np.cumsum([len(codes), len(events.code)]))
    columns = (
        (of_events, np.ones(len(found))),
        (of_events, found),
        (of_alarms, np.ones(len(true))),
        (of_alarms, true),
        (of_time, seconds * free),
        (of_time, seconds * free * alarmed),
        (of_time, seconds),
    )
    total = len(first)
    sums = np.column_stack([np.bincount(where, weights=what, minlength=total) for where, what in columns])
    order = np.argsort(delays[found], kind="stable")
    return _Judged(sums, blocks, delays[found][order], of_events[found][order], int(unobserved.sum()))


def event_rates(sums: np.ndarray) -> np.ndarray:
    """Rates of `RATES`, from `SUMS` along the last axis; shape (5, ...)."""
    events, found, alarms, true, free, alarmed, _ = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = found / events, true / alarms
        rate, share = (np.where(free > 0, part / free, np.nan) for part in ((alarms - true) * DAY, alarmed))
        return np.stack([recall, precision, harmonic_mean(recall, precision), rate, share])


def harmonic_mean(recall, precision) -> np.ndarray:
    """F1 of every pair: NaN where the recall is undefined, 0 where either is 0 or there is no precision.

    Examples
    --------
    >>> harmonic_mean(np.array([0.5, 0.5, 0.5, np.nan]), np.array([1.0, 0.0, np.nan, 1.0])).round(3).tolist()
    [0.667, 0.0, 0.0, nan]
    """
    recall, precision = np.asarray(recall), np.asarray(precision)
    with np.errstate(invalid="ignore"):
        both = 2 * precision * recall / (precision + recall)
    return np.where(np.isnan(recall), np.nan, np.where((recall > 0) & (precision > 0), both, 0.0))


def quantile_estimates(
    ascending: np.ndarray,
    units: np.ndarray,
    size: int,
    shares: Mapping[str, float],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Estimate]:
    """Quantiles of values in `size` units that are drawn again; NaN throughout for fewer than `MIN_UNITS` values."""
    drawn = {name: [] for name in shares}
    for counts in resample_counts(size, resamples, seed):
        weights = counts[:, units]
        for name, share in shares.items():
            drawn[name].append(weighted_quantile(ascending, weights, share))
    enough = len(ascending) >= MIN_UNITS
    return {
        name: estimate_or_nan(quantile(ascending, share) if enough else math.nan, np.concatenate(parts), confidence)
        for (name, share), parts in zip(shares.items(), drawn.values(), strict=True)
    }


def quantile(ascending: np.ndarray, share: float) -> float:
    """As `weighted_quantile`, of values that all count once."""
    return float(weighted_quantile(ascending, np.ones((1, len(ascending)), dtype=np.int64), share)[0])


def weighted_quantile(ascending: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """Smallest value whose cumulated weight reaches the share; shape (resamples,), NaN without weight."""
    if not len(ascending):
        return np.full(len(weights), np.nan)
    cumulated = np.cumsum(weights, axis=1)
    total = cumulated[:, -1:]
    place = np.argmax(cumulated >= share * total - 1e-9, axis=1)  # 0.9 x 30 is a little more than 27 in floats
    return np.where(total[:, 0] > 0, ascending[place], np.nan)


def _widened(result: dict[str, Estimate], sums: np.ndarray, confidence: float) -> dict[str, Estimate]:
    """The wider of the bootstrap's and the classical limits, where there are classical ones."""
    events, found, alarms, true, free = (float(total) for total in sums[:5])
    wide = {}
    if events:
        wide["recall"] = wilson_interval(found, events, confidence)
    if alarms:
        wide["precision"] = wilson_interval(true, alarms, confidence)
    if free:
        wide["false_alarms_per_day"] = poisson_interval(int(alarms - true), free / DAY, confidence)
    f1 = result["f1"]
    if f1.lo == f1.hi:
        precision = wide.get("precision", Estimate(math.nan, 0.0, 1.0))  # without alarms it may be anything
        wide["f1"] = Estimate(f1.value, *harmonic_mean(wide["recall"][1:], precision[1:]).tolist())
    return {name: wider(result[name], other) for name, other in wide.items()}
