"""Ratings from evidence: occurrence, detection and severity, each with bounds that tell how much was seen."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stability.evaluation.intervals import exact_interval
from stability.fmea import action_priority, detectability, occurrence, rate, severity
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")


def record(*modes):
    return pd.DataFrame({"failure_mode": list(modes)})


# --- occurrence ---


@given(st.integers(0, 40), st.floats(0.01, 1e5), st.sampled_from([0.8, 0.9, 0.95]))
def test_rate_is_the_posterior_of_jeffreys(count, days, confidence):
    told = occurrence(record(*["leak"] * count), days, modes=["leak"], confidence=confidence).loc["leak"]
    tail = (1 - confidence) / 2
    assert told["rate_hi"] == pytest.approx(stats.gamma.ppf(1 - tail, count + 0.5) / days)
    assert told["rate_lo"] == pytest.approx(stats.gamma.ppf(tail, count + 0.5) / days if count else 0)
    assert told["rate_lo"] <= told["rate"] <= told["rate_hi"]
    assert told["occurrence_lo"] <= told["occurrence"] <= told["occurrence_hi"]


def test_more_time_without_a_fault_proves_less_and_less_and_never_none():
    bounds = [occurrence(record(), days, modes=["x"]).loc["x", "occurrence_hi"] for days in (1, 100, 1e4, 1e6, 1e9)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == 10
    assert bounds[-1] == 2


def test_bounds_hold_the_true_rate_as_often_as_they_promise():
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, 4000)
    held = [(stats.gamma.ppf(0.05, n + 0.5) if n else 0) <= 3.0 <= stats.gamma.ppf(0.95, n + 0.5) for n in range(30)]
    assert np.mean(np.array(held)[counts]) > 0.87


@pytest.mark.parametrize("days", [0, -1, np.nan, np.inf])
def test_no_time_no_rate(days):
    with pytest.raises(ContractError, match="service-days above 0"):
        occurrence(record("leak"), days)


# --- detection ---


def seen(took, impact, *, mode="leak", lasted=100.0):
    """Incidents found after so many s (None = not), felt after so many (None = not)."""
    n = len(took)
    starts = pd.date_range(START, periods=n, freq="1h")
    offset = [pd.NaT if one is None else pd.Timedelta(one, unit="s") for one in impact]
    incidents = pd.DataFrame(
        {"failure_mode": mode, "entity": "a", "start": starts, "impact_start": starts + pd.TimedeltaIndex(offset)}
        | {"cause_end": starts + pd.Timedelta(lasted, unit="s"), "end": starts + pd.Timedelta(lasted, unit="s")},
        index=[f"f{i}" for i in range(n)],
    )
    late = pd.TimedeltaIndex([pd.NaT if one is None else pd.Timedelta(one, unit="s") for one in took])
    return incidents, pd.Series(starts + late, index=incidents.index)


def test_all_found_early_is_as_good_as_the_number_of_cases_proves():
    told = detectability(*seen([5] * 10, [30] * 10)).loc["leak"]
    assert tuple(told[["recall", "recall_lo", "recall_hi"]]) == pytest.approx(exact_interval(10, 10, 0.9))
    assert tuple(told[["margin", "margin_lo", "margin_hi"]]) == pytest.approx(exact_interval(10, 10, 0.9))
    assert told["caught"] == 1
    assert (told["detection"], told["detection_lo"]) == (2, 2)
    assert told["detection_hi"] == rate("detection", [exact_interval(10, 10, 0.9).lo])[0]
    more = detectability(*seen([5] * 200, [30] * 200)).loc["leak"]
    assert more["detection_hi"] < told["detection_hi"]


def test_found_too_late_counts_in_part():
    told = detectability(*seen([60] * 10, [15] * 10)).loc["leak"]
    assert told["margin"] == pytest.approx(0.25)
    assert told["caught"] == pytest.approx(0.25)
    assert told["find_seconds"] == 60
    assert told["impact_seconds"] == 15


def test_immediate_impact_cannot_be_caught():
    told = detectability(*seen([2] * 10, [0] * 10)).loc["leak"]
    assert (told["caught"], told["detection"], told["detection_hi"]) == (0, 10, 10)


def test_nothing_found_is_the_worst():
    told = detectability(*seen([None] * 20, [30] * 20)).loc["leak"]
    assert (told["found"], told["caught"], told["detection"], told["detection_hi"]) == (0, 0, 10, 10)
    assert told["detection_lo"] <= 10


def test_what_nobody_felt_allowed_as_long_as_it_lasted_or_as_was_said():
    cases = seen([50] * 5, [None] * 5, lasted=40.0)
    assert detectability(*cases).loc["leak", "margin"] == pytest.approx(0.8)
    assert detectability(*cases, tolerable=10.0).loc["leak", "margin"] == pytest.approx(0.2)


def test_each_fault_counts_by_its_own_impact():
    # two are found before users are hurt, one after twice as long; one is not found
    told = detectability(*seen([5, 20, 60, None], [10, 25, 30, 10])).loc["leak"]
    assert told["margin"] == pytest.approx(2.5 / 3)
    assert tuple(told[["caught", "caught_lo", "caught_hi"]]) == pytest.approx(exact_interval(2.5, 4, 0.9))


def test_a_single_case_proves_little():
    told = detectability(*seen([5], [30])).loc["leak"]
    assert tuple(told[["caught", "caught_lo", "caught_hi"]]) == pytest.approx(exact_interval(1, 1, 0.9))
    assert (told["detection_lo"], told["detection_hi"]) == (2, 9)


def test_three_found_of_three_move_a_rating_no_further_than_they_prove():
    told = detectability(*seen([5] * 3, [30] * 3)).loc["leak"]
    assert told["caught_lo"] == pytest.approx(0.05 ** (1 / 3))
    assert told["detection_hi"] == 7
    assert str(action_priority(8, 5, told["detection_hi"])) == "H"


def test_an_impact_that_was_there_before_its_cause_leaves_no_time():
    assert detectability(*seen([5] * 4, [-3] * 4)).loc["leak", ["caught", "detection"]].tolist() == [0, 10]


@pytest.mark.parametrize("many", [2, 4, 8, 20])
@pytest.mark.parametrize(("share", "spread"), [(0.8, 0.8), (0.95, 1.2), (1.0, 0.8)])
def test_the_share_that_is_caught_is_bounded_as_surely_as_is_said(many, share, spread):
    def drawn(cases):
        took, allowed = (20 * np.exp(width * rng.standard_normal(cases)) for width in (spread, 0.5))
        return np.where(rng.random(cases) < share, took, np.nan), allowed

    rng = np.random.default_rng(many)
    took, allowed = drawn(200_000)
    true = np.where(np.isnan(took), 0.0, np.minimum(1, allowed / took)).mean()
    took, allowed = drawn(200 * many)
    incidents, found = seen(list(took), list(allowed))  # a mode for each history: all of them are rated at once
    told = detectability(incidents.assign(failure_mode=np.repeat(np.arange(200), many).astype(str)), found)
    assert (told["caught_lo"] <= true).mean() > 0.9  # each is said to hold in 95 of 100
    assert (told["caught_hi"] >= true).mean() > 0.9


def test_answers_multiply_and_unknown_ones_are_left_out():
    incidents, found = seen([5] * 10, [30] * 10)
    half = pd.Series([True] * 4 + [False] * 4 + [None] * 2, index=incidents.index, dtype=object)
    told = detectability(incidents, found, answered=half).loc["leak"]
    assert tuple(told[["answered", "answered_lo", "answered_hi"]]) == pytest.approx(exact_interval(4, 8, 0.9))
    assert told["caught"] == pytest.approx(0.5)
    assert told["caught_lo"] == pytest.approx(told["recall_lo"] * told["answered_lo"])
    incidents, found = seen([5] * 4 + [None] * 4, [30] * 8)
    missed = pd.Series([True] * 4 + [False] * 4, index=incidents.index, dtype=object)
    told = detectability(incidents, found, answered=missed).loc["leak"]
    assert (told["answered"], told["caught"]) == (1, 0.5)  # what nobody found is missed once, not twice
    none = detectability(incidents, found, answered=half * np.nan).loc["leak"]
    assert (none["caught_lo"], none["detection_hi"]) == (0, 10)  # missing data is never success
    assert np.isnan(none["caught"])


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 200)), st.one_of(st.none(), st.floats(0, 200))), max_size=12),
)
def test_bounds_are_in_order(cases):
    took, impact = ([one[place] for one in cases] for place in (0, 1))
    row = detectability(*seen(took, impact), modes=["leak"]).loc["leak"]
    if cases:
        for name in ("recall", "margin", "caught", "detection"):
            low, middle, high = row[f"{name}_lo"], row[name], row[f"{name}_hi"]
            assert np.isnan(middle) or low <= middle <= high or middle == pytest.approx(low), name
    else:
        assert row.drop(["incidents", "found"]).isna().all()


def test_an_incident_without_an_answer_whether_it_was_found():
    incidents, found = seen([5, 5], [30, 30])
    with pytest.raises(ContractError, match="none for f1"):
        detectability(incidents, found.iloc[:1])


# --- severity ---

SCALES, MEASURED = ("budget", "users", "feedback"), ("budget", "users", "complaints")


def costs(budget, users=None, complaints=np.nan):
    table = {"budget": budget, "users": budget if users is None else users, "requests": 1000.0, "bad": 0.0}
    frame = pd.DataFrame(table | {"complaints": complaints, "seconds": np.asarray(budget) * 100.0})
    return frame, pd.Series(["crash"] * len(frame))


def test_severity_is_the_worst_of_what_was_measured():
    assert severity(*costs([0.03] * 5, [0.0] * 5)).loc["crash", "severity"] == 5
    assert severity(*costs([0.03] * 5, [0.95] * 5)).loc["crash", "severity"] == 8
    assert severity(*costs([0.03] * 5, [0.0] * 5, complaints=8.0)).loc["crash", "severity"] == 6


def test_means_have_students_bounds():
    values = np.array([0.01, 0.02, 0.06])
    told = severity(*costs(values)).loc["crash"]
    low, high = stats.t.interval(0.9, 2, values.mean(), stats.sem(values))
    assert told["budget_lo"] == pytest.approx(max(0, low))
    assert told["budget_hi"] == pytest.approx(high)


def test_the_worst_of_several_lower_bounds_is_one_of_them_all():
    rng, modes, each = np.random.default_rng(0), 400, 6
    # means that lie a hair below the band of 5: whoever calls it 5 is wrong
    shares = [rng.normal(edge, edge / 4, modes * each) for edge in (0.02 - 1e-9, 0.1 - 1e-9)]
    complaints = rng.poisson(2 - 1e-9, modes * each).astype("float64")
    frame, _ = costs(shares[0], shares[1], complaints)
    told = severity(frame, pd.Series(np.repeat(np.arange(modes), each).astype(str)))
    alone = [rate(f"severity_{scale}", told[f"{name}_lo"]) >= 5 for scale, name in zip(SCALES, MEASURED, strict=True)]
    assert np.max([one.mean() for one in alone]) < 0.08  # each of them is a bound of 95 %
    assert (told["severity_lo"] >= 5).mean() < 0.08  # and so is theirs together


def test_a_single_measure_shares_its_doubt_with_no_other():
    frame, modes = costs([0.052, 0.082, 0.062, 0.072], [np.nan] * 4)
    told = severity(frame, modes).loc["crash"]
    assert told["severity_lo"] == rate("severity_budget", [told["budget_lo"]])[0]
    more = severity(*costs([0.052, 0.082, 0.062, 0.072], [0.0] * 4)).loc["crash"]
    assert more["budget_lo"] == told["budget_lo"]
    assert more["severity_lo"] < told["severity_lo"]


def test_an_incident_of_unknown_length_was_felt():
    frame, modes = costs([0.03, 0.03])
    told = severity(frame.assign(seconds=[np.nan, 0.0]), modes).loc["crash"]
    assert told["felt"] == 1


def test_a_floor_is_never_lowered_and_stands_without_incidents():
    told = severity(*costs([0.0001] * 5), floor={"crash": 9, "fire": 10})
    assert told.loc["crash", ["severity", "severity_lo", "severity_hi"]].tolist() == [9, 9, 9]
    assert told.loc["fire", "floor"] == 10


def test_no_record_alone_is_danger():
    assert severity(*costs([1e6] * 9)).loc["crash", "severity_hi"] == 8


def test_one_incident_bounds_nothing_above():
    told = severity(*costs([0.03])).loc["crash"]
    assert (told["severity_lo"], told["severity_hi"]) == (1, 8)


def test_unfelt_so_far_is_not_harmless_for_sure():
    frame, _ = costs([0.0, 0.0, 0.4, 0.4])
    told = severity(frame, pd.Series(["slow", "slow", "crash", "crash"])).loc["slow"]
    assert (told["felt"], told["severity_lo"], told["severity"]) == (0, 1, 1)
    assert told["budget_hi"] == pytest.approx(exact_interval(0, 2, 0.9).hi * 0.4)
    assert told["severity_hi"] > 1


def test_usual_complaints_are_nobodys_fault():
    frame, modes = costs([0.0] * 3, complaints=2.0)
    told = severity(frame, modes, usual_complaints=2.0).loc["crash"]
    assert told["complaints"] == 0
    assert told["complaints_hi"] > 0


def test_unknown_shares_leave_the_known_ones():
    frame, modes = costs([0.03] * 5, [np.nan] * 5)
    assert severity(frame, modes).loc["crash", ["severity_lo", "severity_hi"]].tolist() == [5, 5]
    none = severity(frame.iloc[:0], modes.iloc[:0], every=["x"])
    assert none.loc["x", ["severity", "severity_lo", "severity_hi"]].isna().all()
