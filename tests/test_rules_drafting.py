"""Unit tests that are cut out of telemetry: promtool passes them, and they fail when the rule is another."""

import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from stability.rules.alerts import firings
from stability.rules.drafting import draft_unit_tests
from stability.rules.exporting import DRAFTS, export
from stability.rules.files import Rule, read_rules
from stability.rules.notation import series_text, values_of
from stability.rules.unit_tests import run_unit_tests
from stability.schema import ContractError, home

MINUTE = pd.Timedelta("1min")
RULES = [
    Rule("g", "High", "x > 4.2", MINUTE, labels={"severity": "page"}, annotations={"runbook": "{{ $value }} is much."}),
    Rule("g", "Trend", "deriv(x[10m]) > 0.0001 and x > 3", 2 * MINUTE, 3 * MINUTE),
    Rule("g", "Total", "sum by (kind) (increase(y_total[5m] offset 2m)) > 6"),
    Rule("g", "Gone", "absent(x{entity='b'})", MINUTE),
    Rule("g", "Never", "x > 1e9"),
]


def panel():
    rng = np.random.default_rng(5)
    stamps = pd.date_range("2026-01-01", periods=400, freq="30s", tz="UTC")
    index = pd.MultiIndex.from_product([["a", "b"], stamps], names=["entity", "timestamp"])
    made = pd.DataFrame(
        {"x": rng.normal(2, 1.3, 800), "y_total": rng.integers(0, 3, 800).cumsum() % 300.0}, index=index
    )
    made.iloc[240:280, 0] = np.linspace(2.1, 6, 40)
    made.iloc[600:660, 0] = np.nan
    return made.mask(rng.random(made.shape) < 0.05)


@pytest.fixture
def written(tmp_path):
    """The rules in a file of their own, so that they have a place."""
    export([replace(rule, file="g.yaml") for rule in RULES], tmp_path / "in", tests=[])
    return read_rules(tmp_path / "in")


def test_promtool_passes_what_is_drafted(written, tmp_path, require):
    files = export(written, tmp_path / "out", telemetry=panel())
    assert files[-1].name == DRAFTS
    held = yaml.safe_load(files[-1].read_text())
    assert [test["name"].split(",")[0] for test in held["tests"]] == ["High", "Trend", "Total", "Gone"]
    assert held["evaluation_interval"] == "30s"
    promtool = require("promtool", package="prometheus")
    done = subprocess.run([promtool, "test", "rules", files[-1]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_rule_fails_them(written, tmp_path):
    folder = tmp_path / "out"
    draft = export(written, folder, telemetry=panel())[-1]
    text = (folder / "g.yaml").read_text()
    for before, after in (("x > 4.2", "x > 9"), ("for: 2m", "for: 50m"), ("offset 2m", "offset 40m"), ("'b'", "'a'")):
        assert before in text
        (folder / "g.yaml").write_text(text.replace(before, after))
        assert not run_unit_tests(draft)["passed"].all(), after


def test_what_has_a_test_gets_no_other(written, tmp_path):
    own = draft_unit_tests(written[:2], panel())
    (tmp_path / "in" / "tests").mkdir()
    (tmp_path / "in" / "tests" / "own_test.yaml").write_text(yaml.safe_dump({"rule_files": ["../g.yaml"], **own}))
    files = export(written, tmp_path / "out", telemetry=panel())
    assert [path.name for path in files] == ["g.yaml", "own_test.yaml", DRAFTS]
    names = [test["name"].split(",")[0] for test in yaml.safe_load(files[-1].read_text())["tests"]]
    assert names == ["Total", "Gone"]


def test_rules_of_the_recording_are_drafted_from_it():
    whole = pd.read_parquet(home() / "data" / "testbed" / "1" / "telemetry.parquet")
    whole = whole if isinstance(whole.index, pd.MultiIndex) else whole.set_index(["entity", "timestamp"])
    rules = read_rules(home() / "data" / "rules")
    fired = set(firings(rules, whole)["rule"])
    made = draft_unit_tests(rules, whole)
    drafted = {check["alertname"] for test in made["tests"] for check in test["alert_rule_test"]}
    assert len(drafted) > 5
    assert drafted <= fired


def test_nothing_to_draft_and_a_step_that_promtool_cannot_write():
    assert draft_unit_tests(RULES[4:5], panel()) is None
    assert draft_unit_tests(RULES, panel().iloc[:1]) is None
    with pytest.raises(ContractError, match="whole milliseconds"):
        draft_unit_tests(RULES, panel().iloc[:20], step=0.0015)


def test_a_test_that_nobody_could_read_is_not_drafted(monkeypatch):
    monkeypatch.setattr("stability.rules.drafting.LARGEST", 20)
    assert draft_unit_tests(RULES[1:2], panel()) is None


def test_values_are_read_back_as_they_were():
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(size=50), [0.1] * 20, [1e-7, 1e22, -3.0, 0.0, 1 / 3]]).repeat(2)
    present = rng.random(len(values)) < 0.7
    read, stale, there = values_of(series_text(values, present))
    assert len(read) == len(values)
    np.testing.assert_array_equal(there & ~stale, present)
    np.testing.assert_array_equal(read[present], values[present])
    assert (stale == (~present & np.concatenate([[False], present[:-1]]))).all()
