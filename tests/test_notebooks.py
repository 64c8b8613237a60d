"""Notebooks as their readers change them: any data, any names of them, and what a step writes goes on to the next."""

import json
import shutil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from workbenches import CHECKOUT

from stability.schema import ContractError, read_table
from stability.workbench.tracking import read_metrics

ROWS, HISTORY = 400, 160  # of the noise, and how many of them are 40 %
FAST = {"detector": "mean_shift_global", "against": ["random"], "budgets": []}  # novelty wants days of history
JUDGED = [("03-detect.ipynb", FAST), ("03a-mean-shift.ipynb", {})]


@pytest.fixture
def noise(workbench):
    """Write noise of one entity, with a factor for its later 60 %; gives the option that reads it."""

    def written(factor=1.0):
        stamps = pd.date_range("2026-01-01", periods=ROWS, freq="5min", tz="UTC")
        values = np.random.default_rng(0).normal(size=ROWS) * np.where(np.arange(ROWS) < HISTORY, 1.0, factor)
        path = workbench.folder / "own.csv"
        pd.DataFrame({"timestamp": stamps, "entity": "web-1", "load": values}).to_csv(path, index=False)
        return {"path": str(path)}

    return written


@pytest.fixture
def windows(workbench):
    """Options that label two hours in six of the noise, in history and test part."""
    path = workbench.folder / "windows.csv"
    starts = pd.date_range("2026-01-01T03:00", periods=5, freq="6h", tz="UTC")
    pd.DataFrame({"entity": "web-1", "start": starts, "end": starts + pd.Timedelta("2h")}).to_csv(path, index=False)
    return {"windows": str(path)}


@pytest.fixture
def play(workbench, monkeypatch, noise):
    """Run a notebook's cells, on noise without labels unless told, `until` a name is there; the last with an output."""
    monkeypatch.setattr("matplotlib.rcParams", plt.rcParams.copy())

    def played(notebook, until="", **changed):
        cells = json.loads((CHECKOUT / "notebooks" / notebook).read_text())["cells"]
        codes = [cell for cell in cells if cell["cell_type"] == "code"]
        told = {"dataset": "files", **changed}
        if "options" not in told and told["dataset"] == "files":
            told["options"] = noise()
        names = {}
        for cell in codes if "output" in changed else codes[:-1]:
            exec("".join(cell["source"]).replace("%matplotlib inline", ""), names)
            names |= told if cell["metadata"].get("tags") == ["parameters"] else {}
            if until in names:
                break
        plt.close("all")
        return names

    with pd.option_context("display.precision", 6, "display.max_colwidth", 50):  # the notebooks set their own
        yield played
    plt.close("all")


@pytest.fixture
def folder_of(workbench):
    """A workbench with the recorded sample, and a folder for each step's tables."""
    shutil.copytree(CHECKOUT / "data" / "sample", workbench.folder / "data" / "sample")

    def made(step):
        folder = workbench.folder / "steps" / step
        folder.mkdir(parents=True)
        return folder

    return made


@pytest.mark.parametrize(
    ("notebook", "changed", "meant"),
    [
        ("01-explore.ipynb", {"entity": "web1"}, "web-1"),
        ("02-decompose.ipynb", {"entity": "web1"}, "web-1"),
        ("02-decompose.ipynb", {"metric": "lod"}, "load"),
        ("03-detect.ipynb", {"entity": "web1"}, "web-1"),
        ("03-detect.ipynb", {"metric": "lod"}, "load"),
        ("03-detect.ipynb", {"detector": "rondom"}, "random"),
        ("03-detect.ipynb", {"against": ["random", "novlty"]}, "novelty"),
        ("03-detect.ipynb", FAST | {"policy": {"merg": 600.0}}, "merge"),
        ("03a-mean-shift.ipynb", {"entity": "web1"}, "web-1"),
        ("03a-mean-shift.ipynb", {"metric": "lod"}, "load"),
        ("03a-mean-shift.ipynb", {"detector": "mean_shift_globl"}, "mean_shift_global"),
        ("03a-mean-shift.ipynb", {"method": "tial"}, "tail"),
        ("03b-choose.ipynb", {"candidates": ["difference", "arim"]}, "arima"),
        ("03b-choose.ipynb", {"candidates": ["difference", "pca"], "kinds": ["lvel"]}, "level"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(play, notebook, changed, meant):
    with pytest.raises(ContractError, match=f"did you mean '{meant}'"):
        play(notebook, **changed)


def test_chance_may_be_the_detector_where_nothing_is_labelled(play):
    names = play("03-detect.ipynb", detector="random", against=["mean_shift_global"], budgets=[])
    assert names["rival"] == "mean_shift_global"
    assert names["f1"].isna().all()


def test_the_mean_shift_says_where_nothing_can_be_judged(play):
    names = play("03a-mean-shift.ipynb")
    assert names["judgement"].isna().all(axis=None)
    assert (names["table"]["recall"] == "not enough evidence").all()


@pytest.mark.parametrize(("notebook", "changed"), JUDGED)
def test_windows_are_the_truth_and_thresholds_know_nothing_of_the_test_part(play, noise, windows, notebook, changed):
    calm = play(notebook, until="chosen", **changed)
    loud = play(notebook, until="table", options=noise(50.0) | windows, block="2h", **changed)
    assert calm["chosen"] == loud["chosen"]
    assert (loud["scores"].max() > 2 * calm["scores"].max())[loud["detector"]]
    assert len(loud["truth"]) == 5
    assert loud["judgement"].xs("recall", level="measure")["value"].between(0, 1).all()


def test_the_mean_shift_writes_what_it_found_of_faults(play, folder_of):
    folder = folder_of("mean_shift")
    names = play("03a-mean-shift.ipynb", dataset="sample", output=folder)
    logged = read_metrics(folder)
    assert logged.keys() == {f"mean_shift.{m}" for m in ("recall", "precision", "f1", "false_alarms_per_day", "alarms")}
    assert set(read_table(folder / "scores.parquet", "scores")) == {*names["variants"], "random"}
    assert len(read_table(folder / "alarms.parquet", "alarms")) == sum(len(own) for own in names["raised"].values())


def test_a_choice_is_the_simplest_that_is_not_told_apart_from_the_best(play, folder_of):
    folder, names = folder_of("choose"), ["mean_shift_global", "difference", "arima"]
    easy = {"sizes": [12.0], "kinds": ["level", "spread"], "apart": "11min", "live_rows": 3, "block": "1h"}
    played = play("03b-choose.ipynb", dataset="sample", candidates=names, output=folder, **easy)
    assert played["advised"] == next(name for name in names if name in played["good"])
    assert played["answer"].startswith(f"**For these series: {played['advised']}.**")
    assert played["ceiling"] == 1.0
    logged = read_metrics(folder)
    assert {"choose.f1", "choose.recall_arima", "choose.f1_random", "choose.anomalies"} <= logged.keys()
    found = read_table(folder / "found.parquet")
    assert found["arima"].mean() == pytest.approx(logged["choose.recall_arima"].value)
    assert len(found) == logged["choose.anomalies"].value == len(read_table(folder / "anomalies.parquet"))


def test_where_no_candidate_is_told_from_chance_none_is_advised(play):
    played = play("03b-choose.ipynb", candidates=["mean_shift_global", "difference"], live_rows=3)
    assert not played["sure"]
    assert played["few"].startswith("**None of mean_shift_global, difference is told from chance")


def test_two_steps_are_compared_on_the_same_events(play, folder_of):
    mine, other = "mean_shift_global", "difference"
    policy = {"dataset": "sample", "policy": {"merge": 300.0}, "budgets": [0.3]}
    steps = {}
    for name in (mine, other):
        told = FAST | policy | {"detector": name, "settings": {mine: {"floor": 0.05}}, "output": folder_of(name)}
        steps[name] = play("03-detect.ipynb", **told)
        assert list(steps[name]["costs"][name].index) == [0.3, 1.0]
        assert {"detect.f1", "detect.recall", "detect.alarms"} <= read_metrics(told["output"]).keys()
    assert steps[mine]["fitted"][mine].floor == 0.05
    inputs = {name: str(step["output"]) for name, step in steps.items()}
    with pytest.raises(ContractError, match=f"did you mean '{other}'"):
        play("04-compare.ipynb", dataset="sample", inputs=inputs, headline="diference")
    folder = folder_of("compare")
    names = play("04-compare.ipynb", dataset="sample", inputs=inputs, headline=mine, output=folder)
    assert set(names["words"].index) == {mine, other, "random"}
    for name, step in steps.items():
        assert names["alarms"][name].equals(step["alarms"][name])
    beside = [step["difference"]["random"] for step in (names["pairs"], steps[mine]["compared"]["F1"])]
    assert beside[0] == beside[1]
    logged = read_metrics(folder)
    assert logged["detect.f1"] == logged[f"detect.f1_{mine}"] == read_metrics(steps[mine]["output"])["detect.f1"]


def test_detect_reads_what_was_accepted_for_its_detector_alone(play, noise, workbench):
    change = {"screen": {"intercept": -9.0, "weights": {"load": 0.1}, "loudest": 1e9}}
    told = {"name": "louder", "detector": "mean_shift_global", "change": change}
    (workbench.folder / "accepted.yaml").write_text(json.dumps(told))
    names = play("03-detect.ipynb", until="alarms", options=noise(50.0), accepted="accepted.yaml", **FAST)
    assert set(names["alarms"]["mean_shift_global"]["suppressed_by"]) == {"louder"}
    assert set(names["alarms"]["random"]["suppressed_by"]) <= {""}
    with pytest.raises(ContractError, match="'difference'"):
        play("03-detect.ipynb", until="alarms", accepted="accepted.yaml", **FAST | {"detector": "difference"})
