"""Telemetry from a database: one query's rows, through the same cleaning as files, into one panel."""

from __future__ import annotations

__all__ = ["read_sql", "read_sql_with_report"]

import hashlib
from collections.abc import Mapping
from decimal import Decimal

import pandas as pd

from stability.schema import ContractError
from stability.telemetry.database import database_name, label_of
from stability.telemetry.files import ReadReport, assemble, known_options
from stability.telemetry.grid import moment
from stability.telemetry.layout import find_roles
from stability.telemetry.options import Options
from stability.telemetry.sources import Source
from stability.telemetry.sql import query_table
from stability.telemetry.statements import parameters
from stability.telemetry.tidy import understand


def read_sql(
    url: str,
    query: str,
    *,
    start: str | pd.Timestamp | None = None,
    end: str | pd.Timestamp | None = None,
    params: Mapping[str, object] | None = None,
    progress: bool = False,
    **options,
) -> pd.DataFrame:
    """Read the rows of one query into one panel; the database is opened for reading only.

    Parameters
    ----------
    url : str
        SQLAlchemy's address of an SQLite file or a PostgreSQL server, without a password: see `sql.query_table`.
    query : str
        One statement that reads. Its columns play the roles that they would play in a file: wide with a column a
        metric, or long with names and values. A window is the query's to say, and to keep in the database:
        ``where ts >= :start and ts < :end``; of texts in SQLite, ``datetime(ts) >= :start``.
    start, end : str or Timestamp, optional
        Moments with their zone, bound to ``:start`` and ``:end``; given if and only if the query names them.
    params : mapping of str to object, optional
        Values of the query's other parameters.
    progress : bool
        Show how many rows have come, if the standard error is a terminal.
    **options
        As for `read`: layout, entity, timestamp, columns, scale, timezone, duplicates, ... A template of `entity` has
        the fields ``{stem}`` and ``{name}``, the database's name. `timezone` is the zone of stamps without one, as
        PostgreSQL's TIMESTAMP and most of SQLite's are, also in the comparison with ``:start`` and ``:end``.

    Returns
    -------
    DataFrame
        The panel, as from `read`. Decimals, whole numbers and yes-or-no are float64, intervals are seconds.

    Raises
    ------
    ContractError
        As `sql.query_table` and `read`; or there is no row.
    ConnectionError
        The server does not answer.

    Notes
    -----
    Rows without ORDER BY come in any order; they are sorted, and counted as out of order in the report.
    """
    return read_sql_with_report(url, query, start=start, end=end, params=params, progress=progress, **options)[0]


def read_sql_with_report(
    url: str,
    query: str,
    *,
    start: str | pd.Timestamp | None = None,
    end: str | pd.Timestamp | None = None,
    params: Mapping[str, object] | None = None,
    progress: bool = False,
    **options,
) -> tuple[pd.DataFrame, ReadReport]:
    """Read as `read_sql` does, and tell what was found and repaired.

    Parameters
    ----------
    url, query, start, end, params, progress, **options
        As for `read_sql`.

    Returns
    -------
    panel : DataFrame
    report : ReadReport
        Its sha256 is of the rows that came; bytes is their size in memory.
    """
    chosen = known_options(options, "read_sql")
    label = label_of(url)
    if not isinstance(params or {}, Mapping):
        raise ContractError(file=label, column="params", expected="a mapping of names to values", got=repr(params))
    values = {**(params or {}), **_window(query, start, end, label)}
    table = query_table(url, query, values, timezone=chosen.timezone or "UTC", progress=progress)
    if table.empty:
        remedy = "look at the condition, and at the zone of the window" if values else "look at the condition"
        raise ContractError(file=label, expected="at least one row", got="none", remedy=remedy)
    return assemble([_reading(table, label, Source(None, database_name(url), label), chosen)], chosen)


def _window(query: str, start, end, label: str) -> dict[str, pd.Timestamp]:
    """The ends of the window, if the query asks for what is given."""
    given = {
        name: pd.Timestamp(moment(value, name), unit="us", tz="UTC")
        for name, value in (("start", start), ("end", end))
        if value is not None
    }
    for name in given:
        if name not in parameters(query):
            remedy = f"write where ts {'>=' if name == 'start' else '<'} :{name}, or leave {name}= out"
            raise ContractError(
                file=label, expected=f"a query that names :{name}", got="one that does not", remedy=remedy
            )
    return given


def _reading(table: pd.DataFrame, label: str, place: Source, options: Options):
    names = [str(name).strip() for name in table.columns]
    table.columns = names
    roles = find_roles(names, options, file=label)
    frame = table[roles.used]
    digest = hashlib.sha256(pd.util.hash_pandas_object(frame.astype("str"), index=False).to_numpy().tobytes())
    facts = {"sha256": digest.hexdigest(), "bytes": int(frame.memory_usage(deep=True).sum())}
    return understand(frame.apply(_plain), roles, facts, place, options)


def _plain(cells: pd.Series) -> pd.Series:
    """Decimals as floats; identifiers of their own type (UUID) as text."""
    if cells.dtype != "object":
        return cells
    kind = pd.api.types.infer_dtype(cells, skipna=True)
    if kind == "decimal":
        return cells.map(lambda value: float(value) if isinstance(value, Decimal) else value).astype("float64")
    whole = cells.map(lambda value: value is None or isinstance(value, str | int | float | Decimal | bool))
    return cells if whole.all() else cells.map(lambda value: None if value is None else str(value))
