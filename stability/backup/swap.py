"""Restored files take the place of others: what was there is kept aside, and a kill at any moment is finished later.

What will be done is written down before anything is moved, so that whoever comes next can finish it. A file is never
absent: the new one is renamed over the old one, which has a second name aside by then.
"""

from __future__ import annotations

__all__ = ["finish", "occupied", "swap"]

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from stability.schema import ContractError, written_whole

JOURNAL = ".restoring.json"
COMPANIONS = ("-wal", "-shm", "-journal")  # of an old database: beside a new one they would damage it
IDLE = (".lock", ".prune.lock", ".store.lock", ".promotions.lock", ".gitignore")


def occupied(place: Path, names: Iterable[str]) -> list[str]:
    """List what a restore would replace: files and folders of these names that hold more than locks."""
    found = []
    for name in names:
        path = place / name
        if path.is_dir() and not path.is_symlink():
            if any(inner.name not in IDLE for inner in path.iterdir()):
                found.append(name)
        elif os.path.lexists(path):
            found.append(name)
    return found


def swap(draft: Path, place: Path, aside: Path) -> None:
    """Move everything in one folder into another, and what it replaces into a third; all on one disk.

    Parameters
    ----------
    draft : path
        What was restored.
    place : path
        The workbench's folder.
    aside : path
        Where the replaced is kept; made where something is.
    """
    plan = {"draft": str(draft), "aside": str(aside), "names": sorted(path.name for path in draft.iterdir())}
    with written_whole(place / JOURNAL) as file:
        file.write(json.dumps(plan).encode())
    finish(place)


def finish(place: Path) -> bool:
    """Finish a swap that a kill has cut off; whether there was one.

    Raises
    ------
    ContractError
        When its plan cannot be read.
    """
    journal = place / JOURNAL
    for part in place.glob(f".{JOURNAL}.*.part"):  # of a plan that was never written
        part.unlink()
    if not journal.exists():
        return False
    try:
        plan = json.loads(journal.read_bytes())
        draft, aside, names = Path(plan["draft"]), Path(plan["aside"]), list(plan["names"])
    except (ValueError, KeyError, TypeError) as error:
        raise ContractError(file=journal, expected="the plan of a restore", got=str(error)) from error
    for name in names:
        if os.path.lexists(draft / name):
            _exchange(draft / name, place / name, aside / name)
    _synced(place)
    journal.unlink()
    with contextlib.suppress(OSError):
        draft.rmdir()
    return True


def _exchange(new: Path, old: Path, aside: Path) -> None:
    for companion in (old.with_name(old.name + end) for end in COMPANIONS):
        if companion.exists():
            _keep(companion, aside.with_name(companion.name))
    if not os.path.lexists(old):
        new.rename(old)
    elif old.is_file() and new.is_file():
        if not (aside.is_file() and aside.samefile(old)):  # a kill came after the second name
            kept = _free(aside)
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.link(old, kept)
        new.replace(old)
    else:
        _keep(old, aside)
        new.rename(old)


def _keep(path: Path, aside: Path) -> None:
    aside = _free(aside)
    aside.parent.mkdir(parents=True, exist_ok=True)
    path.rename(aside)


def _free(path: Path) -> Path:
    """A name that is not taken: somebody may have written between a kill and its finish."""
    name, number = path.name, 1
    while os.path.lexists(path):
        path, number = path.with_name(f"{name}.{number}"), number + 1
    return path


def _synced(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
