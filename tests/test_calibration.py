"""Probabilities: proper scores, the parts of the Brier score, calibration error, reliability, and their intervals."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from stability.evaluation import (
    NotEnoughEvidence,
    brier_parts,
    brier_score,
    calibration_estimates,
    log_score,
    reliability_curve,
    resample_counts,
)
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")
cases = st.lists(
    st.tuples(st.one_of(st.integers(0, 4).map(lambda i: i / 4), st.floats(0, 1)), st.booleans()),
    min_size=1,
    max_size=50,
)


def fleet(entities=12, hours=60, seed=0, bias=0.0):
    """Probabilities of hours that differ, outcomes drawn from them; the forecaster shifts the odds by a bias."""
    rng = np.random.default_rng(seed)
    stamps = pd.date_range(START, periods=hours, freq="h", unit="us")
    names = [f"host-{i:02d}" for i in range(entities)]
    index = pd.MultiIndex.from_product([names, stamps], names=["entity", "timestamp"])
    odds = rng.normal(-1.5, 1.5, len(index))
    truth = 1 / (1 + np.exp(-odds))
    said = pd.Series(1 / (1 + np.exp(-odds - bias)), index=index, name="probability")
    return said, pd.Series(rng.random(len(index)) < truth, index=index, name="impact_within")


@given(cases=cases)
def test_scores_equal_scikit_learn_and_the_twins(cases):
    p, y = (np.array(part) for part in zip(*cases, strict=True))
    assert brier_score(p, y) == pytest.approx(naive.brier(p.tolist(), y.tolist()), abs=1e-12)
    assert brier_score(p, y) == pytest.approx(brier_score_loss(y, p, pos_label=True), abs=1e-12)
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    assert log_score(p, y) == pytest.approx(sklearn_log_loss(y, clipped, labels=[False, True]), abs=1e-9)


@given(cases=cases)
def test_the_parts_add_up_and_equal_the_twin(cases):
    p, y = (np.array(part) for part in zip(*cases, strict=True))
    parts = brier_parts(p, y)
    fitted = naive.pool_adjacent_violators(p.tolist(), y.tolist())
    best, base = naive.brier(fitted, y.tolist()), naive.brier([y.mean()] * len(y), y.tolist())
    assert parts.miscalibration == pytest.approx(brier_score(p, y) - best, abs=1e-12)
    assert parts.discrimination == pytest.approx(base - best, abs=1e-12)
    assert parts.uncertainty == pytest.approx(base, abs=1e-12)
    assert parts.miscalibration - parts.discrimination + parts.uncertainty == pytest.approx(
        brier_score(p, y), abs=1e-12
    )
    assert min(parts) >= 0
    assert parts.discrimination <= parts.uncertainty + 1e-12


@given(cases=cases)
def test_recalibrated_forecasts_are_calibrated_and_a_monotone_change_keeps_discrimination(cases):
    p, y = (np.array(part) for part in zip(*cases, strict=True))
    p = p.round(3)
    fitted = np.array(naive.pool_adjacent_violators(p.tolist(), y.tolist()))
    assert brier_parts(fitted, y).miscalibration == pytest.approx(0, abs=1e-12)
    assert brier_parts(p**2, y).discrimination == pytest.approx(brier_parts(p, y).discrimination, abs=1e-12)
    assert brier_score(fitted, y) <= brier_score(p, y) + 1e-12


def test_by_hand():
    p, y = np.array([0.2, 0.2, 0.2, 0.2, 0.2, 0.8, 0.8]), np.array([1, 0, 0, 0, 0, 1, 1], dtype=bool)
    assert brier_parts(p, y) == pytest.approx(
        (2 / 7 * 0.04, (5 * (1 / 5 - 3 / 7) ** 2 + 2 * (4 / 7) ** 2) / 7, 12 / 49)
    )
    assert log_score(p, y) == pytest.approx(-(math.log(0.2) + 4 * math.log(0.8) + 2 * math.log(0.8)) / 7)


def test_silence_is_the_forecast_zero():
    y = np.array([True, False])
    assert brier_score(np.array([np.nan, np.nan]), y) == brier_score(np.array([0.0, 0.0]), y) == 0.5
    assert log_score(np.array([np.nan, 0.0]), y) == pytest.approx(-math.log(1e-6) / 2, abs=1e-5)
    assert log_score(np.array([np.nan, 0.0]), y, clip=0.01) == pytest.approx(-(math.log(0.01) + math.log(0.99)) / 2)


def test_what_is_no_probability_is_refused():
    y = np.array([True, False])
    for wrong in ([85.0, 3.0], [0.5, -0.1], [0.5, np.inf]):
        with pytest.raises(ContractError, match="percent"):
            brier_score(np.array(wrong), y)
    with pytest.raises(ContractError, match="True or False"):
        brier_score(np.array([0.5, 0.5]), np.array([1, 0]))
    with pytest.raises(ContractError, match="one for each"):
        log_score(np.array([0.5]), y)
    with pytest.raises(ContractError, match="clip"):
        log_score(np.array([0.5, 0.5]), y, clip=0)
    with pytest.raises(NotEnoughEvidence, match="single case"):
        brier_score(np.array([]), np.array([], dtype=bool))


# --- with intervals --------------------------------------------------------------------------------------------------


def test_estimates_are_the_scores_and_their_intervals_those_of_resampled_entities():
    said, came = fleet(entities=8, hours=20)
    said = said.round(2)
    said.iloc[[3, 50]] = np.nan
    result = calibration_estimates(said, came, unit="entity", resamples=25, seed=3)
    p, y = said.fillna(0.0).to_numpy(), came.to_numpy()

    def judge(weights):
        drawn_p, drawn_y = np.repeat(p, weights), np.repeat(y, weights)
        parts, brier, rate = brier_parts(drawn_p, drawn_y), brier_score(drawn_p, drawn_y), drawn_y.mean()
        entropy = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
        log = log_score(drawn_p, drawn_y)
        error = naive.calibration_error(drawn_p.tolist(), drawn_y.tolist())
        return brier, 1 - brier / parts[2], *parts, log, 1 - log / entropy, error, rate

    estimates = (*result[:8], result.base_rate)
    assert [e.value for e in estimates] == pytest.approx(judge(np.ones(len(p), dtype=int)))
    drawn = [judge(np.repeat(counts, 20)) for counts in np.concatenate(list(resample_counts(8, 25, 3)))]
    for estimate, resampled in zip(estimates, np.transpose(drawn), strict=True):
        lo, hi = np.quantile(resampled, [0.025, 0.975])
        assert (estimate.lo, estimate.hi) == pytest.approx((min(lo, estimate.value), max(hi, estimate.value)))
    assert (result.cases, result.positives, result.abstained) == (160, y.sum(), 2)
    assert result == calibration_estimates(said, came, unit="entity", resamples=25, seed=3)


def test_an_honest_forecaster_is_told_from_a_boastful_one():
    said, came = fleet(hours=200)
    honest, boastful = (
        calibration_estimates(said, came, resamples=200),
        calibration_estimates(fleet(hours=200, bias=1.5)[0], came, resamples=200),
    )
    assert honest.brier_skill.lo > 0
    assert honest.ece.value <= honest.ece_if_calibrated.hi
    assert boastful.ece.lo > boastful.ece_if_calibrated.hi
    assert boastful.miscalibration.lo > honest.miscalibration.hi
    # The odds were shifted, the order kept: both discriminate alike.
    assert boastful.discrimination.value == pytest.approx(honest.discrimination.value)
    assert boastful.log_score.value > honest.log_score.value


def test_few_cases_make_the_calibration_error_large():
    error = calibration_estimates(*fleet(entities=36, hours=1)).ece_if_calibrated
    assert 0.07 < error.value < 0.2  # perfectly calibrated by construction
    many = calibration_estimates(*fleet(entities=36, hours=500), resamples=20).ece_if_calibrated
    assert many.value < 0.01


def test_skill_is_measured_against_a_base_rate_that_can_be_named():
    said, came = fleet()
    constant = said * 0 + came.mean()
    assert calibration_estimates(constant, came).brier_skill.value == pytest.approx(0)
    assert calibration_estimates(constant, came).log_skill.value == pytest.approx(0)
    named = calibration_estimates(constant, came, base_rate=0.5)
    assert named.brier_skill.value == pytest.approx(1 - came.mean() * (1 - came.mean()) / 0.25)
    assert named.log_skill.value > 0
    with pytest.raises(ContractError, match="base_rate"):
        calibration_estimates(said, came, base_rate=30)


def test_a_single_class_has_scores_but_no_skill():
    said, came = fleet()
    result = calibration_estimates(said, came & False)
    assert result.brier.value == pytest.approx(float((said**2).mean()))
    assert result.uncertainty.value == 0
    assert math.isnan(result.brier_skill.value)
    assert math.isnan(result.log_skill.value)


def test_a_clipped_forecast_is_counted():
    said, came = fleet()
    sure = said.where(~came, 0.0)
    result = calibration_estimates(sure, came)
    assert result.clipped == came.sum()
    assert result.log_score.value < -math.log(1e-6)


def test_a_horizon_may_stand_in_the_index_and_too_few_units_say_nothing():
    said, came = fleet(entities=3, hours=24 * 6)
    result = calibration_estimates(said, came)
    horizon = [
        pd.concat({pd.Timedelta("15min"): part}, names=["horizon"]).reorder_levels([1, 2, 0]) for part in (said, came)
    ]
    assert calibration_estimates(*horizon) == result
    with pytest.raises(NotEnoughEvidence, match="units"):
        calibration_estimates(said, came, block="30D")
    with pytest.raises(ContractError, match="index"):
        calibration_estimates(said, came.iloc[1:])


# --- reliability ------------------------------------------------------------------------------------------------------


def test_the_curve_is_the_isotonic_regression_and_its_band_holds_the_truth():
    said, came = fleet(hours=100)
    said = said.round(1)
    curve = reliability_curve(said, came, resamples=200)
    fitted = dict(zip(said, naive.pool_adjacent_violators(said.tolist(), came.tolist()), strict=True))
    assert curve["rate"].tolist() == pytest.approx([fitted[p] for p in curve["forecast"]])
    assert curve["cases"].tolist() == said.value_counts().sort_index().tolist()
    assert ((curve["lo"] <= curve["rate"]) & (curve["rate"] <= curve["hi"])).all()
    inner = curve[curve["forecast"].between(0.1, 0.9)]
    assert (inner["lo"].le(inner["forecast"] + 0.02) & inner["hi"].ge(inner["forecast"] - 0.02)).mean() > 0.8


def test_a_curve_of_many_forecasts_has_a_hundred_points_and_all_cases():
    said, came = fleet(hours=100)
    curve = reliability_curve(said, came, resamples=20)
    assert len(curve) == 101
    assert curve["cases"].sum() == len(said)
    assert curve["rate"].is_monotonic_increasing
    boastful = reliability_curve(fleet(hours=100, bias=2.0)[0], came, resamples=20)
    assert (boastful["hi"] < boastful["forecast"]).mean() > 0.5


def test_no_rate_is_certain():
    came = fleet(entities=6, hours=10)[1]
    curve = reliability_curve(came * 1.0, came, resamples=20)
    assert curve["rate"].tolist() == [0, 1]
    assert (curve["hi"] - curve["lo"] > 0.02).all()
