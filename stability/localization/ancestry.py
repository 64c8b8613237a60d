"""Who can explain the alarms: candidates beside the unusual alarms, along a graph of causes.

The idea that an alarm's causes are its predecessors, and that one cause explains several alarms at once, needs no
labels; how much each part of it counts is left to the ranker.
"""

from __future__ import annotations

__all__ = ["COLUMNS", "SIGNS", "ancestry"]

import networkx as nx
import numpy as np
import pandas as pd

COLUMNS = {  # what each column says, in one place for reports
    "behaviour.own": "lasted longer than it does in normal time",
    "behaviour.causes": "lasted longer beside what each of its causes said",
    "behaviour.alone": "moved as it never does beside its causes",
    "behaviour.any": "any of these",
    "graph.near": "one over the steps to the nearest unusual alarm",
    "graph.direct": "share of the unusual alarms that follow from it directly",
    "graph.reach": "share of the unusual alarms that follow from it at all",
    "both.direct": "behaves unusually, times the share that follows directly",
    "both.reach": "behaves unusually, times the share that follows at all",
    "explained.away": "behaves unusually, and so does a cause of it",
    "time.first": "one over its place among the unusual ones, by onset",
}
#: What an engineer knows before any case: which way each column speaks.
SIGNS = {name: -1 if name == "explained.away" else 1 for name in COLUMNS}


def ancestry(candidates: pd.MultiIndex, found: pd.DataFrame, alarms: pd.Index, topology: pd.DataFrame) -> pd.DataFrame:
    """Place candidates beside the alarms of a case.

    Parameters
    ----------
    candidates : MultiIndex of (entity, metric)
        The metric is the variable.
    found : DataFrame, index name
        Variables that behave unusually, as from `Behaviour.score`: alarms and others.
    alarms : Index of str
        Which variables are alarms; unusual are those that stood at a value longer than in normal time.
    topology : DataFrame
        Of the contract, with variables as nodes: the source follows from the target.

    Returns
    -------
    DataFrame of float64, index `candidates`
        The columns of `COLUMNS`; 0 where nothing speaks for a candidate.

    Examples
    --------
    >>> edges = pd.MultiIndex.from_tuples([("alarm", "pump"), ("pump", "filter")], names=["source", "target"])
    >>> onset = pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True)
    >>> found = pd.DataFrame({"own": [2.0, 1.0], "causes": 0.0, "alone": 0.0, "onset": onset}, index=["alarm", "pump"])
    >>> who = pd.MultiIndex.from_product([["run"], ["pump", "filter", "lamp"]], names=["entity", "metric"])
    >>> table = ancestry(who, found, pd.Index(["alarm"]), pd.DataFrame({"kind": "caused_by"}, index=edges))
    >>> table["graph.near"].tolist(), table["both.direct"].tolist()
    ([1.0, 0.5, 0.0], [1.0, 0.0, 0.0])
    """
    graph = nx.DiGraph()
    graph.add_edges_from(topology.index)  # from an effect to its cause
    unusual = list(found.index[found.index.isin(alarms) & (found["own"] > 0)])  # an alarm that is off explains nothing
    steps = {name: nx.single_source_shortest_path_length(graph, name) if name in graph else {} for name in unusual}
    places = found.loc[~found.index.isin(alarms), "onset"].rank(method="min")
    rows = []
    for _, name in candidates:
        own = found.loc[name] if name in found.index else None
        far = np.array([steps[alarm][name] for alarm in unusual if name in steps[alarm]], dtype=float)
        direct, reach = ((far == 1).sum() / len(unusual), len(far) / len(unusual)) if unusual else (0.0, 0.0)
        causes = set(graph.successors(name)) if name in graph else set()
        odd = float(own is not None)
        shown = [0.0, 0.0, 0.0] if own is None else [own["own"], own["causes"], own["alone"]]
        near = 1.0 / max(far.min(), 1.0) if len(far) else 0.0
        away = odd * bool(causes & set(found.index))
        first = 1.0 / places[name] if name in places else 0.0
        rows.append([*shown, odd, near, direct, reach, odd * direct, odd * reach, away, first])
    return pd.DataFrame(rows, index=candidates, columns=list(COLUMNS), dtype=float)
