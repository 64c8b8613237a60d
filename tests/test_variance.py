"""Variance tests: as scipy does them, and on samples that stand still."""

import naive
import numpy as np
import pytest
from series import panel, wild

from stability.detection.variance import TESTS, VarianceTest
from stability.schema import ContractError


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_scores_equal_scipys(test, seed):
    values = wild(seed, 160)
    frame = panel(values)
    detector = VarianceTest(test=test, window=8, reference=30).fit(frame.iloc[:60])
    twin = np.array(naive.variance_score(values, test, 8, 30))
    assert detector.score(frame.iloc[60:]).to_numpy() == pytest.approx(twin[60:], rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("test", TESTS)
def test_a_rest_is_no_evidence_and_its_end_is(test):
    values = np.full(400, 3.0)
    values[350:380] += np.random.default_rng(0).normal(size=30)
    scores = VarianceTest(test=test).fit(panel(values[:330])).score(panel(values))
    assert scores.iloc[329:350].max() == 0
    assert scores.iloc[360:380].min() > 3
    assert np.isfinite(scores.iloc[329:]).all()


@pytest.mark.parametrize("wrong", [{"test": "t"}, {"window": 2}, {"window": 30, "reference": 20}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ContractError, match=r"test|window"):
        VarianceTest(**wrong)
