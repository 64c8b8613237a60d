"""Evidence of each kind: it names who it should, says nothing where it is missing, and sees no future."""

import numpy as np
import pandas as pd
import pytest
from shops import LATENCY, START, alarm, shop, slow, topology

from stability.localization import NOBODY, Case, cases, evidence, usual_of, views_of
from stability.schema import ContractError, validate

USUAL = usual_of(shop(200, seed=8))


def case_of(root="cart", rows=5, stretch=(2, 4), **more):
    panel = slow(shop(rows, seed=3), root, 0.08, stretch)
    tables = {"telemetry": panel, "topology": topology(), **more}
    return cases(tables, alarm("a", panel.index.get_level_values(1).max()), history="10h")[0]


def test_every_kind_may_be_missing_and_is_then_not_named():
    table = evidence(case_of(), USUAL)
    assert table.attrs["known"] == ("change", "topology")
    assert table.index[-1] == NOBODY
    assert np.isfinite(table.to_numpy()).all()
    bare = evidence(Case("a", "front", (), START, pd.MultiIndex.from_tuples([("front", ""), ("cart", "")])), USUAL)
    assert bare.attrs["known"] == ()
    assert (bare.iloc[:-1].to_numpy() == 0).all()


def test_no_candidate_is_an_error():
    nobody = pd.MultiIndex.from_arrays([[], []], names=["entity", "metric"])
    with pytest.raises(ContractError, match="a candidate or more"):
        evidence(Case("a", "front", (), START, nobody), USUAL)


@pytest.mark.parametrize("root", ["store", "cart", "search"])
def test_the_root_has_the_largest_own_part_and_its_callers_do_not(root):
    table = evidence(case_of(root), USUAL).droplevel("metric")
    assert table["topology.rank"].idxmax() == root
    assert table.loc[root, "topology.own"] > 0.8
    assert table.loc["front", "topology.own"] < 0.3
    assert table.loc[root, "change.z"] > np.log1p(5)
    assert table.loc["", "none.calm"] < -1


def test_who_moved_first_is_first():
    stamps = shop(60).loc["front"].index
    panel = slow(slow(shop(60, seed=3), "store", 0.08, (45, 60)), "front", 0.2, (52, 60))
    [case] = cases({"telemetry": panel, "topology": topology()}, alarm("a", stamps[-1]), history="10h")
    table = evidence(case, USUAL).droplevel("metric")
    assert table.loc["store", "change.first"] == 1


def test_other_kinds_speak_for_whom_they_name():
    stamps = shop(60).loc["front"].index
    late = stamps[50]
    points = pd.MultiIndex.from_product([["front", "cart"], stamps], names=["entity", "timestamp"])
    score = np.where((points.get_level_values(0) == "cart") & (points.get_level_values(1) >= late), 9.0, 1.0)
    probability = pd.DataFrame({"probability": np.where(points.get_level_values(0) == "cart", 0.9, 0.1)}, index=points)
    states = pd.DataFrame(
        {"timestamp": [stamps[48], stamps[3]], "entity": ["cart", "store"], "name": "v", "value": "2"}
    )
    logs = pd.DataFrame(
        {"timestamp": [stamps[3], late, late], "entity": ["cart", "cart", "store"], "level": "x",
         "message": ["took 3 ms", "disk 7 is full", "took 9 ms"]}
    )  # fmt: skip
    more = {
        "scores": pd.DataFrame({"d": score + np.linspace(0, 0.1, len(score))}, index=points),
        "predictions": probability,
        "states": validate(states, "states"),
        "logs": validate(logs, "logs"),
        "feedback": pd.DataFrame({"timestamp": [late], "entity": ["cart"]}),
        "firings": pd.DataFrame({"rule": ["Slow"], "entity": ["cart"], "start": [late], "failure_mode": ["slow"]}),
    }
    table = evidence(case_of("cart", 60, (48, 60), **more), USUAL).droplevel("metric")
    for column in (
        "detector.score", "prediction.logit", "state.recent", "logs.new", "feedback.messages", "rule.Slow",
    ):  # fmt: skip
        assert table[column].idxmax() == "cart", column
    assert table.loc["store", "logs.new"] == 0  # the same line with another number is not new
    assert set(table.attrs["known"]) >= {"detector", "prediction", "state", "logs", "feedback", "rule"}


def test_candidates_may_be_metrics_that_are_the_topologys_nodes():
    panel = slow(shop(60, seed=3), "cart", 0.08, (45, 60)).loc[["cart"]]
    who = pd.MultiIndex.from_product([["cart"], [LATENCY, "service_requests"]])
    graph = pd.DataFrame({"source": ["service_requests"], "target": [LATENCY], "kind": ["caused_by"]})
    tables = {"telemetry": panel, "topology": validate(graph, "topology")}
    moment = panel.index.get_level_values(1).max()
    [case] = cases(tables, alarm("a", moment, "service_requests", "cart"), history="10h", candidates=who)
    table = evidence(case, USUAL)
    assert table.loc[("cart", LATENCY), "change.rank"] == 1
    assert table.loc[("cart", LATENCY), "topology.reach"] == 1
    assert table.loc[("cart", "service_requests"), "topology.reach"] == 0


def test_the_view_that_others_call_stands_for_a_thing():
    names = ["front", "pay_service", "pay_service::function", "pay_client"]
    index = pd.MultiIndex.from_product([names, [""]], names=["entity", "metric"])
    calls = [("front", "pay_service"), ("pay_service", "pay_service::function"), ("pay_client", "pay_service")]
    graph = validate(pd.DataFrame(calls, columns=["source", "target"]).assign(kind="calls"), "topology")
    assert views_of(index, graph, "^(.+?)_").tolist() == [0, 1, 1, 1]
    assert views_of(index, graph, None).tolist() == [0, 1, 2, 3]
