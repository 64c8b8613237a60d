"""Probabilities that were set right on a later block."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from test_prediction import made, rows

from stability.prediction.calibrated import Calibrated, platt
from stability.prediction.registry import load
from stability.schema import ContractError


class Told:
    """A predictor that says what its column says."""

    def predict(self, features, *, rows=None):
        return features["p"] if rows is None else features["p"][rows]


def block(count=6000, seed=0):
    """Probabilities that are too sure, and what happened."""
    rng = np.random.default_rng(seed)
    true = rng.beta(0.5, 3, size=count)
    odds = np.log(true / (1 - true))
    return pd.DataFrame({"p": 1 / (1 + np.exp(-(2.5 * odds + 1)))}), rng.random(count) < true, true


@pytest.mark.parametrize("method", ["auto", "isotonic", "logistic"])
def test_what_is_too_sure_is_set_right_and_keeps_its_order(method):
    features, happened, _ = block()
    later, _, true = block(seed=1)
    found = Calibrated(Told(), method).fit(features, happened).predict(later)
    assert np.abs(found - true).mean() < 0.02 < np.abs(later["p"] - true).mean()
    order = np.argsort(later["p"].to_numpy(), kind="stable")
    apart = np.diff(later["p"].to_numpy()[order]) > 1e-9
    apart &= np.abs(later["p"].to_numpy()[order][1:] - 0.5) < 0.499  # beyond, what rounding leaves of a rise
    assert (np.diff(found.to_numpy()[order])[apart] > 0).all()


def test_auto_takes_two_numbers_where_faults_are_few():
    features, happened, _ = block(400)
    assert Calibrated(Told()).fit(features, happened).method_ == "logistic"
    assert Calibrated(Told()).fit(*block()[:2]).method_ == "isotonic"
    alike = Calibrated(Told()).fit(features, np.zeros(400, bool))
    pd.testing.assert_series_equal(alike.predict(features), features["p"], check_names=False)


@settings(max_examples=20)
@given(seed=st.integers(0, 99))
def test_two_numbers_are_those_of_the_most_likely_line(seed):
    features, happened, _ = block(2000, seed)
    odds = np.log(features["p"] / (1 - features["p"])).clip(-13, 13).to_numpy()
    plain = LogisticRegression(C=1e9, max_iter=1000).fit(odds[:, None], happened)
    assert platt(odds, happened) == pytest.approx((plain.coef_[0, 0], plain.intercept_[0]), rel=0.05, abs=0.05)


@pytest.mark.parametrize("name", ["logistic", "xgboost"])
def test_it_comes_back_from_disk_as_it_was(name, tmp_path):
    features, happened = rows()
    first = np.arange(len(features)) < 800
    model = Calibrated(made(name).fit(features, happened, rows=first)).fit(features, happened, rows=~first)
    again = load(model.save(tmp_path / "kept"))
    pd.testing.assert_series_equal(again.predict(features), model.predict(features))


def test_what_makes_no_sense_is_refused():
    features, happened, _ = block(50)
    with pytest.raises(ContractError, match="isotonic"):
        Calibrated(Told(), "isotnic")
    with pytest.raises(ContractError, match="none"):
        Calibrated(Told()).fit(features, happened, rows=np.zeros(50, bool))
    with pytest.raises(ContractError, match="fit"):
        Calibrated(Told()).predict(features)
