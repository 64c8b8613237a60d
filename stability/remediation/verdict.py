"""The verdict on a repair: verified, not recovered, or inconclusive; what is not known is never success.

Verified is said of a thing whose own fresh samples, requests and detectors were back inside their bounds for a hold,
and stayed there, with its neighbours, for a watch, and whose recovery is more than what heals by itself. It is said
once, at the first step that proves it, from samples up to that step only.
"""

from __future__ import annotations

__all__ = ["Check", "Verdict", "Verification", "judge"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from stability.evaluation.intervals import wilson_interval
from stability.remediation import placebo
from stability.remediation.aftermath import Aftermath
from stability.remediation.courses import BAD, GOOD, UNKNOWN, runs
from stability.remediation.observed import Observed, observe, share
from stability.remediation.verification import Verification, Widths

VERIFIED, NOT_RECOVERED, INCONCLUSIVE = "verified", "not_recovered", "inconclusive"
LIKELY = 1 / 3  # chance of healing by itself above which a recovery is not credited: not to is twice as likely
HALF = 0.5  # share of the time of the impact
SURELY = 0.05  # level of the test whether the whole impact fell short: one look, at what was told to be bad


class Check(NamedTuple):
    """One thing that a recovery has to show.

    Parameters
    ----------
    name : str
        samples, service, detectors, condition, neighbours, relapse or placebo.
    passed : bool or None
        None: no data.
    sentence : str
        With numbers.
    """

    name: str
    passed: bool | None
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What can be said of a repair.

    Parameters
    ----------
    verdict : {'verified', 'not_recovered', 'inconclusive'}
    at : Timestamp
        The step whose samples decided it, or the last one so far.
    final : bool
        Whether it stays; ask again later while it does not. What is not final is inconclusive.
    checks : tuple of Check
    recovered_at : Timestamp or NaT
        Since when everything has been inside its bounds, but for moments; NaT where it is not, or not yet for a hold.
    credited : bool
        Whether the recovery counts as a success of the action: verified, still going on when the action ended, and
        unlikely to have come as soon by itself.
    chance : float
        Estimated chance that it would have come as soon by itself; NaN where there is no recovery.
    sentence : str
        Why.
    """

    verdict: str
    at: pd.Timestamp
    final: bool
    checks: tuple[Check, ...]
    recovered_at: pd.Timestamp = pd.NaT
    credited: bool = False
    chance: float = math.nan
    sentence: str = ""


class _End(NamedTuple):
    """Where the walk over the steps ended."""

    verdict: str
    step: int
    final: bool
    start: int | None
    held: int | None
    why: str


def judge(aftermath: Aftermath, settings: Verification | None = None, repaired: Sequence[pd.Timestamp] = ()) -> Verdict:
    """Judge a repair by what is known at `aftermath.now`.

    Parameters
    ----------
    aftermath : Aftermath
    settings : Verification, optional
    repaired : sequence of Timestamp
        When earlier actions ended: a bad time of the history that one of them ended did not heal by itself.

    Returns
    -------
    Verdict
        Once final, verdict, moment and credit are the same at every later moment. A service that recovered, but not
        better than its placebo windows, is inconclusive with `recovered_at` set: it needs no further repair, and proves
        nothing.

    Notes
    -----
    A step is bad where the requests of the last steps fall short of the objective, most of the thing's last scores are
    above a threshold, a metric of it stays beyond all that was usual, or a neighbour is worse than before the action.
    It is unknown where one of these cannot be told, or where the thing's own samples do not move (frozen, deleted,
    another's). A hold is a run without either. After it, requests that fall short, a neighbour that is worse, and
    detectors or metrics that stay out of bounds are a relapse: not recovered, at that step. Unknown begins the hold
    anew. What is out of bounds for a moment is no relapse, and puts off the word: its own metrics have to be within
    theirs for a hold and a watch on end, its neighbours for a hold. What cannot have held by the end of the window is
    not recovered where it was bad at the last, else inconclusive; so is what has held, but not long enough for the
    watch to end within the window.
    """
    settings = settings or Verification()
    seen = observe(aftermath, settings)
    end = _walk(seen, settings, aftermath.step)
    compared = _compared(aftermath, seen, settings, end, repaired)
    verdict, why = end.verdict, end.why
    if verdict == VERIFIED and not compared.passed:
        verdict, why = INCONCLUSIVE, f"recovered, but that proves nothing of the repair: {compared.sentence}"
    at = _time(aftermath, seen, end.step) if end.final else aftermath.now
    recovered = end.held is not None and end.verdict != NOT_RECOVERED
    return Verdict(
        verdict,
        at,
        end.final,
        _checks(aftermath, seen, settings, end, compared),
        _time(aftermath, seen, end.start - 1) if recovered else pd.NaT,
        bool(verdict == VERIFIED and compared.chance <= LIKELY and _ill_to_the_end(seen, settings, aftermath.step)),
        compared.chance if recovered else math.nan,
        why,
    )


def _time(aftermath: Aftermath, seen: Observed, step: int) -> pd.Timestamp:
    return aftermath.acted_at + pd.Timedelta(seconds=(step - seen.steps.zero + 1) * aftermath.step)


def _walk(seen: Observed, settings: Verification, step: float) -> _End:
    """Go over the steps after the action until one decides."""
    width, zero = settings.widths(step), seen.steps.zero
    worst, hurt = seen.worst(), seen.worst("service", "neighbours") == BAD
    lasting = _lasting(seen, width)
    deadline, start, held, broken = zero + width.window - 1, None, None, UNKNOWN
    for i in range(zero + width.skew, seen.steps.count):
        if held is not None and (hurt[i] or lasting[i]):
            return _End(NOT_RECOVERED, i, True, start, held, f"relapsed {(i - held) * step:g} s after its hold")
        if worst[i] == UNKNOWN or (worst[i] == BAD and held is None):
            start, held, broken = None, None, int(worst[i])
        elif start is None:
            start = i
        if start is not None and held is None and i - start + 1 >= width.hold and _calm(seen, settings, i, width.hold):
            held = i
        watched = held is not None and seen.latest[i] >= held + width.watch and worst[i] == GOOD
        due = held is not None and seen.latest[i] < i < held + width.watch + width.gap  # a late sample is waited for
        watched = watched and not due and _clean(seen, held, i, width)
        if watched and _calm(seen, settings, i, width.hold) and _enough(seen, settings, start, i):
            return _End(VERIFIED, i, True, start, held, f"well for {(i - start + 1) * step:g} s")
        if held is None and max((i + 1 if start is None else start) + width.hold - 1, i) > deadline:
            if broken == BAD and start is None:
                return _End(NOT_RECOVERED, i, True, None, None, _said_bad(seen, i))
            return _End(INCONCLUSIVE, i, True, None, None, _said_unknown(seen, i))
        if held is not None and i >= deadline:
            return _End(INCONCLUSIVE, i, True, start, held, "the window ends before the watch, or too little is known")
    return _End(INCONCLUSIVE, seen.steps.count - 1, False, start, held, "not decided yet")


def _clean(seen: Observed, held: int, i: int, width: Widths) -> bool:
    """Whether its own metrics were in bounds for a whole hold and watch, and its neighbours for the last hold."""
    own = seen.ailing[max(i - width.hold - width.watch + 1, held) : i + 1]
    return not own.any() and not seen.doubt[max(i - width.hold + 1, 0) : i + 1].any()


def _lasting(seen: Observed, width: Widths) -> np.ndarray:
    """Tell where detectors, or a metric, stay out of bounds; a metric for a hold while its thing serves as promised."""
    loud, beyond = (runs(seen.states[name] == BAD) for name in ("detectors", "condition"))
    return (loud >= width.lasting) | (beyond >= np.where(seen.served, max(width.hold, width.lasting), width.lasting))


def _said_bad(seen: Observed, i: int) -> str:
    bad = [name for name, state in seen.states.items() if state[i] == BAD]
    return f"still out of bounds: {', '.join(bad)}"


def _said_unknown(seen: Observed, i: int) -> str:
    unknown = [name for name, state in seen.states.items() if state[i] == UNKNOWN]
    return f"no hold within the window; not known at the last: {', '.join(unknown) or 'nothing, it comes and goes'}"


def _calm(seen: Observed, settings: Verification, i: int, hold: int) -> bool:
    """Whether the last hold as a whole keeps the objective, without more crossings than in quiet time."""
    for counts in seen.counts.values():
        good, total = share(counts, i - hold + 1, i)
        if good < settings.objective * total:
            return False
    return not seen.crossed[i]


def _enough(seen: Observed, settings: Verification, start: int, i: int) -> bool | None:
    """Whether the requests since a step prove the service level: False below it, None where they are too few."""
    proofs = []
    for counts in seen.counts.values():
        if np.isnan(counts[: i + 1, 1]).all():
            continue
        good, total = share(counts, start, i)
        if good < settings.objective * total:
            return False
        proof = total > 0 and wilson_interval(good, total, settings.confidence).lo >= settings.least
        before = counts[: seen.steps.zero]
        known = (~np.isnan(before[:, 1])).sum()
        expected = np.nansum(before[:, 1]) / known * (i - start + 1) if known else math.inf
        busy = expected > 0 and wilson_interval(expected, expected, settings.confidence).lo >= settings.least
        proofs.append((proof, busy))
    needed = [proof for proof, busy in proofs if busy] or [proof for proof, _ in proofs]
    return True if needed and all(needed) else None


def _compared(aftermath: Aftermath, seen: Observed, settings: Verification, end: _End, repaired) -> placebo.Placebo:
    """Compare with the bad times before; the incident's own begins with its first bad step and ends with its last."""
    if end.start is None or end.held is None:
        return placebo.Placebo(None, math.nan, "nothing has recovered that could be compared")
    width, steps = settings.widths(aftermath.step), seen.steps
    state = seen.worst("service", "detectors", "condition")[: end.start]
    seconds = np.array([(moment - aftermath.acted_at).total_seconds() for moment in repaired], dtype=float)
    acted = steps.zero - 1 + np.ceil(seconds / aftermath.step).astype(int)
    found = placebo.episodes(state, width.hold, acted[acted < steps.zero - 1])
    own = found[-1] if found and found[-1].last >= steps.fault else None
    if own is None and _ill(seen, settings, aftermath.step):
        own = placebo.Episode(steps.fault, steps.zero - 1, False)
    past = [one for one in found if one.last < (own.first if own else steps.fault)]
    if own and _felt(seen, own):
        least = HALF * _failing(seen, own)  # what nobody felt, or hardly, is of another kind
        past = [one for one in past if _felt(seen, one) and _failing(seen, one) >= least]
    until = steps.zero - width.early
    hurt = [counts for counts in seen.counts.values() if own and _short(counts, settings, own.first, until - 1)]
    mends = max((placebo.mending(counts, own.first, until, steps.zero) for counts in hurt), default=math.inf)
    return placebo.compare(past, own, steps.zero, aftermath.step, width.early, mends=mends - width.early)


def _felt(seen: Observed, one: placebo.Episode) -> bool:
    return bool((seen.states["service"][one.first : one.last + 1] == BAD).any())


def _failing(seen: Observed, one: placebo.Episode) -> float:
    good, total = np.sum([share(counts, one.first, one.last) for counts in seen.counts.values()], axis=0)
    return 1 - good / total if total > 0 else 0.0


def _short(counts: np.ndarray, settings: Verification, first: int, last: int) -> bool:
    """Whether the requests of some time as a whole fall short of the objective, beyond chance."""
    good, total = share(counts, first, last)
    return bool(stats.binom.sf(total - good - 1, total, 1 - settings.objective) < SURELY)


def _ill_to_the_end(seen: Observed, settings: Verification, step: float) -> bool:
    """Whether it had not begun to heal when the action ended: in its last steps at least half as bad as before them."""
    zero, width = seen.steps.zero, settings.widths(step)
    last = zero - width.recent
    first = max(min(seen.steps.fault, last - width.recent), 0)
    if last <= first:
        return False
    asked = [counts for counts in seen.counts.values() if _short(counts, settings, first, zero - 1)]
    for counts in asked:
        (good, total), (now, of) = share(counts, first, last - 1), share(counts, last, zero - 1)
        if of > 0 and total > 0 and 1 - now / of < HALF * (1 - good / total):
            return False
    return bool(asked) or bool((seen.crossings[last:zero] > 0).mean() > HALF)


def _ill(seen: Observed, settings: Verification, step: float) -> bool:
    """Whether the time of the impact as a whole was bad where no single moment of it was so for sure."""
    last = seen.steps.zero - 1
    first = max(min(seen.steps.fault, last - settings.widths(step).recent + 1), 0)
    if first > last:
        return False
    short = [_short(counts, settings, first, last) for counts in seen.counts.values()]
    part = slice(first, last + 1)
    silent = (seen.states["samples"][part] == UNKNOWN).mean() if seen.seen_before else 0.0
    return any(short) or max(silent, (seen.crossings[part] > 0).mean()) > HALF


def _checks(
    aftermath: Aftermath, seen: Observed, settings: Verification, end: _End, compared: placebo.Placebo
) -> tuple[Check, ...]:
    i, zero = end.step, seen.steps.zero
    if i < zero:
        said = "nothing is known from after the action yet"
        names = ("samples", "service", "detectors", "condition", "neighbours", "relapse", "placebo")
        return tuple(Check(name, None, said) for name in names)
    told = {GOOD: True, BAD: False, UNKNOWN: None}
    state = {name: told[int(of[i])] for name, of in seen.states.items()}
    service, level = state["service"], _level(seen, settings, zero if end.start is None else end.start, i)
    if service and (end.start is None or not _enough(seen, settings, end.start, i)):
        service = None
    thresholds = ", ".join(name for name, _ in seen.names["detectors"]) or "no detector"
    moved = int(seen.fresh[zero : i + 1].sum())
    relapsed = {VERIFIED: True, NOT_RECOVERED: None if end.held is None else False}.get(end.verdict)
    return (
        Check("samples", state["samples"], f"{aftermath.entity}: fresh in {moved} of {i - zero + 1} steps since"),
        Check("service", service, level),
        Check("detectors", state["detectors"], _list(seen, "detectors", i, f"{thresholds}: nothing above a threshold")),
        Check("condition", state["condition"], _list(seen, "condition", i, "no metric beyond what was usual")),
        Check(
            "neighbours",
            state["neighbours"],
            _list(seen, "neighbours", i, ", ".join(aftermath.neighbours) or "none is named"),
        ),
        Check("relapse", relapsed, end.why),
        Check("placebo", compared.passed, compared.sentence),
    )


def _list(seen: Observed, name: str, i: int, none: str) -> str:
    bad = [one for one, flags in seen.names[name] if flags[i]]
    return f"out of bounds: {', '.join(bad)}" if bad else none


def _level(seen: Observed, settings: Verification, first: int, i: int) -> str:
    said = []
    for entity, counts in seen.counts.items():
        good, total = share(counts, first, i)
        if np.isnan(counts[: i + 1, 1]).all():
            continue
        if not total > 0:
            said.append(f"{entity}: no request")
            continue
        proved = wilson_interval(good, total, settings.confidence)
        said.append(f"{entity}: {good:g} of {total:g} requests good ({proved.value:.2%}, at least {proved.lo:.2%})")
    return f"{'; '.join(said) or 'nobody is known to have asked'}; promised {settings.objective:.2%}"
