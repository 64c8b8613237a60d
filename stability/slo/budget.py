"""What of a promise was kept: shares of good requests, the error budget that is left, and how fast it burns.

All take a table of the service: index (entity, timestamp), columns `good` and `total`, requests of the step that begins
at the stamp; NaN where nobody knows. A step without requests neither keeps nor breaks a promise. What stands at a stamp
is therefore known at the end of its step, and where slices are counted at the end of its slice, not before. A table of
one service may have stamps alone: its entity is `default` then.
"""

from __future__ import annotations

__all__ = [
    "WORKBOOK",
    "BurnWindow",
    "allowed_badness",
    "apdex",
    "budget_course",
    "burn_alerts",
    "burn_rates",
    "levels",
    "slices",
]

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation import Estimate, NotEnoughEvidence, bootstrap_interval, wilson_interval
from stability.evaluation.intervals import wider
from stability.evaluation.pairs import expanded
from stability.evaluation.resampling import MIN_UNITS, ratio_of_sums
from stability.schema import ContractError
from stability.schema.validation import SINGLE
from stability.slo.objectives import Objective

VERDICTS = ("kept", "broken", "not distinguishable", "no requests")


class BurnWindow(NamedTuple):
    """One pair of windows of a burn-rate alert.

    Parameters
    ----------
    severity : str
    long : float
        Length of the long window as a share of the objective's.
    budget : float
        Share of the whole budget that is spent when the alert has fired for the long window.
    """

    severity: str
    long: float
    budget: float


MONTH = 30 * 86_400.0
SHORT = 12  # the short window is this part of the long one
WORKBOOK = (
    BurnWindow("page", 3_600 / MONTH, 0.02),
    BurnWindow("page", 6 * 3_600 / MONTH, 0.05),
    BurnWindow("ticket", 3 * 86_400 / MONTH, 0.10),
)  # Site Reliability Workbook, chapter 5, table 5-8, for 30 days: burn rates 14.4, 6 and 1


def allowed_badness(objective: Objective, requests: float | None = None) -> float:
    """Tell how much may go wrong in a whole window: seconds of downtime, or of so many requests.

    Parameters
    ----------
    objective : Objective
    requests : float, optional
        In the window.

    Returns
    -------
    float
        s without requests, requests with them.

    Examples
    --------
    >>> month = Objective("web", "shop", target=0.999, window=30 * 86_400)
    >>> round(allowed_badness(month) / 60, 1), round(allowed_badness(month, 50_000))
    (43.2, 50)
    """
    return (1 - objective.target) * (objective.window if requests is None else requests)


def slices(service: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """Turn requests into what the objective counts: themselves, or slices of time.

    Parameters
    ----------
    service : DataFrame, index (entity, timestamp)
        `good` and `total`.
    objective : Objective

    Returns
    -------
    DataFrame, index (entity, timestamp)
        `good` and `total`: requests (`Occurrences`), 0 or 1 a slice (`Timeslices`), or the share of a slice
        (`RatioTimeslices`). Slices begin at multiples of their length; those without requests are not counted.

    Raises
    ------
    ContractError
        For counts that are none: below 0, more good than there are.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=4, freq="30s", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    >>> service = pd.DataFrame({"good": [10.0, 8, 10, 10], "total": 10.0}, index=index)
    >>> minutes = Objective("web", "shop", 0.99, 86_400, "Timeslices", slice_target=0.95, slice_seconds=60)
    >>> slices(service, minutes)["good"].tolist()
    [0.0, 1.0]
    """
    checked = _checked(service)
    if objective.method == "Occurrences":
        return checked
    length = pd.Timedelta(seconds=objective.slice_seconds)
    begins = checked.index.get_level_values("timestamp").floor(length)
    summed = checked.groupby([checked.index.get_level_values("entity"), begins.rename("timestamp")]).sum()
    summed = summed[summed["total"] > 0]
    share = summed["good"] / summed["total"]
    good = (share >= objective.slice_target).astype(float) if objective.method == "Timeslices" else share
    return pd.DataFrame({"good": good, "total": 1.0})


def levels(
    service: pd.DataFrame, objective: Objective, *, confidence: float = 0.95, block: str = "10min", seed: int = 0
) -> pd.DataFrame:
    """Judge a promise over the time of a table: the level with its interval, and what of the budget is spent.

    Parameters
    ----------
    service : DataFrame, index (entity, timestamp)
    objective : Objective
    confidence : float in (0, 1)
    block : str
        Length of the blocks of time that are drawn again: requests of one moment succeed and fail together, so that an
        interval as if each stood for itself (Wilson) is too narrow; the wider of both is given. In a record with fewer
        than five blocks, or fewer than five in which anything failed (or did not), each counts as one trial: nothing
        tells how alike requests are, and an outage that has not come yet is no outage that cannot come.
    seed : int

    Returns
    -------
    DataFrame, index entity
        `level`, `lo`, `hi` (share of good ones), `bad` and `total` (counts), `budget_spent` (share of what may be bad
        among as many requests; above 1 is broken), `spent_lo`, `spent_hi`, `known` (share of the table's rows whose
        counts are known: what nobody counted is in none of these numbers), and `verdict`: kept or broken only where
        the whole interval says so.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=600, freq="min", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    >>> service = pd.DataFrame({"good": 99.0, "total": 100.0}, index=index)
    >>> levels(service, Objective("web", "shop", 0.95, 86_400))[["level", "budget_spent", "verdict"]].round(3)
            level  budget_spent verdict
    entity
    web      0.99           0.2    kept
    """
    counted = slices(service, objective)
    known = _table(service)[["good", "total"]].notna().all(axis=1).groupby(level="entity").mean()
    rows = {}
    for entity, share in known.items():
        one = counted[counted.index.get_level_values("entity") == entity].droplevel("entity")
        try:
            level = _level(one, confidence, pd.Timedelta(block), seed)
        except NotEnoughEvidence:
            rows[entity] = [math.nan] * 3 + [0.0, 0.0] + [math.nan] * 3 + [share, VERDICTS[3]]
            continue
        total, allowed = one["total"].sum(), 1 - objective.target
        spent = [(1 - x) / allowed for x in (level.value, level.hi, level.lo)]
        verdict = VERDICTS[0] if level.lo >= objective.target else VERDICTS[1 if level.hi < objective.target else 2]
        rows[entity] = [*level, total - one["good"].sum(), total, *spent, share, verdict]
    columns = ["level", "lo", "hi", "bad", "total", "budget_spent", "spent_lo", "spent_hi", "known", "verdict"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.rename_axis("entity")


def _level(one: pd.DataFrame, confidence: float, block: pd.Timedelta, seed: int) -> Estimate:
    good, total = float(one["good"].sum()), float(one["total"].sum())
    classical = wilson_interval(good, total, confidence)
    blocks = one.groupby(one.index.floor(block)).sum()
    blocks = blocks[blocks["total"] > 0]
    n = len(blocks)
    if min(n, (blocks["good"] > 0).sum(), (blocks["good"] < blocks["total"]).sum()) < MIN_UNITS:
        return wider(wilson_interval(min(good / total, 1.0) * n, n, confidence), classical)
    pairs, share = blocks[["good", "total"]].to_numpy(), expanded(confidence, n)
    drawn = bootstrap_interval(ratio_of_sums, *pairs.T, confidence=share, seed=seed, vectorized=True)
    return wider(drawn, classical)


def burn_rates(service: pd.DataFrame, objective: Objective, windows: Sequence[float]) -> pd.DataFrame:
    """Tell at each moment how many times too fast the budget burns, over windows that end there.

    Parameters
    ----------
    service : DataFrame, index (entity, timestamp)
    objective : Objective
    windows : sequence of float
        Lengths in s; a window holds the rows of (t - length, t].

    Returns
    -------
    DataFrame, index (entity, timestamp)
        A column a window, named by its length: share of bad ones / (1 - target); 1 spends exactly the budget over the
        objective's window, NaN where nothing was asked.

    References
    ----------
    Site Reliability Workbook, chapter 5.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=3, freq="min", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    >>> service = pd.DataFrame({"good": [100.0, 98, 100], "total": 100.0}, index=index)
    >>> burn_rates(service, Objective("web", "shop", 0.99, 86_400), [60.0, 120.0]).round(2).to_numpy().tolist()
    [[0.0, 0.0], [2.0, 1.0], [0.0, 1.0]]
    """
    counted = slices(service, objective)
    made = {}
    for entity, one in counted.groupby(level="entity"):
        one = one.droplevel("entity")
        rates = {}
        for window in windows:
            summed = one.rolling(pd.Timedelta(seconds=window)).sum()
            bad = (summed["total"] - summed["good"]).clip(lower=0.0)
            rates[window] = bad / summed["total"].where(summed["total"] > 0) / (1 - objective.target)
        made[entity] = pd.DataFrame(rates)
    if not made:
        return pd.DataFrame(index=counted.index, columns=list(windows), dtype=float)
    return pd.concat(made, names=["entity", "timestamp"])


def burn_alerts(service: pd.DataFrame, objective: Objective, policy: Sequence[BurnWindow] = WORKBOOK) -> pd.DataFrame:
    """Find when the budget burnt too fast over a long window and over its last twelfth.

    Parameters
    ----------
    service : DataFrame, index (entity, timestamp)
    objective : Objective
    policy : sequence of BurnWindow

    Returns
    -------
    DataFrame
        A row an episode: `entity`, `start`, `end` (first stamp at which it no longer fires, or after more than the long
        window of which nobody knows anything; NaT while it does), `severity`, `long` (s), `threshold` (burn rate),
        `highest` (of the long window).

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=240, freq="min", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    >>> service = pd.DataFrame({"good": 100.0, "total": 100.0}, index=index)
    >>> service.iloc[120:130, 0] = 0.0
    >>> found = burn_alerts(service, Objective("web", "shop", 0.99, 30 * 86_400))
    >>> fast = found.query("threshold == 14.4").iloc[0]
    >>> f"{fast.start:%H:%M} {fast.end:%H:%M} {fast.highest:.1f}"
    '02:08 02:14 16.7'
    """
    found = []
    for severity, share, budget in policy:
        long = share * objective.window
        threshold = budget / share
        rates = burn_rates(service, objective, [long, long / SHORT])
        for entity, one in rates.groupby(level="entity"):
            one = one.droplevel("entity")
            fires = (one > threshold * (1 + 1e-12)).all(axis=1)
            blind = one.index.to_series().diff() > pd.Timedelta(seconds=long)
            episode = ((fires != fires.shift(fill_value=False)) | blind).cumsum()
            for _, rows in one[fires].groupby(episode[fires]):
                after = one.index[one.index > rows.index[-1]]
                end = after[0] if len(after) else pd.NaT
                found.append((entity, rows.index[0], end, severity, long, round(threshold, 9), rows[long].max()))
    columns = ["entity", "start", "end", "severity", "long", "threshold", "highest"]
    table = pd.DataFrame(found, columns=columns)
    return table.sort_values(["start", "entity", "threshold"], ascending=[True, True, False], ignore_index=True)


def budget_course(service: pd.DataFrame, objective: Objective) -> pd.Series:
    """Tell at each moment which share of the error budget of the window that ends there is left.

    Parameters
    ----------
    service : DataFrame, index (entity, timestamp)
    objective : Objective

    Returns
    -------
    Series of float64, index (entity, timestamp)
        1 untouched, 0 spent, below 0 overspent; NaN before anything was asked. Where the table is shorter than the
        window, the budget is that of the requests so far.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=2, freq="D", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    >>> service = pd.DataFrame({"good": [1_000.0, 995], "total": 1_000.0}, index=index)
    >>> budget_course(service, Objective("web", "shop", 0.99, 7 * 86_400)).round(2).tolist()
    [1.0, 0.75]
    """
    rates = burn_rates(service, objective, [objective.window])
    return (1 - rates.iloc[:, 0]).rename("budget_left")


def apdex(seconds: np.ndarray, threshold: float, failed: int = 0, *, confidence: float = 0.95) -> Estimate:
    """Sum up how satisfied users are with response times: the satisfied ones and half of those who tolerate.

    Parameters
    ----------
    seconds : array of float64, shape (n,)
        Response times of answered requests, s.
    threshold : float
        s up to which a user is satisfied; up to four times it one tolerates.
    failed : int
        Requests without an answer: frustrated, whatever they took.
    confidence : float in (0, 1)

    Returns
    -------
    Estimate
        In [0, 1]; its interval is the normal one of a mean of 0, 1/2 and 1, drawn in by two more of each end.

    Raises
    ------
    NotEnoughEvidence
        Without requests.

    References
    ----------
    Apdex Alliance, Application Performance Index, technical specification 1.1 (2007), sections 3 and 4; Agresti and
    Coull (1998), doi 10.1080/00031305.1998.10480550.

    Examples
    --------
    >>> round(apdex(np.array([0.1, 0.2, 0.7, 3.0]), threshold=0.5).value, 3)
    0.625
    """
    seconds = np.asarray(seconds, dtype=float)
    if not threshold > 0 or np.isnan(seconds).any() or (seconds < 0).any():
        raise ContractError(
            column="seconds", expected="response times from 0 up and a threshold above 0", got=threshold
        )
    if failed < 0:
        raise ContractError(column="failed", expected="requests from 0 up", got=failed)
    many = len(seconds) + failed
    if many == 0:
        raise NotEnoughEvidence("An Apdex needs at least one request; there was none.")
    points = np.where(seconds <= threshold, 1.0, np.where(seconds <= 4 * threshold, 0.5, 0.0)).sum()
    squares = np.where(seconds <= threshold, 1.0, np.where(seconds <= 4 * threshold, 0.25, 0.0)).sum()
    value, drawn = points / many, many + 4
    middle = (points + 2) / drawn
    spread = max((squares + 2) / drawn - middle**2, 0.0)
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt(spread / drawn)
    return Estimate(
        float(value), float(min(max(middle - half, 0.0), value)), float(max(min(middle + half, 1.0), value))
    )


def _table(service: pd.DataFrame) -> pd.DataFrame:
    if isinstance(service.index, pd.DatetimeIndex):
        service = pd.concat({SINGLE: service.rename_axis("timestamp")}, names=["entity"])
    missing = {"good", "total"} - set(service.columns)
    if missing or list(service.index.names) != ["entity", "timestamp"]:
        raise ContractError(
            column="service",
            expected="index (entity, timestamp), columns good and total",
            got=f"index {list(service.index.names)}, columns {list(service.columns)}",
        )
    return service


def _checked(service: pd.DataFrame) -> pd.DataFrame:
    service = _table(service)
    if service.index.has_duplicates:
        entity, moment = service.index[service.index.duplicated()][0]
        raise ContractError(column="timestamp", expected="a row a moment", got=f"two of {entity} at {moment}")
    known = service[["good", "total"]].astype(float).dropna()
    wrong = (known["good"] < 0) | (known["good"] > known["total"]) | ~np.isfinite(known["total"])
    if wrong.any():
        entity, moment = known.index[wrong][0]
        row = known[wrong].iloc[0]
        raise ContractError(
            column="good",
            expected="counts with 0 <= good <= total",
            got=f"{row['good']:g} of {row['total']:g} at {entity}, {moment}",
        )
    return known.sort_index()
