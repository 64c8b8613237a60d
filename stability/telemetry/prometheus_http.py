"""The conversation with a Prometheus server: address, credentials, attempts, and what its answers mean."""

from __future__ import annotations

__all__ = ["PASSWORD", "TOKEN", "USER", "Series", "asker", "checked_url", "open_client"]

import logging
import os
from collections.abc import Callable

import httpx
import numpy as np
import tenacity

from stability.schema import ContractError

WAIT = 30.0  # s, the longest pause between two attempts
TOKEN, USER, PASSWORD = "STABILITY_PROMETHEUS_TOKEN", "STABILITY_PROMETHEUS_USER", "STABILITY_PROMETHEUS_PASSWORD"
BUSY = frozenset({408, 429, 500, 502, 503, 504})  # answers that another attempt may better

log = logging.getLogger(__name__)

Series = tuple[dict[str, str], list[list]]
"""Labels, and [[Unix seconds, text], ...] as the API writes them."""


def checked_url(url: str) -> str:
    """Return the address without a slash at its end, for requests and messages; refuse one that holds a secret."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise ContractError(expected="the address of a Prometheus server, http://host:9090", got="no URL") from None
    # The sign alone counts: without a scheme, "name:password@host" parses as something else and would be quoted below.
    if "@" in str(url) or parts.query or parts.fragment:
        raise ContractError(
            expected="an address without credentials, query and fragment, because addresses end up in logs",
            got="one that has them",
            remedy=f"put the token into {TOKEN}, or the name and password into {USER} and {PASSWORD}",
        )
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ContractError(expected="the address of a Prometheus server, http://host:9090", got=repr(url))
    return str(parts).rstrip("/")


def open_client(timeout: float) -> httpx.Client:
    """Open a client with the environment's credentials, which no message ever repeats."""
    token, user, password = (os.environ.get(name, "").strip() for name in (TOKEN, USER, PASSWORD))
    for name, secret in ((TOKEN, token), (USER, user), (PASSWORD, password)):
        # The HTTP library would quote what it cannot send; a name with a colon would hide the start of the password.
        if not secret.isprintable() or (name == TOKEN and not secret.isascii()) or (name == USER and ":" in secret):
            raise ContractError(f"{name} in the environment holds characters that HTTP cannot send")
    if user and not password and not token:
        raise ContractError(expected=f"{PASSWORD} in the environment beside {USER}", got="none")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    auth = httpx.BasicAuth(user, password) if user and not token else None
    return httpx.Client(auth=auth, headers=headers, timeout=timeout)


class _BusyError(Exception):
    """An answer that another attempt may better."""

    def __init__(self, response: httpx.Response):
        super().__init__(f"{response.status_code}, {_words(response)}")
        after = response.headers.get("Retry-After", "")
        self.after = float(after) if after.isdigit() else 0.0  # s


def asker(
    client: httpx.Client, url: str, timeout: float, retries: int, backoff: float
) -> Callable[[str, str, np.ndarray], list[Series]]:
    """Make the function that evaluates one query on one part of the grid, as often as it takes."""
    steps = tenacity.wait_exponential_jitter(multiplier=backoff, max=WAIT, jitter=backoff)

    def pause(state: tenacity.RetryCallState) -> float:
        return min(WAIT, max(steps(state), getattr(state.outcome.exception(), "after", 0.0)))

    @tenacity.retry(
        stop=tenacity.stop_after_attempt(retries + 1),
        wait=pause,
        retry=tenacity.retry_if_exception_type((httpx.TransportError, _BusyError)),
        before_sleep=tenacity.before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    def post(form: dict[str, str]) -> httpx.Response:
        response = client.post(f"{url}/api/v1/query_range", data=form)
        if response.status_code in BUSY:
            raise _BusyError(response)
        return response

    def ask(name: str, promql: str, grid: np.ndarray) -> list[Series]:
        width = grid[1] - grid[0] if len(grid) > 1 else 1_000_000
        form = {
            "query": promql,
            "start": _seconds(grid[0]),
            "end": _seconds(grid[-1]),
            "step": _seconds(width),
            "timeout": f"{max(1, round(timeout * 1_000))}ms",
        }
        try:
            response = post(form)
        except (httpx.RequestError, _BusyError) as error:
            said = str(error) or type(error).__name__
            raise ConnectionError(
                f"{url}: no result for {name!r} in {retries + 1} attempts; the last one: {said}. "
                "Is the server up, and its address right? More time: timeout=, retries=."
            ) from error
        return _result(response, url, name, promql)

    return ask


def _seconds(microseconds: int) -> str:
    """Write a moment or a width as the API reads it, to the millisecond and without rounding."""
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000 // 1_000:03d}"


def _words(response: httpx.Response) -> str:
    """Repeat what the server said: Prometheus's own words, or the beginning of any other text."""
    try:
        said = response.json()
        return f"{said['errorType']}: {said['error']}"
    except (ValueError, KeyError, TypeError):
        return " ".join(response.text.split())[:200] or response.reason_phrase


def _result(response: httpx.Response, url: str, name: str, promql: str) -> list[Series]:
    code = response.status_code
    if code in (401, 403):
        remedy = f"set {TOKEN}, or {USER} and {PASSWORD}, in the environment"
        raise ContractError(
            file=url, expected="credentials that the server accepts", got=f"{code}, {_words(response)}", remedy=remedy
        )
    try:
        answer = response.json()
        kind, result = answer["data"]["resultType"], answer["data"]["result"] or []  # some write null for none
    except (ValueError, KeyError, TypeError):
        if code in (400, 422):
            raise ContractError(
                file=url,
                column=name,
                expected="a query that the server accepts",
                got=_words(response),
                remedy=f"mend {promql!r}",
            ) from None
        raise ContractError(
            file=url,
            expected="an answer of Prometheus's HTTP API",
            got=f"{code}, {_words(response)}",
            remedy="give the server's address without /api/v1 or /graph, and with its path prefix if it has one",
        ) from None
    for warning in answer.get("warnings") or []:
        log.warning("%s: %s: %s", url, name, warning)
    if kind != "matrix" or any("histograms" in series for series in result):
        remedy = "ask for numbers: histogram_quantile(0.99, ...), histogram_count(...)"
        raise ContractError(file=url, column=name, expected="series of numbers", got="native histograms", remedy=remedy)
    return [(series["metric"], series["values"]) for series in result]
