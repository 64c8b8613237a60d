"""Budgets: how many warnings people can look at, the threshold that keeps to it, and what warnings are worth there.

What a warning is, when it is right and which impacts it said is defined in `warned`. A threshold is chosen on a block
of validation (`budget_threshold`) and judged on later rows (`budget_estimates`): all numbers at one operating point.
"""

from __future__ import annotations

__all__ = ["BudgetEstimates", "BudgetThreshold", "budget_estimates", "budget_threshold"]

import math
from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd

from stability.evaluation.events import quantile_estimates
from stability.evaluation.exposure import cut_blocks, exposure
from stability.evaluation.intervals import Estimate, estimate_or_nan, poisson_interval, wider, wilson_interval
from stability.evaluation.resampling import block_length, number_units, resample_counts
from stability.evaluation.spans import Spans, observe
from stability.evaluation.warned import (
    RECOVERY,
    Rows,
    event_table,
    microseconds_of,
    raised_rows,
    read_horizon,
    read_impacts,
    read_length,
    read_rows,
    read_threshold,
    read_until,
    row_truth,
)
from stability.schema import ContractError

QUANTILES = {"lead_p10": 0.1, "lead_p50": 0.5, "lead_p90": 0.9}
SHARE = {"lead_share": 0.5}
RATES = ("recall", "precision", "rate", "false_rate")


class BudgetThreshold(NamedTuple):
    """Where a budget is kept.

    Parameters
    ----------
    threshold : float
        Warn from this probability on; infinity where even the highest one breaks the budget, 0 where all rows may warn.
    rate : float
        Warnings (or false ones) for each entity and period at the threshold, on the rows that it was chosen on.
    exposure : float
        Periods that these rows cover, summed over entities.
    """

    threshold: float
    rate: float
    exposure: float


class BudgetEstimates(NamedTuple):
    """What the warnings of one threshold are worth.

    Parameters
    ----------
    recall : Estimate
        Share of the judged impacts that were warned of early enough.
    precision : Estimate
        Share of the judged warnings that an impact followed within the horizon, at any lead.
    rate, false_rate : Estimate
        Warnings, and false ones, for each entity and period.
    lead_p10, lead_p50, lead_p90 : Estimate
        Quantiles of the lead in s over the impacts warned of: nine in ten have at least `lead_p10`.
    lead_share : Estimate
        Median of the lead as a share of the time from cause to impact, at most 1 (a warning before the cause is luck);
        over the impacts warned of whose cause is known.
    chance : float
        Recall of as many warnings at moments that have nothing to do with impacts: the share of the observed time that
        lies within a warning's interval, later than the least lead after its start.
    cap : float
        Recall that the budget allows at one warning an impact: min(1, budget x exposure / impacts); NaN without budget.
    impacts : DataFrame
        As of `warned_events`.
    events, warned, unjudged_events : int
        Impacts judged, warned of; and those that no row could have warned of early enough.
    warnings, right, unjudged_warnings : int
        Warnings; those that came true; and those that reach beyond the observation without an impact until there.
    exposure : float
        Periods, summed over entities.
    """

    recall: Estimate
    precision: Estimate
    rate: Estimate
    false_rate: Estimate
    lead_p10: Estimate
    lead_p50: Estimate
    lead_p90: Estimate
    lead_share: Estimate
    chance: float
    cap: float
    impacts: pd.DataFrame
    events: int
    warned: int
    unjudged_events: int
    warnings: int
    right: int
    unjudged_warnings: int
    exposure: float


def budget_threshold(
    probabilities: pd.Series,
    budget: float,
    *,
    horizon: str | int | pd.Timedelta,
    per: str | int | pd.Timedelta = "7D",
    cooldown: str | int | pd.Timedelta | None = None,
    faults: pd.DataFrame | None = None,
    counting: str = "all",
    observed_until: object = None,
    recovery: str | int | pd.Timedelta = RECOVERY,
) -> BudgetThreshold:
    """Find the lowest threshold that keeps to a budget of warnings, as do all higher ones.

    A lower threshold may raise fewer warnings, since an early one keeps later ones from being raised. Such a lucky gap
    below thresholds that break the budget is not taken: the sweep goes down from the highest probability, adds the rows
    of one probability at a time, and ends before the first that breaks it.

    Parameters
    ----------
    probabilities, horizon, cooldown
        As in `warnings_at`; rows of validation, never of the test part.
    budget : float
        Warnings for each entity and period, from 0 up.
    per : text, Timedelta or whole seconds
        The period: a week, or what is a day to the system.
    faults : DataFrame, optional
        As in `warned_events`; only for ``counting="false"``.
    counting : {"all", "false"}
        Which warnings the budget is for: all that somebody has to look at, or those for nothing. Warnings that cannot
        be judged are not false.
    observed_until, recovery
        As in `warned_events`.

    Returns
    -------
    BudgetThreshold
        The observed time of the rows is the exposure, as `observed_spans` finds it.

    Raises
    ------
    ContractError
        As `warnings_at`, and for a negative budget, or false warnings to count without faults.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=14, freq="D", tz="UTC", unit="us")
    >>> said = pd.Series([0.1, 0.2, 0.9, 0.8, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1, 0.7, 0.2, 0.1, 0.1], index=days)
    >>> budget_threshold(said, 1.0, horizon="2D")
    BudgetThreshold(threshold=0.7, rate=1.0, exposure=2.0)
    """
    if not 0 <= budget < math.inf:
        raise ContractError(column="budget", expected="warnings for each entity and period, from 0 up", got=budget)
    if counting not in ("all", "false"):
        raise ContractError(column="counting", expected="'all' or 'false'", got=counting)
    rows = read_rows(probabilities)
    reach, open_for = read_horizon(horizon, cooldown)
    seen = watched(probabilities.index)
    periods = float((seen.end - seen.start).sum() / read_period(per))
    weight = np.ones(len(rows.code), dtype=np.int64)
    if counting == "false":
        if faults is None:
            raise ContractError(column="faults", expected="faults, to tell which warnings are false", got="none")
        until = read_until(observed_until, rows)
        right, judged = row_truth(rows, read_impacts(faults, rows, until, recovery, None), reach, until)
        weight = (judged & ~right).astype(np.int64)
    falling = np.argsort(-rows.value, kind="stable")[: np.count_nonzero(~np.isnan(rows.value))]
    value = rows.value[falling]
    last = np.append(value[1:] != value[:-1], True)[: len(value)]
    # What keeps to the budget but for rounding keeps to it.
    taken, count = _sweep(falling, last, rows.code, rows.time, weight, open_for, budget * periods * (1 + 1e-12))
    threshold = math.inf if not taken else float(value[taken - 1]) if taken < len(value) else 0.0
    return BudgetThreshold(threshold, count / periods, periods)


def budget_estimates(
    probabilities: pd.Series,
    faults: pd.DataFrame,
    *,
    threshold: float,
    horizon: str | int | pd.Timedelta,
    cooldown: str | int | pd.Timedelta | None = None,
    least_lead: str | int | pd.Timedelta = "0s",
    budget: float | None = None,
    per: str | int | pd.Timedelta = "7D",
    observed_until: object = None,
    recovery: str | int | pd.Timedelta = RECOVERY,
    modes: Sequence[str] | None = None,
    unit: str = "auto",
    block: str | pd.Timedelta | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> BudgetEstimates:
    """Judge the warnings of a threshold that was chosen before: recall of impacts, precision, load and lead.

    Parameters
    ----------
    probabilities, faults, threshold, horizon, cooldown, least_lead, observed_until, recovery, modes
        As in `warned_events`. With `modes` the recall and the leads are of these; a warning of any mode is right.
    budget : float, optional
        Warnings of any kind for each entity and period that the threshold was chosen for: tells `cap`.
    per : text, Timedelta or whole seconds
        The period of rates and exposure.
    unit, block
        What is drawn again, as in `resampling_units`; impacts and warnings belong to the unit in which they start. By
        default a block is as long as two horizons, so that most warnings lie in one block with what they warn of.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    BudgetEstimates
        Limits never narrower than those for independent cases: Wilson's of recall and precision, Garwood's of rates.
        NaN throughout where undefined, and for quantiles of fewer than `MIN_UNITS` impacts: not enough evidence.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` units.
    ContractError
        As `warned_events`.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=70, freq="D", tz="UTC", unit="us")
    >>> faults = pd.DataFrame({"entity": "default", "impact_start": days[6::7]})
    >>> said = pd.Series(0.1, index=days)
    >>> said.iloc[5::7], said.iloc[1] = 0.8, 0.9
    >>> found = budget_estimates(said, faults, threshold=0.8, horizon="2D", budget=1.0)
    >>> [round(x, 2) for x in found.recall], [round(x, 2) for x in found.precision]
    ([1.0, 0.72, 1.0], [0.91, 0.62, 1.0])
    >>> found.lead_p50.value, found.rate.value, found.cap
    (86400.0, 1.1, 1.0)
    """
    rows = read_rows(probabilities)
    reach, open_for = read_horizon(horizon, cooldown)
    until = read_until(observed_until, rows)
    impacts = read_impacts(faults, rows, until, recovery, modes)
    raised = raised_rows(rows.code, rows.time, rows.value, read_threshold(threshold), open_for)
    least, seen = read_length(least_lead, "least_lead"), watched(probabilities.index)
    table = event_table(rows, impacts, raised, reach, least)
    right, known = (part[raised] for part in row_truth(rows, impacts, reach, until))
    judged = table[table["judged"]].sort_values("lead", kind="stable")  # missed ones last
    warned, period = judged["lead"].notna().to_numpy(), read_period(per)
    # ---- what each unit that is drawn again holds
    block = pd.Timedelta(2 * reach, "us") if block is None else block
    pieces = cut_blocks(seen, block_length(block))
    moments = [(pieces.code, pieces.start), (judged["code"], microseconds_of(judged["impact_start"]))]
    moments.append((rows.code[raised], rows.time[raised]))
    (of_time, of_events, of_warnings), total = draw_units(moments, len(rows.entities), unit, block)
    columns = (
        (of_events, np.ones(len(judged))),
        (of_events, warned),
        (of_warnings, np.ones(len(right))),
        (of_warnings, known),
        (of_warnings, right),
        (of_time, pieces.end - pieces.start),
    )
    sums = np.column_stack([np.bincount(where, weights=what, minlength=total) for where, what in columns])
    settings = {"resamples": resamples, "confidence": confidence, "seed": seed}
    leads, whose = judged["lead"].to_numpy()[warned], of_events[warned]
    since = judged["since_cause"].to_numpy()[warned]
    shares = np.minimum(leads / np.where(since > 0, since, np.nan), 1.0)  # what comes at once has no lead to share
    order = np.argsort(shares, kind="stable")[: np.count_nonzero(~np.isnan(shares))]
    events, said, warnings, sure, came = (int(count) for count in sums.sum(axis=0)[:5])
    periods = float(sums[:, 5].sum() / period)
    cap = math.nan if budget is None or not events else min(1.0, budget * periods / events)
    return BudgetEstimates(
        **_rates(sums, period, **settings),
        **quantile_estimates(leads, whose, total, QUANTILES, **settings),
        **quantile_estimates(shares[order], whose[order], total, SHARE, **settings),
        chance=_covered(seen, rows, raised, least, reach),
        cap=cap,
        impacts=table.drop(columns="code"),
        events=events,
        warned=said,
        unjudged_events=len(table) - events,
        warnings=warnings,
        right=came,
        unjudged_warnings=warnings - sure,
        exposure=periods,
    )


def _covered(seen: Spans, rows: Rows, raised: np.ndarray, least: int, reach: int) -> float:
    """Share of the observed time at which an impact would have been warned of."""
    start = rows.time[raised]
    inside = Spans(rows.code[raised], start + min(least, reach), start + reach)
    none = Spans(*(np.empty(0, dtype=np.int64) for _ in range(3)))
    _, _, seconds, free, _ = exposure(seen, inside, none)
    return float(seconds[~free].sum() / seconds.sum())


def _rates(sums: np.ndarray, period: int, *, resamples: int, confidence: float, seed: int) -> dict[str, Estimate]:
    """Put intervals around `RATES`, from (events, warned, warnings, judged, right, time in us) of each unit."""

    def rates(totals):
        events, warned, warnings, judged, right, time = np.moveaxis(totals, -1, 0)
        periods = time / period
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.stack([warned / events, right / judged, warnings / periods, (judged - right) / periods])

    drawn = np.concatenate([rates(counts @ sums) for counts in resample_counts(len(sums), resamples, seed)], axis=1)
    totals = sums.sum(axis=0)
    events, warned, warnings, judged, right = (int(count) for count in totals[:5])
    found = {
        name: estimate_or_nan(float(value), of_draws, confidence)
        for name, value, of_draws in zip(RATES, rates(totals), drawn, strict=True)
    }
    classical = {
        "rate": poisson_interval(warnings, float(totals[5] / period), confidence),
        "false_rate": poisson_interval(judged - right, float(totals[5] / period), confidence),
    }
    classical |= {"recall": wilson_interval(warned, events, confidence)} if events else {}
    classical |= {"precision": wilson_interval(right, judged, confidence)} if judged else {}
    return found | {name: wider(found[name], other) for name, other in classical.items()}


@numba.njit(cache=True)
def _sweep(order, last, code, time, weight, cooldown, limit):
    """Lower the threshold row by row, as long as the weights of the rows that warn stay within the limit.

    The warnings are kept up to date: a row that enters changes them only from there until the new chain of warnings
    meets the old one. Gives how many rows (whole groups of one probability) could enter, and the sum of weights then.
    """
    n = len(code)
    flagged, raised = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    total, taken, count = 0, 0, 0
    for k in range(len(order)):
        i = order[k]
        flagged[i] = True
        covered, j = False, i - 1
        while j >= 0 and code[j] == code[i] and time[i] - time[j] < cooldown:
            if raised[j]:
                covered = True
                break
            j -= 1
        if not covered:
            raised[i] = True
            total += weight[i]
            closes, j = time[i] + cooldown, i + 1
            while j < n and code[j] == code[i]:
                if flagged[j] and time[j] >= closes:
                    if raised[j]:
                        break  # from here on both chains are one
                    raised[j] = True
                    total += weight[j]
                    closes = time[j] + cooldown
                elif raised[j]:
                    raised[j] = False
                    total -= weight[j]
                j += 1
        if last[k]:
            if total > limit:
                break
            taken, count = k + 1, total
    return taken, count


def watched(index: pd.Index) -> Spans:
    """Find the time that the rows stand for (ends exclusive); one without a probability was watched all the same."""
    return observe(pd.Series(1.0, index=index))[0]


def draw_units(moments: Sequence[tuple], entities: int, unit: str, block) -> tuple[list[np.ndarray], int]:
    """Number the units that are drawn again, in common for several kinds of (entity numbers, times in us)."""
    codes, times = (np.concatenate([np.asarray(pair[i]) for pair in moments]) for i in range(2))
    units = number_units(codes, times, entities, unit, block)
    ends = np.cumsum([len(code) for code, _ in moments])[:-1]
    return np.split(units, ends), int(units.max(initial=-1)) + 1


def read_period(per) -> int:
    """Read the period of rates, in us."""
    length = read_length(per, "per")
    if not length:
        raise ContractError(column="per", expected="a length of time above 0, such as '7D'", got=str(per))
    return length
