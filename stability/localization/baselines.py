"""Peers' simple methods, to stand beside every table: each is `case -> score of each candidate`, high is suspect.

None of them names a tie's winner: candidates with equal scores stay equal, and whoever needs an order asks `ranked`,
which settles ties by a hash of names. No method falls back to the order of columns: one that knows nothing says so.
"""

from __future__ import annotations

__all__ = [
    "AlarmLookup",
    "LabelPrior",
    "alarms_of",
    "baro",
    "chance",
    "deviation",
    "n_sigma",
    "ranked",
    "shared_onset",
    "spread_over",
    "time_recency",
]

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.onset import contrasts, noise_scale
from stability.schema import ContractError

IQR = 1.349  # interquartile range of a normal with standard deviation 1
FLOOR = 0.01  # of the level: spread of a metric that never moved before; without it any move is infinite
CLIP = 1e6  # a score stays finite, so that sums of scores stay numbers
LEVELS = ("entity", "metric")


def _hash(*words: str) -> int:
    return int.from_bytes(hashlib.sha256("\x1f".join(words).encode()).digest()[:8])


def chance(case: Case, seed: int = 0) -> pd.Series:
    """Score candidates by a hash of case, candidate and seed: an order that depends on nothing else.

    Parameters
    ----------
    case : Case
    seed : int
        Another number, another order.

    Returns
    -------
    Series of float64 in [0, 1), index `case.candidates`

    Examples
    --------
    >>> at = pd.Timestamp("2026-01-01", tz="UTC")
    >>> pairs = pd.MultiIndex.from_tuples([("web", ""), ("db", "")], names=["entity", "metric"])
    >>> scores = chance(Case("a", "web", (), at, pairs))
    >>> bool(scores.between(0, 1).all()), bool((scores == chance(Case("a", "web", (), at, pairs[::-1]))[pairs]).all())
    (True, True)
    """
    values = [_hash(case.alarm_id, *candidate, str(seed)) / 2**64 for candidate in case.candidates]
    return pd.Series(values, case.candidates, dtype=float)


def ranked(scores: pd.Series, case: Case, seed: int = 0) -> pd.MultiIndex:
    """Order the candidates by score; ties by `chance`, so that neither names nor columns decide them.

    Parameters
    ----------
    scores : Series of float64, index (entity, metric)
        NaN counts as the least suspect.
    case : Case
        Whose name, with those of the candidates, settles ties.
    seed : int

    Returns
    -------
    MultiIndex of (entity, metric)
        Most suspect first.
    """
    table = pd.DataFrame({"score": scores.astype(float), "tie": chance(case, seed).reindex(scores.index)})
    return table.sort_values(["score", "tie"], ascending=False, na_position="last").index


class LabelPrior:
    """How often each cause was the answer among labelled cases; blind to everything else of a case.

    Fitted on the labels of the cases that it is then judged on, it is an oracle, and must be called one.

    Parameters
    ----------
    by : sequence of str
        What of a candidate recurs from case to case: `("entity", "metric")`, or one of them.

    Examples
    --------
    >>> at = pd.Timestamp("2026-01-01", tz="UTC")
    >>> pairs = pd.MultiIndex.from_tuples([("web", ""), ("db", "")], names=["entity", "metric"])
    >>> LabelPrior().fit([[("db", "")], [("db", "")], [("web", "")]])(Case("a", "web", (), at, pairs)).tolist()
    [1.0, 2.0]
    """

    def __init__(self, by: Sequence[str] = LEVELS):
        self.by = by

    def fit(self, truth: Iterable[Iterable[tuple[str, str]]]) -> LabelPrior:
        """Count the answers; a case with several causes counts each of them as a part of one.

        Parameters
        ----------
        truth : iterable of iterables of (entity, metric)
            The causes of each labelled case.
        """
        self.counts_ = Counter()
        for causes in truth:
            keys = {_key(cause, self.by) for cause in causes}
            for key in keys:
                self.counts_[key] += 1 / len(keys)
        return self

    def __call__(self, case: Case) -> pd.Series:
        """Score each candidate by its count."""
        return pd.Series([self.counts_[_key(c, self.by)] for c in case.candidates], case.candidates, dtype=float)


def _key(candidate: tuple[str, str], by: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for level, part in zip(LEVELS, candidate, strict=True) if level in by)


def alarms_of(case: Case) -> frozenset[str]:
    """Name the alarms of a case: the rules in its `firings`, without their entity.

    Raises
    ------
    ContractError
        Where the case has no table of firings: no alarm and no knowledge of alarms are two things.
    """
    if "firings" not in case.tables:
        raise ContractError(f"case {case.alarm_id}", expected="a table of firings", got="none", remedy="pass firings")
    return frozenset(case.tables["firings"]["rule"])


class AlarmLookup:
    """What was the cause when the same alarms were raised before: the table that an old hand carries in the head.

    A set of alarms that was never seen is answered by the sets that are most like it (Jaccard), equally weighted.

    Parameters
    ----------
    by : sequence of str
        As in `LabelPrior`.
    alarms : callable, optional
        Case -> frozenset of names, where alarms are not those in `firings`.
    """

    def __init__(self, by: Sequence[str] = LEVELS, alarms: Callable[[Case], frozenset[str]] = alarms_of):
        self.by, self.alarms = by, alarms

    def fit(self, cases: Iterable[Case], truth: Mapping[str, Iterable[tuple[str, str]]]) -> AlarmLookup:
        """Learn the table; `truth` holds the causes of each case by its alarm_id."""
        self.seen_ = [(self.alarms(case), LabelPrior(self.by).fit([truth[case.alarm_id]]).counts_) for case in cases]
        if not self.seen_:
            raise ContractError("alarm lookup", expected="at least one labelled case", got="none")
        return self

    def __call__(self, case: Case) -> pd.Series:
        """Score each candidate by its share of the causes under these alarms."""
        own = self.alarms(case)
        alike = [_jaccard(own, alarms) for alarms, _ in self.seen_]
        counts = Counter()
        for likeness, (_, causes) in zip(alike, self.seen_, strict=True):
            if likeness == max(alike):
                counts.update(causes)
        values = [counts[_key(c, self.by)] / alike.count(max(alike)) for c in case.candidates]
        return pd.Series(values, case.candidates, dtype=float)


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def deviation(case: Case, moment: pd.Timestamp, robust: bool = True) -> pd.Series:
    """Largest deviation of each metric from a moment on, in units of its spread before.

    Parameters
    ----------
    case : Case
        Its telemetry is read, and no direction: either way counts.
    moment : Timestamp
        Rows before it are normal, the others are not.
    robust : bool
        Median and interquartile range instead of mean and standard deviation.

    Returns
    -------
    Series of float64, index (entity, metric) of the telemetry
        NaN where either side has no value.

    Raises
    ------
    ContractError
        Where no row lies before the moment, or none after.
    """
    wide = _wide(case.telemetry) if len(case.telemetry) else pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
    early, late = wide[wide.index < moment], wide[wide.index >= moment]
    if not len(early) or not len(late):
        counts = f"{len(early)} rows before {moment} and {len(late)} after"
        raise ContractError(f"case {case.alarm_id}", expected="rows before and after the moment", got=counts)
    if robust:
        middle, spread = early.median(), (early.quantile(0.75) - early.quantile(0.25)) / IQR
    else:
        middle, spread = early.mean(), early.std(ddof=0)
    spread = np.maximum(spread, np.maximum(FLOOR * middle.abs(), 1e-9))
    score = (((late - middle).abs() / spread).max()).clip(upper=CLIP)
    return score.swaplevel().rename_axis(list(LEVELS))


def _wide(telemetry: pd.DataFrame) -> pd.DataFrame:
    return telemetry.unstack("entity")  # noqa: PD010 - a panel is unique, nothing is pivoted together


def spread_over(scores: pd.Series, candidates: pd.MultiIndex) -> pd.Series:
    """Give scores of metrics to candidates: a whole entity gets its largest; a candidate without any gets NaN."""
    whole = scores.groupby(level="entity").max()
    values = [whole.get(e, np.nan) if m == "" else scores.get((e, m), np.nan) for e, m in candidates]
    return pd.Series(values, candidates, dtype=float)


def n_sigma(case: Case, moment: pd.Timestamp) -> pd.Series:
    """Score by the largest deviation in standard deviations, for one who is told the time.

    Parameters
    ----------
    case : Case
    moment : Timestamp
        When the fault began. Peers are told the injection; told 60 s late, they lose most of their hits.

    Returns
    -------
    Series of float64, index `case.candidates`
    """
    return spread_over(deviation(case, moment, robust=False), case.candidates)


def shared_onset(telemetry: pd.DataFrame) -> pd.Timestamp:
    """Find the one moment at which the metrics as a whole changed.

    Every row is tried; what counts is the sum over metrics of how far the means on both sides lie apart, in standard
    errors of noise that first differences tell. It takes the part of BARO's multivariate change point.

    Parameters
    ----------
    telemetry : DataFrame
        Panel of a case, at least 4 moments.

    Returns
    -------
    Timestamp

    Raises
    ------
    ContractError
        For fewer moments.
    """
    wide = _wide(telemetry)
    if len(wide) < 4:
        raise ContractError("an onset", expected="at least 4 moments", got=str(len(wide)))
    splits = np.arange(2, len(wide) - 1)
    values = wide.to_numpy(dtype=float)
    difference, error = contrasts(values, np.column_stack([splits, np.full(len(splits), len(wide))]))
    level = np.abs(pd.DataFrame(values).median().to_numpy())
    scale = np.fmax(noise_scale(values), np.fmax(FLOOR * level, 1e-9))
    apart = np.nan_to_num(np.clip(np.abs(difference) / (scale * error), 0, 50))
    return wide.index[splits[apart.sum(axis=1).argmax()]]


def baro(case: Case, moment: pd.Timestamp | None = None) -> pd.Series:
    """Score by the largest deviation in robust units: median and interquartile range of the time before.

    Parameters
    ----------
    case : Case
    moment : Timestamp, optional
        The change; found with `shared_onset` where it is not told.

    Returns
    -------
    Series of float64, index `case.candidates`

    Notes
    -----
    After Pham et al. (2024), BARO, FSE, doi 10.1145/3660805; their change point is Bayesian and multivariate.
    """
    found = shared_onset(case.telemetry) if moment is None else moment
    return spread_over(deviation(case, found), case.candidates)


def time_recency(case: Case, latest: bool = True, since: pd.Timestamp | None = None) -> pd.Series:
    """Score by when a candidate last changed, or first: of what is known, whoever moved just before is suspect.

    Parameters
    ----------
    case : Case
        Changes of `telemetry` and of `states` are read; a candidate (entity, metric) is a column or a state's name.
    latest : bool
        The last change first; without it, the first change first.
    since : Timestamp, optional
        Changes before it are left out.

    Returns
    -------
    Series of float64, index `case.candidates`
        Seconds from the alarm, negative (or positive, with `latest=False`); NaN for what never changed.
    """
    moved = _changes(case)
    moved = moved if since is None else moved[moved["timestamp"] >= since]
    each = moved.groupby(list(LEVELS))["timestamp"].agg("max" if latest else "min")
    age = (case.at - each).dt.total_seconds()
    return spread_over(-age if latest else age, case.candidates)


def _changes(case: Case) -> pd.DataFrame:
    """Moments at which a metric or a state took another value than before."""
    panel = case.telemetry
    long = panel.reset_index().melt(list(panel.index.names), var_name="metric").dropna(subset="value")
    parts = [long.assign(value=long["value"].astype(str))] if len(long) else []
    if case.get("states") is not None:
        parts.append(case.get("states").rename(columns={"name": "metric"})[["entity", "metric", "timestamp", "value"]])
    if not parts:
        return pd.DataFrame(columns=["entity", "metric", "timestamp"]).astype({"timestamp": "datetime64[us, UTC]"})
    every = pd.concat(parts, ignore_index=True).sort_values("timestamp", kind="stable")
    before = every.groupby(list(LEVELS))["value"].shift()
    return every[before.notna() & (before != every["value"])]
