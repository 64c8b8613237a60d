"""Anomaly scores, thresholds from history, and alarms.

Every detector has one manner: settings in the constructor, `fit(history)`, `score(panel)` (one number a row; higher
is more anomalous, NaN where it cannot judge), `score_metrics(panel)` (a column for each metric; a row's score is the
highest of its metrics), `metrics_` and `fitted_on_`. None sees the future: after `fit`, the scores up to a moment do
not change when the rows after it are cut off.
"""

from functools import partial

from stability.detection.alarms import episodes, raise_alarms
from stability.detection.baselines import Difference, Random
from stability.detection.calibration import (
    Tail,
    alarms_per_day,
    choose_k,
    fit_tail,
    gaussian_alarms_per_day,
    held_back_scores,
)
from stability.detection.mean_shift import MeanShift
from stability.detection.windowed_gaussian import WindowedGaussian

# Name of the detector's column in `scores` and of the detector in `alarms` -> what makes one with settings as keywords.
DETECTORS = {
    "mean_shift_global": partial(MeanShift, variant="global"),
    "mean_shift_windowed": partial(MeanShift, variant="windowed"),
    "mean_shift_recursive": partial(MeanShift, variant="recursive"),
    "windowed_gaussian": WindowedGaussian,
    "difference": Difference,
    "random": Random,
}

__all__ = [
    "DETECTORS",
    "Difference",
    "MeanShift",
    "Random",
    "Tail",
    "WindowedGaussian",
    "alarms_per_day",
    "choose_k",
    "episodes",
    "fit_tail",
    "gaussian_alarms_per_day",
    "held_back_scores",
    "raise_alarms",
]
