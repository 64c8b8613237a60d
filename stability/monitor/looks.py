"""When an incident is looked into again, and which alarms are one incident: a schedule that follows from steps."""

from __future__ import annotations

__all__ = ["Calls", "joined", "named", "news", "plan", "related"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from stability.monitor.declaration import LooksPart
from stability.monitor.sentries import Raised
from stability.telemetry.grid import micros

if TYPE_CHECKING:
    from stability.monitor.incident import Incident

RULES = "rules"  # the detector that a service's incident names: its alarms are those of rules


@dataclass(frozen=True)
class Calls:
    """What a step brings to incidents.

    Parameters
    ----------
    opened : list of Raised
        Alarms of incidents to be opened.
    joins : mapping of alarm_id to list of str
        Incident -> what has joined it, in words.
    """

    opened: list[Raised]
    joins: Mapping[str, list[str]]


def joined(
    fresh: Sequence[Raised], held: Mapping[str, Incident], looks: LooksPart, links: Mapping[str, set[str]]
) -> Calls:
    """Say which alarms open incidents, and which join one that is open.

    With `looks.service` all alarms of rules that go on together are one incident of that service. Without it each alarm
    is an incident of its own, and one of an entity that an open incident is about, or that is linked to it, is news
    to that one, too.

    Parameters
    ----------
    fresh : sequence of Raised
        That were raised in this step, and are not suppressed.
    held : mapping of alarm_id to Incident
    looks : LooksPart
    links : mapping of str to set of str
        Entity -> whom it calls, or who calls it.
    """
    going = [one for one in held.values() if one.open]
    if looks.service is None:
        joins: dict[str, list[str]] = {}
        for alarm in fresh:
            for one in going:
                if alarm.entity in related(one, links):
                    joins.setdefault(one.alarm["alarm_id"], []).append(f"{alarm.detector} of {alarm.entity}")
        return Calls(list(fresh), joins)
    own = [one for one in fresh if one.detector.startswith("rule:")]
    if not own:
        return Calls([], {})
    for one in going:
        return Calls([], {one.alarm["alarm_id"]: [f"{alarm.detector} of {alarm.entity}" for alarm in own]})
    return Calls([_of_service(own, looks.service)], {})


def related(incident: Incident, links: Mapping[str, set[str]]) -> set[str]:
    """Entities that an incident is about: its own, those that joined, and whom its own is linked to."""
    own = incident.alarm["entity"]
    return {own, *incident.members, *links.get(own, ())}


def _of_service(alarms: Sequence[Raised], service: str) -> Raised:
    first = min(alarms, key=lambda one: one.start)
    worst = next((one.severity for one in alarms if one.severity == "critical"), first.severity)
    at = pd.Timestamp(first.start, unit="us", tz="UTC").isoformat()
    told = "; ".join(dict.fromkeys(f"{one.reason} ({one.entity})" for one in alarms))
    return Raised(
        f"{RULES}/{service}/{at}", service, first.start, None, RULES, first.metrics, first.score, first.threshold,
        worst, told, "",
    )  # fmt: skip


def plan(incident: Incident, moment: int, looks: LooksPart, *, now: bool = True) -> None:
    """Plan the looks that follow news: at once, and at the delays after it; what was planned before is dropped."""
    incident.due = [moment] if now else []
    incident.due += [moment + delay for delay in looks.delays if delay > 0]


def news(incident: Incident, start: int, looks: LooksPart) -> bool:
    """Move the begin of what is new, unless it is the same moment; says whether it moved."""
    if start - incident.news < micros(looks.apart, "apart"):
        return False
    incident.news = start
    return True


def named(incident: Incident, agree: int) -> list[Any] | None:
    """The entity and mode on which the last looks agree; None where they do not, or are too few."""
    last = [[one["entity"], one["failure_mode"]] for one in incident.looks[-agree:]]
    return last[0] if len(last) == agree and all(one == last[0] for one in last) else None
