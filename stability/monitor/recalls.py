"""After a start: what the record of repairs knows, and the watch does not yet, because it was killed in between.

A watch that begins goes through the steps since its checkpoint again. The record is read as a whole before: of what it
tells, a step may only use what was known then.
"""

from __future__ import annotations

__all__ = ["adopt", "caught_up", "judged", "recall", "recalled", "remember", "untold"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from stability.monitor.incident import RUNS, Incident

if TYPE_CHECKING:
    from stability.monitor.incidents import Incidents
    from stability.monitor.repairs import Repairs

VERDICT = ("verdict", "action_id", "at", "entity", "checks", "escalated")
NOBODY = "nobody began before the watch was killed"


def remember(incidents: Incidents, known: Mapping[str, Any]) -> None:
    """Take an incident that was looked into before a crash as it was: what was decided then has been acted upon."""
    incident = Incident(**{one.name: known[one.name] for one in fields(Incident) if one.name in known})
    verdict = incidents.watch.journal.kept.get(f"verdict/{incident.acted.get('action_id')}")
    if verdict is not None:
        incident.verdict = {name: verdict[name] for name in VERDICT}
    incidents.held[incident.alarm["alarm_id"]] = incident
    if incidents.repair is not None:
        recall(incidents.repair, incident)


def recall(repairs: Repairs, incident: Incident) -> None:
    """Take what came of what was under way: it has an end in the record, was perhaps done, or was never begun."""
    repairs.recalls.add(incident.alarm["alarm_id"])
    name = incident.acted.get("decision_id")
    if name is None or name in repairs.under_way:
        return
    for action_id, action in list(repairs.repairer.history.actions.items()):
        facts = action.facts
        if facts["decision_id"] != name:
            continue
        if action.end is None:
            return  # somebody else is at it
        told = {"alarm_id": facts["alarm_id"], "decision_id": name, "of": facts["kind"]}
        told |= {"entity": facts["entity"], "action": facts["action"], "playbook": facts["playbook"]}
        told |= {"status": action.status or "dry-run", "detail": action.detail, "action_id": action_id}
        told |= {"begun": action.at.isoformat(), "ended": action.end.isoformat(), "touched": not action.rehearsed}
        repairs.ended.append(told)
        if incident.acted["status"] == RUNS:
            incident.acted |= {one: told[one] for one in ("status", "detail", "action_id")}
            incident.happened(told["ended"], f"{told['status']}: {told['detail']}")
        return
    if incident.acted["status"] == RUNS:
        incident.acted |= {"status": "not_begun", "detail": NOBODY}


def adopt(repairs: Repairs, incident: Incident) -> None:
    """Take what was done about an incident before a crash that came before a word of it was written."""
    name = incident.alarm["alarm_id"]
    decision, actions = repairs.repairer.history.decided.get(name), repairs.repairer.history.of_alarm(name)
    if decision is not None and actions:
        repairs.say(incident, decision)
        what = f"{decision.plan.get('action')} of {decision.entity}"
        incident.acted = {"status": RUNS, "detail": what, "action_id": None}
        incident.acted["decision_id"] = actions[-1][1].facts["decision_id"]
        recall(repairs, incident)


def caught_up(repairs: Repairs, held: Mapping[str, Incident]) -> None:
    """Take what was decided or done last, and never written down, once the steps were gone through again."""
    history = repairs.repairer.history
    for name, incident in held.items():
        actions, decided = history.of_alarm(name), history.decided.get(name)
        known = (incident.acted.get("decision_id"), incident.decision.get("decision_id"))
        if actions and actions[-1][1].facts["decision_id"] not in known:
            adopt(repairs, incident)
        elif decided is not None and decided.acts and decided.decision_id not in known and incident.open:
            begun = any(action.facts["decision_id"] == decided.decision_id for _, action in actions)
            if not begun:
                repairs.say(incident, decided)
                incident.acted = {"status": "not_begun", "detail": NOBODY, "action_id": None}
                incident.acted["decision_id"] = decided.decision_id


def untold(repairs: Repairs, incident: Incident) -> list[tuple[str, Any, int]]:
    """Verdicts that the record knows and the incident does not, each with the moment of its step."""
    actions = repairs.repairer.history.of_alarm(incident.alarm["alarm_id"])
    known = [(name, action) for name, action in actions if action.judged is not None][incident.verdicts :]
    kept = repairs.watch.journal.kept
    return [
        (name, one, kept.get(f"verdict/{name}", {}).get("moment", one.judged_at.value // 1000)) for name, one in known
    ]


def recalled(
    repairs: Repairs, held: Mapping[str, Incident], now: pd.Timestamp, seen: pd.Timestamp
) -> Iterator[Incident]:
    """Verdicts that the record knows, and of which nothing was said yet, once the steps are where they were found."""
    for incident in [held[name] for name in repairs.recalls if name in held]:
        known = untold(repairs, incident)
        if any(at > seen.value // 1000 for _, _, at in known):
            continue  # a step that is gone through again does not know it yet
        repairs.recalls.discard(incident.alarm["alarm_id"])
        for name, action, _ in known:
            told = {"action_id": name, "entity": action.facts["entity"], "escalated": False}
            yield judged(incident, now, action.judged, action.checks, told)


def judged(
    incident: Incident, now: pd.Timestamp, verdict: str, checks: Sequence[str], told: Mapping[str, Any]
) -> Incident:
    """Note the verdict on a repair in its incident."""
    incident.verdict = {"verdict": verdict, "at": now.isoformat(), "checks": list(checks), **told}
    incident.verdicts += 1
    incident.happened(now.isoformat(), f"verdict: {verdict.replace('_', ' ')}")
    return incident
