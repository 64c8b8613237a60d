"""Detection from alarms: how many faults are found, whether that is early enough, and how many are answered in time."""

from __future__ import annotations

__all__ = ["detectability"]

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, require_share, wilson_interval
from stability.evaluation.resampling import generator
from stability.fmea.scales import rate
from stability.schema import ContractError

LATEST = 0.9  # quantile of the time to find that has to fit into the time to impact
_UNKNOWN = Estimate(math.nan, 0.0, 1.0)


def detectability(
    incidents: pd.DataFrame,
    found_at: pd.Series,
    *,
    modes: Iterable[str] = (),
    answered: pd.Series | None = None,
    tolerable: float | None = None,
    confidence: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rate how surely each mode is found in time.

    Caught = recall x margin x answered. The margin is the median time from cause to impact over the time within which
    nine in ten of the found ones are found, at most 1: what is found after users were hurt counts in part.

    Parameters
    ----------
    incidents : DataFrame
        From `incidents_of`.
    found_at : Series of datetime, index incident
        First alarm of each; NaT = none. From `first_alarms`, or the record's own `detected_at`.
    modes : iterable of str
        Further modes; nothing is known of them.
    answered : Series of bool, index incident, optional
        Whether users were well again within the time that was agreed on; missing where unknown. Without it the rating
        is of finding alone.
    tolerable : float, optional
        s from cause to impact where no impact was recorded. Without it, a fault that nobody felt allowed at least as
        long as its cause lasted.
    confidence : float in (0, 1)
        Of each factor's interval. The product of lower bounds is a bound of the product, and a careful one.
    resamples, seed
        Of the bootstrap over faults that bounds the margin; with fewer than two found it may be anything.

    Returns
    -------
    DataFrame, index failure_mode
        `incidents`, `found` (counts), `recall` (Wilson), `find_seconds` (the p90 of the time to find),
        `impact_seconds` (median), `margin`, `answered` (Wilson), `caught` and `detection`, with `_lo` and `_hi` each.
        A high `caught` is a low `detection`. Without incidents all is NaN.

    Raises
    ------
    ContractError
        For incidents of which `found_at` says nothing.
    """
    require_share(confidence)
    if missing := list(incidents.index.difference(found_at.index)):
        raise ContractError("found_at", expected="a moment, or NaT, for each incident", got=f"none for {missing[0]}")
    took = (found_at.reindex(incidents.index) - incidents["start"]).dt.total_seconds()
    lasted = (incidents["cause_end"].fillna(incidents["end"]) - incidents["start"]).dt.total_seconds()
    allowed = (incidents["impact_start"] - incidents["start"]).dt.total_seconds()
    allowed = allowed.fillna(lasted if tolerable is None else tolerable)
    random, rows = generator(seed), {}
    for mode in ["", *sorted({*incidents["failure_mode"], *modes})]:  # the first one gives an empty record its columns
        own = incidents.index[incidents["failure_mode"] == mode]
        told = None if answered is None else answered.reindex(own).dropna().astype(bool)
        rows[mode] = _row(took[own].to_numpy(), allowed[own].to_numpy(), told, random, resamples, confidence)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("failure_mode").drop("")
    for end, bound in (("", ""), ("_lo", "_hi"), ("_hi", "_lo")):
        table[f"detection{end}"] = rate("detection", table[f"caught{bound}"])
    return table


def _row(took: np.ndarray, allowed: np.ndarray, answered, random, resamples: int, confidence: float) -> dict:
    found = ~np.isnan(took)
    row = {"incidents": len(took), "found": int(found.sum())}
    if not len(took):
        nothing = Estimate(math.nan, math.nan, math.nan)
        factors = dict.fromkeys(("recall", "margin", "answered", "caught"), nothing)
        row |= {"find_seconds": math.nan, "impact_seconds": math.nan}
    else:
        recall = wilson_interval(row["found"], len(took), confidence)
        margin = _margin(took[found], allowed[found], random, resamples, confidence)
        factors = {"recall": recall, "margin": margin}
        if answered is not None:
            known = len(answered)
            factors["answered"] = wilson_interval(answered.sum(), known, confidence) if known else _UNKNOWN
        ends = [math.prod(one[end] for one in factors.values()) for end in range(3)]
        if not found.any():
            ends[0] = 0.0  # nothing found is nothing caught, whatever its margin would be
        factors = {**factors, "answered": factors.get("answered", Estimate(*[math.nan] * 3)), "caught": Estimate(*ends)}
        row["find_seconds"] = float(np.quantile(took[found], LATEST)) if found.any() else math.nan
        row["impact_seconds"] = float(np.median(allowed))
    for name, (value, lo, hi) in factors.items():
        row |= {name: value, f"{name}_lo": lo, f"{name}_hi": hi}
    return row


def _margin(took: np.ndarray, allowed: np.ndarray, random, resamples: int, confidence: float) -> Estimate:
    """How much of the time to find fits into the time to impact."""
    if not len(took):
        return _UNKNOWN
    value = float(_fits(took[None], allowed[None])[0])
    if len(took) < 2:
        return Estimate(value, 0.0, 1.0)
    drawn = random.integers(0, len(took), (resamples, len(took)))
    tail = (1 - confidence) / 2
    lo, hi = np.quantile(_fits(took[drawn], allowed[drawn]), [tail, 1 - tail])
    return Estimate(value, min(float(lo), value), max(float(hi), value))


def _fits(took: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    late, early = np.quantile(took, LATEST, axis=1), np.median(allowed, axis=1)
    return np.where(late <= early, 1.0, early / np.where(late > 0, late, 1.0))
