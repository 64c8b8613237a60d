"""What the world sees of a run: MLflow's parent and children, the pages, the artifacts.

The store may be slow, locked or gone; a night goes on without it. What could not be said is in the summary at once, and
in the store when the next run of the experiment opens it.
"""

import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stability.schema import home
from stability.workbench.facts import RunFacts, StepFacts
from stability.workbench.provenance import environment
from stability.workbench.reporting.formats import redact
from stability.workbench.reporting.summary import write_text_atomic
from stability.workbench.reuse import OUTPUT_SUFFIXES, RECORD
from stability.workbench.tracking import FOLDER, experiment_id, open_store

__all__ = ["DIFF", "LOCK", "OURS", "RECIPE", "Publisher", "shown"]

LOG = logging.getLogger(__name__)
OURS = "stability.run"  # the tag that tells a runner's runs from those of notebooks opened by hand
RECIPE, DIFF, LOCK = "recipe.json", "git.diff", "requirements.lock"  # artifacts from which a run is reproduced
LONGEST_PARAMETER = 6000  # characters; MLflow cuts longer ones, the executed notebook keeps them whole
LONGEST_DIGEST = 36  # characters that MLflow keeps of a dataset's digest; the tag data.sha256 has all 64
ERROR_LINES = 200


def _quietly(method: Callable) -> Callable:
    """A store that fails must not end the night; the next start reconciles it."""

    @functools.wraps(method)
    def guarded(self: "Publisher", *arguments: Any) -> Any:
        try:
            return method(self, *arguments)
        except self.errors as error:
            LOG.warning("the store did not take %s: %s", method.__name__, error)
            return None

    return guarded


class Publisher:
    """Tells MLflow and the report what a night's facts are; never decides any.

    Parameters
    ----------
    facts
        Of the run; read here, changed by the runner only (but for `parent_run_id`).
    folder
        The run's folder.
    git
        As :func:`stability.workbench.provenance.git_facts` gives them; the difference is kept as an artifact.
    """

    def __init__(self, facts: RunFacts, folder: Path, git: Mapping[str, Any]) -> None:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        self.errors = (MlflowException, SQLAlchemyError, OSError)
        self.facts, self.folder, self.git = facts, folder, git
        self.pages = ThreadPoolExecutor(1, "pages")
        self.pending: list[Future] = []

    def open(self, shared: Mapping[str, Any]) -> None:
        """Open store and experiment, close what a killed runner left open, create the parent run."""
        self.client = open_store()
        self.experiment = experiment_id(self.client, self.facts.name)
        self._reconcile()
        self.tags = {
            OURS: f"{self.facts.name}/{self.folder.name}",
            "git.sha": self.facts.provenance["git_sha"],
            "git.dirty": self.facts.provenance["dirty"],
            "git.diff.sha256": hashlib.sha256(self.git["diff"]).hexdigest() if self.git["diff"] else "none",
            "mlflow.source.git.commit": self.facts.provenance["git_sha"],
            "data.sha256": shared["data"] or "none",
            "env.lock": shared["lock"],
            "code.sha256": shared["package"],
            "seed": str(shared["seed"]),
            "platform": self.facts.provenance["platform"],
            "python": self.facts.provenance["python"],
        }
        self.facts.parent_run_id = self._create(self.facts.name, self.facts.provenance["command"], "PROJECT", {})
        parent = self.facts.parent_run_id
        self._dataset(parent)
        self.client.log_text(parent, environment(), "environment.txt")
        if self.git["left_out"]:
            self.client.set_tag(parent, "git.left_out", ", ".join(self.git["left_out"])[:LONGEST_PARAMETER])
        with tempfile.TemporaryDirectory() as scratch:
            if self.git["diff"]:
                (Path(scratch) / DIFF).write_bytes(self.git["diff"])
            if (home() / LOCK).is_file():
                shutil.copy(home() / LOCK, scratch)
            self.client.log_artifacts(parent, scratch)

    def _reconcile(self) -> None:
        """Mark runs that say RUNNING although their runner is gone: we hold the lock of this experiment."""
        stale = self.client.search_runs(
            [self.experiment], f"attributes.status = 'RUNNING' AND tags.`{OURS}` LIKE '%'", max_results=1000
        )
        for run in stale:
            LOG.warning("run %s was left open by a runner that is gone: marked KILLED", run.info.run_id)
            self.client.set_tag(run.info.run_id, "stability.reconciled", "its runner ended without marking it")
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _create(self, name: str, source: str, kind: str, tags: Mapping[str, str]) -> str:
        mlflow_tags = {"mlflow.source.name": source, "mlflow.source.type": kind, "mlflow.user": _user()}
        run = self.client.create_run(self.experiment, tags={**self.tags, **mlflow_tags, **tags}, run_name=name)
        return run.info.run_id

    def _dataset(self, run_id: str) -> None:
        data = self.facts.dataset
        if data["sha256"] is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entity = Dataset(
            name=data["name"],
            digest=data["sha256"][:LONGEST_DIGEST],
            source_type="stability.datasets",
            source=_text(data),
        )
        self.client.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "input")])])

    def has_finished(self, run_id: str) -> bool:
        """Whether the store still knows this run, and as finished: only then may a step repeat it."""
        try:
            run = self.client.get_run(run_id)
        except self.errors:
            return False
        return run.info.status == "FINISHED" and run.info.lifecycle_stage == "active"

    def start(self, step: StepFacts, hashed: str, recipe: Mapping[str, Any]) -> str:
        """Create a step's child run with the recipe to repeat it; one of `errors` when the store does not answer."""
        from mlflow.entities import Param

        run_id = self._create(
            step.key,
            step.notebook,
            "NOTEBOOK",
            {"mlflow.parentRunId": self.facts.parent_run_id, "stability.step": step.key, "stability.hash": hashed},
        )
        self.client.log_batch(run_id, params=[Param(n, shown(value)) for n, value in recipe["parameters"].items()])
        self.client.log_dict(run_id, dict(recipe), RECIPE)
        self._dataset(run_id)
        return run_id

    def finish(self, step: StepFacts) -> None:
        """Mark a step's run at once; its page and artifacts follow outside the kernel's slot."""
        self._end(step)
        self.pending.append(self.pages.submit(self._publish, step))

    @_quietly
    def _end(self, step: StepFacts) -> None:
        self.client.set_tag(step.run_id, "attempts", str(step.attempts))
        self.client.set_terminated(step.run_id, "FINISHED" if step.status == "finished" else "FAILED")

    @_quietly
    def kill(self, step: StepFacts) -> None:
        """Mark the run of a step that was interrupted."""
        self.client.set_terminated(step.run_id, "KILLED")

    @_quietly
    def _publish(self, step: StepFacts) -> None:
        from stability.workbench import reporting

        notebook = step.folder / "notebook.ipynb"
        if step.error:
            text = (step.traceback or step.error).splitlines()[-ERROR_LINES:]
            write_text_atomic(step.folder / "error.txt", "\n".join(text) + "\n")
        if notebook.is_file():
            page = reporting.notebook_page(
                notebook, f"{self.facts.name} / {step.key}", step=step, back="../../index.html"
            )
            write_text_atomic(step.folder / "notebook.html", page)
        for name in ("notebook.ipynb", "notebook.html", "error.txt", "kernel.log", RECORD):
            if (step.folder / name).is_file():
                self.client.log_artifact(step.run_id, str(step.folder / name))
        # What a notebook wrote into its folder without `log_tables` is an input of other steps all the same.
        logged = {Path(file.path).name for file in self.client.list_artifacts(step.run_id, FOLDER)}
        for path in sorted(step.folder.iterdir()) if step.status == "finished" else []:
            if path.suffix in OUTPUT_SUFFIXES and path.name not in logged:
                self.client.log_artifact(step.run_id, str(path), FOLDER)

    def close(self, status: str) -> None:
        """Write the night's page, hand page, summary and note to the parent run, and end it."""
        self.pages.shutdown(wait=True)
        for future in self.pending:
            if future.exception():
                LOG.error("a step's page could not be made", exc_info=future.exception())
        from stability.workbench import reporting

        note = "The page of this run could not be made."
        try:
            write_text_atomic(self.folder / "index.html", reporting.index_page(self.facts, folder=self.folder))
            note = reporting.note_markdown(self.facts, folder=self.folder)
        finally:  # a page that cannot be made is a defect of ours, and no reason to leave the run open
            if self.facts.parent_run_id:
                self._close(note, status)

    @_quietly
    def _close(self, note: str, status: str) -> None:
        from mlflow.entities import Metric as Logged

        parent, at = self.facts.parent_run_id, int(self.facts.started.timestamp() * 1000)
        flat = [
            Logged(f"{name}{end}", value, at, 0)
            for name, m in self.facts.metrics.items()
            for end, value in (("", m.value), (".lo", m.lo), (".hi", m.hi))
            if value is not None
        ]
        self.client.log_batch(parent, metrics=flat)
        self.client.set_tag(parent, "mlflow.note.content", note)
        for name in ("index.html", "summary.json"):
            if (self.folder / name).is_file():
                self.client.log_artifact(parent, str(self.folder / name))
        self.client.set_terminated(parent, status)


def _user() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or "unknown"


def shown(value: Any) -> str:
    """A parameter as MLflow keeps it: text as it is, anything else as JSON, without passwords and folders of ours."""
    return _text(value)[:LONGEST_PARAMETER]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return redact(text.replace(str(home()) + os.sep, ""))
