"""How many distinct configurations have ever looked at each test part: what a chosen number has to be read beside.

Whoever tries a hundred settings on one test part and shows the best shows luck. So a step that looks at one says
so on its run (`tracking.log_test_part`), and the store counts, over all experiments and notebooks opened by hand.

A configuration is what somebody may turn: a notebook's code, its parameters, and the same of each step it needs.
Repeating one is no second look. Changes of the package are counted beside, as its versions: a new version may be a new
method or a comma.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from stability.workbench.facts import StepFacts
from stability.workbench.provenance import digest
from stability.workbench.spec import declared_parameters
from stability.workbench.tracking import pages

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["CONFIGURATION", "PART", "configuration", "configuration_by_hand", "count", "keep", "part_tag"]

PART = "stability.test_part."  # tags that begin so say which part a run has looked at
CONFIGURATION = "stability.configuration"
# Where the data come from is part of the test part's name; where results go to changes nothing.
NOT_TURNED = ("dataset", "options", "inputs", "output")
SHORT = 16  # characters of a digest in a tag's name


def part_tag(part: str, data: str) -> tuple[str, str]:
    """Name and value of the tag that says that a run has looked at a test part.

    Parameters
    ----------
    part
        The part in words, such as `rows after 2026-03-09T14:24Z`.
    data
        Sha256 of the dataset.
    """
    return PART + digest([data, part])[:SHORT], json.dumps({"part": part, "data": data})


def configuration(notebook: Path, parameters: Mapping[str, Any], needed: Mapping[str, str]) -> str:
    """Digest of what somebody may turn in a step.

    Parameters
    ----------
    notebook
        The notebook's file; the text between its code does not count.
    parameters
        As the step gets them; those that equal the notebook's default do not count, so that writing a default down
        changes nothing.
    needed
        The same digest of each step that it needs.
    """
    cells = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    defaults = declared_parameters(notebook)
    turned = {
        name: value
        for name, value in parameters.items()
        if name not in NOT_TURNED and (name not in defaults or defaults[name] != value)
    }
    return _digest(cells, turned, needed)


def configuration_by_hand(executed: Iterable[str]) -> str:
    """The same of a notebook opened by hand, from the cells that its kernel has executed.

    An unchanged notebook that was run once from top to bottom gives what the night gives it.
    """
    return _digest(executed, {}, {})


def _digest(cells: Iterable[str], turned: Mapping[str, Any], needed: Mapping[str, str]) -> str:
    distinct = sorted({cell.strip() for cell in cells} - {""})
    return digest({"cells": distinct, "parameters": dict(turned), "needed": sorted(needed.values())})


def count(client: "MlflowClient", steps: Iterable[StepFacts]) -> list[dict[str, Any]]:
    """The test parts that steps have looked at, each with how many configurations ever did.

    Parameters
    ----------
    client
        Of the store.
    steps
        Of a run; those that did not run have looked at nothing, a skipped one at what the run it repeats did.

    Returns
    -------
    list of dict
        `part`, `data`, `configurations`, `packages` (versions of the package) and `steps`, as `RunFacts.test_parts`.
    """
    parts: dict[str, dict[str, Any]] = {}
    for step in steps:
        tags = client.get_run(step.run_id).data.tags if step.run_id else {}
        for name, value in tags.items():
            if name.startswith(PART):
                parts.setdefault(name, {**json.loads(value), "steps": []})["steps"].append(step.key)
    if not parts:
        return []
    from mlflow.entities import ViewType

    experiments = list(pages(client.search_experiments, view_type=ViewType.ALL, max_results=1000))
    for name, part in parts.items():
        looks = _looks(client, name, experiments)
        part["configurations"] = len({look for look, _ in looks})
        part["packages"] = len({package for _, package in looks})
    return list(parts.values())


def _looks(client: "MlflowClient", name: str, experiments: list[Any]) -> set[tuple[str, str]]:
    """Configuration and package of every look at one part: of runs, and of those that were pruned since."""
    from mlflow.entities import ViewType

    found = {
        tuple(look)
        for experiment in experiments
        for tag, value in experiment.tags.items()
        if tag == name
        for look in json.loads(value)["looks"]
    }
    ids = [experiment.experiment_id for experiment in experiments]
    runs = pages(client.search_runs, ids, f"tags.`{name}` LIKE '%'", ViewType.ALL, 1000)
    return found | {_look(run.data.tags) for run in runs}


def _look(tags: Mapping[str, str]) -> tuple[str, str]:
    return tags.get(CONFIGURATION, "unknown")[:SHORT], tags.get("code.sha256", "unknown")[:SHORT]


def keep(client: "MlflowClient", experiment_id: str, runs: Iterable[Any]) -> None:
    """Write the looks of runs that are about to be deleted on their experiment: a look cannot be taken back."""
    kept = dict(client.get_experiment(experiment_id).tags)
    for run in runs:
        for name, value in run.data.tags.items():
            if name.startswith(PART):
                known = json.loads(kept.get(name) or value)
                looks = {*map(tuple, known.get("looks", [])), _look(run.data.tags)}
                text = json.dumps({**known, "looks": sorted(looks)})
                if kept.get(name) != text:
                    client.set_experiment_tag(experiment_id, name, text)
                    kept[name] = text
