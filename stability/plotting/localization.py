"""Pictures of an incident: who moved when, where on the topology the cause lies, and what speaks for whom."""

from __future__ import annotations

__all__ = ["plot_evidence", "plot_onsets", "plot_topology"]

import json
from collections.abc import Mapping

import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from stability.plotting.style import COLOURS, PALETTE, PANEL, canvas, time_axis
from stability.schema import ContractError

MOST_ROWS = 25  # services of a timeline: more are not read
MOST_NAMES = 20  # nodes of a graph that are all named; in a larger one the suspects and the alarmed
LONGEST = 34  # characters of a name
SHOWN_TERMS = 8  # of a waterfall; the rest is one bar
WARM = LinearSegmentedColormap.from_list("warm", ["#F2F2F2", PALETTE["orange"], PALETTE["vermillion"]])


def plot_onsets(
    changes: pd.DataFrame,
    alarm: pd.Timestamp | None = None,
    *,
    least: float = 5.0,
    cause: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw when each entity's metrics changed, the earliest first: a bar from onset to end, darker for larger changes.

    On the right stands the metric whose change it is: the largest of the entity.

    Parameters
    ----------
    changes : DataFrame, index (entity, metric)
        `onset`, `end` and `z`, as `localization.changes` finds them.
    alarm : Timestamp, optional
        Drawn as a line.
    least : float
        Standard errors from which a change is drawn.
    cause : str, optional
        Entity whose name is set in bold.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    clear = changes[changes["z"] >= least]
    if not len(clear):
        raise ContractError(column="z", expected=f"a change of {least:g} standard errors or more", got="none")
    largest = clear.sort_values("z", ascending=False).groupby(level="entity", sort=False).head(1).head(MOST_ROWS)
    shown = largest.sort_values(["onset", "z"], ascending=[False, True])
    ax = _axes(ax, max(PANEL, 0.25 * len(shown) + 0.8))
    entities = shown.index.get_level_values("entity")
    span = (changes["end"].max() - changes["onset"].min()) / max(len(shown), 1)
    width = (shown["end"] - shown["onset"]).where(lambda own: own > pd.Timedelta(0), span / 4)
    strong = Normalize(0.0, float(np.log1p(shown["z"].max())))
    colours = WARM(strong(np.log1p(shown["z"].to_numpy(dtype=float))))
    ax.barh(entities, width, left=shown["onset"], color=colours, height=0.6, edgecolor=PALETTE["grey"], linewidth=0.4)
    if cause in entities:
        ax.get_yticklabels()[list(entities).index(cause)].set_fontweight("bold")
    # Beside the axes and not on the bars: a name is longer than most changes, and would cover the alarm.
    names = ax.secondary_yaxis("right")
    names.set_yticks(range(len(shown)), shown.index.get_level_values("metric"), fontsize=7)
    names.tick_params(length=0)
    names.spines["right"].set_visible(False)
    if alarm is not None:
        ax.axvline(alarm, color=PALETTE["black"], lw=1, ls="--")
        ax.annotate(
            "alarm",
            (alarm, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
        )
    ax.tick_params(axis="y", labelsize=8)
    ax.grid(False, axis="y")
    time_axis(ax)
    return ax


def plot_topology(
    topology: pd.DataFrame, probabilities: Mapping[str, float], *, alarmed: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw who depends on whom, each entity in the colour of its probability of being the cause.

    Parameters
    ----------
    topology : DataFrame, index (source, target)
        The source depends on the target; drawn from left to right.
    probabilities : mapping of entity to float
        In [0, 1]; an entity without one is white. In a graph of more than 20 entities only the three likeliest and the
        alarmed are named.
    alarmed : str, optional
        Entity of the alarm, drawn with a thick rim.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    graph = nx.DiGraph(list(topology.index))
    if not len(graph):
        raise ContractError(column="topology", expected="a dependency or more", got="none")
    levels = _levels(graph)
    for node, level in levels.items():
        graph.nodes[node]["level"] = level
    place = nx.multipartite_layout(graph, subset_key="level", align="vertical")
    tallest = pd.Series(levels).value_counts().max()
    ax = _axes(ax, max(PANEL, 0.32 * tallest + 0.8))
    likely = Normalize(0.0, 1.0)
    fills = [WARM(likely(probabilities[n])) if n in probabilities else "#FFFFFF" for n in graph]
    rims = [2.0 if n == alarmed else 0.6 for n in graph]
    nx.draw_networkx_edges(graph, place, ax=ax, edge_color=PALETTE["grey"], width=0.6, arrowsize=7, node_size=120)
    nodes = nx.draw_networkx_nodes(graph, place, ax=ax, node_color=fills, linewidths=rims, node_size=120)
    nodes.set_edgecolor(PALETTE["black"])
    likeliest = sorted(probabilities, key=probabilities.get, reverse=True)[:3]
    for node, (x, y) in place.items():
        if len(graph) > MOST_NAMES and node not in (*likeliest, alarmed):
            continue
        said = f"{_short(node)}  {probabilities[node]:.2f}" if node in likeliest else _short(node)
        weight = "bold" if node in likeliest else "normal"
        ax.annotate(
            said, (x, y), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=6.5, fontweight=weight
        )
    ax.figure.colorbar(ScalarMappable(likely, WARM), ax=ax, label="probability of being the cause", shrink=0.7)
    ax.set_axis_off()
    ax.margins(0.08, 0.06)
    return ax


def _axes(ax: Axes | None, height: float) -> Axes:
    return canvas(height=height)[1][0, 0] if ax is None else ax


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _levels(graph: nx.DiGraph) -> dict[str, int]:
    """Steps from whoever nobody depends on, the longest way; those in a circle share a level."""
    circles = nx.condensation(graph)
    level: dict[int, int] = {}
    for node in nx.topological_sort(circles):
        level[node] = max((level[above] + 1 for above in circles.predecessors(node)), default=0)
    return {name: level[circle] for circle, names in circles.nodes(data="members") for name in names}


def plot_evidence(causes: pd.DataFrame, *, first: int = 3, names: Mapping[str, str] | None = None) -> np.ndarray:
    """Draw, for the first causes of one alarm, the log-odds terms that add up to their score, the largest first.

    Parameters
    ----------
    causes : DataFrame
        Rows of one alarm of the contract's table.
    first : int
        How many causes are drawn, beside each other.
    names : mapping of str to str, optional
        What a term is called in the picture.

    Returns
    -------
    array of Axes
    """
    own = causes.sort_index().head(first)
    if not len(own):
        raise ContractError(column="causes", expected="a row or more", got="none")
    height = max(PANEL, 0.24 * (SHOWN_TERMS + 2) + 0.8)
    _, axes = canvas(1, len(own), height=height)
    for ax, (_, row) in zip(axes[0], own.iterrows(), strict=True):
        _waterfall(ax, pd.Series(json.loads(row["evidence"]), dtype="float64"), names or {})
        entity = _short(row["entity"]) if pd.notna(row["entity"]) else "no fault"
        entity += f": {row['failure_mode']}" if pd.notna(row.get("failure_mode")) else ""
        ax.set_title(f"{entity}\n{row['probability']:.3f}", fontsize=7.5, loc="left")
        ax.tick_params(labelsize=7)
    axes[0, 0].set_xlabel("log-odds against the mean candidate")
    return axes[0]


def _waterfall(ax: Axes, terms: pd.Series, names: Mapping[str, str]) -> None:
    order = terms.reindex(terms.abs().sort_values(ascending=False).index)
    shown = order.head(SHOWN_TERMS)
    if len(order) > SHOWN_TERMS:
        shown = pd.concat([shown, pd.Series({f"{len(order) - SHOWN_TERMS} more": order.iloc[SHOWN_TERMS:].sum()})])
    begins = shown.cumsum() - shown
    rows = np.arange(len(shown))[::-1]
    colours = [PALETTE["orange"] if value > 0 else COLOURS[0] for value in shown]
    ax.barh(rows, shown, left=begins, color=colours, height=0.7)
    total = float(terms.sum())
    ax.barh(-1, total, color=PALETTE["black"], height=0.7)
    ax.set_yticks([*rows, -1], [*(names.get(name, name) for name in shown.index), "sum"])
    ax.axvline(0, color=PALETTE["grey"], lw=0.6)
    ax.grid(True, axis="x")
    ax.grid(False, axis="y")
