"""When each series left its own course, how far, and in the direction that hurts: found without being told the time.

A change is a stretch of rows whose mean differs from that of the rows around it, measured in the noise of the series.
Noise is known from a time that was normal or, without one, from the series' first differences, which a step does not
inflate. All stretches are tried at once by sums from the left; a long history ends inside its change (the alarm
stands), a short one may hold the end as well.
"""

from __future__ import annotations

__all__ = [
    "CHANGED",
    "Grid",
    "Moved",
    "changes",
    "contrasts",
    "grid_of",
    "moved_of",
    "noise_scale",
    "rank_share",
    "stretches",
]

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.schema import metric as known_metric

LEAST = 2  # rows that a change lasts: one row is a blip, and rules wait a second time too
SHORT = 12  # rows up to which a history may hold the end of its change as well as the begin
GAUSS = 1.4826  # median absolute deviation -> standard deviation of a normal
FLOOR = 0.01  # of the level: a metric that is constant in the reference may move by so much without being noticed
CHANGED = 5.0  # standard errors from which a metric counts as changed
CLIP = 50.0  # standard deviations beyond which a change is simply large
SIGNS = {"high": 1.0, "low": -1.0}


@lru_cache(maxsize=4096)
def metric(name: str):
    """What the registry knows of a metric, asked once."""
    return known_metric(name)


def stretches(rows: int, least: int = LEAST) -> np.ndarray:
    """All stretches that a change may take within a history.

    Parameters
    ----------
    rows : int
        Length of the history.
    least : int
        Rows that a change lasts, and that the quiet before it has (one is enough in a short history).

    Returns
    -------
    array of int, shape (stretches, 2)
        First row and the row after the last. The first row of a history is never part of one.

    Examples
    --------
    >>> stretches(4).tolist()
    [[1, 3], [1, 4], [2, 4]]
    """
    if rows > SHORT:
        first = np.arange(least, rows - least + 1)
        return np.column_stack([first, np.full(len(first), rows)])
    pairs = [(a, b) for a in range(1, rows) for b in range(a + least, rows + 1)]
    return np.array(pairs, dtype=int).reshape(-1, 2)


def contrasts(values: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean inside of each stretch minus mean outside, and the standard error in units of one row's noise.

    Parameters
    ----------
    values : array of float64, shape (rows, series)
        NaN is missing.
    parts : array of int, shape (stretches, 2)
        As from `stretches`.

    Returns
    -------
    difference, error : arrays of float64, shape (stretches, series)
        NaN where a series has no value inside, or none outside.

    Examples
    --------
    >>> difference, error = contrasts(np.array([[1.0], [1.0], [4.0], [4.0]]), np.array([[2, 4]]))
    >>> difference.tolist(), error.tolist()
    ([[3.0]], [[1.0]])
    """
    known = np.isfinite(values)
    zero = np.zeros((1, values.shape[1]))
    sums = np.concatenate([zero, np.cumsum(np.where(known, values, 0.0), axis=0)])
    counts = np.concatenate([zero, np.cumsum(known, axis=0)])
    inside, n = sums[parts[:, 1]] - sums[parts[:, 0]], counts[parts[:, 1]] - counts[parts[:, 0]]
    outside, m = sums[-1] - inside, counts[-1] - n
    with np.errstate(divide="ignore", invalid="ignore"):
        difference, error = inside / n - outside / m, np.sqrt(1 / n + 1 / m)
    missing = (n == 0) | (m == 0)
    return np.where(missing, np.nan, difference), np.where(missing, np.nan, error)


def noise_scale(values: np.ndarray) -> np.ndarray:
    """Standard deviation of each series' noise by its first differences, robust against steps and outliers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> step = np.repeat([0.0, 100.0], 500) + rng.normal(0, 2, 1000)
    >>> round(float(noise_scale(step[:, None])[0]), 1)
    1.9
    """
    with np.errstate(invalid="ignore"):
        moves = np.abs(np.diff(values, axis=0))
    return GAUSS * _nanmedian(moves) / np.sqrt(2)


class Grid(NamedTuple):
    """A panel as a block of numbers.

    Parameters
    ----------
    values : array of float64, shape (rows, entities, metrics)
        NaN where an entity has no row or no value.
    stamps : DatetimeIndex, entities : Index, metrics : Index
        What the axes are.
    """

    values: np.ndarray
    stamps: pd.DatetimeIndex
    entities: pd.Index
    metrics: pd.Index

    def of(self, name: str) -> np.ndarray:
        """One metric, shape (rows, entities)."""
        return self.values[:, :, self.metrics.get_loc(name)]


def grid_of(telemetry: pd.DataFrame) -> Grid:
    """Lay a panel out as a block.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=2, freq="60s", tz="UTC")
    >>> index = pd.MultiIndex.from_tuples([("a", stamps[0]), ("a", stamps[1]), ("b", stamps[1])],
    ...                                   names=["entity", "timestamp"])
    >>> grid_of(pd.DataFrame({"up": [1.0, 2.0, 3.0]}, index=index)).of("up").tolist()
    [[1.0, nan], [2.0, 3.0]]
    """
    entity, stamp = telemetry.index.codes
    entities, column = np.unique(entity, return_inverse=True)
    stamps, row = np.unique(stamp, return_inverse=True)
    values = np.full((len(stamps), len(entities), telemetry.shape[1]), np.nan)
    values[row, column] = telemetry.to_numpy(dtype="float64")
    levels = telemetry.index.levels
    return Grid(values, levels[1].take(stamps), levels[0].take(entities), telemetry.columns)


class Moved(NamedTuple):
    """The change of each series of a grid: arrays of shape (entities, metrics).

    Parameters
    ----------
    first, last : arrays of int
        First changed row, and last.
    difference, z : arrays of float64
        As in `changes`; NaN for a series without two values.
    """

    first: np.ndarray
    last: np.ndarray
    difference: np.ndarray
    z: np.ndarray


def moved_of(grid: Grid, level: np.ndarray, scale: np.ndarray, least: int = LEAST) -> Moved:
    """Find the change of each series of a grid; what is usual of it has shape (entities, metrics), NaN not known."""
    shape = grid.values.shape[1:]
    parts = stretches(len(grid.stamps), least)
    if not len(parts):
        return Moved(np.zeros(shape, int), np.zeros(shape, int), np.full(shape, np.nan), np.full(shape, np.nan))
    values = grid.values.reshape(len(grid.stamps), -1)
    noise = _scales(values, level.ravel(), scale.ravel())
    difference, error = contrasts(values, parts)
    z = difference / (noise * error)
    signs = np.tile([SIGNS.get(metric(name).bad, 0.0) for name in grid.metrics], shape[0])
    z = np.where(signs == 0, np.abs(z), z * signs)
    best = np.argmax(np.where(np.isnan(z), -np.inf, z), axis=0)
    each = np.arange(values.shape[1])
    largest = np.clip(z[best, each], -CLIP, CLIP)  # after the best is found, or all that is large would be alike
    found = parts[best, 0], parts[best, 1] - 1, difference[best, each], largest
    return Moved(*(own.reshape(shape) for own in found))


def changes(telemetry: pd.DataFrame, reference: pd.DataFrame | None = None, least: int = LEAST) -> pd.DataFrame:
    """Find the change of each metric of each entity.

    Parameters
    ----------
    telemetry : DataFrame
        Panel of a case: what was known at its moment.
    reference : DataFrame, optional
        Noise of a normal time: columns `level` and `scale`, index (entity, metric), as `Usual.metrics`.
    least : int
        Rows that a change lasts.

    Returns
    -------
    DataFrame
        Index (entity, metric): `onset` (moment of the first changed row), `end` (of the last), `difference` (in the
        metric's unit), `z` (in standard errors, above 0 in the direction that hurts; either way where neither does).
        A series without two values has NaN.
    """
    grid = grid_of(telemetry)
    index = pd.MultiIndex.from_product([grid.entities, grid.metrics], names=["entity", "metric"])
    known = (
        pd.DataFrame(np.nan, index=index, columns=["level", "scale"]) if reference is None else reference.reindex(index)
    )
    shape = grid.values.shape[1:]
    moved = moved_of(grid, known["level"].to_numpy().reshape(shape), known["scale"].to_numpy().reshape(shape), least)
    found = pd.DataFrame({"difference": moved.difference.ravel(), "z": moved.z.ravel()}, index=index)
    missing = found["z"].isna().to_numpy()
    for place, name, rows in ((0, "onset", moved.first), (1, "end", moved.last)):
        stamps = (
            grid.stamps.take(rows.ravel()) if len(grid.stamps) else pd.DatetimeIndex([pd.NaT] * len(index), tz="UTC")
        )
        found.insert(place, name, pd.Series(stamps, index=index).mask(missing))
    return found


def rank_share(values: np.ndarray) -> np.ndarray:
    """1 for the largest, 1/2 for the second, ...; 0 where the value is not above 0.

    Examples
    --------
    >>> rank_share(np.array([3.0, 0.0, 9.0])).tolist()
    [0.5, 0.0, 1.0]
    """
    order = pd.Series(values).rank(ascending=False, method="min")
    return np.where(np.asarray(values) > 0, 1.0 / order, 0.0)


def _scales(values: np.ndarray, level: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Noise of each series: the usual where it is known, else its own; never less than can be noticed."""
    own, at = scale.copy(), np.abs(level)
    new = ~(np.isfinite(scale) & np.isfinite(level))
    if new.any():
        own[new] = np.where(np.isfinite(scale[new]), scale[new], noise_scale(values[:, new]))
        at[new] = np.abs(_nanmedian(values[:, new]))
    return np.fmax(own, np.maximum(FLOOR * at, 1e-9))


def _nanmedian(values: np.ndarray) -> np.ndarray:
    """Median of each column, NaN where it has no value, and no warning about it."""
    full = np.where(np.isfinite(values), values, np.nan)
    empty = np.isnan(full).all(axis=0)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, full), axis=0))
