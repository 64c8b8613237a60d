"""What an entity is and how it is set, as last known: its model, its age, its version, a mode that is switched."""

from __future__ import annotations

__all__ = ["States"]

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stability.detection.rows import moments_of
from stability.schema import ContractError

NO_WORD = re.compile(r"\W")
MOST = 20  # values of a name that are told apart


class States:
    """Values of states at each row, as they were last set.

    A name whose values in the history are all numbers gives one feature, ``<name>__state__now``; any other a feature of
    0 or 1 for each value that the history has, ``<name>_<value>__state__now``. Before a state was ever set it is NaN.

    Parameters
    ----------
    names : sequence of str
        Names in the table `states`.

    Examples
    --------
    >>> start = pd.Timestamp("2026-01-01", tz="UTC")
    >>> stamps = pd.date_range(start, periods=2, freq="h", name="timestamp").as_unit("us")
    >>> index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    >>> states = pd.DataFrame({"timestamp": stamps, "entity": "a", "name": ["age", "mode"], "value": ["7", "x"]})
    >>> States(["age", "mode"]).fit(states).transform(states, index).to_dict("list")
    {'age__state__now': [7.0, 7.0], 'mode_x__state__now': [nan, 1.0]}
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names_wanted = list(names)
        if not self.names_wanted:
            raise ContractError(column="states", expected="names of states", got="none")

    def fit(self, states: pd.DataFrame) -> States:
        """Learn which values there are.

        Parameters
        ----------
        states : DataFrame
            By contract; of the training part alone.

        Returns
        -------
        States
            Itself.

        Raises
        ------
        ContractError
            When a name is not there, or has more than 20 values that are no numbers.
        """
        self.values_ = {}
        for name in self.names_wanted:
            own = states.loc[states["name"] == name, "value"].astype("str")
            if own.empty:
                known = ", ".join(sorted(states["name"].dropna().unique())[:10])
                raise ContractError(file="states", column="name", expected=f"{name}", got=known or "no states")
            if pd.to_numeric(own, errors="coerce").notna().all():
                self.values_[name] = []
                continue
            self.values_[name] = sorted(own.unique())
            if len(self.values_[name]) > MOST:
                got, remedy = f"{own.nunique()} values", "count its changes instead: Features(events=...)"
                raise ContractError(file="states", column=name, expected=f"up to {MOST}", got=got, remedy=remedy)
        return self

    def names(self) -> list[str]:
        """Names of the features, in their order."""
        if not hasattr(self, "values_"):
            raise ContractError("States has seen no history yet", remedy="call fit(states) first")
        told = [
            [f"{name}_{NO_WORD.sub('_', one)}" for one in values] or [name] for name, values in self.values_.items()
        ]
        return [f"{one}__state__now" for several in told for one in several]

    def transform(self, states: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
        """Compute the features of rows.

        Parameters
        ----------
        states : DataFrame
            By contract; all that was set before the rows. What is set later than a row does not change it.
        index : MultiIndex (entity, timestamp)

        Returns
        -------
        DataFrame of float64
            Over the index, columns as of `names`.
        """
        columns = []
        keys = pd.DataFrame({"entity": index.get_level_values("entity").astype("str")})
        keys["moment"], keys["row"] = moments_of(index.get_level_values("timestamp")), np.arange(len(index))
        keys = keys.sort_values("moment", kind="stable")
        names = self.names()
        for name, values in self.values_.items():
            own = states[states["name"] == name]
            told = pd.DataFrame({"entity": own["entity"].astype("str"), "value": own["value"].astype("str")})
            told["moment"] = moments_of(own["timestamp"])
            told = told.sort_values("moment", kind="stable")
            last = pd.merge_asof(keys, told, on="moment", by="entity").sort_values("row")["value"]
            if not values:
                columns.append(pd.to_numeric(last, errors="coerce").to_numpy(dtype="float64"))
            columns += [np.where(last.isna(), np.nan, (last == one).astype("float64")) for one in values]
        return pd.DataFrame(np.column_stack(columns), index, names, dtype="float64")

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, states: pd.DataFrame, *, late: int = 0) -> States:
        """Remember what was set, as of `transform`; gives itself.

        Parameters
        ----------
        states : DataFrame
            By contract.
        late : int
            Microseconds that a row may be older than the newest row.
        """
        self.names()
        self._late, self._set = late, {}
        self.add(states)
        return self

    def add(self, states: pd.DataFrame) -> None:
        """Take in what was set since, in any order: a table by contract."""
        if not hasattr(self, "_set"):
            raise ContractError("States has no history yet", remedy="call begin(states) first")
        own = states[states["name"].isin(list(self.values_))]
        moments, entities = moments_of(own["timestamp"]).tolist(), own["entity"].astype("str")
        for entity, name, moment, value in zip(entities, own["name"], moments, own["value"].astype("str"), strict=True):
            held = self._set.setdefault((entity, name), ([], []))
            place = bisect_right(held[0], moment)
            held[0].insert(place, moment)
            held[1].insert(place, value)

    def update(self, times: pd.DatetimeIndex | np.ndarray, entities: pd.Index) -> np.ndarray:
        """Features of rows from what was set so far, shape (n, features); times and entities of shape (n,)."""
        if not hasattr(self, "_set"):
            raise ContractError("States has no history yet", remedy="call begin(states) first")
        out = np.full((len(entities), len(self.names())), np.nan)
        for k, (entity, moment) in enumerate(zip(map(str, entities), moments_of(times).tolist(), strict=True)):
            place = 0
            for name, values in self.values_.items():
                width = len(values) or 1
                held = self._set.get((entity, name), ([], []))
                at = bisect_right(held[0], moment) - 1
                if at >= 0:
                    told = held[1][at]
                    found = [float(told == one) for one in values] or pd.to_numeric(told, errors="coerce")
                    out[k, place : place + width] = found
                place += width
        return out

    def tidy(self, newest: int) -> None:
        """Forget what was set before what is set now, once rows have come as far as `newest`, in microseconds."""
        for moments, values in self._set.values():
            if (gone := bisect_right(moments, newest - self._late) - 1) > 0:
                del moments[:gone], values[:gone]

    # ---- kept ----------------------------------------------------------------------------------------------------
    def learnt(self) -> dict[str, Any]:
        """What `fit` learnt, as plain values by name; `restore` takes it."""
        return {"values": self.values_}

    def restore(self, learnt: dict[str, Any]) -> States:
        """Take what `learnt` gave; gives itself."""
        self.values_ = {name: list(values) for name, values in learnt["values"].items()}
        return self
