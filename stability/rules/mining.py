"""Rules proposed from labelled history: leaves of shallow trees, written as PromQL and measured as any other rule."""

from __future__ import annotations

__all__ = ["features_of", "gain", "mine"]

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from stability.evaluation.intervals import NotEnoughEvidence, wilson_interval
from stability.evaluation.matching import match_events
from stability.rules.alerts import firings
from stability.rules.causes import causes_of
from stability.rules.counting import backtest
from stability.rules.durations import duration, duration_text
from stability.rules.evaluation import evaluate
from stability.rules.files import Rule

WINDOWS = ("10s",)
WAITS = ("0s", "2s", "5s")
DEPTH = 2  # conditions of a rule: more are hard to read, and few faults do not bear them
DIGITS = 4  # significant digits of a threshold that people are to read
NUMBERS = ["recall", "precision", "false_per_day", "delay"]
SHARE = 0.02  # of the time without a fault in which a rule may fire
GAUGE = ("{metric}", "avg_over_time({metric}[{window}])", "deriv({metric}[{window}])")
COUNTER = ("rate({metric}[{window}])",)


def features_of(metrics: Iterable[str], windows: Sequence[str] = WINDOWS) -> list[str]:
    """Write the expressions that a mined rule may compare: what a person would look at first.

    Parameters
    ----------
    metrics : iterable of str
    windows : sequence of str
        Ranges, as Prometheus writes them.

    Examples
    --------
    >>> features_of(["up", "errors_total"], ["5m"])
    ['up', 'avg_over_time(up[5m])', 'deriv(up[5m])', 'rate(errors_total[5m])']
    """
    found = []
    for metric, window in product(metrics, windows):
        forms = COUNTER if metric.endswith("_total") else GAUGE
        found += [form.format(metric=metric, window=window) for form in forms]
    return list(dict.fromkeys(found))


def mine(
    telemetry: pd.DataFrame,
    faults: pd.DataFrame,
    *,
    budget: float,
    windows: Sequence[str] = WINDOWS,
    waits: Sequence[str] = WAITS,
    depth: int = DEPTH,
    stride: int = 3,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    late: str | pd.Timedelta = "0s",
    share: float = SHARE,
    seed: int = 0,
) -> tuple[list[Rule], pd.DataFrame]:
    """Propose for each failure mode the rule that finds most of its faults within a budget of false episodes.

    For each mode trees of one to `depth` levels tell the rows of its root entities during its faults from their other
    rows; each leaf in which the mode prevails is a conjunction of comparisons, with each of `waits` as its `for`. All
    are backtested on the same history over all entities, and of those within the budget the one stays that finds most,
    then the more precise (in tenths), then the earlier, then the shorter. One that on the mean speaks in the second
    half of a fault, or when it is over, is no proposal.

    Parameters
    ----------
    telemetry, faults, step, labels, late
        As for `score`; the part of history to learn from. Judge on a later one (`gain`).
    budget : float
        False episodes a day that a rule may have.
    windows : sequence of str
        Ranges of the features.
    waits : sequence of str
        Values of `for` to try.
    depth : int
        Most comparisons of a rule.
    stride : int
        Every so many rows a tree sees: neighbours tell the same.
    share : float
        Share of the time without a fault in which it may fire.
    seed : int
        Of the trees, where splits are equally good.

    Returns
    -------
    list of Rule
        At most one a mode, group `mined`, severity `info`: a proposal is read by a person before it wakes one.
    DataFrame, index rule
        `failure_mode`, `faults`, `expr`, `for`, `tried` (variants), `recall`, `precision`, `false_per_day`, `delay`
        (s), all of the history that it was made from, which flatters it.

    Raises
    ------
    ContractError
        As `firings`, and without a fault that has a time.
    """
    causes = causes_of(faults)
    table = _features(telemetry, windows, step, labels)
    mode_of = _labels(table.index, causes)
    variants: list[Rule] = []
    for mode in sorted(set(causes["failure_mode"]) - {""}):
        # Rows of the kind of entity that can have the mode: against others a tree would learn who is who.
        here = table.index.get_level_values("entity").isin(causes.loc[causes["failure_mode"] == mode, "entity"])
        rows = np.flatnonzero(here)[::stride]
        target = mode_of[rows] == mode
        if not target.any() or target.all():
            continue
        known = table.iloc[rows].dropna(axis=1, how="all")
        values = np.nan_to_num(known.to_numpy(), nan=0.0, posinf=0.0, neginf=0.0)
        leaves = []
        for levels, weight in product(range(1, depth + 1), (None, "balanced")):
            tree = DecisionTreeClassifier(max_depth=levels, min_samples_leaf=5, class_weight=weight, random_state=seed)
            leaves += _leaves(tree.fit(values, target), list(known.columns))
        for expr, wait in product(dict.fromkeys(leaves), waits):
            variants.append(_rule(mode, expr, wait, len(variants)))
    fired = firings(variants, telemetry, step=step, labels=labels)
    judged = backtest(fired, faults, telemetry, late=late)
    judged = judged.reindex([rule.alert for rule in variants]).fillna(0.0)
    return _chosen(variants, judged, causes, budget, share)


def gain(
    mined: Sequence[Rule],
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    faults: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    late: str | pd.Timedelta = "0s",
    budget: float = math.inf,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure on a later block what mined rules add to rules that are there.

    Parameters
    ----------
    mined, rules : sequence of Rule
        What is proposed, and what it is added to.
    telemetry, faults, step, labels, late
        As for `score`; nothing of it may have been mined.
    budget : float
        False episodes a day that a rule may have.
    confidence : float
        Of Wilson's intervals.

    Returns
    -------
    DataFrame, index rule
        `failure_mode`, `faults` of it; `recall` with `recall_lo`, `recall_hi`; `recall_rules`: what the rules of the
        same mode find without it; `gain` with `gain_lo`, `gain_hi`: share of the mode's faults that it finds and they
        do not; `precision`, `false_per_day`; `within`: whether it keeps the budget here too.
    """
    causes = causes_of(faults)
    fired = firings([*mined, *rules], telemetry, step=step, labels=labels)
    judged = backtest(fired, faults, telemetry, late=late)
    rows = {}
    for rule in mined:
        mode = rule.labels["failure_mode"]
        own = causes[causes["failure_mode"] == mode]
        siblings = {one.alert for one in rules if one.labels.get("failure_mode") == mode}
        hit, had = (_hits(fired, names, own, late) for names in ({rule.alert}, siblings))
        numbers = judged.reindex([rule.alert]).iloc[0]
        false = 0.0 if math.isnan(numbers["false_per_day"]) else float(numbers["false_per_day"])
        rows[rule.alert] = {
            "failure_mode": mode,
            "faults": len(own),
            **_share("recall", hit, confidence),
            "recall_rules": had.mean() if len(own) else math.nan,
            **_share("gain", hit & ~had, confidence),
            "precision": numbers["precision"],
            "false_per_day": false,
            "within": false <= budget,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")


def _features(telemetry: pd.DataFrame, windows, step, labels) -> pd.DataFrame:
    """A row an entity and evaluation, a column a feature; NaN where it gives nothing."""
    columns = {}
    for expr in features_of(telemetry.columns[telemetry.notna().any()], windows):
        values = evaluate(expr, telemetry, step=step, labels=labels)
        values.columns = values.columns.get_level_values("entity")
        columns[expr] = values.T.stack(future_stack=True)  # noqa: PD013 - melt would lose the index
    return pd.DataFrame(columns).rename_axis(["entity", "timestamp"])


def _labels(index: pd.MultiIndex, causes: pd.DataFrame) -> np.ndarray:
    """Mode of the fault whose root an entity is at a moment; "" without one."""
    entity, stamp = index.get_level_values("entity"), index.get_level_values("timestamp")
    found = np.full(len(index), "", dtype=object)
    for cause in causes.itertuples():
        found[(entity == cause.entity) & (stamp >= cause.start) & (stamp <= cause.end)] = cause.failure_mode
    return found


def _leaves(tree: DecisionTreeClassifier, names: list[str]) -> list[str]:
    """The leaves in which the mode prevails, as conjunctions; on one path an expression keeps its tightest bounds."""
    held, found = tree.tree_, []

    def walk(node: int, bounds: dict[tuple[str, str], float]) -> None:
        if held.children_left[node] < 0:
            if held.value[node][0].argmax() == 1 and bounds:
                found.append(
                    " and ".join(f"{name} {sign} {value:.{DIGITS}g}" for (name, sign), value in bounds.items())
                )
            return
        name, value = names[held.feature[node]], float(held.threshold[node])
        low, high = bounds.get((name, ">"), -math.inf), bounds.get((name, "<="), math.inf)
        walk(held.children_left[node], bounds | {(name, "<="): min(high, value)})
        walk(held.children_right[node], bounds | {(name, ">"): max(low, value)})

    if held.node_count > 1:
        walk(0, {})
    return found


def _rule(mode: str, expr: str, wait: str, number: int) -> Rule:
    name = "Mined" + "".join(part.capitalize() for part in mode.split("_"))
    return Rule(
        group="mined",
        alert=f"{name}\n{number}",
        expr=expr,
        wait=duration(wait),
        labels={"failure_mode": mode, "severity": "info", "component": "mined"},
        annotations={
            "summary": f"It looks like {mode.replace('_', ' ')}",
            "description": "Mined from labelled history; the expression is what told its faults from other times.",
            "runbook": f"Compare with the last fault of the mode {mode} before acting; nobody has confirmed this rule.",
        },
    )


def _chosen(variants, judged: pd.DataFrame, causes: pd.DataFrame, budget: float, share: float):
    rules, rows = [], {}
    for mode in dict.fromkeys(rule.labels["failure_mode"] for rule in variants):
        own = {rule.alert: rule for rule in variants if rule.labels["failure_mode"] == mode}
        table = judged.loc[list(own)].assign(length=[len(rule.expr) for rule in own.values()])
        spans = causes[causes["failure_mode"] == mode]
        in_time = table["delay"] <= (spans["end"] - spans["start"]).mean().total_seconds() / 2
        quiet = (table["false_per_day"] <= budget) & (table["firing_share"] <= share)
        fits = table[quiet & in_time & (table["recall"] > 0)]
        if fits.empty:
            continue
        order = {"recall": False, "precision": False, "delay": True, "length": True}
        ranked = fits.round({"precision": 1}).sort_values(list(order), ascending=list(order.values()), kind="stable")
        best = own[ranked.index[0]]
        rule = replace(best, alert=best.alert.partition("\n")[0])
        rules.append(rule)
        rows[rule.alert] = {
            "failure_mode": mode,
            "faults": int((causes["failure_mode"] == mode).sum()),
            "expr": rule.expr,
            "for": duration_text(rule.wait),
            "tried": len(own),
            **fits.loc[ranked.index[0], NUMBERS].to_dict(),
        }
    columns = ["failure_mode", "faults", "expr", "for", "tried", *NUMBERS]
    return rules, pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("rule")


def _hits(fired: pd.DataFrame, names: set[str], own: pd.DataFrame, late) -> np.ndarray:
    """Which faults start an episode of one of the rules, at their root or nowhere in particular."""
    episodes = fired[fired["rule"].isin(names)].assign(end=lambda table: table["start"])
    found = np.zeros(len(own), dtype=bool)
    for view in (own, own.assign(entity="")):
        found |= match_events(episodes, view, late=late, match="start").events["found"].to_numpy()
    return found


def _share(name: str, hits: np.ndarray, confidence: float) -> dict[str, float]:
    try:
        found = wilson_interval(int(hits.sum()), len(hits), confidence)
    except NotEnoughEvidence:
        found = (math.nan, math.nan, math.nan)
    return dict(zip((name, f"{name}_lo", f"{name}_hi"), found, strict=True))
