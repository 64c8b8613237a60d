"""What the README shows works: its example of one's own data is taken from it to the letter and run.

Its commands are run to the letter: the first in a shell, those that take a night in this process, with forked kernels.
"""

import contextlib
import datetime as dt
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from workbenches import CHECKOUT, TABLE

from stability import datasets
from stability.cli import main
from stability.schema import read_table
from stability.workbench import runner
from stability.workbench.reporting import read_summary
from stability.workbench.spec import load_plan

README = (CHECKOUT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.M | re.S)


def blocks(language):
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture
def home(workbench, monkeypatch):
    """A workbench with the project's own notebooks, as the current folder."""
    monkeypatch.chdir(workbench.folder)
    for notebook in (CHECKOUT / "notebooks").glob("*.ipynb"):
        (workbench.folder / "notebooks" / notebook.name).write_bytes(notebook.read_bytes())
    return workbench


def in_a_shell(commands, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", commands], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def in_this_process(commands, monkeypatch):
    for command in commands.split("&&"):
        program, *arguments = shlex.split(command)
        assert program == "stability"
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0


def night(home, name, spec):
    """Run a spec in this process: that the command does the same, the examples that are run to the letter show."""
    (home.folder / "experiments" / name).write_text(yaml.safe_dump(spec))
    facts = runner.run(load_plan(home.folder / "experiments" / name))
    assert facts.status == "finished", [step.error for step in facts.steps]


def test_your_own_csv(home, forked_kernels, monkeypatch):
    exec(blocks("python")[0], {})
    (home.folder / "experiments" / "mine.yaml").write_text(blocks("yaml")[0])
    check, night = blocks("bash")[0].split("&&")
    in_a_shell(check, home.folder)
    in_this_process(night, monkeypatch)
    summary = read_summary(home.latest("mine") / "summary.json")
    assert {s["status"] for s in summary["steps"].values()} == {"finished"}
    assert (home.latest("mine") / "index.html").stat().st_size < 2_000_000
    # The burst that the example's maker put in is among the alarms.
    alarms = read_table(home.latest("mine") / "steps" / "detect" / "alarms.parquet", "alarms")
    assert (alarms["start"] >= "2026-10-18T00:00Z").any()


def test_the_example_of_a_detector_raises_alarms_and_goes_on_live(home, capsys):
    shutil.copytree(CHECKOUT / "data" / "sample", home.folder / "data" / "sample")
    exec(blocks("python")[2], {})
    assert "in 2 of the last 3 rows" in capsys.readouterr().out
    assert (home.folder / "pca.npz").stat().st_size > 0


def test_your_own_logs_and_fault_records(home, forked_kernels, monkeypatch):
    spec = blocks("yaml")[1]
    for make in blocks("python")[:2]:
        exec(make, {})
    (home.folder / "experiments" / "mine-whole.yaml").write_text(spec)
    in_this_process(blocks("bash")[1], monkeypatch)
    latest = home.latest("mine-whole")
    summary = read_summary(latest / "summary.json")
    assert {s["status"] for s in summary["steps"].values()} == {"finished"}
    tables = datasets.load(**_dataset(spec))
    assert tables["logs"]["message"].str.contains("TimeoutError").sum() == 18, "with its traceback, each is one line"
    assert tables["faults"]["severity"].tolist() == [8.0, 8.0]
    page = (latest / "steps" / "explore" / "notebook.html").read_text()
    assert "pool is full" in page
    assert "pool exhausted" in page
    alarms = read_table(latest / "steps" / "detect" / "alarms.parquet", "alarms")
    felt = tables["faults"]["impact_start"].iloc[0]
    assert ((alarms["start"] <= felt + pd.Timedelta("2h")) & (alarms["end"] >= felt)).any()


def _dataset(spec):
    data = yaml.safe_load(spec)["dataset"]
    return {"name": data["name"], **data["options"]}


def test_your_own_prometheus(home, prometheus_server, forked_kernels):
    server, spec = prometheus_server, yaml.safe_load(blocks("yaml")[2])
    source = spec["dataset"]["prometheus"]
    assert spec["dataset"]["as_of"] == "now"
    source["url"], source["queries"] = server.url, {"system_cpu_utilization_ratio": "cpu_ratio"}
    end = dt.datetime.fromtimestamp(server.start + server.step * server.samples, dt.UTC)
    spec["dataset"] |= {"window": "1d", "as_of": end.isoformat()}
    night(home, "scraped.yaml", spec)
    (snapshot,) = (home.folder / "runs" / ".snapshots").iterdir()
    panel = datasets.load("snapshot", sha256=snapshot.name)["telemetry"]
    assert set(panel.index.unique("entity")) == {"node/a:9100", "node/b:9100"}


def test_your_own_database(home, forked_kernels):
    spec = yaml.safe_load(blocks("yaml")[3])
    source, stamps = spec["dataset"]["sql"], pd.date_range("2026-10-05", periods=40 * 24, freq="h")
    (home.folder / "my").mkdir()
    readings = pd.DataFrame({"t": stamps.strftime("%Y-%m-%d %H:%M:%S"), "host": "web-1", "cpu": 0.5})
    with contextlib.closing(sqlite3.connect(home.folder / "my" / "fleet.db")) as database:
        readings.to_sql("readings", database, index=False)
        pd.DataFrame({"fault_id": ["1"], "entity": ["web-1"], "impact_start": ["2026-11-10T00:00:00Z"]}).to_sql(
            "outages", database, index=False
        )
        database.commit()
    source["url"] = "sqlite:///my/fleet.db"
    source["reader"]["timezone"] = "UTC"  # SQLite keeps no zone, PostgreSQL does
    home.notebook("table.ipynb", TABLE)  # the first example's notebooks read any tables: what is read is the point
    spec |= {"steps": {"read": {"notebook": "table.ipynb"}}}
    spec["dataset"]["as_of"] = "2026-11-14T00:00:00Z"
    night(home, "stored.yaml", spec)
    (snapshot,) = (home.folder / "runs" / ".snapshots").iterdir()
    tables = datasets.load("snapshot", sha256=snapshot.name)
    assert len(tables["telemetry"]) == 30 * 24
    assert tables["faults"]["impact_start"].notna().all()


def test_every_command_and_file_that_it_names_is_there():
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|^ {4})make ([a-z]+)\b", README, re.M)) <= targets
    for path in re.findall(r"`((?:experiments|data|docs|notebooks)/[\w./-]+)`", README):
        assert (CHECKOUT / path).exists() or path in ("experiments/mine.yaml", "experiments/mine-whole.yaml"), path
    for link in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (CHECKOUT / link).is_file(), link
    rooms = re.findall(r"^\| `(\w+)` \|", README, re.M)
    there = {p.stem for p in (CHECKOUT / "stability").iterdir() if p.name != "__pycache__"} - {"__init__"}
    assert set(rooms) == there
