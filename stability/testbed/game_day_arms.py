"""Who meets a fault: nobody, or whoever restarts what alarms; all see the service's own metrics, second by second."""

from __future__ import annotations

__all__ = ["Alarms", "Arm", "Nobody", "Note", "RestartAlways", "Window", "restarter"]

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pandas as pd

from stability.rules import Rule, firings
from stability.schema import ContractError
from stability.testbed import control
from stability.testbed.panel import read_panel

KEPT = pd.Timedelta(minutes=25)  # of the panel: the longest look back that any of the arms takes
AGAIN = pd.Timedelta(seconds=3)  # that is read again: a scrape may have come late
SECOND = pd.Timedelta(seconds=1)
RULES_SEE = pd.Timedelta(seconds=180)  # what is before an evaluation of rules: longer than any of their windows
PAGE = "page"
RESTARTABLE = ("gateway", "model-a", "model-b", "feature-store")  # users are not, and the host is nobody's to restart
COOL_DOWN = 60.0  # s before the same entity is restarted again; monit and autoheal wait for as long as that or longer


@dataclass(frozen=True)
class Note:
    """What an arm saw or did.

    Parameters
    ----------
    at : Timestamp
        When (UTC); the begin of an action.
    what : {'alarm', 'cause', 'decision', 'action', 'verdict'}
        `cause`: one candidate of a diagnosis, with its rank.
    entity, failure_mode : str or None
        Whom it concerns, and which mode is meant.
    verb : str or None
        What was done, as the supervisor calls it; for a verdict, the verdict.
    rank : int
        Of a cause, from 1; 0 elsewhere.
    probability : float
        Of a cause; NaN elsewhere.
    end : Timestamp or NaT
        Of an action.
    alarm_id, text : str
        To which alarm it belongs, and why, in words.
    """

    at: pd.Timestamp
    what: str
    entity: str | None = None
    failure_mode: str | None = None
    verb: str | None = None
    rank: int = 0
    probability: float = float("nan")
    end: pd.Timestamp = pd.NaT
    alarm_id: str = ""
    text: str = ""


class Arm(Protocol):
    """Whoever meets a fault.

    `step(now, panel)` is called at each second with the panel up to it, and gives what was seen and done since; `close`
    ends what is still under way, and gives the rest.
    """

    def step(self, now: pd.Timestamp, panel: pd.DataFrame) -> list[Note]:
        """Look, and act."""

    def close(self) -> list[Note]:
        """End."""


class Nobody:
    """Nobody acts; alarms are noted all the same.

    Parameters
    ----------
    alarms : Alarms
        What alarms.
    """

    def __init__(self, alarms: Alarms) -> None:
        self.alarms = alarms

    def step(self, now: pd.Timestamp, panel: pd.DataFrame) -> list[Note]:
        """Look on."""
        return self.alarms.new(now, panel)

    def close(self) -> list[Note]:
        """Nothing is under way."""
        return []


@dataclass
class Alarms:
    """What alarms: the rules of severity `page`, evaluated at each second as Prometheus does.

    Parameters
    ----------
    rules : sequence of Rule
        Of any severity.
    """

    rules: Sequence[Rule]
    known: set[tuple[str, str, pd.Timestamp]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rules = [rule for rule in self.rules if rule.labels.get("severity") == PAGE]
        if not self.rules:
            raise ContractError(column="rules", expected=f"rules of severity {PAGE}", got="none", remedy="data/rules")

    def firing(self, now: pd.Timestamp, panel: pd.DataFrame) -> pd.DataFrame:
        """Rules that fire now: `rule`, `entity`, `start`, `failure_mode`."""
        stamps = panel.index.get_level_values("timestamp")
        near = panel[(stamps > now - RULES_SEE) & (stamps <= now)]
        if near.empty:
            return pd.DataFrame(columns=["rule", "entity", "start", "failure_mode"])
        found = firings(self.rules, near, step="1s")
        return found.loc[found["end"].isna(), ["rule", "entity", "start", "failure_mode"]]

    def new(self, now: pd.Timestamp, panel: pd.DataFrame) -> list[Note]:
        """Alarms that were not told yet."""
        return self.told(now, self.firing(now, panel))

    def told(self, now: pd.Timestamp, firing: pd.DataFrame) -> list[Note]:
        """Alarms among these that were not told yet, one a rule, entity and begin."""
        notes = []
        for row in firing.itertuples():
            key = row.rule, row.entity, row.start
            if key not in self.known:
                self.known.add(key)
                told = {"entity": row.entity, "failure_mode": row.failure_mode, "text": row.rule}
                notes.append(Note(now, "alarm", alarm_id=f"{row.rule}/{row.entity}/{row.start:%H%M%S}", **told))
        return notes


class RestartAlways:
    """On any alarm, restart the entity that alarms, and then leave it alone for a while: what watchdogs do.

    Parameters
    ----------
    alarms : Alarms
        What alarms.
    restart : callable
        Restarts an entity and comes back when that is done; raises `ContractError` where it is not.
    cool_down : float
        s from the end of a restart for which the same entity is not restarted again.
    """

    def __init__(self, alarms: Alarms, restart: Callable[[str], object], cool_down: float = COOL_DOWN) -> None:
        self.alarms, self.restart = alarms, restart
        self.cool_down = pd.Timedelta(seconds=cool_down)
        self.worker = ThreadPoolExecutor(len(RESTARTABLE), thread_name_prefix="restart")
        self.under_way: dict[str, tuple[pd.Timestamp, str, str, Future]] = {}
        self.last: dict[str, pd.Timestamp] = {}

    def step(self, now: pd.Timestamp, panel: pd.DataFrame) -> list[Note]:
        """Restart what alarms now; an alarm that lasts is met again after the cool-down."""
        firing = self.alarms.firing(now, panel)
        notes = self.alarms.told(now, firing) + self._ended(now)
        for row in firing.sort_values("start").itertuples():
            free = row.entity not in self.under_way and now >= self.last.get(row.entity, now)
            if row.entity in RESTARTABLE and free:
                done = self.worker.submit(self.restart, row.entity)
                self.under_way[row.entity] = (now, row.rule, row.failure_mode, done)
        return notes

    def _ended(self, now: pd.Timestamp, *, wait: bool = False) -> list[Note]:
        notes = []
        for entity, (begun, rule, mode, done) in list(self.under_way.items()):
            if not (wait or done.done()):
                continue
            failed = done.exception()
            text = f"{rule}{f', and it failed: {failed}' if failed else ''}"
            notes.append(Note(begun, "action", entity, mode, "restart", end=now, text=text))
            self.last[entity] = now + self.cool_down
            del self.under_way[entity]
        return notes

    def close(self) -> list[Note]:
        """Wait for what is under way."""
        self.worker.shutdown(wait=True)
        return self._ended(pd.Timestamp.now("UTC").as_unit("us"), wait=True)


class Window:
    """The last minutes of the panel, read from the service's scraper as they come.

    Parameters
    ----------
    url : str
        Of the Prometheus or the collector.
    kept : Timedelta
        How much is kept.
    """

    def __init__(self, url: str, kept: pd.Timedelta = KEPT) -> None:
        self.url, self.kept, self.panel = url, kept, pd.DataFrame()

    def read(self, now: pd.Timestamp) -> pd.DataFrame:
        """Give the panel up to a moment; the last seconds are read again, because a scrape may have come late."""
        now = now.floor("s").as_unit("us")
        last = None if self.panel.empty else self.panel.index.get_level_values("timestamp").max()
        first = now if last is None else min(last - AGAIN, now)
        fresh = read_panel(self.url, first, now)
        if last is not None:
            stamps = self.panel.index.get_level_values("timestamp")
            old = self.panel[(stamps < first) & (stamps > now - self.kept)]
            fresh = pd.concat([old, fresh]).sort_index()
        self.panel = fresh
        return fresh


def restarter(home: Path) -> Callable[[str], object]:
    """Give what restarts an entity of a testbed: through its supervisor, as anybody would."""
    return lambda entity: control.ask(home, f"/processes/{entity}/restart")
