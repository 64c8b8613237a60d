"""Where the files are: paths, globs and URLs become a list of files."""

from __future__ import annotations

__all__ = ["Source", "failure", "locate"]

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fsspec

from stability.schema import ContractError, nearest
from stability.telemetry.confidence import filled_options, shown_address

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"  # first bytes, which say what a file is more surely than its name does
CHUNK = 1 << 22  # bytes between two movements of a progress bar
MARK = b"\xef\xbb\xbf"  # what some programs put before UTF-8
SUFFIXES = (".gz", ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".pq")


@dataclass(frozen=True)
class Source:
    """One file: the file system that holds it, its path there, and the name that messages and reports use."""

    system: fsspec.AbstractFileSystem
    path: str
    label: str

    @property
    def stem(self) -> str:
        """Name of the file without its folder and its known suffixes.

        Examples
        --------
        >>> Source(None, "/data/web-1.eu.csv.gz", "").stem
        'web-1.eu'
        """
        name = PurePosixPath(self.path).name
        while Path(name).suffix.lower() in SUFFIXES:
            name = Path(name).stem
        return name

    @property
    def name(self) -> str:
        """Name of the file without its folder."""
        return PurePosixPath(self.path).name

    @property
    def parent(self) -> str:
        """Name of the file's folder."""
        return PurePosixPath(self.path).parent.name


def locate(source: str | os.PathLike | Iterable[str | os.PathLike], **storage) -> list[Source]:
    """List the files that a path, a glob, a URL or a list of them means.

    Parameters
    ----------
    source : str, path, or iterable of them
        Local paths (``~`` is the home folder) or any URL that fsspec knows; ``*``, ``?``, ``[...]`` and ``**`` match.
    **storage
        Options of the URL's file system; ``${NAME}`` stands for the environment's variable NAME, as it must where the
        value is a secret.

    Returns
    -------
    list of Source
        In the given order; matches of one glob sorted by path; each file once.

    Raises
    ------
    ContractError
        Nothing is there, it is a folder, or the URL's protocol cannot be used.
    """
    given = [source] if isinstance(source, str | os.PathLike) or not isinstance(source, Iterable) else list(source)
    storage = filled_options(storage)
    found: dict[tuple[str, str], Source] = {}
    for item in given:
        if not isinstance(item, str | os.PathLike) or not os.fspath(item):
            remedy = "a text such as 'logs/*.csv'"
            raise ContractError(expected="a path, a glob or a URL", got=repr(item), remedy=remedy)
        for file in _match(os.fspath(item), storage):
            found.setdefault((str(file.system.protocol), file.path), file)
    if not found:
        raise ContractError(expected="at least one file", got="an empty list", remedy="name a path, a glob or a URL")
    return list(found.values())


def _match(text: str, storage: dict) -> list[Source]:
    """Find the files of one path, glob or URL."""
    remote, label = "://" in text or "::" in text, shown_address(text)
    try:
        system, path = fsspec.core.url_to_fs(text if remote else str(Path(text).expanduser()), **storage)
        system.invalidate_cache()  # what a listing of an hour ago said is neither what is there nor how long it is
        if system.isfile(path):
            return [Source(system, path, label)]
        matches = sorted(match for match in system.glob(path) if system.isfile(match)) if _is_glob(path) else []
        folder = not matches and system.isdir(path)
    except Exception as error:  # noqa: BLE001 - each protocol's library has its own kinds of error
        raise failure(error, label, text) from None
    if folder:
        remedy = f"name its files, such as {label.rstrip('/')}/*.csv"
        raise ContractError(file=label, expected="a file", got="a folder", remedy=remedy)
    if not matches:
        if not remote:
            _refuse_strange(path, text)
        what = "at least one file that matches" if _is_glob(path) else "a file"
        raise ContractError(file=label, expected=what, got="none", remedy=_neighbours(system, path))
    labels = [shown_address(system.unstrip_protocol(match)) if remote else match for match in matches]
    return [Source(system, *each) for each in zip(matches, labels, strict=True)]


def failure(error: Exception, label: str, address: str) -> ContractError:
    """Say what a file system's error means: each protocol's library has its own kinds, and its own words."""
    said = " ".join((str(error) or repr(error)).replace(address, label).split()).rstrip(".")
    said = shown_address(re.sub(r"\?[^\s\"']*", "", said) if "://" in said else said)
    kinds = " ".join(kind.__name__ for kind in type(error).__mro__)
    if isinstance(error, ImportError | ValueError) and not re.search("Credential", kinds):
        remedy = "use a local path, or install what fsspec needs for the protocol"
        return ContractError(
            file=label, expected="a path, a glob, or a URL that fsspec can open", got=said, remedy=remedy
        )
    if "://" not in label:
        return ContractError(file=label, expected="a readable file", got=said, remedy="check path and rights")
    if re.search(r"Credential|PermissionError|Forbidden|Unauthorized", kinds) or re.search(
        r"(?i)\b40[13]\b|denied", said
    ):
        remedy = "set the store's credentials in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
        remedy = f"{remedy} AWS_PROFILE, for s3://), or storage={{'anon': True}} where it is public"
        return ContractError(file=label, expected="credentials that the store accepts", got=said, remedy=remedy)
    remedy = "check that it is up, and its address (AWS_ENDPOINT_URL, or storage={'endpoint_url': ...}, for s3://)"
    return ContractError(file=label, expected="a store that answers", got=said, remedy=remedy)


def _is_glob(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def _refuse_strange(path: str, text: str) -> None:
    """Refuse what is there and yet no file, by its name: a link, a pipe, a device, or a folder without a way in."""
    try:
        link = Path(path).is_symlink()
        there = os.path.exists(path)  # noqa: PTH110  Path.exists raises for a loop of links
        Path(path).stat() if there or not link else None
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise ContractError(file=text, expected="a file", got=said.lower(), remedy="check path and rights") from error
    if link and not there:
        got, remedy = f"a symbolic link that leads nowhere ({Path(path).readlink()})", "mend or remove the link"
    else:
        got, remedy = "a pipe or a device", "write what it gives into a file first"
    raise ContractError(file=text, expected="a file", got=got, remedy=remedy)


def _neighbours(system: fsspec.AbstractFileSystem, path: str) -> str:
    """Say what lies in the folder where a file was looked for."""
    folder = path.rpartition("/")[0]
    try:
        names = [PurePosixPath(name).name for name in system.ls(folder, detail=False)]
    except Exception:  # noqa: BLE001 - as above; the folder is a courtesy
        return f"check the path; there is no folder {shown_address(folder)!r}" if folder else "check the path"
    return f"check the path; in {shown_address(folder)!r}: {nearest(path.rpartition('/')[2], names)}"
