"""Who can explain the alarms: candidates beside the unusual alarms, along a graph of causes.

The idea that an alarm's causes are its predecessors, and that one cause explains several alarms at once, needs no
labels; how much each part of it counts is left to the ranker.
"""

from __future__ import annotations

__all__ = ["COLUMNS", "SIGNS", "ancestry"]

import networkx as nx
import numpy as np
import pandas as pd

from stability.knowledge import causes_of, node, paths

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


def ancestry(
    candidates: pd.MultiIndex, found: pd.DataFrame, alarms: pd.Index, known: nx.MultiDiGraph, domain: str
) -> pd.DataFrame:
    """Place candidates beside the alarms of a case.

    Parameters
    ----------
    candidates : MultiIndex of (entity, metric)
        The metric is the variable.
    found : DataFrame, index name
        Variables that behave unusually, as from `Behaviour.score`: alarms and others.
    alarms : Index of str
        Which variables are alarms; unusual are those that stood at a value longer than in normal time.
    known : MultiDiGraph
        From `knowledge`: which metric is caused by which.
    domain : str
        Its domain.

    Returns
    -------
    DataFrame of float64, index `candidates`
        The columns of `COLUMNS`; 0 where nothing speaks for a candidate.

    Examples
    --------
    >>> from stability.knowledge import knowledge
    >>> from stability.schema import validate
    >>> edges = pd.DataFrame({"source": ["alarm", "pump"], "target": ["pump", "filter"], "kind": "caused_by"})
    >>> known = knowledge("lathe", topology=validate(edges, "topology"))
    >>> onset = pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True)
    >>> found = pd.DataFrame({"own": [2.0, 1.0], "causes": 0.0, "alone": 0.0, "onset": onset}, index=["alarm", "pump"])
    >>> who = pd.MultiIndex.from_product([["run"], ["pump", "filter", "lamp"]], names=["entity", "metric"])
    >>> table = ancestry(who, found, pd.Index(["alarm"]), known, "lathe")
    >>> table["graph.near"].tolist(), table["both.direct"].tolist()
    ([1.0, 0.5, 0.0], [1.0, 0.0, 0.0])
    """
    unusual = list(found.index[found.index.isin(alarms) & (found["own"] > 0)])  # an alarm that is off explains nothing
    steps = {name: _steps(known, domain, name) for name in unusual}
    places = found.loc[~found.index.isin(alarms), "onset"].rank(method="min")
    rows = []
    for _, name in candidates:
        own = found.loc[name] if name in found.index else None
        far = np.array([steps[alarm][name] for alarm in unusual if name in steps[alarm]], dtype=float)
        direct, reach = ((far == 1).sum() / len(unusual), len(far) / len(unusual)) if unusual else (0.0, 0.0)
        odd = float(own is not None)
        shown = [0.0, 0.0, 0.0] if own is None else [own["own"], own["causes"], own["alone"]]
        near = 1.0 / max(far.min(), 1.0) if len(far) else 0.0
        causes = causes_of(known, name, domain) if odd and node(domain, "metric", name) in known else []
        away = float(found.index.isin(causes).any())
        first = 1.0 / places[name] if name in places else 0.0
        rows.append([*shown, odd, near, direct, reach, odd * direct, odd * reach, away, first])
    return pd.DataFrame(rows, index=candidates, columns=list(COLUMNS), dtype=float)


def _steps(known: nx.MultiDiGraph, domain: str, name: str) -> dict[str, int]:
    """Steps from a variable to each that could have caused it, itself at 0."""
    if node(domain, "metric", name) not in known:
        return {}
    return paths(known, domain, metrics=[name])["steps"].loc["metric"].to_dict()
