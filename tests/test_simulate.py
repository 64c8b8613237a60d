"""Simulation: equal seeds, equal tables; every time of a fault known; impact computed from what was measured."""

import numpy as np
import pandas as pd
import pytest
import yaml
from workbenches import CHECKOUT

from stability import datasets
from stability.schema import ContractError, metric_registry, read_metadata, validate
from stability.simulate import FAILURE_MODES, read_scenario, simulate, write
from stability.simulate.__main__ import main

SCENARIOS = CHECKOUT / "data" / "scenarios"


@pytest.fixture(scope="module")
def sample():
    return simulate(SCENARIOS / "sample.yaml")


@pytest.fixture
def declared():
    return yaml.safe_load((SCENARIOS / "sample.yaml").read_text())


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name], check_freq=False)


@pytest.mark.parametrize(("scenario", "name"), [("sample", "sample"), ("fleet", "simulated")])
def test_the_shipped_data_are_what_their_scenario_yields(scenario, name):
    same(simulate(SCENARIOS / f"{scenario}.yaml"), datasets.load(name))
    assert read_metadata(CHECKOUT / "data" / name / "telemetry.parquet")["scenario"] == scenario


def test_equal_seeds_equal_tables_and_others_differ(sample, declared):
    same(simulate(declared), sample)
    other = simulate(declared, seed=2)
    assert not other["telemetry"].equals(sample["telemetry"])


def test_every_table_keeps_its_contract(sample):
    for name, table in sample.items():
        pd.testing.assert_frame_equal(validate(table, name), table, check_freq=False)
    assert set(sample["telemetry"]) <= set(metric_registry())


def test_values_stay_within_the_bounds_of_the_registry(sample):
    for name, values in sample["telemetry"].items():
        known = metric_registry()[name]
        assert known.lower is None or values.min() >= known.lower, name
        assert known.upper is None or values.max() <= known.upper, name


def test_counters_fall_only_where_a_process_restarts(sample):
    requests = sample["telemetry"]["http_server_requests_total"].dropna()
    falls = requests.groupby(level="entity").diff().lt(0).groupby(level="entity").sum()
    releases = sample["states"][sample["states"]["name"] == "version"]["entity"].value_counts()
    assert falls["chat-2"] >= releases["chat-2"] - 1 > 0  # the first version is the one that it started with
    assert falls.sum() <= 10


def test_times_of_a_fault_stand_in_their_order(sample):
    faults = sample["faults"]
    roots = faults[faults["entity"] == faults["root_entity"]]
    assert set(roots["failure_mode"]) <= set(FAILURE_MODES)
    assert len(roots) == 4
    assert roots[["cause_start", "root_metrics"]].notna().all().all()
    for first, second in (
        ("cause_start", "impact_start"),
        ("impact_start", "detected_at"),
        ("cause_end", "recovered_at"),
    ):
        known = faults.dropna(subset=[first, second])
        assert len(known)
        assert (known[first] <= known[second]).all(), (first, second)


def test_impact_is_what_users_feel_not_the_injection(sample, declared):
    """At the moment of impact the service level is broken for as long as the scenario says, and was not just before."""
    telemetry = sample["telemetry"]
    levels = {n: s["service_level"] for n, s in declared["services"].items()}
    checked = 0
    for fault in sample["faults"].dropna(subset=["impact_start"]).itertuples():
        rows = telemetry.loc[fault.entity]
        level = levels[fault.entity.rsplit("-", 1)[0]]
        counts = rows[["http_server_errors_total", "http_server_requests_total"]].diff()
        ratio = counts["http_server_errors_total"] / counts["http_server_requests_total"]
        slow = rows["http_server_request_duration_seconds_p99"] > level["latency"]
        broken = (ratio > level["error_ratio"]) | slow | (rows["up"] == 0) | rows["up"].isna()
        at = rows.index.get_indexer([fault.impact_start])[0]
        assert broken.iloc[at : at + 2].any(), fault.Index
        checked += 1
    assert checked >= 3


def test_faults_show_and_propagate_to_callers(declared):
    quiet = simulate({**declared, "faults": [], "benign": []})
    loud = simulate(
        {**declared, "faults": [f for f in declared["faults"] if f["mode"] == "slow_dependency"], "benign": []}
    )
    start = pd.Timestamp(declared["start"]) + pd.Timedelta("15h50min")
    during = slice(start, start + pd.Timedelta("30min"))
    p99 = "http_server_request_duration_seconds_p99"
    for entity in ("features-1", "chat-1", "gateway-1"):
        before, after = (t["telemetry"].loc[entity].loc[during, p99].median() for t in (quiet, loud))
        assert after > 1.2 * before, entity
    assert quiet["faults"].empty


def test_a_new_entity_leaves_the_draws_of_the_others(declared):
    alone = {**declared, "faults": [], "benign": []}
    more = {**alone, "hosts": {**alone["hosts"], "gpu-9": {"gpu": True}}}
    one, other = simulate(alone)["telemetry"], simulate(more)["telemetry"]
    assert "gpu-9" in other.index.unique("entity")
    pd.testing.assert_frame_equal(one, other.drop("gpu-9", level="entity").reindex(one.index), check_freq=False)


def test_large_fleets_are_vectorised(declared):
    services = {**declared["services"], "chat": {**declared["services"]["chat"], "replicas": 60}}
    tables = simulate({**declared, "services": services, "faults": [], "benign": [], "duration": "6h"})
    assert tables["telemetry"].index.unique("entity").size == 63
    assert np.isfinite(tables["telemetry"]["up"]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"servces": {}}, "did you mean 'services'"),
        ({"duration": "one day"}, "duration"),
        ({"faults": [{"mode": "memory_lek", "entity": "chat-1", "start": "1h"}]}, "did you mean 'memory_leak'"),
        ({"faults": [{"mode": "memory_leak", "entity": "chat-9", "start": "1h"}]}, "chat-9"),
        ({"services": {}}, "services"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_scenario_says_where_and_what(declared, change, said, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**declared, **change}))
    with pytest.raises(ContractError) as error:
        read_scenario(path)
    assert said in str(error.value)
    assert "wrong.yaml" in str(error.value)
    assert main([str(path), str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_written_tables_carry_where_they_come_from(tmp_path, declared):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**declared, "duration": "2h", "faults": [], "benign": []}))
    files = write(path, tmp_path / "out")
    assert {f.name for f in files} >= {"telemetry.parquet", "faults.parquet", "SHA256SUMS"}
    assert read_metadata(files[0])["seed"] == declared["seed"]
