"""Outages: when a thing was down, from fault records that overlap, are open, or began before anybody looked."""

from __future__ import annotations

__all__ = ["down_by_mode", "outages", "share_felt"]

import itertools

import numpy as np
import pandas as pd

from stability.evaluation import Estimate, NotEnoughEvidence, bootstrap_interval, wilson_interval
from stability.evaluation.intervals import wider
from stability.evaluation.pairs import expanded
from stability.evaluation.resampling import ratio_of_sums
from stability.schema import ContractError, validate

COLUMNS = ["entity", "start", "end", "cut", "open", "failure_modes", "faults"]


def outages(faults: pd.DataFrame, begin: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Merge the fault records of each entity into the times at which its users felt at least one of them.

    Parameters
    ----------
    faults : DataFrame
        Of the contract; an outage lasts from `impact_start` to `recovered_at`. Faults without impact are none, and
        neither are those that nobody felt for any time.
    begin, end : Timestamp
        When the entities were looked at.

    Returns
    -------
    DataFrame
        A row an outage, by entity and time: `entity`, `start`, `end` within the time that was looked at, `cut` (it had
        begun before), `open` (it lasts on, or nobody knows its end), `failure_modes` (text, comma-separated, first
        felt first), `faults` (how many records).

    Raises
    ------
    ContractError
        When nothing was looked at.

    Examples
    --------
    >>> hour = lambda h: pd.Timestamp(f"2026-03-01T{h:02}:00Z")
    >>> faults = pd.DataFrame({"fault_id": ["a", "b", "c"], "entity": "web", "failure_mode": ["leak", "crash", "leak"],
    ...     "impact_start": [hour(1), hour(2), hour(7)], "recovered_at": [hour(3), hour(4), pd.NaT]})
    >>> found = outages(validate(faults, "faults"), hour(0), hour(8))
    >>> [(o.start.hour, o.end.hour, o.open, o.failure_modes) for o in found.itertuples()]
    [(1, 4, False, 'leak,crash'), (7, 8, True, 'leak')]
    """
    if not begin < end:
        raise ContractError(column="end", expected=f"a moment after {begin}", got=str(end))
    told = validate(faults, "faults").reset_index()
    felt = told[told["impact_start"].notna() & (told["impact_start"] < end)]
    # what nobody felt for any time is no outage: its length of zero would be the shortest repair of all
    felt = felt[
        felt["recovered_at"].isna() | ((felt["recovered_at"] > begin) & (felt["recovered_at"] > felt["impact_start"]))
    ]
    made = []
    for entity, rows in felt.sort_values(["entity", "impact_start"]).groupby("entity", sort=True):
        current: dict | None = None
        for row in rows.itertuples():
            last = end if pd.isna(row.recovered_at) else min(row.recovered_at, end)
            opened = pd.isna(row.recovered_at) or row.recovered_at > end
            mode = "" if pd.isna(row.failure_mode) else row.failure_mode
            if current is not None and row.impact_start <= current["end"]:
                current["open"] |= opened
                current["end"] = max(current["end"], last)
                current["modes"].append(mode)
            else:
                current = {"entity": entity, "start": max(row.impact_start, begin), "end": last}
                current |= {"cut": row.impact_start < begin, "open": opened, "modes": [mode]}
                made.append(current)
    for one in made:
        one["faults"], one["failure_modes"] = len(one["modes"]), ",".join(dict.fromkeys(filter(None, one["modes"])))
    table = pd.DataFrame([{name: one[name] for name in COLUMNS} for one in made], columns=COLUMNS)
    moments = dict.fromkeys(("start", "end"), "datetime64[us, UTC]")
    return table.astype({"cut": bool, "open": bool, **moments})


def down_by_mode(faults: pd.DataFrame, begin: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Share out the downtime among failure modes, so that the parts add up to the whole.

    Where several faults hurt an entity at once, each of their modes gets an equal part of that time.

    Parameters
    ----------
    faults : DataFrame
        Of the contract.
    begin, end : Timestamp

    Returns
    -------
    DataFrame, index failure_mode
        `seconds` (s of all entities together), `share` of all downtime, `faults`; the largest first. A fault without a
        mode is `unknown`.

    Examples
    --------
    >>> hour = lambda h: pd.Timestamp(f"2026-03-01T{h:02}:00Z")
    >>> faults = pd.DataFrame({"fault_id": ["a", "b"], "entity": "web", "failure_mode": ["leak", "crash"],
    ...     "impact_start": [hour(1), hour(2)], "recovered_at": [hour(3), hour(4)]})
    >>> (down_by_mode(validate(faults, "faults"), hour(0), hour(8))["seconds"] / 3600).to_dict()
    {'leak': 1.5, 'crash': 1.5}
    """
    if not begin < end:
        raise ContractError(column="end", expected=f"a moment after {begin}", got=str(end))
    told = validate(faults, "faults").reset_index()
    felt = told[told["impact_start"].notna()].copy()
    felt["from"] = felt["impact_start"].clip(lower=begin)
    felt["to"] = felt["recovered_at"].fillna(end).clip(upper=end)
    felt = felt[felt["from"] < felt["to"]]
    felt["failure_mode"] = felt["failure_mode"].fillna("unknown")
    seconds = dict.fromkeys(felt["failure_mode"], 0.0)
    for _, rows in felt.groupby("entity"):
        edges = sorted({*rows["from"], *rows["to"]})
        for left, right in itertools.pairwise(edges):
            at = rows[(rows["from"] <= left) & (rows["to"] >= right)]["failure_mode"].unique()
            for mode in at:
                seconds[mode] += (right - left).total_seconds() / len(at)
    table = pd.DataFrame({"seconds": pd.Series(seconds, dtype=float)}).rename_axis("failure_mode")
    table["share"] = table["seconds"] / table["seconds"].sum() if len(table) else table["seconds"]
    table["faults"] = felt.groupby("failure_mode").size().reindex(table.index).astype("int64")
    return table.sort_values("seconds", ascending=False, kind="stable")


def share_felt(parts: pd.DataFrame, whole: pd.DataFrame, *, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """Tell which share of the downtime of parts the whole was down, too: what redundancy did not keep from users.

    Parameters
    ----------
    parts, whole : DataFrame
        From `outages`; those of the parts may overlap, those of the whole may not.
    confidence : float in (0, 1)
    seed : int

    Returns
    -------
    Estimate
        Share of s. Its interval draws outages of the parts again, as wide as Student's t would have it, and is no
        narrower than Wilson's of as many trials as these outages, of unequal length, are worth (Kish): where all of few
        were felt, or none, drawing them again would never give another share.

    Raises
    ------
    NotEnoughEvidence
        With fewer than five outages of the parts.

    References
    ----------
    Kish (1965), Survey Sampling, section 8.2 (the effective number of unequally weighted cases).

    Examples
    --------
    >>> minute = lambda m: pd.Timestamp("2026-03-01", tz="UTC") + pd.Timedelta(minutes=m)
    >>> tens = range(0, 60, 10)
    >>> parts = pd.DataFrame({"start": [minute(m) for m in tens], "end": [minute(m + 4) for m in tens]})
    >>> whole = pd.DataFrame({"start": [minute(3), minute(20)], "end": [minute(12), minute(60)]})
    >>> round(share_felt(parts, whole).value, 3)
    0.792
    """
    begin, end = (parts[name].to_numpy("datetime64[us]").astype(np.int64) for name in ("start", "end"))
    begins, ends = (whole[name].to_numpy("datetime64[us]").astype(np.int64) for name in ("start", "end"))
    common = np.minimum(end[:, None], ends) - np.maximum(begin[:, None], begins)
    both = np.clip(common, 0, None).sum(axis=1) / 1e6
    lasted = (end - begin) / 1e6
    if not lasted.sum() > 0:
        raise NotEnoughEvidence("What is felt of outages needs some; there was none.")
    wide = expanded(confidence, len(lasted))
    drawn = bootstrap_interval(ratio_of_sums, both, lasted, confidence=wide, seed=seed, vectorized=True)
    trials = float(lasted.sum() ** 2 / (lasted**2).sum())
    return wider(drawn, wilson_interval(min(drawn.value, 1.0) * trials, trials, confidence))
