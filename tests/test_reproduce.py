"""A run executed again from what it recorded: equal, or a table of what differs, whatever was changed meanwhile."""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import mlflow
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from workbenches import CHECKOUT, PLAIN, RAISES, Workbench

from stability.workbench.provenance import git_facts
from stability.workbench.reproduction import Difference, differences, environments

# Reads the data, the package and a parameter, and logs one of everything.
MEASURES = (
    "dataset = ''\noptions = {}\ninputs = {}\noutput = ''\nseed = 0\nfactor = 2.0\ngroup = 'm'",
    """import time

import mlflow
import pandas as pd

from stability import datasets, tiny
from stability.workbench import tracking""",
    """began = time.perf_counter()
total = float(datasets.load(dataset, **options)["telemetry"]["up"].sum()) * factor + tiny.SHIFT
for folder in inputs.values():
    total += float(pd.read_parquet(f"{folder}/made.parquet")["x"].sum())""",
    """tracking.connect()
with mlflow.start_run():
    seen = {f"{group}.total": (total, total - 1, total + 1), f"{group}.unseen": (float("nan"),) * 3}
    timings = {f"{group}.run_seconds": time.perf_counter() - began}
    tracking.log(output=output, estimates=seen, counts={f"{group}.n": 7}, timings=timings)
    mlflow.log_metric("plain", 0.1 + 0.2)
    tracking.log_tables(output, {"made": pd.DataFrame({"x": [total]})})""",
)
# Reads a table and writes one: an import of MLflow costs more than all else that a kernel does.
ADDS = (
    "dataset = ''\noptions = {}\ninputs = {}\noutput = ''\nmore = 0.0",
    """import pyarrow as pa, pyarrow.parquet as pq
read = [x for folder in inputs.values() for x in pq.read_table(f"{folder}/made.parquet")["x"].to_pylist()]
pq.write_table(pa.table({"x": [sum(read) + more]}), f"{output}/made.parquet")""",
)
STEPS = {
    "first": {"notebook": "measures.ipynb", "parameters": {"factor": 3.0}},
    "second": {"notebook": "untracked.ipynb", "parameters": {"more": 2.0}, "needs": ["first"]},
    "fails": {"notebook": "raises.ipynb"},
}


class Repository(Workbench):
    """A workbench that is a git repository, with a package of its own in it."""

    def __init__(self, folder, store):
        super().__init__(folder)
        shutil.copy(store, self.folder / "mlflow.db")
        shutil.copytree(CHECKOUT / "stability", self.folder / "stability", ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / ".gitignore").write_text("runs/\nmlflow.db*\nmlartifacts/\n__pycache__/\nmy/\n")
        (self.folder / "requirements.lock").write_text("# nothing\n")
        (self.folder / "stability" / "tiny.py").write_text("SHIFT = 1.0\n")
        (self.folder / "my").mkdir()
        self.csv = self.folder / "my" / "up.csv"
        self.csv.write_text("timestamp,entity,up\n" + "".join(f"2026-10-05T0{h}:00:00Z,a,{h}\n" for h in range(5)))
        self.notebook("measures.ipynb", MEASURES)
        self.notebook("raises.ipynb", RAISES)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.commit("first")
        self.client = mlflow.MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def commit(self, message):
        who = ("-c", "user.name=Tester", "-c", "user.email=tester@localhost")
        self.git(*who, "commit", "--quiet", "--all", "-m", message)

    @property
    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_TRACKING", "MLFLOW_RUN"))}
        return {**kept, "STABILITY_HOME": str(self.folder), "PYTHONPATH": str(self.folder)}

    def command(self, *arguments):
        return [sys.executable, "-m", "stability.cli", *map(str, arguments)]

    def stability(self, *arguments):
        # In its folder: `python -m` prefers the package of the current one.
        options = {"cwd": self.folder, "env": self.environment, "capture_output": True, "text": True}
        return subprocess.run(self.command(*arguments), **options)

    def reproduce(self, run_id):
        """The same command in a process that has imported everything: no more of it comes from this repository."""
        return commands.stability(self.folder, "reproduce", run_id, **self.environment)

    def runs(self):
        """The newest run of each step in the store, and of the night, by name."""
        experiment = self.client.get_experiment_by_name("exp").experiment_id
        found = self.client.search_runs([experiment], order_by=["attributes.start_time ASC"])
        return {run.info.run_name: run for run in found}

    def artifact(self, step, name):
        """Path of an artifact of a run in the store."""
        return Path(self.runs()[step].info.artifact_uri.removeprefix("file://")) / name


@pytest.fixture(scope="module")
def repository(tmp_path_factory, empty_store):
    """A repository after a night on a dirty tree; what the night used has moved on since."""
    made = Repository(tmp_path_factory.mktemp("repository") / "workbench", empty_store)
    # Part of the night's code: a changed line of the package (not in UTF-8), and a notebook that git has never seen.
    (made.folder / "stability" / "tiny.py").write_bytes(b"# -*- coding: latin-1 -*-\r\nSHIFT = 1.25  # \xe9\r\n")
    made.notebook("untracked.ipynb", ADDS)
    spec = made.spec(STEPS, dataset={"files": "my/up.csv"})
    done = made.stability("run", spec)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "[3/3]" in done.stdout
    # Meanwhile: other code, other data, other notebooks; none of it may matter.
    (made.folder / "stability" / "tiny.py").write_text("SHIFT = 77.0\n")
    (made.folder / "notebooks" / "untracked.ipynb").unlink()
    made.csv.write_text(made.csv.read_text().replace(",4\n", ",400\n"))
    made.commit("later")
    return made


@contextlib.contextmanager
def changed(path, change):
    """Change a file's text for a while."""
    before = path.read_bytes()
    path.write_bytes(change(before))
    try:
        yield
    finally:
        path.write_bytes(before)


@contextlib.contextmanager
def gone(path):
    """Take a file or folder away for a while."""
    aside = path.with_name(f".{path.name}.aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def untouched(repository):
    """What a repetition must leave as it is."""
    return {
        "tree": repository.git("status", "--porcelain=v2", "--branch", "--ignored=matching"),
        "index": (repository.folder / ".git" / "index").read_bytes(),
        "worktrees": repository.git("worktree", "list"),
        "runs": {name: run.to_dictionary() for name, run in repository.runs().items()},
        "experiments": len(repository.client.search_experiments()),
        "left": list((repository.folder / "runs" / ".reproductions").glob("*")),
    }


# Runs that are equal


def test_a_night_of_a_dirty_tree_is_equal_though_everything_has_moved_on(repository):
    (repository.folder / "runs" / ".reproductions").mkdir(exist_ok=True)
    before = untouched(repository)
    # Its folder was pruned: the store alone must do.
    latest = repository.latest().resolve()
    with gone(latest):
        done = repository.reproduce(repository.runs()["exp"].info.run_id)
    # value, lo, hi; one without evidence; one count; one timing; one that was logged past `tracking`
    said = "[1/3] equal      first  7 metrics, 1 of them timings; 1 tables with the same bytes"
    assert said in done.stdout, done.stdout
    assert re.search(r"\[2/3\] equal      second .*1 tables with the same bytes", done.stdout), done.stdout
    assert "[3/3] impossible fails: it did not finish that night: ZeroDivisionError" in done.stdout
    assert "Not reproduced, within a relative tolerance of 1e-09: fails" in done.stdout
    assert done.returncode == 1
    assert untouched(repository) == before


# Runs that are not


def forge_snapshot(repository):
    """A snapshot with one changed row, under the name that this content has, and the record led to it."""
    from stability.schema import read_table, write_table

    name = repository.runs()["first"].data.tags["data.sha256"]
    root = repository.folder / "runs" / ".snapshots"
    card = json.loads((root / name / "snapshot.json").read_text())
    frame = read_table(root / name / "telemetry.parquet", "telemetry")
    frame.iloc[2, 0] += 1
    write_table(frame, root / "forged" / "telemetry.parquet", "telemetry")
    card["files"] = {
        "telemetry.parquet": hashlib.sha256((root / "forged" / "telemetry.parquet").read_bytes()).hexdigest()
    }
    forged = hashlib.sha256(json.dumps(card["files"], sort_keys=True).encode()).hexdigest()
    (root / "forged" / "snapshot.json").write_text(json.dumps(card))
    (root / "forged").rename(root / forged)
    return name.encode(), forged.encode()


def test_a_mutated_row_line_and_parameter_are_told_and_each_counts(repository):
    name, forged = forge_snapshot(repository)
    recipe, diff = repository.artifact("first", "recipe.json"), repository.artifact("exp", "git.diff")

    def other(text):
        return text.replace(name, forged).replace(b'"factor": 3.0', b'"factor": 4.0')

    with changed(recipe, other), changed(diff, lambda text: text.replace(b"SHIFT = 1.25", b"SHIFT = 1.26")):
        done = repository.reproduce(repository.runs()["first"].info.run_id)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "different  first" in done.stdout
    assert "the data are not those that were read" in done.stdout
    assert "git.diff of run" in done.stdout
    assert "the package is not the one that ran" in done.stdout
    assert "parameter factor is 3.0 in MLflow and 4.0 in recipe.json" in done.stdout
    assert "made.parquet has other bytes" in done.stdout
    # The sum of 0..4 times 3 plus 1.25, and one more times 4 plus 1.26.
    row = next(line.split() for line in done.stdout.splitlines() if "m.total " in line)
    assert row == ["m.total", "31.25", "45.26", "+14"]


@pytest.mark.soak
def test_one_mutated_row_of_the_data(repository):
    name, forged = forge_snapshot(repository)
    with changed(repository.artifact("first", "recipe.json"), lambda text: text.replace(name, forged)):
        done = repository.reproduce(repository.runs()["first"].info.run_id)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "different  first" in done.stdout
    assert "the data are not those that were read" in done.stdout
    # The sum of 0..4 times 3 plus 1.25, and with one more.
    row = next(line.split() for line in done.stdout.splitlines() if "m.total " in line)
    assert row == ["m.total", "31.25", "34.25", "+3"]


@pytest.mark.soak
def test_one_mutated_line_of_code(repository):
    with changed(repository.artifact("exp", "git.diff"), lambda text: text.replace(b"SHIFT = 1.25", b"SHIFT = 1.26")):
        done = repository.reproduce(repository.runs()["first"].info.run_id)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "git.diff of run" in done.stdout
    assert "the package is not the one that ran" in done.stdout
    row = next(line.split() for line in done.stdout.splitlines() if "m.total " in line)
    assert row == ["m.total", "31.25", "31.26", "+0.01"]
    assert "made.parquet has other bytes" in done.stdout


@pytest.mark.soak
def test_one_mutated_parameter(repository):
    with changed(
        repository.artifact("first", "recipe.json"), lambda text: text.replace(b'"factor": 3.0', b'"factor": 4.0')
    ):
        done = repository.reproduce(repository.runs()["first"].info.run_id)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "parameter factor is 3.0 in MLflow and 4.0 in recipe.json" in done.stdout
    row = next(line.split() for line in done.stdout.splitlines() if "m.total " in line)
    assert row == ["m.total", "31.25", "41.25", "+10"]


# What is missing or cannot be; no kernel starts


def missing_recipe(repository):
    return gone(repository.artifact("second", "recipe.json"))


def missing_diff(repository):
    return gone(repository.artifact("exp", "git.diff"))


def missing_snapshot(repository):
    name = repository.runs()["first"].data.tags["data.sha256"]
    return gone(repository.folder / "runs" / ".snapshots" / name)


def altered_input(repository):
    stack = contextlib.ExitStack()
    for file in (
        repository.artifact("first", "tables/made.parquet"),
        repository.latest() / "steps" / "first" / "made.parquet",
    ):
        stack.enter_context(changed(file, lambda text: text + b"x"))
    return stack


@contextlib.contextmanager
def erased_input(repository):
    """An erasure rewrites a table and leaves a note beside it."""
    note = repository.artifact("first", "tables/ERASED.json")
    note.write_text(
        json.dumps([{"moment": "2026-11-24T06:00:00Z", "pseudonym": "user-8a", "tables": ["made.parquet"]}])
    )
    with altered_input(repository):
        yield
    note.unlink()


@contextlib.contextmanager
def erased(repository):
    name = repository.runs()["first"].data.tags["data.sha256"]
    note = repository.folder / "runs" / ".snapshots" / name / "ERASED.json"
    entry = {"moment": "2026-11-24T06:00:00Z", "pseudonym": "user-7f", "tables": ["feedback.parquet"], "rows": 3}
    note.write_text(json.dumps([entry]))
    yield
    note.unlink()


def other_lock(repository):
    """The present lock differs, and the recorded one is lost."""
    stack = contextlib.ExitStack()
    stack.enter_context(changed(repository.folder / "requirements.lock", lambda text: text + b"# more\n"))
    stack.enter_context(gone(repository.artifact("exp", "requirements.lock")))
    return stack


@contextlib.contextmanager
def other_commit(repository):
    run_id, sha = repository.runs()["second"].info.run_id, repository.runs()["second"].data.tags["git.sha"]
    repository.client.set_tag(run_id, "git.sha", "0" * 40)
    yield
    repository.client.set_tag(run_id, "git.sha", sha)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (missing_recipe, "has no artifact recipe.json"),
        (missing_diff, "has lost its artifact git.diff"),
        (missing_snapshot, "a snapshot by its sha256"),
        (altered_input, "the input made.parquet of run"),
        (erased_input, "something was erased: user-8a in made, 2026-11-24T06:00:00Z"),
        (erased, "user-7f in feedback, 2026-11-24T06:00:00Z"),
        (other_lock, "the recorded requirements.lock is gone"),
        (other_commit, "commit 0000000000000000000000000000000000000000 is not in the repository"),
    ],
)
def test_what_is_missing_is_said(repository, monkeypatch, damage, said):
    from stability.workbench.reproduction import reproduce

    monkeypatch.setenv("STABILITY_HOME", str(repository.folder))
    with damage(repository):
        (result,) = reproduce(repository.runs()["second"].info.run_id)
    assert result.status == "impossible"
    assert said in result.problem


def test_what_is_no_run_to_reproduce_ends_with_code_2(repository, monkeypatch):
    from stability.schema import ContractError
    from stability.workbench.reproduction import reproduce

    monkeypatch.setenv("STABILITY_HOME", str(repository.folder))
    known = repository.runs()
    with pytest.raises(ContractError, match="ended FAILED"):
        reproduce(known["fails"].info.run_id)
    typo = known["second"].info.run_id[:-1] + "x"
    with pytest.raises(ContractError, match=f"did you mean {known['second'].info.run_id}"):
        reproduce(typo)
    with pytest.raises(ContractError, match="a number of at least 0"):
        reproduce(known["second"].info.run_id, tolerance=math.nan)
    experiment = repository.client.create_experiment("interactive")
    by_hand = repository.client.create_run(experiment)
    with pytest.raises(ContractError, match="a notebook opened by hand"):
        reproduce(by_hand.info.run_id)
    running = repository.client.create_run(experiment, tags={"stability.run": "exp/x"})
    with pytest.raises(ContractError, match="one that is running"):
        reproduce(running.info.run_id)
    repository.client.delete_experiment(experiment)
    done = repository.reproduce("nothing")
    assert done.returncode == 2
    assert "expected the id of a run" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_git_nothing_is_promised(workbench):
    from stability.workbench import runner
    from stability.workbench.reproduction import reproduce
    from stability.workbench.spec import load_plan

    workbench.notebook("plain.ipynb", PLAIN)
    facts = runner.run(load_plan(workbench.spec({"a": {"notebook": "plain.ipynb"}})))
    (result,) = reproduce(facts.steps[0].run_id)
    assert result.status == "impossible"
    assert "was not a git repository" in result.problem


# The night's record, and what a repetition leaves


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_worktree_outlives_a_repetition(repository, number, monkeypatch):
    from stability.workbench.reproduction.scratch import scratch

    root = repository.folder / "runs" / ".reproductions"
    arguments = ("reproduce", repository.runs()["first"].info.run_id)
    process = commands.Begun(repository.folder, *arguments, **repository.environment)
    while not list(root.glob("*/night-1/worktree/notebooks/.reproduced-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    assert "Traceback" not in "".join(process.communicate(timeout=60))
    if number == signal.SIGKILL:
        assert list(root.glob("*/night-1"))
        monkeypatch.setenv("STABILITY_HOME", str(repository.folder))
        with scratch():
            pass
    else:
        assert process.returncode == 130
    assert not list(root.glob("*"))
    assert len(repository.git("worktree", "list").splitlines()) == 1


def test_the_recorded_difference_is_true_to_the_bit_and_leaves_the_repository_alone(repository, monkeypatch):
    monkeypatch.setenv("STABILITY_HOME", str(repository.folder))
    repository.git("config", "color.diff", "always")
    repository.git("config", "diff.noprefix", "true")
    odd = {"a b.txt": b"\xff\xfe\r\n", "é.bin": bytes(range(256)), "empty": b"", "large": b"x" * 10_000_001}
    for name, content in odd.items():
        (repository.folder / name).write_bytes(content)
    objects = sum(1 for _ in (repository.folder / ".git" / "objects").rglob("*"))
    repository.git("status")  # which refreshes the index, as every status does
    index = (repository.folder / ".git" / "index").read_bytes()
    facts = git_facts()
    assert sum(1 for _ in (repository.folder / ".git" / "objects").rglob("*")) == objects
    assert (repository.folder / ".git" / "index").read_bytes() == index
    assert facts["left_out"] == ["large"]
    other = repository.folder.parent / "other"
    repository.git("worktree", "add", "--detach", str(other), facts["git_sha"])
    subprocess.run(["git", "apply", "-"], input=facts["diff"], cwd=other, check=True)
    for name, content in odd.items():
        assert not (other / name).exists() if name == "large" else (other / name).read_bytes() == content
        (repository.folder / name).unlink()
    repository.git("worktree", "remove", "--force", str(other))


# Numbers side by side

VALUES = st.floats(allow_nan=True, allow_infinity=False)


@given(st.dictionaries(st.sampled_from("abcdef"), VALUES))
def test_a_measurement_equals_itself(metrics):
    assert differences(metrics, dict(metrics), tolerance=0) == []


@given(st.floats(1, 1e6), st.sampled_from([-1, 1]))
def test_the_tolerance_is_relative(value, sign):
    assert not differences({"a": value}, {"a": value * (1 + sign * 9e-10)})
    assert differences({"a": value}, {"a": value * (1 + sign * 2e-9)})
    assert differences({"a": value}, {"a": math.nextafter(value, math.inf)}, tolerance=0)


def test_what_vanished_appeared_or_lost_its_evidence_differs():
    recorded = {"gone": 1.0, "lost": 1.0, "none": math.nan, "t": 5.0, "t.gone": 1.0, "zero": 0.0}
    measured = {"new": 2.0, "lost": math.nan, "none": math.nan, "t": 9.0, "zero": 1e-17}
    found = differences(recorded, measured, timings={"t", "t.gone"})
    assert [d.cells() for d in found] == [
        ("gone", "1.0", "none", "vanished"),
        ("lost", "1.0", "not enough evidence", ""),
        ("new", "none", "2.0", "appeared"),
        ("t.gone", "1.0", "none", "vanished"),
    ]
    assert Difference("x", 0.1, 0.1 + 1e-16 * 2).cells()[1:3] == ("0.1", "0.1000000000000002")


@pytest.mark.soak
def test_another_lock_is_another_environment(repository):
    """The recorded lock is built (half a minute), the second time it is there; the recorded code runs in it."""
    lock = (CHECKOUT / "requirements.lock").read_bytes()
    with changed(repository.folder / "requirements.lock", lambda text: lock):
        spec = repository.spec({"a": {"notebook": "measures.ipynb"}}, name="locked", dataset={"files": "my/up.csv"})
        assert repository.stability("run", spec).returncode == 0
    experiment = repository.client.get_experiment_by_name("locked").experiment_id
    run_id = yaml.safe_load((repository.latest("locked") / "summary.json").read_text())["steps"]["a"]["run_id"]
    assert experiment
    for built in (True, False):
        done = repository.stability("reproduce", run_id)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("building an environment" in done.stdout) == built
    pythons = list((repository.folder / "runs" / ".environments").glob("*/bin/python"))
    assert [p.parents[1].name for p in pythons] == [hashlib.sha256(lock).hexdigest()]


def test_another_python_is_told_by_what_is_known_of_it(monkeypatch):
    monkeypatch.setattr(environments, "_built", lambda *_: Path("python"))
    found = environments.interpreter(hashlib.sha256(b"pins").hexdigest(), b"pins", "3.10.2", print)
    assert found.notes == ("Python 3.10 of some patch, was 3.10.2",)
