"""The table of components from arrays."""

from __future__ import annotations

__all__ = ["Block", "components_table", "season_column"]

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.decomposition.periods import period_name


class Block(NamedTuple):
    """The components of one entity: n times and m metrics."""

    entity: str
    times: np.ndarray  # int64, microseconds, shape (n,)
    observed: np.ndarray  # float64, shape (n, m), as all that follow
    trend: np.ndarray
    seasons: Mapping[str, np.ndarray]  # by column


def season_column(period: float) -> str:
    """Name of the column that holds the season of a period.

    Examples
    --------
    >>> season_column(86400), season_column(5820.25)
    ('seasonal_1d', 'seasonal_5820_25s')
    """
    return "seasonal_" + period_name(period).replace(".", "_").replace("+", "")


def components_table(metrics: Sequence[str], blocks: Sequence[Block]) -> pd.DataFrame:
    """Build the table of components.

    Parameters
    ----------
    metrics : sequence of str
        Names of the m metrics, sorted.
    blocks : sequence of Block
        Sorted by entity; a season that a block lacks is missing there.

    Returns
    -------
    DataFrame
        In the form of the contract, sorted by entity, timestamp, metric; seasonal is the sum of the seasons, resid is
        observed - trend - seasonal.
    """
    names = list(dict.fromkeys(name for block in blocks for name in block.seasons))

    def stacked(parts) -> np.ndarray:
        return np.concatenate([np.empty(0), *(part.ravel() for part in parts)])

    observed, trend = stacked(block.observed for block in blocks), stacked(block.trend for block in blocks)
    nothing = {block.entity: np.full(block.observed.shape, np.nan) for block in blocks}
    seasons = {name: stacked(block.seasons.get(name, nothing[block.entity]) for block in blocks) for name in names}
    seasonal = np.where(np.isnan(trend), np.nan, 0.0)
    for season in seasons.values():
        seasonal += np.nan_to_num(season)
    data = {"observed": observed, "trend": trend, "seasonal": seasonal, "resid": observed - trend - seasonal, **seasons}
    return pd.DataFrame(data, index=_index(metrics, blocks))


def _index(metrics: Sequence[str], blocks: Sequence[Block]) -> pd.MultiIndex:
    lengths = np.array([len(block.times) for block in blocks], dtype=np.int64)
    own = np.concatenate([np.empty(0, dtype=np.int64), *(block.times for block in blocks)])
    times, stamps = np.unique(own, return_inverse=True)
    return pd.MultiIndex(
        levels=[
            pd.Index([block.entity for block in blocks], dtype="str"),
            pd.DatetimeIndex(times.view("datetime64[us]")).tz_localize("UTC"),
            pd.Index(metrics, dtype="str"),
        ],
        codes=[
            np.repeat(np.arange(len(blocks)), lengths * len(metrics)),
            stamps.repeat(len(metrics)),
            np.tile(np.arange(len(metrics)), len(own)),
        ],
        names=["entity", "timestamp", "metric"],
    )
