"""Exposure: the observed time, cut where events, alarms and blocks begin and end."""

from __future__ import annotations

__all__ = ["cut_blocks", "exposure", "observed_time"]

import numpy as np
import pandas as pd

from stability.evaluation.matching import all_entities
from stability.evaluation.spans import Spans, observe, span_arrays


def observed_time(observed: pd.DataFrame | pd.Series) -> tuple[Spans, pd.Index, np.ndarray]:
    """Take telemetry, or spans that were found in it: the observed time (ends exclusive), entities, usual steps in us.

    Spans do not tell how long a row lasts: their steps are 0.
    """
    if {"start", "end"} <= set(getattr(observed, "columns", ())):
        entities = all_entities(observed)
        seen, steps = span_arrays(observed, "observed", entities), np.zeros(len(entities), dtype=np.int64)
    else:
        seen, entities, steps = observe(observed)
    return Spans(*(part[seen.start < seen.end] for part in seen)), entities, steps


def exposure(seen: Spans, events: Spans, alarms: Spans) -> tuple[np.ndarray, ...]:
    """Cut the observed time (ends exclusive) where events or alarms begin or end.

    Gives for each piece its entity, its start (us), its length (s), whether it is free of events, and in alarm.
    """
    kinds = (seen, events, alarms)
    sizes = np.repeat([len(part.code) for part in kinds], 2)
    codes = np.concatenate([part.code for part in kinds for _ in ("start", "end")])
    times = np.concatenate([ends for part in kinds for ends in (part.start, part.end)])
    kind, change = np.repeat([0, 0, 1, 1, 2, 2], sizes), np.repeat([1, -1, 1, -1, 1, -1], sizes)
    order = np.lexsort((times, codes))
    codes, times, kind, change = codes[order], times[order], kind[order], change[order]
    # How many intervals of a kind hold the stretch after each border; every interval closes within its own entity.
    inside = [np.cumsum(np.where(kind == number, change, 0))[:-1] > 0 for number in range(3)]
    piece = (codes[1:] == codes[:-1]) & inside[0] & (times[1:] > times[:-1])
    seconds = (times[1:] - times[:-1])[piece] / 1e6
    return codes[:-1][piece], times[:-1][piece], seconds, ~inside[1][piece], inside[2][piece]


def cut_blocks(seen: Spans, length: int) -> Spans:
    """Cut the observed spans at the borders of blocks of `length` us, so that each piece lies in one block."""
    first, last = seen.start // length, (seen.end - 1) // length
    pieces = last - first + 1
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces) + np.repeat(first, pieces)
    start = np.maximum(np.repeat(seen.start, pieces), number * length)
    end = np.minimum(np.repeat(seen.end, pieces), (number + 1) * length)
    return Spans(np.repeat(seen.code, pieces), start, end)
