"""Set-up: pyproject, lock, environment.yml and Makefile say the same; notebooks and rooms keep the house's rules."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stability.workbench.doors import portable

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines()]
HERE = {canonicalize_name(r.name): r for r in LOCK if r.marker is None or r.marker.evaluate()}
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
# In the order in which data walk through them: a room imports only from rooms above it.
ROOMS = [
    "schema",
    "telemetry",
    "records",
    "simulate",
    "datasets",
    "evaluation",
    "slo",
    "decomposition",
    "nets",
    "detection",
    "features",
    "prediction",
    "rules",
    "feedback",
    "knowledge",
    "localization",
    "fmea",
    "remediation",
    "availability",
    "adaptation",
    "plotting",
    "workbench",
    "backup",
    "testbed",
    "monitor",
    "cli",
]


def declared():
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for line in [*PROJECT["dependencies"], *(r for extra in extras for r in extra)]]


def test_every_declared_dependency_is_locked_within_its_bounds():
    for wanted in declared():
        if wanted.marker is None or wanted.marker.evaluate():
            pin = HERE[canonicalize_name(wanted.name)]
            (version,) = [s.version for s in pin.specifier]
            assert wanted.specifier.contains(version), f"{pin} is outside of {wanted}"


def test_every_dependency_has_a_lower_bound():
    for wanted in declared():
        assert any(s.operator in (">=", "==") for s in wanted.specifier), wanted


def test_the_lock_pins_everything_and_names_no_build_of_one_machine():
    for pin in LOCK:
        assert [s.operator for s in pin.specifier] == ["=="], pin
        assert "+" not in str(pin.specifier), pin
    assert "torch==2.13.0" in (ROOT / "requirements.lock").read_text().splitlines()
    assert not [p for p in HERE if p.startswith("nvidia")]
    text = (ROOT / "requirements.lock").read_text()
    assert portable(text.replace("torch==2.13.0", "torch==2.13.0+cpu")) == text


def test_what_is_installed_is_what_is_locked():
    for name, pin in HERE.items():
        (version,) = [s.version for s in pin.specifier]
        assert importlib.metadata.version(name).split("+")[0] == version, name


def test_conda_installs_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, inner = environment["dependencies"]
    assert python == "python=3.11"
    assert pip == "pip"
    assert inner == {"pip": ["-r requirements.lock", "-e ."]}
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains("3.11")


def test_help_names_every_target_and_comes_first():
    text = (ROOT / "Makefile").read_text()
    doors = {"help", "nightly", "test", "lab", "report", "check", "soak", "lock", "clean"}
    assert doors <= set(re.findall(r"^([a-z]+):.*## ", text, re.M))
    said = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in said.splitlines()} == set(re.findall(r"^([a-z]+):.*## ", text, re.M))


def test_make_asks_pip_nothing_when_the_environment_is_there(tmp_path):
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / "requirements.lock").touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho asked >> {tmp_path / 'calls'}\n")
    python.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_FIND_LINKS")}
    subprocess.run(
        ["make", "-n", "nightly", f"PYTHON={python}"], cwd=tmp_path, env=clean, check=True, capture_output=True
    )
    assert not (tmp_path / "calls").exists()


def test_make_says_what_to_do_without_the_right_python(tmp_path):
    for name in ("Makefile", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        ["make", "nightly", "PYTHON=/bin/false"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "not Python 3.11" in done.stdout
    done = subprocess.run(["make", "nightly", "PYTHON="], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "apt install python3.11" in done.stdout


def test_continuous_integration_runs_the_tests():
    text = (ROOT / ".ci" / "run").read_text()
    assert "make test" in text
    assert "prometheus" in text


@pytest.mark.parametrize("path", sorted((ROOT / "stability").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_from_rooms_above_it(path):
    parts = path.relative_to(ROOT / "stability").with_suffix("").parts
    if parts == ("__init__",):
        return
    assert parts[0] in ROOMS, f"{parts[0]} is no room of the house"
    assert path.read_text().count("\n") <= 400, f"{path} has outgrown its room: make it a package"
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{a.name}" if node.module == "stability" else node.module for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            if name.startswith("stability."):
                room = name.split(".")[1]
                assert ROOMS.index(room) <= ROOMS.index(parts[0]), f"{path.name} imports {room} from below"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebooks_are_stripped_parameterized_and_short_of_code(path):
    nb = nbformat.read(path, 4)
    nbformat.validate(nb)
    assert nb.metadata.kernelspec.name == "python3"
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert not any(c.outputs or c.execution_count for c in code)
    assert [("parameters" in c.metadata.get("tags", [])) for c in code].count(True) == 1
    for cell in code:
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "pass", cell.source, flags=re.M))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno < 6, f"{path.name}: {node.name} belongs in the package"


def test_the_package_itself_imports_nothing():
    code = "import sys; before = set(sys.modules); import stability; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['stability']"
