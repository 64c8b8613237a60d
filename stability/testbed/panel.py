"""What is read of the service, and what becomes of it: one panel at one second, derived causally, small on disk."""

from __future__ import annotations

__all__ = ["COLUMNS", "QUERIES", "WINDOW", "derive", "inventory", "read_panel"]

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from stability.schema import ContractError, validate
from stability.telemetry import is_counter, read_prometheus

WINDOW = 10  # s before a moment whose requests and look-ups its quantiles and its hit ratio tell of
DIGITS = 5  # significant digits of a gauge: more is noise, and noise fills disks
TICKS = 2  # decimals of a counter: a process counts its CPU time in hundredths of a second, everything else in ones
QUANTILES = {"p50": 0.5, "p99": 0.99}

_DURATION = "http_server_request_duration_seconds"
_BUCKET = f"{_DURATION}_bucket"
_ALIVE = "http_server_active_requests"  # exported from the start by whoever answers requests
_AFTER_THE_FIRST = ("http_server_requests_total", "http_server_errors_total")  # not exported before there is one
# Who has a metric is said, too: a process that imports another's module exports the metrics of that one, at 0.
_SERVERS, _MODELS = 'instance=~"gateway|model-.+|feature-store"', 'instance=~"model-.+"'
_STORE, _HOST, _USERS = 'instance="feature-store"', 'instance="host"', 'instance="users"'
_PLAIN = {
    "up": ("min", ""),
    "process_cpu_seconds_total": ("sum", ""),
    "process_resident_memory_bytes": ("sum", ""),
    "process_open_fds": ("sum", ""),
    "process_threads": ("sum", ""),
    "http_server_active_requests": ("sum", _SERVERS),
    "model_queue_depth": ("sum", _MODELS),
    "model_batch_size": ("avg", _MODELS),
    "model_predictions_total": ("sum", _MODELS),
    "model_cache_hits_total": ("sum", _MODELS),
    "model_cache_misses_total": ("sum", _MODELS),
    "model_prediction_confidence_ratio": ("avg", _MODELS),
    "model_prediction_quality_ratio": ("avg", _MODELS),
    "db_client_connections_used": ("sum", _MODELS),
    "db_client_connections_pending_requests": ("sum", _MODELS),
    "system_filesystem_utilization_ratio": ("max", _MODELS),
    "feature_drift_psi": ("max", _STORE),
    "system_cpu_utilization_ratio": ("max", _HOST),
    "system_cpu_load_1m": ("max", _HOST),
    "system_memory_available_bytes": ("min", _HOST),
    "service_requests": ("sum", _USERS),
    "service_latency_seconds_p50": ("max", _USERS),
    "service_latency_seconds_p95": ("max", _USERS),
    "service_latency_seconds_p99": ("max", _USERS),
    "service_availability_ratio": ("min", _USERS),
}  # exported under the column's own name
_FAILED = 'http_response_status_code=~"5.."'

QUERIES: Mapping[str, str] = MappingProxyType(
    {
        **{name: f"{how} by (instance) ({name}{f'{{{who}}}' if who else ''})" for name, (how, who) in _PLAIN.items()},
        "http_server_requests_total": f"sum by (instance) ({_DURATION}_count{{{_SERVERS}}})",
        "http_server_errors_total": f"sum by (instance) ({_DURATION}_count{{{_SERVERS}, {_FAILED}}})",
        _BUCKET: f"sum by (instance, le) ({_BUCKET}{{{_SERVERS}}})",
    }
)
"""Column to query. All are of one form, `AGG by (instance[, le]) (selector)`, which the collector understands, too."""

COLUMNS = (
    *(name for name in QUERIES if name != _BUCKET),
    *(f"{_DURATION}_{name}" for name in QUANTILES),
    "model_cache_hit_ratio",
)
"""Columns of the panel, in order; an entity that does not export a metric has NaN throughout."""


def read_panel(url: str, start: str | pd.Timestamp, end: str | pd.Timestamp) -> pd.DataFrame:
    """Read what a Prometheus or the collector holds, and derive quantiles and the hit ratio.

    Parameters
    ----------
    url : str
        Address of the one or the other.
    start, end : str or Timestamp
        First and last moment, both inclusive, with their zone. What is derived at `start` tells of the seconds before
        it, as far as the server holds them.

    Returns
    -------
    DataFrame
        Telemetry at 1 s, every entity on the whole grid, `COLUMNS`, float64.

    Raises
    ------
    ContractError, ConnectionError
        As `stability.telemetry.read_prometheus`.
    """
    first = pd.Timestamp(start)
    raw = read_prometheus(
        url,
        QUERIES,
        first if first.tzinfo is None else first - pd.Timedelta(seconds=WINDOW),
        end,
        step="1s",
        entity="{instance}",
        dimensions=["le"],
        infinite="missing",
    )
    panel = derive(raw)
    return panel[panel.index.get_level_values("timestamp") >= first]


def derive(raw: pd.DataFrame) -> pd.DataFrame:
    """Make the panel of what the queries gave; nothing at t is made of anything after t.

    Parameters
    ----------
    raw : DataFrame
        Telemetry on a grid of 1 s, a column a query and one for each bucket, `..._bucket__le_<seconds>`.

    Returns
    -------
    DataFrame
        `COLUMNS`; buckets are gone. Gauges have 5 significant digits, counters stay raw with 2 decimals.

    Raises
    ------
    ContractError
        If an entity's rows are not a second apart.

    Notes
    -----
    Increments over the trailing 10 s are those between the oldest row within 10 s and the row itself. If any of the
    counters that belong together has fallen between two rows, the process was restarted and all of them began at 0,
    even one that has already grown beyond its old value. Where the row itself has no sample, or is the only one within
    10 s, and where nothing happened, the result is NaN. Requests and errors are 0, not missing, while a process that
    would export them answers the scraper and has had none.

    Quantiles interpolate within the bucket as Prometheus does (documentation, "histogram_quantile"): the lowest bucket
    begins at 0, and a quantile beyond the last finite bound is that bound.
    """
    raw = raw.reindex(columns=list(dict.fromkeys([*QUERIES, *raw.columns]))).drop(columns=_BUCKET)
    bounds = {_bound(name): name for name in raw.columns if name.startswith(f"{_BUCKET}__le_")}
    buckets = [bounds[bound] for bound in sorted(bounds)]
    alive = raw[_ALIVE].notna()
    for name in (*_AFTER_THE_FIRST, *buckets):
        raw[name] = raw[name].mask(alive & raw[name].isna(), 0.0)
    parts = [_derive_one(who, frame, buckets, sorted(bounds)) for who, frame in raw.groupby(level="entity", sort=False)]
    panel = pd.concat(parts) if parts else raw.assign(**dict.fromkeys(COLUMNS, np.nan))
    return validate(panel.loc[:, list(COLUMNS)].apply(_rounded), "telemetry")


def inventory(panel: pd.DataFrame) -> pd.DataFrame:
    """Count what there is: for each entity its rows, its columns, how many cells hold a value, and the columns' names.

    Parameters
    ----------
    panel : DataFrame
        Telemetry.

    Returns
    -------
    DataFrame
        Indexed by entity: rows, columns, cells (int), names (text, comma-separated, in the panel's order). A column in
        which an entity has no value is none of its columns.
    """
    there = panel.notna()
    held = there.groupby(level="entity").any()
    return pd.DataFrame(
        {
            "rows": there.groupby(level="entity").size(),
            "columns": held.sum(axis=1),
            "cells": there.sum(axis=1).groupby(level="entity").sum(),
            "names": [", ".join(held.columns[row]) for row in held.to_numpy()],
        },
        index=held.index,
    )


def _bound(column: str) -> float:
    text = column.removeprefix(f"{_BUCKET}__le_")
    return np.inf if text == "_Inf" else float(text.replace("_", "."))


def _derive_one(entity: str, frame: pd.DataFrame, buckets: list[str], bounds: list[float]) -> pd.DataFrame:
    seconds = frame.index.get_level_values("timestamp").as_unit("us").asi8
    if (np.diff(seconds) != 1_000_000).any():
        raise ContractError(column="timestamp", expected="rows that are a second apart", got=f"others of {entity}")
    counts = _recent(frame[buckets].to_numpy())
    made = {f"{_DURATION}_{name}": _quantile(q, counts, bounds) for name, q in QUANTILES.items()}
    hits, misses = _recent(frame[["model_cache_hits_total", "model_cache_misses_total"]].to_numpy()).T
    with np.errstate(invalid="ignore"):
        return frame.assign(**made, model_cache_hit_ratio=hits / (hits + misses))  # 0 / 0 is NaN


def _recent(counters: np.ndarray) -> np.ndarray:
    """Increments of counters that belong together over the trailing window, (n, k) -> (n, k)."""
    n, k = counters.shape
    result = np.full((n, k), np.nan)
    present = np.flatnonzero(np.isfinite(counters).all(axis=1)) if k else np.empty(0, dtype="int64")
    if len(present) == 0:
        return result
    seen = counters[present]
    steps = np.diff(seen, axis=0, prepend=seen[:1])
    fallen = (steps < 0).any(axis=1)
    steps[fallen] = seen[fallen]
    total = np.cumsum(steps, axis=0)  # of whole numbers, hence exact: where one begins to add does not matter
    oldest = np.searchsorted(present, present - WINDOW)
    several = oldest < np.arange(len(present))
    result[present[several]] = (total - total[oldest])[several]
    return result


def _quantile(q: float, counts: np.ndarray, bounds: list[float]) -> np.ndarray:
    """Quantile of each row of cumulative counts, (n, buckets) -> (n,)."""
    result = np.full(len(counts), np.nan)
    if len(bounds) < 2 or bounds[-1] != np.inf:  # without a last bucket the number of requests is not known
        return result
    asked = np.flatnonzero(counts[:, -1] > 0)
    held = np.maximum.accumulate(counts[asked], axis=1)
    rank = q * held[:, -1]
    at = (held < rank[:, None]).sum(axis=1)  # the first bucket that holds the rank
    last = len(bounds) - 1
    upper = np.array([*bounds[:-1], bounds[-2]])
    lower = np.array([0.0, *bounds[:-2], bounds[-2]])
    below = np.where(at > 0, held[np.arange(len(asked)), at - 1], 0.0)
    inside = held[np.arange(len(asked)), at] - below
    share = np.divide(rank - below, inside, out=np.zeros(len(asked)), where=(inside > 0) & (at < last))
    result[asked] = lower[at] + (upper[at] - lower[at]) * share
    return result


def _rounded(column: pd.Series) -> pd.Series:
    """Round a counter to its ticks, a gauge to its significant digits."""
    if is_counter(str(column.name)):
        return column.round(TICKS)
    values = column.to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        places = DIGITS - 1 - np.floor(np.log10(np.abs(values)))
    places = np.where(np.isfinite(places), places, 0)
    up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)  # powers of ten are exact, tenths are not
    return pd.Series(np.round(values * up / down) / up * down, index=column.index, name=column.name)
