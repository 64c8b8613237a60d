"""A recording: a plan carried out on the running service, segment by segment, and the tables that come of it."""

from __future__ import annotations

__all__ = ["record"]

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil

from stability.schema import ContractError, write_table
from stability.testbed import control
from stability.testbed.machine import Machine
from stability.testbed.plan import Plan, schedule
from stability.testbed.scraping import NAME as METRICS
from stability.testbed.scraping import installed
from stability.testbed.tables import join, segment_tables, shifted

ORIGIN = pd.Timestamp("2026-01-01", tz="UTC")  # of the service's clock
WARM_UP = 20.0  # s of load before a segment begins: caches fill, pools open
ROOM = 2 << 30  # bytes that must be free on the disk
OTHERS = 0.25  # of all cores; what else a machine does by itself takes less
LOOK = 5.0  # s between two looks at the machine
TRIES = 3  # of a segment that others disturb


def record(
    plan: Plan,
    folder: Path,
    seed: int | None = None,
    *,
    after: float = 0.0,
    segments: Sequence[int] | None = None,
    home: Path | None = None,
    others: float = OTHERS,
    say: Callable[[str], None] = print,
) -> Path:
    """Carry out a plan and write what was seen; segments that are there already are kept.

    Parameters
    ----------
    plan : Plan
        What befalls the service.
    folder : Path
        Gets a folder for each segment under `segments/` and, once all are there, the tables of the whole recording with
        `recording.json` and `SHA256SUMS`.
    seed : int, optional
        Of all draws; the plan's own without it.
    after : float
        Seconds from `ORIGIN` on the service's clock to the begin of the recording: the length of those before it. A
        segment lies right behind the one before, whenever it was made; `recording.json` has the true times.
    segments : sequence of int, optional
        Numbers of the segments to make now, from 0; all that are missing without it.
    home : Path, optional
        Folder of the running service; below `folder` without it.
    others : float
        Largest share of all cores that other work may take for a minute; a segment that saw more is made again.
    say : callable
        Gets a line for each thing that happens.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ContractError
        The folder holds a recording of another plan or seed, the disk has no room, the service does not come up, or a
        segment was disturbed by other work on the machine each time.
    """
    seed = plan.seed if seed is None else seed
    schedule(plan, seed)  # refuses a plan that is too full before anything is started
    wanted = range(plan.segments.count) if segments is None else segments
    if strange := [number for number in wanted if not 0 <= number < plan.segments.count]:
        raise ContractError("segments", expected=f"numbers from 0 to {plan.segments.count - 1}", got=str(strange[0]))
    same = {"seed": seed, "after": after, "plan": plan.model_dump(mode="json")}
    _claim(folder, same)
    for number in wanted:
        place = folder / "segments" / f"{number:02d}"
        if place.exists():
            say(f"segment {number}: is there")
            continue
        for attempt in range(1, TRIES + 1):
            draft = place.with_name(f".{place.name}.part")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            facts = _segment(plan, seed, number, after, draft, home or folder / ".service", say)
            if facts["others_minute_max"] <= others:
                draft.replace(place)
                break
            say(f"segment {number}: others took {facts['others_minute_max']:.0%} of the machine for a minute")
            shutil.rmtree(draft)
            if attempt == TRIES:
                expected, got = f"at most {others:.0%} of the machine taken by others", f"more, {TRIES} times"
                raise ContractError(
                    f"segment {number}", expected=expected, got=got, remedy="end other work, then again"
                )
    there = sorted((folder / "segments").glob("[0-9]*"))
    if len(there) == plan.segments.count:
        join(folder, there, same)
        say(f"recording of {len(there)} segments in {folder}")
    return folder


def _claim(folder: Path, same: dict) -> None:
    if shutil.disk_usage(_existing(folder)).free < ROOM:
        raise ContractError(str(folder), expected=f"{ROOM >> 30} GiB free on the disk", got="less")
    path = folder / "plan.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != same:
        remedy = "another folder, or remove this one"
        raise ContractError(str(folder), expected="segments of the same plan and seed", got="others", remedy=remedy)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(same, indent=1), encoding="utf-8")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.resolve().parents) if place.exists())


def _segment(
    plan: Plan, seed: int, number: int, after: float, draft: Path, home: Path, say: Callable[[str], None]
) -> dict:
    """Make one segment; whatever happens, the service is down afterwards."""
    events = [event for event in schedule(plan, seed) if event.segment == number]
    age = after + number * plan.segments.seconds  # of the service on its own clock
    begun = control.up(home)
    try:
        control.ask(home, "/load", rate=plan.rate, seed=seed * 1000 + number, age=age - WARM_UP)
        time.sleep(WARM_UP)
        start = float(int(time.time()) + 1)
        end, machine = start + plan.segments.seconds, Machine(home)
        say(f"segment {number}: {len(events)} events in {plan.segments.seconds:g} s from {_clock(start)}")
        for event in events:
            _wait(start + event.start, machine)
            told = {"mode": event.mode, "entity": event.entity, "seconds": event.seconds}
            told |= {"intensity": event.intensity, "seed": event.variant}
            control.ask(home, "/inject", told)
            say(
                f"  {_clock(time.time())} {event.mode} of {event.entity}, {event.seconds:.0f} s x {event.intensity:.2f}"
            )
        _wait(end, machine)
        facts = {
            "number": number,
            "start": datetime.fromtimestamp(start, UTC).isoformat(),
            "seconds": plan.segments.seconds,
            **machine.facts(),
            **_versions(),
        }
        port = begun["processes"][METRICS]["port"]
        tables = segment_tables(home, f"http://127.0.0.1:{port}", start, end, f"r{seed}s{number}", plan.service_level)
        moved = ORIGIN + pd.Timedelta(seconds=age) - pd.Timestamp(start, unit="s", tz="UTC")
        for name, table in tables.items():
            write_table(shifted(table, moved), draft / f"{name}.parquet", name)
        shutil.copyfile(home / "load.jsonl", draft / "load.jsonl")
        (draft / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        return facts
    finally:
        control.down(home)


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")


def _wait(until: float, machine: Machine) -> None:
    while (left := until - time.time()) > 0:
        if left > LOOK:
            time.sleep(LOOK)
            machine.look()
        else:
            time.sleep(left)


def _versions() -> dict[str, str]:
    names = ("fastapi", "uvicorn", "aiohttp", "torch", "prometheus-client")
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total >> 30} GiB",
        "python": platform.python_version(),
        "metrics": "Prometheus" if installed() else "collector",
        **{name: version(name) for name in names},
    }
