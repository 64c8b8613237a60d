"""The pictures of a judgement say what they show: units, intervals, verdicts in words."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stability.evaluation import compare, reliability_curve
from stability.plotting import plot_differences, plot_lead_times, plot_reliability


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def words(ax):
    legend = ax.get_legend()
    shown = [t.get_text() for t in (*ax.texts, *(legend.get_texts() if legend else ()))]
    return " ".join([ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel(), *shown])


@pytest.fixture
def curve():
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2026-01-01", periods=2400, freq="h", tz="UTC", unit="us")
    said = pd.Series(rng.random(2400), index=stamps)
    return said, pd.Series(rng.random(2400) < said, index=stamps)


@pytest.mark.parametrize("digits", [1, 6])
def test_reliability_shows_every_case(curve, digits):
    said, came = curve
    curve = reliability_curve(said.round(digits), came, resamples=20, confidence=0.9)
    upper, lower = plot_reliability(curve, base_rate=0.5, label="forest", confidence=0.9)
    assert "90 %" in words(upper)
    assert "forest" in words(upper)
    assert "base rate 0.5" in words(upper)
    assert (lower.get_xlabel(), lower.get_ylabel()) == ("forecast probability", "cases")
    assert sum(bar.get_height() for bar in lower.patches) == 2400


@pytest.mark.parametrize(("longest", "unit"), [("50s", "s"), ("50min", "min"), ("9h", "h"), ("9D", "days")])
def test_leads_have_the_unit_that_suits_them(longest, unit):
    leads = pd.timedelta_range(0, longest, periods=4)
    recall = pd.DataFrame({"value": [0.9, 0.5, 0.2, 0.1], "lo": 0.0, "hi": 1.0}, index=leads)
    ax = plot_lead_times({"forest": recall, "silent": recall.assign(value=np.nan)})
    assert f"lead time ({unit})" in words(ax)
    assert "share of impacts" in words(ax)
    assert ax.lines[0].get_xdata()[-1] == pytest.approx(leads[-1] / pd.Timedelta(1, unit.replace("days", "D")))


def test_differences_say_their_verdict():
    rng = np.random.default_rng(0)
    base = rng.normal(size=20)
    scores = pd.DataFrame(
        {"base": base, "good": base + 1, "bad": base - 1 + 0.1 * rng.normal(size=20), "alike": rng.permutation(base)}
    )
    tables = {"VUS-PR": compare(scores, "base"), "F1": compare(scores.iloc[:3], "base")}
    one, other = plot_differences(tables, "base")
    assert "VUS-PR, minus that of base" in words(one)
    for verdict in ("better", "worse", "not distinguishable"):
        assert verdict in words(one)
    assert words(other).count("not enough evidence") == 3
    assert [tick.get_text() for tick in one.get_yticklabels()] == ["good", "bad", "alike"]
