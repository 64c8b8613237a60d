"""Traces played to a verdict step by step, and what it was worth."""

from __future__ import annotations

__all__ = ["play", "rates"]

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from stability.simulate.recoveries.traces import Trace

BEYOND = pd.Timedelta(seconds=1)  # behind the window, for a verdict that speaks only when it is over


def play(trace: Trace, judge: Callable[[dict[str, object]], object], *, every: int = 1) -> dict[str, object]:
    """Ask for a verdict at each step after the action, until it is final.

    Parameters
    ----------
    trace : Trace
    judge : callable
        Given what is known at a moment (:meth:`Trace.known`), a verdict with the fields verdict, final and checks (of
        each its name, whether it passed, and a sentence); or a rule that says whether all is well, whose first yes is
        final.
    every : int
        Seconds between two questions.

    Returns
    -------
    dict
        verdict, final, seconds (from the action to the last question), credited (the verdict's own, where it has it),
        why (its checks in words), false_verified, missed, right; and the truth: trace, family, variant, source, past,
        mode, entity, expected, provable, required, effect.
    """
    now, last = trace.acted_at, trace.acted_at + pd.Timedelta(seconds=trace.window) + BEYOND
    while True:
        answer = judge(trace.known(now))
        if isinstance(answer, bool):
            verdict, final = ("verified", True) if answer else ("not_recovered", False)
        else:
            verdict, final = str(answer.verdict), bool(answer.final)
        if final or now >= last:
            break
        now = min(now + pd.Timedelta(seconds=every), last)
    open_checks = [check for check in getattr(answer, "checks", ()) if check.passed is not True]
    said = verdict == "verified"
    truth = ("family", "variant", "source", "past", "mode", "entity", "expected", "provable", "required", "effect")
    return (
        {"trace": trace.name}
        | {name: getattr(trace, name) for name in truth}
        | {
            "young": trace.begun > 0,
            "verdict": verdict,
            "final": final,
            "seconds": (now - trace.acted_at).total_seconds(),
            "credited": getattr(answer, "credited", None),
            "why": "; ".join(f"{check.name}: {check.sentence}" for check in open_checks),
            "false_verified": said and not trace.provable,
            "missed": trace.required and not said,
            "right": verdict == trace.expected,
        }
    )


def rates(played: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Count by family what was said.

    Parameters
    ----------
    played : iterable of dict
        As :func:`play` gives them.

    Returns
    -------
    DataFrame, index family
        int64: traces, unprovable (where `verified` is false), false_verified, required (where it has to be said),
        verified (of those), right (the best verdict), and of the verdicts verified_all, not_recovered, inconclusive.
    """
    table = pd.DataFrame(list(played))
    by = table.assign(
        traces=1,
        unprovable=~table["provable"],
        verified=table["required"] & (table["verdict"] == "verified"),
        **{f"said_{name}": table["verdict"] == name for name in ("verified", "not_recovered", "inconclusive")},
    ).groupby("family", sort=False)
    columns = ["traces", "unprovable", "false_verified", "required", "verified", "right"]
    return by[[*columns, "said_verified", "said_not_recovered", "said_inconclusive"]].sum().astype("int64")
