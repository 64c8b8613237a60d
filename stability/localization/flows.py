r"""What a node's trouble adds to those who call it: seconds of waiting, failed requests, and whose own they are.

A caller waits for those it calls, so a slow node makes its callers slow, and their callers. Deviations alone cannot
tell the root from those who suffer; sums can. With :math:`n` the requests of a node and :math:`r` its seconds (or
failures) per request, inside of the alarm's stretch against outside of it, the node's excess is

.. math:: R_i = n_i \, (r_i^{in} - r_i^{out}), \qquad own_i = R_i - \sum_j \beta_{ij} R_j

over the nodes j that it calls, with :math:`\beta_{ij}` the caller's share of the requests of all of j's callers: the
seconds that are not explained by waiting for others. More requests at the same seconds each are the caller's doing and
no excess; a node that has requests only since the fault began is called by its caller's doing too.

When it began is read off the alarm's own seconds, since all waiting ends there. Failed requests need not end there: a
caller may catch them and answer all the same. Their stretch is the one in which they are clearest at any node that the
alarm's entity depends on.
"""

from __future__ import annotations

__all__ = ["FLOWS", "Excess", "excess", "usual_flows"]

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pandas as pd

from stability.localization.onset import GAUSS, LEAST, Grid, contrasts, grid_of, stretches

REQUESTS = "service_requests"
FLOWS = {"service_latency_seconds_mean": "seconds", "service_availability_ratio": "failures"}
TRAFFIC = 0.5  # share of normal rows with requests from which a node belongs to the usual traffic
FLOOR = 0.03  # of a node's own seconds per request: a change below it says nothing
EXTRA = 0.5  # failures that any node may have without a reason


@dataclass(frozen=True)
class Excess:
    """One flow of one case: arrays over `entities`.

    Parameters
    ----------
    entities : Index
        The nodes.
    stretch : tuple of int
        First row of the alarm's stretch, and the row after its last.
    total, own, noise : arrays of float64
        Excess of each node, its own part, and the standard deviation of the former on normal data; NaN not known.
    called : array of float64
        The greatest excess among those it calls, in standard deviations.
    new : array of bool
        Called only since the stretch began.
    near : array of bool
        The alarm's entity, and whoever it depends on.
    """

    entities: pd.Index
    stretch: tuple[int, int]
    total: np.ndarray
    own: np.ndarray
    noise: np.ndarray
    called: np.ndarray
    new: np.ndarray
    near: np.ndarray

    @property
    def clearest(self) -> float:
        """The largest excess, in standard deviations, among the alarm's entity and those it depends on; 0 at least."""
        return float(np.max(np.nan_to_num(self.total / self.noise), where=self.near, initial=0.0))


def rates(grid: Grid, flow: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Requests and flow per request, shape (rows, entities), NaN where a node is absent; None without such a flow."""
    column = next(name for name, own in FLOWS.items() if own == flow)
    if column not in grid.metrics or REQUESTS not in grid.metrics:
        return None
    per = grid.of(column)
    return grid.of(REQUESTS), 1.0 - per if flow == "failures" else per


def usual_flows(normal: pd.DataFrame) -> pd.DataFrame:
    """Levels and noise of each node's flows in normal time.

    Parameters
    ----------
    normal : DataFrame
        Panel with `service_requests` and a mean of latency, an availability, or both.

    Returns
    -------
    DataFrame, index entity
        `requests` (median a row), `used` (share of rows with requests), and of each flow `<flow>` (per request) with
        its noise `<flow>_scale` between rows.
    """
    nodes: dict[str, dict[str, float]] = {}
    grid = grid_of(normal)
    for flow in FLOWS.values():
        found = rates(grid, flow)
        if found is None:
            continue
        requests, per = found
        level, spread = _spread(per, requests)
        for i, entity in enumerate(grid.entities):
            own = requests[np.isfinite(requests[:, i]), i]  # pieces of normal time may hold other nodes
            known = nodes.setdefault(entity, {})
            known["requests"], known["used"] = (
                (float(np.median(own)), float((own > 0).mean())) if len(own) else (0.0, 0.0)
            )
            known[flow], known[f"{flow}_scale"] = float(level[i]), float(spread[i])
    columns = ["requests", "used", *(f"{flow}{end}" for flow in FLOWS.values() for end in ("", "_scale"))]
    frame = pd.DataFrame.from_dict(nodes, orient="index", columns=columns).rename_axis("entity")
    return frame.astype("float64")


def _spread(per: np.ndarray, requests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level and noise of each node's flow per request; a robust spread of 0 gives way to that of the middle 90 %."""
    level, spread = np.full(per.shape[1], np.nan), np.full(per.shape[1], np.nan)
    for i in range(per.shape[1]):
        own = per[np.isfinite(per[:, i]) & (requests[:, i] > 0), i]
        if len(own) >= 5:
            level[i] = np.median(own)
            low, high = np.quantile(own, [0.05, 0.95])
            spread[i] = max(GAUSS * np.median(np.abs(own - level[i])), (high - low) / 3.29)
    return level, spread


def calls(topology: pd.DataFrame, place: dict[str, int]) -> dict[str, list[str]]:
    """Caller -> those it calls, both known."""
    found: dict[str, list[str]] = {}
    for caller, called in topology.index:
        if caller in place and called in place:
            found.setdefault(caller, []).append(called)
    return found


def shares(topology: pd.DataFrame, place: dict[str, int], usual: np.ndarray) -> dict[tuple[str, str], float]:
    """The share of a node's callers' requests that each of them has: all, where there is one."""
    callers: dict[str, list[str]] = {}
    for caller, names in calls(topology, place).items():
        for name in names:
            callers.setdefault(name, []).append(caller)
    found = {}
    for name, own in callers.items():
        total = sum(usual[place[one]] for one in own)
        found |= {(one, name): float(usual[place[one]] / total) if total > 0 else 1.0 / len(own) for one in own}
    return found


def excess(
    telemetry: pd.DataFrame | Grid,
    flow: str,
    target: str,
    topology: pd.DataFrame | None,
    usual: pd.DataFrame,
    least: int = LEAST,
    stretch: tuple[int, int] | None = None,
) -> Excess | None:
    """Take the excess of each node during the alarm's stretch apart into its own and what it waits for.

    Parameters
    ----------
    telemetry : DataFrame
        Panel of the case, or its grid.
    flow : {'seconds', 'failures'}
    target : str
        Entity of the alarm: its seconds find the stretch, where none is given; its failures, or those of whoever it
        depends on, where they are clearest.
    topology : DataFrame or None
        The calls.
    usual : DataFrame
        Of normal time, from `usual_flows`; may be empty.
    least : int
        Rows that a change lasts.
    stretch : tuple of int, optional
        First row, and the row after the last.

    Returns
    -------
    Excess or None
        None where the case has too few rows, or nothing of this flow.
    """
    grid = telemetry if isinstance(telemetry, Grid) else grid_of(telemetry)
    found = rates(grid, flow)
    if found is None:
        return None
    requests, per, entities = np.nan_to_num(found[0]), found[1], grid.entities
    nodes = usual.reindex(entities)
    parts = stretches(len(requests), least)
    if not len(parts) or (stretch is None and target not in entities):
        return None
    near = _near(entities, topology, target)
    if stretch is None:
        own = per[:, entities.get_loc(target)]
        if not np.isfinite(own).any():
            return None
        score = _alarmed(own, parts) if flow == "seconds" else _clearest(flow, requests, per, nodes, near, parts)
        if np.isnan(score).all():
            return None
        stretch = tuple(int(x) for x in parts[int(np.nanargmax(score))])
    total, noise, new = _apart(flow, requests, per, nodes, stretch)
    own, called = _own(total, noise, entities, topology, requests.mean(axis=0))
    return Excess(entities, stretch, total, own, noise, called, new, near)


def _near(entities: pd.Index, topology: pd.DataFrame | None, target: str) -> np.ndarray:
    graph = nx.DiGraph() if topology is None else nx.DiGraph(list(topology.index))
    return entities.isin({target, *(nx.descendants(graph, target) if target in graph else ())})


def _alarmed(own: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """How clear the alarm's own change is in each stretch."""
    difference, error = contrasts(own[:, None], parts)
    return (difference / error)[:, 0]


def _clearest(flow: str, requests, per, nodes: pd.DataFrame, near: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """How clear the change of the node is that shows it best, in each stretch."""
    each = [_apart(flow, requests, per, nodes, tuple(part)) for part in parts.tolist()]
    return np.array([np.max(np.nan_to_num(total / noise), where=near, initial=0.0) for total, noise, _ in each])


def _apart(flow: str, requests, per, nodes: pd.DataFrame, stretch: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Excess of each node in a stretch, its noise, and whether the node is called only since then."""
    inside = np.zeros(len(requests), dtype=bool)
    inside[slice(*stretch)] = True
    flowing = np.nan_to_num(per) * requests
    n_in, n_out = requests[inside].sum(axis=0), requests[~inside].sum(axis=0)
    served = nodes["used"].fillna(0.0).to_numpy() >= TRAFFIC
    with np.errstate(divide="ignore", invalid="ignore"):
        r_in, r_out = flowing[inside].sum(axis=0) / n_in, flowing[~inside].sum(axis=0) / n_out
    r_out = np.where(n_out > 0, r_out, np.where(served, nodes[flow].to_numpy(), np.nan))
    total = np.where(n_in > 0, n_in * (r_in - r_out), 0.0)
    noise = _noise(flow, per, n_in, n_out, r_out, inside, nodes)
    new = (n_in > 0) & (n_out == 0) & ~served
    return np.where(new | np.isnan(total), 0.0, total), noise, new


def _noise(flow, per, n_in, n_out, r_out, inside, nodes) -> np.ndarray:
    """Standard deviation of a node's excess if nothing had happened."""
    error = np.sqrt(1 / inside.sum() + 1 / (~inside).sum())
    spread = nodes[f"{flow}_scale"].to_numpy()
    if flow == "failures":
        usual = np.fmax(np.nan_to_num(r_out), np.nan_to_num(nodes[flow].to_numpy()))
        fair = np.clip((usual * n_out + EXTRA) / (n_out + 2 * EXTRA), 1e-6, 0.5)
        counted = n_in * fair * (1 - fair) * (1 + n_in / np.maximum(n_out, 1))
        return np.sqrt(counted + (n_in * np.nan_to_num(spread) * error) ** 2 + EXTRA**2)
    level = np.where(np.isfinite(r_out), r_out, 0.0)
    known = spread / nodes[flow].to_numpy() * level  # noise grows with the level, which differs between months
    typical = np.nanmedian(spread / nodes[flow].to_numpy()) if np.isfinite(spread).any() else 0.1
    known = np.where(np.isfinite(known), known, 2 * typical * level)
    return n_in * np.maximum(known, FLOOR * level) * error + 1e-9


def _own(total, noise, entities, topology, requests) -> tuple[np.ndarray, np.ndarray]:
    """Each node's excess without that of those it calls, as far as theirs is more than noise."""
    place = {entity: i for i, entity in enumerate(entities)}
    sure = total * np.clip(1 - (noise / np.maximum(np.abs(total), 1e-12)) ** 2, 0.0, 1.0)
    own, called = total.copy(), np.zeros(len(total))
    if topology is None:
        return own, called
    part = shares(topology, place, requests)
    for (caller, name), share in part.items():
        i, j = place[caller], place[name]
        own[i] -= share * max(sure[j], 0.0)
        called[i] = max(called[i], total[j] / noise[j])
    return own, called
