"""What follows from an alarm: its causes, how much it matters, what is done about it, and a page that tells of it."""

from __future__ import annotations

__all__ = ["Incidents"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stability.monitor.chain import Step, Watch
    from stability.monitor.ring import Rows


class Incidents:
    """Alarms that are looked into."""

    def __init__(self, watch: Watch):
        self.watch = watch

    def step(self, step: Step, rows: Rows, values: np.ndarray) -> None:
        """Look into the alarms of a step."""

    def said(self) -> dict[str, Any]:
        """What is open, as JSON types."""
        return {}

    def restore(self, told: Mapping[str, Any]) -> None:
        """Take what `said` gave."""

    def reload(self) -> None:
        """Read anew what alarms are looked into with."""
