"""User experience as a measure: satisfied ratings (CSAT) and waiting (Apdex) a service and day, beside its level."""

from __future__ import annotations

__all__ = ["experience", "over_days", "satisfaction"]

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from stability.evaluation import Estimate, NotEnoughEvidence, wilson_interval
from stability.schema import ContractError
from stability.slo import Objective, levels

FIVE = (1.0, 5.0)  # the scale of a channel that names none
SATISFIED = 0.75  # of the way from a scale's lowest to its highest: 4 of 1 to 5, the upper thumb of two
ALL = "all"  # the entity that stands for all messages together, also those that name none
KEYS = ["entity", "timestamp"]
NOTHING = Estimate(math.nan, math.nan, math.nan)


def satisfaction(
    feedback: pd.DataFrame,
    *,
    day: str = "1D",
    scales: Mapping[str, tuple[float, float]] | None = None,
    between: tuple[pd.Timestamp, pd.Timestamp] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Tell which share of the users who rated was satisfied (CSAT), for each entity and day.

    Parameters
    ----------
    feedback : DataFrame
        `timestamp`, `rating`, and as far as known `channel`, `entity`, `user`.
    day : str
        Length of a day.
    scales : mapping of str to (float, float), optional
        Channel -> its lowest and highest rating, where that is not 1 to 5: thumbs are (0, 1).
    between : (Timestamp, Timestamp), optional
        Days from which to which rows are made; from the first to the last rating without it.
    confidence : float in (0, 1)

    Returns
    -------
    DataFrame, index (entity, timestamp)
        `csat`, `lo`, `hi` (shares), `satisfied`, `ratings` (counts). `all` is everybody, also who names no entity. A
        day without a rating has NaN: nobody said anything, which is neither good nor bad.

    Notes
    -----
    A user has one vote a day and entity, the last one, so that votes of a day are of different people: the interval is
    Wilson's. It says what others who rate would have said on that day. Days differ by what happened on them: a number
    of many days is `over_days`, which draws days. Whoever rates has a reason to, and is not a sample of all users.

    Examples
    --------
    >>> stamps = pd.to_datetime(["2026-01-01T10:00Z", "2026-01-01T11:00Z", "2026-01-03T10:00Z"])
    >>> said = pd.DataFrame({"timestamp": stamps, "rating": [5.0, 2.0, 4.0], "entity": "web"})
    >>> satisfaction(said).loc["web", ["csat", "ratings"]].to_numpy().tolist()
    [[0.5, 2.0], [nan, 0.0], [1.0, 1.0]]
    """
    for column in ("timestamp", "rating"):
        if column not in feedback:
            raise ContractError("feedback", column=column, expected="columns timestamp and rating", got="none")
    rated = feedback[feedback["rating"].notna()]
    votes = pd.DataFrame(
        {
            "good": _satisfied(rated, dict(scales or {})),
            "day": rated["timestamp"].dt.floor(day),
            "entity": rated.get("entity"),
            "user": rated.get("user"),
            "at": rated["timestamp"],
        }
    )
    nobody = pd.Series([f"\0{k}" for k in range(len(votes))], index=votes.index)  # who is not known votes alone
    votes["user"] = votes["user"].astype(object).where(votes["user"].notna(), nobody)
    parts = [votes.assign(entity=ALL), votes.dropna(subset=["entity"])]
    every = pd.concat(parts).sort_values("at", kind="stable").drop_duplicates(["entity", "day", "user"], keep="last")
    counts = every.groupby(["entity", "day"])["good"].agg(["sum", "size"])
    span = between or ((votes["day"].min(), votes["day"].max()) if len(votes) else None)
    days = [] if span is None else pd.date_range(span[0].floor(day), span[1].floor(day), freq=day)
    names = [ALL, *sorted(set(every["entity"]) - {ALL})]
    index = pd.MultiIndex.from_product([names, days], names=KEYS)
    counts = counts.rename_axis(KEYS).reindex(index, fill_value=0)
    told = [_share(*row, confidence) for row in counts.itertuples(index=False)]
    table = pd.DataFrame(told, columns=["csat", "lo", "hi"], index=index, dtype="float64")
    return table.assign(satisfied=counts["sum"].to_numpy(dtype=float), ratings=counts["size"].to_numpy(dtype=float))


def over_days(
    good: pd.Series, total: pd.Series, *, day: str = "1D", confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Sum a share up over the days of one entity, with an interval that draws whole days.

    Parameters
    ----------
    good, total : Series, index timestamp
        Counts of each day, or points and requests.
    day : str
        Length of a day.
    confidence : float in (0, 1)
    seed : int

    Returns
    -------
    Estimate
        NaN throughout where nothing was counted; with fewer than five days each counts as one trial.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=6, tz="UTC")
    >>> told = over_days(pd.Series([9.0, 9, 1, 9, 9, 9], stamps), pd.Series(10.0, stamps))
    >>> round(told.value, 3), told.lo < 0.65
    (0.767, True)
    """
    index = pd.MultiIndex.from_product([[ALL], good.index], names=KEYS)
    service = pd.DataFrame({"good": good.to_numpy(dtype=float), "total": total.to_numpy(dtype=float)}, index=index)
    if not service["total"].sum() > 0:
        return NOTHING
    objective = Objective("days", "", target=0.5, window=pd.Timedelta(day).total_seconds())
    return Estimate(
        *levels(service, objective, confidence=confidence, block=day, seed=seed).loc[ALL, ["level", "lo", "hi"]]
    )


def experience(
    rated: pd.DataFrame,
    waited: pd.DataFrame,
    service: pd.DataFrame,
    objective: Objective,
    *,
    day: str = "1D",
    block: str = "10min",
    seed: int = 0,
) -> pd.DataFrame:
    """Put satisfaction and Apdex of each day beside the service level of the same day.

    Parameters
    ----------
    rated, waited : DataFrame, index (entity, timestamp)
        From `satisfaction` and `apdex_daily`.
    service : DataFrame, index (entity, timestamp)
        `good` and `total` of each step, as `stability.slo` takes them.
    objective : Objective
    day, block : str
        As for `apdex_daily`.
    seed : int

    Returns
    -------
    DataFrame, index (entity, timestamp)
        `csat`, `apdex`, `level`, each with `_lo` and `_hi`, `ratings`, `requests` (0 where there was none), and
        `kept` (verdict of the level). What is not known of a day is NaN.
    """
    days = service.index.get_level_values("timestamp").floor(day)
    told = [
        levels(one, objective, block=block, seed=seed).assign(timestamp=start) for start, one in service.groupby(days)
    ]
    level = pd.concat(told).set_index("timestamp", append=True) if told else service.iloc[:0]
    parts = [
        rated.rename(columns={"lo": "csat_lo", "hi": "csat_hi"})[["csat", "csat_lo", "csat_hi", "ratings"]],
        waited.rename(columns={"lo": "apdex_lo", "hi": "apdex_hi"})[["apdex", "apdex_lo", "apdex_hi", "requests"]],
        level.rename(columns={"lo": "level_lo", "hi": "level_hi", "verdict": "kept"}).reindex(
            columns=["level", "level_lo", "level_hi", "kept"]
        ),
    ]
    joined = pd.concat(parts, axis=1).rename_axis(KEYS).sort_index()
    return joined.assign(ratings=joined["ratings"].fillna(0.0), requests=joined["requests"].fillna(0.0))


def _satisfied(rated: pd.DataFrame, scales: dict[str, tuple[float, float]]) -> pd.Series:
    channel = rated["channel"] if "channel" in rated else pd.Series("", index=rated.index)
    lowest, highest = (channel.map(lambda name, k=k: scales.get(name, FIVE)[k]).astype(float) for k in (0, 1))
    wrong = (rated["rating"] < lowest) | (rated["rating"] > highest)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        scale = f"{lowest.iloc[row]:g} to {highest.iloc[row]:g}"
        raise ContractError(
            "feedback", column="rating", expected=f"{scale} by the channel {channel.iloc[row]!r}",
            got=f"{rated['rating'].iloc[row]:g}", remedy="name the channel's scale, such as scales={'chat': (0, 1)}",
        )  # fmt: skip
    return (rated["rating"] >= lowest + SATISFIED * (highest - lowest)).astype(float)


def _share(good: float, count: float, confidence: float) -> Estimate:
    try:
        return wilson_interval(good, count, confidence)
    except NotEnoughEvidence:
        return NOTHING
