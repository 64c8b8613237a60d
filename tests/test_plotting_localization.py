"""Pictures of an incident show what the tables say."""

import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from shops import shop, slow, topology

from stability.localization import changes
from stability.plotting import plot_evidence, plot_onsets, plot_topology
from stability.plotting.style import WIDTH
from stability.schema import ContractError


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_earliest_is_on_top_and_calm_entities_are_left_out():
    panel = slow(slow(shop(60, seed=3), "cart", 0.2, (40, 60)), "search", 0.2, (50, 60))
    found = changes(panel)
    ax = plot_onsets(found, panel.index[-1][1], cause="cart")
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows.index("cart") > rows.index("search")
    assert "store" not in rows
    assert ax.get_yticklabels()[rows.index("cart")].get_fontweight() == "bold"
    assert ax.get_xlabel() == "time (UTC)"
    assert ax.figure.get_size_inches()[0] == WIDTH
    with pytest.raises(ContractError, match="a change"):
        plot_onsets(found[found["z"] < 1])


def test_each_entity_is_drawn_with_its_likeliest_named():
    ax = plot_topology(topology(), {"cart": 0.9, "store": 0.05, "front": 0.0}, alarmed="front")
    said = {text.get_text() for text in ax.texts}
    assert said == {"cart  0.90", "store  0.05", "front  0.00", "search"}
    nodes = next(own for own in ax.collections if len(own.get_offsets()) == 4)
    assert len({tuple(colour) for colour in nodes.get_facecolors()}) >= 3
    with pytest.raises(ContractError, match="a dependency"):
        plot_topology(topology().iloc[:0], {})


def test_a_circle_of_calls_can_be_drawn():
    both = pd.concat([topology(), topology().swaplevel().rename_axis(["source", "target"])])
    assert len(plot_topology(both, {}).texts) == 4


def test_bars_of_a_cause_add_up_to_its_sum():
    terms = {f"kind.{i}": float(v) for i, v in enumerate([3, -2, 1, 0.5, 0.4, 0.3, -0.2, 0.1, 0.05, 0.04])}
    rows = [("a", 1, "cart", 0.9, json.dumps(terms)), ("a", 2, None, 0.1, json.dumps({"none.always": 1.0}))]
    causes = pd.DataFrame(rows, columns=["alarm_id", "rank", "entity", "probability", "evidence"])
    axes = plot_evidence(causes.set_index(["alarm_id", "rank"]))
    assert len(axes) == 2
    *bars, total = axes[0].patches
    assert total.get_width() == pytest.approx(sum(terms.values()))
    assert sum(bar.get_width() for bar in bars) == pytest.approx(total.get_width())
    last = bars[-1].get_x() + bars[-1].get_width()
    assert last == pytest.approx(total.get_width())
    assert axes[1].get_title(loc="left").startswith("no fault")
    assert np.isfinite(axes[0].get_xlim()).all()
    with pytest.raises(ContractError, match="a row or more"):
        plot_evidence(causes.iloc[:0].set_index(["alarm_id", "rank"]))


def test_names_of_metrics_stand_beside_the_bars_and_never_on_the_alarm():
    panel = slow(shop(60, seed=3), "cart", 0.2, (40, 60)).rename(columns=lambda name: f"{name}_of_a_very_long_name")
    at = panel.index[-1][1]
    ax = plot_onsets(changes(panel), at)
    ax.figure.canvas.draw()
    [beside] = ax.child_axes
    names = [label for label in beside.get_yticklabels() if label.get_text()]
    assert {label.get_text() for label in names} <= set(panel.columns)
    assert len(names) == len(ax.get_yticklabels())
    line = ax.get_window_extent().x1
    assert all(label.get_window_extent().x0 >= line for label in names)
    assert max(label.get_window_extent().x1 for label in names) <= ax.figure.bbox.x1 + 1
