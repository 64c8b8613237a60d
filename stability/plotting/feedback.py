"""What users say: how they fare day by day, what they write about when, and who knew of an incident first."""

from __future__ import annotations

__all__ = ["plot_experience", "plot_messages", "plot_noticed"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import COLOURS, PALETTE, canvas, time_axis

ROW = 0.2  # in, height of an incident
LANE = 0.32  # in, height of a category
SPREAD = 0.32  # of a lane's half height over which messages of one moment are spread
MARKS = ("o", "s", "D", "^", "v")
KINDS = {
    "level": ("good requests (%)", 100.0),
    "apdex": ("Apdex (0-1)", 1.0),
    "csat": ("satisfied raters (%)", 100.0),
}


def plot_experience(days: pd.DataFrame, *, promised: float | None = None) -> np.ndarray:
    """Draw service level, Apdex and satisfaction of each day with their intervals, one below the other.

    Parameters
    ----------
    days : DataFrame, index timestamp
        Of one entity, from `feedback.experience.experience`: `level`, `apdex`, `csat`, each with `_lo` and `_hi`, and
        `ratings`. A day of which something is not known has no point there.
    promised : float, optional
        Level that is promised, a share.

    Returns
    -------
    array of three Axes
    """
    axes = canvas(3, 1, height=1.5)[1][:, 0]
    width = (days.index[1] - days.index[0]) / 2 if len(days) > 1 else pd.Timedelta(0)
    for place, (ax, (name, (label, factor))) in enumerate(zip(axes, KINDS.items(), strict=True)):
        known = days[days[name].notna()]
        values, lo, hi = (factor * known[f"{name}{end}"].to_numpy(dtype=float) for end in ("", "_lo", "_hi"))
        colour = COLOURS[place]
        middle = known.index + width
        ax.vlines(middle, lo, hi, color=colour, linewidth=1.2, alpha=0.5)
        ax.plot(middle, values, "o", color=colour, markersize=4)
        ax.set_ylabel(label)
        if name == "csat":  # few votes reach from none to all; the others lie close to each other
            ax.set_ylim(-5, 105)
    if promised is not None:
        axes[0].axhline(100 * promised, color=PALETTE["black"], linewidth=0.8, linestyle="--")
        told = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8}
        axes[0].annotate(f"promised\n{100 * promised:g} %", (1.005, 100 * promised), **told)
    rated = days[days["ratings"] > 0]
    above = {"xytext": (0, 3), "textcoords": "offset points", "fontsize": 7}
    for moment, count in zip(rated.index + width, rated["ratings"], strict=True):
        axes[2].annotate(f"{count:.0f}", (moment, 1.0), xycoords=("data", "axes fraction"), ha="center", **above)
    axes[2].annotate("ratings ", (0, 1.0), xycoords="axes fraction", ha="right", **above)
    if len(days):
        axes[0].set_xlim(days.index[0], days.index[-1] + 2 * width)
    time_axis(axes[2])
    return axes


def plot_messages(messages: pd.DataFrame, incidents: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw when users wrote about what, and when something was wrong.

    Parameters
    ----------
    messages : DataFrame
        `timestamp`, `category`, `alike` (how many said nearly the same at the time, itself included).
    incidents : DataFrame
        `impact_start`, `recovered_at`: shaded; one without an end reaches to the last message.
    ax : Axes, optional

    Returns
    -------
    Axes
        A lane a category, the one with the most messages on top; larger marks have more that are alike.
    """
    counts = messages["category"].value_counts()
    ax = ax or canvas(1, 1, height=0.9 + LANE * max(len(counts), 1))[1][0, 0]
    last = messages["timestamp"].max()
    for one in incidents.dropna(subset=["impact_start"]).itertuples():
        end = last if pd.isna(one.recovered_at) else one.recovered_at
        ax.axvspan(one.impact_start, end, color=PALETTE["vermillion"], alpha=0.18, linewidth=0)
    for place, (name, count) in enumerate(counts.items()):
        own = messages[messages["category"] == name].sort_values("timestamp")
        height = place + SPREAD * (np.arange(count) % 3 - 1)  # neighbours do not hide each other
        ax.scatter(own["timestamp"], height, s=10 * own["alike"] ** 1.5, color=COLOURS[place % len(COLOURS)], alpha=0.8)
    ax.set_yticks(range(len(counts)), [f"{name.replace('_', ' ')} ({count})" for name, count in counts.items()])
    ax.set_ylim(max(len(counts), 1) - 0.4, -0.6)
    ax.fill_between([], [], color=PALETTE["vermillion"], alpha=0.18, label="users were hurt")
    ax.scatter([], [], s=10, color=PALETTE["grey"], label="a message")
    ax.scatter([], [], s=10 * 3**1.5, color=PALETTE["grey"], label="three alike")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
    time_axis(ax)
    return ax


def plot_noticed(seconds: pd.DataFrame, labels: Mapping[str, str] | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw how long after the first harm each source knew of each incident.

    Parameters
    ----------
    seconds : DataFrame, index incident
        A column a source: s from the begin of the impact, below 0 before it, NaN where it never knew.
    labels : mapping of str to str, optional
        Incident -> what stands beside it, such as its failure mode.
    ax : Axes, optional

    Returns
    -------
    Axes
        Earliest incidents on top; below, how many each source knew of.
    """
    ordered = seconds.assign(first=seconds.min(axis=1)).sort_values("first", kind="stable").drop(columns="first")
    ax = ax or canvas(1, 1, height=1.0 + ROW * max(len(ordered), 1))[1][0, 0]
    for place, name in enumerate(ordered):
        known = ordered[name].notna().to_numpy()
        label = f"{name} ({known.sum()} of {len(ordered)})"
        ax.plot(
            ordered[name][known], np.flatnonzero(known), MARKS[place % len(MARKS)], color=COLOURS[place % len(COLOURS)],
            markersize=5, label=label,
        )  # fmt: skip
    ax.axvline(0, color=PALETTE["black"], linewidth=0.8)
    told = dict(labels or {})
    ax.set_yticks(range(len(ordered)), [told.get(name, name).replace("_", " ") for name in ordered.index], fontsize=7)
    ax.set_ylim(max(len(ordered), 1) - 0.4, -0.6)
    ax.set_xlabel("after users were first hurt (s)")
    ax.grid(axis="x")
    ax.margins(x=0.03)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(ordered.columns))
    return ax
