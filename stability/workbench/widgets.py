"""What moves in JupyterLab: a slider for the budget of false alarms, and a way to mark an incident on a picture."""

from __future__ import annotations

__all__ = ["budget_slider", "incident_marker"]

from collections.abc import Callable, Sequence

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display

from stability.plotting import PALETTE, plot_series
from stability.schema import ContractError
from stability.workbench.marks import mark, marks, unmark


def budget_slider(draw: Callable[[float], object], budgets: Sequence[float], value: float) -> ipywidgets.VBox:
    """Choose a budget, and see at once what it does.

    Parameters
    ----------
    draw : callable
        Budget -> whatever is to be seen; what it displays or draws comes below the slider.
    budgets : sequence of float
        False alarms per entity-day to choose from.
    value : float
        The one to begin with; one that is not among them is added.

    Returns
    -------
    VBox
        Slider and picture; the last line of a cell shows it.
    """
    choices = sorted({*map(float, budgets), float(value)})
    slider = ipywidgets.SelectionSlider(
        options=[(f"{budget:g}", budget) for budget in choices],
        value=float(value),
        description="false alarms per entity-day",
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "60%"},
    )
    picture = ipywidgets.Output()

    def show(change: dict) -> None:
        picture.clear_output(wait=True)
        with picture:
            draw(change["new"])
            plt.show()

    slider.observe(show, names="value")
    show({"new": slider.value})
    return ipywidgets.VBox([slider, picture])


def incident_marker(dataset: str, values: pd.Series) -> ipywidgets.VBox:
    """Mark a stretch of a metric as an incident; it is kept as a label of the dataset (`stability.workbench.marks`).

    Parameters
    ----------
    dataset : str
        Its name.
    values : Series of float64, (entity, timestamp)
        One metric of one entity.

    Returns
    -------
    VBox
        The picture with the chosen stretch and all marks, a slider with two ends, the failure mode, buttons to keep and
        to take back, and the marks so far.
    """
    values = values.dropna()
    if len(values) < 2:
        raise ContractError(column="values", expected="two values or more", got=len(values))
    entity, stamps = values.index.unique("entity")[0], values.index.get_level_values("timestamp")
    labels = [f"{stamp:%Y-%m-%d %H:%M:%S}" for stamp in stamps]
    third = len(stamps) // 3
    span = ipywidgets.SelectionRangeSlider(
        options=list(zip(labels, stamps, strict=True)),
        index=(third, 2 * third),
        description="incident (UTC)",
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "90%"},
    )
    mode = ipywidgets.Text(description="failure mode", placeholder="if known", style={"description_width": "initial"})
    keep = ipywidgets.Button(description="keep as label", button_style="primary")
    back = ipywidgets.Button(description="take the last back")
    picture, said = ipywidgets.Output(), ipywidgets.Output()

    def own() -> pd.DataFrame:
        kept = marks(dataset)
        return kept[kept["entity"] == entity]

    def show(*_) -> None:
        picture.clear_output(wait=True)
        with picture:
            ax = plot_series(values)
            for row in own().itertuples():
                ax.axvspan(row.impact_start, row.recovered_at, color=PALETTE["green"], alpha=0.2, linewidth=0)
            ax.axvspan(*span.value, color=PALETTE["orange"], alpha=0.3, linewidth=0)
            plt.show()
        said.clear_output(wait=True)
        with said:
            display(own()[["impact_start", "recovered_at", "failure_mode"]])

    def keep_it(*_) -> None:
        mark(dataset, entity, *span.value, mode=mode.value.strip())
        show()

    def take_back(*_) -> None:
        if len(kept := own()):
            unmark(dataset, kept.index[-1])
        show()

    span.observe(show, names="value")
    keep.on_click(keep_it)
    back.on_click(take_back)
    show()
    return ipywidgets.VBox([picture, span, ipywidgets.HBox([mode, keep, back]), said])
