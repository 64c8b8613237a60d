"""Rules' log-odds by hand, the pool's sums, the temperature's and the operating point's promises."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.localization import RuleOdds, calibrate, operating_point, pool, symptoms
from stability.schema import ContractError


def test_odds_are_smoothed_counts():
    hits = [pd.DataFrame({"r": [True, False, True, False]}), pd.DataFrame({"r": [True, False]})]
    odds = RuleOdds().fit(hits, [0, 1]).odds_.loc["r"]
    # causes: 1 hit, 1 silent; others: 2 hits, 2 silent; one more of each
    assert odds["hit"] == pytest.approx(np.log((2 / 4) / (3 / 6)))
    assert odds["silent"] == pytest.approx(np.log((2 / 4) / (3 / 6)))


def test_a_rule_that_a_case_does_not_know_is_not_counted_there_and_adds_nothing():
    hits = [pd.DataFrame({"r": [True, False], "s": [True, False]}), pd.DataFrame({"r": [True, False]})]
    odds = RuleOdds().fit(hits, [0, 0])
    assert odds.odds_.loc["s", "hit"] < odds.odds_.loc["r", "hit"]
    assert list(odds.contributions(pd.DataFrame({"r": [True], "new": [True]}))) == ["r"]
    assert RuleOdds.from_dict(odds.to_dict()).odds_.to_dict() == odds.odds_.to_dict()


def test_symptoms_are_read_off_the_evidence_and_fired_rules_keep_their_names():
    table = pd.DataFrame({"change.rank": [1.0, 0.5], "rule.Slow": [0.0, 1.0], "state.recent": [0.0, 1.0]})
    hits = symptoms(table)
    assert hits["Slow"].tolist() == [False, True]
    assert hits["changed_most"].tolist() == [True, False]
    assert "own_part_half" not in hits  # nothing is known of it
    assert symptoms(pd.DataFrame(index=[0, 1])).shape == (2, 0)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=6), st.floats(0, 1), st.floats(0.5, 3))
def test_the_pool_adds_up(numbers, weight, temperature):
    one = pd.DataFrame({"change.z": numbers, "rule.r": 1.0})
    rules = pd.DataFrame({"r": numbers[::-1]})
    joined = pool(one, rules, weight, temperature)
    expected = (np.array(numbers) + 1 + weight * np.array(numbers[::-1])) / temperature
    np.testing.assert_allclose(joined.sum(axis=1), expected)
    assert list(joined) == ["change.z", "rule.r"]


def test_calibration_makes_probabilities_right_on_average():
    rng = np.random.default_rng(0)
    utilities, chosen = [], []
    for _ in range(800):
        u = rng.normal(size=5)
        p = np.exp(u) / np.exp(u).sum()
        chosen.append(int(rng.choice(5, p=p)))
        told = u * 3.0
        told[-1] -= 2.0
        utilities.append(told)
    temperature, given_ = calibrate(utilities, chosen)
    assert temperature == pytest.approx(3.0, rel=0.15)
    assert given_ == pytest.approx(2.0, abs=0.6)
    with pytest.raises(ContractError, match="one case or more"):
        calibrate([], [])


def test_without_a_quiet_case_nobody_is_given_nothing():
    assert calibrate([np.array([1.0, 0.0, -9.0])] * 5, [0, 0, 0, 1, 1])[1] == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.05, 1))
def test_the_operating_point_keeps_its_share_silent_and_no_higher_one_does(numbers, share):
    nobody = np.array(numbers)
    threshold = operating_point(nobody, share)
    assert (nobody >= threshold).mean() >= share - 1e-12
    assert (nobody > threshold).mean() < share


def test_no_window_no_operating_point():
    with pytest.raises(ContractError, match="normal windows"):
        operating_point(np.array([]), 0.95)
