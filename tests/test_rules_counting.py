"""Counts of many rules at once are those of `score`; a record is cut in time; chance is what shifted episodes reach."""

import numpy as np
import pandas as pd
import pytest
import ruled
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.rules import firings, quality, score, split_history
from stability.rules.counting import backtest
from stability.schema import ContractError

PANEL, FAULTS = ruled.telemetry(), ruled.faults()


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(["memory_bytes", "cpu_ratio"]), st.integers(0, 95)), min_size=1, max_size=4),
       st.sampled_from(["0s", "10s", "200s"]))  # fmt: skip
def test_counts_are_those_of_the_scores(pairs, late):
    scale = {"memory_bytes": 1, "cpu_ratio": 100}
    rules = [
        ruled.rule(f"R{number}", f"{name} > {value / scale[name]}", wait=f"{number}s")
        for number, (name, value) in enumerate(pairs)
    ]
    fired = firings(rules, PANEL)
    counts = backtest(fired, FAULTS, PANEL, late=late)
    slow = score(rules, PANEL, FAULTS, fired=fired, late=late, resamples=20).loc[counts.index]
    for name in counts.columns.drop("delay"):
        assert np.allclose(counts[name], slow[name], atol=1e-5, equal_nan=True), name


def test_delay_is_the_time_from_the_cause():
    fired = firings([ruled.rule("Leak", "memory_bytes > 80", wait="3s")], PANEL)
    assert backtest(fired, FAULTS, PANEL).loc["Leak", "delay"] == 8


def test_rules_as_one():
    rules = [ruled.rule("Leak", "memory_bytes > 50"), ruled.rule("Hurt", "cpu_ratio > 0.5", "service_level_breach")]
    told = quality(firings(rules, PANEL), FAULTS, PANEL, shifts=50)
    assert told.loc["recall", "value"] == pytest.approx(2 / 3)  # nobody names the third
    assert told.loc["warned", "value"] == pytest.approx(2 / 3)
    assert told.loc["precision", "value"] == pytest.approx(0.5)  # of Leak's four; Hurt names no mode
    assert told.loc["false_per_day", "value"] == pytest.approx(2 / (510 / 86400))
    assert told.loc["recall", "chance"] < told.loc["recall", "value"]
    assert (told["lo"] <= told["value"]).all()
    assert (told["value"] <= told["hi"]).all()


def test_chance_of_a_rule_that_fires_at_random_is_what_it_reaches():
    """Episodes of one entity at every fifth second hit its faults wherever they are moved to."""
    fired = firings([ruled.rule("Leak", "memory_bytes > 80")], PANEL).iloc[[0] * 120].reset_index(drop=True)
    fired["start"] = [ruled.at(5 * number) for number in range(120)]
    fired["end"] = fired["start"] + pd.Timedelta("1s")
    told = quality(fired, FAULTS[FAULTS["entity"] == "a"], PANEL, shifts=20)
    assert told.loc["recall", "value"] == pytest.approx(told.loc["recall", "chance"])


def test_nothing_fires():
    told = quality(firings([ruled.rule("Never", "memory_bytes > 1e9")], PANEL), FAULTS, PANEL, shifts=3)
    assert told.loc["recall", "value"] == 0
    assert np.isnan(told.loc["precision", "value"])


def test_a_record_is_cut_in_time():
    (rows, known), (later, told) = split_history(PANEL, FAULTS, 0.5)
    stamps = rows.index.get_level_values("timestamp"), later.index.get_level_values("timestamp")
    assert stamps[0].max() < stamps[1].min()
    assert len(rows) + len(later) == len(PANEL)
    assert known.index.tolist() == ["f0"]
    assert told.index.tolist() == ["f1", "f2"]
    with pytest.raises(ContractError, match="between 0 and 1"):
        split_history(PANEL, FAULTS, 1.0)
