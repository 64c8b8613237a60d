"""Pictures of telemetry over time: one series, one entity, one metric over the fleet."""

from __future__ import annotations

__all__ = ["draw_line", "envelope", "plot_fleet", "plot_panel", "plot_series"]

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from stability.plotting.faults import mark_faults
from stability.plotting.style import PALETTE, PANEL, canvas, explain, label_values, time_axis, times_of, unit_text
from stability.schema import ContractError, metric_registry, one_of, validate

BINS = 700  # of a line over the full width: about one a pixel
GAP = 3.0  # usual steps beyond which a line is broken: nothing is known in between
MOST_ROWS = 14  # entities that one picture of a fleet can hold


def envelope(values: pd.Series, bins: int = BINS) -> pd.Series:
    """Thin a series for drawing so that every peak stays: the least and the greatest value of each bin of time.

    Parameters
    ----------
    values : Series of float64
        Index timestamp; NaN where missing.
    bins : int
        Bins of equal time.

    Returns
    -------
    Series of float64
        At most two values a bin, at their own times; missing ones where a bin has none, and within gaps of more than
        three usual steps, so that no line is drawn there. A series of at most two values a bin keeps all.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=10_000, freq="1s", tz="UTC")
    >>> spike = pd.Series(0.0, index=stamps)
    >>> spike.iloc[4321] = 9.0
    >>> thin = envelope(spike, bins=100)
    >>> len(thin) <= 200, float(thin.max()), thin.idxmax() == stamps[4321]
    (True, 9.0, True)
    """
    values = _broken(values)
    if len(values) <= 2 * bins:
        return values
    numbers, times = values.to_numpy(), values.index.as_unit("us").asi8
    edges = np.searchsorted(times, np.linspace(times[0], times[-1] + 1, bins + 1))
    kept = []
    for first, last in itertools.pairwise(edges):
        part = numbers[first:last]
        if np.isfinite(part).any():
            kept += sorted({first + int(np.nanargmin(part)), first + int(np.nanargmax(part))})
        elif len(part):
            kept.append(first)
    return values.iloc[kept]


def _broken(values: pd.Series) -> pd.Series:
    """Put a missing value into each gap of the rows."""
    times = values.index
    if len(times) < 3:
        return values
    steps = np.diff(times.as_unit("us").asi8)
    wide = np.flatnonzero(steps > GAP * np.median(steps))
    if len(wide) == 0:
        return values
    holes = pd.Series(np.nan, index=times[wide] + pd.Timedelta(int(np.median(steps)), unit="us"))
    return pd.concat([values, holes]).sort_index(kind="stable")


def draw_line(ax: Axes, values: pd.Series, *, bins: int = BINS, **kwargs) -> Line2D:
    """Draw a series, thinned by `envelope`.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    values : Series of float64
        Index timestamp, or (entity, timestamp) of one entity.
    bins : int
        Bins of the envelope.
    **kwargs
        Passed on to `Axes.plot`.

    Returns
    -------
    Line2D
    """
    thin = envelope(pd.Series(values.to_numpy(), index=times_of(values.index)), bins)
    known = np.r_[False, np.isfinite(thin.to_numpy()), False]
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    (line,) = ax.plot(thin.index, thin.to_numpy(), **{"color": PALETTE["blue"], **kwargs})
    if alone.any():  # a value between two missing ones makes no line
        ax.plot(thin.index[alone], thin.to_numpy()[alone], ".", color=line.get_color(), markersize=2)
    return line


def plot_series(
    values: pd.Series,
    *,
    faults: pd.DataFrame | None = None,
    windows: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric of one entity.

    Parameters
    ----------
    values : Series of float64
        Named after its metric; index (entity, timestamp), or timestamp.
    faults, windows : DataFrame, optional
        Tables of the contract; those of the entity are marked.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: time in UTC; y: the metric's unit.
    """
    panel = validate(values, "telemetry")
    return plot_panel(panel, faults=faults, windows=windows, columns=1, axes=None if ax is None else [ax])[0]


def plot_panel(
    panel: pd.DataFrame,
    *,
    entity: str | None = None,
    metrics: Sequence[str] | None = None,
    faults: pd.DataFrame | None = None,
    windows: pd.DataFrame | None = None,
    columns: int = 2,
    axes: Sequence[Axes] | None = None,
) -> np.ndarray:
    """Draw the metrics of one entity beside and below each other on one time axis.

    Parameters
    ----------
    panel : DataFrame
        Telemetry.
    entity : str, optional
        Default: the only one.
    metrics : sequence of str, optional
        Default: all of which the entity has a value.
    faults, windows : DataFrame, optional
        Tables of the contract; those of the entity are marked.
    columns : int
        Panels beside each other.
    axes : sequence of Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    array of Axes, shape (metrics,)
        x: time in UTC; y: the metric's unit.

    Raises
    ------
    ContractError
        For an unknown entity or metric, or an entity without any value.
    """
    panel = validate(panel, "telemetry")
    entity = one_of(entity, panel.index.unique("entity"), "entity")
    rows = panel.xs(entity, level="entity")
    for name in metrics or []:
        one_of(name, panel.columns, "metric")
    names = list(metrics) if metrics is not None else [name for name in rows if rows[name].notna().any()]
    if not names:
        raise ContractError(
            expected=f"a metric of {entity} to draw", got="no value of any", remedy="take another entity"
        )
    if axes is None:
        columns = min(columns, len(names))
        height = PANEL if columns == 1 else 1.5
        _figure, grid = canvas(-(-len(names) // columns), columns, height=height)
        axes = grid.ravel()
        for spare in axes[len(names) :]:
            spare.remove()
    marks: dict = {}
    for place, (ax, name) in enumerate(zip(axes, names, strict=False)):
        draw_line(ax, rows[name], bins=BINS // columns)
        ax.set_title(f"{name}, {entity}" if len(names) == 1 else name)
        label_values(ax, name)
        last = place + columns >= len(names)
        time_axis(ax, label=last)
        ax.tick_params(labelbottom=last)
        if faults is not None or windows is not None:
            marks |= mark_faults(ax, faults, entity, windows=windows, legend=len(names) == 1)
    if len(names) > 1:
        axes[0].figure.suptitle(entity, x=0.01, ha="left", fontsize=11, fontweight="bold")
        explain(axes[0].figure, marks)
    return np.array(axes[: len(names)])


def plot_fleet(
    panel: pd.DataFrame,
    metric: str,
    *,
    faults: pd.DataFrame | None = None,
    windows: pd.DataFrame | None = None,
    share_values: bool | None = None,
    max_rows: int = MOST_ROWS,
) -> np.ndarray:
    """Draw one metric of every entity that has it, a row an entity.

    Parameters
    ----------
    panel : DataFrame
        Telemetry.
    metric : str
        Which.
    faults, windows : DataFrame, optional
        Tables of the contract; those of each entity are marked in its row.
    share_values : bool, optional
        Whether all rows have one scale of values. Default: where the registry knows the metric; a column of unknown
        meaning may hold different things in each entity.
    max_rows : int
        Entities at most; where there are more, those that vary most beside their own median are drawn.

    Returns
    -------
    array of Axes, shape (entities,)
        x: time in UTC or, where the entities were observed at different times, days since the first sample of each;
        y: the metric's unit.

    Raises
    ------
    ContractError
        For an unknown metric, or one without any value.
    """
    panel = validate(panel, "telemetry")
    values = panel[one_of(metric, panel.columns, "metric")].dropna()
    if values.empty:
        raise ContractError(column=metric, expected="a value of it", got="none")
    groups = values.groupby(level="entity")
    names = list(groups.size().index)
    if len(names) > max_rows:
        names = sorted(_restless(groups).nlargest(max_rows).index)
    stamps = {name: times_of(groups.get_group(name).index) for name in names}
    apart = _apart(stamps)
    if share_values is None:
        share_values = unit_text(metric) != "no unit" or metric in metric_registry()
    figure, grid = canvas(len(names), 1, height=max(0.55, 2.2 / len(names)), sharey=share_values)
    marks: dict = {}
    for place, (ax, name) in enumerate(zip(grid[:, 0], names, strict=True)):
        own = panel.xs(name, level="entity")[metric]
        _draw_row(ax, own, apart)
        if not apart and (faults is not None or windows is not None):
            marks |= mark_faults(ax, faults, name, windows=windows)
        label_values(ax, metric)
        ax.set_ylabel("")
        ax.set_title(name, fontsize=9, pad=2)
        ax.tick_params(labelbottom=place == len(names) - 1)
        ax.yaxis.get_major_locator().set_params(nbins=2)
    if apart:
        grid[-1, 0].set_xlabel("days since the entity's first sample")
    else:
        time_axis(grid[-1, 0])
    figure.supylabel(unit_text(metric), fontsize=9)
    explain(figure, marks)
    part = f", {len(names)} of {groups.ngroups} entities, the most restless" if groups.ngroups > len(names) else ""
    figure.suptitle(f"{metric} over the fleet{part}", x=0.01, ha="left", fontsize=11, fontweight="bold")
    return grid[:, 0]


def _draw_row(ax: Axes, values: pd.Series, apart: bool) -> None:
    if not apart:
        draw_line(ax, values, linewidth=0.7)
        return
    thin = envelope(values)
    days = (thin.index - values.index[0]) / pd.Timedelta("1D")
    ax.plot(days, thin.to_numpy(), color=PALETTE["blue"], linewidth=0.7)


def _apart(stamps: dict[str, pd.DatetimeIndex]) -> bool:
    """Whether the entities' times overlap so little that a common axis would be mostly empty."""
    first, last = min(own[0] for own in stamps.values()), max(own[-1] for own in stamps.values())
    longest = max(own[-1] - own[0] for own in stamps.values())
    return last - first > 2 * longest


def _restless(groups) -> pd.Series:
    """Distance of the 1 % from the 99 % quantile, over that of the quartiles: high where rare things happen."""
    low, q1, q3, high = (groups.quantile(share) for share in (0.01, 0.25, 0.75, 0.99))
    return ((high - low) / (q3 - q1).where(q3 > q1)).fillna(0)
