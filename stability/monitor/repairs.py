"""Repair in a watch: asked for each alarm that has a cause, and for the verdict on what was done, at every step."""

from __future__ import annotations

__all__ = ["Repairs"]

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stability.remediation.aftermath import Aftermath
from stability.remediation.approval import approval_key
from stability.remediation.decisions import Case, Decision, ServiceState
from stability.remediation.guards import Guards, read_guards
from stability.remediation.inventory import read_inventory
from stability.remediation.playbooks import read_playbooks
from stability.remediation.record import Record
from stability.remediation.repairer import Repairer
from stability.workbench.notification import send

if TYPE_CHECKING:
    from stability.monitor.chain import Watch
    from stability.monitor.incidents import Incident

BEFORE = 1_800_000_000  # microseconds of history before the impact that a verdict compares with
HURT = 0.01  # share of a step's requests that fail: from there on, users are hurt
AGAIN = ("needs_approval", "refused")  # asked again while the alarm goes on: guards change their minds, people decide
LONGEST = 50  # lines of a timeline
APPROVALS = "approvals"  # folder of tokens, a file named after the decision each


class Repairs:
    """A repairer, and what it has to know of the service at each step.

    Parameters
    ----------
    watch : Watch
    """

    def __init__(self, watch: Watch):
        self.watch, self.part = watch, watch.told.repair
        # What is known of the service is as old as its newest rows: no guard may take that for carelessness.
        told = watch.told
        stale = {"stale": max(Guards().stale, (3 * told.step_us + told.delay_us) / 1e6)}
        self.record = Record(watch.folder / "repairs.jsonl")
        self.repairer = Repairer(
            read_playbooks(watch.told.place(self.part.playbooks)),
            read_inventory(watch.told.place(self.part.inventory)),
            self.record,
            read_guards(stale | self.part.guards),
            mode=self.part.mode,
            send=send,
            key=approval_key(),
        )

    def now(self, moment: int) -> pd.Timestamp:
        """The time: after an outage steps are old, and the clock says so to the guards, which forbid to act on them."""
        if self.part.clock == "rows":
            return pd.Timestamp(moment, unit="us", tz="UTC")
        return pd.Timestamp.now("UTC").as_unit("us")

    def state(self, moment: int) -> ServiceState:
        """Who is up, and whether users are hurt, as the last rows say."""
        ring = self.watch.ring
        healthy: dict[str, bool] = {}
        if "up" in ring.metrics and len(ring.times):
            up = ring.values[ring.metrics.index("up"), :, -1]
            healthy = {name: bool(value > 0) for name, value in zip(ring.entities, up, strict=True) if value == value}
        service, at = self.service(moment - 3 * self.watch.told.step_us), pd.Timestamp(moment, unit="us", tz="UTC")
        asked = service.dropna()
        impact = None
        if len(asked) and asked["total"].sum() > 0:
            impact = bool(1 - asked["good"].sum() / asked["total"].sum() > HURT)
        return ServiceState(at, healthy, self.watch.told.groups, impact)

    def service(self, since: int) -> pd.DataFrame:
        """Good and all requests of each step, as users see them; without rows where nobody counts them."""
        part = self.watch.told.service
        if part is None or not {part.total, part.errors} <= set(self.watch.ring.metrics):
            return pd.DataFrame()
        own = self.watch.ring.panel(since, [part.entity])[[part.total, part.errors]]
        grown = own.diff()
        grown = grown.where(grown >= 0, own)  # it began again at zero
        total, errors = grown[part.total].iloc[1:], grown[part.errors].iloc[1:]
        return pd.DataFrame({"good": np.minimum(total - errors, total).clip(lower=0.0), "total": total})

    def decide(self, incident: Incident, causes: pd.DataFrame, moment: int) -> None:
        """Ask what to do about an alarm, and do it as far as the mode lets it."""
        now, state = self.now(moment), self.state(moment)
        alarm = incident.alarm | {"start": pd.Timestamp(incident.alarm["start"], unit="us", tz="UTC")}
        decision = self.repairer.decide(alarm, causes, now, state, impact=self.part.impact_minutes)
        self._act(incident, decision, now, state)

    def _act(self, incident: Incident, decision: Decision, now: pd.Timestamp, state: ServiceState) -> None:
        named = {"kind": decision.kind, "entity": decision.entity, "playbook": decision.playbook, "step": decision.step}
        incident.decision = {"decision_id": decision.decision_id, **named, "because": decision.because}
        incident.decision["options"] = [
            {"playbook": one.playbook, "entity": one.entity, "gain": one.gain, "why_not": [r.why for r in one.refusals]}
            for one in decision.options
        ]
        incident.happened(decision.at.isoformat(), f"decided: {decision.kind}, because {decision.because}")
        if not decision.acts:
            return
        acted = self.repairer.act(decision, now, state, approval=self._approval(decision))
        incident.acted = {"status": acted.status, "detail": acted.detail, "action_id": acted.action_id}
        if acted.status not in AGAIN or len(incident.timeline) < LONGEST:
            incident.happened(
                now.isoformat() if acted.touched else decision.at.isoformat(), f"{acted.status}: {acted.detail}"
            )

    def _approval(self, decision: Decision) -> str | None:
        """A token that somebody laid down for this decision."""
        path = self.watch.folder / APPROVALS / decision.decision_id
        if self.part.mode != "approved" or not path.is_file() or path.is_symlink():
            return None
        return path.read_text(encoding="utf-8").strip() or None

    def observe(self, held: dict[str, Incident], moment: int) -> list[Incident]:
        """Ask for the verdict on everything that was done, and go on from it; incidents that have a new one."""
        now, changed = self.now(moment), []
        for case in self.repairer.open_cases():
            progress = self.repairer.observe(case, self._aftermath(case, now), now)
            if not progress.final:
                continue
            incident = held.get(case.alarm_id)
            if incident is not None:
                incident.verdict = {"verdict": progress.verdict, "action_id": case.action_id, "at": now.isoformat()}
                incident.verdict |= {"checks": list(progress.checks), "escalated": progress.escalated}
                incident.happened(now.isoformat(), f"verdict: {progress.verdict.replace('_', ' ')}")
                changed.append(incident)
        state = self.state(moment)
        for decision in self.repairer.pending():
            if decision.alarm_id in held:
                self._act(held[decision.alarm_id], decision, now, state)
                changed.append(held[decision.alarm_id]) if held[decision.alarm_id].verdict else None
        for incident in held.values():
            if incident.acted.get("status") in AGAIN and incident.alarm["alarm_id"] in self.watch.goes_on:
                self.decide(incident, incident.table(), moment)
        return changed

    def _aftermath(self, case: Case, now: pd.Timestamp) -> Aftermath:
        watch = self.watch
        begun = case.acted_at if case.impact_start is pd.NaT else case.impact_start
        since = int(begun.timestamp() * 1e6) - BEFORE
        who = [case.entity, *case.neighbours]
        thresholds = {sentry.name: sentry.threshold for sentry in watch.sentries}
        seen = {"telemetry": watch.ring.panel(since, who), "scores": watch.scored.panel(since, who)}
        return Aftermath(
            case.entity, case.acted_at, case.impact_start, max(now, case.acted_at), service=self.service(since),
            thresholds=thresholds, neighbours=case.neighbours, step=watch.told.step_us / 1e6, **seen,
        )  # fmt: skip

    def resume(self) -> None:
        """After a start: what was begun and never ended was perhaps done, and is judged, never repeated."""
        self.repairer.resume(self.now(self.watch.moment))
