"""What was known at time t, never later: features of metrics, logs and fault records."""

from stability.features.events import Events, events_of
from stability.features.own import Baseline, Regimes
from stability.features.rolling import STATISTICS, Rolling

__all__ = ["STATISTICS", "Baseline", "Events", "Regimes", "Rolling", "events_of"]
