"""Series side by side at the times of evaluation: what an expression gives."""

from __future__ import annotations

__all__ = ["NAME", "Labels", "Vector", "dropped", "kept", "merged", "nameless"]

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stability.schema import ContractError

NAME = "__name__"
Labels = tuple[tuple[str, str], ...]
"""A label set: pairs of name and value, by name; labels without a value are not there."""


@dataclass(frozen=True)
class Vector:
    """An instant vector of Prometheus at every time of evaluation.

    Parameters
    ----------
    labels : list of Labels
        One a series, each label set once.
    values : array of float64, shape (series, times)
        Undefined where nothing is.
    present : array of bool, shape (series, times)
        Where the series is part of the vector: NaN is a value (0 / 0) and no absence.
    """

    labels: list[Labels]
    values: np.ndarray
    present: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def frame(self, times: np.ndarray) -> pd.DataFrame:
        """Lay the vector out as a table.

        Parameters
        ----------
        times : array of int64, shape (times,)
            Microseconds since 1970.

        Returns
        -------
        DataFrame of shape (times, series)
            Series that are never there are left out; columns by label set.
        """
        there = [k for k in range(len(self)) if self.present[k].any()]
        there.sort(key=lambda k: self.labels[k])
        names = sorted({name for k in there for name, _ in self.labels[k]})
        held = [dict(self.labels[k]) for k in there]
        columns = pd.MultiIndex.from_arrays(
            [[one.get(name, "") for one in held] for name in names] or [[""] * len(there)], names=names or [None]
        )
        values = np.where(self.present[there], self.values[there], np.nan).T
        return pd.DataFrame(values, index=stamps(times), columns=columns)


def stamps(times: np.ndarray) -> pd.DatetimeIndex:
    """Times of evaluation as an index; microseconds since 1970."""
    return pd.DatetimeIndex(np.asarray(times).view("datetime64[us]"), tz="UTC", name="timestamp")


def nameless(labels: Labels) -> Labels:
    """Label set without the metric's name."""
    return tuple(pair for pair in labels if pair[0] != NAME)


def kept(labels: Labels, names: Collection[str]) -> Labels:
    """Label set of these labels alone."""
    return tuple(pair for pair in labels if pair[0] in names)


def dropped(labels: Labels, names: Collection[str]) -> Labels:
    """Label set without these labels, and without the metric's name."""
    return tuple(pair for pair in labels if pair[0] not in names and pair[0] != NAME)


def merged(
    labels: Sequence[Labels], values: Iterable[np.ndarray], present: Iterable[np.ndarray], length: int, what: str
) -> Vector:
    """Make a vector of series of which some may have one label set, at different times.

    Parameters
    ----------
    labels : sequence of Labels
    values, present : iterable of array, shape (times,)
    length : int
        Number of times.
    what : str
        The expression, for the error.

    Raises
    ------
    ContractError
        If two series of one label set are there at the same time: Prometheus refuses such a vector.
    """
    places: dict[Labels, int] = {}
    rows: list[np.ndarray] = []
    there: list[np.ndarray] = []
    for one, value, seen in zip(labels, values, present, strict=True):
        if one not in places:
            places[one] = len(rows)
            rows.append(value)
            there.append(seen)
            continue
        at = places[one]
        if (there[at] & seen).any():
            told = ", ".join(f'{name}="{text}"' for name, text in one) or "no label"
            raise ContractError(
                expected="series that their labels tell apart",
                got=f"two with {{{told}}} in {what!r}",
                remedy="aggregate with by(), or match on more labels",
            )
        rows[at] = np.where(seen, value, rows[at])
        there[at] = there[at] | seen
    if not rows:
        return Vector([], np.empty((0, length)), np.empty((0, length), dtype=bool))
    return Vector(list(places), np.vstack(rows), np.vstack(there))
