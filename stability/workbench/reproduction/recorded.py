"""What a run left behind, so that it can be run again: read from the store, the run's folder only a short cut."""

from __future__ import annotations

__all__ = ["CannotReproduceError", "Recorded", "Target", "artifact", "read", "table", "targets"]

import contextlib
import difflib
import hashlib
import json
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stability.datasets.snapshots import ERASED, noted, told
from stability.schema import ContractError, home
from stability.workbench.publishing import OURS, RECIPE, shown
from stability.workbench.reuse import RECORD, folder_name
from stability.workbench.tracking import FOLDER, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SUMMARY = "summary.json"
UNEVIDENCED = "not_enough_evidence"  # the tag that names metrics without a number
RECENT = 200  # runs among which a mistyped id is looked for
# Folders of that night's, which a repetition replaces by its own.
PLACES = ("inputs", "output")


class CannotReproduceError(RuntimeError):
    """Something that the run needs is gone, altered or erased; the message says what."""


@dataclass(frozen=True)
class Target:
    """One step to run again, or why it cannot be."""

    key: str
    run_id: str | None
    problem: str | None = None


@dataclass(frozen=True)
class Recorded:
    """All that the store knows of one step's run.

    Parameters
    ----------
    run_id, key, parent : str
        Its MLflow run, its step, and the run of its night.
    tags : dict of str to str
        Of the run.
    recipe : dict
        As the runner wrote it: notebook, parameters, inputs, environment, timeout.
    metrics : dict of str to float
        Everything logged; NaN where there was not enough evidence.
    timings : set of str
        Metrics declared as such.
    outputs : dict of str to str
        Sha256 of each table.
    contradictions : list of str
        Where two records of the same thing differ: somebody has changed one.
    """

    run_id: str
    key: str
    parent: str
    tags: dict[str, str]
    recipe: dict[str, Any]
    metrics: dict[str, float]
    timings: set[str]
    outputs: dict[str, str]
    contradictions: list[str] = field(default_factory=list)


def targets(client: MlflowClient, run_id: str) -> list[Target]:
    """Find what a run id means: one step, or every step of a night in its order.

    Raises
    ------
    ContractError
        For an id that nobody knows, a run of a notebook opened by hand, or one that has not finished.
    """
    run = _get(client, run_id)
    if OURS not in run.data.tags:
        raise ContractError(
            file=f"run {run_id}",
            expected="a run of `stability run`",
            got="one of a notebook opened by hand, whose code and data nobody recorded",
            remedy="name the notebook in an experiment and run that",
        )
    if run.info.status == "RUNNING":
        raise ContractError(file=f"run {run_id}", expected="a run that has ended", got="one that is running")
    if "stability.step" in run.data.tags:
        if run.info.status != "FINISHED":
            remedy = "look at its error.txt and traceback in MLflow"
            said = f"one that ended {run.info.status}: there is nothing to compare"
            raise ContractError(file=f"run {run_id}", expected="a run that finished", got=said, remedy=remedy)
        return [Target(run.data.tags["stability.step"], run_id)]
    return _steps(client, run)


def _get(client: MlflowClient, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException:
        raise ContractError(
            file=_store(), expected="the id of a run", got=repr(run_id), remedy=_hint(client, run_id)
        ) from None
    if run.info.lifecycle_stage != "active":
        remedy = f"mlflow runs restore --run-id {run_id}"
        raise ContractError(file=f"run {run_id}", expected="a run", got="a deleted one", remedy=remedy)
    return run


def _hint(client: MlflowClient, run_id: str) -> str:
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = client.search_runs(experiments, max_results=RECENT, order_by=["attributes.start_time DESC"])
    names = {r.info.run_id: r.data.tags.get(OURS, "") for r in found if OURS in r.data.tags}
    close = difflib.get_close_matches(run_id, names, n=1) or [i for i in names if run_id and i.startswith(run_id)][:1]
    if close:
        return f"did you mean {close[0]} ({names[close[0]]})?"
    nights = [r.info.run_id for r in found if OURS in r.data.tags and "stability.step" not in r.data.tags]
    if not nights:
        return "there is no night yet: stability run experiments/nightly.yaml"
    return f"ids are on a night's page and in MLflow; the newest night is {nights[0]} ({names[nights[0]]})"


def _steps(client: MlflowClient, night: Run) -> list[Target]:
    """Of a night's summary, because a skipped step's run belongs to an earlier night."""
    run_id = night.info.run_id
    content = artifact(client, run_id, SUMMARY)
    try:
        if content is None:
            content = (home() / "runs" / night.data.tags[OURS] / SUMMARY).read_bytes()
        steps = json.loads(content)["steps"]
    except (OSError, ValueError, KeyError) as error:
        raise ContractError(
            file=f"run {run_id}",
            expected=f"the night's {SUMMARY}, in the store or in {home() / 'runs' / night.data.tags[OURS]}",
            got=f"none that can be read ({error})",
            remedy="name the run of one of its steps",
        ) from error
    found = []
    for key, step in steps.items():
        ran = step["run_id"] and step["status"] in ("finished", "skipped")
        problem = None if ran else f"it did not finish that night: {step['error']}"
        found.append(Target(key, step["run_id"], problem))
    return found


def read(client: MlflowClient, run_id: str) -> Recorded:
    """Read all that is known of a step's run.

    Raises
    ------
    CannotReproduceError
        When the run is gone, or lacks what a repetition needs.
    """
    try:
        run = _get(client, run_id)
    except ContractError as error:
        raise CannotReproduceError(str(error)) from None
    tags, recipe, record = run.data.tags, _json(client, run_id, RECIPE), _json(client, run_id, RECORD)
    lacking = [name for name in ("mlflow.parentRunId", "git.sha", "code.sha256", "env.lock") if name not in tags]
    if lacking:
        raise CannotReproduceError(f"run {run_id} has no tag {', '.join(lacking)}, which the runner gave it")
    absent = [name for name in tags.get(UNEVIDENCED, "").split(", ") if name]
    ours = {n: v for n, v in run.data.metrics.items() if not n.startswith("system/")}
    return Recorded(
        run_id=run_id,
        key=tags.get("stability.step", run.info.run_name),
        parent=tags["mlflow.parentRunId"],
        tags=dict(tags),
        recipe=recipe,
        metrics={**ours, **dict.fromkeys(absent, math.nan)},
        timings={name for name, metric in record["metrics"].items() if metric["kind"] == "timing"},
        outputs=record["outputs"],
        contradictions=[*_parameters(run, recipe), *_metrics(run, record), *_seed(run, recipe)],
    )


def _parameters(run: Run, recipe: dict[str, Any]) -> list[str]:
    known = {n: shown(value) for n, value in recipe["parameters"].items() if n not in PLACES}
    logged = run.data.params
    return [
        f"parameter {name} is {logged.get(name, 'missing')} in MLflow and {value} in {RECIPE}"
        for name, value in sorted(known.items())
        if logged.get(name) != value
    ]


def _metrics(run: Run, record: dict[str, Any]) -> list[str]:
    told = []
    for name, metric in record["metrics"].items():
        for end, value in (("", metric["value"]), (".lo", metric["lo"]), (".hi", metric["hi"])):
            logged = run.data.metrics.get(f"{name}{end}")
            if value is not None and (logged is None or not math.isclose(logged, value, rel_tol=1e-12)):
                told.append(f"metric {name}{end} is {logged} in MLflow and {value} in {RECORD}")
    return told


def _seed(run: Run, recipe: dict[str, Any]) -> list[str]:
    tag, used = run.data.tags.get("seed"), recipe["environment"].get("PYTHONHASHSEED")
    return [] if tag == used else [f"the seed is {tag} in MLflow and {used} in {RECIPE}"]


def _json(client: MlflowClient, run_id: str, name: str) -> dict[str, Any]:
    content = artifact(client, run_id, name)
    if content is None:
        raise CannotReproduceError(f"run {run_id} has no artifact {name} in {_store()}: it was pruned, or is older")
    try:
        return json.loads(content)
    except ValueError as error:
        raise CannotReproduceError(f"the artifact {name} of run {run_id} cannot be read: {error}") from error


def artifact(client: MlflowClient, run_id: str, path: str) -> bytes | None:
    """Content of a run's artifact; None where the store has none."""
    from mlflow.exceptions import MlflowException

    folder = path.rpartition("/")[0] or None
    try:
        if path not in {file.path for file in client.list_artifacts(run_id, folder)}:
            return None
        with tempfile.TemporaryDirectory() as scratch:
            return Path(client.download_artifacts(run_id, path, scratch)).read_bytes()
    except (MlflowException, OSError):
        return None


def table(client: MlflowClient, run_id: str, name: str, digest: str) -> bytes:
    """Content of a table that a run wrote, from its folder or the store, whichever still has the recorded bytes.

    Raises
    ------
    CannotReproduceError
        When neither has.
    """
    try:
        tags = _get(client, run_id).data.tags
        folder = home() / "runs" / tags[OURS] / "steps" / folder_name(tags["stability.step"])
    except (ContractError, KeyError):
        folder = None
    found = []
    if folder is not None and (folder / name).is_file():
        found.append((folder / name).read_bytes())
    if not any(_is(content, digest) for content in found):
        content = artifact(client, run_id, f"{FOLDER}/{name}")
        found += [] if content is None else [content]
    for content in found:
        if _is(content, digest):
            return content
    gone = noted(folder) if folder else []
    note = artifact(client, run_id, f"{FOLDER}/{ERASED}")
    if note and not gone:
        with contextlib.suppress(ValueError):
            gone = json.loads(note)
    if gone:
        raise CannotReproduceError(f"from the input {name} of run {run_id} something was erased: {told(gone)}")
    state = "altered" if found else "gone"
    message = f"the input {name} of run {run_id} is {state}: neither its folder nor the store has sha256 {digest}"
    raise CannotReproduceError(message)


def _is(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


def _store() -> str:
    return shown(store_uri())
