"""Repairs and what came after them, second by second, as a dozen lines say them."""

import numpy as np
import pandas as pd

from stability.remediation.aftermath import Aftermath

ACTED = pd.Timestamp("2026-03-01 12:00", tz="UTC")
HISTORY, AFTER = 600, 320  # s before and after the action
KEY = ["entity", "timestamp"]


def aftermath(
    seed=0,
    *,
    ill=40,
    heals=8,
    depth=0.5,
    again=None,
    rate=60.0,
    level=0.998,
    history=(),
    neighbours=("model-b",),
    step=1.0,
    until=AFTER,
    lasts=30,
):
    """A replica, ill from `ill` s before the action, that heals `heals` s after it (None: never), relapses at `again`.

    `history` has earlier bad times as (begin, seconds), in s from the action; nobody repaired those.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(-HISTORY, AFTER + 1, step) + step
    bad = (t > -ill) & (t <= (np.inf if heals is None else heals))
    if again is not None:
        bad |= (t > again) & (t <= again + lasts)
    for begin, seconds in history:
        bad |= (t > begin) & (t <= begin + seconds)
    stamps = ACTED + pd.to_timedelta(t, unit="s")
    total = rng.poisson(rate * step, len(t))
    good = rng.binomial(total, np.where(bad, depth, level))
    frames = {}
    for entity, its in (("model-a", bad), ("model-b", np.zeros_like(bad)), ("gateway", bad)):
        restarted = (t > 0) & (entity == "model-a")
        work = np.cumsum(rng.gamma(4.0, 0.1, len(t)))
        frames[entity] = pd.DataFrame(
            {
                "up": 1.0,
                "process_cpu_seconds_total": work - np.where(restarted, work[(t <= 0).sum() - 1], 0.0),
                "http_server_requests_total": np.cumsum(total).astype(float),
                "process_resident_memory_bytes": 1e8 + rng.normal(0, 1e5, len(t)).round(),
                "http_server_request_duration_seconds_p99": rng.gamma(20, 0.002, len(t)) * np.where(its, 8, 1),
            },
            index=stamps,
        )
    score = {
        entity: pd.DataFrame({"shift": rng.gamma(2, 0.5, len(t)) + np.where(its, 12.0, 0.0)}, index=stamps)
        for entity, its in (("model-a", bad), ("model-b", np.zeros_like(bad)))
    }
    asked = {"gateway": pd.DataFrame({"good": good, "total": total}, index=stamps, dtype="float64")}
    known = Aftermath(
        "model-a",
        ACTED,
        ACTED - pd.Timedelta(seconds=ill),
        ACTED + pd.Timedelta(seconds=AFTER),
        pd.concat(frames, names=KEY),
        pd.concat(asked, names=KEY),
        pd.concat(score, names=KEY),
        {"shift": 8.0},
        neighbours,
        step,
    )
    return known.until(after(until))


def after(seconds):
    """A moment, in s from the action."""
    return ACTED + pd.Timedelta(seconds=seconds)


def since(frame, entity, seconds=0.0):
    """Rows of an entity stamped more than so long after the action."""
    return (frame.index.get_level_values(0) == entity) & (frame.index.get_level_values(1) > after(seconds))
