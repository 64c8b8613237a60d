"""The course of things around a repair, step by step: inside its bounds, outside of them, or not known.

Every series is laid on steps, before the action's end and after it; what is said of a step rests on samples up to its
end and on what was usual before the fault, so that no later sample changes it.
"""

from __future__ import annotations

__all__ = [
    "BAD",
    "GOOD",
    "UNKNOWN",
    "Steps",
    "asked",
    "carried",
    "condition",
    "detected",
    "hurts",
    "laid",
    "moving",
    "rolled",
    "runs",
    "steps_of",
    "summed",
]

import math
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from stability.remediation.aftermath import Aftermath
from stability.schema import Metric, metric

GOOD, UNKNOWN, BAD = 1, 0, -1  # the worst of several is their minimum
RARE = 1e-3  # chance below which a shortfall, or a standstill, is none: one false word in some hours of steps
LIVELY = 0.5  # of how often the liveliest metric moves: what moves less often says little by standing still
ASLEEP = 0.02  # share of the steps in which the liveliest has to move: a sample a minute, at a step of 1 s
PATIENT = 3.0  # times the usual patience is the most that one long standstill of the history may make of it
PAIRS = 20  # pairs of samples from which on history says how often a metric moves
LEAST = 20  # samples from which on history says what is usual, roughly
USUAL = 120  # samples from which on it has seen how times follow the load
TAIL = 0.005  # share of the history that may lie beyond what is usual, on each side
SLACK = 0.05  # of the median: a metric that never moved has no range of its own
LONGER = 0.5  # of the median: times that are a little longer hurt nobody
AMPLE = 0.5  # share of what there is, below which there is enough of it
DOUBLE = 1.0  # of the median: what is only used up (memory, descriptors, queues) may stay higher than it was
DOWN = -0.5  # of `up`, seen from its bad side: this and more is down, whatever was usual


Moves = tuple[np.ndarray, np.ndarray]  # as `moving` gives it


class Steps(NamedTuple):
    """The steps around an action; step i ends at `acted_at` + (i - zero + 1) * step.

    Parameters
    ----------
    zero : int
        First step after the action.
    count : int
        Steps that have ended by `now`.
    fault : int
        First step of the impact, at most `zero`: what lies before is history.
    """

    zero: int
    count: int
    fault: int


def steps_of(aftermath: Aftermath, history: float) -> Steps:
    """Count the steps before and after an action.

    Parameters
    ----------
    aftermath : Aftermath
    history : float
        Seconds before the action that are looked at.
    """
    step = _nanoseconds(aftermath)
    stamps = [
        frame.index.get_level_values(1).min()
        for frame in (aftermath.telemetry, aftermath.service, aftermath.scores)
        if len(frame)
    ]
    acted = aftermath.acted_at
    oldest = min([stamp for stamp in stamps if stamp < acted], default=acted)
    zero = min(int(history // aftermath.step), (acted - oldest).value // step + 1)
    after = max((aftermath.now - acted).value // step, 0)
    ill = 0 if aftermath.impact_start is pd.NaT else max((acted - aftermath.impact_start).value // step + 1, 0)
    return Steps(zero, zero + after, max(zero - ill, 0))


def _nanoseconds(aftermath: Aftermath) -> int:
    return max(round(aftermath.step * 1e9), 1)


def laid(aftermath: Aftermath, steps: Steps, name: str, entity: str, columns=None) -> tuple[np.ndarray, list[str]]:
    """Lay an entity's rows on the steps; the latest value of a step stands for it, NaN where there is none.

    Parameters
    ----------
    aftermath : Aftermath
    steps : Steps
    name : {'telemetry', 'service', 'scores'}
    entity : str
    columns : list of str, optional
        Which; all without it.

    Returns
    -------
    values : ndarray of shape (steps, columns), float64
    columns : list of str
        Without those that the entity never has.
    """
    frame, where = _rows(aftermath, steps, name, entity, columns)
    values = np.full((steps.count, frame.shape[1]), math.nan)
    got = frame.to_numpy(dtype="float64", na_value=math.nan)
    again = np.zeros(len(where), dtype=bool)
    again[1:] = where[1:] == where[:-1]
    values[where[~again]] = got[~again]
    for row in np.flatnonzero(again):  # two samples within a step: the later one, as far as it knows
        np.copyto(values[where[row]], got[row], where=~np.isnan(got[row]))
    there = ~np.isnan(values).all(axis=0)
    return values[:, there], [column for column, some in zip(frame.columns, there, strict=True) if some]


def summed(aftermath: Aftermath, steps: Steps, entity: str) -> np.ndarray:
    """Count the good requests and all requests of each step; NaN where they are not known; shape (steps, 2)."""
    frame, where = _rows(aftermath, steps, "service", entity, ["good", "total"])
    got = frame.to_numpy(dtype="float64", na_value=math.nan)
    known = ~np.isnan(got).any(axis=1)
    counts, seen = np.zeros((steps.count, 2)), np.zeros(steps.count, dtype=bool)
    np.add.at(counts, where[known], got[known])
    seen[where[known]] = True
    counts[~seen] = math.nan
    return counts


def _rows(aftermath: Aftermath, steps: Steps, name: str, entity: str, columns) -> tuple[pd.DataFrame, np.ndarray]:
    frame = getattr(aftermath, name)
    try:
        at = frame.index.get_loc(entity)
    except KeyError:
        at = slice(0, 0)
    frame = frame[at]
    if columns is not None:
        frame = frame[[column for column in columns if column in frame.columns]]
    if not len(frame):
        return frame, np.zeros(0, dtype=int)
    since = (frame.index.get_level_values(1) - aftermath.acted_at).as_unit("ns").asi8
    where = steps.zero - 1 - (-since // _nanoseconds(aftermath))
    inside = (where >= 0) & (where < steps.count)
    return (frame, where) if inside.all() else (frame[inside], where[inside])


def rolled(values: np.ndarray, width: int) -> np.ndarray:
    """Sum the last `width` steps up to each; NaN counts as 0.

    Examples
    --------
    >>> rolled(np.array([1.0, 2.0, 4.0]), 2)
    array([1., 3., 6.])
    """
    total = np.cumsum(np.nan_to_num(values), axis=0)
    total[width:] = total[width:] - total[:-width]
    return total


def asked(counts: np.ndarray, objective: float, recent: int, hold: int) -> np.ndarray:
    """Tell for each step whether its requests were served as promised; shape (steps,).

    Bad is a shortfall in the last `recent` steps, or since the last one of these within the last `hold` steps, that a
    service which keeps its objective would show once in a thousand looks (exact binomial tail). A step without a
    request is not bad; one that is not known is unknown.
    """
    known = ~np.isnan(counts[:, 1])
    place = np.arange(1, len(counts) + 1)
    upto = np.vstack([np.zeros(2), np.cumsum(np.nan_to_num(counts), axis=0)])

    def short(first: np.ndarray) -> np.ndarray:
        good, total = (upto[place] - upto[first]).T
        return known & (total > good) & (stats.binom.sf(total - good - 1, total, 1 - objective) < RARE)

    now = short(np.maximum(place - recent, 0))
    last = np.maximum.accumulate(np.where(now, place, 0)) if len(counts) else place
    lately = short(np.maximum(place - hold, last))
    return np.where(now | lately, BAD, np.where(known, GOOD, UNKNOWN))


def detected(scores: np.ndarray, threshold: float, recent: int) -> np.ndarray:
    """Tell for each step whether a detector is quiet: bad is above the threshold in most of the last steps."""
    above = rolled(scores > threshold, recent)
    state = np.where(np.isnan(scores), UNKNOWN, GOOD)
    state[(above >= (recent // 2 + 1)) & (state == GOOD)] = BAD
    return state


def carried(state: np.ndarray, gap: int) -> np.ndarray:
    """Let what was known hold for as many steps as a gap may last.

    Examples
    --------
    >>> carried(np.array([0, 1, 0, 0, 0, -1]), 2)
    array([ 0,  1,  1,  1,  0, -1])
    """
    at = np.maximum.accumulate(np.where(state != UNKNOWN, np.arange(len(state)), -1))
    return np.where((at >= 0) & (np.arange(len(state)) - at <= gap), state[at], UNKNOWN)


def runs(flags: np.ndarray) -> np.ndarray:
    """Count, at each step, for how many steps on end a flag has been up.

    Examples
    --------
    >>> runs(np.array([True, True, False, True]))
    array([1, 2, 0, 1])
    """
    place = np.arange(1, len(flags) + 1)
    return place - np.maximum.accumulate(np.where(flags, 0, place))


def changes(values: np.ndarray) -> np.ndarray:
    """Tell where a value differs from the one before it that is known; False where there is none; shape (steps, n)."""
    before = _before(values)
    return ~np.isnan(values) & ~np.isnan(before) & (values != before)


def _before(values: np.ndarray) -> np.ndarray:
    """Give the latest value before each step that is known; NaN where there is none."""
    place = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    at = np.maximum.accumulate(np.where(np.isnan(values), -1, place), axis=0)
    held = np.where(at >= 0, np.take_along_axis(values, np.maximum(at, 0), axis=0), math.nan)
    return np.concatenate([np.full_like(held[:1], math.nan), held[:-1]])


def moving(values: np.ndarray, usual: slice, since: int) -> tuple[np.ndarray, np.ndarray]:
    """Tell which series still move as they used to.

    Parameters
    ----------
    values : ndarray of shape (steps, n)
    usual : slice
        The steps that show how often each moves.
    since : int
        Only what moves from one sample after this step to another one counts.

    Returns
    -------
    alive : ndarray of bool, shape (steps, n)
        Whether it moved within as many steps as it would need in 999 of 1,000 cases. What has just stood still moves
        less often than others do (a running median, a forecast cut off at 0): how often is learnt, too.
    lively : ndarray of bool, shape (n,)
        Whether it usually moves at least half as often as the liveliest one; none where history is too short.
    """
    place = np.arange(len(values))[:, None]
    moved = changes(values)
    known = ~np.isnan(values[usual])
    pairs = known.sum(axis=0)
    share = np.where(pairs >= PAIRS, moved[usual].sum(axis=0) / np.maximum(pairs - 1, 1), math.nan)
    stood = (known & ~moved[usual])[:-1] & known[1:]
    again = (stood & moved[usual][1:]).sum(axis=0)
    woken = np.minimum((again + PAIRS * share) / (stood.sum(axis=0) + PAIRS), share)
    top = np.nanmax(share, initial=0.0)
    lively = np.nan_to_num(share) >= max(LIVELY * top, ASLEEP)
    still = np.clip(1 - np.nan_to_num(woken, nan=LIVELY), RARE ** (1 / 3), 1 - 1e-6)  # three steps at least
    patience = np.ceil(math.log(RARE) / np.log(still) - 1e-9)
    stands = np.column_stack([runs(column) for column in stood.T]) if stood.size else np.zeros((1, values.shape[1]))
    patience = np.clip(stands.max(axis=0) + 2, patience, PATIENT * patience)
    if since > 0:
        late = values.copy()
        late[:since] = math.nan
        moved = changes(late)
    at = np.maximum.accumulate(np.where(moved, place, -np.inf), axis=0)
    return place - at < patience, lively


def hurts(about: Metric) -> bool:
    """Whether a metric hurts by itself where it is out of bounds; else it says how much of something is used up."""
    return (about.bad == "low" and about.unit == "1") or about.unit == "s" or about.instrument != "gauge"


def condition(
    values: np.ndarray,
    names: list[str],
    usual: slice,
    lasting: int,
    used: int,
    *,
    moves: Moves | None = None,
    known: Mapping[str, Metric] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Find metrics that stay where they hurt, beyond all that was usual before the fault.

    Times, errors, and what is bad when it is low (`up`, qualities) hurt by themselves; `up` needs no history. Times
    count when they are longer by half of what is usual, and by all of it where history is short: they follow the load,
    and it has not seen every load. What is used up, such as memory, descriptors or processors, need not come back after
    a fault, and hurts a neighbour only when it stays twice as high; a share of what there is, only when half of it is
    used.

    Parameters
    ----------
    values : ndarray of shape (steps, n)
    names : list of str
        The metrics; only those count whose bad direction the registry knows.
    usual : slice
        The steps before the fault.
    lasting : int
        Steps over which a median is taken.
    used : int
        Steps over which what is used up has to stay there, since work comes in bursts; 0: it is not looked at.
    moves : tuple of ndarray, optional
        What `moving` says of the values since the first step, where it has been asked already.
    known : mapping of str to Metric, optional
        What the registry says of the metrics, where it has been asked already.

    Returns
    -------
    states : ndarray of int, shape (steps, m)
        BAD where the median of the last steps lies beyond what was usual by more than once the usual distance; UNKNOWN
        where there are no samples, or old ones.
    names : list of str
        Of the m metrics that could be judged.
    """
    kept, found = [], []
    alive, lively = moving(values, usual, 0) if moves is None else moves
    told = alive | ~lively  # a value that stands still while it usually moves is an old one
    for name, column, says in zip(names, values.T, told.T, strict=True):
        about = metric(name) if known is None else known[name]
        felt = hurts(about)
        if about.bad not in ("high", "low") or not (felt or used):
            continue
        if about.instrument != "gauge":
            before = _before(column)
            column = np.where(column >= before, column - before, column)  # after a restart it counts from 0
        sign = 1.0 if about.bad == "high" else -1.0
        past = sign * column[usual][~np.isnan(column[usual])]
        if name == "up" and not (len(past) and np.median(past) > DOWN):
            limit = DOWN
        elif len(past) < LEAST:
            continue
        else:
            middle, edge = np.median(past), np.quantile(past, 1 - TAIL)
            slack = (LONGER if about.unit == "s" else SLACK) if felt else DOUBLE
            slack = DOUBLE if about.unit == "s" and len(past) < USUAL else slack
            limit = edge + max(edge - middle, slack * abs(middle))
            limit = max(limit, AMPLE) if not felt and about.unit == "1" else limit
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            median = pd.Series(sign * column).rolling(lasting, min_periods=(lasting + 1) // 2).median().to_numpy()
        seen = says & ~np.isnan(median)
        beyond = seen & (np.nan_to_num(median, nan=-math.inf) > limit)
        bad = beyond if felt else runs(beyond) >= used
        kept.append(np.where(bad, BAD, np.where(seen, GOOD, UNKNOWN)))
        found.append(name)
    return (np.column_stack(kept) if kept else np.zeros((len(values), 0), dtype=int)), found
