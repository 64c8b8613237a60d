"""The fleet lives through its load and its events; what it went through is known exactly."""

from __future__ import annotations

__all__ = ["BASE_ERRORS", "QUEUE_S", "Fleet", "run"]

from dataclasses import dataclass

import numpy as np

from stability.simulate.answers import Answers, answers
from stability.simulate.effects import Effects, apply, campaigns
from stability.simulate.load import demand
from stability.simulate.physics import (
    connections,
    disks,
    gpus,
    hiccups,
    losses,
    processors,
    queue,
    resident_memory,
    retransmissions,
    writes,
)
from stability.simulate.scenario import Scenario
from stability.simulate.schedule import Occurrence
from stability.simulate.streams import autocorrelated, regional
from stability.simulate.topology import any_of, climb, host_rows, placement, replica_rows, routing, settings, spread

QUEUE_S = 5.0  # a replica queues what it can serve in this time and sheds the rest
QUEUE_WEIGHT = 0.6  # of the queueing term against the time at rest
P99_OVER_MEAN = 2.5  # of a latency distribution with a moderate tail
BASE_ERRORS = 6e-4  # share of requests that fail on a good day
PRESSURE = 0.68  # share of the memory limit from which collection costs time
PRESSURE_WORK = 2.5  # extra work when the limit is reached
POOL = 0.65  # share of the descriptors from which requests wait for a connection
POOL_WAIT = 12.0  # longest such wait, as a multiple of the latency at rest
POOL_ERRORS = 0.5  # share of requests that get none when all are taken


@dataclass
class Fleet:
    """What happens in the fleet, before anyone measures it.

    Arrays have one row a replica (`replicas`) or host (`hosts`) and one column a sample. `arrivals` and `backlog` in
    requests/s and requests; `busy` and `usage` as shares of the capacity (nominal; and of what is left of it); `memory`
    in bytes; `descriptors` as a number; `p99` in s; `failing` as a probability; `upstream` as the probability that a
    call of another service fails; `active` in requests; `loss` as a share of packets; `heat` in Cel; `clock` as a share
    of the nominal clock; `utilization` as a share of the host; `cpu` and `disk` as shares of what the host has.
    """

    scenario: Scenario
    seed: int
    replicas: list[str]
    hosts: list[str]
    effects: Effects
    arrivals: np.ndarray
    backlog: np.ndarray
    busy: np.ndarray
    usage: np.ndarray
    memory: np.ndarray
    descriptors: np.ndarray
    p99: np.ndarray
    failing: np.ndarray
    active: np.ndarray
    upstream: np.ndarray
    loss: np.ndarray
    heat: np.ndarray
    clock: np.ndarray
    utilization: np.ndarray
    cpu: np.ndarray
    disk: np.ndarray
    answers: Answers

    @property
    def length(self) -> int:
        """Samples."""
        return self.arrivals.shape[1]

    @property
    def resident(self) -> np.ndarray:
        """Memory that the replicas of each host hold, in bytes, shape (hosts, samples)."""
        on_host, held = host_rows(self.scenario), np.where(self.effects.down[: len(self.replicas)], 0.0, self.memory)
        return np.vstack([held[on_host == k].sum(axis=0) for k in range(len(self.hosts))])

    @property
    def placement(self) -> dict[str, str]:
        """Host of each replica that has one."""
        return placement(self.scenario)


def run(scenario: Scenario, seed: int, faults: list[Occurrence], benign: list[Occurrence]) -> Fleet:
    """Let the fleet live through its load and its events.

    Parameters
    ----------
    scenario : Scenario
        The fleet.
    seed : int
        The seed.
    faults, benign : list of Occurrence
        What befalls it.

    Returns
    -------
    Fleet
    """
    length = int(scenario.duration // scenario.step)
    asked = demand(scenario, seed, length, campaigns(benign, scenario, seed, length))
    usual = spread(scenario, asked)
    nominal = spread(scenario, {name: s.load.mean for name, s in scenario.services.items() if s.load})
    pace = {name: flow / nominal[name] for name, flow in usual.items()}
    events = sorted(faults + benign, key=lambda e: (e.start, e.name))
    effects = apply(events, scenario, seed, pace)

    names = list(scenario.replicas())
    down, driver = effects.down[: len(names)], lambda name: effects.driver(name)[: len(names)]
    share, lost = routing(scenario, down)
    flows = spread(scenario, asked, served=1 - lost)
    arrivals = np.vstack([share[rows] * flows[name] for name, rows in replica_rows(scenario).items()])
    capacity = settings(scenario, "capacity")
    work = 1 + driver("work") + autocorrelated(seed, "mix", names, length, memory=0.97, sigma=0.04)
    busy = arrivals * work / capacity

    heat, clock, utilization = gpus(scenario, seed, effects, busy)
    loss, on_host = losses(scenario, effects), host_rows(scenario)
    cpu, granted = processors(scenario, effects, utilization) if scenario.hosts else (clock, clock)
    disk = disks(scenario, seed, effects)
    speed = np.where(on_host[:, None] >= 0, (clock * granted)[on_host], 1.0) if scenario.hosts else np.ones_like(busy)
    memory, collected = resident_memory(scenario, seed, effects, arrivals)
    full = collected / settings(scenario, "memory_limit")
    work = work + PRESSURE_WORK * (np.clip(full - PRESSURE, 0, None) / (1 - PRESSURE)) ** 2
    usage = arrivals * work / (capacity * speed)
    backlog, shed = queue(np.where(down, 0.0, arrivals), capacity * speed / work, QUEUE_S * capacity, scenario.step)
    used, taken = connections(scenario, seed, driver("held"), driver("kept"), arrivals)
    waiting = np.clip((taken - POOL) / (1 - POOL), 0, 1)
    packets, given_up = retransmissions(loss, on_host, busy.shape)

    writing, unwritten = writes(disk, on_host, busy.shape)
    regions = [service.region for service in scenario.services.values() for _ in range(service.replicas)]
    weather = regional(seed, "weather", regions, length, memory=0.97, sigma=0.02)

    load, at_rest, trouble = np.clip(usage, 0, 1), settings(scenario, "latency"), hiccups(scenario, seed, length)
    own = at_rest * work * (1 + QUEUE_WEIGHT * load**3 / (1.05 - load)) + backlog * work / (capacity * speed)
    own = own + driver("delay") + packets + writing + at_rest * POOL_WAIT * waiting**2
    own *= np.exp(autocorrelated(seed, "pause", names, length, memory=0.55, sigma=0.035, tail=4) + weather + trouble)
    mood = autocorrelated(seed, "errors", names, length, memory=0.6, sigma=0.5) + 2 * trouble
    fails = any_of(BASE_ERRORS * np.exp(mood), driver("errors"), shed, POOL_ERRORS * waiting**3, given_up, unwritten)
    p99, failing, upstream = climb(scenario, share, down, own, fails)
    active = arrivals * p99 / P99_OVER_MEAN + backlog
    descriptors = np.minimum(used + 2 * active, settings(scenario, "descriptors"))
    return Fleet(
        scenario, seed, names, list(scenario.hosts), effects, arrivals, backlog, busy, usage,
        memory, descriptors, p99, failing, active, upstream, loss, heat, clock, utilization,
        cpu, disk, answers(scenario, seed, effects, share, down),
    )  # fmt: skip
