"""Lead time: equal to its naive twin, censored and refused where it must be, and judged at one operating point."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.evaluation import (
    NotEnoughEvidence,
    compare,
    event_estimates,
    lead_estimates,
    lead_times,
    predicted_alarms,
    resample_counts,
    wilson_interval,
)
from stability.schema import ContractError, empty, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
names = st.sampled_from(["api", "db"])
spans = st.lists(
    st.tuples(names, st.integers(0, 100), st.integers(0, 25)).map(lambda x: (x[0], x[1], x[1] + x[2])), max_size=8
)


def moments(seconds):
    return START + pd.to_timedelta(np.array(seconds, dtype="int64"), unit="s")


def frame(rows, columns=("start", "end")):
    parts = list(zip(*rows, strict=True)) if rows else ((), (), ())
    return pd.DataFrame(
        {"entity": pd.Series(parts[0], dtype="str")} | dict(zip(columns, map(moments, parts[1:]), strict=True))
    )


def faults_of(rows):
    return frame(rows, ("impact_start", "recovered_at"))


def fleet(size=12, seed=0):
    """Hosts observed for two days, two outages each; a warning before most of them, a false alarm at every third."""
    rng = np.random.default_rng(seed)
    hosts = [f"host-{i:02d}" for i in range(size)]
    faults = [(host, at, at + 1800) for host in hosts for at in (50_000, 130_000)]
    alarms = [(host, at - int(rng.integers(60, 5400)), at) for host, at, _ in faults if rng.random() < 0.7]
    alarms += [(host, 90_000, 90_300) for host in hosts[::3]]
    return frame(alarms), faults_of(faults), frame([(host, 0, 172_800) for host in hosts])


# --- event by event -------------------------------------------------------------------------------------------------


@given(
    alarms=spans, faults=spans, longest=st.sampled_from([1, 5, 20, 200]), match=st.sampled_from(["overlap", "start"])
)
def test_leads_equal_the_naive_twin(alarms, faults, longest, match):
    first = {"api": 10, "db": 0}
    observed = frame([("api", 10, 200), ("db", 0, 200)])
    faults = [fault for fault in faults if fault[1] >= first[fault[0]]]
    found = lead_times(frame(alarms), faults_of(faults), observed, longest=f"{longest}s", match=match)
    expected = naive.lead_times(alarms, faults, first, longest, match)
    columns = found["possible"], found["lead"], found["censored"]
    for have, (possible, lead, censored) in zip(zip(*columns, strict=True), expected, strict=True):
        assert have[0] == pytest.approx(math.nan if possible is None else possible, nan_ok=True)
        assert have[1] == pytest.approx(math.nan if lead is None else lead, nan_ok=True)
        assert have[2] == censored


@given(alarms=spans, extra=spans, faults=spans)
def test_more_alarms_never_shorten_a_lead(alarms, extra, faults):
    observed = frame([("api", 0, 200), ("db", 0, 200)])
    less, more = (
        lead_times(frame(a), faults_of(faults), observed, longest="30s")["lead"] for a in (alarms, alarms + extra)
    )
    assert (more.fillna(-1) >= less.fillna(-1)).all()


def test_what_an_early_alarm_is_worth():
    faults, observed = faults_of([("api", 1000, 1100)]), frame([("api", 0, 5000)])

    def lead(*alarm, **options):
        return lead_times(frame([("api", *alarm)]), faults, observed, longest="300s", **options).loc[0]

    assert lead(900, 950)["lead"] == 100  # over before the impact, but within the time that counts
    assert math.isnan(lead(100, 600)["lead"])  # about something else
    assert lead(100, 800)[["lead", "censored"]].tolist() == [300, True]  # still on: a lower bound
    assert math.isnan(lead(100, 800, match="start")["lead"])
    assert lead(1000, 1001)["lead"] == 0  # raised with the impact: no lead, but no miss
    assert math.isnan(lead(1001, 1100)["lead"])
    assert lead(700, 700)[["lead", "censored"]].tolist() == [300, True]


def test_the_record_and_outages_before_bound_what_can_be_told():
    faults = faults_of([("api", 50, 90), ("api", 70, 80), ("api", 100, 110), ("api", 5000, 5100)])
    found = lead_times(frame([("api", 0, 95)]), faults, frame([("api", 20, 2000)]), longest="1h")
    assert found["possible"].tolist()[:1] == [30]
    assert math.isnan(found.loc[1, "possible"])  # in the middle of an outage
    assert found.loc[2, ["possible", "lead", "censored"]].tolist() == [10, 10, True]
    assert found.loc[3, "possible"] == 3600  # looked at until 2000 s
    unseen = faults_of([("api", 9000, 9100), ("api", 10, 11)])
    assert (
        lead_times(frame([("api", 0, 95)]), unseen, frame([("api", 20, 2000)]), longest="1h")["possible"].isna().all()
    )


def test_a_fault_that_nobody_felt_and_a_recovery_that_nobody_knows():
    faults = pd.DataFrame(
        {
            "fault_id": ["f1", "f2", "f3"],
            "entity": "api",
            "cause_start": moments([100, 500, 880]),
            "impact_start": [moments([200])[0], pd.NaT, moments([900])[0]],
            "cause_end": [pd.NaT, pd.NaT, moments([890])[0]],
            "recovered_at": pd.NaT,
        }
    )
    found = lead_times(empty("alarms"), validate(faults, "faults"), frame([("api", 0, 2000)]), longest="600s")
    assert found.index.tolist() == ["f1", "f3"]
    assert found["possible"].tolist() == [200, 600]
    assert found["lead"].isna().all()


def test_failures_at_the_end_of_the_record_are_judged():
    stamps = pd.date_range(START, periods=100, freq="s", unit="us")
    found = lead_times(frame([("default", 80, 99)]), faults_of([("default", 100, 100)]), pd.Series(0.0, index=stamps))
    assert found.loc[0, ["possible", "lead"]].tolist() == [100, 20]


def test_bad_faults_are_refused():
    alarms, faults, observed = fleet()
    with pytest.raises(ContractError, match="impact_start"):
        lead_times(alarms, faults.drop(columns="impact_start"), observed)
    with pytest.raises(ContractError, match="web-9"):
        lead_times(alarms, faults.assign(entity="web-9"), observed)
    with pytest.raises(ContractError, match="longest"):
        lead_times(alarms, faults, observed, longest="0s")
    with pytest.raises(ContractError, match="match"):
        lead_times(alarms, faults, observed, match="touch")
    with pytest.raises(ContractError, match="leads from 0"):
        lead_estimates(alarms, faults, observed, leads=["2h"], longest="1h")
    with pytest.raises(ContractError, match="leads from 0"):
        lead_estimates(alarms, faults, observed, leads=["-5min"])
    with pytest.raises(ContractError, match="length of time"):
        lead_estimates(alarms, faults, observed, leads=["soon"])


# --- with intervals -------------------------------------------------------------------------------------------------


def test_recall_at_a_lead_is_a_share_of_the_impacts_that_could_have_it():
    alarms, faults, observed = fleet()
    leads = ["0s", "10min", "1h", "12h"]
    found = lead_estimates(alarms, faults, observed, leads=leads, longest="1D")
    events = lead_times(alarms, faults, observed, longest="1D")
    for lead, row in zip(pd.to_timedelta(leads).total_seconds(), found.recall.itertuples(), strict=True):
        judged = events[events["possible"] >= lead]
        assert row.events == len(judged)
        assert row.value == pytest.approx((judged["lead"] >= lead).mean())
        wilson = wilson_interval(int((judged["lead"] >= lead).sum()), len(judged))
        assert row.lo <= wilson.lo <= row.value <= wilson.hi <= row.hi
    assert found.recall["value"].is_monotonic_decreasing
    assert (found.events, found.warned, found.unjudged) == (24, events["lead"].notna().sum(), 0)
    assert found.lead_p50.value == pytest.approx(np.quantile(events["lead"].dropna(), 0.5, method="inverted_cdf"))
    assert found.lead_p10.lo <= found.lead_p10.value <= found.lead_p50.value <= found.lead_p50.hi
    # The first outage of each host is 50,000 s into the record: it cannot be judged at longer leads.
    assert lead_estimates(alarms, faults, observed, leads=["20h"], longest="1D").recall["events"].tolist() == [12]


def test_the_cost_is_that_of_the_same_alarms():
    alarms, faults, observed = fleet()
    found = lead_estimates(alarms, faults, observed, longest="2h", seed=2)
    windows = faults.rename(columns={"impact_start": "start", "recovered_at": "end"})
    cost = event_estimates(alarms, windows, observed, early="2h", seed=2)
    assert (found.precision, found.false_alarms_per_day, found.alarmed_share) == (
        cost["precision"],
        cost["false_alarms_per_day"],
        cost["alarmed_share"],
    )
    assert lead_estimates(alarms, faults, observed, longest="10min").recall.index.tolist() == [
        pd.Timedelta(0),
        pd.Timedelta("5min"),
    ]
    always = lead_estimates(observed, faults, observed, longest="2h")
    assert (always.recall["value"].to_numpy() == [1, 1, 1, 1]).all()
    assert always.censored == always.events
    assert always.alarmed_share.value == 1


def test_intervals_are_those_of_resampled_hosts():
    alarms, faults, observed = fleet(size=10)
    found = lead_estimates(alarms, faults, observed, leads=["10min"], longest="1D", unit="entity", resamples=30, seed=1)
    hosts = faults["entity"].unique()
    recalls, medians = [], []
    for counts in np.concatenate(list(resample_counts(10, 30, 1))):
        leads = lead_times(alarms, faults, observed).set_index("entity")["lead"]
        drawn = pd.concat([leads.loc[[host]] for host, count in zip(hosts, counts, strict=True) for _ in range(count)])
        recalls.append((drawn >= 600).mean())
        medians.append(np.quantile(drawn.dropna(), 0.5, method="inverted_cdf"))
    assert found.lead_p50[1:] == pytest.approx(np.quantile(medians, [0.025, 0.975]))
    wilson = wilson_interval(found.recall["value"].iloc[0] * 20, 20)
    lo, hi = np.quantile(recalls, [0.025, 0.975])
    assert found.recall[["lo", "hi"]].iloc[0].tolist() == pytest.approx([min(lo, wilson.lo), max(hi, wilson.hi)])


def test_silence_and_few_cases_are_said():
    alarms, faults, observed = fleet()
    silent = lead_estimates(empty("alarms"), faults, observed)
    assert (silent.recall["value"] == 0).all()
    assert (silent.recall["hi"] > 0.1).all()
    assert all(math.isnan(x) for x in (*silent.lead_p50, *silent.precision))
    with pytest.raises(NotEnoughEvidence, match="units"):
        lead_estimates(alarms, faults.iloc[:4], observed)
    with pytest.raises(NotEnoughEvidence, match="units"):
        lead_estimates(alarms, faults.assign(impact_start=pd.NaT), observed)


def test_leads_are_compared_in_pairs():
    alarms, faults, observed = fleet()
    earlier = alarms.assign(start=alarms["start"] - pd.Timedelta("5min"))
    leads = {n: lead_times(a, faults, observed)["lead"].fillna(0.0) for n, a in (("late", alarms), ("early", earlier))}
    table = compare(pd.DataFrame(leads).set_axis(pd.MultiIndex.from_arrays([faults["entity"], faults.index])), "late")
    assert table.loc["early", ["units", "verdict"]].tolist() == [12, "better"]
    assert table.loc["early", "difference"] == pytest.approx(300 * (leads["late"] > 0).mean())


# --- predictions ----------------------------------------------------------------------------------------------------


def predictions(probabilities, horizon="15min"):
    stamps = pd.date_range(START, periods=len(probabilities), freq="min", unit="us", name="timestamp")
    table = pd.DataFrame({"timestamp": stamps, "entity": "api", "horizon": pd.Timedelta(horizon)})
    return validate(
        table.assign(probability=probabilities, model="forest").set_index(["entity", "timestamp", "horizon"]),
        "predictions",
    )


def test_predictions_become_alarms_and_abstentions_none():
    table = predictions([0.1, 0.6, np.nan, 0.7, 0.5, 0.2])
    found = predicted_alarms(table, 0.5)
    assert ((found["start"] - START) // pd.Timedelta("1min")).tolist() == [1, 3]
    assert ((found["end"] - START) // pd.Timedelta("1min")).tolist() == [1, 4]
    missed = lead_times(
        predicted_alarms(predictions([np.nan] * 6), 0.5), faults_of([("api", 300, 400)]), frame([("api", 0, 900)])
    )
    assert missed["lead"].isna().all()
    warned = lead_times(found, faults_of([("api", 300, 400)]), frame([("api", 0, 900)]), longest="4min")
    assert warned["lead"].tolist() == [240]


def test_predictions_of_two_kinds_are_refused():
    both = pd.concat([predictions([0.1, 0.9]), predictions([0.1, 0.9], "1h")])
    with pytest.raises(ContractError, match="one horizon"):
        predicted_alarms(both, 0.5)
    with pytest.raises(ContractError, match="one model"):
        predicted_alarms(predictions([0.1, 0.9]).assign(model=["forest", "net"]), 0.5)
    with pytest.raises(ContractError, match="probability"):
        predicted_alarms(predictions([0.1, 0.9]).drop(columns="probability"), 0.5)
