"""Autoencoder: what belongs together is rebuilt, what does not is the score, at the right edge of the window."""

import numpy as np
import pytest
from series import panel

from stability.detection.autoencoder import KINDS, Autoencoder
from stability.detection.subspace import Pca
from stability.schema import ContractError


def together(rows, seed=0):
    """Three metrics that one hidden load drives, bent: on a curve, and on no plane."""
    rng = np.random.default_rng(seed)
    load = np.sin(np.arange(rows) / 15) + 0.3 * np.sin(np.arange(rows) / 4)
    return [f(load) + 0.03 * rng.normal(size=rows) for f in (lambda x: x, lambda x: x**2, lambda x: np.exp(-x))]


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    return Autoencoder(kind=request.param, epochs=35, code=4, device="cpu").fit(panel(*together(2500)))


def test_a_metric_that_leaves_the_others_is_seen_though_it_stays_within_its_range(fitted):
    frame = panel(*together(3000)).iloc[2500:].copy()
    lowest = 100 + frame["m1"].iloc[100:].argmin()
    frame.iloc[lowest, 1] = frame["m1"].max()
    scores = fitted.score(frame)
    assert scores.argmax() == lowest
    assert fitted.contributions(frame)["m1"].iloc[lowest] > 0.5
    assert fitted.name == ("autoencoder" if fitted.kind == "dense" else "autoencoder_convolutional")


def test_it_rebuilds_what_is_bent_better_than_a_plane(fitted):
    frame, broken = panel(*together(3000)).iloc[2500:], panel(*together(3000)).iloc[2500:].copy()
    broken.iloc[50::50, 1] += 0.6
    plane = Pca().fit(panel(*together(2500)))

    def clear(detector):
        return detector.score(broken).iloc[50::50].median() / detector.score(frame).quantile(0.99)

    assert clear(fitted) > clear(plane)


def test_a_newcomer_is_judged_once_it_fills_a_window(fitted):
    scores = fitted.score(panel(*together(100), entity="new-1"))
    assert scores.iloc[:15].isna().all()
    assert scores.iloc[15:].notna().all()


def test_an_outlier_is_in_no_windows_score_but_that_which_it_ends(fitted):
    """It is shown, cut, to the windows that hold it, and may bend them a little; it is judged once."""
    frame = panel(*together(3000)).iloc[2500:].copy()
    frame.iloc[300, 0] += 50
    scores = fitted.score(frame).to_numpy()
    assert scores[300] > 3 * np.delete(scores, 300).max()


@pytest.mark.parametrize("wrong", [{"kind": "round"}, {"window": 0}, {"code": 0}, {"clip": 0}, {"rate": 0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        Autoencoder(**wrong)
