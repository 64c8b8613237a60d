"""Whether users were served as promised, second by second, and when they felt a fault: judged from the load log."""

from __future__ import annotations

__all__ = ["GATEWAY", "ServiceLevel", "bad_seconds", "impact", "read_load"]

import json
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from stability.testbed.tally import ALL

GATEWAY = "gateway"  # the entity at which all requests are judged
AFTER = 5.0  # s after the end of a cause in which its impact may still begin
HELD = 5  # s for which the level has to hold to count as recovered
COUNTS = ["answered", "failed", "slow", "wrong"]
OTHERS = ["p50", "p95", "max", "sent", "over", "outstanding", "lag"]  # the last four of the line of all
SECOND = pd.Timedelta(seconds=1)


class ServiceLevel(BaseModel):
    """What users are promised.

    Parameters
    ----------
    slow : float
        Largest share of the answers that may come later than `tally.SLOW`, 0.25 s.
    failed : float
        Largest share of the requests that may fail.
    wrong : float
        Largest share of the answers that may be wrong; the model itself is wrong once in ten.
    window, wrong_window : int
        Seconds up to and with the one that is judged, over which the shares count; wrong answers need more of them.
    minimum : int
        Requests in the window below which nothing is said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    slow: float = Field(0.10, gt=0, lt=1)
    failed: float = Field(0.02, gt=0, lt=1)
    wrong: float = Field(0.22, gt=0, lt=1)
    window: int = Field(5, ge=1, le=300)
    wrong_window: int = Field(10, ge=1, le=300)
    minimum: int = Field(20, ge=1)


def read_load(path: Path) -> pd.DataFrame:
    """Read the load log.

    Parameters
    ----------
    path : Path
        `load.jsonl`; see `stability.testbed.load`.

    Returns
    -------
    DataFrame
        A row a line, NaN for what a line does not have. A last line that was cut off is left out.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    frame = pd.DataFrame(rows, columns=["second", "replica", *COUNTS, *OTHERS])
    return frame.astype(dict.fromkeys(["second", *COUNTS], "int64") | dict.fromkeys(OTHERS, "float64"))


def bad_seconds(log: pd.DataFrame, level: ServiceLevel) -> pd.DataFrame:
    """Judge each second by what was concluded in it and in those just before it.

    Parameters
    ----------
    log : DataFrame
        Columns second (s since 1970), replica, answered, failed, slow, wrong; as `read_load` gives it.
    level : ServiceLevel
        What is promised.

    Returns
    -------
    DataFrame, index (entity, timestamp)
        bool: `failed`, `slow`, `wrong`, and `bad` (any of them). The stamp is the begin of the second. `gateway` is
        judged by all requests, each replica by those that it answered or lost; every entity has every second from the
        first to the last of the log, and where too little was concluded nothing is bad.

    Examples
    --------
    >>> row = {"replica": "all", "answered": 30, "failed": 0, "slow": 0, "wrong": 3}
    >>> log = pd.DataFrame([row | {"second": 100}, row | {"second": 101, "failed": 2}])
    >>> bad_seconds(log, ServiceLevel()).loc["gateway", "bad"].tolist()
    [False, True]
    """
    columns = ["failed", "slow", "wrong", "bad"]
    names = log["replica"].where(log["replica"] != ALL, GATEWAY)
    named = log[COUNTS].set_axis(pd.MultiIndex.from_arrays([names, log["second"]]))[(names != "").to_numpy()]
    if named.empty:
        index = pd.MultiIndex.from_arrays([[], pd.DatetimeIndex([], dtype="datetime64[us, UTC]")])
        return pd.DataFrame(False, index=index.set_names(["entity", "timestamp"]), columns=columns, dtype=bool)
    seconds = range(log["second"].min(), log["second"].max() + 1)
    judged = {}
    for entity in sorted(set(named.index.get_level_values(0))):
        counts = named.loc[entity].groupby("second").sum().reindex(seconds, fill_value=0)
        short, long = counts.rolling(level.window, 1).sum(), counts.rolling(level.wrong_window, 1).sum()
        concluded = short["answered"] + short["failed"]
        frame = pd.DataFrame(
            {
                "failed": (short["failed"] > level.failed * concluded) & (concluded >= level.minimum),
                "slow": (short["slow"] > level.slow * short["answered"]) & (short["answered"] >= level.minimum),
                "wrong": (long["wrong"] > level.wrong * long["answered"]) & (long["answered"] >= level.minimum),
            }
        )
        judged[entity] = frame.assign(bad=frame.any(axis=1)).set_axis(pd.to_datetime(list(seconds), unit="s", utc=True))
    table = pd.concat(judged, names=["entity", "timestamp"])
    table.index = table.index.set_levels(table.index.levels[1].as_unit("us"), level=1)
    return table


def impact(
    table: pd.DataFrame, cause_start: pd.Timestamp, cause_end: pd.Timestamp, entity: str = GATEWAY
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Find when users began to feel a cause, and when they were served as promised again.

    Parameters
    ----------
    table : DataFrame
        As `bad_seconds` gives it.
    cause_start, cause_end : Timestamp
        When the cause was there.
    entity : str
        Where it is judged.

    Returns
    -------
    impact_start : Timestamp or NaT
        Begin of the first run of 2 bad seconds or more that begins with the cause or after it, at most 5 s after its
        end. A run that was there before is not this cause's.
    recovered_at : Timestamp or NaT
        First moment, at or after both the cause's end and the impact, from which no second is bad for 5 s; NaT where
        the record ends before that is known.

    Notes
    -----
    A second belongs to what happens in any part of it; a moment inside of it is then the cause's own, so that no
    impact comes before its cause, and no recovery before its end.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=20, freq="s", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["gateway"], stamps], names=["entity", "timestamp"])
    >>> table = pd.DataFrame({"bad": [5 <= k < 12 for k in range(20)]}, index=index)
    >>> [moment.second for moment in impact(table, stamps[3], stamps[10])]
    [5, 12]
    """
    unknown = pd.NaT
    if entity not in table.index.get_level_values(0):
        return unknown, unknown
    bad = table.loc[entity, "bad"]
    stamps = bad.index
    runs = bad & ~bad.shift(fill_value=False) & bad.shift(-1, fill_value=False)  # a single bad second may be chance
    its = runs & (stamps + SECOND > cause_start) & (stamps <= cause_end + pd.Timedelta(seconds=AFTER))
    felt = max(stamps[its][0], cause_start) if its.any() else unknown
    since = cause_end if felt is unknown else max(cause_end, felt)
    holds = ~bad[::-1].rolling(HELD).max().fillna(1).astype(bool)[::-1]
    held = stamps[holds & (stamps + SECOND > since)]
    return felt, max(held[0], since) if len(held) else unknown
