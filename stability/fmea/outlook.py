"""What would change a verdict: how many quiet days, found faults or milder incidents until a rating moves a step."""

from __future__ import annotations

__all__ = ["next_steps", "what_would_change"]

import math

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation.intervals import wilson_interval
from stability.fmea.priority import LEVELS, action_priority
from stability.fmea.scales import band, rate

MOST = 1000  # further faults that are tried; beyond, nothing that somebody could wait for changes the rating
NAMES = {"H": "must be acted on", "M": "should be", "L": "could be"}


def what_would_change(
    rated: pd.DataFrame,
    occurrences: pd.DataFrame | None = None,
    detections: pd.DataFrame | None = None,
    *,
    confidence: float = 0.9,
) -> pd.DataFrame:
    """Say for each rating that evidence supports what further evidence would move it.

    Parameters
    ----------
    rated : DataFrame
        From `confront`.
    occurrences, detections : DataFrame, optional
        From `occurrence` and `detectability`, of the same record.
    confidence : float
        As there.

    Returns
    -------
    DataFrame, index failure_mode
        `quiet_days` (without a fault of the mode, until occurrence falls below the rating that stands), `more_faults`
        (at once, until it rises), `found` and `missed` (further faults in a row that are found, in time as before, or
        not, until detection falls, or rises); NaN where nothing within reach does. `said`: a sentence.
    """
    rows = {}
    for mode, row in rated.iterrows():
        made = dict.fromkeys(("quiet_days", "more_faults", "found", "missed"), math.nan)
        if occurrences is not None and mode in occurrences.index and not math.isnan(row["occurrence"]):
            seen = occurrences.loc[mode]
            made["quiet_days"], made["more_faults"] = _rate_moves(
                int(seen["faults"]), float(seen["days"]), int(row["occurrence"]), confidence
            )
        if detections is not None and mode in detections.index and detections.loc[mode, "incidents"]:
            made["found"], made["missed"] = _share_moves(detections.loc[mode], int(row["detection"]), confidence)
        rows[mode] = made | {"said": _said(made)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("failure_mode")


def _rate_moves(count: int, days: float, rating: int, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    below = band("occurrence", rating)[0]
    needed = float(stats.gamma.ppf(1 - tail, count + 0.5)) / below if below else math.nan
    quiet = max(0.0, needed - days) if not math.isnan(needed) else math.nan
    beyond = band("occurrence", rating)[1]
    more = np.arange(MOST + 1)
    risen = stats.gamma.ppf(tail, count + more + 0.5) / days >= beyond
    return quiet, float(more[risen][0]) if risen.any() and math.isfinite(beyond) else math.nan


def _share_moves(seen: pd.Series, rating: int, confidence: float) -> tuple[float, float]:
    """Rerun the bound with more faults found, or missed, the other factors as they are."""
    count, found = int(seen["incidents"]), int(seen["found"])
    others = {end: _others(seen, end) for end in ("_lo", "_hi")}
    fallen = risen = math.nan
    for more in range(1, MOST + 1):
        if math.isnan(fallen):
            lo = wilson_interval(found + more, count + more, confidence).lo * others["_lo"]
            fallen = more if rate("detection", lo) < rating else math.nan
        if math.isnan(risen):
            hi = wilson_interval(found, count + more, confidence).hi * others["_hi"]
            risen = more if rate("detection", hi) > rating else math.nan
    return float(fallen), float(risen)


def _others(seen: pd.Series, end: str) -> float:
    answered = seen[f"answered{end}"]
    return float(seen[f"margin{end}"]) * (1.0 if math.isnan(answered) else float(answered))


def _said(made: dict[str, float]) -> str:
    parts = []
    if not math.isnan(made["quiet_days"]):
        parts.append(f"O falls after {math.ceil(made['quiet_days']):,} more service-days without one")
    if not math.isnan(made["more_faults"]):
        parts.append(f"O rises with {made['more_faults']:.0f} more in the same time")
    if not math.isnan(made["found"]):
        parts.append(f"D falls when the next {made['found']:.0f} are found as early as these")
    if not math.isnan(made["missed"]):
        parts.append(f"D rises when the next {made['missed']:.0f} are missed")
    return "; ".join(parts) or "nothing within reach of a record changes it"


def next_steps(rated: pd.DataFrame, detections: pd.DataFrame | None = None) -> pd.DataFrame:
    """Ask of each mode with a priority above L what the least change is that lowers it, and what that needs.

    Severity is not lowered by controls, so a step is a better detection (a new or earlier rule) or a rarer fault (a
    repair of its cause). The cheaper one, in ratings, comes first; where both cost the same, the detection.

    Parameters
    ----------
    rated : DataFrame
        From `confront`.
    detections : DataFrame, optional
        From `detectability`: what is caught now stands beside what is needed.

    Returns
    -------
    DataFrame, in the order of `rated`
        One row a mode: `failure_mode`, `action_priority`, `becomes`, `change` ('detection' or 'occurrence'), `rating`,
        `needed` (ratings), `alone` (False where neither alone lowers it: then both ratings are the ones needed
        together, `detection 4, occurrence 5`), `said`.
    """
    rows = []
    for mode, row in rated[rated["action_priority"].isin(["H", "M"])].iterrows():
        severity, occurrence, detection = (int(row[name]) for name in ("severity", "occurrence", "detection"))
        now = LEVELS.index(row["action_priority"])
        grid = action_priority(severity, np.arange(1, occurrence + 1)[:, None], np.arange(1, detection + 1)[None])
        lower = np.vectorize(LEVELS.index)(grid) < now
        rarer, found = lower[:, detection - 1], lower[occurrence - 1]
        options = []
        if found.any():
            options.append((detection - 1 - int(np.flatnonzero(found)[-1]), 0, "detection"))
        if rarer.any():
            options.append((occurrence - 1 - int(np.flatnonzero(rarer)[-1]), 1, "occurrence"))
        if options:
            steps, _, change = min(options)
            rating = {"detection": detection, "occurrence": occurrence}[change]
            place = (occurrence - 1, detection - 1 - steps) if change == "detection" else (
                occurrence - 1 - steps, detection - 1
            )  # fmt: skip
        elif lower.any():
            o, d = min(np.argwhere(lower), key=lambda cell: (occurrence - 1 - cell[0]) + (detection - 1 - cell[1]))
            change, steps, rating, place = "both", math.nan, math.nan, (int(o), int(d))
        else:
            continue  # nothing that can be controlled lowers it
        rows.append(_step(mode, row, change, rating, place, str(grid[place]), detections))
    columns = ["failure_mode", "action_priority", "becomes", "change", "occurrence", "detection", "said"]
    return pd.DataFrame(rows, columns=columns)


def _step(mode, row, change, rating, place, becomes, detections) -> dict:
    occurrence, detection = place[0] + 1, place[1] + 1
    parts = []
    if change in ("detection", "both"):
        needed = band("detection", detection)[0]
        has = math.nan if detections is None or mode not in detections.index else detections.loc[mode, "caught_lo"]
        now = "" if math.isnan(has) else f", now surely {has:.0%}"
        share = "none may escape" if math.isinf(needed) else f"catch {needed:.0%} in time{now}"
        parts.append(f"{share} (D {row['detection']:.0f} to {detection})")
    if change in ("occurrence", "both"):
        most = band("occurrence", occurrence)[1]
        rarer = "make it impossible" if most == 0 else f"at most one in {1 / most:,.0f} service-days"
        parts.append(f"{rarer} (O {row['occurrence']:.0f} to {occurrence})")
    return {
        "failure_mode": mode, "action_priority": row["action_priority"], "becomes": becomes, "change": change,
        "occurrence": occurrence, "detection": detection,
        "said": f"{mode}: " + " and ".join(parts) + f" makes {row['action_priority']} {becomes}",
    }  # fmt: skip
