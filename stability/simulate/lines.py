"""What entities can say: for each symptom several wordings, and how often it is said."""

from __future__ import annotations

__all__ = ["LINES", "Line", "Symptoms", "filled"]

import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

GATEWAY, MODEL, STORE = "gateway", "model_server", "feature_store"
SERVICES, CALLERS, HOSTS = (GATEWAY, MODEL, STORE), (GATEWAY, MODEL), ("cpu_host", "gpu_host")


@dataclass
class Symptoms:
    """What an entity can notice at each sample, arrays of shape (entities, samples).

    `usual` is the lines of chatter, `failed` and `refused` are failed requests (all, and those that failed in a service
    called); `slow` is how far the latency lies above 0.8 of the promised one; `memory`, `descriptors`, `queue`, `disk`
    and `cpu` are shares of their limits; `loss` is a share of packets; `throttled` is the share of the clock that is
    missing; `wrong` the share of wrong answers beyond the usual; `drift` and `missing` are those of the features.
    """

    usual: np.ndarray
    failed: np.ndarray
    refused: np.ndarray
    slow: np.ndarray
    memory: np.ndarray
    descriptors: np.ndarray
    queue: np.ndarray
    loss: np.ndarray
    throttled: np.ndarray
    disk: np.ndarray
    cpu: np.ndarray
    wrong: np.ndarray
    drift: np.ndarray
    missing: np.ndarray


@dataclass(frozen=True)
class Line:
    """One thing to say: level, who says it, how many times a sample, and the wordings that it has."""

    level: str
    writers: tuple[str, ...]
    rate: Callable[[Symptoms], np.ndarray]
    texts: tuple[str, ...]


def _over(share: np.ndarray, limit: float) -> np.ndarray:
    return np.clip((share - limit) / (1 - limit), 0, 1)


# Most symptoms have a harmless trickle too: one line proves nothing. An entity prefers one wording of a symptom to
# another, and none names what is behind it.
LINES: tuple[Line, ...] = (
    Line("INFO", SERVICES, lambda s: 0.3 * s.usual, (
        "GET /healthz 200 {ms} ms", "GET /metrics 200 {ms} ms", "probe from {ip} answered in {ms} ms")),
    Line("INFO", (GATEWAY,), lambda s: 0.6 * s.usual, (
        "POST /v1/completions 200 {ms} ms request={id} client={ip}",
        "POST /v1/chat 200 {ms} ms request={id} client={ip}",
        "POST /v1/embeddings 200 {ms} ms request={id} client={ip} items={m}",
        "POST /v1/completions 429 {ms} ms request={id} client={ip} quota")),
    Line("INFO", (MODEL,), lambda s: 0.5 * s.usual, (
        "request {id} finished: {n} prompt tokens, {m} generated", "request {id} stopped by client after {m} tokens",
        "batch of {m} done in {ms} ms")),
    Line("INFO", (MODEL,), lambda s: 0.2 * s.usual, (
        "scheduler: {m} running, {n} blocks free", "prefix cache: {pc} % hits, {n} blocks")),
    Line("INFO", (STORE,), lambda s: 0.5 * s.usual, (
        "refreshed {m} feature views in {ms} ms", "view {view} is {m} s behind its source",
        "materialized {n} rows of {view}")),
    Line("DEBUG", (STORE,), lambda s: 0.2 * s.usual, ("evicted {n} expired keys", "compacted segment {id}, {n} keys")),
    Line("INFO", HOSTS, lambda s: 0.25 * s.usual, (
        "sshd: session opened for user deploy from {ip}", "systemd: logrotate.service finished in {ms} ms",
        "systemd: node_exporter.service: {m} collectors", "cron: ({n}) CMD (/usr/local/bin/cleanup --older {m}d)")),
    Line("INFO", ("gpu_host",), lambda s: 0.1 * s.usual, (
        "nvidia-persistenced: {m} clients attached", "dcgm: health check passed in {ms} ms")),
    Line("WARN", SERVICES, lambda s: 0.02 * s.usual + 0.8 * s.slow, (
        "slow request {id}", "request {id} took {n} ms", "latency budget exceeded for {id} by {ms} ms",
        "p99 over the last minute is above the objective")),
    Line("WARN", CALLERS, lambda s: 0.02 * s.usual + 0.004 * s.refused, (
        "{peer}: connection reset by {ip}, retrying", "retry 1 of {id} to {peer}",
        "{peer}: upstream connect error, {m} pending")),
    Line("ERROR", SERVICES, lambda s: 0.02 * (s.failed - s.refused), (
        "request {id} failed: internal error", "unhandled exception in handler, request {id}",
        "request {id} aborted after {ms} ms", "500 for {ip}, request {id}")),
    Line("ERROR", CALLERS, lambda s: 0.015 * s.refused, (
        "request {id} failed: {peer} answered 503", "{peer} unavailable, request {id} given up",
        "bad gateway: {peer} closed the connection, request {id}")),
    Line("ERROR", CALLERS, lambda s: 0.01 * s.refused, (
        "request {id} failed: deadline exceeded waiting for {peer}", "timeout of {n} ms calling {peer}, request {id}")),
    Line("WARN", SERVICES, lambda s: 0.02 * s.usual + _over(s.memory, 0.75), (
        "full collection paused the process {ms} ms", "collection freed {m} MB in {ms} ms",
        "heap is at {pc} %", "allocation of {n} kB needed a collection")),
    Line("WARN", SERVICES, lambda s: 0.01 * s.usual + 1.5 * _over(s.descriptors, 0.9), (
        "no free connection after {ms} ms", "waited {ms} ms for a connection, {m} ahead",
        "{m} connections idle, none given back")),
    Line("ERROR", SERVICES, lambda s: 1.0 * _over(s.descriptors, 0.98), ("accept: too many open files",)),
    Line("WARN", SERVICES, lambda s: 1.5 * _over(s.queue, 0.5), (
        "queue is long, shedding request {id}", "request {id} rejected: {n} waiting",
        "load shedding on, {pc} % of requests")),
    Line("WARN", HOSTS, lambda s: 0.05 * s.usual + 20.0 * s.loss, (
        "kernel: TCP: {m} segments retransmitted to {ip}", "kernel: eth0: {m} rx errors since last report",
        "chronyd: no reply from {ip}, {m} tries")),
    Line("WARN", ("gpu_host",), lambda s: 0.01 * s.usual + 4.0 * s.throttled, (
        "kernel: NVRM: GPU clocks limited by thermal slowdown", "dcgm: SM clock {n} MHz, thermal violation {ms} ms",
        "ipmi: fan tray {m} below its speed")),
    Line("WARN", HOSTS, lambda s: 0.02 * s.usual + 0.6 * _over(s.disk, 0.9), (
        "systemd-journald: {m} MB free, vacuuming", "node: {pc} % of /var used", "lvm: volume data has {n} MB left")),
    Line("ERROR", HOSTS, lambda s: 1.2 * _over(s.disk, 0.985), (
        "write to /var/lib/data/{id}: No space left on device", "rsyslogd: action suspended, no space left")),
    Line("WARN", HOSTS, lambda s: 0.02 * s.usual + 0.8 * _over(s.cpu, 0.97), (
        "kernel: sched: RT throttling activated", "systemd: unit app-{m}.slice waited {ms} ms for CPU",
        "load average {m}.{m}, {m} runnable", "watchdog: tick late by {ms} ms")),
    Line("INFO", (MODEL,), lambda s: 0.04 * s.usual + 0.5 * s.wrong, (
        "judge: {m} of {n} answers rejected", "evaluation of the last {n} answers done in {ms} ms",
        "guardrail: answer to {id} replaced", "agreement with the reference model {pc} % over {n} prompts")),
    Line("WARN", (STORE,), lambda s: 0.05 * s.usual + 3.0 * np.clip(s.missing - 0.03, 0, 1), (
        "view {view}: {n} rows without a value, default used", "{view}: unexpected type in column {m}",
        "source of {view} sent {n} rows, {m} refused")),
    Line("INFO", (STORE,), lambda s: 0.05 * s.usual + 0.5 * np.clip(s.drift - 0.2, 0, 1), (
        "statistics of {view} updated, largest shift in column {m}", "{view}: {m} new categories")),
)  # fmt: skip

VIEWS = (
    "user_profile",
    "session_clicks",
    "item_prices",
    "geo_cells",
    "device_stats",
    "query_history",
    "doc_embeddings",
)


def filled(text: str, count: int, rng: np.random.Generator, peers: list[str]) -> list[str]:
    """Fill a wording's slots, `count` times.

    {ms}, {n}, {m} and {pc} are numbers, {id} a request, {ip} an address, {peer} a service called, {view} a view of
    features.

    Examples
    --------
    >>> filled("batch of {m} done", 1, np.random.default_rng(0), [])
    ['batch of 54 done']
    """
    draw: dict[str, Callable[[], np.ndarray]] = {
        "ms": lambda: np.round(rng.lognormal(3.5, 1.0, count)).astype(int),
        "n": lambda: rng.integers(50, 4000, count),
        "m": lambda: rng.integers(1, 64, count),
        "pc": lambda: rng.integers(61, 100, count),
        "id": lambda: np.array([f"{word:08x}" for word in rng.integers(0, 2**32, count)]),
        "ip": lambda: np.array([f"10.{a}.{b}.{c}" for a, b, c in rng.integers(1, 250, (count, 3)).tolist()]),
        "peer": lambda: rng.choice(np.array(peers), count),
        "view": lambda: rng.choice(np.array(VIEWS), count),
    }
    names = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    if not names:
        return [text] * count
    values = [draw[name]().tolist() for name in names]
    # Slots that occur twice get two values, so they are filled in order and not by name.
    plain = string.Formatter().parse(text)
    form = "".join(before.replace("{", "{{") + ("{}" if name else "") for before, name, _, _ in plain)
    return [form.format(*row) for row in zip(*values, strict=True)]
