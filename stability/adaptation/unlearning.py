"""What learning from one's own repairs does: rounds of predicting, repairing and learning, with the truth beside it.

A small fleet, drawn by chance and nothing else, so that its untouched course is known. Entities degrade: an episode
begins at random, one of two gauges rises in its noise, the one of a plain failure mode far, the one of a faint mode
little, and after some minutes users feel it, or it heals by itself (the same signs, no fault). Some faults come without
any sign. A model is learnt on a first stretch that nobody touches. Then, in
each round, the model in use warns, each warning is a repair that ends the episode, and the next model is learnt from
what the record then says, in one of the ways of `averted`. Each model is judged on another stretch, of which nobody
repairs anything: there every fault comes that is foretold.
"""

from __future__ import annotations

__all__ = ["Fleet", "Round", "fleet", "gains", "rounds", "touched", "unlearnt"]

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from stability.adaptation.averted import taught
from stability.evaluation import average_precision, bootstrap_interval, compare
from stability.evaluation.resampling import MIN_UNITS
from stability.prediction.manner import Predictor

STEP = pd.Timedelta("1min")
BEGIN = pd.Timestamp("2026-01-01", tz="UTC")
HORIZON = 15  # steps
OUTAGE = 10  # steps
RATE = 1 / 300  # episodes that begin at a step of a healthy entity
LENGTH = (15, 40)  # steps from the beginning of an episode to the fault
HEALS = 0.4  # share of episodes that end by themselves
SUDDEN = 1 / 3000  # faults without a sign at a step
HEIGHTS = {"plain": 5.0, "faint": 2.0}  # of a mode's gauge at the fault, in deviations of its noise
MEMORY = 0.7  # of the noise
FEW = 5  # steps of a mean
WAIT = 20  # steps after a repair in which there is no other


class Fleet(NamedTuple):
    """A stretch of a fleet.

    Parameters
    ----------
    features : DataFrame, index (entity, timestamp)
        A gauge of each mode, its `mean` and `slope` over a few steps, and the `load`, which says nothing.
    episodes : DataFrame
        `entity` (number), `start`, `end` (steps), `fault` (bool), `mode` (of `HEIGHTS`; "sudden" without a sign).
    noise : array of float64, shape (gauges + 1, entities, steps)
        Of which the gauges without any episode are made, and the load.
    begin : Timestamp
    """

    features: pd.DataFrame
    episodes: pd.DataFrame
    noise: np.ndarray
    begin: pd.Timestamp


class Round(NamedTuple):
    """What the record says after a round.

    Parameters
    ----------
    features : DataFrame
        As they were with the repairs.
    faults : DataFrame
        `entity`, `impact_start`, `recovered_at`: what users felt.
    done : DataFrame
        As of `averted.repairs`: what was repaired.
    happened, usable : arrays of bool, over the rows of `features`
        A fault is felt within the `HORIZON`; the row has a label of yes or no. As `impact_labels` and `horizon_target`
        say it (a test holds that), which would take most of the time here.
    probability : Series
        What was said.
    """

    features: pd.DataFrame
    faults: pd.DataFrame
    done: pd.DataFrame
    happened: np.ndarray
    usable: np.ndarray
    probability: pd.Series


def fleet(entities: int, steps: int, *, begin: pd.Timestamp = BEGIN, seed: int = 0) -> Fleet:
    """Draw a stretch of a fleet that nobody touches.

    Examples
    --------
    >>> own = fleet(3, 200)
    >>> own.features.shape, sorted(own.features.columns)
    ((600, 7), ['faint', 'faint_mean', 'faint_slope', 'load', 'plain', 'plain_mean', 'plain_slope'])
    """
    rng = np.random.default_rng(seed)
    noise = lfilter([np.sqrt(1 - MEMORY**2)], [1, -MEMORY], rng.normal(size=(len(HEIGHTS) + 1, entities, steps)))
    rows = []
    for entity in range(entities):
        at = 0
        while True:
            sudden, slow = rng.geometric(SUDDEN), rng.geometric(RATE)
            at += int(min(sudden, slow))
            mode = str(rng.choice(list(HEIGHTS))) if slow <= sudden else "sudden"
            end = at if mode == "sudden" else at + int(rng.integers(*LENGTH))
            fault = mode == "sudden" or rng.uniform() >= HEALS
            if end >= steps:
                break
            rows.append({"entity": entity, "start": at, "end": end, "fault": fault, "mode": mode})
            at = end + OUTAGE
    episodes = pd.DataFrame(rows, columns=["entity", "start", "end", "fault", "mode"])
    return Fleet(_features(noise, episodes, begin), episodes, noise, begin)


def touched(own: Fleet, probability: pd.Series, threshold: float, *, held_out: Sequence[int] = ()) -> Round:
    """Let each warning be a repair: the episode ends, its fault does not come, and the record says so.

    Parameters
    ----------
    own : Fleet
    probability : Series over its rows
        What a model says of the untouched course.
    threshold : float
        From which on somebody repairs; infinity: nobody does.
    held_out : sequence of int
        Entities that nobody repairs.

    Returns
    -------
    Round

    Notes
    -----
    Once repaired, an entity says of the rest of its episode what its noise says: the warnings that the untouched
    course gives there are no warnings, and what the model says after the first one is not asked again.
    """
    entities, steps = own.noise.shape[1:]
    said = probability.to_numpy().reshape(entities, steps)
    episodes = own.episodes.assign(last=own.episodes["end"]).to_dict("records")
    made = []
    for entity in range(entities):
        if entity in held_out:
            continue
        mine, free = [e for e in episodes if e["entity"] == entity], 0
        for at in np.flatnonzero(said[entity] >= threshold):
            inside = next((e for e in mine if e["start"] <= at < e["end"]), None)
            down = any(e["fault"] and e["end"] <= at < e["end"] + OUTAGE and e["last"] == e["end"] for e in mine)
            if at < free or down or (inside is not None and inside["last"] < inside["end"]):
                continue
            if inside is not None:
                inside["last"], inside["fault"] = int(at), False
            made.append((entity, int(at)))
            free = at + WAIT
    after = pd.DataFrame(episodes, columns=[*own.episodes.columns, "last"])
    felt = after[after["fault"]]
    came, down = np.zeros((2, entities, steps), dtype=bool)
    for entity, end in zip(felt["entity"], felt["end"], strict=True):
        came[entity, max(end - HORIZON, 0) : end] = True
        down[entity, end : end + OUTAGE] = True
    seen = ~down & (np.arange(steps) + HORIZON < steps)
    at = _moments(felt["end"], own.begin)
    faults = pd.DataFrame({"entity": _names(felt["entity"]), "impact_start": at, "recovered_at": at + OUTAGE * STEP})
    begun = _moments([step for _, step in made], own.begin)
    done = pd.DataFrame({"entity": _names([entity for entity, _ in made]), "start": begun, "end": begun})
    features = _features(own.noise, after, own.begin)
    return Round(features, faults, done, (came & seen).ravel(), seen.ravel(), probability)


def rounds(
    make: Callable[[], Predictor],
    ways: Sequence[str],
    *,
    count: int = 5,
    entities: int = 40,
    steps: int = 1000,
    window: int | None = 2,
    threshold: float = 0.3,
    held_out: float = 0.25,
    seeds: Sequence[int] = range(5),
) -> pd.DataFrame:
    """Play rounds of predicting, repairing and learning.

    Parameters
    ----------
    make : callable
        Makes a predictor that has not learnt.
    ways : sequence of str
        Of `averted.HOW`.
    count : int
        Rounds after the first model.
    entities, steps : int
        Of each stretch.
    window : int, optional
        How many of the last stretches are learnt; all without it.
    threshold : float
        Of warnings.
    held_out : float
        Share of the entities that nobody repairs, in the way ``held_out`` alone.
    seeds : sequence of int
        One fleet each; all ways meet the same.

    Returns
    -------
    DataFrame
        `seed`, `way`, `round` (0: the first model, which has learnt from an untouched stretch), `pr_auc` on an
        untouched stretch, `base_rate` of it, `averted` (rows that were marked), `faults` and `repairs` of the round for
        each entity and 1,000 steps.
    """
    rows = []
    for seed in seeds:
        drawn = [fleet(entities, steps, begin=BEGIN + k * steps * STEP, seed=1000 * seed + k) for k in range(count + 2)]
        judge, stretches = drawn[-1], drawn[:-1]
        untouched = touched(judge, pd.Series(0.0, judge.features.index), np.inf)
        truth = untouched.happened[untouched.usable]
        first = touched(stretches[0], pd.Series(0.0, stretches[0].features.index), np.inf)
        beginning = make().fit(first.features, first.happened, rows=first.usable)
        for way in ways:
            spared = range(int(held_out * entities)) if way == "held_out" else ()
            model, record, marked = beginning, [first], 0
            for number in range(count + 1):
                if number:
                    model, marked = _learnt(make, record[-window:] if window else record, way, spared, seed)
                own = stretches[min(number + 1, count)]
                judged = model.predict(untouched.features).to_numpy()[untouched.usable]
                area = average_precision(judged, truth)
                row = {"seed": seed, "way": way, "round": number, "pr_auc": area, "averted": marked}
                row |= {"base_rate": float(truth.mean()), "faults": np.nan, "repairs": np.nan}
                if number < count:
                    record.append(touched(own, model.predict(own.features), threshold, held_out=spared))
                    scale = 1000 / (entities * steps)
                    row |= {"faults": len(record[-1].faults) * scale, "repairs": len(record[-1].done) * scale}
                rows.append(row)
    return pd.DataFrame(rows)


def gains(played: pd.DataFrame, baseline: str = "negative", *, resamples: int = 2000) -> pd.DataFrame:
    """Compare the ways by the mean PR-AUC of all later rounds, fleet by fleet.

    Parameters
    ----------
    played : DataFrame
        From `rounds`.
    baseline : str
        A way.
    resamples : int

    Returns
    -------
    DataFrame
        As `evaluation.compare`.
    """
    later = played[played["round"] > 0].groupby(["seed", "way"])["pr_auc"].mean().reset_index()
    later = later.pivot_table(index="seed", columns="way", values="pr_auc").rename_axis(index="case", columns=None)
    return compare(later, baseline, resamples=resamples)


def unlearnt(played: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Say which share of the first model's PR-AUC is gone in the worst later round, on average over fleets.

    The worst of some rounds is worse than any of them by chance alone: compare a way with another, not with 0.

    Parameters
    ----------
    played : DataFrame
        From `rounds`, with one later round at least.
    seed : int
        Of the bootstrap over fleets.

    Returns
    -------
    DataFrame, index way
        `value`, `lo`, `hi`; NaN throughout with fewer than `MIN_UNITS` fleets.

    Examples
    --------
    >>> rows = [{"seed": s, "way": "negative", "round": r, "pr_auc": 0.4 / (1 + r)} for s in range(5) for r in (0, 1)]
    >>> unlearnt(pd.DataFrame(rows)).loc["negative"].tolist()
    [0.5, 0.5, 0.5]
    """
    rows = {}
    for way, own in played.groupby("way", sort=False):
        each = own.pivot_table(index="seed", columns="round", values="pr_auc")
        share = (1 - each.drop(columns=0).min(axis=1) / each[0]).to_numpy()
        few = len(share) < MIN_UNITS
        rows[way] = (np.nan,) * 3 if few else bootstrap_interval(np.mean, share, seed=seed)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "lo", "hi"]).rename_axis("way")


# ---- parts -----------------------------------------------------------------------------------------------------------
def _features(noise: np.ndarray, episodes: pd.DataFrame, begin: pd.Timestamp) -> pd.DataFrame:
    gauges = dict(zip(HEIGHTS, noise[:-1].copy(), strict=True))
    last = episodes["last"] if "last" in episodes else episodes["end"]
    for row, until in zip(episodes.itertuples(), last, strict=True):
        if row.mode in HEIGHTS:
            rise = np.arange(row.start, until) - row.start + 1
            gauges[row.mode][row.entity, row.start : until] += HEIGHTS[row.mode] * rise / (row.end - row.start)
    entities, steps = noise.shape[1:]
    columns = {"load": np.sin(2 * np.pi * np.arange(steps) / 240) + 0.3 * noise[-1]}
    for mode, gauge in gauges.items():
        mean = pd.DataFrame(gauge.T).rolling(FEW, min_periods=1).mean()
        slope = mean - mean.shift(FEW).bfill()
        columns |= {mode: gauge, f"{mode}_mean": mean.T.to_numpy(), f"{mode}_slope": slope.T.to_numpy()}
    names = _names(range(entities))
    stamps = pd.date_range(begin, periods=steps, freq=STEP, unit="us")
    index = pd.MultiIndex.from_product([names, stamps], names=["entity", "timestamp"])
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)


def _names(entities: Sequence[int]) -> list[str]:
    return [f"m{k:03d}" for k in entities]


def _moments(steps: Sequence[int], begin: pd.Timestamp) -> pd.DatetimeIndex:
    return begin.as_unit("us") + pd.to_timedelta(np.asarray(steps, dtype="int64"), unit="min").as_unit("us")


def _learnt(make, record: list[Round], way: str, spared, seed: int) -> tuple[Predictor, int]:
    """The next model, and how many rows were marked."""
    kept, came, marked = [], [], 0
    for own in record:
        told = taught(
            own.features.index,
            own.happened,
            own.done,
            HORIZON * STEP,
            how=way,
            usable=own.usable,
            probability=own.probability,
            held_out=_names(spared) or None,
            seed=seed,
        )
        kept.append(own.features[told.rows])
        came.append(told.labels[told.rows])
        marked += told.averted
    return make().fit(pd.concat(kept), np.concatenate(came)), marked
