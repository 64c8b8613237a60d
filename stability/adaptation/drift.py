"""Drift of data: which metrics and states of which entities no longer are what they were in the reference period.

Each entity and metric is compared with its own past; the fleet's index of a metric is the mean of its entities', with a
chance of its own, since entities move together. Values are compared by population stability, and so are missing rows
and states. `threshold` is what a comparison without drift passes in a share `level` of all cases; `p_holm` is the
p-value after Holm's correction over the whole table, and decides. The usual bounds of the index stand beside it.
"""

from __future__ import annotations

__all__ = ["FLEET", "VERDICTS", "drift", "drift_of_series", "state_columns"]

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stability.adaptation.chance import Null, block_of, memory, null_of
from stability.adaptation.population import BINS, Bins, psi, usual
from stability.adaptation.seasonal import Seasonal
from stability.evaluation import NotEnoughEvidence, holm
from stability.evaluation.spans import index_arrays
from stability.schema import ContractError, validate

FLEET = "(fleet)"  # no name of an entity has brackets
VERDICTS = ("drift", "no drift seen", "new values", "new", "vanished", "not enough evidence")


class Moved(NamedTuple):
    """How far series have moved that are judged together.

    Parameters
    ----------
    psi, p, threshold : arrays of float64, shape (series + 1,)
        The last is the mean of all.
    block : float
        Rows of a block.
    blocks : int
        Of the reference.
    """

    psi: np.ndarray
    p: np.ndarray
    threshold: np.ndarray
    block: float
    blocks: int


def drift_of_series(
    reference: list[pd.Series],
    current: list[pd.Series],
    *,
    step: float,
    bins: int = BINS,
    level: float = 0.05,
    resamples: int = 1000,
    seed: int = 0,
) -> Moved:
    """Measure how far series have moved, and how far chance moves them.

    Parameters
    ----------
    reference, current : lists of Series
        One a series; the index are moments in s. Numbers or text; missing values count for nothing.
    step : float
        Usual distance of rows, in s.
    bins, level, resamples, seed
        As of `drift`.

    Returns
    -------
    Moved

    Raises
    ------
    NotEnoughEvidence
        When the reference does not vary or is too short for its memory, or the present is shorter than a block.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> then, now = (pd.Series(rng.normal(size=n)) for n in (2000, 400))
    >>> calm = drift_of_series([then], [now], step=1.0)
    >>> moved = drift_of_series([then], [now + 1], step=1.0)
    >>> bool(calm.p[0] > 0.05), bool(moved.p[0] < 1e-6), calm.blocks
    (True, True, 100)
    """
    own = [Bins.learn(past, bins) for past in reference]
    places = [(one.place(past), one.place(now)) for one, past, now in zip(own, reference, current, strict=True)]
    if all(len(np.unique(past[past >= 0])) < 2 for past, _ in places):
        raise NotEnoughEvidence("The reference holds one value only: nobody can say how much it varies by chance.")
    rows = max(len(past) for past in reference)
    memories = max(memory(_numbers(past, place[0])) for past, place in zip(reference, places, strict=True))
    length = block_of(memories, rows)
    first = min(past.index[0] for past in reference)
    count = rows // length
    size = max(one.size for one in own)
    blocks, then, now = np.zeros((count, len(own), size)), np.zeros((len(own), size)), np.zeros((len(own), size))
    for k, (past, (before, after)) in enumerate(zip(reference, places, strict=True)):
        number = np.floor((past.index.to_numpy() - first) / (length * step) + 1e-9).astype(int)
        there = (before >= 0) & (number < count)
        np.add.at(blocks, (number[there], k, before[there]), 1)
        then[k], now[k] = (np.bincount(place[place >= 0], minlength=size) for place in (before, after))
    present = max(len(series) for series in current)
    if present < length:
        raise NotEnoughEvidence(
            f"The present has {present:,} rows, and a block of rows that depend on each other {length:,}."
        )
    # As many blocks as its rows that are not missing are worth.
    worth = np.nanmean(now.sum(axis=1) / np.where(then.sum(axis=1) > 0, then.sum(axis=1), np.nan)) * rows / length
    fewest, lost = max(round(float(worth)), 1), memories / (2 * length)
    null: Null = null_of(blocks, fewest, lost, resamples=resamples, seed=seed)
    found = psi(then, now)
    found = np.append(found, np.nanmean(found) if np.isfinite(found).any() else np.nan)
    return Moved(found, null.p(found), null.threshold(level), float(length), count)


def drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    season: float | None = None,
    bins: int = BINS,
    level: float = 0.05,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare a period with the reference: each metric of each entity, the fleet, missing rows, and columns.

    Parameters
    ----------
    reference, current : DataFrame, index (entity, timestamp)
        Gauges, shares and rates (`telemetry.rate` turns counters into them), or text such as `state_columns` makes.
        One entity without the first level is fine.
    season : float, optional
        Length of a season, in s: numbers become distances from what their phase brings in the reference, so that a
        night is compared with nights. A season that is not told makes a present of half a day drift.
    bins : int
    level : float
        Share of false alarms: of one comparison for `threshold`, of the whole table for the verdicts.
    resamples, seed : int
        Of the block bootstrap.

    Returns
    -------
    DataFrame, index (entity, metric, kind)
        `kind` is "values" or "missing"; entity `FLEET` is the fleet. `psi`, `threshold`, `p`, `p_holm`, `usual`,
        `rows_reference`, `rows_current`, `block` (s), `blocks`, `verdict` (one of `VERDICTS`) and `why`.

    Raises
    ------
    NotEnoughEvidence
        When one of the two has no rows, or none of the entities is in both.
    ContractError
        When the present overlaps the reference, or a setting is out of bounds.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> stamps = pd.date_range("2026-01-01", periods=3000, freq="min", tz="UTC", unit="us")
    >>> panel = pd.DataFrame({"load": rng.normal(size=3000), "heat": rng.normal(size=3000)}, index=stamps)
    >>> panel.iloc[2500:, 1] += 1
    >>> table = drift(panel[:2000], panel[2500:])
    >>> table["verdict"].xs("values", level="kind").to_dict()
    {('default', 'load'): 'no drift seen', ('default', 'heat'): 'drift'}
    """
    if not 0 < level < 1:
        raise ContractError(column="level", expected="a share between 0 and 1", got=level)
    then, now = (_by_entity(frame) for frame in (reference, current))
    both = [name for name in then if name in now]
    if not both:
        raise NotEnoughEvidence("No entity has rows in the reference and in the present: there is nothing to compare.")
    if max(then[name].index[-1] for name in both) >= min(now[name].index[0] for name in both):
        remedy = "cut the panel at one moment"
        raise ContractError(
            file="current", expected="rows after the reference's last one", got="an overlap", remedy=remedy
        )
    settings = {"bins": bins, "level": level, "resamples": resamples, "seed": seed}
    rows: list[dict[str, Any]] = []
    metrics = list(dict.fromkeys([*reference.columns, *current.columns]))
    for metric in metrics:
        rows += _metric(metric, {n: then[n] for n in both}, {n: now[n] for n in both}, season, settings)
    if not rows:
        raise NotEnoughEvidence("Every value is missing, then and now: there is nothing to compare.")
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    known = table["verdict"].isna()
    table.loc[known, "verdict"] = np.where(table.loc[known, "p_holm"] <= level, *VERDICTS[:2])
    table["usual"] = [usual(value) for value in table["psi"]]
    columns = ["psi", "threshold", "p", "p_holm", "usual", "rows_reference", "rows_current", "block", "blocks"]
    return table.set_index(["entity", "metric", "kind"]).reindex(columns=[*columns, "verdict", "why"])


def state_columns(states: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    """Give states, which stand at their own times, the rows of a panel: the value that held then.

    Parameters
    ----------
    states : DataFrame
        By contract.
    index : MultiIndex (entity, timestamp)

    Returns
    -------
    DataFrame of text over `index`
        A column a name; missing before the first value.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC", unit="us")
    >>> told = pd.DataFrame({"timestamp": hours[[1]], "entity": "a", "name": "version", "value": "2"})
    >>> index = pd.MultiIndex.from_product([["a"], hours], names=["entity", "timestamp"])
    >>> state_columns(told, index)["version"].tolist()
    [nan, '2', '2']
    """
    grid = index.to_frame(index=False).sort_values("timestamp", kind="stable")
    told = validate(states, "states").sort_values("timestamp", kind="stable")
    grid["timestamp"] = grid["timestamp"].astype(told["timestamp"].dtype)
    columns = {}
    for name, own in told.groupby("name", sort=True):
        held = pd.merge_asof(grid, own[["timestamp", "entity", "value"]], on="timestamp", by="entity")
        columns[name] = held.set_index(["entity", "timestamp"])["value"].reindex(index).astype(object)
    return pd.DataFrame(columns, index=index)


# ---- one metric ----------------------------------------------------------------------------------------------------
def _by_entity(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each entity, over moments in s."""
    if not len(frame):
        raise NotEnoughEvidence("There are no rows: give a period that holds some.")
    codes, times, entities = index_arrays(frame.index)
    flat = frame.set_axis(pd.Index(times / 1e6, name="seconds"))
    return {str(name): flat[codes == k].sort_index() for k, name in enumerate(entities) if (codes == k).any()}


def _metric(metric: str, then: Mapping, now: Mapping, season: float | None, settings: dict) -> list[dict[str, Any]]:
    rows, compared = [], []
    for name in then:
        past, present = (part[name].get(metric, pd.Series(dtype="float64")).dropna() for part in (then, now))
        base = {
            "entity": name,
            "metric": metric,
            "kind": "values",
            "rows_reference": len(past),
            "rows_current": len(present),
        }
        if past.empty and present.empty:
            continue  # an entity without this metric
        if past.empty or present.empty:
            verdict, why = (
                ("new", "the reference has no value") if past.empty else ("vanished", "the present has no value")
            )
            rows.append(base | {"verdict": verdict, "why": why, "p": np.nan})
            continue
        try:
            rows_of = _judged(then[name][metric], now[name][metric], past, present, season)
        except NotEnoughEvidence as error:
            rows.append(base | _unknown(str(error)))
            continue
        if rows_of is None:
            fresh = present[~present.isin(past.unique())]
            verdict, why = (
                ("new values", f"{len(fresh) / len(present):.1%} of the rows; the reference was constant")
                if len(fresh)
                else ("no drift seen", "constant, and still the same")
            )
            rows.append(base | {"psi": np.nan if len(fresh) else 0.0, "verdict": verdict, "why": why, "p": np.nan})
            continue
        compared.append((base, *rows_of))
        rows += _missing(base, then[name][metric], now[name][metric], settings)
    return rows + _compared(metric, compared, then, settings)


def _judged(whole_then, whole_now, past, present, season):
    """What of a metric is compared: distances from the season where there is one; None where it was constant."""
    if past.nunique() < 2:
        return None
    if season is None or not pd.api.types.is_numeric_dtype(past.dtype) or past.nunique() <= BINS:
        return whole_then, whole_now
    own = Seasonal(season).learn(whole_then.index.to_numpy(), whole_then.to_numpy(dtype="float64"))
    later = own.apply(whole_now.index.to_numpy(), whole_now.to_numpy(dtype="float64"))
    return pd.Series(own.residuals_, whole_then.index), pd.Series(later, whole_now.index)


def _compared(metric: str, compared: list, then: Mapping, settings: dict) -> list[dict[str, Any]]:
    """Each entity by its own memory; those with enough evidence together for the fleet, by the longest."""
    rows, enough = [], []
    for base, past, present in compared:
        try:
            step = _step(past)
            found = drift_of_series([past], [present], step=step, **settings)
        except NotEnoughEvidence as error:
            rows.append(base | _unknown(str(error)))
            continue
        rows.append(base | _row(found, 0, step))
        enough.append((past, present))
    if len(enough) > 1:
        base = {"entity": FLEET, "metric": metric, "kind": "values"}
        base |= {
            "rows_reference": sum(len(one[0]) for one in enough),
            "rows_current": sum(len(one[1]) for one in enough),
        }
        step = max(_step(one[0]) for one in enough)
        try:
            rows.append(
                base | _row(drift_of_series(*map(list, zip(*enough, strict=True)), step=step, **settings), -1, step)
            )
        except NotEnoughEvidence as error:
            rows.append(base | _unknown(str(error)))
    return rows


def _missing(base: dict, past: pd.Series, present: pd.Series, settings: dict) -> list[dict[str, Any]]:
    """Whether more or fewer rows are missing; nothing where none is in either."""
    gone = [part.isna().map({True: "missing", False: "there"}) for part in (past, present)]
    shares = [float((part == "missing").mean()) for part in gone]
    if not any(shares):
        return []
    base = base | {"kind": "missing", "rows_reference": len(past), "rows_current": len(present)}
    told = f"{shares[0]:.1%} missing before, {shares[1]:.1%} now"
    if not shares[0]:
        return [base | {"psi": np.nan, "p": np.nan, "verdict": "new values", "why": told}]
    try:
        found = drift_of_series([gone[0]], [gone[1]], step=_step(past), **settings)
    except NotEnoughEvidence as error:
        return [base | _unknown(f"{told}; {error}")]
    return [base | _row(found, 0, _step(past)) | {"why": told}]


def _row(found: Moved, place: int, step: float) -> dict[str, Any]:
    own = {"psi": found.psi[place], "p": found.p[place], "threshold": found.threshold[place]}
    return own | {"block": found.block * step, "blocks": found.blocks, "verdict": None, "why": ""}


def _unknown(why: str) -> dict[str, Any]:
    return {"psi": np.nan, "p": np.nan, "verdict": VERDICTS[-1], "why": why}


def _step(series: pd.Series) -> float:
    steps = np.diff(series.index.to_numpy())
    return float(np.median(steps)) if len(steps) else 1.0


def _numbers(series: pd.Series, places: np.ndarray) -> np.ndarray:
    """Numbers whose memory is measured: the values, or the bins of text."""
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy(dtype="float64")
    return np.where(places < 0, np.nan, places.astype("float64"))
