"""Traces of what is seen after a repair, of which it is known whether all recovered."""

from __future__ import annotations

__all__ = ["Trace", "recoveries"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stability.schema import ContractError, nearest
from stability.simulate.recoveries.families import FAMILIES
from stability.simulate.recoveries.material import AT, BAD, COLUMNS, COUNTERS, TOTAL, World, cut, drawn, recorded
from stability.simulate.recoveries.story import NEVER, Draw, Story, Told
from stability.simulate.recoveries.suspicion import DETECTORS, suspect
from stability.simulate.streams import stream

BEGIN = pd.Timestamp("2026-03-01", tz="UTC").as_unit("us")
SECOND = pd.Timedelta(seconds=1)
HISTORY = (300, 420)  # s before users feel the fault
FELT = (15, 45)  # s from the impact to the end of the action: what detection, localisation and the action take
AFTER = 30  # s of the trace behind the window
REPLICAS_ONLY = {
    "masked",
    "deleted_pod",
    "stale_data",
    "neighbour_hurt",
}  # others serve beside a replica, and no gateway
WEIGHT = {"recover": 2}  # the plain case is the most frequent one
RECORDED = 0.55  # share of a family that is cut from recordings
LIVED = 0.4  # share of the recorded traces before which the true past stands, with earlier faults
YOUNG = 0.4  # share of a family that was seen for no longer than a minute or two when users began to feel the fault
SEEN_FOR = (30, 120)  # s of history of such a trace


@dataclass(frozen=True)
class Trace:
    """What was seen after one repair, and the truth.

    Parameters
    ----------
    name, family, variant, source, mode : str
        Name of the trace, kind of story, which of them, `recorded` or `drawn`, and what befell the entity.
    entity : str
        What was repaired.
    neighbours : tuple of str
        What the repair may hurt.
    past : str
        `drawn`, `health` (spliced) or `lived` (the true past, with earlier faults).
    begun : int
        Second after :data:`BEGIN` from which on anything was measured: above 0 where the service, or who watches it, is
        young.
    impact_start, acted_at : Timestamp
        Begin of the impact, end of the action.
    earlier : tuple of Timestamp
        When earlier faults of a lived past were ended, by whoever had injected them: repairs that a record may know.
    recovered_at : Timestamp or NaT
        From when on everything that the fault had hurt is well for good; NaT = not before the window's end.
    harmed : bool
        Whether a neighbour fell ill after the action.
    seen : bool
        Whether the data show how it went on.
    effect : bool
        Whether the action ended the fault.
    provable : bool
        Whether `verified` is right: recovered, seen, nobody harmed, in time for hold and watch within the window.
    expected : str
        The best verdict: `verified`, `not_recovered`, or `inconclusive` where the data cannot tell.
    required : bool
        Whether a verdict other than `verified` is a miss: provable, and the evidence is not thin.
    hold, watch, window : int
        Seconds, as of the verdict.
    telemetry, service, scores : DataFrame, index (entity, timestamp)
        All that is ever delivered; see `stability.remediation.aftermath`.
    arrivals : mapping of str to ndarray of int
        By table, the second after :data:`BEGIN` at which each row is there.
    thresholds : mapping of str to float
    """

    name: str
    family: str
    variant: str
    source: str
    mode: str
    entity: str
    neighbours: tuple[str, ...]
    past: str
    begun: int
    impact_start: pd.Timestamp
    acted_at: pd.Timestamp
    earlier: tuple[pd.Timestamp, ...]
    recovered_at: pd.Timestamp
    harmed: bool
    seen: bool
    effect: bool
    provable: bool
    expected: str
    required: bool
    hold: int
    watch: int
    window: int
    telemetry: pd.DataFrame
    service: pd.DataFrame
    scores: pd.DataFrame
    arrivals: Mapping[str, np.ndarray]
    thresholds: Mapping[str, float]

    def known(self, now: pd.Timestamp) -> dict[str, object]:
        """Give what is known at a moment, as the keywords of an `Aftermath`."""
        second = int((now - BEGIN) / SECOND)
        tables = {
            name: getattr(self, name)[self.arrivals[name] <= second] for name in ("telemetry", "service", "scores")
        }
        return {
            "entity": self.entity, "acted_at": self.acted_at, "impact_start": self.impact_start, "now": now,
            "thresholds": dict(self.thresholds), "neighbours": self.neighbours, "step": 1.0,
        } | tables  # fmt: skip


def recoveries(
    tables: Mapping[str, pd.DataFrame] | None,
    *,
    seed: int = 0,
    each: int = 20,
    families: Sequence[str] = tuple(FAMILIES),
    hold: int = 30,
    watch: int = 60,
    window: int = 180,
) -> Iterator[Trace]:
    """Make traces, family by family, a good half of each out of recordings; each has random numbers of its own.

    Parameters
    ----------
    tables : mapping of str to DataFrame, optional
        The testbed's recordings, as `datasets.load("testbed")` gives them; without them all traces are drawn.
    seed : int
    each : int
        Traces a family; twice as many of `recover`.
    families : sequence of str
        Names among :data:`FAMILIES`.
    hold, watch, window : int
        Seconds for which all has to be well, then without relapse, and within which that has to be shown; the stories
        place relapses and recoveries by them.

    Yields
    ------
    Trace

    Raises
    ------
    ContractError
        For an unknown family, or a window too short for hold and watch after a late recovery.
    """
    for name in families:
        if name not in FAMILIES:
            raise ContractError(
                column="families", expected=f"among {', '.join(FAMILIES)}", got=name,
                remedy=f"meant {nearest(name, FAMILIES)}?",
            )  # fmt: skip
    if hold + watch + 80 > window:
        raise ContractError(
            column="window", expected=f"at least hold + watch + 80 s = {hold + watch + 80} s", got=window
        )
    material = None if tables is None else recorded(tables)
    for family in families:
        count = each * WEIGHT.get(family, 1)
        order = stream(seed, "recovery sources", family).permutation(count)
        for turn in range(count):
            rng = stream(seed, "recovery", family, str(turn))
            impact = int(rng.integers(*HISTORY))
            acted = impact + int(rng.integers(*FELT))
            draw = Draw(rng, acted + window + AFTER, impact, acted, hold, watch, window)
            story, alone = FAMILIES[family](draw, turn), family in REPLICAS_ONLY
            if material is not None and order[turn] < RECORDED * count:
                lived = bool(rng.random() < LIVED)
                world, source = cut(material, rng, draw.steps, impact, replica=alone, lived=lived), "recorded"
            else:
                world, source = drawn(rng, draw.steps, replica=alone), "drawn"
            age = stream(seed, "recovery age", family, str(turn))
            begun = impact - int(age.integers(*SEEN_FOR)) if age.random() < YOUNG else 0
            yield _trace(f"{family}-{turn:02d}", family, source, draw, story, world, begun)


def _trace(name: str, family: str, source: str, draw: Draw, story: Story, world: World, begun: int) -> Trace:
    scope = list(dict.fromkeys(["gateway", world.entity, *world.neighbours]))
    course = dict.fromkeys(scope, story.course if story.users is None else story.users)
    course[world.entity] = story.course if story.entity is None else story.entity
    quiet, faulty = ({e: rows.copy() for e, rows in of.items()} for of in (world.quiet, world.faulty))
    if story.reshape is not None:
        story.reshape(quiet, faulty)
    told = Told({}, {}, columns=list(COLUMNS[:-2]), thresholds={})
    for entity in scope:
        rows = _blend(quiet[entity], faulty[entity], course[entity], draw.rng)
        if story.neighbour is not None and entity == world.neighbours[0]:
            rows = _blend(rows, world.ill[entity], story.neighbour, draw.rng)
        told.service[entity] = _asked(rows, draw.rng)
        told.telemetry[entity] = _shown(rows, story.restarts if entity == world.entity else [])
    if story.mislead is not None:
        story.mislead(told, world.entity, world.neighbours)
    _detect(told, scope, draw, world, story)
    if story.withhold is not None:
        story.withhold(told, world.entity, world.neighbours)
    frames = {table: _frame(told, table, begun) for table in ("telemetry", "service", "scores")}
    truth = _truth(draw, story, [*course.values()])
    return Trace(
        name=name, family=family, variant=story.variant, source=source, mode=world.mode, entity=world.entity,
        neighbours=world.neighbours, impact_start=BEGIN + draw.impact * SECOND, acted_at=BEGIN + draw.acted * SECOND,
        past=world.past, begun=begun, seen=story.seen,
        earlier=tuple(BEGIN + step * SECOND for step in world.ended if step >= begun),
        effect=story.effect, hold=draw.hold, watch=draw.watch, window=draw.window,
        **truth, **{table: frame for table, (frame, _) in frames.items()},
        arrivals={table: at for table, (_, at) in frames.items()}, thresholds=told.thresholds,
    )  # fmt: skip


def _truth(draw: Draw, story: Story, courses: list[np.ndarray]) -> dict[str, object]:
    ill = np.max(courses, axis=0) > 0
    ended = max(int(np.flatnonzero(ill)[-1]) + 1, draw.acted)
    recovered = ended < draw.acted + draw.window
    hurt = story.neighbour is not None and bool(
        (story.neighbour[draw.acted :] > story.neighbour[draw.impact - 1]).any()
    )
    provable = recovered and story.seen and not hurt and ended + draw.hold + draw.watch <= draw.acted + draw.window
    wrong = "not_recovered" if story.seen else "inconclusive"
    return {
        "recovered_at": BEGIN + ended * SECOND if recovered else pd.NaT,
        "harmed": hurt,
        "provable": provable,
        "expected": "verified" if provable else wrong,
        "required": provable and story.sure,
    }


def _blend(well: np.ndarray, ill: np.ndarray, course: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share = course[:, None]
    rows = np.where(share > 0, (1 - share) * well + share * ill, well)
    rows = np.where(np.isnan(rows) & (share < 0.5), well, rows)  # half well, it answers a scrape
    rows[:, AT["up"]] = np.where(course > 0.5, ill[:, AT["up"]], well[:, AT["up"]])
    counted = [*COUNTERS, TOTAL]
    counted.remove(AT["process_cpu_seconds_total"])
    rows[:, counted] = np.floor(rows[:, counted] + rng.random((len(rows), 1)))
    return rows


def _asked(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    total, bad = rows[:, TOTAL], np.nan_to_num(np.clip(rows[:, BAD], 0, 1))
    known = np.nan_to_num(total).astype(int)
    failed = np.where(known < 10, rng.binomial(known, bad), np.floor(known * bad + rng.random(len(rows))))
    return np.column_stack([np.where(np.isnan(total), np.nan, known - np.minimum(failed, known)), total])


def _shown(rows: np.ndarray, restarts: Sequence[tuple[int, int]]) -> np.ndarray:
    shown, up = rows[:, : len(COLUMNS) - 2].copy(), AT["up"]
    begun = np.zeros(len(rows), dtype=bool)
    for at, length in restarts:
        begun[at] = True
        shown[at : at + length] = np.nan
        shown[at : at + length, up] = 0.0
    offset = 1000.0  # a process that has been up for a while
    for k in COUNTERS:
        steps = np.nan_to_num(shown[:, k])
        total = offset + np.cumsum(steps)
        for at in np.flatnonzero(begun):
            total[at:] -= total[at] - steps[at]
        shown[:, k] = np.where(np.isnan(shown[:, k]), np.nan, total)
    return shown


def _detect(told: Told, scope: list[str], draw: Draw, world: World, story: Story) -> None:
    calm = np.zeros(draw.steps, dtype=bool)
    calm[20 : draw.impact - 3] = world.calm[20 : draw.impact - 3]
    highest = np.zeros(len(DETECTORS))
    for entity in scope:
        own = calm.copy()
        if story.neighbour is not None and entity == world.neighbours[0]:
            own &= story.neighbour == 0
        told.scores[entity], bounds = suspect(told.telemetry[entity], own)
        highest = np.maximum(highest, bounds)
    told.thresholds |= dict(zip(DETECTORS, highest.tolist(), strict=True))


def _frame(told: Told, table: str, begun: int) -> tuple[pd.DataFrame, np.ndarray]:
    data = getattr(told, table)
    columns = {"telemetry": told.columns, "service": ["good", "total"], "scores": list(DETECTORS)}[table]
    frames, arrivals = {}, []
    for entity in sorted(data):
        at = told.arrival(table, entity)
        kept = at < NEVER
        kept[:begun] = False
        skew = 0 if table == "service" else told.skew.get(entity, 0)
        stamps = BEGIN + pd.to_timedelta(np.flatnonzero(kept) + skew, unit="s")
        frames[entity] = pd.DataFrame(data[entity][kept], index=stamps.as_unit("us"), columns=columns)
        arrivals.append(at[kept])
    return pd.concat(frames, names=["entity", "timestamp"]), np.concatenate(arrivals)
