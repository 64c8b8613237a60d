"""What a watch has told, each once: the alarms that go on, what fails, which rules are left out."""

from __future__ import annotations

__all__ = ["Told"]

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from stability.monitor.sentries import Raised

if TYPE_CHECKING:
    from stability.monitor.chain import Watch
    from stability.monitor.step import Step


class Told:
    """Writes what steps bring into the journal.

    Parameters
    ----------
    watch : Watch

    Attributes
    ----------
    alarms : dict of alarm_id to Raised
        That go on.
    replays : bool
        Whether steps are gone through again after a start: what the journal has of them already, the counts of the
        checkpoint have not.
    """

    def __init__(self, watch: Watch):
        self.watch = watch
        self.alarms: dict[str, Raised] = {}
        self.replays = False
        self._failing: dict[str, set[str]] = {"rule": set(), "detector": set()}
        self._left_out: dict[str, str] = {}

    def ended(self, step: Step, firing: Container[str], detectors: Collection[str]) -> list[Raised]:
        """End alarms of rules, as they were told; those of a detector only where it is gone: it ends its own.

        What was told goes on until it ends, whatever has become of its rule, which may be gone or no alarm any more.

        Parameters
        ----------
        step : Step
        firing : container of alarm_id
            Of rules that fire and are alarms.
        detectors : collection of str
            That judge.
        """
        return [
            replace(one, end=step.moment)
            for name, one in self.alarms.items()
            if (name not in firing if one.detector.startswith("rule:") else one.detector not in detectors)
        ]

    def step(self, step: Step) -> None:
        """Write what changed into the journal."""
        alerts = self.watch.alerts
        self._fails("rule", {} if alerts is None else alerts.failing)
        self._fails("detector", self.watch.failing)
        left_out = {} if alerts is None else alerts.left_out
        if left_out != self._left_out:
            self.watch.note("left_out", rules=left_out)
            self._left_out = dict(left_out)
        for one in step.firings:
            said = {"rule": one.rule.alert, "entity": one.entity, "labels": dict(one.labels), "value": one.value}
            said |= {"start": _stamp(one.start), "pending_since": _stamp(one.pending_since)}
            end = {} if one.end is None else {"end": _stamp(one.end)}
            kind = "firing" if one.end is None else "firing_over"
            new = self._once(f"{kind}/{one.key}", step.moment, kind=kind, **said, **end)
            self.watch.counts["firings"] += new and one.end is None
        for one in step.alarms:
            kind = "alarm" if one.end is None else "alarm_over"
            said = asdict(one) | {"start": _stamp(one.start), "end": None if one.end is None else _stamp(one.end)}
            new = self._once(f"{kind}/{one.alarm_id}", step.moment, kind=kind, **said)
            if one.end is not None:
                self.alarms.pop(one.alarm_id, None)
                continue
            self.alarms[one.alarm_id] = one
            self.watch.counts["suppressed" if one.suppressed_by else "alarms"] += new

    def _once(self, key: str, moment: int, **told: Any) -> bool:
        """Write an entry, unless it is there; whether it counts."""
        return self.watch.journal.once(key, moment, **told) or self.replays

    def _fails(self, what: str, failing: Mapping[str, str]) -> None:
        """Tell of what newly fails, such as a rule."""
        known = self._failing[what]
        for name in sorted(failing.keys() - known):
            self.watch.note(f"{what}_failed", **{what: name}, said=failing[name])
            self.watch.counts["errors"] += 1
            known.add(name)
        known.intersection_update(failing)

    # ---- kept --------------------------------------------------------------------------------------------------------
    def said(self) -> list[dict[str, Any]]:
        """The alarms that go on, as JSON types; `restore` takes them."""
        return [asdict(one) for one in self.alarms.values()]

    def restore(self, told: Sequence[Mapping[str, Any]]) -> None:
        """Take what `said` gave."""
        self.alarms = {one["alarm_id"]: Raised(**one) for one in told}


def _stamp(moment: int) -> str:
    return pd.Timestamp(moment, unit="us", tz="UTC").isoformat()
