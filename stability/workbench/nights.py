"""The nights of an experiment as they lie on disk: what each said of itself, and whether one is running now.

Beside `summary.json`, which is for everyone, a run's folder holds `run.json`: what the night was made of (code, data,
lock, parameters), where each step stands at this moment, and whether the store has been told everything. The summary is
the moment of truth: a step counts as finished once the summary says so.
"""

import contextlib
import datetime as dt
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stability.workbench.facts import RunFacts

__all__ = [
    "KILLED",
    "RUN_FILE",
    "Night",
    "is_running",
    "latest_nights",
    "names",
    "new_folder",
    "point",
    "read_night",
    "read_nights",
    "run_record",
    "summaries",
    "unsettled",
]

RUN_FILE = "run.json"
LOCK = ".lock"
PRUNING = ".prune.lock"  # held while old nights are removed; a night waits that long before it begins
# What a summary says of steps that an interruption caught; neither is a failure of the step's own.
KILLED = ("interrupted", "not run: the night was interrupted")


@dataclass(frozen=True)
class Night:
    """One run of an experiment, read from its folder.

    Parameters
    ----------
    folder : Path
        `runs/<name>/<timestamp>`.
    summary : dict
        Its `summary.json`; empty where there is none that can be read.
    run : dict
        Its `run.json`; empty for a night that ended before it could write one.
    """

    folder: Path
    summary: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def started(self) -> dt.datetime | None:
        """When it began; None where it cannot be known."""
        with contextlib.suppress(KeyError, ValueError, TypeError):
            return dt.datetime.fromisoformat(self.summary["started"])
        with contextlib.suppress(ValueError):
            return dt.datetime.strptime(self.folder.name[:20], "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=dt.UTC)
        return None

    @property
    def ended(self) -> dt.datetime | None:
        """When it last wrote down where it stands; of a night that is over, its end."""
        if self.started is None or "seconds" not in self.summary:
            return None
        return self.started + dt.timedelta(seconds=self.summary["seconds"])

    @property
    def verdict(self) -> str:
        """`finished`, `failed` or `interrupted`, for a night that is over."""
        if self.summary.get("status") == "finished":
            return "finished"
        cut_off = self.run.get("status") in ("running", "interrupted")
        cut_off |= any(step.get("error") in KILLED for step in self.steps.values())
        return "interrupted" if cut_off or not self.summary else "failed"

    @property
    def steps(self) -> Mapping[str, Any]:
        """Its steps by key, as the summary tells them."""
        return self.summary.get("steps", {})

    @property
    def states(self) -> dict[str, str]:
        """Where each step stands: the summary calls failed what was not done yet, `run.json` knows better."""
        known = self.run.get("steps", {})
        return {key: known.get(key, {}).get("status", step["status"]) for key, step in self.steps.items()}


def run_record(facts: "RunFacts", hashes: Mapping[str, str], *, settled: bool) -> dict[str, Any]:
    """What `run.json` holds.

    Parameters
    ----------
    facts
        Of the run, now.
    hashes
        `reuse.step_hash` of each step that has come to its turn.
    settled
        Whether the store has been told how everything ended.
    """
    return {
        "name": facts.name,
        "started": facts.started.isoformat(timespec="seconds"),
        "status": facts.status,
        "settled": settled,
        "process": os.getpid(),
        "parent_run_id": facts.parent_run_id,
        "data": facts.dataset,
        "provenance": facts.provenance,
        "headline": facts.headline,
        "test_parts": facts.test_parts,
        "steps": {
            step.key: {
                "status": step.status,
                "run_id": step.run_id,
                "notebook": step.notebook,
                "parameters": step.parameters,
                "hash": hashes.get(step.key),
            }
            for step in facts.steps
        },
    }


def names(runs: Path) -> list[str]:
    """Names of the experiments that have ever run, from the folder of all runs."""
    if not runs.is_dir():
        return []
    folders = [p for p in runs.iterdir() if p.is_dir() and not p.name.startswith(".")]
    # A start that was refused leaves a folder with its lock and no night.
    return sorted(p.name for p in folders if _folders(p) or is_running(p))


def read_nights(runs: Path) -> list[Night]:
    """Every night of one experiment, oldest first.

    Parameters
    ----------
    runs
        `runs/<name>`.
    """
    return [read_night(folder) for folder in _folders(runs)]


def latest_nights(runs: Path, count: int) -> list[Night]:
    """The last nights of one experiment that have a summary, oldest first."""
    found: list[Night] = []
    for folder in reversed(_folders(runs)):
        night = read_night(folder)
        if night.summary:
            found.append(night)
        if len(found) == count:
            break
    return found[::-1]


def _folders(runs: Path) -> list[Path]:
    if not runs.is_dir():
        return []
    there = [p for p in runs.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith(".")]
    return sorted(there, key=_in_order)


def _in_order(folder: Path) -> tuple[str, int]:
    """Nights that began within one second have the names `...Z`, `...Z-2`, `...Z-10`."""
    stamp, _, number = folder.name.partition("Z-")
    return stamp.removesuffix("Z"), int(number) if number.isdigit() else 0


def read_night(folder: Path) -> Night:
    """Read one night; what is missing or damaged is empty, and no reason to stop."""
    return Night(folder, _mapping(folder / "summary.json"), _mapping(folder / RUN_FILE))


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_running(runs: Path) -> bool:
    """Whether a process holds the lock of this experiment now; it ends with the process, however that ends."""
    try:
        handle = os.open(runs / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def unsettled(runs: Path) -> Iterator[Night]:
    """Nights of which the store may not know everything."""
    return (night for night in read_nights(runs) if night.run and not night.run.get("settled"))


def summaries(runs: Path, count: int) -> list[Mapping[str, Any]]:
    """The summaries of the last nights of one experiment that hold to the schema, oldest first."""
    from stability.schema import ContractError
    from stability.workbench.reporting.summary import read_summary

    found = []
    for night in latest_nights(runs, count):
        try:
            found.append(read_summary(night.folder / "summary.json"))
        except ContractError as error:
            logging.getLogger(__name__).warning("left out of the history: %s", error)
    return found


def new_folder(runs: Path) -> Path:
    """A folder named by the second; two runs within one second get different ones."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
        with contextlib.suppress(FileExistsError):
            (runs / f"{stamp}{suffix}").mkdir()
            return runs / f"{stamp}{suffix}"
    raise AssertionError


def point(link: Path, folder: Path) -> None:
    """Let `latest` name this run, in one step: a reader never finds it missing."""
    temporary = link.with_name(f".latest.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name, target_is_directory=True)
    temporary.replace(link)
