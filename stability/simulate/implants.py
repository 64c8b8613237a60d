"""Anomalies put into measured series at known places, to compare detectors where nobody labelled anything."""

from __future__ import annotations

__all__ = ["KINDS", "implant"]

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.schema import ContractError, one_of, validate
from stability.simulate.streams import stream

KINDS = ("spike", "level", "drift", "spread", "freeze", "misplaced")
SIZED = ("spike", "level", "drift", "spread")  # the others are as large as the series makes them
SPIKE = 2  # rows of a spike
IQR = 1.349  # of a Gaussian, in its deviations
ROOM = 4  # stretches have room for so many of the longest anomaly
TRIES = 20  # anomalies that are drawn in a stretch before it is left alone
LEAST = 0.5  # deviations by which a value must move at least, and share of the values that must be there


def implant(
    panel: pd.DataFrame,
    *,
    each: int = 12,
    kinds: Sequence[str] = KINDS,
    sizes: Sequence[float] = (2.0, 4.0),
    rows: tuple[int, int] = (8, 32),
    share: float = 0.25,
    apart: str | pd.Timedelta = "0s",
    avoid: pd.DataFrame | None = None,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Change some rows of a panel in known ways.

    Each entity's rows are cut into `each` equal stretches. One anomaly is put into each, at a place, of a kind and of a
    size that are drawn, each as likely; what is drawn for one entity does not depend on the others. What would change
    next to nothing, such as a value that stands still where it stood still anyway, is drawn again. Detectors can be
    compared by how many they find, at the same budget of false alarms, where faults were never labelled.

    ``spike``
        two rows are off;
    ``level``
        all rows are off by as much;
    ``drift``
        rows are off by ever more;
    ``spread``
        noise is added;
    ``freeze``
        the value before is repeated;
    ``misplaced``
        rows of another moment of the same metric, such as a night's in the middle of the day, or without what other
        metrics do at that moment.

    Parameters
    ----------
    panel : DataFrame of float64, (entity, timestamp) x metrics
        Stays as it is.
    each : int
        Anomalies of an entity; fewer where its rows have no room for them.
    kinds : sequence of str
        Of `KINDS`.
    sizes : sequence of float
        In robust deviations of the metric at its entity (interquartile range / 1.349); up or down is drawn. Where
        nothing was ever negative, nothing becomes negative.
    rows : (int, int)
        Least and greatest length, but for spikes.
    share : float in (0, 1]
        Of the metrics that move at an entity, at least one: so many are changed together.
    apart : Timedelta or text
        Least time from the end of an anomaly to the start of the next, and around `avoid`: more than that within which
        alarms are merged.
    avoid : DataFrame, optional
        Columns entity, start, end (NaT: still open): no anomaly is put there.
    seed : int

    Returns
    -------
    changed : DataFrame
        Of the shape of the panel.
    windows : DataFrame
        Columns entity, start, end, kind, size (NaN for the kinds without) and metrics (text, separated by commas).

    Raises
    ------
    ContractError
        For an unknown kind, a number out of its range, and a panel without room for a single anomaly.

    References
    ----------
    Goswami et al. (2023), "Unsupervised model selection for time-series anomaly detection", ICLR, section 3.2
    (arXiv 2210.01078): detectors are ranked much alike by anomalies that were put in and by real ones.

    Examples
    --------
    >>> times = pd.date_range("2026-01-01", periods=400, freq="1min", tz="UTC", name="timestamp").as_unit("us")
    >>> index = pd.MultiIndex.from_product([["web-1"], times], names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"load": np.sin(np.arange(400) / 9)}, index)
    >>> changed, windows = implant(panel, each=2, kinds=["level"], sizes=[3.0])
    >>> windows[["kind", "size", "metrics"]].to_records(index=False).tolist()
    [('level', 3.0, 'load'), ('level', 3.0, 'load')]
    >>> inside = changed.loc["web-1"].loc[windows["start"][0] : windows["end"][0]]
    >>> moved = inside["load"] - panel.loc["web-1"].loc[inside.index, "load"]
    >>> bool(8 <= len(moved) <= 32 and abs(moved).round(6).nunique() == 1)
    True
    """
    panel = validate(panel, "telemetry")
    _check(each, kinds, sizes, rows, share)
    changed, found = panel.copy(), []
    for entity, part in panel.groupby(level="entity", sort=False):
        times = part.index.get_level_values("timestamp")
        least, free, before = pd.Timedelta(apart), times[0], part.to_numpy()
        values, deviations = before.copy(), np.array([_deviation(column) for column in before.T])
        busy, rng = _busy(times, avoid, entity, least), stream(seed, "implants", str(entity))
        room = int((times[-1] - times[0]) / (2 * least)) if least else each
        count = min(each, len(part) // (ROOM * rows[1]), room)
        for k, _ in itertools.product(range(count), range(TRIES)):
            stretch = (len(part) * k // count, len(part) * (k + 1) // count)
            if times[stretch[0]] < free - least:  # this stretch has its anomaly
                continue
            one = _drawn(rng, before, deviations, stretch, kinds, sizes, rows, share)
            if one is None or busy[one.span].any() or times[one.span.start] < free:
                continue
            values[one.span, one.metrics] = one.values
            names = ",".join(panel.columns[one.metrics])
            found.append((entity, times[one.span.start], times[one.span.stop - 1], one.kind, one.size, names))
            free = times[one.span.stop - 1] + least
        changed.loc[[entity]] = values
    if not found:
        expected = f"an entity with {ROOM * rows[1]} rows or more, and time enough, and a metric that moves"
        raise ContractError(column="panel", expected=expected, got="none")
    return changed, pd.DataFrame(found, columns=["entity", "start", "end", "kind", "size", "metrics"])


class _Drawn(NamedTuple):
    span: slice
    metrics: np.ndarray
    kind: str
    size: float
    values: np.ndarray


def _check(each: int, kinds: Sequence[str], sizes: Sequence[float], rows: tuple[int, int], share: float) -> None:
    for kind in kinds:
        one_of(kind, KINDS, "kind")
    wrong = {
        "each": (each < 1, "a number from 1 up", each),
        "kinds": (not len(kinds), "one or more", kinds),
        "sizes": (not len(sizes) or not all(0 < size < np.inf for size in sizes), "numbers above 0", sizes),
        "rows": (not 2 <= rows[0] <= rows[1], "a least length from 2 up and a greatest", rows),
        "share": (not 0 < share <= 1, "a share above 0 and up to 1", share),
    }
    for name, (is_wrong, expected, got) in wrong.items():
        if is_wrong:
            raise ContractError(column=name, expected=expected, got=got)


def _deviation(column: np.ndarray) -> float:
    """Robust deviation; of a metric that is constant most of the time, the plain one."""
    known = column[~np.isnan(column)]
    if len(known) < 2:
        return 0.0
    low, high = np.quantile(known, [0.25, 0.75])
    return float((high - low) / IQR) or float(known.std())


def _busy(times: pd.DatetimeIndex, avoid: pd.DataFrame | None, entity: str, around: pd.Timedelta) -> np.ndarray:
    busy = np.zeros(len(times), dtype=bool)
    for known in () if avoid is None else avoid[avoid["entity"] == entity].itertuples():
        end = times[-1] if pd.isna(known.end) else known.end
        busy |= np.asarray((times >= known.start - around) & (times <= end + around))
    return busy


def _drawn(rng, before, deviations, stretch: tuple[int, int], kinds, sizes, rows, share) -> _Drawn | None:
    """An anomaly in a stretch of rows; None where it would hardly be one."""
    kind, size = str(rng.choice(list(kinds))), float(rng.choice(list(sizes)))
    length = SPIKE if kind == "spike" else int(rng.integers(rows[0], rows[1] + 1))
    start = int(rng.integers(stretch[0] + length, stretch[1] - 2 * length + 1))
    span = slice(start, start + length)
    moving = np.flatnonzero(deviations > 0)
    if not len(moving):
        return None
    metrics = np.sort(rng.choice(moving, max(1, round(share * len(moving))), replace=False))
    values = np.column_stack([_changed(kind, before[:, m], span, size * deviations[m], rng) for m in metrics])
    there = ~np.isnan(values)
    moved = np.abs(np.where(there, values - before[span, metrics], 0.0)) >= LEAST * deviations[metrics]
    if there.mean() < LEAST or not moved.any():
        return None
    return _Drawn(span, metrics, kind, size if kind in SIZED else np.nan, values)


def _changed(kind: str, column: np.ndarray, span: slice, off: float, rng: np.random.Generator) -> np.ndarray:
    own, length = column[span], span.stop - span.start
    off *= rng.choice([-1.0, 1.0])
    if kind in ("spike", "level"):
        new = own + off
    elif kind == "drift":
        new = own + off * np.arange(1, length + 1) / length
    elif kind == "spread":
        new = own + off * rng.normal(size=length)
    elif kind == "freeze":
        known = column[: span.start][~np.isnan(column[: span.start])]
        new = np.full(length, known[-1] if len(known) else np.nan)
    else:
        elsewhere = int(rng.integers(0, len(column) - 3 * length + 2))
        elsewhere += (2 * length - 1) * (elsewhere > span.start - length)
        new = column[elsewhere : elsewhere + length]
    new = np.maximum(new, 0.0) if np.nanmin(column) >= 0 else new
    return np.where(np.isnan(own) | np.isnan(new), own, new)
