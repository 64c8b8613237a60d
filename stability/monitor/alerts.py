"""Rules at every step: which alerts are pending, fire, and are kept firing; with the episodes that the batch finds."""

from __future__ import annotations

__all__ = ["Alerts", "Firing"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from stability.monitor.instant import Instant, reach_of
from stability.monitor.ring import Ring
from stability.rules.alerts import alerts_of, entity_of, firings_table, placed
from stability.rules.expressions import check_expression, metrics_of
from stability.rules.files import Rule
from stability.rules.vectors import Labels, Vector
from stability.schema import ContractError

NEVER = np.iinfo(np.int64).min
MICRO = pd.Timedelta("1us")
HELD = 600_000_000  # microseconds for which an episode that is over is told: diagnoses look back on less


@dataclass(frozen=True)
class Firing:
    """An alert that begins to fire, or no longer does.

    Parameters
    ----------
    rule : Rule
    entity : str
        "" where the rule aggregates it away.
    labels : Labels
        The alert's.
    pending_since, start : int
        Microseconds since 1970.
    end : int or None
        None = it fires.
    value : float
        The expression's at `start`.
    """

    rule: Rule
    entity: str
    labels: Labels
    pending_since: int
    start: int
    end: int | None
    value: float

    @property
    def key(self) -> str:
        """Name of the episode: equal on every way to it."""
        who = ",".join(f"{name}={text}" for name, text in self.labels)
        return f"rule:{self.rule.alert}/{who}/{self.start}"


@dataclass
class _State:
    """Alerts of a rule, aligned with the series of its expression."""

    labels: list[Labels] = field(default_factory=list)
    of: list[Labels] | None = None  # the expression's labels, of which `labels` are the alerts'
    pending: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    start: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    lost: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    value: np.ndarray = field(default_factory=lambda: np.empty(0))


class Alerts:
    """Rules over a ring, evaluated when a step is over.

    Parameters
    ----------
    rules : sequence of Rule
    ring : Ring
    reach : int
        Microseconds that the ring holds: a rule that looks farther back is left out.
    labels : str, mapping or None
        As for `stability.rules.evaluate`.
    lookback : int
        Microseconds for which a value serves when none follows.

    Attributes
    ----------
    rules : list of Rule
        That are evaluated.
    left_out : dict of str to str
        Rules that are not, and why.
    failing : dict of str to str
        Rules that could not be evaluated at the last step, and why: their alerts stay as they were.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        ring: Ring,
        *,
        reach: int,
        labels: str | Mapping[str, Mapping[str, str]] | None = None,
        lookback: int = 300_000_000,
    ):
        self.instant = Instant(ring, labels, lookback)
        self.left_out: dict[str, str] = {}
        self.failing: dict[str, str] = {}
        self._gone: list[Firing] = []  # what fired by rules that are gone or others now: over at the next step
        self.rules: list[Rule] = []
        for rule in rules:
            check_expression(rule.expr, file=rule.file or None, row=rule.line or None)
            if (far := reach_of(rule.expr)) > reach:
                back, held = pd.Timedelta(far, "us"), pd.Timedelta(reach, "us")
                self.left_out[rule.alert] = f"looks back {back}, and {held} of history is held"
            elif not (metrics := set(metrics_of(rule.expr))) & set(ring.metrics):
                self.left_out[rule.alert] = f"none of its metrics is watched: {', '.join(sorted(metrics))}"
            else:
                self.rules.append(rule)
        self._states = {rule.alert: _State() for rule in self.rules}
        self._owners: dict[Labels, str] = {}
        self._edition = 0  # of the ring
        self.firing: dict[str, Firing] = {}
        self.over: list[Firing] = []

    def step(self, moment: int) -> list[Firing]:
        """Evaluate all rules at a moment; gives what began to fire, and what ceased.

        A rule that cannot be evaluated, such as for labels that match twice since an entity has come, is told in
        `failing`, and keeps no other one from firing.
        """
        changed, self._gone = [replace(one, end=moment) for one in self._gone], []
        try:
            self.instant.begin(moment)
            known = self.rules
        except ContractError as error:  # an entity has come whose labels cannot be told
            self.failing = dict.fromkeys((rule.alert for rule in self.rules), str(error))
            known = []
        if self.instant.ring.edition != self._edition:
            self._owners, self._edition = {}, self.instant.ring.edition
        for rule in known:
            try:
                vector = self.instant.vector(rule.expr)
                changed += self._advance(rule, vector, moment)
                self.failing.pop(rule.alert, None)
            except ContractError as error:
                self.failing[rule.alert] = str(placed(error, rule))
            except Exception as error:  # noqa: BLE001  whatever it raises, it would raise after a start, too
                self.failing[rule.alert] = f"{type(error).__name__}: {error}"
        for one in changed:
            if one.end is None:
                self.firing[one.key] = one
            else:
                self.firing.pop(one.key, None)
        self.over = [one for one in self.over if one.end > moment - HELD] if self.over else []
        self.over += [one for one in changed if one.end is not None]
        return changed

    def table(self) -> pd.DataFrame:
        """What fires now or did so lately, as `stability.rules.firings` tells it."""
        rows = [
            {
                "rule": one.rule.alert,
                "labels": one.labels,
                "pending_since": one.pending_since,
                "start": one.start,
                "end": one.end,
                "value": one.value,
            }
            for one in (*self.over, *self.firing.values())
        ]
        return firings_table(rows, self.instant.entities)

    def _advance(self, rule: Rule, vector: Vector, moment: int) -> list[Firing]:
        state = self._states[rule.alert]
        present, values = vector.present[:, 0], vector.values[:, 0]
        if state.of is not vector.labels:
            alerts = alerts_of(rule, vector, 1)
            if len(alerts.labels) < len(vector.labels):  # series that become one alert: as the batch joins them
                vector, present, values = alerts, alerts.present[:, 0], alerts.values[:, 0]
            _align(state, alerts.labels, None if vector is alerts else vector.labels)
            if len(state.labels) > len(present):  # what has no series any more
                more = len(state.labels) - len(present)
                present, values = np.append(present, np.zeros(more, bool)), np.append(values, np.zeros(more))
        hold, keep = (length // MICRO for length in (rule.wait, rule.keep_firing_for))
        fires = state.start != NEVER
        if not present.any() and not fires.any():
            state.pending[:] = NEVER
            return []
        state.lost[present] = NEVER
        state.pending[present & (state.pending == NEVER)] = moment
        begins = present & ~fires & (moment - state.pending >= hold)
        state.start[begins], state.value[begins] = moment, values[begins]
        state.lost[fires & ~present & (state.lost == NEVER)] = moment
        ends = fires & ~present & (moment - state.lost >= keep)
        changed = [self._firing(rule, state, k, None) for k in np.flatnonzero(begins)]
        changed += [self._firing(rule, state, k, moment) for k in np.flatnonzero(ends)]
        state.start[ends] = state.lost[ends] = NEVER
        state.pending[~present & (state.start == NEVER)] = NEVER
        return changed

    def _firing(self, rule: Rule, state: _State, k: int, end: int | None) -> Firing:
        labels = state.labels[k]
        if labels not in self._owners:
            self._owners[labels] = entity_of(labels, self.instant.entities)
        times = (int(state.pending[k]), int(state.start[k]))
        return Firing(rule, self._owners[labels], labels, *times, end, float(state.value[k]))

    # ---- kept ----------------------------------------------------------------------------------------------------
    def said_over(self) -> list[dict[str, Any]]:
        """Episodes that are over and still told, or are over at the next step, as JSON types for `restore_over`."""
        names = ("entity", "labels", "pending_since", "start", "end", "value")
        return [
            {"rule": one.rule.alert} | {name: getattr(one, name) for name in names} for one in (*self.over, *self._gone)
        ]

    def restore_over(self, told: Sequence[Mapping[str, Any]]) -> None:
        """Take what `said_over` gave; what was told of rules that are gone is left out."""
        rules = {rule.alert: rule for rule in self.rules}
        for one in told:
            rule, labels = rules.get(one["rule"]), tuple((str(a), str(b)) for a, b in one["labels"])
            if one["end"] is None:
                self._gone.append(Firing(**{**one, "rule": rule or Rule("", one["rule"], ""), "labels": labels}))
            elif rule is not None:
                self.over.append(Firing(**{**one, "rule": rule, "labels": labels}))

    def said(self) -> dict[str, Any]:
        """What is pending or fires, as JSON types; `restore` takes it."""
        told: dict[str, Any] = {}
        for rule in self.rules:
            state = self._states[rule.alert]
            on = np.flatnonzero(state.pending != NEVER)
            if len(on):
                kept = [
                    [
                        [list(pair) for pair in state.labels[k]],
                        *(int(column[k]) for column in (state.pending, state.start, state.lost)),
                        float(state.value[k]),
                    ]
                    for k in on
                ]
                told[rule.alert] = {"expr": rule.expr, "labels": rule.labels, "alerts": kept}
        return told

    def restore(self, told: Mapping[str, Any], entities: Mapping[str, Labels] | None = None) -> None:
        """Take what `said` gave; a rule of another expression or other labels begins anew: what it fired is over."""
        rules = {rule.alert: rule for rule in self.rules}
        for name, one in told.items():
            rule, labels = rules.get(name), one.get("labels")
            goes_on = rule is not None and rule.expr == one["expr"] and labels in (None, rule.labels)
            rows = one["alerts"]
            state = self._states[name] if goes_on else _State()
            state.labels = [tuple((str(a), str(b)) for a, b in row[0]) for row in rows]
            state.of = None
            state.pending, state.start, state.lost = (np.array([r[k] for r in rows], dtype=np.int64) for k in (1, 2, 3))
            state.value = np.array([row[4] for row in rows], dtype=np.float64)
            whose = rule if goes_on else Rule("", name, one["expr"], labels=labels or {})
            for k in np.flatnonzero(state.start != NEVER):
                owner = entity_of(state.labels[k], entities or {})
                times = (int(state.pending[k]), int(state.start[k]))
                firing = Firing(whose, owner, state.labels[k], *times, None, float(state.value[k]))
                if goes_on:
                    self.firing[firing.key] = firing
                else:
                    self._gone.append(firing)


def _align(state: _State, labels: Sequence[Labels], of: list[Labels] | None) -> None:
    """Put a state's alerts in the order of new labels; those that go on without a series come last."""
    places = {one: k for k, one in enumerate(state.labels)}
    known = set(labels)
    rest = [one for one, k in places.items() if one not in known and state.pending[k] != NEVER]
    ordered = [*labels, *rest]
    take = np.array([places.get(one, -1) for one in ordered], dtype=np.int64)
    for name, empty in (("pending", NEVER), ("start", NEVER), ("lost", NEVER), ("value", np.nan)):
        old = getattr(state, name)
        new = np.full(len(ordered), empty, dtype=old.dtype)
        new[take >= 0] = old[take[take >= 0]]
        setattr(state, name, new)
    state.labels, state.of = ordered, None if rest else of
