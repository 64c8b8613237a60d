"""One look for every picture: colours that all can tell apart, sizes that a page can show, units and times on axes."""

from __future__ import annotations

__all__ = [
    "COLOURS",
    "PALETTE",
    "PANEL",
    "WIDTH",
    "canvas",
    "explain",
    "label_values",
    "style",
    "time_axis",
    "times_of",
    "unit_text",
]

from collections.abc import Mapping

import matplotlib as mpl
import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from stability.schema import metric

WIDTH = 9.0  # in: at 100 dots per inch the 900 pixels of a report
PANEL = 2.2  # in, height of one panel over the full width
# Okabe and Ito (2008), Color Universal Design: told apart with every common form of colour blindness.
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
    "black": "#000000",
    "grey": "#8C8C8C",
}
COLOURS = [PALETTE[name] for name in ("blue", "orange", "green", "vermillion", "sky", "purple", "black")]
WORDS = {"By": "bytes", "Cel": "°C", "Ohm": "Ω", "N.m": "N·m", "m3": "m³", "s2": "s²", "deg": "°"}
LARGE = 1e5  # from here on ticks are written with a prefix: 1.2 G
RC = {
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.xmargin": 0.0,
    "lines.linewidth": 0.9,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
}


def style() -> None:
    """Give all pictures that follow the workbench's look; once, in a notebook's first cell.

    A block that has it alone: ``with matplotlib.rc_context(RC):``.
    """
    mpl.rcParams.update(RC)


def canvas(
    rows: int = 1, columns: int = 1, *, height: float = PANEL, sharex: bool = True, sharey: bool = False, **kwargs
) -> tuple[Figure, np.ndarray]:
    """Make a figure of report width.

    Parameters
    ----------
    rows, columns : int
        Panels.
    height : float
        Of a row, in inches.
    sharex, sharey : bool
        Whether the panels share an axis; times are shared unless there is a reason.
    **kwargs
        Passed on to `matplotlib.pyplot.subplots`.

    Returns
    -------
    Figure, array of Axes of shape (rows, columns)
    """
    with mpl.rc_context(RC):
        return plt.subplots(
            rows, columns, figsize=(WIDTH, rows * height + 0.4), sharex=sharex, sharey=sharey, squeeze=False,
            layout="constrained", **kwargs,
        )  # fmt: skip


def unit_text(name: str) -> str:
    """Say a metric's unit in words that a reader of axes knows.

    Examples
    --------
    >>> unit_text("process_resident_memory_bytes"), unit_text("system_cpu_utilization_ratio"), unit_text("mine")
    ('bytes', 'ratio 0-1', 'no unit')
    """
    known = metric(name)
    if known.unit == "1":
        return "ratio 0-1" if (known.lower, known.upper) == (0, 1) else "no unit"
    return "/".join(_word(part) for part in known.unit.split("/"))


def _word(unit: str) -> str:
    if unit.startswith("{") and unit.endswith("}"):
        return unit[1:-1].replace("_", " ") + "s"
    return WORDS.get(unit, unit)


def label_values(ax: Axes, name: str, *, prefix: str = "") -> None:
    """Label the y axis with a metric's unit, and write large numbers with a prefix.

    Parameters
    ----------
    ax : Axes
        With its lines drawn: their size decides how ticks are written.
    name : str
        The metric.
    prefix : str
        What is shown of it, before the unit: 'trend', 'residual', ...
    """
    ax.set_ylabel(f"{prefix} ({unit_text(name)})" if prefix else unit_text(name))
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
    if max(abs(low), abs(high)) >= LARGE:
        ax.yaxis.set_major_formatter(EngFormatter(sep=" "))


def time_axis(ax: Axes, *, label: bool = True) -> None:
    """Write the time axis in UTC, with as few characters as say it.

    Parameters
    ----------
    ax : Axes
        With its lines drawn.
    label : bool
        Whether to name the axis; the lowest panel of a shared axis does.
    """
    locator = mdates.AutoDateLocator(tz="UTC", minticks=4, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz="UTC"))
    if label:
        ax.set_xlabel("time (UTC)")


def explain(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """Put one legend for all panels into the figure's upper right corner, beside its title."""
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="upper right", ncols=len(handles), borderaxespad=0.1)


def times_of(index: pd.Index) -> pd.DatetimeIndex:
    """The times of an index, with or without an entity level."""
    return index.get_level_values("timestamp") if isinstance(index, pd.MultiIndex) else index
