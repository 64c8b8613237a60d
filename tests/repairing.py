"""What tests of repair share: a supervisor that answers as the testbed's does, a service in a state, an aftermath."""

import contextlib
import http.server
import json
import multiprocessing
import threading
import time

import numpy as np
import pandas as pd

from stability.remediation import Aftermath, Guards, Inventory, Record, Repairer, ServiceState, read_playbooks

FORK = multiprocessing.get_context("fork")  # a new interpreter would import pandas and much more first
NOW = pd.Timestamp("2026-03-01 12:00", tz="UTC")
GROUPS = {"replicas": ("model-a", "model-b")}
ALL = ("gateway", "model-a", "model-b", "feature-store")
OPEN = Guards(stop_file="/nonexistent-folder/STOP")


def at(seconds):
    return NOW + pd.Timedelta(seconds=seconds)


def state(seconds=0.0, *, down=(), groups=GROUPS, impact=True, of=ALL):
    return ServiceState(at(seconds), {name: name not in down for name in of}, groups, impact)


def alarm(name="a1", entity="users", seconds=-20):
    return pd.Series({"alarm_id": name, "entity": entity, "start": at(seconds)})


def causes(*rows, name="a1"):
    """Rows of (entity, mode, probability) as the contract's table."""
    table = pd.DataFrame(rows, columns=["entity", "failure_mode", "probability"])
    table["alarm_id"], table["rank"] = name, range(1, len(table) + 1)
    return table.assign(metric=None, evidence=None).set_index(["alarm_id", "rank"])


class Supervisor:
    """A real HTTP server on loopback that keeps what it was asked, and answers as it is told."""

    def __init__(self):
        self.asked, self.headers, self.bodies, self.answered = [], [], [], 0
        self.status, self.delay, self.answer, self.changed = 200, 0.0, None, True
        self.gate = threading.Event()  # nobody is answered while it is shut
        self.gate.set()
        self.processes = {name: {"port": 0} for name in ALL}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _reply(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append(f"{self.command} {self.path}")
                outer.headers.append(dict(self.headers))
                outer.bodies.append(body)
                time.sleep(outer.delay)
                outer.gate.wait(60)
                outer.answered += 1
                asked_status = self.path == "/status"
                told = {"processes": outer.processes} if asked_status else {"done": True}
                told = {"there": outer.changed} if self.path.endswith("/before") else told
                text = outer.answer if outer.answer is not None else json.dumps(told).encode()
                self.send_response(200 if asked_status else outer.status)
                if outer.status in (301, 302, 307):
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = _reply

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.processes["gateway"]["port"] = self.server.server_port
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def done(self):
        """What it was asked to do."""
        return [asked for asked in self.asked if asked.startswith("POST")]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def inventory(url, **more):
    return Inventory.model_validate(
        {"entities": [{"match": list(ALL), "controls": [{"control": "testbed", "supervisor": url, **more}]}]}
    )


def repairer(folder, url, guards=OPEN, mode="automatic", **more):
    return Repairer(read_playbooks(), inventory(url), Record(folder / "record.jsonl"), guards, mode=mode, **more)


def aftermath(case, seconds, *, well=True, seen=True):
    """What telemetry says until so many s after a repair: nine quiet minutes, the fault, then well or still ill."""
    rng = np.random.default_rng(7)
    stamps = pd.date_range(case.acted_at - pd.Timedelta(minutes=10), periods=601 + int(seconds), freq="s")
    ill = (stamps > case.impact_start) & (stamps <= case.acted_at)
    if not well:
        ill |= stamps > case.acted_at
    known = np.full(len(stamps), True) if seen else np.asarray(stamps <= case.acted_at)

    def framed(**columns):
        return pd.DataFrame(columns, index=stamps)[known]

    panel, scores = {}, {}
    for name in ALL:
        hurt = np.asarray(ill) & (name == case.entity)
        noise = rng.normal(1, 0.05, len(stamps))
        panel[name] = framed(
            http_server_requests_total=np.cumsum(30 + rng.integers(0, 5, len(stamps))).astype(float),
            http_server_request_duration_seconds_p99=np.where(hurt, 0.9, 0.02) * noise,
        )
        scores[name] = framed(season=np.where(hurt, 20.0, 1.0) * noise)
    asked = framed(good=np.where(ill, 30.0, 60.0), total=60.0)
    keyed = {"names": ["entity", "timestamp"]}
    return Aftermath(
        entity=case.entity,
        acted_at=case.acted_at,
        impact_start=case.impact_start,
        now=stamps[-1],
        telemetry=pd.concat(panel, **keyed).sort_index(),
        service=pd.concat({"gateway": asked}, **keyed),
        scores=pd.concat(scores, **keyed).sort_index(),
        thresholds={"season": 5.0},
        neighbours=case.neighbours,
    )


def forked(what, *given):
    """Do it in a process of its own, which has everything imported; gives the process, and who talks to it.

    `what` gets the other end, a `Connection`, and what is given: `send` and `recv`, which is an EOFError once the other
    side has ended.
    """
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_talking, args=(what, ours, theirs, given), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _talking(what, other, own, given):
    other.close()  # or its end would never be seen
    what(own, *given)


def heard(talk):
    """All that is still said, until the other side has ended."""
    said = []
    with contextlib.suppress(EOFError):
        while True:
            said.append(talk.recv())
    return said
