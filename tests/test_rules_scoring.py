"""Rules judged on history: what each finds, how early, how often it is wrong, and its verdict."""

import numpy as np
import pandas as pd
import pytest
import ruled
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.evaluation.intervals import poisson_interval, wilson_interval
from stability.rules import firings, score
from stability.rules.causes import causes_of
from stability.schema import ContractError

PANEL, FAULTS = ruled.telemetry(), ruled.faults()
RULES = [
    ruled.rule("Leak", "memory_bytes > 80"),
    ruled.rule("Grows", "memory_bytes > 50"),
    ruled.rule("Twin", "memory_bytes > 85"),
    ruled.rule("Everywhere", "max(memory_bytes) > 80"),
    ruled.rule("Wrong", "cpu_ratio > 0.5"),
    ruled.rule("Cache", "memory_bytes > 50 and memory_bytes < 70"),
    ruled.rule("Never", "memory_bytes > 1000"),
    ruled.rule("Always", "memory_bytes >= 0"),
    ruled.rule("Nowhere", "gpu_bytes > 1 or tpu_bytes > 1"),
    ruled.rule("Guard", "absent(gpu_bytes) or absent(memory_bytes)", "telemetry_loss"),
]
SCORES = score(RULES, PANEL, FAULTS)


def test_a_good_rule():
    found = SCORES.loc["Leak"]
    assert (found["episodes"], found["faults"]) == (2, 2)
    assert tuple(found[["recall", "recall_lo", "recall_hi"]]) == pytest.approx(wilson_interval(2, 2))
    assert found["recall_any"] == pytest.approx(2 / 3)
    assert found["precision"] == found["precision_any"] == 1
    assert found["false_per_day"] == 0
    assert found["lead_p50"] == 15  # it fires 5 s after the cause, and the impact comes 20 s after it
    assert found["warned"] == 1
    assert found["verdict"] == "ok"


def test_false_episodes_are_counted_over_the_time_without_a_fault():
    found = SCORES.loc["Grows"]
    assert (found["episodes"], found["precision"]) == (4, 0.5)
    days = (600 - 3 * 30) / 86400
    assert found["false_per_day"] == pytest.approx(2 / days)
    assert found["false_per_day_lo"] <= poisson_interval(2, days).lo + 1e-9
    assert found["firing_share"] == pytest.approx(10 / 510, rel=1e-4)


def test_the_wrong_entity_or_mode_is_no_hit():
    wrong = SCORES.loc["Wrong"]
    assert (wrong["recall"], wrong["precision"]) == (0, 0)
    assert (wrong["recall_any"], wrong["precision_any"]) == (pytest.approx(1 / 3), 1)
    elsewhere = FAULTS.assign(root_entity="b")
    moved = score([RULES[0]], PANEL, elsewhere).loc["Leak"]
    assert moved["recall"] == 0.5


def test_a_rule_that_names_no_entity_is_right_wherever():
    assert SCORES.loc["Everywhere", "recall"] == 1


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ("Twin", "only repeats Leak"),
        ("Cache", "false alarms only"),
        ("Never", "never fires"),
        ("Always", "always fires"),
        ("Nowhere", "absent metric"),
        ("Guard", "absent metric"),
        ("Wrong", "misses its mode"),
    ],
)
def test_verdicts(rule, verdict):
    assert SCORES.loc[rule, "verdict"] == verdict


def test_a_rule_that_never_fires_is_judged_as_any_other():
    never = SCORES.loc["Never"]
    assert never[["recall", "recall_any", "false_per_day", "warned", "firing_share"]].tolist() == [0] * 5
    assert never["recall_hi"] == pytest.approx(wilson_interval(0, 2).hi)
    assert never["false_per_day_hi"] == pytest.approx(poisson_interval(0, 510 / 86400).hi, rel=1e-4)
    assert list(SCORES.columns[SCORES.columns.duplicated()]) == []


def test_what_is_absent_is_named():
    assert SCORES.loc["Nowhere", "absent"] == "gpu_bytes, tpu_bytes"
    assert SCORES.loc["Guard", "absent"] == "gpu_bytes"


def test_a_rule_that_is_always_on_finds_nothing():
    assert SCORES.loc["Always", ["recall", "recall_any"]].tolist() == [0, 0]


def test_a_mode_without_faults_has_no_recall_of_its_own():
    found = score([ruled.rule("Odd", "memory_bytes > 80", "disk_full")], PANEL, FAULTS).loc["Odd"]
    assert found["faults"] == 0
    assert np.isnan([found["recall"], found["precision"], found["warned"], found["lead_p50"]]).all()
    assert found["recall_any"] == pytest.approx(2 / 3)


def test_late_forgives_what_starts_after_the_fault():
    slow = ruled.rule("Slow", "memory_bytes offset 28s > 80 and memory_bytes < 20")
    assert score([slow], PANEL, FAULTS).loc["Slow", "recall"] == 0
    assert score([slow], PANEL, FAULTS, late="10s").loc["Slow", "recall"] == 1


def test_a_fault_that_reached_others_is_one_cause():
    reached = FAULTS.iloc[[0]].assign(entity="b", impact_start=ruled.at(110), recovered_at=ruled.at(150))
    causes = causes_of(pd.concat([FAULTS, reached]))
    assert len(causes) == 3
    assert causes.loc[0, ["entity", "impact_start", "end"]].tolist() == ["a", ruled.at(110), ruled.at(150)]


def test_faults_without_a_time_are_refused():
    nowhere = FAULTS.assign(cause_start=pd.NaT, impact_start=pd.NaT)
    with pytest.raises(ContractError, match="fault with a time"):
        score(RULES[:1], PANEL, nowhere)


@settings(max_examples=15)
@given(st.integers(0, 100))
def test_every_share_lies_within_its_interval(threshold):
    rules = [ruled.rule("One", f"memory_bytes > {threshold}"), ruled.rule("Other", f"cpu_ratio > {threshold / 100}")]
    found = score(rules, PANEL, FAULTS, fired=firings(rules, PANEL), resamples=50)
    for name in ("recall", "recall_any", "precision", "precision_any", "false_per_day", "warned"):
        value, lo, hi = (found[f"{name}{end}"].to_numpy() for end in ("", "_lo", "_hi"))
        known = ~np.isnan(value)
        assert ((lo <= value) & (value <= hi))[known].all()
