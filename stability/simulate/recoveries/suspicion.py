"""Two plain detectors, so that a trace has scores: deviation from the history, and its trend drawn on."""

from __future__ import annotations

__all__ = ["DETECTORS", "suspect"]

import numpy as np
import pandas as pd

from stability.simulate.recoveries.material import AT

DETECTORS = ("deviation", "forecast")
SYMPTOMS = {  # what is looked at, with the smallest spread that counts: finer than that is no symptom
    "up": 0.1, "http_server_active_requests": 1.0, "model_queue_depth": 1.0, "model_prediction_quality_ratio": 0.03,
    "db_client_connections_pending_requests": 1.0, "http_server_request_duration_seconds_p50": 0.15,
    "http_server_request_duration_seconds_p99": 0.4,
}  # fmt: skip
FAILED = 0.01  # smallest spread of the share of errors
SMOOTH = 5  # s of a running median: one slow second is no symptom
AHEAD, PAST = 10, 15  # s that the trend is drawn on, and over which it is taken
ROOM = 1.25  # a threshold stands this much above the highest 0.1 % of health
LOWEST = 4.0  # deviations below which nothing is an anomaly


def suspect(rows: np.ndarray, calm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score the rows of an entity as they were delivered.

    Parameters
    ----------
    rows : ndarray of shape (steps, columns)
        As an exporter shows them, counters as sums.
    calm : ndarray of bool, shape (steps,)
        The steps of health that the history is learnt from.

    Returns
    -------
    scores : ndarray of shape (steps, 2)
        Of :data:`DETECTORS`; NaN where the entity was not measured.
    bounds : ndarray of shape (2,)
        Thresholds that the scores of health stay below.
    """
    deviations = []
    for name, least in SYMPTOMS.items():
        values = rows[:, AT[name]]
        deviations.append(_away(np.log(np.maximum(values, 1e-6)) if "duration" in name else values, calm, least))
    with np.errstate(invalid="ignore", divide="ignore"):
        requests, errors = (_rate(rows[:, AT[f"http_server_{what}_total"]]) for what in ("requests", "errors"))
        deviations.append(_away(np.where(requests > 0, errors / requests, np.nan), calm, FAILED))
    table = np.array(deviations)
    known = np.isfinite(table).any(axis=0)
    worst = np.where(known, np.nanmax(np.where(known, table, 0.0), axis=0), np.nan)
    smooth = pd.Series(worst).rolling(SMOOTH, 1).median().where(known)
    trend = smooth.diff(PAST).div(PAST).fillna(0.0)
    scores = np.column_stack([smooth, np.maximum(smooth + AHEAD * trend, 0.0)])
    bounds = [max(LOWEST, ROOM * np.nanquantile(scores[calm, k], 0.999)) for k in range(2)]
    return scores, np.array(bounds)


def _rate(counter: np.ndarray) -> np.ndarray:
    steps = np.diff(counter, prepend=np.nan)
    return np.where(steps < 0, counter, steps)  # it began anew


def _away(values: np.ndarray, calm: np.ndarray, least: float) -> np.ndarray:
    history = values[calm & np.isfinite(values)]
    if not len(history):
        return np.full(len(values), np.nan)
    middle = np.median(history)
    return np.abs(values - middle) / max(1.4826 * np.median(np.abs(history - middle)), least)
