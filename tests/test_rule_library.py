"""The rules that ship: each has its guard, runbook, mode and unit test, and Prometheus and we read them alike."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from stability.rules import read_rules, run_unit_tests
from stability.rules.checks import check_rules
from stability.rules.expressions import guards_of, metrics_of

FOLDER = Path(__file__).parents[1] / "data" / "rules"
FILES = sorted(FOLDER.glob("*.yaml"))
TESTS = sorted((FOLDER / "tests").glob("*_test.yaml"))
RULES = read_rules(FOLDER)
UNIT_TESTS = [test for file in TESTS for test in yaml.load(file.read_text(), yaml.CSafeLoader)["tests"]]
MODES = re.findall(r"^\| `(\w+)` \|", (FOLDER / "README.md").read_text(), flags=re.M)


def is_guard(rule) -> bool:
    return rule.alert.endswith("Absent")


def expectations() -> dict[str, list[bool]]:
    """For each alert whether its unit tests expect it to fire."""
    found = {}
    for test in UNIT_TESTS:
        for row in test["alert_rule_test"]:
            found.setdefault(row["alertname"], []).append(bool(row["exp_alerts"]))
    return found


def test_there_are_enough_and_nothing_is_wrong_with_them():
    assert sum(not is_guard(rule) for rule in RULES) >= 60
    findings = check_rules(FOLDER)
    assert findings.loc[findings["level"] == "error", "finding"].tolist() == []


def test_each_rule_says_what_somebody_on_duty_needs():
    for rule in RULES:
        assert set(rule.annotations) == {"summary", "description", "runbook"}, rule.alert
        assert len(rule.annotations["runbook"]) > 30, rule.alert
        assert "\n" not in rule.annotations["runbook"], rule.alert
        assert set(rule.labels) == {"failure_mode", "severity", "component"}, rule.alert
        assert rule.labels["severity"] in ("page", "ticket", "info"), rule.alert


def test_modes_are_of_one_vocabulary_and_none_of_it_is_idle():
    assert sorted(MODES) == MODES
    assert {rule.labels["failure_mode"] for rule in RULES} == set(MODES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_metric_has_a_guard_in_the_same_file(file):
    rules = read_rules(file)
    guarded = {name for rule in rules if is_guard(rule) for name in guards_of(rule.expr)}
    needed = {name for rule in rules if not is_guard(rule) for name in metrics_of(rule.expr)}
    assert needed == guarded


def test_each_rule_has_a_test_in_which_it_fires():
    held = expectations()
    assert {rule.alert for rule in RULES if not any(held.get(rule.alert, []))} == set()


def test_each_rule_has_a_test_in_which_it_stays_quiet():
    """Nothing is expected at a moment, or an alert for the sick one of two series only (promtool compares all)."""
    quiet = {name for name, fires in expectations().items() if not all(fires)}
    for test in UNIT_TESTS:
        if "sick and not for the well" in test["name"]:
            both = " ".join(one["series"] for one in test["input_series"])
            assert '"sick"' in both, test["name"]
            assert '"well"' in both, test["name"]
            quiet |= {row["alertname"] for row in test["alert_rule_test"]}
    assert {rule.alert for rule in RULES} - quiet == set()


def test_a_burn_rate_is_that_of_the_workbook():
    """Table 5-8: 14.4 over 1 h and 5 min, 6 over 6 h and 30 min, 1 over 3 d and 6 h; a twelfth each."""
    rules = [rule for rule in RULES if rule.alert.startswith(("AvailabilityBudgetBurns", "LatencyBudgetBurns"))]
    found = sorted(
        {
            (float(burn), *re.findall(r"\[(\w+)\]", rule.expr)[::2])
            for rule in rules
            for burn in re.findall(r"> ([\d.]+) \*", rule.expr)[:1]
        }
    )
    assert found == [(1.0, "3d", "6h"), (6.0, "6h", "30m"), (14.4, "1h", "5m")]


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_we_pass_the_unit_tests(file):
    results = run_unit_tests(file)
    assert results.loc[~results["passed"], ["test", "expected", "got"]].to_dict("records") == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_the_rules():
    found = subprocess.run(["promtool", "check", "rules", *map(str, FILES)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("topic", ["gpu_days_test", "testbed_test", "model_days_test", "freshness_days_test"])
def test_prometheus_passes_the_same_unit_tests(topic):
    """A sample: all of them take minutes, because promtool evaluates every rule of a file in every test."""
    file = FOLDER / "tests" / f"{topic}.yaml"
    found = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
