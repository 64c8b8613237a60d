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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stability.detection import load as load_detector
from stability.features.counters import Rates
from stability.monitor.alerts import Alerts, Firing
from stability.monitor.checkpoints import Checkpoint, Checkpoints
from stability.monitor.declaration import Declaration
from stability.monitor.incidents import Incidents
from stability.monitor.journal import Journal
from stability.monitor.leavers import let_go
from stability.monitor.names import declared_names, each_once, rules_of
from stability.monitor.posts import begun, kept, linked
from stability.monitor.ring import Ring, Rows
from stability.monitor.rowlog import RowLog
from stability.monitor.sentries import Raised, Sentry, posted, renewed, ruled_anew
from stability.monitor.step import FIRES, Beside, Step, alarm_of
from stability.monitor.told import Told
from stability.schema import ContractError, read_table
from stability.telemetry import rate
from stability.telemetry.grid import micros

if TYPE_CHECKING:
    from stability.monitor.foresight import Foresight

DETECTORS = "detectors"  # folder of what they have learnt


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
    failing : dict of str to str
        Detectors that could not judge the last step, and why: they have no scores for it.
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
        self.topology = self._read_topology()
        self.moment, self.sentries, self.alerts = -1, [], None
        self.rates = Rates().begin(Ring(metrics, 1).panel())
        self.counts = {"steps": 0, "alarms": 0, "suppressed": 0, "firings": 0, "errors": 0, "incidents": 0}
        self.failing: dict[str, str] = {}
        self.told_of = Told(self)
        point = self.checkpoints.newest()
        if point is None:
            declared_names(told)
        self.journal = Journal(self.folder / "journal", since=-1 if point is None else point.moment)
        self.resumed = point is not None
        self.incidents = Incidents(self)
        self.predictor: Any = None
        self._unfinished: tuple[Step, Rows, np.ndarray, Rows | None] | None = None  # what the disk did not take
        self._unkept = self._half = False  # a checkpoint is owed; a step has begun and is not judged to its end
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
            self.sentries.append(kept(self.folder / DETECTORS, begun(self, part, panel)))
        self._begin_predictor(panel)
        self.moment = moment
        self._begin_scores()
        self.checkpoint()

    def _begin_scores(self, until: int | None = None) -> None:
        """Make room for scores, which a verdict looks back on; those up to a moment are read."""
        names = [one.name for one in (*self.sentries, self.predictor) if one is not None]
        names += [FIRES] if self.alerts is not None and self.told.repair is not None else []
        each_once(names, self.told.name)
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
        rules, lookback = rules_of(self.told), micros(self.told.rules.lookback, "lookback")
        fresh = Alerts(rules, self.ring, reach=self.reach, labels=self.told.rules.labels, lookback=lookback)
        if self.alerts is not None:
            fresh.restore(self.alerts.said(), self.alerts.instant.entities)
            fresh.restore_over(self.alerts.said_over())
        return fresh

    def _read_topology(self) -> pd.DataFrame | None:
        return read_table(self.told.place(self.told.topology), "topology") if self.told.topology else None

    def reload(self, changed: Sequence[str]) -> None:
        """Take what has changed on disk: rules, detectors, the predictor, the topology, what looks into incidents.

        Raises
        ------
        ContractError
            When something of it cannot be used; then nothing has changed.
        """
        told, topology, predictor = self.told, self.topology, self.predictor
        linked_anew = told.topology is not None and str(told.place(told.topology)) in changed
        try:
            if linked_anew:
                self.topology = self._read_topology()
                self._begin_predictor(self.ring.panel())
            fresh = [renewed(self, *pair, changed) for pair in zip(told.detectors, self.sentries, strict=True)]
            each_once([one.name for one in (*fresh, self.predictor) if one is not None], told.name)
            rules, parts = self._rules(), self.incidents.read()
            fresh = [one if one.base else kept(self.folder / DETECTORS, one) for one in fresh]
            if self.predictor is not predictor:
                self.predictor.restore(predictor.said())
            elif "predictor" in changed and predictor is not None:
                predictor.reload()  # the last that may refuse: it takes its part only when it is whole
        except BaseException:
            self.topology, self.predictor = topology, predictor
            raise
        self.sentries, self.alerts, self.failing = fresh, rules, {}
        if linked_anew:
            linked([*fresh, *([] if predictor is None else [self.predictor.sentry])], self.topology)
            self.incidents.link(self.topology)
        self.incidents.use(parts)
        self._keep()

    # ---- a step ------------------------------------------------------------------------------------------------------
    def take(self, rows: Rows) -> Step:
        """Go through a step: its rows are on the disk before anything else happens.

        Raises
        ------
        ContractError
            When the moment does not come after the last one.
        RuntimeError
            When a step before was broken off: only a watch that begins where the checkpoint is judges it whole.
        OSError
            When the rows cannot be written; then nothing was taken. When what they brought cannot be written; then it
            is told before the next step begins, and after a start.
        """
        if rows.moment <= self.moment:
            got = str(pd.Timestamp(rows.moment, unit="us", tz="UTC"))
            expected = f"a moment after {pd.Timestamp(self.moment, unit='us', tz='UTC')}"
            raise ContractError(file="rows", expected=expected, got=got)
        if self._half:
            raise RuntimeError("a step was broken off in the middle; start the watch again, which judges it whole")
        self._finish()
        self._half = True
        try:
            self.log.append(rows)
        except OSError:  # nothing was taken
            self._half = False
            raise
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
        before, scored = time.process_time(), None
        self.ring.add(rows)
        self.moment = rows.moment
        step = Step(rows.moment, rows.entities)
        values, judges = rows.values, [*self.sentries, *([] if self.predictor is None else [self.predictor])]
        if len(rows.entities):
            values = self.rates.update(rows.values, np.full(len(rows.entities), rows.moment), pd.Index(rows.entities))
            for one in judges:
                self._judge(one, step, rows, values)
        for sentry in (*self.sentries, *([] if self.predictor is None else [self.predictor.sentry])):
            step.alarms += sentry.lapse(rows.moment, self.reach)
        firing: dict[str, Firing] = {}  # what is an alarm of all that fires
        if self.alerts is not None:
            step.firings = self.alerts.step(rows.moment)
            firing = {key: one for key, one in self.alerts.firing.items() if self._alarms(one)}
            step.alarms += [alarm_of(one, self.ring.metrics) for one in step.firings if one.key in firing]
        step.alarms += self.told_of.ended(step, firing, {one.name for one in judges})
        if len(rows.entities) and self.scored.metrics:
            columns = list(step.scores.values())
            if FIRES in self.scored.metrics:
                on = {one.entity for one in firing.values()}
                columns.append(np.array([float(name in on) for name in rows.entities]))
            scored = Rows(rows.moment, rows.entities, np.column_stack(columns))
            self.scored.add(scored)
        self._unfinished, self._half = (step, rows, values, scored), False
        self._finish()
        step.told = self.journal.taken()
        step.seconds = time.process_time() - before
        return step

    def _judge(self, one: Sentry | Foresight, step: Step, rows: Rows, values: np.ndarray) -> None:
        """Let a detector or the predictor judge; what it cannot judge is told, and keeps nothing else from an alarm."""
        try:
            seen = (rows,) if one is self.predictor else (rows.moment, rows.entities, values)
            step.scores[one.name], changed = one.judge(*seen)
        except Exception as error:  # noqa: BLE001  whatever it raises, it would raise after a start, too
            self.failing[one.name] = f"{type(error).__name__}: {error}"
            step.scores[one.name] = np.full(len(rows.entities), np.nan)
            return
        self.failing.pop(one.name, None)
        step.alarms += changed

    def _finish(self) -> None:
        """Write down what a step brought, and what follows from it; each entry once, however often this is tried."""
        if self._unfinished is None:
            return
        step, rows, values, scored = self._unfinished
        self.told_of.step(step)
        self.incidents.step(step, rows, values)
        if scored is not None:
            self.score_log.append(scored, sure=False)
        self.counts["steps"] += 1
        self._unfinished = None

    def _alarms(self, firing: Firing) -> bool:
        return firing.rule.labels.get("severity", "") in self.told.rules.alarm

    @property
    def open_alarms(self) -> list[Raised]:
        """Alarms that go on, the newest first."""
        return sorted(self.told_of.alarms.values(), key=lambda one: -one.start)

    def note(self, kind: str, **told: Any) -> None:
        """Write what is no alarm, such as a source that did not answer; told again when it happens again."""
        at = pd.Timestamp.now("UTC").isoformat(timespec="milliseconds")
        self.journal.write([{"kind": kind, "at": at, "moment": self.moment, **told}], sure=False)

    # ---- kept --------------------------------------------------------------------------------------------------------
    def checkpoint(self) -> None:
        """Write everything that a restart needs, and let go of what it does not need any more.

        Of a step that was broken off in the middle nothing is written: a start goes through its rows again.
        """
        if self._half:
            return
        self._finish()
        let_go(self)
        said = {
            "step": self.told.step_us,
            "counts": self.counts,
            "desks": {sentry.name: sentry.said() for sentry in self.sentries},
            "rules": {} if self.alerts is None else self.alerts.said(),
            "over": [] if self.alerts is None else self.alerts.said_over(),
            "alarms": self.told_of.said(),
            "predictor": None if self.predictor is None else self.predictor.said(),
            "incidents": self.incidents.said(),
            "detectors": [[sentry.name, sentry.base] for sentry in self.sentries],
        }

        def beside(folder: Path) -> None:
            for sentry in self.sentries:
                sentry.write(folder / f"{sentry.name}.npz")
            np.savez(folder / "rates.npz", **self.rates.state())

        oldest = self.checkpoints.write(self.moment, said, beside)
        self.journal.forget(oldest)
        self.log.forget(oldest - self.reach)
        self.score_log.forget(oldest - self.reach)

    def _resume(self, point: Checkpoint) -> None:
        """Take up where the checkpoint was written, and go through what came after it again."""
        said = point.said
        remedy = "it is another watch: give it another name, or move its state away"
        if (step := said.get("step", self.told.step_us)) != self.told.step_us:
            expected, got = (f"a step of {us / 1e6:g} s" for us in (step, self.told.step_us))
            raise ContractError(file=point.folder, expected=expected, got=got, remedy=remedy)
        each_once([name for name, _ in said["detectors"]], point.folder)
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
            got = f"{len(self.told.detectors)} are declared"
            expected = f"{len(said['detectors'])} detectors"
            raise ContractError(file=point.folder, expected=expected, got=got, remedy=remedy)
        for (name, base), part in zip(said["detectors"], self.told.detectors, strict=True):
            detector = load_detector(self.folder / DETECTORS / base)
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
        self.told_of.restore(said["alarms"])
        self._begin_predictor(self.ring.panel() if self.told.predictor else Ring(self.metrics, 1).panel())
        if self.predictor is not None:
            self.predictor.restore(said["predictor"])
        self._begin_scores(point.moment)
        self.incidents.restore(said["incidents"])
        self.told_of.replays = True
        for rows in later:
            self._advance(rows)
        self.told_of.replays = False
        self.incidents.caught_up()
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
