"""What may befall the service: the failure modes, and for most of them a harmless event that moves the same gauges."""

from __future__ import annotations

__all__ = ["BENIGN", "ENTITIES", "FAILURE_MODES", "REPLICAS", "Mode"]

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

REPLICAS = ("model-a", "model-b")
ENTITIES = ("users", "gateway", *REPLICAS, "feature-store", "host")


@dataclass(frozen=True)
class Mode:
    """One kind of event.

    Parameters
    ----------
    meaning : str
        What happens, in a sentence; what an intensity of 1 is.
    on : tuple of str
        Entities that it may befall.
    course : {'step', 'ramp'}
        Whether it is there at once, or grows from nothing to its whole intensity over its duration.
    seconds : tuple of (float, float)
        Shortest and longest duration that a plan draws, in s.
    root_metrics : tuple of str
        Metrics of the entity that are responsible, most responsible first.
    twin : str or None
        For a harmless event, the failure mode whose gauges or states it moves.
    """

    meaning: str
    on: tuple[str, ...]
    course: str
    seconds: tuple[float, float]
    root_metrics: tuple[str, ...] = ()
    twin: str | None = None


FAILURE_MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "memory_leak": Mode(
            "objects that requests do not give back; collections stop the process, then its memory cap is reached",
            on=REPLICAS,
            course="ramp",
            seconds=(45, 65),
            root_metrics=("process_resident_memory_bytes",),
        ),
        "cpu_saturation": Mode(
            "runaway threads inside the process compete with its event loop for the interpreter",
            on=(*REPLICAS, "gateway", "feature-store"),
            course="ramp",
            seconds=(40, 54),
            root_metrics=("process_cpu_seconds_total", "process_threads"),
        ),
        "slow_dependency": Mode(
            "the feature store answers later and later",
            on=("feature-store",),
            course="ramp",
            seconds=(40, 56),
            root_metrics=("http_server_request_duration_seconds_p99", "http_server_request_duration_seconds_p50"),
        ),
        "connection_pool_exhaustion": Mode(
            "connections to the feature store that are not given back; requests wait for one, then fail",
            on=REPLICAS,
            course="ramp",
            seconds=(40, 56),
            root_metrics=("db_client_connections_used", "db_client_connections_pending_requests"),
        ),
        "descriptor_leak": Mode(
            "files that are opened and never closed, up to the limit of the process; then nothing can be opened",
            on=REPLICAS,
            course="ramp",
            seconds=(42, 60),
            root_metrics=("process_open_fds",),
        ),
        "disk_full": Mode(
            "a debug file grows until the replica's small disk is full; what every answer must write fails",
            on=REPLICAS,
            course="ramp",
            seconds=(42, 60),
            root_metrics=("system_filesystem_utilization_ratio",),
        ),
        "bad_configuration": Mode(
            "a configuration is reloaded that makes requests wait for a batch, or gives up on features too early",
            on=REPLICAS,
            course="step",
            seconds=(40, 48),
            root_metrics=("http_server_request_duration_seconds_p99", "model_queue_depth", "http_server_errors_total"),
        ),
        "bad_model_version": Mode(
            "a version is loaded that answers as fast and as surely as before, and more often wrong",
            on=REPLICAS,
            course="step",
            seconds=(42, 52),
            root_metrics=("model_prediction_quality_ratio",),
        ),
        "replica_crash": Mode(
            "the process is killed, and again whenever it is back, until the end",
            on=REPLICAS,
            course="step",
            seconds=(40, 48),
            root_metrics=("up", "process_cpu_seconds_total"),
        ),
        "network_loss": Mode(
            "on the way back answers are dropped, and others come late",
            on=(*REPLICAS, "feature-store"),
            course="step",
            seconds=(40, 48),
            root_metrics=("http_server_request_duration_seconds_p99", "http_server_active_requests"),
        ),
        "cache_stampede": Mode(
            "cached blocks of features expire at once, again and again, and every request fetches its block by itself",
            on=REPLICAS,
            course="step",
            seconds=(40, 48),
            root_metrics=("model_cache_hit_ratio", "db_client_connections_used"),
        ),
        "stale_features": Mode(
            "the feature store answers in time with the rows of other items",
            on=("feature-store",),
            course="step",
            seconds=(42, 52),
        ),
        "event_loop_stall": Mode(
            "blocking calls stop the gateway's event loop, longer and longer",
            on=("gateway",),
            course="ramp",
            seconds=(45, 58),
            root_metrics=("http_server_request_duration_seconds_p99", "http_server_active_requests"),
        ),
    }
)
"""Name of every failure mode and what it does."""

BENIGN: Mapping[str, Mode] = MappingProxyType(
    {
        "model_release": Mode(
            "a version of the model that answers as well as the one before is loaded, and stays",
            on=REPLICAS,
            course="step",
            seconds=(20, 40),
            twin="bad_model_version",
        ),
        "config_change": Mode(
            "a configuration that serves as well as the one before is reloaded, and stays",
            on=REPLICAS,
            course="step",
            seconds=(20, 40),
            twin="bad_configuration",
        ),
        "maintenance": Mode(
            "a replica is drained, restarted, and takes requests again",
            on=REPLICAS,
            course="step",
            seconds=(20, 40),
            twin="replica_crash",
        ),
        "campaign": Mode(
            "more users come for a while, and capacity holds",
            on=("users",),
            course="step",
            seconds=(40, 70),
            twin="cpu_saturation",
        ),
        "cache_warm_up": Mode(
            "the cache is emptied once and fills again, each block fetched once",
            on=REPLICAS,
            course="step",
            seconds=(20, 40),
            twin="cache_stampede",
        ),
        "cache_growth": Mode(
            "a cache of results grows to its limit and is dropped at the end",
            on=REPLICAS,
            course="ramp",
            seconds=(40, 70),
            twin="memory_leak",
        ),
        "idle_clients": Mode(
            "idle connections hold descriptors for a while",
            on=REPLICAS,
            course="ramp",
            seconds=(30, 60),
            twin="descriptor_leak",
        ),
        "backup": Mode(
            "a copy is written to the replica's disk and removed",
            on=REPLICAS,
            course="ramp",
            seconds=(30, 60),
            twin="disk_full",
        ),
        "batch_job": Mode(
            "a job of the lowest priority takes the CPU that nobody needs",
            on=("host",),
            course="step",
            seconds=(30, 60),
            twin="cpu_saturation",
        ),
        "index_rebuild": Mode(
            "the feature store answers a little later",
            on=("feature-store",),
            course="step",
            seconds=(30, 60),
            twin="slow_dependency",
        ),
        "sensor_gap": Mode(
            "the metrics of a process are not to be had while it serves",
            on=("gateway", *REPLICAS, "feature-store"),
            course="step",
            seconds=(10, 30),
            twin="replica_crash",
        ),
        "clock_skew": Mode(
            "the clock that stamps a replica's log lines runs ahead by a minute and a half",
            on=REPLICAS,
            course="step",
            seconds=(40, 70),
        ),
    }
)
"""Name of every harmless event and what it does."""
