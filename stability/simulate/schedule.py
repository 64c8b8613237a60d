"""When what befalls whom: the events that a scenario names and those that it leaves to the seed."""

from __future__ import annotations

__all__ = ["Occurrence", "occurrences"]

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from stability.simulate.modes import BENIGN, FAILURE_MODES, Mode
from stability.simulate.scenario import Event, Scenario
from stability.simulate.streams import pick, stream

SPREAD = 0.25  # standard deviation of the logarithm of a drawn intensity: some faults pass unfelt, some hit hard
MILD = 0.15  # what is left of the intensity of a fault that is drawn to be mild: it shows, and hurts nobody
STRONGEST = 1.4  # a harmless event that is drawn is never stronger: it would no longer be harmless
SHORT = 0.45  # an abrupt fault is found and repaired sooner: of the usual duration, so much
ROOM = 1.15  # a drawn fault leaves this share of its duration free after it, to recover in


@dataclass(frozen=True)
class Occurrence:
    """One event with everything decided: `start` and `end` in s after the beginning of the scenario.

    `name` is its number in the record, `key` what its random draws belong to: it does not change when another event is
    added. `abrupt` tells how a fault comes, and is None for a harmless event.
    """

    name: str
    key: str
    mode: str
    entity: str
    start: float
    end: float
    intensity: float
    abrupt: bool | None = None

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
    faults = [_fixed(event, seed) for event in scenario.faults]
    benign = [_fixed(event, seed) for event in scenario.benign]
    faults += _drawn_faults(scenario, seed, faults)
    benign += _drawn_benign(scenario, seed)
    return _numbered("f", faults), _numbered("b", benign)


def _numbered(letter: str, events: list[Occurrence]) -> list[Occurrence]:
    ordered = sorted(events, key=lambda e: (e.start, e.entity, e.mode))
    width = max(2, len(str(len(ordered))))
    return [replace(e, name=f"{letter}{k:0{width}d}") for k, e in enumerate(ordered, start=1)]


def _fixed(event: Event, seed: int) -> Occurrence:
    key = f"{event.mode} {event.entity} {event.start:g}"
    length = event.duration if event.duration is not None else _minutes(event.mode, seed, key) * 60
    start = round(event.start)
    abrupt = None
    if event.mode in FAILURE_MODES:
        abrupt = not FAILURE_MODES[event.mode].precursor if event.pace is None else event.pace == "abrupt"
    return Occurrence("", key, event.mode, event.entity, start, start + round(length), event.intensity, abrupt)


def _minutes(mode: str, seed: int, key: str) -> float:
    shortest, longest = (FAILURE_MODES | BENIGN)[mode].minutes
    return float(stream(seed, "duration", key).uniform(shortest, longest))


def _drawn_faults(scenario: Scenario, seed: int, fixed: list[Occurrence]) -> list[Occurrence]:
    """Lay the faults one after the other, with pauses of random length, so that most stand alone in the record."""
    modes = [mode for mode, count in scenario.random.faults.items() for _ in range(count)]
    if not modes:
        return []
    modes = [modes[k] for k in stream(seed, "schedule", "order").permutation(len(modes))]
    before = scenario.duration if scenario.random.before is None else scenario.random.before
    mild = _mild(scenario, seed, modes)
    kinds = [_drawn_kind(scenario, seed, f"random fault {k}", mode, k in mild) for k, mode in enumerate(modes)]
    needed = np.array([ROOM * length for length, _, _ in kinds])
    span = before - scenario.random.after
    free = span - needed.sum()
    pauses = np.array([stream(seed, "schedule", f"random fault {k}").exponential() for k in range(len(modes))])
    if free > 0:
        starts = scenario.random.after + np.cumsum(pauses / (pauses.sum() + 1) * free + np.append(0, needed[:-1]))
    else:  # too many to stand alone: they begin at even distances and overlap
        starts = scenario.random.after + span * np.arange(len(modes)) / len(modes)
    taken, drawn = list(fixed), []
    for k, (mode, (length, intensity, abrupt)) in enumerate(zip(modes, kinds, strict=True)):
        key, start = f"random fault {k}", round(float(starts[k]))
        end = start + round(length)
        busy = {e.entity for e in taken if e.start < end and start < e.end}
        targets = [t for t in scenario.targets(mode) if t not in busy] or scenario.targets(mode)
        drawn.append(Occurrence("", key, mode, pick(seed, key, targets), start, end, intensity, abrupt))
        taken.append(drawn[-1])
    return drawn


def _mild(scenario: Scenario, seed: int, modes: list[str]) -> set[int]:
    """Choose which of the faults are mild: of every mode the same share, so that each has some that nobody feels."""
    chance = stream(seed, "schedule", "mild").random(len(modes))
    chosen: set[int] = set()
    for mode in dict.fromkeys(modes):
        here = sorted((k for k, other in enumerate(modes) if other == mode), key=lambda k: chance[k])
        chosen |= set(here[: round(scenario.random.mild * len(here))])
    return chosen


def _drawn_kind(scenario: Scenario, seed: int, key: str, mode: str, mild: bool) -> tuple[float, float, bool]:
    """Draw how long a fault lasts (s), how strong it is, and whether it comes without warning."""
    rng = stream(seed, "kind", key)
    usual = not FAILURE_MODES[mode].precursor
    abrupt = usual != bool(rng.random() < scenario.random.surprise)
    intensity = float(rng.lognormal(0.0, SPREAD)) * (MILD if mild else 1.0)
    return _minutes(mode, seed, key) * 60 * (SHORT if abrupt and not usual else 1.0), intensity, abrupt


def _drawn_benign(scenario: Scenario, seed: int) -> list[Occurrence]:
    """Spread harmless events over the whole record, the clean part too: there they belong to what is normal."""

    def draw() -> Iterator[Occurrence]:
        for mode, count in scenario.random.benign.items():
            for k in range(count):
                key = f"random {mode} {k}"
                rng = stream(seed, "schedule", key)
                length = _minutes(mode, seed, key) * 60
                start = round((k + rng.random()) / count * max(scenario.duration - length, 0.0))
                entity = pick(seed, key, scenario.targets(mode))
                intensity = min(float(rng.lognormal(0.0, SPREAD)), STRONGEST)
                yield Occurrence("", key, mode, entity, start, start + round(length), intensity)

    return list(draw())
