"""Rules whose firings were labelled: a threshold or a wait tells them apart, backtested; few labels, other rules."""

import numpy as np
import pandas as pd
import pytest

from stability.adaptation.acceptance import accept
from stability.adaptation.proposals import NotEnough
from stability.adaptation.rule_proposals import changed, propose_rules
from stability.feedback.incidents import alarms_of
from stability.rules import Rule, firings, literal_of
from stability.rules.exporting import rule_file_text
from stability.schema import ContractError, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
RULES = [Rule("g", "Busy", "queue_depth > 5"), Rule("g", "Idle", "queue_depth < 0.01")]


def panel(false_height, false_rows, events=40):
    rng = np.random.default_rng(0)
    values, false = rng.uniform(0.5, 2, events * 30), rng.random(events) < 0.5
    for k in range(events):
        height, rows = (false_height, false_rows) if false[k] else (20.0, 8)
        values[30 * k + 10 : 30 * k + 10 + rows] = height
    stamps = pd.date_range(START, periods=len(values), freq="min", unit="us")
    index = pd.MultiIndex.from_product([["web"], stamps], names=["entity", "timestamp"])
    return pd.DataFrame({"queue_depth": values}, index=index), false


def labels_of(fired, false):
    said = alarms_of(fired)[["entity", "start", "end", "detector", "metrics", "score", "threshold"]]
    said = said.assign(label=np.where(false, "discarded", "confirmed"), reason="", labelled_by="p-0123456789abcdef0123")
    said = said.assign(labelled_at=START + pd.Timedelta("30D"), label_id=[f"l{k}" for k in range(len(said))])
    return validate(said.set_index("label_id"), "alarm_labels")


@pytest.mark.parametrize(("height", "rows", "what"), [(6.0, 8, "threshold"), (20.0, 2, "wait")])
def test_what_tells_them_apart_is_proposed_and_silences_what_was_discarded(height, rows, what):
    telemetry, false = panel(height, rows)
    fired = firings(RULES, telemetry)
    found = propose_rules(RULES, telemetry, labels_of(fired, false), purge=0.0)
    assert set(found) == {"Busy"}
    one = found["Busy"]
    assert (one.backtest.false_before, one.backtest.confirmed) == (false.sum(), (~false).sum())
    assert (one.backtest.false_after, one.backtest.lost) == (0, 0)
    busy, idle = changed(RULES, [one])
    assert idle == RULES[1]
    assert (literal_of(busy.expr) > 6) == (what == "threshold")
    assert (busy.wait > pd.Timedelta(0)) == (what == "wait")
    assert one.backtest.delay.value == (0.0 if what == "threshold" else busy.wait.total_seconds())
    later = firings([busy], telemetry)
    assert len(later) == (~false).sum()
    assert "Busy" in rule_file_text([busy])


def test_few_labels_and_gone_firings_are_said(tmp_path):
    telemetry, false = panel(6.0, 8)
    labels = labels_of(firings(RULES, telemetry), false)
    few = propose_rules(RULES, telemetry, labels[labels["label"] == "confirmed"])["Busy"]
    assert isinstance(few, NotEnough)
    assert "label 5 discarded more" in str(few)
    moved = labels.assign(start=labels["start"] + pd.Timedelta("7s"), end=labels["end"] + pd.Timedelta("7s"))
    assert propose_rules(RULES, telemetry, moved)["Busy"].unmatched == 40
    assert propose_rules(RULES[1:], telemetry, labels) == {}
    one = propose_rules(RULES, telemetry, labels)["Busy"]
    with pytest.raises(ContractError, match="these rules"):
        changed(RULES[1:], [one])
    with pytest.raises(ContractError, match="reviewed"):
        accept(one, by="me", why="so", path=tmp_path / "one.yaml")
