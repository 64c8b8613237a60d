"""Two hours of a large fleet are watched, and memory stays where it was (`make soak`)."""

from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from stability.monitor.chain import Watch
from stability.monitor.declaration import Declaration
from stability.monitor.ring import Rows

METRICS = {  # level of each metric; of a counter its increase a step
    "http_server_requests_total": 450.0,
    "http_server_errors_total": 0.1,
    "process_cpu_seconds_total": 4.0,
    "process_resident_memory_bytes": 3e8,
    "process_open_fds": 300.0,
    "up": 1.0,
    "http_server_active_requests": 5.0,
    "model_prediction_quality_ratio": 0.95,
    "http_server_request_duration_seconds_p50": 0.05,
    "http_server_request_duration_seconds_p99": 0.2,
    "model_queue_depth": 2.0,
    "system_cpu_utilization_ratio": 0.4,
}
STEP = 15_000_000  # microseconds
PAST = 240  # steps from which the detector learns: an hour
GROWTH = 0.02  # of the memory, that noise of the allocator may be; a row that is kept each step would be 3 %


def rows(entities, steps, seed=0):
    """Rows of a fleet: noise around levels, counters that grow, and half a burst a step once it is watched."""
    rng, first = np.random.default_rng(seed), pd.Timestamp("2026-01-01", tz="UTC").value // 1000
    names, level = tuple(f"web-{k:04d}" for k in range(entities)), np.array(list(METRICS.values()))
    counters = np.array([name.endswith("_total") for name in METRICS])
    until, total = np.zeros(entities), np.zeros((entities, len(METRICS)))
    for k in range(-PAST, steps):
        until[rng.integers(0, entities, rng.poisson(0.5) if k >= 0 else 0)] = k + 20
        values = level * np.exp(0.1 * rng.standard_normal(total.shape)) * np.where(until > k, 4.0, 1.0)[:, None]
        total += np.where(counters, values, 0.0)
        values = np.where(counters, total, values)
        values[:, list(METRICS).index("up")] = 1.0
        yield Rows(first + (k + PAST) * STEP, names, values)


def memory(folder: Path, entities: int, steps: int) -> list[float]:
    """Watch a fleet; the median of the memory in each quarter of the replay, in bytes."""
    told = Declaration(
        name="memory",
        source={"files": {"path": "unused"}},
        step="15s",
        history="1h",
        detectors=[{"name": "novelty", "learn": "1h", "false_alarms_per_day": 0.1, "policy": {"merge": 600.0}}],
        rules={"files": ["data/rules"]},
    )
    made = rows(entities, steps)
    watch, process = Watch(told, list(METRICS), folder=folder), psutil.Process()
    past = [next(made) for _ in range(PAST)]
    watch.begin(past, past[-1].moment)
    del past
    taken = []
    for one in made:
        watch.take(one)
        taken.append(process.memory_info().rss)
    assert watch.counts["steps"] == steps
    assert watch.counts["alarms"] > 0
    watch.close()
    return [float(np.median(part)) for part in np.array_split(taken, 4)]


@pytest.mark.soak
def test_memory_is_flat_over_two_hours_of_replay(tmp_path, capsys):
    quarters = memory(tmp_path, 1000, 480)
    with capsys.disabled():
        print("\nwatch: " + ", ".join(f"{one / 1e6:.0f}" for one in quarters) + " MB in the quarters of two hours")
    assert quarters[3] < quarters[1] * (1 + GROWTH)
