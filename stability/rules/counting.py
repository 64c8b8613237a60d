"""The counts of `score` for many variants of rules at once, without intervals: what a search needs."""

from __future__ import annotations

__all__ = ["NAMELESS", "backtest", "quality", "split_history"]

import numpy as np
import pandas as pd

from stability.evaluation.intervals import poisson_interval, wilson_interval
from stability.rules.causes import causes_of, observed_spans_of
from stability.schema import ContractError

DAY = 86_400e6  # microseconds
NAMELESS = ("service_level_breach", "telemetry_loss")  # modes of rules that do not say what broke


def backtest(
    fired: pd.DataFrame, faults: pd.DataFrame, telemetry: pd.DataFrame, *, late: str | pd.Timedelta = "0s"
) -> pd.DataFrame:
    """Count what each rule finds and how often it fires for nothing.

    Parameters
    ----------
    fired : DataFrame
        From `firings`.
    faults, telemetry, late
        As for `score`.

    Returns
    -------
    DataFrame, index rule
        `recall` and `precision` as in `score` (of any fault where there is none of the rule's mode), `recall_any`,
        `false_per_day`, `firing_share`; `delay`: mean time in s from the cause to the first episode, over the faults
        that are found. Rules that never fire are not in it.

    Raises
    ------
    ContractError
        Without a fault that has a time.
    """
    causes, span = causes_of(faults), observed_spans_of(telemetry)
    begin = _micros(causes["start"])
    finish = _micros(causes["end"] + pd.Timedelta(late))
    entities, modes = causes["entity"].to_numpy(dtype=object), causes["failure_mode"].to_numpy(dtype=object)
    clock = _FreeTime(_micros(span["start"]), _micros(span["end"]), begin, finish)
    starts = _micros(fired["start"])
    ends = _micros(fired["end"].fillna(span["end"].max()))
    names, own_modes = fired["entity"].to_numpy(dtype=object), fired["failure_mode"].to_numpy(dtype=object)
    rows = {}
    for rule, places in fired.groupby("rule", sort=False).indices.items():
        inside = (starts[places, None] >= begin) & (starts[places, None] <= finish)
        own = modes == own_modes[places[0]]
        named = names[places, None]
        right = inside & own & ((named == entities) | (named == "")) if own.any() else inside
        counted = own if own.any() else np.ones(len(own), dtype=bool)
        first = np.where(right, starts[places, None] - begin, np.inf).min(axis=0)[right.any(axis=0)]
        rows[rule] = (
            right.any(axis=0)[counted].mean(),
            right.any(axis=1).mean(),
            inside.any(axis=0).mean(),
            (~inside.any(axis=1)).sum() / (clock.total / DAY),
            clock.within(starts[places], ends[places]) / clock.total,
            first.mean() / 1e6 if len(first) else np.nan,
        )
    columns = ["recall", "precision", "recall_any", "false_per_day", "firing_share", "delay"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("rule")


def quality(
    fired: pd.DataFrame,
    faults: pd.DataFrame,
    telemetry: pd.DataFrame,
    *,
    late: str | pd.Timedelta = "0s",
    shifts: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Judge rules as one: which faults anybody names, how many episodes name the fault that they lie in.

    Parameters
    ----------
    fired, faults, telemetry, late
        As for `score`.
    shifts : int
        How often all episodes are moved together by a random time, around the end to the beginning, for chance.
    confidence : float
        Of Wilson's and Garwood's intervals.
    seed : int

    Returns
    -------
    DataFrame, index measure
        `value`, `lo`, `hi`, `chance` (mean over the shifts). `recall`: share of all faults, of whatever mode, in which
        a rule of that mode starts to fire and names the root entity; `warned`: share of the faults with an impact in
        which one does so before anybody is hurt; `precision`: share of the episodes that lie in a fault of their mode
        at its root, of rules that name a mode; `false_per_day`: episodes in no fault, of all rules together, per day
        without one.

    Raises
    ------
    ContractError
        Without a fault that has a time.
    """
    causes, span = causes_of(faults), observed_spans_of(telemetry)
    begin, finish = _micros(causes["start"]), _micros(causes["end"] + pd.Timedelta(late))
    free = _FreeTime(_micros(span["start"]), _micros(span["end"]), begin, finish).total / DAY
    impact = causes["impact_start"].fillna(causes["start"])
    felt, hurt = causes["impact_start"].notna().to_numpy(), _micros(impact)
    modes, entities = (fired[name].to_numpy(dtype=object)[:, None] for name in ("failure_mode", "entity"))
    same = modes == causes["failure_mode"].to_numpy(dtype=object)
    same &= (entities == causes["entity"].to_numpy(dtype=object)) | (entities == "")
    names = ~fired["failure_mode"].isin(NAMELESS).to_numpy()
    starts, first = _micros(fired["start"]), _micros(span["start"]).min()
    length = _micros(span["end"]).max() - first

    def counts(at: np.ndarray) -> tuple[int, int, int, int]:
        inside = (at[:, None] >= begin) & (at[:, None] <= finish)
        right = inside & same
        early = (right & (at[:, None] < hurt)).any(axis=0) & felt
        return right.any(axis=0).sum(), early.sum(), right[names].any(axis=1).sum(), (~inside.any(axis=1)).sum()

    found, early, true, false = (int(count) for count in counts(starts))
    moves = np.random.default_rng(seed).uniform(0, length, shifts).astype(np.int64)
    drawn = np.mean([counts(first + (starts - first + move) % length) for move in moves], axis=0)
    trials = len(causes), int(felt.sum()), int(names.sum())
    rows = {}
    for measure, count, total, chance in zip(
        ("recall", "warned", "precision"), (found, early, true), trials, drawn[:3], strict=True
    ):
        estimate = wilson_interval(count, total, confidence) if total else (np.nan, np.nan, np.nan)
        rows[measure] = (*estimate, chance / total if total else np.nan)
    rows["false_per_day"] = (*poisson_interval(false, free, confidence), drawn[3] / free)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "lo", "hi", "chance"]).rename_axis("measure")


def split_history(
    telemetry: pd.DataFrame, faults: pd.DataFrame, share: float = 0.5
) -> tuple[tuple[pd.DataFrame, pd.DataFrame], tuple[pd.DataFrame, pd.DataFrame]]:
    """Cut a record in time: what is chosen on the first part is judged on the second.

    Parameters
    ----------
    telemetry, faults : DataFrame
        Of the contract. A fault belongs to the part in which its cause begins.
    share : float in (0, 1)
        Of the time, that the first part has.

    Returns
    -------
    pair of (telemetry, faults)

    Raises
    ------
    ContractError
        If the share leaves a part empty.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", unit="us")
    >>> panel = pd.DataFrame({"up": 1.0}, index=pd.Index(stamps, name="timestamp"))
    >>> faults = pd.DataFrame({"cause_start": stamps[[0, 3]], "impact_start": stamps[[0, 3]]})
    >>> [(len(rows), len(known)) for rows, known in split_history(panel, faults)]
    [(2, 1), (2, 1)]
    """
    stamps = telemetry.index.get_level_values("timestamp")
    if not 0 < share < 1:
        raise ContractError(column="share", expected="between 0 and 1", got=share)
    first, last = stamps.min(), stamps.max()
    cut = first + (last - first) * share
    start = faults["cause_start"].fillna(faults["impact_start"])
    return (telemetry[stamps <= cut], faults[start <= cut]), (telemetry[stamps > cut], faults[start > cut])


class _FreeTime:
    """Observed time without a fault, as a function that rises with it."""

    def __init__(self, seen_start, seen_end, fault_start, fault_end):
        edges = np.unique(np.concatenate([seen_start, seen_end, fault_start, fault_end]))
        middle = (edges[:-1] + edges[1:]) / 2
        seen = ((middle[:, None] > seen_start) & (middle[:, None] < seen_end)).any(axis=1)
        fault = ((middle[:, None] > fault_start) & (middle[:, None] < fault_end)).any(axis=1)
        self.edges = edges
        self.risen = np.concatenate([[0.0], np.cumsum(np.diff(edges) * (seen & ~fault))])
        self.total = self.risen[-1]

    def within(self, starts: np.ndarray, ends: np.ndarray) -> float:
        """Free time in the union of intervals."""
        order = np.argsort(starts, kind="stable")
        starts, reached = starts[order], np.maximum.accumulate(ends[order])
        before = np.concatenate([[np.iinfo(np.int64).min], reached[:-1]])
        spans = np.interp(np.stack([np.maximum(starts, before), reached]), self.edges, self.risen)
        return float(np.clip(spans[1] - spans[0], 0, None).sum())


def _micros(stamps: pd.Series) -> np.ndarray:
    return stamps.dt.as_unit("us").dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
