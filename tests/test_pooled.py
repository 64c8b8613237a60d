"""Predictors that are joined."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from test_prediction import SMALL, rows

from stability.evaluation import average_precision
from stability.prediction.manner import Predictor
from stability.prediction.pooled import HOW, LEAST, MEMBERS, Pooled, _blocks, _stacked
from stability.prediction.registry import PREDICTORS, load
from stability.schema import ContractError

SOME = [{"predictor": "random_forest", "trees": 60}, {"predictor": "xgboost", "trees": 40, "depth": 3}, "logistic"]
QUICK = [{"predictor": "random_forest", "trees": 8}, {"predictor": "xgboost", "trees": 5, "depth": 3}, "logistic"]
every_way = pytest.mark.parametrize("how", HOW)


def fleet(count=1500, seed=0):
    features, happened = rows(count, seed)
    stamps = pd.date_range("2026-01-01", periods=count // 3, freq="h", tz="UTC", unit="us", name="timestamp")
    features.index = pd.MultiIndex.from_product([list("abc"), stamps], names=["entity", "timestamp"])
    return features, happened


@every_way
def test_it_says_a_probability_that_keeps_its_word(how):
    features, happened = rows(4000)
    later, then = rows(4000, seed=1)
    model = Pooled(members=SOME, how=how).fit(features, happened)
    found = model.predict(later)
    assert found.mean() == pytest.approx(then.mean(), abs=0.03)
    single = [member.predict(later) for member in model.models_]
    assert average_precision(found, then) > min(average_precision(one, then) for one in single)
    assert log_loss(then, found) < log_loss(then, single[0]) + 0.01
    for low, high in ((0.0, 0.1), (0.1, 0.3), (0.3, 1.0)):
        own = found.between(low, high).to_numpy()
        assert found[own].mean() == pytest.approx(then[own].mean(), abs=0.05)


@every_way
def test_the_last_rows_in_time_teach_how_to_join_and_others_do_not(how, monkeypatch):
    features, happened = fleet()
    taken = np.arange(len(features)) % 500 < 400
    given_ = []
    learn = Pooled._join
    monkeypatch.setattr(Pooled, "_join", lambda self, odds, labels: (given_.append(labels), learn(self, odds, labels)))
    Pooled(members=QUICK, how=how).fit(features, happened, rows=taken)
    (labels,) = given_
    newest = np.flatnonzero(taken & (np.arange(len(features)) % 500 >= 300))
    assert labels.tolist() == happened[newest].tolist()


def test_no_member_learns_the_block_before_it_is_judged_there(monkeypatch):
    features, happened = fleet()
    taken = np.arange(len(features)) % 500 < 400
    seen = []
    fit = Predictor.fit

    def noted(self, features, happened, *, rows=None):
        seen.append((self.name, np.flatnonzero(rows) % 500))
        return fit(self, features, happened, rows=rows)

    monkeypatch.setattr(Predictor, "fit", noted)
    Pooled(members=["logistic", "time_since"]).fit(features, happened, rows=taken)
    own = {name: [times for other, times in seen if other == name] for name in ("logistic", "time_since")}
    for early, whole in own.values():
        assert early.max() == 279  # 20 of 400 hours lie between
        assert whole.max() == 399


@given(count=st.integers(20, 200), held=st.floats(0.1, 0.5), between=st.floats(0, 0.3), seed=st.integers(0, 99))
def test_blocks_follow_each_other_and_moments_stay_together(count, held, between, seed):
    rng = np.random.default_rng(seed)
    stamps = pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([["a", "b"], stamps], names=["entity", "timestamp"])
    taken = rng.random(len(index)) < 0.8
    early, later = _blocks(index, taken, held, between)
    times = index.get_level_values("timestamp")
    assert not (early & later).any()
    assert not ((early | later) & ~taken).any()
    assert times[early].max() < times[later].min()
    assert later.sum() >= held * taken.sum() - 1
    assert later.sum() <= held * taken.sum() + 3
    assert set(times[taken & ~early & ~later]).isdisjoint({*times[early], *times[later]})


@given(seed=st.integers(0, 999), decimals=st.sampled_from([1, 3, 12]))
def test_ranks_are_shares_of_the_block_below(seed, decimals):
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(200, 2)).round(decimals)
    model = Pooled(how="ranks")
    model._join(odds, rng.random(200) < 0.5)
    found = model._ranks(odds)
    naive = np.column_stack([(rankdata(one) - 0.5) / 200 for one in odds.T])
    assert 1 / (1 + np.exp(-found)) == pytest.approx(naive, abs=1e-9)
    new = rng.normal(size=50) * 3
    said = model._ranks(np.column_stack([new, new]))[:, 0]
    assert (np.diff(said[np.argsort(new)]) > 0).all()
    assert said.min() >= np.log(LEAST)


@settings(max_examples=20)
@given(seed=st.integers(0, 999))
def test_weights_are_those_of_a_logistic_regression_where_none_would_be_below_zero(seed):
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(3000, 2)) * 2
    happened = rng.random(3000) < 1 / (1 + np.exp(1 - odds @ np.array([0.8, 0.3])))
    weights, shift = _stacked(odds, happened)
    plain = LogisticRegression(C=1e6).fit(odds, happened)
    assert weights == pytest.approx(plain.coef_[0], abs=0.02)
    assert shift == pytest.approx(plain.intercept_[0], abs=0.02)
    weights, _ = _stacked(odds * [1, -1], happened)
    assert (weights >= 0).all()
    assert weights[1] < 0.01


def test_members_that_are_alike_share_the_weight():
    features, happened = rows()
    model = Pooled(members=["logistic", "logistic"]).fit(features, happened)
    assert model.weights_[0] == pytest.approx(model.weights_[1], rel=1e-3)


@every_way
def test_a_block_without_faults_joins_evenly(how):
    features, happened = rows()
    happened = happened & (np.arange(len(features)) < 800)
    model = Pooled(members=QUICK, how=how).fit(features, happened)
    assert model.weights_.tolist() == [1 / 3] * 3
    assert model.predict(features).between(0, 1).all()


def test_nets_read_the_rows_before_those_that_are_asked_for():
    features, happened = fleet(600)
    taken = np.arange(len(features)) % 200 < 150
    model = Pooled(members=["logistic", {"predictor": "lstm", **SMALL, "epochs": 5}]).fit(
        features, happened, rows=taken
    )
    asked = np.arange(len(features)) == 370
    near = features.iloc[360:371]
    assert model.predict(near).iloc[-1] == pytest.approx(model.predict(features, rows=asked).iloc[0], rel=1e-9)
    assert model.predict(near).iloc[-1] == pytest.approx(model.predict(features).iloc[370], rel=1e-9)


@every_way
def test_it_comes_back_from_disk_as_it_was(how, tmp_path):
    features, happened = rows()
    model = Pooled(members=QUICK, how=how).fit(features, happened)
    again = load(model.save(tmp_path / "kept"))
    assert again.get_params() == model.get_params()
    pd.testing.assert_series_equal(again.predict(features), model.predict(features), rtol=1e-12)


def test_a_member_that_cannot_learn_is_named():
    features, happened = rows()
    model = Pooled(members=["logistic", "time_since"])
    with pytest.raises(ContractError, match=r"time_since cannot learn.*since"):
        model.fit(features.drop(columns="fault__since__30D"), happened)
    late = happened & (np.arange(len(features)) > 1000)
    with pytest.raises(ContractError, match=r"logistic cannot learn from 840 rows.*rows with and without"):
        model.fit(features, late)


def test_what_makes_no_sense_is_refused():
    for members, said in (
        (["xgboost"], "two or more"),
        (["xgboost", "base_rate"], "logistic"),
        (["xgboost", "pooled"], "logistic"),
        (["xgboost", {"predictor": "logistic", "trees": 3}], "trees"),
        (["xgboost", {"predictor": "logistic", "strength": -1}], "strength"),
    ):
        with pytest.raises(ContractError, match=said):
            Pooled(members=members)
    with pytest.raises(ContractError, match="stacked"):
        Pooled(how="mean")
    with pytest.raises(ContractError, match="leave rows"):
        Pooled(held=0.9, between=0.2)
    assert set(MEMBERS) == set(PREDICTORS) - {"pooled", "base_rate"}
