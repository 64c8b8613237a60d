"""Whether it would have healed by itself."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.remediation.placebo import Episode, compare, episodes, self_healing

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
