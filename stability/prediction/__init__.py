"""The probability that users feel a fault within a horizon: labels, honest splits, and what knows the answer."""

from stability.prediction.calibrated import Calibrated
from stability.prediction.labels import (
    HorizonTarget,
    SurvivalTarget,
    horizon_target,
    impact_labels,
    in_outage,
    survival_target,
)
from stability.prediction.proxies import TargetProxyWarning, proxy_screen
from stability.prediction.remaining import HealthIndices, LifeFeatures, remaining_life
from stability.prediction.remaining_models import RemainingLife
from stability.prediction.splits import Split, check_split, entity_folds, random_split, time_folds, time_split
from stability.prediction.whole import faults_of_whole, highest

__all__ = [
    "Calibrated",
    "HealthIndices",
    "HorizonTarget",
    "LifeFeatures",
    "RemainingLife",
    "Split",
    "SurvivalTarget",
    "TargetProxyWarning",
    "check_split",
    "entity_folds",
    "faults_of_whole",
    "highest",
    "horizon_target",
    "impact_labels",
    "in_outage",
    "proxy_screen",
    "random_split",
    "remaining_life",
    "survival_target",
    "time_folds",
    "time_split",
]
