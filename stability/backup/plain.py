"""Backups as folders: a compressed tar, its manifest, and checksums that `sha256sum -c SHA256SUMS` verifies too."""

from __future__ import annotations

__all__ = ["ARCHIVE", "SUMS", "Archives"]

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from stability.backup.archive import broken
from stability.backup.manifest import MANIFEST, Manifest, read_manifest
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
        """Write a backup: whole under its name, or not at all.

        Parameters
        ----------
        name : str
        fill : callable
            Writes the stream into a file, and gives its manifest.
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
                _synced(draft / ARCHIVE)
                (draft / MANIFEST).write_bytes(manifest.to_json())
                (draft / SUMS).write_bytes(_sums(draft))
                _synced(draft / MANIFEST)
                _synced(draft / SUMS)
                draft.chmod(0o700)
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
        folder = self.place / name
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

    def manifest(self, name: str) -> Manifest:
        """Read a backup's manifest, without its files."""
        self.check(name)
        return read_manifest((self.place / name / MANIFEST).read_bytes(), name)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """Open a backup's stream."""
        try:
            raw = (self.place / name / ARCHIVE).open("rb")
        except OSError as error:
            raise broken(str(self.place / name), str(error)) from error
        with raw, pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd") as stream:
            yield stream

    def remove(self, names: Iterable[str]) -> None:
        """Remove backups: each is whole until the moment at which it has another name."""
        for name in names:
            going = self.place / f".going-{name}"
            (self.place / name).rename(going)
            shutil.rmtree(going, ignore_errors=True)


def _sums(folder: Path) -> bytes:
    lines = []
    for name in (ARCHIVE, MANIFEST):
        with (folder / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines).encode()


def _synced(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
