"""CSAT and Apdex: whose votes count, what is known of waiting, and intervals that know how little a day tells."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import slo
from stability.evaluation import wilson_interval
from stability.feedback.experience import experience, over_days, satisfaction
from stability.feedback.waiting import (
    apdex_daily,
    points_of_counts,
    points_of_load,
    points_of_percentiles,
    points_of_requests,
)
from stability.schema import ContractError

BEGIN = pd.Timestamp("2026-01-01", tz="UTC")


def rated(*rows):
    frame = pd.DataFrame(rows, columns=["hour", "rating", "user", "entity", "channel"])
    return frame.assign(timestamp=BEGIN + pd.to_timedelta(frame["hour"], unit="h"))


def service(good, total=10.0, freq="min", entity="web"):
    stamps = pd.date_range(BEGIN, periods=len(good), freq=freq)
    index = pd.MultiIndex.from_product([[entity], stamps], names=["entity", "timestamp"])
    return pd.DataFrame({"good": good, "total": total}, index=index)


def test_a_user_has_one_vote_a_day_and_no_rating_is_not_dissatisfied():
    said = rated(
        (1, 1.0, "u1", "web", "form"), (2, 5.0, "u1", "web", "form"), (3, 2.0, "u2", "web", "form"),
        (4, math.nan, "u3", "web", "form"), (5, 4.0, None, None, "form"), (6, 4.0, None, None, "form"),
        (49, 3.9, "u1", "web", "form"),
    )  # fmt: skip
    table = satisfaction(said)
    assert table.loc["web", "ratings"].tolist() == [2, 0, 1]
    assert table.loc["web", "satisfied"].tolist() == [1, 0, 0]
    assert table.loc["all", "ratings"].tolist() == [4, 0, 1], "who names no entity and no user has a vote of his own"
    assert table.loc[("all", BEGIN), ["csat", "lo", "hi"]].tolist() == list(wilson_interval(3, 4))
    assert table.loc["web"].iloc[1][["csat", "lo", "hi"]].isna().all()
    lo, hi = table.loc["web"].iloc[2][["lo", "hi"]]
    assert (lo, hi > 0.75) == (0.0, True), "one rating says next to nothing"


def test_a_thumb_is_no_star():
    said = rated((1, 1.0, "u1", "web", "chat"), (2, 0.0, "u2", "web", "chat"), (3, 1.0, "u3", "web", "form"))
    table = satisfaction(said, scales={"chat": (0.0, 1.0)})
    assert table.loc[("all", BEGIN), ["satisfied", "ratings"]].tolist() == [1, 3]
    with pytest.raises(ContractError, match="1 to 5 by the channel 'chat'"):
        satisfaction(said)


def test_days_without_anybody_are_asked_for_and_unknown():
    table = satisfaction(rated((1, 5.0, "u", "web", "form")), between=(BEGIN, BEGIN + pd.Timedelta("2D")))
    assert table.loc["all", "ratings"].tolist() == [1, 0, 0]
    nobody = satisfaction(rated((1, math.nan, "u", "web", "form")))
    assert nobody.empty
    assert list(nobody.columns) == ["csat", "lo", "hi", "satisfied", "ratings"]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.integers(0, 5))
def test_what_a_log_and_percentiles_say_bounds_what_each_request_tells(waits, failed):
    moment = [BEGIN] * (len(waits) + failed)
    index = pd.MultiIndex.from_arrays([["gateway"] * len(moment), moment], names=["entity", "timestamp"])
    each = pd.DataFrame({"seconds": [*waits, *[math.nan] * failed], "failed": False}, index=index)
    each.iloc[len(waits) :, 1] = True
    exact = points_of_requests(each, 0.25).iloc[0]
    assert exact["points_lo"] == exact["points_hi"]
    value = exact["points_lo"] / exact["total"]
    assert value == pytest.approx(slo.apdex(np.array(waits), 0.25, failed).value)
    ordered = sorted(waits)
    at = {q: ordered[max(-int(-q * len(ordered) // 1), 1) - 1] for q in (0.5, 0.95, 0.99)}
    line = {"second": int(BEGIN.timestamp()), "answered": len(waits), "failed": failed, "p95": at[0.95]}
    line |= {"slow": sum(x > 0.25 for x in waits), "max": max(waits)}
    log = points_of_load(pd.DataFrame([line]), 0.25)
    asked = pd.Series(float(len(moment)), log.index)
    quantiles = {q: pd.Series(x, log.index) for q, x in at.items()}
    rough = points_of_percentiles(asked, pd.Series(len(waits) / len(moment), log.index), quantiles, 0.25)
    for bound in (log.iloc[0], rough.iloc[0]):
        assert bound["total"] == len(moment)
        assert bound["points_lo"] - 1e-9 <= exact["points_lo"] <= bound["points_hi"] + 1e-9
    assert log.iloc[0]["points_hi"] - log.iloc[0]["points_lo"] <= max(0.05 * len(waits), line["slow"]) / 2


def test_what_is_not_known_widens_and_is_never_zero():
    stamps = pd.date_range(BEGIN, periods=3, freq="min")
    index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    asked, all_ = pd.Series([10.0, 10.0, math.nan], index), pd.Series(1.0, index)
    found = points_of_percentiles(asked, all_, {0.5: pd.Series([0.1, math.nan, 0.1], index)}, 0.25)
    assert found.iloc[:2].to_numpy().tolist() == [[5.0, 10.0, 10.0], [0.0, 10.0, 10.0]]
    assert found.iloc[2].isna().all()
    daily = apdex_daily(found).iloc[0]
    assert daily["requests"] == 20
    assert (daily["known_lo"], daily["known_hi"], daily["apdex"]) == (0.25, 1.0, 0.625)
    assert daily["lo"] < 0.25
    counted = points_of_counts(pd.DataFrame({"satisfied": [5, None], "tolerating": [1, 1], "frustrated": 0}, index[:2]))
    assert counted.iloc[1].isna().all()
    nothing = apdex_daily(counted.iloc[1:])
    assert nothing["apdex"].isna().all()
    assert nothing["requests"].eq(0).all()


def test_requests_that_wait_together_are_no_evidence_each():
    good = np.repeat([10.0, 0.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0], 10)
    one = service(good).rename(columns={"good": "points_lo"})
    points = one.assign(points_hi=one["points_lo"])[["points_lo", "points_hi", "total"]]
    daily = apdex_daily(points, block="10min").iloc[0]
    alone = wilson_interval(700, 800)
    assert daily["apdex"] == pytest.approx(0.875)
    assert daily["hi"] - daily["lo"] > 3 * (alone.hi - alone.lo)


def test_days_are_drawn_whole_and_few_of_them_are_few_trials():
    stamps = pd.date_range(BEGIN, periods=30)
    good = pd.Series(np.where(np.arange(30) % 10 == 0, 0.0, 100.0), stamps)
    told = over_days(good, pd.Series(100.0, stamps))
    assert told.value == 0.9
    assert told.lo < 0.82
    two = over_days(good.iloc[1:3], pd.Series(100.0, stamps[1:3]))
    assert two.lo < 0.5
    assert all(math.isnan(x) for x in over_days(good.iloc[:0], good.iloc[:0]))


def test_all_three_stand_side_by_side():
    said = rated((1, 5.0, "u1", "web", "form"), (50, 1.0, "u2", "web", "form"))
    served = service([100.0, 100, 90], 100.0, freq="D")
    points = service([95.0, 95, 70], 100.0, freq="D").rename(columns={"good": "points_lo"})
    points = points.assign(points_hi=points["points_lo"])
    table = experience(satisfaction(said), apdex_daily(points), served, slo.Objective("o", "s", 0.95, 86_400.0))
    web = table.loc["web"]
    assert web["level"].tolist() == [1.0, 1.0, 0.9]
    assert web["apdex"].round(2).tolist() == [0.95, 0.95, 0.7]
    assert web["csat"].isna().tolist() == [False, True, False]
    assert web["ratings"].tolist() == [1, 0, 1]
    assert table.loc["all", "level"].isna().all()
    assert table.loc["all", "requests"].eq(0).all()


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: satisfaction(pd.DataFrame({"timestamp": []})), "rating"),
        (lambda: points_of_counts(pd.DataFrame({"satisfied": [1]})), "tolerating"),
        (lambda: points_of_counts(pd.DataFrame({"satisfied": [-1], "tolerating": 0, "frustrated": 0})), "from 0 up"),
        (lambda: points_of_load(pd.DataFrame({"second": [1]}), 0.25), "answered"),
        (lambda: points_of_requests(service([1.0]).assign(seconds=-1.0, failed=False), 0.25), "from 0 up"),
        (lambda: points_of_requests(service([1.0]).assign(seconds=1.0, failed=False), 0.0), "above 0"),
        (lambda: points_of_percentiles(service([1.0])["good"], service([1.0])["good"], {}, 0.25), "percentiles"),
        (lambda: apdex_daily(service([1.0])), "points_lo"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, what):
    with pytest.raises(ContractError, match=what):
        call()
