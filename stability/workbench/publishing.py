"""What the world sees of a run: MLflow's parent and children, the pages, the artifacts.

The store may be slow, locked or gone; a night goes on without it. What could not be said is in the summary at once, and
in the store when the next run of the experiment opens it.
"""

import contextlib
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

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from stability.schema import home, redact
from stability.workbench import looks
from stability.workbench.facts import RunFacts, StepFacts
from stability.workbench.kernels import kill_orphans
from stability.workbench.nights import KILLED, RUN_FILE, Night, unsettled
from stability.workbench.provenance import environment
from stability.workbench.reporting.summary import write_text_atomic
from stability.workbench.reuse import OUTPUT_SUFFIXES, RECORD
from stability.workbench.tracking import FOLDER, experiment_id, open_store, store_file

__all__ = ["DIFF", "LOCK", "OURS", "RECIPE", "Publisher", "StoreLostError", "account", "brief", "shown"]

LOG = logging.getLogger(__name__)
OURS = "stability.run"  # the tag that tells a runner's runs from those of notebooks opened by hand
RECIPE, DIFF, LOCK = "recipe.json", "git.diff", "requirements.lock"  # artifacts from which a run is reproduced
LONGEST_PARAMETER = 6000  # characters; MLflow cuts longer ones, the executed notebook keeps them whole
LONGEST_DIGEST = 36  # characters that MLflow keeps of a dataset's digest; the tag data.sha256 has all 64
ERROR_LINES = 200
PATIENCE = 20.0  # seconds that a store may be away at the start of a step, as long as SQLite waits for a lock


class StoreLostError(OSError):
    """The store's file was removed or replaced while this process had it open."""


def _quietly(method: Callable) -> Callable:
    """A store that fails must not end the night; the next start reconciles it."""

    @functools.wraps(method)
    def guarded(self: "Publisher", *arguments: Any) -> Any:
        try:
            return method(self, *arguments)
        except self.errors as error:
            LOG.warning("the store did not take %s: %s", method.__name__.strip("_"), brief(error))
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
    shared
        What all steps share (`reuse.step_hash`).
    """

    def __init__(self, facts: RunFacts, folder: Path, git: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        self.errors = (MlflowException, SQLAlchemyError, OSError)
        self.facts, self.folder, self.git, self.shared = facts, folder, git, shared
        self.file: tuple[Path, int] | None = None  # a store in a file, and which file
        self.opened = False
        self.pages = ThreadPoolExecutor(1, "pages")
        self.pending: list[Future] = []

    def open(self) -> None:
        """Open store and experiment, tell it how earlier nights ended, create the parent run.

        Raises
        ------
        MlflowException, SQLAlchemyError, OSError
            One of `errors`, when the store does not answer in time; it may be tried again.
        """
        self.client = self._patiently(open_store)
        path = store_file()
        self.file = (path, path.stat().st_ino) if path else None
        self.experiment = experiment_id(self.client, self.facts.name)
        self._reconcile()
        self.tags = {
            OURS: f"{self.facts.name}/{self.folder.name}",
            "git.sha": self.facts.provenance["git_sha"],
            "git.dirty": self.facts.provenance["dirty"],
            "git.diff.sha256": hashlib.sha256(self.git["diff"]).hexdigest() if self.git["diff"] else "none",
            "mlflow.source.git.commit": self.facts.provenance["git_sha"],
            "data.sha256": self.shared["data"] or "none",
            "env.lock": self.shared["lock"],
            "code.sha256": self.shared["package"],
            "seed": str(self.shared["seed"]),
            "platform": self.facts.provenance["platform"],
            "python": self.facts.provenance["python"],
        }
        self.facts.parent_run_id = self._create(self.facts.name, self.facts.provenance["command"], "PROJECT", {})
        self.opened = True
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

    def _patiently(self, method: Callable, *arguments: Any) -> Any:
        """Ask a store that is away (restarting, locked) for a while; anything else is its answer."""
        attempts = Retrying(
            retry=retry_if_exception(self._is_away), stop=stop_after_delay(PATIENCE), wait=wait_fixed(1), reraise=True
        )
        return attempts(method, *arguments)

    def _is_away(self, error: BaseException) -> bool:
        code = getattr(error, "error_code", "TEMPORARILY_UNAVAILABLE")
        return isinstance(error, self.errors) and code in ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR")

    def _reconcile(self) -> None:
        """Tell the store how earlier nights of this experiment ended: we hold its lock, none of them goes on."""
        stale = self.client.search_runs(
            [self.experiment], f"attributes.status = 'RUNNING' AND tags.`{OURS}` LIKE '%'", max_results=1000
        )
        kill_orphans(run.info.run_id for run in stale)
        for night in unsettled(self.folder.parent):
            if night.folder.name == self.folder.name:
                continue
            for run_id, status in _ends(night).items():
                self._mark(run_id, status)
            for part in night.folder.rglob(".*.part"):
                part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                content = json.dumps({**night.run, "settled": True}, indent=2)
                write_text_atomic(night.folder / RUN_FILE, content + "\n")
        for run in stale:  # of a night whose folder is gone, or that was killed before it could write down the run's id
            self._mark(run.info.run_id, "KILLED", only="RUNNING")

    def _mark(self, run_id: str, status: str, only: str = "") -> None:
        """Correct a run's status, unless the store does not know the run."""
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if self._is_away(error):
                raise
            return
        if run.info.status == status or (only and run.info.status != only) or run.info.lifecycle_stage != "active":
            return
        LOG.warning("run %s said %s and is marked %s", run_id, run.info.status, status)
        self.client.set_tag(run_id, "stability.reconciled", f"said {run.info.status}; its runner could not mark it")
        self.client.set_terminated(run_id, status)

    def _create(self, name: str, source: str, kind: str, tags: Mapping[str, str]) -> str:
        mlflow_tags = {"mlflow.source.name": source, "mlflow.source.type": kind, "mlflow.user": account()}
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
        if not self.opened:
            return False
        try:
            run = self.client.get_run(run_id)
        except self.errors:
            return False
        return run.info.status == "FINISHED" and run.info.lifecycle_stage == "active"

    def start(self, step: StepFacts, tags: Mapping[str, str], recipe: Mapping[str, Any]) -> str:
        """Create a step's child run with the recipe to repeat it; one of `errors` when the store does not answer."""
        from mlflow.entities import Param

        if not self.opened:
            self.open()
        if self.file and not _is_same(*self.file):
            message = f"{self.file[0]} was removed or replaced while the night ran; the next one takes what is there"
            raise StoreLostError(message)
        run_id = self._patiently(
            self._create,
            step.key,
            step.notebook,
            "NOTEBOOK",
            {"mlflow.parentRunId": self.facts.parent_run_id, "stability.step": step.key, **tags},
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

    def close(self) -> bool:
        """Write the night's page, tell the store how everything ended; give whether the store took all of it."""
        self.pages.shutdown(wait=True)
        for future in self.pending:
            if future.exception():
                LOG.error("a step's page could not be made", exc_info=future.exception())
        self._count_looks()
        from stability.workbench import reporting

        note = "The page of this run could not be made."
        try:
            note = reporting.note_markdown(self.facts, folder=self.folder)
            write_text_atomic(self.folder / "index.html", reporting.index_page(self.facts, folder=self.folder))
        except Exception:  # a defect of ours or a full disk, and no reason to leave runs open
            LOG.exception("the page of this run could not be made")
        if not self.opened:
            return False
        try:
            self._settle(note)
        except self.errors as error:
            LOG.warning("the store was not told how the night ended; the next start does it: %s", brief(error))
            return False
        return True

    @_quietly
    def _count_looks(self) -> None:
        if self.opened:
            self.facts.test_parts = looks.count(self.client, self.facts.steps)

    def _settle(self, note: str) -> None:
        """Every run of this night ends as the summary says, also where the store was away when it happened."""
        from mlflow.entities import Metric as Logged

        for step in self.facts.steps:
            if step.run_id and step.status in ("finished", "failed"):
                self._mark(step.run_id, _status(step.status, step.error))
        ours = f"attributes.status = 'RUNNING' AND tags.`{OURS}` = '{self.tags[OURS]}'"
        for run in self.client.search_runs([self.experiment], ours):
            if run.info.run_id != self.facts.parent_run_id:
                self._mark(run.info.run_id, "KILLED")
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
        self.client.set_terminated(parent, PARENT.get(self.facts.status, "FAILED"))


PARENT = {"finished": "FINISHED", "interrupted": "KILLED"}


def _status(status: str, error: str | None) -> str:
    return "FINISHED" if status == "finished" else "KILLED" if error in KILLED else "FAILED"


def _ends(night: Night) -> dict[str, str]:
    """How each run of an earlier night ended, by its id; what a skipped step names is another night's."""
    ends = {
        step["run_id"]: _status(step["status"], step["error"])
        for step in night.steps.values()
        if step["run_id"] and step["status"] in ("finished", "failed")
    }
    if parent := night.run.get("parent_run_id"):
        ends[parent] = "KILLED" if night.verdict == "interrupted" else night.verdict.upper()
    return ends


def _is_same(path: Path, number: int) -> bool:
    return path.exists() and path.stat().st_ino == number


def brief(error: BaseException) -> str:
    """The first line of an error: a database's goes on with the statement and its values, and may name a password."""
    return redact(next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__))


def account() -> str:
    """Name the account that this process runs under, as the environment says."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or "unknown"


def shown(value: Any) -> str:
    """A parameter as MLflow keeps it: text as it is, anything else as JSON, without passwords and folders of ours."""
    return _text(value)[:LONGEST_PARAMETER]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return redact(text.replace(str(home()) + os.sep, ""))
