"""What a verdict leads to: done, back, the next step, another playbook, or people."""

from __future__ import annotations

__all__ = ["follow", "unsolved"]

import pandas as pd

from stability.remediation.aftermath import Aftermath
from stability.remediation.decisions import Case, Progress
from stability.remediation.history import History
from stability.remediation.playbooks import Playbook
from stability.remediation.verdict import Verdict, Verification, judge


def follow(
    case: Case, aftermath: Aftermath, playbook: Playbook | None, history: History
) -> tuple[Progress, Verdict, tuple[tuple[str, int], ...]]:
    """Judge a repair, and say what follows.

    Parameters
    ----------
    case : Case
        The repair.
    aftermath : Aftermath
        What is known of its effect.
    playbook : Playbook or None
        Its playbook; None where there is no such one any longer.
    history : History
        When else something was done: what that healed did not heal by itself.

    Returns
    -------
    Progress
        An action that failed is not waited for: unless it is verified all the same, it has not recovered.
    Verdict
        The judgement behind it.
    tuple of (str, int)
        What is to be done, in order: ('rollback', step), ('step', step).
    """
    action = history.actions[case.action_id]
    took = (case.acted_at - action.at).total_seconds()
    settings = Verification(**{"action": max(took, Verification.action)} | case.verification)
    earlier = [other.end for name, other in history.real() if name != case.action_id and other.end is not None]
    verdict = judge(aftermath, settings, [end for end in earlier if end < case.acted_at])
    checks = tuple(f"{check.name}: {_word(check.passed)}, {check.sentence}" for check in verdict.checks)
    if case.status == "failed" and verdict.verdict != "verified":
        said = (f"the action failed: {action.detail}", *checks)
        return Progress("not_recovered", True, checks=said), verdict, _steps(case, playbook, history)
    progress = Progress(verdict.verdict, verdict.final, checks=checks)
    if not verdict.final or verdict.verdict != "not_recovered":
        return progress, verdict, ()
    return progress, verdict, _steps(case, playbook, history)


def unsolved(verdict: Verdict, progress: Progress, steps: tuple[tuple[str, int], ...], last: bool) -> bool:
    """Whether people are called: where nothing is known, and where the last playbook that is tried has no step left.

    Where all is well again, whoever made it so, nobody is.
    """
    if progress.verdict == "inconclusive":
        return verdict.recovered_at is pd.NaT
    return progress.verdict == "not_recovered" and "step" not in dict(steps) and last


def _word(passed: bool | None) -> str:
    return {True: "passed", False: "failed", None: "no data"}[passed]


def _steps(case: Case, playbook: Playbook | None, history: History) -> tuple[tuple[str, int], ...]:
    if playbook is None or case.step >= len(playbook.steps):
        return ()
    undo = history.actions[case.action_id].undo is not None
    back = (("rollback", case.step),) if playbook.steps[case.step].rollback == "undo" and undo else ()
    return back + ((("step", case.step + 1),) if case.step + 1 < len(playbook.steps) else ())
