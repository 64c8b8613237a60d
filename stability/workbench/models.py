"""How a fitted predictor gets into MLflow's registry, with its evidence and its card; `registry` brings it back."""

from __future__ import annotations

__all__ = ["Version", "add_evidence", "champion", "find", "load", "register", "state"]

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stability import datasets
from stability.prediction import packaging
from stability.prediction.calibrated import Calibrated
from stability.prediction.hazard import Hazard
from stability.prediction.labels import SECOND, read_length
from stability.prediction.manner import Predictor
from stability.schema import ContractError, redact, refuse_overlap, write_table
from stability.workbench import cards, gate
from stability.workbench.provenance import digest, file_sha256, package_sha256
from stability.workbench.registry import (
    CHALLENGER,
    CHAMPION,
    DATA,
    EVIDENCE,
    Version,
    champion,
    evidence_of,
    find,
    inner,
    load,
    state,
)
from stability.workbench.tracking import FOLDER, connect, now, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "fault-predictor-"
NAME = re.compile(r"\w[\w.-]{0,199}\Z")
EXAMPLE = 5  # rows that show how features look
LONGEST = 4_900  # characters of a description that every store of MLflow's takes


def register(
    predictor: Predictor | Calibrated,
    example: pd.DataFrame,
    *,
    dataset: str,
    horizon: str | int,
    split: str,
    evidence: pd.DataFrame,
    options: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Version:
    """Package a fitted predictor, keep it with the active run, and make it the challenger.

    Parameters
    ----------
    predictor : Predictor or Calibrated
        Fitted.
    example : DataFrame
        Features as it takes them, a few rows or all; where they are rows of the evidence, what it says of them now has
        to be what the evidence says.
    dataset, options
        The data, as the notebook loads them.
    horizon : str or int
        What the probability is of, such as ``"48h"`` or seconds; of a hazard model one of its edges.
    split : str
        The test part in words that are the same for everyone who is judged on the same rows, as of
        `tracking.log_test_part`.
    evidence : DataFrame
        What it said of the test rows, `probability`, and what came, `outcome`: see `gate.evidence_table`.
    card : mapping, optional
        For people: `purpose`, `protocol`, `known_failures`, `owner`, and whatever else should be said; text or lists.
    name : str, optional
        Of the registered model; ``fault-predictor-<dataset>`` without it.

    Returns
    -------
    Version
        Which the alias `challenger` now means.

    Raises
    ------
    ContractError
        When the evidence is not of this predictor or of rows that shaped it, or one of the arguments is not as it
        should be.
    """
    name, seconds = name or PREFIX + dataset, _seconds(predictor, horizon)
    if not NAME.match(name):
        raise ContractError(column="name", expected="letters, digits, '.', '-' and '_'", got=name)
    table = gate.evidence_table(evidence, seconds)
    served = packaging.Served(predictor)
    shown = _example(served, example)
    _own(served, example, table, seconds)
    refuse_overlap(inner(predictor).fitted_on_, table)
    entry = _entry(table, dataset, options, split, seconds)
    with _run() as run_id, tempfile.TemporaryDirectory() as scratch:
        client = open_store()
        folder = predictor.save(Path(scratch) / DATA)
        sha256 = packaging.contents_sha256(folder)
        packaging.read(folder)
        tags = {
            packaging.DIGEST: sha256,
            "stability.predictor": inner(predictor).name,
            "stability.dataset": redact(dataset),
            "stability.horizon": str(seconds),
            "code.sha256": package_sha256(),
        }
        estimates = gate.measures(table)
        facts = {"dataset": dataset, "options": dict(options or {}), "sha256": sha256, **entry}
        text = cards.card(predictor, facts, estimates, card or {}, packaging.requirements(folder))
        logged = _log(served, folder, shown, tags, horizon)
        (Path(scratch) / "model_card.md").write_text(text, encoding="utf-8")
        client.log_artifact(run_id, str(Path(scratch) / "model_card.md"), f"models/{logged.model_id}")
        _log_metrics(client, run_id, logged.model_id, estimates)
        key, kept = _keep(client, run_id, table, entry, logged.model_id, Path(scratch))
        _registered(client, name)
        made = client.create_model_version(
            name,
            logged.model_uri,
            run_id,
            tags={**tags, key: kept},
            description=text[:LONGEST],
            model_id=logged.model_id,
        )
        # The last write: whoever is killed before it leaves a version that no alias means.
        client.set_registered_model_alias(name, CHALLENGER, made.version)
    return find(name, version=str(made.version))


def add_evidence(
    name: str,
    evidence: pd.DataFrame,
    *,
    dataset: str,
    split: str,
    alias: str = CHAMPION,
    version: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Version:
    """Keep what a registered version said of further test rows: newer data, on which a new challenger was judged.

    Parameters
    ----------
    name, alias, version
        Which, as of `load`.
    evidence, dataset, split, options
        As of `register`; the horizon is the version's.

    Returns
    -------
    Version

    Raises
    ------
    ContractError
        As `register` and `load`.
    """
    found, client = find(name, alias, version=version), open_store()
    seconds = int(found.tags["stability.horizon"])
    table = gate.evidence_table(evidence, seconds)
    predictor = load(name, version=found.number)
    refuse_overlap(inner(predictor).fitted_on_, table)
    entry = _entry(table, dataset, options, split, seconds)
    since = min(known["first"] for known in evidence_of(found).values())
    if entry["first"] < since:
        expected = f"rows from {since} on, where the first evidence of version {found.number} begins"
        remedy = "what was before, it may have learnt from"
        raise ContractError(file="evidence", expected=expected, got=f"rows from {entry['first']} on", remedy=remedy)
    with tempfile.TemporaryDirectory() as scratch:
        key, kept = _keep(client, found.run_id, table, entry, f"{found.name}-{found.number}", Path(scratch))
        client.set_model_version_tag(found.name, found.number, key, kept)
    return find(name, version=found.number)


def _seconds(predictor: Predictor | Calibrated, horizon: str | int) -> int:
    length = read_length(horizon, "horizon", least=SECOND)
    edges = [] if not isinstance(inner(predictor), Hazard) else inner(predictor).edges
    known = edges[-1:] if isinstance(predictor, Calibrated) else edges
    if edges and length not in [read_length(edge, "horizon") for edge in known]:
        raise ContractError(column="horizon", expected=f"one of {', '.join(known)}", got=str(horizon))
    return length // SECOND


def _params(served: packaging.Served, seconds: int) -> dict[str, str]:
    """The edge of a hazard model that is meant; nothing of any other predictor."""
    edges = served.predictor.edges if isinstance(served.predictor, Hazard) else []
    meant = [edge for edge in edges if read_length(edge, "horizon") == seconds * SECOND]
    return {"horizon": meant[0]} if meant else {}


def _example(served: packaging.Served, example: pd.DataFrame) -> pd.DataFrame:
    served.predict(example)  # its checks
    few = example[inner(served.predictor).features_].iloc[:EXAMPLE].astype("float64")
    return few.reset_index() if served.looks_back else few.reset_index(drop=True)


def _own(served: packaging.Served, example: pd.DataFrame, table: pd.DataFrame, seconds: int) -> None:
    """Refuse evidence of another predictor, where the example has rows of it."""
    if served.looks_back or list(example.index.names) != ["entity", "timestamp"]:
        return
    flat = table["probability"].droplevel("horizon")
    shared = example[example.index.isin(flat.index)]
    said = served.predict(shared, _params(served, seconds)) if len(shared) else flat.iloc[:0]
    other = ~np.isclose(said, flat.reindex(said.index), rtol=0, atol=1e-9, equal_nan=True)
    if other.any():
        who, when = said.index[other][0]
        got = f"{flat[(who, when)]} of {who} at {when}, of which it says {said[other].iloc[0]}"
        remedy = "evidence = pd.DataFrame({'outcome': ..., 'probability': predictor.predict(features, rows=test)})"
        raise ContractError(file="evidence", expected="what this predictor says", got=got, remedy=remedy)


@contextlib.contextmanager
def _run() -> Iterator[str]:
    """The active run; by hand, one of its own."""
    import mlflow

    if run := mlflow.active_run():
        yield run.info.run_id
        return
    if os.environ.get("MLFLOW_RUN_ID"):
        remedy = "call it inside `with mlflow.start_run():`, as tracking.log"
        raise ContractError(expected="an active run", got="none", remedy=remedy)
    connect()
    with mlflow.start_run(run_name="register") as run:
        yield run.info.run_id


def _log(
    served: packaging.Served, folder: Path, shown: pd.DataFrame, tags: Mapping[str, str], horizon: str | int
) -> Any:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    # Of any type: MLflow's own refuses moments with a zone.
    beside = [ColSpec(AnyType(), name, required=False) for name in ("entity", "timestamp")]
    features = [ColSpec("double", name) for name in inner(served.predictor).features_]
    params = _params(served, int(tags["stability.horizon"]))
    asked = ParamSchema([ParamSpec("horizon", "string", params["horizon"])]) if params else None
    return mlflow.pyfunc.log_model(
        name=DATA,
        loader_module=packaging.__name__,
        data_path=str(folder),
        signature=ModelSignature(Schema([*features, *beside]), Schema([ColSpec("double", "probability")]), asked),
        input_example=shown,
        pip_requirements=packaging.requirements(folder),
        metadata=dict(tags),
    )


def _log_metrics(client: MlflowClient, run_id: str, model_id: str, estimates: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric

    at = int(now().timestamp() * 1000)
    flat = {f"evidence.{n}{end}": v for n, e in estimates.items() for end, v in zip(("", ".lo", ".hi"), e, strict=True)}
    known = {name: value for name, value in flat.items() if np.isfinite(value)}
    client.log_batch(run_id, metrics=[Metric(*item, at, 0, model_id=model_id) for item in known.items()])


def _entry(
    table: pd.DataFrame, dataset: str, options: Mapping[str, Any] | None, split: str, seconds: int
) -> dict[str, Any]:
    if not split.strip():
        raise ContractError(column="split", expected="the test part in words", got="none")
    return {
        "dataset": redact(dataset),
        "data": datasets.fingerprint(dataset, **(options or {})),
        "split": redact(split),
        "horizon": seconds,
        "rows": len(table),
        "positives": int(table["outcome"].sum()),
        "first": table.index.get_level_values("timestamp").min().isoformat(timespec="seconds"),
        "at": now().isoformat(),
    }


def _keep(
    client: MlflowClient, run_id: str, table: pd.DataFrame, entry: Mapping[str, Any], owner: str, scratch: Path
) -> tuple[str, str]:
    """Write evidence beside the run's tables; the name and value of the tag that tells of it."""
    key = digest([entry["data"], entry["split"], entry["horizon"]])[:16]
    path = write_table(table.reset_index(), scratch / f"evidence-{owner}-{key}.parquet", "other")
    client.log_artifact(run_id, str(path), FOLDER)
    return EVIDENCE + key, json.dumps({**entry, "file": f"{FOLDER}/{path.name}", "sha256": file_sha256(path)})


def _registered(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
