"""A plan executed: in order, in parallel, tracked, resumable, with every end written down as it was."""

import contextlib
import json
import logging
import os
import platform
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from stability.schema import ContractError, home
from stability.workbench import data, kernels, provenance, reuse
from stability.workbench.facts import RunFacts, StepFacts
from stability.workbench.publishing import Publisher
from stability.workbench.reporting.summary import check_metric, read_summary, summary, write_text_atomic
from stability.workbench.spec import Plan, Task
from stability.workbench.tracking import locked, now, read_metrics

__all__ = ["RunnerBusyError", "run"]

LEAST_FREE_DISK = 500_000_000  # bytes: a night writes some tens of MB, a full disk breaks more than the night
HISTORY = 30  # earlier runs that the page draws a line through

Listener = Callable[[RunFacts, StepFacts], None]


class RunnerBusyError(RuntimeError):
    """Another process runs the same experiment, or the disk is too full to begin."""


def run(
    plan: Plan,
    *,
    fresh: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    listener: Listener = lambda run, step: None,
) -> RunFacts:
    """Execute a plan and leave `runs/<name>/<timestamp>/` with page, summary, notebooks and tables, and MLflow's runs.

    Parameters
    ----------
    plan
        A checked plan.
    fresh
        Run every step, also where nothing changed.
    executor
        Where notebooks run: any `concurrent.futures.Executor` that sees the same files (threads by default; a kernel
        is a process of its own). It is left open.
    workers
        Notebooks at a time, instead of the plan's; ignored when an executor is given.
    listener
        Called after every change of a step, from one thread.

    Returns
    -------
    RunFacts
        `status` is `finished` or `failed`; a failed step never raises.

    Raises
    ------
    RunnerBusyError
        When the same experiment is running already or the disk is nearly full.
    ContractError
        When a live source cannot be read; nothing has started then.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when every run and the summary have been marked.
    """
    runs = home() / "runs" / plan.name
    runs.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(runs).free
    if free < LEAST_FREE_DISK:
        message = f"{runs}: expected {LEAST_FREE_DISK / 1e6:.0f} MB of free disk, got {free / 1e6:.0f} MB. Free some."
        raise RunnerBusyError(message)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(runs / ".lock", wait=False))
        except BlockingIOError:
            message = f"{plan.name} is running already (lock {runs / '.lock'}). Wait for it, or stop it."
            raise RunnerBusyError(message) from None
        stack.enter_context(_terminate_as_interrupt())
        if executor is None:
            executor = stack.enter_context(ThreadPoolExecutor(workers or plan.experiment.workers, "kernel"))
        kernels.allow_kernels()
        read = data.settle(plan.experiment.dataset, plan.data_sha256, plan.path)
        return _Night(plan, read, runs, executor, workers or plan.experiment.workers, fresh, listener).go()


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM (cron, systemd, kill) end a night as Ctrl-C does: with everything marked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Night:
    """One execution of a plan; all its facts are changed by the thread that called :func:`run`, and no other."""

    def __init__(
        self, plan: Plan, read: data.Data, runs: Path, executor: Executor, workers: int, fresh: bool, listener: Listener
    ) -> None:
        self.plan, self.runs, self.executor, self.fresh, self.listener = plan, runs, executor, fresh, listener
        self.data = read
        self.begun = time.monotonic()
        self.folder = _new_folder(runs)
        self.tasks = {task.key: task for task in plan.tasks}
        # A kernel may use its share of the cores and no more: numerical libraries would each take all of them.
        self.threads = str(max(1, (os.cpu_count() or 1) // workers))
        self.steps = {t.key: self._waiting(t) for t in plan.tasks}
        self.hashes: dict[str, str] = {}
        self.outputs: dict[str, dict[str, str]] = {}
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
        self.publisher = Publisher(self.facts, self.folder, self.git)

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
        from stability.workbench.tracking import store_uri

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
                "package": self.shared["package"],
                "lock": self.shared["lock"],
                "seed": experiment.seed,
                "platform": platform.platform(),
                "python": platform.python_version(),
                "command": f"stability run {_short(self.plan.path)}",
                "store": store_uri(),
            },
            history=_history(self.runs, self.folder),
        )

    def go(self) -> RunFacts:
        """Run everything that can run; write the truth after every step."""
        self._write()
        _point(self.runs / "latest", self.folder)
        try:
            self.publisher.open(self.shared)
            self._loop()
            self._headlines()
        except KeyboardInterrupt:
            self._interrupted()
            raise
        except BaseException:
            kernels.kill_all()
            self._close("FAILED")
            raise
        self.facts.status = "failed" if any(s.status == "failed" for s in self.steps.values()) else "finished"
        self._close("FINISHED" if self.facts.status == "finished" else "FAILED")
        return self.facts

    def _loop(self) -> None:
        order = TopologicalSorter({key: task.needs for key, task in self.tasks.items()})
        order.prepare()
        futures: dict[Future, str] = {}
        while order.is_active():
            for key in order.get_ready():
                future = self._start(self.tasks[key])
                if future is None:
                    order.done(key)
                else:
                    futures[future] = key
            if not futures:
                continue
            done, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                key = futures.pop(future)
                self._finish(self.tasks[key], future)
                order.done(key)

    def _start(self, task: Task) -> Future | None:
        """Hand a step to the executor, or settle it at once: skipped, blocked, or the store is gone."""
        step = self.steps[task.key]
        broken = [n for n in task.needs if n not in self.outputs]
        if broken:
            step.status, step.error = "blocked", f"needs {', '.join(broken)}, which did not finish"
            return self._changed(step)
        self.hashes[task.key] = reuse.step_hash(task, self.shared, {n: self.outputs[n] for n in task.needs})
        found = None if self.fresh or not task.cache else reuse.find(self.runs, task, self.hashes[task.key])
        if found and self.publisher.has_finished(found[1].run_id):
            self._repeat(step, *found)
            return self._changed(step)
        try:
            step.run_id = self.publisher.start(step, self.hashes[task.key], self._recipe(task))
        except self.publisher.errors as error:
            step.status, step.error = "failed", f"the store did not answer: {error}"
            return self._changed(step)
        step.status = "running"
        self._changed(step)
        return self.executor.submit(kernels.execute, self._job(task))

    def _repeat(self, step: StepFacts, folder: Path, record: reuse.Record) -> None:
        reuse.link_tree(folder, step.folder)
        step.status, step.run_id, step.metrics, step.repeats = "skipped", record.run_id, record.metrics, record.started
        self.outputs[step.key] = record.outputs
        self._collect(step)

    def _parameters(self, task: Task) -> dict[str, Any]:
        """The spec's parameters, and of the runner's own those that the notebook declares."""
        from stability.workbench.spec import declared_parameters

        own = {
            "inputs": {n: str(self.steps[n].folder) for n in task.needs},
            "output": str(self.steps[task.key].folder),
            "seed": self.plan.experiment.seed,
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
                "MLFLOW_TRACKING_URI": self.facts.provenance["store"],
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
        step.error, step.traceback = outcome.error, outcome.traceback
        step.status = "finished" if outcome.finished else "failed"
        if outcome.finished:
            try:
                step.metrics = read_metrics(step.folder)
                self._collect(step)
                self.outputs[task.key] = reuse.outputs(step.folder)
                started = self.facts.started.isoformat(timespec="seconds")
                reuse.write_record(step, self.hashes[task.key], started)
            except (ContractError, OSError, ValueError) as error:
                step.status, step.error = "failed", f"{type(error).__name__}: {error}"
                self.outputs.pop(task.key, None)
        self.publisher.finish(step)
        self._changed(step)

    def _collect(self, step: StepFacts) -> None:
        """Take a step's metrics into the run's summary: one name, one step."""
        if not step.in_summary:
            return
        for name, metric in step.metrics.items():
            check_metric(name, metric, source=f"step {step.key}")
            if name in self.facts.metrics:
                raise ContractError(
                    file=f"step {step.key}",
                    column=name,
                    expected="a metric that one step logs",
                    got="a name that an earlier step has logged",
                    remedy="give it a name of its own",
                )
        self.facts.metrics |= step.metrics

    def _headlines(self) -> None:
        """A headline that nobody measured is a failure of the night, not a gap on its page."""
        missing = [name for name in self.facts.headline if name not in self.facts.metrics]
        ran = [s for s in self.steps.values() if s.in_summary and s.status == "finished"]
        if missing and ran and not any(s.status == "failed" for s in self.steps.values()):
            last = ran[-1]
            last.status = "failed"
            last.error = f"no step logged the headline metric {', '.join(missing)}"
            (last.folder / reuse.RECORD).unlink(missing_ok=True)
            self._changed(last)

    def _interrupted(self) -> None:
        kernels.kill_all()
        for step in self.steps.values():
            if step.status in ("running", "waiting"):
                started = step.status == "running"
                step.error = "interrupted" if started else "not run: the night was interrupted"
                step.status = "failed"
                if started:
                    self.publisher.kill(step)
        self.facts.status = "failed"
        self._close("KILLED")

    def _close(self, status: str) -> None:
        self._write()
        self.publisher.close(status)
        self._write()

    def _changed(self, step: StepFacts) -> None:
        self._write()
        self.listener(self.facts, step)

    def _write(self) -> None:
        self.facts.seconds = time.monotonic() - self.begun
        write_text_atomic(self.folder / "summary.json", json.dumps(summary(self.facts), indent=2) + "\n")


def _new_folder(runs: Path) -> Path:
    """A folder named by the second; two runs within one second get different ones."""
    stamp = now().strftime("%Y-%m-%dT%H-%M-%SZ")
    for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
        with contextlib.suppress(FileExistsError):
            (runs / f"{stamp}{suffix}").mkdir()
            return runs / f"{stamp}{suffix}"
    raise AssertionError


def _point(link: Path, folder: Path) -> None:
    """Let `latest` name this run, in one step: a reader never finds it missing."""
    temporary = link.with_name(f".latest.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name, target_is_directory=True)
    temporary.replace(link)


def _history(runs: Path, current: Path) -> list[Mapping[str, Any]]:
    earlier = [p for p in sorted(runs.glob("*/summary.json")) if p.parent.resolve() != current.resolve()]
    found = []
    for path in [p for p in earlier if not p.parent.is_symlink()][-HISTORY:]:
        try:
            found.append(read_summary(path))
        except ContractError as error:
            logging.getLogger(__name__).warning("left out of the history: %s", error)
    return found


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(home()))
    return str(path)
