"""Probabilities that keep their word: set right on rows after the training part."""

from __future__ import annotations

__all__ = ["METHODS", "Calibrated", "platt"]

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize
from sklearn.isotonic import IsotonicRegression

from stability.prediction.manner import Predictor, row_mask
from stability.schema import ContractError, one_of

METHODS = ("isotonic", "logistic", "none")
LEAST = 1e-6  # probabilities nearer to 0 or 1 are not told apart
FEW = 100  # rows with a fault ahead below which `auto` takes two numbers instead of a curve


class Calibrated:
    """A predictor whose probabilities were set right on a later block.

    ``logistic`` turns log odds x into a x + b (Platt, whose targets draw a few rows towards half); ``isotonic`` joins
    the middles of the rising steps that fit best, so that no two rows become alike that were not: steps themselves
    would cost the ranking what they gain in calibration. ``auto`` takes the curve where the block has at least 100 rows
    with a fault ahead.

    Parameters
    ----------
    predictor : Predictor, optional
        Fitted, on rows before the block; without it, `learn` and `set_right` take what something else said.
    method : {"auto", "isotonic", "logistic", "none"}

    References
    ----------
    Platt (1999), "Probabilistic outputs for support vector machines"; Zadrozny and Elkan (2002),
    doi 10.1145/775047.775151; Niculescu-Mizil and Caruana (2005), doi 10.1145/1102351.1102430; Oron and Flournoy
    (2017), doi 10.1080/19466315.2017.1286256 (middles of the steps).

    Examples
    --------
    >>> from stability.prediction.floors import BaseRate
    >>> rows = pd.DataFrame({"load": np.arange(8.0)})
    >>> half = BaseRate().fit(rows, np.arange(8) < 4)
    >>> rare = Calibrated(half, "logistic").fit(rows, np.arange(8) < 1)
    >>> rare.predict(rows).round(2).unique().tolist()
    [0.18]
    """

    def __init__(self, predictor: Predictor | None = None, method: str = "auto") -> None:
        self.predictor, self.method = predictor, one_of(method, ("auto", *METHODS), "method")

    def fit(
        self, features: pd.DataFrame, happened: np.ndarray | pd.Series, *, rows: np.ndarray | None = None
    ) -> Calibrated:
        """Learn how to set right; arguments as of `Predictor.fit`, of the later block.

        Raises
        ------
        ContractError
            When the block has no row, and as `Predictor.predict`.
        """
        taken = row_mask(rows, len(features))
        return self.learn(self.predictor.predict(features, rows=taken), np.asarray(happened)[taken])

    def learn(self, said: pd.Series, happened: np.ndarray | pd.Series) -> Calibrated:
        """Learn how to set right what was said of rows that its author had not learnt.

        Parameters
        ----------
        said : Series of float64, shape (n,)
            Probabilities.
        happened : array or Series of bool, shape (n,)
            Of the same rows, in their order.

        Returns
        -------
        Calibrated
            Itself.
        """
        labels = np.asarray(happened)
        if not len(labels):
            raise ContractError(file="rows", expected="rows to calibrate on", got="none")
        said = np.clip(said.to_numpy(), LEAST, 1 - LEAST)
        alike = labels.all() or not labels.any()
        steps = labels.sum() >= FEW and (~labels).sum() >= FEW
        self.method_ = self.method if self.method != "auto" else "isotonic" if steps else "logistic"
        if self.method_ == "isotonic":
            self.x_, self.y_ = _centred(said, labels)
        elif self.method_ == "logistic" and not alike:
            self.x_, self.y_ = np.array(platt(np.log(said / (1 - said)), labels)), np.empty(0)
        else:  # labels that are all alike say nothing
            self.method_, self.x_, self.y_ = "none", np.empty(0), np.empty(0)
        return self

    def predict(self, features: pd.DataFrame, *, rows: np.ndarray | None = None) -> pd.Series:
        """Say how probable a fault is within the horizon; arguments and result as of `Predictor.predict`."""
        if not hasattr(self, "method_"):
            raise ContractError("Calibrated has learnt nothing yet", remedy="call fit(features, happened)")
        return self.set_right(self.predictor.predict(features, rows=rows))

    def set_right(self, said: pd.Series) -> pd.Series:
        """Set probabilities right, NaN staying NaN."""
        return pd.Series(self._curve(said.to_numpy()), said.index, name=said.name)

    def _curve(self, said: np.ndarray) -> np.ndarray:
        if self.method_ == "none":
            return said
        clipped = np.clip(said, LEAST, 1 - LEAST)
        if self.method_ == "isotonic":
            return np.clip(np.interp(clipped, self.x_, self.y_), 0.0, 1.0)
        slope, shift = self.x_
        return 1 / (1 + np.exp(-np.clip(slope * np.log(clipped / (1 - clipped)) + shift, -500, 500)))

    def save(self, folder: str | Path) -> Path:
        """Write the predictor and what sets it right into a folder, whole or not at all, as `Predictor.save`."""
        return self.predictor.save(folder, beside={"calibration.npz": self._kept()})

    def _kept(self) -> dict[str, np.ndarray]:
        return {"method": np.array(self.method_), "x": self.x_, "y": self.y_}


def _centred(said: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles of the rising steps, from (0, 0) to (1, 1); one row of the base rate at either end says that few are."""
    rate = labels.mean()
    x = np.concatenate([[said.min()], said, [said.max()]])
    y = np.concatenate([[rate], labels, [rate]])
    steps = IsotonicRegression().fit(x, y).predict(x)
    height, place = np.unique(steps, return_inverse=True)
    middle = np.bincount(place, weights=x) / np.bincount(place)
    return np.concatenate([[0.0], middle, [1.0]]), np.concatenate([[0.0], height, [1.0]])


def platt(odds: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Fit slope and shift of log odds by maximum likelihood, with Platt's targets, so that none runs to infinity.

    Parameters
    ----------
    odds : ndarray of float
        Log odds of what was predicted.
    labels : ndarray of bool
        What came.

    Examples
    --------
    >>> slope, shift = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, True, False, True]))
    >>> slope > 0, round(shift, 6)
    (True, 0.0)
    """
    ahead, others = labels.sum(), (~labels).sum()
    target = np.where(labels, (ahead + 1) / (ahead + 2), 1 / (others + 2))
    if np.ptp(odds) < LEAST:
        return 0.0, float(np.log(target.mean() / (1 - target.mean())))

    def loss(of: np.ndarray) -> tuple[float, np.ndarray]:
        x = of[0] * odds + of[1]
        p = 1 / (1 + np.exp(-np.clip(x, -500, 500)))
        value = np.logaddexp(0, x) - target * x
        return float(value.sum()), np.array([((p - target) * odds).sum(), (p - target).sum()])

    found = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=[(0.0, None), (None, None)])
    return float(found.x[0]), float(found.x[1])
