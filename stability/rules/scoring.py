"""Rules judged on history: what each finds, how early, how often it cries for nothing, and whether it adds anything."""

from __future__ import annotations

__all__ = ["score"]

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from stability.evaluation.events import event_estimates
from stability.evaluation.exposure import exposure
from stability.evaluation.intervals import (
    Estimate,
    NotEnoughEvidence,
    estimate_or_nan,
    poisson_interval,
    wilson_interval,
)
from stability.evaluation.matching import all_entities, match_events
from stability.evaluation.resampling import generator
from stability.evaluation.spans import span_arrays
from stability.rules.beyond import any_firings
from stability.rules.causes import ALL_SYSTEM, causes_of, observed_spans_of
from stability.rules.expressions import tree_of
from stability.rules.files import Rule
from stability.rules.overlap import REPEATS, lacking_metrics, redundancy, repeated

ALWAYS = 0.5  # share of the time without a fault from which on a rule tells nothing by firing
DAY = 86_400.0  # s
MEASURES = ("recall", "recall_any", "precision", "precision_any", "false_per_day", "warned", "lead_p50")
GIVEN = "given"  # what evaluated a rule whose episodes the caller brings
_NOTHING = Estimate(math.nan, math.nan, math.nan)
_SPAN = ["entity", "start", "end"]


def score(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    faults: pd.DataFrame,
    *,
    fired: pd.DataFrame | None = None,
    step: str | float | timedelta | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    late: str | pd.Timedelta = "0s",
    repeats: float = REPEATS,
    always: float = ALWAYS,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Backtest rules against fault records.

    Parameters
    ----------
    rules : sequence of Rule
    telemetry, step, labels
        As for `firings`.
    faults : DataFrame
        Table `faults` of the contract.
    fired : DataFrame, optional
        What `firings` gave for these rules and this telemetry, to save the time.
    late : Timedelta or text
        How long after a fault's end an episode still belongs to it: windows look back, and services recover.
    repeats : float
        Jaccard index of firing time from which on one of two rules only repeats the other.
    always : float
        Share of the time without a fault from which on a rule fires always.
    resamples, confidence, seed
        Of the intervals.

    Returns
    -------
    DataFrame, index rule
        `failure_mode`, `severity`, `component`, `episodes`, `faults` (of its own mode).
        `recall`: share of the faults of its mode in which it starts to fire and names the root entity (or none at all);
        `recall_any`: share of all faults in which it starts to fire, wherever. `precision`: share of its episodes that
        start in a fault of its mode and name that fault's root entity; `precision_any`: in any fault. `false_per_day`:
        episodes that start in no fault, per day without one. `warned`: share of the faults of its mode with an impact
        in which it fires before anybody was hurt; `lead_p50`: median time in s from firing to impact over those that
        it finds, negative when later. Each with `_lo` and `_hi`; NaN where nothing defines it. `firing_share`: of the
        time without a fault. `nearest`, `jaccard`: the rule that fires most at the same entities and times. `absent`:
        metrics for want of which it cannot fire. `by`: what evaluated it, 'here', 'Prometheus' for a rule outside of
        the subset, 'given' with `fired`, '' where nothing did; `why_not`: the reason of that. `verdict`: 'not scored'
        for these, 'absent metric', 'never fires', 'always fires', 'only repeats <rule>', 'false alarms only',
        'misses its mode' or 'ok'.

    Raises
    ------
    ContractError
        As `firings`, and without a fault that has a time.

    Notes
    -----
    Intervals of `precision_any`, `recall_any` and `false_per_day` are the wider of a bootstrap over blocks of time
    (twice the longest fault) and the classical one, since the episodes of one fault depend on each other; those of a
    rule's own mode, with a handful of faults, are Wilson's; the lead's is a percentile bootstrap. An episode belongs
    to the fault in which it starts: what was on already tells nothing new, so that a rule that fires always finds
    nothing.
    """
    causes = causes_of(faults)
    by, why = {rule.alert: GIVEN for rule in rules}, {}
    if fired is None:
        fired, by, why = any_firings(rules, telemetry, step=step, labels=labels)
    span = observed_spans_of(telemetry)
    block = 2 * max(causes["end"] - causes["start"]) + pd.Timedelta(late)
    settings = {"late": late, "confidence": confidence}
    drawn = {"match": "start", "unit": "block", "block": block, "resamples": resamples, "seed": seed} | settings
    by_rule = dict(list(_closed(fired, span["end"].max()).groupby("rule", sort=False)))
    none = _closed(fired.iloc[:0], span["end"].max())
    days, rows = _free_days(causes, span, late), {}
    for rule in rules:
        episodes = by_rule.get(rule.alert, none)
        mode = rule.labels.get("failure_mode", "")
        own = causes[causes["failure_mode"] == mode]
        rows[rule.alert] = {
            "failure_mode": mode,
            "severity": rule.labels.get("severity", ""),
            "component": rule.labels.get("component", ""),
            "episodes": len(episodes),
            **(
                _unknown(own)
                if rule.alert in why
                else _silent(own, len(causes), days, confidence)
                if episodes.empty
                else _own(episodes, own, **settings, seed=seed, resamples=resamples)
                | _any(episodes, causes, span, drawn)
                | {"firing_share": _free_share(episodes, causes, span, late)}
            ),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")
    alike = redundancy(rules, fired, telemetry)
    table = table.join(repeated(alike, table["recall_any"] - table["firing_share"].fillna(0), repeats))
    present = set(telemetry.columns[telemetry.notna().any()])
    lacking = [", ".join(lacking_metrics(tree_of(rule.expr), present)) for rule in rules]
    table["absent"] = pd.Series(lacking, index=table.index, dtype="str")
    table["by"] = pd.Series(by, dtype="str").reindex(table.index)
    table["why_not"] = pd.Series(why, dtype="str").reindex(table.index, fill_value="")
    table["verdict"] = [_verdict(row, always) for row in table.itertuples()]
    return table.drop(columns="repeats")


def _closed(fired: pd.DataFrame, last: pd.Timestamp) -> pd.DataFrame:
    """Episodes whose ends are the last moment in which they fire, also of those that fire on."""
    end = fired["end"].fillna(last) - pd.Timedelta("1us")
    return fired.assign(end=end.where(end > fired["start"], fired["start"]))


def _everywhere(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(entity=ALL_SYSTEM)[_SPAN]


def _found(episodes: pd.DataFrame, own: pd.DataFrame, late) -> tuple[np.ndarray, np.ndarray]:
    """Which faults were found and which episodes are true, the entity right; one that names none may be anywhere."""
    nameless = episodes["entity"].eq("")
    found, true = np.zeros(len(own), dtype=bool), np.zeros(len(episodes), dtype=bool)
    for chosen, view in ((~nameless, lambda table: table[_SPAN]), (nameless, _everywhere)):
        matched = match_events(view(episodes[chosen]), view(own), late=late, match="start")
        found |= matched.events["found"].to_numpy()
        true[chosen.to_numpy()] = matched.alarms["true"].to_numpy()
    return found, true


def _leads(episodes: pd.DataFrame, own: pd.DataFrame, found: np.ndarray) -> pd.Series:
    """Seconds from the first episode within a fault to its impact; NaN where nobody felt it."""
    leads = []
    for cause in own[found & own["impact_start"].notna().to_numpy()].itertuples():
        here = episodes[episodes["entity"].isin(["", cause.entity]) & (episodes["start"] >= cause.start)]
        leads.append((cause.impact_start - here["start"].min()).total_seconds())
    return pd.Series(leads, dtype="float64")


def _silent(own: pd.DataFrame, faults: int, days: float, confidence: float) -> dict:
    """What is known of a rule that never fired."""
    felt = int(own["impact_start"].notna().sum())
    nothing = {
        "recall": _wilson(0, len(own), confidence),
        "precision": _NOTHING,
        "warned": _wilson(0, felt, confidence),
        "lead_p50": _NOTHING,
        "recall_any": _wilson(0, faults, confidence),
        "precision_any": _NOTHING,
        "false_per_day": _try(lambda: poisson_interval(0, days, confidence)),
    }
    columns = {key: value for name, one in nothing.items() for key, value in _columns(name, one).items()}
    return {"faults": len(own), "firing_share": 0.0} | columns


def _unknown(own: pd.DataFrame) -> dict:
    """What is known of a rule that nothing evaluated: that it has not been judged."""
    columns = {key: value for name in MEASURES for key, value in _columns(name, _NOTHING).items()}
    return {"faults": len(own), "firing_share": math.nan} | columns


def _own(episodes, own, *, late, confidence, seed, resamples) -> dict:
    found, true = _found(episodes, own, late)
    leads = _leads(episodes, own, found).to_numpy()
    felt = int(own["impact_start"].notna().sum())
    middle = _NOTHING
    if len(leads):
        drawn = generator(seed).choice(leads, (resamples, len(leads)))
        middle = estimate_or_nan(float(np.median(leads)), np.median(drawn, axis=1), confidence)
    return {
        "faults": len(own),
        **_columns("recall", _wilson(found.sum(), len(own), confidence)),
        **_columns("precision", _wilson(true.sum(), len(true) if len(own) else 0, confidence)),
        **_columns("warned", _wilson((leads > 0).sum(), felt, confidence)),
        **_columns("lead_p50", middle),
    }


def _any(episodes: pd.DataFrame, causes: pd.DataFrame, span: pd.DataFrame, drawn: dict) -> dict:
    alarms, windows = _everywhere(episodes), _everywhere(causes)
    try:
        held = event_estimates(alarms, windows, span, **drawn)
        found = held["recall"], held["precision"], held["false_alarms_per_day"]
    except NotEnoughEvidence:  # too short for a bootstrap over blocks
        matched, sure = match_events(alarms, windows, late=drawn["late"], match="start"), drawn["confidence"]
        hits, true = matched.events["found"], matched.alarms["true"]
        days = _free_days(causes, span, drawn["late"])
        rate = _try(lambda: poisson_interval(int((~true).sum()), days, sure))
        found = _wilson(hits.sum(), len(hits), sure), _wilson(true.sum(), len(true), sure), rate
    names = ("recall_any", "precision_any", "false_per_day")
    return {key: value for name, one in zip(names, found, strict=True) for key, value in _columns(name, one).items()}


def _pieces(episodes: pd.DataFrame, causes: pd.DataFrame, span: pd.DataFrame, late) -> tuple[np.ndarray, ...]:
    entities = all_entities(span)
    windows = _everywhere(causes).assign(end=causes["end"] + pd.Timedelta(late))
    parts = ((span, "observed"), (windows, "windows"), (_everywhere(episodes), "alarms"))
    _, _, seconds, free, alarmed = exposure(*(span_arrays(part, name, entities) for part, name in parts))
    return seconds, free, alarmed


def _free_days(causes: pd.DataFrame, span: pd.DataFrame, late) -> float:
    seconds, free, _ = _pieces(causes.iloc[:0], causes, span, late)
    return float(seconds[free].sum()) / DAY


def _free_share(episodes: pd.DataFrame, causes: pd.DataFrame, span: pd.DataFrame, late) -> float:
    seconds, free, alarmed = _pieces(episodes, causes, span, late)
    total = seconds[free].sum()
    return float(seconds[free & alarmed].sum() / total) if total else math.nan


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_lo": estimate.lo, f"{name}_hi": estimate.hi}


def _wilson(successes: float, trials: int, confidence: float) -> Estimate:
    return _try(lambda: wilson_interval(int(successes), int(trials), confidence))


def _try(estimate: Callable[[], Estimate]) -> Estimate:
    try:
        return estimate()
    except NotEnoughEvidence:
        return _NOTHING


def _verdict(row, always: float) -> str:
    if row.why_not:
        return "not scored"
    if row.absent:
        return "absent metric"
    if not row.episodes:
        return "never fires"
    if row.firing_share >= always:
        return "always fires"
    if row.repeats:
        return f"only repeats {row.repeats}"
    if not row.precision_any > 0:
        return "false alarms only"
    return "misses its mode" if row.recall == 0 else "ok"
