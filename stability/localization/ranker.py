r"""A ranker that is learnt from cases: conditional logit, one softmax over the candidates of each case.

With :math:`x_c` the evidence of candidate c, :math:`P(c) = e^{w^\top x_c} / \sum_k e^{w^\top x_k}`: only differences
within a case count, so cases with many candidates and with few, busy hours and quiet ones, teach the same weights. The
log-odds of two candidates are sums of :math:`w_j (x_{cj} - x_{kj})`, term by term: the evidence explains the answer.
The L2 penalty draws weights to 0 (or to a prior's) and keeps few cases from separating perfectly.

Source: McFadden (1974), Conditional logit analysis of qualitative choice behavior.
"""

from __future__ import annotations

__all__ = ["ConditionalLogit"]

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from stability.schema import ContractError


class ConditionalLogit:
    """Weights of evidence from cases whose cause is known.

    Parameters
    ----------
    penalty : float
        Of the sum of squared weights, each in units of its column's spread, against the log likelihood of all cases.
    signs : mapping of column to {1, -1}, optional
        Directions that are known before any case: the weight may be 0 and not of the other sign. A few cases that
        share one cause must not teach that a larger own part of the trouble speaks against a candidate.

    Attributes
    ----------
    weights_ : Series of float64, index column
        Log-odds per unit of evidence.

    Examples
    --------
    >>> one = pd.DataFrame({"z": [0.0, 3.0, 1.0]}), 1
    >>> two = pd.DataFrame({"z": [2.0, 0.0]}), 0
    >>> ranker = ConditionalLogit(penalty=0.1).fit([one[0], two[0]], [one[1], two[1]])
    >>> ranker.log_probabilities(one[0]).argmax(), bool(ranker.weights_["z"] > 0)
    (np.int64(1), True)
    """

    def __init__(self, penalty: float = 1.0, signs: Mapping[str, int] | None = None):
        self.penalty, self.signs = penalty, dict(signs or {})

    def fit(
        self, tables: Sequence[pd.DataFrame], chosen: Sequence[int], weights: Sequence[float] | None = None
    ) -> ConditionalLogit:
        """Learn the weights.

        Parameters
        ----------
        tables : sequence of DataFrame, shape (candidates, columns)
            Evidence of each case; columns that a case lacks count as 0.
        chosen : sequence of int
            Row of the true cause in each.
        weights : sequence of float, optional
            Of the cases.

        Returns
        -------
        ConditionalLogit

        Raises
        ------
        ContractError
            Without a case, or where a row is none of its case.
        """
        if not len(tables) or len(tables) != len(chosen):
            raise ContractError(column="cases", expected="one case or more, and a cause of each", got=len(tables))
        for table, row in zip(tables, chosen, strict=True):
            if not 0 <= row < len(table):
                raise ContractError(column="chosen", expected=f"a row from 0 to {len(table) - 1}", got=row)
        columns = list(dict.fromkeys(name for table in tables for name in table.columns))
        x = np.concatenate([table.reindex(columns=columns, fill_value=0.0).to_numpy(dtype=float) for table in tables])
        lengths = np.array([len(table) for table in tables])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        true = starts + np.asarray(chosen, dtype=int)
        each = np.ones(len(tables)) if weights is None else np.asarray(weights, dtype=float)
        spread = x.std(axis=0)
        scale = np.where(spread > 1e-12, spread, np.inf)  # a column that never differs has no weight
        scaled = x / scale
        signs = [self.signs.get(name, 0) for name in columns]
        bounds = [(0.0 if s > 0 else None, 0.0 if s < 0 else None) for s in signs]

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            utility = scaled @ w
            top = np.maximum.reduceat(utility, starts)
            odds = np.exp(utility - np.repeat(top, lengths))
            total = np.add.reduceat(odds, starts)
            surprise = each * (top + np.log(total) - utility[true])
            p = odds / np.repeat(total, lengths) * np.repeat(each, lengths)
            slope = scaled.T @ p - each @ scaled[true]
            return float(surprise.sum() + self.penalty * w @ w / 2), slope + self.penalty * w

        solved = minimize(loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B", bounds=bounds)
        self.weights_ = pd.Series(solved.x / scale, index=columns, name="weight")
        return self

    def contributions(self, table: pd.DataFrame) -> pd.DataFrame:
        """Log-odds of each candidate by column; a column without weight, or that the case lacks, adds nothing."""
        names = [name for name in self.weights_.index if name in table.columns]
        values = table[names].to_numpy() * self.weights_[names].to_numpy()
        return pd.DataFrame(values, index=table.index, columns=names)

    def log_probabilities(self, table: pd.DataFrame) -> np.ndarray:
        """Log of each candidate's probability, shape (candidates,)."""
        utility = self.contributions(table).sum(axis=1).to_numpy()
        return utility - np.logaddexp.reduce(utility)

    def to_dict(self) -> dict:
        """Plain numbers and names, for JSON."""
        return {"penalty": self.penalty, "signs": self.signs, "weights": self.weights_.to_dict()}

    @classmethod
    def from_dict(cls, said: Mapping) -> ConditionalLogit:
        """The ranker that `to_dict` wrote."""
        made = cls(float(said["penalty"]), {str(k): int(v) for k, v in said["signs"].items()})
        made.weights_ = pd.Series(
            {str(k): float(v) for k, v in said["weights"].items()}, name="weight", dtype="float64"
        )
        return made
