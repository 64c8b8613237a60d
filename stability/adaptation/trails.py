"""What was known of each alarm at each of its moments: what a screen is learnt from and judged on."""

from __future__ import annotations

__all__ = ["Trail", "trails"]

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stability.detection import Desk, raise_alarms
from stability.detection.policy import Alarm, responsible
from stability.detection.screen import CAP, SCORE


@dataclass
class Trail:
    """An alarm that was told, from its raising to its end, as a `Screen` meets it.

    Parameters
    ----------
    entity : str
    limit : float
        The threshold, in the score's unit; evidence is measured by it.
    moments : list of int
        Microseconds since 1970 of the rows at which a screen is asked, rising; the first is the alarm's start, the
        last its end.
    scores : list of float
        Highest so far at each of them.
    parts : list of mapping of metric to float
        Largest so far of each metric.
    """

    entity: str
    limit: float
    moments: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)

    def evidence(self, metrics: Sequence[str]) -> np.ndarray:
        """Evidence of each metric at each moment, float64, shape (moments, metrics)."""
        raw = np.array([[own.get(metric, 0.0) for metric in metrics] for own in self.parts])
        return np.minimum(np.log2(1 + raw.reshape(-1, len(metrics)) / self.limit), CAP)

    def responsible(self) -> list[list[str]]:
        """The metrics with a good part in it at each moment, the largest first."""
        return [responsible(own).split(",") for own in self.parts]

    @property
    def start(self) -> pd.Timestamp:
        """The moment of its raising."""
        return pd.Timestamp(self.moments[0], unit="us", tz="UTC").as_unit("us")

    @property
    def end(self) -> pd.Timestamp:
        """The moment of its last row."""
        return pd.Timestamp(self.moments[-1], unit="us", tz="UTC").as_unit("us")

    @property
    def loudest(self) -> float:
        """Its highest score, in thresholds."""
        return self.scores[-1] / self.limit


def trails(
    scores: pd.Series,
    threshold: float | pd.Series,
    *,
    score_metrics: pd.DataFrame | None = None,
    topology: pd.DataFrame | None = None,
    **rules: Any,
) -> list[Trail]:
    """Follow each alarm that a policy tells, row by row.

    Parameters
    ----------
    scores, threshold, score_metrics, topology, **rules
        As for `raise_alarms`, and judged by the same desk.

    Returns
    -------
    list of Trail
        By entity and start. Without `score_metrics` the score itself is the only metric.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> (trail,) = trails(pd.Series([0.0, 2.0, 6.0, 0.0], index=index, name="novelty"), 1.0)
    >>> trail.scores, trail.evidence(["score"]).round(2).ravel().tolist()
    ([2.0, 6.0], [1.58, 2.81])
    """
    found: dict[int, tuple[Alarm, Trail]] = {}

    def note(desk: Desk, entity: str, moment: int) -> None:
        own = desk.desks[entity]
        if own.alarm is None or own.alarm.suppressed_by or own.hot != moment:
            return
        _, trail = found.setdefault(id(own.alarm), (own.alarm, Trail(entity, own.limit)))
        trail.moments.append(moment)
        trail.scores.append(own.peak)
        trail.parts.append(dict(own.parts) or {SCORE: own.peak})

    raise_alarms(scores, threshold, score_metrics=score_metrics, topology=topology, each=note, **rules)
    return sorted((trail for _, trail in found.values()), key=lambda one: (one.entity, one.moments[0]))
