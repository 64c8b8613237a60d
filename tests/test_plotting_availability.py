"""Pictures of budgets, downtime and replicas: what they are given stands where it belongs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stability.plotting import plot_budget_course, plot_downtime, plot_placement, plot_policies, plot_replicas

STAMPS = pd.date_range("2026-03-01", periods=60, freq="min", tz="UTC")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_budget_has_its_alerts_below_it_in_its_own_lane():
    courses = pd.DataFrame({"answered": np.linspace(1, -0.5, 60), "in time": 1.0}, index=STAMPS)
    alerts = pd.DataFrame(
        {
            "objective": ["answered", "answered", "in time"],
            "severity": ["page", "ticket", "page"],
            "start": STAMPS[[10, 20, 30]],
            "end": [STAMPS[15], pd.NaT, STAMPS[35]],
        }
    )
    ax = plot_budget_course(courses, alerts)
    assert ax.lines[0].get_ydata()[-1] == -50
    lanes = [segment for collection in ax.collections for segment in collection.get_segments()]
    assert len(lanes) == 3
    assert len({round(lane[0][1], 6) for lane in lanes}) == 2
    assert max(lane[0][1] for lane in lanes) < -50
    assert plot_budget_course(courses, alerts.iloc[:0]).get_ylabel() == "error budget left (%)"


def test_downtime_stands_in_minutes_with_its_share():
    modes = pd.DataFrame(
        {"seconds": [90.0, 30.0], "share": [0.75, 0.25], "faults": [2, 1]}, index=["disk_full", "leak"]
    )
    ax = plot_downtime(modes)
    assert [bar.get_width() for bar in ax.patches] == [1.5, 0.5]
    assert [text.get_text() for text in ax.texts] == [" 75%, 2 faults", " 25%, 1 fault"]
    assert not plot_downtime(modes.iloc[:0]).patches


def test_replicas_stand_over_demand_and_late_seconds_below():
    run = pd.DataFrame({"demand": 100.0, "ready": 2, "over": np.arange(60) < 3}, index=STAMPS)
    upper, lower = plot_replicas({"plan": run, "reaction": run.assign(ready=3, over=False)}, 90.0)
    assert [line.get_ydata()[0] for line in upper.lines] == [100.0, 180.0, 270.0]
    assert [len(lines.get_segments()) for lines in lower.collections] == [3, 0]


def test_policies_stand_by_price_and_minutes_and_none_is_shown():
    settings = pd.DataFrame({"policy": ["plan", "plan", "fixed"], "replicas": [2.0, 3, 4], "minutes": [5.0, 1, 0]})
    ax = plot_policies(settings, settings.iloc[[1]])
    assert ax.get_yscale() == "log"
    assert ax.lines[1].get_xdata().tolist() == [3.0]
    assert ax.lines[2].get_ydata()[0] > 0


def test_replicas_stand_side_by_side_on_their_node():
    index = pd.MultiIndex.from_tuples([("gateway", "n2"), ("model", "n1"), ("model", "n2")], names=["service", "node"])
    plan = pd.DataFrame({"replicas": [1, 2, 1]}, index=index)
    services = pd.DataFrame({"cpu": [1.0, 1.5]}, index=["gateway", "model"])
    nodes = pd.DataFrame({"cpu": [4.0, 4.0, 2.0]}, index=["n1", "n2", "n3"])
    ax = plot_placement(plan, services, nodes, headroom=0.25)
    pieces = sorted((round(bar.get_y() + bar.get_height() / 2), bar.get_x(), bar.get_width()) for bar in ax.patches[3:])
    assert pieces == [(0, 0.0, 1.5), (0, 1.5, 1.5), (1, 0.0, 1.0), (1, 1.0, 1.5)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["25% kept free", "gateway", "model"]
    assert [segment[0][0] for segment in ax.collections[0].get_segments()] == [3.0, 3.0, 1.5]
