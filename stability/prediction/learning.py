"""What is learnt on a fold: a predictor of the registry, and what sets its probabilities right.

On the later block before the test the probabilities are set right, and from it thresholds come. Afterwards the
predictor learns all that lies before the test, and keeps what the block has taught.
"""

from __future__ import annotations

__all__ = ["Learnt", "complete", "learn", "lives", "maker"]

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stability.detection.rows import fitted_on
from stability.features.rolling import length_of
from stability.prediction.by_mode import ByMode
from stability.prediction.calibrated import Calibrated
from stability.prediction.hazard import Hazard
from stability.prediction.labels import read_length
from stability.prediction.manner import Predictor
from stability.prediction.protocol import Fold
from stability.prediction.registry import KINDS
from stability.schema import ContractError, one_of


class Learnt(NamedTuple):
    """A predictor that has learnt, and what it said of the block that it had not.

    Parameters
    ----------
    model : Predictor or Calibrated
    validation : Series of float64, (entity, timestamp)
        Probabilities of the block's rows, by the predictor that learnt the training part only, set right; thresholds
        are chosen on them. Empty without such a block.
    """

    model: Predictor | Calibrated
    validation: pd.Series


def maker(name: str, settings: Mapping[str, Any], horizon: str, *, seed: int = 0) -> Callable[[], Predictor]:
    """Give what makes a predictor of the registry for a horizon.

    Parameters
    ----------
    name : str
        In the registry.
    settings : mapping
        Of the predictor; the edges of a hazard end at the horizon, whatever they are.
    horizon : str
    seed : int
        For predictors that draw by chance.

    Returns
    -------
    callable
        Without arguments; each call makes a new one.

    Raises
    ------
    ContractError
        For a predictor or a setting that there is not.

    Examples
    --------
    >>> maker("hazard", {"edges": ["12h", "1D", "9D"]}, "48h")().edges
    ['12h', '1D', '48h']
    """
    kind = KINDS[one_of(name, KINDS, "model")]
    own = complete(name, settings, horizon, seed=seed)
    return lambda: kind(**own)


def complete(name: str, settings: Mapping[str, Any], horizon: str, *, seed: int = 0) -> dict[str, Any]:
    """Give the settings with which `maker` makes a predictor; arguments as there."""
    known = KINDS[one_of(name, KINDS, "model")]().get_params(deep=False)
    for setting in settings:
        one_of(setting, known, f"setting of {name}")
    own = ({"seed": seed} if "seed" in known else {}) | dict(settings)
    if name == Hazard.name:
        edges = own.get("edges", known["edges"])
        own["edges"] = [edge for edge in edges if length_of(edge) < length_of(horizon)] + [horizon]
    return own


def learn(
    make: Callable[[], Predictor],
    fold: Fold,
    *,
    method: str = "auto",
    least: str | None = None,
    again: bool = True,
    blocks: int = 0,
) -> Learnt:
    """Train a predictor on a fold, set its probabilities right on the later block, and train it again on both.

    Where there are few faults, a block holds too few to set anything right. With `blocks`, the training part is cut
    into so many along the time, each is judged by what was learnt on the others (but for what borders on it), and all
    of them set the probabilities right: the past judged by its past and its future, the test by neither. The features
    were fitted on all blocks together, and the gap on either side of one is the horizon, whatever they look back.

    Parameters
    ----------
    make : callable
        Makes the predictor, not fitted; a `Hazard` gets durations, `ByMode` labels by failure mode, any other those of
        the horizon.
    fold : Fold
    method : {"auto", "isotonic", "logistic", "none"}
        As of `Calibrated`.
    least : str, optional
        Only rows without an impact within this time are learnt.
    again : bool
        Whether the predictor learns the block, too, once that has set it right.
    blocks : int
        0, or from 2 on; the fold then is to have no block of its own.

    Returns
    -------
    Learnt

    Raises
    ------
    ContractError
        As of `Predictor.fit`.
    """
    clear = np.ones(len(fold.features), dtype=bool)
    if least is not None:
        near = fold.survival.event & (fold.survival.duration <= read_length(least, "least") / 1e6)
        clear = ~near
    train, block = fold.split.train & clear, fold.split.calibration & clear
    if blocks:
        return _in_blocks(make, fold, train, blocks, method)
    first = _fitted(make(), fold, train)
    usable = block & fold.target.usable
    if not usable.any():
        whole = _fitted(make(), fold, fold.before & clear) if again else first
        return Learnt(whole, pd.Series(dtype="float64", index=fold.features.index[:0]))
    right = Calibrated(first, method).fit(fold.features, fold.target.y, rows=usable)
    said = right.predict(fold.features, rows=block & fold.features.index.isin(fold.labels.index.droplevel("horizon")))
    if again:
        right.predictor = _fitted(make(), fold, fold.before & clear)
    return Learnt(right, said)


def _in_blocks(make, fold: Fold, train: np.ndarray, blocks: int, method: str) -> Learnt:
    if blocks < 2 or fold.split.calibration.any():
        got = f"{blocks} blocks, {fold.split.calibration.sum()} rows to calibrate on"
        raise ContractError(column="blocks", expected="2 or more, and calibration_share=0", got=got)
    moments = fold.features.index.get_level_values("timestamp").as_unit("us").asi8
    edges = np.quantile(moments[train], np.linspace(0, 1, blocks + 1))
    edges[-1] += 1
    judged, said = fold.features.index.isin(fold.labels.index.droplevel("horizon")), []
    for low, high in itertools.pairwise(edges):
        inside = (moments >= low) & (moments < high)
        # Labels before the block reach into it, and features after it look back.
        apart = (moments < low - fold.horizon) | (moments >= high + fold.horizon)
        said.append(_fitted(make(), fold, train & apart).predict(fold.features, rows=train & inside & judged))
    past = pd.concat(said).sort_index()
    usable = pd.Series(fold.target.usable, fold.features.index)[past.index].to_numpy()
    came = pd.Series(fold.target.y, fold.features.index)[past.index].to_numpy()
    right = Calibrated(_fitted(make(), fold, train), method).learn(past[usable], came[usable])
    return Learnt(right, right.set_right(past))


def lives(fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Give the times to the next fault and of watching, in s, as `Hazard.fit` and `tune` take them.

    Parameters
    ----------
    fold : Fold

    Returns
    -------
    two arrays of float64, shape (rows,)
        NaN where no fault came; 0 watched where a row has no label.
    """
    seconds = np.where(fold.survival.event, fold.survival.duration, np.nan)
    watched = np.where(fold.survival.event, np.inf, np.nan_to_num(fold.survival.duration))
    return seconds, np.where(fold.survival.usable, watched, 0.0)


def _fitted(model: Predictor, fold: Fold, rows: np.ndarray) -> Predictor:
    moments = fold.features.index.get_level_values("timestamp")
    if isinstance(model, ByMode):
        return _told(model.fit(fold.features, fold.modes, rows=rows & fold.target.usable), fold, rows)
    if not isinstance(model, Hazard):
        return _told(model.fit(fold.features, fold.target.y, rows=rows & fold.target.usable), fold, rows)
    # A hazard takes each row as far as it was watched: until the last row that it may know.
    last = moments[rows].max() + pd.Timedelta(fold.horizon, "us")
    seconds, watched = lives(fold)
    watched = np.minimum(watched, np.asarray((last - moments).total_seconds()))
    own = rows & (watched > 0)
    seconds = np.where(seconds <= watched, seconds, np.nan)
    return _told(model.fit(fold.features[own], seconds[own], watched[own]), fold, rows)


def _told(model: Predictor, fold: Fold, rows: np.ndarray) -> Predictor:
    """Let the predictor say what it has learnt, which may be more than its features were fitted on."""
    model.fitted_on_ = fitted_on(fold.features[rows])
    return model
