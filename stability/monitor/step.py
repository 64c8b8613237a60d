"""What a step of a watch brought, and the alarm that a rule's firing is."""

from __future__ import annotations

__all__ = ["FIRES", "Beside", "Step", "alarm_of"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stability.monitor.alerts import Firing
from stability.monitor.sentries import Raised
from stability.rules import metrics_of

FIRES = "rules"  # a column beside the detectors' scores: 1 while a rule fires on the entity that is an alarm
SEVERITIES = {"page": "critical", "critical": "critical", "ticket": "warning", "warning": "warning"}
Beside = Callable[[pd.Timestamp, pd.Timestamp], Mapping[str, pd.DataFrame]]


@dataclass
class Step:
    """What a step brought.

    Parameters
    ----------
    moment : int
        Microseconds since 1970.
    scores : dict of detector to array, shape (entities,)
        In the order of the rows.
    firings : list of Firing
        That began or ceased.
    alarms : list of Raised
        That were raised or ended.
    seconds : float
        Of the processor, for all of it.
    told : list of dict
        New entries of the journal: alarms, looks, decisions, actions, verdicts.
    """

    moment: int
    entities: tuple[str, ...] = ()
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    firings: list[Firing] = field(default_factory=list)
    alarms: list[Raised] = field(default_factory=list)
    seconds: float = 0.0
    told: list[dict[str, Any]] = field(default_factory=list)


def alarm_of(one: Firing, metrics: Sequence[str]) -> Raised:
    """Make the alarm that a firing is.

    Parameters
    ----------
    one : Firing
    metrics : sequence of str
        That are watched; others of the rule are not named.
    """
    rule = one.rule
    text = rule.annotations.get("summary", rule.expr)
    severity = SEVERITIES.get(rule.labels.get("severity", ""), "info")
    named = ",".join(name for name in metrics_of(rule.expr) if name in metrics)
    who = one.entity or "all"
    return Raised(one.key, who, one.start, one.end, f"rule:{rule.alert}", named, one.value, np.nan, severity, text, "")
