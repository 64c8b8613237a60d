"""What drifted beyond chance: indices over their limits, windows beside a reference, rounds of learning."""

from __future__ import annotations

__all__ = ["plot_drift", "plot_performance", "plot_rounds"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import COLOURS, PALETTE, canvas, time_axis

ROW = 0.24  # in, height of a comparison
BOUNDS = (0.1, 0.25)  # that are usually quoted
LEAST = 1e-3  # of an index, on the axis of logarithms
TONES = {"drift": "vermillion", "new values": "purple", "no drift seen": "blue"}
NAMES = {
    "brier": "Brier score",
    "log_loss": "log loss (nats)",
    "calibration_gap": "said less came",
    "lift": "PR-AUC / base rate",
}


def plot_drift(table: pd.DataFrame, *, most: int = 25, ax: Axes | None = None) -> Axes:
    """Draw each index beside what chance lets pass, those that pass it most on top.

    Parameters
    ----------
    table : DataFrame
        From `adaptation.drift.drift`: `psi`, `threshold`, `verdict`.
    most : int
        Comparisons that are drawn; how many there are stands on the axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        A dot is the index, a bar ends at the limit; dotted, the usual bounds.
    """
    known = table[table["psi"].notna() & table["threshold"].notna()]
    order = (known["psi"] / known["threshold"]).sort_values(ascending=False).index[:most]
    shown = known.loc[order]
    ax = ax or canvas(1, 1, height=0.9 + ROW * max(len(shown), 1))[1][0, 0]
    rows = np.arange(len(shown))
    ax.barh(rows, shown["threshold"], color=PALETTE["grey"], alpha=0.4, height=0.7, label="passed by chance: 1 in 20")
    for verdict, tone in TONES.items():
        own = (shown["verdict"] == verdict).to_numpy()
        if own.any():
            ax.plot(
                shown["psi"].clip(lower=LEAST)[own], rows[own], "o", color=PALETTE[tone], markersize=5, label=verdict
            )
    for bound in BOUNDS:
        ax.axvline(bound, color=PALETTE["black"], linewidth=0.8, linestyle=":")
    names = [" ".join(map(str, key[:2])) + (" (missing)" if key[2] == "missing" else "") for key in shown.index]
    ax.set_yticks(rows, [name.replace("_", " ") for name in names], fontsize=8)
    ax.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    ax.set_xscale("log")
    if len(shown):
        ax.set_xlim(shown[["psi", "threshold"]].clip(lower=LEAST).min(axis=None) / 2, 1.3 * shown["psi"].max())
    ax.set_xlabel(f"population stability index ({len(shown)} of {len(known)} comparisons; dotted: usual bounds)")
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4)
    return ax


def plot_performance(table: pd.DataFrame, *, window: pd.Timedelta | None = None) -> np.ndarray:
    """Draw each measure of each window with its interval, and what it was in the reference.

    Parameters
    ----------
    table : DataFrame, index (window, measure)
        From `adaptation.performance.performance`.
    window : Timedelta, optional
        Length of a window: points stand in its middle.

    Returns
    -------
    array of Axes, one a measure
        What differs beyond chance is in the colour of its verdict.
    """
    measures = list(dict.fromkeys(table.index.get_level_values("measure")))
    axes = canvas(len(measures), 1, height=1.25, sharex=True)[1][:, 0]
    tones = {"worse": "vermillion", "changed": "purple", "better": "green"}
    for ax, measure in zip(axes, measures, strict=True):
        own = table.xs(measure, level="measure")
        at = own.index + (window / 2 if window is not None else pd.Timedelta(0))
        ax.axhline(own["reference"].iloc[0], color=PALETTE["grey"], linestyle="--", label="reference")
        for place, row in zip(at, own.itertuples(), strict=True):
            colour = PALETTE[tones.get(row.verdict, "blue")]
            ax.plot([place, place], [row.lo, row.hi], color=colour, linewidth=1.5)
            ax.plot([place], [row.value], "o", color=colour, markersize=5)
        ax.set_ylabel(NAMES.get(measure, measure), fontsize=8)
        ax.margins(x=0.1)
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1.0))
    time_axis(axes[-1])
    return axes


def plot_rounds(played: pd.DataFrame, *, names: Mapping[str, str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw what each way of learning from one's own repairs does to a model, round by round.

    Parameters
    ----------
    played : DataFrame
        From `adaptation.unlearning.rounds`.
    names : mapping of str to str, optional
        How a way is to be called.
    ax : Axes, optional

    Returns
    -------
    Axes
        Thick, the mean over fleets; thin, each fleet; dotted, the base rate, which knows nothing.
    """
    ax = ax or canvas(1, 1, height=3.4)[1][0, 0]
    for place, (way, own) in enumerate(played.groupby("way", sort=False)):
        colour = COLOURS[place % len(COLOURS)]
        for _, fleet in own.groupby("seed"):
            ax.plot(fleet["round"], fleet["pr_auc"], color=colour, linewidth=0.5, alpha=0.35)
        mean = own.groupby("round")["pr_auc"].mean()
        ax.plot(mean.index, mean, "o-", color=colour, linewidth=2, markersize=4, label=(names or {}).get(way, way))
    ax.axhline(played["base_rate"].mean(), color=PALETTE["black"], linewidth=0.8, linestyle=":", label="base rate")
    ax.set_xticks(sorted(played["round"].unique()))
    ax.set_xlabel("rounds of learning from what was repaired (0: learnt where nobody repaired)")
    ax.set_ylabel("PR-AUC where nobody repairs")
    ax.set_ylim(bottom=0)
    ax.margins(x=0.03)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=len(ax.lines))
    return ax
