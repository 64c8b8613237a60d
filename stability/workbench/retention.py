"""`stability prune`: the store, the nights' folders and what they read stay bounded by age and count.

What goes is decided by night. A night stays while it is young and among the newest of its experiment; the newest one,
the newest that finished, and the nights that promoted models came from stay always. A run of the store stays as long as
something that stays names it: a skipped step names the run that it repeats, a step the runs whose tables it read.
"""

import contextlib
import datetime as dt
import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stability.schema import ContractError, home
from stability.workbench import looks, promotions
from stability.workbench.nights import LOCK, PRUNING, RUN_FILE, Night, names, read_nights
from stability.workbench.publishing import OURS, RECIPE
from stability.workbench.tracking import locked, now, open_store, pages, store_file, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["KEEP_DAYS", "KEEP_RUNS", "Pruned", "prune"]

LOG = logging.getLogger(__name__)
KEEP_DAYS, KEEP_RUNS = 90, 60
KEPT_SUMMARIES = 90  # of nights that went: a few kB each, and the page draws its lines from the last 30
KEPT_ENVIRONMENTS = 3  # each is some 2 GB, and is built again in a minute
SETTLING = 86_400  # seconds; a snapshot younger than this may belong to a night that has not written its record yet
LAST_WORDS = ("summary.json", RUN_FILE)


@dataclass
class Pruned:
    """What goes, or what would go.

    Parameters
    ----------
    nights, emptied : list of Path
        Folders that go whole, and those of which the summary stays.
    runs : list of str
        Runs of the store, with all that they logged.
    models : list of str
        Versions of registered models that nobody promoted, as `name/version`; their runs go.
    snapshots, environments : list of Path
        Data that no kept night read, environments that nobody used for long.
    busy : list of str
        Experiments that were left alone because a night of theirs runs.
    size : int
        Bytes in files that this frees.
    """

    nights: list[Path] = field(default_factory=list)
    emptied: list[Path] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    snapshots: list[Path] = field(default_factory=list)
    environments: list[Path] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    size: int = 0


def prune(*, keep_days: float = KEEP_DAYS, keep_runs: int = KEEP_RUNS, dry_run: bool = False) -> Pruned:
    """Remove nights that are too old or too many, with their runs, snapshots and environments.

    Notebooks' runs that were opened by hand stay: whoever made them removes them.

    Parameters
    ----------
    keep_days
        A night that began longer ago goes.
    keep_runs
        Of each experiment so many nights stay.
    dry_run
        Only say what would go.

    Returns
    -------
    Pruned

    Raises
    ------
    ContractError
        When the bounds are none, or another process prunes.
    """
    if not keep_days >= 0 or keep_runs < 1:
        raise ContractError(expected="days from 0 on and at least one run", got=f"{keep_days:g} days, {keep_runs} runs")
    runs = home() / "runs"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(runs / PRUNING, patience=5.0))
        except BlockingIOError:
            raise ContractError(file=runs, expected="one `stability prune` at a time", got="another one") from None
        client, found = open_store(), Pruned()
        promoted = promotions.promoted_runs(client)
        oldest = _oldest(keep_days)
        kept, gone = [], []
        for name in names(runs):
            nights = read_nights(runs / name)
            try:
                stack.enter_context(locked(runs / name / LOCK, patience=0.0))
            except BlockingIOError:
                found.busy.append(name)
                kept += nights
                continue
            stay = _staying(nights, oldest, keep_runs) | {n.folder for n in nights if _made(n) & promoted}
            kept += [n for n in nights if n.folder in stay]
            gone += [n for n in nights if n.folder not in stay]
        _choose_runs(client, found, kept, gone, promoted, oldest)
        _choose_folders(found, gone)
        _choose_data(client, found, kept, promoted, oldest)
        found.size = _size(found, client)
        if not dry_run:
            _remove(client, found)
        return found


def _oldest(keep_days: float) -> dt.datetime:
    """The moment before which a night is too old; with more days than the calendar has, none is."""
    try:
        return now() - dt.timedelta(days=keep_days)
    except OverflowError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)


def _staying(nights: list[Night], oldest: dt.datetime, count: int) -> set[Path]:
    whole = [n for n in nights if not _is_emptied(n.folder)]
    stay = {n.folder for n in whole[-count:] if n.started and n.started >= oldest}
    stay |= {n.folder for n in nights[-1:]}
    return stay | {n.folder for n in [n for n in whole if n.verdict == "finished"][-1:]}


def _is_emptied(folder: Path) -> bool:
    return all(path.name in LAST_WORDS for path in folder.iterdir())


def _made(night: Night) -> set[str]:
    """The runs that a night made itself; a skipped step names another night's."""
    own = {s["run_id"] for s in night.steps.values() if s.get("run_id") and s.get("status") != "skipped"}
    return own | {night.run.get("parent_run_id")}


def _choose_runs(
    client: "MlflowClient",
    found: Pruned,
    kept: list[Night],
    gone: list[Night],
    promoted: set[str],
    oldest: dt.datetime,
) -> None:
    """Runs of nights that go, and of nights without a folder that are too old; but none that is needed."""
    stay = {f"{n.folder.parent.name}/{n.folder.name}" for n in kept}
    leave = {f"{n.folder.parent.name}/{n.folder.name}" for n in gone}
    known = {run.info.run_id: run for run in _runs(client)}
    named = {step["run_id"] for n in kept for step in n.steps.values() if step.get("run_id")}
    named |= {n.run["parent_run_id"] for n in kept if n.run.get("parent_run_id")}
    for run_id, run in known.items():
        night = run.data.tags[OURS]
        if night in stay or night.rpartition("/")[0] in found.busy:
            named.add(run_id)
    needed = _closure(client, known, named | promoted)
    start = oldest.timestamp() * 1000
    for run_id, run in known.items():
        old = run.info.start_time < start and not (home() / "runs" / run.data.tags[OURS]).is_dir()
        if run_id not in needed and (run.data.tags[OURS] in leave or old):
            found.runs.append(run_id)
    found.models = promotions.left_over(client, set(found.runs))


def _runs(client: "MlflowClient") -> Iterator[Any]:
    """Every run that a night made, with those that an earlier pruning has deleted by half."""
    from mlflow.entities import ViewType

    experiments = [e.experiment_id for e in pages(client.search_experiments)]
    if experiments:
        yield from pages(client.search_runs, experiments, f"tags.`{OURS}` LIKE '%'", ViewType.ALL, 1000)


def _closure(client: "MlflowClient", known: dict[str, Any], wanted: Iterable[str]) -> set[str]:
    """What has to stay so that these can be read and reproduced: their parents, and the runs whose tables they read."""
    needed, open_ends = set(), list(wanted)
    while open_ends:
        run_id = open_ends.pop()
        if run_id in needed or run_id not in known:
            continue
        needed.add(run_id)
        run = known[run_id]
        if parent := run.data.tags.get("mlflow.parentRunId"):
            open_ends.append(parent)
            open_ends += _inputs(client, run_id)
    return needed


def _inputs(client: "MlflowClient", run_id: str) -> list[str]:
    import tempfile

    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as scratch:
            recipe = json.loads(Path(client.download_artifacts(run_id, RECIPE, scratch)).read_text(encoding="utf-8"))
        return [entry["run_id"] for entry in recipe["inputs"].values() if entry.get("run_id")]
    except (MlflowException, OSError, ValueError, KeyError):
        return []  # a run of before there were recipes


def _choose_folders(found: Pruned, gone: list[Night]) -> None:
    by_name: dict[str, list[Night]] = {}
    for night in gone:
        by_name.setdefault(night.folder.parent.name, []).append(night)
    for nights in by_name.values():
        told = [n for n in nights if n.summary][-KEPT_SUMMARIES:]
        for night in nights:
            if night not in told:
                found.nights.append(night.folder)
            elif not _is_emptied(night.folder):
                found.emptied.append(night.folder)


def _choose_data(
    client: "MlflowClient", found: Pruned, kept: list[Night], promoted: set[str], oldest: dt.datetime
) -> None:
    """Snapshots that nothing kept has read, environments beyond age and count."""
    used = {n.run.get("data", {}).get("sha256") for n in kept}
    going = set(found.runs)
    experiments = [e.experiment_id for e in pages(client.search_experiments)]
    if experiments:
        runs = pages(client.search_runs, experiments, "tags.`data.sha256` LIKE '%'", max_results=1000)
        used |= {r.data.tags["data.sha256"] for r in runs if r.info.run_id not in going}
    young = time.time() - SETTLING
    for folder in _sorted(home() / "runs" / ".snapshots"):
        if folder.name not in used and folder.stat().st_mtime < young:
            found.snapshots.append(folder)
    environments = _sorted(home() / "runs" / ".environments")
    for folder in environments:
        if folder not in environments[-KEPT_ENVIRONMENTS:] or folder.stat().st_mtime < oldest.timestamp():
            found.environments.append(folder)


def _sorted(folder: Path) -> list[Path]:
    """Folders below one, oldest first; hidden ones are somebody's work in progress."""
    there = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")] if folder.is_dir() else []
    return sorted(there, key=lambda p: p.stat().st_mtime)


def _size(found: Pruned, client: "MlflowClient") -> int:
    """Bytes that go with the files; a table that a kept night links to is not freed by its other name."""
    files = [p for folder in [*found.nights, *found.snapshots, *found.environments] for p in _files(folder)]
    files += [p for folder in found.emptied for p in _files(folder) if p.parent != folder or p.name not in LAST_WORDS]
    for run_id in found.runs:
        address = client.get_run(run_id).info.artifact_uri
        if address.startswith("file://") or "://" not in address:
            files += _files(Path(address.removeprefix("file://")).parent)
    seen: dict[tuple[int, int], list[int]] = {}
    for path in files:
        stat = path.lstat()
        links = seen.setdefault((stat.st_dev, stat.st_ino), [0, stat.st_nlink, stat.st_size])
        links[0] += 1
    return sum(size for here, links, size in seen.values() if here >= links)


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_symlink() or p.is_file()] if folder.is_dir() else []


def _remove(client: "MlflowClient", found: Pruned) -> None:
    """Folders first, so that no later night repeats a step whose run is about to go."""
    for folder in found.nights:
        _remove_tree(folder)
    for folder in found.emptied:
        for path in folder.iterdir():
            if path.name not in LAST_WORDS:
                _remove_tree(path)
    for version in found.models:
        promotions.delete(client, version)
    _remove_runs(client, found.runs)
    for folder in [*found.snapshots, *found.environments]:
        _remove_tree(folder)
    _compact()


def _remove_tree(path: Path) -> None:
    """Under a hidden name first: whoever looks meanwhile sees all of it or nothing."""
    if path.is_dir() and not path.is_symlink():
        going = path.with_name(f".going-{path.name}")
        path.replace(going)
        shutil.rmtree(going, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_runs(client: "MlflowClient", run_ids: list[str]) -> None:
    """Delete runs for good. `mlflow gc` does it by the same calls, but empties everybody's bin along with it."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    runs = [client.get_run(run_id) for run_id in run_ids]
    for experiment in {run.info.experiment_id for run in runs}:
        looks.keep(client, experiment, [run for run in runs if run.info.experiment_id == experiment])
    store = client._tracking_client.store
    for run in runs:
        promotions.delete_logged(client, run)
        if run.info.lifecycle_stage == "active":
            client.delete_run(run.info.run_id)
        if not hasattr(store, "_hard_delete_run"):
            continue  # a server: its own `mlflow gc` frees the space
        with contextlib.suppress(OSError):
            get_artifact_repository(run.info.artifact_uri).delete_artifacts()
        store._hard_delete_run(run.info.run_id)
        folder = Path(run.info.artifact_uri.removeprefix("file://")).parent
        if folder.is_dir() and folder.name == run.info.run_id:
            shutil.rmtree(folder, ignore_errors=True)
    if run_ids and store_uri().startswith("http"):
        LOG.warning("the runs are marked as deleted; `mlflow gc` on the server frees their space")


def _compact() -> None:
    """Give the pages that deleted rows leave in SQLite back to the disk; PostgreSQL uses its own again by itself."""
    file = store_file()
    if file is None or not file.is_file():
        return
    try:
        connection = sqlite3.connect(file, timeout=20)
        try:
            connection.execute("vacuum")
        finally:
            connection.close()
    except sqlite3.Error as error:  # somebody writes: the pages are used again by the next rows
        LOG.warning("%s was not compacted: %s", file, error)
