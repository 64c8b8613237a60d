"""`summary.json`: the numbers of a run for machines, under a schema that refuses what a reader could be misled by."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stability.schema import ContractError
from stability.workbench.facts import METRIC_NAME, Metric, RunFacts, StepFacts
from stability.workbench.reporting.formats import last_line

__all__ = [
    "MetricSummary",
    "StepSummary",
    "Summary",
    "check_metric",
    "read_summary",
    "summary",
    "write_text_atomic",
]

INTERRUPTED = "not run: the night was interrupted"
# An interval and its value come out of different sums; a miss by less than this is rounding.
ROUNDING = 1e-9


class MetricSummary(BaseModel):
    """A number with its interval; `lo` and `hi` are null together, and only for counts and timings.

    Parameters
    ----------
    value : float
        Finite; a whole number not below zero for a count, seconds not below zero for a timing.
    lo, hi : float or None
        Ends of the interval, with `lo <= value <= hi`.
    kind : {"estimate", "count", "timing"}, optional
        Known while a run is summarised, not written: in the file the interval tells an estimate from the others.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    value: int | float
    lo: float | None
    hi: float | None
    kind: Literal["estimate", "count", "timing"] | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _interval(self) -> MetricSummary:
        bare = self.lo is None and self.hi is None
        if self.kind in ("count", "timing"):
            if not bare:
                raise ValueError(f"a {self.kind} carries no interval; log it as an estimate if it is one")
            if self.value < 0:
                raise ValueError(f"a {self.kind} is not below zero")
            if self.kind == "count" and not float(self.value).is_integer():
                raise ValueError("a count is a whole number; a share, a mean or a ratio is an estimate")
        elif self.kind == "estimate" and bare:
            raise ValueError("an estimate carries lo and hi")
        if bare:
            return self
        if self.lo is None or self.hi is None:
            raise ValueError("lo and hi are there together or not at all")
        slack = ROUNDING * max(1.0, abs(self.value))
        if not self.lo - slack <= self.value <= self.hi + slack:
            raise ValueError("an interval holds its value: lo <= value <= hi")
        self.lo, self.hi = min(self.lo, self.value), max(self.hi, self.value)
        return self


class StepSummary(BaseModel):
    """How one step ended."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    status: Literal["finished", "failed", "skipped"]
    seconds: float = Field(ge=0)
    run_id: str | None
    error: str | None

    @model_validator(mode="after")
    def _error(self) -> StepSummary:
        if self.status == "failed" and not self.error:
            raise ValueError("a failed step says why")
        if self.status == "finished" and self.error:
            raise ValueError("a finished step has no error")
        return self


class Summary(BaseModel):
    """The whole of `summary.json`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1)
    status: Literal["finished", "failed"]
    started: AwareDatetime
    seconds: float = Field(ge=0)
    steps: dict[str, StepSummary]
    metrics: dict[str, MetricSummary]

    @field_validator("metrics")
    @classmethod
    def _names(cls, metrics: dict[str, MetricSummary]) -> dict[str, MetricSummary]:
        for name in metrics:
            if not METRIC_NAME.match(name):
                raise ValueError(f"'{name}' is not of the form <group>.<metric> in lower case")
        return metrics

    @model_validator(mode="after")
    def _whole(self) -> Summary:
        if self.status == "finished" and any(step.status == "failed" for step in self.steps.values()):
            raise ValueError("a run with a failed step has not finished")
        return self


def check_metric(name: str, metric: Metric, *, source: str | None = None) -> None:
    """Refuse a metric that a summary could not state honestly.

    Parameters
    ----------
    name : str
        `<group>.<metric>`, lower case.
    metric : Metric
        The number as it was logged.
    source : str, optional
        Which step or file it comes from, for the message.

    Raises
    ------
    ContractError
        If the name has another form, the value is not finite, an estimate lacks an interval that holds it, or a count
        or timing is negative, carries an interval, or (a count) is not whole.

    Examples
    --------
    >>> check_metric("detect.f1", Metric(0.6, 0.5, 0.7))
    >>> check_metric("detect.alarms", Metric(12, kind="count"))
    """
    if not METRIC_NAME.match(name):
        raise ContractError(
            file=source,
            column=name,
            expected="a metric's name <group>.<metric>: lower-case letters, digits and _, one dot",
            got=repr(name),
            remedy="rename it, for example to 'detect.f1'",
        )
    try:
        MetricSummary(**vars(metric))
    except ValidationError as error:
        raise ContractError(
            file=source,
            column=name,
            expected=_sentence(error),
            got=f"value={metric.value!r}, lo={metric.lo!r}, hi={metric.hi!r}, kind={metric.kind!r}",
            remedy="log estimates with (value, lo, hi), whole numbers as counts, seconds as timings",
        ) from error


def summary(run: RunFacts) -> dict[str, Any]:
    """Give the content of `summary.json`, true at any moment of the run.

    A step that waits or runs while this is called counts as failed, and so does the run: were the machine to stop now,
    the file on disk would say what happened.

    Parameters
    ----------
    run : RunFacts
        What is known now; `started` is timezone-aware.

    Returns
    -------
    dict
        JSON types only: name, status, started (ISO 8601, UTC), seconds, steps, metrics.

    Raises
    ------
    ContractError
        If a metric or a fact breaks the rules of `check_metric` or of the schema.
    """
    for name, metric in run.metrics.items():
        check_metric(name, metric, source=f"run '{run.name}'")
    steps = {step.key: _step(step) for step in run.steps}
    done = run.status == "finished" and all(step["status"] != "failed" for step in steps.values())
    if run.started.tzinfo is None:
        raise ContractError(
            column="started",
            expected="a timezone-aware moment",
            got=repr(run.started),
            remedy="use datetime.now(tz=UTC)",
        )
    content = {
        "name": run.name,
        "status": "finished" if done else "failed",
        "started": run.started.replace(microsecond=0).astimezone(dt.UTC),
        "seconds": round(run.seconds, 3),
        "steps": steps,
        "metrics": {name: {**vars(metric), "value": _whole(metric)} for name, metric in run.metrics.items()},
    }
    try:
        return Summary(**content).model_dump(mode="json")
    except ValidationError as error:
        raise ContractError(file=f"run '{run.name}'", expected=_sentence(error), got="other facts") from error


def _step(step: StepFacts) -> dict[str, Any]:
    unfinished = step.status in ("waiting", "running")
    status = "failed" if unfinished else "skipped" if step.status == "blocked" else step.status
    error = INTERRUPTED if unfinished else last_line(step.error or "") or "no message"
    return {
        "status": status,
        "seconds": round(step.seconds, 3),
        "run_id": step.run_id,
        "error": error if status == "failed" or step.status == "blocked" else None,
    }


def _whole(metric: Metric) -> int | float:
    return int(metric.value) if metric.kind == "count" else float(metric.value)


def _sentence(error: ValidationError) -> str:
    """Say what the schema asked for, without pydantic's headings and links."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    return f"{place}: {said}" if place else said


def read_summary(path: str | Path) -> dict[str, Any]:
    """Read a `summary.json` back and hold it to the schema.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict
        As `summary` gave it.

    Raises
    ------
    ContractError
        If the file is missing, not JSON, or breaks the schema.
    """
    try:
        return Summary.model_validate_json(Path(path).read_bytes()).model_dump(mode="json")
    except OSError as error:
        raise ContractError(file=str(path), expected="a readable summary.json", got=str(error)) from error
    except ValidationError as error:
        raise ContractError(file=str(path), expected=_sentence(error), got="another content") from error


def write_text_atomic(path: str | Path, text: str) -> Path:
    """Write a text so that a reader sees the old file or the new one, never a part.

    Parameters
    ----------
    path : str or Path
        Where to; its folder is made when it is missing.
    text : str
        What to write, as UTF-8.

    Returns
    -------
    Path
        The file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
