"""What can be done to a replica: its memory, descriptors, disk, connections and cache."""

from __future__ import annotations

__all__ = ["replica_effects"]

import asyncio
import contextlib
import ctypes
import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stability.testbed.effects import Doing, Effect, setting
from stability.testbed.task import ITEMS

if TYPE_CHECKING:
    from stability.testbed.model_server import ModelServer

DESCRIPTORS = 192  # most of them that may be open in the process
LEAK = 430 << 20  # bytes at an intensity of 1: more than the process may take
CHUNK = 1 << 20  # bytes that are lost with one list
AT_ONCE = 8  # lists in one look at how strong it is
FULL = 1.35  # of the disk, the descriptors and the pool at an intensity of 1: full after three quarters of the time
HARMLESS = 0.4  # of what the twin takes: cache, clients, copy
EXPIRE = 3.0  # s after which all blocks expire, again and again
BLOCKS = ITEMS // 32


def replica_effects(server: ModelServer) -> dict[str, Doing]:
    """Effects of a replica by name."""

    def memory(most: int) -> Doing:
        @asynccontextmanager
        async def grow(effect: Effect) -> AsyncIterator[Callable[[float], None]]:
            kept: list[list[None]] = []  # each one's references lie in a block of their own, which can be given back

            def act(level: float) -> None:
                piece = CHUNK
                for _ in range(AT_ONCE):
                    if len(kept) * CHUNK >= level * most:
                        return
                    try:
                        kept.append([None] * (piece // 8))  # the garbage collector walks through all of them
                    except MemoryError:  # it stays full until its end
                        piece //= 2

            try:
                yield act
            finally:
                kept.clear()
                _give_back()

        return grow

    def descriptors(share: float) -> Doing:
        @asynccontextmanager
        async def grow(effect: Effect) -> AsyncIterator[Callable[[float], None]]:
            files: list[int] = []

            def act(level: float) -> None:
                try:
                    while len(files) < level * share * DESCRIPTORS:
                        files.append(os.open(os.devnull, os.O_RDONLY))  # and never closed
                except OSError:
                    server.note("a batch failed: Too many open files")

            try:
                yield act
            finally:
                for file in files:
                    os.close(file)

        return grow

    def disk(share: float) -> Doing:
        @asynccontextmanager
        async def grow(effect: Effect) -> AsyncIterator[Callable[[float], None]]:
            def act(level: float) -> None:
                try:
                    server.volume.fill(level * share)
                except OSError as error:
                    server.note(f"debug log: {error.strerror}")

            try:
                yield act
            finally:
                if effect._over:  # a process that is restarted finds its disk as it left it
                    server.volume.clean()

        return grow

    @asynccontextmanager
    async def cache_stampede(effect: Effect) -> AsyncIterator[Callable[[float], None]]:
        async def herd() -> None:
            while True:
                server.cache.blocks.clear()
                wanted = int(min(effect.intensity, 1.0) * BLOCKS)
                await asyncio.gather(*(server.fetch(k) for k in range(wanted)), return_exceptions=True)
                await asyncio.sleep(EXPIRE)

        storm = asyncio.create_task(herd())
        try:
            yield lambda level: None
        finally:
            storm.cancel()

    @asynccontextmanager
    async def cache_warm_up(effect: Effect) -> AsyncIterator[Callable[[float], None]]:
        server.cache.blocks.clear()
        yield lambda level: None

    return {
        "memory_leak": memory(LEAK),
        "cache_growth": memory(int(LEAK * HARMLESS)),
        "descriptor_leak": descriptors(FULL),
        "idle_clients": descriptors(HARMLESS),
        "disk_full": disk(FULL),
        "backup": disk(HARMLESS),
        "connection_pool_exhaustion": setting(lambda level: server.pool.leak(round(level * FULL * server.pool.size))),
        "cache_stampede": cache_stampede,
        "cache_warm_up": cache_warm_up,
    }


def _give_back() -> None:
    """Return freed memory to the system, as a process does that is restarted; glibc alone would keep most of it."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another library for C has no such thing
        ctypes.CDLL(None).malloc_trim(0)
