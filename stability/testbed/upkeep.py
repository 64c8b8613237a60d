"""The service's own data on disk: copied whole, put back, and rid of what fills it."""

from __future__ import annotations

__all__ = ["back_up", "debris", "put_back"]

import contextlib
import shutil
import sqlite3
from pathlib import Path

from fastapi import HTTPException

from stability.testbed.observations import FILE as FEATURES
from stability.testbed.volume import FILLER


def back_up(home: Path, folder: Path) -> Path:
    """Copy models, configuration and features of a testbed, whole or not at all; the database gives its own copy.

    Parameters
    ----------
    home, folder : Path
        The testbed, and where to.
    """
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for part in ("models", "configuration"):
        shutil.copytree(home / part, draft / part)
    (draft / "store").mkdir()
    with (
        contextlib.closing(sqlite3.connect(home / "store" / FEATURES)) as source,
        contextlib.closing(sqlite3.connect(draft / "store" / FEATURES)) as copy,
    ):
        source.backup(copy)
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)
    return folder


def put_back(home: Path, folder: Path) -> None:
    """Put back what was backed up, file by file, each whole.

    Raises
    ------
    HTTPException
        422: there is no backup.
    """
    if not (folder / "store" / FEATURES).is_file():
        raise HTTPException(422, f"no backup in {folder}")
    for part in ("models", "configuration", "store"):
        for file in (folder / part).iterdir():
            draft = home / part / f".{file.name}"
            shutil.copyfile(file, draft)
            draft.replace(home / part / file.name)


def debris(home: Path, name: str) -> Path:
    """The file that fills a replica's disk and that nobody needs."""
    return home / "volumes" / name / FILLER
