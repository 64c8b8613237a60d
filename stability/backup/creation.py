"""Creating a backup while the workbench works: databases at one moment, all verified before an old one goes."""

from __future__ import annotations

__all__ = ["Created", "at_work", "create", "no_pruning"]

import contextlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from stability.backup import databases, postgres, store
from stability.backup.archive import pack
from stability.backup.contents import WORK, contents
from stability.backup.erased import all_erasures, known_erasures
from stability.backup.keeping import Keep, staying
from stability.backup.manifest import Entry, Manifest, Told
from stability.backup.places import DAY, Backup, ahead_of, next_name, repository, root_of, told
from stability.backup.swap import finish
from stability.schema import ContractError, home, redact
from stability.workbench.nights import PRUNING
from stability.workbench.tracking import locked, store_file, store_uri

DATABASE, DUMP = "mlflow.db", "mlflow.dump"
SPOOL = "spool"  # a folder of what is about to go into a database
UNDER_WAY = "work-"
PATIENCE = 30.0  # seconds to wait for another backup, or for `stability prune`
OTHERS = "backups of another workbench in the same place are left alone: take one place for each"
AHEAD = "backups from the future are left alone, and are not the newest: one clock was wrong"
SAME_DISK = "the backups lie on the same disk as what they protect: --place, or STABILITY_BACKUPS, names one on another"


@dataclass(frozen=True)
class Created:
    """What was made.

    Parameters
    ----------
    backup : Backup
    manifest : Manifest
    seconds : float
        Until it was written and read again.
    removed : list of str
        Names of older backups that went.
    warnings : list of str
        Sentences.
    """

    backup: Backup
    manifest: Manifest
    seconds: float
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def create(place: str | os.PathLike | None = None, *, kind: str | None = None, keep: Keep | None = None) -> Created:
    """Back up the workbench's state, read what was written again, and only then remove what is too old.

    Parameters
    ----------
    place : path, optional
        The folder of backups; default `STABILITY_BACKUPS`, else `backups/` in the workbench's folder.
    kind : {'archive', 'restic'}, optional
        Default: restic where it is installed and the environment has its password.
    keep : Keep, optional
        Which backups stay.

    Returns
    -------
    Created

    Raises
    ------
    ContractError
        When the store is a server's (its own host makes the backup), does not answer, the place cannot be written, or
        what is read again is not what was written; then no older backup is removed.
    """
    root, target = home(), repository(place, kind)
    with at_work(root) as scratch, no_pruning(root):
        target.sweep()
        earlier, warnings = told(place)
        erasures = all_erasures(known_erasures(root), earlier.values())
        begun, moment = time.perf_counter(), time.time()
        staged, rows, address, what = _databases(root, scratch, encrypted=target.encrypted)
        found = contents(root, encrypted=target.encrypted)

        def describe(entries: dict[str, Entry], notes: list[str]) -> Manifest:
            files = [entry.mtime for path, entry in entries.items() if path not in staged and entry.mtime <= moment]
            return Manifest(
                moment=moment,
                newest=min(moment, max([store.newest(address), *files])),
                home=str(root),
                store=what,
                versions={"python": platform.python_version(), "mlflow": version("mlflow")},
                entries=entries,
                rows=rows,
                runs=rows[DATABASE if DATABASE in rows else DUMP]["runs"],
                sample=store.sample(address, entries, root, moment),
                erasures=erasures,
                left_out=[*found.left_out, *store.elsewhere(address, root), *notes],
            )

        def fill(stream: BinaryIO) -> Manifest:
            return pack(stream, root, found.paths, staged, describe, scratch)

        before = target.names()
        backup = Backup(next_name(before, moment), target)
        manifest = target.write(backup.name, fill)
        seconds = time.perf_counter() - begun
        others = {one for one, said in earlier.items() if said and not _is_mine(said.home, root)}
        removed = _remove_old(backup, {one: said for one, said in earlier.items() if one not in others}, keep or Keep())
    ahead = ahead_of(before, moment)
    warnings += [f"{OTHERS}: {', '.join(sorted(one.name for one in others))}"] if others else []
    warnings += [f"{AHEAD}: {', '.join(ahead)}"] if ahead else []
    local = root_of(place)
    same = target.is_local and local.is_dir() and local.stat().st_dev == root.stat().st_dev
    warnings += [SAME_DISK] if same else []
    return Created(backup, manifest, seconds, removed, warnings)


@contextlib.contextmanager
def at_work(root: Path) -> Iterator[Path]:
    """Hold the lock of backups and restores, finish a restore that was cut off, and give an empty scratch folder.

    Raises
    ------
    ContractError
        When another one is under way, or the folder for it is a link.
    """
    folder = root / WORK
    if folder.is_symlink():
        raise ContractError(file=folder, expected="a folder of the workbench's own", got="a link", remedy="remove it")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / ".lock", patience=PATIENCE))
        except BlockingIOError:
            raise ContractError(file=root, expected="one backup or restore at a time", got="another one") from None
        finish(root)
        for left in folder.glob(f"{UNDER_WAY}*"):  # of one that was killed
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=UNDER_WAY))  # for its owner alone: keys may be in it
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def no_pruning(root: Path) -> Iterator[None]:
    """No night is removed and none begins: what the store names stays between its copy and that of its files."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(root / "runs" / PRUNING, patience=PATIENCE))
        except BlockingIOError:
            raise ContractError(file=root, expected="no `stability prune` meanwhile", got="one") from None
        yield


def _databases(
    root: Path, scratch: Path, *, encrypted: bool
) -> tuple[dict[str, Path], dict[str, dict[str, int]], str, str]:
    """Copy the store and every other database; gives copies, rows, the address of the store's copy, and its kind."""
    # What waits in a spool first: meanwhile it may go into a database, and must be in one of the two copies.
    staged = _spooled(root, scratch, encrypted=encrypted)
    rows: dict[str, dict[str, int]] = {}
    uri, file = store_uri(), store_file()
    if file is not None:
        if not file.is_file():
            remedy = "stability run experiments/nightly.yaml makes one; or set STABILITY_HOME or MLFLOW_TRACKING_URI"
            raise ContractError(file=file, expected="the store of runs", got="no file", remedy=remedy)
        staged[DATABASE] = scratch / DATABASE
        databases.copy_online(file, staged[DATABASE])
        rows[DATABASE] = databases.counts(staged[DATABASE])
        address, what = f"sqlite:///{staged[DATABASE]}", "sqlite"
        if "runs" not in rows[DATABASE]:
            raise ContractError(file=file, expected="MLflow's store", got="a database without a table of runs")
    elif uri.startswith("postgresql"):
        staged[DUMP] = scratch / DUMP
        rows[DUMP] = postgres.dump(uri, staged[DUMP])
        address, what = uri, "postgresql"
    else:
        raise ContractError(
            file=redact(uri),
            expected="a store in SQLite or PostgreSQL",
            got="another address",
            remedy="back up where the server's database is, with MLFLOW_TRACKING_URI naming the database",
        )
    for path in contents(root, encrypted=encrypted).paths:
        source = root / path
        if source.is_file() and not source.is_symlink() and databases.is_sqlite(source):
            staged[path] = scratch / f"{len(staged)}.db"
            databases.copy_online(source, staged[path])
            rows[path] = databases.counts(staged[path])
            status = source.stat()
            staged[path].chmod(status.st_mode & 0o777)
            os.utime(staged[path], ns=(status.st_atime_ns, status.st_mtime_ns))
    return staged, rows, address, what


def _spooled(root: Path, scratch: Path, *, encrypted: bool) -> dict[str, Path]:
    """Copy the files of spools; gives their paths and where the copies lie."""
    staged = {}
    for path in contents(root, encrypted=encrypted).paths:
        if SPOOL in path.split("/")[:-1]:
            with contextlib.suppress(FileNotFoundError):  # in the database by now
                staged[path] = Path(shutil.copy2(root / path, scratch / f"{len(staged)}.waiting"))
    return staged


def _is_mine(said: str, root: Path) -> bool:
    """Whether backups of a folder are this workbench's to remove: of its own, and of one that is no more."""
    return Path(said) == root or not (Path(said) / "runs").is_dir()


def _remove_old(newest: Backup, there: dict[Backup, Told | None], keep: Keep) -> list[str]:
    """Remove what need not stay; only now, that the newest one is verified."""
    ahead = ahead_of([one.name for one in there], newest.moment)
    mine = [one for one in there if one.repository == newest.repository and there[one] and one.name not in ahead]
    stay = staying([one.moment for one in (*mine, newest)], keep, newest.moment)
    going = {one for k, one in enumerate(mine) if k not in stay}
    # Of the other kind, and what does not say what it is: they take nobody's place, and go by the horizon alone.
    going |= {one for one in there.keys() - mine if newest.moment - one.moment > keep.days * DAY}
    for held in {one.repository for one in going}:
        names = sorted(one.name for one in going if one.repository == held)
        try:
            held.remove(names)
        except (ContractError, OSError) as error:
            problem = f"{newest.name} is made and whole, but {', '.join(names)} could not be removed: {error}"
            raise ContractError(problem) from error
    return sorted(one.name for one in going)
