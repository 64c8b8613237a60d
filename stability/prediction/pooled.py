"""Several predictors joined: by the mean of their ranks, the mean of their log odds, or weights that were learnt."""

from __future__ import annotations

__all__ = ["HOW", "MEMBERS", "Pooled", "log_odds"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize
from sklearn.isotonic import IsotonicRegression

from stability.prediction.calibrated import FEW, LEAST, platt
from stability.prediction.floors import Logistic, RadiusNeighbours, TimeSince
from stability.prediction.manner import Predictor
from stability.prediction.sequences import Convolution, Lstm
from stability.prediction.trees import GradientBoosting, RandomForest, XGBoost
from stability.schema import ContractError, one_of

MEMBERS: Mapping[str, type[Predictor]] = MappingProxyType(
    {
        one.name: one
        for one in (
            TimeSince,
            Logistic,
            RadiusNeighbours,
            RandomForest,
            GradientBoosting,
            XGBoost,
            Lstm,
            Convolution,
        )
    }
)
"""What may be a member."""
HOW = ("stacked", "log_odds", "ranks")
POINTS = 10_000  # scores that a member's ranks are read from, at most
PULL = 1.0  # of learnt weights towards equal ones: a log loss of 1 for a distance of 1, little beside that of a block
SLOPE = 0.02  # share of a rising curve in what ranks become, so that rows on one step of the other share keep an order


class Pooled(Predictor):
    r"""Several predictors, joined by what they say of rows that none of them has learnt from.

    The last rows in time are held back; the members learn the earlier ones, and say their log odds :math:`x_j` of the
    block. From these it learns how to join them:

    * ``stacked``: :math:`b + \sum_j w_j x_j` with weights from 0 up, by maximum likelihood, drawn a little to equal
      ones, since members that are much alike leave the weights open;
    * ``log_odds``: the mean of the log odds, set right by a slope and a shift;
    * ``ranks``: the mean of each member's rank among its own scores of the block, set right by a rising curve. A row's
      rank is read from the block alone, so it does not depend on which rows are asked for.

    Then the members learn all rows: the newest ones, which are most like what is to come, are worth more to them than
    the weights lose by coming from members that had not seen these.

    Parameters
    ----------
    members : sequence of str or mapping
        Names in `MEMBERS`, or ``{"predictor": name, setting: value, ...}``; two or more.
    how : {"stacked", "log_odds", "ranks"}
    held : float
        Share of the training rows, the last in time, that is held back.
    between : float
        Share before those that no member learns either; should be longer than the horizon, so that what is ahead of
        both is not the same.

    References
    ----------
    Wolpert (1992), doi 10.1016/S0893-6080(05)80023-1; Breiman (1996), doi 10.1007/BF00117832 (weights from 0 up);
    Ranjan and Gneiting (2010), doi 10.1111/j.1467-9868.2009.00726.x (a mean of probabilities has to be set right).
    """

    name = "pooled"

    def __init__(
        self,
        *,
        members: Sequence[str | Mapping[str, Any]] = ("xgboost", "random_forest", "gradient_boosting", "logistic"),
        how: str = "stacked",
        held: float = 0.25,
        between: float = 0.05,
    ) -> None:
        self.members = [member if isinstance(member, str) else dict(member) for member in members]
        self.how, self.held, self.between = one_of(how, HOW, "how"), held, between
        if len(self.members) < 2:
            raise ContractError(column="members", expected="two or more", got=f"{self.members}")
        if not (held > 0 and between >= 0 and held + between < 1):
            expected = "shares that leave rows to learn from"
            raise ContractError(column="held", expected=expected, got=f"{held} and {between} between")
        for member in self.members:
            self._made(member)

    @staticmethod
    def _made(member: str | dict[str, Any]) -> Predictor:
        settings = {"predictor": member} if isinstance(member, str) else dict(member)
        kind = MEMBERS[one_of(settings.pop("predictor", None), MEMBERS, "member")]
        try:
            return kind(**settings)
        except TypeError as error:
            expected = f"settings of {kind.name}"
            raise ContractError(column="members", expected=expected, got=str(error)) from None

    def _learn_rows(self, features: pd.DataFrame, happened: np.ndarray, rows: np.ndarray) -> None:
        self._values(features)  # what is infinite is everybody's fault, and no member's
        early, later = _blocks(features.index, rows, self.held, self.between)
        first = [self._fitted(member, features, happened, early) for member in self.members]
        odds = np.column_stack([log_odds(model.predict(features, rows=later)) for model in first])
        self._join(odds, happened[later])
        self.models_ = [self._fitted(member, features, happened, rows) for member in self.members]

    def _fitted(self, member, features: pd.DataFrame, happened: np.ndarray, rows: np.ndarray) -> Predictor:
        model = self._made(member)
        try:
            return model.fit(features, happened, rows=rows)
        except ContractError as error:
            said = f"{model.name} cannot learn from {int(rows.sum())} rows: {error}"
            raise ContractError(
                file="members", got=said, remedy="leave it out, or give a longer training part"
            ) from None

    def _join(self, odds: np.ndarray, happened: np.ndarray) -> None:
        """Learn how to join log odds, (rows, members), of rows that are new to the members."""
        count, alike = odds.shape[1], happened.all() or not happened.any()
        self.weights_, self.shift_ = np.full(count, 1 / count), 0.0
        self.points_, self.x_, self.y_ = np.empty((0, count)), np.empty(0), np.empty(0)
        if self.how == "ranks":
            steps = np.linspace(0, 1, min(len(odds), POINTS))
            self.points_ = np.quantile(odds, steps, axis=0, method="nearest")
            odds = self._ranks(odds)
        if alike:  # then nothing tells how to set them right
            return
        if self.how == "stacked":
            self.weights_, self.shift_ = _stacked(odds, happened)
            return
        joined = odds @ self.weights_
        slope, self.shift_ = platt(joined, happened)
        self.weights_ = self.weights_ * slope
        if self.how == "ranks" and min(happened.sum(), (~happened).sum()) >= FEW:
            curve = IsotonicRegression(out_of_bounds="clip").fit(joined, happened)
            self.x_, self.y_ = curve.X_thresholds_, curve.y_thresholds_

    def _ranks(self, odds: np.ndarray) -> np.ndarray:
        """Log odds of the share of the block's scores below, of each member; ties and what lies beyond are halved."""
        ranks = np.empty_like(odds)
        most = np.log((1 - LEAST) / LEAST)
        for j, points in enumerate(self.points_.T):
            own, first, count = np.unique(points, return_index=True, return_counts=True)
            inner = (own > -most) & (own < most)
            x, y = [-most, *own[inner], most], [0.0, *((first + count / 2) / len(points))[inner], 1.0]
            ranks[:, j] = np.interp(odds[:, j], x, y)
        ranks = np.clip(ranks, LEAST, 1 - LEAST)
        return np.log(ranks / (1 - ranks))

    def _probability_of_rows(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        odds = np.column_stack([log_odds(model.predict(features, rows=rows)) for model in self.models_])
        if self.how == "ranks":
            odds = self._ranks(odds)
        # Summed row by row: a product of matrices rounds by how many rows there are.
        joined = (odds * self.weights_).sum(axis=1) + self.shift_
        found = 1 / (1 + np.exp(-np.clip(joined, -500, 500)))
        if not len(self.x_):
            return found
        steps = np.interp(odds.sum(axis=1) / odds.shape[1], self.x_, self.y_)
        return (1 - SLOPE) * steps + SLOPE * found

    def _write(self, folder: Path) -> None:
        for j, model in enumerate(self.models_):
            model.save(folder / f"member-{j}")
        learnt = {"weights": self.weights_, "shift": np.array(self.shift_), "points": self.points_}
        np.savez(folder / "learnt.npz", x=self.x_, y=self.y_, **learnt)

    def _read(self, folder: Path) -> None:
        from stability.prediction.registry import load  # which knows this class, too

        self.models_ = [load(folder / f"member-{j}") for j in range(len(self.members))]
        with np.load(folder / "learnt.npz", allow_pickle=False) as kept:
            self.weights_, self.shift_, self.points_ = kept["weights"], float(kept["shift"]), kept["points"]
            self.x_, self.y_ = kept["x"], kept["y"]


def log_odds(said: pd.Series) -> np.ndarray:
    """Give the log odds of probabilities, which are kept off 0 and 1.

    Examples
    --------
    >>> log_odds(pd.Series([0.5, 0.9])).round(2)
    array([0. , 2.2])
    """
    p = np.clip(said.to_numpy(), LEAST, 1 - LEAST)
    return np.log(p / (1 - p))


def _blocks(index: pd.Index, rows: np.ndarray, held: float, between: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows that members learn first, and the last ones in time; rows of one moment stay together."""
    timed = "timestamp" in index.names or isinstance(index, pd.DatetimeIndex)
    stamps = index.get_level_values("timestamp" if "timestamp" in index.names else 0)
    moments = stamps.asi8 if timed else np.arange(len(index))
    own = np.sort(moments[rows])
    stop, start = (own[int(len(own) * (1 - share))] for share in (held + between, held))
    return rows & (moments < stop), rows & (moments >= start)


def _stacked(odds: np.ndarray, happened: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights from 0 up, and the shift, that make what happened most likely."""
    equal = 1 / odds.shape[1]

    def loss(of: np.ndarray) -> tuple[float, np.ndarray]:
        x = odds @ of[:-1] + of[-1]
        off, p = of[:-1] - equal, 1 / (1 + np.exp(-np.clip(x, -500, 500)))
        value = (np.logaddexp(0, x) - happened * x).sum() + PULL * (off**2).sum()
        return float(value), np.append((p - happened) @ odds + 2 * PULL * off, (p - happened).sum())

    bounds = [(0.0, None)] * odds.shape[1] + [(None, None)]
    start = np.append(np.full(odds.shape[1], equal), 0.0)
    found = optimize.minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 500})
    return found.x[:-1], float(found.x[-1])
