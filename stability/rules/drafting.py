"""Unit tests drafted from telemetry in which a rule fired: for rules that nobody has written one for."""

from __future__ import annotations

__all__ = ["LARGEST", "draft_unit_tests"]

from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd
import promql_parser as promql

from stability.rules.alerts import alert_episodes
from stability.rules.durations import duration_text
from stability.rules.evaluation import Evaluator
from stability.rules.expressions import children_of, parse, selectors_of
from stability.rules.files import Rule
from stability.rules.history import History, Series, grid_of, history_of
from stability.rules.notation import series_text
from stability.rules.unit_tests import fired_in
from stability.rules.vectors import NAME, Labels, Vector
from stability.schema import ContractError
from stability.telemetry.grid import micros

LARGEST = 20_000  # values of one test: a page that a person can still look through


def draft_unit_tests(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
) -> dict | None:
    """Cut a unit test out of telemetry for every rule that fires in it: its series from before until it fires.

    Parameters
    ----------
    rules : sequence of Rule
    telemetry, step, labels, lookback
        As for `firings`; the step is whole milliseconds, and becomes the interval of series and of evaluation.

    Returns
    -------
    dict or None
        What a file of unit tests holds, but for `rule_files`, in promtool's form; a test a rule that fires. Rules that
        do not, and those whose ranges would need more than `LARGEST` values, have none. None where there is no test.

    Raises
    ------
    ContractError
        As `firings`.
    """
    times = grid_of(telemetry, step)
    if len(times) < 2:
        return None
    width = int(times[1] - times[0])
    if width % 1_000:
        raise ContractError(column="step", expected="whole milliseconds", got=f"{width} us")
    evaluator = Evaluator(history_of(telemetry, labels, lookback), times)
    tests = [test for rule in rules if (test := _drafted(rule, evaluator, width)) is not None]
    interval = duration_text(pd.Timedelta(width, "us"))
    return (
        {"evaluation_interval": interval, "tests": [{"interval": interval} | test for test in tests]} if tests else None
    )


def _drafted(rule: Rule, evaluator: Evaluator, width: int) -> dict | None:
    times = evaluator.times
    episodes = alert_episodes(rule, evaluator.vector(rule.expr), times)
    if not episodes:
        return None
    reach = _reach(parse(rule.expr), evaluator.history.lookback)
    # The first that has all of its history before it, if there is one.
    whole = [one for one in episodes if one["pending_since"] - reach > times[0]] or episodes
    episode = whole[0]
    last = int(np.searchsorted(times, episode["start"]))
    first = max(0, int(np.searchsorted(times, episode["pending_since"] - reach - width)))
    window = times[first : last + 1]
    found = _found(rule, evaluator, window)
    if len(window) * len(found) > LARGEST:
        return None
    moments = np.arange(len(window), dtype=np.int64) * width
    alerts = fired_in(rule, History(_series(found, moments), evaluator.history.lookback), moments)
    if dict(episode["labels"]) not in [own for own, _ in alerts]:
        return None
    return {
        "name": f"{rule.alert}, as recorded",
        "input_series": [
            {"series": _written(own), "values": series_text(values, present)}
            for own, (values, present) in found.items()
        ],
        "alert_rule_test": [
            {
                "eval_time": duration_text(pd.Timedelta(int(moments[-1]), "us")),
                "alertname": rule.alert,
                "exp_alerts": [{"exp_labels": own, "exp_annotations": texts} for own, texts in alerts],
            }
        ],
    }


def _found(rule: Rule, evaluator: Evaluator, window: np.ndarray) -> dict[Labels, tuple[np.ndarray, np.ndarray]]:
    """Values and presence of the rule's series at the steps of a window; those that are never there are left out."""
    local = Evaluator(evaluator.history, window)
    vectors: list[Vector] = [local.newest(node) for node in selectors_of(rule.expr)]
    rows = (row for one in vectors for row in zip(one.labels, one.values, one.present, strict=True))
    return {labels: (values, present) for labels, values, present in rows if present.any()}


def _series(found: Mapping[Labels, tuple[np.ndarray, np.ndarray]], moments: np.ndarray) -> list[Series]:
    """What `series_text` says, as series: a marker where one goes, nothing until it is back."""
    made = []
    for labels, (values, present) in found.items():
        gone = ~present & np.concatenate([[False], present[:-1]])
        kept = present | gone
        made.append(Series(labels, moments[kept], values[kept], gone[kept]))
    return made


def _reach(node: promql.Expr, lookback: int) -> int:
    """How far back an expression looks, microseconds."""
    if isinstance(node, promql.MatrixSelector):
        return micros(node.range, "range") + _offset(node.vector_selector)
    if isinstance(node, promql.VectorSelector):
        return lookback + _offset(node)
    return max((_reach(child, lookback) for child in children_of(node)), default=0)


def _offset(node: promql.VectorSelector) -> int:
    return micros(node.offset, "offset") if node.offset else 0


def _written(labels: Labels) -> str:
    held = dict(labels)
    name = held.pop(NAME, "")
    quoted = (f'{key}="{_escaped(text)}"' for key, text in held.items())
    return f"{name}{{{','.join(quoted)}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
