"""ARIMA: how far a value lies from what the values before it predicted, in deviations of such misses."""

from __future__ import annotations

__all__ = ["Arima", "fit_order", "hannan_rissanen"]

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.season import SLOTS, slots_of
from stability.detection.settings import above_zero, whole
from stability.schema import ContractError

TO_SIGMA = 1.4826  # standard deviation over median absolute deviation of a Gaussian
CUT = 5.0  # deviations beyond which a value of the history is cut before coefficients are estimated
LONGEST = 20  # lags of the autoregression whose residuals stand for the innovations
FEWEST = 30  # values that coefficients are estimated from
STEADY = 0.995  # largest root: of the autoregression, and of the moving average
GAP = 64  # missing rows after which a prediction becomes no less certain


class Order(NamedTuple):
    """Coefficients of an ARIMA model of one series.

    Parameters
    ----------
    ar, ma : arrays of float64, shapes (p,) and (q,)
    differenced : bool
        Whether differences are modelled, d = 1, or values, d = 0.
    mean : float
        Of what is modelled.
    """

    ar: np.ndarray
    ma: np.ndarray
    differenced: bool
    mean: float


class Arima(Detector):
    r"""Score a value by its distance from its one-step prediction, in deviations of such distances in history.

    A season's course is taken out first, where the history shows that its seasons are alike. What is left is an
    ARIMA(p, d, q) process with d of 0 or 1,

    .. math:: w_t = c + \sum_i \phi_i w_{t-i} + \varepsilon_t + \sum_j \theta_j \varepsilon_{t-j}

    of which the coefficients and the order, by Schwarz's criterion, come from the history, once. Afterwards
    :math:`\varepsilon_t` follows from the recursion, a few products a row. A missing value counts as predicted, and the
    value after a gap is judged by the deviation that a prediction over the gap has. The score of a row is the sum over
    its metrics: several that miss a little are more than one (seen on SMD's machines 1-6 and 3-3).

    Parameters
    ----------
    ar, ma : int
        Largest p and q.
    season : float
        Seconds after which a course may repeat; 0 without.
    rows : int
        Last rows of an entity's history that the coefficients come from.
    floor : float
        The smallest deviation, as a share of the history's range.

    References
    ----------
    Hannan and Rissanen (1982), doi 10.1093/biomet/69.1.81 (estimation by two regressions); Schwarz (1978),
    doi 10.1214/aos/1176344136; Brockwell and Davis (1991), doi 10.1007/978-1-4419-0320-4, section 5.2 (innovations).

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=1000, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"queue_length": np.cumsum(rng.normal(size=1000))}, index=index)
    >>> panel.iloc[900:] += 10.0
    >>> scores = Arima().fit(panel.iloc[:600]).score(panel.iloc[600:])
    >>> scores.idxmax()[1].hour, scores.idxmax()[1].minute
    (15, 0)
    """

    name = "arima"
    own = ("scale",)  # the middle of several models is no model

    def __init__(self, *, ar: int = 4, ma: int = 2, season: float = 86_400.0, rows: int = 5_000, floor: float = 0.001):
        whole(0, ar=ar, ma=ma)
        whole(FEWEST, rows=rows)
        above_zero(floor=floor)
        if not 0 <= season < np.inf:
            raise ContractError(column="season", expected="seconds, or 0 without a season", got=season)
        self.ar, self.ma, self.season, self.rows, self.floor = ar, ma, season, rows, floor

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        entities, metrics = len(rows.entities), rows.values.shape[1]
        slot = slots_of(rows, self.season) if self.season else np.full(entities, np.nan)

        def one(place: tuple[int, int]) -> dict[str, np.ndarray]:
            e, m = place
            a, b = rows.starts[e : e + 2]
            return self._series(rows.times[a:b], rows.values[a:b, m], slot[e])

        places = list(itertools.product(range(entities), range(metrics)))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            series = list(pool.map(one, places))
        learnt = {key: np.stack([own[key] for own in series]) for key in series[0]} if series else {}
        return {key: kept.reshape(entities, metrics, *kept.shape[1:]) for key, kept in learnt.items()} | {"slot": slot}

    def _series(self, times: np.ndarray, values: np.ndarray, slot: float) -> dict[str, np.ndarray]:
        profile = _profile(times, values, slot, self.season * 1e6)
        flat = values - _at(profile, times, slot, self.season * 1e6)
        order = fit_order(flat[-self.rows :], self.ar, self.ma)
        ar, ma = np.zeros(self.ar), np.zeros(self.ma)
        ar[: len(order.ar)], ma[: len(order.ma)] = order.ar, order.ma
        state = _begin_series(self.ar, self.ma)
        head = np.array([float(order.differenced), order.mean])
        growth = _growth(ar, ma, order.differenced)
        missed = _filter(flat, ar, ma, head, state)
        scale = np.array(max(_spread(missed), self._least(flat)) if (~np.isnan(flat)).any() else np.nan)
        return {"ar": ar, "ma": ma, "head": head, "growth": growth, "profile": profile, "scale": scale}

    def _least(self, values: np.ndarray) -> float:
        """Smallest deviation: a share of the range, else of the level, else of 1."""
        known = values[~np.isnan(values)]
        level = np.abs(known).max(initial=0.0)
        reach = np.ptp(known) if len(known) else 0.0
        return self.floor * (reach if reach > 1e-12 * level else level or 1.0)

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {"state": np.tile(_begin_series(self.ar, self.ma), (entities, metrics, 1))}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        return _walk(
            rows.values, rows.times, rows.starts, np.nan_to_num(learnt["slot"]), self.season * 1e6,
            learnt["profile"], learnt["ar"], learnt["ma"], learnt["head"], learnt["growth"], learnt["scale"],
            state["state"],
        )  # fmt: skip

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(parts).all(axis=1), np.nan, np.nansum(parts, axis=1))


def fit_order(values: np.ndarray, ar: int, ma: int) -> Order:
    """Choose p, d and q, and estimate the coefficients, by Schwarz's criterion of the one-step misses.

    Parameters
    ----------
    values : array of float64, shape (n,)
        In time's order, NaN where missing.
    ar, ma : int
        Largest p and q.

    Returns
    -------
    Order
        Without any lag where there are fewer than 30 values, or nothing moves.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=4000)
    >>> order = fit_order(np.cumsum(noise), 3, 2)
    >>> order.differenced, len(order.ar), len(order.ma)
    (True, 0, 0)
    """
    known = values[~np.isnan(values)]
    best = Order(np.empty(0), np.empty(0), False, float(np.median(known)) if len(known) else 0.0)
    if len(known) < FEWEST or np.ptp(known) <= 1e-12 * np.abs(known).max():
        return best
    lowest = np.inf
    for differenced in (False, True):
        moved = np.diff(values) if differenced else values
        middle = np.nanmedian(moved)
        reach = TO_SIGMA * np.nanmedian(np.abs(moved - middle)) or np.nanstd(moved)
        cut = np.clip(moved, middle - CUT * reach, middle + CUT * reach)
        mean = 0.0 if differenced else float(np.nanmean(cut))
        for order in hannan_rissanen(cut - mean, ar, ma):
            order = order._replace(differenced=differenced, mean=mean)
            missed = _filter(values, order.ar, order.ma, np.array([float(differenced), mean]), _begin_series(ar, ma))
            misses = missed[LONGEST:][~np.isnan(missed[LONGEST:])]
            if len(misses) < FEWEST // 2:
                continue
            size = _spread(misses) ** 2
            criterion = len(misses) * np.log(max(size, np.finfo(float).tiny)) + np.log(len(misses)) * (
                len(order.ar) + len(order.ma) + (not differenced)
            )
            if criterion < lowest - 1e-9 * abs(lowest if np.isfinite(lowest) else 0.0):
                lowest, best = criterion, order
    return best


def _spread(misses: np.ndarray) -> float:
    """Deviation from 0, of misses that are cut where they are rare; NaN are left out."""
    known = misses[~np.isnan(misses)]
    if not len(known):
        return 0.0
    usual = TO_SIGMA * np.median(np.abs(known))
    return float(np.sqrt(np.mean((np.clip(known, -CUT * usual, CUT * usual) if usual > 0 else known) ** 2)))


def hannan_rissanen(values: np.ndarray, ar: int, ma: int) -> list[Order]:
    """Estimate ARMA(p, q) for all p and q up to `ar` and `ma`, by two regressions.

    A long autoregression's residuals stand for the innovations; the values are then regressed on their own lags and on
    lags of these. What is not stationary or not invertible is left out.

    Parameters
    ----------
    values : array of float64, shape (n,)
        Of mean 0, NaN where missing.
    ar, ma : int

    Returns
    -------
    list of Order
        Of d = 0 and mean 0; the first has no lag.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=20_000)
    >>> values = np.empty(20_000)
    >>> values[0] = noise[0]
    >>> for t in range(1, 20_000):
    ...     values[t] = 0.7 * values[t - 1] + noise[t] + 0.4 * noise[t - 1]
    >>> order = [o for o in hannan_rissanen(values, 1, 1) if len(o.ar) == len(o.ma) == 1][0]
    >>> order.ar.round(1).tolist(), order.ma.round(1).tolist()
    ([0.7], [0.4])
    """
    found = [Order(np.empty(0), np.empty(0), False, 0.0)]
    longest = min(LONGEST, len(values) // 10)
    if longest < 1:
        return found
    lags = _lagged(values, longest)
    long = _regression(lags, values)
    innovations = values - lags @ long if long is not None else np.full(len(values), np.nan)
    shocks = _lagged(innovations, max(ma, 1))
    for p, q in itertools.product(range(min(ar, longest) + 1), range(ma + 1)):
        if p + q == 0:
            continue
        weights = _regression(np.column_stack([lags[:, :p], shocks[:, :q]]), values)
        if weights is not None and _steady(weights[:p]) and _steady(-weights[p:]):
            found.append(Order(weights[:p], weights[p:], False, 0.0))
    return found


def _lagged(values: np.ndarray, count: int) -> np.ndarray:
    """Columns of the values 1, 2, ... rows before; NaN where there is none."""
    lags = np.full((len(values), count), np.nan)
    for k in range(1, count + 1):
        lags[k:, k - 1] = values[:-k]
    return lags


def _regression(columns: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    whole = ~(np.isnan(columns).any(axis=1) | np.isnan(values))
    if whole.sum() < max(FEWEST // 2, 2 * columns.shape[1]):
        return None
    return np.linalg.lstsq(columns[whole], values[whole], rcond=None)[0]


def _steady(weights: np.ndarray) -> bool:
    """Whether a recursion with these weights forgets."""
    if not len(weights):
        return True
    companion = np.diag(np.ones(len(weights) - 1), -1)
    companion[0] = weights
    return bool(np.abs(np.linalg.eigvals(companion)).max() < STEADY)


def _growth(ar: np.ndarray, ma: np.ndarray, differenced: bool) -> np.ndarray:
    """Deviation of a prediction over 0, 1, ... missing rows, in deviations of one over none."""
    psi = np.zeros(GAP)
    for k in range(GAP):
        psi[k] = 1.0 if k == 0 else (ma[k - 1] if k <= len(ma) else 0.0)
        psi[k] += sum(ar[i] * psi[k - 1 - i] for i in range(min(k, len(ar))))
    return np.sqrt(np.cumsum((np.cumsum(psi) if differenced else psi) ** 2))


def _profile(times: np.ndarray, values: np.ndarray, slot: float, season: float) -> np.ndarray:
    """Course of a season around its own mean, a number a place; zeros where one season says nothing of the others."""
    none = np.zeros(SLOTS)
    if not season or np.isnan(slot) or not len(times):
        return none
    slots = min(int(season / slot + 0.5), SLOTS)
    if slots < 2:
        return none
    place, number = (times / slot + 0.5).astype("int64") % slots, (times // season).astype("int64")
    number -= number.min()
    there = ~np.isnan(values)
    table = np.zeros((number.max() + 1, slots))
    count = np.zeros_like(table)
    np.add.at(table, (number[there], place[there]), values[there])
    np.add.at(count, (number[there], place[there]), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        table = table / count
    kept = (count > 0).mean(axis=1) >= 0.5
    if kept.sum() < 2:
        return none
    table = table[kept] - np.nanmean(table[kept], axis=1, keepdims=True)
    known = ~np.isnan(table)
    others = known.sum(axis=0) - known
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (np.nansum(table, axis=0) - np.nan_to_num(table)) / others
    both = known & (others > 0)
    if not np.sum((table - expected)[both] ** 2) < np.sum(table[both] ** 2):
        return none
    course = np.zeros(SLOTS)
    course[:slots] = np.nan_to_num(np.nansum(table, axis=0) / np.maximum(known.sum(axis=0), 1))
    return course


def _at(profile: np.ndarray, times: np.ndarray, slot: float, season: float) -> np.ndarray:
    slots = min(int(season / slot + 0.5), SLOTS) if season and slot > 0 else 0
    return profile[(times / slot + 0.5).astype("int64") % slots] if slots >= 2 else np.zeros(len(times))


def _begin_series(ar: int, ma: int) -> np.ndarray:
    """State before the first row: lags of what is modelled, lags of misses, the last value, missing rows, a flag."""
    return np.append(np.zeros(ar + ma), [0.0, 0.0, 0.0])


@numba.njit(cache=True, nogil=True)
def _step(x, ar, ma, differenced, mean, state):
    """Miss of the prediction of x, NaN without one; how many rows were missing before; the state goes on."""
    p, q = ar.size, ma.size
    level, gap, begun = state.size - 3, state.size - 2, state.size - 1
    if state[begun] == 0.0:
        if np.isnan(x):
            return np.nan, 0
        state[begun], state[level] = 1.0, x
        if not differenced:
            for i in range(state.size - 3):
                state[i] = 0.0
            _push(state, 0, p, x - mean)
        return np.nan, 0
    predicted = mean
    for i in range(p):
        predicted += ar[i] * state[i]
    for j in range(q):
        predicted += ma[j] * state[p + j]
    base = state[level] if differenced else 0.0
    missing = int(state[gap])
    miss = x - (base + predicted)
    if np.isnan(x):
        _push(state, 0, p, predicted - mean)
        _push(state, p, q, 0.0)
        state[level] = base + predicted
        state[gap] += 1
        return np.nan, missing
    _push(state, 0, p, x - base - mean)
    _push(state, p, q, miss)
    state[level], state[gap] = x, 0.0
    return miss, missing


@numba.njit(cache=True, nogil=True)
def _push(state, first, count, value):
    for i in range(first + count - 1, first, -1):
        state[i] = state[i - 1]
    if count > 0:
        state[first] = value


@numba.njit(cache=True, nogil=True)
def _filter(values, ar, ma, head, state):
    """Misses of one series."""
    missed = np.empty(values.size)
    for i in range(values.size):
        missed[i], _ = _step(values[i], ar, ma, head[0] > 0, head[1], state)
    return missed


@numba.njit(cache=True)
def _walk(values, times, starts, slot, season, profile, ar, ma, head, growth, scale, state):
    parts = np.full(values.shape, np.nan)
    for e in range(starts.size - 1):
        slots = min(int(season / slot[e] + 0.5), profile.shape[2]) if slot[e] > 0 else 0
        for i in range(starts[e], starts[e + 1]):
            place = int(np.floor(times[i] / slot[e] + 0.5)) % slots if slots >= 2 else -1
            for m in range(values.shape[1]):
                x = values[i, m] - (profile[e, m, place] if place >= 0 else 0.0)
                miss, gap = _step(x, ar[e, m], ma[e, m], head[e, m, 0] > 0, head[e, m, 1], state[e, m])
                if not np.isnan(miss):
                    wide = growth[e, m, min(gap, growth.shape[2] - 1)]
                    parts[i, m] = abs(miss) / (scale[e, m] * wide)
    return parts
