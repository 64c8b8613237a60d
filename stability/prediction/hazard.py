"""One fit for all horizons: the chance of a fault in each next interval, given none before."""

from __future__ import annotations

__all__ = ["Hazard"]

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stability.features.rolling import length_of
from stability.prediction.manner import Predictor
from stability.prediction.trees import XGBoost
from stability.schema import ContractError


class Hazard(Predictor):
    r"""Probability of a fault within any horizon, from boosted trees that foretell the hazard of each interval.

    Time ahead is cut into intervals. A row is a case of each interval through which it was watched and which no fault
    came before: with a fault in it, or without. So rows near the end of the data are used as far as they go, and not
    thrown away. The model foretells :math:`h_j`, the chance of a fault in interval j given none before, and

    .. math:: P(T \le t_k) = 1 - \prod_{j \le k} (1 - h_j)

    which never falls with the horizon.

    Parameters
    ----------
    edges : sequence of str
        Ends of the intervals, rising, such as ``["24h", "48h", "7D"]``: the horizons that can be asked for.
    trees, depth, rate, rows, features, leaf, ridge, seed
        As of `XGBoost`.

    References
    ----------
    Singer and Willett (1993), doi 10.3102/10769986018002155; Tutz and Schmid (2016),
    doi 10.1007/978-3-319-28158-2, section 3.
    """

    name = "hazard"

    def __init__(
        self,
        *,
        edges: Sequence[str] = ("24h", "48h", "7D"),
        trees: int = 300,
        depth: int = 5,
        rate: float = 0.05,
        rows: float = 0.8,
        features: float = 0.5,
        leaf: float = 3.0,
        ridge: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.edges, self.trees, self.depth, self.rate, self.rows = list(edges), trees, depth, rate, rows
        self.features, self.leaf, self.ridge, self.seed = features, leaf, ridge, seed
        lengths = [length_of(edge) for edge in self.edges]
        if not lengths or any(a >= b for a, b in itertools.pairwise(lengths)):
            raise ContractError(column="edges", expected="rising lengths of time", got=f"{self.edges}")

    def fit(self, features: pd.DataFrame, seconds: np.ndarray | pd.Series, watched: np.ndarray | pd.Series) -> Hazard:
        """Learn.

        Parameters
        ----------
        features : DataFrame of float64, shape (n, features)
            NaN where unknown.
        seconds : array or Series of float64, shape (n,)
            Time to the next fault, above 0; NaN where none came.
        watched : array or Series of float64, shape (n,)
            For how many seconds it is known whether one came.

        Returns
        -------
        Hazard
            Itself.

        Raises
        ------
        ContractError
            When lengths differ, a time is not above 0, or no interval has a fault.
        """
        time, known = np.asarray(seconds, dtype="float64"), np.asarray(watched, dtype="float64")
        if time.shape != (len(features),) or known.shape != time.shape:
            expected = f"{len(features)} times to a fault and times of watching"
            raise ContractError(file="labels", expected=expected, got=f"{time.shape} and {known.shape}")
        if (time <= 0).any():
            raise ContractError(file="labels", column="seconds", expected="times above 0", got=float(np.nanmin(time)))
        self.features_ = list(features.columns)
        self.fitted_on_ = features.attrs.get("fitted_on")
        cases, intervals, labels = self._cases(time, known)
        if labels.all() or not labels.any():
            raise ContractError(file="labels", expected="cases with and without a fault", got="all alike")
        self.base_rate_ = float(labels.mean())
        settings = {key: value for key, value in self.get_params(deep=False).items() if key != "edges"}
        self.model_ = XGBoost(**settings)
        self.model_._learn(self._beside(self._values(features)[cases], intervals), labels)
        return self

    def _cases(self, time: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, interval and label of each case."""
        ends = np.array([length_of(edge) / 1e6 for edge in self.edges])
        begins, time = np.append(0.0, ends[:-1]), np.where(np.isnan(time), np.inf, time)
        rows, intervals = np.nonzero((known[:, None] >= ends) & (time[:, None] > begins))
        return rows, intervals, time[rows] <= ends[intervals]

    @staticmethod
    def _beside(values: np.ndarray, intervals: np.ndarray) -> np.ndarray:
        return np.column_stack([values, intervals.astype("float64")])

    def predict_all(self, features: pd.DataFrame) -> pd.DataFrame:
        """Say how probable a fault is within each horizon.

        Parameters
        ----------
        features : DataFrame of float64
            As of `predict`.

        Returns
        -------
        DataFrame of float64 in [0, 1]
            Over the features' index, a column for each of `edges`; never falling from left to right.
        """
        self.predict(features.iloc[:0])  # its checks
        values = self._values(features[self.features_])
        alive, columns = np.ones(len(values)), []
        for j in range(len(self.edges)):
            if len(values):
                alive = alive * (1 - self.model_._probability(self._beside(values, np.full(len(values), j))))
            columns.append(1 - alive)
        return pd.DataFrame(np.column_stack(columns), features.index, self.edges)

    def _probability(self, values: np.ndarray) -> np.ndarray:
        """Within the longest horizon."""
        whole = pd.DataFrame(values, columns=self.features_)
        return self.predict_all(whole)[self.edges[-1]].to_numpy()

    def _write(self, folder: Path) -> None:
        self.model_._write(folder)

    def _read(self, folder: Path) -> None:
        self.model_ = XGBoost()
        self.model_._read(folder)
