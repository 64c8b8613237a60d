"""Comparisons: intervals that cover, tests that keep their level, Holm, and words that follow from the numbers."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from stability.evaluation import (
    NotEnoughEvidence,
    compare,
    compare_events,
    comparison_sentences,
    event_scores,
    event_sums,
    holm,
    paired_difference,
    resample_counts,
)
from stability.schema import ContractError, empty

START = pd.Timestamp("2026-01-01", tz="UTC")


def mean(sums):
    return sums[..., 0] / sums[..., 1]


def as_sums(values):
    return np.column_stack([values, np.ones(len(values))])


# --- Holm ------------------------------------------------------------------------------------------------------------


@given(p=st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p):
    assert holm(np.array(p)) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


def test_holm_passes_over_what_could_not_be_compared():
    assert holm(np.array([0.02, np.nan, 0.01])).tolist() == [0.02, pytest.approx(np.nan, nan_ok=True), 0.02]
    assert np.isnan(holm(np.array([np.nan]))).all()
    assert holm(np.array([])).size == 0
    with pytest.raises(ContractError, match="between 0 and 1"):
        holm(np.array([1.5]))


# --- pairs -----------------------------------------------------------------------------------------------------------


@given(values=st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=5, max_size=8))
def test_all_exchanges_of_few_units_are_tried(values):
    one, other = np.array(values).round(3).T
    p = paired_difference(as_sums(one), as_sums(other), mean, resamples=20).p
    seen = abs(math.fsum(one - other))
    flips = [abs(math.fsum(sign * (one - other))) for sign in map(np.array, product([1, -1], repeat=len(one)))]
    assert p == pytest.approx(np.mean([flip >= seen - 1e-7 for flip in flips]))


def test_many_units_agree_with_scipy():
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.25, 1, 40), rng.normal(0, 1, 40)
    found = paired_difference(as_sums(one), as_sums(other), mean, resamples=20_000, permutations=20_000)
    p = stats.permutation_test(
        (one, other),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        rng=2,
    ).pvalue
    assert found.p == pytest.approx(p, abs=0.015)
    # Forty units: the expanded percentiles are Student's limits, nearly.
    limits = stats.ttest_rel(one, other).confidence_interval()
    assert found.estimate[1:] == pytest.approx((limits.low, limits.high), abs=0.05)
    assert found == paired_difference(as_sums(one), as_sums(other), mean, resamples=20_000, permutations=20_000)


def test_the_interval_is_of_expanded_percentiles_of_resampled_units():
    rng = np.random.default_rng(3)
    one, other = (np.column_stack([rng.integers(0, 5, 9), rng.integers(5, 9, 9)]) for _ in range(2))
    found = paired_difference(one, other, mean, resamples=500, seed=4)
    drawn = []
    for counts in np.concatenate(list(resample_counts(9, 500, 4))):
        rows = np.repeat(np.arange(9), counts)
        drawn.append(mean(one[rows].sum(axis=0)) - mean(other[rows].sum(axis=0)))
    tail = stats.norm.cdf(-math.sqrt(9 / 8) * stats.t.ppf(0.975, 8))
    assert found.estimate[1:] == pytest.approx(np.quantile(drawn, [tail, 1 - tail]))
    assert tail < 0.01  # plain percentiles would be at .025


@pytest.mark.parametrize("units", [8, 20])
@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_intervals_cover_as_often_as_they_say(units, shape):
    rng = np.random.default_rng(units)
    covered = []
    for seed in range(400):
        hard = rng.normal(size=units)  # what makes a unit hard for both must not widen the interval
        noise = rng.normal(size=units) if shape == "normal" else rng.exponential(size=units) - 1
        found = paired_difference(
            as_sums(10 * hard + 0.5 + noise), as_sums(10 * hard), mean, resamples=800, permutations=10, seed=seed
        )
        covered.append(found.estimate.lo <= 0.5 <= found.estimate.hi)
    least = 0.925 if shape == "normal" else 0.88  # of twenty exponential values Student's interval covers 92 %
    assert least <= np.mean(covered) <= 0.985


@pytest.mark.parametrize("trials", [50, pytest.param(150, marks=pytest.mark.soak)])
def test_no_false_verdict_more_often_than_one_time_in_twenty(trials):
    """Six methods that are alike: any "better" or "worse" is false, and Holm bounds the chance of a single one."""
    rng = np.random.default_rng(9)
    wrong = uncorrected = 0
    for seed in range(trials):
        scores = pd.DataFrame(rng.normal(size=(12, 6)) + rng.normal(size=(12, 1)), columns=list("abcdef"))
        table = compare(scores, "a", resamples=400, permutations=400, seed=seed)
        wrong += table["verdict"].isin(["better", "worse"]).any()
        uncorrected += (table["p"] <= 0.05).any()
    assert wrong / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)
    assert uncorrected / trials > 0.1


# --- compare --------------------------------------------------------------------------------------------------------


def scores_of(units=20, seed=0):
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=units)
    small = 0.1 * rng.normal(size=(units, 3))
    index = pd.Index([f"host-{i}" for i in range(units)], name="entity")
    columns = {
        "base": hard,
        "good": hard + 0.5 + small[:, 0],
        "bad": hard - 0.5 + small[:, 1],
        "alike": hard + small[:, 2],
    }
    return pd.DataFrame(columns, index=index)


def test_verdicts_follow_the_numbers_and_their_direction():
    table = compare(scores_of(), "base")
    assert table["verdict"].to_dict() == {"good": "better", "bad": "worse", "alike": "not distinguishable"}
    assert compare(scores_of(), "base", higher_is_better=False)["verdict"].tolist()[:2] == ["worse", "better"]
    assert (table["value"] - table["baseline"]).to_numpy() == pytest.approx(table["difference"].to_numpy())
    assert table["p_holm"].tolist() == holm(table["p"]).tolist()
    assert ((table["lo"] <= table["difference"]) & (table["difference"] <= table["hi"])).all()
    pd.testing.assert_frame_equal(table, compare(dict(scores_of().items()), "base"))
    words = comparison_sentences(table, "base", "VUS-PR")
    assert words[0].startswith("good is better than base by VUS-PR: difference +0.5")
    assert words[2].startswith("alike is not distinguishable from base")


def test_a_method_is_not_distinguishable_from_itself_nor_on_five_units():
    same = compare(scores_of().assign(copy=lambda frame: frame["base"]), "base").loc["copy"]
    assert (same["difference"], same["lo"], same["hi"], same["p"]) == (0, 0, 0, 1)
    assert same["verdict"] == "not distinguishable"
    five = compare(scores_of(units=5), "base").loc["good"]
    assert five["lo"] > 0
    assert five["p"] == 2 / 32
    assert five["verdict"] == "not distinguishable"


def test_few_units_are_said_not_guessed():
    table = compare(scores_of(units=4), "base")
    assert table["verdict"].eq("not enough evidence").all()
    assert table[["difference", "lo", "hi", "p", "p_holm"]].isna().all(axis=None)
    assert "not enough evidence" in comparison_sentences(table, "base")[0]
    scores = scores_of()
    scores.loc[scores.index[4:], "good"] = np.nan
    mixed = compare(scores, "base")
    assert mixed["verdict"].tolist() == ["not enough evidence", "worse", "not distinguishable"]
    assert mixed["p_holm"].tolist()[1:] == holm(mixed["p"].iloc[1:]).tolist()


def test_cases_without_a_score_are_left_out_of_their_pair_and_counted():
    scores = scores_of()
    scores.iloc[:3, 1] = np.nan
    table = compare(scores, "base")
    assert table.loc["good", ["cases", "left_out", "units"]].tolist() == [17, 3, 17]
    assert table.loc["good", "baseline"] == pytest.approx(scores["base"].iloc[3:].mean())
    assert table.loc["bad", ["cases", "left_out"]].tolist() == [20, 0]


def test_rows_of_one_entity_are_drawn_together():
    wide = scores_of(units=12)
    stamps = pd.date_range(START, periods=50, freq="min", unit="us")
    index = pd.MultiIndex.from_product([wide.index, stamps], names=["entity", "timestamp"])
    rows = pd.DataFrame(np.repeat(wide.to_numpy(), 50, axis=0), index=index, columns=wide.columns)
    one, many = compare(wide, "base"), compare(rows, "base")
    assert many["units"].tolist() == [12] * 3
    columns = ["difference", "lo", "hi", "p"]
    assert many[columns].to_numpy() == pytest.approx(one[columns].to_numpy())
    events = rows.set_axis(
        pd.MultiIndex.from_arrays([index.get_level_values(0), range(600)], names=["entity", "event"])
    )
    assert compare(events, "base")["units"].tolist() == [12] * 3
    assert compare(events.loc[["host-0", "host-1"]], "base")["units"].tolist() == [100] * 3
    assert compare(events.loc[["host-0", "host-1"]], "base", unit="entity")["verdict"].eq("not enough evidence").all()
    assert compare(rows.loc[["host-0"]], "base", block="5min")["units"].tolist() == [10] * 3


def test_what_cannot_be_compared_is_refused():
    scores = scores_of()
    with pytest.raises(ContractError, match="base"):
        compare(scores, "bse")
    with pytest.raises(ContractError, match="two or more"):
        compare(scores[["base"]], "base")
    with pytest.raises(ContractError, match="two or more"):
        compare(pd.concat([scores, scores], axis=1), "base")
    with pytest.raises(ContractError, match="index of the other"):
        compare({"base": scores["base"], "good": scores["good"].iloc[1:]}, "base")
    with pytest.raises(ContractError, match="block"):
        compare(scores.reset_index(drop=True), "base", unit="block")
    with pytest.raises(NotEnoughEvidence):
        paired_difference(np.ones((4, 2)), np.ones((4, 2)), mean)
    with pytest.raises(ContractError, match="shape"):
        paired_difference(np.ones((9, 2)), np.ones((8, 2)), mean)


# --- events ---------------------------------------------------------------------------------------------------------


def frame(rows):
    names, starts, ends = zip(*rows, strict=True) if rows else ((), (), ())
    at = [START + pd.to_timedelta(np.array(part, dtype="int64"), unit="s") for part in (starts, ends)]
    return pd.DataFrame({"entity": pd.Series(names, dtype="str"), "start": at[0], "end": at[1]})


def detected(size=12):
    names = [f"host-{i:02d}" for i in range(size)]
    stamps = pd.date_range(START, periods=288, freq="5min", unit="us")
    observed = pd.Series(0.0, index=pd.MultiIndex.from_product([names, stamps], names=["entity", "timestamp"]))
    events = [(name, start, start + 1800) for name in names for start in (20_000, 60_000)]
    false = [(name, 40_000, 41_000) for name in names]
    return frame(events), observed, {"all": frame(events), "half": frame(events[::2] + false), "none": empty("alarms")}


def test_event_sums_add_up_to_the_scores():
    windows, observed, alarms = detected()
    sums = event_sums(alarms["half"], windows, observed, block="6h")
    scores = event_scores(alarms["half"], windows, observed)
    assert sums.index.names == ["entity", "timestamp"]
    assert len(sums) == 12 * 4
    for name in ("events", "found", "alarms", "true_alarms"):
        assert sums[name].sum() == scores[name]
    assert sums["observed"].sum() == pytest.approx(scores["observed_days"] * 86_400)
    assert sums["alarmed"].sum() / sums["free"].sum() == pytest.approx(scores["alarmed_share"])
    assert sums.loc[("host-03", START + pd.Timedelta("12h")), ["events", "alarms"]].tolist() == [1, 0]


@pytest.mark.parametrize("measure", ["f1", "recall", "precision", "false_alarms_per_day"])
def test_event_measures_are_compared_as_they_are_scored(measure):
    windows, observed, alarms = detected()
    table = compare_events(alarms, windows, observed, "half", measure=measure)
    for name in ("all", "half", "none"):
        shown = table.loc[name, "value"] if name != "half" else table.loc["all", "baseline"]
        assert shown == pytest.approx(event_scores(alarms[name], windows, observed)[measure], nan_ok=True)
    assert table.loc["all", "verdict"] == "better"
    assert table.loc["all", ["units", "cases"]].tolist() == [12, 24]
    silent = {"f1": "worse", "recall": "worse", "precision": "not enough evidence", "false_alarms_per_day": "better"}
    assert table.loc["none", "verdict"] == silent[measure]


def test_few_entities_are_compared_by_day_and_unknown_measures_refused():
    windows, observed, alarms = detected(size=2)
    table = compare_events(alarms, windows, observed, "half", block="2h")
    assert table.loc["all", "units"] == 24
    # An alarm that begins before the record stands in a block of its own, which changes no difference.
    early = alarms | {"early": frame([("host-00", -90_000, 900)])}
    more = compare_events(early, windows, observed, "half", block="2h").loc["all"]
    assert more["difference"] == table.loc["all", "difference"]
    assert more["units"] == 25
    with pytest.raises(ContractError, match="recall"):
        compare_events(alarms, windows, observed, "half", measure="recal")
    with pytest.raises(ContractError, match="half"):
        compare_events(alarms, windows, observed, "hlf")
