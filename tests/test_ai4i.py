"""AI4I: the counts of its flags, and that no flag is among the features."""

import csv

import pytest

from stability import datasets
from stability.schema import ContractError


@pytest.fixture(scope="module")
def ai4i(data_mirror):
    return datasets.load("ai4i")


def test_failures_and_modes_are_those_of_the_origin(ai4i):
    failed, modes = ai4i["outcome"]["machine_failure"], ai4i["modes"]
    assert failed.sum() == 339
    assert modes.sum().to_dict() == {
        "tool_wear_failure": 46,
        "heat_dissipation_failure": 115,
        "power_failure": 95,
        "overstrain_failure": 98,
        "random_failure": 19,
    }
    assert (failed & ~modes.any(axis="columns")).sum() == 9
    assert (modes["random_failure"] & ~failed).sum() == 18
    assert len({*ai4i["products"].columns} & {*modes.columns, "machine_failure"}) == 0
    assert all(table.index.equals(modes.index) for table in ai4i.values())


def test_base_units_go_back_to_the_file(ai4i, data_mirror):
    with (data_mirror / "ai4i" / "ai4i2020.csv").open(newline="") as file:
        for row, (udi, product) in zip(csv.DictReader(file), ai4i["products"].iterrows(), strict=True):
            if udi % 97:
                continue
            assert int(row["UDI"]) == udi
            assert (row["Product ID"], row["Type"]) == (product["product_id"], product["type"])
            kelvin = product["machine_air_temperature_celsius"] + 273.15
            assert kelvin == pytest.approx(float(row["Air temperature [K]"]), abs=1e-9)
            assert product["machine_rotation_hertz"] * 60 == pytest.approx(float(row["Rotational speed [rpm]"]))
            assert product["machine_torque_newton_meters"] == float(row["Torque [Nm]"])
            assert product["machine_tool_wear_seconds"] == float(row["Tool wear [min]"]) * 60


def test_it_has_no_telemetry_and_says_so(ai4i):
    with pytest.raises(ContractError, match=r"dataset 'ai4i', expected the table 'telemetry', got only products"):
        ai4i["telemetry"]
    assert "telemetry" not in ai4i
    assert ai4i.get("telemetry") is None
