"""Labels: whether and when the users of an entity feel the next fault, as far as the record can tell.

A label of a row at t looks at the half-open interval (t, t + horizon]. What happens at t itself is known at t and is no
news; what happens at the interval's end still counts. Three kinds of rows have no label of yes or no:

* rows within an outage, from the impact until the recovery: users are hurt already, there is nothing to warn of. They
  have no row in the table;
* rows whose horizon reaches beyond the end of the record, without an impact until there. They are `censored`;
* rows after the end of the record, which are censored too.
"""

from __future__ import annotations

__all__ = ["HorizonTarget", "SurvivalTarget", "horizon_target", "impact_labels", "in_outage", "survival_target"]

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.spans import Line, index_arrays, microseconds
from stability.schema import ContractError, coerce_column, nearest, validate

RECOVERY = "1h"  # after an impact without a known end, values still tell of the fault that was, not of the next one
SECOND = 1_000_000  # microseconds; the contract counts horizons in whole seconds
NEVER = np.iinfo(np.int64).max


class HorizonTarget(NamedTuple):
    """What one horizon asks of each row.

    Parameters
    ----------
    usable : array of bool, shape (rows,)
        Rows with a label of yes or no: train and judge on these.
    y : array of bool, shape (rows,)
        An impact starts within the horizon; False also where not usable.
    in_outage, censored, beyond : int
        Rows that are not usable because they have no label, because the record ends before their horizon does, and
        because an end was given and their horizon reaches beyond it.
    """

    usable: np.ndarray
    y: np.ndarray
    in_outage: int
    censored: int
    beyond: int


class SurvivalTarget(NamedTuple):
    """How long each row's entity goes on, to the next impact or to the end of the record.

    Parameters
    ----------
    usable : array of bool, shape (rows,)
        Rows that have a label and some time after them in the record.
    duration : array of float64, shape (rows,)
        In s; NaN where not usable.
    event : array of bool, shape (rows,)
        The duration ends with an impact (True) or with the record (False: censored).
    """

    usable: np.ndarray
    duration: np.ndarray
    event: np.ndarray


def impact_labels(
    index: pd.Index,
    faults: pd.DataFrame,
    horizons: str | int | pd.Timedelta | Sequence[str | int | pd.Timedelta],
    *,
    observed_until: object = None,
    recovery: str | pd.Timedelta = RECOVERY,
    modes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Label each row with whether and when the next impact comes.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
        Rows to label, each once; a plain DatetimeIndex is one entity, 'default'.
    faults : DataFrame
        By the contract. A fault without `impact_start` hurt nobody and counts for nothing, one of another entity
        neither: dependents have faults of their own. What begins while an outage of the entity lasts is part of it.
    horizons : text, Timedelta or whole seconds, or several
        Such as ``["24h", "7D"]``; whole seconds, from 1 s up.
    observed_until : time, or mapping of entity to time, optional
        The last moment at which an impact would have been recorded; by default each entity's last row. A later impact
        is not known: if it counted, rows near the end could be nothing but positive.
    recovery : Timedelta or text
        How long an outage lasts whose `recovered_at` is unknown. "0s": it is over at once, and the row of the impact
        itself has a label.
    modes : sequence of str, optional
        Failure modes that are predicted; by default all. An outage has the modes of the faults that begin it. Rows
        within any outage have no label, whatever its mode.

    Returns
    -------
    DataFrame, index (entity, timestamp, horizon in s)
        `impact_within` (bool), `time_to_impact` (s to the next impact, however far; NaN where none is known),
        `censored` (bool), sorted by its index. Rows within an outage are missing; `in_outage` counts them.

    Raises
    ------
    ContractError
        When a row comes twice, `faults` breaks its contract, a horizon is not of whole seconds, a mode is unknown, or
        an entity has no end of observation.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=4, freq="h", tz="UTC", unit="us")
    >>> faults = pd.DataFrame({"fault_id": ["f"], "entity": ["default"], "impact_start": hours[[2]]})
    >>> impact_labels(hours, faults, ["1h", "2h"]).droplevel("entity")
                                       impact_within  time_to_impact  censored
    timestamp                 horizon
    2026-01-01 00:00:00+00:00 3600             False          7200.0     False
                              7200              True          7200.0     False
    2026-01-01 01:00:00+00:00 3600              True          3600.0     False
                              7200              True          3600.0     False
    2026-01-01 03:00:00+00:00 3600             False             NaN      True
                              7200             False             NaN      True
    """
    several = [horizons] if isinstance(horizons, str | int | np.integer | pd.Timedelta) else list(horizons)
    if not several:
        raise ContractError(column="horizons", expected="a horizon, such as '24h'", got="none")
    ahead = np.unique([_horizon(one) for one in several])
    rows = validate(pd.DataFrame(index=index), "telemetry", source="index").index
    codes, times, entities = index_arrays(rows)
    until = _until(observed_until, codes, times, entities)
    outages = _outages(faults, entities, recovery, modes)
    kept = ~_inside(codes, times, outages)
    rows, codes, times, until = rows[kept], codes[kept], times[kept], until[kept]
    impact = _next(codes, times, outages[outages["counts"]])
    known = impact <= until
    wait = np.where(known, impact - times, NEVER)
    within = wait[:, None] <= ahead
    censored = (times[:, None] + ahead > until[:, None]) & ~within
    parts = [np.repeat(part, len(ahead)) for part in rows.codes]
    seconds = pd.Index(ahead // SECOND, name="horizon")
    keys = pd.MultiIndex(
        levels=[*rows.levels, seconds],
        codes=[*parts, np.tile(np.arange(len(ahead)), len(rows))],
        names=[*rows.names, "horizon"],
        verify_integrity=False,
    )
    columns = {
        "impact_within": within.ravel(),
        "time_to_impact": np.repeat(np.where(known, wait / SECOND, np.nan), len(ahead)),
        "censored": censored.ravel(),
    }
    return pd.DataFrame(columns, index=keys)


def in_outage(index: pd.Index, faults: pd.DataFrame, *, recovery: str | pd.Timedelta = RECOVERY) -> pd.Series:
    """Mark the rows at which an entity's users are hurt already: impact_start <= t < recovered_at.

    Parameters
    ----------
    index : MultiIndex (entity, timestamp)
        In any order; a plain DatetimeIndex is one entity, 'default'.
    faults, recovery
        As in `impact_labels`, which leaves these rows out.

    Returns
    -------
    Series of bool over `index`

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=4, freq="h", tz="UTC", unit="us")
    >>> times = {"impact_start": hours[[1]], "recovered_at": hours[[3]]}
    >>> in_outage(hours, pd.DataFrame({"fault_id": ["f"], "entity": ["default"], **times})).tolist()
    [False, True, True, False]
    """
    codes, times, entities = index_arrays(index)
    marked = _inside(codes, times, _outages(faults, entities, recovery, None))
    return pd.Series(marked, index=index, name="in_outage")


def horizon_target(
    labels: pd.DataFrame, index: pd.Index, horizon: str | int | pd.Timedelta, *, record_end: object = None
) -> HorizonTarget:
    """Turn the labels of one horizon into arrays over rows.

    Parameters
    ----------
    labels : DataFrame, index (entity, timestamp, horizon)
        As of `impact_labels`.
    index : MultiIndex (entity, timestamp)
        Rows of the features, in any order.
    horizon : text, Timedelta or whole seconds
        One that was labelled.
    record_end : time, or mapping of entity to time, optional
        Leaves out each row whose horizon reaches beyond it, also where an impact came in time: near the end only
        positive rows are certain, and they alone would raise the base rate. Right where the record ends at a date;
        wrong where it ends because the entity failed.

    Returns
    -------
    HorizonTarget

    Raises
    ------
    ContractError
        When the horizon was not labelled, or none of the rows has a label.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=4, freq="h", tz="UTC", unit="us")
    >>> faults = pd.DataFrame({"fault_id": ["f"], "entity": ["default"], "impact_start": hours[[2]]})
    >>> target = horizon_target(impact_labels(hours, faults, "1h"), hours, "1h")
    >>> target.usable.tolist(), target.y.tolist(), target.in_outage, target.censored
    ([True, True, False, False], [False, True, False, False], 1, 1)
    """
    length = _horizon(horizon)
    there = labels.index.get_level_values("horizon")
    own = labels[there == length // SECOND]
    if own.empty:
        known = ", ".join(f"{pd.Timedelta(seconds, 's')}" for seconds in there.unique()[:5]) or "no horizon"
        remedy = "name it in impact_labels(index, faults, horizons)"
        raise ContractError(file="labels", column="horizon", expected=f"{horizon}", got=known, remedy=remedy)
    place = _places(own.index, index)
    labelled = place >= 0
    y = labelled & own["impact_within"].to_numpy()[place]
    censored = labelled & own["censored"].to_numpy()[place]
    usable = labelled & ~censored
    beyond = np.zeros(len(usable), dtype=bool)
    if record_end is not None:
        codes, times, entities = index_arrays(index)
        beyond = usable & (times + length > _until(record_end, codes, times, entities))
        usable &= ~beyond
    return HorizonTarget(usable, y & usable, int((~labelled).sum()), int(censored.sum()), int(beyond.sum()))


def survival_target(labels: pd.DataFrame, index: pd.Index, *, observed_until: object = None) -> SurvivalTarget:
    """Turn labels into durations to the next impact, or to the end of the record where none is known.

    Parameters
    ----------
    labels : DataFrame, index (entity, timestamp, horizon)
        As of `impact_labels`; which horizons there are makes no difference.
    index : MultiIndex (entity, timestamp)
        Rows of the features, in any order.
    observed_until : time, or mapping of entity to time, optional
        The same as for the labels; by default each entity's last row in `index`.

    Returns
    -------
    SurvivalTarget

    Raises
    ------
    ContractError
        When none of the rows has a label.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=5, freq="h", tz="UTC", unit="us")
    >>> faults = pd.DataFrame({"fault_id": ["f"], "entity": ["default"], "impact_start": hours[[1]]})
    >>> target = survival_target(impact_labels(hours, faults, "1h"), hours)
    >>> target.duration.tolist(), target.event.tolist()
    ([3600.0, nan, 7200.0, 3600.0, nan], [True, False, False, False, False])
    """
    codes, times, entities = index_arrays(index)
    there = labels.index.get_level_values("horizon")
    own = labels[there == there.min()] if len(labels) else labels
    place = _places(own.index, index)
    wait = np.where(place >= 0, own["time_to_impact"].to_numpy()[place], np.nan)
    event = ~np.isnan(wait)
    rest = (_until(observed_until, codes, times, entities) - times) / SECOND
    usable = (place >= 0) & (event | (rest > 0))
    return SurvivalTarget(usable, np.where(usable, np.where(event, wait, rest), np.nan), event)


def read_length(length: str | int | pd.Timedelta, name: str, *, least: int = 0) -> int:
    """Read a length of time, whole numbers as seconds, of at least so many microseconds; gives microseconds."""
    whole = isinstance(length, int | np.integer) and not isinstance(length, bool)
    read = int(length) * SECOND if whole else microseconds(length, name)
    if read < least:
        expected = f"a length of time from {pd.Timedelta(least, 'us') // pd.Timedelta('1s')} s up, such as '48h'"
        raise ContractError(column=name, expected=expected, got=str(length))
    return read


def read_moments(stamps: object, name: str) -> np.ndarray:
    """Read times with their zone, such as 2026-01-31T12:00:00Z; gives microseconds since 1970."""
    several = pd.Series(list(stamps) if pd.api.types.is_list_like(stamps) else [stamps], name=name)
    read = coerce_column(several, "datetime64[us, UTC]", source="parameters", nullable=False)
    return pd.DatetimeIndex(read).as_unit("us").asi8


def _horizon(horizon: str | int | pd.Timedelta) -> int:
    length = read_length(horizon, "horizon", least=SECOND)
    if length % SECOND:
        raise ContractError(column="horizon", expected="a length of whole seconds", got=str(horizon))
    return length


def _until(until: object, codes: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
    """Give the end of observation for each row, in microseconds."""
    if until is None:
        last = np.full(len(entities), np.iinfo(np.int64).min)
        np.maximum.at(last, codes, times)
        return last[codes]
    if not isinstance(until, Mapping | pd.Series):
        return np.full(len(codes), read_moments(until, "observed_until")[0])
    ends = pd.Series(until)
    ends.index = ends.index.astype(str)
    lacking = entities.difference(ends.index)
    if len(lacking):
        remedy = nearest(lacking[0], ends.index)
        got = f"none for {lacking[0]}" + f" and {len(lacking) - 1} more" * (len(lacking) > 1)
        raise ContractError(column="observed_until", expected="a time for each entity", got=got, remedy=remedy)
    return read_moments(ends.loc[entities], "observed_until")[codes] if len(entities) else np.zeros(0, dtype=np.int64)


def _outages(faults: pd.DataFrame, entities: pd.Index, recovery, modes: Sequence[str] | None) -> pd.DataFrame:
    """Join the faults of these entities into outages in order: code, start, end (us, exclusive), counts (its mode)."""
    lasting = read_length(recovery, "recovery")
    faults = validate(faults, "faults", source="faults")
    named = faults["failure_mode"]
    wanted = [modes] if isinstance(modes, str) else modes
    for mode in wanted or []:
        if mode not in set(named.dropna()):
            remedy = nearest(mode, named.dropna().unique())
            raise ContractError(file="faults", column="failure_mode", expected=f"the mode {mode!r}", remedy=remedy)
    code = entities.get_indexer(faults["entity"])
    felt = faults["impact_start"].notna().to_numpy() & (code >= 0)
    start, end = (pd.DatetimeIndex(faults.loc[felt, name]).as_unit("us") for name in ("impact_start", "recovered_at"))
    begun = start.asi8
    over = np.where(end.isna(), begun + lasting, end.asi8)
    counts = np.ones(felt.sum(), dtype=bool) if wanted is None else named[felt].isin(wanted).to_numpy()
    frame = pd.DataFrame({"code": code[felt], "start": begun, "end": over, "counts": counts})
    frame = frame.groupby(["code", "start"], as_index=False, sort=True).agg({"end": "max", "counts": "any"})
    before = frame.groupby("code")["end"].cummax().groupby(frame["code"]).shift(fill_value=np.iinfo(np.int64).min)
    number = (frame["start"] >= before).cumsum()
    return frame.groupby(number).agg({"code": "first", "start": "first", "end": "max", "counts": "first"})


def _inside(codes: np.ndarray, times: np.ndarray, outages: pd.DataFrame) -> np.ndarray:
    """Say of each row whether it lies in an outage of its entity."""
    if outages.empty:
        return np.zeros(len(codes), dtype=bool)
    whose, start, end = (outages[name].to_numpy() for name in ("code", "start", "end"))
    line = Line(times, start)
    last = np.searchsorted(line.key(whose, start), line.key(codes, times), side="right") - 1
    return (last >= 0) & (whose[last] == codes) & (times < end[last])


def _next(codes: np.ndarray, times: np.ndarray, outages: pd.DataFrame) -> np.ndarray:
    """Give the start of the next outage strictly after each row, in us; `NEVER` without one."""
    if outages.empty:
        return np.full(len(codes), NEVER)
    whose, start = (outages[name].to_numpy() for name in ("code", "start"))
    line = Line(times, start)
    after = np.searchsorted(line.key(whose, start), line.key(codes, times), side="right")
    here = np.minimum(after, len(start) - 1)
    return np.where((after < len(start)) & (whose[here] == codes), start[here], NEVER)


def _places(labelled: pd.MultiIndex, index: pd.Index) -> np.ndarray:
    """Find the position of each row of `index` among the labelled rows; -1 where it has no label."""
    codes, times, entities = index_arrays(index)
    own, stamps, names = index_arrays(labelled)
    if not len(own):
        raise ContractError(file="labels", expected="labels of these rows", got="an empty table")
    line = Line(times, stamps)
    keys = line.key(own, stamps)
    order = np.argsort(keys, kind="stable")
    wanted = line.key(names.get_indexer(entities)[codes], times)
    found = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    place = np.where(keys[found] == wanted, found, -1)
    if len(place) and (place < 0).all():
        remedy = "label the rows of the features: impact_labels(features.index, ...)"
        raise ContractError(file="labels", expected="labels of these rows", got="labels of others only", remedy=remedy)
    return place
