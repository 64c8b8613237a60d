"""Backups as folders: a compressed tar, its manifest, and checksums that `sha256sum -c SHA256SUMS` verifies too."""

from __future__ import annotations

__all__ = ["ARCHIVE", "SUMS", "Archives"]

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from stability.backup.archive import broken, synced, unpack
from stability.backup.manifest import MANIFEST, Manifest, Told, read_told
from stability.schema import ContractError, folder_written_whole

ARCHIVE, SUMS = "archive.tar.zst", "SHA256SUMS"
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z\Z")
DRAFT = re.compile(r"\.\d{4}-\d\d-\d\dT[\d.-]+Z\.\w+\Z|\.going-\d{4}-.*\Z")


@dataclass(frozen=True)
class Archives:
    """A folder of backups, one folder each. It is not encrypted: secrets have no place in it.

    Parameters
    ----------
    place : path
    """

    place: Path
    kind = "archive"
    encrypted = False
    is_local = True

    def names(self) -> list[str]:
        """Names of the backups that are whole, oldest first."""
        if not self.place.is_dir():
            return []
        return sorted(path.name for path in self.place.iterdir() if NAME.match(path.name) and path.is_dir())

    def sweep(self) -> None:
        """Remove what a killed process has left half written or half removed."""
        for path in self.place.iterdir() if self.place.is_dir() else ():
            if DRAFT.match(path.name):
                shutil.rmtree(path, ignore_errors=True)

    def write(self, name: str, fill: Callable[[BinaryIO], Manifest]) -> Manifest:
        """Write a backup and read it again: whole under its name, or not at all.

        Parameters
        ----------
        name : str
        fill : callable
            Writes the stream into a file, and gives its manifest.

        Raises
        ------
        ContractError
            Without room, and when what is read again is not what was written.
        """
        try:
            self.place.mkdir(parents=True, exist_ok=True)
            ignore = self.place / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")  # in a checkout: no backup is ever committed
            with folder_written_whole(self.place / name) as draft:
                with (
                    (draft / ARCHIVE).open("xb") as raw,
                    pa.CompressedOutputStream(pa.PythonFile(raw, "w"), "zstd") as stream,
                ):
                    manifest = fill(stream)
                synced(draft / ARCHIVE)
                (draft / MANIFEST).write_bytes(manifest.to_json())
                (draft / SUMS).write_bytes(_sums(draft))
                synced(draft / MANIFEST)
                synced(draft / SUMS)
                synced(draft)
                _compare(draft)
                with _opened(draft) as stream:
                    unpack(stream, str(draft))
        except OSError as error:
            raise ContractError(
                file=self.place / name,
                expected="a place that a backup can be written to",
                got=str(error),
                remedy="make room or take another place with --place; the earlier backups are as they were",
            ) from error
        return manifest

    def check(self, name: str) -> None:
        """Compare the checksums of a backup's files.

        Raises
        ------
        ContractError
            If a single bit is not what it was.
        """
        _compare(self.place / name)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """Open a backup's stream."""
        with _opened(self.place / name) as stream:
            yield stream

    def told(self) -> dict[str, Told | None]:
        """Give what each backup says of itself without being read; None where its manifest cannot be read."""
        said: dict[str, Told | None] = dict.fromkeys(self.names())
        for name in said:
            with contextlib.suppress(OSError):
                said[name] = read_told((self.place / name / MANIFEST).read_bytes())
        return said

    def remove(self, names: Iterable[str]) -> None:
        """Remove backups: each is whole until the moment at which it has another name."""
        for name in names:
            going = self.place / f".going-{name}"
            (self.place / name).rename(going)
            shutil.rmtree(going, ignore_errors=True)


def _compare(folder: Path) -> None:
    try:
        there = sorted(path.name for path in folder.iterdir())
        if there != sorted((ARCHIVE, MANIFEST, SUMS)):
            raise broken(str(folder), f"a folder with {', '.join(there) or 'nothing'}")
        said, found = (folder / SUMS).read_bytes(), _sums(folder)
    except OSError as error:
        raise broken(str(folder), str(error)) from error
    if said != found:
        lines = set(said.split(b"\n"))
        damaged = [line.split()[-1].decode() for line in found.splitlines() if line not in lines]
        raise broken(str(folder), f"other checksums of {' and '.join(damaged) or SUMS}")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[BinaryIO]:
    try:
        raw = (folder / ARCHIVE).open("rb")
    except OSError as error:
        raise broken(str(folder), str(error)) from error
    with raw, pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd") as stream:
        yield stream


def _sums(folder: Path) -> bytes:
    lines = []
    for name in (ARCHIVE, MANIFEST):
        with (folder / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines).encode()
