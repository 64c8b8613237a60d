"""LSTM: scores are tail probabilities of what it foretold, at several horizons."""

import numpy as np
import pandas as pd
import pytest
from series import panel

from stability import detection
from stability.detection.lstm import Lstm
from stability.schema import ContractError


def waves(rows, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    return np.sin(t / 6) + noise * rng.normal(size=rows), 50 + 5 * np.sin(t / 9 + 1) + 5 * noise * rng.normal(size=rows)


@pytest.fixture(scope="module")
def fitted():
    return Lstm(hidden=16, window=32, epochs=40, device="cpu").fit(panel(*waves(2000)))


def test_what_is_foretold_is_no_surprise_and_what_is_not_is(fitted):
    frame = panel(*waves(4000)).iloc[2000:].copy()
    frame.iloc[700, 1] += 8
    frame.iloc[1500, 0] -= 1.5
    scores, shares = fitted.score(frame), fitted.contributions(frame)
    assert {scores.argmax(), scores.drop(scores.idxmax()).argmax()} <= {700, 1500, 1499}
    assert shares["m1"].iloc[700] > 0.8
    assert shares["m0"].iloc[1500] > 0.8


def test_a_score_is_minus_the_logarithm_of_a_probability(fitted):
    """Of quiet rows about a tenth has a part above 1; noise is Gaussian and thinner in the tail than Laplace's."""
    parts = fitted.score_metrics(panel(*waves(6000)).iloc[2000:])
    assert 0.03 < (parts > 1).to_numpy().mean() < 0.2
    assert (parts > 3).to_numpy().mean() < 0.003


def test_it_foretells_better_than_the_value_before(fitted):
    noise = 0.1
    parts = Lstm(hidden=16, window=32, epochs=40, horizons=(1,), device="cpu").fit(panel(*waves(2000)))
    frame = panel(*waves(3000)).iloc[2000:]
    state = parts._begin(1, 2)
    z = (frame.to_numpy() - parts.learnt_["mean"]) / parts.learnt_["scale"]
    parts._read(z[None, :1], np.array([0]), state)
    missed = []
    for row in z[1:]:
        missed.append(row - state["median"][0, 0, 0])
        parts._read(row[None, None], np.array([0]), state)
    size = np.abs(missed).mean(axis=0) * parts.learnt_["scale"][0]
    assert (size < 1.8 * noise * np.sqrt(2 / np.pi) * np.array([1, 5])).all()


def test_equal_seeds_give_equal_scores():
    frame = panel(*waves(400))
    one, two, other = (Lstm(epochs=2, seed=seed, device="cpu").fit(frame).score(frame) for seed in (1, 1, 2))
    pd.testing.assert_series_equal(one, two)
    assert not one.equals(other)


def test_a_gap_is_not_judged_and_what_comes_after_it_is(fitted):
    frame = panel(*waves(2600)).iloc[2000:].copy()
    frame.iloc[200:230, 0] = np.nan
    parts = fitted.score_metrics(frame)
    assert parts["m0"].iloc[200:230].isna().all()
    assert parts["m0"].iloc[230:].notna().all()
    assert parts["m1"].notna().all()
    assert parts["m0"].iloc[240:].quantile(0.99) < 3


@pytest.mark.parametrize("wrong", [{"hidden": 0}, {"horizons": ()}, {"horizons": (0,)}, {"window": 1}, {"epochs": 0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        Lstm(**wrong)


@pytest.mark.parametrize("name", ["lstm", "autoencoder", "autoencoder_convolutional"])
def test_a_history_too_short_to_learn_from_judges_nothing(name, tmp_path):
    times = pd.date_range("2026-01-01", periods=40, freq="min", tz="UTC", name="timestamp").as_unit("us")
    index = pd.MultiIndex.from_product([["web-1"], times], names=["entity", "timestamp"])
    frame = pd.DataFrame({"load": np.random.default_rng(0).normal(size=40)}, index)
    detector = detection.DETECTORS[name]().fit(frame.iloc[:3])
    assert detector.score(frame.iloc[3:]).isna().all()
    again = detection.load(detector.save(tmp_path / "short.npz"))
    assert np.isnan(again.update(frame.iloc[[3]].to_numpy(), times[3:4]).score).all()
