"""VUS: equal to a twin that takes every width and threshold from all rows, and to published numbers on SMD."""

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from stability.evaluation import (
    NotEnoughEvidence,
    find_length,
    vus_difference,
    vus_interval,
    vus_pr,
    vus_roc,
    vus_scores,
)
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")

# Runs of labels: many short ones, so that widened segments overlap, touch, and reach over both ends.
labelled = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=2, max_size=14).map(
    lambda runs: np.repeat([flag for _, flag in runs], [length for length, _ in runs])
)
kinds = st.sampled_from(["distinct", "ties", "constant", "missing", "infinite", "shifted"])


def scored(labels, kind, seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=len(labels)) + 0.7 * labels
    if kind == "ties":
        scores = scores.round()
    elif kind == "constant":
        scores = np.full(len(labels), 3.25)
    elif kind == "missing":
        scores[rng.random(len(labels)) < 0.3] = np.nan
    elif kind == "infinite":
        scores[rng.random(len(labels)) < 0.2] = np.inf
    elif kind == "shifted":
        scores = np.roll(labels, int(rng.integers(-4, 5))).astype(float)
    return scores


@settings(max_examples=settings().max_examples // 3)
@given(labels=labelled, kind=kinds, window=st.integers(0, 21), seed=st.integers(0, 99))
def test_volumes_equal_the_naive_twin(labels, kind, window, seed):
    scores = scored(labels, kind, seed)
    if labels.all() or not labels.any():
        for measure in (vus_pr, vus_roc):
            with pytest.raises(NotEnoughEvidence, match="both classes"):
                measure(scores, labels, window)
        return
    pr, roc = naive.vus(scores, labels, window)
    assert vus_pr(scores, labels, window) == pytest.approx(pr, abs=1e-9)
    assert vus_roc(scores, labels, window) == pytest.approx(roc, abs=1e-9)
    assert 0 <= pr <= 1 + 1e-9


@pytest.mark.parametrize("gap", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("at", [0, 1, 30])
def test_segments_that_touch_when_widened_equal_the_twin(gap, at):
    labels = np.zeros(60, dtype=bool)
    labels[at : at + 4] = labels[at + 4 + gap : at + 8 + gap] = True
    labels[-1] = True
    scores = scored(labels, "distinct", gap)
    for window in {0, gap - 1, gap, gap + 1, 7}:
        expected = naive.vus(scores, labels, window)
        assert (vus_pr(scores, labels, window), vus_roc(scores, labels, window)) == pytest.approx(expected, abs=1e-9)


def test_more_rows_than_thresholds_equal_the_twin():
    rng = np.random.default_rng(3)
    labels = np.isin(np.arange(4000), np.r_[0:30, 700:760, 790:800, 3000:3300, 3999])
    scores = rng.normal(size=4000) + np.convolve(labels, np.ones(9) / 9, "same")
    expected = naive.vus(scores, labels, 40)
    assert (vus_pr(scores, labels, 40), vus_roc(scores, labels, 40)) == pytest.approx(expected, abs=1e-9)


def test_by_hand():
    # Ten rows, row 4 anomalous, only row 5 predicted at first. Widths 0 and 1 soften nothing; width 2 adds
    # sqrt(1 - 1/2) on either side, so the first row predicted hits .707 of P' = (1 + 1.707)/2.
    labels, scores = np.arange(10) == 4, (np.arange(10) == 5).astype(float)
    ramp = 0.5**0.5
    first = ramp / (1 + ramp / 2)
    everything = 1 + 2 * ramp, 1 + ramp  # TP and P' once all rows are predicted: recall is cut to 1
    ap = first * ramp + (1 - first) * everything[0] / 10
    assert vus_pr(scores, labels, 2) == pytest.approx((0.1 + 0.1 + ap) / 3)


def test_a_good_score_beats_chance_and_a_constant_gets_the_base_rate():
    rng = np.random.default_rng(0)
    labels = np.isin(np.arange(5000), np.r_[400:500, 2000:2050, 4000:4100])
    good, chance = labels + rng.normal(size=5000), rng.normal(size=5000)
    assert vus_pr(good, labels, 0) > 2 * vus_pr(chance, labels, 0)
    assert vus_pr(np.zeros(5000), labels, 0) == pytest.approx(labels.mean())
    assert vus_pr(np.full(5000, np.nan), labels, 0) == pytest.approx(labels.mean())
    # Without softening, and with as many thresholds as rows, VUS-ROC is the ROC area, but for the existence factor.
    one = np.isin(np.arange(200), np.r_[50:60])
    tail = one * 10.0 + rng.normal(size=200)
    assert vus_roc(tail, one, 0) == pytest.approx(roc_auc_score(one, tail), abs=0.01)


def test_abstaining_never_raises_the_volume_of_a_perfect_score():
    labels = np.isin(np.arange(300), np.r_[100:120, 200:230])
    silent = np.where(np.arange(300) < 110, np.nan, labels.astype(float))
    assert vus_pr(silent, labels, 10) < vus_pr(labels.astype(float), labels, 10)


def test_bad_arguments_are_refused():
    labels, scores = np.arange(10) == 4, np.arange(10.0)
    for window in (-1, 2.5, "10", True, None):
        with pytest.raises(ContractError, match="whole number of rows"):
            vus_pr(scores, labels, window)
    with pytest.raises(ContractError, match="True or False"):
        vus_pr(scores, labels.astype(int), 3)
    with pytest.raises(ContractError, match="one for each score"):
        vus_pr(scores[1:], labels, 3)


# --- the window ------------------------------------------------------------------------------------------------------


def test_the_window_is_the_period():
    rng = np.random.default_rng(1)
    for period in (12, 48, 144, 288):
        wave = np.sin(2 * np.pi * np.arange(3000) / period) + rng.normal(0, 0.05, 3000)
        assert abs(find_length(wave) - period) <= 2
    # Holes move the peaks a little, and the one at twice the period may then be the higher one.
    holed = np.where(rng.random(3000) < 0.1, np.nan, np.sin(2 * np.pi * np.arange(3000) / 144))
    assert min(abs(find_length(holed) - 144), abs(find_length(holed) - 288)) <= 2


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, 2.0], [0.1] * 500, [np.nan] * 500, [np.inf] * 9, np.arange(500.0)], ids=str
)
def test_a_series_without_a_period_has_the_default_window(values):
    assert find_length(np.array(values)) == 125


def test_a_period_beyond_the_bounds_has_the_default_window():
    assert find_length(np.sin(2 * np.pi * np.arange(5000) / 350)) == 125
    assert find_length(np.tile([0.0, 1.0, 0.3, -1.0, -0.2], 400)) == 125  # index 2 behind the third lag
    # Only the first 20,000 values count.
    head = np.sin(2 * np.pi * np.arange(20_000) / 60)
    assert find_length(np.concatenate([head, 100 * np.sin(2 * np.pi * np.arange(80_000) / 144)])) == 60


# --- entities -------------------------------------------------------------------------------------------------------


def fleet():
    stamps = pd.date_range(START, periods=200, freq="min", unit="us")
    index = pd.MultiIndex.from_product([["a", "b", "c", "d"], stamps], names=["entity", "timestamp"])
    rng = np.random.default_rng(5)
    labels = pd.Series(np.tile(np.isin(np.arange(200), np.r_[0:5, 190:200]), 4), index=index)
    labels.loc["c"] = False
    labels.loc["d"] = True
    return labels + pd.Series(rng.normal(size=800), index=index), labels


def test_each_entity_is_judged_alone():
    scores, labels = fleet()
    result = vus_scores(scores, labels, {"a": 4, "b": 11, "c": 3, "d": 7, "elsewhere": 9})
    assert result.index.tolist() == ["a", "b", "c", "d"]
    for name, window in (("a", 4), ("b", 11)):
        one, marked = scores.loc[name].to_numpy(), labels.loc[name].to_numpy()
        assert result.loc[name, "vus_pr"] == vus_pr(one, marked, window)
        assert result.loc[name, "vus_roc"] == vus_roc(one, marked, window)
    assert result.loc[["c", "d"], "vus_pr"].isna().all()
    assert result["base_rate"].tolist() == [0.075, 0.075, 0, 1]
    assert result["rows"].tolist() == [200] * 4
    single = vus_scores(scores.loc["a"], labels.loc["a"], 4)
    assert single.loc["default", "vus_pr"] == result.loc["a", "vus_pr"]
    assert vus_scores(scores.iloc[:0], labels.iloc[:0], 4).empty


def test_what_does_not_fit_together_is_refused():
    scores, labels = fleet()
    with pytest.raises(ContractError, match="none for b"):
        vus_scores(scores, labels, {"a": 4})
    with pytest.raises(ContractError, match="index of the scores"):
        vus_scores(scores, labels.iloc[1:], 4)
    with pytest.raises(ContractError, match="sorted"):
        vus_scores(scores.iloc[::-1], labels.iloc[::-1], 4)


# --- published numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "window", "prefix", "on_prefix", "on_train"),
    [("1-7", 64, 737, 0.714, 0.685), ("2-1", 125, 5923, 0.384, 0.214)],
)
def test_smd_scores_are_those_of_tsb_ad(data_mirror, machine, window, prefix, on_prefix, on_train):
    """PCA of 90 % of the variance on z-scores, by its squared error: what TSB-AD's own evaluator gave for it."""
    folder = data_mirror / "smd" / "ServerMachineDataset"
    train, test, label = (
        np.loadtxt(folder / part / f"machine-{machine}.txt", delimiter=",") for part in ("train", "test", "test_label")
    )
    assert find_length(test[:, 0]) == window
    for part, expected in ((test[:prefix], on_prefix), (train, on_train)):
        mean, spread = part.mean(axis=0), np.maximum(part.std(axis=0), 0.01)
        known, judged = (np.clip((x - mean) / spread, -20, 20) for x in (part, test))
        centre = known.mean(axis=0)
        sizes, axes = np.linalg.svd(known - centre, full_matrices=False)[1:]
        kept = axes[: np.searchsorted(np.cumsum(sizes**2) / np.sum(sizes**2), 0.9) + 1]
        error = ((judged - centre - (judged - centre) @ kept.T @ kept) ** 2).sum(axis=1)
        assert vus_pr(error, label == 1, window) == pytest.approx(expected, abs=0.0006)


def test_a_difference_is_taken_in_the_same_drawings():
    """Of a score and one that is a little worse everywhere: far less uncertain than either."""
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_product(
        [["a", "b"], pd.date_range("2026-01-01", periods=600, freq="min", tz="UTC", unit="us")],
        names=["entity", "timestamp"],
    )
    labels = pd.Series(np.arange(1200) % 90 < 12, index=index)
    score = labels + rng.normal(scale=0.8, size=1200)
    worse = score + rng.normal(scale=0.4, size=1200)
    own = {"window": 10, "block": 60, "resamples": 200}
    gap = vus_difference(score, worse, labels, **own)
    one, other = (vus_interval(part, labels, **own) for part in (score, worse))
    assert gap.value == pytest.approx(one.value - other.value)
    assert gap.hi - gap.lo < 0.7 * (one.hi - one.lo)
    assert vus_difference(score, score, labels, **own) == (0, 0, 0)
