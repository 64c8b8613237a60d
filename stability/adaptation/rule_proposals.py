"""From labels on firings to changes of Prometheus rules: another threshold, a longer `for`, each backtested."""

from __future__ import annotations

__all__ = ["changed", "propose_rules"]

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd

from stability.adaptation.backtest import Candidate, judge, select
from stability.adaptation.cases import KINDS, Cases
from stability.adaptation.labelled import standing_labels
from stability.adaptation.proposals import MIN_CONFIRMED, MIN_DISCARDED, NotEnough, Proposal, digest
from stability.adaptation.trails import Trail
from stability.rules import Rule, firings, literal_of
from stability.rules.tuning import with_literal
from stability.schema import ContractError, validate

FAMILY = "rule"
FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0)  # of the threshold, and their inverses: which way is up the rule knows
STEPS = (1, 2, 4, 8, 16)  # evaluations that the rule waits longer


def propose_rules(
    rules: Sequence[Rule],
    telemetry: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    step: str | float | timedelta | None = None,
    series: str | Mapping[str, Mapping[str, str]] | None = None,
    folds: int = 5,
    margin: float = 0.05,
    wanted: float = 0.5,
    purge: float = 60.0,
    seed: int = 0,
) -> dict[str, Proposal | NotEnough]:
    """Propose changes of rules of which firings were labelled.

    Parameters
    ----------
    rules : sequence of Rule
        In force.
    telemetry, step
        As for `rules.firings`: the record on which they fired.
    labels : DataFrame
        The contract's `alarm_labels`; their detector is ``rule:`` and the alert's name.
    series : optional
        The `labels` of `rules.firings`.
    folds, margin, wanted, purge, seed
        As for `propose`.

    Returns
    -------
    dict of str to Proposal or NotEnough
        By alert, of the rules that have labels. A proposal's change has `expr` and `for`, as in a rule file; `changed`
        applies it.

    Raises
    ------
    ContractError
        As `rules.firings`, and for labels that break their contract.
    """
    told = standing_labels(validate(labels, "alarm_labels"))
    labelled = [rule for rule in rules if f"rule:{rule.alert}" in set(told["detector"])]
    if not labelled:
        return {}
    width = float(np.median(np.diff(telemetry.index.get_level_values("timestamp").unique().as_unit("us").asi8))) / 1e6
    width = width if step is None else pd.Timedelta(step if isinstance(step, str | timedelta) else f"{step}s") / _SECOND
    variants = {rule.alert: _variants(rule, width) for rule in labelled}
    every = [replace(one, alert=f"{name}\n{k}") for name, own in variants.items() for k, one in enumerate(own)]
    fired = firings(every, telemetry, step=step, labels=series)
    last = telemetry.index.get_level_values("timestamp").max()
    fired = fired.assign(entity=fired["entity"].fillna(""), end=fired["end"].fillna(last))
    settings = {"folds": folds, "margin": margin, "wanted": wanted, "purge": purge, "seed": seed}
    found = {}
    for rule in labelled:
        own = {k: fired[fired["rule"] == f"{rule.alert}\n{k}"] for k in range(len(variants[rule.alert]))}
        mine = told[told["detector"] == f"rule:{rule.alert}"]
        found[rule.alert] = _proposed(rule, variants[rule.alert], own, mine, **settings)
    return found


def changed(rules: Sequence[Rule], proposals: Sequence[Proposal]) -> list[Rule]:
    """Give rules as accepted proposals change them; `rules.exporting.rule_file_text` writes them.

    Raises
    ------
    ContractError
        For a proposal of a rule that there is not, or that changes nothing.
    """
    known = {rule.alert: rule for rule in rules}
    for one in proposals:
        name = one.detector.removeprefix("rule:")
        if name not in known or one.change is None or one.family != FAMILY:
            raise ContractError(column="proposals", expected="changes of these rules", got=f"{one.detector}: {one}")
        wait = pd.Timedelta(one.change["for"])
        known[name] = replace(known[name], expr=one.change["expr"], wait=wait)
    return list(known.values())


def _variants(rule: Rule, width: float) -> list[Rule]:
    """The rule as it is, then with other thresholds, then with a longer wait."""
    found, literal = [rule], literal_of(rule.expr)
    if literal is not None:
        values = [factor * literal for factor in FACTORS] + [literal / factor for factor in FACTORS]
        found += [with_literal(rule, value) for value in values]
    return found + [replace(rule, wait=rule.wait + pd.Timedelta(seconds=steps * width)) for steps in STEPS]


def _proposed(rule: Rule, variants: list[Rule], fired: dict[int, pd.DataFrame], mine: pd.DataFrame, *, folds: int,
              margin: float, wanted: float, purge: float, seed: int) -> Proposal | NotEnough:  # fmt: skip
    """Choose among variants of one rule."""
    said = dict(zip(zip(mine["entity"].fillna(""), mine["start"], strict=True), mine["label"], strict=True))
    base = [(row, said.get((row.entity, row.start))) for row in fired[0].itertuples()]
    kept = [(row, label) for row, label in base if label in KINDS]
    real = np.array([label == "confirmed" for _, label in kept], dtype=bool)
    there = {(row.entity, row.start) for row, _ in base}
    unmatched, detector = len(said.keys() - there), f"rule:{rule.alert}"
    if (~real).sum() < MIN_DISCARDED or real.sum() < MIN_CONFIRMED:
        return NotEnough(detector, int(real.sum()), int((~real).sum()), unmatched)
    spans = [[one.value // 1000 for one in (row.start, row.end)] for row, _ in kept]
    trails = tuple(Trail(row.entity, 1.0, span) for (row, _), span in zip(kept, spans, strict=True))
    counted = (int(real.sum()), int((~real).sum()))
    unsure, unlabelled = (sum(label == kind for _, label in base) for kind in ("unsure", None))
    policy = np.zeros(len(real), dtype=np.int64)
    found = Cases(trails, real, policy, (1.0,), counted, unsure, unlabelled, unmatched)
    options = [Candidate(FAMILY, _change(one), _delays(trails, fired[k])) for k, one in enumerate(variants) if k]
    block, held = found.blocks(folds), np.zeros(len(real))
    for k in range(folds):
        learning = found.outside(block == k, purge)
        best = select(options, real, learning, margin=margin, wanted=wanted)
        if best is not None:
            held[block == k] = options[best].delays[block == k]
    best = select(options, real, np.ones(len(real), dtype=bool), margin=margin, wanted=wanted)
    counts = {"confirmed": counted[0], "discarded": counted[1], "unsure": unsure}
    counts |= {"unlabelled": unlabelled, "unmatched": unmatched, "sha256": digest(mine, detector)}
    change = None if best is None else options[best].change
    return Proposal(detector, FAMILY, change, judge(held, real, folds, seed), counts)


def _change(rule: Rule) -> dict[str, str]:
    return {"expr": rule.expr, "for": f"{rule.wait.total_seconds():g}s"}


def _delays(trails: Sequence[Trail], fired: pd.DataFrame) -> np.ndarray:
    """Seconds from each case's start until the changed rule fires in it; 0 where it fires already, NaN where never."""
    entity = fired["entity"].to_numpy()
    start, end = (fired[name].dt.as_unit("us").astype("int64").to_numpy() for name in ("start", "end"))
    delays = np.full(len(trails), np.nan)
    for k, one in enumerate(trails):
        own = start[(entity == one.entity) & (start < one.moments[-1]) & (end > one.moments[0])]
        if len(own):
            delays[k] = max(0.0, (own.min() - one.moments[0]) / 1e6)
    return delays


_SECOND = pd.Timedelta("1s")
