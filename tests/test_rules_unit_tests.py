"""Unit tests of rules: the same file passes and fails here and in promtool, expectation by expectation."""

import re
import subprocess

import numpy as np
import pytest
import yaml

from stability.rules.notation import label_set, series_of, values_of
from stability.rules.unit_tests import COLUMNS, read_unit_tests, rules_tested, run_unit_tests
from stability.schema import ContractError

RULES = """\
groups:
- name: g
  rules:
  - alert: A
    expr: x > 2
    for: 2m
    keep_firing_for: 2m
    labels: {severity: page, n: 1}
    annotations: {s: "{{ $labels.entity }} is {{ $value | humanize }} {{ $labels.nothing }} {{ $value }}", e: ""}
  - alert: B
    expr: sum(x) > 10
"""
SERIES = [
    {"series": 'x{entity="a"}', "values": "0+1x5 _x2 2 2 stale 1 NaN 3"},
    {"series": 'x{entity="b"}', "values": "1x4 0x0 -1-0.5x3 Inf -Inf +Inf stale _ 4+2x3"},
]
FIRING = {
    "exp_labels": {"severity": "page", "n": 1, "entity": "a"},
    "exp_annotations": {"s": "a is 5  5", "e": ""},
}


def alert(minutes, *expected, name="A"):
    return {"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": list(expected)}


def sample(expr, minutes, **expected):
    items = [{"labels": labels, "value": value} for labels, value in expected.get("samples", {}).items()]
    return {"eval_time": f"{minutes}m", "expr": expr, "exp_samples": items}


def write(folder, test, **more):
    (folder / "r.yaml").write_text(RULES)
    path = folder / "r_test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": ["r.yaml"], "tests": [test], **more}, sort_keys=False))
    return path


@pytest.fixture
def promtool(require):
    program = require("promtool", package="prometheus")
    return lambda path: subprocess.run([program, "test", "rules", path], capture_output=True, text=True)


def test_what_passes_here_passes_in_promtool(tmp_path, promtool):
    alerts = [alert(5, FIRING), alert(8, FIRING), alert(9, FIRING), alert(10), alert(11), alert(13)]
    samples = [
        sample("x", 5, samples={'x{entity="a"}': 5, 'x{entity="b"}': 0}),
        sample("count_over_time(x[100m])", 30, samples={'{entity="a"}': 11, '{entity="b"}': 17}),
        sample("sum(x)", 2, samples={"{}": 3}),
        sample("1 + 1", 2, samples={"{}": 2}),
        sample("x{entity='a'} offset 1m", 30),
    ]
    path = write(
        tmp_path, {"interval": "1m", "input_series": SERIES, "alert_rule_test": alerts, "promql_expr_test": samples}
    )
    made = run_unit_tests(path)
    assert made["passed"].all(), made[~made["passed"]].to_string()
    assert list(made.columns) == list(COLUMNS)
    assert len(made) == 11
    done = promtool(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rules_tested(read_unit_tests(path)) == {"A"}


WRONG = {
    "alert that does not fire": ({"alert_rule_test": [alert(4, FIRING)]}, "A"),
    "alert that is not expected": ({"alert_rule_test": [alert(5)]}, "A"),
    "a label": ({"alert_rule_test": [alert(5, FIRING | {"exp_labels": {"entity": "a", "severity": "page"}})]}, "A"),
    "an annotation": ({"alert_rule_test": [alert(5, {"exp_labels": FIRING["exp_labels"]})]}, "A"),
    "a value": ({"promql_expr_test": [sample("sum(x)", 2, samples={"{}": 4})]}, "sum(x)"),
    "a name": ({"promql_expr_test": [sample("x", 2, samples={'{entity="a"}': 2, '{entity="b"}': 1})]}, "x"),
    "a sample too much": ({"promql_expr_test": [sample("absent(x)", 2, samples={"{}": 1})]}, "absent(x)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_fails_here_fails_in_promtool(what, tmp_path, promtool):
    checks, name = WRONG[what]
    path = write(tmp_path, {"interval": "1m", "input_series": SERIES, **checks})
    made = run_unit_tests(path)
    assert made["passed"].tolist() == [False]
    assert made["what"].tolist() == [name]
    assert promtool(path).returncode != 0


def test_rules_are_evaluated_at_the_files_interval(tmp_path, promtool):
    # Every 4 minutes: pending at 8, although it is true from 5 on, and firing at 12, the first one 2 minutes later.
    checks = [alert(11), alert(12, FIRING), alert(15, FIRING), alert(18, FIRING), alert(20)]
    series = [{"series": 'x{entity="a"}', "values": "0x4 5x8 0x20"}]
    path = write(
        tmp_path, {"interval": "1m", "input_series": series, "alert_rule_test": checks}, evaluation_interval="4m"
    )
    made = run_unit_tests(path)
    assert made["passed"].all(), made.to_string()
    assert promtool(path).returncode == 0


BAD = {
    "1 2_": "'2_'",
    "1,2": "'1,2'",
    "0x1F": "'0x1F'",
    "a": "'a'",
    "1+2": r"'1\+2'",
    "1x": "'1x'",
    "_x": "'_x'",
    "Infinity": "'Infinity'",
    "1+2x-3": "1.2x-3",
    "STALE": "'STALE'",
    "1_000": "'1_000'",
}


@pytest.mark.parametrize("values", BAD)
def test_values_that_promtool_does_not_read_are_refused(values, tmp_path, promtool):
    path = write(
        tmp_path,
        {"interval": "1m", "input_series": [{"series": "x", "values": values}], "promql_expr_test": [sample("x", 1)]},
    )
    with pytest.raises(ContractError, match=rf"r_test\.yaml, column 'test 1'.*{BAD[values]}"):
        run_unit_tests(path)
    assert promtool(path).returncode != 0


READ = [
    "5.",
    "+3",
    "1e3+1x2",
    "-Inf",
    "nan inf",
    "_x0",
    "stale stale",
    "1 +2x3",
    ".5x2",
    "1-0.5x2",
    "",
    "1  2",
    "1e-2+1e-1x2",
    "0.1+0.1x9",
]


def test_values_are_read_as_promtool_reads_them(tmp_path, promtool):
    checks = []
    for k, text in enumerate(READ):
        values, stale, there = values_of(text)
        kept = values[there & ~stale]
        labels = f'{{k="{k}"}}'
        count = {labels: len(kept)} if len(kept) else {}
        checks.append(sample(f'count_over_time(x{{k="{k}"}}[1h])', 59, samples=count))
        if len(kept) and np.isfinite(kept).all():
            checks.append(sample(f'max_over_time(x{{k="{k}"}}[1h])', 59, samples={labels: float(kept.max())}))
            checks.append(sample(f'min_over_time(x{{k="{k}"}}[1h])', 59, samples={labels: float(kept.min())}))
    series = [{"series": f'x{{k="{k}"}}', "values": text} for k, text in enumerate(READ)]
    path = write(tmp_path, {"interval": "1m", "input_series": series, "promql_expr_test": checks})
    done = promtool(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_unit_tests(path)["passed"].all()


def test_octal_numbers_are_refused():
    with pytest.raises(ContractError, match="'017'"):  # 15 to promtool, 17 to whoever wrote it
        values_of("017")


def test_series_and_label_sets():
    made = series_of('up{job="a b"}', "1 _ stale", 60_000_000)
    assert made.labels == (("__name__", "up"), ("job", "a b"))
    assert made.times.tolist() == [0, 120_000_000]
    assert made.stale.tolist() == [False, True]
    assert label_set(' {a="1"} ') == (("a", "1"),)
    for text in ('up{a!="1"}', "rate(up[5m])", "up offset 5m", 'up{a="1",a="2"}', "up{"):
        with pytest.raises(ContractError, match="expected a series"):
            label_set(text)


@pytest.mark.parametrize(
    ("test", "more", "said"),
    [
        ({"input_series": SERIES, "promql_expr_test": [sample("x", 1)]}, {}, "the interval of its series"),
        ({"interval": "1m", "alert_rule_test": [alert(1, name="AA")]}, {}, "did you mean 'A'"),
        ({"interval": "1m", "alert_rule_tests": []}, {}, "did you mean 'alert_rule_test'"),
        ({"interval": "0s"}, {}, "a duration above 0"),
        ({"interval": "1m", "alert_rule_test": [{"eval": "1m"}]}, {}, "did you mean 'eval_time'"),
        ({"interval": "1m", "promql_expr_test": [sample("topk(1, x)", 1)]}, {}, "topk"),
        ({"interval": "1m", "input_series": "x"}, {}, "a list"),
        ({"interval": "1m"}, {"rule_file": "r.yaml"}, "did you mean 'rule_files'"),
        ({"interval": "1m"}, {"rule_files": ["none*.yaml"]}, "none at 'none"),
        ({"interval": "1m"}, {"evaluation_interval": "x"}, "a duration such as"),
    ],
)
def test_bad_files_are_refused(test, more, said, tmp_path):
    with pytest.raises(ContractError, match=re.escape(said)):
        run_unit_tests(write(tmp_path, test, **more))


def test_rule_files_are_found_beside_the_tests(tmp_path):
    held = read_unit_tests(write(tmp_path, {"interval": "1m"}))
    assert [rule.alert for rule in held.rules] == ["A", "B"]
    assert held.interval == 60_000_000
    assert len(held) == 0
