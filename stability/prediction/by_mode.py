"""One small model for each failure mode: what fails apart is learnt apart."""

from __future__ import annotations

__all__ = ["ByMode", "happened_by_mode"]

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stability.prediction.labels import RECOVERY, horizon_target, impact_labels
from stability.prediction.manner import Predictor, row_mask
from stability.prediction.trees import GradientBoosting
from stability.schema import ContractError

MODES = "modes.json"


def happened_by_mode(
    index: pd.MultiIndex,
    faults: pd.DataFrame,
    horizon: str | int | pd.Timedelta,
    *,
    modes: Sequence[str] = (),
    recovery: str | pd.Timedelta = RECOVERY,
    observed_until: object = None,
) -> pd.DataFrame:
    """Label each row by failure mode: whether a fault of it is felt within the horizon.

    Parameters
    ----------
    index, faults, horizon, recovery, observed_until
        As of `impact_labels`; rows without a label are False throughout, and have to be left out by the caller.
    modes : sequence of str, optional
        By default all that `faults` has, in order.

    Returns
    -------
    DataFrame of bool, rows x modes

    Raises
    ------
    ContractError
        As `impact_labels`; when no fault has a mode.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=4, freq="h", tz="UTC", unit="us", name="timestamp")
    >>> index = pd.MultiIndex.from_product([["a"], hours], names=["entity", "timestamp"])
    >>> faults = pd.DataFrame({"fault_id": ["f", "g"], "entity": "a", "failure_mode": ["disk", "fan"],
    ...                        "impact_start": hours[[2, 3]]})
    >>> happened_by_mode(index, faults, "1h", recovery="0s").to_numpy().tolist()
    [[False, False], [True, False], [False, True], [False, False]]
    """
    modes = list(modes) or sorted(faults["failure_mode"].dropna().unique())
    if not modes:
        raise ContractError(file="faults", column="failure_mode", expected="failure modes", got="none")
    columns = {}
    for mode in modes:
        labels = impact_labels(index, faults, horizon, recovery=recovery, observed_until=observed_until, modes=[mode])
        columns[mode] = horizon_target(labels, index, horizon).y
    return pd.DataFrame(columns, index=index)


class ByMode(Predictor):
    r"""Probability of any fault, from boosted trees of few leaves for each failure mode.

    Where parts fail for reasons of their own, the odds of any fault are no simple function of the features, but those
    of each mode are: small trees learn from few faults what one model for all would need many for. With :math:`p_m`
    the probability of mode m,

    .. math:: P = 1 - \prod_m (1 - p_m),

    as if modes failed independently of each other, given the features. A mode without a fault among the training rows
    adds nothing.

    Parameters
    ----------
    trees, leaves, leaf, rate, ridge, features, seed
        As of `GradientBoosting`.
    own : bool
        Whether a mode's model does without what tells of another mode: features whose events are called after one, as
        ``fault_<mode>__since__90D`` or ``state_replaced_<mode>__since__90D``.

    Attributes
    ----------
    modes_ : list of str
    """

    name = "by_mode"

    def __init__(
        self,
        *,
        trees: int = 100,
        leaves: int = 4,
        leaf: int = 40,
        rate: float = 0.05,
        ridge: float = 1.0,
        features: float = 1.0,
        own: bool = True,
        seed: int = 0,
    ) -> None:
        self.trees, self.leaves, self.leaf, self.rate = trees, leaves, leaf, rate
        self.ridge, self.features, self.own, self.seed = ridge, features, own, seed

    def fit(self, features: pd.DataFrame, happened: pd.DataFrame, *, rows: np.ndarray | None = None) -> ByMode:
        """Learn.

        Parameters
        ----------
        features : DataFrame of float64, shape (n, features)
            NaN where unknown.
        happened : DataFrame of bool, shape (n, modes)
            As of `happened_by_mode`: whether a fault of the mode was felt within the horizon.
        rows : array of bool, shape (n,), optional
            Which to learn from: the training part. Labels of others are not looked at. All of them without it.

        Returns
        -------
        ByMode
            Itself.

        Raises
        ------
        ContractError
            When lengths differ, a value is infinite, or the rows have no fault of any mode.
        """
        there = isinstance(happened, pd.DataFrame) and happened.shape[0] == len(features) and happened.shape[1]
        if not there or any(kind != np.dtype(bool) for kind in happened.dtypes):
            got = f"{type(happened).__name__} of shape {np.shape(happened)}"
            remedy = "happened_by_mode(index, faults, horizon) makes them"
            expected = f"{len(features)} labels of bool for each failure mode"
            raise ContractError(file="labels", expected=expected, got=got, remedy=remedy)
        self.modes_ = [str(mode) for mode in happened.columns]
        self._labels = happened.to_numpy()
        try:
            return super().fit(features, self._labels.any(axis=1), rows=row_mask(rows, len(features)))
        finally:
            del self._labels

    def _learn_rows(self, features: pd.DataFrame, happened: np.ndarray, rows: np.ndarray) -> None:
        values, labels = self._values(features)[rows], self._labels[rows]
        settings = {key: value for key, value in self.get_params(deep=False).items() if key != "own"}
        self.models_: dict[str, GradientBoosting] = {}
        for mode, own in zip(self.modes_, labels.T, strict=True):
            if own.any() and not own.all():
                self.models_[mode] = GradientBoosting(**settings)
                self.models_[mode]._learn(values[:, self._columns(mode)], own)

    def _columns(self, mode: str) -> list[int]:
        """Places of the features that a mode's model reads."""
        called = {one: "_" + re.sub(r"\W", "_", one) for one in self.modes_}
        kept = []
        for k, name in enumerate(self.features_):
            event = str(name).split("__")[0]
            # The longest name it ends with is whose it is: a `disk_full` is no `full`.
            whose = max((one for one in self.modes_ if event.endswith(called[one])), key=len, default=mode)
            if not self.own or whose == mode:
                kept.append(k)
        return kept

    def predict_modes(self, features: pd.DataFrame, *, rows: np.ndarray | None = None) -> pd.DataFrame:
        """Say how probable a fault of each mode is within the horizon.

        Parameters
        ----------
        features, rows
            As of `predict`.

        Returns
        -------
        DataFrame of float64 in [0, 1], rows x modes
        """
        self.predict(features.iloc[:0])  # its checks
        taken = row_mask(rows, len(features))
        values = self._values(features[self.features_])[taken]
        return pd.DataFrame(self._each(values), features.index[taken], self.modes_)

    def _each(self, values: np.ndarray) -> np.ndarray:
        said = np.zeros((len(values), len(self.modes_)))
        for k, mode in enumerate(self.modes_):
            if mode in self.models_ and len(values):
                said[:, k] = self.models_[mode]._probability(values[:, self._columns(mode)])
        return said

    def _probability(self, values: np.ndarray) -> np.ndarray:
        return 1 - np.prod(1 - self._each(values), axis=1)

    def _write(self, folder: Path) -> None:
        (folder / MODES).write_text(json.dumps({"modes": self.modes_, "learnt": list(self.models_)}))
        for k, model in enumerate(self.models_.values()):
            (folder / f"mode-{k}").mkdir()
            model._write(folder / f"mode-{k}")

    def _read(self, folder: Path) -> None:
        said = json.loads((folder / MODES).read_text())
        self.modes_, self.models_ = said["modes"], {}
        for k, mode in enumerate(said["learnt"]):
            self.models_[mode] = GradientBoosting()
            self.models_[mode]._read(folder / f"mode-{k}")
