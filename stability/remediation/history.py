"""What the record says happened so far: who was touched when, what waits for its verdict, what helped how often."""

from __future__ import annotations

__all__ = ["Action", "History"]

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from stability.remediation.decisions import Case, Decision, moment
from stability.remediation.playbooks import Playbook
from stability.remediation.record import Entry


@dataclass
class Action:
    """An action as the record tells of it.

    Parameters
    ----------
    at : Timestamp
        When it was begun (UTC).
    facts : dict
        What was written before it was begun.
    end : Timestamp or None
        When it ended; None: nothing is known of its end.
    status, detail : str or None
        As of `Acted`.
    undo : dict or None
        What it takes to take it back.
    verdict : str or None
        Once it is final.
    credited : bool
        Whether the recovery is the action's own.
    taken_back : bool
        Whether a person said that it no longer holds.
    left : bool
        Whether nobody waits for its verdict any longer.
    judged : str or None
        What was said of it at the end, also where that is no verdict of the table because the action itself failed.
    checks : tuple of str
        What was seen then.
    """

    at: pd.Timestamp
    facts: dict
    end: pd.Timestamp | None = None
    status: str | None = None
    detail: str = ""
    undo: dict | None = None
    verdict: str | None = None
    credited: bool = False
    taken_back: bool = False
    left: bool = False
    judged: str | None = None
    judged_at: pd.Timestamp | None = None
    checks: tuple[str, ...] = ()

    @property
    def rehearsed(self) -> bool:
        """Whether it was only said what would be done."""
        return self.facts["mode"] == "dry-run"

    @property
    def waits(self) -> bool:
        """Whether it waits for a verdict; a way back has none."""
        return not (self.rehearsed or self.left or self.verdict or self.facts["kind"] == "rollback")

    @property
    def last(self) -> pd.Timestamp:
        """The last moment at which it is known to have been at work."""
        return self.at if self.end is None else max(self.at, self.end)


@dataclass
class History:
    """A fold over the record, line by line."""

    actions: dict[str, Action] = field(default_factory=dict)
    decided: dict[str, Decision] = field(default_factory=dict)  # the last one of each alarm
    modes: dict[str, str] = field(default_factory=dict)  # in which mode that was decided
    pending: dict[str, Decision] = field(default_factory=dict)  # what an observation led to, in order
    used: dict[str, str] = field(default_factory=dict)  # approval -> the action that it let happen
    told: dict[str, pd.Timestamp] = field(default_factory=dict)  # key of a message -> when it was delivered
    untold: dict[str, tuple[pd.Timestamp, dict]] = field(default_factory=dict)  # key -> a message that nobody took
    owed: dict[str, tuple[pd.Timestamp, dict]] = field(default_factory=dict)  # key -> a call of which nothing is said
    refused: dict[str, list[str]] = field(default_factory=dict)  # decision -> the guards that said no last
    given_up: set[str] = field(default_factory=set)  # alarms that are left to people
    lines: int = 0

    def read(self, entries: Sequence[Entry]) -> History:
        """Take what is new."""
        for entry in entries[self.lines :]:
            self._take(entry)
        self.lines = len(entries)
        return self

    def _take(self, entry: Entry) -> None:
        facts = entry.facts
        match entry.kind:
            case "decision":
                decision = self._decide(facts["decision"], facts["mode"])
                if decision.kind == "escalate":
                    self._owe(decision.alarm_id, decision.because, entry.at, facts.get("evidence", {}))
            case "intent" | "rehearsal":
                self.actions[facts["action_id"]] = Action(entry.at, facts)
                self.pending.pop(facts["decision_id"], None)
                if facts.get("approval"):
                    self.used[facts["approval"]] = facts["action_id"]
                if entry.kind == "rehearsal":
                    self.actions[facts["action_id"]].end = entry.at
            case "outcome":
                action = self.actions[facts["action_id"]]
                action.end, action.status = moment(facts["end"], "end"), facts["status"]
                action.detail, action.undo = facts["detail"], facts["undo"]
            case "verdict" | "left":  # one line with all that follows from it: no kill comes in between
                action = self.actions[facts["action_id"]]
                if entry.kind == "left":
                    action.left = True
                else:
                    action.verdict, action.credited = facts["verdict"], facts.get("credited", False)
                action.judged, action.judged_at = facts["verdict"], entry.at
                action.checks = tuple(facts.get("checks", ()))
                for told in facts.get("decisions", ()):
                    decision = self._decide(told, facts["mode"])
                    self.pending[decision.decision_id] = decision
                if facts.get("calls"):
                    self._give_up(action.facts["alarm_id"], facts["calls"], entry.at, {"check": list(action.checks)})
            case "taken_back":
                self.actions[facts["action_id"]].taken_back = True
            case "dropped":
                decision = self.pending.pop(facts["decision_id"])
                self._give_up(decision.alarm_id, facts["calls"], entry.at, facts["evidence"])
            case "escalated":
                self._give_up(facts["alarm_id"], facts["why"], entry.at, facts["evidence"])
            case "refused":
                self.refused[facts["decision_id"]] = facts["guards"]
            case "told":
                self.told[facts["key"]] = entry.at
                self.untold.pop(facts["key"], None)
                self.owed.pop(facts["key"], None)
            case "not_told":
                self.untold[facts["key"]] = entry.at, facts
                self.owed.pop(facts["key"], None)

    def _decide(self, told: dict, mode: str) -> Decision:
        decision = Decision.of(told)
        self.decided[decision.alarm_id], self.modes[decision.alarm_id] = decision, mode
        return decision

    def _give_up(self, alarm_id: str, why: str, at: pd.Timestamp, evidence: dict) -> None:
        self.given_up.add(alarm_id)
        self._owe(alarm_id, why, at, evidence)

    def _owe(self, alarm_id: str, why: str, at: pd.Timestamp, evidence: dict) -> None:
        key = f"{alarm_id}.{why}"
        if key not in self.told and key not in self.untold:
            self.owed[key] = at, {"alarm_id": alarm_id, "why": why, "evidence": evidence}

    def real(self) -> list[tuple[str, Action]]:
        """Actions that touched the service, or perhaps did, in their order."""
        return [(name, action) for name, action in list(self.actions.items()) if not action.rehearsed]

    def of_alarm(self, alarm_id: str) -> list[tuple[str, Action]]:
        """Real actions of an alarm."""
        return [(name, action) for name, action in self.real() if action.facts["alarm_id"] == alarm_id]

    def tried(self, alarm_id: str) -> set[tuple[str, str]]:
        """Playbook and entity of every repair of an alarm that was begun."""
        return {(action.facts["playbook"], action.facts["entity"]) for _, action in self.of_alarm(alarm_id)}

    def cases(self) -> list[Case]:
        """Repairs that wait for their verdict, and whose end is known."""
        found = []
        for name, action in self.real():
            if not action.waits or action.end is None:
                continue
            facts = action.facts
            found.append(
                Case(
                    alarm_id=facts["alarm_id"],
                    entity=facts["entity"],
                    playbook=facts["playbook"],
                    step=facts["step"],
                    action_id=name,
                    impact_start=moment(facts["impact_start"], "impact_start"),
                    acted_at=action.end,
                    status=action.status,
                    neighbours=tuple(facts["neighbours"]),
                    verification=dict(facts["verification"]),
                )
            )
        return found

    def effect(self, playbook: Playbook, step: int = 0) -> tuple[float, float]:
        """Beta posterior of a step's effect: repairs that helped, and that did not, the prior's among them.

        A repair that was verified, and unlikely to have healed by itself, counts as one that helped. One that was not
        may have failed because something else was the cause: it counts against the step by the probability that this
        was not so, P (1 - e) / (1 - P e) with P the probability of the cause when it was decided and e the mean so far
        (Bayes' rule). What was inconclusive, or failed before it could have an effect, says nothing.

        Returns
        -------
        tuple of float
            The two parameters; the mean is the first over their sum.
        """
        helped, failed = playbook.prior.helped, playbook.prior.failed
        for _, action in self.real():
            facts = action.facts
            if (facts["playbook"], facts["step"], facts["kind"]) != (playbook.name, step, "step"):
                continue
            if action.verdict == "verified":
                helped += action.credited and action.status != "failed"
            elif action.verdict == "not_recovered":
                share, mean = facts["probability"], helped / (helped + failed)
                failed += share * (1 - mean) / (1 - share * mean)
        return helped, failed
