"""What the history of one series teaches: its periods, the profile of each, its level and the size of its noise."""

from __future__ import annotations

__all__ = ["Learnt", "learn"]

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stability.decomposition.filtering import NEVER
from stability.decomposition.grid import on_grid, running_mean
from stability.decomposition.periods import FINDING, search
from stability.schema import ContractError

FEWEST = 8  # values below which a series starts cold: nothing can be learnt from them
HUBER = 1.345  # standard deviations beyond which a value counts less: 95 % as good as the mean for a Gaussian
ROUNDS = 5  # of reweighting; the profile moves by less than a hundredth of the noise afterwards
PASSES = 2  # over the periods, each fitted to what the others leave
STIFFNESS = 0.01  # of the pull between neighbouring points: it bridges phases that history never saw, and no more
LEVEL_SHARE = 0.1  # of the history: the memory of a level at most, so that its start is forgotten at its end


class Learnt(NamedTuple):
    """One series at the end of its history."""

    periods: tuple[float, ...]  # s
    knots: tuple[np.ndarray, ...]  # the points of each season, in the metric's unit
    rates: tuple[float, ...]  # share of a residual that the points of each season learn
    level: float
    scale: float
    last: int  # microseconds
    origin: int  # microseconds: where phases are counted from
    memory: float  # s

    @classmethod
    def cold(cls, level_time: float | None, span: float) -> Learnt:
        """A series of which nothing is known but how long the history of all was, in s."""
        # A history of one moment gives no scale: a second, which makes the last value the next prediction.
        return cls((), (), (), np.nan, np.nan, NEVER, 0, level_time or max(LEVEL_SHARE * span, 1.0))


def learn(settings, periods: Sequence[float] | None, times: np.ndarray, values: np.ndarray, cold: Learnt) -> Learnt:
    """Fit periods, profiles, level and scale of one series to its history.

    Parameters
    ----------
    settings : CausalDecomposition
        For its level_time, season_cycles and resolution.
    periods : sequence of float or None
        In s; None: to be found.
    times : array of int64, shape (n,)
        Microseconds, increasing.
    values : array of float64, shape (n,)
        NaN where missing.
    cold : Learnt
        What is said of a series with too few values.
    """
    known = np.isfinite(values)
    if known.sum() < FEWEST:
        return cold
    step, grid, cells = on_grid(times, values)
    if periods is None:
        periods = [one.period * step for one in search(grid, step, **FINDING)]
    short = [period for period in periods if not period >= 1.5 * step]
    if short:
        raise ContractError(
            column="periods", expected=f"at least two steps of {step:g} s", got=f"{short[0]:g} s", remedy="leave it out"
        )
    periods = tuple(sorted({float(period) for period in periods if 2 * period / step <= len(grid)}))
    points = [max(2, min(settings.resolution, round(period / step))) for period in periods]
    knots = [np.zeros(size) for size in points]
    parts = [np.zeros(len(values)) for _period in periods]
    since = (times - times[0]) / 1e6
    for _pass in range(PASSES if len(periods) > 1 else 1):
        for place, period in enumerate(periods):
            others = sum((part for other, part in enumerate(parts) if other != place), np.zeros(len(values)))
            rest = values - others
            around = rest - running_mean(on_grid(times, rest)[1], period / step)[cells]
            knots[place], parts[place] = _closed_line(since % period / period * points[place], around, points[place])
    span = since[-1]
    memory = settings.level_time or max(min(max(periods, default=np.inf), LEVEL_SHARE * span), step)
    left = values - sum(parts, np.zeros(len(values)))
    start = left[known][: max(1, int(LEVEL_SHARE * known.sum()))]
    slow = running_mean(on_grid(times, left)[1], memory / step)[cells]
    scale = 1.4826 * float(np.median(np.abs((left - slow)[known])))
    rates = tuple(
        min(1.0, size * step / period) / settings.season_cycles for period, size in zip(periods, points, strict=True)
    )
    first = int(times[0])
    return Learnt(periods, tuple(knots), rates, float(np.median(start)), scale, first, first, float(memory))


def _closed_line(place: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Least squares with Huber weights of a line through `points` points round a circle.

    Eilers and Marx (1996), doi 10.1214/ss/1038425655, with the degree 1, the ends joined and hardly any penalty.

    Parameters
    ----------
    place : array of float64, shape (n,)
        Where on the circle each value lies, in [0, points).
    values : array of float64, shape (n,)
        NaN where missing.

    Returns
    -------
    knots : array of float64, shape (points,)
        With mean 0.
    line : array of float64, shape (n,)
    """
    known = np.isfinite(values)
    left = np.minimum(place.astype(np.int64), points - 1)
    right, part = (left + 1) % points, place - left
    a, b, f, y = left[known], right[known], part[known], values[known]
    bend = np.eye(points) * 2 - np.roll(np.eye(points), 1, axis=1) - np.roll(np.eye(points), -1, axis=1)
    pull = STIFFNESS * len(y) / points * bend.T @ bend
    weight = np.ones(len(y))
    for _round in range(ROUNDS):
        squares = np.bincount(a, weight * (1 - f) ** 2, points) + np.bincount(b, weight * f**2, points)
        normal = np.diag(squares) + pull
        np.add.at(normal, (a, b), weight * f * (1 - f))
        np.add.at(normal, (b, a), weight * f * (1 - f))
        moments = np.bincount(a, weight * (1 - f) * y, points) + np.bincount(b, weight * f * y, points)
        knots = np.linalg.solve(normal, moments)
        left_over = y - (1 - f) * knots[a] - f * knots[b]
        scale = 1.4826 * np.median(np.abs(left_over))
        if not scale > 0:
            break
        weight = np.minimum(1.0, HUBER * scale / np.maximum(np.abs(left_over), 1e-300))
    knots = knots - knots.mean()
    return knots, (1 - part) * knots[left] + part * knots[right]
