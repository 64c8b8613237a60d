"""How predictors are trained and judged: the same folds, features, labels and calibration for every one of them.

Two protocols. ``time``: the future of a known fleet; learn before one moment, judge after it. ``entity``: machines
never seen; in the same future, each machine is judged by what was learnt on others before that moment, so that the two
protocols are judged on the same rows.

Everything that is fitted is fitted on the training part of a fold: the features here, predictors in `learning`.
"""

from __future__ import annotations

__all__ = ["Fold", "features_in", "known_until", "prepare"]

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stability.features import Features
from stability.prediction.by_mode import happened_by_mode
from stability.prediction.labels import (
    RECOVERY,
    HorizonTarget,
    SurvivalTarget,
    horizon_target,
    impact_labels,
    read_length,
    survival_target,
)
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
