"""What was there some seasons ago: for each place in a season, the values of the last few times."""

from __future__ import annotations

__all__ = ["SLOTS", "nearest", "place_of", "remember", "slots_of"]

import itertools

import numba
import numpy as np

from stability.detection.manner import Rows

SLOTS = 288  # places of a season that are told apart at most: five minutes of a day
NEVER = np.iinfo("int64").min


def slots_of(rows: Rows, season: float) -> np.ndarray:
    """How long a place of the season is, in microseconds, for each entity: the usual step of its rows, or more.

    Parameters
    ----------
    rows : Rows
        Of the history.
    season : float
        Length of a season, in s.

    Returns
    -------
    array of float64, shape (entities,)
        NaN where there is one row only.
    """
    steps = [np.median(np.diff(rows.times[a:b])) if b - a > 1 else np.nan for a, b in itertools.pairwise(rows.starts)]
    return np.maximum(np.array(steps, dtype="float64"), season * 1e6 / SLOTS)


def remember(entities: int, metrics: int, seasons: int) -> dict[str, np.ndarray]:
    """An empty memory: values by entity, metric, place and age, and when each place was seen last."""
    return {
        "season": np.full((entities, metrics, SLOTS, seasons), np.nan, dtype="float32"),
        "season_at": np.full((entities, SLOTS), NEVER),
    }


@numba.njit(cache=True)
def place_of(time, slot, season, seen, seasons):
    """Place of a moment in the season (-1: there is none), and whether what is remembered of it is of use."""
    slots = min(int(season / slot + 0.5), seen.size) if slot > 0 else 0
    if slots < 2:
        return -1, False
    place = int(np.floor(time / slot + 0.5)) % slots
    age = time - seen[place]
    return place, seen[place] > NEVER and 0.5 * season < age < (seasons + 0.5) * season


@numba.njit(cache=True)
def nearest(x, held, known):
    """Signed distance from the nearest value held of this place, NaN where there is none; x is held from now on."""
    gap = np.nan
    if known:
        for j in range(held.size):
            g = x - held[j]
            if not np.isnan(g) and not abs(g) >= abs(gap):
                gap = g
    for j in range(held.size - 1, 0, -1):
        held[j] = held[j - 1]
    held[0] = x
    return gap
