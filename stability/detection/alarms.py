"""From the scores of a record to alarms, and the runs of rows above a threshold."""

from __future__ import annotations

__all__ = ["alarm_contributions", "announced", "episodes", "incidents", "raise_alarms"]

from collections.abc import Callable, Iterator
from dataclasses import fields

import numba
import numpy as np
import pandas as pd

from stability.detection.policy import AlarmPolicy, Desk, checked_limit
from stability.detection.rows import check_scores, runs
from stability.schema import ContractError, empty, one_of, validate

RULES = [rule.name for rule in fields(AlarmPolicy) if rule.name != "threshold"]


def raise_alarms(
    scores: pd.Series,
    threshold: float | pd.Series,
    *,
    score_metrics: pd.DataFrame | None = None,
    topology: pd.DataFrame | None = None,
    each: Callable[[Desk, str, int], object] | None = None,
    **rules,
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
    topology : DataFrame, optional
        The contract's table, for `together`.
    each : callable, optional
        Called after each row above the threshold's clear share, in time's order, with the desk as it is then, the
        entity and the moment in microseconds since 1970.
    **rules
        Of `AlarmPolicy`: merge, minimum_duration, flagged, of, clear, refractory, stronger, new_normal, together,
        quiet, critical, times, screen.

    Returns
    -------
    DataFrame, one row an alarm
        The `alarms` table of the contract. `start` is the moment of raising, so that nothing later has shaped it; `end`
        (the last row of it), `score` (the highest one of the whole run) and `metrics` (those with a good part in it,
        the largest first) are known once the alarm is over. A suppressed alarm stays in the table, names the alarm or
        rule that silenced it in `suppressed_by`, and says why in `reason`. The id is made of detector, entity and
        start: equal scores give equal ids.

    Raises
    ------
    ContractError
        When `scores` is no scores table or has no name, a rule is impossible, an entity has no threshold or two, or
        `score_metrics` lacks rows of `scores`.

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
    for name in rules:
        one_of(name, RULES, "rule")
    scores = check_scores(scores)
    _limits(scores, threshold)
    policy = AlarmPolicy(threshold.to_dict() if isinstance(threshold, pd.Series) else threshold, **rules)
    desk = Desk(policy, scores.name, topology)
    limits = _limits(scores, pd.Series({entity: policy.limit(entity) for entity in scores.index.unique("entity")}))
    entities, stamps = (scores.index.get_level_values(level) for level in ("entity", "timestamp"))
    values, moments = scores.to_numpy(), stamps.as_unit("us").asi8
    numbers = pd.DataFrame({"row": 1, "judged": ~np.isnan(values)}, index=entities).groupby(level=0).cumsum() - 1
    by_metric = None if score_metrics is None else _by_metric(score_metrics, scores.index)
    warm = np.flatnonzero(values > policy.clear * limits)
    warm = warm[np.argsort(moments[warm], kind="stable")]
    parts = _parts(scores.index[warm], by_metric)
    rows = zip(entities[warm], numbers["row"].iloc[warm], numbers["judged"].iloc[warm], strict=True)
    for (entity, row, judged), moment, score, own in zip(rows, moments[warm], values[warm], parts, strict=True):
        desk.row(entity, int(row), int(judged), int(moment), float(score), own)
        if each is not None:
            each(desk, entity, int(moment))
    desk.close()
    return desk.table()


def alarm_contributions(
    alarms: pd.DataFrame, score_metrics: pd.DataFrame, panel: pd.DataFrame, expected: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Say which metrics each alarm comes from, with what was measured at its height.

    Parameters
    ----------
    alarms : DataFrame
        The contract's table.
    score_metrics, panel : DataFrame of float64, (entity, timestamp) x metrics
        Parts of the detector's score, and telemetry.
    expected : DataFrame of float64, shaped like `panel`, optional
        What was expected.

    Returns
    -------
    DataFrame
        The contract's `contributions`: of each alarm the metrics with a part in it. `share` is of the parts' sum over
        the alarm's rows; `value` and `expected` are those of the row with the metric's largest part.

    Raises
    ------
    ContractError
        When a table breaks its contract, or `score_metrics` has no rows of an entity with an alarm.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=3, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> parts = pd.DataFrame({"cpu": [0.0, 6.0, 0.0], "queue": [0.0, 2.0, 0.0]}, index=index)
    >>> alarms = raise_alarms(parts.sum(axis=1).rename("pca"), 5.0, score_metrics=parts)
    >>> alarm_contributions(alarms, parts, parts * 10).droplevel("alarm_id")[["share", "value"]]
            share  value
    metric
    cpu      0.75   60.0
    queue    0.25   20.0
    """
    alarms, score_metrics = validate(alarms, "alarms"), validate(score_metrics, "telemetry", source="score_metrics")
    panel = validate(panel, "telemetry", source="panel").reindex_like(score_metrics)
    if expected is not None:
        expected = validate(expected, "telemetry", source="expected").reindex_like(score_metrics)
    rows = []
    for name, alarm in alarms.iterrows():
        if alarm["entity"] not in score_metrics.index.unique("entity"):
            expected_rows = f"rows of {alarm['entity']!r}, which has an alarm"
            raise ContractError(file="score_metrics", expected=expected_rows, got="none")
        own = (alarm["entity"], slice(alarm["start"], None if pd.isna(alarm["end"]) else alarm["end"]))
        parts = score_metrics.loc[own, :].fillna(0.0)
        total = parts.sum()
        for metric, share in (total[total > 0] / total.sum()).sort_values(ascending=False, kind="stable").items():
            height = parts[metric].idxmax()
            row = {"alarm_id": name, "metric": metric, "share": share, "value": panel.loc[height, metric]}
            rows.append(row | {"expected": np.nan if expected is None else expected.loc[height, metric]})
    if not rows:
        return empty("contributions")
    return validate(pd.DataFrame(rows).set_index(["alarm_id", "metric"]), "contributions")


def incidents(alarms: pd.DataFrame) -> pd.DataFrame:
    """Put the alarms that one speaks for together.

    Parameters
    ----------
    alarms : DataFrame
        The contract's table.

    Returns
    -------
    DataFrame
        The contract's `incidents`, named after the alarm that speaks. An alarm that a rule suppressed, such as quiet
        hours, is an incident of its own.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product(
    ...     [["api", "db"], pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> scores = pd.Series([0.0, 0, 9, 0, 0, 9, 0, 0], index=index, name="novelty")
    >>> calls = pd.DataFrame({"source": ["api"], "target": ["db"], "kind": ["calls"]})
    >>> incidents(raise_alarms(scores, 1.0, topology=calls, together=120))["entities"].tolist()
    ['db,api']
    """
    if alarms.empty:
        return empty("incidents")
    speaker = alarms["suppressed_by"].where(alarms["suppressed_by"].isin(alarms.index), "")
    first = pd.Series(alarms.index, index=alarms.index).where(speaker == "", speaker)
    while not (then := first.map(first)).equals(first):
        first = then
    rows = []
    for name, part in alarms.sort_values("start", kind="stable").groupby(first, sort=False):
        end = pd.NaT if part["end"].isna().any() else part["end"].max()
        row = {"incident_id": f"incident/{name}", "alarm_ids": ",".join(part.index), "start": part["start"].min()}
        rows.append(row | {"end": end, "entities": ",".join(dict.fromkeys(part["entity"]))})
    return validate(pd.DataFrame(rows).set_index("incident_id"), "incidents")


def _by_metric(score_metrics: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    """The metrics' parts in contract form, with every row of the scores."""
    found = validate(score_metrics, "telemetry", source="score_metrics")
    if not (there := index.isin(found.index)).all():
        entity, moment = index[~there][0]
        expected, got = "every row of the scores", f"none of {entity} at {moment.isoformat()}"
        raise ContractError(file="score_metrics", expected=expected, got=got)
    return found


def _parts(index: pd.MultiIndex, score_metrics: pd.DataFrame | None) -> Iterator[dict[str, float]]:
    """What each metric adds to the score of each of some rows."""
    if score_metrics is None:
        return iter([{}] * len(index))
    names = list(score_metrics.columns)
    values = np.nan_to_num(score_metrics.reindex(index).to_numpy("float64"))
    return ({names[place]: row[place] for place in np.flatnonzero(row > 0)} for row in values)


def announced(scores: pd.Series, rows: int | pd.Series, stronger: float) -> pd.Series:
    """Keep the scores that say something new: after one that does, lower ones are 0 for some rows.

    What `refractory` does to alarms, done to scores, for measures that look at every threshold: a row keeps its score
    when none has been kept within `rows` rows before it, or when it is more than `stronger` times as high as the last
    one that was.

    Parameters
    ----------
    scores : Series of float64, (entity, timestamp)
        0 or more; higher is more anomalous. NaN counts as 0.
    rows : int or Series of int by entity
        How long.
    stronger : float
        1 or more.

    Returns
    -------
    Series of float64 over the same index
        Causal: rows depend on earlier rows only.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=6, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> announced(pd.Series([0, 2, 3, 5, 1, 1.0], index=index, name="novelty"), 2, 2.0).tolist()
    [0.0, 2.0, 0.0, 5.0, 0.0, 1.0]
    """
    if not stronger >= 1:
        raise ContractError(column="stronger", expected="1 or more", got=stronger)
    scores = check_scores(scores)
    entities, starts = runs(scores.index)
    quiet = rows.reindex(entities).to_numpy("float64") if isinstance(rows, pd.Series) else np.full(len(entities), rows)
    if not (quiet >= 0).all():
        raise ContractError(column="rows", expected="0 or more for every entity", got=str(quiet[~(quiet >= 0)][0]))
    kept = _announced(np.nan_to_num(scores.to_numpy("float64")), starts, quiet.astype("float64"), stronger)
    return pd.Series(kept, index=scores.index, name=scores.name)


@numba.njit(cache=True)
def _announced(scores, starts, quiet, stronger):
    kept = np.zeros(scores.size)
    for e in range(starts.size - 1):
        last, level = -np.inf, 0.0
        for i in range(starts[e], starts[e + 1]):
            if scores[i] > 0 and (i - last >= quiet[e] or scores[i] > stronger * level):
                kept[i] = level = scores[i]
                last = float(i)
    return kept


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
        return np.full(len(scores), checked_limit(threshold))
    entities = scores.index.get_level_values("entity")
    if twice := threshold.index[threshold.index.duplicated()].tolist():
        raise ContractError(file="threshold", expected="one for every entity", got=f"two for {twice[0]!r}")
    missing = entities.unique().difference(threshold.index)
    if len(missing):
        raise ContractError(file="threshold", expected="a threshold for every entity", got=f"none for {missing[0]!r}")
    limits = pd.Series({entity: checked_limit(threshold[entity], entity) for entity in entities.unique()}, dtype=float)
    return limits.reindex(entities).to_numpy("float64")


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
