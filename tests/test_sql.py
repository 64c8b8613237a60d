"""Queries to real databases: SQLite files and a PostgreSQL server, rows typed, nothing changed, no secret told."""

import datetime as dt
import json
import sqlite3
import traceback
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import psycopg
import pytest

from stability.schema import ContractError, validate
from stability.telemetry import read, read_sql, read_sql_with_report
from stability.telemetry.sql import query_table, read_chunks
from stability.telemetry.statements import bindable, checked_query, parameters

SECRET = "correct-horse"


@pytest.fixture
def sqlite_file(tmp_path):
    """A small SQLite database; returns a function that runs SQL on it and gives its address."""
    path = tmp_path / "fleet.db"

    def run(script=""):
        with sqlite3.connect(path) as connection:
            connection.executescript(script)
        connection.close()
        return f"sqlite:///{path}"

    run("create table readings (ts text, host text, cpu_ratio real)")
    run("insert into readings values ('2026-01-01T00:00:00Z', 'a', 0.5), ('2026-01-01T00:01:00Z', 'a', null)")
    return run


@pytest.fixture(scope="module")
def fleet(postgres_server):
    """A PostgreSQL database with one table of every kind of column; its address names no password."""
    address = postgres_server.create("fleet").replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("""
            create table readings (
                ts timestamptz not null, local timestamp, day date, host uuid, name text, small smallint, big bigint,
                real real, double double precision, price numeric(12, 4), ok boolean, took interval, doc jsonb,
                list int[], raw bytea, clock time);
            insert into readings values
                ('2026-01-01T00:00:00Z', '2026-07-01 00:00:00', '2026-01-01', '00000000-0000-0000-0000-000000000001',
                 'a', 1, 9007199254740993, 0.5, 0.1, 12.3400, true, '1 day 00:00:01.5', '{"a": [1]}', '{1,2}', 'ab',
                 '12:30'),
                ('2026-07-01T00:00:00+02', null, null, null, null, null, null, null, null, null, null, null, null,
                 null, null, null);
            create schema other; create table other.notes (text text); create view shown as select * from readings;
            create table series as select '2026-01-01Z'::timestamptz + n * interval '1 s' as ts, n::numeric as n
                from generate_series(0, 2499) n;
        """)
    return f"postgresql://127.0.0.1:{postgres_server.port}/fleet"


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("STABILITY_SQL_USER", "tester")
    monkeypatch.setenv("STABILITY_SQL_PASSWORD", SECRET)


# --- the text of a query --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        " (select 1) ;; ",
        "with a as (select ';' as b) select b from a -- ; drop table a",
        "values (1), (2)",
        "/* first; second */ SELECT $$;$$, \"a;b\", E'\\';'",
    ],
)
def test_one_reading_statement_passes(query):
    assert ";;" not in checked_query(query)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select 1; drop table a", "several"),
        ("select 1; select 2", "several"),
        ("select '\\'; drop table a --'", "several"),
        ("drop table a", "'DROP'"),
        ("-- nothing\n", "reads .*got none"),
        ("", "reads .*got none"),
        ("pragma journal_mode = off", "'PRAGMA'"),
        ("insert into a values (1) returning *", "'INSERT'"),
        (None, "query in SQL"),
    ],
)
def test_anything_else_is_refused(query, words):
    with pytest.raises(ContractError, match=words):
        checked_query(query)


def test_parameters_are_told_from_casts_clocks_and_quotes():
    query = "select x::text, '12:30 :no', \":no\", $$:no$$ from a where t >= :start and t < :end /* :no */ -- :no"
    assert parameters(query) == {"start", "end"}
    assert bindable("'a:b' :c --:d") == "'a\\:b' :c --\\:d"


# --- SQLite ---------------------------------------------------------------------------------------------------------


def test_sqlite_rows_as_they_are(sqlite_file):
    url = sqlite_file(
        "create table kinds (a int, b, c blob); insert into kinds values (1, 'x', x'00'), (null, 2, null);"
    )
    table = query_table(url, "select ts, host, cpu_ratio from readings order by ts")
    assert table["cpu_ratio"].dtype == "float64"
    assert table["ts"].tolist() == ["2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"]
    kinds = query_table(url, "select * from kinds")
    assert kinds["a"].dtype == "Int64"
    assert kinds["b"].tolist() == ["x", 2]
    assert kinds["c"].tolist() == [b"\0", None]


def test_colons_and_percents_in_texts_reach_the_database(sqlite_file):
    query = "select '12:30', ':start', '50%', '%(x)s', '\\:a' as e from readings where host = :host"
    assert query_table(sqlite_file(), query, {"host": "a"}).iloc[0].tolist() == [
        "12:30", ":start", "50%", "%(x)s", "\\:a"
    ]  # fmt: skip


def test_no_row_is_an_empty_frame_with_its_columns(sqlite_file):
    empty = query_table(sqlite_file(), "select ts, host from readings where host = 'none'")
    assert list(empty.columns) == ["ts", "host"]
    assert empty.empty


def test_parts_make_the_same_table(sqlite_file):
    values = ",".join(f"({n}, {n if n < 1000 else 'null'})" for n in range(1003))
    url = sqlite_file(f"create table long (n int, m int); insert into long values {values}")
    parts = list(read_chunks(url, "select n, m from long order by n", chunk=100))
    assert [len(part) for part in parts] == [100] * 10 + [3]
    assert parts[10].index.tolist() == [1000, 1001, 1002]
    whole = query_table(url, "select n, m from long order by n")
    assert whole["n"].tolist() == list(range(1003))
    assert (whole["m"].dtype, whole["m"].isna().sum()) == ("Int64", 3)


def test_sqlite_moments_are_bound_as_its_own_text(sqlite_file):
    query = "select count(*) as n from readings where datetime(ts) >= :start and datetime(ts) < :end"
    window = {"start": pd.Timestamp("2026-01-01T01:01+01:00"), "end": pd.Timestamp("2026-01-02", tz="UTC")}
    assert query_table(sqlite_file(), query, window)["n"].tolist() == [1]
    said = query_table(sqlite_file(), "select :start as s", {"start": window["start"]}, timezone="Europe/Berlin")
    assert said["s"].tolist() == ["2026-01-01 01:01:00"]


def test_values_are_bound_and_never_written_into_the_text(sqlite_file):
    url = sqlite_file()
    evil = "a' or 1=1; drop table readings; --"
    assert query_table(url, "select * from readings where host = :host", {"host": evil}).empty
    assert query_table(url, "select :n as n", {"n": np.int64(7)})["n"].tolist() == [7]


def test_sqlite_makes_and_changes_nothing(sqlite_file, tmp_path):
    url = sqlite_file()
    before = (tmp_path / "fleet.db").read_bytes()
    for query in (
        f"attach database '{tmp_path / 'new.db'}' as new",
        "with a as (select 1) insert into readings select ts, host, 1 from readings",
        "with a as (select 1) delete from readings",
        "select load_extension('evil')",
    ):
        with pytest.raises(ContractError):
            query_table(url, query)
    with pytest.raises(ContractError, match=r"did you mean 'fleet\.db'"):
        query_table(url.replace("fleet.db", "fleat.db"), "select 1")
    assert [path.name for path in tmp_path.iterdir()] == ["fleet.db"]
    assert (tmp_path / "fleet.db").read_bytes() == before


def test_a_database_under_way_is_read(sqlite_file, tmp_path):
    url = sqlite_file("pragma journal_mode = wal")
    writer = sqlite3.connect(tmp_path / "fleet.db")
    writer.execute("insert into readings values ('2026-01-01T00:02:00Z', 'b', 1)")
    assert len(query_table(url, "select * from readings")) == 2
    writer.commit()
    assert len(query_table(url, "select * from readings")) == 3
    writer.close()


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


def test_postgres_kinds(fleet):
    table = query_table(fleet, "select * from readings order by ts")
    expected = {
        "ts": "datetime64[us, UTC]",
        "local": "datetime64[us]",
        "name": "str",
        "small": "Int64",
        "big": "Int64",
        "double": "float64",
        "ok": "boolean",
        "took": "timedelta64[us]",
    }
    assert {name: str(table[name].dtype) for name in expected} == expected
    first, second = table.iloc[0], table.iloc[1]
    assert first["big"] == 9007199254740993
    assert (first["price"], first["day"], first["clock"]) == (Decimal("12.3400"), dt.date(2026, 1, 1), dt.time(12, 30))
    assert (first["host"], first["doc"], first["list"]) == (uuid.UUID(int=1), {"a": [1]}, [1, 2])
    assert first["took"] == pd.Timedelta("1 day 00:00:01.5")
    assert second["ts"] == pd.Timestamp("2026-06-30T22:00Z")
    assert second.drop("ts").isna().all()


def test_postgres_comes_in_parts_with_one_dtype(fleet):
    parts = list(read_chunks(fleet, "select * from series order by ts", chunk=1000))
    assert [len(part) for part in parts] == [1000, 1000, 500]
    whole = pd.concat(parts)
    assert whole["n"].tolist() == list(range(2500))
    assert str(whole["ts"].dtype) == "datetime64[us, UTC]"


def test_postgres_window_with_and_without_zone(fleet):
    window = {"start": pd.Timestamp("2026-01-01T00:00:10Z"), "end": pd.Timestamp("2026-01-01T00:00:20Z")}
    query = "select n from series where {} >= :start and {} < :end order by n"
    assert query_table(fleet, query.format("ts", "ts"), window)["n"].tolist() == list(range(10, 20))
    local = "(ts at time zone 'Europe/Berlin')"
    naive = query_table(fleet, query.format(local, local), window, timezone="Europe/Berlin")
    assert naive["n"].tolist() == list(range(10, 20))


@pytest.mark.parametrize(
    "query",
    [
        "with gone as (delete from readings returning *) select * from gone",
        "select nextval('counter')",
        "select * into copy from readings",
    ],
)
def test_postgres_changes_nothing(fleet, query, postgres_server):
    with psycopg.connect(postgres_server.url("fleet").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("create sequence if not exists counter")
        with pytest.raises(ContractError):
            query_table(fleet, query)
        assert connection.execute("select count(*) from readings").fetchone() == (2,)
        assert connection.execute("select to_regclass('copy')").fetchone() == (None,)


def test_the_server_itself_refuses_several_statements(fleet, monkeypatch):
    monkeypatch.setattr("stability.telemetry.sql.checked_query", lambda query, **_: query)
    with pytest.raises(ContractError, match="multiple commands"):
        query_table(fleet, "select 1; commit; create table evil (a int)")


# --- what goes wrong, and what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_moments_keep_their_instant_in_any_session(fleet, zone):
    stamps = query_table(fleet, "select ts from readings order by ts", timezone=zone)["ts"]
    assert stamps.tolist() == [pd.Timestamp("2026-01-01T00:00Z"), pd.Timestamp("2026-06-30T22:00Z")]


def told(function, *arguments, error=ContractError, **options):
    """The message of an error, after a look for secrets in all that a user might see of it."""
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    everything = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in everything
    assert "wrong-horse" not in everything
    return str(caught.value)


def test_missing_tables_name_those_that_there_are(sqlite_file, fleet):
    said = told(query_table, sqlite_file("create view busy as select * from readings"), "select * from reading")
    assert "did you mean 'readings'? There are: busy, readings" in said
    said = told(query_table, fleet, "select * from reading")
    assert "did you mean 'readings'? There are: other.notes, readings, series, shown" in said


def test_wrong_sql_in_the_databases_words(sqlite_file, fleet):
    assert "no such column: cpu" in told(query_table, sqlite_file(), "select cpu from readings")
    assert 'column "cpu" does not exist' in told(query_table, fleet, "select cpu from readings")
    assert "syntax error" in told(query_table, fleet, "select from from readings")
    assert "division by zero" in told(query_table, fleet, "select 1 / small from (select 0 as small) a")
    assert "each column once" in told(query_table, fleet, "select ts, ts from readings")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "without a file"),
        ("sqlite:///:memory:", "without a file"),
        ("sqlite:////no/such/folder/a.db", "no folder"),
        ("nosuch://host/db", "kind of database"),
        ("mysql+nosuchdriver://host/db", "nosuchdriver"),
        ("oracle://host/db", "pip install"),
        ("wrong-horse", "a database's address"),
        (f"postgresql://tester:{SECRET}@127.0.0.1/db", "STABILITY_SQL_PASSWORD"),
        (f"postgresql://127.0.0.1/db?password={SECRET}", "STABILITY_SQL_PASSWORD"),
        ("postgresql://${NO_SUCH_VARIABLE}@127.0.0.1/db", "NO_SUCH_VARIABLE in the environment"),
    ],
)
def test_addresses_that_cannot_be_used(url, words):
    assert words in told(query_table, url, "select 1")


def test_credentials_that_are_wrong(fleet, monkeypatch):
    monkeypatch.setenv("STABILITY_SQL_PASSWORD", "wrong-horse")
    said = told(query_table, fleet, "select 1")
    assert "password authentication failed" in said
    assert "STABILITY_SQL_PASSWORD" in said
    assert "tester" not in said


def test_credentials_of_variables_that_the_address_names(fleet, monkeypatch):
    monkeypatch.delenv("STABILITY_SQL_USER")
    monkeypatch.setenv("STABILITY_SQL_PASSWORD", "wrong-horse")
    monkeypatch.setenv("FLEET_USER", "tester")
    monkeypatch.setenv("FLEET_PASSWORD", SECRET)
    named = fleet.replace("//", "//${FLEET_USER}:${FLEET_PASSWORD}@")
    assert query_table(named, "select 1 as one")["one"].tolist() == [1]
    assert told(query_table, named, "select 1 +").startswith(f"{fleet}: expected")


def test_a_missing_database_and_a_server_that_is_not_there(fleet):
    said = told(query_table, fleet.replace("/fleet", "/fleat"), "select 1")
    assert 'database "fleat" does not exist' in said
    assert "name of the database" in said
    said = told(query_table, "postgresql://127.0.0.1:1/fleet", "select 1", error=ConnectionError)
    assert "postgresql://127.0.0.1:1/fleet: no answer" in said


def test_files_that_are_no_database(tmp_path):
    (tmp_path / "a.db").write_text("ts,host\n" * 200)
    assert "not a database" in told(query_table, f"sqlite:///{tmp_path}/a.db", "select * from a")
    (tmp_path / "b.db").touch()
    assert "there are none" in told(query_table, f"sqlite:///{tmp_path}/b.db", "select * from a")
    assert "a folder" in told(query_table, f"sqlite:///{tmp_path}", "select 1")


def test_parameters_that_do_not_fit(sqlite_file, monkeypatch):
    url = sqlite_file()
    # pandas teaches SQLite this type, for the whole process, when it writes its first table.
    monkeypatch.delitem(sqlite3.adapters, (dt.time, sqlite3.PrepareProtocol), raising=False)
    assert ":start" in told(query_table, url, "select :start")
    assert "did you mean 'start'" in told(query_table, url, "select :start", {"start": 1, "strat": 2})
    assert "'Europe/Berln'" in told(query_table, url, "select 1", timezone="Europe/Berln")
    assert "database that answers" not in told(query_table, url, "select :x", {"x": json})
    assert "a query that the database answers" in told(query_table, url, "select :x", {"x": dt.time(12)})


def test_no_secret_in_the_log(fleet, caplog):
    caplog.set_level("DEBUG")
    query_table(fleet, "select :x as x", {"x": "a"})
    assert SECRET not in caplog.text


def test_progress_bar_only_on_a_terminal(sqlite_file, capsys, monkeypatch):
    query_table(sqlite_file(), "select * from readings", progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    query_table(sqlite_file(), "select * from readings", progress=True)
    assert "2 rows" in capsys.readouterr().err


# --- panels ---------------------------------------------------------------------------------------------------------


def test_a_panel_as_from_the_same_rows_in_a_file(sqlite_file, tmp_path):
    panel, report = read_sql_with_report(sqlite_file(), "select * from readings order by ts")
    (tmp_path / "same.csv").write_text("ts,host,cpu_ratio\n2026-01-01T00:00:00Z,a,0.5\n2026-01-01T00:01:00Z,a,\n")
    pd.testing.assert_frame_equal(panel, read(tmp_path / "same.csv"))
    assert report.files[["rows", "layout", "stamps"]].iloc[0].tolist() == [2, "wide", "ISO 8601 with offsets"]
    assert report.files["file"].tolist() == [f"sqlite:///{tmp_path}/fleet.db"]


def test_postgres_panel_of_every_kind_of_number(fleet):
    query = "select ts, name as host, small, price, ok, took, double from readings where name is not null"
    row = read_sql(fleet, query).loc["a"].iloc[0]
    assert row.tolist() == [1.0, 12.34, 1.0, 86_401.5, 0.1]


def test_long_layout_names_scale_and_entity_of_the_database(fleet):
    query = "select ts, 'cpu %' as metric, n as value from series where ts >= :start and ts < :end"
    window = {"start": "2026-01-01T00:00:10Z", "end": pd.Timestamp("2026-01-01T01:00:12+01:00")}
    panel = read_sql(fleet, query, **window, columns={"cpu %": "cpu_ratio"}, scale={"cpu_ratio": 0.01})
    assert panel["cpu_ratio"].tolist() == [0.1, 0.11]
    assert panel.index.unique("entity").tolist() == ["fleet"]
    pd.testing.assert_frame_equal(panel, validate(panel, "telemetry"))


def test_uuids_name_entities_and_naive_stamps_need_a_zone(fleet):
    query = "select local as ts, host, double from readings where local is not null"
    assert "timezone='UTC'" in told(read_sql, fleet, query)
    panel = read_sql(fleet, query, timezone="Europe/Berlin")
    assert panel.index.tolist() == [(str(uuid.UUID(int=1)), pd.Timestamp("2026-06-30T22:00Z"))]


def test_dates_and_epochs_are_stamps(fleet, sqlite_file):
    assert read_sql(fleet, "select day as ts, small from readings where day is not null", timezone="UTC").index[0][
        1
    ] == pd.Timestamp("2026-01-01", tz="UTC")
    url = sqlite_file("create table epochs (ts int, up int); insert into epochs values (1767225600, 1)")
    assert read_sql(url, "select * from epochs").index.tolist() == [("fleet", pd.Timestamp("2026-01-01", tz="UTC"))]


def test_policies_hold_for_rows_of_a_database(sqlite_file):
    sqlite_file("insert into readings values ('2026-01-01T00:00:00Z', 'a', 0.7), ('2026-01-01T00:02:00Z', 'a', 'n/a')")
    url = sqlite_file()
    said = told(read_sql, url, "select * from readings order by rowid")
    assert "fleet.db, row 3, column 'ts'" in said
    report = read_sql_with_report(url, "select * from readings order by ts", duplicates="last")[1]
    assert report.counts["duplicates"] == 1
    sqlite_file("insert into readings values ('2026-01-01T00:03:00Z', 'a', 'hot')")
    said = told(read_sql, url, "select * from readings where rowid > 3 order by ts")
    assert "row 2, column 'cpu_ratio': expected a number, got 'hot'" in said


@pytest.mark.parametrize(
    ("query", "options", "words"),
    [
        ("select * from readings where host = 'z'", {}, "at least one row"),
        ("select * from readings", {"start": "2026-01-01T00:00:00Z"}, "where ts >= :start"),
        ("select * from readings where ts < :end", {"end": "2026-01-01"}, "with its zone"),
        ("select * from readings where ts < :end", {}, ":end"),
        ("select host, cpu_ratio from readings", {}, "column of timestamps"),
        ("select * from readings", {"time_zone": "UTC"}, "did you mean 'timezone'"),
        ("select * from readings", {"columns": {"cpu": "x"}}, "cpu_ratio"),
    ],
)
def test_panels_that_cannot_be_made(sqlite_file, query, options, words):
    assert words in told(read_sql, sqlite_file(), query, **options)
