"""One policy from scores to alarms, row by row: the same live and over a record."""

from __future__ import annotations

__all__ = ["Alarm", "AlarmPolicy", "Desk", "EntityDesk", "responsible"]

import math
import numbers
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from stability.detection.quiet import QUIET, QuietHours
from stability.detection.screen import RESPONSIBLE, Screen
from stability.schema import ContractError, empty, validate

SECOND = 1_000_000  # microseconds
LEVELS = ("info", "warning", "critical")


@dataclass(frozen=True)
class AlarmPolicy:
    """When a score becomes an alarm, when the alarm ends, and when nobody is told of it.

    Parameters
    ----------
    threshold : float or mapping of entity to float
        A row is flagged when its score is above; chosen from history for a wanted number of false alarms
        (`choose_k`), never from labels.
    clear : float in (0, 1]
        Hysteresis: what is open goes on while scores are above this share of the threshold.
    flagged, of : int
        An alarm is raised when so many of the last so many judged rows are flagged.
    minimum_duration : float
        Seconds that it must have lasted before.
    merge : float
        Seconds of calm that do not end it.
    refractory : float
        Seconds after the end of an alarm during which further ones of the entity are suppressed; what goes on after
        them speaks then.
    stronger : float
        What is more than so many times as high as the alarm that silences it speaks, at once.
    new_normal : float
        Seconds after which what goes on is no alarm any longer but the new normal of the entity: it ends, and scores
        up to its own level are suppressed until they have been clear once.
    together : float
        Seconds within which the alarms of entities that are connected in the topology, also by way of others that
        have an alarm, are one incident: the first one speaks for all, unless one is `stronger` times as high. What goes
        on when the first one has been over for so long speaks then.
    quiet : sequence of QuietHours
        What is raised in them is suppressed; what goes on after them speaks then.
    critical : float
        Multiple of the threshold from which an alarm is critical.
    times : float or mapping of entity to float
        What thresholds are multiplied with, all or those of some entities: what labels have taught.
    screen : Screen, optional
        What labels have taught: what is like the alarms that people discarded is suppressed as long as it is like them.
    """

    threshold: float | Mapping[str, float]
    clear: float = 1.0
    flagged: int = 1
    of: int = 1
    minimum_duration: float = 0.0
    merge: float = 0.0
    refractory: float = 0.0
    stronger: float = math.inf
    new_normal: float = math.inf
    together: float = 0.0
    quiet: Sequence[QuietHours] = ()
    critical: float = 3.0
    times: float | Mapping[str, float] = 1.0
    screen: Screen | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for whose, limit in self.threshold.items() if isinstance(self.threshold, Mapping) else [("", self.threshold)]:
            checked_limit(limit, whose)
        times = ("minimum_duration", "merge", "refractory", "together", "new_normal")
        for name, least in (*((name, 0) for name in times), ("stronger", 1), ("critical", 1)):
            value, what = getattr(self, name), "" if least else "seconds, "
            if not isinstance(value, numbers.Real) or not value >= least:
                raise ContractError(column=name, expected=f"{what}{least} or more", got=repr(value))
        if not isinstance(self.clear, numbers.Real) or not 0 < self.clear <= 1:
            raise ContractError(column="clear", expected="a share above 0 and at most 1", got=repr(self.clear))
        counts = (self.flagged, self.of)
        if not all(isinstance(count, numbers.Integral) for count in counts) or not 1 <= self.flagged <= self.of:
            raise ContractError(column="flagged", expected="whole, from 1 to `of`", got=f"{self.flagged} of {self.of}")
        if not isinstance(self.quiet, Sequence) or not all(isinstance(hours, QuietHours) for hours in self.quiet):
            raise ContractError(column="quiet", expected="a list of QuietHours", got=repr(self.quiet))
        for whose, factor in self.times.items() if isinstance(self.times, Mapping) else [("", self.times)]:
            if not 0 < checked_limit(factor, whose, "times") < math.inf:
                raise ContractError(column="times", expected="a number above 0", got=repr(factor))
        if self.screen is not None and not isinstance(self.screen, Screen):
            raise ContractError(column="screen", expected="a Screen", got=repr(self.screen), remedy="read_accepted")

    def limit(self, entity: str) -> float:
        """The threshold of an entity; a ContractError where there is none."""
        limits = self.threshold if isinstance(self.threshold, Mapping) else {entity: self.threshold}
        if entity in limits:
            factor = self.times.get(entity, 1.0) if isinstance(self.times, Mapping) else self.times
            return float(limits[entity] * factor)
        raise ContractError(file="threshold", expected="a threshold for every entity", got=f"none for {entity!r}")


def checked_limit(limit: float, whose: str = "", column: str = "threshold") -> float:
    """A threshold, if it is one: NaN would flag nothing, without a word."""
    if isinstance(limit, bool) or not isinstance(limit, numbers.Real) or math.isnan(limit):
        got, remedy = f"{limit!r}{f' for {whose!r}' * bool(whose)}", "choose one with choose_k; inf flags nothing"
        raise ContractError(column=column, expected="a number", got=got, remedy=remedy)
    return float(limit)


@dataclass
class Alarm:
    """An alarm of the table."""

    entity: str
    start: int
    limit: float
    score: float
    reason: str
    end: int
    open: bool = True
    suppressed_by: str = ""
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class EntityDesk:
    """What is known of an entity."""

    limit: float
    row: int = -1  # number of its last row
    judged: int = -1  # number of its last judged row
    warm: int = -1  # number of the last judged row that was above the threshold's clear share
    flags: deque = field(default_factory=deque)  # numbers of the judged rows that were flagged lately
    begun: int = 0  # moment at which what goes on began
    hot: int = 0  # moment and number of the last row of it
    hot_row: int = -2
    on: bool = False  # whether something goes on
    peak: float = -math.inf  # of it, and the largest part of each metric
    parts: dict[str, float] = field(default_factory=dict)
    alarm: Alarm | None = None  # what was raised of it
    last: Alarm | None = None  # the last one that spoke
    voice: Alarm | None = None  # the alarm that speaks for it: `last`, or that of the incident that it is part of
    level: float = -math.inf  # the new normal


class Desk:
    """Where scores come in, row by row, and alarms go out.

    Parameters
    ----------
    policy : AlarmPolicy
        The rules.
    detector : str
        Whose scores they are.
    topology : DataFrame, optional
        The contract's table; edges count in both directions.
    """

    def __init__(self, policy: AlarmPolicy, detector: str, topology: pd.DataFrame | None = None) -> None:
        if policy.together and topology is None:
            expected, remedy = "a topology, which says what is connected", "give `topology`, or leave `together` out"
            raise ContractError(column="together", expected=expected, got="none", remedy=remedy)
        self.policy, self.detector = policy, detector
        self.desks: dict[str, EntityDesk] = {}
        self.alarms: list[Alarm] = []
        self.near: dict[str, dict[str, str]] = {}
        edges = {} if topology is None else validate(topology, "topology")["kind"]
        for (source, target), kind in edges.items():
            said = f"{source} {str(kind).replace('_', ' ')} {target}"
            self.near.setdefault(source, {})[target] = said
            self.near.setdefault(target, {})[source] = said

    def update(
        self,
        moments: Iterable[int],
        entities: Iterable[str],
        scores: Iterable[float],
        parts: Iterable[Mapping[str, float]] | None = None,
    ) -> list[str]:
        """Take rows in time's order, and say which alarms were raised.

        Parameters
        ----------
        moments : iterable of int
            Microseconds since 1970.
        entities, scores : iterables of str and float
            NaN is not judged.
        parts : iterable of mappings of metric to float, optional
            What each metric adds to the score.

        Returns
        -------
        list of str
            Ids of the alarms that were raised and are not suppressed.

        Raises
        ------
        ContractError
            When there are not as many moments as entities, scores and parts; no row is taken then.
        """
        given = [list(column) for column in (moments, entities, scores, *([] if parts is None else [parts]))]
        if len(counts := {len(column) for column in given}) > 1:
            raise ContractError(file="rows", expected="a moment, an entity and a score each", got=f"{sorted(counts)}")
        known = len(self.alarms)
        for moment, entity, score, *own in zip(*given, strict=True):
            desk = self._desk(entity)
            desk.row += 1
            if not math.isnan(score):
                desk.judged += 1
                self.row(entity, desk.row, desk.judged, int(moment), float(score), own[0] if own else {})
            elif desk.on and moment - desk.hot > self.policy.merge * SECOND:
                self._end(desk)
        return [self.id_of(alarm) for alarm in self.alarms[known:] if not alarm.suppressed_by]

    def table(self) -> pd.DataFrame:
        """All alarms so far, as the contract's table; `end` is missing while one goes on."""
        if not self.alarms:
            return empty("alarms")
        rows = [
            {
                "alarm_id": self.id_of(alarm),
                "entity": alarm.entity,
                "start": _stamp(alarm.start),
                "end": pd.NaT if alarm.open else _stamp(alarm.end),
                "detector": self.detector,
                "metrics": responsible(alarm.parts),
                "score": alarm.score,
                "threshold": alarm.limit,
                "severity": self.severity_of(alarm),
                "reason": alarm.reason,
                "suppressed_by": alarm.suppressed_by,
            }
            for alarm in sorted(self.alarms, key=lambda alarm: (alarm.entity, alarm.start))
        ]
        return validate(pd.DataFrame(rows).set_index("alarm_id"), "alarms")

    def close(self) -> None:
        """End what goes on: there are no more rows."""
        for entity in self.desks:
            self.leave(entity)

    def leave(self, entity: str) -> None:
        """End what goes on of an entity: there are no more rows of it."""
        self._end(self.desks[entity])

    def id_of(self, alarm: Alarm) -> str:
        """Its name in the table."""
        return f"{self.detector}/{alarm.entity}/{_stamp(alarm.start).isoformat()}"

    def severity_of(self, alarm: Alarm) -> str:
        """One of `LEVELS`, by how far it is above its threshold; what is suppressed is of the lowest."""
        high = alarm.limit > 0 and alarm.score >= self.policy.critical * alarm.limit
        return LEVELS[0 if alarm.suppressed_by else 1 + high]

    def _desk(self, entity: str) -> EntityDesk:
        if entity not in self.desks:
            self.desks[entity] = EntityDesk(self.policy.limit(entity))
        return self.desks[entity]

    def row(self, entity: str, row: int, judged: int, moment: int, score: float, parts: Mapping[str, float]) -> None:
        """Take one judged row, given its number among all rows and among the judged rows of its entity.

        Rows whose score is not above the threshold's clear share may be left out: their numbers tell that they were.
        """
        policy, desk = self.policy, self._desk(entity)
        calm = policy.clear * desk.limit
        desk.row, desk.judged = row, judged
        if score <= calm or judged - desk.warm > 1:
            desk.level = -math.inf
        if score > calm:
            desk.warm = judged
        hot = score > max(calm, desk.level)
        if desk.on and moment - desk.hot > policy.merge * SECOND and not (hot and row - desk.hot_row == 1):
            self._end(desk)
        flagged = hot and score > desk.limit
        if flagged:
            desk.flags.append(judged)
        while desk.flags and desk.flags[0] <= judged - policy.of:
            desk.flags.popleft()
        if not hot or not (desk.on or flagged):
            return
        if not desk.on:
            desk.on, desk.begun, desk.peak, desk.parts = True, moment, score, {}
        desk.hot, desk.hot_row, desk.peak = moment, row, max(desk.peak, score)
        for metric, part in parts.items():
            if part > desk.parts.get(metric, 0.0):
                desk.parts[metric] = float(part)
        if desk.alarm is not None:
            self._go_on(entity, desk, moment, score)
        elif flagged and len(desk.flags) >= policy.flagged and moment - desk.begun >= policy.minimum_duration * SECOND:
            self._raise(entity, desk, moment, score)

    def _go_on(self, entity: str, desk: EntityDesk, moment: int, score: float) -> None:
        alarm, policy = desk.alarm, self.policy
        alarm.end, alarm.score, alarm.parts = moment, desk.peak, dict(desk.parts)
        by = self._silenced(entity, desk, moment, score)[0] if alarm.suppressed_by else ""
        if alarm.suppressed_by and (not by or (alarm.suppressed_by == QUIET and by != QUIET)):
            self._end(desk, keep=True)
            self._raise(entity, desk, moment, score, after=alarm.suppressed_by)
        elif moment - alarm.start >= policy.new_normal * SECOND:
            alarm.reason += f"; ended after {policy.new_normal:g} s as the new normal"
            desk.level = desk.peak
            self._end(desk)

    def _raise(self, entity: str, desk: EntityDesk, moment: int, score: float, after: str = "") -> None:
        """Raise an alarm; of what went on suppressed, `after` says by what."""
        policy = self.policy
        if after:
            after = after if after == QUIET else f"suppression by {after}"
            reason = f"still above {policy.clear * desk.limit:.3g} after {after}; highest {desk.peak:.3g}"
        else:
            reason = f"{score:.3g} is above {desk.limit:.3g}"
            reason += f" in {len(desk.flags)} of the last {policy.of} rows" * (policy.of > 1)
            reason += f" since {(moment - desk.begun) / SECOND:g} s" * (policy.minimum_duration > 0)
        by, why = self._silenced(entity, desk, moment, score)
        alarm = Alarm(entity, moment, desk.limit, desk.peak, reason + why, moment, True, by, dict(desk.parts))
        self.alarms.append(alarm)
        desk.alarm = alarm
        if not by:
            desk.last = desk.voice = alarm

    def _silenced(self, entity: str, desk: EntityDesk, moment: int, score: float) -> tuple[str, str]:
        """Who or what suppresses an alarm that is raised or goes on, and the words for it."""
        policy, last = self.policy, desk.last
        if quiet := next((hours for hours in policy.quiet if hours.holds(moment)), None):
            return QUIET, f"; suppressed in {quiet}"
        soon = last is not None and policy.refractory > 0 and moment <= last.end + policy.refractory * SECOND
        if soon and not score > policy.stronger * last.score:
            since = (moment - last.end) / SECOND
            return self.id_of(last), f"; suppressed {since:g} s after the last alarm of {entity}"
        if policy.together and (found := self._incident(entity, desk, moment, score)):
            desk.voice, said = found
            return self.id_of(desk.voice), f"; of the incident of {desk.voice.entity}: {said}"
        if policy.screen is not None and not policy.screen.speaks(desk.peak, desk.parts, desk.limit):
            return policy.screen.name, f"; suppressed by {policy.screen.name}: like what was discarded"
        return "", ""

    def _incident(self, entity: str, desk: EntityDesk, moment: int, score: float) -> tuple[Alarm, str] | None:
        """The alarm that speaks already for what goes on, or for an entity that is connected, and how that one is."""
        lately = moment - max(self.policy.together, self.policy.merge) * SECOND
        ways = [(desk, "")] if desk.alarm is not None else []
        ways += [(self.desks[other], said) for other, said in self.near.get(entity, {}).items() if other in self.desks]
        for other, said in ways:
            voice = other.voice
            speaks = voice is not None and voice.entity != entity and min(voice.end, other.hot) >= lately
            if speaks and not score > self.policy.stronger * voice.score:
                return voice, said
        return None

    def _end(self, desk: EntityDesk, keep: bool = False) -> None:
        if desk.alarm is not None:
            desk.alarm.open = False
        desk.alarm, desk.on = None, keep


def responsible(parts: Mapping[str, float]) -> str:
    """Names of the metrics with a good part in an alarm, largest first."""
    most = max(parts.values(), default=0.0)
    named = [name for name, part in parts.items() if part > 0 and part >= RESPONSIBLE * most]
    return ",".join(sorted(named, key=lambda name: -parts[name]))


def _stamp(moment: int) -> pd.Timestamp:
    return pd.Timestamp(moment, unit="us", tz="UTC").as_unit("us")
