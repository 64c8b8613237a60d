"""What belongs to a backup: the state of the workbench, and not what git, a lock file or a minute brings back."""

from __future__ import annotations

__all__ = ["FOLDERS", "PRIVATE", "WORK", "Contents", "contents", "leaves", "lost_since"]

import fnmatch
import os
import posixpath
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stability.backup.manifest import Entry

FOLDERS = ("runs", "mlartifacts", "mlruns", "feedback", "marks")
"""Nights and watches with their audit records, artifacts and models, what users said, labels."""
PRIVATE = "private"  # keys of pseudonyms: only where the backup is encrypted
WORK = Path(".backup")  # of a backup, a restore or a drill that is under way
SKIPPED_FOLDERS = {
    "runs/.environments",  # built again from a lock in a minute
    "runs/.reproductions",
}
# Locks are of processes, parts of writers that were cut off, and a database's companions are in its own online copy.
SKIPPED_FILES = (".lock", ".*.lock", ".*.part", "*-wal", "*-shm", "*-journal", ".going-*", ".ballast", ".gitignore")
SKIPPED_PATHS = ("runs/watch/*/lock",)
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
    found = Contents()
    if (root / PRIVATE).is_dir() and not encrypted:
        found.left_out.append(KEYS)
    for name in (*FOLDERS, *([PRIVATE] if encrypted else [])):
        for folder, below, files in os.walk(root / name):
            here = Path(folder).relative_to(root)
            links = [d for d in below if (root / here / d).is_symlink()]
            below[:] = sorted(d for d in below if d not in links and (here / d).as_posix() not in SKIPPED_FOLDERS)
            for file in (*files, *links):
                path = (here / file).as_posix()
                if not (_matches(file, SKIPPED_FILES) or _matches(path, SKIPPED_PATHS)):
                    _take(root, path, found)
    found.paths.sort()
    return found


def leaves(path: str, target: str) -> bool:
    """Whether a link leads out of the folder that its path is relative to.

    Examples
    --------
    >>> leaves("runs/latest", "night"), leaves("runs/latest", "../../etc"), leaves("runs/latest", "/etc")
    (False, True, True)
    """
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return posixpath.isabs(target) or inside.split("/")[0] == ".."


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _take(root: Path, path: str, found: Contents) -> None:
    try:
        mode = (root / path).lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        target = str((root / path).readlink())
        if leaves(path, target):
            found.left_out.append(f"{path} is a link to {target}, which lies outside of the workbench's folder")
            return
    elif not stat.S_ISREG(mode):
        return  # sockets and pipes are of processes
    found.paths.append(path)


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
