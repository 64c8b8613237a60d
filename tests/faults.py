"""Faults of many kinds at any moment of a night, and what must hold after each; for a short test and for the soak."""

import ctypes
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from commands import CONTEXT

SMALL_DISK = 24_000_000  # bytes: the store and a night fit, and a filler takes what is left
# Heeds a file beside the workbench, so that a step can fail tonight and not tomorrow with the same parameters.
TABLES = (
    "k = 1\npause = 0.0\nfault = ''\noutput = ''",
    """import os, pathlib, time
import pandas as pd
from stability.schema import write_table
def trouble():
    said = pathlib.Path(fault).read_text() if os.path.exists(fault) else ''
    if said == 'raise':
        raise ValueError('a cell went wrong')
    if said == 'hang':
        time.sleep(600)
    if said == 'die':
        os.kill(os.getpid(), 9)""",
    """for i in range(3):
    write_table(pd.DataFrame({'x': range(20_000 * k)}), f'{output}/t{i}.parquet', 'other')
    time.sleep(pause)
    if i == 1:
        trouble()""",
)
LOGGED = (
    *TABLES,
    """import mlflow
from stability.workbench import tracking
tracking.connect()
with mlflow.start_run():
    tracking.log(output=output, estimates={f'g{k}.e': (1.0, 0.5, 1.5)})
    tracking.log_tables(output, {'made': pd.DataFrame({'x': [k]})})
time.sleep(pause)""",
)
KINDS = (
    "kernel killed",
    "runner killed",
    "runner terminated",
    "runner interrupted",
    "cell exception",
    "kernel died",
    "timeout",
    "store locked",
    "store removed",
    "store unreachable",
    "disk full",
    "two runners",
)
LONGEST = 40.0  # seconds, of a usual night on a busy machine
INTERRUPTED = 130
BUSY = 75
KILLED = ("interrupted", "not run: the night was interrupted")


def fork_kernels():
    """Fork the kernels of this process off the server that it came from itself, which has imported all that they do."""
    from multiprocessing import forkserver

    from forking import Forked
    from jupyter_client.provisioning import local_provisioner

    forkserver._forkserver.ensure_running = lambda: None  # it would start one of its own
    local_provisioner.launch_kernel = lambda command, **options: Forked(command, **options)


def night(folder, path, real=True):
    """Run a night in this process, which is a child; its exit code tells the end."""
    os.environ["STABILITY_HOME"] = str(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if not real:
        fork_kernels()
    from stability.workbench import runner
    from stability.workbench.spec import load_plan

    log = (Path(folder).parent / "nights.log").open("a")
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    try:
        facts = runner.run(load_plan(path))
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    except runner.RunnerBusyError:
        os._exit(BUSY)
    os._exit(0 if facts.status == "finished" else 1)


def kernels_of(folder):
    """Kernels of this workbench that are alive, as psutil processes."""
    found = []
    for process in psutil.process_iter():
        try:
            environment, command = process.environ(), process.cmdline()
        except psutil.Error:
            continue
        if environment.get("STABILITY_HOME") == str(folder) and any("ipykernel_launcher" in word for word in command):
            found.append(process)
    return found


class Trial:
    """A workbench in which one night after the other meets a fault.

    Parameters
    ----------
    bench
        A `Workbench`.
    rng
        A `random.Random`: the moments.
    pause
        Seconds that the notebooks rest between their tables, so that a fault finds them at work.
    real
        Whether kernels are interpreters of their own, which import everything; it may change from night to night.
    """

    def __init__(self, bench, rng, pause=0.2, real=True):
        self.bench, self.rng, self.pause, self.real = bench, rng, pause, real
        self.count, self.length = 0, 6.0 if real else 2.5
        self.store_is_new_since = 0.0
        self.logs = True  # whether a step on a small disk writes into the store, too
        bench.notebook("tables.ipynb", TABLES)
        bench.notebook("logged.ipynb", LOGGED)
        self.empty_store = bench.folder.parent / "empty.db"
        shutil.copy(bench.folder / "mlflow.db", self.empty_store)

    def new_experiment(self):
        """Steps that never ran: `a` and `c` begin at once, `b` after `a`, `d` after both."""
        self.count += 1
        self.spec()

    def spec(self, timeouts=None):
        """Write the experiment; timeouts are no part of what a step's result depends on."""
        steps = {}
        for name, notebook, needs in (("a", "tables", []), ("c", "logged", []), ("b", "tables", ["a"])):
            parameters = {
                "k": 1 + (self.count + ord(name)) % 3,
                "pause": self.pause + self.count * 1e-6,
                "fault": str(self.file(name)),
            }
            steps[name] = {"notebook": f"{notebook}.ipynb", "parameters": parameters, "needs": needs, "retries": 0}
            steps[name]["timeout"] = (timeouts or {}).get(name, 300)
        self.path = self.bench.spec(steps)
        self.steps = list(steps)

    def file(self, name):
        return self.bench.folder.parent / f"fault-{name}"

    def start(self):
        process = CONTEXT.Process(target=night, args=(self.bench.folder, self.path, self.real))
        process.start()
        return process

    def undisturbed(self):
        """A night without a fault; returns its exit code and what its steps became."""
        begun = time.monotonic()
        process = self.start()
        process.join()
        told = self.told()
        if list(told.values()).count("finished") > 1:  # a night that skips its steps says nothing of a usual length
            self.length = min(time.monotonic() - begun, LONGEST)
        return process.exitcode, told

    def summaries(self):
        """Every night's folder and summary, oldest first; each must be one."""
        from stability.workbench.reporting import read_summary

        folders = [p for p in sorted((self.bench.folder / "runs" / "exp").glob("*Z*")) if (p / "summary.json").exists()]
        return [(folder, read_summary(folder / "summary.json")) for folder in folders]

    def told(self):
        return {key: step["status"] for key, step in self.summaries()[-1][1]["steps"].items()}

    # faults ---------------------------------------------------------------------------------------------------------

    def fault(self, kind, moment=None):
        """Run a night in which something happens at a moment (a share of a usual night's length); describe it."""
        moment = self.rng.random() * 1.1 if moment is None else moment
        if kind == "disk full":
            return self.disk_full(moment)
        victim = self.rng.choice(self.steps)
        if kind in ("cell exception", "kernel died", "timeout"):
            said = {"cell exception": "raise", "kernel died": "die", "timeout": "hang"}[kind]
            self.file(victim).write_text(said)
            if kind == "timeout":
                self.spec({victim: 6})
        process = self.start()
        if kind not in ("cell exception", "kernel died", "timeout"):
            deadline = time.monotonic() + moment * self.length
            while process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.02)
            getattr(self, kind.replace(" ", "_"))(process)
        process.join()
        code = process.exitcode
        self.restore()
        return f"{kind}, at {moment:.2f} of {self.length:.1f} s, step {victim}, exit {code}"

    def restore(self):
        for name in self.steps:
            self.file(name).unlink(missing_ok=True)
        aside = self.bench.folder / "mlflow.aside"
        if aside.exists():
            (self.bench.folder / "mlflow.db").unlink(missing_ok=True)
            aside.rename(self.bench.folder / "mlflow.db")
        self.spec()

    def kernel_killed(self, process):
        while process.is_alive() and not (found := kernels_of(self.bench.folder)):
            time.sleep(0.05)
        if process.is_alive():
            self.rng.choice(found).kill()

    def runner_killed(self, process):
        process.kill()

    def runner_terminated(self, process):
        self.signal(process, signal.SIGTERM)

    def runner_interrupted(self, process):
        self.signal(process, signal.SIGINT)

    def signal(self, process, number):
        """Not before the runner listens: until then a signal ends a process that has done nothing yet."""
        while process.is_alive() and not self.begun_after(process):
            time.sleep(0.02)
        if process.is_alive():
            os.kill(process.pid, number)

    def begun_after(self, process):
        runs = self.bench.folder / "runs" / "exp"
        files = runs.glob("*Z*/run.json")
        return any(f'"process": {process.pid}' in file.read_text() for file in files if file.exists())

    def store_locked(self, process):
        seconds = min(25.0, self.rng.expovariate(1 / 6))

        def hold():
            connection = sqlite3.connect(self.bench.folder / "mlflow.db", timeout=30, isolation_level=None)
            try:
                connection.execute("begin immediate")
                time.sleep(seconds)
                connection.execute("rollback")
            finally:
                connection.close()

        thread = threading.Thread(target=hold)
        thread.start()
        process.join()
        thread.join()

    def store_removed(self, process):
        (self.bench.folder / "mlflow.db").unlink()
        process.join()
        if not (self.bench.folder / "mlflow.db").exists():
            shutil.copy(self.empty_store, self.bench.folder / "mlflow.db")  # what the next night would make in seconds
        self.store_is_new_since = time.time()

    def store_unreachable(self, process):
        store = self.bench.folder / "mlflow.db"
        store.rename(self.bench.folder / "mlflow.aside")
        store.symlink_to("/nowhere/mlflow.db")
        process.join()

    def two_runners(self, process):
        while process.is_alive() and not self.begun_after(process):
            time.sleep(0.02)
        before = len(self.summaries())
        if not process.is_alive():
            return
        second = self.start()
        second.join()
        # Kept apart, or the first had ended by then.
        assert second.exitcode == BUSY or not process.is_alive(), second.exitcode
        assert second.exitcode != BUSY or len(self.summaries()) == before

    def disk_full(self, moment):
        """The whole fault, its check and its recovery in a name space of its own, where a small disk is mounted."""
        arguments = (self.bench.folder, moment, self.length, self.count, self.logs)
        process = CONTEXT.Process(target=_on_a_small_disk, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == 0, (Path(self.bench.folder).parent / "nights.log").read_text()[-4_000:]
        return f"disk full, at {moment:.2f} of {self.length:.1f} s, recovered in place"

    def stored(self):
        """Status of every run in the store by its id; read without MLflow, which would keep a removed file open."""
        connection = sqlite3.connect(self.bench.folder / "mlflow.db", timeout=30)
        try:
            return dict(connection.execute("select run_uuid, status from runs where lifecycle_stage = 'active'"))
        finally:
            connection.close()

    # what must hold -------------------------------------------------------------------------------------------------

    def check_disk(self):
        """What must hold at once, also after SIGKILL: true summaries, whole tables."""
        for folder, summary in self.summaries():
            for key, step in summary["steps"].items():
                where = (folder.name, key, step)
                done = step["status"] == "finished" or (step["status"] == "skipped" and step["run_id"])
                tables = list((folder / "steps" / key).glob("*.parquet"))
                if done:
                    record = json.loads((folder / "steps" / key / "step.json").read_text())
                    assert {t.name for t in tables} == set(record["outputs"]), where
                    assert len(tables) >= 3, where
                if step["status"] == "failed":
                    assert step["error"], where
            ends = {step["status"] for step in summary["steps"].values()}
            assert summary["status"] == ("failed" if "failed" in ends or summary["status"] == "failed" else "finished")
        for table in (self.bench.folder / "runs").rglob("*.parquet"):
            with pq.ParquetFile(table, page_checksum_verification=True) as file:
                file.read()
        assert (self.bench.folder / "runs" / "exp" / "latest").exists() or not self.summaries()

    def check_store(self):
        """What must hold after the next start: nothing open, nothing mislabelled."""
        runs = self.stored()
        assert "RUNNING" not in runs.values(), runs
        for folder, summary in self.summaries():
            parent = json.loads((folder / "run.json").read_text())["parent_run_id"]
            if parent in runs:
                said = runs[parent]
                assert (said == "FINISHED") == (summary["status"] == "finished"), (folder.name, said, summary)
            for key, step in summary["steps"].items():
                if step["run_id"] not in runs:
                    earlier = datetime.fromisoformat(summary["started"]).timestamp() <= self.store_is_new_since
                    assert not step["run_id"] or earlier, (folder.name, key)
                    continue
                said = runs[step["run_id"]]
                wanted = {"finished": "FINISHED", "skipped": "FINISHED"}.get(
                    step["status"], "KILLED" if step["error"] in KILLED else "FAILED"
                )
                assert said == wanted, (folder.name, key, step, said)

    def recover(self):
        """An undisturbed night finishes, runs what is missing and nothing else."""
        before = self.finished_runs()
        code, told = self.undisturbed()
        assert code == 0, (code, told, self.summaries()[-1][1])
        for key, status in told.items():
            assert status == ("skipped" if key in before else "finished"), (key, told, before)
        self.check_disk()
        self.check_store()

    def finished_runs(self):
        """Steps of the present experiment that some night finished and the store still knows."""
        stored = self.stored()
        found = {}
        for folder, summary in self.summaries():
            kept = json.loads((folder / "run.json").read_text())["steps"]
            for key, step in summary["steps"].items():
                same = kept[key]["parameters"].get("pause") == self.pause + self.count * 1e-6
                if same and step["status"] == "finished" and step["run_id"] in stored:
                    found[key] = step["run_id"]
        return found


def can_mount():
    """Whether this machine lets us mount a small disk in a name space of its own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    probe = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def _on_a_small_disk(folder, moment, length, count, logs):
    """In a child: mount, fill the disk at the moment, check, make room, recover, check."""
    import random
    import traceback

    log = (Path(folder).parent / "nights.log").open("a")
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(0x00020000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWNS
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        from workbenches import Workbench

        small = Path(folder).parent / "small"
        small.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", small], check=True)
        from stability.workbench import runner

        runner.LEAST_FREE_DISK = 0
        bench = Workbench(small / "workbench")
        shutil.copy(Path(folder).parent / "empty.db", bench.folder / "mlflow.db")
        trial = Trial(bench, random.Random(count))
        trial.count, trial.length = count, length
        if not logs:
            bench.notebook("logged.ipynb", TABLES)
        trial.spec()
        child = os.fork()
        if child == 0:
            night(bench.folder, trial.path)
        deadline = time.monotonic() + moment * length
        while time.monotonic() < deadline or not (bench.folder / "runs" / "exp" / "latest").exists():
            time.sleep(0.02)
            if os.waitpid(child, os.WNOHANG)[0]:
                child = None
                break
        filler = small / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        if child:
            os.waitpid(child, 0)
        trial.check_disk()
        filler.unlink()
        before = trial.finished_runs()
        child = os.fork()
        if child == 0:
            night(bench.folder, trial.path)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told = trial.told()
        assert code == 0, (code, trial.summaries()[-1])
        assert all(status == ("skipped" if key in before else "finished") for key, status in told.items()), (
            told,
            before,
        )
        trial.check_disk()
        trial.check_store()
    except BaseException:
        traceback.print_exc(file=log)
        log.flush()
        os._exit(1)
    os._exit(0)
