r"""The Numenta Anomaly Benchmark's score, exactly.

Let a file have n rows, of which the first min(floor(0.15 n), 750) are probation and never judged. With
:math:`s(y) = 2 / (1 + e^{5y}) - 1` (and -1 for y > 3), row i is worth, when it is flagged,

* in a labelled window of rows a..b, of width w = b - a + 1: :math:`s(-(b - i + 1)/w) / s(-1)`, from 1 at the first row
  down towards 0; only the earliest flagged row of a window counts, times tp; a window without one costs fn;
* elsewhere: fp times :math:`s((i - b)/(w - 1))`, b and w being those of the last window before it: nearly 0 just behind
  that window, down to -1; -1 before the first window of the file. Every such row counts.

One threshold for the whole corpus and per profile, the best over all distinct scores, **chosen on the labels** (the
benchmark's own rule; say so beside the number). With W windows: value = 100 (raw - null)/(perfect - null) with
null = -fn W and perfect = tp W, so a detector that never fires gets 0.

Where the benchmark says nothing: rows count in their order within an entity, also where a clock change repeats a
timestamp; a window reaches from the first row at or after its start to the last row at or before its end; behind a
window of a single row a false alarm costs all of -1; a window without a row after the probation cannot be hit, and is
left out of null and perfect too; a missing score is never flagged. On a part of the corpus (such as
realAWSCloudwatch) the formula is the same with that part's windows and its own best threshold: such a value is
comparable with other detectors on that part only, not with the published ones.

Source: Lavin and Ahmad (2015), doi 10.1109/ICMLA.2015.141; github.com/numenta/NAB, sweeper.py at ea702d7.
"""

from __future__ import annotations

__all__ = ["NAB_PROFILES", "NabProfile", "NabScore", "NabSteps", "nab_interval", "nab_score", "nab_steps", "profile_of"]

import math
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, NotEnoughEvidence, percentile_estimate
from stability.evaluation.resampling import resample_counts
from stability.evaluation.spans import Spans, index_arrays, span_arrays
from stability.schema import ContractError, nearest

PROBATION_SHARE = 0.15
PROBATION_ROWS = 750  # at most: 15 % of 5,000 rows
FAR = 3.0  # windows behind the last one, from where a false alarm costs all of -1


class NabProfile(NamedTuple):
    """What a hit is worth, a missed window costs and a false alarm costs."""

    tp: float
    fn: float
    fp: float


NAB_PROFILES = {
    "standard": NabProfile(tp=1.0, fn=1.0, fp=0.11),
    "low_fp": NabProfile(tp=1.0, fn=1.0, fp=0.22),  # reward_low_FP_rate
    "low_fn": NabProfile(tp=1.0, fn=2.0, fp=0.11),  # reward_low_FN_rate
}
"""The benchmark's three profiles, from its config/profiles.json."""


class NabScore(NamedTuple):
    """A NAB score and what it is made of.

    Parameters
    ----------
    value : float
        Normalised: 0 for a detector that never fires, 100 for a perfect one; at its own best threshold never below 0.
    threshold : float
        Rows with at least this score are flagged; inf where flagging nothing is best.
    raw : float
        Before normalisation.
    hits, windows, false_alarm_rows : int
        At the threshold; `windows` are those that can be hit.
    files : DataFrame, index entity
        `rows`, `probation` (rows), `windows`, `hits`, `false_alarm_rows`, `raw`; the `raw` add up to the corpus's.
    """

    value: float
    threshold: float
    raw: float
    hits: int
    windows: int
    false_alarm_rows: int
    files: pd.DataFrame


def nab_score(
    scores: pd.Series,
    windows: pd.DataFrame,
    profile: str | NabProfile = "standard",
    *,
    threshold: float | None = None,
) -> NabScore:
    """Score a detector by the rules of NAB.

    Parameters
    ----------
    scores : Series of float64, index (entity, timestamp)
        Higher is more anomalous, any scale; an entity is a file of the benchmark, its rows in the file's order.
    windows : DataFrame
        Columns entity, start, end (inclusive): the labelled windows of these entities.
    profile : str or NabProfile
        A name in `NAB_PROFILES`, or weights.
    threshold : float, optional
        A threshold chosen elsewhere, such as on a training part. By default the best one, which is the benchmark's
        rule and uses the labels.

    Returns
    -------
    NabScore

    Raises
    ------
    NotEnoughEvidence
        When no window can be hit.
    ContractError
        For an unknown profile, windows of entities without scores, or windows that share rows.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=100, freq="5min", tz="UTC", unit="us")
    >>> windows = pd.DataFrame({"entity": "default", "start": stamps[[50]], "end": stamps[[59]]})
    >>> scores = pd.Series(0.0, index=stamps)
    >>> nab_score(scores, windows).value  # all rows alike: best is to flag nothing
    0.0
    >>> scores.iloc[[30, 50]] = 1.0  # a false alarm before, and the first row of the window
    >>> result = nab_score(scores, windows)
    >>> round(result.value, 2), result.threshold, result.hits, result.false_alarm_rows
    (94.5, 1.0, 1, 1)
    """
    return _score(nab_steps(scores, windows), profile_of(profile), threshold)


def nab_interval(
    scores: pd.Series,
    windows: pd.DataFrame,
    profile: str | NabProfile = "standard",
    *,
    threshold: float | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Put an interval around the NAB score by drawing files again.

    As the benchmark's rule has it, each resample chooses its own best threshold on its own labels, so the interval is
    that of the rule as a whole, optimism included. Percentile bootstrap over files; resamples without any window are
    left out.

    Parameters
    ----------
    scores, windows, profile, threshold
        As in `nab_score`; with a threshold given, every resample uses it.
    resamples, confidence, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Estimate
        On the scale of `NabScore.value`.

    Raises
    ------
    NotEnoughEvidence
        With fewer than `MIN_UNITS` files, or when no window can be hit.
    ContractError
        As `nab_score`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=100, freq="5min", tz="UTC", unit="us")
    >>> files = [f"file-{i}" for i in range(6)]
    >>> index = pd.MultiIndex.from_product([files, stamps], names=["entity", "timestamp"])
    >>> windows = pd.DataFrame({"entity": files, "start": stamps[50], "end": stamps[59]})
    >>> scores = pd.Series(0.0, index=index)
    >>> scores.loc[[(name, stamps[50]) for name in files[:3]]] = 1.0  # half of the windows found
    >>> [round(x, 1) for x in nab_interval(scores, windows)]
    [50.0, 16.7, 83.3]
    """
    weights = profile_of(profile)
    steps = nab_steps(scores, windows)
    gains = steps.gains(weights)
    count = steps.files["windows"].to_numpy()
    value = _score(steps, weights, threshold).value
    fixed = None
    if threshold is not None:
        flagged = steps.score >= threshold
        fixed = np.bincount(steps.entity[flagged], weights=gains[flagged], minlength=len(count))
    drawn = []
    for counts in resample_counts(len(count), resamples, seed):
        gained = _best_gains(gains, steps.entity, steps.last, counts) if fixed is None else counts @ fixed
        with np.errstate(divide="ignore", invalid="ignore"):
            there = counts @ count
            drawn.append(np.where(there > 0, 100 * gained / ((weights.tp + weights.fn) * there), np.nan))
    return percentile_estimate(value, np.concatenate(drawn), confidence)


class NabSteps(NamedTuple):
    """How the corpus's raw score changes as the threshold falls: one step a flagged row that changes it.

    All profiles share the steps; a window's share of a step is what its earliest flagged row gains over the former.
    """

    score: np.ndarray  # falling
    entity: np.ndarray  # number
    worth: np.ndarray  # what is gained in the window; outside of windows the row's (negative) worth
    hit: np.ndarray  # 1: first hit of a window; 0: an earlier hit of it; -1: false alarm
    last: np.ndarray  # whether it is the last step of its score
    files: pd.DataFrame  # index entity; rows, probation, windows

    def gains(self, profile: NabProfile) -> np.ndarray:
        """Change of the raw score at each step."""
        return np.where(self.hit < 0, profile.fp * self.worth, profile.tp * self.worth + profile.fn * (self.hit > 0))


def _score(steps: NabSteps, weights: NabProfile, threshold: float | None) -> NabScore:
    gains = steps.gains(weights)
    if threshold is None:
        totals = np.cumsum(gains)[steps.last]
        best = int(np.argmax(totals)) if len(totals) else 0
        # Strictly better than flagging nothing, and of equals the highest threshold, as the benchmark's sort has it.
        chosen = float(steps.score[steps.last][best]) if len(totals) and totals[best] > 0 else math.inf
    else:
        chosen = float(threshold)
    flagged = steps.score >= chosen
    entity, size = steps.entity[flagged], len(steps.files)
    hits, false = (np.bincount(entity[steps.hit[flagged] == sign], minlength=size) for sign in (1, -1))
    gained = np.bincount(entity, weights=gains[flagged], minlength=size)
    count = steps.files["windows"].to_numpy()
    files = steps.files.assign(hits=hits, false_alarm_rows=false, raw=gained - weights.fn * count)
    value = 100 * gained.sum() / ((weights.tp + weights.fn) * count.sum())
    raw = float(files["raw"].sum())
    return NabScore(float(value), chosen, raw, int(hits.sum()), int(count.sum()), int(false.sum()), files)


def nab_steps(scores: pd.Series, windows: pd.DataFrame) -> NabSteps:
    """Find how the raw score of a corpus changes as the threshold falls; arguments and errors as of `nab_score`."""
    codes, times, entities = index_arrays(scores.index)
    spans = span_arrays(windows, "windows", entities)
    values = scores.to_numpy(dtype=float)
    values = np.where(np.isnan(values), -np.inf, values)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(entities) + 1))
    found, facts = [], []
    for code in range(len(entities)):
        rows = order[bounds[code] : bounds[code + 1]]
        mine = spans.code == code
        part, fact = _file_steps(times[rows], values[rows], Spans(*(field[mine] for field in spans)), entities[code])
        found.append((part[0], np.full(len(part[0]), code), *part[1:]))
        facts.append(fact)
    files = pd.DataFrame(facts, columns=["rows", "probation", "windows"], index=pd.Index(entities, name="entity"))
    if not files["windows"].sum():
        raise NotEnoughEvidence("A NAB score needs a labelled window with a row after the probation; there is none.")
    score, entity, worth, hit = (np.concatenate(parts) for parts in zip(*found, strict=True))
    falling = np.argsort(-score, kind="stable")
    score = score[falling]
    last = np.append(score[1:] != score[:-1], True)[: len(score)]
    return NabSteps(score, entity[falling], worth[falling], hit[falling], last, files)


def _file_steps(times, scores, windows: Spans, entity: str):
    """Steps of one file (score, worth, hit) and its facts (rows, probation, windows that can be hit)."""
    n = len(times)
    probation = min(math.floor(PROBATION_SHARE * n), PROBATION_ROWS)
    worth, outside = np.full(n, -1.0), np.ones(n, dtype=bool)
    position, reach, hittable, parts = np.arange(n), -1, 0, []
    for start, end in sorted(zip(windows.start.tolist(), windows.end.tolist(), strict=True)):
        inside = np.flatnonzero(times >= start), np.flatnonzero(times <= end)
        if not (len(inside[0]) and len(inside[1]) and inside[0][0] <= inside[1][-1]):
            continue
        a, b = int(inside[0][0]), int(inside[1][-1])
        if a <= reach:
            expected, remedy = "windows of an entity that share no row", "merge them"
            raise ContractError(
                file="windows", column="start", expected=expected, got=f"{entity}: two that do", remedy=remedy
            )
        reach, width = b, b - a + 1
        worth[a : b + 1] = _sigmoid((position[a : b + 1] - b - 1) / width) / _sigmoid(-1.0)
        worth[b + 1 :] = _sigmoid((position[b + 1 :] - b) / (width - 1)) if width > 1 else -1.0
        outside[a : b + 1] = False
        rows = np.arange(max(a, probation), b + 1)
        if not len(rows):
            continue
        hittable += 1
        # The earliest flagged row of a window, at any threshold, is a row that exceeds all rows before it.
        before = np.maximum.accumulate(np.append(-np.inf, scores[rows]))[:-1]
        records = rows[scores[rows] > before]
        later = np.append(worth[records[1:]], 0.0)
        parts.append((scores[records], worth[records] - later, (position[records] == records[-1:]).astype(np.int64)))
    judged = np.flatnonzero(outside[probation:] & (scores[probation:] > -np.inf)) + probation
    parts.append((scores[judged], worth[judged], np.full(len(judged), -1)))
    return [np.concatenate(field) for field in zip(*parts, strict=True)], (n, probation, hittable)


def _sigmoid(y):
    y = np.asarray(y, dtype=float)
    return np.where(y > FAR, -1.0, 2 / (1 + np.exp(5 * np.minimum(y, FAR))) - 1)


@numba.njit(cache=True)
def _best_gains(gains, entity, last, counts):
    """Highest sum of weighted gains over all thresholds, at least the 0 of flagging nothing, for each resample.

    All resamples advance together through the steps, so that the inner loops run over neighbours in memory.
    """
    size = len(counts)
    drawn = np.ascontiguousarray(counts.T).astype(np.float64)
    total, best = np.zeros(size), np.zeros(size)
    rising = False  # whether a step of this score goes up; a threshold where none does is never the best
    for i in range(len(gains)):
        weight = drawn[entity[i]]
        rising |= gains[i] > 0
        for b in range(size):
            total[b] += weight[b] * gains[i]
        if last[i] and rising:
            rising = False
            for b in range(size):
                best[b] = max(best[b], total[b])
    return best


def profile_of(profile: str | NabProfile) -> NabProfile:
    """Take a profile by its name; weights are returned as they are."""
    if isinstance(profile, NabProfile):
        return profile
    if profile not in NAB_PROFILES:
        remedy = nearest(str(profile), NAB_PROFILES)
        raise ContractError(column="profile", expected="a profile of NAB", got=str(profile), remedy=remedy)
    return NAB_PROFILES[profile]
