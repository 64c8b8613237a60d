"""A file that only grows: what is added is there as a whole, or nothing of it, also where the disk is full."""

from __future__ import annotations

__all__ = ["Appended"]

import contextlib
import os
from pathlib import Path


class Appended:
    """A file that is appended to.

    Nothing is held back in memory: a buffer would write again what the disk did not take, behind whoever was told so.

    Parameters
    ----------
    path : Path
    anew : bool
        What is there already goes.

    Attributes
    ----------
    size : int
        Bytes of what is there as a whole.
    """

    def __init__(self, path: Path, *, anew: bool = False):
        self._file = path.open("wb" if anew else "ab", buffering=0)
        self.size = self._file.seek(0, os.SEEK_END)

    def add(self, content: bytes, *, sure: bool) -> None:
        """Append bytes; `sure` is on the disk when this returns.

        Raises
        ------
        OSError
            Nothing of them is there.
        """
        try:
            self._cut()  # what could not be taken away when it failed
            self.size = self._file.seek(0, os.SEEK_END)  # somebody else may have cut it, too
            rest = memoryview(content)
            while rest:
                rest = rest[self._file.write(rest) :]
            if sure:
                os.fsync(self._file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                self._cut()
            raise
        self.size += len(content)

    def close(self) -> None:
        """Close the file; what was to be sure is on the disk, whatever the disk says now."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _cut(self) -> None:
        if self._file.seek(0, os.SEEK_END) > self.size:
            self._file.truncate(self.size)
            self._file.seek(self.size)
