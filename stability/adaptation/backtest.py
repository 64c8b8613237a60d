"""What a change of the policy would have done to labelled alarms that it was not learnt from."""

from __future__ import annotations

__all__ = ["Backtest", "Candidate", "judge", "select"]

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stability.evaluation import Estimate, NotEnoughEvidence, bootstrap_interval, wilson_interval

MISSING = Estimate(np.nan, np.nan, np.nan)


class Candidate(NamedTuple):
    """A change, and what it does to each case.

    Parameters
    ----------
    family : str
    change : mapping
        As in an accepted policy's file.
    delays : array of float64, shape (cases,)
        Seconds from the alarm's start to its being told; NaN where it would not be.
    """

    family: str
    change: dict[str, Any]
    delays: np.ndarray


class Backtest(NamedTuple):
    """A change, judged on labelled alarms that had no part in it.

    Parameters
    ----------
    false_before, false_after : int
        Discarded alarms that are told.
    ratio : Estimate
        After by before. What is told after is a part of what was told before, so this is a share, with Wilson's
        interval.
    confirmed, lost : int
        Confirmed alarms, and those of them that would not be told at all.
    lost_share : Estimate
        With Wilson's interval: `hi` bounds what may be lost.
    delay : Estimate
        Seconds added to a confirmed alarm that is told, in the mean, with a bootstrap interval.
    blocks : int
        Blocks of time that judged each other.
    """

    false_before: int
    false_after: int
    ratio: Estimate
    confirmed: int
    lost: int
    lost_share: Estimate
    delay: Estimate
    blocks: int


def judge(delays: np.ndarray, confirmed: np.ndarray, blocks: int = 1, seed: int = 0) -> Backtest:
    """Count what a change does.

    Parameters
    ----------
    delays : array of float64, shape (n,)
        As in `Candidate`, of the cases that are judged.
    confirmed : array of bool, shape (n,)
    blocks, seed : int

    Examples
    --------
    >>> told = judge(np.array([0.0, 4.0, np.nan, np.nan, 0.0]), np.array([True, True, False, False, False]))
    >>> told.false_before, told.false_after, told.lost, round(told.ratio.hi, 2)
    (3, 1, 0, 0.79)
    """
    silent, late = np.isnan(delays), delays[confirmed & ~np.isnan(delays)]
    before, real = int((~confirmed).sum()), int(confirmed.sum())
    after, lost = int((~confirmed & ~silent).sum()), int((confirmed & silent).sum())
    try:
        delay = bootstrap_interval(np.mean, late, seed=seed) if len(late) else MISSING
    except NotEnoughEvidence:
        delay = Estimate(float(late.mean()), np.nan, np.nan)
    shares = [wilson_interval(a, n) if n else MISSING for a, n in ((after, before), (lost, real))]
    return Backtest(before, after, shares[0], real, lost, shares[1], delay, blocks)


def select(
    candidates: Sequence[Candidate], confirmed: np.ndarray, *parts: np.ndarray, margin: float, wanted: float
) -> int | None:
    """Choose a change: one that loses no more real alarms than it may.

    Of those that leave at most `wanted` of the false ones the one that delays real ones least, else the one that leaves
    fewest.

    Parameters
    ----------
    candidates : sequence of Candidate
    confirmed : array of bool, shape (n,)
    *parts : arrays of bool, shape (n,)
        What may decide; of several parts, such as all cases and those of the policy in force, the one in which the
        larger share of false alarms stays is looked at. Loss and delay are those of the first.
    margin : float
        Share of the confirmed alarms that may be lost.
    wanted : float
        Share of the false alarms that may stay.

    Returns
    -------
    int or None
        Its place; None where all lose too much or silence nothing.

    Examples
    --------
    >>> every, confirmed = np.ones(4, dtype=bool), np.array([True, True, False, False])
    >>> options = [Candidate("threshold", {"times": 2.0}, np.array([0.0, 9.0, np.nan, 0.0])),
    ...     Candidate("threshold", {"times": 9.0}, np.array([0.0, np.nan, np.nan, np.nan]))]
    >>> [select(options, confirmed, every, margin=m, wanted=w) for m, w in ((0.0, 0.5), (0.5, 0.0))]
    [0, 1]
    """
    ranked = []
    for place, one in enumerate(candidates):
        told = ~np.isnan(one.delays)
        real = parts[0] & confirmed
        stay = max((float(told[false].mean()) for part in parts if (false := part & ~confirmed).any()), default=1.0)
        if (real & ~told).sum() > margin * real.sum() or stay >= 1:
            continue
        late = float(one.delays[real & told].mean()) if (real & told).any() else 0.0
        enough = stay <= wanted
        ranked.append((not enough, late if enough else stay, stay if enough else late, place))
    return min(ranked)[-1] if ranked else None
