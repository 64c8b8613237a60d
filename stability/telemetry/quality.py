"""What to think of a panel before trusting it: coverage, gaps, stuck sensors, bounds, units, clocks, in one table."""

from __future__ import annotations

__all__ = ["quality_events", "quality_report"]

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd

from stability.schema import validate
from stability.schema.validation import flattened
from stability.telemetry.files import ReadReport
from stability.telemetry.grid import SECOND, micros, moment, stamps_of
from stability.telemetry.options import Options
from stability.telemetry.repairs import REPAIRS, SERIES, in_words, nothing, repair
from stability.telemetry.symptoms import GAP, Samples, bounds, clocks, gaps, intervals, resets, stuck, units

COVERED = 0.99  # share of the time below which missing samples are called a problem
JITTER = 0.1  # share of the interval from which on jitter is called a problem
COUNTERS = {"out_of_bounds": "out_of_bounds", "reset": "resets", "stuck": "stuck"}  # kind of event -> column
COUNTS = ["samples", "gaps", *REPAIRS, "out_of_bounds", "resets", "stuck", "future"]
COUNTED = ["out_of_bounds", *REPAIRS, "resets", "future"]  # what the words give as a number
COLUMNS = [
    *("samples", "not_applicable", "first", "last", "interval_seconds", "jitter_seconds"),
    *("coverage", "gaps", "longest_gap_seconds", *REPAIRS, "out_of_bounds", "resets"),
    *("stuck", "constant_share", "longest_constant_seconds", "suspected_unit"),
    *("phase_seconds", "end_offset_seconds", "future", "problems"),
]


def quality_report(
    panel: pd.DataFrame,
    step: str | float | timedelta | None = None,
    *,
    read: ReadReport | None = None,
    now: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Judge each metric of each entity: how complete, how regular, and what looks wrong.

    Parameters
    ----------
    panel : DataFrame
        Telemetry; before `validate` too: duplicates, disorder and inf are counted here instead of refused.
    step : str, float or timedelta, optional
        Expected interval between samples; a number is in seconds. Default: the median interval of each series.
    read : ReadReport, optional
        From `read_with_report`: what the reading repaired is counted in.
    now : timestamp with zone, optional
        Stamps after it lie in the future. Default: the present.

    Returns
    -------
    DataFrame
        Index (entity, metric), a row for each pair:

        - samples; not_applicable (bool: no sample at all, the entity does not have this metric);
        - first, last (UTC); interval_seconds (median), jitter_seconds (standard deviation of the intervals that are no
          gaps);
        - coverage: share (0-1) of the entity's time that has samples as often as expected; gaps,
          longest_gap_seconds (from sample to sample);
        - duplicates, out_of_order, infinite: samples, in the panel and in what `read` repaired;
        - out_of_bounds: samples outside the registry's bounds; resets: restarts of a counter;
        - stuck: samples in runs of one value that are too long to come by chance; constant_share and
          longest_constant_seconds of the longest run;
        - suspected_unit: text, else empty;
        - phase_seconds: where in the interval the stamps lie; end_offset_seconds: last sample minus the fleet's median
          last one; future: samples after `now`;
        - problems: all of it in words, empty where there is nothing to say.

    Notes
    -----
    The rules and their constants are in `stability.telemetry.symptoms`. "Stuck", "unit" and "clock" are suspicions.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=60, freq="1min", tz="UTC").delete(range(20, 30))
    >>> report = quality_report(pd.DataFrame({"queue_length": np.arange(50.0)}, index=stamps))
    >>> report[["coverage", "gaps", "longest_gap_seconds"]].round(3).iloc[0].tolist()
    [0.833, 1.0, 660.0]
    >>> report["problems"].iloc[0]
    '16.7% missing in 1 gap, longest 11.0 min'
    """
    now = moment(pd.Timestamp.now("UTC") if now is None else now, "now")
    panel, mended = _mend(panel)
    entities = panel.index.levels[0]
    tables = [
        _describe(samples, now).set_axis(pd.MultiIndex.from_product([entities, [samples.name]], names=SERIES))
        for samples in _each_metric(panel, step)
    ]
    if not tables:
        return pd.DataFrame(columns=COLUMNS, index=mended.index)
    report = pd.concat(tables).reindex(pd.MultiIndex.from_product([entities, panel.columns], names=SERIES))
    repairs = mended if read is None else mended.add(read.repairs, fill_value=0)
    report[REPAIRS] = repairs.reindex(report.index, fill_value=0)
    report = report.astype(dict.fromkeys(COUNTS, "int64"))
    report["problems"] = [_in_words(row) for row in report.itertuples(index=False)]
    return report[COLUMNS]


def quality_events(panel: pd.DataFrame, step: str | float | timedelta | None = None) -> pd.DataFrame:
    """List where in time the problems of `quality_report` are, for pictures and for a closer look.

    Parameters
    ----------
    panel, step
        As for `quality_report`.

    Returns
    -------
    DataFrame
        A row per event: entity, metric, kind (gap, stuck, out_of_bounds, reset), start and end (UTC; of a gap and a
        reset the samples around it), samples (int64: missing, or affected).

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="1min", tz="UTC")
    >>> quality_events(pd.DataFrame({"requests_total": [5.0, 9.0, 2.0, 3.0]}, index=stamps))[["kind", "start"]]
        kind                     start
    0  reset 2026-01-01 00:01:00+00:00
    """
    panel, _ = _mend(panel)
    found = [
        events.assign(metric=samples.name, kind=kind)
        for samples in _each_metric(panel, step)
        for kind, events in _find(samples)[0].items()
    ]
    columns = ["entity", "metric", "kind", "start", "end", "samples"]
    if not found:
        return pd.DataFrame(columns=columns)
    events = pd.concat(found, ignore_index=True).sort_values(["entity", "start"], kind="stable", ignore_index=True)
    return events.assign(
        entity=panel.index.levels[0].take(events["entity"].astype("int64")),
        start=_utc(events["start"]),
        end=_utc(events["end"]),
        samples=events["samples"].astype("int64"),
    )[columns]


def _mend(panel: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bring a panel into contract form even where it has duplicates, disorder or inf, and count those."""
    tidy, key = flattened(panel, "telemetry"), ["entity", "timestamp"]
    if set(key) <= set(tidy.columns) and all(map(pd.api.types.is_numeric_dtype, tidy.drop(columns=key).dtypes)):
        tidy = tidy.astype(dict.fromkeys(tidy.columns.drop(key), "float64"))
        tidy, counts = repair(tidy, key, {}, Options(duplicates="first", infinite="missing"), "panel")
        return validate(tidy.set_index(key), "telemetry"), counts
    return validate(panel, "telemetry"), nothing()


def _each_metric(panel: pd.DataFrame, step: str | float | timedelta | None) -> Iterator[Samples]:
    """Take the known samples of each metric, with the interval at which they are expected."""
    stamps, entity = stamps_of(panel), panel.index.codes[0]
    size = len(panel.index.levels[0])
    heads = np.flatnonzero(np.r_[True, np.diff(entity) != 0])[: len(panel)]
    begin, end = stamps[heads], stamps[np.r_[heads[1:], len(panel)] - 1] if len(panel) else stamps[heads]
    rows = _median_interval(stamps, entity, size)
    for name in panel.columns:
        values = panel[name].to_numpy()
        known = ~np.isnan(values)
        width = _median_interval(stamps[known], entity[known], size)
        # A metric with a single sample is judged by the rhythm of the entity's rows.
        width = np.where(np.isnan(width), rows, width) if step is None else np.full(size, float(micros(step, "step")))
        yield Samples(name, entity[known], stamps[known], values[known], begin, end, width)


def _median_interval(stamps: np.ndarray, entity: np.ndarray, size: int) -> np.ndarray:
    lengths, owner = intervals(stamps, entity)
    return pd.Series(lengths, dtype="float64").groupby(owner).median().reindex(range(size)).to_numpy()


def _find(samples: Samples) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Find all events of one metric by kind, and each entity's longest constant run."""
    runs, constant = stuck(samples)
    return {"gap": gaps(samples), "stuck": runs, "out_of_bounds": bounds(samples), "reset": resets(samples)}, constant


def _describe(samples: Samples, now: int) -> pd.DataFrame:
    """Summarise one metric: a row per entity, by position."""
    size, count = len(samples.begin), samples.count
    table = pd.DataFrame({"samples": count, "not_applicable": count == 0})
    moments = pd.Series(samples.stamps).groupby(samples.entity)
    table["first"] = _utc(moments.min().reindex(table.index))
    table["last"] = _utc(moments.max().reindex(table.index))
    lengths, owner = intervals(samples.stamps, samples.entity)
    lengths = pd.Series(lengths / SECOND)
    regular = (lengths <= GAP * samples.width[owner] / SECOND).to_numpy()
    table["interval_seconds"] = lengths.groupby(owner).median().reindex(table.index)
    table["jitter_seconds"] = lengths[regular].groupby(owner[regular]).std(ddof=0).reindex(table.index)
    events, constant = _find(samples)
    for kind, column in COUNTERS.items():
        table[column] = events[kind].groupby("entity")["samples"].sum().reindex(table.index, fill_value=0)
    runs, gap = events["stuck"], events["gap"]
    table["stuck_seconds"] = ((runs["end"] - runs["start"]) / SECOND).groupby(runs["entity"]).max().reindex(table.index)
    lengths = (gap["end"] - gap["start"]).groupby(gap["entity"])
    table["gaps"] = lengths.size().reindex(table.index, fill_value=0)
    table["longest_gap_seconds"] = (lengths.max() / SECOND).reindex(table.index, fill_value=0).where(count > 0)
    lost = lengths.sum().reindex(table.index, fill_value=0) - table["gaps"] * samples.width
    table["coverage"] = (1 - lost / (samples.end - samples.begin + samples.width)).where(count > 0)
    table = table.join([constant, clocks(samples)])
    table["suspected_unit"] = units(samples)
    table["future"] = np.bincount(samples.entity, samples.stamps > now, size)
    return table


def _utc(stamps: pd.Series) -> pd.Series:
    return pd.to_datetime(stamps.astype("Int64"), unit="us", utc=True).dt.as_unit("us")


def _in_words(row) -> str:
    """Say what is wrong with one series, most misleading first; empty where nothing is."""
    said = [row.suspected_unit] if row.suspected_unit else []
    if row.coverage < COVERED:
        gap = f"{row.gaps} gap{'s' * (row.gaps != 1)}"
        said.append(f"{1 - row.coverage:.1%} missing in {gap}, longest {_length(row.longest_gap_seconds)}")
    if row.stuck:
        said.append(f"stuck? {row.stuck:,} samples, longest {_length(row.stuck_seconds)}")
    if row.constant == row.constant and row.constant != 0:
        said.append(f"constant at {row.constant:g}")
    said += in_words({name: getattr(row, name) for name in COUNTED})
    if row.jitter_seconds > JITTER * row.interval_seconds:
        said.append(f"jitter {_length(row.jitter_seconds)} of {_length(row.interval_seconds)}")
    if row.out_of_phase:
        said.append(f"clock? stamps lie {_length(abs(row.phase_seconds))} off the grid, unlike the fleet's")
    if row.out_of_step:
        word = "ahead of" if row.end_offset_seconds > 0 else "before"
        said.append(f"ends {_length(abs(row.end_offset_seconds))} {word} the fleet")
    return "; ".join(said)


def _length(seconds: float) -> str:
    """Write a length of time in its natural unit.

    Examples
    --------
    >>> _length(90), _length(7200), _length(0.25)
    ('1.5 min', '2.0 h', '0.25 s')
    """
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {name}"
    return f"{seconds:.3g} s"
