"""What is exported is read by promtool, and read back the same."""

import subprocess
from dataclasses import replace

import pytest
import yaml

from stability.rules.checks import unit_test_files
from stability.rules.exporting import HEADER, export
from stability.rules.files import read_rules
from stability.schema import ContractError, home

RULES = """\
groups:
  - name: host
    interval: 15s
    rules:
      - alert: Down
        expr: up == 0
        for: 1m30s
        keep_firing_for: 5m
        labels: {severity: page, yes: "no", n: "1"}
        annotations: {runbook: "Start {{ $labels.instance }}: then – wait."}
  - name: other
    rules:
      - alert: Busy
        expr: |
          system_cpu_utilization_ratio{job=~"a|b"}
            > 0.8
"""
TEST = """\
rule_files: [../host.yaml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series: [{series: 'up{instance="a"}', values: '1 0x10'}]
    alert_rule_test:
      - eval_time: 3m
        alertname: Down
        exp_alerts:
          - exp_labels: {severity: page, yes: "no", n: "1", instance: a}
            exp_annotations: {runbook: "Start a: then – wait."}
"""


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "rules"
    (folder / "tests").mkdir(parents=True)
    (folder / "host.yaml").write_text(RULES)
    (folder / "latest.yaml").write_text("groups: [{name: l, rules: [{alert: L, expr: up > 1}]}]")
    (folder / "tests" / "host.yaml").write_text(TEST)
    return folder


def essence(rules):
    return [replace(rule, file="", line=0, expr=rule.expr.strip()) for rule in rules]


def promtool(require, *arguments):
    program = require("promtool", package="prometheus")
    return subprocess.run([program, *arguments], capture_output=True, text=True)


def test_promtool_reads_what_is_exported_and_it_reads_back_the_same(source, tmp_path, require):
    output = tmp_path / "out" / "deep"
    written = export(read_rules(source), output)
    # Whatever is named *test*.yaml is a unit test, and nothing else is.
    assert [path.name for path in written] == ["host.yaml", "latst.yaml", "host_test.yaml"]
    assert promtool(require, "check", "rules", *written[:2]).returncode == 0
    done = promtool(require, "test", "rules", *output.glob("*test*.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert essence(read_rules(output)) == essence(read_rules(source))
    export(read_rules(output), tmp_path / "again")
    assert essence(read_rules(tmp_path / "again")) == essence(read_rules(source))


def test_a_second_export_takes_its_own_leftovers_away_and_nothing_else(source, tmp_path):
    output = tmp_path / "out"
    export(read_rules(source), output)
    (output / "mine.yaml").write_text("groups: []\n")
    export(read_rules(source / "latest.yaml"), output)
    assert sorted(path.name for path in output.iterdir()) == ["latst.yaml", "mine.yaml"]
    assert (output / "latst.yaml").read_text().startswith(HEADER)


def test_rules_that_fail_their_tests_are_not_exported(source, tmp_path):
    rules = [replace(rule, expr=rule.expr.replace("up == 0", "up == 5")) for rule in read_rules(source)]
    with pytest.raises(ContractError, match=r"host_test\.yaml.*expected of Down at 3m.*nothing was written"):
        export(rules, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(export(rules, tmp_path / "out", tests=[])) == 2


def test_tests_of_rules_that_are_left_out_are_left_out(source, tmp_path):
    (source / "tests" / "both_test.yaml").write_text(TEST.replace("../host.yaml", "../host.yaml, ../latest.yaml"))
    names = [
        path.name for path in export(read_rules(source / "host.yaml"), tmp_path / "out", tests=unit_test_files(source))
    ]
    assert names == ["host.yaml", "host_test.yaml"]


def test_two_files_of_one_name_are_told_apart(source, tmp_path):
    twin = tmp_path / "twin"
    twin.mkdir()
    (twin / "host.yaml").write_text("groups: [{name: t, rules: [{alert: T, expr: up}]}]")
    written = export([*read_rules(source / "host.yaml"), *read_rules(twin)], tmp_path / "out")
    assert [path.name for path in written] == ["host.yaml", "host-2.yaml", "host_test.yaml"]
    assert yaml.safe_load(written[2].read_text())["rule_files"] == ["host.yaml"]


def test_nothing_and_nowhere(source, tmp_path):
    with pytest.raises(ContractError, match="rules to export"):
        export([], tmp_path / "out")
    with pytest.raises(ContractError, match="a folder"):
        export(read_rules(source), source / "host.yaml")


def test_the_rules_that_ship_are_exported(tmp_path, require):
    rules = read_rules(home() / "data" / "rules")
    written = export(rules, tmp_path / "out")
    done = promtool(require, "check", "rules", *(path for path in written if "test" not in path.name))
    assert done.returncode == 0, done.stdout + done.stderr
    assert essence(read_rules(tmp_path / "out")) == essence(rules)
