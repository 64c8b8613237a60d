"""Pictures of data without time: how values are distributed under several readings, and where kinds of points lie."""

from __future__ import annotations

__all__ = ["plot_histograms", "plot_kinds"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import COLOURS, PALETTE, canvas, unit_text
from stability.schema import ContractError, one_of

BINS = 30


def plot_histograms(
    values: Mapping[str, pd.Series], *, xlabel: str, ylabel: str = "rows", bins: int = BINS, ax: Axes | None = None
) -> Axes:
    """Draw the distributions of several series over the same bins.

    Parameters
    ----------
    values : mapping of str to Series of float64
        Name -> values; missing ones are left out.
    xlabel, ylabel : str
        What is counted along the axis, with its unit, and what a count counts.
    bins : int
        Of equal width from the least to the greatest value of all.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        One step line a series.

    Raises
    ------
    ContractError
        Where there is no value at all.
    """
    known = {name: series.dropna().to_numpy(dtype="float64") for name, series in values.items()}
    if not sum(len(numbers) for numbers in known.values()):
        raise ContractError(expected="series with at least one value", got="none", remedy="look at what was read")
    edges = np.histogram_bin_edges(np.concatenate(list(known.values())), bins=bins)
    ax = canvas()[1][0, 0] if ax is None else ax
    for (name, numbers), colour in zip(known.items(), COLOURS * len(known), strict=False):
        ax.stairs(np.histogram(numbers, edges)[0], edges, label=name, color=colour, linewidth=1.6)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="upper right")
    return ax


def plot_kinds(frame: pd.DataFrame, x: str, y: str, kinds: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw rows as points, those of each kind in its colour, over the rows of no kind in grey.

    Parameters
    ----------
    frame : DataFrame
        With the columns `x` and `y`, metrics of the registry.
    x, y : str
        Columns.
    kinds : DataFrame of bool
        A column a kind, the same rows; a row of several kinds is drawn as each of them.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        The legend says how many rows are of each kind.

    Raises
    ------
    ContractError
        For a column that is not there.
    """
    for column in (x, y):
        one_of(column, frame.columns, "column")
    ax = canvas(height=3.6)[1][0, 0] if ax is None else ax
    none = ~kinds.any(axis="columns")
    ax.plot(frame.loc[none, x], frame.loc[none, y], ".", color=PALETTE["grey"], markersize=2, alpha=0.35, zorder=1)
    for kind, colour in zip(kinds, COLOURS * kinds.shape[1], strict=False):
        own = frame[kinds[kind].to_numpy()]
        ax.plot(
            own[x], own[y], "o", color=colour, markersize=4, alpha=0.8, label=f"{kind.replace('_', ' ')}: {len(own):,}"
        )
    ax.plot([], [], ".", color=PALETTE["grey"], label=f"none: {int(none.sum()):,}")
    ax.set(xlabel=f"{x} ({unit_text(x)})", ylabel=f"{y} ({unit_text(y)})")
    ax.legend(loc="upper right")
    return ax
