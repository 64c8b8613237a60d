"""When each series left its own course, how far, and in the direction that hurts: found without being told the time.

A change is a stretch of rows whose mean differs from that of the rows around it, measured in the noise of the series.
Noise is known from a time that was normal or, without one, from the series' first differences, which a step does not
inflate. All stretches are tried at once by sums from the left; a long history ends inside its change (the alarm
stands), a short one may hold the end as well.
"""

from __future__ import annotations

__all__ = ["CHANGED", "changes", "contrasts", "noise_scale", "rank_share", "stretches"]

import numpy as np
import pandas as pd

from stability.schema import metric

LEAST = 2  # rows that a change lasts: one row is a blip, and rules wait a second time too
SHORT = 12  # rows up to which a history may hold the end of its change as well as the begin
GAUSS = 1.4826  # median absolute deviation -> standard deviation of a normal
FLOOR = 0.01  # of the level: a metric that is constant in the reference may move by so much without being noticed
CHANGED = 5.0  # standard errors from which a metric counts as changed
CLIP = 50.0  # standard deviations beyond which a change is simply large
SIGNS = {"high": 1.0, "low": -1.0}


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
    columns = ["onset", "end", "difference", "z"]
    pairs = [(entity, name) for entity in telemetry.index.unique("entity") for name in telemetry.columns]
    index = pd.MultiIndex.from_tuples(pairs, names=["entity", "metric"])
    wide = telemetry.unstack("entity") if len(telemetry) else pd.DataFrame()  # noqa: PD010
    parts = stretches(len(wide), least)
    if not len(parts):
        return pd.DataFrame(np.nan, index=index, columns=columns)
    wide = wide[[(name, entity) for entity, name in pairs]]
    values, stamps = wide.to_numpy(dtype=float), wide.index
    scale = _scales(values, index, reference)
    difference, error = contrasts(values, parts)
    z = np.clip(difference / (scale * error), -CLIP, CLIP)
    known = {name: SIGNS.get(metric(name).bad) for name in telemetry.columns}
    signs = np.array([known[name] or 0.0 for _, name in pairs])
    z = np.where(signs == 0, np.abs(z), z * signs)
    best = np.nanargmax(np.where(np.isnan(z), -np.inf, z), axis=0)
    each = np.arange(len(pairs))
    found = pd.DataFrame({"difference": difference[best, each], "z": z[best, each]}, index=index)
    onset, end = stamps[parts[best, 0]], stamps[parts[best, 1] - 1]
    missing = found["z"].isna().to_numpy()
    found.insert(0, "onset", pd.Series(onset, index=index).mask(missing))
    found.insert(1, "end", pd.Series(end, index=index).mask(missing))
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


def _scales(values: np.ndarray, index: pd.MultiIndex, reference: pd.DataFrame | None) -> np.ndarray:
    """Noise of each series: from the reference where it is known, else its own; never less than can be noticed."""
    own = noise_scale(values)
    level = np.abs(_nanmedian(values))
    if reference is not None:
        known = reference.reindex(index)
        own = np.where(known["scale"].notna(), known["scale"], own)
        level = np.where(known["level"].notna(), np.abs(known["level"]), level)
    floor = np.maximum(FLOOR * level, 1e-9)
    return np.fmax(own, floor)


def _nanmedian(values: np.ndarray) -> np.ndarray:
    """Median of each column, NaN where it has no value, and no warning about it."""
    full = np.where(np.isfinite(values), values, np.nan)
    empty = np.isnan(full).all(axis=0)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, full), axis=0))
