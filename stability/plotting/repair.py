"""What befell users while a fault was repaired, or not: every slot of a game day as a line of seconds."""

from __future__ import annotations

__all__ = ["plot_impact", "plot_slots"]

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.style import PALETTE, canvas

ROW = 0.17  # in, height of a slot
MARKS = {
    "alarm": ("|", "black", "first alarm"),
    "action": ("^", "blue", "action"),
    "verified": ("o", "green", "verified"),
    "not verified": ("x", "purple", "another verdict"),
}


def plot_slots(slots: pd.DataFrame, seconds: pd.DataFrame, notes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw slots one below the other: the cause, the seconds in which users were hurt, alarm, actions, verdicts.

    Parameters
    ----------
    slots : DataFrame
        round, place, trial, arm, mode, entity, seconds, cause_start, cause_end (s; NaN: no repair ended it).
    seconds : DataFrame
        round, place, second, bad.
    notes : DataFrame
        round, place, second, what, verb.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = ax or canvas(1, 1, height=1.0 + ROW * len(slots))[1][0][0]
    order = slots.sort_values(["round", "trial", "arm"]).reset_index(drop=True)
    labels = []
    for place, slot in order.iterrows():
        end = slot["cause_end"] if np.isfinite(slot["cause_end"]) else slot["seconds"]
        ax.barh(place, end - slot["cause_start"], left=slot["cause_start"], height=0.8, color="#E4E4E4")
        own = (seconds["round"] == slot["round"]) & (seconds["place"] == slot["place"]) & seconds["bad"]
        ax.barh(place, 1.0, left=seconds.loc[own, "second"], height=0.5, color=PALETTE["vermillion"])
        mine = notes[(notes["round"] == slot["round"]) & (notes["place"] == slot["place"])]
        for name, moments in _moments(mine, slot["cause_start"]).items():
            marker, colour, _ = MARKS[name]
            ax.plot(moments, [place] * len(moments), marker, color=PALETTE[colour], markersize=5, linestyle="none")
        first = place == 0 or slot["trial"] != order.loc[place - 1, "trial"]
        arm = slot["arm"].replace("_", " ")
        labels.append(f"{slot['mode'].replace('_', ' ')} of {slot['entity']}, {arm}" if first else arm)
    ax.set_yticks(range(len(order)), labels, fontsize="x-small")
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_xlim(0, max(order["seconds"], default=1.0))
    ax.set_xlabel("s after the slot's begin; grey: the cause is there, red: users are hurt")
    for marker, colour, label in MARKS.values():
        ax.plot([], [], marker, color=PALETTE[colour], markersize=5, linestyle="none", label=label)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.grid(visible=False, axis="y")
    return ax


def _moments(notes: pd.DataFrame, begun: float) -> dict[str, list[float]]:
    verdicts = notes["what"] == "verdict"
    alarms = notes.loc[(notes["what"] == "alarm") & (notes["second"] >= begun), "second"]
    return {
        "alarm": alarms.nsmallest(1).tolist(),
        "action": notes.loc[notes["what"] == "action", "second"].tolist(),
        "verified": notes.loc[verdicts & (notes["verb"] == "verified"), "second"].tolist(),
        "not verified": notes.loc[verdicts & (notes["verb"] != "verified"), "second"].tolist(),
    }


def plot_impact(slots: pd.DataFrame, arms: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw the seconds in impact of each fault with each arm, and their restricted mean.

    Parameters
    ----------
    slots : DataFrame
        mode, arm, impact_s (s), of faults.
    arms : sequence of str
        In which order.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = ax or canvas(1, 1, height=1.0 + 0.5 * len(arms))[1][0][0]
    for place, arm in enumerate(arms):
        own = slots.loc[slots["arm"] == arm, "impact_s"]
        spread = np.linspace(-0.2, 0.2, len(own)) if len(own) > 1 else np.zeros(len(own))
        ax.plot(own, place + spread, "o", color=PALETTE["grey"], markersize=4, alpha=0.7, clip_on=False)
        ax.plot([own.mean()] * 2, [place - 0.3, place + 0.3], color=PALETTE["vermillion"], linewidth=2.5)
    ax.set_yticks(range(len(arms)), [arm.replace("_", " ") for arm in arms])
    ax.set_ylim(max(len(arms), 1) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel("s in impact of each fault, up to the end of its slot; red: the mean")
    return ax
