"""How predictors are trained and judged: the same folds, features, labels and calibration for every one of them.

Two protocols. ``time``: the future of a known fleet; learn before one moment, judge after it. ``entity``: machines
never seen; in the same future, each machine is judged by what was learnt on others before that moment, so that the two
protocols are judged on the same rows.

Everything that is fitted is fitted on the training part of a fold: features, predictor, and on the later block before
the test what sets the probabilities right and from which thresholds come. Afterwards the predictor learns all that lies
before the test, and keeps what the block has taught (`learn`).
"""

from __future__ import annotations

__all__ = ["Fold", "Learnt", "complete", "features_in", "known_until", "learn", "lives", "maker", "prepare"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stability.detection.rows import fitted_on
from stability.features import Features
from stability.features.rolling import length_of
from stability.prediction.by_mode import ByMode, happened_by_mode
from stability.prediction.calibrated import Calibrated
from stability.prediction.hazard import Hazard
from stability.prediction.labels import (
    RECOVERY,
    HorizonTarget,
    SurvivalTarget,
    horizon_target,
    impact_labels,
    read_length,
    survival_target,
)
from stability.prediction.manner import Predictor
from stability.prediction.registry import KINDS
from stability.prediction.splits import Split, check_split, entity_folds, time_split
from stability.schema import ContractError, one_of

PROTOCOLS = ("time", "entity")
MOMENTS = {"logs": "timestamp", "states": "timestamp", "faults": "impact_start"}  # when a row of a table is known


class Fold(NamedTuple):
    """One fold, with all that a predictor needs.

    Parameters
    ----------
    split : Split
        Which rows train, calibrate, and are judged; the training part is what features were fitted on.
    before : array of bool, shape (rows,)
        All that may be learnt before the test: the training part, the block after it, and the gap between.
    features : DataFrame of float64, (entity, timestamp) x features
        Of all rows.
    target : HorizonTarget
        Over these rows.
    survival : SurvivalTarget
        Over these rows.
    labels : DataFrame, (entity, timestamp, horizon)
        As of `impact_labels`.
    horizon : int
        In microseconds.
    modes : DataFrame of bool, rows x failure modes
        As of `happened_by_mode`; without columns where no fault has a mode.
    """

    split: Split
    before: np.ndarray
    features: pd.DataFrame
    target: HorizonTarget
    survival: SurvivalTarget
    labels: pd.DataFrame
    horizon: int
    modes: pd.DataFrame

    def judged(self) -> np.ndarray:
        """Rows of the test on which a prediction is asked for: all outside of outages."""
        there = self.labels.index.droplevel("horizon")
        return self.split.test & self.features.index.isin(there)


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


def known_until(
    tables: Mapping[str, pd.DataFrame], moment: pd.Timestamp, entities: Sequence[str] | None = None
) -> dict[str, pd.DataFrame]:
    """Give what was known at a moment: of each table the rows until then.

    Parameters
    ----------
    tables : mapping of DataFrame
        By contract.
    moment : Timestamp
    entities : sequence of str, optional
        Of which something was known; all without it.

    Returns
    -------
    dict of DataFrame
        `telemetry`, `logs`, `states`, `faults` cut; the topology as it is; nothing else.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=3, tz="UTC", unit="us")
    >>> logs = pd.DataFrame({"timestamp": days, "entity": ["a", "b", "a"], "level": "INFO", "message": "up"})
    >>> known_until({"logs": logs}, days[1], ["a"])["logs"]["entity"].tolist()
    ['a']
    """
    known = {name: table for name, table in tables.items() if name == "topology"}
    if "telemetry" in tables:
        panel = tables["telemetry"]
        there = panel.index.get_level_values("timestamp") <= moment
        if entities is not None:
            there &= panel.index.get_level_values("entity").isin(entities)
        known["telemetry"] = panel[there]
    for name, column in MOMENTS.items():
        if name in tables:
            there = tables[name][column] <= moment
            if entities is not None:
                there &= tables[name]["entity"].isin(entities)
            known[name] = tables[name][there]
    return known


def prepare(
    tables: Mapping[str, pd.DataFrame],
    declared: Mapping[str, Any],
    *,
    horizon: str,
    test_from: object = None,
    test_share: float | None = None,
    calibration_share: float = 0.2,
    lookback: str = "0s",
    recovery: str = RECOVERY,
    record_ends: bool = True,
    protocol: str = "time",
    folds: int = 5,
    entities: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Fold]:
    """Make the folds of a protocol, with features that were fitted inside each.

    Parameters
    ----------
    tables : mapping of DataFrame
        By contract: `telemetry`, `faults`, and what the features want.
    declared : mapping
        Settings of `Features`.
    horizon : str
        How far ahead is predicted, such as ``"48h"``.
    test_from, test_share, calibration_share, lookback
        As of `time_split`.
    recovery
        As of `impact_labels`.
    record_ends : bool
        Whether rows are left out whose horizon reaches beyond the last row, also where an impact came in time: right
        where the record ends at a date, wrong where it ends because the entity failed.
    protocol : {"time", "entity"}
    folds : int
        Of the protocol "entity": so many groups of machines, from 3 up.
    entities : sequence of str, optional
        For which faults are predicted; without it for all of the telemetry. All give features to their neighbours.
    seed : int
        Draws which machines are judged together.

    Returns
    -------
    list of Fold
        One by time, `folds` of them by entity.

    Raises
    ------
    ContractError
        When a part is empty, or a setting is none that there is.
    """
    one_of(protocol, PROTOCOLS, "protocol")
    if "faults" not in tables:
        raise ContractError(file="tables", expected="faults to predict", got=f"{list(tables)}")
    every = tables["telemetry"].index
    index = every if entities is None else every[every.get_level_values("entity").isin(entities)]
    if not len(index):
        raise ContractError(column="entities", expected="entities of the telemetry", got=f"{entities}")
    gaps = {"horizon": horizon, "lookback": lookback, "test_from": test_from, "test_share": test_share}
    split = time_split(index, calibration_share=calibration_share, **gaps)
    before = time_split(index, calibration_share=0, **gaps).train
    faults = tables["faults"]
    labels = impact_labels(index, faults, horizon, recovery=recovery)
    end = index.get_level_values("timestamp").max() if record_ends else None
    target, survival = horizon_target(labels, index, horizon, record_end=end), survival_target(labels, index)
    named = sorted(faults.loc[faults["impact_start"] < split.test_start, "failure_mode"].dropna().unique())
    modes = pd.DataFrame(index=index)
    if named:
        modes = happened_by_mode(index, faults, horizon, modes=named, recovery=recovery)
    parts = [(split, before)]
    if protocol == "entity":
        groups = entity_folds(index, folds, seed, events=target.y & target.usable, calibrate=calibration_share > 0)
        parts = [(_crossed(split, one), before & ~one.test) for one in groups]
    made, found = None, []
    for own, past in parts:
        if made is None or protocol == "entity":
            made = features_in(tables, declared, own, index)
        check_split(own, index, horizon=horizon, lookback="0s", fitted_on=made.attrs["fitted_on"])
        found.append(Fold(own, past, made, target, survival, labels, read_length(horizon, "horizon"), modes))
    return found


def _crossed(split: Split, other: Split) -> Split:
    """Rows that both splits put into the same part."""
    parts = {name: getattr(split, name) & getattr(other, name) for name in ("train", "calibration", "test")}
    for name, rows in parts.items():
        if not rows.any() and getattr(split, name).any():
            raise ContractError(file="split", expected=f"rows of the part {name} in {other.name}", got="none")
    return other._replace(**parts, test_start=split.test_start)


def features_in(
    tables: Mapping[str, pd.DataFrame], declared: Mapping[str, Any], split: Split, index: pd.MultiIndex
) -> pd.DataFrame:
    """Compute features that were fitted on the training part of a split, and on nothing that came later.

    Parameters
    ----------
    tables, declared
        As of `prepare`.
    split : Split
    index : MultiIndex (entity, timestamp)
        The rows that were split, which are those of the telemetry or some entities of it.

    Returns
    -------
    DataFrame of float64, (entity, timestamp) x features
        Of all rows of the index.
    """
    learnt = index[split.train]
    whose = None if split.protocol == "time" else list(learnt.unique("entity"))
    known = known_until(tables, learnt.get_level_values("timestamp").max(), whose)
    made = Features(**declared).fit(known).transform(tables)
    attrs, made = made.attrs, made if len(made) == len(index) else made[made.index.isin(index)]
    made.attrs = attrs
    return made


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
    make: Callable[[], Predictor], fold: Fold, *, method: str = "auto", least: str | None = None, again: bool = True
) -> Learnt:
    """Train a predictor on a fold, set its probabilities right on the later block, and train it again on both.

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
