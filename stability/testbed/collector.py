"""A small collector where there is no Prometheus: scrapes every second, answers the range queries of the panel.

python -m stability.testbed.collector --targets FOLDER/targets.json --port PORT

It understands queries of one form, ``AGG by (LABEL, ...) (METRIC{LABEL="..."})``, and ends with its standard input.
"""

from __future__ import annotations

__all__ = ["main"]

import argparse
import asyncio
import json
import logging
import math
import os
import threading
import time
from pathlib import Path

import aiohttp
import numpy as np
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from stability.testbed.samples import QueryError, Samples, parse_query
from stability.testbed.scraping import INTERVAL, TIMEOUT, read_targets

POINTS = 11_000  # of one series in one answer, as Prometheus has it
EARLY = 0.05  # s by which a sleep may end too early by the clock on the wall
WARN_AFTER = 10  # scrapes that fail in a row before it is said

log = logging.getLogger("collector")

# ---- scraping --------------------------------------------------------------------------------------------------------


async def _scrape(session: aiohttp.ClientSession, address: str) -> list[tuple[str, dict[str, str], float]] | None:
    """Fetch and parse one target's samples; None where it does not answer in time and in form."""
    try:
        async with session.get(f"http://{address}/metrics") as answer:
            if answer.status != 200:
                return None
            text = await answer.text()
        return [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.name.endswith("_created")  # moments at which counters were made: nobody asks for them
        ]
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        return None


async def _collect(samples: Samples, targets: Path) -> None:
    """Scrape every target at every full second, for ever."""
    addresses, changed, failed = {}, None, {}
    limit = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=limit, connector=aiohttp.TCPConnector(limit=0)) as session:
        while True:
            now = time.time()
            await asyncio.sleep(INTERVAL - now % INTERVAL)
            second = int(time.time() + EARLY)
            try:
                if (stamp := targets.stat().st_mtime_ns) != changed:
                    addresses, changed = read_targets(targets), stamp
            except (OSError, ValueError, LookupError, TypeError) as error:
                log.warning("%s: the targets stay as they were: %s", targets, error)
            found = await asyncio.gather(*(_scrape(session, address) for address in addresses.values()))
            for entity, these in zip(addresses, found, strict=True):
                failed[entity] = 0 if these is not None else failed.get(entity, 0) + 1
                if failed[entity] == WARN_AFTER:
                    log.warning("%s at %s: %d scrapes without an answer", entity, addresses[entity], WARN_AFTER)
                samples.add(entity, second, [("up", {}, float(these is not None)), *(these or [])])


# ---- the part of Prometheus's HTTP API that a range needs ------------------------------------------------------------


def _application(samples: Samples) -> web.Application:
    async def query_range(request: web.Request) -> web.Response:
        asked = {**request.query, **(await request.post())}
        try:
            query = parse_query(asked.get("query", ""))
            moments = _moments(asked)
        except QueryError as error:
            return _error(400, "bad_data", str(error))
        found = samples.range(query, moments)
        # A long answer takes a moment to write, in which scrapes must not wait: hence the thread.
        return web.json_response(text=await asyncio.to_thread(_answer, found, moments))

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="The collector is healthy.\n")

    async def anything(request: web.Request) -> web.Response:
        return _error(
            404,
            "not_found",
            f"this collector has no {request.path}: it answers /api/v1/query_range; install Prometheus",
        )

    application = web.Application()
    application.router.add_route("GET", "/api/v1/query_range", query_range)
    application.router.add_route("POST", "/api/v1/query_range", query_range)
    application.router.add_route("GET", "/-/healthy", healthy)
    application.router.add_route("GET", "/-/ready", healthy)
    application.router.add_route("*", "/{path:.*}", anything)
    return application


def _answer(found: list[tuple[dict[str, str], np.ndarray]], moments: np.ndarray) -> str:
    """Write series as JSON, text by text: a segment of all buckets as nested lists took five times as long."""
    stamps, result = [repr(moment) for moment in moments.tolist()], []
    for labels, values in found:
        pairs = zip(stamps, values.tolist(), strict=True)
        points = ",".join(f'[{stamp},"{_text(value)}"]' for stamp, value in pairs if not math.isnan(value))
        if points:
            result.append(f'{{"metric":{json.dumps(labels)},"values":[{points}]}}')
    return f'{{"status":"success","data":{{"resultType":"matrix","result":[{",".join(result)}]}}}}'


def _moments(asked: dict[str, str]) -> np.ndarray:
    """The grid that was asked for, Unix seconds to the millisecond."""
    try:
        start, end, step = (round(float(asked[name]) * 1_000) for name in ("start", "end", "step"))
    except (KeyError, ValueError, OverflowError):
        raise QueryError("start, end and step are expected, each as a number of seconds") from None
    if step <= 0 or end < start:
        raise QueryError("a positive step is expected, and an end that is not before the start")
    if (end - start) // step >= POINTS:
        raise QueryError(f"exceeded maximum resolution of {POINTS:,} points per timeseries: ask for parts")
    return np.arange(start, end + 1, step) / 1_000


def _text(value: float) -> str:
    return repr(value) if math.isfinite(value) else ("+Inf" if value > 0 else "-Inf")


def _error(status: int, kind: str, words: str) -> web.Response:
    return web.json_response({"status": "error", "errorType": kind, "error": words}, status=status)


# ---- the process -----------------------------------------------------------------------------------------------------


async def _run(targets: Path, port: int) -> None:
    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def follow() -> None:
        while os.read(0, 1_024):
            pass
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=follow, name="parent", daemon=True).start()
    samples = Samples()
    runner = web.AppRunner(_application(samples), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    collecting = asyncio.create_task(_collect(samples, targets))
    waiting = asyncio.create_task(over.wait())
    await asyncio.wait([collecting, waiting], return_when=asyncio.FIRST_COMPLETED)
    collecting.cancel()
    await runner.cleanup()
    if collecting.done() and not collecting.cancelled():
        collecting.result()  # what stopped it is raised here


def main(arguments: list[str] | None = None) -> None:
    """Scrape and answer until the standard input ends."""
    parser = argparse.ArgumentParser(description="Samples the testbed's metrics where there is no Prometheus.")
    parser.add_argument("--targets", type=Path, required=True, help="targets.json, read again whenever it changes")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    asyncio.run(_run(given.targets, given.port))


if __name__ == "__main__":
    main()
