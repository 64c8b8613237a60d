"""The moments of log lines as programs write them, brought to ISO 8601, where `telemetry.cells.to_utc` takes over."""

from __future__ import annotations

__all__ = ["STAMP", "strptime_regex", "to_iso"]

import datetime as dt
import re

import numpy as np
import pandas as pd

from stability.schema import ContractError
from stability.telemetry.cells import to_utc

MONTHS = {
    "Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6, "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11,
    "Dec": 12,
}  # fmt: skip
_DAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?"
_MONTH = f"(?:{'|'.join(MONTHS)})"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
#: A moment in any form that is understood without being named: ISO 8601, with slashes, of web servers, of syslog,
#: ctime and glog, epoch numbers. Every alternative is of bounded length, so that no text makes it search for long.
STAMP = (
    rf"(?:\d{{4}}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{{1,9}})?)?(?: ?(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?\b))?"
    rf"|\d{{1,2}}/{_MONTH}/\d{{4}}:{_CLOCK}(?: [+-]\d{{4}})?"
    rf"|{_DAY}{_MONTH} {{1,2}}\d{{1,2}} {_CLOCK}(?: \d{{4}}\b)?"
    rf"|\d\d-\d\d {_CLOCK}"
    r"|\d{9,19}(?:\.\d{1,9})?)"
)
_EPOCH = r"\d{9,19}(?:\.\d{1,9})?"
_COMMA = re.compile(r"(:\d\d),(\d{1,9})")
_SLASH = re.compile(r"^(\d{4})/(\d\d)/(\d\d)")
_WEB = rf"^(?P<day>\d{{1,2}})/(?P<month>{_MONTH})/(?P<year>\d{{4}}):(?P<clock>{_CLOCK}) ?(?P<offset>[+-]\d{{4}})?$"
_UNIX = rf"^{_DAY}(?P<month>{_MONTH}) {{1,2}}(?P<day>\d{{1,2}}) (?P<clock>{_CLOCK})(?: (?P<year>\d{{4}}))?$"
_DIGITS = rf"^(?P<month>\d\d)-?(?P<day>\d\d) (?P<clock>{_CLOCK})(?P<year>)$"  # of vLLM and, without the dash, of glog
HALF_YEAR = 6  # months back that mean a new year and not lines out of order
# What each directive of strptime may stand for; bounded, as above.
_DIRECTIVES = {
    "Y": r"\d{4}", "y": r"\d\d", "m": r"\d{1,2}", "d": r"[ \d]?\d", "H": r"\d{1,2}", "I": r"\d{1,2}", "M": r"\d\d",
    "S": r"\d\d", "f": r"\d{1,9}", "p": r"[AaPp]\.?[Mm]\.?", "b": r"[^\W\d_]{2,5}\.?", "B": r"[^\W\d_]{3,12}",
    "a": r"[^\W\d_]{2,5}\.?", "A": r"[^\W\d_]{3,12}", "z": r"(?:Z|[+-]\d\d:?\d\d)", "Z": r"[A-Z]{2,5}", "j": r"\d{3}",
    "%": "%",
}  # fmt: skip


def strptime_regex(form: str) -> str:
    """Turn a strptime pattern into a regular expression that finds such a moment in a line.

    Raises
    ------
    ContractError
        For a directive that is not known.

    Examples
    --------
    >>> bool(re.fullmatch(strptime_regex("%d.%m.%Y %H:%M:%S"), "24.11.2026 06:35:36"))
    True
    """
    parts = re.split(r"%(.)", form)
    found = [re.escape(parts[0])]
    for directive, literal in zip(parts[1::2], parts[2::2], strict=True):
        if directive not in _DIRECTIVES:
            known = ", ".join(f"%{name}" for name in _DIRECTIVES)
            raise ContractError(column="timestamp", expected=f"directives of strptime ({known})", got=f"%{directive}")
        found += [_DIRECTIVES[directive], re.escape(literal)]
    return "".join(found)


def to_iso(cells: pd.Series, *, year: int | str | None, modified: dt.datetime | None, file: str) -> pd.Series:
    """Rewrite the forms of `STAMP` that are not ISO 8601; what is, or is none at all, stays as it was.

    Parameters
    ----------
    cells : Series of str, shape (n,)
        Moments as written; the index counts lines from 0.
    year : int, "modified" or None
        For forms without a year (RFC 3164): that of the first line, or such that the last line is not later than the
        file's modification. A step back of more than six months is a new year.
    modified : datetime, optional
        When the file was changed last.
    file : str
        For the error.

    Returns
    -------
    Series of str, shape (n,)

    Raises
    ------
    ContractError
        When a year is missing and no policy was named.

    Examples
    --------
    >>> to_iso(pd.Series(["10/Oct/2000:13:55:36 -0700", "2026/01/02 03:04:05,678"]), year=None, modified=None,
    ...        file="").tolist()
    ['2000-10-10T13:55:36-0700', '2026-01-02 03:04:05.678']
    >>> to_iso(pd.Series(["Dec 31 23:59:59", "Jan  1 00:00:00"]), year=2025, modified=None, file="").tolist()
    ['2025-12-31T23:59:59', '2026-01-01T00:00:00']
    >>> to_iso(pd.Series(["12-31 23:59:59", "0101 00:00:00.25"]), year=2025, modified=None, file="").tolist()
    ['2025-12-31T23:59:59', '2026-01-01T00:00:00.25']
    """
    cells = cells.str.strip()
    numbers = cells.str.fullmatch(_EPOCH)
    if numbers.any() and not numbers.all():  # several programs wrote one file
        moments, _, _ = to_utc(cells[numbers], file=file)
        known = pd.Series(moments.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), index=cells.index[numbers])
        cells = cells.mask(numbers, known.reindex(cells.index))
    if cells.str.contains(",", regex=False).any():
        cells = cells.str.replace(_COMMA, r"\1.\2", n=1, regex=True)
    if cells.str.contains("/", regex=False).any():
        cells = cells.str.replace(_SLASH, r"\1-\2-\3", regex=True)
        cells = _rewritten(cells, _WEB, None, None, file)
    if cells.str.match("[A-Z][a-z]").any():
        cells = _rewritten(cells, _UNIX, year, modified, file)
    if cells.str.match(r"\d\d-?\d\d ").any():
        cells = _rewritten(cells, _DIGITS, year, modified, file)
    return cells


def _rewritten(cells: pd.Series, form: str, year, modified, file: str) -> pd.Series:
    parts = cells.str.extract(form)
    parts = parts[parts["clock"].notna()]
    if parts.empty:
        return cells
    months = parts["month"].map(lambda name: MONTHS.get(name) or int(name)).astype("int64")
    years = parts["year"].replace("", None)
    if years.isna().any():
        years = years.where(years.notna(), _years(months, parts, year, modified, file).astype("str"))
    iso = years.astype("str") + "-" + months.astype("str").str.zfill(2) + "-" + parts["day"].str.strip().str.zfill(2)
    iso = iso + "T" + parts["clock"] + (parts["offset"].fillna("") if "offset" in parts else "")
    return cells.mask(cells.index.isin(parts.index), iso.reindex(cells.index))


def _years(months: pd.Series, parts: pd.DataFrame, year, modified, file: str) -> pd.Series:
    """Count the new years along the lines, from the first one's or back from the file's modification."""
    step = np.diff(months.to_numpy(), prepend=months.iloc[0])
    turns = np.cumsum((step < -HALF_YEAR).astype(int) - (step > HALF_YEAR).astype(int))
    if year == "modified" and modified is not None:
        last = parts.iloc[-1]
        day = (months.iloc[-1], int(last["day"]))
        # A day of grace: the writer's zone may be ahead of the clock that stamped the file.
        latest = modified + dt.timedelta(days=1)
        first = latest.year - (day > (latest.month, latest.day)) - turns[-1]
    elif isinstance(year, int) and not isinstance(year, bool) and 1 <= year <= dt.MAXYEAR:
        first = year
    else:
        raise ContractError(
            file=file,
            row=int(parts.index[0]) + 1,
            column="timestamp",
            expected="moments with a year, or the policy that gives it",
            got=repr(f"{parts['month'].iloc[0]} {parts['day'].iloc[0]} {parts['clock'].iloc[0]}"),
            remedy="year=2026 (the first line's), or year='modified' (the last line is not later than the file)",
        )
    return pd.Series(first + turns, index=months.index)
