"""The one door: scrubbed, pseudonymous, classified, kept, in this order; what is known is not taken twice."""

from __future__ import annotations

__all__ = ["Intake"]

import datetime as dt
import functools
import json
import re
import secrets
from collections.abc import Iterable, Sequence

import pandas as pd

from stability.feedback.classification import FeedbackClassifier
from stability.feedback.contacts import Contacts
from stability.feedback.lexicon import language_of
from stability.feedback.messages import Message
from stability.feedback.sources import LONGEST
from stability.feedback.store import FeedbackStore
from stability.records.feedback import protected
from stability.records.privacy import KeyStore, scrub_message
from stability.schema import ContractError

BATCH = 50  # messages classified and stored at a time
WINDOW = 600  # seconds; who says the same again within them (twice that at most) has sent it twice
_HALVES = re.compile("[\ud800-\udfff\0]")
# What a message can be without being readable; a locked store, a full disk or a wrong key is nobody's message's fault.
_BROKEN = (ValueError, OverflowError, TypeError, LookupError, RecursionError)


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

    Notes
    -----
    A message that its channel names (`key`) is known again by channel, sender and that name: another sender's equal
    name is another message. Without one, the same words by the same sender are one message when they have the same
    moment, or, without a moment, when they come within `WINDOW`. Nobody can tell whether two people without a name are
    two: each of their messages counts. Names of messages are keyed digests: without the master key nobody can find out
    by trying what a message said, or who sent it.
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
            `new`, `known` already, `waiting` in the spool because the store was locked, set `aside`: what cannot be
            taken keeps nothing else from it, and `store.aside` has its place and what is wrong with it.
        """
        counts, batch, before = {"new": 0, "known": 0}, [], len(self.store.aside)
        for message in messages:
            batch.append(message)
            if len(batch) == BATCH:
                self._take(batch, counts)
                batch = []
        if batch:
            self._take(batch, counts)
        self.store.drain()
        return {**counts, "waiting": self.store.waiting(), "aside": len(self.store.aside) - before}

    def take_all(self, messages: Sequence[Message]) -> list[str | None]:
        """Take a few messages into the spool at once; their names, None of one that was set aside."""
        return self._take(messages, {"new": 0, "known": 0})

    def take_one(self, message: Message) -> str:
        """Take one message into the spool; its name, under which an answer is found.

        Raises
        ------
        ContractError
            Without a text, and for what cannot be stored.
        """
        if not message.text.strip():
            raise ContractError(column="text", expected="a text", got="none")
        (name,) = self.take_all([message])
        if name is None:
            raise ContractError(expected="a message that can be stored", got=self.store.aside[-1][1])
        return name

    def _take(self, messages: Sequence[Message], counts: dict[str, int]) -> list[str | None]:
        try:
            return list(self._taken(messages, counts))
        except ContractError:  # of the keys: no message is to blame
            raise
        except _BROKEN as error:
            if len(messages) == 1:
                raw = json.dumps(messages[0].__dict__, default=str).encode()
                self.store.set_aside(f"a message by {messages[0].channel[:40]}", type(error).__name__, raw)
                return [None]
        return [name for message in messages for name in self._take([message], counts)]

    def _taken(self, messages: Sequence[Message], counts: dict[str, int]) -> list[str]:
        now = dt.datetime.now(dt.UTC)
        raw = pd.DataFrame(
            {
                "user": pd.Series([m.user and _whole(m.user) for m in messages], dtype="str"),
                "text": pd.Series([_whole(m.text[:LONGEST]) for m in messages], dtype="str"),
            }
        )
        safe = protected(raw, store=self.keys)
        users = [None if pd.isna(user) else str(user) for user in safe["user"]]
        texts = safe["text"].fillna("").tolist()
        labels = self.model.predict(texts, scrubbed=True)
        names = [self._name(*told, now) for told in zip(messages, users, texts, strict=True)]
        rows = [
            {
                "feedback_id": name,
                "timestamp": (message.timestamp or now).astimezone(dt.UTC).isoformat(),
                "received_at": now.isoformat(),
                "channel": _whole(message.channel[:40]),
                "user": user,
                "entity": scrub_message(_whole(message.entity[:100])) if message.entity else None,
                "text": text,
                "language": language_of(text),
                "category": label.category,
                "probability": float(label.probability),
                "sure": float(label.sure),
                "urgency": label.urgency,
                "rating": message.rating,
                "thread": self.keys.digest(f"thread|{message.thread}") if message.thread else None,
            }
            for name, message, user, text, label in zip(names, messages, users, texts, labels.itertuples(), strict=True)
        ]
        known = self.store.known(names)  # the address of one that was erased does not come back with its message
        self.contacts.remember_all(
            (name, user, message.channel, _whole(message.reply_to))
            for name, user, message in zip(names, users, messages, strict=True)
            if message.reply_to and name not in known
        )
        new = sum(self.store.put_all(rows))
        counts["new"], counts["known"] = counts["new"] + new, counts["known"] + len(rows) - new
        return names

    def _name(self, message: Message, user: str | None, text: str, now: dt.datetime) -> str:
        """By the channel's own name where there is one, else by what was said, by whom and when."""

        def named(*told: object) -> str:
            return f"f{self.keys.digest(json.dumps(told))}"

        if message.key:
            return named("key", message.channel, message.client or message.user, message.key)
        if user is None:
            return f"f{secrets.token_hex(10)}"
        if message.timestamp:
            return named("said", message.channel, user, message.timestamp.astimezone(dt.UTC).isoformat(), text)
        spell = int(now.timestamp() // WINDOW)
        earlier, name = (named("said", message.channel, user, k, text) for k in (spell - 1, spell))
        return earlier if self.store.known([earlier]) else name


def _whole(text: str) -> str:
    """A text that can be written down: halves of characters and NUL are none."""
    return _HALVES.sub("\ufffd", text)
