"""Pictures of a game day: each slot a line, with what was done where it was done."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from stability.plotting import plot_impact, plot_slots

SLOTS = pd.DataFrame(
    {
        "round": 1,
        "place": [0, 1],
        "trial": 0,
        "arm": ["nobody", "workbench"],
        "mode": "disk_full",
        "entity": "model-a",
        "seconds": 60.0,
        "cause_start": 10.0,
        "cause_end": [np.nan, 25.0],
    }
)
SECONDS = pd.DataFrame([(1, p, s, s >= 20 and (p == 0 or s < 26)) for p in (0, 1) for s in range(60)])
SECONDS.columns = ["round", "place", "second", "bad"]
NOTES = pd.DataFrame(
    [
        (1, 0, 15.0, "alarm", None),
        (1, 0, 9.0, "alarm", None),
        (1, 1, 14.0, "alarm", None),
        (1, 1, 22.0, "action", "x"),
        (1, 1, 50.0, "verdict", "verified"),
        (1, 1, 55.0, "verdict", "inconclusive"),
    ],
    columns=["round", "place", "second", "what", "verb"],
)


def test_a_slot_shows_its_cause_its_bad_seconds_and_what_was_done():
    ax = plot_slots(SLOTS, SECONDS, NOTES)
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert (10.0, 50.0) in bars  # to the end of the slot
    assert (10.0, 15.0) in bars
    assert sum(width == 1.0 for _, width in bars) == SECONDS["bad"].sum() == 46
    marks = {(line.get_marker(), *np.atleast_1d(line.get_xdata())) for line in ax.lines if len(line.get_xdata())}
    assert marks == {("|", 15.0), ("|", 14.0), ("^", 22.0), ("o", 50.0), ("x", 55.0)}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["disk full of model-a, nobody", "workbench"]
    plt.close("all")


def test_means_stand_where_they_are_and_no_slot_is_no_error():
    slots = pd.DataFrame({"arm": ["nobody"] * 2 + ["workbench"] * 2, "impact_s": [100.0, 140, 10, 20]})
    ax = plot_impact(slots, ["nobody", "workbench"])
    means = [line.get_xdata()[0] for line in ax.lines if line.get_marker() in ("None", "")]
    assert means == [120.0, 15.0]
    assert not plot_impact(slots.iloc[:0], []).lines
    assert not plot_slots(SLOTS.iloc[:0], SECONDS.iloc[:0], NOTES.iloc[:0]).patches
    plt.close("all")
