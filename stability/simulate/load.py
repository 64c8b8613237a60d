"""Requests from outside: day, week, growth, noise and bursts."""

from __future__ import annotations

__all__ = ["demand", "season"]

import numpy as np
import pandas as pd

from stability.simulate.scenario import Load, Scenario
from stability.simulate.streams import autocorrelated, regional, shots, stream

DAY = 86_400.0
SECOND_HARMONIC = 0.3  # of the day's swing: gives the morning shoulder and the evening one that user traffic has
NOISE_MEMORY_S = 2_700.0  # what the crowd does now it still does in 45 minutes
BURSTS_A_DAY = 8.0
BURST_HEIGHT = 0.12  # share of the demand
BURST_MEMORY_S = 300.0
WEEKEND_EDGE_H = 3.0  # a weekend or a holiday begins and ends over some hours


def season(load: Load, hours: np.ndarray, holidays: tuple[float, ...] = ()) -> np.ndarray:
    """Give the regular part of the load: the shape of the day, the weekend, holidays.

    Parameters
    ----------
    load : Load
        See its docstring.
    hours : ndarray of float64, shape (n,)
        Hours since a Monday 00:00 UTC, of any week.
    holidays : tuple of float
        Days that are like a weekend, each by its first hour on the scale of `hours`.

    Returns
    -------
    ndarray of float64, shape (n,)
        Requests/s.

    Examples
    --------
    >>> flat = Load(mean=10, daily=0, weekend=0)
    >>> season(flat, np.array([0.0, 100.0])).tolist()
    [10.0, 10.0]
    >>> season(Load(mean=10, daily=0.5), np.arange(24.0)).argmax().item()
    15
    """
    turn = 2 * np.pi * (hours - load.peak_hour) / 24
    day = np.cos(turn) + SECOND_HARMONIC * np.cos(2 * turn)
    edge = WEEKEND_EDGE_H / 2
    weekend = np.interp(hours % 168, [edge, 120 - edge, 120 + edge, 168 - edge], [0.0, 0.0, 1.0, 1.0], period=168)
    for first in holidays:
        off = np.interp(hours - first, [-edge, edge, 24 - edge, 24 + edge], [0.0, 1.0, 1.0, 0.0], left=0.0, right=0.0)
        weekend = np.maximum(weekend, off)
    return load.mean * (1 + load.daily * day / (1 + SECOND_HARMONIC)) * (1 - load.weekend * weekend)


def demand(scenario: Scenario, seed: int, length: int, traffic: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Draw what users ask of each service that takes requests from outside.

    Parameters
    ----------
    scenario : Scenario
        The fleet.
    seed : int
        The seed.
    length : int
        Samples.
    traffic : dict of str to ndarray of float64, shape (length,)
        Extra demand by campaigns, as a share, for the services that have some.

    Returns
    -------
    dict of str to ndarray of float64, shape (length,)
        Requests/s by service.
    """
    seconds = np.arange(length) * scenario.step
    monday = scenario.start.normalize() - np.timedelta64(scenario.start.dayofweek, "D")
    hours = ((scenario.start - monday).total_seconds() + seconds) / 3600
    holidays = tuple((pd.Timestamp(day, tz="UTC") - monday).total_seconds() / 3600 for day in scenario.holidays)
    memory = float(np.exp(-scenario.step / NOISE_MEMORY_S))
    asked = {}
    for name, service in scenario.services.items():
        load = service.load
        if load is None:
            continue
        own = autocorrelated(seed, "crowd", [name], length, memory=memory, sigma=load.noise)[0]
        common = regional(seed, "crowd", [service.region], length, memory=memory, sigma=load.noise)[0]
        slow = np.sqrt(1 - load.common) * own + np.sqrt(load.common) * common
        quick = autocorrelated(seed, "flicker", [name], length, memory=0.3, sigma=load.noise / 2, tail=5)[0]
        bursts = shots(
            stream(seed, "bursts", name),
            length,
            chance=BURSTS_A_DAY * scenario.step / DAY,
            height=BURST_HEIGHT,
            memory=float(np.exp(-scenario.step / BURST_MEMORY_S)),
        )
        growth = np.exp(load.growth * seconds / DAY)
        extra = (1 + bursts) * (1 + traffic.get(name, 0.0))
        asked[name] = season(load, hours, holidays) * growth * np.exp(slow + quick) * extra
    return asked
