"""Stories after a repair, by family: what repair tools have paid for, beside twins that end the other way."""

from __future__ import annotations

__all__ = ["FAMILIES"]

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from stability.simulate.recoveries.material import AT, BAD, COLUMNS, TOTAL
from stability.simulate.recoveries.story import NEVER, Draw, Story, Told, fading, later

TABLES = ("telemetry", "service", "scores")
WITHIN = 75  # s after the action by which a recovery is there that can still be proven in a window of 180 s


def recover(draw: Draw, turn: int) -> Story:
    """The action ends the fault, by a restart or without one."""
    restart = [(draw.acted, draw.whole(1, 4))] if turn % 2 else []
    return Story("restart" if restart else "no restart", draw.recovery(), restarts=restart)


def no_effect(draw: Draw, turn: int) -> Story:
    """The fault goes on as before, or eases for some seconds of the restart alone."""
    whole = fading(draw, draw.steps, 1)
    if turn % 2:
        return Story("unmoved", whole)
    eased = whole.copy()
    eased[draw.acted : draw.acted + draw.whole(5, 20)] = draw.rng.uniform(0.0, 0.4)
    return Story("eased by the restart", eased, restarts=[(draw.acted, draw.whole(1, 3))])


def relapse(draw: Draw, turn: int) -> Story:
    """All is well for a while, within the hold period or within the watch, then the fault is back."""
    good = draw.recovery(8)
    ended = int(np.flatnonzero(good > 0)[-1]) + 1
    span = (8, draw.hold) if turn % 2 else (draw.hold, draw.hold + draw.watch - 8)
    back = later(good, ended + draw.whole(*span), draw.rng.uniform(0.7, 1.0))
    return Story(
        "in the hold" if turn % 2 else "in the watch", back, restarts=[(draw.acted, 2)] if turn % 4 < 2 else []
    )


def alarm_back(draw: Draw, turn: int) -> Story:
    """The alarm is back 26 s after the recovery (kubernaut #722)."""
    good = fading(draw, draw.acted + draw.whole(1, 4), 1)
    ended = int(np.flatnonzero(good > 0)[-1]) + 1
    return Story("after 26 s", later(good, ended + 26 + draw.whole(-2, 2), 1.0))


def no_data(draw: Draw, turn: int) -> Story:
    """Nothing is measured of the entity, of its users, or of anybody; rows are missing or hold NaN."""
    course = draw.recovery() if draw.rng.random() < 0.5 else fading(draw, draw.steps, 1)
    since = draw.acted + draw.whole(0, 8)
    variant = ("all silent", "entity silent", "users silent", "NaN of the entity", "NaN of all")[turn % 5]

    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        for name in told.telemetry:
            if variant == "all silent":
                told.silent(name, since, None, TABLES)
            if variant == "users silent":
                told.silent(name, since, None, ("service",))
            if variant == "NaN of all":
                for table in (told.telemetry, told.service, told.scores):
                    table[name][since:] = np.nan
        if variant == "entity silent":
            told.silent(entity, since, None, TABLES if entity != "gateway" else ("telemetry", "scores"))
        if variant == "NaN of the entity":
            told.telemetry[entity][since:] = told.scores[entity][since:] = np.nan

    return Story(variant, course, withhold=withhold, seen=False)


def stale_data(draw: Draw, turn: int) -> Story:
    """The same row comes again and again, its counters too: of before the fault, or of after the action."""
    course = draw.recovery(6) if turn % 2 else fading(draw, draw.steps, 1)
    variant = ("healthy cache", "hung after the action", "healthy cache, users too")[turn % 3]
    hung = variant == "hung after the action"
    since = draw.acted + (draw.whole(14, 20) if hung else 0)
    frozen = since if hung else draw.impact - draw.whole(50, 90)

    def mislead(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        names = list(told.telemetry) if variant.endswith("too") else [entity]
        for name in names:
            told.telemetry[name][since:] = told.telemetry[name][frozen]
        if variant.endswith("too"):
            for name in names:
                told.service[name][since:] = told.service[name][frozen]

    users = np.where(np.arange(draw.steps) < draw.acted + 8, course, 0.0)  # the others serve them well
    masked = None if variant.endswith("too") else users
    return Story(variant, course, entity=course, users=masked, mislead=mislead, seen=False)


def self_clear(draw: Draw, turn: int) -> Story:
    """The cause ends by itself: before the action has ended, or at a time of its own long after."""
    if turn % 2:
        return Story("before the action", fading(draw, draw.acted - draw.whole(6, 14), draw.whole(1, 5)), effect=False)
    return Story("long after", fading(draw, draw.acted + draw.whole(35, WITHIN - 15), draw.whole(3, 15)), effect=False)


def partial(draw: Draw, turn: int) -> Story:
    """It gets better and not well."""
    share = draw.rng.uniform(0.4, 0.75)
    course = np.maximum(draw.recovery(), np.where(np.arange(draw.steps) >= draw.impact, share, 0))
    return Story("a part stays", course, restarts=[(draw.acted, 2)] if turn % 2 else [])


def masked(draw: Draw, turn: int) -> Story:
    """Users are served by the others, while the repaired replica stays ill."""
    ill = fading(draw, draw.steps, 1)
    return Story("others serve", draw.recovery(8), entity=ill)


def neighbour_hurt(draw: Draw, turn: int) -> Story:
    """The entity recovers, and what stands beside it falls ill."""
    since, up = draw.acted + draw.whole(2, 25), np.arange(draw.steps)
    hurt = np.where(up >= since, draw.rng.uniform(0.7, 1.0), 0.0)
    return Story("after the action", draw.recovery(), neighbour=hurt, restarts=[(draw.acted, 2)] if turn % 2 else [])


def neighbour_ill(draw: Draw, turn: int) -> Story:
    """The neighbour had been ill long before, of something else, and stays so: that is no side effect.

    Nobody asks it directly, and users are served well without it: its illness shows in its telemetry alone.
    """
    since = draw.impact - draw.whole(100, 200)
    ill = np.where(np.arange(draw.steps) >= since, draw.rng.uniform(0.2, 0.5), 0.0)

    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        told.silent(neighbours[0], 0, None, ("service",))

    return Story("long before", draw.recovery(), neighbour=ill, withhold=withhold)


def deleted_pod(draw: Draw, turn: int) -> Story:
    """The entity's own series end, and another one's, which looks well, goes on (kubernaut #275)."""
    course = draw.recovery() if draw.rng.random() < 0.5 else fading(draw, draw.steps, 1)
    variant = ("a successor by another name", "last values kept", "up is kept")[turn % 3]

    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        at, other = draw.acted, f"{entity}-2"
        if variant == "a successor by another name":
            for table in (told.telemetry, told.service, told.scores):
                table[other] = table[neighbours[0]].copy()
            for table in TABLES:
                told.arrival(table, other)[:at] = NEVER
            told.silent(entity, at, None, TABLES)
        elif variant == "last values kept":  # the detector goes on with the last row that it saw in health
            told.silent(entity, at, None, ("telemetry", "service"))
            told.scores[entity][at:] = told.scores[entity][draw.impact - 60]
        else:
            told.telemetry[entity][at:] = np.nan
            told.telemetry[entity][at:, AT["up"]] = 1.0
            told.scores[entity][at:] = np.nan
            told.silent(entity, at, None, ("service",))

    users = np.where(np.arange(draw.steps) < draw.acted + 6, course, 0.0)
    return Story(variant, course, users=users, withhold=withhold, seen=False)


def old_predictions(draw: Draw, turn: int) -> Story:
    """A forecast still sees the fault in its range of past data, although it is over (kubernaut #269)."""
    course, last = draw.recovery(6), draw.whole(25, 50)
    ended = int(np.flatnonzero(course > 0)[-1]) + 1
    variant = ("fades with its range", "fades with its range", "stands for ever", "blind to the fault")[turn % 4]

    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        high = told.thresholds["forecast"] * draw.rng.uniform(1.5, 4)
        until = ended + last if variant == "fades with its range" else None
        if variant == "blind to the fault":
            told.scores[entity][draw.impact :, 1] = told.scores[entity][draw.impact - 1, 1]
            told.scores[entity][draw.acted :, 0] = np.nan
        else:
            told.scores[entity][draw.impact : until, 1] = high

    if variant == "blind to the fault":
        return Story(variant, fading(draw, draw.steps, 1), withhold=withhold)
    return Story(variant, course, withhold=withhold, sure=variant == "fades with its range")


def lifetime_restarts(draw: Draw, turn: int) -> Story:
    """Restarts that are counted over a lifetime say nothing of now (kubernaut #246); those that go on do."""
    restarts = [(draw.acted, 2)]
    course, variant = draw.recovery(6), "old restarts"
    if turn % 2:
        variant, at = "still restarting", draw.acted + 10
        while at < draw.steps - 8:
            length = draw.whole(4, 7)
            course[at : at + length] = 1.0
            restarts.append((at, 3))
            at += draw.whole(18, 30)
    before = draw.whole(2, 12)

    def mislead(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        told.columns.append("process_restarts_total")
        begun = np.array([at for at, _ in restarts])
        for name, rows in told.telemetry.items():
            count = (
                before + np.searchsorted(begun, np.arange(draw.steps), side="right")
                if name == entity
                else np.full(draw.steps, 1.0)
            )
            told.telemetry[name] = np.column_stack([rows, count])

    return Story(variant, course, restarts=restarts, mislead=mislead)


def zero_samples(draw: Draw, turn: int) -> Story:
    """No requests, no samples, and scores of 0 (kubernaut #722)."""
    course = draw.recovery() if draw.rng.random() < 0.5 else fading(draw, draw.steps, 1)
    since, variant = draw.acted + draw.whole(0, 5), ("no traffic", "no rows, scores of 0")[turn % 2]

    def mislead(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        for name, rows in told.telemetry.items():
            told.service[name][since:] = 0.0
            if variant == "no traffic":
                for column in ("http_server_requests_total", "http_server_errors_total", "model_predictions_total",
                               "model_cache_hits_total", "model_cache_misses_total"):  # fmt: skip
                    rows[since:, AT[column]] = rows[since - 1, AT[column]]
                rows[since:, [k for k, n in enumerate(COLUMNS[:-2]) if "duration" in n or "quality" in n]] = np.nan
            else:
                rows[since:] = np.nan

    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        for scores in told.scores.values():
            scores[since:] = 0.0

    return Story(variant, course, mislead=mislead, withhold=withhold, seen=False)


def alarm_clears_first(draw: Draw, turn: int) -> Story:
    """The detector is content while the cause lasts (causRCA, hydraulics exp_14: 14 s before its end)."""
    cleared = draw.acted + draw.whole(2, 10)
    ends = turn % 2 == 1
    course = fading(draw, cleared + 14 if ends else draw.steps, draw.whole(1, 3))

    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        until = cleared + 20 if ends else draw.steps
        for scores in told.scores.values():
            scores[cleared:until] = scores[draw.impact - 50 - (until - cleared) : draw.impact - 50]

    return Story("14 s before" if ends else "although it lasts", course, withhold=withhold)


def counter_resets(draw: Draw, turn: int) -> Story:
    """Counters begin anew, more than once: no relapse by itself, and no recovery either."""
    restarts = [(draw.acted, draw.whole(1, 3)), (draw.acted + draw.whole(10, 25), draw.whole(1, 2))]
    if turn % 2:
        return Story("and recovered", fading(draw, restarts[1][0] + 2, draw.whole(1, 4)), restarts=restarts)
    return Story("and still ill", fading(draw, draw.steps, 1), restarts=restarts)


def _late(draw: Draw, delay: int) -> Callable[[Told, str, tuple[str, ...]], None]:
    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        for name in told.telemetry:
            own = np.maximum(delay + draw.rng.integers(-3, 4, draw.steps), 0)
            for table in TABLES:
                told.arrival(table, name)[:] = np.maximum.accumulate(np.arange(draw.steps) + own)

    return withhold


def late_samples(draw: Draw, turn: int) -> Story:
    """Rows come 6 to 20 s late: what is not there yet is not well yet."""
    delay, good = draw.whole(6, 20), draw.recovery(8)
    if turn % 2:
        return Story("and recovered", good, withhold=_late(draw, delay))
    ended = int(np.flatnonzero(good > 0)[-1]) + 1
    back = ended + draw.hold + draw.watch - draw.whole(2, delay)
    return Story("and a relapse not told yet", later(good, back, 1.0), withhold=_late(draw, delay))


def low_traffic(draw: Draw, turn: int) -> Story:
    """Few requests: a share of few says little, and a failure among few is one."""
    rate = draw.rng.uniform(0.3, 3.0)

    def reshape(quiet: Mapping[str, np.ndarray], faulty: Mapping[str, np.ndarray]) -> None:
        for rows in (*quiet.values(), *faulty.values()):
            kept = np.minimum(rate / np.nanmean(rows[:, TOTAL]) if np.isfinite(rows[:, TOTAL]).any() else 0.0, 1.0)
            total = draw.rng.poisson(np.full(len(rows), rate))
            rows[:, TOTAL] = np.where(np.isfinite(rows[:, TOTAL]), total, np.nan)
            for column in COLUMNS[:-2]:
                if column.startswith(
                    ("http_server_requests", "http_server_errors", "model_predictions", "model_cache")
                ):
                    k = AT[column]
                    known = np.isfinite(rows[:, k])
                    rows[known, k] = draw.rng.binomial(rows[known, k].astype(int), kept)

    if turn % 2:
        return Story("and recovered", draw.recovery(), reshape=reshape, sure=False)
    return Story("and still ill", fading(draw, draw.steps, 1), reshape=reshape)


def gaps(draw: Draw, turn: int) -> Story:
    """Samples are missing for some seconds; for as long as a relapse takes to begin; or for good."""
    good = draw.recovery(8)
    ended = int(np.flatnonzero(good > 0)[-1]) + 1
    variant = ("short ones", "short ones", "a relapse begins in one", "the rest is missing")[turn % 4]
    spans = [(ended + k, ended + k + draw.whole(2, 7)) for k in (5, 24, 45, 70)]
    course = good
    if variant == "a relapse begins in one":
        begin = ended + draw.whole(20, 45)
        spans, course = [(begin, begin + draw.whole(15, 30))], later(good, begin + 5, 1.0)
    if variant == "the rest is missing":
        spans = [(ended + draw.whole(12, 60), draw.steps)]

    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        for name in told.telemetry:
            for span in spans:
                told.silent(name, *span, TABLES)

    return Story(variant, course, withhold=withhold, seen=variant != "the rest is missing")


def clock_skew(draw: Draw, turn: int) -> Story:
    """The entity's clock runs ahead, or behind, of the users'."""
    skew, good = draw.whole(-18, -4) if turn % 4 < 2 else draw.whole(3, 8), draw.recovery(8)

    def withhold(told: Told, entity: str, neighbours: tuple[str, ...]) -> None:
        told.skew[entity] = skew

    if turn % 2:
        return Story("and recovered", good, withhold=withhold)
    ended = int(np.flatnonzero(good > 0)[-1]) + 1
    return Story(
        "and a relapse", later(good, ended + draw.whole(20, draw.hold + draw.watch - 25), 1.0), withhold=withhold
    )


def flapping(draw: Draw, turn: int) -> Story:
    """Well and ill in turn, some spells of health longer than the hold period."""
    course, at = draw.recovery(6), draw.acted + 10
    longest = 24 if turn % 2 else 55
    while at < draw.steps:
        at += draw.whole(longest - 12, longest)
        length = draw.whole(6, 15)
        course = later(course, at, draw.rng.uniform(0.8, 1.0), at + length)
        at += length
    return Story("quick" if turn % 2 else "slow", course)


def slow_recovery(draw: Draw, turn: int) -> Story:
    """It fades slowly: in time to be proven, or not within the window."""
    if turn % 4 != 3:
        since = draw.acted + draw.whole(5, 15)
        return Story("in time", fading(draw, since, draw.whole(25, WITHIN - 16)))
    return Story("too late", fading(draw, draw.acted + 5, draw.window + draw.whole(0, 10)))


def new_normal(draw: Draw, turn: int) -> Story:
    """It is well in another way than before: more load, more memory, a little slower (kubernaut #639)."""
    load, memory, slower = draw.rng.uniform(0.7, 1.4), draw.rng.uniform(0.8, 1.4), draw.rng.uniform(0.9, 1.15)

    def reshape(quiet: Mapping[str, np.ndarray], faulty: Mapping[str, np.ndarray]) -> None:
        for rows in quiet.values():
            after = rows[draw.acted :]
            for column in COLUMNS[:-2]:
                if column.endswith(
                    ("requests_total", "predictions_total", "hits_total", "misses_total", "cpu_seconds_total")
                ):
                    after[:, AT[column]] = after[:, AT[column]] * load
                if "memory" in column:
                    after[:, AT[column]] *= memory
                if "duration" in column:
                    after[:, AT[column]] *= slower
            after[:, TOTAL] = np.round(after[:, TOTAL] * load)
            after[:, BAD] = np.minimum(after[:, BAD], 1)

    return Story("other levels", draw.recovery(), reshape=reshape, restarts=[(draw.acted, 2)] if turn % 2 else [])


FAMILIES: Mapping[str, Callable[[Draw, int], Story]] = MappingProxyType(
    {
        of.__name__: of
        for of in (
            recover, relapse, no_data, stale_data, self_clear, partial, neighbour_hurt, deleted_pod, old_predictions,
            lifetime_restarts, zero_samples, alarm_back, alarm_clears_first, counter_resets, late_samples, low_traffic,
            gaps, clock_skew, flapping, slow_recovery, no_effect, masked, neighbour_ill, new_normal,
        )
    }
)  # fmt: skip
"""Every family: given a draw and the number of the story within it, what happens."""
