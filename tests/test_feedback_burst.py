"""A burst of feedback: counted when it was known, scored by what came before it, taken by detectors and localizers."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.detection import DETECTORS
from stability.feedback.burst import COUNT, burst_scores, complaints, evidence, feedback_counts
from stability.localization.cases import cases
from stability.schema import ContractError, validate

BEGIN = pd.Timestamp("2026-01-01", tz="UTC")


def grid(rows, *entities):
    stamps = pd.date_range(BEGIN, periods=rows, freq="min")
    return pd.MultiIndex.from_product([entities or ["web"], stamps], names=["entity", "timestamp"])


def said(*sent, entity="web", category="latency"):
    stamps = [BEGIN + pd.Timedelta(minutes=at) for at in sent]
    return pd.DataFrame({"timestamp": pd.DatetimeIndex(stamps), "entity": entity, "category": category})


def test_a_message_counts_from_the_step_that_ends_after_it():
    counts = feedback_counts(said(0.0, 0.5, 1.0, 2.01, 9.5), grid(4), step="1min")
    assert counts.tolist() == [1.0, 2.0, 0.0, 1.0]
    assert counts.name == COUNT


def test_praise_is_no_burst_and_who_names_nobody_counts_for_the_whole():
    feedback = pd.concat([said(0.5), said(0.5, category="praise"), said(0.5, entity=None), said(0.5, entity="gone")])
    counts = feedback_counts(feedback, grid(2, "users", "web"), step="1min", whole="users")
    assert counts.xs("users").tolist() == [0.0, 3.0]
    assert counts.xs("web").tolist() == [0.0, 1.0]
    assert len(complaints(feedback)) == 3


def test_where_nobody_could_write_nothing_is_known_and_gaps_take_no_message_of_another_step():
    index = grid(6)[[0, 1, 4, 5]]
    counts = feedback_counts(said(2.5, 3.5), index, step="1min", observed=(index[1][1], index[3][1]))
    assert np.isnan(counts.iloc[0])
    assert counts.iloc[1:].tolist() == [0.0, 1.0, 0.0]


numbers = st.lists(st.one_of(st.just(math.nan), st.integers(0, 5).map(float)), min_size=1, max_size=40)


@given(numbers, st.integers(1, 6), st.floats(1, 30), st.floats(1, 5))
def test_scores_are_those_of_the_sum_written_out(values, window, half_life, least):
    counts = pd.Series(values, grid(len(values)))
    found = burst_scores(counts, window=window, half_life=half_life, least=least).iloc[:, 0].to_numpy()
    told = [naive.burst_score(values, at, window, half_life, least) for at in range(len(values))]
    np.testing.assert_allclose(found, told, rtol=1e-6, atol=1e-6)


@given(numbers, st.data())
def test_no_score_sees_what_comes_later(values, data):
    index, cut = grid(len(values)), data.draw(st.integers(1, len(values)))
    whole = burst_scores(pd.Series(values, index), window=3, half_life=9.0, least=2.0)
    part = burst_scores(pd.Series(values[:cut], index[:cut]), window=3, half_life=9.0, least=2.0)
    pd.testing.assert_frame_equal(whole.iloc[:cut], part)


def test_steady_feedback_is_none_and_by_chance_a_thousandth_exceeds_three():
    rng = np.random.default_rng(0)
    counts = pd.Series(rng.poisson(0.4, 40_000).astype(float), grid(40_000))
    scores = burst_scores(counts, window=5, half_life=5_000.0).iloc[5_000:, 0]
    beyond = (scores > 3).mean()
    assert 0.0002 < beyond < 0.0015, "a discrete count exceeds it at most as often as it says, up to the learnt rate"


def test_detectors_take_the_counts_as_any_metric():
    rng = np.random.default_rng(1)
    panel = pd.DataFrame({COUNT: rng.poisson(0.3, 600).astype(float)}, grid(600))
    panel.iloc[500:504] = 9.0
    scores = DETECTORS["mean_shift_global"]().fit(panel.iloc[:300]).score(panel.iloc[300:])
    assert scores.idxmax()[1] in set(panel.index[500:504].get_level_values("timestamp"))
    validate(burst_scores(panel[COUNT]), "scores")


def test_localizers_see_complaints_up_to_their_moment():
    panel = validate(pd.DataFrame({"up": 1.0}, grid(30)), "telemetry")
    table = pd.concat([said(3, 5, 20), said(4, category="praise")], ignore_index=True)
    table = table.assign(feedback_id=[f"f{k}" for k in range(4)], channel="app", user=None, text="x", rating=np.nan)
    table = validate(table.assign(alarm_id=None, answered_at=pd.NaT, answer=None), "feedback")
    alarm = {"alarm_id": ["a"], "entity": ["web"], "start": [BEGIN + pd.Timedelta("10min")], "detector": ["d"]}
    frame = table.reset_index().assign(group_id="f0", sure=True)  # a store has further columns
    taken = evidence(frame, {"latency": "slow"})
    assert taken["text"].isna().all()
    (case,) = cases({"telemetry": panel, "feedback": taken}, validate(pd.DataFrame(alarm), "alarms"))
    assert case.get("feedback").index.tolist() == ["f0", "f1"]
    assert case.get("feedback")["category"].tolist() == ["slow", "slow"]
    assert evidence(frame.iloc[:0]).empty


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: feedback_counts(pd.DataFrame({"timestamp": []}), grid(2), step="1min"), "entity"),
        (lambda: feedback_counts(said(1), grid(2), step="0s"), "above 0"),
        (lambda: feedback_counts(said(1), pd.RangeIndex(2), step="1s"), "timestamp"),
        (lambda: burst_scores(pd.Series(-1.0, grid(2))), "whole numbers"),
        (lambda: burst_scores(pd.Series(0.5, grid(2))), "whole numbers"),
        (lambda: burst_scores(pd.Series(np.inf, grid(2))), "whole numbers"),
        (lambda: burst_scores(pd.Series(1.0, grid(2)), window=0), "whole window"),
        (lambda: burst_scores(pd.Series(1.0, grid(2)), half_life=math.nan), "half life"),
        (lambda: burst_scores(pd.Series([1.0])), "entity"),
    ],
)
def test_what_is_no_count_is_refused(call, what):
    with pytest.raises(ContractError, match=what):
        call()
