"""What follows from an alarm: its causes, how much they matter, what is done about it, and a page that tells of it.

Whatever goes wrong here is told and counted, and the watch goes on: an alarm without a cause is still an alarm.
"""

from __future__ import annotations

__all__ = ["Incident", "Incidents"]

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stability.fmea.files import read_worksheet
from stability.fmea.priority import action_priority
from stability.localization import Diagnoser, live_pictures
from stability.monitor.reports import report_name, write_report
from stability.monitor.sentries import Raised
from stability.schema import ContractError, read_table, validate

if TYPE_CHECKING:
    from stability.monitor.chain import Step, Watch
    from stability.monitor.ring import Rows

RANKS = 5  # causes that are told
KEPT = 200  # incidents that are held, to be shown and to go on with
SHOWN = 4  # entities in a report's picture: the alarm's own, and the likeliest


@dataclass
class Incident:
    """An alarm that is looked into.

    Parameters
    ----------
    alarm : dict
        As `Raised`.
    causes : list of dict
        Rows of the contract's `causes`.
    answer : str
        What the localizer says as a whole; "" without one.
    priority : dict
        Of the likeliest mode, from the worksheet: severity, occurrence, detection, action_priority, effect, playbook.
    decision, acted, verdict : dict
        What repair says; empty without it.
    timeline : list of [moment, text]
        What happened, ISO times.
    page : str
        Name of the report's file.
    """

    alarm: dict[str, Any]
    causes: list[dict[str, Any]] = field(default_factory=list)
    answer: str = ""
    priority: dict[str, Any] = field(default_factory=dict)
    decision: dict[str, Any] = field(default_factory=dict)
    acted: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    timeline: list[list[str]] = field(default_factory=list)
    page: str = ""

    def table(self) -> pd.DataFrame:
        """The causes, as the contract's table."""
        return validate(pd.DataFrame(self.causes).set_index(["alarm_id", "rank"]), "causes")

    def happened(self, at: str, text: str) -> None:
        """Add to the timeline, once."""
        if [at, text] not in self.timeline:
            self.timeline.append([at, text])


class Incidents:
    """Alarms that are looked into.

    Parameters
    ----------
    watch : Watch

    Attributes
    ----------
    held : dict of alarm_id to Incident
        The newest ones.
    repair : Repair or None
    """

    def __init__(self, watch: Watch):
        self.watch, self.told = watch, watch.told
        self.held: dict[str, Incident] = {}
        self.localizer: Diagnoser | None = None
        self.worksheet: pd.DataFrame | None = None
        self.repair = None
        self.reload()

    def reload(self) -> None:
        """Read anew what alarms are looked into with."""
        told = self.told
        localizer = Diagnoser.load(told.place(told.localizer)) if told.localizer else None
        if localizer is not None and localizer.usual_ is None:
            remedy = "fit it with usual=usual_moves(...)"
            raise ContractError(
                file=told.localizer, expected="a localizer that knows quiet time", got="none", remedy=remedy
            )
        worksheet = read_worksheet(told.place(told.worksheet)) if told.worksheet else None
        self.localizer, self.worksheet = localizer, worksheet
        if told.repair is not None:
            from stability.monitor.repairs import Repairs

            self.repair = Repairs(self.watch)

    # ---- a step ------------------------------------------------------------------------------------------------------
    def step(self, step: Step, rows: Rows, values: np.ndarray) -> None:
        """Look into the alarms of a step, close those that ended, and go on with repairs."""
        fresh = [one for one in step.alarms if one.end is None and not one.suppressed_by]
        fresh.sort(key=lambda one: (one.severity != "critical", -one.score if np.isfinite(one.score) else 0.0))
        for one in fresh[: self.told.incidents_per_step]:
            self._guarded("incident", lambda one=one: self._look_into(one, step.moment))
        if left := fresh[self.told.incidents_per_step :]:
            text = f"{len(left)} more alarms in this step were not looked into, which is for {len(fresh) - len(left)}"
            self.watch.journal.once(f"left/{step.moment}", step.moment, kind="left", said=text)
        for one in step.alarms:
            if one.end is not None and one.alarm_id in self.held:
                incident = self.held[one.alarm_id]
                incident.alarm |= asdict(one)
                incident.happened(_iso(one.end), f"over; the highest score was {one.score:.3g}")
                self._guarded("report", lambda incident=incident: self._report(incident, step.moment))
        if self.repair is not None:
            self._guarded("repair", lambda: self._observe(step.moment))

    def _guarded(self, what: str, act) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  what an alarm is looked into with must not stop the next alarm
            self.watch.counts["errors"] += 1
            self.watch.note("error", what=what, said=f"{type(error).__name__}: {error}")

    def _look_into(self, alarm: Raised, moment: int) -> None:
        if known := self.watch.journal.kept.get(f"incident/{alarm.alarm_id}"):
            self._remember(known)
            return
        incident = Incident(asdict(alarm), page=report_name(alarm.alarm_id, alarm.start))
        incident.happened(_iso(alarm.start), f"{alarm.detector} on {alarm.entity}: {alarm.reason}")
        self.held[alarm.alarm_id] = incident
        for old in list(self.held)[:-KEPT]:
            self.held.pop(old)
        table = pd.DataFrame()
        if self.localizer is not None:
            table = self._localise(alarm, incident, moment)
        self._prioritise(incident)
        if self.repair is not None and len(table):
            self.repair.decide(incident, table, moment)
        self._report(incident, moment)
        told = asdict(incident) | {"alarm_id": alarm.alarm_id}
        new = self.watch.journal.once(f"incident/{alarm.alarm_id}", moment, kind="incident", **told)
        self.watch.counts["incidents"] += new

    def _remember(self, known: Mapping[str, Any]) -> None:
        """Take an incident that was looked into before a crash as it was: what was decided then has been acted upon."""
        names = [one.name for one in fields(Incident)]
        incident = Incident(**{name: known[name] for name in names})
        verdict = self.watch.journal.kept.get(f"verdict/{incident.acted.get('action_id')}")
        if verdict is not None:
            incident.verdict = {name: verdict[name] for name in ("verdict", "action_id", "at", "checks", "escalated")}
        self.held[incident.alarm["alarm_id"]] = incident

    def _localise(self, alarm: Raised, incident: Incident, moment: int) -> pd.DataFrame:
        row = {"alarm_id": alarm.alarm_id, "entity": alarm.entity, "detector": alarm.detector, "metrics": alarm.metrics}
        start = pd.Timestamp(alarm.start, unit="us", tz="UTC")
        alarms = validate(pd.DataFrame([row | {"start": start}]).set_index("alarm_id"), "alarms")
        ring, step = self.watch.ring, self.told.step_us
        tables = {"telemetry": ring.panel(moment - max(600_000_000, 40 * step))}
        if self.watch.topology is not None:
            tables["topology"] = self.watch.topology
        if self.watch.alerts is not None:
            tables["firings"] = self.watch.alerts.table()
        for name, path in self.told.beside.items():
            if self.told.place(path).is_file():
                tables[name] = read_table(self.told.place(path), name)
        now = pd.Timestamp(moment, unit="us", tz="UTC")
        pictures = live_pictures(tables, alarms, self.localizer.usual_, now=now)
        causes = self.localizer.diagnose(pictures, first=RANKS)
        incident.answer = str(causes.attrs["answers"][alarm.alarm_id])
        incident.causes = causes.reset_index().to_dict("records")
        best = incident.causes[0]
        known = isinstance(best["entity"], str)
        who = f"{best['failure_mode']} of {best['entity']}" if known else "nobody"
        incident.happened(_iso(moment), f"likeliest cause: {who}, {best['probability']:.0%} ({incident.answer})")
        return causes

    def _prioritise(self, incident: Incident) -> None:
        """What the worksheet says of the likeliest mode; of a rule's alarm without a cause, of the rule's own mode."""
        mode = incident.causes[0]["failure_mode"] if incident.causes else None
        if mode is None and self.watch.alerts is not None:
            name = incident.alarm["detector"].removeprefix("rule:")
            rule = next((one for one in self.watch.alerts.rules if one.alert == name), None)
            mode = rule.labels.get("failure_mode") if rule else None
        if self.worksheet is None or mode not in self.worksheet.index:
            return
        row = self.worksheet.loc[mode]
        rated = [int(row[name]) for name in ("severity", "occurrence", "detection")]
        incident.priority = {
            "failure_mode": mode,
            **dict(zip(("severity", "occurrence", "detection"), rated, strict=True)),
            "action_priority": str(np.asarray(action_priority(*rated)).item()),
            **{name: str(row[name]) for name in ("effect", "playbook") if name in row and pd.notna(row[name])},
        }

    def _observe(self, moment: int) -> None:
        for incident in self.repair.observe(self.held, moment):
            verdict = incident.verdict
            key = f"verdict/{verdict['action_id']}"
            told = {"alarm_id": incident.alarm["alarm_id"], **verdict}
            self.watch.journal.once(key, moment, kind="verdict", **told)
            self._report(incident, moment)

    def _report(self, incident: Incident, moment: int) -> None:
        others = [one["entity"] for one in incident.causes if isinstance(one["entity"], str)]
        who = list(dict.fromkeys([incident.alarm["entity"], *others]))[:SHOWN]
        first = incident.alarm["start"] - 60 * self.told.step_us
        panel = self.watch.ring.panel(first, who)
        firings = list(self.watch.alerts.firing.values()) if self.watch.alerts is not None else []
        write_report(self.watch.folder / "reports", incident, panel, firings, moment)

    # ---- kept --------------------------------------------------------------------------------------------------------
    def said(self) -> dict[str, Any]:
        """Incidents that are held, as JSON types; `restore` takes it."""
        return {name: _plain(asdict(one)) for name, one in self.held.items()}

    def restore(self, told: Mapping[str, Any]) -> None:
        """Take what `said` gave; a repair that was begun and has no end was perhaps done."""
        self.held = {name: Incident(**one) for name, one in told.items()}
        if self.repair is not None:
            self._guarded("repair", self.repair.resume)


def _iso(moment: int) -> str:
    return pd.Timestamp(moment, unit="us", tz="UTC").isoformat()


def _plain(told: Any) -> Any:
    """Numbers of numpy and missing values as JSON has them."""
    if isinstance(told, dict):
        return {name: _plain(one) for name, one in told.items()}
    if isinstance(told, list | tuple):
        return [_plain(one) for one in told]
    if isinstance(told, np.generic):
        told = told.item()
    return None if told is pd.NA or told is pd.NaT else told
