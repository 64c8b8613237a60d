"""Action priority after AIAG and VDA: what has to be acted on first, looked up in a table that is data."""

from __future__ import annotations

__all__ = ["action_priority", "order", "read_priorities", "risk_number"]

from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stability.schema import ContractError, home

TABLE = Path("data") / "fmea" / "action-priority.csv"
RATINGS = ("severity", "occurrence", "detection")
LEVELS = "LMH"  # rising
TOP = 10  # the worst rating
COLUMNS = [f"{rating}_{end}" for rating in RATINGS for end in ("lo", "hi")]


def read_priorities(path: str | PathLike | None = None) -> np.ndarray:
    """Read the table of priorities, and make sure that it answers every question once and never falls.

    Parameters
    ----------
    path : str or path, optional
        CSV with the ends of a band of each rating and the priority; lines after # are comments. Without, the one that
        ships.

    Returns
    -------
    array of shape (10, 10, 10), dtype str
        Priority H, M or L of severity, occurrence and detection, each less one.

    Raises
    ------
    ContractError
        For a file that is none, bands outside of 1 to 10, triples without a priority or with two, and a priority that
        falls where a rating rises.
    """
    file = home() / TABLE if path is None else Path(path)
    return _read(file, file.stat().st_mtime_ns if file.is_file() else 0)


@cache
def _read(file: Path, _changed: int) -> np.ndarray:
    try:
        rows = pd.read_csv(file, comment="#", dtype=dict.fromkeys(COLUMNS, "int64"))
        priorities = rows["priority"].tolist()
        bands = rows[COLUMNS].to_numpy()
    except (OSError, ValueError, KeyError) as error:
        expected = f"a CSV with the columns {', '.join([*COLUMNS, 'priority'])}"
        raise ContractError(file=file, expected=expected, got=str(error)) from error
    level, times = np.zeros((TOP,) * 3, dtype="int8"), np.zeros((TOP,) * 3, dtype="int64")
    for row, (band, priority) in enumerate(zip(bands, priorities, strict=True), 1):
        (a, b, c, d, e, f) = band
        if not (1 <= a <= b <= TOP and 1 <= c <= d <= TOP and 1 <= e <= f <= TOP and priority in tuple(LEVELS)):
            expected = f"bands from 1 to {TOP}, the lower end first, and H, M or L"
            raise ContractError(file=file, row=row, expected=expected, got=f"{band.tolist()}, {priority}")
        cell = np.s_[a - 1 : b, c - 1 : d, e - 1 : f]
        level[cell], times[cell] = LEVELS.index(priority), times[cell] + 1
    if (times != 1).any():
        severity, occurrence, detection = (int(n) + 1 for n in np.argwhere(times != 1)[0])
        got = f"{times.min()} to {times.max()}, first at S {severity}, O {occurrence}, D {detection}"
        raise ContractError(file=file, expected="one priority for each triple", got=got)
    if any((np.diff(level, axis=axis) < 0).any() for axis in range(3)):
        raise ContractError(file=file, expected="priorities that never fall where a rating rises", got="one that does")
    table = np.array(list(LEVELS))[level]
    table.setflags(write=False)
    return table


def _whole(values: ArrayLike, rating: str) -> np.ndarray:
    """Ratings as numbers, NaN where unknown; an error for any that is none."""
    try:
        numbers = np.asarray(values, dtype="float64")
    except (TypeError, ValueError) as error:
        raise ContractError(column=rating, expected=f"whole numbers from 1 to {TOP}", got=str(error)) from error
    known = numbers[~np.isnan(numbers)]
    wrong = known[(known < 1) | (known > TOP) | (known != np.round(known))]
    if wrong.size:
        raise ContractError(column=rating, expected=f"whole numbers from 1 to {TOP}", got=f"{wrong[0]:g}")
    return numbers


def action_priority(severity: ArrayLike, occurrence: ArrayLike, detection: ArrayLike) -> np.ndarray:
    """Look up the action priority: H must be acted on (or accepted by management, in writing), M should, L could.

    Parameters
    ----------
    severity, occurrence, detection : array-like of whole numbers from 1 to 10, of shapes that fit each other
        Ratings; NaN where unknown.

    Returns
    -------
    array of str
        'H', 'M' or 'L'; '' where a rating is unknown.

    Raises
    ------
    ContractError
        For a rating that is none.

    References
    ----------
    AIAG & VDA FMEA Handbook (2019), 1st edition: action priority of design and process FMEA.

    Examples
    --------
    >>> action_priority([9, 8, 4], [8, 5, 1], [1, 3, 10]).tolist()
    ['H', 'M', 'L']
    >>> str(action_priority(10, 2, 1))  # the highest severity alone is no high priority
    'L'
    """
    ratings = [_whole(v, r) for v, r in zip((severity, occurrence, detection), RATINGS, strict=True)]
    shaped = np.broadcast_arrays(*ratings)
    unknown = np.any(np.isnan(shaped), axis=0)
    places = tuple(np.where(unknown, 1.0, one).astype("int64") - 1 for one in shaped)
    return np.where(unknown, "", read_priorities()[places])


def risk_number(severity: ArrayLike, occurrence: ArrayLike, detection: ArrayLike) -> np.ndarray:
    """Multiply the three ratings: the old risk priority number, which here only orders modes of one priority.

    Returns
    -------
    array of float64
        1 to 1,000; NaN where a rating is unknown.

    Examples
    --------
    >>> risk_number([8], [5], [3]).tolist()
    [120.0]
    """
    one, two, three = (_whole(v, r) for v, r in zip((severity, occurrence, detection), RATINGS, strict=True))
    return one * two * three


def order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort modes: by action priority, then by risk priority number, then by severity, then by name.

    Parameters
    ----------
    table : DataFrame, index failure_mode
        With `severity`, `action_priority` and `rpn`; those without a priority come last.

    Examples
    --------
    >>> rows = {"severity": [3, 9], "rpn": [120, 54], "action_priority": ["L", "H"]}
    >>> order(pd.DataFrame(rows, index=pd.Index(["slow", "fire"], name="failure_mode"))).index.tolist()
    ['fire', 'slow']
    """
    level = table["action_priority"].map({name: place for place, name in enumerate(LEVELS)}).astype("float64")
    ranked = table.assign(_level=level, _name=table.index)
    ranked = ranked.sort_values(["_level", "rpn", "severity", "_name"], ascending=[False, False, False, True])
    return ranked.drop(columns=["_level", "_name"])
