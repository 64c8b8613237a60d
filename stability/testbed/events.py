"""Faults and their look-alikes on the running service: begun, watched, ended in time or by what repairs them."""

from __future__ import annotations

__all__ = ["FILLING", "OUTLASTING", "Event", "Events"]

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from fastapi import HTTPException
from pydantic import BaseModel, Field

from stability.testbed import models
from stability.testbed.effects import LONGEST
from stability.testbed.modes import BENIGN, FAILURE_MODES, Mode
from stability.testbed.upkeep import debris

if TYPE_CHECKING:
    from stability.testbed.supervisor import Supervisor

LOOK = 0.25  # s between two looks at whether something else has ended an event
CRASH_AGAIN = 1.5  # s that a replica lives before it is killed again
WRONG = 0.75  # share of the classes that a bad version takes for others, at an intensity of 1
OUTLASTING = ("disk_full", "backup", "network_loss", "clock_skew", "stale_features")  # no process is at their root
FILLING = ("disk_full", "backup")  # of these, the ones that leave a file
CAMPAIGN = 0.6  # more users, as a share, at an intensity of 1
MODES = {**FAILURE_MODES, **BENIGN}
JOB = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass\n"


class Event(BaseModel, extra="forbid"):
    """One event.

    Parameters
    ----------
    mode : str
        A name of `FAILURE_MODES` or `BENIGN`.
    entity : str
        Whom it befalls.
    seconds : float
        How long.
    intensity : float
        1 is what the mode means.
    seed : int
        Chooses between variants, where the mode has some.
    grows : float, optional
        Seconds over which one that ramps grows, to stay so until its end; all of its time without.
    """

    mode: str
    entity: str
    seconds: float = Field(gt=0, le=LONGEST)
    intensity: float = Field(1.0, gt=0, le=3)
    seed: int = 0
    grows: float | None = Field(None, gt=0, le=LONGEST)

    @property
    def kind(self) -> Mode:
        """What the mode does."""
        return MODES[self.mode]


class _Running(BaseModel, arbitrary_types_allowed=True):
    """An event at work."""

    event: Event
    number: int
    begun: float
    undo: asyncio.Task | None = None
    over: asyncio.Event = Field(default_factory=asyncio.Event)
    by: str = "time"


class Events:
    """What is at work, and how it is done.

    Parameters
    ----------
    supervisor : Supervisor
        Who has the processes.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.running: dict[int, _Running] = {}
        self.count = 0

    def at_work(self) -> list[Event]:
        """The events that have not ended."""
        return [running.event for running in self.running.values()]

    async def begin(self, event: Event) -> dict:
        """Begin an event; it ends by itself.

        Raises
        ------
        HTTPException
            404 or 422: no such mode or entity, with what there is; 409: it is at work already; or as the process says.
        """
        self._check(event)
        self.count += 1
        running = _Running(event=event, number=self.count, begun=time.time())
        started, work = asyncio.get_running_loop().create_future(), self._course(running)
        running.undo = asyncio.create_task(self._live(running, work, started))
        self.running[running.number] = running
        await started
        return {"number": running.number, "cause_start": running.begun}

    async def end_all(self) -> int:
        """End whatever is at work."""
        running = list(self.running.values())
        for one in running:
            one.by = "stop"
            one.over.set()
        if running:
            await asyncio.wait([one.undo for one in running])
        return len(running)

    def _check(self, event: Event) -> None:
        if event.mode not in MODES:
            raise HTTPException(404, f"no mode {event.mode!r}: there are {', '.join(MODES)}")
        there = [name for name in event.kind.on if name in self.supervisor.children or name == "host"]
        if event.entity not in there:
            known = ", ".join(there) or "nobody: start users first (stability testbed load)"
            raise HTTPException(422, f"{event.mode} befalls {known}, not {event.entity!r}")
        if any(other.mode == event.mode and other.entity == event.entity for other in self.at_work()):
            raise HTTPException(409, f"{event.mode} is at work on {event.entity} already")

    async def _live(self, running: _Running, work: contextlib.AbstractAsyncContextManager, started) -> None:
        event, end = running.event, None
        try:
            async with work as gone:
                running.begun = time.time()
                started.set_result(None)
                while time.time() - running.begun < event.seconds and not running.over.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(running.over.wait(), LOOK)
                    if gone():
                        running.by, end = "repair", time.time()
                        break
        except HTTPException as error:
            if not started.done():
                started.set_exception(error)
                return
            self.supervisor.log.error("%s of %s: %s", event.mode, event.entity, error.detail)
        finally:
            self.running.pop(running.number, None)
        self._write(running, end or time.time())

    def _write(self, running: _Running, end: float) -> None:
        line = {"number": running.number, **running.event.model_dump(), "harmful": running.event.mode in FAILURE_MODES}
        line |= {"cause_start": running.begun, "cause_end": end, "ended_by": running.by}
        with (self.supervisor.home / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _course(self, running: _Running) -> contextlib.AbstractAsyncContextManager:
        """How a mode is done: a context that begins it, tells whether something else ended it, and undoes it."""
        event = running.event
        own = {
            "bad_configuration": self._configuration,
            "config_change": self._configuration,
            "bad_model_version": self._version,
            "model_release": self._version,
            "replica_crash": self._crash,
            "maintenance": self._maintenance,
            "campaign": self._campaign,
            "batch_job": self._job,
        }
        usual = self._outlasting if event.mode in OUTLASTING else self._effect
        return own.get(event.mode, usual)(event)

    @contextlib.asynccontextmanager
    async def _effect(self, event: Event):
        """An effect inside the process; a restart ends it."""
        supervisor, child = self.supervisor, self.supervisor.child(event.entity)
        path = f"/admin/effects/{event.mode}"
        await supervisor.ask(event.entity, path, _told(event))
        starts = child.starts
        try:
            yield lambda: child.starts != starts or not child.alive
        finally:
            if child.alive and child.starts == starts:
                with contextlib.suppress(HTTPException):  # a process that hangs ends it by itself
                    await supervisor.ask(event.entity, path, method="DELETE")

    @contextlib.asynccontextmanager
    async def _outlasting(self, event: Event):
        """What lies outside of the process: whoever restarts it finds it as it was, and only its own repair ends it."""
        supervisor, name = self.supervisor, event.entity
        path, begun, done = f"/admin/effects/{event.mode}", time.monotonic(), supervisor.repairs(event.mode, name)
        await supervisor.ask(name, path, _told(event))
        known = supervisor.child(name).starts, supervisor.child(name).process.pid

        async def again() -> None:
            nonlocal known
            while True:
                await asyncio.sleep(LOOK)
                child = supervisor.children.get(name)
                if child is None or not child.alive or (child.starts, child.process.pid) == known:
                    continue
                if await supervisor.healthy(name):
                    with contextlib.suppress(HTTPException):
                        await supervisor.ask(name, path, _told(event, age=time.monotonic() - begun))
                        known = child.starts, child.process.pid

        following = asyncio.create_task(again())
        try:
            yield lambda: supervisor.repairs(event.mode, name) != done
        finally:
            following.cancel()
            with contextlib.suppress(HTTPException):
                await supervisor.ask(name, path, method="DELETE")
            if event.mode in FILLING:  # nobody else removes it where the process hangs or is gone
                debris(supervisor.home, name).unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def _configuration(self, event: Event):
        supervisor, name, harmful = self.supervisor, event.entity, event.mode in FAILURE_MODES
        before, rng = supervisor.configuration(name), np.random.default_rng(event.seed)
        if harmful:
            variants = (
                {"max_batch": 64, "max_wait": 0.3 * event.intensity},
                {"max_waiting": 1, "max_wait": 0.01 * event.intensity},
                {"cache_blocks": 4, "feature_timeout": 0.004 / event.intensity},
            )
            changes = variants[event.seed % len(variants)]
        else:
            changes = {"max_batch": int(rng.integers(12, 25)), "max_wait": round(float(rng.uniform(0.003, 0.005)), 4)}
            changes["cache_blocks"] = int(rng.integers(120, 141))
        async with self._changed(name, before, changes, undo=harmful) as gone:
            yield gone

    @contextlib.asynccontextmanager
    async def _version(self, event: Event):
        supervisor, name, harmful = self.supervisor, event.entity, event.mode in FAILURE_MODES
        before, folder = supervisor.configuration(name), supervisor.home / "models"
        supervisor.releases += 1
        if harmful:
            version = models.spoil(folder, supervisor.releases, WRONG * event.intensity, event.seed)
        else:
            version = models.release(folder, supervisor.releases)
        async with self._changed(name, before, {"version": version}, undo=harmful) as gone:
            yield gone

    @contextlib.asynccontextmanager
    async def _changed(self, name: str, before: dict, changes: dict, undo: bool):
        await self.supervisor.configure(name, **changes)
        wrong = self.supervisor.configuration(name)
        try:
            yield lambda: self.supervisor.configuration(name) != wrong
        finally:
            if undo and self.supervisor.configuration(name) == wrong:
                self.supervisor.replace(name, before)
                await self.supervisor.reload(name)

    @contextlib.asynccontextmanager
    async def _crash(self, event: Event):
        child = self.supervisor.child(event.entity)

        async def kill() -> None:
            while True:
                child.signal(signal.SIGKILL)
                starts = child.starts
                while child.starts == starts:
                    await asyncio.sleep(LOOK)
                with contextlib.suppress(HTTPException):
                    await self.supervisor.until_healthy([event.entity])
                await asyncio.sleep(CRASH_AGAIN)

        killing = asyncio.create_task(kill())
        try:
            yield lambda: False
        finally:
            killing.cancel()

    @contextlib.asynccontextmanager
    async def _maintenance(self, event: Event):
        await self.supervisor.restart(event.entity)
        yield lambda: False

    @contextlib.asynccontextmanager
    async def _campaign(self, event: Event):
        told = {"factor": 1 + CAMPAIGN * event.intensity, "seconds": event.seconds}
        await self.supervisor.ask("users", "/admin/campaign", told)
        yield lambda: False

    @contextlib.asynccontextmanager
    async def _job(self, event: Event):
        command = [sys.executable, "-c", JOB.format(seconds=event.seconds)]
        jobs = [
            subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_idle) for _ in range(os.cpu_count() or 1)
        ]
        try:
            yield lambda: False
        finally:
            for job in jobs:
                job.kill()
                job.wait()


def _told(event: Event, age: float = 0.0) -> dict:
    """What a process is told; it ends by itself a little later, if nobody is left to end it."""
    told = {"intensity": event.intensity, "seconds": event.seconds + 1, "ramp": event.kind.course == "ramp"}
    return told | {"grows": event.grows, "age": age}


def _idle() -> None:
    from stability.testbed.processes import end_with_parent

    os.nice(19)
    end_with_parent()
