"""Repair in a watch: asked for each alarm that has a cause, and for the verdict on what was done, at every step."""

from __future__ import annotations

__all__ = ["Repairs"]

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stability.monitor.beside import told_beside, unchanged_since
from stability.monitor.incident import AGAIN, RUNS
from stability.monitor.looks import in_words, named, settled
from stability.monitor.messages import Messenger
from stability.monitor.recalls import judged, recall, recalled, untold
from stability.remediation.aftermath import Aftermath
from stability.remediation.approval import approval_key
from stability.remediation.decisions import Acted, Case, Decision, ServiceState
from stability.remediation.guards import Guards, read_guards
from stability.remediation.inventory import read_inventory
from stability.remediation.playbooks import read_playbooks
from stability.remediation.record import Record
from stability.remediation.repairer import Repairer
from stability.schema import ContractError
from stability.workbench.notification import send

if TYPE_CHECKING:
    from stability.monitor.chain import Watch
    from stability.monitor.incident import Incident

BEFORE = 1_800_000_000  # microseconds of history before the impact that a verdict compares with
HURT = 0.01  # share of a step's requests that fail: from there on, users are hurt
AT_ONCE = 8  # actions that are waited for at the same time; guards allow fewer
LATELY = 3  # steps in which who answered is healthy
LONGEST = 50  # lines of a timeline
TOLD = 5  # newest looks of which people are told who are called
NEAR = 20  # neighbours that a verdict looks at: each costs it a few ms, at every step
LARGEST = 4096  # bytes of an approval
APPROVALS = "approvals"  # folder of tokens, a file named after the decision each


@dataclass(frozen=True)
class UnderWay:
    """An action that somebody is at."""

    decision: Decision
    begun: pd.Timestamp
    done: Future[Acted]


class Repairs:
    """A repairer, and what it has to know of the service at each step.

    Actions are done in threads, so that steps keep their rhythm; only where the clock is that of the rows, which wait
    for nobody, a step waits for them. What is begun stands in the repairer's record before it begins: whoever is
    killed meanwhile finds an intent without an outcome there, which is judged by what is seen and never repeated.

    Parameters
    ----------
    watch : Watch
    before : Repairs, optional
        Whose actions go on.
    """

    def __init__(self, watch: Watch, before: Repairs | None = None):
        self.watch, self.part = watch, watch.told.repair
        self.under_way: dict[str, UnderWay] = before.under_way if before else {}
        self.workers = before.workers if before else ThreadPoolExecutor(AT_ONCE, thread_name_prefix="repair")
        self.ended: list[dict[str, Any]] = before.ended if before else []
        self.closed = False  # nothing is begun any more
        self.recalls: set[str] = before.recalls if before else set()  # alarms that were taken up after a start
        # What is known of the service is as old as its newest rows: no guard may take that for carelessness.
        told = watch.told
        stale = {"stale": max(Guards().stale, (3 * told.step_us + told.delay_us) / 1e6)}
        self.messages = before.messages if before else Messenger(send)
        self.record = Record(watch.folder / "repairs.jsonl")
        self.repairer = Repairer(
            read_playbooks(watch.told.place(self.part.playbooks)),
            read_inventory(watch.told.place(self.part.inventory)),
            self.record,
            read_guards(stale | self.part.guards),
            mode=self.part.mode,
            send=self.messages if self.part.notify else None,
            key=approval_key(),
        )

    def now(self, moment: int) -> pd.Timestamp:
        """The time: after an outage steps are old, and the clock says so to the guards, which forbid to act on them."""
        if self.part.clock == "rows":
            return pd.Timestamp(moment, unit="us", tz="UTC")
        return pd.Timestamp.now("UTC").as_unit("us")

    def state(self, moment: int, begun: pd.Timestamp | None = None) -> ServiceState:
        """Who is up, whether users are hurt, as the last rows say, and what changed from shortly before `begun` on."""
        ring = self.watch.ring
        healthy: dict[str, bool] = {}
        if "up" in ring.metrics and len(ring.times):
            lately = ring.values[ring.metrics.index("up"), :, -LATELY:]
            for name, up in zip(ring.entities, lately, strict=True):
                if not np.isnan(up[-1]):  # who was last seen a while ago is not known to serve
                    healthy[name] = not bool((up <= 0).any())
        at = pd.Timestamp(moment, unit="us", tz="UTC")
        broken = self.broken(moment)
        impact, since = None if broken is None else bool(broken), {} if begun is None else self._since(begun, at)
        return ServiceState(at, healthy, self.watch.told.groups, impact, since)

    def _since(self, begun: pd.Timestamp, at: pd.Timestamp) -> Mapping[str, Mapping[str, pd.Timestamp]]:
        """Since when states have been what they are, as far as a playbook asks for it."""
        asked = [one.conditions.changed.within for one in self.repairer.playbooks.values() if one.conditions.changed]
        if not asked:
            return {}
        # Who asks from a moment on gets what held then as a row of that moment, which must not look like a change.
        try:
            states = told_beside(self.watch, begun - pd.Timedelta(max(asked) + 1, "s"), at).get("states")
        except ContractError:  # a look that reads the same is one of an unknown mode, which is not repaired
            return {}
        return {} if states is None else unchanged_since(states, at)

    def broken(self, moment: int) -> list[str] | None:
        """What of the promise to users is broken, in words: nothing, and they are not hurt; None where nobody tells."""
        part, since = self.watch.told.service, moment - LATELY * self.watch.told.step_us
        if part is not None and part.felt is not None:
            bounds = part.felt.below | part.felt.above
            own = self.watch.ring.panel(since, [part.felt.entity])
            told = own.reindex(columns=list(bounds)).dropna()
            if told.empty:
                return None
            last, said = told.iloc[-1], "{name} is {value:.4g}, and {bound:g} is the {end} that is promised"
            low = [(name, bound, "least") for name, bound in part.felt.below.items() if last[name] < bound]
            high = [(name, bound, "most") for name, bound in part.felt.above.items() if last[name] > bound]
            return [said.format(name=n, value=last[n], bound=bound, end=end) for n, bound, end in low + high]
        asked = self.service(since).dropna()
        if not len(asked) or not asked["total"].sum() > 0:
            return None
        failed = 1 - asked["good"].sum() / asked["total"].sum()
        return [f"{failed:.2%} of the requests fail, and {HURT:.0%} is the most"] if failed > HURT else []

    def service(self, since: int) -> pd.DataFrame:
        """Good and all requests of each step, as users see them; without rows where nobody counts them."""
        part = self.watch.told.service
        named = None if part is None else (part.total, part.good or part.errors)
        if named is None or not set(named) <= set(self.watch.ring.metrics):
            return pd.DataFrame()
        own = self.watch.ring.panel(since, part.entities)[list(named)]
        grown = own.groupby(level="entity").diff()
        grown = grown.where(~(grown < 0), own)  # it began again at zero
        total, counted = grown[named[0]], grown[named[1]]
        good = counted if part.good else total - counted
        if part.good:  # a series of good ones may not be there before the first
            good = good.fillna(0.0).where(total.notna())
        return pd.DataFrame({"good": np.minimum(good, total).clip(lower=0.0), "total": total})

    # ---- what is done ------------------------------------------------------------------------------------------------
    def decide(self, incident: Incident, causes: pd.DataFrame, moment: int) -> bool:
        """Ask what to do about an incident, and do it as far as the mode lets it; whether that is a new decision."""
        alarm = incident.alarm | {"start": pd.Timestamp(incident.alarm["start"], unit="us", tz="UTC")}
        now, state = self.now(moment), self.state(moment, alarm["start"])
        until, why = settled(incident, moment, self.watch.told.looks)
        told: dict[str, Any] = {"wait": why} if until else {"settled": why}
        told["since"] = _alike_since(incident)
        if why and not until:
            told["evidence"] = {"users": self.broken(moment) or [], "look": [*map(in_words, incident.looks[-TOLD:])]}
        decision = self.repairer.decide(alarm, causes, now, state, impact=self.part.impact_minutes, **told)
        new = decision.decision_id != incident.decision.get("decision_id")
        if new or incident.acted.get("status") in AGAIN:
            self._act(incident, decision, now, state)
        return new

    def busy(self, incident: Incident) -> bool:
        """Whether something of an incident is under way, or waits for its verdict or its turn."""
        name = incident.alarm["alarm_id"]
        if any(one.decision.alarm_id == name for one in self.under_way.values()):
            return True
        history = self.repairer.history
        waits = any(action.waits for _, action in history.of_alarm(name))
        waits |= name in self.recalls and bool(untold(self, incident))
        return waits or any(one.alarm_id == name for one in list(history.pending.values()))

    def say(self, incident: Incident, decision: Decision) -> None:
        """Note in an incident what was decided about it."""
        named = {"kind": decision.kind, "entity": decision.entity, "playbook": decision.playbook, "step": decision.step}
        named |= {"waits": decision.waits, "because": decision.because}
        incident.decision = {"decision_id": decision.decision_id, **named}
        incident.decision["options"] = [
            {"playbook": one.playbook, "entity": one.entity, "gain": one.gain, "why_not": [r.why for r in one.refusals]}
            for one in decision.options
        ]
        incident.happened(decision.at.isoformat(), f"decided: {decision.kind}, because {decision.because}")

    def _act(self, incident: Incident, decision: Decision, now: pd.Timestamp, state: ServiceState) -> None:
        self.say(incident, decision)
        if not decision.acts or decision.decision_id in self.under_way:
            return
        told = {"approval": self._approval(decision)}
        if self.part.clock == "rows":
            self._has_acted(incident, decision, now, self.repairer.act(decision, now, state, **told))
            return
        what = f"{decision.plan['action']} of {decision.entity}"
        incident.acted = {"status": RUNS, "detail": what, "action_id": None, "decision_id": decision.decision_id}
        done = self.workers.submit(self.repairer.act, decision, now, state, **told)
        self.under_way[decision.decision_id] = UnderWay(decision, now, done)

    def _has_acted(self, incident: Incident | None, decision: Decision, begun: pd.Timestamp, acted: Acted) -> None:
        told = {"alarm_id": decision.alarm_id, "decision_id": decision.decision_id, "of": decision.kind}
        told |= {"entity": decision.entity, "action": decision.plan["action"], "playbook": decision.playbook}
        told |= {"status": acted.status, "detail": acted.detail, "action_id": acted.action_id}
        told |= {"begun": (acted.start or begun).isoformat(), "ended": (acted.end or begun).isoformat()}
        self.ended.append(told | {"touched": acted.touched})
        if incident is None:
            return
        again = all(incident.acted.get(name) == told[name] for name in ("status", "detail"))
        incident.acted = {name: told[name] for name in ("status", "detail", "action_id", "decision_id")}
        if acted.status not in AGAIN or (not again and len(incident.timeline) < LONGEST):
            at = acted.end if acted.touched and acted.end is not None else decision.at
            incident.happened(at.isoformat(), f"{acted.status}: {acted.detail}")

    def _collect(self, held: Mapping[str, Incident]) -> None:
        """Take what came of actions that have ended."""
        for name, one in list(self.under_way.items()):
            if not one.done.done():
                continue
            del self.under_way[name]
            error = one.done.exception()
            acted = one.done.result() if error is None else Acted("refused", f"{type(error).__name__}: {error}")
            self._has_acted(held.get(one.decision.alarm_id), one.decision, one.begun, acted)

    def told(self) -> list[dict[str, Any]]:
        """What has ended since this was asked last, as JSON types."""
        told = list(self.ended)
        self.ended.clear()
        return told

    def _approval(self, decision: Decision) -> str | None:
        """A token that somebody laid down for this decision."""
        path = self.watch.folder / APPROVALS / decision.decision_id
        if self.part.mode == "dry-run" or not path.is_file() or path.is_symlink():
            return None
        try:
            with path.open("rb") as file:
                return file.read(LARGEST).decode("ascii").strip() or None
        except (OSError, UnicodeDecodeError):  # what cannot be read approves nothing, and stops nothing else
            return None

    def observe(self, held: Mapping[str, Incident], moment: int) -> Iterator[Incident]:
        """Take what ended, ask for the verdict on everything that was done, and go on; incidents with a new verdict.

        What goes wrong with one of them is raised when all the others have been gone through.
        """
        self._collect(held)
        for incident in held.values():  # somebody else was at it when the watch began
            if incident.acted.get("status") == RUNS and incident.acted.get("decision_id") not in self.under_way:
                recall(self, incident)
        now, failed = self.now(moment), []
        seen = min(now, pd.Timestamp(moment, unit="us", tz="UTC"))  # nobody judges by rows that are still to come
        for case in self.repairer.open_cases():
            if case.acted_at > seen:
                continue
            try:
                progress = self.repairer.observe(case, self._aftermath(case, seen), now)
            except Exception as error:  # noqa: BLE001  a repair that cannot be judged keeps no other one waiting
                failed.append(error)
                continue
            incident = held.get(case.alarm_id)
            if incident is not None and progress.final:
                told = {"action_id": case.action_id, "entity": case.entity, "escalated": progress.escalated}
                yield judged(incident, now, progress.verdict, progress.checks, told)
        yield from recalled(self, held, now, seen)
        self.repairer.sweep(now)
        if self.closed:
            return
        state = self.state(moment)
        fresh = (now - state.at).total_seconds() <= self.repairer.guards.stale  # later it would be refused for that
        for decision in self.repairer.pending() if fresh else ():
            waits = any(one.decision.alarm_id == decision.alarm_id for one in self.under_way.values())
            if decision.alarm_id in held and not waits and decision.at <= now:  # a way back before the next step
                self._act(held[decision.alarm_id], decision, now, state)
        for incident in held.values():
            again = fresh and (incident.acted.get("status") in AGAIN or self._waits(incident))
            if not again or not incident.open or self.busy(incident):
                continue
            if named(incident, self.watch.told.looks.agree) is not None:
                self.decide(incident, incident.table(), moment)
        if failed:
            raise failed[0]

    def _waits(self, incident: Incident) -> bool:
        """Whether its decision is one to be asked for again soon; after a start the record may know a later one."""
        decided = self.repairer.history.decided.get(incident.alarm["alarm_id"])
        return bool(incident.decision.get("waits")) and decided is not None and decided.waits

    def wait(self) -> None:
        """Wait for what is under way; nothing is begun afterwards."""
        self.closed = True
        self.workers.shutdown(wait=True)
        self.messages.close()

    def _aftermath(self, case: Case, now: pd.Timestamp) -> Aftermath:
        watch = self.watch
        begun = case.acted_at if case.impact_start is pd.NaT else case.impact_start
        since = int(begun.timestamp() * 1e6) - BEFORE
        neighbours = self._nearest(case)
        who = [case.entity, *neighbours]
        thresholds = {sentry.name: sentry.threshold for sentry in watch.sentries}
        thresholds |= {watch.fires: 0.5} if watch.fires in watch.scored.metrics else {}
        seen = {"telemetry": watch.ring.panel(since, who), "scores": watch.scored.panel(since, who)}
        return Aftermath(
            case.entity, case.acted_at, case.impact_start, max(now, case.acted_at), service=self.service(since),
            thresholds=thresholds, neighbours=neighbours, step=watch.told.step_us / 1e6, **seen,
        )  # fmt: skip

    def _nearest(self, case: Case) -> Sequence[str]:
        """Whom a repair may hurt: all, where they are few; else its group, whom it is linked to, who is asked first.

        Not the users: whether they are hurt is what the counted requests say.
        """
        told = self.watch.told
        users = told.service.felt.entity if told.service and told.service.felt else None
        beside = tuple(one for one in case.neighbours if one != users)
        if len(beside) <= NEAR:
            return beside
        group = next((members for members in told.groups.values() if case.entity in members), ())
        asked = told.service.entities if told.service else ()
        near = dict.fromkeys([*group, *sorted(self.watch.incidents.links.get(case.entity, ())), *asked])
        known = set(beside)
        return tuple(dict.fromkeys([*(one for one in near if one in known), *beside]))[:NEAR]

    def resume(self) -> None:
        """After a start: what was begun and never ended was perhaps done, and is judged, never repeated."""
        self.repairer.resume(self.now(self.watch.moment))


def _alike_since(incident: Incident) -> pd.Timestamp | None:
    """Since when looks have said the same, without a break."""
    at, said = None, [(one["entity"], one["failure_mode"]) for one in incident.looks]
    for one, pair in zip(reversed(incident.looks), reversed(said), strict=True):
        if pair != said[-1]:
            break
        at = pd.Timestamp(one["at"])
    return at
