"""The record for others: the contract's table of actions, the text of a call for help, the file as an artifact."""

from __future__ import annotations

__all__ = ["actions_table", "call_text", "log_record"]

import json
from collections.abc import Mapping

import pandas as pd

from stability.remediation.history import History
from stability.remediation.record import Record
from stability.schema import empty, validate

LONGEST = 4000  # characters of a message: more is a document, and services cut it anyway


def actions_table(history: History) -> pd.DataFrame:
    """Give the contract's table `actions`, rehearsals and ways back included.

    Returns
    -------
    DataFrame
        Index action_id; `step` is the action's number, 1 is the first, and its name, with `back` for a way back;
        `verdict` is missing while it is unknown and for what was only rehearsed or taken back.
    """
    rows = []
    for name, action in history.actions.items():
        facts = action.facts
        step = f"{facts['step'] + 1} {facts['action']}{' back' * (facts['kind'] == 'rollback')}"
        row = {"action_id": name, "alarm_id": facts["alarm_id"], "entity": facts["entity"]}
        row |= {"playbook": facts["playbook"], "step": step, "mode": facts["mode"]}
        rows.append(row | {"start": action.at, "end": action.end, "verdict": action.verdict})
    if not rows:
        return empty("actions")
    table = pd.DataFrame(rows).set_index("action_id")
    for column in ("start", "end"):
        table[column] = pd.to_datetime(table[column], utc=True)
    return validate(table, "actions")


def call_text(alarm_id: str, why: str, evidence: Mapping) -> str:
    """Say to people what is known: the reason, and the evidence below it.

    Examples
    --------
    >>> print(call_text("a1", "no playbook", {"checks": ["service: failed, 3 of 9 good"]}))
    alarm a1: no playbook
    checks: service: failed, 3 of 9 good
    """
    lines = [f"alarm {alarm_id}: {why}"]
    for name, value in evidence.items():
        said = value if isinstance(value, (list, tuple)) else [value]
        words = (one if isinstance(one, str) else json.dumps(one, sort_keys=True, default=str) for one in said)
        lines += [f"{name}: {one}" for one in words]
    text = "\n".join(lines)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def log_record(record: Record, folder: str = "remediation") -> None:
    """Log the record and its head to the active MLflow run: a copy that whoever changes the file does not reach.

    Parameters
    ----------
    record : Record
        The record; it is read and checked first, so that nothing damaged is logged as whole.
    folder : str
        Of the run's artifacts.
    """
    import mlflow

    with record.locked():
        record.entries()
        for path in (record.path, record.head):
            if path.exists():
                mlflow.log_artifact(str(path), folder)
