"""Where backups are: a folder that holds archives, a repository of restic, or both; and what is there."""

from __future__ import annotations

__all__ = [
    "DAY",
    "PLACE",
    "Backup",
    "ahead_of",
    "backups",
    "chosen",
    "moment_of",
    "name_of",
    "next_name",
    "repository",
    "root_of",
    "told",
    "verify",
]

import datetime as dt
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from stability.backup.archive import unpack
from stability.backup.manifest import Manifest, Told
from stability.backup.plain import Archives
from stability.backup.restic import Restic, has_password, is_installed
from stability.schema import ContractError, home, nearest, one_of

PLACE = "STABILITY_BACKUPS"  # names the folder; better on another disk
REPOSITORY = "RESTIC_REPOSITORY"  # names one of restic, such as sftp:host:/srv/backups
KINDS = ("archive", "restic")
DAY = 86_400.0  # seconds
UNSEAL = "install restic and set RESTIC_PASSWORD"


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


def told(place: str | os.PathLike | None = None) -> tuple[dict[Backup, Told | None], list[str]]:
    """Ask all backups of a place of which folder they are and who was erased, without reading them.

    Parameters
    ----------
    place : path, optional

    Returns
    -------
    tuple of (dict, list of str)
        What each says, None where it cannot be read, and sentences about those that cannot be asked.
    """
    root, said, silent = root_of(place), {}, []
    repositories: list[Archives | Restic] = [Archives(root)]
    if is_installed() and has_password():
        repositories.append(_restic(root))
    elif _sealed(root):
        silent.append(f"the repository of restic beside them was not asked who was erased: {UNSEAL}")
    for held in repositories:
        try:
            found = held.told()
        except ContractError as error:
            silent.append(f"who was erased is not known of all backups: {error}")
            continue
        for name, one in found.items():
            said[Backup(name, held)] = one
            silent += [f"{name} does not say who was erased until it was made"] if one is None else []
    return said, silent


def verify(backup: Backup, *, deep: bool = True) -> Manifest | None:
    """Verify a backup without restoring it: its checksums, then every file in it against its manifest.

    Parameters
    ----------
    backup : Backup
    deep : bool
        Whether the stream is read and each file in it hashed. Without it only the checksums of the files that hold
        the backup are compared, which finds every bit that was flipped since it was written.

    Returns
    -------
    Manifest or None
        None unless `deep`.

    Raises
    ------
    ContractError
        If it is not whole.
    """
    backup.repository.check(backup.name)
    if not deep:
        return None
    with backup.repository.opened(backup.name) as stream:
        return unpack(stream, backup.name)


def _sealed(root: Path) -> bool:
    return bool((root / "restic" / "config").is_file() or os.environ.get(REPOSITORY))


def chosen(name: str | None, place: str | os.PathLike | None = None) -> Backup:
    """Give a backup by its name, the newest without one.

    Raises
    ------
    ContractError
        When there is none, or none of that name.
    """
    if name in (plain := Archives(root_of(place))).names():  # whether or not the others can be asked
        return Backup(name, plain)
    there = backups(place)
    if not there:
        root = root_of(place)
        remedy = f"there is a repository of restic: {UNSEAL}" if _sealed(root) else "stability backup create"
        raise ContractError(file=root, expected="a backup", got="none", remedy=remedy)
    if name is None:
        ahead = ahead_of([b.name for b in there], time.time())
        return [b for b in there if b.name not in ahead or len(ahead) == len(there)][-1]
    for backup in there:
        if backup.name == name:
            return backup
    raise ContractError(
        file=root_of(place),
        expected="the name of a backup",
        got=repr(name),
        remedy=nearest(name, [b.name for b in there]),
    )


def ahead_of(names: Iterable[str], moment: float) -> list[str]:
    """Names of backups that are a day or more ahead of a moment: whichever clock was wrong, they are not followed."""
    return sorted(name for name in names if moment_of(name) >= moment + DAY)


def next_name(names: Collection[str], moment: float) -> str:
    """Name a new backup so that the order of names is that of making, also where the clock was set back a little.

    Parameters
    ----------
    names : collection of str
        Of the backups that are there.
    moment : float
        Unix seconds.

    Examples
    --------
    >>> next_name(["1970-01-01T00-00-09.500Z", "1970-01-03T00-00-00.000Z"], 9.0)
    '1970-01-01T00-00-09.501Z'
    """
    followed = set(names) - set(ahead_of(names, moment))
    newest = max(map(moment_of, followed), default=0.0)
    return name_of(max(moment, round(newest + 0.001, 3)))


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
