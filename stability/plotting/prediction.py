"""What predictors are worth: precision against recall, the cost of warnings, how early they come, who beats whom."""

from __future__ import annotations

__all__ = ["plot_costs", "plot_leads", "plot_precision_recall", "plot_significance"]

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from stability.plotting.judgement import SECONDS, STEPS, VERDICT_COLOURS
from stability.plotting.style import COLOURS, PALETTE, canvas

LINES = ("-", "--", "-.", ":")  # beside the colour, for those who cannot tell colours


def plot_precision_recall(
    curves: Mapping[str, pd.DataFrame],
    base_rate: float,
    *,
    chosen: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how much of what was forecast came true against how much of what came was forecast.

    Parameters
    ----------
    curves : mapping of label to DataFrame
        From `evaluation.precision_recall`, one a model.
    base_rate : float
        Share of rows that came true: the precision of a forecast that knows nothing, at any recall.
    chosen : mapping of label to float, optional
        A threshold of each model that was chosen before: marked on its curve.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        Both axes are shares of rows; the legend says each curve's area, without interpolation between its steps.
    """
    ax = canvas(height=3.4)[1][0, 0] if ax is None else ax
    for (label, curve), colour, line in _each(curves):
        recall = np.append(0.0, curve["recall"])
        area = float(np.diff(recall) @ curve["precision"])
        # A step up in recall has the precision at its end, as the area counts it.
        precision = np.append(curve["precision"].iloc[0], curve["precision"])
        ax.step(recall, precision, color=colour, linestyle=line, linewidth=1.4, where="pre",
                label=f"{label}: area {area:.3f}")  # fmt: skip
        if chosen and label in chosen:
            ax.plot(*_at(curve, chosen[label], ["recall", "precision"]), "o", color=colour, markersize=7, mec="white")
    ax.axhline(base_rate, color=PALETTE["grey"], linewidth=1, linestyle=(0, (1, 2)), label=f"base rate {base_rate:.3g}")
    ax.set(xlabel="recall (share of rows with an impact ahead)", ylabel="precision (share of rows)")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.03))
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_costs(
    costs: Mapping[str, Any],
    *,
    chosen: Mapping[str, float] | None = None,
    period: str = "week",
    ax: Axes | None = None,
) -> Axes:
    """Draw the expected cost against the warnings that are spent.

    Parameters
    ----------
    costs : mapping of label to CostCurve
        From `evaluation.cost_curve`, one a model, all with the same costs and rows.
    chosen : mapping of label to float, optional
        The threshold of each model that was chosen on validation: marked on its curve.
    period : str
        What the rates are per, in a word.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: warnings for each entity and period; y: cost for each, in the unit of the costs. The two horizontal lines
        know nothing: never warning, and warning at every chance.
    """
    ax = canvas(height=3.0)[1][0, 0] if ax is None else ax
    for (label, found), colour, line in _each(costs):
        ax.plot(found.curve["warnings"], found.curve["cost"], color=colour, linestyle=line, linewidth=1.4, label=label)
        if chosen and label in chosen:
            at = _at(found.curve, chosen[label], ["warnings", "cost"])
            ax.plot(*at, "o", color=colour, markersize=7, mec="white", label=f"chosen before: {at[1]:.3g}")
    first = next(iter(costs.values()))
    for name, cost, line in (("never warn", first.never, (0, (1, 2))), ("always warn", first.always, (0, (5, 3)))):
        ax.axhline(cost, color=PALETTE["grey"], linewidth=1, linestyle=line, label=f"{name}: {cost:.3g}")
    ax.set(xlabel=f"warnings per entity and {period}", ylabel=f"cost per entity and {period}\n(relative)")
    ax.set_ylim(bottom=0)
    ax.set_xlim(left=0)
    ax.margins(x=0.02)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_leads(
    impacts: Mapping[str, pd.DataFrame],
    horizon: str | pd.Timedelta,
    *,
    least_lead: str | pd.Timedelta | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how the leads spread: the share of all judged impacts that a warning stood before, by at least so long.

    Parameters
    ----------
    impacts : mapping of label to DataFrame
        From `evaluation.warned_events`, one a model; those that were missed count as what they are.
    horizon : Timedelta or text
        Longest lead that a warning can have: marked.
    least_lead : Timedelta or text, optional
        What an impact had to be warned of before: marked.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: lead time, in the unit that suits the horizon; y: share of impacts, from 0 to 1. The legend says how many of
        how many were warned of, and the median lead of these.
    """
    ax = canvas(height=2.8)[1][0, 0] if ax is None else ax
    end = pd.Timedelta(horizon).total_seconds()
    unit = next((name for limit, name in STEPS.items() if end <= limit), "days")
    for (label, table), colour, line in _each(impacts):
        judged = table[table["judged"]]
        leads = np.sort(judged["lead"].dropna().to_numpy()) / SECONDS[unit]
        share = np.arange(len(leads), 0, -1) / max(len(judged), 1)
        middle = f", median {_lasting(np.quantile(leads, 0.5, method='inverted_cdf'), unit)}" if len(leads) else ""
        at, high = np.append(0.0, leads), np.append(share[:1] if len(leads) else 0.0, share)
        # A lead is reached up to itself: the share falls after it.
        ax.step(np.append(at, at[-1]), np.append(high, 0.0), where="pre", color=colour, linestyle=line, linewidth=1.5,
                label=f"{label}: {len(leads)} of {len(judged)}{middle}")  # fmt: skip
    marks = [(horizon, "horizon", (0, (5, 3)))] + [(least_lead, "least lead", (0, (1, 2)))] * (least_lead is not None)
    for length, name, line in marks:
        at = pd.Timedelta(length).total_seconds() / SECONDS[unit]
        ax.axvline(at, color=PALETTE["grey"], linewidth=1, linestyle=line, label=f"{name}, {_lasting(at, unit)}")
    ax.set(xlabel=f"lead time ({unit})", ylabel="share of impacts\nwarned of so early", ylim=(-0.03, 1.03))
    ax.set_xlim(0, 1.03 * end / SECONDS[unit])
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_significance(
    pairs: pd.DataFrame, *, measure: str = "PR-AUC", confidence: float = 0.95, ax: Axes | None = None
) -> Axes:
    """Draw every pair of models: by how much the row's differs from the column's, and whether that could be chance.

    Parameters
    ----------
    pairs : DataFrame, index (one, other)
        From `evaluation.every_pair`.
    measure : str
        What differs.
    confidence : float
        As it was given to the comparison.
    ax : Axes, optional
        Where to draw; a new figure without, as large as the models need.

    Returns
    -------
    Axes
        A cell a pair: the difference, its interval, the p-value after Holm. Green where the row's model is better,
        vermillion where it is worse, grey where the two are not distinguishable.
    """
    ones, others = (list(pairs.index.unique(level)) for level in ("one", "other"))
    if ax is None:
        figure, axes = canvas(height=0.5 + 0.74 * len(ones))
        figure.set_figwidth(min(9.0, 2.2 + 1.7 * len(others)))
        ax = axes[0, 0]
    for (one, other), row in pairs.iterrows():
        place = others.index(other), ones.index(one)
        colour = VERDICT_COLOURS.get(row["verdict"], PALETTE["grey"])
        ax.add_patch(Rectangle((place[0] - 0.48, place[1] - 0.46), 0.96, 0.92, color=colour, alpha=0.22, linewidth=0))
        known = pd.notna(row["difference"])
        head = f"{row['difference']:+.3f}" if known else "not enough\nevidence"
        told = f"{row['lo']:+.3f} to {row['hi']:+.3f}\n{row['verdict']}\np {_p(row['p_holm'])}" if known else ""
        ax.text(place[0], place[1] - 0.28 * known, _minus(head), ha="center", va="center", fontsize=9, weight="bold")
        ax.text(place[0], place[1] - 0.1, _minus(told), ha="center", va="top", fontsize=7, linespacing=1.25)
    ax.set_xticks(range(len(others)), [f"− {name}" for name in others])
    ax.set_yticks(range(len(ones)), ones)
    ax.set(xlim=(-0.55, len(others) - 0.45), ylim=(len(ones) - 0.45, -0.55))
    told = f"difference of {measure}, {100 * confidence:g} % interval, p after Holm over {len(pairs)}"
    ax.set_title(told, loc="left")
    ax.grid(visible=False, axis="both")
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def _each(parts: Mapping[str, Any]):
    """Each item with its colour and line."""
    looks = [(colour, LINES[round_ % len(LINES)]) for round_ in range(4) for colour in COLOURS]
    return zip(
        parts.items(), *zip(*(look for _, look in zip(parts, cycle(looks), strict=False)), strict=True), strict=True
    )


def _at(curve: pd.DataFrame, threshold: float, columns: list[str]) -> np.ndarray:
    """Give the curve's row at a threshold: the lowest of its thresholds that is not below, or the first row."""
    falling = curve.sort_index(ascending=False, kind="stable")
    place = max(int((falling.index >= threshold).sum()) - 1, 0)
    return falling[columns].iloc[place].to_numpy(dtype=float)


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _lasting(length: float, unit: str) -> str:
    return f"{length:.3g} {unit[:-1] if unit == 'days' and length == 1 else unit}"


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"= {p:.2g}".replace(" 0.", " .")
