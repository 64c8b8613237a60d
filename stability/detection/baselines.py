"""One-line detectors that every other one has to beat: chance, the absolute difference, the moving z."""

from __future__ import annotations

__all__ = ["Difference", "Random"]

import numpy as np
import pandas as pd

from stability.detection.manner import Detector
from stability.detection.rows import Rows


class Random(Detector):
    """Score by chance: uniform numbers that depend on the seed, the entity, the moment and the metric alone.

    What a measure gives this detector is the measure's zero. The numbers come from a hash and not from a generator, so
    that they stay the same when rows are added before or after.

    Parameters
    ----------
    seed : int
        Chooses the numbers.
    """

    name = "random"

    def __init__(self, *, seed: int = 0):
        self.seed = seed

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        names = pd.util.hash_array(np.asarray(rows.entities, dtype=object))
        salts = pd.util.hash_array(np.array([f"{metric}|{self.seed}" for metric in self.metrics_], dtype=object))
        known = pd.util.hash_array(pd.util.hash_array(rows.times) ^ np.repeat(names, np.diff(rows.starts)))
        drawn = np.empty(rows.values.shape)
        for place, salt in enumerate(salts):
            drawn[:, place] = pd.util.hash_array(known ^ salt) / 2.0**64
        return np.where(np.isnan(rows.values), np.nan, drawn)


class Difference(Detector):
    """Score each value by its distance from the one in the row before, in deviations of the history's differences.

    "Absolute difference" is the one-liner that solves part of the public benchmarks (Wu and Keogh 2021,
    doi 10.1109/TKDE.2021.3112126); the scaling makes metrics and entities comparable: by the root mean square of the
    history's differences, 1 unit of the metric where nothing ever changed.
    """

    name = "difference"

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        squares = _steps(rows, np.full((len(rows.entities), rows.values.shape[1]), np.nan)) ** 2
        known = np.add.reduceat(~np.isnan(squares), rows.starts[:-1], axis=0)
        total = np.add.reduceat(np.nan_to_num(squares), rows.starts[:-1], axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.sqrt(total / known)
        return {"scale": np.where(scale == 0, 1.0, scale)}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {"last": np.full((entities, metrics), np.nan)}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        steps = _steps(rows, state["last"])
        state["last"][...] = rows.values[rows.starts[1:] - 1]
        return np.abs(steps) / np.repeat(learnt["scale"], np.diff(rows.starts), axis=0)


def _steps(rows: Rows, last: np.ndarray) -> np.ndarray:
    """Differences to the row before; that of an entity's first row is `last`."""
    before = np.empty_like(rows.values)
    before[1:] = rows.values[:-1]
    before[rows.starts[:-1]] = last
    return rows.values - before
