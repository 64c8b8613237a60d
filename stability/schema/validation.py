"""Frames in contract form: coerced where nothing is lost, refused with file, row and column where something is."""

from __future__ import annotations

__all__ = ["empty", "flattened", "validate"]

import functools
import math
import re
from os import PathLike

import numpy as np
import pandas as pd
import pandera.errors
import pandera.pandas as pa

from stability.schema.coercion import coerce_column
from stability.schema.errors import ContractError, nearest
from stability.schema.tables import TABLES, Table

OTHER = "other"  # result tables without a contract
SINGLE = "default"  # the entity of a frame that names none
PANELS = ("telemetry", "scores")  # numbers of entities at moments, and nothing else


def validate(frame: pd.DataFrame | pd.Series, table: str, *, source: str | PathLike | None = None) -> pd.DataFrame:
    """Bring a frame into the form of a table's contract, or say where it breaks it.

    Coerced without loss: any time zone to UTC, any datetime unit to microseconds, numbers and numeric text to float64,
    durations to seconds, identifiers to text. Keyed tables come back sorted by their key, because their order carries
    no information; tables without a key keep their order. Optional columns that are absent come back as missing.

    Parameters
    ----------
    frame : DataFrame or Series
        Key as index levels or as columns. A frame without an entity level is one entity: `frame.attrs["entity"]`, else
        'default'. A Series is a table of one column.
    table : str
        Name of a contract in `TABLES`, or 'other' for a table without one (only its datetimes are unified).
    source : str or path, optional
        Name for error messages: the file or address that the frame came from.

    Returns
    -------
    DataFrame
        A new frame: the key as index (levels named as in the contract; counting from 0 where the table has no key),
        fixed columns in the contract's order, then free columns in the order in which they came.

    Raises
    ------
    ContractError
        With file, row (1 is the first), column, what was expected, what came and what to do.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01 01:00", periods=2, freq="60s", tz="Europe/Berlin", name="timestamp")
    >>> validate(pd.DataFrame({"up": [1, 0]}, index=stamps), "telemetry")
                                        up
    entity  timestamp
    default 2026-01-01 00:00:00+00:00  1.0
            2026-01-01 00:01:00+00:00  0.0
    """
    if table == OTHER:
        return _microseconds(_framed(frame, source))
    contract = _contract(table)
    panel = _framed(frame, source) if table in PANELS else None
    if panel is not None and _panel_in_form(panel, contract):
        return pd.DataFrame(panel.set_axis(pd.Index(panel.columns, dtype="str", name=None), axis=1), copy=False)
    flat = flattened(frame, table, source=source)
    _check_names(flat, contract, source)
    extra = tuple(name for name in flat.columns if name not in contract.columns)
    schema = contract.schema(extra)
    flat = pd.DataFrame(
        {
            name: coerce_column(flat[name], str(column.dtype.type), source=source, nullable=column.nullable)
            if name in flat.columns
            else pd.Series(math.nan, index=flat.index).astype(column.dtype.type)
            for name, column in schema.columns.items()
        },
        index=flat.index,
    )
    if not _holds(flat, schema):
        try:
            schema.validate(flat, lazy=True)
        except pandera.errors.SchemaErrors as error:
            raise _told(error.failure_cases, flat, source) from None
    return _keyed(flat, contract, source)


def _holds(flat: pd.DataFrame, schema: pa.DataFrameSchema) -> bool:
    """Whether coerced columns break nothing: pandera, which copies each column's schema, is asked where they do."""
    for name, column in schema.columns.items():
        values = flat[name]
        if values.dtype != column.dtype.type or (not column.nullable and values.isna().any()):
            return False
        if not all(check(values).check_passed for check in column.checks):
            return False
    return all(check(flat).check_passed for check in schema.checks)


def _panel_in_form(frame: pd.DataFrame, contract: Table) -> bool:
    """Whether a panel has names, types, order and finite values of the contract already.

    A look at codes and numbers: panels are handed from step to step, and coercing them anew changes nothing.
    """
    index = frame.index
    if not isinstance(index, pd.MultiIndex) or list(index.names) != list(contract.key) or not len(index):
        return False
    entity, stamp = index.levels
    if not {*contract.key}.isdisjoint(frame.columns) or not frame.columns.is_unique or "" in entity:
        return False
    if not all(isinstance(name, str) and re.fullmatch(contract.extra, name) for name in frame.columns):
        return False
    if entity.dtype != "str" or str(stamp.dtype) != "datetime64[us, UTC]" or (frame.dtypes != "float64").any():
        return False
    if not (entity.is_monotonic_increasing and stamp.is_monotonic_increasing):
        return False
    who, when = (np.asarray(codes) for codes in index.codes)
    step = np.diff(who)
    in_order = min(who.min(), when.min()) >= 0 and not (step < 0).any() and not (np.diff(when)[step == 0] <= 0).any()
    return bool(in_order and not np.isinf(frame.to_numpy()).any())


def empty(table: str) -> pd.DataFrame:
    """Make a table without rows, in contract form.

    Parameters
    ----------
    table : str
        Name of a contract in `TABLES`.

    Examples
    --------
    >>> empty("windows").dtypes.astype(str).to_dict()
    {'entity': 'str', 'start': 'datetime64[us, UTC]', 'end': 'datetime64[us, UTC]'}
    """
    return _empty(table).copy()


@functools.cache
def _empty(table: str) -> pd.DataFrame:
    columns = _contract(table).columns
    return validate(pd.DataFrame({name: pd.Series(dtype=column.dtype.type) for name, column in columns.items()}), table)


def _contract(table: str) -> Table:
    if table not in TABLES:
        known = nearest(table, [*TABLES, OTHER])
        raise ContractError(expected="the name of a table", got=repr(table), remedy=known)
    return TABLES[table]


def _framed(frame: pd.DataFrame | pd.Series, source) -> pd.DataFrame:
    if isinstance(frame, pd.Series):
        frame = frame.to_frame("value" if frame.name is None else frame.name)
    if not isinstance(frame, pd.DataFrame):
        raise ContractError(file=source, expected="a pandas DataFrame", got=type(frame).__name__)
    return frame


def flattened(frame: pd.DataFrame | pd.Series, table: str, *, source: str | PathLike | None = None) -> pd.DataFrame:
    """Give a frame its key as columns, in whatever form `validate` would take it; nothing else is looked at.

    Parameters
    ----------
    frame, table, source
        As for `validate`, but for 'other'.

    Returns
    -------
    DataFrame
        Index counting from 0: position + 1 is the row that a person counts.

    Raises
    ------
    ContractError
        A column stands twice, or is a level of the index too.

    Examples
    --------
    >>> up = pd.Series([1.0], index=pd.to_datetime(["2026-01-01T00:00Z"]), name="up")
    >>> flattened(up, "telemetry").columns.tolist()
    ['entity', 'timestamp', 'up']
    """
    frame, contract = _framed(frame, source), _contract(table)
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise ContractError(file=source, column=str(name), expected="each column once", got="the name twice or more")
    index = frame.index
    entity = frame.attrs.get("entity", SINGLE)
    if isinstance(index, pd.MultiIndex) and index.nlevels == len(contract.key):
        # pd.concat({"web-1": frame}) leaves the first level without a name; it is the key's, unless a column is.
        taken, pairs = {*index.names, *frame.columns}, zip(index.names, contract.key, strict=True)
        index = index.set_names([key if name is None and key not in taken else name for name, key in pairs])
    elif isinstance(index, pd.DatetimeIndex) and "timestamp" in contract.key and "timestamp" not in frame.columns:
        index = index.rename("timestamp")
    elif len(contract.key) == 1 and index.names == [None] and not isinstance(index, pd.RangeIndex):
        index = index.rename(contract.key[0])
    levels = [name for name in index.names if name is not None]
    twice = [name for name in levels if name in frame.columns]
    if twice:
        raise ContractError(
            file=source,
            column=str(twice[0]),
            expected="it once",
            got="it as a column and as a level of the index",
            remedy="drop one: frame.reset_index(drop=True)",
        )
    flat = frame.reset_index(drop=True)
    for place, name in enumerate(levels):
        flat.insert(place, name, pd.Series(index.get_level_values(name), index=flat.index))
    if "entity" in contract.key and "timestamp" in contract.key and "entity" not in flat.columns:
        flat.insert(0, "entity", entity)
    return flat


def _check_names(flat: pd.DataFrame, contract: Table, source) -> None:
    for name, column in contract.columns.items():
        if name not in flat.columns and (name in contract.key or not column.nullable):
            raise ContractError(
                file=source,
                column=name,
                expected=f"the column in a table of {contract.name} ({column.description})",
                got=f"the columns {', '.join(map(str, flat.columns)) or '(none)'}",
                remedy=f"name the column {name!r} or add it",
            )
    pattern = contract.extra
    for name in flat.columns:
        if name in contract.columns:
            continue
        if pattern is None:
            known = nearest(str(name), contract.columns)
            raise ContractError(
                file=source,
                column=str(name),
                expected=f"a column of {contract.name}",
                got="an unknown one",
                remedy=f"{known}; or drop it",
            )
        if not isinstance(name, str) or not re.fullmatch(pattern, name):
            raise ContractError(
                file=source,
                column=str(name),
                expected=f"a name that matches {pattern}",
                got=repr(name),
                remedy="rename it (telemetry.read does by `columns`): letters, digits and underscores, no digit first",
            )


def _told(cases: pd.DataFrame, flat: pd.DataFrame, source) -> ContractError:
    """Turn pandera's table of failures into the error of its first row."""
    first = cases.sort_values("index", kind="stable").iloc[0]
    same = (cases["check"] == first["check"]) & (cases["column"] == first["column"])
    rows = cases.loc[same, "index"].dropna().unique()
    whole_row = first["schema_context"] == "DataFrameSchema"
    value = first["failure_case"]
    got = repr(value.item() if isinstance(value, np.generic) else value)
    if whole_row:
        named = set(str(first["check"]).split())
        got = ", ".join(f"{name} {flat[name].iloc[int(first['index'])]}" for name in flat.columns if name in named)
    more = f" (and {len(rows) - 1:,} more rows)" if len(rows) > 1 else ""
    return ContractError(
        file=source,
        row=None if pd.isna(first["index"]) else int(first["index"]) + 1,
        column=None if whole_row else str(first["column"]),
        expected=str(first["check"]),
        got=got + more,
        remedy="correct the row or drop it",
    )


def _keyed(flat: pd.DataFrame, contract: Table, source) -> pd.DataFrame:
    key = list(contract.key)
    if not key:
        return flat
    framed = flat.set_index(key)
    if framed.index.is_monotonic_increasing and framed.index.is_unique:
        return framed
    again = framed.index.duplicated()
    if again.any():
        place = int(np.flatnonzero(again)[0])
        value = flat.loc[place, key]
        first = int(np.flatnonzero((flat[key] == value).all(axis=1))[0])
        more = int(again.sum()) - 1
        raise ContractError(
            file=source,
            row=place + 1,
            column=", ".join(key),
            expected="each key once",
            got=f"{', '.join(map(str, value))} again, first in row {first + 1}"
            + (f" (and {more:,} more rows)" * (more > 0)),
            remedy="drop or average the repeats"
            + "; telemetry.read does it by `duplicates`" * (contract.name == "telemetry"),
        )
    return framed.sort_index()


def _microseconds(frame: pd.DataFrame) -> pd.DataFrame:
    """Datetimes of a free table in microseconds, so that it merges with the others; nothing else is touched."""
    free = frame.copy()
    for place, kind in enumerate(frame.dtypes):
        if pd.api.types.is_datetime64_any_dtype(kind):
            free.isetitem(place, free.iloc[:, place].dt.as_unit("us"))
    if isinstance(free.index, pd.DatetimeIndex):
        free.index = free.index.as_unit("us")
    elif isinstance(free.index, pd.MultiIndex):
        levels = [level.as_unit("us") if isinstance(level, pd.DatetimeIndex) else level for level in free.index.levels]
        free.index = free.index.set_levels(levels)
    return free
