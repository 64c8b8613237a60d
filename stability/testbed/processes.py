"""The processes of the testbed: started so that they end with their parent, named in a file, found again and ended."""

from __future__ import annotations

__all__ = ["Child", "clean_up", "end_with_parent", "free_ports", "read_state", "running", "write_state"]

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from stability.testbed.service import LOOPBACK

STATE = "state.json"
SAME = 1.0  # s by which the begin of a process may differ between two looks and it is the same process
PATIENCE = 5.0  # s for a process to end before it is killed


@dataclass
class Child:
    """A process of the testbed.

    Parameters
    ----------
    name : str
        The entity, or what else it is.
    command : list of str
        What to run.
    port : int
        Where it listens.
    folder : Path
        Gets `<name>.out`: what it prints.
    """

    name: str
    command: list[str]
    port: int
    folder: Path
    process: subprocess.Popen | None = None
    wanted: bool = True
    starts: int = 0

    def start(self) -> None:
        """Start it. Must be called by the thread that lives as long as the supervisor: Linux ties the end to it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{self.name}.out").open("ab") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=out, stderr=out, preexec_fn=end_with_parent
            )
        self.wanted, self.starts = True, self.starts + 1

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Tell it to stop, or kill it."""
        if self.alive:
            self.process.send_signal(number)

    def facts(self) -> dict:
        """What is written down of it."""
        if not self.alive:
            return {"port": self.port}
        with contextlib.suppress(psutil.NoSuchProcess):
            return {"port": self.port, "pid": self.process.pid, "begun": psutil.Process(self.process.pid).create_time()}
        return {"port": self.port}


def end_with_parent() -> None:
    """Be killed when the parent dies, on Linux: between fork and exec, for programs that know no other way."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind((LOOPBACK, 0))
        return [opened.getsockname()[1] for opened in sockets]


def write_state(home: Path, state: dict) -> None:
    """Write down who runs, in one step."""
    draft = home / f".{STATE}.{os.getpid()}"
    draft.write_text(json.dumps(state, indent=1), encoding="utf-8")
    draft.replace(home / STATE)


def read_state(home: Path) -> dict | None:
    """Read who runs, or ran; None where nothing was ever started or all was removed."""
    try:
        return json.loads((home / STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def running(facts: dict) -> psutil.Process | None:
    """The process that was written down, if it is still this one and not a later one with its number."""
    if "pid" not in facts:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(facts["pid"])
        if abs(process.create_time() - facts["begun"]) < SAME and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def clean_up(home: Path) -> list[str]:
    """End whatever an earlier testbed left, and remove its folder.

    Parameters
    ----------
    home : Path
        The testbed's folder.

    Returns
    -------
    list of str
        Names of the processes that had to be ended.
    """
    state = read_state(home)
    processes = {"supervisor": state["supervisor"], **state["children"]} if state else {}
    found = {name: process for name, facts in processes.items() if (process := running(facts))}
    for process in found.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(found.values(), timeout=PATIENCE)
    for _ in range(50):  # a process that just ended may have written a file meanwhile
        shutil.rmtree(home, ignore_errors=True)
        if not home.exists():
            break
        time.sleep(0.1)
    return list(found)
