"""What else goes on, on the machine that the testbed runs on: a measurement that others disturb is made again."""

from __future__ import annotations

__all__ = ["Machine"]

import os
from pathlib import Path

import pandas as pd
import psutil

from stability.testbed import control

MINUTE = 12  # looks at the machine that make one


class Machine:
    """What else goes on: the load average, and the share of all cores that is neither idle nor the testbed's."""

    def __init__(self, home: Path) -> None:
        self.home, self.load, self.others = home, [], []
        self.last = self._taken()

    def _taken(self) -> tuple[float, float, float]:
        busy = psutil.cpu_times()
        idle = busy.idle + getattr(busy, "iowait", 0.0)
        return sum(busy) - getattr(busy, "guest", 0.0) - getattr(busy, "guest_nice", 0.0), idle, self._own()

    def _own(self) -> float:
        """CPU time of the testbed's processes, of the ended ones as their parent counts them, and of this one."""
        own = sum(psutil.Process().cpu_times()[:2])
        state = control.read_state(self.home)
        if state and (supervisor := control.running(state["supervisor"])):
            for process in [supervisor, *supervisor.children(recursive=True)]:
                try:
                    times = process.cpu_times()
                    own += times.user + times.system + times.children_user + times.children_system
                except psutil.NoSuchProcess:
                    continue
        return own

    def look(self) -> None:
        """Note what happened since the last look."""
        now = self._taken()
        total, idle, own = (after - before for after, before in zip(now, self.last, strict=True))
        self.last = now
        self.load.append(os.getloadavg()[0])
        self.others.append(max(total - idle - max(own, 0.0), 0.0) / total if total > 0 else 0.0)

    def facts(self) -> dict[str, float]:
        """Means and worst minutes."""
        minutes = pd.Series(self.others, dtype="float64").rolling(MINUTE, min_periods=1).mean()
        load = pd.Series(self.load, dtype="float64")
        return {
            "load_mean": round(load.mean(), 2),
            "load_max": round(load.max(), 2),
            "others_mean": round(float(pd.Series(self.others, dtype="float64").mean()), 3),
            "others_minute_max": round(minutes.iloc[min(MINUTE, len(minutes)) - 1 :].max(), 3),
        }
