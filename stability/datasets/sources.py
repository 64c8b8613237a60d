"""Where the files of a dataset lie, and how one knows that they are what they were."""

from __future__ import annotations

__all__ = ["Dataset", "cache", "intact", "mirror"]

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stability.schema import ContractError, home


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
        () -> (folder, {name: sha256}); None for data that only an option names.
    digests : callable
        Options of `load` -> {file: sha256} of what it would read.
    fetch : callable
        () -> folder, after a download where one is needed.
    """

    name: str
    description: str
    licence: str
    citation: str
    labels: str
    origin: str
    load: Callable[..., dict[str, pd.DataFrame]]
    files: Callable[[], tuple[Path, Mapping[str, str]]] | None
    digests: Callable[..., dict[str, str]]
    fetch: Callable[[], Path]

    def is_here(self) -> bool:
        """Whether every file is there; says nothing about its bytes."""
        try:
            folder, wanted = self.files()
        except ContractError:
            return False
        return all((folder / name).is_file() for name in wanted)

    def count(self) -> int:
        """Number of files whose checksums are known; 0 where even the checksums are missing."""
        try:
            return len(self.files()[1])
        except ContractError:
            return 0

    def verified(self) -> list[Path]:
        """Every file, after a look at its bytes."""
        folder, wanted = self.files()
        return [intact(folder, name, digest, self.name) for name, digest in wanted.items()]


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


def intact(folder: Path, name: str, digest: str, dataset: str) -> Path:
    """Give a file's path after comparing its bytes with what they should be.

    Raises
    ------
    ContractError
        When it is missing or altered; nothing is ever loaded from such a file.
    """
    path = folder / name
    if not path.is_file():
        remedy = f"run `stability data fetch {dataset}`, or set STABILITY_DATA_MIRROR to a folder that holds {dataset}/"
        raise ContractError(file=path, expected=f"a file of dataset '{dataset}'", got="none", remedy=remedy)
    stat = path.stat()
    got = sha256(path, stat.st_mtime_ns, stat.st_size)
    if got != digest:
        remedy = "restore the file: `git checkout data`, `stability data fetch`, or the mirror's origin"
        raise ContractError(file=path, expected=f"sha256 {digest}", got=got, remedy=remedy)
    return path


@functools.lru_cache(maxsize=4096)
def sha256(path: Path, changed_ns: int, size: int) -> str:
    """Sha256 of a file's bytes, computed once as long as its time and size stay the same."""
    del changed_ns, size  # part of the key only
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
