"""Bad input through the real command: a sentence on standard error, the promised exit code, nothing written."""

import fcntl
import os
import shutil
from pathlib import Path

import commands
import pytest
from bad_inputs import tree
from bad_inputs.cases import text
from workbenches import LOGS, PLAIN, Workbench

WRONG, FAILED = 2, 1


@pytest.fixture(scope="module")
def bench(tmp_path_factory, empty_store):
    """One workbench for all commands: none of them may change it."""
    made = Workbench(tmp_path_factory.mktemp("commands") / "workbench")
    made.notebook("plain.ipynb", PLAIN)
    made.notebook("logs.ipynb", LOGS)
    shutil.copy(empty_store, made.folder / "mlflow.db")
    (made.folder / "good.csv").write_bytes(text())
    (made.folder / "bad.csv").write_bytes(text().replace(b"0.30", b"abc", 1))
    (made.folder / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
    step = {"a": {"notebook": "logs.ipynb"}}
    made.spec(step, name="good")
    made.spec({"a": {"notebook": "plian.ipynb"}}, name="notebook")
    made.spec({"a": {"notebook": "plain.ipynb", "parameters": {"kk": 1}}}, name="parameter")
    made.spec(step, name="cells", dataset={"name": "files", "options": {"path": "bad.csv"}})
    made.spec(step, name="gzip", dataset={"name": "files", "options": {"path": "cut.csv.gz"}})
    made.spec(step, name="nofile", dataset={"name": "files", "options": {"path": "goood.csv"}})
    made.spec(step, name="unknown", dataset="simulatd")
    made.spec(step, name="snapshot", dataset={"name": "snapshot", "options": {"sha256": "0" * 64}})
    made.spec(step, name="both", dataset={"files": "good.csv", "sql": {"url": "sqlite:///x.db"}})
    (made.folder / "experiments" / "broken.yaml").write_text("steps: [\n")
    (made.folder / "experiments" / "binary.yaml").write_bytes(b"\x89PNG\x00")
    return made


def stability(bench, *arguments, **environment):
    """Run the command line in the workbench's folder."""
    env = {**os.environ, "STABILITY_HOME": str(bench.folder), "COLUMNS": "120", **environment}
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        if name not in environment:
            env.pop(name, None)
    return commands.stability(bench.folder, *arguments, **env)


COMMANDS = [
    (["run", "experiments/god.yaml"], WRONG, ["god.yaml", "experiments/good.yaml"]),
    (["run", "experiments/broken.yaml"], WRONG, ["broken.yaml", "row"]),
    (["run", "experiments/binary.yaml"], WRONG, ["binary.yaml", "UTF-8"]),
    (["run", "experiments"], WRONG, ["experiments", "a folder"]),
    (["run", "experiments/notebook.yaml", "--dry-run"], WRONG, ["did you mean 'plain.ipynb'"]),
    (["run", "experiments/parameter.yaml"], WRONG, ["steps.a.kk", "did you mean 'k'"]),
    (["run", "experiments/cells.yaml"], WRONG, ["bad.csv", "row 6", "'cpu_ratio'", "got 'abc'"]),
    (["run", "experiments/gzip.yaml"], WRONG, ["cut.csv.gz", "cut short"]),
    (["run", "experiments/nofile.yaml"], WRONG, ["goood.csv", "did you mean 'good.csv'"]),
    (["run", "experiments/unknown.yaml"], WRONG, ["did you mean 'simulated'"]),
    (["run", "experiments/good.yaml", "--workers", "0"], WRONG, ["--workers", "1"]),
    (["run", "experiments/good.yaml", "--workers", "many"], WRONG, ["--workers", "integer"]),
    (["run", "experiments/good.yaml", "--dryrun"], WRONG, ["--dryrun", "--dry-run"]),
    (["run"], WRONG, ["spec"]),
    (["rnu", "experiments/good.yaml"], WRONG, ["rnu"]),
    (["data", "fetch"], WRONG, ["name"]),
    (["data", "fetch", "nap"], WRONG, ["did you mean 'nab'"]),
    (["data", "fetch", "files"], WRONG, ["nothing to fetch"]),
    (["data", "check", "smple"], WRONG, ["did you mean 'sample'"]),
    (["data", "lst"], WRONG, ["lst"]),
    (["status", "god"], WRONG, ["the name of an experiment", "'god'"]),
    (["status", "--within", "soon"], WRONG, ["--within", "such as 26h", "'soon'"]),
    (["reproduce", "nothing"], WRONG, ["the id of a run", "'nothing'"]),
    (["reproduce", "nothing", "--tolerance", "-1"], WRONG, ["tolerance", "at least 0"]),
    (["data", "erase", "nobody"], WRONG, ["a subject that a key or a stored table knows"]),
    (["prune", "--keep-days", "-1"], WRONG, ["--keep-days", "0"]),
    (["prune", "--keep-days", "nan"], WRONG, ["--keep-days", "0"]),
    (["prune", "--keep-days", "soon"], WRONG, ["--keep-days", "a valid number"]),
    (["prune", "--keep-runs", "0"], WRONG, ["--keep-runs", "1"]),
    (["prune", "good"], WRONG, ["good"]),
    (["status", "--within", "-26h"], WRONG, ["--within", "-26h"]),
    (["status", "../good"], WRONG, ["the name of an experiment"]),
    (["data", "expire", "soon"], WRONG, ["a length of time", "'soon'"]),
    (["data", "expire", "0d"], WRONG, ["a length of time", "'0d'"]),
    (["data", "expire"], WRONG, ["older_than"]),
    (["data", "expire", "--tables", "logs", "--", "-3d"], WRONG, ["a length of time", "'-3d'"]),
    (["data", "expire", "90d", "--tables", "lgos"], WRONG, ["did you mean 'logs'"]),
    (["data", "expire", "90d", "--tables", "topology"], WRONG, ["topology"]),
    (["data", "expire", "90d", "--tables", ""], WRONG, ["a table with moments", "''"]),
    (["reproduce", "nothing", "--tolerance", "nan"], WRONG, ["tolerance"]),
    (["run", "experiments/snapshot.yaml"], WRONG, ["a snapshot by its sha256"]),
    (["run", "experiments/both.yaml"], WRONG, ["at once"]),
]


@pytest.mark.parametrize(("arguments", "code", "says"), COMMANDS, ids=[" ".join(words) for words, *_ in COMMANDS])
def test_a_wrong_command_ends_with_a_sentence(bench, arguments, code, says):
    before = tree(bench.folder)
    done = stability(bench, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) <= 4  # click shows the usage above its sentence
    for words in says:
        assert words in done.stderr
    written = tree(bench.folder).keys() - before.keys()
    # What keeps two runners apart, and keys out of git, is no output.
    locks = {path for path in written if Path(path).name in (".lock", ".prune.lock", ".store.lock", ".gitignore")}
    folders = {str(folder) for path in locks for folder in list(Path(path).parents)[:2]}
    assert written <= locks | folders, "something was written"


PLACES = [
    ({"STABILITY_HOME": "/nowhere"}, WRONG, ["/nowhere", "STABILITY_HOME"]),
    ({"STABILITY_HOME": "/etc/passwd"}, WRONG, ["/etc/passwd", "STABILITY_HOME"]),
    ({"STABILITY_HOME": "\udcff"}, WRONG, ["STABILITY_HOME"]),
    (
        {"MLFLOW_TRACKING_URI": "http://me:hush@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        FAILED,
        ["127.0.0.1:9"],
    ),
    ({"MLFLOW_TRACKING_URI": "foo://x"}, FAILED, ["foo://x"]),
]


@pytest.mark.parametrize(("environment", "code", "says"), PLACES, ids=["none", "file", "no-text", "away", "odd"])
def test_a_wrong_home_or_store_ends_with_a_sentence(bench, environment, code, says):
    done = stability(bench, "run", "experiments/good.yaml", **environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "hush" not in done.stdout + done.stderr
    for words in says:
        assert words in done.stderr


@pytest.mark.parametrize("verb", [["prune", "--dry-run"], ["reproduce", "nothing"]], ids=["prune", "reproduce"])
@pytest.mark.parametrize(
    "address",
    ["http://me:hush@127.0.0.1:9", "postgresql+psycopg://me:hush@127.0.0.1:9/runs"],
    ids=["server", "postgres"],
)
def test_a_store_that_is_away_is_a_sentence_for_every_verb(bench, verb, address):
    done = stability(bench, *verb, MLFLOW_TRACKING_URI=address, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr
    assert "did not answer" in done.stderr
    assert "me:***@127.0.0.1:9" in done.stderr


def test_two_runners_at_once_is_a_sentence_too(bench):
    folder = bench.folder / "runs" / "good"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        done = stability(bench, "run", "experiments/good.yaml")
    assert done.returncode == FAILED
    assert "running already" in done.stderr
    assert "Traceback" not in done.stderr
