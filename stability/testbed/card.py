"""How hard a recording is: what the simplest rule finds of each failure mode, and what shows before users feel it.

`python -m stability.testbed.card data/testbed/1 data/testbed/2 --picture data/testbed/day.png` prints the tables of the
data card and draws a day: the rule is fitted on the clean time of the first recording and judged on
the others.
"""

from __future__ import annotations

__all__ = [
    "LASTING",
    "SIGMAS",
    "clean_seconds",
    "data_card",
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
from stability.schema import ContractError, read_table
from stability.telemetry import is_counter, rate

SIGMAS, LASTING = 3.0, 3  # deviations, and seconds in a row for which a metric must be away
BEFORE = pd.Timedelta(seconds=60)  # what is usual just before a cause
LENGTH = pd.Timedelta(seconds=600)  # of a day of the users
SHOWN = (
    ("users", "service_latency_seconds_p95"),
    ("users", "service_availability_ratio"),
    ("model-b", "process_resident_memory_bytes"),
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
    return _by_mode(_judged(panel, faults, history))


def _judged(panel: pd.DataFrame, faults: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """A row a fault: was it found, did it show before it was felt, and how long until then."""
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
    return pd.DataFrame(rows, columns=["failure_mode", "found", "early", "seconds"])


def _by_mode(judged: pd.DataFrame) -> pd.DataFrame:
    modes = judged.groupby("failure_mode")
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


def data_card(recordings: Mapping[str, Mapping[str, pd.DataFrame]]) -> str:
    """Say how hard recordings are, as the tables of the data card in Markdown.

    Parameters
    ----------
    recordings : mapping
        telemetry, faults and benign of each, by its name; the rule is fitted on the clean time of the first.

    Returns
    -------
    str
        A table with a row a recording, and one with a row a failure mode, of the recordings after the first.

    Raises
    ------
    ContractError
        With fewer than two recordings.
    """
    if len(recordings) < 2:
        expected = "two recordings or more, of different names: one for the rule, others to judge it on"
        raise ContractError(column="recordings", expected=expected, got=len(recordings))
    panels = {name: tables["telemetry"] for name, tables in recordings.items()}
    first = next(iter(recordings))
    history = panels[first][clean_seconds(panels[first], recordings[first]["faults"]).to_numpy()]
    heads = ["recording", "faults", "harmless events", "without a fault", f"and without {AFTER.seconds} s after one"]
    rows, judged = [], []
    for name, tables in recordings.items():
        calm = [clean_seconds(panels[name], tables["faults"], after).mean() for after in (pd.Timedelta(0), AFTER)]
        alarms = false_alarms(panels[name], tables["faults"], history)
        roots = (tables["faults"]["entity"] == tables["faults"]["root_entity"]).sum()
        rows.append([name, roots, len(tables["benign"]), *(f"{100 * share:.1f} %" for share in calm), f"{alarms:.1f}"])
        if name != first:
            judged.append(_judged(panels[name], tables["faults"], history))
    table = _by_mode(pd.concat(judged))
    modes = []
    for row in table.itertuples():
        felt = [f"{100 * row.early:.0f} %", f"{row.seconds:.0f} s"] if row.felt else ["-", "-"]
        modes.append([row.Index, row.faults, row.felt, f"{100 * row.found:.0f} %", *felt])
    of_modes = ["failure mode", "faults", "felt by users", "found", "shows before it is felt", "from cause to impact"]
    return _markdown([*heads, "false alarms an hour and entity"], rows) + "\n\n" + _markdown(of_modes, modes)


def _markdown(heads: list[str], rows: list[list]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def main() -> None:
    """Print the tables of the data card, and draw a day."""
    parser = argparse.ArgumentParser(prog="python -m stability.testbed.card", description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, nargs="+", help="folders, two or more; the first is the rule's")
    parser.add_argument("--picture", type=Path, help="where to draw the day of the last with most kinds of events")
    told = parser.parse_args()
    recordings = {
        folder.name: {name: read_table(folder / f"{name}.parquet", name) for name in ("telemetry", "faults", "benign")}
        for folder in told.recordings
    }
    print(data_card(recordings))
    if told.picture:
        last = recordings[told.recordings[-1].name]
        with matplotlib.rc_context(RC):
            plot_day(last, eventful_day(last))[0].figure.savefig(told.picture, dpi=110)


if __name__ == "__main__":
    main()
