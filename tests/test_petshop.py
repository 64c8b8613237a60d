"""PetShop: cases, split, graph, units and stamps."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from stability import datasets


@pytest.fixture(scope="module")
def petshop(data_mirror):
    return datasets.load("petshop")


def test_cases_and_official_split(petshop):
    cases = petshop["parts"].drop_duplicates("name")
    cases = cases.assign(load=cases["name"].str.split("/").str[0])
    counts = pd.crosstab(cases["part"], cases["load"])
    assert counts.to_dict("index") == {
        part: {"high_traffic": number, "low_traffic": number}
        for part, number in (("normal", 1), ("train", 8), ("test", 18))
    }
    faults = petshop["faults"].join(cases.set_index("name")["part"])
    roots = faults.assign(node=faults["root_entity"].str.split("/", n=1).str[1]).groupby("part")["node"].value_counts()
    assert roots["train"].to_dict() == {"PetSearch_AWS::ECS::Fargate": 16}
    assert sorted(roots["test"]) == [4, 8, 12, 12]
    assert set(faults["failure_mode"]) == {"delay", "error", "request_flood"}
    assert petshop["alarms"]["metrics"].value_counts().to_dict() == {
        "service_latency_seconds_mean": 28,
        "service_availability_ratio": 24,
    }
    assert (petshop["alarms"]["start"] == faults["impact_start"]).all()


def test_a_case_cell_by_cell(petshop, data_mirror):
    folder = data_mirror / "petshop" / "low_traffic" / "test" / "issue_10"
    with (folder / "metrics.csv").open(newline="") as file:
        nodes, metrics, statistics, _, *rows = csv.reader(file)
    names = {
        ("requests", "Sum"): "service_requests",
        ("latency", "Average"): "service_latency_seconds_mean",
        **{("latency", f"p{q}"): f"service_latency_seconds_p{q}" for q in (50, 90, 95, 99)},
        ("availability", "Average"): "service_availability_ratio",
    }
    seen = 0
    for k, node in enumerate(nodes[1:], start=1):
        column = names[metrics[k], statistics[k]]
        for row in rows:
            at = pd.Timestamp(float(row[0]), unit="s", tz="UTC") + pd.Timedelta("5min")
            value = petshop["telemetry"].loc[(f"low_traffic/{node}", at), column]
            expected = float(row[k]) if row[k] else np.nan
            expected *= 0.01 if column == "service_availability_ratio" else 1
            assert value == expected or (np.isnan(value) and np.isnan(expected))
            seen += 1
    assert seen == 5 * 7 * 42
    spans = petshop["parts"][petshop["parts"]["name"] == "low_traffic/test/issue_10"]
    assert len(spans) == 42
    target = json.loads((folder / "target.json").read_text())["target"]["timestamp"]
    assert petshop["faults"].loc["low_traffic/test/issue_10", "impact_start"].timestamp() == target


def test_the_graph_is_row_calls_column(petshop, data_mirror):
    assert (petshop["topology"]["kind"] == "calls").all()
    for load in ("low_traffic", "high_traffic"):
        with (data_mirror / "petshop" / load / "graph.csv").open(newline="") as file:
            head, *rows = csv.reader(file)
        expected = {
            (f"{load}/{row[0]}", f"{load}/{head[k]}") for row in rows for k, cell in enumerate(row) if k and float(cell)
        }
        assert {edge for edge in petshop["topology"].index if edge[0].startswith(load)} == expected
    # Causes travel against the calls: what the front end calls is downstream of it.
    assert ("low_traffic/PetSite", "low_traffic/PetSearch_AWS::ECS::Fargate") in petshop["topology"].index


def test_availability_defeats_a_robust_score_and_normal_data_have_no_issue(petshop):
    normal = petshop["parts"][petshop["parts"]["part"] == "normal"].set_index("entity")
    for load in ("low_traffic", "high_traffic"):
        span = normal.loc[f"{load}/PetSite"]
        front = petshop["telemetry"].loc[f"{load}/PetSite"].loc[span["start"] : span["end"]]
        assert len(front) == 589
        available = front["service_availability_ratio"]
        assert available.median() == 1
        assert (available - 1).abs().median() == 0
        own = petshop["faults"][petshop["faults"]["entity"] == f"{load}/PetSite"]
        assert not own["impact_start"].between(span["start"], span["end"]).any()


def test_stamps_are_ends_of_intervals(petshop):
    """The first row that can hold the fault does; the row before it, which ends before the fault, does not."""
    faults = petshop["faults"].join(petshop["alarms"]["metrics"])
    before, after = [], []
    for row in faults.itertuples():
        series = petshop["telemetry"].loc[row.entity][row.metrics].sort_index()
        spans = petshop["parts"]
        span = spans[(spans["name"] == row.Index) & (spans["entity"] == row.entity)].iloc[0]
        case = series[span["start"] : span["end"]]
        assert len(case) == 5
        worse = -case if row.metrics == "service_availability_ratio" else case
        ended = worse[case.index <= row.impact_start]
        began = worse[case.index >= row.impact_start + pd.Timedelta("5min")]
        before.append(ended.max())
        after.append(began.iloc[:1].item())
    assert np.mean(np.array(after) > np.array(before)) > 0.9


def test_subsets(data_mirror):
    tables = datasets.load("petshop", loads="high_traffic", parts=["train"])
    assert len(tables["faults"]) == 8
    assert len(tables["telemetry"].index.unique("timestamp")) == 40
    normal = datasets.load("petshop", parts="normal", loads="low_traffic")
    assert normal["telemetry"].shape == (589 * 41, 7)
    assert len(normal["faults"]) == len(normal["alarms"]) == 0
