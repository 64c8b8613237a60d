"""`stability prune`: what is old goes for good, what something else needs stays, and a dry run removes nothing."""

import datetime as dt
import json
import os
import shutil
import sqlite3
import time

import mlflow
import pytest
from commands import stability
from workbenches import LOGS, PLAIN, RAISES, TABLE

from stability.schema import ContractError
from stability.workbench import retention, runner, tracking
from stability.workbench.nights import read_nights
from stability.workbench.reporting import read_summary
from stability.workbench.retention import prune
from stability.workbench.spec import load_plan

pytestmark = pytest.mark.usefixtures("forked_kernels")
STEPS = {
    "first": {"notebook": "table.ipynb"},
    "second": {"notebook": "plain.ipynb", "parameters": {"k": 2}, "needs": ["first"]},
}
ALONE = {"alone": {"notebook": "plain.ipynb"}}
LOGGED = {**STEPS, "first": {"notebook": "logs.ipynb"}}  # its tables are in the store, too


@pytest.fixture
def bench(workbench):
    workbench.notebook("logs.ipynb", LOGS)
    workbench.notebook("table.ipynb", TABLE)
    workbench.notebook("plain.ipynb", PLAIN)
    workbench.notebook("raises.ipynb", RAISES)
    return workbench


def night(bench, name="exp", steps=None, *, fresh=False, ago=0):
    """Run a night, and make it older by some days."""
    facts = runner.run(load_plan(bench.spec(steps or STEPS, name=name)), fresh=fresh)
    folder = bench.latest(name).resolve()
    if ago:
        began = facts.started - dt.timedelta(days=ago)
        aged = folder.with_name(began.strftime("%Y-%m-%dT%H-%M-%SZ"))
        folder.rename(aged)
        for file in ("summary.json", "run.json"):
            content = json.loads((aged / file).read_text())
            (aged / file).write_text(json.dumps({**content, "started": began.isoformat()}))
        client = tracking.open_store()
        for run_id in {facts.parent_run_id, *(s.run_id for s in facts.steps if s.status != "skipped")}:
            client.set_tag(run_id, "stability.run", f"{name}/{aged.name}")
        folder = aged
    return folder, facts


def known(bench):
    """Runs that are in the store, deleted ones too, straight from its file."""
    connection = sqlite3.connect(bench.folder / "mlflow.db")
    try:
        return {row[0] for row in connection.execute("select run_uuid from runs")}
    finally:
        connection.close()


def ids(facts):
    return {facts.parent_run_id, *(s.run_id for s in facts.steps)}


def test_old_nights_go_for_good_and_what_is_repeated_stays(bench):
    lone = {"alone": {"notebook": "table.ipynb", "parameters": {"k": 5}}}
    oldest, went = night(bench, steps=lone, ago=200)
    repeated, first = night(bench, steps=LOGGED, ago=100)
    last, again = night(bench, steps=LOGGED)
    assert [s.status for s in again.steps] == ["skipped", "skipped"]
    store = bench.folder / "mlartifacts" / "exp"
    assert {p.name for p in store.iterdir()} == ids(went) | ids(first) | ids(again)
    before = known(bench), sorted(bench.folder.rglob("*"))

    would = prune(keep_days=90, dry_run=True)
    assert (known(bench), sorted(bench.folder.rglob("*"))) == before, "a dry run removes nothing"
    assert set(would.runs) == ids(went)
    assert set(would.emptied) == {oldest, repeated}
    assert would.size > 10_000

    done = prune(keep_days=90)
    assert (set(done.runs), set(done.emptied), done.size) == (set(would.runs), set(would.emptied), would.size)
    assert known(bench) == ids(first) | ids(again), "the repeated steps stay with the night that they came from"
    assert {p.name for p in store.iterdir()} == ids(first) | ids(again)
    assert tracking.load_table(first.steps[0].run_id, "made").x.tolist() == [1]
    for folder in (oldest, repeated):
        assert {p.name for p in folder.iterdir()} == {"summary.json", "run.json"}
        read_summary(folder / "summary.json")
    assert (last / "steps" / "first" / "made.parquet").is_file()
    assert bench.latest().resolve() == last
    assert prune(keep_days=90).runs == []

    # The next night still repeats, and its page still knows the old ones.
    _, third = night(bench, steps=LOGGED)
    assert [s.status for s in third.steps] == ["skipped", "skipped"]
    assert len(third.history) == 3


def test_the_newest_and_the_last_good_night_always_stay(bench):
    good, _ = night(bench, steps=ALONE, ago=300)
    bad, _ = night(bench, steps={"a": {"notebook": "raises.ipynb"}}, ago=200)
    newest, _ = night(bench, steps={"a": {"notebook": "raises.ipynb"}}, ago=100)
    for days in (1e7, float("inf")):
        assert prune(keep_days=days, dry_run=True) == retention.Pruned(), "more than the calendar has are no bound"
    prune(keep_days=1)
    assert (good / "steps").is_dir()
    assert (newest / "summary.json").is_file()
    assert (newest / "index.html").is_file()
    assert not (bad / "index.html").exists()


def test_a_promoted_model_keeps_its_run_its_parent_and_what_it_read(bench):
    folder, made = night(bench, ago=300)
    _, left = night(bench, name="other", steps=ALONE, ago=300)
    for name in ("exp", "other"):
        night(bench, name=name, steps=ALONE, fresh=True)
    client = tracking.open_store()
    second = {s.key: s for s in made.steps}["second"]
    for name, run_id in (("champion", second.run_id), ("forgotten", left.steps[0].run_id)):
        client.create_registered_model(name)
        client.log_text(run_id, "weights", "model/weights.txt")
        version = client.create_model_version(name, f"runs:/{run_id}/model", run_id)
        if name == "champion":
            client.set_registered_model_alias(name, "production", version.version)
    found = prune(keep_days=90)
    assert set(found.runs) == ids(left)
    assert found.models == ["forgotten/1"]
    assert ids(made) <= known(bench), "the promoted run, its parent, and the run whose tables it read"
    assert (folder / "steps").is_dir()
    source = client.get_model_version_by_alias("champion", "production")
    assert client.get_run(source.run_id).info.lifecycle_stage == "active"
    assert (bench.folder / "mlartifacts" / "exp" / second.run_id / "artifacts" / "model" / "weights.txt").is_file()
    assert not list(client.search_model_versions("name='forgotten'"))
    # Nobody needs it any more: it goes with its night.
    client.delete_registered_model_alias("champion", "production")
    client.delete_registered_model("champion")
    assert set(prune(keep_days=90).runs) == ids(made)


def test_a_logged_model_goes_with_its_run(bench):
    class Nothing(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    _, made = night(bench, steps=ALONE, ago=300)
    night(bench, steps=ALONE, fresh=True)
    client = tracking.open_store()
    with mlflow.start_run(run_id=made.steps[0].run_id):
        logged = mlflow.pyfunc.log_model(name="m", python_model=Nothing(), pip_requirements=[])
    client.set_terminated(made.steps[0].run_id, "FINISHED")
    files = bench.folder / "mlartifacts" / "exp" / "models" / logged.model_id
    assert files.is_dir()
    prune(keep_days=90)
    assert not list(files.rglob("*.*"))
    with pytest.raises(mlflow.exceptions.MlflowException):
        client.get_logged_model(logged.model_id)
    mlflow.set_tracking_uri(None)


def test_snapshots_and_environments_that_nobody_needs_go(bench):
    folder, facts = night(bench, steps=ALONE)
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "data": {"sha256": "used"}}))
    tracking.open_store().set_tag(facts.steps[0].run_id, "data.sha256", "in-the-store")
    old = time.time() - 200 * 86_400
    snapshots = bench.folder / "runs" / ".snapshots"
    for name in ("used", "in-the-store", "unused", "young", ".part"):
        (snapshots / name).mkdir(parents=True)
        (snapshots / name / "snapshot.json").write_text("{}" * 500)
        if name != "young":
            os.utime(snapshots / name, (old, old))
    environments = bench.folder / "runs" / ".environments"
    for number in range(5):
        (environments / f"e{number}").mkdir(parents=True)
        when = time.time() - (200 if number == 4 else number) * 86_400
        os.utime(environments / f"e{number}", (when, when))
    found = prune(keep_days=90)
    assert [p.name for p in found.snapshots] == ["unused"]
    assert {p.name for p in snapshots.iterdir()} == {"used", "in-the-store", "young", ".part"}
    assert {p.name for p in environments.iterdir()} == {"e0", "e1", "e2"}
    assert found.size >= 1000


def test_count_bounds_too_and_a_running_night_is_left_alone(bench):
    shutil.copytree(night(bench, steps=ALONE)[0], bench.folder / "seed")
    runs = bench.folder / "runs"
    for name in ("exp", "busy"):
        for day in range(1, 6):
            shutil.copytree(bench.folder / "seed", runs / name / f"2026-11-0{day}T02-00-00Z")
            file = runs / name / f"2026-11-0{day}T02-00-00Z" / "summary.json"
            content = json.loads(file.read_text())
            file.write_text(json.dumps({**content, "started": f"2026-11-0{day}T02:00:00Z"}))
    with tracking.locked(runs / "busy" / ".lock"):
        found = prune(keep_days=100_000, keep_runs=2)
    assert found.busy == ["busy"]
    assert all((night.folder / "steps").is_dir() for night in read_nights(runs / "busy"))
    assert [(n.folder / "steps").is_dir() for n in read_nights(runs / "exp")] == [False] * 4 + [True] * 2
    with pytest.raises(ContractError, match="at least one run"):
        prune(keep_runs=0)
    with pytest.raises(ContractError, match="at least one run"):
        prune(keep_days=float("nan"))


def test_summaries_are_bounded_too(bench, monkeypatch):
    monkeypatch.setattr(retention, "KEPT_SUMMARIES", 1)
    made, _ = night(bench, steps=ALONE)
    gone, stays = (made.with_name(f"2020-11-0{day}T02-00-00Z") for day in (1, 2))
    for folder in (gone, stays):
        shutil.copytree(made, folder)
        content = json.loads((folder / "summary.json").read_text())
        started = f"{folder.name[:10]}T02:00:00Z"
        (folder / "summary.json").write_text(json.dumps({**content, "started": started}))
    prune(keep_days=90)
    assert not gone.exists()
    assert (stays / "summary.json").is_file()


def test_the_command_says_what_would_go(bench):
    night(bench, steps=ALONE, ago=200)
    night(bench, steps={"another": {"notebook": "plain.ipynb"}})
    command = (bench.folder, "prune", "--keep-days", "90")
    done = stability(*command, "--dry-run", **os.environ)
    assert done.returncode == 0, done.stderr
    assert "would go" in done.stdout
    assert "run in the store" in done.stdout
    done = stability(*command, **os.environ)
    assert "went" in done.stdout, done.stderr
    done = stability(*command, **os.environ)
    assert "Nothing to remove" in done.stdout
