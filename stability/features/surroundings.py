"""What surrounds a row: the time of day and week, and how those fare on which an entity depends or who depend on it."""

from __future__ import annotations

__all__ = ["Calendar", "Neighbours"]

from bisect import bisect_right
from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from stability.detection.rows import moments_of, runs
from stability.features.rolling import length_of
from stability.schema import ContractError

SIDES = {"needs": ("source", "target"), "users": ("target", "source")}  # an edge points from who calls to who is called


class Calendar:
    """Place of a row in the day and in the week, each on a circle.

    Parameters
    ----------
    timezone : str
        Where users live, such as ``"Europe/Berlin"``.

    Examples
    --------
    >>> stamps = pd.DatetimeIndex(["2026-01-05T06:00"], tz="UTC", name="timestamp").as_unit("us")
    >>> index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    >>> Calendar().transform(index)[["calendar__sin__1D", "calendar__cos__7D"]].round(3).to_numpy().tolist()
    [[1.0, 0.975]]
    """

    def __init__(self, timezone: str = "UTC") -> None:
        try:
            self._zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ContractError(column="timezone", expected="a name such as Europe/Berlin", got=timezone) from None
        self.timezone = timezone

    def names(self) -> list[str]:
        """Names of the features, in their order."""
        return [f"calendar__{part}__{length}" for length in ("1D", "7D") for part in ("sin", "cos")]

    def transform(self, index: pd.MultiIndex) -> pd.DataFrame:
        """Compute the features of rows: a DataFrame of float64 over the index (entity, timestamp)."""
        return pd.DataFrame(self.update(index.get_level_values("timestamp")), index, self.names())

    def update(self, times: pd.DatetimeIndex | np.ndarray) -> np.ndarray:
        """Features of moments, shape (n, 4)."""
        local = pd.DatetimeIndex(moments_of(times).view("M8[us]")).tz_localize("UTC").tz_convert(self._zone)
        day = (local.hour * 3600 + local.minute * 60 + local.second) / 86_400
        week = (local.dayofweek + day) / 7
        return np.column_stack([f(2 * np.pi * part) for part in (day, week) for f in (np.sin, np.cos)])


def topology_of(edges: Sequence[Sequence[str]]) -> pd.DataFrame:
    """A topology of pairs of source and target, of which nothing else is known."""
    index = pd.MultiIndex.from_tuples([tuple(pair) for pair in edges], names=["source", "target"])
    return pd.DataFrame(index=index)


class Neighbours:
    """Mean and largest value of features among the neighbours on the topology, as they were last known.

    Features ``needs_<mean or max>_<feature>`` over those that an entity depends on, and ``users_...`` over those that
    depend on it. A neighbour whose last row is older than `fresh` is left out; without any the feature is NaN.

    Parameters
    ----------
    topology : DataFrame, (source, target)
        By contract: a source calls, runs on or shares its target.
    features : sequence of str
        Whose neighbours' values are wanted.
    fresh : str
        Oldest value that still counts.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=2, freq="min", tz="UTC", name="timestamp").as_unit("us")
    >>> index = pd.MultiIndex.from_product([["api", "db"], stamps], names=["entity", "timestamp"])
    >>> edge = pd.MultiIndex.from_tuples([("api", "db")], names=["source", "target"])
    >>> near = Neighbours(pd.DataFrame({"kind": ["calls"]}, edge), ["load"], fresh="5min")
    >>> found = near.transform(pd.DataFrame({"load": [1.0, 2.0, 8.0, 9.0]}, index))
    >>> found[["needs_max_load", "users_max_load"]].to_numpy().tolist()
    [[8.0, nan], [9.0, nan], [nan, 1.0], [nan, 2.0]]
    """

    def __init__(self, topology: pd.DataFrame, features: Sequence[str], *, fresh: str) -> None:
        self.features, self.fresh, self._fresh = list(features), fresh, length_of(fresh)
        edges = topology.index.to_frame(index=False).astype("str")
        self.edges = edges[["source", "target"]].to_numpy().tolist()  # as `topology_of` takes them
        self._near = {side: edges.groupby(own)[other].unique().to_dict() for side, (own, other) in SIDES.items()}

    def names(self) -> list[str]:
        """Names of the features, in their order."""
        return [f"{side}_{what}_{name}" for side in SIDES for what in ("mean", "max") for name in self.features]

    def transform(self, found: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of each row.

        Parameters
        ----------
        found : DataFrame of float64, (entity, timestamp) x features
            With all entities of the topology that have any.

        Returns
        -------
        DataFrame of float64
            Over its index, columns as of `names`.
        """
        missing = [name for name in self.features if name not in found]
        if missing:
            raise ContractError(file="features", column=missing[0], expected="a feature that is there", got="none")
        entities, starts = runs(found.index)
        spans = {str(e): slice(a, b) for e, a, b in zip(entities, starts[:-1], starts[1:], strict=True)}
        times, values = moments_of(found.index.get_level_values("timestamp")), found[self.features].to_numpy()
        out = np.full((len(found), len(self.names())), np.nan)
        width = 2 * len(self.features)
        for k, near in enumerate(self._near.values()):
            for entity, span in spans.items():
                others = [spans[name] for name in near.get(entity, ()) if name in spans]
                if others:
                    now = [self._last(times[own], values[own], times[span]) for own in others]
                    out[span, k * width : (k + 1) * width] = _joined(np.array(now))
        return pd.DataFrame(out, found.index, self.names())

    def _last(self, times: np.ndarray, values: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """Values as they were last known at these moments."""
        place = np.searchsorted(times, moments, side="right") - 1
        known = (place >= 0) & (moments - times[np.maximum(place, 0)] <= self._fresh)
        return np.where(known[:, None], values[np.maximum(place, 0)], np.nan)

    # ---- live ----------------------------------------------------------------------------------------------------
    def begin(self, found: pd.DataFrame, *, late: int = 0) -> Neighbours:
        """Remember the last rows of each entity of a table as of `transform`, whose rows may be none; gives itself.

        Parameters
        ----------
        found : DataFrame of float64, (entity, timestamp) x features
        late : int
            Microseconds that a row may be older than the newest row.
        """
        self._back, self._newest, self._known = self._fresh + late, 0, {}
        times = moments_of(found.index.get_level_values("timestamp"))
        recent = times > times.max(initial=0) - self._back
        values = found[self.features].to_numpy()[recent]
        self._push(values, times[recent], found.index.get_level_values("entity")[recent])
        return self

    def _push(self, values: np.ndarray, moments: np.ndarray, entities: pd.Index) -> None:
        self._newest = max(self._newest, int(moments.max(initial=0)))
        for entity, moment, row in zip(map(str, entities), moments.tolist(), values, strict=True):
            own = self._known.setdefault(entity, ([], []))
            own[0].append(moment)
            own[1].append(row)

    def _tidy(self, entities: pd.Index) -> None:
        for entity in set(map(str, entities)):
            own = self._known[entity]
            if gone := bisect_right(own[0], self._newest - self._back):
                del own[0][:gone], own[1][:gone]

    def update(self, values: np.ndarray, times: np.ndarray, entities: pd.Index) -> np.ndarray:
        """Features of new rows, shape (n, features of `names`).

        Parameters
        ----------
        values : array of float64, shape (n, features)
            In the order of `features`.
        times, entities
            As of `Rolling.update`, but an entity may have several rows, in time's order. All rows of a moment come
            together, or a neighbour's row is missed where it comes later.
        """
        if not hasattr(self, "_known"):
            raise ContractError("Neighbours has no history yet", remedy="call begin(found) first")
        moments = moments_of(times)
        self._push(np.asarray(values, dtype="float64"), moments, entities)
        out = np.full((len(values), len(self.names())), np.nan)
        width = 2 * len(self.features)
        for side, near in enumerate(self._near.values()):
            for k, (entity, moment) in enumerate(zip(map(str, entities), moments.tolist(), strict=True)):
                now = [row for name in near.get(entity, ()) if (row := self._row(name, moment)) is not None]
                if now:
                    out[k, side * width : (side + 1) * width] = _joined(np.array(now)[:, None])[0]
        self._tidy(entities)
        return out

    def _row(self, entity: str, moment: int) -> np.ndarray | None:
        """An entity's row as it was last known at a moment."""
        own = self._known.get(entity)
        place = bisect_right(own[0], moment) - 1 if own else -1
        return own[1][place] if place >= 0 and moment - own[0][place] <= self._fresh else None


def _joined(now: np.ndarray) -> np.ndarray:
    """Mean and largest over neighbours, (neighbours, rows, features) -> (rows, 2 features)."""
    there = ~np.isnan(now)
    count = there.sum(axis=0)
    mean = np.where(count > 0, np.where(there, now, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    most = np.where(there, now, -np.inf).max(axis=0)
    return np.concatenate([mean, np.where(count > 0, most, np.nan)], axis=1)
