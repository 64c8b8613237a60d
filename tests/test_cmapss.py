"""C-MAPSS: engines, failures, remaining life, units."""

import numpy as np
import pandas as pd
import pytest

from stability import datasets
from stability.schema import ContractError, metric

START, DAY = pd.Timestamp("2000-01-01", tz="UTC"), pd.Timedelta("1D")


@pytest.fixture(scope="module")
def cmapss(data_mirror):
    return datasets.load("cmapss")


def test_rows_and_engines(cmapss):
    spans = cmapss["parts"].groupby(["name", "part"]).size()
    assert spans.to_dict() == {
        ("FD001", "test"): 100,
        ("FD001", "train"): 100,
        ("FD002", "test"): 259,
        ("FD002", "train"): 260,
    }
    rows = cmapss["telemetry"].groupby(level="entity").size()
    totals = rows.groupby(rows.index.str.rpartition("/").get_level_values(0)).sum()
    assert totals.to_dict() == {
        "FD001/test": 13_096,
        "FD001/train": 20_631,
        "FD002/test": 33_991,
        "FD002/train": 53_759,
    }


def test_remaining_life_and_failures(cmapss, data_mirror):
    rul, faults = cmapss["rul"], cmapss["faults"]
    last = rul.groupby(level="entity").tail(1).droplevel("timestamp")
    told = [int(line) for line in (data_mirror / "cmapss" / "RUL_FD002.txt").read_text().split()]
    assert last.filter(like="FD002/test", axis="index")["cycles"].tolist() == told
    assert (last[last.index.str.contains("/train/")]["cycles"] == 0).all()
    stamps = rul.index.to_frame(index=False)
    until = (faults["impact_start"].reindex(stamps["entity"]).to_numpy() - stamps["timestamp"].to_numpy()) / DAY
    assert (until.astype(float) == rul["cycles"].to_numpy()).all()
    assert (rul["cycles_capped_at_125"] == rul["cycles"].clip(upper=125)).all()
    assert faults.loc["FD001/train/001", "impact_start"] == START + 192 * DAY  # the 192nd cycle is its last
    assert faults["failure_mode"].unique().tolist() == ["hpc_degradation"]


def test_base_units_go_back_to_the_file(cmapss, data_mirror):
    line = (data_mirror / "cmapss" / "train_FD002.txt").read_text().splitlines()[0].split()
    row = cmapss["telemetry"].loc[("FD002/train/001", START + DAY)]
    back = {
        "Cel": lambda x: x * 9 / 5 + 491.67,
        "Pa": lambda x: x / 6894.757293168361,
        "Hz": lambda x: x * 60,
        "kg/s": lambda x: x / 0.45359237,
        "m": lambda x: x / 304.8,
    }
    for value, name, word in zip(row, row.index, line[2:], strict=True):
        known = metric(name)
        factor = back.get(known.unit, lambda x: x)
        origin = value * 100 if name.endswith("_fan_speed_ratio") else factor(value)
        assert origin == pytest.approx(float(word), rel=1e-9, abs=1e-9), name
        assert known.lower is None or value >= known.lower
        assert known.description, f"{name} is not in the registry"


def test_the_cap_is_named_and_may_be_left_out(data_mirror):
    tables = datasets.load("cmapss", subsets="FD001", parts="test", cap=130)
    assert list(tables["rul"]) == ["cycles", "cycles_capped_at_130"]
    assert tables["rul"]["cycles_capped_at_130"].max() == 130
    bare = datasets.load("cmapss", subsets="FD001", parts="test", cap=None)
    assert list(bare["rul"]) == ["cycles"]
    assert set(bare["parts"]["part"]) == {"test"}


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("train", "1 1 " + "0 " * 24 + "\n1 3 " + "0 " * 24 + "\n", r"row 2.*engine 1, cycle 3"),
        ("train", "2 1 " + "0 " * 24 + "\n", "row 1"),
        ("train", "1 1 0 0\n", "26 numbers"),
        ("RUL", "5\n7\n", r"each of 100 test engines.*2 rows"),
        ("RUL", "", "whole table"),
    ],
)
def test_what_is_not_pinned_is_still_looked_at(data_mirror, tmp_path, monkeypatch, kind, content, said):
    """FD003 in the place of a download whose checksum nobody knows."""
    folder = tmp_path / "cache" / "cmapss"
    folder.mkdir(parents=True)
    for name in ("train", "test", "RUL"):
        source = data_mirror / "cmapss" / f"{name}_FD001.txt"
        (folder / f"{name}_FD003.txt").write_bytes(content.encode() if name == kind else source.read_bytes())
    monkeypatch.setenv("STABILITY_DATA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ContractError, match=said):
        datasets.load("cmapss", subsets="FD003")


def test_a_subset_that_was_never_downloaded_names_the_way(data_mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_DATA_CACHE", str(tmp_path))
    with pytest.raises(ContractError, match=r"train_FD004\.txt.*stability data fetch cmapss"):
        datasets.load("cmapss", subsets="FD004")


def test_constant_sensors_are_kept(cmapss):
    alone = cmapss["telemetry"].loc[lambda t: t.index.get_level_values("entity").str.startswith("FD001/train")]
    assert int((alone.max() == alone.min()).sum()) == 7
    assert np.isfinite(cmapss["telemetry"].to_numpy()).all()


def test_the_subsets_that_are_here_are_those_with_all_their_files(data_mirror):
    found = {path.stem.removeprefix("train_") for path in (data_mirror / "cmapss").glob("train_FD*.txt")}
    loaded = datasets.load("cmapss", subsets="here", parts="train")
    assert set(loaded["parts"]["name"]) == found
