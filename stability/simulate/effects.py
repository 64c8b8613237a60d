"""From events to what acts on each entity at each sample: drivers, restarts, and changes of state."""

from __future__ import annotations

__all__ = ["Effects", "apply", "campaigns"]

from dataclasses import dataclass, field

import numpy as np

from stability.simulate.courses import haste, shape
from stability.simulate.modes import FAILURE_MODES, GROWTH
from stability.simulate.scenario import Scenario
from stability.simulate.schedule import Occurrence
from stability.simulate.streams import stream
from stability.simulate.topology import placement

HANDOVER_S = 60.0  # a planned restart: drained, started, ready
CRASH_S = 300.0  # a killed process: noticed, started again, models loaded
COLD_WORK = 0.25  # extra work just after a start, while caches are empty
COLD_S = 360.0  # it dies away with this time constant
APART_S = 240.0  # the least time between the restarts of what runs on a host under maintenance


@dataclass
class Effects:
    """What acts on the fleet.

    Parameters
    ----------
    entities : list of str, length n
        Rows of the arrays.
    length : int
        Samples.
    down : ndarray of bool, shape (n, length)
        Whether the process is away.
    born : ndarray of bool, shape (n, length)
        Whether this is the first sample of a new process: its counters begin at 0.
    states : list of (float, str, str, str)
        Seconds, entity, name, value.
    kills : list of (str, int)
        Entity and sample at which the kernel killed the process.
    skews : list of (int, float, float, float)
        Row, start and end in s, and by how many s the clock of the entity runs ahead between them.
    drivers : dict of str to ndarray of float64, shape (n, length)
        What acts on each entity at each sample, by the names of `modes.DRIVERS`.
    """

    entities: list[str]
    length: int
    down: np.ndarray
    born: np.ndarray
    states: list[tuple[float, str, str, str]] = field(default_factory=list)
    kills: list[tuple[str, int]] = field(default_factory=list)
    skews: list[tuple[int, float, float, float]] = field(default_factory=list)
    drivers: dict[str, np.ndarray] = field(default_factory=dict)

    def driver(self, name: str) -> np.ndarray:
        """Give a driver's array, shape (n, length), of zeros until something acts on it."""
        if name not in self.drivers:
            self.drivers[name] = np.zeros((len(self.entities), self.length))
        return self.drivers[name]


def campaigns(benign: list[Occurrence], scenario: Scenario, seed: int, length: int) -> dict[str, np.ndarray]:
    """Add up the extra demand of campaigns, as a share of the usual one, by service."""
    extra: dict[str, np.ndarray] = {}
    for event in benign:
        if "traffic" in event.kind.effects:
            first, last, course = _course(event, scenario, seed, length)
            extra.setdefault(event.entity, np.zeros(length))[first:last] += (
                event.kind.effects["traffic"] * event.intensity * course
            )
    return extra


def apply(events: list[Occurrence], scenario: Scenario, seed: int, load: dict[str, np.ndarray]) -> Effects:
    """Work out what the events do to each entity.

    Parameters
    ----------
    events : list of Occurrence
        Faults and harmless events.
    scenario : Scenario
        The fleet.
    seed : int
        The seed.
    load : dict of str to ndarray of float64, shape (length,)
        Requests/s that each service gets, relative to its mean: leaks grow with it.

    Returns
    -------
    Effects
    """
    names = list(scenario.roles())
    length = len(next(iter(load.values())))
    blank = np.zeros((len(names), length), dtype=bool)
    effects = Effects(names, length, blank, blank.copy())
    row = {name: k for k, name in enumerate(names)}
    paces = _paces(scenario, load, length)
    for entity in names:
        effects.states += [(0.0, entity, *pair) for pair in _first_states(scenario, seed, entity)]
    for event in events:
        first, last, course = _course(event, scenario, seed, length)
        if "traffic" in event.kind.effects or first >= length:
            continue
        k = row[event.entity]
        for name, size in event.kind.effects.items():
            strength = size * event.intensity
            if name == "skew":
                effects.skews.append((k, event.start, event.end, strength))
                continue
            grown = course
            if name in GROWTH:
                whole = (event.end - event.start) * haste(bool(event.abrupt))
                grown = np.cumsum(paces[k][first:last]) * scenario.step / whole
            if name == "leak":
                _leak(effects, scenario, k, first, strength * grown)
            else:
                effects.driver(name)[k, first:last] += strength * grown
        if event.kind.restarts:
            for entity, sample in _restarted(event, scenario, first if event.kind.restarts == "start" else last):
                _restart(effects, scenario, row[entity], sample, HANDOVER_S)
        if event.kind.state:
            effects.states += _changes(event, scenario, seed, effects.states)
    _cold_caches(effects, scenario)
    effects.states.sort()
    return effects


def _course(event: Occurrence, scenario: Scenario, seed: int, length: int) -> tuple[int, int, np.ndarray]:
    """Samples first..last-1 that the event touches, and how strongly: a sample belongs to it from its start on."""
    first = min(int(np.ceil(event.start / scenario.step)), length)
    last = min(max(int(np.ceil(event.end / scenario.step)), first + 1), length)
    seconds = np.arange(first, last) * scenario.step
    progress = np.clip((seconds - event.start) / (event.end - event.start), 0, 1)
    rng, minutes = stream(seed, "course", event.key), (event.end - event.start) / 60
    return first, last, shape(event.kind.course, progress, minutes, rng, event.abrupt)


def _paces(scenario: Scenario, load: dict[str, np.ndarray], length: int) -> list[np.ndarray]:
    """Give the load of every entity, relative to its mean; a host's is the mean of what runs on it."""
    service, place = scenario.replicas(), placement(scenario)
    own = [load[service[entity]] for entity in service]
    tenants = {host: [own[k] for k, e in enumerate(service) if place.get(e) == host] for host in scenario.hosts}
    return own + [np.mean(loads, axis=0) if loads else np.ones(length) for loads in tenants.values()]


def _restarted(event: Occurrence, scenario: Scenario, sample: int) -> list[tuple[str, int]]:
    """Who is restarted when: the entity itself; of a host, what runs there, one process after the other."""
    if event.entity not in scenario.hosts:
        return [(event.entity, sample)]
    tenants = [entity for entity, host in placement(scenario).items() if host == event.entity]
    apart = max(APART_S, (event.end - event.start) / max(len(tenants), 1))
    return [(entity, sample + int(k * apart // scenario.step)) for k, entity in enumerate(tenants)]


def _restart(effects: Effects, scenario: Scenario, row: int, sample: int, seconds: float) -> int:
    """Take the process away at a sample; returns the first sample at which it is back."""
    if sample >= effects.length:
        return effects.length
    back = sample + max(int(np.ceil(seconds / scenario.step)), 1)
    effects.down[row, sample:back] = True
    if back < effects.length:
        effects.born[row, back] = True
    return back


def _leak(effects: Effects, scenario: Scenario, row: int, first: int, lost: np.ndarray) -> None:
    """Let memory go until the kernel kills the process, then again from nothing: the cause is still there."""
    level = effects.driver("leak")
    begin, base = 0, 0.0
    while begin < len(lost):
        over = np.flatnonzero(lost[begin:] - base >= 1.0)
        end = begin + int(over[0]) if len(over) else len(lost)
        level[row, first + begin : first + end] += lost[begin:end] - base
        if not len(over):
            return
        effects.kills.append((effects.entities[row], first + end))
        begin = _restart(effects, scenario, row, first + end, CRASH_S) - first
        base = lost[min(begin, len(lost)) - 1]


def _cold_caches(effects: Effects, scenario: Scenario) -> None:
    for row, sample in np.argwhere(effects.born):
        warm = min(effects.length - sample, int(np.ceil(10 * COLD_S / scenario.step)))  # e^-10 is nothing
        seconds = np.arange(warm) * scenario.step
        effects.driver("work")[row, sample : sample + warm] += COLD_WORK * np.exp(-seconds / COLD_S)


def _first_states(scenario: Scenario, seed: int, entity: str) -> list[tuple[str, str]]:
    rng = stream(seed, "state", entity)
    if entity in scenario.hosts:
        return [("kernel_version", f"6.1.{rng.integers(90, 140)}")]
    # The replicas of a service begin with one version and one configuration.
    service = scenario.replicas()[entity]
    shared = stream(seed, "state", service)
    names = ["version", "config_hash"] + ["model_version"] * (scenario.services[service].role == "model_server")
    return [(name, _value(name, shared)) for name in names]


def _value(name: str, rng: np.random.Generator) -> str:
    if name == "config_hash":
        return f"{rng.integers(0, 2**32):08x}"
    return f"{rng.integers(1, 4)}.{rng.integers(0, 12)}.{rng.integers(0, 20)}"


def _changes(
    event: Occurrence, scenario: Scenario, seed: int, states: list[tuple[float, str, str, str]]
) -> list[tuple[float, str, str, str]]:
    """A new value from the event's start on; a fault's repair brings the old one back."""
    name = event.kind.state
    before = max((s for s in states if s[1:3] == (event.entity, name) and s[0] <= event.start), key=lambda s: s[0])[3]
    rng = stream(seed, "state", event.key)
    if name == "kernel_version":
        after = f"{before.rpartition('.')[0]}.{int(before.rpartition('.')[2]) + 1}"
    elif name == "version":
        major, minor, patch = map(int, before.split("."))
        after = f"{major}.{minor}.{patch + int(rng.integers(1, 4))}"
    else:
        after = _value(name, rng)
    changes = [(event.start, event.entity, name, after)]
    if event.mode in FAILURE_MODES and event.end < scenario.duration:
        changes.append((event.end, event.entity, name, before))
    return changes
