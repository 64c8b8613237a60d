"""Residual of the causal decomposition and seasonal difference: the numbers of their definitions."""

import numpy as np
import pandas as pd
import pytest
from series import START, panel

from stability.decomposition import CausalDecomposition
from stability.detection.residual import Residual, SeasonalDifference
from stability.schema import ContractError


def daily(days, seed=0):
    hours = np.arange(24 * days)
    return 10 + 3 * np.sin(hours / 24 * 2 * np.pi) + 0.3 * np.random.default_rng(seed).normal(size=len(hours))


def test_residuals_are_those_of_the_decomposition():
    frame = panel(daily(30), daily(30, 1), freq="1h")
    history, later = frame.iloc[: 24 * 20], frame.iloc[24 * 20 :]
    detector = Residual(periods=[86_400.0]).fit(history)
    causal = CausalDecomposition(periods=[86_400.0]).fit(history)
    gaps = (
        causal.transform(later)["resid"]
        .abs()
        .reset_index()
        .pivot_table(index=["entity", "timestamp"], columns="metric", values="resid")
    )
    z = detector.score_metrics(later)
    for metric in frame:
        spread = (gaps[metric] / z[metric]).to_numpy()
        assert 0.1 < np.median(spread) < 0.6
        assert (np.abs(np.diff(spread)) < 0.2).all(), "the deviation moves slowly"
    assert z.to_numpy()[np.isfinite(z)].mean() == pytest.approx(0.8, abs=0.2), "the mean of |z| of a Gaussian"


def test_the_season_is_no_surprise_and_its_absence_is():
    values = daily(30)
    values[24 * 28 : 24 * 29] = 10.0
    frame = panel(values, freq="1h")
    scores = Residual().fit(frame.iloc[: 24 * 20]).score(frame.iloc[24 * 20 :]).to_numpy()
    assert scores[24 * 8 : 24 * 9].max() > 5 > scores[: 24 * 8].max()


def test_differences_are_to_the_nearest_of_the_days_before():
    values = daily(12)
    frame = panel(values, freq="1h")
    detector = SeasonalDifference(seasons=3).fit(frame.iloc[: 24 * 8])
    scores = detector.score(frame.iloc[24 * 8 :]).to_numpy() * detector.learnt_["scale"][0, 0]
    wanted = [min(abs(values[t] - values[t - 24 * d]) for d in (1, 2, 3)) for t in range(24 * 8, len(values))]
    assert scores == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_a_gap_does_not_shift_the_day():
    values = daily(12)
    frame = panel(values, freq="1h").drop(index=[("web-1", START + pd.Timedelta(hours=h)) for h in range(200, 217)])
    later = frame[frame.index.get_level_values("timestamp") >= START + pd.Timedelta(days=10)]
    scores = SeasonalDifference().fit(frame.iloc[: 24 * 8]).score(later)
    assert scores.median() < 2


@pytest.mark.parametrize("wrong", [{"season": 0}, {"season": 60, "seasons": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ContractError, match="season"):
        SeasonalDifference(**wrong)
    with pytest.raises(ContractError, match="clip"):
        Residual(clip=0)


@pytest.mark.parametrize("minutes", [1, 5, 10])
def test_a_week_is_remembered_at_any_step(minutes):
    """Weekdays at 100, weekends at 0; at a minute a place of the season holds five rows, and is one memory."""
    rows = 21 * 1440 // minutes
    stamps = START + pd.timedelta_range(0, periods=rows, freq=f"{minutes}min")
    values = np.where(stamps.weekday < 5, 100.0, 0.0) + np.random.default_rng(0).normal(size=rows)
    values[-700 // minutes] += 1000
    frame = panel(values, freq=f"{minutes}min")
    history = frame.iloc[: rows * 2 // 3]
    scores = SeasonalDifference().fit(history).score(frame.iloc[rows * 2 // 3 :])
    assert scores.notna().all()
    assert scores.argmax() == len(scores) - 700 // minutes
    assert scores.drop(scores.idxmax()).max() < 20
