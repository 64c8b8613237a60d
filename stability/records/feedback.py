"""What users say, from any channel; what state things were in; what somebody labelled: into their tables."""

from __future__ import annotations

__all__ = ["protected", "read_feedback", "read_states", "read_windows"]

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from stability.records.checks import known_entities
from stability.records.mapping import TableOptions, checked, raw_rows, translate
from stability.records.privacy import KeyStore, scrub_column, scrub_message
from stability.schema import ContractError, nearest, validate

#: Names that forms, help desks and app stores give to the columns.
USUAL = {
    "feedback_id": ("id", "ticket_id", "response_id", "review_id", "Ticket id", "Response ID"),
    "timestamp": ("created_at", "time", "date", "submitted_at", "createdAt", "Timestamp", "Date", "created", "sent_at"),
    "channel": ("source", "via", "via.channel", "origin"),
    "user": (
        "user_id", "email", "author", "customer", "requester", "requester_id", "username", "reviewer", "from",
        "Email", "contact", "user.id", "user.login",
    ),
    "entity": ("service", "product", "app", "component", "host"),
    "text": ("comment", "message", "body", "review", "feedback", "description", "content", "Comment", "Feedback"),
    "rating": ("score", "stars", "nps", "satisfaction", "satisfaction_rating.score", "Score", "Rating"),
    "category": ("topic", "type", "label"),
    "answered_at": ("replied_at", "responded_at", "solved_at"),
    "answer": ("reply", "response", "developer_reply"),
}  # fmt: skip
#: Ratings that are no numbers: thumbs and faces count from -1 to 1.
WORDS = {
    "👍": "1", "👎": "-1", "thumbs_up": "1", "thumbs_down": "-1", "thumbsup": "1", "thumbsdown": "-1", "up": "1",
    "down": "-1", "good": "1", "bad": "-1", "😀": "1", "🙂": "1", "😐": "0", "🙁": "-1", "😡": "-1",
}  # fmt: skip


@dataclass(frozen=True)
class FeedbackOptions(TableOptions):
    """As `TableOptions`, and what is particular to feedback; see `read_feedback`."""

    user: str = "pseudonym"
    scrub: bool = True
    rating_scale: Sequence[float] | None = None
    unknown: str = "keep"


def read_feedback(
    source: str | Iterable[str],
    *,
    entities: Iterable[str] | None = None,
    storage: Mapping[str, object] | None = None,
    store: KeyStore | None = None,
    **options,
) -> pd.DataFrame:
    """Read feedback; users become pseudonyms and texts are scrubbed before anything else sees them.

    Parameters
    ----------
    source : str, path, or iterable of them
        CSV, JSON or Parquet, near or far; with `query` the address of a database.
    entities : iterable of str, optional
        Names that telemetry knows; messages about others are dealt with by `unknown`.
    storage : mapping, optional
        Options of fsspec's file system.
    store : KeyStore, optional
        Default: the workbench's own.
    form, records, query, params, columns, values, defaults, where, timezone, ambiguous, nonexistent, timestamp_format
        As for `read_faults`. Usual names of the columns need no entry.
    user : {"pseudonym", "drop", "keep"}
        What becomes of users; pseudonyms stay what they are.
    scrub : bool
        Whether to take addresses, numbers and secrets out of the texts; see `stability.records.privacy.scrub`.
    rating_scale : (float, float), optional
        Least and greatest rating of the channel, to bring it to 1 to 5. Without it ratings stay as the channel counts;
        ``4/5`` and ``★★★★`` are 4, thumbs 1 and -1.
    unknown : {"keep", "error", "drop"}
        What becomes of messages about entities that telemetry does not know.

    Returns
    -------
    DataFrame
        The table `feedback`. A message without a ``feedback_id`` is called after its file and row, one without a
        channel has the file's name as channel.

    Raises
    ------
    ContractError
        With file, row and column.
    """
    chosen = checked(options, FeedbackOptions, reader="read_feedback")
    for name, known in {"user": ("pseudonym", "drop", "keep"), "unknown": ("keep", "error", "drop")}.items():
        if getattr(chosen, name) not in known:
            got = repr(getattr(chosen, name))
            raise ContractError(column=name, expected="one that there is", got=got, remedy=nearest(got, known))
    frame, label, _ = raw_rows(source, chosen, storage)
    done, _ = translate(frame, "feedback", chosen, label=label, usual=USUAL)
    stem = PurePosixPath(label.split(" and ")[0]).name.split(".")[0]
    for name, instead in {"feedback_id": [f"{stem}-{row + 1}" for row in done.index], "channel": stem}.items():
        own = pd.Series(instead, index=done.index, dtype="str")
        done[name] = done[name].fillna(own) if name in done else own
    if "rating" in done:
        done["rating"] = _ratings(done["rating"], chosen.rating_scale, label)
    done = protected(done, user=chosen.user, scrub=chosen.scrub, store=store)
    if "entity" in done:
        named = done["entity"].notna()
        kept, _ = known_entities(done[named], entities, chosen.unknown, label)
        done = done.loc[done.index.isin(kept.index) | ~named]
    return validate(done.reset_index(drop=True), "feedback", source=label)


def protected(
    feedback: pd.DataFrame, *, user: str = "pseudonym", scrub: bool = True, store: KeyStore | None = None
) -> pd.DataFrame:
    """Give users pseudonyms and scrub texts, in which the users' names become pseudonyms too.

    Parameters
    ----------
    feedback : DataFrame
        With the columns of the contract that there are.
    user, scrub, store
        As for `read_feedback`.

    Returns
    -------
    DataFrame
    """
    done, known = feedback.copy(), {}
    if "user" in done and user == "drop":
        done = done.drop(columns="user")
    elif "user" in done and user == "pseudonym" and done["user"].notna().any():
        known = (store or KeyStore()).pseudonyms(done["user"].dropna().unique())
        done["user"] = done["user"].map(known, na_action="ignore").astype("str")
    names = {value: pseudonym for value, pseudonym in known.items() if value != pseudonym}
    for name in (n for n in ("text", "answer") if scrub and n in done):
        done[name] = scrub_column(done[name], names, scrub_message)
    return done


def _ratings(cells: pd.Series, scale: Sequence[float] | None, label: str) -> pd.Series:
    """Read ratings as people write them, and bring them to one scale where theirs is told."""

    def number(cell: str) -> str:
        cell = cell.strip()
        if found := re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(?:/|of|out of)\s*\d+", cell, re.I):
            return found[1].replace(",", ".")
        if found := re.fullmatch(r"([★⭐]\ufe0f?)+[☆]*", cell):
            return str(cell.count("★") + cell.count("⭐"))
        if found := re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(?:stars?|★|⭐)", cell, re.I):
            return found[1].replace(",", ".")
        return WORDS.get(cell.lower(), cell)

    done = cells.map(number, na_action="ignore").astype("str")
    if scale is None:
        return done
    try:
        low, high = (float(end) for end in scale)
        if not math.isfinite(high - low):
            raise ValueError
    except (TypeError, ValueError):
        raise ContractError(column="rating_scale", expected="two numbers, [0, 10]", got=repr(scale)) from None
    values = pd.to_numeric(done, errors="coerce")
    bad = done.notna() & ~values.between(low, high)
    if low >= high or bad.any():
        row = int(done.index[bad][0]) + 1 if bad.any() else None
        got = repr(cells[bad].iloc[0]) if bad.any() else repr(scale)
        raise ContractError(
            file=label, row=row, column="rating", expected=f"a rating from {low:g} to {high:g}", got=got
        )
    return 1 + 4 * (values - low) / (high - low)


def read_states(source: str | Iterable[str], *, storage: Mapping[str, object] | None = None, **options) -> pd.DataFrame:
    """Read versions, modes and events at their own times.

    Parameters
    ----------
    source : str, path, or iterable of them
        CSV, JSON or Parquet, near or far; with `query` the address of a database.
    storage : mapping, optional
        Options of fsspec's file system.
    form, records, query, params, columns, values, defaults, where, timezone, ambiguous, nonexistent, timestamp_format
        As for `read_faults`.

    Returns
    -------
    DataFrame
        The table `states`, sorted by time.

    Raises
    ------
    ContractError
        With file, row and column.
    """
    return _plain(source, "states", storage, options).sort_values("timestamp", kind="stable", ignore_index=True)


def read_windows(
    source: str | Iterable[str], *, storage: Mapping[str, object] | None = None, **options
) -> pd.DataFrame:
    """Read labelled intervals.

    Parameters
    ----------
    source, storage, **options
        As for `read_states`.

    Returns
    -------
    DataFrame
        The table `windows`.

    Raises
    ------
    ContractError
        With file, row and column.
    """
    return _plain(source, "windows", storage, options)


def _plain(source, table: str, storage: Mapping | None, options: Mapping) -> pd.DataFrame:
    chosen = checked(options, TableOptions, reader=f"read_{table}")
    frame, label, _ = raw_rows(source, chosen, storage)
    done, _ = translate(frame, table, chosen, label=label)
    return validate(done.reset_index(drop=True), table, source=label)
