"""Time of day and week, and neighbours on the topology."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rolling import panel

from stability.features import Calendar, Neighbours
from stability.schema import ContractError

EDGES = [("web-0", "web-1"), ("web-0", "web-2"), ("web-2", "web-1"), ("web-1", "gone")]
TOPOLOGY = pd.DataFrame({"kind": "calls"}, pd.MultiIndex.from_tuples(EDGES, names=["source", "target"]))


def plainly(table, fresh):
    rows = []
    for entity, moment in table.index:
        row = []
        for own, other in ((0, 1), (1, 0)):
            near = [np.full(2, np.nan)]
            for edge in EDGES:
                if edge[own] == entity and edge[other] in table.index.unique("entity"):
                    past = table.loc[edge[other]]
                    past = past[past.index <= moment]
                    if len(past) and moment - past.index[-1] <= pd.Timedelta(fresh):
                        near.append(past.iloc[-1].to_numpy())
            near = pd.DataFrame(np.array(near, dtype=float))
            row += [*near.mean(), *near.max()]
        rows.append(row)
    return np.array(rows, dtype=float)


@settings(max_examples=10)
@given(seed=st.integers(0, 999), fresh=st.sampled_from(["2min", "1h"]))
def test_neighbours_are_taken_as_they_were_last_known(seed, fresh):
    table = panel(seed, sizes=(30, 20, 25))
    near = Neighbours(TOPOLOGY, list(table), fresh=fresh)
    found = near.transform(table)
    assert found.to_numpy() == pytest.approx(plainly(table, fresh), nan_ok=True)
    moment = table.index.get_level_values("timestamp")[15]
    early = table[table.index.get_level_values("timestamp") <= moment]
    pd.testing.assert_frame_equal(near.transform(early), found.loc[early.index])


def test_neighbours_live_are_those_of_the_table():
    table = panel(5, sizes=(30, 20, 25))
    near = Neighbours(TOPOLOGY, list(table), fresh="1h")
    whole = near.transform(table)
    near.begin(table.iloc[:0])
    for moment, rows in table.groupby(level="timestamp"):
        entities = rows.index.get_level_values("entity")
        found = near.update(rows.to_numpy(), pd.DatetimeIndex([moment] * len(rows)), entities)
        assert found == pytest.approx(whole.loc[rows.index].to_numpy(), nan_ok=True)


def test_the_calendar_is_that_of_its_zone():
    stamps = pd.date_range("2026-03-28", periods=96, freq="h", tz="UTC", name="timestamp").as_unit("us")
    index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    utc, there = Calendar().transform(index), Calendar("Europe/Berlin").transform(index)
    local = stamps.tz_convert("Europe/Berlin")  # summer time begins within
    assert there["calendar__sin__1D"].to_numpy() == pytest.approx(np.sin(2 * np.pi * local.hour / 24))
    week = (local.dayofweek * 24 + local.hour) / 168
    assert there["calendar__cos__7D"].to_numpy() == pytest.approx(np.cos(2 * np.pi * week))
    assert not np.allclose(utc, there)
    with pytest.raises(ContractError, match="Berlin"):
        Calendar("Berlin or so")


def test_a_feature_that_is_not_there_is_told():
    with pytest.raises(ContractError, match="load"):
        Neighbours(TOPOLOGY, ["load"], fresh="1h").transform(panel())


def test_of_neighbours_no_more_is_held_than_may_count():
    near = Neighbours(TOPOLOGY, ["load"], fresh="10min").begin(panel().iloc[:0].assign(load=0.0), late=60_000_000)
    start, names = pd.Timestamp("2026-01-01", tz="UTC"), pd.Index(["web-0", "web-1", "web-2"])
    for k in range(300):
        stamps = pd.DatetimeIndex([start + pd.Timedelta(minutes=k)] * 3)
        found = near.update(np.full((3, 1), float(k)), stamps, names)
    assert found[0].tolist() == pytest.approx([299, 299, np.nan, np.nan], nan_ok=True)
    assert {len(moments) for moments, _ in near._known.values()} == {11}
    late = near.update(np.full((1, 1), 7.0), stamps[:1] - pd.Timedelta("30s"), pd.Index(["web-9"]))
    assert np.isnan(late).all()


def test_a_late_row_sees_what_its_neighbours_were_then():
    table = panel(6, sizes=(30, 20, 25)).rename(columns={"m0": "load"})[["load"]]
    near = Neighbours(TOPOLOGY, ["load"], fresh="1h")
    whole = near.transform(table)
    others = table.drop("web-0", level="entity")
    near.begin(others, late=10 * 3600 * 1_000_000)
    own = table.loc[["web-0"]]
    found = near.update(own.to_numpy(), own.index.get_level_values("timestamp"), own.index.get_level_values("entity"))
    assert found == pytest.approx(whole.loc[["web-0"]].to_numpy(), nan_ok=True)
