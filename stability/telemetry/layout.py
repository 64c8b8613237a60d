"""Which column of a table is what: the options of a reading, and the one rule that finds the columns' roles."""

from __future__ import annotations

__all__ = ["Options", "Roles", "find_roles", "metric_names"]

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stability.schema import ContractError, metric_registry, nearest

# Names by which a column's role is known, compared without regard to case. They are few on purpose: a name that could
# as well be a metric is for the reader of the file to say.
TIMESTAMP_NAMES = ("timestamp", "time", "datetime", "date", "ts", "@timestamp", "_time")
ENTITY_NAMES = ("entity", "instance", "host", "hostname", "machine", "machine_id", "machineid", "node", "server")
METRIC_NAMES = ("metric", "metric_name", "__name__")
VALUE_NAMES = ("value",)
SHOWN = 10  # names that an error lists
CHOICES = {
    "layout": ("auto", "wide", "long"),
    "ambiguous": ("error", "earlier", "later", "infer"),
    "nonexistent": ("error", "shift_forward"),
    "duplicates": ("error", "first", "last", "mean"),
    "unsorted": ("sort", "error"),
    "infinite": ("error", "missing"),
    "decimal": (".", ","),
}


@dataclass(frozen=True)
class Options:
    """What the caller of `read` said about the files; see there for the meaning of each.

    Examples
    --------
    >>> Options(layout="tall")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: column 'layout': expected one of auto, wide, long, got 'tall'. ...
    """

    layout: str = "auto"
    entity: str | None = None
    timestamp: str | None = None
    metric: str | None = None
    value: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    timezone: str | None = None
    timestamp_format: str | None = None
    ambiguous: str = "error"
    nonexistent: str = "error"
    duplicates: str = "error"
    unsorted: str = "sort"
    infinite: str = "error"
    decimal: str = "."

    def __post_init__(self):
        for name, known in CHOICES.items():
            got: Any = getattr(self, name)
            if got not in known:
                remedy = nearest(str(got), known)
                raise ContractError(
                    column=name, expected=f"one of {', '.join(known)}", got=repr(got), remedy=f"name one: {remedy}"
                )
        for name in ("entity", "timestamp", "metric", "value", "timezone", "timestamp_format"):
            got = getattr(self, name)
            if not (got is None or (isinstance(got, str) and got)):
                raise ContractError(
                    column=name, expected="a text", got=repr(got), remedy=f"{name}='...', or leave it out"
                )
        for name in ("columns", "scale"):
            if not isinstance(getattr(self, name) or {}, Mapping):
                raise ContractError(
                    column=name,
                    expected="a mapping by name",
                    got=repr(getattr(self, name)),
                    remedy=f"{name}={{'name': ...}}",
                )
            object.__setattr__(self, name, dict(getattr(self, name) or {}))
        for name, factor in self.scale.items():
            if (
                isinstance(factor, bool)
                or not isinstance(factor, int | float)
                or not math.isfinite(factor)
                or not factor
            ):
                expected = f"a factor for {name!r}, such as 0.01 for percent"
                remedy = "a number that is neither zero nor infinite"
                raise ContractError(column="scale", expected=expected, got=repr(factor), remedy=remedy)


@dataclass(frozen=True)
class Roles:
    """What each column is.

    Parameters
    ----------
    layout : {"wide", "long"}
        A column a metric, or a row a metric's value.
    timestamp : str
        Column of the stamps.
    entity : str or None
        Column of the entities.
    metric, value : str or None
        Columns of the long layout.
    metrics : tuple of str
        Columns of the wide layout that hold metrics.
    header : tuple of str
        All columns of the file.
    """

    layout: str
    timestamp: str
    entity: str | None = None
    metric: str | None = None
    value: str | None = None
    metrics: tuple[str, ...] = ()
    header: tuple[str, ...] = ()


def find_roles(columns: Iterable[str], options: Options, *, file: str = "") -> Roles:
    """Find which column is the time, which the entity, and whether the table is wide or long.

    A role is played by the column that the options name; else by the one called as the contract calls it
    (``timestamp``, ``entity``, ``metric``, ``value``); else by the only one with a usual name. The table is long when
    it has a column of metric names and one of values and nothing else beside time and entity; it is wide when it has
    no column of metric names. Anything between is ambiguous and refused.

    Parameters
    ----------
    columns : iterable of str
        Names in the file's header.
    options : Options
        What the caller said.
    file : str
        For the error.

    Returns
    -------
    Roles

    Raises
    ------
    ContractError
        A column is missing, or two could play one role.

    Examples
    --------
    >>> find_roles(["time", "host", "cpu_ratio", "memory_bytes"], Options()).metrics
    ('cpu_ratio', 'memory_bytes')
    >>> find_roles(["timestamp", "metric", "value"], Options()).layout
    'long'
    >>> find_roles(["time", "date", "cpu_ratio"], Options(), file="cpu.csv")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: cpu.csv: expected one column of timestamps, got 'time', 'date'.
    Remedy: name it with timestamp='time', and leave others out with columns={'date': None}.
    """
    header = tuple(columns)
    names = [name for name in header if options.columns.get(name, name) is not None]
    timestamp = _role("timestamp", TIMESTAMP_NAMES, "timestamps", names, options, file)
    if timestamp is None:
        raise ContractError(
            file=file,
            expected=f"a column of timestamps (usual names: {', '.join(TIMESTAMP_NAMES)})",
            got=f"the columns {_list(names)}",
            remedy="name it with timestamp='...'",
        )
    rest = [name for name in names if name != timestamp]
    templated = options.entity is not None and "{" in options.entity
    entity = None if templated else _role("entity", ENTITY_NAMES, "entities", rest, options, file)
    rest = [name for name in rest if name != entity]
    metric = value = None
    if options.layout != "wide":
        metric = _role("metric", METRIC_NAMES, "metric names", rest, options, file)
        value = _role("value", VALUE_NAMES, "values", [name for name in rest if name != metric], options, file)
    extra = [name for name in rest if name not in (metric, value)]
    named = options.layout == "long" or options.metric is not None or options.value is not None
    if named and (metric is None or value is None):
        what = "metric names with metric='...'" if metric is None else "values with value='...'"
        raise ContractError(
            file=file,
            expected="a column of metric names and one of values (long layout)",
            got=f"the columns {_list(names)}",
            remedy=f"name the column of {what}, or say layout='wide'",
        )
    if metric is not None and value is not None:
        if extra:
            left_out = ", ".join(f"{name!r}: None" for name in extra)
            raise ContractError(
                file=file,
                expected="a long table without further columns, or a wide one without metric names",
                got=f"metric names in {metric!r}, values in {value!r}, and also {_list(extra)}",
                remedy=f"leave those out with columns={{{left_out}}}, or say layout='wide'",
            )
        return Roles("long", timestamp, entity, metric, value, header=header)
    if metric is not None:
        raise ContractError(
            file=file,
            expected="a column of values beside the metric names, or no column of metric names",
            got=f"the columns {_list(names)}",
            remedy="name the column with value='...', or say layout='wide'",
        )
    if not rest:
        raise ContractError(
            file=file,
            expected="at least one column with a metric",
            got=f"the columns {_list(names)}",
            remedy="export the metrics too",
        )
    return Roles("wide", timestamp, entity, metrics=tuple(rest), header=header)


def metric_names(names: Iterable[str], options: Options, *, file: str = "") -> dict[str, str]:
    """Give each metric its name in the contract, by the caller's mapping.

    Parameters
    ----------
    names : iterable of str
        Names in the file: of columns (wide) or of the column of metric names (long).
    options : Options
        Holds the mapping ``columns``; a name that maps to None is left out.
    file : str
        For the error.

    Returns
    -------
    dict of str to str

    Raises
    ------
    ContractError
        A name is not valid in PromQL (the remedy is the mapping to use), or two names become one.

    Examples
    --------
    >>> metric_names(["CPU %"], Options(columns={"CPU %": "cpu_utilization_ratio"}))
    {'CPU %': 'cpu_utilization_ratio'}
    """
    mapped = {name: options.columns.get(name, name) for name in names}
    mapped = {name: new for name, new in mapped.items() if new is not None}
    bad = [name for name, new in mapped.items() if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", str(new), re.ASCII)]
    if bad:
        shown = ", ".join(f"{name!r}: {_suggest(name)!r}" for name in bad[:SHOWN])
        remedy = f"columns={{{shown}{', ...' * (len(bad) > SHOWN)}}}"
        if any("%" in name for name in bad):
            remedy += " (and scale={'<name>': 0.01}: the contract's ratios run from 0 to 1)"
        raise ContractError(
            file=file,
            column=bad[0],
            expected="a metric's name of letters, digits and underscores, as PromQL has them",
            got=_list(bad),
            remedy=remedy,
        )
    taken = [name for name, new in mapped.items() if new in ("entity", "timestamp")]
    if taken:
        raise ContractError(
            file=file,
            column=taken[0],
            expected="a metric's name",
            got=f"{mapped[taken[0]]!r}, which is a level of the index",
            remedy=f"columns={{{taken[0]!r}: None}} to leave it out, or another name",
        )
    times = Counter(mapped.values())
    twice = [name for name, new in mapped.items() if times[new] > 1]
    if twice:
        raise ContractError(
            file=file,
            column=twice[0],
            expected="one column a metric",
            got=f"{_list(twice)} all named {mapped[twice[0]]!r}",
            remedy="give them different names in columns",
        )
    return mapped


def _role(role: str, usual: tuple[str, ...], what: str, names: list[str], options: Options, file: str) -> str | None:
    """Find the column that plays a role, None where no column does."""
    said = getattr(options, role) or next((name for name in names if options.columns.get(name) == role), None)
    if said is not None:
        if said not in names:
            remedy = f"{role}= names a column; {nearest(said, names)}"
            if role == "entity":
                remedy += "; or a template of the file's path such as entity='{parent}/{stem}'"
            raise ContractError(
                file=file, column=said, expected=f"a column of {what}", got="no such one", remedy=remedy
            )
        return said
    taken = {options.timestamp, options.entity, options.metric, options.value}
    found = [name for name in names if name.strip().lower() in usual and name not in taken]
    exact = [name for name in found if name == usual[0]]
    if len(found) > 1 and not exact:
        left_out = ", ".join(f"{name!r}: None" for name in found[1:])
        raise ContractError(
            file=file,
            expected=f"one column of {what}",
            got=_list(found),
            remedy=f"name it with {role}={found[0]!r}, and leave others out with columns={{{left_out}}}",
        )
    return (exact or found or [None])[0]


def _suggest(name: str) -> str | None:
    """Suggest a valid name: the registry's where it knows the name of OpenTelemetry, else the same words."""
    if not name:
        return None  # a column without a name is what a separator at the end of each line leaves
    for known in metric_registry().values():
        if known.otel == name:
            return known.name
    words = re.sub(r"[^a-zA-Z0-9]+", "_", name.replace("%", " percent ")).strip("_").lower() or "metric"
    return f"_{words}" if words[0].isdigit() else words


def _list(names: Iterable[str]) -> str:
    listed = list(map(repr, names))
    return (", ".join(listed[:SHOWN]) or "(none)") + f" and {len(listed) - SHOWN:,} more" * (len(listed) > SHOWN)
