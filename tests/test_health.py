"""`stability status`: what ran last, what runs now, and an exit code that a dead-man's switch can trust."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import stability

from stability.schema import ContractError
from stability.workbench import health
from stability.workbench.health import print_status, statuses
from stability.workbench.tracking import locked


def made_up(bench, ago, name="exp", *, status="finished", steps=None, run=None, seconds=60.0):
    """Write what a night leaves, as if it had begun some hours ago."""
    began = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(hours=ago)
    folder = bench.folder / "runs" / name / began.strftime("%Y-%m-%dT%H-%M-%SZ")
    folder.mkdir(parents=True)
    steps = steps or {"a": ("finished", None)}
    summary = {
        "name": name,
        "status": status,
        "started": began.isoformat(),
        "seconds": seconds,
        "steps": {k: {"status": s, "seconds": 1.0, "run_id": None, "error": e} for k, (s, e) in steps.items()},
        "metrics": {},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    if run is not None:
        (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_the_last_night_and_the_last_good_one(workbench):
    made_up(workbench, 50)
    made_up(workbench, 2, status="failed", steps={"a": ("finished", None), "b": ("failed", "KeyError: 'x'")})
    made_up(workbench, 30, name="weekly")
    exp, weekly = statuses()
    assert (exp.name, exp.verdict, exp.done, exp.steps) == ("exp", "failed", 1, 2)
    assert exp.failed == {"b": "KeyError: 'x'"}
    assert dt.datetime.fromisoformat(exp.finished) < dt.datetime.fromisoformat(exp.started)
    assert (weekly.verdict, weekly.failed) == ("finished", {})


def test_a_night_that_was_cut_off_is_interrupted(workbench):
    made_up(workbench, 3, status="failed", steps={"a": ("failed", "not run: the night was interrupted")})
    assert statuses("exp")[0].verdict == "interrupted"


def test_a_running_night_shows_its_progress(workbench, capsys):
    made_up(workbench, 26)
    cut = "not run: the night was interrupted"
    steps = {"a": ("finished", None), "b": ("failed", cut), "c": ("failed", cut), "d": ("failed", "ValueError: x")}
    states = {"a": "finished", "b": "running", "c": "waiting", "d": "failed"}
    run = {"status": "running", "steps": {key: {"status": state} for key, state in states.items()}}
    made_up(workbench, 0.1, status="failed", steps=steps, run=run)
    with locked(workbench.folder / "runs" / "exp" / ".lock"):
        (now,) = statuses("exp")
        assert print_status("exp", None, as_json=False) == 0
    assert (now.verdict, now.done, now.running, now.waiting) == ("running", 1, ["b"], ["c"])
    assert now.failed == {"d": "ValueError: x"}
    assert now.ended is None
    assert now.finished is not None
    said = capsys.readouterr().out
    for word in ("running", "1 of 4", "next", "ValueError: x"):
        assert word in said
    # The same folder without anybody who holds the lock: its runner was killed.
    assert statuses("exp")[0].verdict == "interrupted"


def test_reading_the_lock_keeps_no_night_away(workbench):
    made_up(workbench, 1)
    statuses()
    with locked(workbench.folder / "runs" / "exp" / ".lock", patience=0.0):
        assert statuses("exp")[0].verdict == "finished", "the night that holds the lock has no folder yet"


@pytest.mark.parametrize(
    ("hours", "status", "within", "code"),
    [(2, "finished", "26h", 0), (27, "finished", "26h", 1), (2, "failed", "26h", 1), (2, "finished", "90m", 1)],
)
def test_the_dead_mans_switch(workbench, hours, status, within, code, capsys):
    steps = {"a": (status, "Error" if status == "failed" else None)}
    made_up(workbench, hours, status=status, steps=steps)
    assert print_status("exp", within, as_json=False) == code
    assert ("has finished within" in capsys.readouterr().out) == bool(code)
    assert print_status(None, within, as_json=True) == code
    told = json.loads(capsys.readouterr().out)
    assert told["late"] == bool(code)
    assert told["experiments"][0]["name"] == "exp"


def test_one_experiment_on_time_is_enough_without_a_name(workbench):
    made_up(workbench, 100, name="weekly")
    made_up(workbench, 2, name="nightly")
    assert print_status(None, "26h", as_json=True) == 0
    assert print_status("weekly", "26h", as_json=True) == 1


def test_what_never_ran(workbench):
    assert print_status(None, None, as_json=False) == 0
    assert print_status(None, "26h", as_json=False) == 1
    workbench.spec({"a": {"notebook": "a.ipynb"}}, name="declared")
    assert statuses("declared")[0].verdict == "never"
    assert print_status("declared", "26h", as_json=False) == 1
    with pytest.raises(ContractError, match="did you mean 'declared'"):
        statuses("declred")


def test_damaged_folders_do_not_hide_the_others(workbench):
    folder = made_up(workbench, 3)
    made_up(workbench, 2)
    (folder / "summary.json").write_text("{")
    (workbench.folder / "runs" / "exp" / "2026-01-01T00-00-00Z").mkdir()
    assert statuses("exp")[0].verdict == "finished"
    (workbench.folder / "runs" / "empty").mkdir()  # of a start that was refused
    assert [s.verdict for s in statuses()] == ["finished"]


@pytest.mark.parametrize("text", ["26", "h", "-3h", "1 week", "", "nan h", "1e400d", "9" * 400 + "d"])
def test_a_time_that_is_none_is_said(text):
    with pytest.raises(ContractError, match=r"26h|million"):
        health.parse_age(text)


def test_the_command_is_quick_and_its_codes_can_be_trusted(workbench):
    made_up(workbench, 2)
    code = (
        "import sys\nsys.argv = ['stability', *sys.argv[1:]]\nfrom stability.cli import main\n"
        "try:\n    main()\nfinally:\n    print('IMPORTED', *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, "status"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"mlflow", "torch", "papermill", "nbconvert", "sklearn", "scipy"} & set(done.stdout.split())
    for arguments, wanted in ((["exp", "--within", "1h"], 1), (["ex"], 2), (["--within", "soon"], 2)):
        done = stability(Path.cwd(), "status", *arguments, **os.environ)
        assert done.returncode == wanted, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
