"""Rules outside of the subset: evaluated by a real Prometheus where there is one, named with the reason where not."""

from dataclasses import replace

import pandas as pd
import pytest
import ruled
from typer.testing import CliRunner

from stability import datasets
from stability.cli import app
from stability.rules import firings, score
from stability.rules.beyond import FUTURE, HERE, NO_SERVER, PROMETHEUS, any_firings
from stability.rules.exporting import rule_file_text
from stability.schema import ContractError

PANEL, FAULTS = ruled.telemetry(), ruled.faults()
LEAK = ruled.rule("Leak", "memory_bytes > 80")
TOP = ruled.rule("Top", "topk(1, memory_bytes) > 80")
SMOOTH = ruled.rule("Smooth", "max_over_time(avg_over_time(memory_bytes[2s])[4s:1s]) > 80")
LATER = ruled.rule("Later", "memory_bytes offset -5s > 80")
BOUND = ruled.rule("Bound", "memory_bytes @ end() > 80")
REFUSED = ruled.rule("Refused", "limitk(1, memory_bytes) > 80")  # Prometheus 3 knows it, 2 does not


def test_those_of_the_subset_are_evaluated_here_and_nothing_is_started(monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = any_firings([LEAK], PANEL)
    pd.testing.assert_frame_equal(found.fired, firings([LEAK], PANEL))
    assert (found.by, found.why) == ({"Leak": HERE}, {})


def test_without_a_prometheus_the_others_are_named_and_not_silent(monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = any_firings([LEAK, TOP], PANEL)
    assert set(found.fired["rule"]) == {"Leak"}
    assert found.by == {"Leak": HERE, "Top": ""}
    assert found.why == {"Top": NO_SERVER}
    table = score([LEAK, TOP], PANEL, FAULTS)
    assert table["verdict"].to_dict() == {"Leak": "ok", "Top": "not scored"}
    assert table.loc["Top", ["recall", "recall_any", "false_per_day", "firing_share"]].isna().all()
    assert table.loc["Top", "why_not"] == NO_SERVER
    pd.testing.assert_series_equal(table.loc["Leak"], score([LEAK], PANEL, FAULTS).loc["Leak"])


def test_what_reads_the_future_is_never_scored(require):
    require("prometheus")  # which would evaluate both
    found = any_firings([LATER, BOUND], PANEL)
    assert found.why == {"Later": FUTURE, "Bound": FUTURE}
    assert found.fired.empty


def test_a_prometheus_evaluates_them_as_it_does_the_subset(require):
    require("prometheus")
    same = ruled.rule("Same", "topk(2, memory_bytes) > 80")  # both entities: all that the subset's rule gives
    table = score([LEAK, same, TOP, SMOOTH], PANEL, FAULTS)
    assert table["by"].to_dict() == {"Leak": HERE, "Same": PROMETHEUS, "Top": PROMETHEUS, "Smooth": PROMETHEUS}
    measured = ["episodes", "recall", "precision", "recall_any", "false_per_day", "lead_p50", "firing_share"]
    pd.testing.assert_series_equal(table.loc["Same", measured], table.loc["Leak", measured], check_names=False)
    assert table.loc["Smooth", "recall"] == 1
    assert table.loc["Smooth", "lead_p50"] < table.loc["Leak", "lead_p50"]


def test_what_the_server_refuses_costs_no_other_rule(require):
    require("prometheus")
    found = any_firings([TOP, REFUSED], PANEL)
    assert found.by == {"Top": PROMETHEUS, "Refused": ""}
    assert found.why["Refused"].startswith("Prometheus refuses it")
    assert set(found.fired["rule"]) == {"Top"}


@pytest.mark.parametrize("expr", ["memory_bytes >", "(" * 70 + "memory_bytes" + ")" * 70])
def test_what_is_no_promql_is_an_error_with_its_place(expr):
    with pytest.raises(ContractError, match=r"^a\.yaml, row 3"):
        any_firings([replace(ruled.rule("Bad", expr), file="a.yaml", line=3)], PANEL)


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda name: {"telemetry": PANEL, "faults": FAULTS})
    path = tmp_path / "rules.yaml"
    path.write_text(rule_file_text([LEAK, TOP, LATER]))
    return ["rules", "score", str(path), "--dataset", "ours"]


def test_the_command_says_who_evaluated_what(command, require):
    require("prometheus")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "evaluated by a Prometheus: Top." in done.output
    assert "Not scored, Later: it is bound to one moment" in done.output


def test_the_command_says_what_was_not_scored(command, monkeypatch):
    monkeypatch.setenv("PATH", "")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "Not scored, Top: no Prometheus is installed" in done.output
    assert "not scored: 2 (Top, Later)" in done.output
