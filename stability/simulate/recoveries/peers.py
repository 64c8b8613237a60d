"""What repair tools take for a recovery, as rules of one line: to stand beside a verdict on the same traces."""

from __future__ import annotations

__all__ = ["PEERS"]

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pandas as pd

HOLD = pd.Timedelta(seconds=30)  # as long as a verdict's own
RECENT = pd.Timedelta(minutes=5)  # how long a monitoring system takes a last value for the present one (Prometheus)


def alarm_cleared(known: Mapping[str, object]) -> bool:
    """No score of the entity is above its threshold; an alarm without samples resolves, as those of Prometheus do."""
    scores, entity = known["scores"], known["entity"]
    if entity not in scores.index.get_level_values(0):
        return True
    own = scores.loc[entity]
    now = own[own.index > known["now"] - pd.Timedelta(seconds=1)]
    return not any((now[name] > threshold).any() for name, threshold in known["thresholds"].items())


def always(known: Mapping[str, object]) -> bool:
    """The hold period is over: the repair ran without an error, so it is taken to have worked."""
    return known["now"] >= known["acted_at"] + HOLD


def health_endpoint(known: Mapping[str, object]) -> bool:
    """The entity answers its health check, by the last value of `up` within five minutes."""
    telemetry, entity = known["telemetry"], known["entity"]
    if entity not in telemetry.index.get_level_values(0):
        return False
    up = telemetry.loc[entity, "up"].dropna()
    up = up[up.index > known["now"] - RECENT]
    return bool(len(up) and up.iloc[-1] == 1)


PEERS: Mapping[str, Callable[[Mapping[str, object]], bool]] = MappingProxyType(
    {"alarm cleared": alarm_cleared, "always, after the hold": always, "health endpoint answers": health_endpoint}
)
"""Rules by name: whether what is known at a moment is taken for a recovery; asked until one says so."""
