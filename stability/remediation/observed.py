"""All that bears on a verdict, laid on the same steps: the thing, its users, its detectors, its neighbours."""

from __future__ import annotations

__all__ = ["Observed", "observe", "share"]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from stability.remediation import courses
from stability.remediation.aftermath import Aftermath
from stability.remediation.courses import BAD, GOOD, UNKNOWN, Steps
from stability.remediation.verification import Verification, Widths
from stability.schema import Metric, metric

HALF = 0.5  # of the last hold before the action, or before the fault: what was bad for so much of it was bad before
KNOWN = 4  # holds of history from which on it says for how long a neighbour is loud of its own
QUIET = 0.01  # smallest rate that a detector's crossings in quiet time are taken for
REGULAR = 0.5  # share of the usual steps from which on an entity's requests are known regularly, and are missed
SURE = 0.999  # of the crossings that so many quiet steps have at most


class Own(NamedTuple):
    """An entity's telemetry on the steps: values, its metrics, what of it moves, and what the registry says of them."""

    values: np.ndarray
    names: list[str]
    moves: courses.Moves
    about: Mapping[str, Metric]


@dataclass(frozen=True)
class Observed:
    """Courses around an action.

    Parameters
    ----------
    steps : Steps
    states : dict of str to ndarray of int, shape (steps,)
        `samples` (of the thing itself: GOOD or UNKNOWN), `service`, `detectors`, `condition`, `neighbours`; each holds
        through a gap that may be.
    fresh : ndarray of bool, shape (steps,)
        Where the thing's own samples are new ones.
    latest : ndarray of int, shape (steps,)
        The step up to which samples, service and detectors were all measured and not only carried on; -1 for none.
    counts : dict of str to ndarray of shape (steps, 2)
        Good and all requests by the entity that was asked.
    crossings : ndarray of shape (steps,)
        How many of the thing's detectors are above their thresholds.
    crossed : ndarray of bool, shape (steps,)
        Whether more crossings than in quiet time are among the last hold's.
    served : ndarray of bool, shape (steps,)
        Whether the thing's own requests of the last hold prove that it serves as promised.
    ailing, doubt : ndarray of bool, shape (steps,)
        Whether a metric of the thing itself, or anything of a neighbour, was out of bounds when it was last known after
        the action: it need not count as bad yet, and proves that not all is well.
    names : dict of str to list of (str, ndarray of bool)
        What is bad: for `detectors`, `condition` and `neighbours` by name, shape (steps,).
    seen_before : bool
        Whether the thing's samples moved before the fault.
    """

    steps: Steps
    states: dict[str, np.ndarray]
    fresh: np.ndarray
    latest: np.ndarray
    counts: dict[str, np.ndarray]
    crossings: np.ndarray
    crossed: np.ndarray
    served: np.ndarray
    ailing: np.ndarray
    doubt: np.ndarray
    names: dict[str, list[tuple[str, np.ndarray]]]
    seen_before: bool

    def worst(self, *names: str) -> np.ndarray:
        """Give the worst state: bad where any is bad, else unknown where any is unknown."""
        chosen = np.vstack([self.states[name] for name in names or self.states])
        return chosen.min(axis=0)


def observe(aftermath: Aftermath, settings: Verification) -> Observed:
    """Lay everything on steps."""
    steps = courses.steps_of(aftermath, settings.history)
    width = settings.widths(aftermath.step)
    usual = slice(0, steps.fault)
    about = {name: metric(name) for name in aftermath.telemetry.columns}
    own = _own(aftermath, steps, aftermath.entity, usual, about)
    fresh = _fresh(own, usual, steps.zero + width.skew)
    service, asked, counts = _service(aftermath, steps, settings, usual)
    detectors, scored, above, crossed, loud = _detectors(aftermath, steps, settings, aftermath.entity, usual)
    (beyond, ailing), _, hurt = _condition(own, steps, usual, width.lasting, 0)
    before = _fresh(own, usual, 0)
    fresh[: steps.zero] = before[: steps.zero]
    neighbours, doubt, hurting = _neighbours(aftermath, steps, settings, usual, about, counts)
    states = {
        "samples": courses.carried(fresh, width.gap),
        "service": service,
        "detectors": detectors,
        "condition": beyond,
        "neighbours": neighbours,
    }
    latest = np.vstack([_latest([fresh], steps.count), asked, scored]).min(axis=0)
    names = {"detectors": loud, "condition": hurt, "neighbours": hurting}
    seen = bool((before[usual] == GOOD).any())
    served = _served(counts.get(aftermath.entity), settings, width, usual, steps.count)
    return Observed(steps, states, fresh == GOOD, latest, counts, above, crossed, served, ailing, doubt, names, seen)


def _own(aftermath: Aftermath, steps: Steps, entity: str, usual: slice, about: Mapping[str, Metric]) -> Own:
    values, names = courses.laid(aftermath, steps, "telemetry", entity)
    return Own(values, names, courses.moving(values, usual, 0), about)


def _fresh(own: Own, usual: slice, since: int) -> np.ndarray:
    """Tell where an entity's own samples are new ones: at least half of what usually moves does, of its counters too.

    Where history is too short to say what moves, one moving metric has to do.
    """
    values, names = own.values, own.names
    state = np.full(len(values), UNKNOWN)
    if not names:
        return state
    alive, lively = courses.moving(values, usual, since) if since > 0 else own.moves
    there = ~np.isnan(values).all(axis=1)
    if not lively.any():
        short = (~np.isnan(values[usual])).sum(axis=0).max(initial=0) < courses.PAIRS
        state[there & alive.any(axis=1) & short] = GOOD
        return state
    counter = np.array([own.about[name].instrument != "gauge" for name in names])
    enough = there.copy()
    for chosen in (lively, lively & counter):
        enough &= 2 * alive[:, chosen].sum(axis=1) >= chosen.sum()
    state[enough] = GOOD
    return state


def _service(aftermath: Aftermath, steps: Steps, settings: Verification, usual: slice):
    width = settings.widths(aftermath.step)
    counts, states, regular = {}, [], []
    for entity in aftermath.service.index.get_level_values(0).unique():
        of = courses.summed(aftermath, steps, entity)
        known = ~np.isnan(of[:, 1])
        if not known.any():
            continue
        state = courses.asked(of, settings.objective, width.recent, width.hold)
        alive, lively = courses.moving(of, usual, 0)
        if lively.any():
            state[~alive[:, lively].any(axis=1)] = UNKNOWN  # the same counts again and again are old ones
        counts[str(entity)] = of
        states.append(state)
        regular.append(known[usual].mean() >= REGULAR if known[usual].any() else False)
    needed = np.array(regular, dtype=bool)
    combined = _combined([courses.carried(state, width.gap) for state in states], steps.count, needed)
    return combined, _latest(states, steps.count, needed), counts


def _latest(states: list[np.ndarray], count: int, needed: np.ndarray | None = None) -> np.ndarray:
    """Give, for each step, the one up to which all that has begun was measured; -1 where nothing has."""
    if not states:
        return np.full(count, -1)
    place = np.arange(count)
    at = np.maximum.accumulate(np.where(np.vstack(states) != UNKNOWN, place, -1), axis=1)
    if needed is not None and needed.any():
        at = at[needed]
    return np.where((at >= 0).any(axis=0), np.where(at >= 0, at, place).min(axis=0), -1)


def _combined(states: list[np.ndarray], count: int, needed: np.ndarray | None = None) -> np.ndarray:
    """Give the worst of several states; one that begins later counts from then on.

    Those that are not `needed` count only where they are bad, as long as any other is.
    """
    if not states:
        return np.full(count, UNKNOWN)
    stacked = np.vstack(states)
    begun = np.maximum.accumulate(stacked != UNKNOWN, axis=1)
    if needed is not None and needed.any():
        begun = needed[:, None] | (begun & (stacked == BAD))
    return np.where(begun.any(axis=0), np.where(begun, stacked, GOOD).min(axis=0), UNKNOWN)


def _detectors(aftermath: Aftermath, steps: Steps, settings: Verification, entity: str, usual: slice):
    width = settings.widths(aftermath.step)
    values, names = courses.laid(aftermath, steps, "scores", entity, list(aftermath.thresholds))
    before = ~np.isnan(values[: steps.zero]).all(axis=0)
    kept = np.flatnonzero(before if before.any() else np.ones(len(names), dtype=bool))
    alive, lively = courses.moving(values, usual, 0)
    states, crossed, loud = [], np.zeros(steps.count, dtype=bool), []
    crossings = np.zeros(steps.count)
    for k in kept:
        score, threshold = values[:, k], float(aftermath.thresholds[names[k]])
        state = courses.detected(score, threshold, width.recent)
        if lively[k]:
            state[~alive[:, k]] = UNKNOWN  # a score that stands still is an old one, high or low
        above = score > threshold
        quiet = (state == GOOD)[usual]
        rate = max(above[usual][quiet].mean() if quiet.any() else 0.0, QUIET)
        crossed |= courses.rolled(above, width.hold) > stats.binom.ppf(SURE, width.hold, rate)
        crossings += above
        loud.append((names[k], state == BAD))
        states.append(state)
    combined = _combined([courses.carried(state, width.gap) for state in states], steps.count)
    return combined, _latest(states, steps.count), crossings, crossed, loud


def _condition(own: Own, steps: Steps, usual: slice, lasting: int, used: int):
    """Tell where a metric that hurts is bad, and was when it was last known; the same of all; and each by name."""
    told = {"moves": own.moves, "known": own.about}
    states, judged = courses.condition(own.values, own.names, usual, lasting, used, **told)
    bad, last = states == BAD, np.zeros(states.shape, dtype=bool)
    for k, column in enumerate(states.T):
        last[:, k] = bad[:, k] | _last_bad(column, steps.zero)
    felt = [k for k, name in enumerate(judged) if courses.hurts(own.about[name])]
    parts = [(np.where(bad[:, k].any(axis=1), BAD, GOOD), last[:, k].any(axis=1)) for k in (felt, slice(None))]
    return *parts, list(zip(judged, bad.T, strict=True))


def _last_bad(state: np.ndarray, zero: int) -> np.ndarray:
    """Tell where a state was bad when it was last known, of what came after the action; shape (steps,)."""
    late = np.where(np.arange(len(state)) >= zero, state, UNKNOWN)
    return courses.carried(late, len(late)) == BAD


def _neighbours(
    aftermath: Aftermath,
    steps: Steps,
    settings: Verification,
    usual: slice,
    about: Mapping[str, Metric],
    counts: Mapping[str, np.ndarray],
):
    """Tell where a neighbour is worse than before the action for longer than a moment, or can't be seen any more.

    While its own requests are served as promised it may use more than before, its detectors alone raise a doubt and do
    not say that it is hurt, and a metric that hurts does when it stays out of bounds for a whole hold.
    """
    width = settings.widths(aftermath.step)
    known = steps.fault >= KNOWN * width.hold  # a shorter history does not say how long one may be loud
    most = max(width.hold, width.lasting)
    total, doubt, hurting = np.full(steps.count, GOOD), np.zeros(steps.count, dtype=bool), []
    for entity in aftermath.neighbours:
        detectors, *_ = _detectors(aftermath, steps, settings, entity, usual)
        own = _own(aftermath, steps, entity, usual, about)
        felt, used, _ = _condition(own, steps, usual, width.lasting, width.hold)
        fresh = _fresh(own, usual, 0)
        lively = own.names and own.moves[1].any()
        scored = (detectors != UNKNOWN) & (not lively)
        seen = np.where((fresh == GOOD) | scored, GOOD, UNKNOWN)
        begun = max(steps.zero - width.early, 0)  # what the action does to others, it may do while it is carried out
        just, long = (slice(max(end - width.hold, 0), end) for end in (begun, steps.fault))
        worse = np.zeros(steps.count, dtype=bool)
        served = _served(counts.get(entity), settings, width, usual, steps.count)
        condition, ailing = (np.where(served, one, other) for one, other in zip(felt, used, strict=True))
        loud = _last_bad(detectors, steps.zero)
        for state, last, alone in ((detectors, loud, np.inf), (condition, ailing, most)):
            bad = state == BAD
            ill = [bad[part].mean() >= HALF for part in (just, long) if part.stop]  # just as ill before
            if not any(ill):
                longest = courses.runs(bad)[usual].max(initial=0)
                least = np.clip(longest + 1, width.lasting, most) if known else most
                worse |= courses.runs(bad) >= np.where(served, alone, least)
                doubt |= last
        state = courses.carried(seen, width.gap)
        gone = just.stop and (seen[just] == UNKNOWN).mean() > 0.5 and (seen[: just.start] == GOOD).any()
        if gone:  # it was not to be seen before the action either
            state = np.full(steps.count, GOOD)
        hurting.append((entity, worse))
        total = np.minimum(total, np.where(worse, BAD, state))
    return total, doubt, hurting


def _served(counts: np.ndarray | None, settings: Verification, width: Widths, usual: slice, count: int) -> np.ndarray:
    """Tell where the requests of the last hold, some of them just now, prove that all is served as promised."""
    if counts is None:
        return np.zeros(count, dtype=bool)
    good, total = courses.rolled(counts, width.hold).T
    square = stats.norm.ppf((1 + settings.confidence) / 2) ** 2
    enough = square * settings.least / (1 - settings.least)  # so many, all good, prove it by Wilson's interval
    served = (total >= enough) & (good >= settings.objective * total)
    served &= courses.rolled(counts[:, 1], min(width.recent, width.hold)) > 0
    alive, lively = courses.moving(counts, usual, 0)
    return served & alive[:, lively].any(axis=1)  # the same counts again and again are old ones


def share(counts: np.ndarray, first: int, last: int) -> tuple[float, float]:
    """Good and all requests from one step to another one, both included."""
    part = counts[max(first, 0) : last + 1]
    return (math.nan, 0.0) if not len(part) else tuple(np.nansum(part, axis=0))
