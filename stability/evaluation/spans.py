"""Spans of time: from flags to intervals, from intervals to rows, and how long an entity was observed."""

from __future__ import annotations

__all__ = ["flags_to_intervals", "label_rows", "observed_spans"]

from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.schema import ContractError

GAP_STEPS = 3  # a hole of more than three usual steps is time in which nobody looked, not a late sample
OPEN = np.iinfo(np.int64).max // 4  # the end of an interval that is still open, far from overflow when tolerances add


def flags_to_intervals(flags: pd.Series, *, max_gap: str | pd.Timedelta | None = None) -> pd.DataFrame:
    """Join each entity's consecutive flagged rows into intervals.

    Parameters
    ----------
    flags : Series of bool, index (entity, timestamp)
        Rows of an entity in time's order. A plain DatetimeIndex is one entity, 'default'.
    max_gap : Timedelta or text, optional
        Flagged neighbours farther apart than this belong to two intervals; by default neighbours are neighbours.

    Returns
    -------
    DataFrame
        Columns entity, start, end (UTC, both the times of flagged rows, inclusive), in the rows' order.

    Raises
    ------
    ContractError
        When `flags` are not all True or False, or an entity's rows are not in time's order.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=5, freq="min", tz="UTC", unit="us")
    >>> flags_to_intervals(pd.Series([True, True, False, False, True], index=stamps))
        entity                     start                       end
    0  default 2026-01-01 00:00:00+00:00 2026-01-01 00:01:00+00:00
    1  default 2026-01-01 00:04:00+00:00 2026-01-01 00:04:00+00:00
    """
    if not pd.api.types.is_bool_dtype(flags.dtype) or flags.isna().any():
        got = f"dtype {flags.dtype}, {int(flags.isna().sum())} missing"
        remedy = "compare the score with its threshold: scores >= threshold"
        raise ContractError(column="flags", expected="True or False in every row", got=got, remedy=remedy)
    flagged = flags.to_numpy(dtype=bool)
    codes, times, entities = index_arrays(flags.index)
    require_order(codes, times, "flags")
    same = codes[1:] == codes[:-1]
    if max_gap is not None:
        longest = microseconds(max_gap, "max_gap")
        if longest < 0:
            raise ContractError(column="max_gap", expected="a length of time from 0 up", got=str(max_gap))
        same &= np.diff(times) <= longest
    joined = flagged[1:] & flagged[:-1] & same
    first, last = flagged.copy(), flagged.copy()
    first[1:] &= ~joined
    last[:-1] &= ~joined
    return interval_frame(np.asarray(entities)[codes[first]], times[first], times[last])


def label_rows(index: pd.Index, windows: pd.DataFrame) -> pd.Series:
    """Mark the rows that lie within a labelled window.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
        Rows to mark; a plain DatetimeIndex is one entity, 'default'.
    windows : DataFrame
        Columns entity, start, end; both ends belong to the window. Windows of other entities are passed over.

    Returns
    -------
    Series of bool over `index`

    Raises
    ------
    ContractError
        When a column is missing or a window ends before it starts.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", unit="us")
    >>> windows = pd.DataFrame({"entity": ["default"], "start": stamps[[1]], "end": stamps[[2]]})
    >>> label_rows(stamps, windows).tolist()
    [False, True, True, False]
    """
    codes, times, entities = index_arrays(index)
    mine = windows["entity"].astype(str).isin(entities) if "entity" in windows.columns else slice(None)
    spans = span_arrays(windows[mine], "windows", entities)
    return pd.Series(overlaps(Spans(codes, times, times), spans), index=index, name="label")


def observed_spans(panel: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """Find the spans of time in which each entity was observed.

    A row stands for the time until the next one, and for one usual step (the entity's median step) where the next is
    more than `GAP_STEPS` usual steps away or missing. Rows without any value were not observed.

    Parameters
    ----------
    panel : DataFrame or Series, index (entity, timestamp)
        Telemetry, rows of an entity in time's order.

    Returns
    -------
    DataFrame
        Columns entity, start, end (UTC; the end is exclusive), in the rows' order.

    Raises
    ------
    ContractError
        When not a single entity has two moments, so that no step is known.

    Examples
    --------
    >>> stamps = pd.to_datetime(["2026-01-01 00:00", "2026-01-01 00:01", "2026-01-01 00:02", "2026-01-01 08:00"],
    ...                         utc=True)
    >>> observed_spans(pd.Series(1.0, index=stamps))
        entity                     start                       end
    0  default 2026-01-01 00:00:00+00:00 2026-01-01 00:03:00+00:00
    1  default 2026-01-01 08:00:00+00:00 2026-01-01 08:01:00+00:00
    """
    spans, entities, _ = observe(panel)
    return interval_frame(np.asarray(entities)[spans.code], spans.start, spans.end)


def observe(panel: pd.DataFrame | pd.Series) -> tuple[Spans, pd.Index, np.ndarray]:
    """Find the observed spans (ends exclusive), the entities by number, and each entity's usual step in us."""
    present = panel.notna() if isinstance(panel, pd.Series) else panel.notna().any(axis=1)
    codes, times, entities = index_arrays(panel.index[present.to_numpy(dtype=bool)])
    require_order(codes, times, "panel")
    steps = _usual_steps(codes, times, len(entities))
    joined = (codes[1:] == codes[:-1]) & (np.diff(times) <= GAP_STEPS * steps[codes[1:]])
    first, last = np.ones(len(codes), dtype=bool), np.ones(len(codes), dtype=bool)
    first[1:], last[:-1] = ~joined, ~joined
    return Spans(codes[first], times[first], times[last] + steps[codes[last]]), entities, steps


def _usual_steps(codes: np.ndarray, times: np.ndarray, entities: int) -> np.ndarray:
    """Each entity's median step in microseconds; the fleet's median where an entity has one moment only."""
    ahead = np.diff(times)
    inside = (codes[1:] == codes[:-1]) & (ahead > 0)
    if not inside.any():
        raise ContractError(
            column="timestamp",
            expected="two moments of at least one entity",
            got=f"{len(times)} rows without a step between them",
            remedy="give a longer record",
        )
    steps = pd.Series(ahead[inside]).groupby(codes[1:][inside]).median().reindex(range(entities))
    return steps.fillna(steps.median()).to_numpy().astype(np.int64)


class Spans(NamedTuple):
    """Intervals as arrays: entity number, start and end in microseconds since 1970 (inclusive unless said)."""

    code: np.ndarray
    start: np.ndarray
    end: np.ndarray


class Line:
    """One axis for all entities: keys that sort as (entity, time) do, so that one search serves the whole fleet.

    Times are replaced by their rank among all that occur, which keeps the keys far from overflow.
    """

    def __init__(self, *times: np.ndarray):
        self.times = np.unique(np.concatenate(times))

    def key(self, codes: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Give the keys of moments whose times are among those of the line."""
        return codes * len(self.times) + np.searchsorted(self.times, times)

    def time(self, keys: np.ndarray) -> np.ndarray:
        """Give the times of keys, in microseconds."""
        return self.times[keys % len(self.times)]


def overlaps(some: Spans, others: Spans) -> np.ndarray:
    """Say of each interval of `some` whether it shares a moment with one of `others` in the same entity."""
    line = Line(some.start, some.end, others.start, others.end)
    begun = np.searchsorted(np.sort(line.key(others.code, others.start)), line.key(some.code, some.end), side="right")
    over = np.searchsorted(np.sort(line.key(others.code, others.end)), line.key(some.code, some.start), side="left")
    # What is over before an interval starts had begun before it ends: the difference counts the overlapping ones.
    return begun > over


def require_order(codes: np.ndarray, times: np.ndarray, name: str) -> None:
    """Refuse rows of which an entity's are not together and in time's order."""
    same = codes[1:] == codes[:-1]
    runs = np.count_nonzero(~same) + bool(len(codes))
    if (same & (np.diff(times) < 0)).any() or runs != len(np.unique(codes)):
        raise ContractError(file=name, expected="rows sorted by entity and time", remedy=f"{name}.sort_index()")


def index_arrays(index: pd.Index) -> tuple[np.ndarray, np.ndarray, pd.Index]:
    """Take a panel's index apart: entity number of each row, its time in microseconds, and the entities by number."""
    if isinstance(index, pd.MultiIndex) and {"entity", "timestamp"} <= set(index.names):
        codes, entities = pd.factorize(index.get_level_values("entity"))
        stamps = index.get_level_values("timestamp")
    elif isinstance(index, pd.DatetimeIndex):
        codes, entities, stamps = np.zeros(len(index), dtype=np.int64), pd.Index(["default"]), index
    else:
        raise ContractError(
            column="index",
            expected="levels entity and timestamp, or one of timestamps",
            got=f"{type(index).__name__} named {', '.join(map(str, index.names))}",
            remedy="stability.schema.validate(frame, 'telemetry') brings a frame into that form",
        )
    return codes.astype(np.int64), _stamps(stamps), pd.Index(entities).astype(str)


def span_arrays(frame: pd.DataFrame, name: str, entities: pd.Index) -> Spans:
    """Take a frame of intervals apart; a missing end is open, an entity that is not among `entities` is an error."""
    for column in ("entity", "start", "end"):
        if column not in frame.columns:
            got = f"the columns {', '.join(map(str, frame.columns)) or '(none)'}"
            raise ContractError(file=name, column=column, expected="the columns entity, start and end", got=got)
    labels = frame["entity"].astype(str).to_numpy(dtype=object)
    codes = entities.get_indexer(labels)
    if (codes < 0).any():
        strange = sorted(set(labels[codes < 0]))
        raise ContractError(
            file=name,
            column="entity",
            expected="entities that were observed",
            got=", ".join(strange[:3]) + f" and {len(strange) - 3} more" * (len(strange) > 3),
            remedy=f"leave out the rows of other entities: {name}[{name}['entity'].isin(...)]",
        )
    start, end = (pd.DatetimeIndex(pd.to_datetime(frame[column], utc=True)) for column in ("start", "end"))
    starts, ends = _stamps(start), np.where(end.isna(), OPEN, _stamps(end))
    bad = np.flatnonzero(np.asarray(start.isna()) | (ends < starts))
    if len(bad):
        row = int(bad[0])
        got = f"start {start[row]}, end {end[row]}"
        raise ContractError(file=name, row=row + 1, expected="a start that is not after the end", got=got)
    return Spans(codes.astype(np.int64), starts, ends)


def microseconds(length: str | pd.Timedelta, name: str) -> int:
    """Read a length of time."""
    try:
        read = pd.Timedelta(length)
    except ValueError as error:
        raise ContractError(column=name, expected="a length of time, such as '5min'", got=repr(length)) from error
    if pd.isna(read):
        raise ContractError(column=name, expected="a length of time, such as '5min'", got=repr(length))
    return read // pd.Timedelta(1, "us")


def _stamps(stamps: pd.Index) -> np.ndarray:
    return pd.DatetimeIndex(pd.to_datetime(stamps, utc=True)).as_unit("us").asi8.copy()


def interval_frame(entities: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pd.DataFrame:
    """Put arrays of intervals, times in microseconds, into a frame with columns entity, start, end."""
    start, end = (pd.DatetimeIndex(part.astype("datetime64[us]")).tz_localize("UTC") for part in (starts, ends))
    return pd.DataFrame({"entity": pd.Series(entities, dtype="str"), "start": start, "end": end})
