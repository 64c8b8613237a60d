"""What the supervisor can be asked over HTTP, and its life from the first process to the last."""

from __future__ import annotations

__all__ = ["live"]

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import uvicorn
from fastapi import HTTPException
from prometheus_client import Gauge

from stability.testbed.events import Event
from stability.testbed.service import LOOPBACK

if TYPE_CHECKING:
    from stability.testbed.supervisor import Supervisor

CPU = Gauge("system_cpu_utilization_ratio", "Busy share of all cores.")
LOAD = Gauge("system_cpu_load_1m", "Mean number of runnable threads over a minute.")
FREE = Gauge("system_memory_available_bytes", "Memory that is available to new work.")


def application(supervisor: Supervisor) -> None:
    """Give the supervisor its routes."""
    app = supervisor.service.app
    CPU.set_function(_busy())
    LOAD.set_function(lambda: os.getloadavg()[0])
    FREE.set_function(lambda: psutil.virtual_memory().available)

    app.get("/status")(supervisor.status)

    @app.post("/stop")
    async def stop() -> dict[str, bool]:
        supervisor.stopping.set()
        return {"stopping": True}

    @app.post("/processes/{name}/{verb}")
    async def act(name: str, verb: str) -> dict:
        verbs = {
            "start": supervisor.start,
            "stop": supervisor.stop,
            "restart": supervisor.restart,
            "reload": supervisor.reload,
            "rollback": supervisor.rollback,
            "clean": supervisor.clean,
        }
        if verb not in verbs:
            raise HTTPException(404, f"no verb {verb!r}: there are {', '.join(verbs)}")
        return {"done": verb, "name": name, "result": await verbs[verb](name)}

    @app.get("/processes/{name}/before")
    async def before(name: str) -> dict[str, bool]:
        return {"there": supervisor.before(name).exists()}

    @app.post("/scale/{replicas}")
    async def scale(replicas: int) -> dict[str, int]:
        await supervisor.scale(replicas)
        return {"replicas": replicas}

    @app.post("/backup")
    async def backup(folder: str) -> dict[str, str]:
        return {"folder": str(await supervisor.backup(Path(folder)))}

    @app.post("/restore")
    async def restore(folder: str) -> dict[str, str]:
        await supervisor.restore(Path(folder))
        return {"folder": folder}

    @app.post("/load")
    async def load(rate: float, seed: int, age: float = 0.0) -> dict[str, float]:
        await supervisor.load(rate, seed, age)
        return {"rate": rate}

    @app.post("/inject")
    async def inject(event: Event) -> dict:
        return await supervisor.events.begin(event)

    @app.post("/undo")
    async def undo() -> dict[str, int]:
        return {"undone": await supervisor.events.end_all()}


def _busy() -> Callable[[], float]:
    """The busy share of all cores since the last time that somebody asked."""
    psutil.cpu_percent()
    return lambda: psutil.cpu_percent() / 100


async def live(supervisor: Supervisor) -> None:
    """Serve until told to stop, then stop everybody."""
    application(supervisor)
    config = uvicorn.Config(supervisor.service.app, LOOPBACK, supervisor.port, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stopping.set)
    serving = asyncio.create_task(server.serve())
    watching = asyncio.create_task(supervisor.look_after())
    await supervisor.until_healthy(list(supervisor.children))
    await supervisor.first_states()
    supervisor.log.info("the service is up")
    await supervisor.stopping.wait()
    await supervisor.events.end_all()
    for child in supervisor.children.values():
        child.wanted = False
    await asyncio.gather(*(supervisor.end(child) for child in reversed(supervisor.children.values())))
    server.should_exit = True
    await serving
    watching.cancel()
