"""Durations as Prometheus writes them."""

from __future__ import annotations

__all__ = ["duration", "duration_text"]

import re

import pandas as pd

from stability.schema import ContractError

_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_MILLISECONDS = (365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
_UNITS = ("y", "w", "d", "h", "m", "s", "ms")
_LONGEST = 100 * _MILLISECONDS[0]  # Prometheus's own bound is 292 years of nanoseconds; nobody waits for so long


def duration(text: str) -> pd.Timedelta:
    """Read a duration as Prometheus writes it.

    Parameters
    ----------
    text : str
        Such as '5m' or '1h30m': whole numbers of y, w, d, h, m, s, ms in this order; '0' is none.

    Returns
    -------
    Timedelta

    Raises
    ------
    ContractError

    Examples
    --------
    >>> duration("1h30m"), duration("0")
    (Timedelta('0 days 01:30:00'), Timedelta('0 days 00:00:00'))
    """
    found = _DURATION.fullmatch(text) if len(text) <= 40 and text.isascii() else None
    if text != "0" and (not text or found is None):
        raise ContractError(
            expected="a duration such as 5m, 1h30m or 30s",
            got=repr(text),
            remedy="write whole numbers with units",
        )
    parts = [] if found is None else found.groups()
    total = sum(int(part) * unit for part, unit in zip(parts, _MILLISECONDS, strict=False) if part)
    if total > _LONGEST:
        raise ContractError(expected="a duration of at most 100 years", got=repr(text))
    return pd.Timedelta(total, "ms")


def duration_text(length: pd.Timedelta) -> str:
    """Write a duration as Prometheus reads it.

    Parameters
    ----------
    length : Timedelta
        Not negative; what is below a millisecond is cut.

    Examples
    --------
    >>> duration_text(pd.Timedelta("90min")), duration_text(pd.Timedelta(0))
    ('1h30m', '0s')
    """
    rest, text = int(length / pd.Timedelta("1ms")), ""
    for unit, name in zip(_MILLISECONDS[2:], _UNITS[2:], strict=True):
        count, rest = divmod(rest, unit)
        text += f"{count}{name}" * (count > 0)
    return text or "0s"
