"""The testbed's arrivals: day, trend, bursts, campaigns, popular items; and their counts, second by second."""

import json
import math
from collections import Counter
from itertools import pairwise

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.testbed import arrivals
from stability.testbed.arrivals import DAY, SWING, TREND, Arrivals
from stability.testbed.tally import Tally
from stability.testbed.task import ITEMS

NOON = 1_800_000_150.0  # a quarter of a day after its begin


def moments(process, begin, seconds):
    now, found = begin, []
    while now < begin + seconds:
        now, item = process.after(now)
        found.append((now, item))
    return found[:-1]


def test_equal_seeds_equal_arrivals():
    one, same, other = (moments(Arrivals(60.0, seed, NOON), NOON, 30) for seed in (1, 1, 2))
    assert one == same != other


def test_a_day_has_its_noon_by_the_clock(monkeypatch):
    monkeypatch.setattr(arrivals, "BURST", 1.0)
    found = np.array([now for now, _ in moments(Arrivals(60.0, 1, NOON - 150), NOON - 150, 600)])
    expected = 60 * 600 * (1 + 0.1 * 300 / 3600)
    assert abs(len(found) - expected) < 5 * math.sqrt(expected)
    high, low = (((found >= start) & (found < start + 60)).sum() / 3600 for start in (NOON - 30, NOON + 270))
    assert high == pytest.approx(1.345, abs=0.1)
    assert low == pytest.approx(0.665, abs=0.1)


def test_gaps_are_those_of_a_poisson_process(monkeypatch):
    monkeypatch.setattr(arrivals, "SWING", 0.0)
    monkeypatch.setattr(arrivals, "BURST", 1.0)
    gaps = np.diff([now for now, _ in moments(Arrivals(60.0, 1, NOON), NOON, 300)])
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_bursts_come_now_and_then():
    process = Arrivals(60.0, 1, NOON)
    plain = [60 * (1 + SWING * math.sin(2 * math.pi * s / DAY)) * (1 + TREND * s / 3600) for s in range(3600)]
    burst = [process.rate(NOON + s) > 1.2 * plain[s] for s in range(3600)]
    assert 60 < sum(burst) < 220  # a few s every 2 min
    assert 15 < sum(now and not before for before, now in pairwise(burst)) < 50


def test_a_service_in_use_is_where_it_would_be_had_its_users_come_all_along():
    young, old = Arrivals(60.0, 1, NOON), Arrivals(60.0, 2, NOON + 1320, age=1320.0)
    calm = [min(young.rate(NOON + s), 1e9) for s in range(1320, 1330)]
    assert [old.rate(NOON + s) for s in range(1320, 1330)] == pytest.approx(calm, rel=1e-9)


def test_a_campaign_multiplies_the_rate_while_it_lasts():
    with_one, without = (Arrivals(60.0, 1, NOON) for _ in range(2))
    with_one.campaign(1.8, NOON + 20, NOON + 70)
    ratio = [with_one.rate(NOON + s) / without.rate(NOON + s) for s in range(100)]
    assert ratio == pytest.approx([1.8 if 20 <= s < 70 else 1.0 for s in range(100)])


def test_some_items_are_popular_and_the_same_for_every_seed():
    favourites = []
    for seed in (1, 2):
        asked = Counter(item for _, item in moments(Arrivals(400.0, seed, NOON), NOON, 100))
        assert all(0 <= item < ITEMS for item in asked)
        (first, most), *_ = asked.most_common()
        assert 0.04 < most / asked.total() < 0.08
        favourites.append(first)
    assert favourites[0] == favourites[1]


# --- counts by second -------------------------------------------------------------------------------------------------

events = st.lists(
    st.tuples(
        st.floats(-0.3, 1.5, allow_nan=False),
        st.sampled_from(["", "model-a", "model-b"]),
        st.floats(0.01, 2.0).map(lambda seconds: round(seconds, 3)),
        st.sampled_from([None, True, False]),
    ),
    max_size=40,
)


@given(events)
def test_counts_are_those_of_the_plain_loop(drawn):
    now, happened, lines = 1000.0, [], []
    for step, *what in drawn:
        now = max(now + step, 1000.0)  # the clock is set back now and then
        happened.append((now, *what))
    tally = Tally(1000, lambda second, replicas, text: lines.extend(json.loads(line) for line in text.splitlines()))
    for moment, replica, waited, wrong in happened:
        tally.arrived(moment, 0.001)
        if wrong is None:
            tally.failed(moment, replica, waited)
        else:
            tally.answered(moment, replica, waited, wrong)
    tally.close()
    expected = naive.tallied(happened)
    found = {(line["second"], line["replica"]): line for line in lines}
    assert len(found) == len(lines)
    assert set(expected) <= set(found)
    for key, line in found.items():
        answered, failed, slow, wrong, waits = expected.get(key, (0, 0, 0, 0, []))
        assert [line[name] for name in ("answered", "failed", "slow", "wrong")] == [answered, failed, slow, wrong]
        middle = np.quantile(waits, 0.5, method="inverted_cdf") if waits else None
        assert (line["p50"], line["max"]) == (middle, max(waits, default=None))
    assert sum(line["sent"] for line in lines if line["replica"] == "all") == len(drawn)
