"""azure_pdm: failures by component, stamps at which a day is known, events of both rates."""

import pandas as pd
import pytest

from stability import datasets

DAY = pd.Timedelta("1D")


@pytest.fixture(scope="module")
def daily(data_mirror):
    return datasets.load("azure_pdm")


@pytest.fixture(scope="module")
def hourly(data_mirror):
    return datasets.load("azure_pdm", rate="hourly")


def test_counts_are_those_of_the_origin(daily, hourly):
    assert daily["telemetry"].shape == (36_500, 4)
    assert hourly["telemetry"].shape == (43_200, 4)
    modes = daily["faults"]["failure_mode"].value_counts().to_dict()
    assert modes == {"comp1": 192, "comp2": 259, "comp3": 131, "comp4": 179}
    assert len(daily["logs"]) == 3_919
    assert (daily["states"]["name"] == "replaced").sum() == 3_286
    assert daily["states"]["name"].value_counts()[["model", "age_years"]].tolist() == [100, 100]
    assert len(hourly["faults"]) == 42
    hours = daily["faults"]["impact_start"].dt.hour.value_counts().to_dict()
    assert hours == {6: 743, 3: 18}
    # Two components may fail at one moment: a label by moment merges them.
    assert daily["faults"].duplicated(["entity", "impact_start"]).sum() == 42


def test_a_day_is_stamped_when_it_is_known(daily, hourly):
    """Each daily row is the mean of the 24 readings that end at its stamp."""
    rolled = hourly["telemetry"].groupby(level="entity").rolling(24).mean().droplevel(0)
    stamps = daily["telemetry"].index.intersection(rolled.dropna().index)
    assert len(stamps) == 20 * 89
    difference = (daily["telemetry"].loc[stamps] - rolled.loc[stamps]).abs().max(axis=None)
    assert difference < 1e-9
    first = daily["telemetry"].loc["001"].index[[0, -1]]
    assert first.tolist() == [pd.Timestamp("2015-01-02T06:00Z"), pd.Timestamp("2016-01-01T06:00Z")]


def test_hourly_is_a_prefix_of_the_fleets_record(daily, hourly):
    end = hourly["telemetry"].index.get_level_values("timestamp").max()
    own = daily["faults"][(daily["faults"]["entity"] <= "020") & (daily["faults"]["impact_start"] <= end)]
    pd.testing.assert_frame_equal(own, hourly["faults"])


def test_most_replacements_after_failure_are_the_label(daily):
    replaced = daily["states"][daily["states"]["name"] == "replaced"]
    at_failure = daily["faults"].merge(
        replaced,
        left_on=["entity", "impact_start", "failure_mode"],
        right_on=["entity", "timestamp", "value"],
    )
    assert len(at_failure) == 743


def test_machines_by_number_or_pattern(data_mirror):
    for machines in (7, "7", "007", [7], ["007"]):
        assert datasets.load("azure_pdm", machines=machines)["telemetry"].index.unique("entity").tolist() == ["007"]
    some = datasets.load("azure_pdm", machines=["1?", 100])
    assert some["telemetry"].index.unique("entity").size == 11
    assert set(some["faults"]["entity"]) <= {*(f"0{k}" for k in range(10, 20)), "100"}
