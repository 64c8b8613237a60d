"""Warnings and budgets: equal to plain loops, monotone where they must be, and silent about what cannot be known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stability.evaluation import (
    NotEnoughEvidence,
    budget_estimates,
    budget_threshold,
    poisson_interval,
    warned_events,
    warnings_at,
    wilson_interval,
)
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")
HOUR = pd.Timedelta("1h")
said = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 1.0, math.nan])
course = st.lists(st.tuples(st.integers(0, 30), said), min_size=6, max_size=12, unique_by=lambda x: x[0]).map(sorted)
fleet = st.fixed_dictionaries({"web": course, "db": course})  # hour, probability
broken = st.lists(st.tuples(st.sampled_from(["db", "web", "other"]), st.integers(-2, 40)), max_size=6)


def series(rows):
    keys = [(entity, START + hour * HOUR) for entity, own in rows.items() for hour, _ in own]
    values = [value for own in rows.values() for _, value in own]
    return pd.Series(values, pd.MultiIndex.from_tuples(keys, names=["entity", "timestamp"]), dtype=float)


def impacts(pairs):
    entities, hours = zip(*pairs, strict=True) if pairs else ((), ())
    moments = START + pd.to_timedelta(np.array(hours, dtype="int64"), unit="h")
    return pd.DataFrame({"entity": pd.Series(entities, dtype="str"), "impact_start": moments})


# --- the twins: plain loops over one entity's hours ------------------------------------------------------------------


def warnings_of(rows, threshold, cooldown):
    """Hours at which warnings are raised."""
    raised = []
    for hour, value in rows:
        if value >= threshold and (not raised or hour >= raised[-1] + cooldown):
            raised.append(hour)
    return raised


def lead_of(impact, hours, horizon):
    """Longest lead among the hours whose interval (hour, hour + horizon] holds the impact; None without."""
    return max((impact - hour for hour in hours if hour < impact <= hour + horizon), default=None)


def verdict(hour, own, horizon, until):
    if any(hour < impact <= hour + horizon for impact in own):
        return "right"
    return "false" if hour + horizon <= until else "unjudged"


def lowest_threshold(rows, cooldown, most, counts):
    """Walk down the probabilities; stop before the first at which too many warnings count."""
    best = math.inf
    values = sorted({value for own in rows.values() for _, value in own if not math.isnan(value)}, reverse=True)
    for value in values:
        number = sum(counts(e, hour) for e, own in rows.items() for hour in warnings_of(own, value, cooldown))
        if number > most + 1e-9:
            return best
        best = value
    return 0.0


@given(fleet, st.sampled_from([0.0, 0.2, 0.5, 0.9, math.inf]), st.integers(1, 8), st.integers(0, 9))
def test_warnings_equal_their_twin(rows, threshold, horizon, cooldown):
    found = warnings_at(series(rows), threshold, horizon=horizon * HOUR, cooldown=cooldown * HOUR)
    expected = [(e, START + h * HOUR) for e, own in rows.items() for h in warnings_of(own, threshold, cooldown)]
    assert list(zip(found["entity"], found["start"], strict=True)) == expected
    assert (found["end"] - found["start"] == horizon * HOUR).all()
    assert (found["probability"] >= threshold).all()


@given(fleet, broken, st.sampled_from([0.0, 0.2, 0.5, 0.9]), st.integers(1, 8), st.integers(1, 9), st.integers(0, 4))
def test_events_and_counts_equal_their_twins(rows, faults, threshold, horizon, cooldown, least):
    until = 33
    ends = {"horizon": horizon * HOUR, "cooldown": cooldown * HOUR, "least_lead": least * HOUR}
    ends |= {"observed_until": START + until * HOUR, "recovery": "0s", "threshold": threshold}
    table = warned_events(series(rows), impacts(faults), **ends)
    expected, verdicts = [], []
    for entity, own in rows.items():
        moments = sorted({hour for name, hour in faults if name == entity and hour <= until})
        raised = warnings_of(own, threshold, cooldown)
        first, last = own[0][0], own[-1][0]
        for impact in [moment for moment in moments if first < moment <= last + horizon]:
            possible = lead_of(impact, [hour for hour, _ in own], horizon)
            lead = lead_of(impact, raised, horizon)
            judged = possible is not None and possible > least
            expected.append((entity, impact, possible, judged, lead if judged and lead and lead > least else None))
        verdicts += [verdict(hour, moments, horizon, until) for hour in raised]
    hours = (table["impact_start"] - START) // HOUR
    seconds = table[["possible", "lead"]].div(3600).astype(object).where(table[["possible", "lead"]].notna(), None)
    found = zip(table["entity"], hours, seconds["possible"], table["judged"], seconds["lead"], strict=True)
    assert list(found) == expected
    counts = budget_estimates(series(rows), impacts(faults), **ends, unit="block", block="1h", resamples=5)
    judged = [row for row in expected if row[3]]
    assert (counts.events, counts.unjudged_events) == (len(judged), len(expected) - len(judged))
    assert counts.warned == sum(row[4] is not None for row in judged)
    assert (counts.warnings, counts.right) == (len(verdicts), verdicts.count("right"))
    assert counts.unjudged_warnings == verdicts.count("unjudged")
    pd.testing.assert_frame_equal(counts.impacts, table)


@given(fleet, broken, st.integers(1, 8), st.integers(0, 9), st.integers(0, 12), st.booleans())
@example({"web": [(0, 0.5), (1, 0.9), (3, 0.8)], "db": [(0, 0.1), (1, 0.1)]}, [], 2, 2, 1, False)
def test_threshold_equals_its_twin(rows, faults, horizon, cooldown, most, false_only):
    probabilities, until = series(rows), START + 33 * HOUR
    exposure = budget_threshold(probabilities, 0, horizon="1h", per="1h").exposure
    own = {entity: [hour for name, hour in faults if name == entity and hour <= 33] for entity in rows}

    def counts(entity, hour):
        return not false_only or verdict(hour, own[entity], horizon, 33) == "false"

    settings = {"per": "1h", "horizon": horizon * HOUR, "cooldown": cooldown * HOUR, "observed_until": until}
    settings |= {"faults": impacts(faults), "counting": "false" if false_only else "all", "recovery": "0s"}
    found = budget_threshold(probabilities, most / exposure, **settings)
    assert found.threshold == lowest_threshold(rows, cooldown, most, counts)
    raised = [(e, h) for e, o in rows.items() for h in warnings_of(o, found.threshold, cooldown)]
    assert found.rate * exposure == pytest.approx(sum(counts(*one) for one in raised))


def test_a_lucky_gap_below_a_broken_budget_is_not_taken():
    # At .8 there are two warnings; at .5 the first hour's warning covers the second's, and only one is left.
    rows = {"web": [(0, 0.5), (1, 0.9), (3, 0.8)]}
    assert len(warnings_at(series(rows), 0.8, horizon="2h")) == 2
    assert len(warnings_at(series(rows), 0.5, horizon="4h")) == 1
    found = budget_threshold(series(rows), 1 / 4, horizon="2h", per="1h")
    assert (found.threshold, found.exposure) == (0.9, 4.5)  # a usual step, 1.5 h, stands after the last row
    assert found.rate == 1 / 4.5


def test_many_rows_are_as_exact_as_few():
    rng = np.random.default_rng(0)
    rows = {f"m{i}": list(enumerate(rng.random(1500).round(3))) for i in range(4)}
    found = budget_threshold(series(rows), 0.02, horizon="5h", per="1h")
    assert found.threshold == lowest_threshold(rows, 5, 0.02 * 6000, lambda *_: True)
    assert found.rate <= 0.02


def test_exposure_is_the_time_that_rows_stand_for():
    rows = {"web": [(0, 0.1), (1, math.nan), (2, 0.1), (20, 0.1)], "db": [(0, 0.1), (2, 0.1)]}
    found = budget_threshold(series(rows), 1, horizon="2h", per="1D")
    assert found.exposure * 24 == 3 + 1 + 4  # a hole of 18 h is not watched, an abstention is


def weekly(early=1, weeks=30, entities=12):
    """A fault each week, and a warning the given days before each but every third; one for nothing each fifth."""
    days = pd.date_range(START, periods=7 * weeks, freq="D", unit="us")
    index = pd.MultiIndex.from_product([[f"m{i:02d}" for i in range(entities)], days], names=["entity", "timestamp"])
    number = np.tile(np.arange(len(days)), entities)
    right = (number % 7 == 6 - early) & (number // 7 % 3 > 0)
    wrong = (number % 7 == 1) & (number // 7 % 5 == 0)
    faults = impacts([(f"m{i:02d}", 24 * day) for i in range(entities) for day in range(6, len(days), 7)])
    return pd.Series(np.where(right | wrong, 0.9, 0.1), index), faults


def test_estimates_say_what_was_made():
    probabilities, faults = weekly()
    found = budget_estimates(probabilities, faults, threshold=0.5, horizon="2D", budget=0.5)
    assert (found.events, found.warned, found.unjudged_events) == (360, 240, 0)
    assert (found.warnings, found.right, found.unjudged_warnings) == (12 * 26, 240, 0)
    assert found.exposure == 360
    assert found.cap == 0.5
    assert found.chance == pytest.approx(26 * 2 / 210)  # 26 warnings of two days each
    assert found.rate.value == pytest.approx(26 / 30)
    assert found.false_rate.value == pytest.approx(6 / 30)
    assert [found.lead_p10.value, found.lead_p50.value, found.lead_p90.value] == [86_400.0] * 3
    # All machines are alike, so the bootstrap says nothing, and the classical limits stand.
    assert found.recall == wilson_interval(240, 360)
    assert found.precision == wilson_interval(240, 312)
    assert found.rate == pytest.approx(poisson_interval(312, 360.0))
    assert math.isnan(found.lead_share.value)
    assert math.isnan(budget_estimates(probabilities, faults, threshold=0.5, horizon="2D").cap)


def test_a_lead_that_is_too_short_is_a_miss_and_one_that_no_row_could_give_is_not_judged():
    probabilities, faults = weekly(early=1)
    late = budget_estimates(probabilities, faults, threshold=0.5, horizon="2D", least_lead="24h")
    assert (late.events, late.warned) == (360, 0)
    assert late.chance == pytest.approx(26 / 210)
    assert math.isnan(late.lead_p50.value)
    never = budget_estimates(probabilities, faults, threshold=0.5, horizon="2D", least_lead="48h")
    assert (never.events, never.unjudged_events) == (0, 360)
    assert math.isnan(never.recall.value)
    assert math.isnan(never.cap)


def test_chance_is_what_warnings_at_random_moments_reach():
    rng = np.random.default_rng(0)
    hours = pd.date_range(START, periods=4000, freq="h", unit="us")
    index = pd.MultiIndex.from_product([[f"m{i}" for i in range(10)], hours], names=["entity", "timestamp"])
    faults = impacts(
        [(f"m{i}", hour) for i in range(10) for hour in rng.choice(np.arange(50, 4000), 60, replace=False)]
    )
    random = pd.Series(rng.random(40_000), index)
    for cooldown in ("12h", "4h"):  # of the second kind intervals overlap
        kept = {"threshold": 0.97, "horizon": "12h", "cooldown": cooldown, "recovery": "0s"}
        found = budget_estimates(random, faults, least_lead="3h", **kept)
        assert found.recall.lo < found.chance < found.recall.hi
        assert 0.1 < found.chance < 0.6


def test_silence_is_a_miss_and_has_no_precision():
    probabilities, faults = weekly()
    found = budget_estimates(probabilities * math.nan, faults, threshold=0.5, horizon="2D")
    assert found.recall == wilson_interval(0, 360)
    assert (found.warnings, found.rate.value) == (0, 0)
    assert math.isnan(found.precision.value)


def test_the_end_of_the_record_is_no_proof():
    hours = pd.date_range(START, periods=12, freq="h", unit="us")
    probabilities = pd.Series(np.where(np.arange(12) == 10, 0.9, 0.1), hours)
    none = impacts([("default", 50)])
    settings = {"threshold": 0.5, "horizon": "3h", "unit": "block", "block": "1h", "resamples": 20}
    found = budget_estimates(probabilities, none, **settings)
    assert (found.warnings, found.unjudged_warnings, found.false_rate.value) == (1, 1, 0)
    found = budget_estimates(probabilities, none, **settings, observed_until=START + 13 * HOUR)
    assert (found.unjudged_warnings, found.precision.value) == (0, 0)
    free = budget_threshold(probabilities, 0, horizon="3h", faults=none, counting="false")
    assert free.threshold == 0.9  # the warning at 10 h cannot be false
    assert budget_threshold(probabilities, 0, horizon="3h").threshold == math.inf


def test_faults_join_into_one_impact():
    hours = pd.date_range(START, periods=30, freq="h", unit="us")
    probabilities = pd.Series(0.9, hours)
    faults = impacts([("default", 10), ("default", 10), ("default", 12), ("default", 20)])
    faults["recovered_at"] = START + pd.to_timedelta([11, 13, 14, None], unit="h")
    faults["cause_start"] = START + pd.to_timedelta([8, 6, 2, 20], unit="h")
    faults["failure_mode"] = ["leak", "slow", "crash", "crash"]
    settings = {"threshold": 0.5, "horizon": "6h"}
    table = warned_events(probabilities, faults, **settings)
    assert ((table["impact_start"] - START) // HOUR).tolist() == [10, 20]
    assert table["since_cause"].tolist() == [4 * 3600.0, 0.0]
    assert (
        (warned_events(probabilities, faults, modes=["slow"], **settings)["impact_start"] - START) // HOUR == 10
    ).all()
    later = warned_events(probabilities, faults, modes="crash", **settings)
    assert ((later["impact_start"] - START) // HOUR).tolist() == [20]  # the crash at 12 is part of the outage from 10
    # Of other modes, a warning is right all the same.
    found = budget_estimates(probabilities, faults, modes="crash", unit="block", block="2h", resamples=20, **settings)
    assert (
        found.right == budget_estimates(probabilities, faults, unit="block", block="2h", resamples=20, **settings).right
    )


def test_lead_as_a_share_of_the_time_since_the_cause():
    probabilities, faults = weekly(early=3)
    faults["cause_start"] = faults["impact_start"] - pd.Timedelta("4D")
    found = budget_estimates(probabilities, faults, threshold=0.5, horizon="4D", resamples=50)
    assert found.lead_share == (0.75, 0.75, 0.75)
    faults["cause_start"] = faults["impact_start"] - pd.Timedelta("1D")
    assert budget_estimates(probabilities, faults, threshold=0.5, horizon="4D").lead_share.value == 1.0


def test_intervals_shrink_with_more_machines_and_hold_the_value():
    rng = np.random.default_rng(1)
    widths = []
    for entities in (12, 60):
        probabilities, faults = weekly(entities=entities)
        noisy = probabilities.where(rng.random(len(probabilities)) > 0.3, 0.1)
        found = budget_estimates(noisy, faults, threshold=0.5, horizon="2D")
        for name in ("recall", "precision", "rate", "false_rate"):
            assert getattr(found, name).lo < getattr(found, name).value < getattr(found, name).hi
        widths.append(found.recall.hi - found.recall.lo)
    assert widths[1] < 0.6 * widths[0]


def test_it_is_repeatable_and_the_seed_matters():
    probabilities, faults = weekly()
    # Machines that differ: here the bootstrap is wider than Wilson's interval.
    heard = np.random.default_rng(0).random(len(probabilities)) < np.repeat(np.linspace(0, 1, 12) ** 2, 210)
    probabilities = probabilities.where(heard, 0.1)
    first, again, other = (
        budget_estimates(probabilities, faults, threshold=0.5, horizon="2D", seed=seed) for seed in (0, 0, 1)
    )
    assert first.recall == again.recall
    assert first.recall != other.recall


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"horizon": "0s"}, "horizon"),
        ({"horizon": "soon"}, "horizon"),
        ({"cooldown": "-1h"}, "cooldown"),
        ({"least_lead": -5}, "least_lead"),
        ({"per": 0}, "per"),
        ({"threshold": math.nan}, "threshold"),
        ({"observed_until": {"m01": START}}, "observed_until"),
        ({"modes": ["flood"]}, "failure_mode"),
    ],
)
def test_bad_settings_are_named(change, word):
    probabilities, faults = weekly()
    with pytest.raises(ContractError, match=word):
        budget_estimates(probabilities, faults, **{"threshold": 0.5, "horizon": "2D"} | change)


def test_bad_tables_are_named():
    probabilities, faults = weekly()
    kept = {"threshold": 0.5, "horizon": "2D"}
    with pytest.raises(ContractError, match="impact_start"):
        warned_events(probabilities, faults[["entity"]], **kept)
    with pytest.raises(ContractError, match="between 0 and 1"):
        warned_events(2 * probabilities, faults, **kept)
    with pytest.raises(ContractError, match="sorted"):
        warned_events(probabilities[::-1], faults, **kept)
    with pytest.raises(ContractError, match="each row once"):
        warned_events(probabilities.iloc[[0, 0, 1]], faults, **kept)
    with pytest.raises(ContractError, match="Series"):
        warnings_at(probabilities.to_frame(), 0.5, horizon="2D")
    with pytest.raises(ContractError, match="budget"):
        budget_threshold(probabilities, -1, horizon="2D")
    with pytest.raises(ContractError, match="counting"):
        budget_threshold(probabilities, 1, horizon="2D", counting="some")
    with pytest.raises(ContractError, match="faults"):
        budget_threshold(probabilities, 1, horizon="2D", counting="false")
    with pytest.raises(NotEnoughEvidence):
        budget_estimates(probabilities["m00":"m01"], faults, unit="entity", **kept)


def test_no_fault_at_all_is_an_answer():
    probabilities, faults = weekly()
    found = budget_estimates(probabilities, faults.iloc[:0], threshold=0.5, horizon="2D")
    assert (found.events, found.right, found.precision.value) == (0, 0, 0.0)
    assert math.isnan(found.recall.value)
