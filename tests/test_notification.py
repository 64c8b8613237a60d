"""The message of a night: what it says, that it arrives, and that nobody else learns where it went."""

import http.server
import json
import logging
import os
import signal
import socket
import threading
import time

import commands
import pytest
from workbenches import HANGS, PLAIN, RAISES

from stability.workbench import notification, runner
from stability.workbench.spec import load_plan

SECRET = "s3cret-token"
# Leaves the metrics that `tracking.log` would, and no import of MLflow to wait for.
MEASURES = (
    "output = ''",
    "import json, pathlib",
    """said = {'g.e1': {'value': 1.0, 'lo': 0.5, 'hi': 1.5, 'kind': 'estimate'}}
said['g.n1'] = {'value': 1, 'lo': None, 'hi': None, 'kind': 'count'}
pathlib.Path(output, 'metrics.json').write_text(json.dumps(said))""",
)


class Receiver:
    """A real HTTP server on loopback that keeps what it was sent."""

    def __init__(self, status=200, delay=0.0):
        self.got = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append({"path": self.path, **json.loads(body)})
                time.sleep(delay)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"json://127.0.0.1:{self.server.server_port}/{SECRET}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver(monkeypatch):
    made = Receiver()
    monkeypatch.setenv(notification.ADDRESSES, made.address)
    yield made
    made.close()


def everything(folder):
    """All bytes below a folder, the store included."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_a_night_tells_its_verdict_and_keeps_the_address_to_itself(workbench, receiver, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    workbench.notebook("measures.ipynb", MEASURES)
    workbench.notebook("raises.ipynb", RAISES)
    workbench.notebook("tells.ipynb", ("k = 1", "import os\nprint(sorted(os.environ))\nprint(dict(os.environ))"))
    steps = {"a": {"notebook": "measures.ipynb"}, "b": {"notebook": "tells.ipynb"}}
    runner.run(load_plan(workbench.spec(steps, headline=["g.e1", "g.n1"])))
    (first,) = receiver.got
    assert first["title"] == "exp finished"
    assert first["type"] == "success", "services choose colour and priority by it"
    assert "2 of 2 steps are done, 0 failed" in first["message"]
    assert "g.e1: 1.0 [0.5, 1.5]" in first["message"]
    assert str(workbench.folder / "runs" / "exp") in first["message"]

    steps["c"] = {"notebook": "raises.ipynb"}
    runner.run(load_plan(workbench.spec(steps, headline=["g.e1", "g.n1"])))
    second = receiver.got[1]
    assert second["title"] == "exp FAILED"
    assert second["type"] == "failure", "services choose colour and priority by it"
    assert "- c: ZeroDivisionError: division by zero" in second["message"]
    assert "g.e1: 1.0 [0.5, 1.5] (0 since the night before, the same)" in second["message"]
    assert "step c" in second["message"], "what changed since the night before"

    said = capfd.readouterr()
    for text in (said.out, said.err, caplog.text):
        assert SECRET not in text
    assert SECRET.encode() not in everything(workbench.folder)


def test_an_interrupted_night_tells_so(workbench, receiver):
    workbench.notebook("hangs.ipynb", HANGS)
    path = workbench.spec({"hangs": {"notebook": "hangs.ipynb"}})
    process = commands.Begun(workbench.folder, "run", str(path), **os.environ)
    notebook = workbench.latest() / "steps" / "hangs" / "notebook.ipynb"
    while not notebook.is_file():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()
    assert process.returncode == 130, said
    assert SECRET not in f"{said}"
    (got,) = receiver.got
    assert got["title"] == "exp INTERRUPTED"
    assert "- hangs: interrupted" in got["message"]


def test_a_night_that_cannot_start_tells_so(workbench, receiver, monkeypatch):
    workbench.notebook("plain.ipynb", PLAIN)
    monkeypatch.setattr(runner, "LEAST_FREE_DISK", 1 << 60)
    with pytest.raises(runner.RunnerBusyError):
        runner.run(load_plan(workbench.spec({"a": {"notebook": "plain.ipynb"}})))
    (got,) = receiver.got
    assert got["title"] == "exp DID NOT START"
    assert got["type"] == "failure"
    assert "free disk" in got["message"]


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(notification, "PAUSE", 0.0)
    monkeypatch.setattr(notification, "DEADLINE", 5.0)


def test_whoever_does_not_answer_is_a_warning_and_the_others_are_told(brief, monkeypatch, receiver, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    broken = Receiver(status=500)
    addresses = [f"json://127.0.0.1:{closed}/{SECRET}", receiver.address, "nonsense-" + SECRET, f"zz://{SECRET}"]
    monkeypatch.setenv(notification.ADDRESSES, "\n".join([*addresses, broken.address]))
    assert not notification.send("title", "text")
    assert [(got["title"], got["message"]) for got in receiver.got] == [("title", "text")]
    assert len(broken.got) == notification.ATTEMPTS
    broken.close()
    for number, kind in ((1, "json"), (3, "no address"), (4, "zz"), (5, "json")):
        assert f"address {number} of STABILITY_NOTIFY ({kind})" in caplog.text
    assert "address 2" not in caplog.text
    said = capfd.readouterr()
    assert SECRET not in caplog.text + said.out + said.err


def test_a_service_that_hangs_is_not_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(notification, "DEADLINE", 0.5)
    slow = Receiver(delay=3.0)
    monkeypatch.setenv(notification.ADDRESSES, slow.address)
    begun = time.monotonic()
    assert not notification.send("title", "text")
    assert time.monotonic() - begun < 3.0
    slow.close()
    assert "not delivered" in caplog.text


def test_without_an_address_nothing_is_sent(monkeypatch):
    monkeypatch.delenv(notification.ADDRESSES, raising=False)
    assert notification.send("title", "text")
    monkeypatch.setenv(notification.ADDRESSES, "  ")
    assert notification.send("title", "text")
    assert "apprise" not in os.environ.get(notification.ADDRESSES, "")
