"""Answers: back through the channel that a message came by, at most once, also to all whose incident is over."""

from __future__ import annotations

__all__ = ["Answered", "Outbox", "answer", "answer_fixed", "call_list", "settle"]

import contextlib
import datetime as dt
import html
import os
import sqlite3
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from stability.feedback.burst import complaints
from stability.feedback.clocks import regroup
from stability.feedback.contacts import Contacts
from stability.feedback.delivery import SMTP, Delivery, Letter, chat_address, mail_address, send_chat, send_mail
from stability.feedback.store import FeedbackStore, private_store
from stability.records.privacy import scrub_message
from stability.schema import ContractError, nearest

LONGEST = 10_000  # characters of an answer
LINKED = 0.5  # probability of a link from which an incident is the message's own
SENDERS = MappingProxyType({"mail": send_mail, "chat": send_chat})
TO_CALL, PERHAPS = "to call", "perhaps"
_COLUMNS = ("feedback_id", "way", "state", "detail", "begun_at", "ended_at")


class Answered(NamedTuple):
    """What became of an answer.

    Parameters
    ----------
    feedback_id : str
    way : {"mail", "chat", "page", "call"}
    state : {"sent", "shown", "to call", "not sent", "perhaps"}
        `shown` stands on the form's page; `to call` waits for somebody who tells it; of `perhaps` nobody knows whether
        it went out, and nothing is sent again without `again`.
    detail : str
    """

    feedback_id: str
    way: str
    state: str
    detail: str


class Outbox:
    """How far each answer came, written beside the messages: its intent before anything is sent, its outcome after.

    Parameters
    ----------
    store : FeedbackStore
        Whose file holds it; it holds no text and no address.
    """

    def __init__(self, store: FeedbackStore):
        self.path = store.path

    def begin(self, feedback_id: str, way: str, at: str, *, again: bool = False) -> bool:
        """Write that an answer is going out; False where one is or was, unless that surely failed.

        Two processes that begin at the same moment: one of them is told False. `again` goes on where it is unknown.
        """
        with self._open() as store:
            done = store.execute(
                "insert into answers values (?, ?, ?, '', ?, null) on conflict (feedback_id) do update set way = "
                "excluded.way, state = excluded.state, detail = '', begun_at = excluded.begun_at, ended_at = null "
                "where answers.state = 'not sent' or (answers.state = 'perhaps' and ?)",
                (feedback_id, way, PERHAPS, at, again),
            )
            return bool(done.rowcount)

    def end(self, feedback_id: str, state: str, detail: str, at: str) -> None:
        """Write what came of it."""
        with self._open() as store:
            store.execute(
                "update answers set state = ?, detail = ?, ended_at = ? where feedback_id = ?",
                (state, detail, at, feedback_id),
            )

    def frame(self) -> pd.DataFrame:
        """All answers that were begun: `feedback_id`, `way`, `state`, `detail`, `begun_at`, `ended_at`."""
        with self._open() as store:
            rows = store.execute("select * from answers order by begun_at, feedback_id").fetchall()
        return pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)

    def _open(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        columns = ", ".join(f"{name} text" for name in _COLUMNS)
        return private_store(self.path, f"create table if not exists answers ({columns}, primary key (feedback_id))")


def answer(
    store: FeedbackStore,
    contacts: Contacts,
    feedback_id: str,
    text: str,
    *,
    senders: Mapping[str, Callable[[Letter], Delivery]] = SENDERS,
    again: bool = False,
    automatic: bool = False,
    now: dt.datetime | None = None,
) -> Answered:
    """Answer a message through the channel that it came by, at most once.

    Parameters
    ----------
    store, contacts
        Where the message is, and where its sender's address is.
    feedback_id : str
    text : str
        The answer; it is sent as it is, and kept scrubbed.
    senders : mapping of str to callable
        Ways `mail` and `chat`. A message by form stands on the form's page, and goes to its sender's e-mail address
        where there is one and a mail server is named; calls, files and chat that cannot be answered go on the list of
        those to call, and their clocks go on until somebody has called (`settle`).
    again : bool
        Also where nobody knows whether an earlier try went out; a person has looked.
    automatic : bool
        Whether no person wrote it to this one.
    now : datetime with zone, optional

    Returns
    -------
    Answered

    Raises
    ------
    ContractError
        For a message that there is not, one that is answered or perhaps was, and an answer that is none.

    Notes
    -----
    The intent is on the disk before anything is sent: a process that is killed in between leaves `perhaps`, which
    nothing sends again by itself. A sender that surely failed may be tried again.
    """
    _check_text(text)
    store.drain()
    row = store.one(feedback_id)
    if row is None:
        remedy = nearest(feedback_id, store.frame()["feedback_id"])
        raise ContractError(
            column="feedback_id", expected="a message that there is", got=repr(feedback_id), remedy=remedy
        )
    if row["answered_at"]:
        got = f"{feedback_id}, which has one"
        raise ContractError(column="feedback_id", expected="a message without an answer", got=got)
    moment, outbox = (now or dt.datetime.now(dt.UTC)).isoformat(), Outbox(store)
    known = contacts.find(feedback_id)
    address = "" if known is None else known[1]
    way = _way(str(row["channel"]) if known is None else known[0], address)
    if not outbox.begin(feedback_id, way, moment, again=again):
        before = outbox.frame().set_index("feedback_id").loc[feedback_id]
        remedy = "see whether it arrived, then settle it, or answer it again"
        got = f"{feedback_id}: {before['state']}, since {before['begun_at']}"
        raise ContractError(column="feedback_id", expected="a message that nobody answers", got=got, remedy=remedy)
    store.update(feedback_id, answer=scrub_message(html.unescape(text)))
    if way in ("page", "call"):
        told = Delivery(*(("shown", "on the form's page") if way == "page" else (TO_CALL, "waits for a call")))
    else:
        try:
            told = senders[way](Letter(feedback_id, address, text, str(row["language"]), automatic))
        except ContractError as error:  # what is not set up has sent nothing
            outbox.end(feedback_id, "not sent", "not set up", moment)
            raise error
    if told.state in ("sent", "shown"):
        store.update(feedback_id, answered_at=moment)
    outbox.end(feedback_id, told.state, told.detail, moment)
    return Answered(feedback_id, way, told.state, told.detail)


def answer_fixed(
    store: FeedbackStore,
    contacts: Contacts,
    alarm_id: str,
    text: str,
    verdicts: pd.DataFrame,
    *,
    senders: Mapping[str, Callable[[Letter], Delivery]] = SENDERS,
    dry_run: bool = False,
    now: dt.datetime | None = None,
) -> list[Answered]:
    """Tell everybody of an incident that it is over ("fixed in ..."), once its last repair is verified.

    Parameters
    ----------
    store, contacts, senders, now
        As for `answer`.
    alarm_id : str
        The incident's alarm, as messages are linked to it.
    text : str
        What is told.
    verdicts : DataFrame
        From `incidents.read_verdicts`.
    dry_run : bool
        Only say who would be told: their state is `not sent`.

    Returns
    -------
    list of Answered
        Of the complaints that are linked to the alarm and of those in their groups that no other alarm has, sent
        before the verdict and without an answer: who writes later speaks of something that is there again. One that
        could not be told keeps nobody else from it.

    Raises
    ------
    ContractError
        When the last thing that was done about the alarm is not verified.
    """
    _check_text(text)
    said = verdicts[verdicts["alarm_id"] == alarm_id]
    if said.empty:
        raise ContractError(
            column="alarm_id", expected="an alarm that something was done about", got=repr(alarm_id),
            remedy=nearest(alarm_id, verdicts["alarm_id"]),
        )  # fmt: skip
    last = said.iloc[-1]
    if last["verdict"] != "verified":
        got = f"{alarm_id}: {str(last['verdict']).replace('_', ' ')}"
        raise ContractError(column="verdict", expected="verified, before anybody is told that it is fixed", got=got)
    store.drain()
    regroup(store)
    frame = complaints(store.frame())
    its_own = (frame["alarm_id"] == alarm_id) & (frame["alarm_probability"] >= LINKED)
    mates = frame["group_id"].isin(set(frame.loc[its_own, "group_id"].dropna())) & frame["alarm_id"].isna()
    known = frame["answered_at"].isna() & (frame["timestamp"] <= last["at"])
    done = []
    for name in frame.loc[(its_own | mates) & known, "feedback_id"]:
        if dry_run:
            done.append(Answered(name, "", "not sent", "only asked for"))
            continue
        try:
            done.append(answer(store, contacts, name, text, senders=senders, automatic=True, now=now))
        except ContractError as error:
            done.append(Answered(name, "", "not sent", str(error)))
    return done


def call_list(store: FeedbackStore, contacts: Contacts) -> pd.DataFrame:
    """List answers that wait for a person: those to call, and those of which nobody knows whether they went out.

    Returns
    -------
    DataFrame
        `feedback_id`, `state`, `channel`, `address` (missing where none is known), `answer`, `begun_at`.
    """
    begun = Outbox(store).frame()
    waiting = begun[begun["state"].isin((TO_CALL, PERHAPS))].merge(
        store.frame()[["feedback_id", "channel", "answer", "answered_at"]], on="feedback_id"
    )
    waiting = waiting[waiting["answered_at"].isna()]
    found = [contacts.find(name) for name in waiting["feedback_id"]]
    waiting = waiting.assign(address=[None if one is None else one[1] for one in found])
    return waiting[["feedback_id", "state", "channel", "address", "answer", "begun_at"]].reset_index(drop=True)


def settle(store: FeedbackStore, feedback_id: str, *, now: dt.datetime | None = None) -> None:
    """Say that an answer of the list arrived: somebody has called, or looked.

    Raises
    ------
    ContractError
        For one that does not wait.
    """
    outbox, moment = Outbox(store), (now or dt.datetime.now(dt.UTC)).isoformat()
    begun = outbox.frame()
    waiting = begun.loc[begun["state"].isin((TO_CALL, PERHAPS)), "feedback_id"]
    if feedback_id not in set(waiting):
        remedy = nearest(feedback_id, waiting)
        raise ContractError(column="feedback_id", expected="an answer that waits", got=repr(feedback_id), remedy=remedy)
    store.update(feedback_id, answered_at=moment)
    outbox.end(feedback_id, "sent", "told by a person", moment)


def _check_text(text: str) -> None:
    if not text.strip() or len(text) > LONGEST:
        raise ContractError(column="text", expected=f"an answer of 1 to {LONGEST:,} characters", got=f"{len(text):,}")


def _way(channel: str, address: str) -> str:
    """The way of an answer, by the channel of the message and what is known of its sender."""
    mail = mail_address(address) is not None
    if channel in ("form", "app"):
        return "mail" if mail and os.environ.get(SMTP) else "page"
    if channel in ("mail", "email"):
        return "mail" if mail else "call"
    if channel == "chat":
        return "chat" if chat_address(address) is not None else "call"
    return "call"
