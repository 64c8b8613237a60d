"""What the feature store keeps: raw observations of every item, of which a feature is the median, in SQLite."""

from __future__ import annotations

__all__ = ["BLOCK", "FILE", "build", "medians"]

import sqlite3
from pathlib import Path

import numpy as np

from stability.testbed.task import FEATURES, ITEMS, item_features

BLOCK = 32  # items that are kept and fetched together
OBSERVATIONS = 31  # raw observations behind each feature, odd so that the median is one of them
STEP = 1 / 24  # of a raw observation, which is stored as a whole number of steps from -128 to 127
FILE = "features.sqlite"


def build(folder: Path) -> Path:
    """Write the raw observations of every item, unless they are there.

    Parameters
    ----------
    folder : Path
        Where the database lies.

    Returns
    -------
    Path
        The database.
    """
    path = folder / FILE
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    draft = path.with_suffix(".part")
    draft.unlink(missing_ok=True)
    with sqlite3.connect(draft) as database:
        database.execute("create table observations (block integer primary key, raw blob not null)")
        for block in range(ITEMS // BLOCK):
            centre = item_features()[block * BLOCK : (block + 1) * BLOCK]
            noise = rng.standard_normal((OBSERVATIONS, BLOCK, FEATURES), dtype="float32")
            noise[0] = 0
            noise[1::2] = -noise[2::2]  # symmetric about the centre, so that the median is the centre
            raw = np.clip(np.rint((centre + noise) / STEP), -128, 127).astype("int8")
            database.execute("insert into observations values (?, ?)", (block, raw.tobytes()))
    database.close()
    draft.replace(path)
    return path


def medians(raw: bytes) -> np.ndarray:
    """Features of a block, float32, (BLOCK, FEATURES), from what is stored of it."""
    observed = np.frombuffer(raw, "int8").reshape(OBSERVATIONS, BLOCK, FEATURES)
    return np.median(observed, axis=0).astype("float32") * np.float32(STEP)
