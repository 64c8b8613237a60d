"""One step of the chain: rows of a moment come in; scores, firings, probabilities, alarms and what follows go out.

Rows are on the disk before anything is made of them, a checkpoint says what was known at some step, and all that
follows is made of both alone. So a watch that was killed goes through the steps since its checkpoint again, with the
same numbers, and what it had told already it does not tell again.
"""

from __future__ import annotations

__all__ = ["Step", "Watch"]

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stability.detection import load as load_detector
from stability.features.counters import Rates
from stability.monitor.alerts import Alerts, Firing
from stability.monitor.checkpoints import Checkpoint, Checkpoints
from stability.monitor.declaration import Declaration, DetectorPart
from stability.monitor.incidents import Incidents
from stability.monitor.journal import Journal
from stability.monitor.leavers import let_go
from stability.monitor.ring import Ring, Rows
from stability.monitor.rowlog import RowLog
from stability.monitor.sentries import Raised, Sentry, learn, posted, renewed, ruled_anew
from stability.monitor.step import FIRES, Beside, Step, alarm_of
from stability.rules import read_rules
from stability.schema import ContractError, read_table
from stability.telemetry import rate
from stability.telemetry.grid import micros


class Watch:
    """The state of a watch, and how a step changes it.

    Parameters
    ----------
    told : Declaration
    metrics : sequence of str
        Columns of the rows that will come.
    folder : Path, optional
        Of its state; the declaration's without it.
    beside : callable, optional
        Of (first, last): tables that diagnoses look at beside the metrics, where the source has some.

    Attributes
    ----------
    moment : int
        Of the last step, microseconds since 1970; -1 before the first.
    """

    fires = FIRES

    def __init__(
        self, told: Declaration, metrics: Sequence[str], *, folder: Path | None = None, beside: Beside | None = None
    ):
        self.beside = beside
        self.told, self.metrics, self.folder = told, list(metrics), folder or told.folder
        self.checkpoints = Checkpoints(self.folder / "checkpoints")
        self.log = RowLog(self.folder / "rows", metrics)
        self.reach = micros(told.history, "history")
        self.ring = Ring(metrics, self.reach // told.step_us + 1)
        self.scored: Ring | None = None  # scores, as long as the rows
        self.score_log: RowLog | None = None
        self.rated = list(rate(Ring(metrics, 1).panel()).columns)
        self.topology = read_table(told.place(told.topology), "topology") if told.topology else None
        self.moment, self.sentries, self.alerts = -1, [], None
        self.rates = Rates().begin(Ring(metrics, 1).panel())
        self.counts = {"steps": 0, "alarms": 0, "suppressed": 0, "firings": 0, "errors": 0, "incidents": 0}
        self._told_alarms: dict[str, Raised] = {}
        point = self.checkpoints.newest()
        self.journal = Journal(self.folder / "journal", since=-1 if point is None else point.moment)
        self.resumed = point is not None
        self.incidents = Incidents(self)
        self.predictor: Any = None
        self._unfinished: tuple[Step, Rows, np.ndarray, Rows | None] | None = None  # what the disk did not take
        self._unkept, self._failing = False, set()
        self.alerts = self._rules()
        if point is not None:
            self._resume(point)

    # ---- begin -----------------------------------------------------------------------------------------------------
    def begin(self, history: Sequence[Rows], moment: int) -> None:
        """Begin for the first time: what was before the start teaches detectors, and rules can look back on it.

        Parameters
        ----------
        history : sequence of Rows
        moment : int
            Microseconds since 1970; the first step comes after it.
        """
        self.log.clear()  # of a begin that was killed
        whole = Ring(self.metrics, max(len(history), 1))  # what teaches may be longer than what is held afterwards
        for rows in history:
            whole.add(rows)
            if rows.moment > moment - self.reach:
                self.log.append(rows)
                self.ring.add(rows)
        panel = whole.panel()
        self.rates.begin(panel)
        for part in self.told.detectors:
            self.sentries.append(self._sentry(part, panel))
        self._begin_predictor(panel)
        self.moment = moment
        self._begin_scores()
        self.checkpoint()

    def _sentry(self, part: DetectorPart, panel: pd.DataFrame) -> Sentry:
        """A detector from its file, or learnt."""
        if part.file is not None:
            detector = load_detector(self.told.place(part.file))
            limit, how = part.threshold, "declared"
        else:
            stamps = panel.index.get_level_values("timestamp")
            own = panel[stamps > stamps.max() - pd.Timedelta(part.learn)] if len(panel) else panel
            if own.empty:
                remedy = "start later, or give a fitted detector's file"
                raise ContractError(
                    file="history", expected=f"{part.learn} before the start", got="none", remedy=remedy
                )
            taught = {"false_alarms_per_day": part.false_alarms_per_day, "policy": part.policy}
            detector, limit, how = learn(part.name, part.settings, own, metrics=part.metrics, **taught)
        self.note("detector", name=detector.name, threshold=limit, chosen_by=how, metrics=detector.metrics_)
        return self._posted(posted(self, part, detector, limit))

    def _posted(self, sentry: Sentry) -> Sentry:
        """Write what a detector has learnt into a file of its own, once."""
        (self.folder / "detectors").mkdir(exist_ok=True)
        number = len(list((self.folder / "detectors").glob("*.npz")))
        sentry.base = f"{sentry.name}-{number:04}.npz"
        sentry.detector.save(self.folder / "detectors" / sentry.base)
        return sentry

    def _begin_scores(self, until: int | None = None) -> None:
        """Make room for scores, which a verdict looks back on; those up to a moment are read."""
        names = [sentry.name for sentry in self.sentries]
        names += [self.predictor.name] if self.predictor is not None else []
        names += [FIRES] if self.alerts is not None and self.told.repair is not None else []
        self.scored = Ring(names, self.ring.length)
        self.score_log = RowLog(self.folder / "scores", names)
        if until is None:
            self.score_log.clear()
            return
        try:
            for rows in self.score_log.read(until - self.reach):
                if rows.moment <= until and (not len(self.scored.times) or rows.moment > self.scored.times[-1]):
                    self.scored.add(rows)
        except ContractError as error:  # of other columns, such as before repair was declared: they begin anew
            self.note("scores", said=str(error))
            self.scored = Ring(names, self.ring.length)
            self.score_log.clear()

    def _begin_predictor(self, panel: pd.DataFrame) -> None:
        if self.told.predictor is not None:
            from stability.monitor.foresight import Foresight

            self.predictor = Foresight(self.told, panel, self.topology)

    def _rules(self) -> Alerts | None:
        """Read the rules anew; those that are as they were keep what is pending or fires."""
        if self.told.rules is None:
            return None
        rules = [rule for one in self.told.rules.files for rule in read_rules(self.told.place(one))]
        lookback = micros(self.told.rules.lookback, "lookback")
        fresh = Alerts(rules, self.ring, reach=self.reach, labels=self.told.rules.labels, lookback=lookback)
        if self.alerts is not None:
            fresh.restore(self.alerts.said(), self.alerts.instant.entities)
            fresh.restore_over(self.alerts.said_over())
        return fresh

    def reload(self, changed: Sequence[str]) -> None:
        """Take what has changed on disk: rules, detectors, the predictor, and what incidents are looked into with.

        Raises
        ------
        ContractError
            When something of it cannot be used; then nothing has changed.
        """
        fresh = []
        for part, old in zip(self.told.detectors, self.sentries, strict=True):
            one = renewed(self, part, old, changed)
            fresh.append(one if one.base else self._posted(one))
        rules, parts = self._rules(), self.incidents.read()
        if "predictor" in changed and self.predictor is not None:
            self.predictor.reload()  # the last that may refuse: it takes its part only when it is whole
        self.sentries, self.alerts = fresh, rules
        self.incidents.use(parts)
        self._keep()

    # ---- a step ------------------------------------------------------------------------------------------------------
    def take(self, rows: Rows) -> Step:
        """Go through a step: its rows are on the disk before anything else happens.

        Raises
        ------
        ContractError
            When the moment does not come after the last one.
        OSError
            When the rows cannot be written; then nothing was taken. When what they brought cannot be written; then it
            is told before the next step begins, and after a start.
        """
        if rows.moment <= self.moment:
            got = str(pd.Timestamp(rows.moment, unit="us", tz="UTC"))
            expected = f"a moment after {pd.Timestamp(self.moment, unit='us', tz='UTC')}"
            raise ContractError(file="rows", expected=expected, got=got)
        self._finish()
        self.log.append(rows)
        step = self._advance(rows)
        if self._unkept or self.counts["steps"] % self.told.checkpoint_every == 0:
            self._keep()
        return step

    def _keep(self) -> None:
        """Write a checkpoint, or try again in the next step: without one a start only takes longer."""
        try:
            self.checkpoint()
            self._unkept = False
        except OSError as error:
            self.counts["errors"] += 1
            with contextlib.suppress(OSError):
                self.note("error", what="checkpoint", said=str(error))
            self._unkept = True

    def _advance(self, rows: Rows) -> Step:
        begun, scored = time.process_time(), None
        self.ring.add(rows)
        self.moment = rows.moment
        step = Step(rows.moment, rows.entities)
        values = rows.values
        if len(rows.entities):
            values = self.rates.update(rows.values, np.full(len(rows.entities), rows.moment), pd.Index(rows.entities))
            for sentry in self.sentries:
                scores, changed = sentry.judge(rows.moment, rows.entities, values)
                step.scores[sentry.name] = scores
                step.alarms += changed
            if self.predictor is not None:
                scores, changed = self.predictor.judge(rows)
                step.scores[self.predictor.name] = scores
                step.alarms += changed
        for sentry in (*self.sentries, *([] if self.predictor is None else [self.predictor.sentry])):
            step.alarms += sentry.lapse(rows.moment, self.reach)
        if self.alerts is not None:
            step.firings = self.alerts.step(rows.moment)
            step.alarms += [alarm_of(one, self.ring.metrics) for one in step.firings if self._alarms(one)]
        if len(rows.entities) and self.scored.metrics:
            columns = list(step.scores.values())
            if FIRES in self.scored.metrics:
                on = {one.entity for one in self.alerts.firing.values() if self._alarms(one)}
                columns.append(np.array([float(name in on) for name in rows.entities]))
            scored = Rows(rows.moment, rows.entities, np.column_stack(columns))
            self.scored.add(scored)
        self._unfinished = (step, rows, values, scored)
        self._finish()
        step.told = self.journal.taken()
        step.seconds = time.process_time() - begun
        return step

    def _finish(self) -> None:
        """Write down what a step brought, and what follows from it; each entry once, however often this is tried."""
        if self._unfinished is None:
            return
        step, rows, values, scored = self._unfinished
        self._tell(step)
        self.incidents.step(step, rows, values)
        if scored is not None:
            self.score_log.append(scored, sure=False)
        self.counts["steps"] += 1
        self._unfinished = None

    def _alarms(self, firing: Firing) -> bool:
        return firing.rule.labels.get("severity", "") in self.told.rules.alarm

    def _tell(self, step: Step) -> None:
        """Write what changed into the journal, each once."""
        failing = {} if self.alerts is None else self.alerts.failing
        for name in sorted(failing.keys() - self._failing):
            self.note("rule_failed", rule=name, said=failing[name])
            self.counts["errors"] += 1
            self._failing.add(name)
        self._failing &= failing.keys()
        for one in step.firings:
            said = {"rule": one.rule.alert, "entity": one.entity, "labels": dict(one.labels), "value": one.value}
            said |= {"start": _stamp(one.start), "pending_since": _stamp(one.pending_since)}
            end = {} if one.end is None else {"end": _stamp(one.end)}
            kind = "firing" if one.end is None else "firing_over"
            new = self.journal.once(f"{kind}/{one.key}", step.moment, kind=kind, **said, **end)
            self.counts["firings"] += new and one.end is None
        for one in step.alarms:
            kind = "alarm" if one.end is None else "alarm_over"
            said = asdict(one) | {"start": _stamp(one.start), "end": None if one.end is None else _stamp(one.end)}
            new = self.journal.once(f"{kind}/{one.alarm_id}", step.moment, kind=kind, **said)
            if one.end is not None:
                self._told_alarms.pop(one.alarm_id, None)
                continue
            self._told_alarms[one.alarm_id] = one
            self.counts["suppressed" if one.suppressed_by else "alarms"] += new

    @property
    def open_alarms(self) -> list[Raised]:
        """Alarms that go on, the newest first."""
        return sorted(self._told_alarms.values(), key=lambda one: -one.start)

    def note(self, kind: str, **told: Any) -> None:
        """Write what is no alarm, such as a source that did not answer; told again when it happens again."""
        at = pd.Timestamp.now("UTC").isoformat(timespec="milliseconds")
        self.journal.write([{"kind": kind, "at": at, "moment": self.moment, **told}], sure=False)

    # ---- kept --------------------------------------------------------------------------------------------------------
    def checkpoint(self) -> None:
        """Write everything that a restart needs, and let go of what it does not need any more."""
        self._finish()
        let_go(self)
        said = {
            "counts": self.counts,
            "desks": {sentry.name: sentry.said() for sentry in self.sentries},
            "rules": {} if self.alerts is None else self.alerts.said(),
            "over": [] if self.alerts is None else self.alerts.said_over(),
            "alarms": [asdict(one) for one in self._told_alarms.values()],
            "predictor": None if self.predictor is None else self.predictor.said(),
            "incidents": self.incidents.said(),
            "detectors": [[sentry.name, sentry.base] for sentry in self.sentries],
        }

        def beside(folder: Path) -> None:
            for sentry in self.sentries:
                sentry.write(folder / f"{sentry.name}.npz")
            np.savez(folder / "rates.npz", **self.rates.state())

        self.checkpoints.write(self.moment, said, beside)
        self.journal.forget(self.moment)
        self.log.forget(self.moment - self.reach)
        self.score_log.forget(self.moment - self.reach)

    def _resume(self, point: Checkpoint) -> None:
        """Take up where the checkpoint was written, and go through what came after it again."""
        said = point.said
        self.counts |= said["counts"]
        since = point.moment - self.reach
        later: list[Rows] = []
        for rows in self.log.read(since):
            if rows.moment <= point.moment:
                self.ring.add(rows)
            else:
                later.append(rows)
        self.moment = point.moment
        if len(said["detectors"]) != len(self.told.detectors):
            remedy = "a watch with other detectors is another one: give it another name, or move its state away"
            got = f"{len(self.told.detectors)} are declared"
            expected = f"{len(said['detectors'])} detectors"
            raise ContractError(file=point.folder, expected=expected, got=got, remedy=remedy)
        for (name, base), part in zip(said["detectors"], self.told.detectors, strict=True):
            detector = load_detector(self.folder / "detectors" / base)
            limit = part.threshold or said["desks"][name]["threshold"]
            sentry = posted(self, part, detector, limit, said["desks"][name].get("accepted"))
            sentry.base = base
            sentry.read(point.folder / f"{name}.npz")
            sentry.restore(said["desks"][name])
            self.sentries.append(sentry)
        with np.load(point.folder / "rates.npz", allow_pickle=False) as kept:
            self.rates.resume(dict(kept))
        if self.alerts is not None:
            self.alerts.instant.begin(self.moment)
            self.alerts.restore(said["rules"], self.alerts.instant.entities)
            self.alerts.restore_over(said["over"])
        self._told_alarms = {one["alarm_id"]: Raised(**one) for one in said["alarms"]}
        self._begin_predictor(self.ring.panel() if self.told.predictor else Ring(self.metrics, 1).panel())
        if self.predictor is not None:
            self.predictor.restore(said["predictor"])
        self._begin_scores(point.moment)
        self.incidents.restore(said["incidents"])
        for rows in later:
            self._advance(rows)
        before = self.sentries
        self.sentries = [ruled_anew(self, *pair) for pair in zip(self.told.detectors, before, strict=True)]
        if any(one is not old for one, old in zip(self.sentries, before, strict=True)):
            self._keep()  # what is gone through again is so with what it was told with

    def close(self) -> None:
        """Wait for actions that are under way, write a checkpoint, and close the files."""
        self._finish()
        self.incidents.close(self.moment)
        if self.counts["steps"]:
            self.checkpoint()
        self.log.close()
        if self.score_log is not None:
            self.score_log.close()
        self.journal.close()


def _stamp(moment: int) -> str:
    return pd.Timestamp(moment, unit="us", tz="UTC").isoformat()
