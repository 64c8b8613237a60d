"""Which models somebody promoted, and which runs they came from: these are never pruned."""

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stability.workbench.tracking import pages

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["delete", "delete_logged", "left_over", "promoted_runs"]

RUN_ID = re.compile(r"[0-9a-f]{32}")
NO_STAGE = (None, "", "None")


def promoted_runs(client: "MlflowClient") -> set[str]:
    """Runs behind each version of a registered model that carries an alias or a stage."""
    return {run for version, promoted in _versions(client) if promoted for run in _sources(client, version)}


def left_over(client: "MlflowClient", runs: set[str]) -> list[str]:
    """Versions that nobody promoted and that would point at nothing once these runs are gone, as `name/version`."""
    return [
        f"{version.name}/{version.version}"
        for version, promoted in _versions(client)
        if not promoted and _sources(client, version) & runs
    ]


def _versions(client: "MlflowClient") -> Iterator[tuple[Any, bool]]:
    """Each version of each registered model, and whether it was promoted."""
    for model in pages(client.search_registered_models, max_results=100):
        aliased = {str(version) for version in client.get_registered_model(model.name).aliases.values()}
        quoted = model.name.replace("'", "\\'")
        for version in pages(client.search_model_versions, f"name='{quoted}'", max_results=1000):
            staged = version.current_stage not in NO_STAGE
            yield version, staged or str(version.version) in aliased


def _sources(client: "MlflowClient", version: Any) -> set[str]:
    """The runs that a version names: itself, through a logged model, or in the address of its files."""
    from mlflow.exceptions import MlflowException

    found = {version.run_id} if version.run_id else set()
    logged = {version.model_id, *re.findall(r"m-[0-9a-f]{32}", version.source or "")} - {None, ""}
    for model_id in logged:
        with contextlib.suppress(MlflowException):
            found.add(client.get_logged_model(model_id).source_run_id)
    return (found | set(RUN_ID.findall(version.source or ""))) - {None, ""}


def delete(client: "MlflowClient", version: str) -> None:
    """Delete a version of a registered model, given as `name/version`."""
    name, _, number = version.rpartition("/")
    client.delete_model_version(name, number)


def delete_logged(client: "MlflowClient", run: Any) -> None:
    """Delete the models that a run logged, with their files, which MLflow keeps beside the run's own."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    store = client._tracking_client.store
    try:
        models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    except MlflowException:  # a store of before there were logged models
        return
    for model in models:
        client.delete_logged_model(model.model_id)
        if hasattr(store, "_hard_delete_logged_model"):
            with contextlib.suppress(OSError):
                get_artifact_repository(model.artifact_location).delete_artifacts()
            store._hard_delete_logged_model(model.model_id)
