"""Promises kept or not: the budget, its alerts, blame for downtime, replicas over demand, their price and place."""

from __future__ import annotations

__all__ = ["plot_budget_course", "plot_downtime", "plot_placement", "plot_policies", "plot_replicas"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import COLOURS, PALETTE, canvas, time_axis

ROW = 0.26  # in, height of a mode
SEVERITIES = {"page": "vermillion", "ticket": "purple"}
LEAST = 0.05  # min: below the least that an axis of logarithms shows, "none" stands there


def plot_budget_course(courses: pd.DataFrame, alerts: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw what is left of each error budget, and below when it burnt so fast that somebody was called.

    Parameters
    ----------
    courses : DataFrame, index timestamp
        A column an objective, from `slo.budget_course`: 1 untouched, 0 spent.
    alerts : DataFrame
        From `slo.burn_alerts`: `start`, `end`, `severity`, and `objective`, a column of `courses`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = ax or canvas(1, 1, height=2.6 + ROW * courses.shape[1])[1][0, 0]
    low = min(float(np.nanmin(courses.to_numpy(), initial=0.0)), 0.0)
    lane = (1 - low) * 0.07
    last = courses.index[-1]
    for place, name in enumerate(courses):
        colour = COLOURS[place % len(COLOURS)]
        ax.plot(courses.index, 100 * courses[name], color=colour, label=name)
        height = 100 * (low - lane * (place + 1))
        ax.annotate(name, (1.005, height), xycoords=("axes fraction", "data"), va="center", color=colour, fontsize=8)
        for severity, tone in reversed(SEVERITIES.items()):  # what is worse covers what is not
            own = alerts[(alerts["objective"] == name) & (alerts["severity"] == severity)]
            ends = own["end"].fillna(last)
            ax.hlines([height] * len(own), own["start"], ends, color=PALETTE[tone], linewidth=6)
    ax.axhline(0, color=PALETTE["black"], linewidth=0.8)
    for severity, tone in SEVERITIES.items():
        ax.plot([], [], color=PALETTE[tone], linewidth=6, label=severity)
    ax.set_ylim(100 * (low - lane * (courses.shape[1] + 1)), 105)
    ax.set_ylabel("error budget left (%)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=courses.shape[1] + len(SEVERITIES))
    time_axis(ax)
    return ax


def plot_downtime(modes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how much of the downtime each failure mode is to blame for.

    Parameters
    ----------
    modes : DataFrame, index failure_mode
        From `availability.down_by_mode`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = ax or canvas(1, 1, height=0.7 + ROW * max(len(modes), 1))[1][0, 0]
    ax.barh(range(len(modes)), modes["seconds"] / 60, color=PALETTE["blue"], height=0.7)
    for place, row in enumerate(modes.itertuples()):
        faults = f"{row.faults} fault{'s' * (row.faults != 1)}"
        ax.annotate(f" {row.share:.0%}, {faults}", (row.seconds / 60, place), va="center", fontsize=8)
    ax.set_yticks(range(len(modes)), [name.replace("_", " ") for name in modes.index])
    ax.set_ylim(max(len(modes), 1) - 0.4, -0.6)
    ax.set_xlim(0, max(1.25 * modes["seconds"].max() / 60, 1e-3) if len(modes) else 1.0)
    ax.set_xlabel("downtime (min)")
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    return ax


def plot_replicas(runs: Mapping[str, pd.DataFrame], usable: float) -> np.ndarray:
    """Draw demand, what the replicas of each policy could have answered in time, and when users waited too long.

    Parameters
    ----------
    runs : mapping of str to DataFrame
        Name of a policy to what `availability.simulate` gives for it, all of the same demand.
    usable : float
        Requests/s that a replica answers in time.

    Returns
    -------
    array of two Axes
    """
    figure, ((upper,), (lower,)) = canvas(2, 1, height=2.0, gridspec_kw={"height_ratios": [4, 0.25 * len(runs) + 0.25]})
    figure.set_figheight(4.2)
    demand = next(iter(runs.values()))["demand"]
    upper.plot(demand.index, demand, color=PALETTE["grey"], linewidth=0.5, label="demand")
    for place, (name, run) in enumerate(runs.items()):
        colour = COLOURS[place % len(COLOURS)]
        upper.step(run.index, run["ready"] * usable, where="post", color=colour, linewidth=1.3, label=name)
        over = run.index[run["over"]]
        lower.vlines(over, place - 0.35, place + 0.35, color=colour, linewidth=1.0)
    upper.set_ylabel("requests/s")
    upper.set_ylim(bottom=0)
    upper.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(runs) + 1)
    lower.set_yticks(range(len(runs)), [f"{name}: too late" for name in runs])
    lower.set_ylim(len(runs) - 0.5, -0.5)
    lower.grid(visible=False, axis="y")
    time_axis(lower)
    return np.array([upper, lower])


def plot_policies(settings: pd.DataFrame, chosen: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw what each setting of each policy costs and leaves over the service level, and those that were chosen.

    Parameters
    ----------
    settings, chosen : DataFrame
        `policy` (text), `replicas` (mean), `minutes` (over the level).
    ax : Axes, optional

    Returns
    -------
    Axes
        Minutes on a logarithmic scale; below its least, none.
    """
    ax = ax or canvas(1, 1, height=3.2)[1][0, 0]
    for place, (name, own) in enumerate(settings.groupby("policy", sort=False)):
        colour = COLOURS[place % len(COLOURS)]
        ax.plot(own["replicas"], own["minutes"].clip(lower=LEAST), ".", color=colour, alpha=0.5, label=name)
        best = chosen[chosen["policy"] == name]
        ax.plot(
            best["replicas"], best["minutes"].clip(lower=LEAST), "o", color=colour, markersize=10, mfc="none", mew=2
        )
    ax.set_yscale("log")
    ax.axhline(LEAST, color=PALETTE["grey"], linewidth=0.8, linestyle=":")
    ax.annotate("none", (0.005, LEAST), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
    ax.set_xlabel("replicas paid for (mean)")
    ax.set_ylabel("over the level (min)")
    ax.margins(x=0.04)
    ax.legend(loc="upper right", title="circles: chosen")
    return ax


def plot_placement(
    plan: pd.DataFrame, services: pd.DataFrame, nodes: pd.DataFrame, *, headroom: float, ax: Axes | None = None
) -> Axes:
    """Draw which replicas run on which node: the cores that each takes, and up to where a node may be filled.

    Parameters
    ----------
    plan : DataFrame, index (service, node)
        `replicas`, from `availability.place`.
    services, nodes : DataFrame
        As given to it: `cpu` (cores) of a replica and of a node.
    headroom : float
        Share of each node that stays free.
    ax : Axes, optional

    Returns
    -------
    Axes
        A row a node, also of an empty one, and a piece a replica.
    """
    ax = ax or canvas(1, 1, height=0.9 + 1.2 * ROW * len(nodes))[1][0, 0]
    ax.barh(range(len(nodes)), nodes["cpu"], color="white", edgecolor=PALETTE["grey"], height=0.8)
    filled = pd.Series(0.0, nodes.index)
    for place, (service, size) in enumerate(services["cpu"].items()):
        label, colour = service, COLOURS[place % len(COLOURS)]
        for node, many in plan.loc[plan.index.get_level_values("service") == service, "replicas"].items():
            row, left = nodes.index.get_loc(node[1]), filled[node[1]]
            lefts = left + size * np.arange(many)
            ax.barh([row] * many, size, left=lefts, color=colour, edgecolor="white", height=0.7, label=label)
            filled[node[1]] += many * size
            label = "_"  # once in the legend
    full = nodes["cpu"] * (1 - headroom)
    rows = np.arange(len(nodes))
    ax.vlines(full, rows - 0.45, rows + 0.45, color=PALETTE["black"], linestyle=":", label=f"{headroom:.0%} kept free")
    ax.set_yticks(rows, nodes.index)
    ax.set_ylim(len(nodes) - 0.4, -0.6)
    ax.set_xlim(0, 1.02 * nodes["cpu"].max())
    ax.set_xlabel("cores")
    ax.grid(visible=False, axis="y")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(services) + 1)
    return ax
