"""Excess of seconds and failures: whose own it is, by hand-made faults in a small shop."""

import numpy as np
import pytest
from shops import AVAILABILITY, shop, slow, topology

from stability.localization import excess, usual_flows

USUAL = usual_flows(shop(200, seed=9))


def own_of(found):
    return dict(zip(found.entities, found.own / found.total[list(found.entities).index("front")], strict=True))


@pytest.mark.parametrize("root", ["store", "cart", "search", "front"])
def test_the_own_part_is_the_roots(root):
    panel = slow(shop(5, seed=2), root, 0.08, (2, 4))
    found = excess(panel, "seconds", "front", topology(), USUAL)
    assert found.stretch == (2, 4)
    own = own_of(found)
    assert max(own, key=own.get) == root
    assert own[root] == pytest.approx(1.0, abs=0.15)
    assert all(abs(value) < 0.15 for name, value in own.items() if name != root)


def test_seconds_are_those_that_were_put_in():
    panel = slow(shop(5, seed=2), "search", 0.08, (2, 4))
    found = excess(panel, "seconds", "front", topology(), USUAL)
    requests = panel["service_requests"].unstack("entity").to_numpy()[2:4].sum(axis=0)
    i = list(found.entities).index("search")
    assert found.total[i] == pytest.approx(0.08 * requests[i], rel=0.05)


def test_failures_are_counted_and_stand_out_of_a_level_without_spread():
    panel = shop(5, seed=4)
    stamps = panel.loc["cart"].index[2:4]
    panel.loc[("cart", stamps), AVAILABILITY] = 0.9
    panel.loc[("front", stamps), AVAILABILITY] = 0.975
    found = excess(panel, "failures", "front", topology(), USUAL)
    own = own_of(found)
    assert max(own, key=own.get) == "cart"
    z = dict(zip(found.entities, found.total / found.noise, strict=True))
    assert z["cart"] > 10
    assert z["store"] == 0


def test_more_requests_at_the_same_seconds_are_no_excess():
    panel = shop(5, seed=5)
    stamps = panel.loc["store"].index[2:4]
    panel.loc[("store", stamps), "service_requests"] *= 5
    found = excess(panel, "seconds", "front", topology(), USUAL, stretch=(2, 4))
    z = dict(zip(found.entities, found.total / found.noise, strict=True))
    assert abs(z["store"]) < 4


def test_a_node_that_is_called_only_since_then_is_blamed_for_nothing():
    panel = slow(shop(5, seed=6), "cart", 0.1, (2, 4))
    stamps = panel.loc["store"].index
    panel.loc[("store", stamps[[0, 1, 4]]), "service_requests"] = 0
    panel.loc[("store", stamps[[0, 1, 4]]), "service_latency_seconds_mean"] = np.nan
    panel.loc[("store", stamps[2:4]), "service_latency_seconds_mean"] = 2.0
    rare = USUAL.copy()
    rare.loc["store", "used"] = 0.02
    found = excess(panel, "seconds", "front", topology(), rare)
    i = list(found.entities).index("store")
    assert found.new[i]
    assert found.own[i] == 0
    own = own_of(found)
    assert max(own, key=own.get) == "cart"


def test_without_normal_time_or_calls_there_is_still_an_answer():
    panel = slow(shop(5, seed=7), "search", 0.08, (2, 4))
    found = excess(panel, "seconds", "front", None, USUAL.iloc[:0])
    assert np.isfinite(found.noise).all()
    assert found.own == pytest.approx(found.total)
    assert excess(panel[["service_requests"]], "seconds", "front", None, USUAL) is None
    assert excess(panel[panel.index.get_level_values(1) == panel.index[0][1]], "seconds", "front", None, USUAL) is None


def test_failures_that_a_caller_catches_are_seen_where_they_are():
    panel = shop(5, seed=7)
    stamps = panel.loc["cart"].index
    panel.loc[("cart", stamps[2:4]), AVAILABILITY] = 0.8
    panel.loc[("front", stamps[0:2]), AVAILABILITY] -= 0.004  # a little trouble of its own, at another time
    found = excess(panel, "failures", "front", topology(), USUAL)
    assert found.stretch == (2, 4)
    z = dict(zip(found.entities, found.total / found.noise, strict=True))
    assert z["front"] < 2 < z["cart"] == found.clearest


def test_what_the_alarm_does_not_depend_on_does_not_tell_when_it_began():
    panel = shop(5, seed=8)
    stamps = panel.loc["cart"].index
    panel.loc[("front", stamps[0:2]), AVAILABILITY] = 0.5
    panel.loc[("cart", stamps[2:4]), AVAILABILITY] = 0.9
    found = excess(panel, "failures", "cart", topology(), USUAL)  # nobody calls the front from there
    assert found.stretch == (2, 4)
    assert not found.near[list(found.entities).index("front")]


def test_calm_failures_are_not_clear_anywhere():
    assert excess(shop(5, seed=9), "failures", "front", topology(), USUAL).clearest < 3
