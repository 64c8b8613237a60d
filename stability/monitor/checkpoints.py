"""What a watch has learnt up to a moment, whole or not at all: the newest whole one is where it goes on."""

from __future__ import annotations

__all__ = ["Checkpoint", "Checkpoints"]

import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stability.schema import ContractError
from stability.schema.store import folder_written_whole, written_whole

KEPT = 2  # the newest, and the one before it in case that a disk has lost a part of it
SAID = "said.json"


@dataclass(frozen=True)
class Checkpoint:
    """One that was read.

    Parameters
    ----------
    moment : int
        Microseconds since 1970, of the last step in it.
    said : mapping
        JSON types.
    folder : Path
        Files beside it.
    """

    moment: int
    said: Mapping[str, Any]
    folder: Path


class Checkpoints:
    """Checkpoints of a watch in a folder, which one process holds at a time.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        for draft in folder.glob(".at-*"):  # of a process that was killed
            shutil.rmtree(draft, ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """The newest whole one; None where there is none.

        Raises
        ------
        ContractError
            Where there are some, and none of them can be read.
        """
        known = sorted(self.folder.glob("at-*"), reverse=True)
        for folder in known:
            try:
                said = json.loads((folder / SAID).read_text(encoding="utf-8"))
                if all(map(_is_whole, folder.glob("*.npz"))):
                    return Checkpoint(int(folder.name.removeprefix("at-")), said, folder)
            except (OSError, ValueError):
                continue
        if known:
            remedy = "move the folder away to begin anew"
            raise ContractError(file=self.folder, expected="a whole checkpoint", got="damaged ones", remedy=remedy)
        return None

    def write(self, moment: int, said: Mapping[str, Any], beside: Callable[[Path], object] | None = None) -> int:
        """Write one: `said`, and what `beside(folder)` writes; gives the moment of the oldest that stays beside it."""
        folder = self.folder / f"at-{moment:016}"
        shutil.rmtree(folder, ignore_errors=True)
        with folder_written_whole(folder) as draft:
            if beside is not None:
                beside(draft)
                _sync(draft)
            with written_whole(draft / SAID) as file:
                file.write(json.dumps(said).encode())
        known = sorted(self.folder.glob("at-*"))
        for old in known[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return int(known[-KEPT:][0].name.removeprefix("at-"))


def _sync(folder: Path) -> None:
    """Have every file of a folder on the disk, so that a power cut leaves none of them without its content."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _is_whole(path: Path) -> bool:
    """Tell whether an archive of arrays can be read: all of it has the checksum that it was written with."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):  # the last: damage may look like a password
        return False


@contextmanager
def held(path: Path):
    """Hold a watch's folder, so that no second process writes there.

    Raises
    ------
    ContractError
        When another one does.
    """
    import fcntl  # not where there is no POSIX

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            remedy = "stop the other one, or give this one another name"
            raise ContractError(
                file=path, expected="a watch that nobody else runs", got="one that runs", remedy=remedy
            ) from None
        yield
