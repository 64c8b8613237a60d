"""What an explanation looks like: what pushes one prediction up and down, and what matters on the whole."""

from __future__ import annotations

__all__ = ["plot_contributions", "plot_importance"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import PALETTE, canvas

BAR = 0.27  # in, height of a bar with its label
REST = "all others"


def plot_contributions(
    contributions: pd.Series,
    *,
    labels: Mapping[str, str] | None = None,
    scale: str = "log odds",
    most: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each feature adds to one prediction, the largest first, and the sum of all others.

    Parameters
    ----------
    contributions : Series of float64, index feature
        A row from `prediction.explanation.explain`.
    labels : mapping of feature to str, optional
        What to call them, such as by their values.
    scale : str
        Of the contributions: ``attrs["scale"]`` of the table.
    most : int
        Bars, but for that of the others.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: contribution; to the right (vermillion) it makes a fault more probable, to the left (blue) less.
    """
    order = contributions.abs().sort_values(ascending=False, kind="stable").index
    shown = contributions[order[:most]]
    names = [(labels or {}).get(str(name), str(name)) for name in shown.index]
    values = shown.to_list()
    if len(order) > most:
        names.append(f"{REST} ({len(order) - most})")
        values.append(float(contributions[order[most:]].sum()))
    ax = canvas(height=BAR * len(values) + 0.5)[1][0, 0] if ax is None else ax
    colours = [PALETTE["vermillion"] if value > 0 else PALETTE["blue"] for value in values]
    places = np.arange(len(values))
    ax.barh(places, values, color=colours, height=0.7)
    for place, value in zip(places, values, strict=True):  # the sign in words, too: colour alone is not enough
        ax.annotate(f"{value:+.2g}", (value, place), (3 if value >= 0 else -3, 0), textcoords="offset points",
                    ha="left" if value >= 0 else "right", va="center", fontsize="x-small")  # fmt: skip
    ax.axvline(0, color=PALETTE["black"], linewidth=0.8)
    ax.set_yticks(places, names)
    ax.set(
        xlabel=f"contribution ({scale}): less probable to the left, more to the right", ylim=(len(values) - 0.4, -0.6)
    )
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.margins(x=0.12)
    return ax


def plot_importance(table: pd.DataFrame, *, scale: str = "log odds", most: int = 15, ax: Axes | None = None) -> Axes:
    """Draw what moves the predictions most, on the whole.

    Parameters
    ----------
    table : DataFrame
        From `prediction.explanation.importance`.
    scale : str
        Of the contributions.
    most : int
        Bars.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: mean absolute contribution; behind each bar its share of all.
    """
    shown = table.head(most)
    ax = canvas(height=BAR * len(shown) + 0.5)[1][0, 0] if ax is None else ax
    places = np.arange(len(shown))
    ax.barh(places, shown["size"], color=PALETTE["blue"], height=0.7)
    for place, (size, share) in zip(places, shown[["size", "share"]].to_numpy(), strict=True):
        text = f"{share:.0%}" if np.isfinite(share) else ""
        ax.annotate(text, (size, place), (3, 0), textcoords="offset points", va="center", fontsize="x-small")
    ax.set_yticks(places, [str(name) for name in shown.index])
    ax.set(xlabel=f"mean absolute contribution ({scale}), and share of all", ylim=(len(shown) - 0.4, -0.6))
    ax.set_xlim(0, max(float(shown["size"].max()), 1e-12) * 1.12)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    return ax
