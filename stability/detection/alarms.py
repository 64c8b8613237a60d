"""From scores to alarms: rows above a threshold become intervals with a cause, a peak and a reason to keep quiet."""

from __future__ import annotations

__all__ = ["episodes", "raise_alarms"]

import math
import numbers

import numpy as np
import pandas as pd

from stability.detection.manner import check_scores
from stability.schema import ContractError, empty, validate


def raise_alarms(
    scores: pd.Series,
    threshold: float | pd.Series,
    *,
    score_metrics: pd.DataFrame | None = None,
    merge: float = 0.0,
    minimum_duration: float = 0.0,
    refractory: float = 0.0,
) -> pd.DataFrame:
    """Turn scores into alarms, each as early as it could have been raised live.

    Parameters
    ----------
    scores : Series of float64, (entity, timestamp)
        Of one detector, named after it; higher is more anomalous. NaN (not judged) raises nothing.
    threshold : float or Series of float64 by entity
        A row is flagged when its score is above; in the score's unit.
    score_metrics : DataFrame of float64, (entity, timestamp) x metrics, optional
        The same detector's score of each metric; says which metrics an alarm is about.
    merge : float
        Seconds. A flagged row belongs to the alarm of the flagged row before it when no more time than this lies
        between the two, or when it is the very next row.
    minimum_duration : float
        Seconds that an alarm must have lasted before it is raised; its `start` is that later moment.
    refractory : float
        Seconds after the end of an alarm during which further ones of the same entity are suppressed.

    Returns
    -------
    DataFrame, one row an alarm
        The `alarms` table of the contract. `start` is the moment of raising, so that nothing later has shaped it; `end`
        (the last flagged row), `score` (the highest one of the whole run) and `metrics` (those that exceeded the
        threshold, highest peak first) are known once the alarm is over. A suppressed alarm stays in the table and
        names the alarm that silenced it in `suppressed_by`, which is empty otherwise. The id is made of detector,
        entity and start: equal scores give equal ids.

    Raises
    ------
    ContractError
        When `scores` is no scores table or has no name, a time is negative, or an entity has no threshold.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=6, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> scores = pd.Series([1.0, 4.0, 5.0, 1.0, 1.0, 6.0], index=index, name="mean_shift")
    >>> raise_alarms(scores, 3.0)[["entity", "start", "end", "score"]].reset_index(drop=True)
      entity                     start                       end  score
    0  web-1 2026-01-01 00:01:00+00:00 2026-01-01 00:02:00+00:00    5.0
    1  web-1 2026-01-01 00:05:00+00:00 2026-01-01 00:05:00+00:00    6.0
    """
    for name, seconds in (("merge", merge), ("minimum_duration", minimum_duration), ("refractory", refractory)):
        if not seconds >= 0:
            raise ContractError(column=name, expected="seconds, 0 or more", got=seconds)
    scores = check_scores(scores)
    limits = _limits(scores, threshold)
    flagged = _flagged_rows(scores, limits, merge)
    if flagged.empty:
        return empty("alarms")
    elapsed = flagged["timestamp"] - flagged.groupby("episode")["timestamp"].transform("min")
    raised = flagged[elapsed >= pd.Timedelta(seconds=minimum_duration)].groupby("episode")
    alarms = raised.agg(entity=("entity", "first"), start=("timestamp", "first"), threshold=("limit", "first"))
    over = flagged.groupby("episode").agg(end=("timestamp", "last"), score=("score", "max"))
    alarms = alarms.join(over)
    if alarms.empty:
        return empty("alarms")
    alarms["detector"] = scores.name
    alarms["metrics"] = "" if score_metrics is None else _responsible(flagged, score_metrics).reindex(alarms.index)
    alarms["alarm_id"] = [f"{scores.name}/{a.entity}/{a.start.isoformat()}" for a in alarms.itertuples()]
    alarms["suppressed_by"] = _suppressed(alarms, pd.Timedelta(seconds=refractory))
    return validate(alarms.set_index("alarm_id"), "alarms")


def episodes(scores: pd.Series, threshold: float | pd.Series, *, merge: float = 0.0) -> pd.Series:
    """Number the runs of flagged rows, as `raise_alarms` joins them to alarms.

    Parameters
    ----------
    scores, threshold, merge
        As in `raise_alarms`.

    Returns
    -------
    Series of int64, the flagged rows only
        0 for the rows of the first run, 1 for those of the second, ...
    """
    scores = check_scores(scores)
    return _flagged_rows(scores, _limits(scores, threshold), merge)["episode"]


def _limits(scores: pd.Series, threshold: float | pd.Series) -> np.ndarray:
    """The threshold of each row."""
    if not isinstance(threshold, pd.Series):
        if isinstance(threshold, bool) or not isinstance(threshold, numbers.Real) or math.isnan(threshold):
            remedy = "choose one with choose_k, or give a Series by entity"
            raise ContractError(column="threshold", expected="a number", got=threshold, remedy=remedy)
        return np.full(len(scores), float(threshold))
    entities = scores.index.get_level_values("entity")
    missing = entities.unique().difference(threshold.index)
    if len(missing):
        raise ContractError(file="threshold", expected="a threshold for every entity", got=f"none for {missing[0]!r}")
    return threshold.reindex(entities).to_numpy("float64")


def _flagged_rows(scores: pd.Series, limits: np.ndarray, merge: float) -> pd.DataFrame:
    """The rows above their limit, each with the number of the run that it belongs to."""
    place = np.flatnonzero(scores.to_numpy() > limits)
    rows = scores.rename("score").iloc[place]
    rows = pd.DataFrame({"score": rows, "limit": limits[place]}).reset_index().set_index(rows.index)
    next_row = np.diff(place, prepend=-2) == 1
    soon = rows["timestamp"].diff().to_numpy() <= pd.Timedelta(seconds=merge).to_timedelta64()
    same_entity = (rows["entity"] == rows["entity"].shift()).to_numpy()
    rows["episode"] = np.cumsum(~(same_entity & (next_row | soon))) - 1
    return rows


def _responsible(flagged: pd.DataFrame, score_metrics: pd.DataFrame) -> pd.Series:
    """The metrics of each run, highest peak first: those above the limit, or the highest alone where none is."""
    peaks = score_metrics.reindex(flagged.index).groupby(flagged["episode"]).max()
    limits = flagged.groupby("episode")["limit"].first()

    def names(peak: pd.Series) -> str:
        ranked = peak.dropna().sort_values(ascending=False, kind="stable")
        return ",".join(
            ranked[ranked > limits[peak.name]].index if (ranked > limits[peak.name]).any() else ranked.index[:1]
        )

    return peaks.apply(names, axis=1)


def _suppressed(alarms: pd.DataFrame, refractory: pd.Timedelta) -> list[str]:
    """The alarm that silences each one, or nothing; alarms come ordered by entity and start."""
    by, speaking = [], None
    for alarm in alarms.itertuples():
        quiet = speaking is not None and speaking.entity == alarm.entity and alarm.start <= speaking.end + refractory
        by.append(speaking.alarm_id if quiet and refractory > pd.Timedelta(0) else "")
        speaking = speaking if by[-1] else alarm
    return by
