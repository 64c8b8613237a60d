"""A small shop for tests: front calls cart and search, both call store; with noise, and faults laid in by hand."""

import numpy as np
import pandas as pd

from stability.schema import validate

CALLS = [("front", "cart"), ("front", "search"), ("cart", "store"), ("search", "store")]
LATENCY, AVAILABILITY = "service_latency_seconds_mean", "service_availability_ratio"
START = pd.Timestamp("2026-01-01", tz="UTC")


def topology():
    return validate(pd.DataFrame(CALLS, columns=["source", "target"]).assign(kind="calls"), "topology")


def shop(rows=200, seed=0, start=START):
    """Requests, latency and availability of four services; what the store takes, its callers wait for."""
    rng = np.random.default_rng(seed)
    requests = {"front": 400.0, "cart": 100.0, "search": 300.0, "store": 400.0}
    own = {"front": 0.02, "cart": 0.03, "search": 0.01, "store": 0.005}
    noisy = {name: value * (1 + 0.03 * rng.normal(size=rows)) for name, value in own.items()}
    noisy["cart"] = noisy["cart"] + noisy["store"]
    noisy["search"] = noisy["search"] + noisy["store"]
    noisy["front"] = noisy["front"] + (100 * noisy["cart"] + 300 * noisy["search"]) / 400
    stamps = pd.date_range(start, periods=rows, freq="5min", tz="UTC")
    frames = [
        pd.DataFrame(
            {
                "entity": name,
                "timestamp": stamps,
                "service_requests": np.round(requests[name] * (1 + 0.02 * rng.normal(size=rows))),
                LATENCY: noisy[name],
                AVAILABILITY: 1.0,
            }
        )
        for name in requests
    ]
    return validate(pd.concat(frames), "telemetry")


def slow(panel, root, seconds, stretch):
    """Make each request of the root take longer in some rows, and those of its callers by what they call it."""
    shares = {
        "store": {"store": 1, "cart": 1, "search": 1, "front": 1},
        "cart": {"cart": 1, "front": 0.25},
        "search": {"search": 1, "front": 0.75},
        "front": {"front": 1},
    }[root]
    made = panel.copy()
    stamps = panel.index.get_level_values("timestamp").unique().sort_values()[slice(*stretch)]
    for entity, share in shares.items():
        rows = made.index.isin([entity], "entity") & made.index.isin(stamps, "timestamp")
        made[LATENCY] = made[LATENCY] + seconds * share * rows
    return made


def alarm(name, moment, metric=LATENCY, entity="front"):
    row = {"alarm_id": [name], "entity": [entity], "start": [moment], "detector": ["rule"], "metrics": [metric]}
    return validate(pd.DataFrame(row), "alarms")
