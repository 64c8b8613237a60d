"""What was known at time t, never later: features of metrics, logs and fault records."""

from stability.features.rolling import STATISTICS, Rolling

__all__ = ["STATISTICS", "Rolling"]
