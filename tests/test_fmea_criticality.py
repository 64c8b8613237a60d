"""FMECA criticality: the product of four factors, from hand or record, and their sum by severity."""

import pandas as pd
import pytest

from stability.fmea import criticality, item_criticality, mode_criticality
from stability.schema import ContractError

FELT = pd.Timestamp("2026-01-01", tz="UTC")
RECORD = pd.DataFrame(
    {
        "entity": ["a", "a", "a", "b"],
        "failure_mode": ["leak", "leak", "crash", "leak"],
        "impact_start": [FELT, pd.NaT, FELT, FELT],
    }
)


def test_the_standards_product():
    assert criticality(1e-3, 0.4, 0.5, 1000) == pytest.approx(0.2)  # lambda_p x alpha x beta x t


def test_factors_come_from_the_record():
    told = mode_criticality(RECORD, 10.0, ahead=30.0)
    assert told.loc[("a", "leak")].tolist() == pytest.approx([0.3, 2 / 3, 0.5, 0.3 * 2 / 3 * 0.5 * 30])
    assert told.groupby("entity")["share"].sum().tolist() == pytest.approx([1, 1])
    felt = RECORD["impact_start"].notna().sum()
    assert told["criticality"].sum() == pytest.approx(felt * 30 / 10)  # all impacts of the record, for as long ahead


def test_a_record_without_impacts_is_told_who_felt_it():
    unknown = RECORD.assign(impact_start=pd.NaT)
    assert mode_criticality(unknown, 10.0)["criticality"].sum() == 0
    told = mode_criticality(unknown, 10.0, felt=pd.Series([True, False, True, True]))
    pd.testing.assert_frame_equal(told, mode_criticality(RECORD, 10.0))


def test_what_nobody_says_is_not_taken_to_be_felt():
    with pytest.raises(ContractError, match="nothing of 3"):
        mode_criticality(RECORD, 10.0, felt=pd.Series([True, False, True]))
    with pytest.raises(ContractError, match="rate"):
        criticality(float("nan"), 0.5, 0.5, 1.0)


def test_items_add_up_by_severity():
    told = item_criticality(mode_criticality(RECORD, 10.0), pd.Series({"leak": 6.0, "crash": 8.0}))
    assert told.columns.tolist() == [6, 8]
    assert told.loc["b"].tolist() == pytest.approx([3, 0])
    assert item_criticality(mode_criticality(RECORD, 10.0), pd.Series({"crash": 8.0})).index.tolist() == ["a"]


@pytest.mark.parametrize("wrong", [{"rate": -1}, {"share": 1.1}, {"hurts": -0.1}, {"time": -1}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        criticality(**({"rate": 1, "share": 0.5, "hurts": 0.5, "time": 1} | wrong))


def test_no_time_no_criticality():
    for days, ahead in ((0, 30), (10, 0)):
        with pytest.raises(ContractError, match="above 0"):
            mode_criticality(RECORD, days, ahead=ahead)
