"""The one door: scrubbed, pseudonymous, classified, kept, in this order; what is known is not taken twice."""

from __future__ import annotations

__all__ = ["Intake"]

import datetime as dt
import functools
import hashlib
from collections.abc import Iterable

import pandas as pd

from stability.feedback.classification import FeedbackClassifier
from stability.feedback.contacts import Contacts
from stability.feedback.lexicon import language_of
from stability.feedback.sources import LONGEST, Message
from stability.feedback.store import FeedbackStore
from stability.records.feedback import protected
from stability.records.privacy import KeyStore, scrub_message
from stability.schema import ContractError

BATCH = 50  # messages classified and stored at a time


class Intake:
    """Take messages in.

    Parameters
    ----------
    store : FeedbackStore, optional
        Default: the workbench's own, as with the others.
    keys : KeyStore, optional
        Gives pseudonyms.
    contacts : Contacts, optional
        Keeps where answers go.
    model : FeedbackClassifier, optional
        Learnt at the first use without it.
    """

    def __init__(
        self,
        store: FeedbackStore | None = None,
        *,
        keys: KeyStore | None = None,
        contacts: Contacts | None = None,
        model: FeedbackClassifier | None = None,
    ):
        self.store, self.keys = store or FeedbackStore(), keys or KeyStore()
        self.contacts, self._model = contacts or Contacts(keys=self.keys), model

    @functools.cached_property
    def model(self) -> FeedbackClassifier:
        """The classifier in use."""
        from stability.feedback.model import classifier

        return self._model or classifier()

    def take(self, messages: Iterable[Message]) -> dict[str, int]:
        """Take messages in, and move what waits into the store.

        Returns
        -------
        dict of str to int
            `new`, `known` already, `waiting` in the spool because the store was locked.
        """
        counts, batch = {"new": 0, "known": 0}, []
        for message in messages:
            batch.append(message)
            if len(batch) == BATCH:
                self._take(batch, counts)
                batch = []
        if batch:
            self._take(batch, counts)
        self.store.drain()
        return {**counts, "waiting": self.store.waiting()}

    def take_one(self, message: Message) -> str:
        """Take one message into the spool; its name, under which an answer is found.

        Raises
        ------
        ContractError
            Without a text.
        """
        if not message.text.strip():
            raise ContractError(column="text", expected="a text", got="none")
        counts = {"new": 0, "known": 0}
        (name,) = self._take([message], counts)
        return name

    def _take(self, messages: list[Message], counts: dict[str, int]) -> list[str]:
        now = dt.datetime.now(dt.UTC)
        raw = pd.DataFrame(
            {
                "user": pd.Series([m.user for m in messages], dtype="str"),
                "text": pd.Series([m.text[:LONGEST] for m in messages], dtype="str"),
            }
        )
        safe = protected(raw, store=self.keys)
        labels = self.model.predict(safe["text"].fillna("").tolist())
        names = []
        for k, message in enumerate(messages):
            user = safe["user"].iloc[k]
            user, text = None if pd.isna(user) else str(user), str(safe["text"].fillna("").iloc[k])
            stamp = (message.timestamp or now).astimezone(dt.UTC)
            name = _name(message, user, text)
            row = {
                "feedback_id": name,
                "timestamp": stamp.isoformat(),
                "received_at": now.isoformat(),
                "channel": message.channel[:40],
                "user": user,
                "entity": scrub_message(message.entity[:100]) if message.entity else None,
                "text": text,
                "language": language_of(text),
                "category": labels["category"].iloc[k],
                "probability": float(labels["probability"].iloc[k]),
                "sure": float(labels["sure"].iloc[k]),
                "urgency": labels["urgency"].iloc[k],
                "rating": message.rating,
                "thread": _digest(message.thread) if message.thread else None,
            }
            counts["new" if self.store.put(row) else "known"] += 1
            if message.reply_to:
                self.contacts.remember(name, user, message.channel, message.reply_to)
            names.append(name)
        return names


def _name(message: Message, user: str | None, text: str) -> str:
    """By the channel's own name where there is one, else by what was said, by whom and when."""
    if message.key:
        return f"f{_digest(f'{message.channel}|key|{message.key}')}"
    stamp = message.timestamp.astimezone(dt.UTC).isoformat() if message.timestamp else ""
    return f"f{_digest(f'{message.channel}|{user}|{stamp}|{text}')}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]
