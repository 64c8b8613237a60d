"""Like with like: values as distances from what their phase of the season usually brings."""

from __future__ import annotations

__all__ = ["LEAST_SEASONS", "Seasonal"]

import numpy as np

from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError

SLOTS = 24  # phases that are told apart: hours of a day
LEAST_SEASONS = 4  # of the reference: each is judged by the others
FLOOR = 0.25  # of the usual spread over all phases: the least that a phase may have, for some hold one value only
TO_DEVIATION = 1.4826  # the median absolute deviation of normal values, times this, is their standard deviation


class Seasonal:
    """Median and spread of each phase of a season.

    Values of the reference are compared with its other seasons, as later ones are with all of it: compared with
    themselves they would look tamer than anything that comes.

    Parameters
    ----------
    season : float
        Length, in s.
    slots : int
        Phases; fewer where rows are too far apart.

    Examples
    --------
    >>> times = np.arange(600.0)
    >>> day = Seasonal(60).learn(times, np.sin(times * np.pi / 30))
    >>> bool(np.abs(day.apply(times, np.sin(times * np.pi / 30))).max() < 2)
    True
    >>> bool(day.apply(np.array([15.0]), np.array([-1.0]))[0] < -5)
    True
    """

    def __init__(self, season: float, *, slots: int = SLOTS) -> None:
        if not season > 0:
            raise ContractError(column="season", expected="a length above 0, in s", got=season)
        self.season, self.slots = float(season), int(slots)

    def learn(self, times: np.ndarray, values: np.ndarray) -> Seasonal:
        """Learn what each phase brings.

        Parameters
        ----------
        times : array of float, shape (n,)
            In s, rising.
        values : array of float, shape (n,)
            NaN where missing.

        Returns
        -------
        Seasonal
            Itself; `residuals_` are the reference's own, each by the other seasons.

        Raises
        ------
        NotEnoughEvidence
            When the reference holds fewer than `LEAST_SEASONS` seasons.
        """
        steps = np.diff(times)
        rows = self.season / np.median(steps) if len(steps) else 0
        whole = (times[-1] - times[0] + np.median(steps)) / self.season if len(steps) else 0
        if not (whole >= LEAST_SEASONS and rows >= 2):
            raise NotEnoughEvidence(
                f"The reference holds {whole:.1f} seasons of {self.season:g} s: it needs {LEAST_SEASONS}, and two "
                "rows or more in each. Give a longer reference, or no season."
            )
        self.slots_ = int(min(self.slots, rows))
        number = np.floor((times - times[0]) / self.season).astype(int)
        place = self._places(times)
        width = np.bincount(number * self.slots_ + place).max()
        table = np.full((number.max() + 1, self.slots_, width), np.nan)
        keys = number * self.slots_ + place
        order = np.argsort(keys, kind="stable")
        within = np.arange(len(keys)) - np.searchsorted(keys[order], keys[order])
        table[number[order], place[order], within] = values[order]
        self.middle_, self.spread_ = _profile(table)
        self.residuals_ = np.full(len(times), np.nan)
        for one in range(len(table)):
            own = number == one
            others = _profile(np.delete(table, one, axis=0))
            self.residuals_[own] = _scaled(values[own], place[own], *others)
        return self

    def apply(self, times: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Give distances from the phase's median, in its spreads; NaN in a phase that the reference never saw."""
        return _scaled(np.asarray(values, dtype="float64"), self._places(times), self.middle_, self.spread_)

    def _places(self, times: np.ndarray) -> np.ndarray:
        phase = np.mod(times, self.season) / self.season
        return np.minimum((phase * self.slots_).astype(int), self.slots_ - 1)


def _profile(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and spread of each phase of values (seasons, slots, width)."""
    rows = np.moveaxis(table, 1, 0).reshape(table.shape[1], -1)
    there = ~np.isnan(rows).all(axis=1)
    middle, spread = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    if there.any():
        middle[there] = np.nanmedian(rows[there], axis=1)
        far = np.abs(rows[there] - middle[there, None])
        spread[there] = TO_DEVIATION * np.nanmedian(far, axis=1)
        overall = TO_DEVIATION * np.nanmedian(far)
        least = FLOOR * overall or FLOOR * np.nanmean(far) or 1.0
        spread[there] = np.maximum(spread[there], least)
    return middle, spread


def _scaled(values: np.ndarray, place: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return (values - middle[place]) / spread[place]
