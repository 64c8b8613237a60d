"""What must hold between fault records: names once, entities that exist, an order in time, one record a fault."""

from __future__ import annotations

__all__ = ["known_entities", "one_a_component", "overlapping", "refuse_backwards", "unique"]

from collections.abc import Iterable, Sequence

import pandas as pd

from stability.records.mapping import SHOWN
from stability.schema import ContractError, nearest

STARTS, ENDS = ("cause_start", "impact_start", "detected_at"), ("recovered_at", "cause_end")


def unique(done: pd.DataFrame, policy: str, label: str) -> tuple[pd.DataFrame, int]:
    """Deal with several records of one name: refuse them, or keep the first or the last."""
    again = done["fault_id"].duplicated(keep="first" if policy != "last" else "last")
    if again.any() and policy == "error":
        place = done.index[again][0]
        name = done.loc[place, "fault_id"]
        first = int(done.index[done["fault_id"] == name][0]) + 1
        got = f"{name!r} again, first in row {first}" + (
            f" (and {again.sum() - 1:,} more rows)" * bool(again.sum() > 1)
        )
        remedy = "duplicates='last' for the newest state of a ticket, or 'first'"
        raise ContractError(
            file=label, row=int(place) + 1, column="fault_id", expected="each record once", got=got, remedy=remedy
        )
    return done[~again], int(again.sum())


def one_a_component(done: pd.DataFrame) -> pd.DataFrame:
    """Give each component of a ticket its own record, as a fault that reached several entities has."""
    many = done["entity"].str.split(r"\s*[,;]\s*", regex=True)
    spread = done.assign(entity=many).explode("entity")
    spread["entity"] = spread["entity"].str.strip()
    spread = spread[spread["entity"] != ""]
    first = ~spread["fault_id"].duplicated()
    spread["fault_id"] = spread["fault_id"].where(first, spread["fault_id"] + "." + spread["entity"])
    return spread


def known_entities(
    done: pd.DataFrame, entities: Iterable[str] | None, policy: str, label: str
) -> tuple[pd.DataFrame, int]:
    """Deal with records of entities that telemetry does not know: refuse, drop or keep them; and count them.

    Raises
    ------
    ContractError
        With policy ``"error"``, and when none is known: then the names are of two worlds.
    """
    if entities is None:
        return done, 0
    known = {str(name) for name in entities}
    stranger = ~done["entity"].isin(known)
    if stranger.any() and (policy == "error" or (policy == "drop" and stranger.all())):
        rows = [int(row) + 1 for row in done.index[stranger][:SHOWN]]
        name = done.loc[stranger, "entity"].iloc[0]
        remedy = f"{nearest(name, known)}; values={{'entity': {{{name!r}: ...}}}} translates it; unknown='keep' or"
        remedy += " 'drop' accepts it"
        raise ContractError(
            file=label,
            row=rows[0] if len(rows) == 1 else rows,
            column="entity",
            expected="an entity that telemetry has",
            got=repr(name) + (f" (and {stranger.sum() - 1:,} more rows)" * bool(stranger.sum() > 1)),
            remedy=remedy,
        )
    return (done[~stranger] if policy == "drop" else done), int(stranger.sum())


def refuse_backwards(done: pd.DataFrame, label: str) -> None:
    """Refuse tickets that were resolved before they were opened."""
    bad = (done["recovered_at"] < done["detected_at"]).fillna(False)
    if bad.any():
        place = done.index[bad][0]
        row = done[bad].iloc[0]
        raise ContractError(
            file=label,
            row=int(place) + 1,
            column="recovered_at",
            expected=f"a ticket that is resolved after it was opened at {row['detected_at']}",
            got=str(row["recovered_at"]) + (f" (and {bad.sum() - 1:,} more rows)" * bool(bad.sum() > 1)),
            remedy="are both in one time zone, and day and month in one order? timestamp_format={...} is by column",
        )


def overlapping(done: pd.DataFrame, policy: str, label: str) -> tuple[pd.DataFrame, int]:
    """Find records that begin while an earlier one of the same entity and failure mode is open."""
    nat = pd.Series(pd.NaT, index=done.index, dtype="datetime64[us, UTC]")
    frame = pd.DataFrame({"entity": done["entity"], "mode": done.get("failure_mode", nat.astype("str")).fillna("")})
    frame["start"] = _first_of(done, STARTS, nat)
    frame["end"] = _first_of(done, ENDS, nat).fillna(pd.Timestamp.max.floor("us").tz_localize("UTC").as_unit("us"))
    frame["place"] = range(len(frame))
    order = frame[frame["start"].notna()].sort_values(["entity", "mode", "start"], kind="stable")
    into: dict[int, int] = {}
    before, key, until = None, None, None
    for row in order.itertuples():
        if (row.entity, row.mode) == key and row.start < until:
            into[row.place] = before
            until = max(until, row.end)
        else:
            before, key, until = row.place, (row.entity, row.mode), row.end
    if into and policy == "error":
        later, earlier = next(iter(into.items()))
        raise ContractError(
            file=label,
            row=int(done.index[later]) + 1,
            expected="records of one entity and failure mode one after the other",
            got=f"{done['fault_id'].iloc[later]!r} while {done['fault_id'].iloc[earlier]!r} is open",
            remedy="overlaps='merge' or 'keep'",
        )
    if not into or policy == "keep":
        return done, len(into)
    done = done.copy()
    for later, earlier in into.items():
        for name in (n for n in ENDS if n in done):
            ends = done[name].iloc[[earlier, later]]
            done.iloc[earlier, done.columns.get_loc(name)] = pd.NaT if ends.isna().any() else ends.max()
    return done.iloc[[place for place in range(len(done)) if place not in into]], len(into)


def _first_of(done: pd.DataFrame, names: Sequence[str], nat: pd.Series) -> pd.Series:
    found = nat
    for name in names:
        if name in done:
            found = found.fillna(done[name])
    return found
