"""The command line in a process of its own that need not import everything first: forked off one that has it all."""

import os
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from subprocess import CompletedProcess

IMPORTED = ["mlflow", "mlflow.store.tracking.sqlalchemy_store", "stability.cli"]
IMPORTED += [f"stability.workbench.{module}" for module in ("display", "data", "runner", "retention", "reproduction")]
IMPORTED += ["ipykernel.kernelapp", "pandas", "pyarrow.parquet", "scipy.stats"]  # of kernels: see `forking`
IMPORTED += [f"stability.{room}" for room in ("datasets", "detection", "evaluation")]
CONTEXT = get_context("forkserver")  # the one of its process
"""Processes that begin with everything imported: a night of a second should not wait for imports of five."""
CONTEXT.set_forkserver_preload(IMPORTED)


class Begun:
    """The part of `subprocess.Popen` that tests use: of `stability arguments`, or of `python -c code arguments`."""

    def __init__(self, folder, *arguments, **environment):
        self._place = tempfile.TemporaryDirectory()
        self._files = [Path(self._place.name) / "stdout", Path(self._place.name) / "stderr"]
        places = map(str, self._files)
        self._process = CONTEXT.Process(target=_main, args=(str(folder), arguments, environment, *places))
        self._process.start()

    @property
    def returncode(self):
        """Exit code, None while it runs."""
        return self._process.exitcode

    poll = returncode.fget

    def send_signal(self, number):
        """Send it a signal."""
        os.kill(self._process.pid, number)

    def communicate(self, timeout=None):
        """What it printed, once it ended, and what it complained of."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("stability", timeout)
        return tuple(file.read_text() for file in self._files)


def stability(folder, *arguments, **environment):
    """Run `stability arguments` in a folder with an environment of its own."""
    begun = Begun(folder, *arguments, **environment)
    said = begun.communicate()
    return CompletedProcess(arguments, begun.returncode, *said)


def _main(folder, arguments, environment, stdout, stderr):
    for number, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    try:
        if arguments[:1] == ("-c",):
            sys.argv = ["-c", *arguments[2:]]
            exec(arguments[1], {"__name__": "__main__"})  # a test's own words
            return
        sys.argv = ["stability", *arguments]
        from stability.cli import main

        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
