"""What a file's cells say: text, numbers and dates become UTC moments and float64, or an error that names the row."""

from __future__ import annotations

__all__ = ["EPOCH_UNITS", "NULLS", "checked_zone", "to_numbers", "to_utc"]

import re
import zoneinfo
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stability.schema import ContractError, nearest
from stability.telemetry.units import in_base_units

#: Spellings of a missing number, compared without regard to case and surrounding blanks.
NULLS = ("", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "nil", "undefined", "-", "--", "?")
SHOWN_ROWS = 5  # offending rows that an error lists: enough to see a pattern
#: Microseconds of one unit of epoch time, and with the span below what a bare number is taken for.
EPOCH_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1e-3}
# A number is epoch time in the one unit that puts it between 1980 and 2100. The four spans do not touch, and compact
# dates (20140401, 201404010000, 20140401000000) fall between them, so nothing is guessed.
EPOCH_SPAN = (315_532_800, 4_102_444_800)  # s
CALENDAR = (-62_135_596_800, 253_402_300_800)  # s: what a datetime can hold, where the unit is named
_INF = r"(?i)[+-]?inf(?:inity)?"
_DATE = r"\d{4}-?\d{2}-?\d{2}(?:[T ].*)?$"
DATE_LENGTH = 10  # characters of 2026-01-01; in 20260101T00 no offset can stand before it either


def to_numbers(
    cells: pd.Series,
    *,
    file: str = "",
    column: str = "",
    decimal: str = ".",
    thousands: str = "",
    units: bool | Mapping[str, float] = False,
) -> np.ndarray:
    """Turn cells into float64; missing is NaN, yes-or-no columns become 1 and 0, anything else is an error.

    Parameters
    ----------
    cells : Series of shape (n,)
        Numbers, booleans, decimals, durations (to seconds) or text; the index counts data rows from 0.
    file, column : str
        Where the cells come from, for the error.
    decimal, thousands : str
        The decimal sign of text, and the sign between groups of three digits, if there is one.
    units : bool or mapping of str to float
        Whether a text may be a number and its unit, which becomes the base unit; a mapping adds units to those of
        `stability.telemetry.units`.

    Returns
    -------
    ndarray of float64, shape (n,)
        May hold inf where a cell says so.

    Raises
    ------
    ContractError
        A cell is neither a number nor one of `NULLS`.

    Examples
    --------
    >>> to_numbers(pd.Series(["1.5", " n/a", "-2e3"])).tolist()
    [1.5, nan, -2000.0]
    >>> to_numbers(pd.Series(["true", "False", ""])).tolist()
    [1.0, 0.0, nan]
    >>> to_numbers(pd.Series(["1.5", "abc"]), file="cpu.csv", column="cpu_seconds")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: cpu.csv, row 2, column 'cpu_seconds': expected a number, got 'abc'. ...
    """
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_complex_dtype(cells.dtype):
        return cells.to_numpy(dtype="float64", na_value=np.nan)
    if pd.api.types.is_timedelta64_dtype(cells.dtype):
        return cells.dt.total_seconds().to_numpy(dtype="float64")
    text = cells.astype("str").str.strip()
    low = text.str.lower()
    missing = cells.isna() | low.isin(NULLS)
    if low[~missing].isin(("true", "false")).all():
        numbers = (low == "true").astype("float64")
    else:
        pointed = text
        if thousands:
            pointed = pointed.str.replace(rf"(?<=\d){re.escape(thousands)}(?=\d{{3}}(?!\d))", "", regex=True)
        if decimal != ".":
            # The signs change places: a point that is none of a group of digits is no decimal sign.
            pointed = pointed.str.translate(str.maketrans({decimal: ".", ".": decimal}))
        if units:
            own = units if isinstance(units, Mapping) else {}
            given = pointed[~missing]
            found, bad, said = in_base_units(given, own)
            # inf has no unit; anything else that is not understood is named.
            _refuse(text[~missing][bad & ~given.str.fullmatch(_INF)], {"file": file, "column": column},
                    "a number, or a number and its unit", said or None)  # fmt: skip
            inf = pd.to_numeric(given.where(given.str.fullmatch(_INF)), errors="coerce").astype("float64")
            return found.fillna(inf).reindex(cells.index).to_numpy(dtype="float64")
        numbers = pd.to_numeric(pointed.where(~missing), errors="coerce").astype("float64")
        # to_numeric takes True for 1 among numbers, and a hexadecimal text for its value.
        bad = ~missing & (numbers.isna() | ~pointed.str.match(r"(?i)[+-]?(?:inf|\d+(?!x)|\.\d)"))
        if bad.any():
            remedy = f"correct the cell or leave it empty, or leave the column out with columns={{{column!r}: None}}"
            if pointed[bad].str.fullmatch(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?").any():
                sign, word = (",", "comma") if decimal == "." else (".", "point")
                remedy = f"{remedy}; thousands={sign!r} where the {word} groups digits"
            if decimal == "." and text[bad].str.contains(",", regex=False).any():
                remedy = f"{remedy}; decimal=',' where the comma is the decimal sign"
            if text[bad].str.fullmatch(r"[+-]?[\d.,]+(?:[eE]-?\d+)?\s*[%°µ\w][\w/ %]{0,11}").any():
                remedy = f"{remedy}; units=True where cells hold their unit"
            _refuse(text[bad], {"file": file, "column": column}, "a number", remedy)
    return numbers.mask(missing).to_numpy(dtype="float64")


def to_utc(
    cells: pd.Series,
    *,
    file: str = "",
    column: str = "timestamp",
    timezone: str | None = None,
    form: str | None = None,
    ambiguous: str = "error",
    nonexistent: str = "error",
    groups: np.ndarray | None = None,
) -> tuple[pd.DatetimeIndex, str, dict[str, int]]:
    """Turn timestamps as written into UTC moments, and say how they were understood.

    Parameters
    ----------
    cells : Series of shape (n,)
        Text (ISO 8601, each row with its own offset or none), datetimes, dates, or epoch numbers whose unit (s, ms,
        us, ns) follows from their size; the index counts data rows from 0.
    file, column : str
        Where the cells come from, for the error.
    timezone : str, optional
        IANA name of the zone in which stamps without an offset were written. Without it they are refused.
    form : str, optional
        Another form than ISO 8601: a strptime pattern, or the unit of epoch numbers (``"s"``, ``"ms"``, ...).
    ambiguous : {"error", "earlier", "later", "infer"}
        What a local time means that the end of summer time brings twice; ``"infer"`` reads it from the order of the
        rows, in which the clock must go back exactly once.
    nonexistent : {"error", "shift_forward"}
        What becomes of a local time that the start of summer time skips.
    groups : ndarray of int, shape (n,), optional
        Series that a row belongs to, for ``ambiguous="infer"``.

    Returns
    -------
    moments : DatetimeIndex of datetime64[us, UTC], shape (n,)
    said : str
        How the stamps were understood.
    repaired : dict
        Number of rows by policy: ``ambiguous``, ``nonexistent``.

    Raises
    ------
    ContractError
        A stamp is missing, cannot be read, or needs a policy that was not named.

    Examples
    --------
    >>> moments, said, _ = to_utc(pd.Series(["2026-01-01T00:00:00Z", "2026-01-01T02:00:00+01:00"]))
    >>> [str(moment) for moment in moments], said
    (['2026-01-01 00:00:00+00:00', '2026-01-01 01:00:00+00:00'], 'ISO 8601 with offsets')
    >>> to_utc(pd.Series([1767225600000]))[:2]
    (DatetimeIndex(['2026-01-01 00:00:00+00:00'], dtype='datetime64[us, UTC]', freq=None), 'epoch ms')
    """
    where = {"file": file, "column": column}
    stamps, aware, said = _parse(cells, form, where)
    counts = {"ambiguous": 0, "nonexistent": 0}
    if not aware.all():
        naive = stamps[~aware]
        if timezone is None:
            raise ContractError(
                row=_rows(naive.index),
                **where,
                expected="timestamps with an offset (2026-01-01T00:00:00Z, +01:00)",
                got=f"{str(cells[naive.index[0]])!r} without one",
                remedy="timezone='UTC', or the zone in which they were written, such as timezone='Europe/Berlin'",
            )
        codes = np.zeros(len(cells), dtype="int64") if groups is None else np.asarray(groups)
        local, counts = _localize(naive, timezone, ambiguous, nonexistent, codes[~aware.to_numpy()], where)
        stamps = local if len(naive) == len(stamps) else pd.concat([stamps[aware], local]).loc[stamps.index]
        said = f"{said}, local time of {timezone}" + (" where without an offset" if aware.any() else "")
    moments = pd.DatetimeIndex(stamps.dt.tz_localize("UTC") if stamps.dt.tz is None else stamps).as_unit("us")
    return moments.rename(None), said, counts


def checked_zone(timezone: str) -> zoneinfo.ZoneInfo:
    """Look a time zone up by its IANA name; a ContractError says which there are."""
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError) as error:
        remedy = nearest(str(timezone), zoneinfo.available_timezones())
        raise ContractError(
            column="timezone", expected="an IANA time zone", got=repr(timezone), remedy=remedy
        ) from error


def _parse(cells: pd.Series, form: str | None, where: dict) -> tuple[pd.Series, pd.Series, str]:
    """Read stamps: naive datetimes (of UTC where `aware`), the mask `aware`, and how they were understood."""
    blank = cells.isna() | (cells.astype("str").str.strip() == "") if not _numeric(cells) else cells.isna()
    if blank.any():
        raise ContractError(
            row=_rows(cells.index[blank]),
            **where,
            expected="a timestamp",
            got="an empty cell",
            remedy="complete the row or remove it",
        )
    yes, no = pd.Series(True, index=cells.index), pd.Series(False, index=cells.index)
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        return cells.dt.tz_convert("UTC").dt.tz_localize(None), yes, "datetimes with a zone"
    if pd.api.types.is_datetime64_dtype(cells.dtype):
        return cells, no, "datetimes"
    if form is not None and form not in EPOCH_UNITS:
        return _with_format(cells, form, where)
    numbers = cells if _numeric(cells) else None
    if numbers is None:
        cells = cells.astype("str").str.strip()
        if form is not None or cells.iloc[:1].str.fullmatch(r"[+-]?\d+(?:\.\d*)?(?:[eE]\+?\d+)?").all():
            numbers = pd.to_numeric(cells, errors="coerce")
            _refuse(cells[numbers.isna()], where, "a number, as the rows before")
    if numbers is not None:
        stamps, unit = _epoch(numbers, form, where)
        return stamps, yes, f"epoch {unit}"
    return _iso(cells, where)


def _iso(cells: pd.Series, where: dict) -> tuple[pd.Series, pd.Series, str]:
    """Read ISO 8601 texts, each with its own offset or none."""
    named = cells.str.slice(DATE_LENGTH).str.contains("(?i)utc|gmt")
    if named.any():
        cells = cells.mask(named, cells[named].str.replace(r"(?i)(?:\s*[+-]00:?00)?\s*(?:UTC|GMT)$", "Z", regex=True))
    aware = cells.str.slice(DATE_LENGTH).str.contains("[Zz+-]")  # behind the date only: its dashes are no offset
    dated = cells.str.match(_DATE)  # pandas would take 'now', 'today' and '2020'
    stamps = pd.to_datetime(cells.where(dated), format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None)
    _refuse(cells[~_in_calendar(stamps)], where, "a moment in ISO 8601 (2026-01-01T00:00:00Z) or epoch time")
    return stamps, aware, "ISO 8601" + (" with offsets" if aware.all() else "")


def _with_format(cells: pd.Series, form: str, where: dict) -> tuple[pd.Series, pd.Series, str]:
    """Read texts by a strptime pattern, in which %z or %Z says that each has its own offset or zone."""
    try:
        stamps = pd.to_datetime(cells.astype("str").str.strip(), format=form, utc=True, errors="coerce")
    except ValueError as error:
        remedy = f"a strptime pattern or one of {', '.join(EPOCH_UNITS)}"
        raise ContractError(f"timestamp_format={form!r} cannot be used: {error}", **where, remedy=remedy) from error
    _refuse(cells[~_in_calendar(stamps)], where, f"a moment as timestamp_format={form!r} writes it")
    aware = pd.Series("%z" in form.lower(), index=cells.index)
    return stamps.dt.tz_localize(None), aware, f"written as {form}"


def _epoch(numbers: pd.Series, unit: str | None, where: dict) -> tuple[pd.Series, str]:
    """Read epoch numbers; without a named unit, by the one that puts the first between 1980 and 2100."""
    seconds = {name: EPOCH_UNITS[name] / EPOCH_UNITS["s"] for name in EPOCH_UNITS}
    span, said, remedy = CALENDAR, "within the years 1 to 9999", None
    if unit is None:
        span, said = EPOCH_SPAN, "between 1980 and 2100"
        remedy = "timestamp_format='s' ('ms', 'us', 'ns') or a pattern such as timestamp_format='%Y%m%d%H%M'"
        fits = [name for name, per in seconds.items() if span[0] <= numbers.iloc[0] * per < span[1]]
        if not fits:
            _refuse(numbers.iloc[:1], where, f"epoch time {said} in {', '.join(seconds)}", remedy)
        unit = fits[0]
    outside = ~(numbers * seconds[unit]).between(*span, inclusive="left")
    _refuse(numbers[outside], where, f"epoch time in {unit} {said}", remedy)
    if pd.api.types.is_integer_dtype(numbers.dtype):
        whole = numbers.to_numpy("int64")
        micros = whole // 1_000 if unit == "ns" else whole * EPOCH_UNITS[unit]
    else:
        micros = np.rint(numbers.to_numpy("float64") * EPOCH_UNITS[unit]).astype("int64")
    return pd.Series(micros.view("datetime64[us]"), index=numbers.index), unit


def _localize(
    naive: pd.Series, timezone: str, ambiguous: str, nonexistent: str, groups: np.ndarray, where: dict
) -> tuple[pd.Series, dict[str, int]]:
    """Turn local times into naive UTC, by the named policies where the clock was changed."""
    zone = checked_zone(timezone)
    summer = np.ones(len(naive), dtype=bool)
    skipped = naive.dt.tz_localize(zone, ambiguous=summer, nonexistent="NaT").isna()
    if nonexistent == "error":
        remedy = "correct them, name the zone in which they were written (often timezone='UTC'), or"
        remedy = f"{remedy} nonexistent='shift_forward'"
        _refuse(naive[skipped], where, f"a time that {timezone} had; summer time skipped it", remedy)
    twice = naive.dt.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward").isna()
    if ambiguous == "error":
        remedy = "ambiguous='infer' (from the order of rows), 'earlier' or 'later', or stamps with offsets"
        _refuse(naive[twice], where, f"a time that {timezone} had once; it came twice", remedy)
    elif ambiguous == "later":
        summer[:] = False
    elif ambiguous == "infer" and twice.any():
        summer = _before_the_change(naive, twice, groups, where)
    utc = naive.dt.tz_localize(zone, ambiguous=summer, nonexistent="shift_forward").dt.tz_convert("UTC")
    return utc.dt.tz_localize(None), {"ambiguous": int(twice.sum()), "nonexistent": int(skipped.sum())}


def _before_the_change(naive: pd.Series, twice: pd.Series, groups: np.ndarray, where: dict) -> np.ndarray:
    """Tell which of the doubled local times come before the clock went back, from the order of rows in a series."""
    rows = pd.DataFrame({"group": groups, "time": naive.to_numpy(), "twice": twice.to_numpy()}, index=naive.index)
    rows = rows.sort_values("group", kind="stable")
    rows["run"] = ((rows["twice"] != rows["twice"].shift()) | (rows["group"] != rows["group"].shift())).cumsum()
    back = (rows["time"].diff() <= pd.Timedelta(0)) & (rows["run"] == rows["run"].shift())
    rows["turns"] = back.groupby(rows["run"]).cumsum()
    unclear = rows["twice"] & (rows.groupby("run")["turns"].transform("max") != 1)
    said = "rows in which the clock goes back exactly once"
    _refuse(naive[unclear.loc[naive.index]], where, said, "ambiguous='earlier' or 'later', or stamps with offsets")
    return (rows["turns"] == 0).loc[naive.index].to_numpy()


def _in_calendar(stamps: pd.Series) -> pd.Series:
    """Tell which stamps are known and within the years 1 to 9999: pandas would take the year 0, nobody else does."""
    return stamps.dt.year.between(1, 9999)


def _numeric(cells: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype)


def _refuse(bad: pd.Series, where: dict, expected: str, remedy: str | None = None) -> None:
    """Raise the error for the cells in `bad`, if there are any."""
    if bad.empty:
        return
    got = repr(str(bad.iloc[0])) + (f" in the first of {len(bad)} such rows" if len(bad) > 1 else "")
    remedy = remedy or "correct the cell, or name the form with timestamp_format='%d.%m.%Y %H:%M'"
    raise ContractError(row=_rows(bad.index), **where, expected=expected, got=got, remedy=remedy)


def _rows(index: Sequence[int]) -> list[int]:
    """Count data rows from 1, as a person does."""
    return [int(position) + 1 for position in index[:SHOWN_ROWS]]
