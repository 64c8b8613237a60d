"""STL and MSTL over a whole panel: for looking at the past, never for judging the next value."""

from __future__ import annotations

__all__ = ["decompose"]

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.decomposition.grid import PROFILE_POINTS, on_grid, profile_of, running_mean, series_of
from stability.decomposition.periods import FINDING, given_periods, search
from stability.decomposition.table import Block, components_table, season_column
from stability.schema import ContractError, validate

FEWEST = 8  # values below which nothing can be told apart
TREND_SHARE = 0.2  # of the series, the window of a trend that no period gives a scale to
JUMPS = 10  # smoothings a window; between them lines, as R's stl does
# A third of the work of statsmodels' 15 rounds of reweighting; the season they end with differs by 0.03 to 0.06 of the
# noise's standard deviation where 1 % of the values and a fault of three hours lie far out.
ROBUST = {"robust": True, "inner_iter": 1, "outer_iter": 5}
PLAIN = {"robust": False, "inner_iter": 2, "outer_iter": 0}


class Job(NamedTuple):
    """One series to decompose, and how; plain enough to travel to another process."""

    times: np.ndarray
    values: np.ndarray
    periods: tuple[float, ...] | None  # s; None: to be found
    method: str
    robust: bool
    seasonal: int | None
    trend: float | None
    resolution: int


def decompose(
    panel: pd.DataFrame,
    *,
    method: str = "mstl",
    periods: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    robust: bool = True,
    seasonal: int | None = None,
    trend: float | None = None,
    resolution: int = PROFILE_POINTS,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Take every series of a panel apart: observed = trend + seasonal + resid.

    Two-sided: each component at t depends on values after t, so nothing of it may feed a detector or a feature
    (`CausalDecomposition` may). Each series is put on its regular grid; gaps are bridged for the fit only, by the
    median profile of each period plus a line, and come back as missing. Smoothing jumps a tenth of its window and
    draws lines between, and long periods are fitted at `resolution`: a day of 1,440 minutes in fractions of a second.

    Parameters
    ----------
    panel : DataFrame
        Telemetry: index (entity, timestamp), float64 metrics. Counters first through `telemetry.rate`.
    method : {'mstl', 'stl'}
        'mstl' takes any number of periods, 'stl' one: the strongest found, or the one given.
    periods : sequence of float, or mapping of metric to one, optional
        Periods in s; default: found for each series by `find_periods`. A period of which a series has not seen two
        cycles is left out for that series. Without any period the trend is a robust lowess and the season 0.
    robust : bool
        Outliers get less weight, so that a fault bends neither trend nor season.
    seasonal : int, optional
        Cycles over which the season may change, odd, at least 7; default 11, and 4 more for each further period.
    trend : float, optional
        Window of the trend in s; default STL's own: the shortest that leaves no season in the trend, about one and a
        half periods.
    resolution : int
        Points of a season's profile at most, 288: 5 minutes of a day, 35 minutes of a week. A finer series is averaged
        to such parts of its shortest period before the fit, and a longer season is smoothed over such parts, as a
        handful of cycles cannot say more than noise about each of 10,080 minutes of a week.
    executor : concurrent.futures.Executor, optional
        Where the series are fitted (STL holds the interpreter's lock, so processes help and threads do not); default
        here, one after the other.

    Returns
    -------
    DataFrame
        Components: index (entity, timestamp, metric), columns observed, trend, seasonal, resid and, for each period of
        the panel, `seasonal_<period>` such as seasonal_1d, all in the metric's unit. All are missing where the value
        is; all but observed are missing for a series of fewer than 8 values.

    Raises
    ------
    ContractError
        For an unknown method or metric, a period shorter than two steps, several periods for STL.

    References
    ----------
    Cleveland, Cleveland, McRae and Terpenning (1990), STL: A seasonal-trend decomposition procedure based on loess,
    Journal of Official Statistics 6, 3-73. Bandara, Hyndman and Bergmeir (2021), MSTL, arXiv:2107.13462.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=24 * 14, freq="1h", tz="UTC", name="timestamp")
    >>> load = 5 + np.sin(2 * np.pi * hours.hour / 24) + 0.01 * np.arange(len(hours))
    >>> parts = decompose(pd.DataFrame({"load": load}, index=hours), periods=[86400])
    >>> parts[["observed", "trend", "seasonal_1d"]].iloc[[100, 200]].round(1)
                                              observed  trend  seasonal_1d
    entity  timestamp                 metric
    default 2026-01-05 04:00:00+00:00 load         6.9    6.0          0.9
            2026-01-09 08:00:00+00:00 load         7.9    7.0          0.9
    """
    _check(method, seasonal, trend, resolution)
    panel = validate(panel, "telemetry").sort_index(axis="columns")
    given = {metric: given_periods(periods, metric, panel.columns) for metric in panel}
    many = [own for own in given.values() if own is not None and len(own) > 1]
    if method == "stl" and many:
        raise ContractError(column="periods", expected="one period for stl", got=list(many[0]), remedy="method='mstl'")
    blocks = [(entity, times, rows.to_numpy()) for entity, times, rows in series_of(panel)]
    jobs = [
        Job(times, values[:, place].copy(), given[metric], method, robust, seasonal, trend, resolution)
        for _entity, times, values in blocks
        for place, metric in enumerate(panel)
    ]
    fits = iter((executor.map if executor else map)(_fit, jobs))
    return components_table(
        list(panel.columns),
        [_block(entity, times, values, [next(fits) for _metric in panel]) for entity, times, values in blocks],
    )


def _check(method: str, seasonal: int | None, trend: float | None, resolution: int) -> None:
    if method not in ("mstl", "stl"):
        raise ContractError(column="method", expected="'mstl' or 'stl'", got=method)
    if seasonal is not None and (seasonal < 7 or seasonal % 2 == 0):
        raise ContractError(column="seasonal", expected="an odd number of cycles, at least 7", got=seasonal)
    if trend is not None and not 0 < trend < np.inf:
        raise ContractError(column="trend", expected="seconds above 0", got=trend)
    if resolution < 4:
        raise ContractError(column="resolution", expected="at least 4 points a cycle", got=resolution)


def _block(entity: str, times: np.ndarray, values: np.ndarray, fits: list) -> Block:
    """The fits of an entity's metrics beside each other."""
    names = list(dict.fromkeys(name for _trend, seasons in fits for name in seasons))
    missing = np.full(len(times), np.nan)
    seasons = {name: np.column_stack([own.get(name, missing) for _trend, own in fits]) for name in names}
    trend = np.column_stack([missing[:, None][:, :0], *(trend for trend, _own in fits)])
    return Block(entity, times, values, trend, seasons)


def _fit(job: Job) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Trend and each season of one series, at its rows; NaN throughout where there are too few values."""
    known = np.isfinite(job.values)
    if known.sum() < FEWEST:
        return np.full(len(job.values), np.nan), {}
    if np.ptp(job.values[known]) == 0:
        return job.values.copy(), {}
    step, grid, cells = on_grid(job.times, job.values)
    periods = job.periods
    if periods is None:
        strongest_first = [one.period * step for one in search(grid, step, **FINDING)]
        periods = tuple(sorted(strongest_first[: 1 if job.method == "stl" else None]))
    if periods and periods[0] < 1.5 * step:
        expected = f"at least two steps of {step:g} s"
        raise ContractError(column="periods", expected=expected, got=f"{periods[0]:g} s", remedy="leave it out")
    lengths = {period: period / step for period in periods if 2 * period / step < len(grid)}
    trend, seasons = _smooth(grid, lengths, job, step) if lengths else (_lowess(grid, job, step), {})
    return (
        np.where(known, trend[cells], np.nan),
        {season_column(period): np.where(known, season[cells], np.nan) for period, season in seasons.items()},
    )


def _smooth(grid: np.ndarray, lengths: dict[float, float], job: Job, step: float) -> tuple[np.ndarray, dict]:
    """Trend and seasons on the grid; `lengths` are the periods in cells of the grid, shortest first."""
    from statsmodels.tsa.seasonal import MSTL

    shortest = next(iter(lengths.values()))
    points = max(2, min(job.resolution, round(shortest)))
    # Cells that divide the shortest period evenly: no drift where it is no whole number of steps, and less noise and
    # work where it is a thousand of them.
    scale = points / shortest
    at = np.arange(len(grid))
    coarse = (at * scale + 1e-9).astype(np.int64)
    known = np.isfinite(grid)
    counts = np.bincount(coarse[known], minlength=coarse[-1] + 1)
    sums = np.bincount(coarse[known], grid[known], minlength=coarse[-1] + 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    steps = {period: round(length * scale) for period, length in lengths.items()}
    steps = {period: cells for period, cells in steps.items() if 2 * cells < len(means)}
    if not steps:
        return _lowess(grid, job, step), {}
    windows = [job.seasonal or 11 + 4 * place for place in range(len(steps))]
    trend = _odd(1.5 * points / (1 - 1.5 / windows[0]))
    if job.trend:
        trend = _odd(max(job.trend / step * scale, max(steps.values()) + 1))
    settings = {
        **(ROBUST if job.robust else PLAIN),
        "trend": trend if job.trend else None,
        # The shortest period has the shortest windows: jumps that suit it are fine enough for all.
        "seasonal_jump": math.ceil(windows[0] / JUMPS),
        "trend_jump": math.ceil(trend / JUMPS),
        "low_pass_jump": math.ceil((points + 1) / JUMPS),
    }
    parts = MSTL(
        _bridged(means, list(steps.values())),
        periods=tuple(steps.values()),
        windows=tuple(windows),
        stl_kwargs=settings,
    ).fit()
    seasonal = np.asarray(parts.seasonal).reshape(len(means), -1)
    places = (at + 0.5) * scale - 0.5  # of the grid's cells among the coarse ones

    def back(part: np.ndarray) -> np.ndarray:
        return np.interp(places, np.arange(len(part)), part)

    return back(np.asarray(parts.trend)), {
        period: back(running_mean(seasonal[:, place], cells / job.resolution))
        for place, (period, cells) in enumerate(steps.items())
    }


def _bridged(grid: np.ndarray, steps: list[int]) -> np.ndarray:
    """Fill gaps by the median profile of each period plus a line through what is left."""
    known = np.isfinite(grid)
    if known.all():
        return grid
    repeating = np.zeros(len(grid))
    for period in steps:
        repeating += profile_of(grid - repeating, period)
    at = np.arange(len(grid))
    return np.where(known, grid, repeating + np.interp(at, at[known], (grid - repeating)[known]))


def _lowess(grid: np.ndarray, job: Job, step: float) -> np.ndarray:
    filled = _bridged(grid, [])
    from statsmodels.nonparametric.smoothers_lowess import lowess

    n = len(filled)
    share = min(1.0, max(job.trend / step / n if job.trend else TREND_SHARE, FEWEST / n))
    delta = share * n / JUMPS
    return lowess(filled, np.arange(n), frac=share, it=3 if job.robust else 0, delta=delta, return_sorted=False)


def _odd(window: float) -> int:
    """The next odd whole number, as STL's windows are."""
    return 2 * math.ceil((window - 1) / 2) + 1
