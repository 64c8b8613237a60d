"""When what befalls whom: the times, entities and intensities that a seed draws for a plan."""

from __future__ import annotations

__all__ = ["HEADLINE", "Scheduled", "clean_share", "schedule", "schedule_table"]

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stability.schema import ContractError
from stability.simulate.streams import stream
from stability.testbed.modes import BENIGN, FAILURE_MODES

if TYPE_CHECKING:
    from stability.testbed.plan import Plan

HEADLINE = (
    "memory_leak",
    "cpu_saturation",
    "slow_dependency",
    "connection_pool_exhaustion",
    "descriptor_leak",
    "disk_full",
)
"""The modes of which the recordings hold most, and on which methods are compared."""

FIRST, LAST = 45.0, 20.0  # s at the ends of a segment that stay quiet: to warm up in, and to recover in
BESIDE = 20.0  # s between a harmless event and its neighbours, so that a fault's traces are not taken for its own
USUAL = (0.7, 1.3)  # intensities of faults
HARMLESS = (0.7, 1.0)  # of harmless events: a stronger one would no longer be harmless
MILD, MILD_SHARE = 0.25, 1 / 8  # the intensity that shows and that as a rule nobody feels, and the share that has it
STRONG, STRONG_OTHERS = 4, 2  # faults of a headline mode, and of another, that are never mild: few say little
RECOVERY = 10.0  # s after a fault's end within which all is as before


@dataclass(frozen=True)
class Scheduled:
    """One event with everything decided.

    Parameters
    ----------
    segment : int
        Number of the segment, from 0.
    start, seconds : float
        When it begins, in s after the beginning of the segment, and how long it lasts.
    mode, entity : str
        What befalls whom.
    intensity : float
        How strong it is; 1 is what the mode's meaning says.
    harmful : bool
        Whether it is a fault.
    variant : int
        Seed of what is left open: which configuration is bad, which answers are lost.
    """

    segment: int
    start: float
    seconds: float
    mode: str
    entity: str
    intensity: float
    harmful: bool
    variant: int

    @property
    def end(self) -> float:
        """When it is over, in s after the beginning of the segment."""
        return self.start + self.seconds


def schedule(plan: Plan, seed: int | None = None) -> list[Scheduled]:
    """Decide when what befalls whom.

    Durations, intensities and entities are drawn event by event, each from a stream of its own: another mode, another
    segment or another gap does not change them. Durations are drawn in strata, so that recordings with other seeds have
    the same share of faults. Every segment has its part of each mode.

    Parameters
    ----------
    plan : Plan
        As `read_plan` gives it.
    seed : int, optional
        In place of the plan's own: one more recording.

    Returns
    -------
    list of Scheduled, by segment and start
        Faults do not overlap and are `plan.gap` apart; harmless events are at least 20 s from them. Nothing happens in
        the first 45 and the last 20 s of a segment. Events that the plan names stand as they are.

    Raises
    ------
    ContractError
        If the events do not fit into the segments, with the seconds that are wanting.

    Examples
    --------
    >>> from stability.testbed.plan import read_plan
    >>> plan = read_plan({"seed": 1, "segments": {"seconds": 300}, "faults": {"disk_full": 1}, "benign": {"backup": 1}})
    >>> [(e.mode, e.harmful) for e in sorted(schedule(plan), key=lambda e: e.mode)]
    [('backup', False), ('disk_full', True)]
    >>> schedule(plan) == schedule(plan, seed=1), schedule(plan) == schedule(plan, seed=2)
    (True, False)
    """
    seed = plan.seed if seed is None else seed
    if plan.events:
        named = []
        for k, e in enumerate(plan.events):
            variant = int(stream(seed, "plan", "event", str(k)).integers(2**31))
            named.append(
                Scheduled(e.segment, e.at, e.seconds, e.mode, e.entity, e.intensity, e.mode in FAILURE_MODES, variant)
            )
        return sorted(named, key=lambda e: (e.segment, e.start))
    dealt, room = _deal(plan, seed, _draw(plan.faults, seed) + _draw(plan.benign, seed))
    wanting = -sum(min(left, 0.0) for left in room)
    if wanting > 0:
        expected = f"events that fit into {plan.segments.count} x {plan.segments.seconds:g} s"
        remedy = "fewer events, a shorter gap, or more or longer segments"
        got = f"{np.ceil(wanting):,.0f} s more than that"
        raise ContractError(file=plan._source, column="faults", expected=expected, got=got, remedy=remedy)
    return [event for number, events in enumerate(dealt) for event in _lay(plan, seed, number, events)]


def _draw(counts: Mapping[str, int], seed: int) -> list[Scheduled]:
    """Draw all of each event but its segment and its start."""
    drawn = []
    for mode, count in counts.items():
        harmful = mode in FAILURE_MODES
        kind = (FAILURE_MODES if harmful else BENIGN)[mode]
        strata = stream(seed, "plan", "strata", mode).permutation(count)
        for k in range(count):
            rng = stream(seed, "plan", mode, str(k))
            shortest, longest = kind.seconds
            seconds = float(shortest + (longest - shortest) * (strata[k] + rng.random()) / count)
            intensity = rng.uniform(*(USUAL if harmful else HARMLESS))
            turn, place = divmod(k, len(kind.on))  # every entity once before any of them is again
            entity = kind.on[stream(seed, "plan", "entities", mode, str(turn)).permutation(len(kind.on))[place]]
            variant = int(rng.integers(2**31))
            event = Scheduled(0, 0.0, round(seconds, 3), mode, entity, round(intensity, 3), harmful, variant)
            drawn.append(event)
    mild = _mild(counts, seed) if drawn and drawn[0].harmful else set()
    return [replace(e, intensity=MILD) if k in mild else e for k, e in enumerate(drawn)]


def _mild(counts: Mapping[str, int], seed: int) -> set[int]:
    """Choose the faults that are mild: one in eight, and of no mode too many."""
    events = [(mode, str(k)) for mode, count in counts.items() for k in range(count)]
    most = {mode: count - (STRONG if mode in HEADLINE else STRONG_OTHERS) for mode, count in counts.items()}
    chosen: set[int] = set()
    for k in np.argsort([stream(seed, "plan", "mild", *event).random() for event in events]):
        if len(chosen) < round(MILD_SHARE * len(events)) and most[events[k][0]] > 0:
            most[events[k][0]] -= 1
            chosen.add(int(k))
    return chosen


def _deal(plan: Plan, seed: int, events: list[Scheduled]) -> tuple[list[list[Scheduled]], list[float]]:
    """Give every segment its part of each mode, and the roomiest segment what is over; also the room that is left."""
    beyond = plan.gap.mean - plan.gap.min
    room = [plan.segments.seconds - FIRST - LAST + beyond] * plan.segments.count
    dealt: list[list[Scheduled]] = [[] for _ in room]
    has: list[Counter[str]] = [Counter() for _ in room]
    chance = stream(seed, "plan", "deal")
    modes = list(dict.fromkeys(e.mode for e in events))
    turn = dict(zip(modes, chance.permutation(len(modes)), strict=True))
    for event in sorted(events, key=lambda e: (not e.harmful, turn[e.mode])):  # the sort keeps the order within a mode
        rank = chance.permutation(len(room))
        number = min(range(len(room)), key=lambda k: (has[k][event.mode], -room[k], rank[k]))
        # What the order within the segment can ask for at most: alone between two faults, a harmless event takes the
        # place of their gap; elsewhere it has one more neighbour.
        distance = plan.gap.min if event.harmful else max(BESIDE, 2 * BESIDE - plan.gap.min)
        room[number] -= event.seconds + (distance if dealt[number] or not event.harmful else 0.0) + beyond
        dealt[number].append(replace(event, segment=number))
        has[number][event.mode] += 1
    return dealt, [left if there else 0.0 for left, there in zip(room, dealt, strict=True)]


def _lay(plan: Plan, seed: int, number: int, events: list[Scheduled]) -> list[Scheduled]:
    """Lay the events of one segment one after the other, and share out the time that is left."""
    if not events:
        return []
    rng = stream(seed, "plan", "segment", str(number))
    faults = _arranged([e for e in events if e.harmful], rng)
    harmless = [e for e in events if not e.harmful]
    harmless = [harmless[k] for k in rng.permutation(len(harmless))]
    places = sorted(rng.permutation(len(events))[: len(faults)])
    order = [faults.pop(0) if k in places else harmless.pop(0) for k in range(len(events))]
    apart, since = [], np.inf  # since: seconds from the end of the last fault, without pauses
    for a, b in pairwise(order):
        since = 0.0 if a.harmful else since + a.seconds
        wanted = BESIDE if not b.harmful else plan.gap.min if a.harmful else max(BESIDE, plan.gap.min - since)
        apart.append(wanted)
        since += wanted
    free = plan.segments.seconds - FIRST - LAST - sum(e.seconds for e in order) - sum(apart)
    pauses = rng.exponential(size=len(order) + 1)
    pauses = np.floor(pauses / pauses.sum() * max(free, 0.0) * 1000) / 1000
    laid, now = [], FIRST
    for event, pause, distance in zip(order, pauses[:-1], [*apart, 0.0], strict=True):
        laid.append(replace(event, start=round(now + float(pause), 3)))
        now = laid[-1].end + distance
    return laid


def _arranged(events: list[Scheduled], rng: np.random.Generator) -> list[Scheduled]:
    """Bring into a random order in which no mode follows itself, if there is one."""
    left = [events[k] for k in rng.permutation(len(events))]
    order: list[Scheduled] = []
    while left:
        (commonest, count), *_ = Counter(e.mode for e in left).most_common(1)
        others = [e for e in left if not order or e.mode != order[-1].mode]
        urgent = [e for e in others if e.mode == commonest and 2 * count > len(left)]  # else it would be left at last
        order.append((urgent or others or left)[0])
        left.remove(order[-1])
    return order


def clean_share(events: Iterable[Scheduled], plan: Plan) -> float:
    """Share of a recording's time that is more than 10 s from every fault's end, and not within a fault.

    Parameters
    ----------
    events : iterable of Scheduled
        As `schedule` gives them; harmless ones take nothing away.
    plan : Plan
        For the length of the segments.

    Returns
    -------
    float
        In [0, 1].
    """
    faults = sorted((e for e in events if e.harmful), key=lambda e: e.start)
    taken = 0.0
    for number in range(plan.segments.count):
        until = 0.0
        for event in (e for e in faults if e.segment == number):
            end = min(event.end + RECOVERY, plan.segments.seconds)
            taken += max(end - max(event.start, until), 0.0)
            until = max(until, end)
    return 1 - taken / (plan.segments.count * plan.segments.seconds)


def schedule_table(events: Iterable[Scheduled]) -> pd.DataFrame:
    """Show a schedule to people, one row an event.

    Returns
    -------
    DataFrame
        Columns segment, start, end, seconds (s), mode, entity, intensity, harmful.
    """
    columns = ["segment", "start", "end", "seconds", "mode", "entity", "intensity", "harmful"]
    return pd.DataFrame([[getattr(e, c) for c in columns] for e in events], columns=columns).round(2)
