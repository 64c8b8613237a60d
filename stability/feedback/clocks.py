"""Each message has a clock: routed at once, answered in time, escalated when it is not, answered where it came from."""

from __future__ import annotations

__all__ = ["SERVICE_TIMES", "answer", "answer_group", "due", "escalate", "regroup", "route"]

import datetime as dt
import html
from collections.abc import Callable, Mapping

import pandas as pd

from stability.feedback.contacts import Contacts
from stability.feedback.development import CATEGORIES
from stability.feedback.grouping import group_messages
from stability.feedback.store import FeedbackStore
from stability.records.privacy import scrub_message
from stability.schema import ContractError

#: Hours until an answer is due, by category, at normal urgency; high has a quarter of it, low four times as much.
SERVICE_TIMES = {
    "availability": 1.0,
    "latency": 4.0,
    "wrong_answer": 4.0,
    "billing": 24.0,
    "usability": 48.0,
    "other": 72.0,
    "praise": 168.0,
}
FACTORS = {"high": 0.25, "normal": 1.0, "low": 4.0}
SHOWN = 400  # characters of a message that a notification quotes

#: Sends title, text and whether it is bad; whether everybody took it: `workbench.notification.send`.
Sender = Callable[..., bool]


def due(
    frame: pd.DataFrame, *, now: dt.datetime | None = None, hours: Mapping[str, float] = SERVICE_TIMES
) -> pd.DataFrame:
    """Add when each message's answer is due (`due`), and whether that has passed without one (`overdue`).

    Parameters
    ----------
    frame : DataFrame
        As `FeedbackStore.frame`.
    now : datetime with zone, optional
    hours : mapping of str to float
        Category -> hours at normal urgency.

    Examples
    --------
    >>> frame = pd.DataFrame({"received_at": [pd.Timestamp("2026-01-01T00:00Z")], "category": ["availability"],
    ...                       "urgency": ["high"], "answered_at": [pd.NaT]})
    >>> said = due(frame, now=pd.Timestamp("2026-01-01T00:20Z"))
    >>> str(said["due"].iloc[0]), bool(said["overdue"].iloc[0])
    ('2026-01-01 00:15:00+00:00', True)
    """
    missing = [name for name in CATEGORIES if name not in hours]
    if missing:
        raise ContractError(column=missing[0], expected="hours for each category", got="none")
    now = pd.Timestamp(now) if now is not None else pd.Timestamp.now("UTC")
    seconds = frame["category"].map(hours).astype(float) * frame["urgency"].map(FACTORS).astype(float) * 3600
    moment = frame["received_at"] + pd.to_timedelta(seconds, unit="s")
    return frame.assign(due=moment, overdue=frame["answered_at"].isna() & (moment < now))


def regroup(store: FeedbackStore) -> int:
    """Write into the store which messages are near-duplicates; how many changed their group."""
    frame = store.frame()
    groups = group_messages(frame)
    changed = frame["group_id"].fillna("") != groups.fillna("")
    for name, group in zip(frame["feedback_id"][changed], groups[changed], strict=True):
        store.update(name, group_id=group)
    return int(changed.sum())


def route(store: FeedbackStore, send: Sender, *, now: dt.datetime | None = None) -> int:
    """Tell whoever is responsible of messages that nobody was told of yet: one notification a category and group.

    Parameters
    ----------
    store : FeedbackStore
    send : callable
        As `workbench.notification.send`: title, text, ``bad=``; True when it was taken.
    now : datetime with zone, optional

    Returns
    -------
    int
        Messages routed. What was not taken is tried again at the next call.
    """
    now = now or dt.datetime.now(dt.UTC)
    store.drain()
    regroup(store)
    frame = due(store.frame(), now=now)
    done = 0
    for (category, _), part in frame[frame["routed_at"].isna()].groupby(["category", "group_id"], sort=False):
        first = part.iloc[0]
        urgent = (part["urgency"] == "high").any()
        more = f" ({len(part)} alike)" if len(part) > 1 else ""
        unsure = "" if first["sure"] else ", unsure"
        title = f"Feedback: {category}{unsure}{', urgent' if urgent else ''}{more}"
        until = f"answer due {part['due'].min():%Y-%m-%d %H:%M} UTC"
        text = f"{first['text'][:SHOWN]}\n{first['feedback_id']} by {first['channel']}, {until}"
        if send(title, text, bad=bool(urgent)):
            for name in part["feedback_id"]:
                store.update(name, routed_at=now.isoformat())
            done += len(part)
    return done


def escalate(store: FeedbackStore, send: Sender, *, now: dt.datetime | None = None) -> int:
    """Tell of messages whose answer is overdue, each once; how many."""
    now = now or dt.datetime.now(dt.UTC)
    frame = due(store.frame(), now=now)
    late = frame[frame["overdue"] & frame["escalated_at"].isna()]
    if late.empty:
        return 0
    lines = [
        f"- {row.feedback_id} {row.category}/{row.urgency}, due {row.due:%Y-%m-%d %H:%M} UTC: {row.text[:100]}"
        for row in late.itertuples()
    ]
    if not send(f"Feedback: {len(late)} answers are overdue", "\n".join(lines[:50]), bad=True):
        return 0
    for name in late["feedback_id"]:
        store.update(name, escalated_at=now.isoformat())
    return len(late)


def answer(
    store: FeedbackStore,
    contacts: Contacts,
    feedback_id: str,
    text: str,
    senders: Mapping[str, Callable[[str, str], bool]],
    *,
    now: dt.datetime | None = None,
) -> bool:
    """Answer a message through the channel that it came by.

    Parameters
    ----------
    store, contacts
        Where the message and its sender's address are.
    feedback_id : str
    text : str
        The answer; it is kept scrubbed.
    senders : mapping of str to callable
        Channel -> sends an answer (address, text) and says whether it was taken. A message by form stands on the
        form's page as soon as it is kept; one without an address counts as answered when it is kept.

    Returns
    -------
    bool
        Whether it went out; False when the sender did not take it, and the clock goes on.

    Raises
    ------
    ContractError
        For a message that there is not, one that is answered, an empty answer, a channel without a sender.
    """
    rows = store.frame().set_index("feedback_id")
    if feedback_id not in rows.index:
        raise ContractError(column="feedback_id", expected="a message that there is", got=repr(feedback_id))
    if pd.notna(rows.loc[feedback_id, "answered_at"]):
        raise ContractError(
            column="feedback_id", expected="a message without an answer", got=f"{feedback_id}, which has one"
        )
    if not text.strip():
        raise ContractError(column="text", expected="an answer", got="none")
    way = contacts.find(feedback_id)
    if way is not None:
        channel, address = way
        if channel not in senders and channel != "form":
            known = ", ".join(senders) or "none"
            raise ContractError(column="senders", expected=f"a sender for {channel!r}", got=known)
        if channel in senders and not senders[channel](address, text):
            return False
    moment = (now or dt.datetime.now(dt.UTC)).isoformat()
    return store.update(feedback_id, answer=scrub_message(html.unescape(text)), answered_at=moment)


def answer_group(
    store: FeedbackStore, contacts: Contacts, group_id: str, text: str, senders: Mapping, **options
) -> int:
    """Answer everybody of a group who has no answer yet ("fixed in ..."); how many answers went out."""
    frame = store.frame()
    open_ = frame[(frame["group_id"] == group_id) & frame["answered_at"].isna()]
    return sum(answer(store, contacts, name, text, senders, **options) for name in open_["feedback_id"])
