"""The scenario: a fleet, its load and what befalls it, field by field."""

from __future__ import annotations

__all__ = ["Event", "Feedback", "Host", "Load", "Logs", "RandomEvents", "Scenario", "Service", "ServiceLevel"]

import datetime
from graphlib import TopologicalSorter
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from stability.simulate.modes import BENIGN, FAILURE_MODES


def _seconds(value: Any) -> float:
    """Read a length of time; a bare number has no unit and is refused."""
    if isinstance(value, str):
        try:
            length = pd.Timedelta(value)
        except ValueError:
            length = pd.NaT
        if length is not pd.NaT and length >= pd.Timedelta(0) and not value.strip().isdigit():
            return length.total_seconds()
    raise ValueError("a length of time with its unit, such as '90min', '3h' or '2d 4h30min'")


def _in_utc(value: Any) -> pd.Timestamp:
    try:
        moment = pd.Timestamp(value)
    except (ValueError, TypeError):
        moment = pd.NaT
    if moment is pd.NaT or moment.tzinfo is None:
        raise ValueError("a time with its zone, such as 2026-03-02T00:00:00Z")
    return moment.tz_convert("UTC").as_unit("us")


def _name(value: str) -> str:
    if not value or not all(c.isalnum() or c in "-_.:/" for c in value):
        raise ValueError("a name of letters, digits and - _ . : /")
    return value


def _day(value: Any) -> datetime.date:
    """Read a day; YAML makes a date of 2026-03-11, and JSON leaves it a text."""
    try:
        if type(value) is datetime.date:
            return value
        return datetime.date.fromisoformat(value)
    except (ValueError, TypeError):
        raise ValueError("a day, such as 2026-03-11") from None


Day = Annotated[Any, BeforeValidator(_day)]
Duration = Annotated[float, BeforeValidator(_seconds)]
Moment = Annotated[Any, BeforeValidator(_in_utc)]
Name = Annotated[str, AfterValidator(_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)


class Load(_Strict):
    """Requests from outside.

    `mean` in requests/s over a usual weekday and all replicas; `daily` and `weekend` as shares of it (how far the day
    swings around its mean, how much the weekend and a holiday lie below); `growth` as a share a day; `noise` as the
    standard deviation of its logarithm, of which the share `common` is that of everybody in the region.
    """

    mean: float = Field(gt=0)
    daily: float = Field(0.45, ge=0, le=0.8)
    weekend: float = Field(0.25, ge=0, le=0.9)
    growth: float = Field(0.0, ge=-0.2, le=0.2)
    noise: float = Field(0.06, ge=0, le=0.5)
    common: float = Field(0.6, ge=0, le=1)
    peak_hour: float = Field(15.0, ge=0, lt=24)


class ServiceLevel(_Strict):
    """What users are promised.

    It is broken at a sample whose share of failed requests is above `error_ratio`, or whose 99th percentile of latency
    is above `latency` (s), or whose share of good answers is below `quality` (where one is promised), or at which the
    process was away; an impact is a run of such samples of at least `during`.
    """

    error_ratio: float = Field(0.02, gt=0, lt=1)
    latency: float = Field(gt=0)
    quality: float | None = Field(None, gt=0, lt=1)
    during: Duration = 180.0


class Service(_Strict):
    """A service and its replicas, which are the entities `<service>-1`, `<service>-2`, ...

    `capacity` in requests/s of one replica; `latency` in s, the 99th percentile at rest; `timeout` in s; `memory` and
    `memory_limit` in bytes; `descriptors` is the limit of open files; `calls` gives the calls of another service that a
    request makes on average; `runs_on` names the host of each replica, in turn; `region` is where its users and its
    network are: what is in one region has part of its noise in common.
    """

    role: Literal["gateway", "model_server", "feature_store"]
    replicas: int = Field(1, ge=1, le=1000)
    capacity: float = Field(gt=0)
    latency: float = Field(gt=0)
    timeout: float = Field(10.0, gt=0)
    memory: float = Field(1.5e9, gt=0)
    memory_limit: float = Field(4e9, gt=0)
    descriptors: int = Field(1024, ge=64)
    retries: int = Field(0, ge=0, le=3)
    service_level: ServiceLevel
    load: Load | None = None
    calls: dict[str, Annotated[float, Field(gt=0, le=20)]] = {}
    runs_on: list[str] = []
    region: Name = "main"


class Host(_Strict):
    """A machine; with a GPU where `gpu` is true. `shares` names hosts on the same link; `memory` in bytes.

    Hosts of one `region` stand in one hall, whose air warms and cools them all.
    """

    gpu: bool = False
    memory: float = Field(64e9, gt=0)
    shares: list[str] = []
    region: Name = "main"


class Event(_Strict):
    """Something that befalls an entity, `start` after the scenario's beginning; `intensity` 1 is the usual size.

    `pace` is how it comes: ``gradual`` with a time in which telemetry shows it before users feel it, ``abrupt``
    without; left out, as is usual for the mode. It says nothing of harmless events.
    """

    mode: str
    entity: str
    start: Duration
    duration: Duration | None = None
    intensity: float = Field(1.0, gt=0, le=5)
    pace: Literal["gradual", "abrupt"] | None = None


class RandomEvents(_Strict):
    """Events drawn from the seed: how many of each mode; faults between `after` and `before`, one after the other.

    `surprise` is the share of the faults that come in the other pace than is usual for their mode: a leak that fills
    the memory in minutes, a bad configuration that is rolled out with care. `mild` is the share, of each mode, of
    those so weak that as a rule nobody feels them.
    """

    after: Duration = 0.0
    before: Duration | None = None
    faults: dict[str, Annotated[int, Field(ge=0, le=10_000)]] = {}
    benign: dict[str, Annotated[int, Field(ge=0, le=10_000)]] = {}
    surprise: float = Field(0.25, ge=0, le=1)
    mild: float = Field(0.15, ge=0, le=1)


class Logs(_Strict):
    """How chatty an entity is: lines per hour when nothing happens, and at most so many a minute of one kind."""

    per_hour: float = Field(6.0, ge=0, le=3600)
    at_most: int = Field(3, ge=0, le=1000)


class Feedback(_Strict):
    """What users write: messages a day while all is well, and messages a thousand requests that went badly.

    A request went badly when it failed, took longer than is promised (counted half), or got a wrong answer (a tenth:
    few notice). `chinese` is the share of the users who write Chinese; the others write English.
    """

    per_day: float = Field(16.0, ge=0, le=100_000)
    per_thousand: float = Field(0.4, ge=0, le=1000)
    chinese: float = Field(0.3, ge=0, le=1)


class Scenario(_Strict):
    """A whole scenario; see `data/scenarios/` for those that are commented.

    `holidays` are days (UTC) on which the load is that of a weekend.
    """

    name: Name
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**63)
    start: Moment
    duration: Duration
    step: Duration = 60.0
    holidays: list[Day] = []
    services: dict[Name, Service] = Field(min_length=1)
    hosts: dict[Name, Host] = {}
    faults: list[Event] = []
    benign: list[Event] = []
    random: RandomEvents = RandomEvents()
    logs: Logs = Logs()
    feedback: Feedback = Feedback()

    def replicas(self) -> dict[str, str]:
        """Entity of every replica and its service."""
        return {f"{name}-{k + 1}": name for name, s in self.services.items() for k in range(s.replicas)}

    def roles(self) -> dict[str, str]:
        """Entity and its role: that of its service, or cpu_host, gpu_host."""
        replicas = {entity: self.services[service].role for entity, service in self.replicas().items()}
        return replicas | {name: "gpu_host" if host.gpu else "cpu_host" for name, host in self.hosts.items()}

    def targets(self, mode: str) -> list[str]:
        """Names that an event of this mode may have as its entity."""
        on = (FAILURE_MODES | BENIGN)[mode].on
        if on == ("entry",):
            return [name for name, service in self.services.items() if service.load is not None]
        return [entity for entity, role in self.roles().items() if role in on]

    def order(self) -> list[str]:
        """Services, callers after those that they call."""
        return list(
            TopologicalSorter({name: list(service.calls) for name, service in self.services.items()}).static_order()
        )
