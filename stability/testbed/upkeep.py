"""The service's own data on disk: copied whole with checksums, put back when they are right, rid of what fills it."""

from __future__ import annotations

__all__ = [
    "ASKED",
    "PARTS",
    "Answers",
    "State",
    "answers_of",
    "back_up",
    "debris",
    "differing",
    "put_back",
    "read_backup",
]

import asyncio
import contextlib
import hashlib
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pydantic
from fastapi import HTTPException

from stability.schema import ContractError
from stability.testbed.observations import FILE as FEATURES
from stability.testbed.task import ITEMS
from stability.testbed.volume import FILLER

MANIFEST = "manifest.json"
PARTS = ("models", "configuration", "store")
ASKED = range(0, ITEMS, ITEMS // 32)  # items of as many blocks that a backup holds the answers to
Answers = dict[str, dict[int, tuple[int, float, str]]]
"""Of each replica what it answered: item to label, confidence and version of the model."""


class State(pydantic.BaseModel, extra="forbid"):
    """What a backup of a testbed says of itself.

    Parameters
    ----------
    moment : float
        Unix seconds just before the first file was read.
    files : dict of str to str
        Path to sha256.
    blocks : int
        Rows of the feature store.
    answers : Answers
        Given just before.
    """

    moment: float
    files: dict[str, str]
    blocks: int
    answers: Answers = {}


async def answers_of(ask: Callable[..., Awaitable[dict]], replicas: Iterable[str]) -> Answers:
    """Ask replicas some questions; one that does not answer all of them is left out.

    Parameters
    ----------
    ask : callable
        (replica, path, body) -> its answer; raises HTTPException without one.
    replicas : iterable of str
    """
    found: Answers = {}
    for name in replicas:
        with contextlib.suppress(HTTPException):
            said = await asyncio.gather(*(ask(name, "/v1/predict", {"item": item}) for item in ASKED))
            told = [(one["label"], one["confidence"], one["version"]) for one in said]
            found[name] = dict(zip(ASKED, told, strict=True))
    return found


def back_up(home: Path, folder: Path, answers: Answers | None = None) -> State:
    """Copy models, configuration and features of a testbed, whole or not at all; the database gives its own copy.

    Parameters
    ----------
    home, folder : Path
        The testbed, and where to; the backup that is there already stays until this one is whole.
    answers : Answers, optional
        What its replicas answer now: what is started from the backup has to answer the same.
    """
    draft, before = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "before"))
    if before.exists() and not folder.exists():  # a kill came between the two steps below
        before.replace(folder)
    for left in (draft, before):
        shutil.rmtree(left, ignore_errors=True)
    draft.mkdir(parents=True)
    moment = time.time()
    for part in ("models", "configuration"):
        shutil.copytree(home / part, draft / part, ignore=shutil.ignore_patterns(".*", "*.draft"))
    (draft / "store").mkdir()
    with (
        contextlib.closing(sqlite3.connect(home / "store" / FEATURES)) as source,
        contextlib.closing(sqlite3.connect(draft / "store" / FEATURES)) as copy,
    ):
        source.backup(copy)
        (blocks,) = copy.execute("select count(*) from observations").fetchone()
    told = State(moment=moment, files=_hashed(draft), blocks=blocks, answers=answers or {})
    (draft / MANIFEST).write_text(told.model_dump_json(indent=1), encoding="utf-8")
    if folder.exists():
        folder.replace(before)
    draft.replace(folder)
    shutil.rmtree(before, ignore_errors=True)
    return told


def read_backup(folder: Path) -> State:
    """Read what a backup says, and compare every file with its checksum.

    Raises
    ------
    ContractError
        When there is none, or it is not what it was.
    """
    try:
        told = State.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        got = str(error).splitlines()[0]
        remedy = "stability testbed backup FOLDER makes one"
        raise ContractError(file=folder, expected="a backup of the testbed", got=got, remedy=remedy) from error
    odd = differing(folder, told)
    if odd:
        raise ContractError(
            file=folder,
            expected="a backup that is whole",
            got=f"other content of {', '.join(odd[:3])}",
            remedy="take another one, and look after the disk that it lies on",
        )
    return told


def differing(folder: Path, told: State) -> list[str]:
    """Files of a folder that are missing, or not as a backup says; others are nobody's matter."""
    found = _hashed(folder)
    return sorted(name for name, digest in told.files.items() if found.get(name) != digest)


def put_back(home: Path, folder: Path) -> State:
    """Put back what was backed up, file by file, each whole, once all of it is known to be what it was.

    Raises
    ------
    ContractError
        As `read_backup`, before anything is put back.
    """
    told = read_backup(folder)
    for name in told.files:
        target = home / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}")
        shutil.copyfile(folder / name, draft)
        draft.replace(target)
    return told


def _hashed(folder: Path) -> dict[str, str]:
    found = {}
    for part in PARTS:
        for path in sorted((folder / part).iterdir()) if (folder / part).is_dir() else ():
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    found[f"{part}/{path.name}"] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def debris(home: Path, name: str) -> Path:
    """The file that fills a replica's disk and that nobody needs."""
    return home / "volumes" / name / FILLER
