"""Judgement of causes: ranks, silence, ties and gains, by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.evaluation import (
    chance_top,
    expected_hits,
    localization_scores,
    log_score_gain,
    specificity,
    top_difference,
    true_ranks,
)
from stability.schema import ContractError, validate

CAUSES = validate(
    pd.DataFrame(
        [
            ("a", 1, "x", "m1", "slow"), ("a", 2, "y", "m1", "dead"), ("a", 3, "y", "m2", "slow"),
            ("b", 1, None, None, None), ("b", 2, "x", "m1", "slow"),
            ("c", 1, "x", "m1", "slow"),
        ],
        columns=["alarm_id", "rank", "entity", "metric", "failure_mode"],
    ),
    "causes",
)  # fmt: skip


def truth(**columns):
    return pd.DataFrame(columns, index=["a", "b", "c", "d"])


def test_ranks_by_entity_metric_and_mode_and_silence_is_a_miss():
    told = truth(
        entity=["y", "x", "x", "x"], metric=["m2", "m1", "m9, m1", None], failure_mode=["slow", "slow", "dead", "slow"]
    )
    assert true_ranks(CAUSES, told).tolist() == [2, np.inf, 1, np.inf]
    assert true_ranks(CAUSES, told, by="metric").tolist() == [3, np.inf, 1, np.inf]
    assert true_ranks(CAUSES, told, by="mode").tolist() == [3, np.inf, np.inf, np.inf]
    with pytest.raises(ContractError, match="entity, metric or mode"):
        true_ranks(CAUSES, told, by="cause")


def test_scores_count_what_they_say():
    ranks = pd.Series([1, 1, 2, 4, np.inf, 1.0])
    scores = localization_scores(ranks, np.array([10, 10, 20, 20, 4, 4]))
    assert scores.top1.value == pytest.approx(3 / 6)
    assert scores.top3.value == pytest.approx(4 / 6)
    assert scores.mrr.value == pytest.approx((1 + 1 + 1 / 2 + 1 / 4 + 0 + 1) / 6)
    assert scores.avg5.value == pytest.approx((1 + 1 + 4 / 5 + 2 / 5 + 0 + 1) / 6)
    assert scores.chance1 == pytest.approx(np.mean([0.1, 0.1, 0.05, 0.05, 0.25, 0.25]))
    assert scores.lift == pytest.approx(0.5 / scores.chance1)
    for estimate in (scores.top1, scores.top3, scores.mrr, scores.avg5):
        assert estimate.lo <= estimate.value <= estimate.hi


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), min_size=1, max_size=7), st.data())
def test_ties_are_broken_as_a_draw_would(numbers, data):
    true = data.draw(st.integers(0, len(numbers) - 1))
    first = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(0)
    own = np.where(np.isnan(numbers), -1.0, numbers)
    draws = [true in np.lexsort((rng.random(len(own)), -own))[:first] for _ in range(2000)]
    assert expected_hits(pd.Series(numbers), true, first) == pytest.approx(np.mean(draws), abs=0.05)


def test_chance_is_capped_by_few_candidates():
    assert chance_top(np.array([2, 10]), 3) == pytest.approx((1 + 0.3) / 2)


def test_silence_is_no_entity_or_no_row():
    assert specificity(CAUSES, pd.Index(["a", "b", "e", "f"])).value == pytest.approx(0.75)


def test_gain_is_in_nats_and_an_impossible_cause_is_dear_but_finite():
    names = list("abcdef")
    prior = pd.Series(0.1, names)
    assert log_score_gain(pd.Series(0.8, names), prior).value == pytest.approx(np.log(8))
    bad = log_score_gain(pd.Series([0.0] + [0.8] * 5, names), prior)
    assert np.isfinite(bad.value)
    assert bad.value < 0.5
    assert log_score_gain(prior, prior).value == 0


def test_the_same_method_differs_by_nothing():
    hits = np.array([1, 0, 1, 1, 0, 1.0])
    same = top_difference(hits, hits)
    assert same.estimate.value == 0
    assert same.p == 1
    better = top_difference(np.ones(20), np.zeros(20))
    assert better.estimate.lo > 0.5
    assert better.p < 0.01
