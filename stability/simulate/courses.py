"""How an event unfolds between its start and its end, and how soon it is whole."""

from __future__ import annotations

__all__ = ["haste", "shape"]

import numpy as np

RISE = 0.85  # share of its duration that a ramp needs to full strength: some time is left at the top
AT_ONCE = 0.06  # of that, what an abrupt one needs
STAGES = ((0.0, 0.15), (0.25, 0.4), (0.5, 1.0))  # a careful roll-out: from this share of the time on, so much of it
EDGE = 0.15  # share of its duration that a hump rises, and falls
FILL = 4.0  # a plateau is an exponential approach with this many time constants in its duration
BURST_MINUTES = 8.0  # mean length of a burst
PAUSE_MINUTES = 1.5  # mean length of the pause between two
LEAST_BURST = 0.6  # the weakest burst against the strongest


def haste(abrupt: bool) -> float:
    """Share of the usual time in which what grows has grown: all of it, or almost none.

    Examples
    --------
    >>> haste(False), haste(True)
    (1.0, 0.06)
    """
    return AT_ONCE if abrupt else 1.0


def shape(
    course: str, progress: np.ndarray, minutes: float, rng: np.random.Generator, abrupt: bool | None = None
) -> np.ndarray:
    """Unfold an event over its duration.

    Parameters
    ----------
    course : {'step', 'ramp', 'bursts', 'plateau', 'hump'}
        Full from the first moment; growing steadily; on and off; filling up; up and down again.
    progress : ndarray of float64, shape (n,)
        Share of the duration that has passed, 0 to 1.
    minutes : float
        The duration, in min.
    rng : numpy.random.Generator
        Draws the bursts.
    abrupt : bool, optional
        A ramp that is at its top almost at once (True); a step that comes in stages, bursts that grow (False).

    Returns
    -------
    ndarray of float64, shape (n,), from 0 to 1

    Examples
    --------
    >>> shape("ramp", np.array([0.0, 0.425, 0.85, 1.0]), 60, np.random.default_rng(0)).tolist()
    [0.0, 0.5, 1.0, 1.0]
    >>> shape("step", np.array([0.0, 0.3, 0.6]), 60, np.random.default_rng(0), abrupt=False).tolist()
    [0.15, 0.4, 1.0]
    """
    rising = np.minimum(progress / (RISE * haste(bool(abrupt))), 1.0)
    if course == "ramp":
        return rising
    if course == "plateau":
        return 1 - np.exp(-FILL * progress)
    if course == "hump":
        return np.clip(np.minimum(progress, 1 - progress) / EDGE, 0.0, 1.0)
    if course == "bursts":
        return _bursts(progress, minutes, rng) * (rising if abrupt is False else 1.0)
    if abrupt is not False:
        return np.ones_like(progress)
    begins, sizes = zip(*STAGES, strict=True)
    return np.array(sizes)[np.searchsorted(begins, progress, side="right") - 1]


def _bursts(progress: np.ndarray, minutes: float, rng: np.random.Generator) -> np.ndarray:
    """Alternating exponential times on and off, enough of them to cover the duration, on first."""
    pairs = int(np.ceil(3 * minutes / (BURST_MINUTES + PAUSE_MINUTES))) + 8
    lengths = np.column_stack([rng.exponential(BURST_MINUTES, pairs), rng.exponential(PAUSE_MINUTES, pairs)])
    switches = np.cumsum(lengths.ravel()) / minutes
    phase = np.searchsorted(switches, progress, side="right")
    heights = rng.uniform(LEAST_BURST, 1.0, pairs + 1)
    return np.where(phase % 2 == 0, heights[np.minimum(phase // 2, pairs)], 0.0)
