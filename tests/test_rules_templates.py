"""Texts of alerts are those that promtool writes."""

import math
import re
import subprocess

import pytest
import yaml

from stability.rules.templates import expand, expand_labels, number
from stability.schema import ContractError

VALUES = [
    *(
        0,
        1,
        -1,
        0.1,
        1 / 3,
        2 / 3,
        12.5,
        999.4,
        1_000,
        1_234.5,
        99_999,
        1e5,
        123_456,
        1e6,
        1_234_567,
        123_456_789,
        1e15,
        1e18,
    ),
    *(0.5, 0.05, 0.00123, 1.5e-5, 1e-7, 2.5e-12, 59.9, 60, 61.5, 3_600, 7_265, 86_400, 90_061.7, -3_700, 1_024, 5e9),
    *(math.inf, -math.inf, math.nan, 0.8234, 100.0, 1e6, 5e-324),
]
TEXTS = [
    "{{ $value }}",
    "{{ $value | humanize }}",
    "{{ humanize $value }}",
    "{{ $value | humanize1024 }}B",
    "{{ $value | humanizePercentage }}",
    "{{ $value | humanizeDuration }}",
    '{{ printf "%.2f" $value }}',
    '{{ $value | printf "%.3f s" }}',
    '{{ $value | printf "%.3g" }}',
    '{{ $value | printf "%.1e" }}',
    "{{$labels.entity}} of {{ $labels.job }} is {{- $value -}} now",
]


def test_texts_are_those_of_promtool(tmp_path, require):
    """One rule for each text, one series for each value; promtool prints what it got where we expect something else."""
    promtool = require("promtool", package="prometheus")
    rules = [{"alert": f"T{k}", "expr": "x != 1e300", "annotations": {"text": text}} for k, text in enumerate(TEXTS)]
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    series = [
        {"series": f'x{{entity="e{k}",job="j"}}', "values": number(value).replace("+Inf", "Inf")}
        for k, value in enumerate(VALUES)
    ]
    checks = [
        {
            "eval_time": "0m",
            "alertname": f"T{k}",
            "exp_alerts": [
                {
                    "exp_labels": {"entity": f"e{j}", "job": "j"},
                    "exp_annotations": {"text": expand(text, {"entity": f"e{j}", "job": "j"}, value)},
                }
                for j, value in enumerate(VALUES)
            ],
        }
        for k, text in enumerate(TEXTS)
    ]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": checks}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"rule_files": ["r.yaml"], "tests": [test]}))
    done = subprocess.run([promtool, "test", "rules", tmp_path / "t.yaml"], capture_output=True, text=True)
    said = done.stdout + done.stderr
    expected = {one["exp_annotations"]["text"] for check in checks for one in check["exp_alerts"]}
    wrong = set(re.findall(r'Annotations:\{text="(.*?)"\}', said)) - expected
    assert not wrong, sorted(wrong)[:40]
    assert done.returncode == 0, said[:2_000]


def test_numbers_are_written_as_go_writes_them():
    assert [number(v) for v in (3.0, -0.5, 1e20, 1e21, 1.5e-5, 123456789.0)] == [
        *("3", "-0.5", "1e+20", "1e+21", "1.5e-05", "1.23456789e+08")
    ]


@pytest.mark.parametrize(
    "text", ["{{ $labels }}", "{{ query `up` }}", "{{ $value | mad }}", "{{ .Value }}", "{{ if 1 }}a{{ end }}"]
)
def test_other_templates_are_refused(text):
    with pytest.raises(ContractError, match=r"\$value|\$labels"):
        expand(text, {}, 1.0)
    with pytest.raises(ContractError, match="did you mean 'humanize'"):
        expand("{{ $value | humanise }}", {}, 1.0)


def test_a_label_does_not_change_with_the_value():
    with pytest.raises(ContractError, match="column 'severity'"):
        expand_labels({"severity": "{{ if gt $value 1.0 }}page{{ end }}"}, {})
    assert expand_labels({"team": "{{ $labels.team }}x"}, {}) == {"team": "x"}
