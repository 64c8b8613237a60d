r"""What a population stability index would be without any drift: blocks of the reference period, drawn again.

Rows of one minute depend on each other, so rows are not drawn, but blocks of time: as many as the reference has for a
second reference, as many as the current period has for a second present, both from the same process. Between them
nothing has drifted, and what the index then is, is chance.

The blocks are five times as long as values remember (their integrated autocorrelation time, of the values' ranks and
of how far these are from the middle). What a block of L rows still cuts off of a memory of T is a share T / 2L of the
variance (that of a first-order process), which is added again; so is the share 1 / B that B blocks lose by being
compared with their own mean. The index is nearly a quadratic form of shares, hence the tail beyond the draws is that of
F with the mean and variance of the draws and the blocks' degrees of freedom (Box's approximation): so a p-value of one
in ten thousand, which a correction for two hundred metrics asks for, does not need millions of draws.

What the reference never held is no chance by this: a kind of event that comes once in a year is drift when it comes.

Sources: Künsch (1989), doi 10.1214/aos/1176347265 (blocks); Sokal (1997), doi 10.1007/978-1-4899-0319-8_6, section 3
(how far correlations are summed); Box (1954), doi 10.1214/aoms/1177728786; Brunner, Dette and Munk (1997),
doi 10.1080/01621459.1997.10473671 (F).
"""

from __future__ import annotations

__all__ = ["LEAST_BLOCKS", "Null", "block_of", "memory", "null_of"]

from typing import NamedTuple

import numpy as np
from scipy import stats

from stability.adaptation.population import psi
from stability.evaluation import NotEnoughEvidence

BLOCK = 5.0  # memories
LEAST_BLOCKS = 10  # of the reference: with fewer nobody can say how much it varies
MOST_BLOCKS = 100  # longer ones do no harm
REACH = 5.0  # memories, over which correlations are summed: Sokal's window


class Null(NamedTuple):
    """What an index is without drift.

    Parameters
    ----------
    mean, freedom : array of float64, shape (series,)
        Of the draws: their mean, and the degrees of freedom of a chi-square that varies as much.
    blocks : int
        Of the reference.
    """

    mean: np.ndarray
    freedom: np.ndarray
    blocks: int

    def p(self, value: np.ndarray) -> np.ndarray:
        """Chance of at least this much without drift."""
        return stats.f.sf(np.asarray(value) / self.mean, self.freedom, self.freedom * (self.blocks - 1))

    def threshold(self, level: float) -> np.ndarray:
        """What is passed without drift in a share `level` of all comparisons."""
        return self.mean * stats.f.isf(level, self.freedom, self.freedom * (self.blocks - 1))


def memory(values: np.ndarray) -> float:
    """Measure for how many rows a series remembers: its integrated autocorrelation time, 1 of independent rows.

    Parameters
    ----------
    values : array of float, shape (n,)
        At equal distances; missing ones count as the middle.

    Returns
    -------
    float
        From 1 up; the longer one of ranks and of their distances from the middle. Infinite where the series is too
        short to tell: its correlations do not end within a `REACH`-th of it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(memory(rng.normal(size=4000)))
    1
    >>> slow = np.convolve(rng.normal(size=4000), np.ones(10), "valid")
    >>> 8 < memory(slow) < 12
    True
    """
    there = ~np.isnan(values)
    ranks = np.zeros(len(values))
    ranks[there] = stats.rankdata(values[there]) / max(there.sum(), 1) - 0.5
    far = np.where(there, np.abs(ranks) - np.abs(ranks[there]).mean(), 0.0) if there.any() else ranks
    return max(_time(ranks), _time(far))


def _time(x: np.ndarray) -> float:
    n = len(x)
    if n < 2 or not np.any(x):
        return 1.0
    spectrum = np.abs(np.fft.rfft(x, 2 * n)) ** 2
    correlations = np.fft.irfft(spectrum)[:n]
    if correlations[0] <= 0:
        return 1.0
    times = 2 * np.cumsum(correlations / correlations[0]) - 1
    far = np.arange(n) >= REACH * times
    end = int(np.argmax(far)) if far.any() else n
    return float(max(times[end], 1.0)) if end < n / REACH else np.inf


def block_of(memories: float, rows: int, *, most: int = MOST_BLOCKS) -> int:
    """How many rows a block has, for a series of `rows` with this memory; there are at most about `most` blocks.

    Raises
    ------
    NotEnoughEvidence
        When there would be fewer than `LEAST_BLOCKS` blocks.

    Examples
    --------
    >>> block_of(4.0, 1000), block_of(1.0, 10_000)
    (20, 100)
    """
    length = BLOCK * memories
    if not rows >= LEAST_BLOCKS * length:
        long = f"{length:,.0f}" if np.isfinite(length) else f"more than {rows / LEAST_BLOCKS:,.0f}"
        raise NotEnoughEvidence(
            f"Its values depend on each other over {long} rows, and the reference has {rows:,}: it needs "
            f"{LEAST_BLOCKS} times as many. Give a longer reference; the season's length, where it has one."
        )
    return int(max(np.ceil(length), rows // most))


def null_of(blocks: np.ndarray, current: int, cut: float, *, resamples: int = 1000, seed: int = 0) -> Null:
    """Learn what the index is without drift.

    Parameters
    ----------
    blocks : array of float, shape (blocks, series, bins)
        How many rows of each block of the reference fell into each bin, for series that are drawn together.
    current : int
        How many blocks the current period has.
    cut : float
        The share of the variance that the blocks' ends cut off: memory / (2 x length of a block).
    resamples, seed : int

    Returns
    -------
    Null
        One more than the series: the last is the mean of all of them, the fleet.
    """
    count, series, bins = blocks.shape
    rng = np.random.default_rng(seed)
    flat = blocks.reshape(count, series * bins)
    drawn = [(_drawn(rng, count, some, resamples) @ flat).reshape(resamples, series, bins) for some in (count, current)]
    moved = psi(*drawn)
    moved = np.column_stack([moved, np.nanmean(moved, axis=1)])
    mean, spread = np.nanmean(moved, axis=0), np.nanvar(moved, axis=0)
    # What was lost of the variance is lost of the index, which is one of squares.
    wider = count / (count - 1) / (1 - cut)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Null(mean * wider, 2 * mean**2 / spread, count)


def _drawn(rng: np.random.Generator, count: int, some: int, resamples: int) -> np.ndarray:
    """How often each of `count` blocks is among `some` that are drawn; several times faster than multinomials."""
    numbers = rng.integers(0, count, size=(resamples, some)) + count * np.arange(resamples)[:, None]
    return np.bincount(numbers.ravel(), minlength=resamples * count).reshape(resamples, count).astype("float64")
