"""Pictures without time: how metrics go together, how each is distributed."""

from __future__ import annotations

__all__ = ["plot_correlation", "plot_distribution"]

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import EngFormatter, MaxNLocator

from stability.plotting.style import LARGE, PALETTE, canvas, explain, unit_text
from stability.schema import ContractError, one_of, validate

WRITTEN = 16  # metrics up to which the numbers fit into their cells
BARS = 60
# Orange and blue are told apart with every common form of colour blindness.
TOGETHER = LinearSegmentedColormap.from_list("together", ["#A85A00", "#F7F7F7", "#005A8C"])


def plot_correlation(correlation: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a correlation matrix, metrics that go together beside each other.

    Parameters
    ----------
    correlation : DataFrame, square
        Correlations in [-1, 1], equal names on both sides; NaN where there is none.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        Rows and columns are metrics; blue goes together, orange goes against each other.

    Raises
    ------
    ContractError
        For a matrix whose rows and columns differ, or with fewer than two metrics.
    """
    if list(correlation.index) != list(correlation.columns) or len(correlation) < 2:
        raise ContractError(expected="a square matrix of at least two metrics", got=f"shape {correlation.shape}")
    order = _grouped(correlation)
    table = correlation.loc[order, order].astype(float)
    size = len(order)
    if ax is None:
        _, grid = canvas(height=1.2 + 0.36 * size)
        ax = grid[0, 0]
    ax.set_facecolor("#EEEEEE")
    image = ax.imshow(np.ma.masked_invalid(table), cmap=TOGETHER, vmin=-1, vmax=1, aspect="auto")
    ax.set_xticks(range(size), order, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(size), order)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if size <= WRITTEN:
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            if np.isfinite(value):
                shade = "white" if abs(value) > 0.65 else "black"
                ax.text(column, row, _short(value), ha="center", va="center", color=shade, fontsize=8)
    if table.isna().any(axis=None):
        ax.set_title("grey: never measured together")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.01)
    bar.set_label("rank correlation")
    bar.outline.set_visible(False)
    return ax


def _short(value: float) -> str:
    """Two decimals without what goes without saying: .35, -.07, 0, 1."""
    text = f"{value:.2f}"
    return {"0.00": "0", "-0.00": "0", "1.00": "1", "-1.00": "-1"}.get(text, text.replace("0.", "."))


def _grouped(correlation: pd.DataFrame) -> list[str]:
    """Order by average linkage, so that what goes together stands together."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    distance = 1 - correlation.fillna(0).to_numpy().astype(float)
    distance = np.clip((distance + distance.T) / 2, 0, None)
    np.fill_diagonal(distance, 0)
    pairs = squareform(distance, checks=False)
    return [correlation.index[place] for place in leaves_list(optimal_leaf_ordering(linkage(pairs, "average"), pairs))]


def plot_distribution(panel: pd.DataFrame, *, metrics: Sequence[str] | None = None, columns: int = 3) -> np.ndarray:
    """Draw how often each value of each metric occurs, all entities together.

    Parameters
    ----------
    panel : DataFrame
        Telemetry.
    metrics : sequence of str, optional
        Default: all that have more than one value.
    columns : int
        Panels beside each other.

    Returns
    -------
    array of Axes, shape (metrics,)
        x: the metric's unit; y: samples, logarithmic, so that rare values are seen. Lines: median and 99 % quantile.

    Raises
    ------
    ContractError
        For an unknown metric, one without any value, or when no metric has more than one value.
    """
    panel = validate(panel, "telemetry")
    for name in metrics or []:
        if panel[one_of(name, panel.columns, "metric")].isna().all():
            raise ContractError(column=name, expected="a value of it", got="none")
    names = list(metrics) if metrics is not None else [name for name in panel if np.ptp(panel[name].dropna()) > 0]
    if not names:
        raise ContractError(expected="a metric with more than one value", got="none")
    columns = min(columns, len(names))
    _, grid = canvas(-(-len(names) // columns), columns, height=1.7, sharex=False)
    for ax in grid.ravel()[len(names) :]:
        ax.remove()
    for ax, name in zip(grid.ravel(), names, strict=False):
        values = panel[name].dropna().to_numpy()
        ax.hist(values, bins=BARS, color=PALETTE["sky"], log=True)
        lines = {
            word: ax.axvline(np.quantile(values, share), color=PALETTE["black"], linewidth=0.9, linestyle=dash)
            for word, share, dash in (("median", 0.5, "-"), ("99 % quantile", 0.99, "--"))
        }
        ax.set_title(name if len(name) < 32 else name[:15] + "…" + name[-15:], fontsize=8.5)
        ax.set_xlabel(unit_text(name))
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        if np.abs(values).max() >= LARGE:
            ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
    for ax in grid[:, 0]:
        ax.set_ylabel("samples")
    grid[0, 0].figure.suptitle("How often each value occurs", x=0.01, ha="left", fontsize=11, fontweight="bold")
    explain(grid[0, 0].figure, lines)
    return grid.ravel()[: len(names)]
