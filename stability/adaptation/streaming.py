"""Drift row by row: river's detectors, and windows of the population stability index, on what a reference taught.

A detector sees one number after another and never later ones. What it sees is a channel of the series, made with what
the reference period taught: "level", distances from the middle (or from the phase of the season) in deviations, or
"spread", the size of these distances. Rows depend on each other, which every detector takes for change; so the
channel's values are means of blocks of `BLOCK` memories of the reference (`thin`), unless told otherwise.

Sources: ADWIN, Bifet and Gavalda (2007), doi 10.1137/1.9781611972771.42; KSWIN, Raab, Heusinger and Schleif (2020),
doi 10.1016/j.neucom.2019.11.111; Page (1954), doi 10.1093/biomet/41.1-2.100; all from river. Its detectors of wrong
decisions (DDM and what followed it) ask for errors that are independent of each other, which those of neighbouring rows
are not: for performance, give ADWIN the losses (`performance.losses`) on a channel.
"""

from __future__ import annotations

__all__ = ["CHANNELS", "DETECTORS", "SETTINGS", "Channel", "PsiWindow", "changes", "flags"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from river import drift as river

from stability.adaptation.chance import Null, block_of, memory, null_of
from stability.adaptation.population import Bins, psi
from stability.adaptation.seasonal import Seasonal
from stability.evaluation import NotEnoughEvidence
from stability.evaluation.spans import index_arrays
from stability.schema import ContractError, one_of

CHANNELS = ("level", "spread")
DETECTORS = {
    "adwin": river.ADWIN,
    "kswin": river.KSWIN,
    "page_hinkley": river.PageHinkley,
}
# Of a channel's values, which are in deviations and nearly independent; river's own (0.005 and 50) are for no scale in
# particular. A shift of half a deviation is worth knowing, and half of that is let go, by Page's rule. Normal values
# without drift pass 20 about once in 7,000 of them, counted over 500,000.
SETTINGS = {"page_hinkley": {"delta": 0.25, "threshold": 20.0, "min_instances": 30}}


class Channel:
    """What a detector sees of a series.

    Parameters
    ----------
    kind : {"level", "spread"}
    season : float, optional
        In s, as of `drift`.
    thin : int, optional
        Rows of a block whose mean is one value; by the memory of the reference without it, 1 takes every row.

    Attributes
    ----------
    thin_ : int
    reference_ : array of float
        The channel of the reference itself.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> stamps = pd.date_range("2026-01-01", periods=1000, freq="s", tz="UTC", unit="us")
    >>> series = pd.Series(rng.normal(5, 2, size=1000), index=stamps)
    >>> own = Channel(thin=10).learn(series[:500])
    >>> own.of(series[500:]).size, bool(abs(own.of(series[500:]).mean()) < 0.5)
    (50, True)
    """

    def __init__(self, kind: str = "level", *, season: float | None = None, thin: int | None = None) -> None:
        self.kind, self.season, self.thin = one_of(kind, CHANNELS, "channel"), season, thin

    def learn(self, reference: pd.Series) -> Channel:
        """Learn the middle, the spread and the memory of a reference period.

        Raises
        ------
        NotEnoughEvidence
            When it does not vary, or is too short for its memory or its season.
        """
        times, values = _arrays(reference)
        there = ~np.isnan(values)
        if len(np.unique(values[there])) < 2:
            raise NotEnoughEvidence("The reference does not vary: whatever it changes into, no deviation measures it.")
        if self.season is None:
            self._seasonal, self._middle = None, float(np.median(values[there]))
            scaled = values - self._middle
        else:
            self._seasonal = Seasonal(self.season).learn(times, values)
            scaled = self._seasonal.residuals_
        signal = self._signal(scaled)
        self.thin_ = self.thin or block_of(memory(signal), len(signal), most=len(signal))
        means = _means(signal, self.thin_)
        known = means[~np.isnan(means)]
        if len(known) < 2 or not known.std() > 0:
            raise NotEnoughEvidence(
                f"The reference has {len(known)} blocks of {self.thin_} rows that vary: give a longer one."
            )
        self._centre, self._scale = float(known.mean()), float(known.std(ddof=1))
        self.reference_ = (known - self._centre) / self._scale
        return self

    def of(self, series: pd.Series) -> np.ndarray:
        """Give the channel of later rows: one number for each whole block, NaN where all of it is missing."""
        if not hasattr(self, "thin_"):
            raise ContractError("Channel has learnt nothing yet", remedy="call learn(reference)")
        times, values = _arrays(series)
        scaled = values - self._middle if self._seasonal is None else self._seasonal.apply(times, values)
        return (_means(self._signal(scaled), self.thin_) - self._centre) / self._scale

    def _signal(self, scaled: np.ndarray) -> np.ndarray:
        return np.abs(scaled) if self.kind == "spread" else scaled


class PsiWindow:
    """The population stability index of the last `width` values, at the end of each such window, in river's manner.

    Parameters
    ----------
    reference : array of float
        Values without drift.
    width : int
        Values of a window.
    level : float
        Share of windows without drift that are flagged.
    bins : int
        Few: a window has few values.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> window = PsiWindow(rng.normal(size=500), width=20)
    >>> int(flags(rng.normal(size=200), window).sum()), int(flags(rng.normal(2, 1, size=200), window).sum())
    (0, 10)
    """

    def __init__(self, reference: np.ndarray, width: int = 30, *, level: float = 0.001, bins: int = 5) -> None:
        reference = np.asarray(reference, dtype="float64")
        self._bins = Bins.learn(reference, bins)
        places = self._bins.place(reference)
        remembered = memory(reference)
        length = block_of(remembered, len(reference), most=len(reference))
        count = len(reference) // length
        blocks = np.zeros((count, 1, self._bins.size))
        there = places[: count * length]
        np.add.at(blocks, (np.repeat(np.arange(count), length)[there >= 0], 0, there[there >= 0]), 1)
        null: Null = null_of(blocks, max(round(width / length), 1), remembered / (2 * length))
        self.threshold = float(null.threshold(level)[0])
        self._then = np.bincount(places[places >= 0], minlength=self._bins.size)
        self.width, self.drift_detected, self._now = width, False, []

    def update(self, value: float) -> None:
        """See one more value."""
        self._now.append(value)
        self.drift_detected = False
        if len(self._now) == self.width:
            now = np.bincount(self._bins.place(np.array(self._now)), minlength=self._bins.size)
            self.drift_detected, self._now = bool(psi(self._then, now) > self.threshold), []


def flags(values: np.ndarray, detector: Any) -> np.ndarray:
    """Say after which values a detector speaks of a change.

    Parameters
    ----------
    values : array of float, shape (n,)
        In time's order; missing ones are not shown to it.
    detector
        With `update(value)` and `drift_detected`: one of river, or a `PsiWindow`; it goes on from where it was.

    Returns
    -------
    array of bool, shape (n,)
        Of the first k values it does not change when more follow.

    Examples
    --------
    >>> values = np.repeat([0.0, 1.0], 200) + np.tile([-0.1, 0.1], 200)
    >>> np.flatnonzero(flags(values, river.ADWIN()))[0] > 200
    np.True_
    """
    found = np.zeros(len(values), dtype=bool)
    for k, value in enumerate(np.asarray(values, dtype="float64").tolist()):
        if value == value:  # not missing
            detector.update(value)
            found[k] = detector.drift_detected
    return found


def changes(
    series: pd.Series, channel: Channel, detector: str = "adwin", settings: Mapping[str, Any] | None = None
) -> pd.DatetimeIndex:
    """Say when a series changed, as it would have been known row by row.

    Parameters
    ----------
    series : Series of float64, index timestamp
        After the reference.
    channel : Channel
        That has learnt the reference.
    detector : str
        One of `DETECTORS`, or "psi".
    settings : mapping, optional
        Of the detector, beside `SETTINGS`.

    Returns
    -------
    DatetimeIndex
        The last row of each block after which the detector spoke.

    Raises
    ------
    ContractError
        For a detector that there is not.
    """
    one_of(detector, [*DETECTORS, "psi"], "detector")
    own = SETTINGS.get(detector, {}) | dict(settings or {})
    made = PsiWindow(channel.reference_, **own) if detector == "psi" else DETECTORS[detector](**own)
    found = np.flatnonzero(flags(channel.of(series), made))
    stamps = series.index.get_level_values(-1)
    return pd.DatetimeIndex(stamps[np.minimum((found + 1) * channel.thin_, len(stamps)) - 1])


def _arrays(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    _, times, entities = index_arrays(series.index)
    if len(entities) > 1:
        raise ContractError(column="series", expected="one entity", got=", ".join(map(str, entities[:5])))
    return times / 1e6, series.to_numpy(dtype="float64")


def _means(values: np.ndarray, length: int) -> np.ndarray:
    """Mean of each whole block; NaN where all of it is missing."""
    rows = values[: len(values) // length * length].reshape(-1, length)
    there = ~np.isnan(rows)
    with np.errstate(invalid="ignore"):
        return np.where(there, rows, 0.0).sum(axis=1) / there.sum(axis=1)
