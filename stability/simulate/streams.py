"""Random numbers that belong to a name: what one entity draws never depends on who else is there."""

from __future__ import annotations

__all__ = ["autocorrelated", "pick", "regional", "shots", "stream"]

import hashlib

import numpy as np
from scipy.signal import lfilter


def stream(seed: int, *names: str) -> np.random.Generator:
    """Give the generator of one purpose, spawned from the seed by its name instead of by a running number.

    Parameters
    ----------
    seed : int
        The scenario's seed, at least 0.
    *names : str
        Purpose and entity, say ``"noise", "cpu", "gateway-1"``.

    Returns
    -------
    numpy.random.Generator
        Equal seed and names give equal draws; different names give independent streams (NumPy's `SeedSequence` with the
        first 128 bits of the names' SHA-256 as `spawn_key`).

    Examples
    --------
    >>> float(stream(1, "noise", "a").random()) == float(stream(1, "noise", "a").random())
    True
    >>> float(stream(1, "noise", "a").random()) == float(stream(1, "noise", "b").random())
    False
    """
    words = np.frombuffer(hashlib.sha256("\0".join(names).encode()).digest()[:16], dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(map(int, words)))))


def pick(seed: int, purpose: str, targets: list[str]) -> str:
    """Draw one of several names; each brings a number of its own, so a new name changes a draw only where it wins.

    Examples
    --------
    >>> pick(0, "doc", ["a", "b", "c"]) in pick(0, "doc", ["c", "b", "a"])
    True
    """
    return min(
        targets, key=lambda name: hashlib.sha256("\0".join(["pick", str(seed), purpose, name]).encode()).digest()
    )


def autocorrelated(
    seed: int, purpose: str, names: list[str], length: int, *, memory: float, sigma: float, tail: float | None = None
) -> np.ndarray:
    """Draw stationary AR(1) noise, one row a name.

    Parameters
    ----------
    seed : int
        The scenario's seed.
    purpose : str
        What the noise is for.
    names : list of str, length n
        Whose noise it is.
    length : int
        Samples.
    memory : float, in [0, 1)
        Correlation of neighbouring samples.
    sigma : float
        Standard deviation.
    tail : float, optional
        Degrees of freedom (above 2) of Student's t for the innovations; normal without it.

    Returns
    -------
    ndarray of float64, shape (n, length)

    Examples
    --------
    >>> noise = autocorrelated(0, "doc", ["a", "b"], 20_000, memory=0.8, sigma=2.0)
    >>> noise.shape, round(float(noise[0].std()), 1), round(float(np.corrcoef(noise[0, 1:], noise[0, :-1])[0, 1]), 1)
    ((2, 20000), 2.0, 0.8)
    """
    shocks = np.empty((len(names), length))
    for row, name in enumerate(names):
        rng = stream(seed, purpose, name)
        if tail is None:
            rng.standard_normal(length, out=shocks[row])
        else:
            shocks[row] = rng.standard_t(tail, length) * np.sqrt((tail - 2) / tail)
    if memory == 0:
        return shocks * sigma
    shocks[:, 1:] *= np.sqrt(1 - memory**2)  # the first one starts the series in its stationary state
    return lfilter([sigma], [1, -memory], shocks, axis=1)


def regional(seed: int, purpose: str, regions: list[str], length: int, *, memory: float, sigma: float) -> np.ndarray:
    """Draw AR(1) noise that is one and the same for all of a region, one row an entry of `regions`.

    Examples
    --------
    >>> rows = regional(0, "doc", ["eu", "us", "eu"], 100, memory=0.5, sigma=1.0)
    >>> bool((rows[0] == rows[2]).all()), bool((rows[0] == rows[1]).any())
    (True, False)
    """
    unique = sorted(set(regions))
    rows = autocorrelated(seed, purpose, [f"region {name}" for name in unique], length, memory=memory, sigma=sigma)
    return rows[[unique.index(name) for name in regions]]


def shots(rng: np.random.Generator, length: int, *, chance: float, height: float, memory: float) -> np.ndarray:
    """Draw shot noise: rare jumps of exponential height that die away, as bursts of traffic do.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    length : int
        Samples.
    chance : float
        Probability of a jump at a sample.
    height : float
        Mean height of a jump.
    memory : float, in [0, 1)
        What is left of a jump one sample later.

    Returns
    -------
    ndarray of float64, shape (length,)
    """
    jumps = np.where(rng.random(length) < chance, rng.exponential(height, length), 0.0)
    return lfilter([1.0], [1, -memory], jumps)
