"""Whether it would have healed by itself: the same judgement where nobody repaired anything.

Placebo windows are the bad times of the history, and this incident's own before the action. What ended by itself as
soon as this did is no evidence for the repair, however well the service is now (regression to the mean).
"""

from __future__ import annotations

__all__ = ["Episode", "Placebo", "compare", "episodes", "mending", "self_healing"]

import math
from typing import NamedTuple

import numpy as np

from stability.remediation.courses import BAD

PACE = 1.5  # what lasted up to so many times as long, or no less than that part of it, went at the same pace
STEADY = 0.5  # of the earlier fall of failures, that the later one has to be, to be the same course
LEAST = 3  # steps of each third of a time, to say how much steps differ among themselves
SURE = 3.3  # standard errors: once in a thousand by chance
SHARE = 0.25  # largest share of placebo windows that may do as well: one oddity in four is no rule


class Episode(NamedTuple):
    """A bad time.

    Parameters
    ----------
    first, last : int
        Its first and last bad step.
    healed : bool
        Whether it was followed by a hold without a bad step that nobody had repaired.
    """

    first: int
    last: int
    healed: bool

    @property
    def length(self) -> int:
        """Steps from its first to its last bad one."""
        return self.last - self.first + 1


class Placebo(NamedTuple):
    """What the comparison says.

    Parameters
    ----------
    passed : bool or None
        Whether the recovery is better than what happens without a repair; None where nothing shows that anything was
        bad.
    chance : float
        Estimated chance that the bad time would have ended as soon by itself; NaN where it cannot be said.
    sentence : str
        With the numbers.
    """

    passed: bool | None
    chance: float
    sentence: str


def episodes(state: np.ndarray, hold: int, repaired: np.ndarray | None = None) -> list[Episode]:
    """Find the bad times of a course: from a bad step to the last one before a whole hold without any.

    Parameters
    ----------
    state : ndarray of int, shape (steps,)
        As `stability.remediation.courses` tells it.
    hold : int
        Steps.
    repaired : ndarray of int, optional
        Steps in which somebody acted: a bad time that was going on then did not heal by itself.

    Returns
    -------
    list of Episode
        In order. The last one has not healed where the course ends before its hold does.

    Examples
    --------
    >>> episodes(np.array([1, -1, -1, 1, -1, 1, 1, 1, -1, 1]), 3)
    [Episode(first=1, last=4, healed=True), Episode(first=8, last=8, healed=False)]
    """
    bad = np.flatnonzero(state == BAD)
    if not len(bad):
        return []
    cuts = np.flatnonzero(np.diff(bad) > hold)
    firsts, lasts = bad[np.r_[0, cuts + 1]], bad[np.r_[cuts, len(bad) - 1]]
    acted = np.zeros(0, dtype=int) if repaired is None else np.asarray(repaired)
    return [
        Episode(int(a), int(b), bool(len(state) - 1 - b >= hold) and not ((acted >= a) & (acted <= b + hold)).any())
        for a, b in zip(firsts, lasts, strict=True)
    ]


def self_healing(ended: int, seconds: float, within: float) -> float:
    """Estimate the chance that a bad time ends by itself within so many seconds.

    The ends of bad times come at a constant rate, whose posterior after `ended` of them in `seconds` of bad time is a
    Gamma with Jeffreys' prior; the chance is its prediction.

    Parameters
    ----------
    ended : int
        Bad times that ended by themselves.
    seconds : float
        Bad time without a repair, of those that did not end included.
    within : float
        The time in question.

    Returns
    -------
    float
        1 where no bad time was seen: then nothing speaks against it.

    Examples
    --------
    >>> round(self_healing(0, 60.0, 5.0), 3), round(self_healing(6, 60.0, 20.0), 3)
    (0.039, 0.846)
    """
    if within <= 0:
        return 0.0
    return 1.0 - (seconds / (seconds + within)) ** (ended + 0.5)


def mending(counts: np.ndarray, first: int, end: int, zero: int | None = None) -> float:
    """Estimate when requests that fail less and less would all be good.

    Parameters
    ----------
    counts : ndarray of shape (steps, 2)
        Good and all requests of each step.
    first, end : int
        First bad step, and the first one in which an action may have had an effect.
    zero : int, optional
        First step after the action: what fails as often from `end` up to it did not go on to mend.

    Returns
    -------
    float
        Steps after `end`; infinite where failures do not go down steadily: the last third of the time has to be better
        than the first one beyond chance and beyond how much the steps of each differ among themselves, and to go on as
        the second one did. What fell at once and stays (a replica that nobody asks any more) is not mending.

    Examples
    --------
    >>> failed = np.array([60, 55, 50, 45, 40, 35, 30, 25, 20])
    >>> float(round(mending(np.column_stack([100 - failed, np.full(9, 100)]), 0, 9), 6))
    4.0
    """
    third = (end - first) // 3
    if third < LEAST:
        return math.inf
    parts = counts[end - 3 * third : end].reshape(3, third, 2)
    good, total = np.nansum(parts, axis=1).T
    if (total == 0).any():
        return math.inf
    failing = 1 - good / total
    fell, falls = failing[0] - failing[1], failing[1] - failing[2]
    pooled = 1 - (good[0] + good[2]) / (total[0] + total[2])
    chance = pooled * (1 - pooled) / total
    away = np.nansum((parts[:, :, 1] * (1 - failing[:, None]) - parts[:, :, 0]) ** 2, axis=1)
    noise = np.maximum(chance, away / total**2 * third / (third - 1))
    noise = math.sqrt(noise[0] + noise[2])
    if not (falls > 0 and falls >= STEADY * fell and fell + falls > SURE * noise):
        return math.inf
    since = counts[end:zero] if zero is not None else counts[:0]
    good, total = np.nansum(since, axis=0)
    if total > 0 and 1 - good / total >= failing[2]:
        return math.inf
    slope = (fell + falls) / (2 * third)
    return float(failing[2] / slope - (third - 1) / 2)


def compare(
    past: list[Episode],
    own: Episode | None,
    zero: int,
    step: float,
    early: int,
    *,
    mends: float = math.inf,
    pace: float = PACE,
) -> Placebo:
    """Compare a recovery with what healed by itself.

    Parameters
    ----------
    past : list of Episode
        Of the history, before the impact.
    own : Episode or None
        The bad time that the repair was for; None where no step was bad.
    zero : int
        First step after the action.
    step : float
        Seconds.
    early : int
        Steps before the action's end in which it may already have had its effect.
    mends : float
        Steps after the action in which it would have been good at the pace of before, as `mending` gives it.
    pace : float
        What lasted up to so many times as long went at the same pace.

    Returns
    -------
    Placebo
        Not passed where the bad time was over before the action, or where more than `SHARE` of the bad times of the
        history that went on for as long as this one had when it was repaired were over as soon by themselves.

    Notes
    -----
    An earlier bad time is comparable when it lasted as long as this one had lasted at the action, or nearly so (within
    `pace`): one that was over long before says nothing about it, but that this fault is of another kind. It was over as
    soon when it lasted no longer than this one, or hardly (within `pace`, or twice the time from action to recovery).
    """
    if own is None:
        return Placebo(None, float("nan"), "nothing was out of bounds when the action ended: there was nothing to heal")
    over = (zero - 1 - own.last) * step
    if own.last < zero - early:
        return Placebo(False, 1.0, f"back in bounds {over:g} s before the action ended: it healed by itself")
    age, length = max(zero - own.first, 0), own.length
    if mends <= pace * max(length - age, 1):
        return Placebo(
            False, 1.0, f"it was mending before the action, and due in {max(mends, 0) * step:.3g} s by itself"
        )
    healed = [one.length for one in past if one.healed]
    alike = [one for one in past if one.length * pace >= max(age, 1) and (one.healed or one.length > length)]
    soon = sum(one.healed and one.length <= max(length * pace, length + (length - age)) for one in alike)
    exposure = (sum(one.length for one in past) + age) * step
    chance = max(self_healing(len(healed), exposure, max(length - age, 0) * step), soon / max(len(alike), 1))
    if not past:
        said = f"no bad time in the history; this one went on for {age * step:g} s until it was repaired"
        return Placebo(True, chance, f"{said} and {max(length - age, 0) * step:g} s after it")
    passed = soon <= SHARE * len(alike)
    said = f"of {len(alike)} comparable bad times of the history {soon} were over as soon by themselves"
    return Placebo(passed, chance, f"{said} (bad for {length * step:g} s, {age * step:g} s of it before the action)")
