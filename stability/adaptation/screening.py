"""A screen from labelled alarms: the few numbers that tell what people confirmed from what they discarded."""

from __future__ import annotations

__all__ = ["Table", "learn_screen", "material", "speaking"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from stability.adaptation.trails import Trail
from stability.detection import Screen
from stability.detection.screen import leading

ROWS = (0, 1, 2, 3, 5, 8, 13, 20, 30, 45)  # of an alarm that are looked at: what comes early is known least
FELT_RIDGE = 0.3  # what users feel stands for several metrics, and is shrunk less than one of them


@dataclass(frozen=True)
class Table:
    """Trails as arrays.

    Parameters
    ----------
    metrics : tuple of str
        Those that are responsible, or lead, at some moment of some trail.
    starts : array of int64, shape (trails + 1,)
        Where the moments of each trail begin.
    evidence : array of float64, shape (moments, metrics)
    felt : array of float64, shape (moments,)
        Largest evidence of a metric by which users are hurt.
    responsible : array of bool, shape (moments, metrics)
    leading : array of bool, shape (moments, metrics)
        Which have the largest part.
    loudness : array of float64, shape (moments,)
        Score in thresholds.
    seconds : array of float64, shape (moments,)
        Since the alarm's start.
    """

    metrics: tuple[str, ...]
    starts: np.ndarray
    evidence: np.ndarray
    felt: np.ndarray
    responsible: np.ndarray
    leading: np.ndarray
    loudness: np.ndarray
    seconds: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """Number of each moment's trail."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def material(trails: Sequence[Trail], felt: Sequence[str] = ()) -> Table:
    """Lay trails out as arrays.

    Parameters
    ----------
    trails : sequence of Trail
    felt : sequence of str
        As in `Screen`.
    """
    named = [names for one in trails for names in one.responsible()]
    led = [leading(own) for one in trails for own in one.parts]
    metrics = tuple(dict.fromkeys(name for names in [*named, *led] for name in names))
    asked = Screen("felt", 0.0, {"": 0.0}, felt=tuple(felt))
    hurting = sorted({name for one in trails for own in one.parts for name in own if asked.hurts(name)})
    hurt = [one.evidence(hurting).max(axis=1) if hurting else np.zeros(len(one.moments)) for one in trails]
    return Table(
        metrics,
        np.concatenate([[0], np.cumsum([len(one.moments) for one in trails])]).astype(np.int64),
        np.concatenate([np.empty((0, len(metrics))), *(one.evidence(metrics) for one in trails)]),
        np.concatenate([np.empty(0), *hurt]),
        _among(metrics, named),
        _among(metrics, led),
        np.concatenate([np.empty(0), *(np.array(one.scores) / one.limit for one in trails)]),
        np.concatenate([np.empty(0), *((np.array(one.moments) - one.moments[0]) / 1e6 for one in trails)]),
    )


def _among(metrics: Sequence[str], named: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([[name in own for name in metrics] for own in named], dtype=bool).reshape(-1, len(metrics))


def learn_screen(
    table: Table,
    confirmed: np.ndarray,
    chosen: np.ndarray,
    *,
    name: str,
    ridge: float,
    felt: Sequence[str] = (),
    labels: float | None = None,
) -> Screen:
    """Fit a screen: a logistic regression with weights of 0 or more, shrunk towards 0.

    Each alarm counts once, spread over some of its moments; confirmed and discarded ones count the same in all, so that
    a screen does not silence only because there is much to be silenced.

    Parameters
    ----------
    table : Table
    confirmed : array of bool, shape (trails,)
    chosen : array of bool, shape (trails,)
        Which may be learnt from; both kinds must be among them.
    name : str
    ridge : float
        How much weights are shrunk, in labels.
    felt : sequence of str
        As in `material`.
    labels : float, optional
        How many labels the chosen alarms stand for, where one label speaks of alarms of several thresholds; as many as
        there are alarms without it.

    Returns
    -------
    Screen
        That knows the metrics which are responsible in what it was learnt from, and speaks from even odds.
    """
    owner = table.owner
    row = np.arange(len(owner)) - table.starts[owner]
    rows = np.flatnonzero(chosen[owner] & (np.isin(row, ROWS) | (row == np.diff(table.starts)[owner] - 1)))
    known = np.flatnonzero(table.responsible[chosen[owner]].any(axis=0))
    of, y = owner[rows], confirmed[owner[rows]].astype(float)
    weight = 1.0 / np.bincount(of)[of]
    for kind in (0.0, 1.0):
        weight[y == kind] *= (labels or chosen.sum()) / 2 / weight[y == kind].sum()
    x = np.column_stack([table.felt[rows], table.evidence[np.ix_(rows, known)]])
    shrink = np.full(x.shape[1], ridge)
    shrink[0] *= FELT_RIDGE

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        z = beta[0] + x @ beta[1:]
        slope = weight * (special.expit(z) - y)
        value = weight @ np.logaddexp(0, (1 - 2 * y) * z) + 0.5 * shrink @ beta[1:] ** 2
        return float(value), np.concatenate([[slope.sum()], x.T @ slope + shrink * beta[1:]])

    bounds = [(None, None), *[(0.0, None)] * x.shape[1]]
    beta = optimize.minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    loud = table.loudness[(chosen & ~confirmed)[owner]]
    weights = {table.metrics[k]: float(w) for k, w in zip(known, beta[2:], strict=True)}
    return Screen(name, float(beta[0]), weights, tuple(felt), float(beta[1]), float(loud.max(initial=0.0)))


def speaking(table: Table, screen: Screen, cuts: np.ndarray) -> np.ndarray:
    """Say when each alarm would first be told, for several log-odds from which it would be.

    Parameters
    ----------
    table : Table
    screen : Screen
    cuts : array of float64, shape (cuts,)
        Log-odds; 0 is the screen as it is.

    Returns
    -------
    array of float64, shape (cuts, trails)
        Seconds after the alarm's start; NaN where it would never be told. The same as asking `Screen.speaks` row by
        row.
    """
    weights = np.array([screen.weights.get(name, 0.0) for name in table.metrics])
    free = table.leading[:, [name not in screen.weights for name in table.metrics]].any(axis=1)
    free |= table.loudness > screen.stronger * screen.loudest
    odds = screen.intercept + table.evidence @ weights + screen.felt_weight * table.felt
    odds = np.where(free, np.inf, odds)
    told = np.where(odds >= np.asarray(cuts)[:, None], table.seconds, np.inf)
    first = np.minimum.reduceat(told, table.starts[:-1], axis=1)
    return np.where(np.isinf(first), np.nan, first)
