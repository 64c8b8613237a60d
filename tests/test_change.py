"""Cumulative sums and change points: against slow twins, and what each is for."""

import naive
import numpy as np
import pytest
from series import panel, wild

from stability.detection.change import ChangePoint, Cusum
from stability.schema import ContractError


@pytest.mark.parametrize("reference", ["history", "running"])
def test_sums_equal_the_slow_twin(reference):
    values = wild(0, 200)
    frame = panel(values)
    detector = Cusum(reference=reference).fit(frame.iloc[:100])
    mean, scale = detector.learnt_["mean"][0, 0], detector.learnt_["scale"][0, 0]
    twin = naive.cusum(values, mean, scale, running=reference == "running")
    assert detector.score(frame.iloc[100:]).to_numpy() == pytest.approx(twin[100:], nan_ok=True)


def test_a_small_lasting_shift_gathers_and_page_hinkley_gets_used_to_it():
    rng = np.random.default_rng(1)
    values = rng.normal(size=4000)
    values[1000:] += 1.0
    frame = panel(values)
    cusum, hinkley = (Cusum(reference=r).fit(frame.iloc[:500]).score(frame.iloc[500:]) for r in ("history", "running"))
    assert cusum.iloc[:500].max() < 15 < cusum.iloc[600]
    assert hinkley.iloc[600] > 15
    assert hinkley.iloc[-200:].max() < hinkley.max() / 2
    assert cusum.iloc[-1] > 1000


@pytest.mark.parametrize("seed", [0, 1])
def test_change_points_equal_a_posterior_that_keeps_every_value(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(size=25), rng.normal(3, 2, size=20)])
    frame = panel(np.concatenate([rng.normal(size=50), values]))
    detector = ChangePoint(recent=3, expected=50, longest=200, clip=30).fit(frame.iloc[:50])
    # A panel that begins with the history starts anew: the posterior is that of its own rows alone.
    z = (frame["m0"].to_numpy() - detector.learnt_["mean"][0, 0]) / detector.learnt_["scale"][0, 0]
    twin = naive.run_length_posterior(z, 1 / 50)
    wanted = [max(-np.log10(max(sum(p[4:]), 1e-300)), 0.0) for p in twin]
    assert detector.score(frame).to_numpy()[5:] == pytest.approx(wanted[5:], rel=1e-6, abs=1e-6)


def test_a_new_regime_is_seen_and_then_old():
    rng = np.random.default_rng(2)
    values = rng.normal(size=800)
    values[600:] += 4
    scores = ChangePoint().fit(panel(values[:300])).score(panel(values)).to_numpy()
    assert scores[300:600].max() < 2 < scores[600:606].max()
    assert scores[650:].max() < 1


def test_a_run_longer_than_is_told_apart_stays_sane():
    values = np.random.default_rng(3).normal(size=3000)
    scores = ChangePoint(longest=50).fit(panel(values[:200])).score(panel(values)).to_numpy()
    assert np.isfinite(scores[5:]).all()
    assert np.quantile(scores[300:], 0.99) < 1


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Cusum, {"reference": "x"}),
        (Cusum, {"slack": 6}),
        (ChangePoint, {"recent": 300}),
        (ChangePoint, {"expected": 1}),
    ],
)
def test_impossible_settings_are_refused(kind, wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        kind(**wrong)


def test_a_newcomer_is_not_judged_before_it_has_values_enough():
    rng = np.random.default_rng(4)
    detector = ChangePoint(recent=5).fit(panel(rng.normal(size=300)))
    scores = detector.score(panel(rng.normal(size=40), entity="new-1")).to_numpy()
    assert np.isnan(scores[:5]).all()
    assert scores[5:].max() < 3
