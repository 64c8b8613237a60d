"""Server Machine Dataset: 28 servers of an internet company, 38 metrics, five weeks, and which of them tell of what."""

from __future__ import annotations

__all__ = ["SMD"]

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from stability.datasets.frames import numbers, panel, stack
from stability.datasets.options import choose, one_of
from stability.datasets.sources import Source, public
from stability.schema import ContractError

COMMIT = "7fb0e0acf89ea49908896bcc9f9e80fcfff6baf4"
SOURCE = Source("smd", f"https://raw.githubusercontent.com/NetManAIOps/OmniAnomaly/{COMMIT}/")
FOLDER = "ServerMachineDataset"
FOLDERS = ("train", "test", "test_label", "interpretation_label")
STANDARD = ("machine-1-6", "machine-1-7", "machine-2-1", "machine-3-3")
HALVES = ("both", "train", "test")
HERE = "here"  # the machines whose files are all there
COLUMNS = [f"dimension_{k:02d}" for k in range(1, 39)]
START, STEP = pd.Timestamp("2000-01-01", tz="UTC"), pd.Timedelta("1min")


def load(machines: str | Iterable[str] = STANDARD, half: str = "both") -> dict[str, pd.DataFrame]:
    """Load machines of SMD.

    Parameters
    ----------
    machines : str or list of str
        Names or patterns, `machine-1-1` to `machine-3-11`; `*` is all 28, and `here` those that need no download.
    half : {'both', 'train', 'test'}
        The train half has no labels, and nobody says that it is free of anomalies. Stamps do not depend on this option.

    Returns
    -------
    dict
        - `telemetry`: entity = machine, columns `dimension_01` to `dimension_38`, each scaled to 0-1 by its origin over
          train and test apart, so without a unit;
        - `parts`: the train and the test half of each machine; the second begins at `start` of its row;
        - `windows`: the runs of rows labelled anomalous (test half);
        - `faults`: the lines of `interpretation_label`: begin as `impact_start`, responsible dimensions in
          `root_metrics`, in the order of the file: by number, but for one line, and not by responsibility.

    Raises
    ------
    ContractError
        For an unknown machine or half, and for files that are missing, altered, or do not fit each other.

    Notes
    -----
    The origin gives no stamps. Here a machine's first row is at 2000-01-01 00:00 UTC and each next one a minute later;
    the test half follows the train half without a gap, as its paper describes the split. Machines share this clock and
    nothing else: what is at the same stamp on two machines was not measured at the same time.

    An interval `a-b:...` of `interpretation_label` counts rows from 0 and ends before b; the lines are neither sorted
    nor disjoint (machine-3-3 has two of them inside of others), so there are more of them than windows.
    """
    one_of("half", half, HALVES, "smd")
    return stack((_machine(machine, half) for machine in _chosen(machines)), "smd")


def _chosen(machines: str | Iterable[str]) -> list[str]:
    known = [Path(file).stem for file in SOURCE.registry if f"{FOLDER}/train/" in file]
    known.sort(key=lambda name: list(map(int, name.split("-")[1:])))
    if machines == HERE:
        machines = [name for name in known if all(SOURCE.path(file).is_file() for file in _of(name))]
    return choose("machines", machines, known, "smd")


def _of(machine: str, folders: Iterable[str] = FOLDERS) -> list[str]:
    return [f"{FOLDER}/{folder}/{machine}.txt" for folder in folders]


def _files(machines: str | Iterable[str] = STANDARD, half: str = "both") -> list[str]:
    # The train half is always read, since its length says where the test half begins.
    one_of("half", half, HALVES, "smd")
    folders = FOLDERS[:1] if half == "train" else FOLDERS
    return [file for machine in _chosen(machines) for file in _of(machine, folders)]


def _machine(machine: str, half: str) -> dict[str, pd.DataFrame]:
    train = _half(machine, "train")
    begin = START + len(train) * STEP
    halves = {"train": (START, train)}
    windows, faults = [], []
    if half != "train":
        test = _half(machine, "test")
        halves["test"] = (begin, test)
        windows, faults = _windows(machine, len(test), begin), _faults(machine, len(test), begin)
    kept = {name: piece for name, piece in halves.items() if half in ("both", name)}
    telemetry = [panel(values, COLUMNS, machine, _stamps(first, len(values))) for first, values in kept.values()]
    parts = [(machine, name, first, first + (len(v) - 1) * STEP, name) for name, (first, v) in kept.items()]
    return {
        "telemetry": pd.concat(telemetry),
        "parts": pd.DataFrame(parts, columns=["entity", "part", "start", "end", "name"]),
        "windows": pd.DataFrame(windows, columns=["entity", "start", "end"]),
        "faults": pd.DataFrame(
            faults, columns=["fault_id", "entity", "impact_start", "root_entity", "root_metrics", "source"]
        ),
    }


def _stamps(first: pd.Timestamp, rows: int) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=rows, freq=STEP)


def _half(machine: str, half: str) -> np.ndarray:
    path = SOURCE.intact(f"{FOLDER}/{half}/{machine}.txt")
    return numbers(path, separator=",", columns=len(COLUMNS))


def _windows(machine: str, rows: int, begin: pd.Timestamp) -> list[tuple]:
    path = SOURCE.intact(f"{FOLDER}/test_label/{machine}.txt")
    labels = numbers(path, separator=",", columns=1)[:, 0]
    if len(labels) != rows or not np.isin(labels, (0, 1)).all():
        got = f"{len(labels)} rows with values from {labels.min():g} to {labels.max():g}"
        raise ContractError(file=path, expected=f"{rows} rows of 0 or 1, one for each of the test half", got=got)
    edges = np.flatnonzero(np.diff(labels, prepend=0, append=0))
    return [(machine, begin + a * STEP, begin + (b - 1) * STEP) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _faults(machine: str, rows: int, begin: pd.Timestamp) -> list[tuple]:
    path = SOURCE.intact(f"{FOLDER}/interpretation_label/{machine}.txt")
    faults = []
    for row, line in enumerate(path.read_text(encoding="utf-8").split(), start=1):
        try:
            interval, listed = line.split(":")
            first, end = map(int, interval.split("-"))
            dimensions = list(map(int, listed.split(",")))
            if not (0 <= first < end <= rows and min(dimensions) >= 1 and max(dimensions) <= len(COLUMNS)):
                raise ValueError
        except ValueError:
            expected = f"first-end:dimensions, rows from 0 to {rows}, dimensions from 1 to {len(COLUMNS)}"
            raise ContractError(file=path, row=row, expected=expected, got=repr(line)) from None
        metrics = [COLUMNS[k - 1] for k in dimensions]
        faults.append((f"{machine}#{row}", machine, begin + first * STEP, machine, ",".join(metrics), "smd"))
    return faults


SMD = public(
    SOURCE,
    description="28 servers of an internet company, 38 scaled metrics a minute for five weeks; 4 of them by default",
    licence="MIT",
    citation="Su, Zhao, Niu, Liu, Sun, Pei (2019), OmniAnomaly, KDD '19, doi 10.1145/3292500.3330672",
    labels="anomalous rows of the test half; for each event the responsible metrics",
    origin="https://github.com/NetManAIOps/OmniAnomaly",
    load=load,
    files=_files,
)
