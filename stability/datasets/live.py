"""Sources that move, beside a user's files: a Prometheus and a database, read for a stretch of time."""

from __future__ import annotations

__all__ = ["PROMETHEUS", "SQL", "reach_database", "reach_metrics"]

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from stability.datasets import user
from stability.datasets.sources import Dataset
from stability.schema import ContractError, empty, home, validate
from stability.telemetry import check_prometheus, read_prometheus, read_sql
from stability.telemetry.cells import to_utc
from stability.telemetry.database import label_of, placed
from stability.telemetry.sql import query_table, read_chunks
from stability.telemetry.statements import READING, parameters

TICK = pd.Timedelta("1us")
RETRIES = 1  # of a look before the start: a person waits for it
QUERY = re.compile(rf"\s*(?:{'|'.join(READING)})\b", re.I)


def read_metrics(
    url: str,
    queries: Mapping[str, str] | Sequence[str] | str,
    step: str | float,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    entity: str = "{job}/{instance}",
    dimensions: Sequence[str] = (),
    infinite: str = "error",
    timeout: float = 30.0,
    retries: int = 4,
    privacy: Mapping | None = None,
    **given: str | Mapping | None,
) -> dict[str, pd.DataFrame]:
    """Load what a Prometheus, or whatever speaks its API, knows of a stretch of time.

    Parameters
    ----------
    url, queries, step, entity, dimensions, infinite, timeout, retries
        As for `telemetry.read_prometheus`; credentials come from the environment alone.
    start, end : str or Timestamp
        First moment, inclusive, and last, exclusive, with their zone.
    privacy, **given
        Tables beside it (faults, tickets, ...) and their privacy, as for the dataset `files`.

    Returns
    -------
    dict
        `telemetry`, and each other table that was given.

    Raises
    ------
    ContractError
        As `telemetry.read_prometheus`, and when the server does not answer.
    """
    _refuse_types(timeout=timeout, retries=retries)
    options = {"entity": entity, "dimensions": dimensions, "infinite": infinite, "timeout": timeout, "retries": retries}
    last = pd.Timestamp(end) - TICK
    with _answering():
        return user.beside(lambda: read_prometheus(url, queries, start, last, step, **options), given, privacy=privacy)


def reach_metrics(
    url: str,
    queries: Mapping[str, str] | Sequence[str] | str,
    step: str | float,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    timeout: float = 30.0,
    retries: int = 4,
    **options,
) -> None:
    """Ask the server for one moment of every query: whether it is there, lets us in and takes the PromQL.

    Raises
    ------
    ContractError
        As :func:`read_metrics`; that nothing was found at this one moment is no error.
    """
    _refuse_types(timeout=timeout, retries=retries)
    beside = {name: options.pop(name) for name in (*user.READERS, "privacy") if name in options}
    user.others([], **beside)
    options |= {"timeout": timeout, "retries": min(retries, RETRIES)}
    with _answering():
        check_prometheus(url, queries, start, pd.Timestamp(end) - TICK, step, **options)


def read_database(
    url: str,
    telemetry: str,
    reader: Mapping | None = None,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    privacy: Mapping | None = None,
    **given: str | Mapping | None,
) -> dict[str, pd.DataFrame]:
    """Load what a database says.

    Parameters
    ----------
    url : str
        As for `telemetry.read_sql`, without a password; a relative file of SQLite starts at the workbench's folder.
    telemetry : str
        The query of the panel. `:start` and `:end` stand for the ends of the window: `t >= :start and t < :end`.
    reader : mapping, optional
        Options of `telemetry.read_sql`: timestamp, entity, columns, scale, timezone, ...
    start, end : Timestamp, optional
        The ends of the window, for the queries that name them.
    privacy : mapping, optional
        As for the dataset `files`.
    **given : str or mapping
        A table beside it (faults, tickets, ...): a query of the same database, or a mapping with `query` and the
        options of its reader, or anything that the dataset `files` takes. A query of `logs` has the columns of the
        contract.

    Returns
    -------
    dict
        `telemetry`, and each other table that was given; without a row in the window it is empty.

    Raises
    ------
    ContractError
        As `telemetry.read_sql` and the readers, and when the server does not answer.
    """
    address, options = _place(url), _reader(reader)
    zone, period = options.get("timezone"), {"start": start, "end": end}
    params = _named(telemetry, period, "telemetry")
    with _answering():
        asked = {name: _asked(name, place, address, period) for name, place in given.items() if place}
        queried = [name for name, place in asked.items() if isinstance(place, Mapping) and "sql" in place]
        ready = {n: empty("faults" if n == "tickets" else n) for n in queried if _is_empty(asked[n], zone)}
        if "logs" in queried and "logs" not in ready:
            ready["logs"] = _lines(asked["logs"], zone)
        others = {name: place for name, place in asked.items() if name not in ready}
        ready = {"faults" if name == "tickets" else name: table for name, table in ready.items()}
        return user.beside(lambda: read_sql(address, telemetry, **params, **options), others, zone, privacy, ready)


def reach_database(url: str, telemetry: str, reader: Mapping | None = None, start=None, end=None, **options) -> None:
    """Ask the database for one row of every query: whether it is there, lets us in and takes them.

    Raises
    ------
    ContractError
        As :func:`read_database`; that there is no row is no error.
    """
    address, zone, period = _place(url), _reader(reader).get("timezone"), {"start": start, "end": end}
    params = _named(telemetry, period, "telemetry")
    with _answering():
        next(read_chunks(address, telemetry, params, timezone=zone or "UTC", chunk=1))
        others = {n: _asked(n, options.pop(n), address, period) for n in user.READERS if options.get(n)}
        for name in [n for n, place in others.items() if isinstance(place, Mapping) and "sql" in place]:
            _is_empty(others.pop(name), zone)
        user.others([], **others, **options)


def _place(url: str) -> str:
    if not isinstance(url, str):
        raise ContractError(column="url", expected="the address of a database", got=repr(url))
    label_of(url)  # refuses what is none, and a password
    return placed(url, home())


def _reader(reader: Mapping | None) -> dict:
    if not isinstance(reader or {}, Mapping):
        raise ContractError(column="reader", expected="options of telemetry.read_sql by name", got=repr(reader))
    return dict(reader or {})


def _named(query: str, period: Mapping[str, pd.Timestamp | None], name: str) -> dict[str, pd.Timestamp]:
    """The ends of the window that a query names."""
    if not isinstance(query, str):
        raise ContractError(column=name, expected="a query", got=repr(query), remedy=f"{name}: select ...")
    named = [end for end in period if end in parameters(query)]
    for end in named:
        if period[end] is None:
            raise ContractError(column=name, expected=f"a window, because the query names :{end}", got="none")
    return {end: period[end] for end in named}


def _asked(name: str, place: str | Mapping, address: str, period: Mapping) -> str | Mapping:
    """What was written of a table: a query of the same database becomes one that `user` understands."""
    if isinstance(place, str) and QUERY.match(place):
        place = {"query": place}
    if not isinstance(place, Mapping) or "query" not in place or "path" in place:
        return place
    params = {**(place.get("params") or {}), **_named(place["query"], period, name)}
    return {"sql": address, **place, "params": params}


def _is_empty(place: Mapping, zone: str | None) -> bool:
    zone = place.get("timezone") or zone or "UTC"
    return next(read_chunks(place["sql"], place["query"], place["params"], timezone=zone, chunk=1)).empty


def _lines(place: Mapping, zone: str | None) -> pd.DataFrame:
    """Log lines of a database, in the columns of the contract."""
    zone, label = place.get("timezone") or zone, label_of(place["sql"])
    frame = query_table(place["sql"], place["query"], place["params"], timezone=zone or "UTC")
    if "timestamp" in frame:
        moments, _, _ = to_utc(frame["timestamp"], file=label, timezone=zone)
        frame["timestamp"] = pd.Series(moments, index=frame.index)
    for column in ("level", "message"):
        frame[column] = frame[column].astype("str") if column in frame else None
    return validate(frame, "logs", source=label)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:
        raise ContractError(str(error)) from error


def _refuse_types(**numbers: object) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ContractError(column=name, expected="a number, not below zero", got=repr(value))


def _nothing() -> Path:
    raise ContractError("a live source is read when a run starts: there is nothing to fetch")


def _moves(**options) -> dict[str, str]:
    raise ContractError("what a live source says changes: only a snapshot of it has a checksum")


def _source(name: str, description: str, load) -> Dataset:
    return Dataset(name, description, "yours", "", "what you give", "you", load, None, _moves, _nothing)


PROMETHEUS = _source(
    "prometheus",
    "a Prometheus, or what speaks its API: options {url: ..., queries: {metric: PromQL}, step: 1min}",
    read_metrics,
)
SQL = _source("sql", "a database: options {url: ..., telemetry: select ... where t >= :start and ...}", read_database)
