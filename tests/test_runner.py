"""Nights: every end is written down as it was, in the summary and in the store; what is unchanged is not run again."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import commands
import mlflow
import nbformat
import pandas as pd
import pytest
from test_notification import MEASURES
from workbenches import DIES, DIES_ONCE, HANGS, LOGS, PLAIN, RAISES, TABLE

from stability.schema import ContractError
from stability.workbench import runner, tracking
from stability.workbench.reporting import read_summary
from stability.workbench.spec import load_plan

NOTEBOOKS = {
    "plain": PLAIN,
    "raises": RAISES,
    "dies": DIES,
    "dies-once": DIES_ONCE,
    "hangs": HANGS,
    "logs": LOGS,
    "measures": MEASURES,
    "table": TABLE,
}


@pytest.fixture
def bench(workbench):
    for name, cells in NOTEBOOKS.items():
        workbench.notebook(f"{name}.ipynb", cells)
    return workbench


forked = pytest.mark.usefixtures("forked_kernels")  # where a night's kernels are a means


@pytest.fixture
def client(bench):
    return mlflow.MlflowClient(f"sqlite:///{bench.folder / 'mlflow.db'}")


def night(path, **options):
    return runner.run(load_plan(path), **options)


def stored(client, name="exp"):
    """Every run of an experiment in the store, by its name (the parent's is the experiment's)."""
    found = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    return {r.info.run_name: r for r in found}


def artifacts(client, run, folder=None):
    return {f.path for f in client.list_artifacts(run.info.run_id, folder)}


def statuses(facts):
    return {s.key: s.status for s in facts.steps}


def test_a_night_with_every_kind_of_end(bench, client):
    steps = {
        "good": {"notebook": "measures.ipynb"},
        "raises": {"notebook": "raises.ipynb"},
        "dies": {"notebook": "dies.ipynb", "retries": 1},
        "hangs": {"notebook": "hangs.ipynb", "timeout": 4, "retries": 0},
        "blocked": {"notebook": "plain.ipynb", "needs": ["raises", "good"]},
        "recovers": {"notebook": "dies-once.ipynb", "parameters": {"marker": str(bench.folder / "marker")}},
    }
    facts = night(bench.spec(steps, question="Does every end show?", headline=["g.e1"]))

    ends = {"good": "finished", "raises": "failed", "dies": "failed", "hangs": "failed"}
    ends |= {"blocked": "skipped", "recovers": "finished"}
    assert facts.status == "failed"
    assert statuses(facts) == {**ends, "blocked": "blocked"}

    summary = read_summary(bench.latest() / "summary.json")
    assert set(summary) == {"name", "status", "started", "seconds", "steps", "metrics"}
    assert (summary["name"], summary["status"]) == ("exp", "failed")
    assert {k: s["status"] for k, s in summary["steps"].items()} == ends
    assert summary["metrics"] == {
        "g.e1": {"value": 1.0, "lo": 0.5, "hi": 1.5},
        "g.n1": {"value": 1, "lo": None, "hi": None},
    }
    errors = {k: s["error"] for k, s in summary["steps"].items()}
    assert errors["good"] is None
    assert errors["raises"] == "ZeroDivisionError: division by zero"
    assert errors["dies"].startswith("DeadKernelError")
    assert "timeout of 4 s" in errors["hangs"]
    assert "needs raises" in errors["blocked"]

    runs = stored(client)
    told = {"finished": "FINISHED", "failed": "FAILED"}
    assert runs["exp"].info.status == "FAILED"
    assert {k: runs[k].info.status for k in ends if k != "blocked"} == {
        k: told[v] for k, v in ends.items() if k != "blocked"
    }
    assert "blocked" not in runs
    assert summary["steps"]["good"]["run_id"] == runs["good"].info.run_id
    assert all(r.info.end_time for r in runs.values())
    assert runs["dies"].data.tags["attempts"] == "2"
    assert runs["recovers"].data.tags["attempts"] == "2"
    assert runs["raises"].data.tags["attempts"] == "1", "an exception of the notebook's own would only come again"

    # Killed and hung kernels leave notebooks that say so (papermill alone marks them completed).
    for key in ("raises", "dies", "hangs"):
        nb = nbformat.read(bench.latest() / "steps" / key / "notebook.ipynb", 4)
        assert nb.metadata.papermill.exception is True
        assert any(o.output_type == "error" for c in nb.cells if c.cell_type == "code" for o in c.outputs)
        assert {"notebook.ipynb", "notebook.html", "error.txt"} <= artifacts(client, runs[key])
        assert not list((bench.latest() / "steps" / key).glob("step.json"))
    assert "KeyboardInterrupt" in (bench.latest() / "steps" / "hangs" / "error.txt").read_text()


@forked
def test_what_the_store_keeps_of_a_run(bench, client):
    night(bench.spec({"good": {"notebook": "logs.ipynb", "parameters": {"k": 7}}}, seed=5))
    runs = stored(client)
    parent, child = runs["exp"], runs["good"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    for run in (parent, child):
        assert {"git.sha", "git.dirty", "data.sha256", "env.lock", "code.sha256", "platform"} <= set(run.data.tags)
        assert run.data.tags["seed"] == "5"
    assert child.data.params["k"] == "7"
    assert child.data.params["seed"] == "5"
    assert child.data.metrics == {"g.e7": 1.0, "g.e7.lo": 0.5, "g.e7.hi": 1.5, "g.n7": 7.0}
    assert child.data.metrics.items() <= parent.data.metrics.items()
    assert {"notebook.ipynb", "notebook.html", "tables"} <= artifacts(client, child)
    assert {"index.html", "summary.json", "environment.txt"} <= artifacts(client, parent)
    installed = mlflow.artifacts.load_text(f"{parent.info.artifact_uri}/environment.txt").splitlines()
    assert {f"mlflow=={mlflow.__version__}", f"pandas=={pd.__version__}"} <= set(installed[1:])
    assert "exp" in parent.data.tags["mlflow.note.content"]
    assert tracking.load_table(child.info.run_id, "made").equals(pd.DataFrame({"x": [7]}))
    with pytest.raises(ContractError, match="did you mean 'made'"):
        tracking.load_table(child.info.run_id, "mad")
    with pytest.raises(ContractError, match="the id of a run"):
        tracking.load_table("0" * 32, "made")


STEPS = {
    "first": {"notebook": "table.ipynb"},
    "second": {"notebook": "table.ipynb", "parameters": {"k": 2}, "needs": ["first"]},
}


@forked
def test_unchanged_steps_are_skipped_and_name_the_run_they_repeat(bench, client):
    path = bench.spec({**STEPS, "first": {"notebook": "logs.ipynb"}})
    first = night(path)
    again = night(path)
    assert set(first.metrics) == {"g.e1", "g.n1"}
    assert again.status == "finished"
    assert statuses(again) == {"first": "skipped", "second": "skipped"}
    assert [s.run_id for s in again.steps] == [s.run_id for s in first.steps]
    assert again.metrics == first.metrics
    assert len(stored(client)) == 3, "two children and the parent's name, which the second night shares"
    # The second night's folder is whole on its own.
    for key in STEPS:
        assert (bench.latest() / "steps" / key / "made.parquet").is_file()
        assert (bench.latest() / "steps" / key / "notebook.html").is_file()
    assert statuses(night(path, fresh=True)) == {"first": "finished", "second": "finished"}


def change_parameter(bench):
    bench.spec({**STEPS, "first": {**STEPS["first"], "parameters": {"k": 3}}}, seed=1)


def change_notebook(bench):
    bench.notebook("table.ipynb", [*TABLE, "'one more cell'"])


def change_seed(bench):
    bench.spec(STEPS, seed=1)


def damage_table(bench):
    file = bench.latest().resolve() / "steps" / "first" / "made.parquet"
    file.write_bytes(file.read_bytes() + b" ")


def delete_run(bench):
    run_id = read_summary(bench.latest() / "summary.json")["steps"]["first"]["run_id"]
    mlflow.MlflowClient(f"sqlite:///{bench.folder / 'mlflow.db'}").delete_run(run_id)


def break_record(bench):
    (bench.latest().resolve() / "steps" / "first" / "step.json").write_text("{")


CHANGES = [  # each on top of those before it
    (change_notebook, {"first": "finished", "second": "finished"}),
    (change_seed, {"first": "finished", "second": "finished"}),
    (damage_table, {"first": "finished", "second": "skipped"}),  # first gives second the same table again
    (delete_run, {"first": "finished", "second": "skipped"}),
    (break_record, {"first": "finished", "second": "skipped"}),
    (change_parameter, {"first": "finished", "second": "finished"}),  # what second reads has changed
]


@forked
def test_whatever_a_result_depends_on_makes_it_run_again(bench):
    path = bench.spec(STEPS)
    night(path)
    for change, expected in CHANGES:
        change(bench)
        assert statuses(night(path)) == expected, change.__name__


@forked
def test_a_failed_step_is_run_again_and_only_what_is_missing(bench):
    steps = {"good": {"notebook": "table.ipynb"}, "raises": {"notebook": "raises.ipynb"}}
    path = bench.spec(steps)
    night(path)
    bench.notebook("raises.ipynb", PLAIN)
    assert statuses(night(path)) == {"good": "skipped", "raises": "finished"}


@forked
def test_a_step_that_measures_time_is_never_repeated(bench):
    path = bench.spec({"timed": {"notebook": "plain.ipynb", "cache": False}})
    night(path)
    assert statuses(night(path)) == {"timed": "finished"}


@forked
def test_metrics_of_matrix_children_stay_their_own(bench, client):
    steps = {
        "sweep": {"notebook": "logs.ipynb", "matrix": {"k": [1, 2]}},
        "compare": {"notebook": "logs.ipynb", "parameters": {"group": "best"}, "needs": ["sweep"]},
    }
    facts = night(bench.spec(steps, headline=["best.e1"]))
    assert facts.status == "finished"
    assert set(facts.metrics) == {"best.e1", "best.n1"}
    assert stored(client)["sweep[k=2]"].data.metrics["g.n2"] == 2
    inputs = json.loads(stored(client)["compare"].data.params["inputs"])
    assert set(inputs) == {"sweep[k=1]", "sweep[k=2]"}


@forked
def test_a_name_that_two_steps_log_fails_the_later_one(bench, client):
    steps = {"a": {"notebook": "logs.ipynb"}, "b": {"notebook": "logs.ipynb", "needs": ["a"]}}
    facts = night(bench.spec(steps))
    assert statuses(facts) == {"a": "finished", "b": "failed"}
    assert "already" in facts.steps[1].error or "earlier step" in facts.steps[1].error
    assert stored(client)["b"].info.status == "FAILED"


@forked
def test_a_headline_that_nobody_logs_fails_the_night(bench):
    facts = night(bench.spec({"a": {"notebook": "logs.ipynb"}}, headline=["g.missing"]))
    assert facts.status == "failed"
    assert "g.missing" in facts.steps[0].error


def test_any_executor_serves(bench):
    steps = {"first": {"notebook": "plain.ipynb"}, "second": {"notebook": "plain.ipynb", "needs": ["first"]}}
    with ProcessPoolExecutor(2, mp_context=commands.CONTEXT) as executor:
        facts = night(bench.spec({**steps, "raises": {"notebook": "raises.ipynb"}}), executor=executor)
    assert statuses(facts) == {"first": "finished", "second": "finished", "raises": "failed"}


def test_two_nights_at_once_are_kept_apart(bench):
    path = bench.spec({"a": {"notebook": "plain.ipynb"}})
    with tracking.locked(bench.folder / "runs" / "exp" / ".lock"), pytest.raises(runner.RunnerBusyError, match="lock"):
        night(path)


def test_a_full_disk_is_said_before_anything_starts(bench, monkeypatch):
    monkeypatch.setattr(runner, "LEAST_FREE_DISK", 1 << 60)
    with pytest.raises(runner.RunnerBusyError, match="free disk"):
        night(bench.spec({"a": {"notebook": "plain.ipynb"}}))
    assert not (bench.folder / "runs" / "exp" / "latest").exists()


def as_a_user_does(bench, path):
    """Begin a night from a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "stability.cli", "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def with_all_imported(bench, path):
    """Begin a night in a process of its own that has no imports to wait for; its kernels are as ever."""
    return commands.Begun(bench.folder, "run", str(path), **os.environ)


def start(bench, path, begin=with_all_imported):
    """Begin a night and wait until a kernel hangs in it."""
    process = begin(bench, path)
    notebook = bench.folder / "runs" / "exp" / "latest" / "steps" / "hangs" / "notebook.ipynb"
    # The cell that hangs is running once the executed copy says so.
    while not (notebook.is_file() and '"status": "running"' in notebook.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


def kernels_of(bench):
    """Processes whose environment names this workbench and that are no runner."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"STABILITY_HOME={bench.folder}".encode() in environment and b"ipykernel_launcher" in command:
                found.append(int(entry.name))
    return found


HANGING = {"good": {"notebook": "plain.ipynb"}, "hangs": {"notebook": "hangs.ipynb"}}
HANGING["after"] = {"notebook": "plain.ipynb", "needs": ["hangs"]}


@pytest.fixture
def heard():
    """Let Ctrl-C mean something, here and in what is started here, also where these tests run with `&` in a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("number", "begin"),
    [
        (signal.SIGINT, with_all_imported),
        (signal.SIGTERM, with_all_imported),
        pytest.param(signal.SIGINT, as_a_user_does, marks=pytest.mark.soak),
    ],
    ids=["2", "15", "2 as a user does"],
)
def test_an_interrupted_night_is_marked_everywhere(bench, client, number, begin):
    path = bench.spec(HANGING)
    process = start(bench, path, begin)
    process.send_signal(number)
    said = process.communicate(timeout=300)  # one that never ends is a failure, and no reason to wait for ever
    assert process.returncode == 130, said
    assert "Traceback" not in f"{said}"
    summary = read_summary(bench.latest() / "summary.json")
    assert summary["status"] == "failed"
    assert summary["steps"]["hangs"] | {"seconds": 0, "run_id": ""} == {
        "status": "failed",
        "seconds": 0,
        "run_id": "",
        "error": "interrupted",
    }
    assert "interrupted" in summary["steps"]["after"]["error"]
    runs = stored(client)
    assert runs["exp"].info.status == runs["hangs"].info.status == "KILLED"
    assert (bench.latest() / "index.html").is_file()
    assert not kernels_of(bench)


class Finalized:
    """Is finalized while Python runs other code, as objects of a store's pool are."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("heard")
def test_a_night_ends_when_the_signal_comes_where_an_exception_is_swallowed(bench, client):
    path, told = bench.spec(HANGING), []

    def listener(facts, step):
        if step.key == "hangs" and not told:
            told.append(step.status)
            Finalized()

    with pytest.raises(KeyboardInterrupt):
        night(path, listener=listener)
    assert told == ["running"]
    summary = read_summary(bench.latest() / "summary.json")
    assert summary["steps"]["hangs"]["error"] == "interrupted"
    assert stored(client)["exp"].info.status == "KILLED"
    assert not kernels_of(bench)


def test_a_killed_runner_leaves_a_true_summary_and_the_next_start_mends_the_store(bench, client):
    path = bench.spec(HANGING)
    process = start(bench, path)
    while stored(client)["good"].info.status != "FINISHED":
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    summary = read_summary(bench.latest() / "summary.json")
    assert summary["status"] == "failed"
    assert summary["steps"]["hangs"]["status"] == "failed"
    assert stored(client)["hangs"].info.status == "RUNNING"
    killed = stored(client)["hangs"].info.run_id, stored(client)["exp"].info.run_id
    bench.notebook("hangs.ipynb", PLAIN)
    facts = night(path)
    assert statuses(facts) == {"good": "skipped", "hangs": "finished", "after": "finished"}
    assert facts.status == "finished"
    assert [client.get_run(r).info.status for r in killed] == ["KILLED", "KILLED"]
    for _ in range(50):  # a kernel ends within a second or so of its runner
        if not kernels_of(bench):
            break
        time.sleep(0.2)
    assert not kernels_of(bench)
