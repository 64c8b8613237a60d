"""How far a value is from what its level and its seasons predicted, and to which side."""

from __future__ import annotations

__all__ = ["Season"]

from typing import Any

import numpy as np
import pandas as pd

from stability import detection
from stability.detection.residual import Residual
from stability.features.scores import Scores


class Season(Scores):
    """Seasonal residual of each value in robust deviations, with its sign: below 0 what is less than expected.

    Periods, seasons, level and deviation are those of the causal decomposition, learnt as `Scores` does: rows of the
    training part by the rows before their block, later ones by all of it. Feature ``<metric>__z__season``.

    Parameters
    ----------
    blocks : int
        Parts of the training time.
    **settings
        Of `stability.detection.residual.Residual`, such as ``periods`` in s; they are found in the history without it.

    References
    ----------
    Gelper, Fried and Croux (2010), doi 10.1002/for.1125.
    """

    def __init__(self, *, blocks: int = 4, **settings: Any) -> None:
        Residual(**settings)  # says what is wrong with them now
        super().__init__("residual", settings=settings, parts=True, blocks=blocks)

    def _ready(self, model: detection.Detector) -> detection.Detector:
        model.signed = True
        return model

    def _named(self, metrics: list[str]) -> list[str]:
        return [f"{name}__z__season" for name in metrics]

    def _scored(self, model: detection.Detector, panel: pd.DataFrame) -> pd.DataFrame:
        return model.score_metrics(panel).reindex(columns=model.metrics_).set_axis(self._named(model.metrics_), axis=1)

    def _of(self, judged: detection.Judged) -> np.ndarray:
        return judged.parts
