"""What the caller of a reading says about the files."""

from __future__ import annotations

__all__ = ["CHOICES", "Options"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stability.schema import ContractError, nearest

CHOICES = {
    "layout": ("auto", "wide", "long"),
    "ambiguous": ("error", "earlier", "later", "infer"),
    "nonexistent": ("error", "shift_forward"),
    "duplicates": ("error", "first", "last", "mean"),
    "unsorted": ("sort", "error"),
    "infinite": ("error", "missing"),
    "decimal": (".", ","),
}
THOUSANDS = ("", ",", ".", " ", "'", "_", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}")


@dataclass(frozen=True)
class Options:
    """What the caller of `read` said about the files; see there for the meaning of each.

    Examples
    --------
    >>> Options(layout="tall")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: column 'layout': expected one of auto, wide, long, got 'tall'. ...
    """

    layout: str = "auto"
    entity: str | None = None
    timestamp: str | Sequence[str] | None = None
    metric: str | None = None
    value: str | None = None
    series: str | None = None
    dimensions: Sequence[str] = ()
    columns: Mapping[str, str | None] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    units: bool | Mapping[str, float] = False
    timezone: str | None = None
    timestamp_format: str | None = None
    ambiguous: str = "error"
    nonexistent: str = "error"
    duplicates: str = "error"
    unsorted: str = "sort"
    infinite: str = "error"
    decimal: str = "."
    thousands: str = ""
    encoding: str | None = None
    delimiter: str | None = None
    skip: int | Sequence[int] = 0
    comment: str | None = None
    names: Sequence[str] | None = None

    def __post_init__(self):
        for name, known in CHOICES.items():
            got: Any = getattr(self, name)
            if got not in known:
                remedy = f"name one: {nearest(str(got), known)}"
                raise _wrong(name, f"one of {', '.join(known)}", got, remedy)
        for name in ("columns", "scale"):
            if not isinstance(getattr(self, name) or {}, Mapping):
                raise _wrong(name, "a mapping by name", getattr(self, name), f"{name}={{'name': ...}}")
            object.__setattr__(self, name, dict(getattr(self, name) or {}))
        for name, factor in self.scale.items():
            if not _factor(factor):
                remedy = "a number that is neither zero nor infinite"
                raise _wrong("scale", f"a factor for {name!r}, such as 0.01 for percent", factor, remedy)
        self._check_text()
        self._check_units()

    def _check_text(self):
        for name in ("entity", "metric", "value", "series", "timezone", "timestamp_format", "encoding"):
            got = getattr(self, name)
            if not (got is None or (isinstance(got, str) and got)):
                raise _wrong(name, "a text", got, f"{name}='...', or leave it out")
        for name in ("dimensions", "names"):
            got = getattr(self, name)
            if got is not None:
                texts = [got] if isinstance(got, str) and name == "dimensions" else got
                if isinstance(texts, str) or not _all(texts, str):
                    raise _wrong(name, "a list of names", got)
                object.__setattr__(self, name, tuple(texts))
        if not isinstance(self.timestamp, str | None) or self.timestamp == "":
            if not self.timestamp or not _all(self.timestamp, str):
                remedy = "timestamp='...', ['date', 'time'] where several columns make it, or leave it out"
                raise _wrong("timestamp", "a text", self.timestamp, remedy)
            object.__setattr__(self, "timestamp", tuple(self.timestamp))
        for name in ("delimiter", "comment"):
            got = getattr(self, name)
            if got is not None and (not isinstance(got, str) or not got or (name == "delimiter" and len(got) != 1)):
                raise _wrong(name, "one character" if name == "delimiter" else "the text that comments begin with", got)
        skip = self.skip if isinstance(self.skip, int) else tuple(self.skip) if _all(self.skip, int) else None
        lines = range(1, skip + 1) if isinstance(skip, int) else skip
        if skip is None or isinstance(skip, bool) or (isinstance(skip, int) and skip < 0) or min(lines, default=1) < 1:
            raise _wrong("skip", "a number of lines at the top, or a list of line numbers from 1", self.skip)
        object.__setattr__(self, "skip", frozenset(lines))
        if self.thousands not in THOUSANDS or (self.thousands and self.thousands == self.decimal):
            expected = f"a sign between thousands other than the decimal sign, one of {', '.join(map(repr, THOUSANDS))}"
            raise _wrong("thousands", expected, self.thousands)

    def _check_units(self):
        units = self.units
        if isinstance(units, Mapping):
            for name, factor in units.items():
                if not isinstance(name, str) or not _factor(factor):
                    raise _wrong("units", "a factor for each unit, {'req/s': 1}", {name: factor})
        elif not isinstance(units, bool):
            raise _wrong("units", "true, or a mapping of units to factors", units)


def _all(values: object, kind: type) -> bool:
    return isinstance(values, Sequence) and all(isinstance(v, kind) and not isinstance(v, bool) for v in values)


def _factor(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and bool(value)


def _wrong(name: str, expected: str, got: object, remedy: str | None = None) -> ContractError:
    return ContractError(column=name, expected=expected, got=repr(got), remedy=remedy)
