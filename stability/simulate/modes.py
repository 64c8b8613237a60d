"""What may befall an entity: the failure modes, and the harmless events that look like them."""

from __future__ import annotations

__all__ = ["BENIGN", "DRIVERS", "FAILURE_MODES", "Mode", "shape"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

SERVICES = ("gateway", "model_server", "feature_store")
HOSTS = ("cpu_host", "gpu_host")

DRIVERS: Mapping[str, str] = MappingProxyType(
    {
        "work": "extra work of a request, as a share of its usual work",
        "delay": "s that each request waits for something outside the fleet",
        "errors": "probability that a request fails",
        "loss": "share of packets lost",
        "leak": "memory lost, as a share of what was free; the process is killed when all is gone",
        "held": "file descriptors lost, as a share of those that were free",
        "heat": "degrees Celsius that the cooling no longer takes away",
        "cache": "memory used for good, as a share of what was free",
        "traffic": "extra demand, as a share of the usual one",
        "blind": "1 where the exporter gives no sample",
    }
)
"""The quantities that events act on, and their units."""

GROWTH = ("leak", "held")  # these add up with the requests served, so a quiet night delays the end


@dataclass(frozen=True)
class Mode:
    """One kind of event.

    Parameters
    ----------
    meaning : str
        What happens, in a sentence.
    on : tuple of str
        Roles that it may befall; ``"entry"`` is a whole service that takes requests from outside.
    effects : mapping of str to float
        Driver (see `DRIVERS`) and its size at intensity 1.
    course : {'step', 'ramp', 'bursts', 'plateau', 'hump'}
        How the effects unfold between start and end (see `shape`).
    precursor : bool
        Whether telemetry shows it before users can feel it.
    root_metrics : tuple of str
        Metrics of the root entity that are responsible, most responsible first.
    minutes : tuple of (float, float)
        Shortest and longest duration that a random schedule draws, in min.
    restarts : {'start', 'end', None}
        When the process is restarted: with the event (a release), or by its repair.
    state : str or None
        Name of the state that changes at the start.
    """

    meaning: str
    on: tuple[str, ...]
    course: str
    minutes: tuple[float, float]
    effects: Mapping[str, float] = field(default_factory=dict)
    precursor: bool = False
    root_metrics: tuple[str, ...] = ()
    restarts: str | None = None
    state: str | None = None


FAILURE_MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "memory_leak": Mode(
            "memory that requests do not give back; collection slows the process, then the kernel kills it",
            on=SERVICES,
            course="step",
            minutes=(100, 260),
            effects={"leak": 1.4},
            precursor=True,
            root_metrics=("process_resident_memory_bytes",),
            restarts="end",
        ),
        "connection_pool_exhaustion": Mode(
            "connections that are not given back; requests wait for one, then fail",
            on=SERVICES,
            course="step",
            minutes=(80, 240),
            effects={"held": 1.4},
            precursor=True,
            root_metrics=("process_open_fds",),
            restarts="end",
        ),
        "gpu_throttling": Mode(
            "a fan wears out; the GPU gets hotter until it lowers its clock under load",
            on=("gpu_host",),
            course="ramp",
            minutes=(100, 260),
            effects={"heat": 44.0},
            precursor=True,
            root_metrics=("gpu_temperature_celsius", "gpu_sm_clock_hertz"),
        ),
        "bad_configuration": Mode(
            "a new configuration makes requests dearer and some of them fail",
            on=SERVICES,
            course="step",
            minutes=(20, 100),
            effects={"work": 0.5, "errors": 0.05},
            root_metrics=("http_server_errors_total", "process_cpu_seconds_total"),
            state="config_hash",
        ),
        "slow_dependency": Mode(
            "the database behind a feature store answers late, on and off",
            on=("feature_store",),
            course="bursts",
            minutes=(25, 120),
            effects={"delay": 1.6},
            root_metrics=("http_server_request_duration_seconds_p99", "http_server_active_requests"),
        ),
        "network_loss": Mode(
            "a link drops packets; what runs on the host waits for retransmissions",
            on=HOSTS,
            course="bursts",
            minutes=(15, 90),
            effects={"loss": 0.06},
            root_metrics=("system_network_errors_total",),
        ),
    }
)
"""Name of every failure mode and what it does."""

BENIGN: Mapping[str, Mode] = MappingProxyType(
    {
        "release": Mode(
            "a new version: one restart, then some minutes with cold caches",
            on=SERVICES,
            course="step",
            minutes=(1, 1),
            restarts="start",
            state="version",
        ),
        "config_change": Mode(
            "a new configuration that changes nothing for users",
            on=SERVICES,
            course="step",
            minutes=(1, 1),
            state="config_hash",
        ),
        "campaign": Mode(
            "more requests from outside for some hours",
            on=("entry",),
            course="hump",
            minutes=(60, 240),
            effects={"traffic": 0.18},
        ),
        "cache_growth": Mode(
            "a cache fills, stays full and is flushed in the end: a leak that is none",
            on=SERVICES,
            course="plateau",
            minutes=(180, 600),
            effects={"cache": 0.4},
        ),
        "sensor_gap": Mode(
            "the exporter is silent while the service answers",
            on=SERVICES + HOSTS,
            course="step",
            minutes=(3, 40),
            effects={"blind": 1.0},
        ),
    }
)
"""Name of every harmless event and what it does."""

RISE = 0.85  # share of its duration that a ramp needs to full strength: some time is left at the top
EDGE = 0.15  # share of its duration that a hump rises, and falls
FILL = 4.0  # a plateau is an exponential approach with this many time constants in its duration
BURST_MINUTES = 6.0  # mean length of a burst
PAUSE_MINUTES = 2.0  # mean length of the pause between two
LEAST_BURST = 0.3  # the weakest burst against the strongest


def shape(course: str, progress: np.ndarray, minutes: float, rng: np.random.Generator) -> np.ndarray:
    """Unfold an event over its duration.

    Parameters
    ----------
    course : {'step', 'ramp', 'bursts', 'plateau', 'hump'}
        Full from the first moment; growing steadily; on and off; filling up; up and down again.
    progress : ndarray of float64, shape (n,)
        Share of the duration that has passed, 0 to 1.
    minutes : float
        The duration, in min.
    rng : numpy.random.Generator
        Draws the bursts.

    Returns
    -------
    ndarray of float64, shape (n,), from 0 to 1

    Examples
    --------
    >>> shape("ramp", np.array([0.0, 0.425, 0.85, 1.0]), 60, np.random.default_rng(0)).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    if course == "step":
        return np.ones_like(progress)
    if course == "ramp":
        return np.minimum(progress / RISE, 1.0)
    if course == "plateau":
        return 1 - np.exp(-FILL * progress)
    if course == "hump":
        return np.clip(np.minimum(progress, 1 - progress) / EDGE, 0.0, 1.0)
    # Bursts: alternating exponential times on and off, enough of them to cover the duration, on first.
    pairs = int(np.ceil(3 * minutes / (BURST_MINUTES + PAUSE_MINUTES))) + 8
    lengths = np.column_stack([rng.exponential(BURST_MINUTES, pairs), rng.exponential(PAUSE_MINUTES, pairs)])
    switches = np.cumsum(lengths.ravel()) / minutes
    phase = np.searchsorted(switches, progress, side="right")
    heights = rng.uniform(LEAST_BURST, 1.0, pairs + 1)
    return np.where(phase % 2 == 0, heights[np.minimum(phase // 2, pairs)], 0.0)
