"""When an incident is looked into again, and which alarms are one incident: a schedule that follows from steps."""

from __future__ import annotations

__all__ = ["UNKNOWN", "Calls", "in_words", "joined", "named", "news", "plan", "related", "settled", "worst"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from stability.monitor.declaration import LooksPart
from stability.monitor.sentries import Raised
from stability.remediation.choice import UNKNOWN
from stability.telemetry.grid import micros

if TYPE_CHECKING:
    from stability.monitor.incident import Incident

SEVERITIES = ("info", "warning", "critical")
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


def settled(incident: Incident, moment: int, looks: LooksPart) -> tuple[int, str]:
    """Say whether people have to be called about what is not known: seconds after it began it often still gets a name.

    An unknown mode is waited for since the look that first found one, until looks agree on a known mode. It is settled
    when that has lasted for `looks.settle`, or when things have got worse since: users are hurt now, who were not, or
    an alarm of a higher severity has joined.

    Where looks find no fault, see nothing, or do not agree on anybody, that is waited for while users are hurt, and
    settled when they have been hurt without a break for `looks.hurts`.

    Parameters
    ----------
    incident : Incident
    moment : int
        Microseconds since 1970.
    looks : LooksPart

    Returns
    -------
    until : int
        The moment up to which it is waited for; 0 where it is settled, or where it is known, or hurts nobody.
    why : str
        Why it is waited for, or why no longer, for the record; "" where nobody has to be called.
    """
    if not incident.looks or incident.looks[-1]["failure_mode"] != UNKNOWN:
        return _unexplained(incident, moment, looks)
    first, before, alike = None, None, 0
    for one in incident.looks:
        said = (one["entity"], one["failure_mode"])
        before, alike = said, alike + 1 if said == before else 1
        if said[1] == UNKNOWN:
            first = first or one
        elif said[1] is not None and alike >= looks.agree:
            first = None
    newest = incident.looks[-1]
    if newest.get("hurt") and first.get("hurt") is False:
        return 0, "it has got worse: users are hurt now, and were not at first"
    if _rank(newest) > _rank(first):
        return 0, f"it has got worse: an alarm is {newest['severity']} now, and none was at first"
    until = pd.Timestamp(first["at"]).value // 1000 + looks.settle_us
    if moment >= until:
        return 0, f"it has not become known within {looks.settle}"
    at = pd.Timestamp(until, unit="us", tz="UTC")
    return until, f"what has just begun may still show what it is: people are called at {at:%H:%M:%S} if it does not"


def _unexplained(incident: Incident, moment: int, looks: LooksPart) -> tuple[int, str]:
    """As `settled`, of what hurts users while no cause is named."""
    said = named(incident, looks.agree)
    if not incident.hurt or not incident.looks or (said is not None and said[0] is not None):
        return 0, ""
    until = incident.hurt + looks.hurts_us
    since, at = (pd.Timestamp(one, unit="us", tz="UTC") for one in (incident.hurt, until))
    if moment >= until:
        return 0, f"users are hurt since {since:%H:%M:%S}, which is {looks.hurts} or more, and nobody knows why"
    return until, f"users are hurt: people are called at {at:%H:%M:%S} if they still are, and nobody knows why"


def in_words(look: Mapping[str, Any]) -> str:
    """What a look said, for people.

    Examples
    --------
    >>> look = {"at": "2026-03-01T10:00:05+00:00", "entity": None, "failure_mode": None, "probability": 0.8}
    >>> in_words(look | {"answer": "no fault"})
    '10:00:05 no fault: nobody, 80%'
    """
    who = "nobody" if look["entity"] is None else f"{look['failure_mode']} of {look['entity']}"
    return f"{pd.Timestamp(look['at']):%H:%M:%S} {look['answer']}: {who}, {look['probability']:.0%}"


def _rank(look: Mapping[str, Any]) -> int:
    said = look.get("severity")
    return SEVERITIES.index(said) if said in SEVERITIES else 0


def worst(severities: Sequence[str]) -> str:
    """The highest of some severities.

    Examples
    --------
    >>> worst(["warning", "critical", ""])
    'critical'
    """
    return max(severities, key=lambda one: SEVERITIES.index(one) if one in SEVERITIES else -1)
