"""Occurrence from fault records: how often a mode happens per service-day, with the bounds of what was seen."""

from __future__ import annotations

__all__ = ["occurrence"]

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation.intervals import require_share
from stability.fmea.scales import rate
from stability.schema import ContractError


def occurrence(
    incidents: pd.DataFrame, days: float, *, modes: Iterable[str] = (), confidence: float = 0.9
) -> pd.DataFrame:
    """Rate how often each mode happens: a Poisson rate under Jeffreys' prior, whose posterior is a Gamma distribution.

    Parameters
    ----------
    incidents : DataFrame
        With a column `failure_mode`, one row a cause: from `incidents_of`.
    days : float
        Service-days over which the record would have shown every fault. What a day is, is yours to say.
    modes : iterable of str
        Modes to rate beside those of the record: one that never happened has a bound, too.
    confidence : float in (0, 1)
        Of the two-sided credible interval; at .9 each end is a one-sided credible bound of 95 %.

    Returns
    -------
    DataFrame, index failure_mode
        `faults` (count), `days`, `rate`, `rate_lo`, `rate_hi` (per service-day: mean and quantiles of the posterior
        Gamma(faults + 1/2, days)), `occurrence`, `occurrence_lo`, `occurrence_hi` (their ratings).

    Raises
    ------
    ContractError
        For a length of time that is none.

    Notes
    -----
    A credible bound says what to believe of this record, beginning from Jeffreys' prior. Over many records it holds
    about as often as it says, and not in every case: without a fault its upper end is 1.92/days, where Garwood's exact
    one is 3.00/days.

    References
    ----------
    Jeffreys (1961), Theory of Probability, 3.1; scale: data/fmea/scales.csv.

    Examples
    --------
    >>> record = pd.DataFrame({"failure_mode": ["leak", "leak", "crash"]})
    >>> told = occurrence(record, 30.0, modes=["fire"])
    >>> told.loc["fire", ["faults", "occurrence", "occurrence_lo", "occurrence_hi"]].tolist()
    [0.0, 7.0, 2.0, 9.0]
    """
    if not np.isfinite(days) or not days > 0:
        raise ContractError(column="days", expected="service-days above 0", got=days)
    tail = (1 - require_share(confidence)) / 2
    seen = incidents["failure_mode"].value_counts()
    names = pd.Index(sorted({*seen.index, *modes}), name="failure_mode")
    count = seen.reindex(names, fill_value=0)
    posterior = stats.gamma(count.to_numpy() + 0.5, scale=1 / days)
    low = np.where(count > 0, posterior.ppf(tail), 0.0)  # nothing seen excludes nothing on that side
    rates = {"rate": posterior.mean(), "rate_lo": low, "rate_hi": posterior.ppf(1 - tail)}
    table = pd.DataFrame({"faults": count, "days": float(days), **rates}, index=names)
    for end in ("", "_lo", "_hi"):
        table[f"occurrence{end}"] = rate("occurrence", table[f"rate{end}"])
    return table
