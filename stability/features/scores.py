"""What a detector makes of a row, as a feature: learnt on the training part, and never on the row itself."""

from __future__ import annotations

__all__ = ["Scores"]

import contextlib
import itertools

import numpy as np
import pandas as pd

from stability import detection
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
        make = detection.DETECTORS[self.detector]
        times = history.index.get_level_values("timestamp")
        edges = times.min() + (times.max() - times.min()) * np.arange(1, self.blocks + 1) / self.blocks
        seen = []
        for begin, end in itertools.pairwise(edges):
            before, block = history[times <= begin], history[(times > begin) & (times <= end)]
            with contextlib.suppress(ContractError, NotEnoughEvidence):  # too short a past: no score
                seen.append(self._scored(make(**self.settings).fit(before), block))
        self.model_ = make(**self.settings).fit(history)
        self.fitted_on_ = self.model_.fitted_on_
        self._seen = pd.concat(seen).sort_index() if seen else self._scored(self.model_, history).iloc[:0]
        self._last = pd.Series(times, history.index.get_level_values("entity")).groupby(level=0).max()
        return self

    def names(self) -> list[str]:
        """Names of the features, in their order."""
        own = [f"{name}__{self.detector}__score" for name in self.model_.metrics_] if self.parts else []
        return [f"all__{self.detector}__score", *own]

    def _scored(self, model, panel: pd.DataFrame) -> pd.DataFrame:
        found = model.score(panel).to_frame()
        if self.parts:
            found = pd.concat([found, model.score_metrics(panel).reindex(columns=model.metrics_)], axis=1)
        own = [f"{name}__{self.detector}__score" for name in model.metrics_] if self.parts else []
        return found.set_axis([f"all__{self.detector}__score", *own], axis=1)

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
        entities, times = panel.index.get_level_values("entity"), panel.index.get_level_values("timestamp")
        last = self._last.reindex(entities).to_numpy()
        late = pd.isna(last) | (times.to_numpy() > last)
        parts = [self._seen.reindex(panel.index[~late])]
        if late.any():
            parts.append(self._scored(self.model_, panel[late]))
        return pd.concat(parts).reindex(panel.index)[self.names()].astype("float64")

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, history: pd.DataFrame) -> Scores:
        """Go on after a history that begins where the training part ended; gives itself."""
        history = validate(history, "telemetry")
        entities, times = history.index.get_level_values("entity"), history.index.get_level_values("timestamp")
        last = self._last.reindex(entities).to_numpy()
        for _, rows in history[pd.isna(last) | (times.to_numpy() > last)].groupby(level="timestamp"):
            self.update(
                rows.to_numpy(), rows.index.get_level_values("timestamp"), rows.index.get_level_values("entity")
            )
        return self

    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
        """As `Rolling.update`: features of one new row of each of some entities, shape (n, features)."""
        judged = self.model_.update(values, times, entities)
        return np.column_stack([judged.score, judged.parts]) if self.parts else judged.score[:, None]
