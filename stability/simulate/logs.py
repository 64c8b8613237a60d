"""Log lines: what the processes say about their work, and about what they notice of a fault."""

from __future__ import annotations

__all__ = ["log_lines"]

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from stability.schema import validate
from stability.simulate.fleet import QUEUE_S, Fleet
from stability.simulate.streams import stream

GATEWAY, MODEL, STORE = "gateway", "model_server", "feature_store"
SERVICES, CALLERS, HOSTS = (GATEWAY, MODEL, STORE), (GATEWAY, MODEL), ("cpu_host", "gpu_host")


@dataclass
class Symptoms:
    """What an entity can notice at each sample, arrays of shape (entities, samples).

    `usual` is the lines of chatter, `failed` and `refused` are failed requests (all, and those that failed in a service
    called); `slow` is how far the latency lies above 0.8 of the promised one; `memory`, `descriptors` and `queue` are
    shares of their limits; `loss` is a share of packets; `throttled` is the share of the clock that is missing.
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


def _over(share: np.ndarray, limit: float) -> np.ndarray:
    return np.clip((share - limit) / (1 - limit), 0, 1)


Template = tuple[str, str, tuple[str, ...], Callable[[Symptoms], np.ndarray]]

# Level, text, who writes it, how many a sample. Most symptoms have a harmless trickle too: one line proves nothing.
TEMPLATES: tuple[Template, ...] = (
    ("INFO", "GET /healthz 200 {ms} ms", SERVICES, lambda s: 0.3 * s.usual),
    ("INFO", "POST /v1/completions 200 {ms} ms request={id} client={ip}", (GATEWAY,), lambda s: 0.6 * s.usual),
    ("INFO", "request {id} finished: {n} prompt tokens, {m} generated", (MODEL,), lambda s: 0.5 * s.usual),
    ("INFO", "scheduler: {m} running, {n} blocks free", (MODEL,), lambda s: 0.2 * s.usual),
    ("INFO", "refreshed {m} feature views in {ms} ms", (STORE,), lambda s: 0.5 * s.usual),
    ("DEBUG", "evicted {n} expired keys", (STORE,), lambda s: 0.2 * s.usual),
    ("INFO", "sshd: session opened for user deploy from {ip}", HOSTS, lambda s: 0.15 * s.usual),
    ("INFO", "systemd: logrotate.service finished in {ms} ms", HOSTS, lambda s: 0.1 * s.usual),
    ("INFO", "nvidia-persistenced: {m} clients attached", ("gpu_host",), lambda s: 0.1 * s.usual),
    ("WARN", "slow request {id}", SERVICES, lambda s: 0.02 * s.usual + 0.8 * s.slow),
    ("WARN", "{peer}: connection reset by {ip}, retrying", CALLERS, lambda s: 0.02 * s.usual + 0.004 * s.refused),
    ("ERROR", "request {id} failed: internal error", SERVICES, lambda s: 0.02 * (s.failed - s.refused)),
    ("ERROR", "request {id} failed: {peer} answered 503", CALLERS, lambda s: 0.015 * s.refused),
    ("ERROR", "request {id} failed: deadline exceeded waiting for {peer}", CALLERS, lambda s: 0.01 * s.refused),
    ("WARN", "full collection paused the process {ms} ms", SERVICES, lambda s: 0.02 * s.usual + _over(s.memory, 0.75)),
    ("WARN", "no free connection after {ms} ms", SERVICES, lambda s: 0.01 * s.usual + 1.5 * _over(s.descriptors, 0.9)),
    ("ERROR", "accept: too many open files", SERVICES, lambda s: 1.0 * _over(s.descriptors, 0.98)),
    ("WARN", "queue is long, shedding request {id}", SERVICES, lambda s: 1.5 * _over(s.queue, 0.5)),
    ("WARN", "kernel: TCP: {m} segments retransmitted to {ip}", HOSTS, lambda s: 0.05 * s.usual + 20.0 * s.loss),
    ("WARN", "kernel: NVRM: GPU clocks limited by thermal slowdown", ("gpu_host",), lambda s: 4.0 * s.throttled),
)  # fmt: skip
COLUMNS = ("seconds", "entity", "level", "message")
BUSIEST = 1e6  # lines a sample that a rate may ask for before the scenario's limit cuts it: Poisson needs a bound


def log_lines(fleet: Fleet) -> pd.DataFrame:
    """Write what the fleet logs.

    Parameters
    ----------
    fleet : Fleet
        What happened.

    Returns
    -------
    DataFrame
        The contract's table of logs, by time. Lines tell symptoms and never name a failure mode; a process that is away
        is silent, and its host tells that the kernel killed it.
    """
    columns = zip(*_chatter(fleet), _events(fleet), strict=True)
    lines = pd.DataFrame({name: list(chain.from_iterable(parts)) for name, parts in zip(COLUMNS, columns, strict=True)})
    lines = lines[lines["seconds"] < fleet.length * fleet.scenario.step]
    lines = lines.sort_values(["seconds", "entity", "message"], kind="stable", ignore_index=True)
    stamps = fleet.scenario.start + pd.to_timedelta((lines["seconds"] * 1000).round(), unit="ms")
    return validate(lines.assign(timestamp=stamps)[["timestamp", "entity", "level", "message"]], "logs")


def _chatter(fleet: Fleet) -> Iterator[tuple[Sequence, ...]]:
    symptoms, roles, step = _symptoms(fleet), fleet.scenario.roles(), fleet.scenario.step
    most = fleet.scenario.logs.at_most
    peers = {name: list(service.calls) for name, service in fleet.scenario.services.items()}
    served = fleet.scenario.replicas()
    for number, (level, text, writers, rate) in enumerate(TEMPLATES):
        wanted = np.where(fleet.effects.down, 0.0, np.clip(rate(symptoms), 0, BUSIEST))
        for row, entity in enumerate(fleet.effects.entities):
            called = peers.get(served.get(entity, ""), [])
            if roles[entity] not in writers or not wanted[row].any() or ("{peer}" in text and not called):
                continue
            rng = stream(fleet.seed, "log", str(number), entity)
            counts = np.minimum(rng.poisson(wanted[row]), most)
            samples = np.repeat(np.arange(fleet.length), counts)
            seconds = (samples + rng.random(len(samples))) * step
            messages = _filled(text, len(samples), rng, called)
            yield seconds.tolist(), [entity] * len(samples), [level] * len(samples), messages


def _filled(text: str, count: int, rng: np.random.Generator, peers: list[str]) -> list[str]:
    """Fill a template's slots: {ms}, {n} and {m} numbers, {id} a request, {ip} an address, {peer} a service called."""
    draw: dict[str, Callable[[], np.ndarray]] = {
        "ms": lambda: np.round(rng.lognormal(3.5, 1.0, count)).astype(int),
        "n": lambda: rng.integers(50, 4000, count),
        "m": lambda: rng.integers(1, 64, count),
        "id": lambda: np.array([f"{word:08x}" for word in rng.integers(0, 2**32, count)]),
        "ip": lambda: np.array([f"10.{a}.{b}.{c}" for a, b, c in rng.integers(1, 250, (count, 3)).tolist()]),
        "peer": lambda: rng.choice(np.array(peers), count),
    }
    names = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    values = [draw[name]().tolist() for name in names]
    return (
        [text.format(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]
        if names
        else [text] * count
    )


def _symptoms(fleet: Fleet) -> Symptoms:
    scenario, count = fleet.scenario, len(fleet.replicas)
    shape = fleet.effects.down.shape

    def setting(name: str) -> np.ndarray:
        return np.array([getattr(scenario.services[s], name) for s in scenario.replicas().values()])[:, None]

    def services(values: np.ndarray) -> np.ndarray:
        return np.vstack([values, np.zeros((shape[0] - count, shape[1]))])

    def hosts(values: np.ndarray) -> np.ndarray:
        return np.vstack([np.zeros((count, shape[1])), values])

    arrivals = fleet.arrivals * scenario.step
    promised = np.array([scenario.services[s].service_level.latency for s in scenario.replicas().values()])[:, None]
    return Symptoms(
        usual=np.full(shape, scenario.logs.per_hour * scenario.step / 3600),
        failed=services(arrivals * fleet.failing),
        refused=services(arrivals * fleet.upstream),
        slow=services(np.clip(fleet.p99 / promised - 0.8, 0, 1)),
        memory=services(fleet.memory / setting("memory_limit")),
        descriptors=services(fleet.descriptors / setting("descriptors")),
        queue=services(fleet.backlog / (QUEUE_S * setting("capacity"))),
        loss=hosts(fleet.loss),
        throttled=hosts(1 - fleet.clock),
    )


def _events(fleet: Fleet) -> tuple[Sequence, ...]:
    """Write the lines of single moments: starts, new configurations, kills."""
    step, lines = fleet.scenario.step, []
    for row, sample in np.argwhere(fleet.effects.born):
        entity = fleet.effects.entities[row]
        rng = stream(fleet.seed, "log", "start", entity, str(sample))
        lines.append((sample * step, entity, "INFO", f"listening on 0.0.0.0:8080 after {rng.integers(4, 60)} s"))
    for seconds, entity, name, value in fleet.effects.states:
        if seconds > 0 and name == "config_hash":
            lines.append((seconds, entity, "INFO", f"configuration {value} loaded"))
    for entity, sample in fleet.effects.kills:
        rng = stream(fleet.seed, "log", "kill", entity, str(sample))
        host = fleet.placement.get(entity)
        if host:
            text = f"kernel: Out of memory: Killed process {rng.integers(900, 60_000)} ({entity.rpartition('-')[0]})"
            lines.append((sample * step, host, "ERROR", text))
    return tuple(zip(*lines, strict=True)) or ((),) * len(COLUMNS)
