"""What may befall an entity: the failure modes, and for each of them harmless events that move the same gauges."""

from __future__ import annotations

__all__ = ["BENIGN", "DRIVERS", "FAILURE_MODES", "GROWTH", "HOSTS", "SERVICES", "Mode"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

SERVICES = ("gateway", "model_server", "feature_store")
HOSTS = ("cpu_host", "gpu_host")

DRIVERS: Mapping[str, str] = MappingProxyType(
    {
        "work": "extra work of a request, as a share of its usual work",
        "delay": "s that each request waits for something outside the fleet",
        "errors": "probability that a request fails",
        "loss": "share of packets lost",
        "leak": "memory lost, as a share of what was free; the process is killed when all is gone",
        "cache": "memory used for good, as a share of what was free",
        "held": "file descriptors lost, as a share of those that were free",
        "kept": "file descriptors used for good, as a share of those that were free",
        "heat": "degrees Celsius that the cooling no longer takes away",
        "stolen": "share of a host's CPU that somebody else takes, whoever needs it",
        "spare": "share of a host's CPU that a job of low priority takes while nobody needs it",
        "fill": "disk lost, as a share of what was free",
        "scratch": "disk used for a while, as a share of what was free",
        "wrong": "probability that an answer is wrong",
        "drift": "population stability index by which the features have moved away from what the models learnt",
        "missing": "share of the feature values that are missing",
        "novelty": "population stability index of a shift that the models can take",
        "traffic": "extra demand, as a share of the usual one",
        "blind": "1 where the exporter gives no sample",
        "skew": "s by which a clock runs ahead",
    }
)
"""The quantities that events act on, and their units."""

GROWTH = ("leak", "held", "fill")  # these add up with the requests served, so a quiet night delays the end


@dataclass(frozen=True)
class Mode:
    """One kind of event.

    Parameters
    ----------
    meaning : str
        What happens, in a sentence.
    on : tuple of str
        Roles that it may befall; ``"entry"`` is a whole service that takes requests from outside.
    course : {'step', 'ramp', 'bursts', 'plateau', 'hump'}
        How the effects unfold between start and end (see `courses.shape`).
    minutes : tuple of (float, float)
        Shortest and longest duration that a random schedule draws, in min.
    effects : mapping of str to float
        Driver (see `DRIVERS`) and its size at intensity 1.
    precursor : bool
        Whether telemetry shows it, as a rule, before users can feel it.
    root_metrics : tuple of str
        Metrics of the root entity that are responsible, most responsible first.
    restarts : {'start', 'end', None}
        When the process is restarted: with the event (a release), or by its repair. On a host: one after the other of
        the processes that run there.
    state : str or None
        Name of the state that changes at the start.
    twin : str or None
        For a harmless event, the failure mode whose gauges it moves.
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
    twin: str | None = None


FAILURE_MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "memory_leak": Mode(
            "memory that requests do not give back; collection slows the process, then the kernel kills it",
            on=SERVICES,
            course="step",
            minutes=(40, 100),
            effects={"leak": 1.7},
            precursor=True,
            root_metrics=("process_resident_memory_bytes",),
            restarts="end",
        ),
        "cpu_saturation": Mode(
            "a runaway job takes the CPU of a host from all that runs there",
            on=HOSTS,
            course="ramp",
            minutes=(45, 105),
            effects={"stolen": 1.6},
            precursor=True,
            root_metrics=("system_cpu_utilization_ratio",),
        ),
        "gpu_throttling": Mode(
            "a fan wears out; the GPU gets hotter until it lowers its clock under load",
            on=("gpu_host",),
            course="ramp",
            minutes=(45, 105),
            effects={"heat": 85.0},
            precursor=True,
            root_metrics=("gpu_temperature_celsius", "gpu_sm_clock_hertz"),
        ),
        "slow_dependency": Mode(
            "the database behind a feature store answers later and later",
            on=("feature_store",),
            course="ramp",
            minutes=(40, 100),
            effects={"delay": 1.6},
            precursor=True,
            root_metrics=("http_server_request_duration_seconds_p99", "http_server_active_requests"),
        ),
        "connection_pool_exhaustion": Mode(
            "connections that are not given back; requests wait for one, then fail",
            on=SERVICES,
            course="step",
            minutes=(40, 100),
            effects={"held": 1.7},
            precursor=True,
            root_metrics=("process_open_fds",),
            restarts="end",
        ),
        "disk_full": Mode(
            "a file grows with every request until the disk is full; writes are slow, then fail",
            on=HOSTS,
            course="step",
            minutes=(45, 105),
            effects={"fill": 1.5},
            precursor=True,
            root_metrics=("system_filesystem_utilization_ratio",),
        ),
        "bad_configuration": Mode(
            "a new configuration makes requests dearer and some of them fail",
            on=SERVICES,
            course="step",
            minutes=(20, 60),
            effects={"work": 0.5, "errors": 0.05},
            root_metrics=("http_server_errors_total", "process_cpu_seconds_total"),
            state="config_hash",
        ),
        "bad_model_version": Mode(
            "a new version of the model, rolled out in stages, answers as fast as before and more often wrong",
            on=("model_server",),
            course="step",
            minutes=(25, 100),
            effects={"wrong": 0.42},
            precursor=True,
            root_metrics=("model_prediction_quality_ratio",),
            restarts="start",
            state="model_version",
        ),
        "data_drift_upstream": Mode(
            "what comes from upstream changes: features move and some are missing, so the models answer wrong",
            on=("feature_store",),
            course="ramp",
            minutes=(40, 95),
            effects={"drift": 0.8, "missing": 0.11},
            precursor=True,
            root_metrics=("feature_drift_psi", "feature_missing_ratio"),
        ),
        "network_loss": Mode(
            "a link drops more and more packets; what runs on the host waits for retransmissions",
            on=HOSTS,
            course="ramp",
            minutes=(40, 95),
            effects={"loss": 0.065},
            precursor=True,
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
            "a new configuration that costs a little and that nobody feels",
            on=SERVICES,
            course="step",
            minutes=(30, 150),
            effects={"work": 0.1, "errors": 0.003},
            state="config_hash",
            twin="bad_configuration",
        ),
        "model_release": Mode(
            "a new version of the model that is as good as the old one",
            on=("model_server",),
            course="step",
            minutes=(20, 90),
            effects={"wrong": 0.012},
            restarts="start",
            state="model_version",
            twin="bad_model_version",
        ),
        "campaign": Mode(
            "more requests from outside for some hours",
            on=("entry",),
            course="hump",
            minutes=(60, 240),
            effects={"traffic": 0.18},
        ),
        "maintenance": Mode(
            "a host gets a new kernel; what runs there is restarted, one process after the other",
            on=HOSTS,
            course="step",
            minutes=(15, 60),
            restarts="start",
            state="kernel_version",
        ),
        "cache_growth": Mode(
            "a cache fills, stays full and is flushed in the end: a leak that is none",
            on=SERVICES,
            course="plateau",
            minutes=(120, 600),
            effects={"cache": 0.5},
            twin="memory_leak",
        ),
        "idle_clients": Mode(
            "clients keep more connections open than they use, and close them in the end",
            on=SERVICES,
            course="plateau",
            minutes=(90, 480),
            effects={"kept": 0.4},
            twin="connection_pool_exhaustion",
        ),
        "batch_job": Mode(
            "a job of low priority takes the CPU that nobody needs, and disk for its files until it is done",
            on=HOSTS,
            course="hump",
            minutes=(40, 240),
            effects={"spare": 0.75, "scratch": 0.6},
            twin="cpu_saturation",
        ),
        "backup": Mode(
            "a copy is written to the disk, sent away and removed",
            on=HOSTS,
            course="plateau",
            minutes=(60, 300),
            effects={"scratch": 0.75, "spare": 0.1},
            twin="disk_full",
        ),
        "warm_hall": Mode(
            "the hall gets warmer for some hours, and the cooling copes",
            on=("gpu_host",),
            course="hump",
            minutes=(120, 480),
            effects={"heat": 16.0},
            twin="gpu_throttling",
        ),
        "index_rebuild": Mode(
            "the database rebuilds an index and answers a little later, on and off",
            on=("feature_store",),
            course="bursts",
            minutes=(20, 120),
            effects={"delay": 0.12},
            twin="slow_dependency",
        ),
        "new_audience": Mode(
            "other people come and ask for other things; features move and the answers stay right",
            on=("feature_store",),
            course="hump",
            minutes=(120, 480),
            effects={"novelty": 0.5, "missing": 0.008},
            twin="data_drift_upstream",
        ),
        "line_noise": Mode(
            "a cable counts errors that retransmission hides",
            on=HOSTS,
            course="bursts",
            minutes=(15, 90),
            effects={"loss": 0.0015},
            twin="network_loss",
        ),
        "sensor_gap": Mode(
            "the exporter is silent while the service answers",
            on=SERVICES + HOSTS,
            course="step",
            minutes=(3, 40),
            effects={"blind": 1.0},
        ),
        "clock_skew": Mode(
            "a clock runs ahead; telemetry and log lines of the entity carry times that are too late",
            on=SERVICES + HOSTS,
            course="step",
            minutes=(60, 360),
            effects={"skew": 90.0},
        ),
    }
)
"""Name of every harmless event and what it does."""
