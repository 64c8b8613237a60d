"""Rule files: read as they are, or refused with file and line, as promtool refuses them."""

import subprocess

import pandas as pd
import pytest

from stability.rules.durations import duration, duration_text
from stability.rules.files import Rule, is_unit_test, read_rules
from stability.schema import ContractError

GOOD = """\
groups:
  - name: host
    interval: 15s
    rules:
      - alert: Down
        expr: up == 0
        for: 1m30s
        keep_firing_for: 5m
        labels: {severity: page, n: 1, known: true, empty: }
        annotations: {runbook: "Start {{ $labels.instance }}."}
      - alert: Busy
        expr: |
          system_cpu_utilization_ratio
            > 0.8
  - name: empty
"""


def test_a_rule_file_is_read_as_it_is(tmp_path):
    (tmp_path / "host.yaml").write_text(GOOD)
    down, busy = read_rules(tmp_path / "host.yaml")
    assert down == Rule(
        "host",
        "Down",
        "up == 0",
        pd.Timedelta("90s"),
        pd.Timedelta("5min"),
        {"severity": "page", "n": "1", "known": "true", "empty": ""},
        {"runbook": "Start {{ $labels.instance }}."},
        pd.Timedelta("15s"),
        str(tmp_path / "host.yaml"),
        5,
    )
    assert (busy.expr, busy.wait, busy.labels, busy.line) == (
        "system_cpu_utilization_ratio\n  > 0.8",
        pd.Timedelta(0),
        {},
        11,
    )


def test_a_folder_is_read_without_its_unit_tests_and_the_folders_below(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "b.yaml").write_text(GOOD)
    (tmp_path / "a.yml").write_text("groups: [{name: a, rules: [{alert: A, expr: up}]}]")
    (tmp_path / "b_test.yaml").write_text("rule_files: [b.yaml]\ntests: []")
    (tmp_path / "tests" / "c.yaml").write_text("groups: [{name: c, rules: [{alert: C, expr: up}]}]")
    assert [rule.alert for rule in read_rules(tmp_path)] == ["A", "Down", "Busy"]
    assert is_unit_test(tmp_path / "b_test.yaml")
    assert not is_unit_test(tmp_path / "b.yaml")


RULE = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up\n"
BAD = {  # text -> (line that is named, what is said)
    "group: []\n": (1, "did you mean 'groups'"),
    RULE + "    fro: 5m\n": (6, "did you mean 'for'"),
    RULE + "    for: 5\n": (6, "a duration such as 5m"),
    RULE + "    for: 5.5m\n": (6, "a duration such as 5m"),
    RULE + "    for: 1s1m\n": (6, "a duration such as 5m"),
    RULE + "    keep_firing_for: soon\n": (6, "'soon'"),
    RULE + "    labels: {a-b: c}\n": (6, "'a-b'"),
    RULE + "    labels: {__name__: c}\n": (6, "'__name__'"),
    RULE + "    labels: [a]\n": (6, "a list"),
    RULE + "    labels: {a: [b]}\n": (6, "a list"),
    RULE + "    annotations: {1a: c}\n": (6, "'1a'"),
    RULE + "    expr: up\n": (6, "twice"),
    RULE + "  interval: x\n": (6, "'x'"),
    RULE + "- name: g\n": (6, "'g' again, first in line 2"),
    "groups:\n- name: g\n  rules:\n  - expr: up\n": (4, "'alert': expected text, got nothing"),
    "groups:\n- name: g\n  rules:\n  - alert: A\n": (4, "'expr': expected text, got nothing"),
    "groups:\n- rules:\n  - alert: A\n    expr: up\n": (2, "'name': expected text, got nothing"),
    "groups: {a: b}\n": (1, "a list"),
    "groups:\n- name: g\n  rules:\n  - up\n": (4, "'up'"),
    "- a\n": (1, "a rule file"),
    "groups: [\n": (2, "YAML"),
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_refused_with_its_line_and_by_promtool_too(text, tmp_path, require):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    line, said = BAD[text]
    with pytest.raises(ContractError, match=f"bad.yaml, row {line}[,:]") as caught:
        read_rules(path)
    assert said in str(caught.value)
    promtool = require("promtool", package="prometheus")
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True)
    assert done.returncode != 0, "promtool reads it: is it bad?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULE + "  - record: r\n    expr: up\n", "row 6: expected alerting rules, got a recording rule"),
        (RULE + "  limit: 3\n", "row 6: expected a key of a group, got 'limit'"),
        (RULE + "  - alert: A\n    expr: up\n", "row 6: expected each alert's name once, got 'A' again"),
        (RULE + "    labels: {alertname: B}\n", "row 6, column 'labels'"),
        ("", "an empty file"),
        ("groups:\n", ""),
    ],
)
def test_what_is_not_evaluated_here_is_refused(text, said, tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(text)
    if said:
        with pytest.raises(ContractError, match=said):
            read_rules(path)
    else:
        assert read_rules(path) == []


def test_an_alert_that_stands_in_two_files_names_both(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(RULE)
    with pytest.raises(ContractError, match=r"b\.yaml, row 4.*first in .*a\.yaml, line 4"):
        read_rules(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(ContractError, match="without one"):
        read_rules(tmp_path)
    with pytest.raises(ContractError, match="no file"):
        read_rules(tmp_path / "none.yaml")


def test_durations_come_back_as_they_were_written():
    for text in ("5m", "1h30m", "2d", "30s", "1500ms", "1w", "1y"):
        assert duration(duration_text(duration(text))) == duration(text)
    assert duration_text(duration("1500ms")) == "1s500ms"
    assert duration("0") == duration("0s") == pd.Timedelta(0)
    for text in ("", "5", "-5m", "1m1h", "5 m", "٥m", "1000y", "m", "1" * 60 + "s"):
        with pytest.raises(ContractError):
            duration(text)
