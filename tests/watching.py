"""Fleets that tests watch: a made-up panel with bursts, a declaration over it, and what a watch has written."""

import json
from collections import Counter

import numpy as np
import pandas as pd

from stability.localization import Diagnoser, usual_moves
from stability.localization.pictures import GONE, HIGHER, LOWER, MUCH, USUAL
from stability.monitor.declaration import Declaration
from stability.monitor.following import Follower
from stability.telemetry import rate

START = pd.Timestamp("2026-01-01", tz="UTC")
TAUGHT = {}  # files of localizers by their panel: many tests have the same one
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
        "incidents_per_step": 2,  # a picture takes a third of a second
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


def record(folder):
    """Lines of a watch's record of repairs."""
    return [json.loads(line) for line in (folder / "repairs.jsonl").open()]


def told_once(folder, *kinds):
    """Keys of entries, after a look that none is there twice."""
    counts = Counter(line["key"] for line in journal(folder, *kinds))
    assert not [key for key, count in counts.items() if count > 1]
    return set(counts)


def localizer(panel, path):
    """A localizer that knows long queues from wrong answers, taught by made-up pictures; knows a panel's quiet time."""
    key = int(pd.util.hash_pandas_object(panel).sum())
    if key not in TAUGHT:
        _teach(panel, path)
        TAUGHT[key] = path.read_bytes()
    path.write_bytes(TAUGHT[key])
    return path


def _teach(panel, path):
    names = [str(name) for name in panel.index.unique("entity")]
    errors = "change.http_server_errors_per_second"
    shown = {
        "cpu_saturation": {
            "change.queue_depth": MUCH,
            errors: MUCH,
            "rule.Busy": HIGHER,
        },
        "bad_model_version": {errors: MUCH, "rule.Errors": HIGHER},
        "replica_crash": {"change.up": LOWER, "change.http_server_requests_per_second": GONE, "rule.Lost": HIGHER},
    }
    columns = sorted({name for one in shown.values() for name in one})
    pictures, truth = {}, {}
    for k in range(24):
        one = pd.DataFrame(USUAL, index=pd.Index(names, name="entity"), columns=columns)
        root, mode = names[k % len(names)], [*shown, None][(k + k // 4) % 4]
        for name, level in shown.get(mode, {}).items():
            one.loc[root, name] = level
        pictures[f"c{k}"] = one.astype("int8")
        truth[f"c{k}"] = {"entity": root if mode else None, "failure_mode": mode, "group": k // 4}
    quiet = [START + pd.Timedelta(minutes=minute) for minute in range(5, 39)]
    known = usual_moves(rate(panel), quiet)
    Diagnoser().fit(pictures, pd.DataFrame.from_dict(truth, orient="index"), usual=known).save(path)


def repairing(folder, url, panel, mode="automatic"):
    """The parts of a declaration that let the watch repair by a supervisor, in the time of the rows."""
    inventory = {"entities": [{"match": ["web-*"], "controls": [{"control": "testbed", "supervisor": url}]}]}
    (folder / "inventory.yaml").write_text(json.dumps(inventory))
    guards = {"at_once": 20, "per_hour": 1000, "cool_down": 0.0, "touched": 0.0, "group_share": 1.0}
    guards["stop_file"] = str(folder / "STOP")
    return {
        "localizer": str(localizer(panel, folder / "localizer.json")),
        "worksheet": "data/fmea/ai-serving.yaml",
        "incidents_per_step": 10,
        "groups": {"web": [f"web-{k}" for k in range(4)]},
        "repair": {"mode": mode, "clock": "rows", "inventory": str(folder / "inventory.yaml"), "guards": guards},
    }
