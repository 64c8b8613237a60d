"""A user's own data as a dataset: each table through its reader, all of them under one policy of privacy."""

from __future__ import annotations

__all__ = ["FILES"]

import dataclasses
import hashlib
import inspect
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException

from stability import records
from stability.datasets.sources import Dataset
from stability.records.checks import known_entities
from stability.records.feedback import protected
from stability.records.privacy import apply_policy, cutoff, erasures, policy_of
from stability.schema import TABLES, ContractError, home, nearest, validate
from stability.telemetry import read
from stability.telemetry.cells import to_utc
from stability.telemetry.database import placed
from stability.telemetry.options import Options
from stability.telemetry.sources import PARQUET, Source, locate
from stability.telemetry.sql import query_table
from stability.telemetry.streams import fetch
from stability.telemetry.tables import read_cells

CHUNK = 1 << 20  # bytes read at a time while a file is hashed
#: Who reads what; a ticket becomes a fault.
READERS = {
    "faults": records.read_faults,
    "tickets": records.read_faults,
    "windows": records.read_windows,
    "topology": records.read_topology,
    "logs": records.read_logs,
    "states": records.read_states,
    "feedback": records.read_feedback,
}
TABULAR = (".csv", ".tsv", ".parquet", ".pq")  # suffixes of files that hold a table of the contract itself
MEMBERS = ("faults", "tickets", "feedback")  # readers that compare their entities with those of telemetry
TIMELESS = ("topology",)


def load(
    path: str | Iterable[str] = (),
    faults: str | Mapping | None = None,
    tickets: Mapping | None = None,
    windows: str | Mapping | None = None,
    topology: str | Mapping | None = None,
    logs: str | Mapping | None = None,
    states: str | Mapping | None = None,
    feedback: str | Mapping | None = None,
    reader: Mapping | None = None,
    privacy: Mapping | None = None,
) -> dict[str, pd.DataFrame]:
    """Load a user's own files.

    Parameters
    ----------
    path : str or list of str
        Telemetry: files, globs or URLs, relative to the workbench's folder.
    faults, windows, topology, logs, states, feedback : str or mapping, optional
        The path of a CSV or Parquet file with the columns of the contract, or of a file of another kind (a log, JSON,
        a compose file), or a mapping with `path` (or `sql`, a database's address, and `query`) and the options of
        `records.read_faults`, `read_windows`, `read_topology`, `read_logs`, `read_states`, `read_feedback`. Stamps
        without an offset are in the reader's `timezone`, and refused where it has none.
    tickets : mapping, optional
        As `faults`, with a `layout`; its records stand in the table of faults too.
    reader : mapping, optional
        Options of `telemetry.read`: layout, entity, timestamp, columns, scale, timezone, ...
    privacy : mapping, optional
        `pseudonyms`, `allow`, `scrub`, `retain`: see `stability.records.privacy.policy.Policy`.

    Returns
    -------
    dict
        `telemetry`, and each other table that was given.

    Raises
    ------
    ContractError
        As `telemetry.read`, the readers of `records`, and `schema.validate`.
    """
    given = {"faults": faults, "tickets": tickets, "windows": windows, "topology": topology}
    given |= {"logs": logs, "states": states, "feedback": feedback}
    options = _reader(reader or {})
    return beside(lambda: read(_telemetry(path), **options), given, options.get("timezone"), privacy)


def beside(
    telemetry: Callable[[], pd.DataFrame],
    given: Mapping[str, str | Mapping | None],
    timezone: str | None = None,
    privacy: Mapping | None = None,
    ready: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, pd.DataFrame]:
    """Put the other tables beside telemetry, whatever that is read from.

    Parameters
    ----------
    telemetry : callable
        Reads it; called after everything else has been looked at.
    given : mapping of str to str or mapping
        Where each other table is and how to read it, as for :func:`load`.
    timezone : str, optional
        Of stamps without an offset.
    privacy : mapping, optional
        As for :func:`load`.
    ready : mapping of str to DataFrame, optional
        Tables that have been read already.

    Returns
    -------
    dict
        `telemetry`, and each other table that was given.

    Raises
    ------
    ContractError
        As :func:`load`.
    """
    policy = policy_of(privacy)
    sources = {name: _source(name, given[name], timezone) for name in READERS if given.get(name)}
    tables = {"telemetry": telemetry(), **(ready or {})}
    entities = tables["telemetry"].index.unique("entity")
    for name, (place, how) in sources.items():
        if isinstance(given[name], str) and _is_tabular(given[name]):
            table = _as_it_is(place[0], name, timezone, entities)
        else:
            table = READERS[name](place, **how, **({"entities": entities} if name in MEMBERS else {}))
        kept = "faults" if name == "tickets" else name
        tables[kept] = _joined(tables[kept], table) if kept in tables else table
    return apply_policy(tables, policy)[0] if privacy else tables


def _is_tabular(path: str) -> bool:
    return path.lower().removesuffix(".gz").endswith(TABULAR)


def _as_it_is(path: str, name: str, timezone: str | None, entities: pd.Index) -> pd.DataFrame:
    """Read a table that has the contract's columns; users become pseudonyms, strangers among the faults are refused."""
    table = _table(path, name, timezone)
    if name == "faults":
        known_entities(table.reset_index(), entities, "error", path)
    return validate(protected(table), name) if name == "feedback" else table


def _joined(faults: pd.DataFrame, tickets: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([faults.reset_index(), tickets.reset_index()], ignore_index=True)
    return validate(both, "faults", source="faults and tickets")


def _source(name: str, given: str | Mapping, timezone: str | None) -> tuple[str | list[str], dict]:
    """Take apart what a user wrote of one table: where it is, and the options of its reader."""
    if name == "tickets" and not isinstance(given, Mapping):
        expected, remedy = "their path and layout", "tickets: {path: my/jira.csv, layout: jira}"
        raise ContractError("dataset 'files'", column=name, expected=expected, got=repr(given), remedy=remedy)
    how = dict(given) if isinstance(given, Mapping) else {"path": given}
    places = [how.pop(key, None) for key in ("path", "sql")]
    if (places[0] is None) == (places[1] is None):
        got = "neither" if places[0] is None else "both"
        remedy = f"{name}: {{path: my/{name}.csv, ...}}"
        raise ContractError(
            "dataset 'files'", column=name, expected="either `path` or `sql` with `query`", got=got, remedy=remedy
        )
    if places[1] is not None and not how.get("query"):
        remedy = "query: select ..."
        raise ContractError("dataset 'files'", column=name, expected="the query of `sql`", got="none", remedy=remedy)
    if timezone and name not in TIMELESS:
        how.setdefault("timezone", timezone)
    if places[1] is not None:
        return placed(str(places[1]), home()), how  # a relative file of SQLite, too, starts there
    several = isinstance(given, Mapping) and isinstance(places[0], list | tuple)
    return [_near(p, name) for p in (places[0] if several else [places[0]])], how


def _reader(options: Mapping) -> dict:
    known = [name for name in inspect.signature(read).parameters if name != "source"]
    if not isinstance(options, Mapping):
        remedy = "reader: {timestamp: time, timezone: UTC}"
        raise ContractError(column="reader", expected="options by name", got=repr(options), remedy=remedy)
    for name in options:
        if name not in known:
            expected = "an option of telemetry.read in 'reader'"
            raise ContractError(expected=expected, got=repr(name), remedy=nearest(str(name), known))
    read_as = {field.name for field in dataclasses.fields(Options)}
    Options(**{name: value for name, value in options.items() if name in read_as})
    return dict(options)


def _telemetry(path: str | Iterable[str]) -> list[str]:
    paths = list(path) if isinstance(path, list | tuple) else [path]
    if not paths:
        raise ContractError(
            "dataset 'files'",
            column="path",
            expected="the files to read",
            got="none",
            remedy="options: {path: my/*.csv}",
        )
    return [_near(p, "path") for p in paths]


def _near(path: str, option: str) -> str:
    """A relative path starts at the workbench's folder: a notebook and a night must mean the same file."""
    if not isinstance(path, str) or not path:
        raise ContractError(column=option, expected="a path or URL", got=repr(path), remedy=f"{option}: my/file.csv")
    return path if "://" in path or Path(path).expanduser().is_absolute() else str(home() / path)


def _table(path: str, name: str, timezone: str | None) -> pd.DataFrame:
    """Read one file of a table, near or far, CSV or Parquet with the contract's own columns."""
    sources = locate(path)
    if len(sources) > 1:
        raise ContractError(file=path, expected=f"one file with the table '{name}'", got=f"{len(sources)} of them")
    content = fetch(sources[0])
    try:
        if content.startswith(PARQUET):
            return validate(pd.read_parquet(io.BytesIO(content)), name, source=path)
        frame = read_cells(content, path)
    except (ArrowException, OSError, pd.errors.ParserError) as error:
        expected, got = f"a whole table of '{name}'", str(error).splitlines()[0]
        raise ContractError(file=path, expected=expected, got=got, remedy="write or fetch it again") from error
    for column, declared in TABLES[name].columns.items():
        if column in frame and isinstance(declared.dtype.type, pd.DatetimeTZDtype) and frame[column].notna().any():
            known = frame[column].dropna()
            moments, _, _ = to_utc(known, file=path, column=column, timezone=timezone)
            frame[column] = pd.Series(moments, index=known.index).reindex(frame.index)
    return validate(frame, name, source=path)


def digests(**options) -> dict[str, str]:
    """Sha256 of every file and every query's rows that `load` would read, and what else decides what it gives."""
    storage = _reader(options.get("reader") or {}).get("storage") or {}
    found = [source for path in _telemetry(options.get("path", ())) for source in locate(path, **storage)]
    return others(found, **options)


def others(found: list[Source], **options) -> dict[str, str]:
    """The same of the tables beside telemetry alone, and of the files that were found already."""
    queries = {}
    policy = policy_of(options.get("privacy"))
    for name in (n for n in READERS if options.get(n)):
        place, how = _source(name, options[name], None)
        if "query" in how:
            queries[f"{name} of a database"] = _rows_sha256(place, how)
        else:
            found += locate(place, **(how.get("storage") or {}))
    root = f"{home()}/"  # the same files in another checkout are the same data
    sums = {file.path.removeprefix(root): _sha256(file) for file in found} | queries
    days = {name: cutoff(policy, name) for name in ("telemetry", *READERS)}
    sums |= {f"{name} from": day.isoformat() for name, day in days.items() if day is not None}
    if policy.pseudonyms or options.get("feedback"):
        sums["erasures"] = str(len(erasures()))  # a subject that comes back has another pseudonym
    return sums


def _rows_sha256(address: str, how: Mapping) -> str:
    rows = query_table(address, how["query"], how.get("params"), timezone=how.get("timezone") or "UTC")
    return hashlib.sha256(rows.to_csv().encode()).hexdigest()


def _sha256(file) -> str:
    digest = hashlib.sha256()
    with file.system.open(file.path, "rb") as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _fetch() -> Path:
    raise ContractError(
        "dataset 'files' is a user's own: there is nothing to fetch", remedy="name your files in a spec"
    )


FILES = Dataset(
    name="files",
    description="your own data, near or far: options {path: ..., logs: ..., faults: ..., reader: {...}}",
    licence="yours",
    citation="",
    labels="what you give",
    origin="you",
    load=load,
    files=None,
    digests=digests,
    fetch=_fetch,
)
