"""What every predictor can do: learn from features and labels, say a probability, and be kept on disk as plain data."""

from __future__ import annotations

__all__ = ["Predictor", "Scaled", "require_columns", "row_mask"]

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from stability.schema import ContractError, folder_written_whole, nearest

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

    def _learn_rows(self, features: pd.DataFrame, happened: np.ndarray, rows: np.ndarray) -> None:
        self._learn(self._values(features)[rows], happened[rows])

    def _probability(self, values: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _probability_of_rows(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        return self._probability(self._values(features)[rows])

    def _write(self, folder: Path) -> None:
        """Write what was learnt, beside what every predictor writes."""

    def _read(self, folder: Path) -> None:
        """Read what `_write` wrote."""

    def fit(
        self, features: pd.DataFrame, happened: np.ndarray | pd.Series, *, rows: np.ndarray | None = None
    ) -> Predictor:
        """Learn.

        Parameters
        ----------
        features : DataFrame of float64, shape (n, features)
            NaN where unknown. What looks at the rows before a row needs the index (entity, timestamp), and all rows.
        happened : array or Series of bool, shape (n,)
            Whether a fault was felt within the horizon.
        rows : array of bool, shape (n,), optional
            Which to learn from: the training part. Labels of others are not looked at. All of them without it.

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
        taken = row_mask(rows, len(features))
        own = labels[taken]
        if own.all() or not own.any():
            got = f"{int(own.sum())} of {len(own)} rows with a fault ahead"
            remedy = "give a longer training part, or another horizon"
            raise ContractError(file="labels", expected="rows with and without a fault ahead", got=got, remedy=remedy)
        self.features_ = list(features.columns)
        self.base_rate_ = float(own.mean())
        self.fitted_on_ = features.attrs.get("fitted_on")
        self._learn_rows(features, labels, taken)
        return self

    def predict(self, features: pd.DataFrame, *, rows: np.ndarray | None = None) -> pd.Series:
        """Say how probable a fault is within the horizon.

        Parameters
        ----------
        features : DataFrame of float64
            With all columns that it was fitted on, in any order.
        rows : array of bool, shape (n,), optional
            Of which a probability is wanted; all without it.

        Returns
        -------
        Series of float64 in [0, 1]
            Over the index of these rows.

        Raises
        ------
        ContractError
            When a column is missing, a value is infinite, or `fit` was not called.
        """
        if not hasattr(self, "features_"):
            raise ContractError(f"{type(self).__name__} has learnt nothing yet", remedy="call fit(features, happened)")
        require_columns(features, self.features_)
        taken = row_mask(rows, len(features))
        found = self._probability_of_rows(features[self.features_], taken) if taken.any() else np.empty(0)
        return pd.Series(np.clip(found, 0.0, 1.0), features.index[taken], name="probability", dtype="float64")

    @staticmethod
    def _values(features: pd.DataFrame) -> np.ndarray:
        values = features.to_numpy(dtype="float64")
        if np.isinf(values).any():
            column = features.columns[np.isinf(values).any(axis=0)][0]
            raise ContractError(file="features", column=column, expected="finite values, or NaN", got="an infinite one")
        return values

    # ---- kept ----------------------------------------------------------------------------------------------------
    def save(self, folder: str | Path, *, beside: dict[str, dict[str, np.ndarray]] | None = None) -> Path:
        """Write everything that it knows into a folder, whole or not at all; nothing in it is code.

        Parameters
        ----------
        folder : str or Path
            Not there yet.
        beside : mapping of file name to arrays by name, optional
            What is written into the folder with it.

        Returns
        -------
        Path

        Raises
        ------
        ContractError
            When the folder is there already.
        """
        folder = Path(folder)
        with folder_written_whole(folder) as draft:
            said = {"predictor": self.name, "settings": self.get_params(deep=False), "features": self.features_}
            said |= {"base_rate": self.base_rate_, "fitted_on": self.fitted_on_}
            (draft / SAID).write_text(json.dumps(said, indent=1, default=_plain))
            self._write(draft)
            for name, arrays in (beside or {}).items():
                np.savez(draft / name, **arrays)
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


def row_mask(rows: np.ndarray | None, count: int) -> np.ndarray:
    """Check which of so many rows are meant; without a choice all of them.

    Raises
    ------
    ContractError
        For another shape, and for anything but True and False.

    Examples
    --------
    >>> row_mask(None, 2)
    array([ True,  True])
    """
    taken = np.ones(count, dtype=bool) if rows is None else np.asarray(rows)
    if taken.shape != (count,) or taken.dtype != bool:
        raise ContractError(file="rows", expected=f"{count} of True or False", got=f"{taken.shape} of {taken.dtype}")
    return taken


def require_columns(features: pd.DataFrame, names: list[str]) -> None:
    """Look whether all features are there that a model was fitted on.

    Raises
    ------
    ContractError
        With the first that is missing, and the nearest name that is there.
    """
    for name in names:
        if name not in features:
            remedy = nearest(name, list(map(str, features.columns)))
            raise ContractError(file="features", column=name, expected="a column", got="none", remedy=remedy)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)
