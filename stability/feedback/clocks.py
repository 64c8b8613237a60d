"""Each message has a clock: routed at once, answered in time, escalated when it is not."""

from __future__ import annotations

__all__ = ["SERVICE_TIMES", "due", "escalate", "regroup", "route"]

import datetime as dt
import itertools
from collections.abc import Callable, Mapping

import pandas as pd

from stability.feedback.development import CATEGORIES
from stability.feedback.grouping import WITHIN, group_messages
from stability.feedback.store import FeedbackStore, printable
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
LISTED = 100  # and of one of many
APART = 5  # groups of a category that get a notification each; more at once are one: nobody reads fifty a second
LINES = 50  # of a notification
LEADERS = 500  # groups of the last day that new messages are compared with; `regroup` compares with all
AT_ONCE = 1000  # messages that are compared with each other: twenty seconds of fifty a second

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
    groups = group_messages(frame.drop(columns="group_id"))
    changed = frame["group_id"].fillna("") != groups.fillna("")
    pairs = zip(frame["feedback_id"][changed], groups[changed], strict=True)
    return store.update_all({name: {"group_id": group} for name, group in pairs})


def route(store: FeedbackStore, send: Sender, *, now: dt.datetime | None = None) -> int:
    """Tell whoever is responsible of messages that nobody was told of yet.

    One notification a category and group of near-duplicates, or a category where there are many groups at once. Only
    what is new is read and grouped, among itself and with the groups of the last day; `regroup` compares all.

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
    done = 0
    while len(new := store.frame("unrouted", AT_ONCE)):
        took = _routed(new, store, send, now)
        done += took
        if took < len(new) or len(new) < AT_ONCE:
            break
    return done


def _routed(new: pd.DataFrame, store: FeedbackStore, send: Sender, now: dt.datetime) -> int:
    since = new["timestamp"].min() - pd.Timedelta(WITHIN)
    groups = group_messages(new, store.leaders(since.isoformat(), LEADERS))
    changed = new["group_id"].fillna("") != groups
    pairs = zip(new["feedback_id"][changed], groups[changed], strict=True)
    store.update_all({name: {"group_id": group} for name, group in pairs})
    frame, done = due(new.assign(group_id=groups), now=now), 0
    for category, part in frame.groupby("category", sort=False):
        alike = [group for _, group in part.groupby("group_id", sort=False)]
        for letter in [[group] for group in alike] if len(alike) <= APART else [alike]:
            names = list(itertools.chain.from_iterable(group["feedback_id"] for group in letter))
            if send(*_letter(str(category), letter), bad=any((group["urgency"] == "high").any() for group in letter)):
                done += store.update_all({name: {"routed_at": now.isoformat()} for name in names})
    return done


def _letter(category: str, alike: list[pd.DataFrame]) -> tuple[str, str]:
    """Title and text about one group, or about many of one category."""
    part, first = pd.concat(alike), alike[0].iloc[0]
    urgent = ", urgent" if (part["urgency"] == "high").any() else ""
    until = f"answer due {part['due'].min():%Y-%m-%d %H:%M} UTC"
    if len(alike) == 1:
        unsure, more = "" if first["sure"] else ", unsure", f" ({len(part)} alike)" if len(part) > 1 else ""
        text = f"{printable(first['text'])[:SHOWN]}\n{first['feedback_id']} by {printable(first['channel'])}, {until}"
        return f"Feedback: {category}{unsure}{urgent}{more}", text
    lines = [
        f"- {group['feedback_id'].iloc[0]} ({len(group)}): {printable(group['text'].iloc[0])[:LISTED]}"
        for group in sorted(alike, key=len, reverse=True)[:LINES]
    ]
    left = [f"and {len(alike) - LINES} more groups"] if len(alike) > LINES else []
    return f"Feedback: {category}{urgent} ({len(part)} in {len(alike)} groups)", "\n".join([*lines, *left, until])


def escalate(store: FeedbackStore, send: Sender, *, now: dt.datetime | None = None) -> int:
    """Tell of messages whose answer is overdue, each once; how many."""
    now = now or dt.datetime.now(dt.UTC)
    frame = due(store.frame("waiting"), now=now)
    late = frame[frame["overdue"]]
    if late.empty:
        return 0
    lines = [
        f"- {row.feedback_id} {row.category}/{row.urgency}, due {row.due:%Y-%m-%d %H:%M} UTC: "
        f"{printable(row.text)[:LISTED]}"
        for row in late.itertuples()
    ]
    if not send(f"Feedback: {len(late)} answers are overdue", "\n".join(lines[:LINES]), bad=True):
        return 0
    return store.update_all({name: {"escalated_at": now.isoformat()} for name in late["feedback_id"]})
