"""Waiting as users feel it: Apdex points of requests, of counts, or as far as a log or percentiles tell; a day."""

from __future__ import annotations

__all__ = ["apdex_daily", "points_of_counts", "points_of_load", "points_of_percentiles", "points_of_requests"]

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stability.schema import ContractError
from stability.slo import Objective, levels

TOLERATED = 4.0  # times the threshold up to which one tolerates: Apdex, technical specification 1.1, section 3
KEYS = ["entity", "timestamp"]


def points_of_requests(requests: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Count Apdex points from single requests: 1 satisfied, 1/2 tolerating, 0 frustrated or failed.

    Parameters
    ----------
    requests : DataFrame, index (entity, timestamp)
        A row a request: `seconds` until its answer, `failed` (bool).
    threshold : float
        s up to which a user is satisfied; up to four times it one tolerates.

    Returns
    -------
    DataFrame, index (entity, timestamp)
        `points_lo`, `points_hi` (the fewest and the most that they may be) and `total` of each moment. A request that
        did not fail and whose time is not known may be anything.

    Examples
    --------
    >>> stamps = pd.to_datetime(["2026-01-01T10:00Z"] * 3)
    >>> index = pd.MultiIndex.from_arrays([["web"] * 3, stamps], names=["entity", "timestamp"])
    >>> each = pd.DataFrame({"seconds": [0.1, 0.9, None], "failed": [False, False, True]}, index=index)
    >>> points_of_requests(each, 0.25).to_numpy().tolist()
    [[1.5, 1.5, 3.0]]
    """
    _need("requests", requests, ("seconds", "failed"))
    seconds, failed = requests["seconds"].to_numpy(dtype=float), requests["failed"].to_numpy(dtype=bool)
    if not threshold > 0 or (seconds < 0).any():
        raise ContractError(column="seconds", expected="times from 0 up and a threshold above 0", got=repr(threshold))
    points = np.where(seconds <= threshold, 1.0, np.where(seconds <= TOLERATED * threshold, 0.5, 0.0))
    points[failed] = 0.0
    open_ = np.isnan(seconds) & ~failed
    lo, hi = np.where(open_, 0.0, points), np.where(open_, 1.0, points)
    each = pd.DataFrame({"points_lo": lo, "points_hi": hi, "total": 1.0}, index=requests.index)
    return each.groupby(level=KEYS).sum()


def points_of_counts(counts: pd.DataFrame) -> pd.DataFrame:
    """Count Apdex points from counts of `satisfied`, `tolerating` and `frustrated`, NaN where nobody knows.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=1, tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    >>> points_of_counts(pd.DataFrame({"satisfied": 6, "tolerating": 2, "frustrated": 2}, index)).iloc[0].tolist()
    [7.0, 7.0, 10.0]
    """
    _need("counts", counts, ("satisfied", "tolerating", "frustrated"))
    if (counts[["satisfied", "tolerating", "frustrated"]] < 0).any(axis=None):
        raise ContractError("counts", expected="counts from 0 up", got="one below 0")
    points = counts["satisfied"] + counts["tolerating"] / 2
    total = counts[["satisfied", "tolerating", "frustrated"]].sum(axis=1, skipna=False)
    return pd.DataFrame({"points_lo": points, "points_hi": points, "total": total}, index=counts.index)


def points_of_load(log: pd.DataFrame, threshold: float, entity: str = "gateway") -> pd.DataFrame:
    """Bound Apdex points by a load log that counts what came later than the threshold.

    Parameters
    ----------
    log : DataFrame
        A row a second: `second` (since 1970), `answered`, `failed`, `slow` (of the answered, later than `threshold`),
        `p95`, `max` (s, of the answered): the lines of all requests in `testbed.service_level.read_load`.
    threshold : float
        s; what the log calls slow.
    entity : str
        Whose requests they are.

    Returns
    -------
    DataFrame, index (entity, timestamp)
        `points_lo`, `points_hi`, `total`. Which of the slow ones were tolerated follows from the slowest answer and
        from the 95th percentile as far as they say; the rest of them may be either.

    Examples
    --------
    >>> row = {"second": 100, "answered": 20, "failed": 2, "slow": 4, "p95": 0.9, "max": 2.0}
    >>> points_of_load(pd.DataFrame([row]), 0.25).to_numpy().tolist()
    [[17.5, 17.5, 22.0]]
    """
    _need("log", log, ("second", "answered", "failed", "slow", "p95", "max"))
    answered, slow = log["answered"].to_numpy(dtype=float), log["slow"].to_numpy(dtype=float)
    limit = TOLERATED * threshold
    none_later = (log["max"] <= limit).to_numpy()
    few_later = np.where((log["p95"] <= limit).to_numpy(), answered - np.ceil(0.95 * answered), answered)
    most = np.where(none_later, 0.0, np.minimum(slow, few_later))  # that may be frustrated
    least = np.where((log["max"] > limit).to_numpy(), np.minimum(1.0, slow), 0.0)
    stamps = pd.to_datetime(log["second"].to_numpy(), unit="s", utc=True).as_unit("us")
    index = pd.MultiIndex.from_arrays([[entity] * len(log), stamps], names=KEYS)
    satisfied = answered - slow
    points = {"points_lo": satisfied + (slow - most) / 2, "points_hi": satisfied + (slow - least) / 2}
    return pd.DataFrame(points | {"total": answered + log["failed"].to_numpy(dtype=float)}, index=index)


def points_of_percentiles(
    total: pd.Series, answered: pd.Series, percentiles: Mapping[float, pd.Series], threshold: float
) -> pd.DataFrame:
    """Bound Apdex points by percentiles of the response time, where nobody counted.

    Parameters
    ----------
    total : Series, index (entity, timestamp)
        Requests of each step; NaN where it is not known.
    answered : Series
        Share of them that was answered.
    percentiles : mapping of float to Series
        Share, such as 0.95, -> s within which that share of the answers came.
    threshold : float
        s.

    Returns
    -------
    DataFrame, index (entity, timestamp)
        `points_lo`, `points_hi`, `total`. The points are half of what came within the threshold and half of what came
        within four times it; either share lies between the percentiles that are below and above.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=1, tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    >>> one = lambda value: pd.Series(value, index)
    >>> found = points_of_percentiles(one(100.0), one(1.0), {0.5: one(0.1), 0.95: one(0.4)}, 0.25)
    >>> found.round(2).iloc[0].tolist()
    [72.5, 97.5, 100.0]
    """
    if not threshold > 0 or not percentiles or not all(0 < share < 1 for share in percentiles):
        raise ContractError(
            column="percentiles", expected="shares in (0, 1) and a threshold above 0", got=list(percentiles)
        )
    lo, hi = np.zeros(len(total)), np.zeros(len(total))
    for limit in (threshold, TOLERATED * threshold):
        below, above = np.zeros(len(total)), np.ones(len(total))
        for share, seconds in sorted(percentiles.items()):
            seconds = seconds.reindex(total.index).to_numpy(dtype=float)
            below = np.where(seconds <= limit, np.fmax(below, share), below)
            above = np.where(seconds > limit, np.fmin(above, share), above)
        lo, hi = lo + below / 2, hi + np.maximum(above, below) / 2
    came = total * answered.reindex(total.index)
    return pd.DataFrame({"points_lo": came * lo, "points_hi": came * hi, "total": total.where(came.notna())})


def apdex_daily(
    points: pd.DataFrame, *, day: str = "1D", block: str = "10min", confidence: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Sum Apdex up for each entity and day, with what is not known about it and with what a day can tell.

    Parameters
    ----------
    points : DataFrame, index (entity, timestamp)
        `points_lo`, `points_hi`, `total`, as the functions above give them; rows with NaN are not known.
    day : str
        Length of a day.
    block : str
        Length of the blocks of time that are drawn again. Requests of one moment are served and kept waiting together:
        an interval as if each stood for itself would be far too narrow.
    confidence : float in (0, 1)
    seed : int

    Returns
    -------
    DataFrame, index (entity, timestamp)
        `apdex` (the middle of what it may be), `known_lo`, `known_hi` (the ends of that), `lo`, `hi` (with the block
        bootstrap's interval of either end, or Wilson's where it is wider), `requests`. NaN on days without requests.

    References
    ----------
    Apdex Alliance, technical specification 1.1 (2007), sections 3 and 4; Künsch (1989), doi 10.1214/aos/1176347265.
    """
    _need("points", points, ("points_lo", "points_hi", "total"))
    objective = Objective("apdex", "", target=0.5, window=pd.Timedelta(day).total_seconds())  # its target is not asked
    found = []
    stamps = points.index.get_level_values("timestamp")
    for start, one in points.groupby(stamps.floor(day)):
        ends = {}
        for end in ("lo", "hi"):
            capped = one[f"points_{end}"].clip(upper=one["total"])
            service = pd.DataFrame({"good": capped, "total": one["total"]})
            ends[end] = levels(service, objective, confidence=confidence, block=block, seed=seed)
        names = one.index.unique("entity")
        lo, hi = (ends[end].reindex(names) for end in ("lo", "hi"))
        found.append(
            pd.DataFrame(
                {
                    "apdex": (lo["level"] + hi["level"]) / 2,
                    "lo": lo["lo"],
                    "hi": hi["hi"],
                    "known_lo": lo["level"],
                    "known_hi": hi["level"],
                    "requests": lo["total"].fillna(0.0),
                }
            ).assign(timestamp=start)
        )
    columns = ["apdex", "lo", "hi", "known_lo", "known_hi", "requests"]
    if not found:
        return pd.DataFrame(columns=columns, index=points.index[:0], dtype="float64")
    return pd.concat(found).rename_axis("entity").set_index("timestamp", append=True).sort_index()[columns]


def _need(name: str, frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in frame:
            raise ContractError(name, column=column, expected=f"columns {', '.join(columns)}", got="none")
