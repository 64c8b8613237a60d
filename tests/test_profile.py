"""Left matrix profile: against brute force, and free of what has passed."""

import naive
import numpy as np
import pytest
from series import panel, wild

from stability.detection.profile import LeftProfile
from stability.schema import ContractError


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("window", "memory"), [(4, 8), (5, 40), (16, 500)])
def test_distances_equal_brute_force(seed, window, memory):
    values = wild(seed, 220)
    frame = panel(values)
    detector = LeftProfile(window=window, memory=memory).fit(frame.iloc[:90])
    twin = naive.left_profile(values, detector.learnt_["scale"][0, 0], window, memory)
    assert detector.score(frame.iloc[90:]).to_numpy() == pytest.approx(twin[90:], rel=1e-7, abs=1e-9, nan_ok=True)


def test_a_huge_value_leaves_no_trace():
    rng = np.random.default_rng(0)
    calm = rng.normal(size=600)
    spiked = calm.copy()
    spiked[300] = 1e12
    fitted = LeftProfile(window=8, memory=100).fit(panel(calm[:200]))
    quiet, after = (fitted.score(panel(v[200:])).to_numpy()[250:] for v in (calm, spiked))
    assert after == pytest.approx(quiet, rel=1e-9)


def test_a_shape_that_repeats_is_near_and_a_new_one_is_not():
    values = np.tile(np.sin(np.arange(50) / 50 * 2 * np.pi), 20)
    values[700:725] = 0.0
    scores = LeftProfile(window=20, memory=400).fit(panel(values[:300])).score(panel(values[300:])).to_numpy()
    assert scores[100:395].max() < 1e-6
    assert scores[400:440].max() > 0.2


@pytest.mark.parametrize("wrong", [{"window": 1}, {"window": 20, "memory": 30}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ContractError, match="window"):
        LeftProfile(**wrong)
