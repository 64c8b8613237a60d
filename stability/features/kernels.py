"""One pass over the rows of an entity for all statistics of a window: what is computed, without names or frames.

A window is a queue: rows come in at one end and leave at the other. Its aggregate is that of two stacks, of which the
older one holds the aggregates of all its ends. So nothing is ever subtracted: a large value that leaves takes its
rounding with it, and what a row gets depends on the rows of its window alone (Tangwongsan, Hirzel and Schneider 2017,
"Low-latency sliding-window aggregation in worst-case constant time", doi 10.1145/3093742.3093925, section 3).
Aggregates of moments are joined as by Chan, Golub and LeVeque (1983), doi 10.1080/00031305.1983.10483115.
"""

from __future__ import annotations

__all__ = [
    "MOMENTS",
    "averages",
    "live_averages",
    "live_moments",
    "live_quantiles",
    "live_slopes",
    "moments",
    "quantiles",
    "slopes",
]

import math

import numba
import numpy as np

MOMENTS = ("count", "mean", "std", "min", "max")
PER_SECOND = 1e-6  # times are microseconds


@numba.njit(parallel=True, cache=True, nogil=True)
def moments(values, times, starts, windows, places, out):
    """Count, mean, deviation, least and greatest value of each window.

    Parameters
    ----------
    values : array of float64, shape (metrics, n)
        NaN where missing.
    times : array of int64, shape (n,)
        Microseconds; rising within an entity.
    starts : array of int64, shape (entities + 1,)
    windows : array of int64, shape (windows,)
        Microseconds; a window is (t - length, t].
    places : array of int64, shape (metrics, windows, 5)
        Row of `out` for each of `MOMENTS`; -1 where it is not wanted.
    out : array of float64, shape (features, n)
        Is written.
    """
    metrics, entities = values.shape[0], len(starts) - 1
    for both in numba.prange(entities * metrics):
        e, m = both // metrics, both % metrics
        a, n = starts[e], starts[e + 1] - starts[e]
        x, t = values[m, a : a + n], times[a : a + n]
        older = np.empty((5, n))
        for w in range(len(windows)):
            first, border = 0, 0  # the older stack holds rows first..border, the newer one border..i
            fn, fm, fq, fl, fh = 0.0, 0.0, 0.0, np.inf, -np.inf
            for i in range(n):
                v = x[i]
                if v == v:
                    fn += 1
                    d = v - fm
                    fm += d / fn
                    fq += d * (v - fm)
                    fl, fh = min(fl, v), max(fh, v)
                edge = t[i] - windows[w]
                while t[first] <= edge:
                    first += 1
                if first >= border:
                    cn, cm, cq, cl, ch = 0.0, 0.0, 0.0, np.inf, -np.inf
                    for j in range(i, first - 1, -1):
                        v = x[j]
                        if v == v:
                            cn += 1
                            d = v - cm
                            cm += d / cn
                            cq += d * (v - cm)
                            cl, ch = min(cl, v), max(ch, v)
                        older[0, j], older[1, j], older[2, j], older[3, j], older[4, j] = cn, cm, cq, cl, ch
                    border = i + 1
                    fn, fm, fq, fl, fh = 0.0, 0.0, 0.0, np.inf, -np.inf
                    count, mean, square, low, high = cn, cm, cq, cl, ch
                else:
                    count = older[0, first] + fn
                    share = fn / count if count > 0 else 0.0
                    d = fm - older[1, first]
                    mean = older[1, first] + d * share
                    square = older[2, first] + fq + d * d * older[0, first] * share
                    low, high = min(older[3, first], fl), max(older[4, first], fh)
                _store(out, places[m, w], a + i, count, mean, square, low, high)


@numba.njit(inline="always")
def _store(out, place, at, count, mean, square, low, high):
    if place[0] >= 0:
        out[place[0], at] = count
    if place[1] >= 0:
        out[place[1], at] = mean if count > 0 else np.nan
    if place[2] >= 0:
        out[place[2], at] = math.sqrt(square / (count - 1)) if count > 1 else np.nan
    if place[3] >= 0:
        out[place[3], at] = low if count > 0 else np.nan
    if place[4] >= 0:
        out[place[4], at] = high if count > 0 else np.nan


@numba.njit(parallel=True, cache=True, nogil=True)
def slopes(values, times, starts, windows, places, out):
    """Slope of the least-squares line through each window, per second; `places` of shape (metrics, windows)."""
    metrics, entities = values.shape[0], len(starts) - 1
    for both in numba.prange(entities * metrics):
        e, m = both // metrics, both % metrics
        a, n = starts[e], starts[e + 1] - starts[e]
        x, t = values[m, a : a + n], times[a : a + n]
        older = np.empty((5, n))
        for w in range(len(windows)):
            if places[m, w] < 0:
                continue
            first, border = 0, 0
            fn, ft, fm, fs, fc = 0.0, 0.0, 0.0, 0.0, 0.0  # count, mean time, mean, squares of time, products
            for i in range(n):
                if x[i] == x[i]:
                    fn, ft, fm, fs, fc = _joined(fn, ft, fm, fs, fc, (t[i] - t[0]) * PER_SECOND, x[i])
                edge = t[i] - windows[w]
                while t[first] <= edge:
                    first += 1
                if first >= border:
                    cn, ct, cm, cs, cc = 0.0, 0.0, 0.0, 0.0, 0.0
                    for j in range(i, first - 1, -1):
                        if x[j] == x[j]:
                            cn, ct, cm, cs, cc = _joined(cn, ct, cm, cs, cc, (t[j] - t[0]) * PER_SECOND, x[j])
                        older[0, j], older[1, j], older[2, j], older[3, j], older[4, j] = cn, ct, cm, cs, cc
                    border = i + 1
                    fn, ft, fm, fs, fc = 0.0, 0.0, 0.0, 0.0, 0.0
                    count, spread, product = cn, cs, cc
                else:
                    on = older[0, first]
                    count = on + fn
                    weight = on * fn / count if count > 0 else 0.0
                    dt, dm = ft - older[1, first], fm - older[2, first]
                    spread = older[3, first] + fs + dt * dt * weight
                    product = older[4, first] + fc + dt * dm * weight
                out[places[m, w], a + i] = product / spread if count > 1 else np.nan


@numba.njit(inline="always")
def _joined(count, mean_time, mean, spread, product, time, value):
    """Aggregate of a stack with one value more."""
    count += 1
    dt, dm = time - mean_time, value - mean
    mean_time += dt / count
    mean += dm / count
    return count, mean_time, mean, spread + dt * (time - mean_time), product + dt * (value - mean)


@numba.njit(parallel=True, cache=True, nogil=True)
def quantiles(values, times, starts, windows, levels, places, out):
    """Quantiles of each window, linear between values; `places` of shape (metrics, windows, levels)."""
    metrics, entities = values.shape[0], len(starts) - 1
    for both in numba.prange(entities * metrics):
        e, m = both // metrics, both % metrics
        a, n = starts[e], starts[e + 1] - starts[e]
        x, t = values[m, a : a + n], times[a : a + n]
        rising = np.empty(n)  # the window's values in their order
        for w in range(len(windows)):
            first, count = 0, 0
            for i in range(n):
                if x[i] == x[i]:
                    place = np.searchsorted(rising[:count], x[i])
                    for j in range(count, place, -1):
                        rising[j] = rising[j - 1]
                    rising[place] = x[i]
                    count += 1
                edge = t[i] - windows[w]
                while t[first] <= edge:
                    if x[first] == x[first]:
                        place = np.searchsorted(rising[:count], x[first])
                        count -= 1
                        for j in range(place, count):
                            rising[j] = rising[j + 1]
                    first += 1
                for k in range(len(levels)):
                    if places[m, w, k] >= 0:
                        out[places[m, w, k], a + i] = _quantile(rising, count, levels[k])


@numba.njit(inline="always")
def _quantile(rising, count, level):
    if count == 0:
        return np.nan
    place = level * (count - 1)
    low = int(place)
    high = min(low + 1, count - 1)
    return rising[low] + (place - low) * (rising[high] - rising[low])


@numba.njit(parallel=True, cache=True, nogil=True)
def averages(values, times, starts, halves, places, out):
    """Averages whose weights halve with each half-life.

    Parameters
    ----------
    values, times, starts, out
        As in `moments`.
    halves : array of int64, shape (windows,)
        Half-lives, microseconds.
    places : array of int64, shape (metrics, windows)

    Returns
    -------
    array of float64, shape (entities, metrics, windows, 2)
        Weighted sum and weights after each entity's last row.
    """
    metrics, entities = values.shape[0], len(starts) - 1
    state = np.zeros((entities, metrics, len(halves), 2))
    for both in numba.prange(entities * metrics):
        e, m = both // metrics, both % metrics
        for w in range(len(halves)):
            total, weight = 0.0, 0.0
            for i in range(starts[e], starts[e + 1]):
                if i > starts[e]:
                    kept = 0.5 ** ((times[i] - times[i - 1]) / halves[w])
                    total *= kept
                    weight *= kept
                if values[m, i] == values[m, i]:
                    total += values[m, i]
                    weight += 1.0
                if places[m, w] >= 0:
                    out[places[m, w], i] = total / weight if weight > 0 else np.nan
            state[e, m, w, 0], state[e, m, w, 1] = total, weight
    return state


# ---- live: a ring of the last rows, each twice, so that any run of them lies in one piece --------------------------
@numba.njit(cache=True, nogil=True)
def _first(times, end, count, edge):
    """Position of the oldest of `count` rows before `end` that is younger than `edge`."""
    low, high = end - count, end
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= edge:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True, nogil=True)
def live_moments(values, times, ends, counts, slots, windows, places, out):
    """As `moments`, of the last row of some entities.

    Parameters
    ----------
    values : array of float64, shape (entities, metrics, 2 * capacity)
    times : array of int64, shape (entities, 2 * capacity)
    ends : array of int64, shape (entities,)
        Position behind the last row, in the second half of the ring.
    counts : array of int64, shape (entities,)
        Rows that are held.
    slots : array of int64, shape (n,)
        Whose last rows are meant.
    windows, places
        As in `moments`.
    out : array of float64, shape (n, features)
    """
    for r in range(len(slots)):
        e = slots[r]
        end = ends[e]
        now = times[e, end - 1]
        for w in range(len(windows)):
            first = _first(times[e], end, counts[e], now - windows[w])
            for m in range(values.shape[1]):
                x = values[e, m, first:end]
                pivot, count, off, low, high = x[-1], 0.0, 0.0, np.inf, -np.inf
                if pivot != pivot:
                    pivot = 0.0
                    for v in x:
                        if v == v:
                            pivot = v
                for v in x:
                    if v == v:
                        count += 1
                        off += v - pivot
                        low, high = min(low, v), max(high, v)
                mean = pivot + off / count if count > 0 else np.nan
                square = 0.0
                for v in x:
                    if v == v:
                        square += (v - mean) ** 2
                _store(out.T, places[m, w], r, count, mean, square, low, high)


@numba.njit(cache=True, nogil=True)
def live_slopes(values, times, ends, counts, slots, windows, places, out):
    """As `slopes`, of the last row of some entities; arguments as of `live_moments`."""
    for r in range(len(slots)):
        e = slots[r]
        end = ends[e]
        now = times[e, end - 1]
        for w in range(len(windows)):
            first = _first(times[e], end, counts[e], now - windows[w])
            for m in range(values.shape[1]):
                if places[m, w] < 0:
                    continue
                count, mean_time, mean, spread, product = 0.0, 0.0, 0.0, 0.0, 0.0
                for j in range(first, end):
                    if values[e, m, j] == values[e, m, j]:
                        moment = (times[e, j] - now) * PER_SECOND
                        count, mean_time, mean, spread, product = _joined(
                            count, mean_time, mean, spread, product, moment, values[e, m, j]
                        )
                out[r, places[m, w]] = product / spread if count > 1 else np.nan


@numba.njit(cache=True, nogil=True)
def live_quantiles(values, times, ends, counts, slots, windows, levels, places, out):
    """As `quantiles`, of the last row of some entities; arguments as of `live_moments`."""
    for r in range(len(slots)):
        e = slots[r]
        end = ends[e]
        now = times[e, end - 1]
        for w in range(len(windows)):
            first = _first(times[e], end, counts[e], now - windows[w])
            for m in range(values.shape[1]):
                x = values[e, m, first:end]
                rising = np.sort(x[~np.isnan(x)])
                for k in range(len(levels)):
                    if places[m, w, k] >= 0:
                        out[r, places[m, w, k]] = _quantile(rising, len(rising), levels[k])


@numba.njit(cache=True, nogil=True)
def live_averages(values, times, ends, counts, slots, halves, places, out, state):
    """As `averages`, of the last row of some entities; arguments as of `live_moments`, and the state goes on."""
    for r in range(len(slots)):
        e = slots[r]
        end = ends[e]
        for w in range(len(halves)):
            kept = 1.0
            if counts[e] > 1:
                kept = 0.5 ** ((times[e, end - 1] - times[e, end - 2]) / halves[w])
            for m in range(values.shape[1]):
                own = state[e, m, w]
                own[0] *= kept
                own[1] *= kept
                value = values[e, m, end - 1]
                if value == value:
                    own[0] += value
                    own[1] += 1.0
                if places[m, w] >= 0:
                    out[r, places[m, w]] = own[0] / own[1] if own[1] > 0 else np.nan
