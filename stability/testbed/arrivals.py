"""When users ask and for what: a Poisson process whose rate has a day, a trend, bursts and campaigns; items by Zipf."""

from __future__ import annotations

__all__ = ["DAY", "Arrivals"]

import math
from collections.abc import Iterator

import numpy as np

from stability.testbed.task import ITEMS

DAY = 600.0  # s; the first one begins when the service is put into use
SWING = 0.35  # of the day, as a share of the mean rate
TREND = 0.04  # growth an hour
BURST = 1.5  # the rate of a burst, as a multiple
BURST_EVERY, BURST_SECONDS = 120.0, (2.0, 6.0)  # mean time between bursts, and how long they are
ZIPF = 0.9  # exponent: the most popular item gets 6 % of the requests, so that no single one decides on the quality
POPULARITY = 20_260_302  # seed of which items are popular: that belongs to the world, not to a recording
DRAWN = 4096  # draws at a time


class Arrivals:
    """The process: equal seeds give equal draws, whenever they are asked for and whatever becomes of the requests.

    Parameters
    ----------
    rate : float
        Mean arrivals a second.
    seed : int
        Of gaps, items and bursts.
    begun : float
        When it begins, in s since 1970: bursts count from there.
    age : float
        s for which the service has been in use by then: day and trend count from its begin.
    """

    def __init__(self, rate: float, seed: int, begun: float, age: float = 0.0) -> None:
        self.mean, self.begun, self.age = rate, begun, age
        draws, bursts = (np.random.default_rng([seed, part]) for part in range(2))
        self._gaps, self._bursts = _drawn(draws), _burst_spans(bursts)
        self._burst = next(self._bursts)
        self._campaigns: list[tuple[float, float, float]] = []

    def campaign(self, factor: float, begin: float, end: float) -> None:
        """Multiply the rate by a factor from `begin` to `end`, in s since 1970."""
        self._campaigns.append((factor, begin, end))

    def rate(self, now: float) -> float:
        """Arrivals a second at `now` (s since 1970), which must not go back behind the burst asked for last.

        Examples
        --------
        >>> arrivals = Arrivals(60.0, seed=1, begun=0.0)
        >>> arrivals.campaign(2.0, 20.0, 30.0)
        >>> [round(arrivals.rate(now), 1) for now in (0.0, 20.0)]
        [60.0, 128.8]
        """
        since = now - self.begun
        age = since + self.age
        rate = self.mean * (1 + SWING * math.sin(2 * math.pi * age / DAY)) * (1 + TREND * age / 3600)
        while since >= self._burst[1]:
            self._burst = next(self._bursts)
        if since >= self._burst[0]:
            rate *= BURST
        for factor, begin, end in self._campaigns:
            if begin <= now < end:
                rate *= factor
        return rate

    def after(self, now: float) -> tuple[float, int]:
        """The arrival that follows one at `now`: its moment in s since 1970, and the item that is asked for.

        Notes
        -----
        A gap of a process of rate 1 divided by the rate at its begin: exact as long as the rate changes little between
        two arrivals, and a campaign that nobody foresaw takes effect at once.
        """
        gap, item = next(self._gaps)
        return now + gap / self.rate(now), item


def _drawn(rng: np.random.Generator) -> Iterator[tuple[float, int]]:
    order = np.random.default_rng(POPULARITY).permutation(ITEMS)
    upto = np.cumsum(np.arange(1, ITEMS + 1) ** -ZIPF)
    while True:
        ranks = np.searchsorted(upto, rng.random(DRAWN) * upto[-1], side="right")
        yield from zip(rng.exponential(1.0, DRAWN).tolist(), order[ranks].tolist(), strict=True)


def _burst_spans(rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    end = 0.0
    while True:
        begin = end + rng.exponential(BURST_EVERY)
        end = begin + rng.uniform(*BURST_SECONDS)
        yield begin, end
