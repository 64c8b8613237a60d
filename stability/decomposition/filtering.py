"""The hot loop of the causal decomposition: one pass forward over many series, compiled."""

from __future__ import annotations

__all__ = ["NEVER", "STATE", "advance", "compiled"]

import functools
import math
from collections.abc import Callable

import numba

TO_SIGMA = 1.2533141373155001  # standard deviation over mean absolute deviation of a Gaussian, sqrt(pi / 2)
NEVER = -(2**62)  # microseconds: before any time
STATE = {  # the state's arrays in the order that `advance` takes them
    "level": "float64",
    "scale": "float64",
    "last": "int64",
    "origin": "int64",
    "memory": "float64",
    "knots": "float64",
    "offset": "float64",
    "periods": "int64",
    "points": "int64",
    "rates": "float64",
}


# One signature: a notebook must not compile the kernel again for arrays of another layout.
SIGNATURE = (
    "void(int64[::1], float64[:,::1], int64[::1], float64[::1], float64[::1], int64[::1], int64[::1], float64[::1],"
    "float64[:,:,::1], float64[:,::1], int64[:,::1], int64[:,::1], float64[:,::1], float64,"
    "float64[:,::1], float64[:,:,::1], float64[:,::1])"
)


@functools.cache
def compiled() -> Callable[..., None]:
    """Give `advance` in machine code, compiled at the first call: who only imports the package need not wait for it."""
    return numba.njit(SIGNATURE, cache=True, nogil=True)(advance)


def advance(times, values, which, level, scale, last, origin, memory, knots, offset, periods, points, rates, clip,
            trend, seasons, spread):  # fmt: skip
    """Predict each value, then learn from it; the state arrays are changed in place, the last three are the answer.

    With n times, m series, S series in the state, J seasons at most and B points of a season at most.

    Parameters
    ----------
    times : array of int64, shape (n,)
        Microseconds since 1970, increasing.
    values : array of float64, shape (n, m)
        NaN where missing.
    which : array of int64, shape (m,)
        The row of each series in the state.
    level, scale : array of float64, shape (S,)
        Level; robust standard deviation of the residual. NaN where nothing was seen yet.
    last, origin : array of int64, shape (S,)
        Time of the last value; where phases are counted from. In microseconds.
    memory : array of float64, shape (S,)
        Time constant of level and scale, in s.
    knots : array of float64, shape (S, J, B)
        Seasons, as points that lines connect round the cycle.
    offset : array of float64, shape (S, J)
        Mean of the points: it belongs to the trend.
    periods, points : array of int64, shape (S, J)
        Period in microseconds (0: no such season) and its number of points.
    rates : array of float64, shape (S, J)
        Share of a residual that a point learns.
    clip : float
        Standard deviations of a residual that are learnt at most.
    trend : array of float64, shape (n, m)
        Level before the value was seen; NaN without value or prediction.
    seasons : array of float64, shape (n, m, J)
        Each season at that time.
    spread : array of float64, shape (n, m)
        Scale of the residual before the value was seen; NaN before it is known.
    """
    for i in range(len(times)):
        for k in range(len(which)):
            s = which[k]
            y = values[i, k]
            trend[i, k] = math.nan
            spread[i, k] = scale[s]
            seasons[i, k, :] = math.nan
            if not math.isfinite(y):
                continue
            season = 0.0
            for j in range(periods.shape[1]):
                if periods[s, j] > 0:
                    place = ((times[i] - origin[s]) % periods[s, j]) * points[s, j] / periods[s, j]
                    left = int(place) % points[s, j]
                    part = place - int(place)
                    here = (1.0 - part) * knots[s, j, left] + part * knots[s, j, (left + 1) % points[s, j]]
                    seasons[i, k, j] = here - offset[s, j]
                    season += here
            if not math.isfinite(level[s]):
                # Nothing is known yet: no prediction, and the value is where the level starts.
                level[s] = y - season
                last[s] = times[i]
                seasons[i, k, :] = math.nan
                continue
            error = y - level[s] - season
            trend[i, k] = level[s]
            for j in range(periods.shape[1]):
                if periods[s, j] > 0:
                    trend[i, k] += offset[s, j]
            learnt = error
            size = abs(error)
            if scale[s] > 0.0:
                size = min(size, clip * scale[s])
                learnt = size if error > 0.0 else -size
            gain = 1.0 - math.exp(-(times[i] - last[s]) / 1e6 / memory[s])
            level[s] += gain * learnt
            scale[s] = TO_SIGMA * size if not scale[s] > 0.0 else scale[s] + gain * (TO_SIGMA * size - scale[s])
            last[s] = times[i]
            for j in range(periods.shape[1]):
                if periods[s, j] > 0:
                    place = ((times[i] - origin[s]) % periods[s, j]) * points[s, j] / periods[s, j]
                    left = int(place) % points[s, j]
                    part = place - int(place)
                    knots[s, j, left] += rates[s, j] * (1.0 - part) * learnt
                    knots[s, j, (left + 1) % points[s, j]] += rates[s, j] * part * learnt
                    offset[s, j] += rates[s, j] * learnt / points[s, j]
