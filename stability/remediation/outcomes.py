"""What is to be done to whom, and what came of it."""

from __future__ import annotations

__all__ = ["Outcome", "Task", "failed"]

from dataclasses import dataclass, field

LONGEST = 400  # characters of somebody else's words that are kept


@dataclass(frozen=True)
class Task:
    """One action on one entity.

    Parameters
    ----------
    action : str
        One of `ACTIONS`.
    entity : str
        Whom.
    delivery : str
        The action's name: a receiver that has seen it before does nothing.
    at : str
        When it was asked for, ISO 8601.
    timeout : float
        s.
    facts : dict
        What a webhook is told besides.
    """

    action: str
    entity: str
    delivery: str
    at: str
    timeout: float = 60.0
    facts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Parameters
    ----------
    status : {'done', 'failed', 'timed_out'}
        A task that timed out may have had its effect all the same.
    detail : str
        In a sentence.
    undo : dict or None
        What is needed to take it back; None where that is not possible.
    """

    status: str
    detail: str
    undo: dict | None = None


def failed(detail: str, undo: dict | None = None) -> Outcome:
    """Make an outcome of what went wrong, in one line of bounded length."""
    text = " ".join(detail.split())
    return Outcome("failed", text if len(text) <= LONGEST else f"{text[:LONGEST]} ...", undo)
