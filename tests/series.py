"""One metric of one entity, as a panel, for tests of detectors."""

import numpy as np
import pandas as pd

from stability.schema import validate

START = pd.Timestamp("2026-01-01", tz="UTC")


def panel(*columns, freq="1min", entity="web-1"):
    """Columns `m0`, `m1`, ... of numbers, a row every `freq`."""
    stamps = pd.date_range(START, periods=len(columns[0]), freq=freq, unit="us", name="timestamp")
    frame = pd.DataFrame({f"m{k}": np.asarray(column, dtype=float) for k, column in enumerate(columns)}, index=stamps)
    return validate(pd.concat({entity: frame}, names=["entity"]), "telemetry")


def wild(seed, rows):
    """Numbers with outliers, a change of spread, a rest and holes."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=rows)
    values[rows // 3 : rows // 2] *= 5
    values[rng.integers(rows, size=3)] += 40
    values[rows // 2 : rows // 2 + rows // 10] = values[rows // 2]
    values[rng.random(rows) < 0.1] = np.nan
    return values
