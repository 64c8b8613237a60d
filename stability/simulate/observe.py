"""What the monitoring sees of the fleet: counters, gauges, sampling noise, gaps and rounding."""

from __future__ import annotations

__all__ = ["METRICS", "observe"]

import numpy as np
import pandas as pd

from stability.schema import validate
from stability.simulate.fleet import BASE_ERRORS, Fleet
from stability.simulate.streams import autocorrelated, stream
from stability.simulate.topology import settings

SERVICE_METRICS = (
    "http_server_requests_total",
    "http_server_errors_total",
    "http_server_request_duration_seconds_p99",
    "http_server_active_requests",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "model_queue_depth",
    "vllm_kv_cache_usage_ratio",
    "model_prediction_quality_ratio",
    "model_prediction_confidence_ratio",
    "feature_drift_psi",
    "feature_missing_ratio",
)
HOST_METRICS = (
    "system_cpu_utilization_ratio",
    "system_memory_utilization_ratio",
    "system_filesystem_utilization_ratio",
    "system_network_errors_total",
    "gpu_utilization_ratio",
    "gpu_temperature_celsius",
    "gpu_sm_clock_hertz",
)
METRICS = ("up", *SERVICE_METRICS, *HOST_METRICS)
"""Names of all simulated metrics; units and meanings stand in data/metrics.yaml."""

DIGITS = 4  # significant digits of a gauge: finer than any sensor, and small on disk
MISSED = 3e-4  # share of scrapes that time out on a good day
CORES = {"gateway": 4.0, "model_server": 8.0, "feature_store": 4.0}  # cores that a replica uses at full load
IDLE_CORES = 0.15
CLOCK_HZ = 1.98e9  # the highest SM clock of a current data-centre GPU
PACKETS_PER_S = 400.0  # at full load of a host
STRAY_ERRORS_PER_S = 0.03
USUAL_LOAD = 0.4  # share of the capacity, over day and night
JUDGED = 0.1  # share of the answers that somebody or something judges
JUDGED_OVER_S = 600.0  # the quality is that of the answers judged in the last ten minutes
JUDGED_LEAST = 5  # with fewer judged it is not given
UPTIME_S = (2e5, 2e6)  # how long the processes had been running before the record begins


def observe(fleet: Fleet) -> pd.DataFrame:
    """Measure the fleet.

    Parameters
    ----------
    fleet : Fleet
        What happened.

    Returns
    -------
    DataFrame
        The contract's panel with the columns `METRICS`, one row an entity and sample; NaN where an entity has no such
        metric, was away, or its exporter was silent (then `up` is 0).
    """
    entities, length = fleet.replicas + fleet.hosts, fleet.length
    values = {name: np.full((len(entities), length), np.nan) for name in METRICS}
    count = len(fleet.replicas)
    for name, array in _services(fleet).items():
        values[name][:count] = array
    for name, array in _hosts(fleet).items():
        values[name][count:] = array
    seen = ~fleet.effects.down & (fleet.effects.driver("blind") == 0) & ~_missed(fleet, entities, length)
    values["up"] = seen.astype(float)
    for name in METRICS[1:]:
        values[name] = np.where(seen, values[name], np.nan)
    _set_clocks(fleet, values)
    order = sorted(range(len(entities)), key=lambda k: entities[k])
    stamps = fleet.scenario.start + pd.to_timedelta(np.arange(length) * fleet.scenario.step, unit="s")
    index = pd.MultiIndex.from_product([[entities[k] for k in order], stamps], names=["entity", "timestamp"])
    panel = pd.DataFrame({name: array[order].ravel() for name, array in values.items()}, index=index)
    return validate(panel, "telemetry")


def _missed(fleet: Fleet, entities: list[str], length: int) -> np.ndarray:
    return np.vstack([stream(fleet.seed, "scrape", name).random(length) < MISSED for name in entities])


def _set_clocks(fleet: Fleet, values: dict[str, np.ndarray]) -> None:
    """Move the samples of an entity whose clock runs ahead to the times that they carry.

    When it jumps ahead nothing carries the next times; when it is set back samples come with times that are taken, and
    the first ones stay.
    """
    step, rows = fleet.scenario.step, {row for row, *_ in fleet.effects.skews}
    for row in sorted(rows):
        stamps = np.arange(fleet.length)
        for _, start, end, ahead in (skew for skew in fleet.effects.skews if skew[0] == row):
            stamps[int(np.ceil(start / step)) : int(np.ceil(end / step))] += int(ahead // step)
        first = np.append(True, stamps[1:] > np.maximum.accumulate(stamps)[:-1]) & (stamps < fleet.length)
        for name, array in values.items():
            shown = np.full(fleet.length, 0.0 if name == "up" else np.nan)
            shown[stamps[first]] = array[row, first]
            array[row] = shown


def _services(fleet: Fleet) -> dict[str, np.ndarray]:
    scenario, seed, names, length = fleet.scenario, fleet.seed, fleet.replicas, fleet.length
    step, away = scenario.step, fleet.effects.down[: len(fleet.replicas)]
    role = [scenario.services[service].role for service in scenario.replicas().values()]
    model = np.array([r == "model_server" for r in role])[:, None]
    due = np.where(away, 0.0, fleet.arrivals) * step
    requests, errors, quantile, good = (np.empty_like(due) for _ in range(4))
    for k, name in enumerate(names):
        # A stream for each: how many draws a Poisson number takes depends on its mean, and what happens at one moment
        # must not reshuffle what is drawn for another.
        requests[k] = stream(seed, "requests", name).poisson(due[k])
        failing = np.clip(fleet.failing[k], 0, 1)
        errors[k] = stream(seed, "errors seen", name).binomial(requests[k].astype(np.int64), failing)
        scatter = 0.02 + 0.6 / np.sqrt(np.maximum(requests[k], 1.0))  # of the sample quantile of so many requests
        quantile[k] = stream(seed, "quantile", name).standard_normal(length) * scatter
        good[k] = _judged(fleet, name, requests[k], fleet.answers.wrong[k])
    rate, cores = USUAL_LOAD * settings(scenario, "capacity"), np.array([[CORES[r]] for r in role])
    jitter = np.exp(autocorrelated(seed, "cores", names, length, memory=0.5, sigma=0.05, tail=5))
    cpu = np.round((IDLE_CORES + cores * np.clip(fleet.busy, 0, 1) * jitter) * np.where(away, 0, step), 2)
    depth = np.round(fleet.backlog + 2 * np.clip(fleet.usage, 0, 1) ** 3 * np.exp(_white(fleet, "depth", 0.5)))
    cache = 0.1 + 0.68 * np.clip(fleet.usage, 0, 1.2) + _white(fleet, "cache", 0.03)
    sure = fleet.answers.sure + _white(fleet, "sure", 0.012)
    psi = fleet.answers.drift * np.exp(_white(fleet, "psi", 0.12))
    nulls = fleet.answers.missing * np.exp(_white(fleet, "nulls seen", 0.15))
    active = np.round(fleet.active * np.exp(_white(fleet, "active", 0.08)))
    return {
        "http_server_requests_total": _counter(fleet, names, requests, rate),
        "http_server_errors_total": _counter(fleet, names, errors, BASE_ERRORS * rate),
        "http_server_request_duration_seconds_p99": np.where(
            requests > 0, _rounded(fleet.p99 * np.exp(quantile)), np.nan
        ),
        "http_server_active_requests": np.maximum(active, 0),
        "process_cpu_seconds_total": np.round(_counter(fleet, names, cpu, IDLE_CORES + USUAL_LOAD * cores), 2),
        "process_resident_memory_bytes": _rounded(fleet.memory),
        "process_open_fds": np.round(fleet.descriptors),
        "model_queue_depth": np.where(model, depth, np.nan),
        "vllm_kv_cache_usage_ratio": np.where(model, np.round(np.clip(cache, 0, 1), 3), np.nan),
        "model_prediction_quality_ratio": good,
        "model_prediction_confidence_ratio": np.round(np.clip(sure, 0, 1), 3),
        "feature_drift_psi": np.round(psi, 3),
        "feature_missing_ratio": _ratio(nulls),
    }


def _judged(fleet: Fleet, name: str, requests: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Share of good answers among those of the last minutes that were judged, of one replica."""
    if np.isnan(wrong).all():
        return np.full(len(wrong), np.nan)
    asked = stream(fleet.seed, "judged", name).binomial(requests.astype(np.int64), JUDGED)
    right = stream(fleet.seed, "judged good", name).binomial(asked, np.clip(1 - wrong, 0, 1))
    over = max(int(JUDGED_OVER_S // fleet.scenario.step), 1)
    asked, right = (np.convolve(counts, np.ones(over))[: len(wrong)] for counts in (asked, right))
    return np.where(asked >= JUDGED_LEAST, np.round(right / np.maximum(asked, 1), 3), np.nan)


def _hosts(fleet: Fleet) -> dict[str, np.ndarray]:
    scenario, seed, names, length = fleet.scenario, fleet.seed, fleet.hosts, fleet.length
    if not names:
        return {}
    gpu = np.array([host.gpu for host in scenario.hosts.values()])[:, None]
    noise = {
        name: autocorrelated(seed, name, names, length, memory=0.6, sigma=sigma)
        for name, sigma in (
            ("host cpu", 0.02),
            ("host memory", 0.004),
            ("gpu", 0.03),
            ("sensor", 0.4),
            ("clock", 0.004),
            ("stray", 1.2),
        )
    }
    packets = PACKETS_PER_S * fleet.utilization * scenario.step
    broken = np.empty_like(packets)
    for k, name in enumerate(names):
        rng = stream(seed, "packets", name)
        broken[k] = rng.poisson(
            packets[k] * fleet.loss[k] + STRAY_ERRORS_PER_S * scenario.step * np.exp(noise["stray"][k])
        )
    memory = np.array([host.memory for host in scenario.hosts.values()])[:, None]
    strain = np.clip(fleet.utilization / fleet.clock, 0, 1)
    return {
        "system_cpu_utilization_ratio": _ratio(fleet.cpu + noise["host cpu"]),
        "system_memory_utilization_ratio": _ratio(0.08 + fleet.resident / memory + noise["host memory"]),
        "system_filesystem_utilization_ratio": _ratio(fleet.disk),
        "system_network_errors_total": _counter(fleet, names, broken, STRAY_ERRORS_PER_S),
        "gpu_utilization_ratio": np.where(gpu, _ratio(strain + noise["gpu"]), np.nan),
        "gpu_temperature_celsius": np.where(gpu, np.round(fleet.heat + noise["sensor"], 1), np.nan),
        "gpu_sm_clock_hertz": np.where(
            gpu, _rounded(np.minimum(CLOCK_HZ * fleet.clock * (1 + noise["clock"]), CLOCK_HZ)), np.nan
        ),
    }


def _white(fleet: Fleet, purpose: str, sigma: float) -> np.ndarray:
    return autocorrelated(fleet.seed, purpose, fleet.replicas, fleet.length, memory=0.3, sigma=sigma)


def _counter(fleet: Fleet, names: list[str], increments: np.ndarray, usual: np.ndarray | float) -> np.ndarray:
    """Add up increments (whole numbers, or hundredths) since the process was born, as its counter does.

    `usual` is what it counts in a second, shape (n, 1): what it had counted before the record begins.
    """
    row = {name: k for k, name in enumerate(fleet.effects.entities)}
    born = fleet.effects.born[[row[name] for name in names]]
    uptime = np.array([[stream(fleet.seed, "uptime", name).uniform(*UPTIME_S)] for name in names])
    total = increments.cumsum(axis=1) + np.round(usual * uptime)
    # What was counted when the youngest process began; the total never falls, so a running maximum carries it on.
    return total - np.maximum.accumulate(np.where(born, total - increments, 0.0), axis=1)


def _ratio(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0, 1), 4)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Keep `DIGITS` significant digits."""
    places = DIGITS - 1 - np.floor(np.log10(np.maximum(np.abs(values), 1e-12)))
    power = 10.0 ** np.abs(places)  # a whole power of ten on either side of the point, so that decimals come out exact
    return np.where(places >= 0, np.round(values * power) / power, np.round(values / power) * power)
