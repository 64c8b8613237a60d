"""The testbed from outside: start it, ask it, end it, and clean up after one that was killed."""

from __future__ import annotations

__all__ = ["ask", "client", "default_home", "down", "status", "up"]

import functools
import subprocess
import sys
import time
from pathlib import Path

import httpx

from stability.schema import ContractError, home
from stability.testbed.processes import clean_up, free_ports, read_state, running
from stability.testbed.service import LOOPBACK
from stability.testbed.upkeep import put_back, read_backup

PATIENCE = 120.0  # s for everything to be up; it takes some 10 s on two idle cores
ANSWER = 300.0  # s for an answer: a restore starts one process after the other, and a busy machine takes its time
TAIL = 12  # lines of what a supervisor printed that are shown when it did not come up


def default_home() -> Path:
    """Where the testbed keeps its files: below the workbench's runs, so that git and editors leave it alone."""
    return home() / "runs" / ".testbed"


def up(folder: Path, backup: Path | None = None) -> dict:
    """Start the service, and wait until all of it is healthy; whatever an earlier one left is removed first.

    Parameters
    ----------
    folder : Path
        The testbed's files.
    backup : Path, optional
        Of a testbed: begin with its models, configuration and features.

    Returns
    -------
    dict
        Its status.

    Raises
    ------
    ContractError
        It runs already, the backup is none, or it did not come up; then nothing of it is left.
    """
    state = read_state(folder)
    if state and running(state["supervisor"]):
        raise ContractError(f"the testbed in {folder} runs already", remedy="stability testbed down")
    if backup is not None:
        read_backup(backup)
    clean_up(folder)
    folder.mkdir(parents=True)
    if backup is not None:
        put_back(folder, backup)
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "stability.testbed.supervisor", "--home", str(folder), "--port", str(port)]
    with (folder / "supervisor.out").open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            found = client().get(f"http://{LOOPBACK}:{port}/status", timeout=5).json()
            if found["healthy"]:
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    process.kill()
    process.wait()
    said = "\n".join((folder / "supervisor.out").read_text(errors="replace").splitlines()[-TAIL:])
    clean_up(folder)
    raise ContractError(f"the testbed did not come up within {PATIENCE:g} s", got=said or "no word from it")


def down(folder: Path) -> list[str]:
    """Stop everything and remove its files.

    Parameters
    ----------
    folder : Path
        The testbed's files.

    Returns
    -------
    list of str
        Names of the processes that did not stop by themselves and were killed.
    """
    state = read_state(folder)
    supervisor = running(state["supervisor"]) if state else None
    if supervisor:
        try:
            client().post(_url(state, "/stop"), timeout=5)
            supervisor.wait(15)
        except (httpx.HTTPError, OSError, TimeoutError):
            pass
        except Exception as error:  # psutil's own timeout
            if type(error).__name__ not in ("TimeoutExpired", "NoSuchProcess"):
                raise
    return clean_up(folder)


def ask(folder: Path, path: str, /, body: dict | None = None, method: str = "POST", **query: object) -> dict:
    """Ask the supervisor for something.

    Parameters
    ----------
    folder : Path
        The testbed's files.
    path : str
        A route of the supervisor.
    body : dict, optional
        JSON.
    method : str
        Of HTTP.
    **query
        Of the address.

    Returns
    -------
    dict
        Its answer.

    Raises
    ------
    ContractError
        Nothing runs, or what it refuses, in its own words.
    """
    state = read_state(folder)
    if not state or not running(state["supervisor"]):
        raise ContractError(f"no testbed runs in {folder}", remedy="stability testbed up")
    try:
        response = client().request(method, _url(state, path), json=body, params=query, timeout=ANSWER)
    except httpx.HTTPError as error:
        raise ContractError(f"the testbed's supervisor does not answer: {type(error).__name__}") from None
    if not response.is_success:
        raise ContractError(_words(response))
    return response.json()


def status(folder: Path) -> dict:
    """Who runs, who answers, what is at work.

    Raises
    ------
    ContractError
        Nothing runs.
    """
    return ask(folder, "/status", method="GET")


@functools.cache
def client() -> httpx.Client:
    """One for all questions, each on a connection of its own: a new client reads all certificates first."""
    return httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))


def _url(state: dict, path: str) -> str:
    return f"http://{LOOPBACK}:{state['supervisor']['port']}{path}"


def _words(response: httpx.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError):
        return response.text
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in detail)
    return str(detail)
