"""Pictures of the knowledge graph: columns from what is seen to what lies behind it, coloured by kind."""

from __future__ import annotations

__all__ = ["KIND_COLOURS", "plot_knowledge"]

from collections.abc import Iterable

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from stability.plotting.style import PALETTE, WIDTH, canvas
from stability.schema import ContractError

KIND_COLOURS = {
    "entity": PALETTE["blue"],
    "metric": PALETTE["sky"],
    "rule": PALETTE["orange"],
    "mode": PALETTE["vermillion"],
    "cause": PALETTE["black"],
    "playbook": PALETTE["green"],
}
ORDER = ("entity", "metric", "rule", "mode", "cause", "playbook")  # columns, left to right
LAYERS = 5  # columns that one kind may take, where its nodes depend on each other
CHARACTER = 0.059  # in, width of a character of a name
ROW = 0.24  # in, height of a node
MOST = 120  # nodes that a picture of report width can name


def plot_knowledge(
    graph: nx.MultiDiGraph,
    domain: str | None = None,
    *,
    names: Iterable[str] | None = None,
    steps: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw a knowledge graph: a column for each kind, or several where its nodes depend on each other.

    Parameters
    ----------
    graph : MultiDiGraph
        From `knowledge.knowledge`.
    domain : str, optional
        Only this domain.
    names : iterable of str, optional
        Only nodes of these names and what is near them: a graph of hundreds of nodes is no picture.
    steps : int
        How near.
    ax : Axes, optional
        Where to draw; a new figure of report width, as high as the longest column, without.

    Returns
    -------
    Axes
        Colour and place tell the kind; lines are relations. What others depend on stands to their right, and neighbours
        stand near each other.

    Raises
    ------
    ContractError
        Where nothing is left to draw, or more than 120 nodes.
    """
    kept = [n for n, said in graph.nodes(data=True) if domain in (None, said["domain"])]
    if names is not None:
        wanted = set(names)
        near = {n for n in kept if graph.nodes[n]["name"] in wanted}
        for _ in range(steps):
            near |= {m for n in near for m in nx.all_neighbors(graph, n)}
        kept = [n for n in kept if n in near]
    if not 0 < len(kept) <= MOST:
        raise ContractError("a picture", expected=f"1 to {MOST} nodes", got=str(len(kept)), remedy="choose with names=")
    part = graph.subgraph(kept)
    columns = [own for kind in ORDER for own in _layers(part, [n for n in kept if graph.nodes[n]["kind"] == kind])]
    places = _places(part, columns)
    if ax is None:
        _, grid = canvas(height=0.6 + ROW * max(map(len, columns)))
        ax = grid[0, 0]
    for source, target, _ in part.edges(keys=True):
        _line(ax, places[source], places[target])
    fits = int((WIDTH / len(columns) - 0.2) / CHARACTER)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4}
    for n, (x, y) in places.items():
        ax.scatter(x, y, s=26, color=KIND_COLOURS[graph.nodes[n]["kind"]], zorder=3)
        shown = {"size": 7.5, "va": "center", "bbox": box, "zorder": 4}
        ax.annotate(_short(graph.nodes[n]["name"], fits), (x, y), (5, 0), textcoords="offset points", **shown)
    counts = {kind: sum(graph.nodes[n]["kind"] == kind for n in kept) for kind in ORDER}
    dots = {"marker": "o", "ls": "", "markersize": 5}
    heads = [Line2D([], [], color=KIND_COLOURS[k], label=f"{k} ({n})", **dots) for k, n in counts.items() if n]
    ax.legend(handles=heads, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(heads), borderaxespad=0.2)
    ax.set(xlim=(-0.06, len(columns) - 0.06), ylim=(-0.04, 1.04), xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax


def _short(name: str, fits: int) -> str:
    """A name that fits its column; what is cut out stands past the middle, where names differ least."""
    if len(name) <= fits:
        return name
    tail = int(fits * 0.4)
    return f"{name[: fits - tail - 1]}…{name[-tail:]}"


def _layers(graph: nx.MultiDiGraph, nodes: list[str]) -> list[list[str]]:
    """Columns of one kind: what depends on nothing of its kind stands in the last, circles together."""
    simple = nx.DiGraph(graph.subgraph(nodes))
    circles = nx.condensation(simple)
    depth: dict[int, int] = {}
    for circle in reversed(list(nx.topological_sort(circles))):
        depth[circle] = max((depth[after] + 1 for after in circles.successors(circle)), default=0)
    layers: dict[int, list[str]] = {}
    for circle, data in circles.nodes(data=True):
        layers.setdefault(min(depth[circle], LAYERS - 1), []).extend(data["members"])
    return [layers[number] for number in sorted(layers, reverse=True)]


def _places(graph: nx.MultiDiGraph, columns: list[list[str]]) -> dict[str, tuple[float, float]]:
    """Within a column, nodes at the mean height of their neighbours (barycentre), in a few rounds."""
    height = {n: (i + 0.5) / len(own) for own in columns for i, n in enumerate(sorted(own))}
    for _ in range(12):
        for own in columns:
            near = {n: [height[m] for m in nx.all_neighbors(graph, n) if m != n] for n in own}
            ranked = sorted(own, key=lambda n: (np.mean(near[n]) if near[n] else height[n], n))
            height |= {n: (i + 0.5) / len(own) for i, n in enumerate(ranked)}
    return {n: (float(x), 1.0 - height[n]) for x, own in enumerate(columns) for n in own}


def _line(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    bend = 0.35 if start[0] == end[0] else 0.0
    arrow = {"arrowstyle": "-|>", "mutation_scale": 6, "color": "#B0B0B0", "lw": 0.6, "shrinkA": 3, "shrinkB": 4}
    ax.annotate("", end, start, arrowprops={**arrow, "connectionstyle": f"arc3,rad={bend}"}, zorder=1)
