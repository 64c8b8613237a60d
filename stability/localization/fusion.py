r"""Rules and the learnt ranker become one probability; and the three ways not to answer.

The default is a log-opinion pool: for each candidate the log-probability of the ranker plus half of the rules' weight
of evidence, softmaxed over the case. It adds, so it explains itself. Rules' weights are log-odds, smoothed,

.. math:: \ln\frac{P(hit \mid cause)}{P(hit \mid other)} \quad\text{or}\quad
    \ln\frac{P(no\ hit \mid cause)}{P(no\ hit \mid other)}

The weight may be learnt, and a temperature sets the probabilities right without changing an order, on cases that
neither ranker nor rules had seen. Stacking (rules as columns of the ranker) needs many labelled incidents: with 16 it
loses to the pool.
"""

from __future__ import annotations

__all__ = ["RuleOdds", "calibrate", "operating_point", "pool", "symptoms"]

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from stability.schema import ContractError

WEIGHTS = (0.5, 0.25, 0.125, 0.0, 1.0)  # that are tried where the weight is learnt, the default first
WEIGHT = 0.5  # of rules' evidence in the pool: rules see the same symptoms twice
SMOOTHING = 1.0  # hits and misses that every rule is given for nothing
COOLEST, HOTTEST = 0.2, 10.0  # of a temperature
SYMPTOMS = {  # rule -> (column, at least): what an engineer would say of a candidate's evidence
    "changed_most": ("change.rank", 1.0),
    "changed_clearly": ("change.z", float(np.log1p(10.0))),
    "changed_first": ("change.first", 1.0),
    "own_part_largest": ("topology.rank", 1.0),
    "own_part_half": ("topology.own", 0.5),
    "own_part_sure": ("topology.sure", float(np.log1p(5.0))),
    "depended_on_changed": ("topology.explained", float(np.log1p(10.0))),
    "state_changed_last": ("state.recent", 1.0),
    "new_lines": ("logs.new", float(np.log1p(1.0))),
    "detector_blames": ("detector.share", 0.5),
}


def symptoms(evidence: pd.DataFrame) -> pd.DataFrame:
    """Hits of rules on a case: those that fired, and what an engineer reads off the evidence.

    Parameters
    ----------
    evidence : DataFrame
        Of one case, as from `evidence.evidence`.

    Returns
    -------
    DataFrame of bool, same index
        A column a rule; one whose evidence is not known is missing.

    Examples
    --------
    >>> symptoms(pd.DataFrame({"topology.own": [0.2, 0.9], "rule.Latency": [1.0, 0.0]})).to_dict("list")
    {'Latency': [True, False], 'own_part_half': [False, True]}
    """
    # One block, and no column after another: this runs for each case of each fit.
    values, place = evidence.to_numpy(dtype="float64"), {name: k for k, name in enumerate(evidence.columns)}
    hits = {name.removeprefix("rule."): values[:, k] > 0 for name, k in place.items() if name.startswith("rule.")}
    hits |= {rule: values[:, place[name]] >= least for rule, (name, least) in SYMPTOMS.items() if name in place}
    made = np.column_stack(list(hits.values())) if hits else np.zeros((len(evidence), 0), dtype=bool)
    return pd.DataFrame(made, index=evidence.index, columns=list(hits))


class RuleOdds:
    """How much a hit of each rule, and its silence, speaks for a candidate.

    Parameters
    ----------
    smoothing : float
        Added to hits and to misses of causes and of others.

    Attributes
    ----------
    odds_ : DataFrame, index rule
        `hit` and `silent`: log-odds.

    Examples
    --------
    >>> hits = pd.DataFrame({"slow": [True, False, False]})
    >>> odds = RuleOdds().fit([hits, hits], [0, 0]).odds_.loc["slow"]
    >>> round(float(odds["hit"]), 2), round(float(odds["silent"]), 2)  # ln (3/4)/(1/6), ln (1/4)/(5/6)
    (1.5, -1.2)
    """

    def __init__(self, smoothing: float = SMOOTHING):
        self.smoothing = smoothing

    def fit(self, tables: Sequence[pd.DataFrame], chosen: Sequence[int]) -> RuleOdds:
        """Count hits of causes and of others.

        Parameters
        ----------
        tables : sequence of DataFrame of bool
            Hits in each case; a rule that a case does not know is not counted there.
        chosen : sequence of int
            Row of the true cause in each.

        Returns
        -------
        RuleOdds
        """
        counts: dict[str, np.ndarray] = {}
        for table, row in zip(tables, chosen, strict=True):
            hits = table.to_numpy(dtype=float)
            both = np.array([hits[row], 1 - hits[row], hits.sum(0) - hits[row], (1 - hits).sum(0) - 1 + hits[row]])
            for name, own in zip(table.columns, both.T, strict=True):
                counts[name] = counts.get(name, np.zeros(4)) + own
        made = {}
        for name, own in counts.items():
            a, b, c, d = own + self.smoothing
            made[name] = {
                "hit": np.log(a / (a + b)) - np.log(c / (c + d)),
                "silent": np.log(b / (a + b)) - np.log(d / (c + d)),
            }
        self.odds_ = pd.DataFrame.from_dict(made, orient="index", columns=["hit", "silent"]).rename_axis("rule")
        return self

    def contributions(self, table: pd.DataFrame) -> pd.DataFrame:
        """Log-odds of each candidate by rule; a rule that was not learnt, or is not known in the case, adds nothing."""
        names = [name for name in self.odds_.index if name in table]
        own = np.where(table[names].to_numpy(dtype=bool), self.odds_.loc[names, "hit"], self.odds_.loc[names, "silent"])
        return pd.DataFrame(own, index=table.index, columns=names)

    def to_dict(self) -> dict:
        """Plain numbers and names, for JSON."""
        return {"smoothing": self.smoothing, "odds": self.odds_.to_dict("index")}

    @classmethod
    def from_dict(cls, said: Mapping) -> RuleOdds:
        """The odds that `to_dict` wrote."""
        made = cls(float(said["smoothing"]))
        frame = pd.DataFrame.from_dict(said["odds"], orient="index", columns=["hit", "silent"], dtype="float64")
        made.odds_ = frame.rename_axis("rule")
        return made


def pool(ranker: pd.DataFrame, rules: pd.DataFrame, weight: float = WEIGHT, temperature: float = 1.0) -> pd.DataFrame:
    """Join the log-odds of the ranker and of the rules, term by term.

    Parameters
    ----------
    ranker, rules : DataFrame of float64, same index
        Contributions of columns and of rules.
    weight : float
        Of the rules.
    temperature : float
        By which all is divided; above 1 is less sure.

    Returns
    -------
    DataFrame
        Columns `<kind>.<name>`, the rules under `rule.`; its sums, softmaxed, are the probabilities.

    Examples
    --------
    >>> pool(pd.DataFrame({"change.z": [2.0]}), pd.DataFrame({"slow": [1.0]}), temperature=2.0).to_dict("list")
    {'change.z': [1.0], 'rule.slow': [0.25]}
    """
    joined = {name: ranker[name].to_numpy() for name in ranker}
    for name in rules:
        key = f"rule.{name}"
        joined[key] = joined.get(key, 0.0) + weight * rules[name].to_numpy()
    return pd.DataFrame(joined, index=ranker.index) / temperature


def calibrate(utilities: Sequence[np.ndarray], chosen: Sequence[int]) -> tuple[float, float]:
    """Find the temperature, and what nobody is given, at which cases that were not learnt from surprise least.

    Parameters
    ----------
    utilities : sequence of array of float64, shape (candidates,)
        Sums of log-odds, at temperature 1; the last is nobody's.
    chosen : sequence of int
        Row of the true cause in each.

    Returns
    -------
    temperature, given : float
        The temperature from 0.2 to 10; what nobody is given before it divides. 0 where no case is without a fault.

    Examples
    --------
    >>> sure = [np.array([4.0, 0.0, -50.0])] * 4
    >>> [round(x, 2) for x in calibrate(sure, [0, 0, 0, 1])]  # right in 3 of 4: 4 / T = ln 3
    [3.64, 0.0]
    """
    if not len(utilities):
        raise ContractError(column="cases", expected="one case or more", got="none")
    free = any(row == len(u) - 1 for u, row in zip(utilities, chosen, strict=True))
    best = [max(u[:-1]) - u[-1] for u in utilities]

    def surprise(x: np.ndarray) -> float:
        t, given = np.exp(x[0]), x[1] if free else 0.0
        total = 0.0
        for u, row in zip(utilities, chosen, strict=True):
            own = u / t
            own[-1] += given / t
            total += np.logaddexp.reduce(own) - own[row]
        return total

    limits = [(np.log(COOLEST), np.log(HOTTEST)), (min(-1.0, *best), max(1.0, *best))]
    solved = minimize(surprise, np.zeros(2), bounds=limits, method="L-BFGS-B")
    return float(np.exp(solved.x[0])), float(solved.x[1]) if free else 0.0


def operating_point(nobody: np.ndarray, specificity: float) -> float:
    """Choose the probability of nobody from which the answer is: there is no fault.

    Parameters
    ----------
    nobody : array of float64, shape (windows,)
        Probability of nobody in windows that were normal.
    specificity : float in (0, 1)
        Share of them in which silence is wanted.

    Returns
    -------
    float
        The highest threshold at which at least this share of the windows is silent.

    Examples
    --------
    >>> operating_point(np.array([0.9, 0.8, 0.3, 0.99]), 0.75)
    0.8
    """
    kept = np.sort(np.asarray(nobody, dtype=float))[::-1]
    if not len(kept):
        raise ContractError(column="nobody", expected="normal windows", got="none", remedy="give some to fit")
    return float(kept[int(np.ceil(specificity * len(kept))) - 1])
