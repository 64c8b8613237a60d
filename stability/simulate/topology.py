"""Along the topology: requests go down the calls, latency and failures come back up."""

from __future__ import annotations

__all__ = ["any_of", "climb", "host_rows", "placement", "replica_rows", "routing", "settings", "spread", "topology"]

import numpy as np
import pandas as pd

from stability.schema import validate
from stability.simulate.scenario import Scenario

TAIL_INDEX = 3.0  # P(latency > x) falls with x to this power beyond the 99th percentile
MIX_POWER = 4.0  # the 99th percentile of a mixture lies near the slow part's: a power mean with this exponent
LATE_MOST = 0.6  # share of the requests that a time-out can cost at most


def topology(scenario: Scenario) -> pd.DataFrame:
    """List who depends on whom.

    Parameters
    ----------
    scenario : Scenario
        The fleet.

    Returns
    -------
    DataFrame
        The contract's table: replicas that call replicas, replicas that run on hosts, hosts that share a link.
    """
    of = {name: [e for e, s in scenario.replicas().items() if s == name] for name in scenario.services}
    edges = []
    for name, service in scenario.services.items():
        edges += [(a, b, "calls") for other in service.calls for a in of[name] for b in of[other]]
        edges += [(a, host, "runs_on") for a, host in placement(scenario).items() if a in of[name]]
    edges += [(name, other, "shares") for name, host in scenario.hosts.items() for other in host.shares]
    return validate(pd.DataFrame(edges, columns=["source", "target", "kind"]).astype("str"), "topology")


def replica_rows(scenario: Scenario) -> dict[str, slice]:
    """Rows of each service's replicas in every array of replicas."""
    ends = np.cumsum([service.replicas for service in scenario.services.values()]).tolist()
    return {name: slice(end - s.replicas, end) for (name, s), end in zip(scenario.services.items(), ends, strict=True)}


def settings(scenario: Scenario, field: str) -> np.ndarray:
    """Spread a setting of the services over their replicas, shape (replicas, 1)."""
    values = [getattr(service, field) for service in scenario.services.values() for _ in range(service.replicas)]
    return np.array(values, dtype=float)[:, None]


def placement(scenario: Scenario) -> dict[str, str]:
    """Host of each replica that has one."""
    place = {}
    for name, service in scenario.services.items():
        for k in range(service.replicas if service.runs_on else 0):
            place[f"{name}-{k + 1}"] = service.runs_on[k % len(service.runs_on)]
    return place


def host_rows(scenario: Scenario) -> np.ndarray:
    """Row of the host of each replica, -1 without one."""
    row, place = {name: k for k, name in enumerate(scenario.hosts)}, placement(scenario)
    return np.array([row[place[e]] if e in place else -1 for e in scenario.replicas()])


def spread(scenario: Scenario, asked: dict[str, np.ndarray], served: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Carry requests down the calls: what a caller takes in it asks of those that it calls, times their ratio."""
    order = list(scenario.services)
    flow = {name: asked.get(name, 0.0) for name in order}
    for name in reversed(scenario.order()):
        through = 1.0 if served is None else served[order.index(name)]
        for other, ratio in scenario.services[name].calls.items():
            flow[other] = flow[other] + flow[name] * ratio * through
    return flow


def routing(scenario: Scenario, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spread a service's requests over the replicas that answered their health check one sample ago.

    Returns the share of each replica, shape (replicas, samples), and the share of each service's requests that reach
    a replica that is away, shape (services, samples).
    """
    seen = np.zeros_like(down)
    seen[:, 1:] = down[:, :-1]
    share, lost = np.empty(down.shape), np.empty((len(scenario.services), down.shape[1]))
    for k, here in enumerate(replica_rows(scenario).values()):
        alive = ~seen[here]
        alive = np.where(alive.any(axis=0), alive, True)  # when all are away, requests still go somewhere, and fail
        share[here] = alive / alive.sum(axis=0)
        lost[k] = (share[here] * down[here]).sum(axis=0)
    return share, lost


def climb(
    scenario: Scenario, share: np.ndarray, down: np.ndarray, own: np.ndarray, fails: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry latency and failures up the calls: a caller waits for those that it calls and fails with them."""
    rows = replica_rows(scenario)
    p99, failing, upstream = own.copy(), fails.copy(), np.zeros_like(own)
    slowness: dict[str, np.ndarray] = {}
    refused: dict[str, np.ndarray] = {}
    for name in scenario.order():
        service, here = scenario.services[name], rows[name]
        below = np.zeros(own.shape[1])
        passed = np.zeros(own.shape[1])
        for other, ratio in service.calls.items():
            below = below + min(ratio, 1.0) * slowness[other] ** MIX_POWER
            passed = any_of(passed, 1 - (1 - refused[other] ** (1 + service.retries)) ** ratio)
        p99[here] = own[here] + below ** (1 / MIX_POWER)
        upstream[here] = passed
        late = 0.01 * (p99[here] / service.timeout) ** TAIL_INDEX
        failing[here] = any_of(fails[here], upstream[here], np.clip(late, 0, LATE_MOST))
        p99[here] = np.minimum(p99[here], service.timeout)
        answering = share[here] * ~down[here]
        weight = answering / np.maximum(answering.sum(axis=0), 1e-12)
        slowness[name] = (weight * p99[here] ** MIX_POWER).sum(axis=0) ** (1 / MIX_POWER)
        refused[name] = np.clip((share[here] * np.where(down[here], 1.0, failing[here])).sum(axis=0), 0, 1)
    return p99, failing, upstream


def any_of(*chances: np.ndarray) -> np.ndarray:
    """Probability that at least one of several independent things happens."""
    none = np.ones_like(chances[0])
    for chance in chances:
        none = none * (1 - np.clip(chance, 0, 1))
    return 1 - none
