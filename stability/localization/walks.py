"""Peers' methods on a graph of dependence: traversal, PageRank, random walk. One without a graph to walk on fails.

The field's benchmark of such methods had ranked by the order of columns for years, since PageRank failed in silence
(RCAEval, changelog of September 2026). Here a graph that holds no candidate, or that scores all alike, is an error.
"""

from __future__ import annotations

__all__ = ["mad_traversal", "node_of", "page_rank", "random_walk"]

from collections.abc import Mapping

import networkx as nx
import numpy as np
import pandas as pd

from stability.localization.baselines import baro, spread_over
from stability.localization.cases import Case
from stability.localization.onset import changes
from stability.schema import ContractError

FAR = 5.0  # median absolute deviations from which a node counts as anomalous (Hardt et al. 2023, PetShop)
DAMPING = 0.85
BACK = 0.1  # weight of a step back, against the dependence (Kim et al. 2013, MonitorRank)


def _graph(case: Case) -> nx.DiGraph:
    """From who depends to whom it depends on: the way from an alarm to its causes."""
    if case.topology is None:
        raise ContractError(f"case {case.alarm_id}", expected="a topology", got="none", remedy="use a flat method")
    graph = nx.DiGraph()
    graph.add_edges_from(sorted(case.topology.index))
    return graph


def node_of(candidate: tuple[str, str], graph: nx.DiGraph) -> str | None:
    """Find the node of a candidate: its metric where that is one, else its entity, else None.

    Examples
    --------
    >>> node_of(("web", "latency"), nx.DiGraph([("web", "db")])), node_of(("run", "x"), nx.DiGraph([("y", "x")]))
    ('web', 'x')
    """
    entity, metric = candidate
    return metric if metric in graph else entity if entity in graph else None


def _placed(case: Case, values: Mapping[str, float], graph: nx.DiGraph, method: str) -> pd.Series:
    """Scores of nodes as scores of candidates; fails where they rank nobody."""
    nodes = [node_of(candidate, graph) for candidate in case.candidates]
    scores = pd.Series([np.nan if n is None else values.get(n, np.nan) for n in nodes], case.candidates, dtype=float)
    if not scores.notna().any():
        known = ", ".join(sorted(graph)[:5])
        raise ContractError(
            f"{method}, case {case.alarm_id}", expected="candidates that are nodes of the topology",
            got=f"none among its {len(graph)} nodes ({known})", remedy="name candidates as the topology does",
        )  # fmt: skip
    if scores.notna().sum() > 1 and np.ptp(scores.dropna().round(12)) == 0:
        raise ContractError(
            f"{method}, case {case.alarm_id}", expected="scores that differ", got="all candidates alike"
        )
    return scores


def _alarmed(case: Case, graph: nx.DiGraph) -> list[str]:
    """The nodes where a walk begins: the alarm's metrics where the graph holds them, else its entity."""
    named = [m for m in case.metrics if m in graph] or [n for n in [case.entity] if n in graph]
    if not named:
        raise ContractError(f"case {case.alarm_id}", expected="an alarm on a node of the topology", got=case.entity)
    return named


def mad_traversal(case: Case, reference: pd.DataFrame | None = None, far: float = FAR) -> pd.Series:
    """Walk from the alarm through anomalous dependencies; who has none further down is the cause, others by distance.

    Parameters
    ----------
    case : Case
        Candidates are nodes (whole entities).
    reference : DataFrame, optional
        Noise of a normal time, as `changes` takes it.
    far : float
        Standard errors from which an entity counts as anomalous.

    Returns
    -------
    Series of float64, index `case.candidates`
        In (2, 3) for ends of the walk, in (1, 2) for other nodes on it, below 1 for all others, in each group by
        deviation; so there is a ranked answer where the walk finds nothing.

    Notes
    -----
    After Hardt et al. (2023), arXiv 2311.04806, whose method gives no answer where the walk finds nothing.
    """
    graph = _graph(case)
    found = changes(case.telemetry, reference)["z"].rename_axis(["entity", "metric"])
    size = found.groupby(level="entity").max() if set(graph) & set(found.index.get_level_values(0)) else None
    size = found.groupby(level="metric").max() if size is None else size
    anomalous = set(size.index[size >= far]) & set(graph)
    visited, queue = set(), list(_alarmed(case, graph))
    while queue:
        node = queue.pop()
        visited.add(node)
        queue += [n for n in graph.successors(node) if n in anomalous and n not in visited]
    ends = {n for n in visited if not any(s in anomalous for s in graph.successors(n))}
    inside = {n: max(float(size.get(n, 0.0)), 0.0) for n in graph}
    values = {n: (n in visited) + (n in ends) + v / (1.0 + v) for n, v in inside.items()}
    return _placed(case, values, graph, "traversal")


def _suspicion(case: Case, graph: nx.DiGraph, weights: pd.Series | None) -> dict[str, float]:
    """How much each node deviates, at least a little so that a walk can pass."""
    if weights is None:
        weights = spread_over(baro(case), case.candidates)
    by_node = pd.Series([node_of(c, graph) for c in weights.index], weights.index)
    largest = np.log1p(weights.clip(lower=0)).groupby(by_node.to_numpy()).max().fillna(0.0)
    return {node: float(largest.get(node, 0.0)) + 1e-3 for node in graph}


def page_rank(case: Case, weights: pd.Series | None = None, damping: float = DAMPING) -> pd.Series:
    """PageRank along dependence, restarting at nodes as much as they deviate.

    Parameters
    ----------
    case : Case
    weights : Series of float64, index (entity, metric), optional
        Deviation of each candidate; `baro` without.
    damping : float
        Probability of going on.

    Returns
    -------
    Series of float64, index `case.candidates`
        NaN for a candidate that is no node.

    Raises
    ------
    ContractError
        Where there is no topology, it holds no candidate, or all get the same score.
    """
    graph = _graph(case)
    restart = _suspicion(case, graph, weights)
    return _placed(
        case, nx.pagerank(graph, alpha=damping, personalization=restart, tol=1e-10, max_iter=1000), graph, "PageRank"
    )


def random_walk(
    case: Case, weights: pd.Series | None = None, back: float = BACK, restart: float = 1 - DAMPING
) -> pd.Series:
    """Share of visits of a walk that starts at the alarm and prefers neighbours that deviate.

    Parameters
    ----------
    case : Case
    weights : Series of float64, index (entity, metric), optional
        Deviation of each candidate; `baro` without.
    back : float
        Weight of a step from a cause back to who depends on it.
    restart : float
        Probability of starting again at the alarm: without it a walk ends in the leaves.

    Returns
    -------
    Series of float64, index `case.candidates`
        The visits in the long run, solved and not drawn: the same on every machine.

    Raises
    ------
    ContractError
        As `page_rank`, and where the alarm is on no node of the topology.

    Notes
    -----
    After Kim, Sumbaly, Shah (2013), MonitorRank, doi 10.1145/2465529.2465753: forward, backward and staying steps.
    """
    graph = _graph(case)
    nodes = sorted(graph)
    place = {node: i for i, node in enumerate(nodes)}
    size = _suspicion(case, graph, weights)
    steps = np.zeros((len(nodes), len(nodes)))
    for source, target in graph.edges:
        steps[place[source], place[target]] += size[target]
        steps[place[target], place[source]] += back * size[source]
    for node in nodes:  # stays as long as it deviates more than all that it depends on
        beyond = max((size[n] for n in graph.successors(node)), default=0.0)
        steps[place[node], place[node]] += max(0.0, size[node] - beyond)
    rows = steps.sum(axis=1, keepdims=True)
    steps = np.divide(steps, rows, out=np.eye(len(nodes)), where=rows > 0)
    start = np.zeros(len(nodes))
    start[[place[n] for n in _alarmed(case, graph)]] = 1.0
    start /= start.sum()
    visits = np.linalg.solve(np.eye(len(nodes)) - (1 - restart) * steps.T, restart * start)
    return _placed(case, dict(zip(nodes, visits, strict=True)), graph, "random walk")
