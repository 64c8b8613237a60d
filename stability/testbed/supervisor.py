"""The supervisor: starts every process, looks after them, and does to them what faults and repairs ask for."""

from __future__ import annotations

__all__ = ["Supervisor", "main"]

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
from fastapi import HTTPException

from stability.schema import ContractError
from stability.testbed import models, scraping
from stability.testbed.console import live
from stability.testbed.events import FILLING, Events
from stability.testbed.gateway import REPLICAS as REPLICAS_FILE
from stability.testbed.modes import REPLICAS
from stability.testbed.observations import FILE as FEATURES
from stability.testbed.processes import Child, free_ports, write_state
from stability.testbed.service import LOOPBACK, Service
from stability.testbed.upkeep import answers_of, back_up, debris, put_back

LOOK = 0.25  # s between two looks at who runs
AGAIN = 1.0  # s before a process that ended by itself is started again
STOP = 4.0  # s for a process to stop by itself
MOST = 4  # replicas
HOPELESS = 3  # starts in vain after which nobody waits for a process any longer
HOURS = 6.0  # a testbed that was forgotten ends by itself


class Supervisor:
    """Who runs, and what they are told.

    Parameters
    ----------
    home : Path
        Folder of the testbed.
    port : int
        Where it listens itself.
    """

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        self.service = Service("host", home)
        self.log = self.service.log
        self.children: dict[str, Child] = {}
        self.releases, self.begun = 0, time.time()
        self.client = httpx.AsyncClient(timeout=5.0)
        self.stopping = asyncio.Event()
        self.events = Events(self)
        self.said: dict[tuple[str, str], str] = {}
        self.repaired: Counter[str] = Counter()  # cleanings of each disk, restorings of the features

    # ---- the life of processes -----------------------------------------------------------------------------------
    def _module(self, module: str, name: str, port: int, *more: str) -> Child:
        command = [sys.executable, "-m", f"stability.testbed.{module}", "--name", name, "--port", str(port)]
        return Child(name, [*command, "--home", str(self.home), *more], port, self.home / "out")

    def begin(self) -> None:
        """Start the service: the feature store, the replicas, the gateway, and whoever samples their metrics."""
        store, gateway, metrics, *ports = free_ports(3 + len(REPLICAS))
        new = [v for v in models.FIRST if not (self.home / "models" / f"{v}.npz").exists()]  # none after a restore
        train = [sys.executable, "-m", models.__name__, self.home / "models", *new]  # one imports PyTorch for all
        training = [subprocess.Popen(train)] if new else []
        self.add(self._module("feature_store", "feature-store", store))
        if any(process.wait() for process in training):
            raise RuntimeError("the models could not be trained")
        for name, port in zip(REPLICAS, ports, strict=True):
            self.add_replica(name, port)
        self._write_replicas()
        self.add(self._module("gateway", "gateway", gateway))
        self.add(scraping.scraper(self.home, metrics))

    def add(self, child: Child) -> None:
        """Start a process, and know it from now on."""
        self.children[child.name] = child
        child.start()
        self.write()

    def add_replica(self, name: str, port: int) -> None:
        """Start a replica with the configuration that is approved."""
        path = self._configuration(name)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"version": models.FIRST[0]}), encoding="utf-8")
        features = f"http://{LOOPBACK}:{self.children['feature-store'].port}"
        self.add(self._module("model_server", name, port, "--features", features))

    async def load(self, rate: float, seed: int, age: float) -> None:
        """Let users come, so many s after the service was put into use.

        Raises
        ------
        HTTPException
            409: they are there.
        """
        if "users" in self.children and self.children["users"].alive:
            raise HTTPException(409, "users are there already: stop them first")
        url = f"http://{LOOPBACK}:{self.children['gateway'].port}"
        more = ("--url", url, "--rate", str(rate), "--seed", str(seed), "--age", str(age))
        self.add(self._module("load", "users", free_ports(1)[0], *more))
        await self.until_healthy(["users"])

    def write(self) -> None:
        """Write down who runs, for whoever has to clean up, and who is to be sampled."""
        me = {"pid": os.getpid(), "begun": psutil.Process().create_time(), "port": self.port}
        write_state(
            self.home, {"supervisor": me, "children": {name: child.facts() for name, child in self.children.items()}}
        )
        ports = {name: c.port for name, c in self.children.items() if name != scraping.NAME}
        scraping.write_targets(self.home, ports | {"host": self.port})

    def _write_replicas(self) -> None:
        ports = {name: child.port for name, child in self.children.items() if name.startswith("model-")}
        draft = self.home / f".{REPLICAS_FILE}"
        draft.write_text(json.dumps(ports), encoding="utf-8")
        draft.replace(self.home / REPLICAS_FILE)

    async def look_after(self) -> None:
        """Start again whatever ended by itself."""
        ended: dict[str, float] = {}
        psutil.cpu_percent()
        while not self.stopping.is_set():
            await asyncio.sleep(LOOK)
            for name, child in self.children.items():
                if child.alive or not child.wanted:
                    ended.pop(name, None)
                elif name not in ended:
                    ended[name] = time.monotonic()
                    self.log.error("%s ended by itself with %s", name, child.process.returncode)
                elif time.monotonic() - ended[name] > AGAIN:
                    child.start()
                    self.write()
                    self.log.info("%s is started again, process %d", name, child.process.pid)
            if time.time() - self.begun > HOURS * 3600:
                self.log.warning("%g hours are over", HOURS)
                self.stopping.set()

    async def stop(self, name: str) -> None:
        """Stop a process, by force where it does not."""
        child = self.child(name)
        child.wanted = False
        await self.end(child)
        self.write()

    async def end(self, child: Child) -> None:
        """Tell a process to stop, by force where it does not."""
        child.signal()
        for _ in range(int(STOP / 0.05)):
            if not child.alive:
                return
            await asyncio.sleep(0.05)
        child.signal(signal.SIGKILL)
        while child.alive:
            await asyncio.sleep(0.01)

    def child(self, name: str) -> Child:
        """A process by name.

        Raises
        ------
        HTTPException
            404: there is none.
        """
        if name not in self.children:
            raise HTTPException(404, f"no process {name!r}: there are {', '.join(self.children)}")
        return self.children[name]

    async def start(self, name: str) -> None:
        """Start a process that was stopped."""
        child = self.child(name)
        if not child.alive:
            child.start()
            self.write()

    async def restart(self, name: str, drain: bool = True) -> None:
        """Stop and start; a replica is drained first, and gets requests again when it is ready."""
        replica = name.startswith("model-") and drain
        if replica:
            await self.ask("gateway", f"/admin/drain/{name}?drained=true")
            await asyncio.sleep(1.2)  # what is under way is answered within a second or not at all
        await self.stop(name)
        await self.start(name)
        if replica:
            await self.until_healthy([name])
            await self.ask("gateway", f"/admin/drain/{name}?drained=false")
        self.log.info("%s was restarted", name)

    async def scale(self, replicas: int) -> None:
        """Have so many replicas."""
        if not 1 <= replicas <= MOST:
            raise HTTPException(422, f"expected 1 to {MOST} replicas, got {replicas}")
        wanted = [f"model-{letter}" for letter in "abcd"[:replicas]]
        for name in [name for name in self.children if name.startswith("model-") and name not in wanted]:
            await self.stop(name)
            del self.children[name]
        for name in wanted:
            if name not in self.children:
                self.add_replica(name, free_ports(1)[0])
        self._write_replicas()
        self.write()
        await self.until_healthy(wanted)
        self.log.info("%d replicas", replicas)

    async def until_healthy(self, names: list[str], seconds: float = 90.0) -> None:
        """Wait until processes answer.

        Raises
        ------
        HTTPException
            504: one does not; 502: one ends again and again.
        """
        end, starts = time.monotonic() + seconds, {name: self.child(name).starts for name in names}
        while time.monotonic() < end:
            if all(await asyncio.gather(*(self.healthy(name) for name in names))):
                return
            for name in names:
                if self.child(name).starts >= starts[name] + HOPELESS:
                    said = (self.home / "out" / f"{name}.out").read_text(errors="replace").strip().splitlines()
                    raise HTTPException(502, f"{name} ends again and again: {said[-1] if said else 'without a word'}")
            await asyncio.sleep(0.1)
        raise HTTPException(504, f"not healthy within {seconds:g} s: {', '.join(names)}")

    async def healthy(self, name: str) -> bool:
        """Whether a process answers that it is ready."""
        path = "/-/healthy" if name == scraping.NAME else "/healthz"
        try:
            return (await self.client.get(f"http://{LOOPBACK}:{self.child(name).port}{path}", timeout=2)).is_success
        except httpx.HTTPError:
            return False

    # ---- what processes are told ---------------------------------------------------------------------------------
    async def ask(self, name: str, path: str, body: dict | None = None, method: str = "POST") -> dict:
        """Ask a process for something.

        Raises
        ------
        HTTPException
            With the process's own words where it refuses; 502 where it does not answer.
        """
        try:
            response = await self.client.request(method, f"http://{LOOPBACK}:{self.child(name).port}{path}", json=body)
        except httpx.HTTPError as error:
            raise HTTPException(502, f"{name} does not answer: {type(error).__name__}") from None
        if not response.is_success:
            raise HTTPException(response.status_code, f"{name}: {response.text}")
        return response.json()

    def _configuration(self, name: str) -> Path:
        return self.home / "configuration" / f"{name}.json"

    def configuration(self, name: str) -> dict:
        """What a replica is configured to."""
        return json.loads(self._configuration(name).read_bytes())

    async def configure(self, name: str, **changes: object) -> dict:
        """Change some of a replica's configuration, have it reloaded, and keep what was before for `rollback`."""
        shutil.copyfile(self._configuration(name), self.before(name))
        self.replace(name, self.configuration(name) | changes)
        return await self.reload(name)

    def replace(self, name: str, told: dict) -> None:
        """Write a replica's configuration, in one step."""
        path = self._configuration(name)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(path)

    async def reload(self, name: str) -> dict:
        """Have a replica read its configuration again."""
        self.child(name)
        state = await self.ask(name, "/admin/reload")
        self.state(name, state)
        return state

    def before(self, name: str) -> Path:
        """The configuration that a replica had before the last change, if there was one."""
        self.child(name)
        return self._configuration(name).with_suffix(".before")

    async def rollback(self, name: str) -> dict:
        """Go back to the configuration and the version that a replica had before the last change."""
        before = self.before(name)
        if not before.exists():
            raise HTTPException(409, f"{name} was never changed: there is nothing to go back to")
        before.replace(self._configuration(name))
        return await self.reload(name)

    async def clean(self, name: str) -> dict[str, int]:
        """Remove from a replica's disk what nobody needs, and stop whatever writes it.

        Raises
        ------
        HTTPException
            404: there is no such process; 422: it has no disk of its own.
        """
        self.child(name)
        if not debris(self.home, name).parent.is_dir():
            raise HTTPException(422, f"{name} has no disk of its own: only replicas have one")
        path = debris(self.home, name)
        freed = path.stat().st_size if path.exists() else 0
        self.repaired[name] += 1
        for mode in FILLING:
            with contextlib.suppress(HTTPException):
                await self.ask(name, f"/admin/effects/{mode}", method="DELETE")
        path.unlink(missing_ok=True)
        self.log.info("the disk of %s was cleaned, %d bytes were freed", name, freed)
        return {"bytes": freed}

    def repairs(self, mode: str, name: str) -> int:
        """How often that has been done which alone ends a mode of an entity, whose cause lies in no process."""
        return self.repaired[FEATURES if mode == "stale_features" else name if mode in FILLING else mode]

    def state(self, entity: str, state: dict[str, str]) -> None:
        """Write down what changed, with its time."""
        for name, value in state.items():
            if self.said.get((entity, name)) != value:
                self.said[entity, name] = value
                line = {"timestamp": time.time(), "entity": entity, "name": name, "value": value}
                with (self.home / "states.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")

    async def first_states(self) -> None:
        """Write down what replicas began with."""
        for name in REPLICAS:
            self.state(name, await self.ask(name, "/admin/reload"))

    # ---- the service's own data ----------------------------------------------------------------------------------
    async def backup(self, folder: Path) -> Path:
        """Copy models, configuration and features, whole or not at all, with what the replicas answer now."""
        replicas = [name for name in self.children if name.startswith("model-")]
        await asyncio.to_thread(back_up, self.home, folder, await answers_of(self.ask, replicas))
        self.log.info("models, configuration and features are backed up")
        return folder

    async def restore(self, folder: Path) -> None:
        """Put back what was backed up, and restart whoever holds it.

        Raises
        ------
        HTTPException
            422: there is no backup, or it is damaged; then nothing was put back.
        """
        try:
            await asyncio.to_thread(put_back, self.home, folder)
        except ContractError as error:
            raise HTTPException(422, f"no backup in {folder} that can be put back: {error}") from None
        self.repaired[FEATURES] += 1
        await self.restart("feature-store")
        for name in [name for name in self.children if name.startswith("model-")]:
            await self.restart(name)
            self.state(name, await self.ask(name, "/admin/reload"))
        self.log.info("models, configuration and features are restored")

    async def status(self) -> dict:
        """Who runs, who answers, what is at work."""
        names = list(self.children)
        healthy = await asyncio.gather(*(self.healthy(name) for name in names))
        processes = {
            name: {
                "port": self.children[name].port,
                "pid": self.children[name].process.pid if self.children[name].alive else None,
                "healthy": fine,
                "starts": self.children[name].starts,
            }
            for name, fine in zip(names, healthy, strict=True)
        }
        events = [event.model_dump() for event in self.events.at_work()]
        return {"healthy": all(healthy), "home": str(self.home), "processes": processes, "at_work": events}


def main() -> None:
    """Start the service and look after it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    told = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    supervisor = Supervisor(told.home, told.port)
    supervisor.begin()
    asyncio.run(live(supervisor))


if __name__ == "__main__":
    main()
