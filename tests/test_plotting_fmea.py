"""Failure modes in pictures: every mark is one of the table."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stability.fmea import confront, course, rated_only
from stability.plotting import plot_pareto, plot_rating_bounds, plot_rating_course, plot_rating_matrix

SHEET = pd.DataFrame(
    {"severity": [9.0, 6, 2], "occurrence": [8.0, 4, 2], "detection": [7.0, 4, 2]},
    index=pd.Index(["big_fire", "leak", "dust"], name="failure_mode"),
)
ENDS = pd.DataFrame({"occurrence_lo": [6.0], "occurrence_hi": [8.0]}, index=pd.Index(["leak"], name="failure_mode"))
RATED = confront(SHEET, {"occurrence": ENDS})


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_pareto_is_in_the_order_of_priority():
    ax = plot_pareto(RATED)
    assert [bar.get_width() for bar in ax.patches] == [504, 144, 8]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["big fire  1", "leak  2", "dust  3"]
    said = [text.get_text().strip() for text in ax.texts]
    assert said[0].startswith("9/8/7")
    assert said[1].startswith("6/6/4")
    assert said[2].endswith("(100%)")
    assert len(plot_pareto(RATED, most=2).patches) == 2


def test_a_priority_that_moved_says_what_it_was():
    ends = (ENDS + 2).set_axis(["dust"]).rename_axis("failure_mode")
    texts = [text.get_text() for text in plot_pareto(confront(SHEET.assign(severity=9.0), {"occurrence": ends})).texts]
    assert sum("as written" in text for text in texts) == 1


def test_matrix_holds_each_rank_once_in_its_cell():
    axes = plot_rating_matrix(RATED)
    for ax, (x, y) in zip(axes, (("occurrence", "severity"), ("detection", "occurrence")), strict=True):
        told = {text.get_text(): text.get_position() for text in ax.texts}
        assert told == {str(rank): tuple(row[[x, y]]) for rank, (_, row) in enumerate(RATED.iterrows(), 1)}


def test_full_cells_say_how_many_more():
    many = pd.concat([SHEET.iloc[:1]] * 9).set_axis([f"m{n}" for n in range(9)]).rename_axis("failure_mode")
    text = plot_rating_matrix(confront(many, {}))[0].texts[0].get_text()
    assert text.split() == ["1", "2", "3", "4", "+5"]


def test_bounds_show_what_was_written_and_what_stands():
    axes = plot_rating_bounds(RATED)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["leak"]  # the others have no evidence
    band, stands, said = axes[1].lines
    assert np.allclose(band.get_xdata(), [5.7, 8.3])
    assert (stands.get_xdata()[0], said.get_xdata()[0]) == (6, 4)
    assert stands.get_color() == "#D55E00"


def test_course_shows_modes_that_moved():
    told = course(SHEET, [1, 2], lambda night: {"occurrence": ENDS} if night == 2 else {})
    ax = plot_rating_course(told)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["leak"]
    assert [(text.get_text(), text.get_fontweight()) for text in ax.texts] == [("6/4/4", "normal"), ("6/6/4", "bold")]
    still = course(SHEET, pd.date_range("2026-01-01", periods=2, freq="1h", tz="UTC"), lambda night: {})
    ax = plot_rating_course(still)
    assert len(ax.get_yticklabels()) == 3
    assert [label.get_text() for label in ax.get_xticklabels()] == ["00:00", "01:00"]


def test_nothing_known_is_an_empty_picture():
    none = confront(rated_only({"occurrence": ENDS}), {})
    assert not plot_pareto(none).patches
    assert not plot_rating_matrix(none)[0].texts
    assert not plot_rating_bounds(none)[0].lines
