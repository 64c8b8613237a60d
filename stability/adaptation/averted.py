r"""Faults that a repair averted: rows that look like false alarms, and teach a model to unlearn what it knows.

A predictor warns, somebody repairs, the fault does not come, and the rows before it are labelled "no fault". A model
that is trained again on such rows learns that the signs of a fault mean nothing; the better the predictor and the
repair, the worse the next training set. What is known of such a row is only that nobody knows, so it is no negative:

* ``expected``: its label is drawn with the probability that the model gave when the repair began, times the share of
  the row's horizon that lies after it: what the old model believed is kept, and so are its errors;
* ``drop``: it is left out, as rows are whose horizon the record cuts off. Of what was always repaired nothing is left
  to learn from then, but in older rows;
* ``held_out``: after the first repair of all, only entities that nobody repairs are learnt from: no guess at all, at
  the price of their faults and of few rows;
* ``positive``: it is taken for a fault, and so is every needless repair;
* ``negative``: it is taken at its word, which is the trap, and here only to show it.

Only rows without an impact are touched: what did come is known. A row is marked where a repair that was really done
(not rehearsed), and is not known to have failed, began within its horizon or went on at it. `unlearning` shows what
each of these does over rounds of predicting, repairing and learning, on a fleet whose untouched course is known; the
default was chosen there, on fleets 100 to 102.

Source: the loop and its size, arXiv 2402.00034 (Uptake): accuracy falls by about 9 % after training on mitigated
positives.
"""

from __future__ import annotations

__all__ = ["DEFAULT", "HOW", "Taught", "averted", "repairs", "taught"]

from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.spans import index_arrays
from stability.prediction.labels import read_length
from stability.schema import ContractError, one_of, validate

HOW = ("expected", "drop", "held_out", "positive", "negative")
DEFAULT = HOW[0]


class Taught(NamedTuple):
    """What a model is to learn from.

    Parameters
    ----------
    rows : array of bool, shape (n,)
        Which rows.
    labels : array of bool, shape (n,)
        Whether a fault followed, or is taken to.
    averted : int
        Rows that were marked.
    """

    rows: np.ndarray
    labels: np.ndarray
    averted: int


def repairs(actions: pd.DataFrame, topology: pd.DataFrame | None = None) -> pd.DataFrame:
    """Give the repairs that may have averted something, for each entity that they may have spared.

    Parameters
    ----------
    actions : DataFrame
        By contract; rehearsals (``dry-run``) and repairs whose verdict is ``not_recovered`` averted nothing.
    topology : DataFrame, optional
        By contract: what depends on a repaired entity was spared, too.

    Returns
    -------
    DataFrame
        `entity`, `start`, `end`: a repair that still goes on ends with its start.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=2, freq="h", tz="UTC", unit="us")
    >>> row = {"alarm_id": "x", "entity": "db", "playbook": "p", "step": "1 restart", "end": pd.NaT, "verdict": None}
    >>> rows = [row | {"action_id": "1", "mode": "automatic", "start": hours[0]}]
    >>> rows += [row | {"action_id": "2", "mode": "dry-run", "start": hours[1]}]
    >>> edges = pd.DataFrame({"source": ["web"], "target": ["db"], "kind": ["calls"]})
    >>> repairs(pd.DataFrame(rows), edges)["entity"].tolist()
    ['db', 'web']
    """
    table = validate(actions, "actions").reset_index()
    table = table[(table["mode"] != "dry-run") & (table["verdict"] != "not_recovered").fillna(True)]
    done = table[["entity", "start", "end"]].assign(end=table["end"].fillna(table["start"]))
    if topology is None or done.empty:
        return done.reset_index(drop=True)
    edges = validate(topology, "topology").reset_index()
    users = {target: set(own) for target, own in edges.groupby("target")["source"]}
    reached = {name: sorted(_above(name, users)) for name in done["entity"].unique()}
    spread = done.assign(entity=done["entity"].map(reached)).explode("entity")
    return spread.sort_values(["start", "entity"], kind="stable", ignore_index=True)


def averted(index: pd.Index, done: pd.DataFrame, horizon: str | pd.Timedelta) -> pd.Series:
    """Mark rows whose horizon holds the beginning of a repair, and those within one.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
    done : DataFrame
        From `repairs`.
    horizon : text or Timedelta

    Returns
    -------
    Series of float64 over `index`
        The share of the row's horizon that lies after the beginning of the next such repair (1 where one is under way
        or begins now); NaN where there is none.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=5, freq="h", tz="UTC", unit="us", name="timestamp")
    >>> done = pd.DataFrame({"entity": "default", "start": hours[[3]], "end": hours[[3]]})
    >>> averted(hours, done, "2h").tolist()
    [nan, 0.0, 0.5, 1.0, nan]
    """
    codes, times, entities = index_arrays(index)
    length = read_length(horizon, "horizon", least=1)
    share = np.full(len(times), np.nan)
    number = {str(name): k for k, name in enumerate(entities)}
    own = done[done["entity"].isin(number)]
    starts, ends = (pd.DatetimeIndex(own[name]).as_unit("us").asi8 for name in ("start", "end"))
    whose = own["entity"].map(number).to_numpy(dtype=np.int64)
    for k in np.unique(whose):
        rows, mine = np.flatnonzero(codes == k), whose == k
        begin, stop = np.sort(starts[mine]), np.sort(ends[mine])
        at = times[rows]
        nearest = np.searchsorted(begin, at)  # the first that begins at the row or later
        wait = np.where(nearest < len(begin), begin[np.minimum(nearest, len(begin) - 1)] - at, length + 1)
        under_way = np.searchsorted(begin, at, side="right") > np.searchsorted(stop, at, side="left")
        value = np.where(wait <= length, 1 - wait / length, np.nan)
        share[rows] = np.where(under_way, 1.0, value)
    return pd.Series(share, index, name="averted")


def taught(
    index: pd.Index,
    happened: np.ndarray,
    done: pd.DataFrame,
    horizon: str | pd.Timedelta,
    *,
    how: str = DEFAULT,
    usable: np.ndarray | None = None,
    probability: pd.Series | None = None,
    held_out: list[str] | None = None,
    seed: int = 0,
) -> Taught:
    """Say which rows a model may learn from, and with which labels, where repairs have averted faults.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
    happened : array of bool, shape (n,)
        Whether an impact followed within the horizon.
    done : DataFrame
        From `repairs`.
    horizon : text or Timedelta
    how : str
        One of `HOW`.
    usable : array of bool, optional
        Rows that have a label at all.
    probability : Series of float64, optional
        Over `index`, what the model in use said then: for ``expected``.
    held_out : list of str, optional
        Entities that nobody repairs: for ``held_out``.
    seed : int
        Draws the labels of ``expected``.

    Returns
    -------
    Taught

    Raises
    ------
    ContractError
        For another `how`, or where what it needs is missing.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=5, freq="h", tz="UTC", unit="us", name="timestamp")
    >>> done = pd.DataFrame({"entity": "default", "start": hours[[3]], "end": hours[[3]]})
    >>> taught(hours, np.zeros(5, dtype=bool), done, "2h", how="drop").rows.tolist()
    [True, False, False, False, True]
    """
    one_of(how, HOW, "way")
    labels = np.array(happened, dtype=bool)
    rows = np.ones(len(labels), dtype=bool) if usable is None else np.array(usable, dtype=bool)
    share = averted(index, done, horizon).to_numpy()
    unsure = rows & ~labels & ~np.isnan(share)
    if how == "drop":
        rows &= ~unsure
    elif how == "positive":
        labels |= unsure
    elif how == "expected":
        if not unsure.any():
            return Taught(rows, labels, 0)
        if probability is None:
            remedy = "how='drop' needs none, and keeps less"
            expected = "what the model in use said of each row"
            raise ContractError(column="probability", expected=expected, got="nothing", remedy=remedy)
        believed = _believed(index, done, probability)
        drawn = np.random.default_rng(seed).uniform(size=len(labels))
        labels |= unsure & (drawn < believed * np.nan_to_num(share))
    elif how == "held_out":
        names = index.get_level_values("entity")
        if not held_out or not names.isin(held_out).any():
            raise ContractError(column="held_out", expected="entities that nobody repairs", got=f"{held_out}")
        first = done["start"].min() if len(done) else pd.Timestamp.max.tz_localize("UTC")
        before = index.get_level_values("timestamp") + pd.Timedelta(horizon) < first
        rows &= names.isin(held_out) | np.asarray(before)
    return Taught(rows, labels, int(unsure.sum()))


def _above(name: str, users: dict[str, set[str]]) -> set[str]:
    """An entity and whatever uses it, directly or not."""
    reached, ahead = {name}, [name]
    while ahead:
        ahead = [one for one in users.get(ahead.pop(), set()) if one not in reached] + ahead
        reached |= set(ahead)
    return reached


def _believed(index: pd.Index, done: pd.DataFrame, probability: pd.Series) -> np.ndarray:
    """For each row, what was said when the repair that is under way, or the next one, began; 0 where there is none."""
    codes, times, entities = index_arrays(index)
    said = probability.reindex(index).to_numpy()
    believed = np.zeros(len(times))
    number = {str(name): k for k, name in enumerate(entities)}
    for name, own in done.groupby("entity"):
        if name not in number:
            continue
        rows = np.flatnonzero(codes == number[name])
        rows = rows[np.argsort(times[rows], kind="stable")]
        own = own.sort_values("start", kind="stable")
        begin, stop = (pd.DatetimeIndex(own[name]).as_unit("us").asi8 for name in ("start", "end"))
        last = np.searchsorted(times[rows], begin, side="right") - 1  # the row before, or at, each beginning
        told = np.where(last >= 0, said[rows[np.maximum(last, 0)]], 0.0)
        nearest = np.searchsorted(begin, times[rows])
        believed[rows] = np.where(nearest < len(begin), told[np.minimum(nearest, len(begin) - 1)], 0.0)
        within = (np.searchsorted(times[rows], begin), np.searchsorted(times[rows], stop, side="right"))
        for first, end, one in zip(*within, told, strict=True):
            believed[rows[first:end]] = one
    return np.nan_to_num(believed)
