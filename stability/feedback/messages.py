"""A message before anything of it is stored, its moment, and what becomes of one that cannot be read."""

from __future__ import annotations

__all__ = ["Aside", "Message", "guarded", "moment_of", "reason", "usual_moment"]

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from stability.schema import ContractError

#: Is told the place of what cannot be read, what is wrong with it (not what stands there), and its bytes.
Aside = Callable[[str, str, bytes], None]


@dataclass(frozen=True)
class Message:
    """A message before anything of it is stored: with names, numbers and the way back.

    Parameters
    ----------
    text : str
        What was written or said.
    channel : str
        form, mail, chat, phone, or what the file calls it.
    timestamp : datetime, optional
        When it was sent; the moment of intake without it.
    user : str, optional
        Who; becomes a pseudonym.
    reply_to : str, optional
        Where an answer goes: an address, a webhook; never stored with the message.
    key : str, optional
        The channel's own name of the message, by which it is known again.
    thread : str, optional
        The channel's own name of the conversation.
    entity : str, optional
        What it is about.
    rating : float, optional
        As the channel counts.
    client : str, optional
        Whose name `key` is, where it is not the user's: an equal key of another one is another message.
    """

    text: str
    channel: str
    timestamp: dt.datetime | None = None
    user: str | None = None
    reply_to: str | None = None
    key: str | None = None
    thread: str | None = None
    entity: str | None = None
    rating: float | None = None
    client: str | None = None


@contextlib.contextmanager
def guarded(aside: Aside | None, place: str, raw: bytes) -> Iterator[None]:
    """Set one thing aside when it cannot be read; an error without `aside`, and where the machine is at fault."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # parsers of hostile mail fail in many ways
        if aside is not None:
            aside(place, reason(error), raw)
        elif isinstance(error, ContractError):
            raise
        else:
            raise ContractError(file=place, expected="a message that can be read", got=reason(error)) from error


def reason(error: Exception) -> str:
    """Say what is wrong with something without what stands in it."""
    if not isinstance(error, ContractError):
        return f"it cannot be read ({type(error).__name__})"
    return f"{f'column {error.column}: ' if error.column else ''}expected {error.expected}"


def moment_of(value: object) -> dt.datetime | None:
    """A moment as services write it: ISO 8601, or seconds or milliseconds since 1970; None where it is none.

    Years before 1970 and after 2200 are mistakes of a clock or of a program.

    Examples
    --------
    >>> str(moment_of("1767225600.5")), moment_of("9999-12-31T23:00:00-12:00")
    ('2026-01-01 00:00:00.500000+00:00', None)
    """
    if value is None:
        return None
    try:
        number = float(value)
        return usual_moment(dt.datetime.fromtimestamp(number / 1000 if abs(number) > 1e11 else number, dt.UTC))
    except (TypeError, ValueError, OverflowError, OSError):
        pass
    try:
        stamp = pd.to_datetime(str(value)[:64], errors="coerce", utc=True)
        return None if stamp is pd.NaT else usual_moment(stamp.to_pydatetime())
    except (ValueError, OverflowError):
        return None


def usual_moment(stamp: dt.datetime) -> dt.datetime | None:
    """Give a moment in a year that mail and services have been sent in; None of another one."""
    return stamp if 1970 <= stamp.year <= 2200 else None
