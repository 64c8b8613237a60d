"""What every detector does alike: check what it is given, and say what shaped it."""

from __future__ import annotations

__all__ = ["before", "check_panel", "check_scores", "fitted_on", "runs"]

import numpy as np
import pandas as pd

from stability.schema import ContractError, nearest, validate


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


def before(panel: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Take the rows of a history from which a panel goes on.

    Parameters
    ----------
    panel, history : DataFrame, (entity, timestamp) x metrics
        In contract form.

    Returns
    -------
    DataFrame
        The history of the entities whose rows in the panel all come after it; of another one it would hold the future
        of some rows.
    """
    first, last = (
        frame.index.to_frame()["timestamp"].groupby(level="entity", sort=False).agg(how)
        for frame, how in ((panel, "min"), (history, "max"))
    )
    later = first.index[np.asarray(last.reindex(first.index) < first)]
    return history[history.index.get_level_values("entity").isin(later)]


def check_panel(detector, panel: pd.DataFrame) -> pd.DataFrame:
    """Bring a panel into contract form, and refuse one that the detector cannot know how to judge.

    Parameters
    ----------
    detector
        Any of `DETECTORS`; fitted, with its `metrics_`.
    panel : DataFrame, (entity, timestamp) x metrics
        What is to be judged.

    Returns
    -------
    DataFrame
        The panel in contract form.

    Raises
    ------
    ContractError
        When the detector is not fitted, the panel is none, or a column was not in the history.
    """
    if not hasattr(detector, "fitted_on_"):
        raise ContractError(f"{type(detector).__name__} has no history yet", remedy="call fit(history) first")
    panel = validate(panel, "telemetry")
    for name in panel.columns.difference(detector.metrics_):
        remedy = nearest(name, detector.metrics_)
        raise ContractError(file="panel", column=name, expected="a metric of the history", remedy=remedy)
    return panel


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
    codes, entities = index.get_level_values("entity").factorize()
    return entities, np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes))
