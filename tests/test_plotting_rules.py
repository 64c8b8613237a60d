"""What rules are worth, in pictures: every number that is drawn is one of the table."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import ruled

from stability.plotting import plot_redundancy, plot_rule_leads, plot_rule_scores, plot_tuned
from stability.rules import firings, redundancy, score

PANEL, FAULTS = ruled.telemetry(), ruled.faults()
RULES = [
    ruled.rule("Leak", "memory_bytes > 80"),
    ruled.rule("TestbedItGrows", "memory_bytes > 50"),
    ruled.rule("Never", "memory_bytes > 1000", "disk_full"),
]
SCORES = score(RULES, PANEL, FAULTS)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def dots(ax):
    return [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]


def test_scores_are_drawn_as_they_are():
    axes = plot_rule_scores(SCORES)
    assert dots(axes[0]) == [*SCORES["recall"].iloc[:2], SCORES["recall_any"].iloc[2]]
    assert dots(axes[2]) == SCORES["false_per_day"].tolist()
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["leak", "it grows", "never"]
    hollow = [line.get_markerfacecolor() == "white" for line in axes[0].lines if line.get_marker() == "o"]
    assert hollow == [False, False, True]  # nothing of its mode happened


def test_only_leads_that_are_known_are_drawn():
    ax = plot_rule_leads(SCORES)
    assert sorted(dots(ax)) == sorted(SCORES["lead_p50"].dropna())
    assert plot_rule_leads(SCORES.iloc[2:]).get_xlabel()


def test_redundancy_shows_the_rules_that_fire():
    alike = redundancy(RULES, firings(RULES, PANEL), PANEL)
    ax = plot_redundancy(alike)
    assert np.allclose(ax.images[0].get_array(), alike.iloc[:2, :2])
    assert {text.get_text() for text in ax.texts} == {f"{alike.iloc[0, 1]:.2f}".lstrip("0")}


def test_before_and_after():
    after = SCORES.assign(recall=0.5, false_per_day=3.0)
    axes = plot_tuned(SCORES, after.iloc[:2])
    assert dots(axes[0]) == [1, 0.5, 1, 0.5]
    assert dots(axes[1])[1::2] == [3, 3]
