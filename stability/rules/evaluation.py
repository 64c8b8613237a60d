"""Expressions over panels, at all times at once: the listed subset of PromQL as Prometheus 2.42 evaluates it."""

from __future__ import annotations

__all__ = ["evaluate"]

from collections.abc import Mapping
from datetime import timedelta

import pandas as pd


def evaluate(
    expr: str,
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
) -> pd.DataFrame:
    """Evaluate an expression at every step.

    Parameters
    ----------
    expr : str
        PromQL of the subset that `stability.rules.expressions` lists.
    telemetry : DataFrame
        A panel: index (entity, timestamp), a column a metric. Each entity is one series of each metric that it has a
        value of, labelled `entity`, or as `labels` says. NaN is the staleness marker of a scrape: from there on the
        series is absent until its next value.
    step : str, float or timedelta, optional
        Distance of the evaluations from the first timestamp on; the panel's usual distance of rows without it.
    labels : str or mapping, optional
        Template of the entity's name in labels, such as '{job}/{instance}', or entity -> its labels.
    lookback : str, float or timedelta
        How long a value serves when none follows; a number is in seconds.

    Returns
    -------
    DataFrame of shape (times, series)
        Index `timestamp`; columns: a MultiIndex with a level for each label (`__name__` among them where the metric's
        name is kept), "" where a series lacks it. NaN where the expression gives nothing, or gives NaN.
    """
    raise NotImplementedError
