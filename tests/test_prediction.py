"""What every predictor does alike, walked over the registry."""

import functools
import json
import pickle

import numpy as np
import pandas as pd
import pytest

from stability.prediction.registry import PREDICTORS, load
from stability.schema import ContractError

every_predictor = pytest.mark.parametrize("name", PREDICTORS)
NETS = ("lstm", "convolution")
QUICK = {"random_forest": {"trees": 40}, "gradient_boosting": {"trees": 40}, "xgboost": {"trees": 40}}
SMALL = {"window": 4, "hidden": 8, "epochs": 40, "patience": 10, "rate": 0.01, "device": "cpu"}
QUICK |= dict.fromkeys(NETS, SMALL)
QUICK["pooled"] = {"members": [{"predictor": "random_forest", "trees": 40}, {"predictor": "xgboost", "trees": 40}]}


def rows(count=1200, seed=0):
    """Features of which three matter, one is constant and one mostly unknown, and what happened."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(rng.normal(size=(count, 4)), columns=["load", "heat", "queue", "noise"])
    features["fault__since__30D"] = rng.exponential(1e5, size=count)
    features["constant"] = 3.0
    features["rare"] = np.where(rng.random(count) < 0.9, np.nan, 1.0)
    features.loc[::7, "queue"] = np.nan
    odds = 2 * features["load"] + features["heat"] - features["fault__since__30D"] / 2e5 - 2
    return features, (rng.random(count) < 1 / (1 + np.exp(-odds))).to_numpy()


def made(name, **settings):
    return PREDICTORS[name](**QUICK.get(name, {}) | settings)


@functools.cache
def learnt(name):
    """One that has learnt from `rows()`, for tests that only ask it."""
    return made(name).fit(*rows())


@every_predictor
def test_probabilities_are_probabilities_and_their_mean_is_about_the_base_rate(name):
    features, happened = rows()
    found = learnt(name).predict(features)
    assert found.index.equals(features.index)
    assert found.dtype == "float64"
    assert found.between(0, 1).all()
    assert found.mean() == pytest.approx(happened.mean(), abs=0.05)


@pytest.mark.parametrize("name", [name for name in PREDICTORS if name not in ("base_rate", "time_since")])
def test_what_matters_is_found(name):
    later, then = rows(seed=1)
    found = learnt(name).predict(later)
    assert found[then].mean() > found[~then].mean() + 0.15


@every_predictor
def test_equal_seeds_give_equal_numbers_and_the_input_stays(name):
    features, happened = rows()
    before = features.copy()
    one, two = (made(name).fit(features, happened).predict(features) for _ in range(2))
    pd.testing.assert_series_equal(one, two)
    pd.testing.assert_frame_equal(features, before)


@every_predictor
def test_a_feature_without_any_value_in_the_training_part_is_no_obstacle(name):
    features, happened = rows()
    first = np.arange(len(features)) < 800
    features = features.assign(never=np.nan, late=np.where(first, np.nan, 1.0))
    found = made(name).fit(features, happened, rows=first).predict(features, rows=~first)
    assert found.between(0, 1).all()


@every_predictor
def test_columns_may_come_in_another_order_and_others_beside_them(name):
    features, _ = rows()
    model = learnt(name)
    turned = features[features.columns[::-1]].assign(another=1.0)
    pd.testing.assert_series_equal(model.predict(turned), model.predict(features))
    taken = np.arange(len(features)) == 25
    alone = model.predict(features.iloc[10:26] if name in NETS else features.iloc[[25]]).iloc[-1]
    assert alone == pytest.approx(model.predict(features).iloc[25], rel=1e-12)
    assert alone == pytest.approx(model.predict(features, rows=taken).iloc[0], rel=1e-12)
    assert model.predict(features.iloc[:0]).empty
    with pytest.raises(ContractError, match="load"):
        model.predict(features.drop(columns="load"))


@every_predictor
def test_only_the_rows_of_the_training_part_are_learnt_from(name):
    features, happened = rows()
    taken = np.arange(len(features)) < 800
    model = made(name).fit(features, happened, rows=taken)
    turned = np.where(taken, happened, ~happened)
    again = made(name).fit(features, turned, rows=taken)
    pd.testing.assert_series_equal(model.predict(features), again.predict(features))
    assert model.base_rate_ == happened[:800].mean()
    with pytest.raises(ContractError, match="1200 of True or False"):
        made(name).fit(features, happened, rows=taken[:-1])


@every_predictor
def test_it_comes_back_from_disk_as_it_was(name, tmp_path):
    features, happened = rows()
    features.attrs["fitted_on"] = {"entities": ["a"], "until": "2026-01-01T00:00:00+00:00"}
    model = made(name).fit(features, happened)
    folder = model.save(tmp_path / "kept")
    again = load(folder)
    assert again.get_params() == model.get_params()
    assert (again.features_, again.base_rate_, again.fitted_on_) == (model.features_, happened.mean(), model.fitted_on_)
    pd.testing.assert_series_equal(again.predict(features), model.predict(features), rtol=1e-12)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(ContractError, match="not there yet"):
        model.save(folder)


@every_predictor
def test_labels_that_teach_nothing_are_refused(name):
    features, happened = rows(50)
    for wrong in (np.zeros(50, bool), np.ones(50, bool), happened[:40], happened.astype(float)):
        with pytest.raises(ContractError, match="labels"):
            made(name).fit(features, wrong)
    with pytest.raises(ContractError, match="heat"):
        made(name).fit(features.assign(heat=np.inf), happened)
    with pytest.raises(ContractError, match="fit"):
        made(name).predict(features)


@every_predictor
def test_a_damaged_folder_is_refused(name, tmp_path):
    features, happened = rows(200)
    folder = made(name).fit(features, happened).save(tmp_path / "kept")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ContractError):
            load(folder)
        path.write_bytes(whole)
    with pytest.raises(ContractError, match="a predictor"):
        load(tmp_path / "nowhere")


def test_code_in_a_folder_is_not_run(tmp_path):
    features, happened = rows(200)
    folder = made("random_forest").fit(features, happened).save(tmp_path / "kept")

    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    (folder / "model.skops").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ContractError):
        load(folder)
    said = json.loads((folder / "predictor.json").read_text())
    (folder / "predictor.json").write_text(json.dumps(said | {"predictor": "os.system"}))
    with pytest.raises(ContractError, match="predictor"):
        load(folder)
