"""One graph of what is known: entities, metrics, failure modes, causes, rules and playbooks, of one domain or several.

It is built from tables that exist anyway (topology, rule files, the FMEA worksheet) and asked when an alarm is located:
which causes lie how many steps away, which modes a metric tells of, what depends on what. A node's name begins with its
domain, so that two domains in one graph share nothing; every question is asked within one of them.
"""

from __future__ import annotations

__all__ = [
    "KINDS",
    "RELATIONS",
    "causes_of",
    "dependencies",
    "dependents",
    "describe",
    "knowledge",
    "metrics_of",
    "modes_of",
    "node",
    "paths",
    "playbooks_of",
    "read_graphml",
    "write_graphml",
]

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import pandas as pd

from stability.rules import Rule
from stability.rules import metrics_of as names_in
from stability.schema import ContractError, nearest, validate
from stability.schema.store import written_whole

KINDS = ("entity", "metric", "mode", "cause", "rule", "playbook")
DEPENDS = ("calls", "runs_on", "shares")
RELATIONS = {  # relation -> kinds of its two ends, and which way a question for causes walks it
    **dict.fromkeys(DEPENDS, ("entity", "entity", 1)),
    "caused_by": ("metric", "metric", 1),  # of a topology whose nodes are variables
    "has": ("entity", "metric", -1),
    "watches": ("rule", "metric", -1),
    "guards": ("rule", "metric", 0),  # asks only whether it is there
    "on": ("rule", "entity", 0),
    "indicates": ("rule", "mode", 1),
    "shows": ("mode", "metric", -1),
    "arises_from": ("mode", "cause", 1),
    "repaired_by": ("mode", "playbook", 0),
}
LARGEST = 1 << 26  # bytes of a GraphML file: its parser keeps all of it in memory


def node(domain: str, kind: str, name: str) -> str:
    """Name of a node.

    Examples
    --------
    >>> node("serving", "metric", "queue_depth")
    'serving:metric:queue_depth'
    """
    if kind not in KINDS:
        raise ContractError(column="kind", expected=", ".join(KINDS), got=kind, remedy=nearest(kind, KINDS))
    if not domain or ":" in domain:
        raise ContractError(column="domain", expected="a name without a colon", got=domain)
    return f"{domain}:{kind}:{name}"


def knowledge(
    domain: str,
    *,
    topology: pd.DataFrame | None = None,
    metrics: Mapping[str, Iterable[str]] | None = None,
    rules: Sequence[Rule] = (),
    fmea: pd.DataFrame | None = None,
    shows: Mapping[str, Iterable[str]] | None = None,
    graph: nx.MultiDiGraph | None = None,
) -> nx.MultiDiGraph:
    """Build the graph of a domain, or add a domain to a graph.

    Parameters
    ----------
    domain : str
        Its name.
    topology : DataFrame, optional
        Of the contract; ends of `caused_by` are metrics, those of the other kinds entities.
    metrics : mapping of entity to iterable of str, optional
        Which metrics an entity has.
    rules : sequence of Rule, optional
        A rule watches the metrics that its expression names, stands on the entity that its `component` names (where
        there is one of that name), and indicates its `failure_mode`.
    fmea : DataFrame, optional
        Of the contract: a mode arises from its causes and is repaired by its playbooks (several: separated by
        semicolons). Controls that are the names of rules let these indicate the mode.
    shows : mapping of mode to iterable of str, optional
        Metrics that a mode shows itself in, beside those of its rules.
    graph : MultiDiGraph, optional
        Is copied, and not changed.

    Returns
    -------
    MultiDiGraph
        Nodes have `domain`, `kind`, `name` (and texts that the tables hold of them), edges a `relation`, which is
        their key: a pair of nodes has each relation at most once.

    Examples
    --------
    >>> calls = pd.DataFrame({"source": ["web"], "target": ["db"], "kind": ["calls"]})
    >>> graph = knowledge("shop", topology=validate(calls, "topology"), metrics={"db": ["up"]})
    >>> sorted(graph), dependencies(graph, "web", "shop").to_dict()
    (['shop:entity:db', 'shop:entity:web', 'shop:metric:up'], {'db': 1})
    """
    made = nx.MultiDiGraph() if graph is None else graph.copy()
    if topology is not None:
        for (source, target), kind in validate(topology, "topology")["kind"].items():
            _edge(made, domain, kind if kind in RELATIONS else "calls", source, target)
    for entity, names in (metrics or {}).items():
        _node(made, domain, "entity", entity)
        for name in names:
            _edge(made, domain, "has", entity, name)
    for rule in rules:
        _rule(made, domain, rule)
    if fmea is not None:
        for mode, row in validate(fmea, "fmea").iterrows():
            _mode(made, domain, mode, row)
    for mode, names in (shows or {}).items():
        for name in names:
            _edge(made, domain, "shows", mode, name)
    return made


def _node(graph: nx.MultiDiGraph, domain: str, kind: str, name: str, **said: str) -> str:
    key = node(domain, kind, name)
    graph.add_node(key, domain=domain, kind=kind, name=name, **{k: v for k, v in said.items() if v})
    return key


def _edge(graph: nx.MultiDiGraph, domain: str, relation: str, source: str, target: str) -> None:
    one, other, _ = RELATIONS[relation]
    ends = _node(graph, domain, one, source), _node(graph, domain, other, target)
    graph.add_edge(*ends, key=relation, relation=relation)


def _rule(graph: nx.MultiDiGraph, domain: str, rule: Rule) -> None:
    said = {name: str(rule.annotations.get(name, "")) for name in ("summary", "runbook")}
    _node(graph, domain, "rule", rule.alert, severity=str(rule.labels.get("severity", "")), **said)
    watched = names_in(rule.expr, guarded=False)
    for name in names_in(rule.expr):
        _edge(graph, domain, "watches" if name in watched else "guards", rule.alert, name)
    if rule.labels.get("failure_mode"):
        _edge(graph, domain, "indicates", rule.alert, rule.labels["failure_mode"])
    if node(domain, "entity", rule.labels.get("component", "")) in graph:
        _edge(graph, domain, "on", rule.alert, rule.labels["component"])


def _mode(graph: nx.MultiDiGraph, domain: str, mode: str, row: pd.Series) -> None:
    said = {name: row[name] for name in ("effect", "action_priority") if isinstance(row.get(name), str)}
    _node(graph, domain, "mode", mode, **said)
    for column, relation in (("cause", "arises_from"), ("playbook", "repaired_by")):
        for name in _listed(row.get(column)):
            _edge(graph, domain, relation, mode, name)
    for name in _listed(row.get("controls")):
        if node(domain, "rule", name) in graph:
            _edge(graph, domain, "indicates", name, mode)


def _listed(cell: object) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()] if isinstance(cell, str) else []


def _asked(graph: nx.MultiDiGraph, domain: str, kind: str, name: str) -> str:
    """The node asked for; an error that lists what there is."""
    key = node(domain, kind, name)
    if key not in graph:
        there = sorted(d["name"] for _, d in graph.nodes(data=True) if (d["domain"], d["kind"]) == (domain, kind))
        said = ", ".join(there[:10]) or f"no {kind} in domain {domain!r}"
        raise ContractError(column=kind, expected=said, got=name, remedy=nearest(name, there) or None)
    return key


def _walk(graph: nx.MultiDiGraph, start: Iterable[str], longest: int | None = None) -> dict[str, tuple[str, ...]]:
    """The shortest way from any of the start nodes to each node, towards causes; of equal ones the first by name."""
    found = {key: (key,) for key in sorted(start)}
    queue = deque(found)
    while queue:
        here = queue.popleft()
        if longest is not None and len(found[here]) > longest:
            continue
        onward = {t for _, t, r in graph.out_edges(here, keys=True) if RELATIONS[r][2] > 0}
        onward |= {s for s, _, r in graph.in_edges(here, keys=True) if RELATIONS[r][2] < 0}
        for key in sorted(onward - set(found)):
            found[key] = (*found[here], key)
            queue.append(key)
    return found


def paths(
    graph: nx.MultiDiGraph,
    domain: str,
    *,
    entity: str | None = None,
    metrics: Iterable[str] = (),
    longest: int | None = None,
) -> pd.DataFrame:
    """Find what could lie behind an alarm: along dependence, and from metrics over rules to modes and their causes.

    Parameters
    ----------
    graph : MultiDiGraph
        From `knowledge`.
    domain : str
        Nothing outside it is found.
    entity : str, optional
        Whose alarm it is.
    metrics : iterable of str
        Metrics that the alarm names.
    longest : int, optional
        Steps at most.

    Returns
    -------
    DataFrame
        Index (kind, name), nearest first: `steps` (int) and `path` (names from the alarm to it). What the alarm itself
        names is there, with 0 steps.

    Raises
    ------
    ContractError
        For an entity or a metric that the domain does not know.

    Examples
    --------
    >>> edges = pd.DataFrame({"source": ["alarm"], "target": ["filter_ok"], "kind": ["caused_by"]})
    >>> graph = knowledge("lathe", topology=validate(edges, "topology"), shows={"clogged": ["filter_ok"]})
    >>> paths(graph, "lathe", metrics=["alarm"])["steps"].to_dict()
    {('metric', 'alarm'): 0, ('metric', 'filter_ok'): 1, ('mode', 'clogged'): 2}
    """
    start = [_asked(graph, domain, "metric", name) for name in metrics]
    start += [_asked(graph, domain, "entity", entity)] if entity is not None else []
    if not start:
        raise ContractError("paths", expected="the entity of an alarm, or its metrics", got="neither")
    rows = []
    for key, way in _walk(graph, start, longest).items():
        said = graph.nodes[key]
        names = " > ".join(graph.nodes[step]["name"] for step in way)
        rows.append((said["kind"], said["name"], len(way) - 1, names))
    table = pd.DataFrame(rows, columns=["kind", "name", "steps", "path"])
    return table.sort_values(["steps", "kind", "name"], ignore_index=True).set_index(["kind", "name"])


def modes_of(graph: nx.MultiDiGraph, metric: str, domain: str) -> list[str]:
    """Modes that a metric tells of: those that show in it, and those that a rule indicates which watches it.

    Examples
    --------
    >>> modes_of(knowledge("d", shows={"leak": ["level"], "clog": ["flow", "level"]}), "level", "d")
    ['clog', 'leak']
    """
    key = _asked(graph, domain, "metric", metric)
    found = {s for s, _, r in graph.in_edges(key, keys=True) if r == "shows"}
    watching = [s for s, _, r in graph.in_edges(key, keys=True) if r == "watches"]
    found |= {t for rule in watching for _, t, r in graph.out_edges(rule, keys=True) if r == "indicates"}
    return sorted(graph.nodes[mode]["name"] for mode in found)


def causes_of(graph: nx.MultiDiGraph, metric: str, domain: str) -> list[str]:
    """Metrics that a metric follows from directly, in a topology of variables.

    Examples
    --------
    >>> edges = pd.DataFrame({"source": ["alarm", "alarm"], "target": ["pump", "level"], "kind": ["caused_by"] * 2})
    >>> causes_of(knowledge("lathe", topology=validate(edges, "topology")), "alarm", "lathe")
    ['level', 'pump']
    """
    key = _asked(graph, domain, "metric", metric)
    return sorted(graph.nodes[t]["name"] for _, t, r in graph.out_edges(key, keys=True) if r == "caused_by")


def metrics_of(graph: nx.MultiDiGraph, mode: str, domain: str) -> list[str]:
    """Metrics that tell of a mode: the other way round of `modes_of`."""
    key = _asked(graph, domain, "mode", mode)
    found = {t for _, t, r in graph.out_edges(key, keys=True) if r == "shows"}
    rules = [s for s, _, r in graph.in_edges(key, keys=True) if r == "indicates"]
    found |= {t for rule in rules for _, t, r in graph.out_edges(rule, keys=True) if r == "watches"}
    return sorted(graph.nodes[metric]["name"] for metric in found)


def playbooks_of(graph: nx.MultiDiGraph, mode: str, domain: str) -> list[str]:
    """Playbooks that repair a mode."""
    key = _asked(graph, domain, "mode", mode)
    return sorted(graph.nodes[t]["name"] for _, t, r in graph.out_edges(key, keys=True) if r == "repaired_by")


def dependencies(graph: nx.MultiDiGraph, entity: str, domain: str) -> pd.Series:
    """What an entity depends on, through others too.

    Returns
    -------
    Series of int, index entity
        Steps to it, nearest first.
    """
    return _reached(graph, _asked(graph, domain, "entity", entity))


def dependents(graph: nx.MultiDiGraph, entity: str, domain: str) -> pd.Series:
    """What depends on an entity, through others too: whom its failure reaches. As `dependencies`."""
    return _reached(graph.reverse(copy=False), _asked(graph, domain, "entity", entity))


def _reached(graph: nx.MultiDiGraph, key: str) -> pd.Series:
    calls = nx.DiGraph([(s, t) for s, t, r in graph.edges(keys=True) if r in DEPENDS])
    steps = nx.single_source_shortest_path_length(calls, key) if key in calls else {key: 0}
    found = {graph.nodes[k]["name"]: n for k, n in steps.items() if k != key}
    return pd.Series(found, dtype="int64", name="steps").sort_index().sort_values(kind="stable").rename_axis("entity")


def describe(graph: nx.MultiDiGraph) -> pd.DataFrame:
    """Count the nodes of each kind (columns) in each domain (index)."""
    rows = [(said["domain"], said["kind"]) for _, said in graph.nodes(data=True)]
    counts = pd.DataFrame(rows, columns=["domain", "kind"]).value_counts().unstack(fill_value=0)  # noqa: PD010
    return counts.reindex(columns=list(KINDS), fill_value=0)


def write_graphml(graph: nx.MultiDiGraph, path: str | PathLike) -> None:
    """Write the graph as GraphML, which yEd, Gephi and Cytoscape open."""
    with written_whole(Path(path)) as temporary:
        nx.write_graphml(graph, temporary)


def read_graphml(path: str | PathLike) -> nx.MultiDiGraph:
    """Read a graph that `write_graphml` wrote, or one that was drawn by hand with its attributes.

    Raises
    ------
    ContractError
        For a file that is missing, too large, no GraphML, or whose nodes lack domain, kind or name.
    """
    file = Path(path)
    if not file.is_file() or file.stat().st_size > LARGEST:
        raise ContractError(
            file=path, expected=f"a GraphML file of at most {LARGEST >> 20} MiB", got="none, or a larger one"
        )
    try:
        read = nx.read_graphml(file, force_multigraph=True)
    except (ElementTree.ParseError, nx.NetworkXError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise ContractError(file=path, expected="GraphML", got=str(error)) from error
    graph = nx.MultiDiGraph()
    for key, said in read.nodes(data=True):
        if not {"domain", "kind", "name"} <= set(said) or node(said["domain"], said["kind"], said["name"]) != key:
            raise ContractError(file=path, column=key, expected="id domain:kind:name, and these three", got=str(said))
        graph.add_node(key, **said)
    for source, target, said in read.edges(data=True):
        relation = said.get("relation")
        ends = tuple(graph.nodes[end].get("kind") for end in (source, target))
        if relation not in RELATIONS or RELATIONS[relation][:2] != ends:
            expected = f"a relation among {', '.join(RELATIONS)}, between the kinds that it joins"
            raise ContractError(file=path, column=f"{source} -> {target}", expected=expected, got=str(relation))
        graph.add_edge(source, target, key=relation, relation=relation)
    return graph
