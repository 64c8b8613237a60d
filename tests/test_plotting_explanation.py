"""Pictures of explanations: the bars that they should have, at the right side of zero."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stability.plotting import plot_contributions, plot_importance
from stability.prediction.explanation import importance


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_bars_are_the_largest_contributions_and_the_sum_of_the_others():
    row = pd.Series([0.5, -2.0, 0.25, 0.125, 1.0], ["a", "b", "c", "d", "e"])
    ax = plot_contributions(row, labels={"b": "b is low"}, most=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b is low", "e", "a", "all others (2)"]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [-2.0, 1.0, 0.5, 0.375])
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    assert [text.get_text() for text in ax.texts] == ["-2", "+1", "+0.5", "+0.38"]
    assert "log odds" in ax.get_xlabel()
    top, bottom = ax.get_ylim()[1], ax.get_ylim()[0]
    assert top < bottom  # the largest stands above


def test_all_fit_without_others():
    ax = plot_contributions(pd.Series([0.5, -2.0], ["a", "b"]), scale="probability")
    assert len(ax.patches) == 2
    assert "probability" in ax.get_xlabel()


def test_importance_shows_sizes_and_shares():
    found = pd.DataFrame({"load__mean__1h": [3.0, -3.0], "heat__mean__1h": [1.0, 1.0], "noise": [0.0, 0.0]})
    ax = plot_importance(importance(found, by="metric"), most=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["load", "heat"]
    assert [bar.get_width() for bar in ax.patches] == [3.0, 1.0]
    assert [text.get_text() for text in ax.texts] == ["75%", "25%"]


def test_nothing_that_matters_is_drawn_too():
    plot_importance(importance(pd.DataFrame({"a": [0.0], "b": [0.0]}))).figure.canvas.draw()
    plot_contributions(pd.Series([0.0, 0.0], ["a", "b"])).figure.canvas.draw()
