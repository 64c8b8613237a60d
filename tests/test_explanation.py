"""Contributions add up to the prediction, are Shapley values where trees say so, and can be read by a person."""

import itertools
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from test_prediction import made, rows

from stability.prediction.by_mode import ByMode
from stability.prediction.calibrated import Calibrated
from stability.prediction.explanation import explain, importance
from stability.prediction.explanation.shapley import shapley_values, trees_of
from stability.prediction.floors import Logistic
from stability.prediction.hazard import Hazard
from stability.prediction.registry import PREDICTORS
from stability.prediction.trees import GradientBoosting, XGBoost
from stability.schema import ContractError

NETS = ("lstm", "convolution")
NO_SUM = ("radius_neighbours",)
EXPLAINED = [name for name in (*PREDICTORS, ByMode.name) if name not in NO_SUM]
every_explained = pytest.mark.parametrize("name", EXPLAINED)
FEW = 60


def said(found):
    total = found.attrs["base"] + found.sum(axis=1)
    return total if found.attrs["scale"] == "probability" else 1 / (1 + np.exp(-total))


def by_turns(happened):
    """Labels of three failure modes, of which the last never comes."""
    turn = np.arange(len(happened)) % 2 == 0
    return pd.DataFrame({"disk": happened & turn, "fan": happened & ~turn, "pump": np.zeros(len(turn), dtype=bool)})


# ---- the registry ----------------------------------------------------------------------------------------------------
@cache
def fitted(name):
    """A predictor, the rows that it was fitted on, and what it says of the first of them and why."""
    features, happened = rows(600)
    if name == ByMode.name:
        model = ByMode().fit(features, by_turns(happened))
    else:
        model = made(name, **({"epochs": 15} if name in NETS else {})).fit(features, happened)
    return model, features, explain(model, features.iloc[:FEW])


@every_explained
def test_contributions_and_base_make_the_prediction(name):
    model, features, found = fitted(name)
    part = features.iloc[:FEW]
    assert list(found.columns) == model.features_
    assert found.index.equals(part.index)
    assert found.notna().all(axis=None)
    tolerance = {"xgboost": 1e-5, "convolution": 3e-3, "lstm": 3e-3}.get(name, 1e-12)
    np.testing.assert_allclose(said(found), model.predict(part), atol=tolerance)


@pytest.mark.parametrize("name", NO_SUM)
def test_what_is_no_sum_says_so(name):
    features, happened = rows(200)
    with pytest.raises(ContractError, match=r"RadiusNeighbours.*no sum.*Remedy"):
        explain(made(name).fit(features, happened), features)


@every_explained
def test_some_rows_are_explained_as_among_all(name):
    model, features, whole = fitted(name)
    part = features.iloc[:FEW]
    taken = np.arange(FEW) % 20 == 7
    some = explain(model, part, taken)
    pd.testing.assert_frame_equal(some, whole[taken], atol=1e-12 if name not in NETS else 0.01)
    turned = part[part.columns[::-1]].assign(another=1.0)
    pd.testing.assert_frame_equal(explain(model, turned, taken), some, atol=1e-12)
    none = explain(model, part, np.zeros(FEW, dtype=bool))
    assert none.shape == (0, features.shape[1])
    assert none.attrs["base"] == pytest.approx(whole.attrs["base"], abs=1e-5)
    with pytest.raises(ContractError, match="load"):
        explain(model, part.drop(columns="load"))


@pytest.mark.parametrize("name", [name for name in EXPLAINED if name not in ("base_rate", "time_since")])
def test_what_matters_contributes_most_and_a_constant_nothing(name):
    table = importance(fitted(name)[2])
    assert table.index[0] == "load"
    assert "heat" in table.index[:3]
    assert table.loc["constant", "size"] == pytest.approx(0.0, abs=1e-9)
    assert table["share"].sum() == pytest.approx(1.0)


# ---- trees -----------------------------------------------------------------------------------------------------------
def known_to(tree, row, known):
    """What a tree says of a row of which only some features are known, node by node."""

    def below(node):
        if tree.left[node] < 0:
            return tree.value[node]
        feature, sides = tree.feature[node], (tree.left[node], tree.right[node])
        if feature in known:
            missing, low = tree.missing_left[node], row[feature] <= tree.threshold[node]
            return below(sides[0] if (missing if math.isnan(row[feature]) else low) else sides[1])
        return sum(tree.share[side] * below(side) for side in sides)

    return below(0)


def by_all_subsets(trees, row):
    """Shapley's formula as it stands."""
    found, count = np.zeros(len(row)), len(row)
    for a, b in itertools.pairwise(trees.starts):
        tree = trees._replace(**{name: getattr(trees, name)[a:b] for name in trees._fields[1:-3]})
        for i in range(count):
            others = [k for k in range(count) if k != i]
            for size in range(count):
                weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                for known in itertools.combinations(others, size):
                    gain = known_to(tree, row, {*known, i}) - known_to(tree, row, set(known))
                    found[i] += weight * gain
    return found


def some_rows(seed, count=120, features=4):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(count, features)) * 8) / 8  # alike in float32
    happened = values[:, 0] * values[:, 1] + values[:, 2] + 0.3 * rng.normal(size=count) > 0
    values[rng.random(values.shape) < 0.1] = np.nan
    return values, happened


MODELS = {
    "forest": lambda seed: RandomForestClassifier(3, min_samples_leaf=2, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingClassifier(
        max_iter=3, max_leaf_nodes=12, min_samples_leaf=3, max_features=0.7, random_state=seed
    ),
}


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 10_000))
def test_trees_get_the_shapley_values_of_the_formula(name, seed):
    values, happened = some_rows(seed)
    trees = trees_of(MODELS[name](seed).fit(values, happened))
    found = shapley_values(trees, values[:3])
    expected = [by_all_subsets(trees, row) for row in values[:3]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def boosted(values, happened, **changes):
    frame = pd.DataFrame(values, columns=[f"f{k}" for k in range(values.shape[1])])
    return XGBoost(**{"trees": 30, "depth": 4, "leaf": 0.1} | changes).fit(frame, happened), frame


def test_they_are_those_that_xgboost_gives_for_its_own_trees():
    values, happened = some_rows(5, count=400, features=6)
    model, frame = boosted(values, happened)
    trees = trees_of(model.model_)
    theirs = explain(model, frame)
    np.testing.assert_allclose(shapley_values(trees, values), theirs, atol=2e-5)
    assert trees.base == pytest.approx(theirs.attrs["base"], abs=2e-5)


def test_a_deep_path_with_one_feature_again_and_again_is_no_trouble():
    values = np.linspace(0, 1, 257)[:, None] * [1.0, 1.0]
    happened = np.arange(257) % 2 == 0
    model = RandomForestClassifier(2, max_features=None, random_state=0).fit(values, happened)
    trees = trees_of(model)
    found = shapley_values(trees, values)
    np.testing.assert_allclose(trees.base + found.sum(axis=1), model.predict_proba(values)[:, 1], atol=1e-10)


def test_a_tree_of_one_leaf_says_its_value_of_every_row():
    values, happened = some_rows(1)
    trees = trees_of(RandomForestClassifier(2, max_depth=1, min_samples_leaf=119, random_state=0).fit(values, happened))
    assert trees.longest == 0
    assert not shapley_values(trees, values).any()


def test_a_pinned_feature_is_never_unknown():
    values, happened = some_rows(3, count=300)
    values[:, 3] = np.random.default_rng(0).integers(0, 3, size=300)
    model, frame = boosted(values, happened ^ (values[:, 3] == 1))
    trees = trees_of(model.model_, (3, 1.0))
    row = values.copy()
    row[:, 3] = 1.0
    found = shapley_values(trees, row)
    assert not found[:, 3].any()
    p = model.predict(frame.assign(f3=1.0)).to_numpy()
    np.testing.assert_allclose(trees.base + found.sum(axis=1), np.log(p / (1 - p)), atol=2e-5)


# ---- others ----------------------------------------------------------------------------------------------------------
def test_a_hazard_is_explained_for_its_longest_horizon():
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(size=(800, 3)), columns=["load", "heat", "noise"])
    seconds = rng.exponential(200_000 * np.exp(-features["load"] - 0.5 * features["heat"]))
    model = Hazard(trees=40, depth=3).fit(features, np.maximum(seconds, 1.0), np.full(800, 1e6))
    found = explain(model, features.iloc[:FEW])
    assert found.attrs["scale"] == "log odds"
    np.testing.assert_allclose(said(found), model.predict(features.iloc[:FEW]), atol=1e-5)
    assert list(importance(found).index) == ["load", "heat", "noise"]


def test_one_mode_is_explained_as_its_boosted_trees():
    features, happened = rows(600)
    settings = {"trees": 40, "leaves": 4, "leaf": 40}
    model = ByMode(**settings, features=1.0).fit(features, pd.DataFrame({"disk": happened}))
    found, plain = (
        explain(one, features) for one in (model, GradientBoosting(**settings, features=1.0).fit(features, happened))
    )
    pd.testing.assert_frame_equal(found, plain, atol=1e-9)
    assert found.attrs["base"] == pytest.approx(plain.attrs["base"])


def test_each_mode_is_explained_on_its_own_columns():
    rng = np.random.default_rng(2)
    names = ["fault_fan__since__30D", "noise", "fault_disk__since__30D"]
    features = pd.DataFrame(rng.exponential(size=(800, 3)), columns=names)
    labels = {mode: (features[f"fault_{mode}__since__30D"] > 1) & (rng.random(800) < 0.4) for mode in ("disk", "fan")}
    model = ByMode(trees=40).fit(features, pd.DataFrame(labels))
    found = explain(model, features)
    np.testing.assert_allclose(said(found), model.predict(features), atol=1e-12)
    for name in (names[0], names[2]):
        assert np.mean(np.sign(found[name]) == np.sign(features[name] - 1)) > 0.9
    # Of one mode alone, what is called after the other adds nothing.
    model.models_ = {"disk": model.models_["disk"]}
    alone = explain(model, features)
    assert not alone[names[0]].any()
    trees = trees_of(model.models_["disk"].model_)
    np.testing.assert_allclose(alone[names[1:]], shapley_values(trees, features[names[1:]].to_numpy()), atol=1e-9)


def test_a_calibrated_predictor_is_explained_before_it_is_set_right():
    features, happened = rows(400)
    model = Logistic().fit(features, happened)
    found = explain(Calibrated(model, "logistic").fit(features, happened), features)
    pd.testing.assert_frame_equal(found, explain(model, features))
    assert found.attrs["of"] == "score before calibration"
    assert explain(model, features).attrs["of"] == "probability"


@pytest.mark.parametrize("name", NETS)
def test_a_net_attributes_an_earlier_row_of_the_window_to_its_metric(name):
    rng = np.random.default_rng(1)
    stamps = pd.date_range("2026-01-01", periods=500, freq="h", tz="UTC", name="timestamp").as_unit("us")
    index = pd.MultiIndex.from_product([["a", "b"], stamps], names=["entity", "timestamp"])
    features = pd.DataFrame({"load__last__now": rng.normal(size=1000), "heat__last__now": rng.normal(size=1000)}, index)
    before = features["load__last__now"].groupby(level=0).shift(2).fillna(0.0)
    model = made(name, epochs=15).fit(features, (before > 0.8).to_numpy())
    found = explain(model, features, np.arange(1000) % 40 == 3)
    assert importance(found, by="metric").index[0] == "load"
    # The row itself is at its median; what it gets is of the rows before.
    still = features.copy()
    still.iloc[400, 0] = model.scale_.middle[0]
    row = explain(model, still, np.arange(1000) == 400).iloc[0]
    after = still.copy()
    after.iloc[398, 0] = 3.0
    assert explain(model, after, np.arange(1000) == 400).iloc[0]["load__last__now"] > row["load__last__now"] + 0.5


def test_importance_sums_over_a_group_before_it_takes_sizes():
    names = ["load__mean__1h", "load__max__1D", "code_e1__count__1D", "calendar__sin__1D", "age"]
    found = pd.DataFrame([[1.0, -1.0, 2.0, 0.0, 0.0], [1.0, 1.0, -2.0, 0.0, 1.0]], columns=names)
    assert importance(found, by="metric")["size"].to_dict() == {"code_e1": 2.0, "load": 1.0, "age": 0.5, "calendar": 0}
    assert importance(found, by="kind")["size"]["rolling statistic"] == 1.0
    assert importance(found, by="window")["size"].to_dict() == {"1D": 1.0, "1h": 1.0, "now": 0.5}
    assert importance(found)["features"].eq(1).all()
    with pytest.raises(ContractError, match="grouping"):
        importance(found, by="colour")
