"""PostgreSQL as the store: nights, skips, tables, pruning as with SQLite; a server that dies; no password anywhere."""

import logging
import os
import secrets
import time

import commands
import mlflow
import psycopg
import pytest
from workbenches import LOGS, PLAIN, RAISES, Workbench

from stability.workbench import runner, tracking
from stability.workbench.reporting import read_summary
from stability.workbench.retention import prune
from stability.workbench.spec import load_plan

# Logs when it is told to, so that the server can be gone by then.
WAITS = (
    "marker = ''\noutput = ''",
    "import pathlib, time\nwhile not pathlib.Path(marker).exists():\n    time.sleep(0.05)",
    "from stability.workbench import tracking\nimport mlflow\ntracking.connect()",
    "with mlflow.start_run():\n    tracking.log(output=output, counts={'g.late': 1})",
)


@pytest.fixture(scope="module")
def made_together(postgres_server, tmp_path_factory):
    """A store that two processes create at once, and their ends."""
    address = postgres_server.create("together")
    folder = Workbench(tmp_path_factory.mktemp("together") / "workbench").folder
    environment = {**os.environ, "MLFLOW_TRACKING_URI": address, "STABILITY_HOME": str(folder)}
    code = "from stability.workbench import tracking as t; c = t.open_store(); print(t.experiment_id(c, 'one'))"
    processes = [commands.Begun(folder, "-c", code, **environment) for _ in range(2)]
    return address, [(p.communicate(), p.returncode) for p in processes]


@pytest.fixture
def store(made_together, postgres_server):
    """Address of a store that nothing is in but that experiment: a copy takes no migrations."""
    name = f"copy{secrets.token_hex(4)}"
    with psycopg.connect(postgres_server.url().replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"create database {name} template together")
    yield postgres_server.url(name)
    if postgres_server.process.poll() is not None:  # a test that stops it has failed
        postgres_server.start()


forked = pytest.mark.usefixtures("forked_kernels")


@pytest.fixture
def bench(workbench):
    for name, cells in {"logs": LOGS, "plain": PLAIN, "raises": RAISES, "waits": WAITS}.items():
        workbench.notebook(f"{name}.ipynb", cells)
    (workbench.folder / "mlflow.db").unlink()
    yield workbench
    mlflow.set_tracking_uri(None)


def night(bench, steps, **options):
    return runner.run(load_plan(bench.spec(steps)), **options)


def texts(client):
    """All that the store says of its runs."""
    experiments = [e.experiment_id for e in client.search_experiments()]
    return repr([r.to_dictionary() for r in client.search_runs(experiments)]) + repr(client.search_experiments())


@forked
def test_nights_skip_fail_load_and_are_pruned(bench, postgres_server, store, monkeypatch, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    steps = {
        "sweep": {"notebook": "logs.ipynb", "matrix": {"k": [1, 2]}},
        "raises": {"notebook": "raises.ipynb"},
        "after": {"notebook": "plain.ipynb", "needs": ["raises"]},
    }
    first = night(bench, steps)
    ends = {"sweep[k=1]": "finished", "sweep[k=2]": "finished", "raises": "failed", "after": "blocked"}
    assert {s.key: s.status for s in first.steps} == ends
    second = night(bench, {"sweep": steps["sweep"]})
    assert {s.key: s.status for s in second.steps} == {"sweep[k=1]": "skipped", "sweep[k=2]": "skipped"}
    assert tracking.load_table(second.steps[1].run_id, "made").x.tolist() == [2]
    client = tracking.open_store()
    assert client.get_run(first.steps[0].run_id).info.status in ("FINISHED", "FAILED")
    third = night(bench, {"sweep": steps["sweep"]}, fresh=True)
    assert third.status == "finished"

    said = capfd.readouterr()
    files = b"".join(p.read_bytes() for p in bench.folder.rglob("*") if p.is_file() and not p.is_symlink())
    assert postgres_server.password.encode() not in files
    for text in (said.out, said.err, caplog.text, texts(client)):
        assert postgres_server.password not in text
    assert "***@127.0.0.1" in (bench.latest() / "index.html").read_text()

    gone = prune(keep_days=100, keep_runs=1)
    assert set(gone.runs) == {first.parent_run_id, second.parent_run_id, *(s.run_id for s in first.steps if s.run_id)}
    left = client.search_runs([client.get_experiment_by_name("exp").experiment_id], run_view_type=3)
    assert {r.info.run_id for r in left} == {third.parent_run_id, *(s.run_id for s in third.steps)}
    assert not (bench.folder / "mlartifacts" / "exp" / first.parent_run_id).exists()


def start(bench, steps):
    process = commands.Begun(bench.folder, "run", str(bench.spec(steps)), **os.environ)
    notebook = bench.latest() / "steps" / "waits" / "notebook.ipynb"
    while not (notebook.is_file() and '"status": "running"' in notebook.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


@forked
def test_a_server_that_dies_leaves_the_truth_and_is_told_it_later(bench, postgres_server, store, monkeypatch):
    server = postgres_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    marker = bench.folder / "marker"
    steps = {
        "good": {"notebook": "plain.ipynb"},
        "waits": {"notebook": "waits.ipynb", "parameters": {"marker": str(marker)}, "needs": ["good"]},
    }
    process = start(bench, steps)
    server.stop()
    marker.touch()
    said = process.communicate()
    assert process.returncode == 1, said
    assert server.password not in f"{said}"
    told = read_summary(bench.latest() / "summary.json")
    assert told["steps"]["good"]["status"] == "finished"
    assert told["steps"]["waits"]["status"] == "failed"
    assert (bench.latest() / "index.html").is_file()

    server.start()
    facts = night(bench, steps)
    assert {s.key: s.status for s in facts.steps} == {"good": "skipped", "waits": "finished"}
    client = tracking.open_store()
    runs = client.search_runs([client.get_experiment_by_name("exp").experiment_id])
    assert "RUNNING" not in {r.info.status for r in runs}
    assert client.get_run(told["steps"]["waits"]["run_id"]).info.status == "FAILED"
    assert client.get_run(told["steps"]["good"]["run_id"]).info.status == "FINISHED"


def test_a_store_that_nobody_answers_for_fails_the_night_and_says_so(bench, monkeypatch, caplog):
    from conftest import free_port

    from stability.workbench import publishing

    monkeypatch.setattr(publishing, "PATIENCE", 0.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg://u:s3cret@127.0.0.1:{free_port()}/nowhere")
    facts = night(bench, {"a": {"notebook": "plain.ipynb"}, "b": {"notebook": "plain.ipynb", "needs": ["a"]}})
    assert facts.status == "failed"
    told = read_summary(bench.latest() / "summary.json")
    assert told["steps"]["a"]["error"].startswith("the store did not answer")
    assert "needs a" in told["steps"]["b"]["error"]
    assert "s3cret" not in caplog.text + (bench.latest() / "summary.json").read_text()
    assert (bench.latest() / "index.html").is_file()


def test_processes_that_create_the_store_together(made_together):
    _, ends = made_together
    assert {code for _, code in ends} == {0}, ends
    assert len({out for (out, _), _ in ends}) == 1
