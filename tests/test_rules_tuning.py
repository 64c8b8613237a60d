"""Thresholds within a budget of false episodes."""

import pytest
import ruled
from hypothesis import given
from hypothesis import strategies as st

from stability.rules import literal_of, tune
from stability.rules.tuning import with_literal
from stability.schema import ContractError

PANEL, FAULTS = ruled.telemetry(), ruled.faults()


@pytest.mark.parametrize(
    ("expr", "number"),
    [
        ("a > 5", 5),
        ("5 < a", None),  # the number must stand on the right
        ("a == 5", None),  # a code is no threshold
        ("a > 0 and b < 3", 3),  # a sign is no threshold either
        ("a > -2", -2),
        ("a > b", None),
        ("(rate(a[5m]) / b) >= 6 * 0.5 and c > 1", 3),
        ("sum(a) > 4 or b > 2", 4),
        ("a > b unless c > 2", None),
        ("a > 2 * b or c > 7", 7),
        ("(a > 3) unless b > 2", 3),
    ],
)
def test_which_number_is_the_threshold(expr, number):
    assert literal_of(expr) == number


@given(st.floats(0.001, 1e9), st.sampled_from(["a > 5", "a / b < 6 * 0.5 and c > 1", 'up{job="x y"} >= 2 or a > 1']))
def test_a_number_can_be_replaced_and_read_again(value, expr):
    assert literal_of(with_literal(ruled.rule("R", expr), value).expr) == pytest.approx(value, rel=1e-3)


def test_a_rule_without_a_threshold_is_refused():
    with pytest.raises(ContractError, match="comparison with a number"):
        with_literal(ruled.rule("R", "absent(up)"), 3)


def test_a_threshold_that_cries_too_often_is_raised():
    (tuned,), table = tune([ruled.rule("Leak", "memory_bytes > 50")], PANEL, FAULTS, budget=1)
    row = table.loc["Leak"]
    assert row["false_before"] > 1 >= row["false_after"]
    assert row["within"]
    assert row["recall_after"] == 1
    assert 60 <= row["after"] < 90
    assert literal_of(tuned.expr) == row["after"]


def test_a_threshold_that_misses_is_lowered_as_far_as_the_budget_allows():
    (tuned,), table = tune([ruled.rule("Leak", "memory_bytes > 95")], PANEL, FAULTS, budget=1)
    assert table.loc["Leak", ["recall_before", "recall_after"]].tolist() == [0, 1]
    assert literal_of(tuned.expr) < 90


def test_a_good_threshold_stays_and_its_rule_is_the_same():
    rule = ruled.rule("Leak", "memory_bytes > 80")
    (tuned,), table = tune([rule], PANEL, FAULTS, budget=1)
    assert tuned is rule
    assert table.loc["Leak", "before"] == table.loc["Leak", "after"] == 80


def test_rules_without_a_threshold_stay_as_they_are():
    rules = [ruled.rule("Guard", "absent(memory_bytes)"), ruled.rule("Leak", "memory_bytes > 50")]
    tuned, table = tune(rules, PANEL, FAULTS, budget=1)
    assert tuned[0] is rules[0]
    assert [rule.alert for rule in tuned] == ["Guard", "Leak"]
    assert table.index.tolist() == ["Leak"]


def test_always_on_is_no_way_to_keep_a_budget_of_episodes():
    (tuned,), table = tune([ruled.rule("Leak", "memory_bytes > 5", "disk_full")], PANEL, FAULTS, budget=100)
    assert literal_of(tuned.expr) != 5
    assert table.loc["Leak", "recall_before"] == 0
