"""The scenario file: a fleet, its load and what befalls it, checked before anything is computed."""

from __future__ import annotations

__all__ = ["Event", "Host", "Load", "Scenario", "Service", "ServiceLevel", "read_scenario"]

import os
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import pandas as pd
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stability.schema import ContractError, nearest
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


Duration = Annotated[float, BeforeValidator(_seconds)]
Moment = Annotated[Any, BeforeValidator(_in_utc)]
Name = Annotated[str, AfterValidator(_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Load(_Strict):
    """Requests from outside.

    `mean` in requests/s over a usual weekday and all replicas; `daily` and `weekend` as shares of it (how far the day
    swings around its mean, how much the weekend lies below); `growth` as a share a day; `noise` as the standard
    deviation of its logarithm.
    """

    mean: float = Field(gt=0)
    daily: float = Field(0.45, ge=0, le=0.8)
    weekend: float = Field(0.25, ge=0, le=0.9)
    growth: float = Field(0.0, ge=-0.2, le=0.2)
    noise: float = Field(0.06, ge=0, le=0.5)
    peak_hour: float = Field(15.0, ge=0, lt=24)


class ServiceLevel(_Strict):
    """What users are promised.

    It is broken at a sample whose share of failed requests is above `error_ratio`, or whose 99th percentile of latency
    is above `latency` (s), or at which the process was away; an impact is a run of such samples of at least `during`.
    """

    error_ratio: float = Field(0.02, gt=0, lt=1)
    latency: float = Field(gt=0)
    during: Duration = 180.0


class Service(_Strict):
    """A service and its replicas, which are the entities `<service>-1`, `<service>-2`, ...

    `capacity` in requests/s of one replica; `latency` in s, the 99th percentile at rest; `timeout` in s; `memory` and
    `memory_limit` in bytes; `descriptors` is the limit of open files; `calls` gives the calls of another service that a
    request makes on average; `runs_on` names the host of each replica, in turn.
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


class Host(_Strict):
    """A machine; with a GPU where `gpu` is true. `shares` names hosts on the same link; `memory` in bytes."""

    gpu: bool = False
    memory: float = Field(64e9, gt=0)
    shares: list[str] = []


class Event(_Strict):
    """Something that befalls an entity, `start` after the scenario's beginning; `intensity` 1 is the usual size."""

    mode: str
    entity: str
    start: Duration
    duration: Duration | None = None
    intensity: float = Field(1.0, gt=0, le=5)


class RandomEvents(_Strict):
    """Events drawn from the seed: how many of each mode; faults between `after` and `before`, a slot of time each."""

    after: Duration = 0.0
    before: Duration | None = None
    faults: dict[str, Annotated[int, Field(ge=0, le=10_000)]] = {}
    benign: dict[str, Annotated[int, Field(ge=0, le=10_000)]] = {}


class Logs(_Strict):
    """How chatty an entity is: lines per hour when nothing happens, and at most so many a minute of one kind."""

    per_hour: float = Field(6.0, ge=0, le=3600)
    at_most: int = Field(3, ge=0, le=1000)


class Scenario(_Strict):
    """A whole scenario; see `data/scenarios/` for two that are commented."""

    name: Name
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**63)
    start: Moment
    duration: Duration
    step: Duration = 60.0
    services: dict[Name, Service] = Field(min_length=1)
    hosts: dict[Name, Host] = {}
    faults: list[Event] = []
    benign: list[Event] = []
    random: RandomEvents = RandomEvents()
    logs: Logs = Logs()

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


def read_scenario(source: str | os.PathLike | dict) -> Scenario:
    """Read and check a scenario.

    Parameters
    ----------
    source : path or dict
        A YAML file, or what one holds.

    Returns
    -------
    Scenario

    Raises
    ------
    ContractError
        With the file, the path of the field in it, what was expected, what came, and the nearest known name.
    """
    where = "scenario" if isinstance(source, dict) else Path(source)
    raw = source if isinstance(source, dict) else _parse(Path(source))
    if not isinstance(raw, dict):
        _fail(where, None, "a mapping with name, start, duration, services", type(raw).__name__)
    try:
        scenario = Scenario.model_validate(raw)
    except ValidationError as error:
        _tell(where, error.errors()[0])
    _check_fleet(where, scenario)
    _check_events(where, scenario)
    return scenario


def _fail(where: Path | str, place: str | None, expected: str, got: object, remedy: str | None = None) -> NoReturn:
    raise ContractError(file=where, column=place, expected=expected, got=got, remedy=remedy)


def _parse(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        _fail(path, None, "a scenario's YAML file", "no file", nearest(path.name, there))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        _fail(path, None, "a scenario in YAML", " ".join(str(error).split()))


def _tell(where: Path | str, first: dict) -> NoReturn:
    """Turn pydantic's first finding into the house's error."""
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        _fail(
            where, place, "a known field", repr(first["loc"][-1]), nearest(str(first["loc"][-1]), _fields(first["loc"]))
        )
    if first["type"] == "missing":
        _fail(where, place, "the field", "nothing")
    message = first["msg"].removeprefix("Value error, ")
    _fail(where, place, message[0].lower() + message[1:].removeprefix("nput should be "), first["input"])


def _fields(loc: tuple) -> list[str]:
    """Names of the fields beside an unknown one, found by walking the models along its path."""
    inside = {
        "services": Service,
        "hosts": Host,
        "faults": Event,
        "benign": Event,
        "random": RandomEvents,
        "logs": Logs,
    }
    model: type[BaseModel] = inside.get(str(loc[0]), Scenario) if len(loc) > 1 else Scenario
    for part in loc[1:-1]:
        model = {"load": Load, "service_level": ServiceLevel}.get(str(part), model)
    return list(model.model_fields)


def _check_fleet(where: Path | str, scenario: Scenario) -> None:
    if not 1 <= scenario.step <= 3600 or scenario.duration < 2 * scenario.step:
        _fail(
            where, "step", "1 s to 1 h, at most half of the duration", f"{scenario.step:g} s in {scenario.duration:g} s"
        )
    taken = set(scenario.replicas())
    for name, host in scenario.hosts.items():
        if name in taken or name in scenario.services:
            _fail(where, f"hosts.{name}", "a name that no service or replica has", repr(name))
        for k, other in enumerate(host.shares):
            if other not in scenario.hosts or other == name:
                _fail(where, f"hosts.{name}.shares.{k}", "another host", repr(other), nearest(other, scenario.hosts))
    for name, service in scenario.services.items():
        place = f"services.{name}"
        for other in service.calls:
            if other not in scenario.services:
                _fail(where, f"{place}.calls.{other}", "a service", repr(other), nearest(other, scenario.services))
        for k, host in enumerate(service.runs_on):
            if host not in scenario.hosts:
                _fail(where, f"{place}.runs_on.{k}", "a host", repr(host), nearest(host, scenario.hosts))
        if service.memory >= service.memory_limit:
            _fail(
                where,
                f"{place}.memory",
                f"less than memory_limit ({service.memory_limit:g} bytes)",
                f"{service.memory:g}",
            )
    if len(taken) != sum(service.replicas for service in scenario.services.values()):
        _fail(where, "services", "replicas with names of their own", "two with the same name", "rename a service")
    try:
        order = scenario.order()
    except CycleError as error:
        _fail(where, "services", "calls without a circle", " -> ".join(error.args[1]), "take one of the calls away")
    reached = {name for name in order if scenario.services[name].load}
    for name in reversed(order):  # callers first
        if name in reached:
            reached |= set(scenario.services[name].calls)
    idle = [name for name in reversed(order) if name not in reached]
    if idle:
        _fail(where, f"services.{idle[0]}", "load, or a caller that has some", "neither")


def _check_events(where: Path | str, scenario: Scenario) -> None:
    for kind, modes in (("faults", FAILURE_MODES), ("benign", BENIGN)):
        for k, event in enumerate(getattr(scenario, kind)):
            place = f"{kind}.{k}"
            if event.mode not in modes:
                _fail(where, f"{place}.mode", "a mode", repr(event.mode), nearest(event.mode, modes))
            targets = scenario.targets(event.mode)
            if event.entity not in targets:
                expected = f"what {event.mode} may befall ({' or '.join(modes[event.mode].on)})"
                _fail(where, f"{place}.entity", expected, repr(event.entity), nearest(event.entity, targets))
            if event.start >= scenario.duration:
                _fail(where, f"{place}.start", f"less than the duration, {scenario.duration:g} s", f"{event.start:g} s")
            if event.duration is not None and event.duration < scenario.step:
                _fail(where, f"{place}.duration", f"at least a step, {scenario.step:g} s", f"{event.duration:g} s")
        for mode, count in getattr(scenario.random, kind).items():
            if mode not in modes:
                _fail(where, f"random.{kind}.{mode}", "a mode", repr(mode), nearest(mode, modes))
            if count and not scenario.targets(mode):
                _fail(
                    where,
                    f"random.{kind}.{mode}",
                    f"an entity that it may befall ({' or '.join(modes[mode].on)})",
                    "none",
                )
    before = scenario.random.before if scenario.random.before is not None else scenario.duration
    if not scenario.random.after < before <= scenario.duration:
        _fail(where, "random", "after < before <= duration", f"{scenario.random.after:g} s, {before:g} s")
