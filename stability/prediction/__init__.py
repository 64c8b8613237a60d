"""The probability that users feel a fault within a horizon: labels, honest splits, and what knows the answer."""

from stability.prediction.labels import (
    HorizonTarget,
    SurvivalTarget,
    horizon_target,
    impact_labels,
    in_outage,
    survival_target,
)
from stability.prediction.proxies import TargetProxyWarning, proxy_screen
from stability.prediction.splits import Split, check_split, entity_folds, random_split, time_folds, time_split

__all__ = [
    "HorizonTarget",
    "Split",
    "SurvivalTarget",
    "TargetProxyWarning",
    "check_split",
    "entity_folds",
    "horizon_target",
    "impact_labels",
    "in_outage",
    "proxy_screen",
    "random_split",
    "survival_target",
    "time_folds",
    "time_split",
]
