"""A small disk of a replica's own: a folder with a quota, so that it can be filled without harm to the machine."""

from __future__ import annotations

__all__ = ["QUOTA", "Volume"]

import errno
import os
import time
from pathlib import Path

from prometheus_client import Gauge

QUOTA = 48 << 20  # bytes
JOURNAL, ROTATED = "answers.log", 4 << 20  # bytes after which the journal of answers begins anew
FILLER = "debug.log"
LOOK = 0.2  # s for which what was found on the disk is believed

USED = Gauge("system_filesystem_utilization_ratio", "Share of the replica's disk that is used.")


class Volume:
    """The disk.

    Parameters
    ----------
    folder : Path
        Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.looked, self.taken = folder, 0.0, 0
        USED.set_function(lambda: min(self.used() / QUOTA, 1.0))

    def used(self) -> int:
        """Bytes in the folder, as of a moment ago."""
        if time.monotonic() - self.looked > LOOK:
            self.taken = sum(entry.stat().st_size for entry in os.scandir(self.folder))
            self.looked = time.monotonic()
        return self.taken

    def append(self, text: bytes) -> None:
        """Write to the journal of answers, which is opened for each batch and begins anew when it is long.

        Raises
        ------
        OSError
            The disk is full (ENOSPC), or no file can be opened.
        """
        if self.used() + len(text) > QUOTA:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        path = self.folder / JOURNAL
        with path.open("ab", buffering=0) as file:
            file.write(text)
            if file.tell() > ROTATED:
                file.truncate(0)

    def fill(self, share: float) -> None:
        """Let the filler take its share of the whole disk, or of what is left of it."""
        path, self.looked = self.folder / FILLER, 0.0
        now = path.stat().st_size if path.exists() else 0
        room = QUOTA - (self.used() - now)
        missing = min(int(share * QUOTA), room) - now
        if missing > 0:
            with path.open("ab") as file:
                file.write(os.urandom(missing))
            self.looked = 0.0

    def clean(self) -> None:
        """Remove the filler."""
        (self.folder / FILLER).unlink(missing_ok=True)
        self.looked = 0.0
