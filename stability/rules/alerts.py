"""From expressions to alerts: pending, firing, kept firing, as Prometheus does it at every evaluation."""

from __future__ import annotations

__all__ = ["COLUMNS", "alert_episodes", "firings", "firings_table"]

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from stability.rules.evaluation import Evaluator
from stability.rules.expressions import check_expression
from stability.rules.files import Rule
from stability.rules.history import grid_of, history_of
from stability.rules.templates import expand_labels
from stability.rules.vectors import Labels, Vector, merged, nameless
from stability.schema import ContractError

FROM_LABELS = ("component", "severity", "failure_mode")
COLUMNS = ("rule", "entity", "labels", "pending_since", "start", "end", "value", *FROM_LABELS)
_TIMES = ("pending_since", "start", "end")
_NAT = np.iinfo(np.int64).min


def firings(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
) -> pd.DataFrame:
    """Find the episodes in which rules fire; an episode up to a moment is made of nothing after that moment.

    Parameters
    ----------
    rules : sequence of Rule
    telemetry, step, labels, lookback
        As for `evaluate`. Every rule is evaluated at each step, whatever interval its group has.

    Returns
    -------
    DataFrame
        A row an episode, by start and rule: `rule` (its alert's name), `entity` ("" where the rule aggregates it away),
        `labels` (dict, the alert's own and the rule's), `pending_since` (the expression gives something from here on),
        `start` (it fires), `end` (the first evaluation at which it no longer fires; NaT = still firing), `value` (the
        expression's at `start`), `component`, `severity`, `failure_mode` ("" where the rule has no such label). Times
        are datetime64[us, UTC].

    Raises
    ------
    ContractError
        With file and line of the rule, as `evaluate`, and if two series of a rule become one alert at the same time.

    Notes
    -----
    As Prometheus 2.42 (`rules/alerting.go`): an alert is pending from the first evaluation that gives its series, fires
    from the first one that is at least `for` later with no gap between, and ends at the first one without it; with
    `keep_firing_for`, at the first one that is at least so much later than the one that first lacked it.
    """
    times = grid_of(telemetry, step)
    history = history_of(telemetry, labels, lookback)
    evaluator = Evaluator(history, times)
    found = []
    for rule in rules:
        check_expression(rule.expr, file=rule.file or None, row=rule.line or None)
        try:
            vector = evaluator.vector(rule.expr)
            found += alert_episodes(rule, vector, times)
        except ContractError as error:
            raise placed(error, rule) from None
    return firings_table(found, history.entities)


def alert_episodes(rule: Rule, vector: Vector, times: np.ndarray) -> list[dict]:
    """Find the episodes of one rule.

    Parameters
    ----------
    rule : Rule
    vector : Vector
        What its expression gives at `times`.
    times : array of int64, shape (times,)
        Microseconds since 1970.

    Returns
    -------
    list of dict
        `rule`, `labels` (Labels, without the alert's name), `pending_since`, `start`, `end` (microseconds; None = still
        firing), `value`.
    """
    alerts = alerts_of(rule, vector, len(times))
    hold, keep = (length // pd.Timedelta("1us") for length in (rule.wait, rule.keep_firing_for))
    found = []
    for labels, values, present in zip(alerts.labels, alerts.values, alerts.present, strict=True):
        for pending, start, end in _episodes(present, times, hold, keep):
            found.append(
                {
                    "rule": rule.alert,
                    "labels": labels,
                    "pending_since": int(times[pending]),
                    "start": int(times[start]),
                    "end": None if end is None else int(times[end]),
                    "value": float(values[start]),
                }
            )
    return found


def alerts_of(rule: Rule, vector: Vector, length: int) -> Vector:
    """Give a vector's series the labels of a rule's alerts: the metric's name goes, the rule's own labels come."""
    own = [expand_labels(rule.labels, dict(nameless(one))) for one in vector.labels]
    labels = [_with(nameless(one), added) for one, added in zip(vector.labels, own, strict=True)]
    return merged(labels, vector.values, vector.present, length, rule.expr)


def firings_table(found: Iterable[dict], entities: Mapping[str, Labels]) -> pd.DataFrame:
    """Make the table of `firings` of episodes.

    Parameters
    ----------
    found : iterable of dict
        As `alert_episodes` gives them.
    entities : mapping of str to Labels
        Entity -> the labels of its series.
    """
    rows = list(found)
    table = pd.DataFrame(rows, columns=["rule", "labels", *_TIMES, "value"], dtype=object)
    # An alert belongs to the entity all of whose labels it has; few alerts differ in their labels.
    owners = {own: entity_of(own, entities) for own in set(table["labels"])}
    table["entity"] = table["labels"].map(owners).astype("str")
    held = [dict(one) for one in table["labels"]]
    for name in FROM_LABELS:
        table[name] = pd.Series([one.get(name, "") for one in held], index=table.index, dtype="str")
    table["labels"] = pd.Series(held, index=table.index, dtype=object)
    for name in _TIMES:
        stamps = np.array([_NAT if one is None else one for one in table[name].tolist()], dtype=np.int64)
        table[name] = pd.DatetimeIndex(stamps.view("datetime64[us]"), tz="UTC")
    table["rule"], table["value"] = table["rule"].astype("str"), table["value"].astype("float64")
    ordered = table.sort_values(["start", "rule", "entity"], kind="stable", ignore_index=True)
    return ordered[list(COLUMNS)]


def _episodes(present: np.ndarray, times: np.ndarray, hold: int, keep: int) -> list[tuple[int, int, int | None]]:
    """Places of (pending, firing, first no longer firing) of each episode that fires."""
    edges = np.flatnonzero(np.diff(present, prepend=False, append=False))
    found: list[tuple[int, int, int | None]] = []
    for begin, stop in edges.reshape(-1, 2).tolist():
        if found and (found[-1][2] is None or begin <= found[-1][2]):
            pending, start = found.pop()[:2]  # it was still kept firing: the same alert
        else:
            pending, start = begin, int(np.searchsorted(times, times[begin] + hold, "left"))
            if start >= stop:
                continue
        end = stop
        if keep and stop < len(times):
            end = int(np.searchsorted(times, times[stop] + keep, "left"))
        found.append((pending, start, None if end >= len(times) else end))
    return found


def _with(labels: Labels, added: Mapping[str, str]) -> Labels:
    held = dict(labels) | dict(added)
    held.pop("alertname", None)
    return tuple(sorted((name, text) for name, text in held.items() if text))


def entity_of(labels: Labels, entities: Mapping[str, Labels]) -> str:
    """Give the entity whose labels an alert has, the one with the most where there are several; "" for none.

    Examples
    --------
    >>> entity_of((("entity", "a"), ("zone", "z")), {"a": (("entity", "a"),), "b": (("entity", "b"),)})
    'a'
    """
    held = set(labels)
    fitting = [entity for entity, own in entities.items() if own and held.issuperset(own)]
    return max(fitting, key=lambda entity: len(entities[entity]), default="")


def placed(error: ContractError, rule: Rule) -> ContractError:
    """Give an error with the rule's file and line, where it names none itself."""
    if error.file is not None or not rule.file:
        return error
    return ContractError(
        error.problem,
        file=rule.file,
        row=rule.line,
        column=error.column,
        expected=error.expected,
        got=error.got,
        remedy=error.remedy,
    )
