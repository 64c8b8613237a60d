"""What the chain of a game day knows beforehand: signatures of faults at the moments at which rules would alarm."""

from __future__ import annotations

__all__ = ["APART", "CLEAR", "learnt", "moments_of"]

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stability.localization.alarms import alarms_at, quiet_alarms
from stability.localization.cases import cases
from stability.localization.diagnosis import Diagnoser
from stability.localization.pictures import picture, usual_moves
from stability.rules import Rule, firings
from stability.schema import ContractError
from stability.telemetry import rate

CLEAR = 15.0  # s without a rule that fires, after which what alarmed is over
APART = 5.0  # s after which a rule that begins to fire is news
LOOKS = (0.0, 4.0, 10.0)  # s after an alarm at which it is looked into: as long as it lasts, live, too
HARMLESS = (10.0, 20.0)  # s after the begin of a harmless event, whether or not anything alarms
AFTERMATH = 10.0  # s after a fault's end in which what alarms is still its own
QUIET = "30s"  # without anything, before a quiet moment and between two of them
CALM = "5s"  # between two moments that say what is usual
HISTORY = "25min"
STALE = 2.0  # s without a row, after which nothing is recorded
NEIGHBOURS = 1320.0  # s: cases of one piece of a recording are left out together
SERVICE = "users"  # whose alarms they are


def moments_of(fired: pd.DataFrame, apart: float = APART) -> list[pd.Timestamp]:
    """Give the moments at which something new alarms: also while something else still does.

    Parameters
    ----------
    fired : DataFrame
        As `rules.firings` gives it: `start` of each.
    apart : float
        s: what begins within them is the same moment.

    Examples
    --------
    >>> t = pd.Timestamp("2026-01-01", tz="UTC")
    >>> at = [t + pd.Timedelta(seconds=s) for s in (0, 2, 10, 40)]
    >>> [moment.second for moment in moments_of(pd.DataFrame({"start": at}))]
    [0, 10, 40]
    """
    moments: list[pd.Timestamp] = []
    for start in fired["start"].sort_values():
        if not moments or (start - moments[-1]).total_seconds() >= apart:
            moments.append(start)
    return moments


def learnt(tables: Mapping[str, pd.DataFrame], rules: Sequence[Rule]) -> tuple[Diagnoser, pd.DataFrame]:
    """Learn what is usual and how faults look at the moments at which an alarm would be looked into, live.

    Parameters
    ----------
    tables : mapping
        Recordings to learn from, and nothing else: telemetry, faults, benign, topology, and states, logs, feedback.
    rules : sequence of Rule
        Those of severity `page` alarm; the hits of all are evidence.

    Returns
    -------
    Diagnoser
        With its `usual_`; save it.
    DataFrame, indexed by alarm_id
        What it was learnt from: `start` of each look, `entity` and `failure_mode` (missing: there was no fault),
        `group`.

    Raises
    ------
    ContractError
        Where no rule fires in any fault.
    """
    telemetry = tables["telemetry"]
    panel, stamps = rate(telemetry), telemetry.index.get_level_values("timestamp")
    span = stamps.min(), stamps.max()
    fired = firings(list(rules), telemetry, step="1s")
    alarm = fired[fired["severity"] == "page"]
    busy = _busy(tables)
    looks = [(at, s) for at in moments_of(alarm) for s in LOOKS]
    looks += [(at, s) for at in tables["benign"]["start"] for s in HARMLESS]
    looks += [(at, 0.0) for at in quiet_alarms(*span, busy, SERVICE, before=QUIET, every=QUIET)["start"]]
    truth = _truth(looks, tables, span)
    truth = truth[_recorded(truth["start"], stamps)]
    if truth["failure_mode"].dropna().nunique() < 2:
        raise ContractError(column="rules", expected="rules that fire in faults of two modes", got="fewer")
    calm = quiet_alarms(*span, busy, SERVICE, before="15s", every=CALM)["start"]
    usual = usual_moves(panel, calm[_recorded(calm, stamps)])
    who = pd.MultiIndex.from_product([usual.level.index, [""]], names=["entity", "metric"])
    alarms = alarms_at(truth["alarmed"], SERVICE, "rules")
    known = {**tables, "telemetry": panel, "firings": fired}
    until = truth["start"].reindex(alarms.index)
    cut = cases(known, alarms, history=HISTORY, candidates=who, known_until=until)
    pictures = {case.alarm_id: picture(case, usual, alarms.loc[case.alarm_id, "start"]) for case in cut}
    modes = {rule.alert: rule.labels.get("failure_mode", "") for rule in rules}
    return Diagnoser(modes).fit(pictures, truth, usual), truth


def _recorded(moments: pd.Series, stamps: pd.DatetimeIndex) -> np.ndarray:
    """Whether something was recorded just then: there may be hours between two recordings.

    >>> t = pd.date_range("2026-01-01", periods=3, freq="s", tz="UTC")
    >>> _recorded(pd.Series([t[0], t[2] + pd.Timedelta("1h")]), t).tolist()
    [True, False]
    """
    known = stamps.unique().sort_values()
    last = known[np.maximum(known.searchsorted(pd.DatetimeIndex(moments), side="right") - 1, 0)]
    return np.abs((last - pd.DatetimeIndex(moments)).total_seconds()) < STALE


def _busy(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    faults = tables["faults"]
    ended = faults[["recovered_at", "cause_end"]].max(axis=1)
    spans = pd.DataFrame({"start": faults["cause_start"].fillna(faults["impact_start"]), "end": ended})
    return pd.concat([tables["benign"][["start", "end"]], spans], ignore_index=True).dropna()


def _truth(looks: Sequence[tuple[pd.Timestamp, float]], tables: Mapping[str, pd.DataFrame], span) -> pd.DataFrame:
    """What was going on at each look; looks after a fault's last traces say that there is none."""
    faults = tables["faults"].dropna(subset=["cause_start", "failure_mode"])
    rows = []
    for alarmed, wait in looks:
        at = alarmed + pd.Timedelta(seconds=wait)
        if at > span[1]:
            continue
        on = faults[(faults["cause_start"] <= at) & (faults["cause_end"] + pd.Timedelta(seconds=AFTERMATH) >= at)]
        last = on.sort_values("cause_start").iloc[-1] if len(on) else None
        rows.append(
            {
                "alarm_id": f"{alarmed:%m-%d %H:%M:%S.%f}+{wait:g}",
                "alarmed": alarmed,
                "start": at,
                "entity": None if last is None else last["root_entity"],
                "failure_mode": None if last is None else last["failure_mode"],
                "group": int((at - span[0]).total_seconds() // NEIGHBOURS),
            }
        )
    return pd.DataFrame(rows).drop_duplicates("alarm_id").set_index("alarm_id")
