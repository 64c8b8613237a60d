"""Predictors in MLflow's registry: which version an alias means, how it comes back, and on what it was judged.

A version of `fault-predictor-<dataset>` is a folder of plain data, its sha256, and what it said of test rows, so that
two versions can be compared row by row. Aliases say which is which: `challenger` is the newest, `champion` the one in
use (`stability promote` moves it), `previous` the one before.

A step that reads the registry says so (`reads: [fault-predictor-azure_pdm]`): then which version an alias meant when
the step began is part of its hash, and stands in its parameter `registry`.
"""

from __future__ import annotations

__all__ = [
    "ALIASES",
    "CHALLENGER",
    "CHAMPION",
    "DATA",
    "EVIDENCE",
    "PREVIOUS",
    "Version",
    "champion",
    "evidence_of",
    "find",
    "inner",
    "load",
    "read_evidence",
    "state",
    "versions",
]

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from stability.prediction import packaging
from stability.prediction.calibrated import Calibrated
from stability.prediction.manner import Predictor
from stability.schema import ContractError, nearest, read_table, redact
from stability.workbench import gate
from stability.workbench.provenance import file_sha256
from stability.workbench.tracking import open_store, pages

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHALLENGER, CHAMPION, PREVIOUS = ALIASES = ("challenger", "champion", "previous")
DATA = "predictor"  # folder within a model that holds the predictor's files
EVIDENCE = "evidence."  # tags of a version that begin so tell where what it said of test rows lies


class Version(NamedTuple):
    """One version of a registered model.

    Parameters
    ----------
    name : str
        Of the model.
    number : str
        Of the version.
    sha256 : str
        Of the predictor's files, as `packaging.contents_sha256`.
    kind : str
        Name of the predictor, such as ``xgboost``.
    run_id : str
        The run that it came from.
    tags : dict of str
    """

    name: str
    number: str
    sha256: str
    kind: str
    run_id: str
    tags: dict[str, str]


def load(
    name: str, alias: str = CHAMPION, *, version: str | int | None = None, pinned: Mapping[str, Any] | None = None
) -> Predictor | Calibrated:
    """Load a registered predictor, after a look at every byte of it.

    Parameters
    ----------
    name : str
        Such as ``fault-predictor-azure_pdm``.
    alias : {"champion", "challenger", "previous"}
    version : str or int, optional
        Instead of an alias.
    pinned : mapping, optional
        A step's parameter `registry`: which version an alias meant when the step began. Empty in a notebook opened by
        hand.

    Returns
    -------
    Predictor or Calibrated

    Raises
    ------
    ContractError
        When there is no such model, version or alias, or its files are not what was registered.
    """
    import mlflow

    found = find(name, alias, version=version, pinned=pinned)
    with tempfile.TemporaryDirectory() as scratch:
        address = f"models:/{found.name}/{found.number}"
        try:
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=scratch)) / "data" / DATA
        except (mlflow.exceptions.MlflowException, OSError) as error:
            got = str(error).splitlines()[0]
            raise ContractError(file=address, expected="the files of the model", got=redact(got)) from None
        return packaging.read(folder, sha256=found.sha256)


def find(
    name: str,
    alias: str = CHAMPION,
    *,
    version: str | int | None = None,
    pinned: Mapping[str, Any] | None = None,
) -> Version:
    """Say which version an alias means; arguments and errors as of `load`."""
    client = open_store()
    model = _model(client, name)
    aliases = {known: str(number) for known, number in model.aliases.items()}
    if version is None and pinned and name in pinned:
        aliases = {known: said["version"] for known, said in pinned[name].items()}
    if version is None and alias not in aliases:
        remedy = nearest(alias, list(aliases))
        if alias == CHAMPION:
            remedy = f"stability promote {name}" if CHALLENGER in aliases else "register one, then stability promote"
        raise ContractError(file=name, expected=f"a version with the alias {alias!r}", got="none", remedy=remedy)
    number = str(version) if version is not None else aliases[alias]
    there = versions(client, name)
    if number not in there:
        remedy = nearest(number, list(there))
        raise ContractError(file=name, expected="the number of a version", got=number, remedy=remedy)
    one = there[number]
    tags, told = dict(one.tags), (pinned or {}).get(name, {}).get(alias, {})
    if packaging.DIGEST not in tags:
        remedy = "register it by stability.workbench.models.register"
        raise ContractError(
            file=f"{name}/{number}", expected="a predictor of the workbench's", got="another model", remedy=remedy
        )
    if version is None and told.get("sha256", tags[packaging.DIGEST]) != tags[packaging.DIGEST]:
        expected = f"files of sha256 {told['sha256']}, as when the step began"
        raise ContractError(file=f"{name}/{number}", expected=expected, got=tags[packaging.DIGEST])
    return Version(name, number, tags[packaging.DIGEST], tags.get("stability.predictor", ""), one.run_id or "", tags)


def champion(name: str) -> Version | None:
    """The version in use; None where no one was promoted, or nothing of this name was ever registered."""
    return find(name) if CHAMPION in state(name) else None


def state(name: str) -> dict[str, dict[str, str]]:
    """What the aliases of a model mean now: an input of every step that reads the registry.

    Parameters
    ----------
    name : str
        Of a registered model; one that is not there yet has no alias.

    Returns
    -------
    dict
        Alias to `version` and `sha256`.
    """
    from mlflow.exceptions import MlflowException

    client = open_store()
    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    found = {alias: client.get_model_version(name, str(aliases[alias])) for alias in ALIASES if alias in aliases}
    return {
        alias: {"version": str(one.version), "sha256": one.tags.get(packaging.DIGEST, "")}
        for alias, one in found.items()
    }


def versions(client: MlflowClient, name: str) -> dict[str, Any]:
    """All versions of a model that there are, by number."""
    quoted = "name='{}'".format(name.replace("'", "\\'"))
    return {str(one.version): one for one in pages(client.search_model_versions, quoted, max_results=1000)}


def evidence_of(version: Version) -> dict[str, dict[str, Any]]:
    """What evidence there is of a version, the newest last: by key, what `gate` needs to know of it."""
    found = {key: json.loads(value) for key, value in version.tags.items() if key.startswith(EVIDENCE)}
    return dict(sorted(found.items(), key=lambda item: item[1]["at"]))


def read_evidence(version: Version, key: str) -> pd.DataFrame:
    """Read one table of a version's evidence; refused where it is not what was registered."""
    import mlflow

    entry, client = evidence_of(version)[key], open_store()
    place = f"run {version.run_id}, {entry['file']}"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = Path(client.download_artifacts(version.run_id, entry["file"], scratch))
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise ContractError(file=place, expected="evidence", got=redact(str(error).splitlines()[0])) from None
        if file_sha256(path) != entry["sha256"]:
            remedy = "register it anew; what was altered, or erased from, is no evidence"
            raise ContractError(file=place, expected=f"sha256 {entry['sha256']}", got=file_sha256(path), remedy=remedy)
        return gate.evidence_table(read_table(path), int(entry["horizon"]), source=place)


def inner(predictor: Predictor | Calibrated) -> Predictor:
    """The predictor itself, without what sets its probabilities right."""
    return predictor.predictor if isinstance(predictor, Calibrated) else predictor


def _model(client: MlflowClient, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        known = [model.name for model in pages(client.search_registered_models, max_results=1000)]
        raise ContractError(
            expected="the name of a registered model", got=repr(name), remedy=nearest(name, known)
        ) from None
