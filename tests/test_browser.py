"""What people see, in a real browser: the report, MLflow's list of runs and a notebook in JupyterLab.

The servers behind `make lab` and `make report` are opened once for all tests: on loopback, at the address that they
print, showing our store.
"""

import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import nbformat
import pytest
from forking import Forked
from jupyter_client.provisioning import local_provisioner
from nbformat.reader import NotJSONError
from workbenches import Workbench

from stability.adaptation.alarm_labels import AlarmLabels
from stability.workbench import tracking
from stability.workbench.reporting.cells import REPORT_TAG
from stability.workbench.runner import run
from stability.workbench.spec import load_plan

PATIENCE = 120_000  # ms that the browser waits for what must come: a hung page, not a slow one
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAUSE = 0.25  # s between two looks at a page: the browser's own waiting looks at each frame, and draws it
WIDTHS = {"desk": 1280, "phone": 390}
PANEL = ".jp-NotebookPanel:visible"  # other tabs hold what earlier tests opened
TRIES = 3  # of the click on "run all": the page may not listen yet when its menu is there


EXPLORES = (
    "output = ''",
    """%matplotlib inline
import matplotlib.pyplot as plt
import mlflow
from tqdm.auto import tqdm

from stability.workbench import tracking

for _ in tqdm(range(3)):
    pass""",
    "plt.plot([1, 2]);",
    """tracking.connect()
with mlflow.start_run():
    tracking.log(output=output, estimates={"explore.coverage": (0.9, 0.8, 1.0)})""",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory, empty_store):
    """A workbench with a notebook that draws and logs, and a night of it in its store."""
    made = Workbench(tmp_path_factory.mktemp("browser") / "workbench")
    shutil.copy(empty_store, made.folder / "mlflow.db")
    made.notebook("explore.ipynb", EXPLORES)
    notebook = nbformat.read(made.folder / "notebooks" / "explore.ipynb", as_version=4)
    notebook.cells[2].metadata["tags"] = [REPORT_TAG]
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# Explore"))
    nbformat.write(notebook, made.folder / "notebooks" / "explore.ipynb")
    steps = {"explore": {"notebook": "explore.ipynb"}}
    spec = made.spec(steps, name="small", question="What is there?", headline=["explore.coverage"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABILITY_HOME", str(made.folder))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        with patch.context() as night:
            night.setattr(local_provisioner, "launch_kernel", lambda command, **options: Forked(command, **options))
            assert run(load_plan(spec)).status == "finished"
        yield made


@pytest.fixture(scope="module")
def browser(require, tmp_path_factory):
    """Debian's Chromium with a profile of its own."""
    program = require("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        profile = tmp_path_factory.mktemp("profile")
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=program, headless=True, args=FLAGS, viewport={"width": 1280, "height": 900}
        )
        context.set_default_timeout(PATIENCE)
        yield context
        context.close()


@pytest.fixture
def page(browser):
    """A tab, with what it asked for and what it complained about."""
    tab = browser.new_page()
    tab.requests, tab.complaints = [], []
    tab.on("request", lambda request: tab.requests.append(request.url))
    tab.on("console", lambda line: tab.complaints.append(line.text) if line.type == "error" else None)
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def door(home):
    """Open a server as make does, once, and wait until it listens; it is ended whatever happens."""
    opened = []
    # Where there is setpriv (Linux), the server does not outlive a killed test run.
    leash = [shutil.which("setpriv"), "--pdeathsig", "KILL"] if shutil.which("setpriv") else []

    @functools.cache
    def enter(*arguments):
        process = subprocess.Popen(
            [*leash, sys.executable, "-m", "stability.workbench.doors", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        opened.append(process)
        said = [process.stdout.readline(), process.stdout.readline()]
        address = re.search(r"http://127\.0\.0\.1:\d+/\S*", said[0]).group()
        while process.poll() is None:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", urlsplit(address).port)):
                    return address, said, process
            time.sleep(PAUSE)
        raise AssertionError(process.stdout.read())

    yield enter
    for process in opened:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def until(page, seen, patience=PATIENCE):
    """Wait until something is seen on a page."""
    deadline = time.monotonic() + patience / 1000
    while not seen():
        assert time.monotonic() < deadline, page.inner_text("body")
        page.wait_for_timeout(PAUSE * 1000)


def fits(page):
    """Whether everything is within the window's width."""
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_report_shows_the_night_on_every_screen(home, page, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto((home.latest("small") / "index.html").as_uri())
    assert page.title().startswith("small: finished")
    for words in ("small", "What is there?", "Finished", "explore.coverage"):
        assert page.get_by_text(words, exact=True).first.is_visible()
    value = page.locator(".card", has_text="explore.coverage").first.inner_text()
    assert re.search(r"\d", value)
    assert "[" in value  # with its interval
    assert fits(page)
    pictures = page.locator("img")
    assert pictures.count() > 0
    assert all(pictures.nth(k).evaluate("i => i.complete && i.naturalWidth > 0") for k in range(pictures.count()))
    page.locator("a[href*='notebook.html']").first.click()
    page.wait_for_url("**/notebook.html")
    assert "explore" in page.title()
    assert page.get_by_role("heading", name=re.compile("Explore")).first.is_visible()
    assert fits(page)
    assert "IProgress" not in page.inner_text("body")
    page.locator("a[href*='index.html']").first.click()
    page.wait_for_url("**/index.html")
    assert page.complaints == []
    assert {url.split(":")[0] for url in page.requests} <= {"file", "data"}


def test_report_shows_the_list_of_runs(home, door):
    client = tracking.open_store()
    experiment = tracking.experiment_id(client, "small")
    address, said, _ = door("report")
    assert f"/#/experiments/{experiment}/runs" in address
    assert str(home.folder / "mlflow.db") in said[1]
    base = address.split("/#")[0]
    found = httpx.post(f"{base}/api/2.0/mlflow/runs/search", json={"experiment_ids": [experiment]}, timeout=60).json()
    known = {run.info.run_id for run in client.search_runs([experiment])}
    assert len(known) == 2, "the night and its step"
    assert {run["info"]["run_id"] for run in found["runs"]} == known


def test_mlflow_lists_the_runs_where_the_door_says(page, door):
    address, *_ = door("report")
    page.goto(address)
    until(page, page.locator("a[href*='/runs/']", has_text="small").first.is_visible)
    until(
        page, page.get_by_text(re.compile(r"2\s*matching runs")).first.is_visible
    )  # the step is folded below its night
    page.locator(".ag-row").get_by_role("button").first.click()
    until(page, page.locator("a[href*='/runs/']", has_text="explore").first.is_visible)
    assert {url.split("/")[2] for url in page.requests if url.startswith("http")} == {address.split("/")[2]}


def test_lab_opens_at_the_notebooks_with_a_token_and_without_news(home, door):
    address, said, process = door("lab", "--no-browser")
    assert str(home.folder / "mlflow.db") in said[1]
    base, token = address.split("/lab?token=")
    assert httpx.get(f"{base}/api/contents", timeout=60).status_code == 403
    headers = {"Authorization": f"token {token}"}
    (home.folder / "notebooks" / "here.txt").write_text("x")
    found = httpx.get(f"{base}/api/contents", headers=headers, timeout=60).json()
    there = {path.name for path in (home.folder / "notebooks").glob("[!.]*")}
    assert {file["name"] for file in found["content"]} == there >= {"here.txt"}
    assert token not in Path(f"/proc/{process.pid}/cmdline").read_text()
    settings = f"{base}/lab/api/settings/@jupyterlab/apputils-extension:notification"
    news = json.loads(re.sub(r"^\s*//.*$", "", httpx.get(settings, headers=headers, timeout=60).text, flags=re.M))
    assert news["schema"]["properties"]["fetchNews"]["default"] == "false"
    assert news["schema"]["properties"]["checkForUpdates"]["default"] is False


LOGS_BY_HAND = (
    "output = ''",
    "%matplotlib inline\nimport matplotlib.pyplot as plt\nimport mlflow\n\nfrom stability.workbench import tracking",
    "plt.plot([1, 2]);",
    """tracking.connect()
with mlflow.start_run():
    tracking.log(output=output, estimates={"hand.coverage": (0.9, 0.8, 1.0)})""",
)


LABELLER = """
import numpy as np
import pandas as pd
from stability.plotting import style
from stability.workbench.labeller import alarm_labeller

style()
stamps = pd.date_range("2026-01-01", periods=600, freq="min", tz="UTC", unit="us")
index = pd.MultiIndex.from_product([["web-1"], stamps], names=["entity", "timestamp"])
load = np.random.default_rng(0).normal(5.0, 1.0, size=600)
load[[100, 300, 500]] += 20
panel = pd.DataFrame({"process_cpu_utilization_ratio": load / 40}, index=index)
alarms = pd.DataFrame({"alarm_id": ["a", "b", "c"], "entity": "web-1", "start": stamps[[100, 300, 500]],
                       "end": stamps[[104, 304, 504]], "detector": "novelty", "score": 20.0, "threshold": 10.0,
                       "metrics": "process_cpu_utilization_ratio"})
alarm_labeller(alarms, panel, pd.Series(load, index=index, name="novelty"))
"""


def test_a_notebook_in_jupyterlab_logs_by_itself_and_labels_alarms_with_mouse_and_keyboard(home, page, door):
    home.notebook("by-hand.ipynb", (*LOGS_BY_HAND, LABELLER))
    file = home.folder / "notebooks" / "by-hand.ipynb"
    open_notebook(page, door, file.name)
    run_all(page)
    until(page, page.get_by_text("0 of 3 labelled").is_visible)
    pictures = page.locator(f"{PANEL} .jp-CodeCell").last.locator("img")  # the view has followed to the end
    until(page, lambda: pictures.count() == 3)
    assert all(pictures.nth(k).evaluate("i => i.complete && i.naturalWidth > 300") for k in range(3))
    assert page.locator(".jp-Dialog:visible, .Toastify__toast:visible").count() == 0
    cells = saved(page, file)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    outputs = [o for c in cells for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    client = tracking.open_store()
    found = client.search_runs([tracking.experiment_id(client, tracking.INTERACTIVE)])
    assert [r.info.status for r in found] == ["FINISHED"]
    assert found[0].data.metrics["hand.coverage"] == 0.9

    page.get_by_role("button", name="discard", exact=True).first.click()
    until(page, page.get_by_text("1 of 3 labelled").is_visible)
    assert AlarmLabels().current()["label"].tolist() == ["discarded"]
    for key in ("Tab", "Tab", "Space"):  # past "unsure" of this alarm to "confirm" of the next one
        page.keyboard.press(key)
    until(page, page.get_by_text("2 of 3 labelled").is_visible)
    assert AlarmLabels().current()["label"].tolist() == ["discarded", "confirmed"]
    page.get_by_role("button", name="undo").click()
    until(page, page.get_by_text("1 of 3 labelled").is_visible)


def open_notebook(page, door, name):
    """Open a notebook in JupyterLab, and wait until its kernel is there and listens."""
    address, *_ = door("lab", "--no-browser")
    page.goto(address.replace("/lab?", f"/lab/tree/{name}?"))
    until(page, page.locator(f"{PANEL} .jp-Cell").first.is_visible)
    until(page, page.locator("#jp-main-statusbar", has_text="| Idle").is_visible)


def run_all(page):
    """Click until the notebook runs, and wait for its last cell."""
    begun = page.locator(PANEL).get_by_text(re.compile(r"^\[(\*|\d+)\]:$")).first
    for _ in range(TRIES):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        try:
            until(page, begun.is_visible, PATIENCE / TRIES)
            break
        except AssertionError:  # the click was lost
            page.keyboard.press("Escape")  # a question that came in between
    last = page.locator(f"{PANEL} .jp-CodeCell .jp-InputArea-prompt").last  # the view has followed to the end
    until(page, lambda: re.search(r"\[\d+\]:", last.inner_text()))


def saved(page, file):
    """Save a notebook, and give its code cells once the file has what they gave; widgets change it again meanwhile."""
    cells = []

    def whole():
        try:
            cells[:] = [c for c in nbformat.read(file, as_version=4).cells if c.cell_type == "code"]
        except NotJSONError:  # it is being written
            return False
        return all(c.execution_count for c in cells)

    page.keyboard.press("Control+s")
    until(page, whole)
    return cells
