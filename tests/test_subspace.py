"""PCA: residual lengths as linear algebra says, smoothed causally, explained by metric."""

import numpy as np
import pytest
from series import panel

from stability.detection.subspace import Pca, standard
from stability.schema import ContractError


def together(seed, rows=800, metrics=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 2)) @ rng.normal(size=(2, metrics)) + 0.1 * rng.normal(size=(rows, metrics))


def test_scores_are_lengths_outside_of_the_components():
    values = together(0)
    frame = panel(*values.T)
    scores = Pca(explained=(0.2, 0.9)).fit(frame.iloc[:500]).score(frame.iloc[500:]).to_numpy()
    z = (values - values[:500].mean(0)) / values[:500].std(0)
    _, singular, directions = np.linalg.svd(z[:500], full_matrices=False)
    share = singular**2 / (singular**2).sum()
    squares = 0
    for level in np.linspace(0.2, 0.9, 5001):  # every number of components that explains as much
        kept = np.searchsorted(np.cumsum(share), level, side="left") + 1
        left = z[500:] @ directions[kept:].T
        squares = squares + (left**2).sum(axis=1) / 5001
    assert scores == pytest.approx(np.sqrt(squares), rel=2e-3)


def test_what_breaks_the_pattern_is_named_though_its_value_is_usual():
    values = together(1)
    values[700:, 3] = values[700:, 3][::-1]
    frame = panel(*values.T)
    detector = Pca().fit(frame.iloc[:500])
    scores, shares = detector.score(frame.iloc[500:]), detector.contributions(frame.iloc[500:])
    assert scores.iloc[200:].median() > 1.5 * scores.iloc[:200].median()
    assert shares.iloc[200:].mean().idxmax() == "m3"


def test_smoothing_is_the_mean_of_the_last_rows():
    frame = panel(*together(2).T)
    plain, smooth = (Pca(smooth=n).fit(frame.iloc[:500]).score(frame.iloc[500:]) for n in (1, 10))
    assert smooth.to_numpy()[9:] == pytest.approx(plain.rolling(10).mean().to_numpy()[9:])


def test_a_constant_metric_is_judged_by_its_level():
    mean, deviation = standard(np.array([[5.0, 0.0, np.nan], [5.0, 0.0, np.nan]]), 0.01)
    assert mean.tolist() == [5.0, 0.0, 0.0]
    assert deviation.tolist() == [0.05, 1.0, 1.0]


@pytest.mark.parametrize("wrong", [{"explained": (0.9, 0.5)}, {"smooth": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        Pca(**wrong)
