"""What is different from the night before: code, data, lock, parameters, and what became of the metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stability.schema import redact
from stability.workbench.facts import Metric, RunFacts
from stability.workbench.reporting.formats import interval, number, plain, unit_of, value, when
from stability.workbench.reporting.history import last_known

__all__ = ["Change", "Changes", "MetricChange", "changes", "metric_change"]

LONGEST = 200  # characters of one value; whole values stand in the notebook's page
MOST_FILES = 12  # changed files that are named one by one
ROUNDING = 1e-12  # relative; a smaller difference is that of two ways to add


@dataclass(frozen=True)
class Change:
    """One thing that is different: what it is, how it was, how it is now."""

    what: str
    before: str
    now: str


@dataclass(frozen=True)
class MetricChange:
    """A metric beside its last known value.

    Parameters
    ----------
    name, before, now, difference : str
        Written out, with intervals.
    verdict : str
        What the difference means, in words that claim no more than the intervals say.
    apart : bool
        Whether the intervals do not overlap.
    since : str
        The night of the earlier value, where that is not the night before.
    """

    name: str
    before: str
    now: str
    difference: str
    verdict: str
    apart: bool
    since: str = ""


@dataclass(frozen=True)
class Changes:
    """All of it, for a page and a note.

    Parameters
    ----------
    since : str
        Moment and verdict of the night before.
    inputs : list of Change
        Code, data, lock, seed, parameters, steps; empty where all are the same.
    files : list of str
        Changed files of the code with their lines, where both commits are known.
    metrics : list of MetricChange
        Headline metrics, and any other metric whose intervals do not overlap.
    """

    since: str
    inputs: list[Change]
    files: list[str]
    metrics: list[MetricChange]


def metric_change(name: str, now: Metric, before: Metric) -> MetricChange:
    """Say how a metric has moved, and whether its intervals allow to tell.

    Two 95 % intervals that do not overlap tell two nights apart more strictly than a test at that level would; where
    they overlap, the nights are not distinguishable by them, which does not say that they are equal (Schenker and
    Gentleman 2001, doi:10.1198/000313001317097960).

    Parameters
    ----------
    name
        Of the metric; its ending gives the unit.
    now, before
        Tonight's value and an earlier one.

    Examples
    --------
    >>> metric_change("a.f1", Metric(0.62, 0.58, 0.66), Metric(0.60, 0.55, 0.65)).verdict
    'the intervals overlap: not distinguishable'
    >>> moved = metric_change("a.f1", Metric(0.82, 0.78, 0.86), Metric(0.60, 0.55, 0.65))
    >>> moved.difference, moved.verdict
    ('+0.220', 'higher: the intervals do not overlap')
    >>> metric_change("a.rows", Metric(12, kind="count"), Metric(10, kind="count")).difference
    '+2'
    """
    delta = now.value - before.value
    same = abs(delta) <= ROUNDING * max(abs(now.value), abs(before.value))
    bounds = [now.lo, now.hi, before.lo, before.hi]
    apart = None not in bounds and (now.lo > before.hi or now.hi < before.lo)
    if same and (now.lo, now.hi) == (before.lo, before.hi):
        verdict = "the same"
    elif None in bounds:
        verdict = "measured, without an interval"
    elif apart:
        verdict = f"{'higher' if delta > 0 else 'lower'}: the intervals do not overlap"
    else:
        verdict = "the intervals overlap: not distinguishable"
    return MetricChange(
        name=name,
        before=f"{value(name, before)} {interval(before)}".strip(),
        now=f"{value(name, now)} {interval(now)}".strip(),
        difference="0" if same else f"{'+' if delta > 0 else '-'}{number(abs(delta))}{unit_of(name)}",
        verdict=verdict,
        apart=apart,
    )


def changes(run: RunFacts) -> Changes | None:
    """Compare a run with the night before; None where there was none.

    Parameters
    ----------
    run : RunFacts
        `before` holds the `run.json` of the night before and the files that changed, `history` the summaries.
    """
    if not run.history:
        return None
    last = run.history[-1]
    record = run.before.get("record", {})
    return Changes(
        since=f"{when(str(last.get('started', '')))}, {last.get('status', 'unknown')}",
        inputs=_inputs(run, record) if record else [],
        files=_files(run.before.get("files", [])),
        metrics=_metrics(run),
    )


def _files(files: list[str]) -> list[str]:
    more = len(files) - MOST_FILES
    return [*files[:MOST_FILES], *([f"and {more} more"] if more > 0 else [])]


def _inputs(run: RunFacts, record: Mapping[str, Any]) -> list[Change]:
    was, now = record.get("provenance", {}), run.provenance
    found: list[Change] = []

    def compare(what: str, before: Any, after: Any, *, short: int | None = None) -> None:
        if before != after:
            found.append(Change(what, _written(before, short), _written(after, short)))

    compare("code (git)", was.get("git_sha"), now.get("git_sha"), short=12)
    # A difference is recorded by its digest: it says that something else was uncommitted, the artifact says what.
    if (was.get("diff") or "") != (now.get("diff") or ""):
        found.append(Change("uncommitted changes", _uncommitted(was), _uncommitted(now)))
    compare("package", was.get("package"), now.get("package"), short=12)
    compare("lock", was.get("lock"), now.get("lock"), short=12)
    compare("python", was.get("python"), now.get("python"))
    compare("platform", was.get("platform"), now.get("platform"))
    compare("seed", was.get("seed"), now.get("seed"))
    data, today = record.get("data", {}), run.dataset
    for field in [*dict.fromkeys([*data, *today])]:
        name = "data" if field == "name" else f"data {field}"
        compare(name, data.get(field), today.get(field), short=12 if field == "sha256" else None)
    steps, present = record.get("steps", {}), {step.key: step for step in run.steps}
    for key in [*dict.fromkeys([*steps, *present])]:
        if key not in present:
            found.append(Change(f"step {key}", "there", "removed"))
        elif key not in steps:
            found.append(Change(f"step {key}", "not there", "added"))
        else:
            compare(f"{key}: notebook", steps[key].get("notebook"), present[key].notebook)
            old, new = steps[key].get("parameters") or {}, json.loads(json.dumps(present[key].parameters, default=str))
            for name in [*dict.fromkeys([*old, *new])]:
                missing = object()
                before, after = old.get(name, missing), new.get(name, missing)
                if before is missing or after is missing or before != after:
                    said = ["not given" if v is missing else _written(v) for v in (before, after)]
                    found.append(Change(f"{key}: {name}", *said))
    return found


def _uncommitted(provenance: Mapping[str, Any]) -> str:
    return f"patch {provenance['diff'][:12]}" if provenance.get("diff") else "none"


def _written(entry: Any, short: int | None = None) -> str:
    if entry is None:
        return "none"
    text = redact(plain(entry if isinstance(entry, str) else json.dumps(entry, default=str, ensure_ascii=False)))
    if short:
        return text[:short]
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _metrics(run: RunFacts) -> list[MetricChange]:
    found = []
    for name in [*run.headline, *sorted(set(run.metrics) - set(run.headline))]:
        metric = run.metrics.get(name)
        known = last_known(name, run.history, metric.kind if metric else "estimate")
        if metric is None or known is None:
            continue
        before, night, age = known
        change = metric_change(name, metric, before)
        if age:
            change = MetricChange(**{**vars(change), "since": when(night)})
        if name in run.headline or change.apart:
            found.append(change)
    return found
