"""Plans on the testbed: demand from the load log, replicas wanted now, and no more than there is room for."""

import json

import numpy as np
import pandas as pd
import pytest

from stability.availability import Replica, cover, plan
from stability.schema import ContractError
from stability.testbed import control, scaling

ONE = Replica(rate=100.0, start=5.0)


def written(path, rows):
    lines = [
        {"second": s, "replica": r, "answered": n, "failed": 0, "slow": 0, "wrong": 0, "sent": n} for s, r, n in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_demand_is_what_all_users_sent_in_seconds_that_are_over(tmp_path):
    rows = [(100, "all", 30), (100, "model-a", 15), (101, "all", 40), (103, "all", 50), (104, "all", 3)]
    found = scaling.demand_of(written(tmp_path / "load.jsonl", rows))
    np.testing.assert_array_equal(found, [30, 40, np.nan, 50])
    assert found.index[0] == pd.Timestamp(100, unit="s", tz="UTC")
    with pytest.raises(ContractError, match="three seconds"):
        scaling.demand_of(written(tmp_path / "load.jsonl", rows[:3]))


def test_what_is_wanted_now_is_the_plans_next_order():
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2026-03-01", periods=400, freq="s", tz="UTC")
    demand = pd.Series(rng.poisson(np.linspace(100, 400, 400)).astype(float), index=stamps)
    orders = plan(cover(demand, ONE), ONE, every=1.0, least=2)
    for rows in (200, 300, 399):
        assert scaling.wanted(demand.iloc[:rows], ONE) == orders.iloc[rows]
    assert scaling.wanted(demand.iloc[:10], ONE) == 2


@pytest.mark.parametrize("ordered", [0, -1, 1.5, True])
def test_orders_that_are_none_reach_no_testbed(tmp_path, ordered):
    with pytest.raises(ContractError, match="from 1 up"):
        scaling.scale(tmp_path, ordered)


def test_without_a_testbed_nothing_is_scaled(tmp_path):
    with pytest.raises(ContractError, match="no testbed runs"):
        scaling.scale(tmp_path, 2)


def test_no_more_are_asked_for_than_the_testbed_has_room_for(tmp_path, monkeypatch):
    # that a real one then has them is asked of the testbed of test_testbed, which is up
    asked = []
    monkeypatch.setattr(control, "ask", lambda folder, path: asked.append(path) or {"replicas": int(path[-1])})
    assert scaling.scale(tmp_path, 9)[:2] == (9, 4)
    assert scaling.scale(tmp_path, 3)[:2] == (3, 3)
    assert asked == ["/scale/4", "/scale/3"]
