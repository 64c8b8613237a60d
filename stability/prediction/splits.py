"""Splits that keep the answer out of the question: by time with purge and embargo, or by machines never seen.

Two claims need two protocols. "The future of a known fleet" is `time_split`, tuned inside its training part by
`time_folds`; "a machine that was never seen" is `entity_folds`. Along time, rows are left out for two reasons:

* purge: its label looks at (t, t + horizon]. Where that reaches the first moment of a later part, the label tells of
  what is judged there;
* embargo: the features of a row at t' look at (t' - lookback, t']. Where that reaches back into what an earlier part
  was trained on (its rows and the spans of their labels), both parts are made of the same readings.

Both gaps are cut from the end of the earlier part, so that the rows which are judged stay the same whatever the horizon
and the look-back are, and results on them can be compared:

    t + horizon + lookback < first moment of the later part.

A known fleet's past is there when its future is predicted, so a protocol may let features look back into the training
part: ``lookback="0s"``. The purge stays.

Purge and embargo: Lopez de Prado (2018), Advances in Financial Machine Learning, chapter 7, where training rows
surround the test; here they precede it, as they do when a model is in use.
"""

from __future__ import annotations

__all__ = ["Split", "check_split", "entity_folds", "random_split", "time_folds", "time_split"]

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.spans import index_arrays
from stability.prediction.labels import SECOND, read_length, read_moments
from stability.schema import ContractError, refuse_overlap

PARTS = ("train", "calibration", "test")
Length = str | int | pd.Timedelta  # text such as "48h", or whole seconds
Rows = np.ndarray | None  # one value for each row


class Split(NamedTuple):
    """Which rows train, which calibrate, which are judged; every row is in one part at most.

    Parameters
    ----------
    name : str
        Of the split or the fold.
    protocol : {"time", "entity", "random"}
        What keeps the parts apart: time, entities, or nothing.
    train, calibration, test : arrays of bool, shape (rows,)
        Over the rows of the index that was split, in its order.
    test_start : Timestamp
        The boundary before the test part, UTC; NaT where time does not part.
    purged, embargoed : int
        Rows in no part since their label, or only their label and the look-back together, reach into a later part.
    """

    name: str
    protocol: str
    train: np.ndarray
    calibration: np.ndarray
    test: np.ndarray
    test_start: pd.Timestamp
    purged: int
    embargoed: int


def time_split(
    index: pd.Index,
    *,
    horizon: Length,
    lookback: Length,
    test_from: object = None,
    test_share: float | None = None,
    calibration_share: float = 0.2,
) -> Split:
    """Train on the past, calibrate on what follows, test on the future of the same fleet.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
        Rows in any order; a plain DatetimeIndex is one entity. One boundary holds for all entities, since what they
        share, a network or a release, happens to them together.
    horizon : text, Timedelta or whole seconds
        Of the labels; the longest, where there are several.
    lookback : text, Timedelta or whole seconds
        The longest window of the features. "0s" lets features look back into what was trained on.
    test_from : time with its zone, optional
        First moment of the test part.
    test_share : float in (0, 1), optional
        Instead: the share of rows that are tested, rows of one moment together.
    calibration_share : float in [0, 1)
        Share of the rows that the gap before the test leaves; the last of them calibrate. 0: none.

    Returns
    -------
    Split

    Raises
    ------
    ContractError
        When both or neither of `test_from` and `test_share` are given, or a part that was asked for has no rows.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=12, freq="D", tz="UTC", unit="us")
    >>> split = time_split(days, horizon="2D", lookback="1D", test_from=days[8], calibration_share=0)
    >>> "".join("T" if test else "t" if train else "." for train, test in zip(split.train, split.test))
    'ttttt...TTTT'
    >>> split.purged, split.embargoed
    (2, 1)
    """
    _, times, _ = index_arrays(index)
    reach, back = _gap(horizon, lookback)
    one = (test_from is None) != (test_share is None)
    _require(one, "test_from", "either test_from or test_share", "both or neither")
    inside = np.ones(len(times), dtype=bool)
    start = _last_share(times, test_share) if test_from is None else read_moments(test_from, "test_from")[0]
    return _along_time("time", times, inside, start, None, reach, back, calibration_share)


def time_folds(
    index: pd.Index,
    folds: int | Sequence,
    *,
    horizon: Length,
    lookback: Length,
    within: Rows = None,
    calibration_share: float = 0.0,
) -> list[Split]:
    """Fold the training part for tuning: each fold trains on all that precedes its test block.

    Parameters
    ----------
    index, horizon, lookback, calibration_share
        As in `time_split`; the gaps hold in each fold.
    folds : int, or sequence of times with their zone
        How many: the rows are cut into one block more, of equal numbers of rows, and each but the first is tested
        once. Or the first moments of the test blocks, of which the last has no end: later rows change neither the
        training part of any fold nor the earlier test blocks.
    within : array of bool, shape (rows,), optional
        The rows to fold, such as the `train` of a `time_split`; the others are in no part of any fold.

    Returns
    -------
    list of Split
        Arrays over all rows of `index`.

    Raises
    ------
    ContractError
        When a fold has no rows to train, calibrate or test on, or the boundaries do not ascend.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=9, freq="D", tz="UTC", unit="us")
    >>> for fold in time_folds(days, 2, horizon="1D", lookback="0s"):
    ...     print("".join("T" if test else "t" if train else "." for train, test in zip(fold.train, fold.test)))
    tt.TTT...
    ttttt.TTT
    """
    _, times, _ = index_arrays(index)
    reach, back = _gap(horizon, lookback)
    inside = _over_rows(within, len(times), "within").astype(bool)
    if isinstance(folds, int | np.integer):
        _require(folds >= 1, "folds", "a number of folds from 1 up", folds)
        own = np.sort(times[inside])
        starts = own[[len(own) * k // (folds + 1) for k in range(1, folds + 1)]] if len(own) else own
    else:
        starts = read_moments(folds, "folds")
    remedy = "give fewer folds, or boundaries that ascend"
    _require(len(starts) and (np.diff(starts) > 0).all(), "folds", "test blocks that follow each other", folds, remedy)
    return [
        _along_time(f"time fold {k} of {len(starts)}", times, inside, start, end, reach, back, calibration_share)
        for k, (start, end) in enumerate(itertools.zip_longest(starts, starts[1:]), start=1)
    ]


def entity_folds(
    index: pd.Index, folds: int, seed: int, groups=None, *, events: Rows = None, calibrate=False, within: Rows = None
) -> list[Split]:
    """Fold by entities: what is tested are machines of which not a row was trained on.

    Entities go to the folds from the largest to the smallest, each to the fold with the least so far; equal ones in an
    order that the seed draws. Size is the share of rows plus, where `events` are given, the share of events.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
        Rows in any order.
    folds : int
        From 2 up (3 up to calibrate); each is tested once.
    seed : int
        Equal seed, equal folds.
    groups : mapping of entity to group, optional
        Entities that share something, such as a host, a site or a model's weights, stay together. An entity that has
        no group is one by itself.
    events : array of bool or numbers, shape (rows,), optional
        What is rare and has to be in each fold, such as positive labels.
    calibrate : bool
        The entities of the next fold calibrate instead of training.
    within : array of bool, shape (rows,), optional
        As in `time_folds`.

    Returns
    -------
    list of Split

    Raises
    ------
    ContractError
        When there are fewer entities (or groups) than folds.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product([list("abcd"), pd.date_range("2026-01-01", periods=2, tz="UTC")],
    ...                                    names=["entity", "timestamp"])
    >>> for fold in entity_folds(index, 2, seed=0, groups={"a": "one", "d": "one"}):
    ...     print(sorted(index[fold.test].unique("entity")))
    ['a', 'd']
    ['b', 'c']
    """
    codes, _, entities = index_arrays(index)
    inside = _over_rows(within, len(codes), "within").astype(bool)
    _require(isinstance(folds, int | np.integer) and folds >= 2 + calibrate, "folds", f"{2 + calibrate} or more", folds)
    together = {str(name): group for name, group in dict(() if groups is None else groups).items() if pd.notna(group)}
    _require(groups is None or not set(together).isdisjoint(entities), "groups", "groups of entities", "of others only")
    # A pair, so that an entity by itself is never taken for a group of its name.
    units = [("group", together[name]) if name in together else ("entity", name) for name in entities]
    numbers = pd.factorize(pd.Index(units, tupleize_cols=False))[0][codes]
    present = np.unique(numbers[inside])
    few, kind = len(present) < folds, "entities" if groups is None else "groups of entities"
    _require(not few, "folds", f"{folds} {kind} or more", len(present), "give fewer folds")
    size = _shares(numbers, inside, present)
    if events is not None:
        size = size + _shares(numbers, np.where(inside, _over_rows(events, len(codes), "events"), 0), present)
    drawn = np.random.default_rng(seed).permutation(len(present))
    filled, fold_of = np.zeros(folds), np.full(numbers.max() + 1, -1)
    for place in drawn[np.argsort(-size[drawn], kind="stable")]:
        least = int(filled.argmin())
        fold_of[present[place]] = least
        filled[least] += size[place]
    fold = np.where(inside, fold_of[numbers], -1)
    held = [((fold == (k + 1) % folds) & calibrate, fold == k) for k in range(folds)]
    return [
        Split(f"entity fold {k} of {folds}", "entity", inside & ~(calibration | test), calibration, test, pd.NaT, 0, 0)
        for k, (calibration, test) in enumerate(held, start=1)
    ]


def random_split(
    index: pd.Index, seed: int = 0, *, test_share: float = 0.25, calibration_share: float = 0, demonstrate_leakage=False
) -> Split:
    """Draw rows by chance, to show what that does: neighbours of each test row, with its label, are trained on.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
    seed : int
        Equal seed, equal rows.
    test_share, calibration_share : float
        Of all rows.
    demonstrate_leakage : bool
        Nothing is drawn, and a ContractError raised, unless this is True.

    Examples
    --------
    >>> random_split(pd.date_range("2026-01-01", periods=8, tz="UTC"))
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: column 'demonstrate_leakage': expected a split that keeps ...
    """
    expected = "a split that keeps neighbouring rows, which share readings and labels, in one part"
    remedy = (
        "time_split for the future of a known fleet, entity_folds for machines never seen; "
        "random_split(..., demonstrate_leakage=True) shows how much better the wrong number looks"
    )
    _require(demonstrate_leakage is True, "demonstrate_leakage", expected, "a random one", remedy)
    shares = 0 < test_share < 1 and 0 <= calibration_share < 1 - test_share
    _require(shares, "test_share", "shares that leave rows to train on", f"{test_share} and {calibration_share}")
    rows = len(index)
    place = np.random.default_rng(seed).permutation(rows)
    tested, held = round(rows * test_share), round(rows * (test_share + calibration_share))
    parts = place >= held, (place >= tested) & (place < held), place < tested
    return Split("random", "random", *parts, pd.NaT, 0, 0)


def check_split(
    split: Split, index: pd.Index, *, horizon: Length, lookback: Length = "0s", fitted_on: Mapping | Sequence = ()
) -> None:
    """Refuse a split whose earlier parts know of the later ones, wherever it came from.

    Parameters
    ----------
    split : Split
        One of protocol "entity" must not share entities between parts; of any other, the label and the look-back of
        each row must stay before the next part (which a random split never does).
    index : MultiIndex (entity, timestamp)
        The rows that were split.
    horizon, lookback : text, Timedelta or whole seconds
        As in `time_split`.
    fitted_on : mapping, or several
        Of each table that went into the features (`stability.schema.FittedOn`): no test row may lie inside.

    Raises
    ------
    ContractError
        With the first offending row, and how many there are.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=12, freq="D", tz="UTC", unit="us")
    >>> split = time_split(days, horizon="1D", lookback="0s", test_from=days[8], calibration_share=0)
    >>> check_split(split, days, horizon="1D")
    >>> check_split(split, days, horizon="2D")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: row 7: expected labels of train ...
    """
    codes, times, entities = index_arrays(index)
    parts = {name: _over_rows(getattr(split, name), len(codes), name).astype(bool) for name in PARTS}
    several = np.flatnonzero(sum(part.astype(int) for part in parts.values()) > 1)
    if len(several):
        raise ContractError(row=int(several[0]) + 1, expected="each row in one part at most", got="it in two")
    for earlier, later in itertools.combinations(PARTS, 2):
        if not parts[earlier].any() or not parts[later].any():
            continue
        if split.protocol == "entity":
            shared = np.intersect1d(codes[parts[earlier]], codes[parts[later]])
            got = f"{entities[shared[0]]} in both ({len(shared)} such)" if len(shared) else ""
            _require(not len(shared), "entity", f"other entities in {later} than in {earlier}", got, "entity_folds")
        else:
            _require_before(index, times, parts, earlier, later, *_gap(horizon, lookback))
    for one in [fitted_on] if isinstance(fitted_on, Mapping) else fitted_on or ():
        refuse_overlap(one, pd.DataFrame(index=index[parts["test"]]), fold=split.name)


def _gap(horizon, lookback) -> tuple[int, int]:
    return read_length(horizon, "horizon", least=SECOND), read_length(lookback, "lookback")


def _along_time(name, times, inside, start, end, reach: int, back: int, calibration_share: float) -> Split:
    """Cut the rows inside at one boundary, and what precedes it into training and calibration."""
    _require(0 <= calibration_share < 1, "calibration_share", "a share from 0 to below 1", calibration_share)
    test = inside & (times >= start) & (times < end if end is not None else True)
    before = inside & (times < start)
    train = before & (times + reach + back < start)
    reaches = times + reach >= start
    calibration = np.zeros(len(times), dtype=bool)
    if calibration_share and train.any():
        middle = _last_share(times[train], calibration_share)
        calibration = train & (times >= middle)
        train &= times + reach + back < middle
        reaches |= (times < middle) & (times + reach >= middle)
    remedy = "give a longer record, a shorter horizon or look-back, or another boundary"
    for part, rows in zip(PARTS, (train, calibration | (calibration_share == 0), test), strict=True):
        expected = f"rows of the part {part}, with {pd.Timedelta(reach + back, 'us')} before the part that follows"
        _require(rows.any(), None, expected, f"none in {name}", remedy)
    out = before & ~train & ~calibration
    purged = int((out & reaches).sum())
    return Split(name, "time", train, calibration, test, _moment(start), purged, int(out.sum()) - purged)


def _moment(microseconds: int) -> pd.Timestamp:
    return pd.Timestamp(int(microseconds), unit="us", tz="UTC")


def _last_share(times: np.ndarray, share: float) -> int:
    """Find the moment from which on at least this share of the rows lies."""
    _require(0 < share < 1 and len(times), "test_share", "a share between 0 and 1 of some rows", share)
    return int(np.sort(times)[-math.ceil(len(times) * share - 1e-9)])  # 100 * 0.07 is a little more than 7


def _require_before(index, times, parts, earlier: str, later: str, reach: int, back: int) -> None:
    first = times[parts[later]].min()
    bad = np.flatnonzero(parts[earlier] & (times + reach + back >= first))
    if len(bad):
        expected = f"labels of {earlier} (and the look-back of {later}) to end before {_moment(first)}"
        got = f"{index[bad[0]]} with {pd.Timedelta(reach + back, 'us')} to be kept free ({len(bad):,} such rows)"
        raise ContractError(row=int(bad[0]) + 1, expected=expected, got=got, remedy="time_split leaves this gap")


def _shares(numbers: np.ndarray, weights: np.ndarray, present: np.ndarray) -> np.ndarray:
    sums = np.bincount(numbers, weights=weights.astype(float))[present]
    return sums / max(sums.sum(), 1)


def _over_rows(values: Rows, rows: int, name: str) -> np.ndarray:
    array = np.ones(rows, dtype=bool) if values is None else np.asarray(values)
    _require(array.shape == (rows,), name, f"one value for each of {rows:,} rows", f"shape {array.shape}")
    return array


def _require(held, name: str | None, expected: str, got, remedy: str | None = None) -> None:
    if not held:
        raise ContractError(column=name, expected=expected, got=got, remedy=remedy)
