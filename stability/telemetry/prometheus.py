"""Metrics from a Prometheus server, or whatever speaks its HTTP API (Thanos, Mimir, VictoriaMetrics), as a panel."""

from __future__ import annotations

__all__ = ["check_prometheus", "read_prometheus"]

import logging
import re
import string
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import pandas as pd

from stability.schema import ContractError, metric_registry, validate
from stability.telemetry.grid import MAX_CELLS, micros, moment
from stability.telemetry.prometheus_http import asker, checked_url, open_client
from stability.telemetry.series import claim, column_name

POINTS = 11_000  # of one series in one answer; the server refuses more
NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"

log = logging.getLogger(__name__)


def read_prometheus(
    url: str,
    queries: Mapping[str, str] | Sequence[str] | str,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    step: str | float | timedelta,
    *,
    entity: str = "{job}/{instance}",
    dimensions: Sequence[str] = (),
    infinite: str = "error",
    timeout: float = 30.0,
    retries: int = 4,
    backoff: float = 0.5,
    progress: bool = False,
) -> pd.DataFrame:
    """Evaluate PromQL over a range and lay the series out as a panel on a regular grid.

    The grid is every multiple of `step` since 1970 from `start` to `end`, so that two reads that overlap agree where
    they do. A value at t is what the server knows at t: its newest sample within the lookback (5 minutes unless the
    server is told otherwise). Where there is none, because the series is absent, stale or NaN, the value is missing.

    Parameters
    ----------
    url : str
        Address of the server, with the path prefix if it has one; no credentials in it. They come from the environment:
        STABILITY_PROMETHEUS_TOKEN (bearer), else STABILITY_PROMETHEUS_USER and STABILITY_PROMETHEUS_PASSWORD (basic).
    queries : mapping of str to str, or sequence of str
        Column name to PromQL. A bare name stands for the query that the metric registry has for it, else for itself.
    start, end : str or Timestamp
        First and last moment, both inclusive, with their zone.
    step : str, timedelta or float
        Distance of the grid, such as '15s'; a number is seconds. Whole milliseconds.
    entity : str
        Template of the entity's name in labels.
    dimensions : sequence of str
        Labels that stay a dimension: each of them that a series has is appended to the column's name, in this order, as
        `__<label>_<value>`, every character of the value that is no letter, digit or underscore replaced by `_`:
        `node_disk_read_bytes_total__device_sda`, `http_request_duration_seconds_bucket__le_0_5`.
    infinite : {'error', 'missing'}
        What to do with +Inf and -Inf, which a panel does not hold; 'missing' logs how many there were.
    timeout : float
        For each answer, in s; the server is told to give up then, too.
    retries : int
        Further attempts after a lost connection, a timeout, or an answer 408, 429 or 5xx.
    backoff : float
        First pause before another attempt, in s; doubled each time, up to 30 s, with jitter.
    progress : bool
        Show a bar, if the standard error is a terminal.

    Returns
    -------
    DataFrame
        A panel: every entity on the whole grid; a column for each query (and dimension), float64.

    Raises
    ------
    ContractError
        If a query is refused (with the server's own words), a label of the template is missing, two series land on the
        same entity and column, a value is infinite, or nothing was found.
    ConnectionError
        If the server gives no answer after all attempts.

    References
    ----------
    Prometheus documentation, "HTTP API", range queries. https://prometheus.io/docs/prometheus/latest/querying/api/
    """
    wanted, fields, grid, shown = _asked(url, queries, start, end, step, entity, dimensions, infinite)
    dimensions = [dimensions] if isinstance(dimensions, str) else list(dimensions)
    chunks = [grid[at : at + POINTS] for at in range(0, len(grid), POINTS)]
    values: dict[str, dict[str, np.ndarray]] = {}  # column -> entity -> values on the grid
    owners: dict[tuple[str, str], tuple[str, dict]] = {}  # (column, entity) -> query's name and labels of the series
    with open_client(timeout) as client, _bar(len(wanted) * len(chunks), progress) as advance:
        ask = asker(client, shown, timeout, retries, backoff)
        for name, promql in wanted.items():
            found = False
            for chunk in chunks:
                for labels, samples in ask(name, promql, chunk):
                    who = _entity(entity, fields, labels, name, shown)
                    column = column_name(name, labels, dimensions)
                    claim(owners, (column, who), name, labels, dimensions, shown)
                    row = values.setdefault(column, {}).setdefault(who, np.full(len(grid), np.nan))
                    _fill(row, grid, samples, shown)
                    found = True
                advance()
            if not found:
                log.info("%s: no series for %s between %s and %s", shown, name, start, end)
                values.setdefault(name, {})
    return _panel(values, grid, infinite, shown)


def check_prometheus(
    url: str,
    queries: Mapping[str, str] | Sequence[str] | str,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    step: str | float | timedelta,
    *,
    entity: str = "{job}/{instance}",
    dimensions: Sequence[str] = (),
    infinite: str = "error",
    timeout: float = 30.0,
    retries: int = 4,
    backoff: float = 0.5,
) -> None:
    """Look whether :func:`read_prometheus` could be asked this: everything is checked, and one moment evaluated.

    Parameters
    ----------
    url, queries, start, end, step, entity, dimensions, infinite, timeout, retries, backoff
        As for `read_prometheus`. That nothing is found at the last moment is no error.

    Raises
    ------
    ContractError, ConnectionError
        As `read_prometheus`.
    """
    wanted, _, grid, shown = _asked(url, queries, start, end, step, entity, dimensions, infinite)
    with open_client(timeout) as client:
        ask = asker(client, shown, timeout, retries, backoff)
        for name, promql in wanted.items():
            ask(name, promql, grid[-1:])


def _asked(
    url, queries, start, end, step, entity, dimensions, infinite
) -> tuple[dict[str, str], list[str], np.ndarray, str]:
    """What was asked for, checked: queries, fields of the template, grid, address."""
    wanted, fields, grid = _queries(queries), _fields(entity), _grid(start, end, step)
    if infinite not in ("error", "missing"):
        raise ContractError(expected="infinite='error' or 'missing'", got=repr(infinite))
    if not isinstance(dimensions, Sequence) or not all(isinstance(label, str) for label in dimensions):
        raise ContractError(column="dimensions", expected="a list of labels", got=repr(dimensions))
    return wanted, fields, grid, checked_url(url)


def _queries(queries: Mapping[str, str] | Sequence[str] | str) -> dict[str, str]:
    if not isinstance(queries, Mapping):
        if not isinstance(queries, Sequence):
            raise ContractError(column="queries", expected="{column: PromQL}, or a list", got=repr(queries))
        names = [queries] if isinstance(queries, str) else list(queries)
        known = metric_registry()
        queries = {name: (known[name].promql if name in known else None) or name for name in names}
    if not queries:
        raise ContractError(expected="at least one query", got="none")
    for name, promql in queries.items():
        if not re.fullmatch(NAME, str(name)):
            remedy = "give queries as {column: PromQL}: letters, digits and underscores, no digit first"
            raise ContractError(
                expected="column names of letters, digits and underscores", got=repr(name), remedy=remedy
            )
        if not isinstance(promql, str) or not promql.strip():
            raise ContractError(column=name, expected="PromQL", got=repr(promql))
    return dict(queries)


def _fields(template: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except (ValueError, TypeError) as error:
        raise ContractError(
            expected="entity as a template like '{job}/{instance}'", got=f"{template!r}: {error}"
        ) from None
    for _, field, form, conversion in parts:
        if field is not None and (not re.fullmatch(NAME, field) or form or conversion):
            raise ContractError(
                expected="entity as a template of plain label names like '{job}/{instance}'", got=repr(template)
            )
    return [field for _, field, _, _ in parts if field is not None]


def _grid(start, end, step) -> np.ndarray:
    """Unix microseconds of every multiple of the step from start to end, int64."""
    width = micros(step, "step")
    if width % 1_000:
        raise ContractError(column="step", expected="whole milliseconds", got=repr(step))
    first = -(-moment(start, "start") // width)  # rounded up: nothing before `start`
    count = moment(end, "end") // width - first + 1
    given = f"start {start}, end {end}, step {step}"
    if count < 1:
        raise ContractError(expected="a multiple of the step between start and end", got=given)
    if count > MAX_CELLS:
        remedy = "a longer step (a number is in seconds), or look for a wrong moment"
        raise ContractError(expected=f"a grid of at most {MAX_CELLS:,} moments", got=given, remedy=remedy)
    return np.arange(first, first + count) * width


def _entity(template: str, fields: list[str], labels: dict[str, str], name: str, url: str) -> str:
    lacking = [field for field in fields if not labels.get(field)]
    if lacking:
        raise ContractError(
            file=url,
            column=name,
            expected=f"the label {lacking[0]!r} of entity={template!r} on every series",
            got="a series with "
            + (", ".join(f"{key}={value!r}" for key, value in sorted(labels.items())) or "no label"),
            remedy=f"keep it in the query, sum by ({', '.join(fields)}) (...), or make entity= of what is there",
        )
    return template.format_map(labels)


def _fill(row: np.ndarray, grid: np.ndarray, samples: list[list], url: str) -> None:
    """Put samples at their places on the grid; the places between them stay missing."""
    moments = np.rint(np.array([moment for moment, _ in samples], dtype="float64") * 1e3).astype("int64") * 1_000
    places = np.minimum(np.searchsorted(grid, moments), len(grid) - 1)
    if (grid[places] != moments).any():
        raise ContractError(
            file=url, expected="samples on the grid that was asked for", got="samples between its points"
        )
    row[places] = [float(value) for _, value in samples]


def _panel(values: dict[str, dict[str, np.ndarray]], grid: np.ndarray, infinite: str, url: str) -> pd.DataFrame:
    entities = sorted({entity for rows in values.values() for entity in rows})
    if not entities:
        raise ContractError(
            file=url,
            expected="a series for at least one query",
            got="none",
            remedy="look the names up in the server's own page, and whether the window lies inside its retention",
        )
    absent = np.full(len(grid), np.nan)
    timestamps = pd.DatetimeIndex(grid.view("datetime64[us]"), tz="UTC")
    index = pd.MultiIndex.from_product([entities, timestamps], names=["entity", "timestamp"])
    columns = {name: np.concatenate([rows.get(entity, absent) for entity in entities]) for name, rows in values.items()}
    frame = pd.DataFrame(columns, index=index)
    for name, numbers in frame.items():
        places = np.flatnonzero(np.isinf(numbers.to_numpy()))
        if len(places) and infinite == "error":
            entity, moment = index[places[0]]
            raise ContractError(
                file=url,
                column=name,
                expected="finite numbers",
                got=f"{numbers.iloc[places[0]]:+} of {entity} at {moment} ({len(places):,} in all)",
                remedy="mend the query (a division by zero?) or read with infinite='missing'",
            )
        if len(places):
            log.warning("%s: %s: %d infinite values are missing in the panel", url, name, len(places))
    return validate(frame.replace([np.inf, -np.inf], np.nan), "telemetry", source=url)


@contextmanager
def _bar(total: int, progress: bool) -> Iterator[Callable[[], object]]:
    if not (progress and sys.stderr.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Prometheus", total=total)
        yield lambda: bar.advance(task)
