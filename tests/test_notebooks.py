"""Notebooks as their readers change them: a name that is not there is a sentence, and chance may be the headline."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from workbenches import CHECKOUT

from stability.schema import ContractError


@pytest.fixture
def play(workbench, monkeypatch):
    """Run the cells of a notebook on noise without labels, but for the last one, which writes."""
    monkeypatch.setattr("matplotlib.rcParams", plt.rcParams.copy())
    stamps = pd.date_range("2026-01-01", periods=400, freq="5min", tz="UTC")
    noise = np.random.default_rng(0).normal(size=400)
    path = workbench.folder / "own.csv"
    pd.DataFrame({"timestamp": stamps, "entity": "web-1", "load": noise}).to_csv(path, index=False)

    def played(notebook, **changed):
        cells = json.loads((CHECKOUT / "notebooks" / notebook).read_text())["cells"]
        codes = [cell for cell in cells if cell["cell_type"] == "code"]
        told = {"dataset": "files", "options": {"path": str(path)}, **changed}
        names = {}
        for cell in codes[:-1]:
            exec("".join(cell["source"]).replace("%matplotlib inline", ""), names)
            names |= told if cell["metadata"].get("tags") == ["parameters"] else {}
        return names

    with pd.option_context("display.precision", 6, "display.max_colwidth", 50):  # the notebooks set their own
        yield played
    plt.close("all")


@pytest.mark.parametrize(
    ("notebook", "name", "wrong", "meant"),
    [
        ("01-explore.ipynb", "entity", "web1", "web-1"),
        ("02-decompose.ipynb", "entity", "web1", "web-1"),
        ("02-decompose.ipynb", "metric", "lod", "load"),
        ("03-detect.ipynb", "entity", "web1", "web-1"),
        ("03-detect.ipynb", "metric", "lod", "load"),
        ("03-detect.ipynb", "headline", "rondom", "random"),
        ("03-detect.ipynb", "method", "tial", "tail"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(play, notebook, name, wrong, meant):
    with pytest.raises(ContractError, match=f"did you mean '{meant}'"):
        play(notebook, **{name: wrong})


def test_chance_may_be_the_headline_where_nothing_is_labelled(play):
    assert play("03-detect.ipynb", headline="random")["rival"] != "random"
