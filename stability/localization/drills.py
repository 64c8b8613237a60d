"""Practice incidents: a known fault laid upon normal windows, and carried along the calls to whoever waits.

A few labelled cases that share one cause cannot teach what a cause looks like elsewhere. What a fault did to its node
in them, row by row, is laid upon other nodes in windows that were normal: the node's requests take longer or fail, and
so do those of its callers, by the part of their requests that call it. What the drills hold is what their author knew,
so they train and choose, and judge nothing.
"""

from __future__ import annotations

__all__ = ["Drill", "drills", "profile_of", "quiet_windows"]

from collections.abc import Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.flows import FLOWS, REQUESTS, shares
from stability.schema import ContractError

COLUMNS = {flow: column for column, flow in FLOWS.items()}
MODES = {"seconds": "delay", "failures": "error"}
TRAFFIC = 10.0  # requests a row from which a node can be told from noise at all
STRENGTH = {"seconds": (0.06, 0.8), "failures": (0.005, 0.08)}  # at the alarm: of its level, and of its requests
MOST = {"seconds": 10.0, "failures": 0.7}  # at the root, per request: beyond it the fault would be another one
# Part of a called node's trouble that a caller feels. It waits for nearly all; failures it may catch: in PetShop's
# training cases .5 to .8 of them arrive at the front.
WAITED = {"seconds": (0.7, 1.0), "failures": (0.4, 1.0)}
MIRRORED = (0.1, 0.5)  # part of the root's trouble that a leaf beside it shows: the same requests, seen by the caller
MIRRORS = 0.5  # share of the drills that have such a leaf
UNEVEN = 0.1  # spread of each row's trouble


class Drill(NamedTuple):
    """A practice incident.

    Parameters
    ----------
    case : Case
    root : str
        Entity in which the fault lies.
    mode : str
        `delay` or `error`.
    """

    case: Case
    root: str
    mode: str


def profile_of(case: Case, entity: str) -> np.ndarray:
    """How strong a fault was in each row of a case, as a share of its strongest row, by the root's own flow.

    Parameters
    ----------
    case : Case
    entity : str
        The root.

    Returns
    -------
    array of float64, shape (rows,)
    """
    column = next((name for name in case.metrics if name in FLOWS), None)
    if column is None:
        raise ContractError(column="metrics", expected="one of " + ", ".join(FLOWS), got=", ".join(case.metrics))
    own = case.telemetry.loc[entity, column].to_numpy(dtype=float)
    bad = 1 - own if FLOWS[column] == "failures" else own
    bad = np.nan_to_num(bad - np.nanmin(bad))
    return bad / max(bad.max(), 1e-12)


def quiet_windows(
    normal: pd.DataFrame,
    topology: pd.DataFrame,
    targets: Sequence[str],
    rows: int,
    *,
    every: int = 1,
    columns: Sequence[str] = tuple(FLOWS),
) -> list[Case]:
    """Cut normal time into windows, each as the case of an alarm that there was no reason for.

    Parameters
    ----------
    normal : DataFrame
        Panel.
    topology : DataFrame
        The calls.
    targets : sequence of str
        Entities of alarms; a window holds the entities that the target depends on, or that are of its part of the
        topology.
    rows : int
        Of a window.
    every : int
        Rows from one window's begin to the next.
    columns : sequence of str
        Metrics that the alarms name, each in turn.

    Returns
    -------
    list of Case
        `alarm_id` is `quiet/<entity>/<metric>/<last stamp>`.
    """
    made = []
    for target in targets:
        piece, calls = _part(normal, topology, target)
        stamps = piece.loc[target].index
        for first in range(0, len(stamps) - rows + 1, every):
            own = _window(piece, stamps[first : first + rows])
            for column in columns:
                name = f"quiet/{target}/{column}/{stamps[first + rows - 1]:%Y-%m-%dT%H:%M}"
                made.append(_case(name, target, column, own, calls))
    return made


def drills(
    normal: pd.DataFrame,
    topology: pd.DataFrame,
    targets: Sequence[str],
    profiles: Sequence[np.ndarray],
    *,
    count: int = 200,
    seed: int = 0,
) -> list[Drill]:
    """Lay faults upon normal windows.

    Parameters
    ----------
    normal : DataFrame
        Panel with `service_requests`, `service_latency_seconds_mean` and `service_availability_ratio`.
    topology : DataFrame
        The calls.
    targets : sequence of str
        Entities of the alarms.
    profiles : sequence of array, shape (rows,)
        As from `profile_of`; all of one length, that of the windows.
    count, seed : int
        How many, and what they are drawn by.

    Returns
    -------
    list of Drill
        Roots are drawn evenly among the target and the nodes with traffic that it depends on.
    """
    rng, made = np.random.default_rng(seed), []
    parts = {target: _part(normal, topology, target) for target in targets}
    graphs = {target: nx.DiGraph(list(calls.index)) for target, (_, calls) in parts.items()}
    for number in range(20 * count):  # some draws are impossible: too few requests for the strength wanted
        if len(made) == count:
            break
        target = targets[number % len(targets)]
        flow = list(COLUMNS)[int(rng.integers(2))]
        piece, calls = parts[target]
        stamps = piece.loc[target].index
        profile = profiles[int(rng.integers(len(profiles)))]
        first = int(rng.integers(len(stamps) - len(profile) + 1))
        window = _window(piece, stamps[first : first + len(profile)])
        laid = _lay(window, calls, graphs[target], target, flow, profile, rng)
        if laid is not None:
            root, panel = laid
            name = f"drill/{len(made)}/{target}"
            made.append(Drill(_case(name, target, COLUMNS[flow], panel, calls), root, MODES[flow]))
    return made


def _part(normal: pd.DataFrame, topology: pd.DataFrame, target: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and calls of the part of the topology that hangs together with the target."""
    graph = nx.Graph(list(topology.index))
    near = nx.node_connected_component(graph, target) if target in graph else {target}
    own = topology.index.isin(near, "source") & topology.index.isin(near, "target")
    return normal[normal.index.isin(near, "entity")], topology[own]


def _window(piece: pd.DataFrame, stamps: pd.DatetimeIndex) -> pd.DataFrame:
    at = piece.index.get_level_values("timestamp")
    return piece[(at >= stamps[0]) & (at <= stamps[-1])]


def _case(name: str, target: str, column: str, panel: pd.DataFrame, calls: pd.DataFrame) -> Case:
    who = pd.MultiIndex.from_product([panel.index.unique("entity"), [""]], names=["entity", "metric"])
    at = panel.index.get_level_values("timestamp").max()
    return Case(name, target, (column,), at, who, {"telemetry": panel, "topology": calls})


def _lay(window, calls, graph: nx.DiGraph, target: str, flow: str, profile, rng) -> tuple[str, pd.DataFrame] | None:
    """Choose a root, carry its trouble upward, and write it into the window; None where that cannot be."""
    column = COLUMNS[flow]
    wide = window[[REQUESTS, column]].unstack("entity")  # noqa: PD010
    entities = wide[column].columns
    requests, per = np.nan_to_num(wide[REQUESTS].to_numpy(dtype=float)), wide[column].to_numpy(dtype=float)
    place = {entity: i for i, entity in enumerate(entities)}
    usual = np.median(requests, axis=0)
    below = {target, *nx.descendants(graph, target)}
    possible = [
        e for e in entities if e in below and usual[place[e]] >= TRAFFIC and np.isfinite(per[:, place[e]]).all()
    ]
    if target not in place or not possible:
        return None
    root = possible[int(rng.integers(len(possible)))]
    low, high = STRENGTH[flow]
    strength = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    level = np.nanmedian(per[:, place[target]]) if flow == "seconds" else 1.0
    part = shares(calls, place, usual)
    felt = _upward(graph, part, root, WAITED[flow], rng)
    wanted = strength * level * usual[place[target]] / max(felt.get(target, 0.0), 1e-9)
    if wanted / usual[place[root]] > MOST[flow]:
        return None
    extra = np.zeros_like(per)
    for entity, share in felt.items():
        if entity in place:
            extra[:, place[entity]] = wanted * share * profile * np.exp(rng.normal(0, UNEVEN, len(profile)))
    beside = [n for caller in graph.predecessors(root) for n in graph.successors(caller)]
    leaves = [
        n for n in beside if n in place and n not in felt and not list(graph.successors(n)) and usual[place[n]] > 0
    ]
    if leaves and rng.random() < MIRRORS:
        leaf = leaves[int(rng.integers(len(leaves)))]
        extra[:, place[leaf]] += wanted * rng.uniform(*MIRRORED) * profile
    return root, _written(window, column, flow, requests, per, extra, rng)


def _upward(graph: nx.DiGraph, part: dict, root: str, waited: tuple[float, float], rng) -> dict[str, float]:
    """What of one unit of the root's trouble each node above it feels."""
    above = graph.subgraph({root, *nx.ancestors(graph, root)})
    if not nx.is_directed_acyclic_graph(above):
        return {}
    felt = {root: 1.0}
    for node in reversed(list(nx.lexicographical_topological_sort(above))):
        if node != root:
            felt[node] = sum(
                rng.uniform(*waited) * part.get((node, called), 0.0) * felt.get(called, 0.0)
                for called in above.successors(node)
            )
    return felt


def _written(window, column: str, flow: str, requests, per, extra, rng) -> pd.DataFrame:
    """The window with the trouble in it: seconds are added to the mean, failures are drawn."""
    busy = requests > 0
    each = np.divide(extra, requests, out=np.zeros_like(extra), where=busy)
    if flow == "failures":
        fair = np.clip(each, 0.0, 1.0)
        failed = rng.binomial(requests.astype(int), fair)
        each = -np.divide(failed, requests, out=np.zeros_like(extra), where=busy) * np.nan_to_num(per, nan=1.0)
    values = np.where(busy & np.isfinite(per), per + each, per)
    wide = window[column].unstack("entity")  # noqa: PD010
    changed = pd.DataFrame(values, index=wide.index, columns=wide.columns).T.stack().reindex(window.index)  # noqa: PD013
    return window.assign(**{column: changed})
