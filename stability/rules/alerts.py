"""From expressions to alerts: pending, firing, kept firing, as Prometheus does it at every evaluation."""

from __future__ import annotations

__all__ = ["firings"]

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pandas as pd

from stability.rules.files import Rule


def firings(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
) -> pd.DataFrame:
    """Find the episodes in which rules fire.

    Parameters
    ----------
    rules : sequence of Rule
    telemetry, step, labels, lookback
        As for `evaluate`; every rule is evaluated at each `step`.

    Returns
    -------
    DataFrame
        A row an episode, by start and rule: `rule` (its alert's name), `entity` ("" where the rule aggregates it away),
        `labels` (dict, the alert's own and the rule's), `pending_since` (the expression gives something from here on),
        `start` (it fires), `end` (the first evaluation at which it no longer fires; NaT = still firing), `value` (the
        expression's at `start`), `component`, `severity`, `failure_mode` ("" where the rule has no such label).
    """
    raise NotImplementedError
