"""What the logs say over time: each template's lines, beside what is known to have gone wrong."""

from __future__ import annotations

__all__ = ["plot_log_counts"]

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stability.plotting.faults import mark_faults
from stability.plotting.style import PALETTE, canvas, explain, time_axis
from stability.schema import ContractError, nearest, validate

ROW = 0.3  # in, height of a template's row
LONGEST = 52  # characters of a template's text
TROUBLE = {"error": 2, "err": 2, "crit": 2, "critical": 2, "fatal": 2, "alert": 2, "emerg": 2, "warn": 1, "warning": 1}
SHADES = (PALETTE["blue"], PALETTE["orange"], PALETTE["vermillion"])


def plot_log_counts(
    counts: pd.DataFrame,
    templates: pd.DataFrame,
    *,
    entity: str,
    faults: pd.DataFrame | None = None,
    windows: pd.DataFrame | None = None,
    most: int = 14,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often an entity wrote each kind of line, errors above warnings above the rest.

    Parameters
    ----------
    counts : DataFrame
        As `stability.records.template_counts` gives it.
    templates : DataFrame
        `LogTemplates.templates_`: text and level of each.
    entity : str
        Whose lines.
    faults, windows : DataFrame, optional
        Tables of the contract; those of the entity are marked.
    most : int
        Rows; of more templates those with the most lines at their level.
    ax : Axes, optional
        Where to draw; a new figure of report width without.

    Returns
    -------
    Axes
        x: time in UTC; a row a template, its height relative to its own greatest count, which stands at the right.

    Raises
    ------
    ContractError
        When the entity wrote no line.
    """
    panel = validate(counts, "telemetry")
    there = panel.index.unique("entity")
    if entity not in there:
        raise ContractError(expected="an entity that wrote log lines", got=repr(entity), remedy=nearest(entity, there))
    own = panel.loc[entity].drop(columns="log_lines", errors="ignore")
    own = own.loc[:, own.sum() > 0]
    if own.empty or own.shape[1] == 0:
        raise ContractError(expected="an entity that wrote log lines", got=f"{entity!r}, which wrote none")
    known = {name: _template(name, templates) for name in own}
    order = sorted(own, key=lambda name: (-known[name][1], -own[name].sum()))[:most]
    if ax is None:
        _, grid = canvas(height=0.5 + ROW * len(order))
        ax = grid[0, 0]
    step = own.index.to_series().diff().min()
    for place, name in enumerate(reversed(order)):
        values, (_, rank) = own[name].to_numpy(), known[name]
        there = values > 0
        ends = own.index[there]
        # As bars of the step that ends at the stamp, of which a rare line's is still seen.
        ax.vlines(
            ends, place, place + 0.82 * values[there] / values.max(), color=SHADES[rank], linewidth=_width(len(own))
        )
        ax.text(
            1.004, place + 0.1, f"{values.max():,.0f}", transform=ax.get_yaxis_transform(), fontsize=8, color="#555555"
        )
    ax.set_xlim(own.index[0] - step if pd.notna(step) else own.index[0], own.index[-1])
    ax.set_ylim(-0.15, len(order))
    ax.set_yticks(np.arange(len(order)) + 0.3, [known[name][0] for name in reversed(order)], fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    ax.figure.suptitle(f"Log lines of {entity}; right: most in {_words(step)}", x=0.01, ha="left", fontsize=10.5)
    time_axis(ax)
    explain(ax.figure, mark_faults(ax, faults, entity, windows=windows))
    return ax


def _template(column: str, templates: pd.DataFrame) -> tuple[str, int]:
    """Text of a column's template as it fits, and how much trouble its level means."""
    name = column.split("_")[1]
    if name not in templates.index:
        return "(any other line)", 0
    text, level = templates.loc[name, "text"], templates.loc[name, "level"]
    said = f"{level} {text}" if isinstance(level, str) else text
    short = said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
    return short.replace("$", r"\$"), TROUBLE.get(str(level).lower(), 0)


def _width(steps: int) -> float:
    """Points a step has of the axes' width, within what can be seen."""
    return float(np.clip(380 / max(1, steps), 0.7, 6.0))


def _words(step: pd.Timedelta) -> str:
    if pd.isna(step):
        return "one step"
    minutes = step / pd.Timedelta("1min")
    return f"{minutes:g} min" if minutes >= 1 else f"{step.total_seconds():g} s"
