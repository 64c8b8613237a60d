"""ARIMA: misses as a plain recursion and statsmodels have them, orders found again, gaps and seasons allowed for."""

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from series import panel, wild
from statsmodels.tsa.arima.model import ARIMA

from stability.detection.arima import Arima, fit_order
from stability.schema import ContractError


def process(ar, ma, rows, seed=0):
    """An ARMA process with innovations of deviation 1."""
    e = np.random.default_rng(seed).normal(size=rows)
    w = np.zeros(rows)
    for t in range(rows):
        w[t] = e[t] + sum(c * w[t - 1 - i] for i, c in enumerate(ar) if t > i)
        w[t] += sum(c * e[t - 1 - j] for j, c in enumerate(ma) if t > j)
    return w


@given(seed=st.integers(0, 1000), differenced=st.booleans())
def test_misses_equal_a_plain_recursion(seed, differenced):
    rng = np.random.default_rng(seed)
    values = wild(seed, 300)
    frame = panel(np.cumsum(np.nan_to_num(values)) if differenced else values)
    frame[rng.random(300) < 0.1] = np.nan
    detector = Arima(season=0).fit(frame.iloc[:150])
    learnt = {key: kept[0, 0] for key, kept in detector.learnt_.items() if key != "slot"}
    twin = naive.arima_misses(
        frame["m0"].tolist(), learnt["ar"], learnt["ma"], bool(learnt["head"][0]), learnt["head"][1]
    )
    found, missing = detector.score(frame).to_numpy(), 0
    for x, miss, score in zip(frame["m0"], twin, found, strict=True):
        expected = abs(miss) / (learnt["scale"] * learnt["growth"][min(missing, 63)])
        assert score == pytest.approx(expected, rel=1e-9, nan_ok=True)
        missing = missing + 1 if np.isnan(x) else 0


@pytest.mark.parametrize(("ar", "ma", "d"), [((0.6, 0.2), (), 0), ((0.5,), (0.4,), 0), ((), (-0.6,), 1)])
def test_misses_are_those_of_statsmodels(ar, ma, d):
    values = process(ar, ma, 1500, seed=1)
    values = np.cumsum(values) if d else values + 5
    order = fit_order(values, 2, 2)
    assert (len(order.ar), order.differenced, len(order.ma)) == (len(ar), bool(d), len(ma))
    model = ARIMA(values, order=(len(ar), d, len(ma)), trend="n" if d else "c")
    parameters = np.concatenate([[] if d else [order.mean], order.ar, order.ma, [1.0]])
    theirs = model.filter(parameters).resid
    twin = np.array(naive.arima_misses(values.tolist(), order.ar, order.ma, order.differenced, order.mean))
    assert twin[200:] == pytest.approx(theirs[200:], abs=1e-7)  # theirs lets go of the beginning more slowly


@pytest.mark.parametrize(
    ("ar", "ma", "differenced"),
    [((), (), False), ((0.8,), (), False), ((1.2, -0.5), (), False), ((), (0.7,), False), ((), (), True)],
)
def test_what_made_a_series_is_found_again(ar, ma, differenced):
    values = process(ar, ma, 4000, seed=3)
    order = fit_order(np.cumsum(values) if differenced else values, 3, 2)
    assert order.differenced == differenced
    assert order.ar == pytest.approx(ar, abs=0.06)
    assert order.ma == pytest.approx(ma, abs=0.06)


def test_outliers_in_the_history_do_not_bend_the_coefficients():
    values = process((0.8,), (), 4000, seed=4)
    values[::200] += 50
    order = fit_order(values, 1, 0)
    assert order.ar == pytest.approx([0.8], abs=0.15)


def test_a_prediction_over_a_gap_is_less_certain():
    values = np.cumsum(process((), (), 3000, seed=5))
    detector = Arima(season=0).fit(panel(values[:1000]))
    assert detector.learnt_["growth"][0, 0, :5] == pytest.approx(np.sqrt(np.arange(1, 6)))
    later = values[1000:].copy()
    later[np.arange(2000) % 10 > 0] = np.nan
    scores = detector.score(panel(np.concatenate([values[:1000], later]))).iloc[1000:].dropna()
    assert len(scores) == 200
    assert np.sqrt((scores**2).mean()) == pytest.approx(1.0, abs=0.15)


def test_a_shift_of_what_wanders_is_one_event():
    values = np.cumsum(process((), (), 2000, seed=6))
    values[1500:] += 30
    scores = Arima(season=0).fit(panel(values[:1000])).score(panel(values[1000:])).to_numpy()
    assert np.nanargmax(scores) == 500
    assert (scores > 6).sum() == 1


def test_a_course_that_repeats_is_taken_out_and_one_that_does_not_is_left():
    t = np.arange(14 * 288)
    rng = np.random.default_rng(7)
    daily = 50 * (np.sin(2 * np.pi * t / 288) > 0.8) + rng.normal(size=len(t))
    seasonal = Arima().fit(panel(daily[: 10 * 288], freq="5min")).score(panel(daily[10 * 288 :], freq="5min"))
    plain = Arima(season=0).fit(panel(daily[: 10 * 288], freq="5min")).score(panel(daily[10 * 288 :], freq="5min"))
    assert seasonal.max() < 6 < plain.max()
    noise = Arima().fit(panel(rng.normal(size=10 * 288), freq="5min"))
    assert not noise.learnt_["profile"].any()


def test_entities_and_metrics_have_models_of_their_own():
    wander, steady = np.cumsum(process((), (), 800, seed=8)), process((0.5,), (), 800, seed=9)
    frame = pd.concat([panel(wander, steady, entity="a"), panel(steady, wander, entity="b")])
    learnt = Arima(season=0).fit(frame).learnt_
    assert learnt["head"][:, :, 0].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("wrong", [{"ar": -1}, {"ma": 1.5}, {"season": -1}, {"rows": 10}, {"floor": 0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        Arima(**wrong)
