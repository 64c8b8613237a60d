"""Shares, budgets and burn rates against a slow twin, hand-worked numbers and a simulation of their intervals."""

import subprocess

import httpx
import naive
import numpy as np
import pandas as pd
import pytest
from conftest import require, start_prometheus, stop
from hypothesis import given
from hypothesis import strategies as st

from stability import slo
from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError

PROMISE = slo.Objective("web", "shop", target=0.99, window=30 * 86_400)


def served(good, total, step="min", entity="web"):
    stamps = pd.date_range("2026-03-01", periods=len(good), freq=step, tz="UTC", unit="us")
    index = pd.MultiIndex.from_product([[entity], stamps], names=["entity", "timestamp"])
    return pd.DataFrame({"good": np.asarray(good, float), "total": np.asarray(total, float)}, index=index)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40), st.integers(1, 12))
def test_burn_rates_equal_to_sums_over_each_window(rows, width):
    good = [min(pair) for pair in rows]
    total = [max(pair) for pair in rows]
    found = slo.burn_rates(served(good, total), PROMISE, [width * 60.0]).iloc[:, 0].to_numpy()
    np.testing.assert_allclose(found, naive.burn(good, total, width, 0.99), rtol=1e-9, atol=1e-12)


def test_burn_rates_do_not_see_the_future():
    rng = np.random.default_rng(0)
    total = rng.integers(0, 50, 300)
    service = served(rng.binomial(total, 0.97), total)
    whole = slo.burn_rates(service, PROMISE, [600.0, 3600.0])
    for rows in (1, 120, 299):
        pd.testing.assert_frame_equal(slo.burn_rates(service.iloc[:rows], PROMISE, [600.0, 3600.0]), whole.iloc[:rows])


def test_alerts_of_the_workbook_have_its_burn_rates():
    alerts = slo.burn_alerts(served([0] * 600, [10] * 600), PROMISE)
    assert sorted(alerts["threshold"]) == pytest.approx([1.0, 6.0, 14.4])
    assert alerts["end"].isna().all()


def test_a_short_window_ends_an_alert_soon_after_the_fault():
    good = np.full(600, 100.0)
    good[300:330] = 0
    alerts = slo.burn_alerts(served(good, np.full(600, 100.0)), PROMISE).query("threshold == 14.4")
    assert len(alerts) == 1
    start = pd.Timestamp("2026-03-01", tz="UTC")
    assert alerts["start"].iloc[0] < start + pd.Timedelta("310min")
    assert alerts["end"].iloc[0] <= start + pd.Timedelta("335min")


def test_time_slices_and_their_mean_share():
    service = served([10, 10, 0, 5], [10, 10, 10, 10])
    sliced = slo.Objective("w", "s", 0.9, 86_400, "Timeslices", slice_target=0.8, slice_seconds=120)
    assert slo.slices(service, sliced)["good"].tolist() == [1, 0]
    mean = slo.Objective("w", "s", 0.9, 86_400, "RatioTimeslices", slice_seconds=120)
    assert slo.slices(service, mean)["good"].tolist() == [1.0, 0.25]


def test_a_level_says_kept_or_broken_only_where_its_interval_does():
    rng = np.random.default_rng(1)
    made = {share: slo.levels(served(rng.binomial(50, share, 2000), [50] * 2000), PROMISE) for share in (0.999, 0.97)}
    assert made[0.999]["verdict"].tolist() == ["kept"]
    assert made[0.97]["verdict"].tolist() == ["broken"]
    assert made[0.97]["budget_spent"].iloc[0] == pytest.approx(3, rel=0.1)
    few = slo.levels(served([10, 10], [10, 10]), PROMISE)
    assert few["verdict"].tolist() == ["not distinguishable"]
    assert slo.levels(served([0.0], [0.0]), PROMISE)["verdict"].tolist() == ["no requests"]


def test_the_interval_of_a_level_holds_when_failures_come_in_bursts():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(60):
        bad = np.repeat(rng.random(200) < 0.05, 10)  # outages of ten minutes, one block each
        row = slo.levels(served(np.where(bad, 0, 20), np.full(2000, 20)), PROMISE).iloc[0]
        inside += row["lo"] <= 0.95 <= row["hi"]
    assert inside >= 51  # of 60 where 95 % are promised: fewer have a chance of .1 %


def test_budget_course_is_one_minus_the_burn_of_the_window():
    service = served([100] * 5 + [95] * 5, [100] * 10, step="D")
    assert slo.budget_course(service, PROMISE).iloc[-1] == pytest.approx(1 - 25 / 10)


def test_counts_that_are_none_are_refused_by_name():
    with pytest.raises(ContractError, match="12 of 10 at web"):
        slo.levels(served([12], [10]), PROMISE)
    with pytest.raises(ContractError, match="good and total"):
        slo.levels(served([1], [1]).rename(columns={"good": "ok"}), PROMISE)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(0, 5))
def test_apdex_lies_in_its_interval(seconds, failed):
    found = slo.apdex(np.array(seconds), 0.5, failed)
    points = sum(1.0 if s <= 0.5 else 0.5 if s <= 2.0 else 0.0 for s in seconds)
    assert found.value == pytest.approx(points / (len(seconds) + failed))
    assert 0 <= found.lo <= found.value <= found.hi <= 1


def test_apdex_of_nobody_is_no_number():
    with pytest.raises(NotEnoughEvidence):
        slo.apdex(np.array([]), 0.5)


def test_the_interval_of_apdex_covers():
    rng = np.random.default_rng(3)
    true = 0.7 + 0.5 * 0.2
    inside = 0
    for _ in range(1000):
        seconds = rng.choice([0.1, 1.0, 5.0], size=40, p=[0.7, 0.2, 0.1])
        found = slo.apdex(seconds, 0.5)
        inside += found.lo <= true <= found.hi
    assert 930 <= inside <= 985


def test_a_short_record_does_not_pretend_to_know_how_alike_its_requests_are():
    # half an hour with one bad minute: three blocks of ten minutes, whatever the number of requests
    good = np.append(np.full(29, 1000.0), 0.0)
    row = slo.levels(served(good, [1000.0] * 30), PROMISE).iloc[0]
    assert row["verdict"] == "not distinguishable"
    assert row["lo"] < 0.5 < 0.99 < row["hi"]


def test_a_table_of_one_service_may_have_stamps_alone():
    service = served([9, 10], [10, 10])
    own, alone = slo.levels(service, PROMISE), slo.levels(service.droplevel("entity"), PROMISE)
    pd.testing.assert_series_equal(own.loc["web"], alone.loc["default"], check_names=False)


def test_a_moment_stands_there_once():
    twice = pd.concat([served([1], [1]), served([1], [1])])
    with pytest.raises(ContractError, match="two of web"):
        slo.levels(twice, PROMISE)
    with pytest.raises(ContractError, match="requests from 0 up"):
        slo.apdex(np.array([1.0]), 0.5, failed=-1)


@pytest.mark.parametrize(("blocks", "share"), [(50, 0.02), (200, 0.005)])
def test_a_record_without_an_outage_does_not_say_that_none_can_come(blocks, share):
    rng = np.random.default_rng(1)
    inside, kept = 0, 0
    for _ in range(60):
        bad = np.repeat(rng.random(blocks) < share, 10)  # every third record has none
        row = slo.levels(served(np.where(bad, 0, 20), np.full(10 * blocks, 20)), PROMISE).iloc[0]
        inside += row["lo"] <= 1 - share <= row["hi"]
        kept += row["verdict"] == "kept"
    assert inside >= 51
    assert kept <= 3


def test_months_without_an_outage_keep_a_promise():
    row = slo.levels(served([100.0] * 500, [100.0] * 500, step="10min"), PROMISE).iloc[0]
    assert row["verdict"] == "kept"
    assert row["lo"] == pytest.approx(500 / (500 + 1.96**2), abs=1e-4)  # Wilson, of 500 blocks


def test_what_nobody_counted_is_said_and_an_entity_that_nobody_watched_stays():
    good = np.where(np.arange(100) < 40, np.nan, 10.0)
    known = served(good, [10.0] * 100)
    nobody = served([np.nan] * 100, [10.0] * 100, entity="shop")
    found = slo.levels(pd.concat([known, nobody]), PROMISE)
    assert found["known"].to_dict() == {"shop": 0.0, "web": 0.6}
    assert found.loc["web", "total"] == 600
    assert found.loc["shop", "verdict"] == "no requests"
    # a minute that nobody counted neither spends the budget nor fills it
    course = slo.budget_course(known, PROMISE)
    assert len(course) == 60
    assert (course == 1).all()


def test_an_alert_does_not_last_through_hours_of_which_nobody_knows():
    service = served([0.0] * 300, [10.0] * 300)
    service.iloc[100:200] = np.nan
    alerts = slo.burn_alerts(service, PROMISE).query("threshold == 14.4")
    stamps = service.index.get_level_values("timestamp")
    assert alerts["start"].tolist() == [stamps[0], stamps[200]]
    assert alerts["end"].iloc[0] == stamps[200]
    assert len(slo.burn_alerts(service, PROMISE).query("threshold == 6")) == 1  # its window is longer than that time


@pytest.fixture
def counted_by_prometheus(tmp_path):
    """A table of the service, and a Prometheus that scraped its counters at the end of each minute."""
    rng = np.random.default_rng(5)
    total = rng.integers(50, 150, 720)
    share = np.full(720, 0.998)
    share[300:360], share[600:604] = 0.5, 0.2
    service = served(rng.binomial(total, share), total)
    ends = service.index.get_level_values("timestamp").astype("int64") // 10**6 + 60
    lines = []
    for name, counts in (("errors", service["total"] - service["good"]), ("requests", service["total"])):
        lines += [f"# TYPE {name} counter", f"{name}_total 0 {ends[0] - 60}"]
        lines += [f"{name}_total {n} {end}" for n, end in zip(counts.cumsum().astype(int), ends, strict=True)]
    (tmp_path / "service.om").write_text("\n".join([*lines, "# EOF"]) + "\n")
    command = [require("promtool", package="prometheus"), "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*command, tmp_path / "service.om", tmp_path / "data"], check=True, capture_output=True)
    process, url = start_prometheus(tmp_path, tmp_path / "data")
    yield service, ends, url
    stop(process)


def test_burn_rates_and_alerts_are_those_of_a_prometheus(counted_by_prometheus):
    service, ends, url = counted_by_prometheus

    def asked(query):
        told = {"query": query, "start": ends[0], "end": ends[-1], "step": 60}
        found = httpx.get(f"{url}/api/v1/query_range", params=told).raise_for_status().json()["data"]["result"]
        values = dict(found[0]["values"]) if found else {}
        return np.array([float(values.get(end, "nan")) for end in ends])

    def burnt(
        window,
    ):  # offsets: `increase` would extrapolate, and takes in the first moment of its range or not by version
        grown = [f"({name}_total - {name}_total offset {window}m)" for name in ("errors", "requests")]
        return f"({grown[0]} / {grown[1]} / 0.01)"

    rates = slo.burn_rates(service, PROMISE, [300.0, 3600.0, 21_600.0])
    for window in (5, 60, 360):
        theirs, known = asked(burnt(window)), np.arange(720) >= window - 1  # before, Prometheus has no value
        np.testing.assert_allclose(rates[window * 60.0].to_numpy()[known], theirs[known], rtol=1e-9)
    alerts = slo.burn_alerts(service, PROMISE)
    stamps = service.index.get_level_values("timestamp")
    for threshold, long, short in ((14.4, 60, 5), (6.0, 360, 30)):
        theirs = np.isfinite(asked(f"{burnt(long)} > {threshold} and {burnt(short)} > {threshold}"))
        ours = np.zeros(720, dtype=bool)
        for one in alerts[alerts["threshold"] == threshold].itertuples():
            ours |= (stamps >= one.start) & ((stamps < one.end) | pd.isna(one.end))
        assert ours.any()
        assert (ours == theirs)[long:].all()
