"""Names of features, read back: which metric, which statistic, which window, and how a person calls them."""

from __future__ import annotations

__all__ = ["FeatureName", "called", "read_name"]

import re
from collections.abc import Collection
from typing import NamedTuple

from stability.features import STATISTICS
from stability.schema import metric_registry
from stability.schema.registry import base_name

NEAR = re.compile(r"(needs|users)_(mean|max)_(.+)")
EVENT = re.compile(r"(code|log|state|fault)_(.+)")
LEVEL = ("info", "warning", "error", "critical", "debug", "unknown", "fatal", "trace")
OWN = {"off": "own baseline", "z": "own baseline", "since": "time since", "count_of_all": "events"}
PREFIXES = ("system_", "process_", "machine_")  # every metric of a host, process or machine has them
UNITS = (  # ends of metrics' names that are units, the longer ones first
    "total",
    "meters_per_second_squared",
    "cubic_meters_per_second",
    "kilograms_per_second",
    "meters_per_second",
    "newton_meters",
    "pascals",
    "amperes",
    "celsius",
    "seconds",
    "degrees",
    "meters",
    "hertz",
    "bytes",
    "volts",
    "watts",
    "ratio",
    "raw",
)


class FeatureName(NamedTuple):
    """A feature's name in its parts.

    Parameters
    ----------
    metric : str
        Metric, kind of event, ``all``, or the whole name where it has no parts.
    statistic, window : str
        As in the name; ``last`` and ``now`` where it has no parts.
    kind : str
        Group of features that it belongs to.
    near : str
        ``needs`` or ``users`` where it is of the neighbours, else empty.
    joined : str
        ``mean`` or ``max`` of them, else empty.
    """

    metric: str
    statistic: str
    window: str
    kind: str
    near: str = ""
    joined: str = ""


def read_name(name: str, names: Collection[str] = ()) -> FeatureName:
    """Read a feature's name.

    Parameters
    ----------
    name : str
    names : collection of str
        All features: a count is of readings where the metric has other features than events have, else of events.

    Returns
    -------
    FeatureName

    Examples
    --------
    >>> read_name("net_total__device_eth0__mean__5min")[:4]
    ('net_total__device_eth0', 'mean', '5min', 'rolling statistic')
    >>> read_name("code_error1__count__1D").kind, read_name("age").kind
    ('events', 'given')
    >>> read_name("needs_max_load__last__now")[3:]
    ('neighbours', 'needs', 'max')
    """
    near = NEAR.fullmatch(name)
    if near:
        own = read_name(near[3], names)
        return own._replace(kind="neighbours", near=near[1], joined=near[2])
    parts = name.rsplit("__", 2)
    if len(parts) < 3 or not all(parts):
        return FeatureName(name, "last", "now", "given")
    metric, statistic, window = parts
    return FeatureName(metric, statistic, window, _kind(metric, statistic, window, names))


def _kind(metric: str, statistic: str, window: str, names: Collection[str]) -> str:
    if metric == "calendar":
        return "calendar"
    if window == "score":
        return "detector score"
    if window in ("regime", "season"):
        return "operating condition" if window == "regime" else "season"
    if statistic == "count":
        return "rolling statistic" if _is_metric(metric, names) else "events"
    if statistic == "last":
        return "value now" if window == "now" else "given"
    return OWN.get(statistic, "rolling statistic" if statistic in STATISTICS or statistic[0] == "q" else "given")


def _is_metric(metric: str, names: Collection[str]) -> bool:
    others = (f"{metric}__{s}__" for s in ("last", "mean", "std", "min", "max", "slope", "ewma"))
    return base_name(metric) in metric_registry() or any(str(n).startswith(tuple(others)) for n in names)


def called(metric: str) -> str:
    """Call a metric as a person would: without its unit, and without what all metrics of a machine begin with.

    Examples
    --------
    >>> called("machine_rotation_raw"), called("service_latency_seconds_p95"), called("system_network_io__device_eth0")
    ('rotation', 'service latency p95', 'network io (device eth0)')
    """
    base, *labels = metric.split("__")
    rate = base.endswith("_per_second") and not base.endswith(UNITS)
    base = base.removesuffix("_per_second") if rate else base
    quantile = re.search(r"_(p\d+|mean|bucket)$", base)
    base = base[: quantile.start()] if quantile else base
    for unit in UNITS:
        base = base.removesuffix(f"_{unit}")
    for prefix in PREFIXES:
        if base.startswith(prefix) and len(base) > len(prefix):
            base = base.removeprefix(prefix)
            break
    words = [base.replace("_", " "), *([quantile[1]] if quantile else [])]
    return " ".join(words) + (f" ({', '.join(label.replace('_', ' ') for label in labels)})" if labels else "")


def called_event(kind: str) -> str:
    """Call a kind of event, such as ``code_error1`` or ``state_replaced_comp1``, as a person would.

    Examples
    --------
    >>> called_event("code_error1"), called_event("log_error"), called_event("state_version"), called_event("fault")
    ('error1', 'log line of level error', "change 'version'", 'fault')
    """
    if kind == "other":
        return "event of a rare kind"
    if kind == "recovered":
        return "recovery"
    found = EVENT.fullmatch(kind)
    if not found:
        return kind.replace("_", " ")
    group, rest = found[1], found[2].replace("_", " ")
    if group == "log":
        return f"log line of level {rest}" if rest in LEVEL else f"log line like {rest}"
    return {"code": rest, "state": f"change '{rest}'", "fault": f"fault {rest}"}[group]
