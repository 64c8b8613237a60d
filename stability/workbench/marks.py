"""Incidents that somebody marked by hand, kept as fault records: what a picture taught is not lost with the picture."""

from __future__ import annotations

__all__ = ["mark", "marks", "unmark"]

import re
from pathlib import Path

import pandas as pd

from stability.schema import ContractError, empty, home, read_table, validate, write_table
from stability.workbench.tracking import locked

SOURCE = "marked by hand"


def _file(dataset: str) -> Path:
    if not isinstance(dataset, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", dataset) or ".." in dataset:
        expected = "the name of a dataset: letters, digits, '_', '-' and '.', no '..'"
        raise ContractError(column="dataset", expected=expected, got=repr(dataset))
    return home() / "marks" / f"{dataset}.parquet"


def marks(dataset: str) -> pd.DataFrame:
    """Give what was marked of a dataset.

    Parameters
    ----------
    dataset : str
        Its name.

    Returns
    -------
    DataFrame
        The contract's `faults`, from `marks/<dataset>.parquet` in the workbench's folder; without rows where nothing
        was marked. A spec can name the file as an option of a live source: ``faults: marks/prometheus.parquet``.

    Raises
    ------
    ContractError
        When the name could lead out of that folder: it has other than letters, digits, ``_``, ``-`` and ``.``.
    """
    path = _file(dataset)
    return read_table(path, "faults") if path.is_file() else empty("faults")


def mark(dataset: str, entity: str, start: pd.Timestamp, end: pd.Timestamp, mode: str = "") -> pd.DataFrame:
    """Keep an incident as a label; the same entity and start again replaces what was marked.

    Parameters
    ----------
    dataset, entity : str
        Where.
    start, end : Timestamp
        From the first moment at which users felt it, to their recovery. With a time zone.
    mode : str
        The failure mode, if it is known.

    Returns
    -------
    DataFrame
        All marks of the dataset.

    Raises
    ------
    ContractError
        When it ends before it begins, a moment has no time zone, or as `marks`.
    """
    start, end = (pd.Timestamp(moment) for moment in (start, end))
    for name, moment in (("start", start), ("end", end)):
        if moment.tz is None:
            raise ContractError(column=name, expected="a moment with a time zone", got=moment)
    if end < start:
        raise ContractError(column="end", expected=f"a moment from {start} on", got=end)
    start, end = start.tz_convert("UTC"), end.tz_convert("UTC")
    row = {"fault_id": f"mark/{dataset}/{entity}/{start:%Y-%m-%dT%H:%M:%S.%f}", "entity": entity, "source": SOURCE}
    row |= {"impact_start": start, "recovered_at": end, "failure_mode": mode or None, "root_entity": None}
    new = validate(pd.DataFrame([row]).set_index("fault_id"), "faults")
    with locked(_file(dataset).with_suffix(".lock")):
        before = marks(dataset)
        kept = validate(pd.concat([before.drop(index=new.index, errors="ignore"), new]), "faults")
        write_table(kept, _file(dataset), "faults")
    return kept


def unmark(dataset: str, fault_id: str) -> pd.DataFrame:
    """Take a mark back.

    Parameters
    ----------
    dataset, fault_id : str
        Which.

    Returns
    -------
    DataFrame
        The marks that are left.

    Raises
    ------
    ContractError
        When there is no such mark, or as `marks`.
    """
    with locked(_file(dataset).with_suffix(".lock")):
        before = marks(dataset)
        if fault_id not in before.index:
            raise ContractError(expected=f"the id of a mark of {dataset!r}", got=repr(fault_id))
        write_table(before.drop(index=fault_id), _file(dataset), "faults")
    return marks(dataset)
