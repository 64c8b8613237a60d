"""Peers' simple methods: examples by hand, slow twins, and that names, columns and the truth decide no tie."""

import math
import statistics

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.localization.baselines import (
    AlarmLookup,
    LabelPrior,
    alarms_of,
    baro,
    chance,
    deviation,
    n_sigma,
    ranked,
    shared_onset,
    time_recency,
)
from stability.localization.cases import Case
from stability.localization.walks import mad_traversal, node_of, page_rank, random_walk
from stability.schema import ContractError, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
METHODS_ON_GRAPHS = [page_rank, random_walk, mad_traversal]


def minute(number):
    return START + pd.Timedelta(minutes=number)


def panel(values):
    """Panel of {entity: {metric: list}}, a row a minute."""
    rows = []
    for entity, metrics in values.items():
        frame = pd.DataFrame(metrics)
        rows.append(frame.assign(entity=entity, timestamp=[minute(i) for i in range(len(frame))]))
    return validate(pd.concat(rows, ignore_index=True), "telemetry")


def topology(*edges, kind="calls"):
    return validate(pd.DataFrame(edges, columns=["source", "target"]).assign(kind=kind), "topology")


def case(candidates, *, name="a", entity="web", metrics=(), at=9, **tables):
    pairs = pd.MultiIndex.from_tuples(candidates, names=["entity", "metric"])
    return Case(name, entity, metrics, minute(at), pairs, tables)


def firings(*names):
    return pd.DataFrame({"entity": "web", "start": START, "rule": list(names)}, columns=["entity", "start", "rule"])


WHOLE = [("web", ""), ("api", ""), ("db", "")]
CALLS = topology(("web", "api"), ("api", "db"), ("web", "cache"))
SLOW_DB = panel({"web": {"x": [1, 2, 1, 2, 9, 9]}, "api": {"x": [1, 2, 1, 2, 1, 2]}, "db": {"x": [1, 2, 1, 2, 90, 90]}})


# --- chance, order of ties ------------------------------------------------------------------------------------------


def test_chance_is_the_same_whatever_the_order_of_candidates_and_another_with_another_seed_or_case():
    one = chance(case(WHOLE))
    pd.testing.assert_series_equal(chance(case(WHOLE[::-1])).reindex(one.index), one)
    assert chance(case(WHOLE), seed=1).tolist() != one.tolist()
    orders = {tuple(ranked(chance(case(WHOLE, name=str(i))), case(WHOLE, name=str(i)))) for i in range(40)}
    assert len(orders) == 6


def test_chance_hits_as_often_as_chance_does():
    hits = [chance(case(WHOLE, name=str(i))).idxmax() == ("db", "") for i in range(600)]
    assert np.mean(hits) == pytest.approx(1 / 3, abs=0.06)


def test_ties_fall_to_no_place_in_the_list():
    flat = [ranked(pd.Series(0.0, case(WHOLE).candidates), case(WHOLE, name=str(i)))[0] for i in range(300)]
    shares = pd.Series(flat).value_counts(normalize=True)
    assert shares.between(0.24, 0.43).all()
    assert len(shares) == 3
    scores = pd.Series([1.0, np.nan, 2.0], case(WHOLE).candidates)
    assert ranked(scores, case(WHOLE)).tolist() == [("db", ""), ("web", ""), ("api", "")]


# --- what labels alone tell -----------------------------------------------------------------------------------------


def test_label_prior_counts_answers_and_shares_a_case_with_several():
    prior = LabelPrior().fit([[("db", "")], [("db", ""), ("api", "")]])
    assert prior(case(WHOLE)).tolist() == [0.0, 0.5, 1.5]
    runs = LabelPrior(by=("metric",)).fit([[("run_1", "pump")]])
    assert runs(case([("run_2", "pump"), ("run_2", "filter")])).tolist() == [1.0, 0.0]


def test_alarm_lookup_knows_sets_and_answers_unseen_ones_by_the_most_alike():
    pairs = [("run", "pump"), ("run", "filter"), ("run", "leak")]
    seen = [
        case(pairs, name="1", firings=firings("a")),
        case(pairs, name="2", firings=firings("a", "b")),
        case(pairs, name="3", firings=firings("a", "b")),
    ]
    truth = {"1": [("x", "pump")], "2": [("x", "filter")], "3": [("x", "leak")]}
    lookup = AlarmLookup(by=("metric",)).fit(seen, truth)
    assert lookup(case(pairs, firings=firings("a"))).tolist() == [1.0, 0.0, 0.0]
    assert lookup(case(pairs, firings=firings("b", "a"))).tolist() == [0.0, 0.5, 0.5]
    assert lookup(case(pairs, firings=firings("b"))).tolist() == [0.0, 0.5, 0.5]  # 1/2 against 0
    assert alarms_of(case(pairs, firings=firings())) == frozenset()
    with pytest.raises(ContractError, match="firings"):
        lookup(case(pairs))
    with pytest.raises(ContractError, match="labelled"):
        AlarmLookup().fit([], {})


# --- deviations -----------------------------------------------------------------------------------------------------


def test_n_sigma_and_baro_by_hand():
    told = case(WHOLE, telemetry=SLOW_DB)
    assert n_sigma(told, minute(4)).tolist() == [15.0, 1.0, 177.0]  # (9 - 1.5) / 0.5
    robust = deviation(told, minute(4))
    assert robust["web", "x"] == pytest.approx(7.5 / (1.0 / 1.349))  # quartiles 1 and 2
    assert shared_onset(SLOW_DB) == minute(4)
    assert baro(told).idxmax() == ("db", "")
    pd.testing.assert_series_equal(baro(told), baro(told, minute(4)))


def test_a_metric_that_never_moved_gets_a_finite_score_and_no_metric_gets_none():
    flat = panel({"web": {"x": [0, 0, 0, 0, 5, 5]}, "db": {"x": [7, 7, 7, 7, 7, 7]}})
    scores = n_sigma(case([*WHOLE, ("web", "y")], telemetry=flat), minute(4))
    assert scores["web", ""] == 1e6
    assert scores["db", ""] == 0
    assert scores[["api", "web"]].loc[[("api", ""), ("web", "y")]].isna().all()


def test_a_moment_outside_the_history_is_an_error():
    for moment in (minute(0), minute(99)):
        with pytest.raises(ContractError, match="before and after"):
            n_sigma(case(WHOLE, telemetry=SLOW_DB), moment)
    with pytest.raises(ContractError, match="before and after"):
        baro(case(WHOLE), minute(1))
    with pytest.raises(ContractError, match="4 moments"):
        shared_onset(panel({"web": {"x": [1, 2, 3]}}))


def slow_deviation(early, late, robust):
    early, late = [v for v in early if not math.isnan(v)], [v for v in late if not math.isnan(v)]
    if not early or not late:
        return math.nan
    if robust:
        middle = statistics.median(early)
        low, high = np.quantile(early, [0.25, 0.75])
        spread = (high - low) / 1.349
    else:
        middle = math.fsum(early) / len(early)
        spread = math.sqrt(math.fsum((v - middle) ** 2 for v in early) / len(early))
    spread = max(spread, 0.01 * abs(middle), 1e-9)
    return min(max(abs(v - middle) / spread for v in late), 1e6)


NUMBERS = st.one_of(st.floats(-1e3, 1e3), st.just(math.nan))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=12), st.data(), st.booleans())
def test_deviations_as_a_slow_twin_computes_them(rows, data, robust):
    cut = data.draw(st.integers(1, len(rows) - 1))
    columns = {"x": [r[0] for r in rows], "y": [r[1] for r in rows]}
    found = deviation(case(WHOLE, telemetry=panel({"web": columns})), minute(cut), robust)
    for name, values in columns.items():
        assert found["web", name] == pytest.approx(
            slow_deviation(values[:cut], values[cut:], robust), nan_ok=True, rel=1e-6
        )


def test_recency_reads_metrics_and_states_and_counts_only_changes():
    states = pd.DataFrame(
        [(minute(1), "web", "valve", "open"), (minute(3), "web", "valve", "shut"), (minute(6), "web", "valve", "shut"),
         (minute(2), "web", "mode", "a")], columns=["timestamp", "entity", "name", "value"],
    )  # fmt: skip
    told = case([("web", "x"), ("web", "valve"), ("web", "mode"), ("db", "")], telemetry=SLOW_DB, states=states)
    late = time_recency(told)
    assert late.iloc[:2].tolist() == [-5 * 60.0, -6 * 60.0]
    assert np.isnan(late["web", "mode"])
    assert late["db", ""] == -5 * 60.0  # a whole entity by its last change: 90 came at minute 4 and stayed
    first = time_recency(told, latest=False)
    assert first.iloc[:2].tolist() == [8 * 60.0, 6 * 60.0]
    assert np.isnan(time_recency(told, since=minute(4))["web", "valve"])
    assert time_recency(case(WHOLE)).isna().all()


# --- walks ----------------------------------------------------------------------------------------------------------


def test_a_candidate_is_its_metric_where_the_graph_is_one_of_metrics():
    graph_of_metrics = case(
        [("run", "pump")], metrics=("alarm",), topology=topology(("alarm", "pump"), kind="caused_by")
    )
    weights = pd.Series([1.0], graph_of_metrics.candidates)
    assert random_walk(graph_of_metrics, weights).notna().all()


def test_walks_go_to_the_cause():
    told = case(WHOLE, telemetry=SLOW_DB, topology=CALLS)
    noise = pd.DataFrame({"level": 1.5, "scale": 0.5}, index=pd.MultiIndex.from_product([["web", "api", "db"], ["x"]]))
    assert page_rank(told).idxmax() == ("db", "")
    assert random_walk(told, restart=0.05, back=0.01).idxmax() == ("db", "")
    # the api does not deviate, so the walk ends at the web; the database comes next by its deviation
    found = mad_traversal(told, noise)
    assert found.rank(ascending=False).tolist() == [1.0, 3.0, 2.0]
    through = panel({name: {"x": [1, 2, 1, 2, 90, 90]} for name in ("web", "api", "db")})
    found = mad_traversal(case(WHOLE, telemetry=through, topology=CALLS), noise)
    assert (found.rank(ascending=False)["db", ""], found.astype(int).tolist()) == (1.0, [1, 1, 2])


@pytest.mark.parametrize("method", METHODS_ON_GRAPHS)
def test_without_a_graph_to_walk_on_a_method_fails_and_does_not_rank_by_columns(method):
    with pytest.raises(ContractError, match="topology"):
        method(case(WHOLE, telemetry=SLOW_DB))
    with pytest.raises(ContractError, match="node"):
        method(case(WHOLE, telemetry=SLOW_DB, topology=topology(("other", "another"))))
    apart = case([("x", ""), ("y", "")], telemetry=SLOW_DB, topology=CALLS)
    with pytest.raises(ContractError, match="nodes of the topology"):
        method(apart)


def test_scores_that_are_all_alike_are_an_error():
    round_trip = case(WHOLE, topology=topology(("web", "api"), ("api", "db"), ("db", "web")))
    with pytest.raises(ContractError, match="alike"):
        page_rank(round_trip, pd.Series(1.0, round_trip.candidates))


@pytest.mark.parametrize("method", METHODS_ON_GRAPHS)
def test_columns_candidates_and_edges_in_another_order_change_nothing(method):
    one = method(case(WHOLE, telemetry=SLOW_DB, topology=CALLS))
    turned = panel({name: {"x": SLOW_DB.loc[name, "x"].tolist()} for name in ("db", "web", "api")})
    other = method(case(WHOLE[::-1], telemetry=turned, topology=CALLS.iloc[::-1]))
    pd.testing.assert_series_equal(other.reindex(one.index), one)


def slow_page_rank(edges, weights, damping=0.85):
    nodes = sorted({n for edge in edges for n in edge})
    total = sum(weights[n] for n in nodes)
    rank = {n: 1 / len(nodes) for n in nodes}
    for _ in range(150):
        lost = sum(rank[n] for n in nodes if not any(s == n for s, _ in edges))
        new = {n: ((1 - damping) + damping * lost) * weights[n] / total for n in nodes}
        for source, target in edges:
            new[target] += damping * rank[source] / sum(s == source for s, _ in edges)
        rank = new
    return rank


def slow_walk(edges, weights, start, back=0.1, restart=0.15):
    nodes = sorted({n for edge in edges for n in edge})
    step = {n: {} for n in nodes}
    for source, target in edges:
        step[source][target] = step[source].get(target, 0) + weights[target]
        step[target][source] = step[target].get(source, 0) + back * weights[source]
    for n in nodes:
        beyond = max([weights[t] for s, t in edges if s == n], default=0)
        step[n][n] = step[n].get(n, 0) + max(0, weights[n] - beyond)
    place = {n: float(n == start) for n in nodes}
    for _ in range(150):
        new = {n: restart * (n == start) for n in nodes}
        for n in nodes:
            for other, weight in step[n].items():
                new[other] += (1 - restart) * place[n] * weight / sum(step[n].values())
        place = new
    return place


@settings(max_examples=20)
@given(
    st.sets(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")).filter(lambda e: e[0] != e[1]), min_size=2),
    st.data(),
)
def test_walks_as_their_slow_twins_compute_them(edges, data):
    nodes = sorted({n for edge in edges for n in edge})
    pairs = [(n, "") for n in nodes]
    told = case(pairs, entity=nodes[0], topology=topology(*sorted(edges)))
    weights = pd.Series(
        data.draw(st.lists(st.floats(0, 20), min_size=len(nodes), max_size=len(nodes))), told.candidates
    )
    slow = {n: math.log1p(weights[n, ""]) + 1e-3 for n in nodes}
    for method, twin in [(page_rank, slow_page_rank(edges, slow)), (random_walk, slow_walk(edges, slow, nodes[0]))]:
        try:
            found = method(told, weights)
        except ContractError:
            assert np.ptp(list(twin.values())) < 1e-9
            continue
        for n in nodes:
            assert found[n, ""] == pytest.approx(twin[n], abs=1e-6)


def test_nodes():
    graph = nx.DiGraph([("web", "db"), ("y", "x")])
    assert [node_of(c, graph) for c in [("web", "x"), ("web", ""), ("other", "z")]] == ["x", "web", None]
