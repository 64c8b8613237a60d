"""Contributions: what each feature adds to one prediction, and what matters on the whole."""

from __future__ import annotations

__all__ = ["explain", "importance"]

from functools import singledispatch
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from stability.prediction.by_mode import ByMode
from stability.prediction.calibrated import Calibrated
from stability.prediction.explanation.names import read_name
from stability.prediction.explanation.shapley import shapley_values, trees_of
from stability.prediction.floors import BaseRate, Logistic, TimeSince
from stability.prediction.hazard import Hazard
from stability.prediction.manner import Predictor, row_mask
from stability.prediction.pooled import Pooled, log_odds
from stability.prediction.sequences import SequencePredictor
from stability.prediction.trees import GradientBoosting, RandomForest, XGBoost
from stability.schema import ContractError, one_of

if TYPE_CHECKING:
    import torch

ODDS, SHARE = "log odds", "probability"
CHUNK = 256  # rows of windows whose gradients are taken at once
POINTS, MOST = 16, 512  # on the way from the baseline to a row: tried first, and at most
GAP = 0.01  # log odds that a net's contributions may miss: the odds are then right to 1 %
GROUPS = ("feature", "metric", "kind", "window")


class _Parts(NamedTuple):
    values: np.ndarray
    base: float
    scale: str


def explain(predictor: Predictor | Calibrated, features: pd.DataFrame, rows: np.ndarray | None = None) -> pd.DataFrame:
    r"""Split each prediction into what each feature adds to it.

    The base and the contributions of a row make its log odds, or its probability where the predictor is a mean of
    probabilities. Trees get Shapley values by the shares of training rows on their branches, so the base is their mean
    over the training rows; logistic regression its own terms, and nets integrated gradients, both on the way from a
    row with all features at their median. A net's contribution of a metric sums over the rows of its window.

    Parameters
    ----------
    predictor : Predictor or Calibrated
        Fitted. Of a calibrated one the score before it was set right is explained: what sets it right is no feature,
        and never turns the order of two rows. Of a `Hazard`, the log odds within its longest horizon.
        Of a `Pooled`, the weighted sum of its members'. Of a `ByMode`, the log odds of a fault of any mode.
    features : DataFrame of float64, shape (n, features)
        As of `Predictor.predict`: for nets with the rows before.
    rows : array of bool, shape (n,), optional
        Which to explain; all without it.

    Returns
    -------
    DataFrame of float64, rows x features of the predictor
        ``attrs["base"]`` is what is said of a row of which nothing is known, ``attrs["scale"]`` is ``"log odds"`` or
        ``"probability"``, and ``attrs["of"]`` is ``"probability"``, or ``"score before calibration"``.

    Raises
    ------
    ContractError
        As `Predictor.predict`, and for a predictor whose predictions are no sum over features, such as
        `RadiusNeighbours`.

    References
    ----------
    Trees: Lundberg et al. (2020), doi 10.1038/s42256-019-0138-9. Nets: Sundararajan, Taly and Yan (2017), arXiv
    1703.01365. Several intervals of a hazard, or failure modes, are joined by the rescale rule of Shrikumar, Greenside
    and Kundaje (2017), arXiv 1704.02685, section 3.5.1.

    Examples
    --------
    >>> rows = pd.DataFrame({"load": [1.0, 2.0, 3.0, 4.0], "noise": [0.0, 1.0, 1.0, 0.0]})
    >>> model = Logistic(strength=1.0).fit(rows, np.array([False, False, True, True]))
    >>> found = explain(model, rows)
    >>> odds = found.attrs["base"] + found.sum(axis=1)
    >>> bool(np.allclose(1 / (1 + np.exp(-odds)), model.predict(rows)))
    True
    """
    model = predictor.predictor if isinstance(predictor, Calibrated) else predictor
    model.predict(features.iloc[:0])  # its checks
    taken = row_mask(rows, len(features))
    parts = _parts(model, features[model.features_], taken)
    found = pd.DataFrame(parts.values, features.index[taken], model.features_, dtype="float64")
    of = "score before calibration" if isinstance(predictor, Calibrated) else "probability"
    found.attrs = {"base": float(parts.base), "scale": parts.scale, "of": of}
    return found


def importance(contributions: pd.DataFrame, by: str = "feature") -> pd.DataFrame:
    """Say what moves the predictions most, on the whole.

    Parameters
    ----------
    contributions : DataFrame
        From `explain`, of many rows.
    by : {"feature", "metric", "kind", "window"}
        Contributions are summed over the features of a metric (of a kind of feature, of a window) first: two that
        cancel in a row move nothing.

    Returns
    -------
    DataFrame, index `by`
        `size` (mean absolute contribution, on the scale of the contributions), `share` (of the sum of all sizes) and
        `features` (how many), the largest first.

    Examples
    --------
    >>> rows = {"load__mean__1h": [1.0, -1.0], "load__max__1h": [-1.0, 1.0], "heat__mean__1D": [0.5, 0.5]}
    >>> importance(pd.DataFrame(rows), by="metric")
            size  share  features
    metric
    heat     0.5    1.0         1
    load     0.0    0.0         2
    """
    one_of(by, GROUPS, "grouping")
    names = list(map(str, contributions.columns))
    groups = names if by == "feature" else [getattr(read_name(name, names), by) for name in names]
    joined = contributions.T.groupby(np.array(groups, dtype=object)).sum()
    size = joined.abs().mean(axis=1)
    count = pd.Series(groups).value_counts()
    share = size / size.sum() if size.sum() > 0 else size * np.nan
    table = pd.DataFrame({"size": size, "share": share, "features": count.reindex(size.index)})
    return table.rename_axis(by).sort_values("size", ascending=False, kind="stable")


@singledispatch
def _parts(model: Predictor, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    name = type(model).__name__
    remedy = "explain another predictor that was fitted on the same rows, such as XGBoost"
    raise ContractError(f"what {name} says is no sum over features, so it has no contributions", remedy=remedy)


@_parts.register
def _(model: BaseRate, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    return _Parts(np.zeros((int(rows.sum()), features.shape[1])), model.base_rate_, SHARE)


@_parts.register
def _(model: TimeSince, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    values = np.zeros((int(rows.sum()), features.shape[1]))
    own = model._probability(model._values(features)[rows])
    values[:, model.features_.index(model.feature_)] = own - model.base_rate_
    return _Parts(values, model.base_rate_, SHARE)


@_parts.register
def _(model: Logistic, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    return _Parts(model.scale_.apply(model._values(features)[rows]) * model.weights_[:-1], model.weights_[-1], ODDS)


@_parts.register
def _(model: RandomForest, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    trees = trees_of(model.model_)
    return _Parts(shapley_values(trees, model._values(features)[rows]), trees.base, SHARE)


@_parts.register
def _(model: GradientBoosting, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    trees = trees_of(model.model_)
    return _Parts(shapley_values(trees, model._values(features)[rows]), trees.base, ODDS)


@_parts.register
def _(model: XGBoost, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    import xgboost

    cases = xgboost.DMatrix(model._values(features)[rows])
    if not cases.num_row():
        return _Parts(np.empty((0, features.shape[1])), trees_of(model.model_).base, ODDS)
    found = model.model_.predict(cases, pred_contribs=True).astype("float64")
    return _Parts(found[:, :-1], found[0, -1], ODDS)


@_parts.register
def _(model: Hazard, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    values = model._values(features)[rows]
    parts = []
    for j in range(len(model.edges)):
        trees = trees_of(model.model_.model_, (values.shape[1], float(j)))
        own = shapley_values(trees, model._beside(values, np.full(len(values), j)))[:, :-1]
        parts.append(_Parts(own, trees.base, ODDS))
    return _any_of(parts)


@_parts.register
def _(model: ByMode, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    parts = []
    for mode, member in model.models_.items():
        columns = model._columns(mode)
        own = _parts(member, features.iloc[:, columns], rows)
        values = np.zeros((len(own.values), features.shape[1]))
        values[:, columns] = own.values
        parts.append(own._replace(values=values))
    return _any_of(parts)


def _any_of(parts: list[_Parts]) -> _Parts:
    """Join parts that a fault comes by, P = 1 - product of (1 - p), each in log odds m that features add to.

    -log(1 - P) is the sum over parts of log(1 + e^m).
    """
    joined, total, base = np.zeros_like(parts[0].values), np.zeros(len(parts[0].values)), 0.0
    for own, start, _ in parts:
        way = own.sum(axis=1)
        end, begin = np.logaddexp(0, start + way), np.logaddexp(0, start)
        joined += own * _slope(end, begin, way)[:, None]
        total, base = total + end, base + begin
    said, start = np.log(np.expm1(total)), float(np.log(np.expm1(base)))
    return _Parts(joined * _slope(said, start, total - base)[:, None], start, ODDS)


def _slope(end: np.ndarray, start: float, way: np.ndarray) -> np.ndarray:
    """Change for each unit of the way; where there is hardly a way there is hardly anything to share out."""
    there = np.abs(way) > 1e-12
    return np.where(there, (end - start) / np.where(there, way, 1.0), 0.0)


@_parts.register
def _(model: Pooled, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    """The weighted sum of what its members' features add to their log odds."""
    if model.how == "ranks":
        remedy = "join by stacked or log_odds, or explain a member, such as models_[0]"
        raise ContractError("a mean of ranks is no sum over features, so it has no contributions", remedy=remedy)
    joined, base = np.zeros((int(rows.sum()), features.shape[1])), model.shift_
    for weight, member in zip(model.weights_, model.models_, strict=True):
        own, start, scale = _parts(member, features[member.features_], rows)
        start = start if scale == SHARE else 1 / (1 + np.exp(-start))
        end, start = (log_odds(pd.Series(p)) for p in (member.predict(features, rows=rows), [start]))
        joined += weight * own * _slope(end, start, own.sum(axis=1))[:, None]
        base += weight * float(start[0])
    return _Parts(joined, base, ODDS)


@_parts.register
def _(model: SequencePredictor, features: pd.DataFrame, rows: np.ndarray) -> _Parts:
    import torch

    padded, place = model._padded(features)
    views = np.lib.stride_tricks.sliding_window_view(padded, model.window, axis=0).transpose(0, 2, 1)
    first, found = place[rows] - model.window + 1, [np.empty((0, features.shape[1]))]
    weight = float(np.log(model.weight_))
    with torch.no_grad():
        usual = torch.zeros((1, model.window, features.shape[1]), dtype=torch.float64)
        base = float(model._said(model._judge, usual)) - weight
    parts = [views[first[a : a + CHUNK]] for a in range(0, len(first), CHUNK)]
    found += [_along(model, torch.from_numpy(np.ascontiguousarray(part)), base + weight) for part in parts]
    return _Parts(np.concatenate(found), base, ODDS)


def _along(model: SequencePredictor, windows: torch.Tensor, base: float) -> np.ndarray:
    """Gradients on the straight way from the median to each window, by ever more points where something is missed."""
    import torch

    with torch.no_grad():
        change = model._said(model._judge, windows).numpy() - base
    found, open_, points = np.empty((len(windows), windows.shape[2])), np.arange(len(windows)), POINTS
    while len(open_) and points <= MOST:
        nodes, weights = np.polynomial.legendre.leggauss(points)
        part = windows[torch.from_numpy(open_)]
        total = torch.zeros_like(part)
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            own = (part * float(node)).requires_grad_()
            (slope,) = torch.autograd.grad(model._said(model._judge, own).sum(), own)
            total += float(weight) * slope
        found[open_] = (total * part).sum(dim=1).numpy()
        open_ = open_[np.abs(found[open_].sum(axis=1) - change[open_]) > GAP]
        points *= 2
    return found
