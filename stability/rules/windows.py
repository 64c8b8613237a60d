"""What a range of samples comes to, at every time of evaluation: one pass over a series, without names or frames.

A window is a queue: samples come in at one end and leave at the other. Its aggregate is that of two stacks, of which
the older one holds the aggregates of all its ends, so that nothing is ever subtracted and a large value that leaves
takes its rounding with it (Tangwongsan, Hirzel and Schneider 2017, doi 10.1145/3093742.3093925, section 3). Sums are
carried with twice the digits (Dekker 1971, doi 10.1007/BF01397083), moments are joined as by Chan, Golub and LeVeque
(1983), doi 10.1080/00031305.1983.10483115.

Every kernel takes the samples of one series (times in microseconds, float64 values), the first sample of each window
and the one after its last, both of which never fall, and writes one float64 for each window; a window without samples,
or with too few, gets what is never looked at.
"""

from __future__ import annotations

__all__ = ["extremes", "quantiles", "rates", "totals", "trends"]

import math

import numba
import numpy as np

PER_SECOND = 1e-6
BORDER = 1.1  # mean distances of samples up to which a range is taken to reach to its end (Prometheus, functions.go)


@numba.njit(inline="always")
def _add(a, b, c, d):
    """(a + b) + (c + d), as a number and what is lost by rounding it."""
    total = a + c
    if not math.isfinite(total):
        return total, 0.0
    part = total - a
    rest = (a - (total - part)) + (c - part) + b + d
    whole = total + rest
    return whole, rest - (whole - total)


@numba.njit(cache=True, nogil=True)
def totals(values, lo, hi, mean, out):
    """Sum of each window, or its mean: correctly rounded but for the last bit in rare cases."""
    high, low = np.empty(len(values)), np.empty(len(values))
    border, end, s, e = 0, 0, 0.0, 0.0  # the older stack holds [lo, border), the newer one [border, end)
    for k in range(len(lo)):
        a, b = lo[k], hi[k]
        for i in range(end, b):
            s, e = _add(s, e, values[i], 0.0)
        end = max(end, b)
        if b <= a:
            continue
        if a >= border:
            s, e = 0.0, 0.0
            for i in range(end - 1, a - 1, -1):
                s, e = _add(s, e, values[i], 0.0)
                high[i], low[i] = s, e
            border, s, e = end, 0.0, 0.0
        total, rest = _add(high[a], low[a], s, e)
        if mean and math.isfinite(total):
            n = float(b - a)
            out[k] = total / n
            # What the division lost: n is small enough for both products to be exact.
            split = out[k] * 134217729.0
            upper = split - (split - out[k])
            if math.isfinite(upper):
                out[k] += (total - upper * n - (out[k] - upper) * n + rest) / n
        else:
            out[k] = total


@numba.njit(inline="always")
def _join(n, mx, my, xx, xy, yy, m, ux, uy, vxx, vxy, vyy):
    """Moments of two sets of points: count, means, sums of squares and products about the means."""
    total = n + m
    dx, dy, share = ux - mx, uy - my, n * m / total
    return (
        total,
        mx + dx * (m / total),
        my + dy * (m / total),
        xx + vxx + dx * dx * share,
        xy + vxy + dx * dy * share,
        yy + vyy + dy * dy * share,
    )


@numba.njit(cache=True, nogil=True)
def trends(times, values, lo, hi, at, kind, ahead, out):
    """Population deviation (kind 0), slope per second (1), or the line's value at `at` + `ahead` seconds (2)."""
    older = np.empty((6, len(values)))
    origin = times[0] if len(times) else 0
    run = np.zeros(len(values), np.int64)  # where the equal values that end here begin
    for i in range(1, len(values)):
        run[i] = run[i - 1] if values[i] == values[i - 1] else i
    border, end = 0, 0
    n, mx, my, xx, xy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(len(lo)):
        a, b = lo[k], hi[k]
        for i in range(end, b):
            x = (times[i] - origin) * PER_SECOND
            n, mx, my, xx, xy, yy = _join(n, mx, my, xx, xy, yy, 1.0, x, values[i], 0.0, 0.0, 0.0)
        end = max(end, b)
        if b <= a:
            continue
        if a >= border:
            n, mx, my, xx, xy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(end - 1, a - 1, -1):
                x = (times[i] - origin) * PER_SECOND
                n, mx, my, xx, xy, yy = _join(n, mx, my, xx, xy, yy, 1.0, x, values[i], 0.0, 0.0, 0.0)
                older[0, i], older[1, i], older[2, i] = n, mx, my
                older[3, i], older[4, i], older[5, i] = xx, xy, yy
            border = end
            n, mx, my, xx, xy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        o = older[:, a]
        count, cx, cy, sxx, sxy, syy = _join(o[0], o[1], o[2], o[3], o[4], o[5], n, mx, my, xx, xy, yy)
        flat = run[b - 1] <= a and math.isfinite(values[a])
        if kind == 0:
            out[k] = 0.0 if flat else math.sqrt(syy / count)
        elif kind == 1:
            out[k] = 0.0 if flat else sxy / sxx
        elif flat:
            out[k] = values[a]
        else:
            out[k] = cy + sxy / sxx * ((at[k] - origin) * PER_SECOND - cx + ahead)


@numba.njit(cache=True, nogil=True)
def extremes(values, lo, hi, sign, out):
    """Least (sign 1) or greatest (sign -1) value of each window; NaN only where there is nothing else."""
    queue = np.empty(len(values), np.int64)  # places of values that rise (times sign); the first is the window's
    head, tail, end = 0, 0, 0
    for k in range(len(lo)):
        for i in range(end, hi[k]):
            if math.isnan(values[i]):
                continue
            while tail > head and values[queue[tail - 1]] * sign >= values[i] * sign:
                tail -= 1
            queue[tail] = i
            tail += 1
        end = max(end, hi[k])
        while head < tail and queue[head] < lo[k]:
            head += 1
        out[k] = values[queue[head]] if head < tail else np.nan


@numba.njit(cache=True, nogil=True)
def quantiles(values, lo, hi, q, out):
    """Quantile of each window, between two values by their distance; NaN counts as less than anything."""
    ordered = np.empty(len(values))
    size, nans, a, b = 0, 0, 0, 0
    for k in range(len(lo)):
        if lo[k] >= b:  # nothing of the window before is left
            size, nans, a, b = 0, 0, lo[k], lo[k]
        for i in range(b, hi[k]):
            if math.isnan(values[i]):
                nans += 1
                continue
            place = np.searchsorted(ordered[:size], values[i])
            for j in range(size, place, -1):
                ordered[j] = ordered[j - 1]
            ordered[place] = values[i]
            size += 1
        b = max(b, hi[k])
        for i in range(a, lo[k]):
            if math.isnan(values[i]):
                nans -= 1
                continue
            place = np.searchsorted(ordered[:size], values[i])
            for j in range(place, size - 1):
                ordered[j] = ordered[j + 1]
            size -= 1
        a = lo[k]
        out[k] = _quantile(ordered, size, nans, q)


@numba.njit(inline="always")
def _quantile(ordered, size, nans, q):
    n = size + nans
    if n == 0 or math.isnan(q):
        return np.nan
    if q < 0:
        return -np.inf
    if q > 1:
        return np.inf
    rank = q * (n - 1)
    lower = max(0, math.floor(rank))
    upper = min(n - 1, lower + 1)
    weight = rank - math.floor(rank)
    if lower < nans:
        return np.nan
    return ordered[lower - nans] * (1 - weight) + ordered[upper - nans] * weight


@numba.njit(cache=True, nogil=True)
def rates(times, values, lo, hi, start, end, counter, per_second, out):
    """Growth over each range, stretched to its ends as Prometheus does it; restarts of a counter are made good.

    `start` and `end` are the ranges' own ends, microseconds. A window of fewer than two samples gets nothing.
    """
    restarts = np.flatnonzero(values[1:] < values[:-1]) + 1
    next_restart = 0
    for k in range(len(lo)):
        a, b = lo[k], hi[k]
        if b - a < 2:
            continue
        growth = values[b - 1] - values[a]
        if counter:
            while next_restart < len(restarts) and restarts[next_restart] <= a:
                next_restart += 1
            for r in range(next_restart, len(restarts)):
                if restarts[r] >= b:
                    break
                growth += values[restarts[r] - 1]
        before, after = (times[a] - start[k]) / 1e6, (end[k] - times[b - 1]) / 1e6
        sampled = (times[b - 1] - times[a]) / 1e6
        distance = sampled / (b - a - 1)
        if counter and growth > 0 and values[a] >= 0:
            before = min(before, sampled * (values[a] / growth))  # a counter was never below zero
        reach = sampled
        reach += before if before < distance * BORDER else distance / 2
        reach += after if after < distance * BORDER else distance / 2
        factor = reach / sampled
        if per_second:
            factor /= (end[k] - start[k]) / 1e6
        out[k] = growth * factor
