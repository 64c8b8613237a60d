"""SMD: its rows, halves and labels, against plain Python over the same files."""

import csv
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from stability import datasets
from stability.schema import ContractError

MACHINES = {  # train rows, test rows, anomalous rows, segments, lines of interpretation
    "machine-1-6": (23_688, 23_689, 3_708, 30, 30),
    "machine-1-7": (23_697, 23_697, 2_398, 13, 13),
    "machine-2-1": (23_693, 23_694, 1_170, 13, 13),
    "machine-3-3": (23_703, 23_703, 632, 26, 28),
}
START = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def smd(data_mirror):
    return datasets.load("smd")


def test_halves_and_labels_are_those_of_the_origin(smd):
    for machine, (train, test, anomalous, segments, lines) in MACHINES.items():
        own = smd["telemetry"].loc[machine]
        parts = smd["parts"][smd["parts"]["entity"] == machine].set_index("part")
        first, last = parts.loc["test", ["start", "end"]]
        assert len(own[: parts.loc["train", "end"]]) == train
        assert len(own[first:last]) == test == len(own) - train
        windows = smd["windows"][smd["windows"]["entity"] == machine]
        assert len(windows) == segments
        assert sum(len(own[row.start : row.end]) for row in windows.itertuples()) == anomalous
        assert (windows["start"] >= first).all()
        assert (smd["faults"]["entity"] == machine).sum() == lines
    assert smd["faults"].drop(columns="impact_start").select_dtypes("datetimetz").isna().all(axis=None)


def test_the_machines_that_are_here_are_those_with_all_their_files(smd, data_mirror):
    found = sorted(path.stem for path in (data_mirror / "smd" / "ServerMachineDataset" / "test").iterdir())
    assert set(MACHINES) <= set(found)
    assert sorted(datasets.load("smd", machines="here")["telemetry"].index.unique("entity")) == found


def test_row_by_row_as_in_the_files(smd, data_mirror):
    """One machine in plain Python: values, stamps, labels, responsible dimensions."""
    folder = data_mirror / "smd" / "ServerMachineDataset"
    rows = []
    for half in ("train", "test"):
        with (folder / half / "machine-3-3.txt").open() as file:
            rows += [[float(cell) for cell in row] for row in csv.reader(file)]
    own = smd["telemetry"].loc["machine-3-3"]
    assert own.to_numpy().tolist() == rows
    assert [t.to_pydatetime() for t in own.index] == [START + timedelta(minutes=k) for k in range(len(rows))]
    begin = 23_703
    inside = set()
    for row in smd["windows"][smd["windows"]["entity"] == "machine-3-3"].itertuples():
        inside |= {int((t - START).total_seconds() // 60) - begin for t in own[row.start : row.end].index}
    labels = (folder / "test_label" / "machine-3-3.txt").read_text().split()
    assert inside == {k for k, label in enumerate(labels) if label == "1"}
    for k, line in enumerate((folder / "interpretation_label" / "machine-3-3.txt").read_text().split(), start=1):
        fault = smd["faults"].loc[f"machine-3-3#{k}"]
        interval, dimensions = line.split(":")
        assert fault["impact_start"] == START + timedelta(minutes=begin + int(interval.split("-")[0]))
        assert fault["root_metrics"] == ",".join(f"dimension_{int(d):02d}" for d in dimensions.split(","))


def test_a_half_keeps_the_stamps_of_the_whole(smd):
    test = datasets.load("smd", machines="machine-2-1", half="test")
    pd.testing.assert_frame_equal(test["telemetry"].loc["machine-2-1"], smd["telemetry"].loc["machine-2-1"][23_693:])
    assert len(test["windows"]) == 13
    train = datasets.load("smd", machines="machine-2-1", half="train")
    assert train["telemetry"].shape == (23_693, 38)
    assert train["parts"]["part"].tolist() == ["train"]
    assert len(train["windows"]) == len(train["faults"]) == 0


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("test_label", "0\n1\n", "23703 rows of 0 or 1"),
        ("test_label", "2\n" * 23_703, "rows of 0 or 1"),
        ("interpretation_label", "5-9:1,2\n9-5:1\n", r"row 2.*'9-5:1'"),
        ("interpretation_label", "5-9:0\n", "dimensions from 1 to 38"),
        ("interpretation_label", "5-99999:1\n", "rows from 0 to 23703"),
        ("train", "0.1,0.2\n", "38 numbers in each row"),
        ("train", ",".join(["0.5"] * 38) + "\n" + ",".join(["0.5"] * 30) + "\n", "row 2"),
        ("train", ",".join(["0.5"] * 37 + ["x"]) + "\n", "x"),
    ],
)
def test_files_of_another_form_are_refused(data_mirror, tmp_path, monkeypatch, file, content, said):
    """Where the checksum is no help: the form is looked at as well."""
    from stability.datasets import smd as module

    good = module.SOURCE.intact
    bad = tmp_path / "machine-3-3.txt"
    bad.write_text(content)

    class Other:
        registry = module.SOURCE.registry

        @staticmethod
        def intact(name):
            return bad if f"/{file}/" in name else good(name)

    monkeypatch.setattr(module, "SOURCE", Other)
    with pytest.raises(ContractError, match=said):
        module.load("machine-3-3")
