"""The picture of a panel's quality: what is there, what is missing, and where something looks wrong."""

from __future__ import annotations

__all__ = ["plot_quality"]

import textwrap
from collections.abc import Iterable
from datetime import timedelta

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from stability.plotting.style import PALETTE, canvas
from stability.schema import ContractError
from stability.telemetry import quality_events, quality_report
from stability.telemetry.grid import SECOND, micros

BINS = 240  # columns of the picture: about three pixels each at report width
TEXT = 46  # characters of a row's problems that fit beside it
COVERAGE = LinearSegmentedColormap.from_list("coverage", ["#ffffff", PALETTE["sky"], PALETTE["blue"]])
ABSENT = "#e4e4e4"
MARKS = {  # kind -> word, colour, marker at the start; a bar covers the event's length
    "stuck": ("stuck?", PALETTE["orange"], None),
    "out_of_bounds": ("out of bounds", PALETTE["vermillion"], "v"),
    "reset": ("counter reset", PALETTE["black"], "|"),
}
SIZES = {"markersize": 8, "markeredgewidth": 2, "linestyle": "none"}


def plot_quality(
    panel: pd.DataFrame,
    report: pd.DataFrame | None = None,
    *,
    step: str | float | timedelta | None = None,
    max_rows: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Draw a stripe for each series: blue where samples are as dense as expected, white where they are missing.

    Parameters
    ----------
    panel : DataFrame
        Telemetry.
    report : DataFrame, optional
        Of `quality_report` for this panel; made here if not given.
    step : str, float or timedelta, optional
        Expected interval between samples, as it was given to `quality_report`; a number is in seconds.
    max_rows : int
        Rows of the picture. A row is one metric of one entity; where there are more of them, a row is an entity (mean
        over its metrics), and where there are more entities, the ones with most problems are drawn and the title says
        so.
    ax : Axes, optional
        Where to draw; a new figure of report width (9 in) without.

    Returns
    -------
    Axes
        x: time in UTC. Grey is the time before an entity's first sample and behind its last. Marks: stuck values,
        samples out of bounds, counter resets. The problems in words stand at the right.
    """
    report = quality_report(panel, step) if report is None else report
    kept = report[~report["not_applicable"]]
    if kept.empty:
        raise ContractError(expected="a panel with at least one sample", got="none", remedy="look at what was read")
    single = len(kept) <= max_rows
    order = [series if single else series[0] for series in kept.index]
    rows = list(dict.fromkeys(order)) if single else _worst_first(kept)
    drawn = rows[:max_rows]
    places = {row: place for place, row in enumerate(drawn)}
    width = kept["interval_seconds"] if step is None else micros(step, "step") / SECOND
    kept = kept.assign(row=[places.get(row, -1) for row in order], width=width)
    kept = kept[kept["row"] >= 0]
    several = isinstance(panel.index, pd.MultiIndex)
    events = quality_events(panel.loc[kept.index.unique("entity")] if several else panel, step)
    if ax is None:
        ax = canvas(height=1.2 + 0.26 * len(drawn))[1][0, 0]
    times = pd.concat([kept["first"], kept["last"], events["start"], events["end"]])  # a gap may be the last of all
    begin, end = times.min().timestamp(), times.max().timestamp()
    edges = np.linspace(begin, max(end, begin + 1), BINS + 1)  # one moment alone is drawn as a second
    days = mdates.date2num(pd.to_datetime(edges, unit="s").to_numpy())
    covered = _coverage(events, kept, edges)
    image = ax.pcolormesh(days, np.arange(len(drawn) + 1), covered, cmap=COVERAGE, vmin=0, vmax=1)
    marked = _draw_marks(ax, events, kept)
    if covered.mask.any():
        marked.append(Patch(facecolor=ABSENT, label="not recorded"))
    _dress(ax, [_label(row, kept) for row in drawn], days)
    for row, texts in kept["problems"].groupby(kept["row"]):
        said = textwrap.shorten("; ".join(_once(texts)), TEXT, placeholder=" ...")
        place = ax.get_yaxis_transform()  # x beside the axes, y in rows
        ax.text(1.01, row + 0.5, said, transform=place, va="center", fontsize="small")
    bar = ax.figure.colorbar(image, ax=ax, location="bottom", aspect=40, shrink=0.5)
    bar.set_label("share of the expected samples")
    bar.ax.xaxis.set_major_formatter(PercentFormatter(1))
    bar.outline.set_visible(False)
    part = f", {len(drawn)} of {len(rows):,} entities, worst first" if len(rows) > len(drawn) else ""
    title = f"{report['coverage'].mean():.1%} of the expected samples are there{part}"
    ax.set_title(title, loc="left", pad=24 if marked else None)
    if marked:
        ax.legend(
            handles=marked,
            loc="lower left",
            bbox_to_anchor=(-0.01, 0.98),
            ncols=len(marked),
            columnspacing=1.2,
            frameon=False,
        )
    return ax


def _worst_first(report: pd.DataFrame) -> list[str]:
    """Order entities: those with most problems first, then those with most missing."""
    found = report["problems"].map(lambda text: len(_once([text])))
    ranks = pd.DataFrame({"problems": -found, "coverage": report["coverage"]}).groupby(level="entity")
    return list(ranks.agg({"problems": "sum", "coverage": "mean"}).sort_values(["problems", "coverage"]).index)


def _coverage(events: pd.DataFrame, kept: pd.DataFrame, edges: np.ndarray) -> np.ma.MaskedArray:
    """Compute the share of each bin that has samples: the mean over a row's series, masked outside their time."""
    gaps = events[events["kind"] == "gap"].groupby(["entity", "metric"])
    covered = np.zeros((kept["row"].max() + 1, len(edges) - 1))
    seen = np.zeros_like(covered)
    for (entity, name), series in kept.iterrows():
        missing = np.zeros(len(edges))
        if (entity, name) in gaps.indices:
            gap = gaps.get_group((entity, name))
            # A sample stands for half an interval to either side, so that a gap is as long as what is missing.
            start = _seconds(gap["start"]) + series["width"] / 2
            length = _seconds(gap["end"]) - series["width"] / 2 - start
            missing = np.clip(edges[:, None] - start, 0, length).sum(axis=1)
        inside = (edges[1:] > series["first"].timestamp()) & (edges[:-1] < series["last"].timestamp())
        inside |= np.diff(missing) > 0
        covered[series["row"]] += np.where(inside, 1 - np.diff(missing) / np.diff(edges), 0)
        seen[series["row"]] += inside
    return np.ma.masked_array(covered / np.maximum(seen, 1), mask=seen == 0)


def _draw_marks(ax: Axes, events: pd.DataFrame, kept: pd.DataFrame) -> list:
    """Draw bars and markers where the events are; returns one handle a kind for the legend."""
    handles = []
    rows = events.join(kept["row"], on=["entity", "metric"])
    for kind, (word, colour, marker) in MARKS.items():
        found = rows[(rows["kind"] == kind) & rows["row"].notna()]
        if found.empty:
            continue
        start, end = (mdates.date2num(found[name].dt.tz_localize(None).to_numpy()) for name in ("start", "end"))
        bar = ax.hlines(found["row"] + 0.5, start, end, color=colour, linewidth=5, label=word)
        marks = ax.plot(start, found["row"] + 0.5, marker, color=colour, label=word, **SIZES) if marker else [bar]
        handles += marks
    return handles


def _dress(ax: Axes, labels: list[str], days: np.ndarray) -> None:
    ax.set_facecolor(ABSENT)
    ax.grid(False)
    ax.set_xlim(days[0], days[-1])
    ax.set_ylim(len(labels), 0)
    ax.set_yticks(np.arange(len(labels)) + 0.5, labels, fontsize="small")
    ax.hlines(np.arange(1, len(labels)), days[0], days[-1], color="white", linewidth=2)
    ax.tick_params(length=0, axis="y")
    locator = mdates.AutoDateLocator(tz="UTC", minticks=3, maxticks=6)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz="UTC"))
    ax.set_xlabel("time (UTC)")
    for spine in ax.spines.values():
        spine.set_visible(False)


def _once(texts: Iterable[str]) -> list[str]:
    """Take several series' problems apart and each one once."""
    return list(dict.fromkeys(said for text in texts for said in text.split("; ") if said))


def _label(row: tuple[str, str] | str, kept: pd.DataFrame) -> str:
    """Name a row by what tells it from the others: the entity, the metric, or both."""
    if isinstance(row, str):
        return row
    levels = [name for level, name in enumerate(row) if len(kept.index.unique(level)) > 1]
    return " ".join(levels) or row[1]


def _seconds(stamps: pd.Series) -> np.ndarray:
    return stamps.dt.as_unit("us").astype("int64").to_numpy() / 1e6
