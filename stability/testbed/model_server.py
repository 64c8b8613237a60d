"""A model server: features by block from a cache, requests in batches through a net, every answer written down."""

from __future__ import annotations

__all__ = ["Configuration", "ModelServer", "main"]

import asyncio
import gc
import hashlib
import json
import os
import resource
import time
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import numpy as np
import torch
from fastapi import HTTPException, Response
from prometheus_client import Counter, Gauge
from pydantic import BaseModel, Field

from stability.testbed import models
from stability.testbed.effects import Effects, common_effects
from stability.testbed.observations import BLOCK
from stability.testbed.pool import Pool
from stability.testbed.replica_effects import DESCRIPTORS, replica_effects
from stability.testbed.service import Service, arguments, serve
from stability.testbed.task import FEATURES, ITEMS
from stability.testbed.volume import Volume

MEMORY = 320 << 20  # bytes that it may take beyond what it has when it is ready
JUDGED = 60  # answers whose mean is the quality
PERIOD = 10.0  # s of the means that are exported

QUEUE = Gauge("model_queue_depth", "Requests that wait for the model.")
BATCH = Gauge("model_batch_size", "Mean number of requests in a batch, lately.")
PREDICTIONS = Counter("model_predictions", "Predictions made.")
HITS = Counter("model_cache_hits", "Look-ups that found their block in the cache.")
MISSES = Counter("model_cache_misses", "Look-ups that did not.")
CONFIDENCE = Gauge("model_prediction_confidence_ratio", "Mean of the highest class probability, lately.")
QUALITY = Gauge("model_prediction_quality_ratio", "Share of the last answers that were judged good.")


class Configuration(BaseModel, extra="forbid"):
    """What can be reloaded while the server runs: JSON on disk."""

    version: str
    max_batch: int = Field(16, ge=1)
    max_wait: float = Field(0.004, ge=0)  # s for which a batch waits to become full
    cache_blocks: int = Field(128, ge=0)
    cache_seconds: float = Field(60.0, gt=0)
    feature_timeout: float = Field(0.5, gt=0)  # s for a block, the wait for a connection included
    connections: int = Field(8, ge=1)
    max_waiting: int = Field(256, ge=1)  # requests that may wait for the model; one more is refused

    def digest(self) -> str:
        """Name of what it says but for the version."""
        said = json.dumps(self.model_dump(exclude={"version"}), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:12]


class Request(BaseModel):
    """One question."""

    item: int = Field(ge=0, lt=ITEMS)


class Outcomes(BaseModel):
    """What users found of answers, later."""

    good: list[bool]


class Cache:
    """Blocks of features with an end: the least used goes first; a block is fetched once however many wait for it."""

    def __init__(self) -> None:
        self.blocks: OrderedDict[int, tuple[float, np.ndarray]] = OrderedDict()
        self.coming: dict[int, asyncio.Task] = {}

    def get(self, number: int) -> np.ndarray | None:
        """The block, if it is here and has not expired."""
        found = self.blocks.get(number)
        if found is None or found[0] < time.monotonic():
            return None
        self.blocks.move_to_end(number)
        return found[1]

    def put(self, number: int, block: np.ndarray, seconds: float, limit: int) -> None:
        """Keep a block."""
        self.blocks[number] = (time.monotonic() + seconds, block)
        self.blocks.move_to_end(number)
        while len(self.blocks) > limit:
            self.blocks.popitem(last=False)


class ModelServer:
    """The state of one replica.

    Parameters
    ----------
    service : Service
        Its process.
    features : str
        Address of the feature store.
    """

    def __init__(self, service: Service, features: str) -> None:
        self.service, self.features = service, features
        self.path = service.home / "configuration" / f"{service.name}.json"
        self.volume = Volume(service.home / "volumes" / service.name)
        self.cache, self.pool = Cache(), Pool()
        self.waiting: deque[tuple[np.ndarray, asyncio.Future]] = deque()
        self.arrived = asyncio.Event()
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.judged: deque[bool] = deque(maxlen=JUDGED)
        self.sizes: deque[int] = deque(maxlen=200)
        self.sure: deque[float] = deque(maxlen=200)
        self.ready, self.troubles = False, {}
        QUEUE.set_function(lambda: len(self.waiting))
        BATCH.set_function(lambda: _mean(self.sizes))
        CONFIDENCE.set_function(lambda: _mean(self.sure))
        QUALITY.set_function(lambda: _mean(self.judged))
        self.reload()

    def reload(self) -> Configuration:
        """Read the configuration and the model that it names; the old ones stay when the new cannot be read."""
        configuration = Configuration.model_validate_json(self.path.read_bytes())
        weights = models.load(self.service.home / "models", configuration.version)
        net = [
            (torch.from_numpy(weights[f"w{k}"]), torch.from_numpy(weights[f"b{k}"]))
            for k in range(len(models.LAYERS) - 1)
        ]
        self.configuration, self.net = configuration, net
        self.pool.resize(configuration.connections)
        self.service.log.info(
            "configuration %s with model version %s is loaded", configuration.digest(), configuration.version
        )
        return configuration

    async def start(self) -> None:
        """Connect, answer one question to itself, and bound what the process may take."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        self.session = aiohttp.ClientSession(self.features, connector=connector)
        self.batches, self.reporter = asyncio.create_task(self._batches()), asyncio.create_task(self._report())
        await self.predict(0)
        _bound()
        self.ready = True

    async def predict(self, item: int) -> tuple[int, float, str]:
        """Class of an item, how sure, by which version."""
        block = await self._block(item // BLOCK)
        if len(self.waiting) >= self.configuration.max_waiting:
            self.note("too many requests wait for the model")
            raise HTTPException(503, "too many requests wait")
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append((block[item % BLOCK], answer))
        self.arrived.set()
        return await answer

    async def _block(self, number: int) -> np.ndarray:
        block = self.cache.get(number)
        if block is not None:
            HITS.inc()
            return block
        MISSES.inc()
        return await self.fetch_once(number)

    async def fetch_once(self, number: int) -> np.ndarray:
        """Fetch a block; whoever asks for it meanwhile waits for the same answer."""
        task = self.cache.coming.get(number)
        if task is None:
            task = asyncio.create_task(self.fetch(number))
            self.cache.coming[number] = task
            task.add_done_callback(lambda _: self.cache.coming.pop(number, None))
        return await asyncio.shield(task)

    async def fetch(self, number: int) -> np.ndarray:
        """Fetch a block from the feature store over one of the pool's connections, and keep it."""
        told = self.configuration
        try:
            async with (
                asyncio.timeout(told.feature_timeout),
                self.pool,
                self.session.get(f"/v1/blocks/{number}") as response,
            ):
                response.raise_for_status()
                raw = await response.read()
        except TimeoutError:
            why = "no free connection" if self.pool.pending and not self.pool.free else "no answer"
            self.note(f"feature store: {why} within {told.feature_timeout:g} s")
            raise HTTPException(503, "features are not to be had") from None
        except (aiohttp.ClientError, OSError) as error:
            self.note(f"feature store: {type(error).__name__}")
            raise HTTPException(503, "features are not to be had") from None
        block = np.frombuffer(raw, "float32").reshape(BLOCK, FEATURES)
        self.cache.put(number, block, told.cache_seconds, told.cache_blocks)
        return block

    async def _batches(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.arrived.wait()
            told = self.configuration
            if len(self.waiting) < told.max_batch and told.max_wait:
                await asyncio.sleep(told.max_wait)
            batch = [self.waiting.popleft() for _ in range(min(told.max_batch, len(self.waiting)))]
            if not self.waiting:
                self.arrived.clear()
            batch = [(row, answer) for row, answer in batch if not answer.done()]
            if not batch:
                continue
            self.sizes.append(len(batch))
            try:
                rows = np.stack([row for row, _ in batch])
                labels, sure = await loop.run_in_executor(self.worker, self._forward, rows)
                self.volume.append(b"".join(b"%d %.4f\n" % pair for pair in zip(labels, sure, strict=True)))
            except (OSError, MemoryError, RuntimeError) as error:
                self.note(f"a batch failed: {getattr(error, 'strerror', None) or type(error).__name__}")
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(HTTPException(500, "the answer could not be made"))
                continue
            PREDICTIONS.inc(len(batch))
            self.sure.append(float(np.mean(sure)))
            for (_, answer), label, confidence in zip(batch, labels, sure, strict=True):
                if not answer.done():
                    answer.set_result((label, confidence, told.version))

    def _forward(self, rows: np.ndarray) -> tuple[list[int], list[float]]:
        with torch.inference_mode():
            hidden = torch.from_numpy(rows)
            for weight, bias in self.net[:-1]:
                hidden = torch.relu(torch.nn.functional.linear(hidden, weight, bias))
            sure, labels = torch.softmax(torch.nn.functional.linear(hidden, *self.net[-1]), 1).max(1)
        return labels.tolist(), sure.tolist()

    def note(self, trouble: str) -> None:
        """Count a trouble; what repeats becomes one line a second."""
        self.troubles[trouble] = self.troubles.get(trouble, 0) + 1

    async def _report(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(1)
            troubles, self.troubles = self.troubles, {}
            for trouble, times in troubles.items():
                level = self.service.log.error if trouble.startswith("a batch") else self.service.log.warning
                level("%s (%d times)", trouble, times)
            if time.monotonic() - last > PERIOD:
                last, size = time.monotonic(), _mean(self.sizes)
                self.service.log.info("mean batch %.1f, %d blocks cached", size, len(self.cache.blocks))


def _mean(values: deque) -> float:
    return float(sum(values) / len(values)) if values else float("nan")


def _bound() -> None:
    """Cap descriptors and memory, so that a leak ends in this process and not in the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere the leak's own bound has to do
        taken = int(next(line for line in status.read_text().splitlines() if line.startswith("VmData")).split()[1])
        resource.setrlimit(resource.RLIMIT_DATA, ((taken << 10) + MEMORY, resource.RLIM_INFINITY))
    gc.freeze()  # what is there for good is not looked at again; what leaks is


def application(server: ModelServer) -> None:
    """Give the replica its routes and effects."""
    service, app = server.service, server.service.app
    service.health = lambda: server.ready
    app.router.on_startup.append(server.start)

    @app.post("/v1/predict")
    async def predict(request: Request) -> Response:
        label, confidence, version = await server.predict(request.item)
        body = b'{"label":%d,"confidence":%.4f,"version":"%s"}' % (label, confidence, version.encode())
        return Response(body, media_type="application/json")

    @app.post("/admin/outcomes")
    async def outcomes(outcomes: Outcomes) -> dict[str, int]:
        server.judged.extend(outcomes.good)
        return {"judged": len(outcomes.good)}

    @app.post("/admin/reload")
    async def reload() -> dict[str, str]:
        try:
            told = server.reload()
        except (OSError, ValueError) as error:
            service.log.error("the configuration was not loaded: %s", error)
            raise HTTPException(422, f"the configuration was not loaded: {error}") from None
        return {"model_version": told.version, "config_hash": told.digest()}

    Effects(service, common_effects(service) | replica_effects(server))


def main() -> None:
    """Serve predictions."""
    parser = arguments(__doc__)
    parser.add_argument("--features", required=True, help="address of the feature store")
    told = parser.parse_args()
    torch.set_num_threads(1)
    service = Service(told.name, told.home)
    server = ModelServer(service, told.features)
    application(server)
    service.log.info("process %d starts", os.getpid())
    serve(service, told.port)


if __name__ == "__main__":
    main()
