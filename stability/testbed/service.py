"""What every process of the service is: an application with health, metrics, log lines, and effects that can be set."""

from __future__ import annotations

__all__ = ["JsonLines", "Link", "Service", "arguments", "follow_parent", "serve"]

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, Histogram, generate_latest

LOOPBACK = "127.0.0.1"
WATCHED = "/v1/"  # what is measured, and what a bad network reaches; health, metrics and controls are not
BUCKETS = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.25, 0.4, 0.6, 1.0, 2.0)
KEEP = 30  # s for which an idle connection is kept: longer than any caller does, or it would be closed under a request
HANG = 3.0  # s that a dropped answer is held before it is given up: longer than any caller waits

DURATION = Histogram(
    "http_server_request_duration_seconds", "Time to answer a request.", ["http_response_status_code"], buckets=BUCKETS
)
ACTIVE = Gauge("http_server_active_requests", "Requests being answered.")
THREADS = Gauge("process_threads", "Threads of the process.")


@dataclass
class Link:
    """What happens to answers on their way back: a delay in s, its spread, and the share that is lost."""

    delay: float = 0.0
    loss: float = 0.0

    async def cross(self) -> None:
        """Wait as long as this answer takes; for a lost one, until its caller is surely gone."""
        if self.loss and random.random() < self.loss:  # noqa: S311, a network draws no keys
            await asyncio.sleep(HANG)
        if self.delay:
            await asyncio.sleep(self.delay * random.expovariate(1.0))


class JsonLines(logging.Handler):
    """Log lines as JSON, a line a record, in the columns of the contract but for the entity, which is the file's name.

    Parameters
    ----------
    path : Path
        The file; lines are appended.

    Attributes
    ----------
    skew : float
        Seconds by which the clock that stamps the lines runs ahead.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.file = path.open("a", encoding="utf-8", buffering=1)
        self.skew = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, whole."""
        moment = datetime.fromtimestamp(record.created + self.skew, UTC)
        line = {"timestamp": moment.isoformat(timespec="milliseconds"), "level": record.levelname}
        self.file.write(json.dumps({**line, "message": record.getMessage()}, ensure_ascii=False) + "\n")


@dataclass
class Service:
    """One process of the service.

    Parameters
    ----------
    name : str
        The entity that it is.
    home : Path
        Folder of the whole testbed.
    """

    name: str
    home: Path
    link: Link = field(default_factory=Link)
    blind: bool = False  # whether its metrics are not to be had
    health: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self.lines = JsonLines(self.home / "logs" / f"{self.name}.jsonl")
        self.log = logging.getLogger("testbed")
        self.log.setLevel(logging.INFO)
        self.log.addHandler(self.lines)
        self.log.propagate = False
        THREADS.set_function(threading.active_count)
        self.app = FastAPI(title=self.name, docs_url=None, redoc_url=None, openapi_url=None)
        self.app.add_middleware(_Measured, service=self)
        self.app.add_api_route("/healthz", self._healthz)
        self.app.add_api_route("/metrics", self._metrics)

    async def _healthz(self) -> dict[str, str]:
        if not self.health():
            raise HTTPException(503, "not ready")
        return {"status": "ok"}

    async def _metrics(self) -> Response:
        if self.blind:
            raise HTTPException(503, "no metrics for now")
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class _Measured:
    """Counts and times what is asked under `WATCHED`, and lets each answer cross the link; plain ASGI, for speed."""

    def __init__(self, app: Callable[..., Awaitable[None]], service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(WATCHED):
            await self.app(scope, receive, send)
            return
        status, link, begun = 500, self.service.link, time.perf_counter()

        async def answer(message: dict) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                await link.cross()
            await send(message)

        ACTIVE.inc()
        try:
            await self.app(scope, receive, answer)
        except MemoryError:
            status = 503
            self.service.log.error("out of memory while answering %s", scope["path"])
            await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        finally:
            ACTIVE.dec()
            DURATION.labels(str(status)).observe(time.perf_counter() - begun)


def arguments(what: str) -> argparse.ArgumentParser:
    """What every process is told at its start: who it is, where it listens, where the testbed keeps its files."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True)
    return parser


def follow_parent() -> None:
    """End this process as soon as whoever started it is gone: its standard input ends then, even after a kill -9."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(3)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def serve(service: Service, port: int) -> None:
    """Answer on loopback until told to stop."""
    follow_parent()
    sys.setswitchinterval(0.005)  # Python's own default, said here because runaway threads hurt through it
    config = uvicorn.Config(
        service.app,
        LOOPBACK,
        port,
        log_level="warning",
        access_log=False,
        backlog=2048,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=KEEP,
    )
    service.log.info("%s listens, process %d", service.name, os.getpid())
    uvicorn.Server(config).run()
