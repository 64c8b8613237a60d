"""When what befalls whom: the events that a scenario names and those that it leaves to the seed."""

from __future__ import annotations

__all__ = ["Occurrence", "occurrences"]

from collections.abc import Iterator
from dataclasses import dataclass

from stability.simulate.modes import BENIGN, FAILURE_MODES, Mode
from stability.simulate.scenario import Event, Scenario
from stability.simulate.streams import pick, stream

SPREAD = 0.3  # standard deviation of the logarithm of a drawn intensity: some faults pass unfelt, some hit hard
ROOM = 1.15  # a drawn fault leaves this share of its duration free at the end of its slot, to recover in


@dataclass(frozen=True)
class Occurrence:
    """One event with everything decided: `start` and `end` in s after the beginning of the scenario."""

    name: str
    mode: str
    entity: str
    start: float
    end: float
    intensity: float

    @property
    def kind(self) -> Mode:
        """What the mode does."""
        return FAILURE_MODES[self.mode] if self.mode in FAILURE_MODES else BENIGN[self.mode]


def occurrences(scenario: Scenario, seed: int) -> tuple[list[Occurrence], list[Occurrence]]:
    """Decide all faults and all harmless events.

    Parameters
    ----------
    scenario : Scenario
        Its `faults` and `benign` are taken as they stand; `random` is drawn.
    seed : int
        The seed.

    Returns
    -------
    (faults, benign) : lists of Occurrence, by start
        Named f01, f02, ... and b01, b02, ... in this order.
    """
    faults = [_fixed(event, seed, f"fault {k}") for k, event in enumerate(scenario.faults)]
    benign = [_fixed(event, seed, f"benign {k}") for k, event in enumerate(scenario.benign)]
    faults += _drawn_faults(scenario, seed, faults)
    benign += _drawn_benign(scenario, seed)
    return _numbered("f", faults), _numbered("b", benign)


def _numbered(letter: str, events: list[Occurrence]) -> list[Occurrence]:
    ordered = sorted(events, key=lambda e: (e.start, e.entity, e.mode))
    width = max(2, len(str(len(ordered))))
    return [
        Occurrence(f"{letter}{k:0{width}d}", e.mode, e.entity, e.start, e.end, e.intensity)
        for k, e in enumerate(ordered, start=1)
    ]


def _fixed(event: Event, seed: int, name: str) -> Occurrence:
    length = event.duration if event.duration is not None else _minutes(event.mode, seed, name) * 60
    start = round(event.start)
    return Occurrence(name, event.mode, event.entity, start, start + round(length), event.intensity)


def _minutes(mode: str, seed: int, name: str) -> float:
    shortest, longest = (FAILURE_MODES | BENIGN)[mode].minutes
    return float(stream(seed, "duration", name).uniform(shortest, longest))


def _drawn_faults(scenario: Scenario, seed: int, fixed: list[Occurrence]) -> list[Occurrence]:
    """Share the time out in equal slots, one a fault, so that most faults stand alone in the record."""
    modes = [mode for mode, count in scenario.random.faults.items() for _ in range(count)]
    if not modes:
        return []
    modes = [modes[k] for k in stream(seed, "schedule", "order").permutation(len(modes))]
    before = scenario.duration if scenario.random.before is None else scenario.random.before
    slot = (before - scenario.random.after) / len(modes)
    taken, drawn = list(fixed), []
    for k, mode in enumerate(modes):
        name = f"random fault {k}"
        rng = stream(seed, "schedule", name)
        length = _minutes(mode, seed, name) * 60
        start = round(scenario.random.after + k * slot + rng.random() * max(slot - ROOM * length, 0.0))
        intensity = float(rng.lognormal(0.0, SPREAD))
        busy = {e.entity for e in taken if e.start < start + length and start < e.end}
        free = [t for t in scenario.targets(mode) if t not in busy] or scenario.targets(mode)
        drawn.append(Occurrence(name, mode, pick(seed, name, free), start, start + round(length), intensity))
        taken.append(drawn[-1])
    return drawn


def _drawn_benign(scenario: Scenario, seed: int) -> list[Occurrence]:
    """Spread harmless events over the whole record, the clean part too: there they belong to what is normal."""

    def draw() -> Iterator[Occurrence]:
        for mode, count in scenario.random.benign.items():
            for k in range(count):
                name = f"random {mode} {k}"
                rng = stream(seed, "schedule", name)
                length = _minutes(mode, seed, name) * 60
                start = round((k + rng.random()) / count * max(scenario.duration - length, 0.0))
                yield Occurrence(
                    name,
                    mode,
                    pick(seed, name, scenario.targets(mode)),
                    start,
                    start + round(length),
                    float(rng.lognormal(0.0, SPREAD)),
                )

    return list(draw())
