"""What every detector does alike: learn from history, judge a panel, judge live, say why, be kept on disk."""

from __future__ import annotations

__all__ = ["LARGEST", "Detector", "Judged"]

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from stability.detection.rows import Rows, fitted_on, moments_of, no_rows, rows_of
from stability.schema import ContractError, nearest, validate, written_whole

LARGEST = np.finfo("float64").max  # a score is never inf: tables refuse it, and a maximum over metrics drowns in it


class Judged(NamedTuple):
    """What is said of live rows: `score`, shape (n,), and what each metric adds to it, `parts`, shape (n, metrics)."""

    score: np.ndarray
    parts: np.ndarray


class Detector(BaseEstimator):
    """A detector; what follows is the same for all of them, and a new one writes three short methods.

    `fit(history)` learns, `score(panel)` gives one number a row (higher is more anomalous, NaN where nothing can be
    judged), `score_metrics(panel)` a number for each value, `contributions(panel)` each metric's share of a row's
    score. `update(values, times)` judges rows as they come, with the numbers that `score` gives for the same rows.
    `save(path)` and `load(path)` keep it, without pickle.

    A detector is causal by construction: `score` hands each entity's rows in time's order to `_walk`, which sees the
    state that the rows before left, and nothing else. Rows of an entity that all come after its history go on from
    the end of it; otherwise the entity starts anew, because the history would hold the future of some rows.

    To write one
    ------------
    `_learn(rows)`
        What history teaches: arrays by name, the first axis over entities. An entity without history gets the fleet's
        median of them. What is no entity's own, it puts into `common_`.
    `_begin(entities, metrics)`
        The state before the first row: arrays by name, the first axis over entities.
    `_walk(rows, learnt, state)`
        The parts of each row's score, shape (n, metrics), NaN where a value cannot be judged. `state` is changed in
        place.
    `_combine(parts)`, where a row's score is not the largest of its parts.

    Attributes
    ----------
    metrics_ : list of str
        Columns of the history.
    entities_ : Index
        Entities of the history.
    learnt_, common_ : dict of arrays
        As `_learn` gave them, and put them.
    fitted_on_ : dict
        ``{"entities": [...], "until": ISO time}``.
    name : str
        Its column in `scores`, and what the registry knows it by.
    tolerance : float
        How far live scores may lie from those of a panel, as a share.
    """

    name = ""
    tolerance = 1e-9
    of_the_fleet = False  # whether what is learnt of one entity shapes how others are judged
    own: tuple[str, ...] = ()  # what is learnt of an entity and says nothing of one without history: NaN there

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        return {}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {}

    def _after(self, rows: Rows, learnt: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The state at the end of the history."""
        state = self._begin(len(rows.entities), rows.values.shape[1])
        if state:
            self._walk(rows, learnt, state)
        return state

    def _walk(self, rows: Rows, learnt: dict[str, np.ndarray], state: dict[str, np.ndarray]) -> np.ndarray:
        raise NotImplementedError

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        return _highest(parts)

    # ---- a panel -------------------------------------------------------------------------------------------------
    def fit(self, history: pd.DataFrame) -> Detector:
        """Learn from telemetry that comes before the rows that are to be judged.

        Parameters
        ----------
        history : DataFrame of float64, (entity, timestamp) x metrics

        Returns
        -------
        Detector
            Itself.

        Raises
        ------
        ContractError
            When `history` is no panel, has no rows, or too few for what is to be learnt.
        """
        history = validate(history, "telemetry")
        fitted = fitted_on(history)
        self._fit_rows(rows_of(history), list(history.columns))
        self.fitted_on_ = fitted
        return self

    def _fit_rows(self, rows: Rows, metrics: list[str]) -> None:
        self.metrics_, self.entities_ = metrics, rows.entities
        self.common_: dict[str, np.ndarray] = {}
        self.learnt_ = self._learn(rows)
        spans = zip(rows.starts[:-1], rows.starts[1:], strict=True)
        self.common_["seen"] = np.array([(~np.isnan(rows.values[a:b])).any(axis=0) for a, b in spans])
        self._last = rows.times[rows.starts[1:] - 1]
        self._state = self._after(rows, self.learnt_)
        self._live: dict[str, Any] | None = None

    def score(self, panel: pd.DataFrame) -> pd.Series:
        """Score each row.

        Parameters
        ----------
        panel : DataFrame of float64, (entity, timestamp) x metrics
            Telemetry with columns known to `fit`; a fitted column that is missing here counts as absent.

        Returns
        -------
        Series of float64 over the panel's index
            Higher is more anomalous; NaN where the row cannot be judged.

        Raises
        ------
        ContractError
            When `panel` is no panel or has a column that the history did not have, or `fit` was not called.
        """
        panel, parts = self._judge(panel)
        return pd.Series(self._combine(parts), index=panel.index, name=self.name)

    def score_metrics(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Say what each value adds to its row's score; shaped like `panel`, NaN where it cannot be judged."""
        panel, parts = self._judge(panel)
        places = [self.metrics_.index(name) for name in panel.columns]
        return pd.DataFrame(parts[:, places], index=panel.index, columns=panel.columns)

    def contributions(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Say which metrics a row's score comes from: shares, which sum to 1 in each row that has a score above 0."""
        parts = self.score_metrics(panel).fillna(0.0)
        total = parts.sum(axis=1)
        return parts.div(total.where(total > 0), axis=0)

    def _judge(self, panel: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
        panel, rows, learnt, state = self._before(panel)
        return panel, _bounded(self._walk(rows, learnt, state))

    def _before(self, panel: pd.DataFrame) -> tuple[pd.DataFrame, Rows, dict, dict]:
        """A panel in contract form and as arrays, with what was learnt of its entities and the state before it."""
        panel = self._checked(panel)
        rows = rows_of(panel.reindex(columns=self.metrics_))
        slots = self.entities_.get_indexer(rows.entities)
        rows.values[np.repeat(self._unseen(slots), np.diff(rows.starts), axis=0)] = np.nan
        goes_on = (slots >= 0) & (self._last[slots] < rows.times[rows.starts[:-1]])
        state = self._begin(len(rows.entities), len(self.metrics_))
        for key, kept in self._state.items():
            state[key][goes_on] = kept[slots[goes_on]]
        return panel, rows, self._learnt_of(slots), state

    def _checked(self, panel: pd.DataFrame) -> pd.DataFrame:
        if not hasattr(self, "fitted_on_"):
            raise ContractError(f"{type(self).__name__} has no history yet", remedy="call fit(history) first")
        panel = validate(panel, "telemetry")
        for name in panel.columns.difference(self.metrics_):
            remedy = nearest(name, self.metrics_)
            raise ContractError(file="panel", column=name, expected="a metric of the history", remedy=remedy)
        return panel

    def _learnt_of(self, slots: np.ndarray) -> dict[str, np.ndarray]:
        """What was learnt of each entity; of one without history (-1) the middle of the fleet."""
        if np.array_equal(slots, np.arange(len(self.entities_))):
            return self.learnt_
        return {key: _gathered(values, slots, key not in self.own) for key, values in self.learnt_.items()}

    def _unseen(self, slots: np.ndarray) -> np.ndarray:
        """Metrics without a value in an entity's history, which are not judged; of a new one (-1), in anyone's."""
        seen = self.common_["seen"]
        return ~np.where((slots >= 0)[:, None], seen[np.maximum(slots, 0)], seen.any(axis=0))

    # ---- live ----------------------------------------------------------------------------------------------------
    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index | None = None) -> Judged:
        """Judge one new row of each of some entities, and remember it.

        Parameters
        ----------
        values : array of float64, shape (n, metrics)
            In the order of `metrics_`; NaN where missing.
        times : DatetimeIndex, or array of datetime64 or of int64 (microseconds since 1970), shape (n,)
            Later than what was judged of the entity before.
        entities : Index of str, shape (n,), optional
            Whose rows they are, none twice; those of the history, in its order, without it. A new one starts anew.

        Returns
        -------
        Judged
            Score and parts, as `score` and `score_metrics` give them for a panel with these rows.

        Raises
        ------
        ContractError
            For shapes that do not fit, an infinite value, an entity twice, or a row that does not come after the one
            before.
        """
        if self._live is None:
            state = {key: kept.copy() for key, kept in self._state.items()}
            self._live = {"entities": self.entities_, "last": self._last.copy(), "state": state}
        live = self._live
        values, moments = np.ascontiguousarray(values, dtype="float64"), moments_of(times)
        count = len(self.entities_ if entities is None else entities)
        if values.shape != (count, len(self.metrics_)) or moments.shape != (count,):
            expected = f"values ({count}, {len(self.metrics_)}) and times ({count},)"
            raise ContractError(file="rows", expected=expected, got=f"{values.shape} and {moments.shape}")
        if np.isinf(values).any():
            raise ContractError(file="rows", expected="finite values, or NaN", got="an infinite one")
        slots = self._slots(entities)
        if (late := moments <= live["last"][slots]).any():
            whose = live["entities"][slots[late][0]]
            raise ContractError(file="rows", expected="a row after the one before", got=f"one of {whose} that is not")
        whole = len(slots) == len(live["entities"]) and bool((slots == np.arange(len(slots))).all())
        state = live["state"] if whole else {key: kept[slots] for key, kept in live["state"].items()}
        known = np.where(slots < len(self.entities_), slots, -1)
        values = np.where(self._unseen(known), np.nan, values)
        rows = Rows(values, moments, np.arange(len(slots) + 1), live["entities"][slots])
        parts = _bounded(self._walk(rows, self._learnt_of(known), state))
        if not whole:
            for key, kept in state.items():
                live["state"][key][slots] = kept
        live["last"][slots] = moments
        return Judged(self._combine(parts), parts)

    def _slots(self, entities: pd.Index | None) -> np.ndarray:
        """Places of entities in the live state; a new one gets a place."""
        live = self._live
        if entities is None:
            return np.arange(len(self.entities_))
        names = pd.Index(entities)
        if not names.is_unique:
            raise ContractError(file="rows", expected="one row an entity", got=f"two of {names[names.duplicated()][0]}")
        slots = live["entities"].get_indexer(names)
        if (new := slots < 0).any():
            fresh = self._begin(int(new.sum()), len(self.metrics_))
            live["entities"] = live["entities"].append(names[new])
            live["state"] = {key: np.concatenate([kept, fresh[key]]) for key, kept in live["state"].items()}
            live["last"] = np.concatenate([live["last"], np.full(new.sum(), np.iinfo("int64").min)])
            slots = live["entities"].get_indexer(names)
        return slots

    def forget(self, entities: Iterable[str]) -> None:
        """Forget the live rows of entities that the history did not have; one that comes back starts anew."""
        if self._live is None:
            return
        live = self._live
        kept = np.arange(len(live["entities"])) < len(self.entities_)  # what was learnt of them has its place
        kept |= ~live["entities"].isin(list(entities))
        live["entities"], live["last"] = live["entities"][kept], live["last"][kept]
        live["state"] = {key: one[kept] for key, one in live["state"].items()}

    # ---- kept ----------------------------------------------------------------------------------------------------
    def live_state(self) -> dict[str, np.ndarray] | None:
        """Give what it remembers of live rows alone, without what it has learnt; None before the first of them.

        Returns
        -------
        dict of str to array, or None
            `entities`, `last` (microseconds since 1970) and `state.*`, with the entities along the first axis; not
            copies. `resume_live` of a detector that has learnt the same takes it.
        """
        if self._live is None:
            return None
        live = self._live
        kept = {"entities": np.array(list(live["entities"]), dtype="U"), "last": live["last"]}
        return kept | {f"state.{key}": one for key, one in live["state"].items()}

    def resume_live(self, kept: Mapping[str, np.ndarray]) -> None:
        """Go on with live rows from what `live_state` gave."""
        state = {key.removeprefix("state."): one for key, one in kept.items() if key.startswith("state.")}
        names = pd.Index([str(name) for name in kept["entities"]], dtype="str")
        self._live = {"entities": names, "last": kept["last"], "state": state}

    def save(self, path: str | Path) -> Path:
        """Write everything that it knows to a file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            A file; numpy's `.npz` of plain arrays, and one of text with settings and names. Nothing in it is code.

        Returns
        -------
        Path
        """
        self._checked(pd.DataFrame(columns=self.metrics_, index=no_rows(), dtype="float64"))
        live = self._live or {"entities": self.entities_, "last": self._last, "state": self._state}
        said = {"detector": self.name, "kind": type(self).__name__, "settings": self.get_params(deep=False)}
        said |= {"metrics": self.metrics_, "entities": list(self.entities_), "live_entities": list(live["entities"])}
        said |= {"fitted_on": self.fitted_on_, "live": self._live is not None}
        arrays = {f"learnt.{key}": kept for key, kept in self.learnt_.items()}
        arrays |= {f"common.{key}": kept for key, kept in self.common_.items()}
        arrays |= {f"state.{key}": kept for key, kept in self._state.items()}
        arrays |= {f"live.{key}": kept for key, kept in live["state"].items()} if self._live else {}
        arrays |= {"last": self._last, "live_last": live["last"], "said": np.array(json.dumps(said, default=_plain))}
        with written_whole(Path(path)) as file:
            np.savez(file, **arrays)
        return Path(path)

    def _restore(self, said: dict, arrays: dict[str, np.ndarray]) -> Detector:
        def group(prefix: str) -> dict[str, np.ndarray]:
            return {key.removeprefix(prefix): kept for key, kept in arrays.items() if key.startswith(prefix)}

        self.metrics_, self.entities_ = said["metrics"], pd.Index(said["entities"], dtype="str")
        self.learnt_, self.common_ = group("learnt."), group("common.")
        self._state, self._last = group("state."), arrays["last"]
        self.fitted_on_ = said["fitted_on"]
        live = {"entities": pd.Index(said["live_entities"], dtype="str"), "last": arrays["live_last"]}
        self._live = {**live, "state": group("live.")} if said["live"] else None
        self._build()
        return self

    def _build(self) -> None:
        """Make anew, of what was learnt, what is not kept on disk, such as a net."""


def _plain(number: Any) -> Any:
    """A number of numpy as one of Python."""
    if isinstance(number, np.generic):
        return number.item()
    raise TypeError(f"{type(number).__name__} is no setting that can be kept")


def _gathered(values: np.ndarray, slots: np.ndarray, shared: bool) -> np.ndarray:
    taken = values[np.maximum(slots, 0)]
    if (slots < 0).any():
        middle = pd.DataFrame(values.reshape(len(values), -1)).median().to_numpy().reshape(values.shape[1:])
        taken[slots < 0] = middle if shared else np.nan
    return taken


def _bounded(parts: np.ndarray) -> np.ndarray:
    return np.minimum(parts, LARGEST)


def _highest(parts: np.ndarray) -> np.ndarray:
    known = ~np.isnan(parts).all(axis=1) if parts.shape[1] else np.zeros(len(parts), dtype=bool)
    highest = np.full(len(parts), np.nan)
    highest[known] = np.nanmax(parts[known], axis=1)
    return highest
