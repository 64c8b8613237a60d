"""What people said, where it is kept: messages, their spool and quarantine, where answers go, labels, reasons."""

from __future__ import annotations

__all__ = ["rewrite_heard"]

import contextlib
import json
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from stability.records.privacy.pseudonyms import normal
from stability.schema import ContractError, home, load_yaml, write_yaml, written_whole

WAIT = 60.0  # seconds for a store that somebody else changes
OTHERS = ("answers",)  # tables of the store whose rows go with their messages
REASONS = {"accepted_by": "why", "withdrawn_by": "withdrawn_why"}  # of an accepted policy: who, and what they said
KEYS = {"feedback": "feedback_id", "alarm_labels": "label_id"}
Change = Callable[[pd.DataFrame, str], tuple[pd.DataFrame, int]]


def rewrite_heard(
    change: Change,
    *,
    who: tuple[str, ...] = (),
    before: pd.Timestamp | None = None,
    dry_run: bool = False,
    root: Path | None = None,
) -> list[tuple[Path, int]]:
    """Change messages where they wait and where they stay, labels of alarms, reasons of policies; delete addresses.

    Parameters
    ----------
    change : callable
        As for `stored.rewrite`; it is asked with the contracts' names `feedback` and `alarm_labels`, and `policies`.
    who : tuple of str
        Names of a subject that is erased: its addresses are deleted, the texts of the messages that came with them go
        as if they bore its pseudonym, which is the first name, and files that were set aside and hold one of the names
        or mail addresses are deleted.
    before : Timestamp, optional
        Files that were set aside before this moment are deleted, and addresses whose message is gone.
    dry_run : bool
        Only count.
    root : path, optional
        A workbench's folder; default: this one's.

    Returns
    -------
    list of (path, int)
        What was changed: each file, with the number of messages, addresses or labels.

    Raises
    ------
    ContractError
        When a store is locked or damaged: an erasure that left something out would be none.
    """
    root = home() if root is None else root
    folder, changed = root / "runs" / "feedback", []
    contacts = root / "private" / "contacts.sqlite"
    try:
        with (
            _open(contacts, dry_run) as addresses,
            _open(folder / "feedback.sqlite", dry_run) as store,
            _open(folder / "alarm_labels.sqlite", dry_run) as labels,
        ):
            mine = _addressed(addresses, who)
            told = _of_messages(set(mine), who, change)
            gone: set[str] = set()
            waiting = sorted((folder / "spool").glob("*.json"))
            changed += [(path, n) for path in waiting if (n := _waiting(path, told, gone, dry_run))]
            if store is not None and (count := _stored(store, "feedback", told, gone)):
                changed.append((folder / "feedback.sqlite", count))
            if labels is not None and (count := _stored(labels, "alarm_labels", lambda f: change(f, "alarm_labels"))):
                changed.append((folder / "alarm_labels.sqlite", count))
            if addresses is not None and (count := _forgotten(addresses, {*mine, *gone})):
                changed.append((contacts, count))
    except sqlite3.DatabaseError as error:
        raise ContractError(
            file=folder, expected="a store of messages that can be changed", got=str(error),
            remedy="stop what holds it, and repeat this",
        ) from error  # fmt: skip
    known = (*who, *(address for address in mine.values() if "@" in address))  # a room is not one person's
    for path in sorted([*(folder / "quarantine").glob("*"), *(folder / "spool" / "bad").glob("*")]):
        with contextlib.suppress(FileNotFoundError):
            old = before is not None and path.stat().st_mtime < before.timestamp()
            if old or (who and _holds(path, known)):
                changed.append((path, 1))
                if not dry_run:
                    path.unlink()
    for path in sorted((root / "policies").glob("*.yaml")) if who else ():
        if _holds(path, known) and (count := _reasons(path, change, dry_run)):
            changed.append((path, count))
    return changed


@contextlib.contextmanager
def _open(path: Path, dry_run: bool) -> Iterator[sqlite3.Connection | None]:
    """One transaction, which others wait for; it is undone after a dry run, and after an error."""
    if not path.exists():
        yield None
        return
    store = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    try:
        store.executescript("pragma synchronous = full; pragma secure_delete = on;")
        store.execute("begin immediate")
        yield store
        store.execute("rollback" if dry_run else "commit")
    finally:
        store.close()


def _tables(store: sqlite3.Connection | None) -> set[str]:
    return set() if store is None else {name for (name,) in store.execute("select name from sqlite_master")}


def _addressed(addresses: sqlite3.Connection | None, who: tuple[str, ...]) -> dict[str, str]:
    """Messages whose answer goes to the subject, and where to."""
    if "contacts" not in _tables(addresses) or not who:
        return {}
    names = {normal(name) for name in who}
    rows = addresses.execute("select feedback_id, user, address from contacts").fetchall()
    plain = [(name, user, _plain(address)) for name, user, address in rows]
    return {name: address for name, user, address in plain if user == who[0] or normal(address) in names}


def _plain(address: str) -> str:
    """An address without what a mail needs beside it."""
    there = address.removeprefix("mailto:").partition("?")[0] if address.startswith("mailto:") else address
    return urllib.parse.unquote(there) if there != address else address


def _of_messages(mine: set[str], who: tuple[str, ...], change: Change):
    def told(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
        named = frame.copy()
        if who:
            own = named["feedback_id"].isin(mine) & named["user"].isna()
            named.loc[own, "user"] = who[0]
        after, count = change(named, "feedback")
        return after, count

    return told


def _frame(rows: list[dict]) -> pd.DataFrame:
    frame = pd.DataFrame(rows).astype(object)
    return frame.where(frame.notna(), None)


def _waiting(path: Path, told, gone: set[str], dry_run: bool) -> int:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        after, count = told(_frame([{"user": None, "answered_at": None, **row}]))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return 0  # somebody else took it in; what is damaged is set aside by the next one who reads it
    if not count:
        return 0
    if after.empty:
        gone.add(str(row["feedback_id"]))
    if not dry_run:
        if after.empty:
            path.unlink(missing_ok=True)
        else:
            with written_whole(path) as file:
                file.write(json.dumps(row | {c: after[c].iloc[0] for c in row}, ensure_ascii=False).encode())
    return count


def _reasons(path: Path, change: Change, dry_run: bool) -> int:
    """Why a policy was accepted and taken back, in its file; its comments stay."""
    told = load_yaml(path)
    evidence = told.get("evidence") if isinstance(told, dict) else None
    said = {who: reason for who, reason in REASONS.items() if isinstance(evidence, dict) and who in evidence}
    rows = [{"user": evidence[who], "reason": evidence.get(reason)} for who, reason in said.items()]
    if not rows:
        return 0
    after, count = change(_frame(rows), "policies")
    if count and not dry_run:
        for (who, reason), row in zip(said.items(), after.itertuples(), strict=True):
            evidence |= {who: row.user, reason: row.reason}
        write_yaml(path, told, above=path)
    return count


def _stored(store: sqlite3.Connection, table: str, told, gone: set[str] | None = None) -> int:
    """Change one table; the keys of rows that went are added to `gone`."""
    tables, key = _tables(store), KEYS[table]
    if table not in tables:
        return 0
    read = store.execute(f"select * from {table}")  # noqa: S608 - names of ours
    names = [column[0] for column in read.description]
    rows = [dict(zip(names, row, strict=True)) for row in read]
    if not rows:
        return 0
    before = _frame(rows)
    after, count = told(before.copy())
    left = before.loc[~before.index.isin(after.index), key]
    if gone is not None:
        gone |= set(left)
    for name in left:
        for one in {table, *OTHERS} & tables:
            store.execute(f"delete from {one} where {key} = ?", [name])  # noqa: S608 - as above
    for k in after.index:
        changes = {c: after.loc[k, c] for c in names if after.loc[k, c] != before.loc[k, c]}
        if changes:
            sets = ", ".join(f'"{column}" = ?' for column in changes)
            store.execute(f"update {table} set {sets} where {key} = ?", [*changes.values(), before.loc[k, key]])  # noqa: S608 - as above
    return count


def _forgotten(addresses: sqlite3.Connection, gone: set[str]) -> int:
    if "contacts" not in _tables(addresses):
        return 0
    delete = "delete from contacts where feedback_id = ?"
    return sum(addresses.execute(delete, [name]).rowcount for name in sorted(gone))


def _holds(path: Path, who: tuple[str, ...]) -> bool:
    content = path.read_bytes().lower()
    return any(form in content for name in who for form in _forms(name))


def _forms(name: str) -> set[bytes]:
    """A name as a mail or a page of JSON may write it."""
    low = name.lower()
    return {low.encode(), json.dumps(low)[1:-1].encode(), urllib.parse.quote(low).lower().encode()}
