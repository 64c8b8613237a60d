"""`stability promote`: a challenger takes the champion's place only through the gate, on record, and can be undone.

MLflow has no transactions, so one write decides: where the alias `champion` points. Everything before it can be
forgotten, everything after it can be told from it: a tag of the model holds the champions in their order, and is cut
back to the one that the alias means; `previous` is the one below it. Whoever promotes next after a kill sets both right
and closes the record that was left open.
"""

from __future__ import annotations

__all__ = ["EXPERIMENT", "Promotion", "promote", "undo"]

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from stability.schema import ContractError, home, one_of, redact, write_table
from stability.workbench import gate as gates
from stability.workbench.publishing import account
from stability.workbench.registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Version,
    evidence_of,
    find,
    load,
    read_evidence,
    versions,
)
from stability.workbench.tracking import FOLDER, experiment_id, locked, now, open_store, pages

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "promotions"
ORDER = "stability.champions"  # tag of a model: its champions, the last one in use
KEPT = 100  # of them
SAME = {"data": "the data", "split": "the test part", "horizon": "the horizon"}  # what has to be equal


class Promotion(NamedTuple):
    """What became of a promotion.

    Parameters
    ----------
    name, version : str
        Of the model and of the version that was judged, or given its place back.
    before : str or None
        The champion before.
    moved : bool
        Whether the alias moved, or would have in a rehearsal.
    sentence : str
        Why.
    table : DataFrame
        As of `gate.Verdict`; empty where nothing was compared.
    run_id : str or None
        Where it is on record; None of a rehearsal.
    attempts : int
        Versions that this test part has decided about, this one among them.
    """

    name: str
    version: str
    before: str | None
    moved: bool
    sentence: str
    table: pd.DataFrame
    run_id: str | None
    attempts: int


def promote(
    name: str,
    *,
    version: str | int | None = None,
    gate: str = "better",
    margin: float = gates.MARGIN,
    block: str | None = None,
    why: str = "",
    by: str = "",
    dry_run: bool = False,
) -> Promotion:
    """Make a version the champion, if it passes the gate.

    Parameters
    ----------
    name : str
        Of a registered model.
    version : str or int, optional
        Which; the challenger without it.
    gate, margin, block
        As of `gate.judge`. ``not-worse`` asks for a reason, since the numbers give none.
    why, by : str
        For the record: the reason, and who; the account's name without it.
    dry_run : bool
        Only say what would happen; nothing is written.

    Returns
    -------
    Promotion

    Raises
    ------
    ContractError
        When there is no such model or version, it is the champion already, or the gate is none.
    """
    one_of(gate, gates.GATES, "gate")
    if gate == "not-worse" and not why.strip():
        remedy = "--why 'a third of the features'"
        raise ContractError(column="why", expected="a reason for one that is not better", got="none", remedy=remedy)
    with _alone():
        client = open_store()
        found = find(name, CHALLENGER, version=version)
        order = _order(client, name) if dry_run else _settle(client, name)
        old = find(name, version=order[-1]) if order else None
        if old and old.number == found.number:
            raise ContractError(file=name, expected="another version than the champion", got=f"version {old.number}")
        load(name, version=found.number)  # what cannot be read is nobody's champion
        key, verdict = _judged(found, old, gate=gate, margin=margin, block=block)
        rule = gate if gate == "better" else f"{gate}, margin {margin:g}"
        said = {"kind": "promotion", "verdict": "promoted" if verdict.passed else "refused", "gate": rule}
        said |= {"evidence": key or "none", "why": redact(why), "by": redact(by or account())}
        promotion = Promotion(
            name,
            found.number,
            old.number if old else None,
            verdict.passed,
            verdict.sentence,
            verdict.table,
            None,
            _attempts(client, found, key),
        )
        if dry_run:
            return promotion
        promotion = _record(client, promotion, said)
        if verdict.passed:
            client.set_registered_model_tag(name, ORDER, json.dumps([*order, found.number][-KEPT:]))
            client.set_registered_model_alias(name, CHAMPION, found.number)  # decides
        _settle(client, name)
        return promotion


def undo(name: str, *, why: str = "", by: str = "", dry_run: bool = False) -> Promotion:
    """Give the champion's place back to the one before.

    Parameters
    ----------
    name, why, by, dry_run
        As of `promote`.

    Returns
    -------
    Promotion

    Raises
    ------
    ContractError
        When there is no such model, or no champion before this one.
    """
    with _alone():
        client = open_store()
        now_in_use = find(name)
        order = _order(client, name) if dry_run else _settle(client, name)
        before = [number for number in order[:-1] if number in versions(client, name)]
        if not before:
            got = f"only version {now_in_use.number}"
            raise ContractError(file=name, expected="a champion before this one", got=got)
        load(name, version=before[-1])
        sentence = f"Version {before[-1]} was the champion before version {now_in_use.number}."
        back = Promotion(name, before[-1], now_in_use.number, True, sentence, pd.DataFrame(), None, 0)
        if dry_run:
            return back
        said = {"kind": "undo", "verdict": "undone", "why": redact(why), "by": redact(by or account())}
        back = _record(client, back, said)
        client.set_registered_model_alias(name, CHAMPION, before[-1])  # decides
        _settle(client, name)
        return back


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two promotions at a time would each judge against a champion that is going."""
    place = home() / "runs" / ".promotions.lock"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(place, patience=30.0))
        except BlockingIOError:
            raise ContractError(file=place, expected="one promotion at a time", got="another one") from None
        yield


def _order(client: MlflowClient, name: str) -> list[str]:
    """The champions in their order, cut back to the one that the alias means; the alias alone decides."""
    model = client.get_registered_model(name)
    if CHAMPION not in model.aliases:
        return []
    current = str(model.aliases[CHAMPION])
    try:
        order = [str(number) for number in json.loads(model.tags.get(ORDER, "[]"))]
    except (ValueError, TypeError):  # somebody wrote into the tag
        order = []
    if current not in order:  # moved by hand, or by a first promotion whose order was lost
        return [*order, current]
    return order[: len(order) - order[::-1].index(current)]


def _settle(client: MlflowClient, name: str) -> list[str]:
    """Bring everything in line with the alias `champion`, and close every record: this one's, and what a kill left."""
    model, order = client.get_registered_model(name), _order(client, name)
    aliases = {alias: str(number) for alias, number in model.aliases.items()}
    if model.tags.get(ORDER, "[]") != json.dumps(order):
        client.set_registered_model_tag(name, ORDER, json.dumps(order))
    there = versions(client, name)  # others were pruned since
    before = next((number for number in reversed(order[:-1]) if number in there), None)
    if before and aliases.get(PREVIOUS) != before:
        client.set_registered_model_alias(name, PREVIOUS, before)
    elif not before and PREVIOUS in aliases:
        client.delete_registered_model_alias(name, PREVIOUS)
    if order and aliases.get(CHALLENGER) == order[-1]:
        client.delete_registered_model_alias(name, CHALLENGER)
    for run in _open(client, name):
        _close(client, name, run, order[-1] if order else None)
    return order


def _open(client: MlflowClient, name: str) -> list[Any]:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        return []
    mine = f"attributes.status = 'RUNNING' AND tags.`stability.model` = '{name}'"
    return list(pages(client.search_runs, [found.experiment_id], mine, max_results=100))


def _close(client: MlflowClient, name: str, run: Any, current: str | None) -> None:
    """Mark a record as done where the alias is what it says, and as killed where it never came to that."""
    tags, run_id = run.data.tags, run.info.run_id
    verdict = tags.get("stability.verdict")
    if verdict != "refused" and tags.get("stability.version") != current:
        client.set_tag(run_id, "stability.verdict", f"{verdict}, but its process was killed before")
        client.set_terminated(run_id, "KILLED")
        return
    if verdict != "refused":
        told = tags.get("stability.before") if verdict == "undone" else current
        kind = "undone" if verdict == "undone" else "run"
        client.set_model_version_tag(name, told, f"promotion.{kind}", run_id)
        for tag in ("by", "why", "gate") if verdict == "promoted" else ():
            client.set_model_version_tag(name, told, f"promotion.{tag}", tags.get(f"stability.{tag}", ""))
    client.set_terminated(run_id, "FINISHED")


def _judged(found: Version, old: Version | None, **rule: Any) -> tuple[str | None, gates.Verdict]:
    """Compare on the newest test rows that both were judged on; the key of these, and what the gate says."""
    mine = evidence_of(found)
    if not mine:
        return None, gates.Verdict(False, f"There is no evidence of version {found.number}.", pd.DataFrame())
    if old is None:
        key = list(mine)[-1]
        return key, gates.judge(read_evidence(found, key), None, block=rule["block"])
    theirs = evidence_of(old)
    common = [key for key in mine if key in theirs]
    if not common:
        return None, gates.Verdict(False, _apart(list(mine.values())[-1], theirs), pd.DataFrame())
    key = common[-1]
    return key, gates.judge(read_evidence(found, key), read_evidence(old, key), kinds=(found.kind, old.kind), **rule)


def _apart(mine: Mapping[str, Any], theirs: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in what the newest test rows of two versions differ."""
    if not theirs:
        return "There is no evidence of the champion."
    newest = list(theirs.values())[-1]
    parts = [f"{what} ({mine[key]} against {newest[key]})" for key, what in SAME.items() if mine[key] != newest[key]]
    remedy = "judge the champion on the challenger's test rows and keep that: models.add_evidence"
    return f"They were not judged on the same rows: {', '.join(parts)}. Remedy: {remedy}."


def _attempts(client: MlflowClient, found: Version, key: str | None) -> int:
    """How many versions these test rows have decided about: the more, the luckier the winner."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if key is None or experiment is None:
        return 1
    same = f"tags.`stability.evidence` = '{key}' AND tags.`stability.model` = '{found.name}'"
    runs = pages(client.search_runs, [experiment.experiment_id], same, max_results=1000)
    return len({run.data.tags.get("stability.version") for run in runs} | {found.number})


def _record(client: MlflowClient, promotion: Promotion, said: Mapping[str, str]) -> Promotion:
    """Open a run that tells who, when, why, and on what evidence; whoever writes it closes it."""
    from mlflow.entities import Metric

    experiment, at = experiment_id(client, EXPERIMENT), now()
    tags = {
        "stability.model": promotion.name,
        "stability.version": promotion.version,
        "stability.before": promotion.before or "none",
        **{f"stability.{key}": value for key, value in said.items()},
        "mlflow.user": said["by"],
        "mlflow.note.content": promotion.sentence,
    }
    title = f"{said['verdict']} {promotion.name} {promotion.version}"
    run_id = client.create_run(experiment, tags=tags, run_name=title).info.run_id
    flat = {
        f"{measure}.{column}": float(value)
        for measure, row in promotion.table.iterrows()
        for column, value in row.items()
        if np.isfinite(value)
    }
    stamp = int(at.timestamp() * 1000)
    metrics = [Metric(name, value, stamp, 0) for name, value in flat.items()]
    client.log_batch(run_id, metrics=[*metrics, Metric("attempts", float(promotion.attempts), stamp, 0)])
    if len(promotion.table):
        with tempfile.TemporaryDirectory() as scratch:
            path = write_table(promotion.table.reset_index(), Path(scratch) / "comparison.parquet", "other")
            client.log_artifact(run_id, str(path), FOLDER)
    return promotion._replace(run_id=run_id)
