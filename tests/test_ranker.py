"""The conditional logit against its definition, and what it promises: additivity, signs, few cases."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.localization import ConditionalLogit
from stability.schema import ContractError


def world(seed, cases=30, columns=("a", "b", "noise")):
    rng = np.random.default_rng(seed)
    weights = np.array([2.0, -1.0, 0.0])
    tables, chosen = [], []
    for _ in range(cases):
        x = rng.normal(size=(int(rng.integers(2, 9)), 3))
        p = np.exp(x @ weights)
        tables.append(pd.DataFrame(x, columns=list(columns)))
        chosen.append(int(rng.choice(len(x), p=p / p.sum())))
    return tables, chosen


def surprise(w, tables, chosen, penalty, scale):
    total = penalty * np.sum((w * scale) ** 2) / 2
    for table, row in zip(tables, chosen, strict=True):
        utility = [sum(w[j] * x for j, x in enumerate(own)) for own in table.to_numpy()]
        total -= utility[row] - np.log(sum(np.exp(u) for u in utility))
    return total


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0.1, 1.0, 10.0]))
def test_no_weights_nearby_surprise_less(seed, penalty):
    tables, chosen = world(seed, 12)
    found = ConditionalLogit(penalty).fit(tables, chosen).weights_.to_numpy()
    scale = np.concatenate([table.to_numpy() for table in tables]).std(axis=0)
    best = surprise(found, tables, chosen, penalty, scale)
    for step in itertools.product((-0.05, 0, 0.05), repeat=3):
        assert best <= surprise(found + np.array(step), tables, chosen, penalty, scale) + 1e-3


def test_true_weights_come_back_from_many_cases():
    found = ConditionalLogit(0.1).fit(*world(1, 1500)).weights_
    np.testing.assert_allclose(found, [2, -1, 0], atol=0.25)


def test_probabilities_are_a_softmax_of_additive_terms():
    tables, chosen = world(2)
    ranker = ConditionalLogit().fit(tables, chosen)
    terms = ranker.contributions(tables[0]).sum(axis=1)
    p = np.exp(ranker.log_probabilities(tables[0]))
    np.testing.assert_allclose(p, np.exp(terms) / np.exp(terms).sum())
    assert p.sum() == pytest.approx(1)


def test_a_known_sign_is_kept_whatever_the_cases_say():
    tables, chosen = world(3)
    assert ConditionalLogit(signs={"b": 1}).fit(tables, chosen).weights_["b"] == 0
    assert ConditionalLogit(signs={"b": -1}).fit(tables, chosen).weights_["b"] < 0


def test_what_a_case_lacks_and_what_never_differs_count_for_nothing():
    tables, chosen = world(4)
    constant = [table.assign(constant=1.0) for table in tables]
    ranker = ConditionalLogit().fit([constant[0].drop(columns="b"), *constant[1:]], chosen)
    assert ranker.weights_["constant"] == 0
    assert "b" not in ranker.contributions(tables[0].drop(columns="b"))
    assert ranker.contributions(tables[0].assign(other=9.0)).shape[1] == 3


def test_one_case_is_enough_for_an_answer_and_none_is_an_error():
    tables, chosen = world(5, 1)
    assert np.isfinite(ConditionalLogit().fit(tables, chosen).weights_).all()
    with pytest.raises(ContractError, match="one case or more"):
        ConditionalLogit().fit([], [])
    with pytest.raises(ContractError, match="a row from 0"):
        ConditionalLogit().fit(tables, [99])


def test_it_comes_back_from_plain_numbers():
    tables, chosen = world(6)
    ranker = ConditionalLogit(2.0, {"a": 1}).fit(tables, chosen)
    again = ConditionalLogit.from_dict(ranker.to_dict())
    assert again.weights_.to_dict() == ranker.weights_.to_dict()
    assert again.to_dict() == ranker.to_dict()
