"""Pictures of feedback: what is known stands where it belongs, and what is not known stands nowhere."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stability.plotting import plot_experience, plot_messages, plot_noticed

STAMPS = pd.date_range("2026-03-01", periods=4, freq="D", tz="UTC")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def days(**changed):
    table = {"level": 0.99, "apdex": 0.9, "csat": [0.5, np.nan, 0.25, 1.0], "ratings": [4, 0, 4, 1]}
    for name in ("level", "apdex", "csat"):
        table |= {f"{name}_lo": np.array(table[name]) - 0.1, f"{name}_hi": np.array(table[name]) + 0.1}
    return pd.DataFrame(table | changed, index=STAMPS)


def test_three_measures_share_their_days_and_a_day_without_ratings_has_no_point():
    level, apdex, csat = plot_experience(days(), promised=0.98)
    assert level.lines[0].get_ydata().tolist() == [99.0] * 4
    assert level.lines[1].get_ydata()[0] == 98
    assert apdex.get_ylabel() == "Apdex (0-1)"
    assert csat.lines[0].get_ydata().tolist() == [50.0, 25.0, 100.0]
    assert [text.get_text() for text in csat.texts] == ["4", "4", "1", "ratings "]
    (ends,) = csat.collections
    assert [segment[:, 1].round(6).tolist() for segment in ends.get_segments()] == [[40, 60], [15, 35], [90, 110]]


def test_days_of_which_nothing_is_known_are_an_empty_picture():
    axes = plot_experience(days(level=np.nan, apdex=np.nan, csat=np.nan, ratings=0))
    assert all(len(ax.lines[0].get_ydata()) == 0 for ax in axes)
    assert len(plot_experience(days().iloc[:0])) == 3


def test_messages_stand_in_the_lane_of_their_category_over_what_went_wrong():
    messages = pd.DataFrame({"timestamp": STAMPS, "category": ["latency", "billing", "latency", "wrong_answer"]})
    incidents = pd.DataFrame(
        {"impact_start": [STAMPS[0], STAMPS[2], pd.NaT], "recovered_at": [STAMPS[1], pd.NaT, pd.NaT]}
    )
    ax = plot_messages(messages.assign(alike=[1, 1, 4, 1]), incidents)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["latency (2)", "billing (1)", "wrong answer (1)"]
    lanes = [
        lane.get_offsets()[:, 1] for lane in ax.collections if len(lane.get_offsets()) and lane.get_array() is None
    ]
    assert [np.round(lane).tolist() for lane in lanes[:3]] == [[0, 0], [1], [2]]
    assert len(ax.patches) == 2, "two were felt, the second to the last message"
    assert plot_messages(messages.iloc[:0].assign(alike=1), incidents.iloc[2:]).get_xlabel() == "time (UTC)"


def test_who_knew_first_stands_on_top_and_who_never_knew_nowhere():
    seconds = pd.DataFrame({"alarm": [5.0, -20.0, np.nan], "users": [2.0, np.nan, np.nan]}, index=["i1", "i2", "i3"])
    ax = plot_noticed(seconds, {"i2": "disk_full"})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["disk full", "i1", "i3"]
    assert ax.lines[0].get_xdata().tolist() == [-20.0, 5.0]
    assert ax.lines[1].get_xdata().tolist() == [2.0]
    assert ax.lines[1].get_ydata().tolist() == [1]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["alarm (2 of 3)", "users (1 of 3)"]
    assert ax.get_xlabel().endswith("(s)")
    assert not plot_noticed(seconds.iloc[:0]).lines[0].get_xdata().size
