"""A store in PostgreSQL: one snapshot, restored in one transaction, drilled beside itself; no password anywhere."""

import os

import mlflow
import psycopg
import pytest
from backing import a_run, filled

from stability import backup
from stability.backup import postgres
from stability.schema import ContractError


@pytest.fixture
def home(workbench, postgres_server, monkeypatch, request):
    for name in ("RESTIC_PASSWORD", "RESTIC_REPOSITORY", "STABILITY_BACKUPS"):
        monkeypatch.delenv(name, raising=False)
    (workbench.folder / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_server.create(request.node.name[:40]))
    workbench.ids = filled(workbench.folder)
    yield workbench
    mlflow.set_tracking_uri(None)


def databases(server):
    with psycopg.connect(server.url().replace("+psycopg", "")) as connection:
        return {name for (name,) in connection.execute("select datname from pg_database").fetchall()}


def test_dumped_drilled_and_restored(home, postgres_server, monkeypatch, tmp_path, caplog):
    done = backup.create()
    assert (done.manifest.store, done.manifest.runs) == ("postgresql", 2)
    assert done.manifest.rows["mlflow.dump"]["runs"] == 2
    a_run(5)
    told = backup.drill(server=False)
    assert (told.findings, told.run_read, told.lost_runs) == ([], done.manifest.sample.run_id, 1)
    assert not any(name.startswith("stability_drill") for name in databases(postgres_server))

    with pytest.raises(ContractError, match="a database without tables, got one that has some"):
        backup.restore(into=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_server.create("restored"))
    backup.restore(into=tmp_path / "new")
    (home.folder / "mlartifacts").rename(home.folder / "gone")
    client = mlflow.MlflowClient(postgres_server.url("restored"))
    (tmp_path / "got").mkdir()
    for run_id in home.ids:
        assert client.get_run(run_id).data.metrics
        client.download_artifacts(run_id, "model/weights.txt", tmp_path / "got")
    assert not (tmp_path / "new" / "mlflow.dump").exists()
    files = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink())
    assert postgres_server.password.encode() not in files
    assert postgres_server.password not in caplog.text


def test_replaced_only_when_told_and_kept(home, tmp_path):
    backup.create()
    late = a_run(6)
    with pytest.raises(ContractError, match="--replace"):
        backup.restore(into=home.folder)
    restored = backup.restore(into=home.folder, replace=True)
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    with pytest.raises(mlflow.exceptions.MlflowException):
        client.get_run(late)
    assert (restored.aside / "mlflow.dump").read_bytes()[:5] == b"PGDMP"
    assert (restored.aside / "mlartifacts" / "exp" / late).is_dir()


def test_a_wrong_password_is_told_and_shown_nowhere(home, postgres_server, monkeypatch, tmp_path, caplog, capfd):
    backup.create()
    wrong = "wr0ng-but-secret"
    uri = os.environ["MLFLOW_TRACKING_URI"].replace(postgres_server.password, wrong)
    for address in (uri, f"{uri.replace(f':{wrong}@', '@')}?password={wrong}"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(ContractError, match="a PostgreSQL server that answers") as told:
            backup.create()
        with pytest.raises(ContractError, match="a PostgreSQL server that answers") as also:
            backup.restore(into=tmp_path / "new")
        with pytest.raises(ContractError, match="a PostgreSQL server that answers") as drilled:
            backup.drill(server=False)
        assert wrong not in f"{told.value} {also.value} {drilled.value}"
    assert not (tmp_path / "new").exists()
    assert wrong not in caplog.text + "".join(capfd.readouterr())
    kept = b"".join(path.read_bytes() for path in sorted(home.folder.rglob("*")) if path.is_file())
    for secret in (wrong, postgres_server.password):
        assert secret.encode() not in kept
    monkeypatch.undo()


def test_a_snapshot_is_of_one_moment(postgres_server, tmp_path):
    """What is committed while the dump runs is neither in it nor in its counts."""
    uri = postgres_server.create("moment")
    plain = uri.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as other:
        other.execute("create table a (n integer)")
        other.execute("insert into a select generate_series(1, 10)")
        run = postgres._run

        def late(program, *arguments, **options):
            other.execute("insert into a values (11)")
            run(program, *arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres, "_run", late)
            assert postgres.dump(uri, tmp_path / "dump") == {"a": 10}
        assert postgres.counts(uri) == {"a": 11}
    with postgres.scratch(uri) as scratch:
        postgres.restore(scratch, tmp_path / "dump")
        assert postgres.counts(scratch) == {"a": 10}


def test_what_is_missing_is_named(home, postgres_server, monkeypatch, tmp_path):
    backup.create()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(ContractError, match=r"program pg_dump on PATH.*postgresql-client"):
            backup.create()
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", postgres_server.url("nowhere"))
        with pytest.raises(ContractError, match="a PostgreSQL server that answers") as told:
            backup.create()
        assert postgres_server.password not in str(told.value)
    with psycopg.connect(postgres_server.url().replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("create role reader login password 'reader'")
    small = postgres_server.url("postgres").replace(f"tester:{postgres_server.password}", "reader:reader")
    with pytest.raises(ContractError, match="an account that may make a scratch database"), postgres.scratch(small):
        pass
    (tmp_path / "noise").write_bytes(b"no dump")
    with pytest.raises(ContractError, match="pg_restore to end well"):
        postgres.restore(postgres_server.create("empty"), tmp_path / "noise")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert any("has to name a server" in said for said in backup.drill(server=False).findings)
    with pytest.raises(ContractError, match="MLFLOW_TRACKING_URI with the PostgreSQL database"):
        backup.restore(into=tmp_path / "new")
