"""Orders of replicas: nothing of the future, hand-worked decisions, and a plan that is there before the demand."""

import numpy as np
import pandas as pd
import pytest

from stability.availability.capacity import Replica, simulate
from stability.availability.policies import cover, plan, react
from stability.schema import ContractError

BEGIN = pd.Timestamp("2026-03-01", tz="UTC").as_unit("us")
ONE = Replica(rate=100.0, start=5.0)


def series(values):
    return pd.Series(np.asarray(values, float), index=pd.date_range(BEGIN, periods=len(values), freq="s", unit="us"))


def seasonal(n=4000, swing=0.35, size=300, seed=0):
    rate = size * (1 + swing * np.sin(2 * np.pi * np.arange(n) / 600))
    return series(np.random.default_rng(seed).poisson(rate))


@pytest.mark.parametrize("policy", ["plan", "react"])
def test_orders_do_not_see_the_future(policy):
    def orders(demand):
        return plan(cover(demand, ONE, period=600.0), ONE) if policy == "plan" else react(demand, ONE)

    demand = seasonal()
    whole = orders(demand)
    for rows in (2, 603, 1501, 3999):
        pd.testing.assert_series_equal(orders(demand.iloc[:rows]), whole.iloc[:rows])
    changed = demand.copy()
    changed.iloc[1500:] *= 3
    pd.testing.assert_series_equal(orders(changed).iloc[:1501], whole.iloc[:1501])  # a row's own demand comes too late


def test_hand_worked_reaction():
    # 70 requests/s are one replica at its target; 150 are 2.14 of them, so three; 60 would be one, after 20 s of it
    demand = series([70.0] * 20 + [150.0] * 20 + [60.0] * 60)
    found = react(demand, ONE, every=5.0, window=5.0, stabilization=20.0)
    assert found.iloc[:25].tolist() == [1] * 25
    assert found.iloc[25:65].tolist() == [3] * 40
    assert found.iloc[65:].tolist() == [1] * 35
    assert react(demand, ONE, every=5.0, window=5.0, stabilization=20.0, spare=1).tolist() == (found + 1).tolist()


def test_within_its_tolerance_nothing_changes():
    demand = series([70.0] * 50 + [76.0] * 50)
    assert react(demand, ONE, stabilization=0.0).eq(1).all()
    assert react(demand, ONE, stabilization=0.0, tolerance=0.0).iloc[-1] == 2


def test_what_nobody_measured_changes_nothing():
    demand = series([150.0] * 30 + [np.nan] * 70)
    found = react(demand, ONE, stabilization=0.0)
    assert found.iloc[-1] == found.iloc[40] == 3
    assert plan(cover(series([np.nan] * 100), ONE), ONE, least=2).eq(2).all()


def test_a_plan_covers_what_comes_until_the_next_one_is_ready():
    steady = cover(series([200.0] * 300), ONE)
    assert steady.iloc[-1] == 200
    assert plan(steady, ONE).iloc[-1] == 3  # 90.8 usable of each
    assert plan(steady, ONE, headroom=1.5).iloc[-1] == 4
    rising = cover(seasonal(swing=0.35, size=30_000), ONE, period=600.0, quantile=0.5)
    before = 2400  # the season rises from here on
    expected = 30_000 * (1 + 0.35 * np.sin(2 * np.pi * 10 / 600))
    assert rising.iloc[before] == pytest.approx(expected, rel=0.01)


def test_a_plan_beats_a_reaction_where_the_season_rises_while_replicas_start():
    slow = Replica(rate=100.0, start=60.0)
    demand = seasonal(6000, swing=0.6, size=600)
    ahead = plan(cover(demand, slow, period=600.0), slow, headroom=1.02)
    after = react(demand, slow, target=0.8, stabilization=60.0)
    runs = [simulate(demand, orders, slow).iloc[1200:] for orders in (ahead, after)]
    assert runs[0]["cost"].sum() <= runs[1]["cost"].sum()
    assert runs[0]["over"].sum() < 0.2 * runs[1]["over"].sum()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"target": 0.0}, "above 0"),
        ({"every": np.inf}, "above 0"),
        ({"stabilization": -1.0}, "from 0 up"),
        ({"tolerance": 1.0}, "below 1"),
        ({"least": 0}, "replicas, 1 to"),
        ({"least": True}, "replicas, 1 to"),
    ],
)
def test_settings_that_are_none(changed, said):
    with pytest.raises(ContractError, match=said):
        react(series([1, 2, 3]), ONE, **changed)


def test_plans_that_are_none():
    with pytest.raises(ContractError, match="above 0"):
        plan(series([1, 2]), ONE, headroom=0.0)
    with pytest.raises(ContractError, match="regular steps"):
        cover(series([1, 2, 3, 4]).iloc[[0, 1, 3]], ONE)
