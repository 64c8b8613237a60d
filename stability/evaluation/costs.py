"""Costs: what warnings and missed impacts come to at each threshold, beside never and always warning.

For each entity and period: warnings x the cost of one + impacts not warned of x the cost of one. Only the ratio of the
two decides which threshold is cheapest, so they may be relative: a missed impact costs fifty looks. Neither .5 nor the
threshold of the best F1 is the cheapest one. What warnings are, and which impacts they said, is said in `warned`. The
threshold is chosen on a block of validation (`cost_curve`, `cheapest_threshold`) and judged on later rows
(`cost_estimate`).

Sources: Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978; on F1 arXiv 1809.10979.
"""

from __future__ import annotations

__all__ = ["CheapestThreshold", "CostCurve", "CostEstimate", "cheapest_threshold", "cost_curve", "cost_estimate"]

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.budgets import draw_units, read_period, watched
from stability.evaluation.exposure import cut_blocks
from stability.evaluation.intervals import Estimate, NotEnoughEvidence, estimate_or_nan
from stability.evaluation.resampling import block_length, require_count, resample_counts
from stability.evaluation.warned import (
    RECOVERY,
    SECOND,
    Impacts,
    Rows,
    event_table,
    first_leads,
    microseconds_of,
    raised_rows,
    read_horizon,
    read_impacts,
    read_length,
    read_rows,
    read_threshold,
    read_until,
)
from stability.schema import ContractError


class CostCurve(NamedTuple):
    """What each threshold costs on the rows at hand.

    Parameters
    ----------
    curve : DataFrame, index threshold, falling from infinity (never warn) to 0 (always warn)
        For each entity and period: `cost`, `warnings`, `missed` impacts; and `recall`, the share of impacts warned of.
    never, always : float
        Cost of the two that know nothing.
    events : int
        Impacts judged.
    exposure : float
        Periods, summed over entities.
    """

    curve: pd.DataFrame
    never: float
    always: float
    events: int
    exposure: float


class CheapestThreshold(NamedTuple):
    """Where a cost curve is lowest.

    Parameters
    ----------
    threshold : float
        Of several that cost the same the highest: the fewest warnings.
    cost : float
        For each entity and period, on the rows of the curve: too good for others, since it was chosen there.
    """

    threshold: float
    cost: float


class CostEstimate(NamedTuple):
    """What a threshold that was chosen before costs.

    Parameters
    ----------
    cost, never, always : Estimate
        For each entity and period: at the threshold, without any warning, and with one at every chance.
    saved_to_never, saved_to_always : Estimate
        Differences on the same redrawn units; above 0 the model is worth its warnings.
    events : int
        Impacts judged.
    exposure : float
        Periods, summed over entities.
    """

    cost: Estimate
    never: Estimate
    always: Estimate
    saved_to_never: Estimate
    saved_to_always: Estimate
    events: int
    exposure: float


def cost_curve(
    probabilities: pd.Series,
    faults: pd.DataFrame,
    *,
    horizon: str | int | pd.Timedelta,
    miss: float,
    alarm: float,
    per: str | int | pd.Timedelta = "7D",
    cooldown: str | int | pd.Timedelta | None = None,
    least_lead: str | int | pd.Timedelta = "0s",
    observed_until: object = None,
    recovery: str | int | pd.Timedelta = RECOVERY,
    modes: Sequence[str] | None = None,
    points: int = 200,
) -> CostCurve:
    """Count what each threshold costs.

    Parameters
    ----------
    probabilities, faults, horizon, cooldown, least_lead, observed_until, recovery, modes
        As in `warned_events`. Impacts that no row could have warned of cost the same at any threshold and are left out.
    miss, alarm : float
        Cost of an impact that was not warned of, and of a warning, right or false, in one unit.
    per : text, Timedelta or whole seconds
        The period.
    points : int
        Thresholds at most: all probabilities, or the highest of them densely and the lower ones less and less (by
        rank, evenly on a logarithmic scale), beside infinity and 0.

    Returns
    -------
    CostCurve

    Raises
    ------
    NotEnoughEvidence
        Without any impact to warn of.
    ContractError
        As `warned_events`, and for costs that are none.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=14, freq="D", tz="UTC", unit="us")
    >>> said = pd.Series([0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.4, 0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1], index=days)
    >>> faults = pd.DataFrame({"entity": "default", "impact_start": days[[3, 7]]})
    >>> curve, never, always, *_ = cost_curve(said, faults, horizon="1D", miss=10, alarm=1)
    >>> curve
               cost  warnings  missed  recall
    threshold
    inf        10.0       0.0     1.0     0.0
    0.9         5.5       0.5     0.5     0.5
    0.4         1.5       1.5     0.0     1.0
    0.1         7.0       7.0     0.0     1.0
    0.0         7.0       7.0     0.0     1.0
    """
    _require_costs(miss, alarm)
    require_count(points, "points")
    lengths = {"horizon": horizon, "cooldown": cooldown, "least_lead": least_lead}
    judge = _Judge(probabilities, faults, **lengths, observed_until=observed_until, recovery=recovery, modes=modes)
    exposure = float((judge.seen.end - judge.seen.start).sum() / read_period(per))
    thresholds = _thresholds(judge.rows.value, points)
    counted = [judge.at(threshold) for threshold in thresholds]
    warnings, missed = np.array([[raised.sum(), gone.sum()] for raised, gone in counted], dtype=float).T
    if not (events := len(counted[0][1])):
        raise NotEnoughEvidence("No impact that these rows could have warned of: what a miss costs cannot be counted.")
    columns = {
        "cost": (alarm * warnings + miss * missed) / exposure,
        "warnings": warnings / exposure,
        "missed": missed / exposure,
        "recall": 1 - missed / events,
    }
    curve = pd.DataFrame(columns, index=pd.Index(thresholds, name="threshold"))
    return CostCurve(curve, float(curve["cost"].iloc[0]), float(curve["cost"].iloc[-1]), events, exposure)


def cheapest_threshold(costs: CostCurve) -> CheapestThreshold:
    """Choose the cheapest threshold of a curve, which is to be one of validation rows.

    Parameters
    ----------
    costs : CostCurve

    Returns
    -------
    CheapestThreshold

    Examples
    --------
    >>> curve = pd.DataFrame({"cost": [9.0, 4.0, 4.0, 7.0]}, index=[math.inf, 0.5, 0.4, 0.0])
    >>> cheapest_threshold(CostCurve(curve, 9.0, 7.0, 3, 10.0))
    CheapestThreshold(threshold=0.5, cost=4.0)
    """
    cost = costs.curve["cost"].sort_index(ascending=False)
    # What is equal but for rounding is equal: the highest threshold of them.
    place = int(np.argmax(cost.to_numpy() <= cost.min() * (1 + 1e-12)))
    return CheapestThreshold(float(cost.index[place]), float(cost.iloc[place]))


def cost_estimate(
    probabilities: pd.Series,
    faults: pd.DataFrame,
    *,
    threshold: float,
    horizon: str | int | pd.Timedelta,
    miss: float,
    alarm: float,
    per: str | int | pd.Timedelta = "7D",
    cooldown: str | int | pd.Timedelta | None = None,
    least_lead: str | int | pd.Timedelta = "0s",
    observed_until: object = None,
    recovery: str | int | pd.Timedelta = RECOVERY,
    modes: Sequence[str] | None = None,
    unit: str = "auto",
    block: str | pd.Timedelta | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> CostEstimate:
    """Estimate what a threshold costs, and what it saves to never and to always warning.

    Parameters
    ----------
    probabilities, faults, horizon, miss, alarm, per, cooldown, least_lead, observed_until, recovery, modes
        As in `cost_curve`.
    threshold : float
        Chosen before, on other rows.
    unit, block, resamples, confidence, seed
        As in `budget_estimates`.

    Returns
    -------
    CostEstimate
        Percentile intervals; NaN throughout where there is not enough evidence.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units, or without any impact to warn of.
    ContractError
        As `cost_curve`.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=70, freq="D", tz="UTC", unit="us")
    >>> faults = pd.DataFrame({"entity": "default", "impact_start": days[6::7]})
    >>> said = pd.Series(0.1, index=days)
    >>> said.iloc[5::14] = 0.8
    >>> found = cost_estimate(said, faults, threshold=0.8, horizon="1D", miss=10, alarm=1)
    >>> found.cost.value, found.never.value, found.always.value
    (5.5, 10.0, 7.0)
    """
    _require_costs(miss, alarm)
    lengths = {"horizon": horizon, "cooldown": cooldown, "least_lead": least_lead}
    judge = _Judge(probabilities, faults, **lengths, observed_until=observed_until, recovery=recovery, modes=modes)
    raised, missed = judge.at(read_threshold(threshold))
    always, gone = judge.at(0.0)  # an impact can be missed even so, while a warning is open that does not reach it
    if not len(missed):
        raise NotEnoughEvidence("No impact that these rows could have warned of: what a miss costs cannot be counted.")
    block = pd.Timedelta(2 * judge.reach, "us") if block is None else block
    pieces, rows = cut_blocks(judge.seen, block_length(block)), judge.rows
    moments = [(pieces.code, pieces.start), (judge.impacts.code, judge.impacts.start), (rows.code, rows.time)]
    (of_time, of_events, of_rows), total = draw_units(moments, len(rows.entities), unit, block)
    columns = (
        (of_rows, alarm * raised, of_events, miss * missed),
        (of_rows, 0.0 * raised, of_events, np.full(len(missed), float(miss))),
        (of_rows, alarm * always, of_events, miss * gone),
    )
    sums = [
        np.bincount(a, weights=of_a, minlength=total) + np.bincount(b, weights=of_b, minlength=total)
        for a, of_a, b, of_b in columns
    ]
    time = np.bincount(of_time, weights=pieces.end - pieces.start, minlength=total)
    sums, period = np.column_stack([*sums, time]), read_period(per)

    def costs(totals):
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.moveaxis(totals[..., :3], -1, 0) / (totals[..., 3] / period)
        return np.concatenate([each, each[1:] - each[0]])

    drawn = np.concatenate([costs(counts @ sums) for counts in resample_counts(total, resamples, seed)], axis=1)
    found = [estimate_or_nan(float(v), d, confidence) for v, d in zip(costs(sums.sum(axis=0)), drawn, strict=True)]
    return CostEstimate(*found, events=len(missed), exposure=float(time.sum() / period))


class _Judge:
    """Rows and impacts, made ready to be judged at many thresholds."""

    def __init__(
        self, probabilities, faults, *, horizon, cooldown, least_lead, observed_until, recovery, modes
    ) -> None:
        self.rows: Rows = read_rows(probabilities)
        self.reach, self.open_for = read_horizon(horizon, cooldown)
        self.least = read_length(least_lead, "least_lead")
        self.seen = watched(probabilities.index)
        impacts = read_impacts(faults, self.rows, read_until(observed_until, self.rows), recovery, modes)
        table = event_table(self.rows, impacts, np.zeros(len(self.rows.code), dtype=bool), self.reach, self.least)
        table = table[table["judged"]]
        since, counts = table["since_cause"].to_numpy(), np.ones(len(table), dtype=bool)
        self.impacts = Impacts(table["code"].to_numpy(), microseconds_of(table["impact_start"]), since, counts)

    def at(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Say which rows warn, and which of the judged impacts are missed."""
        raised = raised_rows(self.rows.code, self.rows.time, self.rows.value, threshold, self.open_for)
        lead = first_leads(self.rows, self.impacts, self.reach, raised)
        return raised, ~(lead > self.least / SECOND)  # NaN is a miss


def _thresholds(values: np.ndarray, points: int) -> np.ndarray:
    falling = np.sort(values[~np.isnan(values)])[::-1]
    kinds = np.unique(falling)[::-1]
    if len(kinds) > points:
        ranks = np.geomspace(1, len(falling), points).astype(int) - 1
        kinds = np.unique(falling[ranks])[::-1]
    return np.concatenate([[math.inf], kinds[kinds > 0], [0.0]])


def _require_costs(miss: float, alarm: float) -> None:
    for name, cost in (("miss", miss), ("alarm", alarm)):
        if not 0 <= cost < math.inf:
            raise ContractError(column=name, expected="a cost from 0 up", got=cost)
