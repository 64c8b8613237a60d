"""What is told beside metrics: tables in files that the declaration names, and those of the source."""

from __future__ import annotations

__all__ = ["told_beside", "unchanged_since"]

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from stability.schema import read_table

if TYPE_CHECKING:
    from stability.monitor.chain import Watch


def told_beside(watch: Watch, first: pd.Timestamp, now: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Read what is told beside the metrics: any of states, logs, feedback and topology.

    Parameters
    ----------
    watch : Watch
    first, now : Timestamp
        From when, as far as the source knows how to begin there; up to the step that begins at `now`, inclusive.
    """
    places = {name: watch.told.place(path) for name, path in watch.told.beside.items()}
    tables = {name: read_table(path, name) for name, path in places.items() if path.is_file()}
    if watch.beside is not None:
        tables |= watch.beside(first, now + pd.Timedelta(watch.told.step_us, "us"))
    return tables


def unchanged_since(states: pd.DataFrame, now: pd.Timestamp) -> Mapping[str, Mapping[str, pd.Timestamp]]:
    """Say since when each state has been what it is.

    Parameters
    ----------
    states : DataFrame
        The contract's table; rows that repeat a value are no change.
    now : Timestamp
        What comes later does not count.

    Returns
    -------
    mapping
        Entity -> name of the state -> moment of its last change; of its first row where it never changed.

    Examples
    --------
    >>> at = pd.to_datetime(["2026-03-01 12:00", "2026-03-01 12:05", "2026-03-01 12:09"], utc=True)
    >>> table = pd.DataFrame({"entity": "m", "name": "version", "timestamp": at, "value": ["1.0", "1.1", "1.1"]})
    >>> {e: {n: f"{t:%H:%M}" for n, t in of.items()} for e, of in unchanged_since(table, at[2]).items()}
    {'m': {'version': '12:05'}}
    """
    known = states[states["timestamp"] <= now].sort_values("timestamp", kind="stable")
    values, keys = known["value"].astype(object), [known["entity"], known["name"]]
    before = values.groupby(keys).shift()
    changed = known[(values != before) & ~(values.isna() & before.isna())]
    last = changed.groupby(["entity", "name"])["timestamp"].last()
    return {entity: of.droplevel("entity").to_dict() for entity, of in last.groupby(level="entity")}
