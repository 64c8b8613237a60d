"""A real Prometheus over the same samples: the reference of the subset, and the way for rules outside of it."""

from __future__ import annotations

__all__ = ["Reference", "installed", "loaded", "reference_evaluate", "reference_firings"]

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pandas as pd

from stability.rules.alerts import alert_episodes, firings_table
from stability.rules.files import Rule
from stability.rules.history import History, Series, grid_of, history_of
from stability.rules.remote_write import batches
from stability.rules.vectors import Labels, Vector
from stability.schema import ContractError
from stability.telemetry.prometheus_http import asker

POINTS = 11_000  # of one series in one answer; the server refuses more
TIMEOUT = 120.0  # s for one answer
_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
PATIENCE = 60.0  # s for the server to come up: a loaded machine needs some


def installed() -> str | None:
    """Path of the Prometheus on this machine, None without one."""
    return shutil.which("prometheus")


@dataclass(frozen=True)
class Reference:
    """A server on loopback that holds a history.

    Parameters
    ----------
    url : str
    history : History
    client : httpx.Client
        Through which it is spoken to.
    """

    url: str
    history: History
    client: httpx.Client = field(repr=False)

    def feed(self, series: Sequence[Series]) -> None:
        """Give the server samples; none may be an hour older than the newest that it has.

        Parameters
        ----------
        series : sequence of Series

        Raises
        ------
        ConnectionError
            If it does not take them.
        """
        for body in batches(series):
            answer = self.client.post(f"{self.url}/api/v1/write", content=body, headers=_HEADERS)
            if answer.status_code >= 300:
                raise ConnectionError(f"Prometheus did not take the samples: {answer.text.strip()[:400]}")

    def vector(self, expr: str, times: np.ndarray) -> Vector:
        """Have an expression evaluated, any that Prometheus knows.

        Parameters
        ----------
        expr : str
            PromQL.
        times : array of int64, shape (times,)
            Microseconds since 1970, whole milliseconds, evenly apart.

        Raises
        ------
        ContractError
            With the server's own words, where it refuses.
        ConnectionError
            If it gives no answer.
        """
        places = {int(stamp): k for k, stamp in enumerate(times)}
        rows: dict[Labels, tuple[np.ndarray, np.ndarray]] = {}
        ask = asker(self.client, self.url, TIMEOUT, 2, 0.2)
        for at in range(0, len(times), POINTS):
            for labels, samples in ask("expr", expr, times[at : at + POINTS]):
                key = tuple(sorted(labels.items()))
                values, present = rows.setdefault(key, (np.zeros(len(times)), np.zeros(len(times), dtype=bool)))
                found = [places[round(float(stamp) * 1_000) * 1_000] for stamp, _ in samples]
                values[found] = [float(text) for _, text in samples]
                present[found] = True
        if not rows:
            return Vector([], np.empty((0, len(times))), np.empty((0, len(times)), dtype=bool))
        return Vector(list(rows), *(np.vstack(part) for part in zip(*rows.values(), strict=True)))


@contextmanager
def loaded(history: History) -> Iterator[Reference]:
    """Start a Prometheus in a temporary folder, on loopback, and give it a history; it ends with the block.

    Parameters
    ----------
    history : History
        Its lookback becomes the server's.

    Raises
    ------
    FileNotFoundError
        If there is no Prometheus on this machine.
    ConnectionError
        If it does not start, or does not take the samples.
    """
    program = installed()
    if program is None:
        raise FileNotFoundError("prometheus is not installed (Debian: apt-get install -y prometheus)")
    with (
        tempfile.TemporaryDirectory(prefix="stability-rules-") as name,
        _server(program, Path(name), history) as url,
        # Nothing of the environment: no proxy lies between here and here, and no credentials are anyone's business.
        httpx.Client(timeout=TIMEOUT, trust_env=False) as client,
    ):
        reference = Reference(url, history, client)
        reference.feed(history.series)
        yield reference


def reference_evaluate(
    expr: str,
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
) -> pd.DataFrame:
    """Evaluate an expression as `stability.rules.evaluate`, by a real Prometheus.

    Parameters
    ----------
    expr, telemetry, step, labels, lookback
        As for `stability.rules.evaluate`; the expression may be any that Prometheus knows.

    Returns
    -------
    DataFrame of shape (times, series)

    Raises
    ------
    FileNotFoundError, ConnectionError, ContractError
        As `loaded` and `Reference.vector`.
    """
    times = _whole(grid_of(telemetry, step))
    with loaded(history_of(telemetry, labels, lookback)) as reference:
        return reference.vector(expr, times).frame(times)


def reference_firings(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
) -> pd.DataFrame:
    """Find episodes as `stability.rules.firings`, with expressions that a real Prometheus evaluates.

    A server holds alerts at its own clock alone; so `for` and `keep_firing_for` are applied here to what it gives.

    Parameters
    ----------
    rules, telemetry, step, labels, lookback
        As for `stability.rules.firings`; expressions may be any that Prometheus knows.

    Returns
    -------
    DataFrame
        As `stability.rules.firings`.

    Raises
    ------
    FileNotFoundError, ConnectionError, ContractError
        As `loaded` and `Reference.vector`.
    """
    times = _whole(grid_of(telemetry, step))
    with loaded(history_of(telemetry, labels, lookback)) as reference:
        found = [one for rule in rules for one in alert_episodes(rule, reference.vector(rule.expr, times), times)]
        return firings_table(found, reference.history.entities)


def _whole(times: np.ndarray) -> np.ndarray:
    if (times % 1_000).any():
        raise ContractError(
            column="timestamp", expected="evaluations at whole milliseconds", got="others", remedy="round timestamps"
        )
    return times


@contextmanager
def _server(program: str, folder: Path, history: History) -> Iterator[str]:
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Where there is setpriv (Linux), the server does not outlive a process that is killed.
    leash = [shutil.which("setpriv"), "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    command = [
        *leash,
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=200y",
        f"--query.lookback-delta={history.lookback // 1_000}ms",
        "--query.timeout=10m",
        "--web.enable-remote-write-receiver",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "log").open("w") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, url, folder / "log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen, url: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    with httpx.Client(timeout=1, trust_env=False) as client:
        while time.monotonic() < until and process.poll() is None:
            try:
                if client.get(f"{url}/-/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise ConnectionError(f"Prometheus did not start: {log.read_text()[-2_000:].strip()}")
