"""What a trace is cut from: seconds in health and seconds in fault, of recordings or drawn, entity by entity."""

from __future__ import annotations

__all__ = ["AT", "BAD", "COLUMNS", "COUNTERS", "TOTAL", "Material", "World", "cut", "drawn", "recorded", "slow_share"]

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import norm

from stability.schema import ContractError

COLUMNS = (
    "up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_threads",
    "http_server_active_requests", "model_queue_depth", "model_batch_size", "model_predictions_total",
    "model_cache_hits_total", "model_cache_misses_total", "model_prediction_quality_ratio",
    "db_client_connections_used", "db_client_connections_pending_requests", "system_filesystem_utilization_ratio",
    "http_server_requests_total", "http_server_errors_total", "http_server_request_duration_seconds_p50",
    "http_server_request_duration_seconds_p99", "~total", "~bad",
)  # fmt: skip
AT = {name: k for k, name in enumerate(COLUMNS)}
COUNTERS = [k for k, name in enumerate(COLUMNS) if name.endswith("_total")]
TOTAL, BAD = AT["~total"], AT["~bad"]  # requests of the second, and the share of them that was not served well
SLOW = 0.25  # s: an answer that comes later is no good answer, as the testbed's service level has it
GAP = 8  # s around whatever befell the service that are not health: its way in and its way out
BLOCK = (20, 60)  # s of health that are kept together
SHOWS = 0.03  # share of bad requests of users in a fault that is used: what hardly shows proves nothing
CLEARLY = 0.05  # share of bad answers in a second of a neighbour that has fallen ill
LEAST = 10  # s of them
LONGEST = 300  # s of the true past that may stand before a recorded fault
NEIGHBOURS = {
    "model-a": ("model-b", "gateway"), "model-b": ("model-a", "gateway"), "gateway": ("model-a", "model-b"),
    "feature-store": ("model-a", "model-b", "gateway"),
}  # fmt: skip
REPLICA = ("model-a", "model-b")


@dataclass(frozen=True)
class World:
    """Seconds in health and in fault of all entities of one trace, counters as increments.

    Parameters
    ----------
    entity : str
        What was repaired.
    neighbours : tuple of str
        What the repair may hurt.
    mode : str
        What befell the entity.
    quiet, faulty, ill : mapping of str to ndarray of shape (steps, len(COLUMNS))
        The seconds in health, in this fault, and (of the first neighbour at least) in a fault of its own.
    calm : ndarray of bool, shape (steps,)
        Whether nothing had befallen the service in that second of `quiet`.
    past : {'drawn', 'health', 'lived'}
        What stands before the fault: drawn health, spliced health, or the true past with the faults in it.
    ended : tuple of int
        Steps at which earlier faults of that past were ended, by whoever injected them.
    """

    entity: str
    neighbours: tuple[str, ...]
    mode: str
    quiet: Mapping[str, np.ndarray]
    faulty: Mapping[str, np.ndarray]
    ill: Mapping[str, np.ndarray]
    calm: np.ndarray
    past: str = "drawn"
    ended: tuple[int, ...] = ()


@dataclass(frozen=True)
class Material:
    """Recordings as rows of :data:`COLUMNS`, with what is health in them and where the faults are.

    Parameters
    ----------
    rows : mapping of str to ndarray of shape (seconds, len(COLUMNS))
    runs : list of (int, int)
        First and last but one second of each stretch of health.
    faults : DataFrame
        Columns mode, entity, cause, start, stop: seconds at which the cause began, users felt it, and it ended.
    ends : ndarray of int
        Seconds at which the cause of any fault was taken away.
    """

    rows: Mapping[str, np.ndarray]
    runs: list[tuple[int, int]]
    faults: pd.DataFrame
    ends: np.ndarray


def slow_share(p50: np.ndarray, p99: np.ndarray) -> np.ndarray:
    """Give the share of answers later than 0.25 s, on the log-normal through the two percentiles; 0 where unknown.

    Examples
    --------
    >>> slow_share(np.array([0.01, 0.25]), np.array([0.02, 1.0])).round(3).tolist()
    [0.0, 0.5]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.maximum(np.log(p99 / p50) / norm.ppf(0.99), 1e-3)
        share = norm.sf(np.log(SLOW / p50) / spread)
    return np.nan_to_num(np.where(share < 1e-3, 0.0, share))


def recorded(tables: Mapping[str, pd.DataFrame]) -> Material:
    """Cut recordings of the testbed into health and faults.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        `telemetry`, `faults` and `benign` of the testbed, a row a second, as `datasets.load("testbed")` gives them.

    Returns
    -------
    Material

    Raises
    ------
    ContractError
        When an entity of the testbed is missing.
    """
    panel = tables["telemetry"]
    lacking = {"users", *NEIGHBOURS} - set(panel.index.get_level_values("entity"))
    if lacking:
        raise ContractError(f"Recoveries are cut from recordings of the testbed; these have no {sorted(lacking)}.")
    stamps = panel.loc["gateway"].index
    rows = {entity: _rows(panel, entity, stamps) for entity in NEIGHBOURS}
    for name, told in (("quiet", "benign"), ("faults", "faults")):
        if told not in tables:
            raise ContractError(f"The table {told!r} is needed to know what is {name}.")
    calm = np.ones(len(stamps), dtype=bool)
    seconds = lambda moments: ((moments - stamps[0]).dt.total_seconds()).to_numpy()  # noqa: E731
    faults, benign = tables["faults"], tables["benign"]
    over = faults["recovered_at"].fillna(faults["cause_end"])
    spans = [*zip(seconds(faults["cause_start"]), seconds(over), strict=True)]
    spans += [*zip(seconds(benign["start"]), seconds(benign["end"]), strict=True)]
    for first, last in spans:
        calm[max(int(first) - 2, 0) : int(last) + GAP] = False
    edges = np.flatnonzero(np.diff(np.r_[0, calm.astype(int), 0]))
    runs = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= BLOCK[0]]
    felt = faults[faults["impact_start"].notna() & (faults["entity"] == faults["root_entity"])]
    told = pd.DataFrame(
        {
            "mode": felt["failure_mode"].to_numpy(),
            "entity": felt["root_entity"].to_numpy(),
            "cause": seconds(felt["cause_start"]).astype(int),
            "start": np.ceil(seconds(felt["impact_start"])).astype(int) + 2,
            "stop": seconds(felt["cause_end"]).astype(int),
        }
    )
    hurt = [
        np.nanmean(rows["gateway"][a:b, BAD]) if b - a >= 8 else 0.0
        for a, b in zip(told["start"], told["stop"], strict=True)
    ]
    shows = np.array(hurt) >= SHOWS
    return Material(rows, runs, told[shows].reset_index(drop=True), np.unique(seconds(faults["cause_end"]).astype(int)))


def _rows(panel: pd.DataFrame, entity: str, stamps: pd.DatetimeIndex) -> np.ndarray:
    own, users = panel.loc[entity].reindex(stamps), panel.loc["users"].reindex(stamps)
    table = np.full((len(stamps), len(COLUMNS)), np.nan)
    for k, name in enumerate(COLUMNS[:-2]):
        values = own[name].to_numpy()
        if k in COUNTERS:
            steps = np.diff(values, prepend=values[0])
            values = np.where(steps < 0, np.nan, steps)
        table[:, k] = values
    if entity == "gateway":  # what users see, not what the gateway says
        slow = slow_share(
            users["service_latency_seconds_p50"].to_numpy(), users["service_latency_seconds_p99"].to_numpy()
        )
        table[:, TOTAL] = users["service_requests"].to_numpy()
        table[:, BAD] = np.clip(1 - users["service_availability_ratio"].to_numpy() * (1 - slow), 0, 1)
        return table
    p50, p99 = (table[:, AT[f"http_server_request_duration_seconds_{p}"]] for p in ("p50", "p99"))
    table[:, TOTAL] = table[:, AT["http_server_requests_total"]]
    with np.errstate(invalid="ignore", divide="ignore"):
        failed = np.clip(table[:, AT["http_server_errors_total"]] / table[:, TOTAL], 0, 1)
    table[:, BAD] = np.clip(1 - (1 - np.nan_to_num(failed)) * (1 - slow_share(p50, p99)), 0, 1)
    return table


def cut(material: Material, rng: np.random.Generator, steps: int, impact: int, *, replica: bool, lived: bool) -> World:
    """Splice one world out of a recording.

    Parameters
    ----------
    material : Material
    rng : numpy.random.Generator
    steps, impact : int
        Length, and the step at which users begin to feel the fault.
    replica : bool
        Whether the fault has to be one of a replica.
    lived : bool
        Whether the true past of the fault, with all that happened in it, stands before it, instead of health alone.

    Returns
    -------
    World
    """
    known = material.faults
    known = known[known["entity"].isin(REPLICA)] if replica else known
    modes = sorted(set(zip(known["mode"], known["entity"], strict=True)))
    mode, entity = modes[rng.integers(len(modes))]
    alike = known[(known["mode"] == mode) & (known["entity"] == entity)].sample(frac=1, random_state=rng)
    first = alike.iloc[0]
    health, begun = _health(material, rng, steps), int(first["start"])
    past = np.arange(begun - (min(impact, LONGEST) if lived else min(begun - int(first["cause"]), 40)), begun)
    past = past[past >= 0]
    if len(past):
        health[impact - len(past) : impact] = past
    sick = [np.arange(int(row.start), int(row.stop)) for row in alike.itertuples()]
    ill = np.concatenate([*sick, *(sick[k] for k in rng.integers(len(sick), size=steps // 8))])
    at = np.r_[np.zeros(impact, dtype=int) + ill[0], ill][:steps]
    own = {name: _ill(material, rng, name, steps) for name in NEIGHBOURS[entity][:1]}
    take = lambda where: {name: rows[where].copy() for name, rows in material.rows.items()}  # noqa: E731
    calm = np.zeros(len(material.rows["gateway"]), dtype=bool)
    for begin, end in material.runs:
        calm[begin:end] = True
    over = impact - begun + material.ends[(material.ends >= past[0]) & (material.ends < begun)] if lived else ()
    kind = "lived" if lived else "health"
    return World(
        entity, NEIGHBOURS[entity], mode, take(health), take(at), own, calm[health], kind, tuple(map(int, over))
    )


def _ill(material: Material, rng: np.random.Generator, entity: str, steps: int) -> np.ndarray:
    """Seconds of an entity in one mode of its own whose process still answers, mixed, so that it stays equally ill."""
    rows, its = material.rows[entity], material.faults[material.faults["entity"] == entity]
    known = {}
    for mode, faults in its.groupby("mode"):
        seconds = np.concatenate([np.arange(a, b) for a, b in zip(faults["start"], faults["stop"], strict=True)])
        answered = np.isfinite(rows[seconds, TOTAL]) & (rows[seconds, AT["up"]] == 1)
        bad = seconds[answered & (np.nan_to_num(rows[seconds, BAD]) >= CLEARLY)]
        if len(bad) >= LEAST:
            known[mode] = bad
    if not known:
        raise ContractError(f"No fault of {entity} in these recordings shows for {LEAST} s while it answers.")
    bad = known[sorted(known)[rng.integers(len(known))]]
    begins = rng.integers(len(bad) - 4, size=steps // 4 + 1)
    return rows[bad[(begins[:, None] + np.arange(4)).ravel()[:steps]]].copy()


def _health(material: Material, rng: np.random.Generator, steps: int) -> np.ndarray:
    chosen, length = [], 0
    while length < steps:
        first, last = material.runs[rng.integers(len(material.runs))]
        size = min(int(rng.integers(*BLOCK)), last - first)
        begin = int(rng.integers(first, last - size + 1))
        chosen.append(np.arange(begin, begin + size))
        length += size
    return np.concatenate(chosen)[:steps]


LEVELS = {  # of a replica in health, of the order that the testbed shows; counters a second
    "up": 1.0, "process_cpu_seconds_total": 0.1, "process_resident_memory_bytes": 2.8e8, "process_open_fds": 20.0,
    "process_threads": 3.0, "http_server_active_requests": 0.5, "model_queue_depth": 0.3, "model_batch_size": 1.06,
    "model_prediction_quality_ratio": 0.89, "db_client_connections_used": 0.3,
    "db_client_connections_pending_requests": 0.0, "system_filesystem_utilization_ratio": 0.004,
    "http_server_request_duration_seconds_p50": 0.008, "http_server_request_duration_seconds_p99": 0.025,
}  # fmt: skip
SPREADS = {
           "process_cpu_seconds_total": 0.25, "process_resident_memory_bytes": 0.02, "process_open_fds": 0.1,
           "model_batch_size": 0.02, "model_prediction_quality_ratio": 0.02,
           "http_server_request_duration_seconds_p50": 0.06, "http_server_request_duration_seconds_p99": 0.25,
}  # fmt: skip
COUNTED = ("http_server_active_requests", "model_queue_depth", "db_client_connections_used")
EFFECTS: Mapping[str, Mapping[str, float]] = {  # factor on a level; ~failed: share of requests
    "errors": {"~failed": 0.35, "http_server_active_requests": 4},
    "few_errors": {"~failed": 0.12},
    "slow": {"http_server_request_duration_seconds_p50": 12, "http_server_request_duration_seconds_p99": 30,
             "http_server_active_requests": 15, "model_queue_depth": 10},
    "pool": {"~failed": 0.5, "db_client_connections_used": 30, "http_server_request_duration_seconds_p99": 24,
             "http_server_active_requests": 25},
    "saturated": {"process_cpu_seconds_total": 9, "http_server_request_duration_seconds_p50": 20,
                  "http_server_request_duration_seconds_p99": 40, "process_threads": 4},
    "down": {"up": 0, "~failed": 0.3},
}  # fmt: skip
PENDING = 10.0  # requests that wait for a connection in a fault of the pool


def drawn(rng: np.random.Generator, steps: int, *, replica: bool) -> World:
    """Draw one world: correlated noise, a season, heavy tails and bursts about the levels of the testbed.

    Parameters
    ----------
    rng : numpy.random.Generator
    steps : int
    replica : bool
        Whether the fault has to be one of a replica.

    Returns
    -------
    World
    """
    entity = str(rng.choice(REPLICA)) if replica else str(rng.choice([*REPLICA, *REPLICA, "gateway", "feature-store"]))
    mode, other = str(rng.choice(sorted(EFFECTS))), str(rng.choice(["errors", "slow", "pool"]))
    time, rate = np.arange(steps), rng.uniform(30, 90)
    season = 1 + rng.uniform(0.1, 0.4) * np.sin(2 * np.pi * (time / rng.uniform(200, 700) + rng.random()))
    load = (
        rate * season * np.exp(_noise(rng, steps, 0.9, 0.08)) * (1 + (rng.random(steps) < 0.01) * rng.exponential(0.5))
    )
    seeds = rng.integers(2**32, size=3)
    quiet = {name: _drawn_rows(rng, name, load, {}) for name in NEIGHBOURS}
    at_fault = {entity, "gateway", *(NEIGHBOURS[entity] if entity == "feature-store" else ())}
    faulty = {
        name: _drawn_rows(np.random.default_rng([seeds[0], k]), name, load, _felt(mode, name, entity))
        if name in at_fault else quiet[name].copy()
        for k, name in enumerate(NEIGHBOURS)
    }  # fmt: skip
    ill = {
        name: _drawn_rows(np.random.default_rng([seeds[1], k]), name, load, EFFECTS[other])
        for k, name in enumerate(NEIGHBOURS)
    }
    return World(entity, NEIGHBOURS[entity], mode, quiet, faulty, ill, np.ones(steps, dtype=bool))


def _felt(mode: str, name: str, entity: str) -> Mapping[str, float]:
    own = EFFECTS[mode]
    if name == entity:
        return own
    share = 0.5 if entity in REPLICA and name == "gateway" else 1.0  # a replica answers half of the requests
    felt = {key: value for key, value in own.items() if "duration" in key}
    return felt | ({"~failed": own["~failed"] * share} if "~failed" in own else {})


def _noise(rng: np.random.Generator, steps: int, memory: float, sigma: float) -> np.ndarray:
    shocks = rng.standard_t(4, steps + 50) / np.sqrt(2)  # four degrees of freedom: tails as heavy as latency has
    return lfilter([sigma * np.sqrt(1 - memory**2)], [1, -memory], shocks)[50:]


def _drawn_rows(rng: np.random.Generator, entity: str, load: np.ndarray, effects: Mapping[str, float]) -> np.ndarray:
    steps, rows = len(load), np.full((len(load), len(COLUMNS)), np.nan)
    for name, level in LEVELS.items():
        if name.startswith(("model_", "db_", "system_")) and entity not in REPLICA:
            continue
        mean = level * effects.get(name, 1.0) * (1.2 if entity == "gateway" else 1.0)
        values = mean * np.exp(_noise(rng, steps, 0.6, SPREADS.get(name, 0.0)))
        rows[:, AT[name]] = rng.poisson(np.maximum(mean, 0), steps) if name in COUNTED else values
    rows[:, AT["up"]] = effects.get("up", 1.0)
    if "db_client_connections_used" in effects and entity in REPLICA:
        rows[:, AT["db_client_connections_pending_requests"]] = rng.poisson(PENDING, steps)
    quality = AT["model_prediction_quality_ratio"]
    rows[:, quality] = np.minimum(rows[:, quality], 1.0)
    requests = rng.poisson(load * (0.5 if entity in REPLICA else 1.0)).astype(float)
    failed = rng.binomial(requests.astype(int), effects.get("~failed", 0.0003)).astype(float)
    rows[:, AT["http_server_requests_total"]], rows[:, AT["http_server_errors_total"]] = requests, failed
    if entity in REPLICA:
        hits = rng.binomial(requests.astype(int), 0.44)
        rows[:, AT["model_predictions_total"]] = requests - failed
        rows[:, AT["model_cache_hits_total"]], rows[:, AT["model_cache_misses_total"]] = hits, requests - hits
    p50, p99 = (rows[:, AT[f"http_server_request_duration_seconds_{p}"]] for p in ("p50", "p99"))
    rows[:, TOTAL] = requests
    rows[:, BAD] = 1 - (1 - failed / np.maximum(requests, 1)) * (1 - slow_share(p50, p99))
    if effects.get("up") == 0:  # it answers no scrape; what users get of a gateway is seen without it
        seen = (AT["up"], *((TOTAL, BAD) if entity == "gateway" else ()))
        rows[:, [k for k in range(len(COLUMNS)) if k not in seen]] = np.nan
    return rows
