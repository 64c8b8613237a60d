"""Marks of known faults and labelled windows on any axis of time."""

from __future__ import annotations

__all__ = ["mark_faults"]

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from stability.plotting.style import PALETTE

# Behind the data: a mark must not hide the peak that it explains.
CAUSE = {"color": PALETTE["orange"], "alpha": 0.3, "linewidth": 0, "zorder": 0.5}
IMPACT = {"color": PALETTE["vermillion"], "linewidth": 1.0, "zorder": 0.6}
CROWDED, SHORT = 20, 0.15  # beyond so many impacts on one axis their lines take so much of its height
WINDOW = {"color": PALETTE["green"], "alpha": 0.22, "linewidth": 0, "zorder": 0.5}


def mark_faults(
    ax: Axes,
    faults: pd.DataFrame | None,
    entity: str,
    *,
    windows: pd.DataFrame | None = None,
    legend: bool = False,
) -> dict[str, Artist]:
    """Mark the faults of an entity: a band from cause to recovery, a line where its users begin to feel it.

    Where there are many, the lines are short ones at the bottom: a fence of them would be all that one sees.

    Parameters
    ----------
    ax : Axes
        x is time; its limits stay as they are, and what lies outside is left out.
    faults : DataFrame or None
        Table of faults. A band needs cause_start and an end (recovered_at, else cause_end; open ones reach to the
        right); a fault of which one moment is known is a line.
    entity : str
        Whose.
    windows : DataFrame, optional
        Table of windows: bands of another colour.
    legend : bool
        Whether to explain the marks above the axes.

    Returns
    -------
    dict of str to Artist
        What the marks mean and one of each, for a legend; empty where nothing was marked.
    """
    left, right = ax.get_xlim()
    handles: dict[str, Artist] = {}
    if windows is not None:
        for row in windows[windows["entity"] == entity].itertuples():
            start, end = _day(row.start), _day(row.end)
            if end >= left and start <= right:
                ax.axvspan(max(start, left), min(end, right), **WINDOW)
                handles["labelled window"] = Patch(**WINDOW)
    if faults is not None:
        own = faults[faults["entity"] == entity]
        impacts = [moment for moment in map(_day, own["impact_start"].dropna()) if left <= moment <= right]
        height = SHORT if len(impacts) > CROWDED else 1.0
        for row in own.itertuples():
            _mark_band(ax, row, left, right, handles)
        for moment in impacts:
            handles["users begin to feel it"] = ax.axvline(moment, ymax=height, **IMPACT)
    ax.set_xlim(left, right)
    if legend and handles:
        ax.legend(
            handles.values(), handles.keys(), loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=len(handles),
            borderaxespad=0.2,
        )  # fmt: skip
    return handles


def _mark_band(ax: Axes, row, left: float, right: float, handles: dict) -> None:
    if pd.notna(row.cause_start):
        end = row.recovered_at if pd.notna(row.recovered_at) else row.cause_end
        start, end = _day(row.cause_start), right if pd.isna(end) else _day(end)
        if end >= left and start <= right:
            ax.axvspan(max(start, left), min(end, right), **CAUSE)
            handles["fault, cause to recovery"] = Patch(**CAUSE)


def _day(moment: pd.Timestamp) -> float:
    """Days since 1970, as matplotlib counts."""
    return moment.timestamp() / 86_400
