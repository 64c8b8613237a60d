"""The Numenta Anomaly Benchmark: 58 univariate series with labelled windows."""

from __future__ import annotations

__all__ = ["NAB"]

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from stability.datasets.frames import panel, read_csv, read_json
from stability.datasets.options import choose, listed
from stability.datasets.sources import Source, public
from stability.schema import validate

COMMIT = "ea702d75cc2258d9d7dd35ca8e5e2539d71f3140"
SOURCE = Source("nab", f"https://raw.githubusercontent.com/numenta/NAB/{COMMIT}/")
WINDOWS, LABELS = "labels/combined_windows.json", "labels/combined_labels.json"


def _chosen(files: str | Iterable[str]) -> list[str]:
    """Names of series, `category/stem`, that any of the patterns matches."""
    series = [n.removeprefix("data/").removesuffix(".csv") for n in SOURCE.registry if n.endswith(".csv")]
    patterns = [str(pattern).removesuffix(".csv") for pattern in listed(files)]
    return sorted(choose("files", patterns, series, "nab"))


def load(files: str | Iterable[str] = "*") -> dict[str, pd.DataFrame]:
    """Load series of NAB.

    Parameters
    ----------
    files : str or list of str
        Patterns of `category/name`, such as `realAWSCloudwatch/*`.

    Returns
    -------
    dict
        `telemetry` (entity = `category/name`, one column `value`, in the unit of its origin), `windows` (the
        benchmark's anomaly windows), `faults` (each label's moment as `impact_start`, the other times unknown).

    Notes
    -----
    Eight series repeat stamps, one of them a whole hour (a clock set back), while the benchmark scores by row. So a
    stamp that is not after the one before is moved to a microsecond after it: no row is lost, the rows keep the order
    of the file, and none crosses the edge of a window. The origin's stamps carry no zone; they are read as UTC.
    """
    chosen = _chosen(files)
    parts = [_series(SOURCE.intact(f"data/{s}.csv"), s) for s in chosen]
    windows, labels = (read_json(SOURCE.intact(file)) for file in (WINDOWS, LABELS))
    spans = [(s, start, end) for s in chosen for start, end in windows[f"{s}.csv"]]
    moments = [(f"{s}#{k}", s, at) for s in chosen for k, at in enumerate(labels[f"{s}.csv"], start=1)]
    faults = pd.DataFrame(moments, columns=["fault_id", "entity", "impact_start"])
    faults = faults.assign(impact_start=_utc(faults["impact_start"]), source="nab")
    table = pd.DataFrame(spans, columns=["entity", "start", "end"])
    table["start"], table["end"] = _utc(table["start"]), _utc(table["end"])
    return {
        "telemetry": validate(pd.concat(parts), "telemetry", source="nab"),
        "windows": validate(table, "windows", source=WINDOWS),
        "faults": validate(faults, "faults", source=LABELS),
    }


def _utc(stamps: pd.Series) -> pd.Series:
    return pd.to_datetime(stamps, utc=True).dt.as_unit("us")


def _series(path: Path, entity: str) -> pd.DataFrame:
    # The default parser may miss the last bit of a number, and a benchmark is compared to its last decimal.
    frame = read_csv(path, columns=["timestamp", "value"], dtype={"value": "float64"}, float_precision="round_trip")
    stamps = increasing(_utc(frame["timestamp"]).to_numpy(dtype="datetime64[us]").astype("int64"))
    return panel(frame[["value"]].to_numpy(), ["value"], entity, pd.to_datetime(stamps, unit="us", utc=True))


def increasing(stamps: np.ndarray) -> np.ndarray:
    """Move each stamp that is not after the one before to a microsecond after it.

    Parameters
    ----------
    stamps : ndarray of int64, shape (n,)
        us since 1970, in the order of the file.

    Returns
    -------
    ndarray of int64, shape (n,)
        Strictly increasing; equal to `stamps` wherever these are.

    Examples
    --------
    >>> increasing(np.array([0, 300, 300, 100, 600])).tolist()
    [0, 300, 301, 302, 600]
    """
    rank = np.arange(len(stamps))
    return np.maximum.accumulate(stamps - rank) + rank


def _files(files: str | Iterable[str] = "*") -> list[str]:
    return [*(f"data/{s}.csv" for s in _chosen(files)), WINDOWS, LABELS]


NAB = public(
    SOURCE,
    description="58 real and artificial univariate series, 365,558 rows: cloud metrics, traffic, tweets, machines",
    licence="MIT",
    citation="Ahmad, Lavin, Purdy, Agha (2017), Neurocomputing 262, doi 10.1016/j.neucom.2017.04.070",
    labels="116 anomaly windows, 120 moments",
    origin="https://github.com/numenta/NAB",
    load=load,
    files=_files,
)
