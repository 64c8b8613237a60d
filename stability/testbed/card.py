"""How hard a recording is: what the simplest rule finds of each failure mode, and what shows before users feel it.

`python -m stability.testbed.card data/testbed/1 data/testbed/2` prints the table of the data card: the rule is fitted
on the first recording and judged on the second.
"""

from __future__ import annotations

__all__ = ["LASTING", "SIGMAS", "clean_seconds", "difficulty", "false_alarms", "three_sigma"]

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from stability.schema import read_table
from stability.telemetry import is_counter, rate

SIGMAS, LASTING = 3.0, 3  # deviations, and seconds in a row for which a metric must be away
BEFORE = pd.Timedelta(seconds=60)  # what is usual just before a cause
AFTER = pd.Timedelta(seconds=10)  # after the end of a cause its traces are not counted as clean


def three_sigma(panel: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Mark where a metric has been three deviations away from its mean for three seconds.

    Parameters
    ----------
    panel, history : DataFrame
        Telemetry at 1 s; mean and deviation of each metric of each entity come from `history`. Counters count by their
        rate. A metric that stood still in history says nothing.

    Returns
    -------
    DataFrame
        bool, rows of `panel`, a column for each metric.
    """
    panel, history = _rates(panel), _rates(history)
    by = history.groupby(level="entity")
    entity = panel.index.get_level_values("entity")
    mean, spread = (table.reindex(entity).to_numpy() for table in (by.mean(), by.std().replace(0, np.nan)))
    away = pd.DataFrame(np.abs(panel.to_numpy() - mean) > SIGMAS * spread, panel.index, panel.columns)
    return away.groupby(level="entity").rolling(LASTING).sum().droplevel(0) == LASTING


def _rates(panel: pd.DataFrame) -> pd.DataFrame:
    counters = [name for name in panel if is_counter(name)]
    return panel.drop(columns=counters).join(rate(panel[counters])) if counters else panel


def clean_seconds(panel: pd.DataFrame, faults: pd.DataFrame) -> pd.Series:
    """Mark the rows at which no fault is at work anywhere.

    Parameters
    ----------
    panel : DataFrame
        Telemetry.
    faults : DataFrame
        The contract's table.

    Returns
    -------
    Series
        bool, rows of `panel`.
    """
    stamps = panel.index.get_level_values("timestamp")
    clean = pd.Series(True, panel.index)
    for fault in faults.dropna(subset=["cause_start"]).itertuples():
        clean &= (stamps < fault.cause_start) | (stamps > fault.cause_end + AFTER)
    return clean


def difficulty(panel: pd.DataFrame, faults: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Say of each failure mode how much of it the simplest rule finds, and how early it can be seen.

    Parameters
    ----------
    panel : DataFrame
        Telemetry of the recording.
    faults : DataFrame
        Its faults.
    history : DataFrame
        Clean telemetry that mean and deviation come from.

    Returns
    -------
    DataFrame
        A row a mode: `faults`, `felt` (users felt it), `found` (share: a metric of the root entity was three deviations
        of history away for three seconds between cause and end), `early` (share of the felt: a metric of the root
        entity was away from the minute before the cause before anybody felt it), `seconds` (median from cause to
        impact of the felt).
    """
    roots = faults[faults["root_entity"] == faults["entity"]]
    first = faults.dropna(subset=["impact_start"]).groupby(["root_entity", "cause_start"])["impact_start"].min()
    away, rows = three_sigma(panel, history), []
    for fault in roots.itertuples():
        own = panel.loc[[fault.root_entity]]
        stamps = own.index.get_level_values("timestamp")
        usual = own[(stamps >= fault.cause_start - BEFORE) & (stamps < fault.cause_start)]
        felt = first.get((fault.root_entity, fault.cause_start), pd.NaT)
        found = away.loc[fault.root_entity][fault.cause_start : fault.cause_end].to_numpy().any()
        early = np.nan
        if felt is not pd.NaT:
            until = own[(stamps >= fault.cause_start - BEFORE) & (stamps < felt)]
            early = float(three_sigma(until, usual).loc[fault.root_entity][fault.cause_start :].to_numpy().any())
        since = np.nan if felt is pd.NaT else (felt - fault.cause_start).total_seconds()
        rows.append((fault.failure_mode, float(found), early, since))
    table = pd.DataFrame(rows, columns=["failure_mode", "found", "early", "seconds"])
    modes = table.groupby("failure_mode")
    return pd.DataFrame(
        {
            "faults": modes.size(),
            "felt": modes["seconds"].count(),
            "found": modes["found"].mean(),
            "early": modes["early"].mean(),
            "seconds": modes["seconds"].median(),
        }
    )


def false_alarms(panel: pd.DataFrame, faults: pd.DataFrame, history: pd.DataFrame) -> float:
    """How often the rule speaks when nothing is wrong: begins of its marks, an hour of clean time of an entity."""
    marked = three_sigma(panel, history).any(axis=1)
    clean = clean_seconds(panel, faults)
    begins = marked & ~marked.groupby(level="entity").shift(fill_value=False) & clean
    return float(begins.sum() / clean.sum() * 3600)


def main() -> None:
    """Print the tables of the data card."""
    train, test = (
        {name: read_table(Path(folder) / f"{name}.parquet", name) for name in ("telemetry", "faults", "benign")}
        for folder in sys.argv[1:3]
    )
    history = train["telemetry"][clean_seconds(train["telemetry"], train["faults"]).to_numpy()]
    table = difficulty(test["telemetry"], test["faults"], history)
    print(table.round(2).to_string())
    alarms = false_alarms(test["telemetry"], test["faults"], history)
    print(f"\nfalse alarms of the rule an hour and entity: {alarms:.1f}")
    print(f"clean share of the seconds: {clean_seconds(test['telemetry'], test['faults']).mean():.3f}")
    print(f"harmless events: {len(test['benign'])}")


if __name__ == "__main__":
    main()
