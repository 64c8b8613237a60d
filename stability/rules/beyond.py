"""Rules of any PromQL on one record: those of the subset evaluated here, the others by a Prometheus where there is one.

A rule that nothing at hand can evaluate is named, with the reason; it is not taken for one that never fires.
"""

from __future__ import annotations

__all__ = ["HERE", "PROMETHEUS", "Found", "any_firings"]

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import pandas as pd

from stability.rules.alerts import firings
from stability.rules.expressions import looks_ahead, parse, tree_of
from stability.rules.files import Rule
from stability.rules.reference import installed, reference_firings
from stability.schema import ContractError

HERE, PROMETHEUS = "here", "Prometheus"
NO_SERVER = "no Prometheus is installed here (Debian: apt-get install -y prometheus)"
FUTURE = "it is bound to one moment (@) or reads what comes later (a negative offset): no live rule can"


class Found(NamedTuple):
    """Episodes of rules, and what evaluated each.

    Parameters
    ----------
    fired : DataFrame
        As from `firings`.
    by : dict of rule to str
        `HERE`, `PROMETHEUS`, or "" where nothing did.
    why : dict of rule to str
        The reason, of those that nothing evaluated.
    """

    fired: pd.DataFrame
    by: dict[str, str]
    why: dict[str, str]


def any_firings(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
) -> Found:
    """Find the episodes in which rules fire, whatever PromQL they are written in.

    Parameters
    ----------
    rules, telemetry, step, labels
        As for `firings`.

    Returns
    -------
    Found
        Rules outside of the subset are evaluated by a Prometheus on loopback, started for that, where one is installed.
        One that reads the future is not evaluated at all, nor one that the server refuses.

    Raises
    ------
    ContractError
        Where an expression is not PromQL, with file and line.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="15s", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["a/1"], stamps], names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"x": [1.0, 9.0, 9.0, 1.0]}, index=index)
    >>> found = any_firings([Rule("g", "High", "x > 5"), Rule("g", "Later", "x offset -1m > 5")], panel)
    >>> found.fired["rule"].tolist(), found.by
    (['High'], {'High': 'here', 'Later': ''})
    """
    inside, outside, why = [], [], {}
    for rule in rules:
        if looks_ahead(_tree(rule)):
            why[rule.alert] = FUTURE
        elif _of_subset(rule):
            inside.append(rule)
        else:
            outside.append(rule)
    parts = [firings(inside, telemetry, step=step, labels=labels)]
    if outside and installed() is None:
        why |= {rule.alert: NO_SERVER for rule in outside}
    else:
        theirs, refused = _elsewhere(outside, telemetry, step, labels)
        parts += theirs
        why |= refused
    by = {rule.alert: "" for rule in rules} | {rule.alert: HERE for rule in inside}
    by |= {rule.alert: PROMETHEUS for rule in outside if rule.alert not in why}
    whole = [part for part in parts if len(part)] or parts[:1]
    fired = pd.concat(whole, ignore_index=True).sort_values(["start", "rule"], kind="stable", ignore_index=True)
    return Found(fired, by, why)


def _elsewhere(outside, telemetry, step, labels) -> tuple[list[pd.DataFrame], dict[str, str]]:
    """What a Prometheus gives: of all rules at once; one by one where it refuses any, so that one costs no other."""
    if not outside:
        return [], {}
    try:
        return [reference_firings(outside, telemetry, step=step, labels=labels)], {}
    except ContractError as error:
        if len(outside) == 1:
            return [], {outside[0].alert: f"Prometheus refuses it: {error}"}
    parts, why = [], {}
    for rule in outside:
        own, refused = _elsewhere([rule], telemetry, step, labels)
        parts += own
        why |= refused
    return parts, why


def _tree(rule: Rule):
    try:
        return tree_of(rule.expr)
    except ContractError as error:
        raise ContractError(
            error.problem,
            file=rule.file or None,
            row=rule.line or None,
            expected=error.expected,
            got=error.got,
            remedy=error.remedy,
        ) from None


def _of_subset(rule: Rule) -> bool:
    try:
        parse(rule.expr)
    except ContractError:
        return False
    return True
