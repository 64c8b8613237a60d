"""Replicas simulated and judged: hand-worked queues, a slow twin, and what comes of orders that are none."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stability.availability import capacity
from stability.availability.capacity import Replica
from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError

BEGIN = pd.Timestamp("2026-03-01", tz="UTC").as_unit("us")
ONE = Replica(rate=100.0, start=3.0)


def series(values, dtype=float):
    return pd.Series(np.asarray(values, dtype), index=pd.date_range(BEGIN, periods=len(values), freq="s", unit="us"))


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4)), min_size=2, max_size=30))
@example([(145, 1), (200, 1), (258, 1), (37, 1)])  # the queue is empty before the last second is over
def test_users_wait_as_in_a_queue_of_small_parts(rows):
    demand, orders = (series(column) for column in zip(*rows, strict=True))
    orders = orders + 1
    run = capacity.simulate(demand, orders, ONE)
    allowed = 0.25 - math.log(10) / 100
    margin = np.array(naive.waited_too_long(demand, run["ready"], 100.0, allowed, 0.1, 5, 2.0))
    sure = np.abs(margin) > 5  # requests: nearer to the limit, how fine the parts are decides
    assert (run["over"].to_numpy()[sure] == (margin > 0)[sure]).all()


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(0, 6))
def test_a_replica_is_ready_when_it_was_ordered_long_enough(orders, start):
    run = capacity.simulate(series([0.0] * len(orders)), series(orders), Replica(rate=100.0, start=float(start)))
    known = [orders[0]] * start + orders
    assert run["ready"].tolist() == [min(known[t : t + start + 1]) for t in range(len(orders))]
    assert run["cost"].sum() == sum(orders)
    assert not run["over"].any()


def test_without_replicas_everyone_is_late_and_nobody_waits_for_ever():
    run = capacity.simulate(series([10.0] * 5), series([0] * 5), ONE)
    assert run["over"].all()
    assert (run["wait"] == 2.0).all()
    idle = capacity.simulate(series([0.0] * 5), series([0] * 5), ONE)
    assert not idle["over"].any()


def test_seconds_that_nobody_knows_are_not_judged():
    run = capacity.simulate(series([500.0, np.nan, 500.0]), series([1, 1, 1]), ONE)
    assert run["over"].tolist() == [True, False, True]


def test_a_queue_of_single_servers_is_late_as_often_as_its_formula_says():
    rng = np.random.default_rng(0)
    replica, n = Replica(rate=100.0, start=0.0), 200_000
    gaps, work = rng.exponential(1 / replica.usable, n), rng.exponential(1 / replica.rate, n)
    waits = np.zeros(n)
    for k in range(1, n):
        waits[k] = max(waits[k - 1] + work[k - 1] - gaps[k], 0.0)
    assert np.mean(waits + work > replica.slow_seconds) == pytest.approx(replica.slow_share, abs=0.03)


def test_what_a_replica_can_do_is_measured_from_idle_times():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(40):
        requests = series(rng.poisson(50, 600))
        cpu = requests * 0.004 + rng.normal(0, 0.02, 600)
        found = capacity.rate_of(requests, cpu)
        inside += found.lo <= 250 <= found.hi
    assert inside >= 33
    for nothing in (requests * np.nan, requests * 0):
        with pytest.raises(NotEnoughEvidence):
            capacity.rate_of(requests, nothing)


def test_only_absences_in_a_restart_are_starts():
    up = series([1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0])
    windows = pd.DataFrame({"start": up.index[[1, 9]], "end": up.index[[2, 10]]})
    assert capacity.start_seconds(up, windows).tolist() == [2.0]  # the second is no restart, the third does not end
    assert len(capacity.start_seconds(up, windows.iloc[:0])) == 0


def test_policies_are_compared_block_by_block():
    rng = np.random.default_rng(2)
    demand = series(np.repeat(rng.uniform(50, 250, 60), 100))
    two, three = (capacity.simulate(demand, series([many] * 6000), ONE) for many in (2, 3))
    minutes, cost = capacity.versus([three], [two])
    assert minutes.estimate.value == pytest.approx((three["over"].sum() - two["over"].sum()) / 60)
    assert minutes.estimate.hi < 0 < cost.value
    assert minutes.p < 0.05
    assert cost == (1.5, 1.5, 1.5)
    found = capacity.minutes_over([two, three])
    assert found.value == pytest.approx((two["over"].sum() + three["over"].sum()) / 60)
    assert found.lo < found.value < found.hi
    same, _ = capacity.versus([two], [two])
    assert same.estimate == (0.0, 0.0, 0.0)
    assert same.p == 1.0
    with pytest.raises(NotEnoughEvidence):
        capacity.versus([two.iloc[:2400]], [three.iloc[:2400]])
    with pytest.raises(ContractError, match="rows of one"):
        capacity.versus([two], [three.iloc[:5000]])
    calm = capacity.simulate(demand, series([9] * 6000), ONE)
    assert capacity.minutes_over([calm, calm]) == (0.0, 0.0, pytest.approx(2 * 3.689 * 5 / 60, rel=1e-3))
    none, _ = capacity.versus([calm, calm], [three.assign(over=False)] * 2)
    assert none.estimate == (
        0.0,
        pytest.approx(-2 * 3.689 * 5 / 60, rel=1e-3),
        pytest.approx(2 * 3.689 * 5 / 60, rel=1e-3),
    )
    assert none.p == 1.0
    with pytest.raises(NotEnoughEvidence):
        capacity.minutes_over([calm.iloc[:2400]])
    with pytest.raises(ContractError, match="at least one"):
        capacity.minutes_over([])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rate": 0.0}, "above 0"),
        ({"rate": 9.0}, "more than 9.21 requests/s"),
        ({"start": -1.0}, "from 0 up"),
        ({"slow_share": 1.0}, "between 0 and 1"),
        ({"window": np.nan}, "above 0"),
    ],
)
def test_replicas_that_are_none(changed, said):
    with pytest.raises(ContractError, match=said):
        Replica(**({"rate": 100.0, "start": 5.0} | changed))


@pytest.mark.parametrize("orders", [[1.5, 1], [-1, 1], [np.nan, 1]])
def test_orders_that_are_none(orders):
    with pytest.raises(ContractError, match="whole numbers"):
        capacity.simulate(series([1, 1]), series(orders), ONE)
    with pytest.raises(ContractError, match="rows of the demand"):
        capacity.simulate(series([1, 1]), series([1, 1, 1]), ONE)
