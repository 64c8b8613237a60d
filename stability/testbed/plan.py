"""The plan of a recording: what befalls the service, and how often."""

from __future__ import annotations

__all__ = [
    "HEADLINE",
    "Event",
    "Gap",
    "Plan",
    "Scheduled",
    "Segments",
    "ServiceLevel",
    "clean_share",
    "read_plan",
    "schedule",
    "schedule_table",
]

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NoReturn

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from stability.schema import ContractError, declared, load_yaml, nearest
from stability.testbed.modes import BENIGN, FAILURE_MODES
from stability.testbed.schedule import HEADLINE, Scheduled, clean_share, schedule, schedule_table
from stability.testbed.service_level import ServiceLevel

EVENTS: Mapping = {**FAILURE_MODES, **BENIGN}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Segments(_Strict):
    """A recording is made in `count` pieces of `seconds` each; the service starts anew in each of them."""

    count: int = Field(1, ge=1, le=100)
    seconds: float = Field(gt=0, le=1500)


class Gap(_Strict):
    """Seconds from the end of one fault to the beginning of the next: at least `min`, on average at least `mean`.

    What is drawn above `min` is exponential, so that the time since the last fault does not tell when the next one
    comes; all the time of a segment is used, so that the average is usually longer.
    """

    min: float = Field(40.0, ge=0)
    mean: float = Field(55.0, ge=0)


class Event(_Strict):
    """One event that a plan names: from `at` on, in s after the beginning of its segment (the first one is 0)."""

    mode: str
    entity: str
    at: float = Field(ge=0)
    seconds: float = Field(gt=0, le=900)
    intensity: float = Field(1.0, gt=0, le=3)
    segment: int = Field(0, ge=0)


class Plan(_Strict):
    """A whole plan: either it names its `events`, or it says how many `faults` and `benign` ones the seed places.

    `rate` is the mean of requests/s over a day of the load.
    """

    seed: int = Field(ge=0, lt=2**32)
    segments: Segments
    rate: float = Field(60.0, gt=0, le=2000)
    faults: dict[str, Annotated[int, Field(ge=0, le=1000)]] = {}
    benign: dict[str, Annotated[int, Field(ge=0, le=1000)]] = {}
    events: list[Event] = []
    gap: Gap = Gap()
    service_level: ServiceLevel = ServiceLevel()
    _source: Path | str = PrivateAttr("plan")  # what an error names


def read_plan(source: str | os.PathLike | dict) -> Plan:
    """Read and check a plan.

    Parameters
    ----------
    source : path or dict
        A YAML file, or what one holds.

    Returns
    -------
    Plan

    Raises
    ------
    ContractError
        With the file, the path of the key in it, what was expected, what came, and the nearest known name; for a plan
        that holds more than there is time for, by how many seconds.
    """
    where = "plan" if isinstance(source, dict) else Path(source)
    raw = source if isinstance(source, dict) else load_yaml(source)
    if not isinstance(raw, dict):
        got = "nothing" if raw is None else type(raw).__name__
        _fail(where, None, "a mapping with seed, segments, faults, benign", got, "data/scenarios/testbed-train.yaml")
    plan = declared(Plan, raw, file=where)
    plan._source = where
    _check(plan, where)
    schedule(plan)  # whether everything has room
    return plan


def _fail(where: Path | str, place: str | None, expected: str, got: object, remedy: str | None = None) -> NoReturn:
    raise ContractError(file=where, column=place, expected=expected, got=got, remedy=remedy)


def _check(plan: Plan, where: Path | str) -> None:
    """Check what concerns several keys, or the modes."""
    for key, modes in (("faults", FAILURE_MODES), ("benign", BENIGN)):
        for mode in getattr(plan, key):
            if mode not in modes:
                expected = "a failure mode" if key == "faults" else "a harmless event"
                _fail(where, f"{key}.{mode}", expected, repr(mode), nearest(mode, modes))
    if plan.gap.mean < plan.gap.min:
        _fail(where, "gap.mean", f"at least gap.min, {plan.gap.min:g} s", f"{plan.gap.mean:g} s", "a longer mean")
    if plan.events and (plan.faults or plan.benign):
        _fail(where, "events", "either events, or faults and benign", "both", "name all events, or none")
    for k, event in enumerate(plan.events):
        place = f"events.{k}"
        if event.mode not in EVENTS:
            _fail(where, f"{place}.mode", "a failure mode or event", repr(event.mode), nearest(event.mode, EVENTS))
        on = EVENTS[event.mode].on
        if event.entity not in on:
            expected, got = f"an entity that {event.mode} may befall", repr(event.entity)
            _fail(where, f"{place}.entity", expected, got, nearest(event.entity, on))
        if event.segment >= plan.segments.count:
            _fail(where, f"{place}.segment", f"below segments.count, {plan.segments.count}", event.segment, "from 0")
        if event.at + event.seconds > plan.segments.seconds:
            expected, got = f"its end within {plan.segments.seconds:g} s", f"{event.at + event.seconds:g} s"
            _fail(where, place, expected, got, "an earlier or shorter event, or longer segments")
    named = schedule(plan) if plan.events else []
    for before, after in pairwise(e for e in named if e.harmful):
        if before.segment == after.segment and after.start < before.end:
            expected, got = "faults one after the other", f"{after.mode} {before.end - after.start:g} s too early"
            _fail(where, "events", expected, got, f"begin it when {before.mode} has ended")
