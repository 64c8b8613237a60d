"""Resampling: cases drawn again, as whole entities or blocks of their time, since rows depend on each other."""

from __future__ import annotations

__all__ = [
    "ENOUGH_ENTITIES",
    "MIN_UNITS",
    "bootstrap_interval",
    "ratio_of_sums",
    "resample_counts",
    "resampling_units",
]

import operator
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, NotEnoughEvidence, percentile_estimate
from stability.evaluation.spans import index_arrays, microseconds
from stability.schema import ContractError

# n units have C(2n - 1, n) distinct resamples: 35 of four, 126 of five. The tails of a 95 % interval hold a fortieth
# each, so below five units there is not even one resample to mark them.
MIN_UNITS = 5
ENOUGH_ENTITIES = 10  # from here on entities are drawn whole; fewer would leave only a handful of distinct resamples
CELLS = 2_000_000  # of a matrix of resamples held at once: 16 MB


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    block: int = 1,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    vectorized: bool = False,
) -> Estimate:
    """Bound any statistic by the percentiles of its values on resampled units or moving blocks of time.

    Parameters
    ----------
    statistic : callable
        Takes one array for each of `samples` and gives a number; NaN where it is undefined (such resamples are left
        out of the percentiles).
    *samples : arrays, shape (n, ...)
        Units along the first axis, in time's order where `block` > 1; resampled together, so that pairs stay pairs.
    block : int
        1 draws units independently (Efron). More draws runs of that many neighbours from anywhere in the sequence
        (Künsch's moving blocks) and keeps the dependence within a block: choose it longer than the dependence lasts.
    confidence : float in (0, 1)
        The interval reaches from the (1 - confidence)/2 to the (1 + confidence)/2 percentile, widened to hold the
        statistic itself where it lies outside.
    resamples : int
        How many.
    seed : int
        Equal seed, equal interval.
    vectorized : bool
        Whether the statistic takes many resamples at once, arrays of shape (resamples, n, ...), and gives a number for
        each: a hundred times as fast, with the same draws.

    Returns
    -------
    Estimate
        The statistic of the samples as they are, and its interval.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units (or blocks that fit side by side), or when the statistic is undefined on
        the samples or on half of the resamples.
    ContractError
        When the samples differ in length, or the block or `resamples` is no positive whole number.

    References
    ----------
    Efron (1979), doi 10.1214/aos/1176344552; Künsch (1989), doi 10.1214/aos/1176347265; percentile method: Efron and
    Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.

    Examples
    --------
    >>> [round(x, 2) for x in bootstrap_interval(np.mean, np.arange(10.0), seed=1)]
    [4.5, 2.7, 6.3]
    """
    arrays = [np.atleast_1d(sample) for sample in samples]
    sizes = {len(array) for array in arrays}
    if len(sizes) != 1 or not all(np.ndim(sample) for sample in samples):
        got = f"lengths {sorted(sizes)}" if len(sizes) != 1 else "a single number"
        raise ContractError(column="samples", expected="samples of one length", got=got)
    n = sizes.pop()
    require_count(block, "block")
    require_units(n // block, "blocks" if block > 1 else "units")
    require_count(resamples, "resamples")
    rng = generator(seed)
    offsets = np.arange(block)
    values = np.empty(resamples)
    each = max(1, CELLS // max(array.size for array in arrays)) if vectorized else 1
    for done in range(0, resamples, each):
        starts = rng.integers(0, n - block + 1, size=(min(each, resamples - done), -(-n // block)))
        drawn = (starts[..., None] + offsets).reshape(len(starts), -1)[:, :n]
        drawn = drawn if vectorized else drawn[0]
        values[done : done + len(starts)] = statistic(*(array[drawn] for array in arrays))
    value = statistic(*(array[None] for array in arrays))[0] if vectorized else statistic(*arrays)
    return percentile_estimate(float(value), values, confidence)


def ratio_of_sums(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Share of sums, a statistic for many resamples at once.

    Parameters
    ----------
    part, whole : arrays of float64, shape (resamples, n)

    Returns
    -------
    array of float64, shape (resamples,)
        NaN where the whole is 0.

    Examples
    --------
    >>> bootstrap_interval(ratio_of_sums, np.full(9, 1.0), np.full(9, 4.0), vectorized=True).value
    0.25
    """
    sums = part.sum(axis=1), whole.sum(axis=1)
    return np.divide(*sums, out=np.full(len(part), np.nan), where=sums[1] > 0)


def resample_counts(units: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw, for each resample, how often each unit is in it: the whole bootstrap as weights.

    A statistic that is a function of sums over units needs these weights only, never the resampled rows.

    Parameters
    ----------
    units : int
        Number of units.
    resamples, seed : int
        As in `bootstrap_interval`.

    Yields
    ------
    array of int64, shape (some, units)
        Each row sums to `units`; all together `resamples` rows, in parts that bound the memory.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units.

    Examples
    --------
    >>> np.concatenate(list(resample_counts(5, 2, seed=0))).tolist()
    [[1, 0, 0, 0, 4], [2, 2, 0, 1, 0]]
    """
    require_units(units, "units")
    require_count(resamples, "resamples")
    rng = generator(seed)
    rows = max(1, CELLS // units)
    for done in range(0, resamples, rows):
        yield rng.multinomial(units, np.full(units, 1 / units), size=min(rows, resamples - done))


def resampling_units(index: pd.Index, unit: str = "auto", block: str | pd.Timedelta = "1D") -> np.ndarray:
    """Say which rows are drawn together: those of an entity, or those of an entity within a block of time.

    Rows of one entity depend on each other, so drawing single rows would make every interval far too narrow.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
        Of scores or labels; a plain DatetimeIndex is one entity.
    unit : {"auto", "entity", "block"}
        "auto" takes entities where there are at least `ENOUGH_ENTITIES`, else blocks.
    block : Timedelta or text
        Length of a block, counted from 1970-01-01 UTC; it should be longer than events and their aftermath last.

    Returns
    -------
    array of int64, shape (rows,)
        Number of each row's unit, from 0.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="12h", tz="UTC", unit="us")
    >>> resampling_units(stamps).tolist()
    [0, 0, 1, 1]
    """
    codes, times, entities = index_arrays(index)
    return number_units(codes, times, len(entities), unit, block)


def number_units(codes, times, entities: int, unit: str, block) -> np.ndarray:
    """As `resampling_units`, for entity numbers and times in microseconds."""
    if unit not in ("auto", "entity", "block"):
        raise ContractError(column="unit", expected="'auto', 'entity' or 'block'", got=unit)
    if unit == "entity" or (unit == "auto" and entities >= ENOUGH_ENTITIES):
        return np.asarray(codes, dtype=np.int64)
    numbers = times // block_length(block)
    span = numbers.max(initial=0) - numbers.min(initial=0) + 1
    return np.unique(codes * span + (numbers - numbers.min(initial=0)), return_inverse=True)[1].astype(np.int64)


def block_length(block) -> int:
    """Read the length of a block of time, in microseconds."""
    length = microseconds(block, "block")
    if length <= 0:
        raise ContractError(column="block", expected="a length of time above 0, such as '1D'", got=str(block))
    return length


def generator(seed: int) -> np.random.Generator:
    """Make the source of chance from a seed, or say that it is none."""
    try:
        return np.random.default_rng(operator.index(seed))
    except (ValueError, TypeError):
        raise ContractError(column="seed", expected="a whole number from 0 up", got=seed) from None


def require_count(count: int, name: str) -> None:
    if not isinstance(count, int | np.integer) or count < 1:
        raise ContractError(column=name, expected="a whole number from 1 up", got=count)


def require_units(units: int, kind: str) -> None:
    if units < MIN_UNITS:
        raise NotEnoughEvidence(
            f"A bootstrap interval needs at least {MIN_UNITS} {kind}, there are {units}. Give more entities, a longer "
            "record or a shorter block."
        )
