"""Whether it would have healed by itself."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.remediation.placebo import Episode, compare, episodes, mending, self_healing

STATES = st.lists(st.sampled_from([1, 1, 1, 0, -1]), max_size=60)


@given(STATES, st.integers(1, 8), st.lists(st.integers(0, 60), max_size=3))
def test_episodes_are_those_of_the_twin(states, hold, repaired):
    found = episodes(np.array(states, dtype=int), hold, np.array(repaired, dtype=int))
    assert [tuple(one) for one in found] == naive.bad_times(states, hold, repaired)


def test_the_chance_is_what_draws_give():
    """Ends at a constant rate: the prediction of a Gamma posterior, by simulation."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(3 + 0.5, 1 / 90.0, 200_000)
    assert self_healing(3, 90.0, 20.0) == pytest.approx((rng.exponential(1 / rate) < 20).mean(), abs=0.005)
    assert self_healing(0, 0.0, 5.0) == 1.0
    assert self_healing(0, 0.0, 0.0) == 0.0


@given(st.integers(0, 20), st.floats(1, 1000), st.floats(0, 500), st.floats(0, 500))
def test_the_chance_grows_with_time_and_with_healings(ended, seconds, a, b):
    low, high = sorted((a, b))
    assert 0 <= self_healing(ended, seconds, low) <= self_healing(ended, seconds, high) <= 1
    assert self_healing(ended, seconds, low) <= self_healing(ended + 1, seconds, low)


PAST = [Episode(100 * k, 100 * k + 29, True) for k in range(1, 6)]
OWN = Episode(980, 1004, False)  # ill for 20 steps when it was repaired, and for 5 more


@pytest.mark.parametrize(
    ("past", "own", "passed"),
    [
        ([], OWN, True),
        (PAST, OWN, False),  # such things last for 30 steps
        (PAST, Episode(940, 1004, False), True),  # longer than whatever healed by itself
        ([Episode(a, a + 299, True) for a in (100, 500)], OWN, True),  # much sooner than what healed by itself
        ([one._replace(healed=False) for one in PAST], OWN, True),  # somebody repaired those
        ([*PAST[:1], *(Episode(a, a + 300, True) for a in range(0, 8000, 400))], OWN, True),  # one of 21
        (PAST, Episode(900, 970, False), False),  # over before the action
        ([], Episode(900, 970, False), False),
        (PAST, None, None),
    ],
)
def test_compared(past, own, passed):
    told = compare(past, own, 1000, 1.0, 15)
    assert told.passed is passed
    assert told.sentence


def test_the_sentence_has_the_numbers():
    told = compare(PAST, OWN, 1000, 2.0, 15)
    assert "of 5 comparable bad times of the history 5 were over as soon" in told.sentence
    assert "bad for 50 s, 40 s of it before the action" in told.sentence
    assert told.chance == 1.0
    alone = compare([], OWN, 1000, 2.0, 15)
    assert alone.chance == pytest.approx(self_healing(0, 40.0, 10.0))
    assert math.isnan(compare([], None, 10, 1.0, 5).chance)


@given(st.integers(3, 60), st.integers(1, 40))
def test_a_straight_course_is_continued(before, after):
    """Failures that fall by a straight line reach 0 where the line does."""
    failing = 1e4 * (before + after - 1 - np.arange(before)) / 100
    counts = np.column_stack([1e5 - failing, np.full(before, 1e5)])
    third = before // 3
    drawn = mending(counts, 0, before)
    if third * 3 == before and failing[0] - failing[-1] > 3000:
        assert drawn == pytest.approx(after, abs=1.0)


@pytest.mark.parametrize(
    "failing",
    [
        [50] * 30,
        [90] * 10 + [20] * 20,  # fell at once, and stays
        list(range(10, 40)),  # worse and worse
        [52, 50, 51] * 4,
        [50],
    ],
)
def test_what_does_not_mend_steadily_is_not_mending(failing):
    counts = np.column_stack([100.0 - np.array(failing), np.full(len(failing), 100.0)])
    assert mending(counts, 0, len(failing)) == math.inf
    assert mending(counts * 0, 0, len(failing)) == math.inf


def test_what_goes_up_and_down_or_did_not_go_on_is_not_mending():
    up_and_down = np.array([40, 5, 45, 10, 50, 30, 35, 5, 30, 5, 10, 25, 0, 25, 5])  # fewer, but by no steady course
    assert mending(np.column_stack([60.0 - up_and_down, np.full(15, 60.0)]), 0, 15) == math.inf
    steadily = np.r_[np.arange(60, 30, -2), [50] * 10]
    counts = np.column_stack([100.0 - steadily, np.full(25, 100.0)])
    assert mending(counts, 0, 15) < 30
    assert mending(counts, 0, 15, 25) == math.inf


def test_what_was_mending_before_the_action_proves_nothing():
    told = compare([], OWN, 1000, 1.0, 15, mends=6.0)
    assert (told.passed, told.chance) == (False, 1.0)
    assert "mending" in told.sentence
    assert compare([], OWN, 1000, 1.0, 15, mends=60.0).passed
