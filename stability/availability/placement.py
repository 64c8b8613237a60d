"""Which replica runs on which node: with headroom, replicas apart, the loss of any node survived; or why not."""

from __future__ import annotations

__all__ = ["Placement", "place"]

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, sparse

from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError, nearest

RESOURCES = ("cpu", "memory")
HEADROOM = 0.2  # of each node that stays free, so that a peak or a neighbour's restart finds room
SECONDS = 30.0  # for the solver; plans of tens of services and nodes take a fraction of one
MISSING = 1e-6  # of a breach: less is rounding
TINY = 1e-12
EVEN = 0.1  # price of the highest load: below that of a node, so that loads are evened on as few nodes as hold all
FULL, CLOSE = 100.0, 10.0  # prices of a breach, for the plan that explains: of a node's size, and of a replica's place
INFEASIBLE = 2  # as SciPy calls it


@dataclass(frozen=True)
class Placement:
    """A plan, or what stands in its way.

    Parameters
    ----------
    feasible : bool
    plan : DataFrame, index (service, node)
        `replicas`; where the plan is infeasible, the one that breaks least.
    nodes : DataFrame, index node
        For each resource the share in use; `replicas`.
    reasons : tuple of str
        What would have to change, a sentence each; empty for a feasible plan.
    """

    feasible: bool
    plan: pd.DataFrame
    nodes: pd.DataFrame
    reasons: tuple[str, ...] = ()


def place(
    services: pd.DataFrame,
    nodes: pd.DataFrame,
    *,
    headroom: float = HEADROOM,
    apart: Sequence[tuple[str, str]] = (),
    spread: str = "node",
) -> Placement:
    """Place replicas of services on nodes: on as few nodes as hold them, loads as even as that allows.

    Parameters
    ----------
    services : DataFrame, index service
        `replicas` (int), `cpu` (cores) and `memory` (bytes) of one replica, `needed` (int: replicas without which the
        service is down; how many may be lost at once follows). One without spare replicas, or that needs none, is not
        spread: nothing would be gained.
    nodes : DataFrame, index node
        `cpu` (cores), `memory` (bytes), and `zone` (text) where `spread` names it.
    headroom : float in [0, 1)
        Share of each node that stays free.
    apart : sequence of (service, service)
        Pairs that may not share a node.
    spread : {'node', 'zone'}
        The loss of any one of these has to leave `needed` replicas of every service.

    Returns
    -------
    Placement

    Raises
    ------
    ContractError
        For columns that are missing or hold no sizes, and for names that are unknown.

    Notes
    -----
    A mixed-integer programme, solved by HiGHS through SciPy. An infeasible one is solved again with a price on every
    limit that is broken; what the cheapest such plan breaks are the reasons.

    Examples
    --------
    >>> services = pd.DataFrame({"replicas": [2], "needed": [1], "cpu": [1.5], "memory": [1e9]}, index=["model"])
    >>> nodes = pd.DataFrame({"cpu": [4.0, 4.0], "memory": [8e9, 8e9]}, index=["n1", "n2"])
    >>> place(services, nodes).plan["replicas"].to_dict()
    {('model', 'n1'): 1, ('model', 'n2'): 1}
    >>> place(services, nodes.iloc[:1]).reasons
    ('model: the loss of node n1 would leave 0 of 1 needed replicas; spread them over one more node',)
    """
    _check(services, nodes, headroom, apart, spread)
    plain = _solve(services, nodes, headroom, apart, spread, elastic=False)
    if plain is not None:
        counts, _ = plain
        return Placement(True, _plan(counts, services, nodes), _loads(counts, services, nodes))
    counts, broken = _solve(services, nodes, headroom, apart, spread, elastic=True)
    return Placement(False, _plan(counts, services, nodes), _loads(counts, services, nodes), tuple(broken))


def _check(services, nodes, headroom, apart, spread) -> None:
    for name, frame, columns in (
        ("services", services, ("replicas", "needed", *RESOURCES)),
        ("nodes", nodes, (*RESOURCES, *(["zone"] if spread == "zone" else []))),
    ):
        missing = [column for column in columns if column not in frame]
        if missing or not len(frame) or frame.index.has_duplicates:
            got = f"without {', '.join(missing)}" if missing else f"{len(frame)} rows, names twice or none"
            raise ContractError(column=name, expected=f"a row a name, columns {', '.join(columns)}", got=got)
        sizes = frame[[column for column in columns if column != "zone"]].to_numpy(dtype=float)
        if not np.isfinite(sizes).all() or (sizes < 0).any():
            raise ContractError(column=name, expected="sizes from 0 up", got=str(frame.iloc[0].to_dict()))
    counts = services[["replicas", "needed"]].to_numpy(dtype=float)
    if (counts != np.round(counts)).any():
        raise ContractError(column="replicas", expected="whole numbers", got=str(services.iloc[0].to_dict()))
    twice = next((one for one, other in apart if one == other), None)
    if twice is not None:
        raise ContractError(
            column="apart", expected="two services", got=f"{twice} twice", remedy="its replicas are spread by needed"
        )
    over = services[services["needed"] > services["replicas"]]
    if len(over):
        raise ContractError(
            column="needed",
            expected="at most the replicas that there are",
            got=f"{over.index[0]}: {over.iloc[0]['needed']}",
        )
    if not 0 <= headroom < 1:
        raise ContractError(column="headroom", expected="a share from 0 to below 1", got=headroom)
    if spread not in ("node", "zone"):
        raise ContractError(column="spread", expected="node or zone", got=spread)
    for name in {name for pair in apart for name in pair} - set(services.index):
        raise ContractError(
            column="apart", expected="names of services", got=name, remedy=nearest(name, services.index)
        )


class _Limit(NamedTuple):
    """One row of the programme: lo <= weights @ variables <= hi; what it says when it is broken by so much."""

    weights: dict[int, float]
    lo: float
    hi: float
    price: float = math.inf  # of a unit of breach; infinite: never broken
    said: Callable[[float], str] | None = None


def _solve(services, nodes, headroom, apart, spread, *, elastic) -> tuple[np.ndarray, list[str]] | None:
    """Counts of replicas, shape (services, nodes), and what is broken; nothing where no plan keeps all limits."""
    s, n = len(services), len(nodes)
    limits = [*_whole(services, n), *_capacity(services, nodes, headroom), *_spread(services, nodes, spread)]
    limits += _apart(services, nodes, apart)
    soft = [place for place, one in enumerate(limits) if elastic and one.price < math.inf]
    own = 2 * s * n + n + 1  # replicas, presences, nodes in use, the highest load; then a breach for each soft limit
    matrix = sparse.lil_array((len(limits), own + len(soft)))
    for place, one in enumerate(limits):
        for column, weight in one.weights.items():
            matrix[place, column] = weight
    for column, place in enumerate(soft, start=own):
        matrix[place, column] = -1.0
    replicas = services["replicas"].to_numpy(float)
    upper = np.concatenate([np.repeat(replicas, n), np.ones(s * n + n), np.full(1 + len(soft), np.inf)])
    cost = np.concatenate([np.zeros(2 * s * n), np.ones(n), [EVEN], [limits[place].price for place in soft]])
    found = optimize.milp(
        cost,
        integrality=np.concatenate([np.ones(2 * s * n + n), np.zeros(1 + len(soft))]),
        bounds=optimize.Bounds(0, upper),
        constraints=optimize.LinearConstraint(matrix.tocsr(), [one.lo for one in limits], [one.hi for one in limits]),
        options={"time_limit": SECONDS},
    )
    if found.x is None:
        if found.status == INFEASIBLE:
            return None
        raise NotEnoughEvidence(f"The solver found no plan within {SECONDS:g} s: {found.message}")
    counts = np.round(found.x[: s * n]).astype(int).reshape(s, n)
    over = found.x[own:]
    broken = [limits[place].said(breach) for place, breach in zip(soft, over, strict=True) if breach > MISSING]
    return counts, broken


def _whole(services: pd.DataFrame, n: int) -> Iterator[_Limit]:
    """Every replica runs somewhere."""
    for i, many in enumerate(services["replicas"]):
        yield _Limit(dict.fromkeys(range(i * n, (i + 1) * n), 1.0), many, many)


def _capacity(services: pd.DataFrame, nodes: pd.DataFrame, headroom: float) -> Iterator[_Limit]:
    """No node holds more than it has, less its headroom, and none is fuller than the highest load says."""
    s, n = len(services), len(nodes)
    for j, node in enumerate(nodes.index):
        for resource in RESOURCES:
            size = float(nodes[resource].iloc[j])
            shares = services[resource].to_numpy(float) / max(size, TINY)
            weights = {i * n + j: float(share) for i, share in enumerate(shares)}
            said = functools.partial(_too_small, node, resource, size, headroom)
            yield _Limit(weights | {2 * s * n + j: headroom - 1}, -np.inf, 0.0, FULL, said)
            yield _Limit(weights | {2 * s * n + n: -1.0}, -np.inf, 0.0)


def _too_small(node: str, resource: str, size: float, headroom: float, breach: float) -> str:
    return f"{node}: {breach * size:.3g} more of {resource} would be needed, with {headroom:.0%} of it kept free"


def _spread(services: pd.DataFrame, nodes: pd.DataFrame, spread: str) -> Iterator[_Limit]:
    """What is lost with one node or zone leaves the replicas that are needed, where a service has spare ones."""
    n = len(nodes)
    zones = (nodes["zone"] if spread == "zone" else nodes.index.to_series()).astype(str).to_numpy()
    for i, (name, replicas, needed) in enumerate(
        zip(services.index, services["replicas"], services["needed"], strict=True)
    ):
        for zone in dict.fromkeys(zones) if 0 < needed < replicas else ():
            weights = {i * n + j: 1.0 for j in range(n) if zones[j] == zone}
            said = functools.partial(_too_close, name, spread, zone, needed)
            yield _Limit(weights, -np.inf, replicas - needed, CLOSE, said)


def _too_close(name: str, spread: str, zone: str, needed: int, breach: float) -> str:
    left = needed - round(breach)
    lost = f"the loss of {spread} {zone} would leave {left} of {needed} needed replicas"
    return f"{name}: {lost}; spread them over one more {spread}"


def _apart(services: pd.DataFrame, nodes: pd.DataFrame, apart: Sequence[tuple[str, str]]) -> Iterator[_Limit]:
    """Two services that may not share a node: a presence is 1 where a replica is, and both make at most 1."""
    s, n = len(services), len(nodes)
    for one, other in apart:
        pair = [services.index.get_loc(name) for name in (one, other)]
        for j, node in enumerate(nodes.index):
            for i in pair:
                most = float(services["replicas"].iloc[i])
                yield _Limit({i * n + j: 1.0, s * n + i * n + j: -most}, -np.inf, 0.0)
            said = functools.partial(_together, one, other, node)
            yield _Limit({s * n + i * n + j: 1.0 for i in pair}, -np.inf, 1.0, CLOSE, said)


def _together(one: str, other: str, node: str, _: float) -> str:
    return f"{one} and {other} would share {node}; they need one more node between them"


def _plan(counts: np.ndarray, services: pd.DataFrame, nodes: pd.DataFrame) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([services.index, nodes.index], names=["service", "node"])
    plan = pd.DataFrame({"replicas": counts.ravel()}, index=index)
    return plan[plan["replicas"] > 0]


def _loads(counts: np.ndarray, services: pd.DataFrame, nodes: pd.DataFrame) -> pd.DataFrame:
    used = {
        name: counts.T @ services[name].to_numpy(float) / np.maximum(nodes[name].to_numpy(float), TINY)
        for name in RESOURCES
    }
    return pd.DataFrame({**used, "replicas": counts.sum(axis=0)}, index=nodes.index.rename("node"))
