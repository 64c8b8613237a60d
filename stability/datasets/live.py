"""Sources that move, beside the catalogue: a Prometheus and a database, read for a stretch of time."""

from __future__ import annotations

__all__ = ["PROMETHEUS", "reach_metrics"]

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from stability.datasets.sources import Dataset
from stability.schema import ContractError
from stability.telemetry import check_prometheus, read_prometheus

TICK = pd.Timedelta("1us")
RETRIES = 1  # of a look before the start: a person waits for it


def read_metrics(
    url: str,
    queries: Mapping[str, str] | Sequence[str] | str,
    step: str | float,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    entity: str = "{job}/{instance}",
    dimensions: Sequence[str] = (),
    infinite: str = "error",
    timeout: float = 30.0,
    retries: int = 4,
) -> dict[str, pd.DataFrame]:
    """Load what a Prometheus, or whatever speaks its API, knows of a stretch of time.

    Parameters
    ----------
    url, queries, step, entity, dimensions, infinite, timeout, retries
        As for `telemetry.read_prometheus`; credentials come from the environment alone.
    start, end : str or Timestamp
        First moment, inclusive, and last, exclusive, with their zone.

    Returns
    -------
    dict
        `telemetry`.

    Raises
    ------
    ContractError
        As `telemetry.read_prometheus`, and when the server does not answer.
    """
    _refuse_types({"timeout": timeout, "retries": retries})
    options = {"entity": entity, "dimensions": dimensions, "infinite": infinite, "timeout": timeout, "retries": retries}
    try:
        return {"telemetry": read_prometheus(url, queries, start, pd.Timestamp(end) - TICK, step, **options)}
    except ConnectionError as error:
        raise ContractError(str(error)) from error


def reach_metrics(
    url: str,
    queries: Mapping[str, str] | Sequence[str] | str,
    step: str | float,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    timeout: float = 30.0,
    retries: int = 4,
    **options,
) -> None:
    """Ask the server for one moment of every query: whether it is there, lets us in and takes the PromQL.

    Raises
    ------
    ContractError
        As :func:`read_metrics`; that nothing was found at this one moment is no error.
    """
    _refuse_types({"timeout": timeout, "retries": retries})
    options |= {"timeout": timeout, "retries": min(retries, RETRIES)}
    try:
        check_prometheus(url, queries, start, pd.Timestamp(end) - TICK, step, **options)
    except ConnectionError as error:
        raise ContractError(str(error)) from error


def _refuse_types(numbers: Mapping[str, object]) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ContractError(column=name, expected="a number, not below zero", got=repr(value))


def _nothing() -> Path:
    raise ContractError("a live source is read when a run starts: there is nothing to fetch")


PROMETHEUS = Dataset(
    name="prometheus",
    description="a Prometheus, or what speaks its API: options {url: ..., queries: {metric: PromQL}, step: 1min}",
    licence="yours",
    citation="",
    labels="none",
    origin="you",
    load=read_metrics,
    files=None,
    digests=lambda **options: _moves("prometheus"),
    fetch=_nothing,
)


def _moves(name: str) -> dict[str, str]:
    raise ContractError(f"what '{name}' says changes: only a snapshot of it has a checksum")
