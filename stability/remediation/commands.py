"""systemd, Docker and Kubernetes through their own commands: fixed argument lists, checked names, no shell."""

from __future__ import annotations

__all__ = ["ENVIRONMENT", "cluster", "docker", "kubernetes", "run", "systemd"]

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence

from stability.remediation.inventory import Command, Kubernetes
from stability.remediation.outcomes import Outcome, Task, failed

ENVIRONMENT = (  # what the tools need to find their servers; nothing else of ours is handed to them
    "PATH",
    "HOME",
    "USER",
    "KUBECONFIG",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
)
UNDOES = ("roll_back_configuration", "roll_back_model")
REVISION = r"{.metadata.annotations.deployment\.kubernetes\.io/revision}"
REPLICAS = "{.spec.replicas}"
GRACE = 2.0  # s for a command to stop by itself when its time is over


def run(command: Sequence[str], timeout: float) -> tuple[Outcome, str]:
    """Run a command without a shell and with nothing to read; when its time is over, it and its children end.

    Returns
    -------
    Outcome
        'done' where it ended with 0.
    str
        What it printed.
    """
    told = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | {"LC_ALL": "C"}
    program = shutil.which(command[0])
    if program is None:
        return failed(f"no command {command[0]!r} on this machine"), ""
    try:
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=told,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return failed(f"{command[0]} could not be started: {error.strerror}"), ""
    try:
        said, _ = process.communicate(timeout=max(timeout, 0.0))
    except subprocess.TimeoutExpired:
        _end(process)
        return Outcome("timed_out", f"{' '.join(command[:3])} took longer than {timeout:.3g} s"), ""
    if process.returncode:
        return failed(f"{' '.join(command[:3])} ended with {process.returncode}: {said}"), said
    return Outcome("done", " ".join(command)), said


def _end(process: subprocess.Popen) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE)
            return


def _one_after_the_other(commands: Sequence[Sequence[str]], timeout: float, undo: dict | None = None) -> Outcome:
    """Run commands until one fails; all together have the time."""
    end, outcome = time.monotonic() + timeout, failed("nothing to run")
    for number, command in enumerate(commands):
        outcome, _ = run(command, end - time.monotonic())
        if outcome.status != "done":  # what the first one did can be taken back, although a later one failed
            return Outcome(outcome.status, outcome.detail, undo if number or outcome.status == "timed_out" else None)
    return Outcome("done", outcome.detail, undo)


def systemd(control: Command, task: Task) -> Outcome:
    """Restart or reload a unit, and see that it is active."""
    verb = {"restart": "restart", "reload": "reload"}[task.action]
    seen = ("systemctl", "is-active", "--quiet", "--", control.name)
    return _one_after_the_other([("systemctl", verb, "--", control.name), seen], task.timeout)


def docker(control: Command, task: Task) -> Outcome:
    """Restart a container, or tell it to reload as daemons are told (SIGHUP)."""
    commands = {
        "restart": ("docker", "restart", "--", control.name),
        "reload": ("docker", "kill", "--signal=HUP", "--", control.name),
    }
    return _one_after_the_other([commands[task.action]], task.timeout)


def cluster(control: Kubernetes) -> list[str]:
    """Arguments that say where a Deployment is."""
    return [f"--namespace={control.namespace}", *([f"--context={control.context}"] if control.context else [])]


def kubernetes(control: Kubernetes, task: Task, undo: dict | None = None) -> Outcome:
    """Restart, undo or scale a Deployment, and wait until the rollout is over; or take one of these back."""
    name = f"deployment/{control.deployment}"
    where = cluster(control)
    wait = ("kubectl", "rollout", "status", name, *where, f"--timeout={max(1, int(task.timeout))}s")
    if task.action == "restart":
        return _one_after_the_other([("kubectl", "rollout", "restart", name, *where), wait], task.timeout)
    asked, what = (REVISION, "a revision") if task.action in UNDOES else (REPLICAS, "the number of replicas")
    begun = time.monotonic()
    outcome, said = run(("kubectl", "get", name, *where, f"--output=jsonpath={asked}"), task.timeout)
    if outcome.status != "done":
        return outcome
    if not said.strip().isdecimal():
        return failed(f"expected {what} from kubectl, got {said!r}")
    now, left = int(said), task.timeout - (time.monotonic() - begun)
    if task.action in UNDOES:  # it goes back to what was there, also where the first undoing never arrived
        if undo and now > int(undo["revision"]) + 1:
            more = now - int(undo["revision"]) - 1
            return failed(f"{more} more revisions than we left: somebody has changed that since")
        to = [f"--to-revision={int(undo['revision'])}"] if undo else []
        forth = ("kubectl", "rollout", "undo", name, *where, *to)
        return _one_after_the_other([forth, wait], left, None if undo else {"revision": now})
    if undo and now != int(undo["replicas"]) + 1:
        return failed(f"{now} replicas, and {int(undo['replicas']) + 1} were left: somebody has changed that since")
    wanted = int(undo["replicas"]) if undo else now + 1
    if wanted > control.most:
        return failed(f"{now} replicas, and no more than {control.most} are allowed")
    # Nobody scales over somebody else's change: it fails when the number has moved meanwhile.
    scale = ("kubectl", "scale", name, *where, f"--current-replicas={now}", f"--replicas={wanted}")
    return _one_after_the_other([scale, wait], left, None if undo else {"replicas": now})
