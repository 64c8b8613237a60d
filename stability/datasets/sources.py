"""Where the files of a dataset lie, and how one knows that they are what they were."""

from __future__ import annotations

__all__ = ["Dataset", "Source", "cache", "checksum", "intact", "mirror", "public"]

import csv
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stability.datasets.download import pull, pull_archive
from stability.schema import ContractError, home

SUMS = {64: "sha256", 40: "git id"}  # form of a checksum by its number of digits
VALUES = "values"
NOT_PINNED = "-"  # in a registry file: a file whose checksum nobody knows
DECIMALS = 6


@dataclass(frozen=True)
class Source:
    """The files of one dataset: what they must be, where they lie, where they come from.

    Parameters
    ----------
    name : str
        Of the dataset, of its folder in the mirror and the cache, and of `data/registry/<name>.txt`.
    url : str
        What stands before a file's name in its address; with `archive`, the address of the zip that holds the files.
    archive : bool
        Whether the origin is one zip.
    refusal : str
        Why nothing is downloaded; empty where something is.
    """

    name: str
    url: str
    archive: bool = False
    refusal: str = ""

    @property
    def registry(self) -> Mapping[str, tuple[str, ...]]:
        """Every file that is known, with the checksums of which one must fit; none where it is not pinned."""
        path = home() / "data" / "registry" / f"{self.name}.txt"
        if not path.is_file():
            expected = f"the names and checksums of dataset '{self.name}'"
            raise ContractError(file=path, expected=expected, got="none", remedy="git checkout data/registry")
        return _registry(path, path.stat().st_mtime_ns)

    def path(self, file: str) -> Path:
        """Where a file lies: in the mirror, or else in the cache of downloads (whether it is there or not)."""
        mirrored = mirror(self.name)
        found = mirrored is not None and (mirrored / file).is_file()
        return mirrored / file if found else cache(self.name) / file

    def intact(self, file: str) -> Path:
        """Give the path of a file after a look at its bytes; of one that is not pinned, only that it is there."""
        folder = mirror(self.name)
        path = self.path(file)
        if not path.is_file() and folder is not None:
            path = folder / file  # the error names the place that was meant to have it
        return intact(path, self.registry[file], self.name)

    def digests(self, files: Iterable[str]) -> dict[str, str]:
        """Checksum of each file; of one that is not pinned, the sha256 that it has."""
        known = self.registry
        return {file: (known[file] or (checksum(self.intact(file)),))[0] for file in files if self.intact(file)}

    def fetch(self, files: Iterable[str]) -> Path:
        """Download what is not here; give the mirror's folder where it holds all of it, else the cache's."""
        wanted = [file for file in files if not self._is_here(file)]
        folder = cache(self.name)
        if not wanted:
            return mirror(self.name) or folder
        if self.refusal:
            remedy = f"get the files yourself and set STABILITY_DATA_MIRROR to a folder that holds {self.name}/"
            raise ContractError(f"dataset '{self.name}' is not downloaded: {self.refusal}", remedy=remedy)
        known = self.registry
        checks = {file: functools.partial(intact, pins=known[file], dataset=self.name) for file in wanted}
        if self.archive:
            pull_archive(self.url, folder, checks, self.name)
        else:
            pull({f"{self.url}{file}": (folder / file, check) for file, check in checks.items()}, self.name)
        return folder

    def _is_here(self, file: str) -> bool:
        path = self.path(file)
        if not path.is_file():
            return False
        try:
            self.intact(file)
        except ContractError:
            if path.is_relative_to(cache(self.name)):
                return False  # a broken download is repeated, a broken mirror is its owner's affair
            raise
        return True


@dataclass(frozen=True)
class Dataset:
    """One entry of the catalogue.

    Parameters
    ----------
    name, description, licence, citation, labels, origin : str
        For people; `labels` says what is labelled.
    load : callable
        Options -> tables of the contract.
    files : callable or None
        Options of `load` -> names of the files that it would read; without options, what the dataset is made of.
        None for data that only an option names.
    digests : callable
        Options of `load` -> {file: checksum} of what it would read, after a look at each.
    fetch : callable
        Options of `load` -> folder, after a download where one is needed.
    source : Source or None
        Of public data.
    """

    name: str
    description: str
    licence: str
    citation: str
    labels: str
    origin: str
    load: Callable[..., dict[str, pd.DataFrame]]
    files: Callable[..., Iterable[str]] | None
    digests: Callable[..., dict[str, str]]
    fetch: Callable[..., Path]
    source: Source | None = None

    def is_here(self) -> bool:
        """Whether every file that it is made of is there; says nothing about its bytes."""
        try:
            return all(self._path(file).is_file() for file in self.files())
        except ContractError:
            return False

    def count(self) -> str:
        """How many files it is made of, and how many are known to its registry; 0 where even the names are missing."""
        try:
            number = len(list(self.files()))
            known = len(self.source.registry) if self.source else number
        except ContractError:
            return "0"
        return f"{number} ({known} known)" if known > number else f"{number}"

    def verified(self) -> tuple[list[Path], list[Path]]:
        """Every file that it is made of and each further one that is here: those that are pinned and intact, others."""
        if self.source is None:
            return [self._path(file) for file in self.digests()], []
        files = dict.fromkeys(self.files())
        files |= dict.fromkeys(file for file in self.source.registry if self.source.path(file).is_file())
        found = {file: self.source.intact(file) for file in files}
        pinned = [file for file in files if self.source.registry[file]]
        return [found[file] for file in pinned], [found[file] for file in files if file not in pinned]

    def _path(self, file: str) -> Path:
        return self.source.path(file) if self.source else home() / file


def public(source: Source, *, load: Callable, files: Callable, **said: str) -> Dataset:
    """Make the entry of a public dataset: checksums, places and download are its source's.

    Parameters
    ----------
    source : Source
        Whose name it bears.
    load, files, **said
        As for `Dataset`.
    """
    return Dataset(
        name=source.name,
        load=load,
        files=files,
        digests=lambda **options: source.digests(files(**options)),
        fetch=lambda **options: source.fetch(files(**options)),
        source=source,
        **said,
    )


@functools.cache
def _registry(path: Path, changed: int) -> dict[str, tuple[str, ...]]:
    # `changed`, the file's time of change, is part of the cache's key.
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name: tuple(p for p in pins if p != NOT_PINNED) for name, *pins in lines if not name.startswith("#")}


def mirror(name: str) -> Path | None:
    """Folder of a dataset in the mirror: `STABILITY_DATA_MIRROR`, else `../shared/data` beside the workbench's folder.

    None where there is no such folder.
    """
    root = os.environ.get("STABILITY_DATA_MIRROR") or home().parent / "shared" / "data"
    folder = Path(root).expanduser() / name
    return folder if folder.is_dir() else None


def cache(name: str) -> Path:
    """Folder that downloads of a dataset go to: `STABILITY_DATA_CACHE`, else the user's cache folder."""
    import pooch

    return Path(os.environ.get("STABILITY_DATA_CACHE") or pooch.os_cache("stability")).expanduser() / name


def intact(path: Path, pins: Iterable[str], dataset: str) -> Path:
    """Give a file's path after comparing its bytes with what they should be.

    Parameters
    ----------
    path : Path
        The file.
    pins : iterable of str
        Checksums of which one must fit: sha256 (64 digits), git's id of the content (40 digits), or `values:` and the
        sha256 of the cells with each number printed with six decimals. None: the file is not pinned, and only has to
        be there.
    dataset : str
        Whose file it is, for the error.

    Raises
    ------
    ContractError
        When it is missing or altered; nothing is ever loaded from such a file.
    """
    if not path.is_file():
        more = f"datasets.fetch('{dataset}', **options) in Python for what options name"
        remedy = f"run `stability data fetch {dataset}` ({more}), or set STABILITY_DATA_MIRROR to what holds {dataset}/"
        raise ContractError(file=path, expected=f"a file of dataset '{dataset}'", got="none", remedy=remedy)
    pins = tuple(pins)
    for pin in pins:
        form, _, wanted = pin.rpartition(":")
        if checksum(path, form or SUMS[len(wanted)]) == wanted:
            return path
    if pins:
        form = SUMS[len(pins[0])]
        remedy = "restore the file: `git checkout data`, `stability data fetch`, or the mirror's origin"
        raise ContractError(file=path, expected=f"{form} {pins[0]}", got=checksum(path, form), remedy=remedy)
    return path


def checksum(path: Path, form: str = "sha256") -> str:
    """Checksum of a file: of its bytes (`sha256`), git's id of its content (`git id`), or of its cells (`values`)."""
    stat = path.stat()
    return _checksum(path, form, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8192)
def _checksum(path: Path, form: str, changed_ns: int, size: int) -> str:
    del changed_ns  # part of the key only: computed once as long as time and size stay the same
    if form == VALUES:
        return _cells(path)
    total = hashlib.sha256() if form == "sha256" else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            total.update(chunk)
    return total.hexdigest()


def _cells(path: Path) -> str:
    """Sha256 of a CSV's cells, numbers with six decimals: the same numbers written otherwise are the same data."""
    total = hashlib.sha256()
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for row in csv.reader(handle):
                total.update((",".join(map(_cell, row)) + "\n").encode())
    except (UnicodeDecodeError, csv.Error):
        return "none: the file is no CSV"
    return total.hexdigest()


def _cell(text: str) -> str:
    try:
        return f"{round(float(text), DECIMALS) + 0.0:.{DECIMALS}f}"  # + 0.0: there is no -0
    except ValueError:
        return text.strip()
