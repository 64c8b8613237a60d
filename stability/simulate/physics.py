"""Inside one entity: its queue, its memory and connections, its processors and disk, its heat, its packets."""

from __future__ import annotations

__all__ = [
    "connections",
    "disks",
    "gpus",
    "hiccups",
    "losses",
    "processors",
    "queue",
    "resident_memory",
    "retransmissions",
    "writes",
]

import numpy as np
from scipy.signal import lfilter

from stability.simulate.effects import Effects
from stability.simulate.load import DAY
from stability.simulate.scenario import Scenario
from stability.simulate.streams import autocorrelated, regional, shots, stream
from stability.simulate.topology import host_rows, settings

HICCUPS_A_DAY = 3.0  # short troubles of a replica that belong to normal life
RETRANSMIT_S = 0.2  # the smallest retransmission time-out of Linux' TCP
PACKETS = 12  # packets of a request and its answer
TRIES = 6  # lost in a row, after which a connection is given up
SHARED_LOSS = 0.4  # of a host's loss that hosts on the same link see
ROOM_CEL, LOAD_CEL, HEAT_S = 34.0, 33.0, 480.0  # GPU: idle, added by full load, thermal time constant
THROTTLE_CEL = 83.0  # temperature from which a data-centre GPU slows down
RELIEF = 0.4  # of each degree beyond it, what is left after the GPU has slowed down
THROTTLE_SLOPE, THROTTLE_FLOOR = 0.05, 0.3  # share of the clock given up per Cel beyond it; least share that is left

CACHE_MOST = 0.92  # share of the memory limit from which caches give way
KEPT_MOST = 0.4  # share of the free descriptors that idle clients take before they are turned away
IDLE_CPU = 0.06  # share of a host's CPU that the system takes
CPU_OF_LOAD = {False: 0.75, True: 0.3}  # and what runs there at full load, without and with a GPU that does the work
CPU_KNEE, CPU_SLOPE = 0.72, 2.5  # from this share on processes wait for a core: 1 + slope x (share - knee) as long
DISK_USED = (0.35, 0.6)  # share of a host's disk that is used for good
LOGS_A_DAY = (0.03, 0.12)  # share of the disk that log files take until they are rotated
SCRATCH_MOST = 0.6  # share of the free disk that a job leaves to itself before it waits
DISK_FULL = 0.8  # share from which writes become slow; at 1 they fail
WRITE_S, WRITE_ERRORS = 1.5, 0.4  # delay and share of failing requests when nothing is left


def queue(arrivals: np.ndarray, rate: np.ndarray, longest: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Requests waiting at each sample and the share of the arrivals shed: Lindley's recursion with a full queue."""
    net = np.ascontiguousarray(((arrivals - rate) * step).T)  # one sample of all replicas is one row: fast to walk
    waiting, shed = np.zeros_like(net), np.zeros_like(net)
    level, most = np.zeros(net.shape[1]), longest[:, 0]
    for k in range(len(net)):
        level = np.maximum(level + net[k], 0.0)
        shed[k] = np.maximum(level - most, 0.0)
        waiting[k] = level = level - shed[k]
    return waiting.T.copy(), np.divide(shed.T, arrivals * step, out=np.zeros_like(arrivals), where=arrivals > 0)


def resident_memory(
    scenario: Scenario, seed: int, effects: Effects, arrivals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Resident memory in bytes, and what of it a collection has to go through.

    A base that drifts, the requests in flight, collection's saw-tooth, leaks; and caches, which give way when memory is
    short and of which collection knows nothing.
    """
    names, length = list(scenario.replicas()), arrivals.shape[1]
    base, limit = settings(scenario, "memory"), settings(scenario, "memory_limit")
    size = 1 + autocorrelated(seed, "size", names, length, memory=0.998, sigma=0.025)
    fine = autocorrelated(seed, "allocation", names, length, memory=0.4, sigma=0.008, tail=4)
    load = 0.15 * arrivals / settings(scenario, "capacity")
    saw = np.empty((len(names), length))
    for k, name in enumerate(names):
        rng = stream(seed, "collection", name)
        period, height = rng.uniform(35, 140) * 60, rng.uniform(0.02, 0.08)
        saw[k] = height * ((np.arange(length) * scenario.step / period + rng.random()) % 1.0)
    usual = base * (size + fine + load + saw)
    free = limit - base
    own = np.clip(usual + free * effects.driver("leak")[: len(names)], 0, 0.997 * limit)
    cache = np.clip(free * effects.driver("cache")[: len(names)], 0, np.clip(CACHE_MOST * limit - own, 0, None))
    return own + cache, own


def connections(
    scenario: Scenario, seed: int, held: np.ndarray, kept: np.ndarray, arrivals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors in use beside those of requests in flight, and the share of the limit that is taken.

    Kept-alive connections follow the load and the habits of the clients, which change slowly.
    """
    most = settings(scenario, "descriptors")
    habit = autocorrelated(seed, "habit", list(scenario.replicas()), arrivals.shape[1], memory=0.99, sigma=0.1)
    idle = most * np.exp(habit) * (0.08 + 0.25 * arrivals / settings(scenario, "capacity"))
    used = idle + (most - idle) * (held + np.minimum(kept, KEPT_MOST))
    return used, used / most


def hiccups(scenario: Scenario, seed: int, length: int) -> np.ndarray:
    """Short troubles that belong to normal life (a slow disk, a noisy neighbour), as logarithms."""
    chance = HICCUPS_A_DAY * scenario.step / DAY
    return np.vstack(
        [
            shots(stream(seed, "hiccup", name), length, chance=chance, height=0.5, memory=0.4)
            for name in scenario.replicas()
        ]
    )


def gpus(scenario: Scenario, seed: int, effects: Effects, busy: np.ndarray) -> tuple[np.ndarray, ...]:
    """Heat and clock of the hosts: temperature follows load with inertia; above a limit the clock goes down."""
    names, length = list(scenario.hosts), busy.shape[1]
    if not names:
        return (np.zeros((0, length)),) * 3
    on_host = host_rows(scenario)
    utilization = np.zeros((len(names), length))
    for k in range(len(names)):
        tenants = np.flatnonzero(on_host == k)
        if len(tenants):
            utilization[k] = np.clip(np.where(effects.down[tenants], 0, busy[tenants]).mean(axis=0), 0, 1)
    memory = float(np.exp(-scenario.step / HEAT_S))
    power = LOAD_CEL * utilization + effects.driver("heat")[len(on_host) :]
    warm, _ = lfilter([1 - memory], [1, -memory], power, axis=1, zi=power[:, :1] * memory)
    room = autocorrelated(seed, "room", names, length, memory=0.995, sigma=1.0)
    hall = regional(seed, "hall", [h.region for h in scenario.hosts.values()], length, memory=0.998, sigma=1.2)
    heat = ROOM_CEL + warm + room + hall
    heat = np.where(heat > THROTTLE_CEL, THROTTLE_CEL + RELIEF * (heat - THROTTLE_CEL), heat)
    gpu = np.array([host.gpu for host in scenario.hosts.values()])[:, None]
    slowed = np.clip(1 - THROTTLE_SLOPE * np.clip(heat - THROTTLE_CEL, 0, None), THROTTLE_FLOOR, 1)
    return heat, np.where(gpu, slowed, 1.0), utilization


def processors(scenario: Scenario, effects: Effects, utilization: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Busy share of each host's CPU, which may be asked for more than 1, and the speed that is left to what runs there.

    A job of low priority fills what is free and slows nobody down.
    """
    own = np.array([CPU_OF_LOAD[host.gpu] for host in scenario.hosts.values()])[:, None]
    count = len(scenario.replicas())
    wanted = IDLE_CPU + own * utilization + effects.driver("stolen")[count:]
    speed = 1 / (1 + CPU_SLOPE * np.clip(wanted - CPU_KNEE, 0, None))
    return np.maximum(wanted, np.minimum(wanted + effects.driver("spare")[count:], 0.985)), speed


def disks(scenario: Scenario, seed: int, effects: Effects) -> np.ndarray:
    """Used share of each host's disk: what is there for good, log files until midnight, files that come and go."""
    names, count, length = list(scenario.hosts), len(scenario.replicas()), effects.length
    used = np.empty((len(names), length))
    for k, name in enumerate(names):
        rng = stream(seed, "disk", name)
        base, logs = rng.uniform(*DISK_USED), rng.uniform(*LOGS_A_DAY)
        midnight = (
            (scenario.start - scenario.start.normalize()).total_seconds() + np.arange(length) * scenario.step
        ) / DAY
        used[k] = base + logs * (midnight % 1.0)
    used = used + autocorrelated(seed, "files", names, length, memory=0.998, sigma=0.012)
    lost = effects.driver("fill")[count:] + np.minimum(effects.driver("scratch")[count:], SCRATCH_MOST)
    return np.clip(used + (1 - used) * lost, 0, 1)


def writes(disk: np.ndarray, on_host: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Delay (s) and probability of failure of requests that write to a disk with little or nothing left."""
    if not len(disk):
        return np.zeros(shape), np.zeros(shape)
    short, there = np.clip((disk - DISK_FULL) / (1 - DISK_FULL), 0, 1), on_host[:, None] >= 0
    return np.where(there, WRITE_S * short[on_host] ** 2, 0.0), np.where(there, WRITE_ERRORS * short[on_host] ** 4, 0.0)


def losses(scenario: Scenario, effects: Effects) -> np.ndarray:
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


def retransmissions(loss: np.ndarray, on_host: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
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
