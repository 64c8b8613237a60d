"""What is decided about an alarm, and why: plain facts that go into the record and come back from it unchanged."""

from __future__ import annotations

__all__ = ["LASTS", "Acted", "Case", "Decision", "Option", "Progress", "Refusal", "ServiceState", "moment"]

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from stability.schema import ContractError

BOOLS = (bool, np.bool_)
LASTS = "lasts"  # what refuses a repair until it is known what others show


def moment(value: object, what: str = "now") -> pd.Timestamp:
    """Read a moment, in UTC and microseconds.

    Raises
    ------
    ContractError
        It is none, or has no zone.

    Examples
    --------
    >>> moment("2026-01-01T01:00:00+01:00").isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    try:
        stamp = pd.Timestamp(value)
    except (TypeError, ValueError):
        stamp = pd.NaT
    if stamp is pd.NaT or stamp.tzinfo is None:
        remedy = "pd.Timestamp.now('UTC')"
        raise ContractError(expected=f"{what} as a moment with its zone", got=repr(value), remedy=remedy)
    return stamp.tz_convert("UTC").as_unit("us")


@dataclass(frozen=True)
class ServiceState:
    """What is known of the service at a moment, as the guards need it.

    Parameters
    ----------
    at : Timestamp
        When it was looked at (UTC); what is old counts as not known.
    healthy : mapping of str to bool
        Entity -> whether it answers its health check and gets requests; who is not named is not known to be healthy.
    groups : mapping of str to sequence of str
        Group -> its members, which can stand in for each other; who is in none stands alone, nobody is in two.
    impact : bool or None
        Whether users are hurt now; None where that is not known.
    since : mapping of str to mapping of str to Timestamp
        Entity -> a state of it, such as its version -> since when it has been what it is (UTC); what is not named is
        not known.

    Raises
    ------
    ContractError
        For a moment without its zone, and an entity in two groups.
    """

    at: pd.Timestamp
    healthy: Mapping[str, bool]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    impact: bool | None = None
    since: Mapping[str, Mapping[str, pd.Timestamp]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", moment(self.at, "at"))
        known = {name: isinstance(fine, BOOLS) and bool(fine) for name, fine in self.healthy.items()}
        object.__setattr__(self, "healthy", known)  # NaN is no yes
        groups = {name: tuple(dict.fromkeys(members)) for name, members in self.groups.items()}
        object.__setattr__(self, "groups", groups)
        counts = Counter(member for members in groups.values() for member in members)
        if twice := [name for name, count in counts.items() if count > 1]:
            remedy = "guards that look at one of them would overlook the other"
            got = f"{twice[0]} in {counts[twice[0]]}"
            raise ContractError(column="groups", expected="each entity in one group at most", got=got, remedy=remedy)
        object.__setattr__(self, "impact", bool(self.impact) if isinstance(self.impact, BOOLS) else None)

    def group(self, entity: str) -> tuple[str, ...]:
        """Members of the entity's group, itself included."""
        found = [tuple(members) for members in self.groups.values() if entity in members]
        return found[0] if found else (entity,)


@dataclass(frozen=True)
class Refusal:
    """One guard's no: its name, and the reason in a sentence."""

    guard: str
    why: str


@dataclass(frozen=True)
class Option:
    """What could be done, and what it would be worth, in minutes of impact.

    Parameters
    ----------
    playbook, entity : str
        What, and to whom.
    probability : float
        That one of the playbook's modes is at work there.
    effect : float
        Share of the times that it helps: mean of the Beta posterior.
    saved, spent : float
        Minutes of impact that it is expected to save, and to cost, its risk included.
    refusals : tuple of Refusal
        Guards and conditions that forbid it now.
    """

    playbook: str
    entity: str
    probability: float
    effect: float
    saved: float
    spent: float
    refusals: tuple[Refusal, ...] = ()

    @property
    def gain(self) -> float:
        """Minutes of impact that are expected to be won, doing nothing being 0."""
        return self.saved - self.spent

    @property
    def waits(self) -> bool:
        """Whether it is refused for a moment alone: nothing else is done instead."""
        return bool(self.refusals) and all(refusal.guard in (LASTS, "stale") for refusal in self.refusals)


@dataclass(frozen=True)
class Decision:
    """What is to be done about an alarm: a playbook's step, a way back, nothing, or to call somebody.

    Parameters
    ----------
    decision_id : str
        Name; what `act` does once and an approval is bound to.
    alarm_id : str
        The alarm.
    at : Timestamp
        When it was decided (UTC).
    kind : {'step', 'rollback', 'nothing', 'escalate'}
        The last two do nothing to the service.
    because : str
        The reason in a sentence.
    entity, playbook : str or None
        Whom it concerns, and by which playbook.
    step : int
        Which of the playbook's steps, 0 is the first; for a rollback the step that is taken back.
    impact_start : Timestamp or None
        When users began to feel it; the alarm's start where that is not known.
    plan : dict
        The step as it is going to be done; part of the name, so that a changed playbook needs a new decision.
    options : tuple of Option
        What there was to choose from, the best first.
    """

    decision_id: str
    alarm_id: str
    at: pd.Timestamp
    kind: str
    because: str
    entity: str | None = None
    playbook: str | None = None
    step: int = 0
    impact_start: pd.Timestamp | None = None
    plan: dict = field(default_factory=dict)
    options: tuple[Option, ...] = ()

    @property
    def acts(self) -> bool:
        """Whether something is to be done to the service."""
        return self.kind in ("step", "rollback")

    @property
    def waits(self) -> bool:
        """Whether it is to be asked again soon, because its best option is refused for a moment alone."""
        return self.kind == "nothing" and any(option.waits for option in self.options[:1])

    def facts(self) -> dict:
        """As JSON types."""
        told = asdict(self)
        for name in ("at", "impact_start"):
            told[name] = None if told[name] is None else told[name].isoformat()
        return told

    @classmethod
    def named(cls, **told: object) -> Decision:
        """Make a decision whose name follows from all that it says."""
        draft = cls(decision_id="", **told)
        text = json.dumps(draft.facts(), sort_keys=True, allow_nan=False)
        return cls(decision_id=hashlib.sha256(text.encode()).hexdigest()[:24], **told)

    @classmethod
    def of(cls, facts: Mapping) -> Decision:
        """Read what `facts` gave."""
        told = dict(facts)
        for name in ("at", "impact_start"):
            told[name] = None if told[name] is None else moment(told[name], name)
        told["options"] = tuple(
            Option(**{**option, "refusals": tuple(Refusal(**r) for r in option["refusals"])})
            for option in told["options"]
        )
        return cls(**told)


@dataclass(frozen=True)
class Acted:
    """What became of a decision that was acted upon.

    Parameters
    ----------
    status : {'done', 'failed', 'timed_out', 'perhaps', 'dry-run', 'refused', 'needs_approval', 'nothing'}
        'perhaps': begun, and whoever began it was killed. Only the first four touched the service.
    detail : str
        In a sentence.
    action_id : str or None
        Row of the contract's `actions`; None where nothing was begun.
    refusals : tuple of Refusal
        Who said no.
    start, end : Timestamp or None
        Of the action (UTC).
    """

    status: str
    detail: str
    action_id: str | None = None
    refusals: tuple[Refusal, ...] = ()
    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None

    @property
    def touched(self) -> bool:
        """Whether something was done to the service, or perhaps was."""
        return self.status in ("done", "failed", "timed_out", "perhaps")


@dataclass(frozen=True)
class Case:
    """A repair that waits for its verdict: what an `Aftermath` is made of.

    Parameters
    ----------
    alarm_id, entity, playbook : str
        Whom it concerns, and by which playbook.
    step : int
        Which of its steps was done last.
    action_id : str
        The action.
    impact_start, acted_at : Timestamp
        UTC; when users began to feel it, and when the action ended (or, after a crash, was found).
    status : str
        As of `Acted`.
    neighbours : tuple of str
        Who else may be hurt by it, as known when it was decided.
    verification : dict
        The playbook's settings of the verdict.
    """

    alarm_id: str
    entity: str
    playbook: str
    step: int
    action_id: str
    impact_start: pd.Timestamp
    acted_at: pd.Timestamp
    status: str
    neighbours: tuple[str, ...] = ()
    verification: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """What an observation led to.

    Parameters
    ----------
    verdict : str
        'verified', 'not_recovered' or 'inconclusive'.
    final : bool
        Whether it stands; until then observe again later.
    next : tuple of Decision
        What to act upon now, in this order: a way back, the next step; empty when the case is closed or goes on.
    escalated : bool
        Whether somebody was called.
    checks : tuple of str
        What was seen, a sentence a check.
    """

    verdict: str
    final: bool
    next: tuple[Decision, ...] = ()
    escalated: bool = False
    checks: tuple[str, ...] = ()
