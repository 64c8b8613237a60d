"""One execution of a plan: its steps in order and in parallel, and every fact of them written down at once."""

import contextlib
import hashlib
import json
import logging
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from stability.schema import ContractError, home, redact
from stability.workbench import data, kernels, looks, notification, provenance, reuse
from stability.workbench.facts import Metric, RunFacts, StepFacts
from stability.workbench.nights import RUN_FILE, latest_nights, new_folder, point, run_record, summaries
from stability.workbench.publishing import Publisher, brief
from stability.workbench.reporting.summary import check_metric, summary, write_text_atomic
from stability.workbench.signals import Ending
from stability.workbench.spec import Plan, Task
from stability.workbench.tracking import now, read_metrics, store_uri

__all__ = ["Listener", "Night", "RunnerBusyError"]

HISTORY = 30  # earlier runs that the page draws a line through
BALLAST = 2_000_000  # bytes kept for a night's last words: on a full disk they are given back for the summary
PATIENCE = 0.5  # seconds, after which a night that waits for its steps looks whether it is to end

LOG = logging.getLogger(__name__)

Listener = Callable[[RunFacts, StepFacts], None]


class RunnerBusyError(RuntimeError):
    """Another process runs the same experiment, or the disk is too full to begin."""


class Night:
    """One execution of a plan; all its facts are changed by the thread that called :func:`run`, and no other."""

    def __init__(
        self,
        plan: Plan,
        read: data.Data,
        runs: Path,
        executor: Executor,
        limit: int | None,
        fresh: bool,
        listener: Listener,
        ending: Ending,
    ) -> None:
        self.plan, self.runs, self.executor, self.fresh, self.listener = plan, runs, executor, fresh, listener
        self.data, self.limit, self.ending = read, limit, ending
        self.begun = time.monotonic()
        self.folder = new_folder(runs)
        self.ballast = self.folder / ".ballast"
        self.tasks = {task.key: task for task in plan.tasks}
        # A kernel may use its share of the cores and no more: numerical libraries would each take all of them.
        self.threads = str(max(1, (os.cpu_count() or 1) // (limit or plan.experiment.workers)))
        self.steps = {t.key: self._waiting(t) for t in plan.tasks}
        self.hashes: dict[str, str] = {}
        self.configurations: dict[str, str] = {}
        self.registry: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, dict[str, str]] = {}
        self.futures: dict[Future, str] = {}
        self.git = provenance.git_facts()
        self.shared = {
            "package": provenance.package_sha256(),
            "lock": provenance.lock_sha256(),
            "data": read.sha256,
            "dataset": read.parameters,
            "seed": plan.experiment.seed,
            "python": platform.python_version(),
        }
        self.facts = self._facts()
        self.publisher = Publisher(self.facts, self.folder, self.git, self.shared)

    def _waiting(self, task: Task) -> StepFacts:
        notebook = task.notebook
        with contextlib.suppress(ValueError):
            notebook = notebook.relative_to(home())
        return StepFacts(
            key=task.key,
            notebook=str(notebook),
            folder=self.folder / "steps" / reuse.folder_name(task.key),
            in_summary=task.in_summary,
            parameters=task.parameters,
        )

    def _facts(self) -> RunFacts:
        experiment = self.plan.experiment
        return RunFacts(
            name=self.plan.name,
            question=experiment.question,
            status="running",
            started=now(),
            steps=list(self.steps.values()),
            headline=list(experiment.headline),
            dataset=self.data.said,
            provenance={
                "git_sha": self.git["git_sha"],
                "dirty": self.git["dirty"],
                "diff": hashlib.sha256(self.git["diff"]).hexdigest() if self.git["diff"] else "",
                "package": self.shared["package"],
                "lock": self.shared["lock"],
                "seed": experiment.seed,
                "platform": platform.platform(),
                "python": platform.python_version(),
                "command": f"stability run {_short(self.plan.path)}",
                "store": redact(store_uri()),
            },
            history=summaries(self.runs, HISTORY),
            before=self._before(),
        )

    def _before(self) -> dict[str, Any]:
        """What the night before was made of; the new folder of this one has nothing in it yet."""
        nights = latest_nights(self.runs, 1)
        if not nights:
            return {}
        record = dict(nights[0].run)
        sha = record.get("provenance", {}).get("git_sha", "none")
        return {"record": record, "files": provenance.changed_files(sha, self.git["git_sha"])}

    def go(self) -> RunFacts:
        """Run everything that can run; write the truth after every step."""
        if not self._write():
            message = f"{self.folder}: expected a folder that can be written to, got an error (above). Free some disk."
            raise RunnerBusyError(message)
        point(self.runs / "latest", self.folder)
        try:
            self._prepare()
            self._loop()
            self._headlines()
        except KeyboardInterrupt:
            self._interrupted()
            raise
        except BaseException:
            kernels.kill_all()
            self._cancel()
            self.facts.status = "failed"
            self._close()
            raise
        self.facts.status = "failed" if any(s.status == "failed" for s in self.steps.values()) else "finished"
        self._close()
        return self.facts

    def _prepare(self) -> None:
        with contextlib.suppress(OSError):
            self.ballast.write_bytes(bytes(BALLAST))
        try:
            self.publisher.open()
        except self.publisher.errors as error:  # each step asks again, and says so where there is still no answer
            LOG.warning("the store did not answer: %s", brief(error))
        self._write()

    def _loop(self) -> None:
        order = TopologicalSorter({key: task.needs for key, task in self.tasks.items()})
        order.prepare()
        ready: deque[str] = deque()
        while order.is_active():
            self.ending.check()
            ready.extend(order.get_ready())
            while ready and not self.ending.asked and (self.limit is None or len(self.futures) < self.limit):
                key = ready.popleft()
                future = self._start(self.tasks[key])
                if future is None:
                    order.done(key)
                    ready.extend(order.get_ready())
                else:
                    self.futures[future] = key
            done, _ = wait(self.futures, PATIENCE, return_when=FIRST_COMPLETED)
            for future in done:
                key = self.futures.pop(future)
                self._finish(self.tasks[key], future)
                order.done(key)

    def _start(self, task: Task) -> Future | None:
        """Hand a step to the executor, or settle it at once: skipped, blocked, or the store is gone."""
        step = self.steps[task.key]
        broken = [n for n in task.needs if n not in self.outputs]
        if broken:
            step.status, step.error = "blocked", f"needs {', '.join(broken)}, which did not finish"
            return self._changed(step)
        try:
            self.registry[task.key] = _registry(task)
        except self.publisher.errors as error:
            step.status, step.error = "failed", f"the store did not answer: {brief(error)}"
            return self._changed(step)
        outputs = {n: self.outputs[n] for n in task.needs}
        self.hashes[task.key] = reuse.step_hash(task, self.shared, outputs, self.registry[task.key])
        needed = {n: self.configurations[n] for n in task.needs}
        self.configurations[task.key] = looks.configuration(task.notebook, self._parameters(task), needed)
        found = None if self.fresh or not task.cache else reuse.find(self.runs, task, self.hashes[task.key])
        if found and self.publisher.has_finished(found[1].run_id):
            self._repeat(step, *found)
            return self._changed(step)
        try:
            step.run_id = self.publisher.start(step, self._tags(task), self._recipe(task))
        except self.publisher.errors as error:
            step.status, step.error = "failed", f"the store did not answer: {brief(error)}"
            return self._changed(step)
        step.status = "running"
        self._changed(step)
        return self.executor.submit(kernels.execute, self._job(task))

    def _repeat(self, step: StepFacts, folder: Path, record: reuse.Record) -> None:
        try:
            self._check(step, record.metrics)
            reuse.link_tree(folder, step.folder)
        except (ContractError, OSError) as error:
            step.status, step.error = "failed", f"{type(error).__name__}: {error}"
            return
        step.status, step.run_id, step.metrics, step.repeats = "skipped", record.run_id, record.metrics, record.started
        self.outputs[step.key] = record.outputs
        self._collect(step)

    def _tags(self, task: Task) -> dict[str, str]:
        return {"stability.hash": self.hashes[task.key], looks.CONFIGURATION: self.configurations[task.key]}

    def _parameters(self, task: Task) -> dict[str, Any]:
        """The spec's parameters, and of the runner's own those that the notebook declares."""
        from stability.workbench.spec import declared_parameters

        own = {
            "inputs": {n: str(self.steps[n].folder) for n in task.needs},
            "output": str(self.steps[task.key].folder),
            "seed": self.plan.experiment.seed,
            "registry": self.registry[task.key],
            **self.data.parameters,
        }
        declared = declared_parameters(task.notebook)
        return {**task.parameters, **{name: value for name, value in own.items() if name in declared}}

    def _recipe(self, task: Task) -> dict[str, Any]:
        """All that it takes to run the step again elsewhere, beside what the run's tags and the night's files say."""
        return {
            "notebook": self.steps[task.key].notebook,
            "notebook_sha256": provenance.file_sha256(task.notebook),
            "parameters": self._parameters(task),
            "inputs": {n: {"run_id": self.steps[n].run_id, "tables": self.outputs[n]} for n in task.needs},
            "environment": self._settings(),
            "timeout": task.timeout,
        }

    def _settings(self) -> dict[str, str]:
        """Variables of a kernel that may change the last bits of a result."""
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        return {"PYTHONHASHSEED": str(self.plan.experiment.seed), **dict.fromkeys(threads, self.threads)}

    def _job(self, task: Task) -> kernels.Job:
        step = self.steps[task.key]
        return kernels.Job(
            key=task.key,
            notebook=str(task.notebook),
            folder=str(step.folder),
            parameters=self._parameters(task),
            env={
                "MLFLOW_RUN_ID": step.run_id,
                "MLFLOW_TRACKING_URI": store_uri(),
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "STABILITY_HOME": str(home()),
                **self._settings(),
            },
            timeout=task.timeout,
            retries=task.retries,
        )

    def _finish(self, task: Task, future: Future) -> None:
        step = self.steps[task.key]
        try:
            outcome = future.result()
        except Exception as error:  # noqa: BLE001  a worker that died with its executor is a failed step
            outcome = kernels.Outcome(task.key, 0.0, 1, type(error).__name__, f"{type(error).__name__}: {error}")
        step.seconds, step.attempts = outcome.seconds, outcome.attempts
        error, step.traceback = outcome.error, outcome.traceback
        if outcome.finished:
            try:
                step.metrics = read_metrics(step.folder)
                self._check(step, step.metrics)
                self.outputs[task.key] = reuse.outputs(step.folder)
                started = self.facts.started.isoformat(timespec="seconds")
                reuse.write_record(step, self.hashes[task.key], started)
            except (ContractError, OSError, ValueError) as wrong:
                error = f"{type(wrong).__name__}: {wrong}"
        self._settle(step, error)
        self.publisher.finish(step)
        self._tell(step)

    def _settle(self, step: StepFacts, error: str | None) -> None:
        """Say how a step ended, first of all in the summary: whoever is killed after this has told the truth."""
        metrics = dict(self.facts.metrics)
        step.status, step.error = ("failed", error) if error else ("finished", None)
        if not error:
            self._collect(step)
        if not self._write() and not error:
            step.status, step.error = "failed", "the summary could not be written: is the disk full?"
            self.facts.metrics = metrics
        if step.status == "failed":
            self.outputs.pop(step.key, None)
            (step.folder / reuse.RECORD).unlink(missing_ok=True)

    def _check(self, step: StepFacts, metrics: Mapping[str, Metric]) -> None:
        """One name, one step; and each metric as the summary demands it."""
        for name, metric in metrics.items() if step.in_summary else ():
            check_metric(name, metric, source=f"step {step.key}")
            if name in self.facts.metrics:
                raise ContractError(
                    file=f"step {step.key}",
                    column=name,
                    expected="a metric that one step logs",
                    got="a name that an earlier step has logged",
                    remedy="give it a name of its own",
                )

    def _collect(self, step: StepFacts) -> None:
        """Take a step's metrics into the run's summary."""
        if step.in_summary:
            self.facts.metrics = {**self.facts.metrics, **step.metrics}

    def _headlines(self) -> None:
        """A headline that nobody measured is a failure of the night, not a gap on its page."""
        missing = [name for name in self.facts.headline if name not in self.facts.metrics]
        ran = [s for s in self.steps.values() if s.in_summary and s.status == "finished"]
        if missing and ran and not any(s.status == "failed" for s in self.steps.values()):
            last = ran[-1]
            last.status = "failed"
            last.error = f"no step logged the headline metric {', '.join(missing)}"
            (last.folder / reuse.RECORD).unlink(missing_ok=True)
            self._changed(last)  # the store learns of it when the night is closed

    def _interrupted(self) -> None:
        kernels.kill_all()
        self._cancel()
        for step in self.steps.values():
            if step.status in ("running", "waiting"):
                step.error = "interrupted" if step.status == "running" else "not run: the night was interrupted"
                step.status = "failed"
        self.facts.status = "interrupted"
        self._close()

    def _cancel(self) -> None:
        for future in self.futures:
            future.cancel()

    def _close(self) -> None:
        self.ballast.unlink(missing_ok=True)  # from here on there are only last words
        self._write()
        settled = self.publisher.close()
        self._write(settled=settled)
        try:
            notification.send(*notification.message(self.facts, self.folder), bad=self.facts.status != "finished")
        except Exception:  # a message is no reason to fail
            LOG.exception("the message of this night could not be written")

    def _changed(self, step: StepFacts) -> None:
        self._write()
        self._tell(step)

    def _tell(self, step: StepFacts) -> None:
        try:
            self.listener(self.facts, step)
        except Exception as error:  # noqa: BLE001  a terminal that was closed is no reason to end the night
            LOG.warning("nobody is told of the steps any more: %s", error)
            self.listener = lambda run, step: None

    def _write(self, *, settled: bool = False) -> bool:
        """Write down where everything stands; on a full disk with the room that was kept for it."""
        self.facts.seconds = time.monotonic() - self.begun
        # The summary comes last: what it says counts.
        texts = {RUN_FILE: run_record(self.facts, self.hashes, settled=settled), "summary.json": summary(self.facts)}
        for _ in range(2):
            try:
                for name, content in texts.items():
                    write_text_atomic(self.folder / name, json.dumps(content, indent=2, default=str) + "\n")
                return True
            except OSError as error:
                LOG.error("%s: %s", self.folder, error)
                self.ballast.unlink(missing_ok=True)
        return False


def _registry(task: Task) -> dict[str, Any]:
    """What the aliases of the models that a step reads mean as it begins."""
    if not task.reads:
        return {}
    from stability.workbench.registry import state  # imports what predicts

    return {name: state(name) for name in task.reads}


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(home()))
    return str(path)
