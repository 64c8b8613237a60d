"""`stability rules score` and `mine` print what the functions give, and write rules that can be read again."""

import pytest
import ruled
from typer.testing import CliRunner

from stability import datasets
from stability.cli import app
from stability.rules import read_rules
from stability.rules.exporting import rule_file_text

RULES = [ruled.rule("Leak", "memory_bytes > 80"), ruled.rule("Never", "memory_bytes > 1000")]


@pytest.fixture
def rules(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda name: {"telemetry": ruled.telemetry(), "faults": ruled.faults()})
    path = tmp_path / "rules.yaml"
    path.write_text(rule_file_text(RULES))
    return path


def test_scores_are_printed_with_intervals_and_verdicts(rules):
    done = CliRunner().invoke(app, ["rules", "score", str(rules), "--dataset", "ours"])
    assert done.exit_code == 0, done.output
    line = next(line for line in done.output.splitlines() if line.startswith("Leak"))
    assert "1.00 [0.34, 1.00]" in line
    assert line.endswith("ok")
    assert "never fires: 1 (Never)" in done.output
    assert "2 rules on 3 faults of ours" in done.output


def test_mined_rules_are_judged_later_and_written(rules, tmp_path):
    output = tmp_path / "mined.yaml"
    command = ["rules", "mine", str(rules), "--dataset", "ours", "--window", "5s", "--output", str(output)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "On the last 50% of the record" in done.output
    assert [rule.alert for rule in read_rules(output)] == ["MinedMemoryLeak"]  # the other mode comes later


def test_a_budget_that_nothing_keeps_is_said(rules):
    done = CliRunner().invoke(app, ["rules", "mine", str(rules), "--dataset", "ours", "--budget", "-1"])
    assert done.exit_code == 0, done.output
    assert "No rule keeps the budget" in done.output
