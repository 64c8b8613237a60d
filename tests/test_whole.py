"""Entities judged as one: the highest probability, and each fault once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability import datasets
from stability.prediction import faults_of_whole, highest
from stability.schema import ContractError, validate

START = pd.Timestamp("2026-01-01", tz="UTC")


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_highest_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    stamps = pd.date_range(START, periods=12, freq="s", unit="us")
    index = pd.MultiIndex.from_product([["a", "b", "c"], stamps], names=["entity", "timestamp"])
    said = pd.Series(np.where(rng.random(36) < 0.2, np.nan, rng.random(36)), index)[rng.random(36) < 0.8]
    whole = highest(said, "all")
    for moment in said.index.unique("timestamp"):
        own = [p for (_, t), p in said.items() if t == moment and p == p]
        assert whole["all", moment] == max(own) if own else np.isnan(whole["all", moment])
    assert whole.index.is_monotonic_increasing


def test_a_fault_that_several_feel_is_one():
    at = lambda *seconds: [START + pd.Timedelta(seconds=s) if s is not None else pd.NaT for s in seconds]  # noqa: E731
    faults = validate(
        pd.DataFrame(
            {
                "fault_id": ["f.gate", "f", "g", "h", "h.gate", "mild", "lone"],
                "entity": ["gate", "db", "db", "app", "gate", "db", "db"],
                "root_entity": ["db", "db", "db", "app", "app", "db", None],
                "failure_mode": ["disk", "disk", "disk", "leak", "leak", "disk", "disk"],
                "cause_start": at(0, 0, 100, 200, 200, 300, None),
                "impact_start": at(9, 7, 110, 220, 215, None, 400),
                "recovered_at": at(30, 40, 130, None, 250, None, 410),
                "severity": [3.0, 8.0, 5.0, 2.0, 4.0, 1.0, 5.0],
            }
        ),
        "faults",
    )
    whole = faults_of_whole(faults, "site").reset_index()
    assert whole["entity"].unique().tolist() == ["site"]
    seconds = (whole["impact_start"] - START).dt.total_seconds()
    assert seconds.tolist()[:4] == [7, 110, 215, 400]
    assert np.isnan(seconds[4])
    over = (whole["recovered_at"] - START).dt.total_seconds()
    assert over.tolist()[:2] == [40, 130]
    assert np.isnan(over[2])  # one of those that felt it has not recovered
    assert whole["severity"].tolist() == [8.0, 5.0, 4.0, 5.0, 1.0]


def test_the_recorded_faults_are_as_many_as_causes():
    faults = datasets.load("testbed", recordings=[1])["faults"]
    whole = faults_of_whole(faults, "service")
    assert len(whole) == faults["cause_start"].nunique() < len(faults)
    assert whole["impact_start"].notna().sum() == faults[faults["impact_start"].notna()]["cause_start"].nunique()


def test_other_frames_are_refused():
    with pytest.raises(ContractError, match="entity and timestamp"):
        highest(pd.Series([0.1], [START]), "site")
