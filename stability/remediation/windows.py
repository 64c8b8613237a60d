"""Windows of the week: when automation keeps its hands off, and when it may make changes that carry risk."""

from __future__ import annotations

__all__ = ["DAYS", "Window"]

import zoneinfo
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Window(BaseModel):
    """A time of the week on the clocks of a place; one that ends before it begins runs past midnight.

    Parameters
    ----------
    days : list of str
        Days on which it begins: mon, tue, wed, thu, fri, sat, sun.
    start, end : str
        HH:MM; the end is no part of it; equal ones are a whole day.
    zone : str
        IANA name of the time zone.
    entities : list of str
        Patterns of the entities that it is about.

    Examples
    --------
    >>> night = Window(days=["fri"], start="22:00", end="02:00", zone="Europe/Berlin")
    >>> night.holds("model-a", pd.Timestamp("2026-03-07 00:30", tz="Europe/Berlin"))
    True
    >>> night.holds("model-a", pd.Timestamp("2026-03-07 02:00", tz="Europe/Berlin"))
    False
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = list(DAYS)
    start: Clock
    end: Clock
    zone: str = "UTC"
    entities: list[Annotated[str, Field(min_length=1, max_length=200)]] = ["*"]

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("an IANA time zone such as Europe/Berlin") from None
        return zone

    def holds(self, entity: str, now: pd.Timestamp) -> bool:
        """Whether it is about the entity, and now."""
        if not any(fnmatchcase(entity, pattern) for pattern in self.entities):
            return False
        there = now.tz_convert(self.zone)
        clock, today = there.strftime("%H:%M"), DAYS[there.weekday()]
        yesterday = DAYS[(there.weekday() - 1) % 7]
        if self.start < self.end:
            return today in self.days and self.start <= clock < self.end
        return (today in self.days and clock >= self.start) or (yesterday in self.days and clock < self.end)
