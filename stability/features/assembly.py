"""All features of a prediction from one declaration: fitted on the training part, computed for any rows."""

from __future__ import annotations

__all__ = ["Features"]

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stability.detection.rows import fitted_on, runs
from stability.features import kept
from stability.features.due import Due
from stability.features.events import Events, events_of
from stability.features.live import Live
from stability.features.novelty import NEW, NewLines
from stability.features.own import Baseline, Regimes, Values
from stability.features.rolling import MEMORY, Rolling, entities_in_parts, length_of
from stability.features.scores import Scores
from stability.features.season import Season
from stability.features.states import States
from stability.features.surroundings import Calendar, Neighbours
from stability.records import LogTemplates
from stability.schema import ContractError, validate
from stability.telemetry import rate


class Features:
    """Features of each row of a panel from what was known then: metrics, logs, states, past faults, topology.

    Counters become rates first. Everything that is fitted, log templates, kinds of events, conditions, periods and
    detectors, is fitted by `fit`, on the tables of the training part alone. `transform` computes the features of whole
    tables, `begin` and `update` those of rows as they come: what `transform` says of everything that has come so far.

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
    season : mapping, optional
        Settings of `Season`, the seasonal residual, such as ``{"periods": [86400]}``; ``{}`` finds the periods.
    scores : sequence of mapping
        Settings of a `Scores` each, such as ``{"detector": "pca", "parts": True}``.
    events : mapping, optional
        Settings of `Events`, such as ``{"windows": ["1D"], "since": "30D"}``.
    templates : mapping, optional
        Settings of `LogTemplates`; without it log lines are told apart by their level.
    novelty : str, optional
        How long a template is new, such as ``"1D"``: lines of new ones are events, ``log_new``; needs `templates`.
    due : mapping, optional
        Settings of `Due`, when events that recur are due again, such as ``{"least": 30}``; needs `events`.
    states : sequence of str
        Names of `States`: what an entity is and how it is set, such as its age or its version.
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
        season: Mapping[str, Any] | None = None,
        scores: Sequence[Mapping[str, Any]] = (),
        events: Mapping[str, Any] | None = None,
        templates: Mapping[str, Any] | None = None,
        novelty: str | None = None,
        due: Mapping[str, Any] | None = None,
        states: Sequence[str] = (),
        calendar: str | None = None,
        neighbours: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = {name: told for name, told in locals().items() if name not in ("self", "__class__")}
        own = [dict(one) for one in rolling]
        #: What is computed of the metrics alone, and of which; of all where there is None.
        self.parts: list[tuple[list[str] | None, Any]] = [(None, Values())] if values else []
        self.parts += [(one.pop("metrics", None), Rolling(**one)) for one in own]
        self.parts += [(None, Baseline(span)) for span in baselines]
        self.parts += [(None, Regimes(**regimes))] if regimes else []
        self.parts += [(None, Season(**season))] if season is not None else []
        self.parts += [(None, Scores(**one)) for one in scores]
        self.events = Events(**events) if events else None
        self.templates = LogTemplates(**templates) if templates is not None else None
        self.new_lines = NewLines(novelty) if novelty else None
        self.states = States(states) if states else None
        self.calendar = Calendar(calendar) if calendar else None
        self.near: Neighbours | None = None
        self.due = Due(**due) if due is not None else None
        if self.new_lines is not None and (self.templates is None or self.events is None):
            raise ContractError(column="novelty", expected="templates and events with it", got="none")
        if self.due is not None and self.events is None:
            raise ContractError(column="due", expected="events with it", got="none")

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
        wanted = {"logs": self.templates, "states": self.states, "topology": self.settings["neighbours"]}
        for name, part in wanted.items():
            if part is not None and name not in tables:
                raise ContractError(file="tables", expected=f"a table of {name}", got=f"{list(tables)}")
        told = _telemetry(tables)
        panel = rate(told)
        self.fitted_on_, self.told_, self.metrics_ = fitted_on(panel), list(told.columns), list(panel.columns)
        for metrics, part in self.parts:
            for name in metrics or ():
                if name not in self.metrics_:
                    raise ContractError(file="telemetry", column=name, expected="a metric", got=f"{self.metrics_}")
            if hasattr(part, "fit"):
                part.fit(panel)
        if self.templates is not None:
            self.templates.fit(tables["logs"])
        if self.new_lines is not None:
            self.new_lines.fit(tables["logs"], self.templates)
        if self.events is not None:
            happened = self.happened(tables)
            self.events.fit(happened, wanted=[NEW] if self.new_lines is not None else [])
            if self.due is not None:  # of the kinds that have a time since
                self.due.fit(happened[happened["name"].isin(self.events.kinds_)])
        if self.states is not None:
            self.states.fit(tables["states"])
        if self.settings["neighbours"] is not None:
            self.near = Neighbours(tables["topology"], **self.settings["neighbours"])
        return self

    def happened(self, tables: Mapping[str, pd.DataFrame], new_lines: NewLines | None = None) -> pd.DataFrame:
        """Events in tables, as of `events_of`, and new log lines: to the history, or to all that `new_lines` took."""
        found = events_of(tables, self.templates)
        if self.new_lines is None or "logs" not in tables:
            return found
        new = new_lines or copy.copy(self.new_lines).begin()
        return pd.concat([found, new.take(tables["logs"])], ignore_index=True)

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
        self._check()
        return self._of(self.panel(tables), self._told(tables))

    def transform_parts(self, tables: Mapping[str, pd.DataFrame], *, memory: int = MEMORY) -> Iterator[pd.DataFrame]:
        """As `transform`, some entities at a time, so that no more than so many bytes of features are held at once.

        Parameters
        ----------
        tables : mapping of DataFrame
            As of `transform`.
        memory : int
            Bytes; a single entity may take more. With `neighbours` all entities come at once.

        Yields
        ------
        DataFrame
        """
        self._check()
        panel, told = self.panel(tables), self._told(tables)
        _, starts = runs(panel.index)
        most = memory // (8 * max(len(self._of(panel.iloc[:1], told).columns), 1)) if self.near is None else len(panel)
        for first, last in entities_in_parts(starts, most):
            yield self._of(panel.iloc[starts[first] : starts[last]], told)

    def _told(self, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        if self.states is not None and "states" not in tables:
            raise ContractError(file="tables", expected="a table of states", got=f"{list(tables)}")
        told = {"events": self.happened(tables)} if self.events is not None else {}
        return told | ({"states": tables["states"]} if self.states is not None else {})

    def _of(self, panel: pd.DataFrame, told: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Features of a panel's rows from what happened and what was set."""
        parts = [part.transform(panel if metrics is None else panel[list(metrics)]) for metrics, part in self.parts]
        if self.events is not None:
            parts.append(self.events.transform(told["events"], panel.index))
        if self.due is not None:
            parts.append(self.due.transform(parts[-1]))
        if self.states is not None:
            parts.append(self.states.transform(told["states"], panel.index))
        if self.calendar is not None:
            parts.append(self.calendar.transform(panel.index))
        found = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=panel.index)
        if self.near is not None:
            found = pd.concat([found, self.near.transform(found)], axis=1)
        if not found.columns.is_unique:
            name = found.columns[found.columns.duplicated()][0]
            raise ContractError(file="features", column=name, expected="each feature once", got="it twice")
        found.attrs["fitted_on"] = self.fitted_on_
        return found

    def panel(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Metrics of the history in tables' telemetry, counters as rates."""
        return rate(_telemetry(tables).reindex(columns=self.told_))

    def _check(self) -> None:
        if not hasattr(self, "fitted_on_"):
            raise ContractError("Features has no history yet", remedy="call fit(tables) first")

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, tables: Mapping[str, pd.DataFrame], *, late: str = "1h") -> Features:
        """Remember of what has been so far what the features of rows to come need.

        Parameters
        ----------
        tables : mapping of DataFrame
            As of `transform`: from the beginning. `telemetry` may be without rows.
        late : str
            How much older than the newest row of the calls before a row may be. What no row may need any more is
            forgotten, so this and the longest window say how much is held of each entity.

        Returns
        -------
        Features
            Itself.
        """
        self._check()
        self._live = Live(self, tables, length_of(late))
        return self

    def update(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Compute the features of rows that have come, and remember them.

        A row gets what `transform` would say of it if it were given everything that has come until now, with this
        call. So what comes later than it should, a neighbour's row or a log line, is missing in the rows before, and
        counts in those after. Rows of an entity come in time's order; log lines, where `novelty` is wanted, too.

        Parameters
        ----------
        tables : mapping of DataFrame
            By contract: `telemetry`, the new rows of any entities, if there are any; of `logs`, `states` and `faults`
            what has come since the last call. A fault comes again when more is known of it.

        Returns
        -------
        DataFrame of float64, (entity, timestamp) x features
            The new rows; columns as of `transform`.

        Raises
        ------
        ContractError
            When a row does not come after its entity's row before, or is older than `late` allows: then nothing of
            the call has been taken in.
        """
        if not hasattr(self, "_live"):
            raise ContractError("Features has nothing to go on from", remedy="call begin(tables) first")
        return self._live.update(tables)

    @property
    def live_names(self) -> list[str]:
        """Names of the features that `update` gives, in their order; none before `begin`."""
        return list(self._live.names) if hasattr(self, "_live") else []

    # ---- kept ----------------------------------------------------------------------------------------------------
    def save(self, folder: str | Path) -> Path:
        """Write what was declared and learnt into a folder, whole or not at all; nothing in it is code.

        What was remembered by `begin` and `update` is not in it.

        Parameters
        ----------
        folder : str or Path
            Not there yet.

        Returns
        -------
        Path

        Raises
        ------
        ContractError
            When the folder is there already.
        """
        self._check()
        return kept.write(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Features:
        """Read what `save` wrote: features that give the same numbers. Nothing in it is run.

        Raises
        ------
        ContractError
            When the folder is not one of features.
        """
        return kept.read(cls, Path(folder))


def _telemetry(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    if "telemetry" not in tables:
        raise ContractError(file="tables", expected="telemetry", got=f"{list(tables)}")
    return validate(tables["telemetry"], "telemetry")
