"""Simulation: equal seeds, equal tables; every time of a fault known; impact computed from what was measured."""

import math
import os
import subprocess
import sys
from itertools import pairwise

import naive
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from workbenches import CHECKOUT

from stability import datasets
from stability.schema import ContractError, metric_registry, read_metadata, validate
from stability.simulate import BENIGN, FAILURE_MODES, broken, read_scenario, simulate, write
from stability.simulate.__main__ import main
from stability.simulate.courses import shape
from stability.simulate.faults import AFTERMATH_S
from stability.simulate.lines import LINES, filled
from stability.simulate.modes import DRIVERS, HOSTS, SERVICES
from stability.simulate.phrases import CATEGORIES, message
from stability.simulate.physics import queue
from stability.simulate.scenario import Load, ServiceLevel
from stability.simulate.schedule import occurrences
from stability.simulate.streams import autocorrelated
from stability.simulate.writing import CHANNELS

SCENARIOS = CHECKOUT / "data" / "scenarios"
SHIPPED = [("sample", "sample"), ("fleet", "simulated")]
P99 = "http_server_request_duration_seconds_p99"
QUALITY = "model_prediction_quality_ratio"
JUDGED = ["http_server_requests_total", "http_server_errors_total", P99, QUALITY]


@pytest.fixture(scope="module")
def sample():
    return simulate(SCENARIOS / "sample.yaml")


@pytest.fixture
def declared():
    return yaml.safe_load((SCENARIOS / "sample.yaml").read_text())


@pytest.fixture
def quiet(declared):
    """The sample's fleet, to which nothing happens."""
    return {**declared, "faults": [], "benign": []}


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name], check_freq=False)


@pytest.mark.parametrize(("scenario", "name"), SHIPPED)
def test_the_shipped_data_are_what_their_scenario_yields(scenario, name):
    same(simulate(SCENARIOS / f"{scenario}.yaml"), datasets.load(name))
    assert read_metadata(CHECKOUT / "data" / name / "telemetry.parquet")["scenario"] == scenario


def test_equal_seeds_equal_tables_and_others_differ(sample, declared):
    same(simulate(declared), sample)
    other = simulate(declared, seed=2)
    assert not other["telemetry"].equals(sample["telemetry"])
    assert not other["logs"].equals(sample["logs"])


def test_every_table_keeps_its_contract(sample):
    for name, table in sample.items():
        pd.testing.assert_frame_equal(validate(table, name), table, check_freq=False)
    assert set(sample["telemetry"]) <= set(metric_registry())


@pytest.mark.parametrize(("scenario", "name"), SHIPPED)
def test_values_stay_within_the_bounds_of_the_registry(scenario, name):
    for column, values in datasets.load(name)["telemetry"].items():
        known = metric_registry()[column]
        assert known.lower is None or values.min() >= known.lower, column
        assert known.upper is None or values.max() <= known.upper, column


# ---- what is measured ----------------------------------------------------------------------------------------------


def test_counters_are_whole_and_fall_only_where_a_process_was_away(sample):
    counters = [name for name in sample["telemetry"] if metric_registry()[name].instrument == "counter"]
    assert len(counters) == 4
    for name in counters:
        for entity, values in sample["telemetry"][name].dropna().groupby(level="entity"):
            values = values.droplevel("entity")
            if name != "process_cpu_seconds_total":
                assert (values == values.round()).all()
            away = values[values.diff() < 0].index - pd.Timedelta("1min")
            assert (sample["telemetry"].loc[entity, "up"].reindex(away) == 0).all(), (name, entity)


def test_restarts_are_those_of_releases_kills_and_repairs(sample):
    requests = sample["telemetry"]["http_server_requests_total"].dropna()
    falls = requests.groupby(level="entity").diff().lt(0).groupby(level="entity").sum()
    logs = sample["logs"]
    kills = logs["message"].str.contains("Killed process").sum()
    assert kills == 2  # of chat-1, whose leak began again after the first
    assert falls.to_dict() == {"chat-1": kills + 1, "chat-2": 1, "features-1": 0, "gateway-1": 1}
    assert logs["message"].str.startswith("listening").sum() == falls.sum()


def test_a_metric_that_an_entity_does_not_have_is_missing_throughout(sample):
    there = sample["telemetry"].groupby(level="entity").count() > 0
    assert there["up"].all()
    assert there.index[there["gpu_temperature_celsius"]].tolist() == ["gpu-1"]
    assert there.index[there["model_queue_depth"]].tolist() == ["chat-1", "chat-2"]
    seen = sample["telemetry"]["up"] == 1
    assert sample["telemetry"].loc[~seen].drop(columns="up").isna().all().all()


def test_load_has_a_day_and_a_weekend_and_models_follow_it():
    telemetry = datasets.load("simulated")["telemetry"]
    names = ["gateway-1", "chat-1", "code-2"]
    asked = pd.concat({e: telemetry.loc[e, "http_server_requests_total"].diff() for e in names}, axis=1)
    asked = asked.where(asked >= 0)
    hourly = asked["gateway-1"].groupby(asked.index.hour).median()
    assert 13 <= hourly.idxmax() <= 17
    assert hourly.max() > 1.6 * hourly.min()
    weekday = asked["gateway-1"].groupby(asked.index.dayofweek).median()
    assert 0.6 < weekday[[5, 6]].mean() / weekday[:5].mean() < 0.85
    assert asked.corr().loc["gateway-1", ["chat-1", "code-2"]].min() > 0.8


def test_noise_is_autocorrelated_and_has_the_stated_deviation():
    rows = autocorrelated(3, "test", ["a", "b"], 50_000, memory=0.9, sigma=0.5, tail=5)
    assert rows.std(axis=1) == pytest.approx([0.5, 0.5], rel=0.1)
    assert np.corrcoef(rows[:, 1:].ravel(), rows[:, :-1].ravel())[0, 1] == pytest.approx(0.9, abs=0.02)
    assert abs(np.corrcoef(rows)[0, 1]) < 0.1
    assert (
        pd.Series(autocorrelated(3, "t", ["a"], 50_000, memory=0, sigma=1, tail=5)[0]).kurt() > 1
    )  # heavier than normal


@given(
    arrivals=st.lists(st.floats(0, 50), min_size=1, max_size=40),
    rate=st.floats(0.5, 40),
    longest=st.floats(1, 200),
    step=st.sampled_from([1.0, 60.0]),
)
def test_the_queue_is_lindleys(arrivals, rate, longest, step):
    row = np.array([arrivals])
    waiting, shed = queue(row, np.full_like(row, rate), np.array([[longest]]), step)
    expected = naive.queue(arrivals, [rate] * len(arrivals), longest, step)
    np.testing.assert_allclose(waiting[0], expected[0], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(shed[0], expected[1], rtol=1e-12, atol=1e-12)


# ---- faults --------------------------------------------------------------------------------------------------------

counts = st.one_of(st.just(math.nan), st.integers(0, 400))


@given(
    rows=st.lists(st.tuples(counts, st.integers(0, 40), st.floats(0.1, 3), st.floats(0.7, 1)), min_size=1, max_size=30),
    quality=st.sampled_from([None, 0.9]),
)
def test_broken_is_its_twin(rows, quality):
    rows = [row if not math.isnan(row[0]) else (math.nan,) * 4 for row in rows]
    panel = pd.DataFrame(rows, columns=JUDGED, dtype="float64")
    found = broken(panel, ServiceLevel(error_ratio=0.1, latency=2.0, quality=quality))
    assert found["bad"].tolist() == naive.broken_samples(rows, 0.1, 2.0, quality)
    if quality is None:
        without = broken(panel[JUDGED[:3]], ServiceLevel(error_ratio=0.1, latency=2.0))
        pd.testing.assert_frame_equal(found, without)


@pytest.mark.parametrize(("scenario", "name"), [SHIPPED[0], pytest.param(*SHIPPED[1], marks=pytest.mark.soak)])
def test_impact_is_computed_from_telemetry_and_nothing_else_breaks_a_service_level(scenario, name):
    """Every time of impact and recovery again, in plain loops; and no service level broken that no record explains."""
    read, tables = read_scenario(SCENARIOS / f"{scenario}.yaml"), datasets.load(name)
    faults, felt = tables["faults"], 0
    for entity, service in read.replicas().items():
        level, rows = read.services[service].service_level, tables["telemetry"].loc[entity]
        seconds = ((rows.index - read.start) / pd.Timedelta("1s")).tolist()
        cells = rows[JUDGED].itertuples(index=False, name=None)
        bad = naive.broken_samples(list(cells), level.error_ratio, level.latency, level.quality)
        shortest, explained = round(level.during / read.step), set()
        for fault in faults[faults["entity"] == entity].itertuples():
            begin, end = ((t - read.start).total_seconds() for t in (fault.cause_start, fault.cause_end))
            if math.isnan(end):
                end = math.inf
            first, after = naive.impact(seconds, bad, begin, end + AFTERMATH_S, shortest)
            impact_start = (fault.impact_start - read.start).total_seconds()
            assert impact_start == first if first is not None else math.isnan(impact_start)
            if first is not None:
                recovered = max(end, after)
                assert (fault.recovered_at - read.start).total_seconds() == recovered or recovered > seconds[-1]
                explained |= {s for s in seconds if first <= s < recovered}
                felt += 1
        unexplained = [b and s not in explained for s, b in zip(seconds, bad, strict=True)]
        assert naive.impact(seconds, unexplained, 0, seconds[-1], shortest) == (None, None), entity
    assert felt == faults["impact_start"].notna().sum() > 0
    roots = faults[faults["entity"] == faults["root_entity"]]
    assert (faults.drop(roots.index)["impact_start"]).notna().all()  # another entity is there because it felt something


@pytest.mark.parametrize(("scenario", "name"), SHIPPED)
def test_times_of_a_fault_stand_in_their_order(scenario, name):
    faults = datasets.load(name)["faults"]
    ordered = ["cause_start", "detected_at", "diagnosed_at", "cause_end", "recovered_at"]
    for first, second in [*pairwise(ordered), ("cause_start", "impact_start")]:
        known = faults.dropna(subset=[first, second])
        assert len(known)
        assert (known[first] <= known[second]).all(), (first, second)
    incident = faults.index.str.split(".").str[0]
    impact = faults["impact_start"].groupby(incident).min()
    noticed = faults["detected_at"].groupby(incident).first()
    assert noticed[impact.isna()].isna().all()  # nobody reports what nobody feels
    assert (noticed > impact)[noticed.notna()].all()
    assert (faults["cause_start"] == faults["cause_start"].groupby(incident).transform("first")).all()
    assert faults["severity"].between(1, 10).all()
    assert (faults["severity"][faults["impact_start"].isna()] == 1).all()


def test_history_is_mostly_clean_and_every_mode_is_felt_several_times_after_it():
    tables = datasets.load("simulated")
    stamps, faults = tables["telemetry"].index.unique("timestamp"), tables["faults"]
    history = stamps[int(0.4 * len(stamps))]
    roots = faults[faults["entity"] == faults["root_entity"]]
    assert (roots["cause_start"] < history).sum() == 2
    felt = faults[faults["impact_start"] >= history].drop_duplicates(["root_entity", "cause_start"])
    assert felt["failure_mode"].value_counts().reindex(list(FAILURE_MODES)).min() >= 3
    assert roots["impact_start"].isna().any()  # not every cause is felt


def test_what_comes_gradually_is_felt_late_and_what_comes_abruptly_soon():
    faults = datasets.load("simulated")["faults"].dropna(subset=["impact_start"])
    first = faults.sort_values("impact_start").groupby(faults.index.str.split(".").str[0]).first()
    lead = (first["impact_start"] - first["cause_start"]).dt.total_seconds() / 60
    injected, _ = occurrences(read_scenario(SCENARIOS / "fleet.yaml"), read_scenario(SCENARIOS / "fleet.yaml").seed)
    abrupt = pd.Series({f.name: f.abrupt for f in injected}).reindex(lead.index)
    usual = pd.Series({f.name: not f.kind.precursor for f in injected}).reindex(lead.index)
    assert lead[~abrupt].median() > 20
    assert lead[abrupt].median() < 10
    assert (abrupt != usual).any()  # some come without the warning that their mode has as a rule, or with one


@pytest.mark.parametrize(("mode", "root"), [("memory_leak", "chat-1"), ("gpu_throttling", "gpu-1")])
def test_an_abrupt_fault_leaves_no_time(quiet, mode, root):
    event = {"mode": mode, "entity": root, "start": "12h", "duration": "5h", "intensity": 2}
    felt = {
        pace: simulate({**quiet, "faults": [event | {"pace": pace}]})["faults"]["impact_start"].min()
        for pace in ("gradual", "abrupt")
    }
    start = pd.Timestamp(quiet["start"]) + pd.Timedelta("12h")
    assert felt["abrupt"] - start < pd.Timedelta("20min") < pd.Timedelta("30min") < felt["gradual"] - start


def test_a_broken_service_level_that_no_fault_explains_is_on_record(quiet):
    """A harmless event that was too much: what users felt has a record, without cause, mode and root."""
    crowd = {"mode": "campaign", "entity": "gateway", "start": "12h", "duration": "4h", "intensity": 5}
    services = {**quiet["services"], "gateway": {**quiet["services"]["gateway"], "load": {"mean": 26, "daily": 0.6}}}
    faults = simulate({**quiet, "services": services, "benign": [crowd]})["faults"]
    assert len(faults)
    assert faults[["failure_mode", "root_entity", "cause_start", "cause_end"]].isna().all().all()
    assert faults["impact_start"].notna().all()
    pd.testing.assert_frame_equal(validate(faults, "faults"), faults)


def rates(telemetry):
    """The panel with counters as their growth."""
    counters = [c for c in telemetry if metric_registry()[c].instrument == "counter"]
    return telemetry.assign(**{c: telemetry[c].groupby(level="entity").diff() for c in counters})


ROOT = {
    role: name for name, role in {"chat-1": "model_server", "features-1": "feature_store", "gpu-1": "gpu_host"}.items()
}


def rooted(mode):
    """An entity of the sample that a mode may befall."""
    on = (FAILURE_MODES | BENIGN)[mode].on
    return "gateway" if on == ("entry",) else next(ROOT[role] for role in ROOT if role in on)


@pytest.fixture(scope="module")
def uneventful():
    """The sample's fleet, to which nothing happens, simulated."""
    declared = yaml.safe_load((SCENARIOS / "sample.yaml").read_text())
    return simulate({**declared, "faults": [], "benign": []})


@pytest.mark.parametrize("mode", FAILURE_MODES)
def test_each_mode_shows_in_its_root_metrics_and_reaches_callers(quiet, uneventful, mode):
    entity = rooted(mode)
    event = {"mode": mode, "entity": entity, "start": "10h", "duration": "5h", "intensity": 1.5}
    after = simulate({**quiet, "faults": [event]})
    during = pd.Timestamp(quiet["start"]) + pd.to_timedelta(["10h", "15h"])
    one, other = (
        {e: rates(tables["telemetry"]).loc[e].loc[during[0] : during[1]] for e in (entity, "gateway-1")}
        for tables in (uneventful, after)
    )
    for metric in FAILURE_MODES[mode].root_metrics:
        usual, seen = one[entity][metric], other[entity][metric]
        far = (seen - usual.mean()).abs().quantile(0.9)
        assert far > 3 * (usual - usual.mean()).abs().quantile(0.9), metric
    if mode in ("bad_model_version", "data_drift_upstream"):  # wrong answers, as fast as ever
        assert other["gateway-1"][QUALITY].quantile(0.1) < one["gateway-1"][QUALITY].quantile(0.1) - 0.05
        assert other["gateway-1"][P99].quantile(0.95) < 1.2 * one["gateway-1"][P99].quantile(0.95)
    else:
        assert other["gateway-1"][P99].quantile(0.95) > 1.5 * one["gateway-1"][P99].quantile(0.95)
    assert set(after["faults"]["root_entity"]) == {entity}
    assert after["faults"]["failure_mode"].eq(mode).all()
    assert after["faults"]["impact_start"].notna().sum() >= 2  # the root's own users, or those of what runs there


@pytest.mark.parametrize("mode", [name for name, mode in BENIGN.items() if mode.twin])
def test_each_harmless_twin_moves_the_gauges_of_its_mode_and_hurts_nobody(quiet, uneventful, mode):
    entity = rooted(mode)
    tables = simulate({**quiet, "benign": [{"mode": mode, "entity": entity, "start": "10h", "duration": "3h"}]})
    assert tables["faults"].empty
    twin = FAILURE_MODES[BENIGN[mode].twin]
    span = slice(*(pd.Timestamp(quiet["start"]) + pd.to_timedelta(["10h", "13h"])))
    moved = {}
    for metric in twin.root_metrics:
        usual, seen = (rates(t["telemetry"]).loc[entity].loc[span, metric] for t in (uneventful, tables))
        moved[metric] = (seen - usual).abs().mean() / max(usual.std(), 1e-9)
    if BENIGN[mode].state:
        assert twin.state == BENIGN[mode].state
        assert (tables["states"]["timestamp"] > pd.Timestamp(quiet["start"])).any()
    else:
        assert max(moved.values()) > 0.5, moved


def test_what_happens_before_an_event_does_not_depend_on_it(quiet):
    """No look into the future: up to the start of the first fault, a day with faults is the day without."""
    event = {"mode": "bad_configuration", "entity": "chat-2", "start": "12h", "duration": "2h"}
    start = pd.Timestamp(quiet["start"]) + pd.Timedelta("12h")
    one, other = (simulate(s)["telemetry"] for s in (quiet, {**quiet, "faults": [event]}))
    early = one.index.get_level_values("timestamp") < start
    pd.testing.assert_frame_equal(one[early], other[early])
    assert not one[~early].equals(other[~early])


def test_a_record_that_ends_during_a_fault_leaves_it_open(quiet):
    event = {"mode": "bad_configuration", "entity": "chat-2", "start": "23h", "duration": "4h", "intensity": 2}
    faults = simulate({**quiet, "faults": [event]})["faults"]
    assert faults[["cause_start", "impact_start"]].notna().all().all()
    assert faults[["cause_end", "recovered_at"]].isna().all().all()


def test_harmless_events_are_no_faults_and_leave_their_traces(quiet, uneventful):
    start = pd.Timestamp(quiet["start"])
    event = {"entity": "chat-1", "start": "3h"}
    tables = simulate({**quiet, "benign": [event | {"mode": m} for m in ("release", "config_change", "cache_growth")]})
    assert tables["faults"].empty
    changed = tables["states"][tables["states"]["timestamp"] > start]
    assert sorted(changed["name"]) == ["config_hash", "version"]
    usual = uneventful["telemetry"]
    grown = (tables["telemetry"] - usual).loc["chat-1", "process_resident_memory_bytes"]
    assert grown.loc[start + pd.Timedelta("5h")] > 1e9 > grown.loc[: start + pd.Timedelta("3h")].max()
    gap = simulate(
        {**quiet, "benign": [{"mode": "sensor_gap", "entity": "chat-1", "start": "3h", "duration": "10min"}]}
    )
    silent = gap["telemetry"].loc["chat-1"].loc[start + pd.Timedelta("3h") : start + pd.Timedelta("3h9min")]
    assert (silent["up"] == 0).all()
    assert silent[P99].isna().all()
    assert gap["faults"].empty
    busy = simulate({**quiet, "benign": [{"mode": "campaign", "entity": "gateway", "start": "3h", "duration": "4h"}]})
    peak = start + pd.Timedelta("5h")
    assert busy["telemetry"].loc[("chat-2", peak), "vllm_kv_cache_usage_ratio"] > usual.loc[("chat-2", peak)].get(
        "vllm_kv_cache_usage_ratio"
    )


def test_a_clock_that_runs_ahead_moves_telemetry_and_lines_to_later_times(quiet, uneventful):
    skew = {"mode": "clock_skew", "entity": "chat-1", "start": "3h", "duration": "2h", "intensity": 2}  # 180 s
    tables = simulate({**quiet, "benign": [skew]})
    first, last = pd.Timestamp(quiet["start"]) + pd.to_timedelta(["3h", "5h"])
    late, true = (t["telemetry"].loc["chat-1"] for t in (tables, uneventful))
    minutes = pd.Timedelta("3min")
    assert (late.loc[first : first + minutes - pd.Timedelta("1min"), "up"] == 0).all()  # nothing carries these times
    shown = late.loc[first + minutes : last + minutes - pd.Timedelta("1min")]
    pd.testing.assert_frame_equal(shown, true.shift(freq=minutes).loc[shown.index], check_freq=False)
    pd.testing.assert_frame_equal(late.loc[last + minutes :], true.loc[last + minutes :], check_freq=False)
    pd.testing.assert_frame_equal(
        tables["telemetry"].drop("chat-1"), uneventful["telemetry"].drop("chat-1"), check_freq=False
    )
    said, told = (
        t["logs"][t["logs"]["entity"] == "chat-1"].set_index("timestamp")["message"] for t in (tables, uneventful)
    )
    inside = told.loc[first : last - pd.Timedelta("1ms")]
    assert said.loc[first + minutes : last].isin(inside).any()
    assert said.index.size == told.index.size
    assert tables["faults"].empty


def test_maintenance_restarts_what_runs_on_the_host_one_after_the_other(quiet):
    tables = simulate({**quiet, "benign": [{"mode": "maintenance", "entity": "gpu-1", "start": "6h"}]})
    assert tables["faults"].empty
    requests = tables["telemetry"]["http_server_requests_total"].dropna()
    fell = requests[requests.groupby(level="entity").diff() < 0].reset_index()
    assert sorted(fell["entity"]) == ["chat-1", "chat-2"]
    assert fell["timestamp"].is_unique
    kernels = tables["states"][tables["states"]["name"] == "kernel_version"]
    assert len(kernels) == 2
    assert kernels["value"].is_unique


def test_logs_tell_symptoms_and_never_the_mode(sample):
    logs = sample["logs"]
    assert not logs["message"].str.contains("|".join(FAILURE_MODES)).any()
    assert logs["timestamp"].is_monotonic_increasing
    full = logs[logs["message"].str.startswith("accept: too many open files")]
    assert set(full["entity"]) == {"gateway-1"}
    fault = sample["faults"].loc["f04"]
    assert full["timestamp"].between(fault["impact_start"], fault["recovered_at"]).all()
    telemetry = sample["telemetry"]["up"]
    minute = pd.MultiIndex.from_arrays([logs["entity"], logs["timestamp"].dt.floor("min")])
    spoken = logs[(telemetry.reindex(minute) == 0).to_numpy() & (logs["entity"] == "chat-1").to_numpy()]
    assert spoken.empty  # who is away is silent
    assert (
        simulate({**yaml.safe_load((SCENARIOS / "sample.yaml").read_text()), "logs": {"per_hour": 0, "at_most": 0}})[
            "logs"
        ]["message"]
        .str.contains("Killed|listening|configuration|model .* loaded|Linux")
        .all()
    )


def test_a_fleet_that_says_nothing_has_an_empty_table_of_logs(quiet):
    logs = simulate({**quiet, "logs": {"at_most": 0}})["logs"]
    assert logs.empty
    pd.testing.assert_frame_equal(validate(logs, "logs"), logs)


def test_a_symptom_has_several_wordings_and_many_values():
    logs = datasets.load("simulated")["logs"]
    masked = logs["message"].str.replace(r"[0-9a-f]{8}|\d+(\.\d+)*", "#", regex=True)
    assert masked.nunique() > 50
    assert logs["message"].nunique() > 0.75 * len(logs)
    rng = np.random.default_rng(0)
    for line in LINES:
        for text in line.texts:
            said = filled(text, 3, rng, ["features"])
            assert len(said) == 3
            assert not any("{" in s for s in said)


# ---- what users write ----------------------------------------------------------------------------------------------


def test_feedback_is_many_voices_on_three_channels_in_two_languages():
    tables = datasets.load("simulated")
    said, faults = tables["feedback"], tables["faults"].dropna(subset=["impact_start"])
    assert said["text"].nunique() > 0.85 * len(said)
    assert set(said["channel"]) == set(CHANNELS)
    assert set(said["category"]) == set(CATEGORIES)
    assert said["user"].str.fullmatch(r"u-[0-9a-f]{8}").all()
    assert 1 < said["user"].value_counts().max() < 0.1 * len(said)  # some write often
    chinese = said["text"].str.contains(r"[\u4e00-\u9fff]")
    assert 0.1 < chinese.mean() < 0.5
    spoken = said.assign(chinese=chinese)[said["text"].str.len() > 3].groupby("user")["chinese"].nunique()
    assert (spoken == 1).mean() > 0.95  # a user keeps the language
    stars = said.groupby("channel")["rating"].agg(["count", "min", "max"])
    assert stars.loc["app", ["min", "max"]].tolist() == [1, 5]
    assert stars.loc["chat", ["min", "max"]].tolist() == [0, 1]
    assert stars.loc["email", "count"] == 0
    assert said["entity"].isna().equals(said["channel"] == "email")
    assert said["text"].str.contains("|".join(FAILURE_MODES)).sum() == 0
    # Twice the same words of the same user.
    assert said.duplicated(["user", "text"]).sum() > 5
    # More is written while it hurts; yet people complain on quiet days too, and praise on bad ones.
    hurt = np.zeros(len(said), dtype=bool)
    for fault in faults.itertuples():
        hurt |= said["timestamp"].between(fault.impact_start, fault.recovered_at).to_numpy()
    merged = pd.concat([faults["impact_start"], faults["recovered_at"]], axis=1).sort_values("impact_start")
    bad = pd.Timedelta(0)
    reached = merged["impact_start"].iloc[0]
    for begin, end in merged.itertuples(index=False):
        end = end if pd.notna(end) else tables["telemetry"].index.get_level_values("timestamp").max()
        bad += max(end - max(begin, reached), pd.Timedelta(0))
        reached = max(reached, end)
    rest = pd.Timedelta("14d") - bad
    assert hurt.sum() / bad.total_seconds() > 2 * (~hurt).sum() / rest.total_seconds()
    complaints = said["category"].isin(["failed", "slow", "wrong_answer"])
    assert 0.05 < complaints[~hurt].mean() < 0.75
    assert (said["category"][hurt] == "praise").any()


def test_messages_come_after_what_they_are_about(quiet):
    event = {"mode": "bad_configuration", "entity": "gateway-1", "start": "12h", "duration": "1h", "intensity": 4}
    loud = {**quiet, "feedback": {"per_day": 0, "per_thousand": 20}, "faults": [event]}
    said = simulate(loud)["feedback"]
    start = pd.Timestamp(quiet["start"]) + pd.Timedelta("12h")
    failed = said[said["category"] == "failed"]
    assert (failed["timestamp"] >= start).mean() > 0.6
    late = (failed["timestamp"][failed["timestamp"] >= start] - start).groupby(failed["channel"]).median()
    assert late["email"] > late["app"]
    silent = simulate({**quiet, "feedback": {"per_day": 0, "per_thousand": 0}})["feedback"]
    assert silent.empty
    pd.testing.assert_frame_equal(validate(silent, "feedback"), silent)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("category", CATEGORIES)
def test_texts_have_no_open_slots_and_differ(category, language):
    texts = {message(category, language, np.random.default_rng(k)) for k in range(200)}
    assert not any("{" in text or not text.strip() for text in texts)
    assert len(texts) > (40 if category == "off_topic" else 100)


# ---- seeds, schedules, size ----------------------------------------------------------------------------------------


def test_a_new_entity_leaves_the_others_as_they_were(declared):
    aside = {**declared["services"]["features"], "load": {"mean": 5}}
    more = {
        **declared,
        "hosts": {"gpu-9": {"gpu": True}, **declared["hosts"]},
        "services": {"aside": aside, **declared["services"]},
    }
    one, other = simulate(declared), simulate(more)
    assert {"aside-1", "gpu-9"} == set(other["telemetry"].index.unique("entity")) - set(
        one["telemetry"].index.unique("entity")
    )
    rest = other["telemetry"].drop(["aside-1", "gpu-9"], level="entity")
    pd.testing.assert_frame_equal(one["telemetry"], rest.reindex(one["telemetry"].index), check_freq=False)
    pd.testing.assert_frame_equal(one["faults"], other["faults"])
    lines = other["logs"][~other["logs"]["entity"].isin(["aside-1", "gpu-9"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(one["logs"], lines)


def test_one_more_fault_leaves_whom_it_does_not_reach_as_they_were(declared):
    """Not one draw of another entity moves, and the other faults keep theirs."""
    aside = {**declared["services"]["features"], "load": {"mean": 5}}
    apart = {**declared, "services": {"aside": aside, **declared["services"]}}
    event = {"mode": "slow_dependency", "entity": "aside-1", "start": "2h", "duration": "1h"}
    one, other = simulate(apart), simulate({**apart, "faults": [event, *apart["faults"]]})
    pd.testing.assert_frame_equal(
        one["telemetry"].drop("aside-1"), other["telemetry"].drop("aside-1"), check_freq=False
    )
    for name in ("logs", "feedback"):
        kept = [t[name][t[name]["entity"] != "aside-1"].reset_index(drop=True) for t in (one, other)]
        kept = [
            k.drop(columns="feedback_id", errors="ignore").dropna(subset="entity").reset_index(drop=True) for k in kept
        ]
        pd.testing.assert_frame_equal(*kept, check_like=True)
    times = ["cause_start", "impact_start", "detected_at", "recovered_at"]
    kept = [t["faults"][t["faults"]["root_entity"] != "aside-1"][times].reset_index(drop=True) for t in (one, other)]
    pd.testing.assert_frame_equal(*kept)


def test_neither_the_hash_seed_nor_threads_change_a_table(tmp_path, declared):
    path = tmp_path / "short.yaml"
    path.write_text(
        yaml.safe_dump({**declared, "duration": "6h", "faults": [], "benign": [], "holidays": ["2026-03-04"]})
    )
    here = write(path, tmp_path / "here")[0].parent
    there = tmp_path / "there"
    order = [sys.executable, "-m", "stability.simulate", str(path), str(there)]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}  # here: any seed, one thread
    subprocess.run(order, check=True, env=environment, capture_output=True, cwd=CHECKOUT)
    assert (there / "SHA256SUMS").read_text() == (here / "SHA256SUMS").read_text()


def test_regions_share_their_noise_and_holidays_are_quiet():
    web = {"role": "gateway", "capacity": 200, "latency": 0.05, "service_level": {"latency": 0.5}}
    load = {"mean": 100, "daily": 0, "weekend": 0.4, "noise": 0.2, "common": 0.9}
    services = {n: {**web, "load": load, "region": r} for n, r in (("a", "eu"), ("b", "eu"), ("c", "us"))}
    tables = simulate(
        {
            "name": "r",
            "start": "2026-03-02T00:00:00Z",
            "duration": "3d",
            "services": services,
            "holidays": ["2026-03-03"],
        }
    )
    asked = (
        tables["telemetry"]
        .reset_index()
        .pivot_table("http_server_requests_total", "timestamp", "entity")
        .diff()
        .rolling(30)
        .mean()
    )
    day = asked.index.floor("D")
    usual = asked[day != pd.Timestamp("2026-03-03", tz="UTC")]
    together = usual[usual.index.hour.isin(range(4, 20))].corr()
    assert together.loc["a-1", "b-1"] > 0.6 > together.loc["a-1", "c-1"]
    means = asked[(asked.index.hour > 4) & (asked.index.hour < 20)].groupby(lambda t: t.day).mean().mean(axis=1)
    assert means[3] < 0.75 * means[[2, 4]].mean()


def test_random_events_are_as_many_as_asked_in_slots_of_their_own():
    read = read_scenario(SCENARIOS / "fleet.yaml")
    faults, benign = occurrences(read, 5)
    drawn = [f for f in faults if f.start >= read.random.after]
    assert pd.Series([f.mode for f in drawn]).value_counts().to_dict() == read.random.faults
    assert pd.Series([b.mode for b in benign]).value_counts().to_dict() == read.random.benign
    for one, after in pairwise(drawn):
        assert one.end <= after.start
    assert [f.name for f in faults] == sorted(f.name for f in faults)
    assert min(b.start for b in benign) < read.random.after  # the history has harmless events too
    assert occurrences(read, 6) != (faults, benign)


@pytest.mark.parametrize("course", ["step", "ramp", "bursts", "plateau", "hump"])
def test_courses_stay_between_nothing_and_full_strength(course):
    values = shape(course, np.linspace(0, 1, 500), 120, np.random.default_rng(0))
    assert values.min() >= 0
    assert 0.95 < values.max() <= 1 or course == "bursts"
    assert (values > 0).mean() > 0.6


def test_the_catalogues_of_modes_agree_with_drivers_and_registry():
    assert not FAILURE_MODES.keys() & BENIGN.keys()
    for name, mode in (FAILURE_MODES | BENIGN).items():
        assert set(mode.effects) <= set(DRIVERS), name
        assert set(mode.on) <= {*SERVICES, *HOSTS, "entry"}, name
        assert set(mode.root_metrics) <= set(metric_registry()), name
    assert all(mode.root_metrics for mode in FAILURE_MODES.values())
    assert {m.precursor for m in FAILURE_MODES.values()} == {True, False}
    assert {mode.twin for mode in BENIGN.values()} - {None} == FAILURE_MODES.keys()  # each has a harmless look-alike
    assert {driver for mode in (FAILURE_MODES | BENIGN).values() for driver in mode.effects} == DRIVERS.keys()


def test_many_replicas_and_other_steps(quiet):
    services = {**quiet["services"], "chat": {**quiet["services"]["chat"], "replicas": 60}}
    tables = simulate({**quiet, "services": services, "duration": "2h", "step": "15s"})
    up = tables["telemetry"]["up"]
    assert (up.groupby(level="entity").size() == 2 * 240).all()
    assert up.index.unique("entity").size == 63
    assert up.isin([0, 1]).all()
    edges = tables["topology"].reset_index()
    assert edges["kind"].value_counts().to_dict() == {"calls": 120, "runs_on": 60}


# ---- bad input -----------------------------------------------------------------------------------------------------


def changed(declared, place, value):
    """The scenario with one field changed; `place` is its path."""
    copy = yaml.safe_load(yaml.safe_dump(declared))
    *way, last = place
    inner = copy
    for part in way:
        inner = inner[part]
    inner[last] = value
    return copy


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (["servces"], {}, ["'servces'", "did you mean 'services'"]),
        (["services", "chat", "retires"], 1, ["services.chat.retires", "did you mean 'retries'"]),
        (["services", "chat", "service_level", "latncy"], 1, ["services.chat.service_level.latncy", "'latency'"]),
        (["services", "chat", "capacity"], "many", ["services.chat.capacity", "number", "many"]),
        (["services", "chat", "capacity"], 0, ["services.chat.capacity", "greater than 0"]),
        (["services", "chat", "calls"], {"featurs": 1}, ["services.chat.calls.featurs", "did you mean 'features'"]),
        (["services", "chat", "runs_on"], ["gpu-2"], ["services.chat.runs_on.0", "did you mean 'gpu-1'"]),
        (["services", "chat", "memory"], 1e12, ["services.chat.memory", "memory_limit"]),
        (["services", "features", "calls"], {"gateway": 1}, ["circle", "gateway", "chat", "features"]),
        (["services", "gateway", "load"], None, ["services.gateway", "load"]),
        (["services"], {}, ["services"]),
        (["hosts", "gpu-1", "shares"], ["gpu-1"], ["hosts.gpu-1.shares.0", "another host"]),
        (["hosts", "chat-1"], {}, ["hosts.chat-1", "no service or replica"]),
        (["duration"], "one day", ["duration", "'3h'", "one day"]),
        (["duration"], 5, ["duration", "with its unit"]),
        (["step"], "2h", ["step"]),
        (["start"], "2026-03-04", ["start", "with its zone"]),
        (["seed"], -1, ["seed", "-1"]),
        (["faults", 0, "mode"], "memory_lek", ["faults.0.mode", "did you mean 'memory_leak'"]),
        (["faults", 0, "mode"], "release", ["faults.0.mode", "'release'"]),
        (["faults", 0, "entity"], "chat-9", ["faults.0.entity", "did you mean 'chat-"]),
        (["faults", 1, "entity"], "gpu-1", ["faults.1.entity", "feature_store"]),
        (["faults", 0, "start"], "2d", ["faults.0.start", "less than the duration"]),
        (["faults", 0, "duration"], "1s", ["faults.0.duration", "at least a step"]),
        (["benign", 0, "mode"], "relase", ["benign.0.mode", "did you mean 'release'"]),
        (["random"], {"faults": {"gpu_throttlin": 1}}, ["random.faults.gpu_throttlin", "'gpu_throttling'"]),
        (["random"], {"after": "2d"}, ["random", "after < before"]),
        (["random"], {"suprise": 0.5}, ["random.suprise", "did you mean 'surprise'"]),
        (["faults", 0, "pace"], "sudden", ["faults.0.pace", "'gradual' or 'abrupt'"]),
        (["feedback", "per_dy"], 3, ["feedback.per_dy", "did you mean 'per_day'"]),
        (["holidays"], ["soon"], ["holidays.0", "such as 2026-03-11", "soon"]),
        (["services", "chat", "service_level", "quality"], 1.5, ["services.chat.service_level.quality", "less than 1"]),
        (["services", "chat", "capacity"], math.inf, ["services.chat.capacity", "finite"]),
        (["name"], "", ["name"]),
    ],
)
def test_a_wrong_scenario_says_where_and_what(declared, place, value, said, tmp_path, capsys):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(changed(declared, place, value)))
    with pytest.raises(ContractError) as error:
        read_scenario(path)
    for part in ["wrong.yaml", *said]:
        assert part in str(error.value)
    assert main([str(path), str(tmp_path / "out")]) == 2
    assert said[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1\n", "name: x\n"])
def test_what_is_no_scenario_at_all(text, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ContractError, match=r"odd\.yaml"):
        read_scenario(path)
    with pytest.raises(ContractError, match=r"did you mean 'odd\.yaml'"):
        read_scenario(tmp_path / "od.yaml")


def test_written_tables_carry_where_they_come_from(tmp_path, quiet, capsys):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**quiet, "duration": "2h"}))
    assert main([str(path), str(tmp_path / "out"), "--seed", "3"]) == 0
    assert "telemetry.parquet  600 rows" in capsys.readouterr().out
    notes = read_metadata(tmp_path / "out" / "telemetry.parquet")
    assert (notes["scenario"], notes["seed"]) == ("sample", 3)
    again = write(path, tmp_path / "again", seed=3)
    assert [f.read_bytes() for f in again] == [(tmp_path / "out" / f.name).read_bytes() for f in again]


def test_growth_and_peak_are_settings(quiet):
    with pytest.raises(ValueError, match="mean"):
        Load(mean=0)
    load = {"mean": 16, "daily": 0, "weekend": 0, "noise": 0, "growth": 0.2}
    services = {**quiet["services"], "gateway": {**quiet["services"]["gateway"], "load": load}}
    counter = simulate({**quiet, "services": services})["telemetry"].loc["gateway-1", "http_server_requests_total"]
    asked = counter.diff().rolling(120).median()
    assert asked.iloc[-1] / asked.iloc[130] == pytest.approx(math.exp(0.2 * 1310 / 1440), rel=0.03)


def test_the_data_dictionary_tells_the_numbers_of_the_files():
    page = (CHECKOUT / "data" / "README.md").read_text()
    cells = {
        line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in page.splitlines() if "|" in line
    }
    for column, name in enumerate(["simulated", "sample"]):
        tables = datasets.load(name)
        there = (tables["telemetry"].groupby(level="entity").count() > 0).sum(axis=1)
        felt = tables["faults"]["impact_start"].notna().sum()
        assert cells["rows of telemetry"][column] == f"{len(tables['telemetry']):,}"
        assert (
            cells["metrics"][column]
            == f"{tables['telemetry'].shape[1]}, of which an entity has {there.min()} to {there.max()}"
        )
        assert cells["entities"][column].split(":")[0] == str(len(there))
        assert cells["messages of users"][column] == f"{len(tables['feedback']):,}"
        assert cells["log lines"][column] == f"{len(tables['logs']):,}"
        assert cells["states, edges"][column] == f"{len(tables['states'])}, {len(tables['topology'])}"
        assert cells["fault records, of which felt"][column] == f"{len(tables['faults'])}, {felt}"
    faults = datasets.load("simulated")["faults"]
    for mode, rows in faults.groupby("failure_mode"):
        causes = rows.groupby(rows.index.str.split(".").str[0]).agg({"cause_start": "first", "impact_start": "min"})
        minutes = (causes["impact_start"] - causes["cause_start"]).dt.total_seconds().median() / 60
        numbers = [
            len(causes),
            causes["impact_start"].notna().sum(),
            rows["impact_start"].notna().sum(),
            round(minutes),
        ]
        assert cells[mode][1:] == [str(number) for number in numbers], mode
