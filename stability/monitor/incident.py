"""An incident: an alarm, or the alarms of a service, with all that was seen, said and done about it."""

from __future__ import annotations

__all__ = ["AGAIN", "RUNS", "Incident"]

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stability.schema import validate

RUNS = "running"  # an action that somebody is at
AGAIN = ("needs_approval", "refused", "not_begun")  # asked again while it goes on: guards and people change their minds


@dataclass
class Incident:
    """An alarm, or the alarms of a service, that is looked into until it is over.

    Parameters
    ----------
    alarm : dict
        As `Raised`.
    causes : list of dict
        Rows of the contract's `causes`, of the newest look.
    answer : str
        What the localizer says as a whole; "" without one.
    priority : dict
        Of the likeliest mode, from the worksheet: severity, occurrence, detection, action_priority, effect, playbook.
    decision, acted, verdict : dict
        What repair says; empty without it.
    timeline : list of [moment, text]
        What happened, ISO times.
    page : str
        Name of the report's file.
    looks : list of dict
        Each look: its moment, why, the likeliest entity and mode, its probability, the answer.
    due : list of int
        Moments at which it is looked into again, microseconds since 1970.
    news, fired : int
        Begin of what was newest about it, and the last moment at which it went on.
    open : bool
        Whether it goes on.
    members : list of str
        Entities that have joined it.
    done : list of [entity, mode, verdicts]
        What was acted upon: never twice on the same.
    verdicts : int
        How many of its repairs have their verdict: each is new evidence.
    settles : int
        Moment at which people are called if it is still not known what it is; 0 where nothing is waited for.
    worst : str
        The highest severity of the alarms that it is of.
    hurt : int
        Moment since which users are hurt without a break while it goes on; 0 where they are not, or nobody tells.
    called : int
        Moment at which it was first asked whether people have to be called, because nobody knows what it is; 0 before.
    """

    alarm: dict[str, Any]
    causes: list[dict[str, Any]] = field(default_factory=list)
    answer: str = ""
    priority: dict[str, Any] = field(default_factory=dict)
    decision: dict[str, Any] = field(default_factory=dict)
    acted: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    timeline: list[list[str]] = field(default_factory=list)
    page: str = ""
    looks: list[dict[str, Any]] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    news: int = 0
    fired: int = 0
    open: bool = True
    members: list[str] = field(default_factory=list)
    done: list[list[Any]] = field(default_factory=list)
    verdicts: int = 0
    settles: int = 0
    worst: str = ""
    hurt: int = 0
    called: int = 0

    def table(self) -> pd.DataFrame:
        """The causes, as the contract's table."""
        return validate(pd.DataFrame(self.causes).set_index(["alarm_id", "rank"]), "causes")

    def happened(self, at: str, text: str) -> None:
        """Add to the timeline, once."""
        if [at, text] not in self.timeline:
            self.timeline.append([at, text])

    def said(self) -> dict[str, Any]:
        """All of it, as JSON types; `Incident(**said)` takes it."""
        return _plain(asdict(self))


def _plain(told: Any) -> Any:
    """Numbers of numpy and missing values as JSON has them."""
    if isinstance(told, dict):
        return {name: _plain(one) for name, one in told.items()}
    if isinstance(told, list | tuple):
        return [_plain(one) for one in told]
    if isinstance(told, np.generic):
        told = told.item()
    return None if told is pd.NA or told is pd.NaT else told
