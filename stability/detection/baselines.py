"""One-line detectors that every other one has to beat: chance, and the absolute difference."""

from __future__ import annotations

__all__ = ["Difference", "Random"]

import numpy as np
import pandas as pd

from stability.detection.manner import before, check_panel, fitted_on
from stability.schema import validate


class Random:
    """Score by chance: uniform numbers that depend on the seed, the entity, the moment and the metric alone.

    What a measure gives this detector is the measure's zero. The numbers come from a hash and not from a generator, so
    that they stay the same when rows are added before or after.

    Parameters
    ----------
    seed : int
        Chooses the numbers.

    Attributes
    ----------
    metrics_ : list of str
        Columns of the history, of which nothing else is used.
    fitted_on_ : dict
        ``{"entities": [...], "until": ISO time}``.
    """

    def __init__(self, *, seed: int = 0):
        self.seed = seed

    def fit(self, history: pd.DataFrame) -> Random:
        """Keep the names of the history's metrics (a panel, entity and timestamp by metrics)."""
        history = validate(history, "telemetry")
        self.metrics_, self.fitted_on_ = list(history.columns), fitted_on(history)
        return self

    def score(self, panel: pd.DataFrame) -> pd.Series:
        """Draw a number from 0 to 1 for each value and take the highest of a row; NaN where a row has no value."""
        return self.score_metrics(panel).max(axis=1).rename("random")

    def score_metrics(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Draw a number from 0 to 1 for each value; NaN where it is missing."""
        panel = check_panel(self, panel)
        stamps = panel.index.get_level_values("timestamp").as_unit("us").asi8
        moments = pd.util.hash_array(stamps)
        codes, entities = panel.index.get_level_values("entity").factorize()
        drawn = pd.DataFrame(index=panel.index, columns=panel.columns, dtype="float64")
        for metric in panel.columns:
            salt = pd.util.hash_array(np.array([f"{e}|{metric}|{self.seed}" for e in entities], dtype=object))
            drawn[metric] = pd.util.hash_array(moments ^ salt[codes]) / 2.0**64
        return drawn.where(panel.notna())


class Difference:
    """Score each value by its distance from the one before, in deviations of the history's differences.

    "Absolute difference" is the one-liner that solves part of the public benchmarks (Wu and Keogh 2021,
    doi 10.1109/TKDE.2021.3112126); the scaling makes metrics and entities comparable.

    Attributes
    ----------
    metrics_ : list of str
        Columns of the history.
    scale_ : DataFrame of float64, (entities, metrics), in the metric's unit
        Root mean square of the history's differences; 1 unit of the metric where nothing ever changed. An entity
        without history gets the median of the others.
    fitted_on_ : dict
        ``{"entities": [...], "until": ISO time}``.
    """

    def fit(self, history: pd.DataFrame) -> Difference:
        """Learn the scale of differences (a panel, entity and timestamp by metrics), and remember the last rows."""
        history = validate(history, "telemetry")
        self.metrics_, self.fitted_on_ = list(history.columns), fitted_on(history)
        steps = history.groupby(level="entity", sort=False).diff()
        scale = np.sqrt((steps**2).groupby(level="entity", sort=False).mean())
        self.scale_ = scale.where(scale.isna() | (scale > 0), 1.0)
        self._last = history.groupby(level="entity", sort=False).tail(1)
        return self

    def score(self, panel: pd.DataFrame) -> pd.Series:
        """Score each row by its most changing metric; NaN where no metric has a value here and in the row before."""
        return self.score_metrics(panel).max(axis=1).rename("difference")

    def score_metrics(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Score each value; the first of an entity against the end of its history, where the panel comes after it."""
        panel = check_panel(self, panel)
        entities = panel.index.get_level_values("entity")
        whole = pd.concat([before(panel, self._last)[panel.columns], panel]).sort_index()
        steps = whole.groupby(level="entity", sort=False).diff().reindex(panel.index)
        scale = self.scale_.reindex(entities).fillna(self.scale_.median())[list(panel.columns)]
        return steps.abs() / scale.to_numpy()
