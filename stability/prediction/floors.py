"""What a predictor has to beat: the base rate, the time since the last fault, logistic regression, near neighbours."""

from __future__ import annotations

__all__ = ["BaseRate", "Logistic", "RadiusNeighbours", "TimeSince"]

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from stability.prediction.manner import Predictor, Scaled
from stability.schema import ContractError, one_of

ROWS = 2_048  # that are compared with all others at once
SHARES = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # of all distances below the radii that are tried


class BaseRate(Predictor):
    """Say the share of the training rows that a fault followed, whatever the row.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"load": [1.0, 2.0, 3.0, 4.0]})
    >>> BaseRate().fit(rows, np.array([True, False, False, False])).predict(rows).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    name = "base_rate"

    def _learn(self, values: np.ndarray, happened: np.ndarray) -> None:
        pass

    def _probability(self, values: np.ndarray) -> np.ndarray:
        return np.full(len(values), self.base_rate_)


class TimeSince(Predictor):
    """Say what followed in the training rows with as long a time since the last fault: one feature, any shape.

    The time is cut into `parts` of equally many rows; a part's probability is its share, drawn to the base rate by a
    single row's weight.

    Parameters
    ----------
    feature : str
        Column, such as ``"fault__since__90D"``.
    parts : int
    """

    name = "time_since"

    def __init__(self, *, feature: str = "", parts: int = 20) -> None:
        if parts < 2:
            raise ContractError(column="parts", expected="a number from 2 up", got=parts)
        self.feature, self.parts = feature, parts

    def _learn(self, values: np.ndarray, happened: np.ndarray) -> None:
        since = [name for name in self.features_ if "__since__" in name]
        if not self.feature and not since:
            raise ContractError(file="features", expected="a column <event>__since__<time>", got="none")
        self.feature_ = one_of(self.feature, self.features_, "feature") if self.feature else since[0]
        own = values[:, self.features_.index(self.feature_)]
        self.edges_ = np.unique(np.nanquantile(own, np.linspace(0, 1, self.parts + 1)[1:-1]))
        part = self._part(own)
        size, hits = (np.bincount(part, weights=w, minlength=len(self.edges_) + 2) for w in (None, happened))
        self.rates_ = (hits + self.base_rate_) / (size + 1)

    def _part(self, own: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(own), len(self.edges_) + 1, np.searchsorted(self.edges_, own, side="right"))

    def _probability(self, values: np.ndarray) -> np.ndarray:
        return self.rates_[self._part(values[:, self.features_.index(self.feature_)])]

    def _write(self, folder: Path) -> None:
        np.savez(folder / "learnt.npz", edges=self.edges_, rates=self.rates_, feature=np.array(self.feature_))

    def _read(self, folder: Path) -> None:
        with np.load(folder / "learnt.npz", allow_pickle=False) as kept:
            self.edges_, self.rates_, self.feature_ = kept["edges"], kept["rates"], str(kept["feature"])


class Logistic(Predictor):
    """Logistic regression on features in robust deviations, with a ridge penalty.

    Parameters
    ----------
    strength : float
        Inverse of the penalty's weight, C.

    References
    ----------
    le Cessie and van Houwelingen (1992), doi 10.2307/2347628 (ridge estimators in logistic regression).
    """

    name = "logistic"

    def __init__(self, *, strength: float = 0.01) -> None:
        if not strength > 0:
            raise ContractError(column="strength", expected="a number above 0", got=strength)
        self.strength = strength

    def _learn(self, values: np.ndarray, happened: np.ndarray) -> None:
        self.scale_ = Scaled.learn(values)
        model = LogisticRegression(C=self.strength, max_iter=2_000).fit(self.scale_.apply(values), happened)
        self.weights_ = np.append(model.coef_[0], model.intercept_)

    def _probability(self, values: np.ndarray) -> np.ndarray:
        odds = self.scale_.apply(values) @ self.weights_[:-1] + self.weights_[-1]
        return 1 / (1 + np.exp(-np.clip(odds, -500, 500)))

    def _write(self, folder: Path) -> None:
        np.savez(folder / "learnt.npz", weights=self.weights_, middle=self.scale_.middle, spread=self.scale_.spread)

    def _read(self, folder: Path) -> None:
        with np.load(folder / "learnt.npz", allow_pickle=False) as kept:
            self.weights_, self.scale_ = kept["weights"], Scaled(kept["middle"], kept["spread"])


class RadiusNeighbours(Predictor):
    r"""Say the share of training rows nearby that a fault followed.

    .. math:: P(y = 1 | x) = \frac{\sum_i y_i \, 1(x_i \in N(x, \delta))}{\sum_i 1(x_i \in N(x, \delta))}

    N is the ball of radius :math:`\delta` around x; distances are in robust deviations, divided by the root of the
    number of features. The radius comes from cross-validation on blocks of the training rows, by log score. A row
    without neighbours gets the base rate, and all are drawn to it by the weight of `prior` rows.

    Parameters
    ----------
    prior : float
        0 is the formula itself, but for rows without neighbours.
    most : int
        Training rows that are kept: all with a fault ahead, as far as they fit, and others drawn evenly; weighted so
        that the shares stay.
    folds : int
    seed : int

    References
    ----------
    Fix and Hodges (1951), reprinted 1989, doi 10.2307/1403797, section 4 (estimates from fixed neighbourhoods).
    """

    name = "radius_neighbours"

    def __init__(self, *, prior: float = 1.0, most: int = 10_000, folds: int = 4, seed: int = 0) -> None:
        wrong = {"prior": prior < 0, "most": most < 10, "folds": folds < 2}
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ContractError(column=name, expected="a larger number", got=locals()[name])
        self.prior, self.most, self.folds, self.seed = prior, most, folds, seed

    def _learn(self, values: np.ndarray, happened: np.ndarray) -> None:
        self.scale_ = Scaled.learn(values)
        rng = np.random.default_rng(self.seed)
        kept = [rng.permutation(np.flatnonzero(happened == side)) for side in (True, False)]
        ahead = kept[0][: self.most // 2]
        rest = kept[1][: self.most - len(ahead)]
        rows = np.sort(np.concatenate([ahead, rest]))
        points, self.labels_ = self._scaled(values[rows]), happened[rows]
        share = {True: len(kept[0]) / max(len(ahead), 1), False: len(kept[1]) / max(len(rest), 1)}
        self.points_, self.weights_ = points, np.where(self.labels_, share[True], share[False])
        block = np.arange(len(rows)) * self.folds // len(rows)
        some = rng.permutation(len(rows))[: min(len(rows), 2 * ROWS)]
        away = _distances(points[some], points)
        self.radii_ = np.unique(np.quantile(away, SHARES))
        away[block[some][:, None] == block] = np.inf  # a row's own block says nothing of it
        losses = [self._loss(self._share(away, radius), some) for radius in self.radii_]
        self.radius_ = float(self.radii_[int(np.argmin(losses))])

    def _loss(self, probability: np.ndarray, rows: np.ndarray) -> float:
        p = np.clip(probability, 1e-6, 1 - 1e-6)
        log = np.where(self.labels_[rows], np.log(p), np.log(1 - p))
        return float(-np.average(log, weights=self.weights_[rows]))

    def _share(self, away: np.ndarray, radius: float) -> np.ndarray:
        near = (away <= radius) * self.weights_
        count, hits = near.sum(axis=1), near @ self.labels_
        weight = np.where(count > 0, self.prior, 1.0)
        return (hits + weight * self.base_rate_) / (count + weight)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return self.scale_.apply(values) / np.sqrt(values.shape[1])

    def _probability(self, values: np.ndarray) -> np.ndarray:
        parts = [values[a : a + ROWS] for a in range(0, len(values), ROWS)]
        found = [self._share(_distances(self._scaled(part), self.points_), self.radius_) for part in parts]
        return np.concatenate(found)

    def _write(self, folder: Path) -> None:
        arrays = {"points": self.points_, "labels": self.labels_, "weights": self.weights_, "radius": self.radius_}
        np.savez(folder / "learnt.npz", middle=self.scale_.middle, spread=self.scale_.spread, **arrays)

    def _read(self, folder: Path) -> None:
        with np.load(folder / "learnt.npz", allow_pickle=False) as kept:
            self.points_, self.labels_, self.weights_ = kept["points"], kept["labels"], kept["weights"]
            self.radius_, self.scale_ = float(kept["radius"]), Scaled(kept["middle"], kept["spread"])


def _distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    squares = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * rows @ others.T
    return np.sqrt(np.maximum(squares, 0.0))
