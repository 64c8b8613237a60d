"""A database that can only be read: its address, its credentials, a connection, and what its refusals mean."""

from __future__ import annotations

__all__ = [
    "PASSWORD",
    "TIMEOUT",
    "USER",
    "address_of",
    "connect",
    "database_name",
    "guard",
    "label_of",
    "placed",
    "tables",
    "words",
]

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from stability.schema import ContractError, nearest
from stability.telemetry.cells import checked_zone
from stability.telemetry.confidence import PLACEHOLDER, filled

USER, PASSWORD = "STABILITY_SQL_USER", "STABILITY_SQL_PASSWORD"
TIMEOUT = 15  # s to wait for a connection, or for SQLite's writer
DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
SYSTEM = ("information_schema", "pg_catalog", "pg_toast")  # schemas that are not the user's
_SECRET = re.compile(r"(?i)pass(?!file)|pwd|secret|token|odbc_connect")  # of an address's query
# What SQLite may do for a query; everything else (attach, pragma, write) is refused while the statement is prepared.
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def label_of(url: str) -> str:
    """Name a database in messages and reports: its address without user, password and options.

    Examples
    --------
    >>> label_of("postgresql+psycopg://${DB_USER}:${DB_PASSWORD}@db.example:5432/fleet?sslmode=require")
    'postgresql://db.example:5432/fleet'
    """
    parts = _parsed(url)
    shown = URL.create(parts.get_backend_name(), host=parts.host, port=parts.port, database=parts.database)
    return shown.render_as_string(hide_password=True)


def database_name(url: str) -> str:
    """Name of the database, of SQLite's file without its folder and suffix.

    Examples
    --------
    >>> database_name("postgresql://db.example/fleet"), database_name("sqlite:////srv/web-1.db")
    ('fleet', 'web-1')
    """
    parts = _parsed(url)
    name = parts.database or parts.host or parts.get_backend_name()
    return Path(name).stem if parts.get_backend_name() == "sqlite" else name


def placed(url: str, folder: str | os.PathLike) -> str:
    """Let the relative path of an SQLite address begin at a folder; any other address stays as it is.

    Examples
    --------
    >>> placed("sqlite:///my/fleet.db", "/srv/workbench"), placed("postgresql://db.example/fleet", "/srv/workbench")
    ('sqlite:////srv/workbench/my/fleet.db', 'postgresql://db.example/fleet')
    """
    head, sign, path = url.partition(":///")
    if not head.startswith("sqlite") or not sign or path.startswith(("/", "~", ":memory:", "file:")):
        return url
    return f"{head}:///{Path(folder) / path}"


def _parsed(url: str) -> URL:
    expected = "a database's address: sqlite:///folder/file.db or postgresql://host:5432/database"
    try:
        parts = sa.make_url(str(url))
    except (ArgumentError, ValueError):  # the text is not repeated: it may hold a password
        raise ContractError(expected=expected, got="another text") from None
    if parts.password is not None and not PLACEHOLDER.fullmatch(parts.password):
        raise ContractError(
            expected="an address without a password, because addresses end up in logs",
            got="one that has it",
            remedy=f"put it into {PASSWORD} in the environment, or write ${{NAME}} for a variable of your own",
        )
    if any(_SECRET.search(name) for name in parts.query):
        raise ContractError(expected="an address whose options hold no secret", got="one that has it",
                            remedy=f"put it into {PASSWORD} in the environment")  # fmt: skip
    return parts.set(drivername=DRIVERS.get(parts.drivername, parts.drivername))


def address_of(url: str) -> URL:
    """The address with the environment's values in their places."""
    parts = _parsed(url)

    if parts.get_backend_name() == "sqlite":
        return parts.set(database=filled(parts.database or ""))
    return URL.create(
        parts.drivername,
        username=filled(parts.username or "") or os.environ.get(USER) or None,
        password=filled(parts.password or "") or os.environ.get(PASSWORD) or None,
        host=filled(parts.host or "") or None,
        port=parts.port,
        database=filled(parts.database or "") or None,
        query=parts.query,
    )


@contextmanager
def connect(address: URL, label: str, timezone: str) -> Iterator[sa.Connection]:
    """Open a database for reading only, with a session in `timezone`; nothing is committed."""
    checked_zone(timezone)
    options: dict = {"poolclass": sa.NullPool, "hide_parameters": True}
    name = address.get_backend_name()
    if name == "sqlite":
        path = _existing(address, label)
        options["creator"] = lambda: sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, timeout=TIMEOUT, check_same_thread=False
        )
    elif name == "postgresql":
        # Should the transaction be left, the next one of the session cannot write either.
        settings = f"-c default_transaction_read_only=on -c TimeZone={timezone}"
        options["connect_args"] = {"connect_timeout": TIMEOUT, "options": settings}
    try:
        engine = sa.create_engine(address, **options)
    except NoSuchModuleError:
        known = "sqlite, postgresql, or any other that an installed package teaches SQLAlchemy"
        raise ContractError(file=label, expected=f"a kind of database: {known}", got=repr(address.drivername)) from None
    except ModuleNotFoundError as error:
        remedy = f"pip install {error.name}, or another driver: {name}+<driver>://..."
        raise ContractError(file=label, expected=f"an installed driver for {address.drivername!r}",
                            got=f"no module {error.name!r}", remedy=remedy) from None  # fmt: skip
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise ContractError(
            file=label, expected="an address that the driver takes", got=words(error, address)
        ) from None
    try:
        connection = engine.connect()
    except SQLAlchemyError as error:
        raise _unreachable(error, address, label) from None
    with closing(connection):
        yield connection.execution_options(postgresql_readonly=True) if name == "postgresql" else connection


def _existing(address: URL, label: str) -> Path:
    """The file of an SQLite address, which SQLite would make where there is none."""
    if not address.database or address.database == ":memory:":
        raise ContractError(file=label, expected="sqlite:///folder/file.db", got="an address without a file")
    path = Path(address.database.removeprefix("file:")).expanduser()
    if not path.is_file():
        folder = path.parent
        names = [item.name for item in folder.iterdir()] if folder.is_dir() else None
        remedy = f"check the path; there is no folder '{folder}'" if names is None else (
            f"check the path (sqlite:///relative, sqlite:////absolute); in '{folder}': {nearest(path.name, names)}"
        )  # fmt: skip
        raise ContractError(
            file=label, expected="a database file", got="a folder" if path.is_dir() else "none", remedy=remedy
        )
    return path.absolute()


def guard(connection: sa.Connection) -> None:
    """Let SQLite read and nothing else: ``mode=ro`` alone would let a query attach, and make, another file."""
    if connection.dialect.name == "sqlite":
        connection.connection.driver_connection.set_authorizer(_authorize)


def _authorize(action: int, *_) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _unreachable(error: Exception, address: URL, label: str) -> Exception:
    """What a connection's failure means: a server that does not answer, or one that refuses."""
    said = words(error, address)
    if re.search(r"(?i)FATAL|authentication|password|access denied", said):
        missing = re.search(r"(?i)does not exist|unknown database", said) and not re.search(r"(?i)role|user", said)
        remedy = (
            "check the name of the database at the end of the address"
            if missing
            else f"set {USER} and {PASSWORD} in the environment, or the variables that the address names"
        )
        return ContractError(file=label, expected="a database that lets us in", got=said, remedy=remedy)
    if address.get_backend_name() == "sqlite":
        return ContractError(file=label, expected="an SQLite database that can be read", got=said)
    return ConnectionError(f"{label}: no answer: {said}. Is the server up, and its address right?")


def tables(connection: sa.Connection) -> list[str]:
    """Names of the tables and views that there are, with their schema where it is not the usual one."""
    try:
        connection.rollback()
        if connection.dialect.name == "sqlite":
            connection.connection.driver_connection.set_authorizer(None)
        found = sa.inspect(connection)
        usual, names = found.default_schema_name, []
        for schema in found.get_schema_names():
            if schema not in SYSTEM:
                inside = [*found.get_table_names(schema), *found.get_view_names(schema)]
                names += inside if schema in (usual, "main") else [f"{schema}.{name}" for name in inside]
    except SQLAlchemyError:  # the list is a courtesy
        return []
    return names


def words(error: Exception, address: URL) -> str:
    """The database's own words in one line, without what the environment said in confidence."""
    said = " ".join(str(getattr(error, "orig", None) or error).split()).rstrip(".")
    for secret in filter(None, (address.password, address.username)):
        said = re.sub(rf"(?<!\w){re.escape(str(secret))}(?!\w)", "***", said)
    return said
