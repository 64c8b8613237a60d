"""Pictures without time: the counts and points that are drawn are those that went in."""

import numpy as np
import pandas as pd
import pytest

from stability.plotting import plot_histograms, plot_kinds
from stability.schema import ContractError


def test_histograms_share_their_bins_and_lose_nothing():
    values = {"a": pd.Series([0.0, 1.0, 1.0, np.nan]), "b": pd.Series([4.0])}
    ax = plot_histograms(values, xlabel="life (cycles)", bins=4)
    drawn = [patch.get_data() for patch in ax.patches]
    assert [data.values.sum() for data in drawn] == [3, 1]
    assert np.array_equal(drawn[0].edges, drawn[1].edges)
    assert drawn[0].edges[[0, -1]].tolist() == [0, 4]
    assert ax.get_xlabel() == "life (cycles)"
    with pytest.raises(ContractError, match="at least one value"):
        plot_histograms({"a": pd.Series([np.nan])}, xlabel="x")


def test_points_of_several_kinds_are_drawn_as_each_and_counted():
    frame = pd.DataFrame({"machine_rotation_hertz": [1.0, 2.0, 3.0], "machine_torque_newton_meters": [4.0, 5.0, 6.0]})
    kinds = pd.DataFrame({"power_failure": [True, False, False], "overstrain_failure": [True, True, False]})
    ax = plot_kinds(frame, *frame.columns, kinds)
    drawn = [line.get_xdata().tolist() for line in ax.lines if len(line.get_xdata())]
    assert drawn == [[3.0], [1.0], [1.0, 2.0]]
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said == ["power failure: 1", "overstrain failure: 2", "none: 1"]
    assert ax.get_ylabel() == "machine_torque_newton_meters (N·m)"
    with pytest.raises(ContractError, match="did you mean 'machine_rotation_hertz'"):
        plot_kinds(frame, "machine_rotation", "machine_torque_newton_meters", kinds)
