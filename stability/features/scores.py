"""What a detector makes of a row, as a feature: learnt on the training part, and never on the row itself."""

from __future__ import annotations

__all__ = ["Scores"]

import contextlib
import copy
import itertools
from typing import Any

import numpy as np
import pandas as pd

from stability import detection
from stability.detection.rows import moments_of, runs
from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError, one_of, validate


class Scores:
    """A detector's score of each row, and of each metric where wanted.

    Rows after the training part are scored by what was learnt on all of it, as they would be live. A row of the
    training part is scored by what was learnt on the rows before its block, or it would look better known than any row
    to come; those of the first block, or with too short a past, have no score. Features ``all__<detector>__score`` and
    ``<metric>__<detector>__score``.

    Parameters
    ----------
    detector : str
        A name in `stability.detection.DETECTORS`.
    settings : mapping, optional
        Of the detector.
    parts : bool
        Whether each metric's part is a feature, too: with ``residual`` the seasonal residual of each.
    blocks : int
        Parts of the training time.
    """

    def __init__(self, detector: str, *, settings: dict | None = None, parts: bool = False, blocks: int = 4) -> None:
        self.detector, self.settings = one_of(detector, detection.DETECTORS, "detector"), dict(settings or {})
        if blocks < 2:
            raise ContractError(column="blocks", expected="a number from 2 up", got=blocks)
        self.parts, self.blocks = parts, blocks

    def fit(self, history: pd.DataFrame) -> Scores:
        """Learn from the training part, a panel; gives itself."""
        history = validate(history, "telemetry")
        times = history.index.get_level_values("timestamp")
        edges = times.min() + (times.max() - times.min()) * np.arange(1, self.blocks + 1) / self.blocks
        seen = []
        for begin, end in itertools.pairwise(edges):
            before, block = history[times <= begin], history[(times > begin) & (times <= end)]
            with contextlib.suppress(ContractError, NotEnoughEvidence):  # too short a past: no score
                seen.append(self._scored(self._made().fit(before), block))
        self.model_ = self._made().fit(history)
        self.fitted_on_ = self.model_.fitted_on_
        self._seen = pd.concat(seen).sort_index() if seen else self._scored(self.model_, history).iloc[:0]
        entities, starts = runs(history.index)
        self._last = pd.Series(moments_of(times)[starts[1:] - 1], entities)
        return self

    def _made(self) -> detection.Detector:
        return self._ready(detection.DETECTORS[self.detector](**self.settings))

    def _ready(self, model: detection.Detector) -> detection.Detector:
        """A detector as these features take it."""
        return model

    def names(self) -> list[str]:
        """Names of the features, in their order."""
        return self._named(self.model_.metrics_)

    def _named(self, metrics: list[str]) -> list[str]:
        own = [f"{name}__{self.detector}__score" for name in metrics] if self.parts else []
        return [f"all__{self.detector}__score", *own]

    def _scored(self, model: detection.Detector, panel: pd.DataFrame) -> pd.DataFrame:
        found = model.score(panel).to_frame()
        if self.parts:
            found = pd.concat([found, model.score_metrics(panel).reindex(columns=model.metrics_)], axis=1)
        return found.set_axis(self._named(model.metrics_), axis=1)

    def _of(self, judged: detection.Judged) -> np.ndarray:
        """Features of rows that were judged live."""
        return np.column_stack([judged.score, judged.parts]) if self.parts else judged.score[:, None]

    def transform(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of each row.

        Parameters
        ----------
        panel : DataFrame of float64, (entity, timestamp) x metrics
            With all rows from the end of the training part on: a detector goes on from there.

        Returns
        -------
        DataFrame of float64
            Over the panel's index, columns as of `names`.
        """
        if not hasattr(self, "model_"):
            raise ContractError("Scores has no history yet", remedy="call fit(history) first")
        panel = validate(panel, "telemetry")
        late = self._late(panel.index)
        parts = [self._seen.reindex(panel.index[~late])]
        if late.any():
            parts.append(self._scored(self.model_, panel[late]))
        return pd.concat(parts).reindex(panel.index)[self.names()].astype("float64")

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, history: pd.DataFrame) -> Scores:
        """Go on after a history (a panel, whose rows may be none) from the training part on; gives itself."""
        if not hasattr(self, "model_"):
            raise ContractError("Scores has no history yet", remedy="call fit(history) first")
        history = validate(history, "telemetry").reindex(columns=self.model_.metrics_)
        self._live = copy.deepcopy(self.model_)
        rows = history[self._late(history.index)]
        for _, own in rows.groupby(rows.groupby(level="entity").cumcount().to_numpy()):
            entities, times = (own.index.get_level_values(level) for level in ("entity", "timestamp"))
            self._live.update(own.to_numpy(), times, entities)
        return self

    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
        """As `Rolling.update`: features of one new row of each of some entities, shape (n, features)."""
        if not hasattr(self, "_live"):
            raise ContractError("Scores has no history yet", remedy="call begin(history) first")
        stamps = pd.DatetimeIndex(moments_of(times).view("M8[us]")).tz_localize("UTC")
        index = pd.MultiIndex.from_arrays([pd.Index(entities, dtype="str"), stamps], names=["entity", "timestamp"])
        late, found = self._late(index), np.full((len(index), len(self.names())), np.nan)
        if not late.all():  # rows of the training part itself
            found[~late] = self._seen.reindex(index[~late]).to_numpy()
        if late.any():
            judged = self._live.update(np.asarray(values)[late], stamps[late], index.get_level_values("entity")[late])
            found[late] = self._of(judged)
        return found

    def _late(self, index: pd.MultiIndex) -> np.ndarray:
        """Which rows come after the training part."""
        last = self._last.reindex(index.get_level_values("entity"), fill_value=np.iinfo("int64").min).to_numpy()
        return moments_of(index.get_level_values("timestamp")) > last

    # ---- kept ----------------------------------------------------------------------------------------------------
    def learnt(self) -> dict[str, Any]:
        """What `fit` learnt, as arrays, plain values and a detector by name; `restore` takes it."""
        entities, times = self._seen.index.codes[0], moments_of(self._seen.index.get_level_values("timestamp"))
        arrays = {"seen": self._seen.to_numpy(), "seen_entity": np.array(entities), "seen_time": times}
        names = {"seen_entities": list(self._seen.index.levels[0]), "entities": list(self._last.index)}
        return arrays | names | {"last": self._last.to_numpy(), "model": self.model_}

    def restore(self, learnt: dict[str, Any]) -> Scores:
        """Take what `learnt` gave; gives itself."""
        self.model_ = self._ready(learnt["model"])
        self.fitted_on_ = self.model_.fitted_on_
        self._last = pd.Series(learnt["last"], pd.Index(learnt["entities"], dtype="str"))
        stamps = pd.DatetimeIndex(learnt["seen_time"].view("M8[us]")).tz_localize("UTC")
        entities = pd.Index(learnt["seen_entities"], dtype="str").take(learnt["seen_entity"])
        index = pd.MultiIndex.from_arrays([entities, stamps], names=["entity", "timestamp"])
        self._seen = pd.DataFrame(learnt["seen"], index, self.names())
        return self
