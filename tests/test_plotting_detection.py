"""The pictures of detection say what they show: units, UTC, thresholds, every label and every alarm."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stability.detection import MeanShift, alarms_per_day, gaussian_alarms_per_day, raise_alarms
from stability.plotting.detection import plot_band, plot_comparison, plot_detection, plot_false_alarm_rate
from stability.schema import validate

METRIC = "process_resident_memory_bytes"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def panel():
    stamps = pd.date_range("2026-01-01", periods=600, freq="min", tz="UTC", unit="us", name="timestamp")
    values = np.random.default_rng(0).normal(1e9, 1e7, size=600)
    values[400:420] += 3e8
    one = pd.DataFrame({METRIC: values}, index=stamps)
    one.attrs["entity"] = "web-1"
    return validate(one, "telemetry")


@pytest.fixture
def judged(panel):
    detector = MeanShift(variant="global").fit(panel.iloc[:300])
    scores = detector.score(panel)
    stamps = panel.index.get_level_values("timestamp")
    windows = pd.DataFrame({"entity": ["web-1", "web-1", "web-2"], "start": stamps[[395, 500, 0]], "end": stamps[425]})
    windows.loc[1, "end"] = pd.NaT
    return detector, scores, raise_alarms(scores, 5.0), windows


def text(ax):
    return " ".join([ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel(), *(t.get_text() for t in ax.texts)])


def test_band_marks_what_lies_outside_and_counts_it(panel, judged):
    mean, deviation = (part[METRIC] for part in judged[0].expected(panel))
    ax = plot_band(panel[METRIC], mean, deviation, 5.0, label="global")
    assert len(ax.lines[1].get_xdata()) == 20
    assert "3.33% of 600 values outside" in text(ax)
    assert "bytes" in ax.get_ylabel()
    assert "UTC" in ax.get_xlabel()


@pytest.mark.parametrize("k", [0.01, 5.0, 1e6])
def test_band_leaves_room_for_every_value_and_does_not_flatten_them(panel, judged, k):
    mean, deviation = (part[METRIC] for part in judged[0].expected(panel))
    low, high = plot_band(panel[METRIC], mean, deviation, k).get_ylim()
    extent = panel[METRIC].max() - panel[METRIC].min()
    assert low < panel[METRIC].min() < panel[METRIC].max() < high
    assert high - low < 2 * extent


def test_band_knows_no_outside_where_nothing_was_expected(panel):
    unknown = pd.Series(np.nan, index=panel.index)
    assert "0.00% of 0 values" in text(plot_band(panel[METRIC], unknown, unknown, 5.0))
    assert "0.00% of 0 values" in text(plot_band(panel[METRIC], panel[METRIC], panel[METRIC], np.nan))


def test_detection_shows_labels_and_alarms_of_its_entity_on_one_axis(panel, judged):
    _, scores, alarms, windows = judged
    axes = plot_detection(panel[METRIC], scores, 5.0, alarms, windows)
    assert all(ax.get_xlim() == axes[0].get_xlim() for ax in axes)
    assert len(axes[2].patches) == 2 + len(alarms)  # an open label reaches to the end, the other entity's is left out
    assert "web-1" in text(axes[0])
    assert 5.0 in axes[1].get_yticks()
    assert "UTC" in axes[2].get_xlabel()


def test_detection_draws_without_threshold_labels_or_alarms(panel, judged):
    _, scores, alarms, windows = judged
    axes = plot_detection(panel[METRIC], scores * np.nan, np.nan, alarms.iloc[:0], windows.iloc[:0])
    assert len(axes[2].patches) == 0


def test_false_alarm_rate_marks_each_choice_on_the_measured_line(judged):
    scores = judged[1]
    ks = np.geomspace(1, 50, 30)
    rates = {"history": alarms_per_day(scores, ks), "test": alarms_per_day(scores, ks) / 2}
    ax = plot_false_alarm_rate(ks, rates, gaussian_alarms_per_day(ks, 1440), wanted=2.0, chosen={"tail": 4.0})
    labels = [line.get_label() for line in ax.lines]
    assert {"history", "test", "Gaussian noise"} <= set(labels)
    marked = ax.lines[labels.index("k by tail: 4")]
    assert marked.get_xdata()[0] == 4.0
    assert marked.get_ydata()[0] == pytest.approx(np.interp(4.0, ks, rates["history"]))
    assert "per entity-day" in ax.get_ylabel()


def test_comparison_says_where_evidence_is_missing():
    frame = pd.DataFrame({"value": [0.5, np.nan], "lo": [0.2, np.nan], "hi": [0.7, np.nan]}, index=["one", "other"])
    axes = plot_comparison({"recall": frame, "F1": frame}, marked="one")
    assert [ax.get_xlabel() for ax in axes] == ["recall", "F1"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["one", "other"]
    assert "not enough evidence" in text(axes[1])
