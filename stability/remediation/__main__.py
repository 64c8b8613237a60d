"""The record at a terminal: `python -m stability.remediation list|check|approve RECORD ...`."""

from __future__ import annotations

__all__ = ["main"]

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from stability.remediation.approval import KEY, approval_key, ask_on_terminal, plain
from stability.remediation.exporting import actions_table
from stability.remediation.history import History
from stability.remediation.record import Record
from stability.schema import ContractError, one_of


def main(arguments: list[str] | None = None) -> int:
    """List what waits and what was done, check that nothing was changed, or approve a decision.

    Returns
    -------
    int
        0; 1 for a decision that was not approved; 2 for bad input, which is told.
    """
    parser = argparse.ArgumentParser(prog="python -m stability.remediation", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, what in (("list", "what waits for approval, and all actions"), ("check", "that no line was changed")):
        verbs.add_parser(verb, help=what).add_argument("record", type=Path)
    approve = verbs.add_parser("approve", help=f"a decision, signed with the key in {KEY}")
    approve.add_argument("record", type=Path)
    approve.add_argument("decision", help="its name")
    approve.add_argument("--by", default=os.environ.get("USER", ""), help="who approves")
    approve.add_argument("--to", type=Path, help="folder that gets the token, in a file named after the decision")
    told = parser.parse_args(arguments)
    try:
        if not told.record.is_file():
            raise ContractError(file=told.record, expected="a record of repairs", got="no file")
        record = Record(told.record)
        history = History().read(record.entries())
        if told.verb == "approve":
            return _approve(told, history)
        if told.verb == "check":
            print(f"{history.lines} lines follow each other, and {record.head.name} knows the last one")
        else:
            _list(history)
    except (ContractError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _waiting(history: History) -> dict:
    """Decisions that would do something and have not."""
    begun = {action.facts["decision_id"] for action in history.actions.values() if not action.rehearsed}
    known = [*history.decided.values(), *history.pending.values()]
    return {one.decision_id: one for one in known if one.acts and one.decision_id not in begun}


def _list(history: History) -> None:
    for name, decision in _waiting(history).items():
        print(plain(f"waits: {name} {decision.because}"))
    print("\n".join(map(plain, actions_table(history).to_string().split("\n"))))


def _approve(told: argparse.Namespace, history: History) -> int:
    key = approval_key()
    if key is None:
        raise ContractError(expected=f"a key in {KEY}", got="none", remedy="the same as the one that watches")
    waiting = _waiting(history)
    decision = waiting[one_of(told.decision, waiting, "decision that waits")]
    token = ask_on_terminal(decision, key, pd.Timestamp.now("UTC"), by=told.by, stdout=sys.stderr)
    if token is None:
        print("not approved", file=sys.stderr)
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
