"""A regular grid: irregular samples onto multiples of a step, causally or not, and counters into rates."""

from __future__ import annotations

__all__ = ["is_counter", "micros", "moment", "rate", "regularize", "regularize_two_sided", "stamps_of"]

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pandas as pd

from stability.schema import ContractError, base_name, metric, nearest, validate

AGGREGATIONS = ("mean", "last", "first", "min", "max", "sum", "median")
GAPS = ("leave", "hold")
# 200 million float64 are 1.6 GB. A grid beyond that comes from one wrong stamp or a step in the wrong unit more often
# than from data.
MAX_CELLS = 200_000_000
SECOND = 1_000_000  # us


def is_counter(name: str) -> bool:
    """Tell whether a metric only grows but for restarts: counters and the buckets of histograms.

    Parameters
    ----------
    name : str
        Column name; `stability.schema.metric` says what is known about it.

    Examples
    --------
    >>> is_counter("my_requests_total__code_500"), is_counter("my_requests_per_second")
    (True, False)
    """
    return metric(name).instrument != "gauge"


def regularize(
    panel: pd.DataFrame,
    step: str | float | timedelta,
    *,
    aggregation: Mapping[str, str] | None = None,
    gaps: str = "leave",
    limit: str | float | timedelta | None = None,
    until: pd.Timestamp | str | None = None,
) -> pd.DataFrame:
    """Put each entity's samples onto a regular grid, so that a row at g holds only what was known at g.

    Grid points are the multiples of `step` since 1970-01-01 UTC, the same for all entities and all readings. The row at
    g aggregates the samples in ``(g - step, g]``: gauges by their mean, counters and buckets by their last value.

    Parameters
    ----------
    panel : DataFrame
        Telemetry: index (entity, timestamp), float64 a metric.
    step : str, float or timedelta
        Width of the grid; a number is in seconds.
    aggregation : mapping of str to str, optional
        Metric -> one of mean, last, first, min, max, sum, median, where another one than the instrument's is wanted.
    gaps : {"leave", "hold"}
        Rows without a sample stay NaN, or gauges keep their last value for `limit`. Counters are never held: a
        standstill with a jump behind it would be made up.
    limit : str, float or timedelta, optional
        How long a value is held; a number is in seconds. Needed for, and only for, ``gaps="hold"``.
    until : timestamp, optional
        The present, for a live caller: every entity's grid runs to the last point at or before it. Samples of the step
        under way wait for its end, and an entity that fell silent gets its rows, NaN or held, for nobody knows yet
        whether it ended.

    Returns
    -------
    DataFrame
        Telemetry; for each entity all grid points from its first sample to its last, or to `until`.

    Raises
    ------
    ContractError
        A step, metric or policy that cannot be, or a grid of more than `MAX_CELLS` cells.

    Notes
    -----
    Prefix-invariant: what comes after a grid point g changes nothing at or before g, and what a live caller sees with
    ``until=g`` is what a later reading of the same samples has there.

    Examples
    --------
    >>> stamps = pd.to_datetime(["2026-01-01T00:00:10Z", "2026-01-01T00:00:50Z", "2026-01-01T00:02:00Z"])
    >>> panel = pd.DataFrame({"load": [1.0, 3.0, 5.0]}, index=stamps)
    >>> regularize(panel, "1min")
                                       load
    entity  timestamp
    default 2026-01-01 00:01:00+00:00   2.0
            2026-01-01 00:02:00+00:00   5.0
    """
    panel = validate(panel, "telemetry")
    width = micros(step, "step")
    if gaps not in GAPS:
        raise ContractError(column="gaps", expected="leave or hold", got=repr(gaps), remedy=nearest(str(gaps), GAPS))
    if (gaps == "hold") != (limit is not None):
        expected, got = "a limit with gaps='hold', and only there", f"gaps={gaps!r}, limit={limit!r}"
        raise ContractError(column="limit", expected=expected, got=got, remedy="gaps='hold', limit='5min'")
    end = None if until is None else moment(until, "until") // width
    regular = _on_grid(panel, width, aggregation or {}, end)
    if gaps == "hold":
        gauges = [name for name in regular if not is_counter(name)]
        held = micros(limit, "limit") // width
        if held and gauges:
            regular[gauges] = regular[gauges].groupby(level="entity", sort=False).ffill(limit=held)
    return regular


def regularize_two_sided(
    panel: pd.DataFrame,
    step: str | float | timedelta,
    *,
    limit: str | float | timedelta,
    aggregation: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Put samples onto a regular grid and close short gaps by a straight line, WHICH LOOKS INTO THE FUTURE.

    For pictures and for decomposition after the fact. Never feed the result to a detector, a feature or a forecast: the
    values inside a gap know how the gap ends.

    Parameters
    ----------
    panel, step, aggregation
        As for `regularize`.
    limit : str, float or timedelta
        Longest gap that is closed, counted as the missing steps; longer ones are left as they are, as a whole. A number
        is in seconds.

    Returns
    -------
    DataFrame
        Telemetry on the grid of `regularize`. A counter is not interpolated over a reset.

    Examples
    --------
    >>> stamps = pd.to_datetime(["2026-01-01T00:00Z", "2026-01-01T00:02Z"])
    >>> regularize_two_sided(pd.DataFrame({"load": [1.0, 5.0]}, index=stamps), 60, limit=60)["load"].tolist()
    [1.0, 3.0, 5.0]
    """
    panel = validate(panel, "telemetry")
    width = micros(step, "step")
    regular = _on_grid(panel, width, aggregation or {})
    longest = micros(limit, "limit") // width
    entity, position = regular.index.codes[0], np.arange(len(regular))
    for name in regular.columns:
        values = regular[name].to_numpy()
        before, after = _neighbours(values, entity)
        inside = np.isnan(values) & (before >= 0) & (after >= 0) & (after - before - 1 <= longest)
        left, right = before[inside], after[inside]
        line = values[left] + (values[right] - values[left]) * (position[inside] - left) / (right - left)
        if is_counter(name):
            line = np.where(values[right] < values[left], np.nan, line)
        filled = values.copy()
        filled[inside] = line
        regular[name] = filled
    return regular


def rate(panel: pd.DataFrame, *, max_gap: str | float | timedelta | None = None) -> pd.DataFrame:
    """Turn counters into their increase per second since the sample before; gauges pass unchanged.

    A value below the one before is a restart, after which the counter began at zero: the increase is the new value.

    Parameters
    ----------
    panel : DataFrame
        Telemetry.
    max_gap : str, float or timedelta, optional
        An increase since a sample longer ago than this is not known, NaN. Default: however long ago. A number is in
        seconds.

    Returns
    -------
    DataFrame
        Same rows; a counter ``x_total`` becomes ``x_per_second``, in its unit per second. NaN at an entity's first
        sample and where there is no sample; the first one behind a gap holds the mean increase over the gap.

    Raises
    ------
    ContractError
        The panel has a column already that a counter's rate would be called.

    Notes
    -----
    The treatment of resets is that of Prometheus' ``increase`` and ``rate`` (Prometheus documentation, "Query
    functions"), without their extrapolation to the borders of a window.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="10s", tz="UTC")
    >>> rate(pd.DataFrame({"requests_total": [10.0, 40.0, 5.0, 5.0]}, index=stamps))["requests_per_second"].tolist()
    [nan, 3.0, 0.5, 0.0]
    """
    panel = validate(panel, "telemetry")
    stamps, entity = stamps_of(panel), panel.index.codes[0]
    longest = np.inf if max_gap is None else micros(max_gap, "max_gap") / SECOND
    columns = {}
    for name in panel.columns:
        if not is_counter(name):
            columns[name] = panel[name]
            continue
        base = base_name(name)  # a dimension's label stays behind the name: x_per_second__code_500
        new = f"{base.removesuffix('_total')}_per_second{name.removeprefix(base)}"
        if new in panel.columns or new in columns:
            remedy = "rename or drop one of them"
            raise ContractError(column=name, expected=f"no column {new!r} beside it", got="one", remedy=remedy)
        values = panel[name].to_numpy()
        before = _neighbours(values, entity)[0]
        known = ~np.isnan(values) & (before >= 0)
        now, then = np.flatnonzero(known), before[known]
        increase, seconds = values[now] - values[then], (stamps[now] - stamps[then]) / SECOND
        increase = np.where(increase < 0, values[now], increase)
        rates = np.full(len(values), np.nan)
        rates[now] = np.where(seconds <= longest, increase / seconds, np.nan)
        columns[new] = rates
    return pd.DataFrame(columns, index=panel.index)


def _on_grid(panel: pd.DataFrame, width: int, aggregation: Mapping[str, str], end: int | None = None) -> pd.DataFrame:
    """Aggregate the samples in (g - width, g] to the grid point g; all points from an entity's first to its last.

    `end` is the last point of all entities, counted in widths since 1970, where it is not their last sample's.
    """
    if not isinstance(aggregation, Mapping):
        remedy = "aggregation={'metric': 'max'}"
        raise ContractError(column="aggregation", expected="one by metric", got=repr(aggregation), remedy=remedy)
    for name, how in aggregation.items():
        known, given = (panel.columns, name) if name not in panel.columns else (AGGREGATIONS, how)
        if given not in known:
            what = "a metric of the panel" if known is panel.columns else f"an aggregation for {name!r}"
            raise ContractError(column="aggregation", expected=what, got=repr(given), remedy=nearest(str(given), known))
    if end is not None:
        panel = panel[stamps_of(panel) <= end * width]
    if panel.empty:
        return panel
    entity = panel.index.codes[0]
    point = -(-stamps_of(panel) // width)  # rounded up: known at the point, not before
    starts = np.flatnonzero(np.r_[True, (np.diff(entity) != 0) | (np.diff(point) != 0)])
    group = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(panel)]))
    entity, point = entity[starts], point[starts]
    heads = np.flatnonzero(np.r_[True, np.diff(entity) != 0])
    first, last = point[heads], point[np.r_[heads[1:] - 1, len(point) - 1]]
    lengths = (last if end is None else end) - first + 1
    if lengths.sum() * len(panel.columns) > MAX_CELLS:
        widest = panel.index.levels[0][entity[heads[int(lengths.argmax())]]]
        raise ContractError(
            expected=f"a grid of at most {MAX_CELLS:,} cells",
            got=f"{lengths.sum():,} rows of {len(panel.columns):,} metrics, the longest for {widest!r}",
            remedy="a longer step, or look for a wrong timestamp in that entity",
        )
    offsets = np.r_[0, np.cumsum(lengths)[:-1]]
    row = np.repeat(offsets - first, np.diff(np.r_[heads, len(point)])) + point
    values = np.full((int(lengths.sum()), len(panel.columns)), np.nan)
    for how in AGGREGATIONS:
        names = [name for name in panel.columns if aggregation.get(name, _usual(name)) == how]
        if names:
            options = {"min_count": 1} if how == "sum" else {}  # the sum of nothing is unknown, not zero
            found = getattr(panel[names].groupby(group, sort=False), how)(**options)
            values[np.ix_(row, panel.columns.get_indexer(names))] = found.to_numpy()
    stamps = (np.arange(len(values)) - np.repeat(offsets - first, lengths)) * width
    codes, times = pd.factorize(stamps, sort=True)
    levels = [panel.index.levels[0], pd.DatetimeIndex(times.view("datetime64[us]")).tz_localize("UTC")]
    index = pd.MultiIndex(levels, [np.repeat(entity[heads], lengths), codes], names=["entity", "timestamp"])
    return pd.DataFrame(values, index=index, columns=panel.columns)


def _usual(name: str) -> str:
    return "last" if is_counter(name) else "mean"


def _neighbours(values: np.ndarray, entity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest known positions strictly before and after each one within its entity; -1 where there is none."""
    size = len(values)
    known = np.where(np.isnan(values), -1, np.arange(size))
    before = np.r_[-1, np.maximum.accumulate(known)[:-1]][:size]
    known = np.where(np.isnan(values), size, np.arange(size))
    after = np.r_[np.minimum.accumulate(known[::-1])[::-1][1:], size][:size]
    before = np.where((before >= 0) & (entity[before] == entity), before, -1)
    inside = after < size
    after = np.where(inside & (entity[np.where(inside, after, 0)] == entity), after, -1)
    return before, after


def stamps_of(panel: pd.DataFrame) -> np.ndarray:
    """Give a panel's timestamps as int64 microseconds since 1970-01-01 UTC, shape (n,)."""
    return panel.index.get_level_values("timestamp").as_unit("us").asi8


def micros(length: str | float | timedelta, name: str) -> int:
    """Turn a length of time into whole microseconds.

    Parameters
    ----------
    length : str, float or timedelta
        A number is in seconds.
    name : str
        The parameter's name, for the error.

    Examples
    --------
    >>> micros("1min", "step"), micros(0.5, "step")
    (60000000, 500000)
    """
    try:
        span = pd.Timedelta(seconds=length) if isinstance(length, int | float) else pd.Timedelta(length)
        whole = 0 if span is pd.NaT else span // pd.Timedelta(microseconds=1)
    except (ValueError, TypeError, OverflowError):
        whole = 0
    if whole <= 0:
        expected = "a length of time of at least a microsecond, such as '1min' or 60 (s)"
        raise ContractError(column=name, expected=expected, got=repr(length), remedy="a number is in seconds")
    return whole


def moment(stamp: pd.Timestamp | str, name: str) -> int:
    """Turn a moment into microseconds since 1970-01-01 UTC; `name` is the parameter's, for the error.

    Examples
    --------
    >>> moment("1970-01-01T01:00:01+01:00", "until")
    1000000
    """
    try:
        point = pd.Timestamp(stamp)
    except (ValueError, TypeError):
        point = pd.NaT
    if point is pd.NaT or point.tzinfo is None:
        raise ContractError(
            column=name, expected="a moment with its zone", got=repr(stamp), remedy="such as '2026-01-01T00:00:00Z'"
        )
    return (point - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1)
