"""Remaining life, judged: the two conventions, NASA's score, intervals over entities, pairs."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.evaluation import NotEnoughEvidence, nasa_score, remaining_difference, remaining_estimates
from stability.schema import ContractError


def lives(values, rows=1):
    names = [f"e{k:03d}" for k in range(len(values) // rows) for _ in range(rows)]
    stamps = pd.date_range("2000-01-01", periods=len(values), tz="UTC", unit="us")
    index = pd.MultiIndex.from_arrays([names, stamps], names=["entity", "timestamp"])
    return pd.Series(np.asarray(values, dtype=float), index)


def naive(predicted, actual, cap=125.0):
    """Row by row, as the definitions say it."""
    found = {"capped": {}, "full": {}, "score": {}}
    for (entity, _), said, was in zip(actual.index, predicted, actual, strict=True):
        said = min(said, cap)
        for kind, life in (("capped", min(was, cap)), ("full", was)):
            found[kind].setdefault(entity, []).append((said - life) ** 2)
        late = said - min(was, cap)
        found["score"].setdefault(entity, []).append(math.exp(late / 10) - 1 if late >= 0 else math.exp(-late / 13) - 1)
    each = {kind: [sum(own) / len(own) for own in by.values()] for kind, by in found.items()}
    root = {kind: math.sqrt(sum(own) / len(own)) for kind, own in each.items() if kind != "score"}
    return root["capped"], root["full"], sum(each["score"])


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_measures_are_those_of_the_definition(seed, rows):
    rng = np.random.default_rng(seed)
    actual = lives(rng.uniform(0, 200, 12 * rows), rows)
    predicted = actual + rng.normal(0, 20, len(actual))
    found = remaining_estimates(predicted, actual, resamples=50)
    capped, full, score = naive(predicted, actual)
    assert found["rmse_capped"].value == pytest.approx(capped)
    assert found["rmse_uncapped"].value == pytest.approx(full)
    assert found["nasa_score"].value == pytest.approx(score)
    assert all(own.lo <= own.value <= own.hi for own in found.values())


def test_promising_too_much_costs_more_than_too_little():
    was = np.full(1, 50.0)
    assert nasa_score(was + 20, was) == pytest.approx(math.exp(2) - 1)
    assert nasa_score(was - 20, was) == pytest.approx(math.exp(20 / 13) - 1)
    assert nasa_score(was, was) == 0


def test_the_cap_cuts_what_was_said_and_by_convention_what_was():
    actual = lives([200.0] * 6)
    found = remaining_estimates(lives([180.0] * 6), actual, cap=125.0)
    assert found["rmse_capped"].value == 0
    assert found["rmse_uncapped"].value == 75


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        actual = lives(rng.uniform(20, 100, 60))
        found = remaining_estimates(actual + rng.normal(0, 10, 60), actual, resamples=400, seed=seed)["rmse_uncapped"]
        held += found.lo <= 10 <= found.hi
    assert 102 <= held <= 119


def test_rows_of_an_entity_are_one_unit():
    rng = np.random.default_rng(0)
    error = np.repeat(rng.normal(0, 10, 30), 20)  # all rows of an entity are wrong by as much
    actual = lives(np.full(600, 60.0), rows=20)
    many = remaining_estimates(actual + error, actual)["rmse_uncapped"]
    one = remaining_estimates(lives(60 + error[::20]), lives(np.full(30, 60.0)))["rmse_uncapped"]
    assert many == pytest.approx(one)


def test_pairs_see_what_single_intervals_cannot():
    rng = np.random.default_rng(1)
    actual, error = lives(rng.uniform(20, 100, 60)), rng.normal(0, 10, 60)
    worse, better = actual + error, actual + 0.9 * error
    single = [remaining_estimates(own, actual)["rmse_capped"] for own in (better, worse)]
    assert single[0].hi > single[1].lo
    found = remaining_difference(better, worse, actual)
    assert found.estimate.hi < 0
    assert found.p < 0.01
    same = remaining_difference(better, better, actual)
    assert same.estimate == (0, 0, 0)
    assert same.p == 1


def test_what_cannot_be_judged_is_refused():
    actual = lives([10.0] * 6)
    with pytest.raises(NotEnoughEvidence):
        remaining_estimates(actual[:4], actual[:4])
    with pytest.raises(ContractError, match="6 rows"):
        remaining_estimates(actual[:5], actual)
    with pytest.raises(ContractError, match="a life for every row"):
        remaining_estimates(actual.where(actual.index != actual.index[2]), actual)
    with pytest.raises(ContractError, match="rmse_capped"):
        remaining_difference(actual, actual, actual, measure="rmse_caped")
    with pytest.raises(ContractError, match="entity"):
        remaining_estimates(actual.droplevel("entity"), actual.droplevel("entity"))
