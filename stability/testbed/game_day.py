"""A game day: faults on the running service, each met by nobody, by restarts, and by the whole chain, slot by slot."""

from __future__ import annotations

__all__ = ["ARMS", "WITHHELD", "GameDay", "Slot", "played", "round_slots"]

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from stability.schema import ContractError, folder_written_whole, read_table, write_table
from stability.simulate.streams import stream
from stability.testbed.modes import BENIGN, FAILURE_MODES
from stability.testbed.schedule import HARMLESS, HEADLINE, USUAL
from stability.testbed.service_level import ServiceLevel

ARMS = ("nobody", "restart_always", "workbench")
"""Nobody acts; whatever alarms is restarted; the chain from alarm to proven recovery acts."""

WITHHELD = ("stale_features", "event_loop_stall")
"""Modes of which nothing was ever learnt, and for which nobody has written a rule."""

EARLIEST, LATEST = 10.0, 25.0  # s after the begin of a slot between which its event begins
GROWN = 0.8  # of the rest of a slot, after which at the latest its event is as strong as it gets
TABLES = ("slots", "seconds", "notes")


class GameDay(BaseModel):
    """What a round is.

    Parameters
    ----------
    seed : int
        Of all draws.
    slot_seconds, look_alike_seconds : float
        Length of a slot with a fault, and with a look-alike.
    settle_seconds : float
        Quiet under load before a slot, after a warm-up: who watches learns what is usual now.
    rate : float
        Mean of requests/s over a day of the load.
    withheld, look_alikes : int
        How many of these a round has beside the headline modes; they take turns from round to round.
    modes : tuple of str
        Failure modes that each round has.
    arms : tuple of str
        Who meets each fault; nobody need not meet a look-alike.
    service_level : ServiceLevel
        What users are promised.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seed: int = Field(0, ge=0, lt=2**32)
    slot_seconds: float = Field(180.0, ge=10, le=800)
    look_alike_seconds: float = Field(90.0, ge=10, le=800)
    settle_seconds: float = Field(45.0, ge=5, le=600)
    rate: float = Field(60.0, gt=0, le=2000)
    withheld: int = Field(1, ge=0, le=len(WITHHELD))
    look_alikes: int = Field(2, ge=0, le=len(BENIGN))
    modes: tuple[str, ...] = HEADLINE
    arms: tuple[str, ...] = ARMS
    service_level: ServiceLevel = ServiceLevel()


@dataclass(frozen=True)
class Slot:
    """One event met by one arm.

    Parameters
    ----------
    round, place : int
        From 1, and the slot's place in the round from 0.
    trial : int
        Number of the event in its round: the slots of one trial differ in their arm alone.
    arm : str
        Who acts.
    mode, entity : str
        What befalls whom.
    kind : {'known', 'withheld', 'look-alike'}
        A failure mode of the recordings to learn from; one that they lack; something harmless.
    at, seconds : float
        When it begins, in s after the begin of the slot, and the length of the slot: nothing but a repair ends the
        event before.
    grows : float
        Seconds over which it grows, where it ramps; then it stays as strong as it is.
    intensity : float
        1 is what the mode's meaning says.
    variant, load_seed : int
        What is left open of the event, and the users' arrivals: equal for all arms of a trial.
    age : float
        Of the service when its users come, s: the time of the load's day.
    """

    round: int
    place: int
    trial: int
    arm: str
    mode: str
    entity: str
    kind: str
    at: float
    seconds: float
    grows: float
    intensity: float
    variant: int
    load_seed: int
    age: float

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.place:02d}-{self.mode}-{self.arm}"


def round_slots(day: GameDay, number: int) -> list[Slot]:
    """Decide all slots of a round: in which order what befalls whom, and who meets it when.

    Parameters
    ----------
    day : GameDay
    number : int
        Of the round, from 1: each has draws of its own.

    Returns
    -------
    list of Slot
        The slots of one trial follow each other, in an order of their own.

    Raises
    ------
    ContractError
        For a round before the first, or an arm or mode that does not exist.

    Examples
    --------
    >>> slots = round_slots(GameDay(seed=1), 1)
    >>> len(slots), len({slot.trial for slot in slots}), sum(slot.kind == "look-alike" for slot in slots)
    (25, 9, 4)
    >>> slots == round_slots(GameDay(seed=1), 1), slots == round_slots(GameDay(seed=1), 2)
    (True, False)
    """
    _check(day, number)
    turn = number - 1
    events = [(mode, "known") for mode in day.modes]
    events += [(mode, "withheld") for mode in _in_turn(WITHHELD, day.withheld, day.seed, turn)]
    events += [(mode, "look-alike") for mode in _in_turn(tuple(BENIGN), day.look_alikes, day.seed, turn)]
    order = stream(day.seed, "game day", str(number), "order").permutation(len(events))
    slots: list[Slot] = []
    for trial, k in enumerate(order):
        mode, kind = events[k]
        facts = _event(day, number, trial, mode, kind)
        arms = [arm for arm in day.arms if kind != "look-alike" or arm != "nobody"]
        for who in stream(day.seed, "game day", str(number), "arms", str(trial)).permutation(len(arms)):
            slots.append(
                Slot(round=number, place=len(slots), trial=trial, arm=arms[who], mode=mode, kind=kind, **facts)
            )
    return slots


def _check(day: GameDay, number: int) -> None:
    if number < 1:
        raise ContractError(column="round", expected="a number from 1", got=number)
    for name, given, known in (("arms", day.arms, ARMS), ("modes", day.modes, tuple(FAILURE_MODES))):
        if strange := [one for one in given if one not in known]:
            raise ContractError(column=name, expected=f"some of {', '.join(known)}", got=repr(strange[0]))


def _in_turn(names: tuple[str, ...], count: int, seed: int, turn: int) -> list[str]:
    """Some of the names; each comes once before any comes again, from round to round."""
    chosen = []
    for k in range(turn * count, (turn + 1) * count):
        lap, place = divmod(k, len(names))
        chosen.append(names[stream(seed, "game day", "turns", str(lap), *names).permutation(len(names))[place]])
    return list(dict.fromkeys(chosen))


def _event(day: GameDay, number: int, trial: int, mode: str, kind: str) -> dict:
    harmless = kind == "look-alike"
    what = (BENIGN if harmless else FAILURE_MODES)[mode]
    rng = stream(day.seed, "game day", str(number), mode)
    shortest, longest = what.seconds
    seconds = day.look_alike_seconds if harmless else day.slot_seconds
    latest = min(LATEST, seconds / 4)
    at = round(float(rng.uniform(min(EARLIEST, latest), latest)), 1)
    return {
        "entity": str(rng.choice(what.on)),
        "at": at,
        "seconds": seconds,
        "grows": round(min(float(rng.uniform(shortest, longest)), (seconds - at) * GROWN), 1),
        "intensity": round(float(rng.uniform(*(HARMLESS if harmless else USUAL))), 3),
        "variant": int(rng.integers(2**31)),
        "load_seed": int(rng.integers(2**31)),
        "age": round(float(rng.uniform(0, 6000)), 1),
    }


def played(
    slots: list[Slot], folder: Path, carry_out: Callable[[Slot], Mapping[str, pd.DataFrame]], say: Callable = print
) -> dict[str, pd.DataFrame]:
    """Play the slots that are not there yet, and give the tables of them all; after a kill -9 it goes on where it was.

    Parameters
    ----------
    slots : list of Slot
        As `round_slots` gives them.
    folder : Path
        Gets a folder a slot, each written whole when its slot has ended.
    carry_out : callable
        Of a slot: its tables `slots` (one row), `seconds` and `notes`; see `game_day_slot.carried_out`.
    say : callable
        Gets a line a slot.

    Returns
    -------
    dict
        `slots`, `seconds`, `notes` of all slots, in order.

    Raises
    ------
    ContractError
        The folder holds a slot of another round or seed.
    """
    for slot in slots:
        place = folder / slot.name
        if place.exists():
            _same(slot, place)
            say(f"slot {slot.place}: is there")
            continue
        say(f"slot {slot.place + 1} of {len(slots)}: {slot.mode} of {slot.entity}, {slot.arm}")
        tables = carry_out(slot)
        with folder_written_whole(place) as draft:
            for name in TABLES:
                write_table(tables[name], draft / f"{name}.parquet", "other")
    return {
        name: pd.concat([read_table(folder / slot.name / f"{name}.parquet") for slot in slots], ignore_index=True)
        for name in TABLES
    }


def _same(slot: Slot, place: Path) -> None:
    there = read_table(place / "slots.parquet").iloc[0]
    for name, value in asdict(slot).items():
        if there[name] != value:
            remedy = "another folder, or remove this one"
            raise ContractError(
                str(place), column=name, expected=f"a slot with {value}", got=there[name], remedy=remedy
            )
