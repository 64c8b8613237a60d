"""The picture of the knowledge graph: every name once, colours by kind, nothing outside or on top of each other."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from stability.knowledge import knowledge
from stability.plotting import plot_knowledge
from stability.plotting.knowledge import KIND_COLOURS
from stability.rules import Rule
from stability.schema import ContractError, validate

CALLS = validate(
    pd.DataFrame({"source": ["web", "api", "api"], "target": ["api", "db", "web"], "kind": "calls"}), "topology"
)
GRAPH = knowledge(
    "shop",
    topology=CALLS,
    metrics={"db": ["latency_seconds"]},
    rules=[Rule("g", "Slow", "latency_seconds > 1", labels={"failure_mode": "slow"})],
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts(ax):
    return {t.get_text(): t.xy for t in ax.texts if t.get_text()}


def test_every_node_has_its_name_its_place_and_the_colour_of_its_kind():
    ax = plot_knowledge(GRAPH)
    places = texts(ax)
    assert set(places) == {"web", "api", "db", "latency_seconds", "Slow", "slow"}
    assert len(set(places.values())) == 6
    assert all(x >= -0.05 and 0 <= y <= 1 for x, y in places.values())
    # web and api depend on each other, and both stand left of what they depend on
    assert places["web"][0] == places["api"][0] < places["db"][0] < places["latency_seconds"][0] < places["slow"][0]
    colours = {dot.get_offsets()[0][0]: to_hex(dot.get_facecolor()[0]) for dot in ax.collections}
    assert colours[places["slow"][0]].upper() == KIND_COLOURS["mode"]
    assert {t.get_text() for t in ax.get_legend().get_texts()} == {"entity (3)", "metric (1)", "rule (1)", "mode (1)"}


def test_a_part_of_a_graph():
    assert set(texts(plot_knowledge(GRAPH, names=["slow"]))) == {"slow", "Slow"}
    assert set(texts(plot_knowledge(GRAPH, names=["slow"], steps=2))) == {"slow", "Slow", "latency_seconds"}
    two = knowledge("plant", metrics={"boiler": ["level"]}, graph=GRAPH)
    assert set(texts(plot_knowledge(two, "plant"))) == {"boiler", "level"}


def test_names_do_not_run_into_each_other():
    names = [f"a_metric_with_a_very_long_name_of_number_{i}_seconds" for i in range(30)]
    long = knowledge("d", topology=CALLS, metrics={"db": names}, shows={f"mode_{i}": [n] for i, n in enumerate(names)})
    ax = plot_knowledge(long)
    ax.figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in ax.texts if t.get_text()]
    overlaps = [
        (a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.shrunk(0.95, 0.8).overlaps(b.shrunk(0.95, 0.8))
    ]
    assert not overlaps


def test_too_much_and_nothing_are_errors():
    with pytest.raises(ContractError, match="choose with names"):
        plot_knowledge(knowledge("d", metrics={"db": [f"m{i}" for i in range(200)]}))
    with pytest.raises(ContractError, match="got 0"):
        plot_knowledge(GRAPH, "other")
