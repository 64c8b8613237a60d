"""Fleets that tests watch: a made-up panel with bursts, a declaration over it, and what a watch has written."""

import json
from collections import Counter

import numpy as np
import pandas as pd

from stability.monitor.declaration import Declaration
from stability.monitor.following import Follower

START = pd.Timestamp("2026-01-01", tz="UTC")
RULES = """
groups:
- name: fleet
  rules:
  - alert: Busy
    expr: avg_over_time(queue_depth[1m]) > 6
    for: 30s
    labels: {severity: page, failure_mode: cpu_saturation}
    annotations: {summary: queues are long}
  - alert: Errors
    expr: rate(http_server_errors_total[2m]) / rate(http_server_requests_total[2m]) > 0.05
    keep_firing_for: 1m
    labels: {severity: ticket}
  - alert: Lost
    expr: up == 0 or absent(up)
    labels: {severity: page}
"""


def fleet(entities=4, steps=400, step=15, seed=0):
    """A panel of gauges and counters with bursts, gaps, and an entity that comes late."""
    rng = np.random.default_rng(seed)
    stamps = pd.date_range(START, periods=steps, freq=f"{step}s", tz="UTC", unit="us")
    parts = {}
    for k in range(entities):
        queue = rng.gamma(2.0, 1.0, steps)
        errors = rng.poisson(0.2, steps).astype(float)
        for at in rng.integers(steps // 2, steps - 20, 3):
            queue[at : at + 12] += 12
            errors[at : at + 12] += 5
        part = pd.DataFrame(
            {
                "queue_depth": queue,
                "http_server_requests_total": np.cumsum(rng.poisson(30, steps)).astype(float),
                "http_server_errors_total": np.cumsum(errors),
                "up": 1.0,
            },
            index=stamps,
        )
        gap = int(rng.integers(steps // 2, steps - 10))
        part.iloc[gap : gap + 5] = np.nan
        part.iloc[gap : gap + 5, 3] = 0.0
        parts[f"web-{k}"] = part.iloc[(steps * 2) // 3 :] if k == entities - 1 else part
    return pd.concat(parts, names=["entity", "timestamp"])


def declaration(folder, panel=None, **more):
    """A watch of a CSV file in a folder, with a detector that learns from the first 40 minutes, and rules."""
    if panel is not None:
        panel.reset_index().to_csv(folder / "metrics.csv", index=False)
    (folder / "rules.yaml").write_text(RULES)
    told = {
        "name": "fleet",
        "source": {"files": {"path": str(folder / "metrics.csv")}},
        "step": "15s",
        "delay": "0s",
        "history": "10min",
        "detectors": [
            {
                "name": "mean_shift_recursive",
                "learn": "40min",
                "metrics": ["queue_depth", "http_server_errors_per_second"],
                "false_alarms_per_day": 10.0,
                "policy": {"merge": 60.0, "refractory": 1800.0},
            }
        ],
        "rules": {"files": [str(folder / "rules.yaml")]},
        "checkpoint_every": 7,
    }
    return Declaration(**(told | more))


def follow(told, folder):
    """Follow a source that has everything already; the steps."""
    follower = Follower(told, folder=folder)
    steps = list(follower.tick())
    assert not follower.trouble, follower.trouble
    follower.close()
    return steps, follower


def journal(folder, *kinds):
    """Entries of a watch's journal, of some kinds."""
    lines = [json.loads(line) for path in sorted((folder / "journal").glob("*.jsonl")) for line in path.open()]
    return [line for line in lines if line["kind"] in kinds]


def told_once(folder, *kinds):
    """Keys of entries, after a look that none is there twice."""
    counts = Counter(line["key"] for line in journal(folder, *kinds))
    assert not [key for key, count in counts.items() if count > 1]
    return set(counts)
