"""How long something took, and how much memory at its height, libraries of other languages included."""

from __future__ import annotations

__all__ = ["Peak"]

import contextlib
import ctypes
import threading
import time

import psutil


class Peak:
    """Watch this process's resident memory while a block runs, from a thread of its own.

    Parameters
    ----------
    every : float
        Seconds between two looks; what is taken and given back in between is not seen.

    Attributes
    ----------
    bytes : int
        Largest growth that was seen, once the block is over: beyond what libraries hold from before.
    seconds : float
        Wall time of the block.

    Examples
    --------
    >>> with Peak() as peak:
    ...     held = bytearray(64_000_000)
    >>> peak.bytes > 50_000_000
    True
    """

    def __init__(self, every: float = 0.01) -> None:
        self.every, self.bytes, self.seconds = every, 0, 0.0
        self._process, self._over = psutil.Process(), threading.Event()

    def __enter__(self) -> Peak:
        with contextlib.suppress(OSError, AttributeError):  # what others gave back, where the C library keeps it
            ctypes.CDLL(None).malloc_trim(0)
        self._before = self._process.memory_info().rss
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *error) -> None:
        self.seconds = time.perf_counter() - self._begun
        self._look()
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(self.every):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)
