"""Carrying a decision out: what is written before it, and what is done then."""

from __future__ import annotations

__all__ = ["UNDER_WAY", "carry_out", "checked", "intent", "lives"]

import os
import socket
from collections.abc import Mapping

import pandas as pd
import psutil

from stability.remediation.actions import Outcome, Task, perform
from stability.remediation.decisions import Decision, ServiceState
from stability.remediation.guards import Guards, stopped
from stability.remediation.history import Action, History
from stability.remediation.inventory import Inventory
from stability.remediation.outcomes import failed
from stability.remediation.playbooks import Playbook
from stability.schema import ContractError, one_of

UNDER_WAY: set[str] = set()
"""Actions that this very process is doing, whoever of it began them."""

SAME = 1.0  # s by which the begin of a process may differ between two looks and it is the same process


def checked(decision: Decision, playbooks: Mapping[str, Playbook]) -> Playbook:
    """Give the decision's playbook.

    Raises
    ------
    ContractError
        The decision is not what its name says, or the playbook is no longer what was decided on.
    """
    told = {name: getattr(decision, name) for name in Decision.__dataclass_fields__ if name != "decision_id"}
    if Decision.named(**told).decision_id != decision.decision_id:
        raise ContractError(expected="a decision as it was made", got="one that was changed since")
    playbook = playbooks[one_of(decision.playbook, playbooks, "playbook")]
    steps = [step.model_dump(mode="json") for step in playbook.steps]
    if not 0 <= decision.step < len(steps) or steps[decision.step] != decision.plan:
        expected, got = f"{playbook.name} as it was decided on", "a playbook that was changed since"
        raise ContractError(expected=expected, got=got, remedy="decide again")
    return playbook


def intent(decision: Decision, playbook: Playbook, state: ServiceState) -> dict:
    """Say what is going to be done and who does it, as JSON types."""
    chosen = [o for o in decision.options if (o.playbook, o.entity) == (playbook.name, decision.entity)]
    return {
        "action_id": f"{decision.decision_id[:12]}-{decision.kind}",
        "decision_id": decision.decision_id,
        "alarm_id": decision.alarm_id,
        "entity": decision.entity,
        "playbook": playbook.name,
        "step": decision.step,
        "kind": decision.kind,
        "action": decision.plan["action"],
        "plan": decision.plan,
        # What a later step is about is as likely as its playbook asked for at least.
        "probability": chosen[0].probability if chosen else playbook.conditions.min_probability,
        "impact_start": decision.impact_start.isoformat(),
        "neighbours": [one for one in sorted(state.healthy) if one != decision.entity],
        "verification": playbook.verification,
        "pid": os.getpid(),
        "begun": psutil.Process().create_time(),
        "host": socket.gethostname(),
    }


def carry_out(
    facts: Mapping, now: pd.Timestamp, inventory: Inventory, guards: Guards, history: History
) -> tuple[Outcome, float]:
    """Do what an intent says; the stop file is looked for once more, for whoever said stop meanwhile.

    Returns
    -------
    Outcome
        What came of it.
    float
        Seconds that it took.
    """
    if no := stopped(guards):
        return failed(f"stopped before it began: {no.why}"), 0.0
    told = facts["plan"]["parameters"] | {name: facts[name] for name in ("alarm_id", "playbook", "step", "kind")}
    timeout = facts["plan"]["timeout"]
    task = Task(facts["action"], facts["entity"], facts["action_id"], now.isoformat(), timeout, told)
    if facts["kind"] == "step":
        return perform(inventory, task)
    undo = _undo(facts, history)
    if undo is None:
        return failed("nothing is known that would take it back"), 0.0
    return perform(inventory, task, undo)


def _undo(facts: Mapping, history: History) -> dict | None:
    """What the step's own outcome said is needed to take it back."""
    for _, action in history.of_alarm(facts["alarm_id"]):
        same = all(action.facts[name] == facts[name] for name in ("entity", "playbook", "step"))
        if same and action.facts["kind"] == "step":
            return action.undo
    return None


def lives(name: str, action: Action, now: pd.Timestamp) -> bool:
    """Whether whoever began an action is still at it: a process of this machine that runs, or time is left to it."""
    facts = action.facts
    if facts["host"] != socket.gethostname():  # nobody can look there, but no action outlasts its timeout for long
        return (now - action.at).total_seconds() < 2 * facts["plan"]["timeout"]
    if facts["pid"] == os.getpid() and abs(facts["begun"] - psutil.Process().create_time()) < SAME:
        return name in UNDER_WAY
    try:
        process = psutil.Process(facts["pid"])
        same = abs(process.create_time() - facts["begun"]) < SAME
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
