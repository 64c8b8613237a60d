"""Marks by hand: kept as fault records, once each, by several hands at once."""

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from stability.schema import ContractError, home, read_table, validate
from stability.workbench.marks import mark, marks, unmark

T = pd.Timestamp("2026-01-01T10:00", tz="UTC")
MINUTE = pd.Timedelta("1min")


@pytest.fixture(autouse=True)
def _own_home(workbench):
    return workbench


def test_a_mark_is_a_fault_record_of_the_dataset():
    assert marks("mine").empty
    kept = mark("mine", "web-1", T, T + 5 * MINUTE, "memory_leak")
    pd.testing.assert_frame_equal(kept, validate(kept, "faults"))
    row = kept.iloc[0]
    assert (row["entity"], row["impact_start"], row["recovered_at"]) == ("web-1", T, T + 5 * MINUTE)
    assert (row["failure_mode"], row["source"]) == ("memory_leak", "marked by hand")
    pd.testing.assert_frame_equal(read_table(home() / "marks" / "mine.parquet", "faults"), kept)
    assert marks("other").empty


def test_the_same_begin_again_replaces_and_a_mark_can_be_taken_back():
    mark("mine", "web-1", T, T + MINUTE)
    mark("mine", "web-2", T, T + MINUTE)
    kept = mark("mine", "web-1", T.tz_convert("Asia/Tokyo"), T + 3 * MINUTE, "disk_full")
    assert len(kept) == 2
    mine = kept[kept["entity"] == "web-1"]
    assert mine["recovered_at"].tolist() == [T + 3 * MINUTE]
    assert marks("mine").equals(kept)
    assert unmark("mine", mine.index[0])["entity"].tolist() == ["web-2"]


def test_what_cannot_be_is_refused():
    with pytest.raises(ContractError, match="time zone"):
        mark("mine", "web-1", T.tz_localize(None), T)
    with pytest.raises(ContractError, match="from 2026"):
        mark("mine", "web-1", T, T - MINUTE)
    with pytest.raises(ContractError, match="nobody"):
        unmark("mine", "nobody")
    assert marks("mine").empty


@pytest.mark.parametrize(
    "name", ["../../../tmp/evil", "..", "a/b", "a\\b", "/tmp/evil", "a..b", "a b", "", "a\n", None]
)
def test_a_name_leads_nowhere_else(name, workbench):
    for call in (
        lambda: mark(name, "web-1", T, T + MINUTE),
        lambda: marks(name),
        lambda: unmark(name, "mark"),
    ):
        with pytest.raises(ContractError, match="name of a dataset"):
            call()
    assert not (home() / "marks").exists()
    assert len(mark("smd-1.2_x", "web-1", T, T + MINUTE)) == 1


def test_several_hands_lose_nothing():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: mark("mine", f"web-{k}", T, T + MINUTE), range(12)))
    assert len(marks("mine")) == 12
