"""The testbed as a source: its panel as it is recorded, what it says beside metrics, and who was answered in time."""

from __future__ import annotations

__all__ = ["GOOD", "TOTAL", "TestbedSource"]

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from stability.monitor.declaration import Declaration
from stability.monitor.prometheus_source import PrometheusSource
from stability.schema import ContractError
from stability.telemetry import read_prometheus
from stability.testbed import control
from stability.testbed.modes import REPLICAS
from stability.testbed.panel import read_panel
from stability.testbed.scraping import NAME as METRICS
from stability.testbed.service_level import GATEWAY
from stability.testbed.tables import told_tables

ASKED = (GATEWAY, *REPLICAS, "feature-store")  # who answers requests
TOTAL, GOOD = "answers_total", "answers_in_time_total"
PROMISED = 0.25  # s in which users are promised an answer
_OF = f'instance=~"{"|".join(ASKED)}"'
_DURATION = "http_server_request_duration_seconds"
QUERIES = {
    TOTAL: f"sum by (instance) ({_DURATION}_count{{{_OF}}})",
    GOOD: f'sum by (instance) ({_DURATION}_bucket{{{_OF}, le="{PROMISED}", http_response_status_code=~"2.."}})',
}

Read = Callable[[pd.Timestamp, pd.Timestamp], pd.DataFrame]


class TestbedSource(PrometheusSource):
    """Rows of the testbed that runs in a folder.

    Parameters
    ----------
    told : Declaration
    metrics : sequence of str, optional
        Columns that are known already, of an earlier start.
    read : callable, optional
        Of (first, last) -> panel, where somebody has read it already; else it is read from the testbed's scraper.
    """

    __test__ = False  # no test, whatever pytest thinks of its name

    def __init__(self, told: Declaration, metrics: Sequence[str] | None = None, *, read: Read | None = None):
        super().__init__(told, metrics)
        self.home = told.place(told.source.testbed.folder)
        self.read_panel = read or self._read
        self._url = ""

    def check(self, now: pd.Timestamp) -> None:
        """Look whether the testbed runs and answers.

        Raises
        ------
        ContractError, ConnectionError
        """
        at = self.due(now)
        self._panel(at, at)

    @property
    def url(self) -> str:
        """Where its metrics are.

        Raises
        ------
        ContractError
            It does not run.
        """
        if not self._url:
            self._url = f"http://127.0.0.1:{control.status(self.home)['processes'][METRICS]['port']}"
        return self._url

    def beside(self, first: pd.Timestamp, last: pd.Timestamp) -> Mapping[str, pd.DataFrame]:
        """States, log lines, messages of users and the topology, from a moment up to before another."""
        return told_tables(self.home, first, last)

    def _panel(self, first: int, last: int) -> pd.DataFrame:
        ends = [pd.Timestamp(moment, unit="us", tz="UTC") for moment in (first, last)]
        panel = self.read_panel(*ends)
        stamps = pd.date_range(*ends, freq="s", unit="us", name="timestamp")
        who = panel.index.unique("entity")
        return panel.reindex(pd.MultiIndex.from_product([who, stamps], names=["entity", "timestamp"]))

    def _read(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        try:
            panel = read_panel(self.url, first, last)
        except ConnectionError:
            self._url = ""  # it may have been started anew, somewhere else
            raise
        return panel.join(self.answered(first, last))

    def answered(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        """How many requests whoever is asked has had, and how many were answered well and in time: counters."""
        try:
            raw = read_prometheus(self.url, QUERIES, first, last, step="1s", entity="{instance}", infinite="missing")
        except ContractError:  # nobody has been asked yet
            raw = pd.DataFrame(index=pd.MultiIndex.from_arrays([[], pd.DatetimeIndex([], tz="UTC")]))
            raw.index.names = ["entity", "timestamp"]
        return raw.reindex(columns=list(QUERIES))
