"""What every predictor can do: learn from features and labels, say a probability, and be kept on disk as plain data."""

from __future__ import annotations

__all__ = ["Predictor", "Scaled"]

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from stability.schema import ContractError, nearest

SAID = "predictor.json"
CUT = 8.0  # deviations at which scaled features are cut


class Predictor(BaseEstimator):
    """Probability that users feel a fault within the horizon, from what was known; one way of it is a subclass.

    Attributes
    ----------
    features_ : list of str
        What it was fitted on, in order.
    base_rate_ : float
        Share of the training rows that a fault followed.
    fitted_on_ : dict or None
        Of the features, where they say it.
    """

    name = ""

    def _learn(self, values: np.ndarray, happened: np.ndarray) -> None:
        """Learn from values (n, features), NaN where unknown, and labels (n,)."""
        raise NotImplementedError

    def _probability(self, values: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _write(self, folder: Path) -> None:
        """Write what was learnt, beside what every predictor writes."""

    def _read(self, folder: Path) -> None:
        """Read what `_write` wrote."""

    def fit(self, features: pd.DataFrame, happened: np.ndarray | pd.Series) -> Predictor:
        """Learn.

        Parameters
        ----------
        features : DataFrame of float64, shape (n, features)
            NaN where unknown.
        happened : array or Series of bool, shape (n,)
            Whether a fault was felt within the horizon.

        Returns
        -------
        Predictor
            Itself.

        Raises
        ------
        ContractError
            When lengths differ, a value is infinite, or all labels are alike.
        """
        labels = np.asarray(happened)
        if labels.shape != (len(features),) or labels.dtype != bool:
            expected = f"{len(features)} labels, True or False"
            raise ContractError(file="labels", expected=expected, got=f"{labels.shape} of {labels.dtype}")
        if labels.all() or not labels.any():
            got = f"{int(labels.sum())} of {len(labels)} rows with a fault ahead"
            remedy = "give a longer training part, or another horizon"
            raise ContractError(file="labels", expected="rows with and without a fault ahead", got=got, remedy=remedy)
        self.features_ = list(features.columns)
        self.base_rate_ = float(labels.mean())
        self.fitted_on_ = features.attrs.get("fitted_on")
        self._learn(self._values(features), labels)
        return self

    def predict(self, features: pd.DataFrame) -> pd.Series:
        """Say how probable a fault is within the horizon.

        Parameters
        ----------
        features : DataFrame of float64
            With all columns that it was fitted on, in any order.

        Returns
        -------
        Series of float64 in [0, 1]
            Over the features' index.

        Raises
        ------
        ContractError
            When a column is missing, a value is infinite, or `fit` was not called.
        """
        if not hasattr(self, "features_"):
            raise ContractError(f"{type(self).__name__} has learnt nothing yet", remedy="call fit(features, happened)")
        for name in self.features_:
            if name not in features:
                remedy = nearest(name, list(map(str, features.columns)))
                raise ContractError(file="features", column=name, expected="a column", got="none", remedy=remedy)
        found = self._probability(self._values(features[self.features_])) if len(features) else np.empty(0)
        return pd.Series(np.clip(found, 0.0, 1.0), features.index, name="probability", dtype="float64")

    @staticmethod
    def _values(features: pd.DataFrame) -> np.ndarray:
        values = features.to_numpy(dtype="float64")
        if np.isinf(values).any():
            column = features.columns[np.isinf(values).any(axis=0)][0]
            raise ContractError(file="features", column=column, expected="finite values, or NaN", got="an infinite one")
        return values

    # ---- kept ----------------------------------------------------------------------------------------------------
    def save(self, folder: str | Path) -> Path:
        """Write everything that it knows into a folder, whole or not at all; nothing in it is code.

        Raises
        ------
        ContractError
            When the folder is there already.
        """
        folder = Path(folder)
        if folder.exists():
            raise ContractError(file=folder, expected="a folder that is not there yet", got="one that is")
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            said = {"predictor": self.name, "settings": self.get_params(deep=False), "features": self.features_}
            said |= {"base_rate": self.base_rate_, "fitted_on": self.fitted_on_}
            (draft / SAID).write_text(json.dumps(said, indent=1, default=_plain))
            self._write(draft)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def _restore(self, said: dict[str, Any], folder: Path) -> Predictor:
        self.features_, self.base_rate_, self.fitted_on_ = said["features"], said["base_rate"], said["fitted_on"]
        self._read(folder)
        return self


class Scaled(NamedTuple):
    """Features in robust deviations from their median, unknown ones at the median: for what measures distances.

    Parameters
    ----------
    middle, spread : arrays of float64, shape (features,)
    """

    middle: np.ndarray
    spread: np.ndarray

    @classmethod
    def learn(cls, values: np.ndarray) -> Scaled:
        """Median and interquartile range / 1.349 of each feature; the deviation, or 1, where the range is 0."""
        there = ~np.isnan(values).all(axis=0)
        middle, spread = np.zeros(values.shape[1]), np.ones(values.shape[1])
        low, middle[there], high = np.nanquantile(values[:, there], [0.25, 0.5, 0.75], axis=0)
        plain = np.nanstd(values[:, there], axis=0)
        found = np.where(high > low, (high - low) / 1.349, plain)
        spread[there] = np.where(found > 0, found, 1.0)
        return cls(middle, spread)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scaled values, cut at 8 deviations."""
        return np.clip(np.nan_to_num((values - self.middle) / self.spread), -CUT, CUT)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)
