"""Rows of a panel as arrays, and what of a table is read everywhere: entities, moments, scores."""

from __future__ import annotations

__all__ = ["Rows", "check_scores", "fitted_on", "moments_of", "no_rows", "rows_of", "runs"]

from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.schema import ContractError, validate


class Rows(NamedTuple):
    """Rows of a panel as arrays, those of an entity together and in time's order.

    Parameters
    ----------
    values : array of float64, shape (n, metrics), row-major
        NaN where missing; never infinite.
    times : array of int64, shape (n,)
        Microseconds since 1970.
    starts : array of int64, shape (entities + 1,)
        Position of each entity's first row; the last number is n.
    entities : Index of str, shape (entities,)
        Their names.
    """

    values: np.ndarray
    times: np.ndarray
    starts: np.ndarray
    entities: pd.Index


def moments_of(times) -> np.ndarray:
    """Microseconds since 1970."""
    kind = getattr(times, "dtype", np.asarray(times).dtype).kind
    if kind == "i":
        return np.asarray(times, dtype="int64")
    if kind != "M" or (stamps := pd.DatetimeIndex(times)).isna().any():
        raise ContractError(file="rows", expected="a moment for each row", got=f"{times!r:.60}")
    return stamps.as_unit("us").asi8


def rows_of(panel: pd.DataFrame) -> Rows:
    """A panel in contract form as arrays."""
    entities, starts = runs(panel.index)
    times = panel.index.get_level_values("timestamp").as_unit("us").asi8
    return Rows(np.array(panel, dtype="float64", order="C"), times, starts, entities)


def no_rows() -> pd.MultiIndex:
    """The index of a panel without rows."""
    stamps = pd.DatetimeIndex([], tz="UTC").as_unit("us")
    return pd.MultiIndex.from_arrays([pd.Index([], dtype="str"), stamps], names=["entity", "timestamp"])


def fitted_on(history: pd.DataFrame) -> dict:
    """Name the entities and the last moment of a history, as tables carry them (`stability.schema.FittedOn`).

    Parameters
    ----------
    history : DataFrame, (entity, timestamp) x metrics
        In contract form.

    Returns
    -------
    dict
        ``{"entities": [...], "until": ISO time}``.

    Raises
    ------
    ContractError
        When the history has no rows.
    """
    if history.empty:
        raise ContractError(file="history", expected="rows", got="none", remedy="give telemetry from before the test")
    entities, stamps = (history.index.get_level_values(level) for level in ("entity", "timestamp"))
    return {"entities": list(entities.unique()), "until": stamps.max().isoformat()}


def check_scores(scores: pd.Series) -> pd.Series:
    """Bring one detector's scores into contract form.

    Parameters
    ----------
    scores : Series of float64, (entity, timestamp)
        Named after its detector.

    Returns
    -------
    Series
        The scores in contract form: sorted, with the entity as a level.

    Raises
    ------
    ContractError
        When they are no Series, have no name, or are no column of a scores table.
    """
    if not isinstance(scores, pd.Series) or scores.name is None:
        got = f"a {type(scores).__name__}" + (" without a name" if isinstance(scores, pd.Series) else "")
        raise ContractError(file="scores", expected="a Series named after its detector", got=got)
    return validate(scores, "scores")[scores.name]


def runs(index: pd.MultiIndex) -> tuple[pd.Index, np.ndarray]:
    """Find the entities of a panel's index and where the rows of each begin.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp), sorted

    Returns
    -------
    entities : Index, shape (n,)
    starts : array of int64, shape (n + 1,)
        Position of each entity's first row; the last number is the count of rows.

    Examples
    --------
    >>> runs(pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["entity", "timestamp"]))[1].tolist()
    [0, 2, 3]
    """
    codes, level = np.asarray(index.codes[index.names.index("entity")]), index.levels[index.names.index("entity")]
    starts = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes))
    return level.take(codes[starts[:-1]]), starts
