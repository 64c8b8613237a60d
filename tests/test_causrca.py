"""causRCA: runs, all five times of a fault, units, and the last value held."""

import csv

import numpy as np
import pandas as pd
import pytest

from stability import datasets
from stability.datasets.causrca import NAMES

START = pd.Timestamp("2000-01-01", tz="UTC")
RUN = "hydraulics/exp_14/run_2"


@pytest.fixture(scope="module")
def causrca(data_mirror):
    """One run with a fault and some without; `test_datasets` reads all 270."""
    return datasets.load("causrca", runs=[RUN, "normal/2*", "normal/3*"])


def test_a_run_change_by_change(causrca, data_mirror):
    folder = data_mirror / "causrca" / "data" / "dig_twin" / "exp_hydraulics" / "exp_14" / "run_2"
    with next(folder.glob("faultDataset*.csv")).open(newline="") as file:
        rows = list(csv.DictReader(file))
    own, states = causrca["telemetry"].loc[RUN], causrca["states"]
    states = states[states["entity"] == RUN]
    words = [row for row in rows if row["node"] not in NAMES]
    assert states["name"].tolist() == [row["node"] for row in words]
    assert states["value"].tolist() == [row["value"] for row in words]
    assert own.notna().to_numpy().sum() == len(rows) - len(words)
    for row in rows:
        if row["node"] in NAMES:
            column, factor = NAMES[row["node"]]
            at = START + pd.Timedelta(round(float(row["time_s"]) * 1e6), unit="us")
            assert own.loc[at, column] == float(row["value"]) * factor


def test_the_grid_holds_the_last_value_and_nothing_later(data_mirror):
    grid = datasets.load("causrca", runs=RUN, step="1s")["telemetry"].loc[RUN]
    folder = data_mirror / "causrca" / "data" / "dig_twin" / "exp_hydraulics" / "exp_14" / "run_2"
    with next(folder.glob("faultDataset*.csv")).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(np.diff(grid.index.asi8)) == {np.diff(grid.index.asi8)[0]}
    held = {}
    pending = list(rows)
    flags = {"True": 1.0, "False": 0.0}
    for at in grid.index:
        now = (at - START).total_seconds()
        while pending and float(pending[0]["time_s"]) <= now:
            row = pending.pop(0)
            if row["node"] in NAMES:
                held[NAMES[row["node"]][0]] = float(row["value"]) * NAMES[row["node"]][1]
            elif row["value"] in flags:
                held[row["node"]] = flags[row["value"]]
        known = grid.loc[at].dropna().to_dict()
        assert known == held
    assert "Prog_Name" not in grid  # words stay states


def test_speeds_are_per_minute_whatever_the_origin_says(causrca):
    """Position moves as fast as the speed says only if that is mm per minute."""
    ratios = []
    for entity in causrca["parts"].loc[causrca["parts"]["part"] == "normal", "entity"][:30]:
        own = causrca["telemetry"].loc[entity]
        place = own["machine_axis_position_meters__axis_z"].dropna()
        speed = own["machine_axis_speed_meters_per_second__axis_z"].dropna()
        step = np.diff(place.index.as_unit("ns").asi8) / 1e9
        moved = np.diff(place) / step
        told = speed.reindex(place.index[1:] - pd.Timedelta("1ms"), method="ffill").to_numpy()
        clear = (step > 0.5) & (step < 2.5) & (np.abs(moved) > 5e-4) & (np.abs(told) > 0)
        ratios += list((told / moved)[clear])
    assert len(ratios) > 300
    assert np.median(ratios) == pytest.approx(1, abs=0.05)
    assert causrca["telemetry"]["machine_axis_rotation_hertz__axis_c"].abs().max() < 100


def test_subsets(data_mirror):
    coolant = datasets.load("causrca", runs=["coolant/exp_22/*", "normal/286*"])
    assert coolant["parts"]["part"].value_counts()["fault"] == 6
    assert coolant["telemetry"].index.unique("entity").size == len(coolant["parts"])
    assert coolant["faults"]["root_metrics"].unique().tolist() == ["HP_Pump_Ok,LT_Level_Ok"]
