"""The record at a terminal: `python -m stability.remediation list|check|approve RECORD ...`."""

from __future__ import annotations

__all__ = ["main"]

import argparse
import bisect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stability.remediation.approval import KEY, approval_key, ask_on_terminal, plain
from stability.remediation.decisions import Decision
from stability.remediation.exporting import actions_table
from stability.remediation.history import History
from stability.remediation.record import CHANGED, Entry, Record
from stability.schema import ContractError, one_of


@dataclass(frozen=True)
class Waiting:
    """A decision that nobody has acted upon, and for how many seconds it holds."""

    decision: Decision
    valid: float

    @property
    def _since(self) -> pd.Timedelta:
        return pd.Timestamp.now("UTC") - self.decision.at

    @property
    def holds(self) -> bool:
        """Whether an approval would still count."""
        return self._since.total_seconds() <= self.valid

    @property
    def age(self) -> str:
        """How long ago it was decided."""
        return f"decided {str(self._since.floor('s')).removeprefix('0 days ')} ago"


def main(arguments: list[str] | None = None) -> int:
    """List what waits and what was done, check that nothing was changed, or approve a decision.

    Returns
    -------
    int
        0; 1 for a decision that was not approved; 2 for bad input, which is told.
    """
    parser = argparse.ArgumentParser(prog="python -m stability.remediation", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    where = "file of the record; a watch writes runs/watch/NAME/repairs.jsonl"
    for verb, what in (("list", "what waits for approval, and all actions"), ("check", "that no line was changed")):
        verbs.add_parser(verb, help=what).add_argument("record", type=Path, help=where)
    approve = verbs.add_parser("approve", help=f"a decision, signed with the key in {KEY}")
    approve.add_argument("record", type=Path, help=where)
    approve.add_argument("decision", help="its name, as `list` shows it")
    approve.add_argument("--by", default=os.environ.get("USER", ""), help="who approves")
    folder = "folder that gets the token, in a file named after the decision; a watch reads runs/watch/NAME/approvals"
    approve.add_argument("--to", type=Path, help=folder)
    told = parser.parse_args(arguments)
    try:
        record = _record(told.record)
        entries = record.entries(ended=told.verb == "check")
        waiting, table = _seen(record, entries)
        if told.verb == "approve":
            return _approve(told, waiting)
        if told.verb == "check":
            print(f"{len(entries)} lines follow each other, and {record.head.name} knows the last one")
        else:
            _list(waiting, table)
    except (ContractError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _record(path: Path) -> Record:
    """Take a file for a record only where its head is beside it: whatever else is no line of one."""
    record = Record(path)
    if path.is_dir():
        got = "a folder"
    elif not path.is_file():
        got = "no file"
    elif not record.head.is_file():
        got = f"a file without {record.head.name} beside it"
    else:
        return record
    remedy = "a watch writes runs/watch/NAME/repairs.jsonl, and its head beside it"
    raise ContractError(file=path, expected="a record of repairs", got=got, remedy=remedy)


def _seen(record: Record, entries: Sequence[Entry]) -> tuple[dict[str, Waiting], pd.DataFrame]:
    """Decisions that wait, and all actions; a line whose facts are none of ours is told with its row."""

    def folded(lines: int) -> tuple[dict[str, Waiting], pd.DataFrame]:
        history = History().read(entries[:lines])
        return _waiting(history, entries[:lines]), actions_table(history)

    def wrong(lines: int) -> str:
        try:
            folded(lines)
        except Exception as error:  # noqa: BLE001  whatever the facts of a line may lead to
            return f"{type(error).__name__}: {error}"
        return ""

    if not entries:
        raise ContractError(file=record.path, expected="a record of repairs", got="no line of one")
    if not wrong(len(entries)):
        return folded(len(entries))
    row = 1 + bisect.bisect_left(range(1, len(entries)), True, key=lambda lines: bool(wrong(lines)))
    expected = f"the facts of a line {plain(str(entries[row - 1].kind))!r}"
    raise ContractError(file=record.path, row=row, expected=expected, got=plain(wrong(row)), remedy=CHANGED)


def _waiting(history: History, entries: Sequence[Entry]) -> dict[str, Waiting]:
    """Decisions that would do something and have not; nobody is asked about those of a dry run."""
    begun = {action.facts["decision_id"] for action in history.actions.values() if not action.rehearsed}
    decided = {}
    for entry in entries:
        told = [entry.facts["decision"]] if entry.kind == "decision" else entry.facts.get("decisions", ())
        decided |= {one["decision_id"]: entry.facts for one in told}
    known = [*history.decided.values(), *history.pending.values()]
    asked = [one for one in known if one.acts and one.decision_id not in begun]
    return {
        name: Waiting(one, facts["valid"])
        for one in asked
        if (facts := decided[name := one.decision_id])["mode"] != "dry-run"
    }


def _list(waiting: dict[str, Waiting], table: pd.DataFrame) -> None:
    for name, one in waiting.items():
        print(plain(f"{'waits' if one.holds else 'expired'}: {name} {one.decision.because} ({one.age})"))
    print("\n".join(map(plain, table.to_string().split("\n"))))


def _approve(told: argparse.Namespace, waiting: dict[str, Waiting]) -> int:
    key = approval_key()
    if key is None:
        raise ContractError(expected=f"a key in {KEY}", got="none", remedy="the same as the one that watches")
    one = waiting[one_of(told.decision, waiting, "decision that waits")]
    decision = one.decision
    if not one.holds:
        remedy = "the watch decides anew where it is still needed: `list` shows what waits then"
        expected = f"a decision of the last {one.valid:g} s"
        raise ContractError(file=told.record, expected=expected, got=one.age, remedy=remedy)
    if not told.by.strip() or len(told.by) > 100:  # as `grant` asks for it, before anybody types
        expected = "the name of who approves, in up to 100 characters"
        raise ContractError(expected=expected, got=repr(told.by), remedy="--by NAME")
    if sys.stdin is None or not sys.stdin.isatty():
        print("not approved: standard input is no terminal, at which a person types", file=sys.stderr)
        return 1
    token = ask_on_terminal(decision, key, pd.Timestamp.now("UTC"), by=told.by, stdout=sys.stderr)
    if token is None:
        print("not approved: something else was typed", file=sys.stderr)
        return 1
    if told.to is None:
        print(token)
        return 0
    told.to.mkdir(parents=True, exist_ok=True)
    draft = told.to / f".{decision.decision_id}.draft"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(token)
    draft.replace(told.to / decision.decision_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
