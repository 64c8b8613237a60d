"""The knowledge graph: what is built from tables, what is answered, that domains do not mix, and GraphML both ways."""

import networkx as nx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import knowledge as kg
from stability.rules import Rule, read_rules
from stability.schema import ContractError, home, validate

RULES = [
    Rule("g", "QueueGrows", "queue_depth > 10 and rate(requests_total[5m]) > 1",
         labels={"failure_mode": "overload", "component": "api", "severity": "page"}),
    Rule("g", "Slow", "latency_seconds > 1 or absent(latency_seconds)", labels={"failure_mode": "slow_dependency"}),
    Rule("g", "Blind", "absent(requests_total)", labels={"failure_mode": "telemetry_loss"}),
]  # fmt: skip


def topology(*edges, kind="calls"):
    return validate(pd.DataFrame(edges, columns=["source", "target"]).assign(kind=kind), "topology")


def worksheet(**modes):
    rows = [
        {"failure_mode": mode, "cause": cause, "playbook": playbook, "controls": controls, "effect": "users wait"}
        for mode, (cause, playbook, controls) in modes.items()
    ]
    return validate(pd.DataFrame(rows), "fmea")


@pytest.fixture(scope="module")
def graph():
    fmea = worksheet(
        overload=("too little capacity; retries", "add_replica; shed_load", "QueueGrows; a look at the wall"),
        slow_dependency=("full disk", "clean_disk", "QueueGrows"),
    )
    calls = topology(("web", "api"), ("api", "db"), ("api", "cache"), ("web", "cdn"))
    metrics = {"api": ["queue_depth", "requests_total"], "db": ["latency_seconds"]}
    return kg.knowledge("shop", topology=calls, metrics=metrics, rules=RULES, fmea=fmea)


def test_what_tables_say_becomes_nodes_and_edges(graph):
    counts = kg.describe(graph).loc["shop"]
    assert counts.to_dict() == {"entity": 5, "metric": 3, "mode": 3, "cause": 3, "rule": 3, "playbook": 3}
    relations = {(graph.nodes[s]["name"], graph.nodes[t]["name"], r) for s, t, r in graph.edges(keys=True)}
    assert ("QueueGrows", "requests_total", "watches") in relations
    assert ("Blind", "requests_total", "guards") in relations
    assert ("Slow", "latency_seconds", "watches") in relations
    assert ("QueueGrows", "api", "on") in relations
    assert ("QueueGrows", "slow_dependency", "indicates") in relations  # a control of the worksheet that is a rule
    assert graph.nodes["shop:mode:overload"]["effect"] == "users wait"


def test_questions(graph):
    assert kg.modes_of(graph, "latency_seconds", "shop") == ["slow_dependency"]
    assert kg.modes_of(graph, "requests_total", "shop") == ["overload", "slow_dependency"]  # not telemetry_loss
    assert kg.metrics_of(graph, "overload", "shop") == ["queue_depth", "requests_total"]
    assert kg.metrics_of(graph, "telemetry_loss", "shop") == []
    assert kg.playbooks_of(graph, "overload", "shop") == ["add_replica", "shed_load"]
    assert kg.dependencies(graph, "web", "shop").to_dict() == {"api": 1, "cdn": 1, "cache": 2, "db": 2}
    assert kg.dependents(graph, "db", "shop").to_dict() == {"api": 1, "web": 2}
    assert kg.dependencies(graph, "cdn", "shop").empty


def test_paths_lead_from_an_alarm_to_causes(graph):
    found = kg.paths(graph, "shop", entity="api", metrics=["queue_depth"])
    steps = found["steps"]
    assert steps["entity", "api"] == steps["metric", "queue_depth"] == 0
    assert steps["entity", "db"] == 1
    assert ("entity", "web") not in steps  # who depends on the alarm's entity is no cause of it
    assert found.loc[("cause", "retries"), "path"] == "queue_depth > QueueGrows > overload > retries"
    assert steps["cause", "retries"] == 3
    assert steps.is_monotonic_increasing
    assert ("playbook", "add_replica") not in steps
    near = kg.paths(graph, "shop", entity="api", metrics=["queue_depth"], longest=1)
    assert near["steps"].max() == 1


def test_a_graph_of_variables():
    edges = topology(("alarm", "level_ok"), ("alarm", "pump_ok"), ("pump_ok", "filter_ok"), kind="caused_by")
    lathe = kg.knowledge("lathe", topology=edges, shows={"leak": ["level_ok"]})
    steps = kg.paths(lathe, "lathe", metrics=["alarm"])["steps"]
    assert steps.to_dict() == {
        ("metric", "alarm"): 0, ("metric", "level_ok"): 1, ("metric", "pump_ok"): 1, ("metric", "filter_ok"): 2,
        ("mode", "leak"): 2,
    }  # fmt: skip
    assert kg.metrics_of(lathe, "leak", "lathe") == ["level_ok"]
    assert kg.causes_of(lathe, "alarm", "lathe") == ["level_ok", "pump_ok"]
    assert kg.causes_of(lathe, "filter_ok", "lathe") == []


def test_domains_do_not_mix(graph):
    before = graph.number_of_nodes()
    both = kg.knowledge(
        "plant", topology=topology(("web", "boiler")), metrics={"web": ["queue_depth"]}, rules=RULES[:1],
        fmea=worksheet(overload=("scale", "descale", "")), graph=graph,
    )  # fmt: skip
    assert graph.number_of_nodes() == before
    for domain in ("shop", "plant"):
        alone = kg.paths(graph if domain == "shop" else both, domain, metrics=["queue_depth"])
        pd.testing.assert_frame_equal(kg.paths(both, domain, metrics=["queue_depth"]), alone)
    assert kg.dependencies(both, "web", "plant").to_dict() == {"boiler": 1}
    assert kg.playbooks_of(both, "overload", "plant") == ["descale"]
    assert not any(both.nodes[s]["domain"] != both.nodes[t]["domain"] for s, t in both.edges())


def test_what_is_not_known_is_an_error_that_lists_what_is(graph):
    with pytest.raises(ContractError, match="queue_depth"):
        kg.paths(graph, "shop", metrics=["queue_dept"])
    with pytest.raises(ContractError, match="no metric in domain 'other'"):
        kg.modes_of(graph, "queue_depth", "other")
    with pytest.raises(ContractError, match="neither"):
        kg.paths(graph, "shop")
    with pytest.raises(ContractError, match="colon"):
        kg.knowledge("a:b", metrics={"x": []})
    with pytest.raises(ContractError, match="kind"):
        kg.node("a", "thing", "x")


def test_graphml_both_ways(graph, tmp_path):
    kg.write_graphml(graph, tmp_path / "k.graphml")
    again = kg.read_graphml(tmp_path / "k.graphml")
    assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True))
    assert set(again.edges(keys=True)) == set(graph.edges(keys=True))
    pd.testing.assert_frame_equal(
        kg.paths(again, "shop", entity="api", metrics=["queue_depth"]),
        kg.paths(graph, "shop", entity="api", metrics=["queue_depth"]),
    )


@pytest.mark.parametrize(
    "text", ["", "no xml", "<graphml></graphml", '<?xml version="1.0"?><svg/>', "\x00\x01"], ids=str
)
def test_files_that_are_no_graph(tmp_path, text):
    (tmp_path / "k.graphml").write_text(text)
    with pytest.raises(ContractError, match=r"k\.graphml"):
        kg.read_graphml(tmp_path / "k.graphml")


def test_graphs_of_another_kind(tmp_path):
    nx.write_graphml(nx.MultiDiGraph([("a", "b")]), tmp_path / "plain.graphml")
    with pytest.raises(ContractError, match="domain:kind:name"):
        kg.read_graphml(tmp_path / "plain.graphml")
    wrong = kg.knowledge("d", metrics={"web": ["up"]})
    wrong.add_edge("d:metric:up", "d:entity:web", key="has", relation="has")
    nx.write_graphml(wrong, tmp_path / "wrong.graphml")
    with pytest.raises(ContractError, match="relation among"):
        kg.read_graphml(tmp_path / "wrong.graphml")
    with pytest.raises(ContractError, match="none"):
        kg.read_graphml(tmp_path / "missing.graphml")


def test_the_rules_that_ship_build_a_graph():
    rules = read_rules(home() / "data" / "rules")
    graph = kg.knowledge("serving", rules=rules)
    assert kg.describe(graph).loc["serving", "rule"] == len(rules)
    for rule in rules:
        if rule.labels.get("failure_mode"):
            assert rule.labels["failure_mode"] in {graph.nodes[n]["name"] for n in graph if ":mode:" in n}


# --- slow twin ------------------------------------------------------------------------------------------------------


def slow_steps(edges, start):
    """Steps by trying all: a node is as far as the nearest node before it, and one more."""
    steps = {start: 0}
    for _ in range(len(edges) + 1):
        for source, target in edges:
            if source in steps and steps.get(target, 1 << 30) > steps[source] + 1:
                steps[target] = steps[source] + 1
    return steps


@given(
    st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")).filter(lambda e: e[0] != e[1]), min_size=1)
)
def test_dependence_as_a_slow_twin_walks_it(edges):
    made = kg.knowledge("d", topology=topology(*sorted(edges)))
    start = min(edges)[0]
    expected = slow_steps(edges, start)
    assert kg.paths(made, "d", entity=start)["steps"].to_dict() == {("entity", n): s for n, s in expected.items()}
    assert kg.dependencies(made, start, "d").to_dict() == {n: s for n, s in expected.items() if n != start}
    back = slow_steps([(t, s) for s, t in edges], start)
    assert kg.dependents(made, start, "d").to_dict() == {n: s for n, s in back.items() if n != start}
