"""Kinds of columns that contracts are made of: dtype, whether a value may be missing, bounds, and what it means."""

from __future__ import annotations

__all__ = ["TIME", "count", "flag", "number", "rating", "share", "text", "time"]

import pandas as pd
import pandera.pandas as pa

TIME = "datetime64[us, UTC]"


def text(description: str, *, nullable: bool = False, among: tuple[str, ...] = ()) -> pa.Column:
    """A column of text; empty text is missing, and only one that may be missing has it; `among`: what there is."""
    checks = [pa.Check.isin(among, error="one of " + ", ".join(among))] if among else []
    if not nullable:
        checks.append(pa.Check.ne("", error="text that is not empty"))
    return pa.Column(pd.StringDtype(na_value=float("nan")), checks, nullable=nullable, description=description)


def time(description: str, *, nullable: bool = False) -> pa.Column:
    """A column of moments in UTC."""
    return pa.Column(TIME, nullable=nullable, description=description)


def number(description: str, *, nullable: bool = False, lower: float | None = None, upper: float | None = None):
    """A column of numbers, within bounds where there are some."""
    checks = []
    if lower is not None or upper is not None:
        low, high = -float("inf") if lower is None else lower, float("inf") if upper is None else upper
        said = f"a number of at least {low:g}" if upper is None else f"a number from {low:g} to {high:g}"
        checks = [pa.Check.in_range(low, high, error=said)]
    return pa.Column("float64", checks, nullable=nullable, description=description)


def count(description: str, *, lower: int) -> pa.Column:
    """A column of whole numbers."""
    return pa.Column("int64", pa.Check.ge(lower, error=f"a whole number of at least {lower}"), description=description)


def flag(description: str) -> pa.Column:
    """A column of true or false."""
    return pa.Column("bool", description=description)


def share(description: str, *, nullable: bool = False) -> pa.Column:
    """A column of numbers from 0 to 1."""
    return number(description, nullable=nullable, lower=0, upper=1)


def rating(description: str) -> pa.Column:
    """A column of ratings from 1 to 10, which may be missing."""
    return number(description, nullable=True, lower=1, upper=10)
