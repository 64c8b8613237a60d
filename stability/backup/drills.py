"""The drill: a backup is restored into a scratch place and used; what would be lost, and how long it takes.

RPO, the recovery point: seconds from the moment whose state the backup holds to the newest record that the workbench
has written since; 0 when nothing was. RTO, the recovery time: seconds from reading the backup until MLflow, started on
what was restored, has answered with a run and one of its artifacts, all checks on the way included.
"""

from __future__ import annotations

__all__ = ["DRILLS", "Drill", "drill"]

import contextlib
import datetime as dt
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stability.backup import databases, postgres, store
from stability.backup.contents import lost_since
from stability.backup.creation import DATABASE, DUMP, at_work
from stability.backup.manifest import Manifest, differences
from stability.backup.places import Backup, chosen, root_of
from stability.backup.restoring import extract
from stability.backup.serving import read_again, served
from stability.schema import ContractError, home
from stability.workbench.tracking import store_file, store_uri

DRILLS = "drills.jsonl"  # in the folder of backups: one line a drill


@dataclass(frozen=True)
class Drill:
    """What a drill found.

    Parameters
    ----------
    backup : str
        Its name.
    kind : str
        `archive` or `restic`.
    moment : str
        When the drill began, ISO 8601.
    findings : list of str
        What is not as the manifest says; empty when the backup is good.
    rto_s : float
        Seconds until a run was read; NaN where none could be.
    rpo_s : float or None
        Seconds of work that the workbench would lose now; None where its store is not here to compare with.
    age_s : float
        Seconds since the moment whose state the backup holds.
    files, size, tables, rows, runs : int
        Of the backup: files, their bytes, tables and rows of its databases, runs.
    lost_files, lost_runs : int
        What the workbench has and the backup has not, or not as it is now.
    run_read : str or None
        The run that MLflow gave; None where the store has none.
    server : bool
        Whether MLflow's server was started, or its client opened the store.
    """

    backup: str
    kind: str
    moment: str
    findings: list[str] = field(default_factory=list)
    rto_s: float = float("nan")
    rpo_s: float | None = None
    age_s: float = 0.0
    files: int = 0
    size: int = 0
    tables: int = 0
    rows: int = 0
    runs: int = 0
    lost_files: int = 0
    lost_runs: int = 0
    run_read: str | None = None
    server: bool = True


def drill(name: str | None = None, *, place: str | os.PathLike | None = None, server: bool = True) -> Drill:
    """Restore a backup into a scratch place, check everything, start MLflow on it and read a run.

    Parameters
    ----------
    name : str, optional
        Of a backup; the newest without it.
    place : path, optional
        The folder of backups; each drill leaves a line in its `drills.jsonl`.
    server : bool
        Start MLflow's server on loopback and read over HTTP; otherwise MLflow's client opens the restored store.

    Returns
    -------
    Drill
        With findings where the backup is damaged or incomplete.

    Raises
    ------
    ContractError
        When there is no backup, or no such one.
    """
    begun, now = time.perf_counter(), time.time()
    backup = chosen(name, place)
    told = {"moment": dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="seconds"), "server": server}
    done = Drill(backup.name, backup.repository.kind, **told)
    root = home()
    with at_work(root) as scratch:
        try:
            folder = scratch / "restored"
            folder.mkdir()
            manifest = extract(backup, folder, durable=False)
        except ContractError as error:
            done = Drill(backup.name, backup.repository.kind, findings=[str(error)], **told)
        else:
            findings = _checked(folder, manifest)
            run_id, rto = None, float("nan")
            with _database(folder, manifest, findings) as uri:
                if uri is not None:
                    store.move(uri, Path(manifest.home), folder)
                    if manifest.sample is None:
                        findings.append("the store has no finished run that could be read")
                    else:
                        said = _read(uri, manifest, scratch / "server.log", server=server)
                        findings += said
                        run_id = None if said else manifest.sample.run_id
                        rto = time.perf_counter() - begun
            rpo, files, runs = _lost(root, manifest, backup)
            done = Drill(
                backup.name,
                backup.repository.kind,
                findings=findings,
                rto_s=rto if not findings else float("nan"),
                rpo_s=rpo,
                age_s=max(0.0, now - manifest.moment),
                files=len(manifest.entries),
                size=manifest.size,
                tables=sum(len(tables) for tables in manifest.rows.values()),
                rows=sum(sum(tables.values()) for tables in manifest.rows.values()),
                runs=manifest.runs,
                lost_files=files,
                lost_runs=runs,
                run_read=run_id,
                **told,
            )
    _remember(root_of(place), done)
    return done


def _checked(folder: Path, manifest: Manifest) -> list[str]:
    """Let SQLite check each database, and compare the rows of each table."""
    findings = []
    for name, rows in manifest.rows.items():
        if name == DUMP:
            continue  # counted where it is restored
        findings += databases.integrity(folder / name)
        try:
            findings += [f"{name}: {said}" for said in differences(rows, databases.counts(folder / name), "table")]
        except ContractError as error:
            findings.append(str(error))
    return findings


@contextlib.contextmanager
def _database(folder: Path, manifest: Manifest, findings: list[str]) -> Iterator[str | None]:
    """Give the address of the restored store; of PostgreSQL a scratch database on the same server."""
    if manifest.store == "sqlite":
        yield f"sqlite:///{folder / DATABASE}"
        return
    if not store_uri().startswith("postgresql"):
        findings.append("the backup is of PostgreSQL: MLFLOW_TRACKING_URI has to name a server for a scratch database")
        yield None
        return
    with postgres.scratch(store_uri()) as uri:
        postgres.restore(uri, folder / DUMP)
        findings += differences(manifest.rows[DUMP], postgres.counts(uri), "table")
        yield uri


def _read(uri: str, manifest: Manifest, log: Path, *, server: bool) -> list[str]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    try:
        with served(uri, log) if server else contextlib.nullcontext(uri) as address:
            return read_again(MlflowClient(address), manifest)
    except ContractError as error:
        return [str(error)]


def _lost(root: Path, manifest: Manifest, backup: Backup) -> tuple[float | None, int, int]:
    """Compare the workbench as it is with the backup: seconds, files and runs that would be lost."""
    file = store_file()
    if file is not None and not file.is_file():
        return None, 0, 0
    paths, newest = lost_since(root, manifest.entries, encrypted=backup.repository.encrypted)
    newest = max(newest, store.newest(store_uri()))
    return max(0.0, newest - manifest.moment), len(paths), store.runs_since(store_uri(), manifest.moment)


def _remember(root: Path, done: Drill) -> None:
    line = json.dumps({key: None if value != value else value for key, value in asdict(done).items()})
    root.mkdir(parents=True, exist_ok=True)
    with (root / DRILLS).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
