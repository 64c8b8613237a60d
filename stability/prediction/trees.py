"""Forests and boosted trees: many small decisions, joined."""

from __future__ import annotations

__all__ = ["GradientBoosting", "RandomForest", "XGBoost", "usable_cores"]

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from stability.prediction.manner import Predictor
from stability.schema import ContractError

MODEL = "model.skops"
ROWS = 1_000  # below which a second core does not pay
TRUSTED = [  # all that a forest or boosted trees of scikit-learn consist of; a file with anything else is refused
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


def usable_cores() -> int:
    """Count cores: as many as there are, or as `OMP_NUM_THREADS` leaves to each of several notebooks."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(int(told) if told.isdigit() else 64, os.cpu_count() or 1))


class _Kept(Predictor):
    """A predictor whose model is one of scikit-learn's."""

    def _probability(self, values: np.ndarray) -> np.ndarray:
        return self.model_.predict_proba(values)[:, 1]

    def _write(self, folder: Path) -> None:
        from skops import io  # imports PyTorch: seconds that who saves nothing need not wait

        io.dump(self.model_, folder / MODEL)

    def _read(self, folder: Path) -> None:
        from skops import io

        unknown = sorted(set(io.get_untrusted_types(file=folder / MODEL)) - set(TRUSTED))
        if unknown:
            remedy = "train the model anew; a file is never trusted beyond a fixed list"
            raise ContractError(file=folder / MODEL, expected="trees", got=f"{unknown}", remedy=remedy)
        self.model_ = io.load(folder / MODEL, trusted=TRUSTED)


class RandomForest(_Kept):
    """Mean over deep trees, each grown on rows drawn again and on few features at a time.

    Parameters
    ----------
    trees, leaf : int
        Number of trees, and least rows of a leaf.
    features : float
        Share of the features that a split chooses from.
    seed : int

    References
    ----------
    Breiman (2001), doi 10.1023/A:1010933404324.
    """

    name = "random_forest"

    def __init__(self, *, trees: int = 300, leaf: int = 5, features: float = 0.2, seed: int = 0) -> None:
        self.trees, self.leaf, self.features, self.seed = trees, leaf, features, seed

    def _learn(self, values: np.ndarray, happened: np.ndarray) -> None:
        self.model_ = RandomForestClassifier(
            self.trees,
            min_samples_leaf=self.leaf,
            max_features=self.features,
            n_jobs=usable_cores(),
            random_state=self.seed,
        ).fit(values, happened)
        self.model_.n_jobs = 1  # from here on; see `_probability`

    def _probability(self, values: np.ndarray) -> np.ndarray:
        """Each core takes some rows through all trees: cores that share out the trees add them up in any order.

        Which would change the last bits from call to call.
        """
        cores = usable_cores()
        parts = np.array_split(values, min(cores, len(values) // ROWS + 1))
        with ThreadPoolExecutor(cores) as pool:
            return np.concatenate(list(pool.map(super()._probability, parts)))


class GradientBoosting(_Kept):
    """Trees one after the other, each on what those before it got wrong (scikit-learn's, on binned features).

    Parameters
    ----------
    trees, leaves, leaf : int
        Number of trees, most leaves of each, least rows of a leaf.
    rate : float
        Share of a tree's correction that is taken.
    ridge : float
        Penalty of large corrections.
    features : float
        Share of the features that a split chooses from.
    seed : int

    References
    ----------
    Friedman (2001), doi 10.1214/aos/1013203451.
    """

    name = "gradient_boosting"

    def __init__(
        self,
        *,
        trees: int = 300,
        leaves: int = 15,
        leaf: int = 20,
        rate: float = 0.05,
        ridge: float = 1.0,
        features: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.trees, self.leaves, self.leaf, self.rate = trees, leaves, leaf, rate
        self.ridge, self.features, self.seed = ridge, features, seed

    def _learn(self, values: np.ndarray, happened: np.ndarray) -> None:
        values = np.where(np.isnan(values).all(axis=0), 0.0, values)  # it cannot bin what has no value; nor will it ask
        self.model_ = HistGradientBoostingClassifier(
            max_iter=self.trees,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.leaf,
            learning_rate=self.rate,
            l2_regularization=self.ridge,
            max_features=self.features,
            early_stopping=False,
            random_state=self.seed,
        ).fit(values, happened)


class XGBoost(Predictor):
    """Boosted trees with second-order corrections, on rows and features drawn anew for each.

    Parameters
    ----------
    trees, depth : int
        Number of trees and their depth.
    rate : float
        Share of a tree's correction that is taken.
    rows, features : float
        Shares that a tree is grown on.
    leaf, ridge : float
        Least weight of a leaf; penalty of large corrections.
    seed : int

    References
    ----------
    Chen and Guestrin (2016), doi 10.1145/2939672.2939785.
    """

    name = "xgboost"

    def __init__(
        self,
        *,
        trees: int = 400,
        depth: int = 5,
        rate: float = 0.05,
        rows: float = 0.8,
        features: float = 0.5,
        leaf: float = 3.0,
        ridge: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.trees, self.depth, self.rate, self.rows = trees, depth, rate, rows
        self.features, self.leaf, self.ridge, self.seed = features, leaf, ridge, seed

    def _learn(self, values: np.ndarray, happened: np.ndarray) -> None:
        import xgboost

        settings = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": self.depth, "eta": self.rate}
        settings |= {"subsample": self.rows, "colsample_bytree": self.features, "min_child_weight": self.leaf}
        settings |= {"lambda": self.ridge, "seed": self.seed, "nthread": usable_cores()}
        self.model_ = xgboost.train(settings, xgboost.DMatrix(values, happened), self.trees)

    def _probability(self, values: np.ndarray) -> np.ndarray:
        import xgboost

        return self.model_.predict(xgboost.DMatrix(values)).astype("float64")

    def _write(self, folder: Path) -> None:
        self.model_.save_model(folder / "model.json")

    def _read(self, folder: Path) -> None:
        import xgboost

        self.model_ = xgboost.Booster(model_file=folder / "model.json")
