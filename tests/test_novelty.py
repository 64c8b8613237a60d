"""Novelty: channels against pandas, events against a slow twin, and what is new, known and forgotten."""

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from series import panel

from stability.detection import novelty
from stability.detection.novelty import CHANNELS, Novelty
from stability.schema import ContractError


@given(
    channel=st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.5, 2.0, 7.0, 1e3]), min_size=1, max_size=60),
    known=st.integers(1, 4),
    apart=st.integers(0, 5),
    warmup=st.integers(1, 10),
)
def test_events_equal_the_slow_twin(channel, known, apart, warmup):
    top, at = np.zeros(known), np.full(known, -np.inf)
    found = [novelty._compare(v, float(now), top, at, apart, 0.05, now >= warmup) for now, v in enumerate(channel)]
    assert found == pytest.approx(naive.novelty_of(channel, known, apart, warmup, least=0.05))


def test_channels_equal_pandas():
    values = np.random.default_rng(0).normal(5, 2, size=200)
    series, channels = pd.Series(values), np.zeros(len(CHANNELS))
    recent, count, centre, seen = np.zeros(novelty.LONG), 0.0, 0.0, []
    for x in values:
        novelty._look(x, count, centre, recent, channels)
        seen.append(channels[:10].copy())
        recent[int(count) % len(recent)] = x
        count += 1
        centre += (x - centre) / count
    seen = np.array(seen)[40:]
    middle = series.expanding().mean().shift()
    wanted = [
        *((part - middle).clip(lower=0) for part in (series, series.rolling(8).mean(), series.rolling(32).mean())),
        *((middle - part).clip(lower=0) for part in (series, series.rolling(8).mean(), series.rolling(32).mean())),
        series.diff().clip(lower=0),
        (-series.diff()).clip(lower=0),
        *(series.rolling(n).std(ddof=0) for n in (8, 32)),
    ]
    for k, column in enumerate(wanted):
        assert seen[:, k] == pytest.approx(column.to_numpy()[40:]), CHANNELS[k]


def noise(rows, seed=0):
    return np.random.default_rng(seed).normal(size=rows)


def fitted(values, history=300, **settings):
    return Novelty(warmup=100, season=0, **settings).fit(panel(values[:history]))


def test_what_has_come_often_is_known_for_ever():
    values = noise(6000)
    values[500:5001:500] += 30.0
    scores = fitted(values).score(panel(values)).to_numpy()
    peaks = scores[500:5001:500]
    assert (np.diff(peaks[:5]) < 0.5).all()
    assert peaks[0] > 3
    assert peaks[5:].max() < 0.3 * peaks[0]


def test_one_freak_in_the_past_hides_nothing():
    values = noise(3000)
    values[400] += 1000.0
    values[2500] += 30.0
    scores = fitted(values).score(panel(values)).to_numpy()
    assert scores[2500] > 5 * np.delete(scores[1000:], range(1490, 1540)).max()


def test_what_lasts_is_new_once():
    values = noise(2000)
    values[1000:] += 20.0
    scores = fitted(values).score(panel(values)).to_numpy()
    assert scores[1000:1040].max() > 3
    assert scores[1100:].max() < 0.5


def test_units_do_not_matter():
    values = noise(1000)
    values[700] += 25
    one, other = (fitted(k * values).score(panel(k * values)).to_numpy() for k in (1.0, 1e6))
    assert one == pytest.approx(other, nan_ok=True)


def test_a_sunday_is_like_the_sunday_before():
    hours = np.arange(24 * 42)
    day = np.where((hours // 24) % 7 == 6, 2.0, 10.0) + np.sin(hours / 24 * 2 * np.pi)
    day += 0.05 * noise(len(hours))
    day[24 * 38 : 24 * 38 + 12] -= 8.0  # a holiday within the week: like a Sunday
    day[24 * 40 : 24 * 40 + 12] += 4.0  # like nothing before
    frame = panel(day, freq="1h")

    scores = Novelty(warmup=100).fit(frame.iloc[: 24 * 14]).score(frame).to_numpy()
    sunday, holiday, odd = (scores[24 * d : 24 * d + 12].max() for d in (34, 38, 40))
    assert odd > 2 * max(sunday, holiday)


@pytest.mark.parametrize("wrong", [{"known": 0}, {"apart": -1}, {"warmup": 0}, {"season": -1.0}, {"seasons": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        Novelty(**wrong)
