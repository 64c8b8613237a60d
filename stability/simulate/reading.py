"""Reading a scenario file: checked before anything is computed."""

from __future__ import annotations

__all__ = ["read_scenario"]

import os
from graphlib import CycleError
from pathlib import Path
from typing import Any, NoReturn

from stability.schema import ContractError, declared, load_yaml, nearest
from stability.simulate.modes import BENIGN, FAILURE_MODES
from stability.simulate.scenario import (
    Scenario,
)

LARGEST = 50_000_000  # rows of telemetry; 1,000 entities of a month by the minute are 43 million


def read_scenario(source: str | os.PathLike | dict) -> Scenario:
    """Read and check a scenario.

    Parameters
    ----------
    source : path or dict
        A YAML file, or what one holds.

    Returns
    -------
    Scenario
        Its fields are those of the file: `name`, `description`, `seed`, `start`, `duration`, `step`, `holidays`;
        `services`, `hosts`; `faults` and `benign` (events that are named), `random` (events that are drawn); `logs`,
        `feedback`. The classes of `stability.simulate.scenario` say what stands in each and what it is when left out.

    Raises
    ------
    ContractError
        With the file, the path of the field in it, what was expected, what came, and the nearest known name.
    """
    if not isinstance(source, dict | str | os.PathLike):
        got, remedy = type(source).__name__, "data/scenarios/sample.yaml is one"
        raise ContractError("scenario", expected="a YAML file, or what one holds", got=got, remedy=remedy)
    where = "scenario" if isinstance(source, dict) else Path(source)
    raw = source if isinstance(source, dict) else _parse(Path(source))
    if not isinstance(raw, dict):
        _fail(where, None, "a mapping with name, start, duration, services", type(raw).__name__)
    scenario = declared(Scenario, raw, file=where)
    _check_fleet(where, scenario)
    _check_events(where, scenario)
    return scenario


def _fail(where: Path | str, place: str | None, expected: str, got: object, remedy: str | None = None) -> NoReturn:
    raise ContractError(file=where, column=place, expected=expected, got=got, remedy=remedy)


def _parse(path: Path) -> Any:
    if not os.path.exists(path):  # noqa: PTH110  a name that is too long is none, either
        there = [p.name for p in path.parent.glob("*.yaml")] if os.path.isdir(path.parent) else []  # noqa: PTH112
        _fail(path, None, "a scenario's YAML file", "no file", nearest(path.name, there))
    return load_yaml(path)


def _check_fleet(where: Path | str, scenario: Scenario) -> None:
    if not 1 <= scenario.step <= 3600 or scenario.duration < 2 * scenario.step:
        _fail(
            where, "step", "1 s to 1 h, at most half of the duration", f"{scenario.step:g} s in {scenario.duration:g} s"
        )
    taken = set(scenario.replicas())
    rows = scenario.duration / scenario.step * len(scenario.roles())
    if rows > LARGEST:
        got, remedy = f"{rows:,.0f}", "a longer step, a shorter duration or fewer entities"
        _fail(where, "duration", f"at most {LARGEST:,} rows of all entities", got, remedy)
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
