"""A bounded pool of connections that shows how many are taken and how many requests wait for one."""

from __future__ import annotations

__all__ = ["Pool"]

import asyncio
from collections import deque

from prometheus_client import Gauge

USED = Gauge("db_client_connections_used", "Connections to the feature store that are taken.")
PENDING = Gauge("db_client_connections_pending_requests", "Requests that wait for a connection.")


class Pool:
    """So many at a time, first come first served.

    ``async with pool:`` waits for a connection and gives it back; `leak` takes some away for good until `mend`.
    """

    def __init__(self) -> None:
        self.size, self.used, self.leaked = 1, 0, 0
        self.queue: deque[asyncio.Future] = deque()
        USED.set_function(lambda: self.used + self.leaked)
        PENDING.set_function(lambda: self.pending)

    @property
    def free(self) -> int:
        """Connections that nobody has."""
        return self.size - self.used - self.leaked

    @property
    def pending(self) -> int:
        """Requests that wait."""
        return sum(not waiter.done() for waiter in self.queue)

    def resize(self, size: int) -> None:
        """Allow more or fewer."""
        self.size = size
        self._wake()

    def leak(self, count: int) -> None:
        """Let this many connections be lost, of those that there are."""
        self.leaked = min(count, self.size)
        self._wake()

    async def __aenter__(self) -> None:
        if self.free <= 0 or self.queue:
            waiter = asyncio.get_running_loop().create_future()
            self.queue.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():  # it was given one and leaves
                    self.used -= 1
                self._wake()
                raise
            return
        self.used += 1

    async def __aexit__(self, *_: object) -> None:
        self.used -= 1
        self._wake()

    def _wake(self) -> None:
        while self.queue and (self.free > 0 or self.queue[0].done()):
            waiter = self.queue.popleft()
            if not waiter.done():
                self.used += 1
                waiter.set_result(None)
