"""Failure modes in pictures: what comes first, where ratings lie, what evidence moved, and how it went over nights."""

from __future__ import annotations

__all__ = ["plot_pareto", "plot_rating_bounds", "plot_rating_course", "plot_rating_matrix"]

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from stability.plotting.style import PALETTE, canvas

TINTS = {"H": PALETTE["vermillion"], "M": PALETTE["orange"], "L": PALETTE["sky"]}
PALE = {"H": "#F5C9B0", "M": "#FBE8BF", "L": "#D6ECF9"}  # the same, light enough to write on
LETTERS = {"severity": "S", "occurrence": "O", "detection": "D"}
ROW = 0.24  # in, height of a mode
WIDTH, LINES = 2, 3  # ranks in a line of a matrix's cell, and lines


def plot_pareto(rated: pd.DataFrame, *, most: int = 30, ax: Axes | None = None) -> Axes:
    """Draw the modes in the order in which they want to be acted on, and how much of all risk they hold together.

    Parameters
    ----------
    rated : DataFrame, index failure_mode, in the order of `fmea.order`
        From `fmea.confront`; modes without a priority are left out.
    most : int
        Modes, the first.
    ax : Axes, optional
        Where to draw; a new figure of report width without.
    """
    known = rated[rated["action_priority"].notna()]
    shown = known.head(most)
    if ax is None:
        ax = canvas(1, 1, height=1.0 + ROW * max(len(shown), 1))[1][0, 0]
    cumulated = known["rpn"].cumsum() / known["rpn"].sum()
    ax.barh(range(len(shown)), shown["rpn"], color=[TINTS[one] for one in shown["action_priority"]], height=0.7)
    for place, (mode, row) in enumerate(shown.iterrows()):
        said = "/".join(f"{row[one]:.0f}" for one in LETTERS)
        was = row.get("action_priority_authored")
        note = f", {was} as written" if isinstance(was, str) and was != row["action_priority"] else ""
        ax.text(row["rpn"], place, f"  {said}{note}  ({cumulated[mode]:.0%})", va="center", fontsize=8)
    names = [f"{mode.replace('_', ' ')}  {place}" for place, mode in enumerate(shown.index, 1)]
    ax.set_yticks(range(len(shown)), names)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0, 1.4 * max(shown["rpn"].max(), 1) if len(shown) else 1)
    ax.set_xlabel("S x O x D; beside it S/O/D, and the share of all modes' sum so far")
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    _priorities(ax, shown["action_priority"], TINTS, loc="lower right")
    return ax


def _priorities(ax: Axes, there: pd.Series, tints: dict[str, str], **where) -> None:
    handles = [Patch(color=colour, label=f"priority {name}") for name, colour in tints.items() if name in set(there)]
    ax.legend(handles=handles, **where)


def plot_rating_matrix(
    rated: pd.DataFrame, *, pairs: Sequence[tuple[str, str]] = (("occurrence", "severity"), ("detection", "occurrence"))
) -> np.ndarray:
    """Draw where modes lie in two ratings at a time: their ranks, on the highest priority among them.

    Parameters
    ----------
    rated : DataFrame, index failure_mode, in the order of `fmea.order`
        From `fmea.confront`; a mode's rank is its place, as in `plot_pareto`.
    pairs : sequence of (str, str)
        Ratings across and upwards, one panel each.

    Returns
    -------
    array of Axes
    """
    axes = canvas(1, len(pairs), height=4.8, sharex=False)[1][0]
    known = rated[rated["action_priority"].notna()]
    places = pd.Series(range(1, len(known) + 1), index=known.index)
    for ax, (across, up) in zip(axes, pairs, strict=True):
        for (x, y), own in known.groupby([across, up]):
            worst = next(name for name in TINTS if (own["action_priority"] == name).any())
            ax.add_patch(_cell(x, y, PALE[worst]))
            ranks = list(map(str, places[own.index]))
            lines = [" ".join(ranks[at : at + WIDTH]) for at in range(0, len(ranks), WIDTH)]
            shown = lines if len(lines) <= LINES else [*lines[: LINES - 1], f"+{len(ranks) - (LINES - 1) * WIDTH}"]
            ax.text(x, y, "\n".join(shown), ha="center", va="center", fontsize=6.5)
        ax.set_xlim(0.5, 10.5)
        ax.set_ylim(0.5, 10.5)
        ax.set_xticks(range(1, 11))
        ax.set_yticks(range(1, 11))
        ax.set_xlabel(f"{across} ({LETTERS[across]})")
        ax.set_ylabel(f"{up} ({LETTERS[up]})")
        ax.set_title("numbers: ranks of modes; +3: three more", fontsize=9)
        ax.grid(visible=True, which="major", axis="both")
    _priorities(axes[0], known["action_priority"], PALE, loc="lower left")
    return axes


def _cell(x: float, y: float, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white")


def plot_rating_bounds(rated: pd.DataFrame) -> np.ndarray:
    """Draw what was written (open) and what the record says (its bounds), and which rating stands (filled).

    Parameters
    ----------
    rated : DataFrame, index failure_mode
        From `fmea.confront`; modes without any evidence are left out.

    Returns
    -------
    array of three Axes
        Vermillion where the evidence contradicts what was written.
    """
    seen = rated[rated[[f"{one}_hi" for one in LETTERS]].notna().any(axis=1)]
    axes = canvas(1, 3, height=0.9 + ROW * max(len(seen), 1), sharey=True)[1][0]
    for ax, (rating, letter) in zip(axes, LETTERS.items(), strict=True):
        for place, row in enumerate(seen.to_dict("records")):
            against = row[f"{rating}_verdict"] in ("raised", "lowered")
            colour = PALETTE["vermillion"] if against else PALETTE["blue"]
            ends = [row[f"{rating}_lo"] - 0.3, row[f"{rating}_hi"] + 0.3]  # a band of one rating is to be seen, too
            ax.plot(ends, [place] * 2, color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
            ax.plot(row[rating], place, "o", color=colour, markersize=5)
            ax.plot(row[f"{rating}_authored"], place, "o", color="black", markerfacecolor="none", markersize=8)
        ax.set_xlim(0.5, 10.5)
        ax.set_xticks(range(1, 11))
        ax.set_xlabel(f"{rating} ({letter})")
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(seen)), [mode.replace("_", " ") for mode in seen.index])
    axes[0].set_ylim(len(seen) - 0.4, -0.6)
    axes[0].set_title("open: as written; band: record; filled: stands", fontsize=9)
    return axes


def plot_rating_course(course: pd.DataFrame, *, most: int = 20, ax: Axes | None = None) -> Axes:
    """Draw how ratings and priorities went from night to night.

    Parameters
    ----------
    course : DataFrame, index (night, failure_mode)
        From `fmea.course` or `fmea.earlier`: `severity`, `occurrence`, `detection`, `action_priority`, `rpn`.
    most : int
        Modes: those that moved, the most restless first; where none did, those with the highest number.
    ax : Axes, optional
        Where to draw; a new figure of report width without.
    """
    said = course[list(LETTERS)].map(lambda one: "-" if np.isnan(one) else f"{one:.0f}").agg("/".join, axis=1)
    table = said.unstack("night").fillna("")  # noqa: PD010 - one text a cell
    tint = course["action_priority"].unstack("night")  # noqa: PD010
    moves = (table != table.shift(axis=1)).iloc[:, 1:].sum(axis=1)
    last = course["rpn"].groupby(level="failure_mode").last()
    ranked = pd.DataFrame({"moves": moves, "rpn": last}).sort_values(["moves", "rpn"], ascending=False)
    chosen = (ranked[ranked["moves"] > 0] if moves.any() else ranked).index[:most]
    if ax is None:
        ax = canvas(1, 1, height=1.0 + ROW * max(len(chosen), 1))[1][0, 0]
    for y, mode in enumerate(chosen):
        for x, night in enumerate(table.columns):
            priority = tint.loc[mode, night]
            ax.add_patch(_cell(x, y, PALE.get(priority, "white")))
            new = x > 0 and table.loc[mode].iloc[x] != table.loc[mode].iloc[x - 1]
            weight = "bold" if new else "normal"
            ax.text(x, y, table.loc[mode].iloc[x], ha="center", va="center", fontsize=7, fontweight=weight)
    names = [f"{night:%H:%M}" if isinstance(night, pd.Timestamp) else str(night)[:16] for night in table.columns]
    ax.set_xticks(range(len(names)), names, rotation=0 if len(max(names, key=len, default="")) < 8 else 30)
    ax.set_yticks(range(len(chosen)), [mode.replace("_", " ") for mode in chosen])
    ax.set_xlim(-0.5, max(len(names), 1) - 0.5)
    ax.set_ylim(max(len(chosen), 1) - 0.5, -0.5)
    clock = " (UTC)" if isinstance(table.columns[0], pd.Timestamp) else ""
    ax.set_xlabel(f"night{clock}; S/O/D, bold where it moved")
    ax.grid(visible=False)
    there = tint.loc[chosen].stack()  # noqa: PD013
    _priorities(ax, there, PALE, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax
