"""Remaining life from features: boosted trees on life that is cut where it cannot be seen, and kept as plain data."""

from __future__ import annotations

__all__ = ["RemainingLife"]

import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from stability.features.rolling import length_of
from stability.prediction.manner import Predictor, require_columns, row_mask
from stability.prediction.trees import usable_cores
from stability.schema import ContractError, folder_written_whole

SAID, MODEL = "remaining.json", "model_{}.json"
SECOND = 1_000_000  # microseconds


class RemainingLife(BaseEstimator):
    """How long an entity lives on, from the features of a row; the mean of several boosted-tree models.

    Where nothing is worn yet, no feature can tell 200 cycles from 300: life is cut at `cap` to learn from, and no
    prediction is above it. Each member grows its trees on rows and features that its own seed draws.

    Parameters
    ----------
    cap : str
        Longest life that is told apart.
    members : int
        Models whose mean is taken.
    trees, depth : int
        Number of trees of a member, and their depth.
    rate : float
        Share of a tree's correction that is taken.
    rows, features : float
        Shares that a tree, and a split of it, is grown on.
    leaf, ridge : float
        Least weight of a leaf, of rows that weigh 1; penalty of large corrections.
    seed : int

    Attributes
    ----------
    features_ : list of str
        What it was fitted on, in order.
    fitted_on_ : dict or None
        Of the features, where they say it.

    References
    ----------
    Chen and Guestrin (2016), doi 10.1145/2939672.2939785; the cut: Heimes (2008), PHM '08,
    doi 10.1109/PHM.2008.4711422.
    """

    def __init__(
        self,
        *,
        cap: str = "125D",
        members: int = 3,
        trees: int = 400,
        depth: int = 4,
        rate: float = 0.03,
        rows: float = 0.5,
        features: float = 0.3,
        leaf: float = 30.0,
        ridge: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.cap, self.members, self.trees, self.depth, self.rate = cap, members, trees, depth, rate
        self.rows, self.features, self.leaf, self.ridge, self.seed = rows, features, leaf, ridge, seed

    def fit(
        self, features: pd.DataFrame, remaining: pd.Series | np.ndarray, *, rows: np.ndarray | None = None
    ) -> RemainingLife:
        """Learn.

        Parameters
        ----------
        features : DataFrame of float64, shape (n, features)
            NaN where unknown.
        remaining : Series or array of float64, seconds, shape (n,)
            As of `remaining_life`. Rows of which no failure is known are not learnt from.
        rows : array of bool, shape (n,), optional
            Which to learn from; all without it.

        Returns
        -------
        RemainingLife
            Itself.

        Raises
        ------
        ContractError
            When lengths differ, a value is infinite, a life is negative, or none is known.
        """
        import xgboost

        life, taken = np.asarray(remaining, dtype="float64"), row_mask(rows, len(features)).copy()
        if life.shape != (len(features),):
            raise ContractError(file="remaining", expected=f"{len(features)} lives", got=f"shape {life.shape}")
        taken &= ~np.isnan(life)
        if not taken.any():
            raise ContractError(file="remaining", expected="rows of which the failure is known", got="none")
        if (life[taken] < 0).any():
            raise ContractError(file="remaining", expected="seconds from 0 up", got=f"{life[taken].min():g}")
        self.features_, self.fitted_on_ = list(features.columns), features.attrs.get("fitted_on")
        share = np.minimum(life[taken] / self._cap, 1.0)
        seen = xgboost.QuantileDMatrix(Predictor._values(features)[taken], share, nthread=usable_cores())
        settings = {"objective": "reg:squarederror", "tree_method": "hist", "max_depth": self.depth, "eta": self.rate}
        settings |= {"subsample": self.rows, "colsample_bynode": self.features, "min_child_weight": self.leaf}
        settings |= {"lambda": self.ridge, "nthread": usable_cores()}
        self.models_ = [
            xgboost.train(settings | {"seed": self.seed + k}, seen, self.trees) for k in range(self.members)
        ]
        return self

    def predict(self, features: pd.DataFrame, *, rows: np.ndarray | None = None) -> pd.Series:
        """Say how much life is left.

        Parameters
        ----------
        features : DataFrame of float64
            With all columns that it was fitted on, in any order.
        rows : array of bool, shape (n,), optional
            Of which it is wanted; all without it.

        Returns
        -------
        Series of float64, seconds, from 0 to `cap`
            Over the index of these rows; what is at `cap` may be anything above.

        Raises
        ------
        ContractError
            When a column is missing, a value is infinite, or `fit` was not called.
        """
        import xgboost

        if not hasattr(self, "features_"):
            raise ContractError("RemainingLife has learnt nothing yet", remedy="call fit(features, remaining)")
        require_columns(features, self.features_)
        own = features.loc[row_mask(rows, len(features)), self.features_]
        values = xgboost.DMatrix(Predictor._values(own), nthread=usable_cores())
        share = np.mean([model.predict(values).astype("float64") for model in self.models_], axis=0)
        return pd.Series(np.clip(share, 0.0, 1.0) * self._cap, own.index, name="remaining_life")

    @property
    def _cap(self) -> float:
        return length_of(self.cap) / SECOND

    # ---- kept ----------------------------------------------------------------------------------------------------
    def save(self, folder: str | Path) -> Path:
        """Write everything that it knows into a folder that is not there yet, whole or not at all; none of it is code.

        Raises
        ------
        ContractError
            When the folder is there already, or `fit` was not called.
        """
        if not hasattr(self, "features_"):
            raise ContractError("RemainingLife has learnt nothing yet", remedy="call fit(features, remaining)")
        with folder_written_whole(Path(folder)) as draft:
            said = {"settings": self.get_params(deep=False), "features": self.features_, "fitted_on": self.fitted_on_}
            (draft / SAID).write_text(json.dumps(said, indent=1))
            for k, model in enumerate(self.models_):
                model.save_model(draft / MODEL.format(k))
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> RemainingLife:
        """Read what `save` wrote: data alone, nothing in it is run. It gives the numbers that the saved one gave.

        Raises
        ------
        ContractError
            When the folder is none that `save` wrote.
        """
        import xgboost

        folder = Path(folder)
        try:
            said = json.loads((folder / SAID).read_text())
            found = cls(**said["settings"])
            found.features_, found.fitted_on_ = said["features"], said["fitted_on"]
            found.models_ = [xgboost.Booster(model_file=folder / MODEL.format(k)) for k in range(found.members)]
        except (OSError, ValueError, KeyError, TypeError, xgboost.core.XGBoostError) as error:
            got = f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else ''}"
            remedy = "give a folder that RemainingLife.save wrote"
            raise ContractError(file=folder, expected="a model of remaining life", got=got, remedy=remedy) from None
        return found
