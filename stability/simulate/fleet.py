"""The mechanics: how load, events and the topology become latency, errors, memory and heat."""

from __future__ import annotations

__all__ = ["Fleet", "run", "topology"]

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from stability.schema import validate
from stability.simulate.effects import Effects, apply, campaigns
from stability.simulate.load import DAY, demand
from stability.simulate.scenario import Scenario
from stability.simulate.schedule import Occurrence
from stability.simulate.streams import autocorrelated, shots, stream

QUEUE_S = 5.0  # a replica queues what it can serve in this time and sheds the rest
QUEUE_WEIGHT = 0.6  # of the queueing term against the time at rest
P99_OVER_MEAN = 2.5  # of a latency distribution with a moderate tail
TAIL_INDEX = 3.0  # P(latency > x) falls with x to this power beyond the 99th percentile
MIX_POWER = 4.0  # the 99th percentile of a mixture lies near the slow part's: a power mean with this exponent
BASE_ERRORS = 6e-4
HICCUPS_A_DAY = 15.0  # short troubles of a replica that belong to normal life
PRESSURE = 0.82  # share of the memory limit from which collection costs time
PRESSURE_WORK = 2.5  # extra work when the limit is reached
POOL = 0.8  # share of the descriptors from which requests wait for a connection
POOL_WAIT = 12.0  # longest such wait, as a multiple of the latency at rest
POOL_ERRORS = 0.3  # share of requests that get none when all are taken
RETRANSMIT_S = 0.2  # the smallest retransmission time-out of Linux' TCP
PACKETS = 12  # packets of a request and its answer
TRIES = 6  # lost in a row, after which a connection is given up
SHARED_LOSS = 0.4  # of a host's loss that hosts on the same link see
ROOM_CEL, LOAD_CEL, HEAT_S = 34.0, 33.0, 480.0  # GPU: idle, added by full load, thermal time constant
THROTTLE_CEL, THROTTLE_SLOPE, THROTTLE_FLOOR = (
    83.0,
    0.055,
    0.3,
)  # slowdown temperature, share of the clock per Cel, least


@dataclass
class Fleet:
    """What happens in the fleet, before anyone measures it.

    Arrays have one row a replica (`replicas`) or host (`hosts`) and one column a sample. `arrivals` and `backlog` in
    requests/s and requests; `busy` and `usage` as shares of the capacity (nominal; and of what is left of it); `memory`
    in bytes; `descriptors` as a number; `p99` in s; `failing` as a probability; `active` in requests; `loss` as a share of
    packets; `heat` in Cel; `clock` as a share of the nominal clock; `upstream` the probability that a call of another
    service fails.
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

    @property
    def length(self) -> int:
        """Samples."""
        return self.arrivals.shape[1]

    @property
    def resident(self) -> np.ndarray:
        """Memory that the replicas of each host hold, in bytes, shape (hosts, samples)."""
        on_host, held = _host_rows(self.scenario), np.where(self.effects.down[: len(self.replicas)], 0.0, self.memory)
        return np.vstack([held[on_host == k].sum(axis=0) for k in range(len(self.hosts))])

    @property
    def placement(self) -> dict[str, str]:
        """Host of each replica that has one."""
        return _placement(self.scenario)


def topology(scenario: Scenario) -> pd.DataFrame:
    """List who depends on whom.

    Parameters
    ----------
    scenario : Scenario
        The fleet.

    Returns
    -------
    DataFrame
        The contract's table of topology: replicas that call replicas, replicas that run on hosts, hosts that share a link.
    """
    of = {name: [e for e, s in scenario.replicas().items() if s == name] for name in scenario.services}
    edges = []
    for name, service in scenario.services.items():
        edges += [(a, b, "calls") for other in service.calls for a in of[name] for b in of[other]]
        edges += [(a, host, "runs_on") for a, host in _placement(scenario).items() if a in of[name]]
    edges += [(name, other, "shares") for name, host in scenario.hosts.items() for other in host.shares]
    return validate(pd.DataFrame(edges, columns=["source", "target", "kind"]).astype("str"), "topology")


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
    usual = _spread(scenario, asked)
    pace = {name: flow / max(flow.mean(), 1e-12) for name, flow in usual.items()}
    events = sorted(faults + benign, key=lambda e: (e.start, e.name))
    effects = apply(events, scenario, seed, pace)

    names = list(scenario.replicas())
    down, driver = effects.down[: len(names)], lambda name: effects.driver(name)[: len(names)]
    share, lost = _routing(scenario, down)
    flows = _spread(scenario, asked, served=1 - lost)
    arrivals = np.vstack([share[rows] * flows[name] for name, rows in _rows(scenario).items()])
    capacity = _column(scenario, "capacity")
    mix = autocorrelated(seed, "mix", names, length, memory=0.97, sigma=0.04)
    work = 1 + driver("work") + mix
    busy = arrivals * work / capacity

    heat, clock, utilization = _gpus(scenario, seed, effects, busy)
    loss = _losses(scenario, effects)
    on_host = _host_rows(scenario)
    speed = np.where(on_host[:, None] >= 0, clock[on_host], 1.0) if scenario.hosts else np.ones_like(busy)

    memory = _memory(scenario, seed, effects, arrivals)
    full = memory / _column(scenario, "memory_limit")
    work = work + PRESSURE_WORK * (np.clip(full - PRESSURE, 0, None) / (1 - PRESSURE)) ** 2
    usage = arrivals * work / (capacity * speed)
    backlog, shed = _queue(np.where(down, 0.0, arrivals), capacity * speed / work, QUEUE_S * capacity, scenario.step)

    at_rest = _column(scenario, "latency")
    held, most = driver("held"), _column(scenario, "descriptors")
    # Kept-alive connections follow the load and the habits of the clients, which change slowly.
    habit = np.exp(autocorrelated(seed, "habit", names, length, memory=0.99, sigma=0.1))
    idle = most * habit * (0.08 + 0.25 * arrivals / capacity)
    taken = idle / most + (1 - idle / most) * held
    waiting = np.clip((taken - POOL) / (1 - POOL), 0, 1)
    packets, given_up = _retransmissions(loss, on_host, busy.shape)
    load = np.clip(usage, 0, 1)
    own = at_rest * work * (1 + QUEUE_WEIGHT * load**3 / (1.05 - load)) + backlog * work / (capacity * speed)
    own = own + driver("delay") + packets + at_rest * POOL_WAIT * waiting**2
    own *= np.exp(
        autocorrelated(seed, "pause", names, length, memory=0.55, sigma=0.07, tail=4) + _hiccups(scenario, seed, length)
    )
    mood = autocorrelated(seed, "errors", names, length, memory=0.6, sigma=0.5) + 2 * _hiccups(scenario, seed, length)
    fails = _any(BASE_ERRORS * np.exp(mood), driver("errors"), shed, POOL_ERRORS * waiting**3, given_up)
    p99, failing, upstream = _climb(scenario, share, down, own, fails)
    active = arrivals * p99 / P99_OVER_MEAN + backlog
    descriptors = np.minimum(idle + 2 * active + (most - idle) * held, most)
    return Fleet(
        scenario, seed, list(scenario.replicas()), list(scenario.hosts), effects, arrivals, backlog, busy, usage,
        memory, descriptors, p99, failing, active, upstream, loss, heat, clock, utilization,
    )  # fmt: skip


def _rows(scenario: Scenario) -> dict[str, slice]:
    ends = np.cumsum([service.replicas for service in scenario.services.values()]).tolist()
    return {name: slice(end - s.replicas, end) for (name, s), end in zip(scenario.services.items(), ends, strict=True)}


def _column(scenario: Scenario, field: str) -> np.ndarray:
    """Spread a setting of the services over their replicas, shape (replicas, 1)."""
    values = [getattr(service, field) for service in scenario.services.values() for _ in range(service.replicas)]
    return np.array(values, dtype=float)[:, None]


def _placement(scenario: Scenario) -> dict[str, str]:
    place = {}
    for name, service in scenario.services.items():
        for k in range(service.replicas if service.runs_on else 0):
            place[f"{name}-{k + 1}"] = service.runs_on[k % len(service.runs_on)]
    return place


def _host_rows(scenario: Scenario) -> np.ndarray:
    """Row of the host of each replica, -1 without one."""
    row, place = {name: k for k, name in enumerate(scenario.hosts)}, _placement(scenario)
    return np.array([row[place[e]] if e in place else -1 for e in scenario.replicas()])


def _spread(
    scenario: Scenario, asked: dict[str, np.ndarray], served: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Carry requests down the calls: what a caller takes in it asks of those that it calls, times their ratio."""
    order = list(scenario.services)
    flow = {name: asked.get(name, 0.0) for name in order}
    for name in reversed(scenario.order()):
        through = 1.0 if served is None else served[order.index(name)]
        for other, ratio in scenario.services[name].calls.items():
            flow[other] = flow[other] + flow[name] * ratio * through
    return flow


def _routing(scenario: Scenario, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spread a service's requests over the replicas that answered their health check one sample ago.

    Returns the share of each replica, shape (replicas, samples), and the share of each service's requests that reach one
    that is away, shape (services, samples).
    """
    seen = np.zeros_like(down)
    seen[:, 1:] = down[:, :-1]
    share, lost = np.empty(down.shape), np.empty((len(scenario.services), down.shape[1]))
    for k, rows in enumerate(_rows(scenario).values()):
        alive = ~seen[rows]
        alive = np.where(alive.any(axis=0), alive, True)  # when all are away, requests still go somewhere, and fail
        share[rows] = alive / alive.sum(axis=0)
        lost[k] = (share[rows] * down[rows]).sum(axis=0)
    return share, lost


def _gpus(scenario: Scenario, seed: int, effects: Effects, busy: np.ndarray) -> tuple[np.ndarray, ...]:
    """Heat and clock of the hosts: temperature follows load with inertia; above a limit the clock goes down."""
    names, length = list(scenario.hosts), busy.shape[1]
    if not names:
        return (np.zeros((0, length)),) * 3
    on_host = _host_rows(scenario)
    utilization = np.zeros((len(names), length))
    for k in range(len(names)):
        tenants = np.flatnonzero(on_host == k)
        if len(tenants):
            utilization[k] = np.clip(np.where(effects.down[tenants], 0, busy[tenants]).mean(axis=0), 0, 1)
    memory = float(np.exp(-scenario.step / HEAT_S))
    start = utilization[:, :1] * memory
    warm, _ = lfilter([1 - memory], [1, -memory], utilization, axis=1, zi=start)
    air = autocorrelated(seed, "room", names, length, memory=0.995, sigma=1.2)
    heat = ROOM_CEL + LOAD_CEL * warm + air + effects.driver("heat")[len(on_host) :]
    gpu = np.array([host.gpu for host in scenario.hosts.values()])[:, None]
    slowed = np.clip(1 - THROTTLE_SLOPE * np.clip(heat - THROTTLE_CEL, 0, None), THROTTLE_FLOOR, 1)
    return heat, np.where(gpu, slowed, 1.0), utilization


def _losses(scenario: Scenario, effects: Effects) -> np.ndarray:
    """Packet loss of the hosts, partly shared by those on the same link."""
    count = len(scenario.replicas())
    own = effects.driver("loss")[count:]
    loss, row = own.copy(), {name: k for k, name in enumerate(scenario.hosts)}
    for name, host in scenario.hosts.items():
        for other in host.shares:
            loss[row[other]] += SHARED_LOSS * own[row[name]]
            if name not in scenario.hosts[other].shares:  # a link is shared by both, even when only one says so
                loss[row[name]] += SHARED_LOSS * own[row[other]]
    return np.clip(loss, 0, 0.9)


def _retransmissions(loss: np.ndarray, on_host: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Delay (s) at the 99th percentile and probability of giving up, for what runs on hosts that lose packets.

    A request meets a loss with probability P = 1 - (1 - loss)^packets; k losses in a row have probability P^k, so the
    99th percentile waits for ln(0.01)/ln(P) retransmissions.
    """
    if not len(loss):
        return np.zeros(shape), np.zeros(shape)
    met = np.clip(1 - (1 - loss) ** PACKETS, 0, 0.97)
    waits = np.where(met > 0, np.log(0.01) / np.log(np.where(met > 0, met, 0.5)), 0.0)
    there = on_host[:, None] >= 0
    return np.where(there, RETRANSMIT_S * waits[on_host], 0.0), np.where(there, met[on_host] ** TRIES, 0.0)


def _memory(scenario: Scenario, seed: int, effects: Effects, arrivals: np.ndarray) -> np.ndarray:
    """Resident memory in bytes: a base that drifts, the requests in flight, collection's saw-tooth, caches, leaks."""
    names, length = list(scenario.replicas()), arrivals.shape[1]
    base, limit = _column(scenario, "memory"), _column(scenario, "memory_limit")
    size = 1 + autocorrelated(seed, "size", names, length, memory=0.998, sigma=0.025)
    fine = autocorrelated(seed, "allocation", names, length, memory=0.4, sigma=0.008, tail=4)
    load = 0.15 * arrivals / _column(scenario, "capacity")
    saw = np.empty((len(names), length))
    for k, name in enumerate(names):
        rng = stream(seed, "collection", name)
        period, height = rng.uniform(35, 140) * 60, rng.uniform(0.02, 0.08)
        saw[k] = height * ((np.arange(length) * scenario.step / period + rng.random()) % 1.0)
    usual = base * (size + fine + load + saw)
    free = limit - base
    lost = effects.driver("leak")[: len(names)] + effects.driver("cache")[: len(names)]
    return np.clip(usual + free * lost, 0, 0.997 * limit)


def _hiccups(scenario: Scenario, seed: int, length: int) -> np.ndarray:
    """Short troubles that belong to normal life (a slow disk, a noisy neighbour), as logarithms."""
    return np.vstack(
        [
            shots(
                stream(seed, "hiccup", name), length, chance=HICCUPS_A_DAY * scenario.step / DAY, height=0.5, memory=0.4
            )
            for name in scenario.replicas()
        ]
    )


def _queue(arrivals: np.ndarray, rate: np.ndarray, longest: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Requests waiting at each sample and the share of the arrivals shed: Lindley's recursion with a full queue."""
    net = np.ascontiguousarray(((arrivals - rate) * step).T)  # one sample of all replicas is one row: fast to walk
    waiting, shed = np.zeros_like(net), np.zeros_like(net)
    level, most = np.zeros(net.shape[1]), longest[:, 0]
    for k in range(len(net)):
        level = np.maximum(level + net[k], 0.0)
        shed[k] = np.maximum(level - most, 0.0)
        waiting[k] = level = level - shed[k]
    return waiting.T.copy(), np.divide(shed.T, arrivals * step, out=np.zeros_like(arrivals), where=arrivals > 0)


def _any(*chances: np.ndarray) -> np.ndarray:
    """Probability that at least one of several independent things happens."""
    none = np.ones_like(chances[0])
    for chance in chances:
        none = none * (1 - np.clip(chance, 0, 1))
    return 1 - none


def _climb(
    scenario: Scenario, share: np.ndarray, down: np.ndarray, own: np.ndarray, fails: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry latency and failures up the calls: a caller waits for those that it calls and fails with them."""
    rows = _rows(scenario)
    p99, failing, upstream = own.copy(), fails.copy(), np.zeros_like(own)
    slowness: dict[str, np.ndarray] = {}
    refused: dict[str, np.ndarray] = {}
    for name in scenario.order():
        service, here = scenario.services[name], rows[name]
        below = np.zeros(own.shape[1])
        passed = np.zeros(own.shape[1])
        for other, ratio in service.calls.items():
            below = below + min(ratio, 1.0) * slowness[other] ** MIX_POWER
            passed = _any(passed, 1 - (1 - refused[other] ** (1 + service.retries)) ** ratio)
        p99[here] = own[here] + below ** (1 / MIX_POWER)
        upstream[here] = passed
        late = 0.01 * (p99[here] / service.timeout) ** TAIL_INDEX
        failing[here] = _any(fails[here], upstream[here], np.clip(late, 0, 0.6))
        p99[here] = np.minimum(p99[here], service.timeout)
        answering = share[here] * ~down[here]
        weight = answering / np.maximum(answering.sum(axis=0), 1e-12)
        slowness[name] = (weight * p99[here] ** MIX_POWER).sum(axis=0) ** (1 / MIX_POWER)
        refused[name] = np.clip((share[here] * np.where(down[here], 1.0, failing[here])).sum(axis=0), 0, 1)
    return p99, failing, upstream
