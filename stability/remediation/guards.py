"""Guards: what forbids an action whatever it promises; each says no in a sentence, and any no is enough."""

from __future__ import annotations

__all__ = ["Guards", "needs_approval", "read_guards", "refusals", "stopped"]

import os
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from stability.remediation.decisions import Decision, Refusal, ServiceState
from stability.remediation.history import History
from stability.remediation.playbooks import Playbook
from stability.remediation.windows import Window
from stability.schema import declared, home, load_yaml

LEVELS = ("low", "medium", "high")
TAKES_AWAY = ("restart", "fail_over", "restore")  # actions after which, or while, an entity serves nobody
GIVES_BACK = ("fail_over", "shed_load")  # taken back, these let an entity serve more than before


class Guards(BaseModel):
    """Limits of what may be done; the defaults are for a service that people depend on.

    Parameters
    ----------
    cool_down : float
        s between two repairs of one entity for different alarms; the playbook's own where it is longer.
    per_hour : int
        Actions within any 3,600 s.
    at_once : int
        Repairs that may wait for their verdict at the same time: with two, nobody knows which of them helped.
    group_share : float
        Share of a group that may have been touched within `touched`; one member always may.
    touched : float
        s for which an entity counts as touched, and until its verdict in any case.
    stale : float
        s after which what is known of the service is too old to act upon.
    valid : float
        s after which a decision has to be made anew.
    forgotten : float
        s after which a repair that nobody judged is inconclusive.
    tries : int
        Playbooks that are tried for one alarm before it is left to people.
    quiet : float
        s for which the same message is not sent again.
    automatic_risk : {'low', 'medium', 'high'}
        Highest risk that acts without approval in mode 'automatic'; 'high' does in a change window only.
    hands_off, change : list of Window
        When nothing is done at all; when what carries a high risk may act by itself.
    stop_file : str
        While it is there, nothing is done; relative to the checkout, `~` is the home folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    cool_down: float = Field(300.0, ge=0)
    per_hour: int = Field(6, ge=0)
    at_once: int = Field(1, ge=1)
    group_share: float = Field(0.5, ge=0, le=1)
    touched: float = Field(300.0, ge=0)
    stale: float = Field(15.0, gt=0)
    valid: float = Field(900.0, gt=0)
    forgotten: float = Field(3600.0, gt=0)
    tries: int = Field(2, ge=1)
    quiet: float = Field(3600.0, ge=0)
    automatic_risk: Literal["low", "medium", "high"] = "medium"
    hands_off: list[Window] = []
    change: list[Window] = []
    stop_file: str = Field("runs/STOP", min_length=1)


def read_guards(source: str | os.PathLike | dict) -> Guards:
    """Read guards from YAML, or check what one holds.

    Raises
    ------
    ContractError
        With the file, the place in it, what was expected, what came, and the nearest known key.
    """
    raw, where = (source, "guards") if isinstance(source, dict) else (load_yaml(source), source)
    return declared(Guards, raw, file=where)


def stopped(guards: Guards) -> Refusal | None:
    """Say no while the stop file is there, whatever it is; a folder that cannot be looked into counts as one."""
    path = Path(guards.stop_file)
    try:
        path = home() / path.expanduser()
        os.lstat(path)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:  # the latter: there is no home folder
        return Refusal("stop_file", f"whether {path} is there cannot be seen: {error}")
    return Refusal("stop_file", f"{path} is there: remove it to let anything be done again")


def refusals(
    guards: Guards, decision: Decision, playbook: Playbook, state: ServiceState, history: History, now: pd.Timestamp
) -> tuple[Refusal, ...]:
    """Say who forbids a step or a way back, and why.

    A way back is allowed where a new repair would have to wait (cool-down, rate, share, other repairs): it puts
    things as they were. Nothing else is allowed to it that is not allowed to a step.

    Returns
    -------
    tuple of Refusal
        Empty where it may be done.
    """
    step = playbook.steps[decision.step]
    found = [stopped(guards), _stale(guards, state, now), _expired(guards, decision, now), _once(decision, history)]
    found += [_hands_off(guards, decision, now), _last_healthy(decision, playbook, step.action, state, history)]
    if decision.kind == "step":
        found += [_in_order(decision, history)]
        found += [_cool_down(guards, decision, playbook, history, now), _rate(guards, history, now)]
        found += [_under_repair(guards, decision, history), _share(guards, decision, state, history, now)]
    return tuple(refusal for refusal in found if refusal)


def needs_approval(guards: Guards, playbook: Playbook, entity: str, mode: str, now: pd.Timestamp) -> str | None:
    """Say why a person has to agree; None where nobody has to."""
    if mode != "automatic":
        return f"in mode {mode} a person agrees to each action"
    if LEVELS.index(playbook.risk.level) > LEVELS.index(guards.automatic_risk):
        return f"its risk is {playbook.risk.level}, and up to {guards.automatic_risk} acts by itself"
    if playbook.risk.level == "high" and not any(window.holds(entity, now) for window in guards.change):
        return "its risk is high, and no change window is open"
    return None


def _stale(guards: Guards, state: ServiceState, now: pd.Timestamp) -> Refusal | None:
    age = (now - state.at).total_seconds()
    if 0 <= age <= guards.stale:
        return None
    seen = f"{age:.3g} s ago" if age > 0 else f"{-age:.3g} s after now"
    return Refusal("stale", f"the service was looked at {seen}, and {guards.stale:g} s are the most")


def _expired(guards: Guards, decision: Decision, now: pd.Timestamp) -> Refusal | None:
    age = (now - decision.at).total_seconds()
    if 0 <= age <= guards.valid:
        return None
    return Refusal("expired", f"it was decided {age:.3g} s ago, and holds for {guards.valid:g} s")


def _once(decision: Decision, history: History) -> Refusal | None:
    """Nothing is done twice: neither a decision, nor the same thing for the same alarm."""
    same = ("alarm_id", "entity", "playbook", "step", "kind")
    for name, action in history.real():
        facts = action.facts
        if facts["decision_id"] == decision.decision_id or all(facts[k] == getattr(decision, k) for k in same):
            return Refusal("once", f"it was begun at {action.at:%H:%M:%S} as {name} and is not done twice")
    return None


def _in_order(decision: Decision, history: History) -> Refusal | None:
    """No step before the one that has not helped is taken back."""
    backs = [one for one in history.pending.values() if one.kind == "rollback"]
    begun = [action.facts for _, action in history.real() if action.facts["kind"] == "rollback" and action.end is None]
    if decision.alarm_id in {one.alarm_id for one in backs} | {facts["alarm_id"] for facts in begun}:
        return Refusal("order", "what was done about the alarm is to be taken back first")
    return None


def _hands_off(guards: Guards, decision: Decision, now: pd.Timestamp) -> Refusal | None:
    for window in guards.hands_off:
        if window.holds(decision.entity, now):
            clock = f"{window.start} to {window.end} {window.zone}"
            return Refusal("hands_off", f"{decision.entity} is left to people from {clock}")
    return None


def _last_healthy(
    decision: Decision, playbook: Playbook, action: str, state: ServiceState, history: History
) -> Refusal | None:
    """Never take away the last one that serves; who stands alone only by a playbook that says whom this hurts."""
    back, interrupts = decision.kind == "rollback", playbook.steps[decision.step].interrupts
    if back and action in GIVES_BACK:
        return None
    if not interrupts and action not in TAKES_AWAY and not (back and action == "scale_out"):
        return None
    entity = decision.entity
    # Who was acted upon after the service was looked at may not serve any more, whatever was seen before.
    under_way = {a.facts["entity"] for _, a in history.real() if a.end is None or a.last >= state.at}
    away = {a.facts["entity"] for _, a in history.real() if _is_away(history, a)}
    others = [one for one in state.group(entity) if one != entity]
    if not others:
        if playbook.blast_radius in ("service", "host"):
            return None
        why = f"{entity} stands alone, and {playbook.name} is for one of several (blast radius {playbook.blast_radius})"
        return Refusal("last_healthy", why)
    left = [one for one in others if state.healthy.get(one) is True and one not in under_way | away]
    if left:
        return None
    return Refusal("last_healthy", f"none of {', '.join(others)} is known to serve while {entity} does not")


def _is_away(history: History, action) -> bool:
    """Whether an entity was failed over and has not been taken back: it may answer, and serves nobody."""
    facts = action.facts
    if facts["action"] != "fail_over" or facts["kind"] != "step" or action.status == "failed" or action.taken_back:
        return False
    key = (facts["alarm_id"], facts["entity"], facts["playbook"], facts["step"])
    backs = (a.facts for _, a in history.real() if a.facts["kind"] == "rollback" and a.status == "done")
    return all((b["alarm_id"], b["entity"], b["playbook"], b["step"]) != key for b in backs)


def _cool_down(
    guards: Guards, decision: Decision, playbook: Playbook, history: History, now: pd.Timestamp
) -> Refusal | None:
    """After a repair an entity is left alone for a while; the next step of the same repair does not wait."""
    for _, action in history.real():
        facts = action.facts
        if facts["entity"] != decision.entity or facts["alarm_id"] == decision.alarm_id:
            continue
        wait = max(guards.cool_down, playbook.cool_down if facts["playbook"] == playbook.name else 0.0)
        age = (now - action.last).total_seconds()
        if age < wait:  # a clock that was set back makes the age negative, and the wait longer
            why = f"{decision.entity} was repaired {age:.3g} s ago by {facts['playbook']}, and rests for {wait:g} s"
            return Refusal("cool_down", why)
    return None


def _rate(guards: Guards, history: History, now: pd.Timestamp) -> Refusal | None:
    lately = sum((now - action.at).total_seconds() < 3600 for _, action in history.real())
    if lately < guards.per_hour:
        return None
    return Refusal("per_hour", f"{lately} actions within the last hour, and {guards.per_hour} are allowed")


def _under_repair(guards: Guards, decision: Decision, history: History) -> Refusal | None:
    waiting = [action.facts for _, action in history.real() if action.waits]
    if same := [facts for facts in waiting if facts["entity"] == decision.entity]:
        return Refusal("under_repair", f"{decision.entity} waits for the verdict of {same[0]['playbook']}")
    if same := [facts for facts in waiting if facts["alarm_id"] == decision.alarm_id]:
        return Refusal("under_repair", f"the alarm waits for the verdict of {same[0]['playbook']}")
    if len(waiting) < guards.at_once:
        return None
    names = ", ".join(sorted({facts["entity"] for facts in waiting}))
    return Refusal("at_once", f"{names} under repair, and {guards.at_once} at once are allowed")


def _share(
    guards: Guards, decision: Decision, state: ServiceState, history: History, now: pd.Timestamp
) -> Refusal | None:
    group = state.group(decision.entity)
    touched = {
        action.facts["entity"]
        for _, action in history.real()
        if action.waits or (now - action.last).total_seconds() < guards.touched
    }
    touched = (touched & set(group)) | {decision.entity}
    most = max(1, int(guards.group_share * len(group)))
    if len(touched) <= most:
        return None
    why = f"{len(touched)} of {len(group)} would have been touched ({', '.join(sorted(touched))}), and {most} may be"
    return Refusal("group_share", why)
