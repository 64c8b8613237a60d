"""What happened, a line of JSON each: appended, on the disk before anything follows from it, and each thing once.

A line that was cut by a crash is the last one of its file; it is taken away when the file is opened again. Files are
rotated by size; what is older than the newest few is deleted, but never what came after the last checkpoint.
"""

from __future__ import annotations

__all__ = ["Journal", "JournalError"]

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stability.monitor.appended import Appended
from stability.schema import read_json_lines

NAME = "events"
LARGEST = 64 << 20  # bytes of a file
WHOLE = ("incident", "look", "verdict")
FILES = 16  # with the largest size: 1 GiB of history


class JournalError(OSError):
    """The disk did not take an entry: what it tells of has to be told again."""


class Journal:
    """An append-only record, of which each entry has a key and is written once.

    Parameters
    ----------
    folder : Path
        Gets `events-00000001.jsonl`, ...
    since : int
        Microseconds since 1970: keys of entries about later moments are remembered, because these moments may be gone
        through again.
    largest : int
        Bytes of a file, after which the next one begins.
    files : int
        How many are kept.
    """

    def __init__(self, folder: Path, *, since: int = -1, largest: int = LARGEST, files: int = FILES):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.largest, self.files = folder, largest, files
        self.news: list[dict[str, Any]] = []  # entries since somebody took them
        self._since: dict[Path, int] = {}  # newest moment in each file
        self._keys: dict[str, int] = {}
        self.kept: dict[str, dict[str, Any]] = {}  # incidents and verdicts, whole: their makers have acted upon them
        known = self._known()
        self.path = known[-1] if known else folder / f"{NAME}-{1:08}.jsonl"
        _mend(self.path)
        for path in reversed(known):
            told = [line for line in read_json_lines(path) if "key" in line]
            self._since[path] = max((int(line["moment"]) for line in told), default=-1)
            late = {str(line["key"]): line for line in told if int(line["moment"]) > since}
            self._keys |= {key: int(line["moment"]) for key, line in late.items()}
            self.kept |= {key: line for key, line in late.items() if line.get("kind") in WHOLE}
            if told and not late:
                break
        self._file = Appended(self.path)

    def once(self, key: str, moment: int, **told: Any) -> bool:
        """Write an entry unless there is one of this key; on the disk when this returns.

        Parameters
        ----------
        key : str
            Of what happened, such as an alarm's id; equal after a restart.
        moment : int
            Microseconds since 1970, of the step at which it happened.
        **told
            JSON types, numpy's numbers, timestamps; NaN becomes null.

        Returns
        -------
        bool
            Whether it is new.
        """
        if key in self._keys:
            return False
        entry = {"key": key, "moment": int(moment), **told}
        self.write([entry])
        self._keys[key] = int(moment)
        self.news.append(entry)
        return True

    def taken(self) -> list[dict[str, Any]]:
        """Entries that `once` has written since this was asked last."""
        news, self.news = self.news, []
        return news

    def has(self, key: str) -> bool:
        """Whether there is an entry of this key about a moment that may be gone through again."""
        return key in self._keys

    def write(self, lines: list[Mapping[str, Any]], *, sure: bool = True) -> None:
        """Append entries; `sure` waits for the disk.

        Raises
        ------
        JournalError
            Nothing of them is there.
        """
        if not lines:
            return
        text = "".join(json.dumps(_plain(line), allow_nan=False, ensure_ascii=False) + "\n" for line in lines)
        try:
            if self._file.size >= self.largest:
                self._next()
            self._file.add(text.encode(), sure=sure)
        except OSError as error:
            raise JournalError(error.errno, error.strerror or str(error), str(self.path)) from None
        newest = max((int(line["moment"]) for line in lines if "moment" in line), default=-1)
        self._since[self.path] = max(self._since.get(self.path, -1), newest)

    def forget(self, until: int) -> None:
        """Forget the keys of moments up to this one: there is a checkpoint, and they are never gone through again."""
        self._keys = {key: moment for key, moment in self._keys.items() if moment > until}
        self.kept = {key: line for key, line in self.kept.items() if key in self._keys}
        for path in self._known()[: -self.files]:
            if self._since.get(path, -1) <= until:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _next(self) -> None:
        number = int(self.path.stem.rsplit("-", 1)[1]) + 1
        path = self.folder / f"{NAME}-{number:08}.jsonl"
        file = Appended(path)
        self._file.close()
        self.path, self._file = path, file

    def _known(self) -> list[Path]:
        return sorted(self.folder.glob(f"{NAME}-????????.jsonl"))


def _mend(path: Path) -> None:
    """Take away a line that was cut by a crash."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(end - 65_536, 0)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                end = begin + found + 1
                break
            end = begin
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())


def _plain(told: Any) -> Any:
    if isinstance(told, Mapping):
        return {str(name): _plain(one) for name, one in told.items()}
    if isinstance(told, list | tuple | set | frozenset | np.ndarray):
        return [_plain(one) for one in told]
    if isinstance(told, np.generic):
        told = told.item()
    if told is pd.NaT or told is pd.NA:
        return None
    if isinstance(told, pd.Timestamp):
        return told.isoformat()
    if isinstance(told, float) and not math.isfinite(told):
        return None if math.isnan(told) else str(told)
    return told if told is None or isinstance(told, str | int | float | bool) else str(told)
