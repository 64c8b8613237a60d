"""Backups in a repository of restic: encrypted, and only what changed is stored again.

The stream goes to restic as one file, which it cuts by content. A stream that ends early is no error to restic, so a
snapshot counts only once it was read again and carries the tag that says it is whole; others tell whose it is, and who
was erased until then, so that this is known without reading it. The password comes from the environment alone
(`RESTIC_PASSWORD`, `RESTIC_PASSWORD_FILE` or `RESTIC_PASSWORD_COMMAND`), which restic reads itself.
"""

from __future__ import annotations

__all__ = ["PASSWORDS", "Restic", "has_password", "is_installed"]

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from stability.backup.archive import broken, unpack
from stability.backup.manifest import Manifest, Told
from stability.backup.plain import NAME
from stability.schema import ContractError, redact

PASSWORDS = ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND")
OURS, WHOLE = "stability", "whole"
HOME, ERASED = "home=", "erased="  # beginnings of tags, which hold no comma
FILE = "archive.tar"
NAMED_BY_CONTENT = ("data", "index", "keys", "snapshots")
DIGEST = re.compile(r"[0-9a-f]{64}\Z")
NOTHING = re.compile(r"does not exist|no such file|\b404\b", re.I)  # what it says where no repository is
NONE = 10  # its exit status then, from version 0.17 on
AT_ONCE = 1000  # tags of one command: its line may not be too long
READ = "--no-lock"  # whoever reads takes none, and a lock that somebody left hinders no restore
MOST = 300  # characters of what restic says


def is_installed() -> bool:
    """Whether restic is on PATH."""
    return shutil.which("restic") is not None


def has_password() -> bool:
    """Whether the environment holds a repository's password."""
    return any(os.environ.get(name) for name in PASSWORDS)


@dataclass(frozen=True)
class Restic:
    """A repository.

    Parameters
    ----------
    place : str
        A folder, or any address that restic knows.
    """

    place: str
    kind = "restic"
    encrypted = True

    @property
    def is_local(self) -> bool:
        """Whether it is a folder, and no address such as sftp:host:/srv."""
        return ":" not in self.place.split("/")[0]

    def names(self) -> list[str]:
        """Names of the backups that are whole, oldest first."""
        return sorted(self._whole())

    def sweep(self) -> None:
        """Forget the snapshots of streams that were cut, and locks of processes that are gone."""
        if not self._is_there():
            return
        if not self.is_local or any((Path(self.place) / "locks").iterdir()):
            self._run("unlock")
        cut = [snapshot["id"] for snapshot in self._snapshots() if WHOLE not in snapshot["tags"]]
        if cut:
            self._run("forget", *cut)

    def write(self, name: str, fill: Callable[[BinaryIO], Manifest]) -> Manifest:
        """Write a backup and read it again: it counts when all of it is there, and not before.

        Parameters
        ----------
        name : str
        fill : callable
            Writes the stream into a file, and gives its manifest.

        Raises
        ------
        ContractError
            When restic does not end well, and when what is read again is not what was written.
        """
        if not self._is_there():
            self._run("init")
        options = ["--stdin", "--stdin-filename", FILE, "--tag", f"{OURS},{name}", "--json", "--quiet"]
        with subprocess.Popen(
            self._command("backup", *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                manifest = fill(process.stdin)
                process.stdin.close()
            except BaseException as error:
                process.kill()  # before its input ends: it would take the part for the whole
                process.wait()
                if isinstance(error, BrokenPipeError):
                    raise self._failed("backup", process.stderr.read()) from error
                raise
            said = process.stderr.read()
        if process.returncode:
            raise self._failed("backup", said)
        self.check(name)
        with self._dumped(f"{OURS},{name}") as stream:
            unpack(stream, name)
        erased = [f"{ERASED}{e['pseudonym']}={e['moment']}" for e in manifest.erasures]
        told = [HOME + quote(manifest.home, safe="/"), *erased, WHOLE]  # at last: it counts from then on
        for k in range(0, len(told), AT_ONCE):
            words = [word for tag in told[k : k + AT_ONCE] for word in ("--add", tag)]
            self._run("tag", "--tag", f"{OURS},{name}", *words)
        return manifest

    def check(self, name: str) -> None:
        """Compare every file of a local repository with its name, which is its checksum, and let restic check the rest.

        Raises
        ------
        ContractError
            If a single bit is not what it was.
        """
        damaged = self.damaged()
        if damaged:
            raise broken(f"{self._shown} {name}", f"{len(damaged)} damaged files, such as {damaged[0]}")
        self._run("check", "--quiet", READ)

    def damaged(self) -> list[str]:
        """Files of a local repository whose content is not what their name says; none of another address."""
        folder = Path(self.place)
        found = []
        for kind in NAMED_BY_CONTENT if folder.is_dir() else ():
            for path in sorted((folder / kind).rglob("*")):
                if path.is_file():
                    with path.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                    if DIGEST.match(path.name) and digest != path.name:
                        found.append(str(path.relative_to(folder)))
        return found

    def told(self) -> dict[str, Told | None]:
        """Give what each backup says of itself without being read; None where it does not say whose it is."""
        said: dict[str, Told | None] = {}
        for name, snapshot in self._whole().items():
            homes = [unquote(tag.removeprefix(HOME)) for tag in snapshot["tags"] if tag.startswith(HOME)]
            gone = [tag.removeprefix(ERASED).partition("=") for tag in snapshot["tags"] if tag.startswith(ERASED)]
            erasures = [{"moment": moment, "pseudonym": pseudonym} for pseudonym, _, moment in gone]
            said[name] = Told(homes[0], erasures) if homes else None
        return said

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """Open a backup's stream, which restic decrypts and authenticates."""
        with self._dumped(f"{OURS},{WHOLE},{name}") as stream:
            yield stream

    @contextlib.contextmanager
    def _dumped(self, tags: str) -> Iterator[BinaryIO]:
        command = self._command("dump", READ, "--tag", tags, "latest", f"/{FILE}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                yield process.stdout
                rest = process.stdout.read()
            finally:
                if process.poll() is None:
                    process.stdout.close()
            said = process.stderr.read()
        if process.returncode or rest.strip(b"\0"):
            raise self._failed("dump", said or b"more than a backup")

    def remove(self, names: Iterable[str]) -> None:
        """Remove backups, and the data that no other one has."""
        wanted = set(names)
        if wanted:
            self._run("forget", "--prune", *(one["id"] for name, one in self._whole().items() if name in wanted))

    def _snapshots(self) -> list[dict]:
        if not self._is_there():
            return []
        return json.loads(self._run("snapshots", READ, "--json", "--tag", OURS)) or []

    def _whole(self) -> dict[str, dict]:
        """Name to snapshot, of those that are whole."""
        whole = [snapshot for snapshot in self._snapshots() if WHOLE in snapshot["tags"]]
        return {mark: snapshot for snapshot in whole for mark in snapshot["tags"] if NAME.match(mark)}

    def _is_there(self) -> bool:
        if self.is_local:
            return (Path(self.place) / "config").is_file()
        command = self._command("cat", READ, "config")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        said = done.stderr.decode(errors="replace").replace(self.place, "")
        if done.returncode not in (0, NONE) and not NOTHING.search(said):  # it may be there, and nobody can tell
            raise self._failed("cat", done.stderr)
        return done.returncode == 0

    @property
    def _shown(self) -> str:
        return redact(self.place)

    def _command(self, verb: str, *arguments: str) -> list[str]:
        found = shutil.which("restic")
        if found is None:
            remedy = "Debian: apt-get install restic; or make plain archives: --as archive"
            raise ContractError(expected="restic on PATH", got="none", remedy=remedy)
        if not has_password():
            raise ContractError(
                file=self._shown,
                expected="the repository's password in the environment",
                got="none",
                remedy=f"set {PASSWORDS[0]} or {PASSWORDS[1]}; it is lost with the password, so keep that elsewhere",
            )
        return [found, "--repo", self.place, verb, *arguments]

    def _run(self, verb: str, *arguments: str) -> bytes:
        command = self._command(verb, *arguments)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise self._failed(verb, done.stderr)
        return done.stdout

    def _failed(self, verb: str, said: bytes) -> ContractError:
        text = redact(" ".join(said.decode(errors="replace").split()))[-MOST:]
        return ContractError(
            file=self._shown,
            expected=f"restic {verb} to end well",
            got=text or "an error without words",
            remedy="is the password right, the place whole, and is there room? restic check says more",
        )
