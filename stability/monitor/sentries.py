"""Detectors at their posts: one row of each entity comes in, a score and perhaps an alarm go out."""

from __future__ import annotations

__all__ = ["Raised", "Sentry", "learn", "posted", "renewed", "ruled", "ruled_anew", "those_of"]

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stability.detection import Accepted, AlarmPolicy, Desk, Detector, choose_threshold, held_back_scores, read_accepted
from stability.detection.policy import Alarm, EntityDesk, responsible
from stability.detection.registry import DETECTORS, load
from stability.schema import ContractError, nearest
from stability.telemetry import rate

if TYPE_CHECKING:
    from stability.monitor.chain import Watch
    from stability.monitor.declaration import Declaration, DetectorPart

SECOND = 1_000_000  # microseconds
LEVEL = 2  # more distinct values than this make a metric a level, as in the nights' detection


@dataclass(frozen=True)
class Raised:
    """An alarm at the moment at which it was raised or ended, in the terms of the contract's table.

    Parameters
    ----------
    start : int
        Microseconds since 1970.
    end : int or None
        Of its last row; None while it goes on.
    """

    alarm_id: str
    entity: str
    start: int
    end: int | None
    detector: str
    metrics: str
    score: float
    threshold: float
    severity: str
    reason: str
    suppressed_by: str


class Sentry:
    """A detector with its desk.

    Parameters
    ----------
    detector : Detector or None
        Fitted; None where scores come from somewhere else, such as a predictor.
    name : str
        In scores and alarms.
    threshold : float
    policy : mapping
        Rules of `AlarmPolicy` beside the threshold.
    metrics : sequence of str
        Columns of the rows that come: rates in the counters' places.
    topology : DataFrame, optional
    """

    def __init__(
        self,
        detector: Detector | None,
        name: str,
        threshold: float,
        policy: Mapping[str, Any],
        metrics: Sequence[str] = (),
        topology: pd.DataFrame | None = None,
    ):
        self.detector, self.name, self.threshold = detector, name, float(threshold)
        self.policy = AlarmPolicy(threshold, **policy)
        times = self.policy.times
        self._least = self.threshold * (min([1.0, *times.values()]) if isinstance(times, Mapping) else times)
        self.desk = Desk(self.policy, name, topology if self.policy.together else None)
        self._open: dict[int, Alarm] = {}
        self.accepted: Accepted | None = None  # what people have, of its policy
        self.base = ""  # name of the file with what the detector learnt
        if detector is not None:
            places = [metrics.index(one) if one in metrics else -1 for one in detector.metrics_]
            if all(place < 0 for place in places):
                expected = f"at least one metric that {name} knows: {', '.join(detector.metrics_)}"
                raise ContractError(file="source", expected=expected, got=", ".join(metrics))
            self._places = np.array(places, dtype=np.int64)

    def judge(self, moment: int, entities: tuple[str, ...], values: np.ndarray) -> tuple[np.ndarray, list[Raised]]:
        """Judge the rows of a moment.

        Parameters
        ----------
        moment : int
            Microseconds since 1970.
        entities : tuple of str, length n
        values : array of float64, shape (n, metrics)

        Returns
        -------
        scores : array of float64, shape (n,)
        changed : list of Raised
            Alarms that were raised, suppressed ones among them, and those that ended.
        """
        own = np.where(self._places >= 0, values[:, self._places], np.nan)
        said = self.detector.update(own, np.full(len(entities), moment), pd.Index(entities, dtype="str"))
        warm = np.flatnonzero(said.score > self.policy.clear * self._least)
        parts: list[Mapping[str, float]] = [{}] * len(entities)
        for k in warm.tolist():
            row = np.nan_to_num(said.parts[k])
            parts[k] = {self.detector.metrics_[m]: float(row[m]) for m in np.flatnonzero(row > 0)}
        return said.score, self.file(moment, entities, said.score, parts)

    def file(
        self, moment: int, entities: tuple[str, ...], scores: np.ndarray, parts: list | None = None
    ) -> list[Raised]:
        """Hand scores to the desk; gives alarms that were raised or ended."""
        known = len(self.desk.alarms)
        self.desk.update([moment] * len(entities), entities, scores.tolist(), parts)
        fresh = self.desk.alarms[known:]
        self._open |= {id(alarm): alarm for alarm in fresh}
        return [self._told(alarm, None) for alarm in fresh] + self._over()

    def lapse(self, moment: int, silence: int) -> list[Raised]:
        """End alarms of entities of which nothing came for so many microseconds: no row of theirs will do it.

        A server says of who is gone that it has no value; a file only has no rows of it any more.
        """
        patience = max(silence, self.policy.merge * SECOND)
        for alarm in self._open.values():
            if moment - self.desk.desks[alarm.entity].hot > patience:
                self.desk.leave(alarm.entity)
        return self._over()

    def _over(self) -> list[Raised]:
        over = [alarm for alarm in self._open.values() if not alarm.open]
        self._open = {key: alarm for key, alarm in self._open.items() if alarm.open}
        self.desk.alarms = list(self._open.values())  # what is over is in the journal
        return [self._told(alarm, alarm.end) for alarm in over]

    def forget(self, entities: Iterable[str]) -> None:
        """Forget entities of which no alarm is open; one that comes back begins anew."""
        for name in entities:
            self.desk.desks.pop(name, None)
        if self.detector is not None:
            self.detector.forget(entities)

    def open_alarms(self) -> list[Raised]:
        """Alarms that go on."""
        return [self._told(alarm, None) for alarm in self._open.values()]

    def _told(self, alarm: Alarm, end: int | None) -> Raised:
        desk = self.desk
        return Raised(
            desk.id_of(alarm), alarm.entity, alarm.start, end, self.name, responsible(alarm.parts), alarm.score,
            alarm.limit, desk.severity_of(alarm), alarm.reason, alarm.suppressed_by,
        )  # fmt: skip

    # ---- kept ----------------------------------------------------------------------------------------------------
    def write(self, path: Path) -> None:
        """Write what the detector remembers of live rows; what it learnt before is in a file of its own."""
        kept = self.detector.live_state()
        np.savez(path, begun=kept is not None, **(kept or {}))

    def read(self, path: Path) -> None:
        """Take what `write` wrote."""
        with np.load(path, allow_pickle=False) as kept:
            if bool(kept["begun"]):
                self.detector.resume_live(dict(kept))

    def said(self) -> dict[str, Any]:
        """What the desk knows, as JSON types; `restore` takes it."""
        alarms: dict[int, Alarm] = dict(self._open)
        for desk in self.desk.desks.values():
            alarms |= {id(one): one for one in (desk.alarm, desk.last, desk.voice) if one is not None}
        number = {key: k for k, key in enumerate(alarms)}
        rows = {}
        for entity, desk in self.desk.desks.items():
            kept = {name: getattr(desk, name) for name in _PLAIN} | {"flags": list(desk.flags), "parts": desk.parts}
            kept |= {name: None if (one := getattr(desk, name)) is None else number[id(one)] for name in _LINKS}
            rows[entity] = kept
        told = {"alarms": [asdict(one) for one in alarms.values()], "desks": rows, "threshold": self.threshold}
        kept = self.accepted and self.accepted.model_dump(mode="json", exclude={"evidence"})
        return told | {"accepted": kept}

    def restore(self, told: Mapping[str, Any]) -> None:
        """Take what `said` gave."""
        alarms = [Alarm(**one) for one in told["alarms"]]
        self._open = {id(one): one for one in alarms if one.open}
        self.desk.alarms = list(self._open.values())
        self.desk.desks = {}
        for entity, kept in told["desks"].items():
            desk = EntityDesk(self.policy.limit(entity))
            for name in _PLAIN:
                setattr(desk, name, kept[name])
            desk.flags, desk.parts = deque(kept["flags"]), dict(kept["parts"])
            for name in _LINKS:
                setattr(desk, name, None if kept[name] is None else alarms[kept[name]])
            self.desk.desks[entity] = desk


_PLAIN = ("row", "judged", "warm", "begun", "hot", "hot_row", "on", "peak", "level")
_LINKS = ("alarm", "last", "voice")


def posted(
    watch: Watch, part: DetectorPart, detector: Detector, threshold: float, kept: Mapping[str, Any] | None = None
) -> Sentry:
    """Put a detector at its post, with what people have accepted on top of its policy: `kept` of it, or as it is now.

    Raises
    ------
    ContractError
        When the accepted change cannot be read, is another detector's, or does not go with the declared policy.
    """
    policy, accepted = ruled(watch.told, part, detector.name, threshold, kept)
    one = Sentry(detector, detector.name, threshold, policy, watch.rated, watch.topology)
    one.accepted = accepted
    return one


def ruled(
    told: Declaration, part: DetectorPart, name: str, threshold: float, kept: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Accepted | None]:
    """Rules of a detector's policy, and what people have accepted of them; errors as of `posted`."""
    accepted, path = None, None
    if kept is not None:
        accepted = Accepted.model_validate(kept)
    elif part.accepted is not None:
        path = told.place(part.accepted)
        accepted = read_accepted(path, name)
    policy = part.policy | (accepted.rules if accepted is not None else {})
    try:
        AlarmPolicy(threshold, **policy)
    except ContractError as error:  # such as two flagged rows, of the one that the declaration looks at
        remedy = "it does not go with the declared policy: correct it, or accept a proposal anew"
        said = {"column": error.column, "expected": error.expected, "got": error.got}
        raise ContractError(file=path, remedy=remedy, **said) from None
    return policy, accepted


def ruled_anew(watch: Watch, part: DetectorPart, old: Sentry) -> Sentry:
    """Take what has been accepted, or taken back, since a checkpoint; alarms that go on do."""
    one = posted(watch, part, old.detector, old.threshold)
    if one.policy == old.policy:
        return old
    one.base = old.base
    one.restore(old.said())
    return one


def renewed(watch: Watch, part: DetectorPart, old: Sentry, changed: Sequence[str]) -> Sentry:
    """Put one at the post of another whose file, or accepted policy, has changed; alarms that go on do."""
    anew, ruled = (path is not None and str(watch.told.place(path)) in changed for path in (part.file, part.accepted))
    if not anew and not ruled:
        return old
    detector = load(watch.told.place(part.file)) if anew else old.detector
    one = posted(watch, part, detector, part.threshold if anew else old.threshold)
    one.base = "" if anew else old.base  # what was learnt is still to be written
    if one.name == old.name:
        one.restore(old.said())
    return one


def those_of(metrics: Sequence[str], there: Iterable[str]) -> list[str]:
    """Give the metrics that are asked for, or say which there are.

    Examples
    --------
    >>> those_of(["cpu_ratio"], ["cpu_ratio", "up"])
    ['cpu_ratio']
    """
    known = set(there)
    if unknown := next((one for one in metrics if one not in known), None):
        remedy = nearest(unknown, known)
        raise ContractError(column="detectors.metrics", expected="a metric", got=repr(unknown), remedy=remedy)
    return list(metrics)


def learn(
    name: str,
    settings: Mapping[str, Any],
    history: pd.DataFrame,
    *,
    false_alarms_per_day: float,
    policy: Mapping[str, Any],
    metrics: Sequence[str] | None = None,
) -> tuple[Detector, float, str]:
    """Fit a detector to a history, and choose its threshold as the nights do.

    Parameters
    ----------
    name : str
        In `DETECTORS`.
    settings : mapping
    history : DataFrame
        A panel, counters as they are read.
    false_alarms_per_day : float
        Wanted, of an entity, while nothing is wrong.
    policy : mapping
        Of the alarms: `merge`, `flagged` and `of` are counted with.
    metrics : sequence of str, optional
        Of rates and gauges; those with more than two values without it.

    Returns
    -------
    Detector, float, str
        The threshold, and how it was chosen.
    """
    panel = rate(history)
    levels = list(panel.columns[panel.nunique() > LEVEL]) if metrics is None else those_of(metrics, panel.columns)
    if not levels:
        raise ContractError(file="history", expected="a metric with more than two values", got="none")
    counted = {rule: policy[rule] for rule in ("merge", "flagged", "of") if rule in policy}
    scores = held_back_scores(DETECTORS[name](**settings), panel[levels])
    chosen = choose_threshold(scores, false_alarms_per_day=false_alarms_per_day, **counted)
    return DETECTORS[name](**settings).fit(panel[levels]), float(chosen.threshold), chosen.method
