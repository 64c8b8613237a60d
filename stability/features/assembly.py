"""All features of a prediction from one declaration: fitted on the training part, computed for any rows."""

from __future__ import annotations

__all__ = ["Features"]

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stability.detection.rows import fitted_on
from stability.features.events import Events, events_of
from stability.features.own import Baseline, Regimes
from stability.features.rolling import Rolling
from stability.features.scores import Scores
from stability.features.surroundings import Calendar, Neighbours
from stability.records import LogTemplates
from stability.schema import ContractError, validate
from stability.telemetry import rate

NOW = "now"  # where a feature's window would stand: the value of the row itself


class Features:
    """Features of each row of a panel from what was known then: metrics, logs, states, past faults, topology.

    Counters become rates first. Everything that is fitted, log templates, kinds of events, conditions and detectors, is
    fitted by `fit`, on the tables of the training part alone.

    Parameters
    ----------
    values : bool
        Whether the metrics themselves are features, ``<metric>__last__now``.
    rolling : sequence of mapping
        Settings of a `Rolling` each, such as ``{"windows": ["1h", "1D"], "statistics": ["mean", "std"]}``; with
        ``metrics`` of these alone.
    baselines : sequence of str
        Spans of a `Baseline` each.
    regimes : mapping, optional
        Settings of `Regimes`, such as ``{"settings": ["engine_altitude_meters"]}``.
    scores : sequence of mapping
        Settings of a `Scores` each, such as ``{"detector": "residual", "parts": True}``.
    events : mapping, optional
        Settings of `Events`, such as ``{"windows": ["1D"], "since": "30D"}``.
    templates : mapping, optional
        Settings of `LogTemplates`; without it log lines are told apart by their level.
    calendar : str, optional
        A time zone.
    neighbours : mapping, optional
        Settings of `Neighbours` but for the topology, which is that of the tables.

    Attributes
    ----------
    fitted_on_ : dict
        ``{"entities": [...], "until": ISO time}``.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=3, freq="min", tz="UTC", name="timestamp").as_unit("us")
    >>> index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    >>> tables = {"telemetry": pd.DataFrame({"load": [1.0, 3.0, 5.0]}, index)}
    >>> features = Features(rolling=[{"windows": ["2min"], "statistics": ["mean"]}]).fit(tables)
    >>> features.transform(tables).to_dict("list")
    {'load__last__now': [1.0, 3.0, 5.0], 'load__mean__2min': [1.0, 2.0, 4.0]}
    """

    def __init__(
        self,
        *,
        values: bool = True,
        rolling: Sequence[Mapping[str, Any]] = (),
        baselines: Sequence[str] = (),
        regimes: Mapping[str, Any] | None = None,
        scores: Sequence[Mapping[str, Any]] = (),
        events: Mapping[str, Any] | None = None,
        templates: Mapping[str, Any] | None = None,
        calendar: str | None = None,
        neighbours: Mapping[str, Any] | None = None,
    ) -> None:
        self.values, self.neighbours = values, neighbours
        own = [dict(one) for one in rolling]
        self._rolling = [(one.pop("metrics", None), Rolling(**one)) for one in own]
        self._baselines = [Baseline(span) for span in baselines]
        self._regimes = Regimes(**regimes) if regimes else None
        self._scores = [Scores(**one) for one in scores]
        self._events = Events(**events) if events else None
        self._templates = LogTemplates(**templates) if templates is not None else None
        self._calendar = Calendar(calendar) if calendar else None

    def fit(self, tables: Mapping[str, pd.DataFrame]) -> Features:
        """Learn what has to be learnt.

        Parameters
        ----------
        tables : mapping of DataFrame
            By contract, of the training part alone: `telemetry`, and as far as they are wanted and there `logs`,
            `states`, `faults` and `topology`.

        Returns
        -------
        Features
            Itself.

        Raises
        ------
        ContractError
            When a table or a metric that is wanted is not there.
        """
        panel = rate(self._panel(tables))
        self.fitted_on_, self.metrics_ = fitted_on(panel), list(panel.columns)
        for metrics, _ in self._rolling:
            for name in metrics or ():
                if name not in self.metrics_:
                    raise ContractError(file="telemetry", column=name, expected="a metric", got=f"{self.metrics_}")
        if self._regimes is not None:
            self._regimes.fit(panel)
        for one in self._scores:
            one.fit(panel)
        if self._templates is not None:
            if "logs" not in tables:
                raise ContractError(file="tables", expected="logs to find templates in", got=f"{list(tables)}")
            self._templates.fit(tables["logs"])
        if self._events is not None:
            self._events.fit(events_of(tables, self._templates))
        self._near = None
        if self.neighbours is not None:
            if "topology" not in tables:
                raise ContractError(file="tables", expected="a topology", got=f"{list(tables)}")
            self._near = Neighbours(tables["topology"], **self.neighbours)
        return self

    def transform(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Compute the features of each row of the telemetry.

        Parameters
        ----------
        tables : mapping of DataFrame
            As of `fit`, of any part. Windows see what is in the tables and nothing before, so give them from the
            beginning, and take the rows that are wanted afterwards.

        Returns
        -------
        DataFrame of float64, (entity, timestamp) x features
            Its ``attrs["fitted_on"]`` says what shaped it.
        """
        if not hasattr(self, "fitted_on_"):
            raise ContractError("Features has no history yet", remedy="call fit(tables) first")
        panel = rate(self._panel(tables)).reindex(columns=self.metrics_)
        parts = [panel.add_suffix(f"__last__{NOW}")] if self.values else []
        parts += [one.transform(panel if metrics is None else panel[list(metrics)]) for metrics, one in self._rolling]
        parts += [one.transform(panel) for one in self._baselines]
        parts += [self._regimes.transform(panel)] if self._regimes is not None else []
        parts += [one.transform(panel) for one in self._scores]
        if self._events is not None:
            parts.append(self._events.transform(events_of(tables, self._templates), panel.index))
        if self._calendar is not None:
            parts.append(self._calendar.transform(panel.index))
        found = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=panel.index)
        if self._near is not None:
            found = pd.concat([found, self._near.transform(found)], axis=1)
        found.attrs["fitted_on"] = self.fitted_on_
        return found

    @staticmethod
    def _panel(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        if "telemetry" not in tables:
            raise ContractError(file="tables", expected="telemetry", got=f"{list(tables)}")
        return validate(tables["telemetry"], "telemetry")
