"""What a watch of the testbed knows beforehand, learnt on recordings: `python -m stability.monitor.lesson FOLDER`."""

from __future__ import annotations

__all__ = ["DETECTOR", "LOCALIZER", "RULES", "THRESHOLD", "taught"]

import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stability import datasets
from stability.localization.diagnosis import Diagnoser
from stability.monitor.sentries import learn
from stability.rules import read_rules
from stability.schema import home
from stability.schema.store import written_whole
from stability.testbed.game_day_learning import learnt
from stability.testbed.tables import shifted

LOCALIZER, DETECTOR, THRESHOLD = "localizer.json", "detector.npz", "threshold.txt"
RULES = "data/rules/testbed.yaml"
NAME = "mean_shift_recursive"
FALSE_ALARMS = 24.0  # a day and entity, which is one a "day" of ten minutes in six: it says whether a repair has healed
POLICY = {"merge": 30.0}
AFTERWARDS = pd.Timedelta("30s")  # after a fault in which nothing is taught


def taught(folder: Path, tables: Mapping[str, pd.DataFrame] | None = None) -> tuple[Diagnoser, pd.DataFrame]:
    """Learn the localizer and the detector of a watch of the testbed, and write both.

    Parameters
    ----------
    folder : Path
        Gets `LOCALIZER`, `DETECTOR` and its `THRESHOLD`.
    tables : mapping, optional
        Recordings to learn from and nothing else; 1 and 3 without.

    Returns
    -------
    Diagnoser, DataFrame
        As `game_day_learning.learnt`.
    """
    tables = datasets.load("testbed", recordings=[1, 3]) if tables is None else tables
    diagnoser, looks = learnt(tables, read_rules(home() / RULES))
    folder.mkdir(parents=True, exist_ok=True)
    diagnoser.save(folder / LOCALIZER)
    quiet = _quiet(tables)
    detector, limit, _ = learn(NAME, {}, quiet, false_alarms_per_day=FALSE_ALARMS, policy=POLICY)
    detector.save(folder / DETECTOR)
    with written_whole(folder / THRESHOLD) as file:
        file.write(f"{limit!r}\n".encode())
    return diagnoser, looks


def _quiet(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows in which nothing was wrong, harmless events among them; moved to 1970, so that any time comes after."""
    telemetry, faults = tables["telemetry"], tables["faults"]
    stamps = telemetry.index.get_level_values("timestamp")
    begun = faults[["cause_start", "impact_start"]].min(axis=1)
    ended = faults[["cause_end", "recovered_at"]].max(axis=1) + AFTERWARDS
    busy = pd.Series(False, index=telemetry.index)
    for start, end in zip(begun, ended, strict=True):
        busy |= (stamps >= start) & ((stamps < end) if end is not pd.NaT else True)
    return shifted(telemetry[~busy.to_numpy()], pd.Timestamp(0, tz="UTC") - stamps.min())


if __name__ == "__main__":
    taught(Path(sys.argv[1]))
