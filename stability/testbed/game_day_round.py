"""A whole round of a game day: the arms as they come, slot by slot, and the rounds that were recorded before."""

from __future__ import annotations

__all__ = ["HEADING", "arm_of", "next_round", "play_round"]

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from stability.rules import Rule
from stability.schema import ContractError, write_table
from stability.testbed.game_day import TABLES, GameDay, Slot, played, round_slots
from stability.testbed.game_day_arms import Alarms, Arm, Nobody, RestartAlways, restarter
from stability.testbed.game_day_slot import BACKUP, OTHERS, carried_out

HEADING = "round-"  # begin of a round's folder


def arm_of(slot: Slot, home: Path, *, rules: Sequence[Rule], chain: Callable[[Path, Path], Arm]) -> Arm:
    """Give the arm of a slot, fresh: it knows nothing of the slots before.

    Parameters
    ----------
    slot : Slot
        Whose arm.
    home : Path
        Folder of the running service.
    rules : sequence of Rule
        Those of severity `page` alarm, for all arms alike.
    chain : callable
        Of the service's folder, and that of its backup: the arm that is the whole chain.

    Raises
    ------
    ContractError
        There is no such arm.
    """
    if slot.arm == "workbench":
        return chain(home, home / BACKUP)
    if slot.arm == "nobody":
        return Nobody(Alarms(rules))
    if slot.arm == "restart_always":
        return RestartAlways(Alarms(rules), restarter(home))
    raise ContractError(column="arm", expected="nobody, restart_always or workbench", got=slot.arm)


def play_round(
    day: GameDay,
    number: int,
    folder: Path,
    home: Path,
    *,
    rules: Sequence[Rule],
    chain: Callable[[Path, Path], Arm],
    others: float = OTHERS,
    say: Callable[[str], None] = print,
) -> dict[str, pd.DataFrame]:
    """Play a round, or what is missing of it, and write its tables whole.

    Parameters
    ----------
    day : GameDay
    number : int
        Of the round.
    folder : Path
        Of all rounds; this one's folder in it gets a folder a slot, and its tables when the last slot has ended.
    home : Path
        Of the testbed.
    rules, chain
        As for `arm_of`.
    others : float
        Largest share of all cores that other work may take for a minute; a slot that saw more is made again.
    say : callable
        Gets a line for each thing that happens.

    Returns
    -------
    dict
        `slots`, `seconds`, `notes`.
    """
    place = folder / f"{HEADING}{number:03d}"

    def carry_out(slot: Slot) -> dict[str, pd.DataFrame]:
        return carried_out(slot, day, home, partial(arm_of, rules=rules, chain=chain), others=others, say=say)

    tables = played(round_slots(day, number), place, carry_out, say)
    for name in TABLES:
        write_table(tables[name], place / f"{name}.parquet", "other")
    return tables


def next_round(*folders: Path) -> int:
    """Number of the round to play: the one that was begun and never ended, else the one after the last.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     first = Path(name) / "round-001"
    ...     first.mkdir()
    ...     begun = next_round(Path(name))
    ...     for table in TABLES:
    ...         (first / f"{table}.parquet").touch()
    ...     begun, next_round(Path(name))
    (1, 2)
    """
    whole = [
        int(place.name.removeprefix(HEADING))
        for folder in folders
        for place in Path(folder).glob(f"{HEADING}[0-9]*")
        if all((place / f"{name}.parquet").is_file() for name in TABLES)
    ]
    return max(whole, default=0) + 1
