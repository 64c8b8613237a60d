"""Which part of a source that moves a run reads: a window that ends at a moment."""

from __future__ import annotations

__all__ = ["Period", "clip", "period"]

import re
from dataclasses import dataclass

import pandas as pd

from stability.schema import ContractError

UNITS = {"w": "W", "d": "D", "h": "h", "min": "min", "m": "min", "s": "s", "ms": "ms"}
# A capital M is a month elsewhere, and no month has a fixed length.
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|min|[wW]|[dD]|[hH]|m|s)")
DURATION = re.compile(rf"(?:{PART.pattern})+\Z")
NOW = "now"
ENDS = ["cause_end", "recovered_at"]


@dataclass(frozen=True)
class Period:
    """A stretch of time, `start` inclusive and `end` exclusive; None where it is open."""

    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None

    def __str__(self) -> str:
        """As messages and pages say it."""
        start, end = (None if t is None else t.strftime("%Y-%m-%d %H:%M:%S UTC") for t in (self.start, self.end))
        if start and end:
            return f"from {start} to {end}"
        return f"before {end}" if end else f"since {start}" if start else "all of it"


def period(window: str | None, as_of: str | None, now: pd.Timestamp) -> Period:
    """Turn a spec's `window` and `as_of` into a stretch of time.

    Parameters
    ----------
    window : str or None
        Length, such as '7d', '12h', '1h30m' (m and min are minutes); None is everything up to `as_of`.
    as_of : str or None
        The stretch's end: an ISO 8601 moment with its zone, or 'now'; None is now where there is a window.
    now : Timestamp
        The current moment, with its zone.

    Returns
    -------
    Period

    Raises
    ------
    ContractError
        For a text that is no duration or no moment.

    Examples
    --------
    >>> print(period("1h30m", "2026-11-01T00:00:00+01:00", pd.Timestamp("2026-11-24T00:00Z")))
    from 2026-10-31 21:30:00 UTC to 2026-10-31 23:00:00 UTC
    >>> period(None, None, pd.Timestamp("2026-11-24T00:00Z"))
    Period(start=None, end=None)
    """
    length = None if window is None else _length(window)
    if as_of is None and length is None:
        return Period()
    end = _moment(NOW if as_of is None else as_of, now)
    try:
        return Period(None if length is None else end - length, end)
    except (OverflowError, pd.errors.OutOfBoundsDatetime):
        raise ContractError(column="window", expected="a window that calendars hold", got=repr(window)) from None


def _length(window: str) -> pd.Timedelta:
    remedy = "write 7d, 12h, 90min or 1h30m; months and years have no fixed length"
    text = "".join(window.split()) if isinstance(window, str) else ""
    if not DURATION.match(text):
        raise ContractError(column="window", expected="a duration", got=repr(window), remedy=remedy)
    try:
        length = sum((pd.Timedelta(float(n), UNITS[u.lower()]) for n, u in PART.findall(text)), pd.Timedelta(0))
    except (OverflowError, pd.errors.OutOfBoundsTimedelta, ValueError):
        raise ContractError(column="window", expected="a duration within centuries", got=repr(window)) from None
    if length <= pd.Timedelta(0):
        raise ContractError(column="window", expected="a duration above zero", got=repr(window), remedy=remedy)
    return length.as_unit("us")


def _moment(as_of: str, now: pd.Timestamp) -> pd.Timestamp:
    if as_of == NOW:
        return now.tz_convert("UTC").floor("s").as_unit("us")
    remedy = "write 2026-01-31T12:00:00Z, or now"
    try:
        moment = pd.Timestamp(as_of)
    except (ValueError, TypeError, OverflowError):
        moment = pd.NaT
    if moment is pd.NaT or moment.tzinfo is None:
        said = "a moment in ISO 8601 with its zone, or now"
        raise ContractError(column="as_of", expected=said, got=repr(as_of), remedy=remedy)
    return moment.tz_convert("UTC").as_unit("us")


def clip(tables: dict[str, pd.DataFrame], within: Period) -> dict[str, pd.DataFrame]:
    """Keep what belongs to a stretch of time.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Tables of the contract.
    within : Period

    Returns
    -------
    dict of str to DataFrame
        Rows with a moment inside it; intervals (faults, windows) that overlap it, a fault without a known end counting
        as open; of `states` also the value that holds at its start, at its own moment; tables without time whole.

    Examples
    --------
    >>> rows = pd.DataFrame({"timestamp": pd.date_range("2026-01-01", periods=3, freq="1h", tz="UTC"), "entity": "a"})
    >>> clip({"logs": rows}, Period(None, rows.timestamp[2]))["logs"].timestamp.dt.hour.tolist()
    [0, 1]
    """
    if within == Period():
        return tables
    return {name: _clipped(name, frame, within) for name, frame in tables.items()}


def _clipped(name: str, frame: pd.DataFrame, within: Period) -> pd.DataFrame:
    if name == "faults":
        times = frame.select_dtypes("datetimetz")
        known = times.notna().any(axis=1)
        kept = frame[~known | _overlaps(times.min(axis=1), times[ENDS].max(axis=1), within)]
    elif {"start", "end"} <= set(frame.columns):
        kept = frame[_overlaps(frame["start"], frame["end"], within)]
    elif "timestamp" in frame.index.names or "timestamp" in frame:
        at = frame["timestamp"] if "timestamp" in frame else frame.index.to_frame()["timestamp"]
        inside = _inside(at, within)
        if name == "states" and within.start is not None:
            inside |= frame.index.isin(_last_before(frame, within.start))
        kept = frame[inside]
    else:
        return frame
    return kept.reset_index(drop=True) if kept.index.names == [None] else kept


def _inside(at: pd.Series, within: Period) -> pd.Series:
    inside = pd.Series(True, index=at.index)
    if within.start is not None:
        inside &= at >= within.start
    if within.end is not None:
        inside &= at < within.end
    return inside


def _overlaps(first: pd.Series, last: pd.Series, within: Period) -> pd.Series:
    overlaps = pd.Series(True, index=first.index)
    if within.start is not None:
        overlaps &= last.isna() | (last >= within.start)
    if within.end is not None:
        overlaps &= first < within.end
    return overlaps


def _last_before(states: pd.DataFrame, start: pd.Timestamp) -> pd.Index:
    earlier = states[states["timestamp"] < start].sort_values("timestamp", kind="stable")
    return earlier.drop_duplicates(["entity", "name"], keep="last").index
