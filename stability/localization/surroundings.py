"""Where a candidate stands: who depends on it, whose trouble it passes on, and which view of a thing it is."""

from __future__ import annotations

__all__ = ["distances", "topology_features", "views_of"]

import re
from collections import deque
from collections.abc import Mapping

import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.flows import Excess
from stability.localization.onset import CHANGED, rank_share

MOST = 1.5  # a share of the alarm's excess above which more says nothing: others call the node as well


def views_of(index: pd.MultiIndex, topology: pd.DataFrame | None, pattern: str | None) -> np.ndarray:
    """Give each candidate the position of the one that stands for it: the view that others depend on.

    Parameters
    ----------
    index : MultiIndex of (entity, metric)
        The candidates.
    topology : DataFrame or None
        (source, target): the source depends on the target.
    pattern : str or None
        Regular expression with one group; entities in which it captures the same text are one thing.

    Returns
    -------
    array of int, shape (candidates,)
        Its own position for a candidate that stands for itself.

    Examples
    --------
    >>> names = ["api", "job_client", "job_service", "job_service::function"]
    >>> index = pd.MultiIndex.from_product([names, [""]], names=["entity", "metric"])
    >>> calls = pd.MultiIndex.from_tuples([("api", "job_service"), ("job_client", "job_service"),
    ...                                    ("job_service", "job_service::function")], names=["source", "target"])
    >>> views_of(index, pd.DataFrame({"kind": "calls"}, index=calls), r"^(.+?)_").tolist()
    [0, 2, 2, 2]
    """
    own = np.arange(len(index))
    if pattern is None:
        return own
    entities = index.get_level_values("entity")
    made = re.compile(pattern)
    things = [(found.group(1) if (found := made.match(name)) else name) for name in entities]
    thing_of = dict(zip(entities, things, strict=True))
    outside: dict[str, int] = {}  # how many other things depend on a view
    for source, target in topology.index if topology is not None else ():
        if thing_of.get(source) != thing_of.get(target) and source in thing_of and target in thing_of:
            outside[target] = outside.get(target, 0) + 1
    best: dict[tuple[str, str], int] = {}
    for i, (entity, name) in enumerate(index):
        key = thing_of[entity], name
        if key not in best or outside.get(entity, 0) > outside.get(entities[best[key]], 0):
            best[key] = i
    return np.array([best[thing_of[entity], name] for entity, name in index])


def distances(topology: pd.DataFrame | None, start: str) -> dict[str, int]:
    """Steps from an entity to each one that it depends on, itself 0.

    Examples
    --------
    >>> calls = pd.MultiIndex.from_tuples([("a", "b"), ("b", "c"), ("d", "a")], names=["source", "target"])
    >>> distances(pd.DataFrame({"kind": "calls"}, index=calls), "a")
    {'a': 0, 'b': 1, 'c': 2}
    """
    needs: dict[str, list[str]] = {}
    for source, target in topology.index if topology is not None else ():
        needs.setdefault(source, []).append(target)
    steps, waiting = {start: 0}, deque([start])
    while waiting:
        entity = waiting.popleft()
        for name in needs.get(entity, ()):
            if name not in steps:
                steps[name] = steps[entity] + 1
                waiting.append(name)
    return steps


def topology_features(
    case: Case, z: np.ndarray, main: Excess | None, other: Excess | None, views: np.ndarray
) -> Mapping[str, np.ndarray] | None:
    """Evidence from who depends on whom.

    Parameters
    ----------
    case : Case
    z : array of float64, shape (candidates,)
        Largest change of each candidate, in standard errors.
    main, other : Excess or None
        Of the flow that the alarm names, and of the other one; None where the case has no flows.
    views : array of int, shape (candidates,)
        As from `views_of`.

    Returns
    -------
    mapping of str to array of float64, shape (candidates,), or None
        `own`: part of the alarm's excess that is the candidate's own; `share`: that passes through it; `sure`: log of
        the own part in standard errors; `rank`: 1 for the largest own part, 1/2 for the second; `reach`: the alarm's
        entity depends on it; `near`: 1 / (1 + steps); `explained`: log of the largest change among those it depends
        on; `felt`: share of those who depend on it that changed too; `other`: log of the other flow's excess; `new`:
        called only since the fault began; `view`: only another view of a candidate. None without topology and flows.
    """
    if case.topology is None and main is None:
        return None
    index = case.candidates
    nodes = _nodes(case, index)
    steps = distances(case.topology, case.entity if case.entity in nodes else _first(case, nodes))
    found = {
        "reach": np.array([float(steps.get(node, 0) > 0) for node in nodes]),
        "near": np.array([1.0 / (1 + steps[node]) if node in steps else 0.0 for node in nodes]),
        "alarmed": np.array([float(node == case.entity) for node in nodes]),
        "view": (views != np.arange(len(index))).astype(float),
    }
    found["explained"], found["felt"] = _neighbours(case, nodes, z)
    if main is not None:
        found |= _from_excess(case, main, other, index, views)
        place = {entity: i for i, entity in enumerate(main.entities)}
        each = [main.called[place[node]] if node in place else 0.0 for node in nodes]
        found["explained"] = np.log1p(np.maximum(each, 0.0))  # of the flow that the alarm is about, and of no other
        found["rank"] = rank_share(found["own"] * (found["view"] == 0))
    for name in found.keys() - {"view"}:  # another view says what its thing says
        found[name] = np.where(found["view"] > 0, 0.0, found[name])
    return found


def _nodes(case: Case, index: pd.MultiIndex) -> list[str]:
    """The topology's name of each candidate: the entity, or the metric where metrics are its nodes."""
    known = set(case.topology.index.to_frame().to_numpy().ravel()) if case.topology is not None else set()
    return [name if entity not in known and name in known else entity for entity, name in index]


def _first(case: Case, nodes: list[str]) -> str:
    return next((name for name in case.metrics if name in nodes), case.entity)


def _neighbours(case: Case, nodes: list[str], z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    largest: dict[str, float] = {}
    for node, own in zip(nodes, z, strict=True):
        largest[node] = max(own, largest.get(node, 0.0))
    below: dict[str, float] = {}
    above: dict[str, list[float]] = {}
    for source, target in case.topology.index if case.topology is not None else ():
        below[source] = max(below.get(source, 0.0), largest.get(target, 0.0))
        above.setdefault(target, []).append(float(largest.get(source, 0.0) >= CHANGED))
    explained = np.log1p([below.get(node, 0.0) for node in nodes])
    return explained, np.array([float(np.mean(above[node])) if node in above else 0.0 for node in nodes])


def _from_excess(
    case: Case, main: Excess, other: Excess | None, index: pd.MultiIndex, views: np.ndarray
) -> dict[str, np.ndarray]:
    place = {entity: i for i, entity in enumerate(main.entities)}
    rows = np.array([place.get(entity, -1) for entity in index.get_level_values("entity")])
    there = rows >= 0
    alarm = max(main.total[place[case.entity]], main.noise[place[case.entity]]) if case.entity in place else np.nan

    def of(values: np.ndarray, joined) -> np.ndarray:
        """Bring node values to candidates, the views of one thing joined."""
        each = np.where(there, np.nan_to_num(values)[rows], 0.0)
        made = np.zeros(len(index))
        joined.at(made, views, each)
        return made

    own, noise = of(main.own, np.add), of(main.noise, np.maximum)
    found = {
        "own": np.clip(own / alarm, 0.0, MOST),
        "share": np.clip(of(main.total, np.maximum) / alarm, 0.0, MOST),
        "sure": np.log1p(np.maximum(own / np.maximum(noise, 1e-9), 0.0)),
        "new": of(main.new.astype(float), np.maximum),
    }
    if other is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            found["other"] = np.log1p(np.maximum(of(np.nan_to_num(other.total / other.noise), np.maximum), 0.0))
    return found
