"""What is done over HTTP: the testbed's supervisor, routes of the entity's own, and signed webhooks."""

from __future__ import annotations

__all__ = ["ask", "http", "sign", "supervised", "webhook"]

import contextlib
import hashlib
import hmac
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from stability.remediation.inventory import Http, Testbed, Webhook, checked
from stability.remediation.outcomes import Outcome, Task, failed
from stability.schema import ContractError, home, unlogged

MOST = 1 << 16  # bytes of an answer that are read: what is needed of it is a few words
PROCESS = re.compile(r"[a-z][a-z0-9-]{0,62}")
REPLICA = "model-"  # how the testbed's replicas are called
SHORTEST = 16  # bytes of a key: a shorter one can be guessed


def ask(
    method: str, url: str, timeout: float, *, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[Outcome, dict]:
    """Ask an address for something, once: what was asked may have been done although no answer came.

    All of it takes no longer than `timeout`, however slowly bytes drip in; redirects are not followed, and proxies of
    the environment are not used.

    Returns
    -------
    Outcome
        'done' for an answer of 2xx; the address is never in its words.
    dict
        The answer, where it is a JSON object.
    """
    most = max(timeout, 0.001)
    end = time.monotonic() + most
    late = Outcome("timed_out", f"no whole answer within {timeout:.3g} s"), {}
    told = {"Content-Type": "application/json"} | dict(headers or {})
    try:
        with (
            unlogged("httpx"),  # an address may hold a secret
            httpx.Client(timeout=most, trust_env=False, follow_redirects=False) as client,
            _cut_off(most) as trace,
            client.stream(method, url, content=body, headers=told, extensions={"trace": trace}) as response,
        ):
            said = b""
            for piece in response.iter_bytes():
                said += piece
                if len(said) > MOST:
                    return failed(f"an answer of more than {MOST:,} bytes with status {response.status_code}"), {}
        if time.monotonic() > end:
            return late
    except httpx.TimeoutException:
        return late
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return late if time.monotonic() > end else (failed(f"no answer: {type(error).__name__}"), {})
    try:
        found = json.loads(said)
    except ValueError:
        found = {}
    found = found if isinstance(found, dict) else {}
    if response.is_success:
        return Outcome("done", f"answered {response.status_code}"), found
    words = found.get("detail") or said.decode(errors="replace")
    return failed(f"answered {response.status_code}: {words}"), found


@contextlib.contextmanager
def _cut_off(seconds: float) -> Iterator[Callable[[str, Mapping[str, Any]], None]]:
    """Cut the connection when the time is over: a client's own timeout is one of each wait, not of all of them.

    Yields
    ------
    callable
        The request's `trace` (HTTPX, *Extensions*), which learns of the connection.
    """
    known: list[socket.socket] = []
    over = threading.Event()

    def cut() -> None:
        over.set()
        for one in known:
            with contextlib.suppress(OSError):  # it has ended by itself
                one.shutdown(socket.SHUT_RDWR)

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            known.append(info["return_value"].get_extra_info("socket"))
            if over.is_set():
                cut()

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()


# ---- the testbed ----------------------------------------------------------------------------------------------------
def supervised(control: Testbed, task: Task, undo: dict | None = None) -> Outcome:
    """Ask the supervisor of the testbed, or have taken back what it was asked for."""
    if not PROCESS.fullmatch(task.entity):
        return failed(f"{task.entity!r} is no name of a process")
    try:
        address = control.address()
    except ContractError as error:
        return failed(str(error))
    end = time.monotonic() + task.timeout
    verbs = {"restart": "restart", "reload": "reload", "clean_disk": "clean"}
    verbs |= dict.fromkeys(("roll_back_configuration", "roll_back_model"), "rollback")
    if task.action in verbs:
        return ask("POST", f"{address}/processes/{task.entity}/{verbs[task.action]}", task.timeout)[0]
    if task.action == "restore":
        return ask("POST", f"{address}/restore?folder={quote(str(home() / control.backup), safe='')}", task.timeout)[0]
    outcome, status = ask("GET", f"{address}/status", task.timeout)
    if outcome.status != "done":
        return outcome
    processes = status.get("processes", {})
    if task.action == "scale_out":
        if not task.entity.startswith(REPLICA):
            return failed(f"{task.entity} is no replica: there can be no more of it")
        now = sum(name.startswith(REPLICA) for name in processes)
        if undo and now != int(undo["replicas"]) + 1:
            return failed(f"{now} replicas, and {int(undo['replicas']) + 1} were left: somebody has changed that since")
        wanted = int(undo["replicas"]) if undo else now + 1
        if wanted > control.most:
            return failed(f"{now} replicas, and no more than {control.most} are allowed")
        outcome, _ = ask("POST", f"{address}/scale/{wanted}", end - time.monotonic())
        return Outcome(outcome.status, outcome.detail, None if undo else {"replicas": now})
    if task.entity not in processes or "gateway" not in processes:
        return failed(f"no {task.entity} behind a gateway: there are {', '.join(processes)}")
    port, drained = int(processes["gateway"]["port"]), "false" if undo else "true"
    url = f"http://127.0.0.1:{port}/admin/drain/{task.entity}?drained={drained}"
    outcome, _ = ask("POST", url, end - time.monotonic())
    return Outcome(outcome.status, outcome.detail, None if undo else {"drained": task.entity})


# ---- routes of the entity's own -----------------------------------------------------------------------------------
def http(control: Http, task: Task, undo: dict | None = None) -> Outcome:
    """Send an empty POST to the route that does it, or takes it back."""
    there = {
        "reload": (control.reload, None),
        "roll_back_configuration": (control.roll_back, None),
        "shed_load": (control.shed, control.unshed),
        "fail_over": (control.drain, control.undrain),
    }
    forth, back = there[task.action]
    headers = {"X-Stability-Delivery": task.delivery}
    if control.token:
        token = os.environ.get(control.token)
        if not token:
            return failed(f"the variable {control.token} holds no token")
        headers["Authorization"] = f"Bearer {token}"
    outcome, _ = ask("POST", back if undo else forth, task.timeout, headers=headers)
    return Outcome(outcome.status, outcome.detail, {"route": "back"} if back and not undo else None)


# ---- webhooks ----------------------------------------------------------------------------------------------------
def sign(key: bytes, body: bytes) -> str:
    """Sign a body: HMAC with SHA-256 (RFC 2104), in the form that GitHub made usual.

    Examples
    --------
    >>> sign(b"k" * 16, b"{}")[:23]
    'sha256=4bde3c95375d8d2a'
    """
    return f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"


def webhook(control: Webhook, task: Task, undo: dict | None = None) -> Outcome:
    """Tell an automation outside what to do, signed; moment and name of the delivery are under the signature.

    A receiver checks the signature, refuses what is old, and does nothing for a delivery that it has seen.
    """
    names = (control.url, control.secret, *control.keys.values())
    if missing := [name for name in names if not os.environ.get(name)]:
        return failed(f"the variable {missing[0]} is not set")
    try:
        checked(os.environ[control.url])
    except ValueError as error:
        return failed(f"the variable {control.url} holds no such thing: {error}")
    key = os.environ[control.secret].encode()
    if len(key) < SHORTEST:
        return failed(f"the variable {control.secret} holds a key of fewer than {SHORTEST} bytes")
    said = {"delivery": task.delivery, "at": task.at, "action": task.action, "entity": task.entity}
    said |= {"undo": undo} if undo else {}
    body = json.dumps(said | {"facts": task.facts}, sort_keys=True).encode()
    headers = {header: os.environ[name] for header, name in control.keys.items()}
    headers |= {control.header: sign(key, body), "X-Stability-Delivery": task.delivery}
    outcome, _ = ask("POST", os.environ[control.url], task.timeout, body=body, headers=headers)
    return Outcome(outcome.status, outcome.detail, None if undo else {"delivery": task.delivery})
