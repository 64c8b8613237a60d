"""Pictures of drift: what they are given stands where it belongs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stability.plotting import plot_drift, plot_performance, plot_rounds

KEYS = ["entity", "metric", "kind"]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_indices_stand_beside_their_limits_the_clearest_on_top():
    table = pd.DataFrame(
        {
            "psi": [0.2, 0.05, 0.3, np.nan],
            "threshold": [0.4, 0.01, 0.1, np.nan],
            "verdict": ["no drift seen", "drift", "drift", "not enough evidence"],
        },
        index=pd.MultiIndex.from_tuples(
            [("a", "x", "values"), ("a", "y", "values"), ("b", "x", "missing"), ("b", "y", "values")], names=KEYS
        ),
    )
    ax = plot_drift(table)
    assert [bar.get_width() for bar in ax.patches] == [0.01, 0.1, 0.4]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a y", "b x (missing)", "a x"]
    assert "3 of 3" in ax.get_xlabel()
    dots = {
        line.get_label(): line.get_xdata().tolist() for line in ax.lines if line.get_label() in set(table["verdict"])
    }
    assert dots == {"drift": [0.05, 0.3], "no drift seen": [0.2]}
    assert len(plot_drift(table, most=1).patches) == 1
    assert not plot_drift(table[:0]).patches


def test_windows_stand_in_their_middle_beside_the_reference():
    begins = pd.date_range("2026-01-01", periods=2, freq="h", tz="UTC")
    index = pd.MultiIndex.from_product([begins, ["brier", "lift"]], names=["window", "measure"])
    table = pd.DataFrame({"value": [0.1, 3.0, 0.2, 2.0], "reference": [0.1, 3.0, 0.1, 3.0]}, index)
    table["lo"], table["hi"] = table["value"] - 0.01, table["value"] + 0.01
    table["verdict"] = ["not distinguishable", "worse", "worse", "not enough evidence"]
    upper, lower = plot_performance(table, window=pd.Timedelta("1h"))
    assert upper.get_ylabel() == "Brier score"
    assert upper.lines[0].get_ydata()[0] == 0.1
    assert upper.lines[2].get_ydata()[0] == 0.1
    assert pd.Timestamp(upper.lines[2].get_xdata()[0]) == begins[0] + pd.Timedelta("30min")
    assert upper.lines[2].get_color() != upper.lines[4].get_color() == lower.lines[2].get_color()


def test_rounds_have_a_thick_mean_and_a_thin_line_a_fleet():
    rows = [
        (seed, way, r, 0.3 - 0.1 * r * (way == "negative"))
        for seed in (0, 1)
        for way in ("negative", "drop")
        for r in (0, 1)
    ]
    played = pd.DataFrame(rows, columns=["seed", "way", "round", "pr_auc"]).assign(base_rate=0.02)
    ax = plot_rounds(played, names={"negative": "at its word"})
    thick = [line for line in ax.lines if line.get_linewidth() == 2]
    assert [line.get_ydata().tolist() for line in thick] == [pytest.approx([0.3, 0.2]), [0.3, 0.3]]
    assert len(ax.lines) == 2 * 2 + 2 + 1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["at its word", "drop", "base rate"]
