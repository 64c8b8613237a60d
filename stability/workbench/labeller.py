"""A table of alarms in JupyterLab, a picture and three buttons each: confirm, discard, unsure; kept at each click."""

from __future__ import annotations

__all__ = ["alarm_labeller"]

import base64
import html
import io
from collections.abc import Callable, Sequence

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd

from stability.adaptation.alarm_labels import AlarmLabels
from stability.adaptation.labelled import labelled
from stability.plotting import plot_alarm
from stability.schema import ContractError

VERBS = {"confirmed": "confirm", "discarded": "discard", "unsure": "unsure"}
STYLES = {"confirmed": "success", "discarded": "danger", "unsure": "warning"}  # of the button whose label holds
OPEN, EVERY = "not labelled", "all"
PAGE = 5  # rows at a time: each has a picture, and more of them are slow to draw
DOTS = 80  # per inch of a picture: it fits beside nothing, above its buttons


def alarm_labeller(
    alarms: pd.DataFrame,
    panel: pd.DataFrame | None = None,
    scores: pd.Series | None = None,
    *,
    store: AlarmLabels | None = None,
    page: int = PAGE,
) -> ipywidgets.VBox:
    """Label alarms, one by one or all that the filters show; the last line of a cell shows the table.

    Parameters
    ----------
    alarms : DataFrame
        The contract's alarms, firings of rules, or what `stability.feedback.incidents.read_alarms` gives.
    panel : DataFrame of float64, (entity, timestamp) x metrics, optional
        Telemetry, for the pictures.
    scores : Series of float64, (entity, timestamp), optional
        Of the detector that raised them, for the pictures.
    store : AlarmLabels, optional
        Default: the workbench's own.
    page : int
        Alarms shown at a time.

    Returns
    -------
    VBox
        Progress; filters by label, entity and detector; a reason for what is said next; buttons for all that the
        filters show, and to take back what was said; the alarms. Everything is reached by Tab and pressed by Space.

    Notes
    -----
    A click is on the disk before its button changes colour, so that nothing is lost with the kernel. An alarm stays
    where it is until a filter changes or a page is turned: what was clicked can be seen, and taken back.
    """
    return _Labeller(alarms, panel, scores, store or AlarmLabels(), page).box


class _Labeller:
    """The widgets, and what they do to the store."""

    def __init__(self, alarms, panel, scores, store: AlarmLabels, page: int):
        self.panel, self.scores, self.store, self.page = panel, scores, store, page
        self.table = labelled(alarms, store.frame()).sort_values(["start", "entity"], kind="stable", ignore_index=True)
        self.steps: list[pd.DataFrame] = []  # what held before each step
        self.rows = {}  # name of an alarm that is shown -> its box, words and buttons
        self.bar = ipywidgets.IntProgress(max=max(len(self.table), 1), layout={"width": "14em"})
        self.progress, self.said, self.place = (ipywidgets.HTML() for _ in range(3))
        self.show = _choice("show", [OPEN, *VERBS, EVERY])
        self.entity, self.detector = (
            _choice(column, [EVERY, *sorted(self.table[column].dropna().unique())]) for column in ("entity", "detector")
        )
        self.reason = ipywidgets.Text(description="reason", placeholder="why, for what is said next")
        self.every = _buttons(lambda label: self.say(label, self.shown()), "all that the filters show")
        self.back = ipywidgets.Button(description="undo", tooltip="let hold what held before the last click")
        self.turns = [ipywidgets.Button(description=f"{way} page") for way in ("previous", "next")]
        self.lines = ipywidgets.VBox()
        for choice in (self.show, self.entity, self.detector):
            choice.observe(lambda _: self.turn(), names="value")
        self.back.on_click(lambda _: self.undo())
        for button, way in zip(self.turns, (-1, 1), strict=True):
            button.on_click(lambda _, way=way: self.turn(way))
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HBox([self.bar, self.progress, self.back]),
                ipywidgets.HBox([self.show, self.entity, self.detector, self.reason]),
                ipywidgets.HBox(list(self.every.values())),
                self.said,
                self.lines,
                ipywidgets.HBox([*self.turns, self.place]),
            ]
        )
        self.turn()

    def shown(self) -> list[str]:
        """Names of all alarms that the filters let through, on every page."""
        label, wanted = self.table["label"], pd.Series(True, index=self.table.index)
        if self.show.value != EVERY:
            wanted = label.isna() if self.show.value == OPEN else label == self.show.value
        for column, choice in (("entity", self.entity), ("detector", self.detector)):
            if choice.value != EVERY:
                wanted &= self.table[column] == choice.value
        return self.table.loc[wanted, "alarm_id"].tolist()

    def turn(self, way: int = 0) -> None:
        """Show the first page (0), or the one after (1) or before (-1) the alarms that are shown."""
        names = self.shown()
        ahead, behind = self.beyond(names)
        here = {0: names[: self.page], 1: ahead[: self.page], -1: behind[-self.page :]}[way]
        self.rows = {}
        for alarm in self.table[self.table["alarm_id"].isin(here)].to_dict("records"):
            words, name = ipywidgets.HTML(), alarm["alarm_id"]
            buttons = _buttons(lambda label, name=name: self.say(label, [name]), name)
            picture = ipywidgets.HTML(_picture(alarm, self.panel, self.scores))
            box = ipywidgets.VBox([ipywidgets.HBox([*buttons.values(), words]), picture])
            self.rows[name] = box, words, buttons
        self.lines.children = [box for box, _, _ in self.rows.values()]
        self.tell()

    def beyond(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Part names into those after and before the alarms that are shown, which a filter may let through no more."""
        places = {name: k for k, name in enumerate(self.table["alarm_id"])}
        shown = [places[name] for name in self.rows] or [0]
        return [n for n in names if places[n] > max(shown)], [n for n in names if places[n] < min(shown)]

    def tell(self) -> None:
        """Say what holds, without making the rows anew: who works with the keyboard stays where they are."""
        done = int(self.table["label"].notna().sum())
        self.bar.value, self.progress.value = done, f"{done:,} of {len(self.table):,} labelled"
        names = self.shown()
        (ahead, behind), count = self.beyond(names), len(names)
        self.back.disabled, self.turns[0].disabled, self.turns[1].disabled = not self.steps, not behind, not ahead
        self.place.value = f"{count:,} shown by the filters, {len(ahead):,} of them further on"
        for label, button in self.every.items():
            button.description, button.disabled = f"{VERBS[label]} all {count:,} shown", not count
        held = self.table.set_index("alarm_id")
        for name, (_, words, buttons) in self.rows.items():
            words.value = _words(held.loc[name])
            for label, button in buttons.items():
                button.button_style = STYLES[label] if held.loc[name, "label"] == label else ""

    def say(self, label: str, names: Sequence[str]) -> None:
        """Keep a label of some alarms, then show it."""
        before = self.table[self.table["alarm_id"].isin(names)]
        if self.kept(lambda: self.store.label(before, label, reason=self.reason.value)):
            self.steps.append(before)
            self.tell()

    def undo(self) -> None:
        """Let hold what held before the last step, then before the one before it."""
        if self.steps and self.kept(lambda: self.store.restore(self.steps[-1])):
            self.steps.pop()
            self.tell()

    def kept(self, keep: Callable[[], pd.DataFrame]) -> bool:
        """Whether the store took it; else the reason stands above the rows, and nothing changes colour."""
        try:
            keep()
            self.table = labelled(self.table, self.store.frame())
        except (ContractError, OSError) as error:
            self.said.value = f"<b>Not kept: {html.escape(str(error))}</b>"
            return False
        self.said.value = ""
        return True


def _choice(what: str, options: Sequence[str]) -> ipywidgets.Dropdown:
    layout = {"display": "none"} if len(options) == 2 and what != "show" else {}  # nothing to choose from
    return ipywidgets.Dropdown(options=options, description=what, layout=layout)


def _buttons(press: Callable[[str], None], what: str) -> dict[str, ipywidgets.Button]:
    made = {}
    for label, verb in VERBS.items():
        made[label] = ipywidgets.Button(description=verb, tooltip=f"{verb}: {what}", layout={"width": "auto"})
        made[label].on_click(lambda _, label=label: press(label))
    return made


def _words(alarm: pd.Series) -> str:
    score = "" if pd.isna(alarm["score"]) else f", score {alarm['score']:.3g}"
    limit = "" if pd.isna(alarm["threshold"]) else f" over {alarm['threshold']:.3g}"
    entity = alarm["entity"] if isinstance(alarm["entity"], str) else "all entities"
    told = f"{alarm['start']:%Y-%m-%d %H:%M:%S} {entity}{score}{limit}"
    named = f": {alarm['metrics']}" if isinstance(alarm["metrics"], str) else ""
    held = f" <b>{alarm['label']}</b>" if isinstance(alarm["label"], str) else ""
    why = f" ({html.escape(alarm['reason'])})" if isinstance(alarm["reason"], str) else ""
    return f"{html.escape(told + named)}{held}{why}"


def _picture(alarm: dict, panel: pd.DataFrame | None, scores: pd.Series | None) -> str:
    """The alarm's strip as an image within the page; nothing where there is no telemetry of it."""
    axes = () if panel is None else plot_alarm(pd.Series(alarm), panel, scores)
    if not len(axes):
        return ""
    figure, file = axes[0].figure, io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS)
    plt.close(figure)
    said = html.escape(f"{alarm['entity']} around {alarm['start']:%Y-%m-%d %H:%M}", quote=True)
    return f'<img alt="{said}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
