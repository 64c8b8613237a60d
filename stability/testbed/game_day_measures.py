"""What a slot of a game day says: when it was noticed and understood, what was done, and what users felt of it all."""

from __future__ import annotations

__all__ = ["COLUMNS", "HELPS", "MEASURES", "REMEDIES", "episodes", "measured", "needed"]

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from stability.schema import ContractError
from stability.testbed.modes import FAILURE_MODES
from stability.testbed.service_level import HELD

_RESTART = frozenset({"restart"})
REMEDIES: Mapping[str, frozenset[str]] = MappingProxyType(
    dict.fromkeys(FAILURE_MODES, _RESTART)
    | {
        "disk_full": frozenset({"clean_disk"}),
        "bad_configuration": frozenset({"roll_back_configuration", "restore"}),
        "bad_model_version": frozenset({"roll_back_model", "restore"}),
        "stale_features": frozenset({"restore"}),
        "replica_crash": frozenset(),
        "network_loss": frozenset(),
    }
)
"""Failure mode to what ends it on the testbed, done to its entity: `tests/test_testbed_repairs.py` tries it."""

HELPS = frozenset({"fail_over"})  # ends nothing, and spares users whatever befalls the entity
COLUMNS = {
    "slots": (
        *("round", "place", "trial", "arm", "mode", "entity", "kind"),
        *("seconds", "began", "cause_start", "cause_end"),
    ),
    "seconds": ("round", "place", "second", "failed", "slow", "wrong", "bad"),
    "notes": ("round", "place", "second", "what", "entity", "failure_mode", "verb", "rank", "text"),
}
MEASURES = [
    *("round", "place", "trial", "arm", "mode", "entity", "kind", "seconds", "impact_s", "recovery_s", "censored"),
    *("failed", "slow", "wrong", "detected_s", "ahead_s", "actions", "unneeded", "repaired_s", "rank", "answer"),
    *("verdict", "verified", "false_verified"),
]


def episodes(bad: np.ndarray, begin: float = 0.0) -> list[tuple[int, int, bool]]:
    """Find the spans in which users were not served as promised.

    Parameters
    ----------
    bad : array of bool, shape (seconds,)
        Whether each second was bad.
    begin : float
        Seconds before it count for nothing; a second counts to what happens in any part of it.

    Returns
    -------
    list of (start, end, censored)
        In s. A span begins with two bad seconds in a row, since a single one may be chance; it ends where no second is
        bad for 5 s, or with the record: then it is censored.

    Examples
    --------
    >>> episodes(np.array([0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1], dtype=bool))
    [(1, 5, False), (10, 12, True)]
    """
    bad = np.asarray(bad, dtype=bool)
    found, at, count = [], int(begin), len(bad)
    while at < count - 1:
        if not (bad[at] and bad[at + 1]):
            at += 1
            continue
        later = np.flatnonzero(bad[at:]) + at
        gaps = np.diff(np.append(later, count + HELD))  # beyond the record nothing is known
        last = int(later[np.argmax(gaps > HELD)])
        known = last + HELD < count
        end = last + 1 if known else count
        found.append((at, end, not known))
        at = end
    return found


def needed(action: Mapping, slot: Mapping) -> bool:
    """Tell whether an action was the right one, at the right entity, while the fault was there.

    Parameters
    ----------
    action : mapping
        second, entity, verb.
    slot : mapping
        mode, entity, kind, cause_start, and cause_end (NaN: nothing repaired it in its slot).

    Examples
    --------
    >>> slot = {"mode": "memory_leak", "entity": "model-a", "kind": "known", "cause_start": 20.0, "cause_end": 40.0}
    >>> [needed({"second": s, "entity": e, "verb": "restart"}, slot) for s, e in
    ...  ((30.0, "model-a"), (10.0, "model-a"), (50.0, "model-a"), (30.0, "model-b"))]
    [True, False, False, False]
    """
    if slot["kind"] == "look-alike" or action["entity"] != slot["entity"]:
        return False
    there = slot["cause_start"] <= action["second"] and not action["second"] > slot["cause_end"]
    return there and action["verb"] in (REMEDIES[slot["mode"]] | HELPS)


def measured(slots: pd.DataFrame, seconds: pd.DataFrame, notes: pd.DataFrame) -> pd.DataFrame:
    """Measure every slot.

    Parameters
    ----------
    slots, seconds, notes : DataFrame
        As `game_day.played` gives them; of any number of rounds.

    Returns
    -------
    DataFrame, one row a slot
        The slot's round, place, trial, arm, mode, entity, kind, seconds (its length, s), and

        `impact_s` : s in which users were not served as promised, from the begin of the cause to the end of the slot;
        a fault that outlasts its slot is counted up to there.
        `recovery_s` : s from the first impact to the last recovery of the slot; NaN where nobody felt it.
        `censored` : whether users were still hurt at its end, or had not yet been well for 5 s.
        `failed`, `slow`, `wrong` : requests, in the same time.
        `detected_s`, `ahead_s` : s from the begin of the cause to the first alarm, and from it to the first impact.
        `rank` : of the true cause in the diagnosis that was acted upon, or the last one; NaN where it is not in it.
        `answer` : the first failure mode of that diagnosis.
        `actions`, `unneeded` : how many; `needed` says what is none.
        `repaired_s` : s from the begin of the cause to its end by a repair; NaN without.
        `verdict` : the last one; None without.
        `verified`, `false_verified` : how many verdicts said so, and how many of them although users were hurt then or
        later in the slot, or although the repair in question was not needed.

    Raises
    ------
    ContractError
        When a table lacks a column.
    """
    for name, table in (("slots", slots), ("seconds", seconds), ("notes", notes)):
        if lacking := [column for column in COLUMNS[name] if column not in table]:
            raise ContractError(file=name, column=lacking[0], expected="a column of a game day", got="none")
    key = ["round", "place"]
    by_second, by_note = dict(iter(seconds.groupby(key))), dict(iter(notes.groupby(key)))
    rows = []
    for slot in slots.to_dict("records"):
        at = slot["round"], slot["place"]
        if at not in by_second:
            raise ContractError(file="seconds", expected=f"seconds of slot {at[1]} in round {at[0]}", got="none")
        rows.append(_slot(slot, by_second[at].sort_values("second"), by_note.get(at, notes.iloc[:0])))
    return pd.DataFrame(rows, columns=MEASURES)


def _slot(slot: Mapping, seconds: pd.DataFrame, notes: pd.DataFrame) -> dict:
    begun, first = slot["cause_start"], int(slot["cause_start"])
    spans = episodes(seconds["bad"].to_numpy(), begun)
    after = seconds[seconds["second"] >= first]
    alarms = notes.loc[(notes["what"] == "alarm") & (notes["second"] >= begun), "second"]
    actions = notes[notes["what"] == "action"].sort_values("second")
    right = [needed(action, slot) for action in actions.to_dict("records")]
    named = {name: slot[name] for name in ("round", "place", "trial", "arm", "mode", "entity", "kind", "seconds")}
    impact = spans[0][0] if spans else np.nan
    detected = alarms.min() if len(alarms) else np.nan
    return (
        named
        | {
            "impact_s": float(sum(end - max(start, begun) for start, end, _ in spans)),
            "recovery_s": float(spans[-1][1] - max(impact, begun)) if spans else np.nan,
            "censored": bool(spans and spans[-1][2]),
            **{name: int(after[name].sum()) for name in ("failed", "slow", "wrong")},
            "detected_s": detected - begun,
            "ahead_s": impact - detected,
            "actions": len(actions),
            "unneeded": len(right) - sum(right),
            "repaired_s": slot["cause_end"] - begun,
        }
        | _diagnosis(slot, notes, actions)
        | _verdicts(spans, notes, actions, right)
    )


def _diagnosis(slot: Mapping, notes: pd.DataFrame, actions: pd.DataFrame) -> dict:
    """The diagnosis that was acted upon; without an action the last one since the cause began."""
    causes = notes[(notes["what"] == "cause") & (notes["second"] >= slot["cause_start"])]
    acted = actions.loc[actions["second"] >= slot["cause_start"], "second"]
    before = causes[causes["second"] <= acted.min()] if len(acted) else causes
    if before.empty:
        return {"rank": np.nan, "answer": None}
    last = before[before["second"] == before["second"].max()].sort_values("rank")
    true = last[(last["entity"] == slot["entity"]) & (last["failure_mode"] == slot["mode"])]
    return {"rank": float(true["rank"].min()) if len(true) else np.nan, "answer": last["failure_mode"].iloc[0]}


def _verdicts(spans: list, notes: pd.DataFrame, actions: pd.DataFrame, right: list[bool]) -> dict:
    verdicts = notes[notes["what"] == "verdict"].sort_values("second")
    verified = verdicts[verdicts["verb"] == "verified"]
    false = 0
    for verdict in verified.itertuples():
        own = (actions["entity"] == verdict.entity) & (actions["second"] <= verdict.second)
        about = [fine for fine, mine in zip(right, own, strict=True) if mine]
        hurt = any(end > verdict.second for _, end, _ in spans)
        false += bool(hurt or not about or not about[-1])
    last = verdicts["verb"].iloc[-1] if len(verdicts) else None
    return {"verdict": last, "verified": len(verified), "false_verified": false}
