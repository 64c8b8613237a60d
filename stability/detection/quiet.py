"""Hours in which nobody is to be called."""

from __future__ import annotations

__all__ = ["QUIET", "QuietHours"]

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from zoneinfo import ZoneInfo

import pandas as pd

from stability.schema import ContractError

QUIET = "quiet hours"  # what suppresses an alarm that nobody is to be called for


@dataclass(frozen=True)
class QuietHours:
    """Hours in which nobody is to be called.

    Parameters
    ----------
    begin, end : time
        Of the day, `end` exclusive; from 22:00 to 06:00 goes over midnight.
    zone : str
        Their time zone.
    days : sequence of int
        Days of the week on which they begin, Monday being 0.
    """

    begin: time
    end: time
    zone: str = "UTC"
    days: Sequence[int] = tuple(range(7))

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("begin", "end"):
            if not isinstance(moment := getattr(self, name), time) or moment.tzinfo is not None:
                raise ContractError(column=name, expected="a time of the day without a zone", got=repr(moment))
        if self.begin == self.end:
            raise ContractError(column="end", expected="another time than begin", got=str(self.end))
        try:
            ZoneInfo(self.zone)
        except (KeyError, OSError, TypeError, ValueError):  # unknown, a folder of zones, no text, no name of a zone
            raise ContractError(column="zone", expected="such as Europe/Berlin", got=repr(self.zone)) from None
        if not isinstance(self.days, Sequence) or not set(self.days) <= set(range(7)):
            raise ContractError(column="days", expected="numbers from 0 (Monday) to 6", got=repr(self.days))

    def holds(self, moment: int) -> bool:
        """Whether a moment, in microseconds since 1970, lies in them."""
        local = pd.Timestamp(moment, unit="us", tz="UTC").tz_convert(ZoneInfo(self.zone))
        now, today = local.time(), local.dayofweek
        if self.begin <= self.end:
            return self.begin <= now < self.end and today in self.days
        return (now >= self.begin and today in self.days) or (now < self.end and (today - 1) % 7 in self.days)

    def __str__(self) -> str:
        """As a reason says it."""
        return f"quiet hours {self.begin:%H:%M}-{self.end:%H:%M} {self.zone}"
