"""What a kind of evidence adds: differences of known size, pairs that belong together, and intervals that cover."""

import numpy as np
import pandas as pd
import pytest

from stability.evaluation import wilson_interval
from stability.evaluation.ablation import ablate, mean_share
from stability.schema import ContractError

RNG = np.random.default_rng(5)
CASES = [f"case_{i}" for i in range(40)]
HITS = pd.Series(RNG.random(40) < 0.9, CASES)


def judge(without):
    """The graph is worth half of the hits, the logs nothing, and noise hides whatever it is worth."""
    if "graph" in without:
        return HITS & (np.arange(40) % 2 == 0)
    if "noise" in without:
        return pd.Series(np.roll(HITS.to_numpy(), 1), CASES)
    return HITS


def test_what_counts_is_told_from_what_does_not():
    table = ablate(judge, ["graph", "logs", "noise"])
    assert table["verdict"].to_dict() == {
        "graph": "adds",
        "logs": "not distinguishable",
        "noise": "not distinguishable",
    }
    assert table.loc["graph", "without"] == pytest.approx(judge(("graph",)).mean())
    np.testing.assert_allclose(table["added"], table["value"] - table["without"])
    assert table.loc["logs", ["added", "lo", "hi"]].tolist() == [0, 0, 0]
    assert (table["p_holm"] >= table["p"]).all()
    harmful = ablate(lambda out: HITS if out else HITS & False, ["graph"])
    assert harmful.loc["graph", "verdict"] == "harms"


def test_the_order_in_which_cases_come_back_does_not_matter():
    table = ablate(lambda out: judge(out).iloc[::-1] if out else judge(out), ["graph", "noise"])
    pd.testing.assert_frame_equal(table, ablate(judge, ["graph", "noise"]))


def test_runs_of_one_scenario_are_drawn_together():
    scenario = pd.Series(np.arange(40) // 4, CASES)
    hits = pd.Series(1.0, CASES)
    less = pd.Series((np.arange(40) // 4 >= 3).astype(float), CASES)  # three whole scenarios are lost
    alone = ablate(lambda out: less if out else hits, ["graph"]).loc["graph"]
    joined = ablate(lambda out: less if out else hits, ["graph"], units=scenario).loc["graph"]
    assert joined["added"] == alone["added"] == pytest.approx(0.3)
    assert joined["hi"] - joined["lo"] > 1.5 * (alone["hi"] - alone["lo"])


def test_weights_are_those_of_the_mean():
    weights = pd.Series(np.where(np.arange(40) < 10, 3.0, 1.0), CASES)
    expected = np.average(HITS, weights=weights)
    assert ablate(judge, ["graph"], weights=weights).loc["graph", "value"] == pytest.approx(expected)


def test_too_few_units_and_other_cases():
    few = ablate(lambda out: HITS.iloc[:3], ["graph"]).loc["graph"]
    assert np.isnan(few["lo"])
    assert few["verdict"] == "not distinguishable"
    with pytest.raises(ContractError, match="same cases"):
        ablate(lambda out: HITS.iloc[:30] if out else HITS, ["graph"])


def test_mean_of_shares():
    alone = mean_share([(7, 10)])
    np.testing.assert_allclose(alone, wilson_interval(7, 10))
    same = mean_share([(7, 10)] * 4)
    assert same.value == pytest.approx(alone.value)
    assert same.hi - same.value == pytest.approx((alone.hi - alone.value) / 2)
    assert mean_share([(3, 3), (0, 5)]).value == pytest.approx(0.5)
    with pytest.raises(ContractError, match="group"):
        mean_share([])


def test_the_interval_of_a_mean_of_shares_covers():
    truth, sizes, inside = (0.95, 0.9, 0.8), (25, 41, 34), 0
    for _ in range(1000):
        found = mean_share([(RNG.binomial(n, p), n) for n, p in zip(sizes, truth, strict=True)])
        inside += found.lo <= np.mean(truth) <= found.hi
    assert 0.92 < inside / 1000 < 0.985
