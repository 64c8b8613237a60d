"""Metrics that a rule needs and nobody has: alarms of their own, because such a rule is silent as if all were well."""

from __future__ import annotations

__all__ = ["absences"]

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pandas as pd

from stability.rules.files import Rule


def absences(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
    wait: str | float | timedelta = "5min",
) -> pd.DataFrame:
    """Find the episodes in which a rule lacks a metric.

    Parameters
    ----------
    rules : sequence of Rule
    telemetry, step, labels, lookback
        As for `evaluate`.
    wait : str, float or timedelta
        How long a series must have been away.

    Returns
    -------
    DataFrame
        A row an episode, by start and rule: `rule`, `metric`, `selector` (as the rule writes it), `entity` (whose
        series was there and went; "" where none has been there yet), `pending_since` (absent from here on), `start`
        (`pending_since` + `wait`), `end` (it is back; NaT = still absent).
    """
    raise NotImplementedError
