"""What belongs to a backup: the state of the workbench, and not what git, a lock file or a minute brings back."""

from __future__ import annotations

__all__ = ["ELSEWHERE", "FOLDERS", "PRIVATE", "RAW", "WORK", "Contents", "contents", "leaves", "lost_since"]

import fnmatch
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stability.backup.manifest import Entry
from stability.schema import ContractError

FOLDERS = ("runs", "mlartifacts", "mlruns", "feedback", "marks", "policies")
"""Nights and watches with their audit records, artifacts and models, what users said, labels, what was accepted."""
PRIVATE = "private"  # keys of pseudonyms: only where the backup is encrypted
WORK = Path(".backup")  # of a backup, a restore or a drill that is under way
ELSEWHERE = ("backups", "build", "data", "dist", "docs", "experiments", "notebooks", "stability", "tests")
"""Folders that git keeps, or that are made again; the backups themselves."""
SKIPPED_FOLDERS = {
    "runs/.environments",  # built again from a lock in a minute
    "runs/.reproductions",
}
# Locks are of processes, parts of writers that were cut off, and a database's companions are in its own online copy.
SKIPPED_FILES = (".lock", ".*.lock", ".*.part", "*-wal", "*-shm", "*-journal", ".going-*", ".ballast", ".gitignore")
SKIPPED_PATHS = ("runs/watch/*/lock",)
# What came and could not be read lies there as it came: names and addresses of people in clear.
RAW = {"runs/feedback/quarantine", "runs/feedback/spool/bad"}
AS_IT_CAME = (
    "holds messages as they came, names in clear: not in an archive that is not encrypted; with restic they are in it"
)
MOST_LINKS = 40  # one after the other, as Linux follows them
DECLARED = "what git keeps (data/, experiments/, notebooks/, the package) is not in a backup of the workbench's state"
KEYS = (
    "the keys of pseudonyms and the addresses for answers (private/) are not in an archive that is not encrypted: "
    "after a restore from it people get new pseudonyms; with restic they are in it"
)


@dataclass
class Contents:
    """What a walk found.

    Parameters
    ----------
    paths : list of str
        Files and links, relative to the workbench's folder, sorted.
    left_out : list of str
        Why something is not in it, in sentences.
    """

    paths: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=lambda: [DECLARED])


def contents(root: Path, *, encrypted: bool) -> Contents:
    """Walk through the state of a workbench.

    Parameters
    ----------
    root : path
        The workbench's folder.
    encrypted : bool
        Whether the backup will be: only then secrets belong to it.

    Returns
    -------
    Contents
    """
    found, links = Contents(), {}
    if (root / PRIVATE).is_dir() and not encrypted:
        found.left_out.append(KEYS)
    for name in (*FOLDERS, *([PRIVATE] if encrypted else [])):
        for folder, below, files in os.walk(root / name, onerror=_unreadable):
            here = Path(folder).relative_to(root)
            if here.as_posix() in RAW and not encrypted:
                found.left_out += [f"{here.as_posix()} {AS_IT_CAME}"] if below or files else []
                below.clear()
                continue
            linked = [d for d in below if (root / here / d).is_symlink()]
            below[:] = sorted(d for d in below if d not in linked and (here / d).as_posix() not in SKIPPED_FOLDERS)
            for file in (*files, *linked):
                path = (here / file).as_posix()
                if not (_matches(file, SKIPPED_FILES) or _matches(path, SKIPPED_PATHS)):
                    _take(root, path, found, links)
    for path, target in sorted(links.items()):
        if leaves(path, links):
            found.left_out.append(f"{path} is a link to {target}, which lies outside of the workbench's folder")
        else:
            found.paths.append(path)
    for path in sorted(root.iterdir()):
        known = (*FOLDERS, PRIVATE, *ELSEWHERE)
        if path.is_dir() and path.name not in known and not path.name.startswith((".", "_")) and path.suffix == "":
            found.left_out.append(f"{path.name}/ is none of the workbench's own folders, and is not in it")
    found.paths.sort()
    return found


def _unreadable(error: OSError) -> None:
    """A folder that cannot be read: what is in it would be missing, and nobody would know."""
    if isinstance(error, FileNotFoundError):  # never there, or removed meanwhile
        return
    raise ContractError(
        file=error.filename,
        expected="a folder that can be read",
        got=str(error),
        remedy="let this account read it: a backup without it would not be one",
    ) from error


def leaves(path: str, links: Mapping[str, str]) -> bool:
    """Whether a path leads out of the folder that it is relative to, once each link on the way is followed.

    Parameters
    ----------
    path : str
        Relative, with forward slashes.
    links : mapping of str to str
        Path of each symbolic link in that folder to the text of its target.

    Examples
    --------
    >>> leaves("runs/latest", {"runs/latest": "night"}), leaves("runs/latest", {"runs/latest": "/etc"})
    (False, True)

    Each of these alone stays inside:

    >>> leaves("runs/out", {"runs/up": "..", "runs/out": "up/../etc"})
    True
    """
    todo, at, followed = list(reversed(PurePosixPath(path).parts)), [], 0
    while todo:
        part = todo.pop()
        if part == "..":
            if not at:
                return True
            at.pop()
            continue
        target = links.get("/".join([*at, part]))
        if target is None:
            at.append(part)
            continue
        followed += 1
        if target.startswith("/") or followed > MOST_LINKS:
            return True
        todo.extend(reversed(PurePosixPath(target).parts))
    return False


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _take(root: Path, path: str, found: Contents, links: dict[str, str]) -> None:
    try:
        mode = (root / path).lstat().st_mode
        if stat.S_ISLNK(mode):
            links[path] = str((root / path).readlink())
        elif stat.S_ISREG(mode):  # sockets and pipes are of processes
            found.paths.append(path)
    except FileNotFoundError:
        return


def lost_since(root: Path, entries: Mapping[str, Entry], *, encrypted: bool) -> tuple[list[str], float]:
    """List the files that a workbench has and a backup of it has not, or not as they are now.

    Parameters
    ----------
    root : path
        The workbench's folder as it is now.
    entries : mapping
        Of the backup's manifest.
    encrypted : bool
        As the backup was.

    Returns
    -------
    tuple of (list of str, float)
        Paths, and Unix seconds of the newest of them (0 without).
    """
    lost, newest = [], 0.0
    for path in contents(root, encrypted=encrypted).paths:
        try:
            status = (root / path).lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(status.st_mode):
            continue  # `latest` follows the folders
        known = entries.get(path)
        if known is None or known.mtime != status.st_mtime:
            lost.append(path)
            newest = max(newest, status.st_mtime)
    return lost, newest
