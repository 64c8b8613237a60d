"""One slot of a game day on the running service: up, under load, settled, broken, met by an arm, judged, down."""

from __future__ import annotations

__all__ = ["TRIES", "Disturbed", "carried_out"]

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from stability.schema import ContractError
from stability.testbed import control
from stability.testbed.game_day import GameDay, Slot
from stability.testbed.game_day_arms import Arm, Note, Window
from stability.testbed.machine import Machine
from stability.testbed.scraping import NAME as METRICS
from stability.testbed.service_level import COUNTS, GATEWAY, ServiceLevel, bad_seconds, read_load
from stability.testbed.tally import ALL

WARM_UP = 20.0  # s of load before anybody looks, as before a recording: caches fill, pools open
SCRAPED = 0.4  # s after a full second at which its scrapes have come
LOOK = 5.0  # s between two looks at the machine
CALM = 15  # s before a slot in which users must have been served as promised
LONGER = 30.0  # s that a service may take longer to settle
TRIES = 3  # of a slot that does not settle, or that others disturb
OTHERS = 0.25  # of all cores that other work may take for a minute, as in a recording
BACKUP = "backup"  # folder of the service's own data as they were before anything happened


class Disturbed(ContractError):  # noqa: N818 - a slot that is discarded and made again
    """The slot says nothing: the service had not settled, or other work took the machine."""


def carried_out(
    slot: Slot,
    day: GameDay,
    home: Path,
    arm_of: Callable[[Slot, Path], Arm],
    *,
    others: float = OTHERS,
    say: Callable[[str], None] = print,
) -> dict[str, pd.DataFrame]:
    """Carry out a slot; one that is disturbed is discarded and made again.

    Parameters
    ----------
    slot : Slot
    day : GameDay
    home : Path
        Of the testbed, which is started anew, and whatever an earlier one left is removed: equal load for all arms, and
        nothing of the slot before.
    arm_of : callable
        Gives the arm of a slot; told the slot and the testbed's folder, once the service is up.
    others : float
        Largest share of all cores that other work may take for a minute.
    say : callable
        Gets a line for each thing that happens.

    Returns
    -------
    dict
        `slots`: one row with what was planned and what became of it. `seconds`: a row a second of the slot, `second`
        (s after its begin), requests answered, failed, slow, wrong, and `bad` (users were not served as promised).
        `notes`: what the arm saw and did, `second` and the fields of `Note`.

    Raises
    ------
    Disturbed
        Each time.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return _once(slot, day, home, arm_of, others, say)
        except Disturbed as why:
            say(f"slot {slot.place}: discarded, {why}")
            if attempt == TRIES:
                raise
    raise AssertionError


def _once(slot: Slot, day: GameDay, home: Path, arm_of, others: float, say) -> dict[str, pd.DataFrame]:
    control.down(home)
    try:
        begun = control.up(home)
    except ContractError as error:  # a machine that is busy with other work has no time for it
        raise Disturbed(str(error)) from None
    arm: Arm | None = None
    try:
        control.ask(home, "/backup", folder=str(home / BACKUP))
        control.ask(home, "/load", rate=day.rate, seed=slot.load_seed, age=slot.age)
        time.sleep(WARM_UP)
        window = Window(f"http://127.0.0.1:{begun['processes'][METRICS]['port']}")
        arm = arm_of(slot, home)
        early = _follow(arm, window, time.time() + day.settle_seconds)
        early += _settled(arm, window, home, day.service_level)
        if acted := [note for note in early if note.what == "action"]:
            raise Disturbed(
                slot.name, expected="a quiet service", got=f"{acted[0].verb} of {acted[0].entity} before it"
            )
        start, machine = float(int(time.time()) + 1), Machine(home)
        notes = _follow(arm, window, start + slot.at)
        told = {"mode": slot.mode, "entity": slot.entity, "seconds": min(slot.seconds - slot.at + 5, 900)}
        told |= {"intensity": slot.intensity, "seed": slot.variant, "grows": slot.grows}
        cause_start = control.ask(home, "/inject", told)["cause_start"]
        notes += _follow(arm, window, start + slot.seconds, machine)
        notes += arm.close()
        arm = None
        facts = machine.facts()
        if facts["others_minute_max"] > others:
            got = f"{facts['others_minute_max']:.0%}"
            raise Disturbed(slot.name, expected=f"at most {others:.0%} of the machine taken by others", got=got)
        control.ask(home, "/undo")
        return _tables(slot, home, day.service_level, start, cause_start, notes, facts)
    finally:
        if arm is not None:
            arm.close()
        control.down(home)


def _follow(arm: Arm, window: Window, until: float, machine: Machine | None = None) -> list[Note]:
    """Let an arm see each second up to a moment; a look that comes too late, or is not answered, is left out."""
    notes, looked = [], time.time()
    while True:
        due = int(time.time() - SCRAPED) + 1 + SCRAPED
        if due >= until:
            time.sleep(max(until - time.time(), 0.0))
            return notes
        time.sleep(max(due - time.time(), 0.0))
        now = pd.Timestamp(int(due), unit="s", tz="UTC").as_unit("us")
        try:
            panel = window.read(now)
        except (ConnectionError, ContractError):  # a scraper that is busy is asked again in the next second
            continue
        notes += arm.step(now, panel)
        if machine and time.time() - looked >= LOOK:
            machine.look()
            looked = time.time()


def _settled(arm: Arm, window: Window, home: Path, level: ServiceLevel) -> list[Note]:
    """Wait until the service is healthy and users have been served as promised for a while."""
    end, notes = time.time() + LONGER, []
    while True:
        judged = bad_seconds(read_load(home / "load.jsonl"), level)
        bad = judged.loc[GATEWAY, "bad"].iloc[-CALM:] if len(judged) else pd.Series(dtype=bool)
        status = control.status(home)
        if len(bad) == CALM and not bad.any() and status["healthy"] and not status["at_work"]:
            return notes
        if time.time() > end:
            got = f"{bad.sum()} bad ones, healthy: {status['healthy']}"
            raise Disturbed(str(home), expected=f"{CALM} s in which users are served as promised", got=got)
        notes += _follow(arm, window, time.time() + 2)


def _tables(
    slot: Slot, home: Path, level: ServiceLevel, start: float, cause_start: float, notes: list[Note], facts: Mapping
) -> dict[str, pd.DataFrame]:
    events = [json.loads(line) for line in (home / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    own = next((event for event in events if event["mode"] == slot.mode and event["entity"] == slot.entity), None)
    ended = own is not None and own["ended_by"] == "repair"
    log = read_load(home / "load.jsonl")
    row = asdict(slot) | {
        "began": datetime.fromtimestamp(start, UTC),
        "cause_start": cause_start - start,
        "cause_end": own["cause_end"] - start if ended else float("nan"),
        **{name: facts[name] for name in ("load_mean", "others_mean", "others_minute_max")},
    }
    told = {"round": slot.round, "place": slot.place}
    seen = [{**told, "second": _after(note.at, start), **_plain(note, start)} for note in notes]
    return {
        "slots": pd.DataFrame([row]),
        "seconds": pd.DataFrame(told, index=range(1)).merge(seconds(log, level, start, slot.seconds), how="cross"),
        "notes": pd.DataFrame(seen, columns=[*told, "second", *_fields()]).astype(
            {"second": "float64", "end": "float64", "rank": "int64", "probability": "float64"}
        ),
    }


def seconds(log: pd.DataFrame, level: ServiceLevel, start: float, length: float) -> pd.DataFrame:
    """Say of each second of a slot what became of the requests, and whether users were served as promised.

    Parameters
    ----------
    log : DataFrame
        As `service_level.read_load` gives it; may begin earlier.
    level : ServiceLevel
    start, length : float
        s since 1970, and s.

    Returns
    -------
    DataFrame
        Columns second (s after the start, from 0), answered, failed, slow, wrong (int), bad (bool).
    """
    first = int(start)
    all_of_them = log[log["replica"] == ALL].set_index("second")[COUNTS]
    counts = all_of_them.reindex(range(first, first + int(length)), fill_value=0)
    bad = bad_seconds(log, level).loc[GATEWAY, "bad"]
    stamps = pd.to_datetime(counts.index, unit="s", utc=True).as_unit("us")
    flags = bad.reindex(stamps, fill_value=False).to_numpy()
    return counts.assign(bad=flags).set_axis(range(len(counts))).rename_axis("second").reset_index()


def _after(moment: pd.Timestamp, start: float) -> float:
    return float("nan") if moment is pd.NaT else round(moment.timestamp() - start, 3)


def _fields() -> list[str]:
    return [field.name for field in dataclasses.fields(Note) if field.name != "at"]


def _plain(note: Note, start: float) -> dict:
    return {name: getattr(note, name) for name in _fields()} | {"end": _after(note.end, start)}
