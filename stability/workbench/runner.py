"""A plan executed: in order, in parallel, tracked, resumable, with every end written down as it was."""

import contextlib
import shutil
from concurrent.futures import Executor, ThreadPoolExecutor

from stability.schema import ContractError, home, redact
from stability.workbench import data, kernels, notification
from stability.workbench.execution import Listener, Night, RunnerBusyError
from stability.workbench.facts import RunFacts
from stability.workbench.nights import LOCK, PRUNING
from stability.workbench.signals import terminate_as_interrupt
from stability.workbench.spec import Plan
from stability.workbench.tracking import locked

__all__ = ["RunnerBusyError", "run"]

LEAST_FREE_DISK = 500_000_000  # bytes: a night writes some tens of MB, a full disk breaks more than the night
# A reader of the lock (`stability status`) holds it for a moment; somebody who still has it after this runs a night.
LOCK_PATIENCE = 1.0  # seconds


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
        After Ctrl-C, SIGTERM or SIGHUP, when every run and the summary have been marked.
    """
    with contextlib.ExitStack() as stack:
        try:
            night = _begin(plan, stack, fresh, executor, workers, listener)
        except (RunnerBusyError, ContractError) as error:
            if not isinstance(error.__cause__, BlockingIOError):  # the night that runs will tell of itself
                notification.send(f"{plan.name} DID NOT START", redact(str(error)), bad=True)
            raise
        with night.ending.deferred():
            return night.go()


def _begin(
    plan: Plan,
    stack: contextlib.ExitStack,
    fresh: bool,
    executor: Executor | None,
    workers: int | None,
    listener: Listener,
) -> Night:
    """Everything that may refuse a night: the lock, the disk, the data."""
    runs = home() / "runs" / plan.name
    runs.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(runs).free
    if free < LEAST_FREE_DISK:
        message = f"{runs}: expected {LEAST_FREE_DISK / 1e6:.0f} MB of free disk, got {free / 1e6:.0f} MB. Free some."
        raise RunnerBusyError(message)
    with locked(runs.parent / PRUNING):
        pass
    try:
        stack.enter_context(locked(runs / LOCK, patience=LOCK_PATIENCE))
    except BlockingIOError as error:
        message = f"{plan.name} is running already (lock {runs / LOCK}). Wait for it, or stop it."
        raise RunnerBusyError(message) from error
    ending = stack.enter_context(terminate_as_interrupt())
    limit = None  # an executor of somebody else's knows best how much it can take
    if executor is None:
        limit = workers or plan.experiment.workers
        executor = stack.enter_context(ThreadPoolExecutor(limit, "kernel"))
    kernels.allow_kernels()
    read = data.settle(plan.experiment.dataset, plan.data_sha256, plan.path)
    return Night(plan, read, runs, executor, limit, fresh, listener, ending)
