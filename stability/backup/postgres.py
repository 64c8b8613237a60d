"""A store in PostgreSQL: dumped and counted in one snapshot, restored in one transaction, drilled beside itself.

`pg_dump` and `pg_restore` are the server's own programs. Passwords reach them through the environment alone.
"""

from __future__ import annotations

__all__ = ["counts", "dump", "is_empty", "restore", "scratch"]

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from stability.schema import ContractError, redact

PACKAGE = "Debian: apt-get install postgresql-client; its version must not be older than the server's"
MOST = 300  # characters of what a program says
_TABLES = """
select schemaname, tablename from pg_tables
where schemaname not in ('pg_catalog', 'information_schema') and schemaname not like 'pg_t%' order by 1, 2
"""


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ContractError(
            expected=f"PostgreSQL's program {name} on PATH, as the store is in PostgreSQL", got="none", remedy=PACKAGE
        )
    return found


def _plain(uri: str) -> tuple[str, dict[str, str]]:
    """The address without a password, as libpq reads it, and the environment that holds the password."""
    address = make_url(uri)
    password = address.password or address.query.get("password")
    query = {key: value for key, value in address.query.items() if key != "password"}
    bare = URL.create(
        "postgresql", address.username, None, address.host, address.port, address.database or "", query=query
    )
    secret = {"PGPASSWORD": str(password)} if password else {}
    return bare.render_as_string(hide_password=False), secret


def _connect(uri: str, **options: object) -> psycopg.Connection:
    bare, secret = _plain(uri)
    try:
        return psycopg.connect(bare, password=secret.get("PGPASSWORD"), **options)
    except psycopg.Error as error:
        raise ContractError(
            file=redact(uri), expected="a PostgreSQL server that answers", got=str(error).splitlines()[0]
        ) from error


def _run(program: str, *arguments: str, environment: Mapping[str, str], uri: str) -> None:
    command = [_program(program), *arguments, "--no-password"]
    done = subprocess.run(
        command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        said = redact(" ".join(done.stderr.decode(errors="replace").split()))[:MOST]
        raise ContractError(
            file=redact(uri), expected=f"{program} to end well", got=f"exit {done.returncode}: {said}", remedy=PACKAGE
        )


def _counted(connection: psycopg.Connection) -> dict[str, int]:
    found = {}
    for schema, table in connection.execute(_TABLES).fetchall():
        name = sql.Identifier(schema, table)
        query = sql.SQL("select count(*) from {}").format(name)
        found[table if schema == "public" else f"{schema}.{table}"] = connection.execute(query).fetchone()[0]
    return found


def counts(uri: str) -> dict[str, int]:
    """Count the rows of each table, in one snapshot."""
    with _connect(uri) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return _counted(connection)


def dump(uri: str, target: Path) -> dict[str, int]:
    """Dump a database as it is at one moment, while others write to it.

    Parameters
    ----------
    uri : str
        SQLAlchemy's address.
    target : path
        The file, in pg_dump's own compressed form.

    Returns
    -------
    dict of str to int
        Rows of each table in that same moment.

    Raises
    ------
    ContractError
        Without `pg_dump`, without an answer, or when the dump fails.
    """
    _program("pg_dump")
    bare, secret = _plain(uri)
    with _connect(uri) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        (snapshot,) = connection.execute("select pg_export_snapshot()").fetchone()
        options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={target}"]
        _run("pg_dump", *options, f"--dbname={bare}", environment=secret, uri=uri)
        return _counted(connection)


def is_empty(uri: str) -> bool:
    """Whether a database has no tables."""
    with _connect(uri) as connection:
        return not connection.execute(_TABLES).fetchall()


def restore(uri: str, source: Path, *, replace: bool = False) -> None:
    """Restore a dump in one transaction: all of it, or the database is as it was.

    Parameters
    ----------
    uri : str
        SQLAlchemy's address.
    source : path
        What `dump` wrote.
    replace : bool
        Whether the tables that are there go first.

    Raises
    ------
    ContractError
        When the database has tables and nobody said that they may go, without `pg_restore`, or when it fails.
    """
    if not replace and not is_empty(uri):
        raise ContractError(
            file=redact(uri),
            expected="a database without tables",
            got="one that has some",
            remedy="name an empty one with MLFLOW_TRACKING_URI, or give --replace",
        )
    bare, secret = _plain(uri)
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    options += ["--clean", "--if-exists"] if replace else []
    _run("pg_restore", *options, f"--dbname={bare}", str(source), environment=secret, uri=uri)


@contextlib.contextmanager
def scratch(uri: str) -> Iterator[str]:
    """Make an empty database beside one, give its address, and drop it at the end.

    Raises
    ------
    ContractError
        When the account may not make databases.
    """
    name = f"stability_drill_{secrets.token_hex(4)}"
    with _connect(uri, autocommit=True) as connection:
        for (left,) in connection.execute(
            # Of a drill that was killed: nobody is connected to it any more.
            "select datname from pg_database d where datname ~ '^stability_drill_[0-9a-f]{8}$' "
            "and pg_get_userbyid(datdba) = current_user "
            "and not exists (select from pg_stat_activity a where a.datid = d.oid)"
        ).fetchall():
            with contextlib.suppress(psycopg.Error):
                connection.execute(sql.SQL("drop database {}").format(sql.Identifier(left)))
        try:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        except psycopg.Error as error:
            raise ContractError(
                file=redact(uri),
                expected="an account that may make a scratch database",
                got=str(error).splitlines()[0],
                remedy="alter role ... createdb, or drill where it may",
            ) from error
    try:
        yield make_url(uri).set(database=name).render_as_string(hide_password=False)
    finally:
        with _connect(uri, autocommit=True) as connection:
            drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            connection.execute(drop)
