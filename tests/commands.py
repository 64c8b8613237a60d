"""The command line in a process of its own that need not import everything first: forked off one that has it all."""

import os
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from subprocess import CompletedProcess

IMPORTED = ["mlflow", "mlflow.store.tracking.sqlalchemy_store", "stability.cli"]
IMPORTED += [f"stability.workbench.{module}" for module in ("display", "data", "runner", "retention", "reproduction")]
CONTEXT = get_context("forkserver")
"""Processes that begin with everything imported: a night of a second should not wait for imports of five."""
CONTEXT.set_forkserver_preload(IMPORTED)


def stability(folder, *arguments, **environment):
    """Run `stability arguments` in a folder with an environment of its own."""
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place) / "stdout", Path(place) / "stderr"]
        process = CONTEXT.Process(target=_main, args=(str(folder), arguments, environment, *map(str, files)))
        process.start()
        process.join()
        return CompletedProcess(arguments, process.exitcode, *(file.read_text() for file in files))


def _main(folder, arguments, environment, stdout, stderr):
    for number, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["stability", *arguments]
    from stability.cli import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
