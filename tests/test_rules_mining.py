"""Rules proposed from labelled history: found on one part, measured on another."""

import subprocess
from shutil import which

import pytest
import ruled

from stability.rules import check_expression, firings, gain, mine
from stability.rules.exporting import rule_file_text
from stability.rules.mining import features_of

PANEL, FAULTS = ruled.telemetry(), ruled.faults()
MINED, TABLE = mine(PANEL, FAULTS, budget=1, windows=["5s"], stride=1)


def test_the_rule_behind_the_data_is_found():
    assert {rule.alert for rule in MINED} == {"MinedMemoryLeak", "MinedCpuSaturation"}
    row = TABLE.loc["MinedMemoryLeak"]
    assert (row["recall"], row["precision"], row["false_per_day"]) == (1, 1, 0)
    assert "memory_bytes" in row["expr"]
    assert "cpu_ratio" in TABLE.loc["MinedCpuSaturation", "expr"]


def test_rules_are_of_the_subset_and_say_that_they_are_proposals():
    for rule in MINED:
        check_expression(rule.expr)
        assert rule.labels["severity"] == "info"
        assert rule.labels["failure_mode"] == TABLE.loc[rule.alert, "failure_mode"]
        assert {"summary", "description", "runbook"} == set(rule.annotations)


def test_what_is_told_of_a_rule_is_what_the_rule_does():
    fired = firings(MINED, PANEL)
    assert len(fired[fired["rule"] == "MinedMemoryLeak"]) == 2


def test_no_rule_is_better_than_one_beyond_the_budget():
    noisy = FAULTS.assign(failure_mode="disk_full").iloc[:1]
    noisy = noisy.assign(cause_start=ruled.at(399), cause_end=ruled.at(401), recovered_at=ruled.at(401))
    rules, table = mine(PANEL, noisy.assign(impact_start=ruled.at(400)), budget=0, windows=["5s"], share=0.0)
    assert len(rules) == len(table)
    assert (table["false_per_day"] == 0).all()


def test_gain_counts_what_the_others_miss():
    nothing = gain(MINED, [], PANEL, FAULTS).loc["MinedMemoryLeak"]
    assert (nothing["recall_rules"], nothing["gain"], nothing["recall"]) == (0, 1, 1)
    half = [ruled.rule("Half", 'memory_bytes{entity="a"} > 80')]
    found = gain(MINED, half, PANEL, FAULTS).loc["MinedMemoryLeak"]
    assert (found["recall_rules"], found["gain"]) == (0.5, 0.5)
    assert found["gain_lo"] < 0.5 < found["gain_hi"]
    known = gain(MINED, [ruled.rule("Leak", "memory_bytes > 80")], PANEL, FAULTS, budget=0)
    assert known.loc["MinedMemoryLeak", "gain"] == 0
    assert known["within"].all()


def test_features_are_rates_of_counters_and_trends_of_gauges():
    assert features_of(["errors_total"], ["5m", "1h"]) == ["rate(errors_total[5m])", "rate(errors_total[1h])"]
    assert "deriv(memory_bytes[5m])" in features_of(["memory_bytes"], ["5m"])


@pytest.mark.skipif(which("promtool") is None, reason="promtool is not installed")
def test_prometheus_reads_what_was_mined(tmp_path):
    file = tmp_path / "mined.yaml"
    file.write_text(rule_file_text(MINED))
    found = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
