"""Restoring a backup: verified before and after, into a new place, or over an old one when somebody says so."""

from __future__ import annotations

__all__ = ["Restored", "extract", "restore"]

import contextlib
import datetime as dt
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stability.backup import postgres, store
from stability.backup.archive import broken, on_disk, synced, unpack
from stability.backup.contents import FOLDERS, PRIVATE, WORK
from stability.backup.creation import DATABASE, DUMP, at_work, no_pruning
from stability.backup.erased import all_erasures, erase_again, known_erasures, write_down
from stability.backup.manifest import Manifest
from stability.backup.places import Backup, chosen, told
from stability.backup.swap import occupied, swap
from stability.schema import ContractError, home
from stability.workbench.nights import LOCK
from stability.workbench.tracking import locked, store_uri


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Parameters
    ----------
    backup : Backup
    manifest : Manifest
    place : Path
        The folder that has it now.
    moved : int
        Addresses of artifacts in the store that point to the new place now.
    aside : Path or None
        Where the replaced is; yours to remove.
    erased : list of str
        Pseudonyms that were erased before, of which something was in the backup, and is not any more.
    warnings : list of str
        Sentences: whose erasures could not be asked for.
    """

    backup: Backup
    manifest: Manifest
    place: Path
    moved: int
    aside: Path | None = None
    erased: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def extract(backup: Backup, folder: Path, *, durable: bool) -> Manifest:
    """Verify a backup, write its files into an empty folder, read them again from the disk and compare.

    Parameters
    ----------
    backup : Backup
    folder : path
    durable : bool
        Whether every file is forced onto the disk.

    Returns
    -------
    Manifest

    Raises
    ------
    ContractError
        If a checksum before or after is not what it was.
    """
    backup.repository.check(backup.name)
    with backup.repository.opened(backup.name) as stream:
        manifest = unpack(stream, backup.name, folder, durable=durable)
    said = on_disk(folder, manifest)
    if said:
        raise broken(str(folder), "; ".join(said))
    if (folder / PRIVATE).is_dir():
        (folder / PRIVATE).chmod(0o700)
    return manifest


def restore(
    name: str | None = None,
    *,
    into: str | os.PathLike,
    place: str | os.PathLike | None = None,
    replace: bool = False,
) -> Restored:
    """Restore a backup: all of it is there at the end, or everything is as it was.

    Parameters
    ----------
    name : str, optional
        Of a backup; the newest without it.
    into : path
        A folder that is not there yet, or one without state of its own, such as a fresh checkout.
    place : path, optional
        The folder of backups.
    replace : bool
        Whether state that is there may be replaced; it is kept in `.backup/replaced-...` of that folder.

    Returns
    -------
    Restored

    Raises
    ------
    ContractError
        When the backup is damaged, something would be replaced, or a night or a watch runs there.
    """
    backup, target = chosen(name, place), Path(into).expanduser().absolute()
    target = target.resolve() if ".." in target.parts else target
    erasures, silent = _erasures(place, target)
    if target.exists() and not target.is_dir():
        raise ContractError(file=target, expected="a folder", got="a file")
    if not target.exists():
        with _drafted(target) as draft:
            manifest = extract(backup, draft, durable=True)
            _refuse_strangers(draft)
            moved, erased = _settle(draft, target, manifest, erasures, replace=replace)
        return Restored(backup, manifest, target, moved, None, erased, silent)
    if not replace:
        _refuse_occupied(target, (DATABASE, *FOLDERS, PRIVATE))
    with at_work(target) as scratch, no_pruning(target), _idle(target):
        draft = scratch / "draft"
        draft.mkdir()
        manifest = extract(backup, draft, durable=True)
        _refuse_strangers(draft)
        if not replace:  # again: what was made while this waited is not to be replaced either
            _refuse_occupied(target, (DATABASE, *FOLDERS, PRIVATE))
        aside = target / WORK / f"replaced-{dt.datetime.now(dt.UTC):%Y-%m-%dT%H-%M-%S.%fZ}"
        if replace and manifest.store == "postgresql" and not postgres.is_empty(store_uri()):
            aside.mkdir(parents=True)
            postgres.dump(store_uri(), aside / DUMP)
        moved, erased = _settle(draft, target, manifest, erasures, replace=replace)
        swap(draft, target, aside)
        if aside.exists() and not occupied(aside, [path.name for path in aside.iterdir()]):
            shutil.rmtree(aside)  # locks alone
    return Restored(backup, manifest, target, moved, aside if aside.exists() else None, erased, silent)


@contextlib.contextmanager
def _drafted(target: Path) -> Iterator[Path]:
    """A draft that becomes the folder; drafts of the same that nobody works on any more are removed before."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.restoring-"
    for left in target.parent.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError), _held(left):  # or somebody else restores into it now
            shutil.rmtree(left)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
    try:
        with _held(draft):
            yield draft
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    synced(target.parent)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _refuse_strangers(draft: Path) -> None:
    """A backup holds state and nothing else: whoever made one with code in it wants it run."""
    known = {DATABASE, DUMP, PRIVATE, *FOLDERS}
    strange = sorted(path.name for path in draft.iterdir() if path.name not in known)
    if strange:
        raise ContractError(
            file=draft.name,
            expected=f"a backup of {', '.join(sorted(known))}",
            got=f"one with {', '.join(strange[:5])}",
            remedy="do not restore it into a workbench: it is none of `stability backup create`",
        )


def _refuse_occupied(target: Path, names: tuple[str, ...]) -> None:
    there = occupied(target, names)
    if there:
        raise ContractError(
            file=target,
            expected="a place without state of its own",
            got=f"one with {', '.join(there)}",
            remedy="name a new folder with --into, or give --replace: what is there is kept aside",
        )


def _settle(
    draft: Path, target: Path, manifest: Manifest, erasures: list[dict[str, str]], *, replace: bool
) -> tuple[int, list[str]]:
    """Let what was restored and verified fit its place: erased people, the database of a server, addresses."""
    erased = erase_again(draft, erasures)
    # Beside the keys that will be there: a folder in the draft takes the place of the one that has them now.
    stays = (target / PRIVATE).is_dir() and not (draft / PRIVATE).is_dir()
    write_down(target if stays else draft, erasures)
    old = Path(manifest.home)
    if manifest.store == "sqlite":
        return store.move(f"sqlite:///{draft / DATABASE}", old, target), erased
    uri = store_uri()
    if not uri.startswith("postgresql"):
        raise ContractError(
            expected="MLFLOW_TRACKING_URI with the PostgreSQL database to restore into, as the backup is of one",
            got="none",
        )
    postgres.restore(uri, draft / DUMP, replace=replace)
    (draft / DUMP).unlink()
    return store.move(uri, old, target), erased


def _erasures(place: str | os.PathLike | None, target: Path) -> tuple[list[dict[str, str]], list[str]]:
    """All erasures that anybody knows: of this workbench, of the target, of every backup; and who cannot be asked."""
    said, silent = told(place)
    known = []
    for root in (target, _here()):
        try:
            known += known_erasures(root) if root else []
        except ContractError as error:  # a restore must not need a workbench that is whole
            silent.append(f"who was erased is not known of it: {error}")
    return all_erasures(known, said.values()), silent


def _here() -> Path | None:
    try:
        return home()
    except ContractError:
        return None


@contextlib.contextmanager
def _idle(target: Path) -> Iterator[None]:
    """Hold the locks of all experiments and watches of a workbench, so that none runs while files are exchanged."""
    with contextlib.ExitStack() as stack:
        for lock in sorted({*target.glob(f"runs/*/{LOCK}"), *target.glob("runs/watch/*/lock")}):
            try:
                stack.enter_context(locked(lock, patience=0.0))
            except BlockingIOError:
                remedy, expected = "wait for it, or stop it", "no night and no watch that runs"
                raise ContractError(file=lock.parent, expected=expected, got="one", remedy=remedy) from None
        yield
