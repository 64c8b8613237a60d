"""A registered predictor at its post: features of each row as it comes, a probability, and perhaps an alarm."""

from __future__ import annotations

__all__ = ["Foresight"]

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from stability.features import Features
from stability.monitor.declaration import Declaration
from stability.monitor.ring import Rows
from stability.monitor.sentries import Raised, Sentry
from stability.prediction.packaging import looks_back
from stability.schema import ContractError
from stability.workbench import registry

LOOK = 60.0  # s between two looks at what the alias means; a promotion waits for no step


class Foresight:
    """The predictor that an alias means, and its desk.

    Parameters
    ----------
    told : Declaration
        With a predictor.
    history : DataFrame
        A panel, counters as they are read: what the features look back on.
    topology : DataFrame or None

    Attributes
    ----------
    name : str
        Its column in scores: the model's name, with underscores.
    version : registry.Version
    """

    def __init__(self, told: Declaration, history: pd.DataFrame, topology: pd.DataFrame | None):
        self.told, self.part, self.topology = told, told.predictor, topology
        self.name = re.sub(r"\W", "_", self.part.model)  # a column of scores
        self._looked, self._newest = -LOOK, ""
        self.sentry = Sentry(None, self.name, self.part.threshold, self.part.policy, (), topology)
        self.columns = list(history.columns)
        self.features = Features.load(told.place(self.part.features))
        for table, part in (("logs", self.features.templates), ("states", self.features.states)):
            if part is not None:
                got = f"features of {table}"
                raise ContractError(file=self.part.features, expected="features of metrics alone", got=got)
        self._begin(history)
        self.reload()

    def _begin(self, history: pd.DataFrame) -> None:
        more = {"topology": self.topology} if self.topology is not None else {}
        self.features.begin({"telemetry": history, **more})

    def forget(self, entities: Iterable[str], history: pd.DataFrame) -> None:
        """Forget entities: features begin again with the history of the others, as after a start."""
        self.sentry.forget(entities)
        self._begin(history)

    def reload(self) -> None:
        """Take the version that the alias means now.

        Raises
        ------
        ContractError
            As `registry.load`, for one that reads rows before a row, and for one of other features.
        """
        version = registry.find(self.part.model, self.part.alias)
        predictor = registry.load(self.part.model, version=version.number)
        if looks_back(predictor):
            expected = "a predictor that judges a row by its features alone"
            raise ContractError(file=f"{self.name}/{version.number}", expected=expected, got=version.kind)
        missing = set(registry.inner(predictor).features_) - set(self.features.live_names)
        if missing:
            remedy = "give the folder of the features that it was fitted on"
            raise ContractError(
                file=self.part.features, expected=f"the feature {min(missing)}", got="none", remedy=remedy
            )
        self.predictor, self.version, self._newest = predictor, version, f"{version.number} {version.sha256}"

    def newest(self) -> str:
        """What the alias means now, looked up once a minute; as it was where the store does not answer."""
        if time.monotonic() - self._looked >= LOOK:
            self._looked = time.monotonic()
            try:
                told = registry.state(self.part.model).get(self.part.alias, {})
            except Exception:  # noqa: BLE001  whatever a store does, the version in use goes on
                return self._newest
            self._newest = f"{told.get('version', '')} {told.get('sha256', '')}"
        return self._newest

    def judge(self, rows: Rows) -> tuple[np.ndarray, list[Raised]]:
        """Probabilities of the rows of a moment, in their order, and alarms that were raised or ended."""
        stamps = pd.DatetimeIndex([pd.Timestamp(rows.moment, unit="us", tz="UTC")] * len(rows.entities)).as_unit("us")
        names = pd.Index(rows.entities, dtype="str")
        index = pd.MultiIndex.from_arrays([names, stamps], names=["entity", "timestamp"])
        frame = pd.DataFrame(rows.values, index, self.columns)
        found = self.features.update({"telemetry": frame.sort_index()})
        said = self.predictor.predict(found).reindex(index).to_numpy()
        return said, self.sentry.file(rows.moment, rows.entities, said)

    # ---- kept ----------------------------------------------------------------------------------------------------
    def said(self) -> dict[str, Any]:
        """What its desk knows; features begin again with the history that is held."""
        return self.sentry.said() | {"version": self.version.number}

    def restore(self, told: Mapping[str, Any] | None) -> None:
        """Take what `said` gave."""
        if told is not None:
            self.sentry.restore(told)
