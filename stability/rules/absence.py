"""Metrics that a rule needs and nobody has: alarms of their own, because such a rule is silent as if all were well."""

from __future__ import annotations

__all__ = ["absences"]

from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd
import promql_parser as promql

from stability.rules.evaluation import Evaluator
from stability.rules.expressions import check_expression, metric_of, selector_key, selectors_of
from stability.rules.files import Rule
from stability.rules.history import grid_of, history_of
from stability.rules.vectors import nameless
from stability.telemetry.grid import micros

COLUMNS = ("rule", "metric", "selector", "entity", "pending_since", "start", "end")
_NAT = np.iinfo(np.int64).min


def absences(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
    wait: str | float | timedelta = "5min",
) -> pd.DataFrame:
    """Find the episodes in which a rule lacks a metric: an alarm, and no sign of health.

    A selector that has selected nothing yet lacks its metric as a whole; a series that was there and went is missed
    for its entity, until it is back. What stands inside absent() is asked for whether it is there, and needs nothing.

    Parameters
    ----------
    rules : sequence of Rule
    telemetry, step, labels, lookback
        As for `evaluate`.
    wait : str, float or timedelta
        How long it must have been away.

    Returns
    -------
    DataFrame
        A row an episode, by start and rule: `rule`, `metric` ("" where a pattern of names is asked for), `selector` (as
        the rule writes it), `entity` (whose series was there and went; "" where none has been there yet, or the series
        belongs to no entity), `pending_since` (absent from here on), `start` (the first evaluation at least `wait`
        later), `end` (it is back; NaT = still absent).

    Raises
    ------
    ContractError
        As `firings`.
    """
    times = grid_of(telemetry, step)
    history = history_of(telemetry, labels, lookback)
    owners = {own: entity for entity, own in history.entities.items()}
    evaluator, hold = Evaluator(history, times), micros(wait, "wait")
    known: dict[tuple, list[tuple]] = {}
    rows = []
    for rule in rules:
        check_expression(rule.expr, file=rule.file or None, row=rule.line or None)
        for selector in selectors_of(rule.expr, guarded=False):
            key = selector_key(selector)
            if key not in known:
                known[key] = list(_lacking(selector, evaluator, owners, times, hold))
            text = (selector.name or "") + (str(selector.matchers) if selector.matchers.matchers else "")
            rows += [(rule.alert, metric_of(selector) or "", text, *episode) for episode in known[key]]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("pending_since", "start", "end"):
        table[name] = pd.DatetimeIndex(table[name].to_numpy(dtype=np.int64).view("datetime64[us]"), tz="UTC")
    for name in ("rule", "metric", "selector", "entity"):
        table[name] = table[name].astype("str")
    return table.sort_values(["start", "rule", "entity"], kind="stable", ignore_index=True)


def _lacking(selector: promql.VectorSelector, evaluator: Evaluator, owners, times: np.ndarray, hold: int):
    """Episodes of one selector: (entity, pending_since, start, end) in microseconds."""
    # Whatever offset it is read with, a metric is lacking when it is lacking.
    vector = evaluator.newest(selector)
    if not len(times):
        return
    ever = vector.present.any(axis=0)
    yield from _runs(np.maximum.accumulate(ever) == 0, "", times, hold)
    for labels, present in zip(vector.labels, vector.present, strict=True):
        lost = np.maximum.accumulate(present) & ~present
        yield from _runs(lost, owners.get(nameless(labels), ""), times, hold)


def _runs(absent: np.ndarray, entity: str, times: np.ndarray, hold: int):
    edges = np.flatnonzero(np.diff(absent, prepend=False, append=False))
    for begin, stop in edges.reshape(-1, 2).tolist():
        start = int(np.searchsorted(times, times[begin] + hold, "left"))
        if start < stop:
            yield entity, int(times[begin]), int(times[start]), _NAT if stop == len(times) else int(times[stop])
