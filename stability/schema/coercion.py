"""One column in a contract's dtype: coerced where nothing is lost, else the rows that stand in the way."""

from __future__ import annotations

__all__ = ["coerce_column"]

from collections.abc import Sequence
from os import PathLike

import numpy as np
import pandas as pd

from stability.schema.errors import ContractError, nearest

FIRST = 3  # offending rows named in an error: enough to find them, few enough to read
TIME = "datetime64[us, UTC]"
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|infinity)"  # to_numeric also takes 0x1A and True


def coerce_column(
    column: pd.Series, dtype: str, *, source: str | PathLike | None = None, nullable: bool = True
) -> pd.Series:
    """Bring one column to a contract's dtype where nothing is lost.

    Parameters
    ----------
    column : Series of shape (n,)
        Its name and the positions of its rows appear in errors.
    dtype : {'str', 'float64', 'int64', 'bool', 'datetime64[us, UTC]'}
        As pandas writes them. Durations become seconds where a number is wanted.
    source : str or path, optional
        Name for error messages.
    nullable : bool
        Whether missing values may stay; 'int64' and 'bool' never have any.

    Returns
    -------
    Series of shape (n,)
        Of that dtype.

    Raises
    ------
    ContractError
        With the first offending rows, counted from 1.

    Examples
    --------
    >>> coerce_column(pd.Series(["1.5", None], name="load"), "float64").tolist()
    [1.5, nan]
    >>> coerce_column(pd.Series(["1.5", "abc"], name="load"), "float64")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: row 2, column 'load': expected a number, got 'abc'. ...
    """
    kinds = {"str": _to_text, "float64": _to_number, "int64": _to_integer, "bool": _to_flag, TIME: _to_time}
    if dtype not in kinds:
        raise ContractError(expected="a dtype of the contract", got=repr(dtype), remedy=nearest(dtype, kinds))
    done = kinds[dtype](column, source)
    if not nullable and done.isna().any():
        wanted = {"str": "text", "float64": "a number"}.get(dtype, "a time")
        _refuse(done.isna(), column, source, wanted, "fill the cell or drop the row")
    return done


def _refuse(bad: pd.Series | np.ndarray, column: pd.Series, source, expected: str, remedy: str) -> None:
    """Raise for the rows marked in `bad`: the first ones by number, and the first one's value as it came."""
    places = np.flatnonzero(np.asarray(bad))
    more = f" (and {len(places) - FIRST:,} more rows)" if len(places) > FIRST else ""
    value = column.iloc[places[0]]
    got = "nothing" if _is_missing(value) else repr(value.item() if isinstance(value, np.generic) else value)
    rows: Sequence[int] = [int(place) + 1 for place in places[:FIRST]]
    raise ContractError(
        file=source,
        row=rows[0] if len(rows) == 1 else rows,
        column=str(column.name),
        expected=expected,
        got=got + more,
        remedy=remedy,
    )


def _is_missing(value: object) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _to_number(column: pd.Series, source) -> pd.Series:
    kind = column.dtype
    if pd.api.types.is_timedelta64_dtype(kind):
        numbers = column.dt.total_seconds()
    elif pd.api.types.is_complex_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
        raise ContractError(
            file=source, column=str(column.name), expected="numbers", got=str(kind), remedy="convert the column"
        )
    elif pd.api.types.is_numeric_dtype(kind):
        numbers = column.astype("float64")
    else:
        text = column.astype("str").str.strip()
        missing = column.isna() | text.str.lower().isin(("", "nan"))
        bad = ~missing & ~text.str.fullmatch(_NUMBER, case=False).fillna(False).astype("bool")
        if bad.any():
            remedy = "correct the cell, leave it empty, or put categories into the table of states"
            _refuse(bad, column, source, "a number", remedy)
        numbers = pd.to_numeric(text.mask(missing)).astype("float64")
    infinite = np.isinf(numbers.to_numpy())
    if infinite.any():
        remedy = "make it missing: frame.replace([inf, -inf], nan)"
        _refuse(infinite, numbers, source, "a finite number or nothing", remedy)
    return numbers


def _to_integer(column: pd.Series, source) -> pd.Series:
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        return column.astype("int64")
    numbers = _to_number(column, source)
    bad = numbers.isna() | (numbers != numbers.round()) | (numbers.abs() >= 2**53)
    if bad.any():
        _refuse(bad, column, source, "a whole number", "correct the cell or drop the row")
    return numbers.astype("int64")


def _to_flag(column: pd.Series, source) -> pd.Series:
    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.astype("bool")
    words = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
    told = column.astype("str").str.strip().str.lower().map(words)
    if told.isna().any():
        _refuse(told.isna(), column, source, "true or false", "correct the cell or drop the row")
    return told.astype("bool")


def _to_text(column: pd.Series, source) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_float_dtype(column.dtype):
        # Whole numbers with gaps arrive as floats: 7.0 was the identifier 7.
        whole = (column == column.round()).fillna(False).astype("bool") & (column.abs() < 2**53)
        return column.astype("str").where(~whole, column.where(whole, 0).astype("int64").astype("str"))
    if column.dtype == object:
        bad = ~column.map(lambda value: _is_missing(value) or isinstance(value, str | int | float | np.generic))
        if bad.any():
            _refuse(bad, column, source, "text", "write lists as comma-separated text, anything else as JSON")
    return column.astype("str")


def _to_time(column: pd.Series, source) -> pd.Series:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC").dt.as_unit("us")
    if column.isna().all():
        return pd.Series(pd.NaT, index=column.index, name=column.name, dtype=TIME)
    if pd.api.types.is_datetime64_dtype(column.dtype):
        _refuse_naive(column.notna(), column, source)
    if pd.api.types.is_numeric_dtype(column.dtype):
        remedy = "pd.to_datetime(column, unit='s', utc=True) if these are Unix seconds"
        _refuse(column.notna(), column, source, "a time with its zone", remedy)
    try:  # the fast way, for text and objects of one zone
        times = pd.to_datetime(column, format="ISO8601")
    except (ValueError, TypeError):
        times = None
    if times is not None and isinstance(times.dtype, pd.DatetimeTZDtype):
        return times.dt.tz_convert("UTC").dt.as_unit("us")
    stamps = column.map(_stamp)
    bad = column.notna() & stamps.isna()
    if bad.any():
        _refuse(bad, column, source, "a time such as 2026-01-31T12:00:00Z", "correct the cell or drop the row")
    known = stamps[column.notna()]
    naive = known.map(lambda stamp: stamp.tzinfo is None).reindex(column.index, fill_value=False)
    if naive.any():
        _refuse_naive(naive, column, source)
    zones = known.map(lambda stamp: str(stamp.tzinfo))
    other = (zones != zones.iloc[0]).reindex(column.index, fill_value=False)
    if other.any():
        remedy = "if every stamp is right, pd.to_datetime(column, utc=True)"
        _refuse(other, column, source, f"one time zone, {zones.iloc[0]} as above", remedy)
    return pd.to_datetime(stamps, utc=True).dt.as_unit("us")


def _stamp(value: object) -> pd.Timestamp | None:
    """Read one time; None for what is none: numbers are no times, and 01/02/2026 is two."""
    try:
        if isinstance(value, str):
            return pd.to_datetime(value, format="ISO8601")
        return None if isinstance(value, int | float) else pd.Timestamp(value)
    except (ValueError, TypeError):
        return None


def _refuse_naive(bad: pd.Series, column: pd.Series, source) -> None:
    remedy = "say which: frame.tz_localize('UTC'), or timezone='Europe/Berlin' in telemetry.read"
    _refuse(bad, column, source, "a time with its zone", remedy)
