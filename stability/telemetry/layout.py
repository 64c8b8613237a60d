"""Which column of a table is what: the one rule that finds the columns' roles, and the metrics' names."""

from __future__ import annotations

__all__ = ["ENTITY_NAMES", "Roles", "fields_of", "find_roles", "metric_names"]

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from stability.schema import ContractError, metric_registry, nearest
from stability.telemetry.options import Options

# Names by which a column's role is known, compared without regard to case. They are few on purpose: a name that could
# as well be a metric is for the reader of the file to say.
TIMESTAMP_NAMES = ("timestamp", "time", "datetime", "date", "ts", "@timestamp", "_time")
ENTITY_NAMES = ("entity", "instance", "host", "hostname", "machine", "machine_id", "machineid", "node", "server")
METRIC_NAMES = ("metric", "metric_name", "__name__")
VALUE_NAMES = ("value",)
SHOWN = 10  # names that an error lists


@dataclass(frozen=True)
class Roles:
    """What each column is.

    Parameters
    ----------
    layout : {"wide", "long"}
        A column a metric, or a row a metric's value.
    timestamp : str
        Column of the stamps; of several columns that make the stamp, their names with a blank between.
    stamps : tuple of str
        The columns that make the stamp.
    entity : str or None
        Column of the entities.
    metric, value : str or None
        Columns of the long layout; without `metric` all values are of one.
    metrics : tuple of str
        Columns of the wide layout that hold metrics.
    labels : tuple of str
        Columns whose texts are labels: of them the entity or a dimension is made.
    in_header : bool
        Whether the names of `metrics` tell the entities too.
    header : tuple of str
        All columns of the file.
    """

    layout: str
    timestamp: str
    stamps: tuple[str, ...] = ()
    entity: str | None = None
    metric: str | None = None
    value: str | None = None
    metrics: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    in_header: bool = False
    header: tuple[str, ...] = ()

    @property
    def used(self) -> list[str]:
        """The columns that play a role."""
        one = (self.entity, self.metric, self.value)
        return [*self.stamps, *(name for name in one if name is not None), *self.labels, *self.metrics]


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
    stamps = _stamps(names, options, file)
    known = {"timestamp": " ".join(stamps), "stamps": stamps, "header": header}
    rest = [name for name in names if name not in stamps]
    if options.series is not None:
        return _named_series(rest, options, file, known)
    templated = options.entity is not None and "{" in options.entity
    entity = None if templated else _role("entity", ENTITY_NAMES, "entities", rest, options, file)
    rest = [name for name in rest if name != entity]
    labels = _labels(rest, options, file)
    rest = [name for name in rest if name not in labels]
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
                remedy=f"leave those out with columns={{{left_out}}}; make the entity of them with "
                f"entity='{{{extra[0]}}}', or a part of the metric's name with dimensions={extra[:1]!r}; or say "
                "layout='wide'",
            )
        return Roles("long", **known, entity=entity, metric=metric, value=value, labels=labels)
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
    if options.dimensions:
        remedy = "a wide table keeps them in the header (series=); a long one has a column of values (value=)"
        raise ContractError(file=file, column="dimensions", expected="a long table, or series=", got="a wide table",
                            remedy=remedy)  # fmt: skip
    return Roles("wide", **known, entity=entity, metrics=tuple(rest), labels=labels)


def _stamps(names: list[str], options: Options, file: str) -> tuple[str, ...]:
    """Find the column of the stamps, or those that make them."""
    if isinstance(options.timestamp, tuple):
        for name in options.timestamp:
            if name not in names:
                remedy = f"timestamp= names columns; {nearest(name, names)}"
                raise ContractError(file=file, column=name, expected="a column of timestamps", got="no such one",
                                    remedy=remedy)  # fmt: skip
        return options.timestamp
    found = _role("timestamp", TIMESTAMP_NAMES, "timestamps", names, options, file)
    if found is None:
        remedy = "name it with timestamp='...'"
        if len(names) == 1:
            remedy += ", or the sign between the cells with delimiter='...', or lines above the header with skip=..."
        else:
            remedy += "; lines above the header are left out with skip=..., a file without header has names=[...]"
        raise ContractError(
            file=file,
            expected=f"a column of timestamps (usual names: {', '.join(TIMESTAMP_NAMES)})",
            got=f"the columns {_list(names)}",
            remedy=remedy,
        )
    return (found,)


def fields_of(template: str) -> list[str]:
    """Names of the fields of a template: every text in braces.

    Examples
    --------
    >>> fields_of("{job}/{metric.instance}")
    ['job', 'metric.instance']
    """
    return re.findall(r"\{([^{}]*)\}", template)


def _labels(rest: list[str], options: Options, file: str) -> tuple[str, ...]:
    """Columns of which the entity and the dimensions are made."""
    template = options.entity if options.entity and "{" in options.entity else ""
    for name in options.dimensions:
        if name not in rest:
            raise ContractError(file=file, column="dimensions", expected="names of columns", got=repr(name),
                                remedy=f"{nearest(name, rest)}; of labels in names, series='labels'")  # fmt: skip
    named = [*fields_of(template), *options.dimensions]
    return tuple(dict.fromkeys(name for name in named if name in rest))


def _named_series(rest: list[str], options: Options, file: str, known: dict) -> Roles:
    """Roles of a table whose series are named by labels or a template: see `telemetry.series`."""
    metric = value = None
    if options.layout != "wide":
        metric = _role("metric", METRIC_NAMES, "metric names", rest, options, file)
        value = _role("value", VALUE_NAMES, "values", [name for name in rest if name != metric], options, file)
    if options.layout == "long" and value is None:
        remedy = "name the column with value='...'"
        raise ContractError(file=file, expected="a column of values", got=f"the columns {_list(rest)}", remedy=remedy)
    if value is None or (metric is None and options.series != "labels" and options.layout != "long"):
        if not rest:
            raise ContractError(file=file, expected="at least one column with a series", got="a column of stamps alone")
        return Roles("wide", **known, metrics=tuple(rest), in_header=True)
    labels = tuple(name for name in rest if name not in (metric, value))
    return Roles("long", **known, metric=metric, value=value, labels=labels)


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
    if "" in bad:
        remedy = "columns={'': None} leaves it out; it is often the number of the row"
        raise ContractError(file=file, expected="a name for each column", got="one without", remedy=remedy)
    if bad:
        shown = ", ".join(f"{name!r}: {_suggest(name)!r}" for name in bad[:SHOWN])
        remedy = f"columns={{{shown}{', ...' * (len(bad) > SHOWN)}}}"
        if any("%" in name for name in bad):
            remedy += " (and scale={'<name>': 0.01}: the contract's ratios run from 0 to 1)"
        if any(re.search(r"\{.*\}", name) for name in bad):
            remedy = "series='labels' where names hold labels of the entity (entity='{instance}'); else " + remedy
        raise ContractError(
            file=file,
            column=bad[0],
            expected="a metric's name of letters, digits and underscores, as PromQL has them",
            got=_list(mapped[name] for name in bad),
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
    stamps = options.timestamp if isinstance(options.timestamp, tuple) else (options.timestamp,)
    taken = {*stamps, options.entity, options.metric, options.value}
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


def _suggest(name: str) -> str:
    """Suggest a valid name: the registry's where it knows the name of OpenTelemetry, else the same words."""
    for known in metric_registry().values():
        if known.otel == name:
            return known.name
    words = re.sub(r"[^a-zA-Z0-9]+", "_", name.replace("%", " percent ")).strip("_").lower() or "metric"
    return f"_{words}" if words[0].isdigit() else words


def _list(names: Iterable[str]) -> str:
    listed = list(map(repr, names))
    return (", ".join(listed[:SHOWN]) or "(none)") + f" and {len(listed) - SHOWN:,} more" * (len(listed) > SHOWN)
