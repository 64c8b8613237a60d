"""How hard a recording is: what the simplest rule finds of each failure mode, and what shows before users feel it.

`python -m stability.testbed.card data/testbed/1 data/testbed/2 --picture data/testbed/day.png` prints the tables of the
data card and draws a day: the rule is fitted on the first recording and judged on the second.
"""

from __future__ import annotations

__all__ = [
    "LASTING",
    "SIGMAS",
    "clean_seconds",
    "difficulty",
    "eventful_day",
    "false_alarms",
    "plot_day",
    "three_sigma",
]

import argparse
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from stability.plotting import PALETTE
from stability.plotting.series import draw_line
from stability.plotting.style import RC, canvas, label_values, time_axis
from stability.schema import read_table
from stability.telemetry import is_counter, rate

SIGMAS, LASTING = 3.0, 3  # deviations, and seconds in a row for which a metric must be away
BEFORE = pd.Timedelta(seconds=60)  # what is usual just before a cause
LENGTH = pd.Timedelta(seconds=600)  # of a day of the users
SHOWN = (
    ("users", "service_latency_seconds_p95"),
    ("users", "service_availability_ratio"),
    ("model-a", "process_resident_memory_bytes"),
    ("model-a", "model_prediction_quality_ratio"),
    ("model-b", "process_open_fds"),
    ("feature-store", "http_server_request_duration_seconds_p99"),
)
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


def clean_seconds(panel: pd.DataFrame, faults: pd.DataFrame, after: pd.Timedelta = AFTER) -> pd.Series:
    """Mark the rows at which no fault is at work anywhere.

    Parameters
    ----------
    panel : DataFrame
        Telemetry.
    faults : DataFrame
        The contract's table.
    after : Timedelta
        How long a fault's traces last.

    Returns
    -------
    Series
        bool, rows of `panel`.
    """
    stamps = panel.index.get_level_values("timestamp")
    clean = pd.Series(True, panel.index)
    for fault in faults.dropna(subset=["cause_start"]).itertuples():
        clean &= (stamps < fault.cause_start) | (stamps > fault.cause_end + after)
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


def eventful_day(tables: Mapping[str, pd.DataFrame], length: pd.Timedelta = LENGTH) -> pd.Timestamp:
    """The begin of the day with the most kinds of events, of those that lie side by side from the first moment on."""
    first = tables["telemetry"].index.get_level_values("timestamp").min()
    begins = pd.concat([tables["faults"]["cause_start"], tables["benign"]["start"]])
    kinds = pd.concat([tables["faults"]["failure_mode"], tables["benign"]["kind"]])
    days = ((begins - first) // length).dropna()
    return first + int(kinds.groupby(days).nunique().idxmax()) * length


def plot_day(tables: Mapping[str, pd.DataFrame], start: pd.Timestamp, length: pd.Timedelta = LENGTH) -> np.ndarray:
    """Draw some of a recording's metrics over a stretch of time, with everything that befell the service.

    Parameters
    ----------
    tables : mapping
        telemetry, faults, benign.
    start, length : Timestamp, Timedelta
        What to draw.

    Returns
    -------
    array of Axes, shape (metrics,)
        x: time in UTC; y: the metric's unit.
    """
    end, panel = start + length, _rates(tables["telemetry"])
    figure, grid = canvas(len(SHOWN), 1, height=1.05)
    axes = grid[:, 0]
    for ax, (entity, metric) in zip(axes, SHOWN, strict=True):
        draw_line(ax, panel.loc[entity, metric][start:end])
        ax.set_title(f"{metric} of {entity}", fontsize=9, pad=2)
        label_values(ax, metric)
    faults = tables["faults"]
    faults = faults[faults["entity"] == faults["root_entity"]]
    spans = [(f.cause_start, f.cause_end, f.failure_mode, "orange") for f in faults.itertuples()]
    spans += [(b.start, b.end, b.kind, "grey") for b in tables["benign"].itertuples()]
    for begun, over, name, colour in spans:
        if begun < end and over > start:
            for ax in axes:
                ax.axvspan(max(begun, start), min(over, end), color=PALETTE[colour], alpha=0.25, linewidth=0)
            place = max(begun, start)
            axes[0].annotate(
                name.replace("_", " "), (place, 1.28), xycoords=("data", "axes fraction"), rotation=20, fontsize=7
            )
    axes[0].set_xlim(start, end)
    time_axis(axes[-1])
    kinds = {"fault": "orange", "harmless": "grey"}
    handles = [Patch(color=PALETTE[colour], alpha=0.3, label=name) for name, colour in kinds.items()]
    figure.legend(handles=handles, loc="lower left", ncols=2)
    return axes


def main() -> None:
    """Print the tables of the data card, and draw a day."""
    parser = argparse.ArgumentParser(prog="python -m stability.testbed.card", description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="folder of the recording that the rule is fitted on")
    parser.add_argument("test", type=Path, help="folder of the one that it is judged on")
    parser.add_argument("--picture", type=Path, help="where to draw the day of the second with most kinds of events")
    told = parser.parse_args()
    train, test = (
        {name: read_table(folder / f"{name}.parquet", name) for name in ("telemetry", "faults", "benign")}
        for folder in (told.train, told.test)
    )
    history = train["telemetry"][clean_seconds(train["telemetry"], train["faults"]).to_numpy()]
    table = difficulty(test["telemetry"], test["faults"], history)
    print(table.round(2).to_string())
    alarms = false_alarms(test["telemetry"], test["faults"], history)
    print(f"\nfalse alarms of the rule an hour and entity: {alarms:.1f}")
    calm = [clean_seconds(test["telemetry"], test["faults"], after).mean() for after in (pd.Timedelta(0), AFTER)]
    print(f"share of the seconds without a fault: {calm[0]:.3f}")
    print(f"and without the {AFTER.seconds} s after one: {calm[1]:.3f}")
    print(f"harmless events: {len(test['benign'])}")
    if told.picture:
        with matplotlib.rc_context(RC):
            plot_day(test, eventful_day(test))[0].figure.savefig(told.picture, dpi=110)


if __name__ == "__main__":
    main()
