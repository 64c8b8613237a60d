"""Messages to people: each said once in a while, and again where nobody took it."""

from __future__ import annotations

__all__ = ["Send", "call", "repeat", "tell"]

import logging
from collections.abc import Mapping
from typing import Protocol

import pandas as pd

from stability.remediation.exporting import call_text
from stability.remediation.history import History
from stability.remediation.record import Record

AGAIN = 60.0  # s after which a message that nobody took is sent again
LOG = logging.getLogger(__name__)


class Send(Protocol):
    """How a message is sent, such as `stability.workbench.notification.send`: whether all addresses took it."""

    def __call__(self, title: str, text: str, *, bad: bool = False) -> bool:
        """Send it."""
        ...


def tell(
    record: Record,
    history: History,
    send: Send | None,
    key: str,
    title: str,
    text: str,
    now: pd.Timestamp,
    *,
    bad: bool = False,
    quiet: float = 3600.0,
) -> bool:
    """Send a message unless the same was delivered lately; whether it was is in the record, so a restart asks nobody.

    A process that is killed between sending and writing says it once more: better twice than never.

    Parameters
    ----------
    record, history : Record, History
        Where it is written down, and what is.
    send : callable or None
        Who sends it.
    key : str
        What makes two messages the same.
    title, text : str
        What is said.
    now : Timestamp
        When.
    bad : bool
        Whether it tells of a failure.
    quiet : float
        s for which the same is not said again.

    Returns
    -------
    bool
        Whether it was delivered now.
    """
    if send is None:
        return False
    before = history.told.get(key)
    if before is not None and abs((now - before).total_seconds()) < quiet:
        return False
    try:
        taken = bool(send(title, text, bad=bad))
    except Exception as error:  # noqa: BLE001  its text may hold an address, and nobody is repaired by a traceback
        LOG.warning("a message was not sent: %s", type(error).__name__)
        taken = False
    with record.locked():
        if taken:
            record.append("told", now, key=key, title=title)
        else:
            record.append("not_told", now, key=key, title=title, text=text, bad=bad)
        history.read(record.entries())
    return taken


def call(
    record: Record,
    history: History,
    send: Send | None,
    alarm_id: str,
    why: str,
    evidence: Mapping,
    now: pd.Timestamp,
    *,
    quiet: float,
) -> None:
    """Ask people for help with an alarm; parameters as of `tell`."""
    text = call_text(alarm_id, why, evidence)
    tell(record, history, send, f"{alarm_id}.{why}", f"help needed: {why}", text, now, bad=True, quiet=quiet)


def repeat(record: Record, history: History, send: Send | None, now: pd.Timestamp, *, quiet: float) -> None:
    """Say again what nobody took, and what was not said because whoever wanted to was killed; parameters as of `tell`.

    A call that is in the record goes out at once: one of which nothing is said after so long was never sent.
    """
    if send is None:
        return
    for key, (at, facts) in list(history.untold.items()):
        if (now - at).total_seconds() > AGAIN:
            tell(record, history, send, key, facts["title"], facts["text"], now, bad=facts["bad"], quiet=quiet)
    for at, facts in list(history.owed.values()):
        if (now - at).total_seconds() > AGAIN:
            call(record, history, send, **facts, now=now, quiet=quiet)
