"""Whether a detector names the metrics that an event is about."""

from __future__ import annotations

__all__ = ["responsible_hits"]

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from stability.schema import ContractError, validate

SHARES = (1.0, 1.5)  # HitRate@100% and HitRate@150%


def responsible_hits(
    parts: pd.DataFrame, faults: pd.DataFrame, windows: pd.DataFrame, shares: Sequence[float] = SHARES
) -> pd.DataFrame:
    """Say of each event how many of its responsible metrics lead a detector's parts of the score.

    An event lasts from its `impact_start` (or `cause_start`, where that is unknown) to the end of the window that it
    lies in. Metrics are ranked by the mean of their parts over its rows. Of an event with G responsible metrics, the
    first `share` x G of the ranking count: the hit rate is the share of the G that is among them. Metrics with equal
    parts share what is left of the places, so that a detector that says nothing gets what chance would.

    Parameters
    ----------
    parts : DataFrame of float64, (entity, timestamp) x metrics
        `score_metrics` of a detector; NaN counts as 0.
    faults : DataFrame
        The contract's table; those without `root_metrics`, without a moment, or outside of every window are left out.
    windows : DataFrame
        Columns entity, start, end.
    shares : sequence of float
        Of G, from 1 up.

    Returns
    -------
    DataFrame, index fault_id
        `metrics` (G), `hit_100`, `hit_150`, ... for each share, and `chance_100`, ... for a random ranking.

    Raises
    ------
    ContractError
        For parts that break the contract of telemetry, a share below 1, and a root metric that `parts` does not have.

    References
    ----------
    Su et al. (2019), OmniAnomaly, doi 10.1145/3292500.3330672, section 4.5 (HitRate@P%).

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="min", tz="UTC", unit="us")
    >>> index = pd.MultiIndex.from_product([["m"], stamps], names=["entity", "timestamp"])
    >>> parts = pd.DataFrame({"a": [0, 5.0, 5, 0], "b": [0, 1.0, 0, 0], "c": [0.0] * 4}, index=index)
    >>> fault = {"fault_id": "f", "entity": "m", "impact_start": stamps[1], "root_metrics": "a,c", "root_entity": "m"}
    >>> windows = pd.DataFrame({"entity": ["m"], "start": [stamps[1]], "end": [stamps[2]]})
    >>> responsible_hits(parts, pd.DataFrame([fault]).set_index("fault_id"), windows)[["hit_100", "hit_150"]]
              hit_100  hit_150
    fault_id
    f             0.5      1.0
    """
    if wrong := [share for share in shares if not share >= 1]:
        raise ContractError(column="shares", expected="numbers from 1 up", got=wrong[0])
    faults, parts = validate(faults, "faults"), validate(parts, "telemetry", source="parts")
    names, rows = list(parts.columns), []
    for fault in faults.dropna(subset=["root_metrics"]).itertuples():
        moment = fault.cause_start if fault.impact_start is pd.NaT else fault.impact_start
        own = windows[(windows["entity"] == fault.entity) & (windows["start"] <= moment) & (windows["end"] >= moment)]
        if own.empty or fault.entity not in parts.index.unique("entity"):
            continue
        roots = list(dict.fromkeys(name.strip() for name in fault.root_metrics.split(",")))
        if strange := [name for name in roots if name not in names]:
            raise ContractError(file="faults", column="root_metrics", expected="metrics of parts", got=strange[0])
        during = parts.loc[fault.entity].loc[moment : own["end"].max()]
        blame = np.nan_to_num(during.to_numpy("float64")).mean(axis=0) if len(during) else np.zeros(len(names))
        wanted = np.isin(names, roots)
        row = {"fault_id": fault.Index, "metrics": len(roots)}
        for share in shares:
            places = min(math.floor(share * len(roots) + 1e-9), len(names))
            row[f"hit_{round(100 * share)}"] = _among_first(blame, wanted, places)
            row[f"chance_{round(100 * share)}"] = places / len(names)
        rows.append(row)
    columns = ["metrics", *(f"{what}_{round(100 * share)}" for share in shares for what in ("hit", "chance"))]
    return pd.DataFrame(rows, columns=["fault_id", *columns]).set_index("fault_id")


def _among_first(blame: np.ndarray, wanted: np.ndarray, places: int) -> float:
    """Share of the wanted that is among the first places; those with equal blame share the last of these."""
    last = np.sort(blame)[::-1][places - 1]
    surely, tied = blame > last, blame == last
    left = (places - surely.sum()) / tied.sum()
    return float(((surely & wanted).sum() + left * (tied & wanted).sum()) / wanted.sum())
