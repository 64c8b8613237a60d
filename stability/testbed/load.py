"""Users of the service: an open-loop generator, whose arrivals never wait for answers, and its record of every second.

`python -m stability.testbed.load --url http://127.0.0.1:8000 --port 8001 --rate 60 --seed 1 --home FOLDER` asks until
its standard input ends, or for `--seconds`. It writes two files of JSON lines, whole lines each second:

`load.jsonl`
    For each second one line of `"replica": "all"`, and one for each replica that had requests concluded in it (`""`
    where none is known): `second` (since 1970), `replica`, `answered`, `failed` (error, or no answer within 2 s), of
    the answered `slow` (later than 0.25 s) and `wrong`, and `p50`, `p95`, `max` of the s for which users waited, failed
    requests included (null: there were none). A request counts in the second in which it was concluded; waiting counts
    from the moment at which it was due, so that a generator that lags cannot make the service look fast. The line of
    all also has `sent` (requests due and sent in this second, those over the cap included), `over` (those that failed
    at once because too many were outstanding; they count among the failed of `""`), `outstanding` (at its end), and
    `lag` (99th percentile of the s between due and sent: whether the loop was open; null: nothing was sent).
`feedback.jsonl`
    The contract's columns `feedback_id`, `timestamp`, `channel`, `user`, `entity`, `text`, `rating`, `category`.

Its own log lines go to `logs/users.jsonl`, as those of the other processes do.
"""

from __future__ import annotations

__all__ = ["Load", "main"]

import argparse
import asyncio
import json
import logging
import os
import random
import signal
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from yarl import URL

from stability.testbed import tally, users
from stability.testbed.arrivals import Arrivals
from stability.testbed.tally import Counts, Tally, quantile
from stability.testbed.task import ITEMS, item_labels

LOOPBACK = "127.0.0.1"
PATIENCE = 2.0  # s for which a user waits
CAP = 2_000  # requests outstanding, beyond which a new one fails at once: memory and ports are bounded
KEPT = 3.0  # s for which an idle connection is kept: less than the server keeps it, or it may close it under a request
JUDGING = 0.5  # share of the answers that users judge for the service
JUDGED_AFTER = (1.0, 3.0)  # s after the answer
CAMPAIGN = 5.0, 900.0  # largest factor, longest time in s
HEADERS = {"content-type": "application/json"}

REQUESTS = Gauge("service_requests", "Requests that users sent in the last whole second.")
LATENCY = {p: Gauge(f"service_latency_seconds_p{p}", "s that users waited, over the last 10 s.") for p in (50, 95, 99)}
AVAILABILITY = Gauge("service_availability_ratio", "Share of the requests of the last 10 s that were answered.")


@dataclass
class Told:
    """What it was told at its start; see the module."""

    url: str
    port: int
    rate: float
    seed: int
    home: Path
    seconds: float | None = None
    name: str = "users"
    age: float = 0.0


class Load:
    """The generator.

    Parameters
    ----------
    told : Told
        Whom to ask, how often, for how long, where to write.
    """

    def __init__(self, told: Told) -> None:
        self.told, self.over = told, asyncio.Event()
        self.predict = URL(f"{told.url}/v1/predict")
        self.truth, self.bodies = item_labels().tolist(), [b'{"item": %d}' % item for item in range(ITEMS)]
        self.users = users.Users(told.seed, int(time.time()))
        self.judging = random.Random(told.seed)  # noqa: S311 - a draw, no secret
        self.judged: deque[tuple[float, str, bool]] = deque()
        self.asking: set[asyncio.Task] = set()
        self.telling: asyncio.Task | None = None
        told.home.mkdir(parents=True, exist_ok=True)
        self.files = [os.open(told.home / name, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644) for name in _FILES]
        self.begun = time.time()  # last, so that the first arrivals are not late
        self.ahead = self.begun - time.monotonic()
        self.arrivals = Arrivals(told.rate, told.seed, self.begun, told.age)
        self.tally = Tally(int(self.begun), self._closed)

    async def run(self) -> None:
        """Ask until told to stop; with an end of its own, until everything that was asked is concluded, too."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT),
            timeout=aiohttp.ClientTimeout(PATIENCE),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("user-agent", "accept", "accept-encoding"),  # each costs CPU with every request
        ) as self.session:
            runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, LOOPBACK, self.told.port).start()
            ticking, sending, stopped = (
                asyncio.create_task(work) for work in (self._tick(), self._send(), self.over.wait())
            )
            await asyncio.wait([sending, stopped, ticking], return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and self.asking:
                await asyncio.wait([stopped, asyncio.gather(*self.asking)], return_when=asyncio.FIRST_COMPLETED)
            work = [ticking, sending, stopped, *self.asking, *([self.telling] if self.telling else [])]
            for task in work:
                task.cancel()
            ends = await asyncio.gather(*work, return_exceptions=True)
            self.tally.upto(time.time())
            self.tally.close()
            await runner.cleanup()
        for error in ends[:2]:  # a fault of the generator's own is not kept quiet
            if isinstance(error, Exception):
                raise error

    async def _send(self) -> None:
        due, item = self.arrivals.after(self.begun)
        while self.told.seconds is None or due < self.begun + self.told.seconds:
            await asyncio.sleep(due - self._now())
            now = self._now()
            self.tally.arrived(time.time(), max(now - due, 0.0))
            if len(self.asking) < CAP:
                task = asyncio.create_task(self._ask(item, due))
                self.asking.add(task)
                task.add_done_callback(self.asking.discard)
            else:
                if not self.tally.over:
                    logging.warning("%d requests are outstanding: what comes now fails at once", CAP)
                self.tally.over += 1
                self.tally.failed(time.time(), "", now - due)
            due, item = self.arrivals.after(due)

    def _now(self) -> float:
        """The clock that arrivals go by: begins with the time of day and is never set back."""
        return time.monotonic() + self.ahead

    async def _ask(self, item: int, due: float) -> None:
        replica, label = "", None
        try:
            async with self.session.post(self.predict, data=self.bodies[item], headers=HEADERS) as response:
                replica = response.headers.get("x-replica", "")
                body = await response.read()
                if response.status == 200:
                    label = int(json.loads(body)["label"])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError, KeyError):
            pass  # no answer, or one that says nothing: both failed
        now, waited = time.time(), self._now() - due
        if label is None:
            self.tally.failed(now, replica, waited)
            return
        wrong = label != self.truth[item]
        self.tally.answered(now, replica, waited, wrong)
        if self.judging.random() < JUDGING:
            self.judged.append((now + self.judging.uniform(*JUDGED_AFTER), replica, not wrong))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            self.tally.upto(time.time())

    def _closed(self, second: int, replicas: dict[str, Counts], lines: str) -> None:
        """Write what is known of a second, let users live through it, and tell the service what they found."""
        os.write(self.files[0], lines.encode())
        self.users.lived(second, replicas)
        if said := "".join(self.users.sent(second + 1.0)):
            os.write(self.files[1], said.encode())
        sent, lately = self.tally.lately[-1][0], Counts()
        for _, counts in self.tally.lately:
            lately.add(counts)
        REQUESTS.set(sent)
        ordered, concluded = sorted(lately.waited), lately.answered + lately.failed
        for percent, gauge in LATENCY.items():
            value = quantile(ordered, percent / 100)
            gauge.set(float("nan") if value is None else value)
        AVAILABILITY.set(lately.answered / concluded if concluded else float("nan"))
        due = [found for found in self.judged if found[0] <= second + 1]
        if due and not (self.telling and not self.telling.done()):
            self.judged = deque(found for found in self.judged if found[0] > second + 1)
            self.telling = asyncio.create_task(self._tell(due))

    async def _tell(self, found: list[tuple[float, str, bool]]) -> None:
        outcomes = [{"replica": replica, "good": good} for _, replica, good in found]
        try:
            async with self.session.post(f"{self.told.url}/v1/outcomes", json={"outcomes": outcomes}) as response:
                await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass  # lost, as much else is while the gateway is away

    def _application(self) -> web.Application:
        async def healthz(_: web.Request) -> web.Response:
            return web.json_response({"status": "ok"})

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

        async def campaign(request: web.Request) -> web.Response:
            try:
                asked = await request.json()
                factor, seconds = float(asked["factor"]), float(asked["seconds"])
            except (ValueError, TypeError, KeyError):
                raise web.HTTPBadRequest(text='expected {"factor": 1.8, "seconds": 50}') from None
            if not (0 < factor <= CAMPAIGN[0] and 0 < seconds <= CAMPAIGN[1]):
                most, longest = CAMPAIGN
                raise web.HTTPBadRequest(text=f"factor: in (0, {most:g}]; seconds: in (0, {longest:g}]")
            now = self._now()
            self.arrivals.campaign(factor, now, now + seconds)
            return web.json_response({"factor": factor, "seconds": seconds})

        app = web.Application()
        app.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
        app.add_routes([web.post("/admin/campaign", campaign)])
        return app


_FILES = (tally.FILE, users.FILE)


class _Lines(logging.Formatter):
    """Log lines as those of the service's processes, whose module takes a second to import."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"timestamp": moment, "level": record.levelname, "message": record.getMessage()}
        return json.dumps(line, ensure_ascii=False)


async def _run(told: Told) -> None:
    (told.home / "logs").mkdir(parents=True, exist_ok=True)
    lines = logging.FileHandler(told.home / "logs" / f"{told.name}.jsonl", encoding="utf-8")
    lines.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    load, loop = Load(told), asyncio.get_running_loop()
    logging.info("%s come: %g requests/s in the mean, process %d", told.name, told.rate, os.getpid())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.over.set)

    def follow() -> None:
        while os.read(0, 1024):
            pass
        loop.call_soon_threadsafe(load.over.set)

    threading.Thread(target=follow, name="parent", daemon=True).start()
    await load.run()


def main() -> None:
    """Be the users, as the module says."""
    parser = argparse.ArgumentParser(prog="python -m stability.testbed.load", description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="users", help="the entity that it is")
    parser.add_argument("--url", required=True, help="address of the gateway")
    parser.add_argument("--port", type=int, required=True, help="where to serve health, metrics and campaigns")
    parser.add_argument("--rate", type=float, default=60.0, help="mean requests a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, required=True, help="folder of the records")
    parser.add_argument("--age", type=float, default=0.0, help="s for which the service has been in use: day, trend")
    parser.add_argument("--seconds", type=float, help="how long; without it until the standard input ends")
    asyncio.run(_run(Told(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
