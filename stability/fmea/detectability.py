"""Detection from alarms: how many faults are found, whether that is early enough, and how many are answered in time."""

from __future__ import annotations

__all__ = ["detectability"]

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, exact_interval, require_share
from stability.fmea.incidents import times_of
from stability.fmea.scales import rate

LATEST = 0.9  # quantile of the time to find that is shown
_UNKNOWN, _NOTHING = Estimate(math.nan, 0.0, 1.0), Estimate(*[math.nan] * 3)


def detectability(
    incidents: pd.DataFrame,
    found_at: pd.Series,
    *,
    modes: Iterable[str] = (),
    answered: pd.Series | None = None,
    tolerable: float | None = None,
    confidence: float = 0.9,
) -> pd.DataFrame:
    """Rate how surely each mode is found in time.

    Caught = recall x margin x answered. What is found before users are hurt counts in full, what is found later in
    part: as much as the time from cause to impact is of the time to find. The margin is the mean of that over the found
    ones.

    Parameters
    ----------
    incidents : DataFrame
        From `incidents_of`.
    found_at : Series of datetime, index incident
        First alarm of each; NaT = none. From `first_alarms`, or the record's own `detected_at`.
    modes : iterable of str
        Further modes; nothing is known of them.
    answered : Series of bool, index incident, optional
        Whether users were well again within the time that was agreed on; missing where unknown. It counts among the
        found ones: a fault that nobody found is missed once, not twice. Without it the rating is of finding alone.
    tolerable : float, optional
        s from cause to impact where no impact was recorded. Without it, a fault that nobody felt allowed at least as
        long as its cause lasted.
    confidence : float in (0, 1)
        Of each factor's interval. Recall and margin are bounded together, as one share of all faults; the product of
        its lower bound and that of the answered ones is a bound of the product, and a careful one.

    Returns
    -------
    DataFrame, index failure_mode
        `incidents`, `found` (counts), `find_seconds` (the p90 of the time to find), `impact_seconds` (median);
        `recall`, `margin`, `answered`, `caught` and `detection`, with `_lo` and `_hi` each. A high `caught` is a low
        `detection`. Without incidents all is NaN.

    Raises
    ------
    ContractError
        For incidents of which `found_at` says nothing.

    Notes
    -----
    Intervals are exact (`exact_interval`), also of one fault of one; parts of faults count as fractions: a mean
    of parts between 0 and 1 varies at most as much as a share of that size, so that its bounds are rather too wide. A
    quantile of the times to find would be the other way: of a handful of faults a bootstrap knows nothing of the late
    ones; its lower bound holds half as often as it says.
    """
    require_share(confidence)
    took = (times_of(incidents, found_at) - incidents["start"]).dt.total_seconds()
    lasted = (incidents["cause_end"].fillna(incidents["end"]) - incidents["start"]).dt.total_seconds()
    allowed = (incidents["impact_start"] - incidents["start"]).dt.total_seconds()
    allowed = allowed.fillna(lasted if tolerable is None else tolerable)
    rows = {}
    for mode in ["", *sorted({*incidents["failure_mode"], *modes})]:  # the first one gives an empty record its columns
        own = incidents.index[incidents["failure_mode"] == mode]
        answers = None if answered is None else answered.reindex(own)
        rows[mode] = _row(took[own].to_numpy(), allowed[own].to_numpy(), answers, confidence)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("failure_mode").drop("")
    for end, bound in (("", ""), ("_lo", "_hi"), ("_hi", "_lo")):
        table[f"detection{end}"] = rate("detection", table[f"caught{bound}"])
    return table


def _row(took: np.ndarray, allowed: np.ndarray, answers: pd.Series | None, confidence: float) -> dict:
    found = ~np.isnan(took)
    many, hits = len(took), int(found.sum())
    fits = float(_fits(took[found], allowed[found]).sum())
    factors = dict.fromkeys(("recall", "margin", "answered", "caught"), _NOTHING)
    if many:
        in_time = exact_interval(fits, many, confidence)
        factors["recall"] = exact_interval(hits, many, confidence)
        factors["margin"] = exact_interval(fits, hits, confidence) if hits else _UNKNOWN
        factors["caught"] = in_time
        if answers is not None:
            told = answers[found].dropna().astype(bool)
            factors["answered"] = exact_interval(int(told.sum()), len(told), confidence) if len(told) else _UNKNOWN
            both = zip(in_time, factors["answered"], strict=True)
            # what is not found in time is not caught, whatever the answer would be
            factors["caught"] = Estimate(*(one * other if one else 0.0 for one, other in both))
    row = {"incidents": many, "found": hits}
    row["find_seconds"] = float(np.quantile(took[found], LATEST)) if hits else math.nan
    row["impact_seconds"] = float(np.median(allowed)) if many else math.nan
    for name, (value, lo, hi) in factors.items():
        row |= {name: value, f"{name}_lo": lo, f"{name}_hi": hi}
    return row


def _fits(took: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """How much of each time to find had passed before the impact: 1 for what was found before."""
    return np.where(took <= allowed, 1.0, np.clip(allowed, 0.0, None) / np.where(took > 0, took, 1.0))
