"""Pictures of trend, season and residual."""

from __future__ import annotations

__all__ = ["plot_components", "plot_residuals", "plot_season", "plot_strength"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from stability.decomposition import period_name
from stability.plotting.faults import mark_faults
from stability.plotting.series import draw_line
from stability.plotting.style import COLOURS, LARGE, PALETTE, canvas, label_values, time_axis, unit_text
from stability.schema import ContractError, validate

QUARTERS, HOURS = 96, 168  # parts of a cycle in its profile: quarters of an hour of a day, hours of a week
MOST_ROWS = 24
CYCLE_UNITS = ((2 * 86_400, 86_400, "days"), (7_200, 3_600, "hours"), (120, 60, "minutes"), (0, 1, "seconds"))


def plot_components(
    components: pd.DataFrame, *, faults: pd.DataFrame | None = None, windows: pd.DataFrame | None = None
) -> np.ndarray:
    """Draw one series and what it is made of, below each other.

    Parameters
    ----------
    components : DataFrame
        Components of one metric of one entity.
    faults, windows : DataFrame, optional
        Tables of the contract; those of the entity are marked.

    Returns
    -------
    array of Axes, shape (3 + periods,)
        Observed with the trend on it, each season (one panel without any), residual; x: time in UTC, y: the metric's
        unit. The grey bar at the right of each panel has the same length in the metric's unit in all of them.

    Raises
    ------
    ContractError
        For components of several series.
    """
    entity, metric, rows = _single(components)
    seasons = [name for name in rows if name.startswith("seasonal_") and rows[name].notna().any()]
    parts = ["observed", "trend", *(seasons or ["seasonal"]), "resid"]
    _, grid = canvas(len(parts), 1, height=1.35)
    spreads = [_range(rows[part]) for part in parts]
    for ax, part, spread in zip(grid[:, 0], parts, spreads, strict=True):
        line = draw_line(ax, rows[part], color=PALETTE["grey" if part == "resid" else "blue"], linewidth=0.8)
        if part == "observed":
            line.set_color(PALETTE["sky"])
            draw_line(ax, rows["trend"], color=PALETTE["black"], linewidth=1.0)
        label_values(ax, metric)
        ax.set_title(_words(part))
        _scale_bar(ax, min(value for value in spreads if value > 0) if max(spreads) > 0 else 0, spread)
        time_axis(ax, label=part == "resid")
        ax.tick_params(labelbottom=part == "resid")
        if faults is not None or windows is not None:
            mark_faults(ax, faults, entity, windows=windows, legend=part == "observed")
    grid[0, 0].figure.suptitle(f"{metric}, {entity}", x=0.01, ha="left", fontsize=11, fontweight="bold")
    return grid[:, 0]


def _words(part: str) -> str:
    words = {"observed": "observed, with its trend", "trend": "trend", "seasonal": "season", "resid": "residual"}
    return words.get(part, f"season of {part.removeprefix('seasonal_')}")


def _range(values: pd.Series) -> float:
    return 0.0 if values.isna().all() else float(values.max() - values.min())


def _scale_bar(ax: Axes, length: float, spread: float) -> None:
    """A bar beside the panel whose length is the smallest panel's range: short where the panel shows much."""
    if not length > 0 or not spread > 0:
        return
    low, high = ax.get_ylim()
    middle = (low + high) / 2
    bar = ax.get_yaxis_transform()
    ax.plot([1.008, 1.008], [middle - length / 2, middle + length / 2], color="#B0B0B0", linewidth=5,
            solid_capstyle="butt", transform=bar, clip_on=False)  # fmt: skip
    ax.set_ylim(low, high)


def plot_season(components: pd.DataFrame, period: float, *, ax: Axes | None = None) -> Axes:
    """Draw the profile of a period: what a cycle looks like without its trend, and how much cycles differ.

    Parameters
    ----------
    components : DataFrame
        Components of one metric of one entity.
    period : float
        In s; a cycle begins at a multiple of it since Monday 1970-01-05 00:00 UTC, so days at midnight and weeks on
        Monday.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: position in the cycle; y: observed - trend in the metric's unit: median, and the band that holds the
        middle 80 % of cycles.

    Raises
    ------
    ContractError
        For components of several series, or less than two cycles.
    """
    entity, metric, rows = _single(components)
    around = (rows["observed"] - rows["trend"]).dropna()
    seconds = around.index.as_unit("us").asi8 / 1e6 - 4 * 86_400
    if len(around) == 0 or seconds[-1] - seconds[0] < 2 * period:
        raise ContractError(expected=f"at least two cycles of {period_name(period)}", got="less")
    unit, word = next((unit, word) for longest, unit, word in CYCLE_UNITS if period >= longest)
    parts = HOURS if word == "days" else QUARTERS
    phase = np.floor(seconds % period / period * parts).astype(int)
    groups = around.groupby(phase)
    place = (groups.median().index.to_numpy() + 0.5) * period / parts / unit
    if ax is None:
        _, grid = canvas(height=2.6)
        ax = grid[0, 0]
    low, high = groups.quantile(0.1), groups.quantile(0.9)
    ax.fill_between(place, low, high, color=PALETTE["sky"], alpha=0.4, linewidth=0, label="middle 80 % of cycles")
    ax.plot(place, groups.median(), color=PALETTE["blue"], linewidth=1.4, label="median")
    ax.axhline(0, color=PALETTE["black"], linewidth=0.6)
    ax.set_xlim(0, period / unit)
    ax.set_xlabel(
        f"{word} into the cycle" + (" (from Monday 00:00 UTC)" if word == "days" else " (UTC)" * (period == 86_400))
    )
    label_values(ax, metric, prefix="observed - trend")
    ax.set_title(f"a cycle of {period_name(period)}: {metric}, {entity}")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, borderaxespad=0.2)
    return ax


def plot_strength(strengths: pd.DataFrame) -> np.ndarray:
    """Draw how strong trend and season of each series are, a row a metric (or an entity, where there is one metric).

    Parameters
    ----------
    strengths : DataFrame
        Of `stability.decomposition.strength`: index (entity, metric), columns trend and seasonal in [0, 1].

    Returns
    -------
    array of Axes, shape (2,)
        Trend and season; x: strength, 0 to 1. A dot is a series, the line the median of the row; at most 24 rows, those
        with the strongest season.

    Raises
    ------
    ContractError
        When no series has a strength.
    """
    known = strengths.dropna(subset=["trend", "seasonal"], how="all")
    if known.empty:
        raise ContractError(expected="at least one series with a strength", got="none")
    level = "metric" if known.index.unique("metric").size > 1 else "entity"
    order = known["seasonal"].fillna(0).groupby(level=level).median().sort_values()
    every, order = len(order), order.index[-MOST_ROWS:]
    _, grid = canvas(1, 2, height=1.0 + 0.24 * len(order), sharey=True)
    for ax, name, colour in zip(grid[0], ("trend", "seasonal"), (PALETTE["blue"], PALETTE["orange"]), strict=True):
        for row, key in enumerate(order):
            values = known.xs(key, level=level)[name].dropna()
            ax.plot(values, np.full(len(values), row), "o", color=colour, alpha=0.6, markersize=5, markeredgewidth=0)
            if len(values) > 1:
                ax.plot([values.median()] * 2, [row - 0.35, row + 0.35], color=PALETTE["black"], linewidth=1.6)
        ax.set_xlim(-0.02, 1.02)
        ax.set_xlabel("strength (0-1)")
        ax.set_title({"trend": "trend", "seasonal": "season"}[name])
        ax.grid(axis="x", visible=True)
    if every > len(order):
        grid[0, 0].figure.suptitle(f"{len(order)} of {every}, the strongest seasons", x=0.01, ha="left", fontsize=10)
    grid[0, 0].set_yticks(range(len(order)), order)
    grid[0, 0].set_ylim(-0.7, len(order) - 0.3)
    return grid[0]


def plot_residuals(residuals: Mapping[str, pd.Series], metric: str, **marks) -> np.ndarray:
    """Draw residuals of the same rows below each other on one scale, and how their sizes are distributed.

    Parameters
    ----------
    residuals : mapping of str to Series of float64
        Name to residual; index with a timestamp level, one entity.
    metric : str
        Whose unit they have.
    **marks
        faults, windows (tables of the contract) and entity, for `mark_faults`.

    Returns
    -------
    array of Axes, shape (residuals + 1,)
        Residuals over time in UTC, y in the metric's unit on one scale that holds 99.8 % of the values; then, at the
        right, the share of rows whose residual is larger than x.
    """
    if not residuals:
        raise ContractError(expected="at least one residual", got="none")
    count = len(residuals)
    figure, _ = canvas(1, 1, height=1.5 * count)
    figure.clear()
    grid = figure.add_gridspec(count, 2, width_ratios=[3, 1])
    right = figure.add_subplot(grid[:, 1])
    axes: list[Axes] = []
    sizes = pd.concat([values.abs() for values in residuals.values()])
    bound = float(sizes.quantile(0.998)) * 1.15 or 1.0  # all zero: any scale will do
    for place, (name, values) in enumerate(residuals.items()):
        own = values.droplevel([level for level in values.index.names if level != "timestamp"])
        ax = figure.add_subplot(grid[place, 0], sharex=axes[0] if axes else None)
        draw_line(ax, own, color=COLOURS[place], bins=500, linewidth=0.7)
        ax.set_ylim(-bound, bound)
        label_values(ax, metric)
        ax.set_title(name, color=COLOURS[place])
        time_axis(ax, label=place == count - 1)
        ax.tick_params(labelbottom=place == count - 1)
        if marks:
            mark_faults(ax, marks.get("faults"), marks["entity"], windows=marks.get("windows"))
        size = np.sort(own.abs().dropna().to_numpy())
        right.plot(size, 1 - np.arange(len(size)) / max(len(size), 1), color=COLOURS[place], label=name, linewidth=1.4)
        axes.append(ax)
    right.set_yscale("log")
    right.set_xlim(0, bound)
    right.set_xlabel(f"size x ({unit_text(metric)})")
    right.set_title("share of rows beyond x")
    right.set_ylim(1e-3, 1)
    right.xaxis.set_major_locator(MaxNLocator(nbins=3))
    if bound >= LARGE:
        right.xaxis.set_major_formatter(EngFormatter(sep=" "))
    return np.array([*axes, right])


def _single(components: pd.DataFrame) -> tuple[str, str, pd.DataFrame]:
    components = validate(components, "components")
    series = components.index.droplevel("timestamp").unique()
    if len(series) != 1:
        raise ContractError(
            expected="components of one metric of one entity",
            got=f"{len(series)} series",
            remedy="components.xs((entity, metric), level=('entity', 'metric'), drop_level=False)",
        )
    return *series[0], components.droplevel(["entity", "metric"])
