"""What a watch is: a small YAML file, checked before anything starts; its errors name what there is."""

from __future__ import annotations

__all__ = [
    "Declaration",
    "DetectorPart",
    "FeltPart",
    "FilesPart",
    "LooksPart",
    "PredictorPart",
    "PrometheusPart",
    "RepairPart",
    "RulesPart",
    "TestbedPart",
    "read_watch",
]

import os
import re
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stability.detection import DETECTORS, AlarmPolicy
from stability.monitor.paths import there, whole
from stability.schema import ContractError, declared, home, load_yaml, nearest
from stability.telemetry.grid import micros

NAME = re.compile(r"\w[\w.-]{0,99}\Z")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
FOLDER = "runs/watch"


def _length(value: Any) -> str:
    try:
        micros(value, "length")
    except ContractError as error:
        raise ValueError(f"expected {error.expected}, got {error.got}") from None
    return f"{value}s" if isinstance(value, int | float) else str(value)


def _check_policy(policy: dict[str, Any]) -> None:
    known = [one.name for one in fields(AlarmPolicy) if one.name != "threshold"]
    if unknown := next((one for one in policy if one not in known), None):
        expected, remedy = "a rule of AlarmPolicy", nearest(str(unknown), known)
        raise ContractError(column="policy", expected=expected, got=repr(unknown), remedy=remedy)
    try:
        AlarmPolicy(1.0, **policy)
    except ContractError as error:
        told = {"expected": error.expected, "got": error.got, "remedy": error.remedy}
        raise ContractError(error.problem, column=f"policy.{error.column}", **told) from None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PrometheusPart(_Strict):
    """A server, and what is asked of it, as for `telemetry.read_prometheus`."""

    url: str
    queries: dict[str, str] | list[str]
    entity: str = "{job}/{instance}"
    dimensions: list[str] = Field(default_factory=list)
    infinite: Literal["missing", "error"] = "missing"
    timeout: float = Field(10.0, gt=0, le=600, description="seconds for each answer")
    retries: int = Field(1, ge=0, le=10)


class FilesPart(_Strict):
    """Files that grow, or more and more of them: CSV, JSON lines, Parquet."""

    path: str = Field(min_length=1, description="a file, or a pattern of files")
    reader: dict[str, Any] = Field(default_factory=dict, description="options of telemetry.read")
    ahead: str = Field("5min", description="by which a row may be ahead of the clock; what is farther is set aside")

    every: str | None = Field(None, description="how often rows come, where that is less often than each step")

    _lengths = field_validator("ahead", "every", mode="before")(lambda cls, v: None if v is None else _length(v))

    @property
    def every_us(self) -> int:
        """Microseconds between rows, as declared; 0 where they come with each step."""
        return 0 if self.every is None else micros(self.every, "every")


class TestbedPart(_Strict):
    """The testbed, by the folder that it runs in: the panel as it is recorded, and who was answered as promised."""

    __test__ = False  # no test, whatever pytest thinks of its name

    folder: str = "runs/.testbed"


class SourcePart(_Strict):
    """Where metrics come from: one of the three."""

    prometheus: PrometheusPart | None = None
    files: FilesPart | None = None
    testbed: TestbedPart | None = None

    @model_validator(mode="after")
    def _one(self) -> SourcePart:
        if [self.prometheus, self.files, self.testbed].count(None) != 2:
            raise ValueError("expected one source: prometheus or files, or testbed")
        return self


class DetectorPart(_Strict):
    """A fitted detector's file with its threshold, or one that is learnt from the history before the start."""

    file: str | None = None
    threshold: float | None = None
    name: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    learn: str | None = None
    false_alarms_per_day: float = Field(1.0, gt=0, description="of an entity, while nothing is wrong")
    metrics: list[str] | None = Field(None, description="what is learnt; all that are levels without it")
    policy: dict[str, Any] = Field(default_factory=dict, description="rules of AlarmPolicy beside the threshold")
    accepted: str | None = Field(None, description="file of what people accepted to change of the policy")

    _check_learn = field_validator("learn", mode="before")(lambda cls, v: None if v is None else _length(v))

    @model_validator(mode="after")
    def _whole(self) -> DetectorPart:
        if self.file is not None:
            if self.threshold is None or self.name is not None or self.learn is not None:
                raise ValueError("expected file and threshold, or name and learn")
        elif self.name is None or self.learn is None or self.threshold is not None:
            raise ValueError("expected file and threshold, or name and learn")
        if self.name is not None and self.name not in DETECTORS:
            raise ValueError(f"expected the name of a detector, got {self.name!r}; {nearest(self.name, DETECTORS)}")
        _check_policy(self.policy)
        return self


class RulesPart(_Strict):
    """Rule files or folders, and the severities of which a firing is an alarm of its own."""

    files: list[str] = Field(min_length=1)
    labels: str | None = None
    lookback: str = "5min"
    alarm: list[str] = Field(default_factory=lambda: ["page", "critical"])

    _lookback = field_validator("lookback", mode="before")(lambda cls, v: _length(v))


class PredictorPart(_Strict):
    """A registered predictor, by its alias, with the features that it was fitted on."""

    model: str
    alias: Literal["champion", "challenger", "previous"] = "champion"
    features: str = Field(description="folder that Features.save wrote")
    threshold: float = Field(gt=0, le=1)
    policy: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> PredictorPart:
        _check_policy(self.policy)
        return self


class FeltPart(_Strict):
    """Gauges by which users are hurt, where some are told: any of them beyond its bound."""

    entity: str
    below: dict[str, float] = Field(default_factory=dict)
    above: dict[str, float] = Field(default_factory=dict)


class ServicePart(_Strict):
    """Which counters tell what users see: requests, and errors or good ones, of whoever is asked."""

    entity: str | list[str]
    total: str
    errors: str | None = None
    good: str | None = None
    felt: FeltPart | None = Field(None, description="says whether users are hurt; a hundredth that fails without it")

    @model_validator(mode="after")
    def _one(self) -> ServicePart:
        if (self.errors is None) == (self.good is None):
            raise ValueError("expected one of errors and good")
        return self

    @property
    def entities(self) -> list[str]:
        """Who is asked."""
        return [self.entity] if isinstance(self.entity, str) else list(self.entity)


class LooksPart(_Strict):
    """When an open incident is looked into again: what has just begun often looks like nothing, or like something else.

    It is looked into when it opens, when a rule newly fires or an entity joins, and at the delays after the newest of
    these; what is decided may change with what is seen.
    """

    after: list[str] = Field(["30s", "1min", "2min", "5min"], description="a leak shows in minutes what it is")
    most: int = Field(
        12, ge=1, le=1000, description="looks at one incident: each costs a diagnosis, and an alarm may last for days"
    )
    agree: int = Field(1, ge=1, le=10, description="looks in a row that have to say the same before it is acted upon")
    settle: str = Field(
        "30s",
        description="in which an unknown mode may become a known one; then, or when it gets worse, people are called",
    )
    hurts: str = Field(
        "2min",
        description="in which users may be hurt while no look names a cause; then people are called, once an incident",
    )
    service: str | None = Field(None, description="alarms of rules are one incident of this; each its own without it")
    apart: str = Field("5s", description="what begins within it is one moment, as in what the localizer was taught")
    clear: str = Field("15s", description="without an alarm, after which the incident of a service is over")

    _lengths = field_validator("apart", "clear", mode="before")(lambda cls, v: _length(v))
    _none = field_validator("settle", "hurts", mode="before")(lambda cls, v: "0s" if v in (0, "0s") else _length(v))
    _each = field_validator("after", mode="before")(
        lambda cls, v: [_length(one) for one in (v if isinstance(v, list) else [v])]
    )

    @property
    def delays(self) -> list[int]:
        """Microseconds, rising."""
        return sorted(micros(one, "after") for one in self.after)

    @property
    def settle_us(self) -> int:
        """Microseconds in which an unknown mode may become a known one."""
        return 0 if self.settle == "0s" else micros(self.settle, "settle")

    @property
    def hurts_us(self) -> int:
        """Microseconds in which users may be hurt while no look names a cause."""
        return 0 if self.hurts == "0s" else micros(self.hurts, "hurts")


class RepairPart(_Strict):
    """How far repair goes; without this part nobody is even asked."""

    mode: Literal["dry-run", "approved", "automatic"] = "dry-run"
    playbooks: str = "data/playbooks"
    inventory: str
    guards: dict[str, Any] = Field(default_factory=dict)
    clock: Literal["wall", "rows"] = Field("wall", description="whose time it is; rows: of a record gone through again")
    notify: bool = Field(True, description="whether people are told")
    impact_minutes: float = Field(10.0, gt=0, description="expected if nobody acts")


class FeedbackPart(_Strict):
    """What those hear who wrote about an incident, once its repair is verified; without this part nobody is told."""

    fixed: str = Field(min_length=1, max_length=5000, description='such as "It works again; the cause is mended."')


class ServePart(_Strict):
    """Where /metrics and /healthz are; a machine's own address, unless it is said twice."""

    host: str = "127.0.0.1"
    port: int = Field(9109, ge=0, le=65535)
    beyond_loopback: bool = False

    @model_validator(mode="after")
    def _near(self) -> ServePart:
        if self.host not in LOOPBACK and not self.beyond_loopback:
            raise ValueError(f"expected a loopback address ({', '.join(LOOPBACK)}), or beyond_loopback: true with it")
        return self


class Declaration(_Strict):
    """What a file under `experiments/watch/` may say."""

    question: str = ""
    source: SourcePart
    step: str
    delay: str | None = Field(None, description="how long after a moment it is asked for; one step without it")
    history: str = Field("6h", description="what rules and diagnoses can look back on")
    catch_up: str = Field("1d", description="of an outage; what is longer ago is skipped, and said")
    start: str | None = Field(None, description="the first moment; now, or the files' first, without it")
    detectors: list[DetectorPart] = Field(default_factory=list)
    rules: RulesPart | None = None
    topology: str | None = None
    predictor: PredictorPart | None = None
    localizer: str | None = Field(None, description="file that Diagnoser.save wrote")
    worksheet: str | None = Field(None, description="failure modes with their priority")
    service: ServicePart | None = None
    repair: RepairPart | None = None
    feedback: FeedbackPart | None = None
    serve: ServePart | None = Field(default_factory=ServePart)
    looks: LooksPart = Field(default_factory=LooksPart)
    beside: dict[Literal["states", "logs", "feedback"], str] = Field(
        default_factory=dict, description="tables that diagnoses look at, read when there is an alarm"
    )
    groups: dict[str, list[str]] = Field(default_factory=dict, description="who can stand in for whom")
    checkpoint_every: int = Field(100, ge=1, le=100_000, description="steps")
    incidents_per_step: int = Field(10, ge=1, le=1000, description="more alarms at once are told, not looked into")
    name: str = ""

    _lengths = field_validator("step", "history", "catch_up", mode="before")(lambda cls, v: _length(v))
    _delay = field_validator("delay", mode="before")(
        lambda cls, v: None if v is None else "0s" if v in (0, "0s") else _length(v)
    )

    @field_validator("start", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> str | None:
        if value is None:
            return None
        value = value.isoformat() if isinstance(value, date) else value  # YAML knows a moment without quotes
        try:
            zone = pd.Timestamp(value).tzinfo
        except (ValueError, TypeError):
            zone = None
        if zone is None or not isinstance(value, str):
            said = "expected a moment with its zone, such as 2026-01-01T00:00:00Z"
            raise ValueError(f"{said}, got {str(value)[:60]!r}")
        return value

    @model_validator(mode="after")
    def _something(self) -> Declaration:
        if not self.detectors and self.rules is None and self.predictor is None:
            raise ValueError("expected detectors, rules or a predictor: nothing could ever raise an alarm")
        if self.repair is not None and self.localizer is None:
            raise ValueError("expected a localizer with repair: without a cause there is nothing to repair")
        if self.feedback is not None and self.repair is None:
            raise ValueError("expected repair with feedback: without a verdict nobody can be told that it is fixed")
        names = [part.name or part.file for part in self.detectors]
        if len(set(names)) < len(names):
            raise ValueError("expected each detector once")
        members = [name for group in self.groups.values() for name in dict.fromkeys(group)]
        if twice := [name for name in members if members.count(name) > 1]:
            raise ValueError(f"expected each entity in one group at most, got {twice[0]!r} in several")
        return self

    @property
    def step_us(self) -> int:
        """Microseconds between two moments."""
        return micros(self.step, "step")

    @property
    def delay_us(self) -> int:
        """Microseconds after which a moment is asked for."""
        if self.delay is None:
            return self.step_us
        return 0 if self.delay == "0s" else micros(self.delay, "delay")

    def place(self, path: str) -> Path:
        """A path of the declaration; a relative one starts at the workbench's folder."""
        return whole(path)

    @property
    def folder(self) -> Path:
        """Where its state, records and reports lie."""
        return home() / FOLDER / self.name


def read_watch(path: str | Path) -> Declaration:
    """Read a declaration, and look whether what it names is there.

    Parameters
    ----------
    path : str or Path
        YAML; its stem is the watch's name.

    Raises
    ------
    ContractError
        With the key, what was expected, and what there is.
    """
    path = Path(path)
    if not os.path.isfile(path):  # noqa: PTH113  a name that is too long is none, either
        folder = os.path.isdir(path)  # noqa: PTH112
        ships = path if folder else home() / "experiments" / "watch"
        got, remedy = "a folder" if folder else "no file", nearest(path.stem, (p.stem for p in ships.glob("*.yaml")))
        raise ContractError(file=path, expected="a declaration of a watch", got=got, remedy=remedy)
    raw = load_yaml(path)
    if not isinstance(raw, dict):
        raise ContractError(file=path, expected="keys and values", got=type(raw).__name__)
    if not NAME.match(path.stem):
        raise ContractError(file=path, expected="a name of letters, digits, '.', '-' and '_'", got=path.stem)
    named = {str(key): value for key, value in raw.items() if key != "name"} | {"name": path.stem}
    told = declared(Declaration, named, file=path)
    there(told, path)
    return told
