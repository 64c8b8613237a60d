"""Anomaly scores, thresholds from history, and alarms; `Detector` says what every detector can do."""

from stability.detection.accepted import Accepted, read_accepted
from stability.detection.alarms import alarm_contributions, announced, episodes, incidents, raise_alarms
from stability.detection.baselines import Difference, Random
from stability.detection.calibration import (
    Chosen,
    alarms_per_day,
    choose_k,
    choose_threshold,
    gaussian_alarms_per_day,
    held_back_scores,
)
from stability.detection.manner import Detector, Judged
from stability.detection.mean_shift import MeanShift
from stability.detection.policy import AlarmPolicy, Desk
from stability.detection.quiet import QuietHours
from stability.detection.registry import DETECTORS, load
from stability.detection.screen import Screen
from stability.detection.tail import Tail, fit_tail
from stability.detection.windowed_gaussian import WindowedGaussian

__all__ = [
    "DETECTORS",
    "Accepted",
    "AlarmPolicy",
    "Chosen",
    "Desk",
    "Detector",
    "Difference",
    "Judged",
    "MeanShift",
    "QuietHours",
    "Random",
    "Screen",
    "Tail",
    "WindowedGaussian",
    "alarm_contributions",
    "alarms_per_day",
    "announced",
    "choose_k",
    "choose_threshold",
    "episodes",
    "fit_tail",
    "gaussian_alarms_per_day",
    "held_back_scores",
    "incidents",
    "load",
    "raise_alarms",
    "read_accepted",
]
