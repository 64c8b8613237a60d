"""What can be done to a running process from outside, for so long: each effect grows as it is told and is undone."""

from __future__ import annotations

__all__ = ["Doing", "Effect", "Effects", "common_effects", "setting"]

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import HTTPException
from pydantic import BaseModel, Field

from stability.testbed.service import Service

PERIOD = 0.1  # s between two looks of an effect at how strong it has become
LONGEST = 900.0  # s: no effect outlives that, whoever forgot to end it
RUNAWAY = 6  # threads of a saturated process at an intensity of 1
SLICE = 0.02  # s in which a runaway thread is busy for its share and then sleeps
STALL_EVERY, STALL = 2.0, 0.9  # s between the stalls of an event loop, and the length of one at an intensity of 1
SKEW = 90.0  # s at an intensity of 1
DELAY, LOSS = 0.15, 0.25  # mean delay in s, and share of lost answers, of a bad network at an intensity of 1
SLOW = 0.35  # s of mean delay of a slow dependency at an intensity of 1
REBUILD = 0.03  # s of mean delay while an index is rebuilt, at an intensity of 1


class Effect(BaseModel, extra="forbid"):
    """What is asked for.

    Parameters
    ----------
    intensity : float
        1 is what the mode means by itself.
    seconds : float
        How long.
    ramp : bool
        Whether it grows from nothing to its intensity.
    grows : float, optional
        Seconds over which it does; all of its time without. Then it stays as strong as it has become.
    age : float
        Seconds for which it has been at work already, in a process that was ended meanwhile.
    """

    intensity: float = Field(1.0, gt=0, le=3)
    seconds: float = Field(gt=0, le=LONGEST)
    ramp: bool = False
    grows: float | None = Field(None, gt=0, le=LONGEST)
    age: float = Field(0.0, ge=0, le=LONGEST)
    _begun: float = 0.0
    _over: bool = False  # whether it was ended, or its time was; false when its process ends under it

    def level(self) -> float:
        """How strong it is now."""
        if not self.ramp:
            return self.intensity
        return self.intensity * min((time.monotonic() - self._begun + self.age) / (self.grows or self.seconds), 1.0)

    async def levels(self) -> AsyncIterator[float]:
        """How strong it is, again and again until its time is over."""
        while time.monotonic() - self._begun + self.age < self.seconds:
            yield self.level()
            await asyncio.sleep(PERIOD)
        self._over = True


Doing = Callable[[Effect], contextlib.AbstractAsyncContextManager[Callable[[float], None]]]


class Effects:
    """The effects that a process knows, and those at work: set and ended over HTTP, ended by themselves in any case.

    Parameters
    ----------
    service : Service
        Whose application gets the routes `POST` and `DELETE /admin/effects/{name}`.
    known : dict
        Name of each effect, and what does it: a context that gives a function of the level and undoes at its end.
    """

    def __init__(self, service: Service, known: dict[str, Doing]) -> None:
        self.service, self.known = service, known
        self.at_work: dict[str, asyncio.Task] = {}
        self.effects: dict[str, Effect] = {}
        service.app.add_api_route("/admin/effects/{name}", self.begin, methods=["POST"])
        service.app.add_api_route("/admin/effects/{name}", self.end, methods=["DELETE"])

    async def begin(self, name: str, effect: Effect) -> dict[str, str]:
        """Start an effect; one at a time of each name."""
        if name not in self.known:
            raise HTTPException(404, f"{self.service.name} knows no effect {name!r}: {', '.join(self.known)}")
        if name in self.at_work:
            raise HTTPException(409, f"{name} is at work already")
        effect._begun = time.monotonic()
        self.effects[name] = effect
        self.at_work[name] = asyncio.create_task(self._run(name, effect))
        return {"effect": name}

    async def end(self, name: str) -> dict[str, str]:
        """End an effect before its time; one that has ended is fine."""
        task = self.at_work.get(name)
        if task:
            self.effects[name]._over = True
            task.cancel()
            await asyncio.wait([task])
        return {"effect": name}

    async def _run(self, name: str, effect: Effect) -> None:
        try:
            async with self.known[name](effect) as act:
                async for level in effect.levels():
                    act(level)
        except Exception as error:  # noqa: BLE001, it ends here and is said, or nobody would know
            self.service.log.error("%s ended: %s: %s", name, type(error).__name__, error)
        finally:
            self.at_work.pop(name, None)


def setting(put: Callable[[float], None]) -> Doing:
    """Make an effect that is one value, put as the level says, and 0 at its end."""

    @asynccontextmanager
    async def hold(effect: Effect) -> AsyncIterator[Callable[[float], None]]:
        try:
            yield put
        finally:
            put(0.0)

    return hold


def common_effects(service: Service) -> dict[str, Doing]:
    """Effects that any process knows: threads, link, loop, metrics and clock."""

    @asynccontextmanager
    async def cpu_saturation(effect: Effect) -> AsyncIterator[Callable[[float], None]]:
        share, over = [0.0], threading.Event()
        threads = [threading.Thread(target=_spin, args=(share, over), daemon=True) for _ in range(RUNAWAY)]
        for thread in threads:
            thread.start()
        try:
            yield lambda level: share.__setitem__(0, min(level, 1.0))
        finally:
            over.set()

    @asynccontextmanager
    async def event_loop_stall(effect: Effect) -> AsyncIterator[Callable[[float], None]]:
        last = [time.monotonic()]

        def act(level: float) -> None:
            if time.monotonic() - last[0] > STALL_EVERY:
                time.sleep(STALL * level)  # the event loop stands still, as under a call that blocks
                last[0] = time.monotonic()

        yield act

    def lose(level: float) -> None:
        service.link.delay, service.link.loss = DELAY * level, min(LOSS * level, 0.9)

    return {
        "cpu_saturation": cpu_saturation,
        "network_loss": setting(lose),
        "slow_dependency": setting(lambda level: setattr(service.link, "delay", SLOW * level)),
        "index_rebuild": setting(lambda level: setattr(service.link, "delay", REBUILD * level)),
        "event_loop_stall": event_loop_stall,
        "sensor_gap": setting(lambda level: setattr(service, "blind", level > 0)),
        "clock_skew": setting(lambda level: setattr(service.lines, "skew", SKEW * level)),
    }


def _spin(share: list[float], over: threading.Event) -> None:
    """Be busy for a share of the time."""
    while not over.is_set():
        busy = time.perf_counter() + SLICE * share[0]
        while time.perf_counter() < busy:
            pass
        time.sleep(max(SLICE * (1 - share[0]), 1e-4))
