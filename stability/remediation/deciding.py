"""The decision about an alarm: the best thing that is worth it and allowed, or why nothing is done."""

from __future__ import annotations

__all__ = ["alarm_name", "choose", "next_step", "same"]

import dataclasses
from collections.abc import Mapping

import pandas as pd

from stability.remediation.before import Before
from stability.remediation.choice import ALIKE, UNCHANGED, UNKNOWN, options
from stability.remediation.decisions import Case, Decision, Option, Refusal, ServiceState, moment
from stability.remediation.guards import Guards, refusals
from stability.remediation.history import History
from stability.remediation.inventory import Inventory
from stability.remediation.playbooks import Playbook
from stability.schema import ContractError


def alarm_name(alarm: pd.Series | Mapping) -> str:
    """Give the name of a row of alarms, whether its column or the row's own.

    Raises
    ------
    ContractError
        It has none.

    Examples
    --------
    >>> alarm_name({"alarm_id": "a1"}), alarm_name(pd.Series({"entity": "web"}, name="a2"))
    ('a1', 'a2')
    """
    name = alarm["alarm_id"] if "alarm_id" in alarm else getattr(alarm, "name", None)
    if not isinstance(name, str) or not name:
        raise ContractError(column="alarm_id", expected="the name of the alarm", got=name)
    return name


def choose(
    told: Mapping,
    rows: pd.DataFrame,
    playbooks: Mapping[str, Playbook],
    inventory: Inventory,
    guards: Guards,
    state: ServiceState,
    history: History,
    impact: float,
    *,
    before: Before,
    since: pd.Timestamp | None = None,
    wait: str = "",
    settled: str = "",
) -> Decision:
    """Decide about an alarm.

    Parameters
    ----------
    told : mapping
        alarm_id, at and impact_start of the decision.
    rows : DataFrame
        Of `suspects`.
    playbooks, inventory, guards, state, history
        What may be done, to whom, within which limits, as the service is and as it has been.
    impact : float
        Minutes of impact that are expected if nobody acts.
    before : Before
        Who is asked whether there is anything to go back to.
    since : Timestamp, optional
        Since when it has been taken for what it is taken for now; since the impact without it.
    wait, settled : str
        Why nobody is called yet about what is not known, or why now; then nothing is done.
    """

    def say(kind: str, because: str, entity: str | None, **more: object) -> Decision:
        return Decision.named(kind=kind, because=because, entity=entity, **more, **told)

    alarm_id = told["alarm_id"]
    if alarm_id in history.given_up:
        return say("nothing", "the alarm was handed to people", None)
    if waits := [action.facts for _, action in history.of_alarm(alarm_id) if action.waits]:
        because = f"{waits[0]['playbook']} on {waits[0]['entity']} waits for its verdict"
        return say("nothing", because, waits[0]["entity"])

    def call(because: str, entity: str | None, **more: object) -> Decision:
        why = f"{because}; {wait or settled}" if wait or settled else because
        return say("nothing" if wait else "escalate", why, entity, **more)

    if rows.empty:
        return call("nobody said what the cause may be", None)
    entity, mode = rows.iloc[0][["entity", "failure_mode"]]
    if settled and mode != UNKNOWN:  # also where a known one is the likeliest: it was not agreed upon
        return say("escalate", settled, None)
    if entity is None:
        because = "no fault is the likeliest explanation"
        return say("nothing", f"{because}; {wait}" if wait else because, None)
    if mode in (None, UNKNOWN):
        because = f"what happens to {entity} is not known, and what is not known is not repaired"
        return call(because, entity)
    found = options(rows, list(playbooks.values()), inventory, state, history, impact, told["impact_start"], since)
    found = _undoable(_guarded(found, told, playbooks, guards, state, history), playbooks, before, told["at"])
    if not found:
        return say("escalate", f"no playbook for {mode} on {entity}", entity)
    best = found[0]
    if _not_made_for(best):
        return say("escalate", f"no playbook for {mode} on {entity}: {_said(best)}", entity, options=found)
    if best.refusals:
        because = f"{mode} on {entity}: {best.playbook} on {best.entity} is not allowed: {_said(best)}"
        strange = any(refusal.guard in (UNKNOWN, ALIKE, UNCHANGED) for refusal in best.refusals)
        if strange:  # perhaps nobody knows what it is: people are to look
            return call(because, best.entity, options=found)
        return say("nothing", because, best.entity, options=found)
    if best.gain <= 0:
        because = f"{best.playbook} on {best.entity} would cost {-best.gain:.1f} minutes more than it saves"
        return say("nothing", because, best.entity, options=found)
    because = (
        f"{mode} on {entity}: {best.playbook} on {best.entity} (P {best.probability:.2f}) helps in {best.effect:.0%} "
        f"and wins {best.gain:.1f} minutes of impact ({best.saved:.1f} saved, {best.spent:.1f} spent)"
    )
    return _step(told, playbooks[best.playbook], best.entity, because, found)


def _step(told: Mapping, playbook: Playbook, entity: str, because: str, found: tuple[Option, ...] = ()) -> Decision:
    plan = playbook.steps[0].model_dump(mode="json")
    facts = {"kind": "step", "entity": entity, "playbook": playbook.name, "plan": plan, "options": found}
    return Decision.named(because=because, **facts, **told)


def _guarded(
    found: tuple[Option, ...],
    told: Mapping,
    playbooks: Mapping[str, Playbook],
    guards: Guards,
    state: ServiceState,
    history: History,
) -> tuple[Option, ...]:
    """Add what the guards say to each option; what was tried for this alarm is not tried again."""
    tried, judged = history.tried(told["alarm_id"]), []
    used_up = len({playbook for playbook, _ in tried}) >= guards.tries
    for option in found:
        playbook = playbooks[option.playbook]
        more = refusals(guards, _step(told, playbook, option.entity, ""), playbook, state, history, told["at"])
        if (option.playbook, option.entity) in tried:
            more = (Refusal("once", "it was tried for this alarm"), *(r for r in more if r.guard != "once"))
        elif used_up:
            more += (Refusal("tries", f"{guards.tries} playbooks were tried for this alarm"),)
        judged.append(dataclasses.replace(option, refusals=option.refusals + more))
    return tuple(sorted(judged, key=_order))


def _undoable(
    found: tuple[Option, ...], playbooks: Mapping[str, Playbook], before: Before, now: pd.Timestamp
) -> tuple[Option, ...]:
    """Ask whether there is anything to go back to, where that would be done now."""
    for _ in found:
        best = found[0]
        action = playbooks[best.playbook].steps[0].action
        why = "" if best.refusals or best.gain <= 0 else before.nothing(best.entity, action, now)
        if not why:
            break
        found = tuple(sorted((dataclasses.replace(best, refusals=(Refusal(UNCHANGED, why),)), *found[1:]), key=_order))
    return found


def _order(option: Option) -> tuple:
    """What may be done first, now or in a moment, then what a guard forbids, then what is not made for this entity."""
    return bool(option.refusals) and not option.waits, _not_made_for(option), -option.gain, option.playbook


def _not_made_for(option: Option) -> bool:
    """Whether waiting would change nothing: the playbook is for others, or nobody can do it."""
    return any(refusal.guard in ("alone", "entities", "inventory") for refusal in option.refusals)


def _said(option: Option) -> str:
    return "; ".join(f"{refusal.guard}: {refusal.why}" for refusal in option.refusals)


def next_step(
    case: Case, playbook: Playbook, kind: str, step: int, impact_start: pd.Timestamp, now: pd.Timestamp
) -> Decision:
    """Decide what follows a repair that has not helped: its way back, or the playbook's next step."""
    because = f"{case.playbook} on {case.entity}: step {case.step + 1} has not helped, "
    because += "it is taken back" if kind == "rollback" else f"step {step + 1} is next"
    return Decision.named(
        alarm_id=case.alarm_id,
        at=now,
        kind=kind,
        because=because,
        entity=case.entity,
        playbook=case.playbook,
        step=step,
        impact_start=moment(impact_start, "impact_start"),
        plan=playbook.steps[step].model_dump(mode="json"),
    )


def same(before: Decision, now: Decision) -> bool:
    """Whether two decisions say the same, whatever the numbers in their words."""

    def said(decision: Decision) -> tuple:
        guards = tuple(refusal.guard for option in decision.options[:1] for refusal in option.refusals)
        return decision.kind, decision.entity, decision.playbook, decision.step, decision.plan, guards

    return said(before) == said(now)
