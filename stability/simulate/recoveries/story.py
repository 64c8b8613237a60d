"""What happens after a repair, and what is told of it: the course of the fault, and how the data fail to tell it."""

from __future__ import annotations

__all__ = ["NEVER", "Draw", "Story", "Told", "fading", "later"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

NEVER = np.iinfo(np.int64).max  # step at which a row arrives that never does


@dataclass(frozen=True)
class Draw:
    """What a family draws its stories from.

    Parameters
    ----------
    rng : numpy.random.Generator
    steps, impact, acted : int
        Length of the trace, the step at which users feel the fault, and the one at which the action has ended.
    hold, watch, window : int
        Steps for which all has to be inside bounds, then without relapse, and within which that has to be shown.
    """

    rng: np.random.Generator
    steps: int
    impact: int
    acted: int
    hold: int
    watch: int
    window: int

    def whole(self, low: float, high: float) -> int:
        """Draw a whole number of steps from `low` to `high`, both included."""
        return int(self.rng.integers(int(low), int(high) + 1))

    def recovery(self, latest: float = 12.0) -> np.ndarray:
        """Draw the course of a fault that the action ends for good, its last trace at most 8 s after `latest`."""
        return fading(self, self.acted + self.whole(4, latest), self.whole(1, 8))


@dataclass
class Told:
    """What is delivered of a trace; a story changes it in place.

    Parameters
    ----------
    telemetry : dict of str to ndarray of shape (steps, columns)
        Values as an exporter shows them, counters as sums.
    service : dict of str to ndarray of shape (steps, 2)
        Good requests and all.
    scores : dict of str to ndarray of shape (steps, detectors)
    arrives : dict of (str, str) to ndarray of shape (steps,)
        Step at which a row of a table (`telemetry`, `service`, `scores`) of an entity is there; :data:`NEVER` = no row.
    skew : dict of str to int
        Seconds by which the stamps of an entity's telemetry and scores are wrong.
    thresholds : dict of str to float
    columns : list of str
        Names of the telemetry's columns.
    """

    telemetry: dict[str, np.ndarray]
    service: dict[str, np.ndarray]
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    arrives: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    skew: dict[str, int] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)

    def arrival(self, table: str, entity: str) -> np.ndarray:
        """The arrivals of a table's rows of an entity, to be changed."""
        steps = len(self.telemetry["gateway"])
        return self.arrives.setdefault((table, entity), np.arange(steps, dtype=np.int64))

    def silent(
        self, entity: str, since: int, until: int | None = None, tables: tuple[str, ...] = ("telemetry", "scores")
    ):
        """Let rows be missing from a step on, up to another."""
        for table in tables:
            self.arrival(table, entity)[since:until] = NEVER


@dataclass
class Story:
    """What happens, and how it is told.

    Parameters
    ----------
    variant : str
        Which of the family's stories it is.
    course : ndarray of shape (steps,)
        Intensity of the fault, 0 to 1, for all whom it hurts.
    entity, neighbour, users : ndarray of shape (steps,), optional
        Intensity for the repaired thing, for its first neighbour (of a fault of the neighbour's own) and for all
        others than the repaired thing, where another one than `course`.
    restarts : list of (int, int)
        Step and length of each restart of the entity: counters begin anew.
    reshape : callable, optional
        Changes health and fault of the world, in place, before they are blended.
    mislead : callable, optional
        Changes what is delivered before the detectors see it: ``mislead(told, entity, neighbours)``.
    withhold : callable, optional
        The same, after the detectors have seen it.
    seen : bool
        Whether the data show how it went on.
    sure : bool
        Whether they show it well enough that a verdict has to be `verified` when all recovered.
    effect : bool
        Whether it was the action that ended the fault.
    """

    variant: str
    course: np.ndarray
    entity: np.ndarray | None = None
    neighbour: np.ndarray | None = None
    users: np.ndarray | None = None
    restarts: list[tuple[int, int]] = field(default_factory=list)
    reshape: Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], None] | None = None
    mislead: Callable[[Told, str, tuple[str, ...]], None] | None = None
    withhold: Callable[[Told, str, tuple[str, ...]], None] | None = None
    seen: bool = True
    sure: bool = True
    effect: bool = True


def fading(draw: Draw, since: int, length: int) -> np.ndarray:
    """Give the course of a fault that is whole from its impact on, and fades over some steps from one on.

    Examples
    --------
    >>> draw = Draw(np.random.default_rng(0), 8, 2, 4, 30, 60, 180)
    >>> fading(draw, 4, 2).tolist()
    [0.0, 0.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0]
    """
    time = np.arange(draw.steps)
    left = np.clip(1 - (time - since + 1) / max(length, 1), 0, 1)
    return np.where(time < draw.impact, 0.0, left)


def later(course: np.ndarray, since: int, intensity: float, until: int | None = None) -> np.ndarray:
    """Give the course with the fault back from a step on."""
    course = course.copy()
    course[since:until] = np.maximum(course[since:until], intensity)
    return course
