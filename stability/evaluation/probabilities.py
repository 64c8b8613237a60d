r"""Proper scores of probabilities: no forecast gains by saying anything but what it believes.

The Brier score is taken apart by isotonic regression (CORP: consistent, optimally binned, reproducible, by
pool-adjacent-violators): with :math:`p_i` the forecasts, :math:`\hat p_i` their isotonic regression on the outcomes and
:math:`\bar y` the base rate,

.. math:: \mathrm{BS}(p) = \underbrace{\mathrm{BS}(p) - \mathrm{BS}(\hat p)}_{\text{miscalibration}} -
    \underbrace{(\mathrm{BS}(\bar y) - \mathrm{BS}(\hat p))}_{\text{discrimination}} +
    \underbrace{\mathrm{BS}(\bar y)}_{\text{uncertainty}}

exactly. It is chosen over Murphy's binned reliability, resolution and uncertainty (1973) because no bins have to be
chosen, the three parts add up without within-bin remainders (Stephenson, Coelho, Jolliffe 2008), and none is negative.
With few cases the regression fits their noise: miscalibration and discrimination are both too large, by as much.

A missing probability is an abstention and counts as the forecast 0: silence says that nothing will happen, and is a
miss where something did.

Sources: Brier (1950), doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; Good (1952), doi
10.1111/j.2517-6161.1952.tb00104.x; Dimitriadis, Gneiting, Jordan (2021), doi 10.1073/pnas.2016191118.
"""

from __future__ import annotations

__all__ = ["BrierParts", "brier_parts", "brier_score", "log_score"]

from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from stability.evaluation.intervals import NotEnoughEvidence
from stability.evaluation.ranking import require_labels
from stability.schema import ContractError

CLIP = 1e-6  # a forecast of 0 that comes true costs ln 1,000,000 = 13.8 nats rather than infinitely many


class BrierParts(NamedTuple):
    """The Brier score taken apart: miscalibration - discrimination + uncertainty.

    Parameters
    ----------
    miscalibration : float
        What a monotone recalibration would gain; 0 is best.
    discrimination : float
        What the order of the forecasts is worth; 0 for a constant, `uncertainty` for a perfect one.
    uncertainty : float
        Brier score of the base rate, which no forecaster can change.
    """

    miscalibration: float
    discrimination: float
    uncertainty: float


def brier_score(probabilities: np.ndarray, outcomes: np.ndarray) -> float:
    r"""Average the squared distance of probability and outcome, :math:`\frac1n\sum_i (p_i - y_i)^2`.

    Parameters
    ----------
    probabilities : array of float, shape (n,)
        In [0, 1]; NaN is an abstention and counts as 0.
    outcomes : array of bool, shape (n,)
        True where it came true.

    Returns
    -------
    float
        In [0, 1]; 0 is best, 0.25 is what a coin gets.

    Raises
    ------
    NotEnoughEvidence
        Without cases.
    ContractError
        When a probability lies outside of [0, 1], the lengths differ, or an outcome is neither True nor False.

    Examples
    --------
    >>> round(brier_score(np.array([0.9, 0.2, np.nan]), np.array([True, False, True])), 4)  # (.01 + .04 + 1) / 3
    0.35
    """
    p, y = forecasts(probabilities, outcomes)
    return float(np.mean((p - y) ** 2))


def log_score(probabilities: np.ndarray, outcomes: np.ndarray, clip: float = CLIP) -> float:
    r"""Average the surprise at what happened, :math:`-\frac1n\sum_i \ln(y_i p_i + (1 - y_i)(1 - p_i))`, in nats.

    Parameters
    ----------
    probabilities, outcomes, Raises
        As in `brier_score`.
    clip : float
        Probabilities are moved into [clip, 1 - clip] first, so that one forecast of 0 that comes true does not make
        the score infinite; name it beside the score.

    Returns
    -------
    float
        At least 0, which is best; ln 2 = 0.69 is what a coin gets.

    Examples
    --------
    >>> round(log_score(np.array([0.5, 0.25]), np.array([True, False])), 4)  # (ln 2 + ln 4/3) / 2
    0.4904
    """
    p, y = forecasts(probabilities, outcomes)
    return float(np.mean(surprise(p, y, clip)))


def brier_parts(probabilities: np.ndarray, outcomes: np.ndarray) -> BrierParts:
    """Take the Brier score apart by isotonic regression (CORP).

    Parameters
    ----------
    probabilities, outcomes
        As in `brier_score`, which also says what is raised.

    Returns
    -------
    BrierParts

    Examples
    --------
    >>> p, y = np.array([0.1, 0.1, 0.1, 0.1, 0.6, 0.6]), np.array([False, True, False, False, True, True])
    >>> parts = brier_parts(p, y)  # .1 should have been 1/4, .6 should have been 1
    >>> [round(part, 4) for part in parts]
    [0.0683, 0.125, 0.25]
    >>> round(parts.miscalibration - parts.discrimination + parts.uncertainty - brier_score(p, y), 12)
    0.0
    """
    p, y = forecasts(probabilities, outcomes)
    group = np.unique(p, return_inverse=True)[1]
    fitted = isotonic(np.bincount(group).astype(float), np.bincount(group, weights=y))[group]
    return BrierParts(
        max(float(np.mean((p - y) ** 2) - np.mean((fitted - y) ** 2)), 0.0),
        max(float(np.mean((y.mean() - y) ** 2) - np.mean((fitted - y) ** 2)), 0.0),
        float(y.mean() * (1 - y.mean())),
    )


def forecasts(probabilities, outcomes) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with abstentions as 0, and outcomes, both as floats."""
    y = require_labels(probabilities, outcomes).astype(float)
    p = np.asarray(probabilities, dtype=float)
    if not len(p):
        raise NotEnoughEvidence("Probabilities cannot be judged without a single case.")
    wrong = np.flatnonzero((p < 0) | (p > 1))
    if len(wrong):
        row = int(wrong[0])
        raise ContractError(
            row=row + 1,
            column="probability",
            expected="a share between 0 and 1",
            got=p[row],
            remedy="divide percent by 100",
        )
    return np.where(np.isnan(p), 0.0, p), y


def surprise(p: np.ndarray, y: np.ndarray, clip: float) -> np.ndarray:
    if not isinstance(clip, int | float) or not 0 < clip < 0.5:
        raise ContractError(column="clip", expected="a small share above 0", got=clip)
    return -np.log(np.clip(np.where(y > 0, p, 1 - p), clip, 1 - clip))


def isotonic(total: np.ndarray, came: np.ndarray) -> np.ndarray:
    """Isotonic regression of the rates of groups in order; NaN for a group without weight."""
    kept = total > 0
    fitted = np.full(len(total), np.nan)
    fitted[kept] = isotonic_regression(came[kept] / total[kept], weights=total[kept]).x
    return fitted
