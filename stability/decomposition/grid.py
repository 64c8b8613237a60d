"""A series on its regular grid, its slow part and its profile over a period: what the decompositions share."""

from __future__ import annotations

__all__ = ["PROFILE_POINTS", "on_grid", "profile_of", "running_mean", "series_of"]

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from stability.schema import ContractError

PROFILE_POINTS = 288  # points of a profile at most: 5 minutes of a day, 35 minutes of a week
SPARSE = 50  # cells per row beyond which a grid is mostly emptiness and the step a mistake


def series_of(panel: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, pd.DataFrame]]:
    """Walk over the entities of a panel in contract form.

    Parameters
    ----------
    panel : DataFrame
        Index (entity, timestamp), float64 metrics.

    Yields
    ------
    (str, array of int64, DataFrame)
        Entity, its times in microseconds since 1970, its rows.
    """
    for entity, rows in panel.groupby(level="entity", sort=True):
        yield str(entity), rows.index.get_level_values("timestamp").as_unit("us").asi8, rows


def on_grid(times: np.ndarray, values: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Put a series on the regular grid of its usual step; values that share a cell are averaged.

    Parameters
    ----------
    times : array of int64, shape (n,)
        Microseconds, increasing.
    values : array of float64, shape (n,)
        NaN where missing.

    Returns
    -------
    step : float
        Median distance of neighbouring times, in s; NaN with fewer than two rows.
    grid : array of float64, shape (cells,)
        NaN in cells without a value.
    cells : array of int64, shape (n,)
        The cell of each row.

    Raises
    ------
    ContractError
        When the grid would hold more than `SPARSE` cells a row.

    Examples
    --------
    >>> step, grid, cells = on_grid(np.array([0, 60, 120, 240]) * 1_000_000, np.array([1.0, 2.0, 3.0, 5.0]))
    >>> step, grid.tolist(), cells.tolist()
    (60.0, [1.0, 2.0, 3.0, nan, 5.0], [0, 1, 2, 4])
    """
    if len(times) < 2:
        return np.nan, np.asarray(values, dtype=float), np.arange(len(times))
    step = float(np.median(np.diff(times)))
    cells = np.rint((times - times[0]) / step).astype(np.int64)
    size = int(cells[-1]) + 1
    if size > SPARSE * len(times):
        raise ContractError(
            expected=f"rows about every {step / 1e6:g} s, the usual distance of neighbours",
            got=f"{len(times):,} rows over {size:,} such steps",
            remedy="bring the panel to one step first: telemetry.regularize(panel, step)",
        )
    known = np.isfinite(values)
    counts = np.bincount(cells[known], minlength=size)
    sums = np.bincount(cells[known], values[known], minlength=size)
    return step / 1e6, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), cells


def running_mean(values: np.ndarray, width: float) -> np.ndarray:
    """Centred mean over `width` cells: the slow part of a series, free of any season of that period.

    Two-sided. The half window at each end, where the mean would be lopsided, is the line through the outermost
    half window of means.

    Parameters
    ----------
    values : array of float64, shape (n,)
        NaN where missing; a window with less than a quarter of its values is bridged.
    width : float
        Cells; at most half of the series is taken.

    Returns
    -------
    array of float64, shape (n,)

    Examples
    --------
    >>> running_mean(np.arange(8.0), 3).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    n = len(values)
    width = max(1, min(round(width), n // 2))
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    inside = counts[width:] - counts[:-width]
    kept = inside >= max(1, width / 4)
    if not kept.any():
        return np.full(n, values[known].mean() if known.any() else np.nan)
    means = (sums[width:] - sums[:-width])[kept] / inside[kept]
    centres = (np.arange(n - width + 1) + (width - 1) / 2)[kept]
    at = np.arange(n)
    slow = np.interp(at, centres, means)
    for edge, near, outer in (
        (at < centres[0], centres <= centres[0] + width / 2, 0),
        (at > centres[-1], centres >= centres[-1] - width / 2, -1),
    ):
        offset = centres[near] - centres[near].mean()
        spread = (offset**2).sum()
        slope = (offset * means[near]).sum() / spread if spread > 0 else 0.0
        slow[edge] = means[outer] + slope * (at[edge] - centres[outer])
    return slow


def profile_of(values: np.ndarray, period: float) -> np.ndarray:
    """Median over the cycles at each phase, around the slow part, laid out along the series.

    Parameters
    ----------
    values : array of float64, shape (n,)
        NaN where missing.
    period : float
        Cells, not necessarily whole.

    Returns
    -------
    array of float64, shape (n,)
        The profile at each cell, also where the value is missing; 0 at phases that were never seen.

    Examples
    --------
    >>> profile_of(np.tile([0.0, 0.0, 3.0], 4), 3).round(6).tolist()[:3]
    [-1.0, -1.0, 2.0]
    """
    bins = max(2, min(PROFILE_POINTS, round(period)))
    at = np.arange(len(values))
    phase = np.minimum((at % period * bins / period + 1e-9).astype(np.int64), bins - 1)
    around = values - running_mean(values, period)
    known = np.isfinite(around)
    order = np.argsort(phase[known], kind="stable")
    ordered = around[known][order]
    cuts = np.searchsorted(phase[known][order], np.arange(bins + 1))
    medians = [np.median(ordered[first:last]) if last > first else 0.0 for first, last in itertools.pairwise(cuts)]
    return np.array(medians)[phase]
