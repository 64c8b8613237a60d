"""From an alarm and its causes to a repair that is proven: decide, act, observe, go on or call somebody."""

from __future__ import annotations

__all__ = ["MODES", "Repairer"]

import secrets
from collections.abc import Mapping, Sequence

import pandas as pd

from stability.remediation.aftermath import Aftermath
from stability.remediation.approval import check_token
from stability.remediation.before import Before
from stability.remediation.choice import suspects
from stability.remediation.deciding import alarm_name, choose, next_step, same
from stability.remediation.decisions import Acted, Case, Decision, Progress, Refusal, ServiceState, moment
from stability.remediation.doing import UNDER_WAY, carry_out, checked, intent, lives
from stability.remediation.exporting import actions_table
from stability.remediation.following import follow, unsolved
from stability.remediation.guards import Guards, needs_approval, refusals
from stability.remediation.history import History
from stability.remediation.inventory import Inventory
from stability.remediation.playbooks import Playbook
from stability.remediation.record import Record
from stability.remediation.telling import Send, call, repeat, tell
from stability.schema import ContractError, one_of

MODES = ("dry-run", "approved", "automatic")


class Repairer:
    """Repair by playbooks, behind guards, with everything in an append-only record that outlives a kill -9.

    Nothing in here sleeps and nobody asks for the time: every method takes `now`. Only an action takes as long as it
    takes, up to its timeout; it may be done in a thread of its own. Several processes may share a record: what one of
    them begins, no other begins again.

    Parameters
    ----------
    playbooks : sequence of Playbook
        `read_playbooks()`.
    inventory : Inventory
        Who controls what: `read_inventory(file)`; what is not in it is never touched.
    record : Record
        `Record(path)`.
    guards : Guards, optional
        Limits.
    mode : {'dry-run', 'approved', 'automatic'}
        Who lets an action happen: nobody (it is only said what would be done), a person, or the guards alone.
    send : callable, optional
        `send(title, text, *, bad) -> bool`, such as `stability.workbench.notification.send`; it is waited for.
    key : bytes, optional
        Of the approvals' signatures (`approval_key()`). Without it one is drawn that only this process knows, so that
        an approval can be given on its own terminal alone.

    Raises
    ------
    ContractError
        No such mode, or the record was tampered with.
    """

    def __init__(
        self,
        playbooks: Sequence[Playbook],
        inventory: Inventory,
        record: Record,
        guards: Guards | None = None,
        *,
        mode: str = "dry-run",
        send: Send | None = None,
        key: bytes | None = None,
    ) -> None:
        self.playbooks = {playbook.name: playbook for playbook in playbooks}
        self.inventory, self.record, self.guards = inventory, record, guards or Guards()
        self.mode = one_of(mode, MODES, "mode")
        self.send, self.key = send, key or secrets.token_bytes(32)
        self.history = History()
        self.before = Before(inventory)
        self._look()

    def _look(self) -> History:
        with self.record.locked():  # an action may be under way in another thread of ours
            return self.history.read(self.record.entries())

    # ---- decide -----------------------------------------------------------------------------------------------------
    def decide(
        self,
        alarm: pd.Series | Mapping,
        causes: pd.DataFrame,
        now: pd.Timestamp,
        state: ServiceState,
        *,
        impact: float = 10.0,
        impact_start: pd.Timestamp | None = None,
        since: pd.Timestamp | None = None,
        wait: str = "",
        settled: str = "",
        evidence: Mapping[str, Sequence[str]] | None = None,
    ) -> Decision:
        """Choose what to do about an alarm.

        Asked again while nothing has changed, it gives the same decision, under the same name, and writes nothing.

        Parameters
        ----------
        alarm : Series or mapping
            A row of the contract's `alarms`: `alarm_id` (or the Series' name), `start`.
        causes : DataFrame
            The contract's `causes`; rows of other alarms are passed over. A missing entity in the first row says that
            there is no fault, the mode 'unknown' that it is none that is known: then nothing is done.
        now : Timestamp
            UTC.
        state : ServiceState
            Of the service, now.
        impact : float
            Minutes of impact that are expected if nobody acts: remaining time times how bad it is.
        impact_start : Timestamp, optional
            When users began to feel it; the alarm's start without.
        since : Timestamp, optional
            Since when it has been taken for what it is taken for now; since `impact_start` without.
        wait : str
            Why nobody is called yet about what is not known: it may still become known. A known mode does not wait.
        settled : str
            Why that is not waited for any longer, for the record: where it is given, people are called, and nothing is
            done.
        evidence : mapping of str to sequence of str, optional
            What they are told beside the causes.

        Returns
        -------
        Decision
            Of kind 'step' or 'rollback': hand it to `act`. 'nothing' and 'escalate' touch nobody, `because` says why.
        """
        now, alarm_id = moment(now), alarm_name(alarm)
        self.sweep(now)
        follow_up = next((d for d in self.history.pending.values() if d.alarm_id == alarm_id), None)
        if follow_up is not None:
            return follow_up
        start = moment(alarm["start"], "the alarm's start") if impact_start is None else moment(impact_start)
        told = {"alarm_id": alarm_id, "at": now, "impact_start": min(start, now)}
        rows = suspects(causes, alarm_id)
        known = (self.playbooks, self.inventory, self.guards, state, self.history, float(impact))
        decision = choose(told, rows, *known, before=self.before, since=since, wait=wait, settled=settled)
        before = self.history.decided.get(alarm_id)
        if before is not None and same(before, decision) and self._holds(before, now):
            return before
        known = {}
        if decision.kind == "escalate":  # kept, for whoever calls people after a kill
            causes = rows.drop(columns="failure_mode").assign(mode=rows["failure_mode"]).head(3).astype(object)
            cause = causes.where(causes.notna(), None).to_dict("records")
            known = {"evidence": {**(evidence or {}), "cause": cause}}
        self.record.append("decision", now, decision=decision.facts(), mode=self.mode, valid=self.guards.valid, **known)
        self._look()
        if known:
            self._call(alarm_id, decision.because, now, known["evidence"], give_up=False)
        return decision

    def _holds(self, before: Decision, now: pd.Timestamp) -> bool:
        """Whether an earlier one may be given again: one of this mode does not end while somebody thinks about it."""
        lasts = 0 <= (now - before.at).total_seconds() < self.guards.valid / 2
        return not before.acts or (lasts and self.history.modes[before.alarm_id] == self.mode)

    # ---- act --------------------------------------------------------------------------------------------------------
    def act(self, decision: Decision, now: pd.Timestamp, state: ServiceState, *, approval: str | None = None) -> Acted:
        """Do what was decided, once, if every guard still agrees.

        What is going to be done is on disk before it begins. A process that is killed meanwhile leaves an action
        without an end: `resume` takes it for perhaps done, and nobody does it again.

        Parameters
        ----------
        decision : Decision
            Of `decide`, `observe` or `pending`.
        now : Timestamp
            UTC; the action ends as many seconds later as it took.
        state : ServiceState
            Of the service now, which may be another than when it was decided.
        approval : str, optional
            A token of `grant`.

        Returns
        -------
        Acted
            'refused' and 'needs_approval' say who would have to agree; it may be asked again.
        """
        now = moment(now)
        if not decision.acts:
            return Acted("nothing", decision.because)
        with self.record.locked():
            self._look()
            playbook = checked(decision, self.playbooks)
            told = refusals(self.guards, decision, playbook, state, self.history, now)
            if told:
                return self._refused(decision, told, now)
            if self.mode == "dry-run":
                return self._rehearsed(decision, playbook, now)
            by, why = None, needs_approval(self.guards, playbook, decision.entity, self.mode, now)
            if why and approval is None:
                return Acted("needs_approval", why)
            if approval is not None:
                try:
                    by = check_token(approval, decision, self.key, now)
                except ContractError as error:
                    return self._refused(decision, (Refusal("approval", str(error)),), now)
                if by.token_id in self.history.used:
                    why = f"this approval let {self.history.used[by.token_id]} happen, and holds once"
                    return self._refused(decision, (Refusal("approval", why),), now)
            facts = intent(decision, playbook, state)
            facts |= {"mode": "approved" if by else "automatic", "approval": by and by.token_id, "by": by and by.by}
            UNDER_WAY.add(facts["action_id"])
            try:
                self.record.append("intent", now, **facts)
                self._look()
            except BaseException:
                UNDER_WAY.discard(facts["action_id"])
                raise
        return self._done(facts, now)

    def _done(self, facts: dict, now: pd.Timestamp) -> Acted:
        name = facts["action_id"]
        try:
            outcome, took = carry_out(facts, now, self.inventory, self.guards, self.history)
            end = now + pd.Timedelta(seconds=round(took, 6))
            told = {"status": outcome.status, "detail": outcome.detail, "undo": outcome.undo, "end": end.isoformat()}
            self.record.append("outcome", end, action_id=name, **told)
            self._look()
            if facts["kind"] == "rollback" and outcome.status != "done":
                self._not_taken_back(facts, end, outcome.detail)
        finally:
            UNDER_WAY.discard(name)
        return Acted(outcome.status, outcome.detail, name, start=now, end=end)

    def _not_taken_back(self, facts: Mapping, now: pd.Timestamp, detail: str) -> None:
        why = f"{facts['playbook']} on {facts['entity']} could not be taken back"
        self._drop(facts["alarm_id"], now, why, said=detail)
        self._call(facts["alarm_id"], why, now, {"said": detail})

    def _refused(self, decision: Decision, told: tuple[Refusal, ...], now: pd.Timestamp) -> Acted:
        said = "; ".join(f"{refusal.guard}: {refusal.why}" for refusal in told)
        guards = [refusal.guard for refusal in told]
        if self.history.refused.get(decision.decision_id) != guards:  # said once, however often it is tried
            why = {refusal.guard: refusal.why for refusal in told}
            self.record.append("refused", now, decision_id=decision.decision_id, guards=guards, why=why)
        return Acted("refused", said, refusals=told)

    def _rehearsed(self, decision: Decision, playbook: Playbook, now: pd.Timestamp) -> Acted:
        name = f"{decision.decision_id[:12]}-rehearsal"
        said = f"dry run: would {decision.plan['action']} {decision.entity}"
        if name not in self.history.actions:
            facts = {k: getattr(decision, k) for k in ("decision_id", "alarm_id", "entity", "step", "kind")}
            more = {"action_id": name, "playbook": playbook.name, "action": decision.plan["action"]}
            self.record.append("rehearsal", now, mode="dry-run", **facts, **more)
            self._look()
        return Acted("dry-run", said, name, start=now, end=now)

    # ---- observe ----------------------------------------------------------------------------------------------------
    def open_cases(self) -> list[Case]:
        """Repairs that wait for their verdict: make an `Aftermath` for each of them, and `observe` it."""
        return self._look().cases()

    def pending(self) -> list[Decision]:
        """What observations led to and nobody has acted upon yet, in order: hand each to `act`."""
        return list(self._look().pending.values())

    def observe(self, case: Case, aftermath: Aftermath, now: pd.Timestamp) -> Progress:
        """Ask for the verdict; when it is final, write it down and say how it goes on.

        Verified: the case is closed. Not recovered: the step is taken back where its playbook says so, then comes the
        next step; after the last one the alarm is free for another playbook, until `guards.tries` are used up, then
        people are called. Inconclusive: people are called, since nothing is known.

        Parameters
        ----------
        case : Case
            Of `open_cases`.
        aftermath : Aftermath
            What is known of its effect until now.
        now : Timestamp
            UTC.
        """
        now = moment(now)
        if (aftermath.entity, aftermath.acted_at) != (case.entity, case.acted_at):
            expected = f"the aftermath of {case.entity} since {case.acted_at}"
            raise ContractError(expected=expected, got=f"{aftermath.entity} since {aftermath.acted_at}")
        playbook = self.playbooks.get(case.playbook)
        progress, verdict, steps = follow(case, aftermath, playbook, self._look())
        with self.record.locked():
            history = self._look()
            action = history.actions[case.action_id]
            if not action.waits:
                return Progress(action.verdict or "not_recovered", True)  # another process was faster
            if not progress.final:
                return progress
            decisions = tuple(next_step(case, playbook, *step, action.facts["impact_start"], now) for step in steps)
            title = f"{case.playbook} on {case.entity}: {progress.verdict.replace('_', ' ')}"
            calls = unsolved(verdict, progress, steps, len(dict(history.tried(case.alarm_id))) >= self.guards.tries)
            kind = "left" if case.status == "failed" and progress.verdict != "verified" else "verdict"
            follows = {"decisions": [decision.facts() for decision in decisions], "calls": title if calls else ""}
            self._judged(kind, case, progress, now, credited=verdict.credited, **follows)
        if calls:
            self._call(case.alarm_id, title, now, {"check": list(progress.checks)})
        else:
            key, text = f"{case.action_id}.{progress.verdict}", "\n".join(progress.checks)
            self._tell(key, title, text, now, progress.verdict == "not_recovered")
        return Progress(progress.verdict, True, decisions, calls, progress.checks)

    def _judged(self, kind: str, case: Case, progress: Progress, now: pd.Timestamp, **follows: object) -> None:
        told = {"action_id": case.action_id, "verdict": progress.verdict, "checks": list(progress.checks), **follows}
        self.record.append(kind, now, **told, mode=self.mode, valid=self.guards.valid)
        self._look()

    # ---- after a crash, and over time -------------------------------------------------------------------------------
    def resume(self, now: pd.Timestamp) -> list[Case]:
        """After a start: whatever was begun and has no end was perhaps done; it is judged and never repeated.

        Returns
        -------
        list of Case
            All repairs that wait for their verdict.
        """
        self.sweep(now)
        return self.open_cases()

    def _lost(self, now: pd.Timestamp) -> None:
        why, lost, backs = "whoever began it was killed: perhaps it was done", [], []
        with self.record.locked():
            for name, action in self._look().real():
                if action.end is None and not lives(name, action, now):
                    end = max(now, action.at).isoformat()
                    self.record.append("outcome", now, action_id=name, status="perhaps", detail=why, undo=None, end=end)
                    lost.append(name)
            for name, action in self._look().real():  # of this process or of one before, which had no time to say so
                unsaid = action.facts["alarm_id"] not in self.history.given_up and name not in UNDER_WAY
                failed = action.facts["kind"] == "rollback" and action.end is not None and action.status != "done"
                if failed and (unsaid or name in lost):
                    backs.append(action)
        for back in backs:
            self._not_taken_back(back.facts, now, back.detail)

    def sweep(self, now: pd.Timestamp) -> None:
        """Close what was lost or not judged, drop what was not done, repeat what nobody heard; `decide` does so too."""
        now = moment(now)
        self._lost(now)
        with self.record.locked():
            history = self._look()
            late = [c for c in history.cases() if (now - c.acted_at).total_seconds() > self.guards.forgotten]
            for case in late:
                checks = (f"nobody judged it within {self.guards.forgotten:g} s",)
                self._judged(
                    "verdict",
                    case,
                    Progress("inconclusive", True, checks=checks),
                    now,
                    calls=f"{case.entity}: nobody judged {case.playbook}",
                )
            old = {d.alarm_id for d in history.pending.values() if (now - d.at).total_seconds() > self.guards.valid}
            gone = [decision for decision in history.pending.values() if decision.alarm_id in old]
            for alarm_id in sorted(old):
                self._drop(alarm_id, now)
        for case in late:
            self._call(case.alarm_id, f"{case.entity}: nobody judged {case.playbook}", now)
        for decision in gone:
            self._call(decision.alarm_id, f"not done in time: {decision.because}", now)
        repeat(self.record, self.history, self.send, now, quiet=self.guards.quiet)

    def _drop(self, alarm_id: str, now: pd.Timestamp, why: str = "", **evidence: str) -> None:
        for decision in [d for d in self.history.pending.values() if d.alarm_id == alarm_id]:
            calls = why or f"not done in time: {decision.because}"
            self.record.append("dropped", now, decision_id=decision.decision_id, calls=calls, evidence=evidence)
        self._look()

    def taken_back(self, action_id: str, now: pd.Timestamp, *, by: str) -> None:
        """Write down that a person has taken an action back, such as given requests again to what was failed over.

        Raises
        ------
        ContractError
            There is no such action.
        """
        one_of(action_id, self._look().actions, "action")
        self.record.append("taken_back", moment(now), action_id=action_id, by=by)
        self._look()

    # ---- people -----------------------------------------------------------------------------------------------------
    def _call(
        self, alarm_id: str, why: str, now: pd.Timestamp, evidence: dict | None = None, give_up: bool = True
    ) -> None:
        if give_up and alarm_id not in self.history.given_up:
            self.record.append("escalated", now, alarm_id=alarm_id, why=why, evidence=evidence or {})
            self._look()
        call(self.record, self.history, self.send, alarm_id, why, evidence or {}, now, quiet=self.guards.quiet)

    def _tell(self, key: str, title: str, text: str, now: pd.Timestamp, bad: bool) -> None:
        tell(self.record, self.history, self.send, key, title, text, now, bad=bad, quiet=self.guards.quiet)

    # ---- what it leaves ----
    def actions(self) -> pd.DataFrame:
        """The contract's table of actions, rehearsals included."""
        return actions_table(self._look())
