"""Rows as they came, on the disk before anything is made of them: after a crash the same rows give the same alarms.

A file holds the rows of some hundred moments: records of length, checksum, and content, which is a line of JSON and
the values. A record that a crash has cut is the last one of the last file, and taken away.
"""

from __future__ import annotations

__all__ = ["RowLog"]

import itertools
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stability.monitor.appended import Appended
from stability.monitor.ring import Rows
from stability.schema import ContractError

HEAD = struct.Struct("<4sII")
MARK = b"row1"
MOMENTS = 240  # of a file: an hour of 15 s steps


class RowLog:
    """An append-only log of rows.

    Parameters
    ----------
    folder : Path
    metrics : sequence of str
        Columns of all rows; a log of others is refused.
    moments : int
        Of a file.
    """

    def __init__(self, folder: Path, metrics: Sequence[str], *, moments: int = MOMENTS):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.metrics, self.moments = folder, list(metrics), moments
        self._file: Appended | None = None
        self._count, self._entities = 0, None

    def append(self, rows: Rows, *, sure: bool = True) -> None:
        """Write the rows of a moment; `sure` is on the disk when this returns, or not at all."""
        if self._file is None or self._count >= self.moments:
            self._open(self.folder / f"rows-{rows.moment:016}.log")
        told = {"moment": rows.moment, "rows": len(rows.entities)}
        if rows.entities != self._entities:
            told["entities"] = list(rows.entities)
        if self._count == 0:
            told["metrics"] = self.metrics
        content = json.dumps(told).encode() + b"\n" + np.ascontiguousarray(rows.values, dtype="<f8").tobytes()
        try:
            self._file.add(HEAD.pack(MARK, len(content), zlib.crc32(content)) + content, sure=sure)
        except OSError:
            self.close()  # the next moment begins a file of its own
            raise
        self._entities = rows.entities
        self._count += 1

    def read(self, since: int) -> Iterator[Rows]:
        """Rows from a moment on, in time's order; a record that was cut at the end is taken away.

        Raises
        ------
        ContractError
            When a file is damaged within, or holds other metrics.
        """
        self.close()
        paths = self._known()
        starts = [self._start(path) for path in paths]
        first = max((k for k, start in enumerate(starts) if start <= since), default=0)
        for k, path in enumerate(paths[first:], start=first):
            yield from (rows for rows in self._read(path, last=k == len(paths) - 1) if rows.moment >= since)

    def forget(self, before: int) -> None:
        """Delete the files of which nothing is from this moment or later."""
        paths = self._known()
        for path, then in itertools.pairwise(paths):
            if self._start(then) <= before:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete everything."""
        self.close()
        for path in self._known():
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the next rows begin a new one."""
        file, self._file, self._count, self._entities = self._file, None, 0, None
        if file is not None:
            file.close()

    def _known(self) -> list[Path]:
        return sorted(self.folder.glob("rows-*.log"))

    def _start(self, path: Path) -> int:
        return int(path.stem.removeprefix("rows-"))

    def _open(self, path: Path) -> None:
        self.close()
        self._file = Appended(path, anew=True)

    def _read(self, path: Path, last: bool) -> Iterator[Rows]:
        entities: tuple[str, ...] = ()
        with path.open("rb") as file:
            whole = 0
            while head := file.read(HEAD.size):
                if len(head) < HEAD.size:
                    break
                mark, size, checksum = HEAD.unpack(head)
                content = file.read(size) if mark == MARK else b""
                if mark == MARK and len(content) < size:
                    break  # the end was cut, and nothing was made of it
                if mark != MARK or zlib.crc32(content) != checksum:
                    if last:
                        break
                    remedy = "move the state's folder away to begin anew"
                    raise ContractError(file=path, expected="whole records of rows", got="a damaged one", remedy=remedy)
                line, _, raw = content.partition(b"\n")
                told = json.loads(line)
                if told.get("metrics", self.metrics) != self.metrics:
                    expected = f"rows of {', '.join(self.metrics)}"
                    remedy = "another set of metrics is another watch: give it another name, or move its state away"
                    raise ContractError(file=path, expected=expected, got=", ".join(told["metrics"]), remedy=remedy)
                entities = tuple(told["entities"]) if "entities" in told else entities
                values = np.frombuffer(raw, dtype="<f8").reshape(told["rows"], len(self.metrics))
                whole = file.tell()
                yield Rows(int(told["moment"]), entities, values.astype("float64"))
        if whole < path.stat().st_size and last:
            with path.open("rb+") as file:
                file.truncate(whole)
