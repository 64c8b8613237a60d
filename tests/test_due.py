"""What comes in a rhythm."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.features.due import Due
from stability.features.events import Events
from stability.schema import ContractError

DAY = 86_400.0
START = pd.Timestamp("2026-01-01", tz="UTC")


def happened(days, name="service", entity="a"):
    stamps = START + pd.to_timedelta(np.asarray(days, dtype="float64"), unit="D")
    return pd.DataFrame({"entity": entity, "timestamp": stamps.as_unit("us"), "name": name})


def rhythm(interval=15, count=60, seed=0):
    """Services of three entities, each with its own beginning, of which a fifth is left out."""
    rng = np.random.default_rng(seed)
    own = [
        happened(np.arange(count)[rng.random(count) < 0.8] * interval + 2 * k, entity=entity)
        for k, entity in enumerate("abc")
    ]
    return pd.concat(own, ignore_index=True)


@given(interval=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_interval_is_found_though_events_are_left_out(interval, seed):
    assert Due().fit(rhythm(interval, seed=seed)).intervals_ == {"service": interval * DAY}


@given(seed=st.integers(0, 999))
def test_what_comes_by_chance_has_no_rhythm(seed):
    rng = np.random.default_rng(seed)
    by_chance = happened(np.cumsum(rng.exponential(10, 200)), name="error")
    some = happened(np.arange(200) * 15.0 + rng.choice([0, 7.5], 200), name="half")
    assert Due().fit(pd.concat([by_chance, some])).intervals_ == {}
    assert Due(least=300).fit(rhythm()).intervals_ == {}


def test_it_is_the_time_to_the_next_multiple_and_tells_nothing_of_what_is_later():
    events = rhythm()
    stamps = pd.date_range(START, periods=600, freq="D", tz="UTC", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([list("abc"), stamps], names=["entity", "timestamp"])
    seen = Events(["1D"], since="90D").fit(events)
    due = Due().fit(events)
    features = due.transform(seen.transform(events, index))
    assert list(features) == ["service__due__1296000s"]
    found = features["service__due__1296000s"].loc["b"]
    first = events.loc[events["entity"] == "b", "timestamp"].min()
    naive = [np.nan if now < first else 15 - (now - first).days % 15 for now in stamps]
    assert (found / DAY).to_numpy() == pytest.approx(naive, nan_ok=True)
    middle = START + pd.Timedelta("300D")
    early = due.transform(seen.transform(events[events["timestamp"] <= middle], index))
    there = index.get_level_values("timestamp") <= middle
    pd.testing.assert_frame_equal(early[there], features[there])
    alone = due.transform(seen.transform(events, index).iloc[[700]])
    assert alone.to_numpy().tolist() == features.iloc[[700]].to_numpy().tolist()


def test_what_is_too_long_ago_is_unknown():
    due = Due(least=5).fit(rhythm())
    found = due.transform(pd.DataFrame({"service__since__30D": [29 * DAY, 30 * DAY], "other": 0.0}))
    assert found.iloc[:, 0].tolist() == [DAY, pytest.approx(np.nan, nan_ok=True)]
    assert due.transform(pd.DataFrame({"service__since__30D": []})).shape == (0, 1)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ContractError, match="least"):
        Due(least=1)
    with pytest.raises(ContractError, match="fit"):
        Due().transform(pd.DataFrame())
    with pytest.raises(ContractError, match="name"):
        Due().fit(rhythm().drop(columns="name"))
    with pytest.raises(ContractError, match="service__since"):
        Due().fit(rhythm()).transform(pd.DataFrame({"state__since__30D": [1.0]}))
    none = Due().fit(rhythm().iloc[:0])
    assert none.transform(pd.DataFrame({"load": [1.0]})).shape == (1, 0)
