"""What a judgement looks like: whether probabilities mean what they say, how early warnings come, who beats whom."""

from __future__ import annotations

__all__ = ["plot_differences", "plot_lead_times", "plot_reliability"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import COLOURS, PALETTE, canvas

VERDICT_COLOURS = {"better": PALETTE["green"], "worse": PALETTE["vermillion"]}
STEPS = {60.0: "s", 3600.0: "min", 2 * 86_400.0: "h"}  # up to how many seconds a unit of time serves
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86_400.0}


def plot_reliability(
    curve: pd.DataFrame, *, base_rate: float | None = None, label: str = "", confidence: float = 0.95
) -> np.ndarray:
    """Draw how often it came true beside what was forecast, and how many cases each forecast had.

    Parameters
    ----------
    curve : DataFrame
        From `evaluation.reliability_curve`.
    base_rate : float, optional
        Share of all cases that came true: where the curve of a forecaster without discrimination lies.
    label : str
        Who forecasts.
    confidence : float
        As it was given to `reliability_curve`.

    Returns
    -------
    array of two Axes
        Above: frequency against forecast, both probabilities; on the diagonal they agree, below it too much was
        promised. Beneath: cases at each forecast (or in twentieths), on a logarithmic axis.
    """
    figure, axes = canvas(2, 1, height=2.4, gridspec_kw={"height_ratios": [3, 1]})
    figure.set_size_inches(5.2, 5.4)
    upper, lower = axes[:, 0]
    upper.plot([0, 1], [0, 1], color=PALETTE["grey"], linestyle="--", label="as forecast")
    if base_rate is not None:
        upper.axhline(
            base_rate, color=PALETTE["black"], linewidth=0.8, linestyle=":", label=f"base rate {base_rate:.3g}"
        )
    bars = len(curve) <= 12
    if bars:
        low, high = curve["rate"] - curve["lo"], curve["hi"] - curve["rate"]
        upper.errorbar(
            curve["forecast"], curve["rate"], [low, high], fmt="o", color=COLOURS[0], label=label or "came true"
        )
    else:
        upper.fill_between(curve["forecast"], curve["lo"], curve["hi"], color=COLOURS[0], alpha=0.2, linewidth=0)
        upper.plot(curve["forecast"], curve["rate"], color=COLOURS[0], linewidth=1.5, label=label or "came true")
    upper.set(ylabel="share that came true", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    upper.set_title(f"{100 * confidence:g} % intervals at each forecast", loc="left")
    upper.legend(loc="lower right" if base_rate is not None and base_rate > 0.5 else "upper left")
    edges = np.linspace(0, 1, 21)  # many forecasts are shown as quantiles, of which each has as many cases
    heights = np.histogram(curve["forecast"], edges, weights=curve["cases"])[0]
    at, tall, width = (curve["forecast"], curve["cases"], 0.02) if bars else (edges[:-1] + 0.025, heights, 0.04)
    lower.bar(at, tall, width, color=COLOURS[0])
    lower.set(xlabel="forecast probability", ylabel="cases", yscale="log")
    lower.set_ylim(0.5, 2 * max(np.max(tall), 1))
    lower.yaxis.set_major_formatter("{x:,.0f}")
    return axes[:, 0]


def plot_lead_times(recalls: Mapping[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw the share of impacts that were warned of at least so long before.

    Parameters
    ----------
    recalls : mapping of label to DataFrame
        `recall` of `evaluation.lead_estimates`, one a method.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: lead time, in the unit that suits the longest; y: share, from 0 to 1, with its interval.
    """
    ax = canvas(height=2.8)[1][0, 0] if ax is None else ax
    longest = max((frame.index.max().total_seconds() for frame in recalls.values()), default=0.0)
    unit = next((name for limit, name in STEPS.items() if longest <= limit), "days")
    for (label, frame), colour in zip(recalls.items(), COLOURS * len(recalls), strict=False):
        known = frame.sort_index().dropna(subset=["value"])
        leads = known.index.total_seconds() / SECONDS[unit]
        ax.fill_between(leads, known["lo"], known["hi"], color=colour, alpha=0.15, linewidth=0)
        ax.plot(leads, known["value"], "o-", color=colour, markersize=4, linewidth=1.5, label=label)
    ax.set(xlabel=f"lead time ({unit})", ylabel="share of impacts\nwarned of so early", ylim=(-0.03, 1.03))
    ax.set_xlim(left=0)
    ax.margins(x=0.03)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_differences(tables: Mapping[str, pd.DataFrame], baseline: str) -> np.ndarray:
    """Draw by how much each method differs from the baseline, with its interval and verdict.

    Parameters
    ----------
    tables : mapping of label to DataFrame
        From `evaluation.compare` or `compare_events`: one panel a measure, with its unit in the label.
    baseline : str
        What the zero line is.

    Returns
    -------
    array of Axes, one a measure
        Green is better, vermillion is worse (after Holm), grey is not distinguishable.
    """
    names = list(next(iter(tables.values())).index)
    axes = canvas(1, len(tables), height=0.9 + 0.3 * len(names), sharex=False, sharey=True)[1][0]
    for ax, (label, table) in zip(axes, tables.items(), strict=True):
        for place, name in enumerate(names):
            row = table.loc[name]
            colour = VERDICT_COLOURS.get(row["verdict"], PALETTE["grey"])
            ax.plot([row["lo"], row["hi"]], [place, place], color=colour, linewidth=2)
            ax.plot(row["difference"], place, "o", color=colour, markersize=6)
            # The verdict in words: colour alone tells nobody who cannot see it.
            ax.text(1.0, place - 0.32, row["verdict"], ha="right", va="center", fontsize="x-small", color=colour,
                    transform=ax.get_yaxis_transform())  # fmt: skip
        ax.axvline(0, color=PALETTE["black"], linewidth=0.8)
        ax.set_xlabel(f"{label}, minus that of {baseline}")
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.margins(x=0.1)
        if table["difference"].isna().all():
            ax.set_xlim(-1, 1)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    return axes
