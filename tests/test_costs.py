"""Costs: counted as a person would, cheapest where they are, and judged on the rows they were not chosen on."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.evaluation import (
    CostCurve,
    NotEnoughEvidence,
    cheapest_threshold,
    cost_curve,
    cost_estimate,
    warned_events,
    warnings_at,
)
from stability.schema import ContractError

HOURS = pd.date_range("2026-01-01", periods=40, freq="h", tz="UTC", unit="us")
COSTS = {"miss": 10.0, "alarm": 1.0}


def fleet(entities=20, days=120, seed=0, noise=0.3):
    """Machines with a fault each ten days, and probabilities that rise the day before."""
    rng = np.random.default_rng(seed)
    stamps = pd.date_range("2026-01-01", periods=days, freq="D", tz="UTC", unit="us")
    names = [f"m{i:02d}" for i in range(entities)]
    index = pd.MultiIndex.from_product([names, stamps], names=["entity", "timestamp"])
    number = np.tile(np.arange(days), entities)
    known = rng.random(len(index)) > noise
    said = np.where((number % 10 == 8) & known, 0.6, 0.1) + 0.3 * rng.random(len(index)) * (
        rng.random(len(index)) < 0.5
    )
    faults = pd.DataFrame([(n, s) for n in names for s in stamps[9::10]], columns=["entity", "impact_start"])
    return pd.Series(said, index), faults


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 6), st.integers(0, 3))
def test_curve_counts_what_each_threshold_does(seed, horizon, cooldown, least):
    rng = np.random.default_rng(seed)
    said = pd.Series(rng.integers(0, 8, size=40) / 8, HOURS).where(rng.random(40) > 0.1)
    faults = pd.DataFrame({"entity": "default", "impact_start": HOURS[[7, 19, 33]]})
    kept = {"horizon": f"{horizon}h", "cooldown": f"{cooldown}h"}
    own = kept | {"least_lead": f"{least}h", "recovery": "0s"}
    events = warned_events(said, faults, threshold=math.inf, **own)["judged"].sum()
    if not events:
        with pytest.raises(NotEnoughEvidence):
            cost_curve(said, faults, **COSTS, **own)
        return
    found = cost_curve(said, faults, **COSTS, per="1h", **own)
    assert found.events == events
    assert list(found.curve.index) == [math.inf, *sorted(set(said.dropna()) - {0.0}, reverse=True), 0.0]
    for threshold, row in found.curve.iterrows():
        raised = len(warnings_at(said, threshold, **kept))
        table = warned_events(said, faults, threshold=threshold, **own)
        missed = (table["judged"] & table["lead"].isna()).sum()
        assert row["cost"] * 40 == pytest.approx(raised + 10 * missed)
        assert row["warnings"] * 40 == pytest.approx(raised)
        assert row["recall"] == pytest.approx(1 - missed / events)
    assert found.never == pytest.approx(10 * events / 40)
    assert found.always == found.curve.loc[0.0, "cost"]


def test_many_probabilities_are_thinned_but_the_highest_are_kept():
    said, faults = fleet()
    curve = cost_curve(said, faults, horizon="1D", points=30, **COSTS).curve
    assert 20 < len(curve) <= 32
    assert curve.index[1] == said.max()
    assert curve.index.is_monotonic_decreasing
    whole = cost_curve(said, faults, horizon="1D", points=10_000, **COSTS).curve
    pd.testing.assert_frame_equal(whole.loc[curve.index], curve)


def test_the_cheapest_follows_the_costs():
    said, faults = fleet()
    dear = cheapest_threshold(cost_curve(said, faults, horizon="1D", miss=1000, alarm=1))
    cheap = cheapest_threshold(cost_curve(said, faults, horizon="1D", miss=0.1, alarm=1))
    usual = cheapest_threshold(cost_curve(said, faults, horizon="1D", **COSTS))
    assert dear.threshold < usual.threshold < cheap.threshold
    assert cheap.threshold == math.inf
    assert 0.4 < usual.threshold < 0.7
    curve = pd.DataFrame({"cost": [1.0, 3.0, 1.0]}, index=[0.0, 0.5, 0.7])
    assert cheapest_threshold(CostCurve(curve, 3.0, 1.0, 1, 1.0)).threshold == 0.7  # whatever the order


def test_estimate_agrees_with_the_curve_and_knows_its_spread():
    said, faults = fleet()
    curve = cost_curve(said, faults, horizon="1D", points=10_000, **COSTS)
    chosen = cheapest_threshold(curve)
    found = cost_estimate(said, faults, threshold=chosen.threshold, horizon="1D", **COSTS)
    assert found.cost.value == pytest.approx(chosen.cost)
    assert (found.never.value, found.always.value) == (pytest.approx(curve.never), pytest.approx(curve.always))
    assert found.cost.lo < found.cost.value < found.cost.hi
    assert found.saved_to_never.value == pytest.approx(curve.never - chosen.cost)
    assert found.saved_to_always.lo > 0
    assert (found.events, found.exposure) == (curve.events, curve.exposure)
    blocks = cost_estimate(said, faults, threshold=chosen.threshold, horizon="1D", unit="block", block="10D", **COSTS)
    assert blocks.cost.value == pytest.approx(found.cost.value)


def test_a_model_that_knows_nothing_saves_nothing():
    said, faults = fleet(noise=1.0)
    found = cost_estimate(said, faults, threshold=0.3, horizon="1D", miss=5, alarm=1)
    assert found.saved_to_never.hi < 0  # a fault in ten days for 5 against warnings for 1 each that hit one in ten


@pytest.mark.parametrize(
    ("change", "word"),
    [({"miss": -1}, "miss"), ({"alarm": math.nan}, "alarm"), ({"points": 0}, "points"), ({"per": "0s"}, "per")],
)
def test_bad_settings_are_named(change, word):
    said, faults = fleet(entities=2)
    with pytest.raises(ContractError, match=word):
        cost_curve(said, faults, **{"horizon": "1D"} | COSTS | change)


def test_without_impacts_there_is_nothing_to_weigh():
    said, faults = fleet(entities=6)
    with pytest.raises(NotEnoughEvidence, match="No impact"):
        cost_curve(said, faults[:0], horizon="1D", **COSTS)
    with pytest.raises(NotEnoughEvidence, match="No impact"):
        cost_estimate(said, faults[:0], threshold=0.5, horizon="1D", **COSTS)
    with pytest.raises(NotEnoughEvidence, match="units"):
        cost_estimate(said["m00":"m01"], faults, threshold=0.5, horizon="1D", unit="entity", **COSTS)
