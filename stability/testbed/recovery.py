"""The drill of the watched service: its own data restored into a scratch place, the service started on them and asked.

RPO, the recovery point: seconds from the moment of the backup to the newest change of the service's own data since; 0
when nothing changed. RTO, the recovery time: seconds from reading the backup until the service that was started from
it, on ports of its own, has answered through its gateway, checksums included.
"""

from __future__ import annotations

__all__ = ["Drill", "drill"]

import contextlib
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from stability.schema import ContractError, home
from stability.testbed import control
from stability.testbed.modes import REPLICAS
from stability.testbed.observations import FILE as FEATURES
from stability.testbed.service import LOOPBACK
from stability.testbed.upkeep import ASKED, PARTS, State, differing, read_backup

SURE = 1e-3  # by which a confidence may differ: in a batch of another size the last digits do
PATIENCE = 30.0  # s for the gateway to know its replicas, once all of it is healthy


@dataclass(frozen=True)
class Drill:
    """What a drill found.

    Parameters
    ----------
    findings : list of str
        What is not as it was; empty when the backup is good.
    rto_s : float
        Seconds until the service answered; NaN where it did not.
    rpo_s : float or None
        Seconds of changes that would be lost; None where the testbed's own files are not here to compare with.
    age_s : float
        Seconds since the backup.
    files, blocks : int
        Of the backup: files, rows of the feature store.
    answers, alike : int
        Answers that the backup holds, and how many of them the restored service gave again.
    """

    findings: list[str] = field(default_factory=list)
    rto_s: float = float("nan")
    rpo_s: float | None = None
    age_s: float = 0.0
    files: int = 0
    blocks: int = 0
    answers: int = 0
    alike: int = 0


def drill(folder: Path | None = None, testbed: Path | None = None) -> Drill:
    """Back up a testbed's own data, start the service from the backup elsewhere, and compare what it answers.

    Parameters
    ----------
    folder : Path, optional
        A backup that is there; without it the running testbed is backed up now.
    testbed : Path, optional
        The testbed's files; `runs/.testbed` without it.

    Returns
    -------
    Drill
        With findings where the backup is damaged or what is started from it is another service.

    Raises
    ------
    ContractError
        Without a backup, when no testbed runs.
    """
    source = testbed or control.default_home()
    scratch = home() / ".backup" / "testbed-drill"  # always the same one: what a killed drill left is ended by the next
    control.down(scratch / "service")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        if folder is None:
            folder = scratch / "backup"
            folder.parent.mkdir(parents=True)
            control.ask(source, "/backup", folder=str(folder))
        return _drilled(source, folder, scratch / "service")
    finally:
        control.down(scratch / "service")
        shutil.rmtree(scratch, ignore_errors=True)


def _drilled(source: Path, folder: Path, service: Path) -> Drill:
    begun = time.perf_counter()
    try:
        told = read_backup(folder)
        status = control.up(service, folder)
    except ContractError as error:
        return Drill(findings=[str(error)])
    findings = []
    ports = {name: process["port"] for name, process in status["processes"].items()}
    if not _asked(ports["gateway"], min(ASKED), PATIENCE):
        findings.append("the gateway of the restored service does not answer")
    rto = time.perf_counter() - begun
    if told.answers.keys() - set(REPLICAS):  # there were more of them
        control.ask(service, f"/scale/{len(told.answers)}")
        ports = {name: process["port"] for name, process in control.status(service)["processes"].items()}
    alike = 0
    for name, answers in told.answers.items():
        same = sum(_is_same(known, _asked(ports[name], item)) for item, known in answers.items())
        if same < len(answers):
            findings.append(f"{name} answers {len(answers) - same} of {len(answers)} questions otherwise than before")
        alike += same
    odd = differing(service, told)
    findings += [f"other content of {', '.join(odd[:3])}"] if odd else []
    with contextlib.closing(sqlite3.connect(service / "store" / FEATURES)) as store:
        (blocks,) = store.execute("select count(*) from observations").fetchone()
    if blocks != told.blocks:
        findings.append(f"the feature store had {told.blocks:,} blocks and has {blocks:,}")
    return Drill(
        findings=findings,
        rto_s=float("nan") if findings else rto,
        rpo_s=_lost(source, told),
        age_s=max(0.0, time.time() - told.moment),
        files=len(told.files),
        blocks=blocks,
        answers=sum(map(len, told.answers.values())),
        alike=alike,
    )


def _asked(port: int, item: int, patience: float = 0.0) -> dict | None:
    """One answer of a service, None without one."""
    end = time.monotonic() + patience
    while True:
        with contextlib.suppress(httpx.HTTPError):
            answer = control.client().post(f"http://{LOOPBACK}:{port}/v1/predict", json={"item": item}, timeout=5)
            if answer.is_success:
                return answer.json()
        if time.monotonic() >= end:
            return None
        time.sleep(0.2)


def _is_same(known: tuple[int, float, str], found: dict | None) -> bool:
    if found is None:
        return False
    label, confidence, version = known
    return (found["label"], found["version"]) == (label, version) and abs(found["confidence"] - confidence) <= SURE


def _lost(source: Path, told: State) -> float | None:
    """Seconds from the backup to the newest change of what it holds."""
    changed = [path.stat().st_mtime for part in PARTS for path in (source / part).glob("[!.]*")]
    return max(0.0, max(changed) - told.moment) if changed else None
