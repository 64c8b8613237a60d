"""What a predictor has to beat."""

import numpy as np
import pandas as pd
import pytest

from stability.prediction.floors import RadiusNeighbours, TimeSince
from stability.prediction.manner import Scaled
from stability.schema import ContractError


def test_near_neighbours_are_counted_as_the_formula_says():
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    happened = (features["a"] > 0.7).to_numpy()
    model = RadiusNeighbours(prior=0.0).fit(features, happened)
    assert model.radius_ in model.radii_
    assert len(model.points_) == 300
    scaled = Scaled.learn(features.to_numpy()).apply(features.to_numpy()) / np.sqrt(3)
    for row, found in zip(range(20), model.predict(features), strict=False):
        near = np.linalg.norm(scaled - scaled[row], axis=1) <= model.radius_ + 1e-9
        assert found == pytest.approx(happened[near].mean(), abs=0.02)
    far = pd.DataFrame({"a": [-7.9], "b": [7.9], "c": [7.9]})
    assert model.predict(far).iloc[0] == happened.mean()


def test_rows_that_are_left_out_leave_the_shares_as_they_are():
    rng = np.random.default_rng(1)
    features = pd.DataFrame(rng.normal(size=(3000, 2)), columns=["a", "b"])
    happened = rng.random(3000) < 0.05
    model = RadiusNeighbours(most=400).fit(features, happened)
    assert len(model.points_) == 350 or len(model.points_) == 400
    assert model.predict(features).mean() == pytest.approx(0.05, abs=0.02)


def test_time_since_takes_any_shape():
    since = np.tile(np.arange(100.0), 50)
    features = pd.DataFrame({"fault__since__9D": since, "other": 1.0})
    happened = (since > 20) & (since < 40)
    found = TimeSince().fit(features, happened).predict(features)
    assert found[(since > 26) & (since < 34)].min() > 0.9
    assert found[since > 50].max() < 0.1
    with pytest.raises(ContractError, match="since"):
        TimeSince().fit(features[["other"]], happened)
    with pytest.raises(ContractError, match="did you mean 'other'"):
        TimeSince(feature="othr").fit(features, happened)
    unknown = features.assign(fault__since__9D=np.nan).iloc[[0]]
    assert TimeSince().fit(features, happened).predict(unknown).iloc[0] == pytest.approx(happened.mean())
