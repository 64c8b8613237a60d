"""Samples of the last minutes in memory, and the one form of query by which they are asked for."""

from __future__ import annotations

__all__ = ["Query", "QueryError", "Samples", "parse_query"]

import logging
import math
import re
import warnings
from dataclasses import dataclass

import numpy as np

from stability.testbed.scraping import JOB, KEPT, LOOKBACK

SERIES = 4_096  # at most, 88 MB: the testbed has some 600, and an exporter gone wild must not eat the machine's memory
CHUNK = 256  # series by which the memory grows

log = logging.getLogger("collector")

# ---- queries ---------------------------------------------------------------------------------------------------------

_LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
_MATCHER = rf'{_LABEL}\s*=~?\s*"(?:[^"\\]|\\.)*"'
_QUERY = re.compile(
    rf"\s*(sum|max|min|avg)\s+by\s*\(\s*({_LABEL}(?:\s*,\s*{_LABEL})*)\s*\)"
    rf"\s*\(\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{{\s*((?:{_MATCHER}\s*(?:,\s*{_MATCHER}\s*)*)?)\}})?\s*\)\s*"
)
_FORM = 'AGG by (LABEL, ...) (METRIC{LABEL="...", LABEL=~"..."}) with sum, max, min or avg'
_TOGETHER = {"sum": np.nansum, "max": np.nanmax, "min": np.nanmin, "avg": np.nanmean}


class QueryError(ValueError):
    """What this collector does not understand."""


@dataclass(frozen=True)
class Query:
    """One query: how values are put together, by which labels, of which metric, and which labels must match."""

    how: str
    by: tuple[str, ...]
    metric: str
    matchers: tuple[tuple[str, re.Pattern], ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether a series with these labels is meant; a label that is not there is empty."""
        return all(pattern.fullmatch(labels.get(name, "")) for name, pattern in self.matchers)


def parse_query(text: str) -> Query:
    r"""Read a query of the one form.

    Raises
    ------
    QueryError
        Any other PromQL.

    Examples
    --------
    >>> query = parse_query('sum by (instance, le) (seconds_bucket{code=~"5.."})')
    >>> query.how, query.by, query.metric, query.matches({"code": "503"}), query.matches({"code": "200"})
    ('sum', ('instance', 'le'), 'seconds_bucket', True, False)
    """
    found = _QUERY.fullmatch(text)
    if not found:
        raise QueryError(f"this collector understands {_FORM}; for any other PromQL install Prometheus")
    how, by, metric, matchers = found.groups()
    pairs = re.findall(rf'({_LABEL})\s*(=~?)\s*"((?:[^"\\]|\\.)*)"', matchers or "")
    try:
        patterns = tuple(
            (name, re.compile(re.escape(_unquoted(value)) if sign == "=" else _unquoted(value)))
            for name, sign, value in pairs
        )
    except re.error as error:
        raise QueryError(f"{text}: no regular expression: {error}") from None
    return Query(how, tuple(re.findall(_LABEL, by)), metric, patterns)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text)


# ---- samples ---------------------------------------------------------------------------------------------------------


class Samples:
    """The last samples of every series, by the second; older ones are written over.

    Parameters
    ----------
    kept : int
        Seconds that are held.
    most : int
        Series that are held; further ones are left out, which is logged once.
    """

    def __init__(self, kept: int = KEPT, most: int = SERIES) -> None:
        self.kept, self.most = kept, most
        self.values = np.full((CHUNK, kept), np.nan)
        self.rows: dict[str, dict[tuple, int]] = {}  # metric -> (entity, *labels) -> row
        self.owned: dict[str, list[int]] = {}  # entity -> its rows
        self.count = 0
        self.tried: dict[str, np.ndarray] = {}  # entity -> the second that each place of the ring holds
        self.full = False

    def add(self, entity: str, second: int, samples: list[tuple[str, dict[str, str], float]]) -> None:
        """Keep what one scrape gave; none of an entity's series but these exists at that second.

        Parameters
        ----------
        entity : str
        second : int
            Unix time at which the scrape began.
        samples : list of (str, dict, float)
            Metric, labels, value.
        """
        place = second % self.kept
        tried = self.tried.setdefault(entity, np.full(self.kept, -1, dtype="int64"))
        tried[place] = second
        self.values[self.owned.setdefault(entity, []), place] = math.nan
        for metric, labels, value in samples:
            row = self._row(metric, (entity, *sorted(labels.items())))
            if row is not None:
                self.values[row, place] = value

    def _row(self, metric: str, key: tuple) -> int | None:
        series = self.rows.setdefault(metric, {})
        row = series.get(key)
        if row is None:
            if self.count == self.most:
                if not self.full:
                    log.warning("more than %d series: %s of %s and others are left out", self.most, metric, key[0])
                self.full = True
                return None
            if self.count == len(self.values):
                self.values = np.vstack([self.values, np.full((CHUNK, self.kept), np.nan)])
            row = series[key] = self.count
            self.owned[key[0]].append(row)
            self.count += 1
        return row

    def range(self, query: Query, moments: np.ndarray) -> list[tuple[dict[str, str], np.ndarray]]:
        """Evaluate a query.

        Parameters
        ----------
        query : Query
        moments : ndarray of float64, shape (n,)
            Unix seconds.

        Returns
        -------
        list of (labels, ndarray of float64, shape (n,))
            The value at t is that of the newest scrape within the lookback; NaN where the series was not in it, or the
            scrape failed.
        """
        groups: dict[tuple, list[np.ndarray]] = {}
        places: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for (entity, *pairs), row in self.rows.get(query.metric, {}).items():
            labels = {"job": JOB, **dict(pairs), "instance": entity}
            if not query.matches(labels):
                continue
            if entity not in places:
                places[entity] = self._newest(entity, moments)
            place, known = places[entity]
            key = tuple((name, labels[name]) for name in query.by if labels.get(name))
            groups.setdefault(key, []).append(np.where(known, self.values[row, place], math.nan))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # a moment without any value is NaN, as it should be
            return [(dict(key), _together(query.how, np.array(rows))) for key, rows in groups.items()]

    def _newest(self, entity: str, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place in the ring of the newest scrape at or before each moment, and whether there is one in time."""
        seconds = np.floor(moments).astype("int64")
        place, known = np.zeros(len(seconds), dtype="int64"), np.zeros(len(seconds), dtype=bool)
        for age in range(LOOKBACK + 1):
            candidate = (seconds - age) % self.kept
            new = ~known & (self.tried[entity][candidate] == seconds - age)
            place[new], known = candidate[new], known | new
        return place, known


def _together(how: str, rows: np.ndarray) -> np.ndarray:
    values = _TOGETHER[how](rows, axis=0)
    return np.where(np.isnan(rows).all(axis=0), math.nan, values)  # the sum of nothing is nothing
