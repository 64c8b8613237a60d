"""What would change a verdict: how many quiet days, found faults or milder incidents until a rating moves a step."""

from __future__ import annotations

__all__ = ["next_steps", "what_would_change"]

import math

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation.intervals import exact_interval
from stability.fmea.priority import LEVELS, action_priority
from stability.fmea.scales import band, rate

MOST = 1000  # further faults that are tried; beyond, nothing that somebody could wait for changes the rating


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
    columns = ["quiet_days", "more_faults", "found", "missed", "said"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("failure_mode")


def _rate_moves(count: int, days: float, rating: int, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    below = band("occurrence", rating)[0]
    needed = float(stats.gamma.ppf(1 - tail, count + 0.5)) / below if below else math.nan
    quiet = max(0.0, needed - days) if not math.isnan(needed) else math.nan
    beyond = band("occurrence", rating)[1]
    more = np.arange(0 if count else 1, MOST + 1)  # nothing seen excludes nothing below, as in `occurrence`
    risen = stats.gamma.ppf(tail, count + more + 0.5) / days >= beyond
    return quiet, float(more[risen][0]) if risen.any() and math.isfinite(beyond) else math.nan


def _share_moves(seen: pd.Series, rating: int, confidence: float) -> tuple[float, float]:
    """Rerun the bound with more faults found, or missed, the share of those that are answered as it is."""
    count, found, margin = int(seen["incidents"]), int(seen["found"]), float(seen["margin"])
    in_time = found * margin if found else 0.0
    lo, hi = (1.0 if math.isnan(seen[f"answered{end}"]) else float(seen[f"answered{end}"]) for end in ("_lo", "_hi"))
    fallen = risen = math.nan
    for more in range(1, MOST + 1):
        if math.isnan(fallen) and found:  # without any that was found nobody knows how early the next ones will be
            least = exact_interval(in_time + more * margin, count + more, confidence).lo * lo
            fallen = more if rate("detection", least) < rating else math.nan
        if math.isnan(risen):
            most = exact_interval(in_time, count + more, confidence).hi * hi
            risen = more if rate("detection", most) > rating else math.nan
    return float(fallen), float(risen)


def _said(made: dict[str, float]) -> str:
    parts = []
    if not math.isnan(made["quiet_days"]):
        parts.append(f"O falls after {math.ceil(made['quiet_days']):,} more service-days without one")
    if not math.isnan(made["more_faults"]):
        parts.append(f"O rises with {made['more_faults']:.0f} more in the same time")
    if not math.isnan(made["found"]):
        parts.append(f"D falls when {_next(made['found'])} found as early as these")
    if not math.isnan(made["missed"]):
        parts.append(f"D rises when {_next(made['missed'])} missed")
    return "; ".join(parts) or "nothing within reach of a record changes it"


def _next(many: float) -> str:
    return "the next one is" if many == 1 else f"the next {many:.0f} are"


def next_steps(rated: pd.DataFrame, detections: pd.DataFrame | None = None) -> pd.DataFrame:
    """Ask of each mode with a priority above L what the least change is that lowers it, and what that needs.

    Controls do not lower severity, so a step is a better detection (a new or earlier rule), a rarer fault (a repair of
    its cause), or both. The fewest ratings win; of equal ones that with the least change of occurrence.

    Parameters
    ----------
    rated : DataFrame
        From `confront`.
    detections : DataFrame, optional
        From `detectability`: what is surely caught now stands beside what is needed.

    Returns
    -------
    DataFrame, in the order of `rated`
        One row a mode: `failure_mode`, `action_priority`, `becomes`, `occurrence` and `detection` (the ratings that it
        needs), `said` (a sentence). A rating of 1 (eliminated by design) is asked for only where nothing else helps.

    Examples
    --------
    >>> row = {"severity": [8], "occurrence": [6], "detection": [7], "action_priority": ["H"]}
    >>> print(next_steps(pd.DataFrame(row, index=["leak"]))["said"].item())
    leak: at most one in 500 service-days (O 6 to 5) and catch 50% in time (D 7 to 6) makes H M
    """
    rows = []
    for mode, row in rated[rated["action_priority"].isin(["H", "M"])].iterrows():
        now, severity = LEVELS.index(row["action_priority"]), int(row["severity"])
        occurrence, detection = int(row["occurrence"]), int(row["detection"])
        rarer, found = np.meshgrid(np.arange(1, occurrence + 1), np.arange(1, detection + 1), indexing="ij")
        level = np.vectorize(LEVELS.index)(action_priority(severity, rarer, found))
        hard = ((rarer == 1) & (occurrence > 1)) | ((found == 1) & (detection > 1))
        steps = occurrence - rarer + detection - found
        cost = np.where(level < now, steps + 100 * hard + 0.01 * (occurrence - rarer), np.inf)  # the last to break ties
        if not np.isfinite(cost).any():
            continue  # nothing that can be controlled lowers it
        place = np.unravel_index(np.argmin(cost), cost.shape)
        needed, becomes = (int(rarer[place]), int(found[place])), LEVELS[level[place]]
        has = math.nan if detections is None or mode not in detections.index else detections.loc[mode, "caught_lo"]
        said = f"{mode}: {_needs(occurrence, detection, *needed, has)} makes {row['action_priority']} {becomes}"
        rows.append((mode, row["action_priority"], becomes, *needed, said))
    columns = ["failure_mode", "action_priority", "becomes", "occurrence", "detection", "said"]
    return pd.DataFrame(rows, columns=columns)


def _needs(occurrence: int, detection: int, rarer: int, found: int, has: float) -> str:
    parts = []
    if rarer < occurrence:
        most = band("occurrence", rarer)[1]
        said = f"at most one in {1 / most:,.0f} service-days" if most else "make it impossible"
        parts.append(f"{said} (O {occurrence} to {rarer})")
    if found < detection:
        least, now = band("detection", found)[0], "" if math.isnan(has) else f", now surely {has:.0%}"
        said = "let none escape" if math.isinf(least) else f"catch {least:.0%} in time{now}"
        parts.append(f"{said} (D {detection} to {found})")
    return " and ".join(parts)
