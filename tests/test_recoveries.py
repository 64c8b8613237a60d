"""Traces of recoveries: truth agrees with what is delivered, nothing is told early; peers and replay as they say."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from naive import longest_proof

from stability import datasets
from stability.remediation.aftermath import Aftermath
from stability.schema import ContractError
from stability.simulate.recoveries import FAMILIES, PEERS, play, rates, recoveries
from stability.simulate.recoveries.traces import BEGIN

SECOND = pd.Timedelta(seconds=1)
FEW = 3  # traces a family: every variant of most of them


@pytest.fixture(scope="module")
def recordings():
    return datasets.load("testbed", recordings=[1, 2])


@pytest.fixture(scope="module")
def traces(recordings):
    return list(recoveries(recordings, seed=5, each=FEW))


def one(family, turn=0, **options):
    return list(recoveries(None, families=[family], each=turn + 1, **options))[turn]


def test_every_family_is_there_with_names_of_its_own_and_both_sources(traces):
    assert {trace.family for trace in traces} == set(FAMILIES)
    assert len({trace.name for trace in traces}) == len(traces) == (len(FAMILIES) + 1) * FEW
    recorded = np.mean([trace.source == "recorded" for trace in traces])
    assert 0.5 <= recorded <= 0.75


def test_what_has_to_be_verified_is_provable_from_what_is_delivered_and_nothing_else_is(traces):
    for trace in traces:
        proof = longest_proof(trace)
        if trace.required:
            assert proof >= trace.hold + trace.watch, (trace.name, trace.variant, proof)
        if not trace.provable:
            assert proof < trace.hold + trace.watch, (trace.name, trace.variant, proof)


def test_truth_says_of_each_trace_what_its_family_promises(traces):
    good = {"recover", "self_clear", "new_normal", "neighbour_ill"}
    bad = {"relapse", "no_data", "stale_data", "partial", "neighbour_hurt", "deleted_pod", "zero_samples", "alarm_back",
           "flapping", "no_effect", "masked"}  # fmt: skip
    blind = {"no_data", "stale_data", "deleted_pod", "zero_samples"}
    for trace in traces:
        assert trace.family not in good or trace.required, trace.name
        assert trace.family not in bad or not trace.provable, trace.name
        assert trace.family not in blind or trace.expected == "inconclusive", trace.name
        assert trace.effect == (trace.family != "self_clear")
        assert (trace.expected == "verified") == trace.provable
        if trace.provable:
            spare = trace.acted_at + (trace.window - trace.hold - trace.watch) * SECOND - trace.recovered_at
            assert spare >= pd.Timedelta(0)
            assert trace.seen
            assert not trace.harmed


def test_the_alarm_is_back_after_26_seconds(traces):
    for trace in (trace for trace in traces if trace.family == "alarm_back"):
        asked = trace.service.loc["gateway"]
        asked = asked[asked.index >= trace.acted_at]
        bad = ((asked["total"] - asked["good"]) / asked["total"] >= 0.02).to_numpy()
        well = next(k for k in range(len(bad)) if not bad[k : k + 10].any())
        back = next(k for k in range(well, len(bad)) if bad[k])
        assert 20 <= back - well <= 34, trace.name
        assert trace.recovered_at is pd.NaT


def test_what_is_known_grows_and_never_runs_ahead(traces):
    for trace in traces[:: FEW + 1]:
        before = None
        for seconds in (0, 40, 120):
            now = trace.acted_at + seconds * SECOND
            known = trace.known(now)
            aftermath = Aftermath(**known)  # a whole one: its own checks pass
            assert aftermath.now == now
            for table in ("telemetry", "service", "scores"):
                ahead = 0 if trace.family != "clock_skew" or table == "service" else 8
                assert known[table].index.get_level_values(1).max() <= now + ahead * SECOND
                assert before is None or before[table].index.isin(known[table].index).all()
            before = known


def test_late_samples_are_not_there_yet():
    trace = one("late_samples")
    now = trace.acted_at + 60 * SECOND
    known = trace.known(now)["service"].loc["gateway"].index
    delivered = trace.service.loc["gateway"].index
    assert known.max() < now - 2 * SECOND
    assert (delivered > known.max()).any()
    assert len(delivered[delivered <= known.max()]) == len(known)


def test_counters_only_fall_at_restarts(traces):
    for trace in traces:
        for entity, rows in trace.telemetry.groupby(level="entity"):
            sums = rows["http_server_requests_total"].dropna()
            falls = int((sums.diff() < 0).sum())
            most = {"lifetime_restarts": 30, "counter_resets": 2, "stale_data": 2}.get(trace.family, 1)
            assert falls <= most if entity == trace.entity else falls <= (trace.family == "stale_data"), trace.name


def test_stale_rows_are_the_same_row_again():
    trace = one("stale_data", 0)
    rows = trace.telemetry.loc[trace.entity]
    assert trace.variant == "healthy cache"
    after = rows[rows.index > trace.acted_at]
    assert len(after.drop_duplicates()) == 1


def test_equal_seeds_give_equal_traces_and_a_trace_does_not_depend_on_the_others():
    alone, among = one("gaps", 2, seed=3), list(recoveries(None, families=["recover", "gaps"], each=3, seed=3))[-1]
    assert alone.name == among.name == "gaps-02"
    pd.testing.assert_frame_equal(alone.telemetry, among.telemetry)
    other = one("gaps", 2, seed=4)
    assert len(other.telemetry) != len(alone.telemetry) or not other.telemetry.equals(alone.telemetry)


def test_a_lived_past_knows_when_earlier_faults_were_ended(traces):
    assert {trace.past for trace in traces} == {"drawn", "health", "lived"}
    for trace in traces:
        assert all(moment < trace.impact_start for moment in trace.earlier)
        assert trace.past == "lived" or not trace.earlier
    assert any(trace.earlier for trace in traces)


def test_noise_is_correlated_and_has_heavy_tails():
    rows = one("recover", 0).telemetry.loc["gateway"]
    requests = rows["http_server_requests_total"].diff().dropna()
    assert requests[requests >= 0].autocorr() > 0.3
    latency = np.log(one("recover", 1).telemetry.loc["model-a", "http_server_request_duration_seconds_p99"].dropna())
    assert latency.autocorr() > 0.3


def test_unknown_families_short_windows_and_other_data_are_refused(recordings):
    with pytest.raises(ContractError, match="relapse"):
        next(recoveries(None, families=["relaps"]))
    with pytest.raises(ContractError, match="170"):
        next(recoveries(None, window=120))
    with pytest.raises(ContractError, match="testbed"):
        next(recoveries({**recordings, "telemetry": recordings["telemetry"].drop("gateway", level="entity")}))
    with pytest.raises(ContractError, match="benign"):
        next(recoveries({name: table for name, table in recordings.items() if name != "benign"}))


def test_an_oracle_is_never_wrong_and_an_optimist_always_where_it_can_be(traces):
    def optimist(known):
        return SimpleNamespace(verdict="verified", final=True, checks=())

    some = traces[::3]
    told = rates(play(t, lambda known, t=t: SimpleNamespace(verdict=t.expected, final=True)) for t in some)
    hoped = rates(play(trace, optimist) for trace in some)
    assert told["false_verified"].sum() == 0
    assert (told["right"] == told["traces"]).all()
    assert (told["verified"] == told["required"]).all()
    assert (hoped["false_verified"] == hoped["unprovable"]).all()
    assert hoped["unprovable"].sum() > 0


def test_a_verdict_is_asked_at_each_step_until_it_is_final():
    trace, asked = one("recover"), []

    def judge(known):
        asked.append(known["now"])
        final = len(asked) == 4
        return SimpleNamespace(verdict="verified" if final else "inconclusive", final=final, credited=True)

    row = play(trace, judge, every=5)
    assert [(now - trace.acted_at).total_seconds() for now in asked] == [0, 5, 10, 15]
    assert (row["seconds"], row["verdict"], row["credited"], row["missed"]) == (15, "verified", True, False)


def test_a_verdict_that_never_comes_is_a_miss():
    trace = one("recover")
    row = play(trace, lambda known: SimpleNamespace(verdict="inconclusive", final=False), every=20)
    assert row["missed"]
    assert not row["final"]
    assert not row["false_verified"]
    assert row["seconds"] == trace.window + 1  # the last question, whatever the steps


def test_peers_do_what_they_are_known_for():
    silent, ill = one("no_data", 0), one("no_effect", 1)
    assert silent.variant == "all silent"
    assert ill.variant == "unmoved"
    played = {name: (play(silent, rule), play(ill, rule)) for name, rule in PEERS.items()}
    assert played["alarm cleared"][0]["false_verified"]  # without samples no alarm
    assert all(row["false_verified"] and row["seconds"] == 30 for row in played["always, after the hold"])
    assert played["health endpoint answers"][0]["verdict"] in {"verified", "not_recovered"}
    assert play(one("masked", 1), PEERS["alarm cleared"])["verdict"] == "not_recovered"


def test_of_a_young_service_nothing_is_known_from_before(traces):
    young = [trace for trace in traces if trace.begun]
    assert 0.2 < len(young) / len(traces) < 0.6
    for trace in traces:
        begun = BEGIN + pd.Timedelta(seconds=trace.begun)
        for name in ("telemetry", "service", "scores"):
            assert getattr(trace, name).index.get_level_values(1).min() >= begun - pd.Timedelta(
                seconds=30
            )  # clock skew
        assert all(end >= begun for end in trace.earlier)
        assert not trace.begun or 30 <= (trace.impact_start - begun).total_seconds() <= 120
        assert play(trace, PEERS["always, after the hold"], every=90)["young"] == (trace.begun > 0)
