"""From a wanted number of false alarms a day to the threshold that keeps it, judged on history alone."""

from __future__ import annotations

__all__ = [
    "METHODS",
    "Chosen",
    "alarms_per_day",
    "choose_k",
    "choose_threshold",
    "gaussian_alarms_per_day",
    "held_back_scores",
]

import copy
import math
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
from scipy import optimize, stats

from stability.detection.alarms import episodes
from stability.detection.manner import Detector
from stability.detection.rows import check_scores
from stability.detection.settings import whole
from stability.detection.tail import fit_tail
from stability.evaluation import NotEnoughEvidence, observed_spans
from stability.schema import ContractError, nearest, validate

METHODS = ("gaussian", "quantile", "tail")
MIN_ALARMS = 10  # alarms that an empirical rate stands on: a count of 10 has a relative error of 32 %
MIN_PEAKS = (
    30  # peaks under a fitted tail: its shape has a standard error of about (1 + shape) / sqrt(30) = 0.18 and up
)
EXTRAPOLATION = 10  # a tail is believed down to one alarm in this many times the observed time
SURE = 0.99  # of the counts of a Poisson law, beyond which a tail is not believed
LEVEL = 0.98  # quantile above which the tail begins; Siffert et al. (2017), section 4.1
DAY = 86_400.0


class Chosen(NamedTuple):
    """A threshold, and how it was chosen: ``quantile``, ``tail``, ``few`` or ``highest``, as in `choose_threshold`."""

    threshold: float
    method: str


def held_back_scores(detector: Detector, history: pd.DataFrame, *, folds: int = 1) -> pd.Series:
    """Score rows of a history with a detector that has not learnt them.

    A threshold chosen on rows that the detector was fitted on is too low; this gives rows that are new to it.

    Parameters
    ----------
    detector : Detector
        Copies are fitted, it stays as it is.
    history : DataFrame of float64, (entity, timestamp) x metrics
        Telemetry from before the rows that are to be judged.
    folds : int
        1: the later half of each entity's rows is scored by a copy that has learnt the earlier half, as it will be when
        the detector is at work. From 2 up: each entity's rows are cut into so many blocks, and a copy that has learnt
        all others scores each, so that the whole history is scored; where metrics drift, neighbours on both sides make
        it look calmer than it will be.

    Returns
    -------
    Series of float64, (entity, timestamp)

    Raises
    ------
    ContractError
        For a `folds` that is no whole number from 1 up, and as the detector's `fit`.
    """
    whole(folds=folds)
    history = validate(history, "telemetry")
    groups = history.groupby(level="entity")
    sizes, numbers = groups[history.columns[0]].transform("size"), groups.cumcount()
    if folds == 1:
        late = numbers >= sizes / 2
        return copy.copy(detector).fit(history[~late]).score(history[late])
    block = numbers * folds // sizes
    held = [copy.copy(detector).fit(history[block != k]).score(history[block == k]) for k in range(folds)]
    return pd.concat([part for part in held if len(part)]).sort_index()


def choose_k(
    scores: pd.Series,
    *,
    false_alarms_per_day: float,
    method: str = "tail",
    merge: float = 0.0,
    metrics: int = 1,
    level: float = LEVEL,
) -> float:
    """Choose the threshold that a wanted number of false alarms per entity-day asks for.

    What the history holds is taken as normal. Where it holds faults the threshold comes out too high: fewer false
    alarms than wanted, and fewer faults found. All entities share one threshold; for one each, call once an entity.

    Parameters
    ----------
    scores : Series of float64, (entity, timestamp)
        A detector's scores on history (`held_back_scores`).
    false_alarms_per_day : float
        Wanted alarms per day of one entity, while nothing is wrong.
    method : {"tail", "quantile", "gaussian"}
        ``gaussian`` (from mean and deviation): the scores are distances in deviations of independent Gaussian values;
        only the number of rows per day is taken from `scores`.
        ``quantile``: the lowest threshold above which the history never has more alarms than wanted, but none so low
        that alarms only run together.
        ``tail``: peaks over threshold. The highest score of each run above the quantile `level` is taken, a
        generalised Pareto tail fitted to the excesses, and the threshold read off at the wanted rate; a rate that is
        higher than that of the runs themselves needs no tail and is answered by ``quantile``.
    merge : float
        Seconds, as `raise_alarms` will use it: alarms are counted, not rows.
    metrics : int
        Metrics of which the score is the highest; only ``gaussian`` needs to be told.
    level : float
        Quantile of the scores above which the tail begins.

    Returns
    -------
    float
        The threshold, in the score's unit.

    Raises
    ------
    NotEnoughEvidence
        ``quantile``: fewer than 10 alarms are to be expected in the history. ``tail``: fewer than 30 peaks, or less
        than a tenth of an alarm is to be expected. The message says how much history would do.
    ContractError
        When the method is unknown, a setting is none, or the wanted rate cannot be reached.

    References
    ----------
    Siffert, Fouque, Termier, Largouet (2017), doi 10.1145/3097983.3098144, section 3 (peaks over threshold for
    streams); Coles (2001), doi 10.1007/978-1-4471-3675-0, section 5.3.2 (one peak a run, as rows are dependent).

    Examples
    --------
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=20_000, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> noise = pd.Series(np.abs(np.random.default_rng(0).normal(size=20_000)), index=index, name="z")
    >>> [round(choose_k(noise, false_alarms_per_day=1, method=m), 1) for m in ("gaussian", "quantile", "tail")]
    [3.4, 3.4, 3.4]
    """
    if method not in METHODS:
        raise ContractError(column="method", expected="a method", got=method, remedy=nearest(method, METHODS))
    if not 0 < level < 1:
        raise ContractError(column="level", expected="a share between 0 and 1", got=level)
    if not false_alarms_per_day > 0:
        raise ContractError(column="false_alarms_per_day", expected="a number above 0", got=false_alarms_per_day)
    if not 0 <= merge < math.inf:
        raise ContractError(column="merge", expected="seconds from 0 up", got=merge)
    whole(metrics=metrics)
    scores = check_scores(scores)
    seconds, days = _time(scores)
    if method == "gaussian":
        return _gaussian_k(false_alarms_per_day, DAY / seconds, metrics, _rows_within(merge, seconds))
    wanted = false_alarms_per_day * days
    if method == "quantile":
        if wanted < MIN_ALARMS:
            said = f"at least {MIN_ALARMS} alarms to be expected in the history"
            _too_short(said, f"{wanted:.3g}", days, MIN_ALARMS / wanted)
        return _quantile_k(scores, wanted, merge)
    start = float(np.nanquantile(scores, level))
    runs = episodes(scores, start, merge=merge)
    peaks = scores.reindex(runs.index).groupby(runs).max().to_numpy()
    if wanted >= max(len(peaks), MIN_ALARMS):
        return _quantile_k(scores, wanted, merge)
    if len(peaks) < MIN_PEAKS:
        _too_short(
            f"at least {MIN_PEAKS} peaks above the level {start:.3g}",
            f"{len(peaks)}",
            days,
            MIN_PEAKS / max(len(peaks), 1),
        )
    if wanted < 1 / EXTRAPOLATION:
        said = f"at least {1 / EXTRAPOLATION:g} alarms to be expected in the history"
        _too_short(said, f"{wanted:.3g}", days, 1 / EXTRAPOLATION / wanted)
    return start + fit_tail(peaks - start).exceeded_with(wanted / len(peaks))


def choose_threshold(
    scores: pd.Series, *, false_alarms_per_day: float, merge: float = 0.0, flagged: int = 1, of: int = 1
) -> Chosen:
    """Choose the threshold for a wanted number of false alarms by the way that assumes least and that history allows.

    That is the quantile where the history holds enough alarms of so rare a kind; else a fitted tail, unless the history
    itself had so many more alarms above it than wanted as chance has once in a hundred times; else, where at least one
    is to be expected, the quantile all the same (``few``: from n alarms its rate is known to about 1 / sqrt(n) of
    itself); else the highest score of the history, of which the rate is only known to be below three in the length of
    the history (95 % confidence, rule of three).

    Parameters
    ----------
    scores, false_alarms_per_day, merge
        As in `choose_k`.
    flagged, of : int
        As in `AlarmPolicy`: so many of the last so many rows have to be above the threshold.

    Returns
    -------
    Chosen

    Raises
    ------
    NotEnoughEvidence
        With fewer than two scores.
    ContractError
        As `choose_k`.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product(
    ...     [["web-1"], pd.date_range("2026-01-01", periods=2000, freq="min", tz="UTC", unit="us")],
    ...     names=["entity", "timestamp"])
    >>> noise = pd.Series(np.abs(np.random.default_rng(0).normal(size=2000)), index=index, name="z")
    >>> [choose_threshold(noise, false_alarms_per_day=n).method for n in (10, 1, 0.01)]
    ['quantile', 'tail', 'highest']
    """
    scores = _sustained(check_scores(scores), flagged, of)
    more = {"false_alarms_per_day": false_alarms_per_day, "merge": merge}
    wanted = false_alarms_per_day * _time(scores)[1]
    for method in ("quantile", "tail"):
        try:
            k = choose_k(scores, method=method, **more)
        except NotEnoughEvidence:
            continue
        if method == "quantile" or _alarms_above(_starts(scores, merge), np.array([k]))[0] <= stats.poisson.ppf(
            SURE, wanted
        ):
            return Chosen(k, method)
    if wanted >= 1:
        return Chosen(_quantile_k(scores, wanted, merge), "few")
    return Chosen(float(scores.max()), "highest")


def _sustained(scores: pd.Series, flagged: int, of: int) -> pd.Series:
    """What a judged row and `flagged` of the last `of` all reach: above a threshold, such a row may raise an alarm."""
    if not 1 <= flagged <= of:
        raise ContractError(column="flagged", expected="from 1 to `of`", got=f"{flagged} of {of}")
    if of == 1:
        return scores
    known = scores.dropna()
    last = known.groupby(level="entity").rolling(of, min_periods=flagged)
    reached = last.apply(lambda part: np.sort(part)[-flagged], raw=True).droplevel(0)
    return np.minimum(reached, known).reindex(scores.index).rename(scores.name)


def alarms_per_day(scores: pd.Series, thresholds: np.ndarray, *, merge: float = 0.0) -> np.ndarray:
    """Count the alarms that each threshold would have raised, per day of one entity.

    Parameters
    ----------
    scores : Series of float64, (entity, timestamp)
        Of one detector.
    thresholds : array of float64, shape (n,)
        In the score's unit.
    merge : float
        Seconds, as in `raise_alarms`.

    Returns
    -------
    array of float64, shape (n,)
        Alarms per entity-day of judged rows. It need not fall with the threshold: where nearly every row is flagged,
        the rows run together to one long alarm.
    """
    scores = check_scores(scores)
    counts = _alarms_above(_starts(scores, merge), np.asarray(thresholds, dtype="float64"))
    return counts / _time(scores)[1]


def gaussian_alarms_per_day(
    thresholds: np.ndarray, rows_per_day: float, *, metrics: int = 1, merge_rows: int = 1
) -> np.ndarray:
    """Compute the alarms per day that independent standard Gaussian values raise.

    An alarm begins at a row above the threshold after `merge_rows` rows below it: with p = 1 - (1 - 2 Q(k))^metrics,
    Q the upper Gaussian tail, that is rows_per_day p (1 - p)^merge_rows.

    Parameters
    ----------
    thresholds : array of float64, shape (n,)
        k, in deviations.
    rows_per_day : float
        Rows of one entity in a day.
    metrics : int
        Independent metrics of which the largest distance counts.
    merge_rows : int
        Rows that must lie between two alarms; 1 where only neighbouring rows are merged.

    Returns
    -------
    array of float64, shape (n,)

    Examples
    --------
    >>> gaussian_alarms_per_day(np.array([3.0, 4.0]), 1440).round(2).tolist()
    [3.88, 0.09]
    """
    flagged = 1 - (1 - 2 * stats.norm.sf(thresholds)) ** metrics
    return rows_per_day * flagged * (1 - flagged) ** merge_rows


def _gaussian_k(wanted: float, rows_per_day: float, metrics: int, merge_rows: int) -> float:
    # The rate peaks where p = 1 / (merge_rows + 1); the threshold is sought above that, where the rate falls.
    most = stats.norm.isf((1 - (1 - 1 / (merge_rows + 1)) ** (1 / metrics)) / 2)
    rate = float(gaussian_alarms_per_day(most, rows_per_day, metrics=metrics, merge_rows=merge_rows))
    if wanted >= rate:
        expected = f"a rate below {rate:.3g} alarms a day, the most that this sampling can have"
        raise ContractError(column="false_alarms_per_day", expected=expected, got=wanted)
    share = optimize.brentq(
        lambda log_p: math.log(rows_per_day / wanted) + log_p + merge_rows * math.log1p(-math.exp(log_p)),
        math.log(wanted / rows_per_day) - 1,
        -math.log(merge_rows + 1),
    )
    return float(stats.norm.isf(-math.expm1(math.log1p(-math.exp(share)) / metrics) / 2))


def _quantile_k(scores: pd.Series, wanted: float, merge: float) -> float:
    counted = _starts(scores, merge)
    levels = np.unique(scores.dropna())
    alarms = _alarms_above(counted, levels)
    above = np.flatnonzero(alarms > wanted)
    most = np.flatnonzero(alarms == alarms.max())[-1]  # below it, alarms only run together
    return float(levels[above[-1] + 1 if above.size else most])


def _too_short(expected: str, got: str, days: float, factor: float) -> None:
    raise NotEnoughEvidence(
        f"So rare an alarm needs {expected}; there are {got} in {days:.3g} entity-days. Give about "
        f"{days * factor:.3g} entity-days of history, or allow more false alarms."
    )


def _time(scores: pd.Series) -> tuple[float, float]:
    """Seconds between two rows of an entity (the median), and entity-days of judged rows."""
    if scores.notna().sum() < 2:
        raise NotEnoughEvidence(
            f"A threshold needs scores; {int(scores.notna().sum())} of {len(scores)} rows have one. Give a history "
            "that is longer than what the detector has to see first (its warm-up, its season)."
        )
    stamps = scores.index.get_level_values("timestamp").to_series(index=scores.index)
    steps = stamps.groupby(level="entity", sort=False).diff().dt.total_seconds()
    seen = observed_spans(scores)
    return float(steps.median()), float((seen["end"] - seen["start"]).sum() / pd.Timedelta("1D"))


def _rows_within(merge: float, seconds: float) -> int:
    return max(1, int(merge // seconds))


def _starts(scores: pd.Series, merge: float) -> tuple[np.ndarray, np.ndarray]:
    """Sorted: each row's score, and the highest threshold at which it would be merged into an earlier row's alarm.

    A row starts an alarm at the thresholds below its score that are not below all scores it would be merged with.
    """
    codes = scores.index.get_level_values("entity").factorize()[0]
    stamps = scores.index.get_level_values("timestamp").as_unit("us").asi8
    values = scores.fillna(-np.inf).to_numpy(copy=True)  # rows that are not judged part their neighbours
    return np.sort(values), np.sort(np.minimum(values, _highest_before(values, stamps, codes, round(merge * 1e6))))


def _alarms_above(counted: tuple[np.ndarray, np.ndarray], thresholds: np.ndarray) -> np.ndarray:
    flagged, merged = (len(part) - np.searchsorted(part, thresholds, side="right") for part in counted)
    return flagged - merged


@numba.njit(cache=True)
def _highest_before(scores, stamps, codes, merge):
    """The highest score among the rows whose alarm each row would be merged into, were they flagged."""
    highest = np.full(scores.size, -np.inf)
    for i in range(1, scores.size):
        j = i - 1
        while j >= 0 and codes[j] == codes[i] and (j == i - 1 or stamps[i] - stamps[j] <= merge):
            highest[i] = max(highest[i], scores[j])
            j -= 1
    return highest
