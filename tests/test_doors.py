"""The servers behind `make lab` and `make report`: on loopback, at the address that they print, showing our store."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from stability.workbench import tracking


@pytest.fixture
def door(workbench):
    """Open a door as make does, wait until its address answers, close it afterwards."""
    opened = []

    def enter(name, *arguments, path=""):
        process = subprocess.Popen(
            [sys.executable, "-m", "stability.workbench.doors", name, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        opened.append(process)
        said = [process.stdout.readline(), process.stdout.readline()]
        address = re.search(r"http://127\.0\.0\.1:\d+/\S*", said[0]).group()
        while True:
            assert process.poll() is None, process.stdout.read()
            try:
                httpx.get(address.split("#")[0], timeout=5)
                return address, said, process
            except httpx.TransportError:
                time.sleep(0.2)

    yield enter
    for process in opened:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_report_shows_the_list_of_runs(door, workbench):
    client = tracking.open_store()
    experiment = tracking.experiment_id(client, "nightly")
    run = client.create_run(experiment, run_name="seen")
    address, said, _ = door("report")
    assert f"/#/experiments/{experiment}/runs" in address
    assert str(workbench.folder / "mlflow.db") in said[1]
    base = address.split("/#")[0]
    found = httpx.post(f"{base}/api/2.0/mlflow/runs/search", json={"experiment_ids": [experiment]}, timeout=60).json()
    assert [r["info"]["run_id"] for r in found["runs"]] == [run.info.run_id]


def test_lab_opens_at_the_notebooks_with_a_token_and_without_news(door, workbench):
    address, said, process = door("lab", "--no-browser")
    assert str(workbench.folder / "mlflow.db") in said[1]
    base, token = address.split("/lab?token=")
    assert httpx.get(f"{base}/api/contents", timeout=60).status_code == 403
    headers = {"Authorization": f"token {token}"}
    (workbench.folder / "notebooks" / "here.txt").write_text("x")
    found = httpx.get(f"{base}/api/contents", headers=headers, timeout=60).json()
    assert [f["name"] for f in found["content"]] == ["here.txt"]
    assert token not in Path(f"/proc/{process.pid}/cmdline").read_text()
    settings = f"{base}/lab/api/settings/@jupyterlab/apputils-extension:notification"
    news = json.loads(re.sub(r"^\s*//.*$", "", httpx.get(settings, headers=headers, timeout=60).text, flags=re.M))
    assert news["schema"]["properties"]["fetchNews"]["default"] == "false"
    assert news["schema"]["properties"]["checkForUpdates"]["default"] is False
