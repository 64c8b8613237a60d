"""Odds of symptoms for each failure mode, against the definition written out case by case."""

import numpy as np
import pandas as pd
import pytest

from stability.localization.modes import UNKNOWN
from stability.localization.pictures import ABSENT, HIGHER, LEVELS, MUCH, USUAL, album_of
from stability.localization.signatures import BACKGROUND, Signatures
from stability.schema import ContractError


def one(**levels) -> pd.DataFrame:
    return pd.DataFrame(levels, index=["a", "b", "host"], dtype="int8")


PICTURES = {
    "1": one(**{"change.disk": [MUCH, USUAL, ABSENT], "rule.Full": [HIGHER, USUAL, USUAL]}),
    "2": one(**{"change.disk": [USUAL, MUCH, ABSENT], "rule.Full": [USUAL, HIGHER, USUAL]}),
    "3": one(**{"change.disk": [USUAL, USUAL, ABSENT], "logs.slow": [HIGHER, USUAL, USUAL]}),
    "4": one(**{"change.disk": [USUAL, HIGHER, ABSENT], "logs.slow": [USUAL, HIGHER, HIGHER]}),
    "5": one(**{"change.disk": [HIGHER, HIGHER, ABSENT]}),
}
ROOTS = {"1": ("a", "disk_full"), "2": ("b", "disk_full"), "3": ("a", "slow"), "4": ("b", "slow"), "5": None}


def naive(symptom: str, level: int, mode: str, smoothing: float, told: float, rules: dict) -> float:
    """The formula of the docstring, one count at a time."""

    def seen(name):
        frame = PICTURES[name]
        return frame[symptom] if symptom in frame else pd.Series(USUAL, index=frame.index)

    def share(counts, base, weight):
        return [(counts[k] + weight * base[k]) / (sum(counts) + weight) for k in range(len(LEVELS))]

    def count(levels):
        return [sum(1 for v in levels if v == k and v != ABSENT) for k in range(len(LEVELS))]

    faults = [n for n, root in ROOTS.items() if root]
    even = [0.0] + [1 / (len(LEVELS) - 1)] * (len(LEVELS) - 1)
    others = [v for n in faults for e, v in seen(n).items() if e != ROOTS[n][0]]
    background = share(count(others), even, BACKGROUND)
    own = {m: count([seen(n)[ROOTS[n][0]] for n in faults if ROOTS[n][1] == m]) for m in ("disk_full", "slow")}
    any_root = np.mean([share(own[m], background, 1.0) for m in own], axis=0)
    if mode == UNKNOWN:
        return float(np.log((2 * any_root[level] + even[level]) / 3 / background[level]))
    counts = own[mode]
    if rules.get(symptom.removeprefix("rule.")) == mode and symptom.startswith("rule."):
        counts[HIGHER] += told
    return float(np.log(share(counts, any_root, smoothing)[level] / background[level]))


@pytest.mark.parametrize("smoothing", [0.5, 2.0])
def test_odds_are_the_formula(smoothing):
    rules = {"Full": "disk_full"}
    learnt = Signatures(smoothing, told=1.0, rules=rules).fit(album_of(PICTURES), ROOTS)
    assert learnt.symptoms_ == ["change.disk", "logs.slow", "rule.Full"]
    terms = learnt.terms(PICTURES["4"])
    for entity in ("a", "b", "host"):
        for mode in ("disk_full", "slow", UNKNOWN):
            for symptom in learnt.symptoms_:
                frame = PICTURES["4"]
                level = int(frame.loc[entity, symptom]) if symptom in frame else USUAL
                expected = 0.0 if level == ABSENT else naive(symptom, level, mode, smoothing, 1.0, rules)
                assert terms.loc[(entity, mode), symptom] == pytest.approx(expected)


def test_sums_by_kind_are_sums_of_terms():
    learnt = Signatures().fit(album_of(PICTURES), ROOTS)
    terms, sums = learnt.terms(PICTURES["1"]), learnt.sums(PICTURES["1"], ["rule", "change", "feedback"])
    assert sums["rule"].tolist() == pytest.approx(terms["rule.Full"].tolist())
    assert sums["change"].tolist() == pytest.approx(terms["change.disk"].tolist())
    assert (sums["feedback"] == 0).all()


def test_the_label_of_a_rule_counts_where_no_case_shows_it():
    quiet = {n: frame.drop(columns="rule.Full", errors="ignore") for n, frame in PICTURES.items() if n != "1"}
    shown = quiet | {
        "6": one(**{"rule.Full": [USUAL, USUAL, HIGHER]}),
        "7": one(**{"rule.Full": [USUAL, USUAL, HIGHER]}),
    }
    roots = {n: ROOTS.get(n) for n in shown}
    with_label = Signatures(rules={"Full": "disk_full"}).fit(album_of(shown), roots).terms(PICTURES["1"])
    without = Signatures().fit(album_of(shown), roots).terms(PICTURES["1"])
    assert with_label.loc[("a", "disk_full"), "rule.Full"] > without.loc[("a", "disk_full"), "rule.Full"]
    assert with_label.loc[("a", "slow"), "rule.Full"] == without.loc[("a", "slow"), "rule.Full"]


def test_cases_that_are_left_out_teach_nothing():
    some = {n: root for n, root in ROOTS.items() if n != "4"}
    part = Signatures().fit(album_of(PICTURES), some)
    alone = Signatures().fit(album_of({n: PICTURES[n] for n in some}), some)
    assert part.symptoms_ == alone.symptoms_
    assert np.allclose(part.odds_, alone.odds_)


def test_without_a_fault_there_is_nothing_to_learn():
    with pytest.raises(ContractError, match="fault"):
        Signatures().fit(album_of(PICTURES), {"5": None})
