"""A burst of feedback as a signal: messages a step and entity as a metric, and how unlikely the last ones are."""

from __future__ import annotations

__all__ = ["COUNT", "burst_scores", "complaints", "evidence", "feedback_counts"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import special
from scipy.signal import lfilter

from stability.schema import TABLES, ContractError, validate

COUNT = "feedback_messages"
"""The panel's column: messages of the step that ends at the stamp."""
PRAISE = ("praise",)  # who is happy writes when nothing is wrong
PRIOR = 0.5  # Jeffreys' prior of a Poisson rate is Gamma(1/2, 0)
FLOOR = 1e-300  # of a tail's probability: the smallest that a float holds


def complaints(feedback: pd.DataFrame) -> pd.DataFrame:
    """Leave praise out; a message that nobody classified stays.

    Examples
    --------
    >>> complaints(pd.DataFrame({"category": ["praise", "latency", None]})).index.tolist()
    [1, 2]
    """
    return feedback[~feedback["category"].isin(PRAISE)] if "category" in feedback else feedback


def evidence(frame: pd.DataFrame, names: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Give the messages of a store as the contract's table, for localizers and the watch: no praise, and no text.

    Parameters
    ----------
    frame : DataFrame
        As `FeedbackStore.frame`.
    names : mapping of str to str, optional
        Category -> what a localizer has learnt to call it: recordings call `availability` failed, `latency` slow.

    Returns
    -------
    DataFrame, index feedback_id

    Examples
    --------
    >>> row = {"feedback_id": "f", "timestamp": pd.Timestamp("2026-01-01", tz="UTC"), "channel": "mail"}
    >>> row |= {"entity": "web", "text": "it is slow", "category": "latency"}
    >>> evidence(pd.DataFrame([row]), {"latency": "slow"}).loc["f", ["entity", "category"]].tolist()
    ['web', 'slow']
    """
    kept = complaints(frame).set_index("feedback_id").reindex(columns=list(TABLES["feedback"].columns)[1:])
    called = kept["category"].map(lambda name: dict(names or {}).get(name, name))
    return validate(kept.assign(category=called, text=None, answer=None), "feedback")


def feedback_counts(
    feedback: pd.DataFrame,
    index: pd.MultiIndex,
    *,
    step: str | pd.Timedelta,
    whole: str | None = None,
    observed: tuple[pd.Timestamp, pd.Timestamp] | None = None,
) -> pd.Series:
    """Count messages a step and entity, on the rows of a panel, so that they stand beside its other metrics.

    Parameters
    ----------
    feedback : DataFrame
        `timestamp`, `entity`; praise is left out where `category` says so.
    index : MultiIndex (entity, timestamp)
        A panel's.
    step : Timedelta or text
        The row at t counts messages of (t - step, t]: no message is known before it was sent.
    whole : str, optional
        The entity, such as `users`, whose rows count all messages, also those that name no entity or one that the
        panel does not have; these are counted nowhere without it.
    observed : (Timestamp, Timestamp), optional
        While channels were open; rows outside are NaN, since nobody could write. Always, without it.

    Returns
    -------
    Series of float64, name `feedback_messages`, on `index`

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=3, freq="min", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web", "users"], stamps], names=["entity", "timestamp"])
    >>> sent = stamps[[1, 1, 2]] - pd.Timedelta("1s")
    >>> said = pd.DataFrame({"timestamp": sent, "entity": ["web", None, "web"]})
    >>> feedback_counts(said, index, step="1min", whole="users").tolist()
    [0.0, 1.0, 1.0, 0.0, 2.0, 1.0]
    """
    for column in ("timestamp", "entity"):
        if column not in feedback:
            raise ContractError("feedback", column=column, expected="columns timestamp and entity", got="none")
    if list(index.names) != ["entity", "timestamp"]:
        raise ContractError(column="index", expected="(entity, timestamp)", got=str(list(index.names)))
    width = pd.Timedelta(step)
    if not width > pd.Timedelta(0):
        raise ContractError(column="step", expected="a length of time above 0", got=repr(step))
    said = complaints(feedback)
    sent = said["timestamp"].dt.tz_convert("UTC").dt.as_unit("us").astype("int64").to_numpy()
    counts = np.zeros(len(index))
    stamps = index.get_level_values("timestamp").as_unit("us").asi8
    for entity, rows in pd.Series(np.arange(len(index))).groupby(index.get_level_values("entity")):
        own = sent if entity == whole else sent[(said["entity"] == entity).to_numpy(dtype=bool, na_value=False)]
        rows = rows.to_numpy()[np.argsort(stamps[rows], kind="stable")]
        place = np.searchsorted(stamps[rows], own)  # the first row at or after the message
        there = place < len(rows)
        place, own = place[there], own[there]
        place = place[stamps[rows[place]] - own < width // pd.Timedelta("1us")]
        counts[rows] = np.bincount(place, minlength=len(rows))
    if observed is not None:
        moments = index.get_level_values("timestamp")
        counts[(moments < observed[0]) | (moments > observed[1])] = np.nan
    return pd.Series(counts, index=index, name=COUNT)


def burst_scores(
    counts: pd.Series, *, window: int = 5, half_life: float = 1440.0, least: float = 60.0, name: str = "feedback_burst"
) -> pd.DataFrame:
    r"""Score each row by how unlikely so many messages in the last rows are, given all that came before them.

    Parameters
    ----------
    counts : Series, index (entity, timestamp)
        Messages of each step, as `feedback_counts` gives them: whole numbers from 0 up, NaN where nobody could write.
    window : int
        Rows that are judged together, the last of them the one that is scored.
    half_life : float
        Rows after which what was learnt weighs half: habits change.
    least : float
        Rows that have to be known before the window (each by its weight); below, nothing is scored.
    name : str
        Of the column.

    Returns
    -------
    DataFrame, index (entity, timestamp)
        The contract's `scores`: :math:`-\log_{10} P(N \geq n)`; 3 is one in a thousand windows by chance. NaN before
        enough is known and where the row itself is not.

    Raises
    ------
    ContractError
        For counts that are none, and settings below 1.

    Notes
    -----
    The rate has a Gamma distribution: Jeffreys' prior and the discounted counts and rows up to the window's begin, so
    that N, the messages of its known rows, has a negative binomial one, wide where little is known. No row sees a
    later one. Users write in company more than a Poisson process does, so a threshold is to be chosen on quiet time.

    References
    ----------
    West and Harrison (1997), Bayesian Forecasting and Dynamic Models, section 10.8 (discounted Poisson rates).

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=200, freq="min", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    >>> counts = pd.Series(0.0, index)
    >>> counts.iloc[::20], counts.iloc[190:193] = 1.0, 4.0
    >>> burst_scores(counts).iloc[[59, 150, 189, 192], 0].round(1).tolist()
    [nan, 0.0, 0.0, 13.4]
    """
    if not isinstance(window, int) or window < 1 or not half_life >= 1 or not least >= 1:
        got = f"window {window}, half_life {half_life}, least {least}"
        raise ContractError(column="settings", expected="a whole window, a half life and a least from 1 up", got=got)
    if list(counts.index.names) != ["entity", "timestamp"]:
        raise ContractError(column="index", expected="(entity, timestamp)", got=str(list(counts.index.names)))
    known = counts.to_numpy(dtype=float)
    if (known < 0).any() or not np.isfinite(known[~np.isnan(known)]).all() or (known % 1 > 0).any():
        raise ContractError(column=str(counts.name), expected="counts: whole numbers from 0 up", got="others")
    scores = np.full(len(counts), np.nan)
    stamps = counts.index.get_level_values("timestamp").as_unit("us").asi8
    for _, rows in pd.Series(np.arange(len(counts))).groupby(counts.index.get_level_values("entity")):
        rows = rows.to_numpy()[np.argsort(stamps[rows], kind="stable")]
        scores[rows] = _scores(known[rows], window, 0.5 ** (1 / half_life), least)
    return pd.DataFrame({name: scores}, index=counts.index)


def _scores(values: np.ndarray, window: int, keep: float, least: float) -> np.ndarray:
    there = ~np.isnan(values)
    counted, rows = np.where(there, values, 0.0), there.astype(float)
    sums = [np.convolve(one, np.ones(window))[: len(one)] for one in (counted, rows)]  # of the window's rows
    before = [lfilter([1.0], [1.0, -keep], one) for one in (counted, rows)]
    shape, exposure = (np.concatenate([np.zeros(min(window, len(one))), one[:-window]]) for one in before)
    n, width = np.round(sums[0]), sums[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.where(n > 0, special.betainc(np.maximum(n, 1.0), PRIOR + shape, width / (exposure + width)), 1.0)
    scored = -np.log10(np.maximum(tail, FLOOR)) + 0.0
    return np.where(there & (exposure >= least), scored, np.nan)
