"""One fit for all horizons."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.prediction.hazard import Hazard
from stability.prediction.registry import load
from stability.schema import ContractError

HOUR = 3600.0
EDGES = ["1h", "2h", "6h"]


def lives(count=2000, seed=0):
    """Times to a fault that come sooner with `load`, and watching that ends at random."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame({"load": rng.uniform(-1, 1, size=count), "noise": rng.normal(size=count)})
    fault = rng.exponential(4 * HOUR * np.exp(-1.5 * features["load"].to_numpy()))
    seen = rng.uniform(0.5 * HOUR, 12 * HOUR, size=count)
    return features, np.where(fault <= seen, fault, np.nan), seen, fault


@given(time=st.one_of(st.floats(1.0, 8 * HOUR), st.just(float("nan"))), known=st.floats(0, 8 * HOUR))
def test_a_row_is_a_case_of_each_interval_that_it_was_watched_through(time, known):
    _, intervals, labels = Hazard(edges=EDGES)._cases(np.array([time]), np.array([known]))
    expected = []
    for j, (begin, end) in enumerate([(0, HOUR), (HOUR, 2 * HOUR), (2 * HOUR, 6 * HOUR)]):
        if end <= known and not time <= begin:
            expected.append((j, bool(time <= end)))
    assert list(zip(intervals.tolist(), labels.tolist(), strict=True)) == expected


def test_it_is_right_for_every_horizon_and_never_falls_with_it(tmp_path):
    features, time, known, _ = lives()
    later, _, _, fault = lives(seed=1)
    model = Hazard(edges=EDGES, trees=60, depth=2, rate=0.1).fit(features, time, known)
    found = model.predict_all(later)
    assert list(found) == EDGES
    assert (found.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    for edge, hours in zip(EDGES, (1, 2, 6), strict=True):
        happened = fault <= hours * HOUR
        assert found[edge].mean() == pytest.approx(happened.mean(), abs=0.04)
        brier, base = ((found[edge] - happened) ** 2).mean(), happened.mean() * (1 - happened.mean())
        assert brier < 0.97 * base
    pd.testing.assert_series_equal(model.predict(later), found["6h"], check_names=False)
    pd.testing.assert_frame_equal(load(model.save(tmp_path / "hazard")).predict_all(later), found)
    assert model.predict_all(later.iloc[:0]).shape == (0, 3)


def test_what_makes_no_sense_is_refused():
    features, time, known, _ = lives(50)
    for edges in ([], ["2h", "1h"], ["1h", "1h"]):
        with pytest.raises(ContractError, match="rising"):
            Hazard(edges=edges)
    with pytest.raises(ContractError, match="above 0"):
        Hazard().fit(features, time * 0, known)
    with pytest.raises(ContractError, match="50 times"):
        Hazard().fit(features, time[:40], known)
    with pytest.raises(ContractError, match="alike"):
        Hazard(edges=EDGES).fit(features, time * np.nan, known)
    with pytest.raises(ContractError, match="fit"):
        Hazard().predict_all(features)
