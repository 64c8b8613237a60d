"""Pictures of detection: what was expected, how far from it, which alarms, and what a threshold costs."""

from __future__ import annotations

__all__ = ["plot_alarm", "plot_band", "plot_budgets", "plot_comparison", "plot_detection", "plot_false_alarm_rate"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import COLOURS, PALETTE, canvas, label_values, time_axis, times_of

VALUE, ALARM, TRUTH = PALETTE["blue"], PALETTE["vermillion"], PALETTE["green"]
ROOM = 0.35  # of the values' range that a band may use above and below them: a huge band must not flatten its values
AROUND = 60  # rows of an entity before and after an alarm: what was usual, and whether it came back
CHOICES = (("vermillion", "o"), ("orange", "s"), ("purple", "^"), ("green", "D"))  # colour and marker of a threshold


def plot_alarm(
    alarm: pd.Series, panel: pd.DataFrame, scores: pd.Series | None = None, *, most: int = 2, around: int = AROUND
) -> np.ndarray:
    """Draw one alarm in a strip that fits into a row of a table: its score, and the metrics that are responsible.

    Parameters
    ----------
    alarm : Series
        Of the contract's alarms: `entity`, `start`, `end` (missing while it goes on), `metrics`, `threshold`.
    panel : DataFrame of float64, (entity, timestamp) x metrics
    scores : Series of float64, (entity, timestamp), optional
        Of the alarm's detector.
    most : int
        Metrics that are drawn, the most responsible first.
    around : int
        Rows that are drawn before and after the alarm.

    Returns
    -------
    array of Axes, shape (n,)
        The score with its threshold where there are scores, then the metrics in their units, over one time axis in
        UTC with the alarm shaded; without rows of the entity an empty array, and no figure.
    """
    entity, start = alarm["entity"], alarm["start"]
    if entity not in panel.index.unique("entity"):
        return np.empty(0, dtype=object)
    own = panel.loc[[entity]]
    end = times_of(own.index)[-1] if pd.isna(alarm["end"]) else alarm["end"]
    first, last = times_of(own.index).searchsorted([start, end])
    own = own.iloc[max(first - around, 0) : last + around + 1]
    named = str(alarm["metrics"]).split(",") if isinstance(alarm["metrics"], str) else []
    drawn = [own[name] for name in named if name in own and own[name].notna().any()][:most]
    drawn = drawn if scores is None else [scores.reindex(own.index), *drawn]
    if not drawn:
        return np.empty(0, dtype=object)
    axes = canvas(1, len(drawn), height=1.3)[1][0]
    for ax, values in zip(axes, drawn, strict=True):
        ax.plot(times_of(values.index), values, color=VALUE)
        ax.axvspan(start, end, color=ALARM, alpha=0.25, linewidth=0)
        ax.axvline(start, color=ALARM, linewidth=0.8)
        ax.set_title(values.name, loc="left")
        if scores is not None and ax is axes[0]:
            ax.set_ylabel("score")
            if pd.notna(alarm["threshold"]):
                ax.axhline(alarm["threshold"], color=PALETTE["black"], linewidth=0.8, linestyle="--")
        else:
            label_values(ax, values.name)
        time_axis(ax)
    return axes


def plot_band(
    values: pd.Series, mean: pd.Series, deviation: pd.Series, k: float, *, label: str = "", ax: Axes | None = None
) -> Axes:
    """Draw a metric, the band of mean ± k deviations that each value was held against, and the values outside.

    Parameters
    ----------
    values : Series of float64, (entity, timestamp) or timestamp
        One metric of one entity, named after the metric.
    mean, deviation : Series of float64, over the same rows
        As `MeanShift.expected` gives them, in the metric's unit.
    k : float
        Half the band's width, in deviations.
    label : str
        What the band is, for the title; the share of values outside is added.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: time in UTC; y: the metric's unit, over the values' range; a wider band runs out of the picture.
    """
    ax = canvas()[1][0, 0] if ax is None else ax
    times = times_of(values.index)
    low, high = (mean + side * k * deviation for side in (-1, 1))
    ax.fill_between(times, low, high, color=PALETTE["sky"], alpha=0.35, linewidth=0)
    ax.plot(times, values, color=VALUE)
    known = (values.notna() & mean.notna()).to_numpy() & np.isfinite(k)
    outside = ((values - mean).abs() > k * deviation).to_numpy() & known
    ax.plot(times[outside], values[outside], ".", color=ALARM, markersize=4)
    if known.any():
        lowest, highest = values.min(), values.max()
        room = ROOM * ((highest - lowest) or 1.0)
        bottom, top = max(min(low.min(), lowest), lowest - room), min(max(high.max(), highest), highest + room)
        ax.set_ylim(bottom - 0.1 * room, top + 0.1 * room)
    share = f"{outside.sum() / max(known.sum(), 1):.2%} of {known.sum():,} values outside"
    ax.set_title(f"{label}: {share}" if label else share, loc="left")
    label_values(ax, values.name)
    time_axis(ax)
    return ax


def plot_detection(
    values: pd.Series,
    scores: pd.Series,
    threshold: float,
    alarms: pd.DataFrame,
    windows: pd.DataFrame,
    *,
    expected: pd.Series | None = None,
) -> np.ndarray:
    """Draw one entity: a metric, its score with the threshold, and alarms against labelled windows.

    Parameters
    ----------
    values : Series of float64, (entity, timestamp)
        One metric of one entity.
    scores : Series of float64, over the same rows
        Of one detector.
    threshold : float
        In the score's unit.
    alarms, windows : DataFrame
        Columns entity, start, end (a missing end is open); rows of other entities are left out.
    expected : Series of float64, over the same rows, optional
        What the metric was expected to be.

    Returns
    -------
    array of Axes, shape (3,)
        On one time axis in UTC: the metric in its unit; the row's score, logarithmic above the threshold; two stripes.
    """
    axes = canvas(3, 1, height=1.8, height_ratios=[3, 2, 0.9])[1][:, 0]
    entity, times = values.index.unique("entity")[0], times_of(values.index)
    axes[0].plot(times, values, color=VALUE, label="measured")
    if expected is not None:
        axes[0].plot(times, expected, color=PALETTE["black"], linestyle=(0, (4, 2)), label="expected")
        axes[0].legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)
    axes[0].set_title(f"{entity}\n{values.name}, {scores.name}", loc="left")  # two lines: names may be long
    label_values(axes[0], values.name)
    axes[1].plot(times, scores, color=VALUE)
    axes[1].set_ylabel("score of the row")
    _draw_threshold(axes[1], scores, threshold)
    for place, (frame, colour) in enumerate([(windows, TRUTH), (alarms, ALARM)]):
        own = frame[(frame["entity"] == entity) & ~(frame["end"] < times[0]) & (frame["start"] <= times[-1])]
        end = own["end"].fillna(times[-1])  # still open
        axes[2].barh(np.full(len(own), place), end - own["start"], left=own["start"], color=colour, height=0.7)
        # A single row has no width: a line keeps it visible at any scale.
        axes[2].vlines(own["start"], place - 0.35, place + 0.35, color=colour, linewidth=1.2)
        if frame is windows:
            for ax in axes[:2]:
                for first, last in zip(own["start"], end, strict=True):
                    ax.axvspan(first, last, color=colour, alpha=0.15, linewidth=0)
    axes[2].set_yticks([0, 1], ["labelled", "alarms"])
    axes[2].set_ylim(1.5, -0.5)
    axes[2].tick_params(axis="y", length=0)
    axes[2].grid(visible=False)
    axes[2].spines["left"].set_visible(False)
    axes[2].set_xlim(times[0], times[-1])
    time_axis(axes[2])
    return axes


def plot_false_alarm_rate(
    thresholds: np.ndarray,
    measured: Mapping[str, np.ndarray],
    gaussian: np.ndarray,
    *,
    wanted: float,
    chosen: Mapping[str, float],
    ax: Axes | None = None,
) -> Axes:
    """Draw what each threshold costs, and the thresholds that were chosen for the wanted cost.

    Parameters
    ----------
    thresholds : array of float64, shape (n,)
        k, in deviations.
    measured : mapping of label to array of float64, shape (n,)
        Alarms per entity-day that the thresholds raised; one or two lines, the first one solid.
    gaussian : array of float64, shape (n,)
        What independent Gaussian values would raise.
    wanted : float
        Alarms per entity-day.
    chosen : mapping of method to k
        Marked on the first measured line.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: k, logarithmic; y: alarms per entity-day, logarithmic.
    """
    ax = canvas(height=3.4)[1][0, 0] if ax is None else ax
    for (label, rates), look in zip(measured.items(), ["-", (0, (1, 1))], strict=False):
        ax.plot(thresholds, np.where(rates > 0, rates, np.nan), color=VALUE, linewidth=1.5, linestyle=look, label=label)
    ax.plot(thresholds, gaussian, color=PALETTE["grey"], linewidth=1.5, linestyle="--", label="Gaussian noise")
    ax.axhline(wanted, color=PALETTE["black"], linewidth=0.8)
    ax.annotate(f"wanted: {wanted:g} per day", (thresholds[-1], wanted), (0, 3), textcoords="offset points", ha="right")
    first = next(iter(measured.values()))
    positive = np.concatenate([rates[rates > 0] for rates in measured.values()] + [[wanted]])
    lowest = positive.min() / 3
    for (method, k), (colour, marker) in zip(chosen.items(), CHOICES, strict=False):
        height = max(np.interp(k, thresholds, first), lowest)
        ax.vlines(k, lowest, height, color=PALETTE[colour], linewidth=1.2)
        label = f"k by {method}: {k:.3g}"
        ax.plot(k, height, marker, color=PALETTE[colour], markersize=8, label=label)
    ax.set(xscale="log", yscale="log", xlabel="threshold k (deviations)", ylabel="alarms per entity-day")
    ax.set_xlim(thresholds[0], thresholds[-1])
    ax.set_ylim(lowest, positive.max() * 2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_budgets(costs: Mapping[str, pd.DataFrame], *, marked: str = "", chosen: float | None = None) -> Axes:
    """Draw what each budget of false alarms buys: events found against false alarms, both as they came.

    Parameters
    ----------
    costs : mapping of detector to DataFrame of float64, index budget
        Columns `false_alarms_per_day` and `recall`, on the part that was judged.
    marked : str
        The detector to stand out.
    chosen : float, optional
        The budget in use; its point on each line is filled.

    Returns
    -------
    Axes
        x: false alarms per entity-day, logarithmic above 0.1; y: share of the events that were found.
    """
    ax = canvas(height=3.2)[1][0, 0]
    others = iter(COLOURS[i % len(COLOURS)] for i in range(len(costs) + 1) if COLOURS[i % len(COLOURS)] != ALARM)
    for name, cost in costs.items():
        colour = ALARM if name == marked else next(others)
        cost = cost.sort_index()
        ax.plot(
            cost["false_alarms_per_day"],
            cost["recall"],
            "o-",
            color=colour,
            label=name,
            linewidth=1.8 if name == marked else 1.0,
            markersize=4,
            markerfacecolor="white",
        )
        if chosen in cost.index:
            ax.plot(*cost.loc[chosen, ["false_alarms_per_day", "recall"]], "o", color=colour, markersize=8)
    highest = max([1.0, *(cost["false_alarms_per_day"].max() for cost in costs.values())])
    ax.set_xscale("symlog", linthresh=0.1)
    ax.set(xlim=(0, 1.3 * highest), ylim=(0, 1.03))
    ticks = [0, *(10.0 ** np.arange(-1, np.ceil(np.log10(highest)) + 1))]
    ax.set_xticks([tick for tick in ticks if tick <= 1.3 * highest], [f"{t:g}" for t in ticks if t <= 1.3 * highest])
    ax.minorticks_off()
    ax.set(xlabel="false alarms per entity-day, as they came", ylabel="share of events found")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_comparison(estimates: Mapping[str, pd.DataFrame], *, marked: str = "") -> np.ndarray:
    """Draw one panel a measure with every detector's value and interval.

    Parameters
    ----------
    estimates : mapping of label to DataFrame of float64, detectors x (value, lo, hi)
        Measures with their unit in the label; NaN is drawn as "not enough evidence".
    marked : str
        The detector to stand out.

    Returns
    -------
    array of Axes, one a measure
    """
    names = list(next(iter(estimates.values())).index)
    axes = canvas(1, len(estimates), height=0.9 + 0.3 * len(names), sharex=False, sharey=True)[1][0]
    for ax, (label, frame) in zip(axes, estimates.items(), strict=True):
        for row, name in enumerate(names):
            colour = ALARM if name == marked else VALUE
            value, lo, hi = frame.loc[name, ["value", "lo", "hi"]]
            ax.plot([lo, hi], [row, row], color=colour, linewidth=2)
            ax.plot(value, row, "o", color=colour, markersize=6, clip_on=False)
            if np.isnan(value):
                place = ax.get_yaxis_transform()  # x in the axes, y in rows
                ax.text(0.03, row, "not enough evidence", va="center", fontsize="small", color="grey", transform=place)
        ax.set_xlabel(label)
        ax.set_xlim(left=0)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    return axes


def _draw_threshold(ax: Axes, scores: pd.Series, threshold: float) -> None:
    """Draw the threshold's line, on an axis that is linear below it and logarithmic above."""
    if not (np.isfinite(threshold) and threshold > 0):
        return
    highest = max(float(np.nanmax(scores, initial=threshold)), 1.1 * threshold)
    ax.set_yscale("symlog", linthresh=threshold)
    ax.set_ylim(min(0.0, float(np.nanmin(scores, initial=0.0))), 1.3 * highest)
    decades = threshold * 10.0 ** np.arange(1 + np.floor(np.log10(highest / threshold)))
    ax.set_yticks([0, *decades], ["0", *(f"{tick:.3g}" for tick in decades)])
    ax.minorticks_off()
    ax.axhline(threshold, color=ALARM, linewidth=1.2)
    place = ax.get_yaxis_transform()  # x in the axes, y in scores
    ax.text(1, threshold, "threshold", color=ALARM, fontsize="small", ha="right", va="bottom", transform=place)
