"""Rivals: areas compared as plain loops would, pairs corrected for their number, and no model praised by chance."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score

from stability.evaluation import (
    NotEnoughEvidence,
    compare,
    compare_events,
    compare_rankings,
    every_pair,
    pr_auc,
    pr_auc_difference,
    recommend,
    resample_counts,
)
from stability.schema import ContractError

DAYS = pd.date_range("2026-01-01", periods=60, freq="D", tz="UTC", unit="us")


def fleet(entities, days=60):
    return pd.MultiIndex.from_product(
        [[f"m{i:02d}" for i in range(entities)], DAYS[:days]], names=["entity", "timestamp"]
    )


def forecasts(entities=20, noise=(1.0, 1.0, 3.0), seed=0, days=60):
    """Rows of which a sixth came true, and forecasters with so much noise."""
    rng, index = np.random.default_rng(seed), fleet(entities, days)
    truth = pd.Series(rng.random(len(index)) < 1 / 6, index)
    said = {
        f"f{i}": pd.Series(stats.norm.cdf(truth + n * rng.normal(size=len(index))), index) for i, n in enumerate(noise)
    }
    return said, truth


# --- the difference --------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.integers(0, 10_000))
def test_exact_exchange_equals_its_twin(seed):
    rng = np.random.default_rng(seed)
    index = fleet(5, 4)
    one, other = (pd.Series(rng.integers(0, 6, size=20) / 5, index) for _ in range(2))
    truth = pd.Series(rng.random(20) < 0.4, index)
    truth.iloc[[0, 1]] = [True, False]
    found = pr_auc_difference(one, other, truth, unit="entity", resamples=20)
    places = [stats.rankdata(part) for part in (one, other)]
    machine = np.repeat(np.arange(5), 4)
    gaps = []
    for swap in itertools.product([False, True], repeat=5):
        moved = np.array(swap)[machine]
        first, second = np.where(moved, places[1], places[0]), np.where(moved, places[0], places[1])
        gaps.append(average_precision_score(truth, first) - average_precision_score(truth, second))
    assert found.estimate.value == pytest.approx(gaps[0])
    assert found.p == np.mean(np.abs(gaps) >= abs(gaps[0]) - 1e-9)


def test_interval_is_of_the_same_redrawn_units():
    said, truth = forecasts(entities=12)
    found = pr_auc_difference(said["f0"], said["f2"], truth, unit="entity", resamples=50, seed=3).estimate
    gaps = []
    for counts in np.concatenate(list(resample_counts(12, 50, 3))):
        weight = np.repeat(counts, 60)
        gaps.append(np.subtract(*(average_precision_score(truth, said[f], sample_weight=weight) for f in ("f0", "f2"))))
    tail = stats.norm.cdf(-math.sqrt(12 / 11) * stats.t.ppf(0.975, 11))  # expanded for twelve units
    assert [found.lo, found.hi] == pytest.approx(np.quantile(gaps, [tail, 1 - tail]))
    assert found.value == pytest.approx(
        pr_auc(said["f0"], truth).average_precision.value - average_precision_score(truth, said["f2"])
    )


def test_what_is_the_same_order_is_no_difference():
    said, truth = forecasts()
    found = pr_auc_difference(said["f0"], said["f0"] ** 3, truth, resamples=50, permutations=50)
    assert found.estimate == (0.0, 0.0, 0.0)
    assert found.p == 1.0


def test_a_real_difference_is_found_and_p_is_never_zero():
    said, truth = forecasts()
    found = pr_auc_difference(said["f0"], said["f2"], truth)
    assert found.estimate.lo > 0
    assert found.p == 1 / 2001


def test_rivals_without_a_difference_are_called_different_as_rarely_as_promised():
    p, outside = [], 0
    for seed in range(120):
        said, truth = forecasts(entities=15, noise=(1.0, 1.0), seed=seed, days=20)
        found = pr_auc_difference(said["f0"], said["f1"], truth, resamples=200, permutations=200, confidence=0.8)
        p.append(found.p)
        outside += found.estimate.lo > 0 or found.estimate.hi < 0
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert stats.binomtest(outside, 120, 0.2, alternative="greater").pvalue > 0.01


def test_silence_ranks_last():
    said, truth = forecasts()
    hidden = said["f0"].where(~truth)  # says nothing where something came
    assert pr_auc_difference(hidden, said["f2"], truth).estimate.hi < 0
    table = compare_rankings({"loud": said["f2"], "silent": hidden}, truth, "loud")
    assert table.loc["silent", ["verdict", "left_out"]].tolist() == ["worse", 0]


# --- tables ----------------------------------------------------------------------------------------------------------


def test_table_has_the_form_of_compare():
    said, truth = forecasts()
    table = compare_rankings(said, truth, "f2", resamples=200, permutations=200)
    errors = {name: (part - truth) ** 2 for name, part in said.items()}
    brier = compare(errors, "f2", higher_is_better=False, resamples=200, permutations=200)
    assert list(table.columns) == list(brier.columns)
    assert table["verdict"].tolist() == ["better", "better"] == brier["verdict"].tolist()
    assert table.loc["f0", "value"] == pytest.approx(average_precision_score(truth, said["f0"]))
    assert table.loc["f0", "baseline"] == pytest.approx(average_precision_score(truth, said["f2"]))
    assert (table["units"] == 20).all()
    assert (table["cases"] == 1200).all()


def test_every_pair_agrees_with_single_tables_and_is_corrected_for_all():
    said, truth = forecasts(noise=(3.0, 2.5, 1.0, 1.0))
    kept = {"labels": truth, "resamples": 200, "permutations": 300}
    pairs = every_pair(compare_rankings, said, **kept)
    assert list(pairs.index) == [("f1", "f0"), ("f2", "f0"), ("f2", "f1"), ("f3", "f0"), ("f3", "f1"), ("f3", "f2")]
    single = compare_rankings(said, baseline="f0", **kept)
    columns = ["value", "baseline", "difference", "lo", "hi", "p"]
    pd.testing.assert_frame_equal(pairs.xs("f0", level="other")[columns], single[columns], check_names=False)
    assert (pairs["p_holm"] >= pairs["p"]).all()
    assert pairs.loc[("f2", "f0"), "p_holm"] == pytest.approx(6 / 301)
    assert pairs.loc[("f2", "f0"), "verdict"] == "better"
    few = every_pair(compare_rankings, said, **kept | {"permutations": 100})  # 6 / 101 is not small enough any more
    assert (few["verdict"] == "not distinguishable").all()


def test_every_pair_takes_other_comparisons():
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(rng.normal(size=(12, 3)), columns=list("abc"))
    assert len(every_pair(compare, scores, resamples=50, permutations=50, higher_is_better=False)) == 3
    hours = pd.date_range("2026-01-01", periods=480, freq="h", tz="UTC", unit="us")
    windows = pd.DataFrame({"entity": "default", "start": hours[10::24], "end": hours[14::24]})
    alarms = {"all": windows, "half": windows[::2]}
    panel = pd.Series(1.0, index=hours)
    pairs = every_pair(compare_events, alarms, windows=windows, observed=panel, measure="recall", resamples=50)
    assert pairs.loc[("half", "all"), "difference"] == -0.5


def test_few_units_are_no_evidence():
    said, truth = forecasts(entities=4)
    table = compare_rankings(said, truth, "f0", unit="entity")
    assert (table["verdict"] == "not enough evidence").all()
    assert (table["units"] == 4).all()
    with pytest.raises(NotEnoughEvidence):
        pr_auc_difference(said["f0"], said["f1"], truth, unit="entity")
    assert (compare_rankings(said, truth & False, "f0")["verdict"] == "not enough evidence").all()
    with pytest.raises(NotEnoughEvidence, match="nothing to recommend"):
        recommend(compare_rankings(said, truth & False, "f0").assign(baseline=math.nan), list(said))


def test_bad_input_is_named():
    said, truth = forecasts(entities=6)
    with pytest.raises(ContractError, match="baseline"):
        compare_rankings(said, truth, "f9")
    with pytest.raises(ContractError, match="labels"):
        compare_rankings(said, truth[:-1], "f0")
    with pytest.raises(ContractError, match="f1"):
        compare_rankings(said | {"f1": said["f1"][:-1]}, truth, "f0")
    with pytest.raises(ContractError, match="probabilities"):
        compare_rankings(said["f0"], truth, "f0")
    with pytest.raises(ContractError, match="two or more"):
        every_pair(compare_rankings, {"f0": said["f0"]}, labels=truth)
    with pytest.raises(ContractError, match="permutations"):
        pr_auc_difference(said["f0"], said["f1"], truth, permutations=0)


# --- the recommendation ----------------------------------------------------------------------------------------------


def against(chosen, values, apart):
    """A table of all others against the chosen one: `apart` says which ones differ."""
    rows = {}
    for name, value in values.items():
        gap = value - values[chosen]
        verdict = ("better" if gap > 0 else "worse") if name in apart else "not distinguishable"
        row = {"value": value, "baseline": values[chosen], "difference": gap, "lo": gap - 0.01, "hi": gap + 0.02}
        rows[name] = row | {"p": 0.01, "p_holm": 0.03, "verdict": verdict, "units": 30}
    return pd.DataFrame.from_dict(rows, orient="index").drop(chosen)


VALUES = {"logistic": 0.3, "forest": 0.52, "xgboost": 0.57, "lstm": 0.6}
ORDER = list(VALUES)


def test_the_chosen_one_is_taken_where_it_is_better_than_all_simpler_ones():
    found = recommend(against("lstm", VALUES, ORDER[:3]), ORDER)
    assert (found.name, found.chosen) == ("lstm", "lstm")
    assert "better than that of every simpler model" in found.sentence
    told = "nearest comes xgboost with 0.57, difference +0.03 (+0.01 to +0.04), p = 0.03 after Holm over 3 comparisons"
    assert told in found.sentence


def test_the_simplest_that_is_not_distinguishable_is_taken():
    found = recommend(against("lstm", VALUES, ["logistic"]), ORDER)
    assert (found.name, found.chosen) == ("forest", "lstm")
    assert "simplest that is not worse than lstm" in found.sentence
    assert "0.52 and 0.6, difference -0.08 (-0.09 to -0.06)" in found.sentence


def test_a_simpler_one_that_is_better_is_taken_and_a_complex_one_is_named():
    found = recommend(against("xgboost", VALUES | {"forest": 0.9}, ["logistic", "forest", "lstm"]), ORDER)
    assert found.name == "forest"
    assert "did better" not in found.sentence
    found = recommend(against("xgboost", VALUES, ORDER), ORDER)
    assert found.name == "xgboost"
    assert "On the test lstm did better still (0.6)" in found.sentence


def test_what_is_simplest_needs_no_excuse():
    found = recommend(against("logistic", VALUES, []), ORDER)
    assert (found.name, found.chosen) == ("logistic", "logistic")
    assert "it is the simplest" in found.sentence


def test_of_errors_less_is_better():
    errors = {name: -value for name, value in VALUES.items()}
    table = against("lstm", errors, ["logistic", "forest", "xgboost"])
    table["verdict"] = "worse"  # as `compare` says it of errors
    found = recommend(table, ORDER, measure="RMSE", higher_is_better=False)
    assert found.name == "lstm"
    assert "nearest comes xgboost" in found.sentence


def test_a_model_without_a_value_is_not_recommended():
    table = against("lstm", VALUES, [])
    table.loc["logistic", "value"] = math.nan
    assert recommend(table, ORDER).name == "forest"
    table = against("lstm", VALUES, []).assign(verdict="not enough evidence")
    found = recommend(table, ORDER)
    assert found.name == "logistic"
    assert "not enough evidence to compare them (30 units)" in found.sentence


def test_an_order_that_does_not_fit_is_named():
    table = against("lstm", VALUES, [])
    for order in (ORDER[:3], ORDER[1:], [*ORDER, "gru"], [*ORDER, "lstm"]):
        with pytest.raises(ContractError, match="order"):
            recommend(table, order)
