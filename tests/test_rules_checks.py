"""What a rule file must hold beyond its grammar."""

import pytest
import yaml

from stability.rules.checks import FINDINGS, check_rules, require_metrics, unit_test_files
from stability.rules.files import Rule
from stability.schema import ContractError

LABELS = {"failure_mode": "overload", "severity": "page", "component": "host"}


def rule(name="Busy", expr="system_cpu_utilization_ratio > 0.8", **more):
    return {"alert": name, "expr": expr, "labels": LABELS, "annotations": {"runbook": "Add a host."}} | more


GUARD = rule("NoCpu", "absent(system_cpu_utilization_ratio)")


def fires(name, labels=(), series='system_cpu_utilization_ratio{entity="a"}', values="0.9x5"):
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values}],
        "alert_rule_test": [
            {
                "eval_time": "5m",
                "alertname": name,
                "exp_alerts": [{"exp_labels": LABELS | dict(labels), "exp_annotations": {"runbook": "Add a host."}}],
            }
        ],
    }


TESTS = [fires("Busy", {"entity": "a"}), fires("NoCpu", series="x")]


def write(folder, *rules, tests=TESTS, name="host"):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"groups": [{"name": name, "rules": list(rules)}]}))
    (folder / "tests").mkdir(exist_ok=True)
    if tests:
        held = {"rule_files": [f"../{name}.yaml"], "tests": list(tests)}
        (folder / "tests" / f"{name}_test.yaml").write_text(yaml.safe_dump(held))
    return folder


def found(path, level="error", **options):
    table = check_rules(path, **options)
    assert list(table.columns) == list(FINDINGS)
    return [f"{row.rule}: {row.finding}" for row in table.itertuples() if row.level == level]


def test_good_rules_have_no_findings(tmp_path):
    assert found(write(tmp_path, rule(), GUARD)) == []
    assert found(tmp_path / "host.yaml") == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": {"severity": "page", "component": "host"}}, "no label 'failure_mode'"),
        ({"labels": LABELS | {"severity": "urgent"}}, "severity 'urgent' is none of page, ticket"),
        ({"annotations": {}}, "no annotation 'runbook'"),
        ({"annotations": {"runbook": " "}}, "no annotation 'runbook'"),
        ({"annotations": {"runbook": "{{ .Labels }}"}}, r"{{ .Labels }}"),
        ({"labels": LABELS | {"component": "{{ $value }}"}}, "put it into an annotation"),
        ({"expr": "topk(1, system_cpu_utilization_ratio) > 0.8"}, "topk"),
        ({"expr": "system_cpu_utilisation_ratio > 0.8"}, "did you mean 'system_cpu_utilization_ratio'"),
        ({"expr": "system_cpu_load_1m > 8"}, "'system_cpu_load_1m' has no guard"),
    ],
)
def test_what_a_rule_lacks_is_found(changed, said, tmp_path):
    findings = found(write(tmp_path, rule(**changed), GUARD, tests=()))
    assert any(said in finding for finding in findings if finding.startswith("Busy")), findings


def test_a_metric_that_no_registry_knows_is_a_note_and_must_be_guarded(tmp_path):
    own = rule("Own", "my_own_thing > 3 or absent(my_own_thing)")
    path = write(tmp_path, own, tests=[fires("Own", {"entity": "a"}, 'my_own_thing{entity="a"}', "4x5")])
    assert found(path) == []
    assert found(path, "note") == ["Own: 'my_own_thing' is no metric of data/metrics.yaml"]
    # What a query of the registry reads is known: node_load1 gives system_cpu_load_1m.
    load = rule("Load", "node_load1 > 8 or absent(node_load1)")
    write(tmp_path, load, tests=[fires("Load", {"entity": "a"}, 'node_load1{entity="a"}', "9x5")])
    assert found(path, "note") == []


def test_the_metrics_of_a_dataset_may_be_what_counts(tmp_path):
    path = write(tmp_path, rule(), GUARD)
    assert found(path, metrics=["system_cpu_utilization_ratio"]) == []
    (one, two) = found(path, metrics=["fan_speed"], source="the dataset x")
    assert one == ("Busy: 'system_cpu_utilization_ratio' is no metric of the dataset x: there are: fan_speed")
    assert two.startswith("NoCpu")


def test_unit_tests_are_run_and_every_rule_must_be_expected_to_fire(tmp_path):
    path = write(tmp_path, rule(), GUARD, tests=TESTS[:1])
    assert found(path) == ["NoCpu: no unit test expects it to fire"]
    path = write(tmp_path, rule(), GUARD, tests=[fires("Busy", {"entity": "b"}), TESTS[1]])
    (one,) = found(path)
    assert one.startswith("Busy: test 1 at 5m: expected {component='host', entity='b'")
    path = write(tmp_path, rule(), GUARD, tests=[fires("Busi")])
    assert any("did you mean 'Busy'" in finding for finding in found(path))


def test_the_tests_of_a_file_are_those_that_name_it(tmp_path):
    write(tmp_path, rule(), GUARD)
    write(tmp_path, rule("Other"), tests=[fires("Other", {"entity": "a"})], name="other")
    assert [file.name for file in unit_test_files(tmp_path)] == ["host_test.yaml", "other_test.yaml"]
    assert [file.name for file in unit_test_files(tmp_path / "other.yaml")] == ["other_test.yaml"]


def test_metrics_that_are_required_are_named_with_the_nearest():
    rules = [Rule("g", "A", "up == 0"), Rule("g", "B", "absent(upp)")]
    require_metrics(rules[:1], ["up"])
    with pytest.raises(ContractError, match=r"rule 'B': expected a metric of the panel, got 'upp'.*did you mean 'up'"):
        require_metrics(rules, ["up", "down"], source="the panel")
