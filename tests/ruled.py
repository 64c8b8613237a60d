"""A small record with known faults: two processes, a metric that climbs in each leak, one that does nothing."""

import numpy as np
import pandas as pd

from stability.rules import Rule

START = pd.Timestamp("2026-01-01", tz="UTC")
FAULTS = ((100, 130, "a", "memory_leak"), (300, 330, "b", "memory_leak"), (500, 530, "a", "cpu_saturation"))


def at(second: float) -> pd.Timestamp:
    return START + pd.Timedelta(seconds=second)


def telemetry(seconds: int = 600) -> pd.DataFrame:
    stamps = pd.date_range(START, periods=seconds, freq="s", unit="us")
    time, frames = np.arange(seconds), {}
    for entity in ("a", "b"):
        memory, cpu = np.full(seconds, 10.0), np.full(seconds, 0.2)
        for begin, end, where, mode in FAULTS:
            if where == entity:
                inside = (time >= begin + 5) & (time < end)
                (memory if mode == "memory_leak" else cpu)[inside] = 90.0 if mode == "memory_leak" else 0.9
        memory[(time >= 400) & (time < 410)] = 60.0  # a harmless cache, of both
        frames[entity] = pd.DataFrame({"memory_bytes": memory, "cpu_ratio": cpu}, index=stamps)
    return pd.concat(frames, names=["entity", "timestamp"])


def faults() -> pd.DataFrame:
    rows = [
        {
            "fault_id": f"f{number}",
            "entity": entity,
            "cause_start": at(begin),
            "impact_start": at(begin + 20),
            "cause_end": at(end),
            "recovered_at": at(end),
            "failure_mode": mode,
            "root_entity": entity,
        }
        for number, (begin, end, entity, mode) in enumerate(FAULTS)
    ]
    return pd.DataFrame(rows).set_index("fault_id").astype({"failure_mode": "str", "root_entity": "str"})


def rule(name: str, expr: str, mode: str = "memory_leak", wait: str = "0s") -> Rule:
    labels = {"failure_mode": mode, "severity": "page", "component": "test"}
    return Rule("g", name, expr, wait=pd.Timedelta(wait), labels=labels)
