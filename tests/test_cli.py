"""The command line: quick, with exit codes that a cron job can trust, and sentences where a user erred."""

import os
import re
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from workbenches import PLAIN, RAISES

HEAVY = ("pandas", "numpy", "mlflow", "torch", "sklearn", "papermill", "scipy", "matplotlib", "pyarrow")
# Hands over one metric as `tracking.log` does, without MLflow's import.
MEASURES = (
    "output = ''",
    "import json, pathlib",
    "metric = {'value': 1.0, 'lo': 0.5, 'hi': 1.5, 'kind': 'estimate'}",
    "pathlib.Path(output, 'metrics.json').write_text(json.dumps({'g.e1': metric}))",
)


def stability(*arguments):
    return subprocess.run([sys.executable, "-m", "stability.cli", *map(str, arguments)], capture_output=True, text=True)


def quickly(*arguments):
    """The same where it is no matter how the process begins."""
    return commands.stability(Path.cwd(), *map(str, arguments), **os.environ)


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nsys.argv = ['stability', '--help']\nfrom stability.cli import main\n"
        "try:\n    main()\nfinally:\n    print('IMPORTED', *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    helped, imported = done.stdout.split("IMPORTED")
    assert "run" in helped
    assert "data" in helped
    assert not set(HEAVY) & set(imported.split())


@pytest.mark.parametrize("verb", [["--help"], ["run", "--help"], ["data", "--help"]])
def test_every_verb_explains_itself(verb):
    done = stability(*verb)
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_exit_codes_of_run(workbench):
    workbench.notebook("plain.ipynb", PLAIN)
    workbench.notebook("raises.ipynb", RAISES)
    workbench.notebook("measures.ipynb", MEASURES)
    good = workbench.spec({"a": {"notebook": "measures.ipynb"}}, name="good", headline=["g.e1"])
    bad = workbench.spec({"a": {"notebook": "raises.ipynb"}}, name="bad")
    wrong = workbench.spec({"a": {"notebook": "plain.ipynb", "parameters": {"kk": 1}}}, name="wrong")

    done = quickly("run", good)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[1/1] finished  a" in done.stdout
    assert "1.0 [0.5, 1.5]" in done.stdout
    assert str(workbench.folder / "runs/good/latest/index.html") in done.stdout
    assert "make report" in done.stdout

    command = [sys.executable, "-X", "importtime", "-m", "stability.cli", "run", str(bad)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "| stability.workbench.runner\n" in done.stderr
    assert not re.search(r"\| +lark\b", done.stderr), "a grammar of addresses: two seconds at the start of every night"

    done = quickly("run", wrong)
    assert done.returncode == 2
    assert "did you mean 'k'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workbench.folder / "runs" / "wrong").exists()
    assert quickly("run", "nowhere.yaml").returncode == 2


def test_dry_run_prints_the_plan_and_runs_nothing(workbench):
    workbench.notebook("plain.ipynb", PLAIN)
    steps = {
        "sweep": {"notebook": "plain.ipynb", "matrix": {"k": [1, 2]}, "timeout": 77},
        "last": {"notebook": "plain.ipynb", "needs": ["sweep"]},
    }
    done = quickly("run", workbench.spec(steps), "--dry-run")
    assert done.returncode == 0, done.stderr
    for word in ("sweep[k=1]", "sweep[k=2]", "last", "77 s", "3 notebooks"):
        assert word in done.stdout
    assert not (workbench.folder / "runs" / "exp").exists()


def test_data_verbs(data_mirror):
    done = stability("data", "list")
    assert done.returncode == 0, done.stderr
    for word in ("testbed", "nab", "simulated", "sample"):
        assert word in done.stdout
    assert quickly("data", "check", "sample").returncode == 0
    unknown = quickly("data", "check", "smple")
    assert unknown.returncode == 2
    assert "did you mean 'sample'" in unknown.stderr
