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
from pathlib import Path, PurePosixPath

from stability.backup.archive import synced
from stability.backup.contents import WORK
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
    """Move everything in one folder into another, and what it replaces into a third.

    Parameters
    ----------
    draft : path
        What was restored.
    place : path
        The workbench's folder.
    aside : path
        Where the replaced is kept; made where something is. Both lie in `.backup` of the place.

    Raises
    ------
    ContractError
        Before anything is moved, when something lies on another disk: there nothing can be exchanged in one step.
    """
    names = sorted(path.name for path in draft.iterdir())
    plan = {"draft": _within(draft, place), "aside": _within(aside, place), "names": names}
    for path in (place / name for name in names):
        disk = path.lstat().st_dev if os.path.lexists(path) else place.stat().st_dev
        if disk != draft.stat().st_dev or path.is_mount():
            raise ContractError(
                file=path,
                expected="a folder on the disk of the workbench's own",
                got="one on another disk",
                remedy="restore into a new folder on that disk, and let the workbench's folder be it",
            )
    with written_whole(place / JOURNAL) as file:
        file.write(json.dumps(plan).encode())
    finish(place)


def _within(path: Path, place: Path) -> str:
    """A path as the plan names it, so that it holds in a folder that was moved meanwhile."""
    return path.relative_to(place).as_posix()


def finish(place: Path) -> bool:
    """Finish a swap that a kill has cut off; whether there was one.

    Raises
    ------
    ContractError
        When its plan cannot be read, or would move anything but what was restored here.
    """
    journal = place / JOURNAL
    for part in place.glob(f".{JOURNAL}.*.part"):  # of a plan that was never written
        part.unlink()
    if not journal.exists():
        return False
    try:
        plan = json.loads(journal.read_bytes())
        draft, aside = (place / _inner(plan[key]) for key in ("draft", "aside"))
        names = [_name(name) for name in plan["names"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ContractError(file=journal, expected="the plan of a restore", got=str(error)) from error
    work = (place / WORK).resolve()
    if work != place.resolve() / WORK or not all(path.resolve().is_relative_to(work) for path in (draft, aside)):
        raise ContractError(
            file=journal, expected=f"the plan of a restore in {WORK}/", got="one that a link leads elsewhere"
        )
    for name in names:
        if os.path.lexists(draft / name):
            _exchange(draft / name, place / name, aside / name)
    synced(place)
    journal.unlink()
    with contextlib.suppress(OSError):
        draft.rmdir()
    return True


def _inner(text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    if path.parts[:1] != WORK.parts or len(path.parts) < 2 or ".." in path.parts:
        raise ValueError(f"{text!r} does not lie in {WORK}/")
    return path


def _name(text: str) -> str:
    if PurePosixPath(text).name != text or not text or text == "..":
        raise ValueError(f"{text!r} is no name of a file")
    return text


def _exchange(new: Path, old: Path, aside: Path) -> None:
    for companion in (old.with_name(old.name + end) for end in COMPANIONS):
        if companion.exists():
            _keep(companion, aside.with_name(companion.name))
    if not os.path.lexists(old):
        new.rename(old)
    elif _is_folder(old) or _is_folder(new):
        _keep(old, aside)
        new.rename(old)
    else:
        if not _is_same(aside, old):  # a kill came after the second name
            kept = _free(aside)
            kept.parent.mkdir(parents=True, exist_ok=True)
            _second_name(old, kept)
        new.replace(old)


def _is_folder(path: Path) -> bool:
    """Whether it is a folder itself, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _second_name(path: Path, name: Path) -> None:
    if path.is_symlink():  # from elsewhere its target would be another one
        name.symlink_to(path.parent / path.readlink())
    else:
        os.link(path, name)


def _is_same(kept: Path, path: Path) -> bool:
    if path.is_symlink():
        return kept.is_symlink() and kept.readlink() == path.parent / path.readlink()
    return not kept.is_symlink() and kept.is_file() and kept.samefile(path)


def _keep(path: Path, aside: Path) -> None:
    aside = _free(aside)
    aside.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        _second_name(path, aside)
        path.unlink()
    else:
        path.rename(aside)


def _free(path: Path) -> Path:
    """A name that is not taken: somebody may have written between a kill and its finish."""
    name, number = path.name, 1
    while os.path.lexists(path):
        path, number = path.with_name(f"{name}.{number}"), number + 1
    return path
