"""Isolation forest: scikit-learn's scores out of plain arrays, and who is to blame."""

import numpy as np
import pytest
from series import panel
from sklearn.ensemble import IsolationForest

from stability.detection.forest import Forest
from stability.schema import ContractError


def test_scores_equal_scikit_learns():
    rng = np.random.default_rng(0)
    frame = panel(*rng.normal(size=(3, 900)))
    detector = Forest(trees=50, seed=7).fit(frame.iloc[:500])
    z = np.clip((frame.to_numpy() - detector.learnt_["mean"][0]) / detector.learnt_["scale"][0], -20, 20)
    z = z.astype("float32")
    twin = IsolationForest(n_estimators=50, max_samples=256, random_state=7).fit(z[:500])
    assert detector.score(frame.iloc[500:]).to_numpy() == pytest.approx(-twin.score_samples(z[500:]), rel=1e-9)


def test_the_metric_that_is_odd_gets_the_blame():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, 700))
    values[2, 650] = 12.0
    frame = panel(*values)
    shares = Forest().fit(frame.iloc[:600]).contributions(frame.iloc[600:])
    assert shares.iloc[50].idxmax() == "m2"
    assert shares.iloc[50].max() > 0.5


@pytest.mark.parametrize("wrong", [{"trees": 0}, {"rows": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        Forest(**wrong)
