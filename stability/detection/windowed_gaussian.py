"""Windowed Gaussian: the Numenta Anomaly Benchmark's own baseline, a tail probability under a sliding normal."""

from __future__ import annotations

__all__ = ["WindowedGaussian", "gaussian_tail"]

import math

import numba
import numpy as np

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.settings import whole
from stability.schema import ContractError

SMALLEST = 1e-6  # Numenta's deviation in place of exactly 0


class WindowedGaussian(Detector):
    r"""Score each value by how far out it lies in a normal distribution fitted to the values before it.

    .. math:: s_t = 1 - Q(|x_t - \mu| / \sigma), \quad Q(z) = \tfrac{1}{2}\,\mathrm{erfc}(z / \sqrt{2})

    Mean and (population) deviation are those of all values before the first `window` are full; from then on those of
    a window of that length which slides forward by `step` values at a time and stays where it is in between. The very
    first value scores 0, every other one at least 0.5. Each entity and metric has its own window.

    Parameters
    ----------
    window : int
        Values in a full window. The benchmark's authors chose 6400 for the best result on the benchmark itself.
    step : int
        Values by which a full window moves at a time; at most `window`.
    decimals : int or None
        Scores are rounded to so many decimals. The benchmark's published results (standard profile 39.65) were scored
        from files that hold 12, which makes every value beyond about 7 deviations equally certain; None keeps all
        digits, and scores 40.13 by the same rules.

    Attributes
    ----------
    metrics_ : list of str
        Columns of the history.
    fitted_on_ : dict
        ``{"entities": [...], "until": ISO time}``.

    Notes
    -----
    Causal. The rows of an entity that all come after its history go on from the end of it, as if both had been scored
    at once; otherwise the entity starts anew, as each file of the benchmark does: there, fit and score the same panel.
    A missing value is not scored and does not enter the window (the benchmark has none). Mean and deviation of the
    growing window follow Welford's recursion; on the benchmark all scores agree with Numenta's direct sums to 1e-12.
    Where the past is constant its deviation is exactly 0 here and becomes 1e-6, as it is meant there; in Numenta's
    sums rounding can leave 1e-17 instead, and a value that rests then scores .84.

    References
    ----------
    github.com/numenta/NAB, nab/detectors/gaussian/windowedGaussian_detector.py at ea702d7; Lavin and Ahmad (2015),
    doi 10.1109/ICMLA.2015.141; Welford (1962), doi 10.1080/00401706.1962.10490022.

    Examples
    --------
    >>> import pandas as pd
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"queue_length": [1.0, 3.0, 2.0, 4.0]}, index=index)
    >>> WindowedGaussian().fit(panel).score(panel).round(3).tolist()  # 4 lies 2 / 0.816 deviations out
    [0.0, 1.0, 0.5, 0.993]
    """

    name = "windowed_gaussian"

    def __init__(self, *, window: int = 6400, step: int = 100, decimals: int | None = 12):
        _check(window, step)
        self.window, self.step, self.decimals = window, step, decimals

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        moments = np.zeros((entities, 4, metrics))  # count, mean, sum of squared distances, deviation
        moments[:, 3] = 1.0
        return {"moments": moments, "window": np.zeros((entities, metrics, self.window))}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        scores = _walk(rows.values, rows.starts, state["moments"], state["window"], self.step)
        return _rounded(scores, self.decimals)


def gaussian_tail(values: np.ndarray, window: int = 6400, step: int = 100, decimals: int | None = 12) -> np.ndarray:
    """Score one series of values in their order, as `WindowedGaussian` does.

    Parameters
    ----------
    values : array of float64, shape (n,)
        In any unit; NaN where missing.
    window, step, decimals
        As in `WindowedGaussian`.

    Returns
    -------
    array of float64, shape (n,), from 0 to 1
        NaN where the value is missing.

    Raises
    ------
    ContractError
        When `step` is not between 1 and `window`.

    Examples
    --------
    >>> gaussian_tail(np.array([1.0, 3.0, 2.0, 4.0]), window=2, step=1).round(3).tolist()
    [0.0, 1.0, 0.5, 0.999]
    """
    _check(window, step)
    column = np.array(values, dtype="float64", order="C").reshape(-1, 1)
    state = WindowedGaussian(window=window, step=step)._begin(1, 1)
    scores = _walk(column, np.array([0, len(column)]), state["moments"], state["window"], step)
    return _rounded(scores[:, 0], decimals)


def _check(window: int, step: int) -> None:
    whole(step=step, window=window)
    if not step <= window:
        expected = "a whole number from 1 up to the window"
        raise ContractError(column="step", expected=expected, got=f"step {step} with window {window}")


def _rounded(scores: np.ndarray, decimals: int | None) -> np.ndarray:
    return scores if decimals is None else scores.round(decimals)


@numba.njit(cache=True)
def _walk(values, starts, moments, windows, step):
    """Scores of all metrics (columns) of all entities (runs of rows between `starts`); the state goes on in place."""
    scores = np.full(values.shape, np.nan)
    window = windows.shape[2]
    for e in range(starts.size - 1):
        for m in range(values.shape[1]):
            held = windows[e, m]  # the last full window and, from its oldest place on, what has come since
            count, mean, squares, deviation = moments[e, :, m]
            for i in range(starts[e], starts[e + 1]):
                x = values[i, m]
                if np.isnan(x):
                    continue
                mirrored = x if x >= mean else 2 * mean - x
                tail = 0.5 * math.erfc((mirrored - mean) / deviation / math.sqrt(2.0))
                scores[i, m] = 1.0 - tail if count > 0 else 0.0
                held[int(count) % window] = x
                count += 1
                if count <= window:
                    gap = x - mean
                    mean += gap / count
                    squares += gap * (x - mean)
                    deviation = math.sqrt(squares / count)
                elif (count - window) % step == 0:
                    mean = held[0] + (held - held[0]).mean()  # exact where the window is constant
                    deviation = math.sqrt(((held - mean) ** 2).mean())
                else:
                    continue
                if deviation == 0.0:
                    deviation = SMALLEST
            moments[e, 0, m], moments[e, 1, m], moments[e, 2, m], moments[e, 3, m] = count, mean, squares, deviation
    return scores
