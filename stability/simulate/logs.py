"""Log lines: what the processes say about their work, and about what they notice of a fault."""

from __future__ import annotations

__all__ = ["log_lines"]

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from stability.schema import validate
from stability.simulate.answers import USUAL_WRONG
from stability.simulate.fleet import QUEUE_S, Fleet
from stability.simulate.lines import LINES, Symptoms, filled
from stability.simulate.streams import stream
from stability.simulate.topology import settings

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
        The contract's table of logs, by the times that the lines carry. Lines tell symptoms and never name a failure
        mode; a process that is away is silent, and its host tells that the kernel killed it.
    """
    columns = zip(*_chatter(fleet), _events(fleet), strict=True)
    lines = pd.DataFrame({name: list(chain.from_iterable(parts)) for name, parts in zip(COLUMNS, columns, strict=True)})
    lines["seconds"] = _carried(fleet, lines)
    lines = lines[lines["seconds"] < fleet.length * fleet.scenario.step]
    lines = lines.sort_values(["seconds", "entity", "message"], kind="stable", ignore_index=True)
    stamps = fleet.scenario.start + pd.to_timedelta((lines["seconds"] * 1000).round(), unit="ms")
    return validate(lines.assign(timestamp=stamps)[["timestamp", "entity", "level", "message"]], "logs")


def _carried(fleet: Fleet, lines: pd.DataFrame) -> pd.Series:
    """Seconds that each line carries: later than true where a clock runs ahead."""
    true = lines["seconds"].astype("float64")
    carried = true.copy()
    for row, start, end, ahead in fleet.effects.skews:
        carried[(lines["entity"] == fleet.effects.entities[row]) & (true >= start) & (true < end)] += ahead
    return carried


def _chatter(fleet: Fleet) -> Iterator[tuple[Sequence, ...]]:
    symptoms, roles, step = _symptoms(fleet), fleet.scenario.roles(), fleet.scenario.step
    most = fleet.scenario.logs.at_most
    peers = {name: list(service.calls) for name, service in fleet.scenario.services.items()}
    served = fleet.scenario.replicas()
    for number, line in enumerate(LINES):
        wanted = np.where(fleet.effects.down, 0.0, np.clip(line.rate(symptoms), 0, BUSIEST))
        for row, entity in enumerate(fleet.effects.entities):
            called = peers.get(served.get(entity, ""), [])
            texts = [text for text in line.texts if called or "{peer}" not in text]
            if roles[entity] not in line.writers or not wanted[row].any() or not texts:
                continue
            rng = stream(fleet.seed, "log", str(number), entity)
            liking = rng.dirichlet(np.ones(len(texts)))
            counts = np.minimum(rng.poisson(wanted[row]), most)
            samples = np.repeat(np.arange(fleet.length), counts)
            seconds = (samples + rng.random(len(samples))) * step
            chosen = rng.choice(len(texts), len(samples), p=liking)
            messages = np.empty(len(samples), dtype=object)
            for k, text in enumerate(texts):
                here = np.flatnonzero(chosen == k)
                messages[here] = filled(text, len(here), rng, called) if len(here) else []
            yield seconds.tolist(), [entity] * len(samples), [line.level] * len(samples), messages.tolist()


def _symptoms(fleet: Fleet) -> Symptoms:
    scenario, count = fleet.scenario, len(fleet.replicas)
    shape = fleet.effects.down.shape

    def services(values: np.ndarray) -> np.ndarray:
        return np.vstack([np.nan_to_num(values), np.zeros((shape[0] - count, shape[1]))])

    def hosts(values: np.ndarray) -> np.ndarray:
        return np.vstack([np.zeros((count, shape[1])), values])

    arrivals = fleet.arrivals * scenario.step
    promised = np.array([scenario.services[s].service_level.latency for s in scenario.replicas().values()])[:, None]
    return Symptoms(
        usual=np.full(shape, scenario.logs.per_hour * scenario.step / 3600),
        failed=services(arrivals * fleet.failing),
        refused=services(arrivals * fleet.upstream),
        slow=services(np.clip(fleet.p99 / promised - 0.8, 0, 1)),
        memory=services(fleet.memory / settings(scenario, "memory_limit")),
        descriptors=services(fleet.descriptors / settings(scenario, "descriptors")),
        queue=services(fleet.backlog / (QUEUE_S * settings(scenario, "capacity"))),
        loss=hosts(fleet.loss),
        throttled=hosts(1 - fleet.clock),
        disk=hosts(fleet.disk),
        cpu=hosts(np.clip(fleet.cpu, 0, 1)),
        wrong=services(np.clip(fleet.answers.wrong - 2 * USUAL_WRONG, 0, 1)),
        drift=services(fleet.answers.drift),
        missing=services(fleet.answers.missing),
    )


def _events(fleet: Fleet) -> tuple[Sequence, ...]:
    """Write the lines of single moments: starts, new configurations and models, kills."""
    step, lines = fleet.scenario.step, []
    for row, sample in np.argwhere(fleet.effects.born):
        entity = fleet.effects.entities[row]
        rng = stream(fleet.seed, "log", "start", entity, str(sample))
        lines.append((sample * step, entity, "INFO", f"listening on 0.0.0.0:8080 after {rng.integers(4, 60)} s"))
    said = {"config_hash": "configuration {} loaded", "model_version": "model {} loaded", "kernel_version": "Linux {}"}
    for seconds, entity, name, value in fleet.effects.states:
        if seconds > 0 and name in said:
            lines.append((seconds, entity, "INFO", said[name].format(value)))
    for entity, sample in fleet.effects.kills:
        rng = stream(fleet.seed, "log", "kill", entity, str(sample))
        host = fleet.placement.get(entity)
        if host:
            text = f"kernel: Out of memory: Killed process {rng.integers(900, 60_000)} ({entity.rpartition('-')[0]})"
            lines.append((sample * step, host, "ERROR", text))
    return tuple(zip(*lines, strict=True)) or ((),) * len(COLUMNS)
