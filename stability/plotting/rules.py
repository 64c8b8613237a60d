"""What rules are worth: what each finds and how often it is right, how early it speaks, and who says the same."""

from __future__ import annotations

__all__ = ["plot_redundancy", "plot_rule_leads", "plot_rule_scores", "plot_tuned"]

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import PALETTE, canvas

PANELS = {
    "recall": "faults of its mode found",
    "precision": "episodes in a fault of its mode",
    "false_per_day": "false episodes a day",
}
ROW = 0.26  # in, height of a rule


def plot_rule_scores(scores: pd.DataFrame) -> np.ndarray:
    """Draw for each rule what it finds of its mode, how often it is right, and how often it fires for nothing.

    Parameters
    ----------
    scores : DataFrame, index rule
        From `rules.score`. Rules without faults of their mode are drawn by what they find of any, hollow.

    Returns
    -------
    array of three Axes
        With intervals; false episodes on a scale that is linear up to one a day and logarithmic beyond.
    """
    axes = canvas(1, 3, height=0.9 + ROW * len(scores), sharex=False, sharey=True)[1][0]
    own = scores["faults"].gt(0).to_numpy()
    for ax, (name, label) in zip(axes, PANELS.items(), strict=True):
        columns = [name if mine or name == "false_per_day" else f"{name}_any" for mine in own]
        for place, (rule, column) in enumerate(zip(scores.index, columns, strict=True)):
            value, lo, hi = scores.loc[rule, [column, f"{column}_lo", f"{column}_hi"]]
            colour = PALETTE["vermillion"] if name == "false_per_day" else PALETTE["blue"]
            face = colour if column == name else "white"
            ax.plot([lo, hi], [place, place], color=colour, linewidth=1.4, alpha=0.6)
            ax.plot(value, place, "o", color=colour, markerfacecolor=face, markersize=5)
        ax.set_xlabel(label)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
    for ax in axes[:2]:
        ax.set_xlim(-0.03, 1.03)
    axes[2].set_xscale("symlog", linthresh=1)
    axes[2].set_xlim(-0.1, 1.5 * max(axes[2].get_xlim()[1], 1))
    axes[0].set_yticks(range(len(scores)), [_short(name) for name in scores.index])
    axes[0].set_ylim(len(scores) - 0.4, -0.6)
    axes[0].set_title("hollow: of any mode", loc="left", fontsize="small")
    return axes


def plot_rule_leads(scores: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how long before users were hurt each rule spoke, over the faults of its mode that it found.

    Parameters
    ----------
    scores : DataFrame, index rule
        From `rules.score`; rules without a lead are left out.
    ax : Axes, optional
        Where to draw; a new figure of report width without.
    """
    told = scores[scores["lead_p50"].notna()].sort_values("lead_p50", ascending=False)
    if ax is None:
        ax = canvas(1, 1, height=0.7 + ROW * max(len(told), 1))[1][0, 0]
    for place, row in enumerate(told.itertuples()):
        colour = PALETTE["green"] if row.lead_p50 > 0 else PALETTE["vermillion"]
        ax.plot([row.lead_p50_lo, row.lead_p50_hi], [place, place], color=colour, linewidth=1.4, alpha=0.6)
        ax.plot(row.lead_p50, place, "o", color=colour, markersize=5)
    ax.axvline(0, color=PALETTE["black"], linewidth=0.8)
    ax.set_yticks(range(len(told)), [_short(name) for name in told.index])
    ax.set_ylim(len(told) - 0.4, -0.6)
    ax.set_xlabel("s from firing to impact: right of the line before users were hurt")
    ax.margins(x=0.05)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    return ax


def plot_redundancy(alike: pd.DataFrame, *, least: float = 0.05, ax: Axes | None = None) -> Axes:
    """Draw how much of their firing time rules share.

    Parameters
    ----------
    alike : DataFrame of shape (rules, rules)
        From `rules.redundancy`; rules that never fire are left out.
    least : float
        Index from which on the number is written.
    ax : Axes, optional
        Where to draw; a new figure of report width without.
    """
    fires = alike.index[np.diag(alike.notna())]
    shown = alike.loc[fires, fires].fillna(0.0)
    names = [_short(name) for name in fires]
    if ax is None:
        ax = canvas(1, 1, height=1.8 + 1.15 * ROW * max(len(names), 1))[1][0, 0]
    ax.imshow(shown.to_numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(shown.to_numpy()):
        if row != column and value >= least:
            tint = "white" if value > 0.5 else "black"
            ax.text(column, row, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=7, color=tint)
    ax.set_xticks(range(len(names)), names, rotation=60, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False)
    ax.set_title("Jaccard index of firing time, at the same entities", loc="left")
    return ax


def plot_tuned(before: pd.DataFrame, after: pd.DataFrame) -> np.ndarray:
    """Draw what a new threshold changes on a block that it was not chosen on.

    Parameters
    ----------
    before, after : DataFrame, index rule
        From `rules.score` of the same rules on the same block.

    Returns
    -------
    array of two Axes
        Recall (of any fault where there is none of the rule's mode) and false episodes a day: open circles before,
        filled ones after, a line from one to the other.
    """
    axes = canvas(1, 2, height=0.9 + ROW * max(len(after), 1), sharex=False, sharey=True)[1][0]
    own = after["faults"].gt(0)
    tables = before.loc[after.index], after
    old, new = ([table["recall"].where(own, table["recall_any"]), table["false_per_day"]] for table in tables)
    for ax, was, now, label in zip(axes, old, new, ["faults found", "false episodes a day"], strict=True):
        for place, (one, other) in enumerate(zip(was, now, strict=True)):
            ax.plot([one, other], [place, place], color=PALETTE["grey"], linewidth=1)
            ax.plot(one, place, "o", color=PALETTE["grey"], markerfacecolor="white", markersize=6)
            ax.plot(other, place, "o", color=PALETTE["blue"], markersize=5)
        ax.set_xlabel(f"{label} (open: before, filled: after)")
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
    axes[0].set_xlim(-0.03, 1.03)
    axes[1].set_xscale("symlog", linthresh=1)
    axes[1].set_xlim(-0.1, 1.5 * max(axes[1].get_xlim()[1], 1))
    axes[0].set_yticks(range(len(after)), [_short(name) for name in after.index])
    axes[0].set_ylim(len(after) - 0.4, -0.6)
    return axes


def _short(name: str) -> str:
    """A rule's name with spaces, so that it can be read beside an axis."""
    return re.sub(r"(?<=[a-z])(?=[0-9])|(?<!^)(?=[A-Z])", " ", name.removeprefix("Testbed")).lower()
