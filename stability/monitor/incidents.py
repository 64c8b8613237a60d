"""What follows from an alarm: its causes, how much they matter, what is done about it, and a page that tells of it.

Whatever goes wrong here is told and counted, and the watch goes on: an alarm without a cause is still an alarm.
"""

from __future__ import annotations

__all__ = ["Incidents"]

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stability.fmea.files import read_worksheet
from stability.localization import Diagnoser
from stability.monitor.causes import causes_of, priority_of, unseen
from stability.monitor.incident import AGAIN, RUNS, Incident
from stability.monitor.journal import JournalError
from stability.monitor.looks import UNKNOWN, joined, named, news, plan, settled, worst
from stability.monitor.recalls import adopt, caught_up, recall, remember
from stability.monitor.reports import report_name, write_report
from stability.monitor.sentries import Raised
from stability.schema import ContractError
from stability.telemetry.grid import micros

if TYPE_CHECKING:
    from stability.monitor.chain import Step, Watch
    from stability.monitor.repairs import Repairs
    from stability.monitor.ring import Rows

KEPT = 200  # incidents that are held, to be shown and to go on with
SHOWN = 4  # entities in a report's picture: the alarm's own, and the likeliest


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
    links : dict of str to set of str
        Entity -> whom it calls, or who calls it.
    """

    def __init__(self, watch: Watch):
        self.watch, self.told = watch, watch.told
        self.held: dict[str, Incident] = {}
        self.localizer: Diagnoser | None = None
        self.worksheet: pd.DataFrame | None = None
        self.repair: Repairs | None = None
        self._begun, self._left = -1, deque[Callable[[], object]]()  # a step, and what of it is still to be done
        self.link(watch.topology)
        self.use(self.read())

    def link(self, topology: pd.DataFrame | None) -> None:
        """Take who is linked to whom from a topology."""
        self.links: dict[str, set[str]] = {}
        for source, target in [] if topology is None else topology.index:
            self.links.setdefault(source, set()).add(target)
            self.links.setdefault(target, set()).add(source)

    def read(self) -> tuple[Diagnoser | None, pd.DataFrame | None, Repairs | None]:
        """Read what alarms are looked into with, as it is now; `use` takes it.

        Raises
        ------
        ContractError
            Something of it cannot be used.
        """
        told = self.told
        localizer = Diagnoser.load(told.place(told.localizer)) if told.localizer else None
        if localizer is not None and localizer.usual_ is None:
            remedy = "fit it with usual=usual_moves(...)"
            raise ContractError(
                file=told.localizer, expected="a localizer that knows quiet time", got="none", remedy=remedy
            )
        worksheet = read_worksheet(told.place(told.worksheet)) if told.worksheet else None
        if told.repair is None:
            return localizer, worksheet, None
        from stability.monitor.repairs import Repairs

        return localizer, worksheet, Repairs(self.watch, self.repair)

    def use(self, parts: tuple[Diagnoser | None, pd.DataFrame | None, Repairs | None]) -> None:
        """Look into alarms with what `read` gave, from now on."""
        self.localizer, self.worksheet, self.repair = parts

    # ---- a step ------------------------------------------------------------------------------------------------------
    def step(self, step: Step, rows: Rows, values: np.ndarray) -> None:
        """Look into what is new, look again where it is due, close what ended, and go on with repairs.

        Called again for a step whose entries the disk did not take, it goes on where it stopped.
        """
        moment, repairs = step.moment, self.repair is not None
        if moment != self._begun:
            acts = [
                lambda: repairs and self._guarded("repair", lambda: self._observe(moment)),
                lambda: self._call(step),
                lambda: self._close(step),
                lambda: repairs and self._guarded("service", lambda: self._feel(moment)),
                lambda: self._look_again(moment),
                lambda: repairs and self._tell_acted(moment),
            ]
            self._begun, self._left = moment, deque(acts)
        self._go_on()

    def _go_on(self) -> None:
        """Do what is left, one after the other; what the disk does not take stays left."""
        while self._left:
            act = self._left.popleft()
            try:
                act()
            except BaseException:
                self._left.appendleft(act)
                raise

    def _then(self, *acts: Callable[[], object]) -> None:
        """Do this next, before what was left."""
        self._left.extendleft(reversed(acts))

    def _write(self, key: str, moment: int, **told: Any) -> Callable[[], bool]:
        """An entry that is to be written, with what is known now."""
        return partial(self.watch.journal.once, key, moment, **told)

    def _call(self, step: Step) -> None:
        """Open incidents of new alarms, and tell open ones who joins them."""
        moment, most = step.moment, self.told.incidents_per_step
        fresh = [one for one in step.alarms if one.end is None and not one.suppressed_by]
        fresh.sort(key=lambda one: (one.severity != "critical", -one.score if np.isfinite(one.score) else 0.0))
        calls = joined(fresh, self.held, self.told.looks, self.links)
        acts = [partial(self._guarded, "incident", partial(self._open, one, moment)) for one in calls.opened[:most]]
        if left := calls.opened[most:]:
            text = f"{len(left)} more alarms in this step were not looked into, which is for {most}"
            acts.append(self._write(f"left/{moment}", moment, kind="left", said=text))
        acts += [partial(self._join, self.held[name], what, fresh, moment) for name, what in calls.joins.items()]
        self._then(*acts)

    def _open(self, alarm: Raised, moment: int) -> None:
        if known := self.watch.journal.kept.get(f"incident/{alarm.alarm_id}"):
            remember(self, known)
            self._count(1)  # a checkpoint before it has not
            return
        incident = Incident(asdict(alarm), page=report_name(alarm.alarm_id, alarm.start))
        incident.news, incident.fired, incident.worst = alarm.start, moment, alarm.severity
        incident.happened(_iso(alarm.start), f"{alarm.detector} on {alarm.entity}: {alarm.reason}")
        self.held[alarm.alarm_id] = incident
        for old in sorted(self.held, key=lambda name: self.held[name].open)[: max(len(self.held) - KEPT, 0)]:
            self.held.pop(old)  # the oldest of those that are over; where all go on, the oldest
        if self.localizer is not None:
            plan(incident, moment, self.told.looks, now=False)
            self._look(incident, moment, "it began")
        new = self._decide(incident, moment)
        self._guarded("report", lambda: self._report(incident, moment))
        told = asdict(incident) | {"alarm_id": alarm.alarm_id, "decided": new}
        write = self._write(f"incident/{alarm.alarm_id}", moment, kind="incident", **told)
        self._then(lambda: self._count(write()))

    def _count(self, incidents: int) -> None:
        self.watch.counts["incidents"] += incidents

    def _join(self, incident: Incident, what: list[str], fresh: list[Raised], moment: int) -> None:
        """Take news of an open incident: it is looked into anew, from now on."""
        names = [one.entity for one in fresh if f"{one.detector} of {one.entity}" in what]
        incident.members += [name for name in dict.fromkeys(names) if name not in incident.members]
        incident.worst = worst([incident.worst, *(one.severity for one in fresh if one.entity in names)])
        news(incident, max(one.start for one in fresh if one.entity in names), self.told.looks)
        incident.happened(_iso(moment), f"joined by {', '.join(what)}")
        if self.localizer is not None:
            plan(incident, moment, self.told.looks)

    def _close(self, step: Step) -> None:
        """Close what is over: an alarm that ended, or a service whose alarms have been silent for a while."""
        service = self.told.looks.service
        if service is None:
            for one in step.alarms:
                if one.end is not None and one.alarm_id in self.held:
                    self._over(self.held[one.alarm_id], asdict(one), one.score, step.moment)
            return
        goes_on = any(one.detector.startswith("rule:") for one in self.watch.open_alarms)
        for incident in self.held.values():
            if not incident.open:
                continue
            incident.fired = step.moment if goes_on else incident.fired
            if step.moment - incident.fired > micros(self.told.looks.clear, "clear"):
                told = {"alarm_id": incident.alarm["alarm_id"], "end": _iso(incident.fired)}
                self._then(self._write(f"over/{told['alarm_id']}", step.moment, kind="incident_over", **told))
                self._over(incident, {"end": incident.fired}, incident.alarm["score"], step.moment)

    def _over(self, incident: Incident, said: dict[str, Any], score: float, moment: int) -> None:
        incident.alarm |= said
        incident.open, incident.due, incident.settles = False, [], 0
        incident.happened(_iso(incident.alarm["end"]), f"over; the highest score was {_said(score)}")
        self._guarded("report", lambda: self._report(incident, moment))

    def _feel(self, moment: int) -> None:
        """Take down since when users are hurt, without a break; where nobody can tell, it is as it was."""
        going = [one for one in self.held.values() if one.open]
        broken = self.repair.broken(moment) if going else None
        for one in going if broken is not None else ():
            one.hurt = (one.hurt or moment) if broken else 0
            if not one.looks or one.looks[-1]["failure_mode"] == UNKNOWN:
                continue  # it is waited for in its own way
            until, why = settled(one, moment, self.told.looks)
            if one.called or not why:
                one.settles = 0
            elif not one.settles:  # or later: something was under way when it was due
                one.settles = until or moment + max(self.told.looks.hurts_us, self.told.step_us)

    # ---- a look ------------------------------------------------------------------------------------------------------
    def _look_again(self, moment: int) -> None:
        """Look again at incidents where it is due; of too many the rest is due in the next step."""
        going = [one for one in self.held.values() if one.open]
        due = [one for one in going if min([*one.due[:1], one.settles or moment + 1]) <= moment]
        due = due[: self.told.incidents_per_step]
        self._then(*(partial(self._guarded, "look", partial(self._again, one, moment)) for one in due))

    def _again(self, incident: Incident, moment: int) -> None:
        """Look again, unless a repair is waited for: then what is seen is its doing. What that changes, decide anew."""
        incident.due = [at for at in incident.due if at > moment]
        settles = 0 < incident.settles <= moment  # people may have to be called, however often it was looked at
        incident.settles = 0 if settles else incident.settles
        number, name = len(incident.looks), incident.alarm["alarm_id"]
        if known := self.watch.journal.kept.get(f"look/{name}/{number}"):
            if known["moment"] <= moment:  # else something was under way, and nobody looked
                remember(self, known)
            return
        busy = self.repair is not None and self.repair.busy(incident)
        if busy or (number >= self.told.looks.most and not settles):
            return
        before = incident.looks[-1] if incident.looks else {}
        self._look(incident, moment, "again")
        new = self._decide(incident, moment)
        told = asdict(incident) | {"alarm_id": name, "decided": new}
        self._then(self._write(f"look/{name}/{number}", moment, kind="look", **told))
        now = incident.looks[-1]
        if new or any(before.get(one) != now[one] for one in ("entity", "failure_mode", "answer")):
            self._guarded("report", lambda: self._report(incident, moment))

    def _look(self, incident: Incident, moment: int, why: str) -> None:
        """Look into an incident; one that cannot be looked into is one that nobody knows."""
        before, hurt = incident.causes[:1], None
        try:
            incident.causes, incident.answer = causes_of(self.watch, self.localizer, incident, moment)
            hurt = None if self.repair is None else self.repair.state(moment).impact
        except Exception as error:  # noqa: BLE001  such as of a table beside the metrics that is damaged
            self._went_wrong("look", error)
            incident.causes, incident.answer = unseen(incident, error)
        best = incident.causes[0]
        seen = {"entity": _text(best["entity"]), "failure_mode": _text(best["failure_mode"])}
        if not before or any(_text(before[0][name]) != one for name, one in seen.items()):
            who = "nobody" if seen["entity"] is None else f"{best['failure_mode']} of {best['entity']}"
            text = f"likeliest cause: {who}, {best['probability']:.0%} ({incident.answer})"
            incident.happened(_iso(moment), text)
        seen |= {"probability": best["probability"], "answer": incident.answer, "severity": incident.worst}
        incident.looks.append({"at": _iso(moment), "why": why, **seen, "hurt": hurt})

    def _decide(self, incident: Incident, moment: int) -> bool:
        """Rate it and decide about it, whatever goes wrong there; says whether it is another decision than before."""
        new: list[bool] = []

        def act() -> None:
            incident.priority = priority_of(self.watch, self.worksheet, incident) or incident.priority
            new.append(self._consider(incident, moment))

        self._guarded("decision", act)
        return any(new)

    def _consider(self, incident: Incident, moment: int) -> bool:
        """Decide, where looks agree and nothing of it is under way; says whether it is another decision than before."""
        if self.repair is None or not incident.causes:
            return False
        if self.repair.busy(incident):
            if not incident.decision:
                adopt(self.repair, incident)
            return False
        said = named(incident, self.told.looks.agree)
        incident.settles, why = settled(incident, moment, self.told.looks)
        due = bool(why) and not incident.settles
        if due and incident.called and incident.looks[-1]["failure_mode"] != UNKNOWN:
            return False  # people know of it, and nothing new is known
        incident.called = incident.called or (moment if due else 0)
        if said is None and due:  # whoever it is, nobody knows what it is
            said = [incident.looks[-1]["entity"], UNKNOWN]
        if said is None or [*said, incident.verdicts] in incident.done:
            return False
        new = self.repair.decide(incident, incident.table(), moment)
        if incident.decision["kind"] in ("step", "rollback") and incident.acted.get("status") not in AGAIN:
            incident.done.append([*said, incident.verdicts])
        return new

    def _guarded(self, what: str, act) -> None:
        try:
            act()
        except JournalError:
            raise  # it is done again
        except Exception as error:  # noqa: BLE001  what an alarm is looked into with must not stop the next alarm
            self._went_wrong(what, error)

    def _went_wrong(self, what: str, error: Exception) -> None:
        self.watch.counts["errors"] += 1
        self.watch.note("error", what=what, said=f"{type(error).__name__}: {error}")

    def _observe(self, moment: int) -> None:
        acts: list[Callable[[], object]] = []
        try:
            for incident in self.repair.observe(self.held, moment):
                told = {"alarm_id": incident.alarm["alarm_id"], **incident.verdict}
                acts.append(self._write(f"verdict/{told['action_id']}", moment, kind="verdict", **told))
                if incident.open and self.localizer is not None:
                    plan(incident, moment, self.told.looks)  # a verdict is evidence, too
                self._guarded("report", lambda one=incident: self._report(one, moment))
        finally:
            self._then(*acts, lambda: self._tell_acted(moment))

    def _tell_acted(self, moment: int) -> None:
        """Write down what came of actions, each once."""
        self._then(*(partial(self._acted, told, moment) for told in self.repair.told()))

    def _acted(self, told: Mapping[str, Any], moment: int) -> None:
        key = f"acted/{told['decision_id']}/{told['status']}"
        new = self.watch.journal.once(key, moment, kind="acted", **told)
        if new and told["touched"] and told["alarm_id"] in self.held:
            self._guarded("report", lambda: self._report(self.held[told["alarm_id"]], moment))

    def _report(self, incident: Incident, moment: int) -> None:
        others = [one["entity"] for one in incident.causes if isinstance(one["entity"], str)]
        who = list(dict.fromkeys([incident.alarm["entity"], *others]))[:SHOWN]
        first = incident.alarm["start"] - 60 * self.told.step_us
        panel = self.watch.ring.panel(first, who)
        firings = list(self.watch.alerts.firing.values()) if self.watch.alerts is not None else []
        write_report(self.watch.folder / "reports", incident, panel, firings, moment)

    def in_use(self) -> set[str]:
        """Entities that an open incident is about, or of which a repair waits for its verdict."""
        going = [one for one in self.held.values() if one.open]
        used = {one.alarm["entity"] for one in going} | {name for one in going for name in one.members}
        used |= {cause["entity"] for one in going for cause in one.causes if isinstance(cause["entity"], str)}
        return used | ({case.entity for case in self.repair.repairer.open_cases()} if self.repair else set())

    # ---- kept --------------------------------------------------------------------------------------------------------
    def said(self) -> dict[str, Any]:
        """Incidents that are held, as JSON types; `restore` takes it."""
        return {name: one.said() for name, one in self.held.items()}

    def restore(self, told: Mapping[str, Any]) -> None:
        """Take what `said` gave; a repair that was begun and has no end was perhaps done."""
        self.held = {name: Incident(**one) for name, one in told.items()}
        if self.repair is not None:
            self._guarded("repair", self.repair.resume)
            self.repair.recalls |= set(self.held)
            for incident in self.held.values():
                if incident.acted.get("status") == RUNS:
                    self._guarded("repair", lambda incident=incident: recall(self.repair, incident))

    def caught_up(self) -> None:
        """Go on with repairs where they were, once the steps since the checkpoint were gone through again."""
        if self.repair is not None:
            self._guarded("repair", lambda: caught_up(self.repair, self.held))

    def of(self, alarm_id: str) -> Incident | None:
        """The incident to which an alarm belongs."""
        service = self.told.looks.service
        if service is None or not alarm_id.startswith("rule:"):
            return self.held.get(alarm_id)
        return next((one for one in self.held.values() if one.open), None)

    def close(self, moment: int) -> None:
        """Wait for actions that are under way, and write down what came of them."""
        if self.repair is not None:
            self.repair.wait()
            self._guarded("repair", lambda: self._observe(moment))
            self._go_on()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _said(score: float | None) -> str:
    return "none" if score is None or score != score else f"{float(score):.3g}"


def _iso(moment: int) -> str:
    return pd.Timestamp(moment, unit="us", tz="UTC").isoformat()
