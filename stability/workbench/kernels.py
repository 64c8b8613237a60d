"""One notebook in a kernel of its own: executed, timed, killed when it must be, and always left readable."""

import contextlib
import dataclasses
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_none
from traitlets.config import Config

__all__ = ["Job", "Outcome", "allow_kernels", "execute", "kill_all", "kill_orphans"]

ENGINE = "stability"
# After the deadline the kernel is interrupted first, so that the notebook shows the line it hung at; then killed.
GRACE = 5.0  # seconds
# A Unix socket's path holds 107 characters; beyond this the kernel falls back to TCP.
LONGEST_IPC_FOLDER = 90
STDERR_LINES = 40
# Causes that a second attempt may cure; an exception of the notebook's own code would only come again.
TRANSIENT = ("DeadKernelError", "CellTimeoutError")
# MLflow's progress bar asks for widgets at its import, and would print a warning about them into every notebook.
QUIET = {"PYTHONWARNINGS": "ignore:IProgress not found"}
# What a kernel does not get from the runner's environment: a backend that somebody chose for scripts would leave the
# notebook without pictures, and where messages go to is a secret of the runner's.
WITHHELD = ("MPLBACKEND", "STABILITY_NOTIFY")


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that a worker needs to execute one notebook; plain data, so that any executor can carry it."""

    key: str
    notebook: str
    folder: str
    parameters: dict[str, Any]
    env: dict[str, str]
    timeout: float
    retries: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job; `cause` is the name of the exception that ended it."""

    key: str
    seconds: float
    attempts: int
    cause: str | None = None
    error: str | None = None
    traceback: str | None = None

    @property
    def finished(self) -> bool:
        """Whether every cell ran."""
        return self.cause is None


class _Kernels:
    """The process groups of the kernels that are alive in this process, to be killed on Ctrl-C."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self.closed = False

    @contextlib.contextmanager
    def alive(self, group: int) -> Any:
        """Count a kernel in while the block runs."""
        with self._lock:
            self._groups.add(group)
            if self.closed:
                _kill(group, signal.SIGKILL)
        try:
            yield
        finally:
            with self._lock:
                self._groups.discard(group)

    def kill(self) -> None:
        """Kill every kernel and let none start any more."""
        with self._lock:
            self.closed = True
            for group in self._groups:
                _kill(group, signal.SIGKILL)

    def open(self) -> None:
        """Let kernels start again."""
        with self._lock:
            self.closed = False


_KERNELS = _Kernels()


def kill_all() -> None:
    """Kill the kernels of this process at once; their jobs end with the cause `DeadKernelError`, without a retry."""
    _KERNELS.kill()


def allow_kernels() -> None:
    """Undo :func:`kill_all` before a new run in the same process."""
    _KERNELS.open()


def kill_orphans(run_ids: Iterable[str]) -> int:
    """Kill kernels whose runner is gone, so that none writes to its run after this; give how many there were.

    Parameters
    ----------
    run_ids
        MLflow runs that nobody may be working at any more; a kernel carries its own in its environment.
    """
    import psutil

    wanted, killed = set(run_ids), 0
    for process in psutil.process_iter() if wanted else ():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("MLFLOW_RUN_ID") in wanted:
                process.kill()
                process.wait(timeout=GRACE)
                killed += 1
    return killed


def _kill(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class _Client(PapermillNotebookClient):
    """papermill's client with a deadline for the whole notebook, and the truth about kernels that died.

    Without it a killed kernel leaves cells marked "completed" and a notebook without an error (papermill #125).
    """

    def papermill_execute_cells(self) -> None:
        group = self.km.provisioner.pgid if self.km.provisioner.pgid else self.km.provisioner.pid
        self.expired = False
        timers = [threading.Timer(self.deadline, self._expire, [group, signal.SIGINT])]
        timers.append(threading.Timer(self.deadline + GRACE, self._expire, [group, signal.SIGKILL]))
        with _KERNELS.alive(group):
            for timer in timers:
                timer.daemon = True
                timer.start()
            try:
                self._run_cells()
            finally:
                for timer in timers:
                    timer.cancel()

    def _expire(self, group: int, number: signal.Signals) -> None:
        self.expired = True
        _kill(group, number)

    def _run_cells(self) -> None:
        for index, cell in enumerate(self.nb.cells):
            failed = None
            try:
                self.nb_man.cell_start(cell, index)
                self.execute_cell(cell, index)
            except (CellExecutionError, DeadKernelError) as error:
                failed = error
            if self.expired:
                failed = CellTimeoutError(f"the notebook ran longer than its timeout of {self.deadline:g} s")
            if failed is not None:
                self.nb_man.cell_exception(cell, index, exception=failed)
                if not isinstance(failed, CellExecutionError):
                    _blame(cell, failed)
            self.nb_man.cell_complete(cell, index)
            if isinstance(failed, CellExecutionError):
                return
            if failed is not None:
                raise failed  # not a word more to a kernel that does not answer

    def execute(self, **kwargs: Any) -> Any:
        """Run the cells; a kernel that is gone by then has been blamed on its cell already."""
        try:
            return super().execute(**kwargs)
        except (DeadKernelError, CellTimeoutError, RuntimeError):
            if not self.nb.metadata.papermill.get("exception"):
                raise
            return self.nb


def _blame(cell: Any, error: Exception) -> None:
    """Write an error that no kernel could report into the cell that it interrupted, in front of a stray one."""
    name = type(error).__name__
    seen = [o for o in cell.outputs if o.output_type == "error"]
    lines = [line for o in seen for line in o.traceback]
    cell.outputs = [o for o in cell.outputs if o.output_type != "error"]
    cell.outputs.append(new_output("error", ename=name, evalue=str(error), traceback=[*lines, f"{name}: {error}"]))


class _Engine(NBClientEngine):
    """papermill's engine, with an environment, a folder, a log and a deadline for each kernel."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, job: Job, log: Any, start_timeout: int = 60, **_: Any
    ) -> Any:
        """Execute `nb_man.nb` in a fresh kernel."""
        config = Config()
        with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
            # Sockets in a folder of their own cannot collide, ports can (papermill #511).
            if len(sockets) < LONGEST_IPC_FOLDER:
                config.KernelManager.transport = "ipc"
                config.KernelManager.ip = f"{sockets}/ipc"
            client = _Client(
                nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, timeout=None, config=config
            )
            client.deadline = job.timeout
            environment = QUIET | {k: v for k, v in os.environ.items() if k not in WITHHELD} | job.env
            return client.execute(env=environment, cwd=str(Path(job.notebook).parent), stdout=log, stderr=log)


papermill_engines.register(ENGINE, _Engine)


def execute(job: Job) -> Outcome:
    """Execute a notebook, again after a dead kernel or a timeout, and say what became of it; never raises.

    Parameters
    ----------
    job
        `timeout` is in seconds for the whole notebook; `retries` counts further attempts.

    Returns
    -------
    Outcome
        Seconds are wall time over all attempts. `<folder>/notebook.ipynb` is the executed notebook in every case
        in which the kernel started; `kernel.log` there holds what the kernel's process itself printed.
    """
    started = time.monotonic()
    attempts = Retrying(
        stop=stop_after_attempt(1 + job.retries),
        wait=wait_none(),
        retry=retry_if_result(lambda outcome: outcome.cause in TRANSIENT and not _KERNELS.closed),
        retry_error_callback=lambda state: state.outcome.result(),
    )
    outcome = attempts(_attempt, job)
    return dataclasses.replace(
        outcome,
        seconds=time.monotonic() - started,
        attempts=attempts.statistics["attempt_number"],
    )


def _attempt(job: Job) -> Outcome:
    folder = Path(job.folder)
    log_file = folder / "kernel.log"
    if _KERNELS.closed:
        return Outcome(job.key, 0.0, 1, "Interrupted", "interrupted before it began")
    try:
        _empty(folder)
        with log_file.open("wb") as log:
            execute_notebook(
                job.notebook,
                str(folder / "notebook.ipynb"),
                parameters=job.parameters,
                engine_name=ENGINE,
                progress_bar=False,
                job=job,
                log=log,
            )
    except PapermillExecutionError as error:
        text = "\n".join(error.traceback)
        return _failure(job, error.ename, f"{error.ename}: {error.evalue}", text, log_file)
    except Exception as error:  # noqa: BLE001  whatever it is, it must become a fact about this step
        return _failure(job, type(error).__name__, f"{type(error).__name__}: {error}", "", log_file)
    with contextlib.suppress(OSError):  # an empty log more or less is no reason to fail
        if not log_file.read_bytes().strip():
            log_file.unlink()
    return Outcome(job.key, 0.0, 1)


def _empty(folder: Path) -> None:
    """Nothing of an attempt that failed may look like a result of the next."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()


def _failure(job: Job, cause: str, error: str, text: str, log_file: Path) -> Outcome:
    tail: list[str] = []
    with contextlib.suppress(OSError):
        tail = log_file.read_text(errors="replace").strip().splitlines()[-STDERR_LINES:]
    if tail:
        text = "\n".join([text, "What the kernel's process printed last:", *tail]).strip()
    first = next((line for line in error.splitlines() if line.strip()), cause)
    return Outcome(job.key, 0.0, 1, cause, first[:500], text or error)
