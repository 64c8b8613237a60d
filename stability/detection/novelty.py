"""Novelty: a bank of causal channels, each of which is compared with the largest events of its own past."""

from __future__ import annotations

__all__ = ["CHANNELS", "Novelty"]

import numba
import numpy as np

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.season import enter, nearest, remember, slots_of
from stability.detection.settings import whole
from stability.schema import ContractError

GROUPS = {
    "above": ("value", "mean of 8", "mean of 32"),
    "below": ("value", "mean of 8", "mean of 32"),
    "change": ("up", "down"),
    "spread": ("deviation of 8", "deviation of 32"),
    "season": ("difference", "mean of 12 differences"),
}
CHANNELS = tuple(f"{group}: {channel}" for group, channels in GROUPS.items() for channel in channels)
"""Names of the channels, in the order of the kernel."""
BOUNDS = np.cumsum([0, *(len(channels) for channels in GROUPS.values())])
SHORT, LONG, DAILY = 8, 32, 12  # values of the windows
FLOOR = 1e-6  # of the usual size of the values: what differs by less is rounding
CAP = 3.0  # largest log ratio of one comparison, a factor of 20: a constant that moves is no infinite surprise


class Novelty(Detector):
    r"""Score a value by how much more extreme it is than the most extreme separate events that its metric has known.

    Each metric is looked at through channels, none of which sees the future: how far the value, and the mean of the
    last 8 and 32, lie above or below a slow mean; the change from the value before; the deviation of the last 8 and
    32; the difference to the nearest of the values one, two, ... seasons ago, and the mean of the last 12 of these.
    For a channel's value :math:`v` and the :math:`K` largest events :math:`t_1 \ge \dots \ge t_K` of its past, which
    lie at least `apart` rows from each other,

    .. math:: n = \frac{1}{K} \sum_k \max(0, \log(v / t_k)).

    So what has happened once is half known, what has happened K times is known and stays so, and one freak in the past
    hides nothing of what comes later. Channels of a group say the same in several ways: their quadratic mean counts.
    Groups are added up, and the sum is multiplied by :math:`r / (r + 3 w)` after r rows with a warm-up of w, because a
    record is worth the more, the longer it has stood.

    Parameters
    ----------
    known : int
        K, events that are remembered of each channel.
    apart : int
        Rows within which two extremes are one event.
    warmup : int
        Rows before the first judgement.
    memory : int
        Rows of the slow mean.
    season : float
        Seconds after which values are expected to repeat; 0 without a season.
    seasons : int
        Past seasons of which the one that was nearest at this place counts: 8 days hold a week, so that a Sunday, or
        a holiday that is like one, is nothing new.

    Notes
    -----
    Ratios make the score free of units and scales: one threshold serves metrics of any kind. A score above 0 is an
    event and not a state: it comes when something new begins, and falls back when it lasts. The alarm policy keeps
    what has begun; what lasts is new only once.

    References
    ----------
    Novelty against own records is what the best detectors of the Numenta benchmark do in common, each in its own way:
    Burnaev and Ishimtsev (2016), arXiv 1608.04585 (conformal); Ahmad et al. (2017), doi 10.1016/j.neucom.2017.04.070.
    Records of exchangeable rows become rare as 1/r: Arnold, Balakrishnan and Nagaraja (1998), Records, section 2.5.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=600, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"queue_length": rng.normal(size=600)}, index=index)
    >>> panel.iloc[500] = 30.0
    >>> scores = Novelty(warmup=100).fit(panel.iloc[:300]).score(panel.iloc[300:])
    >>> scores.idxmax()[1].minute, bool(scores.max() > 5 * scores.iloc[:200].max())
    (20, True)
    """

    name = "novelty"

    def __init__(
        self,
        *,
        known: int = 4,
        apart: int = 12,
        warmup: int = 200,
        memory: int = 4000,
        season: float = 86_400.0,
        seasons: int = 8,
    ):
        whole(known=known, warmup=warmup, memory=memory, seasons=seasons)
        whole(0, apart=apart)
        if not 0 <= season < float("inf"):
            raise ContractError(column="season", expected="seconds, or 0 without a season", got=season)
        self.known, self.apart, self.warmup, self.memory = known, apart, warmup, memory
        self.season, self.seasons = season, seasons

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        return {"slot": slots_of(rows, self.season) if self.season else np.zeros(len(rows.entities))}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        series = (entities, metrics)
        return remember(entities, metrics, self.seasons) | {
            "count": np.zeros(series),
            "centre": np.zeros(series),
            "size": np.zeros(series),
            "recent": np.zeros((*series, LONG)),
            "away": np.full((*series, DAILY + 1), np.nan),
            "top": np.zeros((*series, len(CHANNELS), self.known)),
            "top_at": np.full((*series, len(CHANNELS), self.known), -np.inf),
        }

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        return _walk(
            rows.values,
            rows.times,
            rows.starts,
            np.nan_to_num(learnt["slot"]),
            self.season * 1e6,
            BOUNDS,
            self.apart,
            self.warmup,
            self.memory,
            *state.values(),
        )

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        known = ~np.isnan(parts).all(axis=1) if parts.shape[1] else np.zeros(len(parts), dtype=bool)
        return np.where(known, np.sqrt(np.nansum(parts**2, axis=1)), np.nan)


@numba.njit(cache=True)
def _walk(
    values, times, starts, slot, season, bounds, apart, warmup, memory,
    seasonal, seasonal_at, count, centre, size, recent, away, top, top_at,
):  # fmt: skip
    """Novelty of all metrics (columns) of all entities (runs of rows between `starts`); the state goes on in place."""
    scores = np.full(values.shape, np.nan)
    channels = np.zeros(top.shape[2])
    found = np.zeros(top.shape[2])
    for e in range(starts.size - 1):
        for i in range(starts[e], starts[e + 1]):
            place, ago = enter(times[i], slot[e], season, seasonal_at[e], seasonal[e])
            for m in range(values.shape[1]):
                x = values[i, m]
                if np.isnan(x):
                    continue
                _look(x, count[e, m], centre[e, m], recent[e, m], channels)
                channels[10], channels[11] = 0.0, 0.0
                if place >= 0:
                    gap = nearest(x, seasonal[e, m, place], ago)
                    if not np.isnan(gap):
                        _look_back(gap, away[e, m], channels)
                judged = count[e, m] >= warmup
                least = FLOOR * size[e, m]
                for c in range(channels.size):
                    found[c] = _compare(channels[c], count[e, m], top[e, m, c], top_at[e, m, c], apart, least, judged)
                if judged:
                    total = 0.0
                    for g in range(bounds.size - 1):
                        square = 0.0
                        for c in range(bounds[g], bounds[g + 1]):
                            square += found[c] * found[c]
                        total += np.sqrt(square / (bounds[g + 1] - bounds[g]))
                    scores[i, m] = total * count[e, m] / (count[e, m] + 3 * warmup)
                recent[e, m, int(count[e, m]) % recent.shape[2]] = x
                count[e, m] += 1
                gain = 1 / min(count[e, m], memory)
                centre[e, m] += gain * (x - centre[e, m])
                size[e, m] += gain * (abs(x) - size[e, m])
    return scores


@numba.njit(cache=True)
def _look(x, count, centre, recent, channels):
    """Level, change and spread, given the values before."""
    channels[:10] = 0.0
    if count == 0:
        return
    channels[0], channels[3] = max(x - centre, 0.0), max(centre - x, 0.0)
    n = int(count)
    step = x - recent[(n - 1) % recent.size]
    channels[6], channels[7] = max(step, 0.0), max(-step, 0.0)
    for k in range(2):
        length = SHORT if k == 0 else LONG
        if n + 1 < length:
            continue
        total = 0.0
        for j in range(1, length):
            total += recent[(n - j) % recent.size] - x
        mean = total / length  # from x
        squares = mean * mean
        for j in range(1, length):
            gap = recent[(n - j) % recent.size] - x - mean
            squares += gap * gap
        mean += x
        channels[1 + k], channels[4 + k] = max(mean - centre, 0.0), max(centre - mean, 0.0)
        channels[8 + k] = np.sqrt(squares / length)


@numba.njit(cache=True)
def _look_back(gap, away, channels):
    """Difference to a season ago; the last place of `away` counts them."""
    known = 0.0 if np.isnan(away[-1]) else away[-1]
    away[int(known) % (away.size - 1)] = gap
    away[-1] = known + 1
    total, held = 0.0, min(int(known) + 1, away.size - 1)
    for j in range(held):
        total += away[j]
    channels[10], channels[11] = abs(gap), abs(total) / held


@numba.njit(cache=True)
def _compare(v, now, top, at, apart, least, judged):
    """Mean log ratio of a channel's value over the events that it exceeds; the value becomes one of them."""
    last = top.size - 1
    if v <= top[last]:
        return 0.0
    found = 0.0
    if judged and v > least:
        for k in range(top.size):
            if v > top[k]:
                found += min(np.log(v / max(top[k], least)), CAP) if max(top[k], least) > 0 else CAP
    j = last
    for k in range(top.size):  # an extreme near to a known one is the same event: the larger of the two stays
        if now - at[k] <= apart:
            if v <= top[k]:
                return found / top.size
            j = k
    while j > 0 and top[j - 1] < v:
        top[j], at[j] = top[j - 1], at[j - 1]
        j -= 1
    top[j], at[j] = v, now
    return found / top.size
