"""What a step's result depends on, and where an equal result lies already."""

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stability.workbench.facts import Metric, StepFacts
from stability.workbench.nights import read_night
from stability.workbench.provenance import digest, file_sha256
from stability.workbench.reporting.summary import write_text_atomic
from stability.workbench.spec import Task

__all__ = ["Record", "find", "folder_name", "link_tree", "outputs", "step_hash", "write_record"]

RECORD = "step.json"
# What of a step's folder another step may read; its notebook, pages and log are for people.
OUTPUT_SUFFIXES = {".parquet"}
# Steps of one run lie in one folder; file systems take 255 bytes a name, and a page's links stay readable.
LONGEST_NAME = 80


@dataclasses.dataclass(frozen=True)
class Record:
    """What a finished step leaves beside its tables, so that a later run can repeat it without running it."""

    key: str
    hash: str
    run_id: str
    started: str
    seconds: float
    outputs: dict[str, str]
    metrics: dict[str, Metric]


def folder_name(key: str) -> str:
    """Turn a step's key into a folder's name: readable, safe in a path and a link, and one for each key.

    >>> folder_name("detect"), folder_name("detect[entity=aws/cpu 1]")[:24]
    ('detect', 'detect-entity-aws-cpu-1-')
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", key).strip("-")[:LONGEST_NAME]
    return safe if safe == key else f"{safe}-{digest(key)[:8]}"


def step_hash(
    task: Task,
    shared: Mapping[str, Any],
    upstream: Mapping[str, Mapping[str, str]],
    registry: Mapping[str, Any],
) -> str:
    """Sha256 of all that decides a step's result.

    Parameters
    ----------
    task
        Its notebook's bytes and its parameters enter.
    shared
        What all steps of the run share: sha256 of package, data and lock, the dataset's options, the seed.
    upstream
        For each needed step, sha256 of each table that it wrote.
    registry
        For each registered model that it reads, what its aliases mean now.
    """
    return digest(
        {
            "notebook": file_sha256(task.notebook),
            "parameters": task.parameters,
            "shared": dict(shared),
            "upstream": {key: dict(files) for key, files in upstream.items()},
            "registry": dict(registry),
        }
    )


def outputs(folder: Path) -> dict[str, str]:
    """Sha256 of each table in a step's folder, by name."""
    return {p.name: file_sha256(p) for p in sorted(folder.iterdir()) if p.suffix in OUTPUT_SUFFIXES}


def write_record(step: StepFacts, hashed: str, started: str) -> None:
    """Leave the record of a finished step; from now on an equal step may be skipped."""
    record = Record(step.key, hashed, step.run_id or "", started, step.seconds, outputs(step.folder), step.metrics)
    write_text_atomic(step.folder / RECORD, json.dumps(dataclasses.asdict(record), indent=2))


def find(runs: Path, task: Task, hashed: str) -> tuple[Path, Record] | None:
    """Find the newest finished step with this hash whose tables are still what they were.

    Parameters
    ----------
    runs
        The folder of all runs of the experiment.
    task, hashed
        The step and its :func:`step_hash`.
    """
    for folder, record in _records(runs, folder_name(task.key)):
        if record.hash != hashed or not _counts(folder.parents[1], task.key):
            continue
        if (folder / "notebook.ipynb").is_file() and outputs(folder) == record.outputs:
            return folder, record
    return None


def _counts(night: Path, key: str) -> bool:
    """Whether that night's summary calls the step done: a runner may have been killed between record and summary."""
    step = read_night(night).steps.get(key, {})
    return step.get("status") == "finished" or (step.get("status") == "skipped" and not step.get("error"))


def _records(runs: Path, name: str) -> Iterator[tuple[Path, Record]]:
    for file in sorted(runs.glob(f"*/steps/{name}/{RECORD}"), reverse=True):
        if file.parents[2].is_symlink():
            continue
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            metrics = {n: Metric(**m) for n, m in fields.pop("metrics").items()}
            yield file.parent, Record(**fields, metrics=metrics)
        except (OSError, ValueError, TypeError, KeyError):
            continue  # a record that cannot be read repeats nothing; the step simply runs


def link_tree(source: Path, target: Path) -> None:
    """Give a run its own name for files that an earlier one wrote: each run's folder stays whole on its own.

    Hard links cost nothing and are safe, because every writer replaces files and none changes them in place.
    """
    shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links; a copy cut short must not look like a table
        part = f"{target}.part"
        shutil.copy2(source, part)
        Path(part).replace(target)
