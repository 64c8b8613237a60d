"""Which backups stay: the last few, one a day, one a week; none beyond a horizon, and never none at all."""

from __future__ import annotations

__all__ = ["Keep", "horizon", "staying"]

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from stability.schema import ContractError


@dataclass(frozen=True)
class Keep:
    """How many backups stay.

    Parameters
    ----------
    last : int
        The newest ones, at least 1.
    daily, weekly : int
        The newest of each of so many days (UTC) and ISO weeks that have one.
    days : float
        The horizon: whatever is older goes, but for the newest of all. What was erased in the workbench has left
        every backup after it.
    """

    last: int = 3
    daily: int = 7
    weekly: int = 5
    days: float = 40.0  # five weeks and a few days: the fifth weekly backup is not lost to the horizon

    def __post_init__(self):
        whole = all(isinstance(n, int) and n >= 0 for n in (self.last, self.daily, self.weekly))
        if not (whole and self.last >= 1 and self.days > 0):
            raise ContractError(
                expected="at least one backup that stays, whole numbers from 0 on, days above 0",
                got=f"last {self.last}, daily {self.daily}, weekly {self.weekly}, days {self.days}",
            )


def staying(moments: Sequence[float], keep: Keep, now: float) -> set[int]:
    """Choose the backups that stay.

    Parameters
    ----------
    moments : sequence of float
        Unix seconds of each backup, in any order.
    keep : Keep
    now : float
        Unix seconds.

    Returns
    -------
    set of int
        Places in `moments`.

    Examples
    --------
    >>> day = 86_400
    >>> sorted(staying([0, day, day + 1, 2 * day], Keep(last=1, daily=2, weekly=0), 2 * day))
    [2, 3]
    >>> staying([0], Keep(days=1), 30 * day), staying([], Keep(), 0)
    ({0}, set())
    """
    order = sorted(range(len(moments)), key=lambda k: (moments[k], k), reverse=True)
    stay = set(order[: keep.last])
    for count, period in ((keep.daily, _day), (keep.weekly, _week)):
        seen: set = set()
        for k in order:
            name = period(moments[k])
            if name not in seen and len(seen) < count:
                seen.add(name)
                stay.add(k)
    within = {k for k in stay if now - moments[k] <= keep.days * 86_400}
    return within | set(order[:1])


def _day(moment: float) -> dt.date:
    return dt.datetime.fromtimestamp(moment, dt.UTC).date()


def _week(moment: float) -> tuple[int, int]:
    return tuple(_day(moment).isocalendar()[:2])


def horizon(keep: Keep) -> str:
    """Say in a sentence when somebody who was erased has left the backups.

    Examples
    --------
    >>> print(horizon(Keep(days=40)))
    Backups older than 40 days are removed by the next one that is created and verified: what was erased from the
    workbench has left every backup 40 days later, and a restore of an older backup erases it again.
    """
    return (
        f"Backups older than {keep.days:g} days are removed by the next one that is created and verified: what was "
        f"erased from the workbench has left every backup {keep.days:g} days later, and a restore of an older backup "
        "erases it again."
    )
