"""A Prometheus, asked at each step for what has come since the last one; after an outage, for all that was missed."""

from __future__ import annotations

__all__ = ["PrometheusSource"]

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from stability.monitor.declaration import Declaration
from stability.monitor.ring import Rows, moments_after
from stability.schema import ContractError
from stability.telemetry import check_prometheus, read_prometheus

CHUNK = 240  # moments of one question: an hour of 15 s steps
NOTHING = "a series for at least one query"  # what `read_prometheus` expected where no target gives anything


class PrometheusSource:
    """Rows of a server.

    Parameters
    ----------
    told : Declaration
    metrics : sequence of str, optional
        Columns that are known already, of an earlier start.

    Attributes
    ----------
    ignored : set of str
        Columns that came later than those, and are left out.
    unread : list of (int, str)
        Moments that were passed over, since later ones can be read and they cannot, and why.
    """

    live = True  # it goes on by itself: what is late is late, and what is long ago may be given up
    beside = None  # tables beside the metrics: none

    def __init__(self, told: Declaration, metrics: Sequence[str] | None = None):
        self.told, self.part = told, told.source.prometheus
        self.metrics = list(metrics) if metrics else []
        self.known: dict[str, None] = {}
        self.ignored: set[str] = set()
        self.unread: list[tuple[int, str]] = []
        self._newest = 0  # moment that can be asked for
        self.late_rows = self.ahead_rows = 0  # a server is asked for what is due, and nothing else
        self.ahead = ""

    def check(self, now: pd.Timestamp) -> None:
        """Look whether the server takes the queries.

        Raises
        ------
        ContractError, ConnectionError
        """
        at = self.due(now)
        check_prometheus(*self._asked(at, at), **self._options())

    def first(self) -> int | None:
        """The first moment that there is; a server does not say."""
        return None

    def due(self, now: pd.Timestamp) -> int:
        """The newest moment that can be asked for, in microseconds since 1970."""
        now_us = (now - pd.Timestamp(0, tz="UTC")) // pd.Timedelta("1us")
        self._newest = (now_us - self.told.delay_us) // self.told.step_us * self.told.step_us
        return self._newest

    def read(self, after: int, until: int) -> Iterator[Rows]:
        """Rows of the moments after one, up to another, in time's order.

        Every entity that has ever been there has a row at each moment: one that is gone has no values. Where an answer
        cannot be laid out, such as one of two series that have followed each other under one name, shorter ones are
        asked for; a moment that cannot be read even alone has no values, and is told.

        Raises
        ------
        ContractError, ConnectionError
            As `telemetry.read_prometheus`, for the newest moment; what came before the error has been given.
        """
        moments = moments_after(after, until, self.told.step_us)
        for k in range(0, len(moments), CHUNK):
            for part, panel in self._parts(moments[k : k + CHUNK]):
                yield from self._rows(part, panel)

    def _parts(self, moments: range) -> Iterator[tuple[range, pd.DataFrame | None]]:
        """Panels of moments, in time's order; None where there is nothing."""
        left, answers = [moments], False
        while left:
            part = left.pop()
            try:
                panel = self._answer(part[0], part[-1])
            except ContractError as error:
                if not answers:  # what cannot be read now, either, is no matter of some moments: it is waited for
                    now = max(moments[-1], self._newest)
                    if part[0] == now:
                        raise
                    self._answer(now, now)
                    answers = True
                if len(part) > 1:
                    left += [part[len(part) // 2 :], part[: len(part) // 2]]
                    continue
                self.unread.append((part[0], str(error)))
                panel = None
            yield part, panel

    def _answer(self, first: int, last: int) -> pd.DataFrame | None:
        try:
            return self._panel(first, last)
        except ContractError as error:
            if error.expected != NOTHING:
                raise
            return None  # the server is there, and nobody gives it anything

    def _rows(self, moments: range, panel: pd.DataFrame | None) -> Iterator[Rows]:
        if panel is None:
            blocks, entities = np.empty((0, len(moments), len(self.metrics))), []
        else:
            self.metrics = self.metrics or list(panel.columns)
            self.ignored |= set(panel.columns) - set(self.metrics)
            entities = [str(name) for name in panel.index.unique("entity")]
            values = panel.reindex(columns=self.metrics).to_numpy("float64")
            blocks = values.reshape(len(entities), len(moments), len(self.metrics))
        self.known |= dict.fromkeys(entities)
        gone = [name for name in self.known if name not in set(entities)]
        names = (*entities, *gone)
        absent = np.full((len(gone), len(self.metrics)), np.nan)
        for k, moment in enumerate(moments):
            yield Rows(moment, names, np.concatenate([blocks[:, k], absent]))

    def _panel(self, first: int, last: int) -> pd.DataFrame:
        return read_prometheus(*self._asked(first, last), **self._options())

    def _asked(self, first: int, last: int) -> tuple:
        ends = (pd.Timestamp(moment, unit="us", tz="UTC") for moment in (first, last))
        return self.part.url, self.part.queries, *ends, self.told.step_us / 1e6

    def _options(self) -> dict:
        part = self.part
        names = ("entity", "dimensions", "infinite", "timeout", "retries")
        return {name: getattr(part, name) for name in names}
