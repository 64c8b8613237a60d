"""What moves in JupyterLab, moved by hand: the slider draws again, the marker keeps labels."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from series import panel

from stability.schema import ContractError
from stability.workbench.marks import marks
from stability.workbench.widgets import budget_slider, incident_marker


@pytest.fixture(autouse=True)
def _own_home(workbench):
    yield
    plt.close("all")


def test_the_slider_draws_at_once_and_again_when_it_is_moved():
    drawn = []
    slider = budget_slider(drawn.append, [0.1, 1.0, 10.0], 3.0).children[0]
    assert [value for _, value in slider.options] == [0.1, 1.0, 3.0, 10.0]
    slider.value = 10.0
    assert drawn == [3.0, 10.0]


def test_a_marked_stretch_is_kept_and_taken_back():
    values = panel(range(60))["m0"]
    box = incident_marker("mine", values)
    _, span, (mode, keep, back), _ = box.children[0], box.children[1], box.children[2].children, box.children[3]
    stamps = values.index.get_level_values("timestamp")
    span.value = (stamps[10], stamps[20])
    mode.value = " memory_leak "
    keep.click()
    kept = marks("mine")
    assert kept[["entity", "impact_start", "recovered_at", "failure_mode"]].iloc[0].tolist() == [
        "web-1",
        stamps[10],
        stamps[20],
        "memory_leak",
    ]
    back.click()
    back.click()  # nothing is left, and nothing happens
    assert marks("mine").empty


def test_nothing_to_mark_is_told():
    with pytest.raises(ContractError, match="two values"):
        incident_marker("mine", pd.Series(panel([1.0])["m0"]))
