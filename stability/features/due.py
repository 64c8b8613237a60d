"""When what comes in a rhythm is due next: services, deployments, batches of the night."""

from __future__ import annotations

__all__ = ["Due"]

import re
from typing import Any

import numpy as np
import pandas as pd

from stability.detection.rows import moments_of
from stability.schema import ContractError

NEAR = 0.02  # share of the interval by which a gap may miss a multiple of it; by chance 1 in 25 gaps is so near
MOST_GAPS = 0.8  # share of the gaps that have to be so near


class Due:
    """Time until events that recur at one interval are due again, for each kind of event that does.

    A kind recurs when most gaps between an entity's events of it are whole multiples of their median, which is its
    interval: some are left out, as services are where nothing was to be replaced. The feature
    ``<kind>__due__<seconds>s`` is the time from a row to the next multiple after the last event, in seconds; it is read
    from ``<kind>__since__<time>`` alone, so it needs neither events nor other rows when rows come live.

    Parameters
    ----------
    least : int
        Gaps that a kind needs to be looked at.

    Attributes
    ----------
    intervals_ : dict
        Kind to its interval in seconds.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=9, freq="15D", tz="UTC", unit="us")
    >>> events = pd.DataFrame({"entity": "a", "timestamp": days.delete(4), "name": "service"})
    >>> due = Due(least=5).fit(events)
    >>> due.transform(pd.DataFrame({"service__since__30D": [0.0, 86400.0, 1814400.0]})).to_dict("list")
    {'service__due__1296000s': [1296000.0, 1209600.0, 777600.0]}
    """

    def __init__(self, *, least: int = 30) -> None:
        if least < 2:
            raise ContractError(column="least", expected="a number from 2 up", got=least)
        self.least = least

    def fit(self, events: pd.DataFrame) -> Due:
        """Learn which kinds recur.

        Parameters
        ----------
        events : DataFrame
            Columns entity, timestamp, name, as of `events_of`; of the training part alone.

        Returns
        -------
        Due
            Itself.
        """
        for column in ("entity", "timestamp", "name"):
            if column not in events:
                raise ContractError(file="events", column=column, expected="a column", got=f"{list(events)}")
        own = events[["name", "entity"]].assign(moment=moments_of(events["timestamp"]) / 1e6)
        own = own.drop_duplicates().sort_values(["name", "entity", "moment"])
        gaps = own.assign(gap=own.groupby(["name", "entity"], sort=False)["moment"].diff()).dropna(subset="gap")
        self.intervals_ = {}
        for kind, gap in gaps.groupby("name")["gap"]:
            interval = round(float(gap.median()))
            if len(gap) < self.least or not interval:
                continue
            times = np.round(gap / interval).clip(lower=1)
            if (np.abs(gap - times * interval) <= NEAR * interval).mean() >= MOST_GAPS:
                self.intervals_[str(kind)] = interval
        return self

    def names(self) -> list[str]:
        """Names of the features, in their order."""
        if not hasattr(self, "intervals_"):
            raise ContractError("Due has seen no history yet", remedy="call fit(events) first")
        return [f"{kind}__due__{interval}s" for kind, interval in self.intervals_.items()]

    def transform(self, features: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of rows.

        Parameters
        ----------
        features : DataFrame of float64
            With a column ``<kind>__since__<time>`` for each kind that recurs.

        Returns
        -------
        DataFrame of float64
            Over the index of the rows, columns as of `names`: in (0, interval], NaN where the last event is longer ago
            than was told apart, or there was none.

        Raises
        ------
        ContractError
            When a column is missing.
        """
        columns = {}
        for name, (kind, interval) in zip(self.names(), self.intervals_.items(), strict=True):
            found = [one for one in features if re.fullmatch(re.escape(kind) + r"__since__\d+[a-zA-Z]+", str(one))]
            if not found:
                remedy = "compute Events of the same history first"
                expected = f"a column {kind}__since__<time>"
                raise ContractError(file="features", expected=expected, got="none", remedy=remedy)
            since = features[found[0]].to_numpy(dtype="float64")
            most = pd.Timedelta(found[0].rsplit("__", 1)[1]).total_seconds()
            columns[name] = np.where(since < most, interval - since % interval, np.nan)
        return pd.DataFrame(columns, index=features.index, dtype="float64")

    # ---- kept ----------------------------------------------------------------------------------------------------
    def learnt(self) -> dict[str, Any]:
        """What `fit` learnt, as plain values by name; `restore` takes it."""
        return {"intervals": self.intervals_}

    def restore(self, learnt: dict[str, Any]) -> Due:
        """Take what `learnt` gave; gives itself."""
        self.intervals_ = dict(learnt["intervals"])
        return self
