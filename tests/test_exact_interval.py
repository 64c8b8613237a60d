"""Bounds of a share: each end holds as often as it says, of whole faults and of parts of them."""

import numpy as np
import pytest
from scipy import stats

from stability.evaluation import NotEnoughEvidence
from stability.evaluation.intervals import exact_interval
from stability.fmea import rate
from stability.schema import ContractError


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_ends_of_whole_counts_are_those_of_the_binomial_test(confidence):
    for trials in (1, 2, 3, 7, 40):
        for successes in range(trials + 1):
            told = exact_interval(successes, trials, confidence)
            exact = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
            assert tuple(told) == pytest.approx((successes / trials, exact.low, exact.high))


@pytest.mark.parametrize("trials", [1, 2, 3, 5, 10, 30])
def test_each_end_holds_as_often_as_it_says_whatever_the_share(trials):
    ends = [exact_interval(successes, trials, 0.9) for successes in range(trials + 1)]
    for share in np.linspace(0.001, 0.999, 97):
        chances = stats.binom.pmf(np.arange(trials + 1), trials, share)
        assert chances @ [one.lo <= share for one in ends] >= 0.95
        assert chances @ [one.hi >= share for one in ends] >= 0.95


@pytest.mark.parametrize("trials", [1, 2, 3, 5, 10, 30])
@pytest.mark.parametrize(
    "drawn",
    [
        lambda rng, size: rng.random(size),
        lambda rng, size: rng.beta(0.3, 0.1, size),
        lambda rng, size: np.where(rng.random(size) < 0.3, 0.6, 0.0),
        lambda rng, size: np.where(rng.random(size) < 0.9, 1.0, 0.4),
        lambda rng, size: np.where(rng.random(size) < 0.8, rng.random(size), 0.0),
    ],
)
def test_so_do_those_of_parts(drawn, trials):
    rng = np.random.default_rng(trials)
    true = drawn(rng, 1_000_000).mean()
    ends = np.array([exact_interval(total, trials, 0.9) for total in drawn(rng, (4000, trials)).sum(axis=1)])
    assert (ends[:, 1] <= true).mean() > 0.94  # of 4,000 histories a hundredth is chance
    assert (ends[:, 2] >= true).mean() > 0.94


def test_what_was_missed_has_the_bounds_of_what_was_found_turned_round():
    for successes, trials in ((0, 1), (2.5, 4), (3, 3), (0.1, 9)):
        one, other = exact_interval(successes, trials), exact_interval(trials - successes, trials)
        assert (one.lo, one.hi) == pytest.approx((1 - other.hi, 1 - other.lo))
        assert 0 <= one.lo <= one.value <= one.hi <= 1


def test_rounding_decides_no_rating():
    assert exact_interval(1, 1, 0.9).lo == 0.05
    assert rate("detection", [exact_interval(1, 1, 0.9).lo]) == 9


def test_what_is_no_share_is_refused():
    with pytest.raises(NotEnoughEvidence, match="at least one trial"):
        exact_interval(0, 0)
    for successes, trials in ((2, 1), (-1, 1), (float("nan"), 1)):
        with pytest.raises(ContractError, match="between 0 and the trials"):
            exact_interval(successes, trials)
    with pytest.raises(ContractError, match="confidence"):
        exact_interval(1, 1, 90)
