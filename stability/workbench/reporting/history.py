"""A metric over the nights: the run before, and a small line with the band of its intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from stability.workbench.facts import Metric
from stability.workbench.reporting.formats import interval, number, value

__all__ = ["Sparkline", "before", "last_known", "sparkline"]

NIGHTS = 30  # a month: long enough for a drift, short enough for a line of this width
WIDTH, HEIGHT, MARGIN = 240, 48, 4  # drawing units


@dataclass(frozen=True)
class Sparkline:
    """What the template draws.

    Parameters
    ----------
    bands, lines : list of str
        Points of polygons (intervals) and polylines (values), one for each stretch of nights without a gap.
    dots : list of (float, float)
        Nights that stand alone between two gaps.
    last : (float, float) or None
        This run's point.
    failed : list of float
        Where nights stand that failed: a line that leaves them out would look too well.
    label : str
        The same in words.
    since, span : str
        What stands below the line: how many runs from when on, and the values' range.
    """

    bands: list[str]
    lines: list[str]
    dots: list[tuple[float, float]]
    last: tuple[float, float] | None
    failed: list[float]
    label: str
    since: str
    span: str


def before(name: str, history: list[dict[str, Any]], kind: str = "estimate") -> tuple[str, str] | None:
    """Give the value and interval of a metric in the last run before this one; None where it has none.

    Parameters
    ----------
    name : str
        The metric.
    history : list of dict
        Earlier summaries, oldest first.
    kind : str
        The metric's kind now; summaries do not keep it.
    """
    found = _metric(name, history[-1], kind) if history else None
    return None if found is None else (value(name, found), interval(found))


def last_known(name: str, history: list[dict[str, Any]], kind: str = "estimate") -> tuple[Metric, str, int] | None:
    """Give the newest earlier value of a metric: the value, when its night began, and how many nights lie between.

    Parameters
    ----------
    name, history, kind
        As for `before`.
    """
    for age, night in enumerate(reversed(history)):
        found = _metric(name, night, kind)
        if found is not None:
            return found, str(night.get("started", "")), age
    return None


def sparkline(
    name: str, current: Metric | None, history: list[dict[str, Any]], *, failed: bool = False
) -> Sparkline | None:
    """Lay out a metric's values over the last 30 nights, this one included.

    Parameters
    ----------
    name : str
        The metric.
    current : Metric or None
        This run's; None where it was not measured.
    history : list of dict
        Earlier summaries, oldest first; a night without the metric is a gap.
    failed
        Whether this run has failed.

    Returns
    -------
    Sparkline or None
        None when fewer than two nights have a value.
    """
    kind = current.kind if current else "estimate"
    nights = [
        (_metric(name, old, kind), str(old.get("started", ""))[:10], old.get("status") == "failed")
        for old in history[-(NIGHTS - 1) :]
    ]
    nights.append((current, "", failed))
    while nights and nights[0][0] is None:
        nights.pop(0)
    known = [metric for metric, _, _ in nights if metric]
    if len(known) < 2:
        return None
    low = min(m.value if m.lo is None else m.lo for m in known)
    high = max(m.value if m.hi is None else m.hi for m in known)

    def at(i: int, y: float) -> tuple[float, float]:
        across = MARGIN + i * (WIDTH - 2 * MARGIN) / (len(nights) - 1)
        up = (y - low) / (high - low) if high > low else 0.5
        return round(across, 1), round(HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN), 1)

    bands, lines, dots = [], [], []
    for stretch in _stretches([metric for metric, _, _ in nights]):
        middle = [at(i, m.value) for i, m in stretch]
        upper = [at(i, m.hi) for i, m in stretch if m.hi is not None]
        lower = [at(i, m.lo) for i, m in stretch if m.lo is not None]
        if len(stretch) == 1:
            dots.append(middle[0])
        else:
            lines.append(_points(middle))
        if len(upper) > 1:
            bands.append(_points([*upper, *reversed(lower)]))
    span = f"{number(min(m.value for m in known))} to {number(max(m.value for m in known))}"
    since = f"{len(known)} runs since {nights[0][1]}" if nights[0][1] else f"{len(known)} runs"
    lost = [at(i, low)[0] for i, (metric, _, wrong) in enumerate(nights) if wrong]
    return Sparkline(
        bands=bands,
        lines=lines,
        dots=dots,
        last=at(len(nights) - 1, current.value) if current else None,
        failed=lost,
        label=f"{name} in {since}{f', {len(lost)} failed' * bool(lost)}: {span}",
        since=since,
        span=span,
    )


def _metric(name: str, summary: dict[str, Any], kind: str) -> Metric | None:
    """Read a metric out of an earlier summary; anything that is not a number is a gap, not an error of tonight."""
    found = summary.get("metrics", {}).get(name)
    if not isinstance(found, dict):
        return None
    numbers = [found.get("value"), found.get("lo"), found.get("hi")]
    if not all(n is None or (isinstance(n, int | float) and math.isfinite(n)) for n in numbers) or numbers[0] is None:
        return None
    return Metric(*numbers, kind="estimate" if None not in numbers else kind)


def _stretches(values: list[Metric | None]) -> list[list[tuple[int, Metric]]]:
    stretches: list[list[tuple[int, Metric]]] = [[]]
    for i, metric in enumerate(values):
        if metric is None:
            stretches.append([])
        else:
            stretches[-1].append((i, metric))
    return [stretch for stretch in stretches if stretch]


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
