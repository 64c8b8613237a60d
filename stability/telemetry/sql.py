"""One query to a database: its parameters bound, its rows fetched in parts and typed."""

from __future__ import annotations

__all__ = ["query_table", "read_chunks"]

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from stability.schema import ContractError, nearest
from stability.telemetry.database import address_of, connect, guard, label_of, tables, words
from stability.telemetry.statements import bindable, checked_query, parameters

CHUNK = 50_000  # rows of one fetch: some MB, so that a slow line moves the bar and a long table does not fill memory
_MISSING_TABLE = re.compile(r"(?i)no such table|undefinedtable|relation .* does not exist|doesn't exist|invalid object")


def query_table(
    url: str,
    query: str,
    params: Mapping[str, object] | None = None,
    *,
    timezone: str = "UTC",
    progress: bool = False,
) -> pd.DataFrame:
    """Fetch the rows of one reading query, typed as the database gives them and otherwise as they are.

    Parameters
    ----------
    url : str
        SQLAlchemy's address, ``sqlite:///folder/file.db`` or ``postgresql://host:5432/database``. It holds no
        password: ``${NAME}`` stands for the environment's variable NAME (``postgresql://${DB_USER}:${DB_PASSWORD}@host/db``),
        and where it names no user or no password, those of STABILITY_SQL_USER and STABILITY_SQL_PASSWORD are taken.
    query : str
        One statement that begins with SELECT, WITH, VALUES or TABLE. ``:name`` is a parameter.
    params : mapping of str to object, optional
        Value of each parameter that the query names, no more and no fewer; bound, never written into the text.
        Moments are Timestamps with a zone. PostgreSQL compares them as such; SQLite has no moments, and gets the text
        that its own `datetime()` would write in `timezone`, ``2026-01-01 00:00:00``, and a fraction where there is one.
    timezone : str
        IANA zone of the session: that in which PostgreSQL understands a TIMESTAMP WITHOUT TIME ZONE that is compared
        with a moment, and in which SQLite gets its moments as text.
    progress : bool
        Show how many rows have come, if the standard error is a terminal.

    Returns
    -------
    DataFrame
        A row a row, index from 0, columns as the query names them; no row is an empty frame with its columns.
        Whole numbers are int64 (Int64 with gaps), floating ones float64, yes-or-no bool (boolean with gaps), text str,
        moments datetime64[us] with a zone where they have one, intervals timedelta64; anything else (Decimal, dates,
        JSON, UUID, columns of several types) stays the objects that the driver made. Missing is NaN, NaT, NA or None.

    Raises
    ------
    ContractError
        With the address without its credentials: an unknown driver, a password in the address, a variable that is not
        set, a missing file (none is made) or database, refused credentials, a query that does not read or that the
        database does not take (with its own words, and the tables that there are), parameters that do not fit.
    ConnectionError
        The server does not answer.

    Notes
    -----
    The database cannot be changed: PostgreSQL runs the query in a transaction that is READ ONLY, in a session whose
    transactions are so by default; SQLite opens the file with ``mode=ro`` and refuses all but reading while it
    prepares the statement; others get one statement that begins as above, and no commit.
    """
    return _whole(list(read_chunks(url, query, params, timezone=timezone, progress=progress)))


def read_chunks(
    url: str,
    query: str,
    params: Mapping[str, object] | None = None,
    *,
    timezone: str = "UTC",
    progress: bool = False,
    chunk: int = CHUNK,
) -> Iterator[pd.DataFrame]:
    """Fetch the rows of one reading query a part at a time; at least one part, which may be empty.

    Parameters
    ----------
    url, query, params, timezone, progress
        As for `query_table`.
    chunk : int
        Rows of a part, and of one fetch from the server.

    Yields
    ------
    DataFrame
        As `query_table`, whose dtypes may differ between the parts of one column; index from 0 over all parts.

    Raises
    ------
    ContractError, ConnectionError
        As `query_table`.
    """
    label, address = label_of(url), address_of(url)
    statement, values = checked_query(query, file=label), _values(query, params or {}, label)
    if address.get_backend_name() == "sqlite":
        values = {name: _as_sqlite(value, timezone) for name, value in values.items()}
    with _bar(label, progress) as advance, connect(address, label, timezone) as connection:
        with _told(connection, label, address):
            guard(connection)
            rows = connection.execution_options(stream_results=True, max_row_buffer=chunk).execute(
                sa.text(bindable(statement)), values
            )
            names, begin = list(rows.keys()), 0
        _refuse_twice(names, label)
        while True:
            with _told(connection, label, address):
                part = rows.fetchmany(chunk)
            if not part and begin:
                return
            columns = zip(*part, strict=True) if part else [()] * len(names)
            index = pd.RangeIndex(begin, begin + len(part))
            series = [_typed(pd.Series(list(cells), index=index, dtype="object")) for cells in columns]
            frame = pd.concat(series, axis=1) if series else pd.DataFrame(index=index)
            yield frame.set_axis(names, axis=1)
            begin += len(part)
            advance(len(part))
            if len(part) < chunk:
                return


def _values(query: str, params: Mapping[str, object], label: str) -> dict[str, object]:
    """The parameters, if they are those that the query names."""
    named = parameters(query)
    for name in sorted(named - set(params)):
        remedy = f"give its value; a colon that is none stands in quotes, or as \\:{name}"
        raise ContractError(file=label, expected=f"a value of the query's parameter :{name}", got="none", remedy=remedy)
    for name in params:
        if name not in named:
            remedy = f"name it in the query as :{name}, or leave it out; {nearest(name, named)}"
            raise ContractError(
                file=label, expected="values of parameters that the query names", got=repr(name), remedy=remedy
            )
    return {name: _plain(value) for name, value in params.items()}


def _plain(value: object) -> object:
    """A value as drivers know it: numpy's scalars and pandas' stamps as Python's own."""
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime(warn=False)
    return value.item() if hasattr(value, "item") else value


def _as_sqlite(value: object, timezone: str) -> object:
    """Moments as the text that SQLite's own functions write, in the zone of the session."""
    if not isinstance(value, datetime):
        return value
    stamp = pd.Timestamp(value)
    local = stamp if stamp.tzinfo is None else stamp.tz_convert(timezone).tz_localize(None)
    return local.isoformat(sep=" ")


@contextmanager
def _told(connection: sa.Connection, label: str, address: URL) -> Iterator[None]:
    """Say in the database's words what it did not like, and which tables it has."""
    try:
        yield
    except (SQLAlchemyError, UnicodeDecodeError) as error:
        said = words(error, address)
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise ConnectionError(f"{label}: the connection was lost: {said}.") from None
        remedy = "mend the query"
        if "not authorized" in said or "read-only" in said or "readonly" in said:
            remedy = "the database is opened for reading only"
        elif "file is not a database" in said:
            remedy = "name an SQLite file; one that is encrypted cannot be read"
        elif _MISSING_TABLE.search(f"{type(getattr(error, 'orig', None)).__name__}: {said}"):
            wanted = re.search(r"""(?:table:? |relation )["']?([\w.]+)""", said)
            remedy = f"of tables, {nearest(wanted[1] if wanted else '', tables(connection))}"
        raise ContractError(file=label, expected="a query that the database answers", got=said, remedy=remedy) from None


def _refuse_twice(names: list[str], label: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ContractError(file=label, column=name, expected="each column once", got=f"{names.count(name)} of it",
                                remedy="give one another name in the query: AS")  # fmt: skip


def _typed(cells: pd.Series) -> pd.Series:
    """Give a column of objects the dtype that all its values share, None meaning missing."""
    kind = pd.api.types.infer_dtype(cells, skipna=True)
    gaps = bool(cells.isna().any())
    if kind == "integer":
        try:
            return cells.astype("Int64" if gaps else "int64")
        except OverflowError:
            return cells
    types = {"floating": "float64", "boolean": "boolean" if gaps else "bool", "string": "str"}
    if kind in types:
        return cells.astype(types[kind])
    return cells.infer_objects() if kind in ("datetime", "timedelta") else cells


def _whole(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Put parts together; a column whose parts have several dtypes gets the one that fits all its values."""
    if len(parts) == 1:
        return parts[0]
    whole = {}
    for name in parts[0]:
        cells = [part[name] for part in parts]
        alike = len({part.dtype for part in cells}) == 1
        one = pd.concat(cells if alike else [part.astype("object") for part in cells])
        whole[name] = one if alike and one.dtype != "object" else _typed(one.where(one.notna(), None))
    return pd.DataFrame(whole)


@contextmanager
def _bar(label: str, progress: bool) -> Iterator[Callable[[int], object]]:
    """Show how many rows have come; nobody knows how many there will be."""
    if not (progress and sys.stderr.isatty()):
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,} rows of {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda count: bar.advance(task, count)
