"""What is known of a run and its steps: plain facts that the runner collects and the report shows.

The runner fills these dataclasses, :mod:`stability.workbench.reporting` reads them; neither needs the other. Nothing is
checked here, because facts must be collected even of a night that went wrong: `reporting.check_metric` and
`reporting.summary` hold the rules.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["METRIC_NAME", "Metric", "RunFacts", "StepFacts"]

# `<group>.<metric>`: the one form of a metric's name in MLflow, in summary.json and on the page.
METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True)
class Metric:
    """One number of a step, with its interval when it is an estimate.

    Parameters
    ----------
    value : float
        The number, in the unit that its name's documentation states.
    lo, hi : float or None
        Ends of the interval; None for counts and timings, which are measured and not estimated.
    kind : {"estimate", "count", "timing"}
        What sort of number it is; a timing is in seconds.
    """

    value: float
    lo: float | None = None
    hi: float | None = None
    kind: str = "estimate"


@dataclass
class StepFacts:
    """One step of a run: where it stands, what it logged, where its files lie.

    Parameters
    ----------
    key : str
        The step's name, with `[parameter=value,...]` for a child of a matrix.
    notebook : str
        Path of the source notebook, as the experiment names it.
    status : {"finished", "failed", "skipped", "blocked", "waiting", "running"}
        Where it stands; `skipped` means that nothing changed since the run named by `repeats`, `blocked` that something
        that it needs did not finish.
    seconds : float
        Wall time in seconds over all attempts; 0 before the start.
    run_id : str or None
        Its MLflow run; of a skipped step the run that is repeated.
    error : str or None
        The last line of what went wrong.
    traceback : str or None
        The whole of it; may hold ANSI colours.
    attempts : int
        How often it was started.
    repeats : str or None
        Of a skipped step: when, or in which run folder, the repeated run happened.
    folder : Path or None
        Its own folder below the run's, holding `notebook.ipynb`, `notebook.html` and the tables.
    metrics : dict of str to Metric
        What it logged, by `<group>.<metric>`.
    in_summary : bool
        Whether its metrics are part of the run's summary (those of a matrix's children are not).
    parameters : dict
        The parameters it ran with.
    """

    key: str
    notebook: str
    status: str = "waiting"
    seconds: float = 0.0
    run_id: str | None = None
    error: str | None = None
    traceback: str | None = None
    attempts: int = 0
    repeats: str | None = None
    folder: Path | None = None
    metrics: dict[str, Metric] = field(default_factory=dict)
    in_summary: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class RunFacts:
    """One run of an experiment: the question, the data, the steps, and everything needed to repeat it.

    Parameters
    ----------
    name : str
        The experiment's name (the stem of its file).
    question : str
        What the run is to answer, in a sentence or two.
    status : {"finished", "failed", "interrupted", "running"}
        `finished` when every step finished or was skipped; `interrupted` when somebody ended it (for a reader of the
        summary that is a failed run).
    started : datetime.datetime
        When it began; timezone-aware.
    seconds : float
        Wall time so far, in seconds.
    steps : list of StepFacts
        In the order of the plan.
    headline : list of str
        Names of the metrics to show large, most important first.
    metrics : dict of str to Metric
        The metrics of the run's summary, by `<group>.<metric>`.
    dataset : dict
        `name`, `options`, `sha256`; of a snapshot also `window`, `as_of`, `period`, `rows`.
    provenance : dict
        `git_sha`, `dirty`, `lock`, `seed`, `platform`, `python`, `command`, `store`; others are shown as they come.
    parent_run_id : str or None
        The MLflow run of the whole.
    history : list of dict
        `summary.json` of earlier runs of the same experiment, oldest first.
    before : dict
        Of the night before: `record` (its `run.json`) and `files` (what git says has changed in the code since).
    test_parts : list of dict
        The test parts that this run has looked at, and how often each has ever been looked at: `part`, `data` (sha256),
        `configurations`, `packages`, `steps`.
    """

    name: str
    question: str
    status: str
    started: dt.datetime
    seconds: float = 0.0
    steps: list[StepFacts] = field(default_factory=list)
    headline: list[str] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    parent_run_id: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    test_parts: list[dict[str, Any]] = field(default_factory=list)
