"""Severity from harm: error budget burnt, users hit, complaints; what is dangerous is set by hand and never lowered."""

from __future__ import annotations

__all__ = ["severity"]

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation.intervals import Estimate, exact_interval, require_share
from stability.fmea.scales import rate

PER = 1000.0  # requests to which complaints are put in relation
SHARES = ("budget", "users")
_UNKNOWN = Estimate(*[math.nan] * 3)


def severity(
    impacts: pd.DataFrame,
    modes: pd.Series,
    *,
    floor: Mapping[str, float] | pd.Series | None = None,
    every: Iterable[str] = (),
    usual_complaints: float = 0.0,
    confidence: float = 0.9,
) -> pd.DataFrame:
    """Rate how much each mode hurts: the worst of the mean share of budget, the mean share of users, and complaints.

    Parameters
    ----------
    impacts : DataFrame, index incident
        From `impacts_of`.
    modes : Series of str, index incident
        Failure mode of each incident.
    floor : mapping, optional
        Mode -> severity below which no evidence brings it: safety and law, by hand.
    every : iterable of str
        Further modes; of them only the floor is known.
    usual_complaints : float
        Per 1,000 requests in quiet times, taken off.
    confidence : float in (0, 1)
        Of the intervals: Student's t for means over incidents; for complaints the Gamma posterior of their rate, which
        is a credible one.

    Returns
    -------
    DataFrame, index failure_mode
        `incidents`, `felt` (counts; one of unknown length was felt), `budget`, `users`, `complaints` (per 1,000
        requests) and `severity`, each with `_lo` and `_hi`, and `floor`. A single incident has an upper bound of
        everything. Where nobody felt any, the upper bound is the exact one of the share that might be felt, at the mean
        harm of all that were. NaN where there was no incident, or where a share is not known of each.

    Notes
    -----
    The worst of several lower bounds is too high as soon as one of them is. So `severity_lo` is of bounds that share
    the doubt between them (Bonferroni), and may be lower than the rating of each `_lo` beside it, which stands alone.
    An upper bound needs no such care: it is too low only where that of the worst one is.

    Examples
    --------
    >>> cost = {"budget": [0.3, 0.2, 0.0], "users": [1.0, 0.9, 0.0], "requests": [9.0, 8.0, 0.0], "seconds": [3, 2, 0]}
    >>> impacts = pd.DataFrame(cost).assign(complaints=np.nan)
    >>> told = severity(impacts, pd.Series(["crash", "crash", "leak"]), floor={"leak": 9})
    >>> told[["felt", "severity_lo", "severity", "severity_hi"]].to_numpy().tolist()
    [[2.0, 6.0, 8.0, 8.0], [0.0, 9.0, 9.0, 9.0]]
    """
    require_share(confidence)
    felt = impacts["seconds"] != 0  # NaN: it began to hurt, and nobody knows how long
    typical = impacts.loc[felt, list(SHARES)].mean().fillna(1.0)
    floors = pd.Series({} if floor is None else dict(floor), dtype="float64")
    rows, surely = {}, {}
    for mode in ["", *sorted({*modes, *every, *floors.index})]:  # the first one gives an empty record its columns
        own = impacts.loc[modes.index[modes == mode]]
        row = {"incidents": len(own), "felt": int(felt[own.index].sum())}
        told = _told(own, row["felt"], typical, usual_complaints, confidence)
        known = sum(not math.isnan(one.value) for one in told.values())
        careful = _told(own, row["felt"], typical, usual_complaints, 1 - (1 - confidence) / max(1, known))
        surely[mode] = {f"{name}_lo": one.lo for name, one in careful.items()}
        for name, (value, lo, hi) in told.items():
            row |= {name: value, f"{name}_lo": lo, f"{name}_hi": hi}
        rows[mode] = row
    table, low = (pd.DataFrame.from_dict(one, orient="index").drop("") for one in (rows, surely))
    table = table.rename_axis("failure_mode")
    table["floor"] = floors.reindex(table.index)
    for end in ("", "_lo", "_hi"):
        ends = low if end == "_lo" else table
        parts = [rate(f"severity_{scale}", ends[f"{column}{end}"]) for scale, column in _SCALES.items()]
        worst = np.fmax.reduce(parts)
        table[f"severity{end}"] = np.where(np.isnan(worst), np.nan, np.fmax(worst, table["floor"]))
    return table


_SCALES = {"budget": "budget", "users": "users", "feedback": "complaints"}


def _told(own: pd.DataFrame, felt: int, typical: pd.Series, usual: float, confidence: float) -> dict[str, Estimate]:
    told = {name: _mean(own[name].to_numpy(), felt, typical[name], confidence) for name in SHARES}
    return told | {"complaints": _complaints(own, usual, confidence)}


def _mean(values: np.ndarray, felt: int, typical: float, confidence: float) -> Estimate:
    count = len(values)
    if not count or np.isnan(values).any():
        return _UNKNOWN
    value = float(values.mean())
    if not felt:
        return Estimate(0.0, 0.0, exact_interval(0, count, confidence).hi * float(typical))
    if count == 1:
        return Estimate(value, 0.0, math.inf)
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return Estimate(value, max(0.0, value - reach), value + reach)


def _complaints(own: pd.DataFrame, usual: float, confidence: float) -> Estimate:
    """Rate per 1,000 requests beyond the usual one; nothing is known where nobody asked or nobody could complain."""
    count, asked = own["complaints"].sum(min_count=1), own["requests"].sum() / PER
    if not asked > 0 or math.isnan(count):
        return _UNKNOWN
    posterior, tail = stats.gamma(count + 0.5, scale=1 / asked), (1 - confidence) / 2
    low = posterior.ppf(tail) if count else 0.0
    return Estimate(*(max(0.0, float(one) - usual) for one in (count / asked, low, posterior.ppf(1 - tail))))
