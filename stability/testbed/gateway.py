"""The gateway: takes what users ask, sends it to a replica that is up, and tells replicas what users found."""

from __future__ import annotations

__all__ = ["Gateway", "main"]

import asyncio
import json
from collections import Counter as Tally
from dataclasses import dataclass, field

import aiohttp
from fastapi import HTTPException, Request, Response
from pydantic import BaseModel
from starlette.background import BackgroundTask

from stability.testbed.effects import Effects, common_effects
from stability.testbed.service import LOOPBACK, Service, arguments, serve

TIMEOUT = 1.0  # s for an answer of a replica
PROBE_EVERY, PROBE_TIMEOUT = 2.0, 1.0  # s between looks at a replica's health, and for one of them
FAILURES = 2  # looks in a row that fail before a replica gets no more requests
REPLICAS = "replicas.json"  # name of each replica and its port; the supervisor writes it
SAY_EVERY = 10.0  # s between two lines about what was served


class Outcome(BaseModel):
    """What a user found of an answer."""

    replica: str
    good: bool


class Outcomes(BaseModel):
    """What users found lately."""

    outcomes: list[Outcome]


@dataclass
class Replica:
    """A replica as the gateway knows it."""

    name: str
    port: int
    failures: int = 0
    drained: bool = False

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def up(self) -> bool:
        """Whether it gets requests."""
        return self.failures < FAILURES and not self.drained


@dataclass
class Gateway:
    """Which replicas there are and who is next.

    Parameters
    ----------
    service : Service
        Its process.
    """

    service: Service
    replicas: dict[str, Replica] = field(default_factory=dict)
    turn: int = 0
    served: Tally = field(default_factory=Tally)
    troubles: Tally = field(default_factory=Tally)

    async def start(self) -> None:
        """Connect, and look after the replicas from now on."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        self.session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(TIMEOUT))
        self.tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._report())]

    def next_replica(self) -> Replica:
        """The next one that is up, in turn.

        Raises
        ------
        HTTPException
            503: there is none.
        """
        up = [replica for replica in self.replicas.values() if replica.up]
        if not up:
            self.troubles["no replica is up"] += 1
            raise HTTPException(503, "no replica is up")
        self.turn += 1
        return up[self.turn % len(up)]

    async def predict(self, body: bytes) -> Response:
        """Pass a question on; it is asked once, because a replica that did not answer may have acted all the same."""
        replica = self.next_replica()
        headers, trouble = {"x-replica": replica.name}, None
        try:
            async with self.session.post(
                f"{replica.url}/v1/predict", data=body, headers={"content-type": "application/json"}
            ) as response:
                answer = await response.read()
                if response.status >= 500:
                    trouble = f"{replica.name}: answered {response.status}"
                self.served[replica.name] += 1
                return Response(answer, response.status, headers, "application/json")
        except TimeoutError:
            status, trouble = 504, f"{replica.name}: no answer within {TIMEOUT:g} s"
        except (aiohttp.ClientError, OSError) as error:
            status, trouble = 502, f"{replica.name}: {_why(error)}"
        finally:
            if trouble:
                self.troubles[trouble] += 1
        return Response(json.dumps({"detail": trouble}), status, headers, "application/json")

    async def tell(self, outcomes: Outcomes) -> None:
        """Pass on what users found."""
        found: dict[str, list[bool]] = {}
        for outcome in outcomes.outcomes:
            found.setdefault(outcome.replica, []).append(outcome.good)
        for name, good in found.items():
            if name in self.replicas:
                try:
                    url = f"{self.replicas[name].url}/admin/outcomes"
                    async with self.session.post(url, json={"good": good}):
                        pass
                except (aiohttp.ClientError, OSError, TimeoutError):
                    self.troubles[f"{name}: took no outcomes"] += 1

    async def _look(self) -> None:
        path = self.service.home / REPLICAS
        while True:
            ports = json.loads(path.read_bytes())
            for name in self.replicas.keys() - ports.keys():
                del self.replicas[name]
            for name, port in ports.items():
                if name not in self.replicas or self.replicas[name].port != port:
                    self.replicas[name] = Replica(name, port, failures=FAILURES)  # shows that it is up first
            await asyncio.gather(*(self._probe(replica) for replica in self.replicas.values()))
            await asyncio.sleep(PROBE_EVERY if self.replicas and all(r.up for r in self.replicas.values()) else 0.5)

    async def _probe(self, replica: Replica) -> None:
        before = replica.failures < FAILURES
        try:
            limit = aiohttp.ClientTimeout(PROBE_TIMEOUT)
            async with self.session.get(f"{replica.url}/healthz", timeout=limit) as response:
                fine = response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            fine = False
        replica.failures = 0 if fine else replica.failures + 1
        if before != (replica.failures < FAILURES):
            if before:
                self.service.log.error("%s does not answer and gets no more requests", replica.name)
            else:
                self.service.log.info("%s answers and gets requests", replica.name)

    async def _report(self) -> None:
        seconds = 0
        while True:
            await asyncio.sleep(1)
            troubles, self.troubles = self.troubles, Tally()
            for trouble, times in troubles.items():
                self.service.log.warning("%s (%d times)", trouble, times)
            seconds += 1
            if seconds % SAY_EVERY == 0:
                served, self.served = self.served, Tally()
                shares = ", ".join(f"{name} {count}" for name, count in sorted(served.items())) or "nothing"
                self.service.log.info("served in %g s: %s", SAY_EVERY, shares)


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connection refused"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "connection lost"
    return type(error).__name__


def application(gateway: Gateway) -> None:
    """Give the gateway its routes and effects."""
    service, app = gateway.service, gateway.service.app
    service.health = lambda: any(replica.up for replica in gateway.replicas.values())
    app.router.on_startup.append(gateway.start)

    @app.post("/v1/predict")
    async def predict(request: Request) -> Response:
        return await gateway.predict(await request.body())

    @app.post("/v1/outcomes")
    async def outcomes(outcomes: Outcomes) -> Response:
        return Response(status_code=202, background=BackgroundTask(gateway.tell, outcomes))

    @app.post("/admin/drain/{name}")
    async def drain(name: str, drained: bool = True) -> dict[str, bool]:
        if name not in gateway.replicas:
            raise HTTPException(404, f"no replica {name!r}: there are {', '.join(gateway.replicas) or 'none'}")
        gateway.replicas[name].drained = drained
        service.log.info("%s is %s", name, "drained: no new requests" if drained else "no longer drained")
        return {"drained": drained}

    @app.get("/admin/replicas")
    async def replicas() -> dict[str, bool]:
        return {name: replica.up for name, replica in gateway.replicas.items()}

    Effects(service, common_effects(service))


def main() -> None:
    """Serve users."""
    told = arguments(__doc__).parse_args()
    service = Service(told.name, told.home)
    application(Gateway(service))
    serve(service, told.port)


if __name__ == "__main__":
    main()
