"""A watch's own /metrics and /healthz: whoever watches must be watched."""

from __future__ import annotations

__all__ = ["Exposition", "listening"]

import errno
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stability.monitor.declaration import ServePart
from stability.schema import ContractError

if TYPE_CHECKING:
    from stability.monitor.chain import Step
    from stability.monitor.following import Follower

PREFIX = "stability_watch"
SILENCE = 10.0  # s beyond three steps without a sign of life, in which a page, a diagnosis or a checkpoint is made
BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class Exposition:
    """A small server beside the watch, whose answers are true when they are given, also of a watch that hangs.

    Parameters
    ----------
    follower : Follower
    part : ServePart
        Where it listens; port 0 takes any.

    Attributes
    ----------
    address : tuple of (str, int)
    heard : float or None
        When the watch last gave a sign of life, a step or the end of a tick: seconds, as `time.monotonic` counts.
    """

    def __init__(self, follower: Follower, part: ServePart):
        self.follower, self.registry = follower, CollectorRegistry()
        self.heard: float | None = None
        made = {"registry": self.registry, "namespace": PREFIX}
        self.steps = Counter("steps", "Steps that were judged", **made)
        self.late = Gauge("late_steps", "Steps that were judged more than a step after they were due", **made)
        self.skipped = Gauge("skipped_steps", "Moments that were given up after a long outage", **made)
        self.late_rows = Gauge("late_rows", "Rows that came after their moment had been judged", **made)
        self.ahead_rows = Gauge("ahead_rows", "Rows that were set aside, being ahead of the clock", **made)
        self.errors = Gauge("source_errors", "Questions that the source did not answer", **made)
        self.reloads = Gauge("reloads", "Times that rules or models were read anew", **made)
        self.refused = Gauge("reload_refused", "1 while changed rules or models are not used, being wrong", **made)
        self.failing = Gauge("failing", "Detectors, predictor and rules that raise errors instead of judging", **made)
        self.behind = Gauge("behind_seconds", "Time between what is due and the last step", **made)
        self.behind.set_function(lambda: follower.behind)
        self.moment = Gauge("last_moment_seconds", "Moment of the last step, Unix time", **made)
        self.open = Gauge("open_alarms", "Alarms that go on", ["severity"], **made)
        self.firing = Gauge("firing_rules", "Alerts of rules that fire", **made)
        self.counted = Gauge("total", "What has happened since the watch began", ["what"], **made)
        self.cost = Histogram("step_cpu_seconds", "Processor time of a step", buckets=BUCKETS, **made)
        self.server = listening(part.host, part.port)
        self.server.exposition = self
        self.address = self.server.server_address[:2]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.2,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def after(self, step: Step | None) -> None:
        """Take a step, or the end of a tick (None), into account."""
        follower, watch = self.follower, self.follower.watch
        self.heard = time.monotonic()
        if step is not None:
            self.steps.inc()
            self.cost.observe(step.seconds)
            self.moment.set(step.moment / 1e6)
            return
        self.late.set(follower.late)
        self.skipped.set(follower.skipped)
        self.late_rows.set(follower.source.late_rows)
        self.ahead_rows.set(follower.source.ahead_rows)
        self.errors.set(follower.errors)
        self.reloads.set(follower.reloads)
        self.refused.set(bool(follower.refused))
        self.failing.set(len(follower.failing))
        if watch is not None:
            for severity in ("critical", "warning", "info"):
                self.open.labels(severity).set(sum(one.severity == severity for one in watch.open_alarms))
            self.firing.set(len(watch.alerts.firing) if watch.alerts is not None else 0)
            for what, count in watch.counts.items():
                self.counted.labels(what).set(count)

    def health(self) -> dict[str, Any]:
        """Tell how the watch is now."""
        follower = self.follower
        silent = 0.0 if self.heard is None else time.monotonic() - self.heard
        why = follower.trouble
        if not why and self.heard is None:
            why = "begins"
        if not why and silent > 3 * follower.told.step_us / 1e6 + SILENCE:  # files tell nothing while nobody reads them
            why = f"no sign of life for {silent:.0f} s"
        why = why or follower.ill
        told = {"healthy": not why, "why": why, "behind_seconds": round(follower.behind, 1)}
        told |= {"refused": follower.refused} if follower.refused else {}
        return told | ({"failing": follower.failing} if follower.failing else {})

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def listening(host: str, port: int) -> ThreadingHTTPServer:
    """Take a port, and answer nobody yet.

    Parameters
    ----------
    host : str
    port : int
        0 takes any.

    Raises
    ------
    ContractError
        Where the host is none of this machine's, or the port is not free.
    """
    try:
        return _Server((host, port), _Handler)
    except (OSError, UnicodeError) as error:  # a name of letters that no name has
        got = getattr(error, "strerror", None) or str(error)
        if isinstance(error, UnicodeError | socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            expected, remedy = "an address of this machine", "serve: {host: 127.0.0.1}"
            raise ContractError(column="serve.host", expected=expected, got=f"{host!r}: {got}", remedy=remedy) from None
        expected, remedy = f"that {host}:{port} is free", "serve: {port: ...}, or 0 for any"
        raise ContractError(column="serve", expected=expected, got=got, remedy=remedy) from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    exposition: Exposition

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]):
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # s: who asks and says nothing more holds a thread no longer

    def do_GET(self) -> None:
        own = self.server.exposition
        if self.path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(own.registry))
        elif self.path == "/healthz":
            health = own.health()
            self._answer(200 if health["healthy"] else 503, "application/json", json.dumps(health).encode())
        else:
            self._answer(404, "text/plain", b"There are /metrics and /healthz.\n")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal belongs to the table."""
