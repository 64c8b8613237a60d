"""What a repair has to prove, and until when."""

from __future__ import annotations

__all__ = ["Verification", "Widths"]

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

from stability.schema import ContractError


class Widths(NamedTuple):
    """Settings in steps."""

    hold: int
    watch: int
    window: int
    recent: int
    lasting: int
    gap: int
    skew: int
    early: int


@dataclass(frozen=True)
class Verification:
    """What a repair has to prove, and until when. Times are in s.

    Parameters
    ----------
    objective : float
        Share of good requests that users were promised.
    hold : float
        How long everything has to be inside its bounds to count as back.
    watch : float
        How long after the hold nothing may relapse.
    window : float
        After the action: by its end the verdict is final. What is not back for a hold by then has not recovered; what
        is, but not for the watch, is inconclusive.
    recent : float
        Over so long, at least two steps, samples say whether something is out of bounds now.
    lasting : float
        How long a neighbour, a metric or, during the watch, a detector has to stay out of bounds to count.
    gap : float
        Longest gap of samples through which what was known still holds, at least two steps.
    skew : float
        By how much clocks may differ: only samples stamped so long after the action are from after it.
    action : float
        Longest time that the action itself takes: it may have had its effect so long before it ended.
    budget : float
        Error budgets that the requests since the recovery have to rule out, in multiples of what the objective allows:
        few requests are no evidence.
    confidence : float
        Of Wilson's interval for that.
    history : float
        How far back history is looked at.

    Raises
    ------
    ContractError
        For a value out of its range, or a window shorter than hold and watch.
    """

    objective: float = 0.99
    hold: float = 30.0
    watch: float = 60.0
    window: float = 180.0
    recent: float = 5.0
    lasting: float = 10.0
    gap: float = 5.0
    skew: float = 1.0
    action: float = 10.0
    budget: float = 2.0
    confidence: float = 0.95
    history: float = 3600.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            share = one.name in ("objective", "confidence")
            zero = one.name in ("skew", "action", "watch", "gap", "history")
            if not number or value < 0 or (value == 0 and not zero) or (share and value >= 1):
                said = "a share between 0 and 1" if share else f"a number {'from' if zero else 'above'} 0"
                raise ContractError(column=one.name, expected=said, got=value)
        if self.window < self.hold + self.watch:
            least = f"at least hold and watch together, {self.hold + self.watch:g} s"
            raise ContractError(column="window", expected=least, got=f"{self.window:g} s")
        if self.budget < 1:
            raise ContractError(column="budget", expected="1 or more error budgets", got=self.budget)

    def widths(self, step: float) -> Widths:
        """Give the times in steps."""

        def steps(seconds: float) -> int:
            return math.ceil(seconds / step - 1e-9)

        recent, lasting = max(steps(self.recent), 2), max(steps(self.lasting), 2)
        return Widths(
            max(steps(self.hold), 1),
            steps(self.watch),
            max(steps(self.window), 1),
            recent,
            lasting,
            max(steps(self.gap), 2),
            steps(self.skew),
            steps(self.action) + recent,
        )

    @property
    def least(self) -> float:
        """Level of service below which the requests have to exclude it."""
        return max(1 - self.budget * (1 - self.objective), 0.0)
