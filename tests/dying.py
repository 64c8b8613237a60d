"""A verb of backups in a process of its own that is killed; what a test imports is not imported there."""

import itertools
import os
import signal
from pathlib import Path

CHANGES = ("rename", "replace", "unlink", "rmdir", "link", "fsync", "mkdir")  # of the disk


def until_killed(verb, home, flag, options):
    """In a process of its own: say that it begins, then do it until it is killed."""
    os.environ["STABILITY_HOME"] = home
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    from stability import backup

    getattr(backup, verb)  # imports
    Path(flag).touch()
    getattr(backup, verb)(**options)


def at_step(verb, home, flag, step, options):
    """In a process of its own: kill -9 itself just before its step-th change of the disk; say how many there were."""
    os.environ["STABILITY_HOME"] = home
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    from stability import backup

    call, done = getattr(backup, verb), itertools.count()

    def counted(change):
        def changed(*arguments, **options):
            if next(done) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*arguments, **options)

        return changed

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    call(**options)
    Path(flag).write_text(str(next(done)))
