"""Where backups are: a folder that holds archives, a repository of restic, or both; and what is there."""

from __future__ import annotations

__all__ = ["PLACE", "Backup", "backups", "chosen", "moment_of", "name_of", "repository", "root_of"]

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

from stability.backup.plain import Archives
from stability.backup.restic import Restic, has_password, is_installed
from stability.schema import ContractError, home, nearest, one_of

PLACE = "STABILITY_BACKUPS"  # names the folder; better on another disk
REPOSITORY = "RESTIC_REPOSITORY"  # names one of restic, such as sftp:host:/srv/backups
KINDS = ("archive", "restic")


@dataclass(frozen=True)
class Backup:
    """One backup: its name (its moment, UTC) and the repository that it is in."""

    name: str
    repository: Archives | Restic

    @property
    def moment(self) -> float:
        """Unix seconds at which it was begun."""
        return moment_of(self.name)


def root_of(place: str | os.PathLike | None) -> Path:
    """Give the folder of backups: as given, else of the environment, else `backups/` in the workbench's folder."""
    given = place or os.environ.get(PLACE)
    path = Path(given).expanduser().absolute() if given else home() / "backups"
    if path.exists() and not path.is_dir():
        raise ContractError(file=path, expected="a folder for backups", got="a file")
    return path


def _restic(root: Path) -> Restic:
    return Restic(os.environ.get(REPOSITORY) or str(root / "restic"))


def repository(place: str | os.PathLike | None = None, kind: str | None = None) -> Archives | Restic:
    """Choose where a new backup goes: into restic where it is installed and has a password, else into an archive.

    Parameters
    ----------
    place : path, optional
        See `root_of`.
    kind : {'archive', 'restic'}, optional

    Raises
    ------
    ContractError
        For another kind.
    """
    root = root_of(place)
    if kind is None:
        kind = "restic" if is_installed() and has_password() else "archive"
    return Archives(root) if one_of(kind, KINDS, "kind of backup") == "archive" else _restic(root)


def backups(place: str | os.PathLike | None = None) -> list[Backup]:
    """List the backups of a place, oldest first; those of restic only where the environment has its password."""
    root = root_of(place)
    known = [Backup(name, Archives(root)) for name in Archives(root).names()]
    if is_installed() and has_password():
        held = _restic(root)
        known += [Backup(name, held) for name in held.names()]
    return sorted(known, key=lambda backup: backup.name)


def chosen(name: str | None, place: str | os.PathLike | None = None) -> Backup:
    """Give a backup by its name, the newest without one.

    Raises
    ------
    ContractError
        When there is none, or none of that name.
    """
    there = backups(place)
    if not there:
        root = root_of(place)
        sealed = (root / "restic" / "config").is_file() or os.environ.get(REPOSITORY)
        remedy = "set RESTIC_PASSWORD: there is a repository of restic" if sealed else "stability backup create"
        raise ContractError(file=root, expected="a backup", got="none", remedy=remedy)
    if name is None:
        return there[-1]
    for backup in there:
        if backup.name == name:
            return backup
    raise ContractError(
        file=root_of(place),
        expected="the name of a backup",
        got=repr(name),
        remedy=nearest(name, [b.name for b in there]),
    )


def name_of(moment: float) -> str:
    """Name a backup after its moment.

    Examples
    --------
    >>> name_of(0.0625), moment_of("1970-01-01T00-00-01.500Z")
    ('1970-01-01T00-00-00.062Z', 1.5)
    """
    stamp = dt.datetime.fromtimestamp(moment, dt.UTC)
    return f"{stamp:%Y-%m-%dT%H-%M-%S}.{stamp.microsecond // 1000:03d}Z"


def moment_of(name: str) -> float:
    """Read the moment from a backup's name, Unix seconds."""
    return dt.datetime.strptime(name, "%Y-%m-%dT%H-%M-%S.%fZ").replace(tzinfo=dt.UTC).timestamp()
