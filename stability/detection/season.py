"""What was there some seasons ago: for each place in a season, the values of the last few times."""

from __future__ import annotations

__all__ = ["SLOTS", "enter", "nearest", "remember", "slots_of"]

import itertools

import numba
import numpy as np

from stability.detection.rows import Rows

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
    """An empty memory: values by entity, metric, place and age in seasons, and when each place was entered.

    Age 0 is the season that goes on; of each place the moments are kept at which it was entered last, and before.
    """
    return {
        "season": np.full((entities, metrics, SLOTS, seasons + 1), np.nan),
        "season_at": np.full((entities, SLOTS, 2), NEVER),
    }


@numba.njit(cache=True)
def enter(time, slot, season, at, held):
    """Place of a moment in the season (-1: there is none), and whether what is remembered of it is of use.

    Where the place is entered anew, what is held of it, of all metrics, becomes a season older.
    """
    slots = min(int(season / slot + 0.5), at.shape[0]) if slot > 0 else 0
    if slots < 2:
        return -1, False
    place = int(np.floor(time / slot + 0.5)) % slots
    seasons = held.shape[2] - 1
    if at[place, 0] == NEVER or time - at[place, 0] >= 0.5 * season:
        at[place, 1], at[place, 0] = at[place, 0], time
        for m in range(held.shape[0]):
            for j in range(seasons, 0, -1):
                held[m, place, j] = held[m, place, j - 1]
            held[m, place, 0] = np.nan
    return place, at[place, 1] > NEVER and at[place, 0] - at[place, 1] < (seasons + 0.5) * season


@numba.njit(cache=True)
def nearest(x, held, known):
    """Signed distance from the nearest value of the seasons before, NaN where there is none; x is held of this one."""
    gap = np.nan
    if known:
        for j in range(1, held.size):
            g = x - held[j]
            if not np.isnan(g) and not abs(g) >= abs(gap):
                gap = g
    held[0] = x
    return gap
