"""Kernels forked from a process that has imported MLflow already, where a test needs no real one.

An import of MLflow costs a kernel seconds, more than all else that it does. What is forked is IPython's own kernel, in
a session of its own with the environment, the folder and the log that it was given; only its environment in `/proc` is
its parent's, and what Python reads of it before anything else (`PYTHONHASHSEED`), so tests of these need real ones.
"""

import multiprocessing
import os
import subprocess
import sys
import threading

from commands import CONTEXT  # a process has one fork server, and what it imports first is said there


class Forked:
    """The part of `subprocess.Popen` that a kernel's manager uses."""

    stdin = stdout = stderr = None

    def __init__(self, command, *, env, cwd=None, stdout=None, stderr=None, **_):
        begun, begin = CONTEXT.Pipe(duplex=False)
        logs = [getattr(log, "name", None) for log in (stdout, stderr)]
        self._process = CONTEXT.Process(target=_kernel, args=(command, env, cwd, logs, begin), daemon=True)
        self._process.start()
        begin.close()
        self.pid = begun.recv()  # it has a session of its own from here on
        begun.close()

    def poll(self):
        """Exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout=None):
        """Exit code, once it is there."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("kernel", timeout)
        return self._process.exitcode

    def send_signal(self, number):
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """Kill it."""
        self._process.kill()

    def terminate(self):
        """Ask it to end."""
        self._process.terminate()


def _kernel(command, env, cwd, logs, begin):
    """What the forked process does: it becomes the kernel that `python -m ipykernel_launcher ...` would be."""
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
    for number, log in zip((1, 2), logs, strict=True):
        if log is not None:
            os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), number)
    sys.argv = command[command.index("ipykernel_launcher") :]
    begin.send(os.getpid())
    begin.close()
    threading.Thread(target=_follow, daemon=True).start()
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def _follow():
    """End with the tests' process, as a kernel ends with its runner."""
    multiprocessing.parent_process().join()
    os._exit(1)
