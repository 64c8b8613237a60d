"""The short hand of promtool's unit tests: series, their values, label sets."""

from __future__ import annotations

__all__ = ["label_set", "series_of", "series_text", "values_of"]

import re
from itertools import groupby

import numpy as np
import promql_parser as promql

from stability.rules.history import Series
from stability.rules.vectors import NAME, Labels
from stability.schema import ContractError

MOST = 100_000  # values of one series: more are a recording, not a test
_NUMBER = r"(?:(?!0\d)\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_VALUE = re.compile(
    rf"(?P<first>[+-]?(?:{_NUMBER}|inf|nan))(?P<step>[+-]{_NUMBER})?(?:x(?P<times>\d+))?"
    r"|(?P<missing>_)(?:x(?P<absent>\d+))?|(?P<stale>stale)",
    re.I,
)


def values_of(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the values of a series.

    Parameters
    ----------
    text : str
        Separated by blanks: `3`, `0+10x20` (21 values, each 10 more), `5x3` (four times 5), `_` (no sample), `_x4`,
        `stale` (a staleness marker), `Inf`, `NaN`.

    Returns
    -------
    values : array of float64, shape (n,)
    stale : array of bool, shape (n,)
    there : array of bool, shape (n,)
        Where there is a sample or a marker.

    Raises
    ------
    ContractError
        For what promtool does not read.

    Examples
    --------
    >>> values, stale, there = values_of("0+10x2 _ stale 1")
    >>> values[there & ~stale].tolist(), stale.sum().item(), there.sum().item()
    ([0.0, 10.0, 20.0, 1.0], 1, 5)
    """
    values: list[float] = []
    marks: list[int] = []  # 0 a value, 1 a marker, 2 nothing
    for word in text.split():
        found = _VALUE.fullmatch(word)
        if found is None or (found["step"] and found["times"] is None) or (found["stale"] or "stale") != "stale":
            expected = "values such as '0+10x20', '5x3', '_', '_x4', 'stale', 'NaN'"
            raise ContractError(expected=expected, got=repr(word), remedy="separate values by blanks")
        count = int(found["times"] or found["absent"] or 0)
        if count + len(values) > MOST:
            raise ContractError(expected=f"at most {MOST:,} values of a series", got=f"{count:,}")
        if found["missing"]:
            count = count if found["absent"] else 1
            values += [np.nan] * count
            marks += [2] * count
        elif found["stale"]:
            values.append(np.nan)
            marks.append(1)
        else:
            steps = np.full(count + 1, float(found["step"] or 0))
            steps[0] = float(found["first"])
            values += np.add.accumulate(steps).tolist()  # one after the other, as promtool adds them up
            marks += [0] * (count + 1)
    kinds = np.array(marks, dtype=np.int64)
    return np.array(values, dtype=np.float64), kinds == 1, kinds != 2


def series_of(name: str, values: str, interval: int) -> Series:
    """Make a series of a test's text.

    Parameters
    ----------
    name : str
        Such as 'up{job="web"}'.
    values : str
        See `values_of`.
    interval : int
        Microseconds between two values; the first stands at 0.
    """
    found, stale, there = values_of(values)
    times = np.arange(len(found), dtype=np.int64) * interval
    return Series(label_set(name), times[there], found[there], stale[there])


def series_text(values: np.ndarray, present: np.ndarray) -> str:
    """Write the values of a series: a marker where it goes, nothing until it is back.

    Parameters
    ----------
    values : array of float64, shape (n,)
    present : array of bool, shape (n,)

    Examples
    --------
    >>> series_text(np.array([0.1, 0.1, 0.1, 0, 0, 0, 5]), np.array([1, 1, 1, 0, 0, 0, 1], dtype=bool))
    '0.1x2 stale _x2 5'
    """
    words = []
    for there, run in groupby(zip(present.tolist(), values.tolist(), strict=True), key=_same):
        count = sum(1 for _ in run)
        if there[0]:
            text = repr(there[1]).removesuffix(".0")
            words.append(f"{text}x{count - 1}" if count > 1 else text)
            continue
        if words:
            words.append("stale")
            count -= 1
        if count:
            words.append(f"_x{count}" if count > 1 else "_")
    return " ".join(words)


def _same(sample: tuple[bool, float]) -> tuple[bool, float]:
    return (True, sample[1]) if sample[0] else (False, 0.0)


def label_set(text: str) -> Labels:
    """Read a label set.

    Parameters
    ----------
    text : str
        Such as 'up{job="web"}', '{job="web"}' or '{}'.

    Raises
    ------
    ContractError

    Examples
    --------
    >>> label_set('up{job="web"}'), label_set("{}")
    ((('__name__', 'up'), ('job', 'web')), ())
    """
    if re.fullmatch(r"\s*(\{\s*\})?\s*", text):
        return ()
    try:
        node = promql.parse(text)
    except ValueError as error:
        raise _no_series(text, str(error)) from None
    if not isinstance(node, promql.VectorSelector) or node.offset is not None or node.at is not None:
        raise _no_series(text, "something else")
    labels = {NAME: node.name} if node.name else {}
    for matcher in node.matchers.matchers:
        if matcher.op != promql.MatchOp.Equal or matcher.name in labels:
            raise _no_series(text, f"{matcher}")
        labels[matcher.name] = matcher.value
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def _no_series(text: str, said: str) -> ContractError:
    return ContractError(expected='a series such as up{job="web"}', got=f"{text!r}: {said}")
